//! One message to a thousand receivers: encoded once, or for each of them.
//!
//! Every frame is copied into one output buffer, which is emptied after each receiver. That is
//! what a core does with frames below 4 KiB; larger ones are sent by reference. Through a `Shard`
//! it also looks up each receiver, gives it a turn and has it written.

use corewire::protocol::deflate::{Agreement, Direction, Takeover};
use corewire::protocol::{MessageKind, PreparedMessage, WebSocket};
use corewire_testkit::Bare;
use corewire_testkit::apps::Channel;
use corewire_testkit::material::json;
use corewire_testkit::receiver::Lent;
use criterion::{BenchmarkId, Throughput};
use tungstenite::{Message, Utf8Bytes};

use crate::Criterion;
use crate::count;
use crate::receiver::{Memory, their_websocket};

const RECEIVERS: usize = 1000;
const MESSAGE_BYTES: usize = 1 << 10;

/// What a server and a browser agree on by default.
const AGREEMENT: Agreement = Agreement {
    inbound: Direction {
        takeover: Takeover::No,
        window_bits: 15,
    },
    outbound: Direction {
        takeover: Takeover::No,
        window_bits: 13,
    },
};

/// Plain and compressed.
pub(crate) fn prepared(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out");
    group.throughput(Throughput::Elements(count(RECEIVERS)));
    let message = json(1, MESSAGE_BYTES).remove(0);
    for (name, agreement) in [("plain", None), ("deflate", Some(AGREEMENT))] {
        let mut lent = Lent::new();
        let mut receivers: Vec<_> = (0..RECEIVERS).map(|_| lent.websocket(agreement)).collect();
        let mut out = Vec::new();

        let once = encoded_once(&message, &mut receivers, &mut lent, &mut out);
        let last = out.clone();
        let each = encoded_each(&message, &mut receivers, &mut lent, &mut out);
        assert_eq!((each, &out), (once, &last));
        group.bench_function(BenchmarkId::new("corewire-prepared", name), |b| {
            b.iter(|| encoded_once(&message, &mut receivers, &mut lent, &mut out));
        });
        group.bench_function(BenchmarkId::new("corewire-each", name), |b| {
            b.iter(|| encoded_each(&message, &mut receivers, &mut lent, &mut out));
        });
    }

    let mut shard = Bare::new(RECEIVERS, Channel::default);
    let mut ours = || shard.mailed(PreparedMessage::text(&message));
    // The header of a kilobyte takes four bytes.
    assert_eq!(ours(), RECEIVERS * (MESSAGE_BYTES + 4));
    group.bench_function(BenchmarkId::new("corewire-shard", "plain"), |b| {
        b.iter(&mut ours);
    });

    let message = Utf8Bytes::from(message);
    let mut receivers: Vec<_> = (0..RECEIVERS).map(|_| their_websocket(1)).collect();
    let mut out = Vec::new();
    let mut theirs = || {
        let mut bytes = 0;
        for receiver in &mut receivers {
            out.clear();
            let mut stream = Memory::new(&[], &mut out);
            let message = Message::Text(message.clone());
            receiver.write(&mut stream, message).unwrap();
            receiver.flush(&mut stream).unwrap();
            bytes += out.len();
        }
        bytes
    };
    assert_eq!(theirs(), RECEIVERS * (MESSAGE_BYTES + 4));
    group.bench_function(BenchmarkId::new("tungstenite-each", "plain"), |b| {
        b.iter(&mut theirs);
    });
    group.finish();
}

/// Sends a message that is encoded once. Returns how many bytes all receivers get.
fn encoded_once(
    message: &str,
    receivers: &mut [WebSocket],
    lent: &mut Lent,
    out: &mut Vec<u8>,
) -> usize {
    let message = PreparedMessage::text(message);
    let mut bytes = 0;
    for receiver in receivers {
        out.clear();
        let form = receiver.send_prepared(&message, &mut lent.env()).unwrap();
        out.extend_from_slice(message.frame(form));
        bytes += out.len();
    }
    bytes
}

fn encoded_each(
    message: &str,
    receivers: &mut [WebSocket],
    lent: &mut Lent,
    out: &mut Vec<u8>,
) -> usize {
    let mut bytes = 0;
    for receiver in receivers {
        out.clear();
        let payload = message.as_bytes();
        receiver
            .send(MessageKind::Text, payload, &mut lent.env(), out)
            .unwrap();
        bytes += out.len();
    }
    bytes
}

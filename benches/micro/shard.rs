//! A whole read of messages through a core's machine, from the bytes read to the bytes written.

use std::hint::black_box;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use corewire::engine::{
    Accepted, Context, Handler, Message, NearEnd, Now, Options, ReadInto, ReadResult, Response,
    SLICES_MAX, Shard, Shared, Step, UpgradeRequest, WriteResult,
};
use corewire::metrics::Counters;
use corewire::protocol::deflate::InflateBudget;
use corewire::{ConnId, CoreId};
use corewire_testkit::frames;
use corewire_testkit::peer::upgrade_request;
use criterion::{BenchmarkId, Throughput};
use tungstenite::protocol::WebSocketContext;

use crate::Criterion;
use crate::material::{ascii, count};
use crate::receiver::{Memory, their_next, their_websocket};

const MESSAGE_BYTES: usize = 64;

/// So many echo messages of 64 B in one read, and their replies in one write.
pub(crate) fn echo(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo");
    for messages in [1, 16] {
        group.throughput(Throughput::Elements(count(messages)));
        let payload = ascii(MESSAGE_BYTES).into_bytes();
        let stream = frames::repeated(&frames::binary(&payload), messages);
        // FIN and binary, no mask, 64 bytes.
        let replies = [&[0x82, 64], payload.as_slice()].concat().repeat(messages);

        let mut ours = EchoShard::open();
        assert_eq!(ours.turn(&stream), replies);
        group.bench_function(BenchmarkId::new("corewire-shard", messages), |b| {
            b.iter(|| ours.turn(black_box(&stream)).len());
        });
        let mut theirs = their_websocket(2 * stream.len());
        let mut written = Vec::new();
        their_turn(&mut theirs, &stream, &mut written);
        assert_eq!(written, replies);
        group.bench_function(BenchmarkId::new("tungstenite", messages), |b| {
            b.iter(|| their_turn(&mut theirs, black_box(&stream), &mut written));
        });
    }
    group.finish();
}

/// tungstenite as one who cares would use it: one flush for all that a read has brought.
fn their_turn(websocket: &mut WebSocketContext, stream: &[u8], written: &mut Vec<u8>) {
    written.clear();
    let mut stream = Memory::new(stream, written);
    while let Some(message) = their_next(websocket, &mut stream) {
        websocket.write(&mut stream, message).unwrap();
    }
    websocket.flush(&mut stream).unwrap();
}

struct Echo;

impl Handler for Echo {
    type Session = ();
    type Mail = ();

    fn upgrade(&mut self, _: &mut UpgradeRequest<'_>) -> Result<(), Response> {
        Ok(())
    }

    fn message(&mut self, (): &mut (), message: Message<'_>, context: &mut Context<'_, ()>) {
        context.reply(message).unwrap();
    }
}

/// A shard with one open connection.
struct EchoShard {
    shard: Shard<Echo, fn() -> Echo>,
    conn: ConnId,
    written: Vec<u8>,
}

impl EchoShard {
    fn open() -> Self {
        let shared = Shared {
            options: Arc::new(Options::default()),
            inflate_budget: InflateBudget::new(InflateBudget::DEFAULT_BYTES),
            population: Arc::default(),
        };
        let counters = Arc::new(Counters::default());
        let factory: fn() -> Echo = || Echo;
        let mut shard = Shard::new(CoreId(0), shared, counters, 1, Now::default(), factory);
        assert!(matches!(shard.next_step(), Step::Accept { .. }));
        let peer = SocketAddr::from(([127, 0, 0, 1], 4000));
        let conn = shard.accepted(peer).unwrap();
        shard.did_accept(0, Accepted::Drained);
        let mut open = Self {
            shard,
            conn,
            written: Vec::new(),
        };
        let answer = open.turn(upgrade_request("/", &[]).as_bytes());
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        open
    }

    /// One read brings `stream`. Returns what was written until the shard waits.
    fn turn(&mut self, stream: &[u8]) -> &[u8] {
        self.written.clear();
        self.shard.time(Now::default());
        self.shard.readable(self.conn, NearEnd::No);
        let mut stream = Some(stream);
        loop {
            match self.shard.next_step() {
                Step::Read {
                    into: ReadInto::Buffer(buffer),
                    ..
                } => {
                    let result = match stream.take() {
                        Some(bytes) => {
                            buffer[..bytes.len()].copy_from_slice(bytes);
                            ReadResult::Bytes(bytes.len())
                        }
                        None => ReadResult::WouldBlock,
                    };
                    self.shard.did_read(result);
                }
                Step::Write { output, .. } => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let count = output.slices(&mut slices);
                    for slice in &slices[..count] {
                        self.written.extend_from_slice(slice);
                    }
                    let bytes = output.queued_bytes();
                    self.shard.did_write(WriteResult::All(bytes));
                }
                Step::Wait(Some(0)) => {}
                Step::Wait(_) => return &self.written,
                step @ (Step::Accept { .. }
                | Step::Read { .. }
                | Step::EndOutput(_)
                | Step::Close(..)
                | Step::Mail(..)) => panic!("{step:?}"),
            }
        }
    }
}

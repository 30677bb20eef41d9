//! Whole turns of a core's machine, from the bytes read to the bytes written.

use std::hint::black_box;

use corewire_testkit::apps::{Burst, Echo, Ticking};
use corewire_testkit::material::ascii;
use corewire_testkit::{Bare, frames};
use criterion::{BenchmarkId, Throughput};
use tungstenite::protocol::WebSocketContext;

use crate::Criterion;
use crate::count;
use crate::receiver::{Memory, their_next, their_websocket};

const MESSAGE_BYTES: usize = 64;
const CONNECTIONS: usize = 1000;

/// So many echo messages of 64 B in one read, and their replies in one write.
pub(crate) fn echo(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo");
    for messages in [1, 16] {
        group.throughput(Throughput::Elements(count(messages)));
        let payload = ascii(MESSAGE_BYTES).into_bytes();
        let stream = frames::repeated(&frames::binary(&payload), messages);
        // FIN and binary, no mask, 64 bytes.
        let replies = [&[0x82, 64], payload.as_slice()].concat().repeat(messages);

        let mut ours = Bare::new(1, || Echo);
        assert_eq!(ours.hears(0, &stream), replies);
        group.bench_function(BenchmarkId::new("corewire-shard", messages), |b| {
            b.iter(|| ours.hears(0, black_box(&stream)).len());
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

/// A queue of 64 small and 16 large messages, made by one message and written at once or 16 KiB at
/// a time.
pub(crate) fn flush(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flush");
    group.throughput(Throughput::Elements(count(Burst::SMALL + Burst::LARGE)));
    let message = frames::binary(ascii(MESSAGE_BYTES).as_bytes());
    let small = Burst::SMALL * (2 + MESSAGE_BYTES);
    let bytes = small + Burst::LARGE * (4 + Burst::LARGE_BYTES);
    for (name, bytes_max) in [("at-once", usize::MAX), ("16-KiB", 16 << 10)] {
        let mut ours = Bare::new(1, Burst::default).writing(bytes_max);
        assert_eq!(ours.hears(0, &message).len(), bytes);
        group.bench_function(BenchmarkId::new("corewire-shard", name), |b| {
            b.iter(|| ours.hears(0, black_box(&message)).len());
        });
    }
    group.finish();
}

/// A second in steps of the timer wheel, in which the timers of a thousand connections are due,
/// send two bytes, and are armed again.
pub(crate) fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timers");
    group.throughput(Throughput::Elements(count(CONNECTIONS)));
    let mut ours = Bare::new(CONNECTIONS, Ticking::default);
    let mut second = || {
        let steps = 0..Ticking::PERIOD_MS / Ticking::APART_MS;
        steps.map(|_| ours.passes(Ticking::APART_MS)).sum::<usize>()
    };
    assert_eq!(second(), 2 * CONNECTIONS);
    group.bench_function(BenchmarkId::new("corewire-shard", CONNECTIONS), |b| {
        b.iter(&mut second);
    });
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

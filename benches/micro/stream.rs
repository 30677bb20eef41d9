//! A stream of frames: whole messages, and messages in fragments.

use std::hint::black_box;

use corewire::protocol::frame::OpCode;
use corewire_testkit::frames::{self, Fin};
use corewire_testkit::material::ascii;
use corewire_testkit::receiver::{Received, Receiver};
use criterion::{BenchmarkId, Throughput};

use crate::Criterion;
use crate::count;
use crate::fastwebsockets::FastReceiver;
use crate::receiver::TheirReceiver;

/// The receive buffer of a core.
const BUFFER_BYTES: usize = 64 << 10;

/// Frames of 64 B that one read brings.
const FRAMES: usize = 900;

/// The bytes of a message in fragments.
const FRAGMENTED_BYTES: usize = 16 << 10;

/// Masked frames of 64 B, each a message.
pub(crate) fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(count(FRAMES)));
    for (name, opcode) in [("binary", OpCode::Binary), ("text", OpCode::Text)] {
        let frame = frames::frame(opcode, Fin::Last, ascii(64).as_bytes());
        let stream = frames::repeated(&frame, FRAMES);
        let right = Received {
            messages: FRAMES,
            bytes: 64 * FRAMES,
        };
        let mut ours = Receiver::new(BUFFER_BYTES);
        let mut theirs = TheirReceiver::new(BUFFER_BYTES);
        assert_eq!(ours.receive(&stream), right);
        assert_eq!(theirs.receive(&stream), right);
        let mut fast = FastReceiver::new();
        assert_eq!(fast.receive(&stream), right);
        group.bench_function(BenchmarkId::new("corewire", name), |b| {
            b.iter(|| ours.receive(black_box(&stream)));
        });
        group.bench_function(BenchmarkId::new("tungstenite", name), |b| {
            b.iter(|| theirs.receive(black_box(&stream)));
        });
        group.bench_function(BenchmarkId::new("fastwebsockets", name), |b| {
            b.iter(|| fast.receive(black_box(&stream)));
        });
    }
    group.finish();
}

/// A message of 16 KiB in fragments, all of which one read brings.
pub(crate) fn assemble(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("assemble");
    group.throughput(Throughput::Bytes(count(FRAGMENTED_BYTES)));
    for fragments in [16, 256] {
        let message = ascii(FRAGMENTED_BYTES);
        let stream = frames::fragmented(OpCode::Text, message.as_bytes(), fragments);
        let right = Received {
            messages: 1,
            bytes: FRAGMENTED_BYTES,
        };
        let mut ours = Receiver::new(BUFFER_BYTES);
        let mut theirs = TheirReceiver::new(BUFFER_BYTES);
        assert_eq!(ours.receive(&stream), right);
        assert_eq!(theirs.receive(&stream), right);
        let mut fast = FastReceiver::new();
        assert_eq!(fast.receive(&stream), right);
        group.bench_function(BenchmarkId::new("corewire", fragments), |b| {
            b.iter(|| ours.receive(black_box(&stream)));
        });
        group.bench_function(BenchmarkId::new("tungstenite", fragments), |b| {
            b.iter(|| theirs.receive(black_box(&stream)));
        });
        group.bench_function(BenchmarkId::new("fastwebsockets", fragments), |b| {
            b.iter(|| fast.receive(black_box(&stream)));
        });
    }
    group.finish();
}

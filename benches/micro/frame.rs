//! One frame: its header, its masking.

use std::hint::black_box;
use std::io::Cursor;

use corewire::protocol::Role;
use corewire::protocol::frame::{FrameHeader, OpCode, Reserved, mask};
use corewire_testkit::frames::{self, Fin, KEY};
use criterion::{BenchmarkId, Throughput};
use tungstenite::protocol::frame::FrameHeader as TheirHeader;

use crate::Criterion;
use crate::count;

/// Headers that are parsed one after the other.
const HEADERS: usize = 256;

/// Where a payload stands in the buffer that was received into: behind a header of 6 bytes.
const PAYLOAD_OFFSET: usize = 6;

/// Parsing masked headers with each form of the length.
pub(crate) fn header(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header");
    group.throughput(Throughput::Elements(count(HEADERS)));
    for payload_bytes in [64, 1 << 10, 1 << 20] {
        let headers = vec![frames::header(OpCode::Binary, Fin::Last, payload_bytes); HEADERS];
        let sum = payload_bytes * count(HEADERS);
        assert_eq!((ours(&headers), theirs(&headers)), (sum, sum));
        group.bench_function(BenchmarkId::new("corewire", payload_bytes), |b| {
            b.iter(|| ours(black_box(&headers)));
        });
        group.bench_function(BenchmarkId::new("tungstenite", payload_bytes), |b| {
            b.iter(|| theirs(black_box(&headers)));
        });
    }
    group.finish();
}

/// The sum of the lengths that the headers announce.
fn ours(headers: &[Vec<u8>]) -> u64 {
    let mut sum = 0;
    for bytes in headers {
        let parsed = FrameHeader::parse(bytes, Role::Server, Reserved::AllZero);
        let (header, _) = black_box(parsed).unwrap().unwrap();
        sum += header.payload_bytes;
    }
    sum
}

fn theirs(headers: &[Vec<u8>]) -> u64 {
    let mut sum = 0;
    for bytes in headers {
        let parsed = TheirHeader::parse(&mut Cursor::new(bytes));
        let (_, payload_bytes) = black_box(parsed).unwrap().unwrap();
        sum += payload_bytes;
    }
    sum
}

/// Unmasking in place. tungstenite's is private, fastwebsockets' is not; copying the same bytes is
/// the wall.
pub(crate) fn masking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    for bytes in [16, 64, 125, 1 << 10, 16 << 10, 64 << 10, 1 << 20] {
        group.throughput(Throughput::Bytes(count(bytes)));
        let plain: Vec<u8> = (0..=u8::MAX).cycle().take(bytes).collect();
        let mut received = vec![0; PAYLOAD_OFFSET];
        received.extend_from_slice(&plain);

        mask(&mut received[PAYLOAD_OFFSET..], KEY, 0);
        byte_by_byte(&mut received[PAYLOAD_OFFSET..], KEY);
        assert_eq!(received[PAYLOAD_OFFSET..], plain);
        mask(&mut received[PAYLOAD_OFFSET..], KEY, 0);
        ::fastwebsockets::unmask(&mut received[PAYLOAD_OFFSET..], KEY);
        assert_eq!(received[PAYLOAD_OFFSET..], plain);
        group.bench_function(BenchmarkId::new("corewire", bytes), |b| {
            b.iter(|| mask(black_box(&mut received[PAYLOAD_OFFSET..]), KEY, 0));
        });
        group.bench_function(BenchmarkId::new("fastwebsockets", bytes), |b| {
            b.iter(|| ::fastwebsockets::unmask(black_box(&mut received[PAYLOAD_OFFSET..]), KEY));
        });
        group.bench_function(BenchmarkId::new("byte-by-byte", bytes), |b| {
            b.iter(|| byte_by_byte(black_box(&mut received[PAYLOAD_OFFSET..]), KEY));
        });
        group.bench_function(BenchmarkId::new("copy", bytes), |b| {
            b.iter(|| black_box(&mut received[PAYLOAD_OFFSET..]).copy_from_slice(&plain));
        });
    }
    group.finish();
}

/// RFC 6455, 5.3 in its own words.
#[inline(never)]
fn byte_by_byte(bytes: &mut [u8], key: [u8; 4]) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte ^= key[at % 4];
    }
}

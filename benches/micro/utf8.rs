//! UTF-8 validation of a whole text, and by the validator that takes pieces.

use std::hint::black_box;

use corewire::protocol::utf8::{Utf8Validator, validate};
use corewire_testkit::material::{ascii, mixed};
use criterion::{BenchmarkId, Throughput};

use crate::Criterion;
use crate::count;

const VALIDATORS: [(&str, fn(&[u8]) -> bool); 4] = [
    ("corewire", |text| validate(text).is_ok()),
    ("corewire-pieces", |text| {
        let mut validator = Utf8Validator::default();
        validator.push(text).is_ok() && validator.finish().is_ok()
    }),
    ("std", |text| std::str::from_utf8(text).is_ok()),
    ("simdutf8", |text| simdutf8::basic::from_utf8(text).is_ok()),
];

/// ASCII and mixed text by size.
pub(crate) fn validation(criterion: &mut Criterion) {
    for (group, text) in [
        ("utf8-ascii", ascii as fn(usize) -> String),
        ("utf8-mixed", mixed),
    ] {
        let mut group = criterion.benchmark_group(group);
        for bytes in [64, 1 << 10, 64 << 10] {
            group.throughput(Throughput::Bytes(count(bytes)));
            let good = text(bytes).into_bytes();
            let mut cut = good.clone();
            cut[bytes - 1] = 0xc3;
            for (name, is_valid) in VALIDATORS {
                assert!(is_valid(&good) && !is_valid(&cut), "{name}");
                group.bench_function(BenchmarkId::new(name, bytes), |b| {
                    b.iter(|| is_valid(black_box(&good)));
                });
            }
        }
        group.finish();
    }
}

//! The server's side of the opening handshake, from the bytes of a request to those of the 101.

use std::hint::black_box;

use corewire::protocol::Limits;
use corewire::protocol::handshake::{
    ExtraHeaders, HeadScanner, HeaderSpace, RequestHead, UpgradeOptions, upgrade,
};
use corewire_testkit::material::BROWSER_HEADERS;
use corewire_testkit::peer::{ACCEPT, upgrade_request};
use criterion::{BenchmarkId, Throughput};
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response, write_response};

use crate::Criterion;

/// A small request and a browser's, which also offers compression. tungstenite knows no
/// extensions and checks no origin, so it does less.
pub(crate) fn server(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake");
    group.throughput(Throughput::Elements(1));
    for (name, headers) in [("small", &[][..]), ("browser", &BROWSER_HEADERS)] {
        let request = upgrade_request("/echo", headers).into_bytes();
        let limits = Limits::default();
        let options = UpgradeOptions::default();
        let mut out = Vec::new();

        ours(&request, &limits, &options, &mut out);
        assert!(accepts(&out));
        theirs(&request, &mut out);
        assert!(accepts(&out));
        group.bench_function(BenchmarkId::new("corewire", name), |b| {
            b.iter(|| ours(black_box(&request), &limits, &options, &mut out));
        });
        group.bench_function(BenchmarkId::new("tungstenite", name), |b| {
            b.iter(|| theirs(black_box(&request), &mut out));
        });
    }
    group.finish();
}

fn ours(request: &[u8], limits: &Limits, options: &UpgradeOptions, out: &mut Vec<u8>) {
    out.clear();
    let head = HeadScanner::new().scan(request, limits).unwrap().unwrap();
    let mut space = HeaderSpace::new();
    let head = RequestHead::parse(head, &mut space).unwrap();
    let upgrade = upgrade(&head, options).unwrap();
    upgrade.write_response(ExtraHeaders::NONE, out);
}

fn theirs(request: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let (_, request) = Request::try_parse(request).unwrap().unwrap();
    let response = create_response(&request).unwrap();
    write_response(out, &response).unwrap();
}

fn accepts(response: &[u8]) -> bool {
    let response = std::str::from_utf8(response).unwrap();
    response.starts_with("HTTP/1.1 101 ")
        && response.ends_with("\r\n\r\n")
        && response.contains(ACCEPT)
}

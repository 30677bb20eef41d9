//! One client that floods, and what the others notice of it.
#![expect(clippy::disallowed_methods, reason = "tests have clocks and threads")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corewire::protocol::frame::OpCode;
use corewire_testkit::floods::{self, deflated};
use corewire_testkit::frames::{self, Fin, frame};
use corewire_testkit::{Ended, Peer, Process, Serve, quantile};

const BINARY: &str = env!("CARGO_BIN_EXE_corewire");
const MIB: usize = 1 << 20;
/// What a polite client may wait beside a flood: p99, median of [`RUNS`] runs.
const P99_MAX: Duration = Duration::from_millis(40);
const RUNS: usize = 5;
const RUN: Duration = Duration::from_millis(150);

/// The round trips of a polite client for a while.
fn round_trips(peer: &mut Peer, during: Duration) -> Vec<Duration> {
    let until = Instant::now() + during;
    let mut times = Vec::new();
    while Instant::now() < until {
        let start = Instant::now();
        peer.send(frames::text("how long does this take?"));
        peer.expect_text("how long does this take?");
        times.push(start.elapsed());
    }
    times
}

/// The median of several p99s beside whatever `noise` does.
fn p99_beside(server: &Process, noise: impl Fn(&AtomicBool) + Sync) -> Duration {
    let mut polite = Peer::websocket(server.address());
    let mut p99s: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| noise(&stop));
                let mut times = round_trips(&mut polite, RUN);
                stop.store(true, Ordering::Relaxed);
                quantile(&mut times, 0.99)
            })
        })
        .collect();
    polite.close();
    quantile(&mut p99s, 0.5)
}

/// One after the other: they would otherwise be each other's flood.
#[test]
fn a_polite_client_beside_a_flood() {
    let server = Serve::new(BINARY).cores(1).start();
    for (what, wire) in floods::wires() {
        let before = server.rss_bytes();
        let p99 = p99_beside(&server, |stop| {
            floods::flood(Peer::deflate_websocket(server.address()), &wire, stop);
        });
        let grown = server.rss_bytes().saturating_sub(before);
        println!("beside {what}: p99 {p99:?}, {} KiB more", grown >> 10);
        assert!(p99 < P99_MAX, "beside {what} the p99 is {p99:?}");
        assert!(grown < 8 * MIB, "{what} cost {grown} bytes");
    }
    let p99 = p99_beside(&server, |stop| accept_storm(&server, stop));
    println!("beside an accept storm: p99 {p99:?}");
    assert!(p99 < P99_MAX, "beside an accept storm the p99 is {p99:?}");
    let p99 = p99_beside(&server, |stop| {
        let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(500);
        floods::flood(Peer::connect(server.address()), request.as_bytes(), stop);
    });
    println!("beside pipelined requests: p99 {p99:?}");
    assert!(
        p99 < P99_MAX,
        "beside pipelined requests the p99 is {p99:?}"
    );
}

fn accept_storm(server: &Process, stop: &AtomicBool) {
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    Peer::connect(server.address()).reset();
                }
            });
        }
    });
}

/// Within the burst every ping is answered, in order, whatever else is said.
#[test]
fn every_ping_within_the_rate_is_answered() {
    let server = Serve::new(BINARY).cores(1).start();
    let mut peer = Peer::websocket(server.address());
    let mut wire = Vec::new();
    for number in 0..100 {
        wire.extend(frames::ping(&[number]));
        wire.extend(frames::binary(&[number; 200]));
    }
    peer.send(wire);
    for number in 0..100 {
        peer.expect_pong(&[number]);
        peer.expect_binary(&[number; 200]);
    }
    // One every 20 ms goes on for ever.
    for number in 0..10 {
        thread::sleep(Duration::from_millis(25));
        peer.send(frames::ping(&[number]));
        peer.expect_pong(&[number]);
    }
    peer.close();
}

/// Compressed messages that grow a thousandfold are stopped before they are memory.
#[test]
fn bombs_are_stopped_while_they_inflate() {
    let server = Serve::new(BINARY).cores(1).start();
    let bomb = deflated(&vec![0; 12 * MIB]);
    assert!(bomb.len() < 128 << 10);
    let before = server.rss_bytes();
    let mut peers: Vec<Peer> = (0..50)
        .map(|_| Peer::deflate_websocket(server.address()))
        .collect();
    for (index, peer) in peers.iter_mut().enumerate() {
        if index % 2 == 0 {
            peer.send(frames::compressed(OpCode::Binary, Fin::Last, &bomb));
        } else {
            // In fragments of a kilobyte.
            let mut wire = frames::compressed(OpCode::Binary, Fin::More, &bomb[..1000]);
            for piece in bomb[1000..].chunks(1000) {
                wire.extend(frame(OpCode::Continuation, Fin::More, piece));
            }
            let _ = peer.send_what_is_taken(&wire, Duration::from_millis(500));
        }
    }
    for peer in &mut peers {
        assert_eq!(peer.close_code(), Ok(1009));
    }
    let grown = server.rss_bytes().saturating_sub(before);
    println!("50 bombs cost {} KiB", grown >> 10);
    assert!(grown < 16 * MIB, "{grown} bytes");
}

/// Many that begin a request and never end it, a byte now and then: all are gone in time.
#[test]
fn slowloris() {
    let server = Serve::new(BINARY)
        .cores(1)
        .setting("engine.request_timeout_ms", "1s")
        .start();
    let mut polite = Peer::websocket(server.address());
    let mut crowd: Vec<Peer> = (0..500)
        .map(|_| Peer::connect(server.address()).patient_for(Duration::from_millis(3000)))
        .collect();
    let start = Instant::now();
    for peer in &mut crowd {
        peer.send("GET / HTTP/1.1\r\nHost: localhost\r\nX-");
    }
    let mut slowest = Duration::ZERO;
    while start.elapsed() < Duration::from_millis(1200) {
        for peer in &mut crowd {
            let _ = peer.send_what_is_taken(b"a", Duration::from_millis(1));
        }
        let times = round_trips(&mut polite, Duration::from_millis(20));
        slowest = slowest.max(times.into_iter().max().unwrap());
    }
    for peer in &mut crowd {
        let reply = peer.reply();
        assert!(
            matches!(&reply, Ok(reply) if reply.status == 408),
            "{reply:?}"
        );
        assert_eq!(peer.rest().1, Ended::Cleanly);
    }
    let took = start.elapsed();
    println!("500 gone after {took:?}, slowest round trip beside them {slowest:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    polite.close();
}

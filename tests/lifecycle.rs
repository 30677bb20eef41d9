//! Connections come and go, in every way they can, and leave nothing behind.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests have clocks and threads, and a failed unwrap is a failed test"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use corewire::Server;
use corewire::protocol::frame::OpCode;
use corewire::server::{Options, ServerError, Site};
use corewire_testkit::frames::{self, Fin, frame};
use corewire_testkit::peer::upgrade_request;
use corewire_testkit::served::options;
use corewire_testkit::system::{cpu_ms, raise_descriptor_limit};
use corewire_testkit::{Peer, Process, Serve, Served, eventually};

const BINARY: &str = env!("CARGO_BIN_EXE_corewire");
const REQUEST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn more_addresses_than_a_core_can_tell_apart_are_refused() {
    let _ = raise_descriptor_limit();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bound = |addresses| {
        let options = Options {
            listen: vec![any; addresses],
            ..options()
        };
        Server::with_options(Site::default(), options).bind()
    };
    assert!(bound(1024).is_ok());
    let error = bound(1025).err().unwrap();
    assert!(matches!(error, ServerError::Addresses(1025)), "{error}");
}

#[test]
fn echoes_still_arrive_after_a_half_close() {
    let server = Served::start(Site::default(), options());
    let mut peer = Peer::websocket(server.address());
    let large = vec![3; 1 << 20];
    for number in 0..100 {
        peer.send(frames::text(&number.to_string()));
    }
    peer.send(frames::binary(&large));
    peer.half_close();
    for number in 0..100 {
        peer.expect_text(&number.to_string());
    }
    peer.expect_binary(&large);
    peer.expect_end();
    eventually("it is forgotten", || server.connections() == 0);
}

#[test]
fn after_both_close_frames_the_server_ends_first() {
    let server = Served::start(Site::default(), options());
    let mut peer = Peer::websocket(server.address());
    peer.send(frames::close(1000));
    let _ = peer.expect_close(1000);
    peer.expect_end();
    // The peer has not ended its side, and is forgotten all the same.
    eventually("it is forgotten", || server.connections() == 0);
    // A Close frame without a body is answered by one.
    let mut peer = Peer::websocket(server.address());
    peer.send(frame(OpCode::Close, Fin::Last, b""));
    peer.expect(OpCode::Close, b"");
    peer.expect_end();
}

/// The first lines of the example in docs/configuration.md.
#[test]
fn every_address_of_both_families_on_one_port() {
    if TcpListener::bind("[::1]:0").is_err() {
        return; // a machine without IPv6
    }
    let port = TcpListener::bind("0.0.0.0:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut options = options();
    options.listen = vec![
        (Ipv4Addr::UNSPECIFIED, port).into(),
        (Ipv6Addr::UNSPECIFIED, port).into(),
    ];
    let _server = Served::start(Site::default(), options);
    for address in [
        (IpAddr::from(Ipv4Addr::LOCALHOST), port),
        (IpAddr::from(Ipv6Addr::LOCALHOST), port),
    ] {
        let mut peer = Peer::connect(address.into());
        peer.send(REQUEST);
        let _ = peer.expect_reply(200);
    }
}

/// What a connection has said when it is reset, or ends without a word.
fn stages() -> Vec<(&'static str, Vec<u8>)> {
    let open = upgrade_request("/echo", &[]).into_bytes();
    let then = |more: &[u8]| [&open[..], more].concat();
    let large = frames::binary(&vec![1; 1 << 20]);
    vec![
        ("after connect", Vec::new()),
        ("in a head", open[..50].to_vec()),
        ("after a request", REQUEST.as_bytes().to_vec()),
        ("after the 101", then(b"")),
        ("in a frame header", then(&large[..3])),
        ("in a small frame", then(&frames::text("hello")[..8])),
        ("in a large message", then(&large[..700_000])),
        (
            "in a fragmented message",
            then(&frame(OpCode::Text, Fin::More, b"half")),
        ),
        ("while output waits", then(&large.repeat(6))),
    ]
}

#[test]
fn a_reset_at_any_stage_leaves_nothing() {
    let server = Serve::new(BINARY).cores(2).start();
    // One of each first, so that all that is made once is made.
    vanish_at_every_stage(&server);
    eventually_open(&server, 0);
    let descriptors = server.descriptors();
    for _ in 0..5 {
        vanish_at_every_stage(&server);
    }
    eventually_open(&server, 0);
    // Whoever has just asked for the counters may still be there.
    eventually("descriptors return", || server.descriptors() <= descriptors);
    let stats = stats(&server);
    assert!(stats.contains("\"panics\":0"), "{stats}");
}

fn vanish_at_every_stage(server: &Process) {
    for (what, bytes) in stages() {
        for resets in [true, false] {
            let dial = Peer::dial(server.address()).receive_buffer(16 << 10);
            let mut peer = dial.connect();
            let taken = peer.send_what_is_taken(&bytes, Duration::from_millis(300));
            assert!(taken > 0 || bytes.is_empty(), "{what}");
            if bytes.len() > 200 {
                let _ = peer.expect_upgrade();
            }
            if resets {
                peer.reset();
            } else {
                drop(peer);
            }
        }
    }
}

/// The counters of a server, as it tells them.
fn stats(server: &Process) -> String {
    let mut peer = Peer::connect(server.address());
    peer.send("GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    String::from_utf8(peer.expect_reply(200).body).unwrap()
}

fn open_connections(server: &Process) -> usize {
    let stats = stats(server);
    let (_, rest) = stats.split_once("\"connections\":").unwrap();
    let number = rest.split(',').next().unwrap();
    // Whoever asks is one of them.
    number.parse::<usize>().unwrap() - 1
}

fn eventually_open(server: &Process, number: usize) {
    eventually("so many are open", || open_connections(server) == number);
}

/// Rounds of connections that talk and leave: after the first ones memory stays where it is.
#[test]
fn memory_returns_after_churn() {
    let server = Serve::new(BINARY).cores(1).start();
    let churn = |rounds: usize| {
        for _ in 0..rounds {
            let mut peers: Vec<Peer> = (0..100)
                .map(|_| Peer::deflate_websocket(server.address()))
                .collect();
            for peer in &mut peers {
                peer.send(frames::binary(&[7; 20_000]));
                peer.send(frame(OpCode::Text, Fin::More, b"never ended"));
            }
            for (index, mut peer) in peers.into_iter().enumerate() {
                let _ = peer.expect_frame();
                if index % 2 == 0 {
                    peer.reset();
                } else {
                    peer.send(frame(OpCode::Continuation, Fin::Last, b""));
                    peer.expect_text("never ended");
                    peer.close();
                }
            }
        }
        eventually_open(&server, 0);
        server.rss_bytes()
    };
    let before = churn(5);
    let after = churn(20);
    let grown = after.saturating_sub(before);
    assert!(
        grown < 1 << 20,
        "{grown} bytes more after 2,000 connections"
    );
}

#[test]
fn fifteen_thousand_connections() {
    const CONNECTIONS: usize = 15_000;
    let limit = raise_descriptor_limit();
    assert!(
        limit > CONNECTIONS as u64 + 200,
        "the hard limit is {limit}"
    );
    let server = Serve::new(BINARY).cores(2).start();
    let descriptors = server.descriptors();
    let before = server.rss_bytes();
    let address = server.address();
    // 3,000 from each address of this machine, in two threads.
    let connect = |numbers: std::ops::Range<usize>| -> Vec<Peer> {
        numbers
            .map(|number| {
                let from = Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(number / 3000).unwrap());
                let mut peer = Peer::dial(address).from(IpAddr::V4(from)).connect();
                peer.send(upgrade_request(
                    "/echo",
                    &["Sec-WebSocket-Extensions: permessage-deflate"],
                ));
                peer
            })
            .collect()
    };
    let mut peers = thread::scope(|scope| {
        let first = scope.spawn(|| connect(0..CONNECTIONS / 2));
        let mut all = connect(CONNECTIONS / 2..CONNECTIONS);
        all.extend(first.join().unwrap());
        all
    });
    for peer in &mut peers {
        let _ = peer.expect_upgrade();
    }
    assert_eq!(open_connections(&server), CONNECTIONS);
    let each = (server.rss_bytes() - before) / CONNECTIONS;
    println!("{each} bytes of resident memory for each connection");
    assert!(each < 512, "{each} bytes for each idle connection");
    // They are not only there, they work.
    for peer in peers.iter_mut().step_by(10) {
        peer.send(frames::text("anybody?"));
    }
    for peer in peers.iter_mut().step_by(10) {
        peer.expect_text("anybody?");
    }
    // All leave at once.
    drop(peers);
    eventually_open(&server, 0);
    eventually("descriptors return", || server.descriptors() <= descriptors);
}

/// At the limit of descriptors the server neither spins nor dies, and goes on when some are free.
#[test]
fn no_descriptors_left() {
    let server = Serve::with_descriptors(BINARY, 60).cores(1).start();
    let mut peers: Vec<Peer> = (0..20).map(|_| Peer::websocket(server.address())).collect();
    let waiting: Vec<Peer> = (0..100).map(|_| Peer::connect(server.address())).collect();
    // Those who are in are served as before, while the others wait or were turned away.
    let busy = cpu_ms(server.pid());
    for _ in 0..100 {
        for peer in &mut peers {
            peer.send(frames::text("in"));
            peer.expect_text("in");
        }
        thread::sleep(Duration::from_millis(10));
    }
    let busy = cpu_ms(server.pid()) - busy;
    assert!(busy < 500, "{busy} ms of work in a second");
    drop(waiting);
    drop(peers);
    eventually_open(&server, 0);
    let mut peer = Peer::websocket(server.address());
    peer.close();
}

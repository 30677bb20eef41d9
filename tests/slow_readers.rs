//! Clients that read slowly, or not at all: what they may cost, and what they still get.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests have clocks and threads, and a failed unwrap is a failed test"
)]

use std::thread;
use std::time::{Duration, Instant};

use corewire::protocol::frame::OpCode;
use corewire::protocol::native::Dialect;
use corewire::server::Site;
use corewire_testkit::peer::upgrade_request;
use corewire_testkit::served::options;
use corewire_testkit::{NativeClient, Peer, Process, Random, Serve, Served, eventually, frames};

const BINARY: &str = env!("CARGO_BIN_EXE_corewire");
const MIB: usize = 1 << 20;

/// With the default limits: 1 MiB may wait, and one message more.
#[test]
fn two_hundred_clients_that_never_read() {
    const CLIENTS: usize = 200;
    let server = Serve::new(BINARY).cores(1).start();
    let before = server.rss_bytes();
    let address = server.address();
    let connect = || {
        let dial = Peer::dial(address).receive_buffer(16 << 10);
        dial.connect().upgraded()
    };
    let mut peers: Vec<Peer> = (0..CLIENTS).map(|_| connect()).collect();
    thread::scope(|scope| {
        for some in peers.chunks_mut(20) {
            scope.spawn(|| {
                for peer in some {
                    // More echoes than the kernel and the server together keep for one.
                    let wire = frames::binary(&vec![1; MIB]).repeat(6);
                    let _ = peer.send_what_is_taken(&wire, Duration::from_secs(1));
                }
            });
        }
    });
    let mut highest = 0;
    let mut taken = 0;
    let mut stopped = Instant::now();
    while counter(&server, "connections") > 1 {
        highest = highest.max(server.rss_bytes());
        // The kernel takes some more for a while. Who asks gets less than a page.
        let now = counter(&server, "bytes_out");
        if now - taken > 4096 {
            stopped = Instant::now();
        }
        taken = now;
        let waited = stopped.elapsed();
        let open = counter(&server, "connections");
        assert!(
            waited < Duration::from_secs(15),
            "{open} are there after {waited:?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
    let grown = highest - before;
    println!("{} MiB, gone after {:?}", grown / MIB, stopped.elapsed());
    assert!(grown < CLIENTS * 2 * MIB + 8 * MIB, "{grown} bytes");
    // It was a load, not a formality.
    assert!(grown > CLIENTS * MIB / 2, "{grown} bytes");
    drop(peers);
    let mut next = Peer::websocket(address);
    next.close();
}

/// Complaint 29: subscribers that stop reading, as paused tabs do. What they cost does not grow with
/// what is published: a topic's tail is kept once, and a subscriber is its place in it.
#[test]
fn a_thousand_subscribers_that_stop_reading() {
    const CLIENTS: usize = 1000;
    const KIB: usize = 1 << 10;
    let server = Serve::new(BINARY)
        .cores(2)
        .setting("messaging.publish_per_s", "0")
        .start();
    let subprotocol = format!("Sec-WebSocket-Protocol: {}", Dialect::Json.subprotocol());
    let hello = r#"{"id":1,"hello":{"v":1,"subs":[{"s":1,"topic":"news"}]}}"#;
    let peers: Vec<Peer> = (0..CLIENTS)
        .map(|_| {
            let dial = Peer::dial(server.address()).receive_buffer(4 * KIB);
            let mut peer = dial.connect();
            peer.send(upgrade_request("/ws", &[&subprotocol]));
            peer.expect_upgrade();
            peer.send(NativeClient::frame_in(Dialect::Json, hello));
            peer.expect_frame();
            peer
        })
        .collect();
    let mut publisher = NativeClient::connect(server.address(), Dialect::Binary);
    let data = "x".repeat(KIB);
    // The reply to the last of a batch says that all of it is in its place.
    let mut publish_mib = |mib: usize| {
        for _ in 0..mib * MIB / KIB / 64 {
            let batch: Vec<String> = (0..64)
                .map(|_| format!(r#"{{"pub":{{"topic":"news","data":"{data}"}}}}"#))
                .collect();
            publisher.say_all(&batch);
            publisher.ask(r#"{"pub":{"topic":"other","data":0}}"#);
        }
    };
    let before = server.rss_bytes();
    // Until nobody takes any more, neither the kernel nor the connections.
    let mut stopped = before;
    let is_still = (0..16).any(|_| {
        publish_mib(4);
        let grown = server.rss_bytes().saturating_sub(stopped);
        stopped += grown;
        grown < MIB
    });
    assert!(is_still, "{stopped} bytes, and growing");
    publish_mib(16);
    let later = server.rss_bytes();
    println!(
        "{} MiB for all of them, {} KiB more after 16 MiB",
        (stopped - before) / MIB,
        later.saturating_sub(stopped) / KIB
    );
    // A connection holds what was on its way when it stopped: up to the low watermark, and what
    // came at once then. Mostly several hold the same bytes.
    assert!(stopped - before < CLIENTS * 192 * KIB, "{before} {stopped}");
    assert!(later < stopped + 8 * MIB, "{stopped} {later}");
    assert_eq!(counter(&server, "connections"), CLIENTS as u64 + 2);
    drop(peers);
}

/// A number of `/stats`. Whoever asks is one of the connections.
fn counter(server: &Process, name: &str) -> u64 {
    let mut peer = Peer::connect(server.address());
    peer.send("GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let stats = String::from_utf8(peer.expect_reply(200).body).unwrap();
    let (_, rest) = stats.split_once(&format!("\"{name}\":")).unwrap();
    rest.split([',', '}']).next().unwrap().parse().unwrap()
}

#[test]
fn a_steady_reader_gets_everything() {
    let server = Served::start(Site::default(), options());
    let dial = Peer::dial(server.address()).receive_buffer(32 << 10);
    let mut peer = dial.connect().upgraded();
    let mut sender = peer.second_handle();
    let messages: Vec<Vec<u8>> = {
        let mut random = Random::new(11);
        (0..60)
            .map(|_| {
                let len = random.below(400_000);
                random.bytes(len)
            })
            .collect()
    };
    let wire: Vec<Vec<u8>> = messages
        .iter()
        .map(|message| frames::binary(message))
        .collect();
    let total: usize = messages.iter().map(Vec::len).sum();
    let sending = thread::spawn(move || {
        for message in wire {
            sender.send(message);
        }
    });
    let mut taken = 0;
    while taken < total {
        taken += peer.sip_and_keep(40_000);
        thread::sleep(Duration::from_millis(1));
    }
    for message in &messages {
        peer.expect_binary(message);
    }
    sending.join().unwrap();
    assert!(server.count("reads_paused") > 0);
    assert_eq!(
        server.count("stalled") + server.count("over_outbound_cap"),
        0
    );
    peer.close();
}

/// Complaints 27 and 31: of pings that come while output is blocked the newest is answered, between
/// any two frames, and nothing is lost.
#[test]
fn a_ping_is_answered_although_output_waits() {
    let server = Served::start(Site::default(), options());
    let dial = Peer::dial(server.address()).receive_buffer(16 << 10);
    let mut peer = dial.connect().upgraded();
    // Echoes of a few kilobytes, until some wait: the last one did not leave.
    let message = vec![9; 8000];
    let mut sent = 0;
    let blocked = |sent: u64| {
        let answers = 129 + sent * 8004;
        eventually("it is handled", || server.count("messages_in") == sent);
        // What does not leave at once waits; a moment later is soon enough to know.
        let until = Instant::now() + Duration::from_millis(5);
        while Instant::now() < until {
            if server.count("bytes_out") >= answers {
                return false;
            }
        }
        true
    };
    loop {
        peer.send(frames::binary(&message));
        sent += 1;
        assert!(sent < 10_000, "it is never blocked");
        if blocked(sent) {
            break;
        }
    }
    for number in 0..5 {
        peer.send(frames::ping(&[number]));
    }
    eventually("they are read", || server.count("pings_in") == 5);
    let mut echoes = 0;
    let mut pongs = Vec::new();
    while echoes < sent || pongs.last() != Some(&4) {
        let frame = peer.expect_frame();
        if frame.header.opcode == OpCode::Pong {
            pongs.push(frame.payload[0]);
        } else {
            assert_eq!(frame.payload, message);
            echoes += 1;
        }
    }
    assert_eq!(pongs, [4], "one for the newest");
    assert_eq!(server.count("pongs_late"), 1);
    peer.close();
}

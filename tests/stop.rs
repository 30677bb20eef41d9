//! A server that is told to stop: everybody is told in turn, nobody is reset, and it ends.
#![expect(clippy::disallowed_methods, reason = "tests have clocks and threads")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use corewire::Server;
use corewire::server::Site;
use corewire_testkit::peer::upgrade_request;
use corewire_testkit::served::options;
use corewire_testkit::{Ended, Peer, Process, Random, Serve, frames};
use rustix::process::Signal;

const BINARY: &str = env!("CARGO_BIN_EXE_corewire");
const HALF_A_REQUEST: &str = "GET /healthz HTTP/1.1\r\nHost:";
const REQUEST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn two_cores() -> Process {
    Serve::new(BINARY).cores(2).start()
}

#[test]
fn open_websockets_are_told_1001_and_the_process_ends_with_0() {
    let mut server = two_cores();
    let mut peers: Vec<Peer> = (0..50).map(|_| Peer::websocket(server.address())).collect();
    // Each has something to say that crosses the signal.
    server.terminate();
    for peer in &mut peers {
        let _ = peer.send_what_is_taken(&frames::text("crossing"), Duration::from_secs(1));
    }
    for peer in &mut peers {
        assert_eq!(peer.close_code(), Ok(1001));
        peer.send(frames::close(1001));
        peer.expect_end();
    }
    let finished = server.wait();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    let late = Peer::dial(server.address()).try_connect();
    assert_eq!(late.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn what_was_answered_before_the_signal_still_arrives() {
    let mut server = two_cores();
    let dial = Peer::dial(server.address()).receive_buffer(16 << 10);
    let mut peer = dial.connect().upgraded();
    let large = vec![7; 1 << 20];
    peer.send(frames::binary(&large));
    // The first bytes of the answer are here, so the message was handled.
    let _ = peer.sip_and_keep(10);
    server.terminate();
    peer.expect_binary(&large);
    peer.answer_close(1001);
    assert_eq!(server.wait().status.code(), Some(0));
}

#[test]
fn idle_connections_do_not_hold_it_up() {
    let mut server = two_cores();
    let mut kept = Peer::connect(server.address());
    kept.send(REQUEST);
    let _ = kept.expect_reply(200);
    let mut half = Peer::connect(server.address());
    half.send(HALF_A_REQUEST);
    let mut silent = Peer::connect(server.address());
    let mut asks_late = Peer::connect(server.address());
    asks_late.send(REQUEST);
    let _ = asks_late.expect_reply(200);

    let start = Instant::now();
    server.terminate();
    thread::scope(|scope| {
        scope.spawn(move || {
            // It may have a request on its way.
            asks_late.send(REQUEST);
            let reply = asks_late.reply().unwrap();
            assert!(matches!(reply.status, 200 | 503), "{reply:?}");
            assert_eq!(asks_late.rest(), (Vec::new(), Ended::Cleanly));
        });
        scope.spawn(move || kept.expect_end());
        scope.spawn(move || silent.expect_end());
        scope.spawn(move || {
            let _ = half.expect_reply(408);
            half.expect_end();
        });
    });
    assert_eq!(server.wait().status.code(), Some(0));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
}

/// Connections that the kernel has completed and nobody has accepted.
#[test]
fn the_queue_is_answered_before_the_listeners_close() {
    let mut options = options();
    options.cores = Some(2);
    // So that most of them are accepted after the server was told to stop.
    options.engine.accepts_per_turn = 1;
    let bound = Server::with_options(Site::default(), options)
        .bind()
        .unwrap();
    let address = bound.addresses()[0];
    let mut asking: Vec<Peer> = (0..40).map(|_| Peer::connect(address)).collect();
    let mut upgrading: Vec<Peer> = (0..40).map(|_| Peer::connect(address)).collect();
    let mut silent: Vec<Peer> = (0..5).map(|_| Peer::connect(address)).collect();
    for peer in &mut asking {
        peer.send(REQUEST);
    }
    for peer in &mut upgrading {
        peer.send(upgrade_request("/echo", &[]));
    }
    let start = Instant::now();
    let running = bound.start().unwrap();
    running.stopper().stop();
    let joined = thread::spawn(move || running.join().unwrap());
    for mut peer in asking {
        let reply = peer.reply().unwrap();
        assert!(matches!(reply.status, 200 | 503), "{reply:?}");
        peer.expect_end();
    }
    for mut peer in upgrading {
        told_to_go(&mut peer);
    }
    for peer in &mut silent {
        peer.expect_end();
    }
    drop(silent);
    assert_eq!(joined.join().unwrap(), 0, "none was cut");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// Either 503, or 101 and then 1001. Never a reset.
fn told_to_go(peer: &mut Peer) {
    match peer.expect_status() {
        503 => assert_eq!(peer.rest().1, Ended::Cleanly),
        101 => {
            assert_eq!(peer.close_code(), Ok(1001));
            peer.send(frames::close(1001));
            assert_eq!(peer.rest(), (Vec::new(), Ended::Cleanly));
        }
        status => panic!("{status}"),
    }
}

/// Clients connect as fast as they can until they are refused, so some are always in the midst of
/// it when the listeners close.
#[test]
fn connects_that_race_the_signal_are_answered_or_refused() {
    for round in 0..6 {
        let mut server = two_cores();
        let address = server.address();
        let mut clients = Vec::new();
        for number in 0..4 {
            clients.push(thread::spawn(move || race(address, round * 100 + number)));
        }
        let mut first = Peer::websocket(address);
        server.terminate();
        told_to_go_when_open(&mut first);
        let answered: usize = clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum();
        println!("{answered} were answered before the others were refused");
        assert_eq!(server.wait().status.code(), Some(0));
    }
}

fn told_to_go_when_open(peer: &mut Peer) {
    assert_eq!(peer.close_code(), Ok(1001));
    peer.send(frames::close(1001));
    peer.expect_end();
}

/// Connects until it is refused; returns how often it was answered.
fn race(address: SocketAddr, seed: u64) -> usize {
    let mut random = Random::new(seed);
    let mut open = Vec::new();
    loop {
        let mut peer = match Peer::dial(address).try_connect() {
            Ok(peer) => peer,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
                break;
            }
        };
        let request = upgrade_request("/echo", &[]);
        // Some say nothing before they are accepted, some half, some all.
        let (first, second) = request.split_at(random.below(request.len()));
        peer.send(first);
        peer.send(second);
        open.push(peer);
    }
    for peer in &mut open {
        told_to_go(peer);
    }
    open.len()
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut server = two_cores();
        let mut holds_up = Peer::websocket(server.address());
        server.signal(signal);
        let _ = holds_up.expect_close(1001);
        let start = Instant::now();
        server.signal(signal);
        assert_eq!(server.wait().status.code(), Some(code));
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn a_client_that_never_answers_is_cut() {
    let mut server = Serve::new(BINARY)
        .cores(1)
        .setting("server.shutdown_timeout_ms", "300ms")
        .start();
    let mut deaf = Peer::websocket(server.address());
    let start = Instant::now();
    server.terminate();
    let finished = server.wait();
    let took = start.elapsed();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert!((300..2000).contains(&took.as_millis()), "{took:?}");
    assert!(finished.stderr.contains("cut"), "{}", finished.stderr);
    let _ = deaf.expect_close(1001);
}

#[test]
fn a_second_server_on_the_port_is_refused() {
    let first = two_cores();
    let port = first.address().port();
    let second = Serve::new(BINARY)
        .arguments(&["--listen", &first.address().to_string()])
        .run();
    assert_eq!(second.status.code(), Some(1));
    let expected = format!("port {port} is in use");
    assert!(second.stderr.contains(&expected), "{}", second.stderr);
    // The first one does not notice.
    let mut peer = Peer::websocket(first.address());
    peer.send(frames::text("still here"));
    peer.expect_text("still here");
}

/// The port is free again at once, although connections of the old server linger in the kernel.
#[test]
fn a_new_server_takes_the_port_over() {
    let mut first = two_cores();
    let address = first.address();
    let mut peer = Peer::websocket(address);
    first.terminate();
    peer.answer_close(1001);
    assert_eq!(first.wait().status.code(), Some(0));
    let listen = address.to_string();
    // The last --listen counts among others; both are served.
    let second = Serve::new(BINARY).arguments(&["--listen", &listen]).start();
    let mut peer = Peer::websocket(address);
    peer.close();
    drop(second);
}

//! An event loop that spins before it sleeps: it serves, it stops, and it does not spin for ever.
#![expect(clippy::disallowed_methods, reason = "tests have clocks and threads")]

use std::thread;
use std::time::Duration;

use corewire::Server;
use corewire::server::{Options, ServerError, Site};
use corewire_testkit::served::options;
use corewire_testkit::system::cpu_ms;
use corewire_testkit::{Peer, Serve, Served, frames};

const BINARY: &str = env!("CARGO_BIN_EXE_corewire");

fn spinning(spin_us: u32) -> Options {
    Options {
        spin_us,
        ..options()
    }
}

#[test]
fn a_spinning_server_serves_and_stops() {
    let server = Served::start(Site::default(), spinning(10_000));
    let mut peer = Peer::websocket(server.address());
    for number in 0..200 {
        peer.send(frames::text(&number.to_string()));
        peer.expect_text(&number.to_string());
    }
    server.stop();
    let _ = peer.expect_close(1001);
    assert_eq!(server.join(), 0);
}

#[test]
fn a_server_without_traffic_does_not_spin() {
    let server = Serve::new(BINARY)
        .cores(1)
        .arguments(&["--spin-us", "10000"])
        .start();
    let mut peer = Peer::websocket(server.address());
    for _ in 0..100 {
        peer.send(frames::text("?"));
        peer.expect_text("?");
    }
    // At most four spins of 10 ms are left, where a loop that went on would be busy all the time.
    let busy = cpu_ms(server.pid());
    thread::sleep(Duration::from_millis(500));
    let busy = cpu_ms(server.pid()) - busy;
    assert!(busy <= 100, "{busy} ms of work in half a second of rest");
}

#[test]
fn loops_that_would_keep_each_other_from_running_are_refused() {
    let processors = thread::available_parallelism().unwrap().get();
    let options = |cores, spin_us| Options {
        cores: Some(cores),
        ..spinning(spin_us)
    };
    let refused = Server::with_options(Site::default(), options(processors + 1, 50)).bind();
    let error = refused.err().unwrap();
    assert!(matches!(error, ServerError::Spin { .. }));
    let message = error.to_string();
    let remedy = format!("--cores {processors} or --spin-us 0");
    assert!(message.contains(&remedy), "{message}");
    for (cores, spin_us) in [(processors, 50), (processors + 1, 0)] {
        assert!(
            Server::with_options(Site::default(), options(cores, spin_us))
                .bind()
                .is_ok()
        );
    }
}

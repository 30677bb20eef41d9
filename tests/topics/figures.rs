//! What catching up costs, in figures for docs/configuration.md. They want a quiet machine:
//! `cargo test --release --test topics -- --ignored --nocapture figures`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corewire::messaging::Options;
use corewire::protocol::native::Dialect;
use corewire_testkit::peer::upgrade_request;
use corewire_testkit::{NativeClient, Peer, Served, quantile};

use crate::{cores, unlimited};

/// Messages that somebody has missed.
const MISSED: u64 = 100_000;
/// Their data.
const BYTES: usize = 128;
/// Messages of another topic, one after the other.
const LIVE: usize = 5_000;

#[test]
#[ignore = "measures, and takes the machine for itself"]
#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is the question"
)]
fn catching_up_in_figures() {
    let history = Options {
        history_messages: usize::try_from(MISSED).unwrap() + 1,
        history_bytes: 1 << 30,
        history_budget_bytes: 1 << 30,
        ..unlimited()
    };
    let server = cores(1, history);
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    let data = "x".repeat(BYTES);
    let command = format!(r#"{{"pub":{{"topic":"bulk","data":"{data}"}}}}"#);
    for _ in 0..MISSED / 100 {
        publisher.say_all(&vec![command.clone(); 100]);
        publisher.ask(r#"{"pub":{"topic":"live","data":0}}"#);
    }
    // Written in this dialect once: whoever comes next is sent the same bytes.
    for reader in ["the first one who reads", "the next one"] {
        let begin = Instant::now();
        catch_up(&server);
        let rate = u128::from(MISSED) * 1_000_000 / begin.elapsed().as_micros();
        println!("{reader}: {rate} messages a second");
    }
    println!("a message of another topic alone: {}", live(&server));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                catch_up(&server);
            }
        });
        println!("beside a reader that catches up: {}", live(&server));
        stop.store(true, Ordering::Relaxed);
    });
}

/// Reads all that was missed.
fn catch_up(server: &Served) {
    let mut peer = Peer::connect(server.address());
    let subprotocol = format!("Sec-WebSocket-Protocol: {}", Dialect::Json.subprotocol());
    peer.send(upgrade_request("/ws", &[&subprotocol]));
    peer.expect_upgrade();
    let hello = format!(
        r#"{{"id":1,"hello":{{"v":1,"subs":[{{"s":1,"topic":"bulk","from":{{"last":{MISSED}}}}}]}}}}"#
    );
    peer.send(NativeClient::frame_in(Dialect::Json, &hello));
    // Its welcome, and the topic's name.
    for _ in 0..MISSED + 2 {
        peer.expect_frame();
    }
}

/// How long messages of another topic take from the publisher's call to its own subscription.
#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is the question"
)]
fn live(server: &Served) -> String {
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    client.ask(r#"{"sub":{"s":1,"topic":"live"}}"#);
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..LIVE {
        let begin = Instant::now();
        client.say(r#"{"pub":{"topic":"live","data":1}}"#);
        client.expect_push("msg");
        times.push(begin.elapsed());
    }
    let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
    format!("p50 {p50:?}, p99 {p99:?}")
}

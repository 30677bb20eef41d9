//! Somebody whose machine sleeps, and wakes up in another network.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use corewire_testkit::{PATIENCE, Peer, Process, Proxy, Serve, Weather, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{BINARY, CORES};

/// The server gives a client up that says nothing for twice as long.
const PATIENCE_MS: &str = "300ms";
/// Numbers that are printed between two misfortunes.
const STRETCH: u64 = 300;

// USERS 4, 9: prints every number once, in order.
#[test]
fn who_is_suspended_cut_and_moved_is_told_every_number_once_and_in_order() {
    let server = Serve::new(BINARY)
        .cores(CORES)
        .setting("messaging.ping_ms", PATIENCE_MS)
        .setting("messaging.slack_ms", PATIENCE_MS)
        .setting("messaging.history_messages", "1000000")
        .start();
    let proxy = Proxy::start(server.address(), 1, Weather::FAIR);
    let sub = Sub::start(proxy.address());
    let numbers = Numbers::start(server.address());
    let mut printed = 0;
    let mut connected = 0;
    // It has come back over another connection, and prints what comes.
    let mut go_on = || {
        eventually("it comes back", || proxy.connections() > connected);
        connected = proxy.connections();
        sub.prints(printed + 1..=printed + STRETCH);
        printed += STRETCH;
    };
    go_on();

    sub.signal(Signal::STOP);
    eventually("the server gives up who sleeps", || {
        connections(&server) == 1
    });
    sub.signal(Signal::CONT);
    go_on();

    proxy.move_to(Ipv4Addr::new(127, 0, 0, 2));
    go_on();

    // It is moved in its sleep, and wakes up before the server has noticed.
    sub.signal(Signal::STOP);
    proxy.move_to(Ipv4Addr::new(127, 0, 0, 3));
    sub.signal(Signal::CONT);
    go_on();

    // And after that.
    sub.signal(Signal::STOP);
    proxy.move_to(Ipv4Addr::new(127, 0, 0, 4));
    eventually("the server gives up who is gone", || {
        connections(&server) == 1
    });
    sub.signal(Signal::CONT);
    go_on();

    let last = numbers.stop();
    sub.prints(printed + 1..=last);
}

/// Connections that the server has, without the one that asks.
fn connections(server: &Process) -> u64 {
    let mut peer = Peer::connect(server.address());
    peer.send("GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let stats: Value = serde_json::from_slice(&peer.expect_reply(200).body).unwrap();
    stats["connections"].as_u64().unwrap() - 1
}

/// `corewire sub numbers`.
struct Sub {
    child: Child,
    lines: Receiver<String>,
}

impl Sub {
    fn start(server: SocketAddr) -> Self {
        let mut child = Command::new(BINARY)
            .env_clear()
            .args(["sub", "numbers", "--retry-max-ms", "20"])
            .args(["--url", &format!("ws://{server}/ws")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut words = BufReader::new(child.stderr.take().unwrap()).lines();
        let subscribed = |line: Result<String, _>| line.unwrap().starts_with("subscribed to");
        assert!(words.any(subscribed), "it ends");
        // What it says further is read so that it need not wait.
        thread::spawn(move || words.for_each(drop));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines: receiver,
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The next lines are these numbers.
    fn prints(&self, numbers: RangeInclusive<u64>) {
        for number in numbers {
            let line = self.lines.recv_timeout(PATIENCE).unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(line["data"].as_u64(), Some(number), "{line}");
        }
    }
}

impl Drop for Sub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counts, by `corewire pub numbers --lines`, until it is stopped.
struct Numbers {
    child: Child,
    over: Arc<AtomicBool>,
    counter: JoinHandle<u64>,
}

impl Numbers {
    fn start(server: SocketAddr) -> Self {
        let mut child = Command::new(BINARY)
            .env_clear()
            .args(["pub", "numbers", "--lines"])
            .args(["--url", &format!("ws://{server}/ws")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let counter = thread::spawn(move || {
            let mut last = 0;
            while !is_over.load(Ordering::Relaxed) {
                last += 1;
                writeln!(stdin, "{last}").unwrap();
                thread::sleep(Duration::from_millis(1));
            }
            last
        });
        Self {
            child,
            over,
            counter,
        }
    }

    /// The last number, when all are published.
    fn stop(mut self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        let last = self.counter.join().unwrap();
        assert!(self.child.wait().unwrap().success());
        last
    }
}

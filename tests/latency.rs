//! How long a message takes from its publisher to its subscribers, and whether it arrives, under the
//! load that the promise names: 200 topics with 50 subscribers each, 128 B, half of the rate that
//! saturates. Measured by the tool that is shipped, with one core and with two. It takes the machine
//! for itself: `make latency`.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::Command;

use corewire_testkit::{Process, Serve};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_corewire");
/// Publishers may send as fast as they can.
const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/rivals/fanout.toml");
const SUBSCRIBERS: u64 = 10_000;
const TOPICS: u64 = 200;
/// The promise: 99 of 100 messages are there within this time.
const P99_NS_MAX: u64 = 100_000_000;
/// The promise for topics without a log; those with one lose nothing.
const DELIVERED_MIN: f64 = 0.999;

#[test]
#[ignore = "measures, and takes the machine for itself: `make latency`"]
fn a_message_is_there_within_100_ms_at_half_of_what_saturates() {
    for class in ["volatile", "logged"] {
        for cores in [1, 2] {
            let most = measure((class, cores), &["--in-flight", "50", "--seconds", "4"]);
            let most = most["deliveries_per_second"].as_f64().unwrap();
            let rate = (most / 2.0 / (SUBSCRIBERS / TOPICS) as f64).round();
            let load = ["--rate", &rate.to_string(), "--seconds", "6"];
            let half = measure((class, cores), &load);
            let p99_ns = half["delivery_ns"]["p99"].as_u64().unwrap();
            let delivered = half["delivered_ratio"].as_f64().unwrap();
            println!(
                "{class}, {cores} cores: {most:.0} deliveries a second at most; at half of it p99 \
                 {:.1} ms, {:.3} % delivered; the others on the machine had {:.0} % of it",
                p99_ns as f64 / 1e6,
                delivered * 100.0,
                half["cpu"]["foreign_share"].as_f64().unwrap() * 100.0,
            );
            assert!(p99_ns < P99_NS_MAX, "{half}");
            let least = if class == "logged" {
                1.0
            } else {
                DELIVERED_MIN
            };
            assert!(delivered >= least, "{half}");
        }
    }
}

/// The report of the load on a server of its own.
fn measure((class, cores): (&str, usize), load: &[&str]) -> Value {
    let server = serve(class, cores);
    let pid = server.pid().to_string();
    let output = Command::new(BINARY)
        .args(["bench", "fanout", &url(&server), "--json", "--size", "128"])
        .args(["--subscribers", &SUBSCRIBERS.to_string()])
        .args(["--topics", &TOPICS.to_string(), "--publishers", "4"])
        .args(["--warmup", "1", "--server-pid", &pid])
        .args(["--subprotocol", "corewire.v1.json", "--ready", "welcome"])
        .args(["--on-publisher", r#"{"id":1,"hello":{"v":1}}"#])
        .args([
            "--on-subscribe",
            r#"{"id":1,"hello":{"v":1,"subs":[{"s":1,"topic":"{topic}"}]}}"#,
        ])
        .args([
            "--publish",
            r#"{"pub":{"topic":"{topic}","data":"{data}"}}"#,
        ])
        .args(load)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn serve(class: &str, cores: usize) -> Process {
    let server = Serve::new(BINARY).cores(cores);
    match class {
        // As benches/rivals/fanout.toml, with a rule for topics.
        "volatile" => server
            .setting("messaging.publish_per_s", "0")
            .topics(">", class)
            .start(),
        _ => server.arguments(&["--config", CONFIGURATION]).start(),
    }
}

fn url(server: &Process) -> String {
    format!("ws://{}/ws", server.address())
}

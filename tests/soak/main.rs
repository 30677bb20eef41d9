//! Everything at once for half an hour, against the real server: `make soak`.
//!
//! Polite clients whose round trips are measured, rooms of connections that talk and are replaced,
//! visitors that come and go in every way they can, compression, floods, readers that are slow and
//! readers that never read; topics with all of that. Every answer is checked. Each second the server's memory, descriptors
//! and counters are written down; at the end they are judged, and drawn as `soak.svg`.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests have clocks and threads, a failed unwrap is a failed test, and somebody waits"
)]

mod load;
mod plot;
mod record;
mod topics;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use corewire_testkit::{Process, Serve, eventually};

use record::{Meter, Record};

const BINARY: &str = env!("CARGO_BIN_EXE_corewire");
/// What polite clients may wait at most, all of them together, while the server and all its clients
/// share two cores.
const P99_MAX: Duration = Duration::from_millis(50);
const MINUTES_DEFAULT: f64 = 30.0;

#[test]
#[ignore = "half an hour: `make soak`, `make soak MINUTES=3`"]
fn soak() {
    // What is kept for minutes is flat no sooner.
    let server = Serve::new(BINARY)
        .cores(2)
        .setting("messaging.history_age_ms", "10s")
        .setting("messaging.dedup_ms", "10s")
        .setting("messaging.topic_idle_ms", "2s")
        .start();
    let mut meter = Meter::new(&server);
    let before = meter.read(0);
    let stop = AtomicBool::new(false);
    let (polite, round_trips) = channel();
    let mut record = thread::scope(|scope| {
        load::start(scope, server.address(), &stop, &polite);
        drop(polite);
        let record = watch(&mut meter, &round_trips, &stop);
        stop.store(true, Ordering::Relaxed);
        record
    });
    eventually("all clients are gone", || meter.read(0).connections == 1);
    let after = meter.read(0);

    record.end(&round_trips);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::write(folder.join("soak.svg"), plot::svg(&record)).unwrap();
    fs::write(folder.join("soak.csv"), record.csv()).unwrap();
    println!("{record}");
    println!("plot: {}/soak.svg, figures: soak.csv", folder.display());

    assert!(
        meter.is_mixed(),
        "a part of the load is missing: {}",
        meter.counters()
    );
    assert_eq!(after.panics, 0);
    assert_eq!(
        after.descriptors, before.descriptors,
        "descriptors are left open"
    );
    let p99 = record.p99();
    assert!(p99 < P99_MAX, "polite clients wait {p99:?}");
    let growth = record.growth();
    assert!(growth.is_flat(), "memory grows: {growth}");
    server_ends_well(server);
}

/// Writes down what the server is like, each second until the time is over or a client has failed.
fn watch(meter: &mut Meter<'_>, round_trips: &Receiver<Duration>, stop: &AtomicBool) -> Record {
    let minutes = std::env::var("MINUTES").map_or(MINUTES_DEFAULT, |text| {
        text.parse()
            .expect("MINUTES is a number, such as 30 or 0.5")
    });
    let seconds = Duration::from_secs_f64(minutes * 60.0).as_secs();
    let mut record = Record::default();
    let start = Instant::now();
    for second in 1..=seconds {
        let due = start + Duration::from_secs(second);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        record.add(meter.read(second), round_trips);
        if second % 60 == 0 {
            println!("{}", record.last_minute());
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    record
}

fn server_ends_well(mut server: Process) {
    server.terminate();
    let finished = server.wait();
    assert!(finished.status.success(), "{finished:?}");
}

//! What is measured each second, and what is made of it.

use std::fmt;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use corewire_testkit::{Peer, Process, quantile};

/// The first part of the run does not count for memory: caches fill, pools grow to their size.
const WARM_UP_SHARE: usize = 4;
/// The rest is looked at in so many pieces, each by its least: what a flood costs while it lasts is
/// no leak.
const PIECES: usize = 12;
/// How much the least may grow from the first of them to the last, along a straight line. What the
/// allocator keeps moves by 2 MiB; in half an hour with a million connections this is 9 bytes each.
const GROWTH_MAX_BYTES: f64 = 8.0 * 1024.0 * 1024.0;
/// Counters that a run is nothing worth without.
const MIXED: [&str; 13] = [
    "upgraded",
    "http_refused",
    "pings_in",
    "pongs_late",
    "protocol_errors",
    "reads_paused",
    "stalled",
    "turns_cut",
    "delivered",
    "publications_known",
    "conflated",
    "state_told",
    "state_pages",
];

/// The server at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) second: u64,
    pub(crate) rss_bytes: usize,
    pub(crate) descriptors: usize,
    pub(crate) connections: u64,
    /// Since the start.
    pub(crate) accepted: u64,
    /// Since the start.
    pub(crate) messages: u64,
    /// Since the start. Anything but 0 is a bug.
    pub(crate) panics: u64,
    /// Of polite clients, in the second before.
    pub(crate) p99: Duration,
}

/// Reads the server's figures, over one connection that it keeps.
pub(crate) struct Meter<'a> {
    server: &'a Process,
    peer: Peer,
    stats: String,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(server: &'a Process) -> Self {
        Self {
            server,
            peer: Peer::connect(server.address()),
            stats: String::new(),
        }
    }

    pub(crate) fn read(&mut self, second: u64) -> Sample {
        self.peer
            .send("GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stats = String::from_utf8(self.peer.expect_reply(200).body).unwrap();
        Sample {
            second,
            rss_bytes: self.server.rss_bytes(),
            descriptors: self.server.descriptors(),
            connections: self.counter("connections"),
            accepted: self.counter("accepted"),
            messages: self.counter("messages_in"),
            panics: self.counter("panics"),
            p99: Duration::ZERO,
        }
    }

    /// A counter at the last reading.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let (_, rest) = self.stats.split_once(&format!("\"{name}\":")).unwrap();
        rest.split([',', '}']).next().unwrap().parse().unwrap()
    }

    /// All counters at the last reading.
    pub(crate) fn counters(&self) -> &str {
        &self.stats
    }

    /// Whether every kind of load has left its mark.
    pub(crate) fn is_mixed(&self) -> bool {
        MIXED.iter().all(|name| self.counter(name) > 0)
    }
}

/// A whole run.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) samples: Vec<Sample>,
    round_trips: Vec<Duration>,
    p99: Duration,
}

impl Record {
    /// Adds a reading, and the round trips since the one before.
    pub(crate) fn add(&mut self, mut sample: Sample, round_trips: &Receiver<Duration>) {
        let mut times: Vec<Duration> = round_trips.try_iter().collect();
        self.round_trips.extend_from_slice(&times);
        if !times.is_empty() {
            sample.p99 = quantile(&mut times, 0.99);
        }
        self.samples.push(sample);
    }

    /// Takes the last round trips.
    pub(crate) fn end(&mut self, round_trips: &Receiver<Duration>) {
        self.round_trips.extend(round_trips.try_iter());
        self.p99 = quantile(&mut self.round_trips, 0.99);
    }

    /// Of all round trips.
    pub(crate) const fn p99(&self) -> Duration {
        self.p99
    }

    pub(crate) fn growth(&self) -> Growth {
        let sizes = self.samples.iter().map(|sample| sample.rss_bytes);
        Growth::of(&sizes.collect::<Vec<_>>())
    }

    pub(crate) fn csv(&self) -> String {
        let mut csv = String::from(
            "second,rss_bytes,descriptors,connections,accepted,messages,panics,p99_us\n",
        );
        for sample in &self.samples {
            csv += &format!(
                "{},{},{},{},{},{},{},{}\n",
                sample.second,
                sample.rss_bytes,
                sample.descriptors,
                sample.connections,
                sample.accepted,
                sample.messages,
                sample.panics,
                sample.p99.as_micros(),
            );
        }
        csv
    }

    /// A line for whoever waits.
    pub(crate) fn last_minute(&self) -> String {
        let Some(last) = self.samples.last() else {
            return String::new();
        };
        let minute = &self.samples[self.samples.len().saturating_sub(60)..];
        let slowest = minute.iter().map(|sample| sample.p99).max();
        format!(
            "{:3} min: {} KiB, {} connections, {} accepted, {} messages, worst second's p99 {:?}",
            last.second / 60,
            last.rss_bytes >> 10,
            last.connections,
            last.accepted,
            last.messages,
            slowest.unwrap_or_default(),
        )
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.samples.last().expect("a run has seconds");
        write!(
            f,
            "soak: {} s, {} connections, {} messages, polite p99 {:?} of {}, memory {}",
            last.second,
            last.accepted,
            last.messages,
            self.p99,
            self.round_trips.len(),
            self.growth(),
        )
    }
}

/// What became of memory after the warm-up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    /// The least at the end, on the line, less that at the beginning.
    bytes: f64,
    level_bytes: f64,
}

impl Growth {
    /// From sizes of a process at equal intervals.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn of(sizes: &[usize]) -> Self {
        let counted = &sizes[sizes.len() / WARM_UP_SHARE..];
        let piece = counted.len().div_ceil(PIECES).max(1);
        let least = counted.chunks(piece).filter_map(|piece| piece.iter().min());
        let points: Vec<(f64, f64)> = (0_u32..)
            .map(f64::from)
            .zip(least.map(|&bytes| bytes as f64))
            .collect();
        let count = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let covariance: f64 = points.iter().map(|at| (at.0 - x) * (at.1 - y)).sum();
        let variance: f64 = points.iter().map(|at| (at.0 - x).powi(2)).sum();
        let slope = if variance > 0.0 {
            covariance / variance
        } else {
            0.0
        };
        Self {
            bytes: slope * (count - 1.0),
            level_bytes: y,
        }
    }

    pub(crate) fn is_flat(self) -> bool {
        self.bytes < GROWTH_MAX_BYTES
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (level, bytes) = (self.level_bytes / 1024.0, self.bytes / 1024.0);
        write!(f, "{level:.0} KiB, {bytes:+.0} KiB after the warm-up")
    }
}

/// What would become of a leak, and of polite clients that wait.
#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use corewire_testkit::Random;

    use super::*;

    const MIB: usize = 1 << 20;

    /// A run of three minutes: 30 MiB, up to as much again in a second with a flood.
    fn noisy(leak_a_second: usize) -> Growth {
        let mut random = Random::new(3);
        let sizes = (0..180).map(|second| {
            let flood = if random.once_in(3) {
                0
            } else {
                random.below(30 * MIB)
            };
            30 * MIB + flood + second * leak_a_second
        });
        Growth::of(&sizes.collect::<Vec<_>>())
    }

    #[test]
    fn floods_are_no_leak_and_a_leak_is_seen_among_them() {
        assert!(noisy(0).is_flat(), "{}", noisy(0));
        assert!(!noisy(128 << 10).is_flat(), "{}", noisy(128 << 10));
    }

    #[test]
    fn polite_clients_that_wait_are_seen_whenever_they_do() {
        let (polite, round_trips) = channel();
        let wait = |number, ms| {
            (0..number).for_each(|_| polite.send(Duration::from_millis(ms)).unwrap());
        };
        let mut record = Record::default();
        wait(950, 1);
        record.add(sample(1), &round_trips);
        wait(20, 80);
        wait(20, 1);
        record.add(sample(2), &round_trips);
        // Behind the last reading.
        wait(15, 90);
        record.end(&round_trips);
        assert_eq!(record.p99(), Duration::from_millis(90));
        let seconds = record.samples.iter().map(|sample| sample.p99.as_millis());
        assert_eq!(seconds.collect::<Vec<_>>(), [1, 80]);
    }

    fn sample(second: u64) -> Sample {
        Sample {
            second,
            rss_bytes: 0,
            descriptors: 0,
            connections: 0,
            accepted: 0,
            messages: 0,
            panics: 0,
            p99: Duration::ZERO,
        }
    }

    #[test]
    fn what_grows_in_the_warm_up_only_is_flat() {
        let sizes: Vec<usize> = (0..400).map(|second| second.min(90) * MIB).collect();
        assert!(Growth::of(&sizes).is_flat());
        let sizes: Vec<usize> = (0..400).map(|second| second.min(300) * MIB).collect();
        assert!(!Growth::of(&sizes).is_flat());
    }
}

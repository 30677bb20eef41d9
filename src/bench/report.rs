//! What reports have in common: percentiles, CPU, warnings, and how figures are written.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::cpu::Used;
use super::pace::Kept;

/// Above this share of the machine used by others, figures are rough.
const FOREIGN_SHARE_MAX: f64 = 0.05;
/// From this share of a processor on a thread is full.
const FULL_SHARE: f64 = 0.95;

/// Times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half of all are at most this.
    pub p50: u64,
    /// 90 of 100.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1,000.
    #[serde(rename = "p99.9")]
    pub p99_9: u64,
    /// The longest.
    pub max: u64,
}

impl Latency {
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: histogram.max(),
        }
    }
}

/// The CPU time of one side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cpu {
    /// Nanoseconds per message.
    pub ns_per_message: f64,
    /// Processors in use, 1.0 being one.
    pub share: f64,
    /// The share of its busiest thread.
    pub busiest_thread_share: f64,
}

/// The CPU time of everybody.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Load {
    /// The server's, if its pid is known.
    pub server: Option<Cpu>,
    /// Our own.
    pub generator: Cpu,
    /// Everybody else's, as a share of all processors of this machine, if the server's is known.
    pub foreign_share: Option<f64>,
    /// The server's and everybody else's together, likewise.
    pub rest_share: f64,
}

impl Load {
    /// `rate` is messages per second. The time in which `used` was used is not exactly that in
    /// which they were counted, so it is put in relation to a rate and not to a number.
    pub(super) fn of(used: &Used, rate: f64) -> Self {
        let messages = rate * used.elapsed_ns as f64 / 1e9;
        let cpu = |ns: u64, busiest_ns: u64| Cpu {
            ns_per_message: ns as f64 / messages.max(1.0),
            share: ns as f64 / used.elapsed_ns.max(1) as f64,
            busiest_thread_share: busiest_ns as f64 / used.elapsed_ns.max(1) as f64,
        };
        Self {
            server: used
                .server_ns
                .zip(used.server_busiest_ns)
                .map(|(ns, busiest_ns)| cpu(ns, busiest_ns)),
            generator: cpu(used.own_ns, used.own_busiest_ns),
            foreign_share: used.foreign_share,
            rest_share: used.rest_share,
        }
    }

    /// What makes the figures worth less.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(foreign) = self.foreign_share
            && foreign > FOREIGN_SHARE_MAX
        {
            warnings.push(format!(
                "others used {:.0} % of this machine's CPUs: the figures are rough",
                foreign * 100.0
            ));
        }
        if self.server.is_some_and(|server| server.share <= 0.0) {
            warnings.push(
                "the process of --server-pid has used no CPU time: it is not the server".to_owned(),
            );
        }
        let generator_full = self.generator.busiest_thread_share >= FULL_SHARE;
        match self.server {
            Some(server) if generator_full && server.busiest_thread_share < FULL_SHARE => {
                warnings.push(format!(
                    "the generator is the bottleneck: a thread of it is full, the server's busiest \
                     is at {:.0} %: try --threads, or fewer connections",
                    server.busiest_thread_share * 100.0
                ));
            }
            None if generator_full => warnings.push(
                "a thread of the generator is full, so it may be the bottleneck: --server-pid would tell"
                    .to_owned(),
            ),
            Some(_) | None => {}
        }
        warnings
    }
}

/// A number with its thousands set apart.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number of things, one or many.
pub(super) fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// A line of a table: a name and what it has.
pub(super) fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<16}{value}")
}

/// Nanoseconds as microseconds, right-aligned.
fn microseconds(ns: u64) -> String {
    let us = ns as f64 / 1000.0;
    if us < 100.0 {
        format!("{us:>10.1} us")
    } else {
        format!("{:>10} us", grouped(us))
    }
}

/// The lines of a latency.
pub(super) fn latency(f: &mut fmt::Formatter<'_>, name: &str, latency: &Latency) -> fmt::Result {
    for (name, ns) in [
        (format!("{name} p50").as_str(), latency.p50),
        ("p90", latency.p90),
        ("p99", latency.p99),
        ("p99.9", latency.p99_9),
        ("max", latency.max),
    ] {
        line(f, &format!("{name:>14}"), &microseconds(ns))?;
    }
    Ok(())
}

/// The line of an open loop's schedule.
pub(super) fn schedule(f: &mut fmt::Formatter<'_>, kept: &Kept) -> fmt::Result {
    let value = format!(
        "{:>10} due, {} of them sent late, {} held up by the server",
        grouped(kept.due as f64),
        grouped(kept.late as f64),
        grouped(kept.blocked as f64)
    );
    line(f, "schedule", &value)
}

/// The lines of everybody's CPU; `unit` is what it is counted per.
pub(super) fn load(f: &mut fmt::Formatter<'_>, load: &Load, unit: &str) -> fmt::Result {
    let cpu = |cpu: &Cpu| {
        format!(
            "{:>10} ns a {unit}, {:.0} % of a CPU",
            grouped(cpu.ns_per_message),
            cpu.share * 100.0
        )
    };
    if let Some(server) = &load.server {
        line(f, "server CPU", &cpu(server))?;
    }
    line(f, "generator CPU", &cpu(&load.generator))?;
    let (share, whose) = match load.foreign_share {
        Some(foreign) => (foreign, ""),
        None => (
            load.rest_share,
            ", a server on it included: --server-pid tells it from others",
        ),
    };
    let others = format!("{:>10.1} % of this machine{whose}", share * 100.0);
    line(f, "others' CPU", &others)
}

/// The warnings at the end.
pub(super) fn warnings(f: &mut fmt::Formatter<'_>, warnings: &[String]) -> fmt::Result {
    if !warnings.is_empty() {
        writeln!(f)?;
    }
    warnings
        .iter()
        .try_for_each(|warning| writeln!(f, "warning: {warning}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let of = |number: f64| grouped(number);
        assert_eq!(
            [of(0.0), of(999.0), of(1000.0), of(1_234_567.0)],
            ["0", "999", "1 000", "1 234 567"]
        );
    }

    #[test]
    fn a_bottleneck_a_busy_machine_and_a_wrong_process_are_told() {
        let load = |generator_ns, server_ns, foreign_share| {
            Load::of(
                &Used {
                    elapsed_ns: 100,
                    own_ns: generator_ns,
                    own_busiest_ns: generator_ns,
                    server_ns: Some(server_ns),
                    server_busiest_ns: Some(server_ns),
                    foreign_share: Some(foreign_share),
                    rest_share: foreign_share,
                },
                1e9,
            )
            .warnings()
            .len()
        };
        assert_eq!(load(98, 80, 0.0), 1);
        assert_eq!(load(98, 99, 0.0), 0);
        assert_eq!(load(50, 99, 0.0), 0);
        assert_eq!(load(50, 99, 0.06), 1);
        assert_eq!(load(50, 0, 0.0), 1);
    }
}

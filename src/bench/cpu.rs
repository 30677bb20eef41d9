//! Processor time: the server's, our own and everybody else's, from the scheduler's counters.
//!
//! What the kernel does for a socket counts for whoever runs at that moment. Over loopback that is
//! mostly the sender, for the receiver's side too, so generator and server each carry about half.

use std::collections::BTreeMap;
use std::io;

use super::error::Error;

/// Ticks a second in `/proc/stat`, the same on every Linux that we run on.
const TICKS_PER_SECOND: u64 = 100;
const TICK_NS: u64 = 1_000_000_000 / TICKS_PER_SECOND;

/// The counters at one moment.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// When, on the run's clock.
    at: u64,
    own: Threads,
    server: Option<Threads>,
    machine: Machine,
}

/// Nanoseconds that the threads of a process have run.
type Threads = BTreeMap<u32, u64>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Machine {
    /// All processors together.
    busy_ns: u64,
    processors: u64,
}

/// What was used between two samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    /// How long that was.
    pub(super) elapsed_ns: u64,
    /// By us.
    pub(super) own_ns: u64,
    /// By our busiest thread.
    pub(super) own_busiest_ns: u64,
    /// By the server.
    pub(super) server_ns: Option<u64>,
    /// By the server's busiest thread.
    pub(super) server_busiest_ns: Option<u64>,
    /// By everybody else, as a share of all processors.
    pub(super) foreign_share: Option<f64>,
    /// By the server and everybody else, likewise.
    pub(super) rest_share: f64,
}

impl Sample {
    /// Reads the counters; `now` is the moment on the run's clock.
    pub(super) fn take(now: u64, server_pid: Option<u32>) -> Result<Self, Error> {
        Ok(Self {
            at: now,
            own: threads("self").map_err(Error::system("read our own CPU time"))?,
            server: server_pid.map(server_threads).transpose()?,
            machine: machine().map_err(Error::system("read the machine's CPU time"))?,
        })
    }

    /// What was used from `self` to `later`.
    pub(super) fn until(&self, later: &Self) -> Used {
        let elapsed_ns = later.at - self.at;
        let own_ns: u64 = spent(&self.own, &later.own).sum();
        let server = self.server.as_ref().zip(later.server.as_ref());
        let server_ns = server.map(|(before, after)| spent(before, after).sum::<u64>());
        let busy_ns = later.machine.busy_ns.saturating_sub(self.machine.busy_ns);
        let share_without = |known_ns: u64| {
            let rest_ns = busy_ns.saturating_sub(known_ns);
            rest_ns as f64 / (elapsed_ns * later.machine.processors).max(1) as f64
        };
        Used {
            elapsed_ns,
            own_ns,
            own_busiest_ns: spent(&self.own, &later.own).max().unwrap_or(0),
            server_ns,
            server_busiest_ns: server.and_then(|(before, after)| spent(before, after).max()),
            foreign_share: server_ns.map(|server_ns| share_without(own_ns + server_ns)),
            rest_share: share_without(own_ns),
        }
    }
}

/// Nanoseconds that the server has run so far, all threads together.
pub(super) fn server_ns(pid: u32) -> Result<u64, Error> {
    Ok(server_threads(pid)?.values().sum())
}

fn server_threads(pid: u32) -> Result<Threads, Error> {
    threads(&pid.to_string()).map_err(Error::system("read the server's CPU time (--server-pid)"))
}

/// What each thread has run more. What ran in threads that have ended is not counted.
fn spent(before: &Threads, after: &Threads) -> impl Iterator<Item = u64> {
    after
        .iter()
        .map(|(thread, ns)| ns.saturating_sub(before.get(thread).copied().unwrap_or(0)))
}

/// `/proc/PID/task/TID/schedstat`: nanoseconds run, nanoseconds waited, slices.
fn threads(process: &str) -> io::Result<Threads> {
    let mut threads = Threads::new();
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?;
        let schedstat = match std::fs::read_to_string(task.path().join("schedstat")) {
            Ok(schedstat) => schedstat,
            Err(error) if has_ended(&error) => continue,
            Err(error) => return Err(error),
        };
        let thread = task.file_name().to_str().and_then(|name| name.parse().ok());
        let run = schedstat.split_ascii_whitespace().next();
        if let (Some(thread), Some(Ok(run_ns))) = (thread, run.map(str::parse)) {
            threads.insert(thread, run_ns);
        }
    }
    Ok(threads)
}

/// Whether a thread that the directory had is no more: its file cannot be opened, or, if it ended
/// in between, not be read.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn machine() -> io::Result<Machine> {
    Ok(parse_machine(&std::fs::read_to_string("/proc/stat")?))
}

/// The first line of `/proc/stat`: `cpu` user nice system idle iowait irq softirq steal guest
/// guest-nice, in ticks. Guests are counted in user and nice already.
fn parse_machine(stat: &str) -> Machine {
    let mut lines = stat.lines();
    let all = lines.next().unwrap_or_default().split_ascii_whitespace();
    let busy_ticks: u64 = all
        .skip(1)
        .take(8)
        .zip([true, true, true, false, false, true, true, true])
        .filter_map(|(ticks, busy)| busy.then(|| ticks.parse::<u64>().ok()).flatten())
        .sum();
    Machine {
        busy_ns: busy_ticks * TICK_NS,
        processors: lines.filter(|line| line.starts_with("cpu")).count() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_line_is_summed_without_idle_time() {
        let stat = "cpu  100 1 20 9000 300 2 3 4 50 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 1 2\n";
        let machine = parse_machine(stat);
        assert_eq!(machine.busy_ns, 130 * TICK_NS);
        assert_eq!(machine.processors, 2);
    }

    #[test]
    fn threads_that_end_meanwhile_are_passed_over() {
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let come_and_go = || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::thread::scope(|inner| drop(inner.spawn(|| {})));
                }
            };
            (0..4).for_each(|_| drop(scope.spawn(come_and_go)));
            let all = (0..2000).try_for_each(|_| threads("self").map(drop));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            all.unwrap();
        });
        assert!(threads("no process").is_err());
    }

    #[test]
    fn a_busy_thread_is_seen() {
        let before = Sample::take(0, Some(std::process::id())).unwrap();
        let clock = crate::bench::clock::Clock::start();
        while clock.now() < 50_000_000 {}
        let used = before.until(&Sample::take(clock.now(), Some(std::process::id())).unwrap());
        // Others may run here, too, but not for two seconds.
        assert!(used.own_ns > 1_000_000, "{used:?}");
        assert!(used.server_busiest_ns.unwrap() <= used.server_ns.unwrap());
        // Here the server is the generator: it is taken off twice.
        assert!(used.foreign_share.unwrap() <= used.rest_share);
    }
}

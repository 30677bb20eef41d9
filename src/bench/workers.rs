//! The threads of a run and the times that all of them keep.
//!
//! Each worker has a poll loop and a part of the connections of its own, and shares nothing with
//! the others while the clock runs. The coordinator, the thread that called, only waits: it says
//! when the load begins, reads the CPU counters at both ends of the measured time and tells how
//! far things are.
//!
//! ```text
//!   worker       open ........ | warm up | measure ....... | drain, verify |
//!   coordinator        all ready         sample CPU        sample CPU      results
//! ```

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use super::clock::{Clock, nanoseconds};
use super::cpu::{Sample, Used};
use super::error::Error;

/// How often progress is told, and how soon a worker sees that another has failed.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// More threads than this are a mistake.
const THREADS_MAX: usize = 64;
/// The longest measured time, and the longest warm-up.
pub(super) const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long a run takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Threads.
    pub(super) threads: usize,
    /// Load before the measured time.
    pub(super) warm_up: Duration,
    /// The measured time.
    pub(super) measure: Duration,
    /// The server's process, if its CPU is of interest.
    pub(super) server_pid: Option<u32>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Connections are being opened.
    Opening,
    /// So many are open, of so many.
    Open {
        /// Those that are.
        open: usize,
        /// Those that will be.
        of: usize,
    },
    /// The server is left to come to rest.
    Settling,
    /// There is load, of which nothing counts yet.
    WarmUp,
    /// What comes now counts.
    Measuring {
        /// How long it has.
        elapsed: Duration,
        /// How long it will.
        of: Duration,
        /// What has been counted so far.
        count: u64,
    },
    /// The last messages come in.
    Draining,
    /// All is over.
    Done,
}

/// Refuses what no run can be.
pub(super) fn check(threads: usize, warm_up: Duration, measure: Duration) -> Result<(), Error> {
    if threads == 0 || threads > THREADS_MAX {
        return Err(Error::Settings(format!(
            "--threads must be 1 to {THREADS_MAX}"
        )));
    }
    if measure.is_zero() || measure > TIME_MAX {
        return Err(Error::Settings(format!(
            "--seconds must be more than 0 and at most {}",
            TIME_MAX.as_secs()
        )));
    }
    if warm_up > TIME_MAX {
        return Err(Error::Settings(format!(
            "--warmup must be at most {}",
            TIME_MAX.as_secs()
        )));
    }
    Ok(())
}

/// Is told how far a run is, about ten times a second.
pub type Watch<'a> = &'a mut dyn FnMut(Progress);

/// When the load is on, on the run's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// The load begins.
    pub(super) begin: u64,
    /// The measured time begins.
    pub(super) from: u64,
    /// It ends, and the load with it.
    pub(super) until: u64,
}

impl Window {
    /// Before there is one.
    pub(super) const NONE: Self = Self {
        begin: u64::MAX,
        from: u64::MAX,
        until: u64::MAX,
    };

    /// Whether `time` is in the measured time.
    pub(super) const fn holds(&self, time: u64) -> bool {
        self.from <= time && time < self.until
    }

    /// The measured seconds.
    pub(super) fn seconds(&self) -> f64 {
        Duration::from_nanos(self.until - self.from).as_secs_f64()
    }
}

/// What a worker has of the others.
#[derive(Debug)]
pub(super) struct Worker<'a, R> {
    /// Which of the threads it is, counted from 0.
    pub(super) number: usize,
    pub(super) clock: Clock,
    shared: &'a Shared,
    events: Sender<Event<R>>,
    start: Receiver<Window>,
}

/// What all threads see.
#[derive(Debug)]
struct Shared {
    threads: usize,
    /// Somebody has failed: there will be no result.
    failed: AtomicBool,
    /// What has been counted.
    count: AtomicU64,
}

#[derive(Debug)]
enum Event<R> {
    Ready,
    Done(usize, Result<R, Error>),
}

impl<R> Worker<'_, R> {
    /// Says that this worker is ready and waits for the others.
    pub(super) fn ready(&self) -> Result<Window, Error> {
        // Nobody listens any more when another worker has failed.
        let _ = self.events.send(Event::Ready);
        self.start.recv().map_err(|_| Error::Elsewhere)
    }

    /// This worker's part of `count` connections.
    pub(super) fn share(&self, count: usize) -> Range<usize> {
        let begin = |number| count * number / self.shared.threads;
        begin(self.number)..begin(self.number + 1)
    }

    /// An error if another worker has failed, so that there is nothing left to do.
    pub(super) fn go_on(&self) -> Result<(), Error> {
        if self.shared.failed.load(Ordering::Relaxed) {
            return Err(Error::Elsewhere);
        }
        Ok(())
    }

    /// Tells how many more were counted.
    pub(super) fn count(&self, more: u64) {
        self.shared.count.fetch_add(more, Ordering::Relaxed);
    }

    /// How many all threads together have counted.
    pub(super) fn counted(&self) -> u64 {
        self.shared.count.load(Ordering::Relaxed)
    }
}

/// What all workers have found, and when.
#[derive(Debug)]
pub(super) struct Outcome<R> {
    pub(super) results: Vec<R>,
    pub(super) window: Window,
    pub(super) used: Used,
}

/// Runs `work` on every thread. It opens its connections, waits with [`Worker::ready`], and keeps
/// to the window that it is given.
pub(super) fn run<R: Send>(
    plan: &Plan,
    clock: Clock,
    watch: Watch<'_>,
    work: impl Fn(&Worker<'_, R>) -> Result<R, Error> + Sync,
) -> Result<Outcome<R>, Error> {
    let shared = Shared {
        threads: plan.threads,
        failed: AtomicBool::new(false),
        count: AtomicU64::new(0),
    };
    let (sender, events) = mpsc::channel();
    thread::scope(|scope| {
        let (mut starts, mut threads) = (Vec::new(), Vec::new());
        for number in 0..plan.threads {
            let (start, receiver) = mpsc::channel();
            starts.push(start);
            let worker = Worker {
                number,
                clock,
                shared: &shared,
                events: sender.clone(),
                start: receiver,
            };
            let work = &work;
            let thread = thread::Builder::new()
                .name(format!("bench-{number}"))
                .spawn_scoped(scope, move || {
                    let result = work(&worker);
                    let _ = worker.events.send(Event::Done(worker.number, result));
                    // Until all are done: the CPU time of a thread that has ended is not counted.
                    let _ = worker.start.recv();
                })
                .map_err(Error::system("start a thread"))?;
            threads.push(thread);
        }
        drop(sender);
        let mut coordinator = Coordinator {
            plan,
            clock,
            shared: &shared,
            events,
            threads,
            results: (0..plan.threads).map(|_| None).collect(),
        };
        let outcome = coordinator.conduct(&starts, watch);
        if outcome.is_err() {
            shared.failed.store(true, Ordering::Relaxed);
        }
        drop(starts);
        outcome
    })
}

struct Coordinator<'a, 'scope, R> {
    plan: &'a Plan,
    clock: Clock,
    shared: &'a Shared,
    events: Receiver<Event<R>>,
    threads: Vec<ScopedJoinHandle<'scope, ()>>,
    results: Vec<Option<R>>,
}

impl<R> Coordinator<'_, '_, R> {
    fn conduct(
        &mut self,
        starts: &[Sender<Window>],
        watch: Watch<'_>,
    ) -> Result<Outcome<R>, Error> {
        let mut ready = 0;
        while ready < self.plan.threads {
            watch(Progress::Opening);
            ready += usize::from(self.next(TICK)? == Next::Ready);
        }
        let begin = self.clock.now();
        let from = begin + nanoseconds(self.plan.warm_up);
        let window = Window {
            begin,
            from,
            until: from + nanoseconds(self.plan.measure),
        };
        for start in starts {
            // A worker that does not listen any more has sent its error.
            let _ = start.send(window);
        }
        self.wait_until(window.from, &mut |_, _| watch(Progress::WarmUp))?;
        let before = Sample::take(self.clock.now(), self.plan.server_pid)?;
        let warm_up_count = self.shared.count.load(Ordering::Relaxed);
        self.wait_until(window.until, &mut |now, count| {
            watch(Progress::Measuring {
                elapsed: Duration::from_nanos(now.saturating_sub(window.from)),
                of: self.plan.measure,
                count: count - warm_up_count,
            });
        })?;
        let after = Sample::take(self.clock.now(), self.plan.server_pid)?;
        while self.results.iter().any(Option::is_none) {
            watch(Progress::Draining);
            self.next(TICK)?;
        }
        watch(Progress::Done);
        Ok(Outcome {
            results: self.results.iter_mut().filter_map(Option::take).collect(),
            window,
            used: before.until(&after),
        })
    }

    fn wait_until(&mut self, end: u64, tick: &mut dyn FnMut(u64, u64)) -> Result<(), Error> {
        loop {
            let now = self.clock.now();
            if now >= end {
                return Ok(());
            }
            tick(now, self.shared.count.load(Ordering::Relaxed));
            self.next(TICK.min(Duration::from_nanos(end - now)))?;
        }
    }

    /// Takes the next event that comes within `timeout`.
    fn next(&mut self, timeout: Duration) -> Result<Next, Error> {
        match self.events.recv_timeout(timeout) {
            Ok(Event::Ready) => Ok(Next::Ready),
            Ok(Event::Done(number, result)) => {
                self.results[number] = Some(result?);
                Ok(Next::Other)
            }
            // They end only when they are told to, or by a panic.
            Err(_) if self.threads.iter().any(ScopedJoinHandle::is_finished) => {
                Err(Error::Elsewhere)
            }
            Err(_) => Ok(Next::Other),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A worker is ready.
    Ready,
    /// A result, or nothing.
    Other,
}

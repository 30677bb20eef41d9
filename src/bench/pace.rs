//! When messages are due in an open loop, and how well that was kept.
//!
//! The times are fixed before anything is sent, and latencies count from them. If the server stalls,
//! or the generator is late, the messages that should have been sent meanwhile count the wait as
//! their users would (Gil Tene calls the other way "coordinated omission").

use serde::Serialize;

/// A message that is sent later than this after it was due is late.
const LATE_NS: u64 = 1_000_000;
/// If more of a run's messages are late, its figures are more the generator's than the server's.
const LATE_SHARE_MAX: f64 = 0.01;
/// If less of a rate is achieved, the server does not keep up with it.
const ACHIEVED_MIN: f64 = 0.99;

/// The times of one thread's messages: every `threads`th of the whole run's.
#[derive(Debug)]
pub(super) struct Schedule {
    begin: u64,
    period_ns: f64,
    next: u64,
    threads: u64,
}

impl Schedule {
    /// From `begin` on `rate` messages a second by all `threads` together; these are those of
    /// thread `number`.
    pub(super) fn new(begin: u64, rate: f64, number: usize, threads: usize) -> Self {
        Self {
            begin,
            period_ns: 1e9 / rate,
            next: number as u64,
            threads: threads as u64,
        }
    }

    /// When the next message is due.
    pub(super) fn due(&self) -> u64 {
        // Exact up to 2^53 ns, a hundred days.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time since the beginning, in nanoseconds"
        )]
        let since = (self.next as f64 * self.period_ns) as u64;
        self.begin + since
    }

    /// It has been sent.
    pub(super) const fn advance(&mut self) {
        self.next += self.threads;
    }
}

/// How well the schedule of an open loop was kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Kept {
    /// Messages a second that were due.
    pub rate: f64,
    /// Messages that were due in the measured time.
    pub due: u64,
    /// Those that the generator sent more than a millisecond later.
    pub late: u64,
    /// The longest such delay.
    pub worst_ns: u64,
    /// Those that had to wait because the server did not read what was sent before.
    pub blocked: u64,
}

impl Kept {
    pub(super) const fn new(rate: f64) -> Self {
        Self {
            rate,
            due: 0,
            late: 0,
            worst_ns: 0,
            blocked: 0,
        }
    }

    /// A message that was due at `due` is sent at `now`.
    pub(super) fn sent(&mut self, due: u64, now: u64, blocked: bool) {
        let delay = now.saturating_sub(due);
        self.due += 1;
        self.late += u64::from(delay > LATE_NS);
        self.worst_ns = self.worst_ns.max(delay);
        self.blocked += u64::from(blocked);
    }

    /// Takes in those of another thread.
    pub(super) fn merge(&mut self, other: &Self) {
        self.due += other.due;
        self.late += other.late;
        self.worst_ns = self.worst_ns.max(other.worst_ns);
        self.blocked += other.blocked;
    }

    /// What makes the figures worth less; `achieved` is the rate at which the work was done.
    pub(super) fn warnings(&self, achieved: f64) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.late as f64 > self.due as f64 * LATE_SHARE_MAX {
            warnings.push(format!(
                "the generator did not keep its schedule: {} of {} messages were sent more than \
                 1 ms after they were due, the latest {:.1} ms. Latencies count from when they \
                 were due, so they are partly the generator's own: use a lower --rate",
                self.late,
                self.due,
                self.worst_ns as f64 / 1e6
            ));
        }
        if achieved < self.rate * ACHIEVED_MIN {
            warnings.push(format!(
                "the rate was not achieved: {:.0} a second were due, {achieved:.0} were done; \
                 latencies grow for as long as that lasts",
                self.rate
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_a_schedule() {
        let times = |number, threads| {
            let mut schedule = Schedule::new(500, 1e6, number, threads);
            let next = std::iter::repeat_with(move || {
                let due = schedule.due();
                schedule.advance();
                due
            });
            next.take(3).collect::<Vec<_>>()
        };
        assert_eq!(times(0, 1), [500, 1500, 2500]);
        assert_eq!(times(0, 2), [500, 2500, 4500]);
        assert_eq!(times(1, 2), [1500, 3500, 5500]);
    }

    #[test]
    fn a_schedule_that_was_not_kept_is_told() {
        let mut kept = Kept::new(1000.0);
        (0..1000).for_each(|_| kept.sent(0, LATE_NS, false));
        assert_eq!(kept.warnings(1000.0).len(), 0);
        assert_eq!(kept.warnings(980.0).len(), 1);
        (0..11).for_each(|_| kept.sent(0, LATE_NS + 1, false));
        assert_eq!(kept.warnings(1000.0).len(), 1);
    }
}

//! When messages are due in an open loop, and how well that was kept.
//!
//! The times are fixed before anything is sent, and latencies count from them. If the server stalls,
//! or the generator is late, the messages that should have been sent meanwhile count the wait as
//! their users would (Gil Tene calls the other way "coordinated omission").

use std::ops::Range;

use serde::Serialize;

/// A message that is sent later than this after it was due is late.
const LATE_NS: u64 = 1_000_000;
/// If more of a run's messages are late, its figures are more the generator's than the server's.
const LATE_SHARE_MAX: f64 = 0.01;
/// If less of a rate is achieved, the server does not keep up with it.
const ACHIEVED_MIN: f64 = 0.99;

/// When the senders of one thread are due. All senders of a run take turns.
#[derive(Debug)]
pub(super) struct Schedule {
    begin: u64,
    period_ns: f64,
    /// The number of the thread's next message among those of the run.
    next: u64,
    /// The thread's senders, among `all`.
    own: Range<u64>,
    all: u64,
}

impl Schedule {
    /// From `begin` on `rate` messages a second by `all` senders together; these are those of the
    /// senders `own`, if there are any.
    pub(super) fn new(begin: u64, rate: f64, own: Range<usize>, all: usize) -> Self {
        Self {
            begin,
            period_ns: 1e9 / rate,
            next: own.start as u64,
            own: own.start as u64..own.end as u64,
            all: all as u64,
        }
    }

    /// Who sends the next message.
    pub(super) fn sender(&self) -> usize {
        usize::try_from(self.next % self.all).unwrap_or(usize::MAX)
    }

    /// When the next message is due: never, where nobody sends.
    pub(super) fn due(&self) -> u64 {
        if self.own.is_empty() {
            return u64::MAX;
        }
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
        self.next += 1;
        if self.next % self.all == self.own.end % self.all {
            // The turns of the others.
            self.next += self.all - (self.own.end - self.own.start);
        }
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
        let times = |own, all| {
            let mut schedule = Schedule::new(500, 1e6, own, all);
            let next = std::iter::repeat_with(move || {
                let (due, sender) = (schedule.due(), schedule.sender());
                schedule.advance();
                (due, sender)
            });
            next.take(4).collect::<Vec<_>>()
        };
        let alone = [(500, 0), (1500, 0), (2500, 0), (3500, 0)];
        assert_eq!(times(0..1, 1), alone);
        assert_eq!(times(0..1, 2), [(500, 0), (2500, 0), (4500, 0), (6500, 0)]);
        assert_eq!(times(1..2, 2), [(1500, 1), (3500, 1), (5500, 1), (7500, 1)]);
        assert_eq!(times(0..2, 3), [(500, 0), (1500, 1), (3500, 0), (4500, 1)]);
        assert_eq!(times(1..3, 3), [(1500, 1), (2500, 2), (4500, 1), (5500, 2)]);
        assert_eq!(times(0..2, 2), [(500, 0), (1500, 1), (2500, 0), (3500, 1)]);
        assert_eq!(Schedule::new(500, 1e6, 2..2, 2).due(), u64::MAX);
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

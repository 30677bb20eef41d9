//! The only place that reads clocks.
#![expect(
    clippy::disallowed_methods,
    reason = "the machine has no clock: its driver does"
)]

use std::time::{Duration, Instant, SystemTime};

use tokio::time;

/// Milliseconds since the client began.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    wall_start: SystemTime,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            wall_start: SystemTime::now(),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Milliseconds by which the clock on the wall is ahead of this one, which stands still while
    /// the machine is suspended.
    pub(crate) fn suspended_ms(&self) -> u64 {
        let wall = self.wall_start.elapsed().unwrap_or_default();
        let passed = wall.saturating_sub(self.start.elapsed());
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
    }

    /// The moment at which [`now_ms`](Self::now_ms) is `at_ms`.
    pub(crate) fn at(&self, at_ms: u64) -> time::Instant {
        time::Instant::from_std(self.start + Duration::from_millis(at_ms))
    }
}

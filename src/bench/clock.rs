//! Time as the generator counts it.

use std::time::{Duration, Instant};

/// Nanoseconds since the run began, in 64 bits: timestamps are kept per message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> u64 {
        nanoseconds(self.0.elapsed())
    }
}

/// A duration on this clock; 584 years are its bound.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

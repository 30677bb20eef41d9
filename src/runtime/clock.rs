//! The one place that reads the system's clocks.
#![expect(
    clippy::disallowed_methods,
    reason = "time is an argument everywhere else; it enters here"
)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::engine::{Now, Tick};

/// A clock whose ticks count from its making, equal on all cores that copy it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Microseconds since its making.
    pub(super) fn now_us(self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn now(self) -> Now {
        let ms = self.start.elapsed().as_millis() & u128::from(u32::MAX);
        Now {
            tick: Tick(u32::try_from(ms).unwrap_or(0)),
            unix_ms: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |passed| {
                    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
                }),
        }
    }
}

//! How many control frames a peer may have answered.

use crate::limits::Limits;
use crate::tick::Tick;

/// A token bucket: [`Limits::control_burst`] at once, [`Limits::control_per_second`] after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ControlRate {
    /// Tokens in thousandths: one millisecond earns `control_per_second` of them.
    thousandths: u32,
    counted: Tick,
}

impl ControlRate {
    pub(crate) const fn new(now: Tick, limits: &Limits) -> Self {
        Self {
            thousandths: limits.control_burst.saturating_mul(1000),
            counted: now,
        }
    }

    /// Whether one more control frame is within the rate.
    pub(crate) fn take(&mut self, now: Tick, limits: &Limits) -> bool {
        let earned = now
            .since(self.counted)
            .saturating_mul(limits.control_per_second);
        let full = limits.control_burst.saturating_mul(1000);
        self.thousandths = self.thousandths.saturating_add(earned).min(full);
        self.counted = now;
        match self.thousandths.checked_sub(1000) {
            Some(left) => {
                self.thousandths = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let limits = Limits {
            control_burst: 3,
            control_per_second: 50,
            ..Limits::default()
        };
        let mut now = Tick(u32::MAX - 10);
        let mut rate = ControlRate::new(now, &limits);
        let taken =
            |rate: &mut ControlRate, now| (0..10).filter(|_| rate.take(now, &limits)).count();
        assert_eq!(taken(&mut rate, now), 3);
        now = now.after(19);
        assert_eq!(taken(&mut rate, now), 0);
        now = now.after(1);
        assert_eq!(taken(&mut rate, now), 1);
        now = now.after(60_000);
        assert_eq!(taken(&mut rate, now), 3);
    }
}

//! When to come back: exponential backoff with full jitter, so that clients that were cut off
//! together do not return together.

use super::dice::Dice;

/// Bounds of the time between two attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The most that the first return waits, in milliseconds. Each further one waits at most twice
    /// as long as the one before.
    pub first_ms: u64,
    /// The most that any return waits, unless the server asks for more.
    pub max_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first_ms: 500,
            max_ms: 20_000,
        }
    }
}

impl Backoff {
    /// The most that the return after so many failures in a row waits.
    #[must_use]
    pub fn ceiling_ms(self, failures: u32) -> u64 {
        let doubled = 1_u64.checked_shl(failures).unwrap_or(u64::MAX);
        self.first_ms.saturating_mul(doubled).min(self.max_ms)
    }

    /// A moment between 0 and the ceiling, each as likely as any other.
    pub(super) fn wait_ms(self, failures: u32, dice: &mut Dice) -> u64 {
        dice.up_to(self.ceiling_ms(failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_bound_and_fill_the_whole_range() {
        let backoff = Backoff::default();
        let ceilings: Vec<_> = (0..8)
            .map(|failures| backoff.ceiling_ms(failures))
            .collect();
        assert_eq!(
            ceilings,
            [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]
        );
        assert_eq!(backoff.ceiling_ms(200), 20_000);
        let mut dice = Dice::new(7);
        let waits: Vec<_> = (0..1000).map(|_| backoff.wait_ms(0, &mut dice)).collect();
        assert!(waits.iter().all(|&wait| wait <= 500));
        // Full jitter: every fifth of the range is met about as often as any other.
        for fifth in 0..5 {
            let range = fifth * 100..(fifth + 1) * 100;
            let met = waits.iter().filter(|wait| range.contains(*wait)).count();
            assert!((140..260).contains(&met), "{met} of 1000 in {range:?}");
        }
    }
}

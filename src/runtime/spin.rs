//! Whether a core looks for events over and over before it sleeps.
//!
//! To wake a sleeping core takes the system some 40 µs, more than a message takes. A core that
//! spins is there when the event comes. It pays with the whole of its processor while it spins, so
//! it spins for no longer than it was told to, and not again after a few times in vain, until
//! events come in quick succession once more.

/// Spins in vain after which none is tried.
const MISSES_MAX: u32 = 4;
/// A core that slept for no more than this many spins might have met the event by spinning: its
/// sleep has the time to be woken in it.
const NEAR_MISS: u64 = 4;

/// One core's experience with spinning.
#[derive(Debug)]
pub(super) struct Spin {
    bound_us: u64,
    /// How often in a row it was in vain.
    misses: u32,
}

impl Spin {
    /// Spins of at most `bound_us` microseconds; 0 is never.
    pub(super) fn new(bound_us: u32) -> Self {
        Self {
            bound_us: u64::from(bound_us),
            misses: 0,
        }
    }

    pub(super) const fn is_off(&self) -> bool {
        self.bound_us == 0
    }

    /// How many microseconds to spin before a sleep of at most `wait_ms`.
    pub(super) fn time_us(&self, wait_ms: Option<u32>) -> u64 {
        if self.misses >= MISSES_MAX {
            return 0;
        }
        let wait_us = wait_ms.map_or(u64::MAX, |ms| u64::from(ms) * 1000);
        self.bound_us.min(wait_us)
    }

    /// Something came while it spun.
    pub(super) const fn met(&mut self) {
        self.misses = 0;
    }

    /// It spun in vain.
    pub(super) const fn missed(&mut self) {
        self.misses = self.misses.saturating_add(1);
    }

    /// It has slept for so long.
    pub(super) const fn slept(&mut self, us: u64) {
        if self.misses >= MISSES_MAX && us <= self.bound_us * NEAR_MISS {
            self.misses = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MISSES_MAX, Spin};

    #[test]
    fn an_idle_core_stops_spinning_and_a_busy_one_begins_again() {
        let mut spin = Spin::new(50);
        for _ in 0..MISSES_MAX {
            assert_eq!(spin.time_us(None), 50);
            spin.missed();
            spin.slept(1_000_000);
        }
        assert_eq!(spin.time_us(None), 0);
        spin.slept(201);
        assert_eq!(spin.time_us(None), 0);
        spin.slept(200);
        assert_eq!(spin.time_us(None), 50);
    }

    #[test]
    fn one_success_is_enough_to_go_on() {
        let mut spin = Spin::new(50);
        for _ in 1..MISSES_MAX {
            spin.missed();
        }
        spin.met();
        spin.missed();
        assert_eq!(spin.time_us(None), 50);
    }

    #[test]
    fn no_spin_is_longer_than_the_sleep_it_stands_before() {
        assert_eq!(Spin::new(5000).time_us(Some(3)), 3000);
        assert_eq!(Spin::new(5000).time_us(Some(0)), 0);
        assert!(Spin::new(0).is_off());
    }
}

//! The server's limit on publications, kept by the client, so that a burst waits here in order
//! instead of being refused there.

/// A bucket that fills with time. Counts in thousandths of a publication, so that a limit a second
/// is as many a millisecond.
#[derive(Debug)]
pub(super) struct Pace {
    /// 0 is no limit.
    per_second: u64,
    room_milli: u64,
    held_milli: u64,
    filled_at_ms: u64,
}

impl Pace {
    /// A bucket that is full. It holds three quarters of the burst that the server allows: what
    /// left here in time may arrive together.
    pub(super) const fn new(per_second: u64, burst: u64, now_ms: u64) -> Self {
        let most = burst.saturating_mul(750);
        let room_milli = if most < 1000 { 1000 } else { most };
        Self {
            per_second,
            room_milli,
            held_milli: room_milli,
            filled_at_ms: now_ms,
        }
    }

    /// Whether one may be sent.
    pub(super) fn may_send(&mut self, now_ms: u64) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let passed_ms = now_ms.saturating_sub(self.filled_at_ms);
        let filled = passed_ms.saturating_mul(self.per_second);
        self.held_milli = self.held_milli.saturating_add(filled).min(self.room_milli);
        self.filled_at_ms = now_ms.max(self.filled_at_ms);
        self.held_milli >= 1000
    }

    /// Counts one that is sent.
    pub(super) const fn sent(&mut self) {
        self.held_milli = self.held_milli.saturating_sub(1000);
    }

    /// When the next one may be sent, if that is not now.
    pub(super) const fn next_ms(&self) -> Option<u64> {
        if self.per_second == 0 || self.held_milli >= 1000 {
            return None;
        }
        let missing = (1000 - self.held_milli).div_ceil(self.per_second);
        Some(self.filled_at_ms.saturating_add(missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_its_rate() {
        let mut pace = Pace::new(1000, 2000, 0);
        let mut sent = 0;
        for now_ms in 0..=1000 {
            while pace.may_send(now_ms) {
                pace.sent();
                sent += 1;
            }
            assert_eq!(pace.next_ms(), Some(now_ms + 1));
        }
        assert_eq!(sent, 1500 + 1000);
    }

    #[test]
    fn no_limit_and_a_tiny_one_both_go_on() {
        let mut pace = Pace::new(0, 0, 0);
        assert!((0..10_000).all(|_| {
            pace.sent();
            pace.may_send(0)
        }));
        assert_eq!(pace.next_ms(), None);
        let mut pace = Pace::new(3, 1, 0);
        assert!(pace.may_send(0));
        pace.sent();
        assert!(!pace.may_send(0));
        assert_eq!(pace.next_ms(), Some(334));
        assert!(!pace.may_send(333));
        assert!(pace.may_send(334));
    }
}

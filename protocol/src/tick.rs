//! Time as the protocol layer sees it: milliseconds that wrap.

/// A moment, in milliseconds since a start of the caller's choosing, modulo 2^32 (49 days).
///
/// Two ticks compare rightly while they are less than 24 days apart; every timeout is far below
/// that, and a connection's ticks are renewed by its keep-alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tick(pub u32);

impl Tick {
    /// The tick `ms` milliseconds later.
    #[must_use]
    pub const fn after(self, ms: u32) -> Self {
        Self(self.0.wrapping_add(ms))
    }

    /// Milliseconds since `earlier`, 0 if that lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u32 {
        let passed = self.0.wrapping_sub(earlier.0);
        if passed > u32::MAX / 2 { 0 } else { passed }
    }

    /// Whether this moment has come at `now`.
    #[must_use]
    pub const fn is_due(self, now: Self) -> bool {
        now.0.wrapping_sub(self.0) <= u32::MAX / 2
    }

    /// The earlier of two.
    #[must_use]
    pub const fn earlier(self, other: Self) -> Self {
        if self.is_due(other) { self } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::Tick;

    #[test]
    fn ticks_compare_across_the_wrap() {
        let before = Tick(u32::MAX - 5);
        let after = before.after(10);
        assert_eq!(after, Tick(4));
        assert_eq!((after.since(before), before.since(after)), (10, 0));
        assert!(before.is_due(after) && !after.is_due(before) && after.is_due(after));
        assert_eq!(
            (before.earlier(after), after.earlier(before)),
            (before, before)
        );
    }
}

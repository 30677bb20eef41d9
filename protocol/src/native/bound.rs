//! How long a list may be.

use super::command::HELLO_SUBSCRIPTIONS_MAX;
use super::history::SEEN_MAX;
use super::problem::Problem;
use super::state::WATCH_MAX;
use super::tags::TAGS_MAX;

/// How many items a list may have, and what its sender can do about the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) count_max: usize,
    remedy: &'static str,
}

impl Bound {
    /// The bytes of the items in the message are bound enough.
    pub(super) const NONE: Self = Self::new(usize::MAX, "send fewer");
    pub(super) const SUBSCRIPTIONS: Self =
        Self::new(HELLO_SUBSCRIPTIONS_MAX, "send the others later");
    pub(super) const SEEN: Self = Self::new(SEEN_MAX, "leave some out, their messages come again");
    pub(super) const TAGS: Self = Self::new(TAGS_MAX, "leave some out");
    pub(super) const WATCH: Self = Self::new(WATCH_MAX, "leave some out");

    const fn new(count_max: usize, remedy: &'static str) -> Self {
        Self { count_max, remedy }
    }

    /// There are more.
    pub(super) fn exceeded(self) -> Problem {
        Problem::bad(format!("more than {}; {}", self.count_max, self.remedy))
    }
}

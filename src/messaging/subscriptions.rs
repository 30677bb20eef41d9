//! What a client has subscribed to.

use std::collections::BTreeMap;
use std::slice;

use super::delivery::InForce;
use super::hub::{PatternKey, TopicKey};

/// Subscriptions in the order of their numbers, which the client chooses.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    all: All,
    patterns: usize,
}

/// ```text
///   Few ⇄ One ─── a second one ───▶ Few ─── more than FEW_MAX ───▶ Many
/// ```
#[derive(Debug)]
enum All {
    /// Most clients have one, beside which no memory is needed.
    One(Subscription),
    /// None, or some.
    Few(Vec<Subscription>),
    /// So many that moving them would cost more than looking for one.
    Many(BTreeMap<u64, Subscribed>),
}

/// Subscriptions that are moved rather than looked for.
const FEW_MAX: usize = 64;

/// One subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) s: u64,
    pub(super) to: Subscribed,
}

/// What it is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subscribed {
    /// A topic, and whether its home core has granted it yet.
    Topic(TopicKey),
    /// A pattern.
    Pattern {
        key: PatternKey,
        /// What it asked for.
        policy: Option<InForce>,
    },
}

impl From<(u64, Subscribed)> for Subscription {
    fn from((s, to): (u64, Subscribed)) -> Self {
        Self { s, to }
    }
}

impl Subscription {
    const fn is_pattern(&self) -> bool {
        matches!(self.to, Subscribed::Pattern { .. })
    }
}

impl Default for All {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Subscriptions {
    pub(super) fn len(&self) -> usize {
        match &self.all {
            All::One(_) => 1,
            All::Few(few) => few.len(),
            All::Many(many) => many.len(),
        }
    }

    /// Those to patterns.
    pub(super) const fn patterns(&self) -> usize {
        self.patterns
    }

    pub(super) fn get(&self, s: u64) -> Option<Subscription> {
        match &self.all {
            All::One(one) => (one.s == s).then_some(*one),
            All::Few(few) => {
                let place = few.binary_search_by_key(&s, |known| known.s).ok()?;
                few.get(place).copied()
            }
            All::Many(many) => many.get(&s).map(|&to| (s, to).into()),
        }
    }

    /// Adds a subscription with a number that is free.
    pub(super) fn insert(&mut self, subscription: Subscription) {
        self.patterns += usize::from(subscription.is_pattern());
        match &mut self.all {
            All::Few(few) if few.is_empty() => self.all = All::One(subscription),
            All::One(one) => {
                let mut few = vec![*one, subscription];
                few.sort_unstable_by_key(|known| known.s);
                self.all = All::Few(few);
            }
            All::Few(few) if few.len() < FEW_MAX => {
                let place = few.partition_point(|known| known.s < subscription.s);
                few.insert(place, subscription);
            }
            All::Few(few) => {
                few.push(subscription);
                let all = few.drain(..).map(|known| (known.s, known.to));
                self.all = All::Many(all.collect());
            }
            All::Many(many) => {
                many.insert(subscription.s, subscription.to);
            }
        }
    }

    pub(super) fn remove(&mut self, s: u64) -> Option<Subscription> {
        let removed = match &mut self.all {
            All::One(one) if one.s == s => {
                let removed = *one;
                self.all = All::default();
                removed
            }
            All::One(_) => return None,
            All::Few(few) => {
                let place = few.binary_search_by_key(&s, |known| known.s).ok()?;
                few.remove(place)
            }
            All::Many(many) => (s, many.remove(&s)?).into(),
        };
        self.patterns -= usize::from(removed.is_pattern());
        Some(removed)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Subscription> {
        self.from(0)
    }

    /// Those with this number and above.
    pub(super) fn from(&self, s: u64) -> impl Iterator<Item = Subscription> {
        let (few, many) = match &self.all {
            All::One(one) => (slice::from_ref(one), None),
            All::Few(few) => (&few[..], None),
            All::Many(many) => (&[][..], Some(many.range(s..))),
        };
        let place = few.partition_point(|known| known.s < s);
        let many = many.into_iter().flatten().map(|(&s, &to)| (s, to).into());
        few.iter().skip(place).copied().chain(many)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subscription(s: u64) -> Subscription {
        let to = match s % 3 {
            0 => Subscribed::Topic(TopicKey::default()),
            _ => Subscribed::Pattern {
                key: PatternKey::default(),
                policy: None,
            },
        };
        (s, to).into()
    }

    proptest! {
        /// Against a list that is searched and sorted.
        #[test]
        fn they_stand_in_the_order_of_their_numbers(
            steps in prop::collection::vec((0..FEW_MAX as u64 * 2, prop::bool::weighted(0.7)), 0..400),
        ) {
            let mut all = Subscriptions::default();
            let mut expected: Vec<Subscription> = Vec::new();
            for (s, comes) in steps {
                let known = expected.iter().position(|one| one.s == s);
                prop_assert_eq!(all.get(s), known.map(|_| subscription(s)));
                match (comes, known) {
                    (true, None) => {
                        all.insert(subscription(s));
                        expected.push(subscription(s));
                        expected.sort_by_key(|one| one.s);
                    }
                    (true, Some(_)) => {}
                    (false, known) => {
                        let gone = known.map(|place| expected.remove(place));
                        prop_assert_eq!(all.remove(s), gone);
                    }
                }
                let patterns = expected.iter().filter(|one| one.is_pattern()).count();
                prop_assert_eq!((all.len(), all.patterns()), (expected.len(), patterns));
                prop_assert_eq!(&all.iter().collect::<Vec<_>>(), &expected);
                let behind: Vec<Subscription> = all.from(s).collect();
                let place = expected.partition_point(|one| one.s < s);
                prop_assert_eq!(&behind[..], &expected[place..]);
            }
        }
    }

    /// A client keeps little more than the only subscription that it has.
    #[test]
    fn one_subscription_is_small() {
        let (all, one) = (size_of::<Subscriptions>(), size_of::<Subscription>());
        assert!(all <= one + 16, "{all} bytes for {one}");
    }
}

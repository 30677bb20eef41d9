//! The order in which a publisher goes through the topics, again and again.
//!
//! Each publisher has one of its own. Were it the same for all, publishers that a server once reads
//! together would go on together, from topic to topic: it then has several publications for each
//! subscriber at a time, and saves system calls by them, or by chance it never has. A run would
//! measure which of the two it met.

/// A permutation of the topics, which takes no memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    topics: u32,
    /// One bit for each that the number of a topic may have.
    mask: u32,
    /// What makes it another permutation than the next.
    keys: [u32; 2],
}

impl Order {
    /// That of `publisher`, through topics 0 to `topics` − 1.
    pub(super) fn new(publisher: usize, topics: usize) -> Self {
        let topics = u32::try_from(topics).unwrap_or(u32::MAX).max(1);
        let key = u32::try_from(publisher).unwrap_or(u32::MAX).wrapping_add(1);
        Self {
            topics,
            mask: u32::MAX
                .checked_shr((topics - 1).leading_zeros())
                .unwrap_or(0),
            keys: [
                key.wrapping_mul(0x9e37_79b9).swap_bytes() | 1,
                key.wrapping_mul(0x85eb_ca6b).swap_bytes(),
            ],
        }
    }

    /// Which topic publication `number` goes to: of each `topics` in a row, one goes to each.
    pub(super) fn topic(&self, number: u32) -> usize {
        let mut topic = number % self.topics;
        // More than half of the numbers under the mask are topics, so it is less than twice on average. It
        // ends, because who mixes on and on comes back to where he began, which is a topic.
        loop {
            topic = self.mix(topic);
            if topic < self.topics {
                return topic as usize;
            }
        }
    }

    /// One number under the mask for another, and for no two the same: products with odd factors, sums, and
    /// the exclusive or with one's own upper half can all be undone. The last brings the upper half down again:
    /// products and sums carry upwards only.
    fn mix(&self, number: u32) -> u32 {
        let half = self.mask.count_ones().div_ceil(2);
        (0..3).fold(number, |mixed, _| {
            let spread = mixed.wrapping_mul(self.keys[0]).wrapping_add(self.keys[1]) & self.mask;
            spread ^ spread >> half
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_topic_has_its_turn_in_every_round() {
        for (topics, of_all) in [1_u32, 2, 3, 7, 200, 256, 257, 10_000].map(|n| (n, 0..n as usize))
        {
            for publisher in 0..5 {
                let order = Order::new(publisher, of_all.len());
                for round in 0..2_u32 {
                    let numbers = round * topics..(round + 1) * topics;
                    let mut seen: Vec<_> = numbers.map(|number| order.topic(number)).collect();
                    seen.sort_unstable();
                    assert!(seen.into_iter().eq(of_all.clone()), "{topics}, {publisher}");
                }
            }
        }
    }

    #[test]
    fn each_publisher_has_an_order_of_its_own() {
        for topics in [200, 257, 10_000] {
            let orders: BTreeSet<Vec<usize>> = (0..16)
                .map(|publisher| Order::new(publisher, topics))
                .map(|order| (0..10).map(|number| order.topic(number)).collect())
                .collect();
            assert_eq!(orders.len(), 16, "{topics}");
        }
    }

    #[test]
    fn publishers_meet_by_chance_only() {
        const TOPICS: usize = 200;
        const AT_ONCE: u32 = 50;
        let window = |publisher, from: u32| {
            let order = Order::new(publisher, TOPICS);
            let mut topics = [false; TOPICS];
            (from..from + AT_ONCE).for_each(|number| topics[order.topic(number)] = true);
            topics
        };
        // A quarter of the topics each, so a quarter of these in common: 12.5, and in one order 50.
        for (one, other) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            let first = window(one, 0);
            for from in 0..200 {
                let second = window(other, from);
                let common = (0..TOPICS).filter(|&topic| first[topic] && second[topic]);
                let common = common.count();
                assert!(
                    (3..=24).contains(&common),
                    "{one}, {other}, {from}: {common}"
                );
            }
        }
    }
}

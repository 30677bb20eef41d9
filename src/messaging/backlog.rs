//! What waits in the tails of a core's topics, and its bound.

use std::collections::VecDeque;

use super::hub::{Hub, TopicKey};
use super::tail::Item;

/// Messages remembered by age before those that are gone are looked for.
const AGES_MAX: usize = 1 << 20;

/// What the tails of all topics hold.
#[derive(Debug)]
pub(super) struct Backlog {
    pub(super) bytes: u64,
    bytes_max: u64,
    /// The messages in the tails, oldest first; and some that are gone already.
    pub(super) ages: VecDeque<(TopicKey, u64)>,
}

impl Backlog {
    pub(super) const fn new(bytes_max: u64) -> Self {
        Self {
            bytes: 0,
            bytes_max,
            ages: VecDeque::new(),
        }
    }
}

impl Hub {
    /// Messages up to this offset did not come to this core.
    pub(super) fn lost_between(&mut self, key: TopicKey, to: u64) {
        let topic = &mut self.topics[key];
        let from = topic.end + 1;
        topic.end = to;
        if let Some(latest) = &mut topic.latest {
            latest.lost(to);
        }
        if topic.deliveries > 0 {
            self.append(key, Item::Lost { from, to });
        }
    }

    /// Puts something at the end of a topic's tail.
    pub(super) fn append(&mut self, key: TopicKey, item: Item) {
        let topic = &mut self.topics[key];
        let (before, offset) = (topic.tail.bytes(), item.last());
        topic.tail.push(item);
        self.backlog.bytes += topic.tail.bytes() - before;
        self.backlog.ages.push_back((key, offset));
        self.backlog.bytes -= topic.tail.trim(u64::from(self.backlog_bytes));
        // Over the budget of all topics the oldest message goes, wherever it is.
        while self.backlog.bytes > self.backlog.bytes_max
            && let Some((oldest, offset)) = self.backlog.ages.pop_front()
        {
            if let Some(topic) = self.topics.get_mut(oldest) {
                self.backlog.bytes -= topic.tail.trim_to(offset);
            }
        }
        if self.backlog.ages.len() > AGES_MAX {
            let topics = &self.topics;
            self.backlog.ages.retain(|&(key, offset)| {
                topics
                    .get(key)
                    .is_some_and(|topic| topic.tail.holds(offset))
            });
        }
    }
}

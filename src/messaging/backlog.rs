//! What waits in a core's topics for clients that are behind, and its bound.

use std::collections::VecDeque;

use super::hub::{Hub, TopicKey};
use super::tail::Item;

/// Messages remembered by age before those that are gone are looked for.
const AGES_MIN: usize = 1 << 20;

/// What all topics hold for those who are behind: their tails, and of each key the newest message
/// where somebody wants no more than that.
#[derive(Debug)]
pub(super) struct Backlog {
    pub(super) bytes: u64,
    bytes_max: u64,
    /// The messages that wait, oldest first; and some that are gone already.
    pub(super) ages: VecDeque<(TopicKey, u64)>,
    /// So many of them, before those that are gone are looked for.
    ages_max: usize,
}

impl Backlog {
    pub(super) const fn new(bytes_max: u64) -> Self {
        Self {
            bytes: 0,
            bytes_max,
            ages: VecDeque::new(),
            ages_max: AGES_MIN,
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
            self.backlog.bytes -= latest.bytes();
            latest.lost(to);
        }
        if topic.deliveries > 0 {
            self.append(key, Item::Lost { from, to });
        }
    }

    /// Puts something at the end of what waits in a topic.
    pub(super) fn append(&mut self, key: TopicKey, item: Item) {
        let topic = &mut self.topics[key];
        let (before, offset) = (topic.waiting_bytes(), item.last());
        if let (Some(latest), Item::Message(publication)) = (&mut topic.latest, &item) {
            latest.push(publication);
        }
        topic.tail.push(item);
        topic.tail.trim(u64::from(self.backlog_bytes));
        self.backlog.bytes += topic.waiting_bytes();
        self.backlog.bytes -= before;
        self.backlog.ages.push_back((key, offset));
        // Over the budget of all topics the oldest message goes, wherever it is.
        while self.backlog.bytes > self.backlog.bytes_max
            && let Some((oldest, offset)) = self.backlog.ages.pop_front()
        {
            self.give_up(oldest, offset);
        }
        if self.backlog.ages.len() > self.backlog.ages_max {
            let topics = &self.topics;
            let ages = &mut self.backlog.ages;
            ages.retain(|&(key, offset)| topics.get(key).is_some_and(|topic| topic.holds(offset)));
            // Where most are still there, it is not worth while to look again soon.
            self.backlog.ages_max = AGES_MIN.max(2 * ages.len());
        }
    }

    /// Nothing of a topic waits any more up to this offset.
    fn give_up(&mut self, key: TopicKey, offset: u64) {
        let Some(topic) = self.topics.get_mut(key) else {
            return;
        };
        let before = topic.waiting_bytes();
        topic.tail.trim_to(offset);
        if let Some(latest) = &mut topic.latest {
            latest.trim_to(offset);
        }
        self.backlog.bytes -= before - topic.waiting_bytes();
    }
}

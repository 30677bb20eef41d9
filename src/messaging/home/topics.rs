//! The table of a home core's topics.

use std::collections::VecDeque;
use std::sync::Arc;

use slotmap::{SlotMap, new_key_type};

use crate::engine::Tick;
use crate::hash::{Seed, Table};
use crate::messaging::class::ClassId;
use crate::messaging::core_set::CoreSet;
use crate::messaging::publication::TopicId;
use crate::messaging::recency::{Linked, Links, Recency};
use crate::messaging::store::LogKey;

new_key_type! {
    /// The name of a topic at its home core.
    pub(in crate::messaging) struct HomeKey;
}

/// A topic at its home core.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) id: Arc<TopicId>,
    pub(super) class: ClassId,
    /// Of its last message.
    pub(super) offset: u64,
    /// Of its last message.
    pub(super) mark: u64,
    /// Of its last message.
    pub(super) time_ms: u64,
    /// Where its messages are kept, or that they were published. None until there is something to keep.
    pub(super) log: Option<LogKey>,
    /// Cores that asked for this topic.
    pub(super) wanted: CoreSet,
    /// Cores with a pattern that matches, if there are any, as of `generation`.
    pub(super) matched: Option<Box<CoreSet>>,
    pub(super) generation: u64,
    pub(super) used: Tick,
    watch: Watch,
    links: Links<HomeKey>,
}

/// Whether a topic stands in the list of those to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    Off,
    On,
}

/// All topics of a core: by name, in the order of their last messages, and those that may be
/// forgotten in the order in which they are looked at.
#[derive(Debug)]
pub(super) struct Topics {
    topics: SlotMap<HomeKey, Topic>,
    by_name: Table<HomeKey>,
    published: Recency<HomeKey>,
    watched: VecDeque<(Tick, HomeKey)>,
    /// The largest mark of a topic that was forgotten, for each class.
    forgotten: Vec<u64>,
    seed: Seed,
}

impl Linked<HomeKey> for Topic {
    fn links(&mut self) -> &mut Links<HomeKey> {
        &mut self.links
    }
}

impl Topic {
    /// A topic without a message.
    pub(super) fn new(
        (id, class): (Arc<TopicId>, ClassId),
        (offset, log): (u64, Option<LogKey>),
        now: Tick,
    ) -> Self {
        Self {
            id,
            class,
            offset,
            mark: 0,
            time_ms: 0,
            log,
            wanted: CoreSet::default(),
            matched: None,
            generation: u64::MAX,
            used: now,
            watch: Watch::Off,
            links: Links::Out,
        }
    }
}

impl Topics {
    pub(super) fn new(classes: usize, seed: Seed) -> Self {
        Self {
            topics: SlotMap::with_key(),
            by_name: Table::new(),
            published: Recency::new(),
            watched: VecDeque::new(),
            forgotten: vec![0; classes],
            seed,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.topics.len()
    }

    /// The largest mark of a topic of a class that was forgotten.
    pub(super) fn forgotten(&self, class: usize) -> u64 {
        self.forgotten.get(class).copied().unwrap_or(0)
    }

    pub(super) fn find(&self, name: &str) -> Option<HomeKey> {
        let hash = self.seed.hash(name);
        self.by_name
            .find(hash, |&key| *self.topics[key].id.name == *name)
            .copied()
    }

    /// This life of a topic, if it goes on.
    pub(super) fn find_life(&self, id: &TopicId) -> Option<HomeKey> {
        let key = self.find(&id.name)?;
        (self.topics[key].id.alias == id.alias).then_some(key)
    }

    pub(super) fn get(&self, key: HomeKey) -> Option<&Topic> {
        self.topics.get(key)
    }

    pub(super) fn get_mut(&mut self, key: HomeKey) -> Option<&mut Topic> {
        self.topics.get_mut(key)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = (HomeKey, &mut Topic)> {
        self.topics.iter_mut()
    }

    pub(super) fn insert(&mut self, topic: Topic) -> HomeKey {
        let hash = self.seed.hash(&*topic.id.name);
        let key = self.topics.insert(topic);
        let (topics, seed) = (&self.topics, &self.seed);
        self.by_name
            .insert_unique(hash, key, |&key| seed.hash(&*topics[key].id.name));
        key
    }

    /// It is forgotten.
    pub(super) fn remove(&mut self, key: HomeKey) -> Option<Topic> {
        self.published.remove(&mut self.topics, key);
        let hash = self.seed.hash(&*self.topics.get(key)?.id.name);
        if let Ok(entry) = self.by_name.find_entry(hash, |&known| known == key) {
            entry.remove();
        }
        let topic = self.topics.remove(key)?;
        if let Some(forgotten) = self.forgotten.get_mut(usize::from(topic.class.0)) {
            *forgotten = topic.mark.max(*forgotten);
        }
        Some(topic)
    }

    // ── In the order of their last messages ──

    /// It has a new message.
    pub(super) fn published(&mut self, key: HomeKey) {
        self.published.touch(&mut self.topics, key);
    }

    /// The topic whose last message is the newest.
    pub(super) const fn newest(&self) -> Option<HomeKey> {
        self.published.newest()
    }

    pub(super) fn older(&mut self, key: HomeKey) -> Option<HomeKey> {
        Recency::older(&mut self.topics, key)
    }

    pub(super) fn newer(&mut self, key: HomeKey) -> Option<HomeKey> {
        Recency::newer(&mut self.topics, key)
    }

    // ── Those that may be forgotten ──

    /// The topic is to be looked at, if it is not already.
    pub(super) fn watch(&mut self, key: HomeKey, due: Tick) {
        if let Some(topic) = self.topics.get_mut(key)
            && topic.watch == Watch::Off
        {
            topic.watch = Watch::On;
            self.watched.push_back((due, key));
        }
    }

    /// Whether a topic is to be looked at by now.
    pub(super) fn is_any_due(&self, now: Tick) -> bool {
        self.watched.front().is_some_and(|(due, _)| due.is_due(now))
    }

    pub(super) fn watched(&self) -> usize {
        self.watched.len()
    }

    /// Takes the next one to be looked at.
    pub(super) fn unwatch(&mut self) -> Option<HomeKey> {
        let (_, key) = self.watched.pop_front()?;
        if let Some(topic) = self.topics.get_mut(key) {
            topic.watch = Watch::Off;
        }
        Some(key)
    }
}

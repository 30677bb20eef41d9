//! The topics that this core is home to: their order, and who wants them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::{Now, Tick};
use crate::hash::{Seed, Table};
use crate::ids::CoreId;

use super::core_set::CoreSet;
use super::mail::TooManyTopics;
use super::publication::{Draft, Publication, TopicId};
use super::trie::Trie;

/// Topics that a core makes before a panic ends its life: far more than it can, and few enough for
/// the aliases of 100,000 lives on 256 cores to stay below
/// [`INTEGER_END`](corewire_protocol::native::INTEGER_END).
const TOPICS_OF_A_LIFE: u64 = 1 << 28;

/// One core's topics. A topic is made by the first who asks for it or publishes in it, and
/// forgotten when it has had no subscriber and no message for a while. Should it come again, it has
/// a new epoch: its offsets begin anew.
#[derive(Debug)]
pub(super) struct Home {
    core: CoreId,
    cores: u64,
    node: Box<str>,
    topics: Table<Topic>,
    topics_max: usize,
    idle_ms: u32,
    seed: Seed,
    patterns: Trie<CoreSet>,
    /// Grows when a core begins or ends to want a pattern.
    generation: u64,
    /// Topics made so far, and as many as each life of this core before may have made.
    made: u64,
    /// Publications so far, over all topics.
    mark: u64,
    /// Topics that nobody wanted when they were last looked at, and when to look again. In the
    /// order of time.
    idle: VecDeque<(Tick, Arc<TopicId>)>,
}

#[derive(Debug)]
struct Topic {
    id: Arc<TopicId>,
    /// Of its last message.
    offset: u64,
    /// Cores that asked for this topic.
    wanted: CoreSet,
    /// Cores with a pattern that matches, as of `generation`.
    matched: CoreSet,
    generation: u64,
    used: Tick,
    watch: Watch,
}

/// Whether a topic stands in the list of idle ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    Off,
    On,
}

impl Home {
    pub(super) fn new(
        core: CoreId,
        cores: usize,
        node: Box<str>,
        (topics_max, idle_ms): (usize, u32),
        seed: Seed,
        life: u32,
    ) -> Self {
        Self {
            core,
            cores: cores as u64,
            node,
            topics: Table::new(),
            topics_max,
            idle_ms,
            patterns: Trie::new(seed.clone()),
            seed,
            generation: 0,
            made: u64::from(life) * TOPICS_OF_A_LIFE,
            mark: 0,
            idle: VecDeque::new(),
        }
    }

    /// Gives a message its place. Returns it with the cores that want it.
    pub(super) fn publish(
        &mut self,
        now: Now,
        name: &str,
        draft: Draft,
    ) -> Result<(Arc<Publication>, CoreSet), TooManyTopics> {
        let generation = self.generation;
        let hash = self.make(now.tick, name)?;
        self.mark += 1;
        let patterns = &self.patterns;
        let Some(topic) = self.topics.find_mut(hash, |topic| *topic.id.name == *name) else {
            return Err(TooManyTopics);
        };
        topic.offset += 1;
        topic.used = now.tick;
        if topic.generation != generation {
            topic.generation = generation;
            topic.matched = CoreSet::default();
            patterns.matches(name, &mut |cores| {
                topic.matched = topic.matched.union(*cores);
            });
        }
        let cores = topic.wanted.union(topic.matched);
        let id = Arc::clone(&topic.id);
        let publication = Publication::new(id, topic.offset, now.unix_ms, draft);
        if cores.is_empty() {
            self.watch(now.tick, name, hash);
        }
        Ok((Arc::new(publication), cores))
    }

    /// A core wants a topic, from the returned offset on.
    pub(super) fn grant(
        &mut self,
        now: Tick,
        name: &str,
        core: CoreId,
    ) -> Result<(Arc<TopicId>, u64), TooManyTopics> {
        let hash = self.make(now, name)?;
        let found = self.topics.find_mut(hash, |topic| *topic.id.name == *name);
        let topic = found.ok_or(TooManyTopics)?;
        topic.wanted.insert(core);
        Ok((Arc::clone(&topic.id), topic.offset))
    }

    /// A core wants a topic no more.
    pub(super) fn withdraw(&mut self, now: Tick, id: &TopicId, core: CoreId) {
        let hash = self.seed.hash(&*id.name);
        let found = self
            .topics
            .find_mut(hash, |topic| topic.id.alias == id.alias);
        if let Some(topic) = found {
            topic.wanted.remove(core);
            if topic.wanted.is_empty() {
                topic.used = now;
                self.watch(now, &id.name, hash);
            }
        }
    }

    /// A core wants all topics of a pattern, from now on. Returns the mark.
    pub(super) fn grant_pattern(&mut self, pattern: &str, core: CoreId) -> u64 {
        self.generation += 1;
        let cores = self.patterns.entry(pattern).get_or_insert_default();
        cores.insert(core);
        self.mark
    }

    /// A core wants a pattern no more.
    pub(super) fn withdraw_pattern(&mut self, pattern: &str, core: CoreId) {
        self.generation += 1;
        if let Some(cores) = self.patterns.get_mut(pattern) {
            cores.remove(core);
            if cores.is_empty() {
                self.patterns.remove(pattern);
            }
        }
    }

    /// A core has lost its memory: it wants nothing until it asks again.
    pub(super) fn forget_core(&mut self, now: Tick, core: CoreId) {
        self.generation += 1;
        self.patterns.retain(&mut |cores| {
            cores.remove(core);
            !cores.is_empty()
        });
        let mut deserted = Vec::new();
        for topic in &mut self.topics {
            topic.wanted.remove(core);
            topic.used = now;
            if topic.wanted.is_empty() {
                deserted.push(Arc::clone(&topic.id));
            }
        }
        for id in deserted {
            let hash = self.seed.hash(&*id.name);
            self.watch(now, &id.name, hash);
        }
    }

    /// Forgets topics that nobody has used for long: a few at a time.
    pub(super) fn tidy(&mut self, now: Tick) {
        for _ in 0..4 {
            match self.idle.front() {
                Some((at, _)) if at.is_due(now) => self.look_at_idle(now),
                Some(_) | None => return,
            }
        }
    }

    /// Makes the topic if it is not there. Returns its hash.
    fn make(&mut self, now: Tick, name: &str) -> Result<u64, TooManyTopics> {
        let hash = self.seed.hash(name);
        if self
            .topics
            .find(hash, |topic| *topic.id.name == *name)
            .is_some()
        {
            return Ok(hash);
        }
        // Whoever was idle the longest goes before its time.
        while self.topics.len() >= self.topics_max {
            if self.idle.is_empty() {
                return Err(TooManyTopics);
            }
            self.forget_oldest();
        }
        self.made += 1;
        let alias = self.made * self.cores + self.core.index() as u64;
        let id = Arc::new(TopicId {
            alias,
            name: name.into(),
            epoch: format!("{}{}", self.node, Base36(alias)).into(),
            home: self.core,
        });
        let topic = Topic {
            id,
            offset: 0,
            wanted: CoreSet::default(),
            matched: CoreSet::default(),
            generation: self.generation.wrapping_sub(1),
            used: now,
            watch: Watch::Off,
        };
        let seed = &self.seed;
        self.topics
            .insert_unique(hash, topic, |topic| seed.hash(&*topic.id.name));
        Ok(hash)
    }

    /// Looks at the topic again when it may have been idle for long enough.
    fn watch(&mut self, now: Tick, name: &str, hash: u64) {
        let found = self.topics.find_mut(hash, |topic| *topic.id.name == *name);
        if let Some(topic) = found
            && topic.watch == Watch::Off
        {
            topic.watch = Watch::On;
            self.idle
                .push_back((now.after(self.idle_ms), Arc::clone(&topic.id)));
        }
    }

    fn look_at_idle(&mut self, now: Tick) {
        let Some((_, id)) = self.idle.pop_front() else {
            return;
        };
        let hash = self.seed.hash(&*id.name);
        let Ok(mut entry) = self
            .topics
            .find_entry(hash, |topic| topic.id.alias == id.alias)
        else {
            return;
        };
        let topic = entry.get_mut();
        if !topic.wanted.is_empty() {
            topic.watch = Watch::Off;
        } else if topic.used.after(self.idle_ms).is_due(now) {
            entry.remove();
        } else {
            self.idle.push_back((now.after(self.idle_ms), id));
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.idle.pop_front() {
            let hash = self.seed.hash(&*id.name);
            let found = self
                .topics
                .find_entry(hash, |topic| topic.id.alias == id.alias);
            if let Ok(mut entry) = found {
                if entry.get().wanted.is_empty() {
                    entry.remove();
                } else {
                    entry.get_mut().watch = Watch::Off;
                }
            }
        }
    }
}

/// A number in the digits 0 to 9 and a to z.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base36(pub(super) u64);

impl std::fmt::Display for Base36 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut digits = [0; 13];
        let mut rest = self.0;
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        f.write_str(std::str::from_utf8(&digits[at..]).unwrap_or("0"))
    }
}

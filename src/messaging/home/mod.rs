//! The topics that this core is home to: their order, what is kept of them, and who wants them.
//!
//! [`topics`] is the table of them, [`reading`] what those are told who come back.

use std::sync::Arc;

use corewire_protocol::native::Level;

use crate::engine::{Now, Tick};
use crate::hash::Seed;
use crate::ids::CoreId;

use super::class::{Class, Classes};
use super::core_set::CoreSet;
use super::mail::{NotPublished, TooManyTopics};
use super::options::Options;
use super::publication::{Draft, Place, Publication, TopicId};
use super::store::{Claimed, Figures, Opening, Store};
use super::trie::Trie;
use topics::{HomeKey, Topic, Topics};

mod pages;
mod reading;
mod topics;

pub(super) use pages::{HistoryPage, NoPage, PageFrom, PageWanted, Paged};
pub(super) use reading::{Arrears, Changed, Cursor, Missed, Proof, Reach, Reading, Where};

/// Topics that a core makes before a panic ends its life: far more than it can, and few enough for
/// the aliases of 100,000 lives on 256 cores to stay below
/// [`INTEGER_END`](corewire_protocol::native::INTEGER_END).
const TOPICS_OF_A_LIFE: u64 = 1 << 28;
/// Topics that are looked at, at once, whether they may be forgotten.
const LOOKS: usize = 4;

/// One core's topics. A topic is made by the first who asks for it or publishes in it, and
/// forgotten when it has had no subscriber and no message for a while, and nothing of it is kept.
/// Should it come again, it has a new epoch: its offsets begin anew.
#[derive(Debug)]
pub(super) struct Home {
    core: CoreId,
    cores: u64,
    node: Box<str>,
    topics: Topics,
    classes: Classes,
    store: Box<dyn Store>,
    topics_max: usize,
    idle_ms: u32,
    patterns: Trie<CoreSet>,
    /// Grows when a core begins or ends to want a pattern.
    generation: u64,
    /// Topics made so far, and as many as each life of this core before may have made.
    made: u64,
    /// Publications so far, over all topics.
    mark: u64,
}

/// What became of a message.
#[derive(Debug)]
pub(super) enum Placed {
    /// It has its place, and goes to these cores.
    New(Arc<Publication>, CoreSet, Level),
    /// It was published before, and stands there.
    Known(Arc<TopicId>, u64, Level),
}

impl Home {
    /// The topics of one core of a node: which of how many cores it is, and which of its lives.
    pub(super) fn new(
        (core, cores, life): (CoreId, usize, u32),
        node: Box<str>,
        classes: Classes,
        options: &Options,
        store: Box<dyn Store>,
        seed: Seed,
    ) -> Self {
        Self {
            core,
            cores: cores as u64,
            node,
            topics: Topics::new(classes.len(), seed.clone()),
            classes,
            store,
            topics_max: options.topics_max,
            idle_ms: options.topic_idle_ms,
            patterns: Trie::new(seed),
            generation: 0,
            made: u64::from(life) * TOPICS_OF_A_LIFE,
            mark: 0,
        }
    }

    /// Gives a message its place, unless it has one.
    pub(super) fn publish(
        &mut self,
        now: Now,
        name: &str,
        draft: Draft,
    ) -> Result<Placed, NotPublished> {
        let key = self.make(now.tick, name)?;
        let generation = self.generation;
        let topic = self.topics.get_mut(key).ok_or(TooManyTopics)?;
        let claim = draft.claim();
        if topic.log.is_none() && (topic.id.class == Class::Logged || claim.is_some()) {
            topic.log = Some(self.store.open(Opening {
                topic: name,
                class: topic.class,
                epoch: &topic.id.epoch,
                end: topic.offset,
            }));
        }
        if let (Some(claim), Some(log)) = (claim, topic.log) {
            match self.store.claim(log, &claim, now.tick) {
                Claimed::New => {}
                Claimed::Known(offset) => {
                    let level = level_of(topic.id.class);
                    return Ok(Placed::Known(Arc::clone(&topic.id), offset, level));
                }
                Claimed::Superseded => return Err(NotPublished::Superseded),
                Claimed::NotNext { expected } => {
                    let given = claim.pseq.unwrap_or(0);
                    return Err(NotPublished::NotNext { given, expected });
                }
            }
        }
        self.mark += 1;
        topic.offset += 1;
        topic.mark = self.mark;
        topic.time_ms = topic.time_ms.max(now.unix_ms);
        topic.used = now.tick;
        if topic.generation != generation {
            topic.generation = generation;
            let mut matched = CoreSet::default();
            self.patterns.matches(name, &mut |cores| {
                matched = matched.union(*cores);
            });
            topic.matched = (!matched.is_empty()).then(|| Box::new(matched));
        }
        let cores = match topic.matched.as_deref() {
            Some(matched) => topic.wanted.union(*matched),
            None => topic.wanted,
        };
        let place = Place {
            offset: topic.offset,
            mark: topic.mark,
            time_ms: topic.time_ms,
            taken: now.tick,
        };
        let publication = Arc::new(Publication::new(Arc::clone(&topic.id), place, draft));
        let level = match topic.log {
            Some(log) => self.store.append(log, &publication),
            None => Level::None,
        };
        self.topics.published(key);
        if cores.is_empty() {
            self.topics.watch(key, now.tick.after(self.idle_ms));
        }
        Ok(Placed::New(publication, cores, level))
    }

    /// A core wants a topic, from the returned offset on.
    pub(super) fn grant(
        &mut self,
        now: Tick,
        name: &str,
        core: CoreId,
    ) -> Result<(Arc<TopicId>, u64), TooManyTopics> {
        let key = self.make(now, name)?;
        let topic = self.topics.get_mut(key).ok_or(TooManyTopics)?;
        topic.wanted.insert(core);
        Ok((Arc::clone(&topic.id), topic.offset))
    }

    /// The topic under its name for the wire. It is made if it is not there.
    pub(super) fn identify(
        &mut self,
        now: Tick,
        name: &str,
    ) -> Result<Arc<TopicId>, TooManyTopics> {
        let key = self.make(now, name)?;
        let topic = self.topics.get_mut(key).ok_or(TooManyTopics)?;
        topic.used = now;
        Ok(Arc::clone(&topic.id))
    }

    /// A core wants a topic no more.
    pub(super) fn withdraw(&mut self, now: Tick, id: &TopicId, core: CoreId) {
        let Some(key) = self.topics.find_life(id) else {
            return;
        };
        if let Some(topic) = self.topics.get_mut(key) {
            topic.wanted.remove(core);
            if topic.wanted.is_empty() {
                topic.used = now;
                self.topics.watch(key, now.after(self.idle_ms));
            }
        }
    }

    /// A core wants all topics of a pattern, from now on. Returns the mark.
    pub(super) fn grant_pattern(&mut self, pattern: &str, core: CoreId) -> u64 {
        let cores = self.patterns.entry(pattern).get_or_insert_default();
        // Who comes back asks again: that changes nothing for anybody else.
        if !cores.contains(core) {
            cores.insert(core);
            self.generation += 1;
        }
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
        for (key, topic) in self.topics.values_mut() {
            topic.wanted.remove(core);
            topic.used = now;
            if topic.wanted.is_empty() {
                deserted.push(key);
            }
        }
        for key in deserted {
            self.topics.watch(key, now.after(self.idle_ms));
        }
    }

    /// Forgets topics that nobody has used for long, and what is kept for too long: a few at a
    /// time.
    pub(super) fn tidy(&mut self, now: Tick) {
        self.store.tidy(now);
        for _ in 0..LOOKS {
            if !self.topics.is_any_due(now) {
                return;
            }
            self.look_at_next(now);
        }
    }

    /// Whether there are topics that may be forgotten, or anything is kept.
    pub(super) fn has_anything_to_forget(&self) -> bool {
        self.topics.watched() > 0 || self.store.figures().bytes > 0
    }

    /// How many there are.
    pub(super) fn topics(&self) -> u64 {
        self.topics.len() as u64
    }

    /// How much is kept.
    pub(super) fn figures(&self) -> Figures {
        self.store.figures()
    }

    /// Finds the topic, or makes it.
    fn make(&mut self, now: Tick, name: &str) -> Result<HomeKey, TooManyTopics> {
        if let Some(key) = self.topics.find(name) {
            return Ok(key);
        }
        // Whoever was idle the longest goes before its time.
        for _ in 0..=self.topics.watched() {
            if self.topics.len() < self.topics_max {
                break;
            }
            self.forget_next()?;
        }
        if self.topics.len() >= self.topics_max {
            return Err(TooManyTopics);
        }
        self.made += 1;
        let alias = self.made * self.cores + self.core.index() as u64;
        let fresh = format!("{}{}", self.node, Base36(alias));
        let (place, class) = self.classes.of(name);
        let found = match class {
            Class::Volatile => None,
            Class::Logged => self.store.find(name),
        };
        let (log, epoch, end) = match found {
            Some(found) => (Some(found.log), found.epoch, found.end),
            // A log begins with the first message.
            None => (None, fresh.into(), 0),
        };
        let id = Arc::new(TopicId {
            alias,
            name: name.into(),
            epoch,
            home: self.core,
            class,
        });
        let key = self.topics.insert(Topic::new((id, place), (end, log), now));
        // Nobody may ever want it.
        self.topics.watch(key, now.after(self.idle_ms));
        Ok(key)
    }

    /// Looks whether the next topic may be forgotten.
    fn look_at_next(&mut self, now: Tick) {
        let Some(key) = self.topics.unwatch() else {
            return;
        };
        let Some(topic) = self.topics.get(key) else {
            return;
        };
        if !topic.wanted.is_empty() {
            return;
        }
        let idle = topic.used.after(self.idle_ms).is_due(now);
        let log = topic.log;
        if idle && !log.is_some_and(|log| self.store.is_in_use(log, now)) {
            self.forget(key);
        } else {
            self.topics.watch(key, now.after(self.idle_ms));
        }
    }

    /// Forgets the next topic that nobody wants, with all that is kept of it.
    fn forget_next(&mut self) -> Result<(), TooManyTopics> {
        let key = self.topics.unwatch().ok_or(TooManyTopics)?;
        if self
            .topics
            .get(key)
            .is_some_and(|topic| topic.wanted.is_empty())
        {
            self.forget(key);
        }
        Ok(())
    }

    fn forget(&mut self, key: HomeKey) {
        if let Some(topic) = self.topics.remove(key)
            && let Some(log) = topic.log
        {
            self.store.close(log);
        }
    }
}

/// How safe a message of a class is in memory.
const fn level_of(class: Class) -> Level {
    match class {
        Class::Volatile => Level::None,
        Class::Logged => Level::Memory,
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

#[cfg(test)]
mod tests;

//! What a home core tells those who come back: where they begin, and what they have missed.

use std::sync::Arc;

use corewire_protocol::native::{Cause, Subject, TopicName};

use crate::engine::{Now, Tick};
use crate::messaging::class::Class;
use crate::messaging::mail::TooManyTopics;
use crate::messaging::publication::TopicId;
use crate::messaging::store::{Ask, Point, Range, Read, ReadNumber};

use super::Home;
use super::topics::HomeKey;

/// Topics that one call of [`Home::topics_since`] looks at.
const TOPICS_OF_A_PAGE: usize = 4_096;
/// Topics that have been published in since: who has missed more of them begins anew.
const TOPICS_MISSED_MAX: usize = 65_536;

/// Where a stream is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::messaging) enum Where {
    /// With the next message.
    Now,
    /// Behind this position.
    After { epoch: Box<str>, offset: u64 },
    /// With so many of the newest messages that are kept.
    Last(u64),
    /// With what is kept of this time, in milliseconds since 1970, and after it.
    Since(u64),
}

/// Where it begins.
#[derive(Debug)]
pub(in crate::messaging) struct Located {
    pub(in crate::messaging) id: Arc<TopicId>,
    /// Behind this offset.
    pub(in crate::messaging) after: u64,
    /// The last offset now.
    pub(in crate::messaging) end: u64,
    pub(in crate::messaging) proof: Proof,
}

/// Whether a stream goes on exactly where it was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::messaging) enum Proof {
    /// It was not asked to.
    NotAsked,
    /// It does.
    Exact,
    /// It cannot be said: it begins at the end.
    Lost(Cause),
}

/// The answer to [`Home::read`].
#[derive(Debug)]
pub(in crate::messaging) enum Reading {
    /// Here it is.
    Now(Range),
    /// It comes by [`Home::finished`].
    Later,
    /// There is no such topic any more: it may go on under another alias.
    Gone,
}

/// The answer to [`Home::topics_since`].
#[derive(Debug)]
pub(in crate::messaging) struct Changed {
    /// In the order of their last messages, so that a topic that is published in meanwhile comes
    /// once more.
    pub(in crate::messaging) topics: Vec<Arrears>,
    /// Where to go on. `None`: these were all; what is published from now on is not missed by who
    /// asked for the pattern before.
    pub(in crate::messaging) next: Option<Cursor>,
}

/// A topic with messages that somebody may have missed.
#[derive(Debug)]
pub(in crate::messaging) struct Arrears {
    pub(in crate::messaging) id: Arc<TopicId>,
    /// They are behind this offset.
    pub(in crate::messaging) after: u64,
    /// The last offset now.
    pub(in crate::messaging) end: u64,
    /// [`Proof::Lost`] if some of them are gone.
    pub(in crate::messaging) proof: Proof,
}

/// How far [`Home::topics_since`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::messaging) struct Cursor {
    /// All topics whose last message has no larger mark were looked at.
    mark: u64,
    /// The topic with this mark, unless it was published in since.
    at: Option<HomeKey>,
}

impl Home {
    /// How many messages all topics of this core have had.
    pub(in crate::messaging) const fn mark(&self) -> u64 {
        self.mark
    }

    /// Where a stream begins. The topic is made if it is not there.
    pub(in crate::messaging) fn locate(
        &mut self,
        now: Now,
        name: &str,
        begin: &Where,
    ) -> Result<Located, TooManyTopics> {
        let key = self.make(now.tick, name)?;
        let topic = self.topics.get(key).ok_or(TooManyTopics)?;
        let (id, end) = (Arc::clone(&topic.id), topic.offset);
        let log = topic.log.filter(|_| id.class == Class::Logged);
        let located = |after, proof| Located {
            id: Arc::clone(&id),
            after,
            end,
            proof,
        };
        let mut from = |point| log.map_or(end, |log| self.store.locate(log, point, now.tick));
        Ok(match begin {
            Where::Now => located(end, Proof::NotAsked),
            Where::Last(messages) => located(from(Point::Last(*messages)), Proof::NotAsked),
            Where::Since(time_ms) => located(from(Point::Since(*time_ms)), Proof::NotAsked),
            Where::After { epoch, offset } if *epoch != id.epoch || *offset > end => {
                located(end, Proof::Lost(Cause::Node))
            }
            Where::After { offset, .. } => {
                let start = log.map_or(end, |log| self.store.extent(log, now.tick).start);
                if *offset < start {
                    located(end, Proof::Lost(Cause::Retention))
                } else {
                    located(*offset, Proof::Exact)
                }
            }
        })
    }

    /// Reads messages of a topic, within the bounds of what is asked.
    pub(in crate::messaging) fn read(&mut self, now: Now, id: &TopicId, ask: &Ask) -> Reading {
        let Some(topic) = self
            .topics
            .find_life(id)
            .and_then(|key| self.topics.get(key))
        else {
            return Reading::Gone;
        };
        match topic.log.filter(|_| id.class == Class::Logged) {
            Some(log) => match self.store.read(log, ask, now.tick) {
                Read::Now(range) => Reading::Now(range),
                Read::Later => Reading::Later,
            },
            None => Reading::Now(Range::nothing(topic.offset)),
        }
    }

    /// The next reading that was answered with [`Reading::Later`] and is done.
    pub(in crate::messaging) fn finished(&mut self) -> Option<(ReadNumber, Range)> {
        self.store.finished()
    }

    /// Whether every topic that has had a message with a larger mark is still here. Otherwise a
    /// pattern does not go on exactly.
    pub(in crate::messaging) fn vouches(&mut self, mark: u64) -> bool {
        mark <= self.mark && mark >= self.topics.forgotten() && {
            let oldest = self.first_since(mark);
            oldest.is_ok()
        }
    }

    /// Topics that a pattern matches and that have messages behind a point, a page of them. What it
    /// costs grows with the topics that were published in since, not with all that there are.
    pub(in crate::messaging) fn topics_since(
        &mut self,
        now: Tick,
        pattern: &str,
        point: Point,
        from: Option<Cursor>,
    ) -> Changed {
        let mut changed = Changed {
            topics: Vec::new(),
            next: None,
        };
        let Ok(Subject::Pattern(pattern)) = Subject::parse(pattern) else {
            return changed;
        };
        let since = match (point, from) {
            (_, Some(from)) => from.mark,
            (Point::Mark(mark), None) => mark,
            (Point::Last(_) | Point::Since(_), None) => 0,
        };
        let known = from.and_then(|from| from.at).filter(|&key| {
            let topic = self.topics.get(key);
            topic.is_some_and(|topic| topic.mark == since)
        });
        let mut next = match known {
            Some(key) => self.topics.newer(key),
            None => match self.first_since(since) {
                Ok(first) => first,
                Err(first) => Some(first),
            },
        };
        for _ in 0..TOPICS_OF_A_PAGE {
            let Some(key) = next else {
                changed.next = None;
                return changed;
            };
            next = self.topics.newer(key);
            let Some(topic) = self.topics.get(key) else {
                return changed;
            };
            changed.next = Some(Cursor {
                mark: topic.mark,
                at: Some(key),
            });
            let matches = TopicName::parse(&topic.id.name).is_ok_and(|name| pattern.matches(name));
            if matches {
                changed.topics.extend(self.arrears(now, key, point));
            }
        }
        if next.is_none() {
            changed.next = None;
        }
        changed
    }

    /// What a topic has behind a point, if anything.
    fn arrears(&mut self, now: Tick, key: HomeKey, point: Point) -> Option<Arrears> {
        let topic = self.topics.get(key)?;
        let end = topic.offset;
        let (after, start_mark) = match topic.log.filter(|_| topic.id.class == Class::Logged) {
            Some(log) => {
                let after = self.store.locate(log, point, now);
                (after, self.store.extent(log, now).start_mark)
            }
            None => (end, topic.mark),
        };
        let proof = match point {
            Point::Mark(mark) if start_mark > mark => Proof::Lost(Cause::Retention),
            Point::Mark(_) => Proof::Exact,
            Point::Last(_) | Point::Since(_) => Proof::NotAsked,
        };
        (after < end || matches!(proof, Proof::Lost(_))).then(|| Arrears {
            id: Arc::clone(&topic.id),
            after,
            end,
            proof,
        })
    }

    /// The topic whose last message is the first behind a mark, or the oldest of as many as may be
    /// looked at.
    fn first_since(&mut self, mark: u64) -> Result<Option<HomeKey>, HomeKey> {
        let mut first = None;
        let mut next = self.topics.newest();
        for _ in 0..TOPICS_MISSED_MAX {
            match next {
                Some(key) if self.topics.get(key).is_some_and(|topic| topic.mark > mark) => {
                    first = Some(key);
                    next = self.topics.older(key);
                }
                Some(_) | None => return Ok(first),
            }
        }
        match (first, next) {
            (Some(first), Some(key))
                if self.topics.get(key).is_some_and(|topic| topic.mark > mark) =>
            {
                Err(first)
            }
            (first, _) => Ok(first),
        }
    }
}

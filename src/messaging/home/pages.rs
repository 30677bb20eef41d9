//! Pages of what a topic has kept.

use std::sync::Arc;

use corewire_protocol::native::Complete;

use crate::engine::Now;
use crate::messaging::class::Class;
use crate::messaging::mail::TooManyTopics;
use crate::messaging::publication::TopicId;
use crate::messaging::store::{Ask, Direction, Point, Range, Read, ReadNumber};

use super::Home;

/// Which page is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::messaging) struct PageWanted {
    pub(in crate::messaging) from: PageFrom,
    pub(in crate::messaging) direction: Direction,
    /// At most so many messages.
    pub(in crate::messaging) messages: usize,
    /// At most so many bytes of them.
    pub(in crate::messaging) bytes: usize,
}

/// Where a page begins, in its direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::messaging) enum PageFrom {
    /// At the end of the log that the direction comes from.
    End,
    /// Forward, behind this offset; backward, before it.
    Place { epoch: Box<str>, offset: u64 },
    /// With the first message that was taken at this time, in milliseconds since 1970, or after.
    Since(u64),
}

/// A page.
#[derive(Debug)]
pub(in crate::messaging) struct HistoryPage {
    pub(in crate::messaging) id: Arc<TopicId>,
    pub(in crate::messaging) range: Range,
    /// Whether nothing more is in its direction.
    pub(in crate::messaging) complete: Complete,
}

/// The answer to [`Home::page`].
#[derive(Debug)]
pub(in crate::messaging) enum Paged {
    Now(HistoryPage),
    /// Its messages come by [`Home::finished`].
    Later(Arc<TopicId>),
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::messaging) enum NoPage {
    TooManyTopics,
    /// The topic has had another epoch since.
    OtherEpoch(Box<str>),
    /// The topic has not come that far.
    Ahead {
        end: u64,
    },
}

impl From<TooManyTopics> for NoPage {
    fn from(TooManyTopics: TooManyTopics) -> Self {
        Self::TooManyTopics
    }
}

impl Home {
    /// Reads a page of a topic, which is made if it is not there.
    pub(in crate::messaging) fn page(
        &mut self,
        now: Now,
        name: &str,
        (number, wanted): (ReadNumber, &PageWanted),
    ) -> Result<Paged, NoPage> {
        let key = self.make(now.tick, name)?;
        let topic = self.topics.get(key).ok_or(TooManyTopics)?;
        let (id, end) = (Arc::clone(&topic.id), topic.offset);
        let log = topic.log.filter(|_| id.class == Class::Logged);
        let mut ask = Ask {
            number,
            after: 0,
            up_to: end,
            messages: wanted.messages,
            bytes: wanted.bytes,
            direction: wanted.direction,
        };
        match &wanted.from {
            PageFrom::End => {}
            PageFrom::Place { epoch, .. } if *epoch != id.epoch => {
                return Err(NoPage::OtherEpoch(id.epoch.clone()));
            }
            PageFrom::Place { offset, .. } => match wanted.direction {
                Direction::Forward if *offset > end => return Err(NoPage::Ahead { end }),
                Direction::Forward => ask.after = *offset,
                Direction::Backward if *offset > end + 1 => return Err(NoPage::Ahead { end }),
                Direction::Backward => ask.up_to = offset.saturating_sub(1),
            },
            PageFrom::Since(time_ms) => {
                let point = Point::Since(*time_ms);
                ask.after = log.map_or(end, |log| self.store.locate(log, point, now.tick));
            }
        }
        let Some(log) = log else {
            let range = Range::nothing(end);
            return Ok(Paged::Now(HistoryPage::new(id, range, wanted.direction)));
        };
        Ok(match self.store.read(log, &ask, now.tick) {
            Read::Now(range) => Paged::Now(HistoryPage::new(id, range, wanted.direction)),
            Read::Later => Paged::Later(id),
        })
    }
}

impl HistoryPage {
    /// What was read.
    pub(in crate::messaging) fn new(id: Arc<TopicId>, range: Range, direction: Direction) -> Self {
        let complete = match direction {
            Direction::Forward => range.to >= range.end,
            Direction::Backward => range.from <= range.start,
        };
        Self {
            id,
            range,
            complete: if complete {
                Complete::Yes
            } else {
                Complete::No
            },
        }
    }
}

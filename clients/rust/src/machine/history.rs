//! Messages of the past: what was asked for, and the pages that have come.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use corewire_protocol::native::{self, Command, Complete, Direction, ErrorCode, HistoryFrom};
use corewire_protocol::native::{ErrorReply, Place, Request, TopicError};

use crate::data::Data;

use super::event::{Message, Position, Publisher};

/// Questions that have no page yet.
const HISTORIES_MAX: usize = 1024;

/// A question's name inside its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HistoryId(u64);

/// Which messages of the past are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The topic.
    pub topic: Arc<str>,
    /// Where the page is.
    pub from: PageFrom,
    /// How many messages it has at most; as many as the server gives if nothing is said.
    pub limit: Option<u64>,
}

/// Where a page is. Its messages are in ascending order in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PageFrom {
    /// It begins with the oldest message that the server still has.
    Oldest,
    /// It begins behind this position.
    After(Position),
    /// It begins with the first message that the server took at this time or later, in milliseconds
    /// since 1970 by its clock.
    Since(u64),
    /// It ends with the newest message.
    #[default]
    Newest,
    /// It ends before the message at this position.
    Before(Position),
}

/// Messages of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The topic.
    pub topic: Arc<str>,
    /// In which its offsets count.
    pub epoch: Arc<str>,
    /// The page speaks of the messages behind this offset…
    pub start: u64,
    /// … up to this one. Those that it does not list have expired, or the server has let go of them.
    pub end: u64,
    /// Whether there is nothing more in its direction.
    pub complete: Complete,
    /// The messages, in ascending order.
    pub messages: Vec<Message>,
}

impl Page {
    /// Where the next page of newer messages is.
    #[must_use]
    pub fn newer(&self) -> PageFrom {
        PageFrom::After(self.position(self.end))
    }

    /// Where the next page of older messages is.
    #[must_use]
    pub fn older(&self) -> PageFrom {
        PageFrom::Before(self.position(self.start.saturating_add(1)))
    }

    fn position(&self, offset: u64) -> Position {
        Position {
            epoch: self.epoch.clone(),
            offset,
        }
    }
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryError {
    /// The topic's name is not one: what is wrong with it.
    Topic(TopicError),
    /// There are so many questions already, as many as there may be.
    TooMany(usize),
    /// The server has refused it.
    Refused {
        /// Why.
        code: ErrorCode,
        /// The same in words.
        text: Arc<str>,
        /// It may succeed after this time.
        retry_ms: Option<u64>,
    },
    /// The client has stopped.
    Stopped,
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(error) => write!(f, "topic: {error}"),
            Self::TooMany(max) => write!(
                f,
                "there are {max} questions for the past already; await some of their pages first"
            ),
            Self::Refused { code, text, .. } => {
                write!(f, "the server refused it: {text} ({})", code.name())
            }
            Self::Stopped => f.write_str("the client has stopped"),
        }
    }
}

impl std::error::Error for HistoryError {}

/// All questions of a client. Each ends with exactly one page or error. One whose connection ends
/// before is asked again: to read changes nothing.
#[derive(Debug, Default)]
pub(super) struct Histories {
    next_id: u64,
    asked: BTreeMap<HistoryId, History>,
    /// Those that are to be sent.
    unsent: VecDeque<HistoryId>,
    pages: VecDeque<(HistoryId, Result<Page, HistoryError>)>,
}

impl Histories {
    pub(super) fn push(&mut self, history: History) -> Result<HistoryId, HistoryError> {
        if self.asked.len() >= HISTORIES_MAX {
            return Err(HistoryError::TooMany(HISTORIES_MAX));
        }
        self.next_id += 1;
        let id = HistoryId(self.next_id);
        self.asked.insert(id, history);
        self.unsent.push_back(id);
        Ok(id)
    }

    /// The next one to be sent.
    pub(super) fn first(&self) -> Option<(HistoryId, &History)> {
        let id = *self.unsent.front()?;
        Some((id, self.asked.get(&id)?))
    }

    /// The next one was sent.
    pub(super) fn sent(&mut self) {
        self.unsent.pop_front();
    }

    /// The connection of one that was sent has ended.
    pub(super) fn cut(&mut self, id: HistoryId) {
        if self.asked.contains_key(&id) {
            self.unsent.push_back(id);
        }
    }

    /// The server has answered.
    pub(super) fn paged(&mut self, id: HistoryId, page: &native::Page<'_>) {
        let Some(history) = self.asked.remove(&id) else {
            return;
        };
        let topic = history.topic;
        let epoch: Arc<str> = (&*page.epoch).into();
        let messages = page.items.iter().map(|item| Message {
            topic: topic.clone(),
            position: Position {
                epoch: epoch.clone(),
                offset: item.offset,
            },
            data: Data::read(item.data.clone()),
            key: item.key.as_deref().map(Into::into),
            tags: tags(&item.tags),
            publisher: Publisher {
                user: (&*item.publisher.user).into(),
                conn: (&*item.publisher.conn).into(),
                pseq: item.publisher.pseq,
            },
            time_ms: item.time_ms,
        });
        let messages = messages.collect();
        let page = Page {
            topic: topic.clone(),
            epoch,
            start: page.start,
            end: page.end,
            complete: page.complete,
            messages,
        };
        self.pages.push_back((id, Ok(page)));
    }

    /// The server has refused it.
    pub(super) fn refused(&mut self, id: HistoryId, error: &ErrorReply<'_>) {
        if self.asked.remove(&id).is_some() {
            let error = HistoryError::Refused {
                code: error.code,
                text: (&*error.text).into(),
                retry_ms: error.retry_ms,
            };
            self.pages.push_back((id, Err(error)));
        }
    }

    /// The client stops.
    pub(super) fn stop(&mut self) {
        self.unsent.clear();
        for id in std::mem::take(&mut self.asked).into_keys() {
            self.pages.push_back((id, Err(HistoryError::Stopped)));
        }
    }

    pub(super) fn next_page(&mut self) -> Option<(HistoryId, Result<Page, HistoryError>)> {
        self.pages.pop_front()
    }
}

impl History {
    /// The command that asks for it.
    pub(super) fn request(&self, id: u64) -> Request<'_> {
        let place = |position| HistoryFrom::Place(place(position));
        let (from, direction) = match &self.from {
            PageFrom::Oldest => (None, Direction::Forward),
            PageFrom::After(position) => (Some(place(position)), Direction::Forward),
            PageFrom::Since(time_ms) => (Some(HistoryFrom::Since(*time_ms)), Direction::Forward),
            PageFrom::Newest => (None, Direction::Backward),
            PageFrom::Before(position) => (Some(place(position)), Direction::Backward),
        };
        Request {
            id: Some(id),
            command: Command::History(native::History {
                topic: Cow::Borrowed(&self.topic),
                from,
                direction,
                limit: self.limit,
            }),
        }
    }
}

/// A position as the server is told it.
pub(super) fn place(position: &Position) -> Place<'_> {
    Place {
        epoch: Cow::Borrowed(&position.epoch),
        offset: position.offset,
    }
}

/// Names and values, kept.
pub(super) fn tags(said: &[(Cow<'_, str>, Cow<'_, str>)]) -> Vec<(Arc<str>, Arc<str>)> {
    let tags = said.iter();
    tags.map(|(name, value)| ((&**name).into(), (&**value).into()))
        .collect()
}

//! What was said before: where a subscription begins, and pages of history.

use std::borrow::Cow;

use super::problem::Problem;
use super::push::Message;

/// Topics in one [`PatternPlace`]. What a client has seen of others comes again, and it leaves it
/// out itself.
pub const SEEN_MAX: usize = 4096;

/// `from`: where a subscription begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start<'a> {
    /// `"now"`: with the next message.
    #[default]
    Now,
    /// `epoch` and `offset`: with the messages behind that position.
    After(Place<'a>),
    /// `last`: with the newest so many messages that are retained; of a pattern, in each topic.
    Last(u64),
    /// `since_ms`: with the retained messages that the server took at this time or later, in
    /// milliseconds since 1970; of a pattern, in each topic.
    Since(u64),
    /// `pos` and `seen`: behind that position of a pattern.
    Pattern(Box<PatternPlace<'a>>),
}

/// A position in a topic: all up to this offset is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place<'a> {
    /// `epoch`: an opaque string.
    pub epoch: Cow<'a, str>,
    /// `offset`: 0 is before the first message.
    pub offset: u64,
}

/// A position in all topics of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternPlace<'a> {
    /// `pos`: the newest one that the server has told, a string that only the server reads.
    pub pos: Cow<'a, str>,
    /// `seen`: topics of which messages came since then, at most [`SEEN_MAX`].
    pub seen: Vec<Seen<'a>>,
}

/// How far one topic of a pattern is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<'a> {
    /// `topic`: its name, not checked yet.
    pub topic: Cow<'a, str>,
    /// `epoch`.
    pub epoch: Cow<'a, str>,
    /// `offset`: all up to this one is known.
    pub offset: u64,
}

/// `hist`: messages that a topic still has, without a subscription. Answered by `page`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History<'a> {
    /// `topic`: its name, not checked yet.
    pub topic: Cow<'a, str>,
    /// `from`: forward, the page begins behind it; without it, with the oldest message. Backward,
    /// the page ends before it; without it, with the newest message.
    pub from: Option<HistoryFrom<'a>>,
    /// `dir`.
    pub direction: Direction,
    /// `limit`: messages on the page; without it, or above it, the server's own bound
    /// ([`Limits::history_items`](super::Limits::history_items)).
    pub limit: Option<u64>,
}

/// `from` of a [`History`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryFrom<'a> {
    /// `epoch` and `offset`. Backward, the message with this offset is the first one that is not
    /// wanted.
    Place(Place<'a>),
    /// `since_ms`: messages taken at this time or later, in milliseconds since 1970. Forward only:
    /// what is read has no other.
    Since(u64),
}

/// `dir`: which way a [`History`] is read. A page lists its messages in ascending order either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// `forward`: the oldest messages behind `from`.
    #[default]
    Forward,
    /// `backward`: the newest messages before `from`.
    Backward,
}

impl History<'_> {
    /// What a reader must not let through.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if let (Direction::Backward, Some(HistoryFrom::Since(_))) = (self.direction, &self.from) {
            return Err(Problem::bad(
                "since_ms goes forward only; give epoch and offset, or leave dir out",
            )
            .within("from"));
        }
        Ok(())
    }
}

/// `page`: what a topic has between two offsets. What is not listed has expired, or is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<'a> {
    /// `t`: the topic's alias.
    pub t: u64,
    /// `epoch`: in which these offsets count.
    pub epoch: Cow<'a, str>,
    /// `start`: the offset before the first one that the page speaks of.
    pub start: u64,
    /// `end`: the last offset that the page speaks of.
    pub end: u64,
    /// `complete`: whether there is nothing more in that direction.
    pub complete: Complete,
    /// `items`: in ascending order. Their alias is the page's, and not written again.
    pub items: Vec<Message<'a>>,
}

/// `complete`: whether a [`Page`] is the last one in its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complete {
    /// There was nothing more.
    Yes,
    /// There is more: ask again with the page's `end`, or backward with its `start` and one more.
    No,
}

/// The fields of a `from`, as they were found.
#[derive(Debug, Default)]
pub(super) struct FromFields<'a> {
    pub(super) epoch: Option<Cow<'a, str>>,
    pub(super) offset: Option<u64>,
    pub(super) last: Option<u64>,
    pub(super) since_ms: Option<u64>,
    pub(super) pos: Option<Cow<'a, str>>,
    pub(super) seen: Option<Vec<Seen<'a>>>,
}

impl<'a> FromFields<'a> {
    /// Where a subscription begins: exactly one of its ways to say so.
    pub(super) fn start(self) -> Result<Start<'a>, Problem> {
        const ONE: &str = "give epoch and offset, or last, or since_ms, or pos and seen";
        let place = place(self.epoch, self.offset)?;
        if self.pos.is_none() && self.seen.is_some() {
            return Err(Problem::missing("pos", "a pattern's position"));
        }
        match (place, self.last, self.since_ms, self.pos) {
            (Some(place), None, None, None) => Ok(Start::After(place)),
            (None, Some(last), None, None) => Ok(Start::Last(last)),
            (None, None, Some(since_ms), None) => Ok(Start::Since(since_ms)),
            (None, None, None, Some(pos)) => {
                let seen = self.seen.unwrap_or_default();
                Ok(Start::Pattern(Box::new(PatternPlace { pos, seen })))
            }
            (None, None, None, None) => Err(Problem::bad(format!("no beginning; {ONE}"))),
            _ => Err(Problem::bad(format!("more than one beginning; {ONE}"))),
        }
    }

    /// Where a page begins.
    pub(super) fn history(self) -> Result<HistoryFrom<'a>, Problem> {
        const ONE: &str = "give epoch and offset, or since_ms";
        if self.last.is_some() {
            return Err(Problem::bad(
                "a page has no last; use dir backward and limit",
            ));
        }
        if self.pos.is_some() || self.seen.is_some() {
            return Err(Problem::bad(format!(
                "a page is of one topic, not of a pattern; {ONE}"
            )));
        }
        match (place(self.epoch, self.offset)?, self.since_ms) {
            (Some(place), None) => Ok(HistoryFrom::Place(place)),
            (None, Some(since_ms)) => Ok(HistoryFrom::Since(since_ms)),
            (None, None) => Err(Problem::bad(format!("no beginning; {ONE}"))),
            (Some(_), Some(_)) => Err(Problem::bad(format!("more than one beginning; {ONE}"))),
        }
    }
}

/// Both or none.
fn place<'a>(
    epoch: Option<Cow<'a, str>>,
    offset: Option<u64>,
) -> Result<Option<Place<'a>>, Problem> {
    match (epoch, offset) {
        (Some(epoch), Some(offset)) => Ok(Some(Place { epoch, offset })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Problem::missing("epoch", "the epoch of the offset")),
        (Some(_), None) => Err(Problem::missing("offset", "an offset")),
    }
}

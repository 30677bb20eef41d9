//! What a subscription yields.

use std::fmt;
use std::sync::Arc;

use corewire_protocol::native::{self, ErrorCode};

use crate::data::Data;

use super::stop::Stop;

/// What a subscription yields, in the order of the server. Whatever is not handed over is told:
/// between the first event and the last, messages, gaps, conflations and resets account for all
/// that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The subscription stands for the first time: what is published from now on comes, behind what
    /// was asked for of the past.
    Subscribed(Subscribed),
    /// A message.
    Message(Message),
    /// Messages that will not come. How many, and which, is known.
    Gap(Gap),
    /// Messages that newer ones with the same key have replaced
    /// ([`PolicyMode::Latest`](crate::PolicyMode::Latest)).
    Conflated(Conflated),
    /// Nothing can be said of what was missed: load the state anew, if there is one.
    Reset(Reset),
    /// The last event: the subscription has ended.
    Unsubscribed(Unsubscribed),
}

/// Where a subscription begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// Of a subscription to one topic: the position of the last message before those that come.
    pub position: Option<Position>,
}

/// A place in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Changes when the topic's order could not be kept. Offsets of two epochs cannot be compared.
    pub epoch: Arc<str>,
    /// Counts a topic's messages from 1.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.offset)
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its place there.
    pub position: Position,
    /// What it carries.
    pub data: Data,
    /// What it is the newest value of.
    pub key: Option<Arc<str>>,
    /// Names and values that its publisher gave it.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Who published it.
    pub publisher: Publisher,
    /// When the server took it, in milliseconds since 1970.
    pub time_ms: u64,
}

/// Who published a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    /// The user, by the server's word.
    pub user: Arc<str>,
    /// The connection.
    pub conn: Arc<str>,
    /// The publisher's own number of the message in its topic.
    pub pseq: Option<u64>,
}

/// Messages that will not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Their topic.
    pub topic: Arc<str>,
    /// The first one's offset.
    pub from: u64,
    /// The last one's offset.
    pub to: u64,
    /// Why.
    pub cause: GapCause,
    /// Whether the server still had them when it said so: a question for the
    /// [`History`](super::History) of the topic brings them, as long as they are kept.
    pub in_history: bool,
}

impl Gap {
    /// How many are missing.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.to.saturating_sub(self.from).saturating_add(1)
    }
}

/// Why messages are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapCause {
    /// This client did not take them in time.
    Slow,
    /// They were published while this client had no connection.
    Away,
    /// The server has let go of them.
    Retention,
    /// The connection between servers was interrupted.
    Broker,
    /// The server was overloaded or has lost its memory.
    Node,
    /// The server left them out without a word, against the protocol.
    Unexplained,
}

impl From<native::Cause> for GapCause {
    fn from(cause: native::Cause) -> Self {
        match cause {
            native::Cause::Slow => Self::Slow,
            native::Cause::Retention => Self::Retention,
            native::Cause::Broker => Self::Broker,
            native::Cause::Node => Self::Node,
        }
    }
}

impl GapCause {
    /// One word for people and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Away => "away",
            Self::Retention => "retention",
            Self::Broker => "broker",
            Self::Node => "node",
            Self::Unexplained => "unexplained",
        }
    }
}

/// Messages that newer ones have replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflated {
    /// Their topic.
    pub topic: Arc<str>,
    /// How many.
    pub count: u64,
    /// All offsets up to this one are accounted for.
    pub up_to: u64,
}

/// A point before which nothing is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// What it is about.
    pub scope: ResetScope,
    /// Why.
    pub cause: ResetCause,
}

/// What a reset is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResetScope {
    /// One topic.
    Topic {
        /// Its name.
        topic: Arc<str>,
        /// The place of the last message before those that follow.
        position: Position,
    },
    /// All topics of the subscription.
    Subscription,
}

/// Why nothing is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetCause {
    /// The connection was interrupted; topics that this client has not met before may have had
    /// messages meanwhile.
    Away,
    /// The topic has begun a new epoch: the server has lost its memory.
    Epoch,
    /// The subscription's events were not taken, and were more than its bound.
    Overflow,
    /// The server says so, with this cause.
    Server(GapCause),
}

impl ResetCause {
    /// One word for people and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Epoch => "epoch",
            Self::Overflow => "overflow",
            Self::Server(cause) => cause.name(),
        }
    }
}

/// Why a subscription has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsubscribed {
    /// The server has refused it, or has ended it.
    Refused {
        /// Why.
        code: ErrorCode,
        /// The same in words, if the server has some.
        text: Arc<str>,
    },
    /// The client has stopped.
    Stopped(Stop),
}

impl fmt::Display for Unsubscribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, text } if text.is_empty() => {
                write!(f, "the server ended the subscription: {}", code.name())
            }
            Self::Refused { code, text } => write!(
                f,
                "the server refused the subscription: {} ({})",
                text,
                code.name()
            ),
            Self::Stopped(stop) => stop.fmt(f),
        }
    }
}

impl std::error::Error for Unsubscribed {}

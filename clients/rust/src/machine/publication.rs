//! What waits to be published, and what was and waits for its reply.
//!
//! ```text
//!              sent                     the reply
//!   queued ───────────▶ in flight ────────────────────▶ published, or refused
//!     ▲                     │
//!     │    at least once    │ the connection ends, or the time is over
//!     └─────────────────────┤
//!                           └── at most once ─────────▶ uncertain
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use corewire_protocol::native::{self, Command, Echo, ErrorCode, Level, Request, Target};

use crate::data::Data;

use super::event::Position;

/// What a publication costs beside its bytes.
const OVERHEAD_BYTES: usize = 128;
/// Topics whose publications are numbered. Those of further topics carry no `pseq`.
const NUMBERED_TOPICS_MAX: usize = 65_536;

/// A publication's name inside its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicationId(pub(super) u64);

/// What is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The topic.
    pub topic: Arc<str>,
    /// What.
    pub data: Data,
    /// What it is the newest value of, for subscribers that only want those.
    pub key: Option<Arc<str>>,
    /// Whether this client gets it, too, if it subscribes to the topic.
    pub echo: Echo,
    /// What to do if a connection ends before the reply.
    pub guarantee: Guarantee,
}

/// What to do with a publication when the connection ends before its reply: the server may or may
/// not have taken it. This version of the server does not know a repetition when it sees one, so
/// the publisher has to choose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// It is not sent again, and ends as [`PublishError::Uncertain`].
    #[default]
    AtMostOnce,
    /// It is sent again, with the same `pseq`, before anything that was published later: it may
    /// then have been published twice.
    AtLeastOnce,
}

/// Why something was not published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic's name is not one: what is wrong with it.
    Topic(native::TopicError),
    /// It is larger than the server takes: bytes, and how many it takes.
    TooLarge {
        /// Its bytes, as a message.
        bytes: u64,
        /// The bytes that the server takes.
        max: u64,
    },
    /// Too much waits already.
    Full,
    /// The server has refused it.
    Refused {
        /// Why.
        code: ErrorCode,
        /// The same in words.
        text: Arc<str>,
        /// It may succeed after this time.
        retry_ms: Option<u64>,
    },
    /// It was sent, and there was no reply: it may have been published.
    Uncertain,
    /// It was never sent: there was no connection in time.
    TimedOut,
    /// It was never sent: the client has stopped.
    Stopped,
}

impl PublishError {
    /// One word for people and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Topic(_) => "topic",
            Self::TooLarge { .. } => "too_large",
            Self::Full => "full",
            Self::Refused { .. } => "refused",
            Self::Uncertain => "uncertain",
            Self::TimedOut => "timed_out",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(error) => write!(f, "topic: {error}"),
            Self::TooLarge { bytes, max } => write!(
                f,
                "{bytes} bytes; the server takes messages of {max} bytes at most"
            ),
            Self::Full => f.write_str(
                "too many publications wait for the server; await some of their replies first",
            ),
            Self::Refused { code, text, .. } => {
                write!(f, "the server refused it: {text} ({})", code.name())
            }
            Self::Uncertain => f.write_str(
                "the connection ended before the reply: the message may have been published; \
                 publish it again if it may come twice",
            ),
            Self::TimedOut => {
                f.write_str("there was no connection in time; the message was not published")
            }
            Self::Stopped => f.write_str("the client has stopped; the message was not published"),
        }
    }
}

impl std::error::Error for PublishError {}

/// Where a message now stands, or why it does not.
pub type Outcome = Result<Position, PublishError>;

/// A publication on its way.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) id: PublicationId,
    pub(super) publish: Publish,
    pub(super) pseq: Option<u64>,
    asked_at_ms: u64,
    attempts: Attempts,
}

/// Whether the server may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempts {
    None,
    Some,
}

impl Publication {
    /// The command that publishes it.
    pub(super) fn request(&self, id: u64) -> Request<'_> {
        Request {
            id: Some(id),
            command: Command::Publish(native::Publish {
                target: Target::Topic(Cow::Borrowed(&self.publish.topic)),
                data: self.publish.data.word(),
                pseq: self.pseq,
                idem: None,
                tags: Vec::new(),
                ttl_ms: None,
                key: self.publish.key.as_deref().map(Cow::Borrowed),
                level: Level::Memory,
                echo: self.publish.echo,
            }),
        }
    }

    fn bytes(&self) -> usize {
        Publications::cost(&self.publish)
    }
}

/// All publications of a client. Each ends with exactly one outcome.
#[derive(Debug, Default)]
pub(super) struct Publications {
    next_id: u64,
    /// The last number given in each topic.
    numbers: BTreeMap<Arc<str>, u64>,
    queued: VecDeque<Publication>,
    /// By the `id` of their command, all on one connection.
    in_flight: BTreeMap<u64, Publication>,
    bytes: usize,
    outcomes: VecDeque<(PublicationId, Outcome)>,
}

impl Publications {
    pub(super) fn len(&self) -> usize {
        self.queued.len() + self.in_flight.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.len()
    }

    /// What a publication would add to [`bytes`](Self::bytes).
    pub(super) fn cost(publish: &Publish) -> usize {
        let key = publish.key.as_ref().map_or(0, |key| key.len());
        publish.data.len() + publish.topic.len() + key + OVERHEAD_BYTES
    }

    pub(super) fn push(&mut self, publish: Publish, now_ms: u64) -> PublicationId {
        self.next_id += 1;
        let id = PublicationId(self.next_id);
        let pseq = self.number(&publish.topic);
        let publication = Publication {
            id,
            publish,
            pseq,
            asked_at_ms: now_ms,
            attempts: Attempts::None,
        };
        self.bytes += publication.bytes();
        self.queued.push_back(publication);
        id
    }

    fn number(&mut self, topic: &Arc<str>) -> Option<u64> {
        if let Some(number) = self.numbers.get_mut(topic) {
            *number += 1;
            return Some(*number);
        }
        let numbered = self.numbers.len() < NUMBERED_TOPICS_MAX;
        numbered.then(|| {
            self.numbers.insert(topic.clone(), 1);
            1
        })
    }

    /// The next one to be sent.
    pub(super) fn first(&self) -> Option<&Publication> {
        self.queued.front()
    }

    /// The next one was sent by the command with this `id`.
    pub(super) fn sent(&mut self, id: u64) {
        if let Some(mut publication) = self.queued.pop_front() {
            publication.attempts = Attempts::Some;
            self.in_flight.insert(id, publication);
        }
    }

    /// The next one cannot be sent.
    pub(super) fn fail_first(&mut self, error: PublishError) {
        if let Some(publication) = self.queued.pop_front() {
            self.end(&publication, Err(error));
        }
    }

    /// The reply to the command with this `id`. `false` if no publication waits for it.
    pub(super) fn answered(&mut self, id: u64, outcome: Outcome) -> bool {
        match self.in_flight.remove(&id) {
            Some(publication) => {
                self.end(&publication, outcome);
                true
            }
            None => false,
        }
    }

    /// The connection on which all in flight were sent has ended.
    pub(super) fn cut(&mut self) {
        // From the newest to the oldest, so that the order in the queue is that of sending.
        while let Some((_, publication)) = self.in_flight.pop_last() {
            match publication.publish.guarantee {
                Guarantee::AtLeastOnce => self.queued.push_front(publication),
                Guarantee::AtMostOnce => self.end(&publication, Err(PublishError::Uncertain)),
            }
        }
    }

    /// The client stops: whatever is left has its outcome now.
    pub(super) fn stop(&mut self) {
        self.cut();
        while let Some(publication) = self.queued.pop_front() {
            let error = match publication.attempts {
                Attempts::None => PublishError::Stopped,
                Attempts::Some => PublishError::Uncertain,
            };
            self.end(&publication, Err(error));
        }
    }

    /// Ends those that were asked for at this moment or before.
    pub(super) fn expire(&mut self, asked_until_ms: u64) {
        while let Some(entry) = self.in_flight.first_entry()
            && entry.get().asked_at_ms <= asked_until_ms
        {
            let publication = entry.remove();
            self.end(&publication, Err(PublishError::Uncertain));
        }
        while let Some(first) = self.queued.front()
            && first.asked_at_ms <= asked_until_ms
        {
            let error = match first.attempts {
                Attempts::None => PublishError::TimedOut,
                Attempts::Some => PublishError::Uncertain,
            };
            self.fail_first(error);
        }
    }

    /// When the oldest one was asked for.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        let sent = self.in_flight.first_key_value();
        let sent = sent.map(|(_, publication)| publication.asked_at_ms);
        let queued = self.queued.front().map(|first| first.asked_at_ms);
        match (sent, queued) {
            (Some(sent), Some(queued)) => Some(sent.min(queued)),
            (sent, queued) => sent.or(queued),
        }
    }

    pub(super) fn next_outcome(&mut self) -> Option<(PublicationId, Outcome)> {
        self.outcomes.pop_front()
    }

    fn end(&mut self, publication: &Publication, outcome: Outcome) {
        self.bytes -= publication.bytes();
        self.outcomes.push_back((publication.id, outcome));
    }
}

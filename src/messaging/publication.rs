//! A message on its way from its home core to its subscribers.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use corewire_protocol::PreparedMessage;
use corewire_protocol::native::{Data, Dialect, Echo, Message, Publisher, Push};

use crate::engine::Tick;
use crate::ids::CoreId;

use super::class::Class;
use super::client::Author;
use super::store::Claim;

/// One life of a topic. Its home core makes it with the topic and gives it to whoever asks.
#[derive(Debug)]
pub(super) struct TopicId {
    /// The alias of the topic, which no other topic of this process has had or will have.
    pub(super) alias: u64,
    pub(super) name: Box<str>,
    pub(super) epoch: Box<str>,
    pub(super) home: CoreId,
    pub(super) class: Class,
}

/// What a client wants to publish: all that does not depend on the topic's order.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) data: Data<'static>,
    pub(super) key: Option<Box<str>>,
    pub(super) pseq: Option<u64>,
    pub(super) author: Arc<Author>,
    /// Whether its producer wants it back.
    pub(super) echo: Echo,
    /// Milliseconds after which nobody is sent it any more.
    pub(super) ttl_ms: Option<NonZeroU32>,
    pub(super) rare: Option<Box<Rare>>,
}

/// What few messages have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// A key that no other message of the topic has, for a while.
    pub(super) idem: Option<Box<str>>,
    /// Names and values.
    pub(super) tags: Box<[(Box<str>, Box<str>)]>,
}

impl Draft {
    /// How it says which message it is, if it does.
    pub(super) fn claim(&self) -> Option<Claim<'_>> {
        let idem = self.rare.as_ref().and_then(|rare| rare.idem.as_deref());
        (self.pseq.is_some() || idem.is_some()).then(|| Claim {
            producer: self.author.producer,
            pseq: self.pseq,
            idem,
        })
    }
}

/// A message in its place. It crosses a core's border as one reference, and is written in each
/// dialect at most once for the whole node, by the first core that needs it there; so is its
/// compressed form. (While one core writes, another that needs the same form waits these
/// microseconds: the only wait between cores, in exchange for half the work.)
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) topic: Arc<TopicId>,
    pub(super) offset: u64,
    /// Its number among all publications of its home core.
    pub(super) mark: u64,
    /// When its home core took it, in milliseconds since 1970: not before those before it.
    pub(super) time_ms: u64,
    /// The same moment, for what is measured in time.
    pub(super) taken: Tick,
    pub(super) draft: Draft,
    json: OnceLock<PreparedMessage>,
    binary: OnceLock<PreparedMessage>,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) mark: u64,
    pub(super) time_ms: u64,
    pub(super) taken: Tick,
}

impl Publication {
    /// Bytes that a message counts for beyond its data.
    const OVERHEAD_BYTES: usize = 256;

    pub(super) const fn new(topic: Arc<TopicId>, place: Place, draft: Draft) -> Self {
        let Place {
            offset,
            mark,
            time_ms,
            taken,
        } = place;
        Self {
            topic,
            offset,
            mark,
            time_ms,
            taken,
            draft,
            json: OnceLock::new(),
            binary: OnceLock::new(),
        }
    }

    /// What it counts for where memory is bounded.
    pub(super) fn bytes(&self) -> usize {
        self.data_bytes() + Self::OVERHEAD_BYTES
    }

    /// Bytes of what its publisher said.
    pub(super) fn data_bytes(&self) -> usize {
        let draft = &self.draft;
        let tags = draft.rare.as_ref().map_or(0, |rare| {
            let bytes = |(name, value): &(Box<str>, Box<str>)| name.len() + value.len();
            rare.tags.iter().map(bytes).sum()
        });
        draft.data.len() + self.key().len() + tags
    }

    /// Bytes of memory while it is kept, about: once as it was said, and once as it is written.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + 2 * self.bytes()
    }

    /// Whether its time is over.
    pub(super) fn is_expired(&self, now: Tick) -> bool {
        let ttl_ms = self.draft.ttl_ms;
        ttl_ms.is_some_and(|ttl_ms| self.taken.after(ttl_ms.get()).is_due(now))
    }

    pub(super) fn key(&self) -> &str {
        self.draft.key.as_deref().unwrap_or("")
    }

    /// The `msg` push, ready for the wire. `written` is called if it was not before.
    pub(super) fn message(&self, dialect: Dialect, written: impl FnOnce()) -> &PreparedMessage {
        let form = match dialect {
            Dialect::Json => &self.json,
            Dialect::Binary => &self.binary,
        };
        form.get_or_init(|| {
            written();
            let push = Push::Message(self.words());
            let mut bytes = Vec::with_capacity(self.bytes());
            dialect.write_push(&push, &mut bytes);
            PreparedMessage::new(dialect.kind(), &bytes)
        })
    }

    /// The same in words.
    pub(super) fn words(&self) -> Message<'_> {
        let draft = &self.draft;
        let tags = draft.rare.as_ref().map_or(&[][..], |rare| &rare.tags);
        Message {
            t: self.topic.alias,
            offset: self.offset,
            data: borrowed(&draft.data),
            time_ms: self.time_ms,
            key: draft.key.as_deref().map(Cow::Borrowed),
            tags: tags
                .iter()
                .map(|(name, value)| (Cow::Borrowed(&**name), Cow::Borrowed(&**value)))
                .collect(),
            publisher: Publisher {
                user: Cow::Borrowed(&draft.author.user),
                conn: Cow::Borrowed(&draft.author.conn),
                pseq: draft.pseq,
            },
        }
    }
}

fn borrowed<'a>(data: &'a Data<'static>) -> Data<'a> {
    match data {
        Data::Json(text) => Data::Json(Cow::Borrowed(text)),
        Data::Text(text) => Data::Text(Cow::Borrowed(text)),
        Data::Bytes(bytes) => Data::Bytes(Cow::Borrowed(bytes)),
    }
}

/// Messages of one topic that a core with interest was not sent because its queue was full. One
/// such mark lies in the line at most for each topic and core: while it has not been taken out,
/// what else does not fit is added to it.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) topic: Arc<TopicId>,
    /// The first that is missing.
    pub(super) from: u64,
    /// Its mark among all messages of its home core.
    pub(super) mark: u64,
    /// The last that is missing, or [`TAKEN`](Self::TAKEN).
    to: AtomicU64,
}

impl Loss {
    const TAKEN: u64 = u64::MAX;

    pub(super) fn new(first: &Publication) -> Self {
        Self {
            topic: Arc::clone(&first.topic),
            from: first.offset,
            mark: first.mark,
            to: AtomicU64::new(first.offset),
        }
    }

    /// Adds one more. Returns false if the mark was taken out of the line already: then the message
    /// goes its own way, behind it.
    pub(super) fn extend(&self, offset: u64) -> bool {
        let extended = self
            .to
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |to| {
                (to != Self::TAKEN).then_some(offset)
            });
        extended.is_ok()
    }

    /// Whether the mark was taken out of the line.
    pub(super) fn is_taken(&self) -> bool {
        self.to.load(Ordering::Acquire) == Self::TAKEN
    }

    /// Takes the mark out of the line. Returns the last that is missing.
    pub(super) fn take(&self) -> u64 {
        self.to.swap(Self::TAKEN, Ordering::AcqRel)
    }
}

#[cfg(test)]
impl Publication {
    /// A message that says nothing, for tests of what only counts offsets.
    pub(super) fn numbered(offset: u64) -> Arc<Self> {
        let id = TopicId {
            alias: 1,
            name: "t".into(),
            epoch: "k1".into(),
            home: CoreId(0),
            class: Class::Logged,
        };
        let author = Author {
            user: "u".into(),
            conn: "c".into(),
            producer: super::client::Producer {
                session: 0,
                incarnation: 0,
            },
        };
        let draft = Draft {
            data: Data::Text(Cow::Borrowed("")),
            key: None,
            pseq: None,
            author: Arc::new(author),
            echo: Echo::Yes,
            ttl_ms: None,
            rare: None,
        };
        let place = Place {
            offset,
            mark: offset,
            time_ms: 0,
            taken: Tick(0),
        };
        Arc::new(Self::new(Arc::new(id), place, draft))
    }
}

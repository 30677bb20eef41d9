//! Where the messages of topics are kept: a log for each topic, at its home core.
//!
//! A [`Store`] keeps what a topic's class asks for, answers where in a log a reader begins, and
//! reads. It also keeps what is needed to tell that a message was published before (a [`Claim`]),
//! because that must not be forgotten sooner than the messages: a store that survives its process
//! keeps both.
//!
//! - Offsets are dense. A log holds the offsets `(start, end]`, every one of them; what has expired
//!   in between is not listed when it is read, and counts as read.
//! - Positions are answered at once; messages may come later ([`Read::Later`]), from a store whose
//!   entries lie elsewhere. Whoever asked is answered by number, through [`Store::finished`].
//! - What a store keeps, it keeps within bounds: of each class for each of its logs, and one for
//!   all of them together. It lets go of the oldest first, and says so by `start`.
//! - An epoch belongs to a log: as long as it stays, every offset that was acknowledged in it is in
//!   the log, or was let go of. A store that cannot say so begins another.
//!
//! `contract` is the suite that every store passes.

use std::sync::Arc;

use corewire_protocol::native::Level;
use slotmap::new_key_type;

use crate::engine::Tick;

use super::class::ClassId;
use super::client::Producer;
use super::publication::Publication;

mod dedup;
mod log;
mod memory;
mod slow;

pub(super) use memory::MemoryStore;
pub(super) use slow::SlowStore;

new_key_type! {
    /// The name of a log in its store.
    pub(super) struct LogKey;
}

/// A place for logs. Object-safe, so that a core can be given one without being made anew for it:
/// a call through a pointer is nothing beside an append.
pub(super) trait Store: std::fmt::Debug {
    /// The log of a topic, if the store has kept one beyond the topic or the process.
    fn find(&mut self, topic: &str) -> Option<Found>;

    /// Begins the log of a topic that has none.
    fn open(&mut self, opening: Opening<'_>) -> LogKey;

    /// The topic is forgotten. A store that keeps nothing beyond its process forgets the log; all
    /// that was to be read from it is answered as if nothing were there.
    fn close(&mut self, log: LogKey);

    /// Whether a message may take the next place. To be called before [`append`](Self::append),
    /// for messages that say which they are.
    fn claim(&mut self, log: LogKey, claim: &Claim<'_>, now: Tick) -> Claimed;

    /// Puts a message behind all others: its offset is the one behind `end`. Returns how safe it
    /// is.
    fn append(&mut self, log: LogKey, publication: &Arc<Publication>) -> Level;

    /// What a log holds now.
    fn extent(&mut self, log: LogKey, now: Tick) -> Extent;

    /// The offset behind which a reader begins who wants to start at a point.
    fn locate(&mut self, log: LogKey, point: Point, now: Tick) -> u64;

    /// Reads a part of a log.
    fn read(&mut self, log: LogKey, ask: &Ask, now: Tick) -> Read;

    /// The next read that was answered with [`Read::Later`] and is done.
    fn finished(&mut self) -> Option<(ReadNumber, Range)>;

    /// Whether anything is kept that somebody may still ask for: a message, or that it was
    /// published before.
    fn is_in_use(&mut self, log: LogKey, now: Tick) -> bool;

    /// Lets go of a little that is too old. To be called often.
    fn tidy(&mut self, now: Tick);

    /// How much is kept.
    fn figures(&self) -> Figures;
}

/// What [`Store::open`] needs to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening<'a> {
    #[expect(
        dead_code,
        reason = "logs in memory are found by their keys; others outlive these"
    )]
    pub(super) topic: &'a str,
    pub(super) class: ClassId,
    #[expect(dead_code, reason = "as above: it is for whoever finds the log again")]
    pub(super) epoch: &'a str,
    /// The offset of the last message before it.
    pub(super) end: u64,
}

/// A log that was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) log: LogKey,
    pub(super) epoch: Box<str>,
    pub(super) end: u64,
}

/// How a message says which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim<'a> {
    pub(super) producer: Producer,
    /// Its number among the messages of its producer in this topic.
    pub(super) pseq: Option<u64>,
    /// A key that no other message has.
    pub(super) idem: Option<&'a str>,
}

/// What becomes of a [`Claim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// It is new: it may be appended.
    New,
    /// It was published before, with this offset.
    Known(u64),
    /// Its producer has come back since, and this one is not to publish any more.
    Superseded,
    /// It is neither the next message of its producer nor a known one.
    NotNext {
        /// The number of the next one.
        expected: u64,
    },
}

/// What a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Extent {
    /// The last offset that is gone.
    pub(super) start: u64,
    /// The mark (see [`Publication::mark`]) of the last message that is gone.
    pub(super) start_mark: u64,
    /// The last offset.
    pub(super) end: u64,
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    /// So many messages before the end.
    Last(u64),
    /// With the first message that was taken at this time, in milliseconds since 1970, or after.
    Since(u64),
    /// With the first message whose mark is larger.
    Mark(u64),
}

/// What is to be read: the messages `(after, up_to]` as far as they are there, and within the
/// bounds, but one message at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    /// Names the read, should it be answered later.
    pub(super) number: ReadNumber,
    pub(super) after: u64,
    pub(super) up_to: u64,
    pub(super) messages: usize,
    /// Of data.
    pub(super) bytes: usize,
    pub(super) direction: Direction,
}

/// Which end of what was asked for is read if it is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The oldest.
    Forward,
    /// The newest. They come in ascending order all the same.
    Backward,
}

/// The number of a read, chosen by whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ReadNumber(pub(super) u64);

/// The answer to an [`Ask`].
#[derive(Debug)]
pub(super) enum Read {
    /// Here it is.
    Now(Range),
    /// It comes by [`Store::finished`].
    Later,
}

/// A part of a log.
#[derive(Debug, Clone, Default)]
pub(super) struct Range {
    /// The last offset that was gone when it was read.
    pub(super) start: u64,
    /// The last offset there was.
    pub(super) end: u64,
    /// All messages of `(from, to]` are here; those that are missing have expired. Nothing was read
    /// if the two are equal.
    pub(super) from: u64,
    pub(super) to: u64,
    /// In the order of their offsets.
    pub(super) entries: Vec<Arc<Publication>>,
}

impl Range {
    /// Nothing is kept of a log that has come to this offset.
    pub(super) const fn nothing(end: u64) -> Self {
        Self {
            start: end,
            end,
            from: end,
            to: end,
            entries: Vec::new(),
        }
    }
}

/// How much a store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Figures {
    /// Bytes of memory, of messages and of what is known of producers.
    pub(super) bytes: u64,
    pub(super) messages: u64,
    /// Messages that went before their time, because of the bound of all logs together.
    pub(super) evicted: u64,
}

/// What bounds a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Memory for all logs together.
    pub(super) bytes: usize,
    pub(super) dedup: DedupBounds,
}

/// What bounds the memory for what was published before, of each log.
#[derive(Debug, Clone, Copy)]
pub(super) struct DedupBounds {
    /// How long it lasts at least, while the other bounds let it.
    pub(super) window_ms: u32,
    pub(super) producers: usize,
    /// Of each producer.
    pub(super) numbers: usize,
    pub(super) keys: usize,
}

#[cfg(test)]
mod contract;

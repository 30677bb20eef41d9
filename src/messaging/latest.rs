//! Of each key the newest message, for subscribers who want no more than that.

use std::collections::BTreeMap;
use std::sync::Arc;

use corewire_protocol::native::Cause;

use crate::hash::{Map, Seed};

use super::publication::Publication;

/// The newest message of each key that some subscriber of this core has not been sent, in the
/// order of their offsets: a subscriber at an offset is owed what stands behind it.
#[derive(Debug)]
pub(super) struct Latest {
    messages: BTreeMap<u64, Arc<Publication>>,
    offsets: Map<Box<str>, u64>,
    bytes: usize,
    /// The last offset that is not accounted for: who stands before it has missed something.
    start: u64,
    cause: Cause,
    /// Subscribers with this policy.
    pub(super) subscribers: u32,
}

/// Keys kept at most of a topic.
const KEYS_MAX: usize = 10_000;
/// Bytes kept at most of a topic, beside the newest message. Those of all topics are in the core's
/// [`Backlog`](super::backlog::Backlog).
const BYTES_MAX: usize = 1 << 20;

impl Latest {
    /// Nothing before `offset` is asked for.
    pub(super) fn new(offset: u64, seed: Seed) -> Self {
        Self {
            messages: BTreeMap::new(),
            offsets: Map::with_hasher(seed),
            bytes: 0,
            start: offset,
            cause: Cause::Slow,
            subscribers: 0,
        }
    }

    pub(super) fn push(&mut self, publication: &Arc<Publication>) {
        let key = publication.key();
        let old = match self.offsets.get_mut(key) {
            Some(offset) => Some(std::mem::replace(offset, publication.offset)),
            None => {
                self.offsets.insert(key.into(), publication.offset);
                None
            }
        };
        if let Some(old) = old.and_then(|offset| self.messages.remove(&offset)) {
            self.bytes -= old.bytes();
        }
        self.bytes += publication.bytes();
        self.messages
            .insert(publication.offset, Arc::clone(publication));
        while self.messages.len() > 1
            && (self.messages.len() > KEYS_MAX || self.bytes > BYTES_MAX + publication.bytes())
        {
            self.pop();
        }
    }

    /// Gives up the oldest, up to this offset.
    pub(super) fn trim_to(&mut self, offset: u64) {
        while self.messages.range(..=offset).next().is_some() {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((offset, oldest)) = self.messages.pop_first() {
            self.bytes -= oldest.bytes();
            self.offsets.remove(oldest.key());
            self.start = offset;
            self.cause = Cause::Slow;
        }
    }

    /// Bytes that it holds.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Whether a message is in here still.
    pub(super) fn holds(&self, offset: u64) -> bool {
        self.messages.contains_key(&offset)
    }

    /// Messages up to this offset never came to this core: whose they would have been is not
    /// known.
    pub(super) fn lost(&mut self, to: u64) {
        self.clear();
        self.start = to;
        self.cause = Cause::Node;
    }

    /// Nobody is behind.
    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.offsets.clear();
        self.bytes = 0;
    }

    /// The last offset that is not accounted for, and why.
    pub(super) const fn start(&self) -> (u64, Cause) {
        (self.start, self.cause)
    }

    /// The first message behind an offset that is still its key's newest.
    pub(super) fn after(&self, offset: u64) -> Option<&Arc<Publication>> {
        self.messages
            .range(offset + 1..)
            .next()
            .map(|(_, publication)| publication)
    }
}

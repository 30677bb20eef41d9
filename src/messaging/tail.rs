//! The end of a topic, as long as some subscriber of this core has not been sent it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::publication::Publication;

/// The newest messages of a topic, in order, for subscribers that are behind. It is no history:
/// when nobody is behind, it is empty.
#[derive(Debug, Default)]
pub(super) struct Tail {
    entries: VecDeque<Entry>,
    /// Bytes of all that ever was in here, to the end of the last entry.
    end_bytes: u64,
    /// The last offset that is not in here any more: who stands before it has missed something.
    start: u64,
}

#[derive(Debug)]
struct Entry {
    what: Item,
    /// Bytes of all that ever was in here, to the end of this entry.
    end_bytes: u64,
}

/// What stands in a tail.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// A message.
    Message(Arc<Publication>),
    /// Messages that never came to this core.
    Lost {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
}

impl Item {
    /// The last offset that it stands for.
    pub(super) fn last(&self) -> u64 {
        match self {
            Self::Message(publication) => publication.offset,
            Self::Lost { to, .. } => *to,
        }
    }

    fn first(&self) -> u64 {
        match self {
            Self::Message(publication) => publication.offset,
            Self::Lost { from, .. } => *from,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Message(publication) => publication.bytes(),
            Self::Lost { .. } => 64,
        }
    }
}

impl Tail {
    pub(super) fn push(&mut self, item: Item) {
        if self.entries.is_empty() {
            self.start = item.first() - 1;
        }
        self.end_bytes += item.bytes() as u64;
        self.entries.push_back(Entry {
            what: item,
            end_bytes: self.end_bytes,
        });
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> u64 {
        match self.entries.front() {
            Some(first) => self.end_bytes - first.end_bytes + first.what.bytes() as u64,
            None => 0,
        }
    }

    /// The last offset before what is in here.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The item behind an offset.
    pub(super) fn after(&self, offset: u64) -> Option<&Item> {
        let place = self.place_after(offset);
        self.entries.get(place).map(|entry| &entry.what)
    }

    /// The items behind an offset.
    pub(super) fn behind(&self, offset: u64) -> impl Iterator<Item = &Item> {
        let place = self.place_after(offset);
        self.entries.range(place..).map(|entry| &entry.what)
    }

    /// How far a reader at `offset` must skip so that no more than `bytes` and `messages` wait for
    /// it before the newest message. Returns the last offset to be skipped, if any.
    pub(super) fn too_much_after(&self, offset: u64, bytes: u64, messages: u64) -> Option<u64> {
        if self.bytes() <= bytes && self.entries.len() as u64 <= messages {
            return None;
        }
        let newest = self.entries.back()?;
        let place = self.place_after(offset);
        let bytes = bytes.saturating_add(newest.what.bytes() as u64);
        // The entries from `fits` on hold no more bytes than that.
        let fits = self.entries.partition_point(|entry| {
            self.end_bytes - entry.end_bytes + entry.what.bytes() as u64 > bytes
        });
        let most = usize::try_from(messages).unwrap_or(usize::MAX).max(1);
        let fits = fits.max(self.entries.len().saturating_sub(most));
        let skipped = fits.min(self.entries.len() - 1);
        (skipped > place).then(|| self.entries[skipped - 1].what.last())
    }

    /// Gives up the oldest until no more than `bytes` are held before the newest.
    pub(super) fn trim(&mut self, bytes: u64) {
        while self.entries.len() > 1 {
            let newest = self.entries.back().map_or(0, |last| last.what.bytes());
            if self.bytes() <= bytes.saturating_add(newest as u64) {
                break;
            }
            self.pop();
        }
    }

    /// Gives up the oldest, up to this offset.
    pub(super) fn trim_to(&mut self, offset: u64) {
        while self
            .entries
            .front()
            .is_some_and(|first| first.what.last() <= offset)
        {
            self.pop();
        }
    }

    /// Whether a message is in here still.
    pub(super) fn holds(&self, offset: u64) -> bool {
        !self.entries.is_empty() && offset > self.start
    }

    /// Nobody is behind.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        if self.entries.capacity() > 64 {
            self.entries = VecDeque::new();
        }
    }

    fn pop(&mut self) {
        if let Some(first) = self.entries.pop_front() {
            self.start = first.what.last();
        }
    }

    fn place_after(&self, offset: u64) -> usize {
        // Where nothing was lost an item is an offset.
        let likely = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let before = likely.checked_sub(1).and_then(|at| self.entries.get(at));
        if before.is_some_and(|entry| entry.what.last() == offset) {
            return likely;
        }
        self.entries
            .partition_point(|entry| entry.what.last() <= offset)
    }
}

//! The log of one topic, in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::Tick;
use crate::messaging::class::{ClassId, History};
use crate::messaging::publication::Publication;
use crate::messaging::recency::{Linked, Links};

use super::dedup::Dedup;
use super::{Ask, Direction, Extent, LogKey, Point, Range};

/// The newest messages of a topic, without a hole, and what is known of its producers.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) class: ClassId,
    /// Those of the offsets `(start, end]`.
    entries: VecDeque<Arc<Publication>>,
    start: u64,
    start_mark: u64,
    /// Of data.
    bytes: usize,
    /// When something was put in last.
    pub(super) used: Tick,
    pub(super) dedup: Option<Box<Dedup>>,
    pub(super) links: Links<LogKey>,
}

impl Linked<LogKey> for Log {
    fn links(&mut self) -> &mut Links<LogKey> {
        &mut self.links
    }
}

impl Log {
    pub(super) const fn new(class: ClassId, end: u64) -> Self {
        Self {
            class,
            entries: VecDeque::new(),
            start: end,
            start_mark: 0,
            bytes: 0,
            used: Tick(0),
            dedup: None,
            links: Links::Out,
        }
    }

    pub(super) fn push(&mut self, publication: &Arc<Publication>) {
        debug_assert_eq!(publication.offset, self.end() + 1, "offsets are dense");
        self.bytes += publication.data_bytes();
        self.entries.push_back(Arc::clone(publication));
    }

    /// A message that is not kept has passed.
    pub(super) fn pass(&mut self, publication: &Publication) {
        debug_assert!(self.entries.is_empty(), "nothing is kept, or all is");
        self.start = publication.offset;
        self.start_mark = publication.mark;
    }

    /// Lets go of the oldest message.
    pub(super) fn pop(&mut self) -> Option<Arc<Publication>> {
        let oldest = self.entries.pop_front()?;
        self.start = oldest.offset;
        self.start_mark = oldest.mark;
        self.bytes -= oldest.data_bytes();
        if self.entries.is_empty() && self.entries.capacity() > 16 {
            self.entries = VecDeque::new();
        }
        Some(oldest)
    }

    /// Whether the oldest message is to go.
    pub(super) fn is_over(&self, history: &History, now: Tick) -> bool {
        self.entries.front().is_some_and(|oldest| {
            self.entries.len() > history.messages
                || self.bytes > history.bytes
                || now.since(oldest.taken) > history.age_ms
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn extent(&self) -> Extent {
        Extent {
            start: self.start,
            start_mark: self.start_mark,
            end: self.end(),
        }
    }

    pub(super) fn locate(&self, point: Point, now: Tick) -> u64 {
        let first = match point {
            Point::Last(messages) => self.newest(messages, now),
            Point::Since(time_ms) => self
                .entries
                .partition_point(|entry| entry.time_ms < time_ms),
            Point::Mark(mark) => self.entries.partition_point(|entry| entry.mark <= mark),
        };
        self.start + first as u64
    }

    /// The place of the first of the newest messages that have not expired.
    fn newest(&self, messages: u64, now: Tick) -> usize {
        let mut left = messages;
        let mut first = self.entries.len();
        for (place, entry) in self.entries.iter().enumerate().rev() {
            if left == 0 {
                break;
            }
            if !entry.is_expired(now) {
                first = place;
                left -= 1;
            }
        }
        first
    }

    pub(super) fn read(&self, ask: &Ask, now: Tick) -> Range {
        let end = self.end();
        let lowest = ask.after.clamp(self.start, end);
        let highest = ask.up_to.clamp(lowest, end);
        let mut range = Range {
            start: self.start,
            end,
            from: lowest,
            to: highest,
            entries: Vec::new(),
        };
        let place = |offset: u64| usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let wanted = self.entries.range(place(lowest)..place(highest));
        let mut room = Room::of(ask);
        match ask.direction {
            Direction::Forward => {
                for entry in wanted {
                    if entry.is_expired(now) {
                        continue;
                    }
                    if !room.take(entry) {
                        range.to = entry.offset - 1;
                        break;
                    }
                    range.entries.push(Arc::clone(entry));
                }
            }
            Direction::Backward => {
                for entry in wanted.rev() {
                    if entry.is_expired(now) {
                        continue;
                    }
                    if !room.take(entry) {
                        range.from = entry.offset;
                        break;
                    }
                    range.entries.push(Arc::clone(entry));
                }
                range.entries.reverse();
            }
        }
        range
    }

    fn end(&self) -> u64 {
        self.start + self.entries.len() as u64
    }
}

/// What may still be read.
struct Room {
    messages: usize,
    bytes: usize,
    first: bool,
}

impl Room {
    const fn of(ask: &Ask) -> Self {
        Self {
            messages: ask.messages,
            bytes: ask.bytes,
            first: true,
        }
    }

    /// Whether there is room for a message. There is for one, whatever its size.
    fn take(&mut self, publication: &Publication) -> bool {
        let bytes = publication.bytes();
        if !self.first && (self.messages == 0 || self.bytes < bytes) {
            return false;
        }
        self.first = false;
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

//! The plain bytes that one direction of a connection may refer back to (RFC 7692, 7.1.1).
//!
//! With context takeover a connection keeps this and nothing else: the last bytes of the messages
//! that were compressed, oldest first, at most the negotiated window. The codec's context is hot
//! in the core's cache, takes the window as its dictionary and forgets it again after the message.

use std::fmt;

use super::compress::DICTIONARY_BYTES;
use super::params::{Direction, Takeover};

/// A ring of the last `bytes_max` bytes. Empty it owns no memory; it then doubles up to its size.
pub struct Window {
    bytes: Vec<u8>,
    bytes_max: usize,
    /// Where the oldest byte lies once the ring is full; 0 before.
    oldest: usize,
}

impl Window {
    /// What the peer may refer to in what it sends us: `None` without takeover, otherwise the
    /// negotiated window, 2^`window_bits` bytes.
    ///
    /// An inbound window can never be given back: the peer may refer to it in its next message.
    #[must_use]
    pub fn inbound(direction: Direction) -> Option<Self> {
        match direction.takeover {
            Takeover::No => None,
            Takeover::Yes => Some(Self::new(window_bytes(direction.window_bits))),
        }
    }

    /// What we refer to in what we send: `None` without takeover, otherwise as much as the codec
    /// looks at ([`DICTIONARY_BYTES`]), never more than the negotiated window.
    ///
    /// It may be [cleared](Self::clear) or [given back](Self::give_back) between any two messages.
    #[must_use]
    pub fn outbound(direction: Direction) -> Option<Self> {
        match direction.takeover {
            Takeover::No => None,
            Takeover::Yes => {
                let bytes_max = window_bytes(direction.window_bits).min(DICTIONARY_BYTES);
                Some(Self::new(bytes_max))
            }
        }
    }

    fn new(bytes_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            bytes_max,
            oldest: 0,
        }
    }

    /// Appends the plain bytes of a message that went out or came in compressed, in wire order.
    ///
    /// The codec does so itself for what it compresses or inflates with this window. For a shared
    /// frame that was compressed without history, the sender does it, or calls
    /// [`clear`](Self::clear). What goes uncompressed never enters a window.
    pub fn push(&mut self, plain: &[u8]) {
        let newest = plain.len().saturating_sub(self.bytes_max);
        let plain = plain.get(newest..).unwrap_or_default();
        let growth = self.bytes_max.saturating_sub(self.bytes.len());
        let (appended, mut wrapped) = plain.split_at(growth.min(plain.len()));
        self.grow(appended.len());
        self.bytes.extend_from_slice(appended);
        while !wrapped.is_empty() {
            let space = self.bytes.get_mut(self.oldest..).unwrap_or_default();
            let (now, later) = wrapped.split_at(space.len().min(wrapped.len()));
            let (overwritten, kept) = space.split_at_mut(now.len());
            overwritten.copy_from_slice(now);
            self.oldest = if kept.is_empty() {
                0
            } else {
                self.oldest.saturating_add(now.len())
            };
            wrapped = later;
        }
    }

    /// The bytes, oldest first, in two parts of which either may be empty.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 2] {
        let (newer, older) = self.bytes.split_at(self.oldest);
        [older, newer]
    }

    /// The last `bytes` bytes, or all, as [`parts`](Self::parts).
    pub(super) fn tail(&self, bytes: usize) -> [&[u8]; 2] {
        let [older, newer] = self.parts();
        let from_older = bytes.saturating_sub(newer.len());
        [last(older, from_older), last(newer, bytes)]
    }

    /// Forgets the bytes and keeps the memory. Only for the outbound direction.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.oldest = 0;
    }

    /// Forgets the bytes and frees the memory, for an idle connection. Only for the outbound
    /// direction.
    pub fn give_back(&mut self) {
        self.bytes = Vec::new();
        self.oldest = 0;
    }

    /// Bytes that it remembers.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it remembers nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that it owns, at most the window.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    fn grow(&mut self, bytes: usize) {
        let needed = self.bytes.len().saturating_add(bytes);
        if needed > self.bytes.capacity() {
            let doubled = self.bytes.capacity().saturating_mul(2).min(self.bytes_max);
            let target = needed.max(doubled);
            self.bytes
                .reserve_exact(target.saturating_sub(self.bytes.len()));
        }
    }
}

/// Never shows the bytes: they are somebody's messages.
impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window({} of {})", self.bytes.len(), self.bytes_max)
    }
}

fn window_bytes(window_bits: u8) -> usize {
    super::assert_window_bits(window_bits);
    1 << window_bits
}

pub(super) fn last(bytes: &[u8], count: usize) -> &[u8] {
    let start = bytes.len().saturating_sub(count);
    bytes.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn owns_nothing_until_something_is_pushed() {
        let direction = Direction {
            takeover: Takeover::Yes,
            window_bits: 9,
        };
        let mut window = Window::inbound(direction).unwrap();
        assert_eq!(window.memory_bytes(), 0);
        window.push(&[7; 100]);
        assert_eq!(window.memory_bytes(), 100);
        window.push(&[8; 4096]);
        assert_eq!(window.memory_bytes(), 512);
        window.clear();
        assert!(window.is_empty());
        assert_eq!(window.memory_bytes(), 512);
        window.give_back();
        assert_eq!(window.memory_bytes(), 0);
    }

    #[test]
    fn without_takeover_there_is_no_window() {
        let direction = Direction {
            takeover: Takeover::No,
            window_bits: 15,
        };
        assert!(Window::inbound(direction).is_none());
        assert!(Window::outbound(direction).is_none());
    }

    #[test]
    fn outbound_keeps_no_more_than_the_dictionary() {
        let direction = Direction {
            takeover: Takeover::Yes,
            window_bits: 15,
        };
        let mut window = Window::outbound(direction).unwrap();
        window.push(&[1; 1 << 16]);
        assert_eq!(window.memory_bytes(), DICTIONARY_BYTES);
    }

    #[test]
    fn debug_shows_no_bytes() {
        let mut window = Window::new(4);
        window.push(b"secret");
        assert_eq!(format!("{window:?}"), "Window(4 of 4)");
    }

    proptest! {
        /// The slow twin keeps everything and looks at its end.
        #[test]
        fn holds_the_last_bytes_of_all_that_was_pushed(
            bytes_max in 1_usize..40,
            pushes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
            count in 0_usize..60,
        ) {
            let mut window = Window::new(bytes_max);
            let mut all = Vec::new();
            for push in &pushes {
                window.push(push);
                all.extend_from_slice(push);
                prop_assert_eq!(window.parts().concat(), last(&all, bytes_max));
                prop_assert_eq!(window.tail(count).concat(), last(&all, bytes_max.min(count)));
                prop_assert!(window.memory_bytes() <= bytes_max);
            }
        }
    }
}

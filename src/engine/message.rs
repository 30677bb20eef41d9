//! A message on its way to the application.

use std::ops::Deref;

use corewire_protocol::websocket::Whole;
use corewire_protocol::{MessageKind, PreparedMessage};

/// One whole message of a peer. Derefs to its bytes, which lie where they were received; it is
/// the handler's for the length of the call.
#[derive(Debug)]
pub struct Message<'a> {
    kind: MessageKind,
    bytes: Bytes<'a>,
}

#[derive(Debug)]
pub(super) enum Bytes<'a> {
    /// In what was read, with room for the header of a reply in front of it.
    Whole(Whole<'a>),
    /// In what was read.
    Received(&'a mut [u8]),
    /// In a buffer that can be taken.
    Buffer(&'a mut Vec<u8>),
}

impl<'a> Message<'a> {
    pub(super) const fn new(kind: MessageKind, bytes: Bytes<'a>) -> Self {
        Self { kind, bytes }
    }

    /// Whether it is text or binary.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The text, `None` for a binary message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self.kind {
            // Checked before; what is said to be text here is UTF-8.
            MessageKind::Text => std::str::from_utf8(self).ok(),
            MessageKind::Binary => None,
        }
    }

    /// Keeps the message, encoded for any number of receivers.
    #[must_use]
    pub fn into_prepared(self) -> PreparedMessage {
        PreparedMessage::new(self.kind, &self)
    }

    /// Where its bytes are, which are the receiver's now.
    pub(super) fn into_bytes(self) -> Bytes<'a> {
        self.bytes
    }
}

impl Deref for Message<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Received(bytes) => bytes,
            Self::Buffer(bytes) => bytes,
        }
    }
}

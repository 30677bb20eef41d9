//! A message on its way to the application.

use std::ops::Deref;

use corewire_protocol::{MessageKind, PreparedMessage};

/// One whole message of a peer. Derefs to its bytes, which lie where they were received; it is
/// the handler's for the length of the call.
#[derive(Debug)]
pub struct Message<'a> {
    kind: MessageKind,
    bytes: Bytes<'a>,
}

#[derive(Debug)]
pub(crate) enum Bytes<'a> {
    /// In the core's receive buffer.
    Received(&'a mut [u8]),
    /// In a buffer that can be taken.
    Buffer(&'a mut Vec<u8>),
}

impl<'a> Message<'a> {
    pub(crate) const fn new(kind: MessageKind, bytes: Bytes<'a>) -> Self {
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

    /// The buffer of a large message, to be sent by reference.
    pub(crate) fn into_buffer(self, bytes_min: usize) -> Result<Vec<u8>, Self> {
        match self.bytes {
            Bytes::Buffer(buffer) if buffer.len() >= bytes_min => Ok(std::mem::take(buffer)),
            Bytes::Buffer(_) | Bytes::Received(_) => Err(self),
        }
    }
}

impl Deref for Message<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Received(bytes) => bytes,
            Bytes::Buffer(bytes) => bytes,
        }
    }
}

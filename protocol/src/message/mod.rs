//! Messages: what one or more frames add up to (RFC 6455, 5.4 and 5.6).

mod assembler;
mod pool;
mod prepared;

pub(crate) use assembler::{Assembler, wire_bytes_max};
pub use pool::BufferPool;
pub use prepared::{Form, PreparedMessage, PreparedRun, Takes};

use std::ops::{Deref, DerefMut};

use crate::frame::OpCode;

/// Whether a message is text or binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// UTF-8, checked on the way in. On the way out it is the caller's promise.
    Text,
    /// Any bytes.
    Binary,
}

impl MessageKind {
    /// The opcode of the message's first frame.
    #[must_use]
    pub const fn opcode(self) -> OpCode {
        match self {
            Self::Text => OpCode::Text,
            Self::Binary => OpCode::Binary,
        }
    }
}

/// The bytes of a message or control frame, where they happen to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Unmasked in place in the buffer that was received into: nothing was copied.
    Slice(&'a mut [u8]),
    /// Gathered from pieces, received in place, or inflated. The buffer is the caller's now.
    Buffer(Vec<u8>),
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Buffer(bytes) => bytes,
        }
    }
}

impl DerefMut for Payload<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Buffer(bytes) => bytes,
        }
    }
}

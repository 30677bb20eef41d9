//! The shortest way of the commonest message: whole in what was received, and answered there.
//!
//! A client's header has a masking key, which a server's has not. So the frame that sends a message
//! back is four bytes shorter than the one that brought it, and the replies to a read fit into the
//! memory of the read, end to end in front of what is unread:
//!
//! ```text
//!   received   │ header key payload │ header key payload │ header key pay…
//!              ╭──────────────╯
//!   answered   │ header payload │  free   │ header key payload │ …
//! ```
//!
//! The payload is moved while it is unmasked, to where only the header of its reply fits between
//! it and the reply before: unmasking reads and writes every byte anyway, so the move costs
//! nothing, and the reply costs its header.

use std::ops::Deref;

use crate::Role;
use crate::error::Error;
use crate::frame::unmask_to_front;
use crate::limits::Limits;
use crate::message::MessageKind;
use crate::tick::Tick;

use super::{NotOpen, State, WebSocket};

/// The first byte of a text, and of a binary message, in one frame and without extension.
const FIN_TEXT: u8 = 0x81;
const FIN_BINARY: u8 = 0x82;
/// In the second byte: a key follows.
const MASKED: u8 = 0x80;
const KEY_BYTES: usize = 4;

/// Received bytes, and the replies that were built in front of what is unread.
#[derive(Debug)]
pub struct Inbound<'a> {
    bytes: &'a mut [u8],
    /// Where the replies end.
    answered: usize,
    /// Where the unread bytes begin; never before the replies end.
    unread: usize,
}

impl<'a> Inbound<'a> {
    /// What a read has brought.
    #[must_use]
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            bytes,
            answered: 0,
            unread: 0,
        }
    }

    /// How many bytes are unread.
    #[must_use]
    pub const fn unread_bytes(&self) -> usize {
        self.bytes.len() - self.unread
    }

    /// The replies, end to end: what is to be written.
    #[must_use]
    pub fn replies(&self) -> &[u8] {
        &self.bytes[..self.answered]
    }

    /// Lets `take` have the unread bytes, such as [`WebSocket::next_event`], which shortens them
    /// by what it takes.
    pub fn take<T>(&mut self, take: impl FnOnce(&mut &mut [u8]) -> T) -> T {
        let all = self.bytes.len();
        let mut unread = &mut self.bytes[self.unread..];
        let result = take(&mut unread);
        self.unread = all - unread.len();
        result
    }
}

/// The payload of a message where it was received, and before it the header of its reply.
#[derive(Debug)]
pub struct Whole<'a> {
    /// The frame of the reply: the header and the payload.
    reply: &'a mut [u8],
    header_bytes: usize,
    /// Where the replies end, which is where this one begins.
    answered: &'a mut usize,
}

impl Deref for Whole<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.reply[self.header_bytes..]
    }
}

impl WebSocket {
    /// Takes the next message if it stands whole at the front of what is unread, in one frame and
    /// uncompressed, and nothing was begun before it. `None` says that what comes is something
    /// else, or breaks a rule: [`next_event`](Self::next_event) takes it, as it would have taken
    /// these messages, too.
    ///
    /// Only for [`Role::Server`].
    ///
    /// # Errors
    ///
    /// [`Error::TextNotUtf8`], which is to be given to [`fail`](Self::fail).
    #[inline]
    pub fn next_whole<'a>(
        &mut self,
        inbound: &'a mut Inbound<'_>,
        now: Tick,
        limits: &Limits,
    ) -> Result<Option<(MessageKind, Whole<'a>)>, Error> {
        if self.role != Role::Server || self.state != State::Open || self.partial.is_some() {
            return Ok(None);
        }
        let unread = &inbound.bytes[inbound.unread..];
        let Some(Front {
            kind,
            header_bytes,
            payload_bytes,
        }) = Front::parse(unread)
        else {
            return Ok(None);
        };
        let key_end = header_bytes + KEY_BYTES;
        let (Some(&key), Some(payload_left)) = (
            unread[header_bytes..].first_chunk::<KEY_BYTES>(),
            unread.len().checked_sub(key_end + payload_bytes),
        ) else {
            return Ok(None);
        };
        if payload_bytes > self.message_bytes_max(limits) {
            return Ok(None);
        }
        self.keepalive.active(now);
        let from = inbound.unread;
        inbound.unread = inbound.bytes.len() - payload_left;
        let reply = &mut inbound.bytes[inbound.answered..inbound.unread];
        // The header goes first: the payload may be moved over it.
        let distance = from - inbound.answered;
        copy_header(reply, distance, header_bytes);
        let (_, payload) = reply.split_at_mut(header_bytes);
        unmask_to_front(payload, distance + KEY_BYTES, key);
        let whole = Whole {
            reply: &mut reply[..header_bytes + payload_bytes],
            header_bytes,
            answered: &mut inbound.answered,
        };
        if kind == MessageKind::Text {
            crate::utf8::validate(&whole)?;
        }
        Ok(Some((kind, whole)))
    }

    /// Sends a message back uncompressed: keeps it where it is, behind the replies before. Returns
    /// the bytes of the frame.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if a Close frame was sent or received.
    #[inline]
    pub fn send_whole(&mut self, whole: Whole<'_>, now: Tick) -> Result<usize, NotOpen> {
        if !self.is_open() {
            return Err(NotOpen);
        }
        self.keepalive.active(now);
        let Whole {
            reply, answered, ..
        } = whole;
        *answered += reply.len();
        Ok(reply.len())
    }
}

/// What the front of a frame says that is a whole message by itself, as `FrameHeader::parse`
/// would: only about such frames, and therefore in a few instructions.
struct Front {
    kind: MessageKind,
    /// Bytes of the header without the key.
    header_bytes: usize,
    payload_bytes: usize,
}

impl Front {
    #[inline]
    fn parse(unread: &[u8]) -> Option<Self> {
        let &[first, second, ref rest @ ..] = unread else {
            return None;
        };
        let kind = match first {
            FIN_TEXT => MessageKind::Text,
            FIN_BINARY => MessageKind::Binary,
            _ => return None,
        };
        let (header_bytes, payload_bytes) = match second.checked_sub(MASKED)? {
            short @ 0..=125 => (2, usize::from(short)),
            126 => match u16::from_be_bytes(*rest.first_chunk()?) {
                0..=125 => return None,
                medium => (4, usize::from(medium)),
            },
            // Not worth a thought: such a payload is rarely whole in one read.
            _ => return None,
        };
        Some(Self {
            kind,
            header_bytes,
            payload_bytes,
        })
    }
}

/// Makes the header of a reply at the front out of that of the message, `distance` behind: the
/// same but for the bit that says that a key follows.
#[inline]
fn copy_header(bytes: &mut [u8], distance: usize, header_bytes: usize) {
    if header_bytes == 2 {
        // As nearly always, and a copy of known length is no call.
        bytes[0] = bytes[distance];
        bytes[1] = bytes[distance + 1];
    } else {
        bytes.copy_within(distance..distance + header_bytes, 0);
    }
    bytes[1] &= !MASKED;
}

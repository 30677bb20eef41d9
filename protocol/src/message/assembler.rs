//! One message whose end has not come: its fragments are joined in one buffer.

use crate::deflate::{Codec, InflateBounds, Inflation, Window, compressed_bytes_max};
use crate::error::Error;
use crate::frame::FrameHeader;
use crate::limits::Limits;
use crate::tick::Tick;
use crate::utf8::Utf8Validator;
use crate::websocket::Env;

use super::MessageKind;

/// The buffer of a large payload starts with room for this many bytes.
const ROOM_BYTES_MIN: usize = 64 << 10;
/// It then grows to this many times what was received, never past what was announced: so memory
/// follows what was received, and a message of 1 MiB is moved once, when it has 64 KiB. Room that
/// is not written to costs addresses and no pages.
const GROWTH: usize = 16;
/// A payload with less than this to come goes through the receive buffer of the core, which may
/// hold the next frames, too.
const IN_PLACE_BYTES_MIN: usize = 16 << 10;

/// Joins the fragments of a message. A fragment costs its bytes, however many there are; empty
/// ones are counted.
#[derive(Debug)]
pub(crate) struct Assembler {
    kind: MessageKind,
    data: Vec<u8>,
    content: Content,
    /// Bytes that may still come in frames.
    wire_bytes_left: u64,
    empty_fragments: u32,
    /// When it began, and how many bytes of it have come since.
    began: Tick,
    received_bytes: u32,
}

/// What the bytes in the frames are.
#[derive(Debug)]
enum Content {
    Binary,
    /// Validated piece by piece.
    Text(Utf8Validator),
    /// Inflated piece by piece; text is validated at the end.
    Compressed(Box<Inflation>),
}

impl Assembler {
    /// Begins the message whose first frame has this header.
    pub(crate) fn begin(
        kind: MessageKind,
        header: &FrameHeader,
        bounds: InflateBounds,
        env: &mut Env<'_>,
    ) -> Result<Self, Error> {
        let content = match kind {
            _ if header.compressed => Content::Compressed(env.codec.begin(bounds)?),
            MessageKind::Text => Content::Text(Utf8Validator::default()),
            MessageKind::Binary => Content::Binary,
        };
        let wire_bytes_left = wire_bytes_max(header.compressed, bounds.message_bytes);
        let pool = &mut env.scratch.pool;
        let data = match usize::try_from(header.payload_bytes.min(wire_bytes_left)) {
            _ if header.compressed => pool.take_any(),
            Ok(bytes) => pool.take(bytes).unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        Ok(Self {
            kind,
            data,
            content,
            wire_bytes_left,
            empty_fragments: 0,
            began: env.now,
            received_bytes: 0,
        })
    }

    /// Whether the next frame of the message may come, judged by its header alone.
    pub(crate) fn admit(&mut self, header: &FrameHeader, limits: &Limits) -> Result<(), Error> {
        // By subtraction from what is left, so that no sum can wrap.
        self.wire_bytes_left = self
            .wire_bytes_left
            .checked_sub(header.payload_bytes)
            .ok_or(Error::MessageTooLarge)?;
        if header.payload_bytes == 0 && !header.fin {
            self.empty_fragments += 1;
            if self.empty_fragments > limits.empty_fragments {
                return Err(Error::EmptyFragments);
            }
        }
        Ok(())
    }

    /// Takes the next unmasked bytes. `history` is the peer's window, under context takeover.
    /// Returns how many bytes they were inflated to.
    pub(crate) fn push(&mut self, piece: &[u8], history: Option<&Window>) -> Result<usize, Error> {
        self.count(piece.len());
        match &mut self.content {
            Content::Binary => self.data.extend_from_slice(piece),
            Content::Text(utf8) => {
                utf8.push(piece)?;
                self.data.extend_from_slice(piece);
            }
            Content::Compressed(inflation) => {
                return inflation.push(history, piece, &mut self.data);
            }
        }
        Ok(0)
    }

    /// The message's buffer with room for the next bytes of a payload of which `payload_bytes_left`
    /// are to come: a driver that reads into that room spares a copy. `None` where the bytes
    /// should take the ordinary way. The room never reaches past the payload.
    pub(crate) fn room(&mut self, payload_bytes_left: u64) -> Option<&mut Vec<u8>> {
        match self.content {
            Content::Binary | Content::Text(_) => {}
            Content::Compressed(_) => return None,
        }
        let left = usize::try_from(payload_bytes_left).ok()?;
        if left < IN_PLACE_BYTES_MIN {
            return None;
        }
        if self.data.len() == self.data.capacity() {
            let more = self.data.len().saturating_mul(GROWTH - 1);
            let more = more.max(ROOM_BYTES_MIN);
            // Up to the end if that is near, so that the last bytes do not move all the others.
            let near = left < more.saturating_add(IN_PLACE_BYTES_MIN);
            self.data.reserve_exact(if near { left } else { more });
        }
        let room = self.data.capacity() - self.data.len();
        (room <= left).then_some(&mut self.data)
    }

    /// The bytes that a driver has appended to [`room`](Self::room) since the buffer had `before`
    /// bytes, to be unmasked in place.
    pub(crate) fn appended(&mut self, before: usize) -> &mut [u8] {
        &mut self.data[before..]
    }

    /// Takes note of bytes that were received in place and are unmasked now.
    pub(crate) fn check_appended(&mut self, before: usize) -> Result<(), Error> {
        self.count(self.data.len() - before);
        match &mut self.content {
            Content::Text(utf8) => utf8.push(&self.data[before..]),
            Content::Binary | Content::Compressed(_) => Ok(()),
        }
    }

    fn count(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.received_bytes = self.received_bytes.saturating_add(bytes);
    }

    /// When the message must be whole.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<Tick> {
        // Ticks compare rightly for 24 days: enough for 1.5 GB at the least rate.
        let earned_ms = self.received_bytes.min(1 << 30);
        let after_ms = limits.message_timeout_ms.saturating_add(earned_ms);
        (limits.message_timeout_ms > 0).then(|| self.began.after(after_ms.min(u32::MAX / 2)))
    }

    /// Has the message's time begin again.
    pub(crate) const fn restart(&mut self, now: Tick) {
        self.began = now;
    }

    /// Ends the message after its last fragment. `history` is the window that
    /// [`push`](Self::push) was given.
    pub(crate) fn finish(
        self,
        history: Option<&mut Window>,
        codec: &mut Codec,
    ) -> Result<(MessageKind, Vec<u8>), Error> {
        match self.content {
            Content::Binary => {}
            Content::Text(utf8) => utf8.finish()?,
            Content::Compressed(inflation) => {
                // The process's budget counts messages in the making; this one is handed over.
                let _made = codec.finish(inflation, history, &self.data)?;
                if self.kind == MessageKind::Text {
                    crate::utf8::validate(&self.data)?;
                }
            }
        }
        Ok((self.kind, self.data))
    }
}

/// Bytes that the frames of one message of at most `message_bytes` may carry. Deflate grows what it
/// cannot compress, so a compressed message of exactly the limit may take some more.
pub(crate) fn wire_bytes_max(compressed: bool, message_bytes: usize) -> u64 {
    u64::try_from(if compressed {
        compressed_bytes_max(message_bytes)
    } else {
        message_bytes
    })
    .unwrap_or(u64::MAX)
}

//! A message encoded once for any number of receivers.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::deflate::{Agreement, Codec, Deflated};
use crate::frame::FrameHeader;

use super::MessageKind;

/// The window of the compressed form, as its base-2 logarithm.
const WINDOW_BITS: u8 = 13;

/// A message as server's frames, ready for the wire: encoded once, compressed at most once, sent
/// by reference to any number of connections on any core.
///
/// There are two forms: plain, and compressed alone in a window of 2^13 bytes. A connection that
/// agreed on permessage-deflate with a window at least that large gets the compressed form,
/// every other the plain one. A compressed form that is not smaller is not used.
#[derive(Clone)]
pub struct PreparedMessage(Arc<Encoded>);

struct Encoded {
    kind: MessageKind,
    /// Header and payload.
    plain: Vec<u8>,
    header_bytes: usize,
    /// Header and compressed payload; `None` where compressing gains nothing.
    compressed: OnceLock<Option<Vec<u8>>>,
}

/// The wire form of a prepared message that suits a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Not compressed.
    Plain,
    /// Compressed alone.
    Compressed,
}

/// Which forms suit a connection. All connections of one kind are sent the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Only plain ones.
    Plain,
    /// Compressed ones, each alone.
    Compressed,
}

impl Takes {
    pub(crate) fn of(agreement: Option<&Agreement>) -> Self {
        match agreement {
            Some(agreed) if agreed.outbound.window_bits >= WINDOW_BITS => Self::Compressed,
            Some(_) | None => Self::Plain,
        }
    }
}

/// Several prepared messages end to end, in the forms that suit the connections of one kind: sent
/// as one piece to any number of them.
#[derive(Clone)]
pub struct PreparedRun {
    takes: Takes,
    messages: usize,
    bytes: Arc<[u8]>,
}

impl PreparedRun {
    /// Lays messages end to end, in their order.
    pub(crate) fn new(
        takes: Takes,
        messages: &mut dyn Iterator<Item = &PreparedMessage>,
        (deflate_min_bytes, codec): (usize, &mut Codec),
    ) -> Self {
        let (mut count, mut bytes) = (0, Vec::new());
        for message in messages {
            let form = message.form(takes, deflate_min_bytes, codec);
            bytes.extend_from_slice(message.frame(form));
            count += 1;
        }
        Self {
            takes,
            messages: count,
            bytes: bytes.into(),
        }
    }

    /// Which connections it suits.
    #[must_use]
    pub const fn takes(&self) -> Takes {
        self.takes
    }

    /// How many messages it has.
    #[must_use]
    pub const fn messages(&self) -> usize {
        self.messages
    }

    /// Their frames.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for PreparedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (messages, bytes) = (self.messages, self.bytes.len());
        write!(f, "PreparedRun({messages} messages, {bytes} bytes)")
    }
}

impl PreparedMessage {
    /// Encodes a message. The bytes of a text must be UTF-8.
    #[must_use]
    pub fn new(kind: MessageKind, payload: &[u8]) -> Self {
        let header = header(kind, payload.len(), false);
        let mut plain = Vec::with_capacity(header.len() + payload.len());
        plain.extend_from_slice(&header);
        plain.extend_from_slice(payload);
        Self(Arc::new(Encoded {
            kind,
            plain,
            header_bytes: header.len(),
            compressed: OnceLock::new(),
        }))
    }

    /// Encodes a text message.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::new(MessageKind::Text, text.as_bytes())
    }

    /// Encodes a binary message.
    #[must_use]
    pub fn binary(bytes: &[u8]) -> Self {
        Self::new(MessageKind::Binary, bytes)
    }

    /// The message's bytes as the application gave them.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.0.plain[self.0.header_bytes..]
    }

    /// The form for a connection of this kind, made now if nobody needed it before.
    /// Messages of fewer than `deflate_min_bytes` are not compressed.
    pub fn form(&self, takes: Takes, deflate_min_bytes: usize, codec: &mut Codec) -> Form {
        let suits = takes == Takes::Compressed && self.payload().len() >= deflate_min_bytes;
        if suits && self.compressed(codec).is_some() {
            Form::Compressed
        } else {
            Form::Plain
        }
    }

    /// The frame's bytes in a form that [`form`](Self::form) has named.
    #[must_use]
    pub fn frame(&self, form: Form) -> &[u8] {
        match (form, self.0.compressed.get()) {
            (Form::Compressed, Some(Some(frame))) => frame,
            (Form::Compressed | Form::Plain, _) => &self.0.plain,
        }
    }

    fn compressed(&self, codec: &mut Codec) -> Option<&[u8]> {
        self.0
            .compressed
            .get_or_init(|| {
                let mut body = Vec::new();
                match codec.deflate_if_smaller(WINDOW_BITS, None, self.payload(), &mut body) {
                    Deflated::Smaller => {
                        let header = header(self.0.kind, body.len(), true);
                        Some([&header, body.as_slice()].concat())
                    }
                    Deflated::NotSmaller => None,
                }
            })
            .as_deref()
    }
}

impl fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PreparedMessage({:?}, {} bytes)",
            self.0.kind,
            self.payload().len()
        )
    }
}

fn header(
    kind: MessageKind,
    payload_bytes: usize,
    compressed: bool,
) -> crate::frame::EncodedHeader {
    FrameHeader {
        fin: true,
        compressed,
        opcode: kind.opcode(),
        mask: None,
        payload_bytes: u64::try_from(payload_bytes).unwrap_or(u64::MAX),
    }
    .encode()
}

//! Frames as a client sends them, as bytes.

use corewire::protocol::frame::{FrameHeader, OpCode, mask};

/// The masking key of every frame here.
pub const KEY: [u8; 4] = [0x9a, 0x27, 0x03, 0xf1];

/// Whether a frame is the last of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fin {
    /// It is.
    Last,
    /// More fragments follow.
    More,
}

/// A masked frame.
#[must_use]
pub fn frame(opcode: OpCode, fin: Fin, payload: &[u8]) -> Vec<u8> {
    build(opcode, fin, false, payload)
}

/// A masked frame with RSV1: its payload is compressed.
#[must_use]
pub fn compressed(opcode: OpCode, fin: Fin, payload: &[u8]) -> Vec<u8> {
    build(opcode, fin, true, payload)
}

fn build(opcode: OpCode, fin: Fin, compressed: bool, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        fin: fin == Fin::Last,
        compressed,
        opcode,
        mask: Some(KEY),
        payload_bytes: u64::try_from(payload.len()).unwrap_or(u64::MAX),
    };
    let mut bytes = Vec::with_capacity(14 + payload.len());
    bytes.extend_from_slice(&header.encode());
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    mask(&mut bytes[start..], KEY, 0);
    bytes
}

/// The header alone of a frame that announces a payload.
#[must_use]
pub fn header(opcode: OpCode, fin: Fin, payload_bytes: u64) -> Vec<u8> {
    let header = FrameHeader {
        fin: fin == Fin::Last,
        compressed: false,
        opcode,
        mask: Some(KEY),
        payload_bytes,
    };
    header.encode().to_vec()
}

/// A text message.
#[must_use]
pub fn text(text: &str) -> Vec<u8> {
    frame(OpCode::Text, Fin::Last, text.as_bytes())
}

/// A binary message.
#[must_use]
pub fn binary(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Binary, Fin::Last, payload)
}

/// A ping.
#[must_use]
pub fn ping(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Ping, Fin::Last, payload)
}

/// A pong.
#[must_use]
pub fn pong(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Pong, Fin::Last, payload)
}

/// A Close frame.
#[must_use]
pub fn close(code: u16) -> Vec<u8> {
    frame(OpCode::Close, Fin::Last, &code.to_be_bytes())
}

/// A message in so many fragments, of equal length as far as possible.
#[must_use]
pub fn fragmented(opcode: OpCode, message: &[u8], fragments: usize) -> Vec<u8> {
    let pieces = message.chunks(message.len().div_ceil(fragments).max(1));
    let last = pieces.len().saturating_sub(1);
    let mut bytes = Vec::new();
    for (at, piece) in pieces.enumerate() {
        let opcode = match at {
            0 => opcode,
            _ => OpCode::Continuation,
        };
        let fin = if at == last { Fin::Last } else { Fin::More };
        bytes.extend(frame(opcode, fin, piece));
    }
    bytes
}

/// The same bytes `times` times.
#[must_use]
pub fn repeated(bytes: &[u8], times: usize) -> Vec<u8> {
    bytes.repeat(times)
}

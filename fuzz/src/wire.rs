//! Frames and compressed messages as a peer writes them, legal or not. Nothing here is our own
//! code, so that a mistake cannot cancel out.

use corewire_protocol::Role;
use corewire_protocol::deflate::{Direction, Takeover};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::input::Input;

/// What ends a flushed message and is not sent (RFC 7692, 7.2.1).
pub(crate) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

pub(crate) const RSV1: u8 = 0x40;
pub(crate) const FIN: u8 = 0x80;

/// A frame as `sender` sends it, sometimes bent.
pub(crate) fn any_frame(sender: Role, input: &mut Input<'_>) -> Vec<u8> {
    let first = input.byte();
    // Mostly a legal opcode without reserved bits.
    let first = match first & 0x30 {
        0x30 => first,
        _ => first & FIN | input.one_of(&[0, 1, 2, 8, 9, 10]),
    };
    let first = if first & 0x08 == 0 {
        first
    } else {
        first | FIN
    };
    let bend = input.byte();
    let mut payload = input.payload();
    if first & 0x08 != 0 && bend & 0x0f != 1 {
        payload.truncate(125);
    }
    let masked = (sender == Role::Client) == (bend & 0xf0 != 0x10);
    let length = match bend & 0x0f {
        2 => Length::In2Bytes,
        3 => Length::In8Bytes,
        4 => Length::Announced(u64::from(input.word()) << 4),
        5 => Length::Announced(u64::from(input.word()) << 48),
        _ => Length::Shortest,
    };
    let key = key(input);
    write(first, length, masked.then_some(key), &payload)
}

/// A frame that breaks no rule by itself.
pub(crate) fn frame(sender: Role, first: u8, payload: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let key = key(input);
    let key = (sender == Role::Client).then_some(key);
    write(first, Length::Shortest, key, payload)
}

fn key(input: &mut Input<'_>) -> [u8; 4] {
    let byte = input.byte();
    [byte, byte.wrapping_mul(31), !byte, byte.rotate_left(3)]
}

/// How the payload's length is written.
enum Length {
    Shortest,
    In2Bytes,
    In8Bytes,
    /// In 8 bytes, and not the truth.
    Announced(u64),
}

fn write(first: u8, length: Length, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = if key.is_some() { 0x80 } else { 0 };
    let in_2 = u16::try_from(payload.len());
    let in_8 = u64::try_from(payload.len()).unwrap();
    let mut wire = vec![first];
    match (length, u8::try_from(payload.len()), in_2) {
        (Length::Shortest, Ok(short @ 0..=125), _) => wire.push(masked | short),
        (Length::Shortest | Length::In2Bytes, _, Ok(len)) => {
            wire.push(masked | 126);
            wire.extend(len.to_be_bytes());
        }
        (Length::Shortest | Length::In2Bytes | Length::In8Bytes, _, _) => {
            wire.push(masked | 127);
            wire.extend(in_8.to_be_bytes());
        }
        (Length::Announced(len), _, _) => {
            wire.push(masked | 127);
            wire.extend(len.to_be_bytes());
        }
    }
    match key {
        None => wire.extend(payload),
        // The RFC's words (5.3): octet i xor octet i mod 4 of the key.
        Some(key) => {
            wire.extend(key);
            wire.extend(
                payload
                    .iter()
                    .zip(key.iter().cycle())
                    .map(|(byte, key)| byte ^ key),
            );
        }
    }
    wire
}

/// A peer's compressor: one zlib context, kept or reset after each message.
pub(crate) struct Deflater {
    context: Compress,
    takeover: Takeover,
}

impl Deflater {
    pub(crate) fn new(direction: Direction, level: u32) -> Self {
        let level = Compression::new(level);
        Self {
            context: Compress::new_with_window_bits(level, false, direction.window_bits),
            takeover: direction.takeover,
        }
    }

    /// The payload of a message, without the tail.
    pub(crate) fn deflate(&mut self, mut message: &[u8]) -> Vec<u8> {
        if self.takeover == Takeover::No {
            self.context.reset();
        }
        if message.is_empty() {
            return vec![0x00]; // RFC 7692, 7.2.3.6
        }
        let mut out = Vec::new();
        loop {
            out.reserve(message.len() + 64);
            let before = self.context.total_in();
            self.context
                .compress_vec(message, &mut out, FlushCompress::Sync)
                .unwrap();
            let taken = usize::try_from(self.context.total_in() - before).unwrap();
            message = &message[taken..];
            if message.is_empty() && out.len() < out.capacity() {
                out.truncate(out.len() - TAIL.len());
                return out;
            }
        }
    }
}

/// A peer's inflater with a window no larger than agreed upon.
pub(crate) struct Inflater {
    context: Decompress,
    takeover: Takeover,
}

impl Inflater {
    pub(crate) fn new(direction: Direction) -> Self {
        Self {
            context: Decompress::new_with_window_bits(false, direction.window_bits),
            takeover: direction.takeover,
        }
    }

    /// A message from its payload; panics over what zlib does not take.
    pub(crate) fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        if self.takeover == Takeover::No {
            self.context.reset(false);
        }
        let input = [payload, &TAIL].concat();
        let (mut rest, mut out) = (&input[..], Vec::new());
        loop {
            // Little by little: within one call zlib would take a distance beyond its window.
            let mut some = [0; 256];
            let before = (self.context.total_in(), self.context.total_out());
            let status = self
                .context
                .decompress(rest, &mut some, FlushDecompress::Sync)
                .expect("what we compress inflates");
            assert_ne!(status, Status::StreamEnd, "we send no final blocks");
            let taken = usize::try_from(self.context.total_in() - before.0).unwrap();
            let made = usize::try_from(self.context.total_out() - before.1).unwrap();
            rest = &rest[taken..];
            out.extend_from_slice(&some[..made]);
            if rest.is_empty() && made < some.len() {
                return out;
            }
        }
    }
}

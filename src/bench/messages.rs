//! The messages that are sent, built once.
//!
//! A ring of different messages, masked and laid end to end as they go on the wire; every
//! connection starts elsewhere in it. Different, so that a reply out of order or of another
//! connection is seen; a ring that stays in the cache, so that sending costs no more than `send`.
//!
//! ```text
//!   lead                  ring, `count` messages          the first `depth` again
//!   | 0 | ... | count - 1 | 0 | 1 | 2 | ... | count - 1 | 0 | 1 | ... |
//! ```
//!
//! What a connection still has to write is, up to `depth` messages, one range of it, so that one
//! call writes it.
//!
//! The lead exists with context takeover alone. In the ring a message is compressed with those
//! before it as its dictionary, which are the same in every round; but a connection that begins
//! has none. So it begins in the lead, whose messages stand alone, and goes on into the ring when
//! it has sent a window of them (RFC 7692, 7.2.1 lets every message choose).

use corewire_protocol::frame::{FrameHeader, OpCode, Reserved, mask};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use serde::Serialize;

use super::error::Error;
use super::target::Scheme;
use super::text::{json, random};

/// One key for all frames. A client must choose unpredictable ones (RFC 6455, 5.3) to keep
/// scripts from steering what proxies see; a generator has no scripts, and the server's work is
/// the same for every key.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The ring is about this large, unless two messages are larger.
const RING_BYTES: usize = 64 << 10;
/// Messages in a ring, at most. Odd like every ring's count, so that sampling one reply in
/// 2^n comes around to every message.
const RING_MESSAGES_MAX: usize = 255;
/// A bound on what is built.
const WIRE_BYTES_MAX: usize = 1 << 30;

/// The window in which messages are compressed, offered as `client_max_window_bits`.
pub(super) const WINDOW_BITS: u8 = 13;

/// What an uncompressed reply ends with that permessage-deflate takes off (RFC 7692, 7.2.1).
const DEFLATE_TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Which messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Binary messages of random bytes.
    Binary,
    /// Text messages: JSON as a chat might send it.
    Text,
}

/// Whether messages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deflate {
    /// permessage-deflate is not offered.
    Off,
    /// It is offered without context takeover in either direction, and must be accepted. Then
    /// every message stands alone, so they can be compressed before the clock starts.
    NoTakeover,
    /// It is offered with context takeover in both directions, and must be accepted so.
    Takeover,
}

/// The messages of a run.
#[derive(Debug)]
pub(super) struct Messages {
    /// The ring and its beginning again, masked frames end to end.
    wire: Vec<u8>,
    /// Where each frame of `wire` begins, and where the last ends.
    starts: Vec<usize>,
    /// What the reply to each message of the ring must be, end to end.
    expected: Vec<u8>,
    /// Different messages.
    count: usize,
    /// Messages in the lead: as many, or none.
    lead: usize,
    /// Bytes of each before compression.
    size: usize,
    opcode: OpCode,
    deflate: Deflate,
    role: corewire_protocol::Role,
}

impl Messages {
    pub(super) fn build(
        scheme: Scheme,
        content: Content,
        deflate: Deflate,
        size: usize,
        depth: usize,
    ) -> Result<Self, Error> {
        let count = (RING_BYTES / size.max(1)).clamp(2, RING_MESSAGES_MAX) | 1;
        let lead = match deflate {
            Deflate::Off | Deflate::NoTakeover => 0,
            Deflate::Takeover => count,
        };
        let bytes = size
            .saturating_add(32)
            .saturating_mul(depth.saturating_add(lead + count));
        if deflate != Deflate::Off && size == 0 {
            return Err(Error::Settings(
                "there is nothing to compress in messages of 0 bytes: use a larger --size"
                    .to_owned(),
            ));
        }
        if bytes > WIRE_BYTES_MAX {
            return Err(Error::Settings(format!(
                "{depth} messages of {size} bytes at once are more than the generator builds: \
                 use a smaller --size or --depth"
            )));
        }
        let mut messages = Self {
            wire: Vec::with_capacity(bytes),
            starts: vec![0],
            expected: Vec::with_capacity(count * size),
            count,
            lead,
            size,
            opcode: match content {
                Content::Binary => OpCode::Binary,
                Content::Text => OpCode::Text,
            },
            deflate,
            role: match scheme {
                Scheme::WebSocket => corewire_protocol::Role::Client,
                // Our own frames come back: to read them we take the other end's place.
                Scheme::Tcp => corewire_protocol::Role::Server,
            },
        };
        let plain: Vec<_> = (0..count)
            .map(|number| match (content, deflate) {
                (Content::Binary, Deflate::Off) => random(number, size),
                // Random bytes cannot be compressed, so there is nothing to measure in them.
                (Content::Text, _) | (Content::Binary, _) => json(number, size),
            })
            .collect();
        let mut takeover = compressor();
        for plain in &plain[..lead] {
            messages.push(compress(&mut compressor(), plain));
            // What stands before the first message in every round.
            compress(&mut takeover, plain);
        }
        for plain in &plain {
            messages.push(match deflate {
                Deflate::Off => plain.clone(),
                Deflate::NoTakeover => compress(&mut compressor(), plain),
                Deflate::Takeover => compress(&mut takeover, plain),
            });
        }
        for number in messages.lead..messages.lead + depth {
            let frame = messages.starts[number]..messages.starts[number + 1];
            messages.wire.extend_from_within(frame);
            messages.starts.push(messages.wire.len());
        }
        messages.expected = match scheme {
            Scheme::WebSocket => plain.concat(),
            Scheme::Tcp => Self::masked(plain),
        };
        Ok(messages)
    }

    /// Appends a frame with this payload.
    fn push(&mut self, mut payload: Vec<u8>) {
        let header = FrameHeader {
            fin: true,
            compressed: self.deflate != Deflate::Off,
            opcode: self.opcode,
            mask: Some(KEY),
            payload_bytes: payload.len() as u64,
        };
        mask(&mut payload, KEY, 0);
        self.wire.extend_from_slice(&header.encode());
        self.wire.extend_from_slice(&payload);
        self.starts.push(self.wire.len());
    }

    /// The payloads as they come back from who does not know of masks.
    fn masked(plain: Vec<Vec<u8>>) -> Vec<u8> {
        let masked = plain.into_iter().flat_map(|mut payload| {
            mask(&mut payload, KEY, 0);
            payload
        });
        masked.collect()
    }

    /// Where connection `number` begins: elsewhere than its neighbours.
    pub(super) fn first_place(&self, number: usize) -> usize {
        // From there to the end of the lead there is a window of messages.
        let window = (1_usize << WINDOW_BITS).div_ceil(self.size.max(1));
        match self.lead {
            0 => number % self.count,
            lead => number % lead.saturating_sub(window).max(1),
        }
    }

    /// The place after `number` messages from `place` on.
    pub(super) const fn place_after(&self, place: usize, number: usize) -> usize {
        let place = place + number;
        if place < self.lead + self.count {
            return place;
        }
        self.lead + (place - self.lead) % self.count
    }

    /// Different messages in the ring.
    #[cfg(test)]
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    pub(super) const fn deflate(&self) -> Deflate {
        self.deflate
    }

    /// Bytes of a message before compression.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    pub(super) const fn opcode(&self) -> OpCode {
        self.opcode
    }

    /// Whose side of the protocol reads the replies.
    pub(super) const fn role(&self) -> corewire_protocol::Role {
        self.role
    }

    /// Which reserved bits replies may have set.
    pub(super) const fn reserved(&self) -> Reserved {
        match self.deflate {
            Deflate::Off => Reserved::AllZero,
            Deflate::NoTakeover | Deflate::Takeover => Reserved::Rsv1Compressed,
        }
    }

    /// What comes back for the message at `place`.
    pub(super) fn expected(&self, place: usize) -> &[u8] {
        let place = place % self.count;
        &self.expected[place * self.size..(place + 1) * self.size]
    }

    /// Bytes of a round through the ring.
    pub(super) fn round_bytes(&self) -> usize {
        self.starts[self.lead + self.count] - self.starts[self.lead]
    }

    /// Where the ring ends and begins again.
    pub(super) fn round_end(&self) -> usize {
        self.starts[self.lead + self.count]
    }

    /// Where the message at `place` begins on the wire.
    pub(super) fn start(&self, place: usize) -> usize {
        self.starts[place]
    }

    /// The bytes of `number` messages from the one at `place` on.
    pub(super) fn bytes(&self, place: usize, number: usize) -> usize {
        if place < self.lead {
            let led = number.min(self.lead - place);
            let bytes = self.starts[place + led] - self.starts[place];
            return bytes + self.bytes(self.lead, number - led);
        }
        if number >= self.count {
            return self.round_bytes() + self.bytes(place, number - self.count);
        }
        let (to, end) = (place + number, self.lead + self.count);
        if to <= end {
            self.starts[to] - self.starts[place]
        } else {
            let wrapped = self.starts[to - self.count] - self.starts[self.lead];
            self.starts[end] - self.starts[place] + wrapped
        }
    }

    /// What goes on the wire from `at` on: up to `len` bytes that lie together.
    pub(super) fn wire(&self, at: usize, len: usize) -> &[u8] {
        &self.wire[at..self.wire.len().min(at + len)]
    }

    /// The end of the frame that `at` stands inside, or `at` itself between two frames.
    pub(super) fn frame_end(&self, at: usize) -> usize {
        let next = self.starts.partition_point(|&start| start < at);
        self.starts.get(next).copied().unwrap_or(at)
    }
}

/// Appends a masked control frame.
pub(super) fn control_frame(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    frame(opcode, &mut payload.to_vec(), out);
}

/// Appends a masked frame that is a whole message or a control frame. The payload is masked where
/// it is.
pub(super) fn frame(opcode: OpCode, payload: &mut [u8], out: &mut Vec<u8>) {
    let header = FrameHeader {
        fin: true,
        compressed: false,
        opcode,
        mask: Some(KEY),
        payload_bytes: payload.len() as u64,
    };
    out.extend_from_slice(&header.encode());
    mask(payload, KEY, 0);
    out.extend_from_slice(payload);
}

fn compressor() -> Compress {
    Compress::new_with_window_bits(Compression::fast(), false, WINDOW_BITS)
}

/// A message as permessage-deflate sends it (RFC 7692, 7.2.1), in the context of `deflate`.
fn compress(deflate: &mut Compress, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let begin = deflate.total_in();
    loop {
        out.reserve(plain.len() + 64);
        let read = usize::try_from(deflate.total_in() - begin).unwrap_or(usize::MAX);
        let flushed = deflate.compress_vec(&plain[read..], &mut out, FlushCompress::Sync);
        debug_assert!(flushed.is_ok(), "the compressor takes any input");
        // Space that is left over says that the flush is complete.
        if out.len() < out.capacity() {
            break;
        }
    }
    if out.ends_with(&DEFLATE_TAIL) {
        out.truncate(out.len() - DEFLATE_TAIL.len());
    }
    out
}

/// Whether `compressed`, a whole message, inflates to `expected` in the context of `inflate`. With
/// a codec of its own, not the project's: what is measured does not check itself.
pub(super) fn inflates_to(inflate: &mut Decompress, compressed: &[u8], expected: &[u8]) -> bool {
    let mut input = compressed.to_vec();
    input.extend_from_slice(&DEFLATE_TAIL);
    // One byte more than is right, so that a longer message is seen.
    let mut plain = Vec::with_capacity(expected.len() + 1);
    let inflated = inflate.decompress_vec(&input, &mut plain, FlushDecompress::Sync);
    matches!(inflated, Ok(Status::Ok | Status::StreamEnd)) && plain == expected
}

#[cfg(test)]
mod tests {
    use corewire_protocol::Role;

    use super::*;

    #[test]
    fn what_goes_over_the_wire_inflates_from_any_beginning_on() {
        for (deflate, size) in [
            (Deflate::NoTakeover, 500),
            (Deflate::Takeover, 16),
            (Deflate::Takeover, 500),
            (Deflate::Takeover, 20_000),
        ] {
            let messages =
                Messages::build(Scheme::WebSocket, Content::Text, deflate, size, 3).unwrap();
            for number in [0, 1, 50, 100, 254] {
                let mut inflate = Decompress::new(false);
                let mut place = messages.first_place(number);
                // Through the lead, and twice through the ring.
                for _ in 0..3 * messages.count() {
                    let (start, len) = (messages.start(place), messages.bytes(place, 1));
                    let mut frame = messages.wire(start, len).to_vec();
                    let reserved = messages.reserved();
                    let header = FrameHeader::parse(&frame, Role::Server, reserved);
                    let (header, begin) = header.unwrap().unwrap();
                    assert_eq!(begin as u64 + header.payload_bytes, len as u64);
                    mask(&mut frame[begin..], KEY, 0);
                    if deflate == Deflate::NoTakeover {
                        inflate = Decompress::new(false);
                    }
                    let right =
                        inflates_to(&mut inflate, &frame[begin..], messages.expected(place));
                    assert!(
                        right,
                        "{deflate:?}, {size} bytes, connection {number}, {place}"
                    );
                    place = messages.place_after(place, 1);
                }
            }
        }
    }

    #[test]
    fn takeover_makes_messages_smaller() {
        let bytes = |deflate| {
            let build = Messages::build(Scheme::WebSocket, Content::Text, deflate, 200, 1);
            build.unwrap().round_bytes()
        };
        assert!(bytes(Deflate::Takeover) < bytes(Deflate::NoTakeover) * 9 / 10);
    }

    #[test]
    fn bytes_are_counted_over_the_end_of_the_ring() {
        for deflate in [Deflate::Off, Deflate::Takeover] {
            let messages =
                Messages::build(Scheme::WebSocket, Content::Text, deflate, 300, 2).unwrap();
            let count = messages.count();
            for first in [0, 5, count - 1, messages.lead, messages.lead + count - 1] {
                let (mut place, mut bytes) = (first, 0);
                for number in 0..3 * count {
                    assert_eq!(
                        messages.bytes(first, number),
                        bytes,
                        "{number} from {first}"
                    );
                    assert_eq!(messages.place_after(first, number), place);
                    bytes += messages.starts[place + 1] - messages.starts[place];
                    place = messages.place_after(place, 1);
                }
            }
        }
    }
}

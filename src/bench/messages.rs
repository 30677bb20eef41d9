//! The messages that are sent, built once.
//!
//! A ring of different messages, masked and laid end to end as they go on the wire; every
//! connection starts elsewhere in it. Different, so that a reply out of order or of another
//! connection is seen; a ring that stays in the cache, so that sending costs no more than `send`.
//!
//! ```text
//!   ring, `count` messages          the first `depth` again
//!   | 0 | 1 | 2 | ... | count - 1 | 0 | 1 | ... |
//! ```
//!
//! What a connection still has to write is one range of it, never two: at most `depth` messages
//! are on their way.

use std::ops::Range;

use corewire_protocol::frame::{FrameHeader, OpCode, Reserved, mask};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::error::Error;
use super::target::Scheme;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deflate {
    /// permessage-deflate is not offered.
    Off,
    /// It is offered without context takeover in either direction, and must be accepted. Then
    /// every message stands alone, so they can be compressed before the clock starts.
    NoTakeover,
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
        let bytes = size.saturating_add(32).saturating_mul(count + depth);
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
        for number in 0..count {
            let plain = match (content, deflate) {
                (Content::Binary, Deflate::Off) => random(number, size),
                // Random bytes cannot be compressed, so there is nothing to measure in them.
                (Content::Text, _) | (Content::Binary, Deflate::NoTakeover) => json(number, size),
            };
            messages.push(&plain, scheme);
        }
        let ring = messages.wire.len();
        for number in 0..depth {
            let frame = messages.starts[number]..messages.starts[number + 1];
            messages.wire.extend_from_within(frame);
            messages.starts.push(messages.wire.len());
        }
        debug_assert_eq!(ring, messages.starts[count]);
        Ok(messages)
    }

    /// Appends a frame and what is to come back for it.
    fn push(&mut self, plain: &[u8], scheme: Scheme) {
        let mut payload = match self.deflate {
            Deflate::Off => plain.to_vec(),
            Deflate::NoTakeover => compress(plain),
        };
        mask(&mut payload, KEY, 0);
        let header = FrameHeader {
            fin: true,
            compressed: self.deflate == Deflate::NoTakeover,
            opcode: self.opcode,
            mask: Some(KEY),
            payload_bytes: payload.len() as u64,
        };
        self.wire.extend_from_slice(&header.encode());
        self.wire.extend_from_slice(&payload);
        self.starts.push(self.wire.len());
        self.expected.extend_from_slice(match scheme {
            Scheme::WebSocket => plain,
            Scheme::Tcp => &payload,
        });
    }

    /// Different messages in the ring; the places of the others are below it.
    pub(super) const fn count(&self) -> usize {
        self.count
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
            Deflate::NoTakeover => Reserved::Rsv1Compressed,
        }
    }

    /// What comes back for the message at `place`.
    pub(super) fn expected(&self, place: usize) -> &[u8] {
        &self.expected[place * self.size..(place + 1) * self.size]
    }

    /// Bytes of the ring before it repeats.
    pub(super) fn ring_bytes(&self) -> usize {
        self.starts[self.count]
    }

    /// Where the message at `place` begins on the wire.
    pub(super) fn start(&self, place: usize) -> usize {
        self.starts[place]
    }

    /// The bytes of `number` messages from the one at `place` on.
    pub(super) fn bytes(&self, place: usize, number: usize) -> usize {
        self.starts[place + number] - self.starts[place]
    }

    /// What goes on the wire.
    pub(super) fn wire(&self, range: Range<usize>) -> &[u8] {
        &self.wire[range]
    }

    /// The end of the frame that `at` stands inside, or `at` itself between two frames.
    pub(super) fn frame_end(&self, at: usize) -> usize {
        let next = self.starts.partition_point(|&start| start < at);
        self.starts.get(next).copied().unwrap_or(at)
    }
}

/// A masked control frame.
pub(super) fn control_frame(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    let header = FrameHeader {
        fin: true,
        compressed: false,
        opcode,
        mask: Some(KEY),
        payload_bytes: payload.len() as u64,
    };
    out.extend_from_slice(&header.encode());
    let start = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[start..], KEY, 0);
}

/// A message as permessage-deflate sends it without context takeover (RFC 7692, 7.2.1).
fn compress(plain: &[u8]) -> Vec<u8> {
    let mut deflate = Compress::new_with_window_bits(Compression::fast(), false, WINDOW_BITS);
    let mut out = Vec::new();
    loop {
        out.reserve(plain.len() + 64);
        let read = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
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

/// Whether `compressed`, a whole message, inflates to `expected`. With a codec of its own, not the
/// project's: what is measured does not check itself.
pub(super) fn inflates_to(compressed: &[u8], expected: &[u8]) -> bool {
    let mut input = compressed.to_vec();
    input.extend_from_slice(&DEFLATE_TAIL);
    let mut inflate = Decompress::new(false);
    // One byte more than is right, so that a longer message is seen.
    let mut plain = Vec::with_capacity(expected.len() + 1);
    let inflated = inflate.decompress_vec(&input, &mut plain, FlushDecompress::Sync);
    matches!(inflated, Ok(Status::Ok | Status::StreamEnd)) && plain == expected
}

/// Bytes that look random and differ from number to number.
fn random(number: usize, size: usize) -> Vec<u8> {
    let mut random = SplitMix(number as u64);
    let words = std::iter::repeat_with(|| random.next().to_le_bytes());
    words.flatten().take(size).collect()
}

/// A chat message as JSON; below about 100 bytes only its beginning.
fn json(number: usize, size: usize) -> Vec<u8> {
    const WORDS: [&str; 32] = [
        "the",
        "market",
        "opens",
        "at",
        "nine",
        "and",
        "closes",
        "when",
        "trading",
        "has",
        "ended",
        "please",
        "send",
        "your",
        "orders",
        "before",
        "we",
        "meet",
        "tomorrow",
        "morning",
        "in",
        "room",
        "seven",
        "with",
        "a",
        "short",
        "list",
        "of",
        "open",
        "questions",
        "thanks",
        "again",
    ];
    let mut random = SplitMix(number as u64);
    let mut json = format!(
        r#"{{"id":{},"channel":"room-{}","user":"guest-{}","sent":{},"text":""#,
        100_000 + number * 37,
        number % 11,
        random.next() % 1000,
        1_763_800_000_000_u64 + random.next() % 1_000_000_000,
    );
    while json.len() < size {
        let word = random.next() % WORDS.len() as u64;
        json.push_str(WORDS[usize::try_from(word).unwrap_or(0)]);
        json.push(' ');
    }
    json.truncate(size);
    if size > 100 {
        json.truncate(size - 2);
        json.push_str("\"}");
    }
    json.into_bytes()
}

/// `SplitMix64`: the same numbers in every run.
#[derive(Debug, Clone, Copy)]
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

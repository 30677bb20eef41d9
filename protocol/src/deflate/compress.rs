//! Compressing one message (RFC 7692, 7.2.1).
//!
//! A core has one hot encoder, ours or zlib-rs by way of flate2. Every message begins with a reset:
//! without takeover that is all; with takeover the last bytes of the connection's window become
//! the dictionary. What the peer inflates is the same as if the context had been kept, since we
//! only refer to bytes that its window still holds.

use flate2::{Compress, Compression, FlushCompress};

use super::compact;
use super::window::Window;

/// Who compresses. Every peer inflates what either writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoder {
    /// zlib-rs at a level of 0 to 9; higher ones count as 9.
    Flate2(u32),
    /// Our own: with a dynamic code where that pays, nearly as small as level 6 in half of its
    /// time.
    Compact,
}

impl Default for Encoder {
    /// What takes the least time: [`DEFLATE_LEVEL`].
    fn default() -> Self {
        Self::Flate2(DEFLATE_LEVEL)
    }
}

/// The level of zlib-rs to start from: the fixed Huffman code. From level 2 on every message gets
/// a dynamic code of its own, and the message takes twice as long as at level 1.
pub const DEFLATE_LEVEL: u32 = 1;

/// Messages below this many bytes are better sent as they are. The caller decides.
///
/// JSON of 96 bytes does not get smaller on its own, 128 bytes become 115 and 256 become 173; and
/// whatever the size, more than half of the time of a 1 KiB message goes into the reset.
pub const DEFLATE_THRESHOLD_BYTES: usize = 128;

/// How much of the outbound window a message may refer to, and so what a connection keeps for it.
///
/// JSON of 1 KiB takes 7.7 us for 478 bytes without a dictionary; with one of 512 bytes 8.3 us for
/// 411, 1 KiB 8.7 for 378, 2 KiB 9.7 for 373, 4 KiB 11.9 for 369, 8 KiB 15.5 for 362. Beyond the
/// last message there is little to refer to, and every byte of the dictionary is hashed anew.
pub const DICTIONARY_BYTES: usize = 1 << 10;

/// Ends every flushed message on the inside and is not sent (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Input for which output is reserved at once; beyond it output doubles.
const STEP_BYTES: usize = 64 << 10;

/// Bytes that a compressor may need for a message of `message_bytes` bytes that does not compress.
///
/// The fixed Huffman code takes 9 bits for half of the literals; stored blocks, flushes and block
/// headers add to it. This is the bound of zlib's `deflateBound` with some room. A frame layer
/// that bounds compressed bytes before they are inflated bounds them by this, or a message of
/// exactly the limit would be refused for not compressing.
#[must_use]
pub const fn compressed_bytes_max(message_bytes: usize) -> usize {
    message_bytes
        .saturating_add(message_bytes >> 3)
        .saturating_add(message_bytes >> 6)
        .saturating_add(64)
}

/// Whether a message was worth compressing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Deflated {
    /// The compressed payload was appended.
    Smaller,
    /// It would not have been smaller: nothing was appended and the history is as it was. Send
    /// the message uncompressed.
    NotSmaller,
}

/// The encoder of one core.
#[derive(Debug)]
pub(super) enum Compressor {
    Flate2(Box<Flate2>),
    Compact(Box<compact::Encoder>),
}

impl Compressor {
    pub(super) fn new(encoder: Encoder) -> Self {
        match encoder {
            Encoder::Flate2(level) => Self::Flate2(Box::new(Flate2::new(level))),
            Encoder::Compact => Self::Compact(compact::Encoder::new()),
        }
    }

    /// Appends the compressed payload of one message. The history is read, not written.
    pub(super) fn append(
        &mut self,
        window_bits: u8,
        history: Option<&Window>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) {
        super::assert_window_bits(window_bits);
        if input.is_empty() {
            // RFC 7692, 7.2.3.6: the header of an empty stored block.
            out.push(0x00);
            return;
        }
        let dictionary_bytes = DICTIONARY_BYTES.min(1 << window_bits);
        let dictionary = history.map(|window| window.tail(dictionary_bytes));
        let dictionary = dictionary.unwrap_or_default();
        match self {
            Self::Flate2(flate2) => flate2.append(window_bits, dictionary, input, out),
            Self::Compact(encoder) => encoder.append(window_bits, dictionary, input, out),
        }
    }
}

/// The deflaters of zlib-rs, one for each window size, made on first use.
#[derive(Debug)]
pub(super) struct Flate2 {
    level: Compression,
    /// By window bits less 9. A deflater has 250 to 380 KiB, so there are only those in use.
    hot: [Option<Compress>; 7],
}

impl Flate2 {
    fn new(level: u32) -> Self {
        Self {
            level: Compression::new(level.min(9)),
            hot: [const { None }; 7],
        }
    }

    /// Appends the compressed payload of one message that is not empty.
    fn append(&mut self, window_bits: u8, dictionary: [&[u8]; 2], input: &[u8], out: &mut Vec<u8>) {
        let deflater = self.hot(window_bits);
        deflater.reset();
        for part in dictionary.into_iter().filter(|part| !part.is_empty()) {
            deflater
                .set_dictionary(part)
                .expect("a raw stream takes a dictionary before its first byte");
        }
        compress(deflater, input, out);
        let end = out.len().saturating_sub(TAIL.len());
        assert!(out.ends_with(&TAIL), "a sync flush ends in 00 00 ff ff");
        out.truncate(end);
    }

    fn hot(&mut self, window_bits: u8) -> &mut Compress {
        let level = self.level;
        // By name, and so without an index that could be out of bounds.
        let [b9, b10, b11, b12, b13, b14, b15] = &mut self.hot;
        let slot = match window_bits {
            9 => b9,
            10 => b10,
            11 => b11,
            12 => b12,
            13 => b13,
            14 => b14,
            _ => b15,
        };
        slot.get_or_insert_with(|| Compress::new_with_window_bits(level, false, window_bits))
    }
}

/// Compresses and flushes all of `input`.
///
/// A flush is complete when the deflater returns with room left (zlib's manual). If the room runs
/// out exactly at the end of the flush, the next round adds a second empty block: five bytes more,
/// and as valid.
fn compress(deflater: &mut Compress, mut input: &[u8], out: &mut Vec<u8>) {
    loop {
        out.reserve(compressed_bytes_max(input.len().min(STEP_BYTES)));
        let before = deflater.total_in();
        deflater
            .compress_vec(input, out, FlushCompress::Sync)
            .expect("a deflater fails only when it is used after its end");
        let consumed = usize::try_from(deflater.total_in().saturating_sub(before));
        input = consumed
            .ok()
            .and_then(|consumed| input.get(consumed..))
            .unwrap_or_default();
        if input.is_empty() && out.len() < out.capacity() {
            return;
        }
    }
}

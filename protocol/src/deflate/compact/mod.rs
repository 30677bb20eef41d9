//! An encoder of our own for messages: deflate (RFC 1951) with a dynamic code where that pays.
//!
//! All it knows lies in one piece: the text, a table of places in it, and the matches of a block.
//! A message begins with clearing as much of the table as it needs, so a short one costs little.
//! A place in the table is a hint and no more, since every match is compared with the text: what
//! is written is right whatever stands there. The table is cleared all the same, for what is
//! written to depend on the message and its history alone.
//!
//! Memory and the time for a byte are bounded for messages of any size: they are taken in blocks,
//! a place has [`CANDIDATES`] candidates, and a match is compared up to its longest length.
//! Matches are taken as they are found, the longer one of a place.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "places, symbols and counts are of arrays that were made for them, and the crate is \
              compiled with overflow checks; the bounds stand beside each type"
)]

mod alphabet;
mod bits;
mod block;
mod header;
mod huffman;

use std::fmt;

use alphabet::{MATCH_MAX, MATCH_MIN};
use bits::Bits;
use block::{Block, HEADER_BITS};

/// Text that is kept: as much as a distance reaches, and as much again to fill up.
const TEXT_BYTES: usize = 1 << 16;
/// By how much the text moves down when it is full: what a distance reaches stays.
const SLIDE_BYTES: usize = 1 << 15;
/// Bytes of a block, at most: what a stored block can hold, too. A code for more of the message
/// would fit each part of it less well.
const BLOCK_BYTES: usize = 1 << 15;
/// Bytes from a place on that two matches are compared in, a multiple of 8.
const SPAN_BYTES: usize = MATCH_MAX.next_multiple_of(8);

/// Buckets of the table for a long message, and for a short one, as powers of two.
const BUCKET_BITS_MAX: u32 = 12;
const BUCKET_BITS_MIN: u32 = 8;
/// Bits of a place in a bucket, which has two.
const PLACE_BITS: u32 = 16;
/// What stands where no place is, so that most are not even compared. The text begins behind it.
const NOWHERE: usize = 0;
const FIRST_PLACE: usize = 1;
/// How many candidates for a match are tried, newest first.
///
/// JSON of 1 KiB takes 401 bytes with two; with four, and waiting for a better match at the next
/// byte, 398 in a fifth more time. For 16 KiB it is 4530 and 4190, in a third more.
const CANDIDATES: usize = 2;
/// Of a longer match, only so many of its last places get into the table.
const PLACES_OF_MATCH: usize = 32;
/// After each so many bytes without a match, one byte more is passed over at a time: what does
/// not compress is not looked at closely.
const PATIENCE_BYTES: usize = 256;

/// The encoder of one core.
pub(super) struct Encoder {
    /// Places are indices of the first [`TEXT_BYTES`].
    text: [u8; TEXT_BYTES + SPAN_BYTES],
    /// By the hash of four bytes: the newest places where they stood, the newer in the lower
    /// bits, and [`NOWHERE`] when there were fewer.
    buckets: [u32; 1 << BUCKET_BITS_MAX],
    /// Leaves as many bits of a hash as this message has of buckets.
    hash_shift: u32,
    block: Block,
}

/// A match of what stands at a place with what stands `distance` before it.
#[derive(Debug, Clone, Copy)]
struct Match {
    length: usize,
    distance: usize,
}

impl Encoder {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            text: [0; TEXT_BYTES + SPAN_BYTES],
            buckets: [0; 1 << BUCKET_BITS_MAX],
            hash_shift: 0,
            block: Block::new(),
        })
    }

    /// Appends the compressed payload of one message that is not empty.
    ///
    /// It refers to no byte further back than 2^`window_bits`, and to none before `dictionary`,
    /// which has no more bytes than that: what the receiver's window holds, oldest first.
    pub(super) fn append(
        &mut self,
        window_bits: u8,
        dictionary: [&[u8]; 2],
        mut input: &[u8],
        out: &mut Vec<u8>,
    ) {
        let mut end = FIRST_PLACE;
        for part in dictionary {
            self.text[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        self.clear_buckets(end.saturating_add(input.len()));
        let window = 1 << window_bits;
        let mut bits = Bits::new(out);
        let mut known = FIRST_PLACE;
        while !input.is_empty() {
            if end == TEXT_BYTES {
                self.slide();
                end -= SLIDE_BYTES;
                known -= SLIDE_BYTES;
            }
            let room = BLOCK_BYTES.min(TEXT_BYTES - end);
            let (now, later) = input.split_at(room.min(input.len()));
            input = later;
            let start = end;
            end += now.len();
            self.text[start..end].copy_from_slice(now);
            for place in known..start.min(hashed_end(end)) {
                self.remember(place);
            }
            self.find_matches(start, end, window);
            known = hashed_end(end).max(known);
            self.block.write(&self.text[start..end], &mut bits);
        }
        // The header of the empty block that ends every message; the rest of it is not sent
        // (RFC 7692, 7.2.1).
        bits.append(HEADER_BITS, |pen| pen.put(0, HEADER_BITS));
        bits.align();
    }

    /// Forgets all places. A message of few bytes has few buckets, which is quick.
    fn clear_buckets(&mut self, bytes: usize) {
        let bits = bytes.checked_ilog2().unwrap_or(0) + 1;
        let bits = bits.clamp(BUCKET_BITS_MIN, BUCKET_BITS_MAX);
        self.hash_shift = u32::BITS - bits;
        self.buckets[..1 << bits].fill(0);
    }

    /// Forgets the older half of a full text, and the places in it: they become [`NOWHERE`].
    fn slide(&mut self) {
        const _: () = assert!(SLIDE_BYTES == 1 << 15 && PLACE_BITS == 16 && CANDIDATES == 2);
        const LOWEST: u32 = 0x0001_0001;
        self.text.copy_within(SLIDE_BYTES..TEXT_BYTES, 0);
        for bucket in &mut self.buckets {
            // What was in the newer half has its highest bit set, and loses it.
            *bucket &= (*bucket >> 15 & LOWEST) * 0x7fff;
        }
    }

    /// Fills the block with the matches of the text from `start` to `end`.
    fn find_matches(&mut self, start: usize, end: usize, window: usize) {
        self.block.clear();
        let hashed_end = hashed_end(end);
        let (mut literals, mut at) = (start, start);
        while at < hashed_end {
            let Some(found) = self.find(at, end, window) else {
                at += 1 + (at - literals) / PATIENCE_BYTES;
                continue;
            };
            self.block
                .push(&self.text[literals..at], found.length, found.distance);
            let next = at + 1;
            at += found.length;
            literals = at;
            for place in next.max(at.saturating_sub(PLACES_OF_MATCH))..at.min(hashed_end) {
                self.remember(place);
            }
        }
        self.block.end(&self.text[literals..end]);
    }

    /// The longest match of the text from `at` to `end`, if there is one, and remembers the place.
    #[inline(always)]
    fn find(&mut self, at: usize, end: usize, window: usize) -> Option<Match> {
        let word = self.word(at);
        let mut places = self.remember(at);
        let (mut length, mut distance) = (MATCH_MIN - 1, 0);
        for _ in 0..CANDIDATES {
            let place = (places & 0xffff) as usize;
            places >>= PLACE_BITS;
            let apart = at.wrapping_sub(place);
            if place == NOWHERE || apart.wrapping_sub(1) >= window {
                break;
            }
            if self.word(place) == word {
                let common = self.common(place, at).min(end - at);
                if common > length {
                    (length, distance) = (common.min(MATCH_MAX), apart);
                }
            }
        }
        (distance != 0).then_some(Match { length, distance })
    }

    /// Puts a place into its bucket, and says which were there before.
    #[inline(always)]
    fn remember(&mut self, place: usize) -> u32 {
        // Knuth's multiplicative hash. The masks change nothing, as in `word`.
        let hash = self.word(place).wrapping_mul(0x9e37_79b1) >> (self.hash_shift & 31);
        let bucket = &mut self.buckets[hash as usize & ((1 << BUCKET_BITS_MAX) - 1)];
        let places = *bucket;
        *bucket = places << PLACE_BITS | (place & 0xffff) as u32;
        places
    }

    /// The four bytes at a place. The mask changes nothing; it shows that no check is needed.
    #[inline(always)]
    fn word(&self, place: usize) -> u32 {
        let place = place & (TEXT_BYTES - 1);
        u32::from_le_bytes([0, 1, 2, 3].map(|index| self.text[place + index]))
    }

    /// How many bytes are the same from two places on, up to [`SPAN_BYTES`]. What stands behind
    /// the end of the text is compared, too, so the caller bounds it.
    #[inline(always)]
    fn common(&self, one: usize, other: usize) -> usize {
        let span = |place: usize| {
            let text = self.text[place & (TEXT_BYTES - 1)..].first_chunk::<SPAN_BYTES>();
            text.expect("so many bytes stand behind the last place")
        };
        let (one, other) = (span(one).as_chunks::<8>().0, span(other).as_chunks().0);
        let mut same = 0;
        for (one, other) in one.iter().zip(other) {
            let different = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
            if different != 0 {
                return same + (different.trailing_zeros() / 8) as usize;
            }
            same += 8;
        }
        same
    }
}

/// Never shows the text: it is somebody's message.
impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encoder")
    }
}

/// Where the places end whose four bytes stand before `end`.
const fn hashed_end(end: usize) -> usize {
    end.saturating_sub(MATCH_MIN - 1)
}

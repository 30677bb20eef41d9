//! The header of a block with a dynamic code: the lengths of its codes, in a code of their own
//! (RFC 1951, 3.2.7).

use super::alphabet::{DISTANCES, FIRST_LENGTH, LITERALS};
use super::bits::{BITS_PER_FLUSH, Pen};
use super::huffman::{assign_codes, assign_lengths};

/// Symbols of the code for lengths, and what fills up a multiple of 8.
const SYMBOLS: usize = 24;
/// A length is said again 3 to 6 times.
const AGAIN: u8 = 16;
/// There are 3 to 10 symbols without a code.
const NONE: u8 = 17;
/// There are 11 to 138 symbols without a code.
const NONE_MANY: u8 = 18;
/// The longest code of a length.
const LENGTH_MAX: usize = 7;

/// The order in which the lengths of the code for lengths are written.
const ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// Items that two flushes can have between them: a code, and at most seven bits more.
const ITEMS_PER_FLUSH: usize = BITS_PER_FLUSH as usize / (LENGTH_MAX + 7);

/// Bits of the three counts.
const COUNTS_BITS: u32 = 14;

/// A length, or how many are alike.
#[derive(Debug, Clone, Copy, Default)]
struct Item {
    symbol: u8,
    extra: u8,
}

/// What is said about the lengths of two codes.
#[derive(Debug)]
pub(super) struct Header {
    items: Items,
    /// Of the code for lengths.
    lengths: [u8; SYMBOLS],
    literal_count: usize,
    distance_count: usize,
    /// How many of [`ORDER`] are written, at least 4.
    length_count: usize,
}

/// Lengths and how many are alike, and how often each symbol occurs in them.
#[derive(Debug)]
struct Items {
    /// There is no more than one for each symbol of both codes.
    items: [Item; LITERALS + DISTANCES],
    count: usize,
    counts: [u16; SYMBOLS],
}

impl Header {
    /// Says nothing yet.
    pub(super) const fn new() -> Self {
        let nothing = Item {
            symbol: 0,
            extra: 0,
        };
        Self {
            items: Items {
                items: [nothing; LITERALS + DISTANCES],
                count: 0,
                counts: [0; SYMBOLS],
            },
            lengths: [0; SYMBOLS],
            literal_count: FIRST_LENGTH,
            distance_count: 1,
            length_count: 4,
        }
    }

    /// Makes it say the lengths of the codes of literals and of distances, and says how many bits
    /// it has then.
    pub(super) fn describe(
        &mut self,
        literals: &[u8; LITERALS],
        distances: &[u8; DISTANCES],
    ) -> u32 {
        self.literal_count = used(literals).max(FIRST_LENGTH);
        self.distance_count = used(distances).max(1);
        // They are one sequence: alike lengths may go on from one code to the other.
        let mut lengths = [0; LITERALS + DISTANCES];
        lengths[..LITERALS].copy_from_slice(literals);
        lengths[self.literal_count..][..DISTANCES].copy_from_slice(distances);
        self.items.clear();
        let mut rest = &lengths[..self.literal_count + self.distance_count];
        while let Some(&length) = rest.first() {
            let alike = rest.iter().position(|other| *other != length);
            let (alike, others) = rest.split_at(alike.unwrap_or(rest.len()));
            rest = others;
            self.items.push(length, alike.len());
        }
        let symbols = assign_lengths(&self.items.counts, LENGTH_MAX, &mut self.lengths);
        let last = ORDER.iter().rposition(|&symbol| self.lengths[symbol] != 0);
        self.length_count = last.map_or(0, |last| last + 1).max(4);
        COUNTS_BITS + 3 * self.length_count as u32 + symbols + self.items.extra_bits()
    }

    pub(super) fn write(&self, pen: &mut Pen<'_>) {
        pen.put((self.literal_count - FIRST_LENGTH) as u32, 5);
        pen.put((self.distance_count - 1) as u32, 5);
        pen.put((self.length_count - 4) as u32, 4);
        pen.flush();
        for symbols in ORDER[..self.length_count].chunks(16) {
            for &symbol in symbols {
                pen.put(self.lengths[symbol].into(), 3);
            }
            pen.flush();
        }
        let codes = assign_codes(&self.lengths);
        for items in self.items.items[..self.items.count].chunks(ITEMS_PER_FLUSH) {
            for item in items {
                codes[usize::from(item.symbol)].put(pen);
                pen.put(item.extra.into(), extra_bits(item.symbol));
            }
            pen.flush();
        }
    }
}

impl Items {
    const fn clear(&mut self) {
        self.count = 0;
        self.counts = [0; SYMBOLS];
    }

    /// Adds so many symbols of one length.
    fn push(&mut self, length: u8, mut count: usize) {
        if length == 0 {
            while count >= 11 {
                let now = count.min(138);
                self.item(NONE_MANY, now - 11);
                count -= now;
            }
            if count >= 3 {
                self.item(NONE, count - 3);
                count = 0;
            }
        } else if count >= 4 {
            self.item(length, 0);
            count -= 1;
            while count >= 3 {
                let now = count.min(6);
                self.item(AGAIN, now - 3);
                count -= now;
            }
        }
        for _ in 0..count {
            self.item(length, 0);
        }
    }

    fn item(&mut self, symbol: u8, extra: usize) {
        self.items[self.count] = Item {
            symbol,
            extra: extra as u8,
        };
        self.count += 1;
        self.counts[usize::from(symbol)] += 1;
    }

    fn extra_bits(&self) -> u32 {
        let bits = |symbol: u8| u32::from(self.counts[usize::from(symbol)]) * extra_bits(symbol);
        bits(AGAIN) + bits(NONE) + bits(NONE_MANY)
    }
}

/// How many symbols there are up to the last one that has a code.
fn used(lengths: &[u8]) -> usize {
    let last = lengths.iter().rposition(|length| *length != 0);
    last.map_or(0, |last| last + 1)
}

/// Bits behind a symbol that say how many are alike.
const fn extra_bits(symbol: u8) -> u32 {
    match symbol {
        AGAIN => 2,
        NONE => 3,
        NONE_MANY => 7,
        _ => 0,
    }
}

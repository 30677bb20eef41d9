//! One block (RFC 1951, 3.2.3): its matches, and the shortest of the three ways to write it.

use super::alphabet::{
    DISTANCES, END_OF_BLOCK, FIRST_LENGTH, LENGTH, LENGTH_EXTRA_BITS, LITERALS,
    distance_extra_bits, distance_symbol,
};
use super::bits::{BITS_PER_FLUSH, Bits, Pen};
use super::header::Header;
use super::huffman::{Code, LENGTH_MAX, assign_codes, assign_lengths};

/// Bits of a block's header: whether it is the last one, which none is, and its kind.
pub(super) const HEADER_BITS: u32 = 3;
const STORED: u32 = 0b000;
const FIXED: u32 = 0b010;
const DYNAMIC: u32 = 0b100;

/// Up to as many bits a block is written with the fixed code without looking for a better one,
/// whose description alone would take half of it.
const FIXED_BITS: u32 = 40 * 8;

/// Bits of a distance's code.
const FIXED_DISTANCE_BITS: u8 = 5;
static FIXED_LITERAL_CODES: [Code; LITERALS] = assign_codes(&FIXED_LITERAL_BITS);
static FIXED_DISTANCE_CODES: [Code; DISTANCES] = assign_codes(&[FIXED_DISTANCE_BITS; DISTANCES]);

/// RFC 1951, 3.2.6.
const FIXED_LITERAL_BITS: [u8; LITERALS] = {
    let mut bits = [8; LITERALS];
    let mut symbol = 144;
    while symbol < 280 {
        bits[symbol] = if symbol < 256 { 9 } else { 7 };
        symbol += 1;
    }
    bits
};

/// Literals that two flushes can have between them.
const LITERALS_PER_FLUSH: usize = BITS_PER_FLUSH as usize / LENGTH_MAX;

/// What a block says: matches with the literals before them, and how often each symbol occurs.
/// The literals are those of the text.
#[derive(Debug)]
pub(super) struct Block {
    /// As many as matches of the shortest length fit into a block, at most.
    sequences: Vec<Sequence>,
    literals: [u16; LITERALS],
    distances: [u16; DISTANCES],
    /// The code of the block that was written last, kept for its room.
    dynamic: Dynamic,
}

/// Some literals and the match behind them.
#[derive(Debug, Clone, Copy)]
struct Sequence {
    literals: u16,
    distance: u16,
    /// Less 3.
    length: u8,
    distance_symbol: u8,
}

/// How a block is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Stored,
    Fixed,
    Dynamic,
}

/// A code that is made for the block, as lengths, and what tells it.
#[derive(Debug)]
struct Dynamic {
    literals: [u8; LITERALS],
    distances: [u8; DISTANCES],
    header: Header,
}

impl Block {
    pub(super) const fn new() -> Self {
        Self {
            sequences: Vec::new(),
            literals: [0; LITERALS],
            distances: [0; DISTANCES],
            dynamic: Dynamic {
                literals: [0; LITERALS],
                distances: [0; DISTANCES],
                header: Header::new(),
            },
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.sequences.clear();
        self.literals = [0; LITERALS];
        self.distances = [0; DISTANCES];
    }

    /// Adds some literals and a match of 4 to 258 bytes, at a distance of 1 to 2^15.
    #[inline]
    pub(super) fn push(&mut self, literals: &[u8], length: usize, distance: usize) {
        self.count_literals(literals);
        let length = (length - 3) & 0xff;
        let symbol = FIRST_LENGTH + usize::from(LENGTH[length].symbol);
        self.literals[symbol] += 1;
        let symbol = distance_symbol(distance as u32);
        self.distances[symbol as usize] += 1;
        self.sequences.push(Sequence {
            literals: literals.len() as u16,
            distance: distance as u16,
            length: length as u8,
            distance_symbol: symbol as u8,
        });
    }

    /// Adds the last literals.
    pub(super) fn end(&mut self, literals: &[u8]) {
        self.count_literals(literals);
        self.literals[END_OF_BLOCK] = 1;
    }

    fn count_literals(&mut self, literals: &[u8]) {
        for &literal in literals {
            self.literals[usize::from(literal)] += 1;
        }
    }

    /// Writes the block, of which `text` is the plain text.
    pub(super) fn write(&mut self, text: &[u8], bits: &mut Bits<'_>) {
        let (way, count) = self.choose(text.len());
        match way {
            Way::Stored => {
                let length = text.len() as u16;
                bits.append(HEADER_BITS, |pen| pen.put(STORED, HEADER_BITS));
                bits.align();
                bits.append_bytes(&length.to_le_bytes());
                bits.append_bytes(&(!length).to_le_bytes());
                bits.append_bytes(text);
            }
            Way::Fixed => bits.append(HEADER_BITS + count, |pen| {
                pen.put(FIXED, HEADER_BITS);
                self.write_symbols(text, &FIXED_LITERAL_CODES, &FIXED_DISTANCE_CODES, pen);
            }),
            Way::Dynamic => bits.append(HEADER_BITS + count, |pen| {
                pen.put(DYNAMIC, HEADER_BITS);
                self.dynamic.header.write(pen);
                let literals = assign_codes(&self.dynamic.literals);
                let distances = assign_codes(&self.dynamic.distances);
                self.write_symbols(text, &literals, &distances, pen);
            }),
        }
    }

    /// The way with the fewest bits, and these without the header that all have.
    fn choose(&mut self, text_bytes: usize) -> (Way, u32) {
        let extra = self.extra_bits();
        let literals = self.literals.iter().zip(&FIXED_LITERAL_BITS);
        let fixed = literals.fold(extra, |bits, (&count, &length)| {
            bits.wrapping_add(u32::from(count) * u32::from(length))
        }) + self.sequences.len() as u32 * u32::from(FIXED_DISTANCE_BITS);
        // The worst of it: seven bits to fill up a byte, and the length twice.
        let stored = (7 + 32 + 8 * text_bytes) as u32;
        if fixed <= FIXED_BITS && fixed < stored {
            return (Way::Fixed, fixed);
        }
        let code = &mut self.dynamic;
        let symbols = assign_lengths(&self.literals, LENGTH_MAX, &mut code.literals)
            + assign_lengths(&self.distances, LENGTH_MAX, &mut code.distances);
        let header = code.header.describe(&code.literals, &code.distances);
        let dynamic = header + symbols + extra;
        if stored < fixed.min(dynamic) {
            (Way::Stored, stored)
        } else if fixed <= dynamic {
            (Way::Fixed, fixed)
        } else {
            (Way::Dynamic, dynamic)
        }
    }

    /// Bits that stand behind the symbols, the same for every code.
    fn extra_bits(&self) -> u32 {
        let lengths = self.literals[FIRST_LENGTH..].iter().zip(LENGTH_EXTRA_BITS);
        let lengths = lengths.map(|(&count, bits)| u32::from(count) * u32::from(bits));
        let distances = self.distances.iter().zip(0..);
        let distances =
            distances.map(|(&count, symbol)| u32::from(count) * distance_extra_bits(symbol));
        lengths.chain(distances).fold(0, u32::wrapping_add)
    }

    fn write_symbols(
        &self,
        text: &[u8],
        literal_codes: &[Code; LITERALS],
        distance_codes: &[Code; DISTANCES],
        pen: &mut Pen<'_>,
    ) {
        let mut rest = text;
        for sequence in &self.sequences {
            let (literals, from_match) = rest.split_at(usize::from(sequence.literals));
            write_literals(literals, literal_codes, pen);
            rest = &from_match[usize::from(sequence.length) + 3..];
            let length = LENGTH[usize::from(sequence.length)];
            literal_codes[FIRST_LENGTH + usize::from(length.symbol)].put(pen);
            pen.put(length.extra.into(), length.extra_bits.into());
            let symbol = u32::from(sequence.distance_symbol);
            let extra_bits = distance_extra_bits(symbol);
            let extra = u32::from(sequence.distance - 1) & ((1 << extra_bits) - 1);
            distance_codes[symbol as usize].put(pen);
            pen.put(extra, extra_bits);
            pen.flush();
        }
        write_literals(rest, literal_codes, pen);
        literal_codes[END_OF_BLOCK].put(pen);
    }
}

#[inline]
fn write_literals(literals: &[u8], codes: &[Code; LITERALS], pen: &mut Pen<'_>) {
    let (groups, last) = literals.as_chunks::<LITERALS_PER_FLUSH>();
    for group in groups.iter().map(|group| &group[..]).chain([last]) {
        for &literal in group {
            codes[usize::from(literal)].put(pen);
        }
        pen.flush();
    }
}

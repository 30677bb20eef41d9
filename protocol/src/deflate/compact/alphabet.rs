//! The symbols of lengths and distances, and their extra bits (RFC 1951, 3.2.5).

/// A match has at least as many bytes; RFC 1951 allows 3. Shorter ones hardly win a bit, and a
/// hash of four bytes has fewer candidates to look at.
pub(super) const MATCH_MIN: usize = 4;
/// And no more than these.
pub(super) const MATCH_MAX: usize = 258;

/// The literals, the end of a block, the lengths, and what fills up a multiple of 8.
pub(super) const LITERALS: usize = 288;
pub(super) const END_OF_BLOCK: usize = 256;
pub(super) const FIRST_LENGTH: usize = 257;
/// The distances, and what fills up a multiple of 8.
pub(super) const DISTANCES: usize = 32;

/// The shortest match of each symbol.
const LENGTHS: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
];

/// A length as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    /// Counted from [`FIRST_LENGTH`].
    pub(super) symbol: u8,
    pub(super) extra: u8,
    pub(super) extra_bits: u8,
}

/// By length, less 3.
pub(super) static LENGTH: [Length; 256] = {
    let mut table = [Length {
        symbol: 0,
        extra: 0,
        extra_bits: 0,
    }; 256];
    let (mut index, mut symbol) = (0, 0);
    while index < table.len() {
        let length = index as u16 + 3;
        if symbol + 1 < LENGTHS.len() && length >= LENGTHS[symbol + 1] {
            symbol += 1;
        }
        table[index] = Length {
            symbol: symbol as u8,
            extra: (length - LENGTHS[symbol]) as u8,
            extra_bits: LENGTH_EXTRA_BITS[symbol],
        };
        index += 1;
    }
    table
};

/// Extra bits of each symbol of a length.
pub(super) const LENGTH_EXTRA_BITS: [u8; LITERALS - FIRST_LENGTH] = {
    let mut bits = [0; LITERALS - FIRST_LENGTH];
    let mut symbol = 8;
    while symbol < 28 {
        bits[symbol] = (symbol as u8 - 4) / 4;
        symbol += 1;
    }
    bits
};

/// The symbol of a distance, which is at least 1. From 5 on it is the place of the highest bit
/// and the bit below it, and the rest is extra.
#[inline]
pub(super) const fn distance_symbol(distance: u32) -> u32 {
    let distance = distance.wrapping_sub(1);
    if distance < 4 {
        return distance;
    }
    let highest = distance.ilog2();
    2 * highest + (distance >> (highest - 1) & 1)
}

/// Extra bits of a distance's symbol.
#[inline]
pub(super) const fn distance_extra_bits(symbol: u32) -> u32 {
    (symbol >> 1).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_distances_are_those_of_the_rfc() {
        for length in 3..=258_u16 {
            let entry = LENGTH[usize::from(length) - 3];
            assert_eq!(
                LENGTHS[usize::from(entry.symbol)] + u16::from(entry.extra),
                length
            );
            assert!(u32::from(entry.extra) >> entry.extra_bits == 0);
        }
        assert_eq!(LENGTH_EXTRA_BITS[7..12], [0, 1, 1, 1, 1]);
        assert_eq!(LENGTH_EXTRA_BITS[24..29], [5, 5, 5, 5, 0]);
        let firsts = [
            1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025,
            1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577, 32769,
        ];
        for (symbol, ends) in firsts.windows(2).enumerate() {
            for distance in ends[0]..ends[1] {
                assert_eq!(distance_symbol(distance) as usize, symbol);
            }
            assert_eq!(1 << distance_extra_bits(symbol as u32), ends[1] - ends[0]);
        }
    }
}

//! Huffman codes (RFC 1951, 3.2.2): from counts to lengths, and from lengths to codes.

use super::bits::Pen;

/// The longest code of literals, lengths and distances (RFC 1951, 3.2.7).
pub(super) const LENGTH_MAX: usize = 15;

/// Symbols of the largest alphabet, those that are never used included.
pub(super) const SYMBOLS_MAX: usize = 288;

/// Counts from here on are sorted by comparing, lower ones by counting them.
const COUNTED: usize = 64;

/// Where a symbol stands in a word that also has its count.
const SYMBOL_BITS: u32 = 9;
const SYMBOL_MASK: u32 = (1 << SYMBOL_BITS) - 1;

/// Gives every symbol that occurs a length of 1 to `length_max` bits, and the others 0, so that
/// the message has as few bits as a code of at most that length allows, or hardly more. Says how
/// many bits all occurrences have.
///
/// The code is complete. Where fewer than two symbols occur, it has two all the same: not every
/// inflater takes a code of a single symbol.
///
/// `counts` has at most [`SYMBOLS_MAX`] entries, a multiple of 8 of them.
pub(super) fn assign_lengths<const N: usize>(
    counts: &[u16; N],
    length_max: usize,
    lengths: &mut [u8; N],
) -> u32 {
    *lengths = [0; N];
    let mut leaves = [0; SYMBOLS_MAX];
    let used = sort(counts, &mut leaves);
    let Some(leaves) = leaves.get(..used).filter(|leaves| leaves.len() > 1) else {
        let only = leaves[0] & SYMBOL_MASK;
        let other = usize::from(only == 0);
        lengths[only as usize] = 1;
        lengths[other] = 1;
        return leaves[0] >> SYMBOL_BITS;
    };
    let per_length = count_lengths(leaves, length_max);
    // The rarest symbols get the longest codes.
    let mut rest = leaves;
    let mut bits = 0;
    for length in (1..=length_max).rev() {
        let (now, later) = rest.split_at(usize::from(per_length[length]));
        rest = later;
        for &leaf in now {
            lengths[(leaf & SYMBOL_MASK) as usize] = length as u8;
            bits += (leaf >> SYMBOL_BITS) * length as u32;
        }
    }
    bits
}

/// The symbols that occur, each below its count, from the rarest to the most frequent.
fn sort<const N: usize>(counts: &[u16; N], leaves: &mut [u32; SYMBOLS_MAX]) -> usize {
    let mut unsorted = [0; SYMBOLS_MAX];
    let mut places = [0_u16; COUNTED];
    let mut used = 0;
    for (eight, counts) in counts.as_chunks::<8>().0.iter().enumerate() {
        if *counts == [0; 8] {
            continue;
        }
        for (index, &count) in counts.iter().enumerate() {
            let symbol = (eight * 8 + index) as u32;
            unsorted[used] = u32::from(count) << SYMBOL_BITS | symbol;
            used += usize::from(count != 0);
            let place = &mut places[usize::from(count).min(COUNTED - 1)];
            *place = place.wrapping_add(1);
        }
    }
    let mut place = 0;
    places[0] = 0;
    for count in &mut places {
        place += *count;
        *count = place - *count;
    }
    let often = usize::from(places[COUNTED - 1]);
    for &leaf in &unsorted[..used] {
        let count = (leaf >> SYMBOL_BITS) as usize;
        let place = &mut places[count.min(COUNTED - 1)];
        leaves[usize::from(*place)] = leaf;
        *place += 1;
    }
    leaves[often..used].sort_unstable();
    used
}

/// How many symbols get a code of each length.
///
/// Huffman's algorithm with two queues, the leaves and the inner nodes, both of which are sorted.
/// Then the lengths are given from the root down; where they would pass `length_max`, the deepest
/// leaf above it makes room by becoming two, which loses little and happens seldom.
fn count_lengths(leaves: &[u32], length_max: usize) -> [u16; LENGTH_MAX + 2] {
    // Behind the last one of either queue stands what is never the lightest.
    let mut weights = [u32::MAX; SYMBOLS_MAX];
    let mut parents = [0_u16; SYMBOLS_MAX];
    let inner = leaves.len() - 1;
    let (mut leaf, mut node) = (0, 0);
    for parent in 0..inner {
        let mut weight = 0;
        for _ in 0..2 {
            let lightest = leaves
                .get(leaf)
                .map_or(u32::MAX, |leaf| leaf >> SYMBOL_BITS);
            // Which queue it is nobody can foresee, so there is no branch: of a node that is not
            // taken yet the parent is written again.
            parents[node] = parent as u16;
            let is_leaf = lightest <= weights[node];
            weight += lightest.min(weights[node]);
            leaf += usize::from(is_leaf);
            node += usize::from(!is_leaf);
        }
        weights[parent] = weight;
    }
    let mut per_length = [0_u16; LENGTH_MAX + 2];
    per_length[1] = 2;
    let mut depths = weights;
    depths[inner - 1] = 0;
    for node in (0..inner - 1).rev() {
        let depth = depths[usize::from(parents[node])] + 1;
        depths[node] = depth;
        let mut length = depth as usize;
        if length >= length_max {
            length = length_max - 1;
            while per_length[length] == 0 {
                length -= 1;
            }
        }
        per_length[length] -= 1;
        per_length[length + 1] += 2;
    }
    per_length
}

/// A code as it is written: the bits, the first one lowest, and above them how many they are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Code(u32);

impl Code {
    const LENGTH_SHIFT: u32 = 16;

    const fn new(bits: u16, length: u32) -> Self {
        Self(length << Self::LENGTH_SHIFT | bits as u32)
    }

    /// Writes it.
    #[inline(always)]
    pub(super) fn put(self, pen: &mut Pen<'_>) {
        pen.put(self.0 & 0xffff, self.0 >> Self::LENGTH_SHIFT);
    }
}

/// The code of each symbol (RFC 1951, 3.2.2). Symbols of length 0 have none: most of an alphabet,
/// so eight at a time are passed over.
pub(super) const fn assign_codes<const N: usize>(lengths: &[u8; N]) -> [Code; N] {
    let mut next = [0_u16; LENGTH_MAX + 1];
    let (eights, rest) = lengths.as_chunks::<8>();
    assert!(rest.is_empty(), "alphabets are filled up");
    let mut eight = 0;
    while eight < eights.len() {
        if u64::from_le_bytes(eights[eight]) != 0 {
            let mut index = 0;
            while index < 8 {
                next[eights[eight][index] as usize & LENGTH_MAX] += 1;
                index += 1;
            }
        }
        eight += 1;
    }
    // From how many have a length to the first code of that length.
    let (mut code, mut length, mut shorter) = (0_u16, 1, 0);
    while length <= LENGTH_MAX {
        code = code.wrapping_add(shorter) << 1;
        shorter = next[length];
        next[length] = code;
        length += 1;
    }
    let mut codes = [Code(0); N];
    eight = 0;
    while eight < eights.len() {
        if u64::from_le_bytes(eights[eight]) != 0 {
            let mut index = 0;
            while index < 8 {
                let length = eights[eight][index] as usize & LENGTH_MAX;
                if length != 0 {
                    let code = next[length];
                    next[length] = code.wrapping_add(1);
                    let bits = code.reverse_bits() >> (16 - length);
                    codes[8 * eight + index] = Code::new(bits, length as u32);
                }
                index += 1;
            }
        }
        eight += 1;
    }
    codes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_code_of_the_rfc_has_its_codes() {
        // RFC 1951, 3.2.2: 010, 011, 100, 101, 110, 00, 1110, 1111.
        let codes = assign_codes(&[3, 3, 3, 3, 3, 2, 4, 4]);
        let expected = [0b010, 0b110, 0b001, 0b101, 0b011, 0b00, 0b0111, 0b1111];
        assert_eq!(codes.map(|Code(code)| code & 0xffff), expected);
        assert_eq!(codes.map(|Code(code)| code >> 16), [3, 3, 3, 3, 3, 2, 4, 4]);
    }

    #[test]
    fn a_code_has_two_symbols_at_least() {
        for (only, other) in [(0, 1), (5, 0)] {
            let mut counts = [0; 8];
            counts[only] = 7;
            let mut lengths = [9; 8];
            assert_eq!(assign_lengths(&counts, LENGTH_MAX, &mut lengths), 7);
            let mut expected = [0; 8];
            (expected[only], expected[other]) = (1, 1);
            assert_eq!(lengths, expected);
        }
        let mut lengths = [9; 8];
        assert_eq!(assign_lengths(&[0; 8], LENGTH_MAX, &mut lengths), 0);
        assert_eq!(lengths, [1, 1, 0, 0, 0, 0, 0, 0]);
    }

    /// Fibonacci's numbers make the deepest trees.
    #[test]
    fn no_code_is_too_long() {
        let mut counts = [0_u16; 24];
        let (mut one, mut other) = (1, 1);
        for count in &mut counts[..22] {
            *count = one;
            (one, other) = (other, one + other);
        }
        for length_max in [7, LENGTH_MAX] {
            let mut lengths = [0; 24];
            let bits = assign_lengths(&counts, length_max, &mut lengths);
            check(&counts, &lengths, length_max, bits).unwrap();
            let least = optimum(&counts, length_max);
            assert!(bits * 100 <= least * 108, "{bits} bits instead of {least}");
        }
    }

    proptest! {
        #[test]
        fn lengths_are_a_complete_code_and_as_short_as_they_can_be(
            counts in prop::array::uniform32(prop_oneof![
                3 => Just(0_u16), 3 => 0_u16..20, 2 => 0_u16..200, 1 => 0_u16..2000,
            ]),
            length_max in 7_usize..=LENGTH_MAX,
        ) {
            prop_assume!(counts.iter().filter(|count| **count > 0).count() > 1);
            let mut lengths = [0; 32];
            let bits = assign_lengths(&counts, length_max, &mut lengths);
            check(&counts, &lengths, length_max, bits)?;
            let least = optimum(&counts, length_max);
            let limited = optimum(&counts, LENGTH_MAX) != least;
            prop_assert!(bits >= least);
            prop_assert!(limited || length_max < 12 || bits == least, "{bits}, {least}");
            // A tenth in the worst of 60,000 cases, at 7 bits.
            prop_assert!(bits * 8 <= least * 9, "{bits}, {least}");
        }
    }

    fn check(
        counts: &[u16],
        lengths: &[u8],
        length_max: usize,
        bits: u32,
    ) -> Result<(), TestCaseError> {
        let mut space = 0;
        let mut sum = 0;
        for (&count, &length) in counts.iter().zip(lengths) {
            prop_assert_eq!(count > 0, length > 0);
            prop_assert!(usize::from(length) <= length_max);
            space += if length > 0 {
                1 << (LENGTH_MAX - usize::from(length))
            } else {
                0
            };
            sum += u32::from(count) * u32::from(length);
        }
        prop_assert_eq!(space, 1 << LENGTH_MAX);
        prop_assert_eq!(sum, bits);
        Ok(())
    }

    /// The fewest bits of all codes of that length: package-merge, which is slow and exact.
    fn optimum(counts: &[u16], length_max: usize) -> u32 {
        let mut leaves: Vec<u32> = counts
            .iter()
            .filter(|c| **c > 0)
            .map(|c| u32::from(*c))
            .collect();
        leaves.sort_unstable();
        let mut packages: Vec<u32> = Vec::new();
        for _ in 0..length_max {
            let pairs = packages.chunks_exact(2).map(|pair| pair[0] + pair[1]);
            packages = leaves.iter().copied().chain(pairs).collect();
            packages.sort_unstable();
        }
        packages[..2 * leaves.len() - 2].iter().sum()
    }
}

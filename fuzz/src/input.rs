//! The fuzzer's bytes as numbers, bytes and payloads. An input that has run out gives zeros.

use arbitrary::Unstructured;

/// What is left of the fuzzer's bytes.
pub(crate) struct Input<'a>(Unstructured<'a>);

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    pub(crate) fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number below `bound`, which is at most 256.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// One of several.
    pub(crate) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Up to 255 bytes, as they stand.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        self.0.bytes(len).unwrap_or_default()
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0.take_rest()
    }

    /// A payload: as it stands, or far longer than the input.
    pub(crate) fn payload(&mut self) -> Vec<u8> {
        match self.below(8) {
            0 => {
                let len = self.len();
                repeat(self.bytes(), len)
            }
            1 => {
                let len = self.len();
                noise(len, self.byte())
            }
            2 => {
                let len = self.len();
                let letters = self.one_of(&["a", "é", "€", "😀", "{\"id\":1,\"text\":\"κόσμε\"},"]);
                text(letters, len)
            }
            _ => self.bytes().to_vec(),
        }
    }

    /// A length below 64 KiB, mostly a short one.
    fn len(&mut self) -> usize {
        usize::from(self.word()) >> self.one_of(&[8, 8, 7, 6, 5, 4, 2, 0])
    }

    /// Sizes of reads, to be used over and over.
    pub(crate) fn cuts(&mut self) -> Vec<usize> {
        let count = 1 + self.below(8);
        (0..count)
            .map(|_| 1 + (usize::from(self.byte()) << self.one_of(&[0, 0, 0, 4, 8])))
            .collect()
    }
}

/// The pieces of `bytes` in reads of these sizes. They take no heap, which some targets bound.
pub(crate) fn pieces<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> impl Iterator<Item = &'a [u8]> {
    cuts.iter().cycle().map_while(move |&cut| {
        let (piece, rest) = bytes.split_at(cut.min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn repeat(unit: &[u8], len: usize) -> Vec<u8> {
    unit.iter().copied().cycle().take(len).collect()
}

fn text(unit: &str, len: usize) -> Vec<u8> {
    let mut text = unit.repeat(len.div_ceil(unit.len()));
    text.truncate(text.floor_char_boundary(len));
    text.into_bytes()
}

/// Bytes that do not compress.
fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(seed);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

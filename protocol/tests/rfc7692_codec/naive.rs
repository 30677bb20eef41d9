//! Deflate (RFC 1951) bit by bit: slow, plain, and the judge of the real codec.
//!
//! Codes are decoded by counting, as in the RFC's own description, one bit at a time. Nothing
//! here is shared with zlib, so a verdict that both agree on is the format's.

/// A message as the naive inflater understands it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) bytes: Vec<u8>,
    /// The furthest that a match reached back.
    pub(crate) distance_max: usize,
}

const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Inflates the payload of one message after `history`; `None` if it is not deflate or was cut.
pub(crate) fn inflate(history: &[u8], payload: &[u8]) -> Option<Message> {
    let mut reader = Reader {
        bytes: [payload, &TAIL].concat(),
        at: 0,
    };
    let payload_bits = payload.len() * 8;
    let mut output = history.to_vec();
    let mut distance_max = 0;
    let mut between_streams = true;
    loop {
        if between_streams && reader.at == payload_bits || reader.at == reader.bytes.len() * 8 {
            return Some(Message {
                bytes: output.split_off(history.len()),
                distance_max,
            });
        }
        if between_streams && reader.at > payload_bits {
            return None;
        }
        let last = reader.bits(1)? == 1;
        between_streams = false;
        match reader.bits(2)? {
            0 => stored(&mut reader, &mut output, payload_bits)?,
            1 => {
                let (literals, distances) = fixed();
                let codes = (&literals, &distances);
                coded(
                    &mut reader,
                    &mut output,
                    codes,
                    &mut distance_max,
                    payload_bits,
                )?;
            }
            2 => {
                let (literals, distances) = dynamic(&mut reader)?;
                let codes = (&literals, &distances);
                coded(
                    &mut reader,
                    &mut output,
                    codes,
                    &mut distance_max,
                    payload_bits,
                )?;
            }
            _ => return None,
        }
        if last {
            reader.align();
            between_streams = true;
        }
    }
}

struct Reader {
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    fn bits(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for index in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << index;
            self.at += 1;
        }
        Some(value)
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
}

fn stored(reader: &mut Reader, output: &mut Vec<u8>, payload_bits: usize) -> Option<()> {
    reader.align();
    let length = reader.bits(16)?;
    if reader.bits(16)? != length ^ 0xffff {
        return None;
    }
    for _ in 0..length {
        output.push(u8::try_from(reader.bits(8)?).ok()?);
        if reader.at > payload_bits {
            return None;
        }
    }
    Some(())
}

/// A Huffman code: how many codes there are of each length, and the symbols in their order.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
    /// Codes that no symbol has; negative if there are too many symbols.
    left: i64,
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut counts = [0; 16];
        for &length in lengths {
            counts[length] += 1;
        }
        let mut left = 1;
        for &count in &counts[1..] {
            left = left * 2 - i64::try_from(count).expect("at most 288");
            if left < 0 {
                break;
            }
        }
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|&s| lengths[s] > 0).collect();
        symbols.sort_by_key(|&symbol| lengths[symbol]);
        Self {
            counts,
            symbols,
            left,
        }
    }

    /// Whether zlib takes it: complete, or of a single code of one bit, or empty.
    fn complete_enough(&self) -> bool {
        self.left == 0 || self.left > 0 && self.symbols.len() == self.counts[1]
    }

    fn symbol(&self, reader: &mut Reader) -> Option<usize> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for &count in &self.counts[1..] {
            code |= reader.bits(1)?;
            if code < first + count {
                return self.symbols.get(index + code - first).copied();
            }
            index += count;
            first = (first + count) * 2;
            code *= 2;
        }
        None
    }
}

fn fixed() -> (Code, Code) {
    let literals: Vec<usize> = (0..288)
        .map(|symbol| match symbol {
            0..144 => 8,
            144..256 => 9,
            256..280 => 7,
            _ => 8,
        })
        .collect();
    (Code::new(&literals), Code::new(&[5; 30]))
}

fn dynamic(reader: &mut Reader) -> Option<(Code, Code)> {
    const ORDER: [usize; 19] = [
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
    ];
    let literals = reader.bits(5)? + 257;
    let distances = reader.bits(5)? + 1;
    let code_lengths = reader.bits(4)? + 4;
    if literals > 286 || distances > 30 {
        return None;
    }
    let mut lengths = [0; 19];
    for &symbol in &ORDER[..code_lengths] {
        lengths[symbol] = reader.bits(3)?;
    }
    let code = Code::new(&lengths);
    if code.left != 0 {
        return None;
    }
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        let (length, count) = match code.symbol(reader)? {
            16 => (*lengths.last()?, reader.bits(2)? + 3),
            17 => (0, reader.bits(3)? + 3),
            18 => (0, reader.bits(7)? + 11),
            length => (length, 1),
        };
        lengths.resize(lengths.len() + count, length);
    }
    if lengths.len() > literals + distances || lengths[256] == 0 {
        return None;
    }
    let (literals, distances) = lengths.split_at(literals);
    let (literals, distances) = (Code::new(literals), Code::new(distances));
    (literals.complete_enough() && distances.complete_enough()).then_some((literals, distances))
}

fn coded(
    reader: &mut Reader,
    output: &mut Vec<u8>,
    (literals, distances): (&Code, &Code),
    distance_max: &mut usize,
    payload_bits: usize,
) -> Option<()> {
    const LENGTHS: [usize; 29] = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115,
        131, 163, 195, 227, 258,
    ];
    const LENGTH_BITS: [usize; 29] = [
        0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
    ];
    const DISTANCES: [usize; 30] = [
        1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
        2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
    ];
    loop {
        match literals.symbol(reader)? {
            256 => return Some(()),
            literal @ 0..256 => output.push(u8::try_from(literal).ok()?),
            symbol => {
                let length = LENGTHS.get(symbol - 257)? + reader.bits(LENGTH_BITS[symbol - 257])?;
                let symbol = distances.symbol(reader)?;
                let extra = (symbol / 2).saturating_sub(1);
                let distance = DISTANCES.get(symbol)? + reader.bits(extra)?;
                *distance_max = distance.max(*distance_max);
                for _ in 0..length {
                    let from = output.len().checked_sub(distance)?;
                    output.push(output[from]);
                }
            }
        }
        if reader.at > payload_bits {
            return None;
        }
    }
}

//! Masking (RFC 6455, 5.3): the payload xored with a key of four bytes, over and over.

/// Masks or unmasks `bytes` in place. `phase` is the position of `bytes[0]` in the frame's
/// payload: a payload may come in pieces.
///
/// Written over blocks of fixed size, which the compiler turns into vector instructions.
pub fn mask(bytes: &mut [u8], key: [u8; 4], phase: u64) {
    let key = turn(key, phase);
    let [a, b, c, d] = key;
    let words = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (blocks, rest) = bytes.as_chunks_mut::<64>();
    for block in blocks {
        let (lanes, _) = block.as_chunks_mut::<8>();
        for lane in lanes {
            *lane = (u64::from_ne_bytes(*lane) ^ words).to_ne_bytes();
        }
    }
    let (lanes, rest) = rest.as_chunks_mut::<8>();
    for lane in lanes {
        *lane = (u64::from_ne_bytes(*lane) ^ words).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

/// The key as it stands at `phase`.
fn turn([a, b, c, d]: [u8; 4], phase: u64) -> [u8; 4] {
    match phase & 3 {
        0 => [a, b, c, d],
        1 => [b, c, d, a],
        2 => [c, d, a, b],
        _ => [d, a, b, c],
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    /// The RFC's own words: octet i of the output is octet i of the input xor octet i mod 4 of
    /// the key.
    fn slow(bytes: &mut [u8], key: [u8; 4], phase: u64) {
        for (i, byte) in (phase..).zip(bytes) {
            *byte ^= key[usize::try_from(i % 4).unwrap()];
        }
    }

    #[test]
    fn every_length_and_phase_agrees_with_the_slow_twin() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..300_usize {
            for phase in 0..5 {
                for start in 0..3 {
                    let mut fast: Vec<u8> = (0..=255).cycle().skip(7).take(len + 3).collect();
                    let mut plain = fast.clone();
                    mask(&mut fast[start..start + len], key, phase);
                    slow(&mut plain[start..start + len], key, phase);
                    assert_eq!(fast, plain, "length {len}, phase {phase}, start {start}");
                }
            }
        }
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let key = [1, 2, 3, 4];
        let mut whole = [0x55; 200];
        mask(&mut whole, key, 0);
        for cut in 0..=200 {
            let mut pieces = [0x55; 200];
            let (left, right) = pieces.split_at_mut(cut);
            mask(left, key, 0);
            mask(right, key, left.len() as u64);
            assert_eq!(pieces, whole, "cut at {cut}");
        }
    }
}

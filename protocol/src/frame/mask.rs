//! Masking (RFC 6455, 5.3): the payload xored with a key of four bytes, over and over.

/// Masks or unmasks `bytes` in place. `phase` is the position of `bytes[0]` in the frame's
/// payload: a payload may come in pieces.
///
/// Written over blocks of fixed size, which the compiler turns into vector instructions.
pub fn mask(bytes: &mut [u8], key: [u8; 4], phase: u64) {
    let words = twice(turn(key, phase));
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
    for (byte, key) in rest.iter_mut().zip(words.to_ne_bytes()) {
        *byte ^= key;
    }
}

/// Unmasks `bytes[distance..]`, the whole payload of a frame, and moves it to the front of `bytes`.
/// What was there is lost, and what is behind the payload then is nothing.
///
/// A block is read whole before it is written, and what is written was read: so blocks may overlap.
#[inline]
pub fn unmask_to_front(mut bytes: &mut [u8], distance: usize, key: [u8; 4]) {
    let words = twice(key);
    while let Some((mut block, rest)) = block_behind::<64>(&mut bytes, distance) {
        for lane in block.as_chunks_mut::<8>().0 {
            *lane = (u64::from_ne_bytes(*lane) ^ words).to_ne_bytes();
        }
        *rest = block;
    }
    while let Some((lane, rest)) = block_behind::<8>(&mut bytes, distance) {
        *rest = (u64::from_ne_bytes(lane) ^ words).to_ne_bytes();
    }
    for key in words.to_ne_bytes() {
        let Some(([byte], rest)) = block_behind::<1>(&mut bytes, distance) else {
            return;
        };
        *rest = [byte ^ key];
    }
}

/// The block that is `distance` behind the front, and the place at the front, which is taken off.
fn block_behind<'a, const N: usize>(
    bytes: &mut &'a mut [u8],
    distance: usize,
) -> Option<([u8; N], &'a mut [u8; N])> {
    let block = *bytes.get(distance..)?.first_chunk::<N>()?;
    let (front, rest) = std::mem::take(bytes).split_first_chunk_mut::<N>()?;
    *bytes = rest;
    Some((block, front))
}

/// The key and the key again.
fn twice(key: [u8; 4]) -> u64 {
    let key = u64::from(u32::from_ne_bytes(key));
    key << 32 | key
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
    use super::{mask, unmask_to_front};

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
    fn a_moved_payload_is_the_unmasked_one() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..300 {
            for distance in [0, 1, 4, 8, 12, 63, 64, 65, 500] {
                let masked: Vec<u8> = (0..=255).cycle().skip(7).take(len).collect();
                let mut moved = [vec![0xee; distance], masked.clone()].concat();
                let mut plain = masked;
                unmask_to_front(&mut moved, distance, key);
                mask(&mut plain, key, 0);
                assert_eq!(moved[..len], plain, "length {len}, distance {distance}");
            }
        }
        unmask_to_front(&mut [1, 2, 3], 4, key);
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

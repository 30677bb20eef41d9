//! Bits in the order of RFC 1951, 3.1.1: the first one is the lowest of its byte.

/// Bits that may be put between two flushes: a word's, less those of a byte that is not full yet.
pub(super) const BITS_PER_FLUSH: u32 = 56;

/// The bits of one message, on their way to the end of a vector.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    out: &'a mut Vec<u8>,
    waiting: Waiting,
}

/// Bits that do not fill a byte yet, the first one lowest.
#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    bits: u64,
    count: u32,
}

/// Writes into room that was made for it.
#[derive(Debug)]
pub(super) struct Pen<'a> {
    room: &'a mut [u8],
    at: usize,
    waiting: Waiting,
}

impl<'a> Bits<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        let waiting = Waiting::default();
        Self { out, waiting }
    }

    /// Appends what `write` puts, which must be no more than `bits` bits.
    #[inline]
    pub(super) fn append(&mut self, bits: u32, write: impl FnOnce(&mut Pen<'_>)) {
        let start = self.out.len();
        // A flush stores a whole word, of which it may keep little.
        let room = bits as usize / 8 + 2 * size_of::<u64>();
        self.out.resize(start + room, 0);
        let mut pen = Pen {
            room: &mut self.out[start..],
            at: 0,
            waiting: self.waiting,
        };
        write(&mut pen);
        pen.flush();
        self.waiting = pen.waiting;
        let end = start + pen.at;
        self.out.truncate(end);
    }

    /// Fills up the last byte with zeros.
    pub(super) fn align(&mut self) {
        if self.waiting.count > 0 {
            self.out.push((self.waiting.bits & 0xff) as u8);
        }
        self.waiting = Waiting::default();
    }

    /// Appends bytes. Only when [aligned](Self::align).
    pub(super) fn append_bytes(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.waiting.count, 0);
        self.out.extend_from_slice(bytes);
    }
}

impl Pen<'_> {
    /// Puts the lowest `count` bits of a value that has no others.
    ///
    /// Here and in [`flush`](Self::flush) the masks of shifts and the wrapping sums change nothing;
    /// they spare a check for overflow at each symbol.
    #[inline(always)]
    pub(super) fn put(&mut self, value: u32, count: u32) {
        debug_assert!(u64::from(value) >> count == 0);
        debug_assert!(self.waiting.count + count < BITS_PER_FLUSH + 8);
        self.waiting.bits |= u64::from(value) << (self.waiting.count & 63);
        self.waiting.count = self.waiting.count.wrapping_add(count);
    }

    /// Moves full bytes into the room.
    #[inline(always)]
    pub(super) fn flush(&mut self) {
        let room = self.room.get_mut(self.at..);
        *room
            .and_then(<[u8]>::first_chunk_mut)
            .expect("a block's bits are counted before room is made") =
            self.waiting.bits.to_le_bytes();
        // The bits of what is no full byte yet were stored, too, and are kept to be stored again.
        self.at = self.at.wrapping_add((self.waiting.count / 8) as usize);
        self.waiting.bits >>= self.waiting.count & 56;
        self.waiting.count &= 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_fill_bytes_from_the_lowest_on() {
        let mut out = vec![7];
        let mut bits = Bits::new(&mut out);
        bits.append(3, |pen| pen.put(0b101, 3));
        bits.append(12, |pen| {
            pen.put(0b1_0000_0001, 9);
            pen.flush();
            pen.put(0b110, 3);
        });
        bits.align();
        bits.append_bytes(b"ab");
        bits.align();
        assert_eq!(out, [7, 0b0000_1101, 0b0110_1000, b'a', b'b']);
    }
}

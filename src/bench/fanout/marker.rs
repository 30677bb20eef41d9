//! What a delivery is known by: a marker at the head of every payload.
//!
//! ```text
//!   ~cwb30f~ 0007 000001c8 0002540be400    then words, up to --size
//!   |        |    |        |
//!   |        |    |        when it was due, in nanoseconds of the run's clock
//!   |        |    its number among this publisher's
//!   |        its publisher
//!   the run, so that what another one has left behind is not counted
//! ```
//!
//! Written without the blanks, in ASCII that JSON and lines of text let stand as it is. It is found
//! by a search, so it does not matter what the server wraps around it.

/// Bytes of the part that is searched for.
pub(super) const PREFIX_BYTES: usize = 8;
/// Bytes of a marker, which are the least that a payload has.
pub(super) const MARKER_BYTES: usize = 32;
/// Publishers are numbered below this.
pub(super) const PUBLISHERS_MAX: usize = 1 << 16;

/// A publication, as its payload names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) publisher: u16,
    pub(super) number: u32,
    /// 48 bits, which are 78 hours: more than the longest warm-up and run together.
    pub(super) due_ns: u64,
}

/// The part that all markers of a run begin with.
pub(super) fn prefix(run: u16) -> [u8; PREFIX_BYTES] {
    let mut prefix = *b"~cw0000~";
    write_hex(u64::from(run), &mut prefix[3..7]);
    prefix
}

impl Marker {
    /// The marker as it stands in a payload.
    pub(super) fn write(&self, prefix: [u8; PREFIX_BYTES]) -> [u8; MARKER_BYTES] {
        let mut bytes = [0; MARKER_BYTES];
        bytes[..8].copy_from_slice(&prefix);
        write_hex(u64::from(self.publisher), &mut bytes[8..12]);
        write_hex(u64::from(self.number), &mut bytes[12..20]);
        write_hex(self.due_ns, &mut bytes[20..32]);
        bytes
    }

    /// Reads what stands at a prefix.
    pub(super) fn read(bytes: &[u8; MARKER_BYTES]) -> Option<Self> {
        Some(Self {
            publisher: u16::try_from(read_hex(&bytes[8..12])?).ok()?,
            number: u32::try_from(read_hex(&bytes[12..20])?).ok()?,
            due_ns: read_hex(&bytes[20..32])?,
        })
    }
}

fn write_hex(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::try_from(value & 15).unwrap_or(0)];
        value >>= 4;
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let marker = Marker {
            publisher: 7,
            number: 456,
            due_ns: 10_000_000_000,
        };
        let bytes = marker.write(prefix(0xb30f));
        assert_eq!(&bytes, b"~cwb30f~0007000001c80002540be400");
        assert_eq!(Marker::read(&bytes), Some(marker));
        let mut wrong = bytes;
        wrong[31] = b'g';
        assert_eq!(Marker::read(&wrong), None);
    }
}

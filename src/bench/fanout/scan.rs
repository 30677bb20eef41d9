//! Finds deliveries and expected texts in what a server sends, whatever its protocol.
//!
//! All payloads of a connection are one stream: a delivery may begin in one message and end in the
//! next, and a message may hold many. Between deliveries the stream is searched, inside them it
//! is passed over, or compared with what was published for one in
//! [`SAMPLE_EVERY`](crate::bench::replies::SAMPLE_EVERY).
//!
//! ```text
//!         marker complete                      all its bytes have come
//!   Seek -----------------> Inside { left } -------------------------> Seek
//! ```

use memchr::memmem::Finder;

use super::marker::{MARKER_BYTES, Marker, PREFIX_BYTES};
use crate::bench::error::Fault;
use crate::bench::text;

/// Publications are padded with one text, from so many different places on.
const OFFSETS: usize = 251;

/// What is searched for in all streams of a run.
#[derive(Debug)]
pub(super) struct Needles {
    prefix: [u8; PREFIX_BYTES],
    marker: Finder<'static>,
    texts: Vec<Finder<'static>>,
    padding: Vec<u8>,
    /// Bytes of a payload, marker included.
    size: usize,
}

impl Needles {
    /// For payloads of `size` bytes, at least [`MARKER_BYTES`]; `texts` are not empty.
    pub(super) fn new(prefix: [u8; PREFIX_BYTES], size: usize, texts: &[Vec<u8>]) -> Self {
        let finder = |text: &[u8]| Finder::new(text).into_owned();
        Self {
            prefix,
            marker: finder(&prefix),
            texts: texts.iter().map(|text| finder(text)).collect(),
            padding: text::words(size + OFFSETS).into_bytes(),
            size,
        }
    }

    /// The payload of a publication: its marker and its padding.
    pub(super) fn payload(&self, marker: &Marker) -> ([u8; MARKER_BYTES], &[u8]) {
        (marker.write(self.prefix), self.padding(marker.number))
    }

    /// Whether a delivery begins in these bytes.
    pub(super) fn has_delivery(&self, bytes: &[u8]) -> bool {
        self.marker.find(bytes).is_some()
    }

    fn padding(&self, number: u32) -> &[u8] {
        let offset = usize::try_from(number).unwrap_or(0) % OFFSETS;
        &self.padding[offset..offset + self.size - MARKER_BYTES]
    }

    /// How many of the last bytes may be the beginning of a needle.
    fn tail(&self, bytes: &[u8]) -> usize {
        let needles = self.texts.iter().map(Finder::needle);
        let longest = |needle: &[u8]| {
            let most = bytes.len().min(needle.len() - 1);
            let from = bytes.len() - most;
            let mut starts = memchr::memchr_iter(needle[0], &bytes[from..]);
            starts
                .find(|&start| needle.starts_with(&bytes[from + start..]))
                .map_or(0, |start| most - start)
        };
        needles.map(longest).fold(longest(&self.prefix), usize::max)
    }
}

/// Something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A delivery begins.
    Delivery(Marker),
    /// The text of this place among the needles.
    Text(usize),
}

/// What to do with the rest of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Let it be.
    Skip,
    /// See whether it is what was published.
    Compare,
}

/// How far one stream has been searched.
#[derive(Debug)]
pub(super) struct Scan {
    stage: Stage,
    /// The beginning of what may be a needle.
    held: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Between deliveries.
    Seek,
    /// In one, behind its marker.
    Inside { at: usize, number: u32, rest: Rest },
}

/// What a search has come upon.
enum Sought {
    /// A delivery, whose marker ends here.
    Delivery { end: usize },
    /// None. From here on the bytes may be the beginning of a needle.
    Nothing { hold: usize },
}

impl Scan {
    pub(super) const fn new() -> Self {
        Self {
            stage: Stage::Seek,
            held: Vec::new(),
        }
    }

    /// Searches the next bytes of the stream. `found` says what to do with a delivery's rest.
    pub(super) fn read(
        &mut self,
        mut bytes: &[u8],
        needles: &Needles,
        found: &mut impl FnMut(Found) -> Result<Rest, Fault>,
    ) -> Result<(), Fault> {
        while !bytes.is_empty() {
            match self.stage {
                Stage::Inside { at, number, rest } => {
                    let left = needles.size - MARKER_BYTES - at;
                    let part = &bytes[..left.min(bytes.len())];
                    bytes = &bytes[part.len()..];
                    if rest == Rest::Compare
                        && needles.padding(number)[at..at + part.len()] != *part
                    {
                        return Err(Fault::Changed { number });
                    }
                    let at = at + part.len();
                    self.stage = Stage::Inside { at, number, rest };
                    if part.len() == left {
                        self.stage = Stage::Seek;
                    }
                }
                Stage::Seek if self.held.is_empty() => {
                    match self.seek(bytes, 0, needles, found)? {
                        Sought::Delivery { end } => bytes = &bytes[end..],
                        Sought::Nothing { hold } => {
                            self.held.extend_from_slice(&bytes[hold..]);
                            return Ok(());
                        }
                    }
                }
                Stage::Seek => {
                    let mut held = std::mem::take(&mut self.held);
                    let seen = held.len();
                    held.extend_from_slice(bytes);
                    match self.seek(&held, seen, needles, found)? {
                        // What was held had no whole marker, so this one ends behind it.
                        Sought::Delivery { end } => bytes = &bytes[end - seen..],
                        Sought::Nothing { hold } => {
                            held.drain(..hold);
                            self.held = held;
                            return Ok(());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Searches up to the next delivery; the first `seen` bytes have been searched before.
    fn seek(
        &mut self,
        bytes: &[u8],
        seen: usize,
        needles: &Needles,
        found: &mut impl FnMut(Found) -> Result<Rest, Fault>,
    ) -> Result<Sought, Fault> {
        let start = needles.marker.find(bytes);
        let between = &bytes[..start.unwrap_or(bytes.len())];
        for (place, text) in needles.texts.iter().enumerate() {
            for at in text.find_iter(between) {
                if at + text.needle().len() > seen {
                    found(Found::Text(place))?;
                }
            }
        }
        let Some(start) = start else {
            let hold = bytes.len() - needles.tail(bytes);
            return Ok(Sought::Nothing { hold });
        };
        let Some(marker) = bytes[start..].first_chunk::<MARKER_BYTES>() else {
            return Ok(Sought::Nothing { hold: start });
        };
        let marker = Marker::read(marker).ok_or(Fault::Marker)?;
        let rest = found(Found::Delivery(marker))?;
        if needles.size > MARKER_BYTES {
            self.stage = Stage::Inside {
                at: 0,
                number: marker.number,
                rest,
            };
        }
        let end = start + MARKER_BYTES;
        Ok(Sought::Delivery { end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::fanout::marker;

    const SIZES: [usize; 3] = [MARKER_BYTES, MARKER_BYTES + 1, 100];

    #[test]
    fn deliveries_and_texts_are_found_however_the_stream_is_cut() {
        for size in SIZES {
            let needles = needles(size);
            let mut stream = b"INFO {} PING\r\n".to_vec();
            for number in 0..3 {
                stream.extend(b"MSG ~c ~cw P");
                stream.extend(payload(&needles, number));
                stream.extend(b"\r\nPI");
            }
            stream.extend(b"NG\r\nPING\r\n");
            let expected = vec![
                Found::Text(0),
                Found::Delivery(marker(0)),
                Found::Delivery(marker(1)),
                Found::Delivery(marker(2)),
                Found::Text(0),
                Found::Text(0),
            ];
            for cut in 0..stream.len() {
                let parts = [&stream[..cut], &stream[cut..]];
                assert_eq!(scan(&needles, &parts).unwrap(), expected, "{size}, {cut}");
            }
            let bytes: Vec<_> = stream.chunks(1).collect();
            assert_eq!(scan(&needles, &bytes).unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn what_was_changed_is_a_fault() {
        let needles = needles(100);
        let mut changed = payload(&needles, 5);
        *changed.last_mut().unwrap() ^= 1;
        let fault = scan(&needles, &[&changed]).unwrap_err();
        assert!(matches!(fault, Fault::Changed { number: 5 }), "{fault}");
        let mut nonsense = payload(&needles, 5);
        nonsense[20] = b'x';
        let fault = scan(&needles, &[&nonsense]).unwrap_err();
        assert!(matches!(fault, Fault::Marker), "{fault}");
    }

    fn needles(size: usize) -> Needles {
        Needles::new(marker::prefix(0xabcd), size, &[b"PING\r\n".to_vec()])
    }

    fn marker(number: u32) -> Marker {
        Marker {
            publisher: 3,
            number,
            due_ns: 1_000,
        }
    }

    fn payload(needles: &Needles, number: u32) -> Vec<u8> {
        let (marker, padding) = needles.payload(&marker(number));
        [&marker, padding].concat()
    }

    fn scan(needles: &Needles, parts: &[&[u8]]) -> Result<Vec<Found>, Fault> {
        let (mut scan, mut all) = (Scan::new(), Vec::new());
        for part in parts {
            scan.read(part, needles, &mut |found| {
                all.push(found);
                Ok(Rest::Compare)
            })?;
        }
        Ok(all)
    }
}

//! Inflating one message (RFC 7692, 7.2.2), bounded while it happens.
//!
//! [`Progress`] is the rule book of one message, used alike for a message that is at hand as a
//! whole and for one that comes in pieces: the same bytes get the same verdict however they are
//! cut. To that end the ratio is looked at each time the compressed bytes have doubled and at the
//! end, never where a read happened to stop.

use std::sync::Arc;

use flate2::{Decompress, FlushDecompress, Status};

use super::budget::{InflateBudget, Reservation};
use super::compress::compressed_bytes_max;
use super::window::{Window, last};
use crate::{Error, Limits};

/// What an inflater holds, approximately: its window, its tables and their bookkeeping.
pub const INFLATER_BYTES: usize = 48 << 10;

/// Final blocks after which a message may go on, besides one for each KiB of its compressed bytes
/// (RFC 7692, 7.2.3.4 shows one).
///
/// Behind each of them the inflater starts anew and loads its window. That takes as long as a KiB
/// of input, nearly a microsecond, for as little as two bytes.
pub const FINAL_BLOCKS_MAX: usize = 16;

/// The first compressed bytes of a message after which the ratio is looked at.
const SLICE_BYTES_MIN: usize = 1 << 10;

/// The first step by which output grows; then it doubles.
const GROWTH_BYTES_MIN: usize = 4 << 10;

/// How far back a deflate stream can refer.
const DISTANCE_MAX: usize = 1 << 15;

/// What ends every message but is not sent (RFC 7692, 7.2.2), and then an empty final block. An
/// inflater that stood between two blocks reads both, says that the stream has ended, and has
/// produced nothing. One that stood inside a block, because the message was cut, cannot.
const TAIL_AND_END: [u8; 6] = [0x00, 0x00, 0xff, 0xff, 0x03, 0x00];

/// The bounds of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InflateBounds {
    /// Bytes of the message, inflated. One more is [`Error::MessageTooLarge`].
    pub message_bytes: usize,
    /// Inflated bytes for each compressed one, above the floor. More is [`Error::InflateRatio`].
    pub ratio: u32,
    /// Inflated bytes up to which the ratio does not matter.
    pub ratio_floor_bytes: usize,
}

impl From<&Limits> for InflateBounds {
    fn from(limits: &Limits) -> Self {
        Self {
            message_bytes: limits.message_bytes,
            ratio: limits.inflate_ratio,
            ratio_floor_bytes: limits.inflate_ratio_floor_bytes,
        }
    }
}

impl InflateBounds {
    /// What `compressed` bytes may become as far as the ratio is concerned.
    fn ratio_bytes_max(&self, compressed: usize) -> usize {
        let ratio = usize::try_from(self.ratio).unwrap_or(usize::MAX);
        compressed.saturating_mul(ratio).max(self.ratio_floor_bytes)
    }

    /// Where the ratio is looked at next after `compressed` bytes: each time they have doubled,
    /// until they allow more than the message may have.
    ///
    /// Between two looks a message may have twice the ratio, and a small one up to the ratio
    /// times [`SLICE_BYTES_MIN`]. Slices of constant size would have to be small to be of use,
    /// and in pieces of 1 KiB a message of 1 MiB takes a third longer.
    fn slice_end(&self, compressed: usize) -> usize {
        if self.ratio_bytes_max(compressed) >= self.message_bytes {
            return usize::MAX;
        }
        compressed
            .saturating_add(1)
            .max(SLICE_BYTES_MIN)
            .checked_next_power_of_two()
            .unwrap_or(usize::MAX)
    }
}

/// A message that has been inflated.
#[derive(Debug)]
pub struct Inflated {
    /// Bytes that the message has: the last ones of the output.
    pub bytes: usize,
    /// What they hold of the process's budget. Keep it as long as the bytes.
    pub reservation: Reservation,
}

/// A message that is inflated as it arrives, over several reads and fragments.
///
/// It has an inflater of its own, and that inflater and its output are taken from the budget.
/// Dropping it gives everything back but the inflater, which
/// [`Codec::discard`](super::Codec::discard) keeps for the next message.
#[derive(Debug)]
pub struct Inflation {
    pub(super) inflater: Decompress,
    progress: Progress,
    budget: Arc<InflateBudget>,
    failed: Option<Error>,
}

impl Inflation {
    pub(super) fn new(
        inflater: Decompress,
        bounds: InflateBounds,
        budget: &Arc<InflateBudget>,
    ) -> Result<Box<Self>, Error> {
        let reservation = budget.reserve(INFLATER_BYTES)?;
        Ok(Box::new(Self {
            inflater,
            progress: Progress::new(bounds, reservation, Reserve::AllAnd(INFLATER_BYTES)),
            budget: Arc::clone(budget),
            failed: None,
        }))
    }

    /// Inflates the next compressed bytes of the message onto the end of `out` and says how many
    /// bytes they became.
    ///
    /// `out` must end with what earlier pushes of this message appended, and `history` must be
    /// the connection's inbound window, which nothing may change before the message has ended.
    ///
    /// # Errors
    ///
    /// As [`Codec::inflate`](super::Codec::inflate), as soon as a bound is passed and before the
    /// message ends. After an error every call answers with that error.
    pub fn push(
        &mut self,
        history: Option<&Window>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        self.once(|this| {
            let before = this.progress.produced;
            this.progress
                .feed(&mut this.inflater, &this.budget, history, input, out)?;
            Ok(this.progress.produced.saturating_sub(before))
        })
    }

    /// Bytes inflated so far.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.progress.produced
    }

    pub(super) fn finish(
        &mut self,
        history: Option<&mut Window>,
        out: &[u8],
    ) -> Result<Inflated, Error> {
        self.once(|this| this.progress.finish(&mut this.inflater, history, out))
    }

    fn once<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = call(self);
        self.failed = result.as_ref().err().copied();
        result
    }
}

/// What of a message's output is taken from the budget.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reserve {
    /// What exceeds this many bytes, which the core holds anyway.
    Above(usize),
    /// All of it, and this many bytes besides.
    AllAnd(usize),
}

/// Where in the deflate format the inflater stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Where a stream may begin: at the start of the message and after a final block.
    Between,
    /// In a stream.
    Inside,
}

/// How far one message has come.
#[derive(Debug)]
pub(super) struct Progress {
    bounds: InflateBounds,
    position: Position,
    consumed: usize,
    produced: usize,
    starts: usize,
    reserve: Reserve,
    reservation: Reservation,
}

impl Progress {
    pub(super) const fn new(
        bounds: InflateBounds,
        reservation: Reservation,
        reserve: Reserve,
    ) -> Self {
        Self {
            bounds,
            position: Position::Between,
            consumed: 0,
            produced: 0,
            starts: 0,
            reserve,
            reservation,
        }
    }

    /// Inflates `input`, in slices that end where the ratio is looked at.
    pub(super) fn feed(
        &mut self,
        inflater: &mut Decompress,
        budget: &Arc<InflateBudget>,
        history: Option<&Window>,
        mut input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let compressed_max = compressed_bytes_max(self.bounds.message_bytes);
        while !input.is_empty() {
            let allowed = compressed_max.saturating_sub(self.consumed);
            if allowed == 0 {
                return Err(Error::MessageTooLarge);
            }
            let end = self.bounds.slice_end(self.consumed);
            let length = end.saturating_sub(self.consumed).min(allowed);
            let (slice, rest) = input.split_at(length.min(input.len()));
            self.feed_slice(inflater, budget, history, slice, out)?;
            input = rest;
        }
        Ok(())
    }

    /// Ends the message, which is the last of `out`, and adds it to the history.
    ///
    /// A message that ends where a stream may begin has nothing cut off and is taken as it is: a
    /// payload of no bytes, or one that ends with its final block and without the empty block
    /// that RFC 7692, 7.2.3.4 puts behind it. Others that use zlib take them, too.
    pub(super) fn finish(
        &mut self,
        inflater: &mut Decompress,
        history: Option<&mut Window>,
        out: &[u8],
    ) -> Result<Inflated, Error> {
        if self.produced > self.bounds.ratio_bytes_max(self.consumed) {
            return Err(Error::InflateRatio);
        }
        if self.position == Position::Inside {
            let (consumed, produced) = (inflater.total_in(), inflater.total_out());
            // With room for output, for a message that was cut to be able to betray itself by some.
            let status = inflater.decompress(&TAIL_AND_END, &mut [0; 16], FlushDecompress::None);
            let consumed = inflater.total_in().saturating_sub(consumed);
            // After 4 bytes, the tail completed a block that is itself the final one.
            let whole = matches!(status, Ok(Status::StreamEnd))
                && matches!(consumed, 4 | 6)
                && inflater.total_out() == produced;
            if !whole {
                return Err(Error::DeflateCorrupt);
            }
        }
        if let Some(history) = history {
            history.push(last(out, self.produced));
        }
        Ok(Inflated {
            bytes: self.produced,
            reservation: std::mem::replace(&mut self.reservation, Reservation::EMPTY),
        })
    }

    fn feed_slice(
        &mut self,
        inflater: &mut Decompress,
        budget: &Arc<InflateBudget>,
        history: Option<&Window>,
        mut slice: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let (bytes_max, over) = self.bytes_max();
        loop {
            if self.position == Position::Between {
                if slice.is_empty() {
                    return Ok(());
                }
                self.start(inflater, history, out)?;
            }
            self.make_room(budget, bytes_max, out)?;
            let (consumed, produced) = (inflater.total_in(), inflater.total_out());
            let status = inflater.decompress_vec(slice, out, FlushDecompress::None);
            let consumed = to_usize(inflater.total_in().saturating_sub(consumed));
            let produced = to_usize(inflater.total_out().saturating_sub(produced));
            slice = slice.get(consumed..).unwrap_or_default();
            self.consumed = self.consumed.saturating_add(consumed);
            self.produced = self.produced.saturating_add(produced);
            // Before the status: what was produced in front of a corrupt block counts first,
            // as it does when the two arrive apart.
            if self.produced > bytes_max {
                return Err(over);
            }
            // Room that `out` came with is counted once it is used.
            self.reserve(budget, self.produced)?;
            match status {
                Err(_) => return Err(Error::DeflateCorrupt),
                Ok(Status::StreamEnd) => self.position = Position::Between,
                Ok(Status::Ok | Status::BufError) => {
                    let hungry = out.len() < out.capacity();
                    if hungry && slice.is_empty() {
                        return Ok(());
                    }
                    if hungry && consumed == 0 && produced == 0 {
                        // It has input and room and does nothing: not to be waited for.
                        return Err(Error::DeflateCorrupt);
                    }
                }
            }
        }
    }

    /// Starts a stream that may refer to the history and to what the message has produced.
    fn start(
        &mut self,
        inflater: &mut Decompress,
        history: Option<&Window>,
        out: &[u8],
    ) -> Result<(), Error> {
        if self.starts > FINAL_BLOCKS_MAX.saturating_add(self.consumed >> 10) {
            return Err(Error::DeflateCorrupt);
        }
        self.starts = self.starts.saturating_add(1);
        self.position = Position::Inside;
        inflater.reset(false);
        let produced = last(out, self.produced.min(DISTANCE_MAX));
        // A message that is as long as a match can reach back hides what was before it.
        let [older, newer] = match history {
            Some(window) if produced.len() < DISTANCE_MAX => window.parts(),
            Some(_) | None => [&[][..]; 2],
        };
        for part in [older, newer, produced] {
            if !part.is_empty() {
                inflater
                    .set_dictionary(part)
                    .expect("a raw stream takes a dictionary at any time");
            }
        }
        Ok(())
    }

    /// Makes room for at least one more byte, reserved before it is allocated. Never for more
    /// than `bytes_max` and the one byte that shows a message to be too large.
    fn make_room(
        &mut self,
        budget: &Arc<InflateBudget>,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if out.len() < out.capacity() {
            return Ok(());
        }
        let allowed = bytes_max.saturating_sub(self.produced).saturating_add(1);
        let growth = self.produced.max(GROWTH_BYTES_MIN).min(allowed);
        self.reserve(budget, self.produced.saturating_add(growth))?;
        out.reserve_exact(growth);
        Ok(())
    }

    fn reserve(&mut self, budget: &Arc<InflateBudget>, bytes: usize) -> Result<(), Error> {
        let bytes = match self.reserve {
            Reserve::Above(free) => bytes.saturating_sub(free),
            Reserve::AllAnd(more) => bytes.saturating_add(more),
        };
        self.reservation.cover(budget, bytes)
    }

    /// How many bytes the message may have by the end of this slice, and what it is to have more.
    fn bytes_max(&self) -> (usize, Error) {
        let ratio_max = self
            .bounds
            .ratio_bytes_max(self.bounds.slice_end(self.consumed));
        if ratio_max < self.bounds.message_bytes {
            (ratio_max, Error::InflateRatio)
        } else {
            (self.bounds.message_bytes, Error::MessageTooLarge)
        }
    }
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

pub(super) fn new_inflater() -> Decompress {
    // 15 bits inflate what any smaller window compressed, and only 15 is reset without freeing.
    Decompress::new_with_window_bits(false, 15)
}

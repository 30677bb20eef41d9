//! The compression of one core.
//!
//! There is one context for each direction, which stays in the core's cache, and every message
//! begins with a reset and, with takeover, the connection's window. A context per connection would
//! hold some 300 KiB each; without takeover it is slower, too, as soon as many connections take
//! turns. Only a message that arrives in several reads gets an inflater of its own.

use std::sync::Arc;

use flate2::Decompress;

use super::budget::{InflateBudget, Reservation};
use super::compress::{Compressor, Deflated, Encoder};
use super::inflate::{InflateBounds, Inflated, Inflation, Progress, Reserve, new_inflater};
use super::window::Window;
use crate::Error;

/// Inflated bytes of one message that a core may hold without a reservation: it is taken once,
/// when the codec is made, for the one message that a core handles at a time.
pub const SCRATCH_BYTES: usize = 64 << 10;

/// Inflaters that are kept for messages that arrive in several reads. More are made as needed,
/// within the budget, and freed afterwards.
pub const SPARE_INFLATERS: usize = 8;

/// The codec of one core, shared by all its connections.
#[derive(Debug)]
pub struct Codec {
    inflater: Decompress,
    spare: Vec<Decompress>,
    compressor: Compressor,
    deflated: usize,
    budget: Arc<InflateBudget>,
    _scratch: Reservation,
}

impl Codec {
    /// A codec that compresses with zlib-rs at `level` (0 to 9, see
    /// [`DEFLATE_LEVEL`](super::DEFLATE_LEVEL)).
    #[must_use]
    pub fn new(level: u32, budget: Arc<InflateBudget>) -> Self {
        Self::with_encoder(Encoder::Flate2(level), budget)
    }

    /// A codec that compresses with this encoder.
    #[must_use]
    pub fn with_encoder(encoder: Encoder, budget: Arc<InflateBudget>) -> Self {
        Self {
            inflater: new_inflater(),
            spare: Vec::with_capacity(SPARE_INFLATERS),
            compressor: Compressor::new(encoder),
            deflated: 0,
            _scratch: budget.charge(SCRATCH_BYTES),
            budget,
        }
    }

    /// Inflates a message of which all compressed bytes are at hand, onto the end of `out`.
    ///
    /// `input` is the payload of all its frames, without the tail 00 00 ff ff, which is not sent.
    /// `history` is the connection's inbound window, with takeover; the message is added to it.
    /// `out` grows with what is produced, by at most `bounds.message_bytes` + 1.
    ///
    /// # Errors
    ///
    /// [`Error::MessageTooLarge`], [`Error::InflateRatio`] or [`Error::InflateBudget`] as soon as
    /// that bound is passed, [`Error::DeflateCorrupt`] for what is not deflate, what has been cut
    /// and what has more than [`FINAL_BLOCKS_MAX`](super::FINAL_BLOCKS_MAX) final blocks. `out`
    /// is then as long as it was.
    pub fn inflate(
        &mut self,
        history: Option<&mut Window>,
        input: &[u8],
        bounds: InflateBounds,
        out: &mut Vec<u8>,
    ) -> Result<Inflated, Error> {
        let start = out.len();
        let reserve = Reserve::Above(SCRATCH_BYTES);
        let mut progress = Progress::new(bounds, Reservation::EMPTY, reserve);
        let inflater = &mut self.inflater;
        let result = progress
            .feed(inflater, &self.budget, history.as_deref(), input, out)
            .and_then(|()| progress.finish(inflater, history, out));
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// Begins a message that arrives in pieces.
    ///
    /// # Errors
    ///
    /// [`Error::InflateBudget`] if the process has no room for another inflater.
    pub fn begin(&mut self, bounds: InflateBounds) -> Result<Box<Inflation>, Error> {
        let inflater = self.spare.pop().unwrap_or_else(new_inflater);
        Inflation::new(inflater, bounds, &self.budget)
    }

    /// Ends a message that arrived in pieces and adds it to the history.
    ///
    /// `out` must end with all that [`Inflation::push`] has appended for this message, and
    /// `history` must be the window that was given to it.
    ///
    /// # Errors
    ///
    /// [`Error::InflateRatio`]; [`Error::DeflateCorrupt`] if the message has been cut; the error
    /// of an earlier push.
    pub fn finish(
        &mut self,
        mut inflation: Box<Inflation>,
        history: Option<&mut Window>,
        out: &[u8],
    ) -> Result<Inflated, Error> {
        let result = inflation.finish(history, out);
        self.discard(inflation);
        result
    }

    /// Takes back the inflater of a message that will not be ended. Dropping it instead is legal
    /// and frees the inflater.
    pub fn discard(&mut self, inflation: Box<Inflation>) {
        if self.spare.len() < SPARE_INFLATERS {
            self.spare.push(inflation.inflater);
        }
    }

    /// Appends the compressed payload of one message to `out`, without the tail 00 00 ff ff. An
    /// empty message becomes one byte.
    ///
    /// `window_bits` is the negotiated outbound window. `history` is the connection's outbound
    /// window, with takeover; the message is added to it, so messages must be compressed in the
    /// order in which they are sent. Without history the result may be sent to every connection
    /// with at least this window; those with takeover then [push](Window::push) the message or
    /// [clear](Window::clear) their window.
    ///
    /// # Panics
    ///
    /// If `window_bits` is not 9 to 15, which negotiation never agrees on.
    pub fn deflate(
        &mut self,
        window_bits: u8,
        history: Option<&mut Window>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) {
        self.deflated = self.deflated.wrapping_add(1);
        self.compressor
            .append(window_bits, history.as_deref(), input, out);
        if let Some(history) = history {
            history.push(input);
        }
    }

    /// As [`deflate`](Self::deflate), unless the payload would not be smaller than the message.
    ///
    /// # Panics
    ///
    /// As [`deflate`](Self::deflate).
    pub fn deflate_if_smaller(
        &mut self,
        window_bits: u8,
        history: Option<&mut Window>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Deflated {
        let start = out.len();
        self.deflated = self.deflated.wrapping_add(1);
        self.compressor
            .append(window_bits, history.as_deref(), input, out);
        if out.len().saturating_sub(start) >= input.len() {
            out.truncate(start);
            return Deflated::NotSmaller;
        }
        if let Some(history) = history {
            history.push(input);
        }
        Deflated::Smaller
    }

    /// How many messages were compressed since this was last asked.
    pub const fn take_deflated(&mut self) -> usize {
        std::mem::replace(&mut self.deflated, 0)
    }

    /// The budget that this codec shares with those of other cores.
    #[must_use]
    pub const fn budget(&self) -> &Arc<InflateBudget> {
        &self.budget
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A codec is made where the threads are started and moves to its core, connections with it.
    #[test]
    fn everything_moves_between_threads() {
        fn moves<T: Send>() {}
        moves::<Codec>();
        moves::<Inflation>();
        moves::<Inflated>();
        moves::<Window>();
    }

    #[test]
    fn no_more_than_the_spare_inflaters_are_kept() {
        let budget = InflateBudget::new(InflateBudget::DEFAULT_BYTES);
        let mut codec = Codec::new(1, budget);
        let bounds = InflateBounds::from(&crate::Limits::default());
        let begun: Vec<_> = (0..2 * SPARE_INFLATERS)
            .map(|_| codec.begin(bounds).unwrap())
            .collect();
        for inflation in begun {
            codec.discard(inflation);
        }
        assert_eq!(codec.spare.len(), SPARE_INFLATERS);
        let _inflation = codec.begin(bounds).unwrap();
        assert!(codec.spare.len() < SPARE_INFLATERS);
    }
}

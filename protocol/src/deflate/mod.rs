//! permessage-deflate (RFC 7692).
//!
//! One [`Codec`] per core holds everything that is large. A connection without context takeover
//! keeps nothing, one with takeover a [`Window`] of plain bytes per direction, and a message that
//! arrives in several reads an [`Inflation`]. Output is bounded while it is produced: by the
//! message limit, by the ratio and by the [`InflateBudget`] of the process. flate2 over zlib-rs is
//! known to `inflate`, `compress` and `codec` alone; `compact` is an encoder of our own.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod budget;
mod codec;
mod compact;
mod compress;
mod inflate;
mod params;
mod window;

pub use budget::{InflateBudget, Reservation};
pub use codec::{Codec, SCRATCH_BYTES, SPARE_INFLATERS};
pub use compress::{
    DEFLATE_LEVEL, DEFLATE_THRESHOLD_BYTES, DICTIONARY_BYTES, Deflated, Encoder,
    compressed_bytes_max,
};
pub use inflate::{FINAL_BLOCKS_MAX, INFLATER_BYTES, InflateBounds, Inflated, Inflation};
pub use params::{Agreement, Answer, AnswerError, DeflateConfig, Direction, Takeover};
pub use window::Window;

/// Windows that zlib can do. RFC 7692 also knows 8, which negotiation declines.
const WINDOW_BITS: std::ops::RangeInclusive<u8> = 9..=15;

/// Negotiation never agrees on another window, and the backend would panic without saying why.
fn assert_window_bits(window_bits: u8) {
    assert!(
        WINDOW_BITS.contains(&window_bits),
        "a window of {window_bits} bits was negotiated, which zlib does not have"
    );
}

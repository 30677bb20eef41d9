//! Frames (RFC 6455, section 5.2): two to fourteen bytes of header, then the payload.
//!
//! [`FrameHeader::parse`] looks at bytes and copies none; [`FrameHeader::encode`] is its inverse;
//! [`mask()`] turns a payload into its masked form and back, in place. Nothing here allocates,
//! whatever length a frame announces.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

mod header;
mod mask;

pub use header::{EncodedHeader, FrameHeader, HEADER_BYTES_MAX, OpCode, Reserved};
pub use mask::{mask, unmask_to_front};

/// Bytes that the payload of a control frame may have (RFC 6455, 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

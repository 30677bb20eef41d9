//! The bodies of the fuzz targets. Each takes any bytes and panics if something is wrong; see
//! README.md beside this crate for what each one asserts, and `make fuzz`.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "to panic is what a target is for"
)]

mod deflate_roundtrip;
mod extensions;
mod frame_header;
mod handshake_request;
mod handshake_response;
mod heap;
mod http_head;
mod inflate;
mod input;
mod native;
#[cfg(test)]
mod replay;
mod shard;
mod utf8;
mod websocket;
mod wire;

pub use deflate_roundtrip::deflate_roundtrip;
pub use extensions::extensions;
pub use frame_header::frame_header;
pub use handshake_request::handshake_request;
pub use handshake_response::handshake_response;
pub use http_head::http_head;
pub use inflate::inflate;
pub use native::native;
pub use shard::shard;
pub use utf8::utf8;
pub use websocket::websocket;

/// The program of a target: libFuzzer's under cargo-fuzz, nothing otherwise.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$name(data));
        #[cfg(not(fuzzing))]
        fn main() {}
    };
}

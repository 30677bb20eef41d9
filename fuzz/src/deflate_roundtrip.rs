//! What we compress, inflated by zlib as every peer has it.

use corewire_protocol::deflate::{
    Codec, Deflated, Direction, Encoder, InflateBounds, InflateBudget, Takeover, Window,
    compressed_bytes_max,
};

use crate::input::Input;
use crate::wire::Inflater;

/// Messages of one connection, compressed by either encoder and in any order of calls, come out as
/// they went in: of a zlib with the agreed window, and of our own. None takes more than the
/// announced bound.
pub fn deflate_roundtrip(data: &[u8]) {
    let mut input = Input::new(data);
    let direction = Direction {
        takeover: input.one_of(&[Takeover::No, Takeover::Yes]),
        window_bits: input.one_of(&[9, 10, 11, 12, 13, 14, 15]),
    };
    let encoder = match input.byte() {
        level @ 0..128 => Encoder::Flate2(u32::from(level) % 10),
        128.. => Encoder::Compact,
    };
    let mut codec = Codec::with_encoder(encoder, InflateBudget::new(1 << 24));
    let mut zlib = Inflater::new(direction);
    let mut outbound = Window::outbound(direction);
    let mut inbound = Window::inbound(direction);
    let bounds = InflateBounds {
        message_bytes: 1 << 16,
        ratio: u32::MAX,
        ratio_floor_bytes: 0,
    };
    let mut messages = 0;
    while !input.is_empty() && messages < 16 {
        messages += 1;
        match input.below(16) {
            0 => outbound.iter_mut().for_each(Window::clear),
            1 => outbound.iter_mut().for_each(Window::give_back),
            _ => {}
        }
        let message = input.payload();
        let mut body = b"before".to_vec();
        if input.flag() {
            codec.deflate(
                direction.window_bits,
                outbound.as_mut(),
                &message,
                &mut body,
            );
        } else {
            let bits = direction.window_bits;
            match codec.deflate_if_smaller(bits, outbound.as_mut(), &message, &mut body) {
                Deflated::Smaller => assert!(body.len() - 6 < message.len()),
                Deflated::NotSmaller => {
                    assert_eq!(body, b"before");
                    continue;
                }
            }
        }
        let body = body.strip_prefix(b"before").unwrap();
        assert!(body.len() <= compressed_bytes_max(message.len()));
        assert!(zlib.inflate(body) == message, "zlib reads something else");
        let mut ours = Vec::new();
        let inflated = codec
            .inflate(inbound.as_mut(), body, bounds, &mut ours)
            .unwrap();
        assert!(ours == message, "we read something else");
        assert_eq!(inflated.bytes, message.len());
    }
}

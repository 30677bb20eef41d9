//! permessage-deflate of a kilobyte of JSON, with and without context takeover.

use corewire::protocol::Limits;
use corewire::protocol::deflate::{
    Codec, Direction, Encoder, InflateBounds, InflateBudget, Takeover, Window,
};
use corewire_testkit::material::json;

use crate::{Entry, Piece};

pub(crate) const PIECES: &[Entry] = &[
    ("deflate/alone-1KiB", || {
        deflate(Encoder::default(), Takeover::No)
    }),
    ("deflate/takeover-1KiB", || {
        deflate(Encoder::default(), Takeover::Yes)
    }),
    ("deflate/compact-alone-1KiB", || {
        deflate(Encoder::Compact, Takeover::No)
    }),
    ("deflate/compact-takeover-1KiB", || {
        deflate(Encoder::Compact, Takeover::Yes)
    }),
    ("inflate/alone-1KiB", || inflate(Takeover::No)),
    ("inflate/takeover-1KiB", || inflate(Takeover::Yes)),
];

const MESSAGE_BYTES: usize = 1 << 10;
/// A run takes all of these in turn: with a history, every message costs something else.
const MESSAGES: usize = 16;
const WINDOW_BITS: u8 = 13;

fn direction(takeover: Takeover) -> Direction {
    Direction {
        takeover,
        window_bits: WINDOW_BITS,
    }
}

fn codec(encoder: Encoder) -> Codec {
    Codec::with_encoder(encoder, InflateBudget::new(InflateBudget::DEFAULT_BYTES))
}

fn deflate(encoder: Encoder, takeover: Takeover) -> Piece {
    let messages = json(MESSAGES, MESSAGE_BYTES);
    let mut codec = codec(encoder);
    let mut window = Window::outbound(direction(takeover));
    let mut out = Vec::new();
    Box::new(move || {
        for message in &messages {
            out.clear();
            codec.deflate(WINDOW_BITS, window.as_mut(), message.as_bytes(), &mut out);
            assert!(out.len() < MESSAGE_BYTES / 2, "{} bytes", out.len());
        }
    })
}

fn inflate(takeover: Takeover) -> Piece {
    let messages = json(MESSAGES, MESSAGE_BYTES);
    let mut codec = codec(Encoder::default());
    // What the first message refers to in the first run is not there in the next one, unless the
    // sender has gone around as well.
    let mut sender = Window::outbound(direction(takeover));
    let mut rounds = |codec: &mut Codec| {
        let deflated = messages.iter().map(|message| {
            let mut out = Vec::new();
            codec.deflate(WINDOW_BITS, sender.as_mut(), message.as_bytes(), &mut out);
            out
        });
        deflated.collect::<Vec<_>>()
    };
    let first = rounds(&mut codec);
    let again = rounds(&mut codec);
    let mut window = Window::inbound(direction(takeover));
    let bounds = InflateBounds::from(&Limits::default());
    let mut plain = Vec::new();
    let mut take = move |compressed: &[u8]| {
        plain.clear();
        let inflated = codec.inflate(window.as_mut(), compressed, bounds, &mut plain);
        let _made = inflated.unwrap();
        assert_eq!(plain.len(), MESSAGE_BYTES);
    };
    for compressed in &first {
        take(compressed);
    }
    Box::new(move || {
        for compressed in &again {
            take(compressed);
        }
    })
}

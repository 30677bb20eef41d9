//! Random sessions of a peer: valid ones, and what flipped bits make of them.

use corewire_protocol::deflate::Agreement;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed};

use super::{Frame, RSV1, Zlib, close, continuation, frame, noise, ping, pong};

/// The same cases in every run; a failing one is kept as a test of its own.
pub(crate) fn cases(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(6455),
        ..Config::default()
    }
}

/// A message of any content: short as most are, or long enough to be read in place.
pub(crate) fn content() -> impl Strategy<Value = Content> {
    let short_text = prop::collection::vec(any::<char>(), 0..60);
    let short_bytes = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        6 => short_text.prop_map(|letters| Content::Text(String::from_iter(letters))),
        4 => short_bytes.prop_map(Content::Binary),
        1 => (0..6000_usize, any::<char>())
            .prop_map(|(count, letter)| Content::Text(format!("ab{letter}, cdé").repeat(count))),
        1 => (0..70_000_usize, any::<u16>())
            .prop_map(|(len, seed)| Content::Binary(noise(len, seed.into()))),
    ]
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Text(String),
    Binary(Vec<u8>),
}

impl Content {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// The frames of a peer that keeps to all rules, with compression if that was agreed upon.
pub(crate) fn session(agreement: Option<Agreement>) -> impl Strategy<Value = Vec<Frame>> {
    let fragments = prop::collection::vec(any::<Index>(), 0..4);
    let controls = prop::collection::vec(control(), 0..2);
    let message = (content(), any::<bool>(), fragments, controls);
    let messages = prop::collection::vec(message, 0..8);
    let end = prop::option::of(prop_oneof![
        Just(close(1000, "done")),
        Just(close(4999, "")),
        Just(frame(8, "")),
    ]);
    (messages, end).prop_map(move |(messages, end)| {
        let mut zlib = agreement.map(|agreed| Zlib::peer_of(Some(agreed)));
        let mut frames = Vec::new();
        for (content, deflate, cuts, controls) in messages {
            let (opcode, payload) = match &content {
                Content::Text(text) => (1, text.as_bytes()),
                Content::Binary(bytes) => (2, &bytes[..]),
            };
            match &mut zlib {
                Some(zlib) if deflate => {
                    let payload = zlib.deflate(&[payload]);
                    frames.extend(fragmented(
                        &frame(opcode, payload).rsv(RSV1),
                        &cuts,
                        &controls,
                    ));
                }
                Some(_) | None => {
                    frames.extend(fragmented(&frame(opcode, payload), &cuts, &controls));
                }
            }
        }
        frames.extend(end);
        frames
    })
}

fn control() -> impl Strategy<Value = Frame> {
    let payload = prop::collection::vec(any::<u8>(), 0..=125);
    (payload, any::<bool>()).prop_map(|(payload, asks)| match asks {
        true => ping(payload),
        false => pong(payload),
    })
}

/// The message cut into fragments, with the control frames behind the first of them.
fn fragmented(message: &Frame, cuts: &[Index], controls: &[Frame]) -> Vec<Frame> {
    let payload = &message.payload[..];
    let mut ends: Vec<_> = cuts
        .iter()
        .map(|cut| cut.index(payload.len() + 1))
        .collect();
    ends.sort_unstable();
    let mut frames = Vec::new();
    let mut start = 0;
    for end in ends {
        frames.push(continuation(&payload[start..end]).unfinished());
        start = end;
    }
    frames.push(continuation(&payload[start..]));
    frames[0].opcode = message.opcode;
    frames[0].rsv = message.rsv;
    frames.splice(1..1, controls.iter().cloned());
    frames
}

/// Bits to flip, and where.
pub(crate) fn flips() -> impl Strategy<Value = Vec<(Index, u8)>> {
    prop::collection::vec((any::<Index>(), 0..8_u8), 0..3)
}

pub(crate) fn flip(wire: &mut [u8], flips: &[(Index, u8)]) {
    for (at, bit) in flips {
        if !wire.is_empty() {
            wire[at.index(wire.len())] ^= 1 << bit;
        }
    }
}

//! RFC 7692, 7.2: messages compressed and inflated, and the bounds on them.

use std::sync::Arc;

use corewire_protocol::deflate::{
    Codec, DEFLATE_LEVEL, DICTIONARY_BYTES, Deflated, Direction, Encoder, FINAL_BLOCKS_MAX,
    INFLATER_BYTES, InflateBounds, InflateBudget, Inflated, SCRATCH_BYTES, Takeover, Window,
    compressed_bytes_max,
};
use corewire_protocol::{Error, Limits};
use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

#[path = "rfc7692_codec/naive.rs"]
mod naive;

// The examples of RFC 7692, 7.2.3.

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const HELLO_AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];
const HELLO_STORED: [u8; 11] = [
    0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
];
const HELLO_FINAL: [u8; 8] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
const HELLO_TWO_BLOCKS: [u8; 13] = [
    0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
];

/// 7.2.3.1, 7.2.3.3, 7.2.3.4 and 7.2.3.5.
#[test]
fn every_example_of_hello_inflates_however_it_is_cut() {
    for payload in [&HELLO[..], &HELLO_STORED, &HELLO_FINAL, &HELLO_TWO_BLOCKS] {
        assert_eq!(inflate(payload).unwrap(), b"Hello");
        for cut in 0..=payload.len() {
            let (first, second) = payload.split_at(cut);
            assert_eq!(inflate_pieces(&[first, second]).unwrap(), b"Hello");
        }
    }
}

/// 7.2.3.2.
#[test]
fn a_message_refers_to_the_one_before_it_under_takeover() {
    let mut codec = codec();
    let mut window = Window::inbound(takeover(15)).unwrap();
    for (payload, expected) in [
        (&HELLO[..], "Hello"),
        (&HELLO_AGAIN, "Hello"),
        (&HELLO_FINAL, "Hello"),
        (&HELLO_AGAIN, "Hello"),
    ] {
        let mut out = Vec::new();
        let inflated = codec.inflate(Some(&mut window), payload, WIDE, &mut out);
        assert_eq!(inflated.unwrap().bytes, 5);
        assert_eq!(out, expected.as_bytes());
    }
    assert_eq!(window.parts().concat(), b"HelloHelloHelloHello");
}

#[test]
fn without_takeover_a_reference_to_an_earlier_message_is_corrupt() {
    let mut codec = codec();
    let mut out = Vec::new();
    codec.inflate(None, &HELLO, WIDE, &mut out).unwrap();
    let second = codec.inflate(None, &HELLO_AGAIN, WIDE, &mut out);
    assert_eq!(second.unwrap_err(), Error::DeflateCorrupt);
    assert_eq!(out, b"Hello");
}

/// 7.2.3.6, and a payload of no bytes at all, which zlib takes as well.
#[test]
fn an_empty_message_is_one_byte_and_back() {
    let mut codec = codec();
    let mut window = Window::outbound(takeover(9)).unwrap();
    let mut payload = Vec::new();
    codec.deflate(9, Some(&mut window), b"", &mut payload);
    assert_eq!(payload, [0x00]);
    assert_eq!(inflate(&payload).unwrap(), b"");
    assert_eq!(inflate(b"").unwrap(), b"");
    assert_eq!(inflate_pieces(&[]).unwrap(), b"");
}

#[test]
fn we_compress_hello_as_the_rfc_does() {
    for mut codec in codecs() {
        let mut window = Window::outbound(takeover(15)).unwrap();
        let mut out = b"header".to_vec();
        codec.deflate(15, Some(&mut window), b"Hello", &mut out);
        assert_eq!(out, [&b"header"[..], &HELLO].concat());
        out.clear();
        codec.deflate(15, Some(&mut window), b"Hello", &mut out);
        // Where the RFC has a literal and a match of four bytes, this is one match of five.
        assert_eq!(out, [0x02, 0x13, 0x00, 0x00]);
        assert_eq!(naive::inflate(b"Hello", &out).unwrap().bytes, b"Hello");
        out.clear();
        codec.deflate(15, None, b"Hello", &mut out);
        assert_eq!(out, HELLO);
    }
}

/// 7.2.3.4: final blocks may stand anywhere, and those behind them see what came before.
#[test]
fn a_final_block_ends_a_stream_and_not_the_message() {
    let twice = [&HELLO_FINAL[..7], &HELLO_AGAIN].concat();
    assert_eq!(inflate(&twice).unwrap(), b"HelloHello");
    let without_empty_block = &HELLO_FINAL[..7];
    assert_eq!(inflate(without_empty_block).unwrap(), b"Hello");
    // A final stored block, which the tail completes.
    assert_eq!(inflate(&[0x01]).unwrap(), b"");
    let alternating = [&HELLO_FINAL[..7], &HELLO_TWO_BLOCKS, &[0, 0, 0xff, 0xff]].concat();
    assert_eq!(
        inflate(&[&alternating[..], &HELLO_FINAL].concat()).unwrap(),
        b"HelloHelloHello"
    );
}

#[test]
fn what_follows_a_final_block_sees_the_window_and_the_message() {
    let mut window = Window::inbound(takeover(15)).unwrap();
    window.push(b"Hello");
    // A final block that refers to the window, then a block that refers five bytes back.
    let payload = [&[0xf3, 0x00, 0x11, 0x00][..], &HELLO_AGAIN].concat();
    assert_eq!(
        naive::inflate(b"Hello", &payload).unwrap().bytes,
        b"HelloHello"
    );
    let mut out = Vec::new();
    let inflated = codec().inflate(Some(&mut window), &payload, WIDE, &mut out);
    assert_eq!(inflated.unwrap().bytes, 10);
    assert_eq!(out, b"HelloHello");
    assert_eq!(window.parts().concat(), b"HelloHelloHello");
}

#[test]
fn final_blocks_are_counted_because_each_costs_a_window() {
    let empty_final_block = [0x03, 0x00];
    let most = empty_final_block.repeat(FINAL_BLOCKS_MAX + 1);
    assert_eq!(inflate(&most).unwrap(), b"");
    let more = empty_final_block.repeat(FINAL_BLOCKS_MAX + 2);
    assert_eq!(inflate(&more).unwrap_err(), Error::DeflateCorrupt);
    // One more for each KiB of payload.
    let kibibyte = [&[0x00, 0xfb, 0x03, 0x04, 0xfc][..], &[b'.'; 1019]].concat();
    let paid = [&kibibyte[..], &more].concat();
    assert_eq!(inflate(&paid).unwrap(), vec![b'.'; 1019]);
    let not_paid = [&kibibyte[..], &more, &empty_final_block].concat();
    assert_eq!(inflate(&not_paid).unwrap_err(), Error::DeflateCorrupt);
}

// What is not a message.

#[test]
fn a_message_that_was_cut_is_corrupt() {
    let text = "so that there is a dynamic block: ".repeat(20);
    for (level, first_cut) in [(0, 2), (1, 1), (6, 1)] {
        let payload = reference(text.as_bytes(), level);
        assert_eq!(inflate(&payload).unwrap(), text.as_bytes());
        // The first byte of a stored block alone is the message of no bytes.
        for cut in first_cut..payload.len() {
            let short = &payload[..cut];
            assert_eq!(inflate(short).unwrap_err(), Error::DeflateCorrupt, "{cut}");
        }
    }
    for cut in 1..HELLO_FINAL.len() - 1 {
        assert_eq!(
            inflate(&HELLO_FINAL[..cut]).unwrap_err(),
            Error::DeflateCorrupt
        );
    }
}

#[test]
fn a_message_with_something_behind_it_is_corrupt() {
    for garbage in [&[0x00][..], &[0xff], &[0x00, 0x00, 0xff, 0xff], b"Hello"] {
        let payload = [&HELLO[..], garbage].concat();
        assert_eq!(inflate(&payload).unwrap_err(), Error::DeflateCorrupt);
        let pieces = inflate_pieces(&[&HELLO[..], garbage]);
        assert_eq!(pieces.unwrap_err(), Error::DeflateCorrupt);
    }
}

#[test]
fn a_codec_works_on_after_an_error() {
    let mut codec = codec();
    let mut out = Vec::new();
    for _ in 0..3 {
        let corrupt = codec.inflate(None, &[0xff; 100], WIDE, &mut out);
        assert_eq!(corrupt.unwrap_err(), Error::DeflateCorrupt);
        assert!(out.is_empty());
        codec.inflate(None, &HELLO, WIDE, &mut out).unwrap();
        assert_eq!(out, b"Hello");
        out.clear();
    }
}

#[test]
fn an_inflation_answers_only_its_error_once_it_has_one() {
    let mut codec = codec();
    let mut out = Vec::new();
    let mut inflation = codec.begin(WIDE).unwrap();
    let error = Error::DeflateCorrupt;
    assert_eq!(inflation.push(None, &[0xff], &mut out).unwrap_err(), error);
    assert_eq!(inflation.push(None, &HELLO, &mut out).unwrap_err(), error);
    assert_eq!(inflation.push(None, &[], &mut out).unwrap_err(), error);
    assert_eq!(codec.finish(inflation, None, &out).unwrap_err(), error);
    // The inflater that it gave back is as good as new.
    let mut inflation = codec.begin(WIDE).unwrap();
    assert_eq!(inflation.push(None, &HELLO, &mut out), Ok(5));
    assert_eq!(inflation.bytes(), 5);
    assert_eq!(codec.finish(inflation, None, &out).unwrap().bytes, 5);
}

// Bounds (SECURITY.md, D1 to D3).

const MIB: usize = 1 << 20;

#[test]
fn the_limit_is_exact_to_the_byte() {
    for plain in [vec![0; MIB], noise(MIB)] {
        let payload = reference(&plain, 6);
        let limit = bounds(MIB, u32::MAX);
        assert_eq!(inflate_within(&payload, limit).unwrap(), plain);
        assert_eq!(pieces_within(&[&payload], limit).unwrap(), plain);
        for limit in [MIB - 1, MIB / 2, 1, 0] {
            let limit = bounds(limit, u32::MAX);
            let error = Error::MessageTooLarge;
            assert_eq!(inflate_within(&payload, limit).unwrap_err(), error);
            assert_eq!(pieces_within(&[&payload], limit).unwrap_err(), error);
        }
    }
}

#[test]
fn a_message_over_the_limit_is_never_allocated_beyond_it() {
    let payload = reference(&vec![0; 8 * MIB], 6);
    for limit in [100, 5000, 100_000, MIB] {
        let mut out = Vec::new();
        let inflated = codec().inflate(None, &payload, bounds(limit, u32::MAX), &mut out);
        assert_eq!(inflated.unwrap_err(), Error::MessageTooLarge);
        assert!(out.is_empty() && out.capacity() <= limit + 1);
    }
}

/// What is in the way first is what is said, whatever room the output has.
#[test]
fn a_limit_comes_before_the_damage_behind_it() {
    let invalid_block = 0x06;
    let payload = [&flushed(&noise(100), 0)[..], &[invalid_block]].concat();
    for room in [0, 99, 100, 200] {
        for (limit, error) in [(99, Error::MessageTooLarge), (100, Error::DeflateCorrupt)] {
            let mut out = Vec::with_capacity(room);
            let inflated = codec().inflate(None, &payload, bounds(limit, 1), &mut out);
            assert_eq!(inflated.unwrap_err(), error);
            let pieces: Vec<&[u8]> = payload.chunks(1).collect();
            assert_eq!(pieces_within(&pieces, bounds(limit, 1)), Err(error));
        }
    }
}

#[test]
fn a_bomb_is_stopped_before_its_message_ends() {
    let payload = reference(&vec![0; 8 * MIB], 6);
    let mut codec = codec();
    let mut inflation = codec.begin(bounds(MIB, u32::MAX)).unwrap();
    let mut out = Vec::new();
    let pushed = payload
        .chunks(100)
        .map(|piece| inflation.push(None, piece, &mut out))
        .position(|pushed| pushed == Err(Error::MessageTooLarge));
    assert!(pushed.unwrap() <= payload.len() / 100 / 8 + 1);
    assert!(out.capacity() <= MIB + 1);
}

#[test]
fn a_ratio_is_looked_at_above_its_floor_only() {
    let floor = InflateBounds::from(&Limits::default()).ratio_floor_bytes;
    let bounds = InflateBounds::from(&Limits::default());
    let at_floor = reference(&vec![0; floor], 9);
    assert_eq!(inflate_within(&at_floor, bounds).unwrap().len(), floor);
    let above = reference(&vec![0; floor + 1], 9);
    let error = Error::InflateRatio;
    assert_eq!(inflate_within(&above, bounds).unwrap_err(), error);
    assert_eq!(pieces_within(&[&above], bounds).unwrap_err(), error);
}

#[test]
fn a_ratio_is_exact_at_the_end_of_a_message() {
    let bounds = InflateBounds {
        message_bytes: MIB,
        ratio: 20,
        ratio_floor_bytes: 0,
    };
    let at_ratio = padded(flushed(&vec![0; 20 * 500], 9), 500);
    assert_eq!(inflate_within(&at_ratio, bounds).unwrap().len(), 10_000);
    let above = padded(flushed(&vec![0; 20 * 500 + 1], 9), 500);
    let error = Error::InflateRatio;
    assert_eq!(inflate_within(&above, bounds).unwrap_err(), error);
    assert_eq!(pieces_within(&[&above], bounds).unwrap_err(), error);
}

/// What comes later cannot make good for a bomb at the beginning.
#[test]
fn a_ratio_is_looked_at_when_the_compressed_bytes_have_doubled() {
    let bounds = InflateBounds {
        message_bytes: MIB,
        ratio: 20,
        ratio_floor_bytes: 0,
    };
    for (bytes, allowed) in [(20 << 10, true), ((20 << 10) + 1, false)] {
        let payload = padded(flushed(&vec![0; bytes], 9), 2000);
        let result = inflate_within(&payload, bounds);
        assert_eq!(result.is_ok(), allowed, "{:?}", result.err());
    }
}

#[test]
fn a_small_bomb_is_bounded_by_its_first_kibibyte() {
    let payload = reference(&vec![0; MIB - 1], 9);
    let mut out = Vec::new();
    let bounds = InflateBounds::from(&Limits::default());
    let inflated = codec().inflate(None, &payload, bounds, &mut out);
    assert_eq!(inflated.unwrap_err(), Error::InflateRatio);
    assert!(out.capacity() <= 1024 * 100 + 1, "{}", out.capacity());
}

#[test]
fn compressed_bytes_that_become_nothing_are_bounded_too() {
    let limit = bounds(1000, 100);
    let empty_block = [0x00, 0x00, 0x00, 0xff, 0xff];
    let blocks = compressed_bytes_max(1000) / empty_block.len();
    let most = [&empty_block.repeat(blocks)[..], &[0x00]].concat();
    assert_eq!(inflate_within(&most, limit).unwrap(), b"");
    let more = empty_block.repeat(blocks + 1);
    assert_eq!(
        inflate_within(&more, limit).unwrap_err(),
        Error::MessageTooLarge
    );
}

#[test]
fn a_message_that_does_not_compress_fits_the_bound_on_compressed_bytes() {
    for bytes in [0, 1, 10, 1000, 100_000, MIB] {
        for encoder in (0..=9).map(Encoder::Flate2).chain([Encoder::Compact]) {
            let mut payload = Vec::new();
            let mut codec = Codec::with_encoder(encoder, InflateBudget::new(MIB));
            let plain = vec![0xee; bytes];
            codec.deflate(9, None, &noise(bytes), &mut payload);
            codec.deflate(15, None, &plain, &mut Vec::new());
            assert!(payload.len() <= compressed_bytes_max(bytes));
            assert!(inflate_within(&payload, bounds(bytes, 1)).is_ok());
        }
    }
}

// The budget of the process (SECURITY.md, D3).

#[test]
fn fifty_bombs_at_once_stay_within_the_budget() {
    let budget = InflateBudget::new(8 * MIB);
    let mut codec = Codec::new(DEFLATE_LEVEL, Arc::clone(&budget));
    let payload = reference(&vec![0; MIB], 6);
    let mut bombs: Vec<_> = (0..50)
        .map(|_| (codec.begin(bounds(MIB, u32::MAX)).unwrap(), Vec::new()))
        .collect();
    let mut refused = 0;
    for piece in payload.chunks(64) {
        let mut held = 50 * INFLATER_BYTES + SCRATCH_BYTES;
        for (inflation, out) in &mut bombs {
            match inflation.push(None, piece, out) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error, Error::InflateBudget);
                    refused += 1;
                }
            }
            held += out.capacity();
        }
        assert!(held <= budget.held() && budget.held() <= budget.bytes_max());
    }
    assert!(refused > 40);
    drop(bombs);
    assert_eq!(budget.held(), SCRATCH_BYTES);
    drop(codec);
    assert_eq!(budget.held(), 0);
}

#[test]
fn an_inflater_is_taken_from_the_budget() {
    let budget = InflateBudget::new(2 * INFLATER_BYTES + SCRATCH_BYTES);
    let mut codec = Codec::new(DEFLATE_LEVEL, Arc::clone(&budget));
    let first = codec.begin(WIDE).unwrap();
    let second = codec.begin(WIDE).unwrap();
    assert_eq!(codec.begin(WIDE).unwrap_err(), Error::InflateBudget);
    drop(first);
    codec.discard(second);
    assert_eq!(budget.held(), SCRATCH_BYTES);
}

#[test]
fn the_budget_is_given_back_after_success_and_error() {
    let budget = InflateBudget::new(4 * MIB);
    let mut codec = Codec::new(DEFLATE_LEVEL, Arc::clone(&budget));
    let large = reference(&noise(MIB), 1);
    let mut corrupt = large.clone();
    corrupt.truncate(large.len() - 1);
    let mut out = Vec::new();
    let inflated = codec.inflate(None, &large, bounds(MIB, 100), &mut out);
    let held = budget.held();
    assert!(held >= MIB, "held as long as the bytes: {held}");
    drop(inflated);
    assert_eq!(budget.held(), SCRATCH_BYTES);
    for (payload, limit) in [(&corrupt, MIB), (&large, MIB - 1)] {
        let inflated = codec.inflate(None, payload, bounds(limit, 100), &mut out);
        assert!(inflated.is_err());
        assert_eq!(budget.held(), SCRATCH_BYTES);
    }
    let mut inflation = codec.begin(bounds(MIB, 100)).unwrap();
    inflation.push(None, &large, &mut out).unwrap();
    let inflated = codec.finish(inflation, None, &out).unwrap();
    assert!(budget.held() >= MIB);
    drop(inflated);
    assert_eq!(budget.held(), SCRATCH_BYTES);
}

#[test]
fn a_message_that_fits_the_scratch_needs_no_reservation() {
    let budget = InflateBudget::new(0);
    let mut codec = Codec::new(DEFLATE_LEVEL, budget);
    let mut out = Vec::new();
    let payload = reference(&noise(SCRATCH_BYTES), 1);
    // One byte of room is made before a message is known to end.
    out.reserve_exact(SCRATCH_BYTES + 1);
    let inflated = codec.inflate(None, &payload, WIDE, &mut out).unwrap();
    assert_eq!(inflated.bytes, SCRATCH_BYTES);
    assert_eq!(inflated.reservation.bytes(), 0);
    let payload = reference(&noise(SCRATCH_BYTES + 1), 1);
    let inflated = codec.inflate(None, &payload, WIDE, &mut out);
    assert_eq!(inflated.unwrap_err(), Error::InflateBudget);
}

// Compressing.

#[test]
fn what_does_not_get_smaller_leaves_history_and_output_alone() {
    let mut codec = codec();
    let mut window = Window::outbound(takeover(13)).unwrap();
    let mut out = b"header".to_vec();
    let deflated = codec.deflate_if_smaller(13, Some(&mut window), &noise(500), &mut out);
    assert_eq!(deflated, Deflated::NotSmaller);
    assert_eq!(out, b"header");
    assert!(window.is_empty());
    let deflated = codec.deflate_if_smaller(13, Some(&mut window), &[7; 500], &mut out);
    assert_eq!(deflated, Deflated::Smaller);
    assert_eq!(window.len(), 500);
}

#[test]
fn a_message_compressed_for_all_fits_between_those_of_one_connection() {
    for mut codec in codecs() {
        let mut outbound = Window::outbound(takeover(10)).unwrap();
        let mut inbound = Window::inbound(takeover(10)).unwrap();
        let text = b"the same words in every message of this connection";
        let mut receive = |codec: &mut Codec, payload: &[u8], expected: &[u8]| {
            let mut out = Vec::new();
            let inflated = codec.inflate(Some(&mut inbound), payload, WIDE, &mut out);
            assert_eq!(inflated.unwrap().bytes, expected.len());
            assert_eq!(out, expected);
        };
        for round in 0..40 {
            let mut own = Vec::new();
            codec.deflate(10, Some(&mut outbound), text, &mut own);
            receive(&mut codec, &own, text);
            let mut shared = Vec::new();
            codec.deflate(9, None, b"the same words for everyone", &mut shared);
            receive(&mut codec, &shared, b"the same words for everyone");
            match round % 3 {
                0 => outbound.clear(),
                1 => outbound.give_back(),
                _ => outbound.push(b"the same words for everyone"),
            }
        }
    }
}

#[test]
fn history_makes_messages_smaller() {
    let mut codec = codec();
    let mut window = Window::outbound(takeover(13)).unwrap();
    let text = b"{\"type\":\"update\",\"user\":\"alice\",\"price\":17.25,\"active\":true}";
    let mut first = Vec::new();
    codec.deflate(13, Some(&mut window), text, &mut first);
    let mut second = Vec::new();
    codec.deflate(13, Some(&mut window), text, &mut second);
    assert!(second.len() * 4 < first.len());
    assert!(window.memory_bytes() <= DICTIONARY_BYTES);
}

// Properties.

proptest! {
    /// What we send is deflate, refers to nothing outside the negotiated window, and comes back.
    #[test]
    fn messages_come_back_from_every_window(
        encoder in prop_oneof![Just(Encoder::Flate2(DEFLATE_LEVEL)), Just(Encoder::Compact)],
        window_bits in 9_u8..=15,
        takes_over in any::<bool>(),
        messages in prop::collection::vec(text(3000), 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let direction = if takes_over { takeover(window_bits) } else { alone(window_bits) };
        let mut outbound = Window::outbound(direction);
        let mut inbound = Window::inbound(direction);
        let mut inbound_pieces = Window::inbound(direction);
        let mut codec = codec_with(encoder);
        let mut history = Vec::new();
        for message in &messages {
            let mut payload = Vec::new();
            codec.deflate(window_bits, outbound.as_mut(), message, &mut payload);

            let naive = naive::inflate(&history, &payload).unwrap();
            prop_assert_eq!(&naive.bytes, message);
            prop_assert!(naive.distance_max <= 1 << window_bits);

            let mut out = Vec::new();
            codec.inflate(inbound.as_mut(), &payload, WIDE, &mut out).unwrap();
            prop_assert_eq!(&out, message);
            let pieces = split(&payload, &cuts);
            let whole = push_all(&mut codec, inbound_pieces.as_mut(), &pieces, WIDE).unwrap();
            prop_assert_eq!(&whole, message);
            if takes_over {
                history.extend_from_slice(message);
                let window = inbound.as_ref().unwrap().parts().concat();
                prop_assert!(history.ends_with(&window));
                prop_assert_eq!(window.len(), history.len().min(1 << window_bits));
                prop_assert_eq!(window, inbound_pieces.as_ref().unwrap().parts().concat());
            }
        }
    }

    /// The verdict and the bytes do not depend on how a message is cut, whatever the bounds.
    #[test]
    fn every_split_has_the_same_verdict(
        payload in payload(),
        history in text(600),
        message_bytes in prop_oneof![0_usize..300, 0_usize..60_000],
        ratio in 1_u32..60,
        ratio_floor_bytes in prop_oneof![Just(0), 0_usize..5000],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        room in 0_usize..6000,
    ) {
        let bounds = InflateBounds { message_bytes, ratio, ratio_floor_bytes };
        let mut codec = codec();
        let mut windows = [(); 3].map(|()| {
            let mut window = Window::inbound(takeover(9)).unwrap();
            window.push(&history);
            window
        });
        let [whole_window, split_window, bytes_window] = &mut windows;
        let mut out = b"before".to_vec();
        out.reserve_exact(room);
        let whole = codec
            .inflate(Some(whole_window), &payload, bounds, &mut out)
            .map(|inflated: Inflated| inflated.bytes);
        let bytes = out.split_off(6);
        prop_assert_eq!(whole.unwrap_or(0), bytes.len());
        let whole = whole.map(|_| bytes);

        let pieces = split(&payload, &cuts);
        let cut = push_all(&mut codec, Some(split_window), &pieces, bounds);
        prop_assert_eq!(&cut, &whole);
        let pieces: Vec<&[u8]> = payload.chunks(1).collect();
        let cut = push_all(&mut codec, Some(bytes_window), &pieces, bounds);
        prop_assert_eq!(&cut, &whole);
        let [whole_window, split_window, bytes_window] = windows.map(|w| w.parts().concat());
        prop_assert_eq!(&whole_window, &split_window);
        prop_assert_eq!(&whole_window, &bytes_window);
    }

    /// Valid, damaged and random payloads: the naive inflater agrees about each.
    #[test]
    fn the_naive_inflater_agrees(payload in payload(), history in text(600)) {
        let mut window = Window::inbound(takeover(15)).unwrap();
        window.push(&history);
        let mut out = Vec::new();
        let inflated = codec().inflate(Some(&mut window), &payload, WIDE, &mut out);
        match naive::inflate(&history, &payload) {
            Some(message) => {
                prop_assert_eq!(inflated.map(|inflated| inflated.bytes), Ok(message.bytes.len()));
                prop_assert_eq!(out, message.bytes);
            }
            None => prop_assert_eq!(inflated.unwrap_err(), Error::DeflateCorrupt),
        }
    }
}

/// Words, so that there is something to refer to, and now and then noise or a long run.
fn text(bytes_max: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec!["user", "price", "\":\"", "},{", "alice", "0", "true"])
            .prop_map(|word| word.as_bytes().to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 0_usize..2000).prop_map(|(byte, count)| vec![byte; count]),
    ];
    prop::collection::vec(piece, 0..80).prop_map(move |pieces| {
        let mut text = pieces.concat();
        text.truncate(bytes_max);
        text
    })
}

/// Payloads as other implementations make them; some of them damaged, some nothing but noise.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let damaged = (
        sound(),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(mut payload, changes, end, cut)| {
            for (at, change) in changes {
                if !payload.is_empty() {
                    let at = at.index(payload.len());
                    payload[at] ^= change;
                }
            }
            if cut {
                payload.truncate(end.index(payload.len() + 1));
            }
            payload
        });
    prop_oneof![
        2 => sound(),
        3 => damaged,
        2 => prop::collection::vec(any::<u8>(), 0..80),
        1 => prop::collection::vec(0_u8..8, 0..80),
    ]
}

/// Every kind of block, several flushes, final blocks.
fn sound() -> impl Strategy<Value = Vec<u8>> {
    let block = (text(4000), 0_u32..=9, any::<bool>()).prop_map(|(text, level, last)| {
        if last {
            finished(&text, level)
        } else {
            flushed(&text, level)
        }
    });
    (prop::collection::vec(block, 0..4), any::<bool>()).prop_map(|(blocks, ends)| {
        let mut payload = blocks.concat();
        if ends {
            payload.push(0x00);
        }
        payload
    })
}

const WIDE: InflateBounds = InflateBounds {
    message_bytes: 64 << 20,
    ratio: u32::MAX,
    ratio_floor_bytes: 0,
};

fn bounds(message_bytes: usize, ratio: u32) -> InflateBounds {
    InflateBounds {
        message_bytes,
        ratio,
        ratio_floor_bytes: 64 << 10,
    }
}

fn takeover(window_bits: u8) -> Direction {
    Direction {
        takeover: Takeover::Yes,
        window_bits,
    }
}

fn alone(window_bits: u8) -> Direction {
    Direction {
        takeover: Takeover::No,
        window_bits,
    }
}

fn codec() -> Codec {
    codec_with(Encoder::Flate2(DEFLATE_LEVEL))
}

fn codecs() -> [Codec; 2] {
    [Encoder::Flate2(DEFLATE_LEVEL), Encoder::Compact].map(codec_with)
}

fn codec_with(encoder: Encoder) -> Codec {
    Codec::with_encoder(encoder, InflateBudget::new(InflateBudget::DEFAULT_BYTES))
}

fn inflate(payload: &[u8]) -> Result<Vec<u8>, Error> {
    inflate_within(payload, WIDE)
}

fn inflate_within(payload: &[u8], bounds: InflateBounds) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let inflated = codec().inflate(None, payload, bounds, &mut out)?;
    expect_bytes(inflated.bytes, &out);
    Ok(out)
}

fn expect_bytes(bytes: usize, out: &[u8]) {
    assert_eq!(bytes, out.len());
}

fn inflate_pieces(pieces: &[&[u8]]) -> Result<Vec<u8>, Error> {
    pieces_within(pieces, WIDE)
}

fn pieces_within(pieces: &[&[u8]], bounds: InflateBounds) -> Result<Vec<u8>, Error> {
    push_all(&mut codec(), None, pieces, bounds)
}

fn push_all(
    codec: &mut Codec,
    history: Option<&mut Window>,
    pieces: &[&[u8]],
    bounds: InflateBounds,
) -> Result<Vec<u8>, Error> {
    let mut out = b"before".to_vec();
    let mut inflation = codec.begin(bounds)?;
    let mut produced = 0;
    for piece in pieces {
        produced += inflation.push(history.as_deref(), piece, &mut out)?;
    }
    let inflated = codec.finish(inflation, history, &out)?;
    expect_bytes(inflated.bytes, &out[6..]);
    expect_bytes(produced, &out[6..]);
    Ok(out.split_off(6))
}

fn split<'a>(payload: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|at| at.index(payload.len() + 1)).collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for cut in cuts {
        pieces.push(&payload[from..cut]);
        from = cut;
    }
    pieces.push(&payload[from..]);
    pieces
}

/// A whole message as flate2 makes it.
fn reference(plain: &[u8], level: u32) -> Vec<u8> {
    let mut payload = flushed(plain, level);
    payload.truncate(payload.len() - 4);
    payload
}

/// Blocks that end with a sync flush, its tail included.
fn flushed(plain: &[u8], level: u32) -> Vec<u8> {
    compress(plain, level, FlushCompress::Sync)
}

/// Blocks of which the last is final.
fn finished(plain: &[u8], level: u32) -> Vec<u8> {
    compress(plain, level, FlushCompress::Finish)
}

fn compress(plain: &[u8], level: u32, flush: FlushCompress) -> Vec<u8> {
    let mut deflater = Compress::new_with_window_bits(Compression::new(level), false, 9);
    let mut out = Vec::with_capacity(compressed_bytes_max(plain.len()));
    deflater
        .compress_vec(plain, &mut out, flush)
        .expect("a new deflater");
    assert_eq!(deflater.total_in(), plain.len() as u64);
    out
}

/// `blocks` and then blocks of no bytes, up to a message of `bytes` compressed bytes.
fn padded(mut blocks: Vec<u8>, bytes: usize) -> Vec<u8> {
    while !(bytes - 1 - blocks.len()).is_multiple_of(5) {
        blocks.extend([0x03, 0x00]);
    }
    while blocks.len() < bytes - 1 {
        blocks.extend([0x00, 0x00, 0x00, 0xff, 0xff]);
    }
    blocks.push(0x00);
    blocks
}

/// Bytes that do not compress, the same every time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

//! Our own encoder of deflate: what it writes is read by zlib, by our inflater and bit by bit, at
//! every window, and it is small.

use corewire_protocol::deflate::{
    Codec, DICTIONARY_BYTES, Direction, Encoder, InflateBounds, InflateBudget, Takeover, Window,
};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use proptest::prelude::*;

#[path = "rfc7692_codec/naive.rs"]
mod naive;

const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
const KIB: usize = 1 << 10;

// What it writes.

#[test]
fn what_is_written_depends_on_the_message_and_its_history_alone() {
    let mut codec = codec();
    let mut window = Window::outbound(direction(Takeover::Yes, 12)).unwrap();
    window.push(&words(1, 800));
    for bytes in [10, 300, 4 * KIB, 100 * KIB] {
        let message = words(2, bytes);
        for other in [noise(9), words(3, 70 * KIB), vec![0; 30 * KIB]] {
            codec.deflate(15, None, &other, &mut Vec::new());
            for history in [None, Some(&window)] {
                let again = deflate(&mut codec, 12, history, &message);
                assert_eq!(again, deflate(&mut self::codec(), 12, history, &message));
            }
        }
    }
}

#[test]
fn noise_is_stored_and_gets_five_bytes_longer_a_block() {
    for (bytes, blocks) in [
        (100, 1),
        (KIB, 1),
        (32 * KIB, 1),
        (33 * KIB, 2),
        (97 * KIB, 4),
    ] {
        let payload = deflate(&mut codec(), 15, None, &noise(bytes));
        assert_eq!(payload.len(), bytes + 5 * blocks + 1, "{bytes}");
        assert_eq!(naive::inflate(&[], &payload).unwrap().bytes, noise(bytes));
    }
}

#[test]
fn text_behind_noise_is_compressed_again() {
    let message = [noise(20 * KIB), words(1, 40 * KIB), noise(20 * KIB)].concat();
    let payload = deflate(&mut codec(), 13, None, &message);
    assert_reads(13, &payload, &message);
    assert!(payload.len() < 58 * KIB, "{}", payload.len());
}

/// Noise that comes again can only be a match of this one distance.
#[test]
fn a_match_reaches_back_as_far_as_the_window_and_no_further() {
    for window_bits in 9..=15 {
        let window = 1 << window_bits;
        for (distance, reached) in [(window - 1, true), (window, true), (window + 1, false)] {
            let once = noise(distance);
            let message = [&once[..], &once].concat();
            let payload = deflate(&mut codec(), window_bits, None, &message);
            let read = assert_reads(window_bits, &payload, &message);
            assert_eq!(read == distance, reached, "{window_bits} bits: {read}");
        }
    }
}

#[test]
fn a_message_refers_to_its_whole_history() {
    for (window_bits, bytes) in [(9, 512), (10, DICTIONARY_BYTES), (15, DICTIONARY_BYTES)] {
        let mut window = Window::outbound(direction(Takeover::Yes, window_bits)).unwrap();
        window.push(&words(1, 3 * KIB));
        let history = noise(bytes);
        window.push(&history);
        let payload = deflate(&mut codec(), window_bits, Some(&window), &history);
        let read = naive::inflate(&history, &payload).unwrap();
        assert_eq!(read.bytes, history);
        assert_eq!(read.distance_max, bytes);
        assert!(payload.len() < bytes / 20, "{}", payload.len());
    }
}

#[test]
fn long_runs_are_long_matches() {
    for bytes in [5, 258, 259, 1000, 70 * KIB, 1 << 20] {
        let message = vec![b'x'; bytes];
        let payload = deflate(&mut codec(), 9, None, &message);
        assert_reads(9, &payload, &message);
        assert!(
            payload.len() <= 11 + bytes / 500,
            "{bytes}: {}",
            payload.len()
        );
    }
}

#[test]
fn every_short_message_comes_back() {
    for bytes in 1..=80 {
        for message in [words(bytes, bytes), noise(bytes), vec![0xff; bytes]] {
            assert_reads(9, &deflate(&mut codec(), 9, None, &message), &message);
        }
    }
}

/// Few words in many places are the worst for three candidates: of a long text level 6 makes less.
#[test]
fn short_texts_are_as_short_as_level_6_of_zlib_makes_them_and_long_ones_shorter_than_level_1() {
    for bytes in [200, KIB, 4 * KIB, 16 * KIB, 100 * KIB] {
        let (mut ours, mut theirs, mut fast) = (0, 0, 0);
        for seed in 0..10 {
            let message = words(seed, bytes);
            ours += deflate(&mut codec(), 13, None, &message).len();
            theirs += zlib(6, &message).len();
            fast += zlib(1, &message).len();
        }
        assert!(
            bytes > KIB || ours * 100 <= theirs * 102,
            "{bytes}: {ours} and {theirs}"
        );
        let part = if bytes < KIB { 90 } else { 80 };
        assert!(ours * 100 <= fast * part, "{bytes}: {ours} and {fast}");
    }
}

// Whatever is sent.

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Messages with and without history, shared ones between them, on one connection.
    #[test]
    fn all_messages_of_a_connection_come_back(
        window_bits in 9_u8..=15,
        takes_over in any::<bool>(),
        messages in prop::collection::vec((message(), 0_u8..6), 1..8),
    ) {
        let takeover = if takes_over { Takeover::Yes } else { Takeover::No };
        let direction = direction(takeover, window_bits);
        let mut codec = codec();
        let mut zlib = Decompress::new_with_window_bits(false, window_bits);
        let mut outbound = Window::outbound(direction);
        let mut inbound = Window::inbound(direction);
        let mut history = Vec::new();
        for (message, step) in &messages {
            let mut payload = Vec::new();
            if *step == 0 {
                // Compressed for everybody, in the smallest window.
                codec.deflate(9, None, message, &mut payload);
                outbound.iter_mut().for_each(|window| window.push(message));
            } else {
                codec.deflate(window_bits, outbound.as_mut(), message, &mut payload);
            }
            match step {
                1 => outbound.iter_mut().for_each(Window::clear),
                2 => outbound.iter_mut().for_each(Window::give_back),
                _ => {}
            }
            let naive = naive::inflate(&history, &payload).expect("it is deflate");
            prop_assert!(naive.bytes == *message);
            prop_assert!(naive.distance_max <= 1 << window_bits);
            if takes_over {
                history.extend_from_slice(message);
            } else {
                zlib.reset(false);
            }
            prop_assert!(inflate(&mut zlib, &payload) == *message);
            let mut ours = Vec::new();
            codec.inflate(inbound.as_mut(), &payload, WIDE, &mut ours).unwrap();
            prop_assert!(ours == *message);
        }
    }
}

/// Words, noise and runs, a little or more than a block of each.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![8 => 0_usize..40, 6 => 0_usize..2000, 1 => 0_usize..60_000];
    let piece = (0_usize..4, any::<u8>(), bytes).prop_map(|(kind, seed, bytes)| match kind {
        0 => noise(bytes),
        1 => vec![seed; bytes],
        _ => words(usize::from(seed), bytes),
    });
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

const WIDE: InflateBounds = InflateBounds {
    message_bytes: 64 << 20,
    ratio: u32::MAX,
    ratio_floor_bytes: 0,
};

fn codec() -> Codec {
    Codec::with_encoder(Encoder::Compact, InflateBudget::new(64 << 20))
}

const fn direction(takeover: Takeover, window_bits: u8) -> Direction {
    Direction {
        takeover,
        window_bits,
    }
}

/// The payload of a message, behind a copy of that history.
fn deflate(
    codec: &mut Codec,
    window_bits: u8,
    history: Option<&Window>,
    message: &[u8],
) -> Vec<u8> {
    let mut copy = history.map(|history| {
        let copy = Window::outbound(direction(Takeover::Yes, window_bits));
        let mut copy = copy.expect("there is takeover");
        history.parts().iter().for_each(|part| copy.push(part));
        copy
    });
    let mut payload = Vec::new();
    codec.deflate(window_bits, copy.as_mut(), message, &mut payload);
    payload
}

/// Everybody reads the message, and that far it refers back.
#[track_caller]
fn assert_reads(window_bits: u8, payload: &[u8], message: &[u8]) -> usize {
    let naive = naive::inflate(&[], payload).expect("it is deflate");
    assert!(naive.bytes == message, "it is another message");
    assert!(naive.distance_max <= 1 << window_bits);
    let mut zlib = Decompress::new_with_window_bits(false, window_bits);
    assert!(inflate(&mut zlib, payload) == message, "zlib reads another");
    let mut ours = Vec::new();
    let inflated = codec().inflate(None, payload, WIDE, &mut ours);
    inflated.expect("what we compress inflates");
    assert!(ours == message, "we read another message");
    naive.distance_max
}

fn inflate(zlib: &mut Decompress, payload: &[u8]) -> Vec<u8> {
    let input = [payload, &TAIL].concat();
    let (mut rest, mut out) = (&input[..], Vec::new());
    loop {
        // Little by little: within one call zlib would take a distance beyond its window.
        let mut some = [0; 256];
        let before = (zlib.total_in(), zlib.total_out());
        let status = zlib
            .decompress(rest, &mut some, FlushDecompress::Sync)
            .expect("what we compress inflates");
        assert_ne!(status, Status::StreamEnd, "we send no final blocks");
        let taken = usize::try_from(zlib.total_in() - before.0).expect("few");
        let made = usize::try_from(zlib.total_out() - before.1).expect("few");
        rest = &rest[taken..];
        out.extend_from_slice(&some[..made]);
        if rest.is_empty() && made < some.len() {
            return out;
        }
    }
}

/// What zlib-rs makes of a message.
fn zlib(level: u32, message: &[u8]) -> Vec<u8> {
    let mut deflater = Compress::new_with_window_bits(Compression::new(level), false, 13);
    let mut out = Vec::with_capacity(2 * message.len() + 100);
    deflater
        .compress_vec(message, &mut out, FlushCompress::Sync)
        .expect("a new deflater");
    out.truncate(out.len() - TAIL.len());
    out
}

/// JSON, as it were.
fn words(seed: usize, bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 24] = [
        "{\"id\":",
        "\"user\":\"",
        "\",\"text\":\"",
        "},",
        "the ",
        "market ",
        "opens ",
        "at ",
        "nine ",
        "and ",
        "closes ",
        "when ",
        "trading ",
        "has ",
        "ended",
        "1",
        "27",
        "903",
        "true",
        "null",
        ",",
        "please ",
        "wait ",
        "again ",
    ];
    let mut random = Random(seed as u64 + 1);
    let words = std::iter::repeat_with(|| WORDS[random.next() as usize % WORDS.len()].bytes());
    words.flatten().take(bytes).collect()
}

/// Bytes that do not compress, the same every time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    std::iter::repeat_with(|| random.next())
        .take(bytes)
        .collect()
}

/// xorshift64, of which one byte is given at a time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_le_bytes()[3]
    }
}

//! Frames: headers, masks, UTF-8, and streams of them.

use std::hint::black_box;

use corewire::protocol::Role;
use corewire::protocol::frame::{FrameHeader, OpCode, Reserved, mask};
use corewire::protocol::utf8::validate;
use corewire_testkit::Receiver;
use corewire_testkit::frames::{self, Fin, KEY};
use corewire_testkit::material::{ascii, mixed};
use corewire_testkit::receiver::Received;

use crate::{Entry, Piece};

pub(crate) const PIECES: &[Entry] = &[
    ("header/64B-100-times", || headers(64)),
    ("header/1KiB-100-times", || headers(1 << 10)),
    ("header/1MiB-100-times", || headers(1 << 20)),
    ("mask/64B-100-times", || masks(64)),
    ("mask/1KiB-100-times", || masks(1 << 10)),
    ("mask/16KiB-100-times", || masks(16 << 10)),
    ("utf8/ascii-1KiB-100-times", || texts(&ascii(1 << 10))),
    ("utf8/mixed-1KiB-100-times", || texts(&mixed(1 << 10))),
    ("decode/900-binary-of-64B", || whole_frames(OpCode::Binary)),
    ("decode/900-text-of-64B", || whole_frames(OpCode::Text)),
    ("assemble/16KiB-in-16-fragments", || fragments(16)),
    ("assemble/16KiB-in-256-fragments", || fragments(256)),
];

/// Repetitions of what is too short to be compared by itself.
const TIMES: usize = 100;
const BUFFER_BYTES: usize = 64 << 10;
const FRAMES: usize = 900;
const FRAGMENTED_BYTES: usize = 16 << 10;

fn headers(payload_bytes: u64) -> Piece {
    let header = frames::header(OpCode::Binary, Fin::Last, payload_bytes);
    Box::new(move || {
        for _ in 0..TIMES {
            let bytes = black_box(&header);
            let parsed = FrameHeader::parse(bytes, Role::Server, Reserved::AllZero);
            let (parsed, len) = parsed.unwrap().unwrap();
            assert_eq!((parsed.payload_bytes, len), (payload_bytes, header.len()));
        }
    })
}

fn masks(bytes: usize) -> Piece {
    let plain = ascii(bytes).into_bytes();
    let mut payload = plain.clone();
    Box::new(move || {
        for _ in 0..TIMES {
            mask(black_box(&mut payload), black_box(KEY), 0);
        }
        // An even number of times: it is plain again.
        assert_eq!(payload[bytes - 1], plain[bytes - 1]);
    })
}

fn texts(text: &str) -> Piece {
    let text = text.as_bytes().to_vec();
    Box::new(move || {
        for _ in 0..TIMES {
            assert!(validate(black_box(&text)).is_ok());
        }
    })
}

/// Messages of one frame each, in one read.
fn whole_frames(opcode: OpCode) -> Piece {
    let frame = frames::frame(opcode, Fin::Last, ascii(64).as_bytes());
    let right = Received {
        messages: FRAMES,
        bytes: 64 * FRAMES,
    };
    received(frames::repeated(&frame, FRAMES), right)
}

/// One message in fragments, in one read.
fn fragments(count: usize) -> Piece {
    let message = ascii(FRAGMENTED_BYTES);
    let stream = frames::fragmented(OpCode::Text, message.as_bytes(), count);
    let right = Received {
        messages: 1,
        bytes: FRAGMENTED_BYTES,
    };
    received(stream, right)
}

fn received(stream: Vec<u8>, right: Received) -> Piece {
    let mut receiver = Receiver::new(BUFFER_BYTES);
    Box::new(move || assert_eq!(receiver.receive(black_box(&stream)), right))
}

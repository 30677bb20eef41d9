//! Whole turns of a core's machine, and the handshake by itself.

use std::hint::black_box;

use corewire::protocol::handshake::{
    ExtraHeaders, HeadScanner, HeaderSpace, RequestHead, UpgradeOptions, upgrade,
};
use corewire::protocol::{Limits, PreparedMessage};
use corewire_testkit::apps::{Burst, Channel, Echo, Ticking};
use corewire_testkit::material::{BROWSER_HEADERS, ascii, json};
use corewire_testkit::peer::upgrade_request;
use corewire_testkit::{Bare, frames};

use crate::{Entry, Piece};

pub(crate) const PIECES: &[Entry] = &[
    ("handshake/browser", handshake),
    ("echo/1-message-of-64B", || echo(1)),
    ("echo/16-messages-of-64B", || echo(16)),
    ("fan-out/1KiB-to-1000", fan_out),
    ("outbound/80-messages-in-pieces", outbound),
    ("timers/1000-due-in-a-second", timers),
];

const CONNECTIONS: usize = 1000;
const MESSAGE_BYTES: usize = 1 << 10;

/// From the bytes of a request to those of the 101.
fn handshake() -> Piece {
    let request = upgrade_request("/echo", &BROWSER_HEADERS).into_bytes();
    let (limits, options) = (Limits::default(), UpgradeOptions::default());
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        let head = HeadScanner::new().scan(black_box(&request), &limits);
        let mut space = HeaderSpace::new();
        let head = RequestHead::parse(head.unwrap().unwrap(), &mut space).unwrap();
        let upgrade = upgrade(&head, &options).unwrap();
        upgrade.write_response(ExtraHeaders::NONE, &mut out);
        assert!(out.starts_with(b"HTTP/1.1 101 "));
    })
}

/// A turn: a read, the handler's calls, a write.
fn echo(messages: usize) -> Piece {
    let message = frames::binary(ascii(64).as_bytes());
    let stream = frames::repeated(&message, messages);
    let mut bare = Bare::new(1, || Echo);
    Box::new(move || {
        let written = bare.hears(0, black_box(&stream));
        assert_eq!(written.len(), messages * (2 + 64));
    })
}

/// A message is prepared once, and every connection is marked, filled and written.
fn fan_out() -> Piece {
    let message = json(1, MESSAGE_BYTES).remove(0);
    let mut bare = Bare::new(CONNECTIONS, Channel::default);
    Box::new(move || {
        let written = bare.mailed(PreparedMessage::text(&message));
        assert_eq!(written, CONNECTIONS * (4 + MESSAGE_BYTES));
    })
}

/// A queue of small and large messages, of which a peer takes 16 KiB at a time.
fn outbound() -> Piece {
    let message = frames::binary(ascii(64).as_bytes());
    let mut bare = Bare::new(1, Burst::default).writing(16 << 10);
    let small = Burst::SMALL * (2 + 64);
    let large = Burst::LARGE * (4 + Burst::LARGE_BYTES);
    Box::new(move || assert_eq!(bare.hears(0, &message).len(), small + large))
}

/// A second in steps of the wheel; every connection's timer is due once and armed again.
fn timers() -> Piece {
    let mut bare = Bare::new(CONNECTIONS, Ticking::default);
    Box::new(move || {
        let steps = 0..Ticking::PERIOD_MS / Ticking::APART_MS;
        let written: usize = steps.map(|_| bare.passes(Ticking::APART_MS)).sum();
        assert_eq!(written, CONNECTIONS * 2);
    })
}

//! What a client can flood a server with, and how it does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use corewire::protocol::deflate::{Codec, DEFLATE_LEVEL, InflateBudget};
use corewire::protocol::frame::OpCode;

use crate::frames::{self, Fin, frame};
use crate::{Peer, Random};

/// A message as a client compresses it that refers to no earlier one.
#[must_use]
pub fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Codec::new(DEFLATE_LEVEL, InflateBudget::new(64 << 20)).deflate(15, None, plain, &mut out);
    out
}

/// About 64 KiB of the same frame, to be sent again and again.
fn chunk(of: &[u8]) -> Vec<u8> {
    of.repeat((64 << 10) / of.len() + 1)
}

/// Names of floods, and what a client that has agreed on compression sends over and over.
#[must_use]
pub fn wires() -> Vec<(&'static str, Vec<u8>)> {
    let start = frame(OpCode::Binary, Fin::More, b"x");
    let end = frame(OpCode::Continuation, Fin::Last, b"x");
    let tiny = frame(OpCode::Continuation, Fin::More, b"x");
    let fragments = [start, tiny.repeat(5000), end].concat();
    // Just within the ratio, and half noise, so that inflating is work.
    let mut plain = Random::new(1).bytes(9 << 10);
    plain.resize(900 << 10, b'x');
    let bomb = frames::compressed(OpCode::Binary, Fin::Last, &deflated(&plain));
    vec![
        ("tiny messages", chunk(&frames::binary(b"x"))),
        ("empty messages", chunk(&frames::text(""))),
        ("pings", chunk(&frames::ping(b""))),
        ("pongs", chunk(&frames::pong(b""))),
        ("fragments", fragments),
        ("compressed messages", chunk(&bomb)),
        ("large messages", frames::binary(&vec![1; 1 << 20])),
    ]
}

/// Sends `wire` again and again, and reads what comes, until told to stop.
pub fn flood(mut peer: Peer, wire: &[u8], stop: &AtomicBool) {
    let mut sender = peer.second_handle();
    thread::scope(|scope| {
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let taken = sender.send_what_is_taken(wire, Duration::from_millis(500));
                // Frames must not be torn: after a cut there is nothing more to say.
                if taken < wire.len() {
                    break;
                }
            }
            sender.hang_up();
        });
        let _ = peer.discard();
    });
}

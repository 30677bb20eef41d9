//! fastwebsockets. It is asynchronous, but over bytes that are all there it never waits.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use corewire_protocol::{Error, Role};
use fastwebsockets::{FragmentCollector, Frame, OpCode, WebSocket, WebSocketError};

use crate::support::{Length, Said, continuation, ping, pong, text};
use crate::{Heard, Lenience, MESSAGE_BYTES_MAX, Rival};

pub(crate) const RIVAL: Rival = Rival {
    name: "fastwebsockets",
    hear,
    lenient: &[
        Lenience {
            error: Error::LengthNotMinimal,
            why: "5.2 has a MUST for senders, and no word for receivers",
            example: || (Role::Server, vec![text("short").length(Length::In8Bytes)]),
        },
        Lenience {
            error: Error::MaskMissing,
            why: "a server takes what is not masked",
            example: || (Role::Server, vec![text("plain").wrongly_masked()]),
        },
        Lenience {
            error: Error::MaskUnexpected,
            why: "a client takes what is masked, and leaves it so",
            example: || (Role::Client, vec![pong("masked").wrongly_masked()]),
        },
        Lenience {
            error: Error::ControlTooLong,
            why: "it bounds the payload of pings only",
            example: || (Role::Server, vec![pong([b'x'; 126])]),
        },
        Lenience {
            error: Error::ContinuationExpected,
            why: "the first fragment of a message replaces one that has not ended",
            example: || {
                let first = text("forgotten").unfinished();
                let frames = vec![first, text("be").unfinished(), continuation("gun")];
                (Role::Server, frames)
            },
        },
        Lenience {
            error: Error::TextNotUtf8,
            why: "it looks when a fragment has ended, and drops half a character at the end",
            example: || {
                let half = continuation(&"é".as_bytes()[..1]);
                (Role::Server, vec![text("caf").unfinished(), half])
            },
        },
        Lenience {
            error: Error::MessageTooLarge,
            why: "it bounds fragments, not messages",
            example: || {
                let part = [b'x'; MESSAGE_BYTES_MAX];
                let frames = vec![text(part).unfinished(), continuation("y"), ping("")];
                (Role::Server, frames)
            },
        },
    ],
    // Bad gateway.
    close_codes_unknown: &[1014],
};

fn hear(role: Role, wire: &[u8]) -> Heard {
    let role = match role {
        Role::Server => fastwebsockets::Role::Server,
        Role::Client => fastwebsockets::Role::Client,
    };
    // To whom anything can be said.
    let stream = tokio::io::join(wire, tokio::io::sink());
    let mut them = WebSocket::after_handshake(stream, role);
    // Its bound is the first length that it refuses.
    them.set_max_message_size(MESSAGE_BYTES_MAX + 1);
    // Otherwise it does not tell of pings.
    them.set_auto_pong(false);
    let mut them = FragmentCollector::new(them);
    let mut said = Vec::new();
    let verdict = loop {
        let frame = match ready(them.read_frame()) {
            Ok(frame) => frame,
            Err(WebSocketError::UnexpectedEOF) => break Ok(()),
            Err(error) => break Err(error.to_string()),
        };
        said.push(told(&frame));
        if frame.opcode == OpCode::Close {
            break Ok(());
        }
    };
    Heard { said, verdict }
}

fn told(frame: &Frame<'_>) -> Said {
    let bytes = frame.payload.to_vec();
    match frame.opcode {
        OpCode::Text => Said::Text(String::from_utf8(bytes).unwrap()),
        OpCode::Binary => Said::Binary(bytes),
        OpCode::Ping => Said::Ping(bytes),
        OpCode::Pong => Said::Pong(bytes),
        OpCode::Continuation => unreachable!("fragments are collected"),
        OpCode::Close => match bytes.split_first_chunk() {
            Some((code, reason)) => Said::Close(
                Some(u16::from_be_bytes(*code)),
                String::from_utf8(reason.to_vec()).unwrap(),
            ),
            None => Said::Close(None, String::new()),
        },
    }
}

/// The outcome of what does not wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("all bytes are there"),
    }
}

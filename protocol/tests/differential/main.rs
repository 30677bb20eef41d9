//! The same bytes into tungstenite and into ours: the same messages come out, or we refuse
//! something that tungstenite takes, and say which rule it breaks.
#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod support;

use std::io::{self, ErrorKind, Read, Write};

use corewire_protocol::{Error, Limits, Role, State};
use proptest::prelude::*;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use support::{Frame, Length, Said, Us, cases, flip, flips, frame, session};

const MESSAGE_BYTES_MAX: usize = 50_000;

/// Why it is right that we refuse what tungstenite does not refuse, or not yet.
enum Difference {
    /// It never looks, or later. What it goes on to say, we do not.
    Stricter(&'static str),
    /// It judges a frame when the payload is there, we judge it by its header.
    Earlier,
    /// There is no reason.
    None,
}

const fn difference(error: Error) -> Difference {
    match error {
        Error::LengthNotMinimal => Difference::Stricter("5.2: a MUST of senders"),
        Error::ControlTooLong => {
            Difference::Stricter("5.5: it takes up to 125 bytes in a long form")
        }
        Error::CloseCodeInvalid(_) => Difference::Stricter("7.4: it answers 1002 and goes on"),
        Error::TextNotUtf8 => Difference::Stricter("8.1: it looks when the message has ended"),
        Error::ReservedBits
        | Error::ReservedOpcode(_)
        | Error::MaskMissing
        | Error::MaskUnexpected
        | Error::LengthTopBit
        | Error::ControlFragmented
        | Error::ContinuationUnexpected
        | Error::ContinuationExpected
        | Error::MessageTooLarge => Difference::Earlier,
        Error::EmptyFragments
        | Error::CloseBodyTooShort
        | Error::CloseReasonNotUtf8
        | Error::DeflateCorrupt
        | Error::InflateRatio
        | Error::InflateBudget
        | Error::MessageTimeout
        | Error::PongTimeout => Difference::None,
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn sessions_with_flipped_bits(frames in session(None), flips in flips()) {
        for role in [Role::Server, Role::Client] {
            let mut wire = Us::new(role).wire(frames.clone());
            flip(&mut wire, &flips);
            compare(role, &wire)?;
        }
    }

    #[test]
    fn any_frames_in_any_order(frames in prop::collection::vec(any_frame(), 0..12)) {
        for role in [Role::Server, Role::Client] {
            compare(role, &Us::new(role).wire(frames.clone()))?;
        }
    }

    #[test]
    fn arbitrary_bytes(wire in prop::collection::vec(any::<u8>(), 0..100)) {
        for role in [Role::Server, Role::Client] {
            compare(role, &wire)?;
        }
    }
}

/// A frame that may break any rule, though seldom all of them.
fn any_frame() -> impl Strategy<Value = Frame> {
    let opcode = prop_oneof![10 => prop::sample::select(vec![0_u8, 1, 2, 8, 9, 10]), 1 => 0..16_u8];
    let payload = prop_oneof![
        4 => prop::collection::vec(any::<char>(), 0..20)
            .prop_map(|letters| String::from_iter(letters).into_bytes()),
        2 => prop::collection::vec(any::<u8>(), 0..10),
        1 => any::<u16>().prop_map(|code| code.to_be_bytes().to_vec()),
        1 => (1000..5000_u16).prop_map(|code| code.to_be_bytes().to_vec()),
        1 => (100..300_usize).prop_map(|len| vec![b'x'; len]),
    ];
    let length = prop_oneof![
        30 => Just(Length::Shortest),
        1 => Just(Length::In2Bytes),
        1 => Just(Length::In8Bytes),
        1 => any::<u64>().prop_map(Length::Announced),
    ];
    let rsv = prop_oneof![20 => Just(0), 1 => (0..8_u8).prop_map(|bits| bits << 4)];
    let (fin, masked) = (any::<bool>(), prop::bool::weighted(0.97));
    (opcode, payload, length, rsv, fin, masked).prop_map(
        |(opcode, payload, length, rsv, fin, masked)| {
            let frame = frame(opcode, payload).length(length).rsv(rsv);
            let frame = if fin { frame } else { frame.unfinished() };
            if masked {
                frame
            } else {
                frame.wrongly_masked()
            }
        },
    )
}

fn compare(role: Role, wire: &[u8]) -> Result<(), TestCaseError> {
    let (our_said, our_verdict) = ours(role, wire);
    let (their_said, their_verdict) = theirs(role, wire);
    let Err(error) = our_verdict else {
        prop_assert_eq!(our_said, their_said);
        prop_assert!(their_verdict.is_ok(), "only they refuse: {their_verdict:?}");
        return Ok(());
    };
    match difference(error) {
        Difference::Stricter(section) => {
            prop_assert!(error.section().contains(section.split(':').next().unwrap()));
            prop_assert!(
                their_said.starts_with(&our_said),
                "{our_said:?} {their_said:?}"
            );
        }
        Difference::Earlier => prop_assert_eq!(our_said, their_said),
        Difference::None => {
            prop_assert!(their_verdict.is_err(), "only we refuse: {error}");
            prop_assert_eq!(our_said, their_said);
        }
    }
    Ok(())
}

/// Up to the peer's Close frame, behind which tungstenite does not look either.
fn ours(role: Role, wire: &[u8]) -> (Vec<Said>, Result<(), Error>) {
    let limits = Limits {
        message_bytes: MESSAGE_BYTES_MAX,
        empty_fragments: u32::MAX,
        ..Limits::default()
    };
    let mut us = Us::with(role, None, limits);
    let heard = us.receive_bytes(wire);
    let failed = matches!(us.websocket.state(), State::Failed(_));
    assert_eq!(heard.1.is_err(), failed);
    heard
}

fn theirs(role: Role, wire: &[u8]) -> (Vec<Said>, Result<(), tungstenite::Error>) {
    let role = match role {
        Role::Server => tungstenite::protocol::Role::Server,
        Role::Client => tungstenite::protocol::Role::Client,
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut them = WebSocket::from_raw_socket(Pipe(wire), role, Some(config));
    let mut said = Vec::new();
    loop {
        said.push(match them.read() {
            Ok(Message::Text(text)) => Said::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Said::Binary(bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Said::Ping(bytes.to_vec()),
            Ok(Message::Pong(bytes)) => Said::Pong(bytes.to_vec()),
            Ok(Message::Frame(_)) => unreachable!("read gives no raw frames"),
            Ok(Message::Close(close)) => {
                said.push(match close {
                    Some(close) => Said::Close(Some(close.code.into()), close.reason.to_string()),
                    None => Said::Close(None, String::new()),
                });
                return (said, Ok(()));
            }
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                return (said, Ok(()));
            }
            Err(error) => return (said, Err(error)),
        });
    }
}

/// A peer that has sent these bytes and sends no more, and to whom anything can be said.
struct Pipe<'a>(&'a [u8]);

impl Read for Pipe<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

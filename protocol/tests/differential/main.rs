//! The same bytes into other implementations and into ours: the same messages come out, or we
//! refuse something that the other takes, and say which rule it breaks. What each of them is known
//! to take stands in its [`Rival`], with an example that is tried.
#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod fastwebsockets;
#[path = "../support/mod.rs"]
mod support;
mod tungstenite;

use std::mem::discriminant;

use corewire_protocol::{Error, Limits, Role, State};
use proptest::prelude::*;

use support::{Frame, Length, Said, Us, cases, close, flip, flips, frame, session};

const RIVALS: [&Rival; 2] = [&fastwebsockets::RIVAL, &tungstenite::RIVAL];

const MESSAGE_BYTES_MAX: usize = 50_000;

/// Another implementation.
struct Rival {
    name: &'static str,
    hear: fn(Role, &[u8]) -> Heard,
    lenient: &'static [Lenience],
    /// Close codes that IANA has registered and that it takes for invalid.
    close_codes_unknown: &'static [u16],
}

/// What came out, up to the peer's Close frame or the first error.
struct Heard {
    said: Vec<Said>,
    verdict: Result<(), String>,
}

/// Something that it takes, or refuses later than we do, so that it says more than we.
struct Lenience {
    /// Ours, of this kind.
    error: Error,
    why: &'static str,
    example: fn() -> (Role, Vec<Frame>),
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn sessions_with_flipped_bits(frames in session(None), flips in flips()) {
        for role in [Role::Server, Role::Client] {
            let mut wire = Us::new(role).wire(frames.clone());
            flip(&mut wire, &flips);
            compare_with_all(role, &wire)?;
        }
    }

    #[test]
    fn any_frames_in_any_order(frames in prop::collection::vec(any_frame(), 0..12)) {
        for role in [Role::Server, Role::Client] {
            compare_with_all(role, &Us::new(role).wire(frames.clone()))?;
        }
    }

    #[test]
    fn arbitrary_bytes(wire in prop::collection::vec(any::<u8>(), 0..100)) {
        for role in [Role::Server, Role::Client] {
            compare_with_all(role, &wire)?;
        }
    }
}

#[test]
fn every_close_code() {
    for code in 0..=u16::MAX {
        let wire = Us::new(Role::Server).wire([close(code, "so")]);
        compare_with_all(Role::Server, &wire).unwrap();
    }
}

/// Otherwise the list would excuse more than there is.
#[test]
fn each_is_as_lenient_as_its_list_says() {
    for rival in RIVALS {
        for lenience in rival.lenient {
            let (role, frames) = (lenience.example)();
            let wire = Us::new(role).wire(frames);
            let (name, why) = (rival.name, lenience.why);
            let (our_said, our_verdict) = ours(role, &wire);
            let their_said = (rival.hear)(role, &wire).said;
            let error = our_verdict.expect_err("an example that is wrong");
            assert_eq!(error, lenience.error, "{name}: {why}");
            assert!(
                their_said.len() > our_said.len() && their_said.starts_with(&our_said),
                "{name} is not so lenient: {why}"
            );
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

fn compare_with_all(role: Role, wire: &[u8]) -> Result<(), TestCaseError> {
    for rival in RIVALS {
        compare(rival, role, wire)
            .map_err(|error| TestCaseError::fail(format!("{}, {role:?}: {error}", rival.name)))?;
    }
    Ok(())
}

fn compare(rival: &Rival, role: Role, wire: &[u8]) -> Result<(), TestCaseError> {
    let (our_said, our_verdict) = ours(role, wire);
    let theirs = (rival.hear)(role, wire);
    let Err(error) = our_verdict else {
        if let Some((Said::Close(Some(code), _), before)) = our_said.split_last()
            && rival.close_codes_unknown.contains(code)
        {
            prop_assert!(theirs.said.starts_with(before));
            prop_assert_ne!(&our_said, &theirs.said, "it knows {}", code);
            return Ok(());
        }
        prop_assert_eq!(our_said, theirs.said);
        prop_assert_eq!(theirs.verdict, Ok(()));
        return Ok(());
    };
    prop_assert!(error.section().starts_with("RFC "));
    let lenience = rival
        .lenient
        .iter()
        .find(|lenience| discriminant(&lenience.error) == discriminant(&error));
    if lenience.is_some() {
        prop_assert!(
            theirs.said.starts_with(&our_said),
            "{our_said:?} {:?}",
            theirs.said
        );
        return Ok(());
    }
    prop_assert_eq!(&our_said, &theirs.said);
    if theirs.verdict.is_ok() {
        // We judge by the first byte that breaks a rule, they a frame that is whole.
        let whole = [wire, &[0; MESSAGE_BYTES_MAX]].concat();
        let theirs = (rival.hear)(role, &whole);
        prop_assert!(theirs.verdict.is_err(), "only we refuse: {error}");
        prop_assert_eq!(our_said, theirs.said);
    }
    Ok(())
}

/// Up to the peer's Close frame, behind which the others do not look either.
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

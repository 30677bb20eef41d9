//! Any split of the input gives the same events, the same output and the same error: of sessions
//! that keep to all rules, and of what flipped bits make of them.
#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod support;

use corewire_protocol::deflate::{Agreement, Takeover};
use corewire_protocol::{Error, Limits, Role, State};
use proptest::prelude::*;

use support::{ALONE, Said, TAKEOVER, Us, both_ways, cases, direction, flip, flips, session};

/// Everything that can be seen of a connection from outside.
#[derive(Debug, PartialEq)]
struct Seen {
    said: Vec<Said>,
    verdict: Result<(), Error>,
    sent: Vec<u8>,
    state: State,
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn plain_sessions(frames in session(None), flips in flips(), cuts in cuts()) {
        for role in [Role::Server, Role::Client] {
            let mut wire = Us::new(role).wire(frames.clone());
            flip(&mut wire, &flips);
            check(role, None, &wire, &cuts)?;
        }
    }

    #[test]
    fn compressed_sessions((agreement, frames) in compressed(), flips in flips(), cuts in cuts()) {
        for role in [Role::Server, Role::Client] {
            let mut wire = Us::new(role).wire(frames.clone());
            flip(&mut wire, &flips);
            check(role, agreement, &wire, &cuts)?;
        }
    }

    /// No session at all.
    #[test]
    fn arbitrary_bytes(wire in prop::collection::vec(any::<u8>(), 0..200), cuts in cuts()) {
        for role in [Role::Server, Role::Client] {
            check(role, None, &wire, &cuts)?;
            check(role, both_ways(TAKEOVER), &wire, &cuts)?;
        }
    }
}

/// At every single byte, of one session that has everything.
#[test]
fn every_cut_in_two() {
    use support::{RSV1, close, continuation, ping, text};
    let frames = [
        text("κόσμε"),
        text("a".repeat(300)).unfinished(),
        ping("between"),
        continuation("é"),
        text([0xf2, 0x48, 0xcd]).rsv(RSV1).unfinished(),
        continuation([0xc9, 0xc9, 0x07, 0x00]),
        close(1000, "bye"),
        text("late"),
    ];
    for role in [Role::Server, Role::Client] {
        let wire = Us::new(role).wire(frames.clone());
        let whole = see(
            role,
            both_ways(ALONE),
            &wire,
            &[wire.len()],
            Reading::Ordinary,
        );
        assert_eq!((whole.said.len(), whole.verdict), (5, Ok(())));
        for cut in 1..wire.len() {
            let cut = see(
                role,
                both_ways(ALONE),
                &wire,
                &[cut, wire.len()],
                Reading::Ordinary,
            );
            assert_eq!(cut, whole);
        }
    }
}

fn compressed() -> impl Strategy<Value = (Option<Agreement>, Vec<support::Frame>)> {
    prop_oneof![
        Just(ALONE),
        Just(TAKEOVER),
        Just(direction(Takeover::Yes, 9)),
    ]
    .prop_flat_map(|direction| {
        let agreement = both_ways(direction);
        (Just(agreement), session(agreement))
    })
}

/// Sizes of reads, over and over.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        1 => Just(vec![1]),
        4 => prop::collection::vec(1..20_usize, 1..20),
        4 => prop::collection::vec(1..20_000_usize, 1..20),
    ]
}

fn check(
    role: Role,
    agreement: Option<Agreement>,
    wire: &[u8],
    cuts: &[usize],
) -> Result<(), TestCaseError> {
    let whole = see(
        role,
        agreement,
        wire,
        &[wire.len().max(1)],
        Reading::Ordinary,
    );
    for reading in [Reading::Ordinary, Reading::Answering, Reading::InPlace] {
        prop_assert_eq!(&see(role, agreement, wire, cuts, reading), &whole);
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Reading {
    Ordinary,
    /// Whole messages the short way, and replies where they were received.
    Answering,
    /// Straight into the message where there is room.
    InPlace,
}

fn see(
    role: Role,
    agreement: Option<Agreement>,
    mut wire: &[u8],
    cuts: &[usize],
    reading: Reading,
) -> Seen {
    // Limits that random sessions meet.
    let limits = Limits {
        message_bytes: 50_000,
        empty_fragments: 1,
        inflate_ratio: 20,
        inflate_ratio_floor_bytes: 10_000,
        control_burst: 5,
        ..Limits::default()
    };
    let mut us = Us::with(role, agreement, limits);
    let mut said = Vec::new();
    let mut verdict = Ok(());
    for &cut in cuts.iter().cycle() {
        if wire.is_empty() || verdict.is_err() {
            break;
        }
        let filled = match reading {
            Reading::Ordinary | Reading::Answering => None,
            Reading::InPlace => us.fill_room(&mut wire, cut),
        };
        match filled {
            Some(Ok(event)) => said.extend(event),
            Some(Err(error)) => verdict = Err(error),
            None => {
                let (now, later) = wire.split_at(cut.min(wire.len()));
                let heard = match reading {
                    Reading::Ordinary | Reading::InPlace => us.receive_bytes(now),
                    Reading::Answering => us.receive_in_place(now),
                };
                said.extend(heard.0);
                (wire, verdict) = (later, heard.1);
            }
        }
    }
    Seen {
        said,
        verdict,
        sent: us.sent_bytes(),
        state: us.websocket.state(),
    }
}

//! What RFC 6455 leaves to us: limits (10.4), payloads that are read in place, and time.
#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod support;

use corewire_protocol::frame::OpCode;
use corewire_protocol::{Error, Event, Flow, Limits, MessageKind, Output, Payload, Role, State};

use support::{
    Frame, Length, Us, binary, both_roles, close, continuation, pattern, ping, pong, said_binary,
    said_ping, said_pong, said_text, text,
};

// 10.4 Implementation-Specific Limits

/// 10.4: a message in one frame is judged by its header.
#[test]
fn a_message_at_the_limit_is_taken_and_one_byte_more_is_refused_at_its_header() {
    for role in [Role::Server, Role::Client] {
        let mut us = Us::with(role, None, message_limit(1000));
        let message = pattern(1000);
        assert_eq!(us.receive([binary(&message)]), [said_binary(&message)]);
        let wire = us.wire([binary(pattern(1001))]);
        let header = wire.len() - 1001;
        us.receive_part(&wire[..header - 1]);
        let verdict = us.receive_bytes(&wire[header - 1..header]);
        assert_eq!(verdict, (vec![], Err(Error::MessageTooLarge)));
        us.has_failed(Error::MessageTooLarge);
    }
}

/// 10.4: the limit is on "the total message size after reassembly from multiple frames".
#[test]
fn fragments_are_limited_by_their_sum() {
    for role in [Role::Server, Role::Client] {
        let mut us = Us::with(role, None, message_limit(1000));
        let [a, b, c] = [&pattern(600), &pattern(399), &pattern(1)];
        let fragments = |last: Frame| {
            let first = [binary(a).unfinished(), continuation(b).unfinished()];
            [&first[..], &[ping(""), last]].concat()
        };
        let said = us.receive(fragments(continuation(c)));
        assert_eq!(said, [said_ping(""), said_binary([&a[..], b, c].concat())]);
        us.receive([binary(a).unfinished(), continuation(b).unfinished()]);
        us.sent();
        us.fails([continuation([1; 2])], Error::MessageTooLarge);
        // The limit is on each message anew, and the last fragment may be empty.
        let mut us = Us::with(role, None, message_limit(999));
        us.receive([text("a")]);
        assert_eq!(us.receive(fragments(continuation(""))).len(), 2);
    }
}

/// 10.4: an application that takes less for a while is given no byte more, whichever way it comes.
#[test]
fn what_is_too_large_for_now_is_refused_at_its_header() {
    let limited = |role| {
        let mut us = Us::with(role, None, message_limit(1000));
        us.websocket.limit_messages(100);
        us
    };
    let (most, more) = (pattern(100), pattern(101));
    for role in [Role::Server, Role::Client] {
        let mut us = limited(role);
        assert_eq!(us.receive([binary(&most)]), [said_binary(&most)]);
        let wire = us.wire([binary(&more)]);
        let header = wire.len() - more.len();
        us.receive_part(&wire[..header - 1]);
        let verdict = us.receive_bytes(&wire[header - 1..header]);
        assert_eq!(verdict, (vec![], Err(Error::MessageTooLargeForNow)));
        us.has_failed(Error::MessageTooLargeForNow);

        let mut us = limited(role);
        let fragments = [
            binary(&most[..60]).unfinished(),
            continuation(&most[60..]).unfinished(),
        ];
        us.receive(fragments.clone());
        assert_eq!(us.receive([continuation("")]), [said_binary(&most)]);
        us.receive(fragments);
        us.fails([continuation("x")], Error::MessageTooLargeForNow);

        let mut us = limited(role);
        us.websocket.lift_message_limit();
        let most = pattern(1000);
        assert_eq!(us.receive([binary(&most)]), [said_binary(&most)]);
        us.fails([binary(pattern(1001))], Error::MessageTooLarge);

        // It makes no limit wider.
        let mut us = limited(role);
        us.websocket.limit_messages(usize::MAX);
        us.fails([binary(pattern(1001))], Error::MessageTooLarge);
        let mut us = limited(role);
        us.websocket.limit_messages(0);
        assert_eq!(us.receive([binary("x")]), [said_binary("x")]);
        us.fails([binary("xy")], Error::MessageTooLargeForNow);
    }
    let mut us = limited(Role::Server);
    let wire = us.wire([binary(&most), binary(&more)]);
    let verdict = us.receive_in_place(&wire);
    let said = vec![said_binary(&most)];
    assert_eq!(verdict, (said, Err(Error::MessageTooLargeForNow)));
}

/// 10.4: a message that began under the smaller limit ends under it.
#[test]
fn a_message_that_has_begun_keeps_its_limit() {
    let mut us = Us::with(Role::Server, None, message_limit(1000));
    us.websocket.limit_messages(100);
    us.receive([binary(pattern(100)).unfinished()]);
    us.websocket.lift_message_limit();
    us.fails([continuation("x")], Error::MessageTooLarge);
}

/// 10.4: what is announced costs nothing until it comes, however much it is.
#[test]
fn an_announced_length_is_no_memory() {
    for announced in [1 << 62, (1 << 63) - 1, (1 << 20) + 1] {
        for us in both_roles() {
            let giant = binary("").length(Length::Announced(announced));
            us.fails([giant], Error::MessageTooLarge);
        }
    }
    for role in [Role::Server, Role::Client] {
        let mut us = Us::with(role, None, message_limit(usize::MAX));
        let giant = binary("first bytes").length(Length::Announced(1 << 62));
        us.receive([giant]);
        let mut most = &vec![0; 1 << 20][..];
        while !most.is_empty() {
            let room = us.websocket.room().unwrap();
            let (received, held) = (room.len(), room.capacity());
            assert!(held <= 16 * received + (64 << 10), "{held} for {received}");
            us.fill_room(&mut most, 10_000).unwrap().unwrap();
        }
    }
}

/// 10.4: the sum of the fragments' lengths does not wrap.
#[test]
fn a_giant_fragment_behind_a_small_one_is_refused() {
    for role in [Role::Server, Role::Client] {
        for announced in [(1 << 63) - 1, u64::try_from(usize::MAX >> 1).unwrap()] {
            let mut us = Us::with(role, None, message_limit(1 << 20));
            us.receive([binary("abc").unfinished()]);
            let giant = continuation("").length(Length::Announced(announced));
            us.fails([giant], Error::MessageTooLarge);
        }
    }
}

/// 10.4: a hundred thousand fragments of one byte are a hundred thousand bytes.
#[test]
fn fragments_cost_their_bytes() {
    const COUNT: usize = 100_000;
    let mut us = Us::new(Role::Server);
    let mut fragments = vec![continuation("x").unfinished(); COUNT];
    fragments[0].opcode = OpCode::Binary as u8;
    fragments[COUNT - 1].fin = true;
    let mut wire = us.wire(fragments);
    let mut input = &mut wire[..];
    let (mut answers, mut core) = (Vec::new(), Us::new(Role::Server).core);
    let mut output = Output {
        bytes: &mut answers,
        flow: Flow::Open,
    };
    let event = us
        .websocket
        .next_event(&mut input, &mut core.env(), &mut output);
    let Ok(Some(Event::Message(MessageKind::Binary, Payload::Buffer(message)))) = event else {
        panic!("{event:?}");
    };
    assert_eq!(message, [b'x'; COUNT]);
    assert!(message.capacity() <= 2 * COUNT, "{}", message.capacity());
}

/// 10.4: empty fragments cost no bytes, so they are counted.
#[test]
fn empty_fragments_have_a_limit_of_their_own() {
    let limits = Limits {
        empty_fragments: 3,
        ..Limits::default()
    };
    for role in [Role::Server, Role::Client] {
        let mut us = Us::with(role, None, limits.clone());
        let empty = continuation("").unfinished();
        // The first counts, the last does not: it ends the message.
        for _ in 0..2 {
            us.receive([text("").unfinished(), empty.clone(), empty.clone()]);
            assert_eq!(us.receive([continuation("")]), [said_text("")]);
        }
        us.receive([text("").unfinished(), empty.clone(), empty.clone()]);
        us.receive([continuation("a").unfinished()]);
        us.fails([empty], Error::EmptyFragments);
    }
}

/// 5.5.3: an endpoint that has not answered earlier pings "MAY elect to send a Pong frame for only
/// the most recently processed Ping frame". We do so while our output waits.
#[test]
fn while_output_is_blocked_only_the_newest_ping_is_answered() {
    for mut us in both_roles() {
        us.flow = Flow::Blocked;
        us.receive([ping("1"), ping("2"), ping("3")]);
        assert_eq!(us.sent(), []);
        us.flow = Flow::Open;
        // The pong of 3 has not gone yet: that of 4 takes its place, and their order is kept.
        us.receive([ping("4")]);
        assert_eq!(us.sent(), []);
        assert!(us.websocket.has_late_pong());
        assert!(us.send_late_pong());
        assert!(!us.send_late_pong());
        us.receive([ping("5")]);
        assert_eq!(us.sent(), [pong("4"), pong("5")]);
    }
}

/// 5.5.3 and 10.4: pings above the rate get one pong whenever the driver asks for
/// late ones, and the connection is never closed for them.
#[test]
fn above_the_control_rate_only_the_newest_ping_is_answered() {
    let limits = Limits {
        control_burst: 100,
        control_per_second: 50,
        ..Limits::default()
    };
    for role in [Role::Server, Role::Client] {
        let mut us = Us::with(role, None, limits.clone());
        us.receive(vec![ping("in"); 100]);
        assert_eq!(us.sent(), vec![pong("in"); 100]);
        us.receive([ping("over"), ping("newest")]);
        assert_eq!(us.sent(), []);
        assert!(us.send_late_pong());
        assert_eq!(us.sent(), [pong("newest")]);
        us.pass(20);
        us.receive([ping("earned"), ping("over")]);
        assert_eq!(us.sent(), [pong("earned")]);
        assert!(us.send_late_pong());
        us.sent();
        // Pongs are counted, too, but never refused.
        us.pass(60_000);
        assert_eq!(us.receive(vec![pong(""); 150]).len(), 150);
        us.receive([ping("late")]);
        assert_eq!(us.sent(), []);
        assert_eq!(us.websocket.state(), State::Open);
    }
}

// Payloads read in place: what `room` gives takes the same bytes to the same end.

#[test]
fn a_large_payload_read_in_place_is_the_same_message() {
    for kind in [text as fn(Vec<u8>) -> Frame, binary] {
        for (head, step) in [(1, 1 << 20), (20_000, 7001), (100, 64 << 10), (99_999, 3)] {
            for mut us in both_roles() {
                let letters = "aé€😀".repeat(20_000).into_bytes();
                let frame = kind(letters);
                let wire = us.wire([frame.clone(), ping("next")]);
                let header = wire.len() - us.wire([ping("next")]).len() - frame.payload.len();
                let (start, mut rest) = wire.split_at(header + head);
                us.receive_part(start);
                let mut in_place = 0;
                let mut said = Vec::new();
                while !rest.is_empty() {
                    let before = rest.len();
                    match us.fill_room(&mut rest, step) {
                        Some(event) => {
                            said.extend(event.unwrap());
                            in_place += before - rest.len();
                        }
                        None => {
                            let (now, later) = rest.split_at(rest.len().min(1000));
                            said.extend(us.receive_bytes(now).0);
                            rest = later;
                        }
                    }
                }
                let whole = us.receive([frame.clone()]).remove(0);
                assert_eq!(said, [whole, said_ping("next")]);
                assert!(in_place > 50_000, "{in_place} bytes were read in place");
            }
        }
    }
}

#[test]
fn text_read_in_place_fails_at_its_first_impossible_byte() {
    for mut us in both_roles() {
        let mut letters = vec![b'a'; 100_000];
        letters[50_100] = 0xc0;
        let wire = us.wire([text(letters)]);
        let (start, mut rest) = wire.split_at(30);
        us.receive_part(start);
        let mut filled = 0;
        let error = loop {
            filled += 1;
            match us.fill_room(&mut rest, 10_000).unwrap() {
                Ok(event) => assert_eq!(event, None),
                Err(error) => break error,
            }
        };
        assert_eq!((error, filled), (Error::TextNotUtf8, 5 + 1));
        us.has_failed(Error::TextNotUtf8);
    }
}

/// Bytes behind the payload belong to the next frame, even where the buffer would hold them.
#[test]
fn room_never_reaches_past_the_payload() {
    for mut us in both_roles() {
        // The second fragment doubles the buffer.
        us.receive([binary(pattern(50_000)).unfinished()]);
        us.receive([continuation("x").unfinished()]);
        let last = pattern(20_000);
        let wire = us.wire([continuation(&last), ping("next")]);
        let (start, mut rest) = wire.split_at(10);
        us.receive_part(start);
        while let Some(event) = us.fill_room(&mut rest, wire.len()) {
            assert_eq!(event, Ok(None));
        }
        let (said, verdict) = us.receive_bytes(rest);
        let message = [&pattern(50_000)[..], b"x", &last].concat();
        assert_eq!(said, [said_binary(message), said_ping("next")]);
        assert_eq!(verdict, Ok(()));
    }
}

/// Room is for large payloads of a message that the application will get.
#[test]
fn there_is_no_room_where_bytes_take_the_ordinary_way() {
    for mut us in both_roles() {
        assert!(us.websocket.room().is_none());
        us.receive([binary("a").unfinished()]);
        assert!(us.websocket.room().is_none(), "between frames");
        us.receive_part(&us.wire([ping("half a ping")])[..9]);
        assert!(us.websocket.room().is_none(), "in a control frame");
    }
    for mut us in both_roles() {
        us.receive_part(&us.wire([binary(pattern(16_000))])[..100]);
        assert!(us.websocket.room().is_none(), "too little is to come");
    }
    for mut us in both_roles() {
        us.receive_part(&us.wire([binary(pattern(100_000))])[..100]);
        assert!(us.websocket.room().is_some());
        us.close(1000, "");
        assert!(us.websocket.room().is_none(), "after our Close frame");
        us.receive_part(&us.wire([binary(pattern(100_000))])[100..]);
        assert_eq!(us.receive([pong("then")]), [said_pong("then")]);
    }
}

// Time: what is due is a returned deadline, and nothing here waits.

#[test]
fn a_silent_peer_is_pinged_and_then_given_up() {
    for mut us in both_roles() {
        assert_eq!(us.deadline_ms(), Some(25_000));
        us.pass(24_999);
        assert_eq!(us.timeout(), Ok(()));
        assert_eq!(us.sent(), []);
        us.pass(1);
        assert_eq!(us.timeout(), Ok(()));
        assert_eq!(us.sent(), [ping("")]);
        assert_eq!(us.deadline_ms(), Some(10_000));
        us.pass(9_999);
        assert_eq!(us.timeout(), Ok(()));
        assert_eq!(us.sent(), []);
        us.pass(1);
        assert_eq!(us.timeout(), Err(Error::PongTimeout));
        us.has_failed(Error::PongTimeout);
    }
}

/// Any byte will do, of a pong or of anything else.
#[test]
fn a_peer_that_is_heard_is_not_pinged() {
    for heard in [pong(""), text("a"), continuation("")] {
        for mut us in both_roles() {
            us.receive([text("").unfinished()]);
            us.receive([continuation("")]);
            us.pass(25_000);
            us.timeout().unwrap();
            us.pass(9_000);
            us.receive_part(&us.wire([heard.clone()])[..1]);
            assert_eq!(us.deadline_ms(), Some(25_000));
            us.pass(24_000);
            us.timeout().unwrap();
            assert_eq!(us.sent(), [ping("")]);
        }
    }
}

/// What we send says nothing about the peer.
#[test]
fn sending_does_not_put_off_the_ping() {
    for mut us in both_roles() {
        us.pass(20_000);
        us.send(MessageKind::Text, b"a").unwrap();
        assert_eq!(us.deadline_ms(), Some(5_000));
    }
}

#[test]
fn an_idle_connection_is_closed_with_1001() {
    let limits = Limits {
        idle_timeout_ms: 60_000,
        ping_interval_ms: 0,
        ..Limits::default()
    };
    for role in [Role::Server, Role::Client] {
        let mut us = Us::with(role, None, limits.clone());
        assert_eq!(us.deadline_ms(), Some(60_000));
        us.pass(30_000);
        us.receive([text("a")]);
        us.pass(30_000);
        us.receive([text("a").unfinished(), continuation("")]);
        us.pass(30_000);
        us.send(MessageKind::Text, b"a").unwrap();
        us.pass(30_000);
        // A ping is no message.
        us.receive([ping("")]);
        assert_eq!(us.deadline_ms(), Some(30_000));
        us.sent();
        us.pass(30_000);
        assert_eq!(us.timeout(), Ok(()));
        assert_eq!(us.sent(), [close(1001, "idle for too long")]);
        assert!(matches!(us.websocket.state(), State::Closing { .. }));
    }
}

#[test]
fn a_close_that_is_not_answered_ends_after_its_timeout() {
    for mut us in both_roles() {
        us.close(1000, "");
        us.sent();
        assert_eq!(us.deadline_ms(), Some(5_000));
        us.pass(4_999);
        us.receive([text("chatter"), pong("")]);
        assert_eq!(us.deadline_ms(), Some(1), "what is said puts nothing off");
        us.timeout().unwrap();
        assert!(matches!(us.websocket.state(), State::Closing { .. }));
        us.pass(1);
        us.timeout().unwrap();
        assert_eq!(us.websocket.state(), State::Closed);
        assert_eq!((us.deadline_ms(), us.sent()), (None, vec![]));
    }
}

/// Otherwise a few clients could hold the memory for unfinished messages for ever.
#[test]
fn a_message_in_pieces_must_be_whole_in_its_time() {
    let limits = Limits {
        message_timeout_ms: 5_000,
        ping_interval_ms: 0,
        ..Limits::default()
    };
    for role in [Role::Server, Role::Client] {
        let mut us = Us::with(role, None, limits.clone());
        us.receive([text("abc").unfinished()]);
        assert_eq!(us.deadline_ms(), Some(5_003));
        us.pass(4_000);
        // A ping is no progress, and every byte of the message is a millisecond.
        us.receive([ping(""), continuation("0123456789").unfinished()]);
        assert_eq!(us.deadline_ms(), Some(1_013));
        us.sent();
        us.pass(1_012);
        assert_eq!(us.timeout(), Ok(()));
        us.pass(1);
        assert_eq!(us.timeout(), Err(Error::MessageTimeout));
        assert_eq!(us.sent(), [close(1008, "message takes too long")]);
    }
}

#[test]
fn without_intervals_there_is_no_deadline() {
    let limits = Limits {
        idle_timeout_ms: 0,
        ping_interval_ms: 0,
        ..Limits::default()
    };
    for role in [Role::Server, Role::Client] {
        let mut us = Us::with(role, None, limits.clone());
        assert_eq!(us.deadline_ms(), None);
        us.pass(1_000_000_000);
        assert_eq!(us.timeout(), Ok(()));
        assert_eq!(us.sent(), []);
    }
}

fn message_limit(message_bytes: usize) -> Limits {
    Limits {
        message_bytes,
        ..Limits::default()
    }
}

//! RFC 6455, sections 5, 7 and 8, rule by rule in the order of the RFC, at both ends.
//! Section 4 is in `handshake/`, 10.4 in `limits.rs`, compression in `rfc7692.rs`.
#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod support;

use corewire_protocol::frame::OpCode;
use corewire_protocol::{Error, Flow, MessageKind, Role, State};

use support::{
    Frame, KEY, Length, RSV1, RSV2, RSV3, Us, binary, both_roles, close, close_body, continuation,
    frame, pattern, ping, pong, said_binary, said_close, said_ping, said_pong, said_text, text,
};

// 5.1 Overview

/// 5.1: "a client MUST mask all frames that it sends to the server", each with a fresh key (5.3).
#[test]
fn a_client_masks_every_frame_with_a_key_of_its_own() {
    let mut us = Us::new(Role::Client);
    us.receive([ping("a")]);
    us.send(MessageKind::Text, b"b").unwrap();
    us.send(MessageKind::Binary, b"").unwrap();
    us.ping(b"c").unwrap();
    us.close(1000, "");
    let wire = us.sent_bytes();
    let frames = Frame::read_all(&wire, Role::Client);
    let expected = [pong("a"), text("b"), binary(""), ping("c"), close(1000, "")];
    assert_eq!(frames, expected);
    let mut keys: Vec<_> = [2, 9, 16, 22, 29].map(|at| &wire[at..at + 4]).to_vec();
    keys.dedup();
    assert_eq!(keys.len(), 5);
}

/// 5.1: "A server MUST NOT mask any frames that it sends to the client."
#[test]
fn a_server_masks_nothing() {
    let mut us = Us::new(Role::Server);
    us.receive([ping("a")]);
    us.send(MessageKind::Text, b"b").unwrap();
    us.close(1000, "");
    let expected = b"\x8a\x01a\x81\x01b\x88\x02\x03\xe8";
    assert_eq!(us.sent_bytes(), expected);
}

/// 5.1: "The server MUST close the connection upon receiving a frame that is not masked."
#[test]
fn a_server_refuses_an_unmasked_frame() {
    for bent in [text("Hello"), text(""), ping(""), close(1000, "")] {
        Us::new(Role::Server).fails([bent.wrongly_masked()], Error::MaskMissing);
    }
    let mut us = Us::new(Role::Server);
    us.receive([text("Hel").unfinished()]);
    us.fails([continuation("lo").wrongly_masked()], Error::MaskMissing);
}

/// 5.1: "A client MUST close a connection if it detects a masked frame."
#[test]
fn a_client_refuses_a_masked_frame() {
    for bent in [text("Hello"), text(""), ping(""), close(1000, "")] {
        Us::new(Role::Client).fails([bent.wrongly_masked()], Error::MaskUnexpected);
    }
}

// 5.2 Base Framing Protocol

/// 5.2: a reserved bit "MUST be 0 unless an extension is negotiated that defines meanings for
/// non-zero values", otherwise "the receiving endpoint MUST _Fail the WebSocket Connection_".
#[test]
fn reserved_bits_are_zero() {
    for rsv in [RSV1, RSV2, RSV3, RSV1 | RSV2, RSV2 | RSV3, RSV1 | RSV3] {
        for bent in [
            text("a"),
            binary("a").unfinished(),
            continuation("a"),
            ping("a"),
            pong("a"),
            close(1000, ""),
        ] {
            for us in both_roles() {
                us.fails([bent.clone().rsv(rsv)], Error::ReservedBits);
            }
        }
    }
}

/// 5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket
/// Connection_."
#[test]
fn reserved_opcodes_are_refused() {
    for opcode in (3..=7).chain(11..=15) {
        for us in both_roles() {
            us.fails([frame(opcode, "a")], Error::ReservedOpcode(opcode));
        }
        let mut us = Us::new(Role::Server);
        us.receive([text("inside").unfinished()]);
        us.fails([frame(opcode, "")], Error::ReservedOpcode(opcode));
    }
}

/// 5.2: a length of 0 to 125, 126 with 16 bits, 127 with 64.
#[test]
fn payloads_around_every_length_form_go_both_ways() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537] {
        let payload = pattern(len);
        for mut us in both_roles() {
            let said = us.receive([binary(&payload)]);
            assert_eq!(said, [said_binary(&payload)], "{len} bytes");
            us.send(MessageKind::Binary, &payload).unwrap();
            // Reading it asserts "the minimal number of bytes MUST be used" (5.2).
            assert_eq!(us.sent(), [binary(&payload)], "{len} bytes");
        }
    }
}

/// 5.2: "in all cases, the minimal number of bytes MUST be used to encode the length". A sender's
/// rule, which we hold the peer to.
#[test]
fn a_length_that_is_not_in_its_shortest_form_is_refused() {
    for (len, length) in [
        (0, Length::In2Bytes),
        (125, Length::In2Bytes),
        (0, Length::In8Bytes),
        (125, Length::In8Bytes),
        (126, Length::In8Bytes),
        (65_535, Length::In8Bytes),
    ] {
        for us in both_roles() {
            let bent = binary(pattern(len)).length(length);
            us.fails([bent], Error::LengthNotMinimal);
        }
    }
}

/// 5.2: of a 64-bit length "the most significant bit MUST be 0". One byte of it is enough to tell.
#[test]
fn a_length_with_the_top_bit_is_refused() {
    for announced in [1 << 63, u64::MAX] {
        for mut us in both_roles() {
            let wire = us.wire([binary("").length(Length::Announced(announced))]);
            let verdict = us.receive_bytes(&wire[..3]);
            assert_eq!(verdict, (vec![], Err(Error::LengthTopBit)));
            us.has_failed(Error::LengthTopBit);
        }
    }
}

// 5.3 Client-to-Server Masking

/// 5.3: "octet i of the transformed data is the XOR of octet i of the original data with octet at
/// index i modulo 4 of the masking key"; any key will do.
#[test]
fn any_masking_key_is_undone() {
    for key in [KEY, [0; 4], [0xff; 4], [1, 0, 0, 0], [0, 0, 0, 0x80]] {
        for len in [1, 3, 4, 5, 127, 4099] {
            let payload = pattern(len);
            let mut us = Us::new(Role::Server);
            let wire = binary(&payload).masked_wire(Role::Client, key);
            let heard = us.receive_bytes(&wire);
            assert_eq!(heard, (vec![said_binary(&payload)], Ok(())));
        }
    }
}

// 5.4 Fragmentation

/// 5.4: "A fragmented message consists of a single frame with the FIN bit clear and an opcode
/// other than 0, followed by zero or more frames with the FIN bit clear and the opcode set to 0,
/// and terminated by a single frame with the FIN bit set and an opcode of 0."
#[test]
fn fragments_are_one_message_of_the_first_ones_type() {
    for mut us in both_roles() {
        let [a, b, c] = ["Hel", "lo, ", "world"];
        for (first, expected) in [
            (text(a), said_text("Hello, world")),
            (binary(a), said_binary("Hello, world")),
        ] {
            assert_eq!(us.receive([first.unfinished()]), []);
            assert_eq!(us.receive([continuation(b).unfinished()]), []);
            assert_eq!(us.receive([continuation(c)]), [expected]);
        }
    }
}

/// 5.4: fragments may be of any size, none included.
#[test]
fn fragments_may_be_empty() {
    for mut us in both_roles() {
        let said = us.receive([
            text("").unfinished(),
            continuation("").unfinished(),
            continuation("a").unfinished(),
            continuation("").unfinished(),
            continuation(""),
            text("").unfinished(),
            continuation(""),
        ]);
        assert_eq!(said, [said_text("a"), said_text("")]);
    }
}

/// 5.4: "Control frames MAY be injected in the middle of a fragmented message"; "An endpoint MUST
/// be capable of handling" them there.
#[test]
fn control_frames_stand_between_fragments() {
    for mut us in both_roles() {
        let said = us.receive([
            text("κό").unfinished(),
            ping("1"),
            continuation("σ").unfinished(),
            pong("2"),
            ping(""),
            continuation("με"),
        ]);
        let expected = [
            said_ping("1"),
            said_pong("2"),
            said_ping(""),
            said_text("κόσμε"),
        ];
        assert_eq!(said, expected);
        assert_eq!(us.sent(), [pong("1"), pong("")]);
    }
}

/// 5.4: a ping inside a message is answered before the message has ended.
#[test]
fn a_ping_between_fragments_does_not_wait_for_the_last_one() {
    for mut us in both_roles() {
        us.receive([text("a").unfinished(), ping("now")]);
        assert_eq!(us.sent(), [pong("now")]);
    }
}

/// 5.4: a Close frame between fragments ends the connection, and the message never comes.
#[test]
fn a_close_between_fragments_drops_the_message() {
    for mut us in both_roles() {
        let said = us.receive([
            text("never").unfinished(),
            close(1001, "bye"),
            continuation("said"),
        ]);
        assert_eq!(said, [said_close(Some(1001), "bye")]);
        assert_eq!(us.sent(), [close(1001, "")]);
    }
}

/// 5.4: "The fragments of one message MUST NOT be interleaved between the fragments of another
/// message".
#[test]
fn a_new_message_inside_a_fragmented_one_is_refused() {
    for second in [
        text("b"),
        binary("b"),
        text("b").unfinished(),
        binary("").unfinished(),
    ] {
        for mut us in both_roles() {
            us.receive([text("a").unfinished(), continuation("").unfinished()]);
            us.fails([second.clone()], Error::ContinuationExpected);
        }
    }
}

/// 5.4: a continuation continues something.
#[test]
fn a_continuation_without_a_message_is_refused() {
    for bent in [
        continuation("a"),
        continuation(""),
        continuation("a").unfinished(),
    ] {
        for us in both_roles() {
            us.fails([bent.clone()], Error::ContinuationUnexpected);
        }
        for mut us in both_roles() {
            us.receive([text("whole"), text("in ").unfinished(), continuation("two")]);
            us.fails([bent.clone()], Error::ContinuationUnexpected);
        }
    }
}

// 5.5 Control Frames

/// 5.5: "All control frames MUST have a payload length of 125 bytes or less". The second byte of
/// the header tells.
#[test]
fn control_frames_have_at_most_125_bytes() {
    let most = "x".repeat(125);
    for mut us in both_roles() {
        let said = us.receive([ping(&most), pong(&most)]);
        assert_eq!(said, [said_ping(&most), said_pong(&most)]);
        assert_eq!(us.sent(), [pong(&most)]);
        let said = us.receive([close(1000, &most[2..])]);
        assert_eq!(said, [said_close(Some(1000), &most[2..])]);
    }
    for opcode in [8, 9, 10] {
        for len in [126, 65_536] {
            for mut us in both_roles() {
                let wire = us.wire([frame(opcode, pattern(len))]);
                let verdict = us.receive_bytes(&wire[..2]);
                assert_eq!(verdict, (vec![], Err(Error::ControlTooLong)));
                us.has_failed(Error::ControlTooLong);
            }
        }
    }
}

/// 5.5: control frames "MUST NOT be fragmented".
#[test]
fn control_frames_are_not_fragmented() {
    for bent in [ping("a"), pong(""), close(1000, "")] {
        for us in both_roles() {
            us.fails([bent.clone().unfinished()], Error::ControlFragmented);
        }
    }
    for mut us in both_roles() {
        us.receive([text("a").unfinished()]);
        us.fails([ping("").unfinished()], Error::ControlFragmented);
    }
}

// 5.5.1 Close

/// 5.5.1: "If an endpoint receives a Close frame and did not previously send a Close frame, the
/// endpoint MUST send a Close frame in response. ... the endpoint typically echos the status code".
#[test]
fn a_close_is_answered_with_its_code() {
    for mut us in both_roles() {
        let said = us.receive([close(3000, "enough")]);
        assert_eq!(said, [said_close(Some(3000), "enough")]);
        assert_eq!(us.sent(), [close(3000, "")]);
        assert_eq!(us.websocket.state(), State::Closed);
        us.sends_nothing_more();
    }
}

/// 5.5.1: "The Close frame MAY contain a body". 7.1.5: without one there is no code.
#[test]
fn a_close_without_a_body_is_answered_without_one() {
    for mut us in both_roles() {
        assert_eq!(us.receive([close_body("")]), [said_close(None, "")]);
        assert_eq!(us.sent(), [close_body("")]);
    }
}

/// 5.5.1: "the first two bytes of the body MUST be a 2-byte unsigned integer".
#[test]
fn a_close_body_of_one_byte_is_refused() {
    for us in both_roles() {
        us.fails([close_body([3])], Error::CloseBodyTooShort);
    }
}

/// 5.5.1: the reason is UTF-8 (8.1).
#[test]
fn a_close_reason_is_utf8() {
    for mut us in both_roles() {
        let said = us.receive([close(1000, "κόσμε")]);
        assert_eq!(said, [said_close(Some(1000), "κόσμε")]);
    }
    for reason in [&b"\xff"[..], b"cut \xce", b"\xed\xa0\x80"] {
        for us in both_roles() {
            let body = [&[0x03, 0xe8], reason].concat();
            us.fails([close_body(body)], Error::CloseReasonNotUtf8);
        }
    }
}

/// 5.5.1: "The application MUST NOT send any more data frames after sending a Close frame."
#[test]
fn after_our_close_nothing_more_is_sent() {
    for mut us in both_roles() {
        us.close(1001, "shutting down");
        assert_eq!(us.sent(), [close(1001, "shutting down")]);
        us.sends_nothing_more();
        us.receive([close(1001, "")]);
        us.sends_nothing_more();
    }
}

/// 5.5.1: "After both sending and receiving a Close message, an endpoint considers the WebSocket
/// connection closed". Ours was first: theirs is not answered.
#[test]
fn the_answer_to_our_close_is_not_answered() {
    for mut us in both_roles() {
        us.close(4321, "");
        us.sent();
        let said = us.receive([close(4321, "fine")]);
        assert_eq!(said, [said_close(Some(4321), "fine")]);
        assert_eq!(us.sent(), []);
        assert_eq!(us.websocket.state(), State::Closed);
        assert_eq!(us.deadline_ms(), None);
    }
}

/// 5.5.1 and 1.4: data that the peer sent before it saw our Close frame is not for the application.
#[test]
fn between_our_close_and_theirs_data_is_discarded() {
    for mut us in both_roles() {
        us.receive([text("half a").unfinished()]);
        us.close(1000, "");
        us.sent();
        let said = us.receive([
            continuation("message").unfinished(),
            continuation(""),
            text("\u{e9}"),
            binary("x").unfinished(),
            pong("heard"),
            continuation("y"),
            close(1000, ""),
        ]);
        assert_eq!(said, [said_pong("heard"), said_close(Some(1000), "")]);
        assert_eq!(us.sent(), []);
    }
}

/// 7.1.7: a broken rule after our Close frame ends the connection without a second one.
#[test]
fn between_our_close_and_theirs_rules_hold() {
    for mut us in both_roles() {
        us.close(1000, "");
        us.sent();
        let verdict = us.receive_bytes(&us.wire([close(1005, "")]));
        let error = Error::CloseCodeInvalid(corewire_protocol::CloseCode(1005));
        assert_eq!(verdict, (vec![], Err(error)));
        assert_eq!(us.websocket.state(), State::Failed(error));
        assert_eq!(us.sent(), []);
    }
}

/// 1.4: "after receiving a control frame indicating the connection should be closed, a peer
/// discards any further data received", whatever it is.
#[test]
fn after_their_close_everything_is_ignored() {
    for mut us in both_roles() {
        us.receive([close(1000, "")]);
        us.sent();
        let later = [
            text("late"),
            ping("late"),
            close(1002, ""),
            frame(15, "").rsv(RSV3),
        ];
        assert_eq!(us.receive(later), []);
        assert_eq!(us.receive_bytes(&[0xff; 1000]), (vec![], Ok(())));
        assert_eq!(us.sent(), []);
    }
}

/// 5.5: a reason has at most 123 bytes; ours is cut between two characters.
#[test]
fn our_close_reason_is_cut_to_fit() {
    for (reason, sent) in [
        ("x".repeat(123), "x".repeat(123)),
        ("x".repeat(124), "x".repeat(123)),
        ("é".repeat(62), "é".repeat(61)),
    ] {
        for mut us in both_roles() {
            us.close(1000, &reason);
            assert_eq!(us.sent(), [close(1000, &sent)]);
        }
    }
}

// 5.5.2 Ping, 5.5.3 Pong

/// 5.5.2: "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response". 5.5.3:
/// it "must have identical "Application data"".
#[test]
fn every_ping_is_answered_in_order_with_its_payload() {
    for mut us in both_roles() {
        let payloads: Vec<_> = (0..10).map(|n| pattern(n * 13)).collect();
        let pings: Vec<_> = payloads.iter().map(ping).collect();
        us.receive(pings);
        assert_eq!(us.sent(), payloads.iter().map(pong).collect::<Vec<_>>());
    }
}

/// 5.5.2: a ping is answered "unless it already received a Close frame". Our own Close frame is our
/// last word all the same: the peer discards what is behind it (1.4), and some fail on it.
#[test]
fn our_close_is_our_last_word() {
    for mut us in both_roles() {
        us.flow = Flow::Blocked;
        us.receive([ping("waiting")]);
        us.close(1000, "");
        us.flow = Flow::Open;
        assert_eq!(us.receive([ping("crossed")]), [said_ping("crossed")]);
        assert!(!us.send_late_pong());
        us.receive([ping(""), close(1000, ""), ping("")]);
        assert!(!us.send_late_pong());
        assert_eq!(us.sent(), [close(1000, "")]);
    }
}

/// 5.5.3: "A Pong frame MAY be sent unsolicited. ... A response to an unsolicited Pong frame is
/// not expected."
#[test]
fn an_unsolicited_pong_is_not_answered() {
    for mut us in both_roles() {
        assert_eq!(
            us.receive([pong("a"), pong("")]),
            [said_pong("a"), said_pong("")]
        );
        assert_eq!(us.sent(), []);
    }
}

/// 5.5: our own ping fits a control frame.
#[test]
fn our_ping_is_cut_to_125_bytes() {
    for mut us in both_roles() {
        us.ping(&[7; 126]).unwrap();
        assert_eq!(us.sent(), [ping([7; 125])]);
    }
}

// 5.6 Data Frames

/// 5.6: "a particular text frame might include a partial UTF-8 sequence; however, the whole message
/// MUST contain valid UTF-8".
#[test]
fn a_character_may_be_cut_between_fragments() {
    let letters = "aé€😀";
    for mut us in both_roles() {
        for cut in 0..=letters.len() {
            let (left, right) = letters.as_bytes().split_at(cut);
            let said = us.receive([text(left).unfinished(), continuation(right)]);
            assert_eq!(said, [said_text(letters)], "cut at {cut}");
        }
        let mut bytes: Vec<_> = letters
            .bytes()
            .map(|byte| continuation([byte]).unfinished())
            .collect();
        bytes[0].opcode = OpCode::Text as u8;
        bytes.push(continuation(""));
        assert_eq!(us.receive(bytes), [said_text(letters)]);
    }
}

// 5.7 Examples

/// 5.7, as it is printed there.
#[test]
fn the_examples_of_the_rfc() {
    let mut client = Us::new(Role::Client);
    let mut server = Us::new(Role::Server);
    let hello = || vec![said_text("Hello")];
    let to_client = |us: &mut Us, wire: &[u8]| us.receive_bytes(wire);
    assert_eq!(
        to_client(&mut client, b"\x81\x05\x48\x65\x6c\x6c\x6f"),
        (hello(), Ok(()))
    );
    assert_eq!(
        server.receive_bytes(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        (hello(), Ok(()))
    );
    assert_eq!(
        client.receive_bytes(b"\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f"),
        (hello(), Ok(()))
    );
    assert_eq!(
        client.receive_bytes(b"\x89\x05\x48\x65\x6c\x6c\x6f"),
        (vec![said_ping("Hello")], Ok(()))
    );
    assert_eq!(
        server.receive_bytes(b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        (vec![said_pong("Hello")], Ok(()))
    );
    for (header, len) in [
        (&b"\x82\x7e\x01\x00"[..], 256),
        (b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 65_536),
    ] {
        let payload = pattern(len);
        let wire = [header, &payload].concat();
        assert_eq!(
            client.receive_bytes(&wire),
            (vec![said_binary(&payload)], Ok(()))
        );
        server.send(MessageKind::Binary, &payload).unwrap();
        assert_eq!(server.sent_bytes(), wire);
    }
}

// 7.1 Definitions

/// 7.1.2 and 7.1.4: one end starts, the other answers, and it is closed for both.
#[test]
fn a_closing_handshake_from_either_end() {
    for starter in [Role::Server, Role::Client] {
        let mut us = Us::new(starter);
        let mut them = Us::new(us.peer());
        us.close(1000, "done");
        assert!(matches!(us.websocket.state(), State::Closing { .. }));
        let heard = them.receive_bytes(&us.sent_bytes());
        assert_eq!(heard, (vec![said_close(Some(1000), "done")], Ok(())));
        let heard = us.receive_bytes(&them.sent_bytes());
        assert_eq!(heard, (vec![said_close(Some(1000), "")], Ok(())));
        for mut end in [us, them] {
            assert_eq!(end.websocket.state(), State::Closed);
            assert_eq!(end.sent(), []);
        }
    }
}

/// 7.1.2: both start at once; nobody answers, and both are closed.
#[test]
fn a_closing_handshake_from_both_ends_at_once() {
    let [mut server, mut client] = both_roles();
    server.close(1001, "");
    client.close(1000, "");
    let (to_client, to_server) = (server.sent_bytes(), client.sent_bytes());
    let heard = client.receive_bytes(&to_client);
    assert_eq!(heard, (vec![said_close(Some(1001), "")], Ok(())));
    let heard = server.receive_bytes(&to_server);
    assert_eq!(heard, (vec![said_close(Some(1000), "")], Ok(())));
    for mut end in [server, client] {
        assert_eq!(end.websocket.state(), State::Closed);
        assert_eq!(end.sent(), []);
    }
}

/// 7.1.7: "An endpoint MUST NOT continue to attempt to process data (including a responding Close
/// frame) from the remote endpoint after being instructed to _Fail the WebSocket Connection_."
/// What was said before counts, what comes after in the same read does not.
#[test]
fn a_failed_connection_processes_nothing_more() {
    for mut us in both_roles() {
        let heard = us.receive_bytes(&us.wire([
            text("before"),
            ping("before"),
            text("bad").rsv(RSV2),
            text("after"),
            ping("after"),
            close(1000, ""),
        ]));
        let before = vec![said_text("before"), said_ping("before")];
        assert_eq!(heard, (before, Err(Error::ReservedBits)));
        let error = Error::ReservedBits;
        assert_eq!(us.sent(), [pong("before"), close(1002, error.reason())]);
    }
}

/// 7.4.1 and 7.4.2, and what IANA has registered since: 1012 to 1014.
#[test]
fn close_codes_that_may_be_received() {
    let valid = |code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    let borders = [
        0, 1, 999, 1016, 1100, 1999, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65_535,
    ];
    for code in (1000..=1016).chain(borders) {
        for mut us in both_roles() {
            if valid(code) {
                let said = us.receive([close(code, "")]);
                assert_eq!(said, [said_close(Some(code), "")]);
                assert_eq!(us.sent(), [close(code, "")]);
            } else {
                let error = Error::CloseCodeInvalid(corewire_protocol::CloseCode(code));
                us.fails([close(code, "")], error);
            }
        }
    }
}

/// 7.4.1: 1005, 1006 and 1015 "MUST NOT be set as a status code in a Close control frame by an
/// endpoint"; nor may what 7.4.2 reserves.
#[test]
fn we_never_send_a_reserved_close_code() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        for mut us in both_roles() {
            us.close(code, "why");
            assert_eq!(us.sent(), [close(1000, "why")]);
        }
    }
}

/// Each broken rule has a code that may be sent, a section, and a reason that fits.
#[test]
fn every_error_can_be_told_to_the_peer() {
    let code = corewire_protocol::CloseCode(0);
    for error in [
        Error::ReservedBits,
        Error::ReservedOpcode(3),
        Error::MaskMissing,
        Error::MaskUnexpected,
        Error::LengthNotMinimal,
        Error::LengthTopBit,
        Error::ControlTooLong,
        Error::ControlFragmented,
        Error::ContinuationUnexpected,
        Error::ContinuationExpected,
        Error::MessageTooLarge,
        Error::MessageTooLargeForNow,
        Error::EmptyFragments,
        Error::TextNotUtf8,
        Error::CloseBodyTooShort,
        Error::CloseCodeInvalid(code),
        Error::CloseReasonNotUtf8,
        Error::DeflateCorrupt,
        Error::InflateRatio,
        Error::InflateBudget,
        Error::PongTimeout,
    ] {
        assert!(error.close_code().may_be_sent(), "{error:?}");
        assert!(error.reason().len() <= 123, "{error:?}");
        assert!(error.to_string().contains(error.section()), "{error:?}");
        assert!(error.section().starts_with("RFC "), "{error:?}");
    }
}

// 8.1 Handling of Errors in UTF-8-Encoded Data

/// 8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte stream is
/// not, in fact, a valid UTF-8 stream, that endpoint MUST _Fail the WebSocket Connection_", with
/// 1007 (7.4.1).
#[test]
fn text_that_is_not_utf8_is_refused() {
    for bytes in NOT_UTF8 {
        for us in both_roles() {
            us.fails([text(bytes)], Error::TextNotUtf8);
        }
        for cut in 0..=bytes.len() {
            let (left, right) = bytes.split_at(cut);
            let fragments = [text(left).unfinished(), continuation(right)];
            Us::new(Role::Server).fails(fragments, Error::TextNotUtf8);
        }
        for mut us in both_roles() {
            assert_eq!(us.receive([binary(bytes)]), [said_binary(bytes)]);
        }
    }
}

/// RFC 3629: surrogates, over-long forms, what lies above U+10FFFF, and what is cut.
const NOT_UTF8: [&[u8]; 16] = [
    b"\x80",
    b"plain \xff",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x80\x80",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"cut \xce",
    b"cut \xe2\x82",
    b"cut \xf0\x9f\x98",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
];

/// RFC 3629: the first and the last of each length, and non-characters, are valid.
#[test]
fn text_at_the_borders_of_utf8_is_taken() {
    for letters in [
        "\0",
        "\u{7f}\u{80}",
        "\u{7ff}\u{800}",
        "\u{d7ff}\u{e000}",
        "\u{fffe}\u{ffff}\u{10000}",
        "\u{10ffff}",
        "\u{feff}bom",
    ] {
        for mut us in both_roles() {
            assert_eq!(us.receive([text(letters)]), [said_text(letters)]);
        }
    }
}

/// 8.1, and Autobahn 6.4: it fails at the first byte that no continuation could make valid, inside
/// a frame whose end is yet to come.
#[test]
fn text_fails_at_its_first_impossible_byte() {
    let message = b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80 and more";
    for mut us in both_roles() {
        let wire = us.wire([text(message)]);
        let header = wire.len() - message.len();
        // F4 may still become U+10FFFF; F4 90 becomes nothing.
        us.receive_part(&wire[..header + 6]);
        let verdict = us.receive_bytes(&wire[header + 6..header + 7]);
        assert_eq!(verdict, (vec![], Err(Error::TextNotUtf8)));
        us.has_failed(Error::TextNotUtf8);
    }
    for mut us in both_roles() {
        us.receive([
            text(b"\xf0").unfinished(),
            continuation(b"\x9f").unfinished(),
        ]);
        us.fails([continuation(b"\x20").unfinished()], Error::TextNotUtf8);
    }
}

//! RFC 7692 as a connection speaks it: which frames are compressed, what a message may refer to,
//! and how it is bounded. The negotiation is in `negotiation.rs`, the codec in `rfc7692_codec.rs`.
#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod support;

use corewire_protocol::deflate::{
    Agreement, Codec, DEFLATE_LEVEL, InflateBudget, SCRATCH_BYTES, Takeover, compressed_bytes_max,
};
use corewire_protocol::message::Form;
use corewire_protocol::{
    Error, Limits, MessageKind, PreparedMessage, PreparedRun, Role, State, Takes,
};

use support::{
    ALONE, Frame, Length, RSV1, RSV2, RSV3, Said, TAKEOVER, Us, Zlib, binary, both_ways, close,
    continuation, direction, noise, ping, pong, said_binary, said_close, said_ping, said_text,
    text,
};

/// RFC 7692, 7.2.3.1 and 7.2.3.2.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const HELLO_AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];

const ROLES: [Role; 2] = [Role::Server, Role::Client];

// 6 Framing

/// 6: "RSV1 ... bit indicates whether the message is compressed"; with the extension agreed upon,
/// a message without it is plain.
#[test]
fn rsv1_tells_compressed_messages_from_plain_ones() {
    for mut us in both_roles(ALONE) {
        let said = us.receive([text(HELLO).rsv(RSV1), text("Hello"), binary(HELLO)]);
        let expected = [said_text("Hello"), said_text("Hello"), said_binary(HELLO)];
        assert_eq!(said, expected);
    }
}

/// 6.1: "an endpoint MUST NOT set the "Per-Message Compressed" bit of control frames and non-first
/// fragments of a data message"; a receiver "MUST _Fail the WebSocket Connection_".
#[test]
fn rsv1_stands_on_the_first_frame_of_a_message_only() {
    for bent in [ping(""), pong(HELLO), close(1000, ""), continuation(HELLO)] {
        for us in both_roles(ALONE) {
            us.fails([bent.clone().rsv(RSV1)], Error::ReservedBits);
        }
        for first in [text(&HELLO[..3]).rsv(RSV1), text("plain")] {
            for mut us in both_roles(ALONE) {
                us.receive([first.clone().unfinished()]);
                us.fails([bent.clone().rsv(RSV1)], Error::ReservedBits);
            }
        }
    }
}

/// RFC 6455, 5.2: the extension gives no meaning to the other two bits.
#[test]
fn rsv2_and_rsv3_stay_reserved() {
    for rsv in [RSV2, RSV3, RSV1 | RSV2, RSV1 | RSV3] {
        for us in both_roles(ALONE) {
            us.fails([text(HELLO).rsv(rsv)], Error::ReservedBits);
        }
    }
}

/// 6.1: a compressed message may be fragmented anywhere: "it is the payload of the message that is
/// compressed", not that of a frame. Control frames are not, and stand between.
#[test]
fn a_compressed_message_is_fragmented_anywhere_with_control_frames_between() {
    for agreed in [ALONE, TAKEOVER] {
        for mut us in both_roles(agreed) {
            for cut in 0..=HELLO.len() {
                let (left, right) = HELLO.split_at(cut);
                let said = us.receive([
                    text(left).rsv(RSV1).unfinished(),
                    ping(HELLO),
                    continuation("").unfinished(),
                    continuation(right),
                ]);
                assert_eq!(said, [said_ping(HELLO), said_text("Hello")], "cut at {cut}");
                assert_eq!(us.sent(), [pong(HELLO)]);
            }
        }
    }
}

/// 7.2.3, with frames as they are printed there.
#[test]
fn the_examples_of_the_rfc() {
    let hello = |wire: &[u8]| {
        let mut us = us(Role::Client, TAKEOVER);
        let (said, verdict) = us.receive_bytes(wire);
        assert_eq!((said, verdict), (vec![said_text("Hello")], Ok(())));
        us
    };
    // 7.2.3.1: one frame, then three and four bytes of it.
    hello(b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00");
    let mut us = hello(b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00");
    // 7.2.3.2: takeover.
    let again = us.receive_bytes(b"\xc1\x05\xf2\x00\x11\x00\x00");
    assert_eq!(again, (vec![said_text("Hello")], Ok(())));
    // 7.2.3.3: not compressed; 7.2.3.4: a final block; 7.2.3.5: two blocks.
    hello(b"\xc1\x0b\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00");
    hello(b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00");
    hello(b"\xc1\x0d\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00");
    // 7.2.3.6: an empty message.
    assert_eq!(us.receive([text([0x00]).rsv(RSV1)]), [said_text("")]);
}

// 7.1.1 Context takeover

#[test]
fn with_takeover_a_message_refers_to_the_compressed_ones_before_it() {
    for mut us in both_roles(TAKEOVER) {
        let said = us.receive([
            text(HELLO).rsv(RSV1),
            // In the window of neither end: a plain message, and what was in a control frame.
            text("not compressed"),
            ping("nor this"),
            text(&HELLO_AGAIN[..2]).rsv(RSV1).unfinished(),
            continuation(&HELLO_AGAIN[2..]),
            binary(HELLO_AGAIN).rsv(RSV1),
        ]);
        let expected = [
            said_text("Hello"),
            said_text("not compressed"),
            said_ping("nor this"),
            said_text("Hello"),
            said_binary("Hello"),
        ];
        assert_eq!(said, expected);
    }
}

#[test]
fn without_takeover_a_message_that_refers_to_another_is_corrupt() {
    for mut us in both_roles(ALONE) {
        us.receive([text(HELLO).rsv(RSV1)]);
        us.fails([text(HELLO_AGAIN).rsv(RSV1)], Error::DeflateCorrupt);
    }
}

/// 7.1.1: takeover is agreed upon for each direction by itself.
#[test]
fn takeover_in_one_direction_is_none_in_the_other() {
    for (inbound, outbound) in [(TAKEOVER, ALONE), (ALONE, TAKEOVER)] {
        for role in ROLES {
            let agreement = Some(Agreement { inbound, outbound });
            let mut us = Us::with(role, agreement, Limits::default());
            let mut peer = Zlib::peer_of(agreement);
            for n in 0..20 {
                let letters = sentence(n);
                let payload = peer.deflate(&[letters.as_bytes()]);
                assert_eq!(us.receive([text(payload).rsv(RSV1)]), [said_text(&letters)]);
                us.send(MessageKind::Text, letters.as_bytes()).unwrap();
                assert_eq!(heard(&mut us, &mut peer), [said_text(&letters)]);
            }
        }
    }
}

/// 7.1.1 and 7.1.2: whatever way a message takes (compressed here, compressed for many, not
/// compressed, from a buffer of the driver's), and whatever was agreed upon, a zlib at the other
/// end reads it.
#[test]
fn a_peer_reads_every_mixture_of_what_we_send() {
    for window_bits in 9..=15 {
        for takeover in [Takeover::No, Takeover::Yes] {
            for role in ROLES {
                let agreement = both_ways(direction(takeover, window_bits));
                let mut us = Us::with(role, agreement, Limits::default());
                let mut peer = Zlib::peer_of(agreement);
                for n in 0..60 {
                    let letters = sentence(n).repeat(n % 9);
                    let bytes = noise(n * 29, n);
                    let expected = match (n % 6, role) {
                        (1, Role::Server) => {
                            us.send_prepared(&PreparedMessage::text(&letters));
                            said_text(&letters)
                        }
                        (2, Role::Server) => {
                            us.send_prepared(&PreparedMessage::binary(&bytes));
                            said_binary(&bytes)
                        }
                        (3, Role::Server) => {
                            us.send_header_and_payload(MessageKind::Text, letters.as_bytes());
                            said_text(&letters)
                        }
                        (4, _) => {
                            us.send(MessageKind::Binary, &bytes).unwrap();
                            said_binary(&bytes)
                        }
                        (0..=3 | 5.., _) => {
                            us.send(MessageKind::Text, letters.as_bytes()).unwrap();
                            said_text(&letters)
                        }
                    };
                    if n % 7 == 0 {
                        us.websocket.shrink();
                    }
                    let heard = heard(&mut us, &mut peer);
                    assert_eq!(heard, [expected], "{role:?} {agreement:?} {n}");
                }
            }
        }
    }
}

/// 7.1.1: and we read every mixture of a zlib's.
#[test]
fn we_read_every_mixture_of_what_a_peer_sends() {
    for window_bits in 9..=15 {
        for takeover in [Takeover::No, Takeover::Yes] {
            for role in ROLES {
                let agreement = both_ways(direction(takeover, window_bits));
                let mut us = Us::with(role, agreement, Limits::default());
                let mut peer = Zlib::peer_of(agreement);
                for n in 0..60 {
                    let letters = sentence(n).repeat(n % 9);
                    let (left, right) = letters.as_bytes().split_at(letters.len() / 3);
                    let frames = match n % 4 {
                        0 => vec![text(&letters)],
                        1 => vec![text(peer.deflate(&[letters.as_bytes()])).rsv(RSV1)],
                        2 => vec![text(peer.deflate(&[left, right])).rsv(RSV1)],
                        _ => {
                            let payload = peer.deflate(&[left, b"", right]);
                            let (a, b) = payload.split_at(payload.len() / 2);
                            vec![text(a).rsv(RSV1).unfinished(), continuation(b)]
                        }
                    };
                    assert_eq!(us.receive(frames), [said_text(&letters)]);
                    // An outbound window may be given back at any time, an inbound one not.
                    us.websocket.shrink();
                }
            }
        }
    }
}

// 7.2.1 Compression

/// 6.1: an endpoint may send any message uncompressed. We do so with what would not get smaller,
/// and with what is not worth the work.
#[test]
fn what_gains_nothing_goes_uncompressed() {
    for agreed in [ALONE, TAKEOVER] {
        for mut us in both_roles(agreed) {
            us.core.deflate_min_bytes = 128;
            let (short, long) = ("a".repeat(127), "a".repeat(128));
            let random = noise(4000, 1);
            us.send(MessageKind::Text, b"").unwrap();
            us.send(MessageKind::Text, short.as_bytes()).unwrap();
            us.send(MessageKind::Binary, &random).unwrap();
            assert_eq!(us.sent(), [text(""), text(&short), binary(&random)]);
            us.send(MessageKind::Text, long.as_bytes()).unwrap();
            let [frame] = &us.sent()[..] else {
                panic!("one frame");
            };
            assert_eq!(frame.rsv, RSV1);
            assert!(frame.payload.len() < 10);
        }
    }
}

#[test]
fn without_an_agreement_nothing_is_compressed() {
    for mut us in support::both_roles() {
        let letters = "a".repeat(1000);
        us.send(MessageKind::Text, letters.as_bytes()).unwrap();
        assert_eq!(us.sent(), [text(letters)]);
    }
}

/// One compression for any number of receivers, whose parameters it must suit.
#[test]
fn a_prepared_message_is_compressed_once() {
    let letters = sentence(1).repeat(10);
    let prepared = PreparedMessage::text(&letters);
    let mut frames = Vec::new();
    for (agreement, form) in [
        (None, Form::Plain),
        (both_ways(ALONE), Form::Compressed),
        (both_ways(direction(Takeover::No, 13)), Form::Compressed),
        (both_ways(direction(Takeover::Yes, 13)), Form::Compressed),
        (both_ways(TAKEOVER), Form::Compressed),
        (both_ways(direction(Takeover::Yes, 12)), Form::Plain),
        (both_ways(direction(Takeover::No, 9)), Form::Plain),
    ] {
        let mut us = Us::with(Role::Server, agreement, Limits::default());
        let sent = us
            .websocket
            .send_prepared(&prepared.clone(), &mut us.core.env());
        assert_eq!(sent, Ok(form), "{agreement:?}");
        if form == Form::Compressed {
            frames.push(prepared.frame(form).as_ptr_range());
        } else {
            assert_eq!(prepared.frame(form), text(&letters).wire(Role::Server));
        }
    }
    frames.dedup();
    assert_eq!(frames.len(), 1, "the same bytes for every receiver");
    // Not for messages below the threshold, nor for those that would not get smaller.
    for payload in [&b"short"[..], &noise(500, 2)] {
        let mut us = us(Role::Server, ALONE);
        us.core.deflate_min_bytes = 6;
        let prepared = PreparedMessage::binary(payload);
        let form = us.websocket.send_prepared(&prepared, &mut us.core.env());
        assert_eq!(form, Ok(Form::Plain));
    }
}

/// A run is what its messages would be one after the other, for all connections of one kind; under
/// context takeover, where a message may refer to those before it, there is none.
#[test]
fn a_run_is_the_frames_of_its_messages() {
    let messages = [
        PreparedMessage::text("Hello"),
        PreparedMessage::text(&sentence(1).repeat(10)),
        PreparedMessage::binary(&noise(500, 2)),
    ];
    for (agreement, takes) in [
        (None, Some(Takes::Plain)),
        (both_ways(direction(Takeover::No, 9)), Some(Takes::Plain)),
        (both_ways(ALONE), Some(Takes::Compressed)),
        (both_ways(TAKEOVER), None),
    ] {
        let mut us = Us::with(Role::Server, agreement, Limits::default());
        assert_eq!(us.websocket.takes(), takes, "{agreement:?}");
        let mut all = messages.iter();
        let run = us.websocket.prepare_run(&mut all, &mut us.core.env());
        assert_eq!(run.as_ref().map(PreparedRun::takes), takes);
        let Some(run) = run else {
            continue;
        };
        let mut one_by_one = Vec::new();
        for message in &messages {
            let form = us.websocket.send_prepared(message, &mut us.core.env());
            one_by_one.extend_from_slice(message.frame(form.unwrap()));
        }
        assert_eq!(run.messages(), messages.len());
        assert_eq!(run.bytes(), one_by_one);
        assert_eq!(us.websocket.send_run(&run, &us.core.env()), Ok(()));
    }
}

/// RFC 6455, 5.1: a client's frames are masked one by one, so it has none to share.
#[test]
fn a_client_sends_no_prepared_frames() {
    let mut us = us(Role::Client, ALONE);
    let prepared = PreparedMessage::text("Hello");
    assert!(
        us.websocket
            .send_prepared(&prepared, &mut us.core.env())
            .is_err()
    );
    let mut all = std::slice::from_ref(&prepared).iter();
    let run = us.websocket.prepare_run(&mut all, &mut us.core.env());
    let sent = us.websocket.send_run(&run.unwrap(), &us.core.env());
    assert!(sent.is_err());
    let header =
        us.websocket
            .send_header(MessageKind::Text, 5, &mut us.core.env(), &mut Vec::new());
    assert!(header.is_err());
}

// 7.2.2 Decompression

/// 7.2.2: what does not inflate fails the connection; 1007, since the data does not fit.
#[test]
fn what_is_not_deflate_is_refused() {
    let reserved_block_type = [0x07, 0x00];
    let cut = &HELLO[..4];
    for payload in [&reserved_block_type[..], cut, &[0xff; 50]] {
        for agreed in [ALONE, TAKEOVER] {
            for us in both_roles(agreed) {
                us.fails([text(payload).rsv(RSV1)], Error::DeflateCorrupt);
            }
            for us in both_roles(agreed) {
                let (left, right) = payload.split_at(1);
                let first = binary(left).rsv(RSV1).unfinished();
                us.fails([first, continuation(right)], Error::DeflateCorrupt);
            }
        }
    }
}

/// RFC 6455, 8.1, of the text that was compressed; a fragment may end anywhere in it.
#[test]
fn compressed_text_is_utf8() {
    for letters in [&b"\xff"[..], b"cut \xe2\x82", b"\xed\xa0\x80 surrogate"] {
        for role in ROLES {
            let mut peer = Zlib::peer_of(both_ways(ALONE));
            let payload = peer.deflate(&[letters]);
            us(role, ALONE).fails([text(&payload).rsv(RSV1)], Error::TextNotUtf8);
            let (left, right) = payload.split_at(payload.len() / 2);
            let fragments = [text(left).rsv(RSV1).unfinished(), continuation(right)];
            us(role, ALONE).fails(fragments, Error::TextNotUtf8);
            let mut us = us(role, ALONE);
            let said = us.receive([binary(&payload).rsv(RSV1)]);
            assert_eq!(said, [said_binary(letters)]);
        }
    }
    let letters = "κόσμε 😀";
    for mut us in both_roles(ALONE) {
        let payload = Zlib::peer_of(both_ways(ALONE)).deflate(&[letters.as_bytes()]);
        for cut in 0..=payload.len() {
            let (left, right) = payload.split_at(cut);
            let fragments = [text(left).rsv(RSV1).unfinished(), continuation(right)];
            assert_eq!(us.receive(fragments), [said_text(letters)]);
        }
    }
}

// RFC 6455, 10.4, of what is inflated

/// A message limit counts inflated bytes, exactly, in one frame and in several, also of what
/// does not compress.
#[test]
fn the_message_limit_is_exact_after_inflating() {
    let limits = Limits {
        message_bytes: 100_000,
        inflate_ratio: u32::MAX,
        ..Limits::default()
    };
    for role in ROLES {
        for payload in [sentence(3).into_bytes().repeat(3000), noise(100_001, 3)] {
            for (len, verdict) in [(100_000, None), (100_001, Some(Error::MessageTooLarge))] {
                let compressed = Zlib::peer_of(both_ways(ALONE)).deflate(&[&payload[..len]]);
                let (left, right) = compressed.split_at(compressed.len() / 2);
                let fragments = vec![binary(left).rsv(RSV1).unfinished(), continuation(right)];
                for frames in [vec![binary(&compressed).rsv(RSV1)], fragments] {
                    let mut us = Us::with(role, both_ways(ALONE), limits.clone());
                    match verdict {
                        Some(error) => us.fails(frames, error),
                        None => assert_eq!(us.receive(frames), [said_binary(&payload[..len])]),
                    }
                }
            }
        }
    }
}

/// So does the smaller limit of an application that takes less for a while.
#[test]
fn what_an_application_takes_for_now_is_exact_after_inflating() {
    let payload = sentence(3).into_bytes().repeat(3000);
    for role in ROLES {
        for (len, verdict) in [(5000, None), (5001, Some(Error::MessageTooLargeForNow))] {
            let compressed = Zlib::peer_of(both_ways(ALONE)).deflate(&[&payload[..len]]);
            assert!(compressed.len() < 1000);
            let (left, right) = compressed.split_at(compressed.len() / 2);
            let fragments = vec![binary(left).rsv(RSV1).unfinished(), continuation(right)];
            for frames in [vec![binary(&compressed).rsv(RSV1)], fragments] {
                let mut us = Us::with(role, both_ways(ALONE), Limits::default());
                us.websocket.limit_messages(5000);
                match verdict {
                    Some(error) => us.fails(frames, error),
                    None => assert_eq!(us.receive(frames), [said_binary(&payload[..len])]),
                }
            }
        }
    }
}

/// The frames of a compressed message are bounded before they are inflated, by what a message of
/// the limit can need.
#[test]
fn a_compressed_message_too_large_to_be_one_is_refused_at_its_header() {
    let limits = Limits {
        message_bytes: 1000,
        ..Limits::default()
    };
    let most = u64::try_from(compressed_bytes_max(1000)).unwrap();
    for role in ROLES {
        let giant = |bytes| binary("").rsv(RSV1).length(Length::Announced(bytes));
        let agreed = both_ways(ALONE);
        for bytes in [most + 70_000, 1 << 62] {
            Us::with(role, agreed, limits.clone()).fails([giant(bytes)], Error::MessageTooLarge);
        }
        // The same by fragments, each of which is small.
        let mut us = Us::with(role, agreed, limits.clone());
        let block = [0x00, 0x00, 0x00, 0xff, 0xff];
        us.receive([binary(block).rsv(RSV1).unfinished()]);
        let last = loop {
            let heard = us.receive_bytes(&us.wire([continuation(block).unfinished()]));
            if heard != (vec![], Ok(())) {
                break heard;
            }
        };
        assert_eq!(last, (vec![], Err(Error::MessageTooLarge)));
        us.has_failed(Error::MessageTooLarge);
    }
}

/// A bomb is stopped while it goes off: before its message ends, and before it is memory.
#[test]
fn a_bomb_is_stopped_before_its_end() {
    let bomb = Zlib::peer_of(both_ways(ALONE)).deflate(&[&vec![0; 64 << 20]]);
    for (ratio, error) in [
        (100, Error::InflateRatio),
        (u32::MAX, Error::MessageTooLarge),
    ] {
        for role in ROLES {
            let limits = Limits {
                inflate_ratio: ratio,
                ..Limits::default()
            };
            let whole = binary(&bomb).rsv(RSV1);
            Us::with(role, both_ways(ALONE), limits.clone()).fails([whole], error);

            let mut us = Us::with(role, both_ways(ALONE), limits);
            let mut fragments = bomb
                .chunks(100)
                .map(|piece| continuation(piece).unfinished());
            us.receive([binary("").rsv(RSV1).unfinished()]);
            let (mut taken, mut held) = (0, 0);
            let verdict = loop {
                taken += 1;
                let wire = us.wire(fragments.next());
                let (_, verdict) = us.receive_bytes(&wire);
                held = held.max(us.core.codec.budget().held());
                if verdict.is_err() {
                    break verdict;
                }
            };
            assert_eq!(verdict, Err(error));
            assert!(taken * 100 < bomb.len() / 10, "{taken} fragments");
            assert!(held < 2 << 20, "{held} bytes");
            assert_eq!(us.core.codec.budget().held(), SCRATCH_BYTES);
            us.has_failed(error);
        }
    }
}

/// What all connections inflate at once is bounded: 1013, try again later. What ends, however it
/// ends, gives back its share.
#[test]
fn the_budget_of_the_process_is_shared_and_given_back() {
    for role in ROLES {
        let budget = InflateBudget::new(2 * SCRATCH_BYTES + (400 << 10));
        let connection = || {
            let mut us = us(role, ALONE);
            us.core.codec = Codec::new(DEFLATE_LEVEL, budget.clone());
            us
        };
        let message = noise(200_000, 4);
        let payload = Zlib::peer_of(both_ways(ALONE)).deflate(&[&message]);
        let half = binary(&payload[..payload.len() - 1]).rsv(RSV1).unfinished();
        let other_half = continuation(&payload[payload.len() - 1..]);

        let mut first = connection();
        let second = connection();
        let idle = budget.held();
        first.receive([half.clone()]);
        assert!(budget.held() > idle + message.len());
        second.fails([half.clone()], Error::InflateBudget);
        assert_eq!(first.receive([other_half]), [said_binary(&message)]);
        let idle = idle - SCRATCH_BYTES;
        assert_eq!(budget.held(), idle);
        first.receive([half.clone()]);
        first.close(1001, "");
        assert_eq!(budget.held(), idle);
        drop(first);
        let mut third = connection();
        third.receive([half]);
        drop(third);
        assert_eq!(budget.held(), 0);
    }
}

/// RFC 6455, 1.4: what comes after our Close frame is not inflated any more.
#[test]
fn after_our_close_nothing_is_inflated() {
    for mut us in both_roles(TAKEOVER) {
        us.receive([text(&HELLO[..3]).rsv(RSV1).unfinished()]);
        us.close(1000, "");
        let said = us.receive([
            continuation("not deflate"),
            binary("nor this").rsv(RSV1),
            close(1000, ""),
        ]);
        assert_eq!(said, [said_close(Some(1000), "")]);
        assert_eq!(us.websocket.state(), State::Closed);
    }
}

fn us(role: Role, agreed: corewire_protocol::deflate::Direction) -> Us {
    Us::with(role, both_ways(agreed), Limits::default())
}

fn both_roles(agreed: corewire_protocol::deflate::Direction) -> [Us; 2] {
    ROLES.map(|role| us(role, agreed))
}

/// What a peer with zlib makes of what we have sent since the last call.
fn heard(us: &mut Us, peer: &mut Zlib) -> Vec<Said> {
    let read = |frame: Frame| {
        assert!(frame.fin && matches!(frame.opcode, 1 | 2), "{frame:?}");
        let bytes = match frame.rsv {
            RSV1 => peer.inflate(&frame.payload),
            _ => frame.payload,
        };
        match frame.opcode {
            1 => Said::Text(String::from_utf8(bytes).unwrap()),
            _ => Said::Binary(bytes),
        }
    };
    us.sent().into_iter().map(read).collect()
}

/// Text that repeats itself and, in part, the texts before it.
fn sentence(n: usize) -> String {
    format!(
        r#"{{"channel":"κόσμε:{}","offset":{n},"data":"{}"}}"#,
        n % 3,
        "the quick brown fox ".repeat(n % 40)
    )
}

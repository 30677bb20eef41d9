//! What is sent to `/echo` comes back: every size, every cut, pipelined, compressed, on all cores.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests have threads, and a failed unwrap is a failed test"
)]

use corewire::protocol::Limits;
use corewire::protocol::deflate::{Codec, DEFLATE_LEVEL, InflateBounds, InflateBudget};
use corewire::protocol::frame::OpCode;
use corewire::server::Site;
use corewire_testkit::frames::{self, Fin, frame};
use corewire_testkit::peer::upgrade_request;
use corewire_testkit::served::options;
use corewire_testkit::{Peer, Random, Served, eventually};

const MIB: usize = 1 << 20;

fn site() -> Served {
    Served::start(Site::default(), options())
}

#[test]
fn a_conversation() {
    let server = site();
    let mut peer = Peer::websocket(server.address());
    peer.send(frames::text("hello"));
    peer.expect_text("hello");
    peer.send(frames::binary(&[0, 255, 7]));
    peer.expect_binary(&[0, 255, 7]);
    peer.send(frames::text(""));
    peer.expect_text("");
    peer.send(frames::ping(b"are you there?"));
    peer.expect_pong(b"are you there?");
    peer.send(frames::pong(b"nobody asked"));
    peer.send(frames::text("grüße 🦀"));
    peer.expect_text("grüße 🦀");
    peer.close();
    eventually("the connection is forgotten", || server.connections() == 0);
}

/// Around each boundary of the length encoding, of the buffers and of the limit.
#[test]
fn messages_of_every_kind_of_size() {
    let server = site();
    let mut peer = Peer::websocket(server.address());
    let around = [
        125,
        126,
        127,
        4096,
        16 << 10,
        32 << 10,
        64 << 10,
        (64 << 10) - 8,
        (64 << 10) - 14,
        128 << 10,
        256 << 10,
        512 << 10,
    ];
    let sizes = around.into_iter().flat_map(|size| size - 1..=size + 1);
    let mut random = Random::new(1);
    for size in sizes.chain([0, 1, MIB - 1, MIB]) {
        let bytes = random.bytes(size);
        peer.send(frames::binary(&bytes));
        peer.expect_binary(&bytes);
        let text = "x".repeat(size);
        peer.send(frames::text(&text));
        peer.expect_text(&text);
    }
    peer.close();
}

#[test]
fn one_byte_over_the_limit_is_refused_at_its_header() {
    let server = site();
    let mut peer = Peer::websocket(server.address());
    peer.send(frames::header(OpCode::Binary, Fin::Last, (MIB + 1) as u64));
    let _ = peer.expect_close(1009);
    peer.expect_end();
    assert_eq!(server.count("over_message_bytes"), 1);

    // In fragments, the one that goes too far is refused.
    let mut peer = Peer::websocket(server.address());
    peer.send(frame(OpCode::Binary, Fin::More, &vec![1; MIB]));
    peer.send(frame(OpCode::Continuation, Fin::More, &[]));
    peer.send(frame(OpCode::Continuation, Fin::Last, &[1]));
    let _ = peer.expect_close(1009);
    peer.expect_end();

    // A frame that announces 2^62 bytes costs nothing and gets the same answer.
    let mut peer = Peer::websocket(server.address());
    peer.send(frames::header(OpCode::Text, Fin::Last, 1 << 62));
    let _ = peer.expect_close(1009);
    peer.expect_end();
}

#[test]
fn fragments_come_back_as_one_message() {
    let server = site();
    let mut peer = Peer::websocket(server.address());
    peer.send(frame(OpCode::Text, Fin::More, b"gr\xc3"));
    peer.send(frames::ping(b"between"));
    peer.send(frame(OpCode::Continuation, Fin::More, b""));
    peer.send(frame(OpCode::Continuation, Fin::Last, b"\xbc\xc3\x9fe"));
    peer.expect_pong(b"between");
    peer.expect_text("grüße");

    // As many one-byte fragments as the limit has bytes would take long; 100,000 do not.
    let one = frame(OpCode::Continuation, Fin::More, b"x");
    peer.send(frame(OpCode::Text, Fin::More, b"x"));
    peer.send(frames::repeated(&one, 99_998));
    peer.send(frame(OpCode::Continuation, Fin::Last, b"x"));
    peer.expect_text(&"x".repeat(100_000));
    peer.close();
}

#[test]
fn bytes_one_by_one() {
    let server = site();
    let mut peer = Peer::connect(server.address());
    let mut conversation = upgrade_request("/echo", &[]).into_bytes();
    conversation.extend(frames::text("one by one"));
    conversation.extend(frames::ping(b"p"));
    conversation.extend(frame(OpCode::Binary, Fin::More, b"ab"));
    conversation.extend(frame(OpCode::Continuation, Fin::Last, b"cd"));
    conversation.extend(frames::binary(&[9; 300]));
    conversation.extend(frames::close(3000));
    for byte in conversation {
        peer.send([byte]);
    }
    let _ = peer.expect_upgrade();
    peer.expect_text("one by one");
    peer.expect_pong(b"p");
    peer.expect_binary(b"abcd");
    peer.expect_binary(&[9; 300]);
    let _ = peer.expect_close(3000);
    peer.expect_end();
}

/// Ten thousand messages are sent before the first answer is read, cut at random.
#[test]
fn pipelined_messages_come_back_in_order() {
    let server = site();
    let mut peer = Peer::websocket(server.address());
    let mut sender = peer.second_handle();
    let messages: Vec<Vec<u8>> = {
        let mut random = Random::new(2);
        (0..10_000_u32)
            .map(|number| {
                let len = if random.once_in(50) { 20_000 } else { 40 };
                let mut message = number.to_be_bytes().to_vec();
                let len = random.below(len);
                message.extend(random.bytes(len));
                message
            })
            .collect()
    };
    let wire: Vec<u8> = messages.iter().flat_map(|m| frames::binary(m)).collect();
    let sending = std::thread::spawn(move || {
        let mut random = Random::new(3);
        let mut wire = &wire[..];
        while !wire.is_empty() {
            let (now, later) = wire.split_at(wire.len().min(1 + random.below(100_000)));
            sender.send(now);
            wire = later;
        }
    });
    for message in &messages {
        peer.expect_binary(message);
    }
    sending.join().unwrap();
    peer.close();
    assert_eq!(server.count("messages_out"), 10_000);
}

#[test]
fn many_connections_on_several_cores() {
    let mut options = options();
    options.cores = Some(4);
    let server = Served::start(Site::default(), options);
    let mut peers: Vec<Peer> = (0..200)
        .map(|_| Peer::websocket(server.address()))
        .collect();
    for round in 0..5 {
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.send(frames::text(&format!("{number} in round {round}")));
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.expect_text(&format!("{number} in round {round}"));
        }
    }
    let busy = (0..4).filter(|&core| server.count_on(corewire::CoreId(core), "messages_in") > 0);
    assert_eq!(busy.count(), 4, "every core has some");
    for mut peer in peers {
        peer.close();
    }
    eventually("all are forgotten", || server.connections() == 0);
}

/// Compresses and inflates what a test says.
struct Compression(Codec);

impl Compression {
    fn new() -> Self {
        Self(Codec::new(DEFLATE_LEVEL, InflateBudget::new(64 << 20)))
    }

    fn deflate(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.0.deflate(15, None, plain, &mut out);
        out
    }

    fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        let bounds = InflateBounds::from(&Limits {
            inflate_ratio: 100_000,
            ..Limits::default()
        });
        let mut out = Vec::new();
        self.0.inflate(None, payload, bounds, &mut out).unwrap();
        out
    }
}

#[test]
fn compressed_messages() {
    let server = site();
    let mut peer = Peer::deflate_websocket(server.address());
    let mut compression = Compression::new();
    let mut random = Random::new(4);
    for size in [0, 1, 100, 5000, 70_000, 300_000] {
        // Half noise, half repetition, so that it shrinks, but by far less than 100 to 1.
        let mut plain = random.bytes(size / 2);
        plain.resize(size, b'x');
        let wire = compression.deflate(&plain);
        peer.send(frames::compressed(OpCode::Binary, Fin::Last, &wire));
        let answer = peer.expect_frame();
        if answer.header.compressed {
            assert!(answer.payload.len() < size);
            assert_eq!(compression.inflate(&answer.payload), plain);
        } else {
            assert_eq!(answer.payload, plain);
        }

        // In two fragments, with a ping between them; RSV1 only on the first.
        let (first, second) = wire.split_at(wire.len() / 2);
        peer.send(frames::compressed(OpCode::Binary, Fin::More, first));
        peer.send(frames::ping(b"between"));
        peer.send(frame(OpCode::Continuation, Fin::Last, second));
        peer.expect_pong(b"between");
        let answer = peer.expect_frame();
        let back = match answer.header.compressed {
            true => compression.inflate(&answer.payload),
            false => answer.payload,
        };
        assert_eq!(back, plain);
    }
    // Uncompressed messages are welcome, too.
    peer.send(frames::text("plain"));
    peer.expect_text("plain");
    peer.close();
}

#[test]
fn what_compresses_to_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let mut options = options();
    options.engine.limits.inflate_ratio = 100_000;
    let server = Served::start(Site::default(), options);
    let mut compression = Compression::new();
    let mut peer = Peer::deflate_websocket(server.address());
    let wire = compression.deflate(&vec![b'x'; MIB]);
    peer.send(frames::compressed(OpCode::Text, Fin::Last, &wire));
    let answer = peer.expect_frame();
    assert!(answer.header.compressed);
    assert_eq!(compression.inflate(&answer.payload).len(), MIB);
    let wire = compression.deflate(&vec![b'x'; MIB + 1]);
    peer.send(frames::compressed(OpCode::Text, Fin::Last, &wire));
    let _ = peer.expect_close(1009);
    peer.expect_end();
}

/// Every broken rule has its code, and the server ends its side first.
#[test]
fn broken_rules() {
    let server = site();
    let unmasked = b"\x81\x02hi".to_vec();
    let cases: [(&str, Vec<u8>, u16); 10] = [
        ("not masked", unmasked, 1002),
        (
            "RSV1 without an extension",
            frames::compressed(OpCode::Text, Fin::Last, b"x"),
            1002,
        ),
        ("reserved opcode", vec![0x83, 0x80, 0, 0, 0, 0], 1002),
        ("fragmented ping", frame(OpCode::Ping, Fin::More, b""), 1002),
        ("long ping", vec![0x89, 0xfe, 0, 126], 1002),
        ("length not minimal", vec![0x82, 0xfe, 0, 125], 1002),
        (
            "length with the top bit",
            vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0],
            1002,
        ),
        (
            "continuation of nothing",
            frame(OpCode::Continuation, Fin::Last, b""),
            1002,
        ),
        ("not UTF-8", frame(OpCode::Text, Fin::Last, b"\xff"), 1007),
        ("close code 1006", frames::close(1006), 1002),
    ];
    for (what, bytes, code) in cases {
        let mut peer = Peer::websocket(server.address());
        peer.send(frames::text("before"));
        peer.send(bytes);
        // What follows the broken rule is not looked at.
        peer.send(frames::text("after"));
        peer.expect_text("before");
        assert_eq!(peer.close_code(), Ok(code), "{what}");
        peer.expect_end();
    }
    eventually("all are forgotten", || server.connections() == 0);
    assert_eq!(server.count("panics"), 0);
}

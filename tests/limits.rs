//! Every limit of the engine, at the limit and one beyond it.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests have clocks, and a failed unwrap is a failed test"
)]

use std::thread;
use std::time::{Duration, Instant};

use corewire::engine::{Context, Core, Handler, Message, Response, Service, UpgradeRequest};
use corewire::protocol::CloseCode;
use corewire::protocol::deflate::{Codec, DEFLATE_LEVEL, InflateBudget};
use corewire::protocol::frame::OpCode;
use corewire::server::{Options, Site};
use corewire_testkit::frames::{self, Fin, frame};
use corewire_testkit::served::options;
use corewire_testkit::{Ended, Peer, Random, Served, eventually};

/// Sends what it is told to.
///
/// `SIZE SIZE …` appends binary messages of these sizes in one call; `close` closes with 4000.
#[derive(Debug, Clone, Copy)]
struct Appends;

impl Service for Appends {
    type Handler = Self;

    fn handler(&self, _: &Core) -> Self {
        *self
    }
}

impl Handler for Appends {
    type Session = ();
    type Mail = ();

    fn upgrade(&mut self, _: &mut UpgradeRequest<'_>) -> Result<(), Response> {
        Ok(())
    }

    fn message(&mut self, (): &mut (), message: Message<'_>, context: &mut Context<'_, ()>) {
        let Some(text) = message.as_text() else {
            let _ = context.reply(message);
            return;
        };
        for word in text.split(' ') {
            match word.parse() {
                Ok(size) => {
                    let _ = context.binary(&vec![1; size]);
                }
                Err(_) => context.close(CloseCode(4000), word),
            }
        }
    }
}

fn with(change: impl FnOnce(&mut Options)) -> Served {
    let mut options = options();
    change(&mut options);
    Served::start(Appends, options)
}

fn site_with(change: impl FnOnce(&mut Options)) -> Served {
    let mut options = options();
    change(&mut options);
    Served::start(Site::default(), options)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// How long `run` takes.
fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = run();
    (result, start.elapsed())
}

fn head_with(first: &str, lines: &[String]) -> String {
    let mut head = format!("{first}\r\nHost: localhost\r\n");
    for line in lines {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head + "\r\n"
}

/// The status of the answer to one head.
fn status_of(server: &Served, head: &str) -> u16 {
    let mut peer = Peer::connect(server.address());
    peer.send(head);
    peer.reply().unwrap().status
}

// ── HTTP ──

#[test]
fn bytes_of_a_head_and_of_its_lines() {
    let server = site_with(|_| ());
    let line_max = 8 << 10;
    let head_max = 16 << 10;

    let path = |len: usize| format!("GET /{} HTTP/1.1", "x".repeat(len - "GET / HTTP/1.1".len()));
    assert_eq!(status_of(&server, &head_with(&path(line_max), &[])), 404);
    assert_eq!(
        status_of(&server, &head_with(&path(line_max + 1), &[])),
        414
    );

    let line = |len: usize| format!("A: {}", "x".repeat(len - 3));
    let ok = "GET /healthz HTTP/1.1";
    assert_eq!(status_of(&server, &head_with(ok, &[line(line_max)])), 200);
    assert_eq!(
        status_of(&server, &head_with(ok, &[line(line_max + 1)])),
        431
    );

    let base = head_with(ok, &[line(8000), line(10)]).len();
    let exact = |len: usize| head_with(ok, &[line(8000), line(10 + len - base)]);
    assert_eq!(exact(head_max).len(), head_max);
    assert_eq!(
        status_of(&server, &exact(head_max)),
        431,
        "its last line is too long"
    );
    let base = head_with(ok, &[line(8000), line(8000), line(10)]).len();
    let exact = |len: usize| head_with(ok, &[line(8000), line(8000), line(10 + len - base)]);
    assert_eq!(exact(head_max).len(), head_max);
    assert_eq!(status_of(&server, &exact(head_max)), 200);
    assert_eq!(status_of(&server, &exact(head_max + 1)), 431);
}

/// A head without an end is refused when it is too long, not when it ends.
#[test]
fn an_endless_head_is_refused() {
    let server = site_with(|_| ());
    let mut peer = Peer::connect(server.address());
    peer.send("GET / HTTP/1.1\r\n");
    let line = format!("A: {}\r\n", "x".repeat(100));
    peer.send(line.repeat(60));
    let mut sender = peer.second_handle();
    let rest = line.repeat(10_000);
    let sending = thread::spawn(move || sender.send_what_is_taken(rest.as_bytes(), ms(2000)));
    let reply = peer.expect_reply(431);
    assert_eq!(reply.header("connection"), Some("close"));
    sending.join().unwrap();
}

#[test]
fn header_lines() {
    let server = site_with(|_| ());
    // The Host line is one of them.
    let lines = |count: usize| vec!["A: b".to_owned(); count - 1];
    assert_eq!(
        status_of(&server, &head_with("GET /healthz HTTP/1.1", &lines(100))),
        200
    );
    assert_eq!(
        status_of(&server, &head_with("GET /healthz HTTP/1.1", &lines(101))),
        431
    );
}

#[test]
fn a_request_has_its_time_however_many_bytes_come() {
    let server = site_with(|options| options.engine.request_timeout_ms = 400);
    let mut peer = Peer::connect(server.address()).patient_for(ms(20));
    let mut dripper = peer.second_handle();
    let (reply, took) = timed(|| {
        // A byte every 20 ms, which would be in time for ever if bytes counted.
        for byte in "GET /".bytes().chain(std::iter::repeat_n(b'x', 500)) {
            let _ = dripper.send_what_is_taken(&[byte], ms(20));
            match peer.reply() {
                Err(Ended::Silent) => {}
                reply => return reply.unwrap(),
            }
        }
        panic!("never cut off");
    });
    assert_eq!(reply.status, 408);
    assert!((390..1500).contains(&took.as_millis()), "{took:?}");
    eventually("it is forgotten", || server.connections() == 0);
}

#[test]
fn a_further_request_has_its_time_from_its_first_byte() {
    let server = site_with(|options| {
        options.engine.request_timeout_ms = 300;
        options.engine.http_idle_timeout_ms = 1500;
    });
    let mut peer = Peer::connect(server.address());
    peer.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    let _ = peer.expect_reply(200);
    // Idle for longer than a request may take.
    peer = peer.patient_for(ms(600));
    assert_eq!(peer.rest(), (Vec::new(), Ended::Silent));
    peer = peer.patient_for(ms(10_000));
    peer.send("GET /hea");
    let (reply, took) = timed(|| peer.expect_reply(408));
    assert_eq!(reply.header("connection"), Some("close"));
    assert!((290..1200).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn a_kept_connection_may_be_idle_for_so_long() {
    let server = site_with(|options| options.engine.http_idle_timeout_ms = 300);
    let mut peer = Peer::connect(server.address());
    peer.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    let _ = peer.expect_reply(200);
    let ((), took) = timed(|| peer.expect_end());
    assert!((290..1500).contains(&took.as_millis()), "{took:?}");
    assert_eq!(server.count("request_timeouts"), 0);
}

#[test]
fn one_connection_more_than_the_process_may_have() {
    let server = site_with(|options| options.engine.connections_max = 3);
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::websocket(server.address())).collect();
    let mut fourth = Peer::connect(server.address());
    fourth.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    let reply = fourth.expect_reply(503);
    assert_eq!(reply.header("retry-after"), Some("1"));
    fourth.expect_end();
    drop(fourth);
    assert_eq!(server.count("over_connections_max"), 1);
    eventually("the fourth is forgotten", || server.connections() == 3);
    peers.pop().unwrap().close();
    eventually("a third leaves", || server.connections() == 2);
    let mut another = Peer::websocket(server.address());
    another.close();
    // Far beyond the limit nobody is even told.
    let many: Vec<Peer> = (0..60).map(|_| Peer::connect(server.address())).collect();
    eventually("they were seen", || server.count("accepted") == 65);
    assert!(server.connections() < 3 + 20, "{}", server.connections());
    drop(many);
    eventually("they are forgotten", || server.connections() == 2);
}

// ── What a peer sends ──

#[test]
fn bytes_of_a_message() {
    let server = with(|options| options.engine.limits.message_bytes = 1000);
    let mut peer = Peer::websocket(server.address());
    peer.send(frames::binary(&[7; 1000]));
    peer.expect_binary(&[7; 1000]);
    peer.send(frame(OpCode::Binary, Fin::More, &[7; 999]));
    peer.send(frame(OpCode::Continuation, Fin::Last, &[7; 1]));
    peer.expect_binary(&[7; 1000]);
    peer.send(frames::binary(&[7; 1001]));
    let _ = peer.expect_close(1009);
    peer.expect_end();

    let mut peer = Peer::websocket(server.address());
    peer.send(frame(OpCode::Binary, Fin::More, &[7; 999]));
    peer.send(frame(OpCode::Continuation, Fin::Last, &[7; 2]));
    let _ = peer.expect_close(1009);
    assert_eq!(server.count("over_message_bytes"), 2);
}

#[test]
fn empty_fragments() {
    let server = with(|options| options.engine.limits.empty_fragments = 50);
    let empty = frame(OpCode::Continuation, Fin::More, &[]);
    let mut peer = Peer::websocket(server.address());
    for _ in 0..2 {
        peer.send(frame(OpCode::Binary, Fin::More, b"a"));
        peer.send(empty.repeat(50));
        peer.send(frame(OpCode::Continuation, Fin::Last, b"z"));
        peer.expect_binary(b"az");
    }
    peer.send(frame(OpCode::Binary, Fin::More, b"a"));
    peer.send(empty.repeat(51));
    let _ = peer.expect_close(1008);
    peer.expect_end();
    assert_eq!(server.count("over_empty_fragments"), 1);
}

fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Codec::new(DEFLATE_LEVEL, InflateBudget::new(64 << 20)).deflate(15, None, plain, &mut out);
    out
}

#[test]
fn how_far_a_message_inflates() {
    let server = with(|_| ());
    // Up to the floor any ratio will do.
    let mut peer = Peer::deflate_websocket(server.address());
    let small = vec![0; 64 << 10];
    assert!(deflated(&small).len() * 100 < small.len());
    peer.send(frames::compressed(
        OpCode::Binary,
        Fin::Last,
        &deflated(&small),
    ));
    let _ = peer.expect_frame();
    // Above it 100 to 1.
    let large = vec![0; 800 << 10];
    assert!(deflated(&large).len() * 100 < large.len());
    peer.send(frames::compressed(
        OpCode::Binary,
        Fin::Last,
        &deflated(&large),
    ));
    let _ = peer.expect_close(1009);
    peer.expect_end();
    assert_eq!(server.count("over_message_bytes"), 1);
}

/// Half-inflated messages of all connections together.
#[test]
fn what_all_connections_inflate_at_once() {
    let server = with(|options| {
        options.inflate_budget_bytes = 1 << 20;
        // Who is refused can say the rest, so that no reset gets in the way of the answer.
        options.engine.linger_bytes = 1 << 20;
    });
    let noise = Random::new(5).bytes(400 << 10);
    let wire = deflated(&noise);
    let (most, last) = wire.split_at(wire.len() - 10);
    let mut holding = Vec::new();
    let refused = loop {
        let mut peer = Peer::deflate_websocket(server.address());
        peer.send(frames::compressed(OpCode::Binary, Fin::More, most));
        peer.send(frames::ping(b"?"));
        let frame = peer.expect_frame();
        if frame.header.opcode == OpCode::Close {
            break frame;
        }
        holding.push(peer);
        assert!(holding.len() < 10, "no bound");
    };
    assert_eq!(refused.close_code(), Some(1013));
    assert_eq!(server.count("over_inflate_budget"), 1);
    assert!(!holding.is_empty());
    // Those who were first get through, and then there is room again.
    for mut peer in holding {
        peer.send(frame(OpCode::Continuation, Fin::Last, last));
        peer.expect_binary(&noise);
    }
    let mut peer = Peer::deflate_websocket(server.address());
    peer.send(frames::compressed(OpCode::Binary, Fin::Last, &wire));
    peer.expect_binary(&noise);
}

#[test]
fn pings_beyond_the_rate_are_answered_by_the_newest() {
    let server = with(|options| {
        options.engine.limits.control_burst = 5;
        options.engine.limits.control_per_second = 1;
    });
    let mut peer = Peer::websocket(server.address());
    let pings: Vec<u8> = (1..=50)
        .flat_map(|number| frames::ping(&[number]))
        .collect();
    peer.send(&pings);
    for number in 1..=5 {
        peer.expect_pong(&[number]);
    }
    // However they were cut on the way, the last word is the answer to the last ping.
    let mut last = 5;
    while last < 50 {
        let pong = peer.expect_frame();
        assert_eq!(pong.header.opcode, OpCode::Pong);
        assert!(pong.payload[0] > last);
        last = pong.payload[0];
    }
    peer.send(frames::text("close"));
    let _ = peer.expect_close(4000);
    assert_eq!(server.count("pings_in"), 50);
    assert!(server.count("pongs_late") <= 5);
}

// ── What waits to be sent ──

/// Complaint 26 of users of such servers: the bound holds whatever the size of what is sent at once.
#[test]
fn what_may_be_appended_before_the_peer_takes_some() {
    let server = with(|_| ());
    let mib = 1 << 20;
    // A header of ten bytes makes it exactly the cap: one more message may be appended.
    let mut peer = Peer::websocket(server.address());
    peer.send(frames::text(&format!("{} {mib}", mib - 10)));
    assert_eq!(peer.expect_frame().payload.len(), mib - 10);
    assert_eq!(peer.expect_frame().payload.len(), mib);
    assert_eq!(server.count("over_outbound_cap"), 0);
    // One byte more waits than that: the next is the one that cuts.
    peer.send(frames::text(&format!("{} 1 1", mib - 9)));
    assert_eq!(peer.expect_frame().payload.len(), mib - 9);
    let _ = peer.expect_close(1013);
    peer.send(frames::close(1013));
    peer.expect_end();
    assert_eq!(server.count("over_outbound_cap"), 1);
}

/// An echo is never cut: it is not read while its answer waits.
#[test]
fn a_message_of_the_limit_echoes_to_a_slow_reader() {
    let server = with(|_| ());
    let dial = Peer::dial(server.address()).receive_buffer(16 << 10);
    let mut peer = dial.connect().upgraded();
    let mut sender = peer.second_handle();
    let message = Random::new(6).bytes(1 << 20);
    let wire = frames::binary(&message);
    let sending = thread::spawn(move || {
        for _ in 0..8 {
            sender.send(&wire);
        }
        sender.send(frames::text("3 close"));
    });
    // Nothing is read until the server has stopped reading.
    eventually("the server pauses", || server.count("reads_paused") > 0);
    for _ in 0..8 {
        peer.expect_binary(&message);
    }
    peer.expect_binary(&[1; 3]);
    let _ = peer.expect_close(4000);
    sending.join().unwrap();
    assert_eq!(server.count("over_outbound_cap"), 0);
}

#[test]
fn a_reader_that_takes_nothing_is_reset() {
    let server = with(|options| options.engine.outbound.stall_timeout_ms = 400);
    let dial = Peer::dial(server.address()).receive_buffer(16 << 10);
    let mut stalled = dial.connect().upgraded();
    let mut slow = dial.connect().upgraded();
    let start = Instant::now();
    for peer in [&mut stalled, &mut slow] {
        // More than the kernel buffers.
        peer.send(frames::text("1000000 7000000"));
    }
    // The slow one takes a little now and then, four times longer than the timeout.
    let mut taken = 0;
    while start.elapsed() < ms(1600) {
        taken += slow.sip(100_000);
        thread::sleep(ms(50));
    }
    assert!(taken < 8_000_000);
    assert_eq!(server.count("stalled"), 1);
    assert_eq!(server.connections(), 1);
    stalled.expect_reset();
    // It still gets the rest.
    while taken < 8_000_020 {
        taken += slow.sip(1 << 20);
    }
    slow.send(frames::text("close"));
    let _ = slow.expect_close(4000);
}

#[test]
fn an_unfinished_message_has_its_time() {
    let server = with(|options| options.engine.limits.message_timeout_ms = 300);
    let mut peer = Peer::websocket(server.address());
    let mut unfinished = frames::text("hello");
    unfinished[0] &= 0x7f;
    peer.send(unfinished);
    let _ = peer.expect_close(1008);
    assert_eq!(server.count("message_timeouts"), 1);
}

#[test]
fn a_connection_that_ends_takes_what_is_queued_in_its_time() {
    let server = with(|options| options.engine.outbound.flush_timeout_ms = 500);
    let mut peer = Peer::dial(server.address())
        .receive_buffer(16 << 10)
        .connect()
        .upgraded();
    // More than the cap: closed with 1013, behind what is queued.
    peer.send(frames::text("1000000 7000000 1"));
    let start = Instant::now();
    // It takes some all the time, and would take minutes for all.
    while server.connections() > 0 {
        peer.sip(1000);
        thread::sleep(ms(20));
        assert!(start.elapsed() < ms(5000), "it is still there");
    }
    assert!(start.elapsed() >= ms(400), "it had no time");
    assert_eq!(server.count("stalled"), 0);
}

// ── The end ──

#[test]
fn bytes_that_are_read_after_our_last_words() {
    for over in [0, 1] {
        let server = with(|options| {
            options.engine.linger_bytes = 10_000;
            options.engine.limits.close_timeout_ms = 60_000;
        });
        let mut peer = Peer::websocket(server.address());
        peer.send(b"\xff\xff");
        let _ = peer.expect_close(1002);
        peer.expect_end();
        assert_eq!(server.connections(), 1);
        let before = server.count("bytes_in");
        let bytes = 10_000 + over;
        peer.send(vec![0; bytes]);
        eventually("it is read", || {
            server.count("bytes_in") - before == bytes as u64
        });
        if over == 0 {
            assert_eq!(server.connections(), 1);
            peer.half_close();
            eventually("it is forgotten", || server.connections() == 0);
        } else {
            eventually("it is forgotten", || server.connections() == 0);
            assert_eq!(peer.send_what_is_taken(&[0], ms(1000)), 0, "it was reset");
        }
    }
}

#[test]
fn a_peer_that_does_not_end_its_side_is_waited_for_so_long() {
    let server = with(|options| options.engine.limits.close_timeout_ms = 300);
    let mut peer = Peer::websocket(server.address());
    peer.send(b"\xff\xff");
    let _ = peer.expect_close(1002);
    peer.expect_end();
    let ((), took) = timed(|| eventually("it is forgotten", || server.connections() == 0));
    assert!((200..1500).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn a_peer_that_does_not_answer_our_close_frame() {
    let server = with(|options| options.engine.limits.close_timeout_ms = 300);
    let mut peer = Peer::websocket(server.address());
    peer.send(frames::text("close"));
    let _ = peer.expect_close(4000);
    // What it says instead does not count.
    peer.send(frames::text("not now"));
    let ((), took) = timed(|| peer.expect_end());
    assert!((200..1500).contains(&took.as_millis()), "{took:?}");
    drop(peer);
    eventually("it is forgotten", || server.connections() == 0);
}

#[test]
fn a_silent_peer_is_pinged_and_then_given_up() {
    let server = with(|options| {
        options.engine.limits.ping_interval_ms = 200;
        options.engine.limits.pong_timeout_ms = 300;
        options.engine.limits.close_timeout_ms = 200;
    });
    let mut silent = Peer::websocket(server.address());
    let ((), took) = timed(|| silent.expect(OpCode::Ping, b""));
    assert!((190..900).contains(&took.as_millis()), "{took:?}");
    let (_, took) = timed(|| silent.expect_close(1001));
    assert!((290..1200).contains(&took.as_millis()), "{took:?}");
    silent.expect_end();
    assert_eq!(server.count("pong_timeouts"), 1);
    eventually("it is forgotten, though it never ends its side", || {
        server.connections() == 0
    });

    // One that answers stays, and one that speaks is not even asked.
    let mut answers = Peer::websocket(server.address());
    let mut speaks = Peer::websocket(server.address()).patient_for(ms(50));
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..4 {
                answers.expect(OpCode::Ping, b"");
                answers.send(frames::pong(b""));
            }
        });
        scope.spawn(|| {
            for _ in 0..16 {
                speaks.send(frames::pong(b"unasked"));
                assert_eq!(speaks.frame(), Err(Ended::Silent));
            }
        });
    });
    assert_eq!(server.connections(), 2);
}

/// A client behind a dead line: nothing of what it should say comes, and nothing that is sent to
/// it is taken.
#[test]
fn a_blackholed_client_is_gone() {
    let server = with(|options| {
        options.engine.limits.ping_interval_ms = 200;
        options.engine.limits.pong_timeout_ms = 200;
        options.engine.limits.close_timeout_ms = 200;
        options.engine.outbound.stall_timeout_ms = 400;
    });
    let dial = Peer::dial(server.address()).receive_buffer(16 << 10);
    let quiet = dial.connect().upgraded();
    let mut owed_much = dial.connect().upgraded();
    owed_much.send(frames::text("500000 400000"));
    owed_much.send(frames::text("500000 400000").repeat(8));
    let ((), took) = timed(|| eventually("both are gone", || server.connections() == 0));
    assert!(took < ms(3000), "{took:?}");
    drop((quiet, owed_much));
}

#[test]
fn an_idle_connection_is_closed_with_1001() {
    let server = with(|options| {
        options.engine.limits.idle_timeout_ms = 400;
        options.engine.limits.ping_interval_ms = 100;
    });
    let mut peer = Peer::websocket(server.address());
    for _ in 0..3 {
        thread::sleep(ms(200));
        peer.send(frames::binary(b"busy"));
        while peer.expect_frame().header.opcode == OpCode::Ping {
            peer.send(frames::pong(b""));
        }
    }
    // Pings and pongs are no messages.
    let (code, took) = timed(|| {
        loop {
            let frame = peer.expect_frame();
            if let Some(code) = frame.close_code() {
                return code;
            }
            peer.send(frames::pong(b""));
        }
    });
    assert_eq!(code, 1001);
    assert!((350..1500).contains(&took.as_millis()), "{took:?}");
    peer.send(frames::close(1001));
    peer.expect_end();
    assert_eq!(server.count("idle_timeouts"), 1);
}

//! Pings, limits and the stop.

use std::time::{Duration, Instant};

use corewire::messaging::{Identity, Options};
use corewire::protocol::deflate::{DeflateConfig, Direction, Takeover};
use corewire::protocol::native::Dialect;
use corewire_testkit::peer::upgrade_request;
use corewire_testkit::served::options;
use corewire_testkit::{NativeClient, Peer, Random, frames};

use crate::{cores, one_core, serve};

fn impatient() -> Options {
    Options {
        ping_ms: 100,
        slack_ms: 200,
        ..Options::default()
    }
}

/// Complaints 60 and 61: the server asks, and nobody stays who does not answer.
#[test]
fn a_client_that_answers_no_ping_is_closed() {
    let server = cores(1, impatient());
    let mut dead = NativeClient::connect(server.address(), Dialect::Json);
    assert_eq!(dead.expect_push("ping")["t"], 1);
    assert_eq!(dead.expect_push("ping")["t"], 2);
    assert_eq!(dead.expect_push("closing")["code"], 4103);
    assert_eq!(dead.expect()["close"], 4103);
}

/// With context takeover a reply that comes again refers to the one before, until the connection was
/// idle: then the server has kept nothing that it could refer to.
#[test]
fn an_idle_client_costs_no_window() {
    let both = Direction {
        takeover: Takeover::Yes,
        window_bits: 15,
    };
    let mut server_options = options();
    server_options.engine.deflate = DeflateConfig::new(both, both);
    let server = serve(impatient(), Identity::Anonymous, server_options);
    let bytes = Random::new(7).bytes(800);
    let letters: String = bytes
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect();
    NativeClient::connect(server.address(), Dialect::Json).ask(&format!(
        r#"{{"pub":{{"topic":"news","data":"{letters}"}}}}"#
    ));
    let mut client = Peer::connect(server.address());
    let headers = [
        "Sec-WebSocket-Protocol: corewire.v1.json",
        "Sec-WebSocket-Extensions: permessage-deflate",
    ];
    client.send(upgrade_request("/ws", &headers));
    client.expect_upgrade();
    client.send(frames::text(r#"{"id":1,"hello":{"v":1}}"#));
    client.expect_frame();
    let fresh = page_bytes(&mut client);
    let again = page_bytes(&mut client);
    assert!(again < fresh / 3, "{again} of {fresh} bytes");
    while !client.expect_frame().payload.starts_with(br#"{"ping""#) {}
    let rested = page_bytes(&mut client);
    assert!(rested > fresh / 2, "{rested} of {fresh} bytes");
}

/// Asks for the topic's history: what its reply has on the wire.
fn page_bytes(client: &mut Peer) -> usize {
    client.send(frames::text(r#"{"id":2,"hist":{"topic":"news"}}"#));
    loop {
        // What is as short as a ping is not compressed.
        let frame = client.expect_frame();
        if frame.header.compressed {
            return frame.payload.len();
        }
    }
}

/// Complaint 51: while a crowd leaves, whoever comes is not kept waiting.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is the question"
)]
fn whoever_comes_while_a_crowd_leaves_is_served_at_once() {
    let server = cores(2, Options::default());
    let mut crowd: Vec<NativeClient> = (0..300)
        .map(|_| NativeClient::connect(server.address(), Dialect::Json))
        .collect();
    for (number, client) in crowd.iter_mut().enumerate() {
        let topic = |n| match n % 2 {
            0 => format!("crowd.all{n}"),
            _ => format!("crowd.own{number}.{n}"),
        };
        let subscribe = |n| format!(r#"{{"sub":{{"s":{n},"topic":"{}"}}}}"#, topic(n));
        let commands: Vec<String> = (1..=100).map(subscribe).collect();
        client.say_all(&commands);
        assert!(client.ask(r#"{"pong":{"t":0}}"#).get("ok").is_some());
    }
    drop(crowd);
    for _ in 0..20 {
        let begin = Instant::now();
        let mut newcomer = NativeClient::connect(server.address(), Dialect::Json);
        let subbed = newcomer.ask(r#"{"sub":{"s":1,"topic":"crowd.all2"}}"#);
        assert!(subbed.get("subbed").is_some(), "{subbed}");
        assert!(begin.elapsed() < Duration::from_secs(2), "it has to wait");
    }
}

#[test]
fn a_client_that_answers_stays() {
    let server = cores(1, impatient());
    let mut alive = NativeClient::connect(server.address(), Dialect::Binary);
    for _ in 0..5 {
        let ping = alive.expect_push("ping");
        alive.say(&format!(r#"{{"pong":{{"t":{}}}}}"#, ping["t"]));
    }
    assert!(alive.ask(r#"{"pong":{"t":0}}"#).get("ok").is_some());
}

/// Whoever only talks must learn all the same that somebody is there.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "it talks all the time, and time must pass"
)]
fn a_client_that_only_publishes_is_pinged() {
    let server = cores(1, impatient());
    let mut talker = NativeClient::connect(server.address(), Dialect::Json);
    for _ in 0..100 {
        talker.say(r#"{"pub":{"topic":"t","data":1}}"#);
        std::thread::sleep(Duration::from_millis(5));
    }
    talker.say(r#"{"id":7,"pong":{"t":0}}"#);
    let heard = talker.expect();
    assert!(heard.get("ping").is_some(), "{heard}");
}

/// Complaints 52 and 53: a stop says so, and when to come back.
#[test]
fn a_stop_tells_clients_to_come_back_each_at_its_own_moment() {
    let server = cores(2, Options::default());
    let mut clients: Vec<NativeClient> = (0..10)
        .map(|_| NativeClient::connect(server.address(), Dialect::Json))
        .collect();
    server.stop();
    for client in &mut clients {
        let closing = client.expect_push("closing");
        assert_eq!(closing["code"], 4200);
        assert_eq!(closing["spread_ms"], 5000);
        assert_eq!(client.expect()["close"], 4200);
    }
}

#[test]
fn limits_are_told_and_kept() {
    let server = cores(
        1,
        Options {
            subscriptions_max: 3,
            publish_per_s: 1,
            publish_burst: 2,
            ..Options::default()
        },
    );
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    for s in 1..=3 {
        let topic = format!(r#"{{"sub":{{"s":{s},"topic":"t{s}"}}}}"#);
        assert!(client.ask(&topic).get("subbed").is_some());
    }
    let fourth = client.ask(r#"{"sub":{"s":4,"topic":"t4"}}"#);
    assert_eq!(fourth["err"]["code"], 107);
    let publish = r#"{"pub":{"topic":"t1","data":1}}"#;
    assert!(client.ask(publish).get("pubbed").is_some());
    assert!(client.ask(publish).get("pubbed").is_some());
    let third = client.ask(publish);
    assert_eq!(third["err"]["code"], 108);
    assert!(third["err"]["retry_ms"].as_u64().unwrap() <= 1000);
}

#[test]
fn a_message_that_could_not_be_sent_on_is_refused() {
    let server = one_core();
    let mut client = NativeClient::connect(server.address(), Dialect::Binary);
    let data = "A".repeat((1 << 20) - 1000);
    let refused = client.ask(&format!(r#"{{"pub":{{"topic":"t","data":"{data}"}}}}"#));
    assert_eq!(refused["err"]["code"], 114);
    // Twice as long as JSON, and larger as base64.
    let bytes = "A".repeat(((1 << 20) - 2048) / 4 * 4);
    let fits = client.ask(&format!(r#"{{"pub":{{"topic":"t","b64":"{bytes}"}}}}"#));
    assert!(fits.get("pubbed").is_some(), "{fits}");
}

#[test]
fn a_message_in_the_other_dialect_is_the_end() {
    let server = one_core();
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    client.peer().send(frames::binary(b"\x07\x02\x01\x00"));
    assert_eq!(client.expect_push("closing")["code"], 4003);
}

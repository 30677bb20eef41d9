//! Who may come in, and for how long.

use corewire::messaging::{Identity, Options, TokenKey};
use corewire::protocol::deflate::{Codec, DEFLATE_LEVEL, InflateBudget};
use corewire::protocol::frame::OpCode;
use corewire::protocol::native::Dialect;
use corewire_testkit::frames::{self, Fin};
use corewire_testkit::peer::upgrade_request;
use corewire_testkit::served::{self, options};
use corewire_testkit::{NativeClient, Peer, Served};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use crate::{one_core, serve};

const KEY: [u8; 32] = [9; 32];

pub(crate) fn with_tokens(messaging: Options) -> Served {
    let identity = Identity::Token(TokenKey::new(&KEY).unwrap());
    serve(messaging, identity, options())
}

#[expect(clippy::disallowed_methods, reason = "a token has a date")]
pub(crate) fn token(user: &str, seconds: u64) -> String {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "sub": user, "exp": now + seconds });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(&KEY)).unwrap()
}

#[test]
fn a_client_without_a_dialect_is_told_which_there_are() {
    let server = one_core();
    let mut peer = Peer::connect(server.address());
    peer.send(upgrade_request("/ws", &[]));
    let reply = peer.expect_reply(400);
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(
        text.contains("corewire.v1.json") && text.contains("corewire.v1.bin"),
        "{text}"
    );
}

/// A message before the `hello` is no memory beyond `hello_bytes`, whichever way it comes: the end of
/// the connection comes before any further byte is sent.
#[test]
fn a_stranger_has_no_more_than_hello_bytes() {
    const MOST: usize = 4096;
    let options = Options {
        hello_bytes: MOST,
        ..Options::default()
    };
    let server = serve(options, Identity::Anonymous, served::options());
    let hello = |bytes: usize| format!("{:<bytes$}", r#"{"id":1,"hello":{"v":1}}"#);
    let stranger = || {
        let json = format!("Sec-WebSocket-Protocol: {}", Dialect::Json.subprotocol());
        let deflate = "Sec-WebSocket-Extensions: permessage-deflate";
        let mut peer = Peer::connect(server.address());
        peer.send(upgrade_request("/ws", &[&json, deflate]));
        peer.expect_upgrade();
        peer
    };
    let taken = [
        frames::text(&hello(MOST)),
        frames::fragmented(OpCode::Text, hello(MOST).as_bytes(), 7),
        frames::compressed(OpCode::Text, Fin::Last, &deflated(&hello(MOST))),
    ];
    for message in taken {
        let mut peer = stranger();
        peer.send(message);
        let welcome = peer.expect_frame();
        assert_eq!(welcome.header.opcode, OpCode::Text);
        // What comes behind it is limited as everything is.
        peer.send(frames::text(&format!(
            "{:<50000}",
            r#"{"id":2,"pong":{"t":0}}"#
        )));
        assert_eq!(peer.expect_frame().header.opcode, OpCode::Text);
        peer.close();
    }
    let fragment = |len| frames::frame(OpCode::Continuation, Fin::More, &[b' '; MOST][..len]);
    let first = frames::frame(OpCode::Text, Fin::More, b" ");
    let mut many = first.clone();
    for _ in 0..MOST / 64 - 1 {
        many.extend(fragment(64));
    }
    let compressed = deflated(&hello(MOST + 1));
    let (left, right) = compressed.split_at(compressed.len() - 4);
    let too_large = [
        // Its header alone: the rest is never sent.
        frames::header(OpCode::Text, Fin::Last, MOST as u64 + 1),
        frames::header(OpCode::Text, Fin::More, 1 << 40),
        [
            &first[..],
            &frames::header(OpCode::Continuation, Fin::Last, MOST as u64),
        ]
        .concat(),
        [
            &many[..],
            &frames::header(OpCode::Continuation, Fin::More, 64),
        ]
        .concat(),
        frames::compressed(OpCode::Text, Fin::Last, &compressed),
        [
            frames::compressed(OpCode::Text, Fin::More, left),
            frames::frame(OpCode::Continuation, Fin::More, right),
        ]
        .concat(),
    ];
    let count = too_large.len() as u64;
    for (number, message) in too_large.into_iter().enumerate() {
        let mut peer = stranger();
        peer.send(message);
        assert_eq!(peer.close_code(), Ok(1009), "{number}");
    }
    assert_eq!(server.count("over_message_bytes"), count);
}

fn deflated(plain: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut codec = Codec::new(DEFLATE_LEVEL, InflateBudget::new(1 << 20));
    codec.deflate(15, None, plain.as_bytes(), &mut out);
    out
}

#[test]
fn a_token_says_who_publishes() {
    let server = with_tokens(Options::default());
    let mut ada = NativeClient::open(server.address(), Dialect::Json);
    let hello = format!(r#"{{"hello":{{"v":1,"token":"{}"}}}}"#, token("ada", 60));
    let welcome = ada.ask(&hello);
    assert_eq!(welcome["welcome"]["user"], "ada");
    assert!(welcome["welcome"]["expires_ms"].as_u64().unwrap() <= 60_000);
    ada.ask(r#"{"sub":{"s":1,"topic":"x"}}"#);
    ada.ask(r#"{"pub":{"topic":"x","data":1}}"#);
    assert_eq!(ada.expect_push("msg")["pub"]["user"], "ada");
    let other = ada.ask(&format!(r#"{{"auth":{{"token":"{}"}}}}"#, token("eve", 60)));
    assert_eq!(other["err"]["code"], 102);
    let longer = ada.ask(&format!(
        r#"{{"auth":{{"token":"{}"}}}}"#,
        token("ada", 600)
    ));
    assert!(longer["ok"]["expires_ms"].as_u64().unwrap() > 60_000);
}

#[test]
fn whoever_has_no_good_token_is_turned_away() {
    let server = with_tokens(Options::default());
    for (hello, code, close) in [
        (r#"{"hello":{"v":1}}"#.to_owned(), 101, 4001),
        (r#"{"hello":{"v":1,"token":"x.y.z"}}"#.to_owned(), 101, 4001),
        (
            format!(r#"{{"hello":{{"v":1,"token":"{}"}}}}"#, token("ada", 0)),
            109,
            4203,
        ),
    ] {
        let mut client = NativeClient::open(server.address(), Dialect::Json);
        let refused = client.ask(&hello);
        assert_eq!(refused["err"]["code"], code, "{refused}");
        assert_eq!(client.expect_push("closing")["code"], close);
        assert_eq!(client.expect()["close"], close);
    }
}

#[test]
fn a_token_that_ends_is_asked_for_again_and_then_the_connection_ends() {
    let server = with_tokens(Options {
        token_warning_ms: 1000,
        ..Options::default()
    });
    let mut ada = NativeClient::open(server.address(), Dialect::Binary);
    let hello = format!(r#"{{"hello":{{"v":1,"token":"{}"}}}}"#, token("ada", 2));
    ada.ask(&hello);
    let expiring = ada.expect_push("token_expiring");
    assert!(expiring["in_ms"].as_u64().unwrap() <= 1000, "{expiring}");
    assert_eq!(ada.expect_push("closing")["code"], 4203);
}

/// Complaint 58: nothing is lost with a token that ends, if the next one comes in time.
#[test]
fn a_token_that_is_renewed_keeps_the_connection_and_its_subscriptions() {
    let server = with_tokens(Options {
        token_warning_ms: 300,
        ping_ms: 100,
        ..Options::default()
    });
    let mut ada = NativeClient::open(server.address(), Dialect::Binary);
    let hello = format!(r#"{{"hello":{{"v":1,"token":"{}"}}}}"#, token("ada", 2));
    ada.ask(&hello);
    ada.ask(r#"{"sub":{"s":1,"topic":"x"}}"#);
    loop {
        let word = ada.expect();
        if let Some(ping) = word.get("ping") {
            ada.say(&json!({ "pong": ping }).to_string());
        } else if word.get("token_expiring").is_some() {
            break;
        }
    }
    ada.say(&format!(r#"{{"auth":{{"token":"{}"}}}}"#, token("ada", 60)));
    // Longer than the first token would have lived, with what is added to it.
    for _ in 0..10 {
        let ping = ada.expect_push("ping");
        ada.say(&json!({ "pong": ping }).to_string());
    }
    ada.ask(r#"{"pub":{"topic":"x","data":1}}"#);
    assert_eq!(ada.expect_push("msg")["data"], 1);
}

#[test]
fn whoever_says_nothing_is_closed() {
    let server = serve(
        Options {
            hello_timeout_ms: 50,
            ..Options::default()
        },
        Identity::Anonymous,
        options(),
    );
    let mut silent = NativeClient::open(server.address(), Dialect::Json);
    assert_eq!(silent.expect_push("closing")["code"], 4007);
    assert_eq!(silent.expect()["close"], 4007);
}

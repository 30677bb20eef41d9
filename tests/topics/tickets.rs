//! Tickets: the same user and the same producer on the next connection.

use corewire::messaging::{Identity, Messaging, Options, TokenKey};
use corewire::protocol::native::Dialect;
use corewire::server::Site;
use corewire_testkit::served::options;
use corewire_testkit::{NativeClient, Served};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::{cores, unlimited};

const KEY: [u8; 32] = [9; 32];

fn with_tokens() -> Served {
    let identity = Identity::Token(TokenKey::new(&KEY).unwrap());
    let messaging = Messaging::new(unlimited(), identity, 1 << 20, 42).with_ticket_key(&[3; 32]);
    Served::start(Site::new(messaging), options())
}

#[expect(clippy::disallowed_methods, reason = "a token has a date")]
fn token(user: &str, seconds: u64) -> String {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "sub": user, "exp": now + seconds });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(&KEY)).unwrap()
}

fn hello(server: &Served, hello: &Value) -> (NativeClient, Value) {
    let mut client = NativeClient::open(server.address(), Dialect::Json);
    let reply = client.ask(&json!({ "hello": hello }).to_string());
    (client, reply["welcome"].clone())
}

#[test]
fn a_ticket_restores_the_user_without_a_token() {
    let server = with_tokens();
    let (mut ada, welcome) = hello(&server, &json!({ "v": 1, "token": token("ada", 60) }));
    assert_eq!(welcome.get("resumed"), None);
    let mut ticket = welcome["ticket"].clone();
    ada.peer().hang_up();
    for _ in 0..3 {
        let (mut client, welcome) = hello(&server, &json!({ "v": 1, "resume": ticket }));
        assert_eq!(welcome["user"], "ada", "{welcome}");
        assert_eq!(welcome["resumed"], true);
        assert!(
            welcome["expires_ms"].as_u64().unwrap() <= 60_000,
            "as its token"
        );
        assert_ne!(welcome["ticket"], ticket, "the next one");
        ticket = welcome["ticket"].clone();
        client.peer().hang_up();
    }
    // With a token of the same user it is the same session; with one of another it is none.
    for (user, resumed) in [("ada", Some(&json!(true))), ("eve", None)] {
        let said = json!({ "v": 1, "resume": ticket, "token": token(user, 60) });
        let (_, welcome) = hello(&server, &said);
        assert_eq!(welcome["user"], user, "{welcome}");
        assert_eq!(welcome.get("resumed"), resumed, "{welcome}");
    }
}

/// Refused softly: as if there were none.
#[test]
fn a_ticket_of_another_server_is_good_for_nothing() {
    let (one, other) = (cores(1, unlimited()), with_tokens());
    let (_, welcome) = hello(&one, &json!({ "v": 1 }));
    let anonymous = welcome["user"].clone();
    let mut ticket = welcome["ticket"].as_str().unwrap().to_owned();
    let (_, welcome) = hello(&one, &json!({ "v": 1, "resume": ticket }));
    assert_eq!(
        (&welcome["user"], &welcome["resumed"]),
        (&anonymous, &json!(true))
    );
    for bad in [
        ticket.clone(),
        "nonsense".to_owned(),
        String::new(),
        token("ada", 60),
    ] {
        let mut client = NativeClient::open(other.address(), Dialect::Json);
        let reply = client.ask(&json!({ "hello": { "v": 1, "resume": bad } }).to_string());
        assert_eq!(reply["err"]["code"], 101, "{reply}");
        assert_eq!(client.expect_push("closing")["code"], 4001);
        let said = json!({ "v": 1, "resume": bad, "token": token("ada", 60) });
        let (_, welcome) = hello(&other, &said);
        assert_eq!(welcome["user"], "ada");
        assert_eq!(welcome.get("resumed"), None);
    }
    ticket.pop();
    let (_, welcome) = hello(&one, &json!({ "v": 1, "resume": ticket }));
    assert_eq!(welcome.get("resumed"), None, "{welcome}");
    assert_ne!(welcome["user"], anonymous);
}

#[test]
fn a_ticket_ends_with_its_time() {
    let short = Options {
        ticket_ms: 0,
        ..unlimited()
    };
    let server = cores(1, short);
    let (_, welcome) = hello(&server, &json!({ "v": 1 }));
    let (_, again) = hello(&server, &json!({ "v": 1, "resume": welcome["ticket"] }));
    assert_eq!(again.get("resumed"), None, "{again}");
}

/// What a producer did not want back it does not get on its next connection either.
#[test]
fn a_session_goes_on_over_connections() {
    let server = cores(2, unlimited());
    let (mut client, welcome) = hello(&server, &json!({ "v": 1 }));
    let subbed = client.ask(r#"{"sub":{"s":1,"topic":"x"}}"#);
    let mine = client.ask(r#"{"pub":{"topic":"x","data":"mine","echo":false,"pseq":1}}"#);
    assert_eq!(mine["pubbed"]["offset"], 1);
    client.peer().hang_up();
    let from = json!({ "epoch": subbed["subbed"]["epoch"], "offset": 0 });
    let said = json!({
        "v": 1, "resume": welcome["ticket"],
        "subs": [{ "s": 1, "topic": "x", "from": from }],
    });
    let (mut client, welcome) = hello(&server, &said);
    assert_eq!(welcome["resumed"], true, "{welcome}");
    assert!(client.expect().get("topic").is_some());
    assert_eq!(client.expect()["pos"]["o"], 1);
    // P4: what was sent and not answered is sent again, and has one offset.
    let again = client.ask(r#"{"pub":{"topic":"x","data":"mine","pseq":1}}"#);
    assert_eq!(
        (&again["pubbed"]["offset"], &again["pubbed"]["dup"]),
        (&json!(1), &json!(true))
    );
    let next = client.ask(r#"{"pub":{"topic":"x","data":"next","pseq":2}}"#);
    assert_eq!(next["pubbed"]["offset"], 2);
}

/// P2: who has come back speaks for the producer, and nobody else.
#[test]
fn an_older_connection_of_a_producer_is_refused() {
    let server = cores(2, unlimited());
    let (mut old, welcome) = hello(&server, &json!({ "v": 1 }));
    old.ask(r#"{"pub":{"topic":"x","data":1,"pseq":1}}"#);
    let (mut new, _) = hello(&server, &json!({ "v": 1, "resume": welcome["ticket"] }));
    let next = new.ask(r#"{"pub":{"topic":"x","data":2,"pseq":2}}"#);
    assert_eq!(next["pubbed"]["offset"], 2, "{next}");
    let late = old.ask(r#"{"pub":{"topic":"x","data":3,"pseq":3}}"#);
    assert_eq!(late["err"]["code"], 113, "{late}");
}

#[test]
fn a_hello_without_an_id_is_refused() {
    for dialect in Dialect::ALL {
        let server = cores(1, unlimited());
        let mut client = NativeClient::open(server.address(), dialect);
        client.say(r#"{"hello":{"v":1}}"#);
        let closing = client.expect_push("closing");
        assert_eq!(closing["code"], 4003, "{closing}");
        assert_eq!(client.expect()["close"], 4003);
    }
}

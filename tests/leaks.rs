//! Clients that have gone leave nothing behind, whatever they did with topics.

use std::alloc::System;

use cap::Cap;
use corewire::messaging::{Identity, Messaging, Options};
use corewire::protocol::native::Dialect;
use corewire::server::{self, Site};
use corewire_testkit::served::options;
use corewire_testkit::{NativeClient, Random, Served, eventually};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const CLIENTS: usize = 400;
/// Tables grow to the size that they need.
const WARM_UP: usize = 4;
const ROUNDS: usize = 6;
/// What each client of the rounds may leave behind: less than the least that a core could forget to
/// forget. Tables that still grow once take some of it.
const LEFT_MAX: usize = 48;

#[test]
fn nothing_is_left_of_clients_that_have_gone() {
    let messaging = Options {
        history_age_ms: 100,
        dedup_ms: 100,
        topic_idle_ms: 100,
        grace_ms: 100,
        ..Options::default()
    };
    let server = server::Options {
        cores: Some(2),
        ..options()
    };
    let message_bytes = server.engine.limits.message_bytes;
    let messaging = Messaging::new(messaging, Identity::Anonymous, message_bytes, 42);
    let server = Served::start(Site::new(messaging), server);
    let mut random = Random::new(1);
    let mut allocated = Vec::new();
    for round in 0..WARM_UP + ROUNDS {
        for client in 0..CLIENTS {
            let name = format!("{round}.{client}");
            visit(&server, &name, &mut random);
        }
        eventually("all is forgotten", || {
            let left = ["topics", "history_bytes"].map(|name| server.count(name));
            let members = server.count("state_entered") - server.count("state_left");
            server.connections() == 0 && left == [0, 0] && members == 0
        });
        allocated.push(ALLOCATOR.allocated());
    }
    let left = allocated[WARM_UP + ROUNDS - 1].saturating_sub(allocated[WARM_UP - 1]);
    assert!(
        left < ROUNDS * CLIENTS * LEFT_MAX,
        "{left} bytes more after {} clients: {allocated:?}",
        ROUNDS * CLIENTS
    );
}

/// A client comes, with something in mind, and is gone.
fn visit(server: &Served, name: &str, random: &mut Random) {
    let dialect = *random.one_of(&Dialect::ALL);
    let mut client = NativeClient::connect(server.address(), dialect);
    match random.below(6) {
        0 => {
            ask(&mut client, &json!({"sub": {"s": 1, "topic": name}}));
            let message = json!({"topic": name, "data": name, "idem": "only", "tags": {"a": "b"}});
            ask(&mut client, &json!({ "pub": message }));
            let _ = client.expect_push("msg");
            ask(&mut client, &json!({"bye": {}}));
        }
        1 => {
            let sub = json!({"s": 1, "topic": name, "presence": "both", "watch": ["typing"]});
            ask(&mut client, &json!({ "sub": sub }));
            let typing = json!({"topic": name, "op": "set", "ns": "typing", "ttl_ms": 200});
            ask(&mut client, &json!({ "state": typing }));
        }
        2 => {
            let pattern = name.replace('.', ".*.") + ".>";
            ask(&mut client, &json!({"sub": {"s": 1, "topic": pattern}}));
            let topic = name.replace('.', ".a.") + ".b";
            ask(
                &mut client,
                &json!({"pub": {"topic": topic, "data": 1, "pseq": 1}}),
            );
            let _ = client.expect_push("msg");
        }
        3 => {
            ask(
                &mut client,
                &json!({"pub": {"topic": name, "data": 1, "key": "k"}}),
            );
            // Nobody waits for the answer.
            client.say(&json!({"id": 1, "hist": {"topic": name}}).to_string());
        }
        4 => {
            let subbed = &ask(&mut client, &json!({"sub": {"s": 1, "topic": "room"}}))["subbed"];
            let from = json!({"epoch": subbed["epoch"], "offset": subbed["offset"]});
            ask(
                &mut client,
                &json!({"pub": {"topic": "room", "data": name}}),
            );
            client.peer().hang_up();
            client = NativeClient::connect(server.address(), dialect);
            let sub = json!({"s": 1, "topic": "room", "from": from});
            ask(&mut client, &json!({ "sub": sub }));
            ask(&mut client, &json!({"unsub": {"s": 1}}));
        }
        _ => {
            let sub = json!({"s": 1, "topic": "hall", "presence": "both"});
            ask(&mut client, &json!({ "sub": sub }));
            let mood = json!({"topic": "hall", "op": "set", "ns": "presence", "v": name});
            ask(&mut client, &json!({ "state": mood }));
            let page = json!({"topic": "hall", "op": "page", "ns": "presence", "limit": 3});
            ask(&mut client, &json!({ "state": page }));
        }
    }
}

/// Asks for what must be granted.
fn ask(client: &mut NativeClient, command: &Value) -> Value {
    let reply = client.ask(&command.to_string());
    assert!(reply.get("err").is_none(), "{command}: {reply}");
    reply
}

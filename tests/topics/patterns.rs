//! Patterns have positions, too.

use std::collections::BTreeMap;

use corewire::messaging::{Identity, Options};
use corewire::protocol::native::Dialect;
use corewire_testkit::NativeClient;
use corewire_testkit::served::options;
use serde_json::{Value, json};

use crate::{cores, serve, unlimited};

/// What a client knows of a pattern: its position, and of each topic the epoch and the offset.
#[derive(Debug, Default)]
struct Known {
    pos: String,
    topics: BTreeMap<String, (String, u64)>,
    aliases: BTreeMap<u64, String>,
    /// Of each topic the numbers heard.
    heard: BTreeMap<String, Vec<u64>>,
}

impl Known {
    fn hears(&mut self, word: &Value) {
        if let Some(topic) = word.get("topic") {
            let name = topic["topic"].as_str().unwrap().to_owned();
            let epoch = topic["epoch"].as_str().unwrap().to_owned();
            self.aliases
                .insert(topic["t"].as_u64().unwrap(), name.clone());
            let offset = topic["offset"].as_u64().unwrap();
            self.topics.insert(name, (epoch, offset));
        } else if let Some(message) = word.get("msg") {
            let name = self.aliases[&message["t"].as_u64().unwrap()].clone();
            let offset = message["o"].as_u64().unwrap();
            let place = self.topics.get_mut(&name).unwrap();
            assert_eq!(offset, place.1 + 1, "{word}");
            place.1 = offset;
            let heard = self.heard.entry(name).or_default();
            heard.push(message["data"].as_u64().unwrap());
        } else if let Some(pos) = word.get("pos") {
            pos["pos"].as_str().unwrap().clone_into(&mut self.pos);
            self.topics.clear();
        } else {
            panic!("{word}");
        }
    }

    fn count(&self) -> usize {
        self.heard.values().map(Vec::len).sum()
    }

    /// Hears until so many messages have come in all.
    fn hears_until(&mut self, client: &mut NativeClient, count: usize) {
        while self.count() < count {
            self.hears(&client.expect());
        }
    }

    fn from(&self) -> Value {
        let seen: Vec<Value> = self
            .topics
            .iter()
            .map(|(topic, (epoch, offset))| {
                json!({ "topic": topic, "epoch": epoch, "offset": offset })
            })
            .collect();
        json!({ "pos": self.pos, "seen": seen })
    }
}

fn publish(publisher: &mut NativeClient, topic: &str, n: u64) {
    let pubbed = publisher.ask(&format!(r#"{{"pub":{{"topic":"{topic}","data":{n}}}}}"#));
    assert!(pubbed.get("pubbed").is_some(), "{pubbed}");
}

fn subscribe(client: &mut NativeClient, s: u64, pattern: &str, from: Option<Value>) -> Value {
    let mut subscribe = json!({ "s": s, "topic": pattern });
    if let Some(from) = from {
        subscribe["from"] = from;
    }
    client.ask(&json!({ "sub": subscribe }).to_string())["subbed"].clone()
}

/// P6 for patterns: what was missed in topics that were known, in others, and in those that have
/// come since; nothing twice.
#[test]
fn whoever_comes_back_to_a_pattern_gets_exactly_what_was_missed() {
    for dialect in Dialect::ALL {
        let server = cores(2, unlimited());
        let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
        // Before anybody was there: not missed.
        for n in 0..5 {
            publish(&mut publisher, &format!("chat.old{n}"), 1);
        }
        let mut first = NativeClient::connect(server.address(), dialect);
        let mut known = Known::default();
        let subbed = subscribe(&mut first, 1, "chat.>", None);
        subbed["pos"].as_str().unwrap().clone_into(&mut known.pos);
        assert_eq!(subbed.get("recovered"), None);
        let mut expected: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut sent = 0;
        let mut say = |publisher: &mut NativeClient, topic: String| {
            sent += 1;
            publish(publisher, &topic, sent);
            expected.entry(topic).or_default().push(sent);
            usize::try_from(sent).unwrap()
        };
        for round in 0..4 {
            let mut count = 0;
            for n in 0..6 {
                count = say(&mut publisher, format!("chat.room{n}"));
            }
            // One message of the last round is not heard before the cut.
            known.hears_until(&mut first, count - round % 2);
            first.peer().hang_up();
            for n in 3..9 {
                say(&mut publisher, format!("chat.room{n}"));
                count = say(&mut publisher, format!("chat.old{round}"));
            }
            publish(&mut publisher, "other.topic", 0);
            first = NativeClient::connect(server.address(), dialect);
            let subbed = subscribe(&mut first, 1, "chat.>", Some(known.from()));
            assert_eq!(subbed["recovered"], true, "{subbed}");
            known.hears_until(&mut first, count);
        }
        let count = say(&mut publisher, "chat.new".to_owned());
        known.hears_until(&mut first, count);
        assert_eq!(known.heard, expected);
        assert_eq!(server.count("gaps"), 0);
    }
}

/// A topic that two patterns and its name fit is sent once.
#[test]
fn a_topic_that_several_subscriptions_fit_is_replayed_once() {
    let server = cores(2, unlimited());
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    let mut first = NativeClient::connect(server.address(), Dialect::Json);
    let one = subscribe(&mut first, 1, "a.>", None);
    let two = subscribe(&mut first, 2, "*.b", None);
    let three = subscribe(&mut first, 3, "a.b", None);
    first.peer().hang_up();
    for n in 1..=10 {
        publish(&mut publisher, "a.b", n);
        publish(&mut publisher, "a.c", n);
    }
    let mut second = NativeClient::open(server.address(), Dialect::Json);
    let hello = json!({ "hello": { "v": 1, "subs": [
        { "s": 1, "topic": "a.>", "from": { "pos": one["pos"], "seen": [] } },
        { "s": 2, "topic": "*.b", "from": { "pos": two["pos"], "seen": [] } },
        { "s": 3, "topic": "a.b", "from": { "epoch": three["epoch"], "offset": three["offset"] } },
    ] } });
    let welcome = second.ask(&hello.to_string());
    for subbed in welcome["welcome"]["subs"].as_array().unwrap() {
        assert_eq!(subbed["subbed"]["recovered"], true, "{welcome}");
    }
    let mut known = Known::default();
    known.hears_until(&mut second, 20);
    let all: Vec<u64> = (1..=10).collect();
    assert_eq!(known.heard["a.b"], all);
    assert_eq!(known.heard["a.c"], all);
    publish(&mut publisher, "a.b", 11);
    known.hears_until(&mut second, 21);
    second.say(r#"{"id":5,"pong":{"t":0}}"#);
    assert_eq!(second.expect()["id"], 5, "and nothing else");
}

/// One that cannot be read, or not be had, is its own affair.
#[test]
fn a_subscription_that_is_refused_in_a_hello_does_not_stop_the_others() {
    let server = cores(2, unlimited());
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    let mut client = NativeClient::open(server.address(), Dialect::Json);
    let hello = json!({ "hello": { "v": 1, "subs": [
        { "s": 1, "topic": "a.b" },
        { "s": 2, "topic": "a.c", "watch": ["Typing"] },
        { "s": 3, "topic": "a..d" },
        { "s": 4, "topic": "a.*", "presence": "both" },
        { "s": 5, "topic": "a.e", "policy": { "mode": "newest" } },
        { "s": 6, "topic": "a.f" },
    ] } });
    let welcome = client.ask(&hello.to_string());
    let outcomes = welcome["welcome"]["subs"].as_array().unwrap();
    let codes: Vec<_> = outcomes
        .iter()
        .map(|one| one["err"]["code"].as_u64())
        .collect();
    let codes_expected = [None, Some(104), Some(104), Some(105), Some(104), None];
    assert_eq!(codes, codes_expected, "{welcome}");
    let text = outcomes[1]["err"]["text"].as_str().unwrap();
    assert!(text.starts_with("sub.watch[0]: found \"Typing\""), "{text}");
    publish(&mut publisher, "a.f", 1);
    let mut known = Known::default();
    known.hears_until(&mut client, 1);
}

#[test]
fn a_pattern_may_begin_with_the_newest_messages_of_each_topic() {
    let server = cores(2, unlimited());
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    for n in 1..=10 {
        for topic in 0..5 {
            publish(&mut publisher, &format!("a.t{topic}"), n);
        }
    }
    let mut client = NativeClient::connect(server.address(), Dialect::Binary);
    let subbed = subscribe(&mut client, 1, "a.*", Some(json!({ "last": 3 })));
    assert_eq!(subbed.get("recovered"), None, "{subbed}");
    let mut known = Known::default();
    known.hears_until(&mut client, 15);
    assert!(
        known.heard.values().all(|heard| *heard == [8, 9, 10]),
        "{known:?}"
    );
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    subscribe(&mut client, 1, "a.*", Some(json!({ "since_ms": 1 })));
    Known::default().hears_until(&mut client, 50);
}

/// What was asked for and is not sent when the connection breaks is owed on the next one.
#[test]
fn what_a_pattern_begins_with_is_owed_over_a_cut() {
    for from in [json!({ "last": 5 }), json!({ "since_ms": 1 })] {
        let server = cores(2, unlimited());
        let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
        for n in 1..=5 {
            for topic in 0..3 {
                publish(&mut publisher, &format!("a.t{topic}"), n);
            }
        }
        let mut client = NativeClient::connect(server.address(), Dialect::Binary);
        let subscribe = json!({ "s": 1, "topic": "a.*", "from": from, "credit": 2 });
        let subbed = client.ask(&json!({ "sub": subscribe }).to_string());
        let mut known = Known::default();
        let pos = subbed["subbed"]["pos"].as_str().unwrap();
        pos.clone_into(&mut known.pos);
        // More comes than was asked for at the beginning, before all of that is sent.
        for n in 6..=20 {
            publish(&mut publisher, "a.t0", n);
        }
        publish(&mut publisher, "a.new", 1);
        known.hears_until(&mut client, 7);
        client.peer().hang_up();
        let mut client = NativeClient::connect(server.address(), Dialect::Json);
        let subbed = subscribe_again(&mut client, &known);
        assert_eq!(subbed["recovered"], true, "{subbed}");
        known.hears_until(&mut client, 20 + 5 + 5 + 1);
        for (topic, end) in [("a.t0", 20), ("a.t1", 5), ("a.t2", 5), ("a.new", 1)] {
            assert_eq!(
                known.heard[topic],
                (1..=end).collect::<Vec<u64>>(),
                "{topic}"
            );
        }
    }
}

fn subscribe_again(client: &mut NativeClient, known: &Known) -> Value {
    subscribe(client, 1, "a.*", Some(known.from()))
}

/// A position of another server, or of nobody: the pattern begins anew, and says so first.
#[test]
fn a_position_that_is_not_from_here_is_a_reset() {
    for dialect in Dialect::ALL {
        let server = cores(2, unlimited());
        let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
        publish(&mut publisher, "a.b", 1);
        for pos in ["", "x", "k3.0.0", "%", "k3.0.0.0.0.0"] {
            let mut client = NativeClient::connect(server.address(), dialect);
            let from = json!({ "pos": pos, "seen": [] });
            let subbed = subscribe(&mut client, 1, "a.>", Some(from));
            assert_eq!(subbed["recovered"], false, "{subbed}");
            let reset = client.expect();
            assert_eq!(reset["reset"]["s"], 1, "{reset}");
            assert_eq!(reset["reset"]["cause"], "node", "{reset}");
            assert_eq!(reset["reset"]["pos"], subbed["pos"], "{reset}");
            client.peer().hang_up();
        }
    }
}

/// Where retention has passed what was missed, the topic begins anew.
#[test]
fn a_topic_of_a_pattern_that_has_lost_what_was_missed_is_a_reset() {
    let server = cores(
        2,
        Options {
            history_messages: 10,
            ..unlimited()
        },
    );
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    let mut first = NativeClient::connect(server.address(), Dialect::Json);
    let subbed = subscribe(&mut first, 1, "a.>", None);
    first.peer().hang_up();
    for n in 1..=20 {
        publish(&mut publisher, "a.many", n);
    }
    publish(&mut publisher, "a.few", 1);
    let mut second = NativeClient::connect(server.address(), Dialect::Json);
    let from = json!({ "pos": subbed["pos"], "seen": [] });
    let subbed = subscribe(&mut second, 1, "a.>", Some(from));
    assert_eq!(subbed["recovered"], true, "{subbed}");
    let (mut reset, mut few) = (false, false);
    let mut names = BTreeMap::new();
    while !reset || !few {
        let word = second.expect();
        if let Some(topic) = word.get("topic") {
            names.insert(topic["t"].as_u64().unwrap(), topic["topic"].clone());
        } else if let Some(told) = word.get("reset") {
            assert_eq!(names[&told["t"].as_u64().unwrap()], "a.many", "{word}");
            assert_eq!(
                (&told["offset"], &told["cause"]),
                (&json!(20), &json!("retention"))
            );
            reset = true;
        } else if let Some(message) = word.get("msg") {
            assert_eq!(names[&message["t"].as_u64().unwrap()], "a.few", "{word}");
            few = true;
        }
    }
}

/// Positions move with what was sent, and while nothing comes with the ping.
#[test]
fn a_position_is_told_when_it_has_moved() {
    for dialect in Dialect::ALL {
        let options = Options {
            ping_ms: 300,
            slack_ms: 5_000,
            ..unlimited()
        };
        let server = cores(2, options);
        let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
        let mut client = NativeClient::connect(server.address(), dialect);
        let subbed = subscribe(&mut client, 4, "a.>", None);
        for n in 1..=10 {
            publish(&mut publisher, "a.b", n);
            publish(&mut publisher, "other", n);
        }
        let pos = loop {
            let word = client.expect();
            if let Some(ping) = word.get("ping") {
                client.say(&json!({ "pong": ping }).to_string());
            } else if let Some(pos) = word.get("pos") {
                break pos.clone();
            }
        };
        assert_eq!(pos["s"], 4);
        assert_ne!(pos["pos"], subbed["pos"]);
        client.peer().hang_up();
        // It stands for all that was sent before.
        publish(&mut publisher, "a.b", 11);
        let mut client = NativeClient::connect(server.address(), dialect);
        let from = json!({ "pos": pos["pos"], "seen": [] });
        let subbed = subscribe(&mut client, 4, "a.>", Some(from));
        assert_eq!(subbed["recovered"], true, "{subbed}");
        let topic = client.expect();
        assert_eq!(topic["topic"]["offset"], 10, "{topic}");
        assert_eq!(client.expect()["msg"]["data"], 11);
    }
}

/// More topics than a connection keeps in mind: nothing comes twice because it was forgotten.
#[test]
fn many_topics_come_once_each() {
    let server = cores(
        2,
        Options {
            pattern_topics_max: 3,
            ..unlimited()
        },
    );
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    let mut first = NativeClient::connect(server.address(), Dialect::Json);
    let subbed = subscribe(&mut first, 1, "a.>", None);
    first.peer().hang_up();
    for n in 1..=200 {
        publish(&mut publisher, &format!("a.t{n}"), n);
    }
    let mut second = NativeClient::connect(server.address(), Dialect::Json);
    let from = json!({ "pos": subbed["pos"], "seen": [] });
    subscribe(&mut second, 1, "a.>", Some(from));
    let mut heard = Vec::new();
    while heard.len() < 200 {
        if let Some(message) = second.expect().get("msg") {
            heard.push(message["data"].as_u64().unwrap());
        }
    }
    heard.sort_unstable();
    assert_eq!(heard, (1..=200).collect::<Vec<u64>>());
}

/// One topic has one delivery and one policy: two patterns that want different ones are told.
#[test]
fn patterns_that_overlap_share_a_policy() {
    let server = cores(2, unlimited());
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    client.ask(r#"{"sub":{"s":1,"topic":"a.>","policy":{"mode":"latest"}}}"#);
    let at_odds = client.ask(r#"{"sub":{"s":2,"topic":"*.b","policy":{"mode":"close"}}}"#);
    assert_eq!(at_odds["err"]["code"], 106, "{at_odds}");
    let text = at_odds["err"]["text"].as_str().unwrap();
    assert!(text.starts_with("sub.policy: subscription 1 "), "{text}");
    for fits in [
        r#"{"sub":{"s":3,"topic":"*.b"}}"#,
        r#"{"sub":{"s":4,"topic":"a.*.c","policy":{"mode":"latest"}}}"#,
        r#"{"sub":{"s":5,"topic":"b.*.c","policy":{"mode":"close"}}}"#,
    ] {
        let reply = client.ask(fits);
        assert!(reply.get("subbed").is_some(), "{reply}");
    }
    // Who asks for no policy has the default one.
    for policy in ["latest", "close", "drop_oldest"] {
        let subscribe = json!({ "s": 6, "topic": "b.*", "policy": { "mode": policy } });
        let at_odds = client.ask(&json!({ "sub": subscribe }).to_string());
        assert_eq!(at_odds["err"]["code"], 106, "{at_odds}");
        let text = at_odds["err"]["text"].as_str().unwrap();
        assert!(text.starts_with("sub.policy: subscription 3 "), "{text}");
    }
}

/// Complaints 29 and 32: who takes nothing of many topics is cut before it costs without bound, is
/// told so, and misses nothing when it comes back.
#[test]
fn a_pattern_of_which_too_many_topics_wait_ends_its_connection() {
    const TOPICS: u64 = 20;
    let server = cores(
        2,
        Options {
            pattern_topics_max: 3,
            ..unlimited()
        },
    );
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    let mut stopped = NativeClient::connect(server.address(), Dialect::Binary);
    let subbed = stopped.ask(r#"{"sub":{"s":1,"topic":"a.>","credit":0}}"#);
    let pos = subbed["subbed"]["pos"].clone();
    // Twice the bound may wait.
    for n in 1..=6 {
        publish(&mut publisher, &format!("a.t{n}"), n);
    }
    assert!(stopped.ask(r#"{"pong":{"t":0}}"#).get("ok").is_some());
    for n in 7..=TOPICS {
        publish(&mut publisher, &format!("a.t{n}"), n);
    }
    assert_eq!(stopped.expect_push("closing")["code"], 4102);
    assert_eq!(stopped.expect()["close"], 4102);
    assert_eq!(server.count("over_pattern_topics"), 1);
    let mut back = NativeClient::connect(server.address(), Dialect::Binary);
    subscribe(&mut back, 1, "a.>", Some(json!({ "pos": pos, "seen": [] })));
    let mut heard: Vec<u64> = (0..TOPICS)
        .map(|_| back.expect_push("msg")["data"].as_u64().unwrap())
        .collect();
    heard.sort_unstable();
    assert_eq!(heard, (1..=TOPICS).collect::<Vec<u64>>());
}

/// What such a client has said, and what had to wait for another turn, is not done.
#[test]
fn what_a_client_has_said_is_not_done_after_its_end() {
    /// Commands that are done in a turn, each as much work as a frame.
    const IN_A_TURN: usize = 64;
    let mut options = options();
    options.engine.turn_work = IN_A_TURN * 256;
    let bounds = Options {
        pattern_topics_max: 3,
        ..unlimited()
    };
    let server = serve(bounds, Identity::Anonymous, options);
    let mut observer = NativeClient::connect(server.address(), Dialect::Json);
    observer.ask(r#"{"sub":{"s":1,"topic":"late"}}"#);
    let mut stopped = NativeClient::connect(server.address(), Dialect::Json);
    stopped.ask(r#"{"sub":{"s":1,"topic":"a.>","credit":0}}"#);
    // The first turn is the message's own; those after it can be such a client's last.
    let early = std::iter::repeat_n(
        r#"{"pub":{"topic":"early","data":0}}"#.to_owned(),
        IN_A_TURN,
    );
    let ends = (1..=7).map(|n| format!(r#"{{"pub":{{"topic":"a.t{n}","data":{n}}}}}"#));
    let late = (1..900).map(|n| format!(r#"{{"pub":{{"topic":"late","data":{n}}}}}"#));
    let words: Vec<_> = early.chain(ends).chain(late).collect();
    stopped.say(&format!("[{}]", words.join(",")));
    assert_eq!(stopped.expect_push("closing")["code"], 4102);
    assert_eq!(stopped.expect()["close"], 4102);
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    publisher.ask(r#"{"pub":{"topic":"late","data":"afterwards"}}"#);
    let heard = std::iter::repeat_with(|| observer.expect_push("msg")["data"].clone());
    let done = heard.take_while(|data| data != "afterwards").count();
    // The rest of the turn that it ended in.
    assert!((1..IN_A_TURN).contains(&done), "{done}");
}

//! Coming back: exactly what was missed, or the word that nothing can be said.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use corewire::messaging::Options;
use corewire::protocol::native::Dialect;
use corewire_testkit::{NativeClient, PATIENCE, Served};
use serde_json::{Value, json};

use crate::{cores, unlimited, volatile};

/// The core that a client of the server has come to: a connection's name tells.
fn core_of(welcome: &Value) -> String {
    let conn = welcome["welcome"]["conn"].as_str().unwrap();
    let place = conn.split_once('-').unwrap().1;
    place.split_once(':').unwrap().0.to_owned()
}

fn publish(publisher: &mut NativeClient, topic: &str, numbers: std::ops::RangeInclusive<u64>) {
    let commands: Vec<String> = numbers
        .map(|n| format!(r#"{{"id":{n},"pub":{{"topic":"{topic}","data":{n}}}}}"#))
        .collect();
    publisher.say_all(&commands);
    for command in commands {
        let id = serde_json::from_str::<Value>(&command).unwrap()["id"].as_u64();
        let pubbed = publisher.reply(id.unwrap());
        assert!(pubbed.get("pubbed").is_some(), "{pubbed}");
    }
}

fn publisher(server: &Served) -> NativeClient {
    NativeClient::connect(server.address(), Dialect::Json)
}

/// The next messages of one topic: each with the number that is its offset.
fn hear(client: &mut NativeClient, offsets: std::ops::RangeInclusive<u64>) {
    for offset in offsets {
        let word = loop {
            let word = client.expect();
            if word.get("topic").is_none() && word["pos"].get("s").is_none() {
                break word;
            }
        };
        assert_eq!(word["msg"]["o"], offset, "{word}");
        assert_eq!(word["msg"]["data"], offset, "{word}");
    }
}

/// Nothing is on its way: whatever was is heard before the reply.
fn is_quiet(client: &mut NativeClient) {
    client.say(r#"{"id":999999,"pong":{"t":0}}"#);
    let word = client.expect();
    assert_eq!(word["id"], 999_999, "{word}");
}

fn place(subbed: &Value) -> Value {
    let subbed = &subbed["subbed"];
    json!({ "epoch": subbed["epoch"], "offset": subbed["offset"] })
}

fn few(messages: usize) -> Options {
    Options {
        history_messages: messages,
        ..unlimited()
    }
}

/// P6, and complaint 4: on whichever core the client comes to, with `hello` and with `sub`, in both
/// dialects, and without a message heard before.
#[test]
fn whoever_comes_back_gets_exactly_what_was_missed() {
    let server = cores(2, unlimited());
    let mut publisher = publisher(&server);
    let mut end = 0;
    let mut seen_cores = std::collections::BTreeSet::new();
    for round in 0..12 {
        let dialect = Dialect::ALL[round % 2];
        let mut first = NativeClient::connect(server.address(), dialect);
        let subbed = first.ask(r#"{"sub":{"s":1,"topic":"numbers"}}"#);
        assert_eq!(subbed["subbed"]["offset"], end, "{subbed}");
        assert_eq!(subbed["subbed"].get("recovered"), None);
        let (before, cut) = (end + 5, end + 20);
        publish(&mut publisher, "numbers", end + 1..=before);
        let mut from = place(&subbed);
        // In every other round without having heard any message.
        if round % 4 < 2 {
            hear(&mut first, end + 1..=before);
            from["offset"] = before.into();
        }
        let after = from["offset"].as_u64().unwrap();
        first.peer().hang_up();
        publish(&mut publisher, "numbers", before + 1..=cut);
        let mut second = NativeClient::open(server.address(), dialect);
        let subscribe = json!({ "s": 7, "topic": "numbers", "from": from });
        let subbed = if round % 3 == 0 {
            let welcome =
                second.ask(&json!({ "hello": { "v": 1, "subs": [subscribe] } }).to_string());
            seen_cores.insert(core_of(&welcome));
            welcome["welcome"]["subs"][0].clone()
        } else {
            let welcome = second.ask(r#"{"hello":{"v":1}}"#);
            seen_cores.insert(core_of(&welcome));
            second.ask(&json!({ "sub": subscribe }).to_string())
        };
        assert_eq!(subbed["subbed"]["recovered"], true, "{subbed}");
        assert_eq!(subbed["subbed"]["offset"], after, "{subbed}");
        assert_eq!(subbed["subbed"]["replay_to"], cut, "{subbed}");
        hear(&mut second, after + 1..=cut);
        publish(&mut publisher, "numbers", cut + 1..=cut + 2);
        hear(&mut second, cut + 1..=cut + 2);
        is_quiet(&mut second);
        end = cut + 2;
    }
    assert_eq!(seen_cores.len(), 2, "chance has sent all to one core");
}

/// P6, and complaints 2 and 10: 0 ms after the cut, of connections that break while messages flow.
#[test]
fn nothing_is_lost_or_told_twice_however_fast_somebody_comes_back() {
    let server = cores(2, unlimited());
    let total = 600;
    std::thread::scope(|scope| {
        let mut publisher = publisher(&server);
        scope.spawn(move || {
            for n in 1..=total {
                publish(&mut publisher, "numbers", n..=n);
            }
        });
        come_and_go(&server, total);
    });
    assert_eq!(server.count("gaps"), 0);
}

/// Connects again and again, at once, until all numbers have been heard, each once.
fn come_and_go(server: &Served, total: u64) {
    let mut at: Option<(Value, u64)> = None;
    let mut connections = 0;
    while at.as_ref().is_none_or(|(_, offset)| *offset < total) {
        connections += 1;
        let dialect = Dialect::ALL[connections % 2];
        let mut client = NativeClient::open(server.address(), dialect);
        let from = match &at {
            Some((epoch, offset)) => json!({ "epoch": epoch, "offset": offset }),
            None => json!({ "last": 1000 }),
        };
        let subscribe = json!({ "s": 1, "topic": "numbers", "from": from });
        let welcome = client.ask(&json!({ "hello": { "v": 1, "subs": [subscribe] } }).to_string());
        let subbed = &welcome["welcome"]["subs"][0]["subbed"];
        let (epoch, mut last) = match &at {
            Some((epoch, offset)) => {
                assert_eq!(subbed["recovered"], true, "{subbed}");
                assert_eq!(&subbed["epoch"], epoch);
                (epoch.clone(), *offset)
            }
            None => (subbed["epoch"].clone(), subbed["offset"].as_u64().unwrap()),
        };
        assert_eq!(subbed["offset"], last);
        // A few, then it breaks with more on the way; some break at once.
        for _ in 0..connections % 7 * 3 {
            if last == total {
                break;
            }
            hear(&mut client, last + 1..=last + 1);
            last += 1;
        }
        at = Some((epoch, last));
        client.peer().hang_up();
    }
    assert!(connections > 20, "{connections} connections");
}

#[test]
fn a_subscription_may_begin_with_the_newest_messages_or_at_a_time() {
    for dialect in Dialect::ALL {
        let server = cores(2, unlimited());
        let mut publisher = publisher(&server);
        publish(&mut publisher, "numbers", 1..=50);
        let mut client = NativeClient::connect(server.address(), dialect);
        let subbed = client.ask(r#"{"sub":{"s":1,"topic":"numbers","from":{"last":20}}}"#);
        assert_eq!(subbed["subbed"]["offset"], 30, "{subbed}");
        assert_eq!(subbed["subbed"]["replay_to"], 50, "{subbed}");
        assert_eq!(
            subbed["subbed"].get("recovered"),
            None,
            "no position was asked for"
        );
        hear(&mut client, 31..=50);
        client.ask(r#"{"unsub":{"s":1}}"#);
        let subbed = client.ask(r#"{"sub":{"s":2,"topic":"numbers","from":{"since_ms":1}}}"#);
        assert_eq!(subbed["subbed"]["offset"], 0, "{subbed}");
        hear(&mut client, 1..=50);
        client.ask(r#"{"unsub":{"s":2}}"#);
        let later = r#"{"sub":{"s":3,"topic":"numbers","from":{"since_ms":9000000000000}}}"#;
        let subbed = client.ask(later);
        assert_eq!(subbed["subbed"]["offset"], 50, "{subbed}");
        assert_eq!(subbed["subbed"].get("replay_to"), None);
        publish(&mut publisher, "numbers", 51..=51);
        hear(&mut client, 51..=51);
    }
}

/// Complaint 9, and never a partial replay called success: the stream begins live, and says so
/// first.
#[test]
fn a_position_that_cannot_be_proven_is_a_reset() {
    for dialect in Dialect::ALL {
        let server = cores(2, few(10));
        let mut publisher = publisher(&server);
        publish(&mut publisher, "numbers", 1..=50);
        let known = publisher.ask(r#"{"sub":{"s":1,"topic":"numbers"}}"#);
        let epoch = known["subbed"]["epoch"].clone();
        for (from, recovered, cause) in [
            (json!({ "epoch": epoch, "offset": 40 }), true, ""),
            (json!({ "epoch": epoch, "offset": 39 }), false, "retention"),
            (json!({ "epoch": epoch, "offset": 51 }), false, "node"),
            (json!({ "epoch": "other", "offset": 45 }), false, "node"),
            (json!({ "epoch": epoch, "offset": 50 }), true, ""),
        ] {
            let mut client = NativeClient::connect(server.address(), dialect);
            let subscribe = json!({ "sub": { "s": 1, "topic": "numbers", "from": from } });
            let subbed = client.ask(&subscribe.to_string());
            assert_eq!(subbed["subbed"]["recovered"], recovered, "{from}: {subbed}");
            if recovered {
                let offset = from["offset"].as_u64().unwrap();
                assert_eq!(subbed["subbed"]["offset"], offset);
                hear(&mut client, offset + 1..=50);
            } else {
                assert_eq!(subbed["subbed"]["offset"], 50, "{subbed}");
                assert_eq!(subbed["subbed"].get("replay_to"), None, "{subbed}");
                assert!(client.expect().get("topic").is_some());
                let reset = client.expect();
                assert_eq!(reset["reset"]["cause"], cause, "{from}: {reset}");
                assert_eq!(reset["reset"]["offset"], 50);
            }
            is_quiet(&mut client);
        }
    }
}

/// A volatile topic has no log: a position is good if nothing was missed.
#[test]
fn a_volatile_topic_goes_on_where_nothing_was_missed() {
    let server = cores(2, volatile());
    let mut publisher = publisher(&server);
    let subbed = publisher.ask(r#"{"sub":{"s":1,"topic":"ticks.a"}}"#);
    publish(&mut publisher, "ticks.a", 1..=3);
    for (offset, recovered) in [(3, true), (2, false)] {
        let mut client = NativeClient::connect(server.address(), Dialect::Json);
        let from = json!({ "epoch": subbed["subbed"]["epoch"], "offset": offset });
        let subscribe = json!({ "sub": { "s": 1, "topic": "ticks.a", "from": from } });
        let subbed = client.ask(&subscribe.to_string());
        assert_eq!(subbed["subbed"]["recovered"], recovered, "{subbed}");
        assert_eq!(subbed["subbed"]["offset"], 3, "{subbed}");
    }
}

/// A second subscription only widens the delivery that there is.
#[test]
fn a_second_subscription_goes_on_from_where_the_delivery_is() {
    let server = cores(2, unlimited());
    let mut publisher = publisher(&server);
    publish(&mut publisher, "numbers", 1..=10);
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    let first = client.ask(r#"{"sub":{"s":1,"topic":"numbers","from":{"last":5}}}"#);
    hear(&mut client, 6..=10);
    let mut from = place(&first);
    let ask = |client: &mut NativeClient, s: u64, from: &Value| {
        let subscribe = json!({ "sub": { "s": s, "topic": "numbers", "from": from } });
        client.ask(&subscribe.to_string())["subbed"].clone()
    };
    from["offset"] = 10.into();
    let second = ask(&mut client, 2, &from);
    assert_eq!(
        (&second["recovered"], &second["offset"]),
        (&json!(true), &json!(10))
    );
    from["offset"] = 7.into();
    let third = ask(&mut client, 3, &from);
    assert_eq!(
        (&third["recovered"], &third["offset"]),
        (&json!(false), &json!(10))
    );
    assert_eq!(client.expect()["topic"]["s"], json!([1, 2, 3]));
    assert!(client.expect().get("reset").is_some());
    publish(&mut publisher, "numbers", 11..=11);
    hear(&mut client, 11..=11);
}

/// As long as nothing was sent, the earliest position counts, whatever comes first.
#[test]
fn subscriptions_of_one_hello_begin_at_the_earliest_position() {
    for dialect in Dialect::ALL {
        let server = cores(2, unlimited());
        let mut publisher = publisher(&server);
        let early = publisher.ask(r#"{"sub":{"s":1,"topic":"a.b"}}"#);
        let pattern = publisher.ask(r#"{"sub":{"s":2,"topic":"a.>"}}"#);
        publish(&mut publisher, "a.b", 1..=10);
        let at = |offset: u64| json!({ "epoch": early["subbed"]["epoch"], "offset": offset });
        let seen = json!([{ "topic": "a.b", "epoch": early["subbed"]["epoch"], "offset": 2 }]);
        let mut client = NativeClient::open(server.address(), dialect);
        let hello = json!({ "hello": { "v": 1, "subs": [
            { "s": 1, "topic": "a.b", "from": at(8) },
            { "s": 2, "topic": "a.b", "from": at(5) },
            { "s": 3, "topic": "a.>", "from": { "pos": pattern["subbed"]["pos"], "seen": seen } },
            { "s": 4, "topic": "a.b" },
        ] } });
        let welcome = client.ask(&hello.to_string());
        let subs = welcome["welcome"]["subs"].as_array().unwrap();
        for subbed in &subs[..3] {
            assert_eq!(subbed["subbed"]["recovered"], true, "{welcome}");
        }
        let topic = client.expect();
        assert_eq!(topic["topic"]["offset"], 2, "{topic}");
        hear(&mut client, 3..=10);
        is_quiet(&mut client);
    }
}

#[test]
fn what_is_the_position_of_something_else_is_refused() {
    let server = cores(1, unlimited());
    let mut client = publisher(&server);
    for subscribe in [
        json!({ "s": 1, "topic": "a.b", "from": { "pos": "k.1", "seen": [] } }),
        json!({ "s": 1, "topic": "a.*", "from": { "epoch": "k3", "offset": 1 } }),
    ] {
        let reply = client.ask(&json!({ "sub": subscribe }).to_string());
        assert_eq!(reply["err"]["code"], 104, "{reply}");
    }
}

// ── Slow readers ──

/// P5: a reader of a logged topic that stops, with the policy `all`, loses nothing.
#[test]
fn a_slow_reader_of_a_logged_topic_gets_everything() {
    for (dialect, cores_of_it) in [(Dialect::Json, 1), (Dialect::Binary, 2)] {
        let server = cores(
            cores_of_it,
            Options {
                backlog_bytes: 8 << 10,
                ..unlimited()
            },
        );
        let mut slow = NativeClient::connect(server.address(), dialect);
        slow.ask(r#"{"sub":{"s":1,"topic":"numbers","credit":3}}"#);
        let mut publisher = publisher(&server);
        publish(&mut publisher, "numbers", 1..=900);
        hear(&mut slow, 1..=3);
        is_quiet(&mut slow);
        slow.say(r#"{"credit":{"s":1,"msgs":500}}"#);
        hear(&mut slow, 4..=500);
        is_quiet(&mut slow);
        slow.say(r#"{"credit":{"s":1,"msgs":100000}}"#);
        hear(&mut slow, 501..=900);
        publish(&mut publisher, "numbers", 901..=903);
        hear(&mut slow, 901..=903);
        assert_eq!(server.count("gaps"), 0);
    }
}

/// P5: what retention has let go of before a reader came to it is told once, and the rest comes.
#[test]
fn a_reader_that_retention_overtakes_is_told() {
    for cores_of_it in [1, 2] {
        let server = cores(
            cores_of_it,
            Options {
                backlog_bytes: 4 << 10,
                ..few(100)
            },
        );
        let mut slow = NativeClient::connect(server.address(), Dialect::Json);
        slow.ask(r#"{"sub":{"s":1,"topic":"numbers","credit":5}}"#);
        let mut publisher = publisher(&server);
        publish(&mut publisher, "numbers", 1..=5);
        hear(&mut slow, 1..=5);
        publish(&mut publisher, "numbers", 6..=400);
        slow.say(r#"{"credit":{"s":1,"msgs":1000}}"#);
        let gap = slow.expect();
        let gap = &gap["gap"];
        assert_eq!(
            (&gap["from"], &gap["to"]),
            (&json!(6), &json!(300)),
            "{gap}"
        );
        assert_eq!(
            (&gap["cause"], &gap["repair"]),
            (&json!("retention"), &json!("none"))
        );
        hear(&mut slow, 301..=400);
        is_quiet(&mut slow);
    }
}

/// Complaint 30: a replay is sent under any policy, within the credit; the policy judges what comes
/// behind it.
#[test]
fn a_replay_respects_credit_and_no_policy_cuts_it() {
    let server = cores(2, unlimited());
    let mut publisher = publisher(&server);
    publish(&mut publisher, "numbers", 1..=100);
    for mode in ["all", "latest", "drop_oldest", "close"] {
        let mut client = NativeClient::connect(server.address(), Dialect::Binary);
        let subscribe = json!({ "sub": {
            "s": 1, "topic": "numbers", "from": { "last": 100 }, "credit": 10,
            "policy": { "mode": mode, "max_msgs": 4 },
        } });
        let subbed = client.ask(&subscribe.to_string());
        assert_eq!(subbed["subbed"]["replay_to"], 100, "{subbed}");
        hear(&mut client, 1..=10);
        is_quiet(&mut client);
        client.say(r#"{"credit":{"s":1,"msgs":100000}}"#);
        hear(&mut client, 11..=100);
        is_quiet(&mut client);
    }
    let mut close = NativeClient::connect(server.address(), Dialect::Json);
    close.ask(
        r#"{"sub":{"s":1,"topic":"numbers","from":{"last":2},"credit":2,"policy":{"mode":"close","max_msgs":4}}}"#,
    );
    hear(&mut close, 99..=100);
    publish(&mut publisher, "numbers", 101..=110);
    close.say(r#"{"credit":{"s":1,"msgs":100000}}"#);
    assert_eq!(close.expect_push("closing")["code"], 4102);
}

/// What a slow reader with `drop_oldest` was not sent is still in history.
#[test]
fn what_a_policy_has_dropped_can_be_repaired() {
    let server = cores(2, unlimited());
    let mut slow = NativeClient::connect(server.address(), Dialect::Json);
    slow.ask(
        r#"{"sub":{"s":1,"topic":"numbers","credit":1,"policy":{"mode":"drop_oldest","max_msgs":3}}}"#,
    );
    let mut publisher = publisher(&server);
    publish(&mut publisher, "numbers", 1..=1);
    hear(&mut slow, 1..=1);
    publish(&mut publisher, "numbers", 2..=20);
    slow.say(r#"{"credit":{"s":1,"msgs":100}}"#);
    let gap = slow.expect_push("gap");
    assert_eq!((&gap["from"], &gap["to"]), (&json!(2), &json!(17)), "{gap}");
    assert_eq!(
        (&gap["cause"], &gap["repair"]),
        (&json!("slow"), &json!("hist"))
    );
    hear(&mut slow, 18..=20);
}

/// One page for a whole core, and readers that stop with it in their hands.
#[test]
fn readers_wait_for_their_turn_and_stopped_ones_give_it_up() {
    let server = cores(
        1,
        Options {
            backlog_bytes: 1 << 10,
            catch_up_pages: 1,
            ..unlimited()
        },
    );
    let mut publisher = publisher(&server);
    for topic in 0..8 {
        publish(&mut publisher, &format!("t{topic}"), 1..=900);
    }
    let subscribe = |topic: usize, credit: u64| {
        let from = json!({ "last": 900 });
        json!({ "sub": { "s": 1, "topic": format!("t{topic}"), "from": from, "credit": credit } })
            .to_string()
    };
    let mut stopped: Vec<NativeClient> = (0..4)
        .map(|topic| {
            let mut client = NativeClient::connect(server.address(), Dialect::Json);
            client.ask(&subscribe(topic, 1));
            hear(&mut client, 1..=1);
            client
        })
        .collect();
    let mut reading: Vec<NativeClient> = (0..8)
        .map(|topic| {
            let mut client = NativeClient::connect(server.address(), Dialect::Binary);
            client.say(&subscribe(topic, 100_000).replacen('{', r#"{"id":1,"#, 1));
            client
        })
        .collect();
    for client in &mut reading {
        client.reply(1);
        hear(client, 1..=900);
    }
    for client in &mut stopped {
        client.say(r#"{"credit":{"s":1,"msgs":100000}}"#);
        hear(client, 2..=900);
    }
    assert_eq!(server.count("gaps"), 0);
}

/// P12 while others catch up: messages of another topic are not held up by a thousand pages.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is the question"
)]
fn nobody_is_held_up_by_readers_that_catch_up() {
    let server = cores(1, unlimited());
    let mut publisher = publisher(&server);
    let data = "x".repeat(1_000);
    for _ in 0..10 {
        let commands: Vec<String> = (0..100)
            .map(|_| format!(r#"{{"pub":{{"topic":"bulk","data":"{data}"}}}}"#))
            .collect();
        publisher.say_all(&commands);
    }
    let end = publisher.ask(r#"{"pub":{"topic":"bulk","data":1}}"#);
    assert_eq!(end["pubbed"]["offset"], 1001);
    let (stop, replays) = (AtomicBool::new(false), AtomicU32::new(0));
    let mut times: Vec<Duration> = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = NativeClient::connect(server.address(), Dialect::Binary);
                    client.ask(r#"{"sub":{"s":1,"topic":"bulk","from":{"last":900}}}"#);
                    while client.expect_push("msg")["o"] != 1001 {}
                    replays.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut other = NativeClient::connect(server.address(), Dialect::Json);
        other.ask(r#"{"sub":{"s":1,"topic":"live"}}"#);
        let start = Instant::now();
        while times.len() < 500 || replays.load(Ordering::Relaxed) < 4 {
            assert!(start.elapsed() < PATIENCE, "no replay ends");
            let begin = Instant::now();
            other.say(r#"{"pub":{"topic":"live","data":1}}"#);
            other.expect_push("msg");
            times.push(begin.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
    });
    let replays = replays.into_inner();
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    assert!(
        p99.as_millis() < 100,
        "p99 {p99:?} beside {replays} replays"
    );
}

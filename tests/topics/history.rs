//! What topics keep: pages of it, and each message once.

use corewire::messaging::{Class, History, Options, TopicRule};
use corewire::protocol::native::Dialect;
use corewire_testkit::{NativeClient, Served, eventually};
use serde_json::{Value, json};

use crate::{cores, unlimited};

/// Enough topics that each of two cores is home to some.
const TOPICS: [&str; 4] = ["a.one", "a.two", "a.three", "a.four"];

fn publish(client: &mut NativeClient, topic: &str, rest: &str) -> Value {
    client.ask(&format!(r#"{{"pub":{{"topic":"{topic}",{rest}}}}}"#))
}

fn history(client: &mut NativeClient, topic: &str, rest: &str) -> Value {
    let reply = client.ask(&format!(r#"{{"hist":{{"topic":"{topic}"{rest}}}}}"#));
    reply.get("page").cloned().unwrap_or(reply)
}

/// What the items of a page carry.
fn data(page: &Value) -> Vec<u64> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["data"].as_u64().unwrap())
        .collect()
}

/// What was said while nobody was there can be read, a page at a time, either way.
#[test]
fn history_comes_in_pages_either_way() {
    let server = cores(2, unlimited());
    for dialect in Dialect::ALL {
        let mut client = NativeClient::connect(server.address(), dialect);
        for topic in TOPICS {
            let topic = format!("{topic}.{}", dialect.subprotocol().replace('.', "-"));
            let mut epoch = String::new();
            for n in 1..=25 {
                let reply = publish(&mut client, &topic, &format!(r#""data":{n}"#));
                assert_eq!(reply["pubbed"]["level"], "mem");
                epoch = reply["pubbed"]["epoch"].as_str().unwrap().to_owned();
            }
            let mut forward = Vec::new();
            let mut from = 0;
            loop {
                let rest = format!(r#","from":{{"epoch":"{epoch}","offset":{from}}},"limit":10"#);
                let page = history(&mut client, &topic, &rest);
                assert_eq!(page["start"], from);
                assert_eq!(page["epoch"], *epoch);
                forward.extend(data(&page));
                from = page["end"].as_u64().unwrap();
                if page["complete"] == true {
                    break;
                }
            }
            assert_eq!(forward, (1..=25).collect::<Vec<_>>());
            let newest = history(&mut client, &topic, r#","dir":"backward","limit":10"#);
            assert_eq!(data(&newest), (16..=25).collect::<Vec<_>>());
            assert_eq!((&newest["start"], &newest["end"]), (&json!(15), &json!(25)));
            assert_eq!(newest["complete"], false);
            let rest =
                format!(r#","dir":"backward","from":{{"epoch":"{epoch}","offset":16}},"limit":50"#);
            let older = history(&mut client, &topic, &rest);
            assert_eq!(data(&older), (1..=15).collect::<Vec<_>>());
            assert_eq!(older["complete"], true);
            let all = history(&mut client, &topic, "");
            assert_eq!(data(&all).len(), 25);
            let time_ms = all["items"][20]["ts"].as_u64().unwrap();
            let since = history(
                &mut client,
                &topic,
                &format!(r#","from":{{"since_ms":{time_ms}}}"#),
            );
            let expected: Vec<u64> = all["items"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|item| item["ts"].as_u64().unwrap() >= time_ms)
                .map(|item| item["data"].as_u64().unwrap())
                .collect();
            assert_eq!(data(&since), expected);
        }
    }
}

#[test]
fn a_page_is_no_larger_than_it_may_be() {
    let options = Options {
        history_items: 5,
        history_page_bytes: 4 << 10,
        ..unlimited()
    };
    let server = cores(2, options);
    let mut client = NativeClient::connect(server.address(), Dialect::Binary);
    for topic in TOPICS {
        for n in 1..=8 {
            publish(&mut client, topic, &format!(r#""data":{n}"#));
        }
        let page = history(&mut client, topic, r#","limit":1000000"#);
        assert_eq!(data(&page), [1, 2, 3, 4, 5]);
        let large = format!(r#""data":"{}""#, "x".repeat(10 << 10));
        publish(&mut client, topic, &large);
        publish(&mut client, topic, &large);
        let page = history(&mut client, topic, r#","dir":"backward""#);
        assert_eq!(
            page["items"].as_array().unwrap().len(),
            1,
            "one always fits"
        );
        assert_eq!(page["complete"], false);
    }
}

#[test]
fn a_position_that_is_none_is_refused() {
    let server = cores(2, unlimited());
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    for topic in TOPICS {
        let reply = publish(&mut client, topic, r#""data":1"#);
        let epoch = reply["pubbed"]["epoch"].as_str().unwrap();
        let at =
            |epoch: &str, offset| format!(r#","from":{{"epoch":"{epoch}","offset":{offset}}}"#);
        let other = history(&mut client, topic, &at("other", 1));
        assert_eq!(other["err"]["code"], 110, "{other}");
        let ahead = history(&mut client, topic, &at(epoch, 2));
        assert_eq!(ahead["err"]["code"], 110, "{ahead}");
        let end = history(&mut client, topic, &at(epoch, 1));
        assert_eq!((data(&end), &end["complete"]), (vec![], &json!(true)));
    }
    let nothing = history(&mut client, "never", "");
    assert_eq!((data(&nothing), &nothing["end"]), (vec![], &json!(0)));
    let bad = history(&mut client, "no good", "");
    assert_eq!(bad["err"]["code"], 104);
}

#[test]
fn pages_that_wait_for_a_client_are_bounded() {
    let options = Options {
        history_unanswered_max: 4,
        ..unlimited()
    };
    let server = cores(2, options);
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    for topic in TOPICS {
        publish(&mut client, topic, r#""data":1"#);
        let commands: Vec<String> = (1..=6)
            .map(|id| format!(r#"{{"id":{id},"hist":{{"topic":"{topic}"}}}}"#))
            .collect();
        client.say(&format!("[{}]", commands.join(",")));
        let mut refused = 0;
        for id in 1..=6 {
            let reply = client.reply(id);
            match reply.get("err") {
                Some(error) => {
                    assert_eq!(error["code"], 108);
                    refused += 1;
                }
                None => assert_eq!(data(&reply["page"]), [1]),
            }
        }
        assert_eq!(refused, 2);
        assert_eq!(
            data(&history(&mut client, topic, "")),
            [1],
            "there is room again"
        );
    }
}

/// Complaint 13: what is sent again because its answer was lost is in the topic once.
#[test]
fn a_number_that_comes_again_is_not_published_again() {
    let server = cores(2, unlimited());
    let mut subscriber = NativeClient::connect(server.address(), Dialect::Binary);
    subscriber.ask(r#"{"sub":{"s":1,"topic":"a.*"}}"#);
    for topic in TOPICS {
        let mut client = NativeClient::connect(server.address(), Dialect::Json);
        let first = publish(&mut client, topic, r#""data":1,"pseq":1"#);
        assert_eq!(first["pubbed"].get("dup"), None, "{first}");
        publish(&mut client, topic, r#""data":2,"pseq":2"#);
        let again = publish(&mut client, topic, r#""data":1,"pseq":1"#);
        assert_eq!(again["pubbed"]["dup"], true, "{again}");
        assert_eq!(again["pubbed"]["offset"], first["pubbed"]["offset"]);
        assert_eq!(again["pubbed"]["epoch"], first["pubbed"]["epoch"]);
        let skipped = publish(&mut client, topic, r#""data":4,"pseq":4"#);
        assert_eq!(skipped["err"]["code"], 104);
        let text = skipped["err"]["text"].as_str().unwrap();
        assert!(text.contains("3 is expected"), "{text}");
        let next = publish(&mut client, topic, r#""data":3,"pseq":3"#);
        assert_eq!(next["pubbed"]["offset"], 3);
        for n in 1..=3 {
            let message = subscriber.expect_push("msg");
            assert_eq!((&message["data"], &message["o"]), (&json!(n), &json!(n)));
        }
    }
    assert_eq!(server.count("publications_known"), TOPICS.len() as u64);
}

/// So is what has the key of another message, whoever says it.
#[test]
fn a_key_that_comes_again_is_not_published_again() {
    let server = cores(2, unlimited());
    for topic in TOPICS {
        let mut one = NativeClient::connect(server.address(), Dialect::Json);
        let mut other = NativeClient::connect(server.address(), Dialect::Binary);
        let first = publish(&mut one, topic, r#""data":1,"idem":"order-17""#);
        assert_eq!(first["pubbed"]["offset"], 1);
        let again = publish(&mut other, topic, r#""data":1,"idem":"order-17""#);
        assert_eq!(again["pubbed"]["offset"], 1);
        assert_eq!(again["pubbed"]["dup"], true);
        let different = publish(&mut other, topic, r#""data":2,"idem":"order-18""#);
        assert_eq!(different["pubbed"]["offset"], 2);
        assert_eq!(data(&history(&mut one, topic, "")), [1, 2]);
    }
}

/// P2: of the connections of one session only the last one publishes.
#[test]
fn who_has_come_back_elsewhere_publishes_there() {
    let server = cores(2, unlimited());
    for topic in TOPICS {
        let mut elder = NativeClient::open(server.address(), Dialect::Json);
        let welcome = elder.ask(r#"{"hello":{"v":1}}"#);
        let ticket = welcome["welcome"]["ticket"].as_str().unwrap();
        publish(&mut elder, topic, r#""data":1,"pseq":1"#);
        let mut next = NativeClient::open(server.address(), Dialect::Binary);
        let welcome = next.ask(&format!(r#"{{"hello":{{"v":1,"resume":"{ticket}"}}}}"#));
        assert_eq!(welcome["welcome"]["resumed"], true);
        // Nobody has said anything in this topic yet: the elder goes on.
        let second = publish(&mut elder, topic, r#""data":2,"pseq":2"#);
        assert_eq!(second["pubbed"]["offset"], 2);
        let again = publish(&mut next, topic, r#""data":2,"pseq":2"#);
        assert_eq!(again["pubbed"]["dup"], true);
        for pseq in [2, 3] {
            let late = publish(&mut elder, topic, &format!(r#""data":9,"pseq":{pseq}"#));
            assert_eq!(late["err"]["code"], 113, "{late}");
        }
        let third = publish(&mut next, topic, r#""data":3,"pseq":3"#);
        assert_eq!(third["pubbed"]["offset"], 3);
        assert_eq!(data(&history(&mut next, topic, "")), [1, 2, 3]);
    }
}

#[test]
fn a_producer_in_flight_is_answered_in_order() {
    let server = cores(2, unlimited());
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    for topic in TOPICS {
        // Each of them twice, as after a connection that broke.
        let commands: Vec<String> = (0..200)
            .map(|n| {
                let (id, pseq) = (n + 1, n / 2 + 1);
                format!(r#"{{"id":{id},"pub":{{"topic":"{topic}","data":{pseq},"pseq":{pseq}}}}}"#)
            })
            .collect();
        client.say_all(&commands);
        for n in 0..200 {
            let reply = client.reply(n + 1);
            assert_eq!(reply["pubbed"]["offset"], n / 2 + 1, "{reply}");
            assert_eq!(reply["pubbed"].get("dup").is_some(), n % 2 == 1, "{reply}");
        }
    }
}

#[test]
fn tags_are_told_to_everybody() {
    let server = cores(2, unlimited());
    for dialect in Dialect::ALL {
        let mut client = NativeClient::connect(server.address(), dialect);
        client.ask(r#"{"sub":{"s":1,"topic":"tagged"}}"#);
        let tags = json!({"kind": "invoice", "lang": "de"});
        publish(&mut client, "tagged", &format!(r#""data":1,"tags":{tags}"#));
        let heard = client.expect_push("msg");
        assert_eq!(heard["tags"], tags);
        let page = history(&mut client, "tagged", r#","dir":"backward","limit":1"#);
        assert_eq!(page["items"][0]["tags"], tags);
    }
}

/// What has expired is not listed, and its place is accounted for.
#[test]
fn what_has_expired_is_in_no_page() {
    let server = cores(2, unlimited());
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    for topic in TOPICS {
        publish(&mut client, topic, r#""data":1"#);
        publish(&mut client, topic, r#""data":2,"ttl_ms":1"#);
        publish(&mut client, topic, r#""data":3"#);
        eventually("the second has expired", || {
            data(&history(&mut client, topic, "")) == [1, 3]
        });
        let page = history(&mut client, topic, "");
        assert_eq!((&page["start"], &page["end"]), (&json!(0), &json!(3)));
    }
}

fn rule(pattern: &str, class: Class, messages: usize) -> TopicRule {
    let options = Options::default();
    TopicRule {
        pattern: pattern.to_owned(),
        class,
        history: History {
            messages,
            bytes: options.history_bytes,
            age_ms: options.history_age_ms,
        },
    }
}

#[test]
fn a_topic_keeps_what_its_class_says() {
    let options = Options {
        topics: vec![
            rule("a.one", Class::Volatile, 0),
            rule("a.*", Class::Logged, 2),
        ],
        ..unlimited()
    };
    let server = cores(2, options);
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    for topic in TOPICS.into_iter().chain(["b"]) {
        for n in 1..=4 {
            let reply = publish(&mut client, topic, &format!(r#""data":{n},"pseq":{n}"#));
            // P3: nothing has it.
            let level = if topic == "a.one" { "none" } else { "mem" };
            assert_eq!(reply["pubbed"]["level"], level);
        }
        let page = history(&mut client, topic, "");
        let kept: &[u64] = match topic {
            "a.one" => &[],
            "b" => &[1, 2, 3, 4],
            _ => &[3, 4],
        };
        assert_eq!(data(&page), kept, "{topic}");
        assert_eq!((&page["end"], &page["complete"]), (&json!(4), &json!(true)));
        // P4 holds all the same.
        let again = publish(&mut client, topic, r#""data":4,"pseq":4"#);
        assert_eq!(again["pubbed"]["dup"], true);
    }
}

/// Complaint 29: what is kept of all topics together is bounded, and what goes is counted.
#[test]
fn all_topics_together_keep_no_more_than_they_may() {
    let budget = 1 << 20;
    let options = Options {
        history_budget_bytes: budget,
        ..unlimited()
    };
    let server = cores(2, options);
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    let large = format!(r#""data":"{}""#, "x".repeat(10 << 10));
    for n in 0..100 {
        for topic in ["t1", "t2", "t3", "t4"] {
            publish(&mut client, &format!("{topic}.{n}"), &large);
        }
        assert!(server.count("history_bytes") <= budget as u64);
    }
    let kept = server.count("history_messages");
    assert_eq!(kept + server.count("history_evicted"), 400);
    assert!((20..100).contains(&kept), "{kept} are kept");
    let oldest = history(&mut client, "t1.0", "");
    assert_eq!((&oldest["items"], &oldest["end"]), (&json!([]), &json!(1)));
    let newest = history(&mut client, "t1.99", "");
    assert_eq!(newest["items"].as_array().unwrap().len(), 1);
}

/// A topic is forgotten when nothing of it is left, and then goes by another epoch.
#[test]
fn a_topic_lives_as_long_as_what_it_keeps() {
    let serve = |age_ms| -> Served {
        let options = Options {
            topic_idle_ms: 1,
            dedup_ms: 1,
            history_age_ms: age_ms,
            ..unlimited()
        };
        cores(1, options)
    };
    let epoch = |reply: &Value| reply["pubbed"]["epoch"].as_str().unwrap().to_owned();

    let forgetful = serve(1);
    let mut client = NativeClient::connect(forgetful.address(), Dialect::Json);
    let first = epoch(&publish(&mut client, "t", r#""data":1"#));
    eventually("the topic begins anew", || {
        publish(&mut client, "other", r#""data":1"#);
        let page = history(&mut client, "t", "");
        page["epoch"] != *first && page["end"] == 0
    });

    let retentive = serve(60_000);
    let mut client = NativeClient::connect(retentive.address(), Dialect::Json);
    let first = epoch(&publish(&mut client, "t", r#""data":1"#));
    let mut last = 0;
    while last < 50 {
        let page = history(&mut client, "other", "");
        let reply = publish(&mut client, "other", r#""data":1"#);
        last = reply["pubbed"]["offset"].as_u64().unwrap();
        assert_eq!(page["end"], last - 1);
    }
    let page = history(&mut client, "t", "");
    assert_eq!(
        (page["epoch"].as_str(), data(&page)),
        (Some(&*first), vec![1])
    );
}

/// What time has ended is given back, also where nobody says anything any more.
#[test]
fn nothing_is_kept_beyond_its_time_though_nobody_is_left() {
    let options = Options {
        history_age_ms: 100,
        dedup_ms: 100,
        topic_idle_ms: 50,
        ..unlimited()
    };
    let server = cores(2, options);
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    for n in 0..2_000 {
        let idem = format!(r#""idem":"{n}","data":{n}"#);
        let _ = publish(&mut client, &format!("a.t{}", n % 500), &idem);
    }
    assert!(server.count("history_messages") > 0);
    client.peer().hang_up();
    eventually("nothing is kept", || {
        (
            server.count("history_messages"),
            server.count("history_bytes"),
        ) == (0, 0)
    });
}

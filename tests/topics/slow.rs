//! Clients that do not keep up: a cursor each, and every loss told.

use corewire::messaging::Options;
use corewire::protocol::native::Dialect;
use corewire_testkit::{NativeClient, eventually};

use crate::{Served, cores, unlimited, volatile};

/// Bytes of data of a large message.
const LARGE: usize = 32 << 10;

fn large() -> String {
    format!(
        r#"{{"pub":{{"topic":"bulk","data":"{}"}}}}"#,
        "x".repeat(LARGE)
    )
}

/// P5, and complaints 23, 24 and 28: what a stopped reader of a topic without a log has missed is
/// told when it reads again, and nothing twice.
#[test]
fn a_stopped_reader_is_told_what_it_has_missed() {
    for dialect in Dialect::ALL {
        let server = cores(2, volatile());
        let mut slow = NativeClient::connect(server.address(), dialect);
        slow.ask(r#"{"sub":{"s":1,"topic":"bulk"}}"#);
        let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
        let total = 400;
        for _ in 0..total {
            publisher.ask(&large());
        }
        let (mut last, mut gaps) = (0, 0);
        while last < total {
            let word = slow.expect();
            if let Some(message) = word.get("msg") {
                assert_eq!(message["o"], last + 1);
                last += 1;
            } else if let Some(gap) = word.get("gap") {
                assert_eq!(gap["from"], last + 1);
                assert_eq!(gap["cause"], "slow");
                last = gap["to"].as_u64().unwrap();
                gaps += 1;
            }
        }
        assert!(gaps > 0, "12 MiB do not wait for anybody");
        assert_eq!(last, total);
    }
}

/// Complaint 23: one slow subscription does not hurt another on the same connection.
#[test]
fn a_delivery_without_credit_holds_up_no_other() {
    let server = cores(2, unlimited());
    let mut client = NativeClient::connect(server.address(), Dialect::Binary);
    client.ask(r#"{"sub":{"s":1,"topic":"stalled","credit":0}}"#);
    client.ask(r#"{"sub":{"s":2,"topic":"flowing"}}"#);
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    for _ in 0..100 {
        publisher.ask(r#"{"pub":{"topic":"stalled","data":1}}"#);
        publisher.ask(r#"{"pub":{"topic":"flowing","data":2}}"#);
    }
    for offset in 1..=100 {
        let message = client.expect_push("msg");
        assert_eq!(
            (&message["data"], &message["o"]),
            (&2.into(), &offset.into())
        );
    }
    client.ask(r#"{"credit":{"s":1,"msgs":100}}"#);
    for offset in 1..=100 {
        let message = client.expect_push("msg");
        assert_eq!(
            (&message["data"], &message["o"]),
            (&1.into(), &offset.into())
        );
    }
}

/// P9: when publishing stops, the newest value of each key has come.
#[test]
fn latest_ends_with_the_last_value_of_each_key() {
    let server = cores(2, unlimited());
    let mut slow = NativeClient::connect(server.address(), Dialect::Json);
    slow.ask(r#"{"sub":{"s":1,"topic":"prices","policy":{"mode":"latest"},"credit":3}}"#);
    let mut publisher = NativeClient::connect(server.address(), Dialect::Binary);
    let total = 1000;
    for n in 1..=total {
        let key = n % 7;
        publisher.ask(&format!(
            r#"{{"pub":{{"topic":"prices","key":"k{key}","data":{n}}}}}"#
        ));
    }
    slow.say(r#"{"credit":{"s":1,"msgs":1000000}}"#);
    let mut newest = [0; 7];
    let mut accounted = 0;
    while accounted < total {
        let word = slow.expect();
        if let Some(message) = word.get("msg") {
            let n = message["data"].as_u64().unwrap();
            assert_eq!(message["o"], accounted + 1, "{word}");
            accounted += 1;
            newest[usize::try_from(n % 7).unwrap()] = n;
        } else if let Some(conflated) = word.get("conflated") {
            accounted += conflated["n"].as_u64().unwrap();
            assert_eq!(conflated["upto"], accounted, "{word}");
        }
    }
    let mut newest = newest.to_vec();
    newest.sort_unstable();
    assert_eq!(newest, (total - 6..=total).collect::<Vec<_>>());
    assert!(server.count("conflated") > 900);
}

/// Complaint 25: who would rather be closed than miss anything says so, for one subscription.
#[test]
fn a_subscription_that_wants_all_or_nothing_is_closed() {
    let server = cores(1, unlimited());
    let mut strict = NativeClient::connect(server.address(), Dialect::Json);
    strict
        .ask(r#"{"sub":{"s":1,"topic":"log","policy":{"mode":"close","max_msgs":3},"credit":0}}"#);
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    for _ in 0..4 {
        publisher.ask(r#"{"pub":{"topic":"log","data":1}}"#);
    }
    strict.say(r#"{"credit":{"s":1,"msgs":9}}"#);
    let closing = strict.expect_push("closing");
    assert_eq!(closing["code"], 4102);
    assert_eq!(strict.expect()["close"], 4102);
}

/// Complaints 29 and 32: a thousand stopped readers cost what they may, and no more.
#[test]
fn stopped_readers_share_what_waits_for_them() {
    let server = cores(
        2,
        Options {
            backlog_budget_bytes: 1 << 20,
            ..volatile()
        },
    );
    let mut readers: Vec<NativeClient> = (0..300)
        .map(|_| NativeClient::connect(server.address(), Dialect::Json))
        .collect();
    for (number, reader) in readers.iter_mut().enumerate() {
        let topic = number % 10;
        reader.ask(&format!(
            r#"{{"sub":{{"s":1,"topic":"t{topic}","credit":0}}}}"#
        ));
    }
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    let data = "x".repeat(LARGE);
    for number in 0..400 {
        let topic = number % 10;
        publisher.ask(&format!(
            r#"{{"pub":{{"topic":"t{topic}","data":"{data}"}}}}"#
        ));
    }
    // What is left is what the budget of two cores holds; the rest is told.
    let mut messages = 0;
    for reader in readers.iter_mut().take(10) {
        reader.say(r#"{"credit":{"s":1,"msgs":1000}}"#);
        let mut last = 0;
        while last < 40 {
            let word = reader.expect();
            if let Some(gap) = word.get("gap") {
                assert_eq!(gap["from"], last + 1);
                last = gap["to"].as_u64().unwrap();
            } else if let Some(message) = word.get("msg") {
                assert_eq!(message["o"], last + 1);
                last += 1;
                messages += 1;
            }
        }
    }
    assert!(messages * LARGE <= 2 << 20, "{messages} messages were kept");
    assert!(messages > 10, "{messages} messages were kept");
}

/// The same of those who only want the newest of each key: the budget is of all topics.
#[test]
fn newest_values_of_many_topics_share_a_budget() {
    const TOPICS: usize = 10;
    const EACH: u64 = 20;
    let server = cores(
        1,
        Options {
            backlog_budget_bytes: 1 << 20,
            ..volatile()
        },
    );
    let mut reader = NativeClient::connect(server.address(), Dialect::Json);
    for s in 0..TOPICS {
        reader.ask(&format!(
            r#"{{"sub":{{"s":{},"topic":"t{s}","policy":{{"mode":"latest"}},"credit":0}}}}"#,
            s + 1
        ));
    }
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    let data = "x".repeat(LARGE);
    for key in 0..EACH {
        for topic in 0..TOPICS {
            publisher.ask(&format!(
                r#"{{"pub":{{"topic":"t{topic}","key":"k{key}","data":"{data}"}}}}"#
            ));
        }
    }
    for s in 1..=TOPICS {
        reader.say(&format!(r#"{{"credit":{{"s":{s},"msgs":1000}}}}"#));
    }
    let (mut accounted, mut messages) = (0, 0);
    while accounted < TOPICS as u64 * EACH {
        let word = reader.expect();
        if let Some(gap) = word.get("gap") {
            accounted += gap["to"].as_u64().unwrap() - gap["from"].as_u64().unwrap() + 1;
        } else if word.get("msg").is_some() {
            accounted += 1;
            messages += 1;
        }
    }
    assert!(messages * LARGE <= 1 << 20, "{messages} messages were kept");
    assert!(messages > 10, "{messages} messages were kept");
}

/// A publisher that is faster than the cores that order its messages is not read meanwhile
/// (complaint 32: a queue behind somebody slow is bounded).
#[test]
fn a_flood_of_publications_is_slowed_and_none_is_lost() {
    flood_of_publications(Options {
        unanswered_max: 8,
        ..unlimited()
    });
}

/// Nor is anybody who publishes when a core waits for as many answers as it may.
#[test]
fn a_core_whose_requests_are_not_answered_takes_no_more_of_them() {
    let server = flood_of_publications(Options {
        core_unanswered_max: 4,
        ..unlimited()
    });
    assert!(server.count("requests_held") > 0);
    eventually("all are answered", || {
        server.count("requests_unanswered") == 0
    });
}

/// Four clients publish as fast as they can, and all of it is published.
fn flood_of_publications(options: Options) -> Served {
    let server = cores(4, options);
    let mut publishers: Vec<NativeClient> = (0..4)
        .map(|_| NativeClient::connect(server.address(), Dialect::Json))
        .collect();
    let total: u64 = 500;
    for publisher in &mut publishers {
        let commands: Vec<String> = (1..=total)
            .map(|n| {
                format!(
                    r#"{{"id":{n},"pub":{{"topic":"flood.t{}","data":{n}}}}}"#,
                    n % 8
                )
            })
            .collect();
        publisher.say_all(&commands);
    }
    for publisher in &mut publishers {
        for n in 1..=total {
            assert!(publisher.reply(n).get("pubbed").is_some());
        }
    }
    eventually("all are published", || {
        server.count("published") == total * 4
    });
    server
}

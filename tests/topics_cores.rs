//! Topics on cores that are turned by hand: what is one turn.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use corewire::engine;
use corewire::messaging::Options;
use corewire::protocol::native::Dialect;
use corewire::{ConnId, CoreId};
use corewire_testkit::cores::{Cores, Write};
use corewire_testkit::{NativeClient, frames};

const ONE: CoreId = CoreId(0);

fn unlimited() -> Options {
    Options {
        publish_per_s: 0,
        ..Options::default()
    }
}

fn json(text: &str) -> Vec<u8> {
    frames::text(text)
}

/// A message with these commands.
fn list(commands: impl IntoIterator<Item = String>) -> String {
    let commands: Vec<String> = commands.into_iter().collect();
    format!("[{}]", commands.join(","))
}

fn to(conn: ConnId) -> impl Fn(&&Write) -> bool {
    move |write| write.to == conn
}

/// The ids of the replies, in their order. For clients that speak JSON.
fn replies(writes: &[Write]) -> Vec<u64> {
    let mut all = Vec::new();
    for write in writes {
        let text = String::from_utf8_lossy(&write.bytes).into_owned();
        let ids = text.split(r#"{"id":"#).skip(1);
        all.extend(ids.map(|rest| rest.split(',').next().unwrap().parse::<u64>().unwrap()));
    }
    all
}

// ── Turns ──

/// Topics that a pattern finds, one subscriber of it, and somebody else on the same core.
fn subscriber_of_many(topics: usize, dialect: Dialect) -> (Cores, ConnId, ConnId) {
    let engine = engine::Options {
        turn_work: 100_000,
        ..engine::Options::default()
    };
    let mut cores = Cores::new(1, unlimited(), engine);
    let subscriber = cores.connect(ONE, dialect);
    let other = cores.connect(ONE, Dialect::Json);
    let subscribe = r#"{"id":2,"sub":{"s":1,"topic":"many.>"}}"#;
    cores.hears(subscriber, &NativeClient::frame_in(dialect, subscribe));
    for topic in 0..topics {
        let publish = format!(r#"{{"pub":{{"topic":"many.t{topic}","data":1}}}}"#);
        cores.hears(other, &json(&publish));
    }
    cores.run();
    (cores, subscriber, other)
}

/// A command that looks at everything that its connection is sent is work of a turn: the others have
/// theirs in between, and what comes behind the message waits for it.
#[test]
fn a_message_of_many_commands_takes_turns() {
    const TOPICS: usize = 1000;
    const COMMANDS: u64 = 200;
    // What one of them counts as, at least.
    let turns_min = usize::try_from(COMMANDS).unwrap() * TOPICS * 64 / 100_000 / 2;
    let credit = |id| format!(r#"{{"id":{id},"credit":{{"s":1,"msgs":{id}}}}}"#);
    for dialect in Dialect::ALL {
        let (mut cores, subscriber, other) = subscriber_of_many(TOPICS, dialect);
        let commands = list((1..=COMMANDS).map(|n| credit(100 + n)));
        cores.hears(subscriber, &NativeClient::frame_in(dialect, &commands));
        let behind = r#"{"id":9999,"pong":{"t":0}}"#;
        cores.hears(subscriber, &NativeClient::frame_in(dialect, behind));
        cores.hears(other, &json(r#"{"id":5,"pong":{"t":0}}"#));
        let writes = cores.run();
        let own: Vec<Write> = writes.iter().filter(to(subscriber)).cloned().collect();
        assert!(own.len() > turns_min, "{} turns", own.len());
        let place = writes.iter().position(|write| write.to == other).unwrap();
        assert!(place <= 1, "behind {place} turns");
        if dialect == Dialect::Json {
            let expected: Vec<u64> = (1..=COMMANDS).map(|n| 100 + n).chain([9999]).collect();
            assert_eq!(replies(&own), expected);
        }
    }
}

/// Commands that look at nothing are done in the turn that they came in.
#[test]
fn a_message_of_cheap_commands_takes_one_turn() {
    let (mut cores, subscriber, _) = subscriber_of_many(1000, Dialect::Json);
    let pongs = (1..=300).map(|id| format!(r#"{{"id":{id},"pong":{{"t":0}}}}"#));
    cores.hears(subscriber, &json(&list(pongs)));
    let writes = cores.run();
    assert_eq!(writes.len(), 1);
    assert_eq!(replies(&writes), (1..=300).collect::<Vec<u64>>());
}

/// What was put off is not done behind the end of its connection, and an error in it comes in its
/// place.
#[test]
fn what_was_put_off_ends_as_it_would_have() {
    let credit = |id: u64| format!(r#"{{"id":{id},"credit":{{"s":1,"msgs":{id}}}}}"#);
    let (mut cores, subscriber, _) = subscriber_of_many(1000, Dialect::Json);
    let commands = (1..=20).map(credit);
    let unknown = [r#"{"id":21,"nonsense":{}}"#.to_owned(), credit(22)];
    cores.hears(subscriber, &json(&list(commands.chain(unknown))));
    let writes = cores.run();
    assert!(writes.len() > 5);
    assert_eq!(replies(&writes), (1..=22).collect::<Vec<u64>>());
    let refused = writes.iter().find(|write| write.has(r#"{"id":21,"err""#));
    assert!(refused.is_some());

    let bye = [r#"{"id":11,"bye":{}}"#.to_owned(), credit(12)];
    let commands = (1..=10).map(credit).chain(bye);
    cores.hears(subscriber, &json(&list(commands)));
    let writes = cores.run();
    assert_eq!(replies(&writes), (1..=11).collect::<Vec<u64>>());
}

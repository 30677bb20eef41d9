//! Topics on cores that are turned by hand: what is one turn, and one write, and what the documented
//! numbers of subscriptions and topics cost.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use allocation_counter::measure;
use corewire::engine;
use corewire::messaging::Options;
use corewire::protocol::native::Dialect;
use corewire::{ConnId, CoreId};
use corewire_testkit::cores::{Cores, Write};
use corewire_testkit::{NativeClient, frames};

const ONE: CoreId = CoreId(0);
const OTHER: CoreId = CoreId(1);

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

/// What mail brings to a connection in one turn leaves in one write, however many messages of however
/// many topics it is.
#[test]
fn what_mail_brings_in_a_turn_leaves_in_one_write() {
    const MESSAGES: usize = 40;
    for dialect in Dialect::ALL {
        let mut cores = Cores::new(2, unlimited(), engine::Options::default());
        let subscriber = cores.connect(ONE, dialect);
        let publisher = cores.connect(OTHER, Dialect::Json);
        let topics = (1..=4).map(|n| format!(r#"{{"sub":{{"s":{n},"topic":"t{n}"}}}}"#));
        let commands = list(topics.chain([r#"{"sub":{"s":9,"topic":"p.*"}}"#.to_owned()]));
        cores.hears(subscriber, &NativeClient::frame_in(dialect, &commands));
        cores.run();
        for n in 0..MESSAGES {
            let topic = ["t1", "t2", "t3", "t4", "p.a", "p.b"][n % 6];
            let publish = format!(r#"{{"pub":{{"topic":"{topic}","data":"m-{n}"}}}}"#);
            cores.hears(publisher, &json(&publish));
        }
        // To the home cores, and back: what the subscriber is sent has come by mail, all of it.
        let mut letters = 0;
        loop {
            let (own, others) = (cores.turn(OTHER), cores.turn(OTHER));
            assert!(own.iter().chain(&others).all(|write| write.to == publisher));
            let carried = cores.carry();
            letters += carried;
            if carried == 0 {
                break;
            }
        }
        assert!(letters >= MESSAGES);
        let writes = cores.turn(ONE);
        let own: Vec<&Write> = writes.iter().filter(to(subscriber)).collect();
        assert_eq!(own.len(), 1, "{dialect:?}");
        assert_eq!(own[0].times("m-"), MESSAGES);
    }
}

// ── The documented numbers ──

/// 10,000 subscriptions of one connection, in any order, and not one more.
#[test]
fn a_connection_has_ten_thousand_subscriptions() {
    let most = Options::default().subscriptions_max as u64;
    assert_eq!(most, 10_000);
    let mut cores = Cores::new(2, unlimited(), engine::Options::default());
    let client = cores.connect(ONE, Dialect::Json);
    let subscribe = |s: u64| {
        let id = s + 100_000;
        format!(r#"{{"id":{id},"sub":{{"s":{s},"topic":"crowd.t{s}"}}}}"#)
    };
    // From both ends, so that no order of them is a lucky one.
    let order = (1..=most / 2).flat_map(|s| [s, most + 1 - s]);
    let all: Vec<String> = order.map(subscribe).collect();
    let mut granted = 0;
    for some in all.chunks(1000) {
        cores.hears(client, &json(&list(some.iter().cloned())));
        let writes = cores.run();
        granted += writes
            .iter()
            .map(|write| write.times("\"subbed\""))
            .sum::<usize>();
    }
    assert_eq!(granted as u64, most);
    cores.hears(client, &json(&subscribe(most + 1)));
    let refused = cores.run();
    assert!(refused[0].has(r#""err":{"code":107,"#), "{refused:?}");
    // Each is there: its messages come, and its place can be had again.
    for s in [1, most / 2, most] {
        let publish = format!(r#"{{"pub":{{"topic":"crowd.t{s}","data":"to-{s}."}}}}"#);
        cores.hears(client, &json(&publish));
        let writes = cores.run();
        let told: usize = writes
            .iter()
            .map(|write| write.times(&format!("to-{s}.")))
            .sum();
        assert_eq!(told, 1);
    }
    cores.hears(client, &json(r#"{"id":7,"unsub":{"s":5000}}"#));
    cores.hears(client, &json(&subscribe(most + 1)));
    let writes = cores.run();
    let subbed: usize = writes.iter().map(|write| write.times("\"subbed\"")).sum();
    assert_eq!(subbed, 1, "{writes:?}");
}

/// 200,000 topics, each of them published in once, with and without a reader of all: what one costs
/// does not depend on how many there are.
#[test]
fn a_publication_costs_the_same_among_many_topics() {
    const AT_ONCE: usize = 1000;
    for (reader, topics) in [(false, 200_000), (true, 30_000)] {
        let mut cores = Cores::new(1, unlimited(), engine::Options::default());
        let publisher = cores.connect(ONE, Dialect::Json);
        if reader {
            let reader = cores.connect(ONE, Dialect::Json);
            cores.hears(reader, &json(r#"{"id":2,"sub":{"s":1,"topic":">"}}"#));
        }
        cores.run();
        // Allocations, their bytes, and writes: none may grow with what there is.
        let mut costs: Vec<(u64, u64, usize)> = Vec::new();
        for first in (0..topics).step_by(AT_ONCE) {
            let publish = |n| format!(r#"{{"id":{},"pub":{{"topic":"t.{n}","data":1}}}}"#, n + 1);
            let message = json(&list((first..first + AT_ONCE).map(publish)));
            cores.hears(publisher, &message);
            let mut writes = Vec::new();
            let allocated = measure(|| writes = cores.run());
            let placed: usize = writes.iter().map(|write| write.times("\"pubbed\"")).sum();
            let told: usize = writes.iter().map(|write| write.times("\"msg\"")).sum();
            assert_eq!((placed, told), (AT_ONCE, if reader { AT_ONCE } else { 0 }));
            costs.push((allocated.count_total, allocated.bytes_total, writes.len()));
        }
        // From when the reader knows as many topics as it may.
        let first = costs[if reader { 12 } else { 2 }];
        let last = costs[costs.len() - 1];
        let shown = format!("with a reader: {reader}; {first:?}, {last:?}");
        assert!(last.0 < first.0 + first.0 / 10, "{shown}");
        assert!(last.1 < first.1 + first.1 / 10, "{shown}");
        assert!(last.2 <= first.2 + 1, "{shown}");
    }
}

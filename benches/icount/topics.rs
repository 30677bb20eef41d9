//! Publications: from the bytes of the commands to those of the replies and of the messages to a
//! subscriber.

use std::hint::black_box;
use std::sync::Arc;

use corewire::CoreId;
use corewire::engine::{Core, Service};
use corewire::messaging::{
    Class, History, Identity, Messaging, MessagingHandler, Options, TopicRule,
};
use corewire_testkit::material::ascii;
use corewire_testkit::{Bare, frames};

use crate::{Entry, Piece};

pub(crate) const PIECES: &[Entry] = &[
    ("publish/100-of-128B-volatile", || publish("volatile")),
    ("publish/100-of-128B-logged", || publish("logged")),
    ("publish/100-to-one-volatile", || publish("missed")),
    ("publish/100-to-one-logged", || publish("heard")),
    ("deliver/1-of-128B-to-1000", || deliver(1)),
    ("deliver/16-of-128B-to-1000", || deliver(16)),
];

const PUBLICATIONS: usize = 100;
const MESSAGE_BYTES: usize = 128;
const SUBSCRIBERS: usize = 1000;
const HEADERS: [&str; 1] = ["Sec-WebSocket-Protocol: corewire.v1.json"];

/// A hundred publications in one read, each with a reply. What is kept is half of that, so that each
/// one also lets one go.
fn publish(topic: &str) -> Piece {
    let mut bare = Bare::with_headers(1, topics, &HEADERS);
    let hello =
        r#"{"id":1,"hello":{"v":1,"subs":[{"s":1,"topic":"heard"},{"s":2,"topic":"missed"}]}}"#;
    bare.hears(0, &frames::text(hello));
    let data = ascii(MESSAGE_BYTES);
    let command = format!(r#"{{"id":2,"pub":{{"topic":"{topic}","data":"{data}"}}}}"#);
    let stream = frames::repeated(&frames::text(&command), PUBLICATIONS);
    Box::new(move || {
        let written = bare.hears(0, black_box(&stream));
        // No reply is shorter, and an error is longer than all of them would be.
        assert!((PUBLICATIONS * 60..PUBLICATIONS * 500).contains(&written.len()));
    })
}

/// Publications in one read, without replies, to subscribers that have been sent all before: each is
/// marked, filled and written.
fn deliver(publications: usize) -> Piece {
    let mut bare = Bare::with_headers(1 + SUBSCRIBERS, topics, &HEADERS);
    bare.hears(0, &frames::text(r#"{"id":1,"hello":{"v":1}}"#));
    let hello = frames::text(r#"{"id":1,"hello":{"v":1,"subs":[{"s":1,"topic":"many"}]}}"#);
    for subscriber in 1..=SUBSCRIBERS {
        bare.hears(subscriber, &hello);
    }
    let data = ascii(MESSAGE_BYTES);
    let command = format!(r#"{{"pub":{{"topic":"many","data":"{data}"}}}}"#);
    let stream = frames::repeated(&frames::text(&command), publications);
    let deliveries = SUBSCRIBERS * publications;
    Box::new(move || {
        let written = bare.hears(0, black_box(&stream));
        assert!((deliveries * 200..deliveries * 400).contains(&written.len()));
    })
}

fn topics() -> MessagingHandler {
    let rule = |pattern: &str, class| TopicRule {
        pattern: pattern.to_owned(),
        class,
        history: History {
            messages: PUBLICATIONS / 2,
            bytes: 1 << 20,
            age_ms: 120_000,
        },
    };
    let options = Options {
        publish_per_s: 0,
        topics: vec![
            rule("volatile", Class::Volatile),
            rule("missed", Class::Volatile),
            rule("*", Class::Logged),
        ],
        ..Options::default()
    };
    let core = Core {
        id: CoreId(0),
        counters: Arc::new([Arc::default()]),
    };
    Messaging::new(options, Identity::Anonymous, 1 << 20, 42).handler(&core)
}

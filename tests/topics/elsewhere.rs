//! History that is not at hand: every read of a log is answered a moment later. What clients hear
//! is the same.

use corewire::messaging::{Identity, Messaging, Options};
use corewire::protocol::native::Dialect;
use corewire::server::{self, Site};
use corewire_testkit::served::options;
use corewire_testkit::{NativeClient, Served};
use serde_json::Value;

use crate::unlimited;

const TOPICS: [&str; 4] = ["a.one", "a.two", "a.three", "a.four"];

fn serve(messaging: Options) -> Served {
    let server = server::Options {
        cores: Some(2),
        ..options()
    };
    let messaging = Messaging::new(messaging, Identity::Anonymous, 1 << 20, 42);
    Served::start(Site::new(messaging.with_history_elsewhere()), server)
}

#[test]
fn pages_come_all_the_same() {
    let server = serve(unlimited());
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    for topic in TOPICS {
        for n in 1..=20 {
            client.ask(&format!(r#"{{"pub":{{"topic":"{topic}","data":{n}}}}}"#));
        }
        let commands: Vec<String> = (1..=5)
            .map(|id| format!(r#"{{"id":{id},"hist":{{"topic":"{topic}","limit":{id}}}}}"#))
            .collect();
        client.say_all(&commands);
        for id in 1..=5 {
            let page = client.reply(id)["page"].clone();
            assert_eq!(page["items"].as_array().unwrap().len() as u64, id);
            assert_eq!(
                (page["start"].as_u64(), page["end"].as_u64()),
                (Some(0), Some(id))
            );
        }
    }
}

/// P6, and complaint 11: whoever begins in history while somebody publishes is sent every message
/// once, in order.
#[test]
fn who_begins_in_history_misses_nothing_of_what_comes_meanwhile() {
    let server = serve(unlimited());
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    let mut say = |n: u64| {
        for topic in TOPICS {
            let reply = publisher.ask(&format!(r#"{{"pub":{{"topic":"{topic}","data":{n}}}}}"#));
            assert_eq!(reply["pubbed"]["offset"], n);
        }
    };
    (1..=100).for_each(&mut say);
    let mut readers: Vec<NativeClient> = Dialect::ALL
        .into_iter()
        .cycle()
        .take(4)
        .map(|dialect| NativeClient::connect(server.address(), dialect))
        .collect();
    for reader in &mut readers {
        for (s, topic) in TOPICS.into_iter().enumerate() {
            reader.say(&format!(
                r#"{{"id":{},"sub":{{"s":{s},"topic":"{topic}","from":{{"last":50}}}}}}"#,
                s + 1
            ));
        }
    }
    (101..=200).for_each(&mut say);
    for reader in &mut readers {
        let mut next = [51; 4];
        let mut aliases: Vec<Value> = vec![Value::Null; 4];
        while next != [201; 4] {
            let word = reader.expect();
            if let Some(topic) = word.get("topic") {
                let place = TOPICS.iter().position(|name| topic["topic"] == *name);
                aliases[place.unwrap()] = topic["t"].clone();
            } else if let Some(message) = word.get("msg") {
                let place = aliases.iter().position(|t| *t == message["t"]).unwrap();
                assert_eq!(message["o"], next[place], "{word}");
                assert_eq!(message["data"], next[place]);
                next[place] += 1;
            } else {
                // A few were published before the subscription was granted; the newest 50 follow.
                let begin = word["subbed"]["offset"]
                    .as_u64()
                    .unwrap_or_else(|| panic!("{word}"));
                let place = usize::try_from(word["subbed"]["s"].as_u64().unwrap()).unwrap();
                next[place] = begin + 1;
            }
        }
    }
}

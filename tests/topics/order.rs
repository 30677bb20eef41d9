//! Order, and one encoding for all.

use corewire::protocol::native::Dialect;
use std::net::SocketAddr;

use corewire_testkit::peer::upgrade_request;
use corewire_testkit::{NativeClient, Peer, eventually};
use serde_json::Value;

use crate::{cores, unlimited};

/// P1 and P2, and complaints 20 and 48: with a thousand on their way, on two cores, to subscribers
/// on both.
#[test]
fn what_one_publisher_sends_arrives_in_its_order_everywhere() {
    let server = cores(2, unlimited());
    // Enough of them that both cores have some, of topics and of clients.
    let mut subscribers: Vec<NativeClient> = Dialect::ALL
        .into_iter()
        .cycle()
        .take(8)
        .map(|dialect| NativeClient::connect(server.address(), dialect))
        .collect();
    for subscriber in &mut subscribers {
        let subbed = subscriber.ask(r#"{"sub":{"s":1,"topic":"order.>"}}"#);
        assert!(subbed.get("subbed").is_some(), "{subbed}");
    }
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    let total: u64 = 1000;
    let commands: Vec<String> = (1..=total)
        .map(|n| {
            let topic = n % 4;
            let pseq = n.div_ceil(4);
            format!(r#"{{"id":{n},"pub":{{"topic":"order.t{topic}","data":{n},"pseq":{pseq}}}}}"#)
        })
        .collect();
    publisher.say_all(&commands);
    for n in 1..=total {
        let reply = publisher.reply(n);
        assert_eq!(reply["pubbed"]["offset"], n.div_ceil(4), "{reply}");
    }
    for subscriber in &mut subscribers {
        let mut last: [u64; 4] = [0; 4];
        let mut heard = 0;
        while heard < total {
            let word = subscriber.expect();
            let Some(message) = word.get("msg") else {
                let told = word.get("topic").or_else(|| word.get("pos"));
                assert!(told.is_some(), "{word}");
                continue;
            };
            let n = message["data"].as_u64().unwrap();
            let topic = usize::try_from(n % 4).unwrap();
            let offset = message["o"].as_u64().unwrap();
            assert_eq!(offset, last[topic] + 1, "{word}");
            assert_eq!(message["pub"]["pseq"], offset, "the publisher's order");
            last[topic] = offset;
            heard += 1;
        }
    }
}

/// Complaint 45: one buffer for each message and encoding, whoever gets it, compressed once.
#[test]
fn a_message_is_written_and_compressed_once_in_each_dialect() {
    const SUBSCRIBERS: usize = 1000;
    const MESSAGES: u64 = 20;
    let server = cores(2, unlimited());
    let mut subscribers: Vec<Peer> = Dialect::ALL
        .into_iter()
        .cycle()
        .take(SUBSCRIBERS)
        .map(|dialect| compressed_subscriber(server.address(), dialect))
        .collect();
    let mut publisher = NativeClient::connect(server.address(), Dialect::Binary);
    let mut publish = |n: u64| {
        let data = "the same words again, ".repeat(10);
        publisher.ask(&format!(
            r#"{{"pub":{{"topic":"news","data":"{data}{n}"}}}}"#
        ));
    };
    // With the first message comes the topic's alias, for each connection itself.
    publish(0);
    for subscriber in &mut subscribers {
        subscriber.expect_frame();
        assert!(subscriber.expect_frame().header.compressed);
    }
    let total = SUBSCRIBERS as u64 * (MESSAGES + 1);
    let counted = || ["messages_encoded", "messages_deflated"].map(|name| server.count(name));
    eventually("all of the first are counted", || {
        server.count("delivered") == SUBSCRIBERS as u64
    });
    let [encoded, deflated] = counted();
    for n in 1..=MESSAGES {
        publish(n);
    }
    for subscriber in &mut subscribers {
        for _ in 0..MESSAGES {
            assert!(subscriber.expect_frame().header.compressed);
        }
    }
    eventually("all are counted", || server.count("delivered") == total);
    let forms = MESSAGES * Dialect::ALL.len() as u64;
    eventually("once in each dialect", || {
        counted() == [encoded + forms, deflated + forms]
    });
    assert_eq!(server.count("published"), MESSAGES + 1);
}

/// Whoever stands at the same place is sent the same bytes as one piece; whoever does not want all
/// of them, or has credit for some only, is sent its own.
#[test]
fn subscribers_at_one_place_are_sent_the_same() {
    const BURSTS: u64 = 8;
    const AT_ONCE: u64 = 16;
    let server = cores(1, unlimited());
    let sub = r#"{"sub":{"s":1,"topic":"news"}}"#;
    let mut plain: Vec<NativeClient> = Dialect::ALL
        .into_iter()
        .cycle()
        .take(8)
        .map(|dialect| NativeClient::connect(server.address(), dialect))
        .collect();
    for subscriber in &mut plain {
        assert!(subscriber.ask(sub).get("subbed").is_some());
    }
    let mut compressed: Vec<Peer> = Dialect::ALL
        .into_iter()
        .cycle()
        .take(8)
        .map(|dialect| compressed_subscriber(server.address(), dialect))
        .collect();
    let mut counted = NativeClient::connect(server.address(), Dialect::Json);
    let few = format!(r#"{{"sub":{{"s":1,"topic":"news","credit":{AT_ONCE}}}}}"#);
    assert!(counted.ask(&few).get("subbed").is_some());
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    assert!(publisher.ask(sub).get("subbed").is_some());

    let total = BURSTS * AT_ONCE;
    let data = "the same words again, ".repeat(10);
    for burst in 0..BURSTS {
        let commands: Vec<String> = (1..=AT_ONCE)
            .map(|n| {
                // Every other burst has one that its publisher does not want back.
                let echo = burst % 2 == 0 || n != 7;
                format!(r#"{{"pub":{{"topic":"news","data":"{data}{n}","echo":{echo}}}}}"#)
            })
            .collect();
        publisher.say_all(&commands);
    }
    for subscriber in &mut plain {
        assert_eq!(offsets(subscriber, total), (1..=total).collect::<Vec<_>>());
    }
    assert_eq!(
        offsets(&mut counted, AT_ONCE),
        (1..=AT_ONCE).collect::<Vec<_>>()
    );
    let own = total - BURSTS / 2;
    let unwanted = |n: u64| (n - 1) / AT_ONCE % 2 == 1 && (n - 1) % AT_ONCE == 6;
    let wanted: Vec<u64> = (1..=total).filter(|&n| !unwanted(n)).collect();
    assert_eq!(offsets(&mut publisher, own), wanted);
    // What was compressed alone is the same for everybody, whoever was sent it in a piece.
    let frames: Vec<Vec<Vec<u8>>> = compressed
        .iter_mut()
        .map(|subscriber| {
            subscriber.expect_frame();
            (0..total)
                .map(|_| subscriber.expect_frame().payload)
                .collect()
        })
        .collect();
    for (one, another) in frames.iter().zip(&frames[Dialect::ALL.len()..]) {
        assert!(one == another, "two of the same dialect");
    }
}

/// The offsets of the next messages.
fn offsets(subscriber: &mut NativeClient, messages: u64) -> Vec<u64> {
    (0..messages)
        .map(|_| subscriber.expect_push("msg")["o"].as_u64().unwrap())
        .collect()
}

/// A connection with permessage-deflate that is sent the topic `news`.
fn compressed_subscriber(to: SocketAddr, dialect: Dialect) -> Peer {
    let subprotocol = format!("Sec-WebSocket-Protocol: {}", dialect.subprotocol());
    let offer = "Sec-WebSocket-Extensions: permessage-deflate";
    let mut peer = Peer::connect(to);
    peer.send(upgrade_request("/ws", &[&subprotocol, offer]));
    let reply = peer.expect_upgrade();
    assert!(reply.header("sec-websocket-extensions").is_some());
    let hello = r#"{"id":1,"hello":{"v":1,"subs":[{"s":1,"topic":"news"}]}}"#;
    peer.send(NativeClient::frame_in(dialect, hello));
    peer.expect_frame();
    peer
}

/// Whoever leaves is forgotten: with its last subscriber a topic costs nothing.
#[test]
fn topics_and_patterns_come_and_go() {
    let server = cores(2, unlimited());
    let mut publisher = NativeClient::connect(server.address(), Dialect::Json);
    for round in 1..=50 {
        let mut subscriber = NativeClient::connect(server.address(), Dialect::Binary);
        subscriber.ask(r#"{"sub":{"s":1,"topic":"a.b"}}"#);
        subscriber.ask(r#"{"sub":{"s":2,"topic":"a.*"}}"#);
        subscriber.ask(r#"{"sub":{"s":3,"topic":">"}}"#);
        let pubbed = publisher.ask(r#"{"pub":{"topic":"a.b","data":1}}"#);
        let offset = pubbed["pubbed"]["offset"].as_u64().unwrap();
        assert_eq!(offset, round, "the epoch goes on while the topic is used");
        let topic = subscriber.expect_push("topic");
        let mut subscriptions: Vec<u64> = serde_json::from_value(topic["s"].clone()).unwrap();
        subscriptions.sort_unstable();
        assert_eq!(subscriptions, [1, 2, 3]);
        assert_eq!(subscriber.expect_push("msg")["o"], offset);
        if round % 2 == 0 {
            for s in 1..=3 {
                subscriber.ask(&format!(r#"{{"unsub":{{"s":{s}}}}}"#));
            }
            publisher.ask(r#"{"pub":{"topic":"a.c","data":1}}"#);
            let quiet = subscriber.ask(r#"{"pong":{"t":0}}"#);
            assert_eq!(quiet["ok"], Value::Object(serde_json::Map::new()));
        }
        subscriber.peer().hang_up();
    }
    eventually("all subscribers are gone", || server.connections() == 1);
    assert_eq!(server.count("panics"), 0);
}

/// A subscription that is ended before another core has granted it is answered all the same.
#[test]
fn every_command_has_one_reply_however_fast_the_next_one_comes() {
    let server = cores(4, unlimited());
    let mut client = NativeClient::connect(server.address(), Dialect::Json);
    let mut commands = Vec::new();
    let mut id = 0;
    for round in 0..100 {
        for command in [
            format!(r#""sub":{{"s":1,"topic":"t{round}"}}"#),
            format!(r#""sub":{{"s":2,"topic":"t{}.>"}}"#, round % 3),
            r#""unsub":{"s":1}"#.to_owned(),
            r#""unsub":{"s":2}"#.to_owned(),
        ] {
            id += 1;
            commands.push(format!(r#"{{"id":{id},{command}}}"#));
        }
    }
    client.say_all(&commands);
    let mut replies: Vec<u64> = (0..id)
        .map(|_| client.expect()["id"].as_u64().unwrap())
        .collect();
    replies.sort_unstable();
    assert_eq!(replies, (1..=id).collect::<Vec<_>>());
}

/// What stands behind a `hello`, and a `pub` behind a `sub`, waits for its answer: a client's own message
/// comes to its own subscription wherever the topic is at home, said in several messages or in one.
#[test]
fn what_is_published_behind_a_subscription_comes_to_it() {
    const TRIES: usize = 12;
    let server = cores(4, unlimited());
    let mut topics = 0;
    for dialect in Dialect::ALL.into_iter().cycle().take(TRIES) {
        for (to, from) in [">", "a"]
            .into_iter()
            .flat_map(|to| [(to, ""), (to, r#","from":{"last":9}"#)])
        {
            let mut greet = |commands: &dyn Fn(&str, &str) -> Vec<String>| {
                topics += 1;
                let sub = format!(r#"{{"s":1,"topic":"own{topics}.{to}"{from}}}"#);
                let publish = format!(r#"{{"id":3,"pub":{{"topic":"own{topics}.a","data":1}}}}"#);
                let commands = commands(&sub, &publish);
                let mut client = NativeClient::open(server.address(), dialect);
                client.say_all(&commands);
                hears_itself(&mut client, &commands.join(" "));
            };
            greet(&|sub, publish| {
                let hello = format!(r#"{{"id":1,"hello":{{"v":1,"subs":[{sub}]}}}}"#);
                vec![hello, publish.to_owned()]
            });
            let hello = r#"{"id":1,"hello":{"v":1}}"#;
            greet(&|sub, publish| {
                let sub = format!(r#"{{"id":2,"sub":{sub}}}"#);
                vec![hello.to_owned(), sub, publish.to_owned()]
            });
            greet(&|sub, publish| {
                let hello = format!(r#"{{"id":1,"hello":{{"v":1,"subs":[{sub}]}}}}"#);
                vec![format!("[{hello},{publish}]")]
            });
            greet(&|sub, publish| vec![format!(r#"[{hello},{{"id":2,"sub":{sub}}},{publish}]"#)]);
        }
    }
    assert_eq!(server.count("panics"), 0);
}

/// The client is answered in the order of its commands, and hears what it has published.
#[track_caller]
fn hears_itself(client: &mut NativeClient, said: &str) {
    let mut replies = Vec::new();
    let mut heard = 0;
    while heard == 0 || replies.last() != Some(&3) {
        let word = client
            .word()
            .unwrap_or_else(|ended| panic!("{said}: {replies:?}, {heard} heard, then {ended:?}"));
        assert!(word.get("err").is_none(), "{said}: {word}");
        replies.extend(word.get("id").and_then(Value::as_u64));
        heard += usize::from(word.get("msg").is_some());
    }
    assert!(replies.is_sorted(), "{said}: {replies:?}");
    assert_eq!(replies[0], 1, "{said}: {replies:?}");
}

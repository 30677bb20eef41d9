//! Several words in one message.

use corewire_protocol::native::{Batch, Dialect, Done, Full, Ping, Push, Reply, ServerWord};
use corewire_protocol::native::{Command, Pong, Request};
use proptest::prelude::*;

use super::words::server_word;
use super::{push, requests, server_words, server_written};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn words_come_in_their_order(words in prop::collection::vec(server_word(), 0..6), room in 0..3000_usize) {
        for dialect in Dialect::ALL {
            let mut out = b"before".to_vec();
            let mut batch = Batch::new(dialect, room, &mut out);
            let mut fit = Vec::new();
            for word in &words {
                let len = batch.len();
                let added = match word {
                    ServerWord::Reply(id, reply) => batch.reply(*id, reply),
                    ServerWord::Push(push) => batch.push(push),
                };
                match added {
                    Ok(()) => fit.push(Ok(word.clone())),
                    Err(Full) => {
                        let more = server_written(dialect, word).len();
                        prop_assert!(len + more + 2 > room);
                        prop_assert_eq!(batch.len(), len);
                    }
                }
                prop_assert!(batch.len() <= room);
            }
            prop_assert_eq!(batch.is_empty(), fit.is_empty());
            let message = out.strip_prefix(b"before").unwrap();
            if !fit.is_empty() {
                prop_assert_eq!(server_words(dialect, message), fit);
            }
        }
    }
}

#[test]
fn a_batch_in_json_is_a_list() {
    let mut out = Vec::new();
    let mut batch = Batch::new(Dialect::Json, 40, &mut out);
    let ping = Push::Ping(Ping { t: 1 });
    assert_eq!(batch.push(&ping), Ok(()));
    assert_eq!(batch.reply(2, &Reply::Ok(Done::default())), Ok(()));
    assert_eq!(batch.push(&ping), Err(Full));
    assert_eq!(
        out.escape_ascii().to_string().replace('\\', ""),
        r#"[{"ping":{"t":1}},{"id":2,"ok":{}}]"#
    );
}

#[test]
fn a_batch_takes_what_was_written_before() {
    for dialect in Dialect::ALL {
        let ping = push(Push::Ping(Ping { t: 1 }));
        let word = server_written(dialect, &ping);
        let mut out = Vec::new();
        let mut batch = Batch::new(dialect, 100, &mut out);
        assert_eq!(
            (batch.written(&word), batch.written(&word)),
            (Ok(()), Ok(()))
        );
        assert_eq!(server_words(dialect, &out), [Ok(ping.clone()), Ok(ping)]);
    }
}

#[test]
fn a_batch_takes_commands() {
    for dialect in Dialect::ALL {
        let pong = Request {
            id: Some(1),
            command: Command::Pong(Pong { t: None }),
        };
        let mut out = Vec::new();
        let mut batch = Batch::new(dialect, 100, &mut out);
        assert_eq!(
            (batch.request(&pong), batch.request(&pong)),
            (Ok(()), Ok(()))
        );
        assert_eq!(requests(dialect, &out), [Ok(pong.clone()), Ok(pong)]);
    }
}

/// Whoever leaves off between two commands, and goes on with the same bytes, reads the same.
#[test]
fn reading_goes_on_where_it_was_left() {
    let ping = r#"{"id":1,"pong":{"t":0}}"#;
    let unsub = r#" {"unsub":{"s":7}} "#;
    let json = [
        ping.to_owned(),
        format!("[{ping}]"),
        format!(" [ {ping},{unsub},{ping} ] "),
        format!("[{ping},{{\"id\":3,\"sub\":{{}}}},{ping}]"),
        format!("[{ping},{unsub}"),
        format!("[{ping},{unsub},"),
        format!("[{ping},{unsub}]]"),
        format!("[{ping}\n{unsub}]"),
        "[]".to_owned(),
        "nothing".to_owned(),
    ];
    let mut all: Vec<(Dialect, Vec<u8>)> = json
        .into_iter()
        .map(|text| (Dialect::Json, text.into_bytes()))
        .collect();
    let mut records = Vec::new();
    for id in [Some(1), None, Some(3)] {
        let command = Command::Pong(Pong { t: Some(9) });
        Dialect::Binary.write_request(&Request { id, command }, &mut records);
    }
    for end in 0..=records.len() {
        all.push((Dialect::Binary, records[..end].to_vec()));
    }
    for (dialect, message) in all {
        let at_once: Vec<_> = dialect.requests(&message).collect();
        let mut left = dialect.requests(&message);
        let mut one_by_one = Vec::new();
        while let Some(request) = left.next() {
            one_by_one.push(request);
            left = dialect.requests_from(&message, left.place());
        }
        let shown = String::from_utf8_lossy(&message);
        assert_eq!(one_by_one, at_once, "{dialect:?} {shown}");
    }
}

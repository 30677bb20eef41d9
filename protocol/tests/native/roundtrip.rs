//! What is written is read, whatever it is.

use corewire_protocol::native::{Command, Data, Dialect, Publish, Request, ServerWord};
use corewire_protocol::native::{Echo, Level, Target};
use proptest::prelude::*;

use super::words::{request, server_word};
use super::{requests, server_words, server_written, written};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn commands(request in request()) {
        for dialect in Dialect::ALL {
            let message = written(dialect, &request);
            prop_assert_eq!(requests(dialect, &message), [Ok(request.clone())]);
        }
    }

    #[test]
    fn replies_and_pushes(word in server_word()) {
        for dialect in Dialect::ALL {
            let message = server_written(dialect, &word);
            prop_assert_eq!(server_words(dialect, &message), [Ok(word.clone())]);
        }
    }
}

#[test]
fn a_text_stays_one_in_binary_and_becomes_json_in_json() {
    let said = |data| Request {
        id: None,
        command: Command::Publish(Publish {
            target: Target::Alias(1),
            data,
            pseq: None,
            idem: None,
            key: None,
            tags: Vec::new(),
            ttl_ms: None,
            level: Level::Memory,
            echo: Echo::Yes,
        }),
    };
    let text = said(Data::Text("a \"b\"\n".into()));
    let message = written(Dialect::Binary, &text);
    assert_eq!(requests(Dialect::Binary, &message), [Ok(text.clone())]);
    let message = written(Dialect::Json, &text);
    let json = said(Data::Json("\"a \\\"b\\\"\\n\"".into()));
    assert_eq!(requests(Dialect::Json, &message), [Ok(json)]);
}

#[test]
fn texts_and_data_borrow_from_the_message() {
    let message = br#"{"pub":{"topic":"a","key":"\u0061","data":{"x" : 1}}}"#;
    let words = requests(Dialect::Json, message);
    let Ok(Request {
        command: Command::Publish(publish),
        ..
    }) = &words[0]
    else {
        panic!("{words:?}");
    };
    let inside = |text: &str| message.as_ptr_range().contains(&text.as_ptr());
    assert!(matches!(&publish.target, Target::Topic(topic) if inside(topic)));
    assert!(matches!(&publish.data, Data::Json(json) if inside(json) && json == "{\"x\" : 1}"));
    assert!(publish.key.as_deref() == Some("a"));
}

#[test]
fn a_word_is_as_long_as_it_must_be() {
    // One byte of length up to 127, two from there on.
    for len in [
        0,
        120,
        121,
        122,
        123,
        124,
        125,
        126,
        127,
        128,
        129,
        16_380,
        16_384,
        1 << 20,
    ] {
        let word = ServerWord::Push(corewire_protocol::native::Push::Warn(
            corewire_protocol::native::Warn {
                code: corewire_protocol::native::ErrorCode::Limit,
                text: "x".repeat(len).into(),
                command: None,
            },
        ));
        let message = server_written(Dialect::Binary, &word);
        assert_eq!(server_words(Dialect::Binary, &message), [Ok(word)]);
    }
}

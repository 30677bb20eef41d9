//! The transcripts of docs/native-protocol.md, replayed in both dialects.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use corewire::messaging::Options;
use corewire::protocol::native::Dialect;
use corewire_testkit::NativeClient;
use serde_json::Value;

use crate::access::{token, with_tokens};
use crate::one_core;

#[test]
fn every_transcript_of_the_document_is_what_happens() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/native-protocol.md");
    let text = fs::read_to_string(path).unwrap();
    let transcripts: Vec<&str> = text
        .split("```transcript\n")
        .skip(1)
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect();
    assert!(transcripts.len() >= 8, "{} transcripts", transcripts.len());
    for transcript in transcripts {
        for dialect in Dialect::ALL {
            // A server of its own: aliases count from 1.
            let server = match transcript.contains("\"token\":") {
                true => with_tokens(Options::default()),
                false => one_core(),
            };
            replay(transcript, server.address(), dialect);
        }
    }
}

fn replay(transcript: &str, address: SocketAddr, dialect: Dialect) {
    let mut clients = BTreeMap::new();
    let mut named: BTreeMap<String, Value> = ["ada", "bob"]
        .map(|user| (format!("token-of-{user}"), token(user, 60).into()))
        .into();
    for line in transcript.lines() {
        let (name, direction, words) = parts(line);
        let client: &mut NativeClient = clients
            .entry(name)
            .or_insert_with(|| NativeClient::open(address, dialect));
        if direction == '→' {
            client.say(&said(words, &named));
            continue;
        }
        let heard = client.expect();
        let expected = match words.strip_prefix("close ") {
            Some(code) => serde_json::json!({ "close": code.parse::<u16>().unwrap() }),
            None => serde_json::from_str(words).unwrap(),
        };
        assert!(
            is_like(&expected, &heard, &mut named),
            "in {dialect:?}\nexpected {expected}\nheard    {heard}\nin\n{transcript}"
        );
    }
}

fn parts(line: &str) -> (&str, char, &str) {
    let (at, arrow) = line
        .char_indices()
        .find(|(_, character)| matches!(character, '→' | '←'))
        .unwrap();
    let words = line[at + arrow.len_utf8()..].trim();
    (line[..at].trim(), arrow, words)
}

/// What a client says, with what it was told in the place of names.
fn said(words: &str, named: &BTreeMap<String, Value>) -> String {
    let mut words = words.to_owned();
    for (name, value) in named {
        words = words.replace(&format!("\"…{name}\""), &value.to_string());
    }
    assert!(
        !words.contains('…'),
        "something was not told before: {words}"
    );
    words
}

/// "…" is like everything, "…name" like everything, and from then on like that.
fn is_like(expected: &Value, heard: &Value, named: &mut BTreeMap<String, Value>) -> bool {
    match (expected, heard) {
        (Value::String(any), _) if any == "…" => true,
        (Value::String(any), _) if any.starts_with('…') => {
            let name = any.trim_start_matches('…').to_owned();
            named.entry(name).or_insert_with(|| heard.clone()) == heard
        }
        (Value::Object(expected), Value::Object(heard)) => {
            expected.len() == heard.len()
                && expected.iter().all(|(key, value)| {
                    let heard = heard.get(key);
                    heard.is_some_and(|other| is_like(value, other, named))
                })
        }
        (Value::Array(expected), Value::Array(heard)) => {
            expected.len() == heard.len()
                && expected
                    .iter()
                    .zip(heard)
                    .all(|(expected, heard)| is_like(expected, heard, named))
        }
        (expected, heard) => expected == heard,
    }
}

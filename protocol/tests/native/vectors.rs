//! Messages in both dialects, written down by hand; other clients read the same file.

use corewire_protocol::native::{Dialect, Reply, ServerWord, entry_digest};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{requests, server_words, server_written, written};

const VECTORS: &str = include_str!("../vectors/native.json");

/// One word.
pub(super) struct Vector {
    pub(super) name: String,
    pub(super) from: From,
    /// The message that our writer writes.
    pub(super) json: String,
    pub(super) binary: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Client,
    Server,
}

impl Vector {
    pub(super) fn message(&self, dialect: Dialect) -> &[u8] {
        match dialect {
            Dialect::Json => self.json.as_bytes(),
            Dialect::Binary => &self.binary,
        }
    }
}

pub(super) fn vectors() -> Vec<Vector> {
    let fields: Vec<std::collections::BTreeMap<&str, &RawValue>> =
        serde_json::from_str(VECTORS).unwrap();
    let vectors: Vec<_> = fields
        .iter()
        .map(|fields| {
            let text = |name: &str| String::deserialize(fields[name]).unwrap();
            Vector {
                name: text("name"),
                from: match &*text("from") {
                    "client" => From::Client,
                    "server" => From::Server,
                    other => panic!("nobody is called {other}"),
                },
                json: fields["json"].get().to_owned(),
                binary: bytes(&text("binary")),
            }
        })
        .collect();
    assert!(vectors.len() > 100);
    vectors
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let digit = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(digit).collect()
}

/// Where the whole set stands in a vector, its digest is that of its entries: other clients compute
/// it by the same vectors.
#[test]
fn a_set_has_the_digest_of_its_entries() {
    let mut sets = 0;
    for vector in vectors() {
        if vector.from != From::Server {
            continue;
        }
        let words = server_words(Dialect::Json, vector.message(Dialect::Json));
        let [Ok(ServerWord::Reply(_, Reply::Members(members)))] = &words[..] else {
            continue;
        };
        if members.next.is_none() {
            let digests = members.items.iter();
            let digests = digests.map(|entry| entry_digest(&entry.key, entry.version));
            let digest = digests.fold(0, |all, one| all ^ one);
            assert_eq!(members.digest, digest, "{}", vector.name);
            sets += members.items.len();
        }
    }
    assert!(sets > 2);
}

#[test]
fn both_dialects_say_the_same() {
    for vector in vectors() {
        let [json, binary] = Dialect::ALL.map(|dialect| vector.message(dialect));
        match vector.from {
            From::Client => {
                let words = requests(Dialect::Json, json);
                assert_eq!(words, requests(Dialect::Binary, binary), "{}", vector.name);
                assert!(matches!(words[..], [Ok(_)]), "{}: {words:?}", vector.name);
            }
            From::Server => {
                let words = server_words(Dialect::Json, json);
                assert_eq!(
                    words,
                    server_words(Dialect::Binary, binary),
                    "{}",
                    vector.name
                );
                assert!(matches!(words[..], [Ok(_)]), "{}: {words:?}", vector.name);
            }
        }
    }
}

#[test]
fn what_is_written_is_the_vector() {
    for vector in vectors() {
        for (read, write) in [
            (Dialect::Json, Dialect::Binary),
            (Dialect::Binary, Dialect::Json),
            (Dialect::Json, Dialect::Json),
            (Dialect::Binary, Dialect::Binary),
        ] {
            let message = vector.message(read);
            let out = match vector.from {
                From::Client => written(write, requests(read, message)[0].as_ref().unwrap()),
                From::Server => {
                    server_written(write, server_words(read, message)[0].as_ref().unwrap())
                }
            };
            assert_eq!(
                out.escape_ascii().to_string(),
                vector.message(write).escape_ascii().to_string(),
                "{}",
                vector.name
            );
        }
    }
}

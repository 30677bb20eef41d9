//! Messages that are cut, bent or made up: they are read, or refused; nothing else.

use corewire_protocol::native::{Command, Dialect, Extent, Malformed};
use proptest::prelude::*;

use super::vectors::{From, vectors};
use super::{requests, server_words, server_written, written};

#[test]
fn a_cut_message_is_refused_as_a_whole() {
    for vector in vectors() {
        for dialect in Dialect::ALL {
            let message = vector.message(dialect);
            // An empty message of records says nothing, and that is all right.
            let first = usize::from(dialect == Dialect::Binary);
            for end in first..message.len() {
                let read = refusals(vector.from, dialect, &message[..end]);
                let [
                    Malformed {
                        extent: Extent::Message,
                        id: None,
                        ..
                    },
                ] = read[..]
                else {
                    panic!("{}, {end} bytes: {read:?}", vector.name);
                };
            }
        }
    }
}

#[test]
fn a_body_that_ends_early_costs_one_command() {
    for vector in vectors() {
        let record = vector.message(Dialect::Binary);
        let body_at = if record[1] < 128 { 2 } else { 3 };
        let [op, body] = [&record[..1], &record[body_at..]];
        for end in 0..body.len() {
            let len = u8::try_from(end & 0x7f).unwrap();
            let mut message = op.to_vec();
            match end {
                0..128 => message.push(len),
                _ => message.extend([len | 0x80, u8::try_from(end >> 7).unwrap()]),
            }
            message.extend(&body[..end]);
            message.extend(record);
            match vector.from {
                From::Client => {
                    let words = requests(Dialect::Binary, &message);
                    let [
                        Err(Malformed {
                            extent: Extent::Command,
                            ..
                        }),
                        Ok(_),
                    ] = words[..]
                    else {
                        panic!("{}, {end} bytes: {words:?}", vector.name);
                    };
                }
                From::Server => {
                    let words = server_words(Dialect::Binary, &message);
                    let [
                        Err(Malformed {
                            extent: Extent::Command,
                            ..
                        }),
                        Ok(_),
                    ] = words[..]
                    else {
                        panic!("{}, {end} bytes: {words:?}", vector.name);
                    };
                }
            }
        }
    }
}

fn refusals(from: From, dialect: Dialect, message: &[u8]) -> Vec<Malformed> {
    match from {
        From::Client => {
            let words = requests(dialect, message).into_iter();
            words.map(Result::unwrap_err).collect()
        }
        From::Server => {
            let words = server_words(dialect, message).into_iter();
            words.map(Result::unwrap_err).collect()
        }
    }
}

/// Everything that is read can be written, and is read again as the same. In both dialects: what
/// a client says in one, others hear in the other.
fn is_read_or_refused(dialect: Dialect, message: &[u8]) -> Result<(), TestCaseError> {
    for request in requests(dialect, message) {
        match request {
            Ok(mut request) => {
                if let Command::Hello(hello) = &mut request.command {
                    // What cannot be read is not written, either.
                    hello.subscribe.retain(Result::is_ok);
                }
                let message = written(dialect, &request);
                prop_assert_eq!(requests(dialect, &message), [Ok(request)]);
            }
            Err(malformed) => prop_assert!(!malformed.text.is_empty()),
        }
    }
    for word in server_words(dialect, message) {
        match word {
            Ok(word) => {
                let message = server_written(dialect, &word);
                prop_assert_eq!(server_words(dialect, &message), [Ok(word)]);
            }
            Err(malformed) => prop_assert!(!malformed.text.is_empty()),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bent_message_is_read_or_refused(
        vector in any::<prop::sample::Index>(),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let vectors = vectors();
        for dialect in Dialect::ALL {
            let mut message = vector.get(&vectors).message(dialect).to_vec();
            for (place, byte) in &places {
                let place = place.index(message.len());
                message[place] = *byte;
            }
            is_read_or_refused(dialect, &message)?;
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(message in prop::collection::vec(any::<u8>(), 0..100)) {
        for dialect in Dialect::ALL {
            is_read_or_refused(dialect, &message)?;
        }
    }
}

#[test]
fn deep_nesting_is_harmless() {
    let bomb = |open: &str| open.repeat(1 << 20);
    for open in [
        "[",
        "{\"a\":",
        "{\"pub\":",
        "{\"hello\":{\"subs\":[",
        "[{\"id\":",
    ] {
        let message = bomb(open);
        for read in [
            refusals(From::Client, Dialect::Json, message.as_bytes()),
            refusals(From::Server, Dialect::Json, message.as_bytes()),
        ] {
            assert_eq!(read.len(), 1, "{open}");
            assert_eq!(read[0].extent, Extent::Message, "{open}");
        }
    }
}

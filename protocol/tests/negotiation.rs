//! The negotiation of permessage-deflate (RFC 7692, 5 and 7.1) and the grammar that it is spoken
//! in (RFC 6455, 9.1), for both roles. The rules stand in tables: what is offered, what follows.
#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use corewire_protocol::deflate::{
    Agreement, AnswerError, DeflateConfig, Direction,
    Takeover::{self, No, Yes},
};
use corewire_protocol::handshake::{Extensions, ExtensionsMalformed};
use proptest::prelude::*;

// Server, RFC 7692, 7.1

/// A server that keeps nothing between messages: the default.
fn shared() -> DeflateConfig {
    DeflateConfig::default()
}

/// A server that allows everything.
fn takeover() -> DeflateConfig {
    config((Yes, 15), (Yes, 15))
}

/// A server that allows takeover in windows of 12 bits inbound and 11 outbound.
fn narrow() -> DeflateConfig {
    config((Yes, 12), (Yes, 11))
}

#[test]
fn a_server_answers_what_it_accepts_and_declines_the_rest() {
    let mut rows = 0;
    for line in include_str!("vectors/negotiation.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.replace('~', "permessage-deflate");
        let columns: Vec<_> = line.split(" | ").collect();
        let (config, offer, expected) = match columns.as_slice() {
            [config, offer] => (*config, *offer, None),
            [config, offer, answer, inbound, outbound] => {
                let meant = agreement(direction(inbound), direction(outbound));
                (*config, *offer, Some((meant, (*answer).to_owned())))
            }
            _ => panic!("a row has two columns or five: {line}"),
        };
        for config in configs(config) {
            assert_eq!(negotiate(config, &[offer]), Ok(expected.clone()), "{line}");
            rows += 1;
        }
    }
    assert!(rows > 100);
}

#[test]
fn a_server_declines_where_nothing_is_offered() {
    assert_eq!(negotiate(takeover(), &[]), Ok(None));
}

#[test]
fn several_lines_are_one_list() {
    let expected = Some((
        agreement((Yes, 15), (Yes, 10)),
        "permessage-deflate; server_max_window_bits=10".to_owned(),
    ));
    let lines = [
        "permessage-deflate; nonsense",
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate",
    ];
    assert_eq!(negotiate(takeover(), &lines), Ok(expected));
}

#[test]
fn a_malformed_list_is_an_error_before_and_after_a_good_offer() {
    for malformed in [
        "",
        " ",
        ",",
        ", ,",
        ";",
        "=",
        "a b",
        "a;",
        "a;;b",
        "a; b=",
        "a; b=;",
        "a; b==1",
        "a; =1",
        "a; b=\"",
        "a; b=\"\"",
        "a; b=\"1",
        "a; b=\"1\\",
        "a; b=\"1\\\"\"",
        "a; b=\"1 2\"",
        "a; b=\"1,2\"",
        "a; b=\"1\"2",
        "a; b=(1)",
        "a/b",
        "\"a\"",
        "a\\",
        "caf\u{e9}",
        "a; b=\u{e9}",
        "a; b=\"\u{e9}\"",
        "a\u{0}",
    ] {
        let config = takeover();
        assert_eq!(
            negotiate(config, &[malformed]),
            Err(ExtensionsMalformed),
            "{malformed:?}"
        );
        if malformed.trim_matches([' ', ',']).is_empty() {
            continue; // an empty line beside others is an empty element of the list
        }
        let after = ["permessage-deflate", malformed];
        assert_eq!(
            negotiate(config, &after),
            Err(ExtensionsMalformed),
            "{malformed:?}"
        );
        let before = [malformed, "permessage-deflate"];
        assert_eq!(
            negotiate(config, &before),
            Err(ExtensionsMalformed),
            "{malformed:?}"
        );
    }
}

#[test]
fn an_error_ends_a_list() {
    for lines in [["a b, c", "d"], ["a;, b", "c"]] {
        let mut list = Extensions::new(lines.into_iter().map(str::as_bytes));
        assert!(list.next().unwrap().is_err());
        assert!(list.next().is_none());
        assert!(list.next().is_none());
    }
}

#[test]
fn empty_elements_of_a_list_are_ignored() {
    let offer = ", ,permessage-deflate,, , ";
    assert!(matches!(
        negotiate(takeover(), &[offer, "", ","]),
        Ok(Some(_))
    ));
}

#[test]
fn extensions_are_listed_with_their_parameters() {
    let lines = [b"a; b; c=1;d=\"x\\y\" , e".as_slice(), b"f"];
    let list: Vec<_> = Extensions::new(lines.into_iter())
        .map(|extension| {
            let extension = extension.unwrap();
            let params = extension.params().map(|param| {
                let value = param
                    .value
                    .map(|value| String::from_utf8(value.bytes().collect()));
                (param.name, value.map(Result::unwrap))
            });
            (extension.name(), params.collect::<Vec<_>>())
        })
        .collect();
    let params = vec![
        ("b", None),
        ("c", Some("1".to_owned())),
        ("d", Some("xy".to_owned())),
    ];
    assert_eq!(list, [("a", params), ("e", vec![]), ("f", vec![])]);
}

#[test]
fn a_large_list_costs_its_bytes() {
    // Looking back at each element would make this test hang.
    let offers = "permessage-deflate;x=\"\\a\",".repeat(1 << 20);
    assert_eq!(negotiate(takeover(), &[&offers]), Ok(None));
    let params = format!(
        "permessage-deflate{}",
        ";client_max_window_bits".repeat(1 << 20)
    );
    assert_eq!(negotiate(takeover(), &[&params]), Ok(None));
}

// Client, RFC 7692, 7.1

#[test]
fn a_client_offers_what_it_agrees_to() {
    for (config, offer) in [
        (takeover(), "; client_max_window_bits"),
        (
            shared(),
            "; server_no_context_takeover; client_no_context_takeover; client_max_window_bits=13",
        ),
        (
            narrow(),
            "; server_max_window_bits=12; client_max_window_bits=11",
        ),
        (
            config((No, 15), (Yes, 15)),
            "; server_no_context_takeover; client_max_window_bits",
        ),
        (
            config((Yes, 9), (No, 9)),
            "; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=9",
        ),
    ] {
        let mut written = Vec::new();
        config.write_offer(&mut written);
        assert_eq!(written, format!("permessage-deflate{offer}").into_bytes());
    }
}

#[test]
fn a_client_takes_an_answer_to_its_offer() {
    type Row = (DeflateConfig, &'static str, (Takeover, u8), (Takeover, u8));
    let table: [Row; 13] = [
        (takeover(), "", (Yes, 15), (Yes, 15)),
        // The server may forbid itself and us what we allowed.
        (
            takeover(),
            "; server_no_context_takeover",
            (No, 15),
            (Yes, 15),
        ),
        (
            takeover(),
            "; client_no_context_takeover",
            (Yes, 15),
            (No, 15),
        ),
        (
            takeover(),
            "; server_max_window_bits=10",
            (Yes, 10),
            (Yes, 15),
        ),
        (
            takeover(),
            "; server_max_window_bits=15",
            (Yes, 15),
            (Yes, 15),
        ),
        (
            takeover(),
            "; client_max_window_bits=9",
            (Yes, 15),
            (Yes, 9),
        ),
        (
            takeover(),
            "; client_max_window_bits=\"10\"",
            (Yes, 15),
            (Yes, 10),
        ),
        // Eight bits inbound: inflated in a window of nine.
        (
            takeover(),
            "; server_max_window_bits=8",
            (Yes, 9),
            (Yes, 15),
        ),
        // What we asked for is granted, with the same value or less.
        (
            narrow(),
            "; server_max_window_bits=12",
            (Yes, 12),
            (Yes, 11),
        ),
        (
            narrow(),
            "; server_max_window_bits=10",
            (Yes, 10),
            (Yes, 11),
        ),
        (
            narrow(),
            "; server_max_window_bits=12; client_max_window_bits=10",
            (Yes, 12),
            (Yes, 10),
        ),
        // Our hints hold also where the server does not repeat them.
        (shared(), "; server_no_context_takeover", (No, 15), (No, 13)),
        (
            shared(),
            "; server_no_context_takeover; client_no_context_takeover; client_max_window_bits=13",
            (No, 15),
            (No, 13),
        ),
    ];
    for (config, answer, inbound, outbound) in table {
        assert_eq!(
            accept(config, answer),
            Ok(agreement(inbound, outbound)),
            "{answer}"
        );
    }
}

#[test]
fn a_client_fails_on_an_answer_to_another_offer() {
    use AnswerError::*;
    for (config, answer, error) in [
        (takeover(), "; x", UnknownParameter),
        (
            takeover(),
            "; server_no_context_takeover; server_no_context_takeover",
            DuplicateParameter,
        ),
        (
            takeover(),
            "; client_max_window_bits=9; client_max_window_bits=9",
            DuplicateParameter,
        ),
        (takeover(), "; server_no_context_takeover=1", InvalidValue),
        (
            takeover(),
            "; client_no_context_takeover=\"x\"",
            InvalidValue,
        ),
        (takeover(), "; server_max_window_bits", InvalidValue),
        (takeover(), "; server_max_window_bits=7", InvalidValue),
        (takeover(), "; server_max_window_bits=16", InvalidValue),
        (takeover(), "; server_max_window_bits=010", InvalidValue),
        // Only an offer may leave out the value (7.1.2.2).
        (takeover(), "; client_max_window_bits", InvalidValue),
        (takeover(), "; client_max_window_bits=16", InvalidValue),
        // What we asked for is not granted.
        (shared(), "", ServerTakeover),
        (shared(), "; client_no_context_takeover", ServerTakeover),
        (narrow(), "", ServerWindow),
        (narrow(), "; server_max_window_bits=13", ServerWindow),
        (
            narrow(),
            "; server_max_window_bits=12; client_max_window_bits=12",
            ClientWindow,
        ),
        // Our codec has no such window.
        (
            takeover(),
            "; client_max_window_bits=8",
            ClientWindowUnsupported,
        ),
    ] {
        assert_eq!(accept(config, answer), Err(error), "{answer}");
    }
}

// Both

#[test]
fn windows_are_those_of_the_codec() {
    for (bits, possible) in [(0, false), (8, false), (9, true), (15, true), (16, false)] {
        let direction = |window_bits| Direction {
            takeover: No,
            window_bits,
        };
        let inbound = DeflateConfig::new(direction(bits), direction(15));
        let outbound = DeflateConfig::new(direction(15), direction(bits));
        assert_eq!(
            (inbound.is_some(), outbound.is_some()),
            (possible, possible),
            "{bits}"
        );
    }
}

proptest! {
    /// Whatever two ends allow: the server accepts the client's offer, the client the answer,
    /// they mean the same by it, and nobody gets more than it allows.
    #[test]
    fn both_ends_agree(client in any_config(), server in any_config()) {
        let mut offer = Vec::new();
        client.write_offer(&mut offer);
        let answer = server.negotiate(Extensions::new([offer.as_slice()].into_iter()));
        let answer = answer.unwrap().unwrap();
        let mut written = Vec::new();
        answer.write(&mut written);
        let mut written = Extensions::new([written.as_slice()].into_iter());
        let ours = client.accept(&written.next().unwrap().unwrap()).unwrap();
        let theirs = answer.agreement();
        prop_assert_eq!(ours.outbound, theirs.inbound);
        prop_assert_eq!(ours.inbound.takeover, theirs.outbound.takeover);
        prop_assert!(theirs.outbound.window_bits <= ours.inbound.window_bits);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_windows_are_possible(
        config in any_config(),
        lines in proptest::collection::vec(list_like(), 0..3),
    ) {
        let lines = lines.iter().map(Vec::as_slice);
        if let Ok(Some(answer)) = config.negotiate(Extensions::new(lines.clone())) {
            let Agreement { inbound, outbound } = answer.agreement();
            prop_assert!((9..=15).contains(&inbound.window_bits));
            prop_assert!((9..=15).contains(&outbound.window_bits));
        }
        for extension in Extensions::new(lines).map_while(Result::ok) {
            if let Ok(Agreement { inbound, outbound }) = config.accept(&extension) {
                prop_assert!((9..=15).contains(&inbound.window_bits));
                prop_assert!((9..=15).contains(&outbound.window_bits));
            }
        }
    }
}

fn any_config() -> impl Strategy<Value = DeflateConfig> {
    let takeover = || any::<bool>().prop_map(|yes| if yes { Yes } else { No });
    (takeover(), 9_u8..=15, takeover(), 9_u8..=15).prop_map(|(a, b, c, d)| config((a, b), (c, d)))
}

fn list_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => prop::sample::select(vec![
            "permessage-deflate", "; server_no_context_takeover", "; client_no_context_takeover",
            "; server_max_window_bits", "; client_max_window_bits", "=8", "=9", "=15", "=\"1\\0\"",
            "=16", ", ", ";", "=", "\"", "\\", " ", "x",
        ]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

// Helpers

/// The configs that a row of the table is for.
fn configs(name: &str) -> Vec<DeflateConfig> {
    match name {
        "shared" => vec![shared()],
        "takeover" => vec![takeover()],
        "narrow" => vec![narrow()],
        "any" => vec![shared(), takeover(), narrow()],
        _ => panic!("{name} is no config"),
    }
}

/// A direction of the table, such as `yes 15`.
fn direction(column: &str) -> (Takeover, u8) {
    match column.split_once(' ') {
        Some(("yes", bits)) => (Yes, bits.parse().unwrap()),
        Some(("no", bits)) => (No, bits.parse().unwrap()),
        _ => panic!("{column} is no direction"),
    }
}

fn config(inbound: (Takeover, u8), outbound: (Takeover, u8)) -> DeflateConfig {
    let Agreement { inbound, outbound } = agreement(inbound, outbound);
    DeflateConfig::new(inbound, outbound).unwrap()
}

fn agreement(inbound: (Takeover, u8), outbound: (Takeover, u8)) -> Agreement {
    let direction = |(takeover, window_bits)| Direction {
        takeover,
        window_bits,
    };
    Agreement {
        inbound: direction(inbound),
        outbound: direction(outbound),
    }
}

fn negotiate(
    config: DeflateConfig,
    lines: &[&str],
) -> Result<Option<(Agreement, String)>, ExtensionsMalformed> {
    let answer = config.negotiate(Extensions::new(lines.iter().map(|line| line.as_bytes())))?;
    Ok(answer.map(|answer| {
        let mut written = Vec::new();
        answer.write(&mut written);
        (answer.agreement(), String::from_utf8(written).unwrap())
    }))
}

fn accept(config: DeflateConfig, answer: &str) -> Result<Agreement, AnswerError> {
    let line = format!("permessage-deflate{answer}");
    let mut list = Extensions::new([line.as_bytes()].into_iter());
    config.accept(&list.next().unwrap().unwrap())
}

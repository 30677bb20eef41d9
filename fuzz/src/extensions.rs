//! `Sec-WebSocket-Extensions`: its grammar against a second reader, and what two ends agree upon.

use corewire_protocol::deflate::{Agreement, DeflateConfig, Direction, Takeover};
use corewire_protocol::handshake::{Extension, Extensions};

use crate::input::Input;

/// The header's lines are read as a slow reader reads them. What a server answers to any offer
/// is within its settings, and every client of ours accepts what every server of ours answers to
/// its own offer, with receivers that keep what senders refer to.
pub fn extensions(data: &[u8]) {
    let mut input = Input::new(data);
    let ours = config(&mut input);
    let theirs = config(&mut input);
    let text = input.rest();
    let lines = || text.split(|&byte| byte == b'\n');
    grammar(&lines().collect::<Vec<_>>());
    offered(ours, Extensions::new(lines()));
    answered(ours, Extensions::new(lines()));
    between(ours, theirs);
}

fn config(input: &mut Input<'_>) -> DeflateConfig {
    let mut direction = || Direction {
        takeover: input.one_of(&[Takeover::No, Takeover::Yes]),
        window_bits: input.one_of(&[9, 10, 11, 12, 13, 14, 15]),
    };
    DeflateConfig::new(direction(), direction()).unwrap()
}

/// An extension as plain data: its name and its parameters.
type Plain = (String, Vec<(String, Option<String>)>);

fn grammar(lines: &[&[u8]]) {
    let read: Result<Vec<Plain>, ()> = Extensions::new(lines.iter().copied())
        .map(|extension| extension.map(|extension| plain(&extension)).map_err(drop))
        .collect();
    let slow: Option<Vec<Plain>> = lines
        .iter()
        .map(|line| slow_list(line))
        .collect::<Option<Vec<_>>>()
        .map(|lists| lists.concat());
    let slow = slow.filter(|list| !list.is_empty());
    assert_eq!(read.ok(), slow);
}

fn plain(extension: &Extension<'_>) -> Plain {
    let params = extension.params().map(|param| {
        let value = param.value.map(|value| {
            let bytes: Vec<u8> = value.bytes().collect();
            let text = String::from_utf8(bytes).unwrap();
            assert!(value == *text.as_str());
            text
        });
        (param.name.to_owned(), value)
    });
    (extension.name().to_owned(), params.collect())
}

/// A word of the grammar (RFC 6455, 9.1 with RFC 2616, 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Separator(u8),
    Token(String),
    Quoted(String),
}

/// A whole list from its words; `None` if it is none.
fn slow_list(line: &[u8]) -> Option<Vec<Plain>> {
    let words = words(line)?;
    words
        .split(|word| *word == Word::Separator(b','))
        .filter(|element| !element.is_empty())
        .map(slow_extension)
        .collect()
}

fn slow_extension(words: &[Word]) -> Option<Plain> {
    let mut parts = words.split(|word| *word == Word::Separator(b';'));
    let [Word::Token(name)] = parts.next()? else {
        return None;
    };
    let params = parts.map(|part| match part {
        [Word::Token(name)] => Some((name.clone(), None)),
        [
            Word::Token(name),
            Word::Separator(b'='),
            Word::Token(value) | Word::Quoted(value),
        ] => Some((name.clone(), Some(value.clone()))),
        _ => None,
    });
    Some((name.clone(), params.collect::<Option<_>>()?))
}

fn words(line: &[u8]) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' => {}
            b',' | b';' | b'=' => words.push(Word::Separator(byte)),
            b'"' => {
                let mut value = String::new();
                loop {
                    match bytes.next()? {
                        b'"' => break,
                        b'\\' => value.push(token_letter(bytes.next()?)?),
                        byte => value.push(token_letter(byte)?),
                    }
                }
                if value.is_empty() {
                    return None;
                }
                words.push(Word::Quoted(value));
            }
            byte => {
                let mut token = token_letter(byte)?.to_string();
                while let Some(letter) = bytes.peek().and_then(|&byte| token_letter(byte)) {
                    token.push(letter);
                    bytes.next();
                }
                words.push(Word::Token(token));
            }
        }
    }
    Some(words)
}

fn token_letter(byte: u8) -> Option<char> {
    let separator = b"()<>@,;:\\\"/[]?={} \t".contains(&byte);
    (byte.is_ascii_graphic() && !separator).then(|| char::from(byte))
}

/// Any offers to a server.
fn offered<'a>(server: DeflateConfig, offers: Extensions<'a, impl Iterator<Item = &'a [u8]>>) {
    let Ok(Some(answer)) = server.negotiate(offers) else {
        return;
    };
    within(server, answer.agreement());
    let mut line = Vec::new();
    answer.write(&mut line);
    let written = list(&line);
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].0, DeflateConfig::NAME);
}

/// Any answers to a client.
fn answered<'a>(client: DeflateConfig, answers: Extensions<'a, impl Iterator<Item = &'a [u8]>>) {
    for answer in answers.flatten() {
        if let Ok(agreement) = client.accept(&answer) {
            within(client, agreement);
        }
    }
}

/// No takeover and no window that the settings do not have.
fn within(config: DeflateConfig, agreement: Agreement) {
    let most = most(config);
    let [inbound, outbound] = [
        (most.inbound, agreement.inbound),
        (most.outbound, agreement.outbound),
    ];
    for (most, agreed) in [inbound, outbound] {
        assert!((9..=15).contains(&agreed.window_bits));
        assert!(agreed.takeover == Takeover::No || most.takeover == Takeover::Yes);
    }
    assert!(outbound.1.window_bits <= outbound.0.window_bits);
}

/// What a configuration allows, found out by asking it: its fields are its own.
fn most(config: DeflateConfig) -> Agreement {
    let offer = b"permessage-deflate; client_max_window_bits; server_max_window_bits=15";
    let answer = config
        .negotiate(Extensions::new([&offer[..]].into_iter()))
        .unwrap();
    answer.unwrap().agreement()
}

/// A client of ours and a server of ours.
fn between(client: DeflateConfig, server: DeflateConfig) {
    let mut offer = Vec::new();
    client.write_offer(&mut offer);
    let offers = Extensions::new([&offer[..]].into_iter());
    let answer = server
        .negotiate(offers)
        .unwrap()
        .expect("our offer suits every server of ours");
    let mut line = Vec::new();
    answer.write(&mut line);
    let written = Extensions::new([&line[..]].into_iter())
        .next()
        .unwrap()
        .unwrap();
    let client = client
        .accept(&written)
        .expect("our answer suits every client of ours");
    let server = answer.agreement();
    for (sender, receiver) in [
        (client.outbound, server.inbound),
        (server.outbound, client.inbound),
    ] {
        assert!(receiver.window_bits >= sender.window_bits);
        assert!(sender.takeover == Takeover::No || receiver.takeover == Takeover::Yes);
    }
}

fn list(line: &[u8]) -> Vec<Plain> {
    Extensions::new([line].into_iter())
        .map(|extension| plain(&extension.unwrap()))
        .collect()
}

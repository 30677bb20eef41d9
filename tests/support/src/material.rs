//! What benches and long tests work on: the same bytes in every run.

use crate::Random;

const WORDS: [&str; 16] = [
    "the", "market", "opens", "at", "nine", "and", "closes", "when", "trading", "has", "ended",
    "please", "send", "your", "orders", "before",
];

/// What a browser sends in its handshake besides what RFC 6455 asks of it.
pub const BROWSER_HEADERS: [&str; 10] = [
    "Origin: http://localhost",
    "Pragma: no-cache",
    "Cache-Control: no-cache",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/142.0.0.0 Safari/537.36",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
    "Cookie: session=8d7f0c1b2a394e5f; theme=dark",
    "Sec-WebSocket-Protocol: chat.v2, chat.v1",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    "DNT: 1",
];

/// Words of ASCII, `bytes` long.
#[must_use]
pub fn ascii(bytes: usize) -> String {
    words(&mut Random::new(1), bytes)
}

/// Characters of one to four bytes in turn, `bytes` long.
#[must_use]
pub fn mixed(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes);
    for character in "aé漢😀 zł—π🦀".chars().cycle() {
        if text.len() + character.len_utf8() > bytes {
            break;
        }
        text.push(character);
    }
    while text.len() < bytes {
        text.push('.');
    }
    text
}

/// Chat messages as JSON of `bytes` bytes, at least 128, each with other words.
#[must_use]
pub fn json(count: usize, bytes: usize) -> Vec<String> {
    let mut random = Random::new(2);
    let messages = std::iter::repeat_with(|| {
        let mut json = format!(
            r#"{{"id":{},"channel":"room-{}","user":"guest-{}","sent":{},"text":""#,
            random.below(1_000_000),
            random.below(11),
            random.below(1000),
            1_763_800_000_000 + random.below(1_000_000_000),
        );
        let text_bytes = bytes - json.len() - 2;
        json.push_str(&words(&mut random, text_bytes));
        json.push_str("\"}");
        json
    });
    messages.take(count).collect()
}

fn words(random: &mut Random, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        text.push_str(random.one_of::<&str>(&WORDS));
        text.push(' ');
    }
    text.truncate(bytes);
    text
}

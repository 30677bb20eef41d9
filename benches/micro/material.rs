//! What the benches work on: the same bytes in every run.

use corewire_testkit::Random;

const WORDS: [&str; 16] = [
    "the", "market", "opens", "at", "nine", "and", "closes", "when", "trading", "has", "ended",
    "please", "send", "your", "orders", "before",
];

/// Words of ASCII, `bytes` long.
pub(crate) fn ascii(bytes: usize) -> String {
    words(&mut Random::new(1), bytes)
}

/// Characters of one to four bytes in turn, `bytes` long.
pub(crate) fn mixed(bytes: usize) -> String {
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

/// Chat messages as JSON of `bytes` bytes, each with other words.
pub(crate) fn json(count: usize, bytes: usize) -> Vec<String> {
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

/// For `Throughput`.
pub(crate) fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap()
}

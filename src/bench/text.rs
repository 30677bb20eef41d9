//! What messages say: the same in every run.

const WORDS: [&str; 32] = [
    "the",
    "market",
    "opens",
    "at",
    "nine",
    "and",
    "closes",
    "when",
    "trading",
    "has",
    "ended",
    "please",
    "send",
    "your",
    "orders",
    "before",
    "we",
    "meet",
    "tomorrow",
    "morning",
    "in",
    "room",
    "seven",
    "with",
    "a",
    "short",
    "list",
    "of",
    "open",
    "questions",
    "thanks",
    "again",
];

/// Bytes that look random and differ from number to number.
pub(super) fn random(number: usize, size: usize) -> Vec<u8> {
    let mut random = SplitMix(number as u64);
    let words = std::iter::repeat_with(|| random.next().to_le_bytes());
    words.flatten().take(size).collect()
}

/// A chat message as JSON; below about 100 bytes only its beginning.
pub(super) fn json(number: usize, size: usize) -> Vec<u8> {
    let mut random = SplitMix(number as u64);
    let mut json = format!(
        r#"{{"id":{},"channel":"room-{}","user":"guest-{}","sent":{},"text":""#,
        100_000 + number * 37,
        number % 11,
        random.next() % 1000,
        1_763_800_000_000_u64 + random.next() % 1_000_000_000,
    );
    while json.len() < size {
        json.push_str(word(&mut random));
        json.push(' ');
    }
    json.truncate(size);
    if size > 100 {
        json.truncate(size - 2);
        json.push_str("\"}");
    }
    json.into_bytes()
}

/// `size` bytes of words, which stand as they are in JSON, in quoted text and in lines.
pub(super) fn words(size: usize) -> String {
    let mut random = SplitMix(1);
    let mut words = String::with_capacity(size + 16);
    while words.len() < size {
        words.push_str(word(&mut random));
        words.push(' ');
    }
    words.truncate(size);
    words
}

fn word(random: &mut SplitMix) -> &'static str {
    let place = random.next() % WORDS.len() as u64;
    WORDS[usize::try_from(place).unwrap_or(0)]
}

/// `SplitMix64`: the same numbers in every run.
#[derive(Debug, Clone, Copy)]
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

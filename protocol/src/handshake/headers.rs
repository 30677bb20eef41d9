//! The headers of a head, and the list grammar that they share.

/// The headers of one head, in the order sent. Names compare without regard to case; values are
/// bytes, without white space around them.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a>(&'a [httparse::Header<'a>]);

/// How often a header that may stand once is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Single<'a> {
    /// Not at all.
    Missing,
    /// Once, with this value.
    One(&'a [u8]),
    /// Several times.
    Several,
}

impl<'a> Headers<'a> {
    pub(super) const fn new(headers: &'a [httparse::Header<'a>]) -> Self {
        Self(headers)
    }

    /// All names and values.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.0.iter().map(|header| (header.name, header.value))
    }

    /// The values of every line with this name.
    pub fn all<'n>(self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// The value of the first line with this name.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The value of the only line with this name.
    #[must_use]
    pub fn single(self, name: &str) -> Single<'a> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (None, _) => Single::Missing,
            (Some(value), None) => Single::One(value),
            (Some(_), Some(_)) => Single::Several,
        }
    }

    /// The elements of a comma-separated list over all lines with this name, without white space
    /// and without empty elements (RFC 9110, 5.6.1). For lists without quoted strings.
    pub fn list<'n>(self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.all(name)
            .flat_map(|line| line.split(|byte| *byte == b','))
            .map(trim)
            .filter(|element| !element.is_empty())
    }

    /// Whether a list has `token`, without regard to case.
    #[must_use]
    pub fn has_token(self, name: &str, token: &str) -> bool {
        self.list(name)
            .any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }
}

/// Cuts off the white space around an element (RFC 9110, 5.6.3: spaces and tabs).
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether a byte may stand in a token (RFC 9110, 5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
        | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// The token that these bytes are, if they are one.
pub(crate) fn token(bytes: &[u8]) -> Option<&str> {
    let is_token = !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte));
    is_token.then(|| str::from_utf8(bytes).ok()).flatten()
}

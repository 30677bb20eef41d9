//! What is wrong with a word, before it is known which word it was.

use std::borrow::Cow;
use std::fmt;

use super::code::ErrorCode;
use super::dialect::{Extent, Malformed};
use super::reply::ErrorReply;

/// What is wrong, and in which field. The field's path grows as the error comes out of it.
#[derive(Debug)]
pub(super) struct Problem {
    code: ErrorCode,
    path: String,
    text: Cow<'static, str>,
}

impl Problem {
    /// A rule is broken.
    pub(super) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: ErrorCode::BadRequest,
            path: String::new(),
            text: text.into(),
        }
    }

    /// This version does not do that.
    pub(super) fn unsupported(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: ErrorCode::Unsupported,
            ..Self::bad(text)
        }
    }

    /// Another value is needed than what stands there.
    pub(super) fn wrong(found: impl fmt::Display, needed: &str) -> Self {
        Self::bad(format!("found {found}; {needed} is needed"))
    }

    /// A field that must be there is not.
    pub(super) fn missing(field: &str, needed: &str) -> Self {
        Self::bad(format!("missing; {needed} is needed")).within(field)
    }

    /// A value is too long.
    pub(super) fn too_large(bytes: usize, bytes_max: usize) -> Self {
        Self {
            code: ErrorCode::TooLarge,
            ..Self::bad(format!("{bytes} bytes; at most {bytes_max} are possible"))
        }
    }

    /// A field asks for what this version does not have.
    pub(super) fn later() -> Self {
        Self::unsupported("not supported by this version; leave it out")
    }

    /// A command that this version does not have.
    pub(super) fn unknown_word(name: impl fmt::Display) -> Self {
        Self::unsupported(format!("{name} is not known to this version"))
    }

    /// The same problem, seen from outside of the field.
    pub(super) fn within(mut self, field: &str) -> Self {
        if !self.path.is_empty() && !self.path.starts_with('[') {
            self.path.insert(0, '.');
        }
        self.path.insert_str(0, field);
        self
    }

    /// The same problem, seen from outside of the list. Counts from 0.
    pub(super) fn at(self, place: usize) -> Self {
        self.within(&format!("[{place}]"))
    }

    /// The answer to a part of a word that is refused alone, as the word that it could be.
    pub(super) fn refusal(self, word: &str) -> ErrorReply<'static> {
        let Self { code, path, text } = self.within(word);
        ErrorReply {
            code,
            text: format!("{path}: {text}").into(),
            retry_ms: None,
        }
    }

    pub(super) fn malformed(self, id: Option<u64>, extent: Extent) -> Malformed {
        let text = if self.path.is_empty() {
            self.text
        } else {
            Cow::Owned(format!("{}: {}", self.path, self.text))
        };
        Malformed {
            id,
            code: self.code,
            text,
            extent,
        }
    }
}

/// Somebody else's text in a message of ours: quoted, escaped, and not much of it.
#[derive(Debug)]
pub(super) struct Quoted<'a>(pub(super) &'a str);

/// Bytes of a text that are quoted.
const QUOTED_BYTES_MAX: usize = 40;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.floor_char_boundary(QUOTED_BYTES_MAX);
        match self.0.get(..end) {
            Some(begin) if begin.len() < self.0.len() => write!(f, "{begin:?}…"),
            _ => write!(f, "{:?}", self.0),
        }
    }
}

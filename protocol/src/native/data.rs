//! The payload of a message.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::problem::Problem;

/// Lists and objects around each other in a [`Data::Json`]. Readers that recurse give up somewhere
/// above 120; a publication must not be what none of its subscribers can read.
pub const JSON_LEVELS_MAX: usize = 100;

/// What a publication carries. The server looks at none of it.
///
/// Each dialect can carry each kind. In JSON, bytes travel as base64 (`b64` instead of `data`) and a
/// text is a JSON string; so a JSON client that publishes a string publishes JSON, and a binary
/// client is told which it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data<'a> {
    /// One JSON value, checked, as it was written.
    Json(Cow<'a, str>),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
}

impl Data<'_> {
    /// Bytes of the value as it stands here.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Json(text) | Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same, owned.
    #[must_use]
    pub fn into_owned(self) -> Data<'static> {
        match self {
            Self::Json(text) => Data::Json(Cow::Owned(text.into_owned())),
            Self::Text(text) => Data::Text(Cow::Owned(text.into_owned())),
            Self::Bytes(bytes) => Data::Bytes(Cow::Owned(bytes.into_owned())),
        }
    }
}

/// One JSON value whose form is checked, if it is not too deep.
pub(super) fn checked_json(json: &RawValue) -> Result<&str, Problem> {
    let json = json.get();
    let opened = |byte: &u8| matches!(byte, b'[' | b'{');
    // Most have fewer brackets than there may be levels, and to count is fast.
    if json.as_bytes().iter().filter(|byte| opened(byte)).count() > JSON_LEVELS_MAX {
        let levels = levels(json);
        if levels > JSON_LEVELS_MAX {
            return Err(Problem::bad(format!(
                "lists and objects nested {levels} levels deep; at most {JSON_LEVELS_MAX} are \
                     possible"
            )));
        }
    }
    Ok(json)
}

/// How deeply lists and objects are nested.
fn levels(json: &str) -> usize {
    let (mut level, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    let mut in_text = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_text = !in_text,
            b'\\' if in_text => {
                bytes.next();
            }
            b'[' | b'{' if !in_text => {
                level += 1;
                deepest = deepest.max(level);
            }
            b']' | b'}' if !in_text => level = level.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

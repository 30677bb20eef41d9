//! Tags of a message: a few names with values, for those who choose among messages.

use std::borrow::Cow;

use super::problem::{Problem, Quoted};

/// Tags of a message.
pub const TAGS_MAX: usize = 16;
/// Bytes of a tag's name.
pub const TAG_NAME_BYTES_MAX: usize = 64;
/// Bytes of a tag's value.
pub const TAG_VALUE_BYTES_MAX: usize = 256;

/// Names and values, in the order in which they were written.
pub(super) type Tags<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Whether a publication may have these. How many there are is known.
pub(super) fn check(tags: &[(Cow<'_, str>, Cow<'_, str>)]) -> Result<(), Problem> {
    for (place, (name, value)) in tags.iter().enumerate() {
        if name.is_empty() {
            return Err(Problem::bad("a tag without a name; give it one"));
        }
        if name.len() > TAG_NAME_BYTES_MAX {
            return Err(Problem::bad(format!(
                "the name {} has {} bytes; at most {TAG_NAME_BYTES_MAX} are possible",
                Quoted(name),
                name.len()
            )));
        }
        if value.len() > TAG_VALUE_BYTES_MAX {
            return Err(Problem::bad(format!(
                "the value of {} has {} bytes; at most {TAG_VALUE_BYTES_MAX} are possible",
                Quoted(name),
                value.len()
            )));
        }
        let before = tags.get(..place).unwrap_or_default();
        if before.iter().any(|(other, _)| other == name) {
            return Err(Problem::bad(format!(
                "{} is there twice; leave one out",
                Quoted(name)
            )));
        }
    }
    Ok(())
}

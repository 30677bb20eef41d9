//! Where a page of a set goes on: a string that only the server reads.

use super::super::home::Base36;

/// The cursor behind an entry: the topic's alias, so that no cursor outlives a life of the topic,
/// and the entry's version.
pub(super) fn cursor(alias: u64, version: u64) -> String {
    format!("{}.{}", Base36(alias), Base36(version))
}

/// The version that a cursor of this topic stands behind.
pub(super) fn parse(cursor: &str, alias: u64) -> Option<u64> {
    let (of, version) = cursor.split_once('.')?;
    let version = u64::from_str_radix(version, 36).ok()?;
    // What was not written here is not taken for what was.
    (u64::from_str_radix(of, 36) == Ok(alias) && self::cursor(alias, version) == cursor)
        .then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_one_life_of_one_topic() {
        for version in [0, 1, 35, 36, 1 << 52] {
            let text = cursor(77, version);
            assert_eq!(parse(&text, 77), Some(version));
            assert_eq!(parse(&text, 78), None);
        }
        for text in [
            "", ".", "25", "25.", ".1", "25.+1", "25.01", "+25.1", "25.1.1", "25.Z",
        ] {
            assert_eq!(parse(text, 77), None, "{text}");
        }
    }
}

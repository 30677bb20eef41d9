//! Names of topics, and patterns that stand for many.
//!
//! ```text
//!   name     = level *( "." level )          at most 255 bytes, 16 levels
//!   level    = 1*( ALPHA / DIGIT / "-" / "_" )
//!   pattern  = as a name, but a level may be "*" (any one level), and the last one ">" (one level
//!              or more)
//! ```

use std::fmt;
use std::ops::Deref;

/// Bytes of a name or a pattern.
pub const TOPIC_BYTES_MAX: usize = 255;
/// Levels of a name or a pattern.
pub const TOPIC_LEVELS_MAX: usize = 16;

/// The name of a topic, checked. Derefs to the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName<'a>(&'a str);

/// A pattern with at least one `*` or `>`, checked. Derefs to the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern<'a>(&'a str);

/// What a client can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject<'a> {
    /// One topic.
    Topic(TopicName<'a>),
    /// All topics that fit.
    Pattern(Pattern<'a>),
}

/// What is wrong with a name. Positions count bytes from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicError {
    /// There is nothing.
    Empty,
    /// It has so many bytes, more than [`TOPIC_BYTES_MAX`].
    TooLong(usize),
    /// It has so many levels, more than [`TOPIC_LEVELS_MAX`].
    TooManyLevels(usize),
    /// There is nothing between two dots, or before or behind one.
    EmptyLevel(usize),
    /// A character that does not belong there.
    Character(char, usize),
    /// `*` or `>` beside other characters in its level.
    WildcardInLevel(usize),
    /// `>` before the last level.
    RestNotLast(usize),
    /// `*` or `>` where a topic's own name is needed.
    Wildcard(usize),
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => f.write_str("empty; a name such as chat.room1 is needed"),
            Self::TooLong(bytes) => {
                write!(f, "{bytes} bytes; at most {TOPIC_BYTES_MAX} are possible")
            }
            Self::TooManyLevels(levels) => {
                write!(
                    f,
                    "{levels} levels; at most {TOPIC_LEVELS_MAX} are possible"
                )
            }
            Self::EmptyLevel(at) => write!(
                f,
                "an empty level at position {at}; write one dot between levels, and none at the ends"
            ),
            Self::Character(' ', at) => write!(
                f,
                "a space at position {at}; use letters, digits, - _ and . between levels"
            ),
            Self::Character(character, at) => write!(
                f,
                "{character:?} at position {at}; use letters, digits, - _ and . between levels"
            ),
            Self::WildcardInLevel(at) => write!(
                f,
                "a wildcard beside other characters at position {at}; * and > stand for whole levels"
            ),
            Self::RestNotLast(at) => write!(
                f,
                "> at position {at} before the last level; it stands for all levels that follow"
            ),
            Self::Wildcard(at) => write!(
                f,
                "a wildcard at position {at}; one topic is needed here, not a pattern"
            ),
        }
    }
}

impl std::error::Error for TopicError {}

impl<'a> TopicName<'a> {
    /// Checks a topic's name.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        match Subject::parse(text)? {
            Subject::Topic(name) => Ok(name),
            Subject::Pattern(_) => {
                let at = text.find(['*', '>']).unwrap_or(0);
                Err(TopicError::Wildcard(at))
            }
        }
    }

    /// The text, for as long as it was lent.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels, from the left.
    pub fn levels(self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.split('.')
    }
}

impl<'a> Pattern<'a> {
    /// The text, for as long as it was lent.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels, from the left.
    pub fn levels(self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.split('.')
    }

    /// Whether a topic fits.
    #[must_use]
    pub fn matches(self, topic: TopicName<'_>) -> bool {
        let mut levels = topic.levels();
        for wanted in self.levels() {
            match (wanted, levels.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(level)) if wanted == level => {}
                (_, Some(_)) => return false,
            }
        }
        levels.next().is_none()
    }
}

impl<'a> Subject<'a> {
    /// Checks what a client wants to subscribe to.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.len() > TOPIC_BYTES_MAX {
            return Err(TopicError::TooLong(text.len()));
        }
        let mut wildcards = false;
        let mut rest_at = None;
        let (mut at, mut count) = (0, 0);
        for level in text.split('.') {
            if let Some(rest_at) = rest_at {
                return Err(TopicError::RestNotLast(rest_at));
            }
            match level {
                "" => return Err(TopicError::EmptyLevel(at)),
                "*" => wildcards = true,
                ">" => {
                    wildcards = true;
                    rest_at = Some(at);
                }
                name => check_level(name, at)?,
            }
            at += level.len() + 1;
            count += 1;
        }
        if count > TOPIC_LEVELS_MAX {
            return Err(TopicError::TooManyLevels(count));
        }
        Ok(if wildcards {
            Self::Pattern(Pattern(text))
        } else {
            Self::Topic(TopicName(text))
        })
    }
}

fn check_level(level: &str, start: usize) -> Result<(), TopicError> {
    let bad = level
        .char_indices()
        .find(|(_, character)| !matches!(character, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_'));
    match bad {
        None => Ok(()),
        Some((at, '*' | '>')) => Err(TopicError::WildcardInLevel(start + at)),
        Some((at, character)) => Err(TopicError::Character(character, start + at)),
    }
}

impl Deref for TopicName<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl Deref for Pattern<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for Pattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns_are_told_apart() {
        assert_eq!(
            Subject::parse("chat.room-1"),
            Ok(Subject::Topic(TopicName("chat.room-1")))
        );
        for pattern in ["chat.*", "chat.>", ">", "*", "*.a_B.>"] {
            assert_eq!(
                Subject::parse(pattern),
                Ok(Subject::Pattern(Pattern(pattern)))
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, error) in [
            ("", TopicError::Empty),
            (".", TopicError::EmptyLevel(0)),
            ("a.", TopicError::EmptyLevel(2)),
            ("a..b", TopicError::EmptyLevel(2)),
            ("a b", TopicError::Character(' ', 1)),
            ("chat.é", TopicError::Character('é', 5)),
            ("chat.x*", TopicError::WildcardInLevel(6)),
            ("chat.>.x", TopicError::RestNotLast(5)),
        ] {
            assert_eq!(Subject::parse(text), Err(error), "{text}");
        }
        let long = "x".repeat(256);
        assert_eq!(Subject::parse(&long), Err(TopicError::TooLong(256)));
        assert!(Subject::parse(&long[..255]).is_ok());
        let deep = ["x"; 17].join(".");
        assert_eq!(Subject::parse(&deep), Err(TopicError::TooManyLevels(17)));
        assert!(Subject::parse(&deep[..31]).is_ok());
        assert_eq!(TopicName::parse("chat.*"), Err(TopicError::Wildcard(5)));
    }

    #[test]
    fn a_pattern_matches_level_by_level() {
        let matches = |pattern, topic| {
            let Ok(Subject::Pattern(pattern)) = Subject::parse(pattern) else {
                panic!("{pattern} is no pattern");
            };
            pattern.matches(TopicName::parse(topic).unwrap())
        };
        assert!(matches("chat.*", "chat.a"));
        assert!(!matches("chat.*", "chat"));
        assert!(!matches("chat.*", "chat.a.b"));
        assert!(matches("chat.>", "chat.a.b"));
        assert!(!matches("chat.>", "chat"));
        assert!(matches(">", "a"));
        assert!(matches("*.b.*", "a.b.c"));
        assert!(!matches("*.b.*", "a.c.b"));
    }
}

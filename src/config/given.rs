//! A value as somebody wrote it, before it is known to be one that the setting can have.

use std::fmt;

/// What stands at a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// On the command line or in the environment, where everything is text. Lists are separated
    /// by commas.
    Word(String),
    /// A string of the file.
    Text(String),
    /// A number of the file.
    Integer(i128),
    /// Yes or no in the file.
    Switch(bool),
    /// A list of the file.
    List(Vec<Self>),
    /// Something of the file that no setting can be, by its name.
    Other(&'static str),
}

impl Given {
    /// The items of a list; a single value is a list of one, and an empty word of none.
    pub(super) fn items(&self) -> Vec<Self> {
        match self {
            Self::Word(word) => word
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Self::Word(item.to_owned()))
                .collect(),
            Self::List(items) => items.clone(),
            Self::Text(_) | Self::Integer(_) | Self::Switch(_) | Self::Other(_) => {
                vec![self.clone()]
            }
        }
    }

    /// The text, where it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            Self::Integer(_) | Self::Switch(_) | Self::List(_) | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Switch(on) => write!(f, "{on}"),
            Self::List(items) if items.is_empty() => f.write_str("an empty list"),
            Self::List(_) => f.write_str("a list"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

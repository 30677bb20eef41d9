//! What is wrong with a configuration: where it was set, which setting, what to do about it.

use std::fmt;
use std::path::PathBuf;

use super::given::Given;
use crate::messaging::TOPIC_RULES_MAX;

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The configuration file. Without a line it is the file as a whole.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Counted from 1.
        line: Option<usize>,
    },
    /// An environment variable.
    Environment(String),
    /// A flag of the command line, without its dashes.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag(flag) => write!(f, "--{flag}"),
        }
    }
}

/// One thing that is wrong. Displays as one line that names the place first, as compilers do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was set.
    pub source: Source,
    pub(super) fault: Fault,
}

/// What is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The file is not there or cannot be read: the system's words.
    Unreadable(String),
    /// The file is not TOML: the parser's words.
    Syntax(String),
    /// A key that no setting has, in this table or outside of any.
    UnknownKey {
        table: Option<String>,
        key: String,
        hint: Hint,
    },
    /// A table that no setting has.
    UnknownTable { name: String, hint: Hint },
    /// A setting's table is no table.
    NotATable { name: &'static str, given: Given },
    /// The rules for topics are no list of tables.
    NotRules { given: Given },
    /// A rule for no topic.
    NoMatch,
    /// A bound of history in a rule for topics that have none.
    NothingKept { key: String },
    /// A rule that another one leaves no topic to.
    Unreachable {
        pattern: String,
        before: String,
        source: Source,
    },
    /// More rules than there may be.
    TooManyRules,
    /// A value that the setting cannot have.
    Refused {
        setting: &'static str,
        given: Given,
        remedy: String,
    },
    /// An environment variable that is not UTF-8.
    NotUtf8,
    /// Two settings that contradict each other.
    Conflict {
        lesser: Side,
        rule: &'static str,
        greater: Side,
        remedy: &'static str,
    },
}

/// One of two settings that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) setting: &'static str,
    pub(super) value: String,
    pub(super) source: Source,
}

/// What somebody may have meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hint {
    /// This key of the same table.
    Key(&'static str),
    /// This key of another table.
    KeyIn {
        key: &'static str,
        table: &'static str,
    },
    /// This table.
    Table(&'static str),
    /// Nothing that is known.
    None,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Syntax(error) => write!(f, "not TOML: {error}"),
            Self::UnknownKey {
                table: Some(table),
                key,
                hint,
            } => write!(f, "unknown key {key:?} in [{table}]; {hint}"),
            Self::UnknownKey {
                table: None,
                key,
                hint,
            } => write!(f, "unknown key {key:?} outside of a table; {hint}"),
            Self::UnknownTable { name, hint } => write!(f, "unknown table [{name}]; {hint}"),
            Self::NotATable { name, given } => {
                write!(
                    f,
                    "[{name}] cannot be {given}; write [{name}] and its keys below"
                )
            }
            Self::NotRules { given } => write!(
                f,
                "[[topics]] cannot be {given}; write [[topics]] before each rule and its keys below"
            ),
            Self::NoMatch => f.write_str(
                "[[topics]] without match; write which topics it is for, such as match = \"chat.>\"",
            ),
            Self::NothingKept { key } => write!(
                f,
                "topics.{key} of a volatile topic, which keeps nothing; leave it out, or write \
                 class = \"logged\""
            ),
            Self::Unreachable {
                pattern,
                before,
                source,
            } => write!(
                f,
                "topics.match {pattern:?} is never looked at: the first rule that fits counts, and \
                 {before:?} ({source}) fits all of its topics; put this one before it, or leave it out"
            ),
            Self::TooManyRules => write!(
                f,
                "[[topics]] more than {TOPIC_RULES_MAX} times; use patterns to say it with fewer"
            ),
            Self::Refused {
                setting,
                given,
                remedy,
            } => write!(f, "{setting} cannot be {given}; {remedy}"),
            Self::NotUtf8 => f.write_str("the variable is not UTF-8; set it again or unset it"),
            Self::Conflict {
                lesser,
                rule,
                greater,
                remedy,
            } => write!(f, "{lesser} must be {rule} {greater}; {remedy}"),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.setting, self.value, self.source)
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "did you mean {key:?}?"),
            Self::KeyIn { key, table } => write!(f, "did you mean {key:?} in [{table}]?"),
            Self::Table(table) => write!(f, "did you mean [{table}]?"),
            Self::None => f.write_str("`corewire check` lists all that there are"),
        }
    }
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

//! Values that have a name in JSON and a number in binary.

use super::command::{Level, PolicyMode};
use super::history::Direction;
use super::problem::Problem;
use super::push::{Cause, Repair};
use super::reply::Recovered;
use super::state::{OpName, Presence};

/// One of a few. Its number is its place among the names, from 0.
pub(super) trait Named: Copy + PartialEq + 'static {
    /// All of this version.
    const NAMES: &'static [(&'static str, Self)];
    /// Those that follow in a later version.
    const LATER: &'static [&'static str] = &[];

    /// The name on the wire.
    fn name(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, value)| *value == self);
        named.map_or("", |(name, _)| name)
    }

    /// The value with this number.
    fn from_number(number: u64) -> Result<Self, Problem> {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some((_, value)) = Self::NAMES.get(place) {
            return Ok(*value);
        }
        Err(
            match Self::LATER.get(place.saturating_sub(Self::NAMES.len())) {
                Some(name) => Problem::unsupported(format!(
                    "{number} ({name}) is not supported by this version; use {}",
                    numbers::<Self>()
                )),
                None => Problem::wrong(number, &numbers::<Self>()),
            },
        )
    }

    /// The number on the wire.
    fn number(self) -> u64 {
        let numbers = 0..;
        let mut numbered = numbers.zip(Self::NAMES);
        let found = numbered.find(|(_, (_, value))| *value == self);
        found.map_or(0, |(number, _)| number)
    }
}

/// The numbers and their names, for people.
fn numbers<T: Named>() -> String {
    let named = T::NAMES.iter().enumerate();
    let words: Vec<_> = named
        .map(|(number, (name, _))| format!("{number} ({name})"))
        .collect();
    words.join(" or ")
}

impl Named for PolicyMode {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("all", Self::All),
        ("latest", Self::Latest),
        ("drop_oldest", Self::DropOldest),
        ("close", Self::Close),
    ];
}

impl Named for Level {
    const NAMES: &'static [(&'static str, Self)] = &[("none", Self::None), ("mem", Self::Memory)];
    const LATER: &'static [&'static str] = &["disk", "quorum"];
}

impl Named for Cause {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("slow", Self::Slow),
        ("retention", Self::Retention),
        ("broker", Self::Broker),
        ("node", Self::Node),
    ];
}

impl Named for Repair {
    const NAMES: &'static [(&'static str, Self)] = &[("none", Self::None), ("hist", Self::History)];
}

impl Named for Direction {
    const NAMES: &'static [(&'static str, Self)] =
        &[("forward", Self::Forward), ("backward", Self::Backward)];
}

impl Named for OpName {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("set", Self::Set),
        ("del", Self::Delete),
        ("page", Self::Page),
    ];
}

impl Named for Presence {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("announce", Self::Announce),
        ("watch", Self::Watch),
        ("both", Self::Both),
    ];
}

/// In JSON it is `true` or `false`.
impl Named for Recovered {
    const NAMES: &'static [(&'static str, Self)] = &[("no", Self::No), ("yes", Self::Yes)];
}

//! Where streams begin: positions as clients give them, and what home cores make of them.

use std::fmt::Write;

use corewire_protocol::native::Start;

use crate::ids::CoreId;

use super::home::{Base36, Proof, Reach, Where};

/// Where a stream begins, says the topic's home core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begin {
    /// The offset behind which it begins.
    pub(super) after: u64,
    pub(super) proof: Proof,
}

impl Begin {
    /// With the next message, wherever that is.
    pub(super) const LIVE: Self = Self {
        after: u64::MAX,
        proof: Proof::NotAsked,
    };
}

/// What `from` says of a topic. `None` is with the next message, and so is the position of a
/// pattern, of which a topic knows nothing.
pub(super) fn of_topic(from: &Start<'_>) -> Option<Where> {
    match from {
        Start::Now | Start::Pattern(_) => None,
        Start::After(place) => Some(Where::After {
            epoch: place.epoch.as_ref().into(),
            offset: place.offset,
        }),
        Start::Last(messages) => Some(Where::Last(*messages)),
        Start::Since(unix_ms) => Some(Where::Since(*unix_ms)),
    }
}

/// How far a home core has come: in which of its lives, and how many messages it had placed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HomeMark {
    pub(super) life: u32,
    pub(super) mark: u64,
}

/// The position of a pattern: one mark of each home core.
///
/// To clients it is a string that only the server reads: the name of the node, and the marks in the
/// order of the cores, each with the core's life where that is not its first. Where messages before
/// the marks were asked for and may not have been sent yet, they follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks {
    homes: Vec<HomeMark>,
    pub(super) reach: Reach,
}

impl Marks {
    /// The beginning of so many cores.
    pub(super) fn new(cores: usize) -> Self {
        Self {
            homes: vec![HomeMark::default(); cores],
            reach: Reach::Nothing,
        }
    }

    /// The same, and some of what was before.
    pub(super) fn with(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    pub(super) const fn len(&self) -> usize {
        self.homes.len()
    }

    pub(super) fn of(&self, home: CoreId) -> HomeMark {
        self.homes.get(home.index()).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, home: CoreId, mark: HomeMark) {
        if let Some(place) = self.homes.get_mut(home.index()) {
            *place = mark;
        }
    }

    /// As clients are told it.
    pub(super) fn text(&self, node: &str) -> String {
        let mut text = node.to_owned();
        for HomeMark { life, mark } in &self.homes {
            text.push('.');
            // Writing to a string does not fail.
            if *life > 0 {
                let _ = write!(text, "{}-", Base36(u64::from(*life)));
            }
            let _ = write!(text, "{}", Base36(*mark));
        }
        let _ = match self.reach {
            Reach::Nothing => Ok(()),
            Reach::Last(messages) => write!(text, ".l:{}", Base36(messages)),
            Reach::Since(time_ms) => write!(text, ".s:{}", Base36(time_ms)),
        };
        text
    }

    /// What is told for a position to somebody who could not go on from any.
    pub(super) fn nowhere(node: &str) -> String {
        format!("{node}.-")
    }

    /// What a client was told, if it is from this node in this life.
    pub(super) fn parse(text: &str, node: &str, cores: usize) -> Option<Self> {
        let mut parts = text.strip_prefix(node)?.strip_prefix('.')?.split('.');
        let number = |digits| u64::from_str_radix(digits, 36).ok();
        let mut marks = Self::new(cores);
        for home in &mut marks.homes {
            let part = parts.next()?;
            let (life, mark) = part.split_once('-').unwrap_or(("0", part));
            *home = HomeMark {
                life: u32::from_str_radix(life, 36).ok()?,
                mark: number(mark)?,
            };
        }
        // No mark is written like this, so nobody takes it for that of another core.
        marks.reach = match parts.next().map(|part| part.split_once(':')) {
            None => Reach::Nothing,
            Some(Some(("l", messages))) => Reach::Last(number(messages)?),
            Some(Some(("s", time_ms))) => Reach::Since(number(time_ms)?),
            Some(_) => return None,
        };
        // What is written in another way was not written here.
        (marks.text(node) == text).then_some(marks)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_told_is_understood_by_the_same_node_only(
            marks in prop::collection::vec((0..3u32, any::<u64>()), 1..5),
            reach in prop_oneof![
                Just(Reach::Nothing),
                any::<u64>().prop_map(Reach::Last),
                any::<u64>().prop_map(Reach::Since),
            ],
        ) {
            let mut place = Marks::new(marks.len());
            place.reach = reach;
            for (core, &(life, mark)) in marks.iter().enumerate() {
                place.set(CoreId(u8::try_from(core).unwrap()), HomeMark { life, mark });
            }
            let text = place.text("k3");
            prop_assert_eq!(Marks::parse(&text, "k3", marks.len()), Some(place));
            prop_assert_eq!(Marks::parse(&text, "k4", marks.len()), None);
            prop_assert_eq!(Marks::parse(&text, "k3", marks.len() + 1), None);
            prop_assert_eq!(Marks::parse(&text, "k3", marks.len() - 1), None);
            prop_assert_eq!(Marks::parse(&Marks::nowhere("k3"), "k3", marks.len()), None);
        }

        #[test]
        fn whatever_else_is_said_is_not_believed(text in "k3[.0-9ls+-]{0,20}") {
            if let Some(marks) = Marks::parse(&text, "k3", 2) {
                prop_assert_eq!(marks.text("k3"), text);
            }
        }
    }
}

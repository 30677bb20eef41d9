//! Where streams begin: positions as clients give them, and what home cores make of them.

use std::fmt::Write;

use corewire_protocol::native::Start;

use crate::ids::CoreId;

use super::home::{Base36, Proof, Where};

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
/// order of the cores, each with the core's life where that is not its first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks(Vec<HomeMark>);

impl Marks {
    /// The beginning of so many cores.
    pub(super) fn new(cores: usize) -> Self {
        Self(vec![HomeMark::default(); cores])
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn of(&self, home: CoreId) -> HomeMark {
        self.0.get(home.index()).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, home: CoreId, mark: HomeMark) {
        if let Some(place) = self.0.get_mut(home.index()) {
            *place = mark;
        }
    }

    /// As clients are told it.
    pub(super) fn text(&self, node: &str) -> String {
        let mut text = node.to_owned();
        for HomeMark { life, mark } in &self.0 {
            text.push('.');
            // Writing to a string does not fail.
            if *life > 0 {
                let _ = write!(text, "{}-", Base36(u64::from(*life)));
            }
            let _ = write!(text, "{}", Base36(*mark));
        }
        text
    }

    /// What a client was told, if it is from this node in this life.
    pub(super) fn parse(text: &str, node: &str, cores: usize) -> Option<Self> {
        let marks = text.strip_prefix(node)?.strip_prefix('.')?;
        let mut parsed = Vec::with_capacity(cores);
        for part in marks.split('.') {
            if parsed.len() == cores {
                return None;
            }
            let (life, mark) = part.split_once('-').unwrap_or(("0", part));
            parsed.push(HomeMark {
                life: u32::from_str_radix(life, 36).ok()?,
                mark: u64::from_str_radix(mark, 36).ok()?,
            });
        }
        let marks = Self(parsed);
        // What is written in another way was not written here.
        (marks.0.len() == cores && marks.text(node) == text).then_some(marks)
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
        ) {
            let mut place = Marks::new(marks.len());
            for (core, &(life, mark)) in marks.iter().enumerate() {
                place.set(CoreId(u8::try_from(core).unwrap()), HomeMark { life, mark });
            }
            let text = place.text("k3");
            prop_assert_eq!(Marks::parse(&text, "k3", marks.len()), Some(place));
            prop_assert_eq!(Marks::parse(&text, "k4", marks.len()), None);
            prop_assert_eq!(Marks::parse(&text, "k3", marks.len() + 1), None);
            prop_assert_eq!(Marks::parse(&text, "k3", marks.len() - 1), None);
        }

        #[test]
        fn whatever_else_is_said_is_not_believed(text in "k3[.0-9a-zA-Z+-]{0,20}") {
            if let Some(marks) = Marks::parse(&text, "k3", 2) {
                prop_assert_eq!(marks.text("k3"), text);
            }
        }
    }
}

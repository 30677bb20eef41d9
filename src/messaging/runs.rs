//! Messages that many subscribers are sent in a row, laid end to end once.
//!
//! Subscribers of a topic mostly stand at the same place, and each is sent all that stands behind
//! it. Whoever comes second to a place finds that out, and writes a run: those who follow are sent it
//! as one piece, and pay nothing for each message of it. A subscriber that stands alone pays a look
//! at a short list.

use corewire_protocol::native::Dialect;
use corewire_protocol::{PreparedRun, Takes};

/// Places that are remembered: more than topics whose subscribers are filled by turns.
const PLACES_MAX: usize = 16;
/// A message longer than this is sent by itself, by reference.
pub(super) const MESSAGE_BYTES_MAX: usize = 2 << 10;

/// Where a subscriber stands, and what it takes. Aliases are never used again, and what stands
/// behind an offset never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) alias: u64,
    pub(super) cursor: u64,
    pub(super) dialect: Dialect,
    pub(super) takes: Takes,
}

/// What stands behind a place.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) prepared: PreparedRun,
    /// The offset of its last message.
    pub(super) to: u64,
    /// What its messages count for in a delivery's share.
    pub(super) bytes: usize,
}

/// What is known of a place.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// One subscriber has stood there.
    Seen,
    /// Nothing there is for all of them.
    Mixed,
    /// Everybody else is sent this.
    Written(Run),
}

/// The runs of a core: of the places at which somebody stood last.
#[derive(Debug, Default)]
pub(super) struct Runs {
    places: Vec<(Stand, Place)>,
    /// The place that is given up next.
    oldest: usize,
}

impl Runs {
    /// A subscriber comes to a place. Returns what is known of it, if anybody has stood there
    /// lately.
    pub(super) fn come(&mut self, stand: Stand) -> Option<&mut Place> {
        match self.places.iter().position(|(known, _)| *known == stand) {
            Some(place) => Some(&mut self.places[place].1),
            None => {
                self.remember(stand);
                None
            }
        }
    }

    fn remember(&mut self, stand: Stand) {
        if self.places.len() < PLACES_MAX {
            self.places.push((stand, Place::Seen));
        } else {
            self.places[self.oldest] = (stand, Place::Seen);
            self.oldest = (self.oldest + 1) % PLACES_MAX;
        }
    }
}

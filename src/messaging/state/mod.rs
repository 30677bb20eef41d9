//! State beside the messages of a topic: who is present, who is typing, where cursors stand.
//!
//! One thing is under all of it: a set of entries, key → value, that have a version each and are
//! leased. Every topic has one for each namespace, at the topic's home core. In `presence` a
//! connection has one entry for as long as it lives, and some seconds of grace; anywhere else an
//! entry lives at most ten seconds without being set again.
//!
//! ```text
//!   a member's core               the topic's home core                cores that watch
//!     │ holdings  what its          │ board   sets, leases               │ watchers  cursors
//!     │           connections hold  │                                    │
//!     │ ── Announce, Set, Leave ───▶│ set     version + 1                │
//!     │                             │  ⋮      other changes              │
//!     │                             │ when the window ends:              │
//!     │                             │ ── Window (from, to] ─────────────▶│ kept, once for all
//!     │                             │                                    │ fill: to each watcher,
//!     │ ── Page ───────────────────▶│                                    │ written once
//!     │◀─ Answer: members ──────────│                                    ▼
//! ```
//!
//! A set's version grows by one with each change; an entry has the version of its last change. So
//! the entries behind a version are what has changed since then ([`set`]), a window costs what has
//! changed in it, and pages in the order of versions are a snapshot that goes together with the
//! windows: whoever takes of each key the newest version, from pages and windows in whatever order
//! they come, ends with the set. Counts cost nothing, and a digest says whether it is so.
//!
//! What holds: an entry belongs to a connection that lives, or whose grace is not over. A watcher
//! is never queued for: it is a cursor ([`watchers`]); where it cannot be told what has changed, it
//! is told that something has, and asks for pages. A home core that has lost its memory is told by
//! the others what their connections have announced ([`holdings`]), and those who watch begin anew
//! under another alias.

mod board;
mod desk;
mod holdings;
mod leases;
mod mail;
mod member;
#[cfg(test)]
mod model;
mod page;
mod refusal;
mod roll;
#[cfg(test)]
mod rules;
mod set;
mod watchers;
mod window;

use std::collections::VecDeque;

use crate::engine::Tick;
use crate::hash::Seed;

use super::client::ClientKey;
use super::options::Options;

use board::Board;
use holdings::Holdings;
use mail::What;

pub(super) use mail::{StateAnswer, StateAsk};
pub(super) use watchers::Watchers;
pub(super) use window::Window;

/// The state of a core: what it is home to, what its connections hold, and what they watch.
#[derive(Debug)]
pub(super) struct States {
    board: Board,
    holdings: Holdings,
    pub(super) watchers: Watchers,
    /// What home cores are to be told.
    asks: VecDeque<(ClientKey, Box<str>, What)>,
    /// Clients that watch something new, which may be known here.
    fresh: Vec<ClientKey>,
    /// When the core's alarm rings for this.
    armed: Option<Tick>,
    settled: Settled,
}

/// Whether anything was done since all was last sent, so that there may be more to send, or
/// something due earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    Yes,
    No,
}

impl States {
    pub(super) fn new(options: &Options, seed: &Seed) -> Self {
        Self {
            board: Board::new(options, seed),
            holdings: Holdings::new(options),
            watchers: Watchers::new(options, seed),
            asks: VecDeque::new(),
            fresh: Vec::new(),
            armed: None,
            settled: Settled::Yes,
        }
    }

    /// Somebody does something: it has to be settled when that is done.
    const fn touch(&mut self) {
        self.settled = Settled::No;
    }

    /// Milliseconds until there is something to do.
    fn next_in_ms(&self, now: Tick) -> Option<u32> {
        let board = self.board.next_in_ms(now);
        board.into_iter().chain(self.holdings.next_in_ms(now)).min()
    }
}

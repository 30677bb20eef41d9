//! What is being said between a core and one of its clients, messages aside.
//!
//! A client that only listens is silent nearly always, so this is not part of it: it is made for the
//! first word and thrown away behind the last one ([`Client::rest`](super::client::Client::rest)).

use std::collections::{BTreeMap, VecDeque};

use corewire_protocol::native::{Cause, ErrorCode, ErrorReply, Push, Reply};

use crate::ids::CoreId;

use super::batch::Batch;
use super::bye::Bye;
use super::handler::warn;
use super::history::Pages;
use super::options::Options;

/// Warnings and the like that may wait for one client.
const NOTICES_MAX: usize = 16;

/// What waits to be said to a client, or to be answered to it.
#[derive(Debug, Default)]
pub(super) struct Talk {
    /// Replies that came from other cores.
    pub(super) replies: VecDeque<(u64, Reply<'static>)>,
    pub(super) unanswered: Unanswered,
    /// `sub`s that home cores have not answered: what it publishes waits for them.
    pub(super) subscribing: usize,
    /// What it has said and what is still to be done. It is not read meanwhile.
    pub(super) batch: Option<Box<Batch>>,
    /// What it has asked of history.
    pub(super) pages: Pages,
    /// Aliases that it was told once and does not need any more.
    pub(super) forgotten: Vec<u64>,
    /// Patterns that it is to be told begin anew, and why.
    pub(super) resets: BTreeMap<u64, Cause>,
    /// What it is to be told besides, at most [`NOTICES_MAX`].
    pub(super) notices: VecDeque<Push<'static>>,
    /// Why its connection is to end, instead of all that.
    pub(super) bye: Option<Bye>,
}

/// Requests to other cores without a reply yet, in the order in which they were sent.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    requests: VecDeque<Sent>,
    bytes: usize,
    waits: Waits,
}

/// What a connection waits for before it is read on.
///
/// ```text
///      it has as many as it may             half are answered
///   ┌───────────────────────────▶ ForOwn ──────────────────────▶ No
///   No                               ▲
///   └───────────────────────────▶ ForCore
///      it asks, and its core         its core has room
///      has as many as it may
/// ```
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Waits {
    #[default]
    No,
    /// Until enough of its own requests are answered.
    ForOwn,
    /// Until enough requests of its core are.
    ForCore,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    to: CoreId,
    number: u64,
    id: Option<u64>,
    bytes: usize,
}

impl Talk {
    /// Tells the client something of no reply. What is too much is left out: it is the same again.
    pub(super) fn notice(&mut self, push: Push<'static>) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push_back(push);
        }
    }

    /// No answer will come from a core any more.
    pub(super) fn give_up(&mut self, core: CoreId) {
        let unavailable = |text: &'static str| ErrorReply {
            code: ErrorCode::Unavailable,
            text: text.into(),
            retry_ms: Some(0),
        };
        while let Some(id) = self.unanswered.given_up(core) {
            let text = "a part of the server has restarted; the message may have been sent";
            match id {
                Some(id) => self
                    .replies
                    .push_back((id, Reply::Error(unavailable(text)))),
                None => self.notice(warn("pub", unavailable(text))),
            }
        }
        while let Some(id) = self.pages.given_up(core) {
            let error = unavailable("a part of the server has restarted; ask again");
            self.replies.push_back((id, Reply::Error(error)));
        }
    }

    /// Whether the connection is to be held: for the rest of its message, or until its requests, or
    /// those of its core, are answered.
    pub(super) fn hold(&mut self, options: &Options) -> bool {
        let waits = self.unanswered.hold(options);
        waits || self.batch.is_some()
    }

    /// Requests were answered. Whether a connection that was held is to be released.
    pub(super) fn release(&mut self, options: &Options) -> bool {
        self.unanswered.release(options) && self.batch.is_none()
    }

    /// Its core has room for requests. Whether the connection is to be released.
    pub(super) fn room(&mut self, options: &Options) -> bool {
        self.unanswered.room(options) && self.batch.is_none()
    }

    /// Whether nothing waits.
    pub(super) fn is_over(&self) -> bool {
        self.replies.is_empty()
            && self.unanswered.is_over()
            && self.subscribing == 0
            && self.batch.is_none()
            && self.pages.len() == 0
            && self.forgotten.is_empty()
            && self.resets.is_empty()
            && self.notices.is_empty()
            && self.bye.is_none()
    }
}

impl Unanswered {
    /// A request was sent: to which core, and with which number among those of this core.
    pub(super) fn sent(&mut self, (to, number): (CoreId, u64), id: Option<u64>, bytes: usize) {
        self.bytes += bytes;
        self.requests.push_back(Sent {
            to,
            number,
            id,
            bytes,
        });
    }

    /// A reply has come. Returns the `id` of the command, if the reply was waited for.
    pub(super) fn answered(&mut self, by: CoreId, number: u64) -> Option<Option<u64>> {
        let is_it = |sent: &Sent| sent.to == by && sent.number == number;
        self.take(is_it)
    }

    /// No reply will come from this core. Returns the `id` of one command after the other.
    pub(super) fn given_up(&mut self, by: CoreId) -> Option<Option<u64>> {
        self.take(|sent| sent.to == by)
    }

    fn take(&mut self, is_it: impl Fn(&Sent) -> bool) -> Option<Option<u64>> {
        let place = self.requests.iter().position(is_it)?;
        let sent = self.requests.remove(place)?;
        self.bytes -= sent.bytes;
        Some(sent.id)
    }

    fn is_over(&self) -> bool {
        self.requests.is_empty() && self.waits == Waits::No
    }

    /// Whether there are as many as there may be. The connection is to be held then.
    fn hold(&mut self, options: &Options) -> bool {
        let many =
            self.requests.len() >= options.unanswered_max || self.bytes >= options.unanswered_bytes;
        if many && self.waits == Waits::No {
            self.waits = Waits::ForOwn;
        }
        self.waits != Waits::No
    }

    /// The connection is to be held until its core has [room](Talk::room).
    pub(super) const fn hold_for_core(&mut self) {
        self.waits = Waits::ForCore;
    }

    /// Its core has room. Whether the connection is to be released.
    fn room(&mut self, options: &Options) -> bool {
        if self.waits == Waits::ForCore {
            self.waits = Waits::ForOwn;
        }
        self.release(options)
    }

    /// Whether a connection that was held is to be released.
    fn release(&mut self, options: &Options) -> bool {
        let few = self.requests.len() <= options.unanswered_max / 2
            && self.bytes <= options.unanswered_bytes / 2;
        let released = self.waits == Waits::ForOwn && few;
        if released {
            self.waits = Waits::No;
        }
        released
    }
}

//! What a core knows of a topic that some client of its own has subscribed to.

use std::sync::Arc;

use corewire_protocol::native::{ErrorReply, Subbed};

use super::client::ClientKey;
use super::delivery::{InForce, List};
use super::home::Where;
use super::latest::Latest;
use super::publication::TopicId;
use super::tail::Tail;

/// A topic with deliveries on this core.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Box<str>,
    /// `None` until its home core has told.
    pub(super) id: Option<Arc<TopicId>>,
    pub(super) interest: Interest,
    /// Who waits to be told where to begin.
    pub(super) seeking: Vec<Seeking>,
    /// The offset of the last message that came to this core.
    pub(super) end: u64,
    /// Deliveries that have nothing to send.
    pub(super) current: List,
    /// Deliveries that have.
    pub(super) behind: u32,
    /// All of them.
    pub(super) deliveries: u32,
    /// Subscriptions that name the topic itself.
    pub(super) exact: u32,
    /// Which patterns were looked at when its deliveries were made.
    pub(super) generation: u64,
    pub(super) tail: Tail,
    pub(super) latest: Option<Box<Latest>>,
    pub(super) life: Life,
}

/// What the topic's home core was told.
#[derive(Debug)]
pub(super) enum Interest {
    /// That nobody here wants the topic itself. There may be a pattern.
    None,
    /// It was asked; these wait for its answer.
    Asked(Vec<Waiting>),
    /// It sends what is published.
    Granted,
}

/// Whether the topic goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It does.
    Going,
    /// Its home core has forgotten it: what waits is still sent, nothing comes any more.
    Over,
}

/// A subscription in the making.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) client: ClientKey,
    pub(super) wanted: Wanted,
    pub(super) answer: Answer,
}

/// A subscription in the making that does not begin with the next message.
#[derive(Debug)]
pub(super) struct Seeking {
    /// Of the question where it begins, among those of its core.
    pub(super) number: u64,
    pub(super) from: Where,
    pub(super) waiting: Waiting,
}

/// What a client has asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) s: u64,
    /// `None`: whatever is in force.
    pub(super) policy: Option<InForce>,
    pub(super) credit: Option<u64>,
}

/// How its client learns of the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// By a reply to the command with this number, if it had one.
    Reply(Option<u64>),
    /// In the `welcome`, at this place.
    Welcome(usize),
    /// By a `reset`: it had the subscription before its home core lost its memory.
    Reset,
}

/// What became of a subscription, and who is to be told.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) client: ClientKey,
    pub(super) answer: Answer,
    pub(super) s: u64,
    pub(super) result: Result<Subbed<'static>, ErrorReply<'static>>,
}

impl Topic {
    pub(super) fn new(name: Box<str>, generation: u64) -> Self {
        Self {
            name,
            id: None,
            interest: Interest::None,
            seeking: Vec::new(),
            end: 0,
            current: List::default(),
            behind: 0,
            deliveries: 0,
            exact: 0,
            generation,
            tail: Tail::default(),
            latest: None,
            life: Life::Going,
        }
    }

    /// One delivery less is behind. Returns the bytes that nobody needs any more.
    pub(super) fn one_less_behind(&mut self) -> u64 {
        self.behind -= 1;
        if self.behind > 0 {
            return 0;
        }
        if let Some(latest) = &mut self.latest {
            latest.clear();
        }
        self.tail.clear()
    }
}

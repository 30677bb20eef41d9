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
    pub(super) called: Called,
    pub(super) interest: Interest,
    /// Most of the time there is none.
    pub(super) waitlist: Option<Box<Waitlist>>,
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

/// What the topic is called.
#[derive(Debug)]
pub(super) enum Called {
    /// As clients call it: its home core has not told more yet.
    ByName(Box<str>),
    /// As its home core calls it.
    ById(Arc<TopicId>),
}

/// What the topic's home core was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// That nobody here wants the topic itself. There may be a pattern.
    None,
    /// It was asked.
    Asked,
    /// It sends what is published.
    Granted,
}

/// Who waits for the topic's home core.
#[derive(Debug, Default)]
pub(super) struct Waitlist {
    /// Those who begin with the next message, while it is asked.
    pub(super) joining: Vec<Waiting>,
    /// Those who are to be told where to begin.
    pub(super) seeking: Vec<Seeking>,
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

impl Called {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::ByName(name) => name,
            Self::ById(id) => &id.name,
        }
    }

    /// `None` until its home core has told.
    pub(super) const fn id(&self) -> Option<&Arc<TopicId>> {
        match self {
            Self::ByName(_) => None,
            Self::ById(id) => Some(id),
        }
    }
}

impl Waitlist {
    /// Whether nobody does.
    pub(super) const fn is_empty(&self) -> bool {
        self.joining.is_empty() && self.seeking.is_empty()
    }
}

impl Topic {
    pub(super) fn new(name: Box<str>, generation: u64) -> Self {
        Self {
            called: Called::ByName(name),
            interest: Interest::None,
            waitlist: None,
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

    /// Who waits for its home core, for one more.
    pub(super) fn waitlist(&mut self) -> &mut Waitlist {
        self.waitlist.get_or_insert_default()
    }

    /// Whether somebody waits to be told where to begin.
    pub(super) fn is_sought(&self) -> bool {
        let waitlist = self.waitlist.as_ref();
        waitlist.is_some_and(|waitlist| !waitlist.seeking.is_empty())
    }

    /// Bytes that wait here for those who are behind: what is in the tail, and what is some key's
    /// newest message.
    pub(super) fn waiting_bytes(&self) -> u64 {
        let latest = self.latest.as_ref().map_or(0, |latest| latest.bytes());
        self.tail.bytes() + latest
    }

    /// Whether a message waits here.
    pub(super) fn holds(&self, offset: u64) -> bool {
        let latest = self.latest.as_ref();
        self.tail.holds(offset) || latest.is_some_and(|latest| latest.holds(offset))
    }

    /// One delivery less is behind. Returns the bytes that nobody needs any more.
    pub(super) fn one_less_behind(&mut self) -> u64 {
        self.behind -= 1;
        if self.behind > 0 {
            return 0;
        }
        let bytes = self.waiting_bytes();
        if let Some(latest) = &mut self.latest {
            latest.clear();
        }
        self.tail.clear();
        bytes
    }

    /// Nobody waits here any more. Returns the bytes that nobody needs any more.
    pub(super) fn clear(&mut self) -> u64 {
        let bytes = self.waiting_bytes();
        self.latest = None;
        self.tail.clear();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many topics have one subscriber, and nothing to send.
    #[test]
    fn a_topic_at_rest_is_small() {
        assert!(size_of::<Topic>() <= 128, "{}", size_of::<Topic>());
    }
}

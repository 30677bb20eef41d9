//! What cores say to each other about state. To a topic's home core goes what connections do and
//! ask; from there come answers, and what has changed for those who watch
//! ([`Letter::Window`](super::super::mail::Letter::Window)).

use std::sync::Arc;

use corewire_protocol::native::{ErrorReply, Reply};

use super::super::client::ClientKey;
use super::super::requests::Stamp;
use super::board::Given;
use super::holdings::Place;
use super::member::Member;

/// Something that a connection of another core does, or wants to know.
#[derive(Debug)]
pub(in crate::messaging) struct StateAsk {
    pub(in crate::messaging) stamp: Stamp,
    pub(in crate::messaging) client: ClientKey,
    /// Whether the connection waits for the reply.
    pub(in crate::messaging) awaited: bool,
    pub(in crate::messaging) topic: Box<str>,
    pub(in crate::messaging) what: What,
}

/// What it is.
#[derive(Debug)]
pub(in crate::messaging) enum What {
    /// The connection is there.
    Announce { member: Arc<Member>, given: Given },
    /// It leaves, and will not come back.
    Leave,
    /// It is gone, and may come back.
    Lapse,
    /// It sets or renews an entry.
    Set {
        member: Arc<Member>,
        place: Arc<Place>,
        value: Option<Arc<str>>,
        ttl_ms: u32,
    },
    /// It ends an entry.
    Delete {
        member: Arc<Member>,
        place: Arc<Place>,
    },
    /// It leaves this entry, and will not come back.
    LeaveKey(Arc<Place>),
    /// It is gone, and may come back to this entry.
    LapseKey(Arc<Place>),
    /// Somebody on its core watches.
    Watch { namespace: Box<str> },
    /// Nobody on its core does any more.
    Unwatch { namespace: Box<str> },
    /// A page of a set.
    Page {
        namespace: Box<str>,
        after: Option<Box<str>>,
        limit: Option<u64>,
    },
}

/// What became of it.
#[derive(Debug)]
pub(in crate::messaging) struct StateAnswer {
    pub(in crate::messaging) stamp: Stamp,
    pub(in crate::messaging) client: ClientKey,
    pub(in crate::messaging) awaited: bool,
    /// The command that led to it.
    pub(in crate::messaging) command: &'static str,
    /// Where an entry would have been set, if that was refused.
    pub(in crate::messaging) place: Option<Arc<Place>>,
    pub(in crate::messaging) result: Result<Reply<'static>, ErrorReply<'static>>,
}

impl What {
    /// Where an entry is set.
    pub(in crate::messaging) fn place(&self) -> Option<Arc<Place>> {
        match self {
            Self::Set { place, .. } => Some(Arc::clone(place)),
            Self::Announce { .. }
            | Self::Leave
            | Self::Lapse
            | Self::Delete { .. }
            | Self::LeaveKey(_)
            | Self::LapseKey(_)
            | Self::Watch { .. }
            | Self::Unwatch { .. }
            | Self::Page { .. } => None,
        }
    }

    /// The command that a client is told about.
    pub(in crate::messaging) const fn command(&self) -> &'static str {
        match self {
            Self::Announce {
                given: Given::Kept, ..
            }
            | Self::Watch { .. } => "sub",
            Self::Leave
            | Self::Lapse
            | Self::LeaveKey(_)
            | Self::LapseKey(_)
            | Self::Unwatch { .. } => "unsub",
            Self::Announce { .. } | Self::Set { .. } | Self::Delete { .. } | Self::Page { .. } => {
                "state"
            }
        }
    }
}

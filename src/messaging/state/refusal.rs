//! Why state is refused.

use corewire_protocol::native::{ErrorCode, ErrorReply};

use super::super::refusal::{refused, too_many_topics};

/// Why a change or a question is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::messaging) enum Refusal {
    /// The set has as many entries as it may: so many.
    Entries(usize),
    /// The topic has as many namespaces as it may: so many.
    Namespaces(usize),
    /// The connection has as many keys as it may: so many.
    Keys(usize),
    /// The connection watches as many sets as it may: so many.
    Watches(usize),
    /// The connection waits for as many pages as it may: so many.
    Pages(usize),
    /// The core holds as many bytes as it may.
    Bytes,
    /// Another user's connection has the key.
    Taken,
    /// No subscription of the connection covers the topic.
    NotSubscribed,
    /// The connection has not announced itself.
    NotAnnounced,
    /// `after` is of another life of the topic, or of no page at all.
    Cursor,
    /// Presence was asked for with a pattern.
    Pattern,
    /// The core has as many topics as it may.
    Topics,
}

impl Refusal {
    /// What the client is told.
    pub(in crate::messaging) fn told(self) -> ErrorReply<'static> {
        match self {
            Self::Entries(max) => refused(
                ErrorCode::Limit,
                format!("state: a topic has at most {max} entries in a namespace"),
            ),
            Self::Namespaces(max) => refused(
                ErrorCode::Limit,
                format!(
                    "state.ns: a topic has at most {max} namespaces at a time; use one of them"
                ),
            ),
            Self::Keys(max) => refused(
                ErrorCode::Limit,
                format!(
                    "state.k: a connection has at most {max} keys at a time; delete one of them"
                ),
            ),
            Self::Watches(max) => refused(
                ErrorCode::Limit,
                format!(
                    "sub.presence, sub.watch: a connection watches at most {max} sets; end a \
                     subscription that watches, or open another connection"
                ),
            ),
            Self::Pages(max) => refused(
                ErrorCode::Limit,
                format!(
                    "state: a connection waits for at most {max} pages at a time; ask for the next \
                     one when one has come"
                ),
            ),
            Self::Bytes => ErrorReply {
                code: ErrorCode::Overloaded,
                text: "state: the server holds as much of it as it may; try again later".into(),
                retry_ms: Some(1000),
            },
            Self::Taken => refused(
                ErrorCode::Conflict,
                "state.k: another user has it; choose another key, or wait until it is given up",
            ),
            Self::NotSubscribed => refused(
                ErrorCode::Forbidden,
                "state.topic: no subscription of this connection covers it; subscribe first",
            ),
            Self::NotAnnounced => refused(
                ErrorCode::Forbidden,
                "state.ns: this connection has not announced itself; subscribe with \"presence\": \
                 \"announce\" or \"both\"",
            ),
            Self::Cursor => refused(
                ErrorCode::BadPosition,
                "state.after: it is not the next of a page of this topic; leave it out to begin anew",
            ),
            Self::Pattern => refused(
                ErrorCode::Unsupported,
                "sub.presence, sub.watch: a pattern has no state; subscribe to the topic itself, too",
            ),
            Self::Topics => too_many_topics(),
        }
    }
}

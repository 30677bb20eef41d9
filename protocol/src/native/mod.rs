//! corewire's own client protocol: what a client and the server say to each other inside WebSocket
//! messages, in two dialects with the same meaning.
//!
//! A client sends [`Request`]s: a [`Command`], with an `id` if it wants an answer. The server sends
//! [`Reply`]s, exactly one for each `id`, and [`Push`]es. A WebSocket message holds one of them or
//! several, which count as if each had come alone, in order.
//!
//! | [`Dialect`] | subprotocol | messages | several in one message |
//! | --- | --- | --- | --- |
//! | `Json` | `corewire.v1.json` | text | an array of objects |
//! | `Binary` | `corewire.v1.bin` | binary | records one behind the other |
//!
//! Integers stay below 2^53, so that every JSON reader keeps them. Fields that a reader does not
//! know are skipped; a command that it does not know is refused by name.
//!
//! What is read borrows from the message where it can. Nothing here keeps state: what must be true
//! between two messages is for the server and the client to say.

mod batch;
mod binary;
mod bound;
mod code;
mod command;
mod data;
mod dialect;
mod history;
mod json;
mod names;
mod problem;
mod push;
mod reply;
mod state;
mod tags;
mod topic;

pub use batch::{Batch, Full};
pub use code::{ErrorCode, closing};
pub use command::{
    Auth, Bye, Command, Credit, CreditScope, Echo, HELLO_SUBSCRIPTIONS_MAX, Hello, IDEM_BYTES_MAX,
    Level, Policy, PolicyMode, Pong, Publish, Request, Subscribe, Target, Unsubscribe,
};
pub use data::{Data, JSON_LEVELS_MAX};
pub use dialect::{Dialect, Extent, Malformed, Requests, RequestsPlace, ServerWord, ServerWords};
pub use history::{
    Complete, Direction, History, HistoryFrom, Page, PatternPlace, Place, SEEN_MAX, Seen, Start,
};
pub use push::{
    Cause, Closing, Conflated, Gap, GoAway, Message, Ping, Position, Publisher, Push, Repair,
    Reset, TokenExpiring, TopicAlias, Unsubbed, Untopic, Warn,
};
pub use reply::{
    Done, Duplicate, ErrorReply, Limits, Pubbed, Recovered, Reply, Resumed, Subbed, SubbedTo,
    Welcome,
};
pub use state::{
    Entry, Members, NAMESPACE_BYTES_MAX, PRESENCE, Presence, STATE_KEY_BYTES_MAX, STATE_TTL_MS_MAX,
    STATE_VALUE_BYTES_MAX, StateCommand, StateDiff, StateOp, WATCH_MAX, entry_digest,
};
pub use tags::{TAG_NAME_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX};
pub use topic::{Pattern, Subject, TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX, TopicError, TopicName};

/// Integers on the wire are less than this: what a JSON number keeps exactly everywhere.
pub const INTEGER_END: u64 = 1 << 53;

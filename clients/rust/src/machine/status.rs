//! How a client is, for people and programs that want to show it.

use std::sync::Arc;

use corewire_protocol::native::{ErrorCode, Resumed};

use super::stop::{Loss, Stop};

/// How a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It connects, for the first time or again.
    Connecting,
    /// It is connected.
    Connected(Session),
    /// It has no connection, and tries again by itself.
    Waiting {
        /// In so many milliseconds, as of the moment when this was said.
        retry_in_ms: u64,
        /// What happened to the connection before.
        loss: Loss,
    },
    /// It says good-bye.
    Closing,
    /// It has ended.
    Stopped(Stop),
}

/// What the server has said about a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The connection's name.
    pub conn: Arc<str>,
    /// The server's name, new at each of its starts.
    pub node: Arc<str>,
    /// Who the server takes this client for.
    pub user: Arc<str>,
    /// Whether the server has recognised the client by its connection before: what it published
    /// then is not published twice.
    pub resumed: Resumed,
    /// The largest message that it takes.
    pub message_bytes_max: u64,
}

/// Something that went wrong and is nobody's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What kind of thing.
    pub code: ErrorCode,
    /// What, in words.
    pub text: Arc<str>,
}

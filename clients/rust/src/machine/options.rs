//! Every bound and every choice of the machine, in one struct.

use std::sync::Arc;

use super::backoff::Backoff;

/// What steers a client. The defaults suit a program with a handful of subscriptions; memory is
/// bounded by [`window`](Self::window) for what comes and by
/// [`publication_bytes_max`](Self::publication_bytes_max) for what goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where the server is. The machine hands it to its driver as it is, unless a server names
    /// another place.
    pub url: Arc<str>,
    /// Who the client says it is.
    pub identity: Identity,
    /// How long to wait before coming back.
    pub backoff: Backoff,
    /// How much may have been sent to the client that it has not handed over.
    pub window: Window,
    /// Subscriptions at a time.
    pub subscriptions_max: usize,
    /// Publications that wait to be sent or answered. More are refused.
    pub publications_max: usize,
    /// The same in bytes: of data, topics and keys, and 128 for each.
    pub publication_bytes_max: usize,
    /// Publications that are sent before the reply to the first of them has come; fewer if the
    /// server says so.
    pub in_flight_max: usize,
    /// Milliseconds from the call of `publish` to a reply, time without a connection included.
    pub publish_timeout_ms: u64,
    /// Milliseconds in which a connection must be open, its TLS and WebSocket handshakes included.
    pub connect_timeout_ms: u64,
    /// Milliseconds in which the server must answer a command that is not a publication.
    pub reply_timeout_ms: u64,
    /// Milliseconds in which a token must be there after it was asked for.
    pub token_timeout_ms: u64,
    /// Milliseconds that a client which closes gives its publications to be answered, and then the
    /// server to end the connection.
    pub close_timeout_ms: u64,
}

/// Who a client says it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Identity {
    /// Nobody: each connection is a user of its own.
    #[default]
    Anonymous,
    /// A name, where the server lets clients choose one.
    Name(String),
    /// A token that cannot be renewed.
    Token(String),
    /// Tokens come from [`Action::Token`](super::Action::Token), anew before the last one expires.
    Renewable,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Name(name) => write!(f, "Name({name:?})"),
            // A token in a log is a token in the wrong hands.
            Self::Token(_) => f.write_str("Token(_)"),
            Self::Renewable => f.write_str("Renewable"),
        }
    }
}

/// Credits: how much the server may send ahead of what the application has taken. What is beyond
/// waits at the server, which then does what the subscription's policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Messages of one topic.
    pub topic_messages: u64,
    /// Messages of all topics.
    pub messages: u64,
    /// Bytes of data of all topics. A message may go beyond it.
    pub bytes: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            topic_messages: 512,
            messages: 8192,
            bytes: 8 << 20,
        }
    }
}

impl Options {
    /// The defaults, for the server at `url`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.into(),
            identity: Identity::Anonymous,
            backoff: Backoff::default(),
            window: Window::default(),
            subscriptions_max: 10_000,
            publications_max: 10_000,
            publication_bytes_max: 16 << 20,
            in_flight_max: 1000,
            publish_timeout_ms: 30_000,
            connect_timeout_ms: 10_000,
            reply_timeout_ms: 10_000,
            token_timeout_ms: 30_000,
            close_timeout_ms: 3000,
        }
    }
}

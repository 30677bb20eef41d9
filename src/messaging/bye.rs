//! The reasons for which the server ends a connection.

use corewire_protocol::CloseCode;
use corewire_protocol::native::closing;

/// Why the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bye {
    NoHello,
    NoPong,
    TokenExpired,
    Stopping,
    /// A message that cannot be read at all.
    Unreadable,
    /// Something else came first, or a `hello` twice.
    NotHello,
    HelloWithoutId,
    BadVersion,
    BadToken,
    TooManyCommands,
    /// More topics of its patterns wait for it than may.
    TooManyTopics,
}

impl Bye {
    /// The code, the reason, and when to come back.
    pub(super) const fn told(self) -> (CloseCode, &'static str, Option<u64>) {
        match self {
            Self::NoHello => (closing::NO_HELLO, "no hello came in time", None),
            Self::NoPong => (closing::NO_PONG, "no pong came in time", Some(0)),
            Self::TokenExpired => (closing::TOKEN_EXPIRED, "the token has expired", None),
            Self::Stopping => (closing::DRAINING, "the server is stopping", None),
            Self::Unreadable => (
                closing::BAD_PROTOCOL,
                "a message was not in the dialect of the subprotocol",
                None,
            ),
            Self::NotHello => (
                closing::BAD_PROTOCOL,
                "the first command must be hello",
                None,
            ),
            Self::HelloWithoutId => (
                closing::BAD_PROTOCOL,
                "a hello needs an id, for its welcome",
                None,
            ),
            Self::BadVersion => (closing::BAD_VERSION, "this server speaks version 1", None),
            Self::BadToken => (closing::BAD_TOKEN, "the hello was refused", None),
            Self::TooManyCommands => (closing::POLICY, "too many commands in one message", None),
            Self::TooManyTopics => (
                closing::SLOW_CONSUMER,
                "too many topics of its patterns wait for this client (pattern_topics_max)",
                Some(1000),
            ),
        }
    }
}

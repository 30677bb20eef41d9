//! How connections and clients end.

use std::fmt;
use std::sync::Arc;

use corewire_protocol::CloseCode;

/// Why a connection has ended, or did not come about. Told by the driver, and to people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// There was no way to the server: its name, the network, TLS.
    Unreachable(Arc<str>),
    /// The server answered the handshake with ordinary HTTP.
    Http {
        /// The status.
        status: u16,
        /// The server asks to wait as long (`Retry-After`).
        retry_ms: Option<u64>,
    },
    /// The server opened a WebSocket for another protocol.
    Foreign,
    /// The server broke the protocol.
    Broken(Arc<str>),
    /// The server closed the connection.
    Closed {
        /// The code of its Close frame.
        code: Option<CloseCode>,
        /// Its reason, or the text of what it refused before.
        reason: Arc<str>,
    },
    /// The connection ended without a Close frame.
    Cut(Arc<str>),
    /// Nothing came for longer than the server is ever silent.
    Silent,
    /// A step took longer than its bound: connecting, the answer to a command, a token.
    TimedOut(&'static str),
    /// The source of tokens had none.
    NoToken(Arc<str>),
}

impl Loss {
    /// The code of the server's Close frame.
    pub(super) const fn close_code(&self) -> Option<CloseCode> {
        if let Self::Closed { code, .. } = self {
            *code
        } else {
            None
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the server cannot be reached: {why}"),
            Self::Http { status, .. } => write!(
                f,
                "the server answered with HTTP status {status} instead of opening a WebSocket"
            ),
            Self::Foreign => {
                f.write_str("the server opened a WebSocket that does not speak corewire's protocol")
            }
            Self::Broken(rule) => write!(f, "the server broke the protocol: {rule}"),
            Self::Closed { code, reason } => {
                f.write_str("the server closed the connection")?;
                if let Some(code) = code {
                    write!(f, " with {code}")?;
                }
                if !reason.is_empty() {
                    write!(f, ": {reason}")?;
                }
                Ok(())
            }
            Self::Cut(why) if why.is_empty() => f.write_str("the connection was cut"),
            Self::Cut(why) => write!(f, "the connection was cut: {why}"),
            Self::Silent => f.write_str("the server has fallen silent"),
            Self::TimedOut(step) => write!(f, "{step} took too long"),
            Self::NoToken(why) => write!(f, "there is no token: {why}"),
        }
    }
}

impl std::error::Error for Loss {}

/// Why a client has stopped and does not come back by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// It was told to.
    Asked,
    /// The token is wrong, or has expired and there is no other.
    BadToken(Arc<str>),
    /// The server would answer the same again.
    Refused(Loss),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("the client was closed"),
            Self::BadToken(text) => write!(
                f,
                "the server does not take the token ({text}); give a new one, or a source of tokens"
            ),
            Self::Refused(loss) => {
                write!(f, "{loss}; ")?;
                f.write_str(
                    if let Loss::Http {
                        status: 401 | 403, ..
                    } = loss
                    {
                        "check the token and the origins that the server allows"
                    } else if matches!(loss, Loss::Http { .. } | Loss::Foreign) {
                        "check the path of the URL: corewire listens at /ws"
                    } else {
                        "connecting again would end the same way"
                    },
                )
            }
        }
    }
}

impl std::error::Error for Stop {}

//! Why a measurement has no result.

use std::fmt;
use std::io;

use corewire_protocol::close::CloseCode;
use corewire_protocol::handshake::{HeadError, RequestError, ResponseError};

/// Why there is no result.
#[derive(Debug)]
pub enum Error {
    /// The settings contradict each other or ask for too much.
    Settings(String),
    /// The system refused something.
    System {
        /// What was to be done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The server did something wrong on a connection.
    Server {
        /// Which connection, counted from 0.
        connection: usize,
        /// What it did.
        fault: Fault,
    },
    /// Connections did not open in time.
    OpenTimeout {
        /// Those that did.
        open: usize,
        /// Those that were asked for.
        wanted: usize,
    },
    /// Messages never came back.
    Lost {
        /// Messages sent.
        sent: u64,
        /// Messages received.
        received: u64,
    },
    /// Connections that had opened did not answer a ping at the end.
    Dead {
        /// How many did not.
        silent: usize,
        /// How many were asked.
        asked: usize,
    },
}

/// What a server does that makes its figures worthless.
#[derive(Debug)]
pub enum Fault {
    /// The connection failed.
    Connection(io::Error),
    /// The server ended it without a Close frame.
    Ended,
    /// The server closed it.
    Closed(Option<CloseCode>),
    /// Our request cannot be written.
    Request(RequestError),
    /// The answer to the handshake is not a head.
    Head(HeadError),
    /// The answer to the handshake is not an upgrade to what was asked for.
    Handshake(ResponseError),
    /// permessage-deflate was asked for and not agreed upon.
    NoDeflate,
    /// permessage-deflate was agreed upon with a smaller window than the messages were built for.
    DeflateWindow(u8),
    /// A frame breaks the protocol.
    Protocol(corewire_protocol::Error),
    /// A reply is text where binary was sent, or the other way round.
    Kind,
    /// A reply is longer or shorter than what was sent.
    Length {
        /// Which reply of the connection, counted from 0.
        reply: u64,
        /// Bytes sent.
        sent: u64,
        /// Bytes that came back, or at least have begun to.
        received: u64,
    },
    /// A reply differs from what was sent.
    Content {
        /// Which reply of the connection, counted from 0.
        reply: u64,
    },
    /// A message came that nothing was sent for.
    Surplus,
}

impl Error {
    /// For `map_err`: the system refused something.
    pub(super) const fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(reason) => f.write_str(reason),
            Self::System { doing, source } => write!(f, "cannot {doing}: {source}"),
            Self::Server { connection, fault } => write!(f, "connection {connection}: {fault}"),
            Self::OpenTimeout { open, wanted } => {
                write!(f, "only {open} of {wanted} connections opened in time")
            }
            Self::Lost { sent, received } => write!(
                f,
                "{} of {sent} messages never came back",
                sent.saturating_sub(*received)
            ),
            Self::Dead { silent, asked } => write!(
                f,
                "{silent} of {asked} connections that were asked did not answer a ping at the end"
            ),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "the connection failed: {error}"),
            Self::Ended => f.write_str("the server ended it without a Close frame"),
            Self::Closed(Some(code)) => write!(f, "the server closed it with code {code}"),
            Self::Closed(None) => f.write_str("the server closed it without a code"),
            Self::Request(error) => error.fmt(f),
            Self::Head(error) => write!(f, "the server's answer is not HTTP: {error}"),
            Self::Handshake(error) => error.fmt(f),
            Self::NoDeflate => f.write_str("the server declined permessage-deflate"),
            Self::DeflateWindow(bits) => write!(
                f,
                "the server wants messages compressed in a window of {bits} bits, smaller than \
                 these messages need: use a smaller --size"
            ),
            Self::Protocol(error) => error.fmt(f),
            Self::Kind => f.write_str("a reply is text for binary or binary for text"),
            Self::Length {
                reply,
                sent,
                received,
            } => write!(
                f,
                "reply {reply} has {received} bytes or more where {sent} were sent"
            ),
            Self::Content { reply } => write!(f, "reply {reply} differs from what was sent"),
            Self::Surplus => f.write_str("a message came that nothing was sent for"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl From<corewire_protocol::Error> for Fault {
    fn from(error: corewire_protocol::Error) -> Self {
        Self::Protocol(error)
    }
}

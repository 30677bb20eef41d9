//! Why a measurement has no result.

use std::fmt;
use std::io;
use std::net::SocketAddr;

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
    /// A handshake was not answered in time.
    HandshakeTimeout,
    /// Messages never came back.
    Lost {
        /// Messages sent.
        sent: u64,
        /// Messages received.
        received: u64,
    },
    /// In an open loop more messages wait for their reply than the generator keeps in mind.
    Backlog,
    /// Subscribers did not see what says that they are ready.
    NotReady {
        /// Those that did.
        ready: usize,
        /// All.
        wanted: usize,
    },
    /// The figures cannot be drawn.
    Plot(String),
    /// Another thread of the run has failed, and has told why.
    Elsewhere,
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
    /// No connection to it could be made.
    Unreachable {
        /// Where it should listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server took the connection and ended it without an answer to the handshake.
    NoAnswer,
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
    /// The server answered with another status than 101, and said why.
    Refused {
        /// The status.
        status: u16,
        /// The beginning of what it said.
        reason: String,
    },
    /// permessage-deflate was asked for and not agreed upon.
    NoDeflate,
    /// permessage-deflate was agreed upon without context takeover, which was asked for.
    NoTakeover,
    /// The server did not agree to the subprotocol that was asked for.
    Subprotocol(String),
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
    /// A delivery differs from what was published.
    Changed {
        /// Which of its publisher's publications.
        number: u32,
    },
    /// A delivery begins as one of this run does, and goes on otherwise.
    Marker,
    /// A delivery is of a publication that was never made.
    Unpublished,
    /// A subscriber has had a delivery of a topic that it has not subscribed to.
    Topic {
        /// The one that it has subscribed to.
        subscribed: usize,
        /// That of the delivery.
        delivered: usize,
    },
    /// The server does not read what is sent to it.
    Unread {
        /// Bytes that wait.
        bytes: usize,
    },
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
            Self::HandshakeTimeout => {
                f.write_str("the server did not answer a handshake within ten seconds")
            }
            Self::Lost { sent, received } => write!(
                f,
                "{} of {sent} messages never came back",
                sent.saturating_sub(*received)
            ),
            Self::Backlog => {
                f.write_str("the server fell behind by millions of messages: use a lower --rate")
            }
            Self::NotReady { ready, wanted } => write!(
                f,
                "only {ready} of {wanted} subscribers have received what --ready names"
            ),
            Self::Plot(reason) => write!(f, "cannot draw the figures: {reason}"),
            Self::Elsewhere => f.write_str("another thread of the generator has failed"),
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
            Self::Unreachable { address, source } => {
                write!(f, "cannot connect to {address}: {source}")?;
                if source.kind() == io::ErrorKind::ConnectionRefused {
                    f.write_str(
                        "\nis the server running? `corewire serve` starts one on 127.0.0.1:9001",
                    )?;
                }
                Ok(())
            }
            Self::NoAnswer => f.write_str(
                "the server ended the connection without an answer to the handshake: does it \
                 speak WebSocket on this port, without TLS?",
            ),
            Self::Connection(error) => write!(f, "the connection failed: {error}"),
            Self::Ended => f.write_str("the server ended it without a Close frame"),
            Self::Closed(Some(code)) => write!(f, "the server closed it with code {code}"),
            Self::Closed(None) => f.write_str("the server closed it without a code"),
            Self::Request(error) => error.fmt(f),
            Self::Head(error) => write!(f, "the server's answer is not HTTP: {error}"),
            Self::Handshake(error @ ResponseError::Status(404)) => {
                write!(f, "{error}: is the path of the URL right?")
            }
            Self::Handshake(error) => error.fmt(f),
            Self::Refused { status, reason } => {
                Self::Handshake(ResponseError::Status(*status)).fmt(f)?;
                write!(f, "\nit says: {reason}")
            }
            Self::NoDeflate => f.write_str("the server declined permessage-deflate"),
            Self::NoTakeover => f.write_str(
                "the server agreed to permessage-deflate, but not to context takeover in both \
                 directions: use --deflate no-takeover, or set the server up for it",
            ),
            Self::Subprotocol(name) => write!(
                f,
                "the server did not agree to the subprotocol {name:?}, which was asked for with \
                 --subprotocol"
            ),
            Self::DeflateWindow(bits) => write!(
                f,
                "the server wants messages compressed in a window of {bits} bits, smaller than \
                 these messages need: use a smaller --size, or leave out --deflate"
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
            Self::Changed { number } => write!(
                f,
                "publication {number} was delivered with another payload than it was published with"
            ),
            Self::Marker => f.write_str("the marker of a delivery was changed on its way"),
            Self::Unpublished => f.write_str("something was delivered that was not published"),
            Self::Topic {
                subscribed,
                delivered,
            } => write!(
                f,
                "a subscriber of topic {subscribed} was delivered a publication of topic \
                 {delivered}: does --on-subscribe name {{topic}}?"
            ),
            Self::Unread { bytes } => write!(
                f,
                "the server does not read: {bytes} bytes wait to be sent; use a lower --rate"
            ),
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

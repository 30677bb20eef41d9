//! The two ways to write the same words.

use std::borrow::Cow;

use crate::MessageKind;

use super::binary;
use super::code::ErrorCode;
use super::command::Request;
use super::json;
use super::push::Push;
use super::reply::Reply;

/// A way to write commands, replies and pushes into WebSocket messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// JSON in text messages.
    Json,
    /// Records in binary messages: `op: u8, len: varint, body`.
    Binary,
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerWord<'a> {
    /// The answer to the command with this `id`.
    Reply(u64, Reply<'a>),
    /// Anything else.
    Push(Push<'a>),
}

/// The commands of one message from a client. It ends behind a [`Malformed`] whose extent is the
/// message.
#[derive(Debug, Clone)]
pub struct Requests<'a>(Pieces<'a>);

/// Where reading a message from a client was left: a place between two commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestsPlace(usize);

/// The replies and pushes of one message from a server. It ends behind a [`Malformed`] whose
/// extent is the message.
#[derive(Debug, Clone)]
pub struct ServerWords<'a>(Pieces<'a>);

/// The words of a message, one behind the other.
#[derive(Debug, Clone)]
enum Pieces<'a> {
    Json(json::Pieces<'a>),
    Binary(binary::Records<'a>),
}

/// A command, or a whole message, that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The `id`, where it could be read: then the error is the reply to it.
    pub id: Option<u64>,
    /// [`ErrorCode::BadRequest`] for a command; [`ErrorCode::Unsupported`] for one that asks for
    /// what this version does not have.
    pub code: ErrorCode,
    /// What is wrong, where, and what would be right.
    pub text: Cow<'static, str>,
    /// Whether the rest of the message can be read.
    pub extent: Extent,
}

/// How much of a message is lost by what cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// One command; those behind it can be read.
    Command,
    /// All that follows: the message is not in this dialect.
    Message,
}

impl Dialect {
    /// Both, the one for people first.
    pub const ALL: [Self; 2] = [Self::Json, Self::Binary];

    /// The name of the WebSocket subprotocol.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "corewire.v1.json",
            Self::Binary => "corewire.v1.bin",
        }
    }

    /// The dialect with this subprotocol's name.
    #[must_use]
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|dialect| dialect.subprotocol() == name)
    }

    /// The kind of its WebSocket messages.
    #[must_use]
    pub const fn kind(self) -> MessageKind {
        match self {
            Self::Json => MessageKind::Text,
            Self::Binary => MessageKind::Binary,
        }
    }

    /// Reads a message from a client.
    #[must_use]
    pub fn requests(self, message: &[u8]) -> Requests<'_> {
        Requests(self.pieces(message))
    }

    /// Reads a message from a client on, from [where](Requests::place) reading it was left: the same
    /// commands and errors come as if it had not been.
    #[must_use]
    pub fn requests_from(self, message: &[u8], place: RequestsPlace) -> Requests<'_> {
        Requests(match self {
            Self::Json => Pieces::Json(json::Pieces::from(message, place.0)),
            Self::Binary => Pieces::Binary(binary::Records::from(message, place.0)),
        })
    }

    /// Reads a message from a server.
    #[must_use]
    pub fn server_words(self, message: &[u8]) -> ServerWords<'_> {
        ServerWords(self.pieces(message))
    }

    /// Appends a message with one command.
    pub fn write_request(self, request: &Request<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write_request(request, out),
            Self::Binary => binary::write_request(request, out),
        }
    }

    /// Appends a message with the reply to the command with this `id`, from 1.
    pub fn write_reply(self, id: u64, reply: &Reply<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write_reply(id, reply, out),
            Self::Binary => binary::write_reply(id, reply, out),
        }
    }

    /// Appends a message with one push.
    pub fn write_push(self, push: &Push<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write_push(push, out),
            Self::Binary => binary::write_push(push, out),
        }
    }
}

impl Dialect {
    const fn pieces(self, message: &[u8]) -> Pieces<'_> {
        match self {
            Self::Json => Pieces::Json(json::Pieces::new(message)),
            Self::Binary => Pieces::Binary(binary::Records::new(message)),
        }
    }
}

impl Requests<'_> {
    /// Where reading stands, to go on later and elsewhere: with the same bytes, and with nothing that
    /// borrows from these.
    #[must_use]
    pub fn place(&self) -> RequestsPlace {
        RequestsPlace(match &self.0 {
            Pieces::Json(pieces) => pieces.place(),
            Pieces::Binary(records) => records.place(),
        })
    }
}

impl<'a> Iterator for Requests<'a> {
    type Item = Result<Request<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Pieces::Json(pieces) => pieces.next_request(),
            Pieces::Binary(records) => records.next(binary::read_request),
        }
    }
}

impl<'a> Iterator for ServerWords<'a> {
    type Item = Result<ServerWord<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Pieces::Json(pieces) => pieces.next_server_word(),
            Pieces::Binary(records) => records.next(binary::read_server_word),
        }
    }
}

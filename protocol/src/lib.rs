//! The WebSocket protocol without I/O: RFC 6455 and RFC 7692 for both roles.
#![forbid(unsafe_code)]

pub mod close;
pub mod deflate;
pub mod error;
pub mod frame;
pub mod handshake;
mod limits;
pub mod message;
mod tick;
pub mod utf8;
pub mod websocket;

pub use close::{CloseCode, CloseFrame};
pub use error::Error;
pub use limits::Limits;
pub use message::{MessageKind, Payload, PreparedMessage};
pub use tick::Tick;
pub use websocket::{Env, Event, Flow, MaskKeys, NotOpen, Output, Scratch, State, WebSocket};

/// Which end of the connection we are. Clients mask what they send, servers do not
/// (RFC 6455, 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// We opened the connection.
    Client,
    /// We accepted it.
    Server,
}

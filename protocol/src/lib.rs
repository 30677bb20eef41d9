//! The WebSocket protocol without I/O: RFC 6455 and RFC 7692 for both roles.
//!
//! Bytes in, events out, bytes out. There is no socket, clock, thread or random source in here:
//! the *driver* has them, and lends what a call needs. A driver
//!
//! 1. reads an HTTP head with [`handshake`], answers or checks it, and makes a [`WebSocket`] with
//!    what was agreed upon. Bytes behind the head are frames already;
//! 2. hands what it reads to [`WebSocket::next_event`] until there is no further event. Messages
//!    are whole, inflated and valid UTF-8; where they can, they borrow from the buffer that was
//!    read into. Pings and Close frames are answered by the time it learns of them;
//! 3. sends with [`WebSocket::send`] and its siblings, which append to a buffer of the driver's;
//! 4. writes that buffer to the socket, all of it, in order, and then asks for the pong that had
//!    to wait ([`WebSocket::send_late_pong`]);
//! 5. calls [`WebSocket::timeout`] when [`WebSocket::deadline`] has come;
//! 6. ends the connection when the [`State`] is closed or failed and the buffer is written: a
//!    server at once, a client when the server has (RFC 6455, 7.1.1).
//!
//! # What can be relied upon
//!
//! - However the input is cut, the events, the output and the errors are the same.
//! - A broken rule is told at the header, or at the byte of text, that breaks it, without waiting
//!   for the rest. A Close frame in the output names it, and from then on every call answers with
//!   the same [`Error`].
//! - What a peer sends never panics, and costs memory only as it comes, within [`Limits`].
//! - A connection between two messages owns no heap memory, unless context takeover was agreed
//!   upon. Compression contexts and scratch buffers are shared by all connections of a core.
//!
//! # Example
//!
//! A server's connection that echoes:
//!
//! ```
//! use corewire_protocol::deflate::{Codec, DEFLATE_LEVEL, InflateBudget};
//! use corewire_protocol::{
//!     Env, Event, Flow, Limits, MaskKeys, Output, Role, Scratch, Tick, WebSocket,
//! };
//!
//! // One of each for all connections of a core.
//! let limits = Limits::default();
//! let budget = InflateBudget::new(InflateBudget::DEFAULT_BYTES);
//! let mut codec = Codec::new(DEFLATE_LEVEL, budget);
//! let mut scratch = Scratch::default();
//!
//! // For each connection. `None`: no compression was agreed upon.
//! let mut now = Tick(0);
//! let mut websocket = WebSocket::new(Role::Server, None, now, &limits);
//! let mut out = Vec::new();
//!
//! // For each read.
//! let mut received = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
//! now = now.after(20);
//! websocket.heard(now);
//! let mut env = Env {
//!     now,
//!     limits: &limits,
//!     codec: &mut codec,
//!     deflate_min_bytes: 128,
//!     scratch: &mut scratch,
//!     mask_keys: MaskKeys::None,
//! };
//! let mut input = &mut received[..];
//! loop {
//!     let mut output = Output { bytes: &mut out, flow: Flow::Open };
//!     match websocket.next_event(&mut input, &mut env, &mut output) {
//!         Ok(Some(Event::Message(kind, payload))) => {
//!             websocket.send(kind, &payload, &mut env, &mut out)?;
//!         }
//!         Ok(Some(Event::Ping(_) | Event::Pong(_) | Event::Close { .. })) => {}
//!         Ok(None) => break,
//!         Err(broken) => {
//!             eprintln!("{broken}");
//!             break;
//!         }
//!     }
//! }
//!
//! // Now `out` goes to the socket.
//! assert_eq!(out, b"\x81\x05Hello");
//! # Ok::<(), corewire_protocol::NotOpen>(())
//! ```
#![forbid(unsafe_code)]

pub mod close;
pub mod deflate;
pub mod error;
pub mod frame;
pub mod handshake;
mod limits;
pub mod message;
pub mod native;
mod tick;
pub mod utf8;
pub mod websocket;

pub use close::{CloseCode, CloseFrame};
pub use error::Error;
pub use limits::Limits;
pub use message::{MessageKind, Payload, PreparedMessage, PreparedRun, Takes};
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

/// The examples of the README are tested, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! What a peer has said, one event at a time.

use crate::close::CloseCode;
use crate::message::{MessageKind, Payload};

/// One thing that the peer sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message: all its fragments, inflated, text checked to be UTF-8.
    Message(MessageKind, Payload<'a>),
    /// A ping. It is answered already, or will be by
    /// [`WebSocket::send_late_pong`](super::WebSocket::send_late_pong), unless a Close frame of
    /// ours is out.
    Ping(Payload<'a>),
    /// A pong, asked for or not.
    Pong(Payload<'a>),
    /// The peer closes. It is answered already; the connection is to be ended once the output has
    /// left: by a server at once, by a client when the server has (RFC 6455, 7.1.1).
    Close {
        /// The peer's code, `None` if it gave none.
        code: Option<CloseCode>,
        /// The peer's reason, for logs.
        reason: String,
    },
}

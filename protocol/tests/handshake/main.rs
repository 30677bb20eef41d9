//! The opening handshake: HTTP/1.1 heads by RFC 9112, then RFC 6455, section 4, for both roles.
//! The negotiation of permessage-deflate is in `negotiation.rs`.
#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod client;
mod head;
mod interop;
mod origin;
mod server;
mod support;

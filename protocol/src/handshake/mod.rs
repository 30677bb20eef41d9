//! The opening handshake (RFC 6455, section 4), for both roles.
//!
//! [`HeadScanner`] finds the end of an HTTP/1.1 head in bytes that arrive in any pieces, within
//! [`Limits`](crate::Limits). [`RequestHead`] and [`ResponseHead`] read a complete head once.
//! [`upgrade`] decides whether a request becomes a WebSocket and writes the answer;
//! [`ClientRequest`] asks for one and [`ClientHandshake`] checks the answer. Nothing here
//! allocates for a request, nothing trusts a byte of it, and every rule has its own error.
//!
//! Bytes after a head belong to whatever the head led to: frames after a 101, a body or the next
//! request otherwise. After a [`HeadError`] or a [`Refusal`] they are nothing at all, and the
//! connection closes once the answer is out.
#![warn(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod authority;
mod client;
mod extensions;
mod extra_headers;
mod head;
mod head_error;
mod headers;
mod key;
mod origin;
mod scanner;
mod server;

pub use authority::Authority;
pub use client::{ClientHandshake, ClientRequest, Established, RequestError, ResponseError};
pub use extensions::{Extension, Extensions, ExtensionsMalformed, Param, Params, Value};
pub use extra_headers::{ExtraHeaderError, ExtraHeaders};
pub use head::{Body, HeaderSpace, RequestHead, ResponseHead, Version};
pub use head_error::HeadError;
pub use headers::{Headers, Single};
pub use origin::{Origin, OriginError, OriginPattern, OriginPatternError, OriginPolicy};
pub use scanner::{HeadBytes, HeadScanner};
pub use server::{Refusal, SubprotocolNotOffered, Upgrade, UpgradeOptions, upgrade, wants_upgrade};

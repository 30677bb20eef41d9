//! One core's connections, without system calls.
//!
//! [`Shard`] is a machine that a driver turns: it is told what has happened (accepted, readable,
//! writable, mail, time) and asked for the next [`Step`] until that is to wait. Everything that a
//! peer can do to a server is decided here, so a test can do it to a shard with no socket at all.
//!
//! ```text
//!   driver                      Shard                                    application
//!     │ readable(conn)            │                                           │
//!     │ next_step() ─────────────▶│                                           │
//!     │◀──── Step::Read(buffer) ──│                                           │
//!     │ did_read(n) ─────────────▶│ http / protocol::WebSocket                │
//!     │                           │ ── Handler::message(session, message) ───▶│
//!     │                           │◀── Context::reply, Effects::ready, … ─────│
//!     │ next_step() ─────────────▶│                                           │
//!     │◀──── Step::Write(output) ─│                                           │
//! ```

mod commons;
mod conn;
mod conn_table;
mod context;
mod http;
mod message;
mod open;
mod options;
mod outbound;
mod response;
mod service;
mod shard;
mod turn;

pub use conn::CloseHow;
pub use context::{Context, Effects};
pub use corewire_protocol::Tick;
pub use http::{Request, UpgradeRequest};
pub use message::Message;
pub use options::{Options, OutboundLimits};
pub use outbound::{Outbound, SLICES_MAX};
pub use response::Response;
pub use service::{Core, End, Fill, Handler, Service};
pub use shard::{Accepted, NearEnd, Now, ReadInto, ReadResult, Shard, Shared, Step, WriteResult};

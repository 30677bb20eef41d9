//! A low-latency WebSocket server: one event loop per core, no locks between a socket and your code.
//!
//! The paved path is five names. A [`Service`] makes one [`Handler`] for each core; a handler gets
//! a [`Message`] and answers through its [`Context`]; [`Server`] runs it all.
//!
//! ```no_run
//! use corewire::{Context, Core, Handler, Message, Response, Server, Service, UpgradeRequest};
//!
//! struct Shout;
//!
//! impl Service for Shout {
//!     type Handler = Self;
//!
//!     fn handler(&self, _core: &Core) -> Self {
//!         Self
//!     }
//! }
//!
//! impl Handler for Shout {
//!     /// Kept for each connection.
//!     type Session = u64;
//!     /// Sent between cores.
//!     type Mail = ();
//!
//!     fn upgrade(&mut self, request: &mut UpgradeRequest<'_>) -> Result<u64, Response> {
//!         match request.path() {
//!             "/shout" => Ok(0),
//!             _ => Err(Response::not_found()),
//!         }
//!     }
//!
//!     fn message(&mut self, count: &mut u64, message: Message<'_>, context: &mut Context<'_, ()>) {
//!         *count += 1;
//!         if let Some(text) = message.as_text() {
//!             let _ = context.text(&format!("{count}: {}", text.to_uppercase()));
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! Server::new(Shout).listen("127.0.0.1:9001".parse()?).run()?;
//! # Ok(())
//! # }
//! ```
//!
//! The feature `cli`, on by default, is for the binary: command line, configuration file, load generator.
//! A program of your own wants `default-features = false`, and the feature `messaging` if it is to
//! serve topics.
//!
//! What lies below can be used by itself: [`engine::Shard`] is one core's connections without a
//! system call, [`protocol`] the WebSocket protocol without I/O.

#[cfg(feature = "cli")]
pub mod bench;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod config;
pub mod engine;
#[cfg(feature = "messaging")]
mod hash;
pub mod ids;
mod mailbox;
#[cfg(feature = "messaging")]
pub mod messaging;
pub mod metrics;
mod runtime;
pub mod server;
mod sync;
mod timers;

pub use corewire_protocol as protocol;
pub use engine::{
    Context, Core, Effects, End, Fill, Handler, Message, Request, Response, Service, UpgradeRequest,
};
pub use ids::{ConnId, CoreId};
pub use server::Server;

/// Parts that the benches measure by themselves. Not for use: they change with the engine.
#[doc(hidden)]
pub mod bench_parts {
    pub use crate::mailbox::{Full, Mailbox, Wake, mailboxes};
}

/// The README's examples are compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! corewire: a low-latency WebSocket edge server.

pub mod bench;
pub mod cli;
pub mod config;
pub mod engine;
pub mod ids;
mod mailbox;
pub mod metrics;
mod runtime;
pub mod server;
mod timers;

pub use corewire_protocol as protocol;
pub use engine::{
    Context, Core, Effects, End, Fill, Handler, Message, Request, Response, Service, UpgradeRequest,
};
pub use ids::{ConnId, CoreId};
pub use server::Server;

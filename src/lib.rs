//! corewire: a low-latency WebSocket edge server.

pub mod engine;
pub mod ids;
mod mailbox;
pub mod metrics;
mod timers;

pub use corewire_protocol as protocol;

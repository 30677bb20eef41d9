//! corewire: a low-latency WebSocket edge server.

pub use corewire_protocol as protocol;

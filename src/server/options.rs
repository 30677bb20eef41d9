//! What steers a whole server.

use std::net::SocketAddr;

use crate::engine;

/// The settings of a server. [`Options::default`] is what `corewire serve` starts from.
#[derive(Debug, Clone)]
pub struct Options {
    /// Addresses to listen on, each by every core. With port 0 the system chooses the port.
    pub listen: Vec<SocketAddr>,
    /// Event loops, one thread each. `None`: as many as the machine has cores for this process.
    pub cores: Option<usize>,
    /// Connections that the kernel completes and queues before they are accepted, per core.
    pub backlog: u32,
    /// Bytes that the inflated messages of all connections together may hold while they are not
    /// finished.
    pub inflate_budget_bytes: usize,
    /// Microseconds that an event loop goes on looking for events before it sleeps, while they come
    /// in quick succession. It answers sooner and takes its processor whole while it does; 0 is
    /// never.
    pub spin_us: u32,
    /// Milliseconds that connections have to end after the server was told to stop.
    pub shutdown_timeout_ms: u32,
    /// What steers each core.
    pub engine: engine::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 9001))],
            cores: None,
            backlog: 4096,
            inflate_budget_bytes: 64 << 20,
            spin_us: 0,
            shutdown_timeout_ms: 10_000,
            engine: engine::Options::default(),
        }
    }
}

//! What steers one core's connections: every bound and deadline of the engine.

use corewire_protocol::Limits;
use corewire_protocol::deflate::{DeflateConfig, Encoder};
use corewire_protocol::handshake::OriginPolicy;

/// The settings of an engine, equal on every core of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// What a peer may send.
    pub limits: Limits,
    /// Compression: `None` declines every offer.
    pub deflate: Option<DeflateConfig>,
    /// Who compresses: zlib-rs or our own encoder. Every client inflates both.
    pub deflate_codec: Encoder,
    /// Which pages may open a WebSocket.
    pub origins: OriginPolicy,
    /// What may wait to be sent.
    pub outbound: OutboundLimits,
    /// Milliseconds from accept to the end of the first request's head, never extended; a further
    /// request of a kept connection has as many from its first byte.
    pub request_timeout_ms: u32,
    /// Milliseconds that a kept HTTP connection may be idle between two requests.
    pub http_idle_timeout_ms: u32,
    /// Bytes that are read and thrown away after our side of a connection has ended, so that the
    /// peer sees our last words and no reset.
    pub linger_bytes: u32,
    /// Connections of the whole process. One more is answered with 503. A server lowers it to nine
    /// tenths of the descriptors that the process may open.
    pub connections_max: usize,
    /// Bytes of the receive buffer of a core, which also bound one read.
    pub receive_buffer_bytes: usize,
    /// Bytes of buffers that a core keeps from large messages for the next ones.
    pub pool_bytes: usize,
    /// The work of one connection's turn: bytes read, bytes inflated, 256 a frame, and what its
    /// handler [says](super::Context::did_work). What is left is done after the other connections
    /// had theirs.
    pub turn_work: usize,
    /// Connections accepted in one turn.
    pub accepts_per_turn: usize,
}

/// What may wait for one peer to take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundLimits {
    /// A connection is read, and filled, while no more than this many bytes wait from earlier
    /// turns.
    pub low_bytes: usize,
    /// A turn ends when more than this many wait: no further frame of the same read is handled.
    pub high_bytes: usize,
    /// A message that is appended while more than this many bytes wait closes the connection with
    /// 1013. So one message of the largest size always fits, and a connection never holds more
    /// than this and one encoded message.
    pub cap_bytes: usize,
    /// Milliseconds in which a connection that ends must take what is queued for it, after which
    /// it is reset, however steadily it takes some.
    pub flush_timeout_ms: u32,
    /// Milliseconds in which the peer took no byte while some waited, after which the connection
    /// is reset.
    pub stall_timeout_ms: u32,
}

impl Default for OutboundLimits {
    fn default() -> Self {
        Self {
            low_bytes: 64 << 10,
            high_bytes: 256 << 10,
            cap_bytes: 1 << 20,
            flush_timeout_ms: 30_000,
            stall_timeout_ms: 10_000,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            deflate: Some(DeflateConfig::default()),
            deflate_codec: Encoder::default(),
            origins: OriginPolicy::SameOrigin,
            outbound: OutboundLimits::default(),
            request_timeout_ms: 10_000,
            http_idle_timeout_ms: 30_000,
            linger_bytes: 64 << 10,
            connections_max: 10_000_000,
            receive_buffer_bytes: 64 << 10,
            pool_bytes: 16 << 20,
            turn_work: 256 << 10,
            accepts_per_turn: 64,
        }
    }
}

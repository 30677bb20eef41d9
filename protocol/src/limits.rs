//! Every bound that a peer can meet in the protocol layer, in one struct.

/// Bounds on what a peer may send. Every bound counts what costs us something: bytes, lines,
/// headers, empty fragments.
///
/// The defaults suit an edge server that faces the open internet. [`Limits::default`] is what
/// `corewire serve` starts from; `corewire check` prints what is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one HTTP head, from the first byte of the request or status line to the empty
    /// line that ends it. More is answered with 431.
    pub head_bytes: usize,
    /// Bytes of one line of a head. A longer request line is answered with 414, a longer header
    /// line with 431.
    pub head_line_bytes: usize,
    /// Header lines of one head, at most [`Limits::HEADER_COUNT_CEILING`]. More is a 431.
    pub header_count: usize,
    /// Bytes of one message after inflating, summed over its fragments; also of one frame, except
    /// that compressed data may be a little longer than what it stands for. More closes with 1009.
    pub message_bytes: usize,
    /// Empty fragments of one message that do not end it. Other fragments cost their bytes, so
    /// only empty ones are counted. More closes with 1008.
    pub empty_fragments: u32,
    /// How many bytes one compressed byte may become, once a message has grown past
    /// [`inflate_ratio_floor_bytes`](Self::inflate_ratio_floor_bytes). More closes with 1009.
    pub inflate_ratio: u32,
    /// Inflated bytes of a message up to which the ratio is not looked at.
    pub inflate_ratio_floor_bytes: usize,
    /// Pings and pongs that a peer may send at once and still have each ping answered.
    pub control_burst: u32,
    /// Pings and pongs a second after the burst. Above it, one ping a turn is answered, the
    /// newest; the connection is never closed for it.
    pub control_per_second: u32,
    /// Milliseconds without a byte from the peer after which a ping is sent. 0 sends none.
    pub ping_interval_ms: u32,
    /// Milliseconds after that ping within which a byte must arrive from the peer.
    pub pong_timeout_ms: u32,
    /// Milliseconds without a message in either direction after which the connection is closed
    /// with 1001. 0 keeps it for ever.
    pub idle_timeout_ms: u32,
    /// Milliseconds in which a message that came in pieces must be whole, and one more for each of
    /// its bytes that has come: it must arrive at 1,000 bytes a second at least. 0 waits for ever.
    /// Later closes with 1008, since an unfinished message holds memory that others need.
    pub message_timeout_ms: u32,
    /// Milliseconds in which the peer must answer our Close frame and end the connection.
    pub close_timeout_ms: u32,
}

impl Limits {
    /// The largest [`header_count`](Self::header_count): httparse needs an array of fixed size.
    pub const HEADER_COUNT_CEILING: usize = 256;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 16 << 10,
            head_line_bytes: 8 << 10,
            header_count: 100,
            message_bytes: 1 << 20,
            empty_fragments: 1024,
            inflate_ratio: 100,
            inflate_ratio_floor_bytes: 64 << 10,
            control_burst: 100,
            control_per_second: 50,
            ping_interval_ms: 25_000,
            pong_timeout_ms: 10_000,
            idle_timeout_ms: 0,
            message_timeout_ms: 30_000,
            close_timeout_ms: 5_000,
        }
    }
}

//! What permessage-deflate was agreed upon (RFC 7692, 7.1).

/// One direction of an agreed permessage-deflate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// Whether the sender may refer to earlier messages.
    pub takeover: Takeover,
    /// The base-2 logarithm of the sender's window, 9 to 15.
    pub window_bits: u8,
}

/// Whether the compressor keeps its window from one message to the next (RFC 7692, 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// Every message is compressed alone.
    No,
    /// A message may refer to those before it.
    Yes,
}

/// What both ends agreed upon, seen from ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// What the peer compresses and we inflate.
    pub inbound: Direction,
    /// What we compress and the peer inflates.
    pub outbound: Direction,
}

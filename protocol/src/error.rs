//! One variant per broken rule of frames, messages and compression.

use std::fmt;

use crate::close::CloseCode;

/// What a peer did that ends its connection. Each variant is one rule; [`Error::close_code`] is
/// the code that our Close frame then carries, [`Error::section`] where the rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// A reserved bit is set that no extension has given a meaning.
    ReservedBits,
    /// The opcode is 3 to 7 or 11 to 15.
    ReservedOpcode(u8),
    /// A client's frame is not masked.
    MaskMissing,
    /// A server's frame is masked.
    MaskUnexpected,
    /// The payload length is not in its shortest form.
    LengthNotMinimal,
    /// The top bit of a 64-bit payload length is set.
    LengthTopBit,
    /// A control frame has more than 125 bytes.
    ControlTooLong,
    /// A control frame is fragmented.
    ControlFragmented,
    /// A continuation frame comes where no message has begun.
    ContinuationUnexpected,
    /// A new message begins before the one in progress has ended.
    ContinuationExpected,
    /// A message is larger than [`Limits::message_bytes`](crate::Limits::message_bytes).
    MessageTooLarge,
    /// A message is larger than the application takes for now, which is less than that: see
    /// [`WebSocket::limit_messages`](crate::WebSocket::limit_messages).
    MessageTooLargeForNow,
    /// A message has more empty fragments than
    /// [`Limits::empty_fragments`](crate::Limits::empty_fragments).
    EmptyFragments,
    /// A text message is not UTF-8.
    TextNotUtf8,
    /// A Close frame has a body of one byte.
    CloseBodyTooShort,
    /// A Close frame has a code that may not be sent.
    CloseCodeInvalid(CloseCode),
    /// The reason in a Close frame is not UTF-8.
    CloseReasonNotUtf8,
    /// A compressed message is not a deflate stream.
    DeflateCorrupt,
    /// A compressed message grows by more than
    /// [`Limits::inflate_ratio`](crate::Limits::inflate_ratio).
    InflateRatio,
    /// All connections together hold as many inflated bytes as the process allows.
    InflateBudget,
    /// A message was not whole within
    /// [`Limits::message_timeout_ms`](crate::Limits::message_timeout_ms).
    MessageTimeout,
    /// No byte came from the peer within the pong timeout.
    PongTimeout,
}

impl Error {
    /// The status code of the Close frame that fails the connection (RFC 6455, 7.4.1).
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::MaskMissing
            | Self::MaskUnexpected
            | Self::LengthNotMinimal
            | Self::LengthTopBit
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::ContinuationUnexpected
            | Self::ContinuationExpected
            | Self::CloseBodyTooShort
            | Self::CloseCodeInvalid(_) => CloseCode::PROTOCOL_ERROR,
            Self::TextNotUtf8 | Self::CloseReasonNotUtf8 | Self::DeflateCorrupt => {
                CloseCode::INVALID_PAYLOAD
            }
            Self::MessageTooLarge | Self::MessageTooLargeForNow | Self::InflateRatio => {
                CloseCode::TOO_LARGE
            }
            Self::EmptyFragments | Self::MessageTimeout => CloseCode::POLICY_VIOLATION,
            Self::InflateBudget => CloseCode::TRY_AGAIN_LATER,
            Self::PongTimeout => CloseCode::GOING_AWAY,
        }
    }

    /// Where the rule stands: the RFC and its section, or the limit's name.
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::LengthNotMinimal
            | Self::LengthTopBit => "RFC 6455, 5.2",
            Self::MaskMissing | Self::MaskUnexpected => "RFC 6455, 5.1",
            Self::ControlTooLong | Self::ControlFragmented => "RFC 6455, 5.5",
            Self::ContinuationUnexpected | Self::ContinuationExpected => "RFC 6455, 5.4",
            Self::MessageTooLarge => "RFC 6455, 10.4: message_bytes",
            Self::MessageTooLargeForNow => "RFC 6455, 10.4: limit_messages",
            Self::EmptyFragments => "RFC 6455, 10.4: empty_fragments",
            Self::TextNotUtf8 | Self::CloseReasonNotUtf8 => "RFC 6455, 8.1",
            Self::CloseBodyTooShort => "RFC 6455, 5.5.1",
            Self::CloseCodeInvalid(_) => "RFC 6455, 7.4",
            Self::DeflateCorrupt => "RFC 7692, 7.2.2",
            Self::InflateRatio => "RFC 6455, 10.4: inflate_ratio",
            Self::InflateBudget => "RFC 6455, 10.4: inflate_budget_bytes",
            Self::MessageTimeout => "RFC 6455, 10.4: message_timeout_ms",
            Self::PongTimeout => "RFC 6455, 5.5.2: pong_timeout_ms",
        }
    }

    /// What was broken, in words that fit the reason of a Close frame.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bit set",
            Self::ReservedOpcode(_) => "reserved opcode",
            Self::MaskMissing => "frame not masked",
            Self::MaskUnexpected => "frame masked",
            Self::LengthNotMinimal => "payload length not in its shortest form",
            Self::LengthTopBit => "payload length with the top bit set",
            Self::ControlTooLong => "control frame over 125 bytes",
            Self::ControlFragmented => "control frame fragmented",
            Self::ContinuationUnexpected => "continuation without a message",
            Self::ContinuationExpected => "new message inside a fragmented one",
            Self::MessageTooLarge => "message too large (message_bytes)",
            Self::MessageTooLargeForNow => "message too large for this stage of the connection",
            Self::EmptyFragments => "too many empty fragments",
            Self::TextNotUtf8 => "text is not UTF-8",
            Self::CloseBodyTooShort => "close body of one byte",
            Self::CloseCodeInvalid(_) => "invalid close code",
            Self::CloseReasonNotUtf8 => "close reason is not UTF-8",
            Self::DeflateCorrupt => "compressed data corrupt",
            Self::InflateRatio => "compressed data expands too far (inflate_ratio)",
            Self::InflateBudget => "out of memory for compressed messages, try again later",
            Self::MessageTimeout => "message takes too long",
            Self::PongTimeout => "no answer to ping",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())?;
        match self {
            Self::ReservedOpcode(opcode) => write!(f, " {opcode:#x}")?,
            Self::CloseCodeInvalid(code) => write!(f, " {code}")?,
            Self::ReservedBits
            | Self::MaskMissing
            | Self::MaskUnexpected
            | Self::LengthNotMinimal
            | Self::LengthTopBit
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::ContinuationUnexpected
            | Self::ContinuationExpected
            | Self::MessageTooLarge
            | Self::MessageTooLargeForNow
            | Self::EmptyFragments
            | Self::TextNotUtf8
            | Self::CloseBodyTooShort
            | Self::CloseReasonNotUtf8
            | Self::DeflateCorrupt
            | Self::InflateRatio
            | Self::InflateBudget
            | Self::MessageTimeout
            | Self::PongTimeout => {}
        }
        write!(f, " ({})", self.section())
    }
}

impl std::error::Error for Error {}

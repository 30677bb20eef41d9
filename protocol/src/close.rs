//! Close codes and the body of a Close frame (RFC 6455, 5.5.1 and 7.4).

use std::fmt;

use crate::error::Error;

/// A status code of a Close frame (RFC 6455, 7.4).
///
/// Any number can be held; [`CloseCode::may_be_sent`] says whether it may stand on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose of the connection has been fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The endpoint goes away: a server shuts down, a page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke a rule of the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The peer sent a kind of data that this endpoint does not take.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Never sent: stands for a Close frame without a code.
    pub const NO_STATUS: Self = Self(1005);
    /// Never sent: stands for a connection that ended without a Close frame.
    pub const ABNORMAL: Self = Self(1006);
    /// A message holds data that does not fit its type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The peer broke a rule of this endpoint that no other code names.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// A message is larger than this endpoint takes.
    pub const TOO_LARGE: Self = Self(1009);
    /// A client misses an extension that it needs.
    pub const EXTENSION_MISSING: Self = Self(1010);
    /// The server met a condition that it did not expect.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The server restarts (registered with IANA after the RFC).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// The server is overloaded, or this client reads too slowly: try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// Whether the code may stand in a Close frame: those that the RFC and IANA define for the
    /// wire (1000 to 1003, 1007 to 1014), those of libraries (3000 to 3999) and of applications
    /// (4000 to 4999). RFC 6455, 7.4.1 and 7.4.2.
    #[must_use]
    pub const fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a Close frame says. `code` is `None` when the frame has no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// The status code, `None` for an empty body (reported to applications as 1005).
    pub code: Option<CloseCode>,
    /// The reason, at most 123 bytes, meant for logs and not for people.
    pub reason: &'a str,
}

/// Bytes that a reason may have: 125 of a control frame less 2 for the code.
pub const REASON_BYTES_MAX: usize = 123;

impl<'a> CloseFrame<'a> {
    /// Reads the unmasked body of a Close frame.
    ///
    /// # Errors
    ///
    /// [`Error::CloseBodyTooShort`] for one byte, [`Error::CloseCodeInvalid`] for a code that may
    /// not be sent, [`Error::CloseReasonNotUtf8`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let (code, reason) = match body {
            [] => {
                return Ok(Self {
                    code: None,
                    reason: "",
                });
            }
            [_] => return Err(Error::CloseBodyTooShort),
            [high, low, reason @ ..] => (CloseCode(u16::from_be_bytes([*high, *low])), reason),
        };
        if !code.may_be_sent() {
            return Err(Error::CloseCodeInvalid(code));
        }
        let reason = simdutf8::basic::from_utf8(reason).map_err(|_| Error::CloseReasonNotUtf8)?;
        Ok(Self {
            code: Some(code),
            reason,
        })
    }
}

/// Cuts a reason to what a Close frame can carry, at a character's border.
#[must_use]
pub fn fit_reason(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

//! Headers that the application adds to a handshake.

use std::fmt;

use super::headers::token;

/// Header lines of the application's own, ready for the wire. What could end a line or change
/// the handshake is refused when it is added, so writing them needs no check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtraHeaders(Vec<u8>);

/// Why a header cannot be added. The fault is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtraHeaderError {
    /// The name is not a token (RFC 9110, 5.1).
    Name,
    /// The name is one that the handshake itself decides upon.
    Reserved,
    /// The value has CR, LF, NUL or another control byte (RFC 9110, 5.5).
    Value,
}

impl ExtraHeaders {
    /// No headers.
    pub const NONE: &'static Self = &Self(Vec::new());

    /// Adds a line.
    ///
    /// # Errors
    ///
    /// Why it may not be added; then nothing is.
    pub fn add(&mut self, name: &str, value: &[u8]) -> Result<(), ExtraHeaderError> {
        if token(name.as_bytes()).is_none() {
            return Err(ExtraHeaderError::Name);
        }
        if is_reserved(name) {
            return Err(ExtraHeaderError::Reserved);
        }
        if value
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            return Err(ExtraHeaderError::Value);
        }
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.0.extend_from_slice(part);
        }
        Ok(())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Whether the handshake writes this header itself, or must not have it: a 101 and an upgrade
/// have no body.
fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 5] = [
        "connection",
        "content-length",
        "host",
        "transfer-encoding",
        "upgrade",
    ];
    const PREFIX: &str = "sec-websocket-";
    NAMES
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(name))
        || name
            .get(..PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

impl fmt::Display for ExtraHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a header's name must be a token, such as `X-Request-Id`",
            Self::Reserved => "this header belongs to the handshake and cannot be set",
            Self::Value => "a header's value may not hold line ends or other control bytes",
        })
    }
}

impl std::error::Error for ExtraHeaderError {}

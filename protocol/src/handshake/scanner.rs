//! Finding the end of an HTTP/1.1 head, however its bytes arrive.

use super::head_error::HeadError;
use crate::limits::Limits;

/// Looks for the empty line that ends a head, and enforces the bounds of [`Limits`] and the line
/// rules of RFC 9112 on the way.
///
/// Each byte is looked at once, however the head is cut into reads, so the work is linear in
/// bytes. What a head may not hold is refused at the byte that breaks the rule, without waiting
/// for the end: a peer that sends for ever is stopped at the limit.
///
/// Lines end with CR LF and nothing else. RFC 9112, 2.2 lets a recipient take LF alone; a server
/// that does, behind a proxy that does not, sees other requests than the proxy saw.
///
/// ```text
///              byte                CR               LF
///   LineStart ------> Line{bytes} ----> LineEnd ---------> LineStart
///       |                                                      ^
///       | CR                  LF, before the first line        |
///       +---> EmptyLineEnd ------------------------------------+
///                   |
///                   | LF, after the first line
///                   v
///               the head is complete
/// ```
#[derive(Debug, Clone)]
pub struct HeadScanner {
    /// Bytes that have been looked at.
    scanned: usize,
    /// Lines that have begun, without empty ones.
    lines: usize,
    place: Place,
    /// What this head has broken. It has no place any more.
    refused: Option<HeadError>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    LineStart,
    Line { bytes: usize },
    LineEnd,
    EmptyLineEnd,
}

/// The bytes of one complete head, from its first byte (or an empty line before it) to the empty
/// line that ends it. Only a [`HeadScanner`] makes one, so its lines end with CR LF, it has no
/// control bytes, and it is within the limits.
#[derive(Debug, Clone, Copy)]
pub struct HeadBytes<'a>(&'a [u8]);

impl<'a> HeadBytes<'a> {
    /// How many bytes the head takes. What follows them is not part of it.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a complete head is never empty"
    )]
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// The bytes themselves.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl HeadScanner {
    /// A scanner at the first byte of a head.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            scanned: 0,
            lines: 0,
            place: Place::LineStart,
            refused: None,
        }
    }

    /// Looks at what is new in `bytes`: all bytes of the head so far, the earlier ones unchanged.
    ///
    /// `None` asks for more. Once the head is complete the scanner stands before the next one:
    /// call it with the bytes that follow [`HeadBytes::len`].
    ///
    /// # Errors
    ///
    /// The rule or limit that the head breaks; then again on every later call.
    pub fn scan<'a>(
        &mut self,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Option<HeadBytes<'a>>, HeadError> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        match self.find_end(bytes, limits) {
            Ok(None) => Ok(None),
            Ok(Some(end)) => {
                *self = Self::new();
                Ok(bytes.get(..end).map(HeadBytes))
            }
            Err(error) => {
                self.refused = Some(error);
                Err(error)
            }
        }
    }

    fn find_end(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, HeadError> {
        while let Some((&first, _)) = bytes.get(self.scanned..).and_then(<[u8]>::split_first) {
            match (self.place, first) {
                (Place::LineStart, b'\r') => {
                    self.place = Place::EmptyLineEnd;
                    self.advance(1, limits)?;
                }
                (Place::LineStart, _) => {
                    self.begin_line(first, limits)?;
                    self.place = Place::Line { bytes: 0 };
                }
                (Place::Line { bytes: before }, b'\r') => {
                    debug_assert!(before > 0, "an empty line goes to EmptyLineEnd");
                    self.place = Place::LineEnd;
                    self.advance(1, limits)?;
                }
                (Place::Line { bytes: before }, _) => {
                    let run = ordinary_run(bytes.get(self.scanned..).unwrap_or_default());
                    if run == 0 {
                        return Err(unexpected(first));
                    }
                    self.extend_line(before, run, limits)?;
                }
                (Place::EmptyLineEnd, b'\n') if self.lines > 0 => {
                    return Ok(self.scanned.checked_add(1));
                }
                (Place::LineEnd | Place::EmptyLineEnd, b'\n') => {
                    self.place = Place::LineStart;
                    self.advance(1, limits)?;
                }
                (Place::LineEnd | Place::EmptyLineEnd, _) => return Err(HeadError::BareCr),
            }
        }
        Ok(None)
    }

    /// Counts a line that begins with `first`.
    fn begin_line(&mut self, first: u8, limits: &Limits) -> Result<(), HeadError> {
        const TLS_HANDSHAKE: u8 = 0x16; // RFC 8446, 5.1: the type of a connection's first record
        if self.scanned == 0 && first == TLS_HANDSHAKE {
            return Err(HeadError::Tls);
        }
        // RFC 9112, 5.2: a continued line is refused, not unfolded.
        if self.lines > 0 && matches!(first, b' ' | b'\t') {
            return Err(HeadError::Folded);
        }
        // The first line is no header, so this line is header number `self.lines`.
        if self.lines > limits.header_count.min(Limits::HEADER_COUNT_CEILING) {
            return Err(HeadError::TooManyHeaders);
        }
        self.lines = self.lines.saturating_add(1);
        Ok(())
    }

    /// Takes `run` more bytes of a line that has `before` of them. Whichever limit comes first
    /// in the bytes is the one that is reported, so that it does not depend on how they are cut.
    fn extend_line(&mut self, before: usize, run: usize, limits: &Limits) -> Result<(), HeadError> {
        let line_room = limits.head_line_bytes.saturating_sub(before);
        let head_room = limits.head_bytes.saturating_sub(self.scanned);
        if run > line_room && line_room < head_room {
            return Err(if self.lines == 1 {
                HeadError::StartLineTooLong
            } else {
                HeadError::HeaderLineTooLong
            });
        }
        self.place = Place::Line {
            bytes: before.saturating_add(run),
        };
        self.advance(run, limits)
    }

    /// Takes `count` bytes that do not complete the head. At the limit there is no room left for
    /// the byte that would.
    fn advance(&mut self, count: usize, limits: &Limits) -> Result<(), HeadError> {
        self.scanned = self.scanned.saturating_add(count);
        if self.scanned >= limits.head_bytes {
            return Err(HeadError::HeadTooLarge);
        }
        Ok(())
    }
}

/// How many bytes at the beginning may stand inside a line.
fn ordinary_run(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| matches!(byte, 0..=0x08 | 0x0a..=0x1f | 0x7f))
        .unwrap_or(bytes.len())
}

/// What a byte breaks that is neither CR nor may stand inside a line.
const fn unexpected(byte: u8) -> HeadError {
    match byte {
        b'\n' => HeadError::BareLf,
        _ => HeadError::ControlByte(byte),
    }
}

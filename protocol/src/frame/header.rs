//! The header of a frame (RFC 6455, 5.2).

use crate::Role;
use crate::error::Error;

use super::CONTROL_BYTES_MAX;

/// Bytes of the longest header: 2, an extended length of 8, a masking key of 4.
pub const HEADER_BYTES_MAX: usize = 14;

/// What a frame carries (RFC 6455, 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum OpCode {
    /// The next fragment of a message.
    Continuation = 0,
    /// A text message or its first fragment.
    Text = 1,
    /// A binary message or its first fragment.
    Binary = 2,
    /// The closing handshake.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping, or is sent unasked.
    Pong = 10,
}

impl OpCode {
    const fn parse(bits: u8) -> Result<Self, Error> {
        Ok(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return Err(Error::ReservedOpcode(bits)),
        })
    }

    /// Close, ping and pong: at most 125 bytes, never fragmented, allowed between fragments.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }
}

/// Which reserved bits an extension has given a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// No extension was agreed upon: all three must be zero.
    AllZero,
    /// permessage-deflate: RSV1 on the first frame of a message says "compressed"
    /// (RFC 7692, 6).
    Rsv1Compressed,
}

/// The header of one frame, checked by itself: what the sequence of frames allows is the
/// business of [`WebSocket`](crate::WebSocket).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether this is the last fragment of its message.
    pub fin: bool,
    /// RSV1: the message is compressed. Only on its first frame.
    pub compressed: bool,
    /// What the frame carries.
    pub opcode: OpCode,
    /// The masking key: `Some` from a client, `None` from a server.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload that follow, below 2^63.
    pub payload_bytes: u64,
}

impl FrameHeader {
    /// Reads the header that stands at the start of `bytes`, sent by the peer of `role`.
    /// Returns it with its own length (2 to 14), or `None` while bytes are missing.
    ///
    /// A broken rule is told at the first byte that breaks it, so however the bytes are cut, the
    /// same error comes.
    ///
    /// # Errors
    ///
    /// [`Error::ReservedBits`], [`Error::ReservedOpcode`], [`Error::ControlFragmented`] in the
    /// first byte; [`Error::MaskMissing`], [`Error::MaskUnexpected`], [`Error::ControlTooLong`]
    /// in the second; [`Error::LengthTopBit`], [`Error::LengthNotMinimal`] in the length.
    #[inline]
    pub fn parse(
        bytes: &[u8],
        role: Role,
        reserved: Reserved,
    ) -> Result<Option<(Self, usize)>, Error> {
        let Some((&first, bytes)) = bytes.split_first() else {
            return Ok(None);
        };
        let (fin, compressed, opcode) = parse_first(first, reserved)?;
        let Some((&second, bytes)) = bytes.split_first() else {
            return Ok(None);
        };
        let masked = second & 0x80 != 0;
        match (role, masked) {
            (Role::Server, false) => return Err(Error::MaskMissing),
            (Role::Client, true) => return Err(Error::MaskUnexpected),
            (Role::Server, true) | (Role::Client, false) => {}
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(Error::ControlTooLong);
        }
        let Some((payload_bytes, length_bytes, bytes)) = parse_length(short, bytes)? else {
            return Ok(None);
        };
        let (mask, mask_bytes) = if masked {
            let Some(key) = bytes.first_chunk::<4>() else {
                return Ok(None);
            };
            (Some(*key), 4)
        } else {
            (None, 0)
        };
        let header = Self {
            fin,
            compressed,
            opcode,
            mask,
            payload_bytes,
        };
        Ok(Some((
            header,
            2_usize
                .saturating_add(length_bytes)
                .saturating_add(mask_bytes),
        )))
    }

    /// The header as bytes, with the length in its shortest form.
    #[inline]
    #[must_use]
    pub fn encode(&self) -> EncodedHeader {
        let first = u8::from(self.fin) << 7 | u8::from(self.compressed) << 6 | self.opcode as u8;
        let masked = u8::from(self.mask.is_some()) << 7;
        let mut encoded = EncodedHeader {
            bytes: [0; HEADER_BYTES_MAX],
            len: 0,
        };
        if let Ok(short @ 0..=125) = u8::try_from(self.payload_bytes) {
            encoded.push([first, masked | short]);
        } else if let Ok(medium) = u16::try_from(self.payload_bytes) {
            encoded.push([first, masked | 126]);
            encoded.push(medium.to_be_bytes());
        } else {
            encoded.push([first, masked | 127]);
            encoded.push(self.payload_bytes.to_be_bytes());
        }
        if let Some(key) = self.mask {
            encoded.push(key);
        }
        encoded
    }
}

/// FIN, the reserved bits and the opcode.
fn parse_first(first: u8, reserved: Reserved) -> Result<(bool, bool, OpCode), Error> {
    let fin = first & 0x80 != 0;
    let rsv1 = first & 0x40 != 0;
    if first & 0x30 != 0 || (rsv1 && reserved == Reserved::AllZero) {
        return Err(Error::ReservedBits);
    }
    let opcode = OpCode::parse(first & 0x0f)?;
    // RFC 7692, 6.1: only the first frame of a message is marked, and never a control frame.
    if rsv1 && (opcode.is_control() || opcode == OpCode::Continuation) {
        return Err(Error::ReservedBits);
    }
    if opcode.is_control() && !fin {
        return Err(Error::ControlFragmented);
    }
    Ok((fin, rsv1, opcode))
}

/// The payload length, the bytes it took behind the first two, and what follows it.
fn parse_length(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize, &[u8])>, Error> {
    match short {
        126 => {
            let Some((length, rest)) = bytes.split_first_chunk::<2>() else {
                return Ok(None);
            };
            let length = u16::from_be_bytes(*length);
            if length < 126 {
                return Err(Error::LengthNotMinimal);
            }
            Ok(Some((u64::from(length), 2, rest)))
        }
        127 => {
            if bytes.first().is_some_and(|high| high & 0x80 != 0) {
                return Err(Error::LengthTopBit);
            }
            let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
                return Ok(None);
            };
            let length = u64::from_be_bytes(*length);
            if length <= u64::from(u16::MAX) {
                return Err(Error::LengthNotMinimal);
            }
            Ok(Some((length, 8, rest)))
        }
        _ => Ok(Some((u64::from(short), 0, bytes))),
    }
}

/// An encoded header; derefs to its bytes.
#[derive(Debug, Clone, Copy)]
pub struct EncodedHeader {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl EncodedHeader {
    fn push<const N: usize>(&mut self, part: [u8; N]) {
        let at = usize::from(self.len);
        if let Some(place) = self
            .bytes
            .get_mut(at..)
            .and_then(|rest| rest.first_chunk_mut::<N>())
        {
            *place = part;
            self.len = self.len.saturating_add(u8::try_from(N).unwrap_or(u8::MAX));
        }
    }
}

impl EncodedHeader {
    /// Appends the header to `out`.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) {
        // All of the array, and the surplus cut off: a copy of known length is no call.
        let end = out.len().saturating_add(usize::from(self.len));
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

impl std::ops::Deref for EncodedHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_parsed_again() {
        for payload_bytes in [0, 1, 125, 126, 127, 65_535, 65_536, (1 << 62) + 1] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let role = if mask.is_some() {
                    Role::Server
                } else {
                    Role::Client
                };
                let header = FrameHeader {
                    fin: payload_bytes % 2 == 0,
                    compressed: payload_bytes > 126,
                    opcode: OpCode::Text,
                    mask,
                    payload_bytes,
                };
                let encoded = header.encode();
                for cut in 0..encoded.len() {
                    let part = FrameHeader::parse(&encoded[..cut], role, Reserved::Rsv1Compressed);
                    assert_eq!(part, Ok(None), "{header:?} cut at {cut}");
                }
                let parsed = FrameHeader::parse(&encoded, role, Reserved::Rsv1Compressed);
                assert_eq!(parsed, Ok(Some((header, encoded.len()))));
            }
        }
    }
}

//! What a connection keeps when a read ends inside a frame or a message.

use crate::Role;
use crate::error::Error;
use crate::frame::{FrameHeader, HEADER_BYTES_MAX, Reserved, mask};
use crate::message::Assembler;

/// The cut header, frame and message of a connection. Boxed, because most connections have none
/// most of the time.
#[derive(Debug, Default)]
pub(super) struct Partial {
    pub(super) header: CutHeader,
    /// The frame whose payload is cut.
    pub(super) frame: Option<Frame>,
    /// Its payload so far, if it is a control frame; it may stand inside a message.
    pub(super) control: Vec<u8>,
    /// The message that the frame, or the frames so far, belong to.
    pub(super) message: Option<Assembler>,
}

impl Partial {
    /// Unmasks and checks what was appended to the message's buffer in place. Returns whether the
    /// frame is whole.
    pub(super) fn did_fill(&mut self, before: usize) -> Result<bool, Error> {
        let (Some(frame), Some(message)) = (&mut self.frame, &mut self.message) else {
            return Ok(false);
        };
        frame.unmask(message.appended(before));
        message.check_appended(before)?;
        Ok(frame.bytes_left() == 0)
    }
}

/// The first bytes of a header that is not whole.
#[derive(Debug, Default)]
pub(super) struct CutHeader {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl CutHeader {
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes all of the input, which is less than a header.
    pub(super) fn keep(&mut self, input: &mut &mut [u8]) {
        let len = usize::from(self.len);
        let taken = input.len().min(HEADER_BYTES_MAX - len);
        self.bytes[len..len + taken].copy_from_slice(&super::receive::advance(input, taken)[..]);
        self.len = u8::try_from(len + taken).unwrap_or(0);
    }

    /// Completes the header from the input, or takes what there is.
    pub(super) fn complete(
        &mut self,
        input: &mut &mut [u8],
        role: Role,
        reserved: Reserved,
    ) -> Result<Option<FrameHeader>, Error> {
        let len = usize::from(self.len);
        let more = input.len().min(HEADER_BYTES_MAX - len);
        let mut bytes = self.bytes;
        bytes[len..len + more].copy_from_slice(&input[..more]);
        match FrameHeader::parse(&bytes[..len + more], role, reserved)? {
            Some((header, whole)) => {
                super::receive::advance(input, whole - len);
                self.len = 0;
                Ok(Some(header))
            }
            None => {
                self.keep(input);
                Ok(None)
            }
        }
    }
}

/// A frame whose payload is cut.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) header: FrameHeader,
    received_bytes: u64,
}

impl Frame {
    pub(super) const fn new(header: FrameHeader) -> Self {
        Self {
            header,
            received_bytes: 0,
        }
    }

    /// Bytes of payload that have not come.
    pub(super) const fn bytes_left(&self) -> u64 {
        self.header
            .payload_bytes
            .saturating_sub(self.received_bytes)
    }

    /// Unmasks the next piece of the payload.
    pub(super) fn unmask(&mut self, piece: &mut [u8]) {
        if let Some(key) = self.header.mask {
            mask(piece, key, self.received_bytes);
        }
        self.received_bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
    }
}

//! The frames that come in on one connection, read by their headers.
//!
//! Payloads are shown where they lie, in whatever parts they arrive, and never kept. What
//! they must be is the business of a [`Payloads`]; pings are answered and Close frames told here.
//!
//! ```text
//!             header                        payload complete
//!   Header ------------> Data / Control ----------------------> Header
//! ```

use corewire_protocol::Role;
use corewire_protocol::close::CloseFrame;
use corewire_protocol::frame::{FrameHeader, OpCode, Reserved};

use super::error::Fault;
use super::messages::control_frame;

/// What is done with the payloads of messages.
pub(super) trait Payloads {
    /// A frame of a message begins: its first, or with [`OpCode::Continuation`] a later one.
    fn begin(&mut self, header: &FrameHeader) -> Result<(), Fault>;
    /// The next bytes of the message, wherever its frames and reads cut them.
    fn data(&mut self, part: &[u8]) -> Result<(), Fault>;
    /// The message is complete.
    fn end(&mut self) -> Result<(), Fault>;
}

/// For those who expect no messages.
#[derive(Debug)]
pub(super) struct NoPayloads;

impl Payloads for NoPayloads {
    fn begin(&mut self, _header: &FrameHeader) -> Result<(), Fault> {
        Ok(())
    }

    fn data(&mut self, _part: &[u8]) -> Result<(), Fault> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Where the frames of one connection stand.
#[derive(Debug)]
pub(super) struct Frames {
    role: Role,
    reserved: Reserved,
    stage: Stage,
    /// A fragment of a message has come and its last has not.
    begun: bool,
    /// What can be read only when it is complete: a header or the payload of a control frame,
    /// at most 125 bytes.
    held: Vec<u8>,
    pongs: u64,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Between frames, or in a header.
    Header,
    /// In a frame of a message.
    Data { left: u64, fin: bool },
    /// In a control frame.
    Control { opcode: OpCode, left: u64 },
}

impl Frames {
    /// Reads as `role` would, with these reserved bits in use.
    pub(super) const fn new(role: Role, reserved: Reserved) -> Self {
        Self {
            role,
            reserved,
            stage: Stage::Header,
            begun: false,
            held: Vec::new(),
            pongs: 0,
        }
    }

    /// Pongs that have come.
    pub(super) const fn pongs(&self) -> u64 {
        self.pongs
    }

    /// Reads `bytes`. Pongs that are due are appended to `control`.
    pub(super) fn read(
        &mut self,
        mut bytes: &[u8],
        payloads: &mut impl Payloads,
        control: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        while !bytes.is_empty() {
            match self.stage {
                Stage::Header => match self.header(bytes)? {
                    Some((header, len)) => {
                        bytes = &bytes[len..];
                        self.begin_frame(&header, payloads, control)?;
                    }
                    None => return Ok(()),
                },
                Stage::Data { left, fin } => {
                    let (part, rest) = split(bytes, left);
                    let left = left - part.len() as u64;
                    bytes = rest;
                    payloads.data(part)?;
                    self.stage = Stage::Data { left, fin };
                    if left == 0 {
                        self.end_frame(fin, payloads)?;
                    }
                }
                Stage::Control { opcode, left } => {
                    let (part, rest) = split(bytes, left);
                    let left = left - part.len() as u64;
                    bytes = rest;
                    self.held.extend_from_slice(part);
                    self.stage = Stage::Control { opcode, left };
                    if left == 0 {
                        self.end_control(opcode, control)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The header that `bytes` go on with, and how many of them belong to it. `None`: they all do,
    /// and more are missing.
    fn header(&mut self, bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, Fault> {
        let (role, reserved) = (self.role, self.reserved);
        let parse = |bytes: &[u8]| FrameHeader::parse(bytes, role, reserved);
        if self.held.is_empty() {
            let parsed = parse(bytes)?;
            if parsed.is_none() {
                self.held.extend_from_slice(bytes);
            }
            return Ok(parsed);
        }
        for (place, byte) in bytes.iter().enumerate() {
            self.held.push(*byte);
            if let Some((header, _)) = parse(&self.held)? {
                self.held.clear();
                return Ok(Some((header, place + 1)));
            }
        }
        Ok(None)
    }

    fn begin_frame(
        &mut self,
        header: &FrameHeader,
        payloads: &mut impl Payloads,
        control: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let left = header.payload_bytes;
        match header.opcode {
            OpCode::Close | OpCode::Ping | OpCode::Pong => {
                self.stage = Stage::Control {
                    opcode: header.opcode,
                    left,
                };
                if left == 0 {
                    self.end_control(header.opcode, control)?;
                }
                return Ok(());
            }
            OpCode::Continuation if !self.begun => {
                return Err(corewire_protocol::Error::ContinuationUnexpected.into());
            }
            OpCode::Text | OpCode::Binary if self.begun => {
                return Err(corewire_protocol::Error::ContinuationExpected.into());
            }
            OpCode::Continuation | OpCode::Text | OpCode::Binary => {}
        }
        self.begun = true;
        payloads.begin(header)?;
        self.stage = Stage::Data {
            left,
            fin: header.fin,
        };
        if left == 0 {
            self.end_frame(header.fin, payloads)?;
        }
        Ok(())
    }

    fn end_frame(&mut self, fin: bool, payloads: &mut impl Payloads) -> Result<(), Fault> {
        self.stage = Stage::Header;
        if !fin {
            return Ok(());
        }
        self.begun = false;
        payloads.end()
    }

    fn end_control(&mut self, opcode: OpCode, control: &mut Vec<u8>) -> Result<(), Fault> {
        self.stage = Stage::Header;
        match opcode {
            OpCode::Ping => control_frame(OpCode::Pong, &self.held, control),
            OpCode::Pong => self.pongs += 1,
            OpCode::Close => return Err(Fault::Closed(CloseFrame::parse(&self.held)?.code)),
            OpCode::Continuation | OpCode::Text | OpCode::Binary => {}
        }
        self.held.clear();
        Ok(())
    }
}

/// At most `len` bytes, and the rest.
fn split(bytes: &[u8], len: u64) -> (&[u8], &[u8]) {
    bytes.split_at(usize::try_from(len).map_or(bytes.len(), |len| len.min(bytes.len())))
}

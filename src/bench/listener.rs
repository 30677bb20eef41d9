//! One connection of an idle run: it says what makes it one of the server's clients, and listens.

use std::io::{ErrorKind, Read, Write};

use corewire_protocol::Role;
use corewire_protocol::frame::{OpCode, Reserved};
use mio::net::TcpStream;

use super::error::Fault;
use super::frames::{Frames, NoPayloads};
use super::messages::{control_frame, frame};
use super::opening::Opened;
use super::template::{Template, Values};

/// An open connection.
#[derive(Debug)]
pub(super) struct Listener {
    stream: TcpStream,
    frames: Frames,
    /// Whole frames that the socket has not taken.
    unsent: Vec<u8>,
}

impl Listener {
    /// Takes what came behind the answer to the handshake, and sends `greetings`.
    pub(super) fn new(opened: Opened, greetings: &[Template]) -> Result<Self, Fault> {
        let mut listener = Self {
            stream: opened.stream,
            frames: Frames::new(Role::Client, Reserved::Rsv1Compressed),
            unsent: Vec::new(),
        };
        let mut message = Vec::new();
        for (template, id) in greetings.iter().zip(1..) {
            let values = Values {
                number: opened.number,
                id,
                topic: "bench",
                size: 0,
                data: [&[], &[]],
            };
            message.clear();
            template.write(&values, &mut message);
            frame(template.opcode(), &mut message, &mut listener.unsent);
        }
        listener.take(&opened.rest)?;
        listener.flush()?;
        Ok(listener)
    }

    /// Pongs that have come.
    pub(super) const fn pongs(&self) -> u64 {
        self.frames.pongs()
    }

    /// Sends a ping with a few bytes of payload.
    pub(super) fn ping(&mut self) -> Result<(), Fault> {
        control_frame(OpCode::Ping, b"alive?", &mut self.unsent);
        self.flush()
    }

    /// Begins the closing handshake.
    pub(super) fn close(&mut self) -> Result<(), Fault> {
        control_frame(OpCode::Close, &1000_u16.to_be_bytes(), &mut self.unsent);
        self.flush()
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads all there is, through `buffer`, which is all connections'.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<(), Fault> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(Fault::Ended),
                Ok(read) => self.take(&buffer[..read])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.frames.read(bytes, &mut NoPayloads, &mut self.unsent)?;
        self.flush()
    }
}

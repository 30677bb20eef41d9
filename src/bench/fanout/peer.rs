//! One connection of a fan-out: whole frames out, a searched stream in.

use std::io::{ErrorKind, Read, Write};

use corewire_protocol::Role;
use corewire_protocol::frame::{FrameHeader, OpCode, Reserved};
use mio::net::TcpStream;

use super::scan::{Found, Needles, Rest, Scan};
use super::sequence::Sequence;
use crate::bench::error::Fault;
use crate::bench::frames::{Frames, Payloads};
use crate::bench::messages::{control_frame, frame};
use crate::bench::opening::Opened;
use crate::bench::template::{Template, Values};

/// Bytes that may wait for a server that does not read.
const UNSENT_MAX: usize = 64 << 20;
/// Bytes that have been written are given back when there are so many of them.
const WRITTEN_MAX: usize = 1 << 20;

/// An open connection.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its number in the whole run.
    pub(super) number: usize,
    pub(super) seat: Seat,
    stream: TcpStream,
    frames: Frames,
    scan: Scan,
    /// Whole frames, of which `written` bytes are gone.
    out: Vec<u8>,
    written: usize,
    /// The socket has not taken all of it when it was last asked.
    stuck: bool,
    /// Messages sent so far, for `{id}`.
    messages: u64,
}

/// What a connection is there for.
#[derive(Debug)]
pub(super) enum Seat {
    /// To receive what is published to a topic.
    Subscriber {
        topic: usize,
        readiness: Readiness,
        /// What has come from each publisher.
        sequences: Vec<Sequence>,
    },
    /// To publish; what it receives is not counted.
    Publisher,
}

/// Whether a subscriber has received what says that it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    Waiting,
    Ready,
}

/// Payloads on their way into a search.
struct Searched<'a, F> {
    scan: &'a mut Scan,
    needles: &'a Needles,
    seat: &'a mut Seat,
    found: F,
}

impl<F: FnMut(&mut Seat, Found) -> Result<Rest, Fault>> Payloads for Searched<'_, F> {
    fn begin(&mut self, _header: &FrameHeader) -> Result<(), Fault> {
        Ok(())
    }

    fn data(&mut self, part: &[u8]) -> Result<(), Fault> {
        let (seat, found) = (&mut *self.seat, &mut self.found);
        self.scan
            .read(part, self.needles, &mut |what| found(seat, what))
    }

    fn end(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

impl Peer {
    pub(super) fn new(opened: Opened, seat: Seat) -> Self {
        Self {
            number: opened.number,
            seat,
            stream: opened.stream,
            frames: Frames::new(Role::Client, Reserved::AllZero),
            scan: Scan::new(),
            out: Vec::new(),
            written: 0,
            stuck: false,
            messages: 0,
        }
    }

    /// Whether the socket has not taken all that was to be sent.
    pub(super) const fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// Lets a message wait for the next [`flush`](Self::flush). `values` lacks the connection's
    /// number and the message's; `scratch` is everybody's.
    pub(super) fn queue(
        &mut self,
        template: &Template,
        values: &Values<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.messages += 1;
        let values = Values {
            number: self.number,
            id: self.messages,
            ..*values
        };
        scratch.clear();
        template.write(&values, scratch);
        frame(template.opcode(), scratch, &mut self.out);
        let bytes = self.out.len() - self.written;
        if bytes > UNSENT_MAX {
            return Err(Fault::Unread { bytes });
        }
        Ok(())
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stuck = true;
                    if self.written > WRITTEN_MAX {
                        self.out.drain(..self.written);
                        self.written = 0;
                    }
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.stuck = false;
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Begins the closing handshake.
    pub(super) fn close(&mut self) -> Result<(), Fault> {
        control_frame(OpCode::Close, &1000_u16.to_be_bytes(), &mut self.out);
        self.flush()
    }

    /// Reads once, into `buffer`. `None`: there is nothing.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Fault> {
        match self.stream.read(buffer) {
            Ok(0) => Err(Fault::Ended),
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Searches bytes that have been read.
    pub(super) fn search(
        &mut self,
        bytes: &[u8],
        needles: &Needles,
        found: impl FnMut(&mut Seat, Found) -> Result<Rest, Fault>,
    ) -> Result<(), Fault> {
        let mut searched = Searched {
            scan: &mut self.scan,
            needles,
            seat: &mut self.seat,
            found,
        };
        self.frames.read(bytes, &mut searched, &mut self.out)
    }
}

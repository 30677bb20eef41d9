//! One open connection: what goes out, what comes back, and when what is on its way was sent.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use corewire_protocol::frame::OpCode;
use mio::net::TcpStream;

use super::error::Fault;
use super::messages::{Messages, control_frame};
use super::replies::{Replies, Totals};

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    replies: Replies,
    /// The place in the ring of the message that is sent next.
    place: usize,
    /// Where the part of [`Messages::wire`] begins that is not yet written, always in its ring.
    at: usize,
    /// How many bytes that part has.
    unsent: usize,
    /// Messages that have no reply yet, as times of sending with how many were sent then.
    pending: VecDeque<(u64, u64)>,
    /// How many those are together.
    outstanding: u64,
    /// Messages sent so far.
    sent: u64,
    /// Control frames that go out between two frames.
    control: Vec<u8>,
}

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// This many replies. More bytes may wait.
    Replies(u64),
    /// This many replies, and the socket is empty.
    Last(u64),
}

impl Connection {
    /// Messages go out and replies are expected from `place` in the ring on.
    pub(super) fn new(stream: TcpStream, place: usize, messages: &Messages) -> Self {
        Self {
            stream,
            replies: Replies::new(place),
            place,
            at: messages.start(place),
            unsent: 0,
            pending: VecDeque::new(),
            outstanding: 0,
            sent: 0,
            control: Vec::new(),
        }
    }

    /// Messages sent so far.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Messages that have no reply yet.
    pub(super) const fn outstanding(&self) -> u64 {
        self.outstanding
    }

    pub(super) const fn totals(&self) -> Totals {
        self.replies.totals()
    }

    /// Sends the next `number` messages, at most the depth of the run, as of `now`.
    pub(super) fn send(&mut self, number: u64, now: u64, messages: &Messages) -> Result<(), Fault> {
        if number == 0 {
            return Ok(());
        }
        self.sent += number;
        self.outstanding += number;
        self.pending.push_back((now, number));
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        self.unsent += messages.bytes(self.place, number);
        self.place = (self.place + number) % messages.count();
        self.flush(messages)
    }

    /// Sends a ping with a few bytes of payload.
    pub(super) fn ping(&mut self, messages: &Messages) -> Result<(), Fault> {
        control_frame(OpCode::Ping, b"alive?", &mut self.control);
        self.flush(messages)
    }

    /// Begins the closing handshake.
    pub(super) fn close(&mut self, messages: &Messages) -> Result<(), Fault> {
        control_frame(OpCode::Close, &1000_u16.to_be_bytes(), &mut self.control);
        self.flush(messages)
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self, messages: &Messages) -> Result<(), Fault> {
        while !self.control.is_empty() {
            // Not inside a frame: first the rest of the one that is on its way.
            let rest = messages.frame_end(self.at) - self.at;
            if rest > 0 && self.unsent > 0 {
                if !self.write_messages(rest, messages)? {
                    return Ok(());
                }
                continue;
            }
            match self.stream.write(&self.control) {
                Ok(written) => drop(self.control.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        while self.unsent > 0 {
            if !self.write_messages(self.unsent, messages)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes up to `len` of the unsent bytes with one call. False: the socket takes no more.
    fn write_messages(&mut self, len: usize, messages: &Messages) -> Result<bool, Fault> {
        match self.stream.write(messages.wire(self.at..self.at + len)) {
            Ok(written) => {
                self.unsent -= written;
                self.at += written;
                if self.at >= messages.ring_bytes() {
                    self.at -= messages.ring_bytes();
                }
                // A short write means that the socket is full: its edge will come.
                Ok(written == len)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads once, into `buffer`, which is all connections'.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        messages: &Messages,
    ) -> Result<Reading, Fault> {
        let read = match self.stream.read(buffer) {
            Ok(0) => return Err(Fault::Ended),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Reading::Last(0)),
            Err(error) => return Err(error.into()),
        };
        let replies = self.take(&buffer[..read], messages)?;
        // Edge-triggered: a short read means that the socket is empty (epoll(7)).
        Ok(if read < buffer.len() {
            Reading::Last(replies)
        } else {
            Reading::Replies(replies)
        })
    }

    /// Takes bytes that have been read already. Returns how many replies they complete.
    pub(super) fn take(&mut self, bytes: &[u8], messages: &Messages) -> Result<u64, Fault> {
        let before = self.replies.totals().messages;
        self.replies.read(bytes, messages, &mut self.control)?;
        let replies = self.replies.totals().messages - before;
        self.outstanding = self
            .outstanding
            .checked_sub(replies)
            .ok_or(Fault::Surplus)?;
        if !self.control.is_empty() {
            self.flush(messages)?;
        }
        Ok(replies)
    }

    /// Takes the sending times of the oldest `replies` messages off, and calls `each` with every
    /// time and how many were sent then.
    pub(super) fn answered(&mut self, mut replies: u64, mut each: impl FnMut(u64, u64)) {
        while replies > 0 {
            let Some((sent_at, number)) = self.pending.front_mut() else {
                return;
            };
            let part = replies.min(*number);
            each(*sent_at, part);
            replies -= part;
            *number -= part;
            if *number == 0 {
                self.pending.pop_front();
            }
        }
    }
}

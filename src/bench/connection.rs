//! One open connection of an echo run: what goes out, what comes back, and since when what is on
//! its way is waited for.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use corewire_protocol::frame::OpCode;
use mio::net::TcpStream;

use super::error::Fault;
use super::messages::{Messages, control_frame};
use super::opening::Opened;
use super::replies::{Replies, Totals};

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    replies: Replies,
    /// The place in the ring of the message that is sent next.
    place: usize,
    /// Where the part of [`Messages::wire`] begins that is not yet written, always before its
    /// ring ends.
    at: usize,
    /// How many bytes that part has, which may be many rounds.
    unsent: usize,
    /// The socket has not taken all that was to be written.
    stuck: bool,
    /// Messages that have no reply yet, as the times from which their latency counts, with how
    /// many of them each has.
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
    /// Takes what came behind the answer to the handshake.
    pub(super) fn new(opened: Opened, messages: &Messages) -> Result<Self, Fault> {
        let place = messages.first_place(opened.number);
        let mut connection = Self {
            stream: opened.stream,
            replies: Replies::new(opened.number, place, messages),
            place,
            at: messages.start(place),
            unsent: 0,
            stuck: false,
            pending: VecDeque::new(),
            outstanding: 0,
            sent: 0,
            control: Vec::new(),
        };
        connection.take(&opened.rest, messages)?;
        Ok(connection)
    }

    /// Messages sent so far.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Messages that have no reply yet.
    pub(super) const fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// Whether the socket has not taken what was to be sent before.
    pub(super) const fn is_stuck(&self) -> bool {
        self.stuck
    }

    pub(super) const fn totals(&self) -> Totals {
        self.replies.totals()
    }

    /// Lets the next `number` messages wait for the next [`flush`](Self::flush); their latency
    /// counts from `since`.
    pub(super) fn queue(&mut self, number: u64, since: u64, messages: &Messages) {
        if number == 0 {
            return;
        }
        self.sent += number;
        self.outstanding += number;
        self.pending.push_back((since, number));
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        self.unsent += messages.bytes(self.place, number);
        self.place = messages.place_after(self.place, number);
    }

    /// Begins the closing handshake.
    pub(super) fn close(&mut self, messages: &Messages) -> Result<(), Fault> {
        control_frame(OpCode::Close, &1000_u16.to_be_bytes(), &mut self.control);
        self.flush(messages)
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self, messages: &Messages) -> Result<(), Fault> {
        self.stuck = true;
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
        self.stuck = false;
        Ok(())
    }

    /// Writes up to `len` of the unsent bytes with one call. False: the socket takes no more.
    fn write_messages(&mut self, len: usize, messages: &Messages) -> Result<bool, Fault> {
        let bytes = messages.wire(self.at, len);
        match self.stream.write(bytes) {
            Ok(written) => {
                self.unsent -= written;
                self.at += written;
                while self.at >= messages.round_end() {
                    self.at -= messages.round_bytes();
                }
                // A short write means that the socket is full: its edge will come.
                Ok(written == bytes.len())
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

    /// Takes bytes that have been read. Returns how many replies they complete.
    fn take(&mut self, bytes: &[u8], messages: &Messages) -> Result<u64, Fault> {
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

    /// Takes the times of the oldest `replies` messages off, and calls `each` with every
    /// time and how many messages have it.
    pub(super) fn answered(&mut self, mut replies: u64, mut each: impl FnMut(u64, u64)) {
        while replies > 0 {
            let Some((since, number)) = self.pending.front_mut() else {
                return;
            };
            let part = replies.min(*number);
            each(*since, part);
            replies -= part;
            *number -= part;
            if *number == 0 {
                self.pending.pop_front();
            }
        }
    }
}

//! All connections of a run and the loop that drives them.
//!
//! A connection's number is its place in the table and its token. The first fault of a server on
//! any connection ends the run: figures of a server that misbehaves are worth nothing.

use std::io::ErrorKind;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use rustix::process::{Resource, getrlimit};

use super::clock::{Clock, nanoseconds};
use super::connection::{Connection, Reading};
use super::error::{Error, Fault};
use super::messages::Messages;
use super::opening::{Offer, Opening};
use super::target::{Scheme, Target};
use crate::server;

/// Connections that are opened at a time: fewer than any server's backlog.
const OPENING_MAX: usize = 64;
/// How long opening may go on without a connection more.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long servers have to answer our Close frames.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Descriptors beside the connections.
const DESCRIPTORS_EXTRA: usize = 32;
/// One receive buffer for all. Larger than what loopback delivers at once to 16 messages of 1 KiB.
const BUFFER_BYTES: usize = 256 << 10;
const EVENTS: usize = 1024;

/// All connections of a run.
#[derive(Debug)]
pub(super) struct Swarm<'a> {
    target: &'a Target,
    offer: Offer,
    messages: &'a Messages,
    clock: Clock,
    poll: Poll,
    events: Events,
    slots: Vec<Slot>,
    /// How many slots are [`Slot::Open`].
    open: usize,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Slot {
    Opening(Box<Opening>),
    Open(Connection),
    Closing(Connection),
    Gone,
}

impl<'a> Swarm<'a> {
    pub(super) fn new(
        target: &'a Target,
        offer: Offer,
        messages: &'a Messages,
        clock: Clock,
    ) -> Result<Self, Error> {
        Ok(Self {
            target,
            offer,
            messages,
            clock,
            poll: Poll::new().map_err(Error::system("create an epoll instance"))?,
            events: Events::with_capacity(EVENTS),
            slots: Vec::new(),
            open: 0,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Opens connections until there are `count`.
    pub(super) fn open(&mut self, count: usize) -> Result<(), Error> {
        raise_descriptor_limit(count)?;
        let timeout = nanoseconds(OPEN_TIMEOUT);
        let mut deadline = self.clock.now() + timeout;
        while self.open < count {
            while self.slots.len() < count && self.slots.len() - self.open < OPENING_MAX {
                self.begin()?;
            }
            let before = self.open;
            self.listen(Duration::from_millis(100))?;
            if self.open > before {
                deadline = self.clock.now() + timeout;
            } else if self.clock.now() > deadline {
                return Err(Error::OpenTimeout {
                    open: self.open,
                    wanted: count,
                });
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Error> {
        let number = self.slots.len();
        let mut opening = Opening::begin(self.target, number)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(opening.stream(), Token(number), both)
            .map_err(Error::system("watch a socket"))?;
        self.slots.push(Slot::Opening(Box::new(opening)));
        Ok(())
    }

    /// The open connections.
    pub(super) fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Open(connection) => Some(connection),
            Slot::Opening(_) | Slot::Closing(_) | Slot::Gone => None,
        })
    }

    /// Does something with every `step`th open connection.
    pub(super) fn each(
        &mut self,
        step: usize,
        mut act: impl FnMut(&mut Connection, &Messages) -> Result<(), Fault>,
    ) -> Result<(), Error> {
        for (number, slot) in self.slots.iter_mut().enumerate().step_by(step) {
            if let Slot::Open(connection) = slot {
                act(connection, self.messages).map_err(at(number))?;
            }
        }
        Ok(())
    }

    /// One turn in which no message is expected: pings are answered, ends are seen.
    pub(super) fn listen(&mut self, timeout: Duration) -> Result<(), Error> {
        self.turn(timeout, |connection, buffer, messages| {
            while let Reading::Replies(_) = connection.read(buffer, messages)? {}
            Ok(())
        })
    }

    /// Waits up to `timeout` and calls `readable` for every open connection that may be read; it
    /// must read until [`Reading::Last`].
    pub(super) fn turn(
        &mut self,
        timeout: Duration,
        mut readable: impl FnMut(&mut Connection, &mut [u8], &Messages) -> Result<(), Fault>,
    ) -> Result<(), Error> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(source) => {
                return Err(Error::System {
                    doing: "wait for events",
                    source,
                });
            }
        }
        for event in &self.events {
            let number = event.token().0;
            let slot = &mut self.slots[number];
            let buffer = &mut self.buffer[..];
            match slot {
                Slot::Open(connection) => {
                    if event.is_writable() {
                        connection.flush(self.messages).map_err(at(number))?;
                    }
                    if event.is_readable() || event.is_error() {
                        readable(connection, buffer, self.messages).map_err(at(number))?;
                    }
                }
                Slot::Opening(_) => {
                    let Slot::Opening(opening) = std::mem::replace(slot, Slot::Gone) else {
                        continue;
                    };
                    let advanced = opening.advance(self.target, self.offer, self.messages);
                    *slot = match advanced.map_err(at(number))? {
                        Err(opening) => Slot::Opening(Box::new(opening)),
                        Ok(mut connection) => {
                            self.open += 1;
                            // The edge for what came behind the answer is spent.
                            readable(&mut connection, buffer, self.messages).map_err(at(number))?;
                            Slot::Open(connection)
                        }
                    };
                }
                Slot::Closing(connection) => match connection.read(buffer, self.messages) {
                    Ok(_) => {}
                    Err(Fault::Closed(_) | Fault::Ended | Fault::Connection(_)) => {
                        *slot = Slot::Gone;
                    }
                    Err(fault) => return Err(at(number)(fault)),
                },
                Slot::Gone => {}
            }
        }
        Ok(())
    }

    /// Closes all connections properly, so that a message too many is seen, too. A server that
    /// does not answer within a second is left.
    pub(super) fn close(mut self) -> Result<(), Error> {
        if self.target.scheme() == Scheme::Tcp {
            return Ok(());
        }
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if let Slot::Open(mut connection) = std::mem::replace(slot, Slot::Gone) {
                connection.close(self.messages).map_err(at(number))?;
                *slot = Slot::Closing(connection);
            }
        }
        let deadline = self.clock.now() + nanoseconds(CLOSE_TIMEOUT);
        let closing = |slot: &Slot| matches!(slot, Slot::Closing(_));
        while self.slots.iter().any(closing) && self.clock.now() < deadline {
            self.listen(Duration::from_millis(10))?;
        }
        Ok(())
    }
}

/// For `map_err`: a fault of the server on connection `number`.
const fn at(number: usize) -> impl FnOnce(Fault) -> Error {
    move |fault| Error::Server {
        connection: number,
        fault,
    }
}

/// Makes room for `count` connections under the hard limit of descriptors.
fn raise_descriptor_limit(count: usize) -> Result<(), Error> {
    server::raise_descriptor_limit();
    let needed = (count + DESCRIPTORS_EXTRA) as u64;
    let limit = match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => limit,
        Some(_) | None => return Ok(()),
    };
    Err(Error::Settings(format!(
        "{count} connections need {needed} descriptors, and the limit is {limit}: raise it \
         (`ulimit -Hn`) or use fewer connections"
    )))
}

//! All connections of a run and the loop that drives them.
//!
//! A connection's number is its place in the table and its token. The first fault of a server on
//! any connection ends the run: figures of a server that misbehaves are worth nothing.

use std::fmt::Debug;
use std::io::ErrorKind;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use rustix::process::{Resource, getrlimit};

use super::clock::{Clock, nanoseconds};
use super::error::{Error, Fault};
use super::opening::{Asked, Opened, Opening};
use super::target::{Scheme, Target};
use super::timer::Timer;
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
pub(super) const BUFFER_BYTES: usize = 256 << 10;
pub(super) const EVENTS: usize = 1024;
/// Where the events of the timer and of the bell go; no connection has these numbers.
const TIMER: Token = Token(usize::MAX);
const BELL: Token = Token(usize::MAX - 1);

/// What the connections of a swarm do. Each call is about one of them.
pub(super) trait Work {
    /// An open connection.
    type Connection: Debug;

    /// The handshake is complete.
    fn opened(&mut self, opened: Opened) -> Result<Self::Connection, Fault>;

    /// May be read, and must be until the socket is empty.
    fn readable(
        &mut self,
        connection: &mut Self::Connection,
        buffer: &mut [u8],
    ) -> Result<(), Fault>;

    /// May be written.
    fn writable(&mut self, connection: &mut Self::Connection) -> Result<(), Fault>;

    /// Begins the closing handshake.
    fn close(&mut self, connection: &mut Self::Connection) -> Result<(), Fault>;
}

/// How exactly a turn ends when nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// In whole milliseconds, as epoll counts; costs nothing.
    Roughly(Duration),
    /// To the microsecond, for one system call more.
    Exactly(Duration),
}

/// All connections of a run, or of one thread's part of it.
#[derive(Debug)]
pub(super) struct Swarm<'a, C> {
    target: &'a Target,
    asked: &'a Asked,
    clock: Clock,
    poll: Poll,
    timer: Timer,
    events: Events,
    /// The number of the first connection.
    first: usize,
    slots: Vec<Slot<C>>,
    /// How many slots are [`Slot::Open`].
    open: usize,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Slot<C> {
    Opening(Box<Opening>),
    Open(C),
    Closing(C),
    Gone,
}

impl<'a, C: Debug> Swarm<'a, C> {
    /// Connections are numbered from `first` on.
    pub(super) fn new(
        target: &'a Target,
        asked: &'a Asked,
        first: usize,
        clock: Clock,
    ) -> Result<Self, Error> {
        let poll = Poll::new().map_err(Error::system("create an epoll instance"))?;
        let timer = Timer::register(poll.registry(), TIMER)?;
        Ok(Self {
            target,
            asked,
            clock,
            poll,
            timer,
            events: Events::with_capacity(EVENTS),
            first,
            slots: Vec::new(),
            open: 0,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Opens connections until there are `count`.
    pub(super) fn open(
        &mut self,
        count: usize,
        work: &mut impl Work<Connection = C>,
    ) -> Result<(), Error> {
        let timeout = nanoseconds(OPEN_TIMEOUT);
        let mut deadline = self.clock.now() + timeout;
        while self.open < count {
            while self.slots.len() < count && self.slots.len() - self.open < OPENING_MAX {
                self.begin()?;
            }
            let before = self.open;
            self.turn(Wait::Roughly(Duration::from_millis(100)), work)?;
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

    /// What ends a turn's wait from another thread. There is one for each swarm.
    pub(super) fn bell(&self) -> Result<Waker, Error> {
        Waker::new(self.poll.registry(), BELL).map_err(Error::system("create a waker"))
    }

    fn begin(&mut self) -> Result<(), Error> {
        let place = self.slots.len();
        let mut opening = Opening::begin(self.target, self.first + place)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(opening.stream(), Token(place), both)
            .map_err(Error::system("watch a socket"))?;
        self.slots.push(Slot::Opening(Box::new(opening)));
        Ok(())
    }

    /// The open connections.
    pub(super) fn connections(&self) -> impl Iterator<Item = &C> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Open(connection) => Some(connection),
            Slot::Opening(_) | Slot::Closing(_) | Slot::Gone => None,
        })
    }

    /// Does something with every `step`th open connection.
    pub(super) fn each(
        &mut self,
        step: usize,
        mut act: impl FnMut(&mut C) -> Result<(), Fault>,
    ) -> Result<(), Error> {
        for (place, slot) in self.slots.iter_mut().enumerate().step_by(step) {
            if let Slot::Open(connection) = slot {
                act(connection).map_err(at(self.first + place))?;
            }
        }
        Ok(())
    }

    /// Does something with the connection at `place` in this swarm, which must be open.
    pub(super) fn with<R>(
        &mut self,
        place: usize,
        act: impl FnOnce(&mut C) -> Result<R, Fault>,
    ) -> Result<R, Error> {
        match &mut self.slots[place] {
            Slot::Open(connection) => act(connection),
            Slot::Opening(_) | Slot::Closing(_) | Slot::Gone => Err(Fault::Ended),
        }
        .map_err(at(self.first + place))
    }

    /// Waits and lets `work` do what has become possible.
    pub(super) fn turn(
        &mut self,
        wait: Wait,
        work: &mut impl Work<Connection = C>,
    ) -> Result<(), Error> {
        let timeout = match wait {
            Wait::Roughly(duration) => duration,
            Wait::Exactly(duration) if duration.is_zero() => duration,
            Wait::Exactly(duration) => {
                self.timer.set(duration)?;
                // The timer comes first.
                duration + Duration::from_millis(1)
            }
        };
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
            if matches!(event.token(), TIMER | BELL) {
                continue;
            }
            let place = event.token().0;
            let at = at(self.first + place);
            let slot = &mut self.slots[place];
            let buffer = &mut self.buffer[..];
            match slot {
                Slot::Open(connection) => {
                    let mut handle = || {
                        if event.is_writable() {
                            work.writable(connection)?;
                        }
                        if event.is_readable() || event.is_error() {
                            work.readable(connection, buffer)?;
                        }
                        Ok(())
                    };
                    handle().map_err(at)?;
                }
                Slot::Opening(_) => {
                    let Slot::Opening(opening) = std::mem::replace(slot, Slot::Gone) else {
                        continue;
                    };
                    let advance = || match opening.advance(self.target, self.asked)? {
                        Err(opening) => Ok(Slot::Opening(Box::new(opening))),
                        Ok(opened) => {
                            let mut connection = work.opened(opened)?;
                            // The edge for what came behind the answer is spent.
                            work.readable(&mut connection, buffer)?;
                            self.open += 1;
                            Ok(Slot::Open(connection))
                        }
                    };
                    *slot = advance().map_err(at)?;
                }
                Slot::Closing(connection) => {
                    let mut handle = || {
                        work.writable(connection)?;
                        work.readable(connection, buffer)
                    };
                    match handle() {
                        Ok(()) => {}
                        Err(Fault::Closed(_) | Fault::Ended | Fault::Connection(_)) => {
                            *slot = Slot::Gone;
                        }
                        Err(fault) => return Err(at(fault)),
                    }
                }
                Slot::Gone => {}
            }
        }
        Ok(())
    }

    /// Closes all connections properly, so that a message too many is seen, too. A server that
    /// does not answer within a second is left.
    pub(super) fn close(mut self, work: &mut impl Work<Connection = C>) -> Result<(), Error> {
        if self.target.scheme() == Scheme::Tcp {
            return Ok(());
        }
        for (place, slot) in self.slots.iter_mut().enumerate() {
            if let Slot::Open(mut connection) = std::mem::replace(slot, Slot::Gone) {
                work.close(&mut connection)
                    .map_err(at(self.first + place))?;
                *slot = Slot::Closing(connection);
            }
        }
        let deadline = self.clock.now() + nanoseconds(CLOSE_TIMEOUT);
        let closing = |slot: &Slot<C>| matches!(slot, Slot::Closing(_));
        while self.slots.iter().any(closing) && self.clock.now() < deadline {
            self.turn(Wait::Roughly(Duration::from_millis(10)), work)?;
        }
        Ok(())
    }
}

/// For `map_err`: a fault of the server on connection `number`.
pub(super) const fn at(number: usize) -> impl FnOnce(Fault) -> Error {
    move |fault| Error::Server {
        connection: number,
        fault,
    }
}

/// Makes room for `count` connections under the hard limit of descriptors.
pub(super) fn raise_descriptor_limit(count: usize) -> Result<(), Error> {
    server::raise_descriptor_limit();
    let needed = count.saturating_add(DESCRIPTORS_EXTRA) as u64;
    let limit = match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => limit,
        Some(_) | None => return Ok(()),
    };
    Err(Error::Settings(format!(
        "{count} connections need {needed} descriptors, and the limit is {limit}: raise it \
         (`ulimit -Hn`) or use fewer connections"
    )))
}

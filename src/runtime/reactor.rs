//! The event loop of one core: it turns a shard with the events of its sockets.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::engine::{Accepted, Handler, NearEnd, Now, ReadResult, Shard, Step, Tick, WriteResult};
use crate::ids::{ConnId, CoreId};
use crate::mailbox::{Full, Mailbox, Wake};

use super::clock::Clock;
use super::control::Control;
use super::listener::Listener;
use super::spin::Spin;
use super::transport::Transport;

/// Events taken from the system at once.
const EVENTS_MAX: usize = 1024;
/// Mail of one sender that is taken before the sockets are looked at again.
const MAIL_PER_TURN: usize = 1024;
const WAKER: Token = Token(usize::MAX);
/// Tokens of listeners count down from here; those of connections are below.
const FIRST_LISTENER: usize = usize::MAX - 1;
/// Listeners of a core: their tokens are those of a generation that no connection has.
pub(crate) const LISTENERS_MAX: usize = 1024;
/// Milliseconds that a handshake with a client may take that began before the server stopped.
const HANDSHAKE_MS: u32 = 20;

/// Makes a poll and the waker of the core that will use it.
pub(crate) fn new_poll() -> io::Result<(Poll, CoreWaker)> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    Ok((poll, CoreWaker(waker)))
}

/// Wakes a core that waits in its poll.
#[derive(Debug, Clone)]
pub(crate) struct CoreWaker(Arc<Waker>);

impl Wake for CoreWaker {
    fn wake(&self) {
        // It fails only if the descriptor is gone, and with it the core.
        let _ = self.0.wake();
    }
}

/// One core: its sockets, and the shard that says what to do with them.
pub(crate) struct Reactor<H: Handler, F> {
    core: CoreId,
    poll: Poll,
    shard: Shard<H, F>,
    mailbox: Mailbox<H::Mail>,
    listeners: Vec<Listener>,
    /// By the slot of the connection.
    transports: Vec<Option<Transport>>,
    clock: Clock,
    control: Arc<Control>,
    life: Life,
    spin: Spin,
    shutdown_timeout_ms: u32,
}

/// What of a server's options steers its event loops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReactorOptions {
    /// As [`Options::spin_us`](crate::server::Options::spin_us).
    pub(crate) spin_us: u32,
    /// As [`Options::shutdown_timeout_ms`](crate::server::Options::shutdown_timeout_ms).
    pub(crate) shutdown_timeout_ms: u32,
}

/// How far the core has come.
///
/// ```text
///   Running ── stop ──▶ Draining ── queues empty ──▶ Ending ── no connections, or time ──▶ done
///                       nobody new,                  listeners closed
///                       accept the rest
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    Draining { since: Tick, until: Tick },
    Ending { until: Tick },
}

impl<H: Handler, F: FnMut() -> H> Reactor<H, F> {
    pub(crate) fn new(
        core: CoreId,
        poll: Poll,
        shard: Shard<H, F>,
        mailbox: Mailbox<H::Mail>,
        mut listeners: Vec<Listener>,
        (clock, control, options): (Clock, Arc<Control>, ReactorOptions),
    ) -> io::Result<Self> {
        for (listener, token) in listeners.iter_mut().zip((0..=FIRST_LISTENER).rev()) {
            poll.registry()
                .register(&mut listener.socket, Token(token), Interest::READABLE)?;
        }
        Ok(Self {
            core,
            poll,
            shard,
            mailbox,
            listeners,
            transports: Vec::new(),
            clock,
            control,
            life: Life::Running,
            spin: Spin::new(options.spin_us),
            shutdown_timeout_ms: options.shutdown_timeout_ms,
        })
    }

    /// Turns until the server was told to stop and the connections are gone. Returns how many
    /// were cut because their time was over.
    pub(crate) fn run(mut self) -> io::Result<usize> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut wait_ms = Some(0);
        loop {
            self.wait(&mut events, wait_ms)?;
            // Read once: what happens in a turn happens at one moment. Deadlines are no more exact.
            let now = self.clock.now();
            self.shard.time(now);
            // Whoever is ready when the steps begin has a turn in this round, so events and mail
            // come before them.
            for event in &events {
                self.event(event);
            }
            self.take_mail();
            wait_ms = self.steps();
            // Behind all that was sent, so that a core is woken once for it.
            self.mailbox.post();
            if let Some(left) = self.follow_control(now, &mut wait_ms) {
                return Ok(left);
            }
        }
    }

    /// Waits for events, perhaps spinning first. A core that has mail does not sleep.
    fn wait(&mut self, events: &mut Events, wait_ms: Option<u32>) -> io::Result<()> {
        if self.spin.is_off() || wait_ms == Some(0) {
            return self.sleep(events, wait_ms);
        }
        if self.spin_until_event(events, wait_ms)? {
            return Ok(());
        }
        let asleep_us = self.clock.now_us();
        self.sleep(events, wait_ms)?;
        self.spin.slept(self.clock.now_us() - asleep_us);
        Ok(())
    }

    /// Looks for events and mail again and again, for as long as that is worth it. Returns whether
    /// some came. Meanwhile nobody needs to wake this core, which is not announced as asleep.
    fn spin_until_event(&mut self, events: &mut Events, wait_ms: Option<u32>) -> io::Result<bool> {
        let time_us = self.spin.time_us(wait_ms);
        if time_us == 0 {
            return Ok(false);
        }
        let until_us = self.clock.now_us() + time_us;
        loop {
            self.poll(events, Some(0))?;
            if !events.is_empty() || self.mailbox.has_mail() {
                self.spin.met();
                return Ok(true);
            }
            if self.clock.now_us() >= until_us {
                self.spin.missed();
                return Ok(false);
            }
        }
    }

    /// Waits without spinning. After a spin in vain it is the same wait once more: what is due then is
    /// late by no more than the spin.
    fn sleep(&mut self, events: &mut Events, wait_ms: Option<u32>) -> io::Result<()> {
        // Whoever only looks is not announced as asleep, so that nobody wakes it.
        let sleeps = wait_ms != Some(0) && self.mailbox.may_sleep();
        let result = self.poll(events, if sleeps { wait_ms } else { Some(0) });
        if sleeps {
            self.mailbox.woke();
        }
        result
    }

    fn poll(&mut self, events: &mut Events, wait_ms: Option<u32>) -> io::Result<()> {
        let timeout = wait_ms.map(|ms| Duration::from_millis(u64::from(ms)));
        match self.poll.poll(events, timeout) {
            // As if the time were over: there are no events then.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    fn event(&mut self, event: &Event) {
        let Token(token) = event.token();
        if event.token() == WAKER {
            return;
        }
        if token > FIRST_LISTENER - LISTENERS_MAX {
            self.shard.acceptable(FIRST_LISTENER - token);
            return;
        }
        let conn = conn_id(self.core, token);
        // An error counts as room: the write that waits, if one does, finds out what is wrong.
        if event.is_writable() || event.is_write_closed() || event.is_error() {
            self.shard.writable(conn);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            let near_end = if event.is_read_closed() || event.is_error() {
                NearEnd::Yes
            } else {
                NearEnd::No
            };
            self.shard.readable(conn, near_end);
        }
    }

    fn take_mail(&mut self) {
        for from in self.mailbox.senders() {
            // Only so much, so that mail does not keep sockets waiting.
            for _ in 0..MAIL_PER_TURN {
                let Some(mail) = self.mailbox.receive(from) else {
                    break;
                };
                self.shard.mail(from, mail);
            }
        }
    }

    /// Does what the shard says until it says to wait.
    fn steps(&mut self) -> Option<u32> {
        loop {
            match self.shard.next_step() {
                Step::Read { conn, mut into } => {
                    let result = match transport(&mut self.transports, conn) {
                        Some(transport) => transport.read(&mut into),
                        None => ReadResult::Broken,
                    };
                    self.shard.did_read(result);
                }
                Step::Write { conn, output } => {
                    let result = match transport(&mut self.transports, conn) {
                        Some(transport) => transport.write(output),
                        None => WriteResult::Broken,
                    };
                    self.shard.did_write(result);
                }
                Step::Accept { listener, max } => self.accept(listener, max),
                Step::EndOutput(conn) => {
                    if let Some(transport) = transport(&mut self.transports, conn) {
                        transport.end_output();
                    }
                }
                Step::Close(conn, how) => {
                    // The descriptor leaves the poll when it is closed.
                    if let Some(transport) = self
                        .transports
                        .get_mut(conn.slot as usize)
                        .and_then(Option::take)
                    {
                        transport.close(how);
                    }
                }
                Step::Mail(to, mail) => {
                    if let Err(Full(mail)) = self.mailbox.send(to, mail) {
                        self.shard.undelivered(to, mail);
                    }
                }
                Step::Wait(wait_ms) => return wait_ms,
            }
        }
    }

    fn accept(&mut self, listener: usize, max: usize) {
        let Some(socket) = self.listeners.get(listener) else {
            self.shard.did_accept(listener, Accepted::Drained);
            return;
        };
        for _ in 0..max {
            match socket.accept() {
                Ok((mut stream, peer)) => {
                    let Some(conn) = self.shard.accepted(peer) else {
                        // One too many: it is closed here.
                        continue;
                    };
                    let slot = conn.slot as usize;
                    if slot >= self.transports.len() {
                        self.transports.resize_with(slot + 1, || None);
                    }
                    // Both from the beginning: under edge triggering room for output is told once, and
                    // the poll never has to be told that output waits now, or no longer does.
                    let both = Interest::READABLE | Interest::WRITABLE;
                    // If it cannot be watched, the first read or write finds no transport.
                    if let Err(error) =
                        self.poll
                            .registry()
                            .register(&mut stream, token(conn), both)
                    {
                        tracing::warn!(%error, "cannot watch a connection");
                    } else {
                        self.transports[slot] = Some(Transport::Plain(stream));
                    }
                }
                Err(accepted) => {
                    self.shard.did_accept(listener, accepted);
                    return;
                }
            }
        }
        self.shard.did_accept(listener, Accepted::More);
    }

    /// Stops when told to. Returns the connections that are left when all is done.
    fn follow_control(&mut self, now: Now, wait_ms: &mut Option<u32>) -> Option<usize> {
        match self.life {
            Life::Running => {
                if self.control.is_stopping() {
                    self.life = Life::Draining {
                        since: now.tick,
                        until: now.tick.after(self.shutdown_timeout_ms),
                    };
                    for (index, listener) in self.listeners.iter().enumerate() {
                        listener.admit_nobody();
                        self.shard.acceptable(index);
                    }
                    self.shard.stop();
                    *wait_ms = Some(0);
                }
                None
            }
            Life::Draining { since, until } => {
                // Handshakes that had begun come into the queue within this time.
                let settled = since.after(HANDSHAKE_MS).is_due(now.tick);
                if settled && (!self.shard.is_accepting() || until.is_due(now.tick)) {
                    self.listeners.clear();
                    self.life = Life::Ending { until };
                    *wait_ms = Some(0);
                } else {
                    *wait_ms = Some(wait_ms.map_or(HANDSHAKE_MS, |ms| ms.min(HANDSHAKE_MS)));
                    // Asked once more, so that what is known of them is of this moment.
                    for index in 0..self.listeners.len() {
                        self.shard.acceptable(index);
                    }
                }
                None
            }
            Life::Ending { until } => {
                let left = self.shard.connections();
                if left == 0 || until.is_due(now.tick) {
                    self.shard.abandon();
                    return Some(left);
                }
                let until_ms = until.since(now.tick);
                *wait_ms = Some(wait_ms.map_or(until_ms, |ms| ms.min(until_ms)));
                None
            }
        }
    }
}

impl<H: Handler, F> std::fmt::Debug for Reactor<H, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reactor({}, {:?})", self.core, self.life)
    }
}

fn transport(transports: &mut [Option<Transport>], conn: ConnId) -> Option<&mut Transport> {
    transports.get_mut(conn.slot as usize)?.as_mut()
}

/// A connection's token: its generation above its slot. The highest generation is not used, so
/// that tokens stay below those of listeners.
fn token(conn: ConnId) -> Token {
    Token((conn.generation as usize) << 32 | conn.slot as usize)
}

fn conn_id(core: CoreId, token: usize) -> ConnId {
    ConnId {
        core,
        slot: u32::try_from(token & 0xffff_ffff).unwrap_or(u32::MAX),
        generation: u32::try_from(token >> 32).unwrap_or(u32::MAX),
    }
}

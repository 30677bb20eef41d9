//! One core's connections as a machine that a driver turns. See the [module above](super).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corewire_protocol::deflate::InflateBudget;
use corewire_protocol::{CloseCode, Tick};

use crate::ids::{ConnId, CoreId};
use crate::metrics::Counters;
use crate::timers::Wheel;

use super::commons::{Commons, Running};
use super::conn::{CloseHow, Conn, Hold, Queue, ReadSide, Stage, Wish, WriteSide};
use super::conn_table::ConnTable;
use super::context::Effect;
use super::http::{Admission, Http};
use super::options::Options;
use super::outbound::Outbound;
use super::service::{End, Handler};
use super::turn::{Phase, Turn};

/// Milliseconds to wait before accepting again after descriptors ran out.
const ACCEPT_RETRY_MS: u32 = 100;
/// Milliseconds to wait before mail is sent that answers a full queue.
const MAIL_RETRY_MS: u32 = 1;
/// Milliseconds that a connection without a request has when the server stops.
const STOP_REQUEST_MS: u32 = 1000;

/// The moment of a turn, read once by the driver.
#[derive(Debug, Clone, Copy, Default)]
pub struct Now {
    /// For deadlines.
    pub tick: Tick,
    /// Milliseconds since 1970, for the Date header and for applications.
    pub unix_ms: u64,
}

/// What the driver is to do next.
#[derive(Debug)]
pub enum Step<'a, M> {
    /// Accept up to `max` connections, [`Shard::accepted`] for each, then
    /// [`Shard::did_accept`].
    Accept {
        /// The listener's place in the list of listeners.
        listener: usize,
        /// How many at most.
        max: usize,
    },
    /// Read once, then [`Shard::did_read`].
    Read {
        /// From which connection.
        conn: ConnId,
        /// Into what.
        into: ReadInto<'a>,
    },
    /// Write once, then [`Shard::did_write`].
    Write {
        /// To which connection.
        conn: ConnId,
        /// What.
        output: &'a Outbound,
    },
    /// End our side of the connection; the peer's is still read.
    EndOutput(ConnId),
    /// Close the connection and forget it; `Reset` or `Close`.
    Close(ConnId, CloseHow),
    /// Put mail into the queue to a core, and [`Shard::undelivered`] if it does not fit.
    Mail(CoreId, M),
    /// Wait for events, at most this many milliseconds; `None` is for ever.
    Wait(Option<u32>),
}

/// Where the next bytes go.
#[derive(Debug)]
pub enum ReadInto<'a> {
    /// The core's receive buffer.
    Buffer(&'a mut [u8]),
    /// The spare capacity of a large message's own buffer.
    Spare(&'a mut Vec<u8>),
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadResult {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing yet.
    WouldBlock,
    /// The peer will send no more.
    End,
    /// The connection is broken.
    Broken,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteResult {
    /// All bytes that were offered, so many, were taken.
    All(usize),
    /// The first so many were taken, less than were offered.
    Part(usize),
    /// None was taken.
    WouldBlock,
    /// The connection is broken.
    Broken,
}

/// How an accept ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// There may be more.
    More,
    /// The queue is empty.
    Drained,
    /// The process or the system has no descriptor left.
    Exhausted,
}

/// The machine. Inputs are [`accepted`](Self::accepted), [`readable`](Self::readable),
/// [`writable`](Self::writable), [`acceptable`](Self::acceptable), [`mail`](Self::mail) and
/// [`time`](Self::time); then [`next_step`](Self::next_step) until it says [`Step::Wait`].
///
/// Invariants: a connection stands in the ready list at most once; what is ready and not handled
/// stands in it; while it is not empty, Wait has no time. So nothing starves and nothing is lost,
/// although the system tells readiness only once.
#[derive(Debug)]
pub struct Shard<H: Handler, F> {
    pub(super) factory: F,
    pub(super) handler: H,
    pub(super) conns: ConnTable<H::Session>,
    pub(super) commons: Commons<H::Mail>,
    pub(super) wheel: Wheel,
    /// When the handler's alarm is to ring.
    alarm: Option<Tick>,
    pub(super) ready: VecDeque<u32>,
    round: Round,
    /// How many of the ready list have their turn before the next wait.
    turns_left: usize,
    pub(super) turn: Option<Turn>,
    pub(super) spare: Option<Box<Outbound>>,
    pub(super) receive_buffer: Vec<u8>,
    outbox: VecDeque<(CoreId, H::Mail)>,
    /// Mail that was recorded because other mail did not fit: for a later round.
    deferred: VecDeque<(CoreId, H::Mail)>,
    /// The cores whose queues were found full in this round. Further mail for them waits, too, so
    /// that none overtakes another.
    full: Vec<CoreId>,
    listeners: Vec<Listener>,
    /// Connections of the whole process.
    population: Arc<AtomicUsize>,
    life: Life,
}

/// What is between two waits: everything that is ready at its beginning has one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// It begins with the next step.
    Next,
    Begun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    Drained,
    Ready,
    /// It was asked and has more: its turn comes again after the next wait.
    Later,
    /// Out of descriptors.
    Paused {
        until: Tick,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    Stopping,
}

/// What [`Shard::next_step`] has decided, before it borrows what the step lends.
pub(super) enum Next<M> {
    Read(ConnId),
    Write(ConnId),
    Ready(Step<'static, M>),
}

/// What all the shards of a server share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The settings.
    pub options: Arc<Options>,
    /// The bound on inflated bytes.
    pub inflate_budget: Arc<InflateBudget>,
    /// Connections of the whole process.
    pub population: Arc<AtomicUsize>,
}

impl<H: Handler, F: FnMut() -> H> Shard<H, F> {
    /// A shard of `core` with so many listeners. `factory` makes the handler, and another one if
    /// that panics.
    pub fn new(
        core: CoreId,
        shared: Shared,
        counters: Arc<Counters>,
        listeners: usize,
        now: Now,
        mut factory: F,
    ) -> Self {
        let Shared {
            options,
            inflate_budget,
            population,
        } = shared;
        let mut shard = Self {
            handler: factory(),
            factory,
            conns: ConnTable::new(core),
            wheel: Wheel::new(now.tick),
            alarm: None,
            ready: VecDeque::new(),
            round: Round::Next,
            turns_left: 0,
            turn: None,
            spare: None,
            receive_buffer: vec![0; options.receive_buffer_bytes],
            outbox: VecDeque::new(),
            deferred: VecDeque::new(),
            full: Vec::new(),
            listeners: vec![Listener::Ready; listeners],
            population,
            life: Life::Running,
            commons: Commons::new(options, inflate_budget, counters, now),
        };
        shard.begin();
        shard
    }

    // ── Inputs ──

    /// The time of what follows.
    pub const fn time(&mut self, now: Now) {
        self.commons.now = now;
        self.commons.effects.now = now;
        // A core without deadlines may have waited for any time.
        self.wheel.rest(now.tick);
    }

    /// A listener has connections.
    pub fn acceptable(&mut self, listener: usize) {
        if let Some(state @ Listener::Drained) = self.listeners.get_mut(listener) {
            *state = Listener::Ready;
        }
    }

    /// A connection was accepted. `None` if it is one too many: the driver closes it.
    pub fn accepted(&mut self, peer: SocketAddr) -> Option<ConnId> {
        let commons = &self.commons;
        let max = commons.options.connections_max;
        let before = self.population.fetch_add(1, Ordering::Relaxed);
        commons.counters.accepted.add(1);
        let admission = match (self.life, before < max) {
            (Life::Stopping, _) => Admission::Stopping,
            (Life::Running, true) => Admission::Served,
            (Life::Running, false) => {
                commons.counters.over_connections_max.add(1);
                Admission::OverLimit
            }
        };
        // Some more are taken in to be told 503; beyond them it costs too much to be polite.
        if before >= max.saturating_add(max / 16).saturating_add(16) {
            self.population.fetch_sub(1, Ordering::Relaxed);
            commons.counters.ended.add(1);
            return None;
        }
        let now = commons.now.tick;
        let timeout_ms = match self.life {
            Life::Running => commons.options.request_timeout_ms,
            Life::Stopping => commons.options.request_timeout_ms.min(STOP_REQUEST_MS),
        };
        let deadline = now.after(timeout_ms);
        let id = self
            .conns
            .insert(Conn::new(Http::new(peer, deadline, admission), now));
        self.wheel.arm(id.slot, deadline);
        self.enqueue(id);
        // Most clients speak at once: this round has one turn more, which is its own unless mail or a
        // deadline has put others before it.
        self.turns_left += 1;
        Some(id)
    }

    /// How [`Step::Accept`] ended.
    pub fn did_accept(&mut self, listener: usize, accepted: Accepted) {
        let state = match accepted {
            Accepted::More => Listener::Later,
            Accepted::Drained => Listener::Drained,
            Accepted::Exhausted => {
                self.commons.counters.accept_exhausted.add(1);
                Listener::Paused {
                    until: self.commons.now.tick.after(ACCEPT_RETRY_MS),
                }
            }
        };
        if let Some(place) = self.listeners.get_mut(listener) {
            *place = state;
        }
    }

    /// A connection has bytes, or its end.
    pub fn readable(&mut self, conn: ConnId, near_end: NearEnd) {
        if let Some(known) = self.conns.get_mut(conn) {
            known.read = match (known.read, near_end) {
                (ReadSide::Ended, _) => ReadSide::Ended,
                (ReadSide::ReadyToEnd, _) | (_, NearEnd::Yes) => ReadSide::ReadyToEnd,
                (ReadSide::Drained | ReadSide::Ready, NearEnd::No) => ReadSide::Ready,
            };
            if known.takes_input(&self.commons.options) {
                self.enqueue(conn);
            }
        }
    }

    /// A connection takes output.
    pub fn writable(&mut self, conn: ConnId) {
        if let Some(known) = self.conns.get_mut(conn) {
            known.write = WriteSide::Ready;
            if known.outbound.is_some() {
                self.enqueue(conn);
            }
        }
    }

    /// Mail has come.
    pub fn mail(&mut self, from: CoreId, mail: H::Mail) {
        self.guarded(|shard| {
            let handler = &mut shard.handler;
            shard
                .commons
                .call(|commons| handler.mail(from, mail, &mut commons.effects));
        });
        self.apply_effects();
    }

    /// Mail of [`Step::Mail`] did not fit. No more is sent to that core in this round.
    pub fn undelivered(&mut self, to: CoreId, mail: H::Mail) {
        if !self.full.contains(&to) {
            self.full.push(to);
        }
        self.commons.counters.mail_full.add(1);
        let before = self.outbox.len();
        self.guarded(|shard| {
            let handler = &mut shard.handler;
            shard
                .commons
                .call(|commons| handler.undelivered(to, mail, &mut commons.effects));
        });
        self.apply_effects();
        // Tried again at once it would not fit either, and two full cores would wait for each
        // other.
        self.deferred.extend(self.outbox.drain(before..));
    }

    /// The server stops: the handler closes its WebSockets, new requests are answered with 503.
    pub fn stop(&mut self) {
        self.life = Life::Stopping;
        let deadline = self.commons.now.tick.after(STOP_REQUEST_MS);
        for id in self.conns.ids() {
            if let Some(conn) = self.conns.get_mut(id)
                && let Stage::Http(http) = &mut conn.stage
            {
                http.stop(deadline);
                self.wheel.arm(id.slot, deadline);
            }
            self.guarded(|shard| shard.stop_conn(id));
            self.apply_effects();
        }
    }

    fn stop_conn(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let Stage::Open(websocket, Some(session)) = &mut conn.stage else {
            return;
        };
        let out = conn.outbound.get_or_insert_with(|| {
            conn.waits_since = self.commons.now.tick;
            Box::default()
        });
        let (handler, own) = (&mut self.handler, (&mut conn.timer, &mut conn.hold));
        self.commons.call(|commons| {
            handler.stop(session, &mut commons.context(id, websocket, out, own));
        });
        self.enqueue(id);
    }

    /// The driver gives up what is left: the sessions are closed, as if their connections were
    /// lost. Nothing is sent any more.
    pub fn abandon(&mut self) {
        self.guarded(|shard| {
            for id in shard.conns.ids() {
                if let Some(conn) = shard.conns.get_mut(id)
                    && let Stage::Open(_, session) = &mut conn.stage
                    && let Some(session) = session.take()
                {
                    let handler = &mut shard.handler;
                    shard
                        .commons
                        .call(|commons| handler.close(session, &End::Lost, &mut commons.effects));
                }
            }
        });
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Whether a listener may still have connections in its queue.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        self.listeners
            .iter()
            .any(|listener| *listener != Listener::Drained)
    }

    // ── Steps ──

    /// What to do next.
    pub fn next_step(&mut self) -> Step<'_, H::Mail> {
        match self.decide() {
            Next::Read(conn) => Step::Read {
                conn,
                into: self.read_into(conn),
            },
            Next::Write(conn) => match &self.turn {
                Some(turn) => Step::Write {
                    conn,
                    output: &turn.out,
                },
                // Only a turn writes, so there is one.
                None => Step::Wait(Some(0)),
            },
            Next::Ready(step) => step,
        }
    }

    fn decide(&mut self) -> Next<H::Mail> {
        if self.round == Round::Next {
            self.round = Round::Begun;
            self.turns_left = self.ready.len();
            self.full.clear();
            // What waited for this round goes before what was recorded since, as it was before it.
            self.deferred.append(&mut self.outbox);
            std::mem::swap(&mut self.deferred, &mut self.outbox);
        }
        // Mail goes first, for others to work meanwhile. What has a deadline comes before those who
        // come by themselves, and these last: the list of those that are ready may be long.
        loop {
            if self.turn.is_some() {
                if let Some(next) = self.continue_turn() {
                    return next;
                }
            } else if let Some((to, mail)) = self.outbox.pop_front() {
                if self.full.contains(&to) {
                    self.undelivered(to, mail);
                    continue;
                }
                self.commons.counters.mail_sent.add(1);
                return Next::Ready(Step::Mail(to, mail));
            } else if self
                .alarm
                .is_some_and(|at| at.is_due(self.commons.now.tick))
            {
                self.ring();
            } else if let Some(slot) = self.wheel.fire(self.commons.now.tick) {
                if let Some(id) = self.conns.id_at(slot) {
                    if let Some(conn) = self.conns.get_mut(id) {
                        conn.fired();
                    }
                    self.begin_turn(id, Phase::Due);
                }
            } else if let Some(listener) = self.next_listener() {
                return Next::Ready(Step::Accept {
                    listener,
                    max: self.commons.options.accepts_per_turn,
                });
            } else if let Some(id) = self.next_ready() {
                self.begin_turn(id, Phase::Drain);
            } else {
                return Next::Ready(Step::Wait(self.end_round()));
            }
        }
    }

    fn ring(&mut self) {
        self.alarm = None;
        self.guarded(|shard| {
            let handler = &mut shard.handler;
            shard
                .commons
                .call(|commons| handler.alarm(&mut commons.effects));
        });
        self.apply_effects();
    }

    /// Each listener is asked once between two waits.
    fn next_listener(&mut self) -> Option<usize> {
        let now = self.commons.now.tick;
        for listener in &mut self.listeners {
            if let Listener::Paused { until } = *listener
                && until.is_due(now)
            {
                *listener = Listener::Ready;
            }
        }
        self.listeners
            .iter()
            .position(|listener| *listener == Listener::Ready)
    }

    fn next_ready(&mut self) -> Option<ConnId> {
        while self.turns_left > 0 {
            self.turns_left -= 1;
            let slot = self.ready.pop_front()?;
            if let Some(id) = self.conns.id_at(slot)
                && let Some(conn) = self.conns.get_mut(id)
            {
                conn.queue = Queue::Out;
                return Some(id);
            }
        }
        None
    }

    /// Everything that was ready had its turn. What is ready again, or still, gets another one
    /// after the driver has looked for events, without waiting for any.
    fn end_round(&mut self) -> Option<u32> {
        self.round = Round::Next;
        // The codec counts by itself: the protocol knows no counters.
        let deflated = self.commons.codec.take_deflated();
        self.commons.counters.messages_deflated.add(deflated);
        for listener in &mut self.listeners {
            if *listener == Listener::Later {
                *listener = Listener::Ready;
            }
        }
        if !self.ready.is_empty() || self.listeners.contains(&Listener::Ready) {
            return Some(0);
        }
        let now = self.commons.now.tick;
        let retries = self.listeners.iter().filter_map(|listener| match listener {
            Listener::Paused { until } => Some(until.since(now)),
            Listener::Drained | Listener::Ready | Listener::Later => None,
        });
        let mail = (!self.deferred.is_empty()).then_some(MAIL_RETRY_MS);
        let alarm = self.alarm.map(|at| at.since(now));
        let next = self.wheel.next_in_ms(now);
        retries.chain(next).chain(alarm).chain(mail).min()
    }

    // ── Helpers of the turn ──

    pub(super) fn enqueue(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            queue_up(&mut self.ready, id, conn);
        }
    }

    /// Takes a connection out of the table.
    pub(super) fn forget(&mut self, id: ConnId) {
        self.wheel.disarm(id.slot);
        if self.conns.remove(id).is_some() {
            self.population.fetch_sub(1, Ordering::Relaxed);
            self.commons.counters.ended.add(1);
        }
    }

    /// Does what handlers have recorded, which most calls have not: so much is worth a place in
    /// every caller.
    #[inline]
    pub(super) fn apply_effects(&mut self) {
        if !self.commons.effects.recorded.is_empty() {
            self.apply_recorded();
        }
    }

    fn apply_recorded(&mut self) {
        let mut recorded = std::mem::take(&mut self.commons.effects.recorded);
        for effect in recorded.drain(..) {
            match effect {
                Effect::Alarm(at) => {
                    self.alarm = Some(self.alarm.map_or(at, |before| before.earlier(at)));
                }
                Effect::Ready(id) => {
                    if let Some(conn) = self.conns.get_mut(id) {
                        conn.wish = Wish::Fill;
                        queue_up(&mut self.ready, id, conn);
                    }
                }
                Effect::Release(id) => {
                    if let Some(conn) = self.conns.get_mut(id) {
                        conn.hold = Hold::Free;
                        queue_up(&mut self.ready, id, conn);
                    }
                }
                Effect::Close(id, code, reason) => self.close(id, code, &reason),
                Effect::Mail(to, mail) => self.outbox.push_back((to, mail)),
            }
        }
        // For its room. Doing what was recorded calls no handler, so nothing was recorded meanwhile.
        self.commons.effects.recorded = recorded;
    }

    /// Begins the closing handshake of an open connection.
    fn close(&mut self, id: ConnId, code: CloseCode, reason: &str) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let Stage::Open(websocket, _) = &mut conn.stage else {
            return;
        };
        let out = match &mut self.turn {
            Some(turn) if turn.id == id => &mut turn.out,
            Some(_) | None => conn.outbound.get_or_insert_with(|| {
                conn.waits_since = self.commons.now.tick;
                Box::default()
            }),
        };
        let commons = &mut self.commons;
        out.gather(|bytes| websocket.close(code, reason, &mut commons.env(), bytes));
        self.enqueue(id);
    }

    /// Runs what may call the handler. If it panics, the damage ends at the handler if its code
    /// was running, and at the connection otherwise.
    pub(super) fn guarded(&mut self, run: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| run(self))).is_ok() {
            return;
        }
        self.commons.counters.panics.add(1);
        self.commons.effects.recorded.clear();
        match std::mem::replace(&mut self.commons.running, Running::Ours) {
            Running::TheHandlers => {
                self.replace_handler();
                self.answer_internal_error();
            }
            Running::Ours => self.reset(),
        }
    }

    /// The application's state on this core cannot be trusted any more.
    fn replace_handler(&mut self) {
        for id in self.conns.ids() {
            if let Some(conn) = self.conns.get_mut(id)
                && let Stage::Open(_, session) = &mut conn.stage
            {
                *session = None;
                conn.hold = Hold::Free;
                conn.wish = Wish::None;
                conn.timer = None;
            }
            self.close(id, CloseCode::SERVICE_RESTART, "the server restarts");
        }
        self.alarm = None;
        self.handler = (self.factory)();
        self.begin();
    }

    fn begin(&mut self) {
        let handler = &mut self.handler;
        self.commons
            .call(|commons| handler.begin(&mut commons.effects));
        self.apply_effects();
    }
}

/// Puts a connection into the ready list, unless it stands there.
pub(super) fn queue_up<S>(ready: &mut VecDeque<u32>, id: ConnId, conn: &mut Conn<S>) {
    if conn.queue == Queue::Out {
        conn.queue = Queue::In;
        ready.push_back(id.slot);
    }
}

/// Whether an event says that the peer has ended its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NearEnd {
    /// It has.
    Yes,
    /// Not yet.
    No,
}

//! One connection's turn: what it is given before the next one is.
//!
//! ```text
//!   Due ──▶ Drain ──▶ Read ──▶ Fill ──▶ Flush ──▶ Settle
//!   what    write     read     let the  write     keep what is left, arm the
//!   is due  what      once,    handler  what was  timer, queue again or end
//!           waits     handle   send     made
//! ```
//!
//! What a connection's own input produced leaves in the same turn, in one write; the budget of
//! work bounds how long the others wait.

use corewire_protocol::websocket::{Flow, Inbound};
use corewire_protocol::{State, Tick, WebSocket};

use crate::ids::ConnId;

use super::conn::{CloseHow, Conn, ReadSide, Stage, Wish, WriteSide};
use super::http::Outcome;
use super::open::{OpenConn, Received};
use super::options::Options;
use super::outbound::Outbound;
use super::service::{End, Fill, Handler};
use super::shard::{Next, ReadInto, ReadResult, Shard, Step, WriteResult, queue_up};

/// The connection whose turn it is.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) id: ConnId,
    phase: Phase,
    /// What waits for this connection, or the core's spare queue.
    pub(super) out: Box<Outbound>,
    /// Of a read into a message's own buffer: the bytes that this had before.
    filled_before: Option<usize>,
    /// How many bytes a read may bring.
    asked: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Due,
    Drain,
    Read,
    Fill,
    Flush,
    Settle,
}

impl<H: Handler, F: FnMut() -> H> Shard<H, F> {
    pub(super) fn begin_turn(&mut self, id: ConnId, phase: Phase) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        // A stall counts from the first byte that waits.
        if conn.outbound.is_none() {
            conn.waits_since = self.commons.now.tick;
        }
        let out = conn
            .outbound
            .take()
            .or_else(|| self.spare.take())
            .unwrap_or_default();
        self.commons.work = 0;
        self.turn = Some(Turn {
            id,
            phase,
            out,
            filled_before: None,
            asked: 0,
        });
    }

    /// Goes on with the turn until there is something for the driver to do, or the turn ends.
    pub(super) fn continue_turn(&mut self) -> Option<Next<H::Mail>> {
        loop {
            let turn = self.turn.as_mut()?;
            let id = turn.id;
            let Some(conn) = self.conns.get_mut(id) else {
                self.turn = None;
                return None;
            };
            match turn.phase {
                Phase::Due => {
                    turn.phase = Phase::Drain;
                    self.guarded(Self::due);
                    self.apply_effects();
                }
                Phase::Drain => {
                    turn.phase = Phase::Read;
                    if !turn.out.is_empty() && conn.write == WriteSide::Ready {
                        return Some(Next::Write(id));
                    }
                }
                Phase::Read => {
                    turn.phase = Phase::Fill;
                    let options = &self.commons.options;
                    if turn.out.queued_bytes() > options.outbound.low_bytes
                        || !conn.takes_input(options)
                    {
                        continue;
                    }
                    conn.resume(self.commons.now.tick);
                    if let Some(mut unread) = conn.unread.take() {
                        self.handle(&mut unread);
                    } else if conn.has_input() {
                        return Some(Next::Read(id));
                    }
                }
                Phase::Fill => {
                    turn.phase = Phase::Flush;
                    if conn.has_more_to_say() {
                        self.guarded(Self::fill);
                        self.apply_effects();
                    }
                }
                Phase::Flush => {
                    turn.phase = Phase::Settle;
                    if !turn.out.is_empty() && conn.write == WriteSide::Ready {
                        return Some(Next::Write(id));
                    }
                }
                Phase::Settle => return self.settle(),
            }
        }
    }

    /// Where the next bytes of this connection go.
    pub(super) fn read_into(&mut self, conn: ConnId) -> ReadInto<'_> {
        let place = match (&mut self.turn, self.conns.get_mut(conn)) {
            (Some(turn), Some(conn)) => match &mut conn.stage {
                Stage::Open(websocket, _) => websocket.room().inspect(|buffer| {
                    turn.filled_before = Some(buffer.len());
                    turn.asked = buffer.capacity() - buffer.len();
                }),
                Stage::Http(_) | Stage::Flushing { .. } | Stage::Lingering { .. } => None,
                Stage::Closing(_) => None,
            },
            (None, _) | (_, None) => None,
        };
        match place {
            Some(buffer) => ReadInto::Spare(buffer),
            None => {
                if let Some(turn) = &mut self.turn {
                    turn.filled_before = None;
                    turn.asked = self.receive_buffer.len();
                }
                ReadInto::Buffer(&mut self.receive_buffer)
            }
        }
    }

    /// What [`Step::Read`] brought.
    pub fn did_read(&mut self, result: ReadResult) {
        let Some(turn) = &mut self.turn else {
            return;
        };
        let Some(conn) = self.conns.get_mut(turn.id) else {
            return;
        };
        match result {
            ReadResult::Bytes(bytes) => {
                self.commons.counters.bytes_in.add(bytes);
                self.commons.work += bytes;
                // A short read has emptied the socket, unless its end is what comes next.
                if bytes < turn.asked && conn.read == ReadSide::Ready {
                    conn.read = ReadSide::Drained;
                }
                if let Stage::Open(websocket, _) = &mut conn.stage {
                    websocket.heard(self.commons.now.tick);
                }
                if let Some(before) = turn.filled_before.take() {
                    self.guarded(|shard| shard.filled(before));
                    self.apply_effects();
                } else {
                    turn.out.begin_replies();
                    let mut buffer = std::mem::take(&mut self.receive_buffer);
                    self.handle(&mut buffer[..bytes]);
                    // Replies may stand in it, which are written from there. Then the turn gives it
                    // back when it settles.
                    let back = match &mut self.turn {
                        Some(turn) => turn.out.end_replies(buffer),
                        None => Some(buffer),
                    };
                    if let Some(buffer) = back {
                        self.receive_buffer = buffer;
                    }
                }
            }
            ReadResult::WouldBlock => conn.read = ReadSide::Drained,
            ReadResult::End => {
                conn.read = ReadSide::Ended;
                self.input_ended();
            }
            ReadResult::Broken => self.broken(),
        }
    }

    /// What [`Step::Write`] did.
    pub fn did_write(&mut self, result: WriteResult) {
        let Some(turn) = &mut self.turn else {
            return;
        };
        let Some(conn) = self.conns.get_mut(turn.id) else {
            return;
        };
        match result {
            WriteResult::All(bytes) => {
                self.commons.counters.bytes_out.add(bytes);
                turn.out.advance(bytes, &mut self.commons.scratch.pool);
                conn.waits_since = self.commons.now.tick;
                if !turn.out.is_empty() {
                    // There are more parts than fit into one write. The phase is the one behind that write:
                    // back to it.
                    turn.phase = match turn.phase {
                        Phase::Due | Phase::Drain | Phase::Read => Phase::Drain,
                        Phase::Fill | Phase::Flush | Phase::Settle => Phase::Flush,
                    };
                }
            }
            WriteResult::Part(bytes) => {
                self.commons.counters.bytes_out.add(bytes);
                turn.out.advance(bytes, &mut self.commons.scratch.pool);
                conn.waits_since = self.commons.now.tick;
                conn.write = WriteSide::Blocked;
                self.blocked();
            }
            WriteResult::WouldBlock => {
                conn.write = WriteSide::Blocked;
                if conn.has_stalled(&self.commons.options, self.commons.now.tick) {
                    self.stalled();
                } else {
                    self.blocked();
                }
            }
            WriteResult::Broken => self.broken(),
        }
    }

    /// Handles input, in the receive buffer or kept from an earlier turn, and keeps what is left.
    fn handle(&mut self, input: &mut [u8]) {
        self.guarded(|shard| shard.receive(input));
        self.apply_effects();
    }

    /// Takes the receive buffer back from the connection whose replies stood in it.
    fn reclaim(&mut self) {
        if let Some(turn) = &mut self.turn
            && let Some(buffer) = turn.out.give_back()
        {
            self.receive_buffer = buffer;
        }
    }

    fn receive(&mut self, input: &mut [u8]) {
        let Some(turn) = &mut self.turn else {
            return;
        };
        let Some(conn) = self.conns.get_mut(turn.id) else {
            return;
        };
        match &mut conn.stage {
            Stage::Http(http) => {
                let commons = &mut self.commons;
                match http.receive(input, &mut self.handler, commons, &mut turn.out) {
                    Outcome::More { .. } => {}
                    Outcome::Yield { taken } => conn.unread = Some(input[taken..].into()),
                    Outcome::Last => {
                        conn.flush(CloseHow::Linger, &commons.options, commons.now.tick);
                    }
                    Outcome::Opened {
                        websocket,
                        session,
                        mut rest,
                    } => {
                        conn.stage = Stage::Open(websocket, Some(session));
                        self.opened(&mut rest);
                    }
                }
            }
            Stage::Open(..) => {
                let len = input.len();
                let mut inbound = Inbound::new(input);
                let received = self.open_conn().map(|mut open| open.receive(&mut inbound));
                match received {
                    Some(Received::Yield { left }) => self.keep_unread(&input[len - left..]),
                    Some(Received::Ended(end)) => self.conclude(&end),
                    Some(Received::All) | None => self.check_closed(),
                }
            }
            Stage::Lingering { bytes_left, .. } => {
                let taken = u32::try_from(input.len()).unwrap_or(u32::MAX);
                match bytes_left.checked_sub(taken) {
                    Some(left) => *bytes_left = left,
                    None => conn.stage = Stage::Closing(CloseHow::Reset),
                }
            }
            Stage::Flushing { .. } | Stage::Closing(_) => {}
        }
    }

    fn opened(&mut self, rest: &mut [u8]) {
        if let Some(mut open) = self.open_conn() {
            open.open();
        }
        if rest.is_empty() {
            self.check_closed();
        } else {
            self.receive(rest);
        }
    }

    fn filled(&mut self, before: usize) {
        match self.open_conn().map(|mut open| open.filled(before)) {
            Some(Received::Ended(end)) => self.conclude(&end),
            Some(Received::All | Received::Yield { .. }) | None => self.check_closed(),
        }
    }

    /// The current connection as an open WebSocket, with all that a call needs.
    fn open_conn(&mut self) -> Option<OpenConn<'_, H>> {
        let turn = self.turn.as_mut()?;
        let conn = self.conns.get_mut(turn.id)?;
        let flow = match conn.write {
            WriteSide::Ready => Flow::Open,
            WriteSide::Blocked => Flow::Blocked,
        };
        match &mut conn.stage {
            Stage::Open(websocket, session) => Some(OpenConn {
                id: turn.id,
                websocket,
                session,
                timer: &mut conn.timer,
                hold: &mut conn.hold,
                out: &mut turn.out,
                flow,
                handler: &mut self.handler,
                commons: &mut self.commons,
            }),
            Stage::Http(_)
            | Stage::Flushing { .. }
            | Stage::Lingering { .. }
            | Stage::Closing(_) => None,
        }
    }

    fn keep_unread(&mut self, left: &[u8]) {
        if let Some(turn) = &self.turn
            && let Some(conn) = self.conns.get_mut(turn.id)
            && !left.is_empty()
        {
            conn.unread = Some(left.into());
        }
    }

    /// Ends the connection if both Close frames were seen.
    fn check_closed(&mut self) {
        if let Some(conn) = self.turn.as_ref().and_then(|turn| self.conns.get(turn.id))
            && let Stage::Open(websocket, _) = &conn.stage
            && websocket.state() == State::Closed
        {
            self.conclude(&End::Lost);
        }
    }

    /// The WebSocket has ended: its session is closed, and what is queued leaves.
    fn conclude(&mut self, end: &End) {
        let Some(turn) = &self.turn else {
            return;
        };
        let Some(conn) = self.conns.get_mut(turn.id) else {
            return;
        };
        if !matches!(conn.stage, Stage::Open(..)) {
            return;
        }
        let how = match end {
            // RFC 6455, 7.1.1: the server ends TCP first. The peer has said all it has to say.
            End::Closed { .. } if conn.read == ReadSide::Drained => CloseHow::Close,
            End::Lost => CloseHow::Close,
            End::Closed { .. } | End::Failed(_) => CloseHow::Linger,
            End::Stalled => CloseHow::Reset,
        };
        tracing::debug!(conn = %turn.id, ?end, "WebSocket ended");
        conn.unread = None;
        conn.timer = None;
        conn.wish = Wish::None;
        let stage = conn.flush(how, &self.commons.options, self.commons.now.tick);
        if let Stage::Open(_, Some(session)) = stage {
            let handler = &mut self.handler;
            self.commons
                .call(|commons| handler.close(session, end, &mut commons.effects));
        }
    }

    /// The peer sends no more.
    fn input_ended(&mut self) {
        let Some(conn) = self
            .turn
            .as_ref()
            .and_then(|turn| self.conns.get_mut(turn.id))
        else {
            return;
        };
        match &conn.stage {
            // What was answered still leaves.
            Stage::Http(_) => {
                let now = self.commons.now.tick;
                conn.flush(CloseHow::Close, &self.commons.options, now);
            }
            Stage::Open(..) => self.guarded(|shard| shard.conclude(&End::Lost)),
            Stage::Flushing { .. } => {}
            Stage::Lingering { .. } => conn.stage = Stage::Closing(CloseHow::Close),
            Stage::Closing(_) => {}
        }
        self.apply_effects();
    }

    /// The transport is gone: nothing can leave any more.
    fn broken(&mut self) {
        self.guarded(|shard| shard.conclude(&End::Lost));
        if let Some(turn) = &mut self.turn
            && let Some(conn) = self.conns.get_mut(turn.id)
        {
            turn.out.clear(&mut self.commons.scratch.pool);
            conn.stage = Stage::Closing(CloseHow::Close);
        }
        self.apply_effects();
    }

    /// The peer has taken nothing for too long.
    fn stalled(&mut self) {
        self.commons.counters.stalled.add(1);
        self.guarded(|shard| shard.conclude(&End::Stalled));
        self.reset();
        self.apply_effects();
    }

    /// Output is blocked: it leaves the receive buffer, and the newest ping is answered before the
    /// data that waits.
    fn blocked(&mut self) {
        self.reclaim();
        let Some(turn) = &mut self.turn else {
            return;
        };
        if let Some(conn) = self.conns.get_mut(turn.id)
            && let Stage::Open(websocket, _) = &mut conn.stage
            && websocket.has_late_pong()
        {
            let commons = &mut self.commons;
            turn.out.overtake(|bytes| {
                let sent = websocket.send_late_pong(&mut commons.env(), bytes);
                commons.counters.pongs_late.add(usize::from(sent));
            });
        }
    }

    /// Does what is due.
    fn due(&mut self) {
        let now = self.commons.now.tick;
        let Some(turn) = &mut self.turn else {
            return;
        };
        let Some(conn) = self.conns.get_mut(turn.id) else {
            return;
        };
        if !turn.out.is_empty() && conn.is_to_be_asked(&self.commons.options, now) {
            conn.write = WriteSide::Ready;
        }
        let reads = turn.out.queued_bytes() <= self.commons.options.outbound.low_bytes
            && conn.takes_input(&self.commons.options);
        match &mut conn.stage {
            Stage::Http(http) if conn.unread.is_none() && http.deadline().is_due(now) => {
                http.expire(&self.commons, &mut turn.out);
                conn.flush(CloseHow::Linger, &self.commons.options, now);
            }
            Stage::Open(websocket, _) if reads => {
                let commons = &mut self.commons;
                let was = websocket.state();
                let alive = turn
                    .out
                    .gather(|bytes| websocket.timeout(&mut commons.env(), bytes));
                match (alive, was, websocket.state()) {
                    (Err(error), _, _) => {
                        let end = self.open_conn().map(|open| open.failed(error));
                        self.conclude(&end.unwrap_or(End::Lost));
                    }
                    (Ok(()), State::Open, State::Closing { .. }) => {
                        commons.counters.idle_timeouts.add(1);
                    }
                    (Ok(()), _, State::Closed) => self.conclude(&End::Lost),
                    (Ok(()), _, _) => {}
                }
            }
            Stage::Lingering { until, .. } | Stage::Flushing { until, .. } if until.is_due(now) => {
                self.reset();
            }
            // It takes some bytes, and never enough to come to our Close frame.
            Stage::Open(websocket, _) if flush_expired(websocket, &self.commons.options, now) => {
                self.conclude(&End::Lost);
                self.reset();
            }
            Stage::Http(_)
            | Stage::Open(..)
            | Stage::Flushing { .. }
            | Stage::Lingering { .. }
            | Stage::Closing(_) => {}
        }
        self.timer_due();
    }

    /// The application's timer.
    fn timer_due(&mut self) {
        let now = self.commons.now.tick;
        if let Some(mut open) = self.open_conn()
            && open.timer.is_some_and(|at| at.is_due(now))
        {
            *open.timer = None;
            open.timeout();
        }
    }

    /// Ends the connection at once. Also after a panic in our own code, when its state cannot be
    /// trusted.
    pub(super) fn reset(&mut self) {
        if let Some(turn) = &mut self.turn
            && let Some(conn) = self.conns.get_mut(turn.id)
        {
            turn.out.clear(&mut self.commons.scratch.pool);
            conn.stage = Stage::Closing(CloseHow::Reset);
        }
    }

    /// Lets the handler send, if it wants to and the connection can take it.
    fn fill(&mut self) {
        let low_bytes = self.commons.options.outbound.low_bytes;
        let Some(conn) = self
            .turn
            .as_ref()
            .and_then(|turn| self.conns.get_mut(turn.id))
        else {
            return;
        };
        if conn.write == WriteSide::Blocked {
            return;
        }
        let wish = conn.wish;
        let Some(mut open) = self.open_conn() else {
            return;
        };
        let fills =
            wish == Wish::Fill && open.websocket.is_open() && open.out.queued_bytes() <= low_bytes;
        let filled = fills.then(|| open.fill());
        if open.websocket.has_late_pong() {
            open.late_pong();
        }
        if filled == Some(Fill::Done)
            && let Some(turn) = &self.turn
            && let Some(conn) = self.conns.get_mut(turn.id)
        {
            conn.wish = Wish::None;
        }
    }

    /// The handler has panicked over a request.
    pub(super) fn answer_internal_error(&mut self) {
        if let Some(turn) = &mut self.turn
            && let Some(conn) = self.conns.get_mut(turn.id)
            && let Stage::Http(http) = &conn.stage
        {
            http.internal_error(&self.commons, &mut turn.out);
            conn.flush(
                CloseHow::Linger,
                &self.commons.options,
                self.commons.now.tick,
            );
        }
    }

    /// Ends the turn: decides what becomes of the connection.
    fn settle(&mut self) -> Option<Next<H::Mail>> {
        self.reclaim();
        let turn = self.turn.as_mut()?;
        let id = turn.id;
        let conn = self.conns.get_mut(id)?;
        let now = self.commons.now.tick;
        let linger_ms = self.commons.options.limits.close_timeout_ms;
        match conn.stage {
            Stage::Flushing {
                how: CloseHow::Linger,
                ..
            } if turn.out.is_empty() => {
                // Looked at again in this turn: the peer may have ended its side already.
                turn.phase = Phase::Read;
                conn.stage = Stage::Lingering {
                    bytes_left: self.commons.options.linger_bytes,
                    until: now.after(linger_ms),
                };
                if conn.read == ReadSide::Ended {
                    conn.stage = Stage::Closing(CloseHow::Close);
                }
                return Some(Next::Ready(Step::EndOutput(id)));
            }
            Stage::Flushing { how, .. } if turn.out.is_empty() => conn.stage = Stage::Closing(how),
            Stage::Http(_)
            | Stage::Open(..)
            | Stage::Flushing { .. }
            | Stage::Lingering { .. }
            | Stage::Closing(_) => {}
        }
        let turn = self.turn.take()?;
        if let Stage::Closing(how) = conn.stage {
            self.recycle(turn.out);
            self.forget(id);
            return Some(Next::Ready(Step::Close(id, how)));
        }
        self.park(id, turn.out);
        None
    }

    /// Keeps what was not written, queues the connection again if it has more to do, and arms its
    /// timer.
    fn park(&mut self, id: ConnId, mut out: Box<Outbound>) {
        let rest = if out.is_empty() {
            self.recycle(out);
            None
        } else {
            out.shrink();
            Some(out)
        };
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.outbound = rest;
        let options = &self.commons.options;
        let again = (conn.takes_input(options) && conn.has_input()) || wants_fill(conn);
        if conn.pauses(options) {
            self.commons.counters.reads_paused.add(1);
        }
        if let Some(at) = conn.deadline(options, self.commons.now.tick)
            && conn.is_to_be_armed(at)
        {
            self.wheel.arm(id.slot, at);
        }
        if again {
            queue_up(&mut self.ready, id, conn);
        }
    }

    fn recycle(&mut self, mut out: Box<Outbound>) {
        let pool = &mut self.commons.scratch.pool;
        out.clear(pool);
        self.commons
            .counters
            .buffers_freed
            .add(std::mem::take(&mut pool.freed));
        self.spare = Some(out);
    }
}

/// Whether the handler could send more at once. A connection that is closing is not filled any
/// more, whatever it was marked for.
fn wants_fill<S>(conn: &Conn<S>) -> bool {
    let open = matches!(&conn.stage, Stage::Open(websocket, _) if websocket.is_open());
    let flows = conn.outbound.is_none() && conn.write == WriteSide::Ready;
    conn.wish == Wish::Fill && open && flows
}

/// Whether a peer that was sent our Close frame has had its time to take what waits before it.
fn flush_expired(websocket: &WebSocket, options: &Options, now: Tick) -> bool {
    match websocket.state() {
        State::Closing { since } => since.after(options.outbound.flush_timeout_ms).is_due(now),
        State::Open | State::Closed | State::Failed(_) => false,
    }
}

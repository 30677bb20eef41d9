//! What a handler can do to its connection, and what it can record for others.

use corewire_protocol::deflate::DEFLATE_THRESHOLD_BYTES;
use corewire_protocol::{
    CloseCode, MessageKind, NotOpen, PreparedMessage, PreparedRun, Takes, Tick, WebSocket,
};

use crate::ids::{ConnId, CoreId};

use super::commons::Commons;
use super::conn::Hold;
use super::message::{Bytes, Message};
use super::outbound::{BY_REFERENCE_BYTES_MIN, Outbound};
use super::shard::Now;

/// More work than any turn may have.
const WORK_MAX: usize = usize::MAX / 2;

/// The connection that a handler is called for.
///
/// What is sent here leaves when the input that caused it is handled, in one write. A handler
/// that appends more than [`OutboundLimits::cap_bytes`](super::OutboundLimits::cap_bytes) before the peer takes some closes the
/// connection with 1013; a handler that has much to send should be [filled](super::Handler::fill).
#[derive(Debug)]
pub struct Context<'a, M> {
    pub(super) id: ConnId,
    pub(super) websocket: &'a mut WebSocket,
    pub(super) out: &'a mut Outbound,
    pub(super) timer: &'a mut Option<Tick>,
    pub(super) hold: &'a mut Hold,
    pub(super) commons: &'a mut Commons<M>,
}

impl<M> Context<'_, M> {
    /// The connection's name, which can be kept and sent to other cores.
    #[must_use]
    pub const fn id(&self) -> ConnId {
        self.id
    }

    /// The moment of the call.
    #[must_use]
    pub const fn now(&self) -> Tick {
        self.commons.now.tick
    }

    /// Sends a received message back, or on: where it was received if it is there whole, in its
    /// own buffer if it has one.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if the connection is closing. Nothing is sent.
    pub fn reply(&mut self, message: Message<'_>) -> Result<(), NotOpen> {
        let kind = message.kind();
        self.admit()?;
        let compresses =
            self.websocket.agreement().is_some() && message.len() >= DEFLATE_THRESHOLD_BYTES;
        match message.into_bytes() {
            Bytes::Whole(whole) if !compresses && self.out.takes_replies() => {
                let bytes = self.websocket.send_whole(whole, self.now())?;
                self.out.reply(bytes);
            }
            Bytes::Buffer(buffer) if !compresses && buffer.len() >= BY_REFERENCE_BYTES_MIN => {
                let payload = std::mem::take(buffer);
                let len = payload.len();
                let (websocket, env) = (&mut *self.websocket, &mut self.commons.env());
                self.out.lend(payload, |header| {
                    websocket.send_header(kind, len, env, header)
                })?;
            }
            bytes @ (Bytes::Whole(_) | Bytes::Received(_) | Bytes::Buffer(_)) => {
                return self.append(kind, &bytes);
            }
        }
        self.commons.counters.messages_out.add(1);
        Ok(())
    }

    /// Sends a text message.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if the connection is closing. Nothing is sent.
    pub fn text(&mut self, text: &str) -> Result<(), NotOpen> {
        self.send(MessageKind::Text, text.as_bytes())
    }

    /// Sends a binary message.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if the connection is closing. Nothing is sent.
    pub fn binary(&mut self, bytes: &[u8]) -> Result<(), NotOpen> {
        self.send(MessageKind::Binary, bytes)
    }

    /// Sends a copy of `payload`. The bytes of a text must be UTF-8.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if the connection is closing. Nothing is sent.
    pub fn send(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), NotOpen> {
        self.admit()?;
        self.append(kind, payload)
    }

    /// Sends a message that was encoded once for many.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if the connection is closing. Nothing is sent.
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), NotOpen> {
        self.admit()?;
        let form = self
            .websocket
            .send_prepared(message, &mut self.commons.env())?;
        self.out.prepared(message, form);
        self.commons.counters.messages_out.add(1);
        Ok(())
    }

    /// Which runs suit this connection, if any does.
    #[must_use]
    pub fn takes(&self) -> Option<Takes> {
        self.websocket.takes()
    }

    /// Lays prepared messages end to end, for all connections that [take](Self::takes) the same as
    /// this one. `None` where no run suits it.
    pub fn prepare_run(
        &mut self,
        messages: &mut dyn Iterator<Item = &PreparedMessage>,
    ) -> Option<PreparedRun> {
        self.websocket
            .prepare_run(messages, &mut self.commons.env())
    }

    /// Sends messages that were laid end to end for many.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if the connection is closing. Nothing is sent.
    ///
    /// # Panics
    ///
    /// If the run is for connections that [take](Self::takes) something else.
    pub fn send_run(&mut self, run: &PreparedRun) -> Result<(), NotOpen> {
        self.admit()?;
        self.websocket.send_run(run, &self.commons.env())?;
        self.out.run(run);
        self.commons.counters.messages_out.add(run.messages());
        Ok(())
    }

    /// Whether [`fill`](super::Handler::fill) should go on: less waits than the high watermark.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.websocket.is_open()
            && self.out.queued_bytes() < self.commons.options.outbound.high_bytes
    }

    /// Counts work of this turn, in bytes as [`turn_work`](super::Options::turn_work) counts them,
    /// for a call that does more than its message shows.
    pub const fn did_work(&mut self, bytes: usize) {
        let work = self.commons.work.saturating_add(bytes);
        // So that no further frame overflows it.
        self.commons.work = if work > WORK_MAX { WORK_MAX } else { work };
    }

    /// Whether this connection has done enough for one turn. A handler that can put off the rest of
    /// what it was asked for [holds](Self::hold) the connection, marks it [ready](Self::ready), and
    /// goes on when it is [filled](super::Handler::fill): then the others have had theirs.
    #[must_use]
    pub fn turn_is_over(&self) -> bool {
        self.commons.turn_is_over(self.out)
    }

    /// Closes the connection with a code and a reason of at most 123 bytes, after what was sent
    /// before. Messages that the peer sends from now on are thrown away.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        let (websocket, env) = (&mut *self.websocket, &mut self.commons.env());
        self.out
            .gather(|bytes| websocket.close(code, reason, env, bytes));
    }

    /// Has [`timeout`](super::Handler::timeout) called after `ms` milliseconds, to the next 8, and
    /// never in the same turn. A connection has one timer: setting it again replaces it.
    pub fn set_timer(&mut self, ms: u32) {
        *self.timer = Some(self.now().after(ms.max(1)));
    }

    /// Sends no WebSocket pings to this peer: the application has messages of its own to find out
    /// whether it is still there.
    pub const fn leave_pings_to_application(&mut self) {
        self.websocket.leave_pings_to_application();
    }

    /// Gives back what the connection does not need while it is idle: with context takeover, what was
    /// sent last. The engine's own pings do so; who has taken them over says when.
    pub fn rest(&mut self) {
        self.websocket.shrink();
    }

    /// Takes no message of more than `bytes` of this connection, where
    /// [`Limits::message_bytes`](corewire_protocol::Limits::message_bytes) allows more, until that
    /// is [lifted](Self::lift_message_limit): a larger one closes with 1009 before it is memory. A
    /// handler that does not trust its peers yet says so in [`open`](super::Handler::open), which
    /// comes before any message.
    pub fn limit_messages(&mut self, bytes: usize) {
        self.websocket.limit_messages(bytes);
    }

    /// Takes messages as large as the settings allow.
    pub const fn lift_message_limit(&mut self) {
        self.websocket.lift_message_limit();
    }

    /// Takes no further message of this connection, and reads no more of it, until it is
    /// [released](Effects::release): what it has asked for needs more time.
    pub const fn hold(&mut self) {
        *self.hold = Hold::Held;
    }

    /// Marks this connection as ready to be [filled](super::Handler::fill).
    pub fn ready(&mut self) {
        self.commons.effects.ready(self.id);
    }

    /// What can be recorded for other connections and cores.
    pub const fn effects(&mut self) -> &mut Effects<M> {
        &mut self.commons.effects
    }

    fn append(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), NotOpen> {
        let (websocket, env) = (&mut *self.websocket, &mut self.commons.env());
        self.out
            .gather(|bytes| websocket.send(kind, payload, env, bytes))?;
        self.commons.counters.messages_out.add(1);
        Ok(())
    }

    /// The bound on what waits for one connection.
    fn admit(&mut self) -> Result<(), NotOpen> {
        if self.out.queued_bytes() <= self.commons.options.outbound.cap_bytes {
            return Ok(());
        }
        if self.websocket.is_open() {
            self.commons.counters.over_outbound_cap.add(1);
            self.close(CloseCode::TRY_AGAIN_LATER, "reads too slowly");
        }
        Err(NotOpen)
    }
}

/// What a handler records during a call; the shard does it when the call has returned.
#[derive(Debug)]
pub struct Effects<M> {
    pub(super) now: Now,
    pub(super) recorded: Vec<Effect<M>>,
}

#[derive(Debug)]
pub(super) enum Effect<M> {
    Alarm(Tick),
    Ready(ConnId),
    Release(ConnId),
    Close(ConnId, CloseCode, String),
    Mail(CoreId, M),
}

impl<M> Effects<M> {
    pub(super) const fn new(now: Now) -> Self {
        Self {
            now,
            recorded: Vec::new(),
        }
    }

    /// The moment of the call.
    #[must_use]
    pub const fn now(&self) -> Now {
        self.now
    }

    /// Has [`alarm`](super::Handler::alarm) called after `ms` milliseconds, at least one. A handler
    /// has one alarm: of all that were set since it last rang, the earliest counts.
    pub fn set_alarm(&mut self, ms: u32) {
        let at = self.now.tick.after(ms.max(1));
        self.recorded.push(Effect::Alarm(at));
    }

    /// Takes messages again of a connection of this core that was [held](Context::hold).
    pub fn release(&mut self, conn: ConnId) {
        self.recorded.push(Effect::Release(conn));
    }

    /// Marks a connection of this core as ready to be [filled](super::Handler::fill). Nothing
    /// happens if it has ended.
    pub fn ready(&mut self, conn: ConnId) {
        self.recorded.push(Effect::Ready(conn));
    }

    /// Closes a connection of this core. Nothing happens if it has ended.
    pub fn close(&mut self, conn: ConnId, code: CloseCode, reason: &str) {
        self.recorded
            .push(Effect::Close(conn, code, reason.to_owned()));
    }

    /// Sends mail to the handler of a core, also to this one. Mail from one core to another keeps
    /// its order. If the queue is full, it comes back as
    /// [`undelivered`](super::Handler::undelivered), and so does what is sent behind it.
    pub fn mail(&mut self, to: CoreId, mail: M) {
        self.recorded.push(Effect::Mail(to, mail));
    }
}

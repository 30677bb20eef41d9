//! One WebSocket connection after its handshake: bytes in, events out, bytes out.
//!
//! [`WebSocket`] holds what must be kept between two reads and nothing else; what a core shares
//! among its connections (limits, time, compression) is lent for a call as [`Env`]. The driver
//!
//! 1. hands received bytes to [`next_event`](WebSocket::next_event) until it returns `None`, or
//!    reads the rest of a large payload straight into [`room`](WebSocket::room);
//! 2. appends what it sends through [`send`](WebSocket::send) and its siblings to its output;
//! 3. calls [`timeout`](WebSocket::timeout) when [`deadline`](WebSocket::deadline) has come.
//!
//! After an error the object answers only with that error: its Close frame is in the output, and
//! the connection ends as after a closing handshake.

mod control_rate;
mod event;
mod keepalive;
mod partial;

pub use event::Event;

use std::borrow::Cow;

use crate::Role;
use crate::close::{CloseCode, CloseFrame, fit_reason};
use crate::deflate::{Agreement, Codec, Takeover, Window};
use crate::error::Error;
use crate::frame::{FrameHeader, OpCode, Reserved, mask};
use crate::limits::Limits;
use crate::message::{Assembler, Form, MessageKind, Payload, PreparedMessage, wire_bytes_max};
use crate::tick::Tick;

use control_rate::ControlRate;
use keepalive::{Due, KeepAlive};
use partial::{Frame, Partial};

/// What a connection borrows from its core for the length of a call.
#[derive(Debug)]
pub struct Env<'a> {
    /// The moment of the call.
    pub now: Tick,
    /// The bounds in force.
    pub limits: &'a Limits,
    /// The core's compression contexts.
    pub codec: &'a mut Codec,
    /// Where a client's masking keys come from; a server needs none.
    pub mask_keys: MaskKeys<'a>,
}

/// A source of masking keys, which must not be predictable (RFC 6455, 10.3).
pub enum MaskKeys<'a> {
    /// For [`Role::Server`], which does not mask.
    None,
    /// For [`Role::Client`]: called once a frame.
    From(&'a mut dyn FnMut() -> [u8; 4]),
}

impl std::fmt::Debug for MaskKeys<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::From(_) => "From(_)",
        })
    }
}

/// Where frames go that answer the peer's own.
#[derive(Debug)]
pub struct Output<'a> {
    /// Frames are appended here.
    pub bytes: &'a mut Vec<u8>,
    /// Whether what is appended can leave soon.
    pub flow: Flow,
}

/// Whether the peer takes our output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// What is appended leaves soon: every ping within the rate is answered.
    Open,
    /// Earlier output waits: only the newest ping is remembered.
    Blocked,
}

/// How far the connection has come.
///
/// ```text
///          close()                      the peer's Close
///   Open ───────────────▶ Closing ───────────────────────▶ Closed
///    │                      │                                ▲
///    │                      │ broken rule                    │
///    │                      ▼                                │
///    ├── broken rule ───▶ Failed                             │
///    └── the peer's Close, answered ─────────────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Messages flow in both directions.
    Open,
    /// We have sent a Close frame; of what the peer sends only its Close frame counts.
    Closing {
        /// When ours was sent.
        since: Tick,
    },
    /// Both Close frames were seen: the output is to leave, then the connection ends.
    Closed,
    /// The peer broke a rule and was told so: the output is to leave, then the connection ends.
    Failed(Error),
}

/// A message was given to a connection that no longer sends any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOpen;

impl std::fmt::Display for NotOpen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is closing: nothing more can be sent on it")
    }
}

impl std::error::Error for NotOpen {}

/// The state of one connection. See the [module](self).
#[derive(Debug)]
pub struct WebSocket {
    role: Role,
    state: State,
    agreement: Option<Agreement>,
    keepalive: KeepAlive,
    control_rate: ControlRate,
    /// What is cut: allocated when a read ends inside a frame or a message, given back when the
    /// message is whole.
    partial: Option<Box<Partial>>,
    /// Only under context takeover.
    history: Option<Box<History>>,
    /// The newest ping that could not be answered at once.
    late_pong: Option<Box<[u8]>>,
}

/// The plain bytes that compressed messages may refer to.
#[derive(Debug, Default)]
struct History {
    inbound: Option<Window>,
    outbound: Option<Window>,
}

impl WebSocket {
    /// A connection whose handshake has just ended.
    #[must_use]
    pub fn new(role: Role, agreement: Option<Agreement>, now: Tick, limits: &Limits) -> Self {
        let history = agreement.and_then(|agreed| {
            let window = |direction: crate::deflate::Direction| {
                (direction.takeover == Takeover::Yes).then(|| Window::new(direction.window_bits))
            };
            let history =
                History { inbound: window(agreed.inbound), outbound: window(agreed.outbound) };
            (history.inbound.is_some() || history.outbound.is_some()).then(|| Box::new(history))
        });
        Self {
            role,
            state: State::Open,
            agreement,
            keepalive: KeepAlive::new(now),
            control_rate: ControlRate::new(now, limits),
            partial: None,
            history,
            late_pong: None,
        }
    }

    /// How far the connection has come.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether messages can be sent.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// What was agreed about compression.
    #[must_use]
    pub const fn agreement(&self) -> Option<&Agreement> {
        self.agreement.as_ref()
    }

    // ── Input ──

    /// Notes that the peer has sent something. The driver calls it once a read; it also lets the
    /// pong deadline stand still while the driver does not read.
    pub const fn heard(&mut self, now: Tick) {
        self.keepalive.heard(now);
    }

    /// Takes bytes from the front of `input` until an event is complete or none are left. The
    /// event borrows from `input` where it can; what is cut is kept, and `input` shrinks by what
    /// was taken.
    ///
    /// # Errors
    ///
    /// The first rule that the peer has broken; the same again at every later call.
    pub fn next_event<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        env: &mut Env<'_>,
        out: &mut Output<'_>,
    ) -> Result<Option<Event<'a>>, Error> {
        match self.state {
            State::Open | State::Closing { .. } => {}
            State::Closed => {
                *input = &mut [];
                return Ok(None);
            }
            State::Failed(error) => return Err(error),
        }
        self.receive(input, env, out).inspect_err(|&error| self.fail(error, env, out.bytes))
    }

    /// Room for the rest of a large payload that is in progress, for a driver that reads straight
    /// into it: the spare capacity of the returned buffer, never more than the payload lacks.
    /// `None` if the next bytes should be read elsewhere and go through
    /// [`next_event`](Self::next_event).
    pub fn room(&mut self) -> Option<&mut Vec<u8>> {
        let partial = self.partial.as_deref_mut()?;
        let frame = partial.frame.as_ref()?;
        if frame.header.opcode.is_control() || !matches!(self.state, State::Open) {
            return None;
        }
        partial.message.as_mut()?.room(frame.bytes_left())
    }

    /// Takes note that the driver has appended bytes to [`room`](Self::room), which had `before`
    /// bytes then. Returns the message if they ended it.
    ///
    /// # Errors
    ///
    /// As [`next_event`](Self::next_event).
    pub fn did_fill(
        &mut self,
        before: usize,
        env: &mut Env<'_>,
        out: &mut Output<'_>,
    ) -> Result<Option<Event<'static>>, Error> {
        let event = match self.partial.as_deref_mut() {
            Some(partial) => partial.did_fill(before),
            None => Ok(false),
        };
        event
            .and_then(|ended| if ended { self.end_frame(env, out) } else { Ok(None) })
            .inspect_err(|&error| self.fail(error, env, out.bytes))
    }

    // ── Output ──

    /// Appends a message as one frame, compressed if that was agreed and is worth it. The bytes
    /// of a text must be UTF-8.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if a Close frame was sent or received.
    pub fn send(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        env: &mut Env<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), NotOpen> {
        if !self.is_open() {
            return Err(NotOpen);
        }
        self.keepalive.active(env.now);
        if self.compresses(payload, env.codec) && self.send_compressed(kind, payload, env, out) {
            return Ok(());
        }
        self.frame(kind.opcode(), payload, env, out);
        Ok(())
    }

    /// Appends the header of a message that is sent as it is, for a driver that sends the payload
    /// from its own buffer. Returns `None` if the message should go through
    /// [`send`](Self::send) because it is to be compressed or masked.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if a Close frame was sent or received.
    pub fn send_header(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        env: &mut Env<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<()>, NotOpen> {
        if !self.is_open() {
            return Err(NotOpen);
        }
        if self.role == Role::Client || self.compresses(payload, env.codec) {
            return Ok(None);
        }
        self.keepalive.active(env.now);
        out.extend_from_slice(&header(kind.opcode(), false, payload.len(), None).encode());
        Ok(Some(()))
    }

    /// Chooses the form of a prepared message that suits this connection; the driver then sends
    /// [`PreparedMessage::frame`] of that form. Only for [`Role::Server`]: a client masks each
    /// frame with a key of its own.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if a Close frame was sent or received.
    pub fn send_prepared(
        &mut self,
        message: &PreparedMessage,
        env: &mut Env<'_>,
    ) -> Result<Form, NotOpen> {
        if !self.is_open() || self.role == Role::Client {
            return Err(NotOpen);
        }
        self.keepalive.active(env.now);
        let form = message.form(self.agreement.as_ref(), env.codec);
        if form == Form::Compressed
            && let Some(window) = self.history.as_mut().and_then(|h| h.outbound.as_mut())
        {
            // The peer's window has moved on by the plain bytes of this message.
            window.push(message.payload());
        }
        Ok(form)
    }

    /// Appends a ping, payload at most 125 bytes; a longer one is cut.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if a Close frame was sent or received.
    pub fn ping(
        &mut self,
        payload: &[u8],
        env: &mut Env<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), NotOpen> {
        if !self.is_open() {
            return Err(NotOpen);
        }
        let payload = &payload[..payload.len().min(crate::frame::CONTROL_BYTES_MAX)];
        self.frame(OpCode::Ping, payload, env, out);
        Ok(())
    }

    /// Appends the pong for the newest ping that was not answered at once. The driver calls it
    /// when a turn ends and its output flows. Returns whether there was one.
    pub fn send_late_pong(&mut self, env: &mut Env<'_>, out: &mut Vec<u8>) -> bool {
        match self.late_pong.take() {
            Some(payload) if self.is_open() => {
                self.frame(OpCode::Pong, &payload, env, out);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Begins the closing handshake: appends a Close frame, unless one was sent before. A code
    /// that may not be sent becomes 1000, a reason is cut to 123 bytes.
    pub fn close(&mut self, code: CloseCode, reason: &str, env: &mut Env<'_>, out: &mut Vec<u8>) {
        if self.is_open() {
            let code = if code.may_be_sent() { code } else { CloseCode::NORMAL };
            self.close_frame(Some(code), reason, env, out);
            self.state = State::Closing { since: env.now };
            // What the peer still says is not for the application: a half message goes.
            if let Some(partial) = self.partial.as_deref_mut() {
                partial.message = None;
            }
        }
    }

    // ── Time ──

    /// The moment at which [`timeout`](Self::timeout) is to be called, if nothing happens before.
    #[must_use]
    pub fn deadline(&self, limits: &Limits) -> Option<Tick> {
        match self.state {
            State::Open => self.keepalive.deadline(limits),
            State::Closing { since } => Some(since.after(limits.close_timeout_ms)),
            State::Closed | State::Failed(_) => None,
        }
    }

    /// Does what is due: a ping to a silent peer, 1001 to an idle one.
    ///
    /// # Errors
    ///
    /// [`Error::PongTimeout`] if the peer is to be given up: its connection is dead.
    pub fn timeout(&mut self, env: &mut Env<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        match self.state {
            State::Open => {}
            State::Closing { since } => {
                if since.after(env.limits.close_timeout_ms).is_due(env.now) {
                    self.state = State::Closed;
                }
                return Ok(());
            }
            State::Closed => return Ok(()),
            State::Failed(error) => return Err(error),
        }
        match self.keepalive.due(env.now, env.limits) {
            Due::Nothing => {}
            Due::Ping => self.frame(OpCode::Ping, &[], env, out),
            Due::Idle => self.close(CloseCode::GOING_AWAY, "idle for too long", env, out),
            Due::Dead => {
                self.fail(Error::PongTimeout, env, out);
                return Err(Error::PongTimeout);
            }
        }
        Ok(())
    }

    /// Gives back what an idle connection does not need: the window of what we compressed. That
    /// of what the peer compressed must stay, since the peer may refer to it.
    pub fn shrink(&mut self) {
        if let Some(window) = self.history.as_mut().and_then(|history| history.outbound.as_mut()) {
            window.clear();
        }
    }

    // ── Inside: input ──

    fn receive<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        env: &mut Env<'_>,
        out: &mut Output<'_>,
    ) -> Result<Option<Event<'a>>, Error> {
        loop {
            if self.partial.as_ref().is_none_or(|partial| partial.frame.is_none()) {
                let Some(header) = self.take_header(input)? else {
                    return Ok(None);
                };
                self.check(&header, env.limits)?;
                if let Some(payload) = take_whole(input, header.payload_bytes) {
                    match self.whole_frame(&header, payload, env, out)? {
                        Some(event) => return Ok(Some(event)),
                        None => continue,
                    }
                }
                self.begin_frame(header, env)?;
            }
            if self.take_piece(input, env)? {
                if let Some(event) = self.end_frame(env, out)? {
                    return Ok(Some(event));
                }
            } else {
                return Ok(None);
            }
        }
    }

    /// The next header: straight from the input, or completed from what was cut before.
    fn take_header(&mut self, input: &mut &mut [u8]) -> Result<Option<FrameHeader>, Error> {
        let reserved = match self.agreement {
            Some(_) => Reserved::Rsv1Compressed,
            None => Reserved::AllZero,
        };
        if let Some(partial) = self.partial.as_deref_mut().filter(|p| !p.header.is_empty()) {
            return partial.header.complete(input, self.role, reserved);
        }
        if input.is_empty() {
            return Ok(None);
        }
        if let Some((header, bytes)) = FrameHeader::parse(input, self.role, reserved)? {
            advance(input, bytes);
            return Ok(Some(header));
        }
        self.partial.get_or_insert_default().header.keep(input);
        Ok(None)
    }

    /// The rules that a header meets in the sequence of frames, before any of its payload.
    fn check(&mut self, header: &FrameHeader, limits: &Limits) -> Result<(), Error> {
        if header.opcode.is_control() {
            return Ok(());
        }
        let message = self.partial.as_deref_mut().and_then(|partial| partial.message.as_mut());
        match (header.opcode, message) {
            (OpCode::Continuation, None) if self.is_open() => Err(Error::ContinuationUnexpected),
            (OpCode::Continuation, Some(message)) => message.admit(header, limits),
            (_, Some(_)) => Err(Error::ContinuationExpected),
            (_, None) if header.payload_bytes > wire_bytes_max(header.compressed, limits) => {
                Err(Error::MessageTooLarge)
            }
            (_, None) => Ok(()),
        }
    }

    /// A frame that stands whole in the input: the common case, in which nothing is copied.
    fn whole_frame<'a>(
        &mut self,
        header: &FrameHeader,
        payload: &'a mut [u8],
        env: &mut Env<'_>,
        out: &mut Output<'_>,
    ) -> Result<Option<Event<'a>>, Error> {
        if let Some(key) = header.mask {
            mask(payload, key, 0);
        }
        let kind = match header.opcode {
            OpCode::Close | OpCode::Ping | OpCode::Pong => {
                return self.control(header.opcode, Payload::Slice(payload), env, out);
            }
            // What comes after our Close frame is not for the application.
            _ if !self.is_open() => return Ok(None),
            OpCode::Text if header.fin => MessageKind::Text,
            OpCode::Binary if header.fin => MessageKind::Binary,
            OpCode::Text | OpCode::Binary | OpCode::Continuation => {
                self.begin_message(header, env)?;
                let Some(message) = self.partial.as_deref_mut().and_then(|p| p.message.as_mut())
                else {
                    return Ok(None);
                };
                message.push(payload, env.codec, env.limits)?;
                return if header.fin { self.end_message(env) } else { Ok(None) };
            }
        };
        self.keepalive.active(env.now);
        if header.compressed {
            let mut plain = env.codec.take_buffer();
            let history = self.history.as_mut().and_then(|history| history.inbound.as_mut());
            env.codec.inflate(history, payload, env.limits, &mut plain)?;
            if kind == MessageKind::Text {
                crate::utf8::validate(&plain)?;
            }
            return Ok(Some(Event::Message(kind, Payload::Buffer(plain))));
        }
        if kind == MessageKind::Text {
            crate::utf8::validate(payload)?;
        }
        Ok(Some(Event::Message(kind, Payload::Slice(payload))))
    }

    /// A frame whose payload is cut by the end of the input.
    fn begin_frame(&mut self, header: FrameHeader, env: &mut Env<'_>) -> Result<(), Error> {
        if !header.opcode.is_control() && self.is_open() {
            self.begin_message(&header, env)?;
        }
        self.partial.get_or_insert_default().frame = Some(Frame::new(header));
        Ok(())
    }

    /// Makes the assembler of a message at its first fragment.
    fn begin_message(&mut self, header: &FrameHeader, env: &mut Env<'_>) -> Result<(), Error> {
        let kind = match header.opcode {
            OpCode::Text => MessageKind::Text,
            OpCode::Binary => MessageKind::Binary,
            OpCode::Continuation | OpCode::Close | OpCode::Ping | OpCode::Pong => return Ok(()),
        };
        let history = self.history.as_ref().and_then(|history| history.inbound.as_ref());
        let mut message = Assembler::begin(kind, header, history, env.codec, env.limits)?;
        message.admit(header, env.limits)?;
        self.partial.get_or_insert_default().message = Some(message);
        Ok(())
    }

    /// Takes what the input has of the payload in progress. Returns whether the frame is whole.
    fn take_piece(&mut self, input: &mut &mut [u8], env: &mut Env<'_>) -> Result<bool, Error> {
        let open = self.is_open();
        let Some(partial) = self.partial.as_deref_mut() else {
            return Ok(false);
        };
        let Some(frame) = &mut partial.frame else {
            return Ok(false);
        };
        let len = usize::try_from(frame.bytes_left()).map_or(input.len(), |n| n.min(input.len()));
        let piece = advance(input, len);
        frame.unmask(piece);
        if frame.header.opcode.is_control() {
            partial.control.extend_from_slice(piece);
        } else if let Some(message) = &mut partial.message
            && open
        {
            message.push(piece, env.codec, env.limits)?;
        }
        Ok(frame.bytes_left() == 0)
    }

    /// The frame in progress is whole.
    fn end_frame<'a>(
        &mut self,
        env: &mut Env<'_>,
        out: &mut Output<'_>,
    ) -> Result<Option<Event<'a>>, Error> {
        let Some(partial) = self.partial.as_deref_mut() else {
            return Ok(None);
        };
        let Some(frame) = partial.frame.take() else {
            return Ok(None);
        };
        if frame.header.opcode.is_control() {
            let payload = std::mem::take(&mut partial.control);
            if partial.message.is_none() {
                self.partial = None;
            }
            return self.control(frame.header.opcode, Payload::Buffer(payload), env, out);
        }
        if !self.is_open() {
            self.partial = None;
            return Ok(None);
        }
        if frame.header.fin { self.end_message(env) } else { Ok(None) }
    }

    /// The last fragment of the message in progress is there.
    fn end_message<'a>(&mut self, env: &mut Env<'_>) -> Result<Option<Event<'a>>, Error> {
        let Some(message) = self.partial.take().and_then(|partial| partial.message) else {
            return Ok(None);
        };
        self.keepalive.active(env.now);
        let history = self.history.as_mut().and_then(|history| history.inbound.as_mut());
        let (kind, data) = message.finish(history, env.codec, env.limits)?;
        Ok(Some(Event::Message(kind, Payload::Buffer(data))))
    }

    fn control<'a>(
        &mut self,
        opcode: OpCode,
        payload: Payload<'a>,
        env: &mut Env<'_>,
        out: &mut Output<'_>,
    ) -> Result<Option<Event<'a>>, Error> {
        match opcode {
            OpCode::Ping => {
                if self.is_open() {
                    self.answer_ping(&payload, env, out);
                }
                Ok(Some(Event::Ping(payload)))
            }
            OpCode::Pong => {
                // Counted, so that a flood of pongs does not earn the rate of a silent peer.
                let _within = self.control_rate.take(env.now, env.limits);
                Ok(Some(Event::Pong(payload)))
            }
            OpCode::Close => self.closed_by_peer(payload, env, out.bytes).map(Some),
            OpCode::Continuation | OpCode::Text | OpCode::Binary => Ok(None),
        }
    }

    fn answer_ping(&mut self, payload: &[u8], env: &mut Env<'_>, out: &mut Output<'_>) {
        let within_rate = self.control_rate.take(env.now, env.limits);
        if within_rate && out.flow == Flow::Open && self.late_pong.is_none() {
            self.frame(OpCode::Pong, payload, env, out.bytes);
        } else {
            self.late_pong = Some(payload.into());
        }
    }

    /// Answers the peer's Close frame with its own code (RFC 6455, 5.5.1), unless ours was first.
    fn closed_by_peer<'a>(
        &mut self,
        payload: Payload<'a>,
        env: &mut Env<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, Error> {
        let CloseFrame { code, reason } = CloseFrame::parse(&payload)?;
        if self.is_open() {
            self.close_frame(code, "", env, out);
        }
        let reason = Cow::Owned(reason.to_owned());
        self.end(State::Closed);
        Ok(Event::Close { code, reason })
    }

    /// Fails the connection (RFC 6455, 7.1.7): tells the peer which rule it broke.
    fn fail(&mut self, error: Error, env: &mut Env<'_>, out: &mut Vec<u8>) {
        if self.is_open() {
            self.close_frame(Some(error.close_code()), error.reason(), env, out);
        }
        self.end(State::Failed(error));
    }

    /// Nothing more is received: what is half there goes.
    fn end(&mut self, state: State) {
        self.state = state;
        self.partial = None;
        self.history = None;
        self.late_pong = None;
    }

    // ── Inside: output ──

    fn compresses(&self, payload: &[u8], codec: &Codec) -> bool {
        self.agreement.is_some() && codec.is_worth_compressing(payload)
    }

    /// Appends the message compressed. Returns false, with nothing appended, if that gains
    /// nothing.
    fn send_compressed(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        env: &mut Env<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(agreement) = self.agreement else {
            return false;
        };
        let window = self.history.as_mut().and_then(|history| history.outbound.as_mut());
        let takes_over = window.is_some();
        let mut body = env.codec.take_buffer();
        env.codec.deflate(agreement.outbound.window_bits, window, payload, &mut body);
        // Under takeover the message is in the window now, so it must be sent like this.
        let sent = takes_over || body.len() < payload.len();
        if sent {
            let key = self.mask_key(env);
            out.extend_from_slice(&header(kind.opcode(), true, body.len(), key).encode());
            append_masked(&body, key, out);
        }
        env.codec.give_buffer(body);
        sent
    }

    fn close_frame(
        &self,
        code: Option<CloseCode>,
        reason: &str,
        env: &mut Env<'_>,
        out: &mut Vec<u8>,
    ) {
        let mut body = [0; crate::frame::CONTROL_BYTES_MAX];
        let len = match code {
            None => 0,
            Some(CloseCode(code)) => {
                let reason = fit_reason(reason).as_bytes();
                body[..2].copy_from_slice(&code.to_be_bytes());
                body[2..2 + reason.len()].copy_from_slice(reason);
                2 + reason.len()
            }
        };
        self.frame(OpCode::Close, &body[..len], env, out);
    }

    fn frame(&self, opcode: OpCode, payload: &[u8], env: &mut Env<'_>, out: &mut Vec<u8>) {
        let key = self.mask_key(env);
        out.extend_from_slice(&header(opcode, false, payload.len(), key).encode());
        append_masked(payload, key, out);
    }

    fn mask_key(&self, env: &mut Env<'_>) -> Option<[u8; 4]> {
        match (self.role, &mut env.mask_keys) {
            (Role::Server, _) => None,
            (Role::Client, MaskKeys::From(next)) => Some(next()),
            // Frames would be refused unmasked; a key of zeros keeps them legal.
            (Role::Client, MaskKeys::None) => Some([0; 4]),
        }
    }
}

fn header(
    opcode: OpCode,
    compressed: bool,
    payload_bytes: usize,
    mask: Option<[u8; 4]>,
) -> FrameHeader {
    let payload_bytes = u64::try_from(payload_bytes).unwrap_or(u64::MAX >> 1);
    FrameHeader { fin: true, compressed, opcode, mask, payload_bytes }
}

fn append_masked(payload: &[u8], key: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut out[start..], key, 0);
    }
}

/// Splits `len` bytes off the front of the input.
fn advance<'a>(input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (front, rest) = std::mem::take(input).split_at_mut(len);
    *input = rest;
    front
}

/// Splits a payload off the front of the input, if it is there whole.
fn take_whole<'a>(input: &mut &'a mut [u8], payload_bytes: u64) -> Option<&'a mut [u8]> {
    let len = usize::try_from(payload_bytes).ok().filter(|&len| len <= input.len())?;
    Some(advance(input, len))
}

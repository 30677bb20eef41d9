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
mod in_place;
mod keepalive;
mod partial;
mod receive;
mod send;

pub use event::Event;
pub use in_place::{Inbound, Whole};

use std::num::NonZeroU32;

use crate::Role;
use crate::close::CloseCode;
use crate::deflate::{Agreement, Codec, InflateBounds, Window};
use crate::error::Error;
use crate::frame::OpCode;
use crate::limits::Limits;
use crate::message::BufferPool;
use crate::tick::Tick;

use control_rate::ControlRate;
use keepalive::{Due, KeepAlive};
use partial::Partial;

/// What a connection borrows from its core for the length of a call.
#[derive(Debug)]
pub struct Env<'a> {
    /// The moment of the call.
    pub now: Tick,
    /// The bounds in force.
    pub limits: &'a Limits,
    /// The core's compression contexts.
    pub codec: &'a mut Codec,
    /// Messages of fewer bytes are sent uncompressed; see
    /// [`DEFLATE_THRESHOLD_BYTES`](crate::deflate::DEFLATE_THRESHOLD_BYTES).
    pub deflate_min_bytes: usize,
    /// Memory that is reused from message to message.
    pub scratch: &'a mut Scratch,
    /// Where a client's masking keys come from; a server needs none.
    pub mask_keys: MaskKeys<'a>,
}

/// Buffers that a core's connections take turns with.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The [`Payload::Buffer`](crate::Payload::Buffer) of an inflated message is this buffer; a
    /// driver that has no other use for it puts it back.
    pub inflated: Vec<u8>,
    /// Where the buffers of large messages come from, and where a driver puts them back. A default
    /// one keeps none.
    pub pool: BufferPool,
    deflated: Vec<u8>,
    /// Plain bytes that were compressed, counted up: a driver that budgets work takes it.
    pub deflated_plain_bytes: usize,
}

impl Scratch {
    /// Buffers, and a pool of at most `pool_bytes` more for large messages.
    #[must_use]
    pub fn new(pool_bytes: usize) -> Self {
        Self {
            pool: BufferPool::new(pool_bytes),
            ..Self::default()
        }
    }
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
    /// We have sent a Close frame; the peer's is to come, and the data before it is discarded.
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
    /// Bytes of the largest message that the application takes for now, if that is less than
    /// [`Limits::message_bytes`].
    takes_for_now: Option<NonZeroU32>,
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
            let inbound = Window::inbound(agreed.inbound);
            let outbound = Window::outbound(agreed.outbound);
            let any = inbound.is_some() || outbound.is_some();
            any.then(|| Box::new(History { inbound, outbound }))
        });
        Self {
            role,
            state: State::Open,
            agreement,
            keepalive: KeepAlive::new(now),
            control_rate: ControlRate::new(now, limits),
            takes_for_now: None,
            partial: None,
            history,
            late_pong: None,
        }
    }

    /// Sends no pings: the application has messages of its own to find out whether the peer is
    /// still there.
    pub const fn leave_pings_to_application(&mut self) {
        self.keepalive.leave_to_application();
    }

    /// Takes no message of more than `bytes` from now on, at least one, where
    /// [`Limits::message_bytes`] allows more: for an application that does not know its peer yet.
    /// What is larger fails the connection with [`Error::MessageTooLargeForNow`] as early as it
    /// would above the other limit: by its header, or while it is inflated.
    pub fn limit_messages(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.takes_for_now = Some(NonZeroU32::new(bytes).unwrap_or(NonZeroU32::MIN));
    }

    /// Takes messages of up to [`Limits::message_bytes`] again. One that has begun keeps its bound.
    pub const fn lift_message_limit(&mut self) {
        self.takes_for_now = None;
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

    /// The moment at which [`timeout`](Self::timeout) is to be called, if nothing happens before.
    #[must_use]
    pub fn deadline(&self, limits: &Limits) -> Option<Tick> {
        match self.state {
            State::Open => match (
                self.keepalive.deadline(limits),
                self.message_deadline(limits),
            ) {
                (Some(peer), Some(message)) => Some(peer.earlier(message)),
                (peer, message) => peer.or(message),
            },
            State::Closing { since } => Some(since.after(limits.close_timeout_ms)),
            State::Closed | State::Failed(_) => None,
        }
    }

    /// Does what is due: a ping to a silent peer, 1001 to an idle one.
    ///
    /// # Errors
    ///
    /// [`Error::PongTimeout`] if the peer is to be given up: its connection is dead.
    /// [`Error::MessageTimeout`] if a message takes too long.
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
        if self
            .message_deadline(env.limits)
            .is_some_and(|at| at.is_due(env.now))
        {
            self.fail(Error::MessageTimeout, env, out);
            return Err(Error::MessageTimeout);
        }
        match self.keepalive.due(env.now, env.limits) {
            Due::Nothing => {}
            Due::Ping => {
                // The peer has been silent for a while: it is an idle connection.
                self.shrink();
                self.frame(OpCode::Ping, &[], env, out);
            }
            Due::Idle => self.close(CloseCode::GOING_AWAY, "idle for too long", env, out),
            Due::Dead => {
                self.fail(Error::PongTimeout, env, out);
                return Err(Error::PongTimeout);
            }
        }
        Ok(())
    }

    /// Bytes of the largest message that is taken.
    #[inline]
    fn message_bytes_max(&self, limits: &Limits) -> usize {
        match self.takes_for_now {
            None => limits.message_bytes,
            Some(bytes) => usize::try_from(bytes.get()).map_or(limits.message_bytes, |bytes| {
                bytes.min(limits.message_bytes)
            }),
        }
    }

    /// The bounds on what a message is inflated to.
    fn inflate_bounds(&self, limits: &Limits) -> InflateBounds {
        InflateBounds {
            message_bytes: self.message_bytes_max(limits),
            ..InflateBounds::from(limits)
        }
    }

    fn message_deadline(&self, limits: &Limits) -> Option<Tick> {
        self.partial.as_ref()?.message.as_ref()?.deadline(limits)
    }

    /// Gives back what an idle connection does not need: the window of what we compressed. That
    /// of what the peer compressed must stay, since the peer may refer to it.
    pub fn shrink(&mut self) {
        if let Some(window) = self
            .history
            .as_mut()
            .and_then(|history| history.outbound.as_mut())
        {
            window.give_back();
        }
    }

    /// Fails the connection (RFC 6455, 7.1.7): tells the peer which rule it broke.
    pub fn fail(&mut self, error: Error, env: &mut Env<'_>, out: &mut Vec<u8>) {
        if self.is_open() {
            self.close_frame(Some(error.close_code()), error.reason(), env, out);
        }
        self.end(State::Failed(error));
    }

    /// Fails the connection over what was received. Returns the rule as the peer was told it.
    fn refuse(&mut self, error: Error, env: &mut Env<'_>, out: &mut Vec<u8>) -> Error {
        let is_for_now = self.message_bytes_max(env.limits) < env.limits.message_bytes;
        let error = if is_for_now && error == Error::MessageTooLarge {
            Error::MessageTooLargeForNow
        } else {
            error
        };
        self.fail(error, env, out);
        error
    }

    /// Nothing more is received: what is half there goes.
    fn end(&mut self, state: State) {
        self.state = state;
        self.partial = None;
        self.history = None;
        self.late_pong = None;
    }
}

//! Our end: a [`WebSocket`] with what it borrows from its core.

use corewire_protocol::deflate::{Agreement, Codec, DEFLATE_LEVEL, InflateBudget};
use corewire_protocol::websocket::{Env, Inbound, Scratch};
use corewire_protocol::{
    CloseCode, Error, Event, Flow, Limits, MaskKeys, MessageKind, NotOpen, Output, Payload,
    PreparedMessage, Role, State, Tick, WebSocket,
};

use super::{Frame, binary, close, ping, text};

/// An event that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

pub(crate) struct Us {
    pub(crate) websocket: WebSocket,
    pub(crate) core: Core,
    pub(crate) flow: Flow,
    role: Role,
    output: Vec<u8>,
}

/// What connections borrow for a call.
pub(crate) struct Core {
    pub(crate) now: Tick,
    pub(crate) limits: Limits,
    pub(crate) deflate_min_bytes: usize,
    pub(crate) codec: Codec,
    scratch: Scratch,
    mask_keys: MaskKeySource,
}

/// One key after the other, none twice.
type MaskKeySource = Box<dyn FnMut() -> [u8; 4]>;

impl Core {
    pub(crate) fn env(&mut self) -> Env<'_> {
        Env {
            now: self.now,
            limits: &self.limits,
            codec: &mut self.codec,
            deflate_min_bytes: self.deflate_min_bytes,
            scratch: &mut self.scratch,
            mask_keys: MaskKeys::From(&mut self.mask_keys),
        }
    }
}

/// For rules that hold at both ends.
pub(crate) fn both_roles() -> [Us; 2] {
    [Us::new(Role::Server), Us::new(Role::Client)]
}

pub(crate) fn said_text(text: &str) -> Said {
    Said::Text(text.to_owned())
}

pub(crate) fn said_binary(bytes: impl AsRef<[u8]>) -> Said {
    Said::Binary(bytes.as_ref().to_vec())
}

pub(crate) fn said_ping(bytes: impl AsRef<[u8]>) -> Said {
    Said::Ping(bytes.as_ref().to_vec())
}

pub(crate) fn said_pong(bytes: impl AsRef<[u8]>) -> Said {
    Said::Pong(bytes.as_ref().to_vec())
}

pub(crate) fn said_close(code: Option<u16>, reason: &str) -> Said {
    Said::Close(code, reason.to_owned())
}

impl Us {
    pub(crate) fn new(role: Role) -> Self {
        Self::with(role, None, Limits::default())
    }

    pub(crate) fn with(role: Role, agreement: Option<Agreement>, limits: Limits) -> Self {
        // So that every test whose time passes sees it wrap.
        let now = Tick(u32::MAX - 1000);
        let mut keys = 0_u32;
        Self {
            websocket: WebSocket::new(role, agreement, now, &limits),
            core: Core {
                now,
                limits,
                deflate_min_bytes: 0,
                codec: Codec::new(DEFLATE_LEVEL, InflateBudget::new(1 << 30)),
                scratch: Scratch::default(),
                mask_keys: Box::new(move || {
                    keys += 1;
                    keys.wrapping_mul(0x9e37_79b9).to_le_bytes()
                }),
            },
            flow: Flow::Open,
            role,
            output: Vec::new(),
        }
    }

    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    pub(crate) const fn peer(&self) -> Role {
        match self.role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        }
    }

    /// The peer's frames, and nothing wrong with them: what we make of them.
    #[track_caller]
    pub(crate) fn receive(&mut self, frames: impl IntoIterator<Item = Frame>) -> Vec<Said> {
        let (said, verdict) = self.receive_bytes(&self.wire(frames));
        assert_eq!(verdict, Ok(()));
        said
    }

    /// Bytes that end inside a frame or a message: there is nothing to say yet.
    #[track_caller]
    pub(crate) fn receive_part(&mut self, bytes: &[u8]) {
        assert_eq!(self.receive_bytes(bytes), (vec![], Ok(())));
    }

    /// The peer's frames, the last of which breaks a rule as soon as its header does: we say
    /// nothing to the application, tell the peer why, and never anything else again.
    #[track_caller]
    pub(crate) fn fails(mut self, frames: impl IntoIterator<Item = Frame>, error: Error) {
        let verdict = self.receive_bytes(&self.wire(frames));
        assert_eq!(verdict, (vec![], Err(error)));
        self.has_failed(error);
    }

    /// RFC 6455, 7.1.7: a Close frame with the right code, and the end of everything else.
    #[track_caller]
    pub(crate) fn has_failed(mut self, error: Error) {
        let last = close(error.close_code().0, error.reason());
        assert_eq!(self.sent(), [last], "7.1.7: a Close frame");
        assert_eq!(self.websocket.state(), State::Failed(error));
        for later in [text("later"), ping("later"), close(1000, "")] {
            let verdict = self.receive_bytes(&later.wire(self.peer()));
            assert_eq!(verdict, (vec![], Err(error)), "errors are sticky");
        }
        let filled = self.websocket.did_fill(
            0,
            &mut self.core.env(),
            &mut Output {
                bytes: &mut self.output,
                flow: self.flow,
            },
        );
        assert_eq!(filled, Err(error), "errors are sticky");
        assert!(self.websocket.room().is_none());
        assert_eq!(self.timeout(), Err(error), "errors are sticky");
        self.sends_nothing_more();
    }

    /// RFC 6455, 5.5.1: no data after a Close frame, and no second one.
    #[track_caller]
    pub(crate) fn sends_nothing_more(&mut self) {
        assert_eq!(self.send(MessageKind::Text, b"late"), Err(NotOpen));
        let env = &mut self.core.env();
        let out = &mut self.output;
        let header = self.websocket.send_header(MessageKind::Text, 4, env, out);
        assert_eq!(header, Err(NotOpen));
        let prepared = PreparedMessage::text("late");
        assert_eq!(self.websocket.send_prepared(&prepared, env), Err(NotOpen));
        assert_eq!(self.websocket.ping(b"late", env, out), Err(NotOpen));
        self.websocket.close(CloseCode::NORMAL, "late", env, out);
        assert_eq!(self.sent(), []);
    }

    pub(crate) fn wire(&self, frames: impl IntoIterator<Item = Frame>) -> Vec<u8> {
        frames
            .into_iter()
            .flat_map(|frame| frame.wire(self.peer()))
            .collect()
    }

    /// Bytes as one read: the events, and the broken rule after them.
    pub(crate) fn receive_bytes(&mut self, bytes: &[u8]) -> (Vec<Said>, Result<(), Error>) {
        let mut bytes = bytes.to_vec();
        let mut input = &mut bytes[..];
        let mut said = Vec::new();
        self.websocket.heard(self.core.now);
        let verdict = loop {
            let mut output = Output {
                bytes: &mut self.output,
                flow: self.flow,
            };
            match self
                .websocket
                .next_event(&mut input, &mut self.core.env(), &mut output)
            {
                Ok(Some(event)) => said.push(owned(event)),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if verdict.is_ok() {
            assert!(input.is_empty(), "bytes were left without an event");
        }
        (said, verdict)
    }

    /// Bytes as one read, as a server takes them: whole messages the short way, every other one
    /// sent back from where it was received.
    pub(crate) fn receive_in_place(&mut self, bytes: &[u8]) -> (Vec<Said>, Result<(), Error>) {
        let mut bytes = bytes.to_vec();
        let mut inbound = Inbound::new(&mut bytes);
        let (mut said, mut replies) = (Vec::new(), Vec::new());
        self.websocket.heard(self.core.now);
        let verdict = loop {
            let (now, limits) = (self.core.now, &self.core.limits);
            match self.websocket.next_whole(&mut inbound, now, limits) {
                Ok(Some((kind, whole))) => {
                    let payload = whole.to_vec();
                    if said.len() % 2 == 0 {
                        let reply = message(kind, &payload).wire(self.role);
                        assert_eq!(self.websocket.send_whole(whole, now), Ok(reply.len()));
                        replies.extend(reply);
                    }
                    let event = Event::Message(kind, Payload::Buffer(payload));
                    said.push(owned(event));
                }
                Ok(None) => {
                    let next = inbound.take(|unread| {
                        let output = &mut Output {
                            bytes: &mut self.output,
                            flow: self.flow,
                        };
                        let event =
                            self.websocket
                                .next_event(unread, &mut self.core.env(), output)?;
                        Ok(event.map(owned))
                    });
                    match next {
                        Ok(Some(event)) => said.push(event),
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                }
                Err(error) => {
                    let (env, out) = (&mut self.core.env(), &mut self.output);
                    self.websocket.fail(error, env, out);
                    break Err(error);
                }
            }
        };
        assert_eq!(inbound.replies(), replies);
        (said, verdict)
    }

    /// The front of `bytes`, at most `len`, read straight into the message's buffer if there is
    /// room, as a driver does with large payloads. `None` if not.
    pub(crate) fn fill_room(
        &mut self,
        bytes: &mut &[u8],
        len: usize,
    ) -> Option<Result<Option<Said>, Error>> {
        let room = self.websocket.room()?;
        let before = room.len();
        let len = len.min(bytes.len()).min(room.capacity() - before);
        let (now, later) = bytes.split_at(len);
        room.extend_from_slice(now);
        *bytes = later;
        let mut output = Output {
            bytes: &mut self.output,
            flow: self.flow,
        };
        let event = self
            .websocket
            .did_fill(before, &mut self.core.env(), &mut output);
        Some(event.map(|event| event.map(owned)))
    }

    /// The frames that we have sent since the last call.
    #[track_caller]
    pub(crate) fn sent(&mut self) -> Vec<Frame> {
        Frame::read_all(&self.sent_bytes(), self.role)
    }

    pub(crate) fn sent_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    pub(crate) fn send(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), NotOpen> {
        let (env, out) = (&mut self.core.env(), &mut self.output);
        self.websocket.send(kind, payload, env, out)
    }

    /// A message as an application with many receivers sends it.
    pub(crate) fn send_prepared(&mut self, message: &PreparedMessage) {
        let form = self.websocket.send_prepared(message, &mut self.core.env());
        self.output
            .extend_from_slice(message.frame(form.expect("the connection is open")));
    }

    /// A message that the driver sends from a buffer of its own.
    pub(crate) fn send_header_and_payload(&mut self, kind: MessageKind, payload: &[u8]) {
        let (env, out) = (&mut self.core.env(), &mut self.output);
        self.websocket
            .send_header(kind, payload.len(), env, out)
            .expect("the connection is open");
        self.output.extend_from_slice(payload);
    }

    pub(crate) fn ping(&mut self, payload: &[u8]) -> Result<(), NotOpen> {
        let (env, out) = (&mut self.core.env(), &mut self.output);
        self.websocket.ping(payload, env, out)
    }

    pub(crate) fn send_late_pong(&mut self) -> bool {
        let (env, out) = (&mut self.core.env(), &mut self.output);
        self.websocket.send_late_pong(env, out)
    }

    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        let (env, out) = (&mut self.core.env(), &mut self.output);
        self.websocket.close(CloseCode(code), reason, env, out);
    }

    /// Milliseconds until the next timeout.
    pub(crate) fn deadline_ms(&self) -> Option<u32> {
        self.websocket
            .deadline(&self.core.limits)
            .map(|deadline| deadline.since(self.core.now))
    }

    pub(crate) fn pass(&mut self, ms: u32) {
        self.core.now = self.core.now.after(ms);
    }

    pub(crate) fn timeout(&mut self) -> Result<(), Error> {
        let (env, out) = (&mut self.core.env(), &mut self.output);
        self.websocket.timeout(env, out)
    }
}

/// A message as a frame of one's own.
pub(crate) fn message(kind: MessageKind, payload: impl AsRef<[u8]>) -> Frame {
    match kind {
        MessageKind::Text => text(payload),
        MessageKind::Binary => binary(payload),
    }
}

pub(crate) fn owned(event: Event<'_>) -> Said {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("8.1: text is UTF-8");
    match event {
        Event::Message(MessageKind::Text, payload) => Said::Text(text(&payload)),
        Event::Message(MessageKind::Binary, payload) => said_binary(&*payload),
        Event::Ping(payload) => said_ping(&*payload),
        Event::Pong(payload) => said_pong(&*payload),
        Event::Close { code, reason } => Said::Close(code.map(|code| code.0), reason),
    }
}

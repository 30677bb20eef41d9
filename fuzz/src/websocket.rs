//! A whole connection as a sequence of what the peer sends, what we send, and time.

use std::hash::{DefaultHasher, Hash, Hasher};

use corewire_protocol::deflate::{
    Agreement, Codec, DEFLATE_LEVEL, Direction, InflateBudget, SCRATCH_BYTES, Takeover,
};
use corewire_protocol::frame::{FrameHeader, OpCode, Reserved};
use corewire_protocol::message::Form;
use corewire_protocol::websocket::{Inbound, Scratch};
use corewire_protocol::{
    CloseCode, Env, Error, Event, Flow, Limits, MaskKeys, MessageKind, NotOpen, Output, Payload,
    PreparedMessage, Role, State, Tick, WebSocket,
};

use crate::heap;
use crate::input::{Input, pieces};
use crate::wire::{self, Deflater, FIN, RSV1};

/// Acts of one connection.
const ACTS_MAX: usize = 64;
/// Bytes that a script may have, so that an input is done with soon.
const SCRIPT_BYTES_MAX: usize = 512 << 10;
/// What a connection may take besides four times its largest message and what it sends: the
/// core's compression, with a deflater for each window that is in use.
const HEAP_BYTES: usize = 2 << 20;

/// However the peer's bytes are cut, and whether they are read in place, the connection says and
/// sends the same. Nothing that it says breaks a limit or a rule of the RFC; what it sends, a
/// peer of ours receives; an error is the last word; and memory is bounded by the limits.
pub fn websocket(data: &[u8]) {
    let mut input = Input::new(data);
    let setup = Setup::read(&mut input);
    let cuts = input.cuts();
    let script = script(&setup, &mut input);
    let sent_bytes: usize = script.iter().map(Act::bytes).sum();
    let allowed = HEAP_BYTES + 4 * setup.limits.message_bytes + 8 * sent_bytes;
    let whole = heap::at_most(allowed, || Run::new(&setup).play(&script, &Reading::Whole));
    for reading in [
        Reading::Cut(&cuts),
        Reading::Answering(&cuts),
        Reading::InPlace(&cuts),
    ] {
        let cut = heap::at_most(allowed, || Run::new(&setup).play(&script, &reading));
        for (number, (whole, cut)) in whole.seen.iter().zip(&cut.seen).enumerate() {
            assert_eq!(
                whole,
                cut,
                "{number}. thing seen, {:?}",
                script_names(&script)
            );
        }
        assert_eq!(whole.seen.len(), cut.seen.len());
        assert!(whole.sent == cut.sent, "something else was sent");
    }
    whole.check_sent(&setup);
}

/// What the handshake and the settings have decided.
struct Setup {
    role: Role,
    agreement: Option<Agreement>,
    limits: Limits,
    deflate_min_bytes: usize,
}

impl Setup {
    fn read(input: &mut Input<'_>) -> Self {
        let role = input.one_of(&[Role::Server, Role::Client]);
        let mut direction = || Direction {
            takeover: input.one_of(&[Takeover::No, Takeover::Yes]),
            window_bits: input.one_of(&[15, 9, 13]),
        };
        let agreement = Agreement {
            inbound: direction(),
            outbound: direction(),
        };
        let agreement = input.flag().then_some(agreement);
        let limits = Limits {
            message_bytes: input.one_of(&[70_000, 0, 1, 125, 1000, 30_000]),
            empty_fragments: u32::from(input.byte() % 4),
            inflate_ratio: input.one_of(&[100, 1, 5]),
            inflate_ratio_floor_bytes: input.one_of(&[10_000, 0, 1000]),
            control_burst: u32::from(input.byte() % 8),
            control_per_second: input.one_of(&[50, 0, 1]),
            ping_interval_ms: input.one_of(&[25_000, 0, 10]),
            pong_timeout_ms: input.one_of(&[10_000, 10]),
            idle_timeout_ms: input.one_of(&[0, 60_000, 50]),
            close_timeout_ms: input.one_of(&[5000, 20]),
            message_timeout_ms: input.one_of(&[30_000, 0, 40]),
            ..Limits::default()
        };
        Self {
            role,
            agreement,
            limits,
            deflate_min_bytes: input.one_of(&[0, 100]),
        }
    }

    const fn peer(&self) -> Role {
        match self.role {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        }
    }
}

/// One thing that happens.
enum Act {
    /// The peer sends bytes.
    Receive(Vec<u8>),
    Send(MessageKind, Vec<u8>, Way),
    Ping(Vec<u8>),
    Close(u16, String),
    Flow(Flow),
    LatePong,
    Shrink,
    Pass(u32),
    Timeout,
}

/// How a message is sent.
#[derive(Clone, Copy)]
enum Way {
    Send,
    Prepared,
    HeaderAndPayload,
}

impl Act {
    fn bytes(&self) -> usize {
        match self {
            Self::Receive(bytes) | Self::Send(_, bytes, _) | Self::Ping(bytes) => bytes.len() + 64,
            Self::Close(..)
            | Self::Flow(_)
            | Self::LatePong
            | Self::Shrink
            | Self::Pass(_)
            | Self::Timeout => 256,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Receive(_) => "receive",
            Self::Send(..) => "send",
            Self::Ping(_) => "ping",
            Self::Close(..) => "close",
            Self::Flow(_) => "flow",
            Self::LatePong => "late pong",
            Self::Shrink => "shrink",
            Self::Pass(_) => "pass",
            Self::Timeout => "timeout",
        }
    }
}

fn script_names(script: &[Act]) -> Vec<&'static str> {
    script.iter().map(Act::name).collect()
}

fn script(setup: &Setup, input: &mut Input<'_>) -> Vec<Act> {
    let mut peer = Peer {
        role: setup.peer(),
        inbound: setup.agreement.map(|agreed| agreed.inbound),
        deflater: None,
    };
    let mut script = Vec::new();
    let mut bytes = 0;
    while !input.is_empty() && script.len() < ACTS_MAX && bytes < SCRIPT_BYTES_MAX {
        let act = match input.byte() {
            0..=69 => Act::Receive(wire::any_frame(peer.role, input)),
            70..=129 => Act::Receive(peer.message(input)),
            130..=137 => Act::Receive(input.bytes().to_vec()),
            138..=199 => any_message(input),
            200..=205 => Act::Ping(input.bytes().to_vec()),
            206..=209 => Act::Close(input.word(), String::from_utf8_lossy(input.bytes()).into()),
            210..=219 => Act::Flow(input.one_of(&[Flow::Open, Flow::Blocked])),
            220..=229 => Act::LatePong,
            230..=232 => Act::Shrink,
            233..=243 => Act::Pass(1 << (input.byte() % 20)),
            _ => Act::Timeout,
        };
        bytes += act.bytes();
        script.push(act);
    }
    script
}

fn any_message(input: &mut Input<'_>) -> Act {
    let way = input.one_of(&[Way::Send, Way::Prepared, Way::HeaderAndPayload]);
    let payload = input.payload();
    let kind = match (input.flag(), std::str::from_utf8(&payload)) {
        (false, Ok(_)) => MessageKind::Text,
        (true, _) | (false, Err(_)) => MessageKind::Binary,
    };
    Act::Send(kind, payload, way)
}

/// A peer that mostly keeps to the rules of messages.
struct Peer {
    role: Role,
    inbound: Option<Direction>,
    deflater: Option<Deflater>,
}

impl Peer {
    /// A message in one to four fragments, compressed if that was agreed, sometimes corrupted,
    /// sometimes with a control frame in it.
    fn message(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let mut payload = input.payload();
        let kind = match std::str::from_utf8(&payload) {
            Ok(_) => 1,
            Err(_) => 2,
        };
        let mut first = kind;
        if let Some(direction) = self.inbound
            && input.flag()
        {
            let deflater = self
                .deflater
                .get_or_insert_with(|| Deflater::new(direction, 6));
            payload = deflater.deflate(&payload);
            first |= RSV1;
        }
        if input.below(8) == 0 && !payload.is_empty() {
            let at = usize::from(input.word()) % payload.len();
            payload[at] ^= input.byte();
        }
        let fragments = 1 + input.below(4);
        let mut rest = &payload[..];
        let mut bytes = Vec::new();
        for number in 1..fragments {
            let (fragment, later) = rest.split_at(rest.len().min(usize::from(input.word())));
            bytes.extend(wire::frame(self.role, first, fragment, input));
            (rest, first) = (later, 0);
            if number == 1 && input.flag() {
                bytes.extend(wire::frame(self.role, FIN | 9, b"between", input));
            }
        }
        bytes.extend(wire::frame(self.role, FIN | first, rest, input));
        bytes
    }
}

/// How the peer's bytes are read.
enum Reading<'a> {
    Whole,
    Cut(&'a [usize]),
    /// Whole messages the short way, and replies where they were received.
    Answering(&'a [usize]),
    /// Straight into the message where there is room.
    InPlace(&'a [usize]),
}

/// Everything that can be seen of a connection from outside, besides what it sends.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Message(MessageKind, Digest),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<CloseCode>, String),
    Failed(Error),
    /// After each act: the state, what is due when, whether a pong waits, bytes sent so far.
    After(State, Option<Tick>, bool, usize),
    Sent(Result<(), NotOpen>),
    TimedOut(Result<(), Error>),
}

/// A payload in little space.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Digest {
    len: usize,
    hash: u64,
}

impl Digest {
    fn of(bytes: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self {
            len: bytes.len(),
            hash: hasher.finish(),
        }
    }
}

/// A connection with its core.
struct Run<'a> {
    setup: &'a Setup,
    websocket: WebSocket,
    core: Core,
    flow: Flow,
    sent: Vec<u8>,
    seen: Vec<Seen>,
    /// Messages and pings that were sent, in order.
    said: Vec<Seen>,
}

struct Core {
    now: Tick,
    limits: Limits,
    deflate_min_bytes: usize,
    codec: Codec,
    scratch: Scratch,
    keys: u32,
}

impl Core {
    fn new(limits: Limits, deflate_min_bytes: usize) -> Self {
        Self {
            // The tick wraps soon.
            now: Tick(u32::MAX - 1000),
            limits,
            deflate_min_bytes,
            codec: Codec::new(DEFLATE_LEVEL, InflateBudget::new(1 << 24)),
            scratch: Scratch::default(),
            keys: 0,
        }
    }

    fn lent<T>(&mut self, call: impl FnOnce(&mut Env<'_>) -> T) -> T {
        let keys = &mut self.keys;
        let mut next_key = || {
            *keys = keys.wrapping_add(0x9e37_79b9);
            keys.to_le_bytes()
        };
        call(&mut Env {
            now: self.now,
            limits: &self.limits,
            codec: &mut self.codec,
            deflate_min_bytes: self.deflate_min_bytes,
            scratch: &mut self.scratch,
            mask_keys: MaskKeys::From(&mut next_key),
        })
    }
}

/// What came of playing a script.
struct Played {
    seen: Vec<Seen>,
    sent: Vec<u8>,
    said: Vec<Seen>,
}

impl<'a> Run<'a> {
    fn new(setup: &'a Setup) -> Self {
        let core = Core::new(setup.limits.clone(), setup.deflate_min_bytes);
        Self {
            setup,
            websocket: WebSocket::new(setup.role, setup.agreement, core.now, &core.limits),
            core,
            flow: Flow::Open,
            sent: Vec::new(),
            seen: Vec::new(),
            said: Vec::new(),
        }
    }

    fn play(mut self, script: &[Act], reading: &Reading<'_>) -> Played {
        for act in script {
            self.act(act, reading);
            let state = self.websocket.state();
            let deadline = self.websocket.deadline(&self.core.limits);
            let late_pong = self.websocket.has_late_pong();
            self.seen
                .push(Seen::After(state, deadline, late_pong, self.sent.len()));
            if let State::Failed(error) = state {
                self.stays_failed(error);
            }
        }
        let budget = self.core.codec.budget().clone();
        drop(self.websocket);
        assert_eq!(
            budget.held(),
            SCRATCH_BYTES,
            "the budget was not given back"
        );
        Played {
            seen: self.seen,
            sent: self.sent,
            said: self.said,
        }
    }

    fn act(&mut self, act: &Act, reading: &Reading<'_>) {
        let (websocket, sent) = (&mut self.websocket, &mut self.sent);
        match act {
            Act::Receive(bytes) => self.receive(bytes, reading),
            Act::Send(kind, payload, way) => self.send(*kind, payload, *way),
            Act::Ping(payload) => {
                let result = self.core.lent(|env| websocket.ping(payload, env, sent));
                if result.is_ok() {
                    self.said
                        .push(Seen::Ping(payload[..payload.len().min(125)].to_vec()));
                }
                self.seen.push(Seen::Sent(result));
            }
            Act::Close(code, reason) => {
                self.core
                    .lent(|env| websocket.close(CloseCode(*code), reason, env, sent));
                assert!(!websocket.is_open());
            }
            Act::Flow(flow) => self.flow = *flow,
            Act::LatePong => {
                let waited = websocket.has_late_pong() && websocket.is_open();
                let did = self.core.lent(|env| websocket.send_late_pong(env, sent));
                assert!(did == waited && !websocket.has_late_pong());
            }
            Act::Shrink => websocket.shrink(),
            Act::Pass(ms) => self.core.now = self.core.now.after(*ms),
            Act::Timeout => {
                let result = self.core.lent(|env| websocket.timeout(env, sent));
                let deadline = websocket.deadline(&self.core.limits);
                assert!(
                    deadline.is_none_or(|at| !at.is_due(self.core.now)),
                    "what is due was not done"
                );
                self.seen.push(Seen::TimedOut(result));
            }
        }
    }

    fn send(&mut self, kind: MessageKind, payload: &[u8], way: Way) {
        let (websocket, sent) = (&mut self.websocket, &mut self.sent);
        let before = sent.len();
        let result = self.core.lent(|env| match (way, self.setup.role) {
            (Way::Prepared, Role::Server) => {
                let message = PreparedMessage::new(kind, payload);
                let form = websocket.send_prepared(&message, env)?;
                sent.extend_from_slice(message.frame(form));
                Ok(())
            }
            (Way::HeaderAndPayload, Role::Server) => {
                websocket.send_header(kind, payload.len(), env, sent)?;
                sent.extend_from_slice(payload);
                Ok(())
            }
            (Way::Send, _) | (Way::Prepared | Way::HeaderAndPayload, Role::Client) => {
                websocket.send(kind, payload, env, sent)
            }
        });
        if result.is_ok() {
            assert!(sent.len() - before <= payload.len() + 14, "it has grown");
            self.said.push(Seen::Message(kind, Digest::of(payload)));
        }
        self.seen.push(Seen::Sent(result));
    }

    fn receive(&mut self, bytes: &[u8], reading: &Reading<'_>) {
        if bytes.is_empty() || matches!(self.websocket.state(), State::Failed(_)) {
            return;
        }
        match *reading {
            Reading::Whole => {
                let _ = self.read(bytes);
            }
            Reading::Cut(cuts) => {
                for piece in pieces(bytes, cuts) {
                    if self.read(piece).is_err() {
                        return;
                    }
                }
            }
            Reading::Answering(cuts) => {
                for piece in pieces(bytes, cuts) {
                    if self.read_answering(piece).is_err() {
                        return;
                    }
                }
            }
            Reading::InPlace(cuts) => self.read_in_place(bytes, cuts),
        }
    }

    /// One read as a server's, of whole messages and what is between them. Every other message is
    /// sent back from where it was received.
    fn read_answering(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut bytes = bytes.to_vec();
        let mut inbound = Inbound::new(&mut bytes);
        let mut replies = Vec::new();
        let mut messages = 0;
        self.websocket.heard(self.core.now);
        let verdict = loop {
            let (now, limits) = (self.core.now, &self.core.limits);
            match self.websocket.next_whole(&mut inbound, now, limits) {
                Ok(Some((kind, whole))) => {
                    let payload = whole.to_vec();
                    messages += 1;
                    if messages % 2 == 0 {
                        let message = PreparedMessage::new(kind, &payload);
                        let frame = message.frame(Form::Plain);
                        assert_eq!(self.websocket.send_whole(whole, now), Ok(frame.len()));
                        replies.extend_from_slice(frame);
                    }
                    self.see(&Event::Message(kind, Payload::Buffer(payload)));
                }
                Ok(None) => match inbound.take(|unread| self.next_event(unread)) {
                    Ok(true) => {}
                    Ok(false) => break Ok(()),
                    Err(error) => break Err(error),
                },
                Err(error) => {
                    let (websocket, sent) = (&mut self.websocket, &mut self.sent);
                    self.core.lent(|env| websocket.fail(error, env, sent));
                    self.seen.push(Seen::Failed(error));
                    break Err(error);
                }
            }
        };
        assert_eq!(inbound.replies(), replies);
        verdict
    }

    /// One read through the receive buffer.
    fn read(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut bytes = bytes.to_vec();
        let mut rest = &mut bytes[..];
        self.websocket.heard(self.core.now);
        while self.next_event(&mut rest)? {}
        Ok(())
    }

    /// The next event of what was read. Returns whether there was one.
    fn next_event(&mut self, rest: &mut &mut [u8]) -> Result<bool, Error> {
        let before = rest.len();
        let (websocket, flow, sent) = (&mut self.websocket, self.flow, &mut self.sent);
        let event = self.core.lent(|env| {
            let mut out = Output { bytes: sent, flow };
            websocket.next_event(rest, env, &mut out)
        });
        match event {
            Ok(Some(event)) => {
                self.see(&event);
                assert!(rest.len() < before, "an event of nothing");
                Ok(true)
            }
            Ok(None) => {
                assert!(rest.is_empty(), "bytes were left without an event");
                Ok(false)
            }
            Err(error) => {
                self.seen.push(Seen::Failed(error));
                Err(error)
            }
        }
    }

    fn read_in_place(&mut self, mut bytes: &[u8], cuts: &[usize]) {
        for &cut in cuts.iter().cycle() {
            if bytes.is_empty() {
                return;
            }
            let len = cut.min(bytes.len());
            let Some(room) = self.websocket.room() else {
                let (now, later) = bytes.split_at(len);
                if self.read(now).is_err() {
                    return;
                }
                bytes = later;
                continue;
            };
            let (before, capacity) = (room.len(), room.capacity());
            assert!(before < capacity && capacity <= self.setup.limits.message_bytes);
            let (now, later) = bytes.split_at(len.min(capacity - before));
            room.extend_from_slice(now);
            bytes = later;
            self.websocket.heard(self.core.now);
            let (websocket, flow, sent) = (&mut self.websocket, self.flow, &mut self.sent);
            let event = self.core.lent(|env| {
                let mut out = Output { bytes: sent, flow };
                websocket.did_fill(before, env, &mut out)
            });
            match event {
                Ok(event) => event.iter().for_each(|event| self.see(event)),
                Err(error) => {
                    self.seen.push(Seen::Failed(error));
                    return;
                }
            }
        }
    }

    /// Takes note of an event, which breaks no rule that the RFC or the limits have.
    fn see(&mut self, event: &Event<'_>) {
        let limits = &self.setup.limits;
        self.seen.push(match event {
            Event::Message(kind, payload) => {
                assert!(self.websocket.is_open(), "a message after a Close frame");
                assert!(payload.len() <= limits.message_bytes);
                assert!(*kind == MessageKind::Binary || std::str::from_utf8(payload).is_ok());
                Seen::Message(*kind, Digest::of(payload))
            }
            Event::Ping(payload) => {
                assert!(payload.len() <= 125);
                Seen::Ping(payload.to_vec())
            }
            Event::Pong(payload) => {
                assert!(payload.len() <= 125);
                Seen::Pong(payload.to_vec())
            }
            Event::Close { code, reason } => {
                assert_eq!(self.websocket.state(), State::Closed);
                assert!(code.is_none_or(CloseCode::may_be_sent) && reason.len() <= 123);
                Seen::Close(*code, reason.clone())
            }
        });
    }

    /// An error is the last word.
    fn stays_failed(&mut self, error: Error) {
        let (websocket, flow, sent) = (&mut self.websocket, self.flow, &mut self.sent);
        let before = sent.len();
        let mut more = *b"\x81\x81\0\0\0\0a\x81\x01a";
        self.core.lent(|env| {
            let mut out = Output { bytes: sent, flow };
            let event = websocket.next_event(&mut &mut more[..], env, &mut out);
            assert_eq!(event, Err(error));
            assert_eq!(websocket.did_fill(0, env, &mut out), Err(error));
            assert!(websocket.room().is_none());
            assert_eq!(websocket.timeout(env, out.bytes), Err(error));
            assert_eq!(
                websocket.send(MessageKind::Text, b"", env, out.bytes),
                Err(NotOpen)
            );
            assert_eq!(websocket.ping(b"", env, out.bytes), Err(NotOpen));
            assert!(!websocket.send_late_pong(env, out.bytes));
            websocket.close(CloseCode::NORMAL, "", env, out.bytes);
        });
        assert_eq!(sent.len(), before, "it still speaks");
    }
}

impl Played {
    /// What was sent is whole frames, none of them behind a Close frame; and a peer of ours receives the messages and pings that were sent.
    fn check_sent(self, setup: &Setup) {
        let reserved = match setup.agreement {
            Some(_) => Reserved::Rsv1Compressed,
            None => Reserved::AllZero,
        };
        let mut rest = &self.sent[..];
        let mut closed = false;
        while !rest.is_empty() {
            let header = FrameHeader::parse(rest, setup.peer(), reserved).unwrap();
            let (header, len) = header.expect("half a header was sent");
            let payload = usize::try_from(header.payload_bytes).unwrap();
            rest = rest.get(len + payload..).expect("half a frame was sent");
            assert!(!closed, "{header:?} after a Close frame");
            closed |= header.opcode == OpCode::Close;
        }
        let mirrored = Setup {
            role: setup.peer(),
            agreement: setup.agreement.map(|agreed| Agreement {
                inbound: agreed.outbound,
                outbound: agreed.inbound,
            }),
            limits: Limits {
                inflate_ratio: u32::MAX,
                ..Limits::default()
            },
            deflate_min_bytes: 0,
        };
        let mut peer = Run::new(&mirrored);
        assert_eq!(peer.read(&self.sent), Ok(()));
        // An empty ping may be one of the keep-alive.
        let counts = |seen: &Seen| match seen {
            Seen::Message(..) => true,
            Seen::Ping(payload) => !payload.is_empty(),
            Seen::Pong(_) | Seen::Close(..) | Seen::Failed(_) => false,
            Seen::After(..) | Seen::Sent(_) | Seen::TimedOut(_) => false,
        };
        let heard = peer.seen.into_iter().filter(counts);
        assert!(
            heard.eq(self.said.into_iter().filter(counts)),
            "something else was heard"
        );
    }
}

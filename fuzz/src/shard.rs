//! One core's connections: a driver without sockets that does anything in any order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corewire::engine::{
    Accepted, CloseHow, Context, Effects, End, Fill, Handler, Message, NearEnd, Now, Options,
    OutboundLimits, ReadInto, ReadResult, Request, Response, SLICES_MAX, Shard, Shared, Step, Tick,
    UpgradeRequest, WriteResult,
};
use corewire::metrics::Counters;
use corewire::protocol::deflate::{InflateBudget, SCRATCH_BYTES};
use corewire::protocol::frame::{FrameHeader, OpCode, Reserved};
use corewire::protocol::{CloseCode, Limits, Role};
use corewire::{ConnId, CoreId};

use crate::input::Input;
use crate::wire::{self, Deflater, FIN, RSV1};

const ACTS_MAX: usize = 200;
const BYTES_MAX: usize = 512 << 10;
const SOCKETS_MAX: usize = 24;
/// Rounds in which nothing happens that a driver can see. A connection works through what it has
/// read before it reads again; more rounds than that are a loop.
const IDLE_ROUNDS_MAX: usize = 50;
const ROUNDS_MAX: usize = 20_000;
/// Milliseconds after which a connection is gone whose peer does nothing: the longest way is
/// from an idle WebSocket over a ping, its answer and a stall to the end of lingering.
const GONE_MS: u32 = 180_000;
/// Bytes of one answer of the application's.
const PAGE_BYTES: usize = 5000;

/// After every step what holds holds: no turn without an end, nobody who could be served waits,
/// output is bounded and never torn, the counts agree. And when the peers do no more, time alone
/// ends every connection, each session once.
pub fn shard(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input);
    let mut acts = 0;
    while !input.is_empty() && acts < ACTS_MAX && world.bytes < BYTES_MAX {
        world.act(&mut input);
        world.turn();
        acts += 1;
    }
    world.fade();
}

fn options(input: &mut Input<'_>) -> Options {
    let standard = Options::default();
    Options {
        limits: Limits {
            message_bytes: input.one_of(&[30_000, 100]),
            idle_timeout_ms: input.one_of(&[0, 40_000]),
            ..Limits::default()
        },
        deflate: if input.flag() { None } else { standard.deflate },
        outbound: OutboundLimits {
            low_bytes: 2000,
            high_bytes: 6000,
            cap_bytes: 40_000,
            ..OutboundLimits::default()
        },
        receive_buffer_bytes: input.one_of(&[4096, 100, 40_000]),
        turn_work: 6000,
        accepts_per_turn: 3,
        connections_max: input.one_of(&[100, 2]),
        ..standard
    }
}

type EchoShard = Shard<Echo, fn() -> Echo>;

/// A shard, and what a driver knows.
struct World {
    shard: EchoShard,
    options: Arc<Options>,
    budget: Arc<InflateBudget>,
    counters: Arc<Counters>,
    population: Arc<AtomicUsize>,
    now: Now,
    /// What the shard said when it was last to wait.
    wait_ms: Option<u32>,
    /// Clients that have connected and are not accepted.
    backlog: usize,
    descriptors: Descriptors,
    sockets: Vec<Socket>,
    mail: VecDeque<ConnId>,
    mail_queue: MailQueue,
    /// Some connection there has been.
    remembered: Option<ConnId>,
    /// Bytes that were sent to the shard.
    bytes: usize,
    rounds: usize,
    idle_rounds: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Descriptors {
    Left,
    Exhausted,
}

#[derive(Clone, Copy, PartialEq)]
enum MailQueue {
    HasRoom,
    Full,
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        HELD.take();
        // The tick wraps soon.
        let now = Now {
            tick: Tick(u32::MAX - 2000),
            unix_ms: 1_000_000_000_000,
        };
        let options = Arc::new(options(input));
        let counters = Arc::new(Counters::default());
        let shared = Shared {
            options: Arc::clone(&options),
            inflate_budget: InflateBudget::new(input.one_of(&[1 << 20, 100 << 10])),
            population: Arc::default(),
        };
        let budget = Arc::clone(&shared.inflate_budget);
        let population = Arc::clone(&shared.population);
        let factory: fn() -> Echo = Echo::default;
        Self {
            shard: Shard::new(CoreId(0), shared, Arc::clone(&counters), 1, now, factory),
            options,
            budget,
            counters,
            population,
            now,
            wait_ms: Some(0),
            backlog: 0,
            descriptors: Descriptors::Left,
            sockets: Vec::new(),
            mail: VecDeque::new(),
            mail_queue: MailQueue::HasRoom,
            remembered: None,
            bytes: 0,
            rounds: 0,
            idle_rounds: 0,
        }
    }

    /// Something happens.
    fn act(&mut self, input: &mut Input<'_>) {
        match input.byte() {
            0..=19 => {
                if self.sockets.len() + self.backlog < SOCKETS_MAX {
                    self.backlog += 1;
                    self.shard.time(self.now);
                    self.shard.acceptable(0);
                }
            }
            20..=139 => self.with_socket(input, |socket, input| {
                let bytes = socket.client.says(input);
                socket.arrives(&bytes);
                bytes.len()
            }),
            140..=159 => self.with_socket(input, |socket, input| {
                socket.window = (socket.window + (1 << (input.byte() % 20))).min(1 << 30);
                0
            }),
            160..=164 => self.with_socket(input, |socket, input| {
                socket.window = usize::from(input.byte());
                0
            }),
            165..=174 => self.with_socket(input, |socket, input| {
                socket.read_bytes = 1 + (usize::from(input.byte()) << (input.byte() % 9));
                0
            }),
            175..=184 => self.with_socket(input, |socket, _| {
                socket.ends(Inbound::Ended);
                0
            }),
            185..=189 => self.with_socket(input, |socket, _| {
                socket.ends(Inbound::Broken);
                0
            }),
            190..=219 => self.pass(input),
            220..=229 => {
                let to = match self.sockets.len() {
                    0 => self.remembered,
                    len => self
                        .sockets
                        .get(input.below(256) % (len + 1))
                        .map(|socket| socket.id),
                };
                self.mail.extend(to.or(self.remembered));
            }
            230..=234 => {
                self.mail_queue = input.one_of(&[MailQueue::HasRoom, MailQueue::Full]);
            }
            235..=244 => {
                self.descriptors = input.one_of(&[Descriptors::Left, Descriptors::Exhausted]);
            }
            245..=246 => {
                self.shard.time(self.now);
                self.shard.stop();
            }
            // The driver may be told what it knows already.
            _ => self.with_socket(input, |socket, _| {
                socket.told = Told::No;
                0
            }),
        }
    }

    /// Lets something happen to a socket, which may bring bytes.
    fn with_socket(
        &mut self,
        input: &mut Input<'_>,
        act: impl FnOnce(&mut Socket, &mut Input<'_>) -> usize,
    ) {
        let index = input.below(256);
        if !self.sockets.is_empty() {
            let index = index % self.sockets.len();
            self.bytes += act(&mut self.sockets[index], input);
        }
    }

    /// Time passes: not much more than the shard has asked for, unless it has asked for nothing.
    fn pass(&mut self, input: &mut Input<'_>) {
        let ms = match (self.wait_ms, input.below(3)) {
            (Some(wait_ms), 0) => wait_ms,
            (Some(wait_ms), _) => (1 << (input.byte() % 13)).min(wait_ms.saturating_add(1000)),
            (None, _) => 1 << (input.byte() % 32),
        };
        self.now.tick = self.now.tick.after(ms);
    }

    /// What a driver does between two acts, as often as the shard asks for it at once.
    fn turn(&mut self) {
        loop {
            self.shard.time(self.now);
            while let Some(conn) = self.mail.pop_front() {
                self.shard.mail(CoreId(1), Mail(conn));
            }
            for socket in &mut self.sockets {
                socket.tell(&mut self.shard);
            }
            let seen = self.round();
            self.rounds += 1;
            assert!(self.rounds < ROUNDS_MAX, "they never come to an end");
            self.idle_rounds = match (self.wait_ms, seen) {
                (Some(0), 0) => self.idle_rounds + 1,
                _ => 0,
            };
            self.check();
            if self.wait_ms != Some(0) && self.mail.is_empty() {
                return;
            }
        }
    }

    /// Steps until the shard says to wait. Returns how many a driver could see.
    fn round(&mut self) -> usize {
        let most = 300 + 100 * (self.sockets.len() + self.backlog);
        for seen in 0..most {
            if !self.step() {
                return seen;
            }
            self.check_counts();
        }
        panic!("more than {most} steps without a wait");
    }

    /// One step. Returns false when it is to wait.
    fn step(&mut self) -> bool {
        match self.shard.next_step() {
            Step::Wait(wait_ms) => {
                self.wait_ms = wait_ms;
                return false;
            }
            Step::Accept { max, .. } => self.accept(max),
            Step::Read { conn, into } => {
                let socket = self
                    .sockets
                    .iter_mut()
                    .find(|socket| socket.id == conn)
                    .unwrap();
                let result = socket.read(into);
                self.shard.did_read(result);
            }
            Step::Write { conn, output } => {
                let largest = self.options.limits.message_bytes.max(PAGE_BYTES);
                let most = self.options.outbound.cap_bytes + largest + 1000;
                assert!(
                    output.queued_bytes() <= most,
                    "{} wait",
                    output.queued_bytes()
                );
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = output.slices(&mut slices);
                let socket = self
                    .sockets
                    .iter_mut()
                    .find(|socket| socket.id == conn)
                    .unwrap();
                let result = socket.write(&slices[..count]);
                self.shard.did_write(result);
            }
            Step::EndOutput(conn) => {
                let socket = self
                    .sockets
                    .iter_mut()
                    .find(|socket| socket.id == conn)
                    .unwrap();
                assert_ne!(socket.outbound, Outward::Ended, "it has ended before");
                socket.outbound = Outward::Ended;
            }
            Step::Close(conn, how) => {
                assert_ne!(how, CloseHow::Linger);
                let index = self
                    .sockets
                    .iter()
                    .position(|socket| socket.id == conn)
                    .unwrap();
                self.sockets.swap_remove(index);
            }
            Step::Mail(to, Mail(conn)) => {
                assert_eq!(to, CoreId(0));
                match self.mail_queue {
                    MailQueue::HasRoom => self.mail.push_back(conn),
                    MailQueue::Full => self.shard.undelivered(to, Mail(conn)),
                }
            }
        }
        true
    }

    fn accept(&mut self, max: usize) {
        for _ in 0..max {
            if self.backlog == 0 {
                return self.shard.did_accept(0, Accepted::Drained);
            }
            if self.descriptors == Descriptors::Exhausted {
                return self.shard.did_accept(0, Accepted::Exhausted);
            }
            self.backlog -= 1;
            let peer = SocketAddr::from(([127, 0, 0, 1], 4000));
            if let Some(id) = self.shard.accepted(peer) {
                assert!(self.sockets.iter().all(|socket| socket.id != id));
                self.remembered = Some(id);
                self.sockets
                    .push(Socket::new(id, self.options.limits.message_bytes));
            }
        }
        self.shard.did_accept(0, Accepted::More);
    }

    /// What must hold whenever the shard waits.
    fn check(&self) {
        assert!(
            self.idle_rounds < IDLE_ROUNDS_MAX,
            "it turns and turns, and nothing happens: {:?}",
            self.sockets
        );
        if self.wait_ms == Some(0) {
            return;
        }
        for socket in &self.sockets {
            assert!(
                !socket.is_neglected(),
                "it waits for {:?}, and {socket:?}",
                self.wait_ms
            );
        }
        let retries = self.wait_ms.is_some_and(|ms| ms <= 100);
        assert!(self.backlog == 0 || retries, "nobody is accepted");
    }

    /// What must hold after each step.
    fn check_counts(&self) {
        let connections = self.sockets.len();
        assert_eq!(self.shard.connections(), connections);
        assert_eq!(self.population.load(Ordering::Relaxed), connections);
        let ended = self.counters.accepted.get() - self.counters.ended.get();
        assert_eq!(usize::try_from(ended).unwrap(), connections);
        assert_eq!(self.counters.panics.get(), 0);
        let held = self.budget.held();
        assert!(held <= self.budget.bytes_max().max(SCRATCH_BYTES));
    }

    /// The peers do no more, and time ends every connection.
    fn fade(mut self) {
        self.descriptors = Descriptors::Left;
        self.mail_queue = MailQueue::HasRoom;
        for socket in &mut self.sockets {
            socket.read_bytes = usize::MAX;
        }
        let mut faded_ms = 0;
        while !self.sockets.is_empty() || self.backlog > 0 {
            let ms = self
                .wait_ms
                .expect("it waits for ever with connections")
                .max(1);
            faded_ms += ms;
            assert!(faded_ms < GONE_MS, "still there: {:?}", self.sockets);
            self.now.tick = self.now.tick.after(ms);
            self.turn();
        }
        self.check_counts();
        assert_eq!(self.budget.held(), SCRATCH_BYTES);
        drop(self.shard);
        assert_eq!(self.budget.held(), 0);
    }
}

/// One connection's socket, as a kernel plays it: readiness is told once.
struct Socket {
    id: ConnId,
    client: Client,
    /// Bytes that the server can read.
    inbox: Vec<u8>,
    inbound: Inbound,
    /// Bytes that the peer still has room for.
    window: usize,
    outbound: Outward,
    /// Whether the shard was told of all there is to read.
    told: Told,
    owed: Owed,
    /// The most that one read brings.
    read_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Inbound {
    Open,
    Ended,
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outward {
    Flowing,
    /// The last write was not taken whole.
    Blocked,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    No,
    Yes,
}

/// What the shard owes to a socket of which it was told that it takes output again.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Owed {
    Nothing,
    Write,
}

impl Socket {
    fn new(id: ConnId, message_bytes: usize) -> Self {
        Self {
            id,
            client: Client::new(message_bytes),
            inbox: Vec::new(),
            inbound: Inbound::Open,
            window: 3000,
            outbound: Outward::Flowing,
            // A new socket is tried without being told.
            told: Told::Yes,
            owed: Owed::Nothing,
            read_bytes: usize::MAX,
        }
    }

    fn arrives(&mut self, bytes: &[u8]) {
        if self.inbound == Inbound::Open && !bytes.is_empty() {
            self.inbox.extend_from_slice(bytes);
            self.told = Told::No;
        }
    }

    fn ends(&mut self, how: Inbound) {
        if self.inbound == Inbound::Open || how == Inbound::Broken {
            self.inbound = how;
            self.told = Told::No;
        }
        if how == Inbound::Broken {
            self.inbox.clear();
        }
    }

    /// Tells the shard what it was not told.
    fn tell(&mut self, shard: &mut EchoShard) {
        let takes = self.window > 0 || self.inbound == Inbound::Broken;
        if self.outbound == Outward::Blocked && takes {
            self.outbound = Outward::Flowing;
            self.owed = Owed::Write;
            shard.writable(self.id);
        }
        if self.told == Told::No {
            self.told = Told::Yes;
            let near_end = match self.inbound {
                Inbound::Open => NearEnd::No,
                Inbound::Ended | Inbound::Broken => NearEnd::Yes,
            };
            shard.readable(self.id, near_end);
        }
    }

    fn read(&mut self, into: ReadInto<'_>) -> ReadResult {
        if self.inbound == Inbound::Broken {
            return ReadResult::Broken;
        }
        if self.inbox.is_empty() {
            return match self.inbound {
                Inbound::Ended => ReadResult::End,
                Inbound::Open | Inbound::Broken => ReadResult::WouldBlock,
            };
        }
        let room = match &into {
            ReadInto::Buffer(buffer) => buffer.len(),
            ReadInto::Spare(buffer) => buffer.capacity() - buffer.len(),
        };
        assert!(room > 0, "a read into nothing");
        let mut bytes = room.min(self.inbox.len());
        if self.inbound == Inbound::Open && bytes > self.read_bytes {
            // The rest arrives a little later, and is announced then.
            bytes = self.read_bytes;
            self.told = Told::No;
        }
        let now: Vec<u8> = self.inbox.drain(..bytes).collect();
        match into {
            ReadInto::Buffer(buffer) => buffer[..bytes].copy_from_slice(&now),
            ReadInto::Spare(buffer) => {
                let before = buffer.capacity();
                buffer.extend_from_slice(&now);
                assert_eq!(buffer.capacity(), before);
            }
        }
        ReadResult::Bytes(bytes)
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> WriteResult {
        // What is blocked may be asked again, in case that the kernel has told nothing.
        assert_ne!(self.outbound, Outward::Ended, "a write to what has ended");
        self.owed = Owed::Nothing;
        if self.inbound == Inbound::Broken {
            return WriteResult::Broken;
        }
        let all: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        assert!(!all.is_empty(), "a write of nothing");
        let bytes = all.len().min(self.window);
        self.client.hears(&all[..bytes]);
        self.window -= bytes;
        if bytes == all.len() {
            self.outbound = Outward::Flowing;
            return WriteResult::All(bytes);
        }
        self.outbound = Outward::Blocked;
        match bytes {
            0 => WriteResult::WouldBlock,
            _ => WriteResult::Part(bytes),
        }
    }

    /// Whether there is something to do for the server that it should not wait with. What is
    /// blocked is up to the peer, what is held to the application; what was not told is not known.
    fn is_neglected(&self) -> bool {
        let held = HELD.with_borrow(|held| held.contains(&self.id));
        let input = !held && (!self.inbox.is_empty() || self.inbound != Inbound::Open);
        let flows = self.outbound == Outward::Flowing;
        self.told == Told::Yes && input && flows || self.owed == Owed::Write
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            id,
            window,
            told,
            owed,
            ..
        } = self;
        let (inbox, client) = (self.inbox.len(), &self.client);
        write!(f, "{id}: {inbox} bytes {:?}, told {told:?}; ", self.inbound)?;
        write!(
            f,
            "room for {window}, {:?}, owed {owed:?}; {client:?}",
            self.outbound
        )
    }
}

/// The peer: what it says, and a check of what it hears.
struct Client {
    deflater: Option<Deflater>,
    /// Heard and not parsed.
    heard: Vec<u8>,
    expects: Expects,
    message_bytes: usize,
}

/// What the server says next.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expects {
    Responses,
    Frames,
    /// A Close frame has come.
    NoMore,
    /// It said what may be a request of any kind; the answers are not looked at.
    Anything,
}

const UPGRADE: &str = "GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

impl Client {
    fn new(message_bytes: usize) -> Self {
        Self {
            deflater: None,
            heard: Vec::new(),
            expects: Expects::Responses,
            message_bytes,
        }
    }

    fn says(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let kind = input.below(20);
        if self.expects == Expects::Responses {
            return match kind {
                0..=11 => format!("{UPGRADE}\r\n").into(),
                12..=14 => format!("{UPGRADE}{OFFER}\r\n").into(),
                15 => b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1 + input.below(8)),
                16 => b"GET /page HTTP/1.0\r\n\r\n".to_vec(),
                17 => UPGRADE.replace("/echo", "/refused").into_bytes(),
                18 => UPGRADE.as_bytes()[..usize::from(input.byte()).min(UPGRADE.len())].to_vec(),
                _ => {
                    self.expects = Expects::Anything;
                    input.bytes().to_vec()
                }
            };
        }
        match kind {
            0..=4 => wire::any_frame(Role::Client, input),
            5 => input.bytes().to_vec(),
            6..=8 => {
                let payload = input.payload();
                let first = FIN | 2 | RSV1;
                let payload = self.deflater().deflate(&payload);
                wire::frame(Role::Client, first, &payload, input)
            }
            9..=11 => wire::frame(Role::Client, FIN | 2, b"tiny", input).repeat(input.below(256)),
            12 => wire::frame(Role::Client, FIN | 9, b"ping", input).repeat(input.below(256)),
            _ => {
                let word = input.one_of(WORDS);
                wire::frame(Role::Client, FIN | 1, word.as_bytes(), input)
            }
        }
    }

    fn deflater(&mut self) -> &mut Deflater {
        self.deflater.get_or_insert_with(|| {
            let direction = corewire::protocol::deflate::Direction {
                takeover: corewire::protocol::deflate::Takeover::No,
                window_bits: 15,
            };
            Deflater::new(direction, 6)
        })
    }

    /// Cuts what is heard into responses and frames. Whatever comes, it must be valid.
    fn hears(&mut self, bytes: &[u8]) {
        if self.expects == Expects::Anything {
            return;
        }
        self.heard.extend_from_slice(bytes);
        while let Some(bytes) = match self.expects {
            Expects::Responses => self.response(),
            Expects::Frames | Expects::NoMore => self.frame(),
            Expects::Anything => None,
        } {
            self.heard.drain(..bytes);
        }
    }

    /// The length of the response that has been heard.
    fn response(&mut self) -> Option<usize> {
        let end = self.heard.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = str::from_utf8(&self.heard[..end]).unwrap();
        let status: u16 = head.strip_prefix("HTTP/1.1 ").unwrap()[..3]
            .parse()
            .unwrap();
        if status == 101 {
            self.expects = Expects::Frames;
            return Some(end + 4);
        }
        assert!(status == 200 || (400..600).contains(&status), "{head}");
        let length = head.split("Content-Length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        let whole = end + 4 + length;
        (self.heard.len() >= whole).then_some(whole)
    }

    /// The length of the frame that has been heard.
    fn frame(&mut self) -> Option<usize> {
        let header = FrameHeader::parse(&self.heard, Role::Client, Reserved::Rsv1Compressed);
        let (header, bytes) = header.unwrap()?;
        assert!(header.fin, "the server sends no fragments");
        let most = self.message_bytes.max(PART_BYTES);
        assert!(
            header.payload_bytes <= most as u64,
            "larger than anything that it was sent"
        );
        let whole = bytes + usize::try_from(header.payload_bytes).unwrap();
        if self.heard.len() < whole {
            return None;
        }
        assert_ne!(
            self.expects,
            Expects::NoMore,
            "{header:?} after a Close frame"
        );
        if header.opcode == OpCode::Close {
            self.expects = Expects::NoMore;
        }
        Some(whole)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {} bytes heard", self.expects, self.heard.len())
    }
}

/// What the application does when it hears them. It echoes everything else.
const WORDS: &[&str] = &[
    "stream",
    "mail",
    "close",
    "close later",
    "timer",
    "timer 0",
    "prepared",
    "twice",
    "flood",
    "hold",
];
/// Milliseconds until the application goes on with what it holds, if mail does not come first.
const HOLD_MS: u32 = 20;
const PART_BYTES: usize = 700;

thread_local! {
    /// Connections that the application holds.
    static HELD: RefCell<Vec<ConnId>> = const { RefCell::new(Vec::new()) };
}

/// Whether it was held before.
fn released(conn: ConnId) -> bool {
    HELD.with_borrow_mut(|held| {
        let before = held.len();
        held.retain(|id| *id != conn);
        held.len() < before
    })
}

/// The application.
#[derive(Default)]
struct Echo {
    sessions: usize,
}

/// "Something is there for this connection."
#[derive(Debug)]
struct Mail(ConnId);

#[derive(Default)]
struct Stream {
    /// That are to be sent.
    parts: usize,
    /// While it is held.
    held: Option<ConnId>,
}

impl Handler for Echo {
    type Session = Stream;
    type Mail = Mail;

    fn upgrade(&mut self, request: &mut UpgradeRequest<'_>) -> Result<Stream, Response> {
        if request.path() == "/refused" {
            return Err(Response::not_found());
        }
        self.sessions += 1;
        Ok(Stream::default())
    }

    fn request(&mut self, request: &Request<'_>) -> Response {
        match request.path() {
            "/page" => Response::new(200, "text/plain", vec![b'p'; PAGE_BYTES]),
            _ => Response::not_found(),
        }
    }

    fn message(
        &mut self,
        stream: &mut Stream,
        message: Message<'_>,
        context: &mut Context<'_, Mail>,
    ) {
        let id = context.id();
        assert!(HELD.with_borrow(|held| !held.contains(&id)), "it is held");
        match message.as_text() {
            Some("stream") => {
                stream.parts += 20;
                context.ready();
            }
            Some("mail") => {
                stream.parts += 3;
                context.effects().mail(CoreId(0), Mail(id));
            }
            Some("close") => context.close(CloseCode(4000), "as you wish"),
            Some("close later") => context.effects().close(id, CloseCode(4000), "as you wish"),
            Some("timer") => context.set_timer(3),
            Some("timer 0") => context.set_timer(0),
            Some("prepared") => {
                let message = message.into_prepared();
                let _ = context.send_prepared(&message);
            }
            // More than may wait: the connection is closed with 1013.
            Some("flood") => {
                let part = [b'!'; PART_BYTES];
                while context.binary(&part).is_ok() {}
            }
            Some("hold") => {
                context.hold();
                context.set_timer(HOLD_MS);
                stream.held = Some(id);
                HELD.with_borrow_mut(|held| held.push(id));
            }
            Some("twice") => {
                let _ = context.text("once");
                let _ = context.reply(message);
            }
            Some(_) | None => {
                let _ = context.reply(message);
            }
        }
    }

    fn fill(&mut self, stream: &mut Stream, context: &mut Context<'_, Mail>) -> Fill {
        while stream.parts > 0 {
            if !context.has_room() {
                return Fill::More;
            }
            context.binary(&[b'.'; PART_BYTES]).unwrap();
            stream.parts -= 1;
        }
        Fill::Done
    }

    fn timeout(&mut self, _: &mut Stream, context: &mut Context<'_, Mail>) {
        let _ = context.text("tick");
        let id = context.id();
        released(id);
        context.effects().release(id);
    }

    fn close(&mut self, stream: Stream, _: &End, _: &mut Effects<Mail>) {
        self.sessions -= 1;
        if let Some(id) = stream.held {
            released(id);
        }
    }

    fn mail(&mut self, _: CoreId, Mail(id): Mail, effects: &mut Effects<Mail>) {
        // Each of the two must do by itself.
        if released(id) {
            effects.release(id);
        } else {
            effects.ready(id);
        }
    }

    fn undelivered(&mut self, _: CoreId, Mail(id): Mail, effects: &mut Effects<Mail>) {
        effects.ready(id);
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.sessions, 0, "every session is closed once");
        }
    }
}

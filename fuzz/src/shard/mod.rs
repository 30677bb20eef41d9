//! One core's connections: a driver without sockets that does anything in any order.

mod application;
mod client;
mod socket;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corewire::engine::{
    Accepted, CloseHow, Now, Options, OutboundLimits, SLICES_MAX, Shard, Shared, Step, Tick,
};
use corewire::metrics::Counters;
use corewire::protocol::Limits;
use corewire::protocol::deflate::{InflateBudget, SCRATCH_BYTES};
use corewire::{ConnId, CoreId};

use crate::input::Input;

use application::{Echo, Mail, PAGE_BYTES};
use socket::{Inbound, Socket, Told};

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
        application::forget_held();
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
                socket.server_ends();
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

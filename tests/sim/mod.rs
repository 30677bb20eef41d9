//! A world of one shard, its sockets and their clients, all moved by one seed.

mod client;
mod echo;
mod socket;
pub(crate) mod solo;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corewire::ConnId;
use corewire::CoreId;
use corewire::engine::{
    Accepted, CloseHow, Now, Options, OutboundLimits, ReadResult, SLICES_MAX, Shard, Shared, Step,
    Tick, WriteResult,
};
use corewire::metrics::Counters;
use corewire::protocol::deflate::InflateBudget;
use corewire_testkit::Random;

use client::Client;
use echo::{Echo, Mail};
use socket::Socket;

/// Turns between two waits in which nothing happened that a driver can see. A connection works
/// through what it has read before it reads again; more turns than that are a loop.
const IDLE_ROUNDS_MAX: usize = 50;
const CLIENTS_MAX: usize = 12;

/// What the peers and the clock are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// No deadline passes while they talk.
    Fair,
    /// Anything goes.
    Storm,
}

type EchoShard = Shard<Echo, fn() -> Echo>;

/// The world.
pub(crate) struct World {
    random: Random,
    weather: Weather,
    shard: EchoShard,
    counters: Arc<Counters>,
    population: Arc<AtomicUsize>,
    now: Now,
    /// Clients that have connected and are not accepted.
    backlog: VecDeque<Client>,
    sockets: Vec<Socket<Client>>,
    gone: Vec<Client>,
    mail: VecDeque<(CoreId, Mail)>,
    descriptors_left: bool,
    steps: usize,
    idle_rounds: usize,
    trace: u64,
}

fn options() -> Options {
    Options {
        outbound: OutboundLimits {
            low_bytes: 2000,
            high_bytes: 6000,
            cap_bytes: 40_000,
            ..OutboundLimits::default()
        },
        receive_buffer_bytes: 4096,
        turn_work: 6000,
        accepts_per_turn: 3,
        ..Options::default()
    }
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        // The tick wraps while they talk.
        let now = Now {
            tick: Tick(u32::MAX - 2000),
            unix_ms: 1_000_000_000_000,
        };
        let counters = Arc::new(Counters::default());
        let population = Arc::new(AtomicUsize::new(0));
        let shared = Shared {
            options: Arc::new(options()),
            inflate_budget: InflateBudget::new(1 << 20),
            population: Arc::clone(&population),
        };
        let factory: fn() -> Echo = Echo::new;
        let shard = Shard::new(CoreId(0), shared, Arc::clone(&counters), 1, now, factory);
        Self {
            random: Random::new(seed),
            weather,
            shard,
            counters,
            population,
            now,
            backlog: VecDeque::new(),
            sockets: Vec::new(),
            gone: Vec::new(),
            mail: VecDeque::new(),
            descriptors_left: true,
            steps: 0,
            idle_rounds: 0,
            trace: 0,
        }
    }

    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace
    }

    /// Clients come, talk and go, until all that want to have said everything.
    pub(crate) fn live(&mut self) {
        let mut clients = 2 + self.random.below(CLIENTS_MAX - 2);
        let mut quiet = 0;
        while clients > 0 || quiet < 200 {
            if clients > 0 && self.random.once_in(20) {
                clients -= 1;
                let client = Client::new(&mut self.random, self.weather);
                self.backlog.push_back(client);
                self.shard.acceptable(0);
            }
            for _ in 0..=self.random.below(4) {
                self.something_happens();
            }
            self.turn();
            let talking = self.sockets.iter().any(Socket::is_talking) || !self.backlog.is_empty();
            quiet = if talking { 0 } else { quiet + 1 };
            assert!(self.steps < 2_000_000, "they never come to an end");
        }
    }

    /// All clients that are left end their side, and time passes.
    pub(crate) fn end(&mut self) {
        self.descriptors_left = true;
        for moment in 0..900 {
            for index in 0..self.sockets.len() {
                self.sockets[index].open_window(usize::MAX);
                self.tell_writable(index);
                self.sockets[index].deliver(usize::MAX);
                self.sockets[index].end_if_done();
                self.tell_readable(index);
            }
            self.pass(if moment < 500 { 1 } else { 200 });
            self.turn();
        }
        assert!(self.sockets.is_empty(), "still there: {:?}", self.sockets);
        assert_eq!(self.shard.connections(), 0);
        assert_eq!(self.population.load(Ordering::Relaxed), 0);
        assert_eq!(self.counters.panics.get(), 0);
        assert_eq!(self.counters.accepted.get(), self.counters.ended.get());
        for client in &self.gone {
            client.check(self.weather);
        }
        // Nothing is due any more, and nobody is ready.
        assert!(matches!(self.shard.next_step(), Step::Wait(None)));
    }

    fn something_happens(&mut self) {
        if self.weather == Weather::Storm && self.random.once_in(400) {
            let ms = 1 << self.random.below(16);
            self.pass(ms);
        }
        if self.random.once_in(3) {
            let ms = self.random.below(2);
            self.pass(ms);
        }
        if self.weather == Weather::Storm && self.random.once_in(50) {
            self.descriptors_left = !self.descriptors_left;
        }
        if self.sockets.is_empty() {
            return;
        }
        let index = self.random.below(self.sockets.len());
        match self.random.below(5) {
            0 | 1 => {
                let bytes = 1 << self.random.below(14);
                self.sockets[index].deliver(bytes);
                self.tell_readable(index);
            }
            2 => {
                let bytes = 1 << self.random.below(14);
                self.sockets[index].open_window(bytes);
                self.tell_writable(index);
            }
            3 => {
                self.sockets[index].end_if_done();
                self.tell_readable(index);
            }
            _ => {
                if self.weather == Weather::Storm && self.random.once_in(60) {
                    self.sockets[index].reset();
                    self.tell_writable(index);
                    self.tell_readable(index);
                }
            }
        }
    }

    fn pass(&mut self, ms: usize) {
        let ms = u32::try_from(ms).unwrap();
        self.now.tick = self.now.tick.after(ms);
    }

    fn tell_readable(&mut self, index: usize) {
        if let Some(near_end) = self.sockets[index].readiness() {
            self.shard.time(self.now);
            self.shard.readable(self.sockets[index].id, near_end);
        }
    }

    fn tell_writable(&mut self, index: usize) {
        if self.sockets[index].takes_output_again() {
            self.shard.time(self.now);
            self.shard.writable(self.sockets[index].id);
        }
    }

    /// What a reactor does between two waits, as often as the shard asks for it at once.
    fn turn(&mut self) {
        loop {
            self.shard.time(self.now);
            while let Some((from, mail)) = self.mail.pop_front() {
                self.shard.mail(from, mail);
            }
            let (wait_ms, seen) = self.round();
            self.idle_rounds = match wait_ms {
                Some(0) if seen == 0 => self.idle_rounds + 1,
                Some(_) | None => 0,
            };
            self.check_waiting(wait_ms);
            // Sometimes the world moves on while there is work left.
            if wait_ms != Some(0) && self.mail.is_empty() || self.random.once_in(4) {
                return;
            }
        }
    }

    /// Steps until the shard says to wait. Returns how many a driver could see.
    fn round(&mut self) -> (Option<u32>, usize) {
        let most = 200 + 40 * (self.sockets.len() + self.backlog.len());
        for seen in 0..most {
            self.steps += 1;
            let stepped = match self.shard.next_step() {
                Step::Wait(wait_ms) => {
                    self.note(1, u64::from(wait_ms.unwrap_or(u32::MAX)));
                    return (wait_ms, seen);
                }
                Step::Accept { max, .. } => Stepped::Accept(max),
                Step::Read { conn, into } => {
                    let socket = self.sockets.iter_mut().find(|s| s.id == conn).unwrap();
                    Stepped::Read(socket.read(into, &mut self.random))
                }
                Step::Write { conn, output } => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let count = output.slices(&mut slices);
                    let socket = self.sockets.iter_mut().find(|s| s.id == conn).unwrap();
                    let slices = &slices[..count];
                    Stepped::Write(socket.write(slices, self.now.tick, &mut self.random))
                }
                Step::EndOutput(conn) => Stepped::EndOutput(conn),
                Step::Close(conn, how) => Stepped::Close(conn, how),
                Step::Mail(to, mail) => Stepped::Mail(to, mail),
            };
            self.did(stepped);
        }
        panic!("more than {most} steps without a wait");
    }

    fn did(&mut self, stepped: Stepped) {
        match stepped {
            Stepped::Accept(max) => self.accept(max),
            Stepped::Read(result) => {
                self.note(2, code(result));
                self.shard.did_read(result);
            }
            Stepped::Write(result) => {
                let bytes = match result {
                    WriteResult::All(bytes) | WriteResult::Part(bytes) => bytes,
                    WriteResult::WouldBlock | WriteResult::Broken => 0,
                };
                self.note(3, bytes as u64);
                self.shard.did_write(result);
            }
            Stepped::EndOutput(conn) => {
                self.note(4, 0);
                let socket = self.sockets.iter_mut().find(|s| s.id == conn).unwrap();
                socket.server_ends();
            }
            Stepped::Close(conn, how) => {
                self.note(5, how as u64);
                let index = self.sockets.iter().position(|s| s.id == conn).unwrap();
                let socket = self.sockets.swap_remove(index);
                self.gone.push(socket.closed(how));
            }
            Stepped::Mail(to, mail) => {
                self.note(6, 0);
                assert_eq!(to, CoreId(0));
                // The queue is full now and then.
                if self.random.once_in(10) {
                    self.shard.undelivered(to, mail);
                } else {
                    self.mail.push_back((to, mail));
                }
            }
        }
    }

    fn accept(&mut self, max: usize) {
        self.note(7, 0);
        if !self.descriptors_left {
            self.shard.did_accept(0, Accepted::Exhausted);
            return;
        }
        for _ in 0..max {
            let Some(client) = self.backlog.pop_front() else {
                self.shard.did_accept(0, Accepted::Drained);
                return;
            };
            let peer = SocketAddr::from(([127, 0, 0, 1], 4000));
            let id = self.shard.accepted(peer).unwrap();
            assert!(self.sockets.iter().all(|socket| socket.id != id));
            self.sockets.push(Socket::new(id, client));
        }
        self.shard.did_accept(0, Accepted::More);
    }

    /// What must hold whenever the shard waits.
    fn check_waiting(&self, wait_ms: Option<u32>) {
        assert!(
            self.idle_rounds < IDLE_ROUNDS_MAX,
            "it turns and turns, and nothing happens: {:?}",
            self.sockets
        );
        assert_eq!(self.shard.connections(), self.sockets.len());
        for socket in &self.sockets {
            if wait_ms != Some(0) {
                assert!(
                    !socket.is_neglected(),
                    "it waits for {wait_ms:?}, and {socket:?} could be served"
                );
            }
            assert!(
                !socket.is_kept_waiting(),
                "{socket:?} was not read in the round that it was announced for"
            );
        }
    }

    fn note(&mut self, step: u64, detail: u64) {
        let mut mixed = Random::new(self.trace ^ step << 56 ^ detail);
        self.trace = mixed.next();
    }
}

enum Stepped {
    Accept(usize),
    Read(ReadResult),
    Write(WriteResult),
    EndOutput(ConnId),
    Close(ConnId, CloseHow),
    Mail(CoreId, Mail),
}

fn code(result: ReadResult) -> u64 {
    match result {
        ReadResult::Bytes(bytes) => bytes as u64,
        ReadResult::WouldBlock => 1 << 32,
        ReadResult::End => 2 << 32,
        ReadResult::Broken => 3 << 32,
    }
}

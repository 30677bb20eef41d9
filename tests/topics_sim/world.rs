//! A world of several shards, their mailboxes, sockets and clients, all moved by one seed.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use corewire::engine::{
    Accepted, Now, Options, OutboundLimits, SLICES_MAX, Shard, Shared, Step, Tick,
};
use corewire::messaging::{self, Identity, Mail, Messaging};
use corewire::metrics::{Counter, Counters};
use corewire::protocol::deflate::InflateBudget;
use corewire::protocol::native::Dialect;
use corewire::{Core, CoreId, Service};
use corewire_testkit::Random;
use corewire_testkit::sim::{Anomaly, Outcome, Witness, judge};

use super::client::{Client, Clock, Manner};
use super::company::Company;
use super::plant::{Faults, Faulty};
use super::script;
use super::socket::Socket;

/// Bytes of the largest message.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Rounds in which nothing happens until all is quiet: mail is tried again after a millisecond.
const QUIET_ROUNDS: usize = 12;

/// What a world is like.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) cores: usize,
    pub(crate) clients: usize,
    /// Mail that fits into the queue from one core to another.
    pub(crate) mailbox: usize,
    /// What clients do.
    pub(crate) script: script::Style,
    /// Connections break, time jumps, readers stall.
    pub(crate) storm: bool,
    pub(crate) options: messaging::Options,
    /// Handlers panic.
    pub(crate) crashes: bool,
    /// A client whose words are printed.
    pub(crate) trace: Option<String>,
}

/// One core.
struct Station {
    shard: Shard<Faulty, Box<dyn FnMut() -> Faulty>>,
    sockets: Vec<Socket<Client>>,
    arriving: VecDeque<Client>,
    faults: Rc<Faults>,
}

/// The world.
pub(crate) struct World {
    pub(crate) random: Random,
    plan: Plan,
    clock: Clock,
    now: Now,
    stations: Vec<Station>,
    /// From core `from` to core `to` at `from * cores + to`.
    mailboxes: Vec<VecDeque<Mail>>,
    counters: Arc<[Arc<Counters>]>,
    gone: Vec<Client>,
    born: usize,
    /// Bytes and letters that have moved.
    moved: u64,
    trace: u64,
}

/// Small buffers, so that each bound is met.
fn engine_options() -> Options {
    Options {
        outbound: OutboundLimits {
            low_bytes: 2000,
            high_bytes: 6000,
            cap_bytes: 60_000,
            ..OutboundLimits::default()
        },
        deflate: None,
        receive_buffer_bytes: 4096,
        turn_work: 6000,
        accepts_per_turn: 3,
        ..Options::default()
    }
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan) -> Self {
        let now = Now {
            tick: Tick(u32::MAX - 2000),
            unix_ms: 1_000_000_000_000,
        };
        let counters: Arc<[Arc<Counters>]> = (0..plan.cores).map(|_| Arc::default()).collect();
        let identity = Identity::Anonymous;
        let service = Messaging::new(plan.options.clone(), identity, MESSAGE_BYTES_MAX, seed);
        let service = Rc::new(service);
        let shared = Shared {
            options: Arc::new(engine_options()),
            inflate_budget: InflateBudget::new(1 << 20),
            population: Arc::default(),
        };
        let stations = (0..plan.cores).map(|core| {
            let id = CoreId(u8::try_from(core).unwrap());
            let faults = Rc::new(Faults::default());
            let factory: Box<dyn FnMut() -> Faulty> = {
                let core = Core {
                    id,
                    counters: Arc::clone(&counters),
                };
                let (service, faults) = (Rc::clone(&service), Rc::clone(&faults));
                Box::new(move || Faulty {
                    inner: service.handler(&core),
                    faults: Rc::clone(&faults),
                })
            };
            let count = Arc::clone(&counters[core]);
            Station {
                shard: Shard::new(id, shared.clone(), count, 1, now, factory),
                sockets: Vec::new(),
                arriving: VecDeque::new(),
                faults,
            }
        });
        Self {
            random: Random::new(seed),
            clock: Rc::new(Cell::new(0)),
            now,
            stations: stations.collect(),
            mailboxes: (0..plan.cores * plan.cores)
                .map(|_| VecDeque::new())
                .collect(),
            counters,
            gone: Vec::new(),
            born: 0,
            moved: 0,
            trace: 0,
            plan,
        }
    }

    pub(crate) const fn trace(&self) -> u64 {
        self.trace
    }

    /// What all cores have counted.
    pub(crate) fn count(&self, which: fn(&Counters) -> &Counter) -> u64 {
        self.counters
            .iter()
            .map(|counters| which(counters).get())
            .sum()
    }

    pub(crate) fn faults(&self, core: usize) -> &Faults {
        &self.stations[core].faults
    }

    /// Clients come, talk and go, until all have said everything.
    pub(crate) fn live(&mut self, mut newcomer: impl FnMut(&mut Client, &mut Random)) {
        let mut quiet = 0;
        let mut steps = 0;
        while self.born < self.plan.clients || quiet < 20 * self.plan.cores {
            if self.born < self.plan.clients && self.random.once_in(12) {
                let mut client = self.client();
                newcomer(&mut client, &mut self.random);
                let core = self.random.below(self.plan.cores);
                self.connect(core, client);
            }
            for _ in 0..=self.random.below(4) {
                self.something_happens();
            }
            let core = self.random.below(self.plan.cores);
            self.turn(core);
            let talking = self.stations.iter().any(|station| {
                !station.arriving.is_empty() || station.sockets.iter().any(Socket::is_talking)
            });
            quiet = if talking { 0 } else { quiet + 1 };
            steps += 1;
            assert!(steps < 2_000_000, "they never come to an end");
        }
    }

    fn client(&mut self) -> Client {
        let number = self.born;
        self.born += 1;
        let dialect = *self.random.one_of(&Dialect::ALL);
        let manner = if self.plan.storm && self.random.once_in(6) {
            Manner::Stalls
        } else {
            Manner::Reads
        };
        let own = Random::new(self.random.next());
        let mut client = Client::new(&format!("c{number}"), dialect, manner, &self.clock, own);
        if self.plan.trace.as_deref() == Some(&*format!("c{number}")) {
            client.trace();
        }
        script::write(&mut client, number, self.plan.script, &mut self.random);
        client
    }

    fn connect(&mut self, core: usize, client: Client) {
        let station = &mut self.stations[core];
        station.arriving.push_back(client);
        station.shard.acceptable(0);
    }

    fn something_happens(&mut self) {
        if self.random.once_in(3) {
            self.pass(1);
        }
        if self.plan.storm && self.random.once_in(400) {
            let ms = 1 << self.random.below(12);
            self.pass(ms);
        }
        let core = self.random.below(self.plan.cores);
        if self.plan.crashes && self.random.once_in(1000) {
            self.stations[core].faults.panics.set(true);
        }
        let station = &mut self.stations[core];
        if station.sockets.is_empty() {
            return;
        }
        let index = self.random.below(station.sockets.len());
        let socket = &mut station.sockets[index];
        match self.random.below(5) {
            0 | 1 => {
                self.clock.set(self.clock.get() + 1);
                let bytes = 1 << self.random.below(14);
                socket.deliver(bytes);
            }
            2 => {
                let bytes = 1 << self.random.below(14);
                socket.open_window(bytes);
            }
            3 => socket.end_if_done(),
            _ => {
                if self.plan.storm && self.random.once_in(150) {
                    socket.reset();
                }
            }
        }
        self.tell(core, index);
    }

    /// How often a handler was made to panic.
    pub(crate) fn planted_panics(&self) -> u64 {
        let stations = self.stations.iter();
        stations.map(|station| station.faults.panicked.get()).sum()
    }

    fn pass(&mut self, ms: u32) {
        self.now.tick = self.now.tick.after(ms);
        self.now.unix_ms += u64::from(ms);
    }

    /// Tells the shard what is new of a socket.
    fn tell(&mut self, core: usize, index: usize) {
        let station = &mut self.stations[core];
        let socket = &mut station.sockets[index];
        if socket.takes_output_again() {
            station.shard.time(self.now);
            station.shard.writable(socket.id);
        }
        if let Some(near_end) = socket.readiness() {
            station.shard.time(self.now);
            station.shard.readable(socket.id, near_end);
        }
    }

    /// What a reactor does between two waits: some of the mail, then steps until it is to wait.
    fn turn(&mut self, core: usize) {
        self.stations[core].shard.time(self.now);
        for from in 0..self.plan.cores {
            let mailbox = from * self.plan.cores + core;
            // Some of it, or none: a core that is slow leaves its mailbox full.
            let most = self.random.below(self.plan.mailbox + 1);
            for _ in 0..most {
                let Some(mail) = self.mailboxes[mailbox].pop_front() else {
                    break;
                };
                self.note(6, (from * 256 + core) as u64);
                let from = CoreId(u8::try_from(from).unwrap());
                self.stations[core].shard.mail(from, mail);
            }
        }
        self.round(core);
    }

    fn round(&mut self, core: usize) {
        let cores = self.plan.cores;
        for _ in 0..100_000 {
            self.clock.set(self.clock.get() + 1);
            let Station {
                shard,
                sockets,
                arriving,
                ..
            } = &mut self.stations[core];
            match shard.next_step() {
                Step::Wait(_) => return,
                Step::Accept { max, .. } => {
                    let mut accepted = Accepted::More;
                    for _ in 0..max {
                        let Some(client) = arriving.pop_front() else {
                            accepted = Accepted::Drained;
                            break;
                        };
                        let peer = SocketAddr::from(([127, 0, 0, 1], 4000));
                        let id = shard.accepted(peer).unwrap();
                        sockets.push(Socket::new(id, client));
                    }
                    shard.did_accept(0, accepted);
                    self.note(1, 0);
                }
                Step::Read { conn, into } => {
                    let socket = sockets.iter_mut().find(|s| s.id == conn).unwrap();
                    let result = socket.read(into, &mut self.random);
                    shard.did_read(result);
                    self.note(2, u64::from(conn.core.0));
                }
                Step::Write { conn, output } => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let count = output.slices(&mut slices);
                    let socket = sockets.iter_mut().find(|s| s.id == conn).unwrap();
                    let now = self.now.tick;
                    let result = socket.write(&slices[..count], now, &mut self.random);
                    shard.did_write(result);
                    self.note(3, u64::from(conn.core.0));
                }
                Step::EndOutput(conn) => {
                    let socket = sockets.iter_mut().find(|s| s.id == conn).unwrap();
                    socket.server_ends();
                    self.note(4, 0);
                }
                Step::Close(conn, how) => {
                    let index = sockets.iter().position(|s| s.id == conn).unwrap();
                    self.gone.push(sockets.swap_remove(index).closed(how));
                    self.note(5, how as u64);
                }
                Step::Mail(to, mail) => {
                    let mailbox = &mut self.mailboxes[core * cores + to.index()];
                    if mailbox.len() >= self.plan.mailbox {
                        shard.undelivered(to, mail);
                    } else {
                        mailbox.push_back(mail);
                    }
                    self.note(7, u64::from(to.0));
                }
            }
        }
        panic!("100000 steps without a wait");
    }

    /// Everybody takes what there is, until nothing moves any more.
    fn calm(&mut self) {
        let (mut quiet, mut rounds) = (0, 0);
        while quiet < QUIET_ROUNDS {
            let before = self.moved;
            for core in 0..self.plan.cores {
                for index in 0..self.stations[core].sockets.len() {
                    let socket = &mut self.stations[core].sockets[index];
                    socket.client.read_on();
                    socket.open_window(usize::MAX);
                    socket.deliver(usize::MAX);
                    socket.end_if_done();
                    self.tell(core, index);
                }
                self.turn(core);
            }
            self.pass(1);
            let idle = self.moved == before && self.mailboxes.iter().all(VecDeque::is_empty);
            quiet = if idle { quiet + 1 } else { 0 };
            rounds += 1;
            assert!(rounds < 20_000, "it never comes to rest");
        }
    }

    /// Until all is said and heard. Returns what is wrong with it.
    pub(crate) fn end(&mut self) -> Vec<Anomaly> {
        for station in &self.stations {
            station.faults.panics.set(false);
        }
        loop {
            self.calm();
            let mut topped_up = false;
            for station in &mut self.stations {
                for socket in &mut station.sockets {
                    topped_up |= socket.client.top_up();
                }
            }
            if !topped_up {
                break;
            }
        }
        self.state_is_true();
        let mut clients = std::mem::take(&mut self.gone);
        // What the others have heard is settled: what a last one learns is the truth.
        let mut probe = {
            let own = Random::new(self.random.next());
            Client::new("probe", Dialect::Json, Manner::Reads, &self.clock, own)
        };
        script::probe(&mut probe, self.plan.script);
        for station in &mut self.stations {
            for socket in &mut station.sockets {
                socket.client.stop_listening();
            }
        }
        self.connect(0, probe);
        self.calm();
        for station in &mut self.stations {
            clients.extend(station.sockets.drain(..).map(|socket| socket.client));
        }
        clients.append(&mut self.gone);
        let mut witnesses: Vec<Witness> = clients.into_iter().map(Client::into_witness).collect();
        let place = witnesses.iter().position(|one| &*one.name == "probe");
        let probe = witnesses.swap_remove(place.expect("the probe was connected"));
        let ends: Vec<(Box<str>, u64)> = probe
            .published
            .iter()
            .filter_map(|published| match &published.outcome {
                Outcome::Placed { epoch, offset, .. } => Some((epoch.clone(), offset - 1)),
                Outcome::Unknown | Outcome::Refused => None,
            })
            .collect();
        judge(&witnesses, &ends)
    }

    /// P10 and P11: all is at rest, so whoever watches knows who is there, and nobody types.
    fn state_is_true(&self) {
        let stations = self.stations.iter();
        let companies: Vec<&Company> = stations
            .flat_map(|station| &station.sockets)
            .filter_map(|socket| socket.client.company())
            .collect();
        let mut present: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (topic, conn) in companies.iter().flat_map(|company| company.announced()) {
            present.entry(topic).or_default().insert(conn);
        }
        let wrong = companies.iter().flat_map(|company| company.wrong(&present));
        let wrong: Vec<String> = wrong.collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn note(&mut self, step: u64, detail: u64) {
        self.moved += 1;
        let mut mixed = Random::new(self.trace ^ step << 56 ^ detail);
        self.trace = mixed.next();
    }
}

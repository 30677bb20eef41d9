//! A world of several shards, their mailboxes, sockets and clients, all moved by one seed.

use std::cell::{Cell, RefCell};
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
use corewire_client::machine::Action;
use corewire_testkit::Random;
use corewire_testkit::sim::{Anomaly, Kind, Outcome, judge, needless_resets};

use super::app::{App, Appetite, Line, SharedApp, Time};
use super::client::{Client, Clock, Manner};
use super::company::Company;
use super::party::Party;
use super::plant::{Faults, Faulty};
use super::script;
use super::socket::Socket;

/// Bytes of the largest message.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Server processes that end in a world, at most.
const RESTARTS_MAX: u32 = 3;
/// A client that comes back is away so many milliseconds at most.
const AWAY_MS_MAX: usize = 3000;
/// Rounds of a millisecond in which nothing happens until all is quiet: mail is tried again, graces
/// and windows of state end.
const QUIET_ROUNDS: usize = 30;
/// So much time passes at once, at most.
const JUMP_MS_MAX: u32 = 2048;

/// What a world is like.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) cores: usize,
    pub(crate) clients: usize,
    /// Applications on the real Rust client, beside them.
    pub(crate) apps: usize,
    /// Mail that fits into the queue from one core to another.
    pub(crate) mailbox: usize,
    /// What clients do.
    pub(crate) script: script::Style,
    /// Connections break, time jumps, readers stall.
    pub(crate) storm: bool,
    pub(crate) options: messaging::Options,
    /// Handlers panic.
    pub(crate) crashes: bool,
    pub(crate) keeps: Keeps,
    pub(crate) logs: Logs,
    /// The process ends now and then.
    pub(crate) restarts: Restarts,
    /// A client whose words are printed.
    pub(crate) trace: Option<String>,
}

/// What a server process is that takes the place of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restarts {
    /// There is none.
    Never,
    /// Another one.
    Anew,
    /// A bug: it takes itself for the one before.
    AsItWas,
}

/// What the server remembers of its topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// So little that what was published before is forgotten, too: what is said again may stand
    /// twice, and behind what was said later.
    Little,
    /// What its bounds let it.
    Some,
    /// All that there is: whoever comes back can go on.
    Everything,
}

/// Where the server reads what it remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logs {
    AtHand,
    /// What is read of them comes later.
    Elsewhere,
}

/// What becomes of connections to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    /// Some do not come about, and the server sends clients away.
    Stormy,
    Calm,
}

/// One core.
struct Station {
    shard: Shard<Faulty, Box<dyn FnMut() -> Faulty>>,
    sockets: Vec<Socket<Party>>,
    arriving: VecDeque<Party>,
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
    /// Clients that come back, and when.
    returning: Vec<(u64, Client)>,
    /// How often somebody came back.
    returns: u64,
    seed: u64,
    restarted: u32,
    /// Handlers of processes before that were made to panic.
    panicked: u64,
    born: usize,
    /// The system's time, for applications.
    time: Time,
    apps: Vec<SharedApp>,
    weather: Weather,
    /// Requests without a reply that a core had, at most.
    most_unanswered: u64,
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

/// A server that has just started.
fn stations(seed: u64, plan: &Plan, now: Now, counters: &Arc<[Arc<Counters>]>) -> Vec<Station> {
    let identity = Identity::Anonymous;
    let service = Messaging::new(plan.options.clone(), identity, MESSAGE_BYTES_MAX, seed);
    let service = Rc::new(match plan.logs {
        Logs::AtHand => service,
        Logs::Elsewhere => service.with_history_elsewhere(),
    });
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
                counters: Arc::clone(counters),
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
    stations.collect()
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan) -> Self {
        let now = Now {
            tick: Tick(u32::MAX - 2000),
            unix_ms: 1_000_000_000_000,
        };
        let counters: Arc<[Arc<Counters>]> = (0..plan.cores).map(|_| Arc::default()).collect();
        let stations = stations(seed, &plan, now, &counters);
        Self {
            random: Random::new(seed),
            clock: Rc::new(Cell::new(0)),
            now,
            stations,
            mailboxes: (0..plan.cores * plan.cores)
                .map(|_| VecDeque::new())
                .collect(),
            counters,
            gone: Vec::new(),
            returning: Vec::new(),
            returns: 0,
            seed,
            restarted: 0,
            panicked: 0,
            born: 0,
            time: Rc::new(Cell::new(now.unix_ms)),
            apps: Vec::new(),
            weather: if plan.storm {
                Weather::Stormy
            } else {
                Weather::Calm
            },
            most_unanswered: 0,
            moved: 0,
            trace: 0,
            plan,
        }
    }

    pub(crate) const fn trace(&self) -> u64 {
        self.trace
    }

    /// Requests without a reply that a core had, at most.
    pub(crate) const fn most_unanswered(&self) -> u64 {
        self.most_unanswered
    }

    /// How often scripted clients came back.
    pub(crate) const fn returns(&self) -> u64 {
        self.returns
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
                self.connect(core, Party::Scripted(client));
            }
            if self.apps.len() < self.plan.apps && self.random.once_in(12) {
                self.app();
            }
            for _ in 0..=self.random.below(4) {
                self.something_happens();
            }
            self.serve_apps();
            self.bring_back();
            let core = self.random.below(self.plan.cores);
            self.turn(core);
            let busy = !self.returning.is_empty()
                || self.apps.len() < self.plan.apps
                || self.apps.iter().any(|app| app.borrow().has_plans());
            let talking = busy
                || self.stations.iter().any(|station| {
                    !station.arriving.is_empty() || station.sockets.iter().any(Socket::is_talking)
                });
            quiet = if talking { 0 } else { quiet + 1 };
            steps += 1;
            assert!(steps < 2_000_000, "they never come to an end");
        }
    }

    /// The server process ends, and another one takes its place.
    fn restart(&mut self) {
        let seed = match self.plan.restarts {
            Restarts::Never => return,
            Restarts::Anew => self.random.next(),
            Restarts::AsItWas => self.seed,
        };
        let stations = stations(seed, &self.plan, self.now, &self.counters);
        for mailbox in &mut self.mailboxes {
            mailbox.clear();
        }
        for station in std::mem::replace(&mut self.stations, stations) {
            self.panicked += station.faults.panicked.get();
            for mut socket in station.sockets {
                socket.reset();
                self.part(socket.client);
            }
            // Nobody was there yet when they came.
            for party in station.arriving {
                self.connect(0, party);
            }
        }
        self.restarted += 1;
    }

    /// A connection has ended. Whoever comes back is away for a while.
    fn part(&mut self, party: Party) {
        let Some(mut client) = party.into_scripted() else {
            return;
        };
        if let Some(next) = client.successor() {
            let away_ms = match self.random.below(4) {
                0 | 1 => 0,
                2 => self.random.below(50),
                _ => self.random.below(AWAY_MS_MAX),
            };
            let at_ms = self.now.unix_ms + away_ms as u64;
            self.returning.push((at_ms, next));
            self.returns += 1;
        }
        self.gone.push(client);
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

    fn app(&mut self) {
        let number = self.apps.len();
        let dialect = *self.random.one_of(&Dialect::ALL);
        let appetite = if self.plan.storm && self.random.once_in(6) {
            Appetite::None
        } else {
            Appetite::Hearty
        };
        let clocks = (&self.time, &self.clock);
        let name = format!("a{number}");
        let mut app = App::new(&name, dialect, appetite, clocks, self.random.next());
        if self.plan.trace.as_deref() == Some(&*name) {
            app.trace();
        }
        script::plan(&mut app, number, self.plan.script, &mut self.random);
        self.apps.push(Rc::new(RefCell::new(app)));
    }

    /// Clients that have been away for long enough connect again, to any core. In calm weather all do.
    fn bring_back(&mut self) {
        let now_ms = self.now.unix_ms;
        let is_calm = self.weather == Weather::Calm;
        let all = std::mem::take(&mut self.returning);
        let (back, away) = all
            .into_iter()
            .partition(|(at_ms, _)| is_calm || *at_ms <= now_ms);
        self.returning = away;
        let back: Vec<(u64, Client)> = back;
        for (_, client) in back {
            let core = self.random.below(self.plan.cores);
            self.connect(core, Party::Scripted(client));
            self.moved += 1;
        }
    }

    /// What applications want of the world, and what they do by themselves.
    fn serve_apps(&mut self) {
        for number in 0..self.apps.len() {
            let app = Rc::clone(&self.apps[number]);
            app.borrow_mut().wake();
            if self.weather == Weather::Calm || self.random.once_in(4) {
                app.borrow_mut().act();
            }
            if self.weather == Weather::Calm || self.random.once_in(3) {
                let any = app.borrow_mut().take_events();
                self.moved += u64::from(any);
            }
            loop {
                let action = app.borrow_mut().next_action();
                match action {
                    None => break,
                    Some(Action::Open { link, .. }) => {
                        if self.weather == Weather::Stormy && self.random.once_in(10) {
                            app.borrow_mut().refused(link);
                        } else {
                            let line = Line::new(&app, link, Random::new(self.random.next()));
                            let core = self.random.below(self.plan.cores);
                            self.connect(core, Party::Line(line));
                        }
                        self.moved += 1;
                    }
                    // Its end of the socket sees it.
                    Some(Action::Abort { .. }) => self.moved += 1,
                    Some(action) => panic!("{action:?}"),
                }
            }
        }
    }

    fn connect(&mut self, core: usize, party: Party) {
        let station = &mut self.stations[core];
        station.arriving.push_back(party);
        station.shard.acceptable(0);
    }

    fn something_happens(&mut self) {
        if self.random.once_in(3) {
            self.pass(1);
        }
        if self.plan.storm && self.random.once_in(400) {
            let ms = 1 << self.random.below(12);
            self.pass(ms.min(JUMP_MS_MAX));
        }
        let core = self.random.below(self.plan.cores);
        if self.plan.restarts != Restarts::Never
            && self.restarted < RESTARTS_MAX
            && self.random.once_in(2000)
        {
            self.restart();
        }
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
                } else if let Party::Line(line) = &socket.client
                    && self.plan.storm
                    && self.random.once_in(150)
                {
                    line.send_away();
                }
            }
        }
        self.tell(core, index);
    }

    /// How often a handler was made to panic.
    pub(crate) fn planted_panics(&self) -> u64 {
        let stations = self.stations.iter();
        let now: u64 = stations.map(|station| station.faults.panicked.get()).sum();
        self.panicked + now
    }

    fn pass(&mut self, ms: u32) {
        self.now.tick = self.now.tick.after(ms);
        self.now.unix_ms += u64::from(ms);
        self.time.set(self.now.unix_ms);
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
        let unanswered = self.counters[core].requests_unanswered.get();
        self.most_unanswered = self.most_unanswered.max(unanswered);
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
                        let Some(party) = arriving.pop_front() else {
                            accepted = Accepted::Drained;
                            break;
                        };
                        let peer = SocketAddr::from(([127, 0, 0, 1], 4000));
                        let id = shard.accepted(peer).unwrap();
                        let mut socket = Socket::new(id, party);
                        socket.jump_ms = JUMP_MS_MAX;
                        sockets.push(socket);
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
                    let party = sockets.swap_remove(index).closed(how);
                    self.part(party);
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
                    if let Some(client) = socket.client.scripted() {
                        client.read_on();
                    }
                    socket.open_window(usize::MAX);
                    socket.deliver(usize::MAX);
                    socket.end_if_done();
                    self.tell(core, index);
                }
                self.turn(core);
            }
            self.serve_apps();
            self.bring_back();
            self.pass(1);
            let idle = self.moved == before && self.mailboxes.iter().all(VecDeque::is_empty);
            quiet = if idle { quiet + 1 } else { 0 };
            if quiet == QUIET_ROUNDS
                && let Some(ms) = self.patience_of_apps()
            {
                self.pass(ms);
                quiet = 0;
            }
            rounds += 1;
            assert!(rounds < 20_000, "it never comes to rest");
        }
    }

    /// Milliseconds until an application that is not well does something about it.
    fn patience_of_apps(&self) -> Option<u32> {
        let apps = self.apps.iter();
        let until = apps
            .filter_map(|app| app.borrow().is_waiting_until())
            .min()?;
        let ms = until.saturating_sub(self.now.unix_ms).max(1);
        Some(u32::try_from(ms).unwrap())
    }

    /// Until all is said and heard. Returns what is wrong with it.
    pub(crate) fn end(&mut self) -> Vec<Anomaly> {
        self.weather = Weather::Calm;
        for station in &self.stations {
            station.faults.panics.set(false);
        }
        for app in &self.apps {
            app.borrow_mut().take_all();
        }
        loop {
            self.calm();
            let mut topped_up = false;
            for station in &mut self.stations {
                for socket in &mut station.sockets {
                    let client = socket.client.scripted();
                    topped_up |= client.is_some_and(Client::top_up);
                }
            }
            if !topped_up {
                break;
            }
        }
        let untrue = self.untrue_state();
        let mut witnesses = Vec::new();
        for app in &self.apps {
            witnesses.extend(app.borrow_mut().testify());
        }
        let mut clients = std::mem::take(&mut self.gone);
        // What the others have heard is settled: what a last one learns is the truth.
        let mut probe = {
            let own = Random::new(self.random.next());
            Client::new("probe", Dialect::Json, Manner::Reads, &self.clock, own)
        };
        script::probe(&mut probe, self.plan.script);
        for station in &mut self.stations {
            for socket in &mut station.sockets {
                if let Some(client) = socket.client.scripted() {
                    client.stop_listening();
                }
            }
        }
        self.connect(0, Party::Scripted(probe));
        self.calm();
        for station in &mut self.stations {
            let parties = station.sockets.drain(..).map(|socket| socket.client);
            clients.extend(parties.filter_map(Party::into_scripted));
        }
        clients.append(&mut self.gone);
        witnesses.extend(clients.into_iter().map(Client::into_witness));
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
        let mut found = judge(&witnesses, &ends);
        match self.plan.keeps {
            Keeps::Little => found.retain(|anomaly| {
                !matches!(anomaly.kind, Kind::Duplicate | Kind::ExternalNonmonotonic)
            }),
            Keeps::Some => {}
            Keeps::Everything => found.extend(needless_resets(&witnesses)),
        }
        found.extend(untrue);
        found
    }

    /// P10 and P11: all is at rest, so whoever watches knows who is there, and nobody types.
    fn untrue_state(&self) -> Vec<Anomaly> {
        let stations = self.stations.iter();
        let companies: Vec<&Company> = stations
            .flat_map(|station| &station.sockets)
            .filter_map(|socket| socket.client.company())
            .collect();
        let apps: Vec<_> = self.apps.iter().map(|app| app.borrow()).collect();
        let announced: Vec<_> = apps.iter().flat_map(|app| app.announced()).collect();
        let mut present: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let of_apps = announced.iter().map(|(topic, user)| (&**topic, &**user));
        let of_clients = companies.iter().flat_map(|company| company.announced());
        for (topic, user) in of_clients.chain(of_apps) {
            present.entry(topic).or_default().insert(user);
        }
        let clients = companies
            .iter()
            .flat_map(|company| company.untrue(&present));
        clients
            .chain(apps.iter().flat_map(|app| app.untrue(&present)))
            .collect()
    }

    fn note(&mut self, step: u64, detail: u64) {
        self.moved += 1;
        let mut mixed = Random::new(self.trace ^ step << 56 ^ detail);
        self.trace = mixed.next();
    }
}

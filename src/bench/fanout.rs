//! `corewire bench fanout`: what publishers send comes to all subscribers of its topic.
//!
//! The server's protocol is given as templates ([`Template`]), and a delivery is known by the
//! marker in its payload ([`marker`](super::marker)), so that any server can be measured. Deliveries
//! are counted, not messages: a message may hold many. Closed loop: each publisher keeps so many
//! publications in flight, the next goes out when one has come to all subscribers. Open loop:
//! publications are due at a rate ([`pace`](super::pace)).

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::clock::{Clock, nanoseconds};
use super::error::{Error, Fault};
use super::figures::Figures;
use super::ledger::{Ledger, Totals};
use super::marker::{self, MARKER_BYTES, PUBLISHERS_MAX};
use super::opening::{Asked, Offer, Opened};
use super::pace::Schedule;
use super::peer::{Peer, Readiness, Seat};
use super::report::{self, Latency, Load};
use super::scan::Needles;
use super::sequence::Sequence;
use super::swarm::{self, Swarm, Wait, Work};
use super::target::{Scheme, Target};
use super::template::Values;
use super::workers::{self, Plan, TICK, Watch, Window, Worker};

pub use super::pace::Kept;
pub use super::template::{Answer, Literal, Template, TemplateError};

/// How long nothing must come until subscribers are taken for ready.
const QUIET: Duration = Duration::from_millis(300);
/// How long to wait for that, or for what says that they are.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// A closed loop waits so long for a publication's deliveries.
const LOST_AFTER: Duration = Duration::from_secs(1);
/// How long the last deliveries have to come, as long as none does.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long they have in all.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// Publications that are sent at most before deliveries are read again.
const BURST_MAX: u64 = 256;
/// Subscribers times publishers; each pair has a sequence of 32 bytes.
const PAIRS_MAX: usize = 4 << 20;
/// Bytes of a payload.
const SIZE_MAX: usize = 16 << 20;
/// Publications in flight for each publisher.
const IN_FLIGHT_MAX: usize = 1 << 16;
/// What is published after this is not measured.
const TIME_MAX: Duration = Duration::from_nanos((1 << 48) - 1);

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections that subscribe, to one topic each.
    pub subscribers: usize,
    /// Connections that publish, to all topics in turn.
    pub publishers: usize,
    /// Topics.
    pub topics: usize,
    /// Bytes of a payload.
    pub size: usize,
    /// When the next publication goes out.
    pub pace: Pace,
    /// How the server is spoken to.
    pub protocol: Protocol,
    /// How long is measured.
    pub measure: Duration,
    /// How long is published before.
    pub warm_up: Duration,
    /// The server's process, if it runs here and its CPU is of interest.
    pub server_pid: Option<u32>,
}

/// When publications are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Closed loop: so many of each publisher are on their way.
    InFlight(usize),
    /// Open loop: so many a second by all publishers together.
    Rate(f64),
}

/// How a server is spoken to.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// A subprotocol to ask for.
    pub subprotocol: Option<String>,
    /// What a subscriber sends when it is connected.
    pub on_subscribe: Vec<Template>,
    /// What a publisher sends when it is connected.
    pub on_publisher: Vec<Template>,
    /// A publication.
    pub publish: Template,
    /// What is answered to what comes, on every connection.
    pub answers: Vec<Answer>,
    /// What a subscriber receives when it is one. Without it, all are when nothing more comes.
    pub ready: Option<Literal>,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was measured.
    pub url: String,
    /// Connections that subscribed.
    pub subscribers: usize,
    /// Connections that published.
    pub publishers: usize,
    /// Topics.
    pub topics: usize,
    /// Bytes of a payload.
    pub size: usize,
    /// Publications of each publisher on their way, in a closed loop.
    pub in_flight: Option<usize>,
    /// What was due, in an open loop.
    pub schedule: Option<Kept>,
    /// How long was measured.
    pub seconds: f64,
    /// Publications in that time.
    pub publications: u64,
    /// The same per second.
    pub publications_per_second: f64,
    /// Deliveries in that time.
    pub deliveries: u64,
    /// The same per second.
    pub deliveries_per_second: f64,
    /// Deliveries of the whole run, each counted once, as a share of those that there should have
    /// been: publications times the subscribers of their topics.
    pub delivered_ratio: f64,
    /// Deliveries that should have been, in the whole run.
    pub expected: u64,
    /// Deliveries that came, each counted once.
    pub delivered: u64,
    /// Deliveries that came once more.
    pub duplicates: u64,
    /// Deliveries that came behind a later one of the same publisher and topic.
    pub out_of_order: u64,
    /// Deliveries to publishers, which are not counted above.
    pub to_publishers: u64,
    /// Deliveries whose payload was compared; the others were known by their markers.
    pub compared: u64,
    /// From publishing, or from when that was due, to each delivery; of what was published or due
    /// in the measured time.
    pub delivery_ns: Latency,
    /// CPU time, "message" being a delivery.
    pub cpu: Load,
    /// What makes the figures worth less.
    pub warnings: Vec<String>,
    /// All that was counted, for a plot.
    #[serde(skip)]
    pub figures: Figures,
}

/// Measures `target`.
///
/// # Errors
///
/// Whatever makes the figures worthless; the server's faults among them. Deliveries that do not
/// come are none: they are counted.
pub fn run(target: &Target, options: &Options, watch: Watch<'_>) -> Result<Report, Error> {
    check(target, options)?;
    swarm::raise_descriptor_limit(options.subscribers + options.publishers)?;
    let protocol = &options.protocol;
    let asked = Asked {
        offer: Offer::Nothing,
        subprotocol: protocol.subprotocol.clone(),
    };
    let mut texts: Vec<_> = protocol
        .answers
        .iter()
        .map(|one| one.text.clone())
        .collect();
    texts.extend(protocol.ready.iter().map(|ready| ready.0.clone()));
    let needles = Needles::new(marker::prefix(run_number()), options.size, &texts);
    let plan = Plan {
        threads: 1,
        warm_up: options.warm_up,
        measure: options.measure,
        server_pid: options.server_pid,
    };
    let mut outcome = workers::run(&plan, Clock::start(), watch, |worker| {
        work(worker, target, &asked, options, &needles)
    })?;
    let Some(part) = outcome.results.pop() else {
        return Err(Error::Elsewhere);
    };
    Ok(report(target, options, outcome.window, &outcome.used, part))
}

fn check(target: &Target, options: &Options) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::Settings(reason));
    let Options {
        subscribers,
        publishers,
        topics,
        size,
        ..
    } = *options;
    if target.scheme() == Scheme::Tcp {
        return refuse("a fan-out needs a ws:// URL".to_owned());
    }
    if subscribers == 0 || publishers == 0 {
        return refuse("at least one subscriber and one publisher are needed".to_owned());
    }
    if topics == 0 || topics > subscribers {
        return refuse("--topics must be 1 to --subscribers, so that each has one".to_owned());
    }
    if publishers > PUBLISHERS_MAX || subscribers.saturating_mul(publishers) > PAIRS_MAX {
        return refuse(format!(
            "--publishers must be at most {PUBLISHERS_MAX}, and times --subscribers at most \
             {PAIRS_MAX}"
        ));
    }
    if !(MARKER_BYTES..=SIZE_MAX).contains(&size) {
        return refuse(format!(
            "--size must be {MARKER_BYTES} to {SIZE_MAX}: the marker of a publication has \
             {MARKER_BYTES} bytes"
        ));
    }
    match options.pace {
        Pace::Rate(rate) if !(rate > 0.0 && rate.is_finite()) => {
            return refuse("--rate must be more than 0 publications a second".to_owned());
        }
        Pace::InFlight(number) if !(1..=IN_FLIGHT_MAX).contains(&number) => {
            return refuse(format!("--in-flight must be 1 to {IN_FLIGHT_MAX}"));
        }
        Pace::Rate(_) | Pace::InFlight(_) => {}
    }
    let protocol = &options.protocol;
    if protocol.publish.data_count() != 1 {
        return refuse("--publish must have {data} once: deliveries are known by it".to_owned());
    }
    let mut others = protocol.on_subscribe.iter().chain(&protocol.on_publisher);
    if others.any(|template| template.data_count() > 0) {
        return refuse("{data} is published: it stands in --publish alone".to_owned());
    }
    if options.measure + options.warm_up > TIME_MAX {
        return refuse("--seconds and --warmup are too long".to_owned());
    }
    workers::check(1, options.measure)
}

/// A number that another run is not likely to have.
fn run_number() -> u16 {
    let pid = std::process::id();
    u16::try_from((pid ^ pid >> 16) & 0xffff).unwrap_or(0)
}

fn report(
    target: &Target,
    options: &Options,
    window: Window,
    used: &super::cpu::Used,
    part: Part,
) -> Report {
    let Part {
        figures,
        kept,
        totals,
        warnings: mut all,
    } = part;
    let rate = figures.per_second();
    let cpu = Load::of(used, rate);
    let each = totals.expected as f64 / totals.published.max(1) as f64;
    all.extend(cpu.warnings());
    all.extend(kept.iter().flat_map(|kept| kept.warnings(rate / each)));
    all.extend(totals.warnings());
    Report {
        url: target.to_string(),
        subscribers: options.subscribers,
        publishers: options.publishers,
        topics: options.topics,
        size: options.size,
        in_flight: match options.pace {
            Pace::InFlight(number) => Some(number),
            Pace::Rate(_) => None,
        },
        schedule: kept,
        seconds: window.seconds(),
        publications: totals.measured,
        publications_per_second: totals.measured as f64 / window.seconds(),
        deliveries: figures.count(),
        deliveries_per_second: rate,
        delivered_ratio: totals.delivered as f64 / totals.expected.max(1) as f64,
        expected: totals.expected,
        delivered: totals.delivered,
        duplicates: totals.duplicates,
        out_of_order: totals.out_of_order,
        to_publishers: totals.to_publishers,
        compared: totals.compared,
        delivery_ns: Latency::of(figures.latency()),
        cpu,
        warnings: all,
        figures,
    }
}

impl Totals {
    /// What makes the figures worth less.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.delivered < self.expected {
            warnings.push(format!(
                "{} of {} deliveries never came",
                self.expected - self.delivered,
                self.expected
            ));
        }
        if self.given_up > 0 {
            warnings.push(format!(
                "{} publications were given up after {} s, which the publishers waited",
                self.given_up,
                LOST_AFTER.as_secs()
            ));
        }
        if self.to_publishers > 0 {
            warnings.push(format!(
                "{} deliveries went to publishers, too: they are in everybody's CPU time, but not \
                 among the deliveries",
                self.to_publishers
            ));
        }
        warnings
    }
}

/// What was found on the connections.
struct Part {
    figures: Figures,
    kept: Option<Kept>,
    totals: Totals,
    warnings: Vec<String>,
}

fn work(
    worker: &Worker<'_, Part>,
    target: &Target,
    asked: &Asked,
    options: &Options,
    needles: &Needles,
) -> Result<Part, Error> {
    let mut swarm = Swarm::new(target, asked, 0, worker.clock)?;
    let mut course = Course::new(worker, options, needles)?;
    let mut warnings = Vec::new();
    swarm.open(options.subscribers, &mut course)?;
    warnings.extend(course.wait_for_subscribers(&mut swarm)?);
    swarm.open(options.subscribers + options.publishers, &mut course)?;
    warnings.extend(course.wait_for_quiet(&mut swarm)?);

    let window = worker.ready()?;
    course.ledger.figures = Figures::new(window)?;
    let kept = match options.pace {
        Pace::InFlight(number) => {
            course.closed_loop(&mut swarm, window, number)?;
            None
        }
        Pace::Rate(rate) => Some(course.open_loop(&mut swarm, window, rate)?),
    };
    course.drain(&mut swarm)?;
    swarm.close(&mut course)?;
    Ok(Part {
        figures: course.ledger.figures,
        kept,
        totals: course.ledger.totals,
        warnings,
    })
}

type Peers<'a> = Swarm<'a, Peer>;

/// The course of a run.
struct Course<'a> {
    worker: &'a Worker<'a, Part>,
    options: &'a Options,
    needles: &'a Needles,
    topics: Vec<String>,
    ledger: Ledger,
    scratch: Vec<u8>,
}

impl<'a> Course<'a> {
    fn new(
        worker: &'a Worker<'a, Part>,
        options: &'a Options,
        needles: &'a Needles,
    ) -> Result<Self, Error> {
        let topics = match options.topics {
            1 => vec!["bench".to_owned()],
            many => (0..many).map(|number| format!("bench-{number}")).collect(),
        };
        let mut subscribers = vec![0; options.topics];
        (0..options.subscribers).for_each(|number| subscribers[number % options.topics] += 1);
        let protocol = &options.protocol;
        // Behind those of the answers.
        let ready = protocol.ready.is_some().then_some(protocol.answers.len());
        Ok(Self {
            worker,
            options,
            needles,
            topics,
            ledger: Ledger::new(worker.clock, options.publishers, subscribers, ready)?,
            scratch: Vec::new(),
        })
    }

    /// One turn, with the progress told.
    fn turn(&mut self, swarm: &mut Peers<'_>, wait: Wait) -> Result<(), Error> {
        let delivered = self.ledger.totals.delivered;
        swarm.turn(wait, self)?;
        self.worker.count(self.ledger.totals.delivered - delivered);
        self.worker.go_on()
    }

    fn wait_for_subscribers(&mut self, swarm: &mut Peers<'_>) -> Result<Option<String>, Error> {
        if self.options.protocol.ready.is_none() {
            return self.wait_for_quiet(swarm);
        }
        let (mut ready, mut since) = (0, self.worker.clock.now());
        while self.ledger.ready < self.options.subscribers {
            self.turn(swarm, Wait::Roughly(TICK))?;
            let now = self.worker.clock.now();
            if self.ledger.ready > ready {
                (ready, since) = (self.ledger.ready, now);
            } else if now - since > nanoseconds(READY_TIMEOUT) {
                return Err(Error::NotReady {
                    ready,
                    wanted: self.options.subscribers,
                });
            }
        }
        Ok(None)
    }

    /// Waits until nothing has come for a while. Returns a warning if that does not happen.
    fn wait_for_quiet(&mut self, swarm: &mut Peers<'_>) -> Result<Option<String>, Error> {
        let begin = self.worker.clock.now();
        self.ledger.heard = begin;
        loop {
            let now = self.worker.clock.now();
            if now - self.ledger.heard > nanoseconds(QUIET) {
                return Ok(None);
            }
            if now - begin > nanoseconds(READY_TIMEOUT) {
                let seconds = READY_TIMEOUT.as_secs();
                return Ok(Some(format!(
                    "the server was not quiet {seconds} s after the connections had opened, so \
                     some may not have been ready: name what says so with --ready"
                )));
            }
            self.turn(swarm, Wait::Roughly(TICK))?;
        }
    }

    /// Lets a publication of `publisher` wait to be flushed. Returns its topic.
    fn publish(
        &mut self,
        swarm: &mut Peers<'_>,
        publisher: usize,
        due: u64,
        window: Window,
    ) -> Result<(usize, bool), Error> {
        let (marker, topic) = self.ledger.publish(publisher, due, window);
        let (marker, padding) = self.needles.payload(&marker);
        let values = Values {
            number: 0,
            id: 0,
            topic: &self.topics[topic],
            size: self.options.size,
            data: [&marker, padding],
        };
        let template = &self.options.protocol.publish;
        let place = self.options.subscribers + publisher;
        let scratch = &mut self.scratch;
        let stuck = swarm.with(place, |peer| {
            let stuck = peer.is_stuck();
            peer.queue(template, &values, scratch)?;
            Ok(stuck)
        })?;
        Ok((topic, stuck))
    }

    fn flush(&self, swarm: &mut Peers<'_>, publisher: usize) -> Result<(), Error> {
        swarm.with(self.options.subscribers + publisher, Peer::flush)
    }

    /// Publishes when deliveries make room for it.
    fn closed_loop(
        &mut self,
        swarm: &mut Peers<'_>,
        window: Window,
        in_flight: usize,
    ) -> Result<(), Error> {
        self.ledger.open = (0..self.options.publishers).collect();
        let mut sweep = window.begin;
        loop {
            let now = self.worker.clock.now();
            if now >= window.until {
                return Ok(());
            }
            while let Some(publisher) = self.ledger.open.pop() {
                // It may be on the list several times, and then has no room left.
                let room = in_flight - self.ledger.in_flight(publisher);
                for _ in 0..room {
                    let (topic, _) = self.publish(swarm, publisher, now, window)?;
                    self.ledger.wait_for(publisher, topic, now);
                }
                if room > 0 {
                    self.flush(swarm, publisher)?;
                }
            }
            if now > sweep {
                sweep = now + nanoseconds(TICK);
                self.ledger
                    .give_up(now.saturating_sub(nanoseconds(LOST_AFTER)));
            }
            let wait = Duration::from_nanos(window.until - now).min(TICK);
            self.turn(swarm, Wait::Roughly(wait))?;
        }
    }

    /// Publishes what is due, one publisher after the other.
    fn open_loop(
        &mut self,
        swarm: &mut Peers<'_>,
        window: Window,
        rate: f64,
    ) -> Result<Kept, Error> {
        let mut kept = Kept::new(rate);
        let mut schedule = Schedule::new(window.begin, rate, 0, 1);
        let publishers = self.options.publishers as u64;
        let mut next = 0;
        loop {
            let now = self.worker.clock.now();
            let due_until = (now + 1).min(window.until);
            let mut queued = 0;
            while schedule.due() < due_until && queued < BURST_MAX {
                let due = schedule.due();
                schedule.advance();
                let publisher = usize::try_from((next + queued) % publishers).unwrap_or(0);
                let (_, stuck) = self.publish(swarm, publisher, due, window)?;
                if window.holds(due) {
                    kept.sent(due, now, stuck);
                }
                queued += 1;
            }
            // What is due together goes out together.
            for number in next..next + queued.min(publishers) {
                let publisher = usize::try_from(number % publishers).unwrap_or(0);
                self.flush(swarm, publisher)?;
            }
            next = (next + queued) % publishers;
            let due = schedule.due();
            if due >= window.until && now >= window.until {
                return Ok(kept);
            }
            let until = due.min(window.until);
            let wait = Duration::from_nanos(until.saturating_sub(self.worker.clock.now()));
            self.turn(swarm, Wait::Exactly(wait.min(TICK)))?;
        }
    }

    /// Receives what is on its way, and publishes nothing more.
    fn drain(&mut self, swarm: &mut Peers<'_>) -> Result<(), Error> {
        let begin = self.worker.clock.now();
        let (mut delivered, mut since) = (self.ledger.totals.delivered, begin);
        while self.ledger.totals.delivered < self.ledger.totals.expected {
            self.turn(swarm, Wait::Roughly(TICK))?;
            let now = self.worker.clock.now();
            if self.ledger.totals.delivered > delivered {
                (delivered, since) = (self.ledger.totals.delivered, now);
            }
            if now - since > nanoseconds(DRAIN_TIMEOUT) || now - begin > nanoseconds(DRAIN_MAX) {
                break;
            }
        }
        Ok(())
    }

    /// Searches what a connection has received, and answers what must be.
    fn take(&mut self, peer: &mut Peer, bytes: &[u8]) -> Result<(), Fault> {
        let ledger = &mut self.ledger;
        let (now, before) = (ledger.now(), ledger.totals.delivered);
        peer.search(bytes, self.needles, |seat, found| {
            ledger.found(seat, found, now)
        })?;
        ledger.read(before, now);
        while let Some(place) = self.ledger.texts.pop() {
            let answer = &self.options.protocol.answers[place].answer;
            self.queue(peer, answer)?;
        }
        peer.flush()
    }

    fn queue(&mut self, peer: &mut Peer, template: &Template) -> Result<(), Fault> {
        let topic = match &peer.seat {
            Seat::Subscriber { topic, .. } => *topic,
            Seat::Publisher => peer.number % self.topics.len(),
        };
        let values = Values {
            number: 0,
            id: 0,
            topic: &self.topics[topic],
            size: self.options.size,
            data: [&[], &[]],
        };
        peer.queue(template, &values, &mut self.scratch)
    }
}

impl Work for Course<'_> {
    type Connection = Peer;

    fn opened(&mut self, mut opened: Opened) -> Result<Peer, Fault> {
        let options = self.options;
        let rest = std::mem::take(&mut opened.rest);
        let (seat, templates) = if opened.number < options.subscribers {
            let seat = Seat::Subscriber {
                topic: opened.number % options.topics,
                readiness: Readiness::Waiting,
                sequences: vec![Sequence::default(); options.publishers],
            };
            (seat, &options.protocol.on_subscribe)
        } else {
            (Seat::Publisher, &options.protocol.on_publisher)
        };
        let mut peer = Peer::new(opened, seat);
        for template in templates {
            self.queue(&mut peer, template)?;
        }
        self.take(&mut peer, &rest)?;
        Ok(peer)
    }

    fn readable(&mut self, peer: &mut Peer, buffer: &mut [u8]) -> Result<(), Fault> {
        while let Some(read) = peer.read(buffer)? {
            self.take(peer, &buffer[..read])?;
            // Edge-triggered: a short read means that the socket is empty (epoll(7)).
            if read < buffer.len() {
                break;
            }
        }
        Ok(())
    }

    fn writable(&mut self, peer: &mut Peer) -> Result<(), Fault> {
        peer.flush()
    }

    fn close(&mut self, peer: &mut Peer) -> Result<(), Fault> {
        peer.close()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pace = match (self.in_flight, &self.schedule) {
            (_, Some(kept)) => format!("open loop at {}/s", report::grouped(kept.rate)),
            (Some(number), None) => format!("{number} in flight for each publisher"),
            (None, None) => String::new(),
        };
        let topics = match self.topics {
            1 => "one topic".to_owned(),
            many => format!("{many} topics"),
        };
        writeln!(f, "fanout {}", self.url)?;
        writeln!(
            f,
            "{} subscribers, {} publishers, {topics}, {} bytes, {pace}, {:.1} s\n",
            self.subscribers, self.publishers, self.size, self.seconds
        )?;
        for (name, rate) in [
            ("publications/s", self.publications_per_second),
            ("deliveries/s", self.deliveries_per_second),
        ] {
            report::line(f, name, &format!("{:>10}", report::grouped(rate)))?;
        }
        report::latency(f, "delivery", &self.delivery_ns)?;
        if let Some(kept) = &self.schedule {
            report::schedule(f, kept)?;
        }
        report::load(f, &self.cpu, "delivery")?;
        let delivered = format!(
            "{:>10.4} % of {}; {} duplicates, {} out of order",
            self.delivered_ratio * 100.0,
            report::grouped(self.expected as f64),
            report::grouped(self.duplicates as f64),
            report::grouped(self.out_of_order as f64)
        );
        report::line(f, "delivered", &delivered)?;
        let checked = format!(
            "{:>10} payloads compared, the others known by their markers",
            report::grouped(self.compared as f64)
        );
        report::line(f, "checked", &checked)?;
        report::warnings(f, &self.warnings)
    }
}

//! `corewire bench fanout`: what publishers send comes to all subscribers of its topic.
//!
//! The server's protocol is given as templates ([`Template`]), and a delivery is known by the
//! marker in its payload ([`marker`]), so that any server can be measured. Deliveries
//! are counted, not messages: a message may hold many. Closed loop: each publisher keeps so many
//! publications in flight, the next goes out when one has come to all subscribers. Open loop:
//! publications are due at a rate ([`pace`](super::pace)). Threads keep books of their own
//! ([`ledger`]), and tell each other on a [`board`] what a closed loop must know.

mod board;
mod course;
mod ledger;
mod marker;
mod order;
mod peer;
mod scan;
mod sequence;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use self::board::Board;
use self::course::{LOST_AFTER, Part};
use self::ledger::Totals;
use self::marker::{MARKER_BYTES, PUBLISHERS_MAX};
use self::scan::Needles;
use super::clock::Clock;
use super::error::Error;
use super::figures::{self, Figures};
use super::opening::{Asked, Offer};
use super::report::{self, Latency, Load};
use super::swarm;
use super::target::{Scheme, Target};
use super::workers::{self, Outcome, Plan, Watch};

pub use super::pace::Kept;
use super::template::{Answer, Literal, Template};

/// Subscribers times publishers; each pair has a sequence of 32 bytes.
const PAIRS_MAX: usize = 4 << 20;
/// Bytes of a payload.
const SIZE_MAX: usize = 16 << 20;
/// Publications in flight for each publisher,
const IN_FLIGHT_MAX: usize = 1 << 16;
/// and for all together; each has 8 bytes, and as many on every thread.
const PLACES_MAX: usize = 1 << 20;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections that subscribe, to one topic each.
    pub subscribers: usize,
    /// Connections that publish, to all topics in turn, each in an order of its own.
    pub publishers: usize,
    /// Topics.
    pub topics: usize,
    /// Threads of the generator, each with a part of the connections.
    pub threads: usize,
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
    /// Threads of the generator.
    pub threads: usize,
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
    let target = &target.reached();
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
    let in_flight = match options.pace {
        Pace::InFlight(number) => number,
        Pace::Rate(_) => 0,
    };
    let board = Board::new(options.threads, options.publishers, in_flight);
    let plan = Plan {
        threads: options.threads,
        warm_up: options.warm_up,
        measure: options.measure,
        server_pid: options.server_pid,
    };
    let outcome = workers::run(&plan, Clock::start(), watch, |worker| {
        course::work(worker, target, &asked, options, &needles, &board)
    })?;
    report(target, options, &outcome)
}

fn check(target: &Target, options: &Options) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::Settings(reason));
    let Options {
        subscribers,
        publishers,
        topics,
        threads,
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
        Pace::InFlight(number) if number.saturating_mul(publishers) > PLACES_MAX => {
            return refuse(format!(
                "--in-flight times --publishers must be at most {PLACES_MAX}"
            ));
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
    if threads > subscribers + publishers {
        return refuse(
            "more --threads than connections: each thread needs a subscriber or a publisher"
                .to_owned(),
        );
    }
    workers::check(threads, options.warm_up, options.measure)
}

/// A number that another run is not likely to have.
fn run_number() -> u16 {
    let pid = std::process::id();
    u16::try_from((pid ^ pid >> 16) & 0xffff).unwrap_or(0)
}

fn report(target: &Target, options: &Options, outcome: &Outcome<Part>) -> Result<Report, Error> {
    let (parts, window) = (&outcome.results, outcome.window);
    let figures = figures::merged(window, &mut parts.iter().map(|part| &part.figures))?;
    let mut totals = Totals::default();
    parts.iter().for_each(|part| totals.merge(&part.totals));
    let kept = match options.pace {
        Pace::InFlight(_) => None,
        Pace::Rate(rate) => {
            let mut all = Kept::new(rate);
            parts.iter().for_each(|part| all.merge(&part.kept));
            Some(all)
        }
    };
    let mut all: Vec<String> = Vec::new();
    for warning in parts.iter().flat_map(|part| &part.warnings) {
        // Threads that waited for the same say the same.
        if !all.contains(warning) {
            all.push(warning.clone());
        }
    }
    let rate = figures.per_second();
    let cpu = Load::of(&outcome.used, rate);
    let each = totals.expected as f64 / totals.published.max(1) as f64;
    all.extend(cpu.warnings());
    all.extend(kept.iter().flat_map(|kept| kept.warnings(rate / each)));
    all.extend(totals.warnings());
    let heard = parts.iter().find_map(|part| part.heard.as_deref());
    if let Some(heard) = heard.filter(|_| totals.delivered < totals.expected) {
        all.push(format!("the last that a publisher was told is {heard}"));
    }
    Ok(Report {
        url: target.to_string(),
        subscribers: options.subscribers,
        publishers: options.publishers,
        topics: options.topics,
        threads: options.threads,
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
    })
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
                "publications that were given up after {} s, which their publishers waited: {}",
                LOST_AFTER.as_secs(),
                self.given_up
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
            "{}, {}, {topics}, {} bytes, {pace}, {:.1} s\n",
            report::counted(self.subscribers, "subscriber"),
            report::counted(self.publishers, "publisher"),
            self.size,
            self.seconds
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

#[cfg(test)]
mod tests {
    use tungstenite::Message;

    use super::*;
    use crate::bench::error::Fault;
    use crate::bench::servers::{self, Deliver};

    #[test]
    fn a_fan_out_is_measured() {
        for pace in [Pace::InFlight(1), Pace::InFlight(8), Pace::Rate(500.0)] {
            let report = measure(all, &Options { pace, ..options() }).unwrap();
            assert!(report.publications > 0 && report.deliveries > 0);
            assert_eq!(report.delivered, report.expected);
            assert!((report.delivered_ratio - 1.0).abs() < 1e-12);
            assert_eq!((report.duplicates, report.out_of_order), (0, 0));
            assert!(report.compared > 0);
            // This server sends to everybody.
            assert!(report.to_publishers > 0);
            let latency = report.delivery_ns;
            assert!(0 < latency.p50 && latency.p50 <= latency.max);
            if let Some(kept) = report.schedule {
                assert_eq!((kept.due, report.publications), (100, 100));
                assert_eq!(report.expected, 110 * 4);
            }
        }
    }

    /// Of two one has 3 subscribers, and the other the last and both publishers; of six each has a
    /// connection.
    #[test]
    fn threads_share_the_connections() {
        for threads in [2, 3, 6] {
            for pace in [Pace::InFlight(1), Pace::InFlight(8), Pace::Rate(500.0)] {
                let options = Options {
                    threads,
                    pace,
                    ..options()
                };
                let report = measure(all, &options).unwrap();
                assert_eq!(report.threads, threads);
                assert!(report.deliveries > 0, "{report}");
                assert_eq!(report.delivered, report.expected, "{report}");
                assert_eq!((report.duplicates, report.out_of_order), (0, 0));
                assert!(report.compared > 0 && report.to_publishers > 0);
                let given_up = |warning: &String| warning.contains("given up");
                assert!(!report.warnings.iter().any(given_up), "{report}");
                if let Some(kept) = report.schedule {
                    assert_eq!((kept.due, report.publications), (100, 100));
                    assert_eq!(report.expected, 110 * 4);
                }
            }
        }
    }

    /// Otherwise a closed loop would stand still until it gives up, or go round once a tick.
    #[test]
    fn who_has_the_last_delivery_wakes_the_publishers_thread() {
        let options = Options {
            threads: 5,
            publishers: 1,
            measure: Duration::from_secs(1),
            ..options()
        };
        // A server that sends nothing to the publisher, which joins last.
        let others: Deliver = |place, _, message, _| match place {
            ..4 => vec![message.clone()],
            _ => vec![],
        };
        let report = measure(others, &options).unwrap();
        assert_eq!(
            (report.to_publishers, report.delivered),
            (0, report.expected)
        );
        let ticks = options.measure.as_nanos() / workers::TICK.as_nanos();
        assert!(u128::from(report.publications) > 3 * ticks, "{report}");
    }

    #[test]
    fn one_delivery_that_is_dropped_is_missed() {
        let (closed, open) = (Pace::InFlight(2), Pace::Rate(500.0));
        for (pace, threads) in [(closed, 1), (open, 1), (closed, 3), (open, 3)] {
            let drop_one: Deliver = |place, number, message, _| match (place, number) {
                (1, 5) => vec![],
                _ => vec![message.clone()],
            };
            let options = Options {
                pace,
                threads,
                ..options()
            };
            let report = measure(drop_one, &options).unwrap();
            assert_eq!(report.delivered + 1, report.expected);
            assert!(report.delivered_ratio < 1.0);
            let told = |warning: &String| warning.contains("never came");
            assert!(report.warnings.iter().any(told), "{:?}", report.warnings);
        }
    }

    #[test]
    fn why_a_server_delivers_nothing_is_told() {
        // It refuses everything from the fourth on, and tells the publisher why.
        let refuse: Deliver = |place, number, message, _| match (place, number) {
            (_, ..3) => vec![message.clone()],
            (4, _) => vec![Message::text("too many\r\n")],
            _ => vec![],
        };
        let options = Options {
            publishers: 1,
            ..options()
        };
        let report = measure(refuse, &options).unwrap();
        let told = |warning: &String| warning.ends_with(r"was told is too many\r\n");
        assert!(report.warnings.iter().any(told), "{report}");
    }

    #[test]
    fn deliveries_that_come_twice_or_late_are_told() {
        let wrong: Deliver = |place, number, message, last| match (place, number) {
            (0, 5) => vec![message.clone(), message.clone()],
            // The one that is not delivered here comes behind its successor.
            (2, 7) => vec![],
            (2, 8) => vec![message.clone(), last.clone()],
            _ => vec![message.clone()],
        };
        let options = Options {
            publishers: 1,
            pace: Pace::Rate(500.0),
            ..options()
        };
        let report = measure(wrong, &options).unwrap();
        assert_eq!(report.delivered, report.expected);
        assert_eq!((report.duplicates, report.out_of_order), (1, 1));
    }

    #[test]
    fn a_closed_loop_goes_on_after_a_loss() {
        let drop_all_of_one: Deliver = |_, number, message, _| match number {
            3 => vec![],
            _ => vec![message.clone()],
        };
        for threads in [1, 3] {
            let options = Options {
                publishers: 1,
                threads,
                measure: LOST_AFTER * 3,
                ..options()
            };
            let report = measure(drop_all_of_one, &options).unwrap();
            assert_eq!(report.expected - report.delivered, 4);
            assert!(report.expected > 4 * 5, "{report}");
            let told = |warning: &String| warning.ends_with("publishers waited: 1");
            assert!(report.warnings.iter().any(told), "{report}");
        }
    }

    #[test]
    fn a_stall_shows_in_an_open_loop() {
        let stall: Deliver = |place, number, message, _| {
            if (place, number) == (0, 100) {
                std::thread::sleep(Duration::from_millis(200));
            }
            vec![message.clone()]
        };
        let options = Options {
            pace: Pace::Rate(500.0),
            measure: Duration::from_secs(1),
            ..options()
        };
        let report = measure(stall, &options).unwrap();
        let latency = report.delivery_ns;
        assert!(latency.p99_9 > 180_000_000, "{latency:?}");
        assert!(latency.p90 > 80_000_000, "{latency:?}");
    }

    #[test]
    fn envelopes_topics_and_many_in_a_message_are_seen_through() {
        // Every second message is sent together with the one before, inside JSON.
        let batches: Deliver = |_, number, message, last| match number % 2 {
            0 => vec![],
            _ => vec![Message::text(format!("{{\"push\":[{last},{message}]}}"))],
        };
        let mut options = Options {
            publishers: 1,
            pace: Pace::Rate(500.0),
            size: MARKER_BYTES,
            ..options()
        };
        options.protocol.publish = template(r#"{"id":{id},"topic":"{topic}","data":"{data}"}"#);
        let report = measure(batches, &options).unwrap();
        assert_eq!((report.delivered, report.expected), (440, 440));
        assert_eq!((report.duplicates, report.out_of_order), (0, 0));
        assert_eq!(report.cpu.server, None);
    }

    #[test]
    fn subscribers_are_waited_for_and_texts_answered() {
        // Who has joined says hello to all who have, itself among them.
        let mut options = options();
        options.protocol.answers = vec!["joined=hello from {n}\\r\\n".parse().unwrap()];
        options.protocol.ready = Some("hello from".parse().unwrap());
        let report = measure(all, &options).unwrap();
        assert_eq!(report.delivered, report.expected);

        options.protocol.ready = Some("nobody says this".parse().unwrap());
        let error = measure(|_, _, _, _| vec![], &options).unwrap_err();
        assert!(
            matches!(
                error,
                Error::NotReady {
                    ready: 0,
                    wanted: 4
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn wrong_deliveries_are_no_result() {
        let changed: Deliver = |_, _, message, _| {
            let mut bytes = message.clone().into_data().to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            vec![Message::binary(bytes)]
        };
        let found = fault(measure(changed, &options()).unwrap_err());
        assert!(matches!(found, Fault::Changed { number: 0 }), "{found}");

        // The number of a publication that is still to be made.
        let made_up: Deliver = |_, _, message, _| {
            let mut bytes = message.clone().into_data().to_vec();
            bytes[12..20].copy_from_slice(b"00ffffff");
            vec![Message::binary(bytes)]
        };
        let found = fault(measure(made_up, &options()).unwrap_err());
        assert!(matches!(found, Fault::Unpublished), "{found}");

        // All get everything, though each has subscribed to one topic.
        let topics = Options {
            topics: 2,
            ..options()
        };
        let found = fault(measure(all, &topics).unwrap_err());
        assert!(matches!(found, Fault::Topic { .. }), "{found}");
    }

    #[test]
    fn settings_that_contradict_themselves_are_refused() {
        let refused = |change: fn(&mut Options)| {
            let mut options = options();
            change(&mut options);
            let error = measure(all, &options).unwrap_err();
            assert!(matches!(error, Error::Settings(_)), "{error}");
            error.to_string()
        };
        assert!(refused(|o| o.size = 31).contains("--size"));
        assert!(refused(|o| o.topics = 5).contains("--topics"));
        assert!(refused(|o| o.subscribers = 0).contains("subscriber"));
        assert!(refused(|o| o.publishers = 1 << 17).contains("--publishers"));
        assert!(refused(|o| o.pace = Pace::Rate(0.0)).contains("--rate"));
        assert!(refused(|o| o.pace = Pace::InFlight(0)).contains("--in-flight"));
        let many = |o: &mut Options| {
            (o.publishers, o.pace) = (17, Pace::InFlight(1 << 16));
        };
        assert!(refused(many).contains("--in-flight times --publishers"));
        assert!(refused(|o| o.threads = 0).contains("--threads"));
        assert!(refused(|o| o.threads = 7).contains("--threads"));
        assert!(refused(|o| o.protocol.publish = template("x")).contains("--publish"));
        let twice = |o: &mut Options| o.protocol.on_subscribe = vec![template("{data}")];
        assert!(refused(twice).contains("--publish"));
    }

    fn all(_: usize, _: u64, message: &Message, _: &Message) -> Vec<Message> {
        vec![message.clone()]
    }

    fn template(template: &str) -> Template {
        template.parse().unwrap()
    }

    fn fault(error: Error) -> Fault {
        let Error::Server { fault, .. } = error else {
            panic!("{error}");
        };
        fault
    }

    fn measure(deliver: Deliver, options: &Options) -> Result<Report, Error> {
        run(&servers::broadcast(deliver), options, &mut |_| {})
    }

    fn options() -> Options {
        Options {
            subscribers: 4,
            publishers: 2,
            topics: 1,
            threads: 1,
            size: 100,
            pace: Pace::InFlight(1),
            protocol: Protocol {
                subprotocol: None,
                on_subscribe: Vec::new(),
                on_publisher: Vec::new(),
                publish: template("{data}"),
                answers: Vec::new(),
                ready: Some(servers::JOINED.parse().unwrap()),
            },
            measure: Duration::from_millis(200),
            warm_up: Duration::from_millis(20),
            server_pid: None,
        }
    }
}

//! `corewire bench echo`: every message comes back.
//!
//! Closed loop: each connection keeps `depth` messages on their way, and the next goes out when one
//! has come back. It finds the highest throughput, and at depth 1 the round trip under full load; a
//! server that stalls is sent less meanwhile, so its latencies look better than users would find
//! them. Open loop: messages are due at a rate, whatever comes back, and latencies count from when
//! they were due ([`pace`](super::pace)); that is what users would find.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::clock::{Clock, nanoseconds};
use super::connection::{Connection, Reading};
use super::error::{Error, Fault};
use super::figures::{self, Figures};
use super::messages::Messages;
use super::opening::{Asked, Offer, Opened};
use super::pace::Schedule;
use super::replies::Totals;
use super::report::{self, Latency, Load};
use super::swarm::{self, Swarm, Wait, Work};
use super::target::{Scheme, Target};
use super::workers::{self, Plan, TICK, Watch, Window, Worker};

pub use super::messages::{Content, Deflate};
pub use super::pace::Kept;

/// How long the last messages have to come back, as long as none does.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long they have in all: what a server that is driven beyond its limit has queued.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// Messages that one thread may wait for in an open loop, 16 bytes each.
const BACKLOG_MAX: u64 = 4 << 20;
/// Messages that are sent at most before replies are read again.
const BURST_MAX: u64 = 1024;

/// What to send.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections.
    pub connections: usize,
    /// Threads of the generator, each with a part of the connections.
    pub threads: usize,
    /// Bytes of a message.
    pub size: usize,
    /// When the next message goes out.
    pub pace: Pace,
    /// How long is measured.
    pub measure: Duration,
    /// How long is sent before.
    pub warm_up: Duration,
    /// Binary or text.
    pub content: Content,
    /// Compressed or not.
    pub deflate: Deflate,
    /// The server's process, if it runs here and its CPU is of interest.
    pub server_pid: Option<u32>,
}

/// When messages are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Closed loop: for every reply, so that so many are on their way per connection.
    Depth(usize),
    /// Open loop: so many a second on all connections together, whatever comes back.
    Rate(f64),
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was measured.
    pub url: String,
    /// Connections.
    pub connections: usize,
    /// Threads of the generator.
    pub threads: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Messages on their way per connection, in a closed loop.
    pub depth: Option<usize>,
    /// What was due, in an open loop.
    pub schedule: Option<Kept>,
    /// Whether they were text.
    pub text: bool,
    /// Whether they were compressed, and how.
    pub deflate: Deflate,
    /// How long was measured.
    pub seconds: f64,
    /// Messages that came back in that time.
    pub messages: u64,
    /// The same per second.
    pub messages_per_second: f64,
    /// From sending a message, or from when it was due, to its reply; of the messages that were
    /// sent or due in the measured time.
    pub round_trip_ns: Latency,
    /// CPU time.
    pub cpu: Load,
    /// Messages sent in the whole run; all came back, of the right kind and length.
    pub sent: u64,
    /// Replies whose content was compared as well.
    pub compared: u64,
    /// Payload bytes of a reply as it came, on average: less than `size` where it was compressed.
    pub reply_bytes: f64,
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
/// Whatever makes the figures worthless; the server's faults among them.
pub fn run(target: &Target, options: &Options, watch: Watch<'_>) -> Result<Report, Error> {
    check(target, options)?;
    let target = &target.reached();
    swarm::raise_descriptor_limit(options.connections)?;
    let depth = match options.pace {
        Pace::Depth(depth) => depth,
        Pace::Rate(_) => 1,
    };
    let messages = Messages::build(
        target.scheme(),
        options.content,
        options.deflate,
        options.size,
        depth,
    )?;
    let asked = Asked {
        offer: Offer::of(options.deflate, options.size),
        subprotocol: None,
    };
    let plan = Plan {
        threads: options.threads,
        warm_up: options.warm_up,
        measure: options.measure,
        server_pid: options.server_pid,
    };
    let outcome = workers::run(&plan, Clock::start(), watch, |worker| {
        work(worker, target, &asked, options, &messages)
    })?;

    let parts = &outcome.results;
    let total = |of: fn(&Totals) -> u64| parts.iter().map(|part| of(&part.totals)).sum::<u64>();
    let (sent, payload_bytes) = (total(|of| of.messages), total(|of| of.payload_bytes));
    let figures = figures::merged(outcome.window, &mut parts.iter().map(|part| &part.figures))?;
    let schedule = match options.pace {
        Pace::Depth(_) => None,
        Pace::Rate(rate) => {
            let mut all = Kept::new(rate);
            parts.iter().for_each(|part| all.merge(&part.kept));
            Some(all)
        }
    };
    let rate = figures.per_second();
    let cpu = Load::of(&outcome.used, rate);
    let mut warnings = cpu.warnings();
    warnings.extend(schedule.iter().flat_map(|kept| kept.warnings(rate)));
    Ok(Report {
        url: target.to_string(),
        connections: options.connections,
        threads: options.threads,
        size: options.size,
        depth: schedule.is_none().then_some(depth),
        schedule,
        text: options.content == Content::Text,
        deflate: options.deflate,
        seconds: outcome.window.seconds(),
        messages: figures.count(),
        messages_per_second: rate,
        round_trip_ns: Latency::of(figures.latency()),
        cpu,
        sent,
        compared: total(|of| of.compared),
        reply_bytes: payload_bytes as f64 / sent.max(1) as f64,
        warnings,
        figures,
    })
}

fn check(target: &Target, options: &Options) -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::Settings(reason.to_owned()));
    if options.connections == 0 || options.pace == Pace::Depth(0) {
        return refuse("at least one connection and one message at a time are needed");
    }
    if let Pace::Rate(rate) = options.pace
        && !(rate > 0.0 && rate.is_finite())
    {
        return refuse("--rate must be more than 0 messages a second");
    }
    if options.connections < options.threads {
        return refuse("more --threads than --connections: each thread needs one of its own");
    }
    if target.scheme() == Scheme::Tcp && options.deflate != Deflate::Off {
        return refuse("a tcp:// server negotiates nothing: leave out --deflate");
    }
    workers::check(options.threads, options.warm_up, options.measure)
}

/// What one thread has found.
struct Part {
    figures: Figures,
    kept: Kept,
    totals: Totals,
}

fn work(
    worker: &Worker<'_, Part>,
    target: &Target,
    asked: &Asked,
    options: &Options,
    messages: &Messages,
) -> Result<Part, Error> {
    let (clock, own) = (worker.clock, worker.share(options.connections));
    let mut swarm = Swarm::new(target, asked, own.start, clock)?;
    let mut course = Course {
        clock,
        messages,
        figures: Figures::new(Window::NONE)?,
        replies: 0,
        sending: Sending::Nothing,
    };
    swarm.open(own.len(), &mut course)?;

    let window = worker.ready()?;
    course.figures = Figures::new(window)?;
    let kept = match options.pace {
        Pace::Depth(depth) => {
            course.closed_loop(&mut swarm, worker, window, depth as u64)?;
            Kept::new(0.0)
        }
        Pace::Rate(rate) => {
            let own = worker.number..worker.number + 1;
            let schedule = Schedule::new(window.begin, rate, own, options.threads);
            course.open_loop(&mut swarm, worker, window, schedule)?
        }
    };
    course.drain(&mut swarm, worker)?;
    let totals = verify(&swarm)?;
    swarm.close(&mut course)?;
    Ok(Part {
        figures: course.figures,
        kept,
        totals,
    })
}

/// Every message must have come back once the run is over. Returns what did.
fn verify(swarm: &Swarm<'_, Connection>) -> Result<Totals, Error> {
    let mut sent = 0;
    let mut all = Totals {
        messages: 0,
        compared: 0,
        payload_bytes: 0,
    };
    for connection in swarm.connections() {
        let totals = connection.totals();
        sent += connection.sent();
        all.messages += totals.messages;
        all.compared += totals.compared;
        all.payload_bytes += totals.payload_bytes;
    }
    if all.messages == sent {
        Ok(all)
    } else {
        Err(Error::Lost {
            sent,
            received: all.messages,
        })
    }
}

/// The course of one thread's run: what has come back, and how fast.
struct Course<'a> {
    clock: Clock,
    messages: &'a Messages,
    figures: Figures,
    /// Replies so far.
    replies: u64,
    sending: Sending,
}

/// What goes out when a reply has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// The next message.
    ForEachReply,
    /// Nothing on that account.
    Nothing,
}

impl Work for Course<'_> {
    type Connection = Connection;

    fn opened(&mut self, opened: Opened) -> Result<Connection, Fault> {
        Connection::new(opened, self.messages)
    }

    fn readable(&mut self, connection: &mut Connection, buffer: &mut [u8]) -> Result<(), Fault> {
        loop {
            let reading = connection.read(buffer, self.messages)?;
            let (Reading::Replies(replies) | Reading::Last(replies)) = reading;
            if replies > 0 {
                let now = self.clock.now();
                connection.answered(replies, |since, number| {
                    self.figures.took(since, now, number);
                });
                self.figures.came(now, replies);
                self.replies += replies;
                if self.sending == Sending::ForEachReply {
                    connection.queue(replies, now, self.messages);
                    connection.flush(self.messages)?;
                }
            }
            if let Reading::Last(_) = reading {
                return Ok(());
            }
        }
    }

    fn writable(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        connection.flush(self.messages)
    }

    fn close(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        connection.close(self.messages)
    }
}

type Connections<'a> = Swarm<'a, Connection>;

impl Course<'_> {
    /// Sends a message for every reply.
    fn closed_loop(
        &mut self,
        swarm: &mut Connections<'_>,
        worker: &Worker<'_, Part>,
        window: Window,
        depth: u64,
    ) -> Result<(), Error> {
        self.sending = Sending::ForEachReply;
        swarm.each(1, |connection| {
            connection.queue(depth, self.clock.now(), self.messages);
            connection.flush(self.messages)
        })?;
        loop {
            let left = window.until.saturating_sub(self.clock.now());
            if left == 0 {
                break;
            }
            let wait = Duration::from_nanos(left).min(TICK);
            self.turn(swarm, worker, Wait::Roughly(wait))?;
        }
        self.sending = Sending::Nothing;
        Ok(())
    }

    /// Sends every message when it is due, on one connection after the other.
    fn open_loop(
        &mut self,
        swarm: &mut Connections<'_>,
        worker: &Worker<'_, Part>,
        window: Window,
        mut schedule: Schedule,
    ) -> Result<Kept, Error> {
        let mut kept = Kept::new(0.0);
        let connections = swarm.connections().count() as u64;
        let (mut next, mut sent) = (0, 0);
        loop {
            let now = self.clock.now();
            let due_until = (now + 1).min(window.until);
            let mut queued = 0;
            while schedule.due() < due_until && queued < BURST_MAX {
                let due = schedule.due();
                schedule.advance();
                let place = usize::try_from((next + queued) % connections).unwrap_or(0);
                swarm.with(place, |connection| {
                    connection.queue(1, due, self.messages);
                    if window.holds(due) {
                        kept.sent(due, now, connection.is_stuck());
                    }
                    Ok(())
                })?;
                queued += 1;
            }
            // What is due together goes out together.
            for number in next..next + queued.min(connections) {
                let place = usize::try_from(number % connections).unwrap_or(0);
                swarm.with(place, |connection| connection.flush(self.messages))?;
            }
            next = (next + queued) % connections;
            sent += queued;
            if sent - self.replies > BACKLOG_MAX {
                return Err(Error::Backlog);
            }
            let due = schedule.due();
            if due >= window.until && now >= window.until {
                return Ok(kept);
            }
            let until = due.min(window.until);
            let wait = Duration::from_nanos(until.saturating_sub(self.clock.now()));
            self.turn(swarm, worker, Wait::Exactly(wait.min(TICK)))?;
        }
    }

    /// Receives what is on its way, and sends nothing more.
    fn drain(
        &mut self,
        swarm: &mut Connections<'_>,
        worker: &Worker<'_, Part>,
    ) -> Result<(), Error> {
        let waiting = |swarm: &Connections<'_>| {
            let mut all = swarm.connections();
            all.any(|one| one.outstanding() > 0)
        };
        let end = self.clock.now() + nanoseconds(DRAIN_MAX);
        let (mut replies, mut since) = (self.replies, self.clock.now());
        while waiting(swarm) {
            self.turn(swarm, worker, Wait::Roughly(TICK))?;
            let now = self.clock.now();
            if self.replies > replies {
                (replies, since) = (self.replies, now);
            } else if now - since > nanoseconds(DRAIN_TIMEOUT) {
                break;
            }
            if now > end {
                break;
            }
        }
        Ok(())
    }

    fn turn(
        &mut self,
        swarm: &mut Connections<'_>,
        worker: &Worker<'_, Part>,
        wait: Wait,
    ) -> Result<(), Error> {
        let replies = self.replies;
        swarm.turn(wait, self)?;
        worker.count(self.replies - replies);
        worker.go_on()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.text, self.deflate) {
            (false, Deflate::Off) => "binary",
            (true, Deflate::Off) => "text",
            (false, _) => "binary JSON",
            (true, _) => "JSON",
        };
        let deflate = match self.deflate {
            Deflate::Off => "",
            Deflate::NoTakeover => ", compressed alone",
            Deflate::Takeover => ", compressed with context takeover",
        };
        let pace = match (self.depth, &self.schedule) {
            (_, Some(kept)) => format!("open loop at {}/s", report::grouped(kept.rate)),
            (Some(depth), None) => format!("depth {depth}"),
            (None, None) => String::new(),
        };
        writeln!(f, "echo {}", self.url)?;
        writeln!(
            f,
            "{}, {} bytes of {kind}{deflate}, {pace}, {:.1} s\n",
            report::counted(self.connections, "connection"),
            self.size,
            self.seconds
        )?;
        let rate = format!("{:>10}", report::grouped(self.messages_per_second));
        report::line(f, "messages/s", &rate)?;
        report::latency(f, "round trip", &self.round_trip_ns)?;
        if let Some(kept) = &self.schedule {
            report::schedule(f, kept)?;
        }
        report::load(f, &self.cpu, "message")?;
        if self.deflate != Deflate::Off {
            let bytes = format!("{:>10.0} bytes, compressed", self.reply_bytes);
            report::line(f, "a reply", &bytes)?;
        }
        let checked = format!(
            "{:>10} sent, all came back; content of {} compared",
            report::grouped(self.sent as f64),
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
    use crate::bench::servers::{self, Reply};

    #[test]
    fn an_echo_server_is_measured() {
        let report = measure(&servers::echo(|message, _| vec![message]), &options()).unwrap();
        assert!(report.messages > 0);
        assert!(report.sent >= report.messages);
        assert!(report.compared >= 4);
        assert!((report.reply_bytes - 64.0).abs() < f64::EPSILON);
        let latency = report.round_trip_ns;
        assert!(latency.p50 <= latency.p99 && latency.p99 <= latency.max);
        assert!(report.to_string().contains("messages/s"));
    }

    #[test]
    fn text_is_measured() {
        let options = Options {
            content: Content::Text,
            ..options()
        };
        measure(&servers::echo(|message, _| vec![message]), &options).unwrap();
    }

    #[test]
    fn a_wrong_first_reply_is_no_result() {
        let fault = refused(|message, _| vec![changed(&message)]);
        assert!(matches!(fault, Fault::Content { reply: 0 }), "{fault}");
    }

    #[test]
    fn wrong_replies_later_are_no_result() {
        let fault = refused(|message, number| match number {
            0..50 => vec![message],
            _ => vec![changed(&message)],
        });
        assert!(matches!(fault, Fault::Content { reply: 64 }), "{fault}");
    }

    #[test]
    fn a_shorter_reply_is_no_result_even_where_content_is_not_compared() {
        let fault = refused(|message, number| match number {
            3 => vec![Message::binary(message.into_data().slice(1..))],
            _ => vec![message],
        });
        let expected = matches!(
            fault,
            Fault::Length {
                reply: 3,
                sent: 64,
                received: 63
            }
        );
        assert!(expected, "{fault}");
    }

    #[test]
    fn text_for_binary_is_no_result() {
        let fault = refused(|_, _| vec![Message::text("x".repeat(64))]);
        assert!(matches!(fault, Fault::Kind), "{fault}");
    }

    #[test]
    fn a_reply_too_many_is_no_result() {
        let fault = refused(|message, number| match number {
            5 => vec![message; 4],
            _ => vec![message],
        });
        // The surplus puts all later replies out of order, which a sample may see first.
        let expected = matches!(fault, Fault::Surplus | Fault::Content { .. });
        assert!(expected, "{fault}");
    }

    #[test]
    fn a_swallowed_message_is_no_result() {
        let options = Options {
            // Depth 1: the connection stalls, the others go on.
            pace: Pace::Depth(1),
            ..options()
        };
        let target = servers::echo(|message, number| match number {
            5 => vec![],
            _ => vec![message],
        });
        let error = measure(&target, &options).unwrap_err();
        assert!(
            // On a busy machine some connections do not come so far in this time.
            matches!(error, Error::Lost { sent, received } if (1..=4).contains(&(sent - received))),
            "{error}"
        );
    }

    #[test]
    fn a_server_that_closes_is_no_result() {
        let fault = refused(|_, _| vec![Message::Close(None)]);
        assert!(matches!(fault, Fault::Closed(_)), "{fault}");
    }

    #[test]
    fn raw_tcp_is_measured_and_checked_too() {
        let report = measure(&servers::tcp(|_| ()), &options()).unwrap();
        assert!(report.messages > 0);
        let wrong = |bytes: &mut [u8]| {
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
        };
        let fault = fault(measure(&servers::tcp(wrong), &endless()).unwrap_err());
        assert!(matches!(fault, Fault::Content { .. }), "{fault}");
    }

    #[test]
    fn who_does_not_do_deflate_is_not_measured_with_it() {
        let options = Options {
            deflate: Deflate::NoTakeover,
            ..options()
        };
        let fault =
            fault(measure(&servers::echo(|message, _| vec![message]), &options).unwrap_err());
        assert!(matches!(fault, Fault::NoDeflate), "{fault}");
    }

    #[test]
    fn a_stall_shows_in_an_open_loop() {
        const STALL: Duration = Duration::from_millis(200);
        let options = Options {
            connections: 1,
            pace: Pace::Rate(1000.0),
            measure: Duration::from_secs(1),
            ..options()
        };
        let target = servers::echo(|message, number| {
            if number == 300 {
                std::thread::sleep(STALL);
            }
            vec![message]
        });
        let report = measure(&target, &options).unwrap();
        let kept = report.schedule.unwrap();
        assert_eq!(kept.due, 1000);
        assert_eq!(report.sent, 1020);
        // Of the 200 messages that were due meanwhile the first waited longest.
        let latency = report.round_trip_ns;
        assert!(latency.p99_9 > nanoseconds(STALL) * 9 / 10, "{latency:?}");
        assert!(latency.p99 > nanoseconds(STALL) * 8 / 10, "{latency:?}");
        assert!(latency.p90 > nanoseconds(STALL) * 4 / 10, "{latency:?}");
    }

    #[test]
    fn a_rate_that_is_not_achieved_is_told() {
        let options = Options {
            connections: 1,
            pace: Pace::Rate(1000.0),
            ..options()
        };
        // A tenth of that.
        let target = servers::echo(|message, _| {
            std::thread::sleep(Duration::from_millis(10));
            vec![message]
        });
        let report = measure(&target, &options).unwrap();
        let told = |warning: &String| warning.contains("the rate was not achieved");
        assert!(report.warnings.iter().any(told), "{:?}", report.warnings);
    }

    #[test]
    fn threads_share_the_connections() {
        for pace in [Pace::Depth(3), Pace::Rate(2000.0)] {
            let options = Options {
                connections: 5,
                threads: 3,
                pace,
                ..options()
            };
            let report = measure(&servers::echo(|message, _| vec![message]), &options).unwrap();
            assert!(report.messages > 0 && report.sent >= report.messages);
            if let Some(kept) = report.schedule {
                assert_eq!((kept.due, report.sent), (400, 440));
            }
        }
    }

    #[test]
    fn an_error_on_one_thread_is_the_error_of_all() {
        let options = Options {
            threads: 2,
            ..endless()
        };
        let target = servers::echo(|message, number| match number {
            40 => vec![changed(&message), changed(&message)],
            _ => vec![message],
        });
        let error = measure(&target, &options).unwrap_err();
        assert!(matches!(error, Error::Server { .. }), "{error}");
    }

    fn measure(target: &Target, options: &Options) -> Result<Report, Error> {
        run(target, options, &mut |_| {})
    }

    fn options() -> Options {
        Options {
            connections: 4,
            threads: 1,
            size: 64,
            pace: Pace::Depth(3),
            measure: Duration::from_millis(200),
            warm_up: Duration::from_millis(20),
            content: Content::Binary,
            deflate: Deflate::Off,
            server_pid: Some(std::process::id()),
        }
    }

    /// For servers whose first fault ends the run.
    fn endless() -> Options {
        Options {
            measure: Duration::from_secs(20),
            ..options()
        }
    }

    /// What is wrong with a server that gives `reply`.
    fn refused(reply: Reply) -> Fault {
        fault(measure(&servers::echo(reply), &endless()).unwrap_err())
    }

    fn fault(error: Error) -> Fault {
        let Error::Server { fault, .. } = error else {
            panic!("{error}");
        };
        fault
    }

    fn changed(message: &Message) -> Message {
        let mut bytes = message.clone().into_data().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        Message::binary(bytes)
    }
}

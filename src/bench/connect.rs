//! `corewire bench connect`: handshakes per second.
//!
//! Each of `at_once` slots goes round: connect, handshake, Close frame both ways, until the server
//! has ended the connection as RFC 6455, 7.1.1 wants it to, and again. So a server's figure holds
//! the whole life of a connection, not only its beginning.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use corewire_protocol::Role;
use corewire_protocol::frame::{OpCode, Reserved};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;

use super::clock::{Clock, nanoseconds};
use super::error::{Error, Fault};
use super::figures::{self, Figures};
use super::frames::{Frames, NoPayloads};
use super::messages::control_frame;
use super::opening::{Asked, Offer, Opened, Opening};
use super::report::{self, Latency, Load};
use super::swarm::{self, EVENTS, at};
use super::target::{Scheme, Target};
use super::workers::{self, Plan, TICK, Watch, Window, Worker};

/// A handshake that takes longer has failed.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that has not ended a connection so long after our Close frame is left.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// One receive buffer for all: Close frames are small, and what else comes is passed over.
const BUFFER_BYTES: usize = 16 << 10;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections that are on their way in or out at a time.
    pub at_once: usize,
    /// Threads of the generator, each with a part of them.
    pub threads: usize,
    /// A subprotocol to ask for.
    pub subprotocol: Option<String>,
    /// How long is measured.
    pub measure: Duration,
    /// How long before that.
    pub warm_up: Duration,
    /// The server's process, if it runs here and its CPU is of interest.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was measured.
    pub url: String,
    /// Connections on their way in or out at a time.
    pub at_once: usize,
    /// Threads of the generator.
    pub threads: usize,
    /// How long was measured.
    pub seconds: f64,
    /// Handshakes that were complete in that time.
    pub handshakes: u64,
    /// The same per second.
    pub handshakes_per_second: f64,
    /// From connecting to the complete 101.
    pub handshake_ns: Latency,
    /// CPU time, "message" being a handshake.
    pub cpu: Load,
    /// Handshakes of the whole run.
    pub opened: u64,
    /// Those whose Close frame was answered and whose connection the server ended.
    pub closed: u64,
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
    swarm::raise_descriptor_limit(options.at_once)?;
    let asked = Asked {
        offer: Offer::Nothing,
        subprotocol: options.subprotocol.clone(),
    };
    let plan = Plan {
        threads: options.threads,
        warm_up: options.warm_up,
        measure: options.measure,
        server_pid: options.server_pid,
    };
    let outcome = workers::run(&plan, Clock::start(), watch, |worker| {
        let slots = worker.share(options.at_once);
        Carousel::new(worker, target, &asked, slots.len())?.work(slots.start)
    })?;
    let parts = &outcome.results;
    let figures = figures::merged(outcome.window, &mut parts.iter().map(|part| &part.figures))?;
    let rate = figures.per_second();
    let cpu = Load::of(&outcome.used, rate);
    let opened = parts.iter().map(|part| part.opened).sum();
    let closed = parts.iter().map(|part| part.closed).sum();
    let mut warnings = cpu.warnings();
    if closed < opened {
        warnings.push(format!(
            "{} of {opened} connections were not closed as RFC 6455, 7.1.1 says: no Close frame \
             came back, or the server did not end the connection within {} s",
            opened - closed,
            CLOSE_TIMEOUT.as_secs()
        ));
    }
    Ok(Report {
        url: target.to_string(),
        at_once: options.at_once,
        threads: options.threads,
        seconds: outcome.window.seconds(),
        handshakes: figures.count(),
        handshakes_per_second: rate,
        handshake_ns: Latency::of(figures.latency()),
        cpu,
        opened,
        closed,
        warnings,
        figures,
    })
}

fn check(target: &Target, options: &Options) -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::Settings(reason.to_owned()));
    if target.scheme() == Scheme::Tcp {
        return refuse("handshakes need a ws:// URL");
    }
    if options.at_once == 0 {
        return refuse("--at-once must be at least 1");
    }
    if options.at_once < options.threads {
        return refuse("more --threads than --at-once: each thread needs a connection of its own");
    }
    workers::check(options.threads, options.warm_up, options.measure)
}

/// What one thread has found.
struct Part {
    figures: Figures,
    opened: u64,
    closed: u64,
}

/// The slots of one thread.
struct Carousel<'a> {
    worker: &'a Worker<'a, Part>,
    target: &'a Target,
    asked: &'a Asked,
    poll: Poll,
    slots: Vec<Slot>,
    buffer: Vec<u8>,
    part: Part,
}

/// ```text
///   Free --begin--> Opening --101--> Closing --EOF--> Free
/// ```
#[derive(Debug)]
enum Slot {
    Free,
    Opening { opening: Box<Opening>, since: u64 },
    Closing { ending: Ending, since: u64 },
}

impl<'a> Carousel<'a> {
    fn new(
        worker: &'a Worker<'a, Part>,
        target: &'a Target,
        asked: &'a Asked,
        slots: usize,
    ) -> Result<Self, Error> {
        Ok(Self {
            worker,
            target,
            asked,
            poll: Poll::new().map_err(Error::system("create an epoll instance"))?,
            slots: (0..slots).map(|_| Slot::Free).collect(),
            buffer: vec![0; BUFFER_BYTES],
            part: Part {
                figures: Figures::new(Window::NONE)?,
                opened: 0,
                closed: 0,
            },
        })
    }

    /// Connections are numbered from `number` on, so that threads begin with other addresses.
    fn work(mut self, mut number: usize) -> Result<Part, Error> {
        let clock = self.worker.clock;
        let window = self.worker.ready()?;
        self.part.figures = Figures::new(window)?;
        let mut events = Events::with_capacity(EVENTS);
        let mut sweep = clock.now();
        loop {
            let now = clock.now();
            let going_on = now < window.until;
            for place in 0..self.slots.len() {
                if going_on && matches!(self.slots[place], Slot::Free) {
                    self.slots[place] = self.begin(place, number)?;
                    number += 1;
                }
            }
            if !going_on && self.slots.iter().all(|slot| matches!(slot, Slot::Free)) {
                return Ok(self.part);
            }
            if now >= sweep {
                self.sweep(now)?;
                sweep = now + nanoseconds(TICK);
                self.worker.go_on()?;
            }
            match self.poll.poll(&mut events, Some(TICK)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::system("wait for events")(error)),
            }
            let opened = self.part.opened;
            for event in &events {
                let place = event.token().0;
                let slot = std::mem::replace(&mut self.slots[place], Slot::Free);
                self.slots[place] = self.advance(slot).map_err(at(place))?;
            }
            self.worker.count(self.part.opened - opened);
        }
    }

    fn begin(&self, place: usize, number: usize) -> Result<Slot, Error> {
        let since = self.worker.clock.now();
        let mut opening = Opening::begin(self.target, number)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(opening.stream(), Token(place), both)
            .map_err(Error::system("watch a socket"))?;
        Ok(Slot::Opening {
            opening: Box::new(opening),
            since,
        })
    }

    /// Goes on with what is in a slot, as far as its socket lets it.
    fn advance(&mut self, slot: Slot) -> Result<Slot, Fault> {
        match slot {
            Slot::Free => Ok(Slot::Free),
            Slot::Opening { opening, since } => match opening.advance(self.target, self.asked)? {
                Err(opening) => Ok(Slot::Opening {
                    opening: Box::new(opening),
                    since,
                }),
                Ok(opened) => {
                    let now = self.worker.clock.now();
                    self.part.figures.took(since, now, 1);
                    self.part.figures.came(now, 1);
                    self.part.opened += 1;
                    let ending = Ending::begin(opened)?;
                    Ok(Slot::Closing { ending, since: now })
                }
            },
            Slot::Closing { mut ending, since } => match ending.read(&mut self.buffer)? {
                Ended::NotYet => Ok(Slot::Closing { ending, since }),
                Ended::Properly => {
                    self.part.closed += 1;
                    Ok(Slot::Free)
                }
                Ended::Otherwise => Ok(Slot::Free),
            },
        }
    }

    /// Leaves connections that the server does not end, and gives up on those that do not open.
    fn sweep(&mut self, now: u64) -> Result<(), Error> {
        for slot in &mut self.slots {
            match slot {
                Slot::Closing { since, .. } if now > *since + nanoseconds(CLOSE_TIMEOUT) => {
                    *slot = Slot::Free;
                }
                Slot::Opening { since, .. } if now > *since + nanoseconds(OPEN_TIMEOUT) => {
                    return Err(Error::HandshakeTimeout);
                }
                Slot::Free | Slot::Opening { .. } | Slot::Closing { .. } => {}
            }
        }
        Ok(())
    }
}

/// A connection that has sent its Close frame.
#[derive(Debug)]
struct Ending {
    stream: TcpStream,
    frames: Frames,
    /// The server's Close frame has come.
    answered: bool,
}

enum Ended {
    NotYet,
    /// After the server's Close frame.
    Properly,
    /// Without one, or by a reset.
    Otherwise,
}

impl Ending {
    fn begin(opened: Opened) -> Result<Self, Fault> {
        let mut ending = Self {
            stream: opened.stream,
            frames: Frames::new(Role::Client, Reserved::AllZero),
            answered: false,
        };
        let mut close = Vec::new();
        control_frame(OpCode::Close, &1000_u16.to_be_bytes(), &mut close);
        // A few bytes into an empty socket: they go in whole or not at all.
        ending.stream.write_all(&close)?;
        ending.take(&opened.rest)?;
        Ok(ending)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Ended, Fault> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) if self.answered => return Ok(Ended::Properly),
                Ok(0) => return Ok(Ended::Otherwise),
                Ok(read) => self.take(&buffer[..read])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Ended::NotYet),
                Err(_) => return Ok(Ended::Otherwise),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        // Nothing may be sent behind our Close frame, pongs neither (RFC 6455, 5.5.1).
        let mut unsent = Vec::new();
        match self.frames.read(bytes, &mut NoPayloads, &mut unsent) {
            Err(Fault::Closed(_)) => self.answered = true,
            other => other?,
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "connect {}", self.url)?;
        writeln!(
            f,
            "{} connections at once, each opened and closed, {:.1} s\n",
            self.at_once, self.seconds
        )?;
        let rate = format!("{:>10}", report::grouped(self.handshakes_per_second));
        report::line(f, "handshakes/s", &rate)?;
        report::latency(f, "to 101", &self.handshake_ns)?;
        report::load(f, &self.cpu, "connection")?;
        let checked = format!(
            "{:>10} opened, {} closed properly",
            report::grouped(self.opened as f64),
            report::grouped(self.closed as f64)
        );
        report::line(f, "checked", &checked)?;
        report::warnings(f, &self.warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::servers;

    #[test]
    fn handshakes_are_measured() {
        for threads in [1, 3] {
            let options = Options {
                threads,
                ..options()
            };
            let report = measure(&servers::echo(|_, _| vec![]), &options).unwrap();
            assert!(report.handshakes > 0);
            assert!(report.opened >= report.handshakes);
            assert_eq!(report.closed, report.opened);
            let latency = report.handshake_ns;
            assert!(0 < latency.p50 && latency.p50 <= latency.max);
        }
    }

    #[test]
    fn a_server_that_does_not_answer_close_frames_is_told() {
        // tungstenite answers a Close frame when it is read again.
        let target = servers::with(|stream| drop(tungstenite::accept(stream)));
        let report = measure(&target, &options()).unwrap();
        assert_eq!(report.closed, 0);
        let told = |warning: &String| warning.contains("7.1.1");
        assert!(report.warnings.iter().any(told), "{:?}", report.warnings);
    }

    #[test]
    fn what_is_no_server_is_no_result() {
        let fault = |answer: &'static [u8]| {
            let error = measure(&servers::answering(answer), &options()).unwrap_err();
            let Error::Server { fault, .. } = error else {
                panic!("{error}");
            };
            fault
        };
        let nonsense = fault(b"220 mail.example.com ESMTP\r\n\r\n");
        assert!(matches!(nonsense, Fault::Head(_)), "{nonsense}");
        let closed = fault(b"");
        assert!(
            matches!(closed, Fault::NoAnswer | Fault::Connection(_)),
            "{closed}"
        );
        let page = fault(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        assert!(matches!(page, Fault::Handshake(_)), "{page}");
        assert!(page.to_string().contains("path of the URL"), "{page}");
    }

    #[test]
    fn a_subprotocol_must_be_agreed_to() {
        let options = Options {
            subprotocol: Some("mqtt".to_owned()),
            ..options()
        };
        let error = measure(&servers::echo(|_, _| vec![]), &options).unwrap_err();
        assert!(error.to_string().contains("\"mqtt\""), "{error}");
    }

    fn measure(target: &Target, options: &Options) -> Result<Report, Error> {
        run(target, options, &mut |_| {})
    }

    fn options() -> Options {
        Options {
            at_once: 4,
            threads: 1,
            subprotocol: None,
            measure: Duration::from_millis(200),
            warm_up: Duration::from_millis(20),
            server_pid: None,
        }
    }
}

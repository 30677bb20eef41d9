//! `corewire bench idle`: what a connection costs a server that does nothing with it.
//!
//! The server's resident memory with a few connections and with many, and the slope between the
//! two: what is allocated once drops out. The kernel's memory for sockets is not in it; it is the
//! same for every server.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::clock::{Clock, nanoseconds};
use super::cpu;
use super::error::{Error, Fault};
use super::listener::Listener;
use super::memory::Memory;
use super::opening::{Asked, Offer, Opened};
use super::report;
use super::swarm::{self, Swarm, Wait, Work};
use super::target::{Scheme, Target};
use super::template::Template;
use super::workers::{Progress, Watch};

/// A server is quiet when it has used less than a hundredth of a CPU for so long.
const QUIET: Duration = Duration::from_millis(300);
const QUIET_SHARE_INVERSE: u64 = 100;
/// How long to wait for that.
const QUIET_TIMEOUT: Duration = Duration::from_secs(20);
/// Progress is told whenever so many more connections are open.
const TELL_EVERY: usize = 250;
/// One connection in so many must answer a ping at the end. All are watched for their end.
const PING_EVERY: usize = 16;
/// No server knows of a connection in less.
const LEAST_BYTES: f64 = 64.0;
/// How long they have.
const PONG_TIMEOUT: Duration = Duration::from_secs(5);

/// What to open.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections at the first reading.
    pub from: usize,
    /// Connections at the second.
    pub to: usize,
    /// The server's process.
    pub server_pid: u32,
    /// Whether permessage-deflate is offered, as browsers do, and must be accepted.
    pub deflate: bool,
    /// A subprotocol to ask for.
    pub subprotocol: Option<String>,
    /// What a connection sends when it is open: what makes it a client of the server's.
    pub on_open: Vec<Template>,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was measured.
    pub url: String,
    /// Whether permessage-deflate was negotiated.
    pub deflate: bool,
    /// The first reading.
    pub from: Reading,
    /// The second.
    pub to: Reading,
    /// Resident bytes per connection between the two.
    pub rss_bytes_per_connection: f64,
    /// Private bytes per connection between the two.
    pub private_bytes_per_connection: f64,
    /// Connections that answered a ping at the end; all were still open.
    pub pinged: usize,
    /// What makes the figures worth less.
    pub warnings: Vec<String>,
}

/// The server's memory at a number of connections.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Reading {
    /// Connections.
    pub connections: usize,
    /// Memory.
    pub memory: Memory,
}

/// Measures `target`.
///
/// # Errors
///
/// Whatever makes the figures worthless; the server's faults among them.
pub fn run(target: &Target, options: &Options, watch: Watch<'_>) -> Result<Report, Error> {
    if options.from >= options.to {
        return Err(Error::Settings("--from must be less than --to".to_owned()));
    }
    if target.scheme() == Scheme::Tcp {
        return Err(Error::Settings(
            "idle connections need a ws:// URL".to_owned(),
        ));
    }
    let target = &target.reached();
    let clock = Clock::start();
    let asked = Asked {
        offer: if options.deflate {
            Offer::AsBrowsers
        } else {
            Offer::Nothing
        },
        subprotocol: options.subprotocol.clone(),
    };
    swarm::raise_descriptor_limit(options.to)?;
    let mut listeners = Listeners {
        greetings: &options.on_open,
    };
    let mut swarm = Swarm::new(target, &asked, 0, clock)?;
    let mut warnings = Vec::new();
    let mut open = 0;
    let mut read = |swarm: &mut Connections<'_>, connections: usize| {
        while open < connections {
            open = connections.min(open + TELL_EVERY);
            swarm.open(open, &mut listeners)?;
            let of = options.to;
            watch(Progress::Open { open, of });
        }
        watch(Progress::Settling);
        if !wait_for_quiet(swarm, &mut listeners, clock, options.server_pid)? {
            warnings.push(format!(
                "with {connections} connections the server was still busy after {} s",
                QUIET_TIMEOUT.as_secs()
            ));
        }
        Ok(Reading {
            connections,
            memory: Memory::read(options.server_pid)?,
        })
    };
    let from = read(&mut swarm, options.from)?;
    let to = read(&mut swarm, options.to)?;
    let pinged = ping(&mut swarm, &mut listeners, clock)?;
    swarm.close(&mut listeners)?;
    watch(Progress::Done);
    let slope = |of: fn(Memory) -> u64| {
        let more = of(to.memory) as f64 - of(from.memory) as f64;
        more / (to.connections - from.connections) as f64
    };
    let rss_bytes_per_connection = slope(|memory| memory.rss_bytes);
    if rss_bytes_per_connection < LEAST_BYTES {
        warnings.push(format!(
            "process {} has hardly grown: it is not the server, or the server has had connections before \
             and memory left of them; measure one that has just been started",
            options.server_pid
        ));
    }
    Ok(Report {
        url: target.to_string(),
        deflate: options.deflate,
        from,
        to,
        rss_bytes_per_connection,
        private_bytes_per_connection: slope(|memory| memory.private_bytes),
        pinged,
        warnings,
    })
}

type Connections<'a> = Swarm<'a, Listener>;

/// Connections that expect nothing but pings and pongs.
struct Listeners<'a> {
    greetings: &'a [Template],
}

impl Work for Listeners<'_> {
    type Connection = Listener;

    fn opened(&mut self, opened: Opened) -> Result<Listener, Fault> {
        Listener::new(opened, self.greetings)
    }

    fn readable(&mut self, listener: &mut Listener, buffer: &mut [u8]) -> Result<(), Fault> {
        listener.read(buffer)
    }

    fn writable(&mut self, listener: &mut Listener) -> Result<(), Fault> {
        listener.flush()
    }

    fn close(&mut self, listener: &mut Listener) -> Result<(), Fault> {
        listener.close()
    }
}

/// Lets the server finish what it does with new connections. False: it does not finish.
fn wait_for_quiet(
    swarm: &mut Connections<'_>,
    listeners: &mut Listeners<'_>,
    clock: Clock,
    server_pid: u32,
) -> Result<bool, Error> {
    let deadline = clock.now() + nanoseconds(QUIET_TIMEOUT);
    while clock.now() < deadline {
        let before = cpu::server_ns(server_pid)?;
        let end = clock.now() + nanoseconds(QUIET);
        while clock.now() < end {
            let left = Duration::from_nanos(end - clock.now().min(end));
            swarm.turn(Wait::Roughly(left), listeners)?;
        }
        let used = cpu::server_ns(server_pid)?.saturating_sub(before);
        if used < nanoseconds(QUIET) / QUIET_SHARE_INVERSE {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the connections are alive: returns how many were asked.
fn ping(
    swarm: &mut Connections<'_>,
    listeners: &mut Listeners<'_>,
    clock: Clock,
) -> Result<usize, Error> {
    let mut asked = 0;
    swarm.each(PING_EVERY, |listener| {
        asked += 1;
        listener.ping()
    })?;
    let deadline = clock.now() + nanoseconds(PONG_TIMEOUT);
    loop {
        let answered = swarm.connections().filter(|one| one.pongs() > 0).count();
        if answered == asked {
            return Ok(asked);
        }
        if clock.now() > deadline {
            let silent = asked - answered;
            return Err(Error::Dead { silent, asked });
        }
        swarm.turn(Wait::Roughly(Duration::from_millis(100)), listeners)?;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deflate = if self.deflate {
            "with permessage-deflate negotiated"
        } else {
            "without permessage-deflate"
        };
        writeln!(f, "idle {}, {deflate}\n", self.url)?;
        for Reading {
            connections,
            memory,
        } in [self.from, self.to]
        {
            let value = format!(
                "{:>8} KiB resident, {} KiB of it private",
                report::grouped(memory.rss_bytes as f64 / 1024.0),
                report::grouped(memory.private_bytes as f64 / 1024.0)
            );
            report::line(f, &format!("{connections} open"), &value)?;
        }
        let slope = format!(
            "{:>8} bytes resident, {} bytes private; the kernel's memory is not counted",
            report::grouped(self.rss_bytes_per_connection),
            report::grouped(self.private_bytes_per_connection)
        );
        report::line(f, "a connection", &slope)?;
        let checked = format!(
            "{:>8} answered a ping at the end, all were open",
            self.pinged
        );
        report::line(f, "checked", &checked)?;
        report::warnings(f, &self.warnings)
    }
}

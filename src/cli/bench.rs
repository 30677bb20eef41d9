//! `corewire bench`: the load generator's arguments and output.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand, ValueEnum};
use serde::Serialize;

use super::{Failure, progress};
use crate::bench::echo::{self, Content, Deflate, Pace};
use crate::bench::fanout::{self, Answer, Literal, Protocol, Template};
use crate::bench::{Target, connect, idle};

const EXAMPLES: &str = "\
Examples:
  corewire bench echo ws://127.0.0.1:9001/echo --server-pid $(pidof corewire)
  corewire bench echo ws://127.0.0.1:9001/echo --size 1024 --depth 16 --json
  corewire bench idle ws://127.0.0.1:9001/echo --deflate --server-pid $(pidof corewire)";

/// Measure a WebSocket server, this one or another
#[derive(Debug, Args)]
struct Bench {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Debug, Subcommand)]
enum Measurement {
    /// Messages per second, round trips and CPU time per message of a server that echoes.
    Echo(Echo),
    /// Deliveries per second of a server that sends to many what one publishes.
    Fanout(Box<Fanout>),
    /// Handshakes per second, with connections that are opened and closed.
    Connect(Connect),
    /// Memory per idle connection.
    Idle(Idle),
}

#[derive(Debug, Args)]
struct Echo {
    /// The server, such as ws://127.0.0.1:9001/echo. With tcp://HOST:PORT the frames go to a
    /// server that returns bytes as they are, the floor under every WebSocket server.
    url: Target,
    /// Connections.
    #[arg(long, default_value_t = 200)]
    connections: usize,
    /// Bytes of a message.
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Closed loop: messages on their way per connection, the next for each reply.
    #[arg(long, default_value_t = 1, conflicts_with = "rate")]
    depth: usize,
    /// Open loop: messages a second on all connections together, whatever comes back. Latencies
    /// count from when a message was due.
    #[arg(long, value_name = "MESSAGES/S")]
    rate: Option<f64>,
    /// Send text (JSON) instead of binary messages.
    #[arg(long)]
    text: bool,
    /// Compress messages (JSON) with permessage-deflate, each alone or with context takeover in
    /// both directions; without a value, alone.
    #[arg(long, value_name = "MODE", num_args = 0..=1, default_missing_value = "no-takeover")]
    deflate: Option<DeflateMode>,
    /// Threads of the generator, each with a part of the connections.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[command(flatten)]
    course: Course,
}

/// Whether messages are compressed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DeflateMode {
    /// Each message alone.
    NoTakeover,
    /// With those before it as its dictionary.
    Takeover,
}

#[derive(Debug, Args)]
struct Fanout {
    /// The server, such as ws://127.0.0.1:9001/.
    url: Target,
    /// Connections that subscribe, each to one topic.
    #[arg(long, default_value_t = 100)]
    subscribers: usize,
    /// Connections that publish, each to all topics in turn.
    #[arg(long, default_value_t = 1)]
    publishers: usize,
    /// Topics: `bench`, or several named `bench-0` and so on.
    #[arg(long, default_value_t = 1)]
    topics: usize,
    /// Bytes of a payload ({data}), at least 32.
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Closed loop: publications of each publisher that have not yet come to all subscribers.
    #[arg(long, default_value_t = 1, conflicts_with = "rate")]
    in_flight: usize,
    /// Open loop: publications a second of all publishers together, whatever is delivered.
    /// Latencies count from when one was due.
    #[arg(long, value_name = "PUBLICATIONS/S")]
    rate: Option<f64>,
    /// What a subscriber sends when it is connected; may be given several times.
    #[arg(long, value_name = "TEMPLATE")]
    on_subscribe: Vec<Template>,
    /// What a publisher sends when it is connected; may be given several times.
    #[arg(long, value_name = "TEMPLATE")]
    on_publisher: Vec<Template>,
    /// What a publication looks like.
    #[arg(long, value_name = "TEMPLATE", default_value = "{data}")]
    publish: Template,
    /// Answers a text that comes with another, on every connection; may be given several times.
    #[arg(long, value_name = "TEXT=TEMPLATE")]
    answer: Vec<Answer>,
    /// A text that a subscriber receives when it is one. Without it all are when the server has
    /// been quiet for 0.3 s.
    #[arg(long, value_name = "TEXT")]
    ready: Option<Literal>,
    /// A subprotocol to ask for, which the server must agree to.
    #[arg(long, value_name = "NAME")]
    subprotocol: Option<String>,
    #[command(flatten)]
    course: Course,
}

#[derive(Debug, Args)]
struct Connect {
    /// The server, such as ws://127.0.0.1:9001/echo.
    url: Target,
    /// Connections on their way in or out at a time.
    #[arg(long, default_value_t = 64)]
    at_once: usize,
    /// Threads of the generator, each with a part of them.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// A subprotocol to ask for, which the server must agree to.
    #[arg(long, value_name = "NAME")]
    subprotocol: Option<String>,
    #[command(flatten)]
    course: Course,
}

/// What every measurement with a clock has.
#[derive(Debug, Args)]
struct Course {
    /// Seconds that are measured.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Seconds of load before that.
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    warmup: Duration,
    /// The server's process id, to read its CPU time if it runs on this machine.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Idle {
    /// The server, such as ws://127.0.0.1:9001/echo.
    url: Target,
    /// Connections at the first reading.
    #[arg(long, default_value_t = 1000)]
    from: usize,
    /// Connections at the second reading.
    #[arg(long, default_value_t = 15_000)]
    to: usize,
    /// The server's process id, to read its memory.
    #[arg(long, value_name = "PID")]
    server_pid: u32,
    /// Negotiate permessage-deflate on every connection, as browsers do.
    #[arg(long)]
    deflate: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// The command and its help.
pub(super) fn command() -> Command {
    Bench::augment_args(Command::new(super::command::BENCH)).after_help(EXAMPLES)
}

/// Measures, and writes the result to `out`.
pub(super) fn run(matches: &ArgMatches, out: &mut dyn Write) -> Result<(), Failure> {
    let bench = Bench::from_arg_matches(matches).map_err(Failure::Arguments)?;
    let mut bar = progress::Bar::new();
    let watch = &mut |progress| bar.show(progress);
    match bench.measurement {
        Measurement::Echo(echo) => {
            let report = echo::run(&echo.url, &echo.options(), watch);
            write(&report.map_err(Failure::Measuring)?, echo.course.json, out)
        }
        Measurement::Fanout(fanout) => {
            let report = fanout::run(&fanout.url, &fanout.options(), watch);
            write(
                &report.map_err(Failure::Measuring)?,
                fanout.course.json,
                out,
            )
        }
        Measurement::Connect(connect) => {
            let report = connect::run(&connect.url, &connect.options(), watch);
            write(
                &report.map_err(Failure::Measuring)?,
                connect.course.json,
                out,
            )
        }
        Measurement::Idle(idle) => {
            let report = idle::run(&idle.url, &idle.options()).map_err(Failure::Measuring)?;
            write(&report, idle.json, out)
        }
    }
    .map_err(Failure::Output)
}

impl Echo {
    const fn options(&self) -> echo::Options {
        echo::Options {
            connections: self.connections,
            threads: self.threads,
            size: self.size,
            pace: match self.rate {
                Some(rate) => Pace::Rate(rate),
                None => Pace::Depth(self.depth),
            },
            measure: self.course.seconds,
            warm_up: self.course.warmup,
            content: if self.text {
                Content::Text
            } else {
                Content::Binary
            },
            deflate: match self.deflate {
                None => Deflate::Off,
                Some(DeflateMode::NoTakeover) => Deflate::NoTakeover,
                Some(DeflateMode::Takeover) => Deflate::Takeover,
            },
            server_pid: self.course.server_pid,
        }
    }
}

impl Fanout {
    fn options(&self) -> fanout::Options {
        fanout::Options {
            subscribers: self.subscribers,
            publishers: self.publishers,
            topics: self.topics,
            size: self.size,
            pace: match self.rate {
                Some(rate) => fanout::Pace::Rate(rate),
                None => fanout::Pace::InFlight(self.in_flight),
            },
            protocol: Protocol {
                subprotocol: self.subprotocol.clone(),
                on_subscribe: self.on_subscribe.clone(),
                on_publisher: self.on_publisher.clone(),
                publish: self.publish.clone(),
                answers: self.answer.clone(),
                ready: self.ready.clone(),
            },
            measure: self.course.seconds,
            warm_up: self.course.warmup,
            server_pid: self.course.server_pid,
        }
    }
}

impl Connect {
    fn options(&self) -> connect::Options {
        connect::Options {
            at_once: self.at_once,
            threads: self.threads,
            subprotocol: self.subprotocol.clone(),
            measure: self.course.seconds,
            warm_up: self.course.warmup,
            server_pid: self.course.server_pid,
        }
    }
}

impl Idle {
    const fn options(&self) -> idle::Options {
        idle::Options {
            from: self.from,
            to: self.to,
            server_pid: self.server_pid,
            deflate: self.deflate,
        }
    }
}

fn write(report: &(impl Serialize + Display), json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    out.flush()
}

fn seconds(argument: &str) -> Result<Duration, String> {
    let seconds: f64 = argument.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

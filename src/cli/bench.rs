//! `corewire bench`: the load generator's arguments and output.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand, ValueEnum};
use serde::Serialize;

use super::{Failure, progress};
use crate::bench::echo::{self, Content, Deflate, Pace};
use crate::bench::fanout::{self, Protocol};
use crate::bench::{Answer, Figures, Literal, Target, Template, connect, idle, plot};

const EXAMPLES: &str = "\
Examples:
  corewire bench echo ws://127.0.0.1:9001/echo --server-pid $(pidof corewire)
  corewire bench echo ws://127.0.0.1:9001/echo --rate 50000 --plot echo.svg
  corewire bench fanout ws://127.0.0.1:8080/ --subscribers 1000 --rate 100
  corewire bench connect ws://127.0.0.1:9001/echo --at-once 64
  corewire bench idle ws://127.0.0.1:9001/echo --deflate --server-pid $(pidof corewire)

Each has examples of its own; corewire bench fanout --help has them for servers that send to all
what one sends, for corewire's topics, NATS and MQTT. With --server-pid the server's CPU time per
message is measured, too, and whether the generator or others on the machine were in its way.

Exit codes: 0 measured, 1 no result, 2 wrong arguments.";

const ECHO_EXAMPLES: &str = "\
Examples:
  corewire bench echo ws://127.0.0.1:9001/echo --server-pid $(pidof corewire)
      the highest throughput with 200 connections, and the round trip meanwhile
  corewire bench echo ws://127.0.0.1:9001/echo --size 1024 --depth 16 --json
      16 messages on their way on each connection
  corewire bench echo ws://127.0.0.1:9001/echo --rate 50000 --plot echo.svg
      what users find at 50,000 messages a second, stalls of the server included
  corewire bench echo ws://127.0.0.1:9001/echo --size 1024 --deflate
      JSON, compressed";

const FANOUT_EXAMPLES: &str = "\
Templates:
  Text is a text message: {n} is the connection's number, {id} counts its messages from 1, {topic}
  is the topic, {data} the payload, {size} its bytes. \\r \\n \\t \\0 \\\\ \\{ \\} \\' \\= are escapes.
  hex:... is a binary message: bytes in hex, text as '...', and u8(...) u16(...) u32(...)
  varint(...) put a length in front of what they hold.

Examples:
  corewire bench fanout ws://127.0.0.1:8080/ --subscribers 1000 --rate 100
      a server that sends to all what one sends
  corewire bench fanout ws://127.0.0.1:9001/ws --subscribers 1000 --rate 100 \\
 --subprotocol corewire.v1.json --ready welcome \\
 --on-subscribe '{\"id\":1,\"hello\":{\"v\":1,\"subs\":[{\"s\":1,\"topic\":\"{topic}\"}]}}' \\
 --on-publisher '{\"id\":1,\"hello\":{\"v\":1}}' \\
 --publish '{\"pub\":{\"topic\":\"{topic}\",\"data\":\"{data}\"}}'
      corewire
  corewire bench fanout ws://127.0.0.1:4223/ --topics 10 --in-flight 4 \\
 --on-subscribe 'CONNECT {\"verbose\":false}\\r\\nSUB {topic} 1\\r\\nPING\\r\\n' \\
 --ready PONG --answer 'PING\\r\\n=PONG\\r\\n' \\
 --on-publisher 'CONNECT {\"verbose\":false}\\r\\n' \\
 --publish 'PUB {topic} {size}\\r\\n{data}\\r\\n'
      NATS
  corewire bench fanout ws://127.0.0.1:9883/mqtt --subprotocol mqtt \\
 --on-subscribe \"hex:10 varint(u16('MQTT') 04 02 0000 u16('sub{n}'))\" \\
 --on-subscribe \"hex:82 varint(0001 u16('{topic}') 00)\" --ready 'hex:90 03' \\
 --on-publisher \"hex:10 varint(u16('MQTT') 04 02 0000 u16('pub{n}'))\" \\
 --publish \"hex:30 varint(u16('{topic}') {data})\"
      MQTT 3.1.1 with QoS 0";

const CONNECT_EXAMPLES: &str = "\
Examples:
  corewire bench connect ws://127.0.0.1:9001/echo --server-pid $(pidof corewire)
  corewire bench connect ws://127.0.0.1:9001/echo --at-once 1000 --seconds 30 --plot connect.svg";

const IDLE_EXAMPLES: &str = "\
Examples:
  corewire bench idle ws://127.0.0.1:9001/echo --server-pid $(pidof corewire)
  corewire bench idle ws://127.0.0.1:9001/echo --from 1000 --to 50000 --deflate \\
      --server-pid $(pidof corewire)
  corewire bench idle ws://127.0.0.1:9001/ws --subprotocol corewire.v1.json \\
      --on-open '{\"id\":1,\"hello\":{\"v\":1,\"subs\":[{\"s\":1,\"topic\":\"idle.{n}\"}]}}' \\
      --server-pid $(pidof corewire)
      clients of topics, each with one subscription";

/// Measure a WebSocket server, this one or another
#[derive(Debug, Args)]
struct Bench {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Debug, Subcommand)]
enum Measurement {
    /// Messages per second, round trips and CPU time per message of a server that echoes.
    #[command(after_help = ECHO_EXAMPLES)]
    Echo(Echo),
    /// Deliveries per second of a server that sends to many what one publishes.
    #[command(after_help = with_braces(FANOUT_EXAMPLES))]
    Fanout(Box<Fanout>),
    /// Handshakes per second, with connections that are opened and closed.
    #[command(after_help = CONNECT_EXAMPLES)]
    Connect(Connect),
    /// Memory per idle connection.
    #[command(after_help = with_braces(IDLE_EXAMPLES))]
    Idle(Box<Idle>),
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
    #[arg(long, value_name = "MESSAGES/S", allow_negative_numbers = true)]
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
    /// The server, such as ws://127.0.0.1:9001/ws.
    url: Target,
    /// Connections that subscribe, each to one topic.
    #[arg(long, default_value_t = 100)]
    subscribers: usize,
    /// Connections that publish, each to all topics in turn, in an order of its own.
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
    #[arg(long, value_name = "PUBLICATIONS/S", allow_negative_numbers = true)]
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
    /// Threads of the generator, each with a part of the connections.
    #[arg(long, default_value_t = 1)]
    threads: usize,
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
    #[arg(long, default_value = "3", value_parser = seconds, allow_negative_numbers = true)]
    seconds: Duration,
    /// Seconds of load before that.
    #[arg(long, default_value = "0.5", value_parser = seconds, allow_negative_numbers = true)]
    warmup: Duration,
    /// The server's process id, to read its CPU time if it runs on this machine.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Draw latency by percentile and throughput over time, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
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
    /// What a connection sends when it is open; may be given several times.
    #[arg(long, value_name = "TEMPLATE")]
    on_open: Vec<Template>,
    /// A subprotocol to ask for, which the server must agree to.
    #[arg(long, value_name = "NAME")]
    subprotocol: Option<String>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// clap makes a new line of `{n}`. A change of style in the middle, which is none and which it leaves
/// out where no terminal is, hides that from it.
fn with_braces(help: &str) -> String {
    help.replace("{n}", "{\x1b[0mn}")
}

/// The command and its help.
pub(super) fn command() -> Command {
    Bench::augment_args(Command::new(super::command::BENCH)).after_help(EXAMPLES)
}

/// Measures, and writes the result to `out`.
pub(super) fn run(matches: &ArgMatches, out: &mut dyn Write) -> Result<(), Failure> {
    let bench = Bench::from_arg_matches(matches).map_err(Failure::Arguments)?;
    let bar = progress::Bar::new();
    let watch = &mut |progress| bar.show(progress);
    match bench.measurement {
        Measurement::Echo(echo) => {
            let plot = echo.course.plot("messages")?;
            let report = echo::run(&echo.url, &echo.options(), watch)?;
            let written = write(&report, echo.course.json, out);
            plot.draw(&report.url, &report.figures)?;
            written
        }
        Measurement::Fanout(fanout) => {
            let plot = fanout.course.plot("deliveries")?;
            let report = fanout::run(&fanout.url, &fanout.options(), watch)?;
            let written = write(&report, fanout.course.json, out);
            plot.draw(&report.url, &report.figures)?;
            written
        }
        Measurement::Connect(connect) => {
            let plot = connect.course.plot("handshakes")?;
            let report = connect::run(&connect.url, &connect.options(), watch)?;
            let written = write(&report, connect.course.json, out);
            plot.draw(&report.url, &report.figures)?;
            written
        }
        Measurement::Idle(idle) => {
            let report = idle::run(&idle.url, &idle.options(), watch)?;
            write(&report, idle.json, out)
        }
    }
    .map_err(Failure::Output)
}

impl From<crate::bench::Error> for Failure {
    fn from(error: crate::bench::Error) -> Self {
        Self::Measuring(error)
    }
}

/// Where the figures are drawn, if anywhere.
struct Plot<'a> {
    path: Option<&'a Path>,
    /// What is counted.
    what: &'static str,
}

impl Course {
    fn plot(&self, what: &'static str) -> Result<Plot<'_>, Failure> {
        let path = self.plot.as_deref();
        if let Some(path) = path {
            try_to_write(path).map_err(|error| Failure::plot(path, &error))?;
        }
        Ok(Plot { path, what })
    }
}

/// Fails before the measurement where a file cannot be written after it, and leaves everything as it
/// is: a picture that is there stays until there is a new one.
fn try_to_write(path: &Path) -> io::Result<()> {
    match File::options().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            File::create_new(path)?;
            fs::remove_file(path)
        }
        opened => opened.map(drop),
    }
}

impl Plot<'_> {
    fn draw(self, title: &str, figures: &Figures) -> Result<(), Failure> {
        let Some(path) = self.path else {
            return Ok(());
        };
        let picture = plot::svg(title, self.what, figures)?;
        fs::write(path, picture).map_err(|error| Failure::plot(path, &error))
    }
}

impl Failure {
    fn plot(path: &Path, error: &io::Error) -> Self {
        let reason = format!("--plot {}: {error}", path.display());
        Self::Measuring(crate::bench::Error::Settings(reason))
    }
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
            threads: self.threads,
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
    fn options(&self) -> idle::Options {
        idle::Options {
            from: self.from,
            to: self.to,
            server_pid: self.server_pid,
            deflate: self.deflate,
            subprotocol: self.subprotocol.clone(),
            on_open: self.on_open.clone(),
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
    let seconds = argument.parse().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "not a number of seconds, such as 10 or 0.5".to_owned())
}

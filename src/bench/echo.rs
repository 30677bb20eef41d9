//! `corewire bench echo`: every message comes back, and the next goes out when it has.
//!
//! A closed loop: each connection keeps `depth` messages on their way. It finds the highest
//! throughput, and at depth 1 the round trip under full load; a server that stalls is sent less
//! meanwhile, so its latencies look better than users would find them.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::clock::{Clock, nanoseconds};
use super::connection::Reading;
use super::cpu::Sample;
use super::error::Error;
use super::messages::Messages;
use super::opening::Offer;
use super::report::{self, Latency, Load};
use super::swarm::Swarm;
use super::target::{Scheme, Target};

pub use super::messages::{Content, Deflate};

/// How long the last messages have to come back.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Round trips are recorded up to this, with three digits.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(60);

/// What to send.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections.
    pub connections: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Messages on their way per connection.
    pub depth: usize,
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

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was measured.
    pub url: String,
    /// Connections.
    pub connections: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Messages on their way per connection.
    pub depth: usize,
    /// Whether they were text.
    pub text: bool,
    /// Whether they were compressed.
    pub deflate: bool,
    /// How long was measured.
    pub seconds: f64,
    /// Messages that came back in that time.
    pub messages: u64,
    /// The same per second.
    pub messages_per_second: f64,
    /// From sending a message to its reply.
    pub round_trip_ns: Latency,
    /// CPU time.
    pub cpu: Load,
    /// Messages sent in the whole run; all came back, of the right kind and length.
    pub sent: u64,
    /// Replies whose content was compared as well.
    pub compared: u64,
    /// What makes the figures worth less.
    pub warnings: Vec<String>,
}

/// Measures `target`.
///
/// # Errors
///
/// Whatever makes the figures worthless; the server's faults among them.
pub fn run(target: &Target, options: &Options) -> Result<Report, Error> {
    check(target, options)?;
    let messages = Messages::build(
        target.scheme(),
        options.content,
        options.deflate,
        options.size,
        options.depth,
    )?;
    let clock = Clock::start();
    let mut swarm = Swarm::new(target, Offer::of(options.deflate), &messages, clock)?;
    swarm.open(options.connections)?;

    let mut course = Course::new(clock, options)?;
    course.start(&mut swarm)?;
    course.send_for(&mut swarm, options.warm_up)?;
    course.forget();
    let before = Sample::take(clock.now(), options.server_pid)?;
    course.send_for(&mut swarm, options.measure)?;
    let after = Sample::take(clock.now(), options.server_pid)?;
    let (replies, round_trips) = (course.replies, course.round_trips.clone());
    course.drain(&mut swarm)?;

    let (sent, compared) = verify(&swarm)?;
    swarm.close()?;
    let used = before.until(&after);
    let seconds = Duration::from_nanos(used.elapsed_ns).as_secs_f64();
    let cpu = Load::of(&used, replies);
    Ok(Report {
        url: target.to_string(),
        connections: options.connections,
        size: options.size,
        depth: options.depth,
        text: options.content == Content::Text,
        deflate: options.deflate != Deflate::Off,
        seconds,
        messages: replies,
        messages_per_second: replies as f64 / seconds,
        round_trip_ns: Latency::of(&round_trips),
        cpu,
        sent,
        compared,
        warnings: cpu.warnings(),
    })
}

fn check(target: &Target, options: &Options) -> Result<(), Error> {
    if options.connections == 0 || options.depth == 0 {
        return Err(Error::Settings(
            "at least one connection and one message at a time are needed".to_owned(),
        ));
    }
    if target.scheme() == Scheme::Tcp && options.deflate != Deflate::Off {
        return Err(Error::Settings(
            "a tcp:// server negotiates nothing: leave out --deflate".to_owned(),
        ));
    }
    Ok(())
}

/// Every message must have come back once the run is over. Returns how many, and how many had
/// their content compared.
fn verify(swarm: &Swarm<'_>) -> Result<(u64, u64), Error> {
    let (mut sent, mut received, mut compared) = (0, 0, 0);
    for connection in swarm.connections() {
        sent += connection.sent();
        received += connection.totals().messages;
        compared += connection.totals().compared;
    }
    if received == sent {
        Ok((sent, compared))
    } else {
        Err(Error::Lost { sent, received })
    }
}

/// The course of a run: what has come back, and how fast.
struct Course {
    clock: Clock,
    depth: u64,
    round_trips: Histogram<u64>,
    replies: u64,
}

impl Course {
    fn new(clock: Clock, options: &Options) -> Result<Self, Error> {
        let round_trips = Histogram::new_with_bounds(1, nanoseconds(ROUND_TRIP_MAX), 3)
            .map_err(|error| Error::Settings(error.to_string()))?;
        Ok(Self {
            clock,
            depth: options.depth as u64,
            round_trips,
            replies: 0,
        })
    }

    /// Sends the first messages on every connection.
    fn start(&self, swarm: &mut Swarm<'_>) -> Result<(), Error> {
        swarm.each(1, |connection, messages| {
            connection.send(self.depth, self.clock.now(), messages)
        })
    }

    /// Sends a message for every reply, for `duration`.
    fn send_for(&mut self, swarm: &mut Swarm<'_>, duration: Duration) -> Result<(), Error> {
        let end = self.clock.now() + nanoseconds(duration);
        loop {
            let left = end.saturating_sub(self.clock.now());
            if left == 0 {
                return Ok(());
            }
            self.turn(swarm, Duration::from_nanos(left), true)?;
        }
    }

    /// Receives what is on its way, and sends nothing more.
    fn drain(&mut self, swarm: &mut Swarm<'_>) -> Result<(), Error> {
        let end = self.clock.now() + nanoseconds(DRAIN_TIMEOUT);
        let waiting = |swarm: &Swarm<'_>| swarm.connections().any(|one| one.outstanding() > 0);
        while waiting(swarm) && self.clock.now() < end {
            self.turn(swarm, Duration::from_millis(100), false)?;
        }
        Ok(())
    }

    fn turn(&mut self, swarm: &mut Swarm<'_>, timeout: Duration, send: bool) -> Result<(), Error> {
        swarm.turn(timeout, |connection, buffer, messages| {
            loop {
                let reading = connection.read(buffer, messages)?;
                let (Reading::Replies(replies) | Reading::Last(replies)) = reading;
                if replies > 0 {
                    let now = self.clock.now();
                    connection.answered(replies, |sent_at, number| {
                        self.round_trips.saturating_record_n(now - sent_at, number);
                    });
                    self.replies += replies;
                    if send {
                        connection.send(replies, now, messages)?;
                    }
                }
                if let Reading::Last(_) = reading {
                    return Ok(());
                }
            }
        })
    }

    /// The warm-up is over.
    fn forget(&mut self) {
        self.replies = 0;
        self.round_trips.reset();
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.text { "text" } else { "binary" };
        let deflate = if self.deflate { ", compressed" } else { "" };
        writeln!(f, "echo {}", self.url)?;
        writeln!(
            f,
            "{} connections, {} bytes of {kind}{deflate}, depth {}, {:.1} s\n",
            self.connections, self.size, self.depth, self.seconds
        )?;
        let rate = format!("{:>10}", report::grouped(self.messages_per_second));
        report::line(f, "messages/s", &rate)?;
        let round_trip = &self.round_trip_ns;
        for (name, ns) in [
            ("round trip p50", round_trip.p50),
            ("p90", round_trip.p90),
            ("p99", round_trip.p99),
            ("p99.9", round_trip.p99_9),
            ("max", round_trip.max),
        ] {
            report::line(f, &format!("{name:>14}"), &report::microseconds(ns))?;
        }
        if let Some(server) = &self.cpu.server {
            report::line(f, "server CPU", &report::cpu(server))?;
        }
        report::line(f, "generator CPU", &report::cpu(&self.cpu.generator))?;
        if let Some(foreign) = self.cpu.foreign_share {
            let share = format!("{:>10.1} % of this machine", foreign * 100.0);
            report::line(f, "others' CPU", &share)?;
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
    use std::net::TcpListener;

    use tungstenite::{Message, WebSocket};

    use super::*;
    use crate::bench::error::Fault;

    #[test]
    fn an_echo_server_is_measured() {
        let report = run(&serve(|message, _| vec![message]), &options()).unwrap();
        assert!(report.messages > 0);
        assert!(report.sent >= report.messages);
        assert!(report.compared >= 4);
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
        run(&serve(|message, _| vec![message]), &options).unwrap();
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
            depth: 1,
            ..options()
        };
        let target = serve(|message, number| match number {
            5 => vec![],
            _ => vec![message],
        });
        let error = run(&target, &options).unwrap_err();
        assert!(
            matches!(error, Error::Lost { sent, received } if sent == received + 4),
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
        let report = run(&serve_tcp(|_| ()), &options()).unwrap();
        assert!(report.messages > 0);
        let wrong = |bytes: &mut [u8]| {
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
        };
        let fault = fault(run(&serve_tcp(wrong), &endless()).unwrap_err());
        assert!(matches!(fault, Fault::Content { .. }), "{fault}");
    }

    #[test]
    fn who_does_not_do_deflate_is_not_measured_with_it() {
        let options = Options {
            deflate: Deflate::NoTakeover,
            ..options()
        };
        let fault = fault(run(&serve(|message, _| vec![message]), &options).unwrap_err());
        assert!(matches!(fault, Fault::NoDeflate), "{fault}");
    }

    fn options() -> Options {
        Options {
            connections: 4,
            size: 64,
            depth: 3,
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
    fn refused(reply: fn(Message, u64) -> Vec<Message>) -> Fault {
        fault(run(&serve(reply), &endless()).unwrap_err())
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

    /// A server that gives `reply` for each message of a connection, which it gets with its
    /// number. It ends with the tests.
    fn serve(reply: fn(Message, u64) -> Vec<Message>) -> Target {
        serve_with(move |stream| {
            let Ok(ws) = tungstenite::accept(stream) else {
                return;
            };
            // Whatever ends the connection, the generator has seen it or caused it.
            let _ = converse(ws, reply);
        })
    }

    fn converse(
        mut ws: WebSocket<std::net::TcpStream>,
        reply: fn(Message, u64) -> Vec<Message>,
    ) -> Result<(), tungstenite::Error> {
        let mut number = 0;
        loop {
            let message = ws.read()?;
            if message.is_binary() || message.is_text() {
                for message in reply(message, number) {
                    ws.send(message)?;
                }
                number += 1;
            }
        }
    }

    /// A server that returns every read after `change`.
    fn serve_tcp(change: fn(&mut [u8])) -> Target {
        let target = serve_with(move |mut stream| {
            use std::io::{Read, Write};
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                change(&mut buffer[..read]);
                if stream.write_all(&buffer[..read]).is_err() {
                    return;
                }
            }
        });
        target
            .to_string()
            .replace("ws://", "tcp://")
            .parse()
            .unwrap()
    }

    fn serve_with(serve: impl Fn(std::net::TcpStream) + Clone + Send + 'static) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = format!("ws://{}/echo", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, serve) = (stream.unwrap(), serve.clone());
                stream.set_nodelay(true).unwrap();
                std::thread::spawn(move || serve(stream));
            }
        });
        target.parse().unwrap()
    }
}

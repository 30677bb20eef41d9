//! `corewire pub`: publishes what the arguments, a file or stdin say.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use corewire_client::{Client, ConnectError, Data, Position, PublishError, Receipt};
use corewire_protocol::native::TopicName;
use serde::Serialize;
use tokio::sync::mpsc;

use super::Failure;
use super::link::{self, Link};

/// Publications that wait for their replies: enough for the line, few enough to begin with.
const IN_FLIGHT_MAX: usize = 1000;

const EXAMPLES: &str = "\
Examples:
  corewire pub chat.room1 '{\"text\":\"hi\"}'
  corewire pub chat.room1 'plain text'        what is no JSON is text
  echo hi | corewire pub chat.room1           all of stdin is one message
  tail -f log | corewire pub logs --lines     each line is one
  corewire pub images.logo --file logo.png    what is no UTF-8 is bytes
  corewire pub orders '{\"total\":5}' --idem order-17 --tag shop=berlin --ttl 1h

Where the server has put each message is printed as a line of JSON. With --on-error continue a
line that was not published has one, too: {\"topic\":…,\"line\":…,\"error\":…,\"text\":…}.";

/// Publish to a topic
#[derive(Debug, Args)]
struct Pub {
    /// The topic.
    topic: String,
    /// What to publish; JSON is published as JSON, all else as text. Without it, and without
    /// --file, it is read from stdin.
    #[arg(conflicts_with_all = ["file", "lines"])]
    data: Option<String>,
    /// Publish a file, as it is; of stdin the end of the last line is left out.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Publish each line for itself.
    #[arg(long)]
    lines: bool,
    /// What to do when a line is not published, or perhaps not.
    #[arg(long, default_value = "stop", value_name = "ACTION")]
    on_error: OnError,
    /// What the message is the newest value of, for subscribers that only want those.
    #[arg(long)]
    key: Option<String>,
    /// A name with a value that subscribers are told; may be given several times.
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// For how long it is delivered, such as 500ms, 90s, 5m or 1h.
    #[arg(long, value_name = "TIME", value_parser = super::time::duration)]
    ttl: Option<Duration>,
    /// Publish only if nothing was published in this topic with the same key lately.
    #[arg(long, value_name = "KEY", conflicts_with = "lines")]
    idem: Option<String>,
    /// Publish again what may not have arrived before a connection ended, also where the server
    /// does not know this client again: after a long time it may come twice.
    #[arg(long)]
    at_least_once: bool,
    /// Seconds to wait for a connection at first.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    wait: u64,
    #[command(flatten)]
    link: Link,
}

/// What to do when a line is not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// Send no more. What is on its way behind the line is published all the same, and printed.
    Stop,
    /// Print a line of JSON that says so, and go on with the next one.
    Continue,
}

/// The command and its help.
pub(super) fn command() -> Command {
    Pub::augment_args(Command::new(super::command::PUB)).after_help(EXAMPLES)
}

/// Publishes, and prints the positions to `out`.
pub(super) fn run(matches: &ArgMatches, out: &mut dyn Write) -> Result<(), Failure> {
    let publish = Pub::from_arg_matches(matches).map_err(Failure::Arguments)?;
    let runtime = link::runtime()?;
    let result = runtime.block_on(publish.run(out));
    // A thread may still wait for stdin, which nobody can interrupt.
    runtime.shutdown_background();
    result
}

impl Pub {
    async fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        // Wrong whether or not there is a server.
        TopicName::parse(&self.topic)
            .map_err(|error| Failure::Input(format!("{}: {error}", self.topic)))?;
        let (connect, url) = self.link.client()?;
        // What cannot be read is known before anything is sent.
        let whole = match (&self.data, self.lines) {
            (Some(data), _) => Some(read_text(data)),
            (None, true) => None,
            (None, false) => Some(read_bytes(self.read_whole()?)),
        };
        let connected = connect.wait(Duration::from_secs(self.wait)).await;
        let client = connected.map_err(|error| match error {
            ConnectError::Url(error) => Failure::Input(error.to_string()),
            ConnectError::Stopped(stop) => Failure::Client(format!("{url}: {stop}")),
            error @ (ConnectError::TimedOut(_) | _) => Failure::Client(format!(
                "{error}\nIs there a server at {url}? Start one with `corewire serve`, or name \
                     another with --url or {}.",
                link::URL_VARIABLE
            )),
        })?;
        let published = tokio::select! {
            published = async {
                match whole {
                    Some(data) => {
                        let position = async { self.send(&client, data).await?.await };
                        let position = position.await.map_err(|error| self.failure(None, &error))?;
                        self.line(&position, out).map_err(Failure::Output)
                    }
                    None => self.publish_lines(&client, out).await,
                }
            } => published,
            Ok(()) = tokio::signal::ctrl_c() => {
                Err(Failure::Client("interrupted before all was published".to_owned()))
            }
        };
        client.close().await;
        published
    }

    /// Publishes line by line, many on their way at a time. Of each one that is sent it is told what became
    /// of it, also where one before it was not published.
    async fn publish_lines(&self, client: &Client, out: &mut dyn Write) -> Result<(), Failure> {
        let mut lines = self.read_lines()?;
        let (sender, mut receipts) = mpsc::channel(IN_FLIGHT_MAX);
        // Each owns its end of the channel: when one ends, the other learns it.
        let send = async move {
            let mut number = 0;
            loop {
                let line = tokio::select! {
                    line = lines.recv() => line,
                    () = sender.closed() => None,
                };
                // Room for the receipt comes first: what is sent is reported.
                let (Some(line), Ok(place)) = (line, sender.reserve().await) else {
                    break;
                };
                number += 1;
                let line = line.map_err(Failure::Input)?;
                let receipt = self.send(client, read_bytes(line)).await;
                place.send(receipt.map_err(|error| self.failure(Some(number), &error))?);
            }
            Ok::<(), Failure>(())
        };
        let report = async move {
            let mut first = None;
            let (mut number, mut published, mut failures) = (0_u64, 0_u64, 0_u64);
            while let Some(receipt) = receipts.recv().await {
                number += 1;
                match receipt.await {
                    Ok(position) => {
                        published += u64::from(first.is_some());
                        self.line(&position, out).map_err(Failure::Output)?;
                    }
                    Err(error) if self.on_error == OnError::Continue => {
                        failures += 1;
                        self.error(number, &error, out).map_err(Failure::Output)?;
                    }
                    Err(error) => {
                        receipts.close();
                        first.get_or_insert((number, error));
                    }
                }
            }
            match first {
                Some((line, error)) if published > 0 => Err(Failure::Client(format!(
                    "{}: line {line}: {error}\n{published} of the lines behind it were on their way: they are \
                     published, and printed above",
                    self.topic
                ))),
                Some((line, error)) => Err(self.failure(Some(line), &error)),
                None if failures > 0 => Err(Failure::Client(format!(
                    "{}: {failures} of {number} lines were not published, or perhaps not",
                    self.topic
                ))),
                None => Ok(()),
            }
        };
        let (sent, reported) = tokio::join!(send, report);
        sent.and(reported)
    }

    async fn send(&self, client: &Client, data: Data) -> Result<Receipt, PublishError> {
        let publishing = client.publish(&self.topic, data);
        let publishing = match &self.key {
            Some(key) => publishing.key(key),
            None => publishing,
        };
        let tags = self.tags.iter();
        let publishing = tags.fold(publishing, |publishing, (name, value)| {
            publishing.tag(name, value)
        });
        let publishing = match self.ttl {
            Some(ttl) => publishing.ttl(ttl),
            None => publishing,
        };
        let publishing = match &self.idem {
            Some(key) => publishing.idem(key),
            None => publishing,
        };
        let publishing = if self.at_least_once {
            publishing.at_least_once()
        } else {
            publishing
        };
        publishing.queued().await
    }

    fn line(&self, position: &Position, out: &mut dyn Write) -> io::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            topic: &'a str,
            epoch: &'a str,
            offset: u64,
        }
        let line = Line {
            topic: &self.topic,
            epoch: &position.epoch,
            offset: position.offset,
        };
        write_line(&line, out)
    }

    /// What became of a line that has no position.
    fn error(&self, number: u64, error: &PublishError, out: &mut dyn Write) -> io::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            topic: &'a str,
            line: u64,
            error: &'a str,
            text: String,
        }
        let line = Line {
            topic: &self.topic,
            line: number,
            error: error.name(),
            text: error.to_string(),
        };
        write_line(&line, out)
    }

    /// Why `line` was not published, if it is one of several.
    fn failure(&self, line: Option<u64>, error: &PublishError) -> Failure {
        let at = line.map_or(String::new(), |line| format!("line {line}: "));
        if let PublishError::Topic(error) = error {
            Failure::Input(format!("{}: {error}", self.topic))
        } else if let PublishError::Beside(what) = error {
            Failure::Input(format!("{at}{what}"))
        } else {
            Failure::Client(format!("{}: {at}{error}", self.topic))
        }
    }

    fn read_whole(&self) -> Result<Vec<u8>, Failure> {
        match &self.file {
            Some(path) => fs::read(path)
                .map_err(|error| Failure::Input(format!("{}: {error}", path.display()))),
            None => {
                invite();
                let mut bytes = Vec::new();
                io::stdin()
                    .lock()
                    .read_to_end(&mut bytes)
                    .map_err(|error| Failure::Input(format!("standard input: {error}")))?;
                // A shell ends what it says with a newline.
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                Ok(bytes)
            }
        }
    }

    /// Lines come from a thread of their own, since reading blocks.
    fn read_lines(&self) -> Result<mpsc::Receiver<Result<Vec<u8>, String>>, Failure> {
        let (name, mut reader): (_, Box<dyn BufRead + Send>) = match &self.file {
            Some(path) => {
                let name = path.display().to_string();
                let file = fs::File::open(path)
                    .map_err(|error| Failure::Input(format!("{name}: {error}")))?;
                (name, Box::new(io::BufReader::new(file)))
            }
            None => {
                invite();
                let stdin = io::BufReader::new(io::stdin());
                ("standard input".to_owned(), Box::new(stdin))
            }
        };
        let (sender, receiver) = mpsc::channel(IN_FLIGHT_MAX);
        tokio::task::spawn_blocking(move || {
            loop {
                let mut line = Vec::new();
                let read = match reader.read_until(b'\n', &mut line) {
                    Ok(0) => return,
                    Ok(_) => {
                        if line.last() == Some(&b'\n') {
                            line.pop();
                        }
                        Ok(line)
                    }
                    Err(error) => Err(format!("{name}: {error}")),
                };
                let over = read.is_err();
                if sender.blocking_send(read).is_err() || over {
                    return;
                }
            }
        });
        Ok(receiver)
    }
}

/// Tells whoever sits at a terminal what is waited for.
fn invite() {
    if io::stdin().is_terminal() {
        link::say("publishing what you type; Ctrl-D ends it");
    }
}

/// A tag as an argument.
fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err(format!("{text:?} is no tag; write name=value")),
    }
}

/// One line of JSON, written at once. If nobody reads it any more, such as behind `| head -1`, what is
/// to be published is published all the same.
fn write_line(line: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    match out.write_all(&text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// JSON if it is JSON, otherwise text.
fn read_text(text: &str) -> Data {
    Data::from_json_text(text).unwrap_or_else(|_| Data::from(text))
}

/// The same, and bytes if it is no UTF-8.
fn read_bytes(bytes: Vec<u8>) -> Data {
    match str::from_utf8(&bytes) {
        Ok(text) => read_text(text),
        Err(_) => Data::from(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_a_name() {
        assert_eq!(tag("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(tag("a="), Ok(("a".to_owned(), String::new())));
        assert!(tag("=b").is_err() && tag("ab").is_err());
    }

    #[test]
    fn data_is_json_or_text_or_bytes() {
        assert_eq!(read_text("{\"a\":1}"), Data::Json("{\"a\":1}".into()));
        assert_eq!(read_text("42"), Data::Json("42".into()));
        assert_eq!(read_text("hi there"), Data::Text("hi there".into()));
        assert_eq!(read_bytes(vec![0xff]), Data::from(vec![0xff]));
        assert_eq!(read_bytes(b"x y".to_vec()), Data::Text("x y".into()));
    }
}

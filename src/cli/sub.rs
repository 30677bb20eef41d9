//! `corewire sub`: what is published, line by line.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use corewire_client::{
    Client, Data, Event, Message, PolicyMode, Position, ResetScope, Start, Status, Stop,
    Subscribing, Subscription, Unsubscribed,
};
use rustix::event::{PollFd, PollFlags, poll};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Failure;
use super::link::{self, Link, say};
use crate::runtime::Clock;

const EXAMPLES: &str = "\
Examples:
  corewire sub 'chat.>'                       one JSON object a line
  corewire sub chat.room1 --raw               only what was published
  corewire sub 'ticker.*' --policy latest --count 10 | jq .data
  corewire sub 'orders.>' --events            for programs that must know what is missing
  corewire sub 'chat.>' --last 10             first the newest ten of each topic
  corewire sub chat.room1 --from k3:41        go on behind a line printed before

Each line is written at once, also into a pipe. What is not a message goes to stderr: when the
connection is lost and found again, and what is missing. After a loss it goes on where it was.
With --events what is missing is a line of JSON among the messages, at its place:
{\"gap\":{\"topic\":…,\"from\":…,\"to\":…,\"cause\":…}}, and in the same way \"subscribed\",
\"conflated\" and \"reset\". It ends with Ctrl-C.";

/// Print what is published to a topic, or to all topics that a pattern fits
#[derive(Debug, Args)]
struct Sub {
    /// Topics or patterns: `*` is one level, `>` is all that follow. Quote them.
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<String>,
    /// End after so many messages.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Begin with the newest N messages of each topic that the server still has.
    #[arg(long, value_name = "N", conflicts_with_all = ["since", "from"])]
    last: Option<u64>,
    /// Begin with the messages of this last time that the server still has, such as 90s, 5m or 1h.
    #[arg(long, value_name = "TIME", value_parser = super::time::duration, conflicts_with = "from")]
    since: Option<Duration>,
    /// Begin behind this position of a topic, written epoch:offset.
    #[arg(long, value_name = "POSITION", value_parser = position)]
    from: Option<Position>,
    /// What the server does if this reader does not keep up.
    #[arg(long)]
    policy: Option<Policy>,
    /// Print only the data, as it was published.
    #[arg(long)]
    raw: bool,
    /// Print what is missing as JSON, too: `subscribed`, `gap`, `conflated`, `reset`.
    #[arg(long, conflicts_with = "raw")]
    events: bool,
    #[command(flatten)]
    link: Link,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Policy {
    /// Every message, as long as the server has it.
    All,
    /// Of each key the newest message.
    Latest,
    /// The newest messages that fit.
    DropOldest,
    /// Close the connection, to begin anew.
    Close,
}

/// The command and its help.
pub(super) fn command() -> Command {
    Sub::augment_args(Command::new(super::command::SUB)).after_help(EXAMPLES)
}

/// Prints messages to `out` until there were enough, or the user has had enough.
pub(super) fn run(matches: &ArgMatches, out: &mut dyn Write) -> Result<(), Failure> {
    let sub = Sub::from_arg_matches(matches).map_err(Failure::Arguments)?;
    let runtime = link::runtime()?;
    let result = runtime.block_on(sub.run(out));
    // A thread may still wait for our reader to leave, which nobody can interrupt.
    runtime.shutdown_background();
    result
}

impl Sub {
    async fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let (connect, url) = self.link.client()?;
        let client = connect
            .start()
            .map_err(|error| Failure::Input(error.to_string()))?;
        let mut subscriptions = Vec::new();
        for pattern in &self.patterns {
            let subscribing = self.begin(client.subscribe(pattern));
            let subscribing = match self.policy {
                Some(policy) => subscribing.mode(policy.mode()),
                None => subscribing,
            };
            let started = subscribing.start();
            let started = started.map_err(|error| Failure::Input(format!("{pattern}: {error}")))?;
            subscriptions.push((pattern.as_str(), started));
        }
        let printed = tokio::select! {
            printed = self.print(&mut subscriptions, out) => printed,
            () = tell_status(&client, &url) => Ok(()),
            () = tell_warnings(&client) => Ok(()),
            // Without a handler the signal ends the process, which is right, too.
            Ok(()) = tokio::signal::ctrl_c() => Ok(()),
            () = reader_leaves() => Ok(()),
        };
        client.close().await;
        printed
    }

    fn begin(&self, subscribing: Subscribing) -> Subscribing {
        match (self.last, self.since, &self.from) {
            (Some(count), _, _) => subscribing.last(count),
            (None, Some(ago), _) => {
                let ago_ms = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
                let now_ms = Clock::start().now().unix_ms;
                subscribing.from(Start::Since(now_ms.saturating_sub(ago_ms)))
            }
            (None, None, Some(position)) => subscribing.after(position.clone()),
            (None, None, None) => subscribing,
        }
    }

    async fn print(
        &self,
        subscriptions: &mut [(&str, Subscription)],
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let colourful = link::stdout_is_colourful();
        let mut left = self.count;
        while left != Some(0) {
            let (pattern, event) = next(subscriptions).await;
            match event {
                Event::Message(message) => {
                    self.line(&message, colourful, out)
                        .map_err(Failure::Output)?;
                    left = left.map(|left| left - 1);
                }
                Event::Unsubscribed(Unsubscribed::Stopped(Stop::Asked)) => return Ok(()),
                Event::Unsubscribed(why) => {
                    return Err(Failure::Client(format!("{pattern}: {why}")));
                }
                event @ (Event::Subscribed(_)
                | Event::Gap(_)
                | Event::Conflated(_)
                | Event::Reset(_)
                | _) => {
                    tell(pattern, &event);
                    if self.events
                        && let Some(note) = Note::new(pattern, &event)
                    {
                        write_line(&note, out).map_err(Failure::Output)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn line(&self, message: &Message, colourful: bool, out: &mut dyn Write) -> io::Result<()> {
        if self.raw {
            out.write_all(message.data.as_bytes())?;
        } else if colourful {
            let topic = &message.topic;
            write!(
                out,
                "\x1b[36m{topic}\x1b[0m \x1b[2m{}\x1b[0m ",
                message.position.offset
            )?;
            return write_line(&Line::new(message)?, out);
        } else {
            return write_line(&Line::new(message)?, out);
        }
        out.write_all(b"\n")?;
        out.flush()
    }
}

/// A position as a line names it.
fn position(text: &str) -> Result<Position, String> {
    let wrong = || format!("{text:?} is no position; write epoch:offset, such as k3:41");
    let (epoch, offset) = text.rsplit_once(':').ok_or_else(wrong)?;
    Ok(Position {
        epoch: epoch.into(),
        offset: offset.parse().map_err(|_| wrong())?,
    })
}

impl Policy {
    const fn mode(self) -> PolicyMode {
        match self {
            Self::All => PolicyMode::All,
            Self::Latest => PolicyMode::Latest,
            Self::DropOldest => PolicyMode::DropOldest,
            Self::Close => PolicyMode::Close,
        }
    }
}

/// A message as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    epoch: &'a str,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<&'a str, &'a str>,
    user: &'a str,
    time_ms: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

impl<'a> Line<'a> {
    fn new(message: &'a Message) -> io::Result<Self> {
        let (data, b64) = match &message.data {
            // As it was written; a line of its own all the same.
            Data::Json(text) => (Some(Value::Json(serde_json::from_str(text)?)), None),
            Data::Text(text) => (Some(Value::Text(text)), None),
            Data::Bytes(bytes) => (None, Some(BASE64.encode(bytes))),
        };
        let tags = message.tags.iter();
        Ok(Self {
            topic: &message.topic,
            epoch: &message.position.epoch,
            offset: message.position.offset,
            data,
            b64,
            key: message.key.as_deref(),
            tags: tags.map(|(name, value)| (&**name, &**value)).collect(),
            user: &message.publisher.user,
            time_ms: message.time_ms,
        })
    }
}

/// Says to people what is not a message.
fn tell(pattern: &str, event: &Event) {
    match event {
        Event::Subscribed(_) => say(format_args!("subscribed to {pattern}")),
        Event::Gap(gap) => say(format_args!(
            "gap: {} of {} are missing, {} to {} ({})",
            gap.count(),
            gap.topic,
            gap.from,
            gap.to,
            gap.cause.name()
        )),
        Event::Conflated(conflated) => say(format_args!(
            "conflated: {} of {} gave way to newer ones",
            conflated.count, conflated.topic
        )),
        Event::Reset(reset) => match &reset.scope {
            ResetScope::Topic { topic, .. } => say(format_args!(
                "reset: what {topic} had before is not known ({})",
                reset.cause.name()
            )),
            ResetScope::Subscription => say(format_args!(
                "reset: {pattern} may have had messages meanwhile ({})",
                reset.cause.name()
            )),
        },
        Event::Message(_) | Event::Unsubscribed(_) | _ => say(format_args!("{event:?}")),
    }
}

/// What is not a message, as a line of JSON.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Note<'a> {
    Subscribed {
        pattern: &'a str,
        #[serde(flatten)]
        position: Option<Place<'a>>,
    },
    Gap {
        topic: &'a str,
        from: u64,
        to: u64,
        cause: &'a str,
        in_history: bool,
    },
    Conflated {
        topic: &'a str,
        count: u64,
        up_to: u64,
    },
    Reset {
        /// Of one topic, or of all of the pattern.
        #[serde(flatten)]
        scope: Scope<'a>,
        cause: &'a str,
    },
}

#[derive(Serialize)]
struct Place<'a> {
    epoch: &'a str,
    offset: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Scope<'a> {
    Topic {
        topic: &'a str,
        #[serde(flatten)]
        position: Place<'a>,
    },
    Subscription {
        pattern: &'a str,
    },
}

impl<'a> Place<'a> {
    fn new(position: &'a Position) -> Self {
        Self {
            epoch: &position.epoch,
            offset: position.offset,
        }
    }
}

impl<'a> Note<'a> {
    fn new(pattern: &'a str, event: &'a Event) -> Option<Self> {
        Some(match event {
            Event::Subscribed(subscribed) => Self::Subscribed {
                pattern,
                position: subscribed.position.as_ref().map(Place::new),
            },
            Event::Gap(gap) => Self::Gap {
                topic: &gap.topic,
                from: gap.from,
                to: gap.to,
                cause: gap.cause.name(),
                in_history: gap.in_history,
            },
            Event::Conflated(conflated) => Self::Conflated {
                topic: &conflated.topic,
                count: conflated.count,
                up_to: conflated.up_to,
            },
            Event::Reset(reset) => Self::Reset {
                scope: match &reset.scope {
                    ResetScope::Topic { topic, position } => Scope::Topic {
                        topic,
                        position: Place::new(position),
                    },
                    ResetScope::Subscription => Scope::Subscription { pattern },
                },
                cause: reset.cause.name(),
            },
            Event::Message(_) | Event::Unsubscribed(_) | _ => return None,
        })
    }
}

/// One line of JSON, written at once.
fn write_line(line: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The next event of any of them.
async fn next<'p>(subscriptions: &mut [(&'p str, Subscription)]) -> (&'p str, Event) {
    std::future::poll_fn(|context| {
        for (pattern, subscription) in &mut *subscriptions {
            if let std::task::Poll::Ready(Some(event)) = subscription.poll_event(context) {
                return std::task::Poll::Ready((*pattern, event));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// Waits until nobody reads our pipe any more. Otherwise that were found out with the next message
/// only, which may take long.
async fn reader_leaves() {
    // Nothing is asked for, so only an error is told, such as a pipe that has no other end.
    let left = tokio::task::spawn_blocking(|| {
        let stdout = io::stdout();
        let mut ends = [PollFd::new(&stdout, PollFlags::empty())];
        poll(&mut ends, None).is_ok() && ends[0].revents().contains(PollFlags::ERR)
    });
    if left.await.is_ok_and(|left| left) {
        return;
    }
    std::future::pending().await
}

/// Says when the connection is lost and found again. Ends with the client.
async fn tell_status(client: &Client, url: &str) {
    let mut status = client.status();
    let mut was_connected = false;
    loop {
        let now = status.borrow_and_update().clone();
        match now {
            Status::Connected(session) => {
                let again = if was_connected { " again" } else { "" };
                say(format_args!(
                    "connected{again} to {url} as {}",
                    session.user
                ));
                was_connected = true;
            }
            Status::Waiting { retry_in_ms, loss } => {
                let seconds = retry_in_ms.div_ceil(100);
                say(format_args!(
                    "{loss}; trying again in {}.{} s",
                    seconds / 10,
                    seconds % 10
                ));
            }
            // The subscriptions say why.
            Status::Stopped(_) => std::future::pending().await,
            Status::Connecting | Status::Closing => {}
            other => say(format_args!("{other:?}")),
        }
        if status.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn tell_warnings(client: &Client) {
    loop {
        let warning = client.warning().await;
        say(format_args!(
            "warning: {} ({})",
            warning.text,
            warning.code.name()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_or_refused_with_an_example() {
        let place = position("k:3:41").unwrap();
        assert_eq!((&*place.epoch, place.offset), ("k:3", 41));
        for text in ["", "41", "k3:", "k3:x"] {
            let error = position(text).unwrap_err();
            assert!(error.contains("k3:41"), "{error}");
        }
    }
}

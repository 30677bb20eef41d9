//! The processes of a storm, and what they have said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use corewire::protocol::native::{Echo, PolicyMode, Subject, TopicName};
use corewire_testkit::Random;
use corewire_testkit::sim::{Listener, Moment, Outcome, Published, Repeats, Told, Witness};
use serde_json::Value;

use super::BINARY;

/// A slow reader takes a line in so many milliseconds, at most.
const SLOW_MS: usize = 20;
/// Bytes that are published beside the identity, at most.
const PADDING_BYTES: usize = 2000;
/// Clients come back within so many milliseconds.
const RETRY_MAX_MS: &str = "50";

/// Who publishes.
pub(crate) struct Publisher {
    topic: &'static str,
    pause_ms: usize,
}

impl Publisher {
    /// In one topic, with pauses of this length at most.
    pub(crate) const fn new(topic: &'static str, pause_ms: usize) -> Self {
        Self { topic, pause_ms }
    }
}

/// Who subscribes.
pub(crate) struct Part {
    subject: &'static str,
    policy: &'static str,
    reads: Reads,
}

/// How it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    AtOnce,
    Slowly,
}

impl Part {
    pub(crate) const fn new(subject: &'static str, policy: &'static str, reads: Reads) -> Self {
        Self {
            subject,
            policy,
            reads,
        }
    }

    fn mode(&self) -> PolicyMode {
        match self.policy {
            "all" => PolicyMode::All,
            "latest" => PolicyMode::Latest,
            "drop-oldest" => PolicyMode::DropOldest,
            other => panic!("no policy of this test: {other}"),
        }
    }

    fn covers(&self, topic: &str) -> bool {
        let name = TopicName::parse(topic).unwrap();
        match Subject::parse(self.subject).unwrap() {
            Subject::Topic(one) => one == name,
            Subject::Pattern(pattern) => pattern.matches(name),
        }
    }
}

/// What happens. In the order of one channel, so that what was said before something was heard
/// stands before it.
pub(crate) enum News {
    /// A publisher is about to be given this line.
    Sent(usize, Box<str>),
    /// A publisher says what became of a line.
    Outcome(usize, String),
    /// A publisher has ended.
    Done(usize),
    /// A subscriber has printed this.
    Heard(usize, String),
}

/// What all have had together.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) published: u64,
    pub(crate) uncertain: u64,
    pub(crate) messages: u64,
    /// Gaps and resets.
    pub(crate) losses: u64,
    /// Those of subscribers that were to be sent all.
    pub(crate) losses_of_all: u64,
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} published, of {} it is not known, {} messages heard, {} gaps and resets, {} of them \
             told to who wanted all",
            self.published, self.uncertain, self.messages, self.losses, self.losses_of_all
        )
    }
}

/// All of them.
pub(crate) struct Cast {
    sender: Sender<News>,
    server: SocketAddr,
    proxy: SocketAddr,
    moment: Moment,
    calm: Arc<AtomicBool>,
    publishers: Vec<Speaker>,
    subscribers: Vec<Hearer>,
    /// Where each topic has ended.
    ends: BTreeMap<&'static str, (Box<str>, u64)>,
    markers: Witness,
}

/// A publisher that runs.
struct Speaker {
    child: Child,
    topic: &'static str,
    witness: Witness,
    /// Lines that it has told the outcome of.
    answered: usize,
    is_done: bool,
}

/// A subscriber that runs.
struct Hearer {
    child: Child,
    part: &'static Part,
    listener: Listener,
}

impl Cast {
    /// `sender` leads to [`take`](Self::take).
    pub(crate) fn new(sender: Sender<News>, server: SocketAddr, proxy: SocketAddr) -> Self {
        Self {
            sender,
            server,
            proxy,
            moment: 0,
            calm: Arc::default(),
            publishers: Vec::new(),
            subscribers: Vec::new(),
            ends: BTreeMap::new(),
            markers: Witness::new("markers"),
        }
    }

    /// Starts a subscriber.
    pub(crate) fn subscribe(&mut self, part: &'static Part) {
        let number = self.subscribers.len();
        let name = format!("sub{number} {} {}", part.subject, part.policy);
        let mut child = self
            .corewire("sub", &name)
            .args([part.subject, "--events", "--policy", part.policy])
            .args(["--retry-max-ms", RETRY_MAX_MS])
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, calm) = (self.sender.clone(), Arc::clone(&self.calm));
        let mut pauses = Random::new(number as u64);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(News::Heard(number, line)).is_err() {
                    return;
                }
                if part.reads == Reads::Slowly && !calm.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(pauses.below(SLOW_MS) as u64));
                }
            }
        });
        self.subscribers.push(Hearer {
            child,
            part,
            listener: Listener::new(&name, &name, part.subject, part.mode()),
        });
    }

    /// Starts a publisher, which goes on until it is calm.
    pub(crate) fn publish(&mut self, publisher: &'static Publisher, seed: u64) {
        let number = self.publishers.len();
        let name = format!("pub{number} {}", publisher.topic);
        let mut child = self
            .corewire("pub", &name)
            .args([
                publisher.topic,
                "--lines",
                "--on-error",
                "continue",
                "--wait",
                "20",
            ])
            .args(["--key", &format!("k{number}")])
            .args(["--retry-max-ms", RETRY_MAX_MS])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let (sender, calm) = (self.sender.clone(), Arc::clone(&self.calm));
        let mut random = Random::new(seed);
        let pause_ms = publisher.pause_ms;
        thread::spawn(move || {
            for count in 1_u64.. {
                if calm.load(Ordering::Relaxed) {
                    return;
                }
                let identity = format!("p{number}-{count}");
                let padding = match random.once_in(8) {
                    true => " x".repeat(random.below(PADDING_BYTES / 2)),
                    false => String::new(),
                };
                let sent = sender.send(News::Sent(number, identity.as_str().into()));
                if sent.is_err() || writeln!(stdin, "{identity}{padding}").is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(random.below(pause_ms + 1) as u64));
            }
        });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let sender = self.sender.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(News::Outcome(number, line)).is_err() {
                    return;
                }
            }
            let _ = sender.send(News::Done(number));
        });
        let mut witness = Witness::new(&name);
        witness.repeats = Repeats::Hidden;
        self.publishers.push(Speaker {
            child,
            topic: publisher.topic,
            witness,
            answered: 0,
            is_done: false,
        });
    }

    /// A client whose words to people go into a file.
    fn corewire(&self, what: &str, name: &str) -> Command {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cuts");
        fs::create_dir_all(&folder).unwrap();
        let name: String = name
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { '-' })
            .collect();
        let mut command = Command::new(BINARY);
        command
            .env_clear()
            .args([what, "--url", &format!("ws://{}/ws", self.proxy)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join(name)).unwrap());
        command
    }

    // ── What happens ──

    pub(crate) fn take(&mut self, news: News) {
        self.moment += 1;
        match news {
            News::Sent(number, identity) => {
                let speaker = &mut self.publishers[number];
                speaker.witness.published.push(Published {
                    identity,
                    topic: speaker.topic.into(),
                    key: format!("k{number}").into(),
                    echo: Echo::Yes,
                    ttl_ms: None,
                    pseq: None,
                    sent: self.moment,
                    outcome: Outcome::Unknown,
                });
            }
            News::Outcome(number, line) => {
                let speaker = &mut self.publishers[number];
                let line: Value = serde_json::from_str(&line).unwrap();
                let published = &mut speaker.witness.published[speaker.answered];
                speaker.answered += 1;
                published.outcome = match line["error"].as_str() {
                    None => placed(&line, self.moment),
                    Some("uncertain") => Outcome::Unknown,
                    Some("timed_out") => Outcome::Refused,
                    Some(_) => panic!("{line}"),
                };
            }
            News::Done(number) => self.publishers[number].is_done = true,
            News::Heard(number, line) => {
                let line: Value = serde_json::from_str(&line).unwrap();
                let listener = &mut self.subscribers[number].listener;
                listener.hears(self.moment, told(&line));
            }
        }
    }

    /// The publishers end, and all readers read at once.
    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// It grows whenever something happens.
    pub(crate) const fn moment(&self) -> Moment {
        self.moment
    }

    pub(crate) fn have_published(&self) -> bool {
        self.publishers.iter().all(|speaker| speaker.is_done)
    }

    /// Publishes once in each topic, past the proxy, so that its end is known.
    pub(crate) fn mark_the_ends(&mut self) {
        let topics: BTreeSet<_> = self.publishers.iter().map(|one| one.topic).collect();
        for topic in topics {
            self.moment += 1;
            let identity = format!("end-{}-of-{topic}", self.moment);
            let output = Command::new(BINARY)
                .env_clear()
                .args(["pub", topic, &identity, "--key", "end"])
                .args(["--url", &format!("ws://{}/ws", self.server)])
                .output()
                .unwrap();
            let line: Value = serde_json::from_slice(&output.stdout).unwrap();
            let outcome = placed(&line, self.moment);
            if let Outcome::Placed { epoch, offset, .. } = &outcome {
                self.ends.insert(topic, (epoch.clone(), *offset));
            }
            self.markers.published.push(Published {
                identity: identity.into(),
                topic: topic.into(),
                key: "end".into(),
                echo: Echo::Yes,
                ttl_ms: None,
                pseq: None,
                sent: self.moment,
                outcome,
            });
        }
    }

    /// The subscribers that were not told all that there is, and of which topics.
    pub(crate) fn unheard(&self) -> Vec<String> {
        let mut unheard = Vec::new();
        if self.ends.is_empty() {
            unheard.push("no end is marked".to_owned());
        }
        for hearer in &self.subscribers {
            for (topic, (epoch, offset)) in &self.ends {
                let position = hearer.listener.position(topic);
                // What was on its way when its connection ended may come behind the end.
                let has_come =
                    position.is_some_and(|(life, upto)| *life == **epoch && upto >= *offset);
                if !has_come && hearer.part.covers(topic) {
                    let subject = hearer.part.subject;
                    unheard.push(format!(
                        "{subject}: {topic} has come to {position:?}, and ends at {offset}"
                    ));
                }
            }
        }
        unheard
    }

    /// Ends all processes. What they have said, and what they should have heard.
    pub(crate) fn testify(mut self) -> (Vec<Witness>, Vec<(Box<str>, u64)>, Sums) {
        let mut sums = Sums::default();
        let mut witnesses = vec![std::mem::replace(&mut self.markers, Witness::new("none"))];
        for mut speaker in std::mem::take(&mut self.publishers) {
            speaker.child.wait().unwrap();
            for published in &speaker.witness.published {
                match published.outcome {
                    Outcome::Placed { .. } => sums.published += 1,
                    Outcome::Unknown => sums.uncertain += 1,
                    Outcome::Refused => {}
                }
            }
            speaker.witness.ended();
            witnesses.push(speaker.witness);
        }
        for mut hearer in std::mem::take(&mut self.subscribers) {
            hearer.child.kill().unwrap();
            hearer.child.wait().unwrap();
            sums.messages += hearer.listener.messages() as u64;
            sums.losses += hearer.listener.losses() as u64;
            if hearer.part.mode() == PolicyMode::All {
                sums.losses_of_all += hearer.listener.losses() as u64;
            }
            witnesses.push(hearer.listener.quiet());
        }
        (witnesses, self.ends.values().cloned().collect(), sums)
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        let speakers = self.publishers.iter_mut().map(|one| &mut one.child);
        let hearers = self.subscribers.iter_mut().map(|one| &mut one.child);
        for child in speakers.chain(hearers) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn placed(line: &Value, heard: Moment) -> Outcome {
    Outcome::Placed {
        epoch: line["epoch"].as_str().unwrap().into(),
        offset: line["offset"].as_u64().unwrap(),
        heard,
    }
}

/// What a line of `corewire sub --events` tells.
fn told(line: &Value) -> Told<'_> {
    fn text<'l>(of: &'l Value, name: &str) -> &'l str {
        of[name].as_str().unwrap()
    }
    fn position(of: &Value) -> Option<(&str, u64)> {
        Some((of.get("epoch")?.as_str()?, of.get("offset")?.as_u64()?))
    }
    let number = |of: &Value, name| of[name].as_u64().unwrap();
    if let Some(note) = line.get("subscribed") {
        Told::Subscribed(position(note))
    } else if let Some(note) = line.get("gap") {
        Told::Gap {
            topic: text(note, "topic"),
            from: number(note, "from"),
            to: number(note, "to"),
        }
    } else if let Some(note) = line.get("conflated") {
        Told::Conflated {
            topic: text(note, "topic"),
            count: number(note, "count"),
            up_to: number(note, "up_to"),
        }
    } else if let Some(note) = line.get("reset") {
        match note.get("topic") {
            Some(topic) => Told::Reset {
                topic: topic.as_str().unwrap(),
                epoch: text(note, "epoch"),
                offset: number(note, "offset"),
            },
            None => Told::ResetAll,
        }
    } else {
        let identity = text(line, "data");
        Told::Message {
            topic: text(line, "topic"),
            epoch: text(line, "epoch"),
            offset: number(line, "offset"),
            identity: identity.split(' ').next().unwrap(),
        }
    }
}

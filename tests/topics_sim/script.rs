//! What clients do.

use std::borrow::Cow;
use std::sync::Arc;

use corewire::protocol::native::{
    Bye, Command, Credit, CreditScope, Data, Dialect, Echo, Hello, Level, PRESENCE, Policy,
    PolicyMode, Presence, Publish, Request, Start, StateCommand, StateOp, Subscribe, Target,
    Unsubscribe,
};
use corewire_client::machine as client;
use corewire_testkit::Random;

use super::app::{self, App, Deed};
use super::client::{Act, Client, Finale};

/// What a world's clients have in mind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Topics that there are.
    pub(crate) topics: usize,
    /// Publications that one client sends at once.
    pub(crate) burst: usize,
    /// Commands of a client, a burst counted once.
    pub(crate) acts: usize,
    pub(crate) subjects: Subjects,
    pub(crate) loyalty: Loyalty,
    pub(crate) state: State,
}

/// Whether they look at state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    No,
    /// They announce themselves, watch each other and type.
    Yes,
}

/// What they subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subjects {
    /// Topics, with the policy `all`.
    Plain,
    /// Topics, with all policies, with credit and without.
    Topics,
    /// Topics and patterns, with all policies, with credit and without.
    All,
    /// Each topic once, or one pattern; with credit and without: what can be gone on from.
    Resumable,
}

/// Whether clients leave, and end subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loyalty {
    /// They come and go.
    Fickle,
    /// All stay until the end, with all that they have subscribed to: whatever is missing is
    /// missed.
    Stays,
}

/// A namespace of what does not last.
const TYPING: &str = "typing";
const PATTERNS: [&str; 6] = ["a.*", "b.>", ">", "a.x.*", "*.t0", "a.>"];

fn topic(number: usize) -> String {
    format!("{}.t{number}", ["a", "b", "a.x"][number % 3])
}

fn hello(client: &mut Client, subscribe: Vec<Subscribe<'static>>) -> Request<'static> {
    Request {
        id: Some(client.id()),
        command: Command::Hello(Box::new(Hello {
            version: 1,
            subscribe: subscribe.into_iter().map(Ok).collect(),
            ..Hello::default()
        })),
    }
}

/// Publishes once in each topic, so that its end is known.
pub(crate) fn probe(client: &mut Client, style: Style) {
    let hello = hello(client, Vec::new());
    client.act(Act::Say(vec![hello]));
    for number in 0..style.topics {
        let publish = Publish {
            target: Target::Topic(topic(number).into()),
            data: Data::Json(format!("\"probe-{number}\"").into()),
            pseq: None,
            idem: None,
            key: None,
            tags: Vec::new(),
            ttl_ms: None,
            level: Level::Memory,
            echo: Echo::Yes,
        };
        let request = Request {
            id: Some(client.id()),
            command: Command::Publish(publish),
        };
        client.act(Act::Say(vec![request]));
    }
}

/// Gives a client its script.
pub(crate) fn write(client: &mut Client, number: usize, style: Style, random: &mut Random) {
    let mut writer = Writer {
        client,
        number,
        style,
        random,
        published: 0,
        pseqs: vec![0; style.topics],
        subscriptions: Vec::new(),
        next_s: 0,
        subjects: Vec::new(),
    };
    if style.subjects == Subjects::Resumable {
        writer.write_resumable();
    } else {
        writer.write();
    }
}

/// What an application has in mind.
pub(crate) fn plan(app: &mut App, number: usize, style: Style, random: &mut Random) {
    let mut published = 0;
    let mut begun = 0;
    for _ in 0..1 + random.below(2 * style.acts) {
        match random.below(6) {
            0 | 1 => {
                begun += 1;
                let subject = subject(style, random);
                let policy = match style.subjects {
                    Subjects::Plain | Subjects::Resumable => None,
                    Subjects::Topics | Subjects::All => policy(style, random),
                };
                let (presence, watch) = interest(style, random, &subject);
                app.plans(Deed::Subscribe(client::Subscribe {
                    policy,
                    presence,
                    watch: watch.into_iter().map(Arc::from).collect(),
                    ..client::Subscribe::to(&subject)
                }));
            }
            2 if style.loyalty == Loyalty::Fickle && begun > 0 => {
                app.plans(Deed::Unsubscribe(random.below(begun)));
            }
            3 | 4 if style.state == State::Yes => app.plans(Deed::Set(entry(style, random))),
            _ => {
                let keys = *random.one_of(&[0, 4]);
                let one = random.below(style.topics);
                let all = (0..=random.below(style.burst)).map(|_| {
                    published += 1;
                    let padding = padding(random);
                    let text = format!("a{number}-{published}{padding}");
                    let key = (keys > 0).then(|| format!("k{}", random.below(keys)));
                    let echo = echo(random);
                    app::message(&topic(one), &text, random.below(3), key, echo)
                });
                let all = all.collect();
                app.plans(Deed::Publish(all));
            }
        }
    }
}

/// Something that an application sets, which does not last.
fn entry(style: Style, random: &mut Random) -> client::SetState {
    let topic = topic(random.below(style.topics)).into();
    let value = Some(format!("{}", random.below(100)).into());
    if random.once_in(4) {
        return client::SetState {
            topic,
            namespace: PRESENCE.into(),
            key: None,
            value,
            ttl_ms: None,
        };
    }
    client::SetState {
        topic,
        namespace: TYPING.into(),
        key: Some(format!("k{}", random.below(4)).into()),
        value,
        ttl_ms: Some(1 + random.below(8) as u64),
    }
}

/// What of its state a subscription is to bring.
fn interest(
    style: Style,
    random: &mut Random,
    subject: &str,
) -> (Option<Presence>, Vec<&'static str>) {
    // A pattern has none.
    if style.state == State::No || subject.contains(['*', '>']) {
        return (None, Vec::new());
    }
    let presence = match random.below(5) {
        0 => None,
        1 => Some(Presence::Announce),
        2 => Some(Presence::Watch),
        _ => Some(Presence::Both),
    };
    let watch = match random.once_in(2) {
        true => vec![TYPING],
        false => Vec::new(),
    };
    (presence, watch)
}

fn subject(style: Style, random: &mut Random) -> String {
    if style.subjects == Subjects::All && random.once_in(3) {
        (*random.one_of(&PATTERNS)).to_owned()
    } else {
        topic(random.below(style.topics))
    }
}

fn policy(style: Style, random: &mut Random) -> Option<Policy> {
    let mode = match random.below(8) {
        0..4 => return None,
        4 => PolicyMode::All,
        5 => PolicyMode::Latest,
        6 => PolicyMode::DropOldest,
        _ if style.loyalty == Loyalty::Fickle && random.once_in(4) => PolicyMode::Close,
        _ => PolicyMode::Latest,
    };
    let small = random.once_in(2);
    Some(Policy {
        mode,
        max_bytes: small.then_some(2000),
        max_messages: random.once_in(3).then_some(3),
    })
}

/// Bytes behind the identity of a message.
fn padding(random: &mut Random) -> String {
    match random.once_in(6) {
        true => " x".repeat(random.below(400)),
        false => String::new(),
    }
}

fn echo(random: &mut Random) -> Echo {
    match random.once_in(5) {
        true => Echo::No,
        false => Echo::Yes,
    }
}

struct Writer<'a> {
    client: &'a mut Client,
    number: usize,
    style: Style,
    random: &'a mut Random,
    published: usize,
    pseqs: Vec<u64>,
    /// Their numbers.
    subscriptions: Vec<u64>,
    next_s: u64,
    /// What it has not subscribed to yet, if each is to be subscribed to once.
    subjects: Vec<String>,
}

impl Writer<'_> {
    /// A client that comes back whenever its connection ends.
    fn write_resumable(&mut self) {
        self.client.comes_back();
        self.subjects = if self.random.once_in(3) {
            vec![(*self.random.one_of(&PATTERNS)).to_owned()]
        } else {
            (0..self.style.topics).map(topic).collect()
        };
        let mut subscribe = Vec::new();
        for _ in 0..self.random.below(3) {
            subscribe.extend(self.resumable());
        }
        let hello = hello(self.client, subscribe);
        self.client.act(Act::Say(vec![hello]));
        if self.random.once_in(8) {
            let messages = 1 + self.random.below(20) as u64;
            self.credit(CreditScope::Connection, messages);
            self.client.is_on_credit();
        }
        for _ in 0..1 + self.random.below(self.style.acts) {
            match self.random.below(10) {
                0..3 => {
                    if let Some(subscribe) = self.resumable() {
                        self.say(Command::Subscribe(Box::new(subscribe)));
                    }
                }
                3 if self.style.loyalty == Loyalty::Fickle => self.unsubscribe(),
                4..7 if self.style.state == State::Yes => self.types(),
                _ => self.burst(),
            }
        }
    }

    fn resumable(&mut self) -> Option<Subscribe<'static>> {
        if self.subjects.is_empty() {
            return None;
        }
        let place = self.random.below(self.subjects.len());
        let subject = self.subjects.swap_remove(place);
        self.next_s += 1;
        self.subscriptions.push(self.next_s);
        let credit = self
            .random
            .once_in(5)
            .then(|| 1 + self.random.below(10) as u64);
        if credit.is_some() {
            self.client.is_on_credit();
        }
        let (presence, watch) = interest(self.style, self.random, &subject);
        let from = match self.random.below(8) {
            0 => Start::Last(self.random.below(30) as u64),
            1 => Start::Since(0),
            _ => Start::Now,
        };
        Some(Subscribe {
            s: self.next_s,
            topic: subject.into(),
            from,
            policy: None,
            credit,
            presence,
            watch: watch.into_iter().map(Cow::from).collect(),
        })
    }

    fn write(&mut self) {
        let mut subscribe = Vec::new();
        for _ in 0..self.random.below(3) {
            subscribe.push(self.subscription());
        }
        let hello = hello(self.client, subscribe);
        self.client.act(Act::Say(vec![hello]));
        if self.random.once_in(2) {
            self.client.act(Act::AwaitWelcome);
        }
        if self.style.subjects != Subjects::Plain && self.random.once_in(8) {
            let messages = 1 + self.random.below(20) as u64;
            self.credit(CreditScope::Connection, messages);
            self.client.is_on_credit();
        }
        let acts = 1 + self.random.below(self.style.acts);
        for _ in 0..acts {
            match self.random.below(8) {
                0 | 1 => {
                    let subscribe = self.subscription();
                    self.say(Command::Subscribe(Box::new(subscribe)));
                }
                3 | 4 if self.style.state == State::Yes => self.types(),
                2 if self.style.loyalty == Loyalty::Fickle => self.unsubscribe(),
                _ => self.burst(),
            }
        }
        if self.style.loyalty == Loyalty::Stays {
            return;
        }
        match self.random.below(12) {
            0 => self.client.leaves(Finale::End),
            1 => self.client.leaves(Finale::Reset),
            2 => self.say(Command::Bye(Bye { reason: None })),
            _ => {}
        }
    }

    fn say(&mut self, command: Command<'static>) {
        let id = Some(self.client.id());
        self.client.act(Act::Say(vec![Request { id, command }]));
    }

    fn credit(&mut self, scope: CreditScope, messages: u64) {
        self.say(Command::Credit(Credit {
            scope,
            messages: Some(messages),
            bytes: None,
        }));
    }

    fn subscription(&mut self) -> Subscribe<'static> {
        // Now and then a number that was used before.
        let s = if self.random.once_in(6) && self.next_s > 0 {
            1 + self.random.next() % self.next_s
        } else {
            self.next_s += 1;
            self.next_s
        };
        self.subscriptions.push(s);
        let policy = match self.style.subjects {
            Subjects::Plain | Subjects::Resumable => None,
            Subjects::Topics | Subjects::All => policy(self.style, self.random),
        };
        let on_credit = self.style.subjects != Subjects::Plain && self.random.once_in(5);
        let credit = on_credit.then(|| 1 + self.random.below(10) as u64);
        if on_credit {
            self.client.is_on_credit();
        }
        let topic = subject(self.style, self.random);
        let (presence, watch) = interest(self.style, self.random, &topic);
        Subscribe {
            s,
            topic: topic.into(),
            from: Start::Now,
            policy,
            credit,
            presence,
            watch: watch.into_iter().map(Cow::from).collect(),
        }
    }

    /// Sets or ends something that does not last.
    fn types(&mut self) {
        let topic = topic(self.random.below(self.style.topics));
        let value = format!("{}", self.random.below(100));
        let key = Some(format!("k{}", self.random.below(4)).into());
        let (namespace, op) = match self.random.below(4) {
            0 => (
                PRESENCE,
                StateOp::Set {
                    key: None,
                    value: Some(value.into()),
                    ttl_ms: None,
                },
            ),
            1 => (TYPING, StateOp::Delete { key }),
            _ => (
                TYPING,
                StateOp::Set {
                    key,
                    value: Some(value.into()),
                    ttl_ms: Some(1 + self.random.below(8) as u64),
                },
            ),
        };
        self.say(Command::State(StateCommand {
            topic: topic.into(),
            namespace: namespace.into(),
            op,
        }));
    }

    fn unsubscribe(&mut self) {
        if self.subscriptions.is_empty() {
            return;
        }
        let place = self.random.below(self.subscriptions.len());
        let s = self.subscriptions.swap_remove(place);
        self.say(Command::Unsubscribe(Unsubscribe { s }));
    }

    /// Publishes many messages at once, in one topic or in several.
    fn burst(&mut self) {
        let count = 1 + self.random.below(self.style.burst);
        let one = self.random.below(self.style.topics);
        let mixed = self.random.once_in(3);
        // Half of the bursts have keys.
        let keys = *self.random.one_of(&[0, 4]);
        let mut batch = Vec::new();
        for _ in 0..count {
            let number = match mixed {
                true => self.random.below(self.style.topics),
                false => one,
            };
            let publish = self.publication(number, keys);
            // What is not to come back is asked for: otherwise nobody would know its place.
            // And what is published again if it was not answered is.
            let has_id = self.style.subjects == Subjects::Resumable
                || publish.echo == Echo::No
                || !self.random.once_in(8);
            let id = has_id.then(|| self.client.id());
            batch.push(Request {
                id,
                command: Command::Publish(publish),
            });
            if !self.random.once_in(4) || batch.len() > 50 {
                self.client.act(Act::Say(std::mem::take(&mut batch)));
            }
        }
        if !batch.is_empty() {
            self.client.act(Act::Say(batch));
        }
    }

    fn publication(&mut self, number: usize, keys: usize) -> Publish<'static> {
        self.published += 1;
        let resumable = self.style.subjects == Subjects::Resumable;
        let is_keyed = resumable && self.random.once_in(6);
        let ttl_ms =
            (resumable && self.random.once_in(8)).then(|| 1 + self.random.below(200) as u64);
        if !is_keyed {
            self.pseqs[number] += 1;
        }
        let identity = format!("c{}-{}", self.number, self.published);
        let padding = padding(self.random);
        let text = format!("{identity}{padding}");
        let data = match (self.client.dialect(), self.random.below(3)) {
            (Dialect::Json, 0..2) | (Dialect::Binary, 0) => {
                Data::Json(format!("\"{text}\"").into())
            }
            (Dialect::Binary, 1) => Data::Text(text.into()),
            _ => Data::Bytes(text.into_bytes().into()),
        };
        let key = (keys > 0).then(|| format!("k{}", self.random.below(keys)).into());
        Publish {
            target: Target::Topic(topic(number).into()),
            data,
            pseq: (!is_keyed).then_some(self.pseqs[number]),
            idem: is_keyed.then(|| identity.into()),
            key,
            tags: Vec::new(),
            ttl_ms,
            level: Level::Memory,
            echo: echo(self.random),
        }
    }
}

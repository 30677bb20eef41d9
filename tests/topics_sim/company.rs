//! What a client knows of the state of topics, by the rules of docs/native-protocol.md; and what
//! must be true of it when all is at rest.

use std::collections::{BTreeMap, BTreeSet};

use corewire::protocol::native::{
    Command, Entry, Members, PRESENCE, Presence, Push, Reply, Request, ServerWord, StateCommand,
    StateDiff, StateOp, Subbed, SubbedTo, Subscribe, entry_digest,
};
use corewire_testkit::sim::{Anomaly, Kind};

/// Times that a client asks for a set from the first page on, while what it knows does not agree
/// with its digest. Nothing will help then.
const ASKS_MAX: u32 = 100;

/// One client's view.
#[derive(Debug, Default)]
pub(crate) struct Company {
    /// Its user, who is a different one for each session.
    user: String,
    /// Commands that were not answered yet.
    asked: BTreeMap<u64, Asked>,
    /// Its subscriptions.
    subscriptions: BTreeMap<u64, Subscription>,
    names: BTreeMap<u64, String>,
    pictures: BTreeMap<(String, String), Picture>,
}

#[derive(Debug)]
enum Asked {
    Hello(Vec<Subscription>),
    Subscribe(Subscription),
    Unsubscribe(u64),
    Page((String, String)),
}

/// What a subscription asks for.
#[derive(Debug, Clone)]
struct Subscription {
    s: u64,
    topic: String,
    announces: bool,
    watches: BTreeSet<String>,
}

/// A set as far as it is known.
#[derive(Debug, Default)]
struct Picture {
    t: u64,
    entries: Entries,
    /// What the pages so far and the changes since have said.
    paging: Option<Entries>,
    told: Told,
    /// How often it was asked for since it agreed last.
    asks: u32,
}

/// The version and the user of each, by key.
type Entries = BTreeMap<String, (u64, String)>;

/// What the server has said of a whole set, at the newest of the versions that it has told.
#[derive(Debug, Default, Clone, Copy)]
struct Told {
    version: u64,
    n: u64,
    users: Option<u64>,
    digest: u64,
}

/// What to ask for next.
enum Then {
    Nothing,
    Page(Option<String>),
}

impl From<&Subscribe<'_>> for Subscription {
    fn from(subscribe: &Subscribe<'_>) -> Self {
        let presence = subscribe.presence;
        let watches = subscribe.watch.iter().map(ToString::to_string);
        let watched = matches!(presence, Some(Presence::Watch | Presence::Both));
        Self {
            s: subscribe.s,
            topic: subscribe.topic.to_string(),
            announces: matches!(presence, Some(Presence::Announce | Presence::Both)),
            watches: watches
                .chain(watched.then(|| PRESENCE.to_owned()))
                .collect(),
        }
    }
}

impl Company {
    /// The client says something.
    pub(crate) fn says(&mut self, request: &Request<'_>) {
        let asked = match &request.command {
            Command::Hello(hello) => Asked::Hello(
                hello
                    .subscribe
                    .iter()
                    .flatten()
                    .map(Subscription::from)
                    .collect(),
            ),
            Command::Subscribe(subscribe) => Asked::Subscribe((&**subscribe).into()),
            Command::Unsubscribe(unsubscribe) => Asked::Unsubscribe(unsubscribe.s),
            Command::State(state) if matches!(state.op, StateOp::Page { .. }) => {
                Asked::Page((state.topic.to_string(), state.namespace.to_string()))
            }
            Command::Auth(_)
            | Command::Publish(_)
            | Command::History(_)
            | Command::State(_)
            | Command::Credit(_)
            | Command::Pong(_)
            | Command::Bye(_) => return,
        };
        if let Some(id) = request.id {
            self.asked.insert(id, asked);
        }
    }

    /// It hears something. Returns what it asks for then.
    pub(crate) fn hears(&mut self, word: &ServerWord<'_>) -> Option<Command<'static>> {
        match word {
            ServerWord::Reply(id, reply) => {
                let asked = self.asked.remove(id)?;
                self.answered(asked, reply)
            }
            ServerWord::Push(Push::Topic(topic)) => {
                self.names.insert(topic.t, topic.topic.to_string());
                None
            }
            ServerWord::Push(Push::Unsubbed(unsubbed)) => {
                self.ended(unsubbed.s);
                None
            }
            ServerWord::Push(Push::State(diff)) => {
                let topic = self.names.get(&diff.t).expect("its alias was told");
                let subject = (topic.clone(), diff.namespace.to_string());
                // What was on its way when the subscription ended is of no interest.
                let watched = self.subscriptions.values().any(|subscription| {
                    subscription.topic == subject.0 && subscription.watches.contains(&subject.1)
                });
                if !watched {
                    return None;
                }
                let then = self
                    .pictures
                    .entry(subject.clone())
                    .or_default()
                    .changes(diff);
                page(subject, then)
            }
            ServerWord::Push(_) => None,
        }
    }

    fn answered(&mut self, asked: Asked, reply: &Reply<'_>) -> Option<Command<'static>> {
        match (asked, reply) {
            (Asked::Hello(subscriptions), Reply::Welcome(welcome)) => {
                self.user = welcome.user.to_string();
                for (subscription, outcome) in subscriptions.into_iter().zip(&welcome.subscribed) {
                    if let Ok(subbed) = outcome {
                        self.subbed(subscription, subbed);
                    }
                }
                None
            }
            (Asked::Subscribe(subscription), Reply::Subbed(subbed)) => {
                self.subbed(subscription, subbed);
                None
            }
            (Asked::Unsubscribe(s), Reply::Ok(_)) => {
                self.ended(s);
                None
            }
            (Asked::Page(subject), Reply::Members(members)) => {
                let then = self.pictures.get_mut(&subject)?.page(members);
                page(subject, then)
            }
            // The home core has restarted, or the cursor is of a life that is over.
            (Asked::Page(subject), Reply::Error(_)) => {
                let picture = self.pictures.get_mut(&subject)?;
                picture.paging = None;
                let then = picture.check();
                page(subject, then)
            }
            _ => None,
        }
    }

    fn subbed(&mut self, subscription: Subscription, subbed: &Subbed<'_>) {
        if let SubbedTo::Topic { t, .. } = &subbed.to {
            self.names.insert(*t, subscription.topic.clone());
        }
        self.subscriptions.insert(subscription.s, subscription);
    }

    fn ended(&mut self, s: u64) {
        self.subscriptions.remove(&s);
        let subscriptions = &self.subscriptions;
        self.pictures.retain(|(topic, namespace), _| {
            subscriptions.values().any(|subscription| {
                subscription.topic == *topic && subscription.watches.contains(namespace)
            })
        });
    }

    /// The topics in which it is there for others, as who.
    pub(crate) fn announced(&self) -> impl Iterator<Item = (&str, &str)> {
        let announcing = self.subscriptions.values().filter(|one| one.announces);
        announcing.map(|one| (&*one.topic, &*self.user))
    }

    /// What is not true of what it knows: `present` are those who are there, by topic.
    pub(crate) fn untrue(&self, present: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<Anomaly> {
        let nobody = BTreeSet::new();
        let mut untrue = Vec::new();
        for subscription in self.subscriptions.values() {
            for namespace in &subscription.watches {
                let (kind, there) = match namespace == PRESENCE {
                    true => (Kind::FalsePicture, present.get(&*subscription.topic)),
                    false => (Kind::Lingering, None),
                };
                let there = there.unwrap_or(&nobody);
                let subject = (subscription.topic.clone(), namespace.clone());
                let picture = self.pictures.get(&subject);
                if picture.is_none_or(|picture| !picture.shows(there)) {
                    let user = &self.user;
                    let text = format!("{user}: {subject:?}: {picture:?}, not {there:?}");
                    untrue.push(Anomaly { kind, text });
                }
            }
        }
        untrue
    }
}

fn page((topic, namespace): (String, String), then: Then) -> Option<Command<'static>> {
    match then {
        Then::Nothing => None,
        Then::Page(after) => Some(Command::State(StateCommand {
            topic: topic.into(),
            namespace: namespace.into(),
            op: StateOp::Page {
                after: after.map(Into::into),
                limit: Some(2),
            },
        })),
    }
}

impl Picture {
    fn changes(&mut self, diff: &StateDiff<'_>) -> Then {
        if diff.t != self.t {
            *self = Self {
                t: diff.t,
                ..Self::default()
            };
        }
        for entries in [Some(&mut self.entries), self.paging.as_mut()] {
            let Some(entries) = entries else { continue };
            for entry in &diff.set {
                take(entries, entry);
            }
            for key in &diff.deleted {
                if entries
                    .get(&**key)
                    .is_some_and(|(known, _)| *known <= diff.version)
                {
                    entries.remove(&**key);
                }
            }
        }
        self.told.hears(Told {
            version: diff.version,
            n: diff.n,
            users: diff.users,
            digest: diff.digest,
        });
        self.check()
    }

    fn page(&mut self, page: &Members<'_>) -> Then {
        let Some(entries) = &mut self.paging else {
            return Then::Nothing;
        };
        if page.t != self.t {
            self.paging = None;
            return self.check();
        }
        for entry in &page.items {
            take(entries, entry);
        }
        self.told.hears(Told {
            version: page.version,
            n: page.n,
            users: page.users,
            digest: page.digest,
        });
        if let Some(next) = &page.next {
            return Then::Page(Some(next.to_string()));
        }
        self.entries = self.paging.take().unwrap_or_default();
        self.check()
    }

    /// Whether it knows of exactly these users, each of them once, and was told so.
    fn shows(&self, there: &BTreeSet<&str>) -> bool {
        let count = there.len() as u64;
        let known: BTreeSet<&str> = self.entries.values().map(|(_, user)| &**user).collect();
        known == *there
            && self.told.n == count
            && self.told.users.is_none_or(|users| users == count)
            && self.agrees()
    }

    fn agrees(&self) -> bool {
        let entries = self.entries.iter();
        let digest = entries.fold(0, |all, (key, (version, _))| {
            all ^ entry_digest(key, *version)
        });
        (self.entries.len() as u64, digest) == (self.told.n, self.told.digest)
    }

    fn check(&mut self) -> Then {
        if self.paging.is_some() {
            return Then::Nothing;
        }
        if self.agrees() {
            self.asks = 0;
            return Then::Nothing;
        }
        if self.asks == ASKS_MAX {
            return Then::Nothing;
        }
        self.asks += 1;
        self.paging = Some(Entries::new());
        Then::Page(None)
    }
}

impl Told {
    fn hears(&mut self, next: Self) {
        if next.version >= self.version {
            *self = next;
        }
    }
}

fn take(entries: &mut Entries, entry: &Entry<'_>) {
    let known = entries.entry(entry.key.to_string()).or_default();
    if entry.version > known.0 {
        *known = (entry.version, entry.user.to_string());
    }
}

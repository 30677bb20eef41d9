//! What one connection said and heard.

use std::collections::{BTreeMap, BTreeSet};

use corewire_protocol::native::{
    Command, Data, Echo, ErrorCode, PolicyMode, Position, Publish, Push, Recovered, Reply, Request,
    Reset, Resumed, ServerWord, Start, Subbed, SubbedTo, Subscribe, Target, TopicAlias,
};

use super::anomaly::{Anomaly, Kind};
use super::delivery::{Delivery, State, What};

/// A moment of the clock that all witnesses share.
pub type Moment = u64;

/// The alias of what goes on and was not announced yet. No server gives it.
const UNBOUND: u64 = u64::MAX;

/// The witness of one connection: it is told every command when it is sent, and every word of the
/// server's when it has come. What is wrong by itself it notes at once; the rest is for
/// [`judge()`](super::judge()).
#[derive(Debug)]
pub struct Witness {
    /// For people.
    pub name: Box<str>,
    /// Whom it belongs to: the messages of a party are its own on all its connections.
    pub party: Box<str>,
    pub(super) ear: Ear,
    /// Which of its publications stand in the order in which they were sent.
    pub ordered: Ordered,
    /// Whether it notes a publication that is sent again.
    pub repeats: Repeats,
    /// The publications, in the order in which they were sent.
    pub published: Vec<Published>,
    pub(super) commands: BTreeMap<u64, Asked>,
    pub(super) subscriptions: Vec<Subscription>,
    /// All deliveries that there ever were.
    pub deliveries: Vec<Delivery>,
    by_alias: BTreeMap<u64, usize>,
    /// Who the server takes the party for.
    user: Option<Box<str>>,
    /// What an earlier connection of the party had come to, by topic.
    carried: Vec<Carried>,
    /// Since when subscriptions of an earlier connection stand.
    since: BTreeMap<u64, Moment>,
    pub(super) found: Vec<Anomaly>,
    pub(super) fate: Fate,
}

/// A publication.
#[derive(Debug)]
pub struct Published {
    /// What tells it from all other messages: its data up to the first space.
    pub identity: Box<str>,
    /// The topic's name.
    pub topic: Box<str>,
    /// Its key; "" is one, too.
    pub key: Box<str>,
    /// Its publisher's number, if it has one.
    pub pseq: Option<u64>,
    /// Whether its publisher gets it, too.
    pub echo: Echo,
    /// How long it is to be delivered, if not as long as it is kept.
    pub ttl_ms: Option<u64>,
    /// When it was sent.
    pub sent: Moment,
    /// What the server has answered.
    pub outcome: Outcome,
}

/// What the server has answered to a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: it may be there or not.
    Unknown,
    /// It is there.
    Placed {
        /// The topic's life.
        epoch: Box<str>,
        /// Its place.
        offset: u64,
        /// When that was heard.
        heard: Moment,
    },
    /// It is not there.
    Refused,
}

/// A command with an `id`.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) what: Question,
    pub(super) replies: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Question {
    Hello(Vec<usize>),
    Subscription(usize),
    Unsubscription(u64),
    Publication(usize),
    Other,
}

/// How far a connection had come in a topic.
#[derive(Debug, Clone)]
struct Carried {
    topic: Box<str>,
    epoch: Box<str>,
    upto: u64,
    subscriptions: BTreeSet<u64>,
    state: State,
}

/// Where a subscription is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    Now,
    /// Behind this place.
    After(Box<str>, u64),
    /// Behind the position of a pattern.
    Pattern,
    /// Somewhere in what is kept.
    Kept,
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) s: u64,
    pub(super) subject: Box<str>,
    pub(super) from: From,
    /// It was told that what it has missed is not known, and not yet by a `reset`.
    pub(super) awaits_reset: bool,
    /// In which life it was not recovered, though it was in one before.
    pub(super) not_recovered: Option<Box<str>>,
    /// When it was granted, and from which life and offset on if it is to one topic.
    pub(super) granted: Option<Granted>,
    pub(super) mode: PolicyMode,
    pub(super) ended: bool,
}

#[derive(Debug)]
pub(super) struct Granted {
    pub(super) heard: Moment,
    pub(super) from: Option<(Box<str>, u64)>,
}

/// Which publications stand in the order in which they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordered {
    /// All.
    All,
    /// Those that were answered. What was on its way when a connection ended may be read after what
    /// its publisher has sent by the next one, as long as the server does not know that they are the
    /// same publisher.
    Answered,
}

/// What a witness knows of publications that are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// Each sending.
    Noted,
    /// Nothing: a client library sends again by itself what was not answered.
    Hidden,
}

/// What a witness listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ear {
    /// A connection, which is told of every offset.
    Connection,
    /// A client library, which passes the own messages that were not to come back.
    Application,
}

/// What became of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Alive,
    /// It has been sent all that there is for it.
    Quiet,
    Ended,
}

/// What tells a message from all others: its data, read as text, up to the first space.
///
/// # Panics
///
/// If the bytes are no text.
#[must_use]
pub fn identity(data: &Data<'_>) -> Box<str> {
    let text = match data {
        Data::Json(text) => text.trim_matches('"'),
        Data::Text(text) => text,
        Data::Bytes(bytes) => str::from_utf8(bytes).expect("the identity of a message is text"),
    };
    text.split(' ').next().unwrap_or_default().into()
}

impl Subscription {
    pub(super) fn new(s: u64, subject: &str, mode: PolicyMode) -> Self {
        Self {
            s,
            subject: subject.into(),
            from: From::Now,
            awaits_reset: false,
            not_recovered: None,
            granted: None,
            mode,
            ended: false,
        }
    }
}

impl Witness {
    /// Of a connection that is about to say hello.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            party: name.into(),
            ear: Ear::Connection,
            ordered: Ordered::All,
            repeats: Repeats::Noted,
            published: Vec::new(),
            commands: BTreeMap::new(),
            subscriptions: Vec::new(),
            deliveries: Vec::new(),
            by_alias: BTreeMap::new(),
            user: None,
            carried: Vec::new(),
            since: BTreeMap::new(),
            found: Vec::new(),
            fate: Fate::Alive,
        }
    }

    /// It is the next connection of an earlier one's party, and goes on where that has ended.
    pub fn succeed(&mut self, earlier: &Self) {
        self.party = earlier.party.clone();
        self.ordered = earlier.ordered;
        self.repeats = earlier.repeats;
        self.user = earlier.user.clone();
        let going = earlier.deliveries.iter().filter(|delivery| {
            matches!(delivery.state, State::Open | State::Unproven)
                && !delivery.subscriptions.is_empty()
        });
        self.carried = going
            .map(|delivery| Carried {
                topic: delivery.topic.clone(),
                epoch: delivery.epoch.clone(),
                upto: delivery.cursor,
                subscriptions: delivery.subscriptions.clone(),
                state: delivery.state,
            })
            .collect();
        for subscription in &earlier.subscriptions {
            if let Some(granted) = &subscription.granted {
                self.since.insert(subscription.s, granted.heard);
            }
        }
    }

    /// Where a subscription to a topic has come to, and each topic of a subscription to a pattern.
    pub fn places(&self, s: u64) -> impl Iterator<Item = (&str, &str, u64)> {
        let of_it = move |delivery: &&Delivery| {
            delivery.subscriptions.contains(&s)
                && matches!(delivery.state, State::Open | State::Unproven)
        };
        let deliveries = self.deliveries.iter().filter(of_it);
        deliveries.map(|delivery| (&*delivery.topic, &*delivery.epoch, delivery.cursor))
    }

    /// The connection has ended: what has not come by now does not come any more. Of what was only
    /// announced to begin later than where it was known the next connection has to tell.
    pub fn ended(&mut self) {
        for delivery in &mut self.deliveries {
            delivery.withdraw();
        }
        self.fate = Fate::Ended;
    }

    /// The connection takes all it is sent, has all the credit that it needs, and nothing has come
    /// for so long that nothing more is to come.
    pub fn quiet(&mut self) {
        if self.fate == Fate::Alive {
            self.fate = Fate::Quiet;
        }
    }

    /// Whether the connection is still there.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.fate != Fate::Ended
    }

    /// The topic that has this alias on this connection.
    #[must_use]
    pub fn topic_of(&self, t: u64) -> Option<&str> {
        let delivery = &self.deliveries[*self.by_alias.get(&t)?];
        Some(&delivery.topic)
    }

    /// The aliases that are known.
    pub fn aliases(&self) -> impl Iterator<Item = u64> {
        self.by_alias.keys().copied()
    }

    // ── What is said ──

    /// A command is sent.
    ///
    /// # Panics
    ///
    /// If its `id` was used before, or if it is an `unsub` without one, of which nobody can say
    /// when it takes effect.
    pub fn says(&mut self, at: Moment, request: &Request<'_>) {
        let what = match &request.command {
            Command::Hello(hello) => {
                let all = hello.subscribe.iter().flatten();
                Question::Hello(all.map(|one| self.asks(one)).collect())
            }
            Command::Subscribe(subscribe) => Question::Subscription(self.asks(subscribe)),
            Command::Unsubscribe(unsubscribe) => {
                assert!(request.id.is_some(), "an unsub needs an id");
                Question::Unsubscription(unsubscribe.s)
            }
            Command::Publish(publish) => Question::Publication(self.publishes(at, publish)),
            Command::Auth(_)
            | Command::History(_)
            | Command::State(_)
            | Command::Credit(_)
            | Command::Pong(_)
            | Command::Bye(_) => Question::Other,
        };
        if let Some(id) = request.id {
            let before = self.commands.insert(id, Asked { what, replies: 0 });
            assert!(before.is_none(), "the id {id} was used before");
        }
    }

    fn asks(&mut self, subscribe: &Subscribe<'_>) -> usize {
        let mut subscription = Subscription::new(subscribe.s, &subscribe.topic, PolicyMode::All);
        subscription.from = match &subscribe.from {
            Start::Now => From::Now,
            Start::After(place) => From::After((*place.epoch).into(), place.offset),
            Start::Pattern(_) => From::Pattern,
            Start::Last(_) | Start::Since(_) => From::Kept,
        };
        self.subscriptions.push(subscription);
        self.subscriptions.len() - 1
    }

    fn publishes(&mut self, at: Moment, publish: &Publish<'_>) -> usize {
        let topic = match &publish.target {
            Target::Topic(topic) => &**topic,
            Target::Alias(t) => self.topic_of(*t).unwrap_or(""),
        };
        let topic = topic.into();
        self.published.push(Published {
            identity: identity(&publish.data),
            topic,
            key: publish.key.as_deref().unwrap_or("").into(),
            pseq: publish.pseq,
            echo: publish.echo,
            ttl_ms: publish.ttl_ms,
            sent: at,
            outcome: Outcome::Unknown,
        });
        self.published.len() - 1
    }

    // ── What is heard ──

    /// The server has said something.
    pub fn hears(&mut self, at: Moment, word: &ServerWord<'_>) {
        let heard = match word {
            ServerWord::Reply(id, reply) => self.reply(at, *id, reply),
            ServerWord::Push(push) => self.push(at, push),
        };
        if let Err(anomaly) = heard {
            self.found.push(anomaly);
        }
    }

    fn reply(&mut self, at: Moment, id: u64, reply: &Reply<'_>) -> Result<(), Anomaly> {
        let Some(asked) = self.commands.get_mut(&id) else {
            return Err(misplaced(format!("a reply to {id}: {reply:?}")));
        };
        asked.replies += 1;
        if asked.replies > 1 {
            let text = format!("{:?}, with the id {id}", asked.what);
            return Err(Anomaly::new(Kind::AnsweredTwice, text));
        }
        match (asked.what.clone(), reply) {
            (Question::Publication(place), Reply::Pubbed(pubbed)) => {
                self.published[place].outcome = Outcome::Placed {
                    epoch: (*pubbed.epoch).into(),
                    offset: pubbed.offset,
                    heard: at,
                };
                Ok(())
            }
            // Where it went has lost its memory.
            (Question::Publication(_), Reply::Error(error))
                if error.code == ErrorCode::Unavailable =>
            {
                Ok(())
            }
            (Question::Publication(place), Reply::Error(_)) => {
                self.published[place].outcome = Outcome::Refused;
                Ok(())
            }
            (Question::Subscription(place), Reply::Subbed(subbed)) => {
                self.granted(at, place, subbed)
            }
            (Question::Unsubscription(s), Reply::Ok(_)) => {
                self.unsubbed(s);
                Ok(())
            }
            (Question::Hello(places), Reply::Welcome(welcome)) => {
                let user = self.user.replace((*welcome.user).into());
                if let Some(user) = user.filter(|user| **user != *welcome.user)
                    && welcome.resumed == Resumed::Yes
                {
                    let text = format!("{}: {user} comes back as {}", self.name, welcome.user);
                    self.found.push(Anomaly::new(Kind::Impostor, text));
                }
                if places.len() != welcome.subscribed.len() {
                    return Err(misplaced(format!("{} outcomes", welcome.subscribed.len())));
                }
                for (place, outcome) in places.into_iter().zip(&welcome.subscribed) {
                    if let Ok(subbed) = outcome {
                        self.granted(at, place, subbed)?;
                    }
                }
                Ok(())
            }
            (Question::Other, Reply::Ok(_) | Reply::Members(_)) | (_, Reply::Error(_)) => Ok(()),
            (question, reply) => Err(misplaced(format!("{reply:?} to {question:?}"))),
        }
    }

    fn granted(&mut self, at: Moment, place: usize, subbed: &Subbed<'_>) -> Result<(), Anomaly> {
        let subscription = &mut self.subscriptions[place];
        let s = subscription.s;
        if s != subbed.s {
            let text = format!("subbed {}, and {s} was asked for", subbed.s);
            return Err(misplaced(text));
        }
        subscription.mode = subbed.policy.mode;
        let recovered = match (&subscription.from, subbed.recovered) {
            (From::Now | From::Kept, None) => false,
            (From::After(..) | From::Pattern, Some(recovered)) => recovered == Recovered::Yes,
            (from, recovered) => {
                return Err(misplaced(format!("{recovered:?} to {from:?}")));
            }
        };
        let is_resumed = matches!(subscription.from, From::After(..) | From::Pattern);
        subscription.awaits_reset = is_resumed && !recovered;
        let heard = match self.since.get(&s) {
            Some(&since) if recovered => since,
            Some(_) | None => at,
        };
        let SubbedTo::Topic { t, epoch, offset } = &subbed.to else {
            subscription.granted = Some(Granted { heard, from: None });
            if recovered {
                self.go_on(s);
            }
            return Ok(());
        };
        subscription.granted = Some(Granted {
            heard,
            from: (!recovered).then(|| ((**epoch).into(), *offset)),
        });
        let topic = subscription.subject.clone();
        if let From::After(asked, after) = &subscription.from {
            let is_there = self.by_alias.contains_key(t);
            if recovered && !is_there && (&**epoch, *offset) != (&**asked, *after) {
                let text = format!("{topic}: recovered behind {after} of {asked}: {subbed:?}");
                return Err(Anomaly::new(Kind::FalseAccount, text));
            }
            if !recovered && **asked == **epoch {
                subscription.not_recovered = Some((**epoch).into());
            }
        }
        let delivery = self.delivery(*t, &topic, epoch, *offset)?;
        delivery.subscriptions.insert(s);
        Ok(())
    }

    /// A pattern goes on where it was: so do all the topics that were known.
    fn go_on(&mut self, s: u64) {
        let known: Vec<Carried> = self.carried.clone();
        for Carried {
            topic,
            epoch,
            upto,
            subscriptions,
            state,
        } in known
        {
            let is_there = self
                .deliveries
                .iter()
                .any(|delivery| delivery.topic == topic && delivery.epoch == epoch);
            if subscriptions.contains(&s) && !is_there {
                let mut delivery = Delivery::new(UNBOUND, &topic, &epoch, upto);
                delivery.subscriptions.insert(s);
                delivery.state = state;
                self.deliveries.push(delivery);
            }
        }
    }

    /// The delivery with this alias, which is made if there is none, and must stand here.
    fn delivery(
        &mut self,
        t: u64,
        topic: &str,
        epoch: &str,
        offset: u64,
    ) -> Result<&mut Delivery, Anomaly> {
        let place = *self.by_alias.entry(t).or_insert_with(|| {
            let mut known = self.deliveries.iter();
            let unbound = known
                .position(|one| one.t == UNBOUND && *one.topic == *topic && *one.epoch == *epoch);
            unbound.unwrap_or_else(|| {
                self.deliveries.push(Delivery::new(t, topic, epoch, offset));
                self.deliveries.len() - 1
            })
        });
        let delivery = &mut self.deliveries[place];
        delivery.t = t;
        if *delivery.topic != *topic || *delivery.epoch != *epoch || offset < delivery.cursor {
            let text = format!("now it is {topic} ({epoch}) at {offset}");
            return Err(delivery.anomaly(Kind::Misplaced, &text));
        }
        delivery.prove(offset);
        delivery.skip_to(offset, What::Skipped);
        Ok(delivery)
    }

    /// A subscription has ended: whatever serves only it has, too.
    fn unsubbed(&mut self, s: u64) {
        for subscription in &mut self.subscriptions {
            subscription.ended |= subscription.s == s && subscription.granted.is_some();
        }
        let deliveries = &mut self.deliveries;
        self.by_alias.retain(|_, place| {
            let delivery = &mut deliveries[*place];
            if delivery.subscriptions.remove(&s) && delivery.subscriptions.is_empty() {
                delivery.state = State::Ended;
            }
            delivery.state != State::Ended
        });
    }

    fn push(&mut self, at: Moment, push: &Push<'_>) -> Result<(), Anomaly> {
        match push {
            Push::Topic(TopicAlias {
                t,
                topic,
                s,
                epoch,
                offset,
            }) => {
                let delivery = self.delivery(*t, topic, epoch, *offset)?;
                delivery.announced = true;
                delivery.subscriptions = s.iter().copied().collect();
                Ok(())
            }
            Push::Message(message) => {
                let delivery = self.said(message.t, message.offset.saturating_sub(1))?;
                let identity = identity(&message.data);
                delivery.message(message.offset, &identity, What::Skipped)
            }
            Push::Untopic(untopic) => {
                // It may be on its way when the last subscription ends.
                if let Some(&place) = self.by_alias.get(&untopic.t) {
                    self.deliveries[place].announced = false;
                }
                Ok(())
            }
            Push::Position(Position::Topic { t, offset }) => self
                .said(*t, offset.saturating_sub(1))?
                .account(*offset, What::Own),
            Push::Gap(gap) => self
                .said(gap.t, gap.from.saturating_sub(1))?
                .gap(gap.from, gap.to),
            Push::Conflated(conflated) => {
                let before = conflated.up_to.saturating_sub(conflated.n);
                let delivery = self.said(conflated.t, before)?;
                let cursor = delivery.cursor;
                if conflated.up_to.checked_sub(conflated.n) != Some(cursor) {
                    let text = format!("{conflated:?}");
                    return Err(delivery.anomaly(Kind::FalseAccount, &text));
                }
                delivery.account(conflated.up_to, What::Conflated)
            }
            Push::Reset(Reset::Topic { t, offset, .. }) => {
                let delivery = self.announced(*t)?;
                delivery.reset(*offset);
                let topic = delivery.topic.clone();
                for delivery in &mut self.deliveries {
                    if delivery.topic == topic && delivery.t != *t {
                        delivery.state = State::Reset;
                    }
                }
                for subscription in &mut self.subscriptions {
                    subscription.awaits_reset &= subscription.subject != topic;
                }
                Ok(())
            }
            Push::Reset(Reset::Pattern { s, .. }) => {
                for delivery in &mut self.deliveries {
                    if delivery.subscriptions.len() == 1 && delivery.subscriptions.contains(s) {
                        delivery.state = State::Unproven;
                    }
                }
                let mut granted = self.subscriptions.iter_mut().filter(|one| one.s == *s);
                let Some(subscription) = granted.next_back() else {
                    return Err(misplaced(format!("a reset of {s}")));
                };
                subscription.awaits_reset = false;
                if let Some(granted) = &mut subscription.granted {
                    granted.heard = at;
                }
                Ok(())
            }
            Push::Unsubbed(unsubbed) => {
                self.unsubbed(unsubbed.s);
                Ok(())
            }
            Push::Position(Position::Pattern { .. })
            | Push::State(_)
            | Push::TokenExpiring(_)
            | Push::GoAway(_)
            | Push::Ping(_)
            | Push::Warn(_)
            | Push::Closing(_) => Ok(()),
        }
    }

    /// The delivery of which something is said, about what follows an offset.
    fn said(&mut self, t: u64, before: u64) -> Result<&mut Delivery, Anomaly> {
        let delivery = self.announced(t)?;
        let served = delivery.subscriptions.clone();
        let waits = |one: &Subscription| one.awaits_reset && served.contains(&one.s);
        if let Some(waiting) = self.subscriptions.iter().find(|one| waits(one)) {
            let text = format!(
                "a word behind {before} before the reset of {}",
                waiting.subject
            );
            return Err(misplaced(text));
        }
        let delivery = self.announced(t)?;
        delivery.prove(before);
        Ok(delivery)
    }

    /// The delivery with an alias that the server has announced.
    fn announced(&mut self, t: u64) -> Result<&mut Delivery, Anomaly> {
        let place = self.by_alias.get(&t).copied();
        let delivery = place.map(|place| &mut self.deliveries[place]);
        delivery
            .filter(|delivery| delivery.announced)
            .ok_or_else(|| misplaced(format!("the alias {t} was not announced")))
    }
}

const fn misplaced(text: String) -> Anomaly {
    Anomaly::new(Kind::Misplaced, text)
}

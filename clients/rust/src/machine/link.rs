//! One connection of a client, as the machine sees it: what was said and waits for an answer, which
//! topics it carries, and when it is to be given up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use corewire_protocol::native::{self, Dialect};

use super::credit::{Account, Amount};
use super::delivery::Delivery;
use super::event::{GapCause, Position, Publisher};
use super::history::HistoryId;
use super::options::{Options, Window};
use super::pace::Pace;
use super::state::StateId;
use super::stop::Loss;
use super::subscription::{Epochs, StreamWord, Subscription, SubscriptionId, Ticket};

/// Topics that a connection may carry at a time. A server that announces more is not one of ours.
const TOPICS_MAX: usize = 65_536;
/// Milliseconds that a server has to answer whether it is there.
const PROBE_MS: u64 = 3000;
/// A timer that comes so many milliseconds late says that the process slept: what the server sent
/// meanwhile was not looked at.
const LATE_MS: u64 = 1000;

/// A connection's name inside its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(super) u64);

/// All subscriptions of a client, and which of them may have something new.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    all: BTreeMap<SubscriptionId, Subscription>,
    stirred: BTreeSet<SubscriptionId>,
}

impl Subscriptions {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn insert(&mut self, id: SubscriptionId, subscription: Subscription) {
        self.all.insert(id, subscription);
    }

    pub(super) fn remove(&mut self, id: SubscriptionId) -> Option<Subscription> {
        self.stirred.remove(&id);
        self.all.remove(&id)
    }

    pub(super) fn get(&self, id: SubscriptionId) -> Option<&Subscription> {
        self.all.get(&id)
    }

    /// For changes that may bring events.
    pub(super) fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        let found = self.all.get_mut(&id);
        if found.is_some() {
            self.stirred.insert(id);
        }
        found
    }

    /// For the application, which takes events.
    pub(super) fn take_from(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.all.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SubscriptionId, &Subscription)> {
        self.all.iter().map(|(id, one)| (*id, one))
    }

    /// For changes that may bring events to each.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (SubscriptionId, &mut Subscription)> {
        self.stirred.extend(self.all.keys());
        self.all.iter_mut().map(|(id, one)| (*id, one))
    }

    pub(super) fn next_stirred(&mut self) -> Option<SubscriptionId> {
        self.stirred.pop_first()
    }
}

/// How far a connection has come.
///
/// ```text
///   Opening ──opened──▶ Hello ──sent──▶ Greeting ──welcome──▶ Ready ──▶ Bye ──sent──▶ Leaving
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The driver connects and shakes hands.
    Opening {
        until_ms: u64,
    },
    /// The `hello` is to be sent.
    Hello {
        until_ms: u64,
    },
    /// The `welcome` is to come.
    Greeting {
        hello: u64,
        until_ms: u64,
    },
    Ready,
    /// Good-bye is to be said.
    Bye {
        until_ms: u64,
    },
    /// The server is to close it.
    Leaving {
        until_ms: u64,
    },
}

/// A question whether anybody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    None,
    /// To be asked.
    Due,
    Asked {
        id: u64,
        until_ms: u64,
    },
}

/// What a reply is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Awaited {
    Subscribe(SubscriptionId),
    Unsubscribe(SubscriptionId),
    Auth,
    History(HistoryId),
    /// An entry of the client's own, in this topic and namespace.
    State(Arc<str>, Arc<str>),
    /// A page of a set, by the number of its question.
    Members(StateId, u64),
    /// Everything that the server sent before is here.
    Probe,
}

/// Whether a server is told where subscriptions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Positions {
    Told,
    /// It has said that it begins with the next message only.
    Unwanted,
}

/// What a server said before it closed.
#[derive(Debug, Default)]
pub(super) struct Hints {
    pub(super) code: Option<u16>,
    pub(super) reason: Option<Arc<str>>,
    pub(super) retry_ms: Option<u64>,
    pub(super) spread_ms: Option<u64>,
    pub(super) url: Option<Arc<str>>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) stage: Stage,
    pub(super) dialect: Dialect,
    pub(super) heard_at_ms: u64,
    /// What is never exceeded by the server's silence; `None` until it has said so.
    pub(super) silence_ms: Option<u64>,
    pub(super) probe: Probe,
    /// The newest `ping` that was not answered.
    pub(super) pong: Option<u64>,
    /// Commands that are no publications, with the moment at which they were sent.
    pub(super) awaiting: BTreeMap<u64, (Awaited, u64)>,
    /// Subscriptions that the server was not told of. May name some that are gone.
    pub(super) unsaid: VecDeque<SubscriptionId>,
    /// Subscriptions that the server is to end.
    pub(super) unsubscribe: VecDeque<SubscriptionId>,
    /// Subscriptions that the server was told of, and the alias of those to one topic.
    pub(super) said: BTreeMap<SubscriptionId, Option<u64>>,
    pub(super) hello_subscriptions: Vec<SubscriptionId>,
    pub(super) limits: native::Limits,
    /// Which of the client's sessions it belongs to, once it is ready.
    pub(super) session: u64,
    pub(super) pace: Pace,
    pub(super) hints: Hints,
    /// A token to be told.
    pub(super) auth: Option<Arc<str>>,
    /// The credit of the connection.
    pub(super) account: Account,
    window: Window,
    deliveries: BTreeMap<u64, Delivery>,
    /// The aliases of `deliveries`.
    topics: BTreeMap<Arc<str>, u64>,
    /// What has come under aliases that serve nobody any more, and may serve somebody again.
    spent: BTreeMap<u64, Amount>,
    /// Subscriptions to one topic that could not go on where they were: the server is to say so
    /// before anything else.
    pub(super) lapsed: BTreeSet<SubscriptionId>,
    /// Subscriptions that the server was asked to go on with where they are, and has not answered.
    pub(super) resuming: BTreeSet<SubscriptionId>,
    /// What may be asked of this server.
    pub(super) positions: Positions,
    /// Deliveries whose credit is to be renewed.
    pub(super) due: BTreeSet<u64>,
    /// Deliveries without an alias, whose messages wait for the application; by their serials.
    parted: BTreeMap<u64, Delivery>,
    serial: u64,
    /// Of the last message: most come from few.
    publisher: Option<Publisher>,
}

impl Link {
    pub(super) fn new(id: LinkId, options: &Options, now_ms: u64) -> Self {
        let window = options.window;
        let amount = Amount {
            messages: window.messages,
            bytes: window.bytes,
        };
        Self {
            id,
            stage: Stage::Opening {
                until_ms: now_ms.saturating_add(options.connect_timeout_ms),
            },
            dialect: Dialect::Json,
            heard_at_ms: now_ms,
            silence_ms: None,
            probe: Probe::None,
            pong: None,
            awaiting: BTreeMap::new(),
            unsaid: VecDeque::new(),
            unsubscribe: VecDeque::new(),
            said: BTreeMap::new(),
            hello_subscriptions: Vec::new(),
            limits: native::Limits::default(),
            session: 0,
            pace: Pace::new(0, 0, now_ms),
            hints: Hints::default(),
            auth: None,
            account: Account::new(amount, Amount::default()),
            window,
            deliveries: BTreeMap::new(),
            topics: BTreeMap::new(),
            spent: BTreeMap::new(),
            lapsed: BTreeSet::new(),
            resuming: BTreeSet::new(),
            positions: Positions::Told,
            due: BTreeSet::new(),
            parted: BTreeMap::new(),
            serial: 0,
            publisher: None,
        }
    }

    pub(super) const fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready)
    }

    /// Whether commands may be sent: the `hello` is out, or goes out first.
    pub(super) const fn takes_commands(&self) -> bool {
        matches!(self.stage, Stage::Greeting { .. } | Stage::Ready)
    }

    /// Whether every subscription that there is has its answer here.
    pub(super) fn is_settled(&self) -> bool {
        let waits = |(awaited, _): &(Awaited, u64)| matches!(awaited, Awaited::Subscribe(_));
        self.is_ready() && self.unsaid.is_empty() && !self.awaiting.values().any(waits)
    }

    /// Questions for the past that it has not answered.
    pub(super) fn histories(&self) -> impl Iterator<Item = HistoryId> {
        self.awaiting
            .values()
            .filter_map(|(awaited, _)| match awaited {
                Awaited::History(id) => Some(*id),
                Awaited::Subscribe(_)
                | Awaited::Unsubscribe(_)
                | Awaited::Auth
                | Awaited::State(..)
                | Awaited::Members(..)
                | Awaited::Probe => None,
            })
    }

    pub(super) fn owes_credit(&self) -> bool {
        self.takes_commands() && (self.account.is_due() || !self.due.is_empty())
    }

    pub(super) fn carries(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// When something is to be done, and what it then means.
    pub(super) fn deadline_ms(&self, options: &Options) -> Option<u64> {
        let stage = match self.stage {
            Stage::Opening { until_ms }
            | Stage::Hello { until_ms }
            | Stage::Greeting { until_ms, .. }
            | Stage::Bye { until_ms }
            | Stage::Leaving { until_ms } => Some(until_ms),
            Stage::Ready => None,
        };
        let silence = self.silent_at_ms();
        let reply = self.reply_due_ms(options);
        let probe = match self.probe {
            Probe::Asked { until_ms, .. } => Some(until_ms),
            Probe::None | Probe::Due => None,
        };
        [stage, silence, reply, probe].into_iter().flatten().min()
    }

    fn silent_at_ms(&self) -> Option<u64> {
        match (self.stage, self.probe) {
            (Stage::Ready, Probe::None) => Some(self.heard_at_ms.saturating_add(self.silence_ms?)),
            (_, _) => None,
        }
    }

    fn reply_due_ms(&self, options: &Options) -> Option<u64> {
        if self.probe != Probe::None {
            return None; // its answer counts
        }
        let (_, (_, sent_at_ms)) = self.awaiting.first_key_value()?;
        Some(sent_at_ms.saturating_add(options.reply_timeout_ms))
    }

    /// Whether the connection is to be given up at this moment. A timer that comes late asks first.
    pub(super) fn timeout(&mut self, options: &Options, now_ms: u64) -> Option<Loss> {
        match self.stage {
            Stage::Opening { until_ms } if until_ms <= now_ms => {
                return Some(Loss::TimedOut("connecting"));
            }
            Stage::Hello { until_ms } | Stage::Greeting { until_ms, .. } if until_ms <= now_ms => {
                return Some(Loss::TimedOut("the server's welcome"));
            }
            Stage::Bye { until_ms } | Stage::Leaving { until_ms } if until_ms <= now_ms => {
                return Some(Loss::TimedOut("the end of the connection"));
            }
            Stage::Opening { .. }
            | Stage::Hello { .. }
            | Stage::Greeting { .. }
            | Stage::Bye { .. }
            | Stage::Leaving { .. }
            | Stage::Ready => {}
        }
        if let Probe::Asked { until_ms, .. } = self.probe {
            return (until_ms <= now_ms).then_some(Loss::Silent);
        }
        if let Some(silent_at_ms) = self.silent_at_ms()
            && silent_at_ms <= now_ms
        {
            if now_ms - silent_at_ms < LATE_MS {
                return Some(Loss::Silent);
            }
            self.ask();
        }
        if let Some(due_ms) = self.reply_due_ms(options)
            && due_ms <= now_ms
        {
            if now_ms - due_ms < LATE_MS {
                return Some(Loss::TimedOut("the answer to a command"));
            }
            self.ask();
        }
        None
    }

    /// Asks whether the server is there, unless that was asked already.
    pub(super) fn ask(&mut self) {
        if self.is_ready() && self.probe == Probe::None {
            self.probe = Probe::Due;
        }
    }

    pub(super) const fn probe_sent(&mut self, id: u64, now_ms: u64) {
        self.probe = Probe::Asked {
            id,
            until_ms: now_ms.saturating_add(PROBE_MS),
        };
    }

    /// The server is there.
    pub(super) fn heard(&mut self, now_ms: u64) {
        self.heard_at_ms = now_ms;
    }

    /// The server has answered the probe. What else was asked before it slept has its full time.
    pub(super) fn probe_answered(&mut self, now_ms: u64) {
        self.probe = Probe::None;
        for (_, sent_at_ms) in self.awaiting.values_mut() {
            *sent_at_ms = now_ms;
        }
    }

    // Topics and their messages.

    /// A topic comes from `position` on, for these subscriptions. It may come over `other`, too, the
    /// connection that this one replaces or is replaced by: whatever a subscription has had it
    /// leaves out.
    pub(super) fn topic(
        &mut self,
        t: u64,
        topic: &Arc<str>,
        position: &Position,
        routes: &[SubscriptionId],
        subscriptions: &mut Subscriptions,
        other: Option<&Self>,
    ) -> Result<(), Loss> {
        let epochs = self.epochs(topic, other);
        if let Some(&before) = self.topics.get(topic)
            && before != t
        {
            self.untopic(before);
        }
        if !self.deliveries.contains_key(&t) {
            if self.deliveries.len() >= TOPICS_MAX {
                return Err(broken("it announces more than 65536 topics"));
            }
            self.serial += 1;
            let spent = self.spent.remove(&t).unwrap_or_default();
            let delivery = Delivery::new(topic, position, self.serial, (self.window, spent));
            if delivery.account().is_due() {
                self.due.insert(t);
            }
            self.deliveries.insert(t, delivery);
            self.topics.insert(topic.clone(), t);
        }
        let Some(delivery) = self.deliveries.get_mut(&t) else {
            return Ok(());
        };
        if *delivery.topic() != *topic {
            return Err(broken("it gives the alias of a topic to another one"));
        }
        if delivery.epoch() != &position.epoch {
            delivery.set_epoch(&position.epoch);
        }
        let mut taken = Amount::default();
        for id in routes {
            let Some(subscription) = subscriptions.get_mut(*id) else {
                continue; // unsubscribed meanwhile
            };
            if epochs == Epochs::Kept && subscription.is_before(topic, position) {
                taken = taken.plus(delivery.remove_route(*id));
                continue; // the next connection brings what lies between, and all that follows
            }
            delivery.add_route(*id, subscription.conflates());
            if self.lapsed.contains(id) {
                continue; // until the server says from where on it knows
            }
            begin(*id, topic, (position, epochs), subscriptions, |name| {
                self.topics.contains_key(name) || other.is_some_and(|other| other.carries(name))
            })?;
        }
        self.took(t, taken);
        Ok(())
    }

    /// Whether a change of the topic's epoch that it tells is one. See [`topic`](Self::topic).
    fn epochs(&self, topic: &str, other: Option<&Self>) -> Epochs {
        match other {
            Some(next) if next.id > self.id && next.carries(topic) => Epochs::Kept,
            Some(_) | None => Epochs::Followed,
        }
    }

    /// What the server says of the topic behind an alias. See [`topic`](Self::topic).
    pub(super) fn word(
        &mut self,
        t: u64,
        word: &StreamWord,
        subscriptions: &mut Subscriptions,
        other: Option<&Self>,
    ) -> Result<(), Loss> {
        let known = self.deliveries.get(&t).map(Delivery::topic);
        let epochs = known.map_or(Epochs::Followed, |topic| self.epochs(topic, other));
        let Some(delivery) = self.deliveries.get_mut(&t) else {
            return Err(broken("it uses an alias that it did not announce"));
        };
        if let StreamWord::Message(message) = word {
            let amount = Amount::message(message.data.len() as u64);
            delivery.received(amount);
        }
        if let StreamWord::Reset { position, .. } = word {
            delivery.set_epoch(&position.epoch);
            for id in delivery.routes() {
                self.lapsed.remove(&id);
            }
        }
        let ticket = Ticket {
            link: self.id,
            t,
            serial: delivery.serial(),
            bytes: 0,
        };
        let taken = delivery.hand_out(word, (ticket, epochs), subscriptions);
        self.took(t, taken);
        Ok(())
    }

    /// The topic's name and epoch.
    pub(super) fn names(&self, t: u64) -> Result<(&Arc<str>, &Arc<str>), Loss> {
        self.deliveries
            .get(&t)
            .map(|delivery| (delivery.topic(), delivery.epoch()))
            .ok_or_else(|| broken("it uses an alias that it did not announce"))
    }

    pub(super) fn untopic(&mut self, t: u64) {
        self.spent.remove(&t);
        if let Some(delivery) = self.deliveries.remove(&t) {
            self.topics.remove(delivery.topic());
            self.due.remove(&t);
            if delivery.outstanding() != Amount::default() {
                self.parted.insert(delivery.serial(), delivery);
            }
        }
    }

    /// Who published a message, shared with the last one if it is the same.
    pub(super) fn publisher(&mut self, said: &native::Publisher<'_>) -> Publisher {
        match &mut self.publisher {
            Some(last) if *last.user == *said.user && *last.conn == *said.conn => {
                last.pseq = said.pseq;
                last.clone()
            }
            last => {
                let publisher = Publisher {
                    user: (&*said.user).into(),
                    conn: (&*said.conn).into(),
                    pseq: said.pseq,
                };
                *last = Some(publisher.clone());
                publisher
            }
        }
    }

    /// A subscription gets nothing more over this connection.
    pub(super) fn leave(&mut self, id: SubscriptionId) {
        self.lapsed.remove(&id);
        let mut taken = Amount::default();
        for (t, delivery) in &mut self.deliveries {
            let more = delivery.remove_route(id);
            if more != Amount::default() && delivery.account().is_due() {
                self.due.insert(*t);
            }
            taken = taken.plus(more);
        }
        for delivery in self.parted.values_mut() {
            taken = taken.plus(delivery.remove_route(id));
        }
        self.parted
            .retain(|_, delivery| delivery.outstanding() != Amount::default());
        self.took_all(taken);
    }

    /// The server has ended a subscription: nobody's deliveries are gone at its end, too.
    pub(super) fn left(&mut self) {
        let gone: Vec<_> = self
            .deliveries
            .iter()
            .filter(|(_, delivery)| delivery.routes().next().is_none())
            .map(|(t, _)| *t)
            .collect();
        for t in gone {
            if let Some(delivery) = self.deliveries.remove(&t) {
                self.topics.remove(delivery.topic());
                self.due.remove(&t);
                if self.spent.len() < TOPICS_MAX {
                    self.spent.insert(t, delivery.spent());
                }
            }
        }
    }

    /// The application has taken a message that came by this ticket.
    pub(super) fn taken(&mut self, id: SubscriptionId, ticket: Ticket) {
        if let Some(delivery) = self.deliveries.get_mut(&ticket.t)
            && delivery.serial() == ticket.serial
        {
            let taken = delivery.taken(id, Amount::message(ticket.bytes));
            self.took(ticket.t, taken);
        } else if let Some(delivery) = self.parted.get_mut(&ticket.serial) {
            let taken = delivery.taken(id, Amount::message(ticket.bytes));
            if delivery.outstanding() == Amount::default() {
                self.parted.remove(&ticket.serial);
            }
            self.took_all(taken);
        }
    }

    /// The new totals of a delivery's credit.
    pub(super) fn grant(&mut self, t: u64) -> Option<u64> {
        self.deliveries
            .get_mut(&t)
            .map(|delivery| delivery.account_mut().grant().messages)
    }

    fn took(&mut self, t: u64, amount: Amount) {
        self.took_all(amount);
        if let Some(delivery) = self.deliveries.get(&t)
            && delivery.account().is_due()
        {
            self.due.insert(t);
        }
    }

    const fn took_all(&mut self, amount: Amount) {
        self.account.take(amount);
    }
}

/// A topic begins for one subscription; if it knows too many, it forgets those that do not come any
/// more.
fn begin(
    id: SubscriptionId,
    topic: &Arc<str>,
    (position, epochs): (&Position, Epochs),
    subscriptions: &mut Subscriptions,
    keep: impl Fn(&str) -> bool,
) -> Result<(), Loss> {
    let Some(subscription) = subscriptions.get_mut(id) else {
        return Ok(());
    };
    let begin = |subscription: &mut Subscription| {
        subscription.topic_begins(topic, position, (GapCause::Away, epochs))
    };
    if begin(subscription).is_ok() {
        return Ok(());
    }
    subscription.forget(keep);
    begin(subscription).map_err(|_| broken("it announces more than 65536 topics"))
}

pub(super) fn broken(rule: &str) -> Loss {
    Loss::Broken(rule.into())
}

//! Topics, patterns and deliveries of one core: who is to be sent what.
//!
//! A publication comes in ([`Hub::publication`]), goes into its topic's tail, and every delivery
//! that was up to date moves from the topic's list to its client's list of those that are behind.
//! That is all: what is sent is decided when the client can take it ([`super::fill`]). A delivery
//! that is behind already costs nothing more, however many messages follow.

use std::collections::VecDeque;
use std::sync::Arc;

use corewire_protocol::native::{ErrorCode, ErrorReply, PolicyMode, Subbed, SubbedTo};
use slotmap::{SlotMap, new_key_type};

use crate::engine::Effects;
use crate::hash::{Map, Seed, Table};
use crate::ids::CoreId;

use super::client::{ClientKey, Clients, Subscribed, Subscription};
use super::delivery::{Alias, Deliveries, Delivery, DeliveryKey, InForce, Of, Standing};
use super::latest::Latest;
use super::mail::{Mail, TooManyTopics};
use super::options::Options;
use super::patterns::{PatternSubscriber, Patterns};
use super::publication::{Loss, Publication, TopicId};
use super::refusal::{ended_before_it_began, refused, too_many_topics};
use super::tail::Item;
use super::topic::{Answer, Interest, Life, Outcome, Topic, Waiting, Wanted};

new_key_type! {
    /// The name of a topic on its core.
    pub(super) struct TopicKey;
    /// The name of a pattern on its core.
    pub(super) struct PatternKey;
}

/// The subscribers' side of a core.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) topics: SlotMap<TopicKey, Topic>,
    by_name: Table<TopicKey>,
    by_alias: Map<u64, TopicKey>,
    pub(super) deliveries: Deliveries,
    pairs: Map<(ClientKey, TopicKey), DeliveryKey>,
    pub(super) patterns: Patterns,
    /// Home cores that have lost their memory, and the generation of patterns in which that was
    /// last.
    pub(super) restarts: Map<CoreId, u64>,
    backlog: Backlog,
    /// What home cores are to be told.
    pub(super) outgoing: VecDeque<Outgoing>,
    topics_max: usize,
    pattern_topics_max: usize,
    backlog_bytes: u32,
    seed: Seed,
}

/// What the tails of all topics hold.
#[derive(Debug)]
struct Backlog {
    bytes: u64,
    bytes_max: u64,
    /// The messages in the tails, oldest first; and some that are gone already.
    ages: VecDeque<(TopicKey, u64)>,
}

/// What home cores are to be told.
#[derive(Debug)]
pub(super) enum Outgoing {
    Interest(Box<str>),
    NoInterest(Arc<TopicId>),
    PatternInterest(Box<str>),
    NoPatternInterest(Box<str>),
}

impl Hub {
    pub(super) fn new(options: &Options, seed: &Seed) -> Self {
        Self {
            topics: SlotMap::with_key(),
            by_name: Table::new(),
            by_alias: Map::with_hasher(seed.clone()),
            deliveries: Deliveries::default(),
            pairs: Map::with_hasher(seed.clone()),
            patterns: Patterns::new(seed),
            restarts: Map::with_hasher(seed.clone()),
            backlog: Backlog {
                bytes: 0,
                bytes_max: options.backlog_budget_bytes as u64,
                ages: VecDeque::new(),
            },
            outgoing: VecDeque::new(),
            topics_max: options.topics_max,
            pattern_topics_max: options.pattern_topics_max,
            backlog_bytes: options.backlog_bytes,
            seed: seed.clone(),
        }
    }

    // ── Subscriptions to a topic ──

    /// A client wants a topic. `None`: its home core is asked first.
    pub(super) fn subscribe(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        name: &str,
        (wanted, answer): (Wanted, Answer),
    ) -> Option<Result<Subbed<'static>, ErrorReply<'static>>> {
        let key = match self.find(name) {
            Some(key) => key,
            None if self.topics.len() >= self.topics_max => return Some(Err(too_many_topics())),
            None => self.add(name),
        };
        let topic = &mut self.topics[key];
        if let Some(of_client) = clients.get_mut(client) {
            let to = Subscribed::Topic(key);
            of_client.subscriptions.insert((wanted.s, to).into());
        }
        let waiting = Waiting {
            client,
            wanted,
            answer,
        };
        match &mut topic.interest {
            Interest::Granted => {
                let result = self.join(clients, client, key, wanted);
                if result.is_err()
                    && let Some(of_client) = clients.get_mut(client)
                {
                    of_client.subscriptions.remove(wanted.s);
                }
                return Some(result);
            }
            Interest::Asked(others) => others.push(waiting),
            Interest::None => {
                topic.interest = Interest::Asked(vec![waiting]);
                let name = topic.name.clone();
                self.outgoing.push_back(Outgoing::Interest(name));
            }
        }
        None
    }

    /// A home core has answered. Returns the outcome for each who waited.
    pub(super) fn granted(
        &mut self,
        clients: &mut Clients,
        name: &str,
        outcome: &Result<(Arc<TopicId>, u64), TooManyTopics>,
        effects: &mut Effects<Mail>,
    ) -> Vec<Outcome> {
        let Some(mut key) = self.find(name) else {
            return Vec::new();
        };
        if let (Ok((id, _)), Some(known)) = (outcome, &self.topics[key].id)
            && known.alias != id.alias
        {
            key = self.begin_life(clients, key, effects);
        }
        let topic = &mut self.topics[key];
        let Interest::Asked(waiting) = std::mem::replace(&mut topic.interest, Interest::None)
        else {
            return Vec::new();
        };
        if let Ok((id, offset)) = outcome {
            topic.interest = Interest::Granted;
            self.identify(key, id, *offset);
        }
        let mut outcomes = Vec::new();
        let mut resets = false;
        for Waiting {
            client,
            wanted,
            answer,
        } in waiting
        {
            if !clients.contains_key(client) {
                continue;
            }
            let result = match outcome {
                Ok(_) => self.join(clients, client, key, wanted),
                Err(TooManyTopics) => Err(too_many_topics()),
            };
            if result.is_err()
                && let Some(of_client) = clients.get_mut(client)
            {
                of_client.subscriptions.remove(wanted.s);
            }
            if answer == Answer::Reset
                && result.is_ok()
                && let Some(delivery) = self.delivery_mut(client, key)
            {
                delivery.alias = Alias::UnknownAfterLoss;
                resets = true;
            }
            outcomes.push(Outcome {
                client,
                answer,
                s: wanted.s,
                result,
            });
        }
        // Told at once: there may be no message for long.
        if resets {
            self.wake(clients, key, effects);
        }
        self.tidy_topic(key);
        outcomes
    }

    /// A client wants no more what home cores were asked for. Returns what it is to be told, if it
    /// waits for their answer.
    pub(super) fn stop_waiting(
        &mut self,
        client: ClientKey,
        subscription: Subscription,
    ) -> Option<Outcome> {
        let waiting = match subscription.to {
            Subscribed::Topic(key) => match &mut self.topics.get_mut(key)?.interest {
                Interest::Asked(waiting) => waiting,
                Interest::None | Interest::Granted => return None,
            },
            Subscribed::Pattern(key) => self.patterns.waiting(key)?,
        };
        let s = subscription.s;
        let is_it = |known: &Waiting| known.client == client && known.wanted.s == s;
        let place = waiting.iter().position(is_it)?;
        let answer = waiting.remove(place).answer;
        (answer != Answer::Reset).then(|| Outcome {
            client,
            answer,
            s,
            result: Err(ended_before_it_began()),
        })
    }

    /// A client wants a topic no more.
    pub(super) fn unsubscribe(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        key: TopicKey,
        s: u64,
    ) {
        if let Some(&delivery_key) = self.pairs.get(&(client, key))
            && let Some(delivery) = self.deliveries.get_mut(delivery_key)
            && delivery.subscriptions.contains(&s)
        {
            delivery.subscriptions.retain(|&other| other != s);
            delivery.exact -= 1;
            let (exact, none) = (delivery.exact, delivery.subscriptions.is_empty());
            self.topics[key].exact -= 1;
            // Only patterns ask for it now, or nobody.
            if exact == 0
                && let Some(of_client) = clients.get_mut(client)
            {
                of_client.by_pattern += 1;
            }
            if none {
                self.drop_delivery(clients, delivery_key);
            }
        }
        // What was before a restart of its home core may still be on its way.
        if !self.restarts.is_empty() {
            self.stop_serving(clients, client, s);
        }
        self.tidy_topic(key);
    }

    // ── Subscriptions to a pattern ──

    /// A client wants a pattern no more.
    pub(super) fn unsubscribe_pattern(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        key: PatternKey,
        s: u64,
    ) {
        if let Some(text) = self.patterns.leave(key, client, s) {
            self.outgoing.push_back(Outgoing::NoPatternInterest(text));
        }
        self.stop_serving(clients, client, s);
    }

    // ── Clients ──

    /// A client has gone, with all its subscriptions.
    pub(super) fn leave(&mut self, clients: &mut Clients, client: ClientKey) {
        let Some(of_client) = clients.get_mut(client) else {
            return;
        };
        let subscriptions = std::mem::take(&mut of_client.subscriptions);
        while let Some(key) = clients.get(client).and_then(|of| of.deliveries.first()) {
            let exact = self
                .deliveries
                .get(key)
                .map_or(0, |delivery| delivery.exact);
            if let Some(topic) = self.drop_delivery(clients, key) {
                let topic_of_it = &mut self.topics[topic];
                if topic_of_it.life == Life::Going {
                    topic_of_it.exact -= exact;
                }
                self.tidy_topic(topic);
            }
        }
        for subscription in subscriptions.iter() {
            match subscription.to {
                Subscribed::Topic(key) => self.tidy_topic(key),
                Subscribed::Pattern(key) => {
                    if let Some(text) = self.patterns.leave(key, client, subscription.s) {
                        self.outgoing.push_back(Outgoing::NoPatternInterest(text));
                    }
                }
            }
        }
    }

    // ── Publications ──

    /// A message has come.
    pub(super) fn publication(
        &mut self,
        clients: &mut Clients,
        publication: Arc<Publication>,
        effects: &mut Effects<Mail>,
    ) {
        let offset = publication.offset;
        let Some(key) = self.topic_for(&publication.topic, offset - 1, clients, effects) else {
            return;
        };
        let topic = &mut self.topics[key];
        // What came before the core has asked anew is no news.
        if offset <= topic.end {
            return;
        }
        if offset > topic.end + 1 {
            self.lost_between(key, offset - 1);
        }
        let topic = &mut self.topics[key];
        topic.end = offset;
        if topic.deliveries == 0 {
            return;
        }
        if let Some(latest) = &mut topic.latest {
            latest.push(&publication);
        }
        self.append(key, Item::Message(publication));
        self.wake(clients, key, effects);
    }

    /// Messages did not fit into the line to this core.
    pub(super) fn lost(&mut self, clients: &mut Clients, loss: &Loss, effects: &mut Effects<Mail>) {
        let to = loss.take();
        let Some(key) = self.topic_for(&loss.topic, loss.from - 1, clients, effects) else {
            return;
        };
        if to > self.topics[key].end {
            self.lost_between(key, to);
            self.wake(clients, key, effects);
        }
    }

    /// The topic with an alias, if this client is sent it.
    pub(super) fn topic_of(&self, client: ClientKey, alias: u64) -> Option<TopicKey> {
        let key = *self.by_alias.get(&alias)?;
        self.pairs.contains_key(&(client, key)).then_some(key)
    }

    /// The deliveries that serve a subscription.
    pub(super) fn deliveries_of(
        &self,
        clients: &Clients,
        client: ClientKey,
        s: u64,
    ) -> Vec<DeliveryKey> {
        let first = clients.get(client).and_then(|of| of.deliveries.first());
        std::iter::successors(first, |&key| self.deliveries.next(key, Of::Own))
            .filter(|&key| {
                let delivery = self.deliveries.get(key);
                delivery.is_some_and(|delivery| delivery.subscriptions.contains(&s))
            })
            .collect()
    }

    /// A client's delivery of a topic.
    pub(super) fn delivery_of(&self, client: ClientKey, topic: TopicKey) -> Option<DeliveryKey> {
        self.pairs.get(&(client, topic)).copied()
    }

    // ── Parts ──

    fn delivery_mut(&mut self, client: ClientKey, topic: TopicKey) -> Option<&mut Delivery> {
        self.deliveries.get_mut(*self.pairs.get(&(client, topic))?)
    }

    fn find(&self, name: &str) -> Option<TopicKey> {
        let hash = self.seed.hash(name);
        self.by_name
            .find(hash, |&key| *self.topics[key].name == *name)
            .copied()
    }

    pub(super) fn add(&mut self, name: &str) -> TopicKey {
        let generation = self.patterns.generation().wrapping_sub(1);
        let key = self.topics.insert(Topic::new(name.into(), generation));
        let (topics, seed) = (&self.topics, &self.seed);
        self.by_name
            .insert_unique(seed.hash(name), key, |&key| seed.hash(&*topics[key].name));
        key
    }

    /// The topic of a publication, if anybody here wants it.
    fn topic_for(
        &mut self,
        id: &Arc<TopicId>,
        before: u64,
        clients: &mut Clients,
        effects: &mut Effects<Mail>,
    ) -> Option<TopicKey> {
        let key = match self.by_alias.get(&id.alias) {
            Some(&key) => key,
            None => {
                let known = self.find(&id.name);
                if !self.patterns.any(&id.name) {
                    return None;
                }
                let key = match known {
                    // Asked for as well, and found by a pattern first.
                    Some(key) if self.topics[key].id.is_none() => key,
                    Some(old) => self.begin_life(clients, old, effects),
                    None if self.topics.len() >= self.topics_max => return None,
                    None => self.add(&id.name),
                };
                self.identify(key, id, before);
                key
            }
        };
        self.look_at_patterns(clients, key);
        if self.topics[key].deliveries == 0 {
            self.tidy_topic(key);
        }
        self.topics.contains_key(key).then_some(key)
    }

    /// The topic has a name for the wire, and its next message follows this offset.
    fn identify(&mut self, key: TopicKey, id: &Arc<TopicId>, offset: u64) {
        let topic = &mut self.topics[key];
        if topic.id.is_none() {
            topic.id = Some(Arc::clone(id));
            topic.end = offset;
            self.by_alias.insert(id.alias, key);
        }
    }

    /// Makes the deliveries that patterns ask for, if there are other patterns than before.
    fn look_at_patterns(&mut self, clients: &mut Clients, key: TopicKey) {
        let generation = self.patterns.generation();
        let topic = &mut self.topics[key];
        if topic.generation == generation {
            return;
        }
        topic.generation = generation;
        let home = topic.id.as_ref().map(|id| id.home);
        let restart = home.and_then(|home| self.restarts.get(&home).copied());
        for PatternSubscriber {
            client,
            wanted,
            since,
        } in self.patterns.subscribers(&topic.name)
        {
            if let Some(delivery) = self.delivery_mut(client, key) {
                if !delivery.subscriptions.contains(&wanted.s) {
                    delivery.subscriptions.push(wanted.s);
                    delivery.alias = delivery.alias.again();
                }
            } else {
                self.make_room(clients, client);
                let delivery = self.deliver(clients, client, key, wanted);
                if let Some(delivery) = self.deliveries.get_mut(delivery) {
                    delivery.subscriptions.push(wanted.s);
                    if restart.is_some_and(|restart| since < restart) {
                        delivery.alias = Alias::UnknownAfterLoss;
                    }
                }
                if let Some(of_client) = clients.get_mut(client) {
                    of_client.by_pattern += 1;
                }
            }
        }
    }

    /// Forgets the topic that a client was sent least lately, if it knows too many by patterns.
    fn make_room(&mut self, clients: &mut Clients, client: ClientKey) {
        let Some(of_client) = clients.get(client) else {
            return;
        };
        if of_client.by_pattern < self.pattern_topics_max {
            return;
        }
        let mut next = of_client.deliveries.first();
        while let Some(key) = next {
            next = self.deliveries.next(key, Of::Own);
            let Some(delivery) = self.deliveries.get(key) else {
                return;
            };
            if delivery.exact == 0 && delivery.standing == Standing::Current {
                let (topic, alias) = (delivery.topic, delivery.alias);
                if let Some(id) = &self.topics[topic].id
                    && alias == Alias::Announced
                    && let Some(of_client) = clients.get_mut(client)
                {
                    of_client.forgotten.push(id.alias);
                }
                self.drop_delivery(clients, key);
                // Its next message must find the patterns again.
                if let Some(topic) = self.topics.get_mut(topic) {
                    topic.generation = topic.generation.wrapping_sub(1);
                }
                self.tidy_topic(topic);
                return;
            }
        }
    }

    /// Adds a subscription to the client's delivery of the topic, which is made if there is none.
    fn join(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        key: TopicKey,
        wanted: Wanted,
    ) -> Result<Subbed<'static>, ErrorReply<'static>> {
        let delivery_key = match self.pairs.get(&(client, key)) {
            None => self.deliver(clients, client, key, wanted),
            Some(&known) => {
                let Some(delivery) = self.deliveries.get(known) else {
                    return Err(refused(ErrorCode::Internal, "a delivery is missing"));
                };
                let other = wanted
                    .policy
                    .is_some_and(|policy| policy != delivery.policy);
                if other || wanted.credit.is_some() {
                    return Err(refused(
                        ErrorCode::Already,
                        "sub.policy, sub.credit: another subscription of this connection gets this topic \
                         already; leave them out to share what is in force there",
                    ));
                }
                if delivery.subscriptions.contains(&wanted.s) {
                    return Err(refused(
                        ErrorCode::Already,
                        "sub.s: subscribed to this topic already",
                    ));
                }
                if delivery.exact == 0
                    && let Some(of_client) = clients.get_mut(client)
                {
                    of_client.by_pattern -= 1;
                }
                known
            }
        };
        let topic = &mut self.topics[key];
        topic.exact += 1;
        let (Some(delivery), Some(id)) = (self.deliveries.get_mut(delivery_key), &topic.id) else {
            return Err(refused(ErrorCode::Internal, "a delivery is missing"));
        };
        delivery.exact += 1;
        delivery.subscriptions.push(wanted.s);
        delivery.alias = delivery.alias.again();
        Ok(Subbed {
            s: wanted.s,
            to: SubbedTo::Topic {
                t: id.alias,
                epoch: id.epoch.to_string().into(),
                offset: delivery.cursor,
            },
            recovered: None,
            replay_to: None,
            policy: delivery.policy.told(),
        })
    }

    /// Makes a delivery from the next message on.
    fn deliver(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        key: TopicKey,
        wanted: Wanted,
    ) -> DeliveryKey {
        let topic = &mut self.topics[key];
        let policy = wanted
            .policy
            .unwrap_or_else(|| InForce::of(None, self.backlog_bytes));
        let mut delivery = Delivery::new(client, key, topic.end, policy);
        if let Some(messages) = wanted.credit {
            delivery.credit_mut().raise(Some(messages), None);
        }
        if policy.mode == PolicyMode::Latest {
            let latest = topic
                .latest
                .get_or_insert_with(|| Box::new(Latest::new(topic.end, self.seed.clone())));
            latest.subscribers += 1;
        }
        topic.deliveries += 1;
        let delivery_key = self.deliveries.insert(delivery);
        self.deliveries
            .push_back(&mut topic.current, delivery_key, Of::Line);
        if let Some(of_client) = clients.get_mut(client) {
            self.deliveries
                .push_back(&mut of_client.deliveries, delivery_key, Of::Own);
        }
        self.pairs.insert((client, key), delivery_key);
        delivery_key
    }

    /// Takes a delivery out of all lists. Returns its topic, which may have to be tidied up.
    pub(super) fn drop_delivery(
        &mut self,
        clients: &mut Clients,
        key: DeliveryKey,
    ) -> Option<TopicKey> {
        let delivery = self.deliveries.get(key)?;
        let (client, topic_key) = (delivery.client, delivery.topic);
        let (standing, policy, exact) = (delivery.standing, delivery.policy, delivery.exact);
        let topic = &mut self.topics[topic_key];
        topic.deliveries -= 1;
        if let Some(of_client) = clients.get_mut(client) {
            self.deliveries
                .unlink(&mut of_client.deliveries, key, Of::Own);
            of_client.by_pattern -= usize::from(exact == 0);
            if standing == Standing::Behind {
                self.deliveries.unlink(&mut of_client.behind, key, Of::Line);
            }
        }
        match standing {
            Standing::Current => self.deliveries.unlink(&mut topic.current, key, Of::Line),
            Standing::Behind | Standing::Stalled => {
                self.backlog.bytes -= topic.one_less_behind();
            }
        }
        if policy.mode == PolicyMode::Latest
            && let Some(latest) = &mut topic.latest
        {
            latest.subscribers -= 1;
            if latest.subscribers == 0 {
                topic.latest = None;
            }
        }
        self.pairs.remove(&(client, topic_key));
        self.deliveries.remove(key);
        Some(topic_key)
    }

    /// All was sent: the delivery waits for the next message. Returns what became of it.
    pub(super) fn caught_up(&mut self, clients: &mut Clients, key: DeliveryKey) -> Life {
        let Some(delivery) = self.deliveries.get_mut(key) else {
            return Life::Over;
        };
        delivery.standing = Standing::Current;
        let (client, topic_key) = (delivery.client, delivery.topic);
        let topic = &mut self.topics[topic_key];
        self.deliveries.push_back(&mut topic.current, key, Of::Line);
        self.backlog.bytes -= topic.one_less_behind();
        let life = topic.life;
        if self.backlog.bytes == 0 {
            self.backlog.ages.clear();
        }
        if life == Life::Over {
            self.drop_delivery(clients, key);
            self.tidy_topic(topic_key);
        } else if let Some(of_client) = clients.get_mut(client) {
            self.deliveries
                .unlink(&mut of_client.deliveries, key, Of::Own);
            self.deliveries
                .push_back(&mut of_client.deliveries, key, Of::Own);
        }
        life
    }

    /// Every delivery that was up to date is behind now.
    pub(super) fn wake(
        &mut self,
        clients: &mut Clients,
        key: TopicKey,
        effects: &mut Effects<Mail>,
    ) {
        let topic = &mut self.topics[key];
        while let Some(delivery_key) = self.deliveries.pop_front(&mut topic.current, Of::Line) {
            let Some(delivery) = self.deliveries.get_mut(delivery_key) else {
                continue;
            };
            delivery.standing = Standing::Behind;
            topic.behind += 1;
            if let Some(client) = clients.get_mut(delivery.client) {
                self.deliveries
                    .push_back(&mut client.behind, delivery_key, Of::Line);
                if let Some(conn) = client.conn {
                    effects.ready(conn);
                }
            }
        }
    }

    /// A delivery has credit again.
    pub(super) fn unstall(&mut self, clients: &mut Clients, key: DeliveryKey) {
        if let Some(delivery) = self.deliveries.get_mut(key)
            && delivery.standing == Standing::Stalled
            && !delivery.is_out_of_credit()
            && let Some(client) = clients.get_mut(delivery.client)
        {
            delivery.standing = Standing::Behind;
            self.deliveries.push_back(&mut client.behind, key, Of::Line);
        }
    }

    fn lost_between(&mut self, key: TopicKey, to: u64) {
        let topic = &mut self.topics[key];
        let from = topic.end + 1;
        topic.end = to;
        if let Some(latest) = &mut topic.latest {
            latest.lost(to);
        }
        if topic.deliveries > 0 {
            self.append(key, Item::Lost { from, to });
        }
    }

    fn append(&mut self, key: TopicKey, item: Item) {
        let topic = &mut self.topics[key];
        let (before, offset) = (topic.tail.bytes(), item.last());
        topic.tail.push(item);
        self.backlog.bytes += topic.tail.bytes() - before;
        self.backlog.ages.push_back((key, offset));
        self.backlog.bytes -= topic.tail.trim(u64::from(self.backlog_bytes));
        // Over the budget of all topics the oldest message goes, wherever it is.
        while self.backlog.bytes > self.backlog.bytes_max
            && let Some((oldest, offset)) = self.backlog.ages.pop_front()
        {
            if let Some(topic) = self.topics.get_mut(oldest) {
                self.backlog.bytes -= topic.tail.trim_to(offset);
            }
        }
        if self.backlog.ages.len() > AGES_MAX {
            let topics = &self.topics;
            self.backlog.ages.retain(|&(key, offset)| {
                topics
                    .get(key)
                    .is_some_and(|topic| topic.tail.holds(offset))
            });
        }
    }

    /// Ends the interest that nobody has any more, and forgets a topic without deliveries.
    pub(super) fn tidy_topic(&mut self, key: TopicKey) {
        let Some(topic) = self.topics.get_mut(key) else {
            return;
        };
        if topic.exact == 0
            && matches!(topic.interest, Interest::Granted)
            && let Some(id) = &topic.id
        {
            topic.interest = Interest::None;
            self.outgoing
                .push_back(Outgoing::NoInterest(Arc::clone(id)));
        }
        if topic.deliveries == 0 && matches!(topic.interest, Interest::None) {
            self.remove(key);
        }
    }

    pub(super) fn remove(&mut self, key: TopicKey) {
        let Some(topic) = self.topics.get_mut(key) else {
            return;
        };
        self.backlog.bytes -= topic.tail.clear();
        if let Some(id) = &topic.id {
            self.by_alias.remove(&id.alias);
        }
        self.forget_name(key);
        self.topics.remove(key);
    }

    /// Another topic may have this one's name from now on.
    pub(super) fn forget_name(&mut self, key: TopicKey) {
        let hash = self.seed.hash(&*self.topics[key].name);
        if let Ok(entry) = self.by_name.find_entry(hash, |&known| known == key) {
            entry.remove();
        }
    }
}

/// Messages remembered by age before those that are gone are looked for.
const AGES_MAX: usize = 1 << 20;

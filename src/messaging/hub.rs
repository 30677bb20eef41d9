//! Topics, patterns and deliveries of one core: who is to be sent what.
//!
//! A publication comes in ([`Hub::publication`]), goes into its topic's tail, and every delivery
//! that was up to date moves from the topic's list to its client's list of those that are behind.
//! That is all: what is sent is decided when the client can take it ([`super::fill`]). A delivery
//! that is behind already costs nothing more, however many messages follow.

use std::collections::VecDeque;
use std::sync::Arc;

use corewire_protocol::native::{Cause, PolicyMode};
use slotmap::{SlotMap, new_key_type};

use crate::engine::Effects;
use crate::hash::{Map, Seed, Table};
use crate::ids::CoreId;

use super::backlog::Backlog;
use super::bye::Bye;
use super::catch_up::{CatchUp, PageKey};
use super::client::{ClientKey, Clients};
use super::delivery::{Alias, Deliveries, Delivery, DeliveryKey, Of, Standing};
use super::home::{Cursor, Where};
use super::mail::Mail;
use super::options::Options;
use super::patterns::{PatternSubscriber, Patterns};
use super::publication::{Loss, Publication, TopicId};
use super::subscriptions::{Subscribed, Subscription};
use super::tail::Item;
use super::topic::{Called, Interest, Life, Topic};
use super::walk::WalkNumber;

/// Deliveries of a client that are looked at, at once, whether they may be forgotten.
const LOOKS: usize = 16;
/// Topics that wait for a client cannot be forgotten. Of those that its patterns have brought there
/// are at most so many times [`pattern_topics_max`](Options::pattern_topics_max).
const BURDEN: usize = 2;

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
    pub(super) by_name: Table<TopicKey>,
    by_alias: Table<TopicKey>,
    pub(super) deliveries: Deliveries,
    pub(super) patterns: Patterns,
    /// Home cores that have lost their memory, and the generation of patterns in which that was
    /// last.
    pub(super) restarts: Map<CoreId, u64>,
    pub(super) backlog: Backlog,
    pub(super) catch_up: CatchUp,
    /// Beginnings that home cores were asked for so far.
    pub(super) seeks: u64,
    /// What home cores are to be told.
    pub(super) outgoing: VecDeque<Outgoing>,
    /// Things that were looked at one after the other since somebody asked.
    steps: usize,
    pub(super) topics_max: usize,
    pattern_topics_max: usize,
    pub(super) backlog_bytes: u32,
    pub(super) seed: Seed,
}

/// What home cores are to be told.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A topic is wanted; and somebody wants to begin somewhere, and the number of that question.
    Interest(Box<str>, Option<(u64, Where)>),
    NoInterest(Arc<TopicId>),
    /// A pattern is wanted; and somebody wants to know what there was before.
    PatternInterest(Box<str>, Option<WalkNumber>),
    NoPatternInterest(Box<str>),
    /// A page of a topic's log.
    Read {
        page: PageKey,
        id: Arc<TopicId>,
        after: u64,
    },
    /// A page of topics.
    Walk {
        number: WalkNumber,
        home: CoreId,
        from: Option<Cursor>,
    },
    /// How far home cores are.
    AskMarks,
}

impl Hub {
    pub(super) fn new(options: &Options, (node, cores): (&str, usize), seed: &Seed) -> Self {
        Self {
            topics: SlotMap::with_key(),
            by_name: Table::new(),
            by_alias: Table::new(),
            deliveries: Deliveries::new(seed.clone()),
            patterns: Patterns::new(node, cores, seed),
            restarts: Map::with_hasher(seed.clone()),
            backlog: Backlog::new(options.backlog_budget_bytes as u64),
            catch_up: CatchUp::new(options.catch_up_pages, seed),
            seeks: 0,
            outgoing: VecDeque::new(),
            steps: 0,
            topics_max: options.topics_max,
            pattern_topics_max: options.pattern_topics_max,
            backlog_bytes: options.backlog_bytes,
            seed: seed.clone(),
        }
    }

    /// So many things have been looked at one after the other.
    pub(super) const fn walked(&mut self, steps: usize) {
        self.steps += steps;
    }

    /// How many have been since the last call: work that no message shows.
    pub(super) const fn take_steps(&mut self) -> usize {
        std::mem::replace(&mut self.steps, 0)
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
        self.end_walk(clients, client, s);
        if let Some(of_client) = clients.get_mut(client)
            && let Some(talk) = &mut of_client.talk
        {
            talk.resets.remove(&s);
        }
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
                Subscribed::Pattern { key, .. } => {
                    self.end_walk(clients, client, subscription.s);
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
        self.patterns
            .advance(publication.topic.home, publication.mark);
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
        let key = self.find_alias(alias)?;
        self.delivery_of(client, key).map(|_| key)
    }

    /// The deliveries that serve a subscription. Those of a pattern are found among all of its client.
    pub(super) fn deliveries_of(
        &mut self,
        clients: &Clients,
        client: ClientKey,
        Subscription { s, to }: Subscription,
    ) -> Vec<DeliveryKey> {
        // What was before a restart of its home core may still be on its way.
        if let Subscribed::Topic(topic) = to
            && self.restarts.is_empty()
        {
            return self.delivery_of(client, topic).into_iter().collect();
        }
        let first = clients.get(client).and_then(|of| of.deliveries.first());
        let mut looked_at = 0;
        let found = std::iter::successors(first, |&key| self.deliveries.next(key, Of::Own))
            .filter(|&key| {
                let delivery = self.deliveries.get(key);
                looked_at += 1;
                delivery.is_some_and(|delivery| delivery.subscriptions.contains(&s))
            })
            .collect();
        self.walked(looked_at);
        found
    }

    /// A client's delivery of a topic.
    pub(super) fn delivery_of(&self, client: ClientKey, topic: TopicKey) -> Option<DeliveryKey> {
        self.deliveries.find(client, topic)
    }

    // ── Parts ──

    pub(super) fn delivery_mut(
        &mut self,
        client: ClientKey,
        topic: TopicKey,
    ) -> Option<&mut Delivery> {
        self.deliveries.get_mut(self.delivery_of(client, topic)?)
    }

    pub(super) fn find(&self, name: &str) -> Option<TopicKey> {
        let hash = self.seed.hash(name);
        self.by_name
            .find(hash, |&key| self.topics[key].called.name() == name)
            .copied()
    }

    pub(super) fn add(&mut self, name: &str) -> TopicKey {
        let generation = self.patterns.generation().wrapping_sub(1);
        let key = self.topics.insert(Topic::new(name.into(), generation));
        let (topics, seed) = (&self.topics, &self.seed);
        self.by_name.insert_unique(seed.hash(name), key, |&key| {
            seed.hash(topics[key].called.name())
        });
        key
    }

    /// The topic with an alias.
    fn find_alias(&self, alias: u64) -> Option<TopicKey> {
        let is_it = |&key: &TopicKey| alias_of(&self.topics[key]) == Some(alias);
        self.by_alias.find(self.seed.hash(&alias), is_it).copied()
    }

    /// The topic of a publication, if anybody here wants it.
    fn topic_for(
        &mut self,
        id: &Arc<TopicId>,
        before: u64,
        clients: &mut Clients,
        effects: &mut Effects<Mail>,
    ) -> Option<TopicKey> {
        if self.find_alias(id.alias).is_none() && !self.patterns.any(&id.name) {
            return None;
        }
        let key = self.topic_with(id, before, clients, effects)?;
        let overburdened = self.look_at_patterns(clients, key);
        for client in overburdened {
            self.give_up_on(clients, client, effects);
        }
        if self.topics.get(key)?.deliveries == 0 {
            self.tidy_topic(key);
        }
        self.topics.contains_key(key).then_some(key)
    }

    /// The topic with an id, whose next message follows an offset if it is new here. `None` if there
    /// is no room for it.
    pub(super) fn topic_with(
        &mut self,
        id: &Arc<TopicId>,
        before: u64,
        clients: &mut Clients,
        effects: &mut Effects<Mail>,
    ) -> Option<TopicKey> {
        if let Some(key) = self.find_alias(id.alias) {
            return Some(key);
        }
        let key = match self.find(&id.name) {
            // Asked for as well, and found by a pattern first.
            Some(key) if self.topics[key].called.id().is_none() => key,
            Some(old) => self.begin_life(clients, old, effects),
            None if self.topics.len() >= self.topics_max => return None,
            None => self.add(&id.name),
        };
        self.identify(key, id, before);
        Some(key)
    }

    /// The topic has a name for the wire, and its next message follows this offset.
    pub(super) fn identify(&mut self, key: TopicKey, id: &Arc<TopicId>, offset: u64) {
        let topic = &mut self.topics[key];
        if topic.called.id().is_none() {
            topic.called = Called::ById(Arc::clone(id));
            topic.end = offset;
            let (topics, seed) = (&self.topics, &self.seed);
            self.by_alias
                .insert_unique(seed.hash(&id.alias), key, |&key| {
                    alias_of(&topics[key]).map_or(0, |alias| seed.hash(&alias))
                });
        }
    }

    /// Makes the deliveries that patterns ask for, if there are other patterns than before. Returns
    /// clients for which more topics wait than can be forgotten.
    fn look_at_patterns(&mut self, clients: &mut Clients, key: TopicKey) -> Vec<ClientKey> {
        let mut overburdened = Vec::new();
        let generation = self.patterns.generation();
        let topic = &mut self.topics[key];
        if topic.generation == generation {
            return overburdened;
        }
        topic.generation = generation;
        let end = topic.end;
        let home = topic.called.id().map(|id| id.home);
        let restart = home.and_then(|home| self.restarts.get(&home).copied());
        let subscribers = self.patterns.subscribers(topic.called.name(), home);
        self.walked(subscribers.len());
        for PatternSubscriber {
            client,
            wanted,
            since,
            ..
        } in subscribers
        {
            if let Some(delivery) = self.delivery_mut(client, key) {
                if !delivery.subscriptions.contains(&wanted.s) {
                    delivery.subscriptions.push(wanted.s);
                    delivery.alias = delivery.alias.again();
                }
            } else {
                self.make_room(clients, client);
                let delivery = self.deliver(clients, client, key, (wanted, end));
                if let Some(delivery) = self.deliveries.get_mut(delivery) {
                    delivery.subscriptions.push(wanted.s);
                    if restart.is_some_and(|restart| since < restart) {
                        delivery.alias = Alias::UnknownAfter(Cause::Node);
                    }
                }
                if let Some(of_client) = clients.get_mut(client) {
                    of_client.by_pattern += 1;
                    of_client.by_message += 1;
                    if of_client.by_message as usize > BURDEN * self.pattern_topics_max {
                        overburdened.push(client);
                    }
                }
            }
        }
        overburdened
    }

    /// Forgets topics that a client was not sent lately, if it knows too many by patterns. What waits
    /// for it is not forgotten, nor what it has named.
    pub(super) fn make_room(&mut self, clients: &mut Clients, client: ClientKey) {
        for _ in 0..LOOKS {
            let Some(of_client) = clients.get_mut(client) else {
                return;
            };
            if (of_client.by_pattern as usize) < self.pattern_topics_max {
                return;
            }
            let Some(key) = of_client.deliveries.first() else {
                return;
            };
            let Some(delivery) = self.deliveries.get(key) else {
                return;
            };
            if delivery.exact == 0 && delivery.standing == Standing::Current {
                self.forget_delivery(clients, key);
            } else {
                // It is looked at again behind the others.
                let own = &mut of_client.deliveries;
                self.deliveries.unlink(own, key, Of::Own);
                self.deliveries.push_back(own, key, Of::Own);
            }
        }
    }

    /// Forgets that a client knows a topic of which nothing waits for it.
    fn forget_delivery(&mut self, clients: &mut Clients, key: DeliveryKey) {
        let Some(delivery) = self.deliveries.get(key) else {
            return;
        };
        let Delivery {
            client,
            topic,
            alias,
            cursor,
            ..
        } = *delivery;
        if let (Some(id), Some(of_client)) =
            (self.topics[topic].called.id(), clients.get_mut(client))
        {
            if of_client.walks > 0 {
                self.patterns.remember(client, id, cursor);
            }
            if alias == Alias::Announced {
                of_client.talk().forgotten.push(id.alias);
            }
        }
        self.drop_delivery(clients, key);
        // Its next message must find the patterns again.
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.generation = topic.generation.wrapping_sub(1);
        }
        self.tidy_topic(topic);
    }

    /// More topics wait for a client than may: it is sent nothing more, and its connection ends.
    fn give_up_on(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        effects: &mut Effects<Mail>,
    ) {
        self.leave(clients, client);
        if let Some(of_client) = clients.get_mut(client) {
            of_client.talk().bye = Some(Bye::TooManyTopics);
            if let Some(conn) = of_client.conn {
                effects.ready(conn);
            }
        }
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
        if let Some(page) = delivery.page {
            self.catch_up.release(page);
        }
        let topic = &mut self.topics[topic_key];
        topic.deliveries -= 1;
        if let Some(of_client) = clients.get_mut(client) {
            self.deliveries
                .unlink(&mut of_client.deliveries, key, Of::Own);
            if exact == 0 {
                of_client.one_less_by_pattern();
            }
            of_client.behind_count -= u32::from(standing != Standing::Current);
            if standing == Standing::Behind {
                self.deliveries.unlink(&mut of_client.behind, key, Of::Line);
            }
        }
        match standing {
            Standing::Current => self.deliveries.unlink(&mut topic.current, key, Of::Line),
            Standing::Behind | Standing::Stalled | Standing::Reading => {
                self.backlog.bytes -= topic.one_less_behind();
            }
        }
        if policy.mode == PolicyMode::Latest
            && let Some(latest) = &mut topic.latest
        {
            latest.subscribers -= 1;
            if latest.subscribers == 0 {
                self.backlog.bytes -= latest.bytes();
                topic.latest = None;
            }
        }
        self.deliveries.remove(key);
        Some(topic_key)
    }

    /// All was sent: the delivery waits for the next message, or goes if none will come. Returns the
    /// alias that its client then is to forget, if it was told it.
    pub(super) fn caught_up(&mut self, clients: &mut Clients, key: DeliveryKey) -> Option<u64> {
        let delivery = self.deliveries.get_mut(key)?;
        delivery.standing = Standing::Current;
        let (client, topic_key, alias) = (delivery.client, delivery.topic, delivery.alias);
        let topic = &mut self.topics[topic_key];
        let life = topic.life;
        self.deliveries.push_back(&mut topic.current, key, Of::Line);
        self.backlog.bytes -= topic.one_less_behind();
        if self.backlog.bytes == 0 {
            self.backlog.ages.clear();
        }
        if let Some(of_client) = clients.get_mut(client) {
            of_client.behind_count -= 1;
            self.deliveries
                .move_to_back(&mut of_client.deliveries, key, Of::Own);
        }
        match life {
            Life::Going => None,
            Life::Over => {
                let known = alias_of(&self.topics[topic_key]).filter(|_| alias == Alias::Announced);
                self.drop_delivery(clients, key);
                self.tidy_topic(topic_key);
                known
            }
        }
    }

    /// Every delivery that was up to date is behind now.
    pub(super) fn wake(
        &mut self,
        clients: &mut Clients,
        key: TopicKey,
        effects: &mut Effects<Mail>,
    ) {
        let topic = &mut self.topics[key];
        // All of the list goes, so nobody is taken out of it: each one's links are those of its
        // client's list from here on.
        let mut next = std::mem::take(&mut topic.current).first();
        while let Some(delivery_key) = next {
            next = self.deliveries.next(delivery_key, Of::Line);
            let Some(delivery) = self.deliveries.get_mut(delivery_key) else {
                continue;
            };
            delivery.standing = Standing::Behind;
            topic.behind += 1;
            if let Some(client) = clients.get_mut(delivery.client) {
                client.behind_count += 1;
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

    /// Ends the interest that nobody has any more, and forgets a topic without deliveries.
    pub(super) fn tidy_topic(&mut self, key: TopicKey) {
        let Some(topic) = self.topics.get_mut(key) else {
            return;
        };
        if topic.exact == 0
            && !topic.is_sought()
            && topic.interest == Interest::Granted
            && let Some(id) = topic.called.id()
        {
            self.outgoing
                .push_back(Outgoing::NoInterest(Arc::clone(id)));
            topic.interest = Interest::None;
        }
        if topic.deliveries == 0 && topic.interest == Interest::None {
            self.remove(key);
        }
    }

    pub(super) fn remove(&mut self, key: TopicKey) {
        let Some(topic) = self.topics.get_mut(key) else {
            return;
        };
        self.backlog.bytes -= topic.clear();
        if let Some(alias) = alias_of(topic)
            && let Ok(entry) = self
                .by_alias
                .find_entry(self.seed.hash(&alias), |&known| known == key)
        {
            entry.remove();
        }
        self.forget_name(key);
        self.topics.remove(key);
    }

    /// Another topic may have this one's name from now on.
    pub(super) fn forget_name(&mut self, key: TopicKey) {
        let hash = self.seed.hash(self.topics[key].called.name());
        if let Ok(entry) = self.by_name.find_entry(hash, |&known| known == key) {
            entry.remove();
        }
    }
}

/// A topic's alias, once its home core has told it.
fn alias_of(topic: &Topic) -> Option<u64> {
    topic.called.id().map(|id| id.alias)
}

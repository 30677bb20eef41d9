//! How subscriptions to a topic begin.
//!
//! The topic's home core is asked once for each core, and grants its interest at an offset `h`: what
//! comes behind `h` is sent to this core, and the line between the two keeps its order. Whoever
//! wants to begin earlier is answered in the same line where that is (a [`Begin`]). So the grant is
//! the gate, and nothing has to be kept behind it: the delivery reads from the log what lies between
//! its beginning and what has come to this core, and goes on with what comes
//! ([`catch_up`](super::catch_up)).

use std::sync::Arc;

use corewire_protocol::native::{
    Cause, ErrorCode, ErrorReply, PolicyMode, Recovered, Subbed, SubbedTo,
};

use crate::engine::Effects;

use super::client::{ClientKey, Clients};
use super::delivery::{Alias, Delivery, DeliveryKey, InForce, Of, Standing};
use super::home::{Proof, Where};
use super::hub::{Hub, Outgoing, TopicKey};
use super::latest::Latest;
use super::mail::{Granted, Mail, TooManyTopics};
use super::place::Begin;
use super::publication::TopicId;
use super::refusal::{ended_before_it_began, refused, too_many_topics};
use super::subscriptions::{Subscribed, Subscription};
use super::topic::{Answer, Interest, Outcome, Seeking, Waiting, Waitlist, Wanted};

impl Hub {
    /// A client wants a topic, `from` the next message on if that is `None`. `None`: its home core
    /// is asked first.
    pub(super) fn subscribe(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        (name, from): (&str, Option<Where>),
        (wanted, answer): (Wanted, Answer),
    ) -> Option<Result<Subbed<'static>, ErrorReply<'static>>> {
        let key = match self.find(name) {
            Some(key) => key,
            None if self.topics.len() >= self.topics_max => return Some(Err(too_many_topics())),
            None => self.add(name),
        };
        if let Some(of_client) = clients.get_mut(client) {
            let to = Subscribed::Topic(key);
            of_client.subscriptions.insert((wanted.s, to).into());
        }
        let topic = &mut self.topics[key];
        let waiting = Waiting {
            client,
            wanted,
            answer,
        };
        if let Some(from) = from {
            if topic.interest == Interest::None {
                topic.interest = Interest::Asked;
            }
            self.seeks += 1;
            topic.waitlist().seeking.push(Seeking {
                number: self.seeks,
                from,
                waiting,
            });
            self.ask(key, Some(self.seeks));
            return None;
        }
        match topic.interest {
            Interest::Granted => {
                let result = self.join(clients, client, key, (wanted, Begin::LIVE));
                if result.is_err()
                    && let Some(of_client) = clients.get_mut(client)
                {
                    of_client.subscriptions.remove(wanted.s);
                }
                return Some(result);
            }
            Interest::Asked => topic.waitlist().joining.push(waiting),
            Interest::None => {
                topic.interest = Interest::Asked;
                topic.waitlist().joining.push(waiting);
                self.ask(key, None);
            }
        }
        None
    }

    /// Has a topic's home core asked for it, and where a beginning is.
    pub(super) fn ask(&mut self, key: TopicKey, seek: Option<u64>) {
        let Some(topic) = self.topics.get(key) else {
            return;
        };
        let mut all = topic.waitlist.iter().flat_map(|waitlist| &waitlist.seeking);
        let seek = seek
            .and_then(|number| all.find(|one| one.number == number))
            .map(|one| (one.number, one.from.clone()));
        let name = topic.called.name().into();
        self.outgoing.push_back(Outgoing::Interest(name, seek));
    }

    /// A home core has answered. Returns the outcome for each who waited.
    pub(super) fn granted(
        &mut self,
        clients: &mut Clients,
        granted: &Granted,
        effects: &mut Effects<Mail>,
    ) -> Vec<Outcome> {
        let Some(mut key) = self.find(&granted.subject) else {
            return Vec::new();
        };
        let outcome = &granted.outcome;
        if let (Ok((id, _)), Some(known)) = (outcome, self.topics[key].called.id())
            && known.alias != id.alias
        {
            key = self.begin_life(clients, key, effects);
        }
        let topic = &mut self.topics[key];
        let mut answered = Vec::new();
        if let Some(waitlist) = &mut topic.waitlist {
            // Who begins earlier comes first: others may share what that leads to.
            let seeking = &mut waitlist.seeking;
            if let Some((number, begin)) = granted.begin
                && let Some(place) = seeking.iter().position(|one| one.number == number)
            {
                answered.push((seeking.remove(place).waiting, begin));
            }
            let joining = waitlist.joining.drain(..);
            answered.extend(joining.map(|one| (one, Begin::LIVE)));
        }
        topic.waitlist.take_if(|waitlist| waitlist.is_empty());
        if topic.interest == Interest::Asked {
            topic.interest = match outcome {
                Ok(_) => Interest::Granted,
                Err(TooManyTopics) => Interest::None,
            };
        }
        if let Ok((id, offset)) = outcome {
            self.identify(key, id, *offset);
        }
        let outcomes = answered
            .into_iter()
            .filter_map(|one| self.answered(clients, key, (one, outcome), effects))
            .collect();
        self.tidy_topic(key);
        outcomes
    }

    /// What becomes of one who waited.
    fn answered(
        &mut self,
        clients: &mut Clients,
        key: TopicKey,
        ((waiting, begin), granted): (
            (Waiting, Begin),
            &Result<(Arc<TopicId>, u64), TooManyTopics>,
        ),
        effects: &mut Effects<Mail>,
    ) -> Option<Outcome> {
        let Waiting {
            client,
            wanted,
            answer,
        } = waiting;
        if !clients.contains_key(client) {
            return None;
        }
        let result = match granted {
            Ok(_) => self.join(clients, client, key, (wanted, begin)),
            Err(TooManyTopics) => Err(too_many_topics()),
        };
        if result.is_err()
            && let Some(of_client) = clients.get_mut(client)
        {
            of_client.subscriptions.remove(wanted.s);
        }
        if let Some(delivery_key) = self.delivery_of(client, key)
            && result.is_ok()
            && let Some(delivery) = self.deliveries.get_mut(delivery_key)
        {
            if answer == Answer::Reset {
                delivery.alias = Alias::UnknownAfter(Cause::Node);
            }
            // Told at once: there may be no message for long.
            if delivery.cursor < self.topics[key].end
                || matches!(delivery.alias, Alias::UnknownAfter(_))
            {
                self.rouse(clients, delivery_key, effects);
            }
        }
        Some(Outcome {
            client,
            answer,
            s: wanted.s,
            result,
        })
    }

    /// A client wants no more what home cores were asked for. Returns what it is to be told, if it
    /// waits for their answer.
    pub(super) fn stop_waiting(
        &mut self,
        client: ClientKey,
        subscription: Subscription,
    ) -> Option<Outcome> {
        let s = subscription.s;
        let answer = match subscription.to {
            Subscribed::Topic(key) => {
                let is_it = |known: &Waiting| known.client == client && known.wanted.s == s;
                let Waitlist { joining, seeking } =
                    self.topics.get_mut(key)?.waitlist.as_deref_mut()?;
                let sought = seeking.iter().position(|one| is_it(&one.waiting));
                if let Some(place) = sought {
                    seeking.remove(place).waiting.answer
                } else {
                    let place = joining.iter().position(is_it)?;
                    joining.remove(place).answer
                }
            }
            Subscribed::Pattern { key, .. } => self.patterns.stop_waiting(key, (client, s))?,
        };
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
        if let Some(delivery_key) = self.delivery_of(client, key)
            && let Some(delivery) = self.deliveries.get_mut(delivery_key)
            && delivery.subscriptions.contains(&s)
        {
            delivery.subscriptions.retain(|other| *other != s);
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

    /// Adds a subscription to the client's delivery of the topic, which is made if there is none.
    fn join(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        key: TopicKey,
        (wanted, begin): (Wanted, Begin),
    ) -> Result<Subbed<'static>, ErrorReply<'static>> {
        let end = self.topics[key].end;
        let (delivery_key, proof) = match self.delivery_of(client, key) {
            None => {
                let cursor = match begin.proof {
                    Proof::Exact | Proof::NotAsked => begin.after.min(end),
                    Proof::Lost(_) => end,
                };
                let delivery = self.deliver(clients, client, key, (wanted, cursor));
                (delivery, begin.proof)
            }
            Some(known) => (known, self.share(clients, client, known, (wanted, begin))?),
        };
        let topic = &mut self.topics[key];
        topic.exact += 1;
        let (Some(delivery), Some(id)) = (self.deliveries.get_mut(delivery_key), topic.called.id())
        else {
            return Err(refused(ErrorCode::Internal, "a delivery is missing"));
        };
        delivery.exact += 1;
        delivery.subscriptions.push(wanted.s);
        delivery.alias = match proof {
            Proof::Lost(cause) => Alias::UnknownAfter(cause),
            Proof::Exact | Proof::NotAsked => delivery.alias.again(),
        };
        Ok(Subbed {
            s: wanted.s,
            to: SubbedTo::Topic {
                t: id.alias,
                epoch: id.epoch.to_string().into(),
                offset: delivery.cursor,
            },
            recovered: match proof {
                Proof::NotAsked => None,
                Proof::Exact => Some(Recovered::Yes),
                Proof::Lost(_) => Some(Recovered::No),
            },
            replay_to: (delivery.cursor < delivery.replay_to).then_some(delivery.replay_to),
            policy: delivery.policy.told(),
        })
    }

    /// Whether another subscription can share a delivery, and what can be said of where it wants
    /// to begin: a delivery goes on from where it is, unless nothing was sent of it yet.
    fn share(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        known: DeliveryKey,
        (wanted, begin): (Wanted, Begin),
    ) -> Result<Proof, ErrorReply<'static>> {
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
            of_client.one_less_by_pattern();
        }
        let Some(delivery) = self.deliveries.get_mut(known) else {
            return Err(refused(ErrorCode::Internal, "a delivery is missing"));
        };
        let covered = begin.after == u64::MAX || delivery.begin_at(begin.after);
        Ok(match begin.proof {
            Proof::Exact if !covered => Proof::Lost(Cause::Retention),
            proof @ (Proof::Exact | Proof::NotAsked | Proof::Lost(_)) => proof,
        })
    }

    /// Says again where a subscription begins: another one may have had it begin earlier since.
    pub(super) fn begins(&self, client: ClientKey, subbed: &mut Subbed<'_>) {
        if let SubbedTo::Topic { t, offset, .. } = &mut subbed.to
            && let Some(topic) = self.topic_of(client, *t)
            && let Some(delivery) = self.delivery_of(client, topic)
            && let Some(delivery) = self.deliveries.get(delivery)
        {
            *offset = delivery.cursor;
            let replays = delivery.cursor < delivery.replay_to;
            subbed.replay_to = replays.then_some(delivery.replay_to);
        }
    }

    /// Makes a delivery of what is behind `cursor`. It is to be [roused](Self::rouse) if that is
    /// not the next message.
    pub(super) fn deliver(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        key: TopicKey,
        (wanted, cursor): (Wanted, u64),
    ) -> DeliveryKey {
        let topic = &mut self.topics[key];
        let policy = wanted
            .policy
            .unwrap_or_else(|| InForce::of(None, self.backlog_bytes));
        let mut delivery = Delivery::new(client, key, (cursor, topic.end), policy);
        if let Some(messages) = wanted.credit {
            delivery.credit_mut().begin(messages);
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
        delivery_key
    }

    /// A delivery has something to say.
    pub(super) fn rouse(
        &mut self,
        clients: &mut Clients,
        key: DeliveryKey,
        effects: &mut Effects<Mail>,
    ) {
        let Some(delivery) = self.deliveries.get_mut(key) else {
            return;
        };
        if delivery.standing != Standing::Current {
            return;
        }
        delivery.standing = Standing::Behind;
        let (client, topic) = (delivery.client, delivery.topic);
        let topic = &mut self.topics[topic];
        topic.behind += 1;
        self.deliveries.unlink(&mut topic.current, key, Of::Line);
        if let Some(client) = clients.get_mut(client) {
            client.behind_count += 1;
            self.deliveries.push_back(&mut client.behind, key, Of::Line);
            if let Some(conn) = client.conn {
                effects.ready(conn);
            }
        }
    }
}

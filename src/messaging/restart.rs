//! What becomes of topics when their home core has lost its memory.

use std::collections::BTreeMap;

use crate::engine::Effects;
use crate::ids::CoreId;

use super::client::{ClientKey, Clients};
use super::delivery::Of;
use super::hub::{Hub, TopicKey};
use super::mail::Mail;
use super::subscriptions::Subscribed;
use super::topic::{Answer, Interest, Life, Waiting, Wanted};

impl Hub {
    /// A home core has lost its memory. Its topics go on under new names, as far as somebody has
    /// subscribed to them; their subscribers are told that messages may be missing.
    pub(super) fn home_restarted(
        &mut self,
        clients: &mut Clients,
        (home, home_of): (CoreId, impl Fn(&str) -> CoreId),
        effects: &mut Effects<Mail>,
    ) {
        // Until it has granted the patterns anew, it sends nothing that they match.
        self.restarts.insert(home, self.patterns.generation());
        self.pages_lost(clients, home, effects);
        self.walks_lost(clients, home, effects);
        // What it was asked for may be lost, too.
        let homeless: Vec<TopicKey> = self
            .topics
            .iter()
            .filter(|(_, topic)| topic.life == Life::Going && home_of(topic.called.name()) == home)
            .map(|(key, _)| key)
            .collect();
        let mut subscribers = self.exact(clients);
        for old in homeless {
            let mut waiting = subscribers.remove(&old).unwrap_or_default();
            let new = self.begin_life(clients, old, effects);
            for Waiting { client, wanted, .. } in &waiting {
                move_subscription(clients, *client, wanted.s, new);
            }
            let topic = &mut self.topics[new];
            let waitlist = topic.waitlist();
            waiting.append(&mut waitlist.joining);
            waitlist.joining = waiting;
            if waitlist.is_empty() {
                self.remove(new);
                continue;
            }
            let seeking: Vec<u64> = waitlist.seeking.iter().map(|one| one.number).collect();
            topic.interest = Interest::Asked;
            self.ask(new, None);
            for number in seeking {
                self.ask(new, Some(number));
            }
        }
    }

    /// Who has subscribed to which topic itself, and is to be told that it begins anew. Looks at every
    /// delivery of the core.
    fn exact(&self, clients: &Clients) -> BTreeMap<TopicKey, Vec<Waiting>> {
        let mut all: BTreeMap<TopicKey, Vec<Waiting>> = BTreeMap::new();
        for delivery in self.deliveries.all() {
            let key = delivery.topic;
            let Some(client) = clients.get(delivery.client) else {
                continue;
            };
            // Totals begin anew with the alias, as far as the client can know.
            let mut credit = delivery.credit.as_ref().and_then(|credit| credit.first);
            for &s in &delivery.subscriptions {
                let known = client.subscriptions.get(s).map(|known| known.to);
                if known == Some(Subscribed::Topic(key)) {
                    let wanted = Wanted {
                        s,
                        policy: Some(delivery.policy),
                        credit: credit.take(),
                    };
                    all.entry(key).or_default().push(Waiting {
                        client: delivery.client,
                        wanted,
                        answer: Answer::Reset,
                    });
                }
            }
        }
        all
    }

    /// No delivery is for this subscription any more.
    pub(super) fn stop_serving(&mut self, clients: &mut Clients, client: ClientKey, s: u64) {
        let mut next = clients.get(client).and_then(|of| of.deliveries.first());
        while let Some(delivery_key) = next {
            self.walked(1);
            next = self.deliveries.next(delivery_key, Of::Own);
            let Some(delivery) = self.deliveries.get_mut(delivery_key) else {
                break;
            };
            let topic = delivery.topic;
            delivery.subscriptions.retain(|other| *other != s);
            if delivery.subscriptions.is_empty() {
                self.drop_delivery(clients, delivery_key);
                self.tidy_topic(topic);
            }
        }
    }

    /// Nothing comes any more under the alias of a topic: its home core has given it another one.
    /// Whoever waits for its home core's answer waits for it under its next alias.
    pub(super) fn begin_life(
        &mut self,
        clients: &mut Clients,
        old: TopicKey,
        effects: &mut Effects<Mail>,
    ) -> TopicKey {
        let topic = &mut self.topics[old];
        let name: Box<str> = topic.called.name().into();
        let interest = std::mem::replace(&mut topic.interest, Interest::None);
        let waitlist = topic.waitlist.take();
        self.end_life(clients, old, effects);
        let new = self.add(&name);
        if let Some(list) = &waitlist {
            let seeking = list.seeking.iter().map(|one| &one.waiting);
            for Waiting { client, wanted, .. } in list.joining.iter().chain(seeking) {
                move_subscription(clients, *client, wanted.s, new);
            }
        }
        let topic = &mut self.topics[new];
        topic.waitlist = waitlist;
        if interest == Interest::Asked {
            topic.interest = interest;
        }
        new
    }

    /// Nothing comes any more under this alias. What waits is still sent.
    pub(super) fn end_life(
        &mut self,
        clients: &mut Clients,
        key: TopicKey,
        effects: &mut Effects<Mail>,
    ) {
        let topic = &mut self.topics[key];
        topic.life = Life::Over;
        topic.interest = Interest::None;
        topic.exact = 0;
        self.forget_name(key);
        self.wake(clients, key, effects);
        if self.topics[key].deliveries == 0 {
            self.remove(key);
        }
    }
}

/// A client's subscription is to a topic under its next alias.
fn move_subscription(clients: &mut Clients, client: ClientKey, s: u64, to: TopicKey) {
    if let Some(client) = clients.get_mut(client) {
        client.subscriptions.remove(s);
        let to = Subscribed::Topic(to);
        client.subscriptions.insert((s, to).into());
    }
}

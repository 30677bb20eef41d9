//! What becomes of topics when their home core has lost its memory.

use crate::engine::Effects;
use crate::ids::CoreId;

use super::client::{ClientKey, Clients, Subscribed};
use super::hub::{Hub, Outgoing, TopicKey};
use super::mail::Mail;
use super::topic::{Answer, Interest, Life, Waiting, Wanted};

impl Hub {
    /// A home core has lost its memory. Its topics go on under new names, as far as somebody has
    /// subscribed to them; their subscribers are told that messages may be missing.
    pub(super) fn home_restarted(
        &mut self,
        clients: &mut Clients,
        home: CoreId,
        effects: &mut Effects<Mail>,
    ) {
        let homeless: Vec<TopicKey> = self
            .topics
            .iter()
            .filter(|(_, topic)| topic.id.as_ref().is_some_and(|id| id.home == home))
            .map(|(key, _)| key)
            .collect();
        for old in homeless {
            let exact = self.exact(clients, old);
            let asked = match &mut self.topics[old].interest {
                Interest::Asked(waiting) => std::mem::take(waiting),
                Interest::None | Interest::Granted => Vec::new(),
            };
            let name = self.topics[old].name.clone();
            self.end_life(clients, old, effects);
            let resets = exact.into_iter().map(|(client, wanted)| Waiting {
                client,
                wanted,
                answer: Answer::Reset,
            });
            let waiting: Vec<Waiting> = resets.chain(asked).collect();
            if waiting.is_empty() {
                continue;
            }
            let new = self.add(&name);
            for Waiting { client, wanted, .. } in &waiting {
                if let Some(of_client) = clients.get_mut(*client) {
                    of_client.subscriptions.remove(wanted.s);
                    let to = Subscribed::Topic(new);
                    of_client.subscriptions.insert((wanted.s, to).into());
                }
            }
            self.topics[new].interest = Interest::Asked(waiting);
            self.outgoing.push_back(Outgoing::Interest(name));
        }
    }

    /// What clients have subscribed to a topic itself.
    fn exact(&self, clients: &Clients, key: TopicKey) -> Vec<(ClientKey, Wanted)> {
        let mut all = Vec::new();
        for delivery in self.deliveries.of_topic(key) {
            let Some(client) = clients.get(delivery.client) else {
                continue;
            };
            let mut credit = delivery
                .credit
                .as_ref()
                .map(|credit| credit.messages_left());
            for &s in &delivery.subscriptions {
                let known = client.subscriptions.get(s).map(|known| known.to);
                if known == Some(Subscribed::Topic(key)) {
                    let wanted = Wanted {
                        s,
                        policy: Some(delivery.policy),
                        credit: credit.take(),
                    };
                    all.push((delivery.client, wanted));
                }
            }
        }
        all
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

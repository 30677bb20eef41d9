//! What an application knows of state by the Rust client, and what must be true of it when all is at
//! rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use corewire::protocol::native::{PRESENCE, Presence};
use corewire_client::machine::{
    Machine, Picture, Standing, StateId, Status, Subscribe, SubscriptionId,
};
use corewire_testkit::sim::{Anomaly, Kind};

/// What one application looks at.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    subscriptions: BTreeMap<SubscriptionId, Interest>,
    /// By topic and namespace.
    looks: BTreeMap<(Arc<str>, Arc<str>), StateId>,
}

/// What a subscription brings.
#[derive(Debug)]
struct Interest {
    topic: Arc<str>,
    announces: bool,
    watches: Vec<Arc<str>>,
}

impl From<&Subscribe> for Interest {
    fn from(subscribe: &Subscribe) -> Self {
        let presence = subscribe.presence;
        let watched = matches!(presence, Some(Presence::Watch | Presence::Both));
        let mut watches = subscribe.watch.clone();
        watches.extend(watched.then(|| Arc::from(PRESENCE)));
        Self {
            topic: subscribe.subject.clone(),
            announces: matches!(presence, Some(Presence::Announce | Presence::Both)),
            watches,
        }
    }
}

impl Pictures {
    /// The application has subscribed, and looks at what that brings.
    pub(crate) fn subscribed(
        &mut self,
        id: SubscriptionId,
        subscribe: &Subscribe,
        machine: &mut Machine,
    ) {
        let interest = Interest::from(subscribe);
        for namespace in &interest.watches {
            let look = self
                .looks
                .entry((interest.topic.clone(), namespace.clone()));
            look.or_insert_with(|| machine.open_state(&interest.topic, namespace).unwrap());
        }
        self.subscriptions.insert(id, interest);
    }

    /// One of its subscriptions has ended.
    pub(crate) fn ended(&mut self, id: SubscriptionId) {
        self.subscriptions.remove(&id);
    }

    /// Whether there is nothing that it still asks for.
    pub(crate) fn are_live(&self, machine: &Machine) -> bool {
        let mut watched = self.watched(machine);
        watched.all(|(_, _, picture)| picture.standing() == Standing::Live)
    }

    /// The topics in which it is there for others, and as who.
    pub(crate) fn announced(&self, machine: &Machine) -> Vec<(Arc<str>, Arc<str>)> {
        let Status::Connected(session) = machine.status() else {
            return Vec::new();
        };
        let announcing = self.subscriptions.values().filter(|one| one.announces);
        let topics = announcing.map(|one| (one.topic.clone(), session.user.clone()));
        topics.collect()
    }

    /// What is not true of what it knows: `present` are those who are there, by topic.
    pub(crate) fn untrue(
        &self,
        (name, machine): (&str, &Machine),
        present: &BTreeMap<&str, BTreeSet<&str>>,
    ) -> Vec<Anomaly> {
        let nobody = BTreeSet::new();
        let untrue = self
            .watched(machine)
            .filter_map(|(topic, namespace, picture)| {
                let (kind, there) = match namespace == PRESENCE {
                    true => (Kind::FalsePicture, present.get(topic)),
                    false => (Kind::Lingering, None),
                };
                let there = there.unwrap_or(&nobody);
                let text = || format!("{name}: {topic}, {namespace}: {picture:?}, not {there:?}");
                (!shows(picture, there)).then(|| Anomaly { kind, text: text() })
            });
        untrue.collect()
    }

    /// All that its subscriptions bring.
    fn watched<'a>(
        &'a self,
        machine: &'a Machine,
    ) -> impl Iterator<Item = (&'a str, &'a str, &'a Picture)> {
        self.subscriptions.values().flat_map(move |interest| {
            interest.watches.iter().map(move |namespace| {
                let id = self.looks[&(interest.topic.clone(), namespace.clone())];
                let picture = machine.picture(id).expect("it looks at it");
                (&*interest.topic, &**namespace, &**picture)
            })
        })
    }
}

/// Whether it has exactly these users, each of them once.
fn shows(picture: &Picture, there: &BTreeSet<&str>) -> bool {
    let users: BTreeSet<&str> = picture.entries().map(|entry| &*entry.user).collect();
    let count = there.len() as u64;
    users == *there
        && picture.entries().len() == there.len()
        && picture.count() == count
        && picture.users().is_none_or(|users| users == count)
        && picture.standing() == Standing::Live
}

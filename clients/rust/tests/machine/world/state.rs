//! What the server knows of the state of topics.

use corewire_protocol::native::{
    Entry, Members, PRESENCE, Presence, StateCommand, StateDiff, StateOp, entry_digest,
};

use super::*;

/// Entries on a page.
const PAGE_ITEMS: usize = 2;

/// The set of one topic and namespace.
#[derive(Debug, Default, Clone)]
pub(crate) struct Kept {
    pub(crate) version: u64,
    /// The version and the value of each, by key; the key is its user, too.
    pub(crate) entries: BTreeMap<String, (u64, Option<String>)>,
}

impl Kept {
    fn digest(&self) -> u64 {
        let entries = self.entries.iter();
        entries.fold(0, |all, (key, (version, _))| {
            all ^ entry_digest(key, *version)
        })
    }
}

/// The sets that a subscription watches.
pub(super) fn watched(subscribe: &native::Subscribe<'_>) -> Vec<(String, String)> {
    let watches = matches!(subscribe.presence, Some(Presence::Watch | Presence::Both));
    let others = subscribe.watch.iter().map(ToString::to_string);
    let all = watches
        .then(|| PRESENCE.to_owned())
        .into_iter()
        .chain(others);
    all.map(|namespace| (subscribe.topic.to_string(), namespace))
        .collect()
}

impl World {
    fn kept(&mut self, topic: &str, namespace: &str) -> &mut Kept {
        let name = (topic.to_owned(), namespace.to_owned());
        self.states.entry(name).or_default()
    }

    /// Somebody is there, or says something else, and nobody is told.
    pub(crate) fn comes_silently(
        &mut self,
        topic: &str,
        namespace: &str,
        key: &str,
        value: Option<&str>,
    ) {
        let kept = self.kept(topic, namespace);
        kept.version += 1;
        let entry = (kept.version, value.map(str::to_owned));
        kept.entries.insert(key.to_owned(), entry);
    }

    /// Somebody leaves, and nobody is told.
    pub(crate) fn leaves_silently(&mut self, topic: &str, namespace: &str, key: &str) {
        let kept = self.kept(topic, namespace);
        kept.version += 1;
        kept.entries.remove(key);
    }

    /// Somebody is there, or says something else.
    pub(crate) fn comes(&mut self, topic: &str, namespace: &str, key: &str, value: Option<&str>) {
        self.comes_silently(topic, namespace, key, value);
        self.tell(topic, namespace, &[key], &[]);
    }

    /// Somebody leaves.
    pub(crate) fn leaves(&mut self, topic: &str, namespace: &str, key: &str) {
        self.leaves_silently(topic, namespace, key);
        self.tell(topic, namespace, &[], &[key]);
    }

    /// Tells all watchers how things stand, and of these entries.
    pub(crate) fn tell(&mut self, topic: &str, namespace: &str, set: &[&str], deleted: &[&str]) {
        let Push::State(mut diff) = self.mark_of(topic, namespace) else {
            return;
        };
        let kept = self.kept(topic, namespace);
        diff.set = set
            .iter()
            .map(|key| entry(key, &kept.entries[*key]))
            .collect();
        diff.deleted = deleted.iter().map(|key| (*key).to_owned().into()).collect();
        let watches = |conn: &Conn| {
            let mut all = conn.watches.values().flatten();
            all.any(|(one, its)| one == topic && its == namespace)
        };
        let links = self.conns.iter().filter(|(_, conn)| watches(conn));
        let links: Vec<_> = links.map(|(link, _)| *link).collect();
        for link in links {
            self.push(link, &Push::State(diff.clone()));
        }
    }

    /// How things stand.
    pub(super) fn mark_of(&mut self, topic: &str, namespace: &str) -> Push<'static> {
        let t = self.topic(topic).t;
        let kept = self.kept(topic, namespace);
        Push::State(StateDiff {
            t,
            namespace: namespace.to_owned().into(),
            version: kept.version,
            n: kept.entries.len() as u64,
            users: (namespace == PRESENCE).then_some(kept.entries.len() as u64),
            digest: kept.digest(),
            set: Vec::new(),
            deleted: Vec::new(),
        })
    }

    /// The topic's state begins anew, behind another alias.
    pub(crate) fn begins_anew(&mut self, link: LinkId, topic: &str, s: u64) {
        self.states.retain(|(one, _), _| one != topic);
        self.next_t += 1;
        let t = self.next_t;
        self.topic(topic).t = t;
        let alias = TopicAlias {
            t,
            topic: topic.to_owned().into(),
            s: vec![s],
            epoch: self.epoch_name().into(),
            offset: 0,
        };
        self.push(link, &Push::Topic(alias));
    }

    /// What the server answers to a command. Its own client's entries are those of "me".
    pub(super) fn state(&mut self, state: &StateCommand<'_>) -> Reply<'static> {
        let (topic, namespace) = (&*state.topic, &*state.namespace);
        if let Some(error) = self.refuse_state.pop_front() {
            return Reply::Error(error);
        }
        match &state.op {
            StateOp::Set { key, value, .. } => {
                let key = key.as_deref().unwrap_or("me");
                self.comes(topic, namespace, key, value.as_deref());
                Reply::Ok(Done::default())
            }
            StateOp::Delete { key } => {
                let key = key.as_deref().unwrap_or("me");
                self.leaves(topic, namespace, key);
                Reply::Ok(Done::default())
            }
            StateOp::Page { after, .. } => {
                let after: u64 = after.as_deref().map_or(0, |after| after.parse().unwrap());
                Reply::Members(self.members(topic, namespace, after))
            }
        }
    }

    fn members(&mut self, topic: &str, namespace: &str, after: u64) -> Members<'static> {
        let t = self.topic(topic).t;
        let kept = self.kept(topic, namespace);
        let all = kept.entries.iter();
        let mut items: Vec<_> = all.map(|(key, kept)| entry(key, kept)).collect();
        items.retain(|entry| entry.version > after);
        items.sort_by_key(|entry| entry.version);
        let next = items
            .get(PAGE_ITEMS - 1)
            .map(|last| last.version.to_string());
        let next = next.filter(|_| items.len() > PAGE_ITEMS);
        items.truncate(PAGE_ITEMS);
        Members {
            t,
            namespace: namespace.to_owned().into(),
            version: kept.version,
            n: kept.entries.len() as u64,
            users: (namespace == PRESENCE).then_some(kept.entries.len() as u64),
            digest: kept.digest(),
            items,
            next: next.map(Into::into),
        }
    }
}

fn entry(key: &str, (version, value): &(u64, Option<String>)) -> Entry<'static> {
    Entry {
        key: key.to_owned().into(),
        user: key.to_owned().into(),
        version: *version,
        value: value.clone().map(Into::into),
    }
}

//! The state beside messages: the sets that somebody looks at, and what this client has set itself.
//!
//! What a subscription brings is steered by [`Subscribe::presence`](super::Subscribe::presence) and
//! [`Subscribe::watch`](super::Subscribe::watch). Of two connections, one of which replaces the
//! other, the newer one counts as soon as it is welcome.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use corewire_protocol::native::{
    Command, ErrorCode, ErrorReply, Members, NAMESPACE_BYTES_MAX, PRESENCE, Presence, Request,
    STATE_KEY_BYTES_MAX, STATE_TTL_MS_MAX, STATE_VALUE_BYTES_MAX, StateCommand, StateDiff, StateOp,
    TopicError, TopicName, WATCH_MAX,
};

use super::link::LinkId;
use super::own::{OWN_MAX, Own, Place};
use super::picture::Picture;
use super::set::Set;
use super::stop::Loss;
use super::subscription::{Subscribe, SubscriptionId};

/// Sets that somebody looks at, at a time; a server lets no connection watch more.
const SETS_MAX: usize = 1000;
/// Pages that are asked for before the first of them has come; a server answers no more at a time.
const PAGES_ASKED_MAX: usize = 4;

/// A set's name inside its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateId(u64);

/// An entry that is to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetState {
    /// The topic.
    pub topic: Arc<str>,
    /// The namespace: `presence`, or one of the application's, such as `typing`.
    pub namespace: Arc<str>,
    /// Its key; without it, the connection's own. Presence knows no other.
    pub key: Option<Arc<str>>,
    /// What it says, if anything: one JSON value of at most 1 KiB.
    pub value: Option<Arc<str>>,
    /// Milliseconds that it lasts unless it is set again: 1 to 10 000, and 10 000 if nothing is
    /// said. Presence has no such end.
    pub ttl_ms: Option<u64>,
}

/// Why state cannot be looked at or set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// The topic's name is not one: what is wrong with it.
    Topic(TopicError),
    /// This is not a namespace.
    Namespace(Arc<str>),
    /// No subscription of this client announces it in this topic.
    NotAnnounced(Arc<str>),
    /// Presence has one entry for each connection, which has no key and no end.
    PresenceHasNoKey,
    /// The key has so many bytes, of as many as there may be.
    Key {
        /// It has.
        bytes: usize,
        /// It may have.
        max: usize,
    },
    /// The value has so many bytes as JSON, of as many as there may be.
    Value {
        /// It has.
        bytes: usize,
        /// It may have.
        max: usize,
    },
    /// The value is not JSON: what is wrong with it.
    NotJson(Arc<str>),
    /// So many milliseconds are none for which an entry can last.
    Ttl(u64),
    /// There are so many already, as many as there may be: sets that are looked at, or entries of
    /// this client's own.
    TooMany(usize),
    /// The client has stopped.
    Stopped,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(error) => write!(f, "topic: {error}"),
            Self::Namespace(name) => write!(
                f,
                "namespace: {name:?} is none: use 1 to {NAMESPACE_BYTES_MAX} of a-z, 0-9, - and _"
            ),
            Self::NotAnnounced(topic) => write!(
                f,
                "presence: no subscription announces this client in {topic}; subscribe to it with \
                 presence Announce or Both first"
            ),
            Self::PresenceHasNoKey => f.write_str(
                "presence: its entry is the connection's, without a key and a time; use another \
                 namespace for those",
            ),
            Self::Key { bytes, max } => {
                write!(f, "key: {bytes} bytes are too many; use 1 to {max}")
            }
            Self::Value { bytes, max } => write!(
                f,
                "value: {bytes} bytes of JSON are more than {max}; publish it as a message"
            ),
            Self::NotJson(why) => write!(f, "value: not JSON: {why}"),
            Self::Ttl(ms) => write!(
                f,
                "ttl: {ms} ms is not 1 to {STATE_TTL_MS_MAX}; set the entry again while it lasts"
            ),
            Self::TooMany(max) => write!(f, "there are {max} already; end some of them first"),
            Self::Stopped => f.write_str("the client has stopped"),
        }
    }
}

impl std::error::Error for StateError {}

/// What a subscription brings of state, and the server has granted.
#[derive(Debug)]
struct Grant {
    topic: Arc<str>,
    watches: Vec<Arc<str>>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct States {
    next_id: u64,
    sets: BTreeMap<StateId, Set>,
    names: BTreeMap<(Arc<str>, Arc<str>), StateId>,
    own: Own,
    /// The connection that counts.
    link: Option<LinkId>,
    /// The topics behind its aliases: of each topic the last one.
    aliases: BTreeMap<u64, Arc<str>>,
    grants: BTreeMap<SubscriptionId, Grant>,
    /// Pages that were asked for.
    asked: usize,
    changed: BTreeSet<StateId>,
}

impl States {
    // What the application wants.

    /// Looks at a set, until [`close`](Self::close).
    pub(super) fn open(
        &mut self,
        topic: &Arc<str>,
        namespace: &Arc<str>,
    ) -> Result<StateId, StateError> {
        check_place(topic, namespace)?;
        let name = (topic.clone(), namespace.clone());
        let id = match self.names.get(&name) {
            Some(id) => *id,
            None if self.sets.len() >= SETS_MAX => return Err(StateError::TooMany(SETS_MAX)),
            None => {
                self.next_id += 1;
                let id = StateId(self.next_id);
                let mut set = Set::new(topic.clone(), namespace.clone());
                if self.is_granted(topic, namespace) {
                    set.begin();
                }
                self.names.insert(name, id);
                self.sets.insert(id, set);
                id
            }
        };
        if let Some(set) = self.sets.get_mut(&id) {
            set.handles += 1;
        }
        Ok(id)
    }

    pub(super) fn close(&mut self, id: StateId) {
        let Some(set) = self.sets.get_mut(&id) else {
            return;
        };
        set.handles -= 1;
        if set.handles == 0
            && let Some(set) = self.sets.remove(&id)
        {
            self.names.remove(&(set.topic, set.namespace));
            self.changed.remove(&id);
        }
    }

    pub(super) fn picture(&self, id: StateId) -> Option<&Arc<Picture>> {
        self.sets.get(&id).map(Set::picture)
    }

    pub(super) fn next_changed(&mut self) -> Option<StateId> {
        self.changed.pop_first()
    }

    /// Sets an entry. In presence the client must be announced in the topic.
    pub(super) fn set(&mut self, state: SetState, now_ms: u64) -> Result<(), StateError> {
        check_place(&state.topic, &state.namespace)?;
        check_entry(&state)?;
        let place = Place {
            topic: state.topic,
            namespace: state.namespace,
            key: state.key,
        };
        self.own
            .set(place, state.value, state.ttl_ms, now_ms)
            .map_err(|_| StateError::TooMany(OWN_MAX))
    }

    /// Ends an entry that was set before.
    pub(super) fn clear(&mut self, place: Place) {
        self.own.clear(place);
    }

    /// No subscription announces the client in this topic any more.
    pub(super) fn leave(&mut self, topic: &str) {
        self.own.leave(topic);
    }

    // Connections and subscriptions.

    /// A connection is welcome, and counts from now on.
    pub(super) fn begin(&mut self, link: LinkId, now_ms: u64) {
        self.lose_all(now_ms);
        self.link = Some(link);
        self.own.begin();
    }

    /// A connection has ended.
    pub(super) fn lost(&mut self, link: LinkId, now_ms: u64) {
        if self.link == Some(link) {
            self.lose_all(now_ms);
        }
    }

    fn lose_all(&mut self, now_ms: u64) {
        self.link = None;
        self.aliases.clear();
        self.grants.clear();
        self.asked = 0;
        for (id, set) in &mut self.sets {
            set.lose(now_ms);
            self.changed.insert(*id);
        }
    }

    /// The server has taken a subscription to a topic, whose alias this is.
    pub(super) fn granted(
        &mut self,
        link: LinkId,
        s: SubscriptionId,
        subscribe: &Subscribe,
        t: u64,
    ) {
        if self.link != Some(link) || !subscribe.has_state() {
            return;
        }
        let topic = &subscribe.subject;
        if subscribe.announces(topic) {
            self.own.announced(topic);
        }
        let watches: Vec<_> = subscribe.watched().collect();
        for namespace in &watches {
            let is_new = !self.is_granted(topic, namespace);
            if let Some(id) = self.names.get(&(topic.clone(), namespace.clone()))
                && let Some(set) = self.sets.get_mut(id)
                && is_new
            {
                set.begin();
                self.changed.insert(*id);
            }
        }
        let topic = topic.clone();
        self.grants.insert(s, Grant { topic, watches });
        self.named(link, t, &subscribe.subject);
    }

    /// A subscription has ended, or the server serves it no longer.
    pub(super) fn revoked(&mut self, s: SubscriptionId) {
        let Some(Grant { topic, watches }) = self.grants.remove(&s) else {
            return;
        };
        for namespace in watches {
            if self.is_granted(&topic, &namespace) {
                continue;
            }
            if let Some(id) = self.names.get(&(topic.clone(), namespace))
                && let Some(set) = self.sets.get_mut(id)
            {
                set.end();
                self.changed.insert(*id);
            }
        }
    }

    fn is_granted(&self, topic: &str, namespace: &str) -> bool {
        self.grants.values().any(|grant| {
            &*grant.topic == topic && grant.watches.iter().any(|one| &**one == namespace)
        })
    }

    /// A topic has this alias from now on.
    pub(super) fn named(&mut self, link: LinkId, t: u64, topic: &Arc<str>) {
        let is_watched = |grant: &Grant| grant.topic == *topic;
        if self.link == Some(link) && self.grants.values().any(is_watched) {
            self.aliases.retain(|_, known| known != topic);
            self.aliases.insert(t, topic.clone());
        }
    }

    // Words of the server's.

    pub(super) fn diff(
        &mut self,
        link: LinkId,
        diff: &StateDiff<'_>,
        now_ms: u64,
    ) -> Result<(), Loss> {
        // What is of a connection that is being replaced, or was on its way when a subscription
        // ended, is of no interest.
        if self.link != Some(link) {
            return Ok(());
        }
        let Some(topic) = self.aliases.get(&diff.t) else {
            return Ok(());
        };
        let name = (topic.clone(), Arc::from(&*diff.namespace));
        if let Some(id) = self.names.get(&name)
            && let Some(set) = self.sets.get_mut(id)
        {
            self.changed.insert(*id);
            set.diff(diff, now_ms)?;
        }
        Ok(())
    }

    pub(super) fn page(
        &mut self,
        link: LinkId,
        (id, number): (StateId, u64),
        page: &Members<'_>,
        now_ms: u64,
    ) -> Result<(), Loss> {
        if self.link != Some(link) {
            return Ok(());
        }
        self.asked = self.asked.saturating_sub(1);
        if let Some(set) = self.sets.get_mut(&id) {
            self.changed.insert(id);
            set.page(number, page, now_ms)?;
        }
        Ok(())
    }

    /// The server has no page. Whether that is the end of it.
    pub(super) fn refused(
        &mut self,
        link: LinkId,
        (id, number): (StateId, u64),
        error: &ErrorReply<'_>,
        now_ms: u64,
    ) -> bool {
        if self.link != Some(link) {
            return false;
        }
        self.asked = self.asked.saturating_sub(1);
        // A cursor ends with the life of the set that has given it.
        let is_temporary = error.code.is_temporary()
            || error.retry_ms.is_some()
            || error.code == ErrorCode::BadPosition;
        let Some(set) = self.sets.get_mut(&id) else {
            return false;
        };
        if is_temporary {
            set.refused(number, error.retry_ms, now_ms);
            return false;
        }
        set.give_up(number)
    }

    // What is to be said and done.

    /// The next of this client's own entries that this connection is to be told.
    pub(super) fn first_own(&mut self, link: LinkId, id: u64, now_ms: u64) -> Option<Request<'_>> {
        match self.link == Some(link) {
            true => self.own.first(id, now_ms),
            false => None,
        }
    }

    pub(super) fn said_own(&mut self) -> Option<Place> {
        self.own.said()
    }

    /// The topic and the namespace of a set.
    pub(super) fn set_of(&self, id: StateId) -> Option<(&str, &str)> {
        let set = self.sets.get(&id)?;
        Some((&set.topic, &set.namespace))
    }

    /// The next page that this connection is to be asked for.
    pub(super) fn first_page(&self, link: LinkId, id: u64) -> Option<(StateId, u64, Request<'_>)> {
        if self.link != Some(link) || self.asked >= PAGES_ASKED_MAX {
            return None;
        }
        let asks = self.sets.iter();
        let mut asks = asks.filter_map(|(id, set)| Some((*id, set, set.ask()?)));
        let (state, set, ask) = asks.next()?;
        let command = Command::State(StateCommand {
            topic: Cow::Borrowed(&set.topic),
            namespace: Cow::Borrowed(&set.namespace),
            op: StateOp::Page {
                after: ask.after.map(Cow::Borrowed),
                limit: None,
            },
        });
        let id = Some(id);
        Some((state, ask.number, Request { id, command }))
    }

    pub(super) fn said_page(&mut self, id: StateId, now_ms: u64) {
        self.asked += 1;
        if let Some(set) = self.sets.get_mut(&id) {
            set.asked(now_ms);
        }
    }

    pub(super) fn deadline_ms(&self) -> Option<u64> {
        self.sets.values().filter_map(Set::deadline_ms).min()
    }

    pub(super) fn timeout(&mut self, now_ms: u64) {
        for (id, set) in &mut self.sets {
            if set.timeout(now_ms) {
                self.changed.insert(*id);
            }
        }
    }

    /// The client has stopped.
    pub(super) fn stop(&mut self) {
        self.link = None;
        self.grants.clear();
        self.own = Own::default();
        for (id, set) in &mut self.sets {
            set.end();
            self.changed.insert(*id);
        }
    }
}

impl Subscribe {
    /// The namespaces of state that it brings.
    pub(super) fn watched(&self) -> impl Iterator<Item = Arc<str>> {
        let watches = matches!(self.presence, Some(Presence::Watch | Presence::Both));
        let presence = watches.then(|| Arc::from(PRESENCE));
        presence.into_iter().chain(self.watch.iter().cloned())
    }

    /// Whether it announces this client in this topic.
    pub(super) fn announces(&self, topic: &str) -> bool {
        matches!(self.presence, Some(Presence::Announce | Presence::Both))
            && &*self.subject == topic
    }

    /// Whether it asks for any state at all.
    pub(super) fn has_state(&self) -> bool {
        self.presence.is_some() || !self.watch.is_empty()
    }
}

/// Whether these can be watched: the first that is no namespace of its own, or how many there may
/// be.
pub(super) fn check_watched(watch: &[Arc<str>]) -> Result<(), StateError> {
    if watch.len() > WATCH_MAX {
        return Err(StateError::TooMany(WATCH_MAX));
    }
    let wrong = watch
        .iter()
        .find(|name| !is_namespace(name) || &***name == PRESENCE);
    match wrong {
        Some(wrong) => Err(StateError::Namespace(wrong.clone())),
        None => Ok(()),
    }
}

pub(super) fn check_place(topic: &str, namespace: &Arc<str>) -> Result<(), StateError> {
    TopicName::parse(topic).map_err(StateError::Topic)?;
    match is_namespace(namespace) {
        true => Ok(()),
        false => Err(StateError::Namespace(namespace.clone())),
    }
}

fn is_namespace(name: &str) -> bool {
    let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=NAMESPACE_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

fn check_entry(state: &SetState) -> Result<(), StateError> {
    let is_keyed = state.key.is_some() || state.ttl_ms.is_some();
    if is_keyed && &*state.namespace == PRESENCE {
        return Err(StateError::PresenceHasNoKey);
    }
    if let Some(key) = &state.key
        && !(1..=STATE_KEY_BYTES_MAX).contains(&key.len())
    {
        let (bytes, max) = (key.len(), STATE_KEY_BYTES_MAX);
        return Err(StateError::Key { bytes, max });
    }
    if let Some(value) = &state.value {
        if value.len() > STATE_VALUE_BYTES_MAX {
            let (bytes, max) = (value.len(), STATE_VALUE_BYTES_MAX);
            return Err(StateError::Value { bytes, max });
        }
        let read: Result<serde::de::IgnoredAny, _> = serde_json::from_str(value);
        read.map_err(|error| StateError::NotJson(error.to_string().into()))?;
    }
    match state.ttl_ms {
        Some(ms) if !(1..=STATE_TTL_MS_MAX).contains(&ms) => Err(StateError::Ttl(ms)),
        Some(_) | None => Ok(()),
    }
}

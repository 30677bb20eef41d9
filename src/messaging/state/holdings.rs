//! What the connections of a core hold in topics, wherever those have their home.
//!
//! This is what a home core that has lost its memory is told again, what is given up when a
//! connection ends, and where a connection that is too fast is slowed down: of a key that changes
//! more often than the pace allows, only the newest change goes out, when its time has come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use slotmap::SecondaryMap;

use crate::engine::Tick;
use crate::ids::CoreId;

use super::super::client::ClientKey;
use super::super::options::Options;
use super::member::Member;
use super::refusal::Refusal;

/// All of them.
#[derive(Debug)]
pub(in crate::messaging) struct Holdings {
    held: SecondaryMap<ClientKey, Box<Held>>,
    /// When changes that were too fast may go out, in the order of time.
    due: VecDeque<(Tick, ClientKey, Arc<Place>)>,
    pace_ms: u32,
    keys_max: usize,
    pages_max: usize,
}

/// Where an entry is. An empty key stands for the connection's presence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::messaging) struct Place {
    pub(in crate::messaging) topic: Box<str>,
    pub(in crate::messaging) namespace: Box<str>,
    pub(in crate::messaging) key: Box<str>,
}

/// What one connection holds.
#[derive(Debug)]
struct Held {
    member: Arc<Member>,
    announced: BTreeMap<Box<str>, Announced>,
    /// The topics of subscriptions that announce.
    announcing: BTreeMap<u64, Box<str>>,
    keys: BTreeMap<Arc<Place>, Key>,
    /// Pages that it waits for: of which core, and the request's number.
    pages: Vec<(CoreId, u64)>,
}

/// Its presence in a topic.
#[derive(Debug)]
struct Announced {
    /// Subscriptions that announce it.
    subscriptions: usize,
    value: Option<Arc<str>>,
    pace: Pace,
}

/// One of its keys.
#[derive(Debug)]
struct Key {
    /// When it is of no interest any more.
    until: Tick,
    pace: Pace,
    /// What is to go out.
    waiting: Option<Change>,
}

/// When something has last gone out, and whether something else waits.
#[derive(Debug, Clone, Copy)]
struct Pace {
    sent: Option<Tick>,
    waits: Waits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    No,
    Yes,
}

/// A change of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::messaging) enum Change {
    Set {
        value: Option<Arc<str>>,
        until: Tick,
    },
    Delete,
}

/// Whether a change goes out at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::messaging) enum Go {
    Now,
    /// When its time has come, unless another one comes before.
    Later,
}

/// What has to be sent because its time has come.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::messaging) enum Due {
    Presence {
        member: Arc<Member>,
        topic: Box<str>,
        value: Option<Arc<str>>,
    },
    Key {
        member: Arc<Member>,
        place: Arc<Place>,
        change: Change,
    },
}

/// What a connection gives up.
#[derive(Debug, Default)]
pub(in crate::messaging) struct GivenUp {
    pub(in crate::messaging) presences: Vec<Box<str>>,
    pub(in crate::messaging) keys: Vec<Arc<Place>>,
}

impl Pace {
    const NEW: Self = Self {
        sent: None,
        waits: Waits::No,
    };

    /// A change at this moment: whether it goes, or when.
    fn change(&mut self, now: Tick, pace_ms: u32) -> Result<(), Option<Tick>> {
        let next = self.sent.map(|sent| sent.after(pace_ms));
        match (self.waits, next) {
            (Waits::Yes, _) => Err(None),
            (Waits::No, Some(next)) if !next.is_due(now) => {
                self.waits = Waits::Yes;
                Err(Some(next))
            }
            (Waits::No, _) => {
                self.sent = Some(now);
                Ok(())
            }
        }
    }

    /// What has waited goes out. Returns whether anything did.
    fn go(&mut self, now: Tick) -> bool {
        let waited = std::mem::replace(&mut self.waits, Waits::No) == Waits::Yes;
        if waited {
            self.sent = Some(now);
        }
        waited
    }
}

impl Holdings {
    pub(in crate::messaging) fn new(options: &Options) -> Self {
        Self {
            held: SecondaryMap::new(),
            due: VecDeque::new(),
            pace_ms: match options.state_changes_per_s {
                0 => 0,
                rate => (1000 / rate).max(1),
            },
            keys_max: options.state_keys_max,
            pages_max: options.state_pages_max,
        }
    }

    fn of(&mut self, client: ClientKey, member: impl FnOnce() -> Arc<Member>) -> Option<&mut Held> {
        let place = self.held.entry(client)?;
        Some(place.or_insert_with(|| {
            Box::new(Held {
                member: member(),
                announced: BTreeMap::new(),
                announcing: BTreeMap::new(),
                keys: BTreeMap::new(),
                pages: Vec::new(),
            })
        }))
    }

    // ── Presence ──

    /// A subscription announces its connection. Returns whether it is the first that does.
    pub(in crate::messaging) fn announce(
        &mut self,
        (client, member): (ClientKey, &Arc<Member>),
        topic: &str,
        s: u64,
    ) -> bool {
        let Some(held) = self.of(client, || Arc::clone(member)) else {
            return false;
        };
        held.announcing.insert(s, topic.into());
        let announced = held
            .announced
            .entry(topic.into())
            .or_insert_with(|| Announced {
                subscriptions: 0,
                value: None,
                pace: Pace::NEW,
            });
        announced.subscriptions += 1;
        announced.subscriptions == 1
    }

    /// A subscription has ended. Returns the topic in which nothing announces the connection any
    /// more.
    pub(in crate::messaging) fn unsubscribed(
        &mut self,
        client: ClientKey,
        s: u64,
    ) -> Option<Box<str>> {
        let held = self.held.get_mut(client)?;
        let topic = held.announcing.remove(&s)?;
        let announced = held.announced.get_mut(&topic)?;
        announced.subscriptions -= 1;
        if announced.subscriptions > 0 {
            return None;
        }
        held.announced.remove(&topic);
        Some(topic)
    }

    /// A connection has another value.
    pub(in crate::messaging) fn value(
        &mut self,
        now: Tick,
        client: ClientKey,
        topic: &str,
        value: Option<Arc<str>>,
    ) -> Result<Go, Refusal> {
        let held = self.held.get_mut(client);
        let announced = held.and_then(|held| held.announced.get_mut(topic));
        let announced = announced.ok_or(Refusal::NotAnnounced)?;
        announced.value = value;
        match announced.pace.change(now, self.pace_ms) {
            Ok(()) => Ok(Go::Now),
            Err(later) => {
                if let Some(at) = later {
                    let place = Place {
                        topic: topic.into(),
                        namespace: corewire_protocol::native::PRESENCE.into(),
                        key: "".into(),
                    };
                    self.due.push_back((at, client, Arc::new(place)));
                }
                Ok(Go::Later)
            }
        }
    }

    // ── Keys ──

    /// Whether a connection has a key there.
    pub(in crate::messaging) fn has(&self, client: ClientKey, place: &Place) -> bool {
        let held = self.held.get(client);
        held.is_some_and(|held| held.keys.contains_key(place))
    }

    /// A connection changes one of its keys.
    pub(in crate::messaging) fn change(
        &mut self,
        now: Tick,
        (client, member): (ClientKey, &Arc<Member>),
        place: &Arc<Place>,
        change: Change,
    ) -> Result<Go, Refusal> {
        let (pace_ms, keys_max) = (self.pace_ms, self.keys_max);
        let Some(held) = self.of(client, || Arc::clone(member)) else {
            return Ok(Go::Later);
        };
        if !held.keys.contains_key(place) && held.keys.len() >= keys_max {
            held.keys.retain(|_, key| !key.until.is_due(now));
            if held.keys.len() >= keys_max {
                return Err(Refusal::Keys(keys_max));
            }
        }
        let key = held.keys.entry(Arc::clone(place)).or_insert(Key {
            until: now,
            pace: Pace::NEW,
            waiting: None,
        });
        // What is deleted is remembered for as long as its next change has to wait.
        key.until = match &change {
            Change::Set { until, .. } => *until,
            Change::Delete => now.after(pace_ms),
        };
        match key.pace.change(now, pace_ms) {
            Ok(()) => Ok(Go::Now),
            Err(later) => {
                key.waiting = Some(change);
                if let Some(at) = later {
                    self.due.push_back((at, client, Arc::clone(place)));
                }
                Ok(Go::Later)
            }
        }
    }

    /// A connection does not hold a key after all.
    pub(in crate::messaging) fn refused(&mut self, client: ClientKey, place: &Place) {
        if let Some(held) = self.held.get_mut(client) {
            held.keys.remove(place);
        }
    }

    /// The topics in which a connection has keys.
    pub(in crate::messaging) fn topics_of_keys(&self, client: ClientKey) -> Vec<Box<str>> {
        let held = self.held.get(client).into_iter();
        let mut topics: Vec<Box<str>> = held
            .flat_map(|held| held.keys.keys().map(|place| place.topic.clone()))
            .collect();
        // Keys are in the order of their topics.
        topics.dedup();
        topics
    }

    /// A connection gives up its keys in these topics.
    pub(in crate::messaging) fn give_up_keys(
        &mut self,
        client: ClientKey,
        topics: &[Box<str>],
    ) -> Vec<Arc<Place>> {
        let mut given_up = Vec::new();
        if let Some(held) = self.held.get_mut(client) {
            held.keys.retain(|place, _| {
                let goes = topics.contains(&place.topic);
                if goes {
                    given_up.push(Arc::clone(place));
                }
                !goes
            });
        }
        given_up
    }

    // ── Pages ──

    /// A connection waits for a page.
    pub(in crate::messaging) fn page_asked(
        &mut self,
        (client, member): (ClientKey, &Arc<Member>),
        request: (CoreId, u64),
    ) {
        if let Some(held) = self.of(client, || Arc::clone(member)) {
            held.pages.push(request);
        }
    }

    /// Whether a connection for which so many pages lie ready may ask for another one.
    pub(in crate::messaging) fn may_ask_page(
        &self,
        client: ClientKey,
        ready: usize,
    ) -> Result<(), Refusal> {
        let asked = self.held.get(client).map_or(0, |held| held.pages.len());
        if asked + ready < self.pages_max {
            Ok(())
        } else {
            Err(Refusal::Pages(self.pages_max))
        }
    }

    /// A request is answered: it may have been for a page.
    pub(in crate::messaging) fn answered(&mut self, client: ClientKey, request: (CoreId, u64)) {
        if let Some(held) = self.held.get_mut(client) {
            held.pages.retain(|&asked| asked != request);
        }
    }

    // ── Ends ──

    /// A connection ends, or says that it will. What it held is the caller's to give up.
    pub(in crate::messaging) fn end(&mut self, now: Tick, client: ClientKey) -> GivenUp {
        let Some(held) = self.held.remove(client) else {
            return GivenUp::default();
        };
        let keys = held.keys.into_iter();
        GivenUp {
            presences: held.announced.into_keys().collect(),
            keys: keys
                .filter(|(_, key)| !key.until.is_due(now))
                .map(|(place, _)| place)
                .collect(),
        }
    }

    /// A home core has lost its memory. Returns the presences that it has to be told again; of
    /// everything else the time is over soon.
    pub(in crate::messaging) fn home_restarted(
        &mut self,
        core: CoreId,
        home_of: impl Fn(&str) -> CoreId,
    ) -> Vec<(ClientKey, Arc<Member>, Box<str>, Option<Arc<str>>)> {
        let mut again = Vec::new();
        for (client, held) in &mut self.held {
            held.pages.retain(|(of, _)| *of != core);
            held.keys.retain(|place, _| home_of(&place.topic) != core);
            for (topic, announced) in &held.announced {
                if home_of(topic) == core {
                    let (member, value) = (Arc::clone(&held.member), announced.value.clone());
                    again.push((client, member, topic.clone(), value));
                }
            }
        }
        again
    }

    // ── Time ──

    /// What has waited for long enough, one after the other.
    pub(in crate::messaging) fn due(&mut self, now: Tick) -> Option<(ClientKey, Due)> {
        while let Some((at, _, _)) = self.due.front()
            && at.is_due(now)
        {
            let (_, client, place) = self.due.pop_front()?;
            let Some(held) = self.held.get_mut(client) else {
                continue;
            };
            let member = Arc::clone(&held.member);
            if place.key.is_empty() {
                if let Some(announced) = held.announced.get_mut(&place.topic)
                    && announced.pace.go(now)
                {
                    let due = Due::Presence {
                        member,
                        topic: place.topic.clone(),
                        value: announced.value.clone(),
                    };
                    return Some((client, due));
                }
                continue;
            }
            if let Some(key) = held.keys.get_mut(&place)
                && key.pace.go(now)
                && let Some(change) = key.waiting.take()
            {
                let due = Due::Key {
                    member,
                    place,
                    change,
                };
                return Some((client, due));
            }
        }
        None
    }

    /// Milliseconds until something is due.
    pub(in crate::messaging) fn next_in_ms(&self, now: Tick) -> Option<u32> {
        self.due.front().map(|(at, _, _)| at.since(now))
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    fn place(key: &str) -> Arc<Place> {
        Arc::new(Place {
            topic: "room".into(),
            namespace: "typing".into(),
            key: key.into(),
        })
    }

    fn set(value: &str, until: Tick) -> Change {
        Change::Set {
            value: Some(value.into()),
            until,
        }
    }

    fn someone() -> (Holdings, ClientKey, Arc<Member>) {
        let mut clients: SlotMap<ClientKey, ()> = SlotMap::with_key();
        let options = Options {
            state_keys_max: 2,
            ..Options::default()
        };
        let member = Member {
            user: "ada".into(),
            session: "c1".into(),
            incarnation: 0,
            conn: "c1".into(),
        };
        (
            Holdings::new(&options),
            clients.insert(()),
            Arc::new(member),
        )
    }

    /// 20 a second: whatever comes between is only the newest when the time has come.
    #[test]
    fn a_key_that_changes_too_fast_goes_out_at_its_pace() {
        let (mut holdings, client, member) = someone();
        let who = (client, &member);
        let (k, start) = (place("k"), Tick(u32::MAX - 20));
        let mut sent = 0;
        for ms in 0..1000 {
            let now = start.after(ms);
            while holdings.due(now).is_some() {
                sent += 1;
            }
            let change = set(&ms.to_string(), now.after(5000));
            let go = holdings.change(now, who, &k, change);
            sent += usize::from(go == Ok(Go::Now));
        }
        assert_eq!(sent, 20);
        let end = start.after(1000);
        assert_eq!(holdings.next_in_ms(end), Some(0));
        let Some((_, Due::Key { change, .. })) = holdings.due(end) else {
            panic!("the newest value is owed");
        };
        assert_eq!(change, set("999", start.after(5999)));
        assert!(holdings.due(end.after(1000)).is_none());
    }

    /// The pace is of each key, also of one that is deleted and set again.
    #[test]
    fn deleting_does_not_make_a_key_faster() {
        let (mut holdings, client, member) = someone();
        let who = (client, &member);
        let now = Tick(7);
        let later = now.after(5000);
        assert_eq!(
            holdings.change(now, who, &place("a"), set("1", later)),
            Ok(Go::Now)
        );
        assert_eq!(
            holdings.change(now, who, &place("b"), set("1", later)),
            Ok(Go::Now)
        );
        assert_eq!(
            holdings.change(now, who, &place("a"), Change::Delete),
            Ok(Go::Later)
        );
        assert_eq!(
            holdings.change(now, who, &place("a"), set("2", later)),
            Ok(Go::Later)
        );
        assert_eq!(
            holdings.change(now, who, &place("a"), Change::Delete),
            Ok(Go::Later)
        );
        assert!(holdings.due(now.after(49)).is_none());
        let Some((
            _,
            Due::Key {
                place: of, change, ..
            },
        )) = holdings.due(now.after(50))
        else {
            panic!("the deletion is owed");
        };
        assert_eq!((of, change), (place("a"), Change::Delete));
    }

    #[test]
    fn keys_are_bounded_and_those_whose_time_is_over_make_room() {
        let (mut holdings, client, member) = someone();
        let who = (client, &member);
        let now = Tick(7);
        for key in ["a", "b"] {
            let change = set("1", now.after(100));
            assert_eq!(holdings.change(now, who, &place(key), change), Ok(Go::Now));
        }
        let change = set("1", now.after(100));
        let refused = holdings.change(now, who, &place("c"), change.clone());
        assert_eq!(refused, Err(Refusal::Keys(2)));
        let then = now.after(100);
        assert_eq!(holdings.change(then, who, &place("c"), change), Ok(Go::Now));
        assert!(!holdings.has(client, &place("a")));
    }

    #[test]
    fn whoever_announces_twice_leaves_with_the_second_subscription() {
        let (mut holdings, client, member) = someone();
        let who = (client, &member);
        assert_eq!(
            holdings.value(Tick(0), client, "room", None),
            Err(Refusal::NotAnnounced)
        );
        assert!(holdings.announce(who, "room", 1));
        assert!(!holdings.announce(who, "room", 2));
        assert_eq!(holdings.value(Tick(0), client, "room", None), Ok(Go::Now));
        assert_eq!(holdings.unsubscribed(client, 1), None);
        assert_eq!(holdings.unsubscribed(client, 9), None);
        assert_eq!(holdings.unsubscribed(client, 2).as_deref(), Some("room"));
        assert!(holdings.end(Tick(0), client).presences.is_empty());
    }
}

//! The state of the topics that a core is home to: all changes of it are made here.
//!
//! Nothing is sent from here. What cores with watchers are to be sent stands in
//! [`outgoing`](Board::outgoing) when a call returns; when to call [`tick`](Board::tick) next says
//! [`next_in_ms`](Board::next_in_ms).

use std::collections::VecDeque;
use std::sync::Arc;

use corewire_protocol::native::{Members, PRESENCE};
use slotmap::{SlotMap, new_key_type};

use crate::engine::Tick;
use crate::hash::{Map, Seed};
use crate::ids::CoreId;

use super::super::core_set::CoreSet;
use super::super::options::Options;
use super::super::publication::TopicId;
use super::leases::Leases;
use super::member::{Holder, Member};
use super::page;
use super::refusal::Refusal;
use super::roll::Roll;
use super::set::{Count, EntryKey, Put, Set};
use super::window::{Body, Users, Window};

new_key_type! {
    /// The name of a set on its core.
    pub(in crate::messaging) struct SetKey;
}

/// The sets of a core.
#[derive(Debug)]
pub(in crate::messaging) struct Board {
    topics: Map<Box<str>, Topic>,
    sets: SlotMap<SetKey, Kept>,
    leases: Leases,
    /// When windows end, in the order of time.
    windows: VecDeque<(Tick, SetKey)>,
    /// What all entries hold.
    bytes: usize,
    /// A version that no set which is gone has passed: new ones go on from it, so that versions
    /// never go back under the same alias.
    floor: u64,
    bounds: Bounds,
    /// For cores that watch.
    pub(in crate::messaging) outgoing: Vec<(CoreId, Arc<Window>)>,
    pub(in crate::messaging) tally: Tally,
    seed: Seed,
}

/// What was done since somebody has asked last.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::messaging) struct Tally {
    /// Entries that came.
    pub(in crate::messaging) entered: usize,
    /// Entries that went.
    pub(in crate::messaging) left: usize,
    /// Windows that held too much, or were for somebody who had missed another one.
    pub(in crate::messaging) marks: usize,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    window_ms: u32,
    window_bytes: usize,
    grace_ms: u32,
    entries: usize,
    namespaces: usize,
    bytes: usize,
    page: (usize, usize),
}

#[derive(Debug)]
struct Topic {
    id: Arc<TopicId>,
    sets: Vec<SetKey>,
}

/// A set and what is around it.
#[derive(Debug)]
struct Kept {
    topic: Box<str>,
    namespace: Arc<str>,
    set: Set,
    /// Who is there, in the namespace of presence.
    roll: Option<Box<Roll>>,
    watched: CoreSet,
    /// Cores that have missed something.
    behind: CoreSet,
    window: Open,
}

/// Whether a window is open: something has changed, and when it ends that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    No,
    Yes,
}

/// What becomes of the value of somebody who announces himself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::messaging) enum Given {
    /// It stays as it is.
    Kept,
    /// It is this one from now on.
    Value(Option<Arc<str>>),
}

/// An entry that is not presence: where, and what of it.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) namespace: &'a str,
    pub(super) key: &'a str,
    pub(super) user: &'a Arc<str>,
    pub(super) value: Option<Arc<str>>,
    pub(super) ttl_ms: u32,
}

impl Board {
    pub(in crate::messaging) fn new(options: &Options, seed: &Seed) -> Self {
        Self {
            topics: Map::with_hasher(seed.clone()),
            sets: SlotMap::with_key(),
            leases: Leases::new(),
            windows: VecDeque::new(),
            bytes: 0,
            floor: 0,
            bounds: Bounds {
                window_ms: options.state_window_ms,
                window_bytes: options.state_window_bytes,
                grace_ms: options.grace_ms,
                entries: options.state_entries_max,
                namespaces: options.state_namespaces_max,
                bytes: options.state_budget_bytes,
                page: (options.state_page_items, options.state_page_bytes),
            },
            outgoing: Vec::new(),
            tally: Tally::default(),
            seed: seed.clone(),
        }
    }

    // ── Presence ──

    /// A connection is there. If it has left an entry behind, it goes on with that, and nobody
    /// notices.
    pub(super) fn announce(
        &mut self,
        now: Tick,
        id: &Arc<TopicId>,
        (holder, member): (Holder, &Arc<Member>),
        given: Given,
    ) -> Result<(), Refusal> {
        let key = self.set_for(now, id, PRESENCE)?;
        let Some(kept) = self.sets.get_mut(key) else {
            return Ok(());
        };
        let roll = kept.roll.as_ref();
        if roll.is_some_and(|roll| roll.is_superseded(member)) {
            return Ok(());
        }
        let entry = match roll.and_then(|roll| roll.find(holder, member)) {
            Some(entry) => {
                if let Given::Value(value) = given {
                    self.change(now, (key, entry), value)?;
                }
                entry
            }
            None => {
                // Another session may go on with the entry that this one's name is the key of.
                let name = match kept.set.find(&member.session) {
                    None => &member.session,
                    Some(_) => &member.conn,
                };
                let value = match given {
                    Given::Kept => None,
                    Given::Value(value) => value,
                };
                self.put(now, key, (name, &member.user), value)?
            }
        };
        if let Some(kept) = self.sets.get_mut(key)
            && let Some(of_it) = kept.set.get_mut(entry)
        {
            if let Some(lease) = of_it.lease.take() {
                self.leases.end(lease);
            }
            let before = of_it.holder.replace(holder);
            if let Some(roll) = &mut kept.roll {
                roll.enter(entry, (before, holder), member);
            }
        }
        Ok(())
    }

    /// A connection leaves, and will not come back.
    pub(super) fn leave(&mut self, now: Tick, topic: &str, holder: Holder) {
        if let Some((key, entry)) = self.presence_of(topic, holder) {
            self.end(now, key, entry);
        }
    }

    /// A connection is gone, and may come back: it leaves when its grace is over.
    pub(super) fn lapse(&mut self, now: Tick, topic: &str, holder: Holder) {
        if let Some((key, entry)) = self.presence_of(topic, holder) {
            self.leave_behind(now, key, entry);
        }
    }

    fn presence_of(&self, topic: &str, holder: Holder) -> Option<(SetKey, EntryKey)> {
        let key = self.find(topic, PRESENCE)?;
        let entry = self.sets.get(key)?.roll.as_ref()?.of(holder)?;
        Some((key, entry))
    }

    // ── Ephemeral state ──

    /// A connection sets or renews an entry.
    pub(super) fn set(
        &mut self,
        now: Tick,
        id: &Arc<TopicId>,
        holder: Holder,
        draft: Draft<'_>,
    ) -> Result<(), Refusal> {
        let key = self.set_for(now, id, draft.namespace)?;
        let known = self.sets.get(key).and_then(|kept| {
            let entry = kept.set.find(draft.key)?;
            Some((entry, kept.set.get(entry)?.item.user == *draft.user))
        });
        let entry = match known {
            Some((_, false)) => return Err(Refusal::Taken),
            Some((entry, true)) => {
                self.change(now, (key, entry), draft.value)?;
                entry
            }
            None => self.put(now, key, (draft.key, draft.user), draft.value)?,
        };
        let until = now.after(draft.ttl_ms);
        if let Some(entry_of_it) = self
            .sets
            .get_mut(key)
            .and_then(|kept| kept.set.get_mut(entry))
        {
            entry_of_it.holder = Some(holder);
            match entry_of_it.lease {
                Some(lease) => self.leases.renew(lease, until),
                None => {
                    let lease = self.leases.begin(now, until, (key, entry));
                    entry_of_it.lease = Some(lease);
                }
            }
        }
        Ok(())
    }

    /// A connection ends an entry. One that is not there has ended already.
    pub(super) fn delete(
        &mut self,
        now: Tick,
        topic: &str,
        (namespace, name): (&str, &str),
        user: &str,
    ) -> Result<(), Refusal> {
        let Some(key) = self.find(topic, namespace) else {
            return Ok(());
        };
        let entry = self.sets.get(key).and_then(|kept| {
            let entry = kept.set.find(name)?;
            Some((entry, &*kept.set.get(entry)?.item.user == user))
        });
        match entry {
            None => Ok(()),
            Some((_, false)) => Err(Refusal::Taken),
            Some((entry, true)) => {
                self.end(now, key, entry);
                Ok(())
            }
        }
    }

    /// The connection that holds an entry leaves it, and will not come back.
    pub(super) fn leave_key(
        &mut self,
        now: Tick,
        topic: &str,
        place: (&str, &str),
        holder: Holder,
    ) {
        if let Some((key, entry)) = self.held_by(topic, place, holder) {
            self.end(now, key, entry);
        }
    }

    /// The connection that holds an entry is gone: the entry ends with its grace, if not before.
    pub(super) fn lapse_key(
        &mut self,
        now: Tick,
        topic: &str,
        place: (&str, &str),
        holder: Holder,
    ) {
        if let Some((key, entry)) = self.held_by(topic, place, holder) {
            self.leave_behind(now, key, entry);
        }
    }

    fn held_by(
        &self,
        topic: &str,
        (namespace, name): (&str, &str),
        holder: Holder,
    ) -> Option<(SetKey, EntryKey)> {
        let key = self.find(topic, namespace)?;
        let set = &self.sets.get(key)?.set;
        let entry = set.find(name)?;
        (set.get(entry)?.holder == Some(holder)).then_some((key, entry))
    }

    // ── Watching ──

    /// A core has somebody who watches. It is told how things stand, and then what changes.
    pub(super) fn watch(&mut self, now: Tick, id: &Arc<TopicId>, namespace: &str, core: CoreId) {
        let key = self.find_or_make(now, id, namespace);
        if let Some(kept) = self.sets.get_mut(key) {
            kept.watched.insert(core);
            kept.behind.remove(core);
            kept.set.begin_changes();
            let window = Arc::new(kept.mark(id));
            self.outgoing.push((core, window));
        }
    }

    /// A core has nobody any more who watches.
    pub(super) fn unwatch(&mut self, topic: &str, namespace: &str, core: CoreId) {
        let Some(key) = self.find(topic, namespace) else {
            return;
        };
        if let Some(kept) = self.sets.get_mut(key) {
            kept.unwatch(core);
        }
        self.forget_if_empty(key);
    }

    /// A window has not reached a core: it is told later that it has missed something.
    pub(super) fn missed(&mut self, now: Tick, window: &Window, core: CoreId) {
        let Some(key) = self.find(&window.topic.name, &window.namespace) else {
            return;
        };
        if let Some(kept) = self.sets.get_mut(key)
            && kept.watched.contains(core)
        {
            kept.behind.insert(core);
            self.open_window(now, key);
        }
    }

    // ── Pages ──

    /// Who is there, behind a cursor.
    pub(super) fn page(
        &self,
        id: &TopicId,
        namespace: &str,
        (after, limit): (Option<&str>, Option<u64>),
    ) -> Result<Members<'static>, Refusal> {
        let after = match after {
            None => 0,
            Some(cursor) => page::parse(cursor, id.alias).ok_or(Refusal::Cursor)?,
        };
        let (items_max, bytes_max) = self.bounds.page;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let items_max = limit.unwrap_or(items_max).clamp(1, items_max);
        let kept = self
            .find(&id.name, namespace)
            .and_then(|key| self.sets.get(key));
        let empty = Count {
            version: self.floor,
            entries: 0,
            users: 0,
            digest: 0,
        };
        let (count, (items, next)) = match kept {
            None => (empty, (Vec::new(), None)),
            Some(kept) => (
                kept.set.count(),
                kept.set.page(after, (items_max, bytes_max)),
            ),
        };
        Ok(Members {
            t: id.alias,
            namespace: namespace.to_owned().into(),
            version: count.version,
            n: count.entries,
            users: (users(namespace) == Users::Told).then_some(count.users),
            digest: count.digest,
            items: items
                .into_iter()
                .map(super::window::Item::into_told)
                .collect(),
            next: next.map(|version| page::cursor(id.alias, version).into()),
        })
    }

    // ── Cores and time ──

    /// A core has lost its memory: its connections are gone, and it watches nothing.
    pub(super) fn forget_core(&mut self, now: Tick, core: CoreId) {
        let keys: Vec<SetKey> = self.sets.keys().collect();
        for key in keys {
            let Some(kept) = self.sets.get_mut(key) else {
                continue;
            };
            kept.unwatch(core);
            let set = &kept.set;
            let entries: Vec<EntryKey> = set
                .keys()
                .filter(|&entry| {
                    let holder = set.get(entry).and_then(|of_it| of_it.holder);
                    holder.is_some_and(|holder| holder.core == core)
                })
                .collect();
            for entry in entries {
                self.leave_behind(now, key, entry);
            }
            self.forget_if_empty(key);
        }
    }

    /// Ends what has no lease any more, and the windows whose time is over.
    pub(super) fn tick(&mut self, now: Tick) {
        while let Some((key, entry)) = self.leases.ended(now) {
            if let Some(kept) = self.sets.get_mut(key)
                && let Some(of_it) = kept.set.get_mut(entry)
            {
                // It has ended already.
                of_it.lease = None;
                self.end(now, key, entry);
            }
        }
        while let Some(&(at, key)) = self.windows.front()
            && at.is_due(now)
        {
            self.windows.pop_front();
            self.close_window(key);
        }
    }

    /// Milliseconds until [`tick`](Self::tick) is to be called, if there is anything to be done.
    pub(super) fn next_in_ms(&self, now: Tick) -> Option<u32> {
        let window = self.windows.front().map(|(at, _)| at.since(now));
        window.into_iter().chain(self.leases.next_in_ms(now)).min()
    }

    /// Whether it holds nothing at all.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.sets.is_empty() && self.bytes == 0
    }

    // ── Parts ──

    fn find(&self, topic: &str, namespace: &str) -> Option<SetKey> {
        let sets = &self.topics.get(topic)?.sets;
        sets.iter().copied().find(|&key| {
            self.sets
                .get(key)
                .is_some_and(|kept| *kept.namespace == *namespace)
        })
    }

    /// The set that a change is for.
    fn set_for(
        &mut self,
        now: Tick,
        id: &Arc<TopicId>,
        namespace: &str,
    ) -> Result<SetKey, Refusal> {
        let known = self.topics.get(&*id.name);
        let namespaces = known.map_or(0, |topic| topic.sets.len());
        if namespaces >= self.bounds.namespaces && self.find(&id.name, namespace).is_none() {
            return Err(Refusal::Namespaces(self.bounds.namespaces));
        }
        Ok(self.find_or_make(now, id, namespace))
    }

    fn find_or_make(&mut self, now: Tick, id: &Arc<TopicId>, namespace: &str) -> SetKey {
        self.begin_life(now, id);
        if let Some(key) = self.find(&id.name, namespace) {
            return key;
        }
        let roll = (namespace == PRESENCE).then(|| Box::new(Roll::new(&self.seed)));
        let key = self.sets.insert(Kept {
            topic: id.name.clone(),
            namespace: namespace.into(),
            set: Set::new(self.floor, &self.seed),
            roll,
            watched: CoreSet::default(),
            behind: CoreSet::default(),
            window: Open::No,
        });
        self.topics
            .entry(id.name.clone())
            .or_insert_with(|| Topic {
                id: Arc::clone(id),
                sets: Vec::new(),
            })
            .sets
            .push(key);
        key
    }

    /// If the topic has another alias than before, everybody who watches begins anew under it.
    fn begin_life(&mut self, now: Tick, id: &Arc<TopicId>) {
        let Some(topic) = self.topics.get_mut(&*id.name) else {
            return;
        };
        if topic.id.alias == id.alias {
            return;
        }
        topic.id = Arc::clone(id);
        for key in topic.sets.clone() {
            if let Some(kept) = self.sets.get_mut(key) {
                kept.behind = kept.watched;
                if !kept.behind.is_empty() {
                    self.open_window(now, key);
                }
            }
        }
    }

    fn put(
        &mut self,
        now: Tick,
        key: SetKey,
        (name, user): (&str, &Arc<str>),
        value: Option<Arc<str>>,
    ) -> Result<EntryKey, Refusal> {
        let bytes = Set::bytes_of(name, user, value.as_deref());
        let entries = self.sets.get(key).map_or(0, |kept| kept.set.len());
        let refusal = if entries >= self.bounds.entries {
            Some(Refusal::Entries(self.bounds.entries))
        } else {
            (self.bytes + bytes > self.bounds.bytes).then_some(Refusal::Bytes)
        };
        let Some(kept) = self.sets.get_mut(key).filter(|_| refusal.is_none()) else {
            self.forget_if_empty(key);
            return Err(refusal.unwrap_or(Refusal::Bytes));
        };
        let before = kept.set.bytes();
        let (entry, _) = kept.set.put(name, user, value);
        self.bytes = self.bytes + kept.set.bytes() - before;
        self.tally.entered += 1;
        self.open_window(now, key);
        Ok(entry)
    }

    fn change(
        &mut self,
        now: Tick,
        (key, entry): (SetKey, EntryKey),
        value: Option<Arc<str>>,
    ) -> Result<(), Refusal> {
        let Some(kept) = self.sets.get_mut(key) else {
            return Ok(());
        };
        let bytes = value.as_ref().map_or(0, |value| value.len());
        let old = kept
            .set
            .get(entry)
            .and_then(|of_it| of_it.item.value.as_ref());
        let more = bytes.saturating_sub(old.map_or(0, |old| old.len()));
        if more > 0 && self.bytes + more > self.bounds.bytes {
            return Err(Refusal::Bytes);
        }
        let before = kept.set.bytes();
        let put = kept.set.change(entry, value);
        self.bytes = self.bytes + kept.set.bytes() - before;
        if put == Put::Changed {
            self.open_window(now, key);
        }
        Ok(())
    }

    /// An entry ends.
    fn end(&mut self, now: Tick, key: SetKey, entry: EntryKey) {
        let Some(kept) = self.sets.get_mut(key) else {
            return;
        };
        let before = kept.set.bytes();
        let Some(ended) = kept.set.remove(entry) else {
            return;
        };
        self.bytes = self.bytes + kept.set.bytes() - before;
        self.tally.left += 1;
        if let Some(lease) = ended.lease {
            self.leases.end(lease);
        }
        if let Some(roll) = &mut kept.roll {
            roll.end(entry, ended.holder);
        }
        self.open_window(now, key);
        self.forget_if_empty(key);
    }

    /// Nobody holds an entry any more: it ends with its grace, if not before.
    fn leave_behind(&mut self, now: Tick, key: SetKey, entry: EntryKey) {
        let grace = now.after(self.bounds.grace_ms);
        let Some(kept) = self.sets.get_mut(key) else {
            return;
        };
        let Some(of_it) = kept.set.get_mut(entry) else {
            return;
        };
        let holder = of_it.holder.take();
        match of_it.lease {
            Some(lease) => {
                let until = self.leases.until(lease).unwrap_or(grace);
                self.leases.renew(lease, until.earlier(grace));
            }
            None => of_it.lease = Some(self.leases.begin(now, grace, (key, entry))),
        }
        if let Some(roll) = &mut kept.roll
            && let Some(holder) = holder
        {
            roll.leave_behind(entry, holder);
        }
    }

    /// Something has changed: those who watch are told when the window ends.
    fn open_window(&mut self, now: Tick, key: SetKey) {
        if let Some(kept) = self.sets.get_mut(key)
            && kept.window == Open::No
            && !kept.watched.is_empty()
        {
            kept.window = Open::Yes;
            let at = now.after(self.bounds.window_ms);
            self.windows.push_back((at, key));
        }
    }

    fn close_window(&mut self, key: SetKey) {
        let Some(kept) = self.sets.get_mut(key) else {
            return;
        };
        kept.window = Open::No;
        let Some(topic) = self.topics.get(&*kept.topic) else {
            return;
        };
        let behind = std::mem::take(&mut kept.behind);
        let window = match kept.set.cut(self.bounds.window_bytes) {
            Some((from, body)) => Some((from, body, kept.watched)),
            None if behind.is_empty() => None,
            None => Some((kept.set.count().version, Body::Mark, behind)),
        };
        if let Some((from, body, cores)) = window {
            self.tally.marks += usize::from(body == Body::Mark);
            let window = Arc::new(kept.window(&topic.id, from, body));
            for core in cores.iter() {
                self.outgoing.push((core, Arc::clone(&window)));
            }
        }
    }

    /// Forgets a set without entries and watchers.
    fn forget_if_empty(&mut self, key: SetKey) {
        let Some(kept) = self.sets.get(key) else {
            return;
        };
        if !kept.set.is_empty() || !kept.watched.is_empty() {
            return;
        }
        self.floor = self.floor.max(kept.set.count().version);
        let topic = kept.topic.clone();
        self.sets.remove(key);
        if let Some(of_it) = self.topics.get_mut(&*topic) {
            of_it.sets.retain(|&other| other != key);
            if of_it.sets.is_empty() {
                self.topics.remove(&*topic);
            }
        }
    }
}

impl Kept {
    fn window(&self, id: &Arc<TopicId>, from: u64, body: Body) -> Window {
        let users = users(&self.namespace);
        let count = (self.set.count(), users);
        Window::new((id, &self.namespace), from, count, body)
    }

    /// How things stand.
    fn mark(&self, id: &Arc<TopicId>) -> Window {
        self.window(id, self.set.count().version, Body::Mark)
    }

    fn unwatch(&mut self, core: CoreId) {
        self.watched.remove(core);
        self.behind.remove(core);
        if self.watched.is_empty() {
            self.set.end_changes();
        }
    }
}

fn users(namespace: &str) -> Users {
    if namespace == PRESENCE {
        Users::Told
    } else {
        Users::Untold
    }
}

//! A set: the entries of one namespace of one topic, and what has changed in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use corewire_protocol::native::entry_digest;
use slotmap::{SlotMap, new_key_type};

use crate::hash::{Map, Seed};

use super::leases::LeaseKey;
use super::member::Holder;
use super::window::{Body, Item};

new_key_type! {
    /// The name of an entry in its set.
    pub(in crate::messaging) struct EntryKey;
}

/// Bytes that an entry counts for beyond its texts.
const ENTRY_OVERHEAD_BYTES: usize = 320;

/// Entries by key, with the version of each. A change makes the set's version one more and gives it
/// to the entry, so the entries in the order of their versions are at once the order of a snapshot
/// and the list of what has changed since any version: both cost what they hold, never the set.
#[derive(Debug)]
pub(super) struct Set {
    entries: SlotMap<EntryKey, Entry>,
    by_key: Map<Arc<str>, EntryKey>,
    by_version: BTreeMap<u64, EntryKey>,
    /// How many entries each user has.
    users: Map<Arc<str>, u32>,
    version: u64,
    digest: u64,
    bytes: usize,
    changes: Option<Changes>,
}

/// One entry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) item: Item,
    /// The version in which its key came into being.
    born: u64,
    /// The connection that keeps it, `None` after that has gone.
    pub(super) holder: Option<Holder>,
    /// Until when, if not for as long as its holder lives.
    pub(super) lease: Option<LeaseKey>,
}

/// What has changed since a version, as long as somebody watches. What is there is found by its
/// version; what is gone is listed, if it was there at that version.
#[derive(Debug)]
struct Changes {
    since: u64,
    gone: Vec<Arc<str>>,
    gone_bytes: usize,
}

/// What a set was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// An entry that was not there.
    New,
    /// Another value.
    Changed,
    /// The same again: nobody is told.
    Same,
}

/// A set in numbers, and the version that they are true for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) version: u64,
    pub(super) entries: u64,
    pub(super) users: u64,
    pub(super) digest: u64,
}

impl Set {
    /// An empty set that goes on from a version.
    pub(super) fn new(version: u64, seed: &Seed) -> Self {
        Self {
            entries: SlotMap::with_key(),
            by_key: Map::with_hasher(seed.clone()),
            by_version: BTreeMap::new(),
            users: Map::with_hasher(seed.clone()),
            version,
            digest: 0,
            bytes: 0,
            changes: None,
        }
    }

    pub(super) fn count(&self) -> Count {
        Count {
            version: self.version,
            entries: self.entries.len() as u64,
            users: self.users.len() as u64,
            digest: self.digest,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that it counts for where memory is bounded.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that an entry would count for.
    pub(super) fn bytes_of(key: &str, user: &str, value: Option<&str>) -> usize {
        ENTRY_OVERHEAD_BYTES + key.len() + user.len() + value.map_or(0, str::len)
    }

    pub(super) fn find(&self, key: &str) -> Option<EntryKey> {
        self.by_key.get(key).copied()
    }

    pub(super) fn get(&self, key: EntryKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn get_mut(&mut self, key: EntryKey) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = EntryKey> {
        self.entries.keys()
    }

    /// Makes an entry, or gives it another value. Its user stays who made it.
    pub(super) fn put(
        &mut self,
        key: &str,
        user: &Arc<str>,
        value: Option<Arc<str>>,
    ) -> (EntryKey, Put) {
        if let Some(known) = self.find(key) {
            return (known, self.change(known, value));
        }
        self.version += 1;
        let item = Item {
            key: key.into(),
            user: Arc::clone(user),
            version: self.version,
            value,
        };
        self.digest ^= entry_digest(key, self.version);
        self.bytes += item.bytes_kept();
        *self.users.entry(Arc::clone(user)).or_insert(0) += 1;
        let name = Arc::clone(&item.key);
        let made = self.entries.insert(Entry {
            item,
            born: self.version,
            holder: None,
            lease: None,
        });
        self.by_key.insert(name, made);
        self.by_version.insert(self.version, made);
        (made, Put::New)
    }

    /// Gives an entry another value.
    pub(super) fn change(&mut self, key: EntryKey, value: Option<Arc<str>>) -> Put {
        let Some(entry) = self.entries.get_mut(key) else {
            return Put::Same;
        };
        if entry.item.value == value {
            return Put::Same;
        }
        self.version += 1;
        let item = &mut entry.item;
        self.by_version.remove(&item.version);
        self.by_version.insert(self.version, key);
        self.digest ^= entry_digest(&item.key, item.version);
        self.digest ^= entry_digest(&item.key, self.version);
        self.bytes -= item.bytes_kept();
        item.version = self.version;
        item.value = value;
        self.bytes += item.bytes_kept();
        Put::Changed
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, key: EntryKey) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        let item = &entry.item;
        self.version += 1;
        self.by_key.remove(&item.key);
        self.by_version.remove(&item.version);
        self.digest ^= entry_digest(&item.key, item.version);
        self.bytes -= item.bytes_kept();
        if let Some(entries) = self.users.get_mut(&item.user) {
            *entries -= 1;
            if *entries == 0 {
                self.users.remove(&item.user);
            }
        }
        // Whoever watches has never heard of an entry that is younger than what it has heard of.
        if let Some(changes) = &mut self.changes
            && entry.born <= changes.since
        {
            changes.gone_bytes += item.key.len() + Item::OVERHEAD_BYTES;
            changes.gone.push(Arc::clone(&item.key));
        }
        Some(entry)
    }

    /// Somebody watches from now on: what has changed is asked for by [`cut`](Self::cut).
    pub(super) fn begin_changes(&mut self) {
        self.changes.get_or_insert_with(|| Changes {
            since: self.version,
            gone: Vec::new(),
            gone_bytes: 0,
        });
    }

    /// Nobody watches any more.
    pub(super) fn end_changes(&mut self) {
        self.changes = None;
    }

    /// What has changed since the last time, and since which version: a mark if it is more than so
    /// many bytes. `None` if it comes to nothing: whoever has come is gone again.
    pub(super) fn cut(&mut self, bytes_max: usize) -> Option<(u64, Body)> {
        let changes = self.changes.as_mut()?;
        let since = changes.since;
        let mut bytes = changes.gone_bytes;
        let mut set = Vec::new();
        for key in self.by_version.range(since + 1..).map(|(_, key)| *key) {
            if bytes > bytes_max {
                break;
            }
            if let Some(entry) = self.entries.get(key) {
                bytes += entry.item.bytes_told();
                set.push(entry.item.clone());
            }
        }
        let mut gone = std::mem::take(&mut changes.gone);
        changes.gone_bytes = 0;
        if set.is_empty() && gone.is_empty() {
            return None;
        }
        changes.since = self.version;
        if bytes > bytes_max {
            return Some((since, Body::Mark));
        }
        // Who came back is among those that are there.
        gone.retain(|key| !self.by_key.contains_key(key));
        Some((since, Body::Changes { set, gone }))
    }

    /// The entries behind a version, in the order of their versions: at most so many, and no more
    /// bytes than that unless the first one is larger. And the version of the last one, if there
    /// are more.
    pub(super) fn page(
        &self,
        after: u64,
        (items_max, bytes_max): (usize, usize),
    ) -> (Vec<Item>, Option<u64>) {
        let mut items: Vec<Item> = Vec::new();
        let mut bytes = 0;
        for (_, &key) in self.by_version.range(after.saturating_add(1)..) {
            let Some(entry) = self.entries.get(key) else {
                continue;
            };
            let more = entry.item.bytes_told();
            let full = items.len() >= items_max || bytes + more > bytes_max;
            if let Some(last) = items.last()
                && full
            {
                let next = last.version;
                return (items, Some(next));
            }
            bytes += more;
            items.push(entry.item.clone());
        }
        (items, None)
    }
}

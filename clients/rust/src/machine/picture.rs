//! What is known of a topic's state in one namespace: who is there, or who types. A picture is never
//! half of something: a page by page loaded set is shown when its last page is here.

use std::collections::BTreeMap;
use std::sync::Arc;

use corewire_protocol::native::{self, entry_digest};

use crate::data::Data;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key: of presence, and where its owner chose none, one for each connection.
    pub key: Arc<str>,
    /// Who set it.
    pub user: Arc<str>,
    /// What it says, if anything: one JSON value.
    pub value: Option<Data>,
    /// The version of the set when the entry was set last.
    pub version: u64,
}

impl Entry {
    pub(super) fn read(said: &native::Entry<'_>) -> Self {
        Self {
            key: (&*said.key).into(),
            user: (&*said.user).into(),
            value: said.value.as_deref().map(|text| Data::Json(text.into())),
            version: said.version,
        }
    }

    /// Whether they say the same of the same user.
    fn is_like(&self, other: &Self) -> bool {
        self.user == other.user && self.value == other.value
    }
}

/// How true a picture is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// No subscription of this client asks for it: nothing is known.
    #[default]
    Unwatched,
    /// It is being asked for, and nothing is known yet.
    Loading,
    /// As the server said last.
    Live,
    /// As it was when the connection ended. What was ephemeral is forgotten after 10 s.
    Stale,
}

/// What is known of a topic's state in one namespace, as of a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    pub(super) standing: Standing,
    pub(super) count: u64,
    pub(super) users: Option<u64>,
    pub(super) roll: Roll,
}

/// Entries by their keys, and the digest of their versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Roll {
    entries: BTreeMap<Arc<str>, Entry>,
    digest: u64,
}

impl Roll {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has so many entries with this digest.
    pub(super) fn agrees(&self, count: u64, digest: u64) -> bool {
        self.entries.len() as u64 == count && self.digest == digest
    }

    /// Of a key the entry that was set last counts.
    pub(super) fn put(&mut self, entry: &Entry) {
        if let Some(known) = self.entries.get(&entry.key) {
            if known.version >= entry.version {
                return;
            }
            self.digest ^= entry_digest(&known.key, known.version);
        }
        self.digest ^= entry_digest(&entry.key, entry.version);
        self.entries.insert(entry.key.clone(), entry.clone());
    }

    /// An entry is gone as of this version, unless it was set later.
    pub(super) fn remove(&mut self, key: &str, version: u64) {
        if let Some(known) = self.entries.get(key)
            && known.version <= version
        {
            self.digest ^= entry_digest(&known.key, known.version);
            self.entries.remove(key);
        }
    }
}

/// What is different between two pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// An entry is new, or belongs to another user.
    Came(&'a Entry),
    /// It says something else.
    Changed(&'a Entry),
    /// It is gone.
    Left(&'a Entry),
}

impl Picture {
    /// How true it is.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// How many entries there are by the server's word, which may be ahead of
    /// [`entries`](Self::entries).
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// How many different users have them, by the server's word; of presence only.
    #[must_use]
    pub const fn users(&self) -> Option<u64> {
        self.users
    }

    /// All entries, in the order of their keys.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.roll.entries.values()
    }

    /// The entry with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.roll.entries.get(key)
    }

    /// Whether this user has an entry.
    #[must_use]
    pub fn has_user(&self, user: &str) -> bool {
        self.roll.entries.values().any(|entry| &*entry.user == user)
    }

    /// What is different here from an earlier picture: first what is gone, then the rest in the
    /// order of the keys.
    #[must_use]
    pub fn since<'a>(&'a self, before: &'a Self) -> Vec<Change<'a>> {
        let gone = before.roll.entries.values().filter(|old| {
            let now = self.roll.entries.get(&old.key);
            now.is_none_or(|now| now.user != old.user)
        });
        let here =
            self.roll
                .entries
                .values()
                .filter_map(|now| match before.roll.entries.get(&now.key) {
                    Some(old) if old.is_like(now) => None,
                    Some(old) if old.user == now.user => Some(Change::Changed(now)),
                    Some(_) | None => Some(Change::Came(now)),
                });
        gone.map(Change::Left).chain(here).collect()
    }
}

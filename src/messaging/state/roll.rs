//! Who is present in a topic, by connection, session and user.

use std::sync::Arc;

use crate::hash::{Map, Seed};

use super::member::{Holder, Member};
use super::set::EntryKey;

/// Finds the entry of somebody who comes: his connection's own, that of his session's last
/// connection, or one that another connection of his has left behind.
#[derive(Debug)]
pub(super) struct Roll {
    by_holder: Map<Holder, EntryKey>,
    by_session: Map<Arc<str>, EntryKey>,
    /// Of each user the entries that nobody holds at the moment.
    left_behind: Map<Arc<str>, Vec<EntryKey>>,
    /// Who has an entry.
    members: Map<EntryKey, Arc<Member>>,
}

impl Roll {
    pub(super) fn new(seed: &Seed) -> Self {
        Self {
            by_holder: Map::with_hasher(seed.clone()),
            by_session: Map::with_hasher(seed.clone()),
            left_behind: Map::with_hasher(seed.clone()),
            members: Map::with_hasher(seed.clone()),
        }
    }

    /// The entry that a connection holds.
    pub(super) fn of(&self, holder: Holder) -> Option<EntryKey> {
        self.by_holder.get(&holder).copied()
    }

    /// Whether a session has gone on in a later connection than this one.
    pub(super) fn is_superseded(&self, member: &Member) -> bool {
        let entry = self.by_session.get(&member.session);
        let known = entry.and_then(|entry| self.members.get(entry));
        known.is_some_and(|known| known.incarnation > member.incarnation)
    }

    /// The entry that a member may go on with.
    pub(super) fn find(&self, holder: Holder, member: &Member) -> Option<EntryKey> {
        self.of(holder)
            .or_else(|| self.by_session.get(&member.session).copied())
            .or_else(|| self.left_behind.get(&member.user)?.first().copied())
    }

    /// A connection holds an entry from now on; `before` does so no more.
    pub(super) fn enter(
        &mut self,
        entry: EntryKey,
        (before, holder): (Option<Holder>, Holder),
        member: &Arc<Member>,
    ) {
        match before {
            Some(before) => {
                self.by_holder.remove(&before);
            }
            None => self.not_left_behind(entry),
        }
        self.forget_session(entry);
        self.by_holder.insert(holder, entry);
        self.by_session.insert(Arc::clone(&member.session), entry);
        self.members.insert(entry, Arc::clone(member));
    }

    /// The connection that held an entry has gone, and may come back.
    pub(super) fn leave_behind(&mut self, entry: EntryKey, holder: Holder) {
        self.by_holder.remove(&holder);
        if let Some(member) = self.members.get(&entry) {
            let user = Arc::clone(&member.user);
            self.left_behind.entry(user).or_default().push(entry);
        }
    }

    /// An entry has ended.
    pub(super) fn end(&mut self, entry: EntryKey, holder: Option<Holder>) {
        match holder {
            Some(holder) => {
                self.by_holder.remove(&holder);
            }
            None => self.not_left_behind(entry),
        }
        self.forget_session(entry);
        self.members.remove(&entry);
    }

    fn not_left_behind(&mut self, entry: EntryKey) {
        let Some(member) = self.members.get(&entry) else {
            return;
        };
        if let Some(entries) = self.left_behind.get_mut(&member.user) {
            entries.retain(|&other| other != entry);
            if entries.is_empty() {
                self.left_behind.remove(&member.user);
            }
        }
    }

    fn forget_session(&mut self, entry: EntryKey) {
        if let Some(member) = self.members.get(&entry)
            && self.by_session.get(&member.session) == Some(&entry)
        {
            self.by_session.remove(&member.session);
        }
    }
}

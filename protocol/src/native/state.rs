//! State beside the messages of a topic: who is there, who is typing, where a cursor stands.
//!
//! A topic has a small set of entries in each namespace. An entry has a key, the user that set it,
//! perhaps a value, and a version. The set has a version, too, which grows with each change; an
//! entry's version is that of the set when it was set last.

use std::borrow::Cow;

use super::problem::{Problem, Quoted};

/// Bytes of a namespace's name.
pub const NAMESPACE_BYTES_MAX: usize = 32;
/// Bytes of an entry's key.
pub const STATE_KEY_BYTES_MAX: usize = 128;
/// Bytes of an entry's value.
pub const STATE_VALUE_BYTES_MAX: usize = 1024;
/// How long an ephemeral entry may live without being set again, in milliseconds.
pub const STATE_TTL_MS_MAX: u64 = 10_000;
/// Namespaces in the `watch` of a subscription.
pub const WATCH_MAX: usize = 8;
/// The namespace of those who are there. A connection holds its entry as long as it lives.
pub const PRESENCE: &str = "presence";

/// `state`: changes or reads the state of a topic. Needs a subscription that covers the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCommand<'a> {
    /// `topic`: its name, not checked yet.
    pub topic: Cow<'a, str>,
    /// `ns`: 1 to [`NAMESPACE_BYTES_MAX`] of `a-z`, `0-9`, `-` and `_`.
    pub namespace: Cow<'a, str>,
    /// `op` and the fields that belong to it.
    pub op: StateOp<'a>,
}

/// `op` of a [`StateCommand`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateOp<'a> {
    /// `set`: makes or renews an entry. Answered by `ok`.
    Set {
        /// `k`: without it, the connection's own key. [`PRESENCE`] knows no other.
        key: Option<Cow<'a, str>>,
        /// `v`: one JSON value of at most [`STATE_VALUE_BYTES_MAX`], as it was written.
        value: Option<Cow<'a, str>>,
        /// `ttl_ms`: 1 to [`STATE_TTL_MS_MAX`], which is also meant if there is none. What is in
        /// [`PRESENCE`] has no such end.
        ttl_ms: Option<u64>,
    },
    /// `del`: ends an entry. Answered by `ok`.
    Delete {
        /// `k`: without it, the connection's own key. [`PRESENCE`] knows no other.
        key: Option<Cow<'a, str>>,
    },
    /// `page`: asks who is there. Answered by `members`.
    Page {
        /// `after`: the [`next`](Members::next) of the page before.
        after: Option<Cow<'a, str>>,
        /// `limit`: entries on the page; without it, or above it, the server's own bound.
        limit: Option<u64>,
    },
}

/// `presence` of a [`Subscribe`](super::Subscribe).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// `announce`: the others are told that this connection is there.
    Announce,
    /// `watch`: this connection is told of the others.
    Watch,
    /// `both`.
    Both,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// `k`.
    pub key: Cow<'a, str>,
    /// `user`: who set it.
    pub user: Cow<'a, str>,
    /// `ver`: the version of the set when it was set last.
    pub version: u64,
    /// `v`: one JSON value, as it was written.
    pub value: Option<Cow<'a, str>>,
}

/// `members`: a page of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members<'a> {
    /// `t`: the topic's alias.
    pub t: u64,
    /// `ns`.
    pub namespace: Cow<'a, str>,
    /// `ver`: the version of the set.
    pub version: u64,
    /// `n`: entries of the set.
    pub n: u64,
    /// `users`: different users in it; of [`PRESENCE`] only.
    pub users: Option<u64>,
    /// `digest`: of the set, as [`entry_digest`] says.
    pub digest: u64,
    /// `items`: in the order of their keys' bytes.
    pub items: Vec<Entry<'a>>,
    /// `next`: where the next page begins, if there is one: a string that only the server reads.
    pub next: Option<Cow<'a, str>>,
}

/// `state`: what has changed in a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDiff<'a> {
    /// `t`: the topic's alias.
    pub t: u64,
    /// `ns`.
    pub namespace: Cow<'a, str>,
    /// `ver`: the version of the set after this change.
    pub version: u64,
    /// `n`: entries of the set after this change.
    pub n: u64,
    /// `users`: different users in it; of [`PRESENCE`] only.
    pub users: Option<u64>,
    /// `digest`: of the set after this change, as [`entry_digest`] says.
    pub digest: u64,
    /// `set`: entries that are new, or renewed with another value.
    pub set: Vec<Entry<'a>>,
    /// `del`: keys of entries that are gone.
    pub deleted: Vec<Cow<'a, str>>,
}

/// What one entry contributes to the digest of its set: the digest is the exclusive or over all
/// entries, and 0 if there is none. A watcher whose own entries have another digest has missed
/// something, and asks for a page.
///
/// The hash has 48 bits, so that JSON keeps it, and is made of 32-bit steps, so that a browser is
/// fast at it: over the bytes of the key, a zero byte and the version in decimal digits, FNV-1a
/// from two different beginnings; of each the last step of `MurmurHash3` and the upper 24 bits.
#[must_use]
pub fn entry_digest(key: &str, version: u64) -> u64 {
    const PRIME: u32 = 0x0100_0193;
    let mut halves = [0x811c_9dc5_u32, 0x9747_b28c];
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(version).bytes();
    for byte in key.bytes().chain([0]).chain(digits) {
        for half in &mut halves {
            *half = (*half ^ u32::from(byte)).wrapping_mul(PRIME);
        }
    }
    let [high, low] = halves.map(|half| u64::from(mixed(half) >> 8));
    high << 24 | low
}

/// Spreads what differs over all bits.
const fn mixed(mut half: u32) -> u32 {
    half ^= half >> 16;
    half = half.wrapping_mul(0x85eb_ca6b);
    half ^= half >> 13;
    half = half.wrapping_mul(0xc2b2_ae35);
    half ^ half >> 16
}

/// `op` of a [`StateCommand`], before it is known what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpName {
    Set,
    Delete,
    Page,
}

impl StateOp<'_> {
    pub(super) const fn name(&self) -> OpName {
        match self {
            Self::Set { .. } => OpName::Set,
            Self::Delete { .. } => OpName::Delete,
            Self::Page { .. } => OpName::Page,
        }
    }
}

/// The fields of a [`StateCommand`], as they were found.
#[derive(Debug, Default)]
pub(super) struct StateFields<'a> {
    pub(super) topic: Option<Cow<'a, str>>,
    pub(super) op: Option<OpName>,
    pub(super) namespace: Option<Cow<'a, str>>,
    pub(super) key: Option<Cow<'a, str>>,
    pub(super) value: Option<Cow<'a, str>>,
    pub(super) ttl_ms: Option<u64>,
    pub(super) after: Option<Cow<'a, str>>,
    pub(super) limit: Option<u64>,
}

impl<'a> StateFields<'a> {
    /// The command, if nothing is there that does not belong to it.
    pub(super) fn command(self) -> Result<StateCommand<'a>, Problem> {
        const OP: &str = "\"set\" or \"del\" or \"page\"";
        let topic = self.topic;
        let topic = topic.ok_or_else(|| Problem::missing("topic", "a topic's name"))?;
        let namespace = self.namespace;
        let namespace = namespace.ok_or_else(|| Problem::missing("ns", "a namespace"))?;
        check_namespace(&namespace).map_err(|problem| problem.within("ns"))?;
        let op = self.op.ok_or_else(|| Problem::missing("op", OP))?;
        let is_entry = op != OpName::Page;
        let is_presence = namespace == PRESENCE;
        for (field, is_there, belongs) in [
            ("k", self.key.is_some(), is_entry),
            ("v", self.value.is_some(), op == OpName::Set),
            ("ttl_ms", self.ttl_ms.is_some(), op == OpName::Set),
            ("after", self.after.is_some(), !is_entry),
            ("limit", self.limit.is_some(), !is_entry),
        ] {
            if is_there && !belongs {
                let text = "it does not belong to this op; leave it out";
                return Err(Problem::bad(text).within(field));
            }
        }
        if is_presence && self.key.is_some() {
            let text = "presence has one entry for each connection; leave it out";
            return Err(Problem::bad(text).within("k"));
        }
        if is_presence && self.ttl_ms.is_some() {
            let text = "presence lasts as long as the connection; leave it out";
            return Err(Problem::bad(text).within("ttl_ms"));
        }
        if let Some(key) = &self.key {
            check_key(key).map_err(|problem| problem.within("k"))?;
        }
        if let Some(value) = &self.value
            && value.len() > STATE_VALUE_BYTES_MAX
        {
            return Err(Problem::too_large(value.len(), STATE_VALUE_BYTES_MAX).within("v"));
        }
        if let Some(ttl_ms) = self.ttl_ms
            && !(1..=STATE_TTL_MS_MAX).contains(&ttl_ms)
        {
            let needed = format!("a number from 1 to {STATE_TTL_MS_MAX}");
            return Err(Problem::wrong(ttl_ms, &needed).within("ttl_ms"));
        }
        let op = match op {
            OpName::Set => StateOp::Set {
                key: self.key,
                value: self.value,
                ttl_ms: self.ttl_ms,
            },
            OpName::Delete => StateOp::Delete { key: self.key },
            OpName::Page => StateOp::Page {
                after: self.after,
                limit: self.limit,
            },
        };
        Ok(StateCommand {
            topic,
            namespace,
            op,
        })
    }
}

/// Whether this can be the name of a namespace.
fn check_namespace(name: &str) -> Result<(), Problem> {
    let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if (1..=NAMESPACE_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(Problem::wrong(
        Quoted(name),
        "a name of 1 to 32 of the characters a-z, 0-9, - and _,",
    ))
}

/// Whether these can be the names of namespaces.
pub(super) fn check_watch(names: &[Cow<'_, str>]) -> Result<(), Problem> {
    for (place, name) in names.iter().enumerate() {
        check_namespace(name).map_err(|problem| problem.at(place).within("watch"))?;
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), Problem> {
    match key.len() {
        0 => Err(Problem::bad(
            "empty; leave it out for the connection's own key",
        )),
        1..=STATE_KEY_BYTES_MAX => Ok(()),
        bytes => Err(Problem::bad(format!(
            "{bytes} bytes; at most {STATE_KEY_BYTES_MAX} are possible"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_48_bits_and_depends_on_key_and_version() {
        let mut seen = std::collections::BTreeSet::new();
        for key in ["", "a", "b", "c1-7", "\0", "é"] {
            for version in [0, 1, 2, 10, 1 << 52] {
                let digest = entry_digest(key, version);
                assert!(digest < 1 << 48);
                assert!(seen.insert(digest), "{key:?} {version}");
            }
        }
        // A key that ends in digits is not another version.
        assert_ne!(entry_digest("a1", 2), entry_digest("a", 12));
    }
}

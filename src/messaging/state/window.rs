//! What has changed in a set within a window of time, on its way to those who watch.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use corewire_protocol::PreparedMessage;
use corewire_protocol::native::{Dialect, Entry, Push, StateDiff};

use super::super::publication::TopicId;
use super::set::Count;

/// What is told of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::messaging) struct Item {
    pub(super) key: Arc<str>,
    pub(super) user: Arc<str>,
    /// The set's version when it was set last.
    pub(super) version: u64,
    /// JSON, as it was written.
    pub(super) value: Option<Arc<str>>,
}

/// The changes of a set from one version to another. It crosses a core's border as one reference,
/// and is written in each dialect and form at most once for the whole node.
#[derive(Debug)]
pub(in crate::messaging) struct Window {
    pub(super) topic: Arc<TopicId>,
    pub(super) namespace: Arc<str>,
    /// The version before.
    pub(super) from: u64,
    /// The set afterwards.
    pub(super) count: Count,
    /// Whether the number of users is told.
    pub(super) users: Users,
    pub(super) body: Body,
    whole: Forms,
    mark: Forms,
}

/// What a window says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::messaging) enum Body {
    /// All that has changed.
    Changes {
        /// Entries that are new, or have another value.
        set: Vec<Item>,
        /// Keys of entries that were there before and are not now.
        gone: Vec<Arc<str>>,
    },
    /// Only that the set is another one: whoever wants to know which asks for it.
    Mark,
}

/// Whether users are counted in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::messaging) enum Users {
    Told,
    Untold,
}

/// How much of a window a watcher is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::messaging) enum Form {
    /// What it says.
    Whole,
    /// As if it were a mark: the watcher has missed what was before.
    Mark,
}

#[derive(Debug, Default)]
struct Forms {
    json: OnceLock<PreparedMessage>,
    binary: OnceLock<PreparedMessage>,
}

impl Item {
    /// Bytes that an entry has on the wire beside its texts, at most.
    pub(super) const OVERHEAD_BYTES: usize = 48;

    /// Bytes that it counts for where memory is bounded.
    pub(super) fn bytes_kept(&self) -> usize {
        super::set::Set::bytes_of(&self.key, &self.user, self.value.as_deref())
    }

    /// Bytes that it counts for where messages are bounded.
    pub(super) fn bytes_told(&self) -> usize {
        let value = self.value.as_ref().map_or(0, |value| value.len());
        Self::OVERHEAD_BYTES + self.key.len() + self.user.len() + value
    }

    /// As the wire says it.
    pub(super) fn told(&self) -> Entry<'_> {
        Entry {
            key: Cow::Borrowed(&self.key),
            user: Cow::Borrowed(&self.user),
            version: self.version,
            value: self.value.as_deref().map(Cow::Borrowed),
        }
    }

    /// The same for a word that outlives it.
    pub(super) fn into_told(self) -> Entry<'static> {
        Entry {
            key: Cow::Owned(self.key.to_string()),
            user: Cow::Owned(self.user.to_string()),
            version: self.version,
            value: self.value.map(|value| Cow::Owned(value.to_string())),
        }
    }
}

impl Window {
    pub(super) fn new(
        (topic, namespace): (&Arc<TopicId>, &Arc<str>),
        from: u64,
        (count, users): (Count, Users),
        body: Body,
    ) -> Self {
        Self {
            topic: Arc::clone(topic),
            namespace: Arc::clone(namespace),
            from,
            count,
            users,
            body,
            whole: Forms::default(),
            mark: Forms::default(),
        }
    }

    /// The alias of its topic.
    pub(in crate::messaging) fn alias(&self) -> u64 {
        self.topic.alias
    }

    /// Bytes that it counts for where memory is bounded.
    pub(super) fn bytes(&self) -> usize {
        let changes = match &self.body {
            Body::Mark => 0,
            Body::Changes { set, gone } => {
                let set = set.iter().map(Item::bytes_told).sum::<usize>();
                let gone = gone.iter().map(|key| key.len() + Item::OVERHEAD_BYTES);
                set + gone.sum::<usize>()
            }
        };
        256 + changes
    }

    /// The `state` push, ready for the wire. `written` is called if it was not before.
    pub(in crate::messaging) fn message(
        &self,
        dialect: Dialect,
        form: Form,
        written: impl FnOnce(),
    ) -> &PreparedMessage {
        let forms = match (form, &self.body) {
            (Form::Whole, Body::Changes { .. }) => &self.whole,
            (Form::Whole, Body::Mark) | (Form::Mark, _) => &self.mark,
        };
        let cell = match dialect {
            Dialect::Json => &forms.json,
            Dialect::Binary => &forms.binary,
        };
        cell.get_or_init(|| {
            written();
            let mut bytes = Vec::new();
            dialect.write_push(&Push::State(self.told(form)), &mut bytes);
            PreparedMessage::new(dialect.kind(), &bytes)
        })
    }

    /// As the wire says it.
    pub(super) fn told(&self, form: Form) -> StateDiff<'_> {
        let (set, deleted) = match (&self.body, form) {
            (Body::Changes { set, gone }, Form::Whole) => (
                set.iter().map(Item::told).collect(),
                gone.iter().map(|key| Cow::Borrowed(&**key)).collect(),
            ),
            (Body::Changes { .. }, Form::Mark) | (Body::Mark, _) => (Vec::new(), Vec::new()),
        };
        StateDiff {
            t: self.topic.alias,
            namespace: Cow::Borrowed(&self.namespace),
            version: self.count.version,
            n: self.count.entries,
            users: (self.users == Users::Told).then_some(self.count.users),
            digest: self.count.digest,
            set,
            deleted,
        }
    }
}

//! What this client has set in the state of topics: said again on the next connection for as long as
//! it lasts.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use corewire_protocol::native::{Command, PRESENCE, Request, STATE_TTL_MS_MAX};
use corewire_protocol::native::{StateCommand, StateOp};

/// Ephemeral entries that a client has at a time; a server takes no more of one connection.
pub(super) const OWN_MAX: usize = 64;

/// An entry of one's own: the topic, the namespace, the key if one was chosen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: Arc<str>,
    pub(super) namespace: Arc<str>,
    pub(super) key: Option<Arc<str>>,
}

impl Place {
    fn is_presence(&self) -> bool {
        &*self.namespace == PRESENCE
    }
}

#[derive(Debug)]
enum Kept {
    /// It is there until this moment, if it has an end.
    Lasts {
        value: Option<Arc<str>>,
        until_ms: Option<u64>,
        /// Until this moment the server need not be told the same once more.
        renews_at_ms: u64,
    },
    /// The server is to end it, unless it has done so by itself at this moment.
    Ended { until_ms: Option<u64> },
}

impl Kept {
    fn is_over(&self, now_ms: u64) -> bool {
        let (Self::Lasts { until_ms, .. } | Self::Ended { until_ms }) = self;
        until_ms.is_some_and(|until_ms| until_ms <= now_ms)
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Own {
    kept: BTreeMap<Place, Kept>,
    /// Those that the connection is to be told.
    due: BTreeSet<Place>,
}

/// There are so many that last, as many as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

impl Own {
    /// Sets an entry, which lasts for `ttl_ms`, or in presence until it is cleared.
    pub(super) fn set(
        &mut self,
        place: Place,
        value: Option<Arc<str>>,
        ttl_ms: Option<u64>,
        now_ms: u64,
    ) -> Result<(), TooMany> {
        if let Some(Kept::Lasts {
            value: before,
            renews_at_ms,
            ..
        }) = self.kept.get(&place)
            && *before == value
            && now_ms < *renews_at_ms
        {
            return Ok(());
        }
        let (until_ms, renews_at_ms) = if place.is_presence() {
            (None, u64::MAX)
        } else {
            if !self.kept.contains_key(&place) {
                self.make_room(now_ms)?;
            }
            let ttl_ms = ttl_ms.unwrap_or(STATE_TTL_MS_MAX);
            (Some(now_ms + ttl_ms), now_ms + ttl_ms / 2)
        };
        let lasts = Kept::Lasts {
            value,
            until_ms,
            renews_at_ms,
        };
        self.kept.insert(place.clone(), lasts);
        self.due.insert(place);
        Ok(())
    }

    fn make_room(&mut self, now_ms: u64) -> Result<(), TooMany> {
        self.kept.retain(|_, kept| !kept.is_over(now_ms));
        let ephemeral = self.kept.keys().filter(|place| !place.is_presence());
        match ephemeral.count() < OWN_MAX {
            true => Ok(()),
            false => Err(TooMany),
        }
    }

    /// Ends an entry.
    pub(super) fn clear(&mut self, place: Place) {
        if let Some(Kept::Lasts { until_ms, .. }) = self.kept.get(&place) {
            let until_ms = *until_ms;
            self.kept.insert(place.clone(), Kept::Ended { until_ms });
            self.due.insert(place);
        }
    }

    /// The server knows that this client is in the topic, and perhaps not what it says there.
    pub(super) fn announced(&mut self, topic: &str) {
        let mut all = self.kept.keys();
        let presence = all.find(|place| place.is_presence() && &*place.topic == topic);
        self.due.extend(presence.cloned());
    }

    /// Nothing announces this client in the topic any more.
    pub(super) fn leave(&mut self, topic: &str) {
        self.kept
            .retain(|place, _| !(place.is_presence() && &*place.topic == topic));
    }

    /// There is another connection, which knows of nothing.
    pub(super) fn begin(&mut self) {
        self.due = self.kept.keys().cloned().collect();
    }

    /// The next one that the server is to be told.
    pub(super) fn first(&mut self, id: u64, now_ms: u64) -> Option<Request<'_>> {
        // What is over, or was left, the server knows by itself.
        while let Some(place) = self.due.first()
            && self.kept.get(place).is_none_or(|kept| kept.is_over(now_ms))
        {
            if let Some(place) = self.due.pop_first() {
                self.kept.remove(&place);
            }
        }
        let place = self.due.first()?;
        let key = place.key.as_deref().map(Cow::Borrowed);
        let op = match self.kept.get(place)? {
            Kept::Lasts {
                value, until_ms, ..
            } => StateOp::Set {
                key,
                value: value.as_deref().map(Cow::Borrowed),
                ttl_ms: until_ms.map(|until_ms| until_ms - now_ms),
            },
            Kept::Ended { .. } => StateOp::Delete { key },
        };
        Some(Request {
            id: Some(id),
            command: Command::State(StateCommand {
                topic: Cow::Borrowed(&place.topic),
                namespace: Cow::Borrowed(&place.namespace),
                op,
            }),
        })
    }

    /// It was told. Returns which.
    pub(super) fn said(&mut self) -> Option<Place> {
        let place = self.due.pop_first()?;
        if let Some(Kept::Ended { .. }) = self.kept.get(&place) {
            self.kept.remove(&place);
        }
        Some(place)
    }
}

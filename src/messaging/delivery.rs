//! One topic's way to one client.

use corewire_protocol::native::{Cause, Policy, PolicyMode};
use slotmap::{SlotMap, new_key_type};
use smallvec::SmallVec;

use crate::hash::{Seed, Table};

use super::catch_up::PageKey;
use super::client::ClientKey;
use super::hub::TopicKey;

new_key_type! {
    /// The name of a delivery on its core.
    pub(super) struct DeliveryKey;
}

/// What a client is sent of a topic, and how far it has come: a cursor, whatever it is behind. A
/// client has at most one for each topic; all its subscriptions that the topic fits share it.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) client: ClientKey,
    pub(super) topic: TopicKey,
    /// All up to this offset was sent, or accounted for.
    pub(super) cursor: u64,
    /// What was there when it began, up to this offset, is sent under any policy.
    pub(super) replay_to: u64,
    /// What it reads from the log, or waits for.
    pub(super) page: Option<PageKey>,
    /// What it serves, nearly always one.
    pub(super) subscriptions: SmallVec<[u64; 2]>,
    /// Those among them that name the topic itself.
    pub(super) exact: u32,
    pub(super) policy: InForce,
    pub(super) credit: Option<Box<DeliveryCredit>>,
    pub(super) standing: Standing,
    pub(super) alias: Alias,
    /// In the list of its topic's current deliveries, or of its client's deliveries that are
    /// behind.
    line: Links,
    /// In the list of all deliveries of its client, what was used last at its end.
    own: Links,
}

/// Where a delivery stands.
///
/// ```text
///              a message comes                        no credit
///   Current ─────────────────────▶ Behind ─────────────────────────▶ Stalled
///      ▲                           │ │  ▲                               │
///      └──── all is sent ──────────┘ │  ├─────────── credit ────────────┘
///                                    │  └─────────── page ──────────────┐
///                                    └── the next message is not here ▶ Reading
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing waits. In its topic's list.
    Current,
    /// Something waits. In its client's list.
    Behind,
    /// Something waits, for credit. In no list.
    Stalled,
    /// Something waits, to be read from the log. In no list.
    Reading,
}

/// Whether the client knows the topic's alias, and for which subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alias {
    /// It was sent nothing of the topic.
    New,
    Unknown,
    /// And it is to be told that messages may be missing before, and why.
    UnknownAfter(Cause),
    Announced,
}

impl Alias {
    /// The subscriptions have changed: the client is to be told again.
    pub(super) const fn again(self) -> Self {
        match self {
            Self::New => Self::New,
            Self::Unknown | Self::Announced => Self::Unknown,
            Self::UnknownAfter(cause) => Self::UnknownAfter(cause),
        }
    }
}

/// What happens when the client does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InForce {
    pub(super) mode: PolicyMode,
    pub(super) max_bytes: u32,
    pub(super) max_messages: u32,
}

impl InForce {
    /// What is asked for, within the server's bound.
    pub(super) fn of(policy: Option<Policy>, backlog_bytes: u32) -> Self {
        let within = |asked: Option<u64>, max: u32| {
            asked
                .and_then(|asked| u32::try_from(asked).ok())
                .map_or(max, |asked| asked.min(max))
        };
        Self {
            mode: policy.map(|policy| policy.mode).unwrap_or_default(),
            max_bytes: within(policy.and_then(|policy| policy.max_bytes), backlog_bytes),
            max_messages: within(policy.and_then(|policy| policy.max_messages), u32::MAX),
        }
    }

    /// What the client is told.
    pub(super) fn told(self) -> Policy {
        Policy {
            mode: self.mode,
            max_bytes: Some(u64::from(self.max_bytes)),
            max_messages: (self.max_messages != u32::MAX).then_some(u64::from(self.max_messages)),
        }
    }
}

/// How much may be sent, as totals since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeliveryCredit {
    pub(super) sent_messages: u64,
    pub(super) sent_bytes: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// The messages that `sub` has brought, if it did.
    pub(super) first: Option<u64>,
}

impl DeliveryCredit {
    pub(super) const UNLIMITED: Self = Self {
        sent_messages: 0,
        sent_bytes: 0,
        messages: u64::MAX,
        bytes: u64::MAX,
        first: None,
    };

    /// Begins with what `sub` has brought.
    pub(super) fn begin(&mut self, messages: u64) {
        self.first = Some(messages);
        self.raise(Some(messages), None);
    }

    /// Whether another message may be sent. The last one may be larger than what is left.
    pub(super) const fn is_left(&self) -> bool {
        self.sent_messages < self.messages && self.sent_bytes < self.bytes
    }

    pub(super) const fn spend(&mut self, bytes: usize) {
        self.sent_messages += 1;
        self.sent_bytes += bytes as u64;
    }

    /// Takes note of new totals; smaller ones than before change nothing.
    pub(super) fn raise(&mut self, messages: Option<u64>, bytes: Option<u64>) {
        let raised = |before: u64, to: Option<u64>| match to {
            Some(to) if before == u64::MAX => to,
            Some(to) => before.max(to),
            None => before,
        };
        self.messages = raised(self.messages, messages);
        self.bytes = raised(self.bytes, bytes);
    }
}

/// The ends of a list of deliveries.
#[derive(Debug, Default)]
pub(super) struct List {
    first: Option<DeliveryKey>,
    last: Option<DeliveryKey>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Links {
    before: Option<DeliveryKey>,
    behind: Option<DeliveryKey>,
}

/// Which of its two lists a delivery is looked at in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Its topic's, or its client's of those behind.
    Line,
    /// Its client's, of all.
    Own,
}

/// The deliveries of a core.
#[derive(Debug)]
pub(super) struct Deliveries {
    all: SlotMap<DeliveryKey, Delivery>,
    /// By client and topic, of which each pair has at most one.
    by_pair: Table<DeliveryKey>,
    seed: Seed,
}

impl Delivery {
    const fn pair(&self) -> (ClientKey, TopicKey) {
        (self.client, self.topic)
    }

    /// A delivery of what is behind `cursor`, of a topic whose last message is at `end`.
    pub(super) fn new(
        client: ClientKey,
        topic: TopicKey,
        (cursor, end): (u64, u64),
        policy: InForce,
    ) -> Self {
        Self {
            client,
            topic,
            cursor,
            replay_to: end,
            page: None,
            subscriptions: SmallVec::new(),
            exact: 0,
            policy,
            credit: None,
            standing: Standing::Current,
            alias: Alias::New,
            line: Links::default(),
            own: Links::default(),
        }
    }

    /// The credit, to be spent or raised.
    pub(super) fn credit_mut(&mut self) -> &mut DeliveryCredit {
        self.credit
            .get_or_insert_with(|| Box::new(DeliveryCredit::UNLIMITED))
    }

    /// Begins earlier, if its client was not sent anything yet. Returns whether everything behind
    /// the offset comes.
    pub(super) fn begin_at(&mut self, after: u64) -> bool {
        if self.alias == Alias::New {
            self.cursor = self.cursor.min(after);
        }
        self.cursor <= after
    }

    /// Whether its credit is used up.
    pub(super) fn is_out_of_credit(&self) -> bool {
        self.credit.as_ref().is_some_and(|credit| !credit.is_left())
    }

    const fn links(&mut self, of: Of) -> &mut Links {
        match of {
            Of::Line => &mut self.line,
            Of::Own => &mut self.own,
        }
    }
}

impl List {
    pub(super) const fn first(&self) -> Option<DeliveryKey> {
        self.first
    }
}

impl Deliveries {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            all: SlotMap::with_key(),
            by_pair: Table::new(),
            seed,
        }
    }

    pub(super) fn insert(&mut self, delivery: Delivery) -> DeliveryKey {
        let hash = self.seed.hash(&delivery.pair());
        let key = self.all.insert(delivery);
        let (all, seed) = (&self.all, &self.seed);
        self.by_pair
            .insert_unique(hash, key, |&key| seed.hash(&all[key].pair()));
        key
    }

    /// Takes it out. It must have been taken from its lists before.
    pub(super) fn remove(&mut self, key: DeliveryKey) -> Option<Delivery> {
        let delivery = self.all.remove(key)?;
        let hash = self.seed.hash(&delivery.pair());
        if let Ok(entry) = self.by_pair.find_entry(hash, |&known| known == key) {
            entry.remove();
        }
        Some(delivery)
    }

    /// A client's delivery of a topic.
    pub(super) fn find(&self, client: ClientKey, topic: TopicKey) -> Option<DeliveryKey> {
        let pair = (client, topic);
        self.by_pair
            .find(self.seed.hash(&pair), |&key| self.all[key].pair() == pair)
            .copied()
    }

    pub(super) fn get(&self, key: DeliveryKey) -> Option<&Delivery> {
        self.all.get(key)
    }

    pub(super) fn get_mut(&mut self, key: DeliveryKey) -> Option<&mut Delivery> {
        self.all.get_mut(key)
    }

    pub(super) fn push_back(&mut self, list: &mut List, key: DeliveryKey, of: Of) {
        let last = list.last.replace(key);
        match last {
            Some(last) => self.set_behind(last, of, Some(key)),
            None => list.first = Some(key),
        }
        if let Some(delivery) = self.all.get_mut(key) {
            *delivery.links(of) = Links {
                before: last,
                behind: None,
            };
        }
    }

    pub(super) fn push_front(&mut self, list: &mut List, key: DeliveryKey, of: Of) {
        let first = list.first.replace(key);
        match first {
            Some(first) => self.set_before(first, of, Some(key)),
            None => list.last = Some(key),
        }
        if let Some(delivery) = self.all.get_mut(key) {
            *delivery.links(of) = Links {
                before: None,
                behind: first,
            };
        }
    }

    /// Makes one that is in the list its last.
    pub(super) fn move_to_back(&mut self, list: &mut List, key: DeliveryKey, of: Of) {
        // As the only one always is.
        if list.last != Some(key) {
            self.unlink(list, key, of);
            self.push_back(list, key, of);
        }
    }

    pub(super) fn pop_front(&mut self, list: &mut List, of: Of) -> Option<DeliveryKey> {
        let first = list.first?;
        self.unlink(list, first, of);
        Some(first)
    }

    pub(super) fn unlink(&mut self, list: &mut List, key: DeliveryKey, of: Of) {
        let Some(delivery) = self.all.get_mut(key) else {
            return;
        };
        let Links { before, behind } = std::mem::take(delivery.links(of));
        match before {
            Some(before) => self.set_behind(before, of, behind),
            None => list.first = behind,
        }
        match behind {
            Some(behind) => self.set_before(behind, of, before),
            None => list.last = before,
        }
    }

    /// Every delivery of the core.
    pub(super) fn all(&self) -> impl Iterator<Item = &Delivery> {
        self.all.values()
    }

    /// The delivery behind this one.
    pub(super) fn next(&self, key: DeliveryKey, of: Of) -> Option<DeliveryKey> {
        let delivery = self.all.get(key)?;
        match of {
            Of::Line => delivery.line.behind,
            Of::Own => delivery.own.behind,
        }
    }

    fn set_behind(&mut self, key: DeliveryKey, of: Of, behind: Option<DeliveryKey>) {
        if let Some(delivery) = self.all.get_mut(key) {
            delivery.links(of).behind = behind;
        }
    }

    fn set_before(&mut self, key: DeliveryKey, of: Of, before: Option<DeliveryKey>) {
        if let Some(delivery) = self.all.get_mut(key) {
            delivery.links(of).before = before;
        }
    }
}

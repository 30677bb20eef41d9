//! What the subscriber of a pattern has missed.
//!
//! A pattern has a position: one mark of each home core ([`Marks`]). Whoever comes back with one is
//! sent, of each topic that the pattern matches, what has a larger mark, and then what comes. Each
//! home core is asked twice:
//!
//! 1. with the interest, whether it can vouch for everything behind its mark. When all have
//!    answered, the subscription is made: at its position if all can, live with a `reset` if not.
//! 2. for the topics that have messages behind its mark, a page at a time, in the order of the last
//!    message of each. A topic that is published in meanwhile comes again behind the others, so
//!    what is known at the last page is complete, and all that follows it in the line is live. Until
//!    then the subscriber gets of this core's topics only those that were listed.
//!
//! A listed topic becomes a delivery that is behind, and reads its log like any other
//! ([`catch_up`](super::catch_up)).

use std::ops::RangeInclusive;

use corewire_protocol::native::{Cause, PatternPlace, Recovered, Start};

use crate::engine::Effects;
use crate::hash::Map;
use crate::ids::CoreId;

use super::client::{ClientKey, Clients};
use super::core_set::CoreSet;
use super::delivery::Alias;
use super::home::{Arrears, Changed, Cursor, Missed, Proof, Reach};
use super::hub::{Hub, Outgoing, PatternKey};
use super::mail::{Mail, WalkRequest};
use super::patterns::{Patterns, subbed};
use super::place::{HomeMark, Marks};
use super::publication::TopicId;
use super::requests::Requests;
use super::subscriptions::Subscribed;
use super::topic::{Answer, Outcome, Waiting, Wanted};

/// Deliveries that a client may have behind before the next page of topics is asked for.
const AHEAD_MAX: u32 = 1024;

/// The name of a walk. Those of one client stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WalkNumber {
    client: ClientKey,
    /// Among those of its core.
    number: u64,
}

/// A subscription to a pattern that begins before it was made.
#[derive(Debug)]
pub(super) struct Walk {
    pattern: PatternKey,
    waiting: Waiting,
    from: From,
    /// How far its client is in topics, by their names: the epoch and the offset.
    seen: Map<Box<str>, (Box<str>, u64)>,
    stage: Stage,
}

/// Where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    /// At a position.
    Marks(Marks),
    /// At a position that is not from this node, or not from this time.
    Nowhere,
    /// Now, and with some of what was before in each topic.
    Now(Reach),
}

/// How far it is.
///
/// ```text
///   Asking ─── all home cores vouch for its position ───▶ Walking ─── all have listed all ───▶ live
///      └────── one does not ─────────────────────────────────────────────────────────────────▶ live
/// ```
#[derive(Debug)]
enum Stage {
    Asking {
        /// Who has not answered.
        missing: CoreSet,
        vouched: Vouched,
    },
    Walking {
        /// Who has not listed anything: until then nothing is sent, so that topics with other
        /// subscriptions of the client do not go ahead.
        silent: CoreSet,
        /// Who has not listed all.
        pending: CoreSet,
        /// Who is to be asked for the next page when its client is ready for it.
        paused: Vec<(CoreId, Cursor)>,
    },
}

/// Whether a home core knows everything behind a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vouched {
    Yes,
    No,
}

impl Walk {
    /// Who waits for its first answers.
    pub(super) const fn waiting(&self) -> Option<&Waiting> {
        match self.stage {
            Stage::Asking { .. } => Some(&self.waiting),
            Stage::Walking { .. } => None,
        }
    }

    fn is_pending(&self, home: CoreId) -> bool {
        match &self.stage {
            Stage::Walking { pending, .. } => pending.contains(home),
            Stage::Asking { .. } => false,
        }
    }

    /// The first offset of a topic that its client has not seen, less one, and why nothing can be
    /// said of that.
    fn cursor(&self, arrears: &Arrears) -> (u64, Option<Cause>) {
        let seen = self
            .seen
            .get(&arrears.id.name)
            .filter(|(epoch, _)| *epoch == arrears.id.epoch)
            .map(|(_, offset)| (*offset).min(arrears.end));
        // What it has seen it knows better than the marks, which may stand for what it was not sent.
        match (seen, arrears.proof) {
            (Some(seen), _) if seen >= arrears.start => (seen, None),
            (Some(_), _) => (arrears.end, Some(Cause::Retention)),
            (None, Proof::Lost(cause)) => (arrears.end, Some(cause)),
            (None, Proof::Exact | Proof::NotAsked) => (arrears.after, None),
        }
    }
}

impl WalkNumber {
    /// All that a client can have.
    const fn of(client: ClientKey) -> RangeInclusive<Self> {
        let (first, last) = (0, u64::MAX);
        let first = Self {
            client,
            number: first,
        };
        let last = Self {
            client,
            number: last,
        };
        first..=last
    }
}

impl Patterns {
    /// A client's.
    pub(super) fn walks_of(&self, client: ClientKey) -> impl Iterator<Item = (WalkNumber, &Walk)> {
        let walks = self.walks.range(WalkNumber::of(client));
        walks.map(|(number, walk)| (*number, walk))
    }

    /// Whether a walk still has to be told of topics of this home core.
    pub(super) fn walks_through(&self, number: WalkNumber, home: CoreId) -> bool {
        let walk = self.walks.get(&number);
        walk.is_some_and(|walk| walk.is_pending(home))
    }

    /// Whether a client is sent nothing until home cores have begun to list topics.
    pub(super) fn is_listing(&self, client: ClientKey) -> bool {
        self.walks_of(client).any(|(_, walk)| match &walk.stage {
            Stage::Walking { silent, .. } => !silent.is_empty(),
            Stage::Asking { .. } => false,
        })
    }

    /// The mark that a home core is asked to vouch for.
    pub(super) fn mark_of(&self, number: WalkNumber, home: CoreId) -> Option<HomeMark> {
        match &self.walks.get(&number)?.from {
            From::Marks(marks) => Some(marks.of(home)),
            From::Nowhere | From::Now(_) => None,
        }
    }

    /// What a home core is asked for when it is to list topics.
    pub(super) fn walk_request(
        &self,
        requests: &mut Requests,
        (number, home): (WalkNumber, CoreId),
        from: Option<Cursor>,
    ) -> Option<WalkRequest> {
        let walk = self.walks.get(&number)?;
        let From::Marks(marks) = &walk.from else {
            return None;
        };
        let HomeMark {
            life: home_life,
            mark,
        } = marks.of(home);
        let pattern = self.patterns.get(walk.pattern)?.text.clone();
        Some(WalkRequest {
            stamp: requests.sent(home, 0),
            number,
            pattern,
            missed: Missed {
                mark,
                reach: marks.reach,
            },
            home_life,
            from,
        })
    }

    /// A client that is still told of topics has forgotten one, and how far it had come.
    pub(super) fn remember(&mut self, client: ClientKey, id: &TopicId, cursor: u64) {
        for (_, walk) in self.walks.range_mut(WalkNumber::of(client)) {
            let place = (id.epoch.clone(), cursor);
            walk.seen.insert(id.name.clone(), place);
        }
    }

    /// Walks that wait for a home core that has lost its memory: nobody vouches for it.
    fn walks_without(&self, pattern: PatternKey, home: CoreId) -> Vec<WalkNumber> {
        self.walks
            .iter()
            .filter(|(_, walk)| walk.pattern == pattern)
            .filter(|(_, walk)| match &walk.stage {
                Stage::Asking { missing, vouched } => {
                    *vouched == Vouched::No && missing.contains(home)
                }
                Stage::Walking { .. } => false,
            })
            .map(|(number, _)| *number)
            .collect()
    }
}

impl Hub {
    /// A client wants a pattern, with what it has missed. It is answered when all home cores have
    /// answered.
    pub(super) fn begin_walk(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        (text, from): (&str, &Start<'_>),
        (wanted, answer): (Wanted, Answer),
    ) {
        let patterns = &mut self.patterns;
        let cores = patterns.cores();
        let known = patterns.by_text.get(text).copied();
        let key = known.unwrap_or_else(|| patterns.add(text, cores));
        let mut seen = Map::with_hasher(self.seed.clone());
        let from = match from {
            Start::Pattern(place) => {
                let PatternPlace { pos, seen: topics } = &**place;
                for one in topics {
                    let place = (one.epoch.as_ref().into(), one.offset);
                    seen.insert(one.topic.as_ref().into(), place);
                }
                let marks = patterns.parse(pos);
                marks.map_or(From::Nowhere, From::Marks)
            }
            Start::Last(messages) => From::Now(Reach::Last(*messages)),
            Start::Since(time_ms) => From::Now(Reach::Since(*time_ms)),
            Start::Now | Start::After(_) => From::Nowhere,
        };
        let vouched = match from {
            From::Nowhere => Vouched::No,
            From::Marks(_) | From::Now(_) => Vouched::Yes,
        };
        patterns.walks_begun += 1;
        let number = WalkNumber {
            client,
            number: patterns.walks_begun,
        };
        patterns.patterns[key].walks += 1;
        patterns.walks.insert(
            number,
            Walk {
                pattern: key,
                waiting: Waiting {
                    client,
                    wanted,
                    answer,
                },
                from,
                seen,
                stage: Stage::Asking {
                    missing: CoreSet::first(cores),
                    vouched,
                },
            },
        );
        if let Some(of_client) = clients.get_mut(client) {
            let policy = wanted.policy;
            let to = Subscribed::Pattern { key, policy };
            of_client.subscriptions.insert((wanted.s, to).into());
            of_client.walks += 1;
        }
        self.outgoing
            .push_back(Outgoing::PatternInterest(text.into(), Some(number)));
    }

    /// A home core has granted a pattern, and said whether it vouches for what a walk wants to
    /// know. Returns what becomes of the walks that have all their answers.
    pub(super) fn vouched(
        &mut self,
        clients: &mut Clients,
        (pattern, home): (&str, CoreId),
        vouched: Option<(WalkNumber, Vouched)>,
    ) -> Vec<Outcome> {
        let Some(&key) = self.patterns.by_text.get(pattern) else {
            return Vec::new();
        };
        let asked = vouched.into_iter();
        let lost = self.patterns.walks_without(key, home);
        let lost = lost.into_iter().map(|number| (number, Vouched::No));
        asked
            .chain(lost)
            .filter_map(|(number, vouched)| self.answer_walk(clients, (number, home), vouched))
            .collect()
    }

    fn answer_walk(
        &mut self,
        clients: &mut Clients,
        (number, home): (WalkNumber, CoreId),
        answer: Vouched,
    ) -> Option<Outcome> {
        let patterns = &mut self.patterns;
        let walk = patterns.walks.get_mut(&number)?;
        let Stage::Asking { missing, vouched } = &mut walk.stage else {
            return None;
        };
        missing.remove(home);
        if answer == Vouched::No {
            *vouched = Vouched::No;
        }
        if !missing.is_empty() {
            return None;
        }
        let vouched = *vouched;
        let (key, waiting) = (walk.pattern, walk.waiting.clone());
        let Waiting {
            client,
            wanted,
            answer,
        } = waiting;
        patterns.patterns.get_mut(key)?.walks -= 1;
        let now = patterns.now();
        let walk = patterns.walks.get(&number)?;
        let (marks, recovered) = match (&walk.from, vouched) {
            (From::Marks(marks), Vouched::Yes) => (marks.clone(), Some(Recovered::Yes)),
            (From::Now(reach), _) => (now.with(*reach), None),
            (From::Marks(_) | From::Nowhere, _) => (now, Some(Recovered::No)),
        };
        let pos = patterns.told(&marks);
        if let Some(walk) = patterns.walks.get_mut(&number) {
            walk.from = From::Marks(marks);
        }
        let live = recovered == Some(Recovered::No);
        if live {
            self.patterns.walks.remove(&number);
            if let Some(client) = clients.get_mut(client) {
                client.walks -= 1;
                client.talk().resets.insert(wanted.s, Cause::Node);
            }
        } else {
            let homes = CoreSet::first(self.patterns.cores());
            if let Some(walk) = self.patterns.walks.get_mut(&number) {
                walk.stage = Stage::Walking {
                    silent: homes,
                    pending: homes,
                    paused: Vec::new(),
                };
            }
            for home in homes.iter() {
                let from = None;
                let walk = Outgoing::Walk { number, home, from };
                self.outgoing.push_back(walk);
            }
        }
        let walk = (!live).then_some(number);
        self.patterns.join(key, (client, wanted), walk);
        Some(Outcome {
            client,
            answer,
            s: wanted.s,
            result: Ok(subbed(wanted, pos, recovered)),
        })
    }

    /// A home core has listed topics that a walk asked for. Returns the client, whose `welcome` may
    /// have waited for that.
    pub(super) fn listed(
        &mut self,
        clients: &mut Clients,
        (number, home): (WalkNumber, CoreId),
        (changed, vouched): (Changed, Vouched),
        effects: &mut Effects<Mail>,
    ) -> Option<ClientKey> {
        let walk = self.patterns.walks.get(&number)?;
        let (key, wanted) = (walk.waiting.client, walk.waiting.wanted);
        if !walk.is_pending(home) {
            return None;
        }
        if vouched == Vouched::No {
            reset(clients, (key, wanted.s), Cause::Retention, effects);
            self.is_live(clients, (number, home), effects);
            return Some(key);
        }
        for arrears in changed.topics {
            self.arrears(clients, number, &arrears, effects);
        }
        if let Some(walk) = self.patterns.walks.get_mut(&number)
            && let Stage::Walking { silent, .. } = &mut walk.stage
        {
            silent.remove(home);
        }
        let client = clients.get(key)?;
        if let Some(conn) = client.conn {
            effects.ready(conn);
        }
        match changed.next {
            None => self.is_live(clients, (number, home), effects),
            Some(next) if client.behind_count < AHEAD_MAX => {
                let from = Some(next);
                let walk = Outgoing::Walk { number, home, from };
                self.outgoing.push_back(walk);
            }
            Some(next) => {
                if let Some(walk) = self.patterns.walks.get_mut(&number)
                    && let Stage::Walking { paused, .. } = &mut walk.stage
                {
                    paused.push((home, next));
                }
            }
        }
        Some(key)
    }

    /// A client has been sent something: it may be ready for more topics.
    pub(super) fn walk_on(&mut self, clients: &Clients, key: ClientKey) {
        let ready = |client: &super::client::Client| {
            client.walks > 0 && client.behind_count <= AHEAD_MAX / 2
        };
        if !clients.get(key).is_some_and(ready) {
            return;
        }
        for (&number, walk) in self.patterns.walks.range_mut(WalkNumber::of(key)) {
            if let Stage::Walking { paused, .. } = &mut walk.stage {
                for (home, next) in paused.drain(..) {
                    let from = Some(next);
                    let walk = Outgoing::Walk { number, home, from };
                    self.outgoing.push_back(walk);
                }
            }
        }
    }

    /// The subscription of a walk has ended.
    pub(super) fn end_walk(&mut self, clients: &mut Clients, client: ClientKey, s: u64) {
        let found = {
            let mut of_client = self.patterns.walks_of(client);
            of_client.find(|(_, walk)| walk.waiting.wanted.s == s)
        };
        let Some(number) = found.map(|(number, _)| number) else {
            return;
        };
        let Some(walk) = self.patterns.walks.remove(&number) else {
            return;
        };
        if matches!(walk.stage, Stage::Asking { .. })
            && let Some(pattern) = self.patterns.patterns.get_mut(walk.pattern)
        {
            pattern.walks -= 1;
        }
        if let Some(client) = clients.get_mut(client) {
            client.walks -= 1;
        }
    }

    /// A home core has lost its memory: nobody vouches for what it had, and what is left is live.
    pub(super) fn walks_lost(
        &mut self,
        clients: &mut Clients,
        home: CoreId,
        effects: &mut Effects<Mail>,
    ) {
        let mut live = Vec::new();
        for (&number, walk) in &mut self.patterns.walks {
            match &mut walk.stage {
                Stage::Asking { missing, vouched } if missing.contains(home) => {
                    *vouched = Vouched::No;
                }
                Stage::Walking { pending, .. } if pending.contains(home) => live.push(number),
                Stage::Asking { .. } | Stage::Walking { .. } => {}
            }
        }
        for number in live {
            self.is_live(clients, (number, home), effects);
        }
    }

    /// The subscriber of a walk gets the next messages of all topics of a home core.
    fn is_live(
        &mut self,
        clients: &mut Clients,
        (number, home): (WalkNumber, CoreId),
        effects: &mut Effects<Mail>,
    ) {
        let Some(walk) = self.patterns.walks.get_mut(&number) else {
            return;
        };
        let Stage::Walking {
            silent, pending, ..
        } = &mut walk.stage
        else {
            return;
        };
        silent.remove(home);
        pending.remove(home);
        self.patterns.generation += 1;
        let done = pending.is_empty();
        if let Some(client) = clients.get_mut(walk.waiting.client) {
            client.walks -= u32::from(done);
            if let Some(conn) = client.conn {
                effects.ready(conn);
            }
        }
        if done {
            self.patterns.walks.remove(&number);
        }
    }

    /// A topic has messages that the subscriber of a walk may have missed.
    fn arrears(
        &mut self,
        clients: &mut Clients,
        number: WalkNumber,
        arrears: &Arrears,
        effects: &mut Effects<Mail>,
    ) {
        let Some(walk) = self.patterns.walks.get(&number) else {
            return;
        };
        let (client, wanted) = (walk.waiting.client, walk.waiting.wanted);
        let (cursor, lost) = walk.cursor(arrears);
        let Some(topic) = self.topic_with(&arrears.id, arrears.end, clients, effects) else {
            // There is no room for another topic here.
            reset(clients, (client, wanted.s), Cause::Node, effects);
            return;
        };
        if let Some(delivery_key) = self.delivery_of(client, topic) {
            let Some(delivery) = self.deliveries.get_mut(delivery_key) else {
                return;
            };
            // It was listed before.
            if delivery.subscriptions.contains(&wanted.s) {
                return;
            }
            delivery.subscriptions.push(wanted.s);
            let covered = lost.is_some() || delivery.begin_at(cursor);
            let missed = (!covered).then_some(Cause::Retention);
            delivery.alias = match lost.or(missed) {
                Some(cause) => Alias::UnknownAfter(cause),
                None => delivery.alias.again(),
            };
            if lost.or(missed).is_some() || delivery.cursor < arrears.end {
                self.rouse(clients, delivery_key, effects);
            }
        } else if cursor < arrears.end || lost.is_some() {
            self.make_room(clients, client);
            let delivery_key = self.deliver(clients, client, topic, (wanted, cursor));
            if let Some(delivery) = self.deliveries.get_mut(delivery_key) {
                delivery.subscriptions.push(wanted.s);
                if let Some(cause) = lost {
                    delivery.alias = Alias::UnknownAfter(cause);
                }
            }
            if let Some(of_client) = clients.get_mut(client) {
                of_client.by_pattern += 1;
            }
            self.rouse(clients, delivery_key, effects);
        } else {
            self.tidy_topic(topic);
        }
    }
}

/// Nothing can be said of what a client has missed in a pattern.
pub(super) fn reset(
    clients: &mut Clients,
    (client, s): (ClientKey, u64),
    cause: Cause,
    effects: &mut Effects<Mail>,
) {
    if let Some(client) = clients.get_mut(client) {
        client.talk().resets.insert(s, cause);
        if let Some(conn) = client.conn {
            effects.ready(conn);
        }
    }
}

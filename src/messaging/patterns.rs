//! The patterns that clients of this core have subscribed to.

use std::collections::BTreeMap;

use corewire_protocol::native::{Recovered, Subbed, SubbedTo};
use slotmap::SlotMap;

use crate::engine::Tick;
use crate::hash::{Map, Seed};
use crate::ids::CoreId;

use super::client::{ClientKey, Clients};
use super::core_set::CoreSet;
use super::delivery::InForce;
use super::hub::PatternKey;
use super::place::{HomeMark, Marks};
use super::subscriptions::Subscribed;
use super::topic::{Answer, Outcome, Waiting, Wanted};
use super::trie::Trie;
use super::walk::{Walk, WalkNumber};

/// All of them. A pattern is in force when every home core has granted it.
#[derive(Debug)]
pub(super) struct Patterns {
    pub(super) patterns: SlotMap<PatternKey, Pattern>,
    seed: Seed,
    pub(super) by_text: Map<Box<str>, PatternKey>,
    pub(super) in_force: Trie<PatternKey>,
    /// Grows when a client begins to want a pattern.
    pub(super) generation: u64,
    /// Subscriptions that begin before they were made.
    pub(super) walks: BTreeMap<WalkNumber, Walk>,
    /// Those there have been so far.
    pub(super) walks_begun: u64,
    /// The name of the node, for positions.
    node: Box<str>,
    /// How far each home core was when it was last heard of: all that patterns match has come to
    /// this core up to there.
    marks: Marks,
    /// How often they have moved.
    moved: u64,
    /// When home cores were last asked how far they are.
    pub(super) asked: Option<Tick>,
}

#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: Box<str>,
    pub(super) state: State,
    /// In which of its lives each home core has granted it.
    lives: Vec<u32>,
    subscribers: Subscribers,
    /// Walks whose subscribers are to come.
    pub(super) walks: u32,
}

#[derive(Debug)]
pub(super) enum State {
    /// These cores have not answered yet; these clients wait for them.
    Asked(CoreSet, Vec<Waiting>),
    InForce,
}

/// A client and what it wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct PatternSubscriber {
    pub(super) client: ClientKey,
    pub(super) wanted: Wanted,
    /// The generation of patterns in which it came.
    pub(super) since: u64,
    /// What it has to be sent of some home cores before their next messages.
    pub(super) walk: Option<WalkNumber>,
}

/// The clients of a pattern: how many there are makes no difference to who comes or goes.
#[derive(Debug)]
struct Subscribers {
    all: Vec<PatternSubscriber>,
    /// Where each of them stands, by client and subscription.
    places: Map<(ClientKey, u64), usize>,
}

/// What a subscription to a pattern has led to.
pub(super) enum Asked {
    /// It is in force already.
    Subscribed(Subbed<'static>),
    /// Its client waits with others.
    Waits,
    /// Its client waits, and all home cores are to be asked.
    Ask,
}

/// What a home core's grant has led to.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// What becomes of those who waited for it.
    pub(super) outcomes: Vec<Outcome>,
    /// The pattern, if none of them is there any more.
    pub(super) deserted: Option<Box<str>>,
    /// Subscribers to be told that the home core has lost its memory since.
    pub(super) reset: Vec<(ClientKey, u64)>,
}

impl Patterns {
    pub(super) fn new(node: &str, cores: usize, seed: &Seed) -> Self {
        Self {
            patterns: SlotMap::with_key(),
            seed: seed.clone(),
            by_text: Map::with_hasher(seed.clone()),
            in_force: Trie::new(seed.clone()),
            generation: 0,
            walks: BTreeMap::new(),
            walks_begun: 0,
            node: node.into(),
            marks: Marks::new(cores),
            moved: 0,
            asked: None,
        }
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    // ── Positions ──

    /// A home core is at least so far, in the life that it is in.
    pub(super) fn advance(&mut self, home: CoreId, mark: u64) {
        let HomeMark { life, mark: before } = self.marks.of(home);
        if mark > before {
            self.marks.set(home, HomeMark { life, mark });
            self.moved += 1;
        }
    }

    /// A home core says how far it is.
    pub(super) fn heard(&mut self, home: CoreId, mark: HomeMark) {
        if self.marks.of(home).life == mark.life {
            self.advance(home, mark.mark);
        }
    }

    /// How often positions have moved.
    pub(super) const fn moved(&self) -> u64 {
        self.moved
    }

    /// The position of whoever has been sent all that came to this core.
    pub(super) fn position(&self) -> String {
        self.marks.text(&self.node)
    }

    /// A position that nothing goes on from.
    pub(super) fn nowhere(&self) -> String {
        Marks::nowhere(&self.node)
    }

    /// How far home cores are.
    pub(super) fn now(&self) -> Marks {
        self.marks.clone()
    }

    /// A position as clients are told it.
    pub(super) fn told(&self, marks: &Marks) -> String {
        marks.text(&self.node)
    }

    /// As many home cores as there are.
    pub(super) const fn cores(&self) -> usize {
        self.marks.len()
    }

    /// The position that a client was told.
    pub(super) fn parse(&self, pos: &str) -> Option<Marks> {
        Marks::parse(pos, &self.node, self.cores())
    }

    // ── Subscriptions ──

    /// A client wants a pattern.
    pub(super) fn subscribe(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        text: &str,
        (wanted, answer): (Wanted, Answer),
        cores: usize,
    ) -> Asked {
        let known = self.by_text.get(text).copied();
        let key = known.unwrap_or_else(|| self.add(text, cores));
        if let Some(of_client) = clients.get_mut(client) {
            let policy = wanted.policy;
            let to = Subscribed::Pattern { key, policy };
            of_client.subscriptions.insert((wanted.s, to).into());
        }
        match &mut self.patterns[key].state {
            State::Asked(_, waiting) => {
                waiting.push(Waiting {
                    client,
                    wanted,
                    answer,
                });
                match known {
                    Some(_) => Asked::Waits,
                    None => Asked::Ask,
                }
            }
            State::InForce => {
                self.join(key, (client, wanted), None);
                Asked::Subscribed(subbed(wanted, self.position(), None))
            }
        }
    }

    /// A pattern that no home core has granted.
    pub(super) fn add(&mut self, text: &str, cores: usize) -> PatternKey {
        let key = self.patterns.insert(Pattern {
            text: text.into(),
            state: State::Asked(CoreSet::first(cores), Vec::new()),
            lives: vec![0; cores],
            subscribers: Subscribers::new(self.seed.clone()),
            walks: 0,
        });
        self.by_text.insert(text.into(), key);
        key
    }

    /// A client is sent what a pattern matches from now on.
    pub(super) fn join(
        &mut self,
        key: PatternKey,
        (client, wanted): (ClientKey, Wanted),
        walk: Option<WalkNumber>,
    ) {
        if let Some(pattern) = self.patterns.get_mut(key) {
            pattern.subscribers.insert(PatternSubscriber {
                client,
                wanted,
                since: self.generation,
                walk,
            });
            self.generation += 1;
        }
    }

    /// A home core has granted a pattern.
    pub(super) fn granted(
        &mut self,
        clients: &Clients,
        text: &str,
        (home, mark): (CoreId, HomeMark),
    ) -> Grants {
        let mut grants = Grants::default();
        let Some(&key) = self.by_text.get(text) else {
            return grants;
        };
        self.marks.set(home, mark);
        self.moved += 1;
        let pattern = &mut self.patterns[key];
        let life = pattern.lives.get_mut(home.index());
        let lost = life.is_some_and(|life| std::mem::replace(life, mark.life) != mark.life);
        let State::Asked(missing, waiting) = &mut pattern.state else {
            if lost {
                let subscribers = pattern.subscribers.all.iter();
                grants.reset = subscribers.map(|one| (one.client, one.wanted.s)).collect();
            }
            return grants;
        };
        missing.remove(home);
        if !missing.is_empty() {
            return grants;
        }
        let waiting = std::mem::take(waiting);
        pattern.state = State::InForce;
        self.generation += 1;
        *self.in_force.entry(text) = Some(key);
        for Waiting {
            client,
            wanted,
            answer,
        } in waiting
        {
            if !clients.contains_key(client) {
                continue;
            }
            self.join(key, (client, wanted), None);
            grants.outcomes.push(Outcome {
                client,
                answer,
                s: wanted.s,
                result: Ok(subbed(wanted, self.position(), None)),
            });
        }
        // Those who waited may have left meanwhile.
        grants.deserted = self.remove_if_deserted(key);
        grants
    }

    /// A client that waits until a pattern is in force waits no more. Returns how it is to be
    /// told.
    pub(super) fn stop_waiting(
        &mut self,
        key: PatternKey,
        (client, s): (ClientKey, u64),
    ) -> Option<Answer> {
        let is_it = |known: &Waiting| known.client == client && known.wanted.s == s;
        if let State::Asked(_, waiting) = &mut self.patterns.get_mut(key)?.state
            && let Some(place) = waiting.iter().position(is_it)
        {
            return Some(waiting.remove(place).answer);
        }
        self.walks_of(client)
            .find_map(|(_, walk)| walk.waiting().filter(|waiting| is_it(waiting)))
            .map(|waiting| waiting.answer)
    }

    /// A client wants a pattern no more, or has gone. Returns the pattern if nobody wants it.
    pub(super) fn leave(&mut self, key: PatternKey, client: ClientKey, s: u64) -> Option<Box<str>> {
        let pattern = self.patterns.get_mut(key)?;
        pattern.subscribers.remove((client, s));
        match pattern.state {
            // Who waits is answered when the home cores have answered, whatever comes of it.
            State::Asked(..) => None,
            State::InForce => self.remove_if_deserted(key),
        }
    }

    fn remove_if_deserted(&mut self, key: PatternKey) -> Option<Box<str>> {
        let pattern = self.patterns.get(key)?;
        if !pattern.subscribers.all.is_empty() || pattern.walks > 0 {
            return None;
        }
        let text = self.patterns.remove(key)?.text;
        self.by_text.remove(&text);
        self.in_force.remove(&text);
        Some(text)
    }

    // ── Topics ──

    /// Whether any pattern in force matches.
    pub(super) fn any(&self, topic: &str) -> bool {
        let mut any = false;
        self.in_force.matches(topic, &mut |_| any = true);
        any
    }

    /// Whoever is to be sent the next messages of a topic of a home core by a pattern.
    pub(super) fn subscribers(&self, topic: &str, home: Option<CoreId>) -> Vec<PatternSubscriber> {
        let mut all = Vec::new();
        self.in_force.matches(topic, &mut |&key| {
            if let Some(pattern) = self.patterns.get(key) {
                all.extend_from_slice(&pattern.subscribers.all);
            }
        });
        if !self.walks.is_empty() {
            all.retain(|one| match (one.walk, home) {
                (Some(walk), Some(home)) => !self.walks_through(walk, home),
                (Some(_), None) | (None, _) => true,
            });
        }
        all
    }

    /// A pattern as it was written.
    pub(super) fn text(&self, key: PatternKey) -> Option<&str> {
        self.patterns.get(key).map(|pattern| &*pattern.text)
    }

    /// The patterns that home cores were asked for.
    pub(super) fn texts(&self) -> Vec<Box<str>> {
        self.patterns
            .values()
            .map(|pattern| pattern.text.clone())
            .collect()
    }

    /// Whether a pattern is in force.
    pub(super) fn is_in_force(&self, key: PatternKey) -> bool {
        let pattern = self.patterns.get(key);
        pattern.is_some_and(|pattern| matches!(pattern.state, State::InForce))
    }

    /// A client's pattern that has topics in common with another one, and for which another policy
    /// was asked for. Of a client with many patterns, not all are looked at.
    pub(super) fn at_odds(
        &self,
        of_client: impl Iterator<Item = (u64, PatternKey, Option<InForce>)>,
        text: &str,
        policy: InForce,
    ) -> Option<u64> {
        of_client
            .take(COMPARED_MAX)
            .filter(|(_, _, other)| other.is_some_and(|other| other != policy))
            .find(|(_, key, _)| {
                let known = self.patterns.get(*key);
                known.is_some_and(|known| overlap(&known.text, text))
            })
            .map(|(s, _, _)| s)
    }
}

impl Subscribers {
    fn new(seed: Seed) -> Self {
        Self {
            all: Vec::new(),
            places: Map::with_hasher(seed),
        }
    }

    fn insert(&mut self, subscriber: PatternSubscriber) {
        self.remove(subscriber.name());
        self.places.insert(subscriber.name(), self.all.len());
        self.all.push(subscriber);
    }

    fn remove(&mut self, name: (ClientKey, u64)) {
        let Some(place) = self.places.remove(&name) else {
            return;
        };
        self.all.swap_remove(place);
        if let Some(moved) = self.all.get(place) {
            self.places.insert(moved.name(), place);
        }
    }
}

impl PatternSubscriber {
    /// What no other subscriber of its pattern is called.
    const fn name(&self) -> (ClientKey, u64) {
        (self.client, self.wanted.s)
    }
}

/// Patterns of a client that a further one is compared with.
const COMPARED_MAX: usize = 64;

/// Whether there are names that both patterns match; a name is a pattern of itself.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
            (Some(level), Some(same)) if level == same => {}
            (Some(_), Some(_)) | (Some(_), None) | (None, Some(_)) => return false,
        }
    }
}

/// The answer to a subscription.
pub(super) fn subbed(wanted: Wanted, pos: String, recovered: Option<Recovered>) -> Subbed<'static> {
    Subbed {
        s: wanted.s,
        to: SubbedTo::Pattern { pos: pos.into() },
        recovered,
        replay_to: None,
        policy: wanted.policy.map(InForce::told).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use corewire_protocol::native::Dialect;

    use super::*;
    use crate::messaging::client::Client;

    /// Whoever takes the place of somebody who has gone is found there.
    #[test]
    fn subscribers_come_and_go_in_any_order() {
        let mut clients = Clients::with_key();
        let mut subscribers = Subscribers::new(Seed::new(1));
        let mut expected = BTreeSet::new();
        let wanted = |s| Wanted {
            s,
            policy: None,
            credit: None,
        };
        for round in 0_u64..50 {
            let client = clients.insert(Client::new(Dialect::Json));
            for s in [1, 2] {
                subscribers.insert(PatternSubscriber {
                    client,
                    wanted: wanted(s),
                    since: 0,
                    walk: None,
                });
                expected.insert((client, s));
            }
            // The first, the last, and some between.
            let place = usize::try_from(round * 7).unwrap() % expected.len();
            let goes = *expected.iter().nth(place).unwrap();
            expected.remove(&goes);
            subscribers.remove(goes);
            subscribers.remove(goes);
            let all: Vec<_> = subscribers
                .all
                .iter()
                .map(PatternSubscriber::name)
                .collect();
            assert_eq!(all.len(), expected.len(), "each once");
            assert_eq!(BTreeSet::from_iter(all), expected);
            assert_eq!(subscribers.places.len(), expected.len());
        }
    }

    #[test]
    fn patterns_overlap_if_a_name_fits_both() {
        for (one, other, expected) in [
            ("a.>", "a.*", true),
            ("a.*", "*.b", true),
            ("a.*", "b.*", false),
            ("a.*", "a.*.c", false),
            ("a.>", "a.*.c", true),
            (">", "x.*", true),
            ("a.>", "*", false),
            ("*.c", "a.b", false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }
}

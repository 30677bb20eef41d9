//! The patterns that clients of this core have subscribed to.

use std::fmt::Write;

use corewire_protocol::native::{Subbed, SubbedTo};
use slotmap::SlotMap;

use crate::hash::{Map, Seed};
use crate::ids::CoreId;

use super::client::{ClientKey, Clients, Subscribed};
use super::core_set::CoreSet;
use super::home::Base36;
use super::hub::PatternKey;
use super::topic::{Answer, Outcome, Waiting, Wanted};
use super::trie::Trie;

/// All of them. A pattern is in force when every home core has granted it.
#[derive(Debug)]
pub(super) struct Patterns {
    patterns: SlotMap<PatternKey, Pattern>,
    by_text: Map<Box<str>, PatternKey>,
    in_force: Trie<PatternKey>,
    /// Grows when a client begins to want a pattern.
    generation: u64,
}

#[derive(Debug)]
struct Pattern {
    text: Box<str>,
    state: State,
    /// How far each home core was when it granted it.
    marks: Vec<u64>,
    subscribers: Vec<PatternSubscriber>,
}

#[derive(Debug)]
enum State {
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

impl Patterns {
    pub(super) fn new(seed: &Seed) -> Self {
        Self {
            patterns: SlotMap::with_key(),
            by_text: Map::with_hasher(seed.clone()),
            in_force: Trie::new(seed.clone()),
            generation: 0,
        }
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// A client wants a pattern.
    pub(super) fn subscribe(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        text: &str,
        (wanted, answer): (Wanted, Answer),
        cores: usize,
    ) -> Asked {
        let waiting = Waiting {
            client,
            wanted,
            answer,
        };
        let (key, asked) = match self.by_text.get(text) {
            Some(&key) => {
                let pattern = &mut self.patterns[key];
                let asked = match &mut pattern.state {
                    State::Asked(_, others) => {
                        others.push(waiting);
                        Asked::Waits
                    }
                    State::InForce => {
                        pattern.subscribers.push(PatternSubscriber {
                            client,
                            wanted,
                            since: self.generation,
                        });
                        self.generation += 1;
                        Asked::Subscribed(pattern.subbed(wanted))
                    }
                };
                (key, asked)
            }
            None => {
                let key = self.patterns.insert(Pattern {
                    text: text.into(),
                    state: State::Asked(CoreSet::first(cores), vec![waiting]),
                    marks: vec![0; cores],
                    subscribers: Vec::new(),
                });
                self.by_text.insert(text.into(), key);
                (key, Asked::Ask)
            }
        };
        if let Some(of_client) = clients.get_mut(client) {
            let to = Subscribed::Pattern(key);
            of_client.subscriptions.insert((wanted.s, to).into());
        }
        asked
    }

    /// A home core has granted a pattern. If it was the last one: the outcome for each who waited,
    /// and the pattern if none of them is there any more.
    pub(super) fn granted(
        &mut self,
        clients: &Clients,
        text: &str,
        (home, mark): (CoreId, u64),
    ) -> (Vec<Outcome>, Option<Box<str>>) {
        let Some(&key) = self.by_text.get(text) else {
            return (Vec::new(), None);
        };
        let pattern = &mut self.patterns[key];
        let State::Asked(missing, waiting) = &mut pattern.state else {
            return (Vec::new(), None);
        };
        if let Some(place) = pattern.marks.get_mut(home.index()) {
            *place = mark;
        }
        missing.remove(home);
        if !missing.is_empty() {
            return (Vec::new(), None);
        }
        let waiting = std::mem::take(waiting);
        pattern.state = State::InForce;
        let mut outcomes = Vec::new();
        for Waiting {
            client,
            wanted,
            answer,
        } in waiting
        {
            if !clients.contains_key(client) {
                continue;
            }
            pattern.subscribers.push(PatternSubscriber {
                client,
                wanted,
                since: self.generation,
            });
            let result = Ok(pattern.subbed(wanted));
            outcomes.push(Outcome {
                client,
                answer,
                s: wanted.s,
                result,
            });
        }
        self.generation += 1;
        *self.in_force.entry(text) = Some(key);
        // Those who waited may have left meanwhile.
        let deserted = self.remove_if_deserted(key);
        (outcomes, deserted)
    }

    /// Who waits until a pattern is in force, unless it is.
    pub(super) fn waiting(&mut self, key: PatternKey) -> Option<&mut Vec<Waiting>> {
        match &mut self.patterns.get_mut(key)?.state {
            State::Asked(_, waiting) => Some(waiting),
            State::InForce => None,
        }
    }

    /// A client wants a pattern no more, or has gone. Returns the pattern if nobody wants it.
    pub(super) fn leave(&mut self, key: PatternKey, client: ClientKey, s: u64) -> Option<Box<str>> {
        let pattern = self.patterns.get_mut(key)?;
        let other = |known: ClientKey, wanted: &Wanted| known != client || wanted.s != s;
        pattern
            .subscribers
            .retain(|known| other(known.client, &known.wanted));
        match pattern.state {
            // Who waits is answered when the home cores have answered, whatever comes of it.
            State::Asked(..) => None,
            State::InForce => self.remove_if_deserted(key),
        }
    }

    fn remove_if_deserted(&mut self, key: PatternKey) -> Option<Box<str>> {
        if !self.patterns.get(key)?.subscribers.is_empty() {
            return None;
        }
        let text = self.patterns.remove(key)?.text;
        self.by_text.remove(&text);
        self.in_force.remove(&text);
        Some(text)
    }

    /// Whether any pattern in force matches.
    pub(super) fn any(&self, topic: &str) -> bool {
        let mut any = false;
        self.in_force.matches(topic, &mut |_| any = true);
        any
    }

    /// Whoever is to be sent a topic by a pattern.
    pub(super) fn subscribers(&self, topic: &str) -> Vec<PatternSubscriber> {
        let mut all = Vec::new();
        self.in_force.matches(topic, &mut |&key| {
            if let Some(pattern) = self.patterns.get(key) {
                all.extend_from_slice(&pattern.subscribers);
            }
        });
        all
    }

    /// The patterns that home cores were asked for.
    pub(super) fn texts(&self) -> Vec<Box<str>> {
        self.patterns
            .values()
            .map(|pattern| pattern.text.clone())
            .collect()
    }
}

impl Pattern {
    fn subbed(&self, wanted: Wanted) -> Subbed<'static> {
        let mut pos = String::new();
        for (home, mark) in self.marks.iter().enumerate() {
            let separator = if home == 0 { "" } else { "." };
            let _ = write!(pos, "{separator}{}", Base36(*mark));
        }
        Subbed {
            s: wanted.s,
            to: SubbedTo::Pattern { pos: pos.into() },
            recovered: None,
            replay_to: None,
            policy: wanted
                .policy
                .map(super::delivery::InForce::told)
                .unwrap_or_default(),
        }
    }
}

//! What a subscription has yielded, checked against what the server has had.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use corewire_client::machine::{Event, Position, ResetScope};
use corewire_protocol::native::TopicName;

use crate::world::{World, covers, index};

/// One subscription's view: the next offset that is due, by topic.
#[derive(Debug)]
pub(crate) struct History {
    s: u64,
    subject: String,
    begun: bool,
    /// The epoch, and the offset that was accounted for last. `None` inside: anything may follow.
    topics: BTreeMap<String, (String, u64)>,
    /// Topics of which something was told since the last reset of all.
    proven: BTreeSet<String>,
    /// Topics that are not in `topics` may begin anywhere.
    unproven: bool,
    pub(crate) messages: u64,
    pub(crate) missing: u64,
    pub(crate) resets: u64,
}

impl History {
    pub(crate) fn new(s: u64, subject: &str) -> Self {
        Self {
            s,
            subject: subject.to_owned(),
            begun: false,
            topics: BTreeMap::new(),
            proven: BTreeSet::new(),
            unproven: false,
            messages: 0,
            missing: 0,
            resets: 0,
        }
    }

    /// Takes in an event.
    ///
    /// # Panics
    ///
    /// It does not fit what the server has had: Maelstrom's names say how.
    pub(crate) fn take(&mut self, event: &Event, world: &World) {
        match event {
            Event::Subscribed(_) => {
                assert!(!self.begun, "subscribed twice");
                self.begun = true;
            }
            Event::Message(message) => {
                let Position { epoch, offset } = &message.position;
                let expected = self.expected(&message.topic, epoch, world);
                if let Some(expected) = expected {
                    assert!(
                        offset >= expected.start(),
                        "duplicate or nonmonotonic: {message:?}"
                    );
                    assert!(
                        offset <= expected.end(),
                        "skip before {message:?}: {expected:?} is due"
                    );
                }
                let log = &world.logs[&(epoch.to_string(), message.topic.to_string())];
                assert_eq!(log[index(*offset)], message.data.as_bytes());
                self.messages += 1;
                self.account(&message.topic, epoch, *offset);
            }
            Event::Gap(gap) => {
                let known = self.topics.get(&*gap.topic).cloned();
                let (epoch, upto) = known.unwrap_or_else(|| {
                    // It has begun without a message.
                    let base = &world.bases[&self.s];
                    let joined = base.joined.get(&*gap.topic).copied().unwrap_or(0);
                    if self.unproven {
                        (format!("e{}", world.epoch), gap.from - 1)
                    } else {
                        (base.epoch.clone(), joined)
                    }
                });
                assert_eq!(gap.from, upto + 1, "a gap that begins elsewhere: {gap:?}");
                assert!(gap.to >= gap.from, "an empty gap");
                self.missing += gap.count();
                self.account(&gap.topic, &epoch, gap.to);
            }
            Event::Conflated(_) => panic!("nobody asked for that"),
            Event::Reset(reset) => {
                self.resets += 1;
                match &reset.scope {
                    ResetScope::Topic { topic, position } => {
                        self.account(topic, &position.epoch, position.offset);
                    }
                    ResetScope::Subscription => {
                        self.unproven = true;
                        self.proven.clear();
                    }
                }
            }
            Event::Unsubscribed(why) => panic!("{why}"),
            _ => panic!("an event that this test does not know"),
        }
    }

    /// Everything that the server has had is accounted for.
    pub(crate) fn is_complete(&self, world: &World) -> Result<(), String> {
        let epoch = format!("e{}", world.epoch);
        for (name, topic) in &world.topics {
            if !covers(&self.subject, TopicName::parse(name).unwrap()) {
                continue;
            }
            if self.unproven && !self.proven.contains(name) {
                continue;
            }
            let expected = self.expected(name, &epoch, world);
            if let Some(expected) = expected
                && *expected.end() != topic.log.len() as u64 + 1
            {
                return Err(format!(
                    "{} of {}: {expected:?} is due, but there are {}",
                    name,
                    self.subject,
                    topic.log.len()
                ));
            }
        }
        Ok(())
    }

    fn account(&mut self, topic: &str, epoch: &str, upto: u64) {
        self.proven.insert(topic.to_owned());
        self.topics
            .insert(topic.to_owned(), (epoch.to_owned(), upto));
    }

    /// The offsets of which one is due next, if that can be said.
    fn expected(&self, topic: &str, epoch: &str, world: &World) -> Option<RangeInclusive<u64>> {
        match self.topics.get(topic) {
            Some((known, upto)) if known == epoch => Some(upto + 1..=upto + 1),
            // Without a reset a topic does not change its epoch.
            Some((known, _)) if !self.unproven => panic!("{topic}: {known} became {epoch}"),
            Some(_) => None,
            None if self.unproven => None,
            None => {
                let base = &world.bases[&self.s];
                assert_eq!(
                    base.epoch, epoch,
                    "{topic} comes from an epoch of which nothing was told"
                );
                // Who joins a topic that another subscription is sent gets what that is behind.
                let published = base.published.get(topic).copied().unwrap_or(0);
                Some(1..=published + 1)
            }
        }
    }
}

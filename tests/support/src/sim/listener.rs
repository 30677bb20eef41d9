//! One subscription as an application has it from its client library: events instead of words, and
//! whatever became of the connections below.

use std::collections::BTreeMap;

use corewire_protocol::native::PolicyMode;

use super::anomaly::{Anomaly, Kind};
use super::delivery::{Delivery, State, What};
use super::witness::{Ear, Granted, Moment, Subscription, Witness};

/// What a client library tells of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// It stands for the first time; behind a position, if it is to one topic.
    Subscribed(Option<(&'a str, u64)>),
    /// A message.
    Message {
        /// Its topic.
        topic: &'a str,
        /// The topic's life.
        epoch: &'a str,
        /// Its place.
        offset: u64,
        /// See [`identity`](super::identity).
        identity: &'a str,
    },
    /// Messages that will not come.
    Gap {
        /// Their topic.
        topic: &'a str,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Messages that newer ones have replaced, up to an offset.
    Conflated {
        /// Their topic.
        topic: &'a str,
        /// How many.
        count: u64,
        /// The last offset that is accounted for.
        up_to: u64,
    },
    /// What a topic has had up to a position is not known.
    Reset {
        /// The topic.
        topic: &'a str,
        /// Its life now.
        epoch: &'a str,
        /// The last offset before what follows.
        offset: u64,
    },
    /// The same of all topics.
    ResetAll,
}

/// Takes in what one subscription yields. What is wrong by itself it notes at once; the rest is for
/// [`judge()`](super::judge()), as of any [`Witness`].
#[derive(Debug)]
pub struct Listener {
    witness: Witness,
    mode: PolicyMode,
    by_topic: BTreeMap<Box<str>, usize>,
    /// What is missing of topics of which no message has come, that is, whose life is not known.
    nameless: BTreeMap<Box<str>, Vec<(u64, u64, What)>>,
    begun: Begun,
}

/// Whether the subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    No,
    Yes,
    /// And topics may begin anywhere, in any life.
    Unproven,
}

impl Listener {
    /// Of a subscription that `party` is about to begin.
    #[must_use]
    pub fn new(name: &str, party: &str, subject: &str, mode: PolicyMode) -> Self {
        let mut witness = Witness::new(name);
        witness.party = party.into();
        witness.ear = Ear::Application;
        witness
            .subscriptions
            .push(Subscription::new(1, subject, mode));
        Self {
            witness,
            mode,
            by_topic: BTreeMap::new(),
            nameless: BTreeMap::new(),
            begun: Begun::No,
        }
    }

    /// Whether the subscription stands.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun != Begun::No
    }

    /// The life and the last offset of a topic of which all is accounted for.
    #[must_use]
    pub fn position(&self, topic: &str) -> Option<(&str, u64)> {
        let delivery = &self.witness.deliveries[*self.by_topic.get(topic)?];
        Some((&delivery.epoch, delivery.cursor))
    }

    /// Messages that it was told.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.count(|what| matches!(what, What::Message(_)))
    }

    /// How often it was told that messages are missing: gaps and resets.
    #[must_use]
    pub fn losses(&self) -> usize {
        self.count(|what| matches!(what, What::Gap | What::Unproven))
    }

    fn count(&self, which: impl Fn(&What) -> bool) -> usize {
        let spans = self.witness.deliveries.iter();
        let spans = spans.flat_map(|delivery| &delivery.spans);
        spans.filter(|span| which(&span.what)).count()
    }

    /// What was heard, for the judge. It was told all that there is for it.
    #[must_use]
    pub fn quiet(mut self) -> Witness {
        for topic in std::mem::take(&mut self.nameless).into_keys() {
            self.excuse(&topic);
        }
        self.witness.quiet();
        self.witness
    }

    /// What was heard, for the judge. More may have been on its way.
    #[must_use]
    pub fn ended(mut self) -> Witness {
        self.witness.ended();
        self.witness
    }

    /// The client has told something.
    pub fn hears(&mut self, at: Moment, told: Told<'_>) {
        if let Err(anomaly) = self.take(at, told) {
            self.witness.found.push(anomaly);
        }
    }

    fn take(&mut self, at: Moment, told: Told<'_>) -> Result<(), Anomaly> {
        if self.begun == Begun::No && !matches!(told, Told::Subscribed(_)) {
            return Err(misplaced(format!("{told:?} before it stands")));
        }
        match told {
            Told::Subscribed(position) => {
                if self.begun != Begun::No {
                    return Err(misplaced("subscribed twice".to_owned()));
                }
                self.begun = Begun::Yes;
                let subscription = &mut self.witness.subscriptions[0];
                let topic = subscription.subject.clone();
                subscription.granted = Some(Granted {
                    heard: at,
                    from: position.map(|(epoch, offset)| (epoch.into(), offset)),
                });
                if let Some((epoch, offset)) = position {
                    self.begin(&topic, epoch, offset);
                }
                Ok(())
            }
            Told::Message {
                topic,
                epoch,
                offset,
                identity,
            } => {
                let holes = match self.mode {
                    // They are counted, before or after.
                    PolicyMode::Latest => What::Conflated,
                    PolicyMode::All | PolicyMode::DropOldest | PolicyMode::Close => What::Skipped,
                };
                let delivery = self.delivery(topic, epoch, offset)?;
                delivery.message(offset, identity, holes)
            }
            Told::Gap { topic, from, to } => match self.known(topic, from) {
                Some(delivery) => delivery.gap(from, to),
                None => {
                    self.note(topic, (from, to, What::Gap));
                    Ok(())
                }
            },
            Told::Conflated {
                topic,
                count,
                up_to,
            } => match self.known(topic, up_to) {
                Some(delivery) if up_to > delivery.cursor => {
                    delivery.account(up_to, What::Conflated)
                }
                Some(_) => Ok(()),
                None => {
                    let from = up_to.saturating_sub(count) + 1;
                    self.note(topic, (from, up_to, What::Conflated));
                    Ok(())
                }
            },
            Told::Reset {
                topic,
                epoch,
                offset,
            } => {
                if self.nameless.remove(topic).is_some() {
                    self.excuse(topic);
                }
                match self.by_topic.get(topic) {
                    Some(&place) if *self.witness.deliveries[place].epoch == *epoch => {
                        let delivery = &mut self.witness.deliveries[place];
                        delivery.skip_to(offset, What::Unproven);
                    }
                    Some(&place) => {
                        self.witness.deliveries[place].state = State::Reset;
                        self.begin(topic, epoch, offset);
                    }
                    None => {
                        let place = self.begin(topic, epoch, offset);
                        self.witness.deliveries[place].reset(offset);
                    }
                }
                Ok(())
            }
            Told::ResetAll => {
                self.begun = Begun::Unproven;
                self.nameless.clear();
                for place in self.by_topic.values() {
                    self.witness.deliveries[*place].state = State::Unproven;
                }
                // It covers what is published from now on.
                if let Some(granted) = &mut self.witness.subscriptions[0].granted {
                    granted.heard = at;
                    granted.from = None;
                }
                Ok(())
            }
        }
    }

    fn begin(&mut self, topic: &str, epoch: &str, offset: u64) -> usize {
        let place = self.witness.deliveries.len();
        let mut delivery = Delivery::new(place as u64, topic, epoch, offset);
        delivery.subscriptions.insert(1);
        self.witness.deliveries.push(delivery);
        self.by_topic.insert(topic.into(), place);
        place
    }

    /// All that is known of a life is that messages are missing.
    fn excuse(&mut self, topic: &str) {
        let place = self.begin(topic, "", 0);
        self.witness.deliveries[place].state = State::Reset;
        self.by_topic.remove(topic);
    }

    fn note(&mut self, topic: &str, missing: (u64, u64, What)) {
        self.nameless.entry(topic.into()).or_default().push(missing);
    }

    /// What a topic's loss belongs to, if its life is known.
    fn known(&mut self, topic: &str, from: u64) -> Option<&mut Delivery> {
        let delivery = &mut self.witness.deliveries[*self.by_topic.get(topic)?];
        delivery.prove(from - 1);
        Some(delivery)
    }

    /// What a topic's message with this offset belongs to.
    fn delivery(
        &mut self,
        topic: &str,
        epoch: &str,
        offset: u64,
    ) -> Result<&mut Delivery, Anomaly> {
        let place = match self.by_topic.get(topic) {
            None => {
                let missing = self.nameless.remove(topic).unwrap_or_default();
                let first = missing.first().map_or(offset, |(from, _, _)| *from);
                let place = self.begin(topic, epoch, first - 1);
                let delivery = &mut self.witness.deliveries[place];
                for (from, to, what) in missing {
                    // A number of messages does not say which.
                    if what != What::Conflated {
                        delivery.skip_to(from - 1, What::Skipped);
                    }
                    delivery.account(to, what)?;
                }
                place
            }
            Some(&place) if *self.witness.deliveries[place].epoch == *epoch => place,
            Some(&place) => {
                let delivery = &mut self.witness.deliveries[place];
                if delivery.state != State::Unproven {
                    let text = format!("it continues at {offset} of {epoch} without a reset");
                    return Err(delivery.anomaly(Kind::Misplaced, &text));
                }
                delivery.state = State::Reset;
                self.begin(topic, epoch, offset - 1)
            }
        };
        let delivery = &mut self.witness.deliveries[place];
        delivery.prove(offset - 1);
        Ok(delivery)
    }
}

const fn misplaced(text: String) -> Anomaly {
    Anomaly::new(Kind::Misplaced, text)
}

#[cfg(test)]
mod tests {
    use corewire_protocol::native::Echo;

    use super::super::{Outcome, Published, judge};
    use super::*;

    const ALL: PolicyMode = PolicyMode::All;

    /// Six messages in `a`, of which the second is not to come back to its publisher `p`.
    fn publisher() -> Witness {
        let mut witness = Witness::new("p");
        witness.published = (1..=6)
            .map(|offset| Published {
                identity: format!("m{offset}").into(),
                topic: "a".into(),
                key: format!("k{}", offset % 2).into(),
                echo: if offset == 2 { Echo::No } else { Echo::Yes },
                ttl_ms: None,
                pseq: None,
                sent: 10 + offset,
                outcome: Outcome::Placed {
                    epoch: "e".into(),
                    offset,
                    heard: 20,
                },
            })
            .collect();
        witness
    }

    fn message(offset: u64) -> Told<'static> {
        let identity = ["", "m1", "m2", "m3", "m4", "m5", "m6"][usize::try_from(offset).unwrap()];
        Told::Message {
            topic: "a",
            epoch: "e",
            offset,
            identity,
        }
    }

    /// What is found in what a subscriber was told after it had subscribed at the beginning.
    fn found(party: &str, mode: PolicyMode, all: &[Told<'_>]) -> Vec<Kind> {
        let mut listener = Listener::new("l", party, "a", mode);
        listener.hears(1, Told::Subscribed(Some(("e", 0))));
        for told in all {
            listener.hears(30, *told);
        }
        let witnesses = [publisher(), listener.quiet()];
        let found = judge(&witnesses, &[("e".into(), 6)]);
        found.iter().map(|anomaly| anomaly.kind).collect()
    }

    #[test]
    fn whoever_is_told_everything_has_nothing_to_complain_of() {
        let all: Vec<_> = (1..=6).map(message).collect();
        assert_eq!(found("l", ALL, &all), []);
        let gap = |from, to| Told::Gap {
            topic: "a",
            from,
            to,
        };
        let told = [message(1), gap(2, 4), message(5), gap(6, 6)];
        assert_eq!(found("l", ALL, &told), []);
        let reset = |offset| Told::Reset {
            topic: "a",
            epoch: "e",
            offset,
        };
        assert_eq!(
            found("l", ALL, &[message(1), reset(4), message(5), message(6)]),
            []
        );
        // Whether anything was missed is not known, and nothing came since.
        assert_eq!(found("l", ALL, &[message(1), Told::ResetAll]), []);
    }

    #[test]
    fn own_messages_that_are_not_to_come_back_are_passed() {
        let told = [message(1), message(3), message(4), message(5), message(6)];
        assert_eq!(found("p", ALL, &told), []);
        assert_eq!(found("l", ALL, &told), [Kind::LostWrite]);
    }

    #[test]
    fn what_is_lost_repeated_or_swapped_is_found() {
        let all: Vec<_> = (1..=6).map(message).collect();
        assert_eq!(found("l", ALL, &all[..5]), [Kind::Unobserved]);
        let twice = [&all[..3], &all[2..]].concat();
        assert_eq!(found("l", ALL, &twice), [Kind::Duplicate]);
        let swapped = [&all[..2], &[message(4), message(3)], &all[4..]].concat();
        let kinds = found("l", ALL, &swapped);
        assert_eq!(kinds, [Kind::InternalNonmonotonic, Kind::LostWrite]);
        // What was handed over before is a duplicate after a reset, too.
        let again = [&[Told::ResetAll], &all[..]].concat();
        let again = [&all[..], &again[..]].concat();
        assert_eq!(found("l", ALL, &again).len(), 6);
    }

    #[test]
    fn another_life_of_a_topic_needs_a_reset() {
        let other = Told::Message {
            topic: "a",
            epoch: "f",
            offset: 1,
            identity: "m6",
        };
        assert!(found("l", ALL, &[message(1), other]).contains(&Kind::Misplaced));
    }

    #[test]
    fn the_last_value_of_a_key_is_not_left_out() {
        let latest = PolicyMode::Latest;
        assert_eq!(found("l", latest, &[message(5), message(6)]), []);
        let found = found("l", latest, &[message(4), message(6)]);
        assert_eq!(found, [Kind::StaleValue]);
    }
}

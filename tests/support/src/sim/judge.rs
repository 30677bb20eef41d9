//! What all witnesses say together.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use corewire_protocol::native::{Echo, Subject, TopicName};

use super::anomaly::{Anomaly, Kind};
use super::delivery::{Delivery, State, What};
use super::witness::{
    Ear, Fate, Moment, Ordered, Outcome, Published, Repeats, Subscription, Witness,
};

/// Whatever is wrong with what the witnesses say. `ends` are what else is known of topics: an
/// epoch, and the offset of the last message that any witness can have been sent.
///
/// The time that it takes grows with what was said and heard, times its logarithm.
#[must_use]
pub fn judge(witnesses: &[Witness], ends: &[(Box<str>, u64)]) -> Vec<Anomaly> {
    let mut court = Court::default();
    for witness in witnesses {
        court.swear_in(witness);
    }
    for witness in witnesses {
        court.hear(witness);
    }
    for (epoch, end) in ends {
        if let Some(life) = court.lives.get_mut(&**epoch) {
            life.end = life.end.max(*end);
            life.is_end_known = true;
        }
    }
    court.look_for_last_values();
    let mut parties: BTreeMap<&str, Vec<&Witness>> = BTreeMap::new();
    for witness in witnesses {
        parties.entry(&witness.party).or_default().push(witness);
    }
    for party in parties.values() {
        court.judge_order(party);
    }
    for witness in witnesses {
        court.judge(witness, &parties[&*witness.party]);
    }
    court.found
}

/// Subscriptions that were told that what they have missed is not known, in the life in which they
/// were: where all is kept and nobody loses its memory, there is no reason for that (P6).
#[must_use]
pub fn needless_resets(witnesses: &[Witness]) -> Vec<Anomaly> {
    let mut found = Vec::new();
    for witness in witnesses {
        for subscription in &witness.subscriptions {
            if let Some(epoch) = &subscription.not_recovered {
                let (name, subject) = (&witness.name, &subscription.subject);
                let text = format!("{name}: {subject} is not recovered in {epoch}");
                found.push(Anomaly::new(Kind::NeedlessReset, text));
            }
        }
    }
    found
}

/// All that is known.
#[derive(Default)]
struct Court<'w> {
    messages: BTreeMap<&'w str, Message<'w>>,
    lives: BTreeMap<&'w str, Life<'w>>,
    found: Vec<Anomaly>,
}

/// A message, and where it is.
struct Message<'w> {
    published: &'w Published,
    party: &'w str,
    /// When it was sent first.
    sent: Moment,
    /// How often it was sent.
    times: u32,
    /// Whether it may have been sent oftener.
    repeats: Repeats,
    place: Option<(&'w str, u64)>,
}

/// One life of a topic: what stands where.
#[derive(Default)]
struct Life<'w> {
    topic: &'w str,
    log: BTreeMap<u64, &'w str>,
    /// The highest offset that is known.
    end: u64,
    /// Whether there is none beyond.
    is_end_known: bool,
    /// Offsets of messages that are known to be the newest of their key.
    newest: BTreeSet<u64>,
    /// When each message was sent, the last first, and the lowest offset of all that were sent then
    /// or later.
    lowest_since: Vec<(Moment, u64)>,
}

impl<'w> Court<'w> {
    // ── What there is ──

    fn swear_in(&mut self, witness: &'w Witness) {
        for published in &witness.published {
            let mut message = Message {
                published,
                party: &witness.party,
                sent: published.sent,
                times: 1,
                repeats: witness.repeats,
                place: None,
            };
            match self.messages.entry(&published.identity) {
                Entry::Vacant(vacant) => {
                    vacant.insert(message);
                }
                Entry::Occupied(mut known) => {
                    // Said again by the next connection of its party.
                    let identity = &published.identity;
                    assert_eq!(known.get().party, message.party, "two messages {identity}");
                    message.sent = message.sent.min(known.get().sent);
                    message.times = known.get().times + 1;
                    if !message.is_told() {
                        message.published = known.get().published;
                    }
                    known.insert(message);
                }
            }
        }
        self.found.extend(witness.found.iter().map(|anomaly| {
            Anomaly::new(anomaly.kind, format!("{}: {}", witness.name, anomaly.text))
        }));
    }

    fn hear(&mut self, witness: &'w Witness) {
        let who = &*witness.name;
        for published in &witness.published {
            if let Outcome::Placed { epoch, offset, .. } = &published.outcome {
                let what = (&*published.identity, &*published.topic);
                self.place(who, what, (&**epoch, *offset));
            }
        }
        for delivery in &witness.deliveries {
            for span in &delivery.spans {
                if let What::Message(identity) = &span.what {
                    let what = (&**identity, &*delivery.topic);
                    self.place(who, what, (&*delivery.epoch, span.to));
                }
            }
        }
    }

    /// Puts a message where somebody says that it is.
    fn place(&mut self, who: &str, (identity, topic): (&'w str, &'w str), at: (&'w str, u64)) {
        let (epoch, offset) = at;
        let life = self.lives.entry(epoch).or_default();
        if life.topic.is_empty() {
            life.topic = topic;
        }
        let text = format!("{who}: {identity} at {offset} of {topic} ({epoch})");
        let Some(message) = self.messages.get_mut(identity) else {
            self.found.push(Anomaly::new(Kind::Phantom, text));
            return;
        };
        if *message.published.topic != *topic || life.topic != topic {
            self.found.push(Anomaly::new(Kind::Phantom, text));
            return;
        }
        match message.place {
            None => message.place = Some(at),
            Some(known) if known == at => return,
            // Said again to a core that has lost its memory. Whoever was there was told so.
            Some((before, _)) if before != epoch && message.may_be_said_again() => {}
            Some(known) => {
                let text = format!("{text}, and at {known:?}");
                self.found.push(Anomaly::new(Kind::Duplicate, text));
                return;
            }
        }
        life.end = life.end.max(offset);
        if let Some(other) = life.log.insert(offset, identity)
            && other != identity
        {
            let text = format!("{text}, and {other}");
            self.found
                .push(Anomaly::new(Kind::InconsistentOffsets, text));
        }
    }

    fn look_for_last_values(&mut self) {
        for life in self.lives.values_mut() {
            let mut keys = BTreeSet::new();
            // Of what nobody knows nobody knows the key.
            let mut next = life.is_end_known.then_some(life.end);
            for (&offset, identity) in life.log.iter().rev() {
                let message = &self.messages[identity];
                next = next.filter(|&next| next == offset);
                let is_newest = keys.insert(&*message.published.key);
                // One that expires may give way to nothing.
                if next.is_some() && is_newest && message.published.ttl_ms.is_none() {
                    life.newest.insert(offset);
                }
                next = next.map(|next| next - 1);
                life.lowest_since.push((message.sent, offset));
            }
            life.lowest_since.sort_unstable();
            life.lowest_since.reverse();
            let mut lowest = u64::MAX;
            for (_, offset) in &mut life.lowest_since {
                lowest = lowest.min(*offset);
                *offset = lowest;
            }
        }
    }

    // ── What is wrong with it ──

    fn judge(&mut self, witness: &Witness, party: &[&Witness]) {
        for delivery in &witness.deliveries {
            self.judge_delivery(witness, delivery);
        }
        for subscription in &witness.subscriptions {
            self.judge_subscription((witness, party), subscription);
        }
        let waiting = witness.subscriptions.iter().filter(|one| one.awaits_reset);
        for subscription in waiting.filter(|_| witness.fate == Fate::Quiet) {
            let text = format!("no reset of {}", subscription.subject);
            self.accuse(witness, Kind::Misplaced, &text);
        }
        if witness.fate == Fate::Quiet {
            for (id, asked) in &witness.commands {
                if asked.replies == 0 {
                    let text = format!("{:?}, with the id {id}", asked.what);
                    self.accuse(witness, Kind::Unanswered, &text);
                }
            }
        }
    }

    /// What one party publishes in a topic stands there in its order (P2), over whatever connections.
    fn judge_order(&mut self, party: &[&Witness]) {
        let all = party.iter().flat_map(|witness| {
            let published = witness.published.iter();
            published.map(move |published| (published.sent, published, *witness))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(sent, _, _)| *sent);
        let mut seen = BTreeSet::new();
        let mut last = BTreeMap::new();
        for (_, published, witness) in all {
            if !seen.insert(&*published.identity) {
                continue;
            }
            let message = &self.messages[&*published.identity];
            let Some((epoch, offset)) = message.place else {
                continue;
            };
            if witness.ordered == Ordered::Answered && !message.is_told() {
                continue;
            }
            // Without a number, what is said again stands wherever it comes then, and what was not
            // answered may come after what is said by the next connection.
            let is_numbered = published.pseq.is_some() || witness.repeats == Repeats::Hidden;
            if !is_numbered && (message.times > 1 || !message.is_told()) {
                continue;
            }
            if let Some(before) = last.insert(epoch, offset)
                && before > offset
            {
                let text = format!(
                    "{} of {} at {offset}, and the one before it at {before}",
                    published.identity, published.topic
                );
                self.accuse(witness, Kind::ExternalNonmonotonic, &text);
            }
        }
    }

    fn judge_delivery(&mut self, witness: &Witness, delivery: &Delivery) {
        let Some(life) = self.lives.get(&*delivery.epoch) else {
            return;
        };
        let is_own = |message: &Message<'_>| message.is_own(&witness.party);
        let mut wrong = Vec::new();
        for span in &delivery.spans {
            let all = life.log.range(span.from..=span.to);
            let mut messages = all.map(|(_, identity)| &self.messages[identity]);
            let kind = match &span.what {
                // An application may have published it over another of its connections.
                What::Message(_) if witness.ear == Ear::Application => None,
                What::Message(_) if messages.all(|message| !is_own(message)) => None,
                What::Message(_) => Some(Kind::Phantom),
                What::Own if messages.all(|message| message.is_passed(&witness.party)) => None,
                What::Gap if span.to <= life.end || !life.is_end_known => None,
                What::Own | What::Gap => Some(Kind::FalseAccount),
                What::Conflated => {
                    // An application hears nothing of its own, which may stand among them.
                    let mut newest = life.newest.range(span.from..=span.to);
                    let stale = newest.any(|offset| {
                        witness.ear == Ear::Connection || !is_own(&self.messages[life.log[offset]])
                    });
                    stale.then_some(Kind::StaleValue)
                }
                What::Unproven => None,
                What::Skipped if self.are_passed(witness, life, span.from, span.to) => None,
                What::Skipped => Some(match messages.find(|message| message.is_told()) {
                    Some(_) => Kind::LostWrite,
                    None => Kind::InternalSkip,
                }),
            };
            wrong.extend(kind.map(|kind| delivery.anomaly(kind, &format!("{span:?}"))));
        }
        if witness.fate == Fate::Quiet
            && delivery.state == State::Open
            && delivery.cursor < life.end
            && !self.are_passed(witness, life, delivery.cursor + 1, life.end)
        {
            let text = format!("it has come to {}", life.end);
            wrong.push(delivery.anomaly(Kind::Unobserved, &text));
        }
        for Anomaly { kind, text } in wrong {
            self.accuse(witness, kind, &text);
        }
    }

    /// Whether a client library passes these offsets without a word: its own messages that were not
    /// to come back. Of an offset that nobody knows, one whose outcome nobody knows may be the message.
    fn are_passed(&self, witness: &Witness, life: &Life<'_>, from: u64, to: u64) -> bool {
        if witness.ear == Ear::Connection {
            return false;
        }
        let mut unknown = to + 1 - from;
        for identity in life.log.range(from..=to).map(|(_, identity)| identity) {
            if !self.messages[identity].is_passed(&witness.party) {
                return false;
            }
            unknown -= 1;
        }
        let lost = || {
            let messages = self.messages.values();
            let lost = messages.filter(|message| {
                // What was said again stands in another life, too.
                let is_elsewhere = |(_, offset)| {
                    let here = life.log.get(&offset).copied();
                    message.may_be_said_again() && here != Some(&*message.published.identity)
                };
                message.is_passed(&witness.party)
                    && message.place.is_none_or(is_elsewhere)
                    && *message.published.topic == *life.topic
            });
            lost.count() as u64
        };
        unknown == 0 || unknown <= lost()
    }

    /// The last offset before a delivery. What was conflated before the first message of a topic is
    /// known by its number, in which a client library does not count what it passes.
    fn beginning(&self, witness: &Witness, life: &Life<'_>, delivery: &Delivery) -> u64 {
        let (start, first) = (delivery.start, delivery.spans.first());
        let Some(conflated) = first.filter(|span| span.what == What::Conflated) else {
            return start;
        };
        let is_counted = |to: &u64| !self.are_passed(witness, life, *to, *to);
        let mut counted = (1..=conflated.to).rev().filter(is_counted);
        let number = usize::try_from(conflated.to - start).unwrap_or(usize::MAX);
        counted.nth(number - 1).map_or(0, |first| first - 1)
    }

    /// A subscription covers what is published after its client was told that it is granted.
    fn judge_subscription(
        &mut self,
        (witness, party): (&Witness, &[&Witness]),
        subscription: &Subscription,
    ) {
        let Some(granted) = &subscription.granted else {
            return;
        };
        let mut wrong = Vec::new();
        if let Some((epoch, from)) = &granted.from
            && let Some(life) = self.lives.get(&**epoch)
        {
            let since = life.sent_after(granted.heard);
            if let Some(lowest) = since.filter(|lowest| lowest <= from) {
                wrong.push(format!(
                    "{} begins behind {from}, and {lowest} was published later",
                    subscription.subject
                ));
            }
        }
        for text in wrong {
            self.accuse(witness, Kind::FalseAccount, &text);
        }
        if witness.fate != Fate::Quiet || subscription.ended {
            return;
        }
        let subject = Subject::parse(&subscription.subject);
        let mut missing = Vec::new();
        for (epoch, life) in &self.lives {
            let matches = match subject {
                Ok(Subject::Topic(name)) => &*name == life.topic,
                Ok(Subject::Pattern(pattern)) => {
                    TopicName::parse(life.topic).is_ok_and(|name| pattern.matches(name))
                }
                Err(_) => false,
            };
            let Some(first) = life.sent_after(granted.heard).filter(|_| matches) else {
                continue;
            };
            let passed = |to| to < first || self.are_passed(witness, life, first, to);
            // What goes on began on an earlier connection.
            let of_party = party.iter().filter(|one| one.ear == witness.ear);
            let deliveries = || {
                let all = of_party.clone().flat_map(|one| &one.deliveries);
                let own = witness.deliveries.iter();
                let others = all.filter(|_| witness.ear == Ear::Connection);
                own.chain(others)
            };
            let has_it = deliveries().any(|delivery| {
                *delivery.epoch == **epoch
                    && match delivery.state {
                        State::Open | State::Ended => {
                            passed(self.beginning(witness, life, delivery))
                        }
                        State::Reset => true,
                        State::Unproven => passed(life.end) || delivery.cursor >= first,
                    }
            });
            let excused = deliveries()
                .any(|delivery| &*delivery.topic == life.topic && delivery.state == State::Reset);
            if !has_it && !excused && !passed(life.end) {
                missing.push(format!(
                    "{} does not bring {} ({epoch}) from {first} on",
                    subscription.subject, life.topic
                ));
            }
        }
        for text in missing {
            self.accuse(witness, Kind::Unobserved, &text);
        }
    }

    fn accuse(&mut self, witness: &Witness, kind: Kind, text: &str) {
        let text = format!("{}: {text}", witness.name);
        self.found.push(Anomaly::new(kind, text));
    }
}

impl Message<'_> {
    /// Whether it is not to come back to this party.
    fn is_own(&self, party: &str) -> bool {
        self.party == party && self.published.echo == Echo::No
    }

    /// Whether it may be passed on the way to this party: because it is its own, or may have expired.
    fn is_passed(&self, party: &str) -> bool {
        self.is_own(party) || self.published.ttl_ms.is_some()
    }

    const fn may_be_said_again(&self) -> bool {
        self.times > 1 || matches!(self.repeats, Repeats::Hidden)
    }

    /// Whether its publisher was told that it is there.
    const fn is_told(&self) -> bool {
        matches!(self.published.outcome, Outcome::Placed { .. })
    }
}

impl Life<'_> {
    /// The lowest offset of all messages that were sent after a moment.
    fn sent_after(&self, moment: Moment) -> Option<u64> {
        let later = self
            .lowest_since
            .partition_point(|(sent, _)| *sent > moment);
        later.checked_sub(1).map(|place| self.lowest_since[place].1)
    }
}

//! What was published before, of one topic.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::Tick;
use crate::hash::{Map, Seed};
use crate::messaging::client::Producer;

use super::{Claim, Claimed, DedupBounds};

/// The last messages of each producer by their numbers, and those with a key. Whatever is too much
/// or too old goes, what was used least lately first.
#[derive(Debug)]
pub(super) struct Dedup {
    producers: Map<u128, Known>,
    /// When each producer was looked at last, in the order of time.
    looks: VecDeque<(Tick, u128)>,
    offsets: Map<Arc<str>, u64>,
    /// The keys by age, with when they came.
    keys: VecDeque<(Tick, Arc<str>)>,
    /// Memory, about.
    bytes: usize,
}

/// What is known of a producer.
#[derive(Debug)]
struct Known {
    incarnation: u32,
    used: Tick,
    /// The number of its last message.
    last: u64,
    /// Where its last messages are, the last one at the end.
    offsets: VecDeque<u64>,
}

/// Bytes that a producer counts for, beside its offsets.
const PRODUCER_BYTES: usize = 160;
/// Bytes that a key counts for, beside its text.
const KEY_BYTES: usize = 96;

impl Dedup {
    pub(super) fn new(seed: &Seed) -> Self {
        Self {
            producers: Map::with_hasher(seed.clone()),
            looks: VecDeque::new(),
            offsets: Map::with_hasher(seed.clone()),
            keys: VecDeque::new(),
            bytes: size_of::<Self>(),
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the message that claims this was published before. If it was known by its key only,
    /// its number is known from now on, too.
    pub(super) fn claim(&mut self, claim: &Claim<'_>, bounds: &DedupBounds, now: Tick) -> Claimed {
        self.forget_old(bounds, now);
        let Producer {
            session,
            incarnation,
        } = claim.producer;
        if let Some(pseq) = claim.pseq
            && let Some(known) = self.producers.get_mut(&session)
        {
            if incarnation < known.incarnation {
                return Claimed::Superseded;
            }
            known.incarnation = incarnation;
            known.used = now;
            let expected = known.last + 1;
            if pseq != expected {
                return match known.offset_of(pseq) {
                    Some(offset) => Claimed::Known(offset),
                    None => Claimed::NotNext { expected },
                };
            }
        }
        let known = claim.idem.and_then(|key| self.offsets.get(key).copied());
        match known {
            None => Claimed::New,
            Some(offset) => {
                let of_number = Claim {
                    idem: None,
                    ..*claim
                };
                self.note(&of_number, offset, bounds, now);
                Claimed::Known(offset)
            }
        }
    }

    /// A message with this claim has this offset.
    pub(super) fn note(&mut self, claim: &Claim<'_>, offset: u64, bounds: &DedupBounds, now: Tick) {
        if let Some(pseq) = claim.pseq {
            self.note_number(claim.producer, pseq, offset, bounds, now);
        }
        if let Some(key) = claim.idem {
            let key: Arc<str> = key.into();
            self.bytes += KEY_BYTES + key.len();
            self.keys.push_back((now, Arc::clone(&key)));
            self.offsets.insert(key, offset);
            while self.keys.len() > bounds.keys {
                self.forget_key();
            }
        }
    }

    /// Whether nothing is known any more.
    pub(super) fn is_empty(&mut self, bounds: &DedupBounds, now: Tick) -> bool {
        self.forget_old(bounds, now);
        self.producers.is_empty() && self.keys.is_empty()
    }

    fn note_number(
        &mut self,
        producer: Producer,
        pseq: u64,
        offset: u64,
        bounds: &DedupBounds,
        now: Tick,
    ) {
        let Producer {
            session,
            incarnation,
        } = producer;
        if !self.producers.contains_key(&session) {
            while self.producers.len() >= bounds.producers {
                self.forget_producer(now);
            }
            self.bytes += PRODUCER_BYTES;
            self.looks.push_back((now, session));
        }
        let known = self.producers.entry(session).or_insert_with(|| Known {
            incarnation,
            used: now,
            last: pseq,
            offsets: VecDeque::new(),
        });
        known.used = now;
        known.last = pseq;
        known.offsets.push_back(offset);
        self.bytes += size_of::<u64>();
        while known.offsets.len() > bounds.numbers {
            known.offsets.pop_front();
            self.bytes -= size_of::<u64>();
        }
    }

    /// Looks at a few that may be too old: more than come at the same time.
    fn forget_old(&mut self, bounds: &DedupBounds, now: Tick) {
        for _ in 0..2 {
            match self.keys.front() {
                Some((came, _)) if came.after(bounds.window_ms).is_due(now) => self.forget_key(),
                Some(_) | None => break,
            }
        }
        for _ in 0..2 {
            let Some(&(looked, session)) = self.looks.front() else {
                break;
            };
            if !looked.after(bounds.window_ms).is_due(now) {
                break;
            }
            self.looks.pop_front();
            let Some(known) = self.producers.get(&session) else {
                continue;
            };
            if known.used.after(bounds.window_ms).is_due(now) {
                self.remove(session);
            } else {
                self.looks.push_back((now, session));
            }
        }
    }

    fn forget_key(&mut self) {
        if let Some((_, key)) = self.keys.pop_front() {
            self.bytes -= KEY_BYTES + key.len();
            self.offsets.remove(&key);
        }
    }

    /// One producer goes before its time. Whoever has published since it was looked at last is
    /// looked at once more first: each message gives one such chance, so they cost no more than it.
    fn forget_producer(&mut self, now: Tick) {
        for _ in 0..=self.looks.len() {
            let Some((looked, session)) = self.looks.pop_front() else {
                return;
            };
            match self.producers.get(&session) {
                Some(known) if known.used != looked && looked != now => {
                    self.looks.push_back((now, session));
                }
                Some(_) => return self.remove(session),
                None => {}
            }
        }
    }

    fn remove(&mut self, session: u128) {
        if let Some(known) = self.producers.remove(&session) {
            self.bytes -= PRODUCER_BYTES + known.offsets.len() * size_of::<u64>();
        }
    }
}

impl Known {
    /// Where the message with a number is, if that is still known.
    fn offset_of(&self, pseq: u64) -> Option<u64> {
        let back = usize::try_from(self.last.checked_sub(pseq)?).ok()?;
        let place = self.offsets.len().checked_sub(1 + back)?;
        self.offsets.get(place).copied()
    }
}

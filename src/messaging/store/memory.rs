//! Logs in the memory of their core.

use std::sync::Arc;

use corewire_protocol::native::Level;
use slotmap::SlotMap;

use crate::engine::Tick;
use crate::hash::Seed;
use crate::messaging::class::{ClassId, History};
use crate::messaging::publication::Publication;
use crate::messaging::recency::Recency;

use super::dedup::Dedup;
use super::log::Log;
use super::{
    Ask, Bounds, Claim, Claimed, DedupBounds, Extent, Figures, Found, LogKey, Opening, Point,
    Range, Read, ReadNumber, Store,
};

/// Logs that die with their core. Each is bounded by the history of its class, all together by
/// their memory: over that, the log that was written to least lately lets go of its oldest message
/// first, and of what it knows of its producers last.
#[derive(Debug)]
pub(in crate::messaging) struct MemoryStore {
    logs: SlotMap<LogKey, Log>,
    /// In the order of [`ClassId`].
    classes: Vec<OfClass>,
    bounds: Bounds,
    figures: Figures,
    /// The class that is tidied next.
    next: usize,
    seed: Seed,
}

/// The logs of one class.
#[derive(Debug)]
struct OfClass {
    history: History,
    dedup: DedupBounds,
    /// Those that hold anything, in the order in which they were written to.
    written: Recency<LogKey>,
}

/// Logs that one call of [`Store::tidy`] looks at.
const LOOKS: usize = 4;

impl MemoryStore {
    /// A store for topics of these classes, in the order of [`ClassId`].
    pub(in crate::messaging) fn new(histories: &[History], bounds: Bounds, seed: Seed) -> Self {
        let classes = histories.iter().map(|&history| OfClass {
            history,
            dedup: DedupBounds {
                // Nobody is to have a message twice who could still be sent it.
                window_ms: bounds.dedup.window_ms.max(history.age_ms),
                ..bounds.dedup
            },
            written: Recency::new(),
        });
        Self {
            logs: SlotMap::with_key(),
            classes: classes.collect(),
            bounds,
            figures: Figures::default(),
            next: 0,
            seed,
        }
    }

    fn class(&self, class: ClassId) -> &OfClass {
        // A class that nobody knows has the bounds of the last one, the default.
        let place = usize::from(class.0).min(self.classes.len() - 1);
        &self.classes[place]
    }

    /// Lets go of what is over the bounds of the log's class.
    fn trim(&mut self, key: LogKey, now: Tick) {
        let Some(class) = self.logs.get(key).map(|log| log.class) else {
            return;
        };
        let history = self.class(class).history;
        while self
            .logs
            .get(key)
            .is_some_and(|log| log.is_over(&history, now))
        {
            self.pop(key);
        }
    }

    fn pop(&mut self, key: LogKey) -> bool {
        let oldest = self.logs.get_mut(key).and_then(Log::pop);
        if let Some(oldest) = &oldest {
            self.figures.bytes -= oldest.memory_bytes() as u64;
            self.figures.messages -= 1;
        }
        oldest.is_some()
    }

    /// Lets go of everything in a log but its place.
    fn clear(&mut self, key: LogKey) {
        while self.pop(key) {}
        if let Some(log) = self.logs.get_mut(key) {
            let class = usize::from(log.class.0).min(self.classes.len() - 1);
            if let Some(dedup) = log.dedup.take() {
                self.figures.bytes -= dedup.bytes() as u64;
            }
            self.classes[class].written.remove(&mut self.logs, key);
        }
    }

    /// Keeps all logs together within their bound.
    fn keep_within(&mut self, now: Tick) {
        while self.figures.bytes > self.bounds.bytes as u64 {
            let oldest = self.classes.iter().filter_map(|class| {
                let key = class.written.oldest()?;
                Some((now.since(self.logs.get(key)?.used), key))
            });
            let Some((_, oldest)) = oldest.max_by_key(|(age_ms, _)| *age_ms) else {
                return;
            };
            if self.pop(oldest) {
                self.figures.evicted += 1;
            } else {
                self.clear(oldest);
            }
        }
    }
}

impl Store for MemoryStore {
    /// Logs in memory end with their topics.
    fn find(&mut self, _: &str) -> Option<Found> {
        None
    }

    fn open(&mut self, opening: Opening<'_>) -> LogKey {
        self.logs.insert(Log::new(opening.class, opening.end))
    }

    fn close(&mut self, log: LogKey) {
        self.clear(log);
        self.logs.remove(log);
    }

    fn claim(&mut self, log: LogKey, claim: &Claim<'_>, now: Tick) -> Claimed {
        let Some(log) = self.logs.get_mut(log) else {
            return Claimed::New;
        };
        let class = usize::from(log.class.0).min(self.classes.len() - 1);
        let Some(dedup) = &mut log.dedup else {
            return Claimed::New;
        };
        let before = dedup.bytes() as u64;
        let claimed = dedup.claim(claim, &self.classes[class].dedup, now);
        self.figures.bytes = self.figures.bytes + dedup.bytes() as u64 - before;
        claimed
    }

    fn append(&mut self, key: LogKey, publication: &Arc<Publication>) -> Level {
        let now = publication.taken;
        let Some(log) = self.logs.get_mut(key) else {
            return Level::None;
        };
        let place = usize::from(log.class.0).min(self.classes.len() - 1);
        let class = &mut self.classes[place];
        log.used = now;
        if let Some(claim) = publication.draft.claim() {
            let before = log.dedup.as_ref().map_or(0, |dedup| dedup.bytes() as u64);
            let dedup = log
                .dedup
                .get_or_insert_with(|| Box::new(Dedup::new(&self.seed)));
            dedup.note(&claim, publication.offset, &class.dedup, now);
            self.figures.bytes = self.figures.bytes + dedup.bytes() as u64 - before;
        }
        let level = if class.history == History::NONE {
            log.pass(publication);
            Level::None
        } else {
            log.push(publication);
            self.figures.bytes += publication.memory_bytes() as u64;
            self.figures.messages += 1;
            Level::Memory
        };
        class.written.touch(&mut self.logs, key);
        self.trim(key, now);
        self.keep_within(now);
        level
    }

    fn extent(&mut self, log: LogKey, now: Tick) -> Extent {
        self.trim(log, now);
        self.logs.get(log).map(Log::extent).unwrap_or_default()
    }

    fn locate(&mut self, log: LogKey, point: Point, now: Tick) -> u64 {
        self.trim(log, now);
        self.logs.get(log).map_or(0, |log| log.locate(point, now))
    }

    fn read(&mut self, log: LogKey, ask: &Ask, now: Tick) -> Read {
        self.trim(log, now);
        let range = self.logs.get(log).map(|log| log.read(ask, now));
        Read::Now(range.unwrap_or_default())
    }

    fn finished(&mut self) -> Option<(ReadNumber, Range)> {
        None
    }

    fn is_in_use(&mut self, key: LogKey, now: Tick) -> bool {
        self.trim(key, now);
        let Some(log) = self.logs.get_mut(key) else {
            return false;
        };
        let class = usize::from(log.class.0).min(self.classes.len() - 1);
        let bounds = self.classes[class].dedup;
        let known = log.dedup.as_mut().is_some_and(|dedup| {
            let before = dedup.bytes() as u64;
            let known = !dedup.is_empty(&bounds, now);
            self.figures.bytes = self.figures.bytes + dedup.bytes() as u64 - before;
            known
        });
        known || !log.is_empty()
    }

    /// A log that nobody has written to for as long as messages or producers of its class are
    /// remembered holds nothing that anybody can ask for.
    fn tidy(&mut self, now: Tick) {
        self.next = (self.next + 1) % self.classes.len();
        for _ in 0..LOOKS {
            let class = &self.classes[self.next];
            let window_ms = class.dedup.window_ms;
            match class.written.oldest() {
                Some(key)
                    if self
                        .logs
                        .get(key)
                        .is_some_and(|log| now.since(log.used) > window_ms) =>
                {
                    self.clear(key);
                }
                Some(_) | None => return,
            }
        }
    }

    fn figures(&self) -> Figures {
        self.figures
    }
}

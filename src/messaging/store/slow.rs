//! A store as if its messages lay elsewhere: whatever is read comes later. It is what those who
//! wait for reads are tested with.

use std::collections::VecDeque;
use std::sync::Arc;

use corewire_protocol::native::Level;

use crate::engine::Tick;
use crate::messaging::publication::Publication;

use super::{
    Ask, Claim, Claimed, Extent, Figures, Found, LogKey, MemoryStore, Opening, Point, Range, Read,
    ReadNumber, Store,
};

/// Answers a read when it is asked for a finished one the second time, with what is there then.
#[derive(Debug)]
pub(in crate::messaging) struct SlowStore {
    inner: MemoryStore,
    reads: VecDeque<(LogKey, Ask, Tick)>,
    asked: u64,
}

impl SlowStore {
    pub(in crate::messaging) const fn new(inner: MemoryStore) -> Self {
        Self {
            inner,
            reads: VecDeque::new(),
            asked: 0,
        }
    }
}

impl Store for SlowStore {
    fn find(&mut self, topic: &str) -> Option<Found> {
        self.inner.find(topic)
    }

    fn open(&mut self, opening: Opening<'_>) -> LogKey {
        self.inner.open(opening)
    }

    fn close(&mut self, log: LogKey) {
        self.inner.close(log);
    }

    fn claim(&mut self, log: LogKey, claim: &Claim<'_>, now: Tick) -> Claimed {
        self.inner.claim(log, claim, now)
    }

    fn append(&mut self, log: LogKey, publication: &Arc<Publication>) -> Level {
        self.inner.append(log, publication)
    }

    fn extent(&mut self, log: LogKey, now: Tick) -> Extent {
        self.inner.extent(log, now)
    }

    fn locate(&mut self, log: LogKey, point: Point, now: Tick) -> u64 {
        self.inner.locate(log, point, now)
    }

    fn read(&mut self, log: LogKey, ask: &Ask, now: Tick) -> Read {
        self.reads.push_back((log, *ask, now));
        Read::Later
    }

    fn finished(&mut self) -> Option<(ReadNumber, Range)> {
        self.asked += 1;
        if self.asked % 2 == 1 {
            return None;
        }
        let (log, ask, now) = self.reads.pop_front()?;
        match self.inner.read(log, &ask, now) {
            Read::Now(range) => Some((ask.number, range)),
            Read::Later => None,
        }
    }

    fn is_in_use(&mut self, log: LogKey, now: Tick) -> bool {
        self.inner.is_in_use(log, now)
    }

    fn tidy(&mut self, now: Tick) {
        self.inner.tidy(now);
    }

    fn figures(&self) -> Figures {
        self.inner.figures()
    }
}

//! Models of what the server's `src/sync.rs` names.

use std::cell::Cell;
use std::ops::Deref;

use loom::sync::Mutex;
pub(crate) use loom::sync::atomic::Ordering;
use loom::sync::atomic::{self, AtomicUsize};

loom::thread_local! {
    static FENCES: Cell<Fences> = Cell::new(Fences::Stand);
}

/// Whether the fences of a thread do what they are there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fences {
    Stand,
    /// A planted bug.
    AreForgotten,
}

/// For the current thread, from now on.
pub(crate) fn set_fences(fences: Fences) {
    FENCES.with(|cell| cell.set(fences));
}

pub(crate) fn fence(order: Ordering) {
    if FENCES.with(Cell::get) == Fences::Stand {
        atomic::fence(order);
    }
}

/// A flag whose writes have one order, that in which they are made.
///
/// loom's have not: it does not know that nothing comes between what `swap` reads and what it
/// writes, and lets a later `swap` of the same thread read its own write although the other thread
/// has written since. It does know the order of one `swap` and the next.
pub(crate) struct AtomicBool(atomic::AtomicBool);

impl AtomicBool {
    pub(crate) fn new(value: bool) -> Self {
        Self(atomic::AtomicBool::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> bool {
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: bool, order: Ordering) {
        self.0.swap(value, order);
    }

    pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
        self.0.swap(value, order)
    }
}

/// A queue for one sender and one receiver with as little order as such a queue can have: who
/// takes something has seen what came before it, and nothing else is promised.
pub(crate) struct ArrayQueue<T> {
    places: Vec<Mutex<Option<T>>>,
    /// What was taken, written by the receiver.
    taken: AtomicUsize,
    /// What was put in, written by the sender.
    put: AtomicUsize,
}

/// Places of a queue, however many are asked for.
pub(crate) const PLACES: usize = 2;

impl<T> ArrayQueue<T> {
    pub(crate) fn new(_capacity: usize) -> Self {
        Self {
            places: (0..PLACES).map(|_| Mutex::new(None)).collect(),
            taken: AtomicUsize::new(0),
            put: AtomicUsize::new(0),
        }
    }

    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let put = self.put.load(Ordering::Relaxed);
        if put - self.taken.load(Ordering::Acquire) == PLACES {
            return Err(item);
        }
        *self.places[put % PLACES].lock().unwrap() = Some(item);
        self.put.store(put + 1, Ordering::Release);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let taken = self.taken.load(Ordering::Relaxed);
        if taken == self.put.load(Ordering::Acquire) {
            return None;
        }
        let item = self.places[taken % PLACES].lock().unwrap().take();
        self.taken.store(taken + 1, Ordering::Release);
        item
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == self.put.load(Ordering::Relaxed)
    }
}

/// Distances in memory have no meaning here.
pub(crate) struct CachePadded<T>(T);

impl<T> CachePadded<T> {
    pub(crate) const fn new(inner: T) -> Self {
        Self(inner)
    }
}

impl<T> Deref for CachePadded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

//! What the threads of a fan-out have in common: how far each publisher is, and which of its
//! publications have come everywhere.
//!
//! A publisher belongs to the thread that has its connection, which alone publishes for it. Every
//! thread counts the deliveries to its own subscribers and enters them here once a turn. Who enters
//! the last of a publication in flight tells its publisher's thread, and wakes it.
//!
//! ```text
//!   publisher's thread:  begin(n, all) ..................... has_arrived(n) -> the next
//!   every thread:                      arrived(n, so many) -----^ the last one rings
//! ```

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use mio::Waker;

use crate::bench::error::Error;

/// What all threads see.
#[derive(Debug)]
pub(super) struct Board {
    /// How many publications of each publisher are out.
    published: Box<[AtomicU32]>,
    /// In a closed loop: as many places for each publisher as it may have in flight. Publication
    /// `n` has the place `n` modulo that: `n` in the upper half, what is missing in the lower one.
    places: Box<[AtomicU64]>,
    in_flight: usize,
    /// Deliveries that all publications should bring.
    expected: AtomicU64,
    /// Subscribers that have received what says that they are ready.
    ready: AtomicUsize,
    /// When anything came, on any connection.
    heard: AtomicU64,
    /// Threads that may still publish.
    publishing: AtomicUsize,
    /// One for each thread, from when it has begun.
    doors: Box<[OnceLock<Door>]>,
}

/// Where a thread is told which of its publishers may publish again.
#[derive(Debug)]
pub(super) struct Door {
    /// The publishers that are its own.
    pub(super) publishers: Range<usize>,
    pub(super) room: Sender<usize>,
    pub(super) bell: Waker,
}

impl Board {
    /// For so many threads and publishers, of which each has at most `in_flight` publications on
    /// their way; 0 in an open loop, where nobody waits for them.
    pub(super) fn new(threads: usize, publishers: usize, in_flight: usize) -> Self {
        Self {
            published: (0..publishers).map(|_| AtomicU32::new(0)).collect(),
            places: (0..publishers * in_flight)
                .map(|_| AtomicU64::new(0))
                .collect(),
            in_flight,
            expected: AtomicU64::new(0),
            ready: AtomicUsize::new(0),
            heard: AtomicU64::new(0),
            publishing: AtomicUsize::new(threads),
            doors: (0..threads).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Puts up the door of a thread, once and before anything is published.
    pub(super) fn put_up(&self, thread: usize, door: Door) {
        let _ = self.doors[thread].set(door);
    }

    /// One more subscriber is ready.
    pub(super) fn is_ready(&self) {
        self.ready.fetch_add(1, Ordering::Relaxed);
    }

    /// How many subscribers are ready.
    pub(super) fn ready(&self) -> usize {
        self.ready.load(Ordering::Relaxed)
    }

    /// Something came at `time`, or may from then on.
    pub(super) fn hear(&self, time: u64) {
        self.heard.fetch_max(time, Ordering::Relaxed);
    }

    /// When anything came on any thread, as far as they have told.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// The number of the next publication of `publisher`, which should bring `deliveries`: it goes
    /// out after this call.
    pub(super) fn publish(&self, publisher: usize, deliveries: u32) -> u32 {
        self.expected
            .fetch_add(u64::from(deliveries), Ordering::Relaxed);
        let number = self.published[publisher].fetch_add(1, Ordering::Release);
        if let Some(place) = self.place(publisher, number) {
            let missing = u64::from(number) << 32 | u64::from(deliveries);
            self.places[place].store(missing, Ordering::Release);
        }
        number
    }

    /// How many publications of a publisher are out; none of one that is not there.
    pub(super) fn published(&self, publisher: usize) -> u32 {
        let published = self.published.get(publisher);
        published.map_or(0, |published| published.load(Ordering::Acquire))
    }

    /// Deliveries that all publications so far should bring.
    pub(super) fn expected(&self) -> u64 {
        self.expected.load(Ordering::Relaxed)
    }

    /// Where a publication in flight has its place; nowhere in an open loop.
    pub(super) fn place(&self, publisher: usize, number: u32) -> Option<usize> {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let within = number.checked_rem(self.in_flight)?;
        Some(publisher * self.in_flight + within)
    }

    /// How many places there are.
    pub(super) const fn places(&self) -> usize {
        self.places.len()
    }

    /// Enters `count` deliveries of publication `number` at its `place`. If they are the last that
    /// were missing, returns its publisher. A publication that is no longer waited for has lost its
    /// place to a later one.
    pub(super) fn arrived(&self, place: usize, number: u32, count: u32) -> Option<usize> {
        let of_number = |value: u64| value >> 32 == u64::from(number);
        let before =
            self.places[place].fetch_update(Ordering::AcqRel, Ordering::Acquire, |value| {
                of_number(value).then(|| value - u64::from(count))
            });
        let last = u64::from(number) << 32 | u64::from(count);
        (before == Ok(last)).then(|| place / self.in_flight)
    }

    /// Whether publication `number` has come everywhere.
    pub(super) fn has_arrived(&self, publisher: usize, number: u32) -> bool {
        let place = self.place(publisher, number);
        place.is_none_or(|place| {
            self.places[place].load(Ordering::Acquire) == u64::from(number) << 32
        })
    }

    /// Tells the thread of `publisher` that one of its publications has come everywhere.
    pub(super) fn ring(&self, publisher: usize) -> Result<(), Error> {
        let mut doors = self.doors.iter().filter_map(OnceLock::get);
        let Some(door) = doors.find(|door| door.publishers.contains(&publisher)) else {
            return Ok(());
        };
        // Nobody is at home any more when that thread has done with publishing.
        let _ = door.room.send(publisher);
        door.bell.wake().map_err(Error::system("wake a thread"))
    }

    /// A thread publishes nothing more.
    pub(super) fn has_published(&self) {
        self.publishing.fetch_sub(1, Ordering::Release);
    }

    /// Whether all threads have published all that they will.
    pub(super) fn all_have_published(&self) -> bool {
        self.publishing.load(Ordering::Acquire) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_enters_the_last_delivery_learns_whose_it_is() {
        let board = Board::new(2, 3, 4);
        assert_eq!(board.publish(1, 5), 0);
        let place = board.place(1, 0).unwrap();
        assert_eq!(board.arrived(place, 0, 3), None);
        assert!(!board.has_arrived(1, 0));
        assert_eq!(board.arrived(place, 0, 2), Some(1));
        assert!(board.has_arrived(1, 0));
        assert_eq!(board.expected(), 5);
    }

    #[test]
    fn what_is_late_for_its_place_does_not_count_for_the_next() {
        let board = Board::new(1, 2, 2);
        assert_eq!([(); 3].map(|()| board.publish(1, 1)), [0, 1, 2]);
        // Publications 0 and 2 have the same place, and nobody waits for 0 any more.
        let place = board.place(1, 0).unwrap();
        assert_eq!(board.place(1, 2), Some(place));
        assert_eq!(board.arrived(place, 0, 1), None);
        assert!(!board.has_arrived(1, 2));
        assert_eq!(board.arrived(place, 2, 1), Some(1));
    }

    #[test]
    fn an_open_loop_has_no_places() {
        let board = Board::new(1, 2, 0);
        assert_eq!((board.publish(1, 7), board.publish(1, 7)), (0, 1));
        assert_eq!((board.published(1), board.published(0)), (2, 0));
        assert_eq!(board.published(2), 0);
        assert_eq!(board.place(1, 1), None);
        assert_eq!(board.expected(), 14);
    }
}

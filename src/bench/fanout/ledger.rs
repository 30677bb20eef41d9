//! The books of one thread of a fan-out: what its publishers have published, and what has been
//! delivered to its subscribers. What the others must know of it stands on the [`Board`].

use std::collections::VecDeque;
use std::ops::Range;

use super::board::Board;
use super::marker::Marker;
use super::order::Order;
use super::peer::{Readiness, Seat};
use super::scan::{Found, Rest};
use super::sequence::Arrival;
use crate::bench::clock::Clock;
use crate::bench::error::{Error, Fault};
use crate::bench::figures::Figures;
use crate::bench::replies::SAMPLE_EVERY;
use crate::bench::workers::Window;

/// The books.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    pub(super) figures: Figures,
    pub(super) totals: Totals,
    /// Publishers of this thread that may publish again, in a closed loop.
    pub(super) open: Vec<usize>,
    /// Texts that were found on the connection that is being read, by their places.
    pub(super) texts: Vec<usize>,
    /// When anything came, on any connection of this thread.
    pub(super) heard: u64,
    clock: Clock,
    board: &'a Board,
    /// The place of the text that says that a subscriber is ready.
    ready_text: Option<usize>,
    /// The publishers of this thread among all.
    own: Range<usize>,
    publishers: Vec<Publisher>,
    /// How many subscribe to each topic, on any thread.
    subscribers: Vec<u32>,
    tally: Tally,
}

/// The whole run, warm-up included.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    /// Publications.
    pub(super) published: u64,
    /// Those that were due in the measured time.
    pub(super) measured: u64,
    /// Deliveries that these should have brought.
    pub(super) expected: u64,
    /// Those that came, each counted once.
    pub(super) delivered: u64,
    pub(super) duplicates: u64,
    pub(super) out_of_order: u64,
    /// Deliveries to publishers.
    pub(super) to_publishers: u64,
    /// Deliveries whose payload was compared.
    pub(super) compared: u64,
    /// Publications that were no longer waited for.
    pub(super) given_up: u64,
}

impl Totals {
    /// Takes in those of another thread.
    pub(super) const fn merge(&mut self, other: &Self) {
        self.published += other.published;
        self.measured += other.measured;
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.to_publishers += other.to_publishers;
        self.compared += other.compared;
        self.given_up += other.given_up;
    }
}

/// One publisher.
#[derive(Debug, Default)]
struct Publisher {
    /// Publications so far.
    published: u32,
    /// When those went out that have not yet come everywhere, in a closed loop: the last of the
    /// published.
    in_flight: VecDeque<u64>,
}

impl Publisher {
    /// The number of the first that is in flight.
    fn oldest(&self) -> u32 {
        let in_flight = u32::try_from(self.in_flight.len()).unwrap_or(u32::MAX);
        self.published - in_flight
    }
}

/// This turn's deliveries of publications in flight, which are entered on the board together.
#[derive(Debug)]
struct Tally {
    /// As many as the board has places.
    counts: Vec<Count>,
    /// The places that are not empty.
    touched: Vec<usize>,
}

/// Deliveries of one publication.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    number: u32,
    deliveries: u32,
}

impl Tally {
    fn add(&mut self, place: usize, number: u32) {
        let count = &mut self.counts[place];
        if count.deliveries == 0 {
            self.touched.push(place);
            count.number = number;
        }
        // The earlier of two that have the same place is no longer waited for.
        if number > count.number {
            *count = Count {
                number,
                deliveries: 0,
            };
        }
        count.deliveries += u32::from(number == count.number);
    }
}

impl<'a> Ledger<'a> {
    /// For the publishers `own`. `subscribers` has how many subscribe to each topic, none of them
    /// nobody.
    pub(super) fn new(
        clock: Clock,
        board: &'a Board,
        own: Range<usize>,
        subscribers: Vec<u32>,
        ready_text: Option<usize>,
    ) -> Result<Self, Error> {
        Ok(Self {
            figures: Figures::new(Window::NONE)?,
            totals: Totals::default(),
            open: Vec::new(),
            texts: Vec::new(),
            heard: 0,
            clock,
            board,
            ready_text,
            publishers: own.clone().map(|_| Publisher::default()).collect(),
            own,
            subscribers,
            tally: Tally {
                counts: vec![Count::default(); board.places()],
                touched: Vec::new(),
            },
        })
    }

    /// Which topic publication `number` of a publisher goes to.
    fn topic(&self, publisher: usize, number: u32) -> usize {
        Order::new(publisher, self.subscribers.len()).topic(number)
    }

    /// Enters the next publication of `publisher`, due at `due_ns`: its marker and its topic.
    pub(super) fn publish(
        &mut self,
        publisher: usize,
        due_ns: u64,
        window: Window,
    ) -> (Marker, usize) {
        let next = self.own(publisher).published;
        let topic = self.topic(publisher, next);
        let deliveries = self.subscribers[topic];
        let number = self.board.publish(publisher, deliveries);
        self.own(publisher).published = number + 1;
        let marker = Marker {
            publisher: u16::try_from(publisher).unwrap_or(u16::MAX),
            number,
            due_ns,
        };
        self.totals.published += 1;
        self.totals.measured += u64::from(window.holds(due_ns));
        self.totals.expected += u64::from(deliveries);
        (marker, topic)
    }

    fn own(&mut self, publisher: usize) -> &mut Publisher {
        &mut self.publishers[publisher - self.own.start]
    }

    /// Counts what `publisher` has just published as in flight.
    pub(super) fn wait_for(&mut self, publisher: usize, since: u64) {
        self.own(publisher).in_flight.push_back(since);
    }

    /// How many publications of `publisher` are in flight.
    pub(super) fn in_flight(&mut self, publisher: usize) -> usize {
        let (board, own) = (self.board, self.own(publisher));
        while !own.in_flight.is_empty() && board.has_arrived(publisher, own.oldest()) {
            own.in_flight.pop_front();
        }
        own.in_flight.len()
    }

    /// Waits no longer for what was published before `time`, so that what a server has dropped
    /// does not stop a closed loop.
    pub(super) fn give_up(&mut self, time: u64) {
        for (publisher, number) in self.publishers.iter_mut().zip(self.own.clone()) {
            let before = publisher.in_flight.len();
            while publisher
                .in_flight
                .front()
                .is_some_and(|&since| since < time)
            {
                let arrived = self.board.has_arrived(number, publisher.oldest());
                self.totals.given_up += u64::from(!arrived);
                publisher.in_flight.pop_front();
            }
            if publisher.in_flight.len() < before {
                self.open.push(number);
            }
        }
    }

    /// Enters on the board what has been delivered in this turn, so that publishers get to know
    /// what has come everywhere.
    pub(super) fn enter(&mut self) -> Result<(), Error> {
        for place in self.tally.touched.drain(..) {
            let Count { number, deliveries } = std::mem::take(&mut self.tally.counts[place]);
            match self.board.arrived(place, number, deliveries) {
                Some(publisher) if self.own.contains(&publisher) => self.open.push(publisher),
                Some(publisher) => self.board.ring(publisher)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Enters what was found on the connection of `seat`, at `now`.
    pub(super) fn found(&mut self, seat: &mut Seat, found: Found, now: u64) -> Result<Rest, Fault> {
        match found {
            Found::Delivery(marker) => self.deliver(seat, marker, now),
            Found::Text(place) if Some(place) == self.ready_text => {
                if let Seat::Subscriber { readiness, .. } = seat
                    && *readiness == Readiness::Waiting
                {
                    *readiness = Readiness::Ready;
                    self.board.is_ready();
                }
                Ok(Rest::Skip)
            }
            Found::Text(place) => {
                self.texts.push(place);
                Ok(Rest::Skip)
            }
        }
    }

    fn deliver(&mut self, seat: &mut Seat, marker: Marker, now: u64) -> Result<Rest, Fault> {
        let publisher = usize::from(marker.publisher);
        if marker.number >= self.board.published(publisher) || marker.due_ns > now {
            return Err(Fault::Unpublished);
        }
        let Seat::Subscriber {
            topic, sequences, ..
        } = seat
        else {
            self.totals.to_publishers += 1;
            return Ok(Rest::Skip);
        };
        let delivered = self.topic(publisher, marker.number);
        if delivered != *topic {
            return Err(Fault::Topic {
                subscribed: *topic,
                delivered,
            });
        }
        // A subscriber gets every `topics`th of a publisher's numbers.
        let topics = u32::try_from(self.subscribers.len()).unwrap_or(u32::MAX);
        match sequences[publisher].arrive(marker.number / topics) {
            Arrival::New => {}
            Arrival::OutOfOrder => self.totals.out_of_order += 1,
            Arrival::Duplicate => {
                self.totals.duplicates += 1;
                return Ok(Rest::Skip);
            }
        }
        self.figures.took(marker.due_ns, now, 1);
        if let Some(place) = self.board.place(publisher, marker.number) {
            self.tally.add(place, marker.number);
        }
        self.totals.delivered += 1;
        if self.totals.delivered % SAMPLE_EVERY == 1 {
            self.totals.compared += 1;
            return Ok(Rest::Compare);
        }
        Ok(Rest::Skip)
    }

    /// So many have been delivered since there were `before`.
    pub(super) fn read(&mut self, before: u64, now: u64) {
        self.heard = now;
        self.figures.came(now, self.totals.delivered - before);
    }

    /// Now, on the run's clock.
    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }
}

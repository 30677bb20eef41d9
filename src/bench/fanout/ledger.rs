//! The books of a fan-out: what was published, and what of it has been delivered.

use std::collections::VecDeque;

use super::marker::Marker;
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
pub(super) struct Ledger {
    pub(super) figures: Figures,
    pub(super) totals: Totals,
    /// Publishers that may publish again, in a closed loop.
    pub(super) open: Vec<usize>,
    /// Texts that were found on the connection that is being read, by their places.
    pub(super) texts: Vec<usize>,
    /// When anything came, on any connection.
    pub(super) heard: u64,
    /// Subscribers that have received what says that they are ready.
    pub(super) ready: usize,
    clock: Clock,
    /// The place of that text.
    ready_text: Option<usize>,
    publishers: Vec<Publisher>,
    /// How many subscribe to each topic.
    subscribers: Vec<u32>,
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

/// One publisher.
#[derive(Debug, Default)]
struct Publisher {
    /// Publications so far; the next has this number.
    published: u32,
    /// Those that have not yet come everywhere, in a closed loop: the last of the published.
    in_flight: VecDeque<InFlight>,
}

#[derive(Debug)]
struct InFlight {
    /// Deliveries that are missing.
    missing: u32,
    since: u64,
}

impl Publisher {
    /// The number of the first that is in flight.
    fn oldest(&self) -> u32 {
        let in_flight = u32::try_from(self.in_flight.len()).unwrap_or(u32::MAX);
        self.published - in_flight
    }

    /// One more delivery of `number`. Returns whether that makes room.
    fn delivered(&mut self, number: u32) -> bool {
        let Some(place) = number.checked_sub(self.oldest()) else {
            return false;
        };
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        if let Some(one) = self.in_flight.get_mut(place) {
            one.missing = one.missing.saturating_sub(1);
        }
        let before = self.in_flight.len();
        while self.in_flight.front().is_some_and(|one| one.missing == 0) {
            self.in_flight.pop_front();
        }
        self.in_flight.len() < before
    }
}

impl Ledger {
    /// `subscribers` has how many subscribe to each topic, none of them nobody.
    pub(super) fn new(
        clock: Clock,
        publishers: usize,
        subscribers: Vec<u32>,
        ready_text: Option<usize>,
    ) -> Result<Self, Error> {
        Ok(Self {
            figures: Figures::new(Window::NONE)?,
            totals: Totals::default(),
            open: Vec::new(),
            texts: Vec::new(),
            heard: 0,
            ready: 0,
            clock,
            ready_text,
            publishers: std::iter::repeat_with(Publisher::default)
                .take(publishers)
                .collect(),
            subscribers,
        })
    }

    /// Which topic publication `number` of a publisher goes to: each of them in turn.
    fn topic(&self, publisher: usize, number: u32) -> usize {
        (publisher + usize::try_from(number).unwrap_or(0)) % self.subscribers.len()
    }

    /// Enters the next publication of `publisher`, due at `due_ns`: its marker and its topic.
    pub(super) fn publish(
        &mut self,
        publisher: usize,
        due_ns: u64,
        window: Window,
    ) -> (Marker, usize) {
        let number = self.publishers[publisher].published;
        let topic = self.topic(publisher, number);
        let marker = Marker {
            publisher: u16::try_from(publisher).unwrap_or(u16::MAX),
            number,
            due_ns,
        };
        self.publishers[publisher].published += 1;
        self.totals.published += 1;
        self.totals.measured += u64::from(window.holds(due_ns));
        self.totals.expected += u64::from(self.subscribers[topic]);
        (marker, topic)
    }

    /// Counts what was just published to `topic` as in flight.
    pub(super) fn wait_for(&mut self, publisher: usize, topic: usize, since: u64) {
        let missing = self.subscribers[topic];
        let in_flight = InFlight { missing, since };
        self.publishers[publisher].in_flight.push_back(in_flight);
    }

    /// How many publications of `publisher` are in flight.
    pub(super) fn in_flight(&self, publisher: usize) -> usize {
        self.publishers[publisher].in_flight.len()
    }

    /// Waits no longer for what was published before `time`, so that what a server has dropped
    /// does not stop a closed loop.
    pub(super) fn give_up(&mut self, time: u64) {
        for (number, publisher) in self.publishers.iter_mut().enumerate() {
            let before = publisher.in_flight.len();
            while publisher
                .in_flight
                .front()
                .is_some_and(|one| one.since < time)
            {
                publisher.in_flight.pop_front();
            }
            let given_up = before - publisher.in_flight.len();
            if given_up > 0 {
                self.totals.given_up += given_up as u64;
                self.open.push(number);
            }
        }
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
                    self.ready += 1;
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
        let published = self
            .publishers
            .get(publisher)
            .map_or(0, |one| one.published);
        if marker.number >= published || marker.due_ns > now {
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
        if self.publishers[publisher].delivered(marker.number) {
            self.open.push(publisher);
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

//! The course of a fan-out on each of its threads: connect, be ready, publish, wait for the last
//! deliveries. A thread has a part of the connections, subscribers and publishers counted together,
//! so that who has the publishers has fewer subscribers.

use std::ops::Range;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::board::{Board, Door};
use super::ledger::{Ledger, Totals};
use super::peer::{Peer, Readiness, Seat};
use super::scan::Needles;
use super::sequence::Sequence;
use super::{Options, Pace};
use crate::bench::clock::nanoseconds;
use crate::bench::error::{Error, Fault};
use crate::bench::figures::Figures;
use crate::bench::opening::{Asked, Opened};
use crate::bench::pace::{Kept, Schedule};
use crate::bench::swarm::{Swarm, Wait, Work};
use crate::bench::target::Target;
use crate::bench::template::{Template, Values};
use crate::bench::workers::{TICK, Window, Worker};

/// How long to wait for that, or for what says that they are.
const READY_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// A closed loop waits so long for a publication's deliveries.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(1);
/// How long the last deliveries have to come, as long as none does.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long they have in all.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// Publications that are sent at most before deliveries are read again.
const BURST_MAX: usize = 256;
/// How long nothing must come until subscribers are taken for ready.
const QUIET: Duration = Duration::from_millis(300);

/// What was found on the connections of one thread.
pub(super) struct Part {
    pub(super) figures: Figures,
    pub(super) kept: Kept,
    pub(super) totals: Totals,
    pub(super) warnings: Vec<String>,
    /// What the server has told a publisher last while there was load, if that was no delivery.
    pub(super) heard: Option<String>,
}

/// Opens the connections, publishes, and waits for what that brings.
pub(super) fn work(
    worker: &Worker<'_, Part>,
    target: &Target,
    asked: &Asked,
    options: &Options,
    needles: &Needles,
    board: &Board,
) -> Result<Part, Error> {
    let own = Own::of(worker, options);
    let mut swarm = Swarm::new(target, asked, own.first, worker.clock)?;
    let (room, told) = channel();
    board.put_up(
        worker.number,
        Door {
            publishers: own.publishers.clone(),
            room,
            bell: swarm.bell()?,
        },
    );
    let mut warnings = Vec::new();
    let (subscribers, all) = (own.subscribers, own.subscribers + own.publishers.len());
    let mut course = Course::new(worker, options, needles, board, own, told)?;
    swarm.open(subscribers, &mut course)?;
    warnings.extend(course.wait_for_subscribers(&mut swarm)?);
    swarm.open(all, &mut course)?;
    warnings.extend(course.wait_for_quiet(&mut swarm)?);

    let window = worker.ready()?;
    // What was said before is not about publications.
    let _ = course.heard(&mut swarm)?;
    course.ledger.figures = Figures::new(window)?;
    let kept = match options.pace {
        Pace::InFlight(number) => {
            course.closed_loop(&mut swarm, window, number)?;
            Kept::new(0.0)
        }
        Pace::Rate(rate) => course.open_loop(&mut swarm, window, rate)?,
    };
    board.has_published();
    course.drain(&mut swarm)?;
    let heard = course.heard(&mut swarm)?;
    swarm.close(&mut course)?;
    Ok(Part {
        figures: course.ledger.figures,
        kept,
        totals: course.ledger.totals,
        warnings,
        heard,
    })
}

type Peers<'a> = Swarm<'a, Peer>;

/// The connections of one thread. They are numbered through, subscribers first.
#[derive(Debug, Clone)]
struct Own {
    /// The number of the first.
    first: usize,
    /// How many of them subscribe.
    subscribers: usize,
    /// The publishers among them, numbered among all publishers.
    publishers: Range<usize>,
}

impl Own {
    fn of(worker: &Worker<'_, Part>, options: &Options) -> Self {
        let share = worker.share(options.subscribers + options.publishers);
        let publisher = |number: usize| number.saturating_sub(options.subscribers);
        Self {
            first: share.start,
            subscribers: share.end.min(options.subscribers) - share.start.min(options.subscribers),
            publishers: publisher(share.start)..publisher(share.end),
        }
    }
}

/// The course of a run on one thread.
struct Course<'a> {
    worker: &'a Worker<'a, Part>,
    options: &'a Options,
    needles: &'a Needles,
    board: &'a Board,
    own: Own,
    /// Other threads tell here which of our publishers may publish again.
    told: Receiver<usize>,
    topics: Vec<String>,
    ledger: Ledger<'a>,
    scratch: Vec<u8>,
}

impl<'a> Course<'a> {
    fn new(
        worker: &'a Worker<'a, Part>,
        options: &'a Options,
        needles: &'a Needles,
        board: &'a Board,
        own: Own,
        told: Receiver<usize>,
    ) -> Result<Self, Error> {
        let topics = match options.topics {
            1 => vec!["bench".to_owned()],
            many => (0..many).map(|number| format!("bench-{number}")).collect(),
        };
        let mut subscribers = vec![0; options.topics];
        (0..options.subscribers).for_each(|number| subscribers[number % options.topics] += 1);
        let protocol = &options.protocol;
        // Behind those of the answers.
        let ready = protocol.ready.is_some().then_some(protocol.answers.len());
        let publishers = own.publishers.clone();
        Ok(Self {
            worker,
            options,
            needles,
            board,
            own,
            told,
            topics,
            ledger: Ledger::new(worker.clock, board, publishers, subscribers, ready)?,
            scratch: Vec::new(),
        })
    }

    /// One turn, with the others told what it has brought.
    fn turn(&mut self, swarm: &mut Peers<'_>, wait: Wait) -> Result<(), Error> {
        let delivered = self.ledger.totals.delivered;
        swarm.turn(wait, self)?;
        self.ledger.enter()?;
        self.ledger.open.extend(self.told.try_iter());
        self.worker.count(self.ledger.totals.delivered - delivered);
        self.worker.go_on()
    }

    /// Waits until all subscribers are ready, those of other threads, too.
    fn wait_for_subscribers(&mut self, swarm: &mut Peers<'_>) -> Result<Option<String>, Error> {
        if self.options.protocol.ready.is_none() {
            return self.wait_for_quiet(swarm);
        }
        let (mut ready, mut since) = (0, self.worker.clock.now());
        while self.board.ready() < self.options.subscribers {
            self.turn(swarm, Wait::Roughly(TICK))?;
            let now = self.worker.clock.now();
            if self.board.ready() > ready {
                (ready, since) = (self.board.ready(), now);
            } else if now - since > nanoseconds(READY_TIMEOUT) {
                return Err(Error::NotReady {
                    ready,
                    wanted: self.options.subscribers,
                });
            }
        }
        Ok(None)
    }

    /// Waits until nothing has come for a while. Returns a warning if that does not happen.
    fn wait_for_quiet(&mut self, swarm: &mut Peers<'_>) -> Result<Option<String>, Error> {
        let begin = self.worker.clock.now();
        self.board.hear(begin);
        loop {
            let now = self.worker.clock.now();
            if now.saturating_sub(self.board.heard()) > nanoseconds(QUIET) {
                return Ok(None);
            }
            if now - begin > nanoseconds(READY_TIMEOUT) {
                let seconds = READY_TIMEOUT.as_secs();
                return Ok(Some(format!(
                    "the server was not quiet {seconds} s after the connections had opened, so \
                     some may not have been ready: name what says so with --ready"
                )));
            }
            self.turn(swarm, Wait::Roughly(TICK))?;
            self.board.hear(self.ledger.heard);
        }
    }

    /// Lets a publication of `publisher` wait to be flushed. Returns whether what it has sent
    /// before is stuck.
    fn publish(
        &mut self,
        swarm: &mut Peers<'_>,
        publisher: usize,
        due: u64,
        window: Window,
    ) -> Result<bool, Error> {
        let (marker, topic) = self.ledger.publish(publisher, due, window);
        let (marker, padding) = self.needles.payload(&marker);
        let values = Values {
            number: 0,
            id: 0,
            topic: &self.topics[topic],
            size: self.options.size,
            data: [&marker, padding],
        };
        let template = &self.options.protocol.publish;
        let place = self.place(publisher);
        let scratch = &mut self.scratch;
        swarm.with(place, |peer| {
            let stuck = peer.is_stuck();
            peer.queue(template, &values, scratch)?;
            Ok(stuck)
        })
    }

    fn flush(&self, swarm: &mut Peers<'_>, publisher: usize) -> Result<(), Error> {
        swarm.with(self.place(publisher), Peer::flush)
    }

    /// Where the connection of one of our publishers is in our swarm.
    const fn place(&self, publisher: usize) -> usize {
        self.own.subscribers + (publisher - self.own.publishers.start)
    }

    /// Publishes when deliveries make room for it.
    fn closed_loop(
        &mut self,
        swarm: &mut Peers<'_>,
        window: Window,
        in_flight: usize,
    ) -> Result<(), Error> {
        self.ledger.open = self.own.publishers.clone().collect();
        let mut sweep = window.begin;
        loop {
            let now = self.worker.clock.now();
            if now >= window.until {
                return Ok(());
            }
            while let Some(publisher) = self.ledger.open.pop() {
                // It may be on the list several times, and then has no room left.
                let room = in_flight - self.ledger.in_flight(publisher);
                for _ in 0..room {
                    self.publish(swarm, publisher, now, window)?;
                    self.ledger.wait_for(publisher, now);
                }
                if room > 0 {
                    self.flush(swarm, publisher)?;
                }
            }
            if now > sweep {
                sweep = now + nanoseconds(TICK);
                self.ledger
                    .give_up(now.saturating_sub(nanoseconds(LOST_AFTER)));
            }
            let wait = Duration::from_nanos(window.until - now).min(TICK);
            self.turn(swarm, Wait::Roughly(wait))?;
        }
    }

    /// Publishes what is due, one publisher after the other, those of other threads among them.
    fn open_loop(
        &mut self,
        swarm: &mut Peers<'_>,
        window: Window,
        rate: f64,
    ) -> Result<Kept, Error> {
        let mut kept = Kept::new(rate);
        let publishers = self.own.publishers.clone();
        let mut schedule = Schedule::new(
            window.begin,
            rate,
            publishers.clone(),
            self.options.publishers,
        );
        let mut queued = Vec::with_capacity(BURST_MAX);
        loop {
            let now = self.worker.clock.now();
            let due_until = (now + 1).min(window.until);
            queued.clear();
            while schedule.due() < due_until && queued.len() < BURST_MAX {
                let (due, publisher) = (schedule.due(), schedule.sender());
                schedule.advance();
                let stuck = self.publish(swarm, publisher, due, window)?;
                if window.holds(due) {
                    kept.sent(due, now, stuck);
                }
                queued.push(publisher);
            }
            // What is due together goes out together. They take turns, so the first are all.
            for &publisher in queued.iter().take(publishers.len()) {
                self.flush(swarm, publisher)?;
            }
            let due = schedule.due();
            if due >= window.until && now >= window.until {
                return Ok(kept);
            }
            let until = due.min(window.until);
            let wait = Duration::from_nanos(until.saturating_sub(self.worker.clock.now()));
            self.turn(swarm, Wait::Exactly(wait.min(TICK)))?;
        }
    }

    /// Receives what is on its way to any thread, and publishes nothing more.
    fn drain(&mut self, swarm: &mut Peers<'_>) -> Result<(), Error> {
        let begin = self.worker.clock.now();
        let (mut delivered, mut since) = (self.worker.counted(), begin);
        while !self.board.all_have_published() || delivered < self.board.expected() {
            self.turn(swarm, Wait::Roughly(TICK))?;
            let now = self.worker.clock.now();
            if self.worker.counted() > delivered {
                (delivered, since) = (self.worker.counted(), now);
            }
            if now - since > nanoseconds(DRAIN_TIMEOUT) || now - begin > nanoseconds(DRAIN_MAX) {
                break;
            }
        }
        Ok(())
    }

    /// Takes what our publishers were told last, and returns it of the first that was told anything.
    fn heard(&self, swarm: &mut Peers<'_>) -> Result<Option<String>, Error> {
        let mut first = None;
        swarm.each(1, |peer| {
            let heard = peer.take_heard(self.needles);
            first = first.take().or(heard);
            Ok(())
        })?;
        Ok(first)
    }

    /// Searches what a connection has received, and answers what must be.
    fn take(&mut self, peer: &mut Peer, bytes: &[u8]) -> Result<(), Fault> {
        let ledger = &mut self.ledger;
        let (now, before) = (ledger.now(), ledger.totals.delivered);
        peer.search(bytes, self.needles, |seat, found| {
            ledger.found(seat, found, now)
        })?;
        ledger.read(before, now);
        while let Some(place) = self.ledger.texts.pop() {
            let answer = &self.options.protocol.answers[place].answer;
            self.queue(peer, answer)?;
        }
        peer.flush()
    }

    fn queue(&mut self, peer: &mut Peer, template: &Template) -> Result<(), Fault> {
        let topic = match &peer.seat {
            Seat::Subscriber { topic, .. } => *topic,
            Seat::Publisher { .. } => peer.number % self.topics.len(),
        };
        let values = Values {
            number: 0,
            id: 0,
            topic: &self.topics[topic],
            size: self.options.size,
            data: [&[], &[]],
        };
        peer.queue(template, &values, &mut self.scratch)
    }
}

impl Work for Course<'_> {
    type Connection = Peer;

    fn opened(&mut self, mut opened: Opened) -> Result<Peer, Fault> {
        let options = self.options;
        let rest = std::mem::take(&mut opened.rest);
        let (seat, templates) = if opened.number < options.subscribers {
            let seat = Seat::Subscriber {
                topic: opened.number % options.topics,
                readiness: Readiness::Waiting,
                sequences: vec![Sequence::default(); options.publishers],
            };
            (seat, &options.protocol.on_subscribe)
        } else {
            let heard = Vec::new();
            (Seat::Publisher { heard }, &options.protocol.on_publisher)
        };
        let mut peer = Peer::new(opened, seat);
        for template in templates {
            self.queue(&mut peer, template)?;
        }
        self.take(&mut peer, &rest)?;
        Ok(peer)
    }

    fn readable(&mut self, peer: &mut Peer, buffer: &mut [u8]) -> Result<(), Fault> {
        while let Some(read) = peer.read(buffer)? {
            self.take(peer, &buffer[..read])?;
            // Edge-triggered: a short read means that the socket is empty (epoll(7)).
            if read < buffer.len() {
                break;
            }
        }
        Ok(())
    }

    fn writable(&mut self, peer: &mut Peer) -> Result<(), Fault> {
        peer.flush()
    }

    fn close(&mut self, peer: &mut Peer) -> Result<(), Fault> {
        peer.close()
    }
}

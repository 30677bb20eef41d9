//! The course of a fan-out: connect, be ready, publish, wait for the last deliveries.

use std::time::Duration;

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
const BURST_MAX: u64 = 256;
/// How long nothing must come until subscribers are taken for ready.
const QUIET: Duration = Duration::from_millis(300);

/// What was found on the connections.
pub(super) struct Part {
    pub(super) figures: Figures,
    pub(super) kept: Option<Kept>,
    pub(super) totals: Totals,
    pub(super) warnings: Vec<String>,
}

/// Opens the connections, publishes, and waits for what that brings.
pub(super) fn work(
    worker: &Worker<'_, Part>,
    target: &Target,
    asked: &Asked,
    options: &Options,
    needles: &Needles,
) -> Result<Part, Error> {
    let mut swarm = Swarm::new(target, asked, 0, worker.clock)?;
    let mut course = Course::new(worker, options, needles)?;
    let mut warnings = Vec::new();
    swarm.open(options.subscribers, &mut course)?;
    warnings.extend(course.wait_for_subscribers(&mut swarm)?);
    swarm.open(options.subscribers + options.publishers, &mut course)?;
    warnings.extend(course.wait_for_quiet(&mut swarm)?);

    let window = worker.ready()?;
    course.ledger.figures = Figures::new(window)?;
    let kept = match options.pace {
        Pace::InFlight(number) => {
            course.closed_loop(&mut swarm, window, number)?;
            None
        }
        Pace::Rate(rate) => Some(course.open_loop(&mut swarm, window, rate)?),
    };
    course.drain(&mut swarm)?;
    swarm.close(&mut course)?;
    Ok(Part {
        figures: course.ledger.figures,
        kept,
        totals: course.ledger.totals,
        warnings,
    })
}

type Peers<'a> = Swarm<'a, Peer>;

/// The course of a run.
struct Course<'a> {
    worker: &'a Worker<'a, Part>,
    options: &'a Options,
    needles: &'a Needles,
    topics: Vec<String>,
    ledger: Ledger,
    scratch: Vec<u8>,
}

impl<'a> Course<'a> {
    fn new(
        worker: &'a Worker<'a, Part>,
        options: &'a Options,
        needles: &'a Needles,
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
        Ok(Self {
            worker,
            options,
            needles,
            topics,
            ledger: Ledger::new(worker.clock, options.publishers, subscribers, ready)?,
            scratch: Vec::new(),
        })
    }

    /// One turn, with the progress told.
    fn turn(&mut self, swarm: &mut Peers<'_>, wait: Wait) -> Result<(), Error> {
        let delivered = self.ledger.totals.delivered;
        swarm.turn(wait, self)?;
        self.worker.count(self.ledger.totals.delivered - delivered);
        self.worker.go_on()
    }

    fn wait_for_subscribers(&mut self, swarm: &mut Peers<'_>) -> Result<Option<String>, Error> {
        if self.options.protocol.ready.is_none() {
            return self.wait_for_quiet(swarm);
        }
        let (mut ready, mut since) = (0, self.worker.clock.now());
        while self.ledger.ready < self.options.subscribers {
            self.turn(swarm, Wait::Roughly(TICK))?;
            let now = self.worker.clock.now();
            if self.ledger.ready > ready {
                (ready, since) = (self.ledger.ready, now);
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
        self.ledger.heard = begin;
        loop {
            let now = self.worker.clock.now();
            if now - self.ledger.heard > nanoseconds(QUIET) {
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
        }
    }

    /// Lets a publication of `publisher` wait to be flushed. Returns its topic.
    fn publish(
        &mut self,
        swarm: &mut Peers<'_>,
        publisher: usize,
        due: u64,
        window: Window,
    ) -> Result<(usize, bool), Error> {
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
        let place = self.options.subscribers + publisher;
        let scratch = &mut self.scratch;
        let stuck = swarm.with(place, |peer| {
            let stuck = peer.is_stuck();
            peer.queue(template, &values, scratch)?;
            Ok(stuck)
        })?;
        Ok((topic, stuck))
    }

    fn flush(&self, swarm: &mut Peers<'_>, publisher: usize) -> Result<(), Error> {
        swarm.with(self.options.subscribers + publisher, Peer::flush)
    }

    /// Publishes when deliveries make room for it.
    fn closed_loop(
        &mut self,
        swarm: &mut Peers<'_>,
        window: Window,
        in_flight: usize,
    ) -> Result<(), Error> {
        self.ledger.open = (0..self.options.publishers).collect();
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
                    let (topic, _) = self.publish(swarm, publisher, now, window)?;
                    self.ledger.wait_for(publisher, topic, now);
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

    /// Publishes what is due, one publisher after the other.
    fn open_loop(
        &mut self,
        swarm: &mut Peers<'_>,
        window: Window,
        rate: f64,
    ) -> Result<Kept, Error> {
        let mut kept = Kept::new(rate);
        let mut schedule = Schedule::new(window.begin, rate, 0, 1);
        let publishers = self.options.publishers as u64;
        let mut next = 0;
        loop {
            let now = self.worker.clock.now();
            let due_until = (now + 1).min(window.until);
            let mut queued = 0;
            while schedule.due() < due_until && queued < BURST_MAX {
                let due = schedule.due();
                schedule.advance();
                let publisher = usize::try_from((next + queued) % publishers).unwrap_or(0);
                let (_, stuck) = self.publish(swarm, publisher, due, window)?;
                if window.holds(due) {
                    kept.sent(due, now, stuck);
                }
                queued += 1;
            }
            // What is due together goes out together.
            for number in next..next + queued.min(publishers) {
                let publisher = usize::try_from(number % publishers).unwrap_or(0);
                self.flush(swarm, publisher)?;
            }
            next = (next + queued) % publishers;
            let due = schedule.due();
            if due >= window.until && now >= window.until {
                return Ok(kept);
            }
            let until = due.min(window.until);
            let wait = Duration::from_nanos(until.saturating_sub(self.worker.clock.now()));
            self.turn(swarm, Wait::Exactly(wait.min(TICK)))?;
        }
    }

    /// Receives what is on its way, and publishes nothing more.
    fn drain(&mut self, swarm: &mut Peers<'_>) -> Result<(), Error> {
        let begin = self.worker.clock.now();
        let (mut delivered, mut since) = (self.ledger.totals.delivered, begin);
        while self.ledger.totals.delivered < self.ledger.totals.expected {
            self.turn(swarm, Wait::Roughly(TICK))?;
            let now = self.worker.clock.now();
            if self.ledger.totals.delivered > delivered {
                (delivered, since) = (self.ledger.totals.delivered, now);
            }
            if now - since > nanoseconds(DRAIN_TIMEOUT) || now - begin > nanoseconds(DRAIN_MAX) {
                break;
            }
        }
        Ok(())
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
            Seat::Publisher => peer.number % self.topics.len(),
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
            (Seat::Publisher, &options.protocol.on_publisher)
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

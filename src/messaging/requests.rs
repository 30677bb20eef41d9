//! What a core has asked of others and has no reply to yet.
//!
//! A request lies in a line between two cores, or at the core that works on it, for as long as that
//! takes: memory that somebody else's speed decides about. A connection that asks for much is not
//! read until enough of *its own* is answered ([`talk`](super::talk)). This bounds what all
//! connections of a core ask for together, by number and by bytes.
//!
//! Every request is sent with a [`Stamp`], and every reply brings the stamp of its request back; so
//! nothing is counted that could not end, whatever becomes of the connection meanwhile. While there
//! are as many as there may be, a connection whose message leads to one more is not read any further
//! until half of them are answered. So there are never more than the bound and what one message of
//! each connection leads to. Mail is taken all the time, replies never wait for this, and who is not
//! read is asked nothing: two cores that are full of each other's requests empty each other.

use std::collections::VecDeque;

use crate::ids::CoreId;

use super::client::ClientKey;
use super::options::Options;

/// What a request counts for, and its reply brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Which life of the asking core it is from.
    pub(super) life: u32,
    bytes: u32,
    /// The request's number, among those of this life.
    pub(super) number: u64,
}

/// The requests of a core, in one of its lives.
#[derive(Debug)]
pub(super) struct Requests {
    core: CoreId,
    life: u32,
    /// The number of the last one.
    last: u64,
    /// Those to each core.
    lines: Vec<Line>,
    all: Load,
    most: Load,
    /// Clients that are not read until there are fewer, in the order in which they came to this.
    waiting: VecDeque<ClientKey>,
}

/// Requests without a reply.
#[derive(Debug, Default, Clone, Copy)]
struct Load {
    requests: usize,
    bytes: usize,
}

/// Those to one core.
#[derive(Debug, Default, Clone, Copy)]
struct Line {
    load: Load,
    /// Up to this number they were given up: the core had lost its memory.
    given_up: u64,
}

impl Requests {
    pub(super) fn new((core, cores): (CoreId, usize), life: u32, options: &Options) -> Self {
        Self {
            core,
            life,
            last: 0,
            lines: vec![Line::default(); cores],
            all: Load::default(),
            most: Load {
                requests: options.core_unanswered_max,
                bytes: options.core_unanswered_bytes,
            },
            waiting: VecDeque::new(),
        }
    }

    /// A request is sent to a core, with so many bytes of somebody's data. What a core asks of
    /// itself is not counted.
    pub(super) fn sent(&mut self, to: CoreId, bytes: usize) -> Stamp {
        self.last += 1;
        let stamp = Stamp {
            life: self.life,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            number: self.last,
        };
        if to != self.core
            && let Some(line) = self.lines.get_mut(to.index())
        {
            line.load.add(stamp);
            self.all.add(stamp);
        }
        stamp
    }

    /// A reply has come. Returns whether it answers a request of this life.
    pub(super) fn answered(&mut self, by: CoreId, stamp: Stamp) -> bool {
        if stamp.life != self.life {
            return false;
        }
        if let Some(line) = self.lines.get_mut(by.index())
            && stamp.number > line.given_up
        {
            line.load.take(stamp);
            self.all.take(stamp);
        }
        true
    }

    /// A core has lost its memory: nobody waits for its replies any more.
    pub(super) fn give_up(&mut self, core: CoreId) {
        if let Some(line) = self.lines.get_mut(core.index()) {
            self.all.requests -= line.load.requests;
            self.all.bytes -= line.load.bytes;
            *line = Line {
                load: Load::default(),
                given_up: self.last,
            };
        }
    }

    /// The number of the last one.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// How many have no reply yet.
    pub(super) const fn unanswered(&self) -> usize {
        self.all.requests
    }

    /// Whether there are as many as there may be.
    pub(super) const fn are_too_many(&self) -> bool {
        self.all.requests >= self.most.requests || self.all.bytes >= self.most.bytes
    }

    /// A client is not read until there are fewer.
    pub(super) fn wait(&mut self, client: ClientKey) {
        self.waiting.push_back(client);
    }

    /// A client that may be read again.
    pub(super) fn next_to_go_on(&mut self) -> Option<ClientKey> {
        let few =
            self.all.requests <= self.most.requests / 2 && self.all.bytes <= self.most.bytes / 2;
        few.then(|| self.waiting.pop_front())?
    }
}

impl Load {
    const fn add(&mut self, stamp: Stamp) {
        self.requests += 1;
        self.bytes += stamp.bytes as usize;
    }

    const fn take(&mut self, stamp: Stamp) {
        self.requests -= 1;
        self.bytes -= stamp.bytes as usize;
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    const HERE: CoreId = CoreId(0);
    const THERE: CoreId = CoreId(1);

    fn requests(most: usize, most_bytes: usize) -> Requests {
        let options = Options {
            core_unanswered_max: most,
            core_unanswered_bytes: most_bytes,
            ..Options::default()
        };
        Requests::new((HERE, 3), 7, &options)
    }

    #[test]
    fn who_waits_goes_on_when_half_is_answered_in_the_order_of_coming() {
        let mut clients = SlotMap::<ClientKey, ()>::with_key();
        let (first, second) = (clients.insert(()), clients.insert(()));
        for mut requests in [requests(4, 1 << 20), requests(100, 40)] {
            let stamps: Vec<Stamp> = (0..4).map(|_| requests.sent(THERE, 10)).collect();
            assert!(requests.are_too_many());
            requests.wait(first);
            requests.wait(second);
            assert!(requests.answered(THERE, stamps[2]));
            assert!(!requests.are_too_many());
            assert_eq!(requests.next_to_go_on(), None);
            assert!(requests.answered(THERE, stamps[0]));
            assert_eq!(requests.next_to_go_on(), Some(first));
            assert_eq!(requests.next_to_go_on(), Some(second));
            assert_eq!(requests.next_to_go_on(), None);
        }
    }

    #[test]
    fn what_a_core_asks_of_itself_or_asked_in_another_life_is_not_counted() {
        let mut before = requests(4, 40);
        let mut requests = requests(4, 40);
        requests.life += 1;
        assert_eq!(requests.sent(HERE, 10).number, 1);
        assert_eq!(requests.unanswered(), 0);
        requests.sent(THERE, 10);
        assert!(!requests.answered(THERE, before.sent(THERE, 10)));
        assert_eq!(requests.unanswered(), 1);
    }

    /// Some of what was given up is answered all the same: by the next life of the core that was
    /// asked.
    #[test]
    fn what_was_given_up_is_counted_off_once() {
        let mut requests = requests(100, 1000);
        let lost = [requests.sent(THERE, 10), requests.sent(THERE, 10)];
        let kept = requests.sent(CoreId(2), 10);
        requests.give_up(THERE);
        assert_eq!(requests.unanswered(), 1);
        let fresh = requests.sent(THERE, 10);
        assert!(requests.answered(THERE, lost[1]));
        assert_eq!(requests.unanswered(), 2);
        requests.answered(THERE, fresh);
        requests.answered(CoreId(2), kept);
        assert_eq!((requests.all.requests, requests.all.bytes), (0, 0));
    }
}

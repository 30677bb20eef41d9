//! One subscription: what waits for the application, and how far each topic has come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use corewire_protocol::native::{Policy, PolicyMode};

use super::credit::Amount;
use super::event::{
    Conflated, Event, Gap, GapCause, Message, Position, Reset, ResetCause, ResetScope, Subscribed,
    Unsubscribed,
};
use super::link::LinkId;

/// Events that are no messages, and wait: more become one reset. Messages are bounded by the
/// credit that the server is given.
const NOTES_MAX: usize = 4096;
/// Topics of a pattern whose positions are remembered.
const POSITIONS_MAX: usize = 65_536;

/// A subscription's name inside its client; the `s` of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub(super) u64);

/// What is to be subscribed to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// A topic's name or a pattern.
    pub subject: Arc<str>,
    /// What the server does if this client does not keep up; its default if there is none.
    pub policy: Option<Policy>,
}

/// Which delivery a message came by, for the credit that it gives back when it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) link: LinkId,
    pub(super) t: u64,
    pub(super) serial: u64,
    pub(super) bytes: u64,
}

/// What the server says of one topic, behind its alias.
#[derive(Debug)]
pub(super) enum StreamWord {
    Message(Arc<Message>),
    Gap { from: u64, to: u64, cause: GapCause },
    Conflated { count: u64, up_to: u64 },
    Position(u64),
    Reset { position: Position, cause: GapCause },
}

/// Where a topic's messages come from, as seen by a subscription that may know it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    /// Nothing is missing between what was handed over and what follows.
    Smooth,
    /// Something is, or that cannot be said.
    Open,
}

/// What an offset that is left out means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holes {
    /// The server says each of them before the next message.
    Told,
    /// The server counts them in a `conflated`, which may come later.
    Counted,
}

/// Whether events are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    /// Too many wait. What comes is left out, until one reset can say so.
    Overflown,
}

/// Whether the server has ever taken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    New,
    Begun,
    /// The last event is queued.
    Ended,
}

#[derive(Debug)]
struct Queued {
    event: Event,
    ticket: Option<Ticket>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) subscribe: Subscribe,
    /// When the server may be asked again, if it said "later".
    pub(super) again_at_ms: Option<u64>,
    life: Life,
    flow: Flow,
    queue: VecDeque<Queued>,
    notes: usize,
    /// Messages in the queue.
    waiting: Amount,
    room: Amount,
    positions: BTreeMap<Arc<str>, Position>,
    /// A pattern's own position when the server took it last; only the server can read it.
    mark: Option<Box<str>>,
}

impl Subscription {
    /// `room` bounds the messages that wait, whatever credit the server respects.
    pub(super) const fn new(subscribe: Subscribe, room: Amount) -> Self {
        Self {
            subscribe,
            again_at_ms: None,
            life: Life::New,
            flow: Flow::Open,
            queue: VecDeque::new(),
            notes: 0,
            waiting: Amount {
                messages: 0,
                bytes: 0,
            },
            room,
            positions: BTreeMap::new(),
            mark: None,
        }
    }

    /// Whether the server has never taken it.
    pub(super) const fn is_new(&self) -> bool {
        matches!(self.life, Life::New)
    }

    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.life, Life::Ended)
    }

    /// What an offset that is left out means, by the policy that was asked for.
    pub(super) fn conflates(&self) -> Holes {
        match self.subscribe.policy {
            Some(Policy {
                mode: PolicyMode::Latest,
                ..
            }) => Holes::Counted,
            Some(_) | None => Holes::Told,
        }
    }

    /// The next event, with the ticket of a message.
    pub(super) fn next(&mut self) -> Option<(Event, Option<Ticket>)> {
        let Queued { event, ticket } = self.queue.pop_front()?;
        match &event {
            Event::Message(message) => {
                let amount = Amount::message(message.data.len() as u64);
                self.waiting = self.waiting.minus(amount);
            }
            Event::Subscribed(_)
            | Event::Gap(_)
            | Event::Conflated(_)
            | Event::Reset(_)
            | Event::Unsubscribed(_) => self.notes -= 1,
        }
        if self.queue.is_empty() && self.flow == Flow::Overflown {
            self.flow = Flow::Open;
            self.overflow_reset();
        }
        Some((event, ticket))
    }

    /// Messages that wait.
    pub(super) const fn waiting(&self) -> Amount {
        self.waiting
    }

    /// Whether [`next`](Self::next) has something.
    pub(super) fn has_events(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The tickets of all messages that were not taken and never will be.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Ticket> + use<> {
        self.waiting = Amount::default();
        self.notes = 0;
        std::mem::take(&mut self.queue)
            .into_iter()
            .filter_map(|queued| queued.ticket)
    }

    /// The server has taken a subscription to one topic.
    pub(super) fn topic_subscribed(&mut self, position: &Position) {
        self.begin(Some(position.clone()));
    }

    /// The server has taken a subscription to a pattern. `joint` says whether the topics that this
    /// client has never met are known to have had no messages meanwhile.
    pub(super) fn pattern_subscribed(&mut self, mark: &str, joint: Joint) {
        match (self.life, joint) {
            (Life::New, _) => self.begin(None),
            // The connection before still has to bring what was published until now, so this mark
            // proves nothing.
            (Life::Begun | Life::Ended, Joint::Smooth) => return,
            (Life::Begun | Life::Ended, Joint::Open) => {
                if self.mark.as_deref() != Some(mark) {
                    self.pattern_away();
                }
            }
        }
        self.mark = Some(mark.into());
    }

    /// Topics that this client has never met may have had messages that came by no connection.
    pub(super) fn pattern_away(&mut self) {
        self.note(Event::Reset(Reset {
            scope: ResetScope::Subscription,
            cause: ResetCause::Away,
        }));
    }

    fn begin(&mut self, position: Option<Position>) {
        if self.life == Life::New {
            self.life = Life::Begun;
            self.note(Event::Subscribed(Subscribed { position }));
        }
    }

    /// The last event.
    pub(super) fn end(&mut self, why: Unsubscribed) {
        if self.flow == Flow::Overflown {
            self.flow = Flow::Open;
            self.overflow_reset();
        }
        if self.life != Life::Ended {
            // It always has its place.
            self.life = Life::Ended;
            self.notes += 1;
            self.queue.push_back(Queued {
                event: Event::Unsubscribed(why),
                ticket: None,
            });
        }
    }

    /// How a topic that is about to come from `position` on joins what was handed over.
    pub(super) fn joint(&self, topic: &str, position: &Position) -> Joint {
        match self.positions.get(topic) {
            Some(known) if known.epoch == position.epoch && position.offset <= known.offset => {
                Joint::Smooth
            }
            None if position.offset == 0 => Joint::Smooth,
            Some(_) | None => Joint::Open,
        }
    }

    /// A topic comes from `position` on. What was missed since it last came is told.
    ///
    /// # Errors
    ///
    /// The server has announced more topics than this client remembers.
    pub(super) fn topic_begins(
        &mut self,
        topic: &Arc<str>,
        position: &Position,
        cause: GapCause,
    ) -> Result<(), TooManyTopics> {
        match self.positions.get_mut(topic) {
            None => {
                if self.positions.len() >= POSITIONS_MAX {
                    return Err(TooManyTopics);
                }
                self.positions.insert(topic.clone(), position.clone());
            }
            Some(known) if known.epoch != position.epoch => {
                *known = position.clone();
                self.note(Event::Reset(Reset {
                    scope: ResetScope::Topic {
                        topic: topic.clone(),
                        position: position.clone(),
                    },
                    cause: ResetCause::Epoch,
                }));
            }
            Some(known) if known.offset < position.offset => {
                let from = known.offset + 1;
                known.offset = position.offset;
                self.note(Event::Gap(Gap {
                    topic: topic.clone(),
                    from,
                    to: position.offset,
                    cause,
                }));
            }
            // What follows is known up to here, and left out.
            Some(_) => {}
        }
        Ok(())
    }

    /// A topic that is met for the first time while the way to the server changes: it may have had
    /// messages that came by neither.
    pub(super) fn topic_unproven(&mut self, topic: &Arc<str>, position: &Position) {
        self.note(Event::Reset(Reset {
            scope: ResetScope::Topic {
                topic: topic.clone(),
                position: position.clone(),
            },
            cause: ResetCause::Away,
        }));
    }

    /// Whether the topic's position is known.
    pub(super) fn knows(&self, topic: &str) -> bool {
        self.positions.contains_key(topic)
    }

    /// Forgets the positions of topics for which `keep` says no.
    pub(super) fn forget(&mut self, keep: impl Fn(&str) -> bool) {
        self.positions.retain(|topic, _| keep(topic));
    }

    /// Takes in what the server says of a topic. `false` for a message that is not queued: it was
    /// handed over before, or there is no room.
    pub(super) fn take(
        &mut self,
        topic: &Arc<str>,
        word: &StreamWord,
        holes: Holes,
        ticket: Ticket,
    ) -> bool {
        let Some(known) = self.positions.get_mut(topic) else {
            return false; // it has begun elsewhere: never without a position
        };
        match word {
            StreamWord::Message(message) => {
                let expected = known.offset + 1;
                let at = message.position.offset;
                if at < expected {
                    return false;
                }
                known.offset = at;
                if at > expected && holes == Holes::Told {
                    self.note(Event::Gap(Gap {
                        topic: topic.clone(),
                        from: expected,
                        to: at - 1,
                        cause: GapCause::Unexplained,
                    }));
                }
                self.message(message, ticket)
            }
            StreamWord::Gap { from, to, cause } => {
                let from = (*from).max(known.offset + 1);
                if from <= *to {
                    let hole = known.offset + 1..from;
                    known.offset = *to;
                    if !hole.is_empty() {
                        self.note(Event::Gap(Gap {
                            topic: topic.clone(),
                            from: hole.start,
                            to: hole.end - 1,
                            cause: GapCause::Unexplained,
                        }));
                    }
                    self.note(Event::Gap(Gap {
                        topic: topic.clone(),
                        from,
                        to: *to,
                        cause: *cause,
                    }));
                }
                false
            }
            StreamWord::Conflated { count, up_to } => {
                if *up_to >= known.offset && *count > 0 {
                    known.offset = *up_to;
                    self.note(Event::Conflated(Conflated {
                        topic: topic.clone(),
                        count: *count,
                        up_to: *up_to,
                    }));
                }
                false
            }
            StreamWord::Position(offset) => {
                known.offset = known.offset.max(*offset);
                false
            }
            StreamWord::Reset { position, cause } => {
                *known = position.clone();
                self.note(Event::Reset(Reset {
                    scope: ResetScope::Topic {
                        topic: topic.clone(),
                        position: position.clone(),
                    },
                    cause: ResetCause::Server(*cause),
                }));
                false
            }
        }
    }

    fn message(&mut self, message: &Arc<Message>, ticket: Ticket) -> bool {
        if self.life == Life::Ended {
            return false;
        }
        if self.waiting.messages >= self.room.messages || self.waiting.bytes >= self.room.bytes {
            // The server sends more than it was given credit for.
            self.flow = Flow::Overflown;
        }
        if self.flow == Flow::Overflown {
            return false;
        }
        self.waiting = self.waiting.plus(Amount::message(ticket.bytes));
        self.queue.push_back(Queued {
            event: Event::Message(Message::clone(message)),
            ticket: Some(ticket),
        });
        true
    }

    /// Says that events were left out.
    fn overflow_reset(&mut self) {
        self.notes += 1;
        self.queue.push_back(Queued {
            event: Event::Reset(Reset {
                scope: ResetScope::Subscription,
                cause: ResetCause::Overflow,
            }),
            ticket: None,
        });
    }

    fn note(&mut self, event: Event) {
        if self.life == Life::Ended || self.flow == Flow::Overflown {
            return;
        }
        if self.notes >= NOTES_MAX {
            self.flow = Flow::Overflown;
            return;
        }
        if let Some(last) = self.queue.back_mut()
            && merge(&mut last.event, &event)
        {
            return;
        }
        self.notes += 1;
        self.queue.push_back(Queued {
            event,
            ticket: None,
        });
    }
}

/// More topics than a client remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyTopics;

/// Whether the one before can say what the next one does.
fn merge(last: &mut Event, next: &Event) -> bool {
    match (last, next) {
        (Event::Gap(last), Event::Gap(next))
            if last.topic == next.topic
                && last.cause == next.cause
                && last.to.checked_add(1) == Some(next.from) =>
        {
            last.to = next.to;
            true
        }
        (Event::Conflated(last), Event::Conflated(next)) if last.topic == next.topic => {
            last.count = last.count.saturating_add(next.count);
            last.up_to = next.up_to;
            true
        }
        (Event::Reset(last), Event::Reset(next)) => last == next,
        (_, _) => false,
    }
}

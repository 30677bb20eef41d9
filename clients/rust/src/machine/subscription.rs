//! One subscription: what waits for the application, and how far each topic has come.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use corewire_protocol::native::{self, Policy, PolicyMode, Presence, Recovered, SEEN_MAX};

use super::credit::Amount;
use super::event::{
    Conflated, Event, Gap, GapCause, Message, Position, Reset, ResetCause, ResetScope, Subscribed,
    Unsubscribed,
};
use super::history::place;
use super::link::LinkId;

/// Events that are no messages, and wait: more become one reset. Messages are bounded by the
/// credit that the server is given.
const NOTES_MAX: usize = 4096;
/// Epochs of a topic that are known to be over.
const PAST_MAX: usize = 4;
/// Topics of a pattern whose positions are remembered.
const POSITIONS_MAX: usize = 65_536;
/// Bytes of the topics that a server is told together with a pattern's position. Messages of others
/// come again, and are left out here.
const SEEN_BYTES_MAX: usize = 8 << 10;
/// What one of them takes beside its texts.
const SEEN_BYTES: usize = 64;

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
    /// Where it begins. When a connection has ended it goes on where it was.
    pub from: Start,
    /// Whether others are told that this client is there, and it of the others. Of topics only.
    pub presence: Option<Presence>,
    /// Other namespaces of state that the server is to tell of, such as `typing`: at most 8. Of
    /// topics only.
    pub watch: Vec<Arc<str>>,
}

impl Subscribe {
    /// From the next message on, with the server's policy and without state.
    #[must_use]
    pub fn to(subject: &str) -> Self {
        Self {
            subject: subject.into(),
            policy: None,
            from: Start::Now,
            presence: None,
            watch: Vec::new(),
        }
    }
}

/// Where a subscription begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// With the next message.
    #[default]
    Now,
    /// With the newest so many messages that the server still has; of a pattern, in each topic.
    Last(u64),
    /// With the messages that the server still has and took at this time or later, in milliseconds
    /// since 1970 by its clock; of a pattern, in each topic.
    Since(u64),
    /// Behind this position of a topic, such as that of the last message that an application has
    /// dealt with. Where the server cannot do that, the first event is a [`Reset`].
    After(Position),
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
    Gap {
        from: u64,
        to: u64,
        cause: GapCause,
        in_history: bool,
    },
    Conflated {
        count: u64,
        up_to: u64,
    },
    Position(u64),
    Reset {
        position: Position,
        cause: GapCause,
    },
}

impl From<native::Gap> for StreamWord {
    fn from(gap: native::Gap) -> Self {
        Self::Gap {
            from: gap.from,
            to: gap.to,
            cause: gap.cause.into(),
            in_history: gap.repair == native::Repair::History,
        }
    }
}

/// What an offset that is left out means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holes {
    /// The server says each of them before the next message.
    Told,
    /// The server counts them in a `conflated`, which may come later.
    Counted,
}

/// Whether a connection may say that a topic has another epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Epochs {
    Followed,
    /// It is being replaced, and the next connection carries the topic, too. Which of two epochs is the
    /// newer one nobody can tell; the next connection knows of each that is newer than its own.
    Kept,
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
    positions: BTreeMap<Arc<str>, Known>,
    mark: Mark,
}

/// How far a topic is known.
#[derive(Debug)]
struct Known {
    at: Position,
    source: Source,
    /// The epochs before this one, the last at the end. Two connections may tell of a change of
    /// epochs at different times; what the later one says of an old epoch is over.
    past: Vec<Arc<str>>,
    /// The [`Mark::number`] when it moved last.
    moved: u64,
}

/// Who has named a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The application, to begin there: it may be no position of this server's.
    Application,
    /// The server, when a topic came for the first time. What was before it is not missing, unless a
    /// reset to it says so.
    Announced,
    /// The server. All up to it was told.
    Server,
}

impl Known {
    const fn new(at: Position, source: Source, moved: u64) -> Self {
        Self {
            at,
            source,
            past: Vec::new(),
            moved,
        }
    }

    fn set(&mut self, at: &Position) {
        if self.at.epoch != at.epoch {
            if self.past.len() == PAST_MAX {
                self.past.remove(0);
            }
            let past = std::mem::replace(&mut self.at.epoch, at.epoch.clone());
            self.past.push(past);
        }
        self.at.offset = at.offset;
        self.source = Source::Server;
    }

    fn is_past(&self, epoch: &str) -> bool {
        self.past.iter().any(|past| **past == *epoch)
    }

    /// Whether a reset to this position says nothing new: another connection has brought more, or
    /// the topic's announcement has said it already.
    fn covers(&self, position: &Position) -> bool {
        let is_reached = self.at.epoch == position.epoch && self.at.offset >= position.offset;
        match self.source {
            Source::Application => false,
            Source::Announced => self.is_past(&position.epoch),
            Source::Server => self.is_past(&position.epoch) || is_reached,
        }
    }
}

/// A pattern's own position: all up to it was handed over.
#[derive(Debug, Default)]
struct Mark {
    /// As the server told it last, which alone can read it.
    pos: Option<Box<str>>,
    /// How many there were. What has moved under this number is behind the position.
    number: u64,
}

impl Mark {
    fn set(&mut self, pos: &str) {
        self.pos = Some(pos.into());
        self.number += 1;
    }
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
            mark: Mark {
                pos: None,
                number: 0,
            },
        }
    }

    /// Where the server is to begin: where this subscription is.
    pub(super) fn start(&self) -> native::Start<'_> {
        if self.life == Life::New {
            return match &self.subscribe.from {
                Start::Now => native::Start::Now,
                Start::Last(count) => native::Start::Last(*count),
                Start::Since(time_ms) => native::Start::Since(*time_ms),
                Start::After(position) => native::Start::After(place(position)),
            };
        }
        if let Some(pos) = &self.mark.pos {
            let pos = Cow::Borrowed(&**pos);
            let seen = self.seen();
            return native::Start::Pattern(Box::new(native::PatternPlace { pos, seen }));
        }
        match self.positions.get(&self.subscribe.subject) {
            Some(known) => native::Start::After(place(&known.at)),
            None => native::Start::Now,
        }
    }

    /// Topics of which something has come since the pattern's position.
    fn seen(&self) -> Vec<native::Seen<'_>> {
        let mut bytes = 0;
        let mut seen = Vec::new();
        for (topic, known) in &self.positions {
            if known.moved != self.mark.number {
                continue;
            }
            bytes += topic.len() + known.at.epoch.len() + SEEN_BYTES;
            if bytes > SEEN_BYTES_MAX || seen.len() == SEEN_MAX {
                break;
            }
            seen.push(native::Seen {
                topic: Cow::Borrowed(topic),
                epoch: Cow::Borrowed(&known.at.epoch),
                offset: known.at.offset,
            });
        }
        seen
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

    /// The server has taken a subscription to one topic, which begins at `position`. Where it
    /// could not begin where it was asked to, this one stays where it is until the server has said
    /// so by a reset: should the connection end before, the next one is asked the same.
    pub(super) fn topic_subscribed(&mut self, position: &Position, recovered: Option<Recovered>) {
        if self.life == Life::New
            && recovered == Some(Recovered::No)
            && let Start::After(asked) = &self.subscribe.from
        {
            let known = Known::new(asked.clone(), Source::Application, self.mark.number);
            self.positions.insert(self.subscribe.subject.clone(), known);
        }
        self.begin(Some(position.clone()));
    }

    /// The server has taken a subscription to a pattern.
    pub(super) fn pattern_subscribed(&mut self, pos: &str, recovered: Option<Recovered>) {
        match (self.life, recovered) {
            (Life::New, _) => {
                self.begin(None);
                self.mark.set(pos);
            }
            // It goes on behind the position that it was told, and perhaps not all of that has come
            // before the connection ends. Or a reset is the next thing that comes.
            (Life::Begun | Life::Ended, Some(Recovered::Yes | Recovered::No)) => {}
            (Life::Begun | Life::Ended, None) => {
                self.note(Event::Reset(Reset {
                    scope: ResetScope::Subscription,
                    cause: ResetCause::Away,
                }));
                self.mark.set(pos);
            }
        }
    }

    /// All up to this position of the pattern has come.
    pub(super) fn pattern_moved(&mut self, pos: &str) {
        if self.life != Life::New {
            self.mark.set(pos);
        }
    }

    /// Nothing can be said of what the pattern's topics had before this position.
    pub(super) fn pattern_reset(&mut self, pos: &str, cause: GapCause) {
        self.note(Event::Reset(Reset {
            scope: ResetScope::Subscription,
            cause: ResetCause::Server(cause),
        }));
        self.mark.set(pos);
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

    /// A topic comes from `position` on. What was missed since it last came is told.
    ///
    /// # Errors
    ///
    /// The server has announced more topics than this client remembers.
    pub(super) fn topic_begins(
        &mut self,
        topic: &Arc<str>,
        position: &Position,
        (cause, epochs): (GapCause, Epochs),
    ) -> Result<(), TooManyTopics> {
        match self.positions.get_mut(topic) {
            None => {
                if self.positions.len() >= POSITIONS_MAX {
                    return Err(TooManyTopics);
                }
                let known = Known::new(position.clone(), Source::Announced, self.mark.number);
                self.positions.insert(topic.clone(), known);
            }
            Some(known) if known.is_past(&position.epoch) => {}
            Some(known) if known.at.epoch != position.epoch && epochs == Epochs::Kept => {}
            Some(known) if known.at.epoch != position.epoch => {
                known.set(position);
                known.moved = self.mark.number;
                self.note(Event::Reset(Reset {
                    scope: ResetScope::Topic {
                        topic: topic.clone(),
                        position: position.clone(),
                    },
                    cause: ResetCause::Epoch,
                }));
            }
            Some(known) if known.at.offset < position.offset => {
                let from = known.at.offset + 1;
                known.set(position);
                known.moved = self.mark.number;
                self.note(Event::Gap(Gap {
                    topic: topic.clone(),
                    from,
                    to: position.offset,
                    cause,
                    in_history: false,
                }));
            }
            // What follows is known up to here, and left out.
            Some(_) => {}
        }
        Ok(())
    }

    /// Whether this position lies behind what is known of the topic, in the same epoch: something is
    /// missing before it.
    pub(super) fn is_before(&self, topic: &str, position: &Position) -> bool {
        self.positions.get(topic).is_some_and(|known| {
            known.at.epoch == position.epoch && known.at.offset < position.offset
        })
    }

    /// Forgets the positions of topics for which `keep` says no.
    pub(super) fn forget(&mut self, keep: impl Fn(&str) -> bool) {
        self.positions.retain(|topic, _| keep(topic));
    }

    /// Takes in what the server says of a topic in this epoch. `false` for a message that is not
    /// queued: it was handed over before, or there is no room.
    pub(super) fn take(
        &mut self,
        topic: &Arc<str>,
        epoch: &Arc<str>,
        word: &StreamWord,
        (holes, epochs): (Holes, Epochs),
        ticket: Ticket,
    ) -> bool {
        let Some(known) = self.positions.get_mut(topic) else {
            return false; // it has begun elsewhere: never without a position
        };
        if let StreamWord::Reset { position, cause } = word {
            let is_followed = epochs == Epochs::Followed || known.at.epoch == position.epoch;
            if is_followed && !known.covers(position) {
                self.topic_reset(topic, position, *cause);
            }
            return false;
        }
        if known.at.epoch != *epoch {
            return false; // another connection knows more of the topic
        }
        known.moved = self.mark.number;
        known.source = Source::Server;
        let known = &mut known.at;
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
                        in_history: false,
                    }));
                }
                self.message(message, ticket)
            }
            StreamWord::Gap {
                from,
                to,
                cause,
                in_history,
            } => {
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
                            in_history: false,
                        }));
                    }
                    self.note(Event::Gap(Gap {
                        topic: topic.clone(),
                        from,
                        to: *to,
                        cause: *cause,
                        in_history: *in_history,
                    }));
                }
                false
            }
            StreamWord::Conflated { count, up_to } => {
                // Another connection may have accounted for some of them.
                let count = up_to.saturating_sub(known.offset).min(*count);
                if count > 0 {
                    known.offset = *up_to;
                    self.note(Event::Conflated(Conflated {
                        topic: topic.clone(),
                        count,
                        up_to: *up_to,
                    }));
                }
                false
            }
            StreamWord::Position(offset) => {
                known.offset = known.offset.max(*offset);
                false
            }
            StreamWord::Reset { .. } => false,
        }
    }

    /// Nothing can be said of what the topic had before this position.
    fn topic_reset(&mut self, topic: &Arc<str>, position: &Position, cause: GapCause) {
        let Some(known) = self.positions.get_mut(topic) else {
            return;
        };
        known.set(position);
        known.moved = self.mark.number;
        self.note(Event::Reset(Reset {
            scope: ResetScope::Topic {
                topic: topic.clone(),
                position: position.clone(),
            },
            cause: ResetCause::Server(cause),
        }));
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
                && (last.cause, last.in_history) == (next.cause, next.in_history)
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

//! One delivery's turn: what its client is sent of a topic, in the order of the offsets.
//!
//! Between what was said of the delivery's beginning and its end every offset is accounted for
//! once: by a message, or by a word that says why there is none. Where the next message is, says
//! [`Next`]; what becomes of those that are there, says the policy. What a client has asked for by
//! `from` is sent under any policy: a policy judges what comes behind it.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use corewire_protocol::NotOpen;
use corewire_protocol::native::{
    Cause, Closing, Conflated, Dialect, Echo, Gap, PolicyMode, Position, Push, Repair, Reset,
    TopicAlias, closing,
};

use crate::engine::Context;
use crate::metrics::Counters;

use super::catch_up::{Entry, Page};
use super::class::Class;
use super::delivery::{Alias, Delivery, DeliveryCredit};
use super::mail::Mail;
use super::pen::Pen;
use super::publication::{Publication, TopicId};
use super::runs::{MESSAGE_BYTES_MAX, Place, Run, Stand};
use super::tail::Item;
use super::topic::Topic;

/// Bytes of data that a delivery sends before the next one has its turn.
pub(super) const QUANTUM_BYTES: usize = 16 << 10;

/// Where a delivery stands after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnEnd {
    /// All is sent.
    CaughtUp,
    /// It has more, and has had its share.
    More,
    /// It has more, which is to be read from the log first.
    Away,
    /// It has more, and the connection takes no more at the moment.
    Full,
    /// It has more, and no credit of its own.
    NoCredit,
    /// It has more, and the connection has no credit.
    NoConnectionCredit,
}

/// Everything that takes part.
pub(super) struct Stream<'a, 'c> {
    /// Of the client.
    pub(super) session: u128,
    pub(super) dialect: Dialect,
    pub(super) connection_credit: Option<&'a mut DeliveryCredit>,
    pub(super) id: &'a Arc<TopicId>,
    pub(super) topic: &'a Topic,
    pub(super) delivery: &'a mut Delivery,
    /// What was read from the log, if anything was.
    pub(super) page: Option<&'a Page>,
    pub(super) pen: &'a mut Pen,
    pub(super) context: &'a mut Context<'c, Mail>,
    /// What has moved the cursor without the client being told yet.
    pub(super) skipped: Skipped,
    /// Bytes that are left of its share.
    pub(super) left: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skipped {
    Nothing,
    /// What nobody is sent any more, and the client's own messages, which it did not want back.
    Silently,
    /// So many messages, for newer ones.
    Conflated(u64),
}

/// What stands behind a cursor.
enum Next<'a> {
    /// The next message.
    Here(&'a Publication),
    /// Nothing up to this offset: it has expired.
    Expired(u64),
    /// Nothing up to this offset, and the client is to know why.
    Gone(u64, Cause),
    /// It must be read from the log.
    Away,
    /// Nothing yet.
    End,
}

impl<'a> Stream<'a, '_> {
    /// Sends what may be sent.
    pub(super) fn run(&mut self) -> Result<TurnEnd, NotOpen> {
        self.announce()?;
        let policy = self.delivery.policy.mode;
        if policy != PolicyMode::All
            && let ControlFlow::Break(turn) = self.send_up_to(self.delivery.replay_to)?
        {
            return Ok(turn);
        }
        let skips = policy != PolicyMode::All || self.id.class != Class::Logged;
        if policy != PolicyMode::Latest && !(skips && self.too_far_behind().is_some()) {
            self.send_run()?;
        }
        match (policy, self.id.class) {
            (PolicyMode::All, Class::Logged) => {
                let sent = self.send_up_to(u64::MAX)?;
                Ok(sent.break_value().unwrap_or(TurnEnd::CaughtUp))
            }
            (PolicyMode::All, Class::Volatile) | (PolicyMode::DropOldest, _) => self.newest(),
            (PolicyMode::Close, _) => self.newest_or_close(),
            (PolicyMode::Latest, _) => self.latest(),
        }
    }

    /// Tells the client the topic's alias, if it does not know it.
    fn announce(&mut self) -> Result<(), NotOpen> {
        let alias = std::mem::replace(&mut self.delivery.alias, Alias::Announced);
        if alias == Alias::Announced {
            return Ok(());
        }
        let offset = self.delivery.cursor;
        self.push(&Push::Topic(TopicAlias {
            t: self.id.alias,
            topic: Cow::Borrowed(&self.id.name),
            s: self.delivery.subscriptions.to_vec(),
            epoch: Cow::Borrowed(&self.id.epoch),
            offset,
        }))?;
        if let Alias::UnknownAfter(cause) = alias {
            self.push(&Push::Reset(Reset::Topic {
                t: self.id.alias,
                epoch: Cow::Borrowed(&self.id.epoch),
                offset,
                cause,
            }))?;
        }
        Ok(())
    }

    /// Sends as one piece what others at the same place are sent, too, if that is all there is to
    /// it: no message here is for some of them only, and nobody counts them.
    fn send_run(&mut self) -> Result<(), NotOpen> {
        let cursor = self.delivery.cursor;
        let counted = self.delivery.credit.is_some() || self.connection_credit.is_some();
        let alone = self.topic.end <= cursor + 1 || !self.topic.tail.holds(cursor + 1);
        if counted || alone || !self.context.has_room() {
            return Ok(());
        }
        let Some(takes) = self.context.takes() else {
            return Ok(());
        };
        let stand = Stand {
            alias: self.id.alias,
            cursor,
            dialect: self.dialect,
            takes,
        };
        let Some(place) = self.pen.runs.come(stand) else {
            return Ok(());
        };
        if matches!(place, Place::Seen) {
            let run = write_run(self.topic, stand, &self.pen.counters, self.context);
            *place = run.map_or(Place::Mixed, Place::Written);
        }
        let Place::Written(run) = place else {
            return Ok(());
        };
        self.context.send_run(&run.prepared)?;
        let messages = run.prepared.messages();
        self.delivery.cursor = run.to;
        self.left = self.left.saturating_sub(run.bytes);
        self.pen.counters.delivered.add(messages);
        self.pen.words += messages as u64;
        Ok(())
    }

    // ── Policies ──

    /// Every message up to an offset that there is already, wherever it is.
    fn send_up_to(&mut self, to: u64) -> Result<ControlFlow<TurnEnd>, NotOpen> {
        while self.delivery.cursor < to {
            let turn = match self.next() {
                Next::Here(publication) => self.message(publication)?,
                Next::Expired(to) => {
                    self.skip(to)?;
                    ControlFlow::Continue(())
                }
                Next::Gone(to, cause) => {
                    self.gap(to, cause)?;
                    ControlFlow::Continue(())
                }
                // What could not be sent is not read.
                Next::Away => {
                    let turn = self.obstacle().unwrap_or(TurnEnd::Away);
                    self.tell_skipped()?;
                    ControlFlow::Break(turn)
                }
                Next::End => break,
            };
            if turn.is_break() {
                return Ok(turn);
            }
        }
        self.tell_skipped()?;
        Ok(ControlFlow::Continue(()))
    }

    /// The newest messages, as many as may wait; a gap for the others.
    fn newest(&mut self) -> Result<TurnEnd, NotOpen> {
        if let Some(to) = self.too_far_behind() {
            self.gap(to, Cause::Slow)?;
        }
        loop {
            let Some(item) = self.topic.tail.after(self.delivery.cursor) else {
                self.tell_skipped()?;
                return Ok(TurnEnd::CaughtUp);
            };
            let turn = match item {
                Item::Message(publication) => self.message(publication)?,
                Item::Lost { to, .. } => match self.id.class {
                    Class::Logged => self.send_up_to(*to)?,
                    Class::Volatile => {
                        self.gap(*to, Cause::Node)?;
                        ControlFlow::Continue(())
                    }
                },
            };
            if let ControlFlow::Break(turn) = turn {
                return Ok(turn);
            }
        }
    }

    /// As [`newest`](Self::newest), but the connection ends where a gap would be.
    fn newest_or_close(&mut self) -> Result<TurnEnd, NotOpen> {
        if self.too_far_behind().is_none() {
            return self.newest();
        }
        self.pen.close(
            self.dialect,
            &Closing {
                code: closing::SLOW_CONSUMER.0,
                reason: Cow::Borrowed("a subscription with the policy \"close\" fell behind"),
                retry_ms: Some(1000),
                spread_ms: None,
                url: None,
            },
            self.context,
        );
        Err(NotOpen)
    }

    /// The newest message of each key.
    fn latest(&mut self) -> Result<TurnEnd, NotOpen> {
        let Some(latest) = &self.topic.latest else {
            return Ok(TurnEnd::CaughtUp);
        };
        let (start, cause) = latest.start();
        if self.delivery.cursor < start {
            if (self.id.class, cause) == (Class::Logged, Cause::Node) {
                // Whose newest messages these were is not known, so all of them come.
                if let ControlFlow::Break(turn) = self.send_up_to(start)? {
                    return Ok(turn);
                }
            } else {
                self.gap(start, cause)?;
            }
        }
        while let Some(publication) = latest.after(self.delivery.cursor) {
            let superseded = publication.offset - self.delivery.cursor - 1;
            if superseded > 0 {
                if self.skipped == Skipped::Silently {
                    self.tell_skipped()?;
                }
                let before = match self.skipped {
                    Skipped::Conflated(n) => n,
                    Skipped::Nothing | Skipped::Silently => 0,
                };
                self.skipped = Skipped::Conflated(before + superseded);
                self.delivery.cursor = publication.offset - 1;
            }
            if let ControlFlow::Break(turn) = self.message(publication)? {
                return Ok(turn);
            }
        }
        self.tell_skipped()?;
        Ok(TurnEnd::CaughtUp)
    }

    // ── Parts ──

    /// What stands behind the cursor, in the tail or on the page.
    fn next(&self) -> Next<'a> {
        let (cursor, tail) = (self.delivery.cursor, &self.topic.tail);
        let in_tail = tail.holds(cursor + 1).then(|| tail.after(cursor));
        // Up to where it is not in the tail.
        let limit = match in_tail.flatten() {
            Some(Item::Message(publication)) => return Next::Here(publication),
            Some(Item::Lost { to, .. }) => *to,
            None if cursor >= self.topic.end => return Next::End,
            None if cursor < tail.start() && !tail.is_empty() => tail.start(),
            None => self.topic.end,
        };
        match self.page.and_then(|page| page.after(cursor)) {
            Some(Entry::Message(publication)) => Next::Here(publication),
            Some(Entry::Expired(to)) => Next::Expired(to.min(limit)),
            Some(Entry::Gone(to, cause)) => Next::Gone(to.min(limit), cause),
            None if self.id.class == Class::Volatile => Next::Gone(limit, Cause::Slow),
            None => Next::Away,
        }
    }

    /// Why the next message may not be sent now.
    fn obstacle(&self) -> Option<TurnEnd> {
        if self.delivery.is_out_of_credit() {
            Some(TurnEnd::NoCredit)
        } else if self
            .connection_credit
            .as_ref()
            .is_some_and(|credit| !credit.is_left())
        {
            Some(TurnEnd::NoConnectionCredit)
        } else if !self.context.has_room() {
            Some(TurnEnd::Full)
        } else if self.left == 0 {
            Some(TurnEnd::More)
        } else {
            None
        }
    }

    /// Sends one message, if it may.
    fn message(&mut self, publication: &Publication) -> Result<ControlFlow<TurnEnd>, NotOpen> {
        let draft = &publication.draft;
        let unwanted = draft.echo == Echo::No && draft.author.producer.session == self.session;
        if unwanted || publication.is_expired(self.context.now()) {
            self.skip(publication.offset)?;
            return Ok(ControlFlow::Continue(()));
        }
        let obstacle = self.obstacle();
        self.tell_skipped()?;
        if let Some(turn) = obstacle {
            return Ok(ControlFlow::Break(turn));
        }
        let counters = &self.pen.counters;
        let message = publication.message(self.dialect, || counters.messages_encoded.add(1));
        self.context.send_prepared(message)?;
        counters.delivered.add(1);
        self.pen.words += 1;
        let bytes = publication.draft.data.len();
        if let Some(credit) = &mut self.delivery.credit {
            credit.spend(bytes);
        }
        if let Some(credit) = &mut self.connection_credit {
            credit.spend(bytes);
        }
        self.left = self.left.saturating_sub(publication.bytes());
        self.delivery.cursor = publication.offset;
        Ok(ControlFlow::Continue(()))
    }

    /// The last offset that must be skipped: it is gone, or more waits than the policy allows.
    fn too_far_behind(&self) -> Option<u64> {
        let (cursor, policy) = (self.delivery.cursor, self.delivery.policy);
        let gone = (cursor < self.topic.tail.start()).then_some(self.topic.tail.start());
        let (bytes, messages) = (u64::from(policy.max_bytes), u64::from(policy.max_messages));
        let too_much = self.topic.tail.too_much_after(cursor, bytes, messages);
        gone.max(too_much)
    }

    fn gap(&mut self, to: u64, cause: Cause) -> Result<(), NotOpen> {
        self.tell_skipped()?;
        let from = self.delivery.cursor + 1;
        self.delivery.cursor = to;
        self.pen.counters.gaps.add(1);
        let repair = match (self.id.class, cause) {
            (Class::Logged, Cause::Slow) => Repair::History,
            (Class::Logged | Class::Volatile, _) => Repair::None,
        };
        self.push(&Push::Gap(Gap {
            t: self.id.alias,
            from,
            to,
            cause,
            repair,
        }))
    }

    /// Nothing up to this offset is to be sent.
    fn skip(&mut self, to: u64) -> Result<(), NotOpen> {
        if matches!(self.skipped, Skipped::Conflated(_)) {
            self.tell_skipped()?;
        }
        self.skipped = Skipped::Silently;
        self.delivery.cursor = to;
        Ok(())
    }

    /// Accounts for what was skipped up to the cursor.
    fn tell_skipped(&mut self) -> Result<(), NotOpen> {
        let (t, offset) = (self.id.alias, self.delivery.cursor);
        match std::mem::replace(&mut self.skipped, Skipped::Nothing) {
            Skipped::Nothing => Ok(()),
            Skipped::Silently => self.push(&Push::Position(Position::Topic { t, offset })),
            Skipped::Conflated(n) => {
                self.pen
                    .counters
                    .conflated
                    .add(usize::try_from(n).unwrap_or(usize::MAX));
                self.push(&Push::Conflated(Conflated {
                    t,
                    n,
                    up_to: offset,
                }))
            }
        }
    }

    fn push(&mut self, push: &Push<'_>) -> Result<(), NotOpen> {
        self.pen.push(self.dialect, push, self.context)
    }
}

/// Lays the messages behind a place end to end, as many as are a delivery's share; none that some
/// are not to be sent. `None` if they are fewer than two.
fn write_run(
    topic: &Topic,
    stand: Stand,
    counters: &Counters,
    context: &mut Context<'_, Mail>,
) -> Option<Run> {
    let (mut to, mut bytes) = (stand.cursor, 0);
    let mut messages = topic.tail.behind(stand.cursor).map_while(|item| {
        let Item::Message(publication) = item else {
            return None;
        };
        let draft = &publication.draft;
        let for_all = draft.echo == Echo::Yes && draft.ttl_ms.is_none();
        if !for_all || publication.data_bytes() > MESSAGE_BYTES_MAX || bytes >= QUANTUM_BYTES {
            return None;
        }
        to = publication.offset;
        bytes += publication.bytes();
        Some(publication.message(stand.dialect, || counters.messages_encoded.add(1)))
    });
    let prepared = context.prepare_run(&mut messages)?;
    (prepared.messages() > 1).then_some(Run {
        prepared,
        to,
        bytes,
    })
}

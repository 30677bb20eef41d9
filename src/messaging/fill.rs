//! What a client is sent, decided when it can take it: replies first, then its deliveries in turn.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use corewire_protocol::NotOpen;
use corewire_protocol::native::{
    Cause, Closing, Conflated, Dialect, Gap, PolicyMode, Position, Push, Repair, Reset, TopicAlias,
    Untopic, closing,
};

use crate::engine::{Context, Fill};
use crate::ids::CoreId;

use super::client::{ClientKey, Clients, Stage};
use super::delivery::{Alias, Delivery, DeliveryCredit, DeliveryKey, Of, Standing};
use super::hub::Hub;
use super::mail::Mail;
use super::pen::Pen;
use super::publication::{Publication, TopicId};
use super::tail::Item;
use super::topic::{Life, Topic};

/// Bytes of data that a delivery sends before the next one has its turn.
const QUANTUM_BYTES: usize = 16 << 10;

/// Everything that takes part.
pub(super) struct Filling<'a, 'c> {
    pub(super) core: CoreId,
    pub(super) hub: &'a mut Hub,
    pub(super) clients: &'a mut Clients,
    pub(super) pen: &'a mut Pen,
    pub(super) context: &'a mut Context<'c, Mail>,
}

/// Where a delivery stands after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// All is sent.
    CaughtUp,
    /// It has more, and has had its share.
    More,
    /// It has more, and the connection takes no more at the moment.
    Full,
    /// It has more, and no credit of its own.
    NoCredit,
    /// It has more, and the connection has no credit.
    NoConnectionCredit,
}

/// Why filling ends.
enum Stop {
    /// The connection is closing.
    NotOpen,
    /// For now.
    With(Fill),
}

impl From<NotOpen> for Stop {
    fn from(NotOpen: NotOpen) -> Self {
        Self::NotOpen
    }
}

impl Filling<'_, '_> {
    /// Sends what the client can take.
    pub(super) fn fill(&mut self, client: ClientKey) -> Fill {
        let words = self.pen.words;
        let fill = match self.try_fill(client) {
            Err(Stop::With(fill)) => fill,
            Ok(()) | Err(Stop::NotOpen) => Fill::Done,
        };
        if self.pen.words != words
            && let Some(client) = self.clients.get_mut(client)
        {
            client.heartbeat.said = self.context.now();
        }
        fill
    }

    fn try_fill(&mut self, key: ClientKey) -> Result<(), Stop> {
        self.words(key)?;
        while let Some(client) = self.clients.get_mut(key) {
            let Some(delivery) = self.hub.deliveries.pop_front(&mut client.behind, Of::Line) else {
                break;
            };
            let turn = if self.context.has_room() {
                self.turn(key, delivery)
            } else {
                Ok(Turn::Full)
            };
            self.settle(key, delivery, turn?)?;
        }
        Ok(())
    }

    /// Replies, and what else is to be said before messages.
    fn words(&mut self, key: ClientKey) -> Result<(), Stop> {
        let Some(client) = self.clients.get_mut(key) else {
            return Err(Stop::With(Fill::Done));
        };
        while let Some((id, reply)) = client.replies.front() {
            if !self.context.has_room() {
                return Err(Stop::With(Fill::More));
            }
            self.pen.reply(client.dialect, (*id, reply), self.context)?;
            client.replies.pop_front();
        }
        while let Some((id, page)) = client.pages.first() {
            if !self.context.has_room() {
                return Err(Stop::With(Fill::More));
            }
            let reply = page.reply();
            self.pen
                .reply(client.dialect, (*id, &reply), self.context)?;
            client.pages.sent();
        }
        for t in client.forgotten.drain(..) {
            let push = Push::Untopic(Untopic { t });
            self.pen.push(client.dialect, &push, self.context)?;
        }
        for push in client.notices.drain(..) {
            self.pen.push(client.dialect, &push, self.context)?;
        }
        match client.stage {
            Stage::Ready(_) => Ok(()),
            // Messages wait for the welcome.
            Stage::Greeting | Stage::Welcoming(_) => Err(Stop::With(Fill::Done)),
        }
    }

    /// Puts a delivery where it belongs after its turn.
    fn settle(&mut self, client: ClientKey, key: DeliveryKey, turn: Turn) -> Result<(), Stop> {
        if turn == Turn::CaughtUp {
            let alias = self.alias_of(key);
            if self.hub.caught_up(self.clients, key) == Life::Over
                && let Some(t) = alias
                && let Some(client) = self.clients.get(client)
            {
                let push = Push::Untopic(Untopic { t });
                self.pen.push(client.dialect, &push, self.context)?;
            }
            return Ok(());
        }
        let Some(client) = self.clients.get_mut(client) else {
            return Err(Stop::With(Fill::Done));
        };
        let deliveries = &mut self.hub.deliveries;
        match turn {
            Turn::CaughtUp => Ok(()),
            Turn::More => {
                deliveries.push_back(&mut client.behind, key, Of::Line);
                Ok(())
            }
            Turn::Full => {
                deliveries.push_front(&mut client.behind, key, Of::Line);
                Err(Stop::With(Fill::More))
            }
            Turn::NoConnectionCredit => {
                deliveries.push_front(&mut client.behind, key, Of::Line);
                Err(Stop::With(Fill::Done))
            }
            Turn::NoCredit => {
                if let Some(delivery) = deliveries.get_mut(key) {
                    delivery.standing = Standing::Stalled;
                }
                Ok(())
            }
        }
    }

    fn alias_of(&self, key: DeliveryKey) -> Option<u64> {
        let delivery = self.hub.deliveries.get(key)?;
        let id = self.hub.topics.get(delivery.topic)?.id.as_ref()?;
        (delivery.alias == Alias::Announced).then_some(id.alias)
    }

    /// Lets one delivery send its share.
    fn turn(&mut self, client_key: ClientKey, key: DeliveryKey) -> Result<Turn, NotOpen> {
        let Some(delivery) = self.hub.deliveries.get_mut(key) else {
            return Ok(Turn::CaughtUp);
        };
        let Some(topic) = self.hub.topics.get(delivery.topic) else {
            return Ok(Turn::CaughtUp);
        };
        let (Some(id), Some(client)) = (&topic.id, self.clients.get_mut(client_key)) else {
            return Ok(Turn::CaughtUp);
        };
        let mut stream = Stream {
            core: self.core,
            client: client_key,
            dialect: client.dialect,
            connection_credit: client.credit.as_deref_mut(),
            id,
            topic,
            delivery,
            pen: self.pen,
            context: self.context,
            skipped: Skipped::Nothing,
            left: QUANTUM_BYTES,
        };
        stream.announce()?;
        match stream.delivery.policy.mode {
            PolicyMode::Latest => stream.latest(),
            PolicyMode::All | PolicyMode::DropOldest => stream.all(),
            PolicyMode::Close => stream.all_or_close(),
        }
    }
}

/// One delivery's turn.
struct Stream<'a, 'c> {
    core: CoreId,
    client: ClientKey,
    dialect: Dialect,
    connection_credit: Option<&'a mut DeliveryCredit>,
    id: &'a Arc<TopicId>,
    topic: &'a Topic,
    delivery: &'a mut Delivery,
    pen: &'a mut Pen,
    context: &'a mut Context<'c, Mail>,
    /// What has moved the cursor without the client being told yet.
    skipped: Skipped,
    /// Bytes that are left of its share.
    left: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skipped {
    Nothing,
    /// The client's own messages, which it did not want back.
    Own,
    /// So many messages, for newer ones.
    Conflated(u64),
}

impl Stream<'_, '_> {
    /// Tells the client the topic's alias, if it does not know it.
    fn announce(&mut self) -> Result<(), NotOpen> {
        if self.delivery.alias == Alias::Announced {
            return Ok(());
        }
        let loss = self.delivery.alias == Alias::UnknownAfterLoss;
        self.delivery.alias = Alias::Announced;
        let offset = self.delivery.cursor;
        self.push(&Push::Topic(TopicAlias {
            t: self.id.alias,
            topic: Cow::Borrowed(&self.topic.name),
            s: self.delivery.subscriptions.clone(),
            epoch: Cow::Borrowed(&self.id.epoch),
            offset,
        }))?;
        if loss {
            self.push(&Push::Reset(Reset::Topic {
                t: self.id.alias,
                epoch: Cow::Borrowed(&self.id.epoch),
                offset,
                cause: Cause::Node,
            }))?;
        }
        Ok(())
    }

    /// Every message in the tail; a gap for those that are not there any more.
    fn all(&mut self) -> Result<Turn, NotOpen> {
        if let Some(to) = self.too_far_behind() {
            self.gap(to, Cause::Slow)?;
        }
        loop {
            let Some(item) = self.topic.tail.after(self.delivery.cursor) else {
                self.tell_skipped()?;
                return Ok(Turn::CaughtUp);
            };
            match item {
                Item::Lost { to, .. } => self.gap(*to, Cause::Node)?,
                Item::Message(publication) => {
                    if let ControlFlow::Break(turn) = self.message(publication)? {
                        return Ok(turn);
                    }
                }
            }
        }
    }

    /// As [`all`](Self::all), but the connection ends where a gap would be.
    fn all_or_close(&mut self) -> Result<Turn, NotOpen> {
        if self.too_far_behind().is_none() {
            return self.all();
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
    fn latest(&mut self) -> Result<Turn, NotOpen> {
        let Some(latest) = &self.topic.latest else {
            return Ok(Turn::CaughtUp);
        };
        let (start, cause) = latest.start();
        if self.delivery.cursor < start {
            self.gap(start, cause)?;
        }
        while let Some(publication) = latest.after(self.delivery.cursor) {
            let superseded = publication.offset - self.delivery.cursor - 1;
            if superseded > 0 {
                if self.skipped == Skipped::Own {
                    self.tell_skipped()?;
                }
                let before = match self.skipped {
                    Skipped::Conflated(n) => n,
                    Skipped::Nothing | Skipped::Own => 0,
                };
                self.skipped = Skipped::Conflated(before + superseded);
                self.delivery.cursor = publication.offset - 1;
            }
            if let ControlFlow::Break(turn) = self.message(publication)? {
                return Ok(turn);
            }
        }
        self.tell_skipped()?;
        Ok(Turn::CaughtUp)
    }

    /// Sends one message, if it may.
    fn message(&mut self, publication: &Publication) -> Result<ControlFlow<Turn>, NotOpen> {
        if publication.draft.not_to == Some((self.core, self.client)) {
            if matches!(self.skipped, Skipped::Conflated(_)) {
                self.tell_skipped()?;
            }
            self.skipped = Skipped::Own;
            self.delivery.cursor = publication.offset;
            return Ok(ControlFlow::Continue(()));
        }
        let stop = if self.delivery.is_out_of_credit() {
            Some(Turn::NoCredit)
        } else if self
            .connection_credit
            .as_ref()
            .is_some_and(|credit| !credit.is_left())
        {
            Some(Turn::NoConnectionCredit)
        } else if !self.context.has_room() {
            Some(Turn::Full)
        } else if self.left == 0 {
            Some(Turn::More)
        } else {
            None
        };
        self.tell_skipped()?;
        if let Some(turn) = stop {
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
        self.push(&Push::Gap(Gap {
            t: self.id.alias,
            from,
            to,
            cause,
            repair: Repair::None,
        }))
    }

    /// Accounts for what was skipped up to the cursor.
    fn tell_skipped(&mut self) -> Result<(), NotOpen> {
        let (t, offset) = (self.id.alias, self.delivery.cursor);
        match std::mem::replace(&mut self.skipped, Skipped::Nothing) {
            Skipped::Nothing => Ok(()),
            Skipped::Own => self.push(&Push::Position(Position::Topic { t, offset })),
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

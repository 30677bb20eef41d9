//! What a client is sent, decided when it can take it: replies first, then its deliveries in turn.

use corewire_protocol::NotOpen;
use corewire_protocol::native::{Push, Reset, Untopic};

use crate::engine::{Context, Fill};

use super::client::{ClientKey, Clients, Stage};
use super::delivery::{Alias, DeliveryKey, Of, Standing};
use super::hub::Hub;
use super::mail::Mail;
use super::pen::Pen;
use super::positions;
use super::state::Watchers;
use super::stream::{QUANTUM_BYTES, Skipped, Stream, TurnEnd};

/// Everything that takes part.
pub(super) struct Filling<'a, 'c> {
    pub(super) hub: &'a mut Hub,
    pub(super) clients: &'a mut Clients,
    pub(super) pen: &'a mut Pen,
    pub(super) watchers: &'a mut Watchers,
    pub(super) context: &'a mut Context<'c, Mail>,
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
        if let Some(client) = self.clients.get_mut(client) {
            client.rest();
            if self.pen.words != words {
                client.heartbeat.said = self.context.now();
            }
        }
        fill
    }

    fn try_fill(&mut self, key: ClientKey) -> Result<(), Stop> {
        self.words(key)?;
        // Before messages, of which there may be more than there is room for.
        self.state(key)?;
        let filled = self.messages(key);
        if let Err(Stop::NotOpen) = filled {
            return filled;
        }
        // Deliveries may have told aliases that state has waited for.
        self.state(key)?;
        filled
    }

    /// Deliveries in turn, and how far patterns are.
    fn messages(&mut self, key: ClientKey) -> Result<(), Stop> {
        while let Some(client) = self.clients.get_mut(key) {
            let Some(delivery) = self.hub.deliveries.pop_front(&mut client.behind, Of::Line) else {
                break;
            };
            let turn = if self.context.has_room() {
                self.turn(key, delivery)
            } else {
                Ok(TurnEnd::Full)
            };
            // On an error it stays in no list: the client goes as soon as its connection is closed.
            self.put_away(key, delivery, turn?)?;
        }
        self.hub.walk_on(self.clients, key);
        let core = (&mut *self.hub, &mut *self.clients);
        positions::tell(core, key, self.pen, self.context)?;
        Ok(())
    }

    /// What has changed in the sets that the client watches, as far as it knows their topics'
    /// aliases.
    fn state(&mut self, key: ClientKey) -> Result<(), Stop> {
        let behind = self.watchers.behind(key);
        if behind == 0 {
            return Ok(());
        }
        let Some(client) = self.clients.get(key) else {
            return Err(Stop::With(Fill::Done));
        };
        // Once round all of them: one that has to wait goes behind the others, and is not met again.
        for _ in 0..behind {
            while let Some((watch, window, form)) = self.watchers.next(key) {
                if !self.knows(key, window.alias()) {
                    self.watchers.set_back(key);
                    break;
                }
                if !self.context.has_room() {
                    return Err(Stop::With(Fill::More));
                }
                let counters = &self.pen.counters;
                let written = || counters.state_written.add(1);
                let message = window.message(client.dialect, form, written);
                self.context.send_prepared(message)?;
                counters.state_told.add(1);
                self.pen.words += 1;
                self.watchers.told(watch, &window);
            }
        }
        Ok(())
    }

    /// Whether a client was told an alias, by `subbed` or by `topic`.
    fn knows(&self, client: ClientKey, alias: u64) -> bool {
        let topic = self.hub.topic_of(client, alias);
        let delivery = topic.and_then(|topic| self.hub.delivery_of(client, topic));
        let delivery = delivery.and_then(|delivery| self.hub.deliveries.get(delivery));
        delivery.is_some_and(|delivery| !matches!(delivery.alias, Alias::UnknownAfter(_)))
    }

    /// Replies, and what else is to be said before messages.
    fn words(&mut self, key: ClientKey) -> Result<(), Stop> {
        let Some(client) = self.clients.get_mut(key) else {
            return Err(Stop::With(Fill::Done));
        };
        let dialect = client.dialect;
        if let Some(talk) = &mut client.talk {
            while let Some((id, reply)) = talk.replies.front() {
                if !self.context.has_room() {
                    return Err(Stop::With(Fill::More));
                }
                self.pen.reply(dialect, (*id, reply), self.context)?;
                talk.replies.pop_front();
            }
            while let Some((id, page)) = talk.pages.first() {
                if !self.context.has_room() {
                    return Err(Stop::With(Fill::More));
                }
                let reply = page.reply();
                self.pen.reply(dialect, (*id, &reply), self.context)?;
                talk.pages.sent();
            }
            for t in talk.forgotten.drain(..) {
                let push = Push::Untopic(Untopic { t });
                self.pen.push(dialect, &push, self.context)?;
            }
            for push in talk.notices.drain(..) {
                self.pen.push(dialect, &push, self.context)?;
            }
        }
        match client.stage {
            Stage::Ready(_) => {}
            // Messages wait for the welcome.
            Stage::Greeting | Stage::Welcoming(_) => return Err(Stop::With(Fill::Done)),
        }
        // What it has not been sent yet is known all the same, and lies behind no position: should
        // the connection end before, it cannot go on without another reset.
        let is_current = client.behind_count == 0 && client.walks == 0;
        while let Some((s, cause)) = client
            .talk
            .as_mut()
            .and_then(|talk| talk.resets.pop_first())
        {
            let pos = if is_current {
                self.hub.patterns.position().into()
            } else {
                client.told.get_or_insert_default().owe();
                self.hub.patterns.nowhere().into()
            };
            let push = Push::Reset(Reset::Pattern { s, pos, cause });
            self.pen.push(dialect, &push, self.context)?;
        }
        if client.walks > 0 && self.hub.patterns.is_listing(key) {
            return Err(Stop::With(Fill::Done));
        }
        Ok(())
    }

    /// Puts a delivery where it belongs after its turn.
    fn put_away(&mut self, client: ClientKey, key: DeliveryKey, end: TurnEnd) -> Result<(), Stop> {
        match end {
            TurnEnd::CaughtUp => {
                if let Some(t) = self.hub.caught_up(self.clients, key)
                    && let Some(client) = self.clients.get(client)
                {
                    let push = Push::Untopic(Untopic { t });
                    self.pen.push(client.dialect, &push, self.context)?;
                }
                Ok(())
            }
            TurnEnd::Away => {
                self.hub.fetch(self.clients, key, self.context.effects());
                Ok(())
            }
            TurnEnd::More => {
                if let Some(client) = self.clients.get_mut(client) {
                    let behind = &mut client.behind;
                    self.hub.deliveries.push_back(behind, key, Of::Line);
                }
                Ok(())
            }
            TurnEnd::Full => {
                self.put_first(client, key);
                Err(Stop::With(Fill::More))
            }
            TurnEnd::NoConnectionCredit => {
                self.put_first(client, key);
                Err(Stop::With(Fill::Done))
            }
            TurnEnd::NoCredit => {
                if let Some(delivery) = self.hub.deliveries.get_mut(key) {
                    delivery.standing = Standing::Stalled;
                }
                Ok(())
            }
        }
    }

    /// It has the next turn of its client, too.
    fn put_first(&mut self, client: ClientKey, key: DeliveryKey) {
        if let Some(client) = self.clients.get_mut(client) {
            let behind = &mut client.behind;
            self.hub.deliveries.push_front(behind, key, Of::Line);
        }
    }

    /// Lets one delivery send its share.
    fn turn(&mut self, client_key: ClientKey, key: DeliveryKey) -> Result<TurnEnd, NotOpen> {
        let Some(delivery) = self.hub.deliveries.get_mut(key) else {
            return Ok(TurnEnd::CaughtUp);
        };
        let Some(topic) = self.hub.topics.get(delivery.topic) else {
            return Ok(TurnEnd::CaughtUp);
        };
        let (Some(id), Some(client)) = (topic.called.id(), self.clients.get_mut(client_key)) else {
            return Ok(TurnEnd::CaughtUp);
        };
        let session = client.producer().map_or(0, |producer| producer.session);
        let page = delivery.page.and_then(|page| self.hub.catch_up.page(page));
        let before = delivery.cursor;
        let mut stream = Stream {
            session,
            dialect: client.dialect,
            connection_credit: client.credit.as_deref_mut(),
            id,
            topic,
            delivery,
            page,
            pen: self.pen,
            context: self.context,
            skipped: Skipped::Nothing,
            left: QUANTUM_BYTES,
        };
        let turn = stream.run();
        let cursor = delivery.cursor;
        if let Some(key) = delivery.page {
            let done = page.is_none_or(|page| page.to <= cursor);
            if done || matches!(turn, Ok(TurnEnd::Away | TurnEnd::CaughtUp)) {
                delivery.page = None;
                self.hub.catch_up.release(key);
            } else if cursor > before {
                self.hub.catch_up.touch(key, self.context.now());
            }
        }
        turn
    }
}

//! What topics have kept, for clients that ask (`hist`): a page at a time.
//!
//! A page is read at the topic's home core, and crosses to the client's as references to the
//! messages in the log. It is written when the client can take it; how many a client may wait for is
//! bounded, so what it pins is, too.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use corewire_protocol::native::{self, ErrorCode, ErrorReply, HistoryFrom, Reply, TopicName};

use crate::engine::{Context, Effects};
use crate::ids::CoreId;

use super::catch_up::{Page, PageKey};
use super::client::ClientKey;
use super::dispatch::Refused;
use super::handler::MessagingHandler;
use super::home::{HistoryPage, NoPage, PageFrom, PageWanted, Paged};
use super::mail::{Letter, Mail, PageReply};
use super::publication::TopicId;
use super::refusal::{gone, refused, too_many_topics};
use super::requests::Stamp;
use super::store::{Direction, Range, ReadNumber};

/// Milliseconds after which it is looked whether a read is finished.
const READ_MS: u32 = 1;

/// See [`Letter::History`].
#[derive(Debug)]
pub(super) struct HistoryRequest {
    pub(super) stamp: Stamp,
    pub(super) client: ClientKey,
    pub(super) topic: Box<str>,
    pub(super) wanted: PageWanted,
}

/// See [`Letter::HistoryPage`].
#[derive(Debug)]
pub(super) struct HistoryReply {
    pub(super) stamp: Stamp,
    pub(super) client: ClientKey,
    pub(super) outcome: Result<HistoryPage, NoPage>,
}

/// Who waits for messages that are still being read.
#[derive(Debug)]
pub(super) enum Unfinished {
    /// A client that has asked.
    History(UnfinishedPage),
    /// Deliveries that are behind.
    CatchUp {
        to: CoreId,
        stamp: Stamp,
        key: PageKey,
    },
}

/// A page whose messages are still being read.
#[derive(Debug)]
pub(super) struct UnfinishedPage {
    to: CoreId,
    stamp: Stamp,
    client: ClientKey,
    topic: Arc<TopicId>,
    direction: Direction,
}

/// The pages that a client waits for.
#[derive(Debug, Default)]
pub(super) struct Pages {
    asked: Vec<Asked>,
    come: VecDeque<(u64, HistoryPage)>,
}

/// A request to another core.
#[derive(Debug, Clone, Copy)]
struct Asked {
    home: CoreId,
    number: u64,
    id: u64,
}

impl Pages {
    /// How many are on their way, or wait to be sent.
    pub(super) fn len(&self) -> usize {
        self.asked.len() + self.come.len()
    }

    /// A home core has answered. Returns the `id` of the command, if the answer was waited for.
    fn answered(&mut self, home: CoreId, number: u64) -> Option<u64> {
        let is_it = |asked: &Asked| asked.home == home && asked.number == number;
        let place = self.asked.iter().position(is_it)?;
        Some(self.asked.remove(place).id)
    }

    /// No answer will come from this core. Returns the `id` of one command after the other.
    pub(super) fn given_up(&mut self, home: CoreId) -> Option<u64> {
        let place = self.asked.iter().position(|asked| asked.home == home)?;
        Some(self.asked.remove(place).id)
    }

    /// The page to be sent next.
    pub(super) fn first(&self) -> Option<&(u64, HistoryPage)> {
        self.come.front()
    }

    /// It was sent.
    pub(super) fn sent(&mut self) {
        self.come.pop_front();
    }
}

impl HistoryPage {
    /// The reply to `hist`.
    pub(super) fn reply(&self) -> Reply<'_> {
        let items = self.range.entries.iter();
        Reply::Page(native::Page {
            t: self.id.alias,
            epoch: Cow::Borrowed(&self.id.epoch),
            start: self.range.from,
            end: self.range.to,
            complete: self.complete,
            items: items.map(|publication| publication.words()).collect(),
        })
    }
}

impl MessagingHandler {
    /// `None`: the client is answered with a page.
    pub(super) fn history(
        &mut self,
        key: ClientKey,
        id: Option<u64>,
        history: &native::History<'_>,
        context: &mut Context<'_, Mail>,
    ) -> Option<Refused> {
        self.try_history(key, id, history, context).err()
    }

    fn try_history(
        &mut self,
        key: ClientKey,
        id: Option<u64>,
        history: &native::History<'_>,
        context: &mut Context<'_, Mail>,
    ) -> Result<(), Refused> {
        let id = id.ok_or_else(|| {
            let text = "hist: without an id there is no answer; give it one";
            refused(ErrorCode::BadRequest, text)
        })?;
        let topic: Box<str> = TopicName::parse(&history.topic)
            .map_err(|error| refused(ErrorCode::BadRequest, format!("hist.topic: {error}")))?
            .as_str()
            .into();
        let options = &self.shared.options;
        let wanted = PageWanted {
            from: match &history.from {
                None => PageFrom::End,
                Some(HistoryFrom::Place(place)) => PageFrom::Place {
                    epoch: (&*place.epoch).into(),
                    offset: place.offset,
                },
                Some(HistoryFrom::Since(time_ms)) => PageFrom::Since(*time_ms),
            },
            direction: match history.direction {
                native::Direction::Forward => Direction::Forward,
                native::Direction::Backward => Direction::Backward,
            },
            messages: history
                .limit
                .and_then(|limit| usize::try_from(limit).ok())
                .map_or(options.history_items, |limit| {
                    limit.clamp(1, options.history_items)
                }),
            bytes: options.history_page_bytes,
        };
        let client = self.clients.get_mut(key).ok_or_else(gone)?;
        let waits_for = client.talk.as_ref().map_or(0, |talk| talk.pages.len());
        if waits_for >= options.history_unanswered_max {
            return Err(ErrorReply {
                code: ErrorCode::RateLimited,
                text: format!(
                    "hist: a connection waits for at most {} pages at once",
                    options.history_unanswered_max
                )
                .into(),
                retry_ms: Some(0),
            });
        }
        let home = self.home_of(&topic);
        let client = self.clients.get_mut(key).ok_or_else(gone)?;
        let stamp = self.requests.sent(home, 0);
        let number = stamp.number;
        client.talk().pages.asked.push(Asked { home, number, id });
        let request = HistoryRequest {
            stamp,
            client: key,
            topic,
            wanted,
        };
        if home == self.core {
            self.answer_history(home, &request, context.effects());
        } else {
            let letter = Letter::History(Box::new(request));
            context.effects().mail(home, letter.into());
        }
        Ok(())
    }

    /// A client of a core wants a page.
    pub(super) fn answer_history(
        &mut self,
        from: CoreId,
        request: &HistoryRequest,
        effects: &mut Effects<Mail>,
    ) {
        self.reads += 1;
        let number = ReadNumber(self.reads);
        let wanted = (number, &request.wanted);
        let outcome = match self.home.page(effects.now(), &request.topic, wanted) {
            Ok(Paged::Now(page)) => Ok(page),
            Ok(Paged::Later(topic)) => {
                let unfinished = UnfinishedPage {
                    to: from,
                    stamp: request.stamp,
                    client: request.client,
                    topic,
                    direction: request.wanted.direction,
                };
                let unfinished = Unfinished::History(unfinished);
                self.await_read(number, unfinished, effects);
                return;
            }
            Err(error) => Err(error),
        };
        let reply = HistoryReply {
            stamp: request.stamp,
            client: request.client,
            outcome,
        };
        self.send_history(from, reply, effects);
    }

    /// Somebody waits for a read.
    pub(super) fn await_read(
        &mut self,
        number: ReadNumber,
        unfinished: Unfinished,
        effects: &mut Effects<Mail>,
    ) {
        self.unfinished.insert(number, unfinished);
        effects.set_alarm(READ_MS);
    }

    /// Sends on what the store has read meanwhile.
    pub(super) fn finish_reads(&mut self, effects: &mut Effects<Mail>) {
        while let Some((number, range)) = self.home.finished() {
            self.finish_read(number, range, effects);
        }
        if !self.unfinished.is_empty() {
            effects.set_alarm(READ_MS);
        }
    }

    fn finish_read(&mut self, number: ReadNumber, range: Range, effects: &mut Effects<Mail>) {
        let unfinished = match self.unfinished.remove(&number) {
            None => return,
            Some(Unfinished::History(unfinished)) => unfinished,
            Some(Unfinished::CatchUp { to, stamp, key }) => {
                let page = Some(Page::of(range));
                return self.send_page(to, PageReply { stamp, key, page }, effects);
            }
        };
        let page = HistoryPage::new(unfinished.topic, range, unfinished.direction);
        let reply = HistoryReply {
            stamp: unfinished.stamp,
            client: unfinished.client,
            outcome: Ok(page),
        };
        self.send_history(unfinished.to, reply, effects);
    }

    fn send_history(&mut self, to: CoreId, reply: HistoryReply, effects: &mut Effects<Mail>) {
        if to == self.core {
            self.history_came(to, reply, effects);
        } else {
            let letter = Letter::HistoryPage(Box::new(reply));
            effects.mail(to, letter.into());
        }
    }

    /// A home core has read a page, or not.
    pub(super) fn history_came(
        &mut self,
        by: CoreId,
        reply: HistoryReply,
        effects: &mut Effects<Mail>,
    ) {
        let Some(client) = self.clients.get_mut(reply.client) else {
            return;
        };
        let Some(talk) = &mut client.talk else {
            return;
        };
        let Some(id) = talk.pages.answered(by, reply.stamp.number) else {
            return;
        };
        match reply.outcome {
            Ok(page) => talk.pages.come.push_back((id, page)),
            Err(error) => {
                self.pen.counters.commands_refused.add(1);
                talk.replies.push_back((id, Reply::Error(no_page(error))));
            }
        }
        if let Some(conn) = client.conn {
            effects.ready(conn);
        }
    }
}

fn no_page(error: NoPage) -> Refused {
    match error {
        NoPage::TooManyTopics => too_many_topics(),
        NoPage::OtherEpoch(epoch) => refused(
            ErrorCode::BadPosition,
            format!("hist.from.epoch: the topic goes by another one now, {epoch:?}"),
        ),
        NoPage::Ahead { end } => refused(
            ErrorCode::BadPosition,
            format!("hist.from.offset: the topic has come to {end} only"),
        ),
    }
}

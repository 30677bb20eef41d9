//! What the server says, word by word.

use std::sync::Arc;

use corewire_protocol::native::{
    self, Cause, Closing, ErrorCode, ErrorReply, Push, Recovered, Reply, ServerWord, Subbed,
    SubbedTo, Welcome,
};

use crate::data::Data;

use super::Machine;
use super::event::{Message, Position, Unsubscribed};
use super::history::tags;
use super::link::{Awaited, Link, LinkId, Positions, Probe, Stage, broken};
use super::pace::Pace;
use super::publication::{Answer, PublishError};
use super::status::{Session, Status, Warning};
use super::stop::Loss;
use super::subscription::{StreamWord, Subscription, SubscriptionId};

/// Milliseconds until a subscription is asked for again, if the server does not say.
const AGAIN_MS: u64 = 1000;
/// Bytes of what a server calls an epoch: it is told them again.
const EPOCH_BYTES_MAX: usize = 256;
/// Bytes of a pattern's position.
const POS_BYTES_MAX: usize = 4096;
/// Bytes of a ticket that is kept.
const TICKET_BYTES_MAX: usize = 4096;

impl Machine {
    /// A whole WebSocket message has come over a connection.
    pub fn message(&mut self, id: LinkId, message: &[u8], now_ms: u64) {
        self.heard(id, now_ms);
        let Some((link, _, _)) = self.linked(id) else {
            return;
        };
        let dialect = link.dialect;
        for word in dialect.server_words(message) {
            let done = match word {
                Ok(ServerWord::Reply(command, reply)) => self.reply(id, command, reply, now_ms),
                Ok(ServerWord::Push(push)) => self.push(id, push, now_ms),
                Err(malformed) => Err(Loss::Broken(malformed.text.into_owned().into())),
            };
            if let Err(loss) = done {
                self.give_up(id, loss, now_ms);
                return;
            }
        }
        self.proceed(now_ms);
    }

    fn reply(
        &mut self,
        id: LinkId,
        command: u64,
        reply: Reply<'_>,
        now_ms: u64,
    ) -> Result<(), Loss> {
        let Some((link, _, _)) = self.linked(id) else {
            return Ok(());
        };
        if let Stage::Greeting { hello, .. } = link.stage
            && hello == command
        {
            return match reply {
                Reply::Welcome(welcome) => self.welcome(id, &welcome, now_ms),
                Reply::Error(error) => {
                    // The server closes behind it.
                    link.hints.reason = Some((&*error.text).into());
                    link.hints.retry_ms = error.retry_ms;
                    Ok(())
                }
                Reply::Ok(_)
                | Reply::Subbed(_)
                | Reply::Pubbed(_)
                | Reply::Page(_)
                | Reply::Members(_) => Err(broken("the answer to hello is no welcome")),
            };
        }
        if let Some((awaited, _)) = link.awaiting.remove(&command) {
            return self.answered(id, awaited, reply, now_ms);
        }
        let is_main = self.state.link().is_some_and(|link| link.id == id);
        let answer = match reply {
            Reply::Pubbed(pubbed) => Answer::Published(position(&pubbed.epoch, pubbed.offset)?),
            Reply::Error(error) if error.code == ErrorCode::Conflict && !is_main => {
                self.fenced = Some(id);
                Answer::Fenced
            }
            Reply::Error(error) if error.code == ErrorCode::Unavailable => Answer::Lost,
            Reply::Error(error) => Answer::Refused(PublishError::Refused {
                code: error.code,
                text: (&*error.text).into(),
                retry_ms: error.retry_ms,
            }),
            Reply::Welcome(_)
            | Reply::Ok(_)
            | Reply::Subbed(_)
            | Reply::Page(_)
            | Reply::Members(_) => {
                return Err(broken("a reply that fits no command"));
            }
        };
        if self.publishing == Some(id) {
            // One that is not known has had its time.
            self.publications.answered(command, answer);
        }
        Ok(())
    }

    fn answered(
        &mut self,
        id: LinkId,
        awaited: Awaited,
        reply: Reply<'_>,
        now_ms: u64,
    ) -> Result<(), Loss> {
        let Some((link, _, _)) = self.linked(id) else {
            return Ok(());
        };
        match (awaited, reply) {
            (Awaited::Subscribe(s), Reply::Subbed(subbed)) => self.subscribed(id, s, &subbed),
            (Awaited::Subscribe(s), Reply::Error(error)) => {
                self.not_subscribed(id, s, &error, now_ms);
                Ok(())
            }
            (Awaited::Unsubscribe(_), Reply::Ok(_) | Reply::Error(_)) => {
                link.left();
                Ok(())
            }
            (Awaited::Probe, Reply::Ok(_) | Reply::Error(_)) => {
                link.probe_answered(now_ms);
                Ok(())
            }
            (Awaited::History(asked), Reply::Page(page)) => {
                if page.epoch.len() > EPOCH_BYTES_MAX {
                    return Err(broken("it names an epoch of more than 256 bytes"));
                }
                self.histories.paged(asked, &page);
                Ok(())
            }
            (Awaited::History(asked), Reply::Error(error)) => {
                self.histories.refused(asked, &error);
                Ok(())
            }
            (Awaited::Members(set, number), Reply::Members(members)) => {
                self.states.page(id, (set, number), &members, now_ms)
            }
            (Awaited::Members(set, number), Reply::Error(error)) => {
                if self.states.refused(id, (set, number), &error, now_ms)
                    && let Some((topic, namespace)) = self.states.set_of(set)
                {
                    let warning = state_refused(topic, namespace, &error);
                    self.warn(warning);
                }
                Ok(())
            }
            (Awaited::State(..), Reply::Ok(_)) => Ok(()),
            (Awaited::State(topic, namespace), Reply::Error(error)) => {
                self.warn(state_refused(&topic, &namespace, &error));
                Ok(())
            }
            (Awaited::Auth, Reply::Ok(done)) => {
                let expires = done.expires_ms.map(|ms| now_ms.saturating_add(ms));
                self.token.taken(expires);
                Ok(())
            }
            (Awaited::Auth, Reply::Error(error)) => {
                self.warn(Warning {
                    code: error.code,
                    text: format!("the new token: {}", error.text).into(),
                });
                Ok(())
            }
            (_, _) => Err(broken("a reply that does not fit its command")),
        }
    }

    fn welcome(&mut self, id: LinkId, welcome: &Welcome<'_>, now_ms: u64) -> Result<(), Loss> {
        let ticket = welcome.ticket.as_deref();
        let ticket = ticket.filter(|ticket| ticket.len() <= TICKET_BYTES_MAX);
        self.ticket = ticket.map(Into::into);
        let session = self.publications.welcomed(welcome.resumed);
        let Some((link, _, _)) = self.linked(id) else {
            return Ok(());
        };
        link.stage = Stage::Ready;
        link.session = session;
        link.silence_ms = match welcome.ping_ms {
            0 => None,
            ping_ms => Some(ping_ms.saturating_add(welcome.slack_ms)),
        };
        link.limits = welcome.limits;
        link.pace = Pace::new(
            welcome.limits.publish_per_s,
            welcome.limits.publish_burst,
            now_ms,
        );
        let asked = std::mem::take(&mut link.hello_subscriptions);
        if asked.len() != welcome.subscribed.len() {
            return Err(broken("the welcome does not answer each subscription"));
        }
        // What was said behind the `hello` may have been answered before it.
        let taken: Vec<_> = link
            .said
            .iter()
            .filter_map(|(s, t)| Some((*s, (*t)?)))
            .collect();
        self.states.begin(id, now_ms);
        for (s, t) in taken {
            if let Some(subscription) = self.subscriptions.get(s) {
                let subscribe = &subscription.subscribe;
                self.states.granted(id, s, subscribe, t);
            }
        }
        self.ready_at_ms = Some(now_ms);
        self.status = Status::Connected(Session {
            conn: (&*welcome.conn).into(),
            node: (&*welcome.node).into(),
            user: (&*welcome.user).into(),
            resumed: welcome.resumed,
            message_bytes_max: welcome.limits.message_bytes,
        });
        let expires = welcome.expires_ms.map(|ms| now_ms.saturating_add(ms));
        self.token.taken(expires);
        for (s, answer) in asked.into_iter().zip(&welcome.subscribed) {
            match answer {
                Ok(subbed) => self.subscribed(id, s, subbed)?,
                Err(error) => self.not_subscribed(id, s, error, now_ms),
            }
        }
        Ok(())
    }

    fn subscribed(
        &mut self,
        id: LinkId,
        s: SubscriptionId,
        subbed: &Subbed<'_>,
    ) -> Result<(), Loss> {
        if let SubbedTo::Topic { t, .. } = &subbed.to
            && let Some(subscription) = self.subscriptions.get(s)
        {
            let subscribe = &subscription.subscribe;
            self.states.granted(id, s, subscribe, *t);
        }
        let Some((link, other, subscriptions)) = self.linked(id) else {
            return Ok(());
        };
        if subbed.s != s.0 {
            return Err(broken("subbed names another subscription"));
        }
        link.resuming.remove(&s);
        if !link.said.contains_key(&s) {
            return Ok(());
        }
        let Some(subscription) = subscriptions.get_mut(s) else {
            return Ok(()); // ended meanwhile; an unsub is on its way
        };
        match &subbed.to {
            SubbedTo::Topic { t, epoch, offset } => {
                let position = position(epoch, *offset)?;
                let topic = subscription.subscribe.subject.clone();
                subscription.topic_subscribed(&position, subbed.recovered);
                if subbed.recovered == Some(Recovered::No) {
                    link.lapsed.insert(s);
                }
                link.said.insert(s, Some(*t));
                link.topic(*t, &topic, &position, &[s], subscriptions, other)
            }
            SubbedTo::Pattern { pos } => {
                subscription.pattern_subscribed(position_text(pos)?, subbed.recovered);
                Ok(())
            }
        }
    }

    fn not_subscribed(
        &mut self,
        id: LinkId,
        s: SubscriptionId,
        error: &ErrorReply<'_>,
        now_ms: u64,
    ) {
        if let Some((link, _, _)) = self.linked(id) {
            link.said.remove(&s);
            if link.resuming.remove(&s) && error.code == ErrorCode::Unsupported {
                // Better from now on, with what is missing told, than not at all.
                link.positions = Positions::Unwanted;
                link.unsaid.push_back(s);
                return;
            }
        }
        let retry_ms = match error.retry_ms {
            Some(retry_ms) => Some(retry_ms),
            None if error.code.is_temporary() => Some(AGAIN_MS),
            None => None,
        };
        self.refused(s, error.code, &error.text, retry_ms, now_ms);
    }

    /// The server does not serve a subscription, at least for now.
    fn refused(
        &mut self,
        s: SubscriptionId,
        code: ErrorCode,
        text: &str,
        retry_ms: Option<u64>,
        now_ms: u64,
    ) {
        self.states.revoked(s);
        let Some(subscription) = self.subscriptions.get_mut(s) else {
            return;
        };
        match retry_ms {
            Some(retry_ms) => {
                let jitter_ms = self.dice.up_to(retry_ms / 2);
                let at_ms = now_ms.saturating_add(retry_ms).saturating_add(jitter_ms);
                if let Some(before) = subscription.again_at_ms.replace(at_ms) {
                    self.again.remove(&(before, s));
                }
                self.again.insert((at_ms, s));
                let subject = &subscription.subscribe.subject;
                let text = format!("{subject}: not yet: {} {text}", code.name()).into();
                self.warn(Warning { code, text });
            }
            None => {
                subscription.end(Unsubscribed::Refused {
                    code,
                    text: text.into(),
                });
                let topic = subscription.subscribe.subject.clone();
                self.left(&topic);
            }
        }
    }

    fn push(&mut self, id: LinkId, push: Push<'_>, now_ms: u64) -> Result<(), Loss> {
        match push {
            Push::Topic(topic) => {
                let name = (&*topic.topic).into();
                self.states.named(id, topic.t, &name);
                let Some((link, other, subscriptions)) = self.linked(id) else {
                    return Ok(());
                };
                let position = position(&topic.epoch, topic.offset)?;
                let routes = topic.s.iter().map(|s| SubscriptionId(*s));
                let routes = routes.filter(|s| link.said.contains_key(s));
                let routes: Vec<_> = routes.collect();
                link.topic(topic.t, &name, &position, &routes, subscriptions, other)
            }
            Push::Message(message) => self.published(id, message),
            Push::Untopic(untopic) => {
                if let Some((link, _, _)) = self.linked(id) {
                    link.untopic(untopic.t);
                }
                Ok(())
            }
            Push::Position(native::Position::Topic { t, offset }) => {
                self.word(id, t, &StreamWord::Position(offset))
            }
            Push::Position(native::Position::Pattern { s, pos }) => {
                self.pattern_moved(id, SubscriptionId(s), position_text(&pos)?);
                Ok(())
            }
            Push::Gap(gap) => self.word(id, gap.t, &gap.into()),
            Push::Conflated(conflated) => {
                let (count, up_to) = (conflated.n, conflated.up_to);
                self.word(id, conflated.t, &StreamWord::Conflated { count, up_to })
            }
            Push::Reset(native::Reset::Topic {
                t,
                epoch,
                offset,
                cause,
            }) => {
                let position = position(&epoch, offset)?;
                let cause = Cause::into(cause);
                self.word(id, t, &StreamWord::Reset { position, cause })
            }
            Push::Reset(native::Reset::Pattern { s, pos, cause }) => {
                let pos = position_text(&pos)?;
                if let Some(subscription) = self.heard_of(id, SubscriptionId(s)) {
                    subscription.pattern_reset(pos, cause.into());
                }
                Ok(())
            }
            Push::State(diff) => self.states.diff(id, &diff, now_ms),
            Push::Unsubbed(unsubbed) => {
                let s = SubscriptionId(unsubbed.s);
                if let Some((link, _, _)) = self.linked(id) {
                    link.said.remove(&s);
                    link.leave(s);
                }
                self.refused(s, unsubbed.code, "", unsubbed.retry_ms, now_ms);
                Ok(())
            }
            Push::TokenExpiring(_) => {
                // An elder connection does not live as long.
                if self.state.link().is_some_and(|link| link.id == id) {
                    self.renew_token();
                }
                Ok(())
            }
            Push::GoAway(away) => {
                if self.state.link().is_some_and(|link| link.id == id) {
                    let url = away.url.map(|url| Arc::from(&*url));
                    self.go_away(away.spread_ms, url.as_ref(), now_ms);
                }
                Ok(())
            }
            Push::Ping(ping) => {
                if let Some((link, _, _)) = self.linked(id) {
                    link.pong = Some(ping.t);
                }
                Ok(())
            }
            Push::Warn(warn) => {
                let text = match warn.command {
                    Some(command) => format!("{command}: {}", warn.text).into(),
                    None => Arc::from(&*warn.text),
                };
                let code = warn.code;
                self.warn(Warning { code, text });
                Ok(())
            }
            Push::Closing(closing) => {
                if let Some((link, _, _)) = self.linked(id) {
                    note_closing(link, &closing);
                }
                Ok(())
            }
        }
    }

    fn published(&mut self, id: LinkId, said: native::Message<'_>) -> Result<(), Loss> {
        let Some((link, _, _)) = self.linked(id) else {
            return Ok(());
        };
        let publisher = link.publisher(&said.publisher);
        let (topic, epoch) = link.names(said.t)?;
        let message = Message {
            topic: topic.clone(),
            position: Position {
                epoch: epoch.clone(),
                offset: said.offset,
            },
            data: Data::read(said.data),
            key: said.key.map(|key| Arc::from(&*key)),
            tags: tags(&said.tags),
            publisher,
            time_ms: said.time_ms,
        };
        self.word(id, said.t, &StreamWord::Message(Arc::new(message)))
    }

    fn word(&mut self, id: LinkId, t: u64, word: &StreamWord) -> Result<(), Loss> {
        let Some((link, other, subscriptions)) = self.linked(id) else {
            return Ok(());
        };
        link.word(t, word, subscriptions, other)
    }

    /// All up to this position of a pattern has come over this connection.
    fn pattern_moved(&mut self, id: LinkId, s: SubscriptionId, pos: &str) {
        // What an elder connection has brought so far is less than what the next one has.
        let main = self.state.link().filter(|link| link.is_ready());
        if main.is_none_or(|main| main.id == id)
            && let Some(subscription) = self.heard_of(id, s)
        {
            subscription.pattern_moved(pos);
        }
    }

    /// A subscription that was said over this connection.
    fn heard_of(&mut self, id: LinkId, s: SubscriptionId) -> Option<&mut Subscription> {
        let (link, _, subscriptions) = self.linked(id)?;
        if !link.said.contains_key(&s) {
            return None;
        }
        subscriptions.get_mut(s)
    }
}

/// A position as the server tells it.
fn position(epoch: &str, offset: u64) -> Result<Position, Loss> {
    if epoch.len() > EPOCH_BYTES_MAX {
        return Err(broken("it names an epoch of more than 256 bytes"));
    }
    Ok(Position {
        epoch: epoch.into(),
        offset,
    })
}

/// A pattern's position as the server tells it.
fn position_text(pos: &str) -> Result<&str, Loss> {
    if pos.len() > POS_BYTES_MAX {
        return Err(broken("it tells a position of more than 4096 bytes"));
    }
    Ok(pos)
}

fn note_closing(link: &mut Link, closing: &Closing<'_>) {
    link.hints.code = Some(closing.code);
    // What was refused before says more.
    let reason = || (&*closing.reason).into();
    link.hints.reason.get_or_insert_with(reason);
    link.hints.retry_ms = closing.retry_ms.or(link.hints.retry_ms);
    link.hints.spread_ms = closing.spread_ms;
    link.hints.url = closing.url.as_ref().map(|url| Arc::from(&**url));
    // It is not asked any more.
    link.probe = Probe::None;
}

/// The server has refused a command for this state.
fn state_refused(topic: &str, namespace: &str, error: &ErrorReply<'_>) -> Warning {
    Warning {
        code: error.code,
        text: format!("{namespace} of {topic}: {}", error.text).into(),
    }
}

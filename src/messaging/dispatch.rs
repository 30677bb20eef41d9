//! What becomes of a client's commands. The one place that looks at which command it is.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;

use corewire_protocol::CloseCode;
use corewire_protocol::native::{
    Bye as Leave, Command, Credit, CreditScope, Data, Done, ErrorCode, ErrorReply, Extent,
    Malformed, Publish, Reply, Request, Start, Subject, Subscribe, Target, TopicName,
};

use crate::engine::{Context, Effects};

use super::bye::Bye;
use super::client::{ClientKey, Stage};
use super::delivery::{DeliveryCredit, InForce};
use super::handler::{MessagingHandler, pubbed, warn};
use super::hub::Outgoing;
use super::mail::{Letter, Mail, PublishRequest};
use super::patterns::Asked;
use super::place;
use super::publication::{Draft, Rare};
use super::refusal::{gone, not_published, refused};
use super::subscriptions::Subscribed;
use super::topic::{Answer, Wanted};

/// Bytes that a message may gain on its way to a subscriber, beside its data.
const ENVELOPE_BYTES: u64 = 2048;

const NOT_OF_A_TOPIC: &str = "sub.from: pos and seen are the position of a pattern; give epoch and \
                              offset for a topic, or last, or since_ms";
const NOT_OF_A_PATTERN: &str = "sub.from: epoch and offset are the position of a topic; give pos and \
                                seen for a pattern, or last, or since_ms";

/// Whether the client stays.
pub(super) enum Next {
    Command,
    /// It is not done yet: other cores are to answer first. See [`batch`](super::batch).
    Wait,
    Bye(Bye),
    /// It has closed the connection.
    Left,
}

/// A command that was refused.
pub(super) type Refused = ErrorReply<'static>;

impl MessagingHandler {
    /// A command cannot be read.
    pub(super) fn malformed(
        &mut self,
        key: ClientKey,
        malformed: Malformed,
        context: &mut Context<'_, Mail>,
    ) -> Next {
        let greeting = match self.clients.get(key).map(|client| &client.stage) {
            Some(Stage::Welcoming(_)) => return Next::Wait,
            Some(Stage::Greeting) => true,
            Some(Stage::Ready(_)) | None => false,
        };
        self.counters().commands_refused.add(1);
        let error = ErrorReply {
            code: malformed.code,
            text: malformed.text,
            retry_ms: None,
        };
        self.answer(key, (malformed.id, "?"), Err(error), context);
        match malformed.extent {
            Extent::Message => Next::Bye(Bye::Unreadable),
            Extent::Command if greeting => Next::Bye(Bye::NotHello),
            Extent::Command => Next::Command,
        }
    }

    /// Does one command.
    pub(super) fn command(
        &mut self,
        key: ClientKey,
        request: Request<'_>,
        context: &mut Context<'_, Mail>,
    ) -> Next {
        let Some(client) = self.clients.get(key) else {
            return Next::Left;
        };
        let id = request.id;
        match (&client.stage, request.command) {
            (Stage::Greeting, Command::Hello(hello)) => {
                return self.hello(key, id, &hello, context);
            }
            (Stage::Greeting, _) => return Next::Bye(Bye::NotHello),
            (Stage::Welcoming(_), _) => return Next::Wait,
            (Stage::Ready(_), command) => match command {
                Command::Hello(_) => {
                    let error = refused(ErrorCode::Already, "hello: it was said already");
                    self.answer(key, (id, "hello"), Err(error), context);
                }
                Command::Auth(auth) => {
                    let result = self.auth(key, &auth, context);
                    self.answer(key, (id, "auth"), result, context);
                }
                Command::Subscribe(subscribe) => {
                    let answer = Answer::Reply(id);
                    if let Some(result) = self.subscribe(key, &subscribe, answer) {
                        self.answer(key, (id, "sub"), result, context);
                    } else if let Some(client) = self.clients.get_mut(key) {
                        client.talk().subscribing += 1;
                    }
                }
                Command::Unsubscribe(unsubscribe) => {
                    let result = self.unsubscribe(key, unsubscribe.s, context.effects());
                    self.answer(key, (id, "unsub"), result, context);
                }
                // Home cores may have granted a pattern that is not in force here yet.
                Command::Publish(_) if client.awaits_answers() => return Next::Wait,
                Command::Publish(publish) => {
                    if let Some(result) = self.publish_command(key, id, publish, context) {
                        self.answer(key, (id, "pub"), result, context);
                    }
                }
                Command::History(history) => {
                    if let Some(error) = self.history(key, id, &history, context) {
                        self.answer(key, (id, "hist"), Err(error), context);
                    }
                }
                Command::State(command) => {
                    let effects = context.effects();
                    if let Some(result) = self.state_command(key, id, command, effects) {
                        self.answer(key, (id, "state"), result, context);
                    }
                }
                Command::Credit(credit) => {
                    let result = self.credit(key, credit);
                    context.ready();
                    self.answer(key, (id, "credit"), result, context);
                }
                // That it came at all is the answer.
                Command::Pong(_) => self.answer(key, (id, "pong"), Ok(done()), context),
                Command::Bye(Leave { .. }) => {
                    self.state_leaves(key, context.effects());
                    self.answer(key, (id, "bye"), Ok(done()), context);
                    context.close(CloseCode::NORMAL, "bye");
                    return Next::Left;
                }
            },
        }
        Next::Command
    }

    /// Tells the client what became of a command.
    pub(super) fn answer(
        &mut self,
        key: ClientKey,
        (id, command): (Option<u64>, &'static str),
        result: Result<Reply<'static>, Refused>,
        context: &mut Context<'_, Mail>,
    ) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if result.is_err() {
            self.pen.counters.commands_refused.add(1);
        }
        match (id, result) {
            (Some(id), result) => {
                let reply = result.unwrap_or_else(Reply::Error);
                // What came from other cores was true before: an `unsub` must not seem to come
                // before the `sub` that it ends. A connection that is closing needs no answer.
                if let Some(talk) = &mut client.talk {
                    for (id, reply) in talk.replies.drain(..) {
                        let _ = self.pen.reply(client.dialect, (id, &reply), context);
                    }
                }
                let _ = self.pen.reply(client.dialect, (id, &reply), context);
            }
            (None, Ok(_)) => {}
            (None, Err(error)) => {
                client.talk().notice(warn(command, error));
                context.ready();
            }
        }
    }

    // ── Subscriptions ──

    /// `None`: the client is answered when other cores have answered.
    pub(super) fn subscribe(
        &mut self,
        key: ClientKey,
        subscribe: &Subscribe<'_>,
        answer: Answer,
    ) -> Option<Result<Reply<'static>, Refused>> {
        match self.try_subscribe(key, subscribe, answer) {
            Ok(None) => None,
            Ok(Some(reply)) => Some(Ok(reply)),
            Err(error) => Some(Err(error)),
        }
    }

    fn try_subscribe(
        &mut self,
        key: ClientKey,
        subscribe: &Subscribe<'_>,
        answer: Answer,
    ) -> Result<Option<Reply<'static>>, Refused> {
        let options = &self.shared.options;
        let client = self.clients.get(key).ok_or_else(gone)?;
        if client.subscriptions.get(subscribe.s).is_some() {
            let text = format!("sub.s: there is a subscription {} already", subscribe.s);
            return Err(refused(ErrorCode::Already, text));
        }
        if client.subscriptions.len() >= options.subscriptions_max {
            let text = format!(
                "a connection has at most {} subscriptions; use a pattern, or another connection",
                options.subscriptions_max
            );
            return Err(refused(ErrorCode::Limit, text));
        }
        let subject = Subject::parse(&subscribe.topic)
            .map_err(|error| refused(ErrorCode::BadRequest, format!("sub.topic: {error}")))?;
        let policy = subscribe
            .policy
            .map(|policy| InForce::of(Some(policy), options.backlog_bytes));
        self.state_may_begin(key, subscribe)?;
        let mut wanted = Wanted {
            s: subscribe.s,
            policy,
            credit: subscribe.credit,
        };
        let subbed = match subject {
            Subject::Topic(name) => {
                if matches!(subscribe.from, Start::Pattern(_)) {
                    return Err(refused(ErrorCode::BadRequest, NOT_OF_A_TOPIC));
                }
                let topic = (name.as_str(), place::of_topic(&subscribe.from));
                let asked = (wanted, answer);
                let result = self.hub.subscribe(&mut self.clients, key, topic, asked);
                result.transpose()?
            }
            Subject::Pattern(pattern) => {
                self.check_policy(key, pattern.as_str(), policy)?;
                let default = InForce::of(None, self.shared.options.backlog_bytes);
                wanted.policy = Some(policy.unwrap_or(default));
                let asked = (wanted, answer);
                match &subscribe.from {
                    Start::Now => {}
                    Start::After(_) => {
                        return Err(refused(ErrorCode::BadRequest, NOT_OF_A_PATTERN));
                    }
                    from @ (Start::Last(_) | Start::Since(_) | Start::Pattern(_)) => {
                        let pattern = (pattern.as_str(), from);
                        self.hub.begin_walk(&mut self.clients, key, pattern, asked);
                        return Ok(None);
                    }
                }
                let patterns = &mut self.hub.patterns;
                match patterns.subscribe(&mut self.clients, key, &pattern, asked, self.cores) {
                    Asked::Subscribed(subbed) => Some(subbed),
                    Asked::Waits => None,
                    Asked::Ask => {
                        let pattern = pattern.as_str().into();
                        self.hub
                            .outgoing
                            .push_back(Outgoing::PatternInterest(pattern, None));
                        None
                    }
                }
            }
        };
        self.state_begins(key, subscribe);
        Ok(subbed.map(Reply::Subbed))
    }

    /// A topic has one delivery to a client, and that has one policy: what two patterns want with
    /// different ones cannot be had.
    fn check_policy(
        &mut self,
        key: ClientKey,
        pattern: &str,
        policy: Option<InForce>,
    ) -> Result<(), Refused> {
        let client = self.clients.get(key).ok_or_else(gone)?;
        let Some(policy) = policy.filter(|_| client.subscriptions.patterns() > 0) else {
            return Ok(());
        };
        let others = client.subscriptions.iter().filter_map(|one| match one.to {
            Subscribed::Pattern { key, policy } => Some((one.s, key, policy)),
            Subscribed::Topic(_) => None,
        });
        let at_odds = self.hub.patterns.at_odds(others, pattern, policy);
        self.hub.walked(client.subscriptions.len());
        match at_odds {
            None => Ok(()),
            Some(s) => {
                let text = format!(
                    "sub.policy: subscription {s} of this connection has topics in common with \
                     this pattern, and another policy; leave policy out to share what is in force \
                     there"
                );
                Err(refused(ErrorCode::Already, text))
            }
        }
    }

    fn unsubscribe(
        &mut self,
        key: ClientKey,
        s: u64,
        effects: &mut Effects<Mail>,
    ) -> Result<Reply<'static>, Refused> {
        let client = self.clients.get_mut(key).ok_or_else(gone)?;
        let Some(subscription) = client.subscriptions.remove(s) else {
            let text = format!("unsub.s: there is no subscription {s}");
            return Err(refused(ErrorCode::BadRequest, text));
        };
        self.state_ends(key, s);
        let waited = self.hub.stop_waiting(key, subscription);
        self.tell_clients(waited.into_iter().collect(), effects);
        match subscription.to {
            Subscribed::Topic(topic) => {
                self.hub.unsubscribe(&mut self.clients, key, topic, s);
            }
            Subscribed::Pattern { key: pattern, .. } => {
                self.hub
                    .unsubscribe_pattern(&mut self.clients, key, pattern, s);
            }
        }
        // Others may have waited for what it was to be told first.
        if let Some(conn) = self.clients.get(key).and_then(|client| client.conn) {
            effects.ready(conn);
        }
        Ok(done())
    }

    fn credit(&mut self, key: ClientKey, credit: Credit) -> Result<Reply<'static>, Refused> {
        let client = self.clients.get_mut(key).ok_or_else(gone)?;
        let raise = |of: &mut DeliveryCredit| of.raise(credit.messages, credit.bytes);
        match credit.scope {
            CreditScope::Connection => {
                let of_client = client
                    .credit
                    .get_or_insert_with(|| Box::new(DeliveryCredit::UNLIMITED));
                raise(of_client);
            }
            CreditScope::Topic(alias) => {
                let delivery = self
                    .hub
                    .topic_of(key, alias)
                    .and_then(|topic| self.hub.delivery_of(key, topic))
                    .ok_or_else(|| unknown_alias(alias))?;
                if let Some(delivery) = self.hub.deliveries.get_mut(delivery) {
                    raise(delivery.credit_mut());
                }
                self.hub.unstall(&mut self.clients, delivery);
            }
            CreditScope::Subscription(s) => {
                let Some(subscription) = client.subscriptions.get(s) else {
                    let text = format!("credit.s: there is no subscription {s}");
                    return Err(refused(ErrorCode::BadRequest, text));
                };
                for delivery in self.hub.deliveries_of(&self.clients, key, subscription) {
                    if let Some(delivery) = self.hub.deliveries.get_mut(delivery) {
                        raise(delivery.credit_mut());
                    }
                    self.hub.unstall(&mut self.clients, delivery);
                }
            }
        }
        Ok(done())
    }

    // ── Publications ──

    /// `None`: the client is answered when the topic's home core has answered.
    fn publish_command(
        &mut self,
        key: ClientKey,
        id: Option<u64>,
        publish: Publish<'_>,
        context: &mut Context<'_, Mail>,
    ) -> Option<Result<Reply<'static>, Refused>> {
        match self.try_publish(key, id, publish, context) {
            Ok(None) => None,
            Ok(Some(reply)) => Some(Ok(reply)),
            Err(error) => Some(Err(error)),
        }
    }

    fn try_publish(
        &mut self,
        key: ClientKey,
        id: Option<u64>,
        publish: Publish<'_>,
        context: &mut Context<'_, Mail>,
    ) -> Result<Option<Reply<'static>>, Refused> {
        let options = &self.shared.options;
        let topic: Box<str> = match &publish.target {
            Target::Topic(name) => TopicName::parse(name)
                .map_err(|error| refused(ErrorCode::BadRequest, format!("pub.topic: {error}")))?
                .as_str()
                .into(),
            Target::Alias(alias) => {
                let known = self.hub.topic_of(key, *alias);
                let topic = known.and_then(|topic| self.hub.topics.get(topic));
                let topic = topic.ok_or_else(|| unknown_alias(*alias))?;
                topic.called.name().into()
            }
        };
        let limit = self
            .shared
            .limits
            .message_bytes
            .saturating_sub(ENVELOPE_BYTES);
        let beside: u64 = publish
            .tags
            .iter()
            .flat_map(|(name, value)| [name, value])
            .chain(&publish.key)
            .map(|text| text_bytes(text))
            .sum();
        if carried_bytes(&publish.data).saturating_add(beside) > limit {
            let text = format!(
                "pub.data: {} bytes; at most {limit} fit into a message, as JSON or as base64, with \
                 its key and tags",
                publish.data.len()
            );
            return Err(refused(ErrorCode::TooLarge, text));
        }
        let client = self.clients.get_mut(key).ok_or_else(gone)?;
        let moment = (context.now(), options);
        let publisher = client.publisher(&self.shared.node, moment);
        let publisher = publisher.ok_or_else(gone)?;
        publisher
            .bucket
            .take(context.now(), options)
            .map_err(|retry_ms| ErrorReply {
                code: ErrorCode::RateLimited,
                text: format!(
                    "a connection publishes {} messages a second, and {} at once",
                    options.publish_per_s, options.publish_burst
                )
                .into(),
                retry_ms: Some(retry_ms),
            })?;
        let draft = Draft {
            data: publish.data.into_owned(),
            key: publish.key.map(|key| key.into_owned().into()),
            pseq: publish.pseq,
            author: Arc::clone(&publisher.author),
            echo: publish.echo,
            ttl_ms: publish.ttl_ms.and_then(lifetime),
            rare: rare(publish.idem, publish.tags),
        };
        let home = self.home_of(&topic);
        if home == self.core {
            let outcome = self.publish(&topic, draft, context.effects());
            return match (id, outcome) {
                (None, Err(error)) => Err(not_published(error)),
                (_, outcome) => Ok(Some(pubbed(outcome))),
            };
        }
        let bytes = draft.data.len();
        let client = self.clients.get_mut(key).ok_or_else(gone)?;
        let stamp = self.requests.sent(home, bytes);
        let request = (home, stamp.number);
        client.talk().unanswered.sent(request, id, bytes);
        let request = PublishRequest {
            stamp,
            client: key,
            topic,
            draft,
        };
        context
            .effects()
            .mail(home, Letter::Publish(Box::new(request)).into());
        Ok(None)
    }
}

/// Bytes of the data in the dialect that needs more of them, JSON.
fn carried_bytes(data: &Data<'_>) -> u64 {
    let bytes = match data {
        Data::Json(text) => text.len(),
        Data::Text(text) => return text_bytes(text),
        Data::Bytes(bytes) => bytes.len().div_ceil(3) * 4,
    };
    bytes as u64
}

/// Bytes of a text in JSON, without its quotes.
fn text_bytes(text: &str) -> u64 {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' => 2,
            0..0x20 => 6,
            _ => 1,
        })
        .sum()
}

/// The longest time is 24 days: ticks do not compare beyond it, and no history is as long.
fn lifetime(ttl_ms: u64) -> Option<NonZeroU32> {
    let ttl_ms = ttl_ms.min(u64::from(u32::MAX / 2));
    NonZeroU32::new(u32::try_from(ttl_ms).ok()?)
}

/// What few messages have, if this one has any of it.
fn rare(idem: Option<Cow<'_, str>>, tags: Vec<(Cow<'_, str>, Cow<'_, str>)>) -> Option<Box<Rare>> {
    let boxed = |text: Cow<'_, str>| text.into_owned().into_boxed_str();
    (idem.is_some() || !tags.is_empty()).then(|| {
        Box::new(Rare {
            idem: idem.map(boxed),
            tags: tags
                .into_iter()
                .map(|(name, value)| (boxed(name), boxed(value)))
                .collect(),
        })
    })
}

const fn done() -> Reply<'static> {
    Reply::Ok(Done { expires_ms: None })
}

fn unknown_alias(alias: u64) -> Refused {
    let text = format!("t: this connection is not sent a topic with the alias {alias}");
    refused(ErrorCode::UnknownTopic, text)
}

//! The words, written.

use super::super::command::{Command, Credit, CreditScope, Echo, Level, Policy, Publish, Request};
use super::super::command::{Hello, Start, Subscribe, Target};
use super::super::names::Named;
use super::super::push::{Closing, Gap, Message, Position, Push, Reset, TopicAlias};
use super::super::reply::{ErrorReply, Limits, Reply, Subbed, SubbedTo, Welcome};
use super::op;
use super::writer::Writer;

pub(in super::super) fn write_request(request: &Request<'_>, out: &mut Vec<u8>) {
    let op = match request.command {
        Command::Hello(_) => op::HELLO,
        Command::Auth(_) => op::AUTH,
        Command::Subscribe(_) => op::SUB,
        Command::Unsubscribe(_) => op::UNSUB,
        Command::Publish(_) => op::PUB,
        Command::Credit(_) => op::CREDIT,
        Command::Pong(_) => op::PONG,
        Command::Bye(_) => op::BYE,
    };
    Writer::record(out, op, |to| {
        to.integer(request.id.unwrap_or(0));
        match &request.command {
            Command::Hello(hello) => write_hello(hello, to),
            Command::Auth(auth) => {
                to.bits(&[]);
                to.text(&auth.token);
            }
            Command::Subscribe(subscribe) => write_subscribe(subscribe, to),
            Command::Unsubscribe(unsubscribe) => write_integers(&[unsubscribe.s], to),
            Command::Publish(publish) => write_publish(publish, to),
            Command::Credit(credit) => write_credit(*credit, to),
            Command::Pong(pong) => {
                to.bits(&[pong.t.is_some()]);
                to.optional_integer(pong.t);
            }
            Command::Bye(bye) => {
                to.bits(&[bye.reason.is_some()]);
                to.optional_text(bye.reason.as_deref());
            }
        }
    });
}

fn write_hello(hello: &Hello<'_>, to: &mut Writer<'_>) {
    let has_subscriptions = !hello.subscribe.is_empty();
    to.bits(&[
        hello.token.is_some(),
        hello.user.is_some(),
        has_subscriptions,
    ]);
    to.integer(hello.version);
    to.optional_text(hello.token.as_deref());
    to.optional_text(hello.user.as_deref());
    if has_subscriptions {
        to.list(&hello.subscribe, |subscribe, to| {
            to.part(|to| write_subscribe(subscribe, to));
        });
    }
}

fn write_subscribe(subscribe: &Subscribe<'_>, to: &mut Writer<'_>) {
    to.bits(&[subscribe.policy.is_some(), subscribe.credit.is_some()]);
    to.integer(subscribe.s);
    to.text(&subscribe.topic);
    match subscribe.from {
        Start::Now => {}
    }
    if let Some(policy) = subscribe.policy {
        to.part(|to| write_policy(policy, to));
    }
    to.optional_integer(subscribe.credit);
}

fn write_policy(policy: Policy, to: &mut Writer<'_>) {
    to.bits(&[policy.max_bytes.is_some(), policy.max_messages.is_some()]);
    to.integer(policy.mode.number());
    to.optional_integer(policy.max_bytes);
    to.optional_integer(policy.max_messages);
}

fn write_publish(publish: &Publish<'_>, to: &mut Writer<'_>) {
    let (topic, t) = match &publish.target {
        Target::Topic(topic) => (Some(&**topic), None),
        Target::Alias(t) => (None, Some(*t)),
    };
    let level = Some(publish.level).filter(|&level| level != Level::default());
    to.bits(&[
        topic.is_some(),
        t.is_some(),
        publish.pseq.is_some(),
        publish.key.is_some(),
        level.is_some(),
        publish.echo == Echo::No,
    ]);
    to.data(&publish.data);
    to.optional_text(topic);
    to.optional_integer(t);
    to.optional_integer(publish.pseq);
    to.optional_text(publish.key.as_deref());
    to.optional_integer(level.map(Named::number));
}

fn write_credit(credit: Credit, to: &mut Writer<'_>) {
    let (t, s) = match credit.scope {
        CreditScope::Connection => (None, None),
        CreditScope::Topic(t) => (Some(t), None),
        CreditScope::Subscription(s) => (None, Some(s)),
    };
    let fields = [t, s, credit.messages, credit.bytes];
    to.bits(&fields.map(|field| field.is_some()));
    for field in fields {
        to.optional_integer(field);
    }
}

pub(in super::super) fn write_reply(id: u64, reply: &Reply<'_>, out: &mut Vec<u8>) {
    let op = match reply {
        Reply::Welcome(_) => op::WELCOME,
        Reply::Ok(_) => op::OK,
        Reply::Subbed(_) => op::SUBBED,
        Reply::Pubbed(_) => op::PUBBED,
        Reply::Error(_) => op::ERR,
    };
    Writer::record(out, op, |to| {
        to.integer(id);
        match reply {
            Reply::Welcome(welcome) => write_welcome(welcome, to),
            Reply::Ok(done) => {
                to.bits(&[done.expires_ms.is_some()]);
                to.optional_integer(done.expires_ms);
            }
            Reply::Subbed(subbed) => write_subbed(subbed, to),
            Reply::Pubbed(pubbed) => {
                to.bits(&[]);
                to.text(&pubbed.epoch);
                to.integer(pubbed.offset);
                to.integer(pubbed.level.number());
            }
            Reply::Error(error) => write_error(error, to),
        }
    });
}

fn write_welcome(welcome: &Welcome<'_>, to: &mut Writer<'_>) {
    to.bits(&[welcome.expires_ms.is_some()]);
    to.text(&welcome.conn);
    to.text(&welcome.node);
    to.text(&welcome.user);
    to.integer(welcome.ping_ms);
    to.integer(welcome.slack_ms);
    to.integer(welcome.time_ms);
    to.part(|to| write_limits(&welcome.limits, to));
    to.list(&welcome.subscribed, |answer, to| {
        to.part(|to| {
            to.bits(&[answer.is_ok(), answer.is_err()]);
            to.part(|to| match answer {
                Ok(subbed) => write_subbed(subbed, to),
                Err(error) => write_error(error, to),
            });
        });
    });
    to.optional_integer(welcome.expires_ms);
}

fn write_limits(limits: &Limits, to: &mut Writer<'_>) {
    to.bits(&[]);
    to.integer(limits.message_bytes);
    to.integer(limits.topic_bytes);
    to.integer(limits.topic_levels);
    to.integer(limits.subscriptions);
    to.integer(limits.backlog_bytes);
    to.integer(limits.publish_per_s);
    to.integer(limits.publish_burst);
    to.integer(limits.unanswered);
}

fn write_subbed(subbed: &Subbed<'_>, to: &mut Writer<'_>) {
    let (topic, pos) = match &subbed.to {
        SubbedTo::Topic { t, epoch, offset } => (Some((*t, epoch, *offset)), None),
        SubbedTo::Pattern { pos } => (None, Some(&**pos)),
    };
    to.bits(&[
        topic.is_some(),
        topic.is_some(),
        topic.is_some(),
        pos.is_some(),
    ]);
    to.integer(subbed.s);
    to.part(|to| write_policy(subbed.policy, to));
    if let Some((t, epoch, offset)) = topic {
        to.integer(t);
        to.text(epoch);
        to.integer(offset);
    }
    to.optional_text(pos);
}

fn write_error(error: &ErrorReply<'_>, to: &mut Writer<'_>) {
    to.bits(&[error.retry_ms.is_some()]);
    to.integer(u64::from(error.code.number()));
    to.text(&error.text);
    to.optional_integer(error.retry_ms);
}

pub(in super::super) fn write_push(push: &Push<'_>, out: &mut Vec<u8>) {
    let op = match push {
        Push::Topic(_) => op::TOPIC,
        Push::Message(_) => op::MSG,
        Push::Untopic(_) => op::UNTOPIC,
        Push::Position(_) => op::POS,
        Push::Gap(_) => op::GAP,
        Push::Conflated(_) => op::CONFLATED,
        Push::Reset(_) => op::RESET,
        Push::Unsubbed(_) => op::UNSUBBED,
        Push::TokenExpiring(_) => op::TOKEN_EXPIRING,
        Push::GoAway(_) => op::GOAWAY,
        Push::Ping(_) => op::PING,
        Push::Warn(_) => op::WARN,
        Push::Closing(_) => op::CLOSING,
    };
    Writer::record(out, op, |to| match push {
        Push::Topic(topic) => write_topic(topic, to),
        Push::Message(message) => write_message(message, to),
        Push::Untopic(untopic) => write_integers(&[untopic.t], to),
        Push::Position(position) => write_position(position, to),
        Push::Gap(gap) => write_gap(gap, to),
        Push::Conflated(conflated) => {
            write_integers(&[conflated.t, conflated.n, conflated.up_to], to);
        }
        Push::Reset(reset) => write_reset(reset, to),
        Push::Unsubbed(unsubbed) => {
            to.bits(&[unsubbed.retry_ms.is_some()]);
            to.integer(unsubbed.s);
            to.integer(u64::from(unsubbed.code.number()));
            to.optional_integer(unsubbed.retry_ms);
        }
        Push::TokenExpiring(expiring) => write_integers(&[expiring.in_ms], to),
        Push::GoAway(away) => {
            to.bits(&[away.url.is_some()]);
            to.integer(away.deadline_ms);
            to.integer(away.spread_ms);
            to.optional_text(away.url.as_deref());
        }
        Push::Ping(ping) => write_integers(&[ping.t], to),
        Push::Warn(warn) => {
            to.bits(&[warn.command.is_some()]);
            to.integer(u64::from(warn.code.number()));
            to.text(&warn.text);
            to.optional_text(warn.command.as_deref());
        }
        Push::Closing(closing) => write_closing(closing, to),
    });
}

/// A word of integers that must be there.
fn write_integers(integers: &[u64], to: &mut Writer<'_>) {
    to.bits(&[]);
    for &integer in integers {
        to.integer(integer);
    }
}

fn write_topic(topic: &TopicAlias<'_>, to: &mut Writer<'_>) {
    to.bits(&[]);
    to.integer(topic.t);
    to.text(&topic.topic);
    to.list(&topic.s, |&s, to| to.integer(s));
    to.text(&topic.epoch);
    to.integer(topic.offset);
}

fn write_message(message: &Message<'_>, to: &mut Writer<'_>) {
    let publisher = &message.publisher;
    to.bits(&[message.key.is_some(), publisher.pseq.is_some()]);
    to.integer(message.t);
    to.integer(message.offset);
    to.integer(message.time_ms);
    to.text(&publisher.user);
    to.text(&publisher.conn);
    to.data(&message.data);
    to.optional_text(message.key.as_deref());
    to.optional_integer(publisher.pseq);
}

fn write_position(position: &Position<'_>, to: &mut Writer<'_>) {
    match position {
        Position::Topic { t, offset } => {
            to.bits(&[true, true, false, false]);
            to.integer(*t);
            to.integer(*offset);
        }
        Position::Pattern { s, pos } => {
            to.bits(&[false, false, true, true]);
            to.integer(*s);
            to.text(pos);
        }
    }
}

fn write_gap(gap: &Gap, to: &mut Writer<'_>) {
    let (cause, repair) = (gap.cause.number(), gap.repair.number());
    write_integers(&[gap.t, gap.from, gap.to, cause, repair], to);
}

fn write_reset(reset: &Reset<'_>, to: &mut Writer<'_>) {
    to.bits(&[]);
    to.integer(reset.t);
    to.text(&reset.epoch);
    to.integer(reset.offset);
    to.integer(reset.cause.number());
}

fn write_closing(closing: &Closing<'_>, to: &mut Writer<'_>) {
    to.bits(&[
        closing.retry_ms.is_some(),
        closing.spread_ms.is_some(),
        closing.url.is_some(),
    ]);
    to.integer(u64::from(closing.code));
    to.text(&closing.reason);
    to.optional_integer(closing.retry_ms);
    to.optional_integer(closing.spread_ms);
    to.optional_text(closing.url.as_deref());
}

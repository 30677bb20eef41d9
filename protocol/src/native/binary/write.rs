//! The words, written.

use super::super::command::{Command, Credit, CreditScope, Echo, Level, Policy, Publish, Request};
use super::super::command::{Hello, Subscribe, Target};
use super::super::history::{Complete, Direction, History, HistoryFrom, Page, Start};
use super::super::names::Named;
use super::super::push::{Closing, Gap, Message, Position, Push, Reset, TopicAlias};
use super::super::reply::{
    Duplicate, ErrorReply, Limits, Pubbed, Reply, Resumed, Subbed, SubbedTo, Welcome,
};
use super::super::state::{Entry, Members, StateCommand, StateDiff, StateOp};
use super::op;
use super::writer::Writer;

pub(in super::super) fn write_request(request: &Request<'_>, out: &mut Vec<u8>) {
    let op = match request.command {
        Command::Hello(_) => op::HELLO,
        Command::Auth(_) => op::AUTH,
        Command::Subscribe(_) => op::SUB,
        Command::Unsubscribe(_) => op::UNSUB,
        Command::Publish(_) => op::PUB,
        Command::History(_) => op::HIST,
        Command::State(_) => op::STATE,
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
            Command::History(history) => write_history(history, to),
            Command::State(state) => write_state(state, to),
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
    let subscribe: Vec<_> = hello.subscribe.iter().flatten().collect();
    let has_subscriptions = !subscribe.is_empty();
    to.bits(&[
        hello.token.is_some(),
        hello.user.is_some(),
        has_subscriptions,
        hello.resume.is_some(),
    ]);
    to.integer(hello.version);
    to.optional_text(hello.token.as_deref());
    to.optional_text(hello.user.as_deref());
    if has_subscriptions {
        to.list(&subscribe, |subscribe, to| {
            to.part(|to| write_subscribe(subscribe, to));
        });
    }
    to.optional_text(hello.resume.as_deref());
}

fn write_subscribe(subscribe: &Subscribe<'_>, to: &mut Writer<'_>) {
    let watches = !subscribe.watch.is_empty();
    to.bits(&[
        subscribe.policy.is_some(),
        subscribe.credit.is_some(),
        subscribe.from != Start::Now,
        // filter, durable, ack
        false,
        false,
        false,
        subscribe.presence.is_some(),
        // token, delta
        false,
        false,
        watches,
    ]);
    to.integer(subscribe.s);
    to.text(&subscribe.topic);
    if let Some(policy) = subscribe.policy {
        to.part(|to| write_policy(policy, to));
    }
    to.optional_integer(subscribe.credit);
    if subscribe.from != Start::Now {
        to.part(|to| write_start(&subscribe.from, to));
    }
    to.optional_integer(subscribe.presence.map(Named::number));
    if watches {
        to.list(&subscribe.watch, |namespace, to| to.text(namespace));
    }
}

/// The part `from` has room for all beginnings: `epoch`, `offset`, `last`, `since_ms`, `pos`,
/// `seen`.
fn write_start(start: &Start<'_>, to: &mut Writer<'_>) {
    match start {
        Start::Now => to.bits(&[]),
        Start::After(place) => {
            to.bits(&[true, true]);
            to.text(&place.epoch);
            to.integer(place.offset);
        }
        Start::Last(last) => {
            to.bits(&[false, false, true]);
            to.integer(*last);
        }
        Start::Since(since_ms) => {
            to.bits(&[false, false, false, true]);
            to.integer(*since_ms);
        }
        Start::Pattern(place) => {
            let has_seen = !place.seen.is_empty();
            to.bits(&[false, false, false, false, true, has_seen]);
            to.text(&place.pos);
            if has_seen {
                to.list(&place.seen, |seen, to| {
                    to.part(|to| {
                        to.bits(&[]);
                        to.text(&seen.topic);
                        to.text(&seen.epoch);
                        to.integer(seen.offset);
                    });
                });
            }
        }
    }
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
        publish.idem.is_some(),
        publish.ttl_ms.is_some(),
        !publish.tags.is_empty(),
    ]);
    to.data(&publish.data);
    to.optional_text(topic);
    to.optional_integer(t);
    to.optional_integer(publish.pseq);
    to.optional_text(publish.key.as_deref());
    to.optional_integer(level.map(Named::number));
    to.optional_text(publish.idem.as_deref());
    to.optional_integer(publish.ttl_ms);
    to.optional_tags(&publish.tags);
}

fn write_history(history: &History<'_>, to: &mut Writer<'_>) {
    let direction = Some(history.direction).filter(|&direction| direction != Direction::default());
    to.bits(&[
        history.from.is_some(),
        direction.is_some(),
        history.limit.is_some(),
    ]);
    to.text(&history.topic);
    match &history.from {
        None => {}
        Some(HistoryFrom::Place(place)) => to.part(|to| {
            to.bits(&[true, true]);
            to.text(&place.epoch);
            to.integer(place.offset);
        }),
        Some(HistoryFrom::Since(since_ms)) => to.part(|to| {
            to.bits(&[false, false, false, true]);
            to.integer(*since_ms);
        }),
    }
    to.optional_integer(direction.map(Named::number));
    to.optional_integer(history.limit);
}

fn write_state(state: &StateCommand<'_>, to: &mut Writer<'_>) {
    let (mut of_entry, mut ttl, mut of_page) = ((None, None), None, (None, None));
    match &state.op {
        StateOp::Set { key, value, ttl_ms } => {
            of_entry = (key.as_deref(), value.as_deref());
            ttl = *ttl_ms;
        }
        StateOp::Delete { key } => of_entry.0 = key.as_deref(),
        StateOp::Page { after, limit } => of_page = (after.as_deref(), *limit),
    }
    let ((key, value), (after, limit)) = (of_entry, of_page);
    to.bits(&[
        key.is_some(),
        value.is_some(),
        ttl.is_some(),
        after.is_some(),
        limit.is_some(),
    ]);
    to.text(&state.topic);
    to.integer(state.op.name().number());
    to.text(&state.namespace);
    to.optional_text(key);
    to.optional_text(value);
    to.optional_integer(ttl);
    to.optional_text(after);
    to.optional_integer(limit);
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
        Reply::Page(_) => op::PAGE,
        Reply::Members(_) => op::MEMBERS,
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
            Reply::Pubbed(pubbed) => write_pubbed(pubbed, to),
            Reply::Page(page) => write_page(page, to),
            Reply::Members(members) => write_members(members, to),
            Reply::Error(error) => write_error(error, to),
        }
    });
}

fn write_welcome(welcome: &Welcome<'_>, to: &mut Writer<'_>) {
    to.bits(&[
        welcome.expires_ms.is_some(),
        welcome.ticket.is_some(),
        welcome.resumed == Resumed::Yes,
    ]);
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
    to.optional_text(welcome.ticket.as_deref());
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
    to.integer(limits.history_items);
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
        subbed.recovered.is_some(),
        subbed.replay_to.is_some(),
    ]);
    to.integer(subbed.s);
    to.part(|to| write_policy(subbed.policy, to));
    if let Some((t, epoch, offset)) = topic {
        to.integer(t);
        to.text(epoch);
        to.integer(offset);
    }
    to.optional_text(pos);
    to.optional_integer(subbed.recovered.map(Named::number));
    to.optional_integer(subbed.replay_to);
}

fn write_pubbed(pubbed: &Pubbed<'_>, to: &mut Writer<'_>) {
    to.bits(&[pubbed.dup == Duplicate::Yes]);
    to.text(&pubbed.epoch);
    to.integer(pubbed.offset);
    to.integer(pubbed.level.number());
}

fn write_page(page: &Page<'_>, to: &mut Writer<'_>) {
    to.bits(&[page.complete == Complete::Yes]);
    to.integer(page.t);
    to.text(&page.epoch);
    to.integer(page.start);
    to.integer(page.end);
    to.list(&page.items, |message, to| {
        to.part(|to| {
            write_message_bits(message, to);
            write_message_body(message, to);
        });
    });
}

fn write_members(members: &Members<'_>, to: &mut Writer<'_>) {
    to.bits(&[members.users.is_some(), members.next.is_some()]);
    to.integer(members.t);
    to.text(&members.namespace);
    to.integer(members.version);
    to.integer(members.n);
    to.integer(members.digest);
    to.list(&members.items, write_entry);
    to.optional_integer(members.users);
    to.optional_text(members.next.as_deref());
}

fn write_entry(entry: &Entry<'_>, to: &mut Writer<'_>) {
    to.part(|to| {
        to.bits(&[entry.value.is_some()]);
        to.text(&entry.key);
        to.text(&entry.user);
        to.integer(entry.version);
        to.optional_text(entry.value.as_deref());
    });
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
        Push::State(_) => op::DIFF,
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
        Push::State(diff) => write_diff(diff, to),
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
    write_message_bits(message, to);
    to.integer(message.t);
    write_message_body(message, to);
}

fn write_message_bits(message: &Message<'_>, to: &mut Writer<'_>) {
    to.bits(&[
        message.key.is_some(),
        message.publisher.pseq.is_some(),
        !message.tags.is_empty(),
    ]);
}

/// All but the topic, which a page names once.
fn write_message_body(message: &Message<'_>, to: &mut Writer<'_>) {
    let publisher = &message.publisher;
    to.integer(message.offset);
    to.integer(message.time_ms);
    to.text(&publisher.user);
    to.text(&publisher.conn);
    to.data(&message.data);
    to.optional_text(message.key.as_deref());
    to.optional_integer(publisher.pseq);
    to.optional_tags(&message.tags);
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
    match reset {
        Reset::Topic {
            t,
            epoch,
            offset,
            cause,
        } => {
            to.bits(&[true, true, true]);
            to.integer(cause.number());
            to.integer(*t);
            to.text(epoch);
            to.integer(*offset);
        }
        Reset::Pattern { s, pos, cause } => {
            to.bits(&[false, false, false, true, true]);
            to.integer(cause.number());
            to.integer(*s);
            to.text(pos);
        }
    }
}

fn write_diff(diff: &StateDiff<'_>, to: &mut Writer<'_>) {
    to.bits(&[diff.users.is_some()]);
    to.integer(diff.t);
    to.text(&diff.namespace);
    to.integer(diff.version);
    to.integer(diff.n);
    to.integer(diff.digest);
    to.list(&diff.set, write_entry);
    to.list(&diff.deleted, |key, to| to.text(key));
    to.optional_integer(diff.users);
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

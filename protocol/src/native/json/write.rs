//! The words, written.

use super::super::command::{Command, Credit, CreditScope, Echo, Level, Policy, Publish, Request};
use super::super::command::{Hello, Subscribe, Target};
use super::super::history::{Complete, Direction, History, HistoryFrom, Page, Place, Seen, Start};
use super::super::names::Named;
use super::super::push::{Closing, Gap, GoAway, Message, Position, Push, Reset, TopicAlias, Warn};
use super::super::reply::{Duplicate, ErrorReply, Limits, Pubbed, Recovered, Reply, Resumed};
use super::super::reply::{Subbed, SubbedTo, Welcome};
use super::super::state::{Entry, Members, StateCommand, StateDiff, StateOp};
use super::object::Object;

pub(in super::super) fn write_request(request: &Request<'_>, out: &mut Vec<u8>) {
    Object::write(out, |object| {
        object.optional_integer("id", request.id);
        match &request.command {
            Command::Hello(hello) => object.object("hello", |to| write_hello(hello, to)),
            Command::Auth(auth) => object.object("auth", |to| to.text("token", &auth.token)),
            Command::Subscribe(subscribe) => {
                object.object("sub", |to| write_subscribe(subscribe, to));
            }
            Command::Unsubscribe(unsubscribe) => {
                object.object("unsub", |to| to.integer("s", unsubscribe.s));
            }
            Command::Publish(publish) => object.object("pub", |to| write_publish(publish, to)),
            Command::History(history) => object.object("hist", |to| write_history(history, to)),
            Command::State(state) => object.object("state", |to| write_state(state, to)),
            Command::Credit(credit) => object.object("credit", |to| write_credit(*credit, to)),
            Command::Pong(pong) => object.object("pong", |to| to.optional_integer("t", pong.t)),
            Command::Bye(bye) => {
                object.object("bye", |to| {
                    to.optional_text("reason", bye.reason.as_deref())
                });
            }
        }
    });
}

fn write_hello(hello: &Hello<'_>, to: &mut Object<'_>) {
    to.integer("v", hello.version);
    to.optional_text("token", hello.token.as_deref());
    to.optional_text("user", hello.user.as_deref());
    to.optional_text("resume", hello.resume.as_deref());
    let subscribe: Vec<_> = hello.subscribe.iter().flatten().collect();
    if !subscribe.is_empty() {
        to.objects("subs", &subscribe, |one, to| write_subscribe(one, to));
    }
}

fn write_subscribe(subscribe: &Subscribe<'_>, to: &mut Object<'_>) {
    to.integer("s", subscribe.s);
    to.text("topic", &subscribe.topic);
    match &subscribe.from {
        Start::Now => {}
        Start::After(place) => to.object("from", |to| write_place(place, to)),
        Start::Last(last) => to.object("from", |to| to.integer("last", *last)),
        Start::Since(since_ms) => to.object("from", |to| to.integer("since_ms", *since_ms)),
        Start::Pattern(place) => to.object("from", |to| {
            to.text("pos", &place.pos);
            if !place.seen.is_empty() {
                to.objects("seen", &place.seen, write_seen);
            }
        }),
    }
    if let Some(policy) = subscribe.policy {
        to.object("policy", |to| write_policy(policy, to));
    }
    to.optional_integer("credit", subscribe.credit);
    to.optional_text("presence", subscribe.presence.map(Named::name));
    if !subscribe.watch.is_empty() {
        to.texts("watch", &subscribe.watch);
    }
}

fn write_place(place: &Place<'_>, to: &mut Object<'_>) {
    to.text("epoch", &place.epoch);
    to.integer("offset", place.offset);
}

fn write_seen(seen: &Seen<'_>, to: &mut Object<'_>) {
    to.text("topic", &seen.topic);
    to.text("epoch", &seen.epoch);
    to.integer("offset", seen.offset);
}

fn write_policy(policy: Policy, to: &mut Object<'_>) {
    to.text("mode", policy.mode.name());
    to.optional_integer("max_bytes", policy.max_bytes);
    to.optional_integer("max_msgs", policy.max_messages);
}

fn write_publish(publish: &Publish<'_>, to: &mut Object<'_>) {
    match &publish.target {
        Target::Topic(topic) => to.text("topic", topic),
        Target::Alias(t) => to.integer("t", *t),
    }
    to.optional_integer("pseq", publish.pseq);
    to.optional_text("idem", publish.idem.as_deref());
    to.optional_text("key", publish.key.as_deref());
    to.tags(&publish.tags);
    to.optional_integer("ttl_ms", publish.ttl_ms);
    if publish.level != Level::default() {
        to.text("level", publish.level.name());
    }
    match publish.echo {
        Echo::Yes => {}
        Echo::No => to.flag("echo", false),
    }
    to.data(&publish.data);
}

fn write_history(history: &History<'_>, to: &mut Object<'_>) {
    to.text("topic", &history.topic);
    match &history.from {
        None => {}
        Some(HistoryFrom::Place(place)) => to.object("from", |to| write_place(place, to)),
        Some(HistoryFrom::Since(since_ms)) => {
            to.object("from", |to| to.integer("since_ms", *since_ms));
        }
    }
    if history.direction != Direction::default() {
        to.text("dir", history.direction.name());
    }
    to.optional_integer("limit", history.limit);
}

fn write_state(state: &StateCommand<'_>, to: &mut Object<'_>) {
    to.text("topic", &state.topic);
    to.text("op", state.op.name().name());
    to.text("ns", &state.namespace);
    match &state.op {
        StateOp::Set { key, value, ttl_ms } => {
            to.optional_text("k", key.as_deref());
            to.optional_json("v", value.as_deref());
            to.optional_integer("ttl_ms", *ttl_ms);
        }
        StateOp::Delete { key } => to.optional_text("k", key.as_deref()),
        StateOp::Page { after, limit } => {
            to.optional_text("after", after.as_deref());
            to.optional_integer("limit", *limit);
        }
    }
}

fn write_credit(credit: Credit, to: &mut Object<'_>) {
    match credit.scope {
        CreditScope::Connection => {}
        CreditScope::Topic(t) => to.integer("t", t),
        CreditScope::Subscription(s) => to.integer("s", s),
    }
    to.optional_integer("msgs", credit.messages);
    to.optional_integer("bytes", credit.bytes);
}

pub(in super::super) fn write_reply(id: u64, reply: &Reply<'_>, out: &mut Vec<u8>) {
    Object::write(out, |object| {
        object.integer("id", id);
        match reply {
            Reply::Welcome(welcome) => object.object("welcome", |to| write_welcome(welcome, to)),
            Reply::Ok(done) => {
                object.object("ok", |to| {
                    to.optional_integer("expires_ms", done.expires_ms)
                });
            }
            Reply::Subbed(subbed) => object.object("subbed", |to| write_subbed(subbed, to)),
            Reply::Pubbed(pubbed) => object.object("pubbed", |to| write_pubbed(pubbed, to)),
            Reply::Page(page) => object.object("page", |to| write_page(page, to)),
            Reply::Members(members) => object.object("members", |to| write_members(members, to)),
            Reply::Error(error) => object.object("err", |to| write_error(error, to)),
        }
    });
}

fn write_welcome(welcome: &Welcome<'_>, to: &mut Object<'_>) {
    to.text("conn", &welcome.conn);
    to.text("node", &welcome.node);
    to.text("user", &welcome.user);
    to.optional_text("ticket", welcome.ticket.as_deref());
    if welcome.resumed == Resumed::Yes {
        to.flag("resumed", true);
    }
    to.integer("ping_ms", welcome.ping_ms);
    to.integer("slack_ms", welcome.slack_ms);
    to.object("limits", |to| write_limits(&welcome.limits, to));
    to.optional_integer("expires_ms", welcome.expires_ms);
    to.objects("subs", &welcome.subscribed, |answer, to| match answer {
        Ok(subbed) => to.object("subbed", |to| write_subbed(subbed, to)),
        Err(error) => to.object("err", |to| write_error(error, to)),
    });
    to.integer("time_ms", welcome.time_ms);
}

fn write_limits(limits: &Limits, to: &mut Object<'_>) {
    to.integer("message_bytes", limits.message_bytes);
    to.integer("topic_bytes", limits.topic_bytes);
    to.integer("topic_levels", limits.topic_levels);
    to.integer("subscriptions", limits.subscriptions);
    to.integer("backlog_bytes", limits.backlog_bytes);
    to.integer("publish_per_s", limits.publish_per_s);
    to.integer("publish_burst", limits.publish_burst);
    to.integer("unanswered", limits.unanswered);
    to.integer("history_items", limits.history_items);
}

fn write_subbed(subbed: &Subbed<'_>, to: &mut Object<'_>) {
    to.integer("s", subbed.s);
    match &subbed.to {
        SubbedTo::Topic { t, epoch, offset } => {
            to.integer("t", *t);
            to.text("epoch", epoch);
            to.integer("offset", *offset);
        }
        SubbedTo::Pattern { pos } => to.text("pos", pos),
    }
    if let Some(recovered) = subbed.recovered {
        to.flag("recovered", recovered == Recovered::Yes);
    }
    to.optional_integer("replay_to", subbed.replay_to);
    to.object("policy", |to| write_policy(subbed.policy, to));
}

fn write_pubbed(pubbed: &Pubbed<'_>, to: &mut Object<'_>) {
    to.text("epoch", &pubbed.epoch);
    to.integer("offset", pubbed.offset);
    to.text("level", pubbed.level.name());
    if pubbed.dup == Duplicate::Yes {
        to.flag("dup", true);
    }
}

fn write_page(page: &Page<'_>, to: &mut Object<'_>) {
    to.integer("t", page.t);
    to.text("epoch", &page.epoch);
    to.integer("start", page.start);
    to.integer("end", page.end);
    to.flag("complete", page.complete == Complete::Yes);
    to.objects("items", &page.items, write_message_body);
}

fn write_members(members: &Members<'_>, to: &mut Object<'_>) {
    to.integer("t", members.t);
    to.text("ns", &members.namespace);
    to.integer("ver", members.version);
    to.integer("n", members.n);
    to.optional_integer("users", members.users);
    to.integer("digest", members.digest);
    to.objects("items", &members.items, write_entry);
    to.optional_text("next", members.next.as_deref());
}

fn write_entry(entry: &Entry<'_>, to: &mut Object<'_>) {
    to.text("k", &entry.key);
    to.text("user", &entry.user);
    to.integer("ver", entry.version);
    to.optional_json("v", entry.value.as_deref());
}

fn write_error(error: &ErrorReply<'_>, to: &mut Object<'_>) {
    to.integer("code", u64::from(error.code.number()));
    to.text("name", error.code.name());
    to.text("text", &error.text);
    to.optional_integer("retry_ms", error.retry_ms);
}

pub(in super::super) fn write_push(push: &Push<'_>, out: &mut Vec<u8>) {
    Object::write(out, |object| match push {
        Push::Topic(topic) => object.object("topic", |to| write_topic(topic, to)),
        Push::Message(message) => object.object("msg", |to| write_message(message, to)),
        Push::Untopic(untopic) => object.object("untopic", |to| to.integer("t", untopic.t)),
        Push::Position(position) => object.object("pos", |to| write_position(position, to)),
        Push::Gap(gap) => object.object("gap", |to| write_gap(gap, to)),
        Push::Conflated(conflated) => object.object("conflated", |to| {
            to.integer("t", conflated.t);
            to.integer("n", conflated.n);
            to.integer("upto", conflated.up_to);
        }),
        Push::Reset(reset) => object.object("reset", |to| write_reset(reset, to)),
        Push::State(diff) => object.object("state", |to| write_diff(diff, to)),
        Push::Unsubbed(unsubbed) => object.object("unsubbed", |to| {
            to.integer("s", unsubbed.s);
            to.integer("code", u64::from(unsubbed.code.number()));
            to.optional_integer("retry_ms", unsubbed.retry_ms);
        }),
        Push::TokenExpiring(expiring) => {
            object.object("token_expiring", |to| to.integer("in_ms", expiring.in_ms));
        }
        Push::GoAway(away) => object.object("goaway", |to| write_go_away(away, to)),
        Push::Ping(ping) => object.object("ping", |to| to.integer("t", ping.t)),
        Push::Warn(warn) => object.object("warn", |to| write_warn(warn, to)),
        Push::Closing(closing) => object.object("closing", |to| write_closing(closing, to)),
    });
}

fn write_topic(topic: &TopicAlias<'_>, to: &mut Object<'_>) {
    to.integer("t", topic.t);
    to.text("topic", &topic.topic);
    to.integers("s", &topic.s);
    to.text("epoch", &topic.epoch);
    to.integer("offset", topic.offset);
}

fn write_message(message: &Message<'_>, to: &mut Object<'_>) {
    to.integer("t", message.t);
    write_message_body(message, to);
}

/// All but the topic, which a page names once.
fn write_message_body(message: &Message<'_>, to: &mut Object<'_>) {
    to.integer("o", message.offset);
    to.integer("ts", message.time_ms);
    to.optional_text("key", message.key.as_deref());
    to.tags(&message.tags);
    to.object("pub", |to| {
        to.text("user", &message.publisher.user);
        to.text("conn", &message.publisher.conn);
        to.optional_integer("pseq", message.publisher.pseq);
    });
    to.data(&message.data);
}

fn write_position(position: &Position<'_>, to: &mut Object<'_>) {
    match position {
        Position::Topic { t, offset } => {
            to.integer("t", *t);
            to.integer("o", *offset);
        }
        Position::Pattern { s, pos } => {
            to.integer("s", *s);
            to.text("pos", pos);
        }
    }
}

fn write_gap(gap: &Gap, to: &mut Object<'_>) {
    to.integer("t", gap.t);
    to.integer("from", gap.from);
    to.integer("to", gap.to);
    to.text("cause", gap.cause.name());
    to.text("repair", gap.repair.name());
}

fn write_reset(reset: &Reset<'_>, to: &mut Object<'_>) {
    let cause = match reset {
        Reset::Topic {
            t,
            epoch,
            offset,
            cause,
        } => {
            to.integer("t", *t);
            to.text("epoch", epoch);
            to.integer("offset", *offset);
            cause
        }
        Reset::Pattern { s, pos, cause } => {
            to.integer("s", *s);
            to.text("pos", pos);
            cause
        }
    };
    to.text("cause", cause.name());
}

fn write_diff(diff: &StateDiff<'_>, to: &mut Object<'_>) {
    to.integer("t", diff.t);
    to.text("ns", &diff.namespace);
    to.integer("ver", diff.version);
    to.integer("n", diff.n);
    to.optional_integer("users", diff.users);
    to.integer("digest", diff.digest);
    to.objects("set", &diff.set, write_entry);
    to.texts("del", &diff.deleted);
}

fn write_go_away(away: &GoAway<'_>, to: &mut Object<'_>) {
    to.integer("deadline_ms", away.deadline_ms);
    to.integer("spread_ms", away.spread_ms);
    to.optional_text("url", away.url.as_deref());
}

fn write_warn(warn: &Warn<'_>, to: &mut Object<'_>) {
    to.integer("code", u64::from(warn.code.number()));
    to.text("text", &warn.text);
    to.optional_text("cmd", warn.command.as_deref());
}

fn write_closing(closing: &Closing<'_>, to: &mut Object<'_>) {
    to.integer("code", u64::from(closing.code));
    to.text("reason", &closing.reason);
    to.optional_integer("retry_ms", closing.retry_ms);
    to.optional_integer("spread_ms", closing.spread_ms);
    to.optional_text("url", closing.url.as_deref());
}

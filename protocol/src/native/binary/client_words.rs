//! Commands, read.

use super::super::bound::Bound;
use super::super::command::{
    Auth, Bye, Command, Credit, CreditScope, Echo, Hello, Policy, Pong, Publish, Request,
    Subscribe, Target, Unsubscribe,
};
use super::super::dialect::{Extent, Malformed};
use super::super::history::{FromFields, History, Seen};
use super::super::problem::Problem;
use super::super::state::{StateFields, check_watch};
use super::body::{Body, split_integer};
use super::op;
use super::record::Record;

/// A command.
pub(in super::super) fn read_request(record: Record<'_>) -> Result<Request<'_>, Malformed> {
    let (id, fields) = split_integer(record.body)
        .map_err(|problem| problem.within("id").malformed(None, Extent::Command))?;
    let id = Some(id).filter(|&id| id > 0);
    let read = match record.op {
        op::HELLO => read("hello", fields, hello),
        op::AUTH => read("auth", fields, auth),
        op::SUB => read("sub", fields, |body| {
            Ok(Command::Subscribe(Box::new(subscribe(body)?)))
        }),
        op::UNSUB => read("unsub", fields, unsubscribe),
        op::PUB => read("pub", fields, publish),
        op::HIST => read("hist", fields, history),
        op::STATE => read("state", fields, state),
        op::CREDIT => read("credit", fields, credit),
        op::PONG => read("pong", fields, pong),
        op::BYE => read("bye", fields, bye),
        other => {
            let later = op::LATER.iter().find(|(op, _)| *op == other);
            return Err(record.unknown(id, later.map(|&(_, name)| name)));
        }
    };
    match read {
        Ok(command) => Ok(Request { id, command }),
        Err(problem) => Err(problem.malformed(id, Extent::Command)),
    }
}

/// The fields of a word.
pub(super) fn read<'a, W>(
    name: &str,
    fields: &'a [u8],
    word: impl FnOnce(&mut Body<'a>) -> Result<W, Problem>,
) -> Result<W, Problem> {
    let word = Body::new(fields).and_then(|mut body| word(&mut body));
    word.map_err(|problem| problem.within(name))
}

fn hello<'a>(body: &mut Body<'a>) -> Result<Command<'a>, Problem> {
    let version = body.integer("v")?;
    let token = body.optional_text("token")?;
    let user = body.optional_text("user")?;
    let subscriptions = body.optional(|body| {
        // Each is read or refused for itself; an item's place is its name.
        body.list("subs", Bound::SUBSCRIPTIONS, |body| {
            let bytes = body.bytes("")?;
            let one = Body::new(bytes).and_then(|mut body| subscribe(&mut body));
            Ok(one.map_err(|problem| problem.refusal("sub")))
        })
    })?;
    let resume = body.optional_text("resume")?;
    Ok(Command::Hello(Box::new(Hello {
        version,
        token,
        user,
        resume,
        subscribe: subscriptions.unwrap_or_default(),
    })))
}

fn auth<'a>(body: &mut Body<'a>) -> Result<Command<'a>, Problem> {
    let token = body.text("token")?;
    Ok(Command::Auth(Auth { token }))
}

fn subscribe<'a>(body: &mut Body<'a>) -> Result<Subscribe<'a>, Problem> {
    let s = body.integer("s")?;
    let topic = body.text("topic")?;
    let policy = body.optional(|body| {
        body.part("policy", |part| {
            let policy = policy(part)?;
            part.later(&["key", "rate"])?;
            Ok(policy)
        })
    })?;
    let credit = body.optional_integer("credit")?;
    let start = body.optional(|body| body.part("from", |part| from(part)?.start()))?;
    body.later(&["filter", "durable", "ack"])?;
    let presence = body.optional(|body| body.named("presence"))?;
    body.later(&["token", "delta"])?;
    let watch = body.optional(|body| body.texts("watch", Bound::WATCH))?;
    let watch = watch.unwrap_or_default();
    check_watch(&watch)?;
    Ok(Subscribe {
        s,
        topic,
        from: start.unwrap_or_default(),
        policy,
        credit,
        presence,
        watch,
    })
}

fn from<'a>(part: &mut Body<'a>) -> Result<FromFields<'a>, Problem> {
    Ok(FromFields {
        epoch: part.optional_text("epoch")?,
        offset: part.optional_integer("offset")?,
        last: part.optional_integer("last")?,
        since_ms: part.optional_integer("since_ms")?,
        pos: part.optional_text("pos")?,
        seen: part.optional(|part| {
            part.list("seen", Bound::SEEN, |part| {
                part.part("", |part| {
                    Ok(Seen {
                        topic: part.text("topic")?,
                        epoch: part.text("epoch")?,
                        offset: part.integer("offset")?,
                    })
                })
            })
        })?,
    })
}

/// What both sides say of a policy.
pub(super) fn policy(part: &mut Body<'_>) -> Result<Policy, Problem> {
    Ok(Policy {
        mode: part.named("mode")?,
        max_bytes: part.optional_integer("max_bytes")?,
        max_messages: part.optional_integer("max_msgs")?,
    })
}

fn unsubscribe<'a>(body: &mut Body<'a>) -> Result<Command<'a>, Problem> {
    let s = body.integer("s")?;
    Ok(Command::Unsubscribe(Unsubscribe { s }))
}

fn publish<'a>(body: &mut Body<'a>) -> Result<Command<'a>, Problem> {
    let data = body.data()?;
    let topic = body.optional_text("topic")?;
    let t = body.optional_integer("t")?;
    let pseq = body.optional_integer("pseq")?;
    let key = body.optional_text("key")?;
    let level = body.optional(|body| body.named("level"))?;
    let echo = if body.bit() { Echo::No } else { Echo::Yes };
    let idem = body.optional_text("idem")?;
    let ttl_ms = body.optional_integer("ttl_ms")?;
    let tags = body.optional(|body| body.tags(Bound::TAGS))?;
    body.later(&["receipt", "delta"])?;
    let publish = Publish {
        target: Target::one_of(topic, t)?,
        data,
        pseq,
        idem,
        key,
        tags: tags.unwrap_or_default(),
        ttl_ms,
        level: level.unwrap_or_default(),
        echo,
    };
    publish.check()?;
    Ok(Command::Publish(publish))
}

fn history<'a>(body: &mut Body<'a>) -> Result<Command<'a>, Problem> {
    let topic = body.text("topic")?;
    let start = body.optional(|body| body.part("from", |part| from(part)?.history()))?;
    let direction = body.optional(|body| body.named("dir"))?;
    let limit = body.optional_integer("limit")?;
    body.later(&["filter"])?;
    let history = History {
        topic,
        from: start,
        direction: direction.unwrap_or_default(),
        limit,
    };
    history.check()?;
    Ok(Command::History(history))
}

fn state<'a>(body: &mut Body<'a>) -> Result<Command<'a>, Problem> {
    let fields = StateFields {
        topic: Some(body.text("topic")?),
        op: Some(body.named("op")?),
        namespace: Some(body.text("ns")?),
        key: body.optional_text("k")?,
        value: body.optional_json("v")?,
        ttl_ms: body.optional_integer("ttl_ms")?,
        after: body.optional_text("after")?,
        limit: body.optional_integer("limit")?,
    };
    body.later(&["if_ver"])?;
    fields.command().map(Command::State)
}

fn credit<'a>(body: &mut Body<'a>) -> Result<Command<'a>, Problem> {
    let t = body.optional_integer("t")?;
    let s = body.optional_integer("s")?;
    Ok(Command::Credit(Credit {
        scope: CreditScope::one_of(t, s)?,
        messages: body.optional_integer("msgs")?,
        bytes: body.optional_integer("bytes")?,
    }))
}

fn pong<'a>(body: &mut Body<'a>) -> Result<Command<'a>, Problem> {
    let t = body.optional_integer("t")?;
    Ok(Command::Pong(Pong { t }))
}

fn bye<'a>(body: &mut Body<'a>) -> Result<Command<'a>, Problem> {
    let reason = body.optional_text("reason")?;
    Ok(Command::Bye(Bye { reason }))
}

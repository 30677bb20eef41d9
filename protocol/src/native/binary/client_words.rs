//! Commands, read.

use super::super::command::{
    Auth, Bye, Command, Credit, CreditScope, Echo, HELLO_SUBSCRIPTIONS_MAX, Hello, Policy, Pong,
    Publish, Request, Start, Subscribe, Target, Unsubscribe,
};
use super::super::dialect::{Extent, Malformed};
use super::super::problem::Problem;
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
        // An item's place is its name.
        body.list("subs", HELLO_SUBSCRIPTIONS_MAX, |body| {
            body.part("", subscribe)
        })
    })?;
    Ok(Command::Hello(Box::new(Hello {
        version,
        token,
        user,
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
    body.later(&[
        "from", "filter", "durable", "ack", "presence", "token", "delta",
    ])?;
    Ok(Subscribe {
        s,
        topic,
        from: Start::Now,
        policy,
        credit,
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
    body.later(&["idem", "ttl_ms", "tags", "receipt", "delta"])?;
    Ok(Command::Publish(Publish {
        target: Target::one_of(topic, t)?,
        data,
        pseq,
        key,
        level: level.unwrap_or_default(),
        echo,
    }))
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

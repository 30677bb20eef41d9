//! Replies and pushes, read.

use super::super::bound::Bound;
use super::super::dialect::{Extent, Malformed, ServerWord};
use super::super::history::{Complete, Page};
use super::super::problem::Problem;
use super::super::push::{
    Closing, Conflated, Gap, GoAway, Message, Ping, Position, Publisher, Push, Reset,
    TokenExpiring, TopicAlias, Unsubbed, Untopic, Warn, close_code,
};
use super::super::reply::{
    Done, Duplicate, ErrorReply, Limits, Pubbed, Reply, Resumed, Subbed, SubbedTo, Welcome,
};
use super::super::state::{Entry, Members, StateDiff};
use super::body::{Body, split_integer};
use super::client_words::{policy, read};
use super::op;
use super::record::Record;

/// A reply or a push.
pub(in super::super) fn read_server_word(record: Record<'_>) -> Result<ServerWord<'_>, Malformed> {
    if record.op >= op::PUSHES {
        read_push(record).map(ServerWord::Push)
    } else {
        read_reply(record)
    }
}

fn read_reply(record: Record<'_>) -> Result<ServerWord<'_>, Malformed> {
    let id = split_integer(record.body).and_then(|(id, fields)| match id {
        0 => Err(Problem::bad("found 0; numbers of commands begin at 1")),
        id => Ok((id, fields)),
    });
    let (id, fields) =
        id.map_err(|problem| problem.within("id").malformed(None, Extent::Command))?;
    let read = match record.op {
        op::WELCOME => read("welcome", fields, |body| {
            Ok(Reply::Welcome(Box::new(welcome(body)?)))
        }),
        op::OK => read("ok", fields, |body| {
            let expires_ms = body.optional_integer("expires_ms")?;
            Ok(Reply::Ok(Done { expires_ms }))
        }),
        op::SUBBED => read("subbed", fields, |body| Ok(Reply::Subbed(subbed(body)?))),
        op::PUBBED => read("pubbed", fields, pubbed),
        op::PAGE => read("page", fields, page),
        op::MEMBERS => read("members", fields, members),
        op::ERR => read("err", fields, |body| Ok(Reply::Error(error(body)?))),
        _ => return Err(record.unknown(Some(id), None)),
    };
    match read {
        Ok(reply) => Ok(ServerWord::Reply(id, reply)),
        Err(problem) => Err(problem.malformed(Some(id), Extent::Command)),
    }
}

fn welcome<'a>(body: &mut Body<'a>) -> Result<Welcome<'a>, Problem> {
    Ok(Welcome {
        conn: body.text("conn")?,
        node: body.text("node")?,
        user: body.text("user")?,
        ping_ms: body.integer("ping_ms")?,
        slack_ms: body.integer("slack_ms")?,
        time_ms: body.integer("time_ms")?,
        limits: body.part("limits", limits)?,
        subscribed: body.list("subs", Bound::NONE, |body| body.part("", subscribed))?,
        expires_ms: body.optional_integer("expires_ms")?,
        ticket: body.optional_text("ticket")?,
        resumed: if body.bit() {
            Resumed::Yes
        } else {
            Resumed::No
        },
    })
}

fn limits(part: &mut Body<'_>) -> Result<Limits, Problem> {
    Ok(Limits {
        message_bytes: part.integer("message_bytes")?,
        topic_bytes: part.integer("topic_bytes")?,
        topic_levels: part.integer("topic_levels")?,
        subscriptions: part.integer("subscriptions")?,
        backlog_bytes: part.integer("backlog_bytes")?,
        publish_per_s: part.integer("publish_per_s")?,
        publish_burst: part.integer("publish_burst")?,
        unanswered: part.integer("unanswered")?,
        history_items: part.integer("history_items")?,
    })
}

fn subscribed<'a>(part: &mut Body<'a>) -> Result<Result<Subbed<'a>, ErrorReply<'a>>, Problem> {
    let subbed = part.optional(|part| part.part("subbed", subbed))?;
    let error = part.optional(|part| part.part("err", error))?;
    match (subbed, error) {
        (Some(subbed), None) => Ok(Ok(subbed)),
        (None, Some(error)) => Ok(Err(error)),
        (None, None) => Err(Problem::unknown_word("the answer to a subscription")),
        (Some(_), Some(_)) => Err(Problem::bad("subbed and err; one must be left out")),
    }
}

fn subbed<'a>(body: &mut Body<'a>) -> Result<Subbed<'a>, Problem> {
    let s = body.integer("s")?;
    let policy = body.part("policy", policy)?;
    let t = body.optional_integer("t")?;
    let epoch = body.optional_text("epoch")?;
    let offset = body.optional_integer("offset")?;
    let pos = body.optional_text("pos")?;
    let to = SubbedTo::one_of(t, epoch, offset, pos)?;
    Ok(Subbed {
        s,
        to,
        recovered: body.optional(|body| body.named("recovered"))?,
        replay_to: body.optional_integer("replay_to")?,
        policy,
    })
}

fn pubbed<'a>(body: &mut Body<'a>) -> Result<Reply<'a>, Problem> {
    Ok(Reply::Pubbed(Pubbed {
        epoch: body.text("epoch")?,
        offset: body.integer("offset")?,
        level: body.named("level")?,
        dup: if body.bit() {
            Duplicate::Yes
        } else {
            Duplicate::No
        },
    }))
}

fn page<'a>(body: &mut Body<'a>) -> Result<Reply<'a>, Problem> {
    let t = body.integer("t")?;
    Ok(Reply::Page(Page {
        t,
        epoch: body.text("epoch")?,
        start: body.integer("start")?,
        end: body.integer("end")?,
        items: body.list("items", Bound::NONE, |body| {
            body.part("", |part| message_body(t, part))
        })?,
        complete: if body.bit() {
            Complete::Yes
        } else {
            Complete::No
        },
    }))
}

fn members<'a>(body: &mut Body<'a>) -> Result<Reply<'a>, Problem> {
    Ok(Reply::Members(Members {
        t: body.integer("t")?,
        namespace: body.text("ns")?,
        version: body.integer("ver")?,
        n: body.integer("n")?,
        digest: body.integer("digest")?,
        items: body.list("items", Bound::NONE, |body| body.part("", entry))?,
        users: body.optional_integer("users")?,
        next: body.optional_text("next")?,
    }))
}

fn entry<'a>(part: &mut Body<'a>) -> Result<Entry<'a>, Problem> {
    Ok(Entry {
        key: part.text("k")?,
        user: part.text("user")?,
        version: part.integer("ver")?,
        value: part.optional_json("v")?,
    })
}

fn error<'a>(body: &mut Body<'a>) -> Result<ErrorReply<'a>, Problem> {
    Ok(ErrorReply {
        code: body.code()?,
        text: body.text("text")?,
        retry_ms: body.optional_integer("retry_ms")?,
    })
}

fn read_push(record: Record<'_>) -> Result<Push<'_>, Malformed> {
    let fields = record.body;
    let read = match record.op {
        op::TOPIC => read("topic", fields, topic),
        op::MSG => read("msg", fields, message),
        op::UNTOPIC => read("untopic", fields, |body| {
            let t = body.integer("t")?;
            Ok(Push::Untopic(Untopic { t }))
        }),
        op::POS => read("pos", fields, position),
        op::GAP => read("gap", fields, gap),
        op::CONFLATED => read("conflated", fields, conflated),
        op::RESET => read("reset", fields, reset),
        op::DIFF => read("state", fields, diff),
        op::UNSUBBED => read("unsubbed", fields, unsubbed),
        op::TOKEN_EXPIRING => read("token_expiring", fields, |body| {
            let in_ms = body.integer("in_ms")?;
            Ok(Push::TokenExpiring(TokenExpiring { in_ms }))
        }),
        op::GOAWAY => read("goaway", fields, go_away),
        op::PING => read("ping", fields, |body| {
            let t = body.integer("t")?;
            Ok(Push::Ping(Ping { t }))
        }),
        op::WARN => read("warn", fields, warn),
        op::CLOSING => read("closing", fields, closing),
        _ => return Err(record.unknown(None, None)),
    };
    read.map_err(|problem| problem.malformed(None, Extent::Command))
}

fn topic<'a>(body: &mut Body<'a>) -> Result<Push<'a>, Problem> {
    Ok(Push::Topic(TopicAlias {
        t: body.integer("t")?,
        topic: body.text("topic")?,
        s: body.list("s", Bound::NONE, |body| body.integer(""))?,
        epoch: body.text("epoch")?,
        offset: body.integer("offset")?,
    }))
}

fn message<'a>(body: &mut Body<'a>) -> Result<Push<'a>, Problem> {
    let t = body.integer("t")?;
    message_body(t, body).map(Push::Message)
}

/// All but the topic, which a page names once.
fn message_body<'a>(t: u64, body: &mut Body<'a>) -> Result<Message<'a>, Problem> {
    let offset = body.integer("o")?;
    let time_ms = body.integer("ts")?;
    let user = body.text("pub.user")?;
    let conn = body.text("pub.conn")?;
    let data = body.data()?;
    let key = body.optional_text("key")?;
    let pseq = body.optional_integer("pub.pseq")?;
    let tags = body.optional(|body| body.tags(Bound::NONE))?;
    Ok(Message {
        t,
        offset,
        data,
        time_ms,
        key,
        tags: tags.unwrap_or_default(),
        publisher: Publisher { user, conn, pseq },
    })
}

fn position<'a>(body: &mut Body<'a>) -> Result<Push<'a>, Problem> {
    let t = body.optional_integer("t")?;
    let offset = body.optional_integer("o")?;
    let s = body.optional_integer("s")?;
    let pos = body.optional_text("pos")?;
    Position::one_of(t, offset, s, pos).map(Push::Position)
}

fn gap<'a>(body: &mut Body<'a>) -> Result<Push<'a>, Problem> {
    Ok(Push::Gap(Gap {
        t: body.integer("t")?,
        from: body.integer("from")?,
        to: body.integer("to")?,
        cause: body.named("cause")?,
        repair: body.named("repair")?,
    }))
}

fn conflated<'a>(body: &mut Body<'a>) -> Result<Push<'a>, Problem> {
    Ok(Push::Conflated(Conflated {
        t: body.integer("t")?,
        n: body.integer("n")?,
        up_to: body.integer("upto")?,
    }))
}

fn reset<'a>(body: &mut Body<'a>) -> Result<Push<'a>, Problem> {
    let cause = body.named("cause")?;
    let t = body.optional_integer("t")?;
    let place = (
        body.optional_text("epoch")?,
        body.optional_integer("offset")?,
    );
    let s = body.optional_integer("s")?;
    let pos = body.optional_text("pos")?;
    Reset::one_of(t, place, s, pos, cause).map(Push::Reset)
}

fn diff<'a>(body: &mut Body<'a>) -> Result<Push<'a>, Problem> {
    Ok(Push::State(StateDiff {
        t: body.integer("t")?,
        namespace: body.text("ns")?,
        version: body.integer("ver")?,
        n: body.integer("n")?,
        digest: body.integer("digest")?,
        set: body.list("set", Bound::NONE, |body| body.part("", entry))?,
        deleted: body.texts("del", Bound::NONE)?,
        users: body.optional_integer("users")?,
    }))
}

fn unsubbed<'a>(body: &mut Body<'a>) -> Result<Push<'a>, Problem> {
    Ok(Push::Unsubbed(Unsubbed {
        s: body.integer("s")?,
        code: body.code()?,
        retry_ms: body.optional_integer("retry_ms")?,
    }))
}

fn go_away<'a>(body: &mut Body<'a>) -> Result<Push<'a>, Problem> {
    Ok(Push::GoAway(GoAway {
        deadline_ms: body.integer("deadline_ms")?,
        spread_ms: body.integer("spread_ms")?,
        url: body.optional_text("url")?,
    }))
}

fn warn<'a>(body: &mut Body<'a>) -> Result<Push<'a>, Problem> {
    Ok(Push::Warn(Warn {
        code: body.code()?,
        text: body.text("text")?,
        command: body.optional_text("cmd")?,
    }))
}

fn closing<'a>(body: &mut Body<'a>) -> Result<Push<'a>, Problem> {
    Ok(Push::Closing(Closing {
        code: close_code(body.integer("code")?)?,
        reason: body.text("reason")?,
        retry_ms: body.optional_integer("retry_ms")?,
        spread_ms: body.optional_integer("spread_ms")?,
        url: body.optional_text("url")?,
    }))
}

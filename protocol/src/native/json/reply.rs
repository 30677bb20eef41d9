//! The fields of the replies.

use std::borrow::Cow;

use serde::de::MapAccess;

use super::super::bound::Bound;
use super::super::code::ErrorCode;
use super::super::command::{Level, Policy};
use super::super::problem::{Problem, Quoted};
use super::super::reply::{
    Done, Duplicate, ErrorReply, Limits, Pubbed, Recovered, Resumed, Subbed, SubbedTo, Welcome,
};
use super::command::{PolicyFields, there};
use super::value::{Fields, Taken, Value};

#[derive(Debug, Default)]
pub(super) struct WelcomeFields<'a> {
    conn: Option<Cow<'a, str>>,
    node: Option<Cow<'a, str>>,
    user: Option<Cow<'a, str>>,
    ticket: Option<Cow<'a, str>>,
    resumed: Option<bool>,
    ping_ms: Option<u64>,
    slack_ms: Option<u64>,
    limits: Option<Limits>,
    expires_ms: Option<u64>,
    subscribed: Option<Vec<Result<Subbed<'a>, ErrorReply<'a>>>>,
    time_ms: Option<u64>,
}

impl<'a> Fields<'a> for WelcomeFields<'a> {
    type Word = Welcome<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "conn" => value.text(&mut self.conn),
            "node" => value.text(&mut self.node),
            "user" => value.text(&mut self.user),
            "ticket" => value.text(&mut self.ticket),
            "resumed" => value.flag(&mut self.resumed),
            "ping_ms" => value.integer(&mut self.ping_ms),
            "slack_ms" => value.integer(&mut self.slack_ms),
            "limits" => value.object::<LimitsFields>(&mut self.limits),
            "expires_ms" => value.integer(&mut self.expires_ms),
            "subs" => value.objects::<SubscribedFields<'_>>(&mut self.subscribed, Bound::NONE),
            "time_ms" => value.integer(&mut self.time_ms),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Welcome<'a>, Problem> {
        Ok(Welcome {
            conn: there(self.conn, "conn", "the connection's name")?,
            node: there(self.node, "node", "the server's name")?,
            user: there(self.user, "user", "the user's name")?,
            ticket: self.ticket,
            resumed: match self.resumed {
                Some(true) => Resumed::Yes,
                Some(false) | None => Resumed::No,
            },
            ping_ms: there(self.ping_ms, "ping_ms", "a time")?,
            slack_ms: there(self.slack_ms, "slack_ms", "a time")?,
            limits: there(self.limits, "limits", "an object")?,
            expires_ms: self.expires_ms,
            subscribed: self.subscribed.unwrap_or_default(),
            time_ms: there(self.time_ms, "time_ms", "a time")?,
        })
    }
}

#[derive(Debug, Default)]
struct LimitsFields {
    message_bytes: Option<u64>,
    topic_bytes: Option<u64>,
    topic_levels: Option<u64>,
    subscriptions: Option<u64>,
    backlog_bytes: Option<u64>,
    publish_per_s: Option<u64>,
    publish_burst: Option<u64>,
    unanswered: Option<u64>,
    history_items: Option<u64>,
}

impl<'a> Fields<'a> for LimitsFields {
    type Word = Limits;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "message_bytes" => value.integer(&mut self.message_bytes),
            "topic_bytes" => value.integer(&mut self.topic_bytes),
            "topic_levels" => value.integer(&mut self.topic_levels),
            "subscriptions" => value.integer(&mut self.subscriptions),
            "backlog_bytes" => value.integer(&mut self.backlog_bytes),
            "publish_per_s" => value.integer(&mut self.publish_per_s),
            "publish_burst" => value.integer(&mut self.publish_burst),
            "unanswered" => value.integer(&mut self.unanswered),
            "history_items" => value.integer(&mut self.history_items),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Limits, Problem> {
        let limit = |limit, name| there(limit, name, "a number");
        Ok(Limits {
            message_bytes: limit(self.message_bytes, "message_bytes")?,
            topic_bytes: limit(self.topic_bytes, "topic_bytes")?,
            topic_levels: limit(self.topic_levels, "topic_levels")?,
            subscriptions: limit(self.subscriptions, "subscriptions")?,
            backlog_bytes: limit(self.backlog_bytes, "backlog_bytes")?,
            publish_per_s: limit(self.publish_per_s, "publish_per_s")?,
            publish_burst: limit(self.publish_burst, "publish_burst")?,
            unanswered: limit(self.unanswered, "unanswered")?,
            history_items: limit(self.history_items, "history_items")?,
        })
    }
}

/// The answer to one subscription of a `hello`.
#[derive(Debug, Default)]
struct SubscribedFields<'a> {
    subbed: Option<Subbed<'a>>,
    error: Option<ErrorReply<'a>>,
    unknown: Option<String>,
}

impl<'a> Fields<'a> for SubscribedFields<'a> {
    type Word = Result<Subbed<'a>, ErrorReply<'a>>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "subbed" => value.object::<SubbedFields<'_>>(&mut self.subbed),
            "err" => value.object::<ErrorFields<'_>>(&mut self.error),
            _ => {
                self.unknown.get_or_insert_with(|| name.to_owned());
                value.skip()
            }
        }
    }

    fn finish(self) -> Result<Self::Word, Problem> {
        match (self.subbed, self.error, self.unknown) {
            (Some(subbed), None, _) => Ok(Ok(subbed)),
            (None, Some(error), _) => Ok(Err(error)),
            (None, None, Some(name)) => Err(Problem::unknown_word(Quoted(&name))),
            (None, None, None) => Err(Problem::missing("subbed", "the answer, or err,")),
            (Some(_), Some(_), _) => Err(Problem::bad("subbed and err; one must be left out")),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct DoneFields(Option<u64>);

impl<'a> Fields<'a> for DoneFields {
    type Word = Done;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "expires_ms" => value.integer(&mut self.0),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Done, Problem> {
        let expires_ms = self.0;
        Ok(Done { expires_ms })
    }
}

#[derive(Debug, Default)]
pub(super) struct SubbedFields<'a> {
    s: Option<u64>,
    t: Option<u64>,
    epoch: Option<Cow<'a, str>>,
    offset: Option<u64>,
    pos: Option<Cow<'a, str>>,
    recovered: Option<bool>,
    replay_to: Option<u64>,
    policy: Option<Policy>,
}

impl<'a> Fields<'a> for SubbedFields<'a> {
    type Word = Subbed<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "s" => value.integer(&mut self.s),
            "t" => value.integer(&mut self.t),
            "epoch" => value.text(&mut self.epoch),
            "offset" => value.integer(&mut self.offset),
            "pos" => value.text(&mut self.pos),
            "recovered" => value.flag(&mut self.recovered),
            "replay_to" => value.integer(&mut self.replay_to),
            "policy" => value.object::<PolicyInForceFields>(&mut self.policy),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Subbed<'a>, Problem> {
        Ok(Subbed {
            s: there(self.s, "s", "the subscription's number")?,
            to: SubbedTo::one_of(self.t, self.epoch, self.offset, self.pos)?,
            recovered: self.recovered.map(|recovered| match recovered {
                true => Recovered::Yes,
                false => Recovered::No,
            }),
            replay_to: self.replay_to,
            policy: self.policy.unwrap_or_default(),
        })
    }
}

/// A server may have more to say of a policy than a client can ask for.
#[derive(Debug, Default)]
struct PolicyInForceFields(PolicyFields);

impl<'a> Fields<'a> for PolicyInForceFields {
    type Word = Policy;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "key" | "rate" => value.skip(),
            _ => self.0.field(name, value),
        }
    }

    fn finish(self) -> Result<Policy, Problem> {
        self.0.finish()
    }
}

#[derive(Debug, Default)]
pub(super) struct PubbedFields<'a> {
    epoch: Option<Cow<'a, str>>,
    offset: Option<u64>,
    level: Option<Level>,
    dup: Option<bool>,
}

impl<'a> Fields<'a> for PubbedFields<'a> {
    type Word = Pubbed<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "epoch" => value.text(&mut self.epoch),
            "offset" => value.integer(&mut self.offset),
            "level" => value.named(&mut self.level),
            "dup" => value.flag(&mut self.dup),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Pubbed<'a>, Problem> {
        Ok(Pubbed {
            epoch: there(self.epoch, "epoch", "an epoch")?,
            offset: there(self.offset, "offset", "an offset")?,
            level: there(self.level, "level", "the level that was reached")?,
            dup: match self.dup {
                Some(true) => Duplicate::Yes,
                Some(false) | None => Duplicate::No,
            },
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct ErrorFields<'a> {
    code: Option<ErrorCode>,
    text: Option<Cow<'a, str>>,
    retry_ms: Option<u64>,
}

impl<'a> Fields<'a> for ErrorFields<'a> {
    type Word = ErrorReply<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "code" => value.code(&mut self.code),
            "text" => value.text(&mut self.text),
            "retry_ms" => value.integer(&mut self.retry_ms),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<ErrorReply<'a>, Problem> {
        Ok(ErrorReply {
            code: there(self.code, "code", "an error's number")?,
            text: there(self.text, "text", "what was wrong")?,
            retry_ms: self.retry_ms,
        })
    }
}

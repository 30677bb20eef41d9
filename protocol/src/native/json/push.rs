//! The fields of the pushes.

use std::borrow::Cow;

use serde::de::MapAccess;

use super::super::bound::Bound;
use super::super::code::ErrorCode;
use super::super::data::Data;
use super::super::problem::Problem;
use super::super::push::{
    Cause, Closing, Conflated, Gap, GoAway, Message, Ping, Position, Publisher, Repair, Reset,
    TokenExpiring, TopicAlias, Unsubbed, Untopic, Warn, close_code,
};
use super::super::tags::Tags;
use super::command::there;
use super::value::{Fields, Taken, Value};

#[derive(Debug, Default)]
pub(super) struct TopicFields<'a> {
    t: Option<u64>,
    topic: Option<Cow<'a, str>>,
    s: Option<Vec<u64>>,
    epoch: Option<Cow<'a, str>>,
    offset: Option<u64>,
}

impl<'a> Fields<'a> for TopicFields<'a> {
    type Word = TopicAlias<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.integer(&mut self.t),
            "topic" => value.text(&mut self.topic),
            "s" => value.integers(&mut self.s),
            "epoch" => value.text(&mut self.epoch),
            "offset" => value.integer(&mut self.offset),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<TopicAlias<'a>, Problem> {
        Ok(TopicAlias {
            t: there(self.t, "t", "an alias")?,
            topic: there(self.topic, "topic", "a topic's name")?,
            s: there(self.s, "s", "a list of subscriptions")?,
            epoch: there(self.epoch, "epoch", "an epoch")?,
            offset: there(self.offset, "offset", "an offset")?,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct MessageFields<'a> {
    t: Option<u64>,
    offset: Option<u64>,
    data: Option<Data<'a>>,
    time_ms: Option<u64>,
    key: Option<Cow<'a, str>>,
    tags: Option<Tags<'a>>,
    publisher: Option<Publisher<'a>>,
}

impl<'a> Fields<'a> for MessageFields<'a> {
    type Word = Message<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.integer(&mut self.t),
            "o" => value.integer(&mut self.offset),
            "data" => value.json(&mut self.data),
            "b64" => value.base64(&mut self.data),
            "ts" => value.integer(&mut self.time_ms),
            "key" => value.text(&mut self.key),
            "tags" => value.tags(&mut self.tags, Bound::NONE),
            "pub" => value.object::<PublisherFields<'_>>(&mut self.publisher),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Message<'a>, Problem> {
        let t = there(self.t, "t", "an alias")?;
        self.message(t)
    }
}

impl<'a> MessageFields<'a> {
    /// A message with this alias, whatever the fields say of it.
    pub(super) fn message(self, t: u64) -> Result<Message<'a>, Problem> {
        Ok(Message {
            t,
            offset: there(self.offset, "o", "an offset")?,
            data: there(self.data, "data", "any JSON, or b64 with bytes,")?,
            time_ms: there(self.time_ms, "ts", "a time")?,
            key: self.key,
            tags: self.tags.unwrap_or_default(),
            publisher: there(self.publisher, "pub", "a publisher")?,
        })
    }
}

#[derive(Debug, Default)]
struct PublisherFields<'a> {
    user: Option<Cow<'a, str>>,
    conn: Option<Cow<'a, str>>,
    pseq: Option<u64>,
}

impl<'a> Fields<'a> for PublisherFields<'a> {
    type Word = Publisher<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "user" => value.text(&mut self.user),
            "conn" => value.text(&mut self.conn),
            "pseq" => value.integer(&mut self.pseq),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Publisher<'a>, Problem> {
        Ok(Publisher {
            user: there(self.user, "user", "a user's name")?,
            conn: there(self.conn, "conn", "a connection's name")?,
            pseq: self.pseq,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct UntopicFields {
    t: Option<u64>,
}

impl<'a> Fields<'a> for UntopicFields {
    type Word = Untopic;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.integer(&mut self.t),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Untopic, Problem> {
        let t = there(self.t, "t", "an alias")?;
        Ok(Untopic { t })
    }
}

#[derive(Debug, Default)]
pub(super) struct PositionFields<'a> {
    t: Option<u64>,
    offset: Option<u64>,
    s: Option<u64>,
    pos: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> for PositionFields<'a> {
    type Word = Position<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.integer(&mut self.t),
            "o" => value.integer(&mut self.offset),
            "s" => value.integer(&mut self.s),
            "pos" => value.text(&mut self.pos),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Position<'a>, Problem> {
        Position::one_of(self.t, self.offset, self.s, self.pos)
    }
}

#[derive(Debug, Default)]
pub(super) struct GapFields {
    t: Option<u64>,
    from: Option<u64>,
    to: Option<u64>,
    cause: Option<Cause>,
    repair: Option<Repair>,
}

impl<'a> Fields<'a> for GapFields {
    type Word = Gap;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.integer(&mut self.t),
            "from" => value.integer(&mut self.from),
            "to" => value.integer(&mut self.to),
            "cause" => value.named(&mut self.cause),
            "repair" => value.named(&mut self.repair),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Gap, Problem> {
        Ok(Gap {
            t: there(self.t, "t", "an alias")?,
            from: there(self.from, "from", "an offset")?,
            to: there(self.to, "to", "an offset")?,
            cause: there(self.cause, "cause", "why something is missing")?,
            repair: there(self.repair, "repair", "how to get it")?,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct ConflatedFields {
    t: Option<u64>,
    n: Option<u64>,
    up_to: Option<u64>,
}

impl<'a> Fields<'a> for ConflatedFields {
    type Word = Conflated;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.integer(&mut self.t),
            "n" => value.integer(&mut self.n),
            "upto" => value.integer(&mut self.up_to),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Conflated, Problem> {
        Ok(Conflated {
            t: there(self.t, "t", "an alias")?,
            n: there(self.n, "n", "a number of messages")?,
            up_to: there(self.up_to, "upto", "an offset")?,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct ResetFields<'a> {
    t: Option<u64>,
    epoch: Option<Cow<'a, str>>,
    offset: Option<u64>,
    s: Option<u64>,
    pos: Option<Cow<'a, str>>,
    cause: Option<Cause>,
}

impl<'a> Fields<'a> for ResetFields<'a> {
    type Word = Reset<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.integer(&mut self.t),
            "epoch" => value.text(&mut self.epoch),
            "offset" => value.integer(&mut self.offset),
            "s" => value.integer(&mut self.s),
            "pos" => value.text(&mut self.pos),
            "cause" => value.named(&mut self.cause),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Reset<'a>, Problem> {
        let cause = there(self.cause, "cause", "why something is missing")?;
        let place = (self.epoch, self.offset);
        Reset::one_of(self.t, place, self.s, self.pos, cause)
    }
}

#[derive(Debug, Default)]
pub(super) struct UnsubbedFields {
    s: Option<u64>,
    code: Option<ErrorCode>,
    retry_ms: Option<u64>,
}

impl<'a> Fields<'a> for UnsubbedFields {
    type Word = Unsubbed;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "s" => value.integer(&mut self.s),
            "code" => value.code(&mut self.code),
            "retry_ms" => value.integer(&mut self.retry_ms),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Unsubbed, Problem> {
        Ok(Unsubbed {
            s: there(self.s, "s", "a subscription's number")?,
            code: there(self.code, "code", "an error's number")?,
            retry_ms: self.retry_ms,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct TokenExpiringFields {
    in_ms: Option<u64>,
}

impl<'a> Fields<'a> for TokenExpiringFields {
    type Word = TokenExpiring;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "in_ms" => value.integer(&mut self.in_ms),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<TokenExpiring, Problem> {
        let in_ms = there(self.in_ms, "in_ms", "a time")?;
        Ok(TokenExpiring { in_ms })
    }
}

#[derive(Debug, Default)]
pub(super) struct GoAwayFields<'a> {
    deadline_ms: Option<u64>,
    spread_ms: Option<u64>,
    url: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> for GoAwayFields<'a> {
    type Word = GoAway<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "deadline_ms" => value.integer(&mut self.deadline_ms),
            "spread_ms" => value.integer(&mut self.spread_ms),
            "url" => value.text(&mut self.url),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<GoAway<'a>, Problem> {
        Ok(GoAway {
            deadline_ms: there(self.deadline_ms, "deadline_ms", "a time")?,
            spread_ms: there(self.spread_ms, "spread_ms", "a time")?,
            url: self.url,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct PingFields {
    t: Option<u64>,
}

impl<'a> Fields<'a> for PingFields {
    type Word = Ping;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.integer(&mut self.t),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Ping, Problem> {
        let t = there(self.t, "t", "a number")?;
        Ok(Ping { t })
    }
}

#[derive(Debug, Default)]
pub(super) struct WarnFields<'a> {
    code: Option<ErrorCode>,
    text: Option<Cow<'a, str>>,
    command: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> for WarnFields<'a> {
    type Word = Warn<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "code" => value.code(&mut self.code),
            "text" => value.text(&mut self.text),
            "cmd" => value.text(&mut self.command),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Warn<'a>, Problem> {
        Ok(Warn {
            code: there(self.code, "code", "an error's number")?,
            text: there(self.text, "text", "what went wrong")?,
            command: self.command,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct ClosingFields<'a> {
    code: Option<u64>,
    reason: Option<Cow<'a, str>>,
    retry_ms: Option<u64>,
    spread_ms: Option<u64>,
    url: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> for ClosingFields<'a> {
    type Word = Closing<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "code" => value.integer(&mut self.code),
            "reason" => value.text(&mut self.reason),
            "retry_ms" => value.integer(&mut self.retry_ms),
            "spread_ms" => value.integer(&mut self.spread_ms),
            "url" => value.text(&mut self.url),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Closing<'a>, Problem> {
        Ok(Closing {
            code: close_code(there(self.code, "code", "a close code")?)?,
            reason: there(self.reason, "reason", "a text")?,
            retry_ms: self.retry_ms,
            spread_ms: self.spread_ms,
            url: self.url,
        })
    }
}

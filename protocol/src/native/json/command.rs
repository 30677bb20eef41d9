//! The fields of the commands.

use std::borrow::Cow;

use serde::de::MapAccess;

use super::super::bound::Bound;
use super::super::command::{
    Auth, Bye, Credit, CreditScope, Echo, Hello, Level, Policy, PolicyMode, Pong, Publish,
    Subscribe, Target, Unsubscribe,
};
use super::super::data::Data;
use super::super::history::Start;
use super::super::problem::Problem;
use super::super::reply::ErrorReply;
use super::super::state::{Presence, check_watch};
use super::super::tags::Tags;
use super::history::StartFields;
use super::read::Found;
use super::value::{Fields, Taken, Value};

#[derive(Debug, Default)]
pub(super) struct HelloFields<'a> {
    version: Option<u64>,
    token: Option<Cow<'a, str>>,
    user: Option<Cow<'a, str>>,
    resume: Option<Cow<'a, str>>,
    subscribe: Option<Vec<Result<Subscribe<'a>, ErrorReply<'static>>>>,
}

impl<'a> Fields<'a> for HelloFields<'a> {
    type Word = Hello<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "v" => value.integer(&mut self.version),
            "token" => value.text(&mut self.token),
            "user" => value.text(&mut self.user),
            "resume" => value.text(&mut self.resume),
            "subs" => {
                value.each_object::<SubscribeFields<'_>>(&mut self.subscribe, Bound::SUBSCRIPTIONS)
            }
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Hello<'a>, Problem> {
        Ok(Hello {
            version: there(self.version, "v", "the version of the protocol, 1,")?,
            token: self.token,
            user: self.user,
            resume: self.resume,
            subscribe: self.subscribe.unwrap_or_default(),
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct AuthFields<'a>(Option<Cow<'a, str>>);

impl<'a> Fields<'a> for AuthFields<'a> {
    type Word = Auth<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "token" => value.text(&mut self.0),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Auth<'a>, Problem> {
        let token = there(self.0, "token", "a JSON Web Token")?;
        Ok(Auth { token })
    }
}

#[derive(Debug, Default)]
pub(super) struct SubscribeFields<'a> {
    s: Option<u64>,
    topic: Option<Cow<'a, str>>,
    from: Option<Start<'a>>,
    policy: Option<Policy>,
    credit: Option<u64>,
    ack: Option<()>,
    presence: Option<Option<Presence>>,
    watch: Option<Vec<Cow<'a, str>>>,
}

impl<'a> Fields<'a> for SubscribeFields<'a> {
    type Word = Subscribe<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "s" => value.integer(&mut self.s),
            "topic" => value.text(&mut self.topic),
            "from" => value.object_or::<StartFields<'_>>(&mut self.from, start_by_name),
            "policy" => value.object::<PolicyFields>(&mut self.policy),
            "credit" => value.integer(&mut self.credit),
            "ack" => value.choice(&mut self.ack, &[("none", ())], &["client"]),
            "presence" => value.choice(&mut self.presence, PRESENCES, &[]),
            "watch" => value.texts(&mut self.watch, Bound::WATCH),
            "delta" | "durable" | "filter" | "token" => value.later(),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Subscribe<'a>, Problem> {
        let watch = self.watch.unwrap_or_default();
        check_watch(&watch)?;
        Ok(Subscribe {
            s: there(self.s, "s", "a number that the client chooses")?,
            topic: there(self.topic, "topic", "a topic's name or a pattern")?,
            from: self.from.unwrap_or_default(),
            policy: self.policy,
            credit: self.credit,
            presence: self.presence.flatten(),
            watch,
        })
    }
}

/// `off` is what is meant if nothing is said.
const PRESENCES: &[(&str, Option<Presence>)] = &[
    ("off", None),
    ("announce", Some(Presence::Announce)),
    ("watch", Some(Presence::Watch)),
    ("both", Some(Presence::Both)),
];

/// Where a subscription begins, if it is not an object that says it.
fn start_by_name<'a>(found: Found<'a>) -> Result<Option<Start<'a>>, Problem> {
    const NEEDED: &str =
        "\"now\", or an object with epoch and offset, or last, or since_ms, or pos and seen,";
    if let Found::Null = found {
        return Ok(None);
    }
    if let Found::Text(text) = &found
        && text == "now"
    {
        return Ok(Some(Start::Now));
    }
    Err(Problem::wrong(found, NEEDED))
}

#[derive(Debug, Default)]
pub(super) struct PolicyFields {
    mode: Option<PolicyMode>,
    max_bytes: Option<u64>,
    max_messages: Option<u64>,
}

impl<'a> Fields<'a> for PolicyFields {
    type Word = Policy;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "mode" => value.named(&mut self.mode),
            "max_bytes" => value.integer(&mut self.max_bytes),
            "max_msgs" => value.integer(&mut self.max_messages),
            "key" | "rate" => value.later(),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Policy, Problem> {
        Ok(Policy {
            mode: self.mode.unwrap_or_default(),
            max_bytes: self.max_bytes,
            max_messages: self.max_messages,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct UnsubscribeFields(Option<u64>);

impl<'a> Fields<'a> for UnsubscribeFields {
    type Word = Unsubscribe;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "s" => value.integer(&mut self.0),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Unsubscribe, Problem> {
        let s = there(self.0, "s", "the subscription's number")?;
        Ok(Unsubscribe { s })
    }
}

#[derive(Debug, Default)]
pub(super) struct PublishFields<'a> {
    topic: Option<Cow<'a, str>>,
    t: Option<u64>,
    data: Option<Data<'a>>,
    pseq: Option<u64>,
    idem: Option<Cow<'a, str>>,
    key: Option<Cow<'a, str>>,
    tags: Option<Tags<'a>>,
    ttl_ms: Option<u64>,
    level: Option<Level>,
    echo: Option<bool>,
}

impl<'a> Fields<'a> for PublishFields<'a> {
    type Word = Publish<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "topic" => value.text(&mut self.topic),
            "t" => value.integer(&mut self.t),
            "data" => value.json(&mut self.data),
            "b64" => value.base64(&mut self.data),
            "pseq" => value.integer(&mut self.pseq),
            "idem" => value.text(&mut self.idem),
            "key" => value.text(&mut self.key),
            "tags" => value.tags(&mut self.tags, Bound::TAGS),
            "ttl_ms" => value.integer(&mut self.ttl_ms),
            "level" => value.named(&mut self.level),
            "echo" => value.flag(&mut self.echo),
            "delta" | "receipt" => value.later(),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Publish<'a>, Problem> {
        let publish = Publish {
            target: Target::one_of(self.topic, self.t)?,
            data: there(self.data, "data", "any JSON, or b64 with bytes,")?,
            pseq: self.pseq,
            idem: self.idem,
            key: self.key,
            tags: self.tags.unwrap_or_default(),
            ttl_ms: self.ttl_ms,
            level: self.level.unwrap_or_default(),
            echo: match self.echo {
                Some(false) => Echo::No,
                Some(true) | None => Echo::Yes,
            },
        };
        publish.check()?;
        Ok(publish)
    }
}

#[derive(Debug, Default)]
pub(super) struct CreditFields {
    t: Option<u64>,
    s: Option<u64>,
    messages: Option<u64>,
    bytes: Option<u64>,
}

impl<'a> Fields<'a> for CreditFields {
    type Word = Credit;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.integer(&mut self.t),
            "s" => value.integer(&mut self.s),
            "msgs" => value.integer(&mut self.messages),
            "bytes" => value.integer(&mut self.bytes),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Credit, Problem> {
        Ok(Credit {
            scope: CreditScope::one_of(self.t, self.s)?,
            messages: self.messages,
            bytes: self.bytes,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct PongFields(Option<u64>);

impl<'a> Fields<'a> for PongFields {
    type Word = Pong;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.integer(&mut self.0),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Pong, Problem> {
        Ok(Pong { t: self.0 })
    }
}

#[derive(Debug, Default)]
pub(super) struct ByeFields<'a>(Option<Cow<'a, str>>);

impl<'a> Fields<'a> for ByeFields<'a> {
    type Word = Bye<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "reason" => value.text(&mut self.0),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Bye<'a>, Problem> {
        Ok(Bye { reason: self.0 })
    }
}

/// A field that must be there.
pub(super) fn there<T>(field: Option<T>, name: &str, needed: &str) -> Result<T, Problem> {
    field.ok_or_else(|| Problem::missing(name, needed))
}

//! The outermost objects: an `id`, and one word under its name.

use serde::de::MapAccess;

use super::super::command::{Command, Request};
use super::super::dialect::ServerWord;
use super::super::problem::{Problem, Quoted};
use super::super::push::Push;
use super::super::reply::Reply;
use super::command::{
    AuthFields, ByeFields, CreditFields, HelloFields, PongFields, PublishFields, SubscribeFields,
    UnsubscribeFields,
};
use super::history::{HistoryFields, PageFields};
use super::push::{
    ClosingFields, ConflatedFields, GapFields, GoAwayFields, MessageFields, PingFields,
    PositionFields, ResetFields, TokenExpiringFields, TopicFields, UnsubbedFields, UntopicFields,
    WarnFields,
};
use super::read::Stop;
use super::reply::{DoneFields, ErrorFields, PubbedFields, SubbedFields, WelcomeFields};
use super::state::{DiffFields, MembersFields, StateCommandFields};
use super::value::{Fields, Taken, Value};

/// What a client sends.
#[derive(Debug, Default)]
pub(super) struct AnyRequest<'a>(Envelope<Command<'a>>);

/// What a server sends.
#[derive(Debug, Default)]
pub(super) struct AnyServerWord<'a>(Envelope<Said<'a>>);

#[derive(Debug)]
enum Said<'a> {
    Reply(Reply<'a>),
    Push(Push<'a>),
}

/// An `id` and a word.
#[derive(Debug)]
struct Envelope<W> {
    id: Option<u64>,
    word: Option<W>,
    /// The first name that nobody knows.
    unknown: Option<String>,
}

impl<W> Default for Envelope<W> {
    fn default() -> Self {
        Self {
            id: None,
            word: None,
            unknown: None,
        }
    }
}

impl<W> Envelope<W> {
    /// The number of the command that this is, or answers.
    fn id<'a, A: MapAccess<'a>>(&mut self, value: Value<'_, A>) -> Taken<A::Error> {
        value.integer(&mut self.id)?;
        if self.id == Some(0) {
            return Err(Problem::bad("found 0; numbers of commands begin at 1").into());
        }
        Ok(())
    }

    /// The word is known.
    fn word<E>(&mut self, word: Result<W, Stop<E>>) -> Taken<E> {
        let word = word?;
        if self.word.replace(word).is_some() {
            return Err(Problem::bad("a second word; send each in an object of its own").into());
        }
        Ok(())
    }

    /// A field of a later version, or a word of one.
    fn unknown<'a, A: MapAccess<'a>>(
        &mut self,
        name: &str,
        value: Value<'_, A>,
    ) -> Taken<A::Error> {
        self.unknown.get_or_insert_with(|| name.to_owned());
        value.skip()
    }

    fn finish(self, needed: &'static str) -> Result<(Option<u64>, W), Problem> {
        match (self.word, self.unknown) {
            (Some(word), _) => Ok((self.id, word)),
            (None, Some(name)) => Err(Problem::unknown_word(Quoted(&name))),
            (None, None) => Err(Problem::bad(needed)),
        }
    }
}

impl<'a> Fields<'a> for AnyRequest<'a> {
    type Word = Request<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        let Self(envelope) = self;
        let command = match name {
            "id" => return envelope.id(value),
            "hello" => {
                let hello = value.body::<HelloFields<'_>>();
                hello.map(|hello| Command::Hello(Box::new(hello)))
            }
            "auth" => value.body::<AuthFields<'_>>().map(Command::Auth),
            "sub" => {
                let subscribe = value.body::<SubscribeFields<'_>>();
                subscribe.map(|subscribe| Command::Subscribe(Box::new(subscribe)))
            }
            "unsub" => value.body::<UnsubscribeFields>().map(Command::Unsubscribe),
            "pub" => value.body::<PublishFields<'_>>().map(Command::Publish),
            "hist" => value.body::<HistoryFields<'_>>().map(Command::History),
            "state" => value.body::<StateCommandFields<'_>>().map(Command::State),
            "credit" => value.body::<CreditFields>().map(Command::Credit),
            "pong" => value.body::<PongFields>().map(Command::Pong),
            "bye" => value.body::<ByeFields<'_>>().map(Command::Bye),
            _ => return envelope.unknown(name, value),
        };
        envelope.word(command)
    }

    fn finish(self) -> Result<Request<'a>, Problem> {
        let (id, command) = self
            .0
            .finish("no command; write one as {\"id\":1,\"pub\":{…}}")?;
        Ok(Request { id, command })
    }
}

impl<'a> Fields<'a> for AnyServerWord<'a> {
    type Word = ServerWord<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        let Self(envelope) = self;
        let reply = match name {
            "id" => return envelope.id(value),
            "welcome" => {
                let welcome = value.body::<WelcomeFields<'_>>();
                welcome.map(|welcome| Reply::Welcome(Box::new(welcome)))
            }
            "ok" => value.body::<DoneFields>().map(Reply::Ok),
            "subbed" => value.body::<SubbedFields<'_>>().map(Reply::Subbed),
            "pubbed" => value.body::<PubbedFields<'_>>().map(Reply::Pubbed),
            "page" => value.body::<PageFields<'_>>().map(Reply::Page),
            "members" => value.body::<MembersFields<'_>>().map(Reply::Members),
            "err" => value.body::<ErrorFields<'_>>().map(Reply::Error),
            name => return push(envelope, name, value),
        };
        envelope.word(reply.map(Said::Reply))
    }

    fn finish(self) -> Result<ServerWord<'a>, Problem> {
        match self.0.finish("neither a reply nor a push")? {
            (Some(id), Said::Reply(reply)) => Ok(ServerWord::Reply(id, reply)),
            (_, Said::Push(push)) => Ok(ServerWord::Push(push)),
            (None, Said::Reply(_)) => Err(Problem::missing("id", "the number of a command")),
        }
    }
}

fn push<'a, A: MapAccess<'a>>(
    envelope: &mut Envelope<Said<'a>>,
    name: &str,
    value: Value<'_, A>,
) -> Taken<A::Error> {
    let push = match name {
        "topic" => value.body::<TopicFields<'_>>().map(Push::Topic),
        "msg" => value.body::<MessageFields<'_>>().map(Push::Message),
        "untopic" => value.body::<UntopicFields>().map(Push::Untopic),
        "pos" => value.body::<PositionFields<'_>>().map(Push::Position),
        "gap" => value.body::<GapFields>().map(Push::Gap),
        "conflated" => value.body::<ConflatedFields>().map(Push::Conflated),
        "reset" => value.body::<ResetFields<'_>>().map(Push::Reset),
        "state" => value.body::<DiffFields<'_>>().map(Push::State),
        "unsubbed" => value.body::<UnsubbedFields>().map(Push::Unsubbed),
        "token_expiring" => value.body::<TokenExpiringFields>().map(Push::TokenExpiring),
        "goaway" => value.body::<GoAwayFields<'_>>().map(Push::GoAway),
        "ping" => value.body::<PingFields>().map(Push::Ping),
        "warn" => value.body::<WarnFields<'_>>().map(Push::Warn),
        "closing" => value.body::<ClosingFields<'_>>().map(Push::Closing),
        _ => return envelope.unknown(name, value),
    };
    envelope.word(push.map(Said::Push))
}

//! What a client says.

use std::borrow::Cow;

use super::data::Data;
use super::history::{History, Start};
use super::problem::Problem;
use super::reply::ErrorReply;
use super::state::{Presence, StateCommand};
use super::tags;

/// Subscriptions in one [`Hello`].
pub const HELLO_SUBSCRIPTIONS_MAX: usize = 4096;
/// Bytes of the `idem` of a [`Publish`].
pub const IDEM_BYTES_MAX: usize = 64;

/// A command, with a number if its sender wants a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Chosen by the client, from 1; the reply repeats it. Without one a publication is "fire and
    /// forget": it is not answered, and if it fails, the client is told by a
    /// [`Warn`](super::Warn).
    pub id: Option<u64>,
    /// What is to be done.
    pub command: Command<'a>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// `hello`: who this is. The first command, within 5 s. Answered by `welcome`.
    Hello(Box<Hello<'a>>),
    /// `auth`: a new token. Answered by `ok`.
    Auth(Auth<'a>),
    /// `sub`: send me what is published here. Answered by `subbed`.
    Subscribe(Box<Subscribe<'a>>),
    /// `unsub`. Answered by `ok`.
    Unsubscribe(Unsubscribe),
    /// `pub`. Answered by `pubbed`.
    Publish(Publish<'a>),
    /// `hist`: messages of the past. Answered by `page`.
    History(History<'a>),
    /// `state`: what is beside the messages. Answered by `ok`, or by `members`.
    State(StateCommand<'a>),
    /// `credit`: how much may be sent. Not answered, unless it has an `id`: `ok`.
    Credit(Credit),
    /// `pong`: the answer to a `ping`, or a question whether anybody is there if it has an `id`.
    Pong(Pong),
    /// `bye`: a leave on purpose. The server closes the connection.
    Bye(Bye<'a>),
}

/// `hello`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello<'a> {
    /// `v`: the version of the protocol, 1.
    pub version: u64,
    /// `token`: a JSON Web Token that names the user.
    pub token: Option<Cow<'a, str>>,
    /// `user`: a name, where the server lets clients choose one.
    pub user: Option<Cow<'a, str>>,
    /// `resume`: the ticket of an earlier connection ([`Welcome::ticket`](super::Welcome::ticket)),
    /// to go on as the same user and producer. Where each subscription goes on says its
    /// [`from`](Subscribe::from).
    pub resume: Option<Cow<'a, str>>,
    /// `subs`: subscriptions that begin with the connection. One that cannot be read is refused
    /// alone, by this answer to it; nobody writes it.
    pub subscribe: Vec<Result<Subscribe<'a>, ErrorReply<'static>>>,
}

/// `auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth<'a> {
    /// `token`.
    pub token: Cow<'a, str>,
}

/// `sub`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// `s`: the subscription's number, chosen by the client; none of its other subscriptions has
    /// it.
    pub s: u64,
    /// `topic`: a topic's name or a pattern, not checked yet.
    pub topic: Cow<'a, str>,
    /// `from`: where to begin.
    pub from: Start<'a>,
    /// `policy`: what to do when the client does not keep up.
    pub policy: Option<Policy>,
    /// `credit`: messages that may be sent before a [`Credit`] says more. Without it there is no
    /// such limit.
    pub credit: Option<u64>,
    /// `presence`: whether to be there for others, and to hear of them.
    pub presence: Option<Presence>,
    /// `watch`: namespaces of ephemeral state to be sent, at most
    /// [`WATCH_MAX`](super::WATCH_MAX).
    pub watch: Vec<Cow<'a, str>>,
}

/// `policy`: what happens to a delivery whose client does not keep up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// `mode`.
    pub mode: PolicyMode,
    /// `max_bytes`: the backlog before its newest message; the server's bound if there is none.
    pub max_bytes: Option<u64>,
    /// `max_msgs`: the same in messages.
    pub max_messages: Option<u64>,
}

/// `mode` of a [`Policy`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PolicyMode {
    /// `all`: every message, as long as the server has it; what it has not any more is told as a
    /// gap.
    #[default]
    All,
    /// `latest`: of each key the newest message.
    Latest,
    /// `drop_oldest`: the newest messages that fit; the others are told as a gap.
    DropOldest,
    /// `close`: the connection is closed, to begin anew.
    Close,
}

/// `unsub`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsubscribe {
    /// `s`.
    pub s: u64,
}

/// `pub`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish<'a> {
    /// `topic` or `t`.
    pub target: Target<'a>,
    /// `data` or `b64`.
    pub data: Data<'a>,
    /// `pseq`: the producer's number of this message in this topic, from 1. It is told to
    /// subscribers. A known one is not published again.
    pub pseq: Option<u64>,
    /// `idem`: a key of at most [`IDEM_BYTES_MAX`]; a message with the same one in the same topic
    /// is not published again for a while.
    pub idem: Option<Cow<'a, str>>,
    /// `key`: what the message is the newest value of, for [`PolicyMode::Latest`].
    pub key: Option<Cow<'a, str>>,
    /// `tags`: names and values, told to subscribers: at most [`TAGS_MAX`](super::TAGS_MAX), the
    /// names different.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// `ttl_ms`: the message is not delivered when it is older, from 1.
    pub ttl_ms: Option<u64>,
    /// `level`: how safe the message must be before it is answered.
    pub level: Level,
    /// `echo`: whether the publisher gets it, too, if it subscribes to the topic.
    pub echo: Echo,
}

impl Publish<'_> {
    /// What a reader must not let through.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if let Some(idem) = &self.idem
            && !(1..=IDEM_BYTES_MAX).contains(&idem.len())
        {
            return Err(Problem::bad(format!(
                "{} bytes; 1 to {IDEM_BYTES_MAX} are possible",
                idem.len()
            ))
            .within("idem"));
        }
        if self.ttl_ms == Some(0) {
            return Err(Problem::wrong(0, "a number from 1").within("ttl_ms"));
        }
        tags::check(&self.tags).map_err(|problem| problem.within("tags"))
    }
}

/// What is published to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// `topic`: a topic's name, not checked yet.
    Topic(Cow<'a, str>),
    /// `t`: the alias of a topic that this connection was told.
    Alias(u64),
}

impl<'a> Target<'a> {
    /// Exactly one of the two.
    pub(super) fn one_of(topic: Option<Cow<'a, str>>, t: Option<u64>) -> Result<Self, Problem> {
        match (topic, t) {
            (Some(topic), None) => Ok(Self::Topic(topic)),
            (None, Some(t)) => Ok(Self::Alias(t)),
            (None, None) => Err(Problem::missing("topic", "a topic's name, or its alias t,")),
            (Some(_), Some(_)) => Err(Problem::bad("topic and t; leave one out")),
        }
    }
}

/// `level`: where a message is before it is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Level {
    /// `none`: on its way.
    None,
    /// `mem`: in order, in the memory of the server.
    #[default]
    Memory,
}

/// `echo`: whether a publisher gets its own messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Echo {
    /// It does.
    #[default]
    Yes,
    /// It does not.
    No,
}

/// `credit`: totals since the beginning, so that a lost or repeated one does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// `t`, `s` or neither.
    pub scope: CreditScope,
    /// `msgs`: messages that may have been sent in all.
    pub messages: Option<u64>,
    /// `bytes`: the same in bytes of data.
    pub bytes: Option<u64>,
}

/// Whose credit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreditScope {
    /// All messages of the connection together.
    Connection,
    /// `t`: those of one topic.
    Topic(u64),
    /// `s`: those of each topic of a subscription, for itself.
    Subscription(u64),
}

impl CreditScope {
    /// At most one of the two.
    pub(super) fn one_of(t: Option<u64>, s: Option<u64>) -> Result<Self, Problem> {
        match (t, s) {
            (None, None) => Ok(Self::Connection),
            (Some(t), None) => Ok(Self::Topic(t)),
            (None, Some(s)) => Ok(Self::Subscription(s)),
            (Some(_), Some(_)) => Err(Problem::bad("t and s; leave one out")),
        }
    }
}

/// `pong`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// `t`: the number of the `ping`, if there was one.
    pub t: Option<u64>,
}

/// `bye`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bye<'a> {
    /// `reason`, for logs.
    pub reason: Option<Cow<'a, str>>,
}

//! What the server says of its own accord.

use std::borrow::Cow;

use super::code::ErrorCode;
use super::data::Data;
use super::problem::Problem;
use super::state::StateDiff;

/// A message of the server's that answers no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push<'a> {
    /// `topic`.
    Topic(TopicAlias<'a>),
    /// `msg`.
    Message(Message<'a>),
    /// `untopic`.
    Untopic(Untopic),
    /// `pos`.
    Position(Position<'a>),
    /// `gap`.
    Gap(Gap),
    /// `conflated`.
    Conflated(Conflated),
    /// `reset`.
    Reset(Reset<'a>),
    /// `state`.
    State(StateDiff<'a>),
    /// `unsubbed`.
    Unsubbed(Unsubbed),
    /// `token_expiring`.
    TokenExpiring(TokenExpiring),
    /// `goaway`.
    GoAway(GoAway<'a>),
    /// `ping`.
    Ping(Ping),
    /// `warn`.
    Warn(Warn<'a>),
    /// `closing`.
    Closing(Closing<'a>),
}

/// `topic`: comes before the first message of a topic. The alias is the same for all subscribers of
/// the node, and never used again for another topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicAlias<'a> {
    /// `t`.
    pub t: u64,
    /// `topic`: its name.
    pub topic: Cow<'a, str>,
    /// `s`: the subscriptions that it serves.
    pub s: Vec<u64>,
    /// `epoch`.
    pub epoch: Cow<'a, str>,
    /// `offset`: before the first message that follows.
    pub offset: u64,
}

/// `msg`: one message. The same bytes for everybody who gets it in the same dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// `t`: its topic.
    pub t: u64,
    /// `o`: its offset, dense from 1 in each topic and epoch.
    pub offset: u64,
    /// `data` or `b64`.
    pub data: Data<'a>,
    /// `ts`: when the server took it, in milliseconds since 1970.
    pub time_ms: u64,
    /// `key`.
    pub key: Option<Cow<'a, str>>,
    /// `tags`: names and values.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// `pub`: who published it.
    pub publisher: Publisher<'a>,
}

/// `pub` of a [`Message`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher<'a> {
    /// `user`.
    pub user: Cow<'a, str>,
    /// `conn`.
    pub conn: Cow<'a, str>,
    /// `pseq`.
    pub pseq: Option<u64>,
}

/// `untopic`: the alias is given up on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untopic {
    /// `t`.
    pub t: u64,
}

/// `pos`: a position that has moved without a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position<'a> {
    /// Of a topic.
    Topic {
        /// `t`.
        t: u64,
        /// `o`: the offset up to which nothing is missing.
        offset: u64,
    },
    /// Of a pattern.
    Pattern {
        /// `s`.
        s: u64,
        /// `pos`.
        pos: Cow<'a, str>,
    },
}

impl<'a> Position<'a> {
    /// A topic's alias and offset, or a pattern's subscription and position.
    pub(super) fn one_of(
        t: Option<u64>,
        offset: Option<u64>,
        s: Option<u64>,
        pos: Option<Cow<'a, str>>,
    ) -> Result<Self, Problem> {
        match (t, s) {
            (Some(t), None) => Ok(Self::Topic {
                t,
                offset: offset.ok_or_else(|| Problem::missing("o", "an offset"))?,
            }),
            (None, Some(s)) => Ok(Self::Pattern {
                s,
                pos: pos.ok_or_else(|| Problem::missing("pos", "a pattern's position"))?,
            }),
            (None, None) => Err(Problem::missing("t", "an alias, or a subscription's s,")),
            (Some(_), Some(_)) => Err(Problem::bad("t and s; one must be left out")),
        }
    }
}

/// `gap`: messages that are not delivered. The stream goes on after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// `t`.
    pub t: u64,
    /// `from`: the first that is missing.
    pub from: u64,
    /// `to`: the last that is missing.
    pub to: u64,
    /// `cause`.
    pub cause: Cause,
    /// `repair`.
    pub repair: Repair,
}

/// `cause`: why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// `slow`: the client did not keep up.
    Slow,
    /// `retention`: the server has let go of it.
    Retention,
    /// `broker`: the connection to other nodes was interrupted.
    Broker,
    /// `node`: the server itself was overloaded, or has lost its memory.
    Node,
}

/// `repair`: how a client could still get what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// `none`.
    None,
    /// `hist`: from the history.
    History,
}

/// `conflated`: how many messages were left out for newer ones with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflated {
    /// `t`.
    pub t: u64,
    /// `n`.
    pub n: u64,
    /// `upto`: all offsets up to this one are accounted for.
    pub up_to: u64,
}

/// `reset`: nothing can be said of what was missed; begin anew from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reset<'a> {
    /// Of a topic.
    Topic {
        /// `t`.
        t: u64,
        /// `epoch`.
        epoch: Cow<'a, str>,
        /// `offset`: of the last message before what follows.
        offset: u64,
        /// `cause`.
        cause: Cause,
    },
    /// Of all topics of a pattern.
    Pattern {
        /// `s`.
        s: u64,
        /// `pos`: the pattern's position before what follows.
        pos: Cow<'a, str>,
        /// `cause`.
        cause: Cause,
    },
}

impl<'a> Reset<'a> {
    /// A topic's alias, epoch and offset, or a pattern's subscription and position.
    pub(super) fn one_of(
        t: Option<u64>,
        place: (Option<Cow<'a, str>>, Option<u64>),
        s: Option<u64>,
        pos: Option<Cow<'a, str>>,
        cause: Cause,
    ) -> Result<Self, Problem> {
        let (epoch, offset) = place;
        match (t, s) {
            (Some(t), None) => Ok(Self::Topic {
                t,
                epoch: epoch.ok_or_else(|| Problem::missing("epoch", "an epoch"))?,
                offset: offset.ok_or_else(|| Problem::missing("offset", "an offset"))?,
                cause,
            }),
            (None, Some(s)) => Ok(Self::Pattern {
                s,
                pos: pos.ok_or_else(|| Problem::missing("pos", "a pattern's position"))?,
                cause,
            }),
            (None, None) => Err(Problem::missing("t", "an alias, or a subscription's s,")),
            (Some(_), Some(_)) => Err(Problem::bad("t and s; one must be left out")),
        }
    }
}

/// `unsubbed`: the server has ended a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsubbed {
    /// `s`.
    pub s: u64,
    /// `code`.
    pub code: ErrorCode,
    /// `retry_ms`.
    pub retry_ms: Option<u64>,
}

/// `token_expiring`: send another one by `auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenExpiring {
    /// `in_ms`.
    pub in_ms: u64,
}

/// `goaway`: open another connection, then close this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoAway<'a> {
    /// `deadline_ms`: when the server closes this one.
    pub deadline_ms: u64,
    /// `spread_ms`: begin at a random moment within this time.
    pub spread_ms: u64,
    /// `url`: where to, if not where it is.
    pub url: Option<Cow<'a, str>>,
}

/// `ping`: comes after `ping_ms` in which the server had nothing to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping {
    /// `t`: to be repeated by the `pong`.
    pub t: u64,
}

/// `warn`: something went wrong that has no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warn<'a> {
    /// `code`.
    pub code: ErrorCode,
    /// `text`.
    pub text: Cow<'a, str>,
    /// `cmd`: the command that it is about.
    pub command: Option<Cow<'a, str>>,
}

/// `closing`: the last message before the Close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing<'a> {
    /// `code`: of the Close frame. See [`closing`](super::closing).
    pub code: u16,
    /// `reason`: for people.
    pub reason: Cow<'a, str>,
    /// `retry_ms`: do not come back before.
    pub retry_ms: Option<u64>,
    /// `spread_ms`: come back at a random moment within this time.
    pub spread_ms: Option<u64>,
    /// `url`: where to, if not where it was.
    pub url: Option<Cow<'a, str>>,
}

/// The code of a Close frame, if it can be one.
pub(super) fn close_code(number: u64) -> Result<u16, Problem> {
    let wrong = |_| Problem::wrong(number, "a number below 65536").within("code");
    u16::try_from(number).map_err(wrong)
}

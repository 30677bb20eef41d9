//! How the server answers.

use std::borrow::Cow;

use super::code::ErrorCode;
use super::command::{Level, Policy};
use super::history::Page;
use super::problem::Problem;
use super::state::Members;

/// The answer to a command with an `id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `welcome`.
    Welcome(Box<Welcome<'a>>),
    /// `ok`.
    Ok(Done),
    /// `subbed`.
    Subbed(Subbed<'a>),
    /// `pubbed`.
    Pubbed(Pubbed<'a>),
    /// `page`.
    Page(Page<'a>),
    /// `members`.
    Members(Members<'a>),
    /// `err`.
    Error(ErrorReply<'a>),
}

/// `welcome`: everything that a client needs to know of its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// `conn`: the connection's name.
    pub conn: Cow<'a, str>,
    /// `node`: the server's name, new at each start.
    pub node: Cow<'a, str>,
    /// `user`: who the server takes this client for.
    pub user: Cow<'a, str>,
    /// `ticket`: for the [`resume`](super::Hello::resume) of a later connection: a string that only
    /// the server reads.
    pub ticket: Option<Cow<'a, str>>,
    /// `resumed`: whether the ticket of the `hello` was honoured.
    pub resumed: Resumed,
    /// `ping_ms`: the server is never silent for longer.
    pub ping_ms: u64,
    /// `slack_ms`: on top of that, before either side gives the other up.
    pub slack_ms: u64,
    /// `limits`.
    pub limits: Limits,
    /// `expires_ms`: how long the token still lives.
    pub expires_ms: Option<u64>,
    /// `subs`: the answers to the subscriptions of the `hello`, in their order.
    pub subscribed: Vec<Result<Subbed<'a>, ErrorReply<'a>>>,
    /// `time_ms`: the server's clock, in milliseconds since 1970.
    pub time_ms: u64,
}

/// `resumed`: whether a connection goes on with the user and the session of an earlier one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Resumed {
    /// It does.
    Yes,
    /// It is a new session.
    #[default]
    No,
}

/// `limits`: what a client must stay within.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// `message_bytes`: of a WebSocket message, in both directions.
    pub message_bytes: u64,
    /// `topic_bytes`: of a topic's name.
    pub topic_bytes: u64,
    /// `topic_levels`: of a topic's name.
    pub topic_levels: u64,
    /// `subscriptions`: of a connection.
    pub subscriptions: u64,
    /// `backlog_bytes`: of a delivery.
    pub backlog_bytes: u64,
    /// `publish_per_s`: 0 is no limit.
    pub publish_per_s: u64,
    /// `publish_burst`.
    pub publish_burst: u64,
    /// `unanswered`: publications of a connection that may wait for their reply before the server
    /// stops reading it.
    pub unanswered: u64,
    /// `history_items`: messages on a page of history.
    pub history_items: u64,
}

/// `ok`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// `expires_ms`: after an `auth`, how long the token lives.
    pub expires_ms: Option<u64>,
}

/// `subbed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subbed<'a> {
    /// `s`.
    pub s: u64,
    /// What was subscribed to, and from where on.
    pub to: SubbedTo<'a>,
    /// `recovered`: where a position was asked for, whether the stream begins there.
    pub recovered: Option<Recovered>,
    /// `replay_to`: of a topic, messages up to this offset are history, which comes now.
    pub replay_to: Option<u64>,
    /// `policy`: what is in force.
    pub policy: Policy,
}

/// `recovered`: what has become of the position that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// All messages behind it come, or are accounted for.
    Yes,
    /// Nothing can be said of what was missed: a [`Reset`](super::Reset) comes first.
    No,
}

/// What was subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubbedTo<'a> {
    /// A topic.
    Topic {
        /// `t`: the topic's alias.
        t: u64,
        /// `epoch`.
        epoch: Cow<'a, str>,
        /// `offset`: where the stream begins: each message behind it comes, or is accounted for.
        offset: u64,
    },
    /// A pattern: topics are announced as they come.
    Pattern {
        /// `pos`: the pattern's position, a string that only the server reads.
        pos: Cow<'a, str>,
    },
}

impl<'a> SubbedTo<'a> {
    /// A topic's alias, epoch and offset, or a pattern's position.
    pub(super) fn one_of(
        t: Option<u64>,
        epoch: Option<Cow<'a, str>>,
        offset: Option<u64>,
        pos: Option<Cow<'a, str>>,
    ) -> Result<Self, Problem> {
        match (t, pos) {
            (Some(t), None) => Ok(Self::Topic {
                t,
                epoch: epoch.ok_or_else(|| Problem::missing("epoch", "an epoch"))?,
                offset: offset.ok_or_else(|| Problem::missing("offset", "an offset"))?,
            }),
            (None, Some(pos)) => Ok(Self::Pattern { pos }),
            (None, None) => Err(Problem::missing("t", "an alias, or a pattern's pos,")),
            (Some(_), Some(_)) => Err(Problem::bad("t and pos; one must be left out")),
        }
    }
}

/// `pubbed`: where a message now stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pubbed<'a> {
    /// `epoch`.
    pub epoch: Cow<'a, str>,
    /// `offset`.
    pub offset: u64,
    /// `level`: what was reached.
    pub level: Level,
    /// `dup`.
    pub dup: Duplicate,
}

/// `dup`: whether a publication was known already, by its `pseq` or its `idem`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Duplicate {
    /// It was; the position is that of the first one.
    Yes,
    /// It is new.
    #[default]
    No,
}

/// `err`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReply<'a> {
    /// `code` and `name`.
    pub code: ErrorCode,
    /// `text`: what was wrong, where, and what to do.
    pub text: Cow<'a, str>,
    /// `retry_ms`: the same command may succeed after this time.
    pub retry_ms: Option<u64>,
}

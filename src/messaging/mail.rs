//! What cores say to each other about topics.
//!
//! There is one line from each core to each other core, first in, first out, for all of it. So
//! "granted at offset h" is followed by h + 1, and what a publisher sends in order arrives in order.
//!
//! - A *request* is answered by exactly one *reply*, which brings its [`Stamp`] back. How many are
//!   under way is bounded where they begin, for each connection and for each core: who has asked for
//!   too much is not read meanwhile ([`requests`](super::requests)).
//! - A *publication* is not answered. Where it does not fit, a [`Loss`] takes its place.

use std::sync::Arc;

use corewire_protocol::native::{Duplicate, Level};

use super::catch_up::{Page, PageKey};
use super::client::ClientKey;
use super::history::{HistoryReply, HistoryRequest};
use super::home::{Changed, Cursor, Missed, Where};
use super::place::{Begin, HomeMark};
use super::publication::{Draft, Loss, Publication, TopicId};
use super::requests::Stamp;
use super::state::{StateAnswer, StateAsk, Window};
use super::walk::{Vouched, WalkNumber};

/// One piece of mail: a [`Letter`], which is nobody else's business.
#[derive(Debug)]
pub struct Mail(pub(super) Letter);

impl From<Letter> for Mail {
    fn from(letter: Letter) -> Self {
        Self(letter)
    }
}

/// What a piece of mail says.
#[derive(Debug)]
pub(super) enum Letter {
    /// From a core that has just begun, after its last life has ended in a panic: what it knew is
    /// gone.
    Restarted,
    /// A request: to a topic's home core.
    Publish(Box<PublishRequest>),
    /// A request: send me what is published in this topic.
    Interest(Box<InterestRequest>),
    /// A request: the same for all topics of a pattern.
    PatternInterest(Box<PatternInterest>),
    /// A request: a page of what a topic has kept.
    History(Box<HistoryRequest>),
    /// A request: a page of a topic's log.
    Read(Box<ReadRequest>),
    /// A request: topics of a pattern that somebody may have missed messages of.
    Walk(Box<WalkRequest>),
    /// A request: how far are you?
    AskMark(Stamp),
    /// No more of this topic.
    NoInterest(Arc<TopicId>),
    /// No more of this pattern.
    NoPatternInterest(Box<str>),
    /// The reply to `Publish`.
    Published(Box<Published>),
    /// The reply to `Interest`.
    Granted(Box<Granted>),
    /// The reply to `PatternInterest`.
    PatternGranted(Box<PatternGranted>),
    /// The reply to `History`.
    HistoryPage(Box<HistoryReply>),
    /// The reply to `Read`.
    Page(Box<PageReply>),
    /// The reply to `Walk`.
    Listed(Box<Listed>),
    /// The reply to `AskMark`.
    Mark(Stamp, Box<HomeMark>),
    /// From a home core to those with interest.
    Publication(Arc<Publication>),
    /// In the place of publications that did not fit.
    Lost(Arc<Loss>),
    /// A request: about state, to a topic's home core.
    State(Box<StateAsk>),
    /// The reply to `State`, if it says anything.
    StateAnswer(Box<StateAnswer>),
    /// The reply to `State` where that is all that there is to say.
    StateDone(Stamp),
    /// From a home core to those that watch a set of state.
    Window(Arc<Window>),
}

impl Letter {
    /// The stamp of the request that it replies to, if it is a reply.
    pub(super) fn replies_to(&self) -> Option<Stamp> {
        match self {
            Self::Published(reply) => Some(reply.stamp),
            Self::Granted(reply) => Some(reply.stamp),
            Self::PatternGranted(reply) => Some(reply.stamp),
            Self::HistoryPage(reply) => Some(reply.stamp),
            Self::Page(reply) => Some(reply.stamp),
            Self::Listed(reply) => Some(reply.stamp),
            Self::StateAnswer(reply) => Some(reply.stamp),
            Self::Mark(stamp, _) | Self::StateDone(stamp) => Some(*stamp),
            Self::Restarted
            | Self::Publish(_)
            | Self::Interest(_)
            | Self::PatternInterest(_)
            | Self::History(_)
            | Self::Read(_)
            | Self::Walk(_)
            | Self::AskMark(_)
            | Self::State(_)
            | Self::NoInterest(_)
            | Self::NoPatternInterest(_)
            | Self::Publication(_)
            | Self::Lost(_)
            | Self::Window(_) => None,
        }
    }
}

/// See [`Letter::Publish`].
#[derive(Debug)]
pub(super) struct PublishRequest {
    pub(super) stamp: Stamp,
    pub(super) client: ClientKey,
    pub(super) topic: Box<str>,
    pub(super) draft: Draft,
}

/// See [`Letter::Published`].
#[derive(Debug)]
pub(super) struct Published {
    pub(super) stamp: Stamp,
    pub(super) client: ClientKey,
    pub(super) outcome: Result<Standing, NotPublished>,
}

/// Where a published message stands.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) topic: Arc<TopicId>,
    pub(super) offset: u64,
    /// How safe it is.
    pub(super) level: Level,
    /// Whether it stood there before.
    pub(super) duplicate: Duplicate,
}

/// Why a message has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotPublished {
    TooManyTopics,
    /// Its producer has come back on another connection.
    Superseded,
    /// Its number is neither the next one of its producer nor a known one.
    NotNext {
        given: u64,
        expected: u64,
    },
}

impl From<TooManyTopics> for NotPublished {
    fn from(TooManyTopics: TooManyTopics) -> Self {
        Self::TooManyTopics
    }
}

/// See [`Letter::Interest`].
#[derive(Debug)]
pub(super) struct InterestRequest {
    pub(super) stamp: Stamp,
    /// The topic's name.
    pub(super) subject: Box<str>,
    /// Where somebody wants to begin, if not with the next message, and the number of the question.
    pub(super) seek: Option<(u64, Where)>,
}

/// See [`Letter::PatternInterest`].
#[derive(Debug)]
pub(super) struct PatternInterest {
    pub(super) stamp: Stamp,
    pub(super) pattern: Box<str>,
    /// Who wants to know of everything behind a mark, if it is from this node.
    pub(super) walk: Option<(WalkNumber, Option<HomeMark>)>,
}

/// See [`Letter::Read`].
#[derive(Debug)]
pub(super) struct ReadRequest {
    pub(super) stamp: Stamp,
    pub(super) page: PageKey,
    pub(super) topic: Arc<TopicId>,
    pub(super) after: u64,
}

/// See [`Letter::Page`].
#[derive(Debug)]
pub(super) struct PageReply {
    pub(super) stamp: Stamp,
    pub(super) key: PageKey,
    /// `None`: the topic is not known any more.
    pub(super) page: Option<Page>,
}

/// See [`Letter::Walk`].
#[derive(Debug)]
pub(super) struct WalkRequest {
    pub(super) stamp: Stamp,
    pub(super) number: WalkNumber,
    pub(super) pattern: Box<str>,
    pub(super) missed: Missed,
    /// The life of the home core in which that was.
    pub(super) home_life: u32,
    /// Where the page before has ended.
    pub(super) from: Option<Cursor>,
}

/// See [`Letter::Listed`].
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) stamp: Stamp,
    pub(super) number: WalkNumber,
    /// How far this home core is.
    pub(super) mark: u64,
    pub(super) changed: Changed,
    pub(super) vouched: Vouched,
}

/// See [`Letter::Granted`].
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) stamp: Stamp,
    pub(super) subject: Box<str>,
    /// The topic and the offset of its last message before what is sent from now on.
    pub(super) outcome: Result<(Arc<TopicId>, u64), TooManyTopics>,
    /// The answer to where somebody begins.
    pub(super) begin: Option<(u64, Begin)>,
}

/// See [`Letter::PatternGranted`].
#[derive(Debug)]
pub(super) struct PatternGranted {
    pub(super) stamp: Stamp,
    pub(super) pattern: Box<str>,
    /// How far this home core is.
    pub(super) mark: HomeMark,
    /// Whether it knows of everything that somebody has asked for.
    pub(super) vouched: Option<(WalkNumber, Vouched)>,
}

/// A core has as many topics as it may, and none that can be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyTopics;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_mail_is_small() {
        assert!(size_of::<Mail>() <= 32);
    }
}

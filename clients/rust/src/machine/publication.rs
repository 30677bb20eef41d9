//! What waits to be published, and what was and waits for its reply.
//!
//! ```text
//!              sent                     the reply
//!   queued ───────────▶ in flight ────────────────────▶ published, or refused
//!     ▲                     │
//!     │                     │ the connection ends
//!     └─────────────────────┤
//!                           └── the server would not know it again ──▶ uncertain
//! ```
//!
//! A client is a producer: it numbers its publications in each topic (`pseq`) when they are sent.
//! As long as its session lasts the server knows by these numbers what it has already, so that all
//! that was not answered is sent again, and is published once. In a new session the server knows
//! again only what has an `idem`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use corewire_protocol::native::{
    self, Command, Echo, ErrorCode, IDEM_BYTES_MAX, Level, Request, Resumed, TAG_NAME_BYTES_MAX,
    TAG_VALUE_BYTES_MAX, TAGS_MAX, Target,
};

use crate::data::Data;

use super::event::Position;
use super::stop::Loss;

/// What a publication costs beside its bytes.
const OVERHEAD_BYTES: usize = 128;
/// Topics whose publications are numbered. Those of further topics carry no `pseq`.
const NUMBERED_TOPICS_MAX: usize = 65_536;

/// A publication's name inside its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicationId(pub(super) u64);

/// What is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The topic.
    pub topic: Arc<str>,
    /// What.
    pub data: Data,
    /// What it is the newest value of, for subscribers that only want those.
    pub key: Option<Arc<str>>,
    /// Names and values that subscribers are told: at most [`TAGS_MAX`], of at most
    /// [`TAG_NAME_BYTES_MAX`] and [`TAG_VALUE_BYTES_MAX`], no name twice.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// For how long it is delivered, in milliseconds from 1; as long as the server has it if nothing
    /// is said.
    pub ttl_ms: Option<u64>,
    /// The application's own key, of 1 to [`IDEM_BYTES_MAX`] bytes: as long as the server remembers
    /// it, another message with the same one in this topic is not published, and gets the position
    /// of the first.
    pub idem: Option<Arc<str>>,
    /// Whether this client gets it, too, if it subscribes to the topic.
    pub echo: Echo,
    /// What to do if the server may have it, and would not know it again.
    pub guarantee: Guarantee,
}

impl Publish {
    /// A publication with nothing beside its data.
    pub fn new(topic: impl Into<Arc<str>>, data: Data) -> Self {
        Self {
            topic: topic.into(),
            data,
            key: None,
            tags: Vec::new(),
            ttl_ms: None,
            idem: None,
            echo: Echo::Yes,
            guarantee: Guarantee::AtMostOnce,
        }
    }

    /// Whether what is beside the data is possible; the server would refuse it.
    pub(super) fn check(&self) -> Result<(), PublishError> {
        let bad = |what: String| Err(PublishError::Beside(what.into()));
        if let Some(idem) = &self.idem
            && !(1..=IDEM_BYTES_MAX).contains(&idem.len())
        {
            return bad(format!(
                "idem: {} bytes; 1 to {IDEM_BYTES_MAX} are possible",
                idem.len()
            ));
        }
        if self.ttl_ms == Some(0) {
            return bad("ttl: nothing; at least a millisecond is needed".to_owned());
        }
        if self.tags.len() > TAGS_MAX {
            return bad(format!(
                "tags: {}; at most {TAGS_MAX} are possible",
                self.tags.len()
            ));
        }
        let mut names = BTreeSet::new();
        for (name, value) in &self.tags {
            if !(1..=TAG_NAME_BYTES_MAX).contains(&name.len()) || value.len() > TAG_VALUE_BYTES_MAX
            {
                return bad(format!(
                    "tag {name:?}: names have 1 to {TAG_NAME_BYTES_MAX} bytes, values at most \
                     {TAG_VALUE_BYTES_MAX}"
                ));
            }
            if !names.insert(name) {
                return bad(format!("tag {name:?}: there twice; leave one out"));
            }
        }
        Ok(())
    }
}

/// What to do with a publication that may or may not have been published: when the connection has
/// ended before its reply, and the server does not take the client for the same as before
/// ([`Session::resumed`](super::Session::resumed)); or when the server says that the part of it that
/// keeps the topic has lost its memory. Otherwise each is sent again and published once, whatever
/// the guarantee.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// It is not sent again, and ends as [`PublishError::Uncertain`]; unless it has an
    /// [`idem`](Publish::idem).
    #[default]
    AtMostOnce,
    /// It is sent again, before anything that was published later. It carries an `idem` from the
    /// first time on, so that it is published twice only where the server has forgotten that, too:
    /// after the time for which it keeps the topic's history, and at least two minutes; or where it
    /// has lost its memory, which subscribers are told by a [`Reset`](super::Reset).
    AtLeastOnce,
}

/// Why something was not published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic's name is not one: what is wrong with it.
    Topic(native::TopicError),
    /// Something beside its data is impossible: what.
    Beside(Arc<str>),
    /// It is larger than the server takes: bytes, and how many it takes.
    TooLarge {
        /// Its bytes, as a message.
        bytes: u64,
        /// The bytes that the server takes.
        max: u64,
    },
    /// Too much waits already.
    Full,
    /// The server has refused it.
    Refused {
        /// Why.
        code: ErrorCode,
        /// The same in words.
        text: Arc<str>,
        /// It may succeed after this time.
        retry_ms: Option<u64>,
    },
    /// It was sent, and nobody can say what became of it: it may have been published.
    Uncertain,
    /// It was never sent: there was no connection in time.
    TimedOut,
    /// It was never sent: the client has stopped.
    Stopped,
}

impl PublishError {
    /// One word for people and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Topic(_) => "topic",
            Self::Beside(_) => "beside",
            Self::TooLarge { .. } => "too_large",
            Self::Full => "full",
            Self::Refused { .. } => "refused",
            Self::Uncertain => "uncertain",
            Self::TimedOut => "timed_out",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(error) => write!(f, "topic: {error}"),
            Self::Beside(what) => f.write_str(what),
            Self::TooLarge { bytes, max } => write!(
                f,
                "{bytes} bytes; the server takes messages of {max} bytes at most"
            ),
            Self::Full => f.write_str(
                "too many publications wait for the server; await some of their replies first",
            ),
            Self::Refused { code, text, .. } => {
                write!(f, "the server refused it: {text} ({})", code.name())
            }
            Self::Uncertain => f.write_str(
                "the connection ended before the reply, or the server has lost its memory: the \
                 message may have been published; publish it again if it may come twice",
            ),
            Self::TimedOut => {
                f.write_str("there was no connection in time; the message was not published")
            }
            Self::Stopped => f.write_str("the client has stopped; the message was not published"),
        }
    }
}

impl std::error::Error for PublishError {}

/// Where a message now stands, or why it does not.
pub type Outcome = Result<Position, PublishError>;

/// A publication on its way.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) id: PublicationId,
    pub(super) publish: Publish,
    /// Its number in its topic, once it was to be sent.
    pseq: Option<u64>,
    asked_at_ms: u64,
    attempt: Attempt,
}

/// Whether the server may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    None,
    /// It was sent in this session.
    In(u64),
    /// It was, and so it was before.
    Again(u64),
}

impl Attempt {
    /// The next one.
    fn next(self, session: u64) -> Self {
        match self {
            Self::In(before) | Self::Again(before) if before == session => Self::Again(session),
            Self::None | Self::In(_) | Self::Again(_) => Self::In(session),
        }
    }

    /// In which session it was made.
    const fn session(self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::In(session) | Self::Again(session) => Some(session),
        }
    }
}

impl Publication {
    /// The command that publishes it.
    pub(super) fn request(&self, id: u64) -> Request<'_> {
        let publish = &self.publish;
        let tags = publish.tags.iter();
        let tags = tags.map(|(name, value)| (Cow::Borrowed(&**name), Cow::Borrowed(&**value)));
        Request {
            id: Some(id),
            command: Command::Publish(native::Publish {
                target: Target::Topic(Cow::Borrowed(&publish.topic)),
                data: publish.data.word(),
                pseq: self.pseq,
                idem: publish.idem.as_deref().map(Cow::Borrowed),
                key: publish.key.as_deref().map(Cow::Borrowed),
                tags: tags.collect(),
                ttl_ms: publish.ttl_ms,
                level: Level::Memory,
                echo: publish.echo,
            }),
        }
    }

    fn bytes(&self) -> usize {
        Publications::cost(&self.publish)
    }

    /// Whether it may be sent to a server that does not know its number.
    const fn may_repeat(&self) -> bool {
        matches!(self.publish.guarantee, Guarantee::AtLeastOnce) || self.publish.idem.is_some()
    }
}

/// The numbers of one topic's publications.
#[derive(Debug, Default)]
struct Numbers {
    /// The last one that was given.
    given: u64,
    /// The last one that the server is known to have.
    taken: u64,
    /// The session in which it has taken one: there it refuses what is not the next.
    taken_in: Option<u64>,
    /// The session in which the server has not taken them: none are told it.
    refused_in: Option<u64>,
}

/// What the server has said of a publication.
#[derive(Debug)]
pub(super) enum Answer {
    /// It stands there.
    Published(Position),
    /// It does not, by this error.
    Refused(PublishError),
    /// It does not: the next connection has taken over already.
    Fenced,
    /// The part of the server that it was sent to has lost its memory. It may have been published
    /// before.
    Lost,
}

/// All publications of a client. Each ends with exactly one outcome.
#[derive(Debug)]
pub(super) struct Publications {
    /// Tells the keys of this client's publications from those of others.
    name: u64,
    next_id: u64,
    session: u64,
    numbers: BTreeMap<Arc<str>, Numbers>,
    /// In the order in which they were asked for.
    queued: VecDeque<Publication>,
    /// By the `id` of their command, all on one connection.
    in_flight: BTreeMap<u64, Publication>,
    /// Topics in which one was refused while others may be in flight behind it, and the first number
    /// that is free by that. The server refuses those behind it as well: nothing is sent until all
    /// are answered, so that what is said again is not overtaken.
    refused: BTreeMap<Arc<str>, u64>,
    /// The server has closed a connection for one of these, and it is not known which: each of them
    /// goes alone.
    suspects: BTreeSet<PublicationId>,
    bytes: usize,
    outcomes: VecDeque<(PublicationId, Outcome)>,
}

impl Publications {
    pub(super) const fn new(name: u64) -> Self {
        Self {
            name,
            next_id: 0,
            session: 0,
            numbers: BTreeMap::new(),
            queued: VecDeque::new(),
            in_flight: BTreeMap::new(),
            refused: BTreeMap::new(),
            suspects: BTreeSet::new(),
            bytes: 0,
            outcomes: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queued.len() + self.in_flight.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.len()
    }

    /// What a publication would add to [`bytes`](Self::bytes).
    pub(super) fn cost(publish: &Publish) -> usize {
        let key = publish.key.as_ref().map_or(0, |key| key.len());
        let idem = publish.idem.as_ref().map_or(0, |idem| idem.len());
        let tags = publish.tags.iter();
        let tags: usize = tags.map(|(name, value)| name.len() + value.len()).sum();
        publish.data.len() + publish.topic.len() + key + idem + tags + OVERHEAD_BYTES
    }

    pub(super) fn push(&mut self, mut publish: Publish, now_ms: u64) -> PublicationId {
        self.next_id += 1;
        let id = PublicationId(self.next_id);
        if publish.guarantee == Guarantee::AtLeastOnce && publish.idem.is_none() {
            publish.idem = Some(format!("{:x}-{:x}", self.name, id.0).into());
        }
        let publication = Publication {
            id,
            publish,
            pseq: None,
            asked_at_ms: now_ms,
            attempt: Attempt::None,
        };
        self.bytes += publication.bytes();
        self.queued.push_back(publication);
        id
    }

    /// The next one to be sent, with its number.
    pub(super) fn first(&mut self) -> Option<&Publication> {
        if !self.refused.is_empty() {
            return None;
        }
        let first = self.queued.front_mut()?;
        if first.pseq.is_none() {
            let topic = &first.publish.topic;
            if !self.numbers.contains_key(topic) && self.numbers.len() < NUMBERED_TOPICS_MAX {
                self.numbers.insert(topic.clone(), Numbers::default());
            }
            if let Some(numbers) = self.numbers.get_mut(topic)
                && numbers.refused_in != Some(self.session)
            {
                numbers.given += 1;
                first.pseq = Some(numbers.given);
            }
        }
        Some(first)
    }

    /// The next one was sent by the command with this `id`.
    pub(super) fn sent(&mut self, id: u64) {
        if let Some(mut publication) = self.queued.pop_front() {
            publication.attempt = publication.attempt.next(self.session);
            self.in_flight.insert(id, publication);
        }
    }

    /// The next one cannot be sent.
    pub(super) fn fail_first(&mut self, error: PublishError) {
        if let Some(publication) = self.queued.pop_front() {
            let numbers = self.numbers.get_mut(&publication.publish.topic);
            match (publication.pseq, publication.attempt.session(), numbers) {
                // The next one of its topic has its number.
                (Some(pseq), None, Some(numbers)) => numbers.given = pseq - 1,
                // Whether the server has it is not known, nor then which number comes next.
                (Some(_), Some(session), Some(numbers)) => {
                    numbers.refused_in = Some(session);
                }
                (_, _, _) => {}
            }
            self.end(&publication, Err(error));
        }
    }

    /// The reply to the command with this `id`. `false` if no publication waits for it.
    pub(super) fn answered(&mut self, id: u64, answer: Answer) -> bool {
        let Some(publication) = self.in_flight.remove(&id) else {
            return false;
        };
        match answer {
            Answer::Published(position) => {
                let numbers = self.numbers.get_mut(&publication.publish.topic);
                if let (Some(pseq), Some(numbers)) = (publication.pseq, numbers) {
                    numbers.taken = numbers.taken.max(pseq);
                    numbers.taken_in = Some(self.session);
                }
                self.end(&publication, Ok(position));
            }
            Answer::Refused(error) => self.refused(publication, error),
            Answer::Fenced => self.requeue(publication),
            // Its number is taken, and those behind it were not refused: it keeps its own.
            Answer::Lost if publication.may_repeat() => self.requeue(publication),
            Answer::Lost => self.end(&publication, Err(PublishError::Uncertain)),
        }
        if self.in_flight.is_empty() {
            self.close_up();
        }
        true
    }

    /// A publication does not stand. In its topic its number is the next one again, so that those in
    /// flight behind it are refused, too.
    fn refused(&mut self, mut publication: Publication, error: PublishError) {
        let is_bad = matches!(
            error,
            PublishError::Refused {
                code: ErrorCode::BadRequest,
                ..
            }
        );
        let Some(pseq) = publication.pseq else {
            return self.end(&publication, Err(error));
        };
        let topic = publication.publish.topic.clone();
        let numbers = self.numbers.get_mut(&topic);
        let is_first = !self.refused.contains_key(&topic);
        let free = self.refused.entry(topic).or_insert(pseq);
        *free = pseq.min(*free);
        if !is_bad {
            return self.end(&publication, Err(error));
        }
        let is_in_doubt = numbers.is_some_and(|numbers| {
            if is_first {
                // Perhaps because of its number: without one it is known.
                numbers.refused_in = Some(self.session);
            }
            numbers.refused_in == Some(self.session)
        });
        match publication.attempt {
            // The server has lost its memory meanwhile, and begun with another number. So this one may
            // have been published before.
            Attempt::Again(_) if is_in_doubt && !publication.may_repeat() => {
                return self.end(&publication, Err(PublishError::Uncertain));
            }
            Attempt::Again(_) if is_in_doubt => {}
            Attempt::None | Attempt::In(_) | Attempt::Again(_) => {
                publication.attempt = Attempt::None;
            }
        }
        publication.pseq = None;
        self.requeue(publication);
    }

    /// Puts it back where it was in the order.
    fn requeue(&mut self, publication: Publication) {
        let place = self.queued.partition_point(|one| one.id < publication.id);
        self.queued.insert(place, publication);
    }

    /// The connection on which all in flight were sent has ended.
    pub(super) fn cut(&mut self) {
        for publication in std::mem::take(&mut self.in_flight).into_values() {
            if publication.pseq.is_some() || publication.may_repeat() {
                self.requeue(publication);
            } else {
                self.end(&publication, Err(PublishError::Uncertain));
            }
        }
        self.close_up();
        self.settle();
    }

    /// The numbers that refusals have left free are given again. Those behind them in their topics
    /// were refused, too, or nobody has read them; unless the topic has taken none of this session
    /// yet: then it takes any, and they keep theirs.
    fn close_up(&mut self) {
        for (topic, free) in std::mem::take(&mut self.refused) {
            let Some(numbers) = self.numbers.get_mut(&topic) else {
                continue;
            };
            let is_known = numbers.taken_in == Some(self.session);
            numbers.given = match is_known {
                true => numbers.taken.max(free - 1),
                false => numbers.taken,
            };
            for publication in &mut self.queued {
                let Some(pseq) = publication.pseq.filter(|pseq| *pseq > free) else {
                    continue;
                };
                if publication.publish.topic != topic {
                    continue;
                }
                if is_known || publication.attempt == Attempt::None {
                    publication.pseq = None;
                    publication.attempt = Attempt::None;
                } else {
                    numbers.given = numbers.given.max(pseq);
                }
            }
        }
    }

    /// The server has closed the connection for the size of one that was in flight. If there was only
    /// one, it ends so; otherwise each is sent alone from now on, so that the next time it is known
    /// which it was. `false` if there was none.
    pub(super) fn too_large(&mut self, loss: &Loss) -> bool {
        if let [id] = *self.in_flight.keys().copied().collect::<Vec<_>>() {
            self.suspects.clear();
            let refused = PublishError::Refused {
                code: ErrorCode::TooLarge,
                text: loss.to_string().into(),
                retry_ms: None,
            };
            return self.answered(id, Answer::Refused(refused));
        }
        self.suspects = self.in_flight.values().map(|one| one.id).collect();
        !self.suspects.is_empty()
    }

    /// How many may be in flight, as far as they are concerned.
    pub(super) fn in_flight_max(&self) -> usize {
        match self.suspects.is_empty() {
            true => usize::MAX,
            false => 1,
        }
    }

    /// The server has welcomed the client, as the one that it was before or as a new one. Returns
    /// the session's number.
    pub(super) fn welcomed(&mut self, resumed: Resumed) -> u64 {
        if resumed == Resumed::No {
            self.session += 1;
            self.settle();
        }
        self.session
    }

    /// The number of the session in which everything is sent.
    pub(super) const fn session(&self) -> u64 {
        self.session
    }

    /// Ends what the server may have, and would not know again.
    fn settle(&mut self) {
        let known = Some(self.session);
        if self.queued.iter().all(|one| one.attempt == Attempt::None) {
            return;
        }
        for mut publication in std::mem::take(&mut self.queued) {
            if publication.attempt == Attempt::None || publication.attempt.session() == known {
                self.queued.push_back(publication);
            } else if publication.may_repeat() {
                publication.pseq = None;
                self.queued.push_back(publication);
            } else {
                self.end(&publication, Err(PublishError::Uncertain));
            }
        }
    }

    /// The client stops: whatever is left has its outcome now.
    pub(super) fn stop(&mut self) {
        self.cut();
        while let Some(publication) = self.queued.pop_front() {
            let error = match publication.attempt {
                Attempt::None => PublishError::Stopped,
                Attempt::In(_) | Attempt::Again(_) => PublishError::Uncertain,
            };
            self.end(&publication, Err(error));
        }
    }

    /// Ends those that were asked for at this moment or before.
    pub(super) fn expire(&mut self, asked_until_ms: u64) {
        while let Some(entry) = self.in_flight.first_entry()
            && entry.get().asked_at_ms <= asked_until_ms
        {
            let publication = entry.remove();
            self.end(&publication, Err(PublishError::Uncertain));
        }
        while let Some(first) = self.queued.front()
            && first.asked_at_ms <= asked_until_ms
        {
            let error = match first.attempt {
                Attempt::None => PublishError::TimedOut,
                Attempt::In(_) | Attempt::Again(_) => PublishError::Uncertain,
            };
            self.fail_first(error);
        }
    }

    /// When the oldest one was asked for.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        let sent = self.in_flight.first_key_value();
        let sent = sent.map(|(_, publication)| publication.asked_at_ms);
        let queued = self.queued.front().map(|first| first.asked_at_ms);
        match (sent, queued) {
            (Some(sent), Some(queued)) => Some(sent.min(queued)),
            (sent, queued) => sent.or(queued),
        }
    }

    pub(super) fn next_outcome(&mut self) -> Option<(PublicationId, Outcome)> {
        self.outcomes.pop_front()
    }

    fn end(&mut self, publication: &Publication, outcome: Outcome) {
        self.bytes -= publication.bytes();
        self.suspects.remove(&publication.id);
        self.outcomes.push_back((publication.id, outcome));
    }
}

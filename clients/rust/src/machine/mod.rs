//! A client without I/O: what comes in and what the application wants go in, messages for the
//! server, events for the application and deadlines come out.
//!
//! There is no socket, clock, thread or random source in here. Its driver
//!
//! 1. does what [`next_action`](Machine::next_action) asks for: opens connections, closes them,
//!    fetches a token;
//! 2. tells what becomes of a connection ([`opened`](Machine::opened), [`lost`](Machine::lost)) and
//!    hands over what arrives ([`message`](Machine::message));
//! 3. sends what [`transmit`](Machine::transmit) writes, whenever a connection takes more: nothing
//!    is encoded before, so a slow network costs no memory;
//! 4. calls [`timeout`](Machine::timeout) when [`deadline_ms`](Machine::deadline_ms) has come;
//! 5. takes [`next_event`](Machine::next_event) of each subscription as fast as the application
//!    does: what is taken becomes credit for the server.
//!
//! Times are milliseconds of one clock that does not go back. The same calls with the same seed
//! have the same results.

mod backoff;
mod course;
mod credit;
mod delivery;
mod dice;
mod event;
mod history;
mod input;
mod link;
mod options;
mod output;
mod own;
mod pace;
mod picture;
mod publication;
mod set;
mod state;
mod status;
mod stop;
mod subscription;

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use corewire_protocol::native::{ErrorCode, PRESENCE, Subject, TopicError, TopicName};

pub use backoff::Backoff;
pub use event::{
    Conflated, Event, Gap, GapCause, Message, Position, Publisher, Reset, ResetCause, ResetScope,
    Subscribed, Unsubscribed,
};
pub use history::{History, HistoryError, HistoryId, Page, PageFrom};
pub use link::LinkId;
pub use options::{Identity, Options, Window};
pub use picture::{Change, Entry, Picture, Standing};
pub use publication::{Guarantee, Outcome, PublicationId, Publish, PublishError};
pub use state::{SetState, StateError, StateId};
pub use status::{Session, Status, Warning};
pub use stop::{Loss, Stop};
pub use subscription::{Start, Subscribe, SubscriptionId};

use course::{Elder, State, Token};
use credit::Amount;
use dice::Dice;
use history::Histories;
use link::{Link, Subscriptions};
use own::Place;
use publication::Publications;
use state::States;
use subscription::Subscription;

/// Warnings that nobody has taken; older ones go.
const WARNINGS_MAX: usize = 64;
/// Bytes of one message beyond the window's that a server may send.
const OVERSHOOT_BYTES: u64 = 16 << 20;

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Connect and shake hands, then call [`Machine::opened`] or [`Machine::lost`].
    Open {
        /// The connection's name.
        link: LinkId,
        /// Where to.
        url: Arc<str>,
    },
    /// Give the connection up. Nothing more is expected of it.
    Abort {
        /// Which one.
        link: LinkId,
    },
    /// Fetch a token, then call [`Machine::token`].
    Token,
}

/// Why a subscription cannot be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// It is neither a topic's name nor a pattern: what is wrong with it.
    Subject(TopicError),
    /// There are so many already, as many as there may be.
    TooMany(usize),
    /// It is a pattern, and is to begin behind the position of one topic.
    PositionOfPattern,
    /// It is a pattern, and is to bring presence or other state.
    StateOfPattern,
    /// What is wrong with the state that it is to bring.
    State(StateError),
    /// The client has stopped.
    Stopped,
}

impl std::fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Subject(error) => write!(f, "topic: {error}"),
            Self::TooMany(max) => write!(
                f,
                "there are {max} subscriptions already; end some, or use a pattern"
            ),
            Self::PositionOfPattern => f.write_str(
                "from: a position is of one topic, not of a pattern; begin now, with the last \
                 messages, or with those since a time",
            ),
            Self::StateOfPattern => f.write_str(
                "presence and other state are of one topic, not of a pattern; subscribe to the \
                 topic, too",
            ),
            Self::State(error) => write!(f, "watch: {error}"),
            Self::Stopped => f.write_str("the client has stopped"),
        }
    }
}

impl std::error::Error for SubscribeError {}

/// See the [module](self).
#[derive(Debug)]
pub struct Machine {
    options: Options,
    dice: Dice,
    state: State,
    /// The connection that is being replaced, until the next one has caught up with it.
    elder: Option<Box<Elder>>,
    /// When to replace the connection, because the server asked for it.
    departs_at_ms: Option<u64>,
    token: Token,
    /// By what the server knows this client again.
    ticket: Option<Arc<str>>,
    /// Where to, if the server has named another place.
    hinted_url: Option<Arc<str>>,
    failures: u32,
    /// Since when there is a connection that works; of the last one if there is none.
    ready_at_ms: Option<u64>,
    subscriptions: Subscriptions,
    /// Subscriptions that the server is to be asked for again, by the moment.
    again: BTreeSet<(u64, SubscriptionId)>,
    publications: Publications,
    /// The connection on which publications are in flight.
    publishing: Option<LinkId>,
    /// A connection on which the server takes no publications any more, because the next one has
    /// taken over.
    fenced: Option<LinkId>,
    histories: Histories,
    states: States,
    next_link: u64,
    next_subscription: u64,
    next_command: u64,
    actions: VecDeque<Action>,
    status: Status,
    warnings: VecDeque<Warning>,
}

impl Machine {
    /// A client that has not begun. `seed` steers its jitter: no two clients should have the same.
    #[must_use]
    pub fn new(options: Options, seed: u64) -> Self {
        let token = Token::new(&options.identity);
        let mut dice = Dice::new(seed);
        let publications = Publications::new(dice.up_to(u64::MAX));
        Self {
            options,
            dice,
            state: State::Idle,
            elder: None,
            departs_at_ms: None,
            token,
            ticket: None,
            hinted_url: None,
            failures: 0,
            ready_at_ms: None,
            subscriptions: Subscriptions::default(),
            again: BTreeSet::new(),
            publications,
            publishing: None,
            fenced: None,
            histories: Histories::default(),
            states: States::default(),
            next_link: 0,
            next_subscription: 0,
            next_command: 0,
            actions: VecDeque::new(),
            status: Status::Connecting,
            warnings: VecDeque::new(),
        }
    }

    /// What the client was made with.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Begins a subscription. It lasts, whatever becomes of connections, until
    /// [`unsubscribe`](Self::unsubscribe) or [`Event::Unsubscribed`].
    ///
    /// # Errors
    ///
    /// Why not; nothing was begun.
    pub fn subscribe(&mut self, subscribe: Subscribe) -> Result<SubscriptionId, SubscribeError> {
        let subject = Subject::parse(&subscribe.subject).map_err(SubscribeError::Subject)?;
        if let (Subject::Pattern(_), Start::After(_)) = (subject, &subscribe.from) {
            return Err(SubscribeError::PositionOfPattern);
        }
        if let Subject::Pattern(_) = subject
            && subscribe.has_state()
        {
            return Err(SubscribeError::StateOfPattern);
        }
        state::check_watched(&subscribe.watch).map_err(SubscribeError::State)?;
        if self.is_stopping() {
            return Err(SubscribeError::Stopped);
        }
        if self.subscriptions.len() >= self.options.subscriptions_max {
            return Err(SubscribeError::TooMany(self.options.subscriptions_max));
        }
        self.next_subscription += 1;
        let id = SubscriptionId(self.next_subscription);
        let window = self.options.window;
        let room = Amount {
            messages: window.messages.saturating_mul(2),
            bytes: window.bytes.saturating_add(OVERSHOOT_BYTES),
        };
        self.subscriptions
            .insert(id, Subscription::new(subscribe, room));
        if let Some(link) = self.state.link_mut()
            && link.takes_commands()
        {
            link.unsaid.push_back(id);
        }
        Ok(id)
    }

    /// Ends a subscription. It has no further events, and what was not taken of it is gone.
    pub fn unsubscribe(&mut self, id: SubscriptionId) {
        let Some(mut subscription) = self.subscriptions.remove(id) else {
            return;
        };
        if let Some(at_ms) = subscription.again_at_ms {
            self.again.remove(&(at_ms, id));
        }
        self.states.revoked(id);
        self.left(&subscription.subscribe.subject);
        for ticket in subscription.drain() {
            self.taken(id, ticket);
        }
        let main = self.state.link_mut();
        for link in main
            .into_iter()
            .chain(self.elder.as_deref_mut().map(Elder::link_mut))
        {
            link.leave(id);
            if link.said.remove(&id).is_some() {
                link.unsubscribe.push_back(id);
            }
        }
    }

    /// The next event of a subscription. The application has it then: the server may send more.
    pub fn next_event(&mut self, id: SubscriptionId) -> Option<Event> {
        let (event, ticket) = self.subscriptions.take_from(id)?.next()?;
        if let Some(ticket) = ticket {
            self.taken(id, ticket);
        }
        Some(event)
    }

    /// Whether [`next_event`](Self::next_event) has something.
    #[must_use]
    pub fn has_events(&self, id: SubscriptionId) -> bool {
        self.subscriptions
            .get(id)
            .is_some_and(Subscription::has_events)
    }

    /// A subscription that may have events since this was asked last.
    pub fn next_stirred(&mut self) -> Option<SubscriptionId> {
        self.subscriptions.next_stirred()
    }

    /// Whether enough was taken that the server is to be told.
    #[must_use]
    pub fn owes_credit(&self) -> bool {
        let elder = self.elder.as_ref().map(|elder| &elder.link);
        let links = self.state.link().into_iter().chain(elder);
        links.into_iter().any(Link::owes_credit)
    }

    /// Whether [`next_action`](Self::next_action) has something.
    #[must_use]
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    fn taken(&mut self, id: SubscriptionId, ticket: subscription::Ticket) {
        let elder = self.elder.as_deref_mut().map(Elder::link_mut);
        for link in elder.into_iter().chain(self.state.link_mut()) {
            match ticket.link.cmp(&link.id) {
                Ordering::Equal => link.taken(id, ticket),
                // What came by an earlier connection has taken room from this one's window. While that
                // connection lives some of it came later; then both windows may be full.
                Ordering::Less => link.account.take_carried(Amount::message(ticket.bytes)),
                Ordering::Greater => {}
            }
        }
    }

    /// Has something published as soon as there is a connection, behind all that was published
    /// before. Ends with one [`next_outcome`](Self::next_outcome).
    ///
    /// # Errors
    ///
    /// Why not; it has no outcome then.
    pub fn publish(
        &mut self,
        publish: Publish,
        now_ms: u64,
    ) -> Result<PublicationId, PublishError> {
        TopicName::parse(&publish.topic).map_err(PublishError::Topic)?;
        publish.check()?;
        if self.is_stopping() {
            return Err(PublishError::Stopped);
        }
        let bytes = Publications::cost(&publish);
        let max = self.options.publication_bytes_max;
        if bytes > max {
            return Err(PublishError::TooLarge {
                bytes: bytes as u64,
                max: max as u64,
            });
        }
        if !self.has_room(&publish) {
            return Err(PublishError::Full);
        }
        Ok(self.publications.push(publish, now_ms))
    }

    /// Whether [`publish`](Self::publish) would find room.
    #[must_use]
    pub fn has_room(&self, publish: &Publish) -> bool {
        let bytes = self.publications.bytes() + Publications::cost(publish);
        self.publications.len() < self.options.publications_max
            && bytes <= self.options.publication_bytes_max
    }

    /// Publications that have no outcome yet.
    #[must_use]
    pub fn unpublished(&self) -> usize {
        self.publications.len()
    }

    /// What became of a publication. There is one for each; a driver takes them after every call.
    pub fn next_outcome(&mut self) -> Option<(PublicationId, Outcome)> {
        self.publications.next_outcome()
    }

    /// Asks for messages of the past as soon as there is a connection. Ends with one
    /// [`next_page`](Self::next_page).
    ///
    /// # Errors
    ///
    /// Why not; it has no page then.
    pub fn history(&mut self, history: History) -> Result<HistoryId, HistoryError> {
        TopicName::parse(&history.topic).map_err(HistoryError::Topic)?;
        if self.is_stopping() {
            return Err(HistoryError::Stopped);
        }
        self.histories.push(history)
    }

    /// What became of a question for messages of the past. There is one for each; a driver takes
    /// them after every call.
    pub fn next_page(&mut self) -> Option<(HistoryId, Result<Page, HistoryError>)> {
        self.histories.next_page()
    }

    /// Looks at the state of a topic in one namespace, `presence` or another one, until
    /// [`close_state`](Self::close_state): whoever looks asks the server for its entries, if a
    /// subscription [watches](Subscribe::watch) them.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn open_state(
        &mut self,
        topic: &Arc<str>,
        namespace: &Arc<str>,
    ) -> Result<StateId, StateError> {
        if self.is_stopping() {
            return Err(StateError::Stopped);
        }
        self.states.open(topic, namespace)
    }

    /// Looks at it no longer: once for each [`open_state`](Self::open_state).
    pub fn close_state(&mut self, id: StateId) {
        self.states.close(id);
    }

    /// What is known of it now; `None` if nobody looks at it.
    #[must_use]
    pub fn picture(&self, id: StateId) -> Option<&Arc<Picture>> {
        self.states.picture(id)
    }

    /// One whose picture may be another since this was asked last.
    pub fn next_changed_state(&mut self) -> Option<StateId> {
        self.states.next_changed()
    }

    /// Sets an entry of this client's own. It is said as soon as there is a connection, and again on
    /// the next one for as long as it lasts: in presence until it is cleared or the topic's last
    /// subscription that announces the client ends. A refusal by the server is a
    /// [warning](Self::next_warning).
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub fn set_state(&mut self, state: SetState, now_ms: u64) -> Result<(), StateError> {
        if self.is_stopping() {
            return Err(StateError::Stopped);
        }
        if &*state.namespace == PRESENCE && !self.is_announced(&state.topic) {
            return Err(StateError::NotAnnounced(state.topic));
        }
        self.states.set(state, now_ms)
    }

    /// Ends an entry of this client's own; in presence it takes the value away.
    pub fn clear_state(&mut self, topic: &Arc<str>, namespace: &Arc<str>, key: Option<&Arc<str>>) {
        self.states.clear(Place {
            topic: topic.clone(),
            namespace: namespace.clone(),
            key: key.cloned(),
        });
    }

    /// A subscription to this topic has ended.
    fn left(&mut self, topic: &str) {
        if !self.is_announced(topic) {
            self.states.leave(topic);
        }
    }

    fn is_announced(&self, topic: &str) -> bool {
        let mut all = self.subscriptions.iter();
        all.any(|(_, one)| !one.has_ended() && one.subscribe.announces(topic))
    }

    /// What the driver is to do next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// How the client is.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// Something that went wrong and is nobody's answer.
    pub fn next_warning(&mut self) -> Option<Warning> {
        self.warnings.pop_front()
    }

    /// Whether the client ends or has ended.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        matches!(self.state, State::Closing { .. } | State::Stopped)
    }

    /// Whether [`next_warning`](Self::next_warning) has something.
    #[must_use]
    pub fn has_warnings(&self) -> bool {
        !self.warnings.is_empty()
    }

    /// Makes a warning of a publication that has failed, and for which nobody waits.
    pub fn note_outcome(&mut self, outcome: Outcome) {
        let Err(error) = outcome else {
            return;
        };
        let code = match &error {
            PublishError::Refused { code, .. } => *code,
            PublishError::Topic(_) | PublishError::Beside(_) => ErrorCode::BadRequest,
            PublishError::TooLarge { .. } => ErrorCode::TooLarge,
            PublishError::Full => ErrorCode::Limit,
            PublishError::Uncertain | PublishError::TimedOut | PublishError::Stopped => {
                ErrorCode::Unavailable
            }
        };
        let text = format!("a publication: {error}").into();
        self.warn(Warning { code, text });
    }

    /// Whether the client has ended.
    #[must_use]
    pub const fn has_stopped(&self) -> bool {
        matches!(self.state, State::Stopped)
    }

    fn warn(&mut self, warning: Warning) {
        if self.warnings.len() >= WARNINGS_MAX {
            self.warnings.pop_front();
        }
        self.warnings.push_back(warning);
    }

    const fn command_id(next_command: &mut u64) -> u64 {
        *next_command += 1;
        *next_command
    }

    /// The connection of this name, and the one that it replaces or is replaced by.
    fn linked(&mut self, id: LinkId) -> Option<(&mut Link, Option<&Link>, &mut Subscriptions)> {
        let elder = self.elder.as_deref_mut().map(Elder::link_mut);
        match (self.state.link_mut(), elder) {
            (Some(link), elder) if link.id == id => {
                Some((link, elder.map(|elder| &*elder), &mut self.subscriptions))
            }
            (main, Some(elder)) if elder.id == id => {
                Some((elder, main.map(|main| &*main), &mut self.subscriptions))
            }
            (_, _) => None,
        }
    }
}

//! The course of a client: from connection to connection until it stops.
//!
//! ```text
//!                 no token                  lost
//!   Idle ──▶ Token ◀────────────┐   ┌──────────────────▶ Waiting
//!     │        │ token          │   │                       │
//!     └────────┴──────────────▶ Linked ◀────────────────────┘
//!                               │   │        the wait is over
//!                       close() │   │ the server says "never", or a token is wrong
//!                               ▼   ▼
//!                          Closing ──▶ Stopped
//! ```
//!
//! When the server asks a client to go away, the connection becomes the *elder*: it works on while
//! another one is opened, and is left when that one carries all that it did.

use std::sync::Arc;

use corewire_protocol::CloseCode;
use corewire_protocol::native::closing::{self, Comeback};
use corewire_protocol::native::{Dialect, ErrorCode};

use super::credit::Amount;
use super::event::Unsubscribed;
use super::link::{Link, LinkId, Probe, Stage};
use super::options::Identity;
use super::status::{Status, Warning};
use super::stop::{Loss, Stop};
use super::subscription::SubscriptionId;
use super::{Action, Machine};

/// A connection that lasted so long ends a series of failures.
const STABLE_MS: u64 = 10_000;
/// Clients come back within this time after a server that said "soon" and no time.
const SPREAD_MS: u64 = 1000;
/// The longest wait that a server may ask for.
const RETRY_MS_MAX: u64 = 600_000;
/// An elder connection is left no later than so many milliseconds after the next one carries its
/// subscriptions, whatever was published over it and waits for its reply.
const FINISH_MS: u64 = 3000;

/// How far the client has come. See the [module](self).
#[derive(Debug)]
pub(super) enum State {
    Idle,
    /// A token is to come.
    Token {
        until_ms: u64,
    },
    Linked(Box<Link>),
    Waiting {
        until_ms: u64,
    },
    /// The application has closed the client: what was published before is finished.
    Closing {
        link: Box<Link>,
        until_ms: u64,
    },
    Stopped,
}

impl State {
    pub(super) fn link_mut(&mut self) -> Option<&mut Link> {
        match self {
            Self::Linked(link) | Self::Closing { link, .. } => Some(link),
            Self::Idle | Self::Token { .. } | Self::Waiting { .. } | Self::Stopped => None,
        }
    }

    pub(super) fn link(&self) -> Option<&Link> {
        match self {
            Self::Linked(link) | Self::Closing { link, .. } => Some(link),
            Self::Idle | Self::Token { .. } | Self::Waiting { .. } | Self::Stopped => None,
        }
    }
}

/// The connection that is being replaced.
#[derive(Debug)]
pub(super) struct Elder {
    pub(super) link: Link,
    retire: Retire,
}

/// How far it is with that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retire {
    /// The next one does not carry everything yet.
    Needed,
    /// It does, from where this one had brought it: what was published here is to be answered.
    Finishing { until_ms: u64 },
    /// Good-bye was said.
    Left,
}

impl Elder {
    pub(super) const fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Has good-bye said.
    fn leave(&mut self, until_ms: u64) {
        self.retire = Retire::Left;
        self.link.stage = Stage::Bye { until_ms };
        self.link.probe = Probe::None;
        self.link.awaiting.clear();
    }
}

/// What the client can say of itself.
#[derive(Debug)]
pub(super) enum Token {
    /// It needs none, or the source was not asked yet.
    None,
    Asked,
    Held {
        text: Arc<str>,
        expires_at_ms: Option<u64>,
        trust: Trust,
    },
}

/// Whether a server has taken a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Untried,
    Taken,
}

impl Token {
    pub(super) fn new(identity: &Identity) -> Self {
        match identity {
            Identity::Anonymous | Identity::Name(_) | Identity::Renewable => Self::None,
            Identity::Token(text) => Self::held(text.as_str().into()),
        }
    }

    const fn held(text: Arc<str>) -> Self {
        Self::Held {
            text,
            expires_at_ms: None,
            trust: Trust::Untried,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Held { text, .. } => Some(text),
            Self::None | Self::Asked => None,
        }
    }

    pub(super) const fn taken(&mut self, expires_at: Option<u64>) {
        if let Self::Held {
            expires_at_ms,
            trust,
            ..
        } = self
        {
            *expires_at_ms = expires_at;
            *trust = Trust::Taken;
        }
    }

    fn is_good(&self, now_ms: u64) -> bool {
        match self {
            Self::Held { expires_at_ms, .. } => expires_at_ms.is_none_or(|at| now_ms < at),
            Self::None | Self::Asked => false,
        }
    }
}

impl Machine {
    /// Begins to connect.
    pub fn start(&mut self, now_ms: u64) {
        if matches!(self.state, State::Idle) {
            self.begin(now_ms);
        }
    }

    /// Connects, with a token that is good for it.
    fn begin(&mut self, now_ms: u64) {
        if self.options.identity == Identity::Renewable && !self.token.is_good(now_ms) {
            if !matches!(self.token, Token::Asked) {
                self.token = Token::Asked;
                self.actions.push_back(Action::Token);
            }
            self.state = State::Token {
                until_ms: now_ms.saturating_add(self.options.token_timeout_ms),
            };
        } else {
            self.open(now_ms);
        }
        if self.elder.is_none() {
            self.status = Status::Connecting;
        }
    }

    fn open(&mut self, now_ms: u64) {
        self.next_link += 1;
        let id = LinkId(self.next_link);
        let url = self.hinted_url.as_ref().unwrap_or(&self.options.url);
        self.actions.push_back(Action::Open {
            link: id,
            url: url.clone(),
        });
        let mut link = Link::new(id, &self.options, now_ms);
        let all = self.subscriptions.iter();
        let waiting = all.fold(Amount::default(), |sum, (_, one)| sum.plus(one.waiting()));
        link.account.carry(waiting);
        self.state = State::Linked(Box::new(link));
    }

    /// A connection is open, its handshake done, and this dialect agreed upon.
    pub fn opened(&mut self, id: LinkId, dialect: Dialect, now_ms: u64) {
        let until_ms = now_ms.saturating_add(self.options.reply_timeout_ms);
        if let Some((link, _, _)) = self.linked(id)
            && matches!(link.stage, Stage::Opening { .. })
        {
            link.dialect = dialect;
            link.heard_at_ms = now_ms;
            link.stage = Stage::Hello { until_ms };
        }
    }

    /// Bytes have come over a connection, whatever they are.
    pub fn heard(&mut self, id: LinkId, now_ms: u64) {
        if let Some((link, _, _)) = self.linked(id) {
            link.heard(now_ms);
        }
    }

    /// A connection has ended, or did not come about.
    pub fn lost(&mut self, id: LinkId, loss: Loss, now_ms: u64) {
        let loss = match self.linked(id) {
            Some((link, _, _)) => tell(link, loss),
            None => loss,
        };
        let mut comeback = closing::comeback(loss.close_code());
        if self.publishing == Some(id) {
            self.publishing = None;
            let is_too_large = loss.close_code() == Some(CloseCode::TOO_LARGE);
            if is_too_large && self.publications.too_large(&loss) {
                // Without that one it does not end the same way.
                comeback = Comeback::Later;
            }
            self.publications.cut();
        }
        self.states.lost(id, now_ms);
        if let Some((link, _, _)) = self.linked(id) {
            let asked: Vec<_> = link.histories().collect();
            for history in asked {
                self.histories.cut(history);
            }
        }
        if self.elder.as_ref().is_some_and(|elder| elder.link.id == id) {
            self.elder_gone();
        } else if self.state.link().is_some_and(|link| link.id == id) {
            match std::mem::replace(&mut self.state, State::Idle) {
                State::Linked(link) => self.main_gone(&link, (loss, comeback), now_ms),
                State::Closing { .. } => self.stop(Stop::Asked),
                other @ (State::Idle
                | State::Token { .. }
                | State::Waiting { .. }
                | State::Stopped) => self.state = other,
            }
        }
        self.proceed(now_ms);
    }

    /// Gives a connection up.
    pub(super) fn give_up(&mut self, id: LinkId, loss: Loss, now_ms: u64) {
        self.actions.push_back(Action::Abort { link: id });
        self.lost(id, loss, now_ms);
    }

    fn main_gone(&mut self, link: &Link, (loss, comeback): (Loss, Comeback), now_ms: u64) {
        let was_ready = link.is_ready();
        let lasted = self.ready_at_ms.is_some_and(|at| now_ms - at >= STABLE_MS);
        if was_ready && lasted {
            self.failures = 0;
        }
        self.departs_at_ms = None;
        if let Some(elder) = &mut self.elder
            && elder.link.is_ready()
        {
            // It is needed again.
            elder.retire = Retire::Needed;
        }
        self.follow_hint(link.hints.url.as_ref(), was_ready);
        let code = loss.close_code();
        if matches!(code, Some(closing::BAD_TOKEN | closing::TOKEN_EXPIRED)) {
            return self.token_refused(loss, now_ms);
        }
        let never = match &loss {
            Loss::Http { status, .. } => {
                let temporary = matches!(status, 408 | 425 | 429) || *status >= 500;
                // A server that was there before is behind something that is not well.
                !temporary && self.ready_at_ms.is_none()
            }
            Loss::Foreign => self.ready_at_ms.is_none(),
            Loss::Closed { .. } => comeback == Comeback::Never,
            Loss::Unreachable(_)
            | Loss::Broken(_)
            | Loss::Cut(_)
            | Loss::Silent
            | Loss::TimedOut(_)
            | Loss::NoToken(_) => false,
        };
        if never {
            return self.stop(Stop::Refused(loss));
        }
        let soon = code.is_some() && comeback == Comeback::Soon;
        let retry_ms = match &loss {
            Loss::Http { retry_ms, .. } => *retry_ms,
            Loss::Unreachable(_)
            | Loss::Foreign
            | Loss::Broken(_)
            | Loss::Closed { .. }
            | Loss::Cut(_)
            | Loss::Silent
            | Loss::TimedOut(_)
            | Loss::NoToken(_) => link.hints.retry_ms,
        };
        let spread_ms = match link.hints.spread_ms {
            Some(spread_ms) => Some(spread_ms),
            None if soon => Some(SPREAD_MS),
            None => None,
        };
        self.wait(loss, retry_ms, spread_ms, now_ms);
    }

    /// Comes back later: not before `retry_ms`; at once inside `spread_ms` if the server said so and
    /// there was no failure before; otherwise with backoff. Jitter is always full.
    fn wait(&mut self, loss: Loss, retry_ms: Option<u64>, spread_ms: Option<u64>, now_ms: u64) {
        let floor_ms = retry_ms.unwrap_or(0).min(RETRY_MS_MAX);
        let spread_ms = spread_ms.map(|ms| self.dice.up_to(ms.min(RETRY_MS_MAX)));
        let jitter_ms = match (spread_ms, self.failures) {
            (Some(spread_ms), 0) => spread_ms,
            (spread_ms, failures) => {
                let backoff_ms = self.options.backoff.wait_ms(failures, &mut self.dice);
                backoff_ms.max(spread_ms.unwrap_or(0))
            }
        };
        self.failures = self.failures.saturating_add(1);
        let wait_ms = floor_ms.saturating_add(jitter_ms);
        self.state = State::Waiting {
            until_ms: now_ms.saturating_add(wait_ms),
        };
        if self.elder.is_none() {
            self.status = Status::Waiting {
                retry_in_ms: wait_ms,
                loss,
            };
        }
    }

    /// A place that the server has named is tried next, and left again if nobody is there.
    fn follow_hint(&mut self, url: Option<&Arc<str>>, was_ready: bool) {
        let is_secret = |url: &str| url.starts_with("wss:");
        match url {
            Some(url) if is_secret(&self.options.url) && !is_secret(url) => {
                let text = format!("the server names {url}, which is not encrypted: not followed");
                self.warn(Warning {
                    code: ErrorCode::Forbidden,
                    text: text.into(),
                });
            }
            Some(url) => self.hinted_url = Some(url.clone()),
            None if was_ready => {}
            None => self.hinted_url = None,
        }
    }

    fn token_refused(&mut self, loss: Loss, now_ms: u64) {
        if matches!(
            self.options.identity,
            Identity::Anonymous | Identity::Name(_)
        ) {
            // There was none.
            return self.stop(Stop::Refused(loss));
        }
        let untried = matches!(
            self.token,
            Token::Held {
                trust: Trust::Untried,
                ..
            }
        );
        if self.options.identity == Identity::Renewable && !untried {
            // Another one may do.
            self.token = Token::None;
            return self.wait(loss, None, Some(0), now_ms);
        }
        let text = if let Loss::Closed { reason, .. } = &loss
            && !reason.is_empty()
        {
            reason.clone()
        } else {
            loss.to_string().into()
        };
        self.stop(Stop::BadToken(text));
    }

    /// Fetches another token, if there is a source.
    pub(super) fn renew_token(&mut self) {
        if self.options.identity != Identity::Renewable {
            return self.warn(Warning {
                code: ErrorCode::TokenExpired,
                text: "the token expires, and there is no source of tokens".into(),
            });
        }
        if !matches!(self.token, Token::Asked) {
            self.token = Token::Asked;
            self.actions.push_back(Action::Token);
        }
    }

    /// The source of tokens has answered.
    pub fn token(&mut self, answer: Result<&str, &str>, now_ms: u64) {
        match answer {
            Ok(text) => {
                let text: Arc<str> = text.into();
                self.token = Token::held(text.clone());
                match &mut self.state {
                    State::Token { .. } => self.open(now_ms),
                    // Before its `hello` it takes the new one anyway.
                    State::Linked(link) if link.takes_commands() => link.auth = Some(text),
                    State::Linked(_)
                    | State::Idle
                    | State::Waiting { .. }
                    | State::Closing { .. }
                    | State::Stopped => {}
                }
            }
            Err(why) => {
                self.token = Token::None;
                let why: Arc<str> = why.into();
                if matches!(self.state, State::Token { .. }) {
                    self.wait(Loss::NoToken(why), None, None, now_ms);
                } else {
                    self.warn(Warning {
                        code: ErrorCode::TokenExpired,
                        text: format!("the source of tokens has none: {why}").into(),
                    });
                }
            }
        }
    }

    /// The server wants this connection to be replaced.
    pub(super) fn go_away(&mut self, spread_ms: u64, url: Option<&Arc<str>>, now_ms: u64) {
        if self.departs_at_ms.is_none() {
            let wait_ms = self.dice.up_to(spread_ms.min(RETRY_MS_MAX));
            self.departs_at_ms = Some(now_ms.saturating_add(wait_ms));
            if url.is_some() {
                self.follow_hint(url, true);
            }
        }
    }

    /// The process was asleep: every connection is asked whether it is there.
    pub fn woke(&mut self) {
        if let Some(link) = self.state.link_mut() {
            link.ask();
        }
        if let Some(elder) = &mut self.elder {
            elder.link.ask();
        }
    }

    /// Says good-bye: no further events and publications; those that were published are finished,
    /// within [`close_timeout_ms`](super::Options::close_timeout_ms).
    pub fn close(&mut self, now_ms: u64) {
        if self.is_stopping() {
            return;
        }
        let until_ms = now_ms.saturating_add(self.options.close_timeout_ms);
        let finishes = match &self.state {
            State::Linked(link) => link.is_ready() || self.publications.len() > 0,
            State::Idle
            | State::Token { .. }
            | State::Waiting { .. }
            | State::Closing { .. }
            | State::Stopped => false,
        };
        if finishes && let State::Linked(link) = std::mem::replace(&mut self.state, State::Idle) {
            self.end_subscriptions(&Stop::Asked);
            self.state = State::Closing { link, until_ms };
            self.status = Status::Closing;
        } else {
            self.stop(Stop::Asked);
        }
        self.proceed(now_ms);
    }

    pub(super) fn stop(&mut self, stop: Stop) {
        let links = self.state.link().map(|link| link.id);
        let links = links
            .into_iter()
            .chain(self.elder.take().map(|elder| elder.link.id));
        for link in links {
            self.actions.push_back(Action::Abort { link });
        }
        self.publishing = None;
        self.publications.stop();
        self.histories.stop();
        self.states.stop();
        self.end_subscriptions(&stop);
        self.status = Status::Stopped(stop);
        self.state = State::Stopped;
    }

    fn end_subscriptions(&mut self, stop: &Stop) {
        self.again.clear();
        for (_, subscription) in self.subscriptions.iter_mut() {
            subscription.again_at_ms = None;
            subscription.end(Unsubscribed::Stopped(stop.clone()));
        }
    }

    /// The moment at which [`timeout`](Self::timeout) is to be called, if nothing happens before.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        let state = match &self.state {
            State::Token { until_ms }
            | State::Waiting { until_ms }
            | State::Closing { until_ms, .. } => Some(*until_ms),
            State::Idle | State::Linked(_) | State::Stopped => None,
        };
        let link = self.state.link();
        let main = link.and_then(|link| link.deadline_ms(&self.options));
        let pace = match link {
            Some(link) if link.is_ready() && self.publications.queued() > 0 => link.pace.next_ms(),
            Some(_) | None => None,
        };
        let elder = self.elder.as_ref();
        let retire = elder.and_then(|elder| match elder.retire {
            Retire::Finishing { until_ms } => Some(until_ms),
            Retire::Needed | Retire::Left => None,
        });
        let elder = elder.and_then(|elder| elder.link.deadline_ms(&self.options));
        let publication = self.publications.oldest_ms();
        let publication = publication.map(|at| at.saturating_add(self.options.publish_timeout_ms));
        let again = self.again.first().map(|(at_ms, _)| *at_ms);
        // A departure waits for the one before, whose own deadlines count then.
        let departs = match self.elder {
            Some(_) => None,
            None => self.departs_at_ms,
        };
        [
            state,
            main,
            pace,
            retire,
            elder,
            publication,
            again,
            departs,
            self.states.deadline_ms(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due.
    pub fn timeout(&mut self, now_ms: u64) {
        match &self.state {
            State::Token { until_ms } if *until_ms <= now_ms => {
                self.token = Token::None;
                self.wait(Loss::TimedOut("the source of tokens"), None, None, now_ms);
            }
            State::Waiting { until_ms } if *until_ms <= now_ms => self.begin(now_ms),
            State::Closing { until_ms, .. } if *until_ms <= now_ms => self.close_late(now_ms),
            State::Token { .. }
            | State::Waiting { .. }
            | State::Closing { .. }
            | State::Idle
            | State::Linked(_)
            | State::Stopped => {}
        }
        let due = self.state.link_mut();
        let due = due.and_then(|link| Some((link.id, link.timeout(&self.options, now_ms)?)));
        if let Some((id, loss)) = due {
            self.give_up(id, loss, now_ms);
        }
        let due = self.elder.as_deref_mut().map(Elder::link_mut);
        let due = due.and_then(|link| Some((link.id, link.timeout(&self.options, now_ms)?)));
        if let Some((id, loss)) = due {
            self.give_up(id, loss, now_ms);
        }
        if let Some(asked_until_ms) = now_ms.checked_sub(self.options.publish_timeout_ms) {
            self.publications.expire(asked_until_ms);
        }
        while let Some(&(at_ms, id)) = self.again.first()
            && at_ms <= now_ms
        {
            self.again.pop_first();
            self.say_again(id);
        }
        self.states.timeout(now_ms);
        self.proceed(now_ms);
    }

    fn say_again(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(id) {
            subscription.again_at_ms = None;
            if let Some(link) = self.state.link_mut()
                && link.takes_commands()
            {
                link.unsaid.push_back(id);
            }
        }
    }

    /// What was published is not finished in time.
    fn close_late(&mut self, now_ms: u64) {
        if let State::Closing { link, until_ms } = &mut self.state
            && link.is_ready()
        {
            *until_ms = now_ms.saturating_add(self.options.close_timeout_ms);
            link.stage = Stage::Bye {
                until_ms: *until_ms,
            };
            self.publishing = None;
            self.publications.stop();
        } else {
            self.stop(Stop::Asked);
        }
    }

    /// Goes on where something has become possible.
    pub(super) fn proceed(&mut self, now_ms: u64) {
        self.retire(now_ms);
        if let State::Closing { link, until_ms } = &mut self.state
            && link.is_ready()
            && self.publications.len() == 0
        {
            *until_ms = now_ms.saturating_add(self.options.close_timeout_ms);
            link.stage = Stage::Bye {
                until_ms: *until_ms,
            };
        }
        if let State::Linked(link) = &self.state
            && link.is_ready()
            && self.elder.is_none()
            && self.departs_at_ms.is_some_and(|at_ms| at_ms <= now_ms)
        {
            self.departs_at_ms = None;
            self.failures = 0;
            if let State::Linked(link) = std::mem::replace(&mut self.state, State::Idle) {
                self.elder = Some(Box::new(Elder {
                    link: *link,
                    retire: Retire::Needed,
                }));
            }
            self.begin(now_ms);
        }
    }

    /// Leaves the elder connection when the next one carries all that it did.
    fn retire(&mut self, now_ms: u64) {
        let settled = self.state.link().is_some_and(Link::is_settled);
        let Some(elder) = self.elder.as_deref_mut() else {
            return;
        };
        if elder.retire == Retire::Needed && settled {
            elder.retire = Retire::Finishing {
                until_ms: now_ms.saturating_add(FINISH_MS),
            };
        }
        let publishes = self.publishing == Some(elder.link.id) && self.publications.in_flight() > 0;
        let asked: Vec<_> = elder.link.histories().collect();
        if let Retire::Finishing { until_ms } = elder.retire
            && (!publishes && asked.is_empty() || until_ms <= now_ms)
        {
            for history in asked {
                self.histories.cut(history);
            }
            elder.leave(now_ms.saturating_add(self.options.close_timeout_ms));
        }
    }

    /// Nothing more comes over the elder connection.
    fn elder_gone(&mut self) {
        if self.elder.take().is_none() {
            return;
        }
        let Some(link) = self.state.link() else {
            // Its end is the end of what the client was connected by.
            if matches!(self.state, State::Waiting { .. } | State::Token { .. }) {
                self.status = Status::Connecting;
            }
            return;
        };
        if !link.is_ready() {
            self.status = Status::Connecting;
        }
    }
}

/// What has happened, by what the server said before.
fn tell(link: &Link, loss: Loss) -> Loss {
    let said = link.hints.code.map(CloseCode);
    let reason = link.hints.reason.clone();
    if let Loss::Closed { code, reason: last } = loss {
        Loss::Closed {
            code: said.or(code),
            reason: reason.unwrap_or(last),
        }
    } else if let (Loss::Cut(_), Some(_)) = (&loss, said) {
        // The Close frame was lost behind its announcement.
        Loss::Closed {
            code: said,
            reason: reason.unwrap_or_default(),
        }
    } else {
        loss
    }
}

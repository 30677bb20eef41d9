//! A subscription, as a stream of its events.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use corewire_protocol::native::{Policy, PolicyMode, Presence};
use futures_core::Stream;

use crate::client::Client;
use crate::machine::{
    Event, Message, Position, Start, StateError, Subscribe, SubscribeError, Subscribed,
    SubscriptionId, Unsubscribed,
};
use crate::shared::Links;
use crate::state::State;

/// A subscription to be. Awaited, the server has taken it: everything published from then on comes,
/// behind what was asked for [`of the past`](Self::from).
/// Without a connection that waits for one.
#[derive(Debug)]
#[must_use = "nothing happens before it is awaited or started"]
pub struct Subscribing {
    client: Client,
    subscribe: Subscribe,
}

/// Why there is no subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribingError {
    /// The client does not ask for it.
    Impossible(SubscribeError),
    /// The server has refused it, or the client has stopped.
    Ended(Unsubscribed),
}

impl fmt::Display for SubscribingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Impossible(error) => error.fmt(f),
            Self::Ended(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for SubscribingError {}

impl Subscribing {
    pub(crate) fn new(client: Client, topic: &str) -> Self {
        let subscribe = Subscribe::to(topic);
        Self { client, subscribe }
    }

    /// What the server does if this client does not keep up, instead of what it does by default.
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.subscribe.policy = Some(policy);
        self
    }

    /// Where it begins, instead of with the next message.
    ///
    /// ```no_run
    /// # async fn example(client: corewire_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut room = client.subscribe("chat.room1").last(20).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from(mut self, start: Start) -> Self {
        self.subscribe.from = start;
        self
    }

    /// Begins with the newest so many messages that the server still has; of a pattern, in each
    /// topic.
    pub fn last(self, count: u64) -> Self {
        self.from(Start::Last(count))
    }

    /// Begins with the messages that the server still has and took at this time or later, by its
    /// clock; of a pattern, in each topic.
    pub fn since(self, time: SystemTime) -> Self {
        self.from(Start::Since(unix_ms(time)))
    }

    /// Begins behind this position of a topic, such as that of the last message that the
    /// application has dealt with before it was started anew. Where the server cannot do that, an
    /// [`Event::Reset`] comes first.
    pub fn after(self, position: Position) -> Self {
        self.from(Start::After(position))
    }

    /// Announces this client to the others in the topic, has it told of them, or both:
    /// [`Subscription::presence`]. Of topics, not of patterns.
    pub const fn presence(mut self, presence: Presence) -> Self {
        self.subscribe.presence = Some(presence);
        self
    }

    /// Has this client told of the topic's state in another namespace, such as `typing`, up to 8 of
    /// them: [`Subscription::state`]. Of topics, not of patterns.
    pub fn watch(mut self, namespace: &str) -> Self {
        self.subscribe.watch.push(namespace.into());
        self
    }

    /// The same without bounds of its own.
    pub fn mode(self, mode: PolicyMode) -> Self {
        self.policy(Policy {
            mode,
            ..Policy::default()
        })
    }

    /// Begins, and does not wait for the server. What it answers is the stream's first event.
    ///
    /// # Errors
    ///
    /// Why the server is not asked.
    pub fn start(self) -> Result<Subscription, SubscribeError> {
        let shared = &self.client.handle.shared;
        let subject = self.subscribe.subject.clone();
        let id = shared.with(|machine, _| machine.subscribe(self.subscribe))?;
        Ok(Subscription {
            client: self.client,
            subject,
            id,
            begun: None,
            end: None,
        })
    }

    async fn subscribed(self) -> Result<Subscription, SubscribingError> {
        let mut subscription = self.start().map_err(SubscribingError::Impossible)?;
        match subscription.next_event().await {
            Some(Event::Subscribed(begun)) => {
                subscription.begun = Some(begun);
                Ok(subscription)
            }
            Some(Event::Unsubscribed(why)) => Err(SubscribingError::Ended(why)),
            // Nothing comes before either of them.
            Some(Event::Message(_) | Event::Gap(_) | Event::Conflated(_) | Event::Reset(_))
            | None => Ok(subscription),
        }
    }
}

/// Milliseconds since 1970; 0 for what was before.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl IntoFuture for Subscribing {
    type Output = Result<Subscription, SubscribingError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.subscribed())
    }
}

/// A stream of [`Event`]s, which ends behind [`Event::Unsubscribed`]. Dropped, it ends the
/// subscription.
///
/// Who does not poll it holds the server back: what has come waits here, within the client's
/// [window](crate::Window), and the server does with the rest what the subscription's policy says.
#[derive(Debug)]
#[must_use = "dropped, the subscription ends"]
pub struct Subscription {
    client: Client,
    subject: Arc<str>,
    id: SubscriptionId,
    begun: Option<Subscribed>,
    end: Option<Unsubscribed>,
}

impl Subscription {
    /// Where it began, once the server has taken it.
    #[must_use]
    pub const fn begun(&self) -> Option<&Subscribed> {
        self.begun.as_ref()
    }

    /// Who is there, if the subscription was made [to tell](Subscribing::presence), and what this
    /// client says of itself there.
    ///
    /// # Errors
    ///
    /// Why it cannot be looked at, such as that this is a pattern.
    pub fn presence(&self) -> Result<State, StateError> {
        State::presence(self.client.clone(), &self.subject)
    }

    /// The topic's state in another namespace, such as `typing`, if the subscription
    /// [watches](Subscribing::watch) it.
    ///
    /// # Errors
    ///
    /// Why it cannot be looked at, such as that this is a pattern.
    pub fn state(&self, namespace: &str) -> Result<State, StateError> {
        State::open(self.client.clone(), &self.subject, namespace)
    }

    /// The next event; `None` behind the last one.
    pub async fn next_event(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll_event(context)).await
    }

    /// The next message; `None` behind the last event, which [`end`](Self::end) has. For those who
    /// do not care for what is missing: all other events are left out.
    pub async fn next_message(&mut self) -> Option<Message> {
        loop {
            match self.next_event().await? {
                Event::Message(message) => return Some(message),
                Event::Subscribed(_)
                | Event::Gap(_)
                | Event::Conflated(_)
                | Event::Reset(_)
                | Event::Unsubscribed(_) => {}
            }
        }
    }

    /// Why it has ended, once it has.
    #[must_use]
    pub const fn end(&self) -> Option<&Unsubscribed> {
        self.end.as_ref()
    }

    /// The next event, for those who wait for several things at once; `None` behind the last one.
    pub fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        let shared = &self.client.handle.shared;
        let (event, owes_credit) = {
            let mut core = shared.lock();
            let event = core.machine.next_event(self.id);
            if event.is_none() {
                core.readers.insert(self.id, context.waker().clone());
            }
            (event, core.machine.owes_credit())
        };
        if owes_credit {
            shared.with_core(Links::All, |_, _| ());
        }
        match event {
            None => Poll::Pending,
            Some(event) => {
                match &event {
                    Event::Unsubscribed(why) => self.end = Some(why.clone()),
                    Event::Subscribed(begun) => self.begun = Some(begun.clone()),
                    Event::Message(_) | Event::Gap(_) | Event::Conflated(_) | Event::Reset(_) => {}
                }
                Poll::Ready(Some(event))
            }
        }
    }
}

impl Stream for Subscription {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.client.handle.shared.with_core(Links::All, |core, _| {
            core.readers.remove(&self.id);
            core.machine.unsubscribe(self.id);
        });
    }
}

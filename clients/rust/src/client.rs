//! A client: what an application holds.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use corewire_protocol::native::Dialect;
use tokio::sync::watch;
use tokio::time;
use tokio_rustls::rustls::ClientConfig;

use crate::data::Data;
use crate::driver::{self, Tokens};
use crate::machine::{
    Identity, Loss, Machine, Options, Position, PublishError, Session, StateError, Status, Stop,
    Warning,
};
use crate::publishing::Publishing;
use crate::random::Random;
use crate::reading::Reading;
use crate::shared::Shared;
use crate::socket::Dial;
use crate::state::State;
use crate::subscribing::Subscribing;
use crate::url::{ServerUrl, UrlError};
use crate::wire::Offer;

/// How long [`Connect`] waits for a first connection.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// A connection to a server that comes back by itself, with all its subscriptions. Clones are the
/// same client; it says good-bye when the last of them, of its subscriptions and of its
/// [`State`]s is dropped, or [`close`](Self::close)d.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) handle: Arc<Handle>,
}

/// Ends the client with the last of those who hold it.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.with(Machine::close);
    }
}

impl Client {
    /// A client of the server at `url`, such as `ws://127.0.0.1:9001/ws`. Awaited, it is connected;
    /// before that, it can be told how.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use corewire_client::Client;
    ///
    /// let client = Client::connect("wss://chat.example.com/ws")
    ///     .token("eyJhbGciOi…")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(url: impl AsRef<str>) -> Connect {
        Connect {
            url: url.as_ref().to_owned(),
            options: Options::new(""),
            tokens: None,
            offer: Offer::default(),
            tls: None,
            wait: CONNECT_WAIT,
        }
    }

    /// Subscribes to a topic, or to all topics that a pattern fits: `chat.*` has one more level,
    /// `chat.>` one or more. Awaited, the server has taken it.
    pub fn subscribe(&self, topic: impl AsRef<str>) -> Subscribing {
        Subscribing::new(self.clone(), topic.as_ref())
    }

    /// Reads messages that a topic still has, without a subscription: the newest ones, unless
    /// [`Reading`] is told otherwise.
    ///
    /// ```no_run
    /// # async fn example(client: corewire_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let page = client.history("chat.room1").limit(50).await?;
    /// let older = client.history("chat.room1").from(page.older()).limit(50).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn history(&self, topic: impl AsRef<str>) -> Reading {
        Reading::new(self.clone(), topic.as_ref())
    }

    /// The state of a topic in one namespace, such as `typing`: [`Subscription::state`] for any topic
    /// to which the client is subscribed, be it by a pattern. To be told of it, a subscription to
    /// the topic itself must [watch](Subscribing::watch) it.
    ///
    /// # Errors
    ///
    /// Why it cannot be looked at, such as that this is no topic.
    ///
    /// [`Subscription::state`]: crate::Subscription::state
    pub fn state(
        &self,
        topic: impl AsRef<str>,
        namespace: impl AsRef<str>,
    ) -> Result<State, StateError> {
        State::open(self.clone(), topic.as_ref(), namespace.as_ref())
    }

    /// Publishes. Awaited, the server has put it in order.
    ///
    /// Without a connection it waits for one; see [`Publishing`] for what else there is to choose.
    pub fn publish(&self, topic: impl AsRef<str>, data: impl Into<Data>) -> Publishing {
        Publishing::new(self.clone(), topic.as_ref(), data.into())
    }

    /// Publishes without waiting for the outcome: a failure is a [`warning`](Self::warning).
    ///
    /// # Errors
    ///
    /// It is impossible, or too much waits already.
    pub fn publish_nowait(
        &self,
        topic: impl AsRef<str>,
        data: impl Into<Data>,
    ) -> Result<(), PublishError> {
        self.publish(topic, data).forget()
    }

    /// How the client is, now and whenever that changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.handle.shared.status()
    }

    /// What the server said about the connection, if there is one.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        match self.handle.shared.lock().machine.status() {
            Status::Connected(session) => Some(session.clone()),
            Status::Connecting | Status::Waiting { .. } | Status::Closing | Status::Stopped(_) => {
                None
            }
        }
    }

    /// The next thing that went wrong and is nobody's answer: a publication that was not waited for,
    /// a word of warning from the server. Some sixty are kept for who asks late.
    pub async fn warning(&self) -> Warning {
        loop {
            if let Some(warning) = self.handle.shared.next_warning() {
                return warning;
            }
            self.handle.shared.warned.notified().await;
        }
    }

    /// Publications that have no outcome yet.
    #[must_use]
    pub fn unpublished(&self) -> usize {
        self.handle.shared.lock().machine.unpublished()
    }

    /// Finishes what was published, within bounds, says good-bye and waits for the end. Subscriptions
    /// end at once.
    pub async fn close(&self) {
        self.handle.shared.with(Machine::close);
        let mut status = self.status();
        let stopped = status.wait_for(|status| matches!(status, Status::Stopped(_)));
        // The sender lives as long as this handle.
        let _ = stopped.await;
    }
}

/// A client to be. Await it, or [`start`](Self::start) it.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited or started"]
pub struct Connect {
    url: String,
    options: Options,
    tokens: Option<Tokens>,
    offer: Offer,
    tls: Option<Arc<ClientConfig>>,
    wait: Duration,
}

/// Why there is no client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is none.
    Url(UrlError),
    /// There was no connection in time: what happened last.
    TimedOut(Option<Loss>),
    /// The server refuses.
    Stopped(Stop),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::TimedOut(Some(loss)) => loss.fmt(f),
            Self::TimedOut(None) => f.write_str("the server did not answer in time"),
            Self::Stopped(stop) => stop.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {}

impl Connect {
    /// Says who this is by a token that lasts as long as it lasts.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.options.identity = Identity::Token(token.into());
        self
    }

    /// Says who this is by tokens that are fetched when one is needed: at first, and before the one
    /// in use expires. A connection outlives its tokens that way.
    pub fn tokens<F, T>(mut self, fetch: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, String>> + Send + 'static,
    {
        self.options.identity = Identity::Renewable;
        self.tokens = Some(Tokens(Arc::new(move || Box::pin(fetch()))));
        self
    }

    /// Chooses a name, where the server lets clients do so.
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.options.identity = Identity::Name(name.into());
        self
    }

    /// Speaks this dialect only. Otherwise the server chooses, and the client likes binary better.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.offer.dialects = vec![dialect];
        self
    }

    /// What is asked of the server in the WebSocket handshake: compression, further headers.
    pub fn offer(mut self, offer: Offer) -> Self {
        self.offer = offer;
        self
    }

    /// Encrypts with this configuration instead of one that trusts whom the system trusts.
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// How long to wait for the first connection, 10 s if nothing is said.
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Changes bounds and times: windows, queues, backoff. Its URL and identity do not count.
    pub fn options(mut self, options: Options) -> Self {
        let identity = std::mem::take(&mut self.options.identity);
        self.options = Options {
            identity,
            ..options
        };
        self
    }

    /// Begins to connect, and does not wait. There must be a tokio runtime.
    ///
    /// # Errors
    ///
    /// The URL is none.
    pub fn start(self) -> Result<Client, UrlError> {
        let url = ServerUrl::parse(&self.url)?;
        let options = Options {
            url: url.to_string().into(),
            ..self.options
        };
        let machine = Machine::new(options, Random::seed());
        let shared = Arc::new(Shared::new(machine));
        shared.with(Machine::start);
        let dial = Dial {
            offer: self.offer,
            tls: self.tls,
        };
        tokio::spawn(driver::run(shared.clone(), dial, self.tokens));
        Ok(Client {
            handle: Arc::new(Handle { shared }),
        })
    }

    async fn connected(self) -> Result<Client, ConnectError> {
        let wait = self.wait;
        let client = self.start().map_err(ConnectError::Url)?;
        let mut status = client.status();
        let mut last = None;
        let connected = time::timeout(wait, async {
            loop {
                match &*status.borrow_and_update() {
                    Status::Connected(_) => return Ok(()),
                    Status::Stopped(stop) => return Err(ConnectError::Stopped(stop.clone())),
                    Status::Waiting { loss, .. } => last = Some(loss.clone()),
                    Status::Connecting | Status::Closing => {}
                }
                if status.changed().await.is_err() {
                    return Err(ConnectError::Stopped(Stop::Asked));
                }
            }
        });
        match connected.await {
            Ok(connected) => connected.map(|()| client),
            Err(_) => Err(ConnectError::TimedOut(last)),
        }
    }
}

impl IntoFuture for Connect {
    type Output = Result<Client, ConnectError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connected())
    }
}

/// Where a message stands, as a future's output.
pub(crate) type Published = Result<Position, PublishError>;

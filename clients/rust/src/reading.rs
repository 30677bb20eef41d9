//! A question for messages of the past, and its answer.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::SystemTime;

use tokio::sync::oneshot;

use crate::client::Client;
use crate::machine::{History, HistoryError, Page, PageFrom, Position};
use crate::shared::Links;
use crate::subscribing::unix_ms;

/// A question to be for messages that a topic still has. Awaited, the server has answered it by a
/// page: the newest messages, unless another one is asked for. Without a connection that waits for
/// one.
#[derive(Debug)]
#[must_use = "nothing is asked before it is awaited"]
pub struct Reading {
    client: Client,
    history: History,
}

impl Reading {
    pub(crate) fn new(client: Client, topic: &str) -> Self {
        let history = History {
            topic: topic.into(),
            from: PageFrom::Newest,
            limit: None,
        };
        Self { client, history }
    }

    /// Which page.
    pub fn from(mut self, from: PageFrom) -> Self {
        self.history.from = from;
        self
    }

    /// The page that begins with the oldest message.
    pub fn oldest(self) -> Self {
        self.from(PageFrom::Oldest)
    }

    /// The page that begins behind this position.
    pub fn after(self, position: Position) -> Self {
        self.from(PageFrom::After(position))
    }

    /// The page that begins with the first message that the server took at this time or later, by
    /// its clock.
    pub fn since(self, time: SystemTime) -> Self {
        self.from(PageFrom::Since(unix_ms(time)))
    }

    /// The page that ends before the message at this position.
    pub fn before(self, position: Position) -> Self {
        self.from(PageFrom::Before(position))
    }

    /// How many messages it has at most. The server has a bound of its own.
    pub const fn limit(mut self, messages: u64) -> Self {
        self.history.limit = Some(messages);
        self
    }

    async fn read(self) -> Result<Page, HistoryError> {
        let shared = &self.client.handle.shared;
        let page = shared.with_core(Links::All, |core, _| {
            let id = core.machine.history(self.history)?;
            let (sender, receiver) = oneshot::channel();
            core.pages.insert(id, sender);
            Ok(receiver)
        })?;
        // The sender is dropped with the runtime only.
        page.await.unwrap_or(Err(HistoryError::Stopped))
    }
}

impl IntoFuture for Reading {
    type Output = Result<Page, HistoryError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.read())
    }
}

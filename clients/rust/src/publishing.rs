//! A publication on its way.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use corewire_protocol::native::Echo;
use tokio::sync::oneshot;

use crate::client::{Client, Published};
use crate::data::Data;
use crate::machine::{Guarantee, Outcome, Publish, PublishError};

/// A publication to be. Awaited, it waits for room in the queue, then for the server's reply: where
/// the message now stands.
///
/// [`send`](Self::send) queues it at once and gives something to await later, for many on their way
/// at a time; they are published in the order of these calls.
#[derive(Debug)]
#[must_use = "nothing is published before it is awaited or sent"]
pub struct Publishing {
    client: Client,
    publish: Publish,
}

/// The reply to a publication, to be awaited. Dropped, the message is published all the same.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Outcome>);

impl Publishing {
    pub(crate) fn new(client: Client, topic: &str, data: Data) -> Self {
        let publish = Publish::new(topic, data);
        Self { client, publish }
    }

    /// Makes it the newest value of this key: what subscribers with
    /// [`PolicyMode::Latest`](crate::PolicyMode::Latest) get.
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        self.publish.key = Some(key.as_ref().into());
        self
    }

    /// Gives it a name with a value that subscribers are told. The names are different.
    pub fn tag(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let tag = (name.as_ref().into(), value.as_ref().into());
        self.publish.tags.push(tag);
        self
    }

    /// Has it delivered for so long only, in whole milliseconds.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.publish.ttl_ms = Some(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Has it published once however often this is called with the same key of 1 to 64 bytes, also
    /// by others, as long as the server remembers it: for the time of its history, and at least two
    /// minutes. All are told the position of the first one.
    pub fn idem(mut self, key: impl AsRef<str>) -> Self {
        self.publish.idem = Some(key.as_ref().into());
        self
    }

    /// Keeps it from this client's own subscriptions.
    pub const fn no_echo(mut self) -> Self {
        self.publish.echo = Echo::No;
        self
    }

    /// Has it sent again also where the server may have it and does not know the client again, such
    /// as after a long time without a connection; see [`Guarantee`]. Otherwise it ends as
    /// [`PublishError::Uncertain`] there.
    pub const fn at_least_once(mut self) -> Self {
        self.publish.guarantee = Guarantee::AtLeastOnce;
        self
    }

    /// Queues it behind all that was published before.
    ///
    /// # Errors
    ///
    /// It is impossible, or too much waits already ([`PublishError::Full`]).
    pub fn send(self) -> Result<Receipt, PublishError> {
        let shared = &self.client.handle.shared;
        shared.with_core(crate::shared::Links::All, |core, now_ms| {
            let id = core.machine.publish(self.publish, now_ms)?;
            let (sender, receiver) = oneshot::channel();
            core.outcomes.insert(id, sender);
            Ok(Receipt(receiver))
        })
    }

    /// The same without a reply: a failure is a [`warning`](Client::warning).
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub fn forget(self) -> Result<(), PublishError> {
        let shared = &self.client.handle.shared;
        shared.with(|machine, now_ms| machine.publish(self.publish, now_ms).map(drop))
    }

    /// Waits for room in the queue, then is as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// It is impossible.
    pub async fn queued(self) -> Result<Receipt, PublishError> {
        loop {
            let shared = &self.client.handle.shared;
            let room = shared.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let again = Self {
                client: self.client.clone(),
                publish: self.publish.clone(),
            };
            match again.send() {
                Err(PublishError::Full) => room.await,
                sent => return sent,
            }
        }
    }

    async fn published(self) -> Published {
        self.queued().await?.await
    }
}

impl IntoFuture for Publishing {
    type Output = Published;
    type IntoFuture = Pin<Box<dyn Future<Output = Published> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.published())
    }
}

impl Future for Receipt {
    type Output = Published;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Published> {
        let outcome = Pin::new(&mut self.0).poll(context);
        // The sender is dropped with the runtime only.
        outcome.map(|outcome| outcome.unwrap_or(Err(PublishError::Uncertain)))
    }
}

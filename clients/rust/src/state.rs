//! A topic's state in one namespace, such as who is there: looked at, waited for, and set.

use std::sync::Arc;
use std::time::Duration;

use corewire_protocol::native::PRESENCE;
use serde::Serialize;
use tokio::sync::watch;

use crate::client::Client;
use crate::machine::{Picture, SetState, StateError, StateId};
use crate::shared::Links;

/// The state of one topic in one namespace. It is known as long as a subscription of the client
/// asks for it, by [`presence`](crate::Subscribing::presence) or [`watch`](crate::Subscribing::watch);
/// it can be set wherever the client is subscribed.
///
/// ```no_run
/// # async fn example(client: corewire_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use corewire_client::{Change, Presence};
///
/// let room = client.subscribe("chat.room1").presence(Presence::Both).await?;
/// let mut here = room.presence()?;
/// here.set("busy")?;
/// let mut known = here.picture();
/// while let Some(now) = here.changed().await {
///     for change in now.since(&known) {
///         if let Change::Came(entry) = change {
///             println!("{} is here", entry.user);
///         }
///     }
///     known = now;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct State {
    client: Client,
    id: StateId,
    topic: Arc<str>,
    namespace: Arc<str>,
    picture: watch::Receiver<Arc<Picture>>,
}

impl State {
    pub(crate) fn open(client: Client, topic: &str, namespace: &str) -> Result<Self, StateError> {
        let (topic, namespace) = (Arc::from(topic), Arc::from(namespace));
        let (id, picture) = client.handle.shared.with_core(Links::All, |core, _| {
            let id = core.machine.open_state(&topic, &namespace)?;
            let known = core.machine.picture(id).cloned().unwrap_or_default();
            let sender = core.pictures.entry(id);
            let sender = sender.or_insert_with(|| watch::Sender::new(known));
            Ok((id, sender.subscribe()))
        })?;
        Ok(Self {
            client,
            id,
            topic,
            namespace,
            picture,
        })
    }

    pub(crate) fn presence(client: Client, topic: &str) -> Result<Self, StateError> {
        Self::open(client, topic, PRESENCE)
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What is known of it now. The picture stays as it is; take another one after a change.
    #[must_use]
    pub fn picture(&self) -> Arc<Picture> {
        self.picture.borrow().clone()
    }

    /// The next picture that is different from the last one that was returned here; `None` when the
    /// client has stopped. Who comes late gets the newest, and
    /// [`Picture::since`] tells what has changed between two.
    pub async fn changed(&mut self) -> Option<Arc<Picture>> {
        self.picture.changed().await.ok()?;
        Some(self.picture.borrow_and_update().clone())
    }

    /// Sets this connection's entry, and says so again after a reconnect for as long as it lasts.
    /// Presence lasts until it is [cleared](Self::clear) or the subscription that announces it ends;
    /// an entry elsewhere for 10 s, unless it is set again. `()` says nothing but that it is there.
    ///
    /// Nothing is sent if it is set to the same again too early, so this can be called for every
    /// keystroke. Where the server refuses it there is a [`Client::warning`].
    ///
    /// # Errors
    ///
    /// Why it is not set.
    pub fn set(&self, value: impl Serialize) -> Result<(), StateError> {
        self.entry().set(value)
    }

    /// Ends this connection's entry; in presence it takes the value away.
    pub fn clear(&self) {
        self.entry().clear();
    }

    /// An entry of this client's, to be set with a key or a time of its own.
    ///
    /// ```no_run
    /// # fn example(cursors: corewire_client::State) -> Result<(), corewire_client::StateError> {
    /// use std::time::Duration;
    ///
    /// cursors.entry().key("ann-left").ttl(Duration::from_secs(2)).set([12, 40])?;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn entry(&self) -> OwnEntry<'_> {
        OwnEntry {
            state: self,
            key: None,
            ttl_ms: None,
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.client.handle.shared.with_core(Links::None, |core, _| {
            core.machine.close_state(self.id);
            if core.machine.picture(self.id).is_none() {
                core.pictures.remove(&self.id);
            }
        });
    }
}

/// An entry of this client's own, to be set or cleared.
#[derive(Debug)]
#[must_use = "nothing happens before it is set or cleared"]
pub struct OwnEntry<'a> {
    state: &'a State,
    key: Option<Arc<str>>,
    ttl_ms: Option<u64>,
}

impl OwnEntry<'_> {
    /// Its key, instead of the connection's own: 1 to 128 bytes. It belongs to its user until it
    /// ends. Presence knows none.
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    /// How long it lasts unless it is set again: 1 ms to 10 s. Presence has no such end.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl_ms = Some(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Sets it, as [`State::set`] does.
    ///
    /// # Errors
    ///
    /// Why it is not set.
    pub fn set(self, value: impl Serialize) -> Result<(), StateError> {
        let text = serde_json::to_string(&value);
        let text = text.map_err(|error| StateError::NotJson(error.to_string().into()))?;
        let state = SetState {
            topic: self.state.topic.clone(),
            namespace: self.state.namespace.clone(),
            key: self.key,
            value: (text != "null").then(|| text.into()),
            ttl_ms: self.ttl_ms,
        };
        let shared = &self.state.client.handle.shared;
        shared.with(|machine, now_ms| machine.set_state(state, now_ms))
    }

    /// Ends it.
    pub fn clear(self) {
        let State {
            client,
            topic,
            namespace,
            ..
        } = self.state;
        let shared = &client.handle.shared;
        shared.with(|machine, _| machine.clear_state(topic, namespace, self.key.as_ref()));
    }
}

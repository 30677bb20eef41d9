//! The Rust client of corewire: publish and subscribe over a WebSocket that comes back by itself.
//!
//! ```no_run
//! use corewire_client::Client;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("ws://127.0.0.1:9001/ws").await?;
//! let mut room = client.subscribe("chat.>").await?;
//! client.publish("chat.room1", "hi").await?;
//! while let Some(message) = room.next_message().await {
//!     println!("{}: {}", message.topic, message.data);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What can be relied upon
//!
//! - **Nothing twice, nothing out of order, no silent loss.** A [`Subscription`] yields
//!   [`Event`]s. Messages of a topic come in the order of their offsets, each at most once. What
//!   does not come is told: a [`Gap`] where it is known what is missing, a [`Reset`] where it is not.
//! - **It comes back by itself**, with full jitter and when the server says so, and each
//!   subscription goes on where it was. [`Client::status`] tells how it is. It stops only where
//!   coming back would end the same way, such as with a wrong token.
//! - **Publications keep their order**, also those from the time without a connection. One that was
//!   sent and not answered before the connection ended is sent again and published once, as long as
//!   the server knows the client again. Where it does not, it is
//!   [`Uncertain`](PublishError::Uncertain), or sent again [all the same](Publishing::at_least_once).
//! - **Who is there** is a [`Picture`] that can be [looked at](State::picture) and
//!   [waited for](State::changed), as is who types. What this client [sets](State::set) itself is
//!   said again after a reconnect.
//! - **Everything is bounded** by [`Options`]. A subscriber that does not keep up holds the server
//!   back by credit, and its policy decides what happens there.
//!
//! All this is decided by a [`machine`] without sockets and clocks, which tokio drives here and a
//! simulation elsewhere.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_types,
    reason = "handles of one client on several threads share its machine behind a lock"
)]

mod client;
mod clock;
mod data;
mod driver;
pub mod machine;
mod publishing;
mod random;
mod reading;
mod shared;
mod socket;
mod state;
mod subscribing;
mod tls;
mod url;
pub mod wire;

pub use client::{Client, Connect, ConnectError};
pub use corewire_protocol::native::{
    Complete, Dialect, ErrorCode, Policy, PolicyMode, Presence, Resumed,
};
pub use data::{Data, DataError};
pub use machine::{
    Backoff, Change, Conflated, Entry, Event, Gap, GapCause, Guarantee, HistoryError, Identity,
    Loss, Message, Options, Page, PageFrom, Picture, Position, PublishError, Publisher, Reset,
    ResetCause, ResetScope, Session, Standing, Start, StateError, Status, Stop, SubscribeError,
    Subscribed, Unsubscribed, Warning, Window,
};
pub use publishing::{Publishing, Receipt};
pub use reading::Reading;
pub use state::{OwnEntry, State};
pub use subscribing::{Subscribing, SubscribingError, Subscription};
pub use url::{ServerUrl, UrlError};

/// The examples of the README are tested, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

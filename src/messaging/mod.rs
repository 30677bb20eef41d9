//! Topics: publish and subscribe for the connections of all cores, with order and without silent
//! loss.
//!
//! ```text
//!   a client's core            the topic's home core              cores with interest
//!     │ handler  bytes           │ mail                              │ mail
//!     │ dispatch command         │                                   │
//!     │ ── Publish ─────────────▶│ home    offset, epoch             │
//!     │                          │ ── Publication ──────────────────▶│ hub   topic, tail
//!     │◀─ Published ─────────────│                                   │       deliveries wake
//!     │ reply                                                        │ fill  policy, credit
//!     ▼                                                              ▼       written once
//!   the publisher                                                  the subscribers
//! ```
//!
//! Every topic has one home core, chosen by its name, which gives its messages their order
//! ([`home`]). Cores with subscribers have told it so; the messages come to them in that order
//! ([`mail`]), and lie in the topic's [`tail`] until every client that wants them has been sent
//! them, or has fallen too far behind. A client that cannot take more is a cursor that stands still
//! ([`delivery`]): what it gets, or is told that it will not get, is decided when it can take
//! something ([`fill`], [`stream`]). What has left the tail by then is read from the topic's log, if
//! it has one ([`catch_up`]). Which words are used is [`corewire_protocol::native`].
//!
//! Who comes back says where it was: of a topic its home core knows whether everything behind that
//! is still there ([`attach`]), of a pattern all home cores do ([`walk`]); a [`ticket`] says who it
//! is.
//!
//! A reader begins with [`handler`], then [`dispatch`], [`home`], [`hub`], [`fill`].

mod attach;
mod backlog;
mod batch;
mod bye;
mod catch_up;
mod class;
mod client;
mod core_set;
mod delivery;
mod dispatch;
mod fill;
mod greeting;
mod handler;
mod history;
mod home;
mod homes;
mod hub;
mod identity;
mod latest;
mod mail;
mod options;
mod patterns;
mod pen;
mod place;
mod positions;
mod publication;
mod recency;
mod refusal;
mod requests;
mod restart;
mod runs;
mod state;
mod store;
mod stream;
mod subscriptions;
mod tail;
mod talk;
mod ticket;
mod topic;
mod trie;
mod upkeep;
mod walk;

pub use class::{Class, History, TOPIC_RULES_MAX, TopicRule};
pub use client::ClientKey;
pub use handler::{Messaging, MessagingHandler};
pub use identity::{Identity, KeyTooShort, TOKEN_KEY_BYTES_MIN, TokenKey};
pub use mail::Mail;
pub use options::Options;

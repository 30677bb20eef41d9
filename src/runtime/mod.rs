//! The only system calls: one thread per core turns one [`Shard`](crate::engine::Shard) with the
//! events of its sockets.
//!
//! Above [`transport`] there are only plaintext bytes, "writable" and "gone", so that TLS can come
//! without anybody else noticing.

mod clock;
mod control;
mod listener;
mod reactor;
mod spin;
mod transport;

pub(crate) use clock::Clock;
pub(crate) use control::Control;
pub use listener::BindError;
pub(crate) use listener::{Listener, bind_group};
pub(crate) use reactor::{LISTENERS_MAX, Reactor, ReactorOptions, new_poll};

//! Counters of one core, written by that core alone and read by anybody.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number, in most cases one that only grows. One thread writes, any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the core that owns the counter may call it: it is a load and a store, not
    /// an atomic addition.
    pub(crate) fn add(&self, n: usize) {
        let n = u64::try_from(n).unwrap_or(u64::MAX);
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// What it is now. For what grows and shrinks.
    #[cfg(feature = "messaging")]
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// What one core has done since it started.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: Counter,)*
        }

        impl Counters {
            /// Every counter with its name, in the order of their declaration.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name.get()),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Connections accepted.
    accepted,
    /// Connections ended, for whatever reason.
    ended,
    /// Connections that were over the limit of the process and got a 503.
    over_connections_max,
    /// Times that no descriptor was left to accept with.
    accept_exhausted,
    /// HTTP requests answered, upgrades not counted.
    http_requests,
    /// HTTP requests answered with 400 or above.
    http_refused,
    /// WebSocket connections opened.
    upgraded,
    /// Messages received.
    messages_in,
    /// Messages sent.
    messages_out,
    /// Messages compressed. One that was prepared for many is compressed once.
    messages_deflated,
    /// Bytes received.
    bytes_in,
    /// Bytes sent.
    bytes_out,
    /// Pings received.
    pings_in,
    /// Pings answered late, each the newest of several: they came faster than the control-frame
    /// rate, or while output was blocked.
    pongs_late,
    /// Connections failed because the peer broke a rule of RFC 6455 or RFC 7692.
    protocol_errors,
    /// Connections failed with 1009: a message over `message_bytes`, or over what its application
    /// takes for now, or inflating too far.
    over_message_bytes,
    /// Connections failed with 1008: too many empty fragments.
    over_empty_fragments,
    /// Connections failed because all inflated messages together were over the budget.
    over_inflate_budget,
    /// Requests that did not come within `request_timeout_ms`.
    request_timeouts,
    /// Connections failed because a message was not whole within `message_timeout_ms`.
    message_timeouts,
    /// Peers that answered no ping.
    pong_timeouts,
    /// Connections closed because they were idle.
    idle_timeouts,
    /// Times that a connection was not read because too much waited to be sent to it, or what it
    /// had asked for took its time.
    reads_paused,
    /// Connections closed with 1013 because a message came while more than the cap waited.
    over_outbound_cap,
    /// Connections reset because the peer took no byte for `stall_timeout_ms`.
    stalled,
    /// Turns that ended before the input did, because the connection had done its share or more
    /// waited to be sent to it than the high watermark.
    turns_cut,
    /// Buffers of large messages that were freed, because the core keeps `pool_bytes` already.
    buffers_freed,
    /// Mail to other cores.
    mail_sent,
    /// Mail that did not fit and was handed back.
    mail_full,
    /// Requests to other cores that have no reply at the moment.
    requests_unanswered,
    /// Times that a connection was not read because its core had as many of them as it may.
    requests_held,
    /// Messages that topics of this core were given.
    published,
    /// Messages that were known already when they came, by their number or key, and left out.
    publications_known,
    /// Topics that this core orders at the moment, told at least once a second while it changes.
    topics,
    /// Bytes of memory for what is kept of topics at the moment.
    history_bytes,
    /// Messages that are kept at the moment.
    history_messages,
    /// Messages that went before their time, because of the bound of all that is kept.
    history_evicted,
    /// Messages of topics sent to subscribers, each counted for each of them.
    delivered,
    /// Messages of topics written in a dialect: once for the whole node.
    messages_encoded,
    /// Gaps told to subscribers.
    gaps,
    /// Clients closed with 4102 because more topics of their patterns waited than may.
    over_pattern_topics,
    /// Messages left out for newer ones with the same key.
    conflated,
    /// Messages that another core was not sent because its queue was full. Its subscribers are
    /// told by gaps.
    publications_lost,
    /// Entries of state that have come: members, typists, cursors. What is there now is this
    /// without `state_left`.
    state_entered,
    /// Entries of state that have gone.
    state_left,
    /// Changes of state written in a dialect: once for the whole node.
    state_written,
    /// Changes of state sent to watchers, each counted for each of them.
    state_told,
    /// Windows of state that were too large: watchers are told only that there was more.
    state_marks,
    /// Windows of state that another core was not sent because its queue was full. Its watchers
    /// are told.
    state_missed,
    /// Pages of state.
    state_pages,
    /// Commands of clients refused or not understood.
    commands_refused,
    /// Panics caught. Anything but 0 is a bug.
    panics,
}

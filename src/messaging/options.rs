//! What steers the messaging layer: every bound and deadline of it.

/// The settings of the messaging layer, equal on every core of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Milliseconds from the opening of a connection to its `hello`.
    pub hello_timeout_ms: u32,
    /// Bytes of the message with the `hello`.
    pub hello_bytes: usize,
    /// Milliseconds without a word to a client after which it is sent a `ping`.
    pub ping_ms: u32,
    /// Milliseconds that the answer to a `ping` may take; half-way it is asked once more.
    pub slack_ms: u32,
    /// Subscriptions of a connection.
    pub subscriptions_max: usize,
    /// Topics whose aliases a connection knows because a pattern matches them; when it learns one
    /// more, it forgets the one that was used least lately.
    pub pattern_topics_max: usize,
    /// Bytes that may wait for a delivery before its newest message.
    pub backlog_bytes: u32,
    /// Bytes that may wait for all deliveries of a core together, each message counted once.
    pub backlog_budget_bytes: usize,
    /// Publications of a connection a second; 0 is no limit.
    pub publish_per_s: u32,
    /// Publications of a connection at once, after a rest.
    pub publish_burst: u32,
    /// Publications and subscriptions of a connection that may wait for another core. It is not
    /// read while there are more.
    pub unanswered_max: usize,
    /// The same in bytes of data.
    pub unanswered_bytes: usize,
    /// Topics that a core is home to, or has subscribers of.
    pub topics_max: usize,
    /// Milliseconds after which a topic without subscribers is forgotten.
    pub topic_idle_ms: u32,
    /// Milliseconds that clients have to come back in after the server stops, each at a moment of
    /// its own.
    pub spread_ms: u32,
    /// Milliseconds before a token expires at which its client is asked for another one.
    pub token_warning_ms: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hello_timeout_ms: 5_000,
            hello_bytes: 64 << 10,
            ping_ms: 25_000,
            slack_ms: 10_000,
            subscriptions_max: 10_000,
            pattern_topics_max: 10_000,
            backlog_bytes: 256 << 10,
            backlog_budget_bytes: 256 << 20,
            publish_per_s: 1_000,
            publish_burst: 2_000,
            unanswered_max: 1_024,
            unanswered_bytes: 1 << 20,
            topics_max: 1_000_000,
            topic_idle_ms: 120_000,
            spread_ms: 5_000,
            token_warning_ms: 30_000,
        }
    }
}

//! What steers the messaging layer: every bound and deadline of it.

use super::class::{History, TopicRule};
use super::store::{Bounds, DedupBounds};

/// The settings of the messaging layer, equal on every core of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Milliseconds from the opening of a connection to its `hello`.
    pub hello_timeout_ms: u32,
    /// Bytes of a message until a `hello` is taken: more is not kept of what a stranger sends.
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
    /// Pages of history, of about 64 KiB, that a core holds at once for readers that are behind; who
    /// wants another one waits for its turn.
    pub catch_up_pages: usize,
    /// Publications of a connection a second; 0 is no limit.
    pub publish_per_s: u32,
    /// Publications of a connection at once, after a rest.
    pub publish_burst: u32,
    /// Publications and other commands of a connection that may wait for another core. It is not
    /// read while there are more.
    pub unanswered_max: usize,
    /// The same in bytes of data.
    pub unanswered_bytes: usize,
    /// Requests of a core that may wait for other cores, whoever they are for. While there are more,
    /// a connection that leads to another one is not read any further.
    pub core_unanswered_max: usize,
    /// The same in bytes of data.
    pub core_unanswered_bytes: usize,
    /// Topics that a core is home to, or has subscribers of.
    pub topics_max: usize,
    /// Milliseconds after which a topic without subscribers is forgotten, if nothing of it is kept.
    pub topic_idle_ms: u32,
    /// The classes of topics. The first rule that matches counts; a topic that none matches is
    /// logged with the history below.
    pub topics: Vec<TopicRule>,
    /// Messages that are kept of a topic.
    pub history_messages: usize,
    /// Bytes of data that are kept of a topic.
    pub history_bytes: usize,
    /// Milliseconds that messages are kept.
    pub history_age_ms: u32,
    /// Bytes of memory for what is kept of all topics of the process, divided among its cores.
    pub history_budget_bytes: usize,
    /// Messages in one answer to `hist`.
    pub history_items: usize,
    /// Bytes in one answer to `hist`; one message is always in it, if there is one.
    pub history_page_bytes: usize,
    /// Commands `hist` of a connection that may wait for their answers.
    pub history_unanswered_max: usize,
    /// Milliseconds that it is remembered at least which messages were published, to leave out
    /// those that come again. Where history is longer, it is as long as history.
    pub dedup_ms: u32,
    /// Producers that are remembered in a topic.
    pub dedup_producers_max: usize,
    /// Messages that are remembered of a producer in a topic.
    pub dedup_numbers_max: usize,
    /// Idempotency keys that are remembered in a topic.
    pub dedup_keys_max: usize,
    /// Milliseconds that clients have to come back in after the server stops, each at a moment of
    /// its own.
    pub spread_ms: u32,
    /// Milliseconds for which a ticket says who somebody is.
    pub ticket_ms: u32,
    /// Milliseconds that a connection's presence outlives it, unless it has said `bye`.
    pub grace_ms: u32,
    /// Milliseconds in which changes of a set of state are gathered before those who watch it are
    /// told.
    pub state_window_ms: u32,
    /// Bytes of the changes that a watcher is told in one window; where there are more, it is told
    /// only that there are.
    pub state_window_bytes: usize,
    /// Bytes of windows that are kept for the watchers of a set that are behind.
    pub state_backlog_bytes: usize,
    /// Entries of a set: of one namespace of one topic.
    pub state_entries_max: usize,
    /// Namespaces of a topic that have entries.
    pub state_namespaces_max: usize,
    /// Keys of a connection that have not ended yet, beside its presence.
    pub state_keys_max: usize,
    /// Sets that a connection watches.
    pub state_watches_max: usize,
    /// Changes of one key a second; of more only the newest one counts. 0 is no limit.
    pub state_changes_per_s: u32,
    /// Entries on a page of a set.
    pub state_page_items: usize,
    /// The same in bytes.
    pub state_page_bytes: usize,
    /// Pages that a connection may wait for.
    pub state_pages_max: usize,
    /// Bytes of all entries that a core is home to; and of all windows that it keeps.
    pub state_budget_bytes: usize,
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
            catch_up_pages: 256,
            publish_per_s: 1_000,
            publish_burst: 2_000,
            unanswered_max: 1_024,
            unanswered_bytes: 1 << 20,
            core_unanswered_max: 65_536,
            core_unanswered_bytes: 64 << 20,
            topics_max: 1_000_000,
            topic_idle_ms: 120_000,
            topics: Vec::new(),
            history_messages: 1_000,
            history_bytes: 1 << 20,
            history_age_ms: 120_000,
            history_budget_bytes: 256 << 20,
            history_items: 1_000,
            history_page_bytes: 256 << 10,
            history_unanswered_max: 16,
            dedup_ms: 120_000,
            dedup_producers_max: 10_000,
            dedup_numbers_max: 1_024,
            dedup_keys_max: 10_000,
            spread_ms: 5_000,
            ticket_ms: 604_800_000,
            grace_ms: 5_000,
            state_window_ms: 200,
            state_window_bytes: 32 << 10,
            state_backlog_bytes: 128 << 10,
            state_entries_max: 50_000,
            state_namespaces_max: 16,
            state_keys_max: 64,
            state_watches_max: 1_000,
            state_changes_per_s: 20,
            state_page_items: 1_000,
            state_page_bytes: 64 << 10,
            state_pages_max: 4,
            state_budget_bytes: 64 << 20,
            token_warning_ms: 30_000,
        }
    }
}

impl Options {
    /// What is kept of a topic that no rule matches.
    pub(super) const fn history(&self) -> History {
        History {
            messages: self.history_messages,
            bytes: self.history_bytes,
            age_ms: self.history_age_ms,
        }
    }

    /// What bounds the logs of one of so many cores.
    pub(super) const fn store_bounds(&self, cores: usize) -> Bounds {
        Bounds {
            bytes: self.history_budget_bytes / cores,
            dedup: DedupBounds {
                window_ms: self.dedup_ms,
                producers: self.dedup_producers_max,
                numbers: self.dedup_numbers_max,
                keys: self.dedup_keys_max,
            },
        }
    }
}

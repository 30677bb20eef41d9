//! The table of all settings, in the order in which they are shown.
//!
//! The file, the flags and variables, `corewire check`, the help, the hints at misspelt keys and
//! docs/configuration.md all read this table. Defaults stand with the options themselves.

use std::ops::RangeInclusive;

use corewire_protocol::Limits;

use super::draft::Draft;
use super::quantity::Unit;
use super::setting::Place::{self, U32, Usize};
use super::setting::{Kind, Setting};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// No time is longer: ticks compare rightly for 24 days, and after a day nobody is waiting.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// All settings.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "server.listen",
        flag: Some("listen"),
        meaning: "Address to listen on, by every core; with port 0 the system chooses the port.",
        at_limit: "a port in use ends the start with 1",
        kind: Kind::Listen,
    },
    Setting {
        name: "server.cores",
        flag: Some("cores"),
        meaning: "Event loops, one thread each; auto: one per core of the machine.",
        at_limit: "",
        kind: Kind::Cores,
    },
    Setting {
        name: "server.allow_origin",
        flag: Some("allow-origin"),
        meaning: "Origin whose pages may connect besides the server's own; * allows every page.",
        at_limit: "another page gets 403",
        kind: Kind::AllowOrigin,
    },
    Setting {
        name: "server.backlog",
        flag: None,
        meaning: "Connections per core that the kernel completes before they are accepted.",
        at_limit: "the kernel drops the attempt, the client tries again",
        kind: count(1, 65_535, |draft| U32(&mut draft.server.backlog)),
    },
    Setting {
        name: "server.inflate_budget_bytes",
        flag: None,
        meaning: "What the unfinished inflated messages of all connections may hold together.",
        at_limit: "the message that asks for more closes with 1013",
        kind: bytes(64 * KIB, 64 * GIB, |draft| {
            Usize(&mut draft.server.inflate_budget_bytes)
        }),
    },
    Setting {
        name: "server.spin_us",
        flag: Some("spin-us"),
        meaning: "Microseconds that an event loop looks for events before it sleeps, while they \
                  come in quick succession; 0 is never. See below.",
        at_limit: "sleeps",
        kind: count(0, 10_000, |draft| U32(&mut draft.server.spin_us)),
    },
    Setting {
        name: "server.shutdown_timeout_ms",
        flag: None,
        meaning: "Time that connections have to end after SIGTERM or SIGINT.",
        at_limit: "resets what is left and exits",
        kind: milliseconds(1, DAY, |draft| U32(&mut draft.server.shutdown_timeout_ms)),
    },
    Setting {
        name: "engine.connections_max",
        flag: None,
        meaning: "Connections of the whole process; never more than nine tenths of the \
                  descriptors that it may open.",
        at_limit: "answers one more with 503",
        kind: count(1, 10_000_000, |draft| {
            Usize(&mut draft.engine().connections_max)
        }),
    },
    Setting {
        name: "engine.request_timeout_ms",
        flag: None,
        meaning: "Time from accept to the end of the request's head, never extended; a further \
                  request has as much from its first byte.",
        at_limit: "answers 408 and closes",
        kind: milliseconds(1, DAY, |draft| U32(&mut draft.engine().request_timeout_ms)),
    },
    Setting {
        name: "engine.http_idle_timeout_ms",
        flag: None,
        meaning: "Time that a kept HTTP connection may be idle between two requests.",
        at_limit: "closes",
        kind: milliseconds(1, DAY, |draft| {
            U32(&mut draft.engine().http_idle_timeout_ms)
        }),
    },
    Setting {
        name: "engine.linger_bytes",
        flag: None,
        meaning: "What is still read and thrown away after our side has ended, so that the peer \
                  sees our last words.",
        at_limit: "resets",
        kind: bytes(0, 16 * MIB, |draft| U32(&mut draft.engine().linger_bytes)),
    },
    Setting {
        name: "engine.receive_buffer_bytes",
        flag: None,
        meaning: "Receive buffer of a core, which all its connections share.",
        at_limit: "bounds one read",
        kind: bytes(4 * KIB, MIB, |draft| {
            Usize(&mut draft.engine().receive_buffer_bytes)
        }),
    },
    Setting {
        name: "engine.pool_bytes",
        flag: None,
        meaning: "Buffers that a core keeps from large messages for the next ones: memory whose \
                  pages are there already.",
        at_limit: "frees the buffer",
        kind: bytes(0, GIB, |draft| Usize(&mut draft.engine().pool_bytes)),
    },
    Setting {
        name: "engine.turn_work",
        flag: None,
        meaning: "Work of one connection's turn: bytes read, bytes inflated, 256 a frame or command, \
                  64 for each thing of many that a command looks at.",
        at_limit: "the other connections have their turn first",
        kind: bytes(4 * KIB, GIB, |draft| Usize(&mut draft.engine().turn_work)),
    },
    Setting {
        name: "engine.accepts_per_turn",
        flag: None,
        meaning: "Connections that a core accepts in one turn.",
        at_limit: "the rest waits for the next turn",
        kind: count(1, 65_536, |draft| {
            Usize(&mut draft.engine().accepts_per_turn)
        }),
    },
    Setting {
        name: "outbound.low_bytes",
        flag: None,
        meaning: "Output of earlier turns, up to which a connection is read and filled.",
        at_limit: "waits until the peer has taken some",
        kind: bytes(1, GIB, |draft| Usize(&mut draft.outbound().low_bytes)),
    },
    Setting {
        name: "outbound.high_bytes",
        flag: None,
        meaning: "Waiting output above which a turn ends, also inside of a read.",
        at_limit: "handles no further frame for now",
        kind: bytes(1, GIB, |draft| Usize(&mut draft.outbound().high_bytes)),
    },
    Setting {
        name: "outbound.cap_bytes",
        flag: None,
        meaning: "Waiting output above which no further message is taken.",
        at_limit: "the next message closes with 1013",
        kind: bytes(1, GIB, |draft| Usize(&mut draft.outbound().cap_bytes)),
    },
    Setting {
        name: "outbound.flush_timeout_ms",
        flag: None,
        meaning: "Time in which a connection that ends must take what is queued for it.",
        at_limit: "resets",
        kind: milliseconds(1, DAY, |draft| U32(&mut draft.outbound().flush_timeout_ms)),
    },
    Setting {
        name: "outbound.stall_timeout_ms",
        flag: None,
        meaning: "Time in which the peer took no byte while some waited.",
        at_limit: "resets",
        kind: milliseconds(1, DAY, |draft| U32(&mut draft.outbound().stall_timeout_ms)),
    },
    Setting {
        name: "limits.message_bytes",
        flag: Some("max-message-size"),
        meaning: "Largest message, after inflating and summed over its fragments.",
        at_limit: "closes with 1009",
        kind: bytes(1, GIB, |draft| Usize(&mut draft.limits().message_bytes)),
    },
    Setting {
        name: "limits.empty_fragments",
        flag: None,
        meaning: "Empty fragments of one message that do not end it.",
        at_limit: "closes with 1008",
        kind: count(0, 1_000_000, |draft| {
            U32(&mut draft.limits().empty_fragments)
        }),
    },
    Setting {
        name: "limits.inflate_ratio",
        flag: None,
        meaning: "What one compressed byte may become, past the floor below; deflate itself ends \
                  at 1032.",
        at_limit: "closes with 1009",
        kind: count(1, 1032, |draft| U32(&mut draft.limits().inflate_ratio)),
    },
    Setting {
        name: "limits.inflate_ratio_floor_bytes",
        flag: None,
        meaning: "Inflated size of a message up to which the ratio is not looked at.",
        at_limit: "the ratio rules",
        kind: bytes(0, GIB, |draft| {
            Usize(&mut draft.limits().inflate_ratio_floor_bytes)
        }),
    },
    Setting {
        name: "limits.control_burst",
        flag: None,
        meaning: "Pings and pongs that a peer may send at once and have every ping answered.",
        at_limit: "the rate below rules",
        kind: count(1, 1_000_000, |draft| U32(&mut draft.limits().control_burst)),
    },
    Setting {
        name: "limits.control_per_second",
        flag: None,
        meaning: "Pings and pongs a second after the burst.",
        at_limit: "answers one ping a turn, the newest",
        kind: count(1, 1_000_000, |draft| {
            U32(&mut draft.limits().control_per_second)
        }),
    },
    Setting {
        name: "limits.ping_interval_ms",
        flag: Some("ping-interval"),
        meaning: "Silence of the peer after which it is sent a ping.",
        at_limit: "sends a ping",
        kind: milliseconds(0, DAY, |draft| U32(&mut draft.limits().ping_interval_ms)),
    },
    Setting {
        name: "limits.pong_timeout_ms",
        flag: None,
        meaning: "Time after that ping within which some byte must come from the peer.",
        at_limit: "closes with 1001",
        kind: milliseconds(1, DAY, |draft| U32(&mut draft.limits().pong_timeout_ms)),
    },
    Setting {
        name: "limits.idle_timeout_ms",
        flag: Some("idle-timeout"),
        meaning: "Time without a message in either direction.",
        at_limit: "closes with 1001",
        kind: milliseconds(0, DAY, |draft| U32(&mut draft.limits().idle_timeout_ms)),
    },
    Setting {
        name: "limits.message_timeout_ms",
        flag: None,
        meaning: "Time in which a message that came in pieces must be whole, and a millisecond \
                  more for each of its bytes that has come.",
        at_limit: "closes with 1008",
        kind: milliseconds(0, DAY, |draft| U32(&mut draft.limits().message_timeout_ms)),
    },
    Setting {
        name: "limits.close_timeout_ms",
        flag: None,
        meaning: "Time in which the peer must answer our Close and end the connection.",
        at_limit: "drops the connection",
        kind: milliseconds(1, DAY, |draft| U32(&mut draft.limits().close_timeout_ms)),
    },
    Setting {
        name: "limits.head_bytes",
        flag: None,
        meaning: "One HTTP head, from the request line to the empty line.",
        at_limit: "answers 431 and closes",
        kind: bytes(512, MIB, |draft| Usize(&mut draft.limits().head_bytes)),
    },
    Setting {
        name: "limits.head_line_bytes",
        flag: None,
        meaning: "One line of a head.",
        at_limit: "answers 414 or 431 and closes",
        kind: bytes(128, MIB, |draft| Usize(&mut draft.limits().head_line_bytes)),
    },
    Setting {
        name: "limits.header_count",
        flag: None,
        meaning: "Header lines of one head; a handshake has five at least.",
        at_limit: "answers 431 and closes",
        kind: count(5, Limits::HEADER_COUNT_CEILING as u64, |draft| {
            Usize(&mut draft.limits().header_count)
        }),
    },
    Setting {
        name: "messaging.token_key_file",
        flag: Some("token-key-file"),
        meaning: "File with the key that clients' tokens (JWT, HS256) are signed with; then a hello \
                  needs one.",
        at_limit: "",
        kind: Kind::TokenKeyFile,
    },
    Setting {
        name: "messaging.anonymous",
        flag: Some("anonymous"),
        meaning: "Whether anybody may publish and subscribe, also from other machines.",
        at_limit: "",
        kind: Kind::Switch(|draft| &mut draft.access.anonymous),
    },
    Setting {
        name: "messaging.anonymous_names",
        flag: Some("anonymous-names"),
        meaning: "Whether a hello may choose the user's name; on this machine's own addresses only.",
        at_limit: "",
        kind: Kind::Switch(|draft| &mut draft.access.anonymous_names),
    },
    Setting {
        name: "messaging.hello_timeout_ms",
        flag: None,
        meaning: "Time from the opening of a connection at /ws to its hello.",
        at_limit: "closes with 4007",
        kind: milliseconds(1, DAY, |draft| U32(&mut draft.messaging.hello_timeout_ms)),
    },
    Setting {
        name: "messaging.hello_bytes",
        flag: None,
        meaning: "Largest message of a connection until its hello is taken; no more of one is kept.",
        at_limit: "closes with 1009",
        kind: bytes(512, 16 * MIB, |draft| {
            Usize(&mut draft.messaging.hello_bytes)
        }),
    },
    Setting {
        name: "messaging.ping_ms",
        flag: None,
        meaning: "Time without a word to a client after which it is sent a ping.",
        at_limit: "sends a ping",
        kind: milliseconds(100, DAY, |draft| U32(&mut draft.messaging.ping_ms)),
    },
    Setting {
        name: "messaging.slack_ms",
        flag: None,
        meaning: "Time in which a ping must be answered; half-way it is sent once more.",
        at_limit: "closes with 4103",
        kind: milliseconds(100, DAY, |draft| U32(&mut draft.messaging.slack_ms)),
    },
    Setting {
        name: "messaging.subscriptions_max",
        flag: None,
        meaning: "Subscriptions of a connection.",
        at_limit: "refuses one more with 107",
        kind: count(1, 1_000_000, |draft| {
            Usize(&mut draft.messaging.subscriptions_max)
        }),
    },
    Setting {
        name: "messaging.pattern_topics_max",
        flag: None,
        meaning: "Topics that a connection knows by its patterns.",
        at_limit: "forgets one that was not used lately; closes with 4102 at twice as many of which \
                   something waits",
        kind: count(1, 1_000_000, |draft| {
            Usize(&mut draft.messaging.pattern_topics_max)
        }),
    },
    Setting {
        name: "messaging.backlog_bytes",
        flag: None,
        meaning: "What may wait for one topic's way to one client, before its newest message.",
        at_limit: "the policy of the subscription rules: a gap is told, for one",
        kind: bytes(KIB, 64 * MIB, |draft| {
            U32(&mut draft.messaging.backlog_bytes)
        }),
    },
    Setting {
        name: "messaging.backlog_budget_bytes",
        flag: None,
        meaning: "What may wait for all clients of a core, each message counted once, and once more \
                  while it is the newest of its key for latest.",
        at_limit: "the oldest message goes, and a gap is told",
        kind: bytes(64 * KIB, 64 * GIB, |draft| {
            Usize(&mut draft.messaging.backlog_budget_bytes)
        }),
    },
    Setting {
        name: "messaging.catch_up_pages",
        flag: None,
        meaning: "Pages of history, of about 64 KiB, that a core holds for readers that are behind.",
        at_limit: "who wants another page waits for its turn",
        kind: count(1, 65_536, |draft| {
            Usize(&mut draft.messaging.catch_up_pages)
        }),
    },
    Setting {
        name: "messaging.publish_per_s",
        flag: None,
        meaning: "Messages that a connection may publish a second; 0 is no limit.",
        at_limit: "refuses with 108",
        kind: count(0, 1_000_000, |draft| {
            U32(&mut draft.messaging.publish_per_s)
        }),
    },
    Setting {
        name: "messaging.publish_burst",
        flag: None,
        meaning: "Messages that a connection may publish at once, after a rest.",
        at_limit: "refuses with 108",
        kind: count(1, 1_000_000, |draft| {
            U32(&mut draft.messaging.publish_burst)
        }),
    },
    Setting {
        name: "messaging.unanswered_max",
        flag: None,
        meaning: "Messages of a connection on their way to the cores that order them.",
        at_limit: "reads no more of it until some have arrived",
        kind: count(1, 65_536, |draft| {
            Usize(&mut draft.messaging.unanswered_max)
        }),
    },
    Setting {
        name: "messaging.unanswered_bytes",
        flag: None,
        meaning: "The same in bytes.",
        at_limit: "reads no more of it until some have arrived",
        kind: bytes(KIB, GIB, |draft| {
            Usize(&mut draft.messaging.unanswered_bytes)
        }),
    },
    Setting {
        name: "messaging.core_unanswered_max",
        flag: None,
        meaning: "Requests of all connections of a core that wait for other cores: to publish, to \
                  subscribe, to read history, to say who is there.",
        at_limit: "reads no more of a connection that has led to one more, until half are answered",
        kind: count(1, 16_777_216, |draft| {
            Usize(&mut draft.messaging.core_unanswered_max)
        }),
    },
    Setting {
        name: "messaging.core_unanswered_bytes",
        flag: None,
        meaning: "The same in bytes of messages.",
        at_limit: "reads no more of a connection that has led to one more, until half are answered",
        kind: bytes(KIB, 64 * GIB, |draft| {
            Usize(&mut draft.messaging.core_unanswered_bytes)
        }),
    },
    Setting {
        name: "messaging.topics_max",
        flag: None,
        meaning: "Topics of a core.",
        at_limit: "forgets an idle one, or refuses with 115",
        kind: count(1, 100_000_000, |draft| {
            Usize(&mut draft.messaging.topics_max)
        }),
    },
    Setting {
        name: "messaging.topic_idle_ms",
        flag: None,
        meaning: "Time without a subscriber or a message after which a topic is forgotten, if nothing \
                  of it is kept.",
        at_limit: "its next message begins a new epoch",
        kind: milliseconds(1, DAY, |draft| U32(&mut draft.messaging.topic_idle_ms)),
    },
    Setting {
        name: "messaging.history_messages",
        flag: None,
        meaning: "Messages that are kept of a topic; [[topics]] may say otherwise, as for the two below.",
        at_limit: "the oldest message goes",
        kind: count(1, 1_000_000, |draft| {
            Usize(&mut draft.messaging.history_messages)
        }),
    },
    Setting {
        name: "messaging.history_bytes",
        flag: None,
        meaning: "Data that is kept of a topic.",
        at_limit: "the oldest message goes",
        kind: bytes(KIB, 64 * GIB, |draft| {
            Usize(&mut draft.messaging.history_bytes)
        }),
    },
    Setting {
        name: "messaging.history_age_ms",
        flag: None,
        meaning: "Time that messages are kept.",
        at_limit: "the message goes",
        kind: milliseconds(1, DAY, |draft| U32(&mut draft.messaging.history_age_ms)),
    },
    Setting {
        name: "messaging.history_budget_bytes",
        flag: None,
        meaning: "Memory for what is kept of all topics; each core has its part of it.",
        at_limit: "the oldest message of the topic that was quiet the longest goes",
        kind: bytes(64 * KIB, 1024 * GIB, |draft| {
            Usize(&mut draft.messaging.history_budget_bytes)
        }),
    },
    Setting {
        name: "messaging.history_items",
        flag: None,
        meaning: "Messages in one answer to hist.",
        at_limit: "the answer says that there is more",
        kind: count(1, 10_000, |draft| Usize(&mut draft.messaging.history_items)),
    },
    Setting {
        name: "messaging.history_page_bytes",
        flag: None,
        meaning: "Data in one answer to hist; one message always fits.",
        at_limit: "the answer says that there is more",
        kind: bytes(KIB, 16 * MIB, |draft| {
            Usize(&mut draft.messaging.history_page_bytes)
        }),
    },
    Setting {
        name: "messaging.history_unanswered_max",
        flag: None,
        meaning: "Answers to hist that a connection may wait for at once.",
        at_limit: "refuses one more with 108",
        kind: count(1, 1024, |draft| {
            Usize(&mut draft.messaging.history_unanswered_max)
        }),
    },
    Setting {
        name: "messaging.dedup_ms",
        flag: None,
        meaning: "Time that is remembered at least which messages came; as long as history where \
                  that is longer.",
        at_limit: "a message that comes again is a new one",
        kind: milliseconds(1, DAY, |draft| U32(&mut draft.messaging.dedup_ms)),
    },
    Setting {
        name: "messaging.dedup_producers_max",
        flag: None,
        meaning: "Producers (pseq) that are remembered in a topic.",
        at_limit: "forgets one that was not used lately",
        kind: count(1, 10_000_000, |draft| {
            Usize(&mut draft.messaging.dedup_producers_max)
        }),
    },
    Setting {
        name: "messaging.dedup_numbers_max",
        flag: None,
        meaning: "Messages that are remembered of a producer in a topic.",
        at_limit: "an older one that comes again is refused with 104",
        kind: count(1, 1_000_000, |draft| {
            Usize(&mut draft.messaging.dedup_numbers_max)
        }),
    },
    Setting {
        name: "messaging.dedup_keys_max",
        flag: None,
        meaning: "Idempotency keys (idem) that are remembered in a topic.",
        at_limit: "forgets the oldest",
        kind: count(1, 10_000_000, |draft| {
            Usize(&mut draft.messaging.dedup_keys_max)
        }),
    },
    Setting {
        name: "messaging.grace_ms",
        flag: None,
        meaning: "Time that the presence of a lost connection stays, unless it has said bye.",
        at_limit: "it leaves",
        kind: milliseconds(0, DAY, |draft| U32(&mut draft.messaging.grace_ms)),
    },
    Setting {
        name: "messaging.state_window_ms",
        flag: None,
        meaning: "Time for which changes of presence, typing and the like are gathered before they are told.",
        at_limit: "those who watch are told",
        kind: milliseconds(1, DAY, |draft| U32(&mut draft.messaging.state_window_ms)),
    },
    Setting {
        name: "messaging.state_window_bytes",
        flag: None,
        meaning: "Changes that one window tells.",
        at_limit: "tells only that there are more",
        kind: bytes(KIB, MIB, |draft| {
            Usize(&mut draft.messaging.state_window_bytes)
        }),
    },
    Setting {
        name: "messaging.state_backlog_bytes",
        flag: None,
        meaning: "Windows of one set that are kept for those who are behind.",
        at_limit: "tells them only that there are more",
        kind: bytes(KIB, 64 * MIB, |draft| {
            Usize(&mut draft.messaging.state_backlog_bytes)
        }),
    },
    Setting {
        name: "messaging.state_entries_max",
        flag: None,
        meaning: "Entries of a topic in one namespace: members, for one.",
        at_limit: "refuses one more with 107",
        kind: count(1, 10_000_000, |draft| {
            Usize(&mut draft.messaging.state_entries_max)
        }),
    },
    Setting {
        name: "messaging.state_namespaces_max",
        flag: None,
        meaning: "Namespaces of a topic that have entries.",
        at_limit: "refuses one more with 107",
        kind: count(1, 1_024, |draft| {
            Usize(&mut draft.messaging.state_namespaces_max)
        }),
    },
    Setting {
        name: "messaging.state_keys_max",
        flag: None,
        meaning: "Keys of a connection, beside its presence.",
        at_limit: "refuses one more with 107",
        kind: count(1, 100_000, |draft| {
            Usize(&mut draft.messaging.state_keys_max)
        }),
    },
    Setting {
        name: "messaging.state_watches_max",
        flag: None,
        meaning: "Sets of state that a connection watches.",
        at_limit: "refuses one more with 107",
        kind: count(1, 1_000_000, |draft| {
            Usize(&mut draft.messaging.state_watches_max)
        }),
    },
    Setting {
        name: "messaging.state_changes_per_s",
        flag: None,
        meaning: "Changes of one key that go out a second; 0 is no limit.",
        at_limit: "the newest goes when its time has come",
        kind: count(0, 1_000, |draft| {
            U32(&mut draft.messaging.state_changes_per_s)
        }),
    },
    Setting {
        name: "messaging.state_page_items",
        flag: None,
        meaning: "Entries on one page.",
        at_limit: "the page says that there is more",
        kind: count(1, 10_000, |draft| {
            Usize(&mut draft.messaging.state_page_items)
        }),
    },
    Setting {
        name: "messaging.state_page_bytes",
        flag: None,
        meaning: "The same in bytes; one entry always fits.",
        at_limit: "the page says that there is more",
        kind: bytes(KIB, MIB, |draft| {
            Usize(&mut draft.messaging.state_page_bytes)
        }),
    },
    Setting {
        name: "messaging.state_pages_max",
        flag: None,
        meaning: "Pages that a connection may wait for at once.",
        at_limit: "refuses one more with 108",
        kind: count(1, 1_024, |draft| {
            Usize(&mut draft.messaging.state_pages_max)
        }),
    },
    Setting {
        name: "messaging.state_budget_bytes",
        flag: None,
        meaning: "Memory for all entries that a core is home to, and as much again for windows.",
        at_limit: "refuses with 115, and tells only that there are more",
        kind: bytes(64 * KIB, 64 * GIB, |draft| {
            Usize(&mut draft.messaging.state_budget_bytes)
        }),
    },
    Setting {
        name: "messaging.spread_ms",
        flag: None,
        meaning: "Time in which clients come back after a stop, each at a moment of its own.",
        at_limit: "",
        kind: milliseconds(0, DAY, |draft| U32(&mut draft.messaging.spread_ms)),
    },
    Setting {
        name: "messaging.ticket_ms",
        flag: None,
        meaning: "Time for which a ticket says who its client is, unless its token ends before.",
        at_limit: "the ticket is as none",
        kind: milliseconds(1, 30 * DAY, |draft| U32(&mut draft.messaging.ticket_ms)),
    },
    Setting {
        name: "messaging.token_warning_ms",
        flag: None,
        meaning: "Time before a token expires at which its client is asked for another one, and time after it.",
        at_limit: "closes with 4203",
        kind: milliseconds(1, DAY, |draft| U32(&mut draft.messaging.token_warning_ms)),
    },
    Setting {
        name: "deflate.mode",
        flag: Some("deflate"),
        meaning: "Compression: off declines it, shared keeps nothing per connection, takeover \
                  keeps a window per connection and compresses better.",
        at_limit: "",
        kind: Kind::DeflateMode,
    },
    Setting {
        name: "deflate.codec",
        flag: Some("deflate-codec"),
        meaning: "Who compresses: flate2 in less time, compact, our own encoder, to about a quarter \
                  fewer bytes. Every client reads both.",
        at_limit: "",
        kind: Kind::DeflateCodec,
    },
    Setting {
        name: "deflate.window_bits",
        flag: Some("deflate-window"),
        meaning: "Largest window of what we compress, as a power of two; with takeover also of \
                  what we inflate.",
        at_limit: "a client that asks for less gets it",
        kind: count(9, 15, |draft| U32(&mut draft.window_bits)),
    },
    Setting {
        name: "log.level",
        flag: Some("log"),
        meaning: "What is logged to stderr: this level and those before it.",
        at_limit: "",
        kind: Kind::LogLevel,
    },
];

/// The setting of this name.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The table of this name.
pub(super) fn table(name: &str) -> Option<&'static str> {
    let mut tables = SETTINGS.iter().map(Setting::table);
    tables.find(|table| *table == name)
}

const fn bytes(least: u64, most: u64, place: fn(&mut Draft) -> Place<'_>) -> Kind {
    number(Unit::Bytes, least, most, place)
}

const fn milliseconds(least: u64, most: u64, place: fn(&mut Draft) -> Place<'_>) -> Kind {
    number(Unit::Milliseconds, least, most, place)
}

const fn count(least: u64, most: u64, place: fn(&mut Draft) -> Place<'_>) -> Kind {
    number(Unit::Count, least, most, place)
}

const fn number(unit: Unit, least: u64, most: u64, place: fn(&mut Draft) -> Place<'_>) -> Kind {
    Kind::Number {
        unit,
        allowed: RangeInclusive::new(least, most),
        place,
    }
}

#[cfg(test)]
mod tests;

//! The words as records.
//!
//! ```text
//!   message = *record
//!   record  = op len body            op: one byte; len: bytes of the body
//!   body    = [id] bits *field       id: of commands (0: none) and replies
//!   part    = len bits *field        a value with fields of its own
//!   integer = LEB128 in its shortest form, below 2^53; also len, id, bits
//!   text    = len bytes              UTF-8
//!   data    = kind len bytes         kind: 0 JSON, 1 text, 2 bytes
//!   list    = integer *item          how many, then they
//! ```
//!
//! The fields that must be there come first, in the order of the table, then the optional ones, in
//! theirs. Each optional field has a bit, the first one bit 0; only those whose bit is set are
//! written. What follows behind the fields that a reader knows is skipped, so that a later version
//! can add some.
//!
//! | op | word | fields | optional |
//! | --- | --- | --- | --- |
//! | 01 | `hello` | `v` | `token`, `user`, `subs` (list of parts as the fields of `sub`), then `resume`, `client`, `caps` \*\* |
//! | 02 | `auth` | `token` | |
//! | 03 | `sub` | `s`, `topic` | `policy` (a part), `credit`, then `from`, `filter`, `durable`, `ack`, `presence`, `token`, `delta` \* |
//! | 04 | `unsub` | `s` | |
//! | 05 | `pub` | `data` | `topic`, `t`, `pseq`, `key`, `level`, `echo` (its bit alone: no echo), then `idem`, `ttl_ms`, `tags`, `receipt`, `delta` \* |
//! | 06 | `credit` | | `t`, `s`, `msgs`, `bytes` |
//! | 07 | `pong` | | `t` |
//! | 08 | `bye` | | `reason` |
//! | 09 to 0c | `ack`, `hist`, `state`, `rpc` \* | | |
//! | 41 | `welcome` | `conn`, `node`, `user`, `ping_ms`, `slack_ms`, `time_ms`, `limits` (a part), `subs` (list) | `expires_ms` |
//! | 42 | `ok` | | `expires_ms` |
//! | 43 | `subbed` | `s`, `policy` (a part) | `t`, `epoch`, `offset`, `pos` |
//! | 44 | `pubbed` | `epoch`, `offset`, `level` | |
//! | 45 | `err` | `code`, `text` | `retry_ms` |
//! | 81 | `topic` | `t`, `topic`, `s` (list), `epoch`, `offset` | |
//! | 82 | `msg` | `t`, `o`, `ts`, `pub.user`, `pub.conn`, `data` | `key`, `pub.pseq` |
//! | 83 | `untopic` | `t` | |
//! | 84 | `pos` | | `t`, `o`, `s`, `pos` |
//! | 85 | `gap` | `t`, `from`, `to`, `cause`, `repair` | |
//! | 86 | `conflated` | `t`, `n`, `upto` | |
//! | 87 | `reset` | `t`, `epoch`, `offset`, `cause` | |
//! | 88 | `unsubbed` | `s`, `code` | `retry_ms` |
//! | 89 | `token_expiring` | `in_ms` | |
//! | 8a | `goaway` | `deadline_ms`, `spread_ms` | `url` |
//! | 8b | `ping` | `t` | |
//! | 8c | `warn` | `code`, `text` | `cmd` |
//! | 8d | `closing` | `code`, `reason` | `retry_ms`, `spread_ms`, `url` |
//! | part | `policy` | `mode` | `max_bytes`, `max_msgs`, then `key`, `rate` \* |
//! | part | `limits` | `message_bytes`, `topic_bytes`, `topic_levels`, `subscriptions`, `backlog_bytes`, `publish_per_s`, `publish_burst`, `unanswered` | |
//! | part | item of `subs` in `welcome` | | `subbed` (a part), `err` (a part): one of them |
//!
//! \* Known by name, and refused. \*\* Skipped.
//!
//! `mode`: 0 `all`, 1 `latest`, 2 `drop_oldest`, 3 `close`. `level`: 0 `none`, 1 `mem`; 2 `disk` and
//! 3 `quorum` are refused. `cause`: 0 `slow`, 1 `retention`, 2 `broker`, 3 `node`. `repair`: 0
//! `none`, 1 `hist`.

mod body;
mod client_words;
mod op;
mod record;
mod server_words;
mod write;
mod writer;

pub(super) use client_words::read_request;
pub(super) use record::Records;
pub(super) use server_words::read_server_word;
pub(super) use write::{write_push, write_reply, write_request};

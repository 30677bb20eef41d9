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
//! | 01 | `hello` | `v` | `token`, `user`, `subs` (list of parts as the fields of `sub`), `resume`, then `client`, `caps` \*\* |
//! | 02 | `auth` | `token` | |
//! | 03 | `sub` | `s`, `topic` | `policy` (a part), `credit`, `from` (a part), `filter` \*, `durable` \*, `ack` \*, `presence`, `token` \*, `delta` \*, `watch` (list of texts) |
//! | 04 | `unsub` | `s` | |
//! | 05 | `pub` | `data` | `topic`, `t`, `pseq`, `key`, `level`, `echo` (its bit alone: no echo), `idem`, `ttl_ms`, `tags` (list of names, each with its value), then `receipt`, `delta` \* |
//! | 06 | `credit` | | `t`, `s`, `msgs`, `bytes` |
//! | 07 | `pong` | | `t` |
//! | 08 | `bye` | | `reason` |
//! | 09 | `ack` \* | | |
//! | 0a | `hist` | `topic` | `from` (a part), `dir`, `limit`, then `filter` \* |
//! | 0b | `state` | `topic`, `op`, `ns` | `k`, `v` (a text), `ttl_ms`, `after`, `limit`, then `if_ver` \* |
//! | 0c | `rpc` \* | | |
//! | 41 | `welcome` | `conn`, `node`, `user`, `ping_ms`, `slack_ms`, `time_ms`, `limits` (a part), `subs` (list) | `expires_ms`, `ticket`, `resumed` (its bit alone) |
//! | 42 | `ok` | | `expires_ms` |
//! | 43 | `subbed` | `s`, `policy` (a part) | `t`, `epoch`, `offset`, `pos`, `recovered`, `replay_to` |
//! | 44 | `pubbed` | `epoch`, `offset`, `level` | `dup` (its bit alone) |
//! | 45 | `err` | `code`, `text` | `retry_ms` |
//! | 46 | `page` | `t`, `epoch`, `start`, `end`, `items` (list of parts as the fields of `msg`, without `t`) | `complete` (its bit alone) |
//! | 47 | `members` | `t`, `ns`, `ver`, `n`, `digest`, `items` (list of entries) | `users`, `next` |
//! | 81 | `topic` | `t`, `topic`, `s` (list), `epoch`, `offset` | |
//! | 82 | `msg` | `t`, `o`, `ts`, `pub.user`, `pub.conn`, `data` | `key`, `pub.pseq`, `tags` (list of names, each with its value) |
//! | 83 | `untopic` | `t` | |
//! | 84 | `pos` | | `t`, `o`, `s`, `pos` |
//! | 85 | `gap` | `t`, `from`, `to`, `cause`, `repair` | |
//! | 86 | `conflated` | `t`, `n`, `upto` | |
//! | 87 | `reset` | `cause` | `t`, `epoch`, `offset`, `s`, `pos` |
//! | 88 | `unsubbed` | `s`, `code` | `retry_ms` |
//! | 89 | `token_expiring` | `in_ms` | |
//! | 8a | `goaway` | `deadline_ms`, `spread_ms` | `url` |
//! | 8b | `ping` | `t` | |
//! | 8c | `warn` | `code`, `text` | `cmd` |
//! | 8d | `closing` | `code`, `reason` | `retry_ms`, `spread_ms`, `url` |
//! | 8e | `state` | `t`, `ns`, `ver`, `n`, `digest`, `set` (list of entries), `del` (list of texts) | `users` |
//! | part | `policy` | `mode` | `max_bytes`, `max_msgs`, then `key`, `rate` \* |
//! | part | `limits` | `message_bytes`, `topic_bytes`, `topic_levels`, `subscriptions`, `backlog_bytes`, `publish_per_s`, `publish_burst`, `unanswered`, `history_items` | |
//! | part | `from` | | `epoch`, `offset`, `last`, `since_ms`, `pos`, `seen` (list of parts) |
//! | part | item of `seen` | `topic`, `epoch`, `offset` | |
//! | part | entry | `k`, `user`, `ver` | `v` (a text) |
//! | part | item of `subs` in `welcome` | | `subbed` (a part), `err` (a part): one of them |
//!
//! \* Known by name, and refused. \*\* Skipped.
//!
//! `mode`: 0 `all`, 1 `latest`, 2 `drop_oldest`, 3 `close`. `level`: 0 `none`, 1 `mem`; 2 `disk` and
//! 3 `quorum` are refused. `cause`: 0 `slow`, 1 `retention`, 2 `broker`, 3 `node`. `repair`: 0
//! `none`, 1 `hist`. `presence`: 0 `announce`, 1 `watch`, 2 `both`. `dir`: 0 `forward`, 1
//! `backward`. `op`: 0 `set`, 1 `del`, 2 `page`. `recovered`: 0 no, 1 yes. The text of a `v` is JSON.

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

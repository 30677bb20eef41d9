//! The first byte of a record: which word it is.

pub(super) const HELLO: u8 = 0x01;
pub(super) const AUTH: u8 = 0x02;
pub(super) const SUB: u8 = 0x03;
pub(super) const UNSUB: u8 = 0x04;
pub(super) const PUB: u8 = 0x05;
pub(super) const CREDIT: u8 = 0x06;
pub(super) const PONG: u8 = 0x07;
pub(super) const BYE: u8 = 0x08;
pub(super) const HIST: u8 = 0x0a;
pub(super) const STATE: u8 = 0x0b;

/// Commands of a later version, by name.
pub(super) const LATER: [(u8, &str); 2] = [(0x09, "ack"), (0x0c, "rpc")];

pub(super) const WELCOME: u8 = 0x41;
pub(super) const OK: u8 = 0x42;
pub(super) const SUBBED: u8 = 0x43;
pub(super) const PUBBED: u8 = 0x44;
pub(super) const ERR: u8 = 0x45;
pub(super) const PAGE: u8 = 0x46;
pub(super) const MEMBERS: u8 = 0x47;

/// Replies begin with the number of the command, as commands do; pushes have none.
pub(super) const PUSHES: u8 = 0x80;

pub(super) const TOPIC: u8 = 0x81;
pub(super) const MSG: u8 = 0x82;
pub(super) const UNTOPIC: u8 = 0x83;
pub(super) const POS: u8 = 0x84;
pub(super) const GAP: u8 = 0x85;
pub(super) const CONFLATED: u8 = 0x86;
pub(super) const RESET: u8 = 0x87;
pub(super) const UNSUBBED: u8 = 0x88;
pub(super) const TOKEN_EXPIRING: u8 = 0x89;
pub(super) const GOAWAY: u8 = 0x8a;
pub(super) const PING: u8 = 0x8b;
pub(super) const WARN: u8 = 0x8c;
pub(super) const CLOSING: u8 = 0x8d;
pub(super) const DIFF: u8 = 0x8e;

/// Contents of data.
pub(super) const DATA_JSON: u8 = 0;
pub(super) const DATA_TEXT: u8 = 1;
pub(super) const DATA_BYTES: u8 = 2;

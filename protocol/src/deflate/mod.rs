//! permessage-deflate (RFC 7692).

mod params;

pub use params::{Agreement, Answer, AnswerError, DeflateConfig, Direction, Takeover};

//! The words as JSON objects: `{"id":1,"pub":{…}}`. The names of the fields stand in the
//! documentation of the words.
//!
//! A message is read in one pass. Texts without escapes, and `data` in any case, borrow from it. A
//! field that is `null` counts as one that is not there, except for `data` and for `v`. Only a message that
//! cannot be read is looked at twice: for its `id`, and to tell a bad command from bad JSON.

mod command;
mod history;
mod object;
mod pieces;
mod push;
mod read;
mod reply;
mod state;
mod value;
mod words;
mod write;

pub(super) use pieces::Pieces;
pub(super) use write::{write_push, write_reply, write_request};

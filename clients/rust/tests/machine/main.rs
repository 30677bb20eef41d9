//! The machine in conversation with a server of a few lines, over a network that can be cut at any
//! message, with a clock that only the test moves.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod chaos;
mod course;
mod history;
mod publishing;
mod reading;
mod state;
mod subscribing;
mod world;

//! The load generator behind `corewire bench`: measures any WebSocket server.
//!
//! Plain epoll loops, frames built before the clock starts, replies read by their headers alone: the
//! generator must be cheaper than what it measures, and the report says when it was not. A wrong
//! server cannot win: the length, kind and order of every echoed message is checked, the content of
//! samples, and a run in which one stayed out is an error instead of a result; deliveries of a
//! fan-out are counted each for itself.
//!
//! [`echo`], [`fanout`], [`connect`] and [`idle`] are the measurements. [`workers`] are their
//! threads, each with a [`swarm`] of connections, begun by an [`opening`] each, whose [`frames`] it
//! reads. An echo's [`connection`] sends [`messages`] and checks [`replies`]; a fan-out has its parts
//! in a folder. [`template`]s are what servers of other protocols are sent. [`pace`] is the schedule
//! of an open loop, [`figures`] what is counted. [`cpu`] and [`memory`] read the other side's cost
//! from `/proc`, so they work for a server on this machine only.
#![expect(
    clippy::disallowed_methods,
    reason = "a load generator measures real time; it shares no code with what it measures"
)]

mod clock;
pub mod connect;
mod connection;
mod cpu;
pub mod echo;
mod error;
pub mod fanout;
mod figures;
mod frames;
pub mod idle;
mod listener;
mod memory;
mod messages;
mod opening;
mod pace;
pub mod plot;
mod replies;
mod report;
#[cfg(test)]
mod servers;
mod swarm;
mod target;
mod template;
mod text;
mod timer;
mod workers;

pub use error::{Error, Fault};
pub use figures::Figures;
pub use memory::Memory;
pub use report::{Cpu, Latency, Load};
pub use target::{Scheme, Target, TargetError};
pub use template::{Answer, Literal, Template, TemplateError};
pub use workers::{Progress, Watch};

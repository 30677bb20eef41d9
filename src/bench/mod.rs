//! The load generator behind `corewire bench`: measures any WebSocket server.
//!
//! One thread, one epoll loop, frames built before the clock starts, replies read by their headers
//! alone: the generator must be cheaper than what it measures, and the report says when it was
//! not. A wrong server cannot win: the length, kind and order of every reply is checked, the
//! content of samples, and a run in which a message stayed out is an error instead of a result.
//!
//! [`echo`] and [`idle`] are the measurements. Both drive a [`swarm`] of [`connection`]s, begun by
//! an [`opening`] each; [`messages`] is what they send and [`replies`] what they expect back;
//! [`cpu`] and [`memory`] read the other side's cost from `/proc`, so they work for a server on
//! this machine only.
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
mod ledger;
mod marker;
mod memory;
mod messages;
mod opening;
mod pace;
mod peer;
mod replies;
mod report;
mod scan;
mod sequence;
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
pub use workers::{Progress, Watch};

//! What proves the promises of the messaging layer: every connection has a [`Witness`] of what it
//! said and heard, and [`judge()`] compares what they all say. A client library's application has a
//! [`Listener`] for each subscription instead.
//!
//! Nothing here knows how the words came: from a simulation that steps through a seed, or from
//! processes and their sockets. Times are numbers that grow, of one clock for all witnesses.
//!
//! What is found wrong is named as in the kafka workload of Maelstrom, where it has a name for it.

mod anomaly;
mod delivery;
mod judge;
mod listener;
mod witness;

pub use anomaly::{Anomaly, Kind};
pub use delivery::{Delivery, Span, What};
pub use judge::{judge, needless_resets};
pub use listener::{Listener, Told};
pub use witness::{Moment, Ordered, Outcome, Published, Repeats, Witness, identity};

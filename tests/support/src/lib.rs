//! What the server tests talk with.
//!
//! [`Peer`] is the other end of a connection, scripted: it sends what a test says, cut where it
//! says, and expects answers before a deadline. [`Served`] is a server in this process, with any
//! application and options; [`Process`] is the real binary, and a [`Proxy`] the bad network before
//! it. Nothing here waits for luck: whatever is waited for is an event, and what does not come in
//! time fails the test with what came instead. [`Bare`] is a core without sockets, [`Receiver`] one
//! connection of it, and [`Cores`] are several, with topics.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests have clocks and threads, and a failed unwrap is a failed test"
)]

pub mod apps;
pub mod bare;
pub mod cores;
pub mod floods;
pub mod frames;
pub mod material;
pub mod native;
pub mod peer;
pub mod process;
pub mod proxy;
pub mod random;
pub mod receiver;
pub mod served;
pub mod sim;
pub mod system;

use std::time::{Duration, Instant};

pub use bare::Bare;
pub use cores::Cores;
pub use native::NativeClient;
pub use peer::{Ended, Frame, Peer, Reply};
pub use process::{Process, Serve};
pub use proxy::{Proxy, Weather};
pub use random::Random;
pub use receiver::Receiver;
pub use served::Served;

/// How long a test waits for what must come: far more than it takes, since machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `is_so`.
///
/// # Panics
///
/// If it is not so within [`PATIENCE`].
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The value at a share of all values, such as 0.99.
///
/// # Panics
///
/// If there are none.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a list"
)]
pub fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}

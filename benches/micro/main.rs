//! The pieces of the hot path one by one, without sockets: `make bench-micro`.
//!
//! A bench is named `group/who/what`. Where a rival has the same piece in its public interface it
//! is measured beside ours, with the setting that suits it best. Every piece has to give the right
//! answer before it is measured, so a wrong one cannot win. What these figures can show and what
//! they cannot is in `benches/README.md`.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a wrong answer")]

mod deflate;
mod fan_out;
mod fastwebsockets;
mod frame;
mod handshake;
mod mailbox;
mod receiver;
mod shard;
mod stream;
mod thread_time;
mod utf8;

use std::time::Duration;

use thread_time::ThreadTime;

/// Everything here is measured in processor time.
type Criterion = criterion::Criterion<ThreadTime>;

fn main() {
    let mut criterion = criterion::Criterion::default()
        .with_measurement(ThreadTime)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20)
        .nresamples(10_000)
        .without_plots()
        .configure_from_args();
    frame::header(&mut criterion);
    frame::masking(&mut criterion);
    utf8::validation(&mut criterion);
    stream::decode(&mut criterion);
    stream::assemble(&mut criterion);
    deflate::deflate(&mut criterion);
    deflate::inflate(&mut criterion);
    deflate::echo(&mut criterion);
    handshake::server(&mut criterion);
    fan_out::prepared(&mut criterion);
    shard::echo(&mut criterion);
    shard::flush(&mut criterion);
    shard::timers(&mut criterion);
    mailbox::hop(&mut criterion);
    criterion.final_summary();
}

/// For `Throughput`.
fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap()
}

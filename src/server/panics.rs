//! Panics in the log.

use std::backtrace::Backtrace;
use std::panic;

/// Has panics logged as errors, with place, message and backtrace, instead of printed.
pub fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let backtrace = Backtrace::force_capture();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed").to_owned();
        tracing::error!(%thread, "{info}\n{backtrace}");
    }));
}

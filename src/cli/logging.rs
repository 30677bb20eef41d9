//! The log: lines on stderr, in colours where a person reads them.

use std::io::{self, IsTerminal};

use tracing::Level;

use crate::config;

/// Logs this level and those before it from now on.
pub(super) fn start(level: Level) {
    // https://no-color.org: any text counts, none does not.
    let plain = config::process_environment("NO_COLOR").is_some_and(|value| !value.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !plain)
        // Otherwise a stderr that is gone would be reported there, which panics.
        .log_internal_errors(false)
        .finish();
    // Whoever embeds this command line may have begun a log of their own, which then stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

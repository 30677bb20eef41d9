//! The log: lines on stderr, in colours where a person reads them.

use std::io::{self, IsTerminal};

use tracing::Level;

use crate::config;

/// Logs this level and those before it from now on.
pub(super) fn start(level: Level) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(is_colourful())
        // Otherwise a stderr that is gone would be reported there, which panics.
        .log_internal_errors(false)
        .finish();
    // Whoever embeds this command line may have begun a log of their own, which then stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Whether stderr is read by a person who likes colours.
pub(super) fn is_colourful() -> bool {
    io::stderr().is_terminal() && !is_plain()
}

/// Whether the user wants no colours. <https://no-color.org>: any text counts, none does not.
pub(super) fn is_plain() -> bool {
    config::process_environment("NO_COLOR").is_some_and(|value| !value.is_empty())
}

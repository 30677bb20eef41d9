//! How far a measurement is, on stderr where a person watches.

use indicatif::{ProgressBar, ProgressStyle};

use crate::bench::Progress;

/// A bar that is there only on a terminal.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new(1);
        // The template is ours, so it is well formed.
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    pub(super) fn show(&self, progress: Progress) {
        let bar = &self.0;
        match progress {
            Progress::Opening => bar.set_message("opening connections"),
            Progress::Open { open, of } => {
                bar.set_length(of as u64);
                bar.set_position(open as u64);
                bar.set_message(format!("{open} of {of} connections are open"));
            }
            Progress::Settling => bar.set_message("waiting until the server is quiet"),
            Progress::WarmUp => bar.set_message("warming up"),
            Progress::Measuring { elapsed, of, count } => {
                let milliseconds = |duration: std::time::Duration| {
                    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
                };
                bar.set_length(milliseconds(of));
                bar.set_position(milliseconds(elapsed));
                let rate = count as f64 / elapsed.as_secs_f64().max(0.001);
                bar.set_message(format!(
                    "{:.1} of {:.1} s, {rate:.0}/s",
                    elapsed.as_secs_f64(),
                    of.as_secs_f64()
                ));
            }
            Progress::Draining => bar.set_message("waiting for the last messages"),
            Progress::Done => bar.finish_and_clear(),
        }
    }
}

impl Drop for Bar {
    /// An error is told on a clean line.
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

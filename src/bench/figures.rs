//! What is counted while the clock runs: latencies, and how many came when.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::clock::nanoseconds;
use super::error::Error;
use super::workers::{TIME_MAX, Window};

/// Latencies are recorded up to this, with three digits: what is due in the longest run and comes
/// before the generator has given it up took less.
const LATENCY_MAX: Duration = TIME_MAX.saturating_mul(2);
/// The measured time is cut into at most so many parts for the throughput over time,
const PARTS_MAX: u64 = 200;
/// none of them shorter than this.
const PART_MIN: Duration = Duration::from_millis(20);

/// What one thread, or all together, have counted.
#[derive(Debug, Clone)]
pub struct Figures {
    window: Window,
    latency: Histogram<u64>,
    count: u64,
    part_ns: u64,
    parts: Vec<u64>,
}

impl Figures {
    pub(super) fn new(window: Window) -> Result<Self, Error> {
        let latency = Histogram::new_with_bounds(1, nanoseconds(LATENCY_MAX), 3)
            .map_err(|error| Error::Settings(error.to_string()))?;
        let measured_ns = window.until - window.from;
        let part_ns = measured_ns.div_ceil(PARTS_MAX).max(nanoseconds(PART_MIN));
        let parts = usize::try_from(measured_ns.div_ceil(part_ns)).unwrap_or(0);
        Ok(Self {
            window,
            latency,
            count: 0,
            part_ns,
            parts: vec![0; parts],
        })
    }

    /// `number` more have come; they count if that is in the measured time.
    pub(super) fn came(&mut self, now: u64, number: u64) {
        if self.window.holds(now) {
            self.count += number;
            let part = (now - self.window.from) / self.part_ns;
            self.parts[usize::try_from(part).unwrap_or(usize::MAX)] += number;
        }
    }

    /// `number` that began at `since` have ended; they count if they began in the measured time.
    pub(super) fn took(&mut self, since: u64, now: u64, number: u64) {
        if self.window.holds(since) {
            self.latency
                .saturating_record_n(now.saturating_sub(since), number);
        }
    }

    /// Takes in what another thread has counted in the same window.
    pub(super) fn merge(&mut self, other: &Self) -> Result<(), Error> {
        self.latency
            .add(&other.latency)
            .map_err(|error| Error::Settings(error.to_string()))?;
        self.count += other.count;
        let parts = self.parts.iter_mut().zip(&other.parts);
        parts.for_each(|(own, other)| *own += other);
        Ok(())
    }

    /// Times from beginning to end, in nanoseconds.
    pub(super) const fn latency(&self) -> &Histogram<u64> {
        &self.latency
    }

    /// How many came in the measured time.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// The same per second.
    pub(super) fn per_second(&self) -> f64 {
        self.count as f64 / self.window.seconds()
    }

    /// How many came per second, at times in seconds from the beginning.
    pub(super) fn over_time(&self) -> impl Iterator<Item = (f64, f64)> {
        let (part_ns, window) = (self.part_ns, self.window);
        self.parts.iter().zip(0_u64..).map(move |(&count, part)| {
            let begin = part * part_ns;
            // The last part may be shorter.
            let end = (begin + part_ns).min(window.until - window.from);
            let seconds = |ns| Duration::from_nanos(ns).as_secs_f64();
            (
                seconds(begin.midpoint(end)),
                count as f64 / seconds(end - begin),
            )
        })
    }
}

/// The figures of all threads together.
pub(super) fn merged(
    window: Window,
    parts: &mut dyn Iterator<Item = &Figures>,
) -> Result<Figures, Error> {
    let mut all = Figures::new(window)?;
    for part in parts {
        all.merge(part)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        begin: 0,
        from: 1_000_000_000,
        until: 3_000_000_000,
    };

    #[test]
    fn only_the_measured_time_counts() {
        let mut figures = Figures::new(WINDOW).unwrap();
        for now in [999_999_999, 1_000_000_000, 2_999_999_999, 3_000_000_000] {
            figures.came(now, 2);
            figures.took(now, now + 1000, 3);
        }
        assert_eq!(figures.count(), 4);
        assert_eq!(figures.latency().len(), 6);
        let total: f64 = figures.over_time().map(|(_, rate)| rate * 0.02).sum();
        assert!((total - 4.0).abs() < 1e-6, "{total}");
    }

    #[test]
    fn what_took_longer_than_a_minute_is_not_cut_to_one() {
        let until = nanoseconds(TIME_MAX);
        let mut figures = Figures::new(Window { until, ..WINDOW }).unwrap();
        let hours = nanoseconds(Duration::from_secs(5 * 3600));
        figures.took(WINDOW.from, WINDOW.from + hours, 1);
        assert!(figures.latency().max() >= hours);
    }

    #[test]
    fn threads_add_up() {
        let mut one = Figures::new(WINDOW).unwrap();
        one.came(2_000_000_000, 1);
        one.took(2_000_000_000, 2_000_001_000, 1);
        let all = merged(WINDOW, &mut [&one, &one].into_iter()).unwrap();
        assert_eq!(all.count(), 2);
        assert_eq!(all.latency().len(), 2);
        assert!((all.per_second() - 1.0).abs() < 1e-9);
    }
}

//! What inflated messages may hold in memory, summed over the whole process.
//!
//! A message limit bounds one connection; a thousand connections that each inflate a legal message
//! need a second bound. Every inflated byte that outlives a call is taken from one count before it
//! is allocated, in steps, and given back by dropping a [`Reservation`]: nothing can leak. The
//! count is touched once for [`STEP_BYTES`], and never by a message that fits a core's scratch.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Error;

/// Reservations grow by this many bytes, so that a message of many pieces seldom comes here.
pub(super) const STEP_BYTES: usize = 16 << 10;

/// A count of bytes that all codecs of a process share.
///
/// Relaxed ordering is enough: the count guards no other memory, it only has to add up.
pub struct InflateBudget {
    bytes_max: usize,
    held: AtomicUsize,
}

impl InflateBudget {
    /// What the process may hold unless it is told otherwise: 64 messages of the default limit.
    pub const DEFAULT_BYTES: usize = 64 << 20;

    /// A budget of `bytes_max` bytes, to be shared by the codecs of all cores.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            held: AtomicUsize::new(0),
        })
    }

    /// Bytes that may be held at once.
    #[must_use]
    pub const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Takes `bytes` until the reservation is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::InflateBudget`] if that is more than is left; nothing is taken then.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Reservation, Error> {
        let mut reservation = Reservation::EMPTY;
        reservation.cover(self, bytes)?;
        Ok(reservation)
    }

    /// Takes `bytes` even if they are not left: for what a core holds as long as it lives.
    pub(super) fn charge(self: &Arc<Self>, bytes: usize) -> Reservation {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Reservation {
            budget: Some(Arc::clone(self)),
            bytes,
        }
    }

    fn take(&self, bytes: usize) -> Result<(), Error> {
        self.held
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(bytes)
                    .filter(|&held| held <= self.bytes_max)
            })
            .map_or(Err(Error::InflateBudget), |_| Ok(()))
    }
}

impl fmt::Debug for InflateBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InflateBudget({} of {})", self.held(), self.bytes_max)
    }
}

/// Bytes taken from an [`InflateBudget`]; dropping it gives them back.
pub struct Reservation {
    /// `None` as long as nothing is taken, so that a small message costs no reference count.
    budget: Option<Arc<InflateBudget>>,
    bytes: usize,
}

impl Reservation {
    /// Holds nothing.
    pub const EMPTY: Self = Self {
        budget: None,
        bytes: 0,
    };

    /// Bytes that are held.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds at least `bytes` from now on, rounded up to steps if it has to take more.
    pub(super) fn cover(&mut self, budget: &Arc<InflateBudget>, bytes: usize) -> Result<(), Error> {
        let missing = bytes.saturating_sub(self.bytes);
        if missing == 0 {
            return Ok(());
        }
        let step = missing
            .checked_next_multiple_of(STEP_BYTES)
            .ok_or(Error::InflateBudget)?;
        budget.take(step)?;
        self.bytes = self.bytes.saturating_add(step);
        if self.budget.is_none() {
            self.budget = Some(Arc::clone(budget));
        }
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reservation({})", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_left_and_no_more() {
        let budget = InflateBudget::new(4 * STEP_BYTES);
        let first = budget.reserve(3 * STEP_BYTES).unwrap();
        let second = budget.reserve(1).unwrap();
        assert_eq!(second.bytes(), STEP_BYTES);
        assert_eq!(budget.held(), budget.bytes_max());
        assert_eq!(budget.reserve(1).unwrap_err(), Error::InflateBudget);
        drop(first);
        assert_eq!(budget.held(), STEP_BYTES);
        drop(second);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn grows_in_steps_and_keeps_what_it_has_when_refused() {
        let budget = InflateBudget::new(2 * STEP_BYTES);
        let mut reservation = Reservation::EMPTY;
        reservation.cover(&budget, 0).unwrap();
        assert_eq!(budget.held(), 0);
        reservation.cover(&budget, 1).unwrap();
        reservation.cover(&budget, STEP_BYTES).unwrap();
        assert_eq!(budget.held(), STEP_BYTES);
        reservation.cover(&budget, STEP_BYTES + 1).unwrap();
        assert_eq!(budget.held(), 2 * STEP_BYTES);
        assert!(reservation.cover(&budget, usize::MAX).is_err());
        assert!(reservation.cover(&budget, 2 * STEP_BYTES + 1).is_err());
        assert_eq!(reservation.bytes(), 2 * STEP_BYTES);
        drop(reservation);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn what_a_core_holds_is_counted_even_past_the_end() {
        let budget = InflateBudget::new(STEP_BYTES);
        let charge = budget.charge(2 * STEP_BYTES);
        assert_eq!(budget.held(), 2 * STEP_BYTES);
        assert_eq!(budget.reserve(1).unwrap_err(), Error::InflateBudget);
        drop(charge);
        assert_eq!(budget.held(), 0);
    }
}

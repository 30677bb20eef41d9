//! What one subscriber has had from one publisher: in order, late, or twice.

/// Publications that were passed over and may still come; older ones are forgotten, and would count
/// as duplicates.
const MISSING_MAX: usize = 1024;

/// Numbers from 0 on, as they arrive.
#[derive(Debug, Clone, Default)]
pub(super) struct Sequence {
    next: u32,
    /// Numbers below `next` that have not come, ascending.
    missing: Vec<u32>,
}

/// How a number arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// For the first time, behind all that have come before.
    New,
    /// For the first time, but behind a later one.
    OutOfOrder,
    /// Once more.
    Duplicate,
}

impl Sequence {
    pub(super) fn arrive(&mut self, number: u32) -> Arrival {
        if number >= self.next {
            if number > self.next {
                self.miss(number);
            }
            self.next = number + 1;
            return Arrival::New;
        }
        match self.missing.binary_search(&number) {
            Ok(place) => {
                self.missing.remove(place);
                Arrival::OutOfOrder
            }
            Err(_) => Arrival::Duplicate,
        }
    }

    /// Remembers those before `number` that have not come.
    fn miss(&mut self, number: u32) {
        let most = u32::try_from(MISSING_MAX).unwrap_or(u32::MAX);
        self.missing
            .extend(self.next.max(number.saturating_sub(most))..number);
        let surplus = self.missing.len().saturating_sub(MISSING_MAX);
        self.missing.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Arrival::{Duplicate, New, OutOfOrder};

    #[test]
    fn each_arrival_is_told_from_the_others() {
        let mut sequence = Sequence::default();
        let numbers = [0, 1, 1, 4, 3, 3, 0, 5, 2, 2];
        let arrivals = numbers.map(|number| sequence.arrive(number));
        assert_eq!(
            arrivals,
            [
                New, New, Duplicate, New, OutOfOrder, Duplicate, Duplicate, New, OutOfOrder,
                Duplicate
            ]
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut sequence = Sequence::default();
        for number in (1..100_000).step_by(2) {
            assert_eq!(sequence.arrive(number), New);
        }
        assert_eq!(sequence.missing.len(), MISSING_MAX);
        assert_eq!(sequence.arrive(99_998), OutOfOrder);
        assert_eq!(sequence.arrive(3_000_000), New);
        assert_eq!(sequence.missing.len(), MISSING_MAX);
    }
}

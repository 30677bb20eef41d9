//! A set of cores.

use crate::ids::CoreId;

/// Which cores are in it: one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CoreSet([u64; 4]);

impl CoreSet {
    /// The first so many cores.
    pub(super) fn first(cores: usize) -> Self {
        let mut set = Self::default();
        for core in (0..=u8::MAX).take(cores) {
            set.insert(CoreId(core));
        }
        set
    }

    pub(super) fn insert(&mut self, core: CoreId) {
        self.0[core.index() / 64] |= 1 << (core.index() % 64);
    }

    pub(super) fn remove(&mut self, core: CoreId) {
        self.0[core.index() / 64] &= !(1 << (core.index() % 64));
    }

    pub(super) fn contains(self, core: CoreId) -> bool {
        self.0[core.index() / 64] & 1 << (core.index() % 64) != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == [0; 4]
    }

    /// Those that are in either.
    pub(super) fn union(self, other: Self) -> Self {
        let mut words = self.0;
        for (word, more) in words.iter_mut().zip(other.0) {
            *word |= more;
        }
        Self(words)
    }

    /// The cores, the lowest first.
    pub(super) fn iter(self) -> impl Iterator<Item = CoreId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let word = rest.iter().position(|&word| word != 0)?;
            let bit = rest[word].trailing_zeros();
            rest[word] &= rest[word] - 1;
            u8::try_from(word * 64)
                .ok()?
                .checked_add(u8::try_from(bit).ok()?)
                .map(CoreId)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_come_and_go() {
        let mut set = CoreSet::default();
        for core in [200, 3, 64, 255, 0] {
            set.insert(CoreId(core));
        }
        assert!(set.contains(CoreId(64)) && !set.contains(CoreId(65)));
        set.remove(CoreId(64));
        assert!(!set.contains(CoreId(64)));
        let cores: Vec<u8> = set.iter().map(|core| core.0).collect();
        assert_eq!(cores, [0, 3, 200, 255]);
        assert_eq!(CoreSet::first(70).iter().count(), 70);
        assert!(CoreSet::default().is_empty());
        assert_eq!(CoreSet::first(2).union(set).iter().count(), 5);
    }
}

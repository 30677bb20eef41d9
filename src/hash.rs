//! Hash maps whose seed is an argument.
//!
//! What peers choose (names of topics) is hashed with a seed that they cannot know, so they cannot
//! choose names that collide; and a test that gives the seed gets the same run again.

use std::hash::{BuildHasher, Hash};

/// A hash map with a given [`Seed`].
pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, Seed>;
/// A table whose keys are part of its values.
pub(crate) type Table<T> = hashbrown::HashTable<T>;

/// What keys a hash function. It has no default: whoever makes a map must be given one.
#[derive(Clone)]
pub(crate) struct Seed(ahash::RandomState);

impl Seed {
    /// The seed that is made of a number. It must be random where peers choose what is hashed.
    pub(crate) fn new(seed: u64) -> Self {
        let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(ahash::RandomState::with_seeds(
            seed,
            mixed,
            !seed,
            mixed.rotate_left(32),
        ))
    }

    /// The hash of a value.
    pub(crate) fn hash<T: Hash + ?Sized>(&self, value: &T) -> u64 {
        self.0.hash_one(value)
    }
}

impl BuildHasher for Seed {
    type Hasher = ahash::AHasher;

    fn build_hasher(&self) -> ahash::AHasher {
        self.0.build_hasher()
    }
}

impl std::fmt::Debug for Seed {
    /// The seed is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed")
    }
}

//! Bytes that nobody can predict: masking keys and nonces (RFC 6455, 10.3).

/// Bytes that are fetched from the system at a time: a key has four, and a call for each of them
/// would cost more than the frame.
const FETCHED_BYTES: usize = 1024;

pub(crate) struct Random {
    bytes: [u8; FETCHED_BYTES],
    used: usize,
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

impl Random {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; FETCHED_BYTES],
            used: FETCHED_BYTES,
        }
    }

    /// `N` bytes, at most 64.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 64) };
        if self.used + N > FETCHED_BYTES {
            getrandom::fill(&mut self.bytes).expect("the system has random bytes");
            self.used = 0;
        }
        let mut taken = [0; N];
        taken.copy_from_slice(&self.bytes[self.used..self.used + N]);
        self.used += N;
        taken
    }

    pub(crate) fn seed() -> u64 {
        u64::from_le_bytes(Self::new().bytes())
    }
}

//! Large buffers between two messages.

/// Smaller buffers are not worth keeping: an allocator has them at hand.
const POOLED_BYTES_MIN: usize = 64 << 10;

/// Keeps the buffers of large messages for the next ones, up to a bound. A fresh buffer has pages
/// that the system must find and clear when they are first written, which for 1 MiB costs more
/// than receiving it; one that was used has them.
///
/// A core has one pool. Only bytes that were received before are in it, and never those of a
/// message that anybody can read: a buffer is handed out empty.
#[derive(Debug, Default)]
pub struct BufferPool {
    /// The one used last at the end: its bytes are the likeliest to be in a cache.
    buffers: Vec<Vec<u8>>,
    bytes: usize,
    bytes_max: usize,
    /// Buffers that were freed because the pool was full, counted up: a driver takes it.
    pub freed: usize,
}

impl BufferPool {
    /// A pool of buffers that hold at most `bytes_max` together.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self {
            buffers: Vec::new(),
            bytes: 0,
            bytes_max,
            freed: 0,
        }
    }

    /// Bytes that are kept.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// An empty buffer for a payload of so many bytes, with room for as many of them as any has,
    /// and for none beyond: what follows the payload is not to be read into it.
    pub(crate) fn take(&mut self, payload_bytes: usize) -> Option<Vec<u8>> {
        let fits = |(_, buffer): &(usize, &Vec<u8>)| buffer.capacity() <= payload_bytes;
        let candidates = self.buffers.iter().enumerate().filter(fits);
        let (place, _) = candidates.max_by_key(|(_, buffer)| buffer.capacity())?;
        let buffer = self.buffers.remove(place);
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// An empty buffer for a message that is inflated, of which nobody knows how long it gets: the
    /// one used last. What was inflated comes back here, so it must come from here, too, or it
    /// would fill the pool with buffers that nobody takes.
    pub(crate) fn take_any(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    /// Takes a buffer back, whatever is in it.
    pub fn put(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        if bytes < POOLED_BYTES_MIN {
            return;
        }
        if bytes > self.bytes_max.saturating_sub(self.bytes) {
            self.freed += 1;
            return;
        }
        buffer.clear();
        self.bytes += bytes;
        self.buffers.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::BufferPool;

    const KIB: usize = 1 << 10;

    fn buffer(bytes: usize) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(bytes);
        buffer.push(1);
        buffer
    }

    #[test]
    fn the_largest_that_ends_with_the_payload_is_taken_empty() {
        let mut pool = BufferPool::new(10_000 * KIB);
        for kib in [100, 300, 200] {
            pool.put(buffer(kib * KIB));
        }
        assert_eq!(pool.take(100 * KIB - 1), None);
        let taken = pool.take(250 * KIB).unwrap();
        assert_eq!((taken.len(), taken.capacity()), (0, 200 * KIB));
        assert_eq!(pool.bytes(), 400 * KIB);
        assert_eq!(pool.take(1000 * KIB).unwrap().capacity(), 300 * KIB);
        assert_eq!(pool.take_any().capacity(), 100 * KIB);
        assert_eq!(pool.take(1000 * KIB), None);
        assert_eq!(pool.take_any().capacity(), 0);
        assert_eq!((pool.bytes(), pool.freed), (0, 0));
    }

    #[test]
    fn the_bound_is_kept_and_small_buffers_are_not() {
        let mut pool = BufferPool::new(300 * KIB);
        pool.put(buffer(64 * KIB - 1));
        assert_eq!(pool.bytes(), 0);
        pool.put(buffer(200 * KIB));
        pool.put(buffer(101 * KIB));
        assert_eq!((pool.bytes(), pool.freed), (200 * KIB, 1));
        pool.put(buffer(100 * KIB));
        assert_eq!((pool.bytes(), pool.freed), (300 * KIB, 1));
    }
}

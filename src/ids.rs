//! Names for cores and connections that can be kept, sent and compared.

use std::fmt;

/// One event loop of the process, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CoreId(pub u8);

impl CoreId {
    /// The core's place in a list of all cores.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for CoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One connection. It stays valid as a name after the connection has gone: slots of a core's
/// table are used again, generations are not, so what is recorded for a connection that has ended
/// reaches nobody.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnId {
    /// The core that owns the connection.
    pub core: CoreId,
    /// Its place in that core's table.
    pub(crate) slot: u32,
    /// How often the place was taken before.
    pub(crate) generation: u32,
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.core, self.slot, self.generation)
    }
}

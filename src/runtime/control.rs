//! How a server is told to stop, and its cores find out.

use crate::mailbox::Wake;
use crate::sync::{AtomicBool, Ordering};

/// The switch that all cores look at once a turn.
pub(crate) struct Control {
    stopping: AtomicBool,
    wakers: Vec<Box<dyn Wake>>,
}

impl Control {
    pub(crate) fn new(wakers: Vec<Box<dyn Wake>>) -> Self {
        Self {
            stopping: AtomicBool::new(false),
            wakers,
        }
    }

    /// Tells every core to stop.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for waker in &self.wakers {
            waker.wake();
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Control(stopping: {})", self.is_stopping())
    }
}

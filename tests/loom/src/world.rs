//! Cores that do nothing but send and receive mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::Notify;

use crate::ids::CoreId;
use crate::mailbox::{Full, Mailbox, Wake, mailboxes};

pub(crate) struct Core {
    pub(crate) mailbox: Mailbox<u32>,
    pub(crate) bell: Bell,
}

/// What a core waits for. It stays rung until it was heard, as the system's does; now and then
/// somebody else rings it, as sockets do.
#[derive(Clone)]
pub(crate) struct Bell {
    rung: Arc<Notify>,
    count: Arc<AtomicUsize>,
}

impl Bell {
    fn new() -> Self {
        Self {
            rung: Arc::new(Notify::new()),
            count: Arc::default(),
        }
    }

    /// How often it was rung.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn wait(&self) {
        self.rung.wait();
    }
}

impl Wake for Bell {
    fn wake(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.rung.notify();
    }
}

/// As many cores, and a second handle on each one's bell.
pub(crate) fn cores<const COUNT: usize>() -> [Core; COUNT] {
    let bells: Vec<_> = (0..COUNT).map(|_| Bell::new()).collect();
    let wakers = bells.iter().cloned().map(boxed).collect();
    let cores = mailboxes(wakers).into_iter().zip(bells);
    let cores = cores.map(|(mailbox, bell)| Core { mailbox, bell });
    let cores: Vec<_> = cores.collect();
    cores.try_into().unwrap_or_else(|_| unreachable!())
}

pub(crate) fn boxed(bell: Bell) -> Box<dyn Wake> {
    Box::new(bell)
}

impl Core {
    /// Sends what there is room for, and returns how many fit.
    pub(crate) fn send(&mut self, to: u8, mail: impl IntoIterator<Item = u32>) -> usize {
        let sent = |mail| match self.mailbox.send(CoreId(to), mail) {
            Ok(()) => true,
            Err(Full(back)) => {
                assert_eq!(back, mail, "it hands back another one");
                false
            }
        };
        mail.into_iter().map(sent).filter(|sent| *sent).count()
    }

    /// What has come, in the order of the senders.
    pub(crate) fn take(&self) -> Vec<u32> {
        let senders = self.mailbox.senders();
        senders
            .flat_map(|from| std::iter::from_fn(move || self.mailbox.receive(from)))
            .collect()
    }

    /// Waits as the reactor does: not if there is mail.
    pub(crate) fn rest(&self) {
        if self.mailbox.may_sleep() {
            self.bell.wait();
            self.mailbox.woke();
        }
    }

    /// Turns until so many have come, or more.
    pub(crate) fn receive(&self, count: usize) -> Vec<u32> {
        let mut received = self.take();
        while received.len() < count {
            self.rest();
            received.extend(self.take());
        }
        received
    }
}

//! Typed mail between cores: the only thing that they share.
//!
//! There is one bounded lock-free queue for each ordered pair of cores, first in, first out.
//! Nobody waits for a queue: mail that does not fit is handed back to its sender. A core is woken
//! once a batch, and only when it sleeps:
//!
//! ```text
//!   sleeper                              sender
//!     asleep = true                        push
//!     fence(SeqCst)                        fence(SeqCst)
//!     look into the queues once more       asleep? then clear it and wake
//!     wait, unless there is mail
//! ```
//!
//! The two fences make sure that at least one of them sees what the other wrote: the sleeper the
//! mail, or the sender the flag. So no mail lies in a queue while its core sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;

use crate::ids::CoreId;

/// Mail that fits into one queue before it is handed back.
pub(crate) const QUEUE_ENTRIES: usize = 1024;

/// Wakes a core that waits for its sockets.
pub trait Wake: Send + Sync {
    /// Has its wait return.
    fn wake(&self);
}

/// One core's end of all the queues.
pub struct Mailbox<M> {
    core: CoreId,
    office: Arc<Office<M>>,
    /// Cores that were sent something since the last [`post`](Self::post).
    sent_to: Vec<bool>,
}

/// What all the mailboxes of a server share.
struct Office<M> {
    /// The queue from core `from` to core `to` stands at `from * cores + to`.
    queues: Vec<ArrayQueue<M>>,
    sleepers: Vec<CachePadded<AtomicBool>>,
    wakers: Vec<Box<dyn Wake>>,
}

/// Mail that its queue had no room for.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<M>(pub M);

/// Makes the mailboxes of as many cores as there are wakers.
pub fn mailboxes<M>(wakers: Vec<Box<dyn Wake>>) -> Vec<Mailbox<M>> {
    let cores = wakers.len();
    let office = Arc::new(Office {
        queues: (0..cores * cores)
            .map(|_| ArrayQueue::new(QUEUE_ENTRIES))
            .collect(),
        sleepers: (0..cores)
            .map(|_| CachePadded::new(AtomicBool::new(false)))
            .collect(),
        wakers,
    });
    (0..cores)
        .filter_map(|core| u8::try_from(core).ok())
        .map(|core| Mailbox {
            core: CoreId(core),
            office: Arc::clone(&office),
            sent_to: vec![false; cores],
        })
        .collect()
}

impl<M> Mailbox<M> {
    /// Puts mail into the queue to `to`.
    ///
    /// # Errors
    ///
    /// [`Full`] hands the mail back, also if there is no such core.
    pub fn send(&mut self, to: CoreId, mail: M) -> Result<(), Full<M>> {
        let cores = self.sent_to.len();
        let Some(sent) = self.sent_to.get_mut(to.index()) else {
            return Err(Full(mail));
        };
        self.office.queues[self.core.index() * cores + to.index()]
            .push(mail)
            .map_err(Full)?;
        *sent = true;
        Ok(())
    }

    /// Wakes the cores that were sent something and sleep. Called once a turn.
    pub fn post(&mut self) {
        if !self.sent_to.contains(&true) {
            return;
        }
        fence(Ordering::SeqCst);
        for (core, sent) in self.sent_to.iter_mut().enumerate() {
            if std::mem::take(sent) && self.office.sleepers[core].swap(false, Ordering::Relaxed) {
                self.office.wakers[core].wake();
            }
        }
    }

    /// The next mail for this core, taking the senders in turn: at most one queue's worth from
    /// each before the caller has to come back.
    pub fn receive(&self, from: CoreId) -> Option<M> {
        self.office
            .queues
            .get(from.index() * self.sent_to.len() + self.core.index())?
            .pop()
    }

    /// The cores that may have sent something.
    pub fn senders(&self) -> impl Iterator<Item = CoreId> + use<M> {
        (0..self.sent_to.len()).filter_map(|core| u8::try_from(core).ok().map(CoreId))
    }

    /// Whether there is mail for this core.
    pub(crate) fn has_mail(&self) -> bool {
        self.senders().any(|from| !self.queue_from(from).is_empty())
    }

    /// Announces that this core is about to wait. Returns false if it must not, because there is
    /// mail.
    pub fn may_sleep(&self) -> bool {
        self.office.sleepers[self.core.index()].store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let has_mail = self.has_mail();
        if has_mail {
            self.woke();
        }
        !has_mail
    }

    /// Announces that this core is awake.
    pub fn woke(&self) {
        self.office.sleepers[self.core.index()].store(false, Ordering::Relaxed);
    }

    fn queue_from(&self, from: CoreId) -> &ArrayQueue<M> {
        &self.office.queues[from.index() * self.sent_to.len() + self.core.index()]
    }
}

impl<M> std::fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox({} of {})", self.core, self.sent_to.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::sync::mpsc;

    use super::*;

    struct Bell(mpsc::Sender<()>);

    impl Wake for Bell {
        fn wake(&self) {
            let _ = self.0.send(());
        }
    }

    fn pair() -> (Mailbox<u32>, Mailbox<u32>, mpsc::Receiver<()>) {
        let (quiet, _) = mpsc::channel();
        let (bell, rung) = mpsc::channel();
        let mut boxes = mailboxes(vec![Box::new(Bell(quiet)), Box::new(Bell(bell))]);
        let second = boxes.pop().unwrap();
        (boxes.pop().unwrap(), second, rung)
    }

    #[test]
    fn mail_keeps_its_order_and_a_full_queue_hands_it_back() {
        let (mut first, second, _rung) = pair();
        for number in 0..1024 {
            assert_eq!(first.send(CoreId(1), number), Ok(()));
        }
        assert_eq!(first.send(CoreId(1), 1024), Err(Full(1024)));
        assert_eq!(first.send(CoreId(9), 1), Err(Full(1)));
        for number in 0..1024 {
            assert_eq!(second.receive(CoreId(0)), Some(number));
        }
        assert_eq!(second.receive(CoreId(0)), None);
    }

    #[test]
    fn a_sleeper_is_woken_once_a_batch_and_a_waking_core_never() {
        let (mut first, second, rung) = pair();
        first.send(CoreId(1), 1).unwrap();
        first.post();
        assert!(rung.try_recv().is_err(), "it was awake");
        assert!(!second.may_sleep(), "there is mail");
        assert_eq!(second.receive(CoreId(0)), Some(1));
        assert!(second.may_sleep());
        first.send(CoreId(1), 2).unwrap();
        first.send(CoreId(1), 3).unwrap();
        first.post();
        first.send(CoreId(1), 4).unwrap();
        first.post();
        assert!(
            rung.try_recv().is_ok() && rung.try_recv().is_err(),
            "one bell for all three"
        );
    }

    /// The real queue under load. The sender waits until each batch was taken, so that no later one
    /// makes good for a lost wake-up: the receiver would be left asleep for ever.
    #[test]
    fn no_mail_is_left_while_its_core_sleeps() {
        let (mut first, second, rung) = pair();
        let total = 200_000;
        let taken = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&taken);
        let sender = std::thread::Builder::new()
            .spawn(move || {
                for number in 0..total {
                    first.send(CoreId(1), number).unwrap();
                    if number % 7 == 0 || number + 1 == total {
                        first.post();
                        while seen.load(Ordering::Relaxed) <= number {
                            std::thread::yield_now();
                        }
                    }
                }
            })
            .unwrap();
        let mut expected = 0;
        while expected < total {
            while let Some(number) = second.receive(CoreId(0)) {
                assert_eq!(number, expected);
                expected += 1;
                taken.store(expected, Ordering::Relaxed);
            }
            // A core has more to do between its mail and its sleep: it may come at any moment.
            for _ in 0..expected % 1024 {
                std::hint::spin_loop();
            }
            if expected < total && second.may_sleep() {
                rung.recv_timeout(std::time::Duration::from_secs(20))
                    .expect("a lost wake-up");
            }
        }
        sender.join().unwrap();
    }
}

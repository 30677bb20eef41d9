//! What the handles of a client, its connections and its timer share: the machine, behind a lock
//! that is never held across a wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::{Notify, oneshot, watch};

use crate::clock::Clock;
use crate::machine::{
    HistoryError, HistoryId, LinkId, Machine, Outcome, Page, Picture, PublicationId, StateId,
    Status, SubscriptionId, Warning,
};

#[derive(Debug)]
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(crate) clock: Clock,
    /// There is something for the client's own task.
    pub(crate) driver: Notify,
    /// A publication has ended: there may be room for another.
    pub(crate) room: Notify,
    /// There is a warning.
    pub(crate) warned: Notify,
    status: watch::Sender<Status>,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) machine: Machine,
    /// Who waits for the outcome of a publication.
    pub(crate) outcomes: BTreeMap<PublicationId, oneshot::Sender<Outcome>>,
    /// Who waits for messages of the past.
    pub(crate) pages: BTreeMap<HistoryId, oneshot::Sender<Result<Page, HistoryError>>>,
    /// Who looks at state.
    pub(crate) pictures: BTreeMap<StateId, watch::Sender<Arc<Picture>>>,
    /// Who waits for the events of a subscription.
    pub(crate) readers: BTreeMap<SubscriptionId, Waker>,
    /// Connections, by what tells them that there is something to send.
    pub(crate) links: BTreeMap<LinkId, Arc<Notify>>,
    /// Until when the client's own task sleeps.
    pub(crate) sleeps_until_ms: Option<u64>,
}

/// Which connections are to look whether they have something to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    All,
    /// All but the one that looks by itself.
    Others(LinkId),
    None,
}

impl Shared {
    pub(crate) fn new(machine: Machine) -> Self {
        let status = watch::Sender::new(machine.status().clone());
        Self {
            core: Mutex::new(Core {
                machine,
                outcomes: BTreeMap::new(),
                pages: BTreeMap::new(),
                pictures: BTreeMap::new(),
                readers: BTreeMap::new(),
                links: BTreeMap::new(),
                sleeps_until_ms: None,
            }),
            clock: Clock::new(),
            driver: Notify::new(),
            room: Notify::new(),
            warned: Notify::new(),
            status,
        }
    }

    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Looks at the machine, changing nothing that anybody waits for.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic of a waker does not leave the machine half changed.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the machine, then tells everybody whom it concerns.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Machine, u64) -> T) -> T {
        self.with_core(Links::All, |core, now_ms| change(&mut core.machine, now_ms))
    }

    /// The same with all that is behind the lock.
    pub(crate) fn with_core<T>(&self, links: Links, change: impl FnOnce(&mut Core, u64) -> T) -> T {
        let now_ms = self.clock.now_ms();
        let mut wakers = Vec::new();
        let result;
        {
            let mut core = self.lock();
            result = change(&mut core, now_ms);
            self.tell(&mut core, links, &mut wakers);
        }
        // A waker may run what it wakes.
        for waker in wakers {
            waker.wake();
        }
        result
    }

    fn tell(&self, core: &mut Core, links: Links, wakers: &mut Vec<Waker>) {
        let mut any = false;
        while let Some((id, outcome)) = core.machine.next_outcome() {
            any = true;
            match core.outcomes.remove(&id) {
                // Who has given up does not want to know.
                Some(waiting) => drop(waiting.send(outcome)),
                None => core.machine.note_outcome(outcome),
            }
        }
        if any {
            self.room.notify_waiters();
        }
        while let Some((id, page)) = core.machine.next_page() {
            if let Some(waiting) = core.pages.remove(&id) {
                let _ = waiting.send(page);
            }
        }
        while let Some(id) = core.machine.next_changed_state() {
            if let (Some(shown), Some(now)) = (core.pictures.get(&id), core.machine.picture(id)) {
                shown.send_if_modified(|shown| {
                    let differs = !Arc::ptr_eq(shown, now) && **shown != **now;
                    shown.clone_from(now);
                    differs
                });
            }
        }
        if core.machine.has_stopped() {
            // Nobody is to wait for another picture.
            core.pictures.clear();
        }
        while let Some(id) = core.machine.next_stirred() {
            if core.machine.has_events(id)
                && let Some(waker) = core.readers.remove(&id)
            {
                wakers.push(waker);
            }
        }
        if core.machine.has_warnings() {
            self.warned.notify_one();
        }
        self.status.send_if_modified(|status| {
            let changed = status != core.machine.status();
            if changed {
                status.clone_from(core.machine.status());
            }
            changed
        });
        for (id, link) in &core.links {
            match links {
                Links::All => link.notify_one(),
                Links::Others(own) if own != *id => link.notify_one(),
                Links::Others(_) | Links::None => {}
            }
        }
        let deadline_ms = core.machine.deadline_ms();
        let sooner = match (deadline_ms, core.sleeps_until_ms) {
            (Some(deadline), Some(sleeps_until)) => deadline < sleeps_until,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if sooner || core.machine.has_actions() || core.machine.has_stopped() {
            self.driver.notify_one();
        }
    }

    pub(crate) fn next_warning(&self) -> Option<Warning> {
        self.lock().machine.next_warning()
    }
}

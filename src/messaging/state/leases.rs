//! When entries end that nobody renews.

use crate::engine::Tick;
use crate::timers::Wheel;

use super::board::SetKey;
use super::set::EntryKey;

/// The name of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::messaging) struct LeaseKey(u32);

/// The leases of a core's entries. To renew one is a store: the wheel finds out when it fires.
#[derive(Debug)]
pub(super) struct Leases {
    wheel: Wheel,
    slots: Vec<Option<Lease>>,
    free: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    until: Tick,
    of: (SetKey, EntryKey),
}

impl Leases {
    pub(super) fn new() -> Self {
        Self {
            wheel: Wheel::new(Tick(0)),
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Begins a lease.
    pub(super) fn begin(&mut self, now: Tick, until: Tick, of: (SetKey, EntryKey)) -> LeaseKey {
        let lease = Some(Lease { until, of });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = lease;
                slot
            }
            None => {
                self.slots.push(lease);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.wheel.rest(now);
        self.wheel.arm(slot, until);
        LeaseKey(slot)
    }

    /// Moves the end of a lease.
    pub(super) fn renew(&mut self, key: LeaseKey, until: Tick) {
        if let Some(Some(lease)) = self.slots.get_mut(key.0 as usize) {
            lease.until = until;
            self.wheel.arm(key.0, until);
        }
    }

    /// When a lease ends.
    pub(super) fn until(&self, key: LeaseKey) -> Option<Tick> {
        let lease = self.slots.get(key.0 as usize)?.as_ref()?;
        Some(lease.until)
    }

    /// Nothing ends any more when the lease would.
    pub(super) fn end(&mut self, key: LeaseKey) {
        if let Some(slot) = self.slots.get_mut(key.0 as usize)
            && slot.take().is_some()
        {
            self.wheel.disarm(key.0);
            self.free.push(key.0);
        }
    }

    /// Whose lease has ended, one after the other.
    pub(super) fn ended(&mut self, now: Tick) -> Option<(SetKey, EntryKey)> {
        self.wheel.rest(now);
        while let Some(slot) = self.wheel.fire(now) {
            let Some(Some(lease)) = self.slots.get(slot as usize).copied() else {
                continue;
            };
            if lease.until.is_due(now) {
                self.slots[slot as usize] = None;
                self.free.push(slot);
                return Some(lease.of);
            }
            self.wheel.arm(slot, lease.until);
        }
        None
    }

    /// Milliseconds until a lease may have ended.
    pub(super) fn next_in_ms(&self, now: Tick) -> Option<u32> {
        self.wheel.next_in_ms(now)
    }
}

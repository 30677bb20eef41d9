//! The connections of a shard by id.

use std::collections::VecDeque;

use crate::ids::{ConnId, CoreId};

use super::conn::Conn;

/// A table of slots. A slot that is freed goes to the end of the free list and gets the next
/// generation, so that an old id finds nothing. Nor does an id of another core.
#[derive(Debug)]
pub(super) struct ConnTable<S> {
    core: CoreId,
    slots: Vec<Slot<S>>,
    free: VecDeque<u32>,
}

#[derive(Debug)]
struct Slot<S> {
    generation: u32,
    conn: Option<Conn<S>>,
}

impl<S> ConnTable<S> {
    pub(super) const fn new(core: CoreId) -> Self {
        Self {
            core,
            slots: Vec::new(),
            free: VecDeque::new(),
        }
    }

    /// How many connections there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, conn: Conn<S>) -> ConnId {
        let slot = self.free.pop_front().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                conn: None,
            });
            u32::try_from(self.slots.len() - 1).expect("descriptors are fewer than 2^32")
        });
        let place = &mut self.slots[slot as usize];
        place.conn = Some(conn);
        ConnId {
            core: self.core,
            slot,
            generation: place.generation,
        }
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<Conn<S>> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation != id.generation || self.core != id.core {
            return None;
        }
        let conn = slot.conn.take()?;
        // The highest one stays unused: ids are packed into words that have special values.
        slot.generation = (slot.generation + 1) % u32::MAX;
        self.free.push_back(id.slot);
        Some(conn)
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&Conn<S>> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.conn
            .as_ref()
            .filter(|_| slot.generation == id.generation && self.core == id.core)
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn<S>> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        slot.conn
            .as_mut()
            .filter(|_| slot.generation == id.generation && self.core == id.core)
    }

    /// The id of whatever connection is in a slot now.
    pub(super) fn id_at(&self, slot: u32) -> Option<ConnId> {
        let place = self.slots.get(slot as usize)?;
        place.conn.as_ref().map(|_| ConnId {
            core: self.core,
            slot,
            generation: place.generation,
        })
    }

    /// The ids of all connections.
    pub(super) fn ids(&self) -> Vec<ConnId> {
        (0..)
            .take(self.slots.len())
            .filter_map(|slot| self.id_at(slot))
            .collect()
    }
}

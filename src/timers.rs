//! A timer wheel with one node for each slot of a connection table.
//!
//! A node stands for the earliest deadline of its connection. Arming is a few stores in memory
//! that is there already. Activity does not move nodes: a deadline that has moved away is found
//! out when its node fires early and is armed again.

use corewire_protocol::Tick;

/// Milliseconds of one spoke of the wheel: deadlines are met up to this much late.
pub(crate) const SPOKE_MS: u32 = 8;
/// Spokes, a power of two. A deadline beyond the last one fires early, and is armed again.
const SPOKES: u32 = 4096;
const NIL: u32 = u32::MAX;

/// The wheel. See the [module](self).
#[derive(Debug)]
pub(crate) struct Wheel {
    /// The first node of each spoke.
    heads: Vec<u32>,
    /// One bit a spoke: whether it has nodes.
    busy: Vec<u64>,
    nodes: Vec<Node>,
    /// The first spoke that has not been turned past, as a count of spokes since tick 0.
    next: u32,
    /// What `next` counts from.
    origin: Tick,
    /// How many nodes are armed.
    armed: u32,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    next: u32,
    prev: u32,
    /// The spoke, `NIL` if not armed.
    spoke: u32,
    at: Tick,
}

impl Node {
    const UNARMED: Self = Self {
        next: NIL,
        prev: NIL,
        spoke: NIL,
        at: Tick(0),
    };
}

impl Wheel {
    pub(crate) fn new(now: Tick) -> Self {
        Self {
            heads: vec![NIL; SPOKES as usize],
            busy: vec![0; SPOKES as usize / 64],
            nodes: Vec::new(),
            next: 0,
            origin: now,
            armed: 0,
        }
    }

    /// Starts anew from `now` if no node is armed: a wheel that nobody has turned for longer than
    /// two ticks can be apart would not know any more which of them is the earlier one.
    pub(crate) const fn rest(&mut self, now: Tick) {
        if self.armed == 0 {
            self.origin = now;
            self.next = 0;
        }
    }

    /// Makes sure that the node of `slot` fires no later than `at`. A node that fires earlier
    /// stays where it is.
    pub(crate) fn arm(&mut self, slot: u32, at: Tick) {
        let index = slot as usize;
        if index >= self.nodes.len() {
            self.nodes.resize(index + 1, Node::UNARMED);
        }
        let node = self.nodes[index];
        if node.spoke != NIL {
            if node.at.is_due(at) {
                return;
            }
            self.disarm(slot);
        }
        // Rounded up, so that what fires is due.
        let ahead = at
            .since(self.origin)
            .div_ceil(SPOKE_MS)
            .saturating_sub(self.next)
            .min(SPOKES - 1);
        let spoke = (self.next + ahead) & (SPOKES - 1);
        let head = std::mem::replace(&mut self.heads[spoke as usize], slot);
        if head != NIL {
            self.nodes[head as usize].prev = slot;
        }
        self.nodes[index] = Node {
            next: head,
            prev: NIL,
            spoke,
            at,
        };
        self.busy[spoke as usize / 64] |= 1 << (spoke % 64);
        self.armed += 1;
    }

    /// Takes the node of `slot` off the wheel.
    pub(crate) fn disarm(&mut self, slot: u32) {
        let Some(node) = self.nodes.get_mut(slot as usize) else {
            return;
        };
        let Node {
            next, prev, spoke, ..
        } = std::mem::replace(node, Node::UNARMED);
        if spoke == NIL {
            return;
        }
        self.armed -= 1;
        if prev == NIL {
            self.heads[spoke as usize] = next;
            if next == NIL {
                self.busy[spoke as usize / 64] &= !(1 << (spoke % 64));
            }
        } else {
            self.nodes[prev as usize].next = next;
        }
        if next != NIL {
            self.nodes[next as usize].prev = prev;
        }
    }

    /// Turns the wheel to `now` and takes off one node that fires. Called until `None`.
    pub(crate) fn fire(&mut self, now: Tick) -> Option<u32> {
        let target = now.since(self.origin) / SPOKE_MS;
        while self.next <= target {
            let spoke = self.next & (SPOKES - 1);
            let head = self.heads[spoke as usize];
            if head != NIL {
                self.disarm(head);
                return Some(head);
            }
            match self.busy_spokes_until(target) {
                Some(spokes) => self.next += spokes,
                None => self.next = target + 1,
            }
        }
        // The origin follows, so that counts stay small and ticks may wrap. It never lies ahead: what
        // ends between now and there would fire over and over again.
        let turned = target & !(SPOKES - 1);
        if turned > 0 {
            self.origin = self.origin.after(turned * SPOKE_MS);
            self.next -= turned;
        }
        None
    }

    /// Milliseconds from `now` until the next node fires.
    pub(crate) fn next_in_ms(&self, now: Tick) -> Option<u32> {
        let spokes = self.busy_spokes_until(self.next + SPOKES - 1)?;
        let at = self.origin.after((self.next + spokes) * SPOKE_MS);
        Some(at.since(now))
    }

    /// How many spokes after `next` the first one with nodes comes, looking no further than the
    /// count of spokes `last` and no further than once around.
    fn busy_spokes_until(&self, last: u32) -> Option<u32> {
        let mut ahead = 0;
        while ahead < SPOKES && self.next + ahead <= last {
            let spoke = (self.next + ahead) & (SPOKES - 1);
            let bits = self.busy[spoke as usize / 64] >> (spoke % 64);
            if bits != 0 {
                let found = ahead + bits.trailing_zeros();
                return (self.next + found <= last).then_some(found);
            }
            ahead += 64 - spoke % 64;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fired(wheel: &mut Wheel, now: Tick) -> Vec<u32> {
        let mut slots: Vec<u32> = std::iter::from_fn(|| wheel.fire(now)).collect();
        slots.sort_unstable();
        slots
    }

    #[test]
    fn fires_when_due_and_not_before() {
        let start = Tick(u32::MAX - 100);
        let mut wheel = Wheel::new(start);
        wheel.arm(7, start.after(40));
        assert_eq!(wheel.next_in_ms(start), Some(40));
        assert!(fired(&mut wheel, start.after(39)).is_empty());
        assert_eq!(fired(&mut wheel, start.after(40)), [7]);
        assert_eq!(wheel.next_in_ms(start.after(40)), None);
    }

    #[test]
    fn arming_again_moves_a_node_only_to_an_earlier_moment() {
        let start = Tick(5);
        let mut wheel = Wheel::new(start);
        wheel.arm(0, start.after(1000));
        wheel.arm(0, start.after(2000));
        assert_eq!(fired(&mut wheel, start.after(1008)), [0]);
        wheel.arm(0, start.after(9000));
        wheel.arm(0, start.after(3000));
        assert_eq!(fired(&mut wheel, start.after(3008)), [0]);
        assert!(fired(&mut wheel, start.after(20_000)).is_empty());
    }

    #[test]
    fn a_wheel_that_has_rested_for_a_month_turns_on_time() {
        let start = Tick(5);
        let mut wheel = Wheel::new(start);
        wheel.arm(3, start.after(16));
        assert_eq!(fired(&mut wheel, start.after(16)), [3]);
        let month = start.after(u32::MAX / 2 + 1000);
        wheel.rest(month);
        wheel.arm(3, month.after(40));
        assert_eq!(wheel.next_in_ms(month), Some(40));
        assert!(fired(&mut wheel, month.after(39)).is_empty());
        assert_eq!(fired(&mut wheel, month.after(40)), [3]);
    }

    /// Each turn of the wheel ends in a spoke whose time is not over.
    #[test]
    fn nothing_fires_early_at_the_end_of_a_turn() {
        let start = Tick(5);
        let mut wheel = Wheel::new(start);
        let turn = SPOKES * SPOKE_MS;
        for ms in turn - SPOKE_MS..turn {
            let now = start.after(ms);
            assert!(fired(&mut wheel, now).is_empty());
            wheel.arm(0, now.after(1));
            assert!(fired(&mut wheel, now).is_empty(), "{ms} ms");
            assert_eq!(fired(&mut wheel, now.after(SPOKE_MS)), [0]);
            wheel = Wheel::new(start);
        }
    }

    /// Near the end of a turn more often than anywhere else.
    fn deadline() -> impl Strategy<Value = u32> {
        let turn = SPOKES * SPOKE_MS;
        prop_oneof![0_u32..60_000, turn - 20..turn + 20]
    }

    proptest! {
        /// Every armed node fires once, never early unless its deadline is beyond the wheel, and
        /// at most a spoke late when the wheel is turned as `next_in_ms` asks, or more often.
        #[test]
        fn agrees_with_a_sorted_list(
            start in any::<u32>(),
            deadlines in prop::collection::vec(deadline(), 1..60),
            step in prop_oneof![1_u32..20, Just(u32::MAX)],
        ) {
            let start = Tick(start);
            let mut wheel = Wheel::new(start);
            for (slot, &ms) in (0..).zip(&deadlines) {
                wheel.arm(slot, start.after(ms));
            }
            let mut now = start;
            let mut seen = vec![false; deadlines.len()];
            while let Some(wait) = wheel.next_in_ms(now) {
                now = now.after(wait.min(step).max(1));
                while let Some(slot) = wheel.fire(now) {
                    let at = start.after(deadlines[slot as usize]);
                    if at.is_due(now) {
                        prop_assert!(!seen[slot as usize]);
                        prop_assert!(now.since(at) <= 2 * SPOKE_MS, "{} late", now.since(at));
                        seen[slot as usize] = true;
                    } else {
                        prop_assert!(deadlines[slot as usize] > SPOKE_MS * (SPOKES - 2));
                        wheel.arm(slot, at);
                    }
                }
            }
            prop_assert!(seen.iter().all(|&fired| fired));
        }
    }
}

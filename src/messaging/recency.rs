//! Things of a slot map in the order of their last use.

use slotmap::{Key, SlotMap};

/// The ends of a list whose links lie in the things themselves: to use one moves it to the new
/// end, whatever their number.
#[derive(Debug)]
pub(super) struct Recency<K> {
    oldest: Option<K>,
    newest: Option<K>,
}

/// A thing's place in a [`Recency`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links<K> {
    /// It is in no list.
    Out,
    /// Its neighbours.
    In { older: Option<K>, newer: Option<K> },
}

/// What can stand in a [`Recency`].
pub(super) trait Linked<K> {
    fn links(&mut self) -> &mut Links<K>;
}

impl<K: Key> Recency<K> {
    pub(super) const fn new() -> Self {
        Self {
            oldest: None,
            newest: None,
        }
    }

    /// The one that was used least lately.
    pub(super) const fn oldest(&self) -> Option<K> {
        self.oldest
    }

    /// The one that was used last.
    pub(super) const fn newest(&self) -> Option<K> {
        self.newest
    }

    /// The one that was used last before this one.
    pub(super) fn older<V: Linked<K>>(items: &mut SlotMap<K, V>, key: K) -> Option<K> {
        match *items.get_mut(key)?.links() {
            Links::Out => None,
            Links::In { older, .. } => older,
        }
    }

    /// The one that was used next after this one.
    pub(super) fn newer<V: Linked<K>>(items: &mut SlotMap<K, V>, key: K) -> Option<K> {
        match *items.get_mut(key)?.links() {
            Links::Out => None,
            Links::In { newer, .. } => newer,
        }
    }

    /// It is used now.
    pub(super) fn touch<V: Linked<K>>(&mut self, items: &mut SlotMap<K, V>, key: K) {
        if self.newest == Some(key) || !items.contains_key(key) {
            return;
        }
        self.remove(items, key);
        let older = self.newest.replace(key);
        match older {
            Some(older) => set(items, older, |_, newer| *newer = Some(key)),
            None => self.oldest = Some(key),
        }
        if let Some(item) = items.get_mut(key) {
            *item.links() = Links::In { older, newer: None };
        }
    }

    /// It leaves the list, if it is there.
    pub(super) fn remove<V: Linked<K>>(&mut self, items: &mut SlotMap<K, V>, key: K) {
        let Some(item) = items.get_mut(key) else {
            return;
        };
        let Links::In { older, newer } = std::mem::replace(item.links(), Links::Out) else {
            return;
        };
        match older {
            Some(older) => set(items, older, |_, of_older| *of_older = newer),
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => set(items, newer, |of_newer, _| *of_newer = older),
            None => self.newest = older,
        }
    }
}

fn set<K: Key, V: Linked<K>>(
    items: &mut SlotMap<K, V>,
    key: K,
    change: impl FnOnce(&mut Option<K>, &mut Option<K>),
) {
    if let Some(item) = items.get_mut(key)
        && let Links::In { older, newer } = item.links()
    {
        change(older, newer);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use slotmap::DefaultKey;

    use super::*;

    struct Item(Links<DefaultKey>);

    impl Linked<DefaultKey> for Item {
        fn links(&mut self) -> &mut Links<DefaultKey> {
            &mut self.0
        }
    }

    proptest! {
        /// Against a list that is searched.
        #[test]
        fn it_is_the_order_of_use(steps in prop::collection::vec((0..8usize, any::<bool>()), 0..60)) {
            let mut items = SlotMap::new();
            let keys: Vec<DefaultKey> = (0..8).map(|_| items.insert(Item(Links::Out))).collect();
            let mut recency = Recency::new();
            let mut expected: Vec<DefaultKey> = Vec::new();
            for (place, used) in steps {
                let key = keys[place];
                expected.retain(|&other| other != key);
                if used {
                    expected.push(key);
                    recency.touch(&mut items, key);
                } else {
                    recency.remove(&mut items, key);
                }
                prop_assert_eq!(recency.oldest(), expected.first().copied());
                let mut found = Vec::new();
                let mut next = recency.newest();
                while let Some(key) = next {
                    found.insert(0, key);
                    next = Recency::older(&mut items, key);
                }
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}

//! Patterns, level by level, so that the ones that match a topic are found without looking at the
//! others.

use crate::hash::{Map, Seed};

/// Values by pattern. A topic's matches cost the nodes that its levels lead to, at most two for
/// each `*` among them.
#[derive(Debug)]
pub(super) struct Trie<V> {
    root: Node<V>,
    seed: Seed,
}

#[derive(Debug)]
struct Node<V> {
    /// Of the pattern that ends here.
    value: Option<V>,
    /// Of the pattern that goes on with `>`.
    rest: Option<V>,
    /// `*`.
    any: Option<Box<Self>>,
    named: Option<Map<Box<str>, Self>>,
}

impl<V> Trie<V> {
    pub(super) const fn new(seed: Seed) -> Self {
        Self {
            root: Node::new(),
            seed,
        }
    }

    /// The place of a pattern's value.
    pub(super) fn entry(&mut self, pattern: &str) -> &mut Option<V> {
        let mut node = &mut self.root;
        for level in pattern.split('.') {
            node = match level {
                ">" => return &mut node.rest,
                "*" => node.any.get_or_insert_with(|| Box::new(Node::new())),
                name => node
                    .named
                    .get_or_insert_with(|| Map::with_hasher(self.seed.clone()))
                    .entry_ref(name)
                    .or_insert_with(Node::new),
            };
        }
        &mut node.value
    }

    /// The value of a pattern.
    pub(super) fn get_mut(&mut self, pattern: &str) -> Option<&mut V> {
        let mut node = &mut self.root;
        for level in pattern.split('.') {
            node = match level {
                ">" => return node.rest.as_mut(),
                "*" => node.any.as_mut()?,
                name => node.named.as_mut()?.get_mut(name)?,
            };
        }
        node.value.as_mut()
    }

    /// Takes a pattern out.
    pub(super) fn remove(&mut self, pattern: &str) -> Option<V> {
        self.root.remove(pattern)
    }

    /// Keeps the values that `keep` wants.
    pub(super) fn retain(&mut self, keep: &mut impl FnMut(&mut V) -> bool) {
        self.root.retain(keep);
    }

    /// Calls `found` with the value of each pattern that matches.
    pub(super) fn matches<'a>(&'a self, topic: &str, found: &mut impl FnMut(&'a V)) {
        self.root.matches(topic, found);
    }
}

impl<V> Node<V> {
    const fn new() -> Self {
        Self {
            value: None,
            rest: None,
            any: None,
            named: None,
        }
    }

    fn is_empty(&self) -> bool {
        self.value.is_none() && self.rest.is_none() && self.any.is_none() && self.named.is_none()
    }

    fn remove(&mut self, pattern: &str) -> Option<V> {
        let (level, deeper) = match pattern.split_once('.') {
            Some((level, deeper)) => (level, Some(deeper)),
            None => (pattern, None),
        };
        if level == ">" {
            return self.rest.take();
        }
        let next = match level {
            "*" => self.any.as_deref_mut()?,
            name => self.named.as_mut()?.get_mut(name)?,
        };
        let value = match deeper {
            Some(deeper) => next.remove(deeper),
            None => next.value.take(),
        };
        if next.is_empty() {
            self.prune(level);
        }
        value
    }

    fn retain(&mut self, keep: &mut impl FnMut(&mut V) -> bool) {
        for place in [&mut self.value, &mut self.rest] {
            if place.as_mut().is_some_and(|value| !keep(value)) {
                *place = None;
            }
        }
        if let Some(any) = &mut self.any {
            any.retain(keep);
        }
        if self.any.as_ref().is_some_and(|any| any.is_empty()) {
            self.any = None;
        }
        if let Some(named) = &mut self.named {
            named.retain(|_, node| {
                node.retain(keep);
                !node.is_empty()
            });
        }
        if self.named.as_ref().is_some_and(Map::is_empty) {
            self.named = None;
        }
    }

    fn prune(&mut self, level: &str) {
        if level == "*" {
            self.any = None;
        } else if let Some(named) = &mut self.named {
            named.remove(level);
            if named.is_empty() {
                self.named = None;
            }
        }
    }

    fn matches<'a>(&'a self, topic: &str, found: &mut impl FnMut(&'a V)) {
        if let Some(value) = &self.rest {
            found(value);
        }
        let (level, deeper) = match topic.split_once('.') {
            Some((level, deeper)) => (level, Some(deeper)),
            None => (topic, None),
        };
        let named = self.named.as_ref().and_then(|named| named.get(level));
        for next in self.any.as_deref().into_iter().chain(named) {
            match (deeper, &next.value) {
                (Some(deeper), _) => next.matches(deeper, found),
                (None, Some(value)) => found(value),
                (None, None) => {}
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use corewire_protocol::native::{Subject, TopicName};
    use proptest::prelude::*;

    use super::*;

    fn level() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("a"), Just("b"), Just("*")]
    }

    /// Some pattern of up to three levels, with `>` behind them or not.
    pub(in crate::messaging) fn pattern() -> impl Strategy<Value = String> {
        (prop::collection::vec(level(), 1..4), any::<bool>()).prop_map(|(mut levels, rest)| {
            if rest {
                levels.push(">");
            }
            levels.join(".")
        })
    }

    proptest! {
        /// Against the definition, after any patterns have come and gone.
        #[test]
        fn finds_what_the_definition_says(
            patterns in prop::collection::vec((pattern(), any::<bool>()), 0..20),
            topic in prop::collection::vec(prop_oneof![Just("a"), Just("b")], 1..6),
        ) {
            let topic = topic.join(".");
            let mut trie = Trie::new(Seed::new(1));
            let mut kept: Vec<&str> = Vec::new();
            for (pattern, _) in &patterns {
                *trie.entry(pattern) = Some(pattern.clone());
            }
            for (pattern, stays) in &patterns {
                if *stays {
                    *trie.entry(pattern) = Some(pattern.clone());
                    kept.push(pattern);
                } else {
                    trie.remove(pattern);
                    kept.retain(|other| other != pattern);
                }
            }
            kept.sort_unstable();
            kept.dedup();
            let mut expected: Vec<&str> = kept
                .iter()
                .copied()
                .filter(|pattern| match Subject::parse(pattern) {
                    Ok(Subject::Pattern(pattern)) => pattern.matches(TopicName::parse(&topic).unwrap()),
                    Ok(Subject::Topic(name)) => name.as_str() == topic,
                    Err(_) => false,
                })
                .collect();
            let mut found: Vec<&str> = Vec::new();
            trie.matches(&topic, &mut |pattern: &String| found.push(pattern));
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
            for pattern in kept {
                prop_assert!(trie.get_mut(pattern).is_some());
                trie.remove(pattern);
            }
            prop_assert!(trie.root.is_empty(), "what is gone leaves nothing behind");
        }
    }
}

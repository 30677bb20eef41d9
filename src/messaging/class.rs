//! What becomes of a topic's messages: the classes of topics, and which topic has which.

use corewire_protocol::native::{Subject, TopicName};

use super::options::Options;
use super::patterns::overlap;

/// Rules in the configuration, at most: each topic is compared with all of them when it is made.
pub const TOPIC_RULES_MAX: usize = 64;

/// Whether a topic has a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Messages go to whoever is there, and are not kept.
    Volatile,
    /// The newest messages are kept, within the bounds of a [`History`].
    Logged,
}

/// How much of a logged topic is kept: what is over any of the bounds goes, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Messages.
    pub messages: usize,
    /// Bytes of their data, keys and tags.
    pub bytes: usize,
    /// Milliseconds since they were published.
    pub age_ms: u32,
}

/// The class of all topics that a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRule {
    /// A topic's name or a pattern, checked by whoever makes the rule: what is neither matches
    /// nothing.
    pub pattern: String,
    /// The class.
    pub class: Class,
    /// What is kept of each of these topics, if they are logged.
    pub history: History,
}

impl History {
    /// Nothing is kept.
    pub(super) const NONE: Self = Self {
        messages: 0,
        bytes: 0,
        age_ms: 0,
    };
}

impl TopicRule {
    /// Whether it is for a topic.
    fn matches(&self, topic: &str) -> bool {
        match (Subject::parse(&self.pattern), TopicName::parse(topic)) {
            (Ok(Subject::Pattern(pattern)), Ok(topic)) => pattern.matches(topic),
            (Ok(Subject::Topic(name)), Ok(topic)) => name == topic,
            (Err(_), _) | (_, Err(_)) => false,
        }
    }

    /// Whether it is for every topic that the other one is for.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        covers(&self.pattern, &other.pattern)
    }
}

/// Whether every topic that fits a pattern fits another one.
fn covers(one: &str, other: &str) -> bool {
    let (mut mine, mut theirs) = (one.split('.'), other.split('.'));
    loop {
        match (mine.next(), theirs.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(level)) if level != ">" => {}
            (Some(level), Some(same)) if level == same => {}
            (Some(_), Some(_)) | (Some(_), None) | (None, Some(_)) => return false,
        }
    }
}

/// The place of a class among those of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClassId(pub(super) u8);

/// All classes: one for each rule, in their order, and behind them the default.
#[derive(Debug)]
pub(super) struct Classes {
    rules: Vec<TopicRule>,
    histories: Vec<History>,
}

impl Classes {
    pub(super) fn new(options: &Options) -> Self {
        let rules: Vec<TopicRule> = options
            .topics
            .iter()
            .take(TOPIC_RULES_MAX)
            .cloned()
            .collect();
        let histories = rules
            .iter()
            .map(|rule| match rule.class {
                Class::Volatile => History::NONE,
                Class::Logged => rule.history,
            })
            .chain([options.history()])
            .collect();
        Self { rules, histories }
    }

    /// What is kept of the topics of each class, in the order of [`ClassId`].
    pub(super) fn histories(&self) -> &[History] {
        &self.histories
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.histories.len()
    }

    /// The places of the classes that topics of a pattern may have.
    pub(super) fn of_pattern(&self, pattern: &str) -> impl Iterator<Item = usize> {
        // Behind a rule that all of them fit, no other one counts.
        let last = self.rules.iter();
        let last = last.take_while(|rule| !covers(&rule.pattern, pattern));
        let last = last.count();
        (0..=last).filter(move |&place| {
            let rule = self.rules.get(place);
            rule.is_none_or(|rule| overlap(&rule.pattern, pattern))
        })
    }

    /// The class of a topic: that of the first rule that matches.
    pub(super) fn of(&self, topic: &str) -> (ClassId, Class) {
        let found = self.rules.iter().position(|rule| rule.matches(topic));
        let class = found.map_or(Class::Logged, |place| self.rules[place].class);
        let place = found.unwrap_or(self.rules.len());
        (ClassId(u8::try_from(place).unwrap_or(u8::MAX)), class)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::trie::tests::pattern;
    use super::*;

    fn rule(pattern: &str) -> TopicRule {
        TopicRule {
            pattern: pattern.to_owned(),
            class: Class::Volatile,
            history: History::NONE,
        }
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let mut logged = rule("a.*");
        logged.class = Class::Logged;
        logged.history.messages = 7;
        let options = Options {
            topics: vec![rule("a.b"), logged, rule("a.>")],
            ..Options::default()
        };
        let classes = Classes::new(&options);
        assert_eq!(classes.of("a.b"), (ClassId(0), Class::Volatile));
        assert_eq!(classes.of("a.c"), (ClassId(1), Class::Logged));
        assert_eq!(classes.of("a.c.d"), (ClassId(2), Class::Volatile));
        assert_eq!(classes.of("b"), (ClassId(3), Class::Logged));
        let kept: Vec<usize> = classes.histories().iter().map(|of| of.messages).collect();
        assert_eq!(kept, [0, 7, 0, options.history_messages]);
    }

    #[test]
    fn a_pattern_has_the_classes_that_its_topics_may_have() {
        let rules = ["a.x", "b.>", "a.*", "a.>", "c"].map(rule).to_vec();
        let options = Options {
            topics: rules,
            ..Options::default()
        };
        let classes = Classes::new(&options);
        let of = |pattern| classes.of_pattern(pattern).collect::<Vec<_>>();
        assert_eq!(of(">"), [0, 1, 2, 3, 4, 5]);
        assert_eq!(of("a.*"), [0, 2]);
        assert_eq!(of("a.>"), [0, 2, 3]);
        assert_eq!(of("a.b.*"), [3]);
        assert_eq!(of("b.*"), [1]);
        assert_eq!(of("*"), [4, 5]);
        assert_eq!(of("d.*"), [5]);
    }

    proptest! {
        /// Against all topics of up to four levels of three names.
        #[test]
        fn patterns_cover_each_other_or_overlap(one in pattern(), other in pattern()) {
            let (one, other) = (rule(&one), rule(&other));
            let mut topics = vec![String::new()];
            let mut all = Vec::new();
            for _ in 0..4 {
                topics = topics
                    .iter()
                    .flat_map(|before| ["a", "b", "c"].map(|level| match before.as_str() {
                        "" => level.to_owned(),
                        before => format!("{before}.{level}"),
                    }))
                    .collect();
                all.extend(topics.iter().cloned());
            }
            let has_all = all.iter().all(|topic| !other.matches(topic) || one.matches(topic));
            prop_assert_eq!(one.covers(&other), has_all);
            let has_any = all.iter().any(|topic| other.matches(topic) && one.matches(topic));
            prop_assert_eq!(overlap(&one.pattern, &other.pattern), has_any);
        }
    }
}

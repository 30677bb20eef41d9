//! The classes of topics: `[[topics]]` in the file.
//!
//! Each of these tables is a rule for the topics that its `match` fits. The first one that fits
//! counts, so their order means something, and a rule that an earlier one leaves no topic to is
//! refused. What a rule does not say of history is what the settings of `[messaging]` say.

use corewire_protocol::native::Subject;

use super::draft::Draft;
use super::given::Given;
use super::nearest;
use super::problem::{Fault, Source};
use super::settings;
use crate::messaging::{Class, History, TOPIC_RULES_MAX, TopicRule};

/// A rule as it stands in the file.
#[derive(Debug, Clone)]
pub(super) struct GivenRule {
    /// Where it begins.
    pub(super) line: usize,
    /// Its keys, each with its line.
    pub(super) keys: Vec<(usize, String, Given)>,
}

/// A rule in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRow {
    /// The rule.
    pub rule: TopicRule,
    /// Where it stands.
    pub source: Source,
}

const MATCH: &str = "match";
const CLASS: &str = "class";
const HISTORY_MESSAGES: &str = "history_messages";
const HISTORY_BYTES: &str = "history_bytes";
const HISTORY_AGE_MS: &str = "history_age_ms";
const KEYS: [&str; 5] = [
    MATCH,
    CLASS,
    HISTORY_MESSAGES,
    HISTORY_BYTES,
    HISTORY_AGE_MS,
];

impl RuleRow {
    /// The class and its history, as it could be written.
    #[must_use]
    pub fn value(&self) -> String {
        let history = self.rule.history;
        let shown = |key: &str| {
            let mut draft = Draft::default();
            draft.messaging.history_messages = history.messages;
            draft.messaging.history_bytes = history.bytes;
            draft.messaging.history_age_ms = history.age_ms;
            settings::find(&format!("messaging.{key}"))
                .map_or_else(String::new, |setting| setting.show(&mut draft))
        };
        match self.rule.class {
            Class::Volatile => "volatile".to_owned(),
            Class::Logged => format!(
                "logged, {} messages, {}, {}",
                shown(HISTORY_MESSAGES),
                shown(HISTORY_BYTES),
                shown(HISTORY_AGE_MS)
            ),
        }
    }
}

/// All rules, and what is wrong with them. `draft` has the settings that fill what they leave
/// open, `place` says where a line is.
pub(super) fn rules(
    given: &[GivenRule],
    draft: &Draft,
    place: &dyn Fn(usize) -> Source,
) -> Result<Vec<RuleRow>, Vec<(Source, Fault)>> {
    let mut rows: Vec<RuleRow> = Vec::new();
    let mut faults = Vec::new();
    for one in given {
        let rule = match rule(one, draft) {
            Ok(rule) => rule,
            Err(of_rule) => {
                let of_rule = of_rule.into_iter();
                faults.extend(of_rule.map(|(line, fault)| (place(line), fault)));
                continue;
            }
        };
        let source = place(one.line);
        if let Some(before) = rows.iter().find(|before| before.rule.covers(&rule)) {
            let fault = Fault::Unreachable {
                pattern: rule.pattern,
                before: before.rule.pattern.clone(),
                source: before.source.clone(),
            };
            faults.push((source, fault));
        } else if rows.len() == TOPIC_RULES_MAX {
            faults.push((source, Fault::TooManyRules));
            break;
        } else {
            rows.push(RuleRow { rule, source });
        }
    }
    if faults.is_empty() {
        Ok(rows)
    } else {
        Err(faults)
    }
}

fn rule(given: &GivenRule, draft: &Draft) -> Result<TopicRule, Vec<(usize, Fault)>> {
    let mut faults = Vec::new();
    let mut draft = draft.clone();
    let mut pattern = None;
    let mut class = Class::Logged;
    let mut of_history = None;
    for (line, key, given) in &given.keys {
        let result = match key.as_str() {
            MATCH => checked_pattern(given).map(|text| pattern = Some(text)),
            CLASS => checked_class(given).map(|of_rule| class = of_rule),
            HISTORY_MESSAGES | HISTORY_BYTES | HISTORY_AGE_MS => {
                of_history.get_or_insert((*line, key));
                history(&mut draft, key, given)
            }
            unknown => Err(Box::new(Fault::UnknownKey {
                table: Some("[topics]".to_owned()),
                key: unknown.to_owned(),
                hint: nearest::among(unknown, &KEYS),
            })),
        };
        faults.extend(result.err().map(|fault| (*line, *fault)));
    }
    if pattern.is_none() && !given.keys.iter().any(|(_, key, _)| key == MATCH) {
        faults.push((given.line, Fault::NoMatch));
    }
    if let (Class::Volatile, Some((line, key))) = (class, of_history) {
        faults.push((line, Fault::NothingKept { key: key.clone() }));
    }
    match pattern {
        Some(pattern) if faults.is_empty() => Ok(TopicRule {
            pattern,
            class,
            history: History {
                messages: draft.messaging.history_messages,
                bytes: draft.messaging.history_bytes,
                age_ms: draft.messaging.history_age_ms,
            },
        }),
        Some(_) | None => Err(faults),
    }
}

fn checked_pattern(given: &Given) -> Result<String, Box<Fault>> {
    let refused = |remedy: String| {
        Box::new(Fault::Refused {
            setting: "topics.match",
            given: given.clone(),
            remedy,
        })
    };
    let example = || "write a topic or a pattern, such as \"chat.>\"".to_owned();
    let text = given.text().ok_or_else(|| refused(example()))?;
    Subject::parse(text).map_err(|error| refused(error.to_string()))?;
    Ok(text.to_owned())
}

fn checked_class(given: &Given) -> Result<Class, Box<Fault>> {
    match given.text() {
        Some("volatile") => Ok(Class::Volatile),
        Some("logged") => Ok(Class::Logged),
        Some(_) | None => Err(Box::new(Fault::Refused {
            setting: "topics.class",
            given: given.clone(),
            remedy: "write logged or volatile".to_owned(),
        })),
    }
}

/// The bounds of a rule are those of the settings that it overrules.
fn history(draft: &mut Draft, key: &str, given: &Given) -> Result<(), Box<Fault>> {
    let Some(setting) = settings::find(&format!("messaging.{key}")) else {
        return Ok(());
    };
    let nothing = if matches!(given, Given::Integer(0)) {
        "; where nothing is to be kept: class = \"volatile\""
    } else {
        ""
    };
    setting.set(draft, given).map_err(|refusal| {
        Box::new(Fault::Refused {
            setting: match key {
                HISTORY_MESSAGES => "topics.history_messages",
                HISTORY_BYTES => "topics.history_bytes",
                _ => "topics.history_age_ms",
            },
            given: refusal.given,
            remedy: refusal.remedy + nothing,
        })
    })
}

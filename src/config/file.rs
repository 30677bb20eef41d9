//! The configuration file: TOML whose tables and keys are those of the table of settings.
//!
//! The parser says where every key stands, so every problem has its line, and it goes on after an
//! error, so one slip does not hide the next.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::given::Given;
use super::nearest;
use super::problem::Fault;
use super::setting::Setting;
use super::settings;
use super::topics::GivenRule;

/// The name of the tables that are rules for topics.
const RULES: &str = "topics";

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) assignments: Vec<Assignment>,
    /// The classes of topics.
    pub(super) rules: Vec<GivenRule>,
    /// What is wrong, with the line.
    pub(super) faults: Vec<(usize, Fault)>,
}

/// A value for a setting.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) line: usize,
    pub(super) setting: &'static Setting,
    pub(super) given: Given,
}

impl File {
    /// Reads all of it.
    pub(super) fn parse(text: &str) -> Self {
        let mut file = Self::default();
        let (tables, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let line = line(text, error.span().map_or(0, |span| span.start));
            let fault = Fault::Syntax(error.message().replace('\n', ", "));
            file.faults.push((line, fault));
        }
        // What follows on the same line is the same slip.
        file.faults.sort_by_key(|(line, _)| *line);
        file.faults.dedup_by_key(|(line, _)| *line);
        // What a slip has left of the tables may say anything.
        if errors.is_empty() {
            for (name, content) in tables.get_ref() {
                file.read_table(text, name, content);
            }
        }
        file
    }

    fn read_table(
        &mut self,
        text: &str,
        name: &Spanned<impl AsRef<str>>,
        content: &Spanned<DeValue<'_>>,
    ) {
        let at = line(text, name.span().start);
        let name = name.get_ref().as_ref();
        if name == RULES {
            return self.read_rules(text, at, content.get_ref());
        }
        let known = settings::table(name);
        match (known, content.get_ref()) {
            (Some(table), DeValue::Table(keys)) => {
                for (key, value) in keys {
                    self.read_key(text, table, key, value);
                }
            }
            (Some(name), other) => {
                let given = given(other);
                self.faults.push((at, Fault::NotATable { name, given }));
            }
            (None, DeValue::Table(_)) => {
                let hint = nearest::table(name);
                let name = name.to_owned();
                self.faults.push((at, Fault::UnknownTable { name, hint }));
            }
            (None, _) => {
                let hint = nearest::key(name, None);
                let (table, key) = (None, name.to_owned());
                self.faults
                    .push((at, Fault::UnknownKey { table, key, hint }));
            }
        }
    }

    fn read_rules(&mut self, text: &str, at: usize, content: &DeValue<'_>) {
        let fault = |other| Fault::NotRules {
            given: given(other),
        };
        let DeValue::Array(rules) = content else {
            return self.faults.push((at, fault(content)));
        };
        for rule in rules {
            let DeValue::Table(keys) = rule.get_ref() else {
                self.faults.push((at, fault(rule.get_ref())));
                continue;
            };
            let keys = keys.iter().map(|(key, value)| {
                let line = line(text, key.span().start);
                let key: &str = key.get_ref().as_ref();
                (line, key.to_owned(), given(value.get_ref()))
            });
            self.rules.push(GivenRule {
                line: line(text, rule.span().start),
                keys: keys.collect(),
            });
        }
    }

    fn read_key(
        &mut self,
        text: &str,
        table: &str,
        key: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let line = line(text, key.span().start);
        let key = key.get_ref().as_ref();
        match settings::find(&format!("{table}.{key}")) {
            Some(setting) => self.assignments.push(Assignment {
                line,
                setting,
                given: given(value.get_ref()),
            }),
            None => {
                let hint = nearest::key(key, Some(table));
                let (table, key) = (Some(table.to_owned()), key.to_owned());
                self.faults
                    .push((line, Fault::UnknownKey { table, key, hint }));
            }
        }
    }
}

fn given(value: &DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Given::Other("a number of that size"), Given::Integer),
        DeValue::Float(_) => Given::Other("a number with a fraction"),
        DeValue::Boolean(on) => Given::Switch(*on),
        DeValue::Datetime(_) => Given::Other("a date"),
        DeValue::Array(items) => {
            Given::List(items.iter().map(|item| given(item.get_ref())).collect())
        }
        DeValue::Table(_) => Given::Other("a table"),
    }
}

/// The line of a byte, counted from 1.
pub(super) fn line(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}

//! The settings of `corewire serve`: flag over environment over file over default.
//!
//! [`SETTINGS`] is the one table of them. [`load`] goes through the sources from the weakest to
//! the strongest, puts every value in its place and remembers where it came from, so that
//! `corewire check` and every error can say so. It finds all problems before it gives up, and
//! a value that is refused is a problem also where a stronger source has a good one.
//!
//! No file but this one reads the environment of the process.

mod access;
mod address;
mod conflict;
mod draft;
mod file;
mod given;
mod nearest;
mod problem;
mod quantity;
mod setting;
mod settings;
mod topics;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use tracing::Level;

pub use problem::{Problem, Problems, Source};
pub use setting::Setting;
pub use settings::SETTINGS;
pub use topics::RuleRow;

use crate::messaging::{self, Identity};
use crate::server;
use draft::Draft;
use file::File;
use given::Given;
use problem::Fault;
use setting::Refusal;
use topics::GivenRule;

/// The environment variable that names the configuration file where `--config` does not.
pub const CONFIG_VARIABLE: &str = "COREWIRE_CONFIG";

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What steers the server.
    pub server: server::Options,
    /// What steers topics.
    pub messaging: messaging::Options,
    /// How the server learns who its clients are.
    pub identity: Identity,
    /// What is logged.
    pub log: Level,
}

/// Settings, and where each of them came from.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// What to run with.
    pub settings: Settings,
    /// One row for each of [`SETTINGS`], in their order.
    pub rows: Vec<Row>,
    /// The classes of topics, in their order: the first rule that fits a topic counts.
    pub rules: Vec<RuleRow>,
}

/// A setting in force.
#[derive(Debug, Clone)]
pub struct Row {
    /// Which one.
    pub setting: &'static Setting,
    /// Its value, as it would be written.
    pub value: String,
    /// Who set it.
    pub source: Source,
}

/// Reads all sources: the file, or the one that [`CONFIG_VARIABLE`] names; the environment, where
/// a variable that is empty counts as not set; and the values of the flags, which are asked for
/// without their dashes.
///
/// # Errors
///
/// Everything that is wrong with them.
pub fn load(
    file: Option<&Path>,
    environment: &dyn Fn(&str) -> Option<OsString>,
    flags: &dyn Fn(&str) -> Option<Vec<String>>,
) -> Result<Configuration, Problems> {
    let environment = |name: &str| environment(name).filter(|value| !value.is_empty());
    let mut loader = Loader::default();
    match (file, environment(CONFIG_VARIABLE)) {
        (Some(path), _) => loader.read_file(path, ""),
        (None, Some(path)) => loader.read_file(Path::new(&path), "; COREWIRE_CONFIG names it"),
        (None, None) => {}
    }
    for setting in SETTINGS {
        if let Some(name) = setting.variable()
            && let Some(value) = environment(&name)
        {
            loader.read_variable(setting, name, value);
        }
    }
    for setting in SETTINGS {
        if let Some(flag) = setting.flag
            && let Some(values) = flags(flag)
        {
            let given = Given::Word(values.join(","));
            loader.set(setting, &given, Source::Flag(flag));
        }
    }
    loader.finish()
}

/// A variable of the environment of this process, to be handed to [`load`].
#[must_use]
pub fn process_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The settings so far, who set them, and what was wrong.
#[derive(Default)]
struct Loader {
    draft: Draft,
    /// By the names of the settings; those that nobody set are not here.
    set_by: BTreeMap<&'static str, Source>,
    /// The classes of topics, and the file that they stand in.
    rules: Vec<GivenRule>,
    rules_in: Option<PathBuf>,
    refused: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl Loader {
    fn read_file(&mut self, path: &Path, named_by: &str) {
        let place = |line| Source::File {
            path: path.to_owned(),
            line,
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let fault = Fault::Unreadable(format!("{error}{named_by}"));
                return self.complain(place(None), fault);
            }
        };
        let file = File::parse(&text);
        for (line, fault) in file.faults {
            self.complain(place(Some(line)), fault);
        }
        self.rules_in = Some(path.to_owned());
        self.rules = file.rules;
        for assignment in file.assignments {
            let source = place(Some(assignment.line));
            self.set(assignment.setting, &assignment.given, source);
        }
        // A person reads a file from the top.
        self.problems
            .sort_by(|one, other| one.source.cmp(&other.source));
    }

    fn read_variable(&mut self, setting: &'static Setting, name: String, value: OsString) {
        let source = Source::Environment(name);
        match value.into_string() {
            Ok(value) => self.set(setting, &Given::Word(value), source),
            Err(_) => self.complain(source, Fault::NotUtf8),
        }
    }

    fn set(&mut self, setting: &'static Setting, given: &Given, source: Source) {
        match setting.set(&mut self.draft, given) {
            Ok(()) => {
                self.set_by.insert(setting.name, source);
            }
            Err(Refusal { given, remedy }) => {
                let setting = setting.name;
                self.refused.push(setting);
                let fault = Fault::Refused {
                    setting,
                    given,
                    remedy,
                };
                self.complain(source, fault);
            }
        }
    }

    fn complain(&mut self, source: Source, fault: Fault) {
        self.problems.push(Problem { source, fault });
    }

    fn finish(mut self) -> Result<Configuration, Problems> {
        let set_by = |name: &str| self.set_by.get(name).cloned().unwrap_or(Source::Default);
        for (source, fault) in conflict::find(&mut self.draft, &set_by, &self.refused) {
            self.problems.push(Problem { source, fault });
        }
        let identity = access::identity(&self.draft, &set_by).unwrap_or_else(|problem| {
            self.problems.push(*problem);
            Identity::Anonymous
        });
        let place = |line| Source::File {
            path: self.rules_in.clone().unwrap_or_default(),
            line: Some(line),
        };
        let rules = topics::rules(&self.rules, &self.draft, &place).unwrap_or_else(|faults| {
            let problems = faults.into_iter();
            let problem = |(source, fault)| Problem { source, fault };
            self.problems.extend(problems.map(problem));
            Vec::new()
        });
        self.draft.messaging.topics = rules.iter().map(|row| row.rule.clone()).collect();
        if !self.problems.is_empty() {
            // A person reads a file from the top.
            self.problems
                .sort_by(|one, other| one.source.cmp(&other.source));
            return Err(Problems(self.problems));
        }
        let rows = SETTINGS.iter().map(|setting| Row {
            setting,
            value: setting.show(&mut self.draft),
            source: set_by(setting.name),
        });
        let rows = rows.collect();
        Ok(Configuration {
            settings: self.draft.finish(identity),
            rows,
            rules,
        })
    }
}

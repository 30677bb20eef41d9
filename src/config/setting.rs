//! One setting: everything that the file, the flags, `corewire check` and the document know of it.
//!
//! A [`Setting`] knows its place in the options, so what it is by default, what may be given and
//! how that is written are all read from here, and nowhere is there a second list.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use corewire_protocol::deflate::{DEFLATE_LEVEL, Encoder};
use corewire_protocol::handshake::OriginPolicy;
use tracing::Level;

use super::address;
use super::draft::{DeflateMode, Draft};
use super::given::Given;
use super::quantity::Unit;
use crate::server::CORES_MAX;

/// A row of [`SETTINGS`](super::SETTINGS).
#[derive(Debug)]
pub struct Setting {
    /// The table and the key of the file, such as `limits.message_bytes`. The key is the name of
    /// the field in the options, so that there is one vocabulary.
    pub name: &'static str,
    /// The flag of `corewire serve`, without its dashes. It carries no unit in its name, because
    /// its value does.
    pub flag: Option<&'static str>,
    /// What it is, in a sentence.
    pub meaning: &'static str,
    /// What happens when it is reached, in a few words.
    pub at_limit: &'static str,
    pub(super) kind: Kind,
}

/// What a setting can be.
#[derive(Debug)]
pub(super) enum Kind {
    /// A number in a range.
    Number {
        unit: Unit,
        allowed: RangeInclusive<u64>,
        place: fn(&mut Draft) -> Place<'_>,
    },
    /// `server.listen`.
    Listen,
    /// `server.cores`.
    Cores,
    /// `server.allow_origin`.
    AllowOrigin,
    /// Yes or no.
    Switch(fn(&mut Draft) -> &mut bool),
    /// `messaging.token_key_file`.
    TokenKeyFile,
    /// `deflate.mode`.
    DeflateMode,
    /// `deflate.codec`.
    DeflateCodec,
    /// `log.level`.
    LogLevel,
}

/// Where a number stands in the options.
#[derive(Debug)]
pub(super) enum Place<'a> {
    U32(&'a mut u32),
    Usize(&'a mut usize),
}

/// A value that a setting cannot have.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The value, or the item of a list.
    pub(super) given: Given,
    /// What to do instead.
    pub(super) remedy: String,
}

/// How `server.cores` is left to the machine.
const AUTO: &str = "auto";
/// How the default of `server.allow_origin` is shown.
const SAME_ORIGIN: &str = "same origin";

/// How the default of `messaging.token_key_file` is shown.
const NO_FILE: &str = "none";

const SWITCH: [(&str, bool); 2] = [("true", true), ("false", false)];

const DEFLATE_MODES: [(&str, DeflateMode); 3] = [
    ("off", DeflateMode::Off),
    ("shared", DeflateMode::Shared),
    ("takeover", DeflateMode::Takeover),
];

const DEFLATE_CODECS: [(&str, Encoder); 2] = [
    ("flate2", Encoder::Flate2(DEFLATE_LEVEL)),
    ("compact", Encoder::Compact),
];

const LOG_LEVELS: [(&str, Level); 5] = [
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

impl Setting {
    /// The table of the file.
    #[must_use]
    pub fn table(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(table, _)| table)
    }

    /// The key in that table.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, key)| key)
    }

    /// The environment variable, where there is a flag.
    #[must_use]
    pub fn variable(&self) -> Option<String> {
        let flag = self.flag?;
        let words = flag.to_ascii_uppercase().replace('-', "_");
        Some(format!("COREWIRE_{words}"))
    }

    /// What it is when nobody sets it.
    #[must_use]
    pub fn default_value(&self) -> String {
        self.show(&mut Draft::default())
    }

    /// Whether it is yes or no: its flag alone says yes.
    #[must_use]
    pub const fn is_switch(&self) -> bool {
        matches!(self.kind, Kind::Switch(_))
    }

    /// Whether it is a list of values.
    #[must_use]
    pub const fn is_list(&self) -> bool {
        matches!(self.kind, Kind::Listen | Kind::AllowOrigin)
    }

    /// What stands for its value in a help text.
    #[must_use]
    pub const fn placeholder(&self) -> &'static str {
        match self.kind {
            Kind::Number { unit, .. } => match unit {
                Unit::Bytes => "SIZE",
                Unit::Milliseconds => "TIME",
                Unit::Count => "N",
            },
            Kind::Listen => "ADDR",
            Kind::Cores => "N",
            Kind::AllowOrigin => "ORIGIN",
            Kind::Switch(_) => "true|false",
            Kind::TokenKeyFile => "FILE",
            Kind::DeflateMode => "MODE",
            Kind::DeflateCodec => "CODEC",
            Kind::LogLevel => "LEVEL",
        }
    }

    /// What may be given.
    #[must_use]
    pub fn allowed(&self) -> String {
        match &self.kind {
            Kind::Number { unit, allowed, .. } => {
                let (least, most) = (unit.show(*allowed.start()), unit.show(*allowed.end()));
                match unit {
                    Unit::Milliseconds if *allowed.start() == 0 => {
                        format!("{least} or up to {most}")
                    }
                    Unit::Milliseconds | Unit::Bytes | Unit::Count => format!("{least} to {most}"),
                }
            }
            Kind::Listen => "address:port".to_owned(),
            Kind::Cores => format!("1 to {CORES_MAX}, or {AUTO}"),
            Kind::AllowOrigin => "scheme://host[:port], or *".to_owned(),
            Kind::Switch(_) => words(&SWITCH),
            Kind::TokenKeyFile => "a path".to_owned(),
            Kind::DeflateMode => words(&DEFLATE_MODES),
            Kind::DeflateCodec => words(&DEFLATE_CODECS),
            Kind::LogLevel => words(&LOG_LEVELS),
        }
    }

    /// Puts what was given in its place.
    pub(super) fn set(&self, draft: &mut Draft, given: &Given) -> Result<(), Refusal> {
        let refused = || Refusal::new(given, &format!("write {}", self.allowed()));
        match &self.kind {
            Kind::Number {
                unit,
                allowed,
                place,
            } => match number(*unit, given).filter(|number| allowed.contains(number)) {
                Some(number) => place(draft).put(number),
                None => {
                    let remedy = format!("write {}{}", self.allowed(), unit.example());
                    return Err(Refusal::new(given, &remedy));
                }
            },
            Kind::Listen => draft.server.listen = listen(given)?,
            Kind::Cores => {
                let auto = given.text() == Some(AUTO);
                let cores = number(Unit::Count, given).and_then(|n| usize::try_from(n).ok());
                draft.server.cores = match cores {
                    Some(cores @ 1..=CORES_MAX) => Some(cores),
                    None if auto => None,
                    Some(_) | None => return Err(refused()),
                };
            }
            Kind::AllowOrigin => draft.server.engine.origins = origins(given)?,
            Kind::Switch(place) => {
                let on = if let Given::Switch(on) = given {
                    Some(*on)
                } else {
                    choice(&SWITCH, given)
                };
                *place(draft) = on.ok_or_else(refused)?;
            }
            Kind::TokenKeyFile => {
                let path = given.text().ok_or_else(refused)?;
                draft.access.token_key_file = Some(path.into());
            }
            Kind::DeflateMode => {
                draft.deflate = choice(&DEFLATE_MODES, given).ok_or_else(refused)?;
            }
            Kind::DeflateCodec => {
                let codec = choice(&DEFLATE_CODECS, given).ok_or_else(refused)?;
                draft.engine().deflate_codec = codec;
            }
            Kind::LogLevel => draft.log = choice(&LOG_LEVELS, given).ok_or_else(refused)?,
        }
        Ok(())
    }

    /// What stands in its place, as it would be written. Changes nothing: one accessor serves both
    /// ways.
    pub(super) fn show(&self, draft: &mut Draft) -> String {
        match &self.kind {
            Kind::Number { unit, place, .. } => unit.show(place(draft).number()),
            Kind::Listen => list(&draft.server.listen),
            Kind::Cores => match draft.server.cores {
                Some(cores) => cores.to_string(),
                None => AUTO.to_owned(),
            },
            Kind::AllowOrigin => match &draft.server.engine.origins {
                OriginPolicy::SameOrigin => SAME_ORIGIN.to_owned(),
                OriginPolicy::List(patterns) => list(patterns),
                OriginPolicy::Any => "*".to_owned(),
            },
            Kind::Switch(place) => word(&SWITCH, *place(draft)).to_owned(),
            Kind::TokenKeyFile => match &draft.access.token_key_file {
                Some(path) => path.display().to_string(),
                None => NO_FILE.to_owned(),
            },
            Kind::DeflateMode => word(&DEFLATE_MODES, draft.deflate).to_owned(),
            Kind::DeflateCodec => word(&DEFLATE_CODECS, draft.engine().deflate_codec).to_owned(),
            Kind::LogLevel => word(&LOG_LEVELS, draft.log).to_owned(),
        }
    }

    /// The number that stands in its place, where it is one.
    pub(super) fn number(&self, draft: &mut Draft) -> Option<u64> {
        match &self.kind {
            Kind::Number { place, .. } => Some(place(draft).number()),
            Kind::Listen
            | Kind::Cores
            | Kind::AllowOrigin
            | Kind::Switch(_)
            | Kind::TokenKeyFile
            | Kind::DeflateMode
            | Kind::DeflateCodec
            | Kind::LogLevel => None,
        }
    }
}

impl Refusal {
    fn new(given: &Given, remedy: &dyn Display) -> Self {
        Self {
            given: given.clone(),
            remedy: remedy.to_string(),
        }
    }
}

impl Place<'_> {
    /// What is allowed fits; where a word is narrower than that, its largest number does.
    fn put(self, number: u64) {
        match self {
            Self::U32(place) => *place = u32::try_from(number).unwrap_or(u32::MAX),
            Self::Usize(place) => *place = usize::try_from(number).unwrap_or(usize::MAX),
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::U32(place) => u64::from(*place),
            Self::Usize(place) => u64::try_from(*place).unwrap_or(u64::MAX),
        }
    }
}

/// A bare number of the file has the unit of its key, a text says its own.
fn number(unit: Unit, given: &Given) -> Option<u64> {
    match given {
        Given::Word(text) | Given::Text(text) => unit.parse(text),
        Given::Integer(number) => u64::try_from(*number).ok(),
        Given::Switch(_) | Given::List(_) | Given::Other(_) => None,
    }
}

fn listen(given: &Given) -> Result<Vec<SocketAddr>, Refusal> {
    const EXAMPLE: &str = "write an address and a port, such as \"127.0.0.1:9001\"";
    let mut listen = Vec::new();
    for item in given.items() {
        let text = item.text().ok_or_else(|| Refusal::new(&item, &EXAMPLE))?;
        let address = address::parse(text).map_err(|error| Refusal::new(&item, &error))?;
        if address.port() != 0 && listen.contains(&address) {
            return Err(Refusal::new(&item, &"it stands twice: leave one out"));
        }
        listen.push(address);
    }
    if listen.is_empty() {
        return Err(Refusal::new(given, &EXAMPLE));
    }
    Ok(listen)
}

fn origins(given: &Given) -> Result<OriginPolicy, Refusal> {
    let mut texts = Vec::new();
    for item in given.items() {
        let example = "write an origin, such as \"https://example.com\"";
        let text = item.text().ok_or_else(|| Refusal::new(&item, &example))?;
        // One by one, so that the bad one can be named.
        OriginPolicy::from_arguments(&[text]).map_err(|error| Refusal::new(&item, &error))?;
        texts.push(text.to_owned());
    }
    OriginPolicy::from_arguments(&texts).map_err(|error| Refusal::new(given, &error))
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(T::to_string).collect();
    items.join(", ")
}

fn choice<T: Copy>(choices: &[(&str, T)], given: &Given) -> Option<T> {
    let text = given.text()?;
    let chosen = choices.iter().find(|(word, _)| *word == text);
    chosen.map(|(_, choice)| *choice)
}

fn word<T: Copy + PartialEq>(choices: &[(&'static str, T)], chosen: T) -> &'static str {
    let found = choices.iter().find(|(_, choice)| *choice == chosen);
    found.map_or("", |(word, _)| word)
}

fn words<T>(choices: &[(&str, T)]) -> String {
    let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
    let (last, rest) = words.split_last().expect("there is always a choice");
    format!("{} or {last}", rest.join(", "))
}

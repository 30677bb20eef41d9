//! The table says what the options are.

use std::collections::BTreeSet;

use super::{Draft, Kind, SETTINGS, Setting};
use crate::config::given::Given;

#[test]
fn no_name_stands_twice() {
    let names: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    assert_eq!(names.len(), SETTINGS.len());
    let flags = SETTINGS.iter().filter_map(|setting| setting.flag);
    let different: BTreeSet<_> = flags.clone().collect();
    assert_eq!(different.len(), flags.count());
}

#[test]
fn every_number_of_the_options_can_be_set() {
    for line in lines(&Draft::default()) {
        if let Some((field, value)) = line.split_once(": ")
            && value.starts_with(|first: char| first.is_ascii_digit())
        {
            let known = SETTINGS.iter().any(|setting| setting.key() == field);
            assert!(known, "{field} is in the options and not in the table");
        }
    }
}

#[test]
fn a_number_reaches_its_own_field_and_no_other() {
    for (setting, least, most) in numbers() {
        let mut draft = Draft::default();
        let changed = match setting.number(&mut draft) {
            Some(default) if default == least => most,
            Some(_) | None => least,
        };
        let before = lines(&draft);
        set(setting, &mut draft, i128::from(changed)).unwrap();
        let after = lines(&draft);
        let mut differences = after.iter().filter(|line| !before.contains(line));
        let expected = format!("{}: {changed},", setting.key());
        assert_eq!(differences.next(), Some(&expected));
        assert_eq!(differences.next(), None, "{}", setting.name);
    }
}

#[test]
fn a_number_has_its_bounds_and_none_beyond() {
    for (setting, least, most) in numbers() {
        let (least, most) = (i128::from(least), i128::from(most));
        let set = |number| set(setting, &mut Draft::default(), number);
        assert_eq!(set(least), Ok(()));
        assert_eq!(set(most), Ok(()));
        assert!(set(least - 1).is_err(), "{}", setting.name);
        assert!(set(most + 1).is_err(), "{}", setting.name);
    }
}

#[test]
fn a_default_is_shown_as_it_could_be_written() {
    // "none" would be a file of that name.
    let written = |setting: &&Setting| !matches!(setting.kind, Kind::TokenKeyFile);
    for setting in SETTINGS.iter().filter(written) {
        let mut draft = Draft::default();
        let shown = Given::Text(setting.default_value());
        match setting.set(&mut draft, &shown) {
            Ok(()) => assert_eq!(lines(&draft), lines(&Draft::default())),
            Err(_) => assert_eq!(setting.name, "server.allow_origin"),
        }
    }
}

fn numbers() -> impl Iterator<Item = (&'static Setting, u64, u64)> {
    SETTINGS.iter().filter_map(|setting| match &setting.kind {
        Kind::Number { allowed, .. } => Some((setting, *allowed.start(), *allowed.end())),
        Kind::Listen
        | Kind::Cores
        | Kind::AllowOrigin
        | Kind::Switch(_)
        | Kind::TokenKeyFile
        | Kind::DeflateMode
        | Kind::DeflateCodec
        | Kind::LogLevel => None,
    })
}

fn set(setting: &Setting, draft: &mut Draft, number: i128) -> Result<(), String> {
    let given = Given::Integer(number);
    setting.set(draft, &given).map_err(|refusal| refusal.remedy)
}

/// The fields, one a line.
fn lines(draft: &Draft) -> Vec<String> {
    let text = format!("{draft:#?}");
    text.lines().map(|line| line.trim().to_owned()).collect()
}

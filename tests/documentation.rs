//! docs/configuration.md says what the table of settings says.

use std::fs;
use std::path::{Path, PathBuf};

use corewire::config::{self, SETTINGS, Setting, Source};

const BEGIN: &str = "<!-- begin: the table of settings; a test writes it -->\n";
const END: &str = "<!-- end -->\n";

/// Rewrites the tables where they differ, so that only the commit is left to do.
#[test]
fn the_document_lists_every_setting() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = [before, BEGIN, &tables(), END, after].concat();
    if text != expected {
        fs::write(&path, expected).unwrap();
        panic!("docs/configuration.md was behind the table of settings and has been rewritten");
    }
}

#[test]
fn the_files_of_the_document_are_sound() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = fs::read_to_string(&path).unwrap();
    let examples = text.split("```toml\n").skip(1);
    let mut count = 0;
    for example in examples {
        let (example, _) = example.split_once("```").unwrap();
        let configuration =
            config::load(Some(&write("example", example)), &|_| None, &|_| None).unwrap();
        assert!(
            configuration
                .rows
                .iter()
                .any(|row| row.source != Source::Default)
        );
        count += 1;
    }
    assert!(count > 0);
}

fn tables() -> String {
    let mut text = String::new();
    let mut table = "";
    for setting in SETTINGS {
        if setting.table() != table {
            table = setting.table();
            text += &format!(
                "\n### `[{table}]`\n\n| Key, flag, variable | Default | Allowed | What it is | \
                 When it is reached |\n|---|---|---|---|---|\n"
            );
        }
        text += &row(setting);
    }
    text + "\n"
}

fn row(setting: &Setting) -> String {
    let mut names = format!("`{}`", setting.key());
    if let (Some(flag), Some(variable)) = (setting.flag, setting.variable()) {
        names += &format!("<br>`--{flag}`<br>`{variable}`");
    }
    format!(
        "| {names} | {} | {} | {} | {} |\n",
        setting.default_value(),
        setting.allowed(),
        setting.meaning,
        setting.at_limit,
    )
}

fn write(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.toml"));
    fs::write(&path, text).expect("the directory is there");
    path
}

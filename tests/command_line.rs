//! The `corewire` command as its users meet it: what it prints, and how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use corewire::config::SETTINGS;
use corewire::server::{connections_possible, raise_descriptor_limit};

#[test]
fn check_lists_every_setting_with_its_value_and_source() {
    let file = write("check", "[limits]\n\nmessage_bytes = '2MiB'\n");
    let output = corewire(
        &["check", file.to_str().unwrap()],
        &[("COREWIRE_CORES", "3")],
    );
    assert_eq!(output.status.code(), Some(0));
    let stdout = String::from_utf8(output.stdout).unwrap();
    for setting in SETTINGS {
        let lines = stdout
            .lines()
            .filter(|line| line.split(' ').next() == Some(setting.name));
        assert_eq!(lines.count(), 1, "{}", setting.name);
    }
    let words = |name: &str| -> Vec<_> {
        let line = stdout.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().take(3).map(str::to_owned).collect()
    };
    let place = format!("{}:3", file.display());
    assert_eq!(
        words("limits.message_bytes"),
        ["limits.message_bytes", "2MiB", &place]
    );
    assert_eq!(
        words("server.cores"),
        ["server.cores", "3", "COREWIRE_CORES"]
    );
    assert_eq!(words("log.level"), ["log.level", "info", "default"]);
    assert!(stdout.contains("closes with 1009"));
    // What the limit of descriptors makes of a setting is in force, too.
    raise_descriptor_limit();
    let possible = connections_possible();
    assert!(stdout.contains(&format!("engine.connections_max is {possible}:")));
    assert!(
        stdout.ends_with(&format!("{} settings, 2 of them set.\n", SETTINGS.len())),
        "{stdout}"
    );
}

#[test]
fn what_is_wrong_ends_with_2_and_says_nothing_on_stdout() {
    let file = write("wrong", "[limits]\nmessage_bytes = 0\nhead_bytes = 0\n");
    let file = file.to_str().unwrap();
    let cases: &[(&[&str], usize)] = &[
        (&["check", file], 2),
        (&["serve", "--config", file], 2),
        (&["serve", "--cores", "0", "--log", "loud"], 2),
        (&["check", "/nowhere.toml"], 1),
    ];
    for (arguments, problems) in cases {
        let output = corewire(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.lines().count(), *problems, "{stderr}");
    }
    for arguments in [
        &[][..],
        &["swerve"],
        &["serve", "--coers", "1"],
        &["check", "a", "b"],
    ] {
        let output = corewire(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn help_and_version_end_well() {
    for arguments in [
        &["--version"][..],
        &["--help"],
        &["serve", "--help"],
        &["check", "-h"],
    ] {
        let output = corewire(arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty());
    }
    let output = corewire(&["serve", "--help"], &[]);
    let help = String::from_utf8(output.stdout).unwrap();
    for setting in SETTINGS {
        if let (Some(flag), Some(variable)) = (setting.flag, setting.variable()) {
            let value = if setting.is_switch() { "[=" } else { " <" };
            assert!(help.contains(&format!("--{flag}{value}")), "{flag}");
            assert!(help.contains(&variable), "{variable}");
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_corewire"));
    let output = command
        .arg("check")
        .env_clear()
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

fn corewire(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corewire"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("the binary runs")
}

fn write(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.toml"));
    fs::write(&path, text).expect("the directory is there");
    path
}

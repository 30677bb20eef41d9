//! The settings as their users meet them: in files, flags and variables.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use corewire::config::{self, Configuration, SETTINGS, Setting, Source};

mod precedence {
    use super::*;

    #[test]
    fn a_flag_counts_before_the_environment_before_the_file_before_the_default() {
        let file = write("precedence", "[server]\ncores = 2\n");
        let variable = [("COREWIRE_CORES", "3")];
        let flag = [("cores", "4")];

        let rows = [
            (load(None, &[], &[]), "auto", "default".to_owned()),
            (load(Some(&file), &[], &[]), "2", at(&file, 2)),
            (
                load(Some(&file), &variable, &[]),
                "3",
                "COREWIRE_CORES".to_owned(),
            ),
            (
                load(Some(&file), &variable, &flag),
                "4",
                "--cores".to_owned(),
            ),
            (load(None, &[], &flag), "4", "--cores".to_owned()),
        ];
        for (configuration, value, source) in rows {
            let configuration = configuration.unwrap();
            assert_eq!(shown(&configuration, "server.cores"), (value, source));
            let cores = configuration.settings.server.cores;
            assert_eq!(
                cores.map_or_else(|| "auto".to_owned(), |n| n.to_string()),
                value
            );
        }
    }

    #[test]
    fn every_flag_has_a_variable() {
        for setting in SETTINGS.iter().filter(|setting| setting.flag.is_some()) {
            let variable = setting.variable().unwrap();
            let value = other_value(setting);
            let configuration = load(None, &[(&variable, value)], &[]).unwrap();
            assert_eq!(shown(&configuration, setting.name), (value, variable));
            let flag = setting.flag.unwrap();
            let configuration = load(None, &[], &[(flag, value)]).unwrap();
            assert_eq!(
                shown(&configuration, setting.name),
                (value, format!("--{flag}"))
            );
        }
    }

    #[test]
    fn a_list_replaces_a_weaker_one() {
        let file = write(
            "lists",
            "[server]\nlisten = ['127.0.0.1:1', '127.0.0.1:2']\n",
        );
        let configuration = load(Some(&file), &[], &[("listen", "127.0.0.1:3")]).unwrap();
        assert_eq!(shown(&configuration, "server.listen").0, "127.0.0.1:3");

        let variable = [("COREWIRE_LISTEN", "127.0.0.1:4, [::1]:5")];
        let configuration = load(Some(&file), &variable, &[]).unwrap();
        assert_eq!(
            shown(&configuration, "server.listen").0,
            "127.0.0.1:4, [::1]:5"
        );
    }

    #[test]
    fn the_environment_names_the_file_unless_a_flag_does() {
        let one = write("named-one", "[server]\ncores = 1\n");
        let two = write("named-two", "[server]\ncores = 2\n");
        let variable = [("COREWIRE_CONFIG", one.to_str().unwrap())];
        let cores = |configuration: Configuration| configuration.settings.server.cores;
        assert_eq!(load(None, &variable, &[]).map(cores), Ok(Some(1)));
        assert_eq!(load(Some(&two), &variable, &[]).map(cores), Ok(Some(2)));
        assert_eq!(
            load(None, &[("COREWIRE_CONFIG", "/nowhere.toml")], &[]).map(cores),
            Err(
                "/nowhere.toml: cannot be read: No such file or directory (os error 2); \
                 COREWIRE_CONFIG names it"
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_variable_that_is_empty_is_not_set() {
        let variables = [("COREWIRE_CORES", ""), ("COREWIRE_CONFIG", "")];
        let configuration = load(None, &variables, &[]).unwrap();
        assert!(
            configuration
                .rows
                .iter()
                .all(|row| row.source == Source::Default)
        );
    }
}

/// Who may publish and subscribe: what reaches other machines says so.
mod access {
    use super::*;

    #[test]
    fn topics_for_other_machines_need_a_key_or_the_word_that_they_need_none() {
        let public = ("listen", "0.0.0.0:9001");
        let refused = |flags: &[(&str, &str)]| load(None, &[], flags).unwrap_err();
        let problem = refused(&[public]);
        assert!(problem.contains("--token-key-file") && problem.contains("--anonymous"));
        let problem = refused(&[public, ("anonymous", "true"), ("anonymous-names", "true")]);
        assert!(problem.contains("messaging.anonymous_names"), "{problem}");
        for accepted in [
            &[public, ("anonymous", "true")][..],
            &[public, ("token-key-file", "Cargo.toml")],
            &[("anonymous-names", "true")],
        ] {
            load(None, &[], accepted).unwrap();
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_with_what_is_wrong() {
        let short = write("short-key", "too short\n");
        let short = short.to_str().unwrap();
        let refused = |flags: &[(&str, &str)]| load(None, &[], flags).unwrap_err();
        let problem = refused(&[("token-key-file", short)]);
        assert!(problem.contains("has 9 bytes; HS256 needs 32"), "{problem}");
        let problem = refused(&[("token-key-file", "no such file")]);
        assert!(problem.contains("cannot be read"), "{problem}");
        let problem = refused(&[("token-key-file", "Cargo.toml"), ("anonymous", "true")]);
        assert!(problem.contains("leave one of the two out"), "{problem}");
    }
}

/// The classes of topics.
mod topics {
    use corewire::messaging::{Class, History, TopicRule};

    use super::files::problems;
    use super::*;

    #[test]
    fn rules_stand_in_their_order_and_take_what_they_do_not_say_from_the_settings() {
        let text = "[[topics]]\n\
                    match = 'chat.system'\n\
                    history_messages = 7\n\
                    [[topics]]\n\
                    match = '*.cursors'\n\
                    class = 'volatile'\n\
                    [[topics]]\n\
                    match = '>'\n\
                    class = 'logged'\n\
                    history_bytes = '2MiB'\n\
                    history_age_ms = '1h'\n\
                    [messaging]\n\
                    history_messages = 50\n";
        let file = write("topics", text);
        let configuration = load(Some(&file), &[], &[]).unwrap();
        let options = corewire::messaging::Options::default();
        let history = |messages, bytes, age_ms| History {
            messages,
            bytes,
            age_ms,
        };
        let rule = |pattern: &str, class, history| TopicRule {
            pattern: pattern.to_owned(),
            class,
            history,
        };
        let (bytes, age_ms) = (options.history_bytes, options.history_age_ms);
        let expected = [
            rule("chat.system", Class::Logged, history(7, bytes, age_ms)),
            rule("*.cursors", Class::Volatile, history(50, bytes, age_ms)),
            rule(">", Class::Logged, history(50, 2 << 20, 3_600_000)),
        ];
        assert_eq!(configuration.settings.messaging.topics, expected);
        let shown: Vec<_> = configuration
            .rules
            .iter()
            .map(|row| (row.value(), row.source.to_string()))
            .collect();
        let shown: Vec<_> = shown.iter().map(|(value, at)| (&**value, &**at)).collect();
        let expected = [
            ("logged, 7 messages, 1MiB, 2m", at(&file, 1)),
            ("volatile", at(&file, 4)),
            ("logged, 50 messages, 2MiB, 1h", at(&file, 7)),
        ];
        let expected: Vec<_> = expected.iter().map(|(value, at)| (*value, &**at)).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_rule_that_cannot_be_is_refused_with_what_can() {
        let cases: &[(&str, &[&str])] = &[
            (
                "[[topics]]\nclass = 'logged'",
                &[
                    "1: [[topics]] without match; write which topics it is for, such as match = \
                   \"chat.>\"",
                ],
            ),
            (
                "[[topics]]\nmatch = 'no good'",
                &[
                    "2: topics.match cannot be \"no good\"; a space at position 2; use letters, \
                   digits, - _ and . between levels",
                ],
            ),
            (
                "[[topics]]\nmatch = 5",
                &["2: topics.match cannot be 5; write a topic or a pattern, such as \"chat.>\""],
            ),
            (
                "[[topics]]\nmatch = 'a'\nclass = 'durable'",
                &["3: topics.class cannot be \"durable\"; write logged or volatile"],
            ),
            (
                "[[topics]]\nmatch = 'a'\nhistory_messages = 0",
                &[
                    "3: topics.history_messages cannot be 0; write 1 to 1000000; where nothing is to \
                   be kept: class = \"volatile\"",
                ],
            ),
            (
                "[[topics]]\nmatch = 'a'\nhistory_bytes = '1B'\nhistory_age_ms = '2 days'",
                &[
                    "3: topics.history_bytes cannot be \"1B\"; write 1KiB to 64GiB, such as 64KiB",
                    "4: topics.history_age_ms cannot be \"2 days\"; write 1ms to 24h, such as 25s \
                     or 500ms",
                ],
            ),
            (
                "[[topics]]\nmatch = 'a'\nclas = 'logged'",
                &["3: unknown key \"clas\" in [[topics]]; did you mean \"class\"?"],
            ),
            (
                "[[topics]]\nmatch = 'a'\nclass = 'volatile'\nhistory_bytes = '1MiB'",
                &[
                    "4: topics.history_bytes of a volatile topic, which keeps nothing; leave it out, \
                   or write class = \"logged\"",
                ],
            ),
            (
                "[[topics]]\nmatch = 'a.*'\n[[topics]]\nmatch = 'a.b'",
                &[
                    "3: topics.match \"a.b\" is never looked at: the first rule that fits counts, and \
                   \"a.*\" (FILE:1) fits all of its topics; put this one before it, or leave it out",
                ],
            ),
            (
                "[[topics]]\nmatch = 'a'\n[[topics]]\nmatch = 'a'",
                &[
                    "3: topics.match \"a\" is never looked at: the first rule that fits counts, and \
                   \"a\" (FILE:1) fits all of its topics; put this one before it, or leave it out",
                ],
            ),
            (
                "[topics]\nmatch = 'a'",
                &[
                    "1: [[topics]] cannot be a table; write [[topics]] before each rule and its keys \
                   below",
                ],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(problems(text), *expected, "{text}");
        }
        let many: String = (0..65)
            .map(|n| format!("[[topics]]\nmatch = 't{n}'\n"))
            .collect();
        let expected = "129: [[topics]] more than 64 times; use patterns to say it with fewer";
        assert_eq!(problems(&many), [expected]);
    }
}

mod files {
    use super::*;

    #[test]
    fn every_setting_can_stand_in_a_file() {
        for setting in SETTINGS {
            let value = other_value(setting);
            let text = format!("[{}]\n{} = {value:?}\n", setting.table(), setting.key());
            let file = write(&format!("set-{}", setting.name), &text);
            let configuration = load(Some(&file), &[], &[]).unwrap();
            assert_eq!(shown(&configuration, setting.name), (value, at(&file, 2)));
        }
    }

    #[test]
    fn what_is_unknown_is_refused_with_what_was_meant() {
        let cases = [
            (
                "[limits]\nping_intervall_ms = 5",
                "2: unknown key \"ping_intervall_ms\" in [limits]; did you mean \
                 \"ping_interval_ms\"?",
            ),
            (
                "[limits]\nmax_message_size = 5",
                "2: unknown key \"max_message_size\" in [limits]; did you mean \"message_bytes\"?",
            ),
            (
                "\n\nlisten = '127.0.0.1:1'",
                "3: unknown key \"listen\" outside of a table; did you mean \"listen\" in \
                 [server]?",
            ),
            (
                "[server]\nhigh_bytes = 5",
                "2: unknown key \"high_bytes\" in [server]; did you mean \"high_bytes\" in \
                 [outbound]?",
            ),
            (
                "[limit]",
                "1: unknown table [limit]; did you mean [limits]?",
            ),
            (
                "[tls]\ncertificate = 'x'",
                "1: unknown table [tls]; `corewire check` lists all that there are",
            ),
            (
                "limits = 5",
                "1: [limits] cannot be 5; write [limits] and its keys below",
            ),
            (
                "[[limits]]",
                "1: [limits] cannot be a list; write [limits] and its keys below",
            ),
        ];
        for (text, problem) in cases {
            assert_eq!(problems(text), [problem], "{text}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_with_what_can() {
        let bytes = "write 1B to 1GiB, such as 64KiB";
        let time = "write off or up to 24h, such as 25s or 500ms";
        let address = "write an address and a port, such as \"127.0.0.1:9001\"";
        let cases = [
            ("limits.message_bytes = 0", "0", bytes),
            ("limits.message_bytes = -1", "-1", bytes),
            ("limits.message_bytes = 1073741825", "1073741825", bytes),
            ("limits.message_bytes = '2GiB'", "\"2GiB\"", bytes),
            ("limits.message_bytes = '1MB'", "\"1MB\"", bytes),
            (
                "limits.message_bytes = 1e6",
                "a number with a fraction",
                bytes,
            ),
            ("limits.message_bytes = true", "true", bytes),
            ("limits.message_bytes = ['1MiB']", "a list", bytes),
            ("limits.ping_interval_ms = '25'", "\"25\"", time),
            ("limits.ping_interval_ms = '25h'", "\"25h\"", time),
            ("limits.ping_interval_ms = 2026-01-01", "a date", time),
            ("limits.header_count = 257", "257", "write 5 to 256"),
            (
                "limits.header_count = { a = 1 }",
                "a table",
                "write 5 to 256",
            ),
            (
                "engine.receive_buffer_bytes = 4095",
                "4095",
                "write 4KiB to 1MiB, such as 64KiB",
            ),
            ("server.cores = 0", "0", "write 1 to 256, or auto"),
            ("server.cores = 'all'", "\"all\"", "write 1 to 256, or auto"),
            ("server.listen = []", "an empty list", address),
            ("server.listen = 9001", "9001", address),
            ("server.listen = ['127.0.0.1:1', 2]", "2", address),
            (
                "server.listen = ['127.0.0.1']",
                "\"127.0.0.1\"",
                "add the port, such as 127.0.0.1:9001",
            ),
            (
                "server.listen = ['[::1]:1', '[::1]:1']",
                "\"[::1]:1\"",
                "it stands twice: leave one out",
            ),
            (
                "server.allow_origin = ['https://a.example', 'null']",
                "\"null\"",
                "`null` is the origin of every sandboxed page and cannot be allowed",
            ),
            (
                "server.allow_origin = 5",
                "5",
                "write an origin, such as \"https://example.com\"",
            ),
            (
                "deflate.mode = 'on'",
                "\"on\"",
                "write off, shared or takeover",
            ),
            (
                "deflate.mode = false",
                "false",
                "write off, shared or takeover",
            ),
            (
                "deflate.codec = 'zlib'",
                "\"zlib\"",
                "write flate2 or compact",
            ),
            ("deflate.window_bits = 8", "8", "write 9 to 15"),
            ("deflate.window_bits = 16", "16", "write 9 to 15"),
            (
                "log.level = 'loud'",
                "\"loud\"",
                "write error, warn, info, debug or trace",
            ),
        ];
        for (text, given, remedy) in cases {
            let (name, _) = text.split_once(" = ").unwrap();
            let problem = format!("2: {name} cannot be {given}; {remedy}");
            assert_eq!(problems(&format!("# first\n{text}\n")), [problem], "{text}");
        }
    }

    #[test]
    fn numbers_and_texts_say_the_same() {
        let cases = [
            ("limits.message_bytes = 65536", "64KiB"),
            ("limits.message_bytes = 0x1_0000", "64KiB"),
            ("limits.message_bytes = '65536'", "64KiB"),
            ("limits.ping_interval_ms = 120000", "2m"),
            ("limits.ping_interval_ms = '120s'", "2m"),
            ("limits.ping_interval_ms = 0", "off"),
            ("server.listen = '127.0.0.1:0'", "127.0.0.1:0"),
            (
                "server.listen = ['127.0.0.1:0', '127.0.0.1:0']",
                "127.0.0.1:0, 127.0.0.1:0",
            ),
            ("server.allow_origin = []", "same origin"),
            ("server.allow_origin = ['*']", "*"),
        ];
        for (text, value) in cases {
            let configuration = load(Some(&write("same", text)), &[], &[]).unwrap();
            let (name, _) = text.split_once(" = ").unwrap();
            assert_eq!(shown(&configuration, name).0, value, "{text}");
        }
    }

    #[test]
    fn settings_that_contradict_each_other_name_both_places() {
        let cases = [
            (
                "outbound.low_bytes = '256KiB'",
                "1: outbound.low_bytes (256KiB, FILE:1) must be below outbound.high_bytes \
                 (256KiB, default); set the two further apart",
            ),
            (
                "outbound.cap_bytes = 262143",
                "1: outbound.high_bytes (256KiB, default) must be at most outbound.cap_bytes \
                 (262143B, FILE:1); lower the first or raise the second",
            ),
            (
                "\nlimits.head_bytes = '4KiB'",
                "2: limits.head_line_bytes (8KiB, default) must be at most limits.head_bytes \
                 (4KiB, FILE:2); lower the first or raise the second",
            ),
            (
                "limits.message_bytes = '65MiB'",
                "1: limits.message_bytes (65MiB, FILE:1) must be at most \
                 server.inflate_budget_bytes (64MiB, default); lower the first, raise the second \
                 in a configuration file, or turn deflate off",
            ),
        ];
        for (text, problem) in cases {
            assert_eq!(problems(text), [problem], "{text}");
        }
        let fine = [
            "outbound.high_bytes = '1MiB'",
            "limits.message_bytes = '64MiB'",
            "limits.message_bytes = '65MiB'\ndeflate.mode = 'off'",
            "limits.head_bytes = '8KiB'",
        ];
        for text in fine {
            assert_eq!(problems(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once_in_the_order_of_their_lines() {
        let text = "[outbound]\nlow_bytes = '1MiB'\nhigh_bites = 1\n[limits]\nheader_count = 1\n\
                    head_bytes = 'lots'\n[log]\nlevel = 1\n";
        let lines: Vec<_> = problems(text)
            .iter()
            .map(|problem| problem.split_once(':').unwrap().0.to_owned())
            .collect();
        assert_eq!(lines, ["2", "3", "5", "6", "8"]);
    }

    #[test]
    fn a_bad_value_is_a_problem_also_where_a_flag_overrides_it() {
        let file = write("overridden", "server.cores = 0");
        let error = load(Some(&file), &[], &[("cores", "1")]).unwrap_err();
        assert!(error.contains("server.cores cannot be 0"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_toml_is_refused_with_the_line() {
        assert_eq!(
            problems("[limits]\nmessage_bytes = 1MiB\n"),
            ["2: not TOML: string values must be quoted, expected literal string"]
        );
        assert_eq!(
            problems("[server]\ncores = 1\ncores = 2\n"),
            ["3: not TOML: duplicate key"]
        );
    }

    #[test]
    fn a_bad_flag_or_variable_is_named() {
        let error = load(None, &[("COREWIRE_CORES", "0")], &[("listen", "9001")]).unwrap_err();
        assert_eq!(
            error,
            "COREWIRE_CORES: server.cores cannot be \"0\"; write 1 to 256, or auto\n--listen: \
             server.listen cannot be \"9001\"; say who may connect: 127.0.0.1:9001 for this \
             machine, 0.0.0.0:9001 or [::]:9001 for every network"
        );
    }

    /// What is wrong with a file of this text, from the line on.
    pub(super) fn problems(text: &str) -> Vec<String> {
        let name = format!("problems-{:?}", std::thread::current().id());
        let file = write(&name.replace(['(', ')'], "-"), text);
        let error = load(Some(&file), &[], &[]).err().unwrap_or_default();
        let path = file.to_str().expect("the path is text");
        let line = |line: &str| {
            let line = line.strip_prefix(path)?.strip_prefix(':')?;
            Some(line.replace(path, "FILE"))
        };
        let lines = error.lines();
        lines
            .map(|text| line(text).expect("the file comes first"))
            .collect()
    }
}

/// A value that the setting can have and does not have by default, as it is shown.
fn other_value(setting: &Setting) -> &'static str {
    match setting.name {
        "server.listen" => "127.0.0.1:9002",
        "server.cores" => "3",
        "server.allow_origin" => "https://example.com",
        "messaging.anonymous" | "messaging.anonymous_names" => "true",
        // Any file of more than 32 bytes is a key.
        "messaging.token_key_file" => "Cargo.toml",
        "deflate.mode" => "takeover",
        "deflate.codec" => "compact",
        "deflate.window_bits" => "11",
        "log.level" => "debug",
        name if name.ends_with("_ms") => "7s",
        "outbound.low_bytes" => "32KiB",
        "outbound.high_bytes" => "512KiB",
        "limits.head_bytes" => "32KiB",
        "limits.head_line_bytes" => "2KiB",
        "server.inflate_budget_bytes" => "32MiB",
        name if name.ends_with("_bytes") || name.ends_with("_work") => "768KiB",
        _ => "7",
    }
}

fn load(
    file: Option<&Path>,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Configuration, String> {
    let variable = |name: &str| -> Option<OsString> {
        let (_, value) = environment.iter().find(|(known, _)| *known == name)?;
        Some(value.into())
    };
    let values = |name: &str| -> Option<Vec<String>> {
        let (_, value) = flags.iter().find(|(known, _)| *known == name)?;
        Some(vec![(*value).to_owned()])
    };
    config::load(file, &variable, &values).map_err(|problems| problems.to_string())
}

/// The value and the source of a setting.
fn shown<'a>(configuration: &'a Configuration, name: &str) -> (&'a str, String) {
    let mut rows = configuration.rows.iter();
    let row = rows.find(|row| row.setting.name == name);
    let row = row.expect("every setting has a row");
    (&row.value, row.source.to_string())
}

fn at(file: &Path, line: usize) -> String {
    format!("{}:{line}", file.display())
}

fn write(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.toml"));
    fs::write(&path, text).expect("the directory is there");
    path
}

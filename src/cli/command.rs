//! The commands and their help. The flags are those of the table of settings.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, value_parser};

use super::{bench, publish, sub};
use crate::config::{CONFIG_VARIABLE, SETTINGS, Setting};

/// The server.
pub(super) const SERVE: &str = "serve";
/// The table of what is in force.
pub(super) const CHECK: &str = "check";
/// The load generator.
pub(super) const BENCH: &str = "bench";
/// The subscriber.
pub(super) const SUB: &str = "sub";
/// The publisher.
pub(super) const PUB: &str = "pub";
/// The argument that names the configuration file.
pub(super) const FILE: &str = "config";

/// The heading of the last group of options.
const OTHER: &str = "Other";

const EXIT_CODES: &str = "\
Exit codes:
  0    all went well; also after SIGTERM or SIGINT, once the connections have ended
  1    failure while running, such as a port in use or a server that is not there
  2    wrong arguments or configuration; nothing was started
  130  a second SIGINT ended it at once (143: a second SIGTERM)";

const EXAMPLES: &str = "\
Examples:
  corewire serve                              on 127.0.0.1:9001, one loop per core
  corewire serve --config corewire.toml --log debug
  corewire check corewire.toml                every limit in force and who set it
  corewire sub 'chat.>'                       what is published, line by line
  corewire pub chat.room1 '{\"text\":\"hi\"}'
  corewire bench echo ws://127.0.0.1:9001/echo   messages a second, round trips";

const SERVE_EXAMPLES: &str = "\
Examples:
  corewire serve
  corewire serve --listen 0.0.0.0:9001 --cores 4 --token-key-file token.key
  corewire serve --max-message-size 64KiB --idle-timeout 2m
  corewire serve --allow-origin https://example.com --allow-origin 'https://*.example.com'

Sizes are written 512B, 64KiB, 1MiB or 1GiB, times 500ms, 25s, 2m or 1h.
A flag counts before its environment variable, that before the file, the file before the default.
The file has many more settings: `corewire check` lists them all.";

const CHECK_EXAMPLES: &str = "\
Examples:
  corewire check                              the defaults, and what the environment changes
  corewire check corewire.toml                the same with a file
  corewire check corewire.toml | grep timeout

Everything that is wrong is listed at once, with its line, and ends with exit code 2.";

/// The whole command line.
pub(super) fn command() -> Command {
    Command::new("corewire")
        .about("A low-latency WebSocket edge server: one event loop per core.")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(format!("{EXAMPLES}\n\n{EXIT_CODES}"))
        .subcommand(serve())
        .subcommand(check())
        .subcommand(sub::command())
        .subcommand(publish::command())
        .subcommand(bench::command())
}

fn serve() -> Command {
    let config = Arg::new(FILE)
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help_heading(OTHER)
        .help(format!(
            "Configuration file in TOML, for these settings and all others.\n\
             [env: {CONFIG_VARIABLE}]"
        ));
    let help = Arg::new("help")
        .short('h')
        .long("help")
        .action(ArgAction::Help)
        .help_heading(OTHER)
        .help("Print this help.");
    Command::new(SERVE)
        .about("Serve until SIGTERM or SIGINT")
        .after_help(format!("{SERVE_EXAMPLES}\n\n{EXIT_CODES}"))
        .args(SETTINGS.iter().filter_map(flag))
        .arg(config)
        .disable_help_flag(true)
        .arg(help)
}

fn check() -> Command {
    let file = Arg::new(FILE)
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(format!(
            "Configuration file in TOML. [env: {CONFIG_VARIABLE}]"
        ));
    Command::new(CHECK)
        .about("Check a configuration and list every setting and limit in force")
        .after_help(format!("{CHECK_EXAMPLES}\n\n{EXIT_CODES}"))
        .arg(file)
}

/// The flag of a setting that has one. Its values are read by the setting, as those of the file
/// and the environment are, and refused in the same words.
fn flag(setting: &'static Setting) -> Option<Arg> {
    let flag = setting.flag?;
    let variable = setting.variable()?;
    let (action, several) = if setting.is_list() {
        (ArgAction::Append, " May be given several times.")
    } else {
        (ArgAction::Set, "")
    };
    let help = format!(
        "{}{several}\n[{}; default: {}; env: {variable}]",
        setting.meaning,
        setting.allowed(),
        setting.default_value(),
    );
    let heading = match setting.table() {
        "server" | "engine" => "Server",
        "limits" | "outbound" => "Limits",
        "messaging" => "Topics",
        "deflate" => "Compression",
        _ => OTHER,
    };
    let argument = if setting.is_switch() {
        Arg::new(flag)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
    } else {
        Arg::new(flag)
    };
    let argument = argument
        .long(flag)
        .value_name(setting.placeholder())
        .action(action)
        .allow_negative_numbers(true)
        .help_heading(heading)
        .help(help);
    Some(argument)
}

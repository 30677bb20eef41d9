//! The command line: `corewire serve`, `corewire check`, `corewire sub`, `corewire pub`, `corewire
//! bench`, their help and their exit codes.

mod bench;
mod check;
mod command;
mod link;
mod logging;
mod progress;
mod publish;
mod serve;
mod sub;
mod time;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;

use crate::config::{self, Configuration, Problems};
use crate::server::ServerError;

/// Runs what the arguments of this process ask for.
#[must_use]
pub fn main() -> ExitCode {
    match run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let matches = command::command()
        .try_get_matches_from(arguments)
        .map_err(Failure::Arguments)?;
    match matches.subcommand() {
        Some((command::SERVE, matches)) => {
            let configuration = load(matches)?;
            logging::start(configuration.settings.log);
            for row in &configuration.rows {
                let (name, value) = (row.setting.name, &row.value);
                tracing::debug!("{name} = {value} ({})", row.source);
            }
            for row in &configuration.rules {
                let (pattern, value) = (&row.rule.pattern, row.value());
                tracing::debug!("topics {pattern:?} = {value} ({})", row.source);
            }
            serve::run(configuration.settings).map_err(Failure::Running)
        }
        Some((command::CHECK, matches)) => {
            let configuration = load(matches)?;
            check::print(&configuration, &mut io::stdout().lock()).map_err(Failure::Output)
        }
        Some((command::BENCH, matches)) => bench::run(matches, &mut io::stdout().lock()),
        Some((command::SUB, matches)) => sub::run(matches, &mut io::stdout().lock()),
        Some((command::PUB, matches)) => publish::run(matches, &mut io::stdout().lock()),
        Some(_) | None => Ok(()), // clap has refused it
    }
}

/// The configuration that these arguments, the environment and the file add up to.
fn load(matches: &ArgMatches) -> Result<Configuration, Failure> {
    let file = matches.get_one::<PathBuf>(command::FILE);
    let flags = |flag: &str| {
        let values = matches.try_get_many::<String>(flag).ok()??;
        Some(values.cloned().collect())
    };
    config::load(
        file.map(PathBuf::as_path),
        &config::process_environment,
        &flags,
    )
    .map_err(Failure::Configuration)
}

/// Why the process ends otherwise than well.
enum Failure {
    /// The arguments are none of ours, or ask for help.
    Arguments(clap::Error),
    /// The settings are not sound.
    Configuration(Problems),
    /// The server could not start or had to stop.
    Running(ServerError),
    /// A measurement has no result.
    Measuring(crate::bench::Error),
    /// An argument, a variable or a file is wrong: which, and what would be right.
    Input(String),
    /// The server cannot be reached, or refuses.
    Client(String),
    /// Standard output cannot be written.
    Output(io::Error),
}

/// Something went wrong while running.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong, so nothing ran.
const MISUSED: u8 = 2;

impl Failure {
    /// Tells the user, as far as anybody still listens.
    fn report(self) -> ExitCode {
        match self {
            // Help and version come as errors, too: they go to stdout and end well.
            Self::Arguments(error) => {
                let _ = error.print();
                match error.exit_code() {
                    0 => ExitCode::SUCCESS,
                    _ => ExitCode::from(MISUSED),
                }
            }
            Self::Configuration(problems) => complain(&problems, MISUSED),
            Self::Running(error) => complain(&error, FAILED),
            Self::Measuring(error @ crate::bench::Error::Settings(_)) => complain(&error, MISUSED),
            Self::Measuring(error) => complain(&error, FAILED),
            Self::Input(error) => complain(&error, MISUSED),
            Self::Client(error) => complain(&error, FAILED),
            // `corewire check | head` has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Output(error) => complain(&format!("standard output: {error}"), FAILED),
        }
    }
}

fn complain(error: &dyn fmt::Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "{error}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::{command, load};

    #[test]
    fn the_commands_are_well_formed() {
        command::command().debug_assert();
    }

    #[test]
    fn flags_reach_the_settings() {
        let line = "corewire serve --listen 127.0.0.1:1 --listen [::1]:2 --cores 3 \
                    --max-message-size 64KiB --ping-interval off --deflate off --log warn";
        let matches = command::command().get_matches_from(line.split(' '));
        let (_, matches) = matches.subcommand().unwrap();
        let server = load(matches)
            .map_err(|_| "refused")
            .unwrap()
            .settings
            .server;
        let listen: Vec<_> = server.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["127.0.0.1:1", "[::1]:2"]);
        assert_eq!(server.cores, Some(3));
        assert_eq!(server.engine.limits.message_bytes, 64 << 10);
        assert_eq!(server.engine.limits.ping_interval_ms, 0);
        assert_eq!(server.engine.deflate, None);
    }
}

//! What `corewire sub` and `corewire pub` have in common: where the server is, who they are, and
//! how they tell people.

use std::fmt::Display;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use corewire_client::{Client, Connect, Options};

use super::Failure;
use crate::config;

/// Where the server is, if nothing is said.
const URL: &str = "ws://127.0.0.1:9001/ws";
/// The environment variable that says it.
pub(super) const URL_VARIABLE: &str = "COREWIRE_URL";
/// The one with a token.
pub(super) const TOKEN_VARIABLE: &str = "COREWIRE_TOKEN";

/// How to reach the server.
#[derive(Debug, Args)]
pub(super) struct Link {
    /// The server, ws:// or wss://
    /// [default: ws://127.0.0.1:9001/ws; env: COREWIRE_URL]
    #[arg(long, verbatim_doc_comment)]
    url: Option<String>,
    /// A token that says who you are. Other users of this machine can see it here.
    /// [env: COREWIRE_TOKEN]
    #[arg(long, verbatim_doc_comment, conflicts_with_all = ["token_file", "user"])]
    token: Option<String>,
    /// A file with the token; it is read again when the token expires.
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    token_file: Option<PathBuf>,
    /// A name, where the server lets clients choose one.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// When the connection is lost, come back after at most so many milliseconds. Many clients that
    /// come back so fast are a burden for a server that is just starting.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    retry_max_ms: Option<u64>,
}

impl Link {
    /// The client to be, and the URL as people know it.
    pub(super) fn client(&self) -> Result<(Connect, String), Failure> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => variable(URL_VARIABLE)?.unwrap_or_else(|| URL.to_owned()),
        };
        let connect = Client::connect(&url);
        let token = match (&self.token, &self.token_file, &self.user) {
            (Some(token), _, _) => Some(token.clone()),
            (None, None, None) => variable(TOKEN_VARIABLE)?,
            (None, _, _) => None,
        };
        let connect = match (token, &self.token_file, &self.user) {
            (Some(token), _, _) => connect.token(token),
            (None, Some(file), _) => {
                read_token(file).map_err(Failure::Input)?;
                let file = file.clone();
                connect.tokens(move || {
                    let file = file.clone();
                    async move { read_token(&file) }
                })
            }
            (None, None, Some(user)) => connect.user(user),
            (None, None, None) => connect,
        };
        let connect = match self.retry_max_ms {
            Some(max_ms) => {
                let mut options = Options::new(&url);
                options.backoff.first_ms = options.backoff.first_ms.min(max_ms);
                options.backoff.max_ms = max_ms;
                connect.options(options)
            }
            None => connect,
        };
        Ok((connect, url))
    }
}

/// A variable of the environment; an empty one counts as not set.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match config::process_environment(name).map(std::ffi::OsString::into_string) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value).filter(|value| !value.is_empty())),
        Some(Err(_)) => Err(Failure::Input(format!("{name}: not UTF-8"))),
    }
}

fn read_token(file: &PathBuf) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    match text.trim() {
        "" => Err(format!("{}: empty; put a token there", file.display())),
        token => Ok(token.to_owned()),
    }
}

/// Says something to people: on stderr, dim where it is read on a terminal.
pub(super) fn say(words: impl Display) {
    let mut stderr = io::stderr().lock();
    // Who does not listen does not want to know.
    let _ = if super::logging::is_colourful() {
        writeln!(stderr, "\x1b[2m{words}\x1b[0m")
    } else {
        writeln!(stderr, "{words}")
    };
}

/// Whether stdout is read by a person who likes colours.
pub(super) fn stdout_is_colourful() -> bool {
    io::stdout().is_terminal() && !super::logging::is_plain()
}

/// A runtime with one thread, which is plenty for one connection.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Client(error.to_string()))
}

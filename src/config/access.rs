//! Who may speak the client protocol: what the settings about it come to together.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::given::Given;
use super::problem::{Fault, Problem, Source};
use crate::messaging::{Identity, TokenKey};

/// What is set about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Access {
    pub(super) token_key_file: Option<PathBuf>,
    pub(super) anonymous: bool,
    pub(super) anonymous_names: bool,
}

const KEY_FILE: &str = "messaging.token_key_file";
const ANONYMOUS: &str = "messaging.anonymous";
const NAMES: &str = "messaging.anonymous_names";

/// How the server learns who its clients are. What reaches other machines needs a key, or the word
/// that it needs none.
///
/// # Errors
///
/// Where it was set, and why it cannot be so.
pub(super) fn identity(
    draft: &Draft,
    source: &dyn Fn(&str) -> Source,
) -> Result<Identity, Box<Problem>> {
    let Access {
        token_key_file,
        anonymous,
        anonymous_names,
    } = &draft.access;
    let public = draft
        .server
        .listen
        .iter()
        .find(|address| is_public(address));
    let refused = |setting: &'static str, given: String, remedy: &str| {
        let fault = Fault::Refused {
            setting,
            given: Given::Word(given),
            remedy: remedy.to_owned(),
        };
        Box::new(Problem {
            source: source(setting),
            fault,
        })
    };
    let yes = || "true".to_owned();
    match (token_key_file, public) {
        (Some(_), _) if *anonymous || *anonymous_names => {
            let setting = if *anonymous { ANONYMOUS } else { NAMES };
            let remedy = "with a token key (--token-key-file) every client needs a token: leave one of the two out";
            Err(refused(setting, yes(), remedy))
        }
        (Some(path), _) => {
            let key = read_key(path).map_err(|error| {
                let given = path.display().to_string();
                refused(KEY_FILE, given, &error)
            })?;
            Ok(Identity::Token(key))
        }
        (None, Some(address)) if *anonymous_names => {
            let remedy = format!(
                "{address} can be reached from other machines, where anybody could take any name: \
                 give a key (--token-key-file), or listen on 127.0.0.1 only"
            );
            Err(refused(NAMES, yes(), &remedy))
        }
        (None, Some(address)) if !*anonymous => {
            let remedy = "other machines can reach it, and nothing asks at /ws who they are: give \
                          a key that tokens are signed with (--token-key-file FILE), or say that \
                          anybody may publish and subscribe (--anonymous)";
            Err(refused("server.listen", address.to_string(), remedy))
        }
        (None, _) if *anonymous_names => Ok(Identity::Named),
        (None, _) => Ok(Identity::Anonymous),
    }
}

fn is_public(address: &SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

/// The key is what the file holds, without the end of its last line.
fn read_key(path: &Path) -> Result<TokenKey, String> {
    let bytes = fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let key = bytes.trim_ascii_end();
    TokenKey::new(key)
        .map_err(|error| format!("{error}, such as those of: openssl rand -base64 48 > token.key"))
}

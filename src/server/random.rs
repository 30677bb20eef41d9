//! What nobody can know beforehand.

use std::io;

use super::ServerError;

/// A number that nobody can know, for what must not be guessed.
///
/// # Errors
///
/// If the system has no random bytes.
pub fn random_seed() -> Result<u64, ServerError> {
    getrandom::u64().map_err(|error| ServerError::System {
        action: "get random bytes",
        source: io::Error::other(error.to_string()),
    })
}

/// A key that nobody can know.
///
/// # Errors
///
/// If the system has no random bytes.
pub fn random_key() -> Result<[u8; 32], ServerError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| ServerError::System {
        action: "get random bytes",
        source: io::Error::other(error.to_string()),
    })?;
    Ok(key)
}

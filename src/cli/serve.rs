//! `corewire serve`: the server itself.

use std::io::{self, Write};
use std::net::SocketAddr;

use crate::config::Settings;
use crate::messaging::Messaging;
use crate::server::{
    Server, ServerError, Site, log_panics, raise_descriptor_limit, random_key, random_seed,
};

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// Why it could not start, or why it had to stop, with what to do about it.
pub(super) fn run(settings: Settings) -> Result<(), ServerError> {
    raise_descriptor_limit();
    log_panics();
    let message_bytes = settings.server.engine.limits.message_bytes;
    let seed = random_seed()?;
    let messaging = Messaging::new(settings.messaging, settings.identity, message_bytes, seed)
        .with_ticket_key(&random_key()?);
    let server = Server::with_options(Site::new(messaging), settings.server).bind()?;
    let ready = ready(server.addresses(), server.cores());
    let server = server.start()?;
    server.watch_signals()?;
    let mut stdout = io::stdout().lock();
    // Whoever started us may not listen to stdout; the server serves all the same.
    let _ = writeln!(stdout, "{ready}").and_then(|()| stdout.flush());
    drop(stdout);
    server.join().map(drop)
}

/// One line that says where what is, for people and for scripts that wait for it.
fn ready(addresses: &[SocketAddr], cores: usize) -> String {
    let addresses: Vec<_> = addresses
        .iter()
        .map(|address| format!("http://{address}/"))
        .collect();
    let cores = match cores {
        1 => "1 core".to_owned(),
        _ => format!("{cores} cores"),
    };
    format!(
        "corewire is ready on {} ({cores}): a page at /, topics at /ws, an echo at /echo, also /healthz and \
         /stats",
        addresses.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::ready;

    #[test]
    fn the_ready_line_has_every_address() {
        let addresses = ["127.0.0.1:9001", "[::1]:9001"].map(|text| text.parse().unwrap());
        assert_eq!(
            ready(&addresses, 2),
            "corewire is ready on http://127.0.0.1:9001/ and http://[::1]:9001/ (2 cores): a page \
             at /, topics at /ws, an echo at /echo, also /healthz and /stats"
        );
    }
}

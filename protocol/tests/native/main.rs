//! corewire's client protocol: the same words in two dialects.
#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod batch;
mod damage;
mod errors;
mod leniency;
mod meaning;
mod roundtrip;
mod vectors;
mod words;

use corewire_protocol::native::{Dialect, Malformed, Push, Request, ServerWord};

/// What stands in a message from a client.
fn requests(dialect: Dialect, message: &[u8]) -> Vec<Result<Request<'_>, Malformed>> {
    dialect.requests(message).collect()
}

/// What stands in a message from a server.
fn server_words(dialect: Dialect, message: &[u8]) -> Vec<Result<ServerWord<'_>, Malformed>> {
    dialect.server_words(message).collect()
}

fn written(dialect: Dialect, request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    dialect.write_request(request, &mut out);
    out
}

fn server_written(dialect: Dialect, word: &ServerWord<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match word {
        ServerWord::Reply(id, reply) => dialect.write_reply(*id, reply, &mut out),
        ServerWord::Push(push) => dialect.write_push(push, &mut out),
    }
    out
}

fn push(push: Push<'_>) -> ServerWord<'_> {
    ServerWord::Push(push)
}

//! The pages of `corewire serve`, embedded: a room that shows what topics do, and the echo's page.
//!
//! `demo/` has the sources of the room; `make demo` builds what is embedded here.

use crate::engine::Response;

/// One file of a page.
struct File {
    path: &'static str,
    content_type: &'static str,
    policy: &'static str,
    content: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";

/// Nothing but what this server serves.
const OWN_FILES: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The same for a page in one file.
const OWN_TEXT: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    worker-src blob:; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const FILES: [File; 4] = [
    File {
        path: "/",
        content_type: HTML,
        policy: OWN_FILES,
        content: include_str!("page/index.html"),
    },
    File {
        path: "/app.js",
        content_type: "text/javascript; charset=utf-8",
        policy: OWN_FILES,
        content: include_str!("page/app.js"),
    },
    File {
        path: "/style.css",
        content_type: "text/css; charset=utf-8",
        policy: OWN_FILES,
        content: include_str!("page/style.css"),
    },
    File {
        path: "/round-trip",
        content_type: HTML,
        policy: OWN_TEXT,
        content: include_str!("page/round-trip.html"),
    },
];

/// Whether a page has this file.
pub(super) fn has(path: &str) -> bool {
    FILES.iter().any(|file| file.path == path)
}

/// The file at this path.
pub(super) fn at(path: &str) -> Option<Response> {
    let file = FILES.iter().find(|file| file.path == path)?;
    let response = Response::new(200, file.content_type, file.content.as_bytes())
        .header("Cache-Control", "no-cache")
        .header("X-Content-Type-Options", "nosniff")
        // Isolated, a page gets the browser's fine clock: 5 µs a step instead of 100.
        .header("Cross-Origin-Opener-Policy", "same-origin")
        .header("Cross-Origin-Embedder-Policy", "require-corp")
        .header("Content-Security-Policy", file.policy);
    Some(response)
}

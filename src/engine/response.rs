//! Answers to ordinary HTTP requests (RFC 9110, RFC 9112).

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

/// An answer. It is sent whole, with its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Cow<'static, [u8]>,
}

/// What of the request decides how an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Sent,
    /// The request was HEAD (RFC 9110, 9.3.2).
    Omitted,
}

/// Whether the connection serves another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// HTTP/1.1 keeps the connection without a word.
    Kept,
    /// HTTP/1.0 needs to be told.
    KeptAndSaid,
    Closed,
}

impl Response {
    /// An answer with a status, a media type and a body.
    #[must_use]
    pub fn new(
        status: u16,
        content_type: &'static str,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", Cow::Borrowed(content_type))],
            body: body.into(),
        }
    }

    /// An answer of one line of text, ended here.
    #[must_use]
    pub fn text(status: u16, line: &str) -> Self {
        Self::new(
            status,
            "text/plain; charset=utf-8",
            format!("{line}\n").into_bytes(),
        )
    }

    /// 404.
    #[must_use]
    pub fn not_found() -> Self {
        Self::text(404, "not found")
    }

    /// 405 with the methods that are allowed (RFC 9110, 15.5.6).
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self::text(405, &format!("method not allowed: use {allow}")).header("Allow", allow)
    }

    /// 426: the resource is a WebSocket (RFC 9110, 15.5.22).
    #[must_use]
    pub fn upgrade_required() -> Self {
        Self::text(426, "this is a WebSocket: connect with a WebSocket client")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
    }

    /// 503 with the seconds after which another try makes sense.
    #[must_use]
    pub fn unavailable(line: &str, retry_after_s: u32) -> Self {
        Self::text(503, line).header("Retry-After", retry_after_s.to_string())
    }

    /// Adds a header. Name and value are the application's own and must not have line breaks.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn write(
        &self,
        body: Body,
        connection: Connection,
        unix_ms: u64,
        out: &mut Vec<u8>,
    ) {
        let mut line = |parts: &[&str]| {
            for part in parts {
                out.extend_from_slice(part.as_bytes());
            }
            out.extend_from_slice(b"\r\n");
        };
        line(&[
            "HTTP/1.1 ",
            &self.status.to_string(),
            " ",
            reason(self.status),
        ]);
        let date = UNIX_EPOCH + Duration::from_millis(unix_ms);
        line(&["Date: ", &httpdate::fmt_http_date(date)]);
        for (name, value) in &self.headers {
            line(&[name, ": ", value]);
        }
        line(&["Content-Length: ", &self.body.len().to_string()]);
        let upgrade = self.headers.iter().any(|(name, _)| *name == "Upgrade");
        match (connection, upgrade) {
            (Connection::Closed, true) => line(&["Connection: close, Upgrade"]),
            (Connection::Closed, false) => line(&["Connection: close"]),
            (Connection::KeptAndSaid, true) => line(&["Connection: keep-alive, Upgrade"]),
            (Connection::KeptAndSaid, false) => line(&["Connection: keep-alive"]),
            (Connection::Kept, true) => line(&["Connection: Upgrade"]),
            (Connection::Kept, false) => {}
        }
        line(&[]);
        if body == Body::Sent {
            out.extend_from_slice(&self.body);
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

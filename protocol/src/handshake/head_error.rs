//! One variant per broken rule of an HTTP/1.1 head.

use std::fmt;

/// Why a head is refused. Each variant is one rule; [`HeadError::status`] is the answer to a
/// request, after which the connection closes: where the next request would begin is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// The peer began a TLS handshake.
    Tls,
    /// The peer began HTTP/2 without asking (RFC 9113, 3.4).
    Http2Preface,
    /// A line ends with LF alone.
    BareLf,
    /// CR stands without LF.
    BareCr,
    /// NUL or another control byte.
    ControlByte(u8),
    /// A header line begins with white space.
    Folded,
    /// The head is larger than [`Limits::head_bytes`](crate::Limits::head_bytes).
    HeadTooLarge,
    /// The first line is longer than
    /// [`Limits::head_line_bytes`](crate::Limits::head_line_bytes).
    StartLineTooLong,
    /// A header line is longer than
    /// [`Limits::head_line_bytes`](crate::Limits::head_line_bytes).
    HeaderLineTooLong,
    /// There are more headers than [`Limits::header_count`](crate::Limits::header_count).
    TooManyHeaders,
    /// The first line is not a request line, or not a status line.
    StartLine,
    /// The version is not HTTP/1.0 or HTTP/1.1.
    HttpVersion,
    /// A header name is not a token directly before a colon.
    HeaderName,
    /// A header value has a byte that values may not have.
    HeaderValue,
    /// The request target is neither a path nor an absolute http URI.
    Target,
    /// The method is CONNECT.
    Connect,
    /// An HTTP/1.1 request has no Host.
    HostMissing,
    /// A request has several Host headers.
    HostDuplicate,
    /// Host is not a host with an optional port.
    HostMalformed,
    /// Content-Length is not a decimal number of 64 bits.
    LengthMalformed,
    /// There are several Content-Length headers.
    LengthDuplicate,
    /// Transfer-Encoding is not exactly `chunked`.
    TransferEncoding,
    /// Transfer-Encoding stands beside Content-Length.
    TransferEncodingWithLength,
    /// Transfer-Encoding stands in an HTTP/1.0 request.
    TransferEncodingHttp10,
}

struct Rule {
    status: u16,
    section: &'static str,
    text: &'static str,
}

const fn rule(status: u16, section: &'static str, text: &'static str) -> Rule {
    Rule {
        status,
        section,
        text,
    }
}

impl HeadError {
    /// The status code of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.rule().status
    }

    /// Where the rule stands: the RFC and its section, or the limit's name.
    #[must_use]
    pub const fn section(self) -> &'static str {
        self.rule().section
    }

    /// One line for the body of the answer, for the person at the other end.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.rule().text
    }

    const fn rule(self) -> Rule {
        match self {
            Self::Tls => rule(
                400,
                "RFC 8446, 5.1",
                "this port does not speak TLS: use ws:// or http://, or put TLS in front of it",
            ),
            Self::Http2Preface => rule(505, "RFC 9113, 3.4", "HTTP/2 is not spoken: use HTTP/1.1"),
            Self::BareLf => rule(
                400,
                "RFC 9112, 2.2",
                "end every line with CR LF, not LF alone",
            ),
            Self::BareCr => rule(400, "RFC 9112, 2.2", "CR may only stand before LF"),
            Self::ControlByte(_) => rule(
                400,
                "RFC 9110, 5.5",
                "control bytes may not stand in a request or its headers",
            ),
            Self::Folded => rule(
                400,
                "RFC 9112, 5.2",
                "a header line may not begin with white space: write it on one line",
            ),
            Self::HeadTooLarge => rule(
                431,
                "RFC 6585, 5: head_bytes",
                "the request line and headers together are too large: send fewer or smaller \
                 headers (cookies?)",
            ),
            Self::StartLineTooLong => rule(
                414,
                "RFC 9110, 15.5.15: head_line_bytes",
                "the request line is too long: shorten the URL",
            ),
            Self::HeaderLineTooLong => rule(
                431,
                "RFC 6585, 5: head_line_bytes",
                "a header line is too long: shorten it (cookies?)",
            ),
            Self::TooManyHeaders => rule(
                431,
                "RFC 6585, 5: header_count",
                "too many headers: send fewer",
            ),
            Self::StartLine => rule(
                400,
                "RFC 9112, 3",
                "the first line must be a method, a target and HTTP/1.1, one space between them",
            ),
            Self::HttpVersion => rule(505, "RFC 9112, 2.3", "use HTTP/1.1"),
            Self::HeaderName => rule(
                400,
                "RFC 9112, 5.1",
                "a header must be a name directly followed by a colon",
            ),
            Self::HeaderValue => rule(
                400,
                "RFC 9110, 5.5",
                "a header value has a byte that may not stand there",
            ),
            Self::Target => rule(
                400,
                "RFC 9112, 3.2",
                "the request target must be a path or an absolute http URI, in ASCII and without \
                 a fragment",
            ),
            Self::Connect => rule(501, "RFC 9110, 9.3.6", "this server is not a proxy"),
            Self::HostMissing => rule(400, "RFC 9112, 3.2", "send a Host header"),
            Self::HostDuplicate => rule(400, "RFC 9112, 3.2", "send one Host header, not several"),
            Self::HostMalformed => rule(
                400,
                "RFC 9112, 3.2",
                "Host must be a host name or address, with an optional port",
            ),
            Self::LengthMalformed => rule(
                400,
                "RFC 9112, 6.3",
                "Content-Length must be one decimal number",
            ),
            Self::LengthDuplicate => rule(
                400,
                "RFC 9112, 6.3",
                "send one Content-Length header, not several",
            ),
            Self::TransferEncoding => rule(
                400,
                "RFC 9112, 6.1",
                "the only transfer coding understood is one `Transfer-Encoding: chunked`",
            ),
            Self::TransferEncodingWithLength => rule(
                400,
                "RFC 9112, 6.1",
                "send Content-Length or Transfer-Encoding, not both",
            ),
            Self::TransferEncodingHttp10 => rule(
                400,
                "RFC 9112, 6.1",
                "HTTP/1.0 has no Transfer-Encoding: use HTTP/1.1",
            ),
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.section())
    }
}

impl std::error::Error for HeadError {}

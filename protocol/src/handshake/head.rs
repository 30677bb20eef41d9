//! A complete HTTP/1.1 head, read once.
//!
//! Reading checks everything that decides where the request ends and whom it is for: version,
//! target, Host, Content-Length and Transfer-Encoding. So whoever holds a [`RequestHead`] cannot
//! forget one of these checks, and there is one framing for every use of the port.

use std::fmt;
use std::mem::MaybeUninit;

use super::authority::Authority;
use super::head_error::HeadError;
use super::headers::{Headers, Single};
use super::scanner::HeadBytes;
use crate::limits::Limits;

/// Where the headers of one head are listed: 8 KiB on the caller's stack, not initialised, so
/// that reading a head allocates nothing. Use it for one head.
pub struct HeaderSpace<'a>([MaybeUninit<httparse::Header<'a>>; Limits::HEADER_COUNT_CEILING]);

impl HeaderSpace<'_> {
    /// Space for one head.
    #[must_use]
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; Limits::HEADER_COUNT_CEILING])
    }
}

impl fmt::Debug for HeaderSpace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderSpace")
    }
}

/// The version of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// How the body after a request head is framed (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none; also `Content-Length: 0`.
    None,
    /// This many bytes, at least one.
    Length(u64),
    /// Chunks (RFC 9112, 7.1).
    Chunked,
}

/// The head of a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    method: &'a str,
    target: Target<'a>,
    version: Version,
    host: Option<Authority<'a>>,
    body: Body,
    headers: Headers<'a>,
}

impl<'a> RequestHead<'a> {
    /// Reads a head.
    ///
    /// # Errors
    ///
    /// The rule that it breaks. The connection closes after the answer.
    pub fn parse<'b: 'a>(
        head: HeadBytes<'b>,
        space: &'a mut HeaderSpace<'b>,
    ) -> Result<Self, HeadError> {
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(head.as_bytes(), &mut space.0);
        if let Err(error) = parsed {
            return Err(reason(error, head.as_bytes()));
        }
        // Partial, or a part missing, cannot happen: the scanner has seen the last empty line.
        let (Some(method), Some(target), Some(minor)) =
            (request.method, request.path, request.version)
        else {
            return Err(HeadError::StartLine);
        };
        let headers = Headers::new(request.headers);
        let version = version(minor);
        let target = Target::parse(method, target)?;
        let host = host(headers, version)?;
        Ok(Self {
            method,
            target,
            version,
            // RFC 9112, 3.2.2: the host of an absolute target replaces the Host header.
            host: target.authority.or(host),
            body: body(headers, version)?,
            headers,
        })
    }

    /// The method, which is case-sensitive.
    #[must_use]
    pub const fn method(&self) -> &'a str {
        self.method
    }

    /// The path of the target as it was sent, percent-encoded: it begins with `/`, or is `*` for
    /// `OPTIONS *`.
    #[must_use]
    pub const fn path(&self) -> &'a str {
        self.target.path
    }

    /// What follows the first `?` of the target, as it was sent.
    #[must_use]
    pub const fn query(&self) -> Option<&'a str> {
        self.target.query
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whom the request is for: the authority of an absolute target, else the Host header. Only
    /// an HTTP/1.0 request can have none.
    #[must_use]
    pub const fn host(&self) -> Option<Authority<'a>> {
        self.host
    }

    /// How the body is framed.
    #[must_use]
    pub const fn body(&self) -> Body {
        self.body
    }

    /// The headers.
    #[must_use]
    pub const fn headers(&self) -> Headers<'a> {
        self.headers
    }

    /// Whether the connection may serve another request (RFC 9112, 9.3).
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        !self.headers.has_token("connection", "close")
            && match self.version {
                Version::Http10 => self.headers.has_token("connection", "keep-alive"),
                Version::Http11 => true,
            }
    }
}

/// The head of a response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'a> {
    version: Version,
    status: u16,
    reason: &'a str,
    headers: Headers<'a>,
}

impl<'a> ResponseHead<'a> {
    /// Reads a head.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub fn parse<'b: 'a>(
        head: HeadBytes<'b>,
        space: &'a mut HeaderSpace<'b>,
    ) -> Result<Self, HeadError> {
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            head.as_bytes(),
            &mut space.0,
        );
        if let Err(error) = parsed {
            return Err(reason(error, head.as_bytes()));
        }
        let (Some(status), Some(minor)) = (response.code, response.version) else {
            return Err(HeadError::StartLine);
        };
        Ok(Self {
            version: version(minor),
            status,
            reason: response.reason.unwrap_or_default(),
            headers: Headers::new(response.headers),
        })
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase, for people; empty where it was missing or not ASCII.
    #[must_use]
    pub const fn reason(&self) -> &'a str {
        self.reason
    }

    /// The headers.
    #[must_use]
    pub const fn headers(&self) -> Headers<'a> {
        self.headers
    }
}

const fn version(minor: u8) -> Version {
    match minor {
        0 => Version::Http10,
        _ => Version::Http11, // httparse takes 0 and 1
    }
}

/// What is asked for (RFC 9112, 3.2).
#[derive(Debug, Clone, Copy)]
struct Target<'a> {
    authority: Option<Authority<'a>>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn parse(method: &str, target: &'a str) -> Result<Self, HeadError> {
        if method == "CONNECT" {
            return Err(HeadError::Connect);
        }
        // Browsers leave some bytes in a query that RFC 3986 wants encoded, so every visible
        // ASCII byte is taken but `#` (RFC 6455, 3: no fragments).
        if !target
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
        {
            return Err(HeadError::Target);
        }
        let (authority, rest) = if target.starts_with('/') || (target == "*" && method == "OPTIONS")
        {
            (None, target)
        } else {
            let (scheme, rest) = target.split_once("://").ok_or(HeadError::Target)?;
            if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
                return Err(HeadError::Target);
            }
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(end).ok_or(HeadError::Target)?;
            let authority = Authority::parse(authority.as_bytes()).ok_or(HeadError::Target)?;
            (Some(authority), rest)
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        Ok(Self {
            authority,
            path: if path.is_empty() { "/" } else { path },
            query,
        })
    }
}

/// The Host header (RFC 9112, 3.2).
fn host(headers: Headers<'_>, version: Version) -> Result<Option<Authority<'_>>, HeadError> {
    match headers.single("host") {
        Single::One(value) => match Authority::parse(value) {
            Some(host) => Ok(Some(host)),
            None => Err(HeadError::HostMalformed),
        },
        Single::Several => Err(HeadError::HostDuplicate),
        Single::Missing => match version {
            Version::Http10 => Ok(None),
            Version::Http11 => Err(HeadError::HostMissing),
        },
    }
}

/// How the body is framed (RFC 9112, 6.3), stricter than there: what two readers could read
/// differently is refused, because that is how a second request is smuggled.
fn body(headers: Headers<'_>, version: Version) -> Result<Body, HeadError> {
    let length = headers.single("content-length");
    match headers.single("transfer-encoding") {
        Single::Missing => match length {
            Single::Missing => Ok(Body::None),
            Single::One(digits) => match decimal(digits) {
                Some(0) => Ok(Body::None),
                Some(length) => Ok(Body::Length(length)),
                None => Err(HeadError::LengthMalformed),
            },
            Single::Several => Err(HeadError::LengthDuplicate),
        },
        Single::One(_) | Single::Several if length != Single::Missing => {
            Err(HeadError::TransferEncodingWithLength)
        }
        Single::One(_) | Single::Several if version == Version::Http10 => {
            Err(HeadError::TransferEncodingHttp10)
        }
        Single::One(coding) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Body::Chunked),
        Single::One(_) | Single::Several => Err(HeadError::TransferEncoding),
    }
}

/// A number of digits only: no sign, no space, no list.
fn decimal(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Our reason for an error of httparse, which cannot tell a version that we do not speak from a
/// line that is no request.
fn reason(error: httparse::Error, head: &[u8]) -> HeadError {
    match error {
        httparse::Error::HeaderName => HeadError::HeaderName,
        httparse::Error::HeaderValue => HeadError::HeaderValue,
        httparse::Error::TooManyHeaders => HeadError::TooManyHeaders,
        httparse::Error::Version => version_error(head),
        httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token => {
            HeadError::StartLine
        }
    }
}

fn version_error(head: &[u8]) -> HeadError {
    let line = head
        .trim_ascii_start()
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    if line == b"PRI * HTTP/2.0" {
        return HeadError::Http2Preface;
    }
    // 1.0 and 1.1 are not what is wrong with a line that has them.
    let is_other_version = |word: &[u8]| match word.strip_prefix(b"HTTP/") {
        Some(b"1.0" | b"1.1") | None => false,
        Some(number) => matches!(number, [b'0'..=b'9'] | [b'0'..=b'9', b'.', b'0'..=b'9']),
    };
    if line.split(|byte| *byte == b' ').any(is_other_version) {
        HeadError::HttpVersion
    } else {
        HeadError::StartLine
    }
}

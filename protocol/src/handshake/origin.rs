//! Which web pages may connect (RFC 6455, 10.2).
//!
//! A browser lets any page open a WebSocket to any server and sends the cookies along; the
//! `Origin` header is all that tells the pages apart. Other clients send none, and can write
//! whatever they like into it: this protects the people in front of browsers and nothing else.
//!
//! Same origin means that `Origin` and `Host` name one host and port. A page whose name its owner
//! points at our address (DNS rebinding) passes; whoever must rule that out checks
//! [`RequestHead::host`] against a list of names.

use std::fmt;
use std::str::FromStr;

use super::authority::Authority;
use super::head::RequestHead;
use super::headers::{Single, token};

/// A web origin: scheme, host and port (RFC 6454, 4). Compares by all three, without regard to
/// case, with the scheme's port where none was sent.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    scheme: &'a str,
    authority: Authority<'a>,
}

impl<'a> Origin<'a> {
    /// Reads one origin as browsers write it (RFC 6454, 6.1). `None` for `null`, for several, for
    /// a path, and for one without a host, such as `file://`.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (scheme, authority) = str::from_utf8(bytes).ok()?.split_once("://")?;
        token(scheme.as_bytes())?;
        Some(Self {
            scheme,
            authority: Authority::parse(authority.as_bytes())?,
        })
    }

    /// The port, sent or the scheme's.
    fn port(&self) -> Option<u16> {
        self.authority.port().or_else(|| default_port(self.scheme))
    }

    fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// Whether a page of this origin came from `host`. Which scheme the page used is not compared,
    /// because TLS may end before us; where `host` names no port it is the scheme's.
    fn is_from(&self, host: &Authority<'_>) -> bool {
        let default_port = default_port(self.scheme);
        default_port.is_some() && self.authority.same(host, default_port)
    }
}

impl PartialEq for Origin<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.scheme)
            && self
                .authority
                .same(&other.authority, default_port(self.scheme))
    }
}

/// The port that a browser does not write for this scheme.
fn default_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("http") {
        Some(80)
    } else if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else {
        None
    }
}

/// Which origins may connect. A request without `Origin` does not come from a page and always
/// may; a request with several never does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OriginPolicy {
    /// The page must come from the host and port that it connects to.
    #[default]
    SameOrigin,
    /// Same origin, or one of these: a list adds to the same origin and does not replace it.
    List(Vec<OriginPattern>),
    /// Every page may connect, also one whose origin is `null`. Cookies then prove nothing.
    Any,
}

impl OriginPolicy {
    /// The policy of these arguments of a command line: none is [`SameOrigin`](Self::SameOrigin),
    /// `*` among them is [`Any`](Self::Any).
    ///
    /// # Errors
    ///
    /// The first argument that is neither `*` nor an [`OriginPattern`].
    pub fn from_arguments(arguments: &[impl AsRef<str>]) -> Result<Self, OriginPatternError> {
        let mut patterns = Vec::new();
        let mut any = false;
        for argument in arguments {
            let argument = argument.as_ref();
            if argument == "*" {
                any = true;
            } else {
                patterns.push(argument.parse()?);
            }
        }
        Ok(match (any, patterns.is_empty()) {
            (true, _) => Self::Any,
            (false, true) => Self::SameOrigin,
            (false, false) => Self::List(patterns),
        })
    }

    /// Whether the page that sends this request may connect.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self, head: &RequestHead<'_>) -> Result<(), OriginError> {
        let value = match head.headers().single("origin") {
            Single::Missing => return Ok(()),
            Single::One(value) => value,
            Single::Several => return Err(OriginError::Several),
        };
        if *self == Self::Any {
            return Ok(());
        }
        if value == b"null" {
            return Err(OriginError::Null);
        }
        let origin = Origin::parse(value).ok_or(OriginError::Malformed)?;
        let listed = match self {
            Self::List(patterns) => patterns.iter().any(|pattern| pattern.matches(&origin)),
            Self::SameOrigin | Self::Any => false,
        };
        if listed || head.host().is_some_and(|host| origin.is_from(&host)) {
            Ok(())
        } else {
            Err(OriginError::NotAllowed)
        }
    }
}

/// An origin that may connect, such as `https://example.com`, `http://localhost:3000` or
/// `https://*.example.com`. The asterisk stands for exactly one whole label, so neither
/// `https://example.com` nor `https://a.b.example.com` matches the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    scheme: String,
    /// The host, or with `wildcard` what follows its first label, from the dot on.
    host: String,
    wildcard: bool,
    port: Option<u16>,
}

impl OriginPattern {
    /// Whether an origin is the one, or one of those, that the pattern names.
    #[must_use]
    pub fn matches(&self, origin: &Origin<'_>) -> bool {
        let host = origin.authority.host();
        let host = if self.wildcard {
            match host.find('.').and_then(|dot| host.split_at_checked(dot)) {
                Some((label, rest)) if !label.is_empty() => rest,
                Some(_) | None => return false,
            }
        } else {
            host
        };
        origin.is(&self.scheme)
            && host.eq_ignore_ascii_case(&self.host)
            && origin.port() == self.port
    }
}

impl FromStr for OriginPattern {
    type Err = OriginPatternError;

    fn from_str(text: &str) -> Result<Self, OriginPatternError> {
        if text.eq_ignore_ascii_case("null") {
            return Err(OriginPatternError::Null);
        }
        let (scheme, rest) = text.split_once("://").ok_or(OriginPatternError::Scheme)?;
        if rest.contains(['/', '?', '#']) {
            return Err(OriginPatternError::Path);
        }
        let (wildcard, host) = match rest.strip_prefix("*.") {
            Some(parent) => (true, parent),
            None => (false, rest),
        };
        if host.contains('*') || (wildcard && host.starts_with(['[', '.'])) {
            return Err(OriginPatternError::Wildcard);
        }
        token(scheme.as_bytes()).ok_or(OriginPatternError::Scheme)?;
        let authority = Authority::parse(host.as_bytes()).ok_or(OriginPatternError::Host)?;
        let origin = Origin { scheme, authority };
        let dot = if wildcard { "." } else { "" };
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            host: [dot, &authority.host().to_ascii_lowercase()].concat(),
            wildcard,
            port: origin.port(),
        })
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.wildcard { "*" } else { "" };
        write!(f, "{}://{star}{}", self.scheme, self.host)?;
        match self.port {
            Some(port) if self.port != default_port(&self.scheme) => write!(f, ":{port}"),
            Some(_) | None => Ok(()),
        }
    }
}

/// Why a page may not connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginError {
    /// There are several Origin headers.
    Several,
    /// The origin is `null`: a file, a sandboxed frame, or a redirect between origins.
    Null,
    /// Origin is not a scheme and a host with an optional port.
    Malformed,
    /// The origin is not one that may connect.
    NotAllowed,
}

impl OriginError {
    /// The status code of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Several | Self::Malformed => 400,
            Self::Null | Self::NotAllowed => 403,
        }
    }

    /// One line for the body of the answer, for the person at the other end.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Several => "send one Origin header, not several",
            Self::Null => {
                "a page whose origin is null (a file, a sandboxed frame) may not connect: serve \
                 it over http"
            }
            Self::Malformed => "Origin must be a scheme and a host, such as https://example.com",
            Self::NotAllowed => {
                "pages of this origin may not connect: the server's operator can allow it"
            }
        }
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for OriginError {}

/// Why a text is not an [`OriginPattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginPatternError {
    /// `null`, which every sandboxed page has.
    Null,
    /// There is no scheme.
    Scheme,
    /// Something follows the host and port.
    Path,
    /// An asterisk stands for something else than the whole first label of a name.
    Wildcard,
    /// The host or the port is none.
    Host,
}

impl fmt::Display for OriginPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "`null` is the origin of every sandboxed page and cannot be allowed",
            Self::Scheme => "an origin begins with its scheme, such as https://example.com",
            Self::Path => "an origin ends with the host or port: leave out the slash and the path",
            Self::Wildcard => {
                "`*` may only stand for the whole first label, as in https://*.example.com"
            }
            Self::Host => "an origin has a host name or address and a port up to 65535",
        })
    }
}

impl std::error::Error for OriginPatternError {}

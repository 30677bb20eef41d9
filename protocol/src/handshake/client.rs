//! The client's side of the opening handshake (RFC 6455, 4.1).

use std::fmt;

use super::authority::Authority;
use super::extensions::Extensions;
use super::extra_headers::ExtraHeaders;
use super::head::{ResponseHead, Version};
use super::headers::{Headers, Single, token};
use super::key::Key;
use crate::deflate::{Agreement, AnswerError, DeflateConfig};

/// What a client asks for.
#[derive(Debug, Clone, Copy)]
pub struct ClientRequest<'a> {
    /// Host and, unless it is the scheme's, port.
    pub host: &'a str,
    /// Path and query, percent-encoded.
    pub target: &'a str,
    /// Subprotocols, the best liked first.
    pub subprotocols: &'a [&'a str],
    /// The most that permessage-deflate may do, `None` not to offer it.
    pub deflate: Option<DeflateConfig>,
    /// Further headers, such as Origin or Authorization.
    pub extra: &'a ExtraHeaders,
}

impl ClientRequest<'_> {
    /// Appends the request to `out`. `nonce` is random and new for each connection (RFC 6455,
    /// 4.1, 7).
    ///
    /// # Errors
    ///
    /// What may not be asked for; then nothing is appended.
    pub fn write(
        &self,
        nonce: [u8; 16],
        out: &mut Vec<u8>,
    ) -> Result<ClientHandshake, RequestError> {
        self.check()?;
        let key = Key::encode(nonce);
        for part in [
            "GET ".as_bytes(),
            self.target.as_bytes(),
            b" HTTP/1.1\r\nHost: ",
            self.host.as_bytes(),
            b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ",
            key.as_bytes(),
            b"\r\nSec-WebSocket-Version: 13\r\n",
        ] {
            out.extend_from_slice(part);
        }
        for (place, subprotocol) in self.subprotocols.iter().enumerate() {
            out.extend_from_slice(match place {
                0 => b"Sec-WebSocket-Protocol: ".as_slice(),
                _ => b", ",
            });
            out.extend_from_slice(subprotocol.as_bytes());
        }
        if !self.subprotocols.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
        if let Some(deflate) = self.deflate {
            out.extend_from_slice(b"Sec-WebSocket-Extensions: ");
            deflate.write_offer(out);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(self.extra.as_bytes());
        out.extend_from_slice(b"\r\n");
        Ok(ClientHandshake {
            accept: key.accept(),
            subprotocols: self.subprotocols.iter().map(|&name| name.into()).collect(),
            deflate: self.deflate,
        })
    }

    fn check(&self) -> Result<(), RequestError> {
        if Authority::parse(self.host.as_bytes()).is_none() {
            return Err(RequestError::Host);
        }
        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if !self.target.starts_with('/') || !self.target.bytes().all(visible) {
            return Err(RequestError::Target);
        }
        let mut rest = self.subprotocols;
        while let [name, later @ ..] = rest {
            if token(name.as_bytes()).is_none() || later.contains(name) {
                return Err(RequestError::Subprotocols);
            }
            rest = later;
        }
        Ok(())
    }
}

/// Why a request cannot be written. The fault is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestError {
    /// The host is not a host name or address with an optional port.
    Host,
    /// The target does not begin with `/`, or has a fragment, a space, or a byte that must be
    /// percent-encoded.
    Target,
    /// A subprotocol is not a token, or stands twice (RFC 6455, 4.1, 10).
    Subprotocols,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the host must be a host name or address, with an optional port",
            Self::Target => "the target must begin with `/`, be percent-encoded and have no `#`",
            Self::Subprotocols => "subprotocols must be tokens, each once (RFC 6455, 4.1)",
        })
    }
}

impl std::error::Error for RequestError {}

/// A request that was sent and waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHandshake {
    accept: [u8; 28],
    subprotocols: Vec<String>,
    deflate: Option<DeflateConfig>,
}

/// What a handshake agreed upon. The bytes after the response's head are frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Established<'a> {
    /// The subprotocol that the server chose from those offered.
    pub subprotocol: Option<&'a str>,
    /// What was agreed upon for permessage-deflate.
    pub deflate: Option<Agreement>,
}

impl ClientHandshake {
    /// Checks the server's answer by every rule of RFC 6455, 4.1.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks. The connection has failed; [`ResponseError::Status`] is an
    /// answer of ordinary HTTP, such as a redirect, which the caller may act upon.
    pub fn finish(&self, head: &ResponseHead<'_>) -> Result<Established<'_>, ResponseError> {
        if head.status() != 101 {
            return Err(ResponseError::Status(head.status()));
        }
        if head.version() < Version::Http11 {
            return Err(ResponseError::HttpVersion);
        }
        let headers = head.headers();
        match headers.single("upgrade") {
            Single::One(value) if value.eq_ignore_ascii_case(b"websocket") => {}
            Single::Missing | Single::One(_) | Single::Several => {
                return Err(ResponseError::Upgrade);
            }
        }
        if !headers.has_token("connection", "upgrade") {
            return Err(ResponseError::Connection);
        }
        match headers.single("sec-websocket-accept") {
            Single::Missing => return Err(ResponseError::AcceptMissing),
            Single::One(value) if value == self.accept => {}
            Single::One(_) | Single::Several => return Err(ResponseError::AcceptWrong),
        }
        Ok(Established {
            deflate: self.extensions(headers)?,
            subprotocol: self.subprotocol(headers)?,
        })
    }

    fn extensions(&self, headers: Headers<'_>) -> Result<Option<Agreement>, ResponseError> {
        let mut agreement = None;
        for extension in Extensions::new(headers.all("sec-websocket-extensions")) {
            let extension = extension.map_err(|_| ResponseError::ExtensionsMalformed)?;
            let config = match self.deflate {
                Some(config) if extension.name() == DeflateConfig::NAME => config,
                Some(_) | None => return Err(ResponseError::ExtensionNotOffered),
            };
            if agreement.is_some() {
                return Err(ResponseError::ExtensionDuplicate);
            }
            let agreed = config.accept(&extension).map_err(ResponseError::Deflate)?;
            agreement = Some(agreed);
        }
        Ok(agreement)
    }

    fn subprotocol(&self, headers: Headers<'_>) -> Result<Option<&str>, ResponseError> {
        let chosen = match headers.single("sec-websocket-protocol") {
            Single::Missing => return Ok(None),
            Single::Several => return Err(ResponseError::SubprotocolDuplicate),
            Single::One(chosen) => chosen,
        };
        let mut offered = self.subprotocols.iter().map(String::as_str);
        match offered.find(|name| name.as_bytes() == chosen) {
            Some(name) => Ok(Some(name)),
            None => Err(ResponseError::SubprotocolNotOffered),
        }
    }
}

/// Why a server's answer fails the handshake. Each variant is one rule of RFC 6455, 4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseError {
    /// The status is not 101.
    Status(u16),
    /// The 101 is not HTTP/1.1.
    HttpVersion,
    /// Upgrade is missing or is not exactly `websocket`.
    Upgrade,
    /// Connection is missing or does not have `upgrade`.
    Connection,
    /// Sec-WebSocket-Accept is missing.
    AcceptMissing,
    /// Sec-WebSocket-Accept does not belong to our key.
    AcceptWrong,
    /// Sec-WebSocket-Extensions does not follow its grammar.
    ExtensionsMalformed,
    /// The answer has an extension that we did not offer.
    ExtensionNotOffered,
    /// The answer has the same extension twice.
    ExtensionDuplicate,
    /// The answer to permessage-deflate is not one to our offer.
    Deflate(AnswerError),
    /// There are several Sec-WebSocket-Protocol headers.
    SubprotocolDuplicate,
    /// The answer has a subprotocol that we did not offer.
    SubprotocolNotOffered,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status(status) => {
                return write!(
                    f,
                    "the server answered with status {status}, not 101 (RFC 6455, 4.1)"
                );
            }
            Self::Deflate(error) => return error.fmt(f),
            Self::HttpVersion => "the server's 101 is not HTTP/1.1 (RFC 6455, 4.2.2)",
            Self::Upgrade => "the server's 101 lacks `Upgrade: websocket` (RFC 6455, 4.1)",
            Self::Connection => "the server's 101 lacks `Connection: Upgrade` (RFC 6455, 4.1)",
            Self::AcceptMissing => "the server's 101 lacks Sec-WebSocket-Accept (RFC 6455, 4.1)",
            Self::AcceptWrong => {
                "the server's Sec-WebSocket-Accept does not belong to our key (RFC 6455, 4.1)"
            }
            Self::ExtensionsMalformed => {
                "the server's Sec-WebSocket-Extensions does not follow its grammar (RFC 6455, 9.1)"
            }
            Self::ExtensionNotOffered => {
                "the server answered with an extension that was not offered (RFC 6455, 4.1)"
            }
            Self::ExtensionDuplicate => {
                "the server answered with permessage-deflate twice (RFC 7692, 5)"
            }
            Self::SubprotocolDuplicate => {
                "the server answered with several subprotocols (RFC 6455, 11.3.4)"
            }
            Self::SubprotocolNotOffered => {
                "the server answered with a subprotocol that was not offered (RFC 6455, 4.1)"
            }
        })
    }
}

impl std::error::Error for ResponseError {}

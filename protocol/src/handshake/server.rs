//! The server's side of the opening handshake (RFC 6455, 4.2).

use std::fmt;

use super::extensions::Extensions;
use super::extra_headers::ExtraHeaders;
use super::head::{Body, RequestHead, Version};
use super::headers::{Headers, Single, token};
use super::key::Key;
use super::origin::{OriginError, OriginPolicy};
use crate::deflate::{Agreement, Answer, DeflateConfig};

/// What a server agrees to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeOptions {
    /// Which web pages may connect.
    pub origins: OriginPolicy,
    /// The most that permessage-deflate may do, `None` to decline it.
    pub deflate: Option<DeflateConfig>,
}

impl Default for UpgradeOptions {
    /// Pages of the same origin, and [`DeflateConfig::default`].
    fn default() -> Self {
        Self {
            origins: OriginPolicy::SameOrigin,
            deflate: Some(DeflateConfig::default()),
        }
    }
}

/// Whether a request asks to become a WebSocket, well or badly; [`upgrade`] then answers it.
/// Everything else is ordinary HTTP: a request for another protocol such as `h2c` (a server may
/// always go on in HTTP/1.1), and HTTP/1.0, in which `Upgrade` is ignored (RFC 9110, 7.8).
#[must_use]
pub fn wants_upgrade(head: &RequestHead<'_>) -> bool {
    head.version() == Version::Http11 && head.headers().has_token("upgrade", "websocket")
}

/// Checks a request by every rule of RFC 6455, 4.2.1 and 4.2.2.
///
/// # Errors
///
/// The first rule that it breaks. Answer with [`Refusal::status`] and close: what follows the
/// head is neither a frame nor, where the client takes the upgrade for granted, a request.
pub fn upgrade<'a>(
    head: &RequestHead<'a>,
    options: &UpgradeOptions,
) -> Result<Upgrade<'a>, Refusal> {
    let headers = head.headers();
    if head.method() != "GET" {
        return Err(Refusal::Method);
    }
    if head.version() < Version::Http11 {
        return Err(Refusal::HttpVersion);
    }
    if !headers.has_token("upgrade", "websocket") {
        return Err(Refusal::NoUpgrade);
    }
    if !headers.has_token("connection", "upgrade") {
        return Err(Refusal::NoConnectionUpgrade);
    }
    if head.body() != Body::None {
        return Err(Refusal::Body);
    }
    let key = match headers.single("sec-websocket-key") {
        Single::Missing => return Err(Refusal::KeyMissing),
        Single::Several => return Err(Refusal::KeyDuplicate),
        Single::One(value) => Key::read(value).ok_or(Refusal::KeyMalformed)?,
    };
    match headers.single("sec-websocket-version") {
        Single::Missing => return Err(Refusal::VersionMissing),
        Single::Several => return Err(Refusal::VersionDuplicate),
        Single::One(b"13") => {}
        Single::One(_) => return Err(Refusal::VersionUnsupported),
    }
    if !subprotocols_are_tokens(headers) {
        return Err(Refusal::SubprotocolMalformed);
    }
    let mut offers = Extensions::new(headers.all("sec-websocket-extensions"));
    let deflate = match options.deflate {
        Some(config) => config.negotiate(offers),
        None => offers.try_for_each(|offer| offer.map(drop)).map(|()| None),
    };
    let deflate = deflate.map_err(|_| Refusal::ExtensionsMalformed)?;
    options.origins.check(head).map_err(Refusal::Origin)?;
    Ok(Upgrade {
        key,
        headers,
        subprotocol: None,
        deflate,
    })
}

/// A request that may become a WebSocket. The application still decides, and may choose one of
/// the subprotocols.
#[derive(Debug, Clone, Copy)]
pub struct Upgrade<'a> {
    key: Key,
    headers: Headers<'a>,
    subprotocol: Option<&'a str>,
    deflate: Option<Answer>,
}

impl<'a> Upgrade<'a> {
    /// The subprotocols that the client offers, the one that it likes best first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.headers
            .list("sec-websocket-protocol")
            .filter_map(token)
    }

    /// Chooses the subprotocol to answer with. Without a choice none is answered, and the client
    /// decides whether it goes on.
    ///
    /// # Errors
    ///
    /// The client has not offered it (RFC 6455, 4.2.2: then it must not be answered). Nothing
    /// changes.
    pub fn choose_subprotocol(&mut self, name: &str) -> Result<(), SubprotocolNotOffered> {
        match self.subprotocols().find(|offered| *offered == name) {
            Some(offered) => {
                self.subprotocol = Some(offered);
                Ok(())
            }
            None => Err(SubprotocolNotOffered),
        }
    }

    /// The subprotocol that was chosen.
    #[must_use]
    pub const fn subprotocol(&self) -> Option<&'a str> {
        self.subprotocol
    }

    /// What was agreed upon for permessage-deflate.
    #[must_use]
    pub fn deflate(&self) -> Option<Agreement> {
        self.deflate.as_ref().map(Answer::agreement)
    }

    /// Appends the 101 (RFC 6455, 4.2.2, 5). The bytes that follow the request's head are frames
    /// from here on.
    pub fn write_response(&self, extra: &ExtraHeaders, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\n\
              Upgrade: websocket\r\n\
              Connection: Upgrade\r\n\
              Sec-WebSocket-Accept: ",
        );
        out.extend_from_slice(&self.key.accept());
        if let Some(subprotocol) = self.subprotocol {
            out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            out.extend_from_slice(subprotocol.as_bytes());
        }
        if let Some(answer) = &self.deflate {
            out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
            answer.write(out);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(extra.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// `Sec-WebSocket-Protocol = 1#token` (RFC 6455, 4.3): where the header is there, it has an
/// element, and every element is a token.
fn subprotocols_are_tokens(headers: Headers<'_>) -> bool {
    let mut elements = headers.list("sec-websocket-protocol").peekable();
    (elements.peek().is_some() || headers.get("sec-websocket-protocol").is_none())
        && elements.all(|element| token(element).is_some())
}

/// The application chose a subprotocol that the client has not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubprotocolNotOffered;

impl fmt::Display for SubprotocolNotOffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only a subprotocol that the client offers may be chosen (RFC 6455, 4.2.2)")
    }
}

impl std::error::Error for SubprotocolNotOffered {}

/// Why a request does not become a WebSocket. Each variant is one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The method is not GET.
    Method,
    /// The request is HTTP/1.0.
    HttpVersion,
    /// Upgrade is missing or does not have `websocket`.
    NoUpgrade,
    /// Connection is missing or does not have `upgrade`.
    NoConnectionUpgrade,
    /// The request has a body.
    Body,
    /// Sec-WebSocket-Key is missing.
    KeyMissing,
    /// There are several Sec-WebSocket-Key headers.
    KeyDuplicate,
    /// Sec-WebSocket-Key is not the base64 of 16 bytes.
    KeyMalformed,
    /// Sec-WebSocket-Version is missing.
    VersionMissing,
    /// There are several Sec-WebSocket-Version headers.
    VersionDuplicate,
    /// Sec-WebSocket-Version is not 13.
    VersionUnsupported,
    /// Sec-WebSocket-Protocol is not a list of tokens.
    SubprotocolMalformed,
    /// Sec-WebSocket-Extensions does not follow its grammar.
    ExtensionsMalformed,
    /// The page that asks may not connect.
    Origin(OriginError),
}

impl Refusal {
    /// The status code of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::HttpVersion => 505,
            Self::NoUpgrade | Self::VersionMissing | Self::VersionUnsupported => 426,
            Self::NoConnectionUpgrade
            | Self::Body
            | Self::KeyMissing
            | Self::KeyDuplicate
            | Self::KeyMalformed
            | Self::VersionDuplicate
            | Self::SubprotocolMalformed
            | Self::ExtensionsMalformed => 400,
            Self::Origin(error) => error.status(),
        }
    }

    /// Headers that the answer must have.
    #[must_use]
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // RFC 9110, 15.5.6.
            Self::Method => &[("Allow", "GET")],
            // RFC 6455, 4.2.2 and 4.4; RFC 9110, 7.8 and 15.5.22.
            Self::NoUpgrade | Self::VersionMissing | Self::VersionUnsupported => &[
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Version", "13"),
            ],
            Self::HttpVersion
            | Self::NoConnectionUpgrade
            | Self::Body
            | Self::KeyMissing
            | Self::KeyDuplicate
            | Self::KeyMalformed
            | Self::VersionDuplicate
            | Self::SubprotocolMalformed
            | Self::ExtensionsMalformed
            | Self::Origin(_) => &[],
        }
    }

    /// One line for the body of the answer, for the person at the other end.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Method => "a WebSocket is opened with GET",
            Self::HttpVersion => "a WebSocket is opened with HTTP/1.1",
            Self::NoUpgrade => {
                "this is a WebSocket endpoint: connect with a WebSocket client, which sends \
                 `Upgrade: websocket`"
            }
            Self::NoConnectionUpgrade => {
                "send `Connection: Upgrade` beside `Upgrade: websocket`; a proxy in between may \
                 have removed it"
            }
            Self::Body => "a WebSocket handshake has no body",
            Self::KeyMissing => "send Sec-WebSocket-Key",
            Self::KeyDuplicate => "send one Sec-WebSocket-Key header, not several",
            Self::KeyMalformed => "Sec-WebSocket-Key must be the base64 of 16 bytes",
            Self::VersionMissing => "send `Sec-WebSocket-Version: 13`",
            Self::VersionDuplicate => "send one Sec-WebSocket-Version header, not several",
            Self::VersionUnsupported => "the version spoken is `Sec-WebSocket-Version: 13`",
            Self::SubprotocolMalformed => {
                "Sec-WebSocket-Protocol must be a list of tokens, separated by commas"
            }
            Self::ExtensionsMalformed => {
                "Sec-WebSocket-Extensions must be a list of tokens with parameters, such as \
                 `permessage-deflate; client_max_window_bits`"
            }
            Self::Origin(error) => error.text(),
        }
    }

    /// Where the rule stands.
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Self::Method | Self::HttpVersion => "RFC 6455, 4.2.1, 1",
            Self::NoUpgrade => "RFC 6455, 4.2.1, 3",
            Self::NoConnectionUpgrade => "RFC 6455, 4.2.1, 4",
            Self::Body => "RFC 6455, 4.1: the handshake is a GET without a body",
            Self::KeyMissing | Self::KeyMalformed => "RFC 6455, 4.2.1, 5",
            Self::KeyDuplicate => "RFC 6455, 11.3.1",
            Self::VersionMissing => "RFC 6455, 4.2.1, 6",
            Self::VersionDuplicate => "RFC 6455, 11.3.5",
            Self::VersionUnsupported => "RFC 6455, 4.4",
            Self::SubprotocolMalformed => "RFC 6455, 4.3",
            Self::ExtensionsMalformed => "RFC 6455, 9.1",
            Self::Origin(_) => "RFC 6455, 10.2",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.section())
    }
}

impl std::error::Error for Refusal {}

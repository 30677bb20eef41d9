//! What is measured: a URL, resolved once.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// How the server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `ws://`: a WebSocket.
    WebSocket,
    /// `tcp://`: no handshake; the server returns the bytes that it gets. They are the same
    /// frames, so that the generator's own cost stays the same: the floor under every server.
    Tcp,
}

/// A URL such as `ws://127.0.0.1:9001/echo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: String,
    scheme: Scheme,
    host: String,
    path: String,
    address: SocketAddr,
}

impl Target {
    /// How the server is spoken to.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Host and port, as the URL has them.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Path and query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// Why a URL cannot be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetError {
    /// Neither `ws://` nor `tcp://`.
    Scheme,
    /// No host.
    Host,
    /// The host has no address, or the port is not a number.
    Address(String),
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("write ws://HOST:PORT/PATH (or tcp://HOST:PORT)"),
            Self::Host => f.write_str("the URL has no host: write ws://HOST:PORT/PATH"),
            Self::Address(reason) => write!(f, "no address to connect to: {reason}"),
        }
    }
}

impl std::error::Error for TargetError {}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = match url.split_once("://") {
            Some(("ws", rest)) => (Scheme::WebSocket, rest),
            Some(("tcp", rest)) => (Scheme::Tcp, rest),
            Some(_) | None => return Err(TargetError::Scheme),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        if host.is_empty() {
            return Err(TargetError::Host);
        }
        let path = match path.strip_prefix('?') {
            Some(query) => format!("/?{query}"),
            None if path.is_empty() => "/".to_owned(),
            None => path.to_owned(),
        };
        // The colon of a port stands behind the bracket that ends an IPv6 address.
        let has_port = host.rfind(':') > host.rfind(']');
        let resolved = match (has_port, scheme) {
            (true, _) => host.to_socket_addrs(),
            (false, Scheme::WebSocket) => format!("{host}:80").to_socket_addrs(),
            (false, Scheme::Tcp) => return Err(TargetError::Address("no port".to_owned())),
        };
        let address = resolved
            .map_err(|error| TargetError::Address(error.to_string()))?
            .next()
            .ok_or_else(|| TargetError::Address(format!("{host} resolves to nothing")))?;
        Ok(Self {
            url: url.to_owned(),
            scheme,
            host: host.to_owned(),
            path,
            address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let target: Target = "ws://127.0.0.1:9001/echo?x=1".parse().unwrap();
        assert_eq!(target.scheme(), Scheme::WebSocket);
        assert_eq!(target.address(), "127.0.0.1:9001".parse().unwrap());
        assert_eq!(target.host(), "127.0.0.1:9001");
        assert_eq!(target.path(), "/echo?x=1");

        let bare: Target = "ws://[::1]".parse().unwrap();
        assert_eq!(bare.address(), "[::1]:80".parse().unwrap());
        assert_eq!(bare.path(), "/");

        let query: Target = "ws://127.0.0.1:1?x".parse().unwrap();
        assert_eq!(query.path(), "/?x");
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let refused = |url: &str| url.parse::<Target>().unwrap_err();
        assert_eq!(refused("127.0.0.1:9001"), TargetError::Scheme);
        assert_eq!(refused("wss://127.0.0.1"), TargetError::Scheme);
        assert_eq!(refused("ws:///echo"), TargetError::Host);
        assert!(matches!(
            refused("ws://127.0.0.1:x"),
            TargetError::Address(_)
        ));
        assert!(matches!(
            refused("tcp://127.0.0.1"),
            TargetError::Address(_)
        ));
    }
}

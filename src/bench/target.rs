//! What is measured: a URL, resolved once.

use std::fmt;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

/// How long each of several addresses has to take a connection.
const REACH_TIMEOUT: Duration = Duration::from_secs(1);

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
    /// The other addresses that the host has.
    others: Vec<SocketAddr>,
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

    /// The same at the first of the host's addresses where somebody listens; as it is if nobody
    /// does. `localhost` is `::1` and 127.0.0.1, and most servers listen on one of them.
    pub(super) fn reached(&self) -> Self {
        let mut reached = self.clone();
        let others = std::mem::take(&mut reached.others);
        if !others.is_empty() {
            let mut all = std::iter::once(self.address).chain(others);
            let listens = |address: &SocketAddr| TcpStream::connect_timeout(address, REACH_TIMEOUT);
            reached.address = all.find(|one| listens(one).is_ok()).unwrap_or(self.address);
        }
        reached
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
    /// `wss://`.
    Tls,
    /// No host.
    Host,
    /// The host has no address, or the port is not a number.
    Address(String),
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("write ws://HOST:PORT/PATH (or tcp://HOST:PORT)"),
            Self::Tls => f.write_str(
                "TLS is not offered: write ws://HOST:PORT/PATH, with the port behind the proxy",
            ),
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
            Some(("wss", _)) => return Err(TargetError::Tls),
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
        let mut resolved = resolved.map_err(|error| TargetError::Address(error.to_string()))?;
        let address = resolved
            .next()
            .ok_or_else(|| TargetError::Address(format!("{host} resolves to nothing")))?;
        Ok(Self {
            url: url.to_owned(),
            scheme,
            host: host.to_owned(),
            path,
            address,
            others: resolved.filter(|other| *other != address).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use socket2::{Domain, Socket, Type};

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
    fn of_several_addresses_the_one_that_listens_counts() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let listening = socket.local_addr().unwrap();
        // Held without listening, so that nobody else listens there.
        let held = [(); 2].map(|()| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            socket.bind(&any.into()).unwrap();
            socket
        });
        let address = |socket: &Socket| socket.local_addr().unwrap().as_socket().unwrap();
        let [dead, dead_too] = held.each_ref().map(address);
        let reached = |address, others: &[SocketAddr]| {
            let target: Target = "ws://127.0.0.1:1/".parse().unwrap();
            let others = others.to_vec();
            let target = Target {
                address,
                others,
                ..target
            };
            target.reached().address()
        };
        assert_eq!(reached(dead, &[dead_too, listening]), listening);
        assert_eq!(reached(listening, &[dead]), listening);
        assert_eq!(reached(dead, &[dead_too]), dead);
        assert_eq!(reached(dead, &[]), dead);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let refused = |url: &str| url.parse::<Target>().unwrap_err();
        assert_eq!(refused("127.0.0.1:9001"), TargetError::Scheme);
        assert_eq!(refused("wss://127.0.0.1"), TargetError::Tls);
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

//! Where to listen: an address and a port, `127.0.0.1:9001` or `[::1]:9001`.
//!
//! Names are not looked up, so that a server never waits for a resolver to start and never listens
//! where nobody said; `localhost` alone is known, as 127.0.0.1. A port alone is refused, since it
//! does not say who may connect.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Reads one address.
pub(super) fn parse(text: &str) -> Result<SocketAddr, AddressError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(text).parse() {
        return Err(AddressError::NoPort(ip));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let Ok(port) = port.parse() else {
        return Err(AddressError::Malformed);
    };
    match host {
        "" => Err(AddressError::PortAlone(port)),
        "localhost" => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        _ if host.contains(':') => Err(AddressError::Malformed),
        _ => Err(AddressError::Name),
    }
}

/// Why a text is no address to listen on. Displays as what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressError {
    /// An address without a port.
    NoPort(IpAddr),
    /// A port without an address.
    PortAlone(u16),
    /// A name that would have to be looked up.
    Name,
    /// Nothing of the kind.
    Malformed,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPort(ip) => {
                write!(f, "add the port, such as {}", SocketAddr::new(*ip, 9001))
            }
            Self::PortAlone(port) => write!(
                f,
                "say who may connect: 127.0.0.1:{port} for this machine, 0.0.0.0:{port} or \
                 [::]:{port} for every network"
            ),
            Self::Name => f.write_str(
                "names are not looked up: write an address, such as 127.0.0.1:9001 or [::1]:9001",
            ),
            Self::Malformed => f.write_str(
                "write an address and a port up to 65535, such as 127.0.0.1:9001 or [::1]:9001",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressError, parse};

    #[test]
    fn an_address_with_a_port_is_taken() {
        let cases = [
            ("127.0.0.1:9001", "127.0.0.1:9001"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::1]:9001", "[::1]:9001"),
            ("[::]:9001", "[::]:9001"),
            ("localhost:80", "127.0.0.1:80"),
        ];
        for (text, address) in cases {
            assert_eq!(parse(text).map(|a| a.to_string()), Ok(address.to_owned()));
        }
    }

    #[test]
    fn anything_else_is_told_what_to_write() {
        let no_port = |ip: &str| AddressError::NoPort(ip.parse().unwrap());
        let cases = [
            ("9001", AddressError::PortAlone(9001)),
            (":9001", AddressError::PortAlone(9001)),
            ("127.0.0.1", no_port("127.0.0.1")),
            ("::1", no_port("::1")),
            ("[::1]", no_port("::1")),
            // A valid IPv6 address, and what somebody writes who means a port.
            ("::1:9001", no_port("::1:9001")),
            ("example.com:9001", AddressError::Name),
            ("*:9001", AddressError::Name),
            ("127.0.0.1:65536", AddressError::Malformed),
            ("127.0.0.1:", AddressError::Malformed),
            ("localhost", AddressError::Malformed),
            ("http://127.0.0.1:9001", AddressError::Malformed),
            ("", AddressError::Malformed),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
        assert_eq!(
            no_port("::1").to_string(),
            "add the port, such as [::1]:9001"
        );
    }
}

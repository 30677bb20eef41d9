//! A host with an optional port, as Host, Origin and absolute targets have it.

use core::net::Ipv6Addr;

/// `host [":" port]` (RFC 9110, 7.2 and RFC 3986, 3.2). Compares hosts without regard to case.
#[derive(Debug, Clone, Copy)]
pub struct Authority<'a> {
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads an authority. `None` for an empty host, a user name, a port above 65535, or a byte
    /// that host names do not have.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let (host, port) = if text.starts_with('[') {
            let (host, after) = text.split_at_checked(text.find(']')?.checked_add(1)?)?;
            (host, port_after_address(after)?)
        } else {
            text.split_once(':').unwrap_or((text, ""))
        };
        if !is_host(host) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let port = match port {
            "" => None,
            digits => Some(digits.parse().ok()?),
        };
        Some(Self { host, port })
    }

    /// The host as it was sent, an IPv6 address in its brackets.
    #[must_use]
    pub const fn host(&self) -> &'a str {
        self.host
    }

    /// The port, where one was sent.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether both name the same host and port, where `default_port` stands for a port that was
    /// not sent.
    #[must_use]
    pub fn same(&self, other: &Authority<'_>, default_port: Option<u16>) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.or(default_port) == other.port.or(default_port)
    }
}

/// The port in what follows an address in brackets.
fn port_after_address(after: &str) -> Option<&str> {
    if after.is_empty() {
        Some("")
    } else {
        after.strip_prefix(':')
    }
}

/// `uri-host`: an IPv6 address in brackets, or a name; an IPv4 address has the form of a name.
/// Of the bytes that RFC 3986, 3.2.2 allows in a name only those of DNS names are taken: with a
/// comma, two Host headers that somebody joined would pass for one.
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !host.is_empty() && host.bytes().all(in_name)
}

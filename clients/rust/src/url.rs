//! Where a server is: `ws://host:port/path`.

use std::fmt;

/// What is taken where a URL has no path: where corewire listens.
const PATH: &str = "/ws";

/// A URL of a WebSocket server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    scheme: Scheme,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// As it stands in a Host header: with brackets, and without a port that the scheme has anyway.
    authority: String,
    /// Path and query.
    target: String,
}

/// Whether the way is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `ws`.
    Plain,
    /// `wss`.
    Tls,
}

/// What is wrong with a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlError {
    url: String,
    problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    Scheme,
    Host,
    Port,
    UserInfo,
    Fragment,
    Character,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, problem } = self;
        let remedy = match problem {
            Problem::Scheme => "begin with ws:// or wss://",
            Problem::Host => "name a host, such as ws://127.0.0.1:9001/ws",
            Problem::Port => "a port is a number from 1 to 65535",
            Problem::UserInfo => "no user or password belongs there; use a token",
            Problem::Fragment => "no # belongs there",
            Problem::Character => "write spaces and other characters percent-encoded",
        };
        write!(f, "{url:?} is no URL of a server: {remedy}")
    }
}

impl std::error::Error for UrlError {}

impl ServerUrl {
    /// Reads `ws://HOST[:PORT][/PATH]` or `wss://…`. Without a path it is `/ws`.
    ///
    /// # Errors
    ///
    /// What is wrong, and what would be right.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        Self::read(url).map_err(|problem| UrlError {
            url: url.to_owned(),
            problem,
        })
    }

    fn read(url: &str) -> Result<Self, Problem> {
        let (scheme, rest) = if let Some(rest) = url.strip_prefix("ws://") {
            (Scheme::Plain, rest)
        } else if let Some(rest) = url.strip_prefix("wss://") {
            (Scheme::Tls, rest)
        } else {
            return Err(Problem::Scheme);
        };
        if rest.contains('#') {
            return Err(Problem::Fragment);
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Problem::Character);
        }
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        if authority.contains('@') {
            return Err(Problem::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty() {
            return Err(Problem::Host);
        }
        let own = match scheme {
            Scheme::Plain => 80,
            Scheme::Tls => 443,
        };
        let port = match port {
            None => own,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(Problem::Port),
                Ok(port) => port,
            },
        };
        let authority = if port == own {
            host.to_owned()
        } else {
            format!("{host}:{port}")
        };
        let target = match target {
            "" | "/" => PATH.to_owned(),
            query if query.starts_with('?') => format!("{PATH}{query}"),
            path => path.to_owned(),
        };
        Ok(Self {
            scheme,
            host: bare.to_owned(),
            port,
            authority,
            target,
        })
    }

    pub(crate) const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host's name or address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }
}

/// The host, with the brackets of an IPv6 address, and what stands for its port.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), Problem> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(Problem::Host)? + 1;
        let (host, rest) = authority.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(Problem::Host),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Plain => "ws",
            Scheme::Tls => "wss",
        };
        write!(f, "{scheme}://{}{}", self.authority, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown() {
        for (given, shown, host, port) in [
            ("ws://a", "ws://a/ws", "a", 80),
            ("ws://a:9001", "ws://a:9001/ws", "a", 9001),
            ("wss://a.example/", "wss://a.example/ws", "a.example", 443),
            ("wss://a:443/x/y?z=1", "wss://a/x/y?z=1", "a", 443),
            ("ws://[::1]:80/ws", "ws://[::1]/ws", "::1", 80),
            ("ws://[::1]:9001", "ws://[::1]:9001/ws", "::1", 9001),
            ("ws://a?b", "ws://a/ws?b", "a", 80),
        ] {
            let url = ServerUrl::parse(given).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!((url.host(), url.port()), (host, port));
        }
    }

    #[test]
    fn what_is_none_is_refused_with_a_remedy() {
        for (given, remedy) in [
            ("http://a", "begin with ws://"),
            ("a:9001", "begin with ws://"),
            ("ws://", "name a host"),
            ("ws://:9001", "name a host"),
            ("ws://[::1", "name a host"),
            ("ws://a:0", "a port is"),
            ("ws://a:70000", "a port is"),
            ("ws://a:b", "a port is"),
            ("ws://me:secret@a", "no user"),
            ("ws://a/b#c", "no #"),
            ("ws://a/b c", "percent-encoded"),
        ] {
            let error = ServerUrl::parse(given).unwrap_err().to_string();
            assert!(error.contains(remedy), "{error}");
        }
    }
}

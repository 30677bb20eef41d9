//! Which pages may connect (RFC 6455, 10.2).

use corewire_protocol::handshake::{
    Origin, OriginError, OriginPattern, OriginPatternError, OriginPolicy, Refusal,
};

use crate::support::{REQUEST, answer, with_head};

#[test]
fn origins_are_judged_by_policy() {
    let list = || {
        OriginPolicy::from_arguments(&[
            "https://example.com",
            "http://LocalHost:3000",
            "https://*.example.org",
            "http://*.test:8080",
            "chrome-extension://abcdef",
            "https://[2001:db8::1]",
        ])
        .unwrap()
    };
    let same = || OriginPolicy::SameOrigin;
    let no = Err(OriginError::NotAllowed);
    let bad = Err(OriginError::Malformed);
    for (policy, host, origin, result) in [
        // Same origin: host and port, the port by the origin's scheme.
        (same(), "a.com", "https://a.com", Ok(())),
        (same(), "a.com", "http://a.com", Ok(())),
        (same(), "A.com", "HTTPS://a.COM", Ok(())),
        (same(), "a.com", "https://a.com:443", Ok(())),
        (same(), "a.com:443", "https://a.com", Ok(())),
        (same(), "a.com:80", "http://a.com", Ok(())),
        (same(), "a.com:9001", "http://a.com:9001", Ok(())),
        (same(), "[::1]:9001", "http://[::1]:9001", Ok(())),
        (same(), "a.com", "https://a.com:80", no),
        (same(), "a.com:443", "http://a.com", no),
        (same(), "a.com:9001", "http://a.com:9002", no),
        (same(), "a.com", "https://b.com", no),
        (same(), "a.com", "https://a.com.evil.com", no),
        (same(), "a.com", "https://evila.com", no),
        (same(), "a.com", "https://www.a.com", no),
        (same(), "a.com", "chrome-extension://a.com", no),
        (same(), "localhost:9001", "http://127.0.0.1:9001", no),
        // Never an origin.
        (same(), "a.com", "null", Err(OriginError::Null)),
        (list(), "a.com", "null", Err(OriginError::Null)),
        (same(), "a.com", "", bad),
        (same(), "a.com", "a.com", bad),
        (same(), "a.com", "https://a.com/", bad),
        (same(), "a.com", "https://a.com https://a.com", bad),
        (same(), "a.com", "https://a.com, https://a.com", bad),
        (same(), "a.com", "https://user@a.com", bad),
        (same(), "a.com", "file://", bad),
        (same(), "a.com", "://a.com", bad),
        (same(), "a.com", "https://a.com:99999", bad),
        (same(), "a.com", "https://caf\u{e9}.com", bad),
        // A list: exact origins.
        (list(), "a.com", "https://example.com", Ok(())),
        (list(), "a.com", "HTTPS://EXAMPLE.COM:443", Ok(())),
        (list(), "a.com", "http://localhost:3000", Ok(())),
        (list(), "a.com", "chrome-extension://abcdef", Ok(())),
        (list(), "a.com", "https://[2001:db8::1]", Ok(())),
        (list(), "a.com", "http://example.com", no),
        (list(), "a.com", "https://example.com:444", no),
        (list(), "a.com", "https://www.example.com", no),
        (list(), "a.com", "https://example.com.evil.com", no),
        (list(), "a.com", "http://localhost", no),
        (list(), "a.com", "chrome-extension://abcdef:1", no),
        // A list: exactly one whole label.
        (list(), "a.com", "https://www.example.org", Ok(())),
        (list(), "a.com", "https://x.test:8080", no),
        (list(), "a.com", "http://x.TEST:8080", Ok(())),
        (list(), "a.com", "https://example.org", no),
        (list(), "a.com", "https://a.b.example.org", no),
        (list(), "a.com", "https://evilexample.org", no),
        (list(), "a.com", "https://.example.org", no),
        (list(), "a.com", "https://www.example.org.evil.com", no),
        // A list adds to the same origin.
        (list(), "a.com", "https://a.com", Ok(())),
        // Any takes everything.
        (OriginPolicy::Any, "a.com", "https://evil.com", Ok(())),
        (OriginPolicy::Any, "a.com", "null", Ok(())),
    ] {
        assert_eq!(
            check(&policy, host, &format!("Origin: {origin}\r\n")),
            result,
            "{origin} at {host}"
        );
    }
}

#[test]
fn a_request_without_an_origin_may_connect_and_one_with_two_may_not() {
    for policy in [
        OriginPolicy::SameOrigin,
        OriginPolicy::List(vec![]),
        OriginPolicy::Any,
    ] {
        assert_eq!(check(&policy, "a.com", ""), Ok(()));
        let twice = "Origin: https://a.com\r\norigin: https://a.com\r\n";
        assert_eq!(check(&policy, "a.com", twice), Err(OriginError::Several));
    }
}

#[test]
fn an_upgrade_from_another_origin_is_a_403() {
    for (origin, refusal, status) in [
        ("https://evil.example", OriginError::NotAllowed, 403),
        ("null", OriginError::Null, 403),
        ("evil", OriginError::Malformed, 400),
    ] {
        let request = REQUEST.replace("Upgrade:", &format!("Origin: {origin}\r\nUpgrade:"));
        let refusal = Refusal::Origin(refusal);
        assert_eq!(answer(&request), Err(refusal));
        assert_eq!(
            (refusal.status(), refusal.headers()),
            (status, [].as_slice())
        );
    }
    let same = "Origin: https://server.example.com\r\nUpgrade:";
    assert!(answer(&REQUEST.replace("Upgrade:", same)).is_ok());
}

#[test]
fn patterns_are_read_and_written() {
    for (text, written) in [
        ("https://Example.com", "https://example.com"),
        ("HTTPS://example.com:443", "https://example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://*.Example.com:8443", "https://*.example.com:8443"),
        ("app://localhost", "app://localhost"),
    ] {
        assert_eq!(text.parse::<OriginPattern>().unwrap().to_string(), written);
    }
    use OriginPatternError::*;
    for (text, error) in [
        ("null", Null),
        ("example.com", Scheme),
        ("", Scheme),
        ("://example.com", Scheme),
        ("ht tp://example.com", Scheme),
        ("https://example.com/", Path),
        ("https://example.com/chat", Path),
        ("https://example.com?x", Path),
        ("https://*", Wildcard),
        ("https://*.", Host),
        ("https://*.*.com", Wildcard),
        ("https://*example.com", Wildcard),
        ("https://a.*.com", Wildcard),
        ("https://*.[::1]", Wildcard),
        ("https://*..com", Wildcard),
        ("https://example.com:*", Wildcard),
        ("https://", Host),
        ("https://a b", Host),
        ("https://example.com:65536", Host),
        ("https://user@example.com", Host),
    ] {
        assert_eq!(text.parse::<OriginPattern>(), Err(error), "{text}");
    }
}

#[test]
fn policies_come_from_arguments() {
    let none: [&str; 0] = [];
    assert_eq!(
        OriginPolicy::from_arguments(&none),
        Ok(OriginPolicy::SameOrigin)
    );
    let any = OriginPolicy::from_arguments(&["https://a.com", "*"]);
    assert_eq!(any, Ok(OriginPolicy::Any));
    let list = OriginPolicy::List(vec!["https://a.com".parse().unwrap()]);
    assert_eq!(OriginPolicy::from_arguments(&["https://a.com"]), Ok(list));
    let error = OriginPolicy::from_arguments(&["*", "a.com"]);
    assert_eq!(error, Err(OriginPatternError::Scheme));
}

#[test]
fn origins_compare_by_scheme_host_and_port() {
    let origin = |text: &'static str| Origin::parse(text.as_bytes()).unwrap();
    assert_eq!(origin("https://a.com"), origin("HTTPS://A.com:443"));
    assert_ne!(origin("https://a.com"), origin("http://a.com"));
    assert_ne!(origin("https://a.com:1"), origin("http://a.com:1"));
    assert_ne!(origin("https://a.com"), origin("https://a.com:80"));
    assert_ne!(origin("app://a"), origin("app://a:1"));
}

// Helpers

fn check(policy: &OriginPolicy, host: &str, lines: &str) -> Result<(), OriginError> {
    let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
    with_head(head.as_bytes(), |head| policy.check(head)).unwrap()
}

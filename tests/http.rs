//! HTTP on the port of the WebSockets: bounded, correct, never a hang, never a smuggled request.

use std::time::Duration;

use corewire::protocol::handshake::OriginPolicy;
use corewire::server::{Options, Site};
use corewire_testkit::frames;
use corewire_testkit::peer::{KEY, upgrade_request};
use corewire_testkit::served::options;
use corewire_testkit::{Ended, Peer, Served, eventually};

fn site() -> Served {
    Served::start(Site::default(), options())
}

fn site_with(change: impl FnOnce(&mut Options)) -> Served {
    let mut options = options();
    change(&mut options);
    Served::start(Site::default(), options)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

#[test]
fn a_connection_serves_many_requests() {
    let server = site();
    let mut peer = Peer::connect(server.address());
    for _ in 0..3 {
        peer.send(get("/healthz"));
        let reply = peer.expect_reply(200);
        assert_eq!(reply.body, b"ok\n");
        assert_eq!(reply.header("connection"), None);
        assert!(reply.header("date").unwrap().ends_with(" GMT"));
    }
    peer.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(peer.expect_reply(200).header("connection"), Some("close"));
    peer.expect_end();
}

#[test]
fn head_is_get_without_the_body() {
    let server = site();
    let mut peer = Peer::connect(server.address());
    for path in ["/", "/healthz", "/echo", "/nothing"] {
        peer.send(get(path));
        let status = peer.reply().unwrap();
        peer.send(get(path).replace("GET", "HEAD"));
        let head = peer.expect_head(status.status);
        assert_eq!(
            head.header("content-length"),
            Some(status.body.len().to_string().as_str())
        );
    }
    // Nothing was left over: the next answer begins where the last one ended.
    peer.send(get("/healthz"));
    let _ = peer.expect_reply(200);
}

#[test]
fn a_refused_head_has_no_body_either() {
    let server = site();
    let mut peer = Peer::connect(server.address());
    peer.send(upgrade_request("/echo", &[]).replace("GET", "HEAD"));
    let reply = peer.expect_head(405);
    assert_eq!(reply.header("allow"), Some("GET"));
    peer.expect_end();
}

#[test]
fn what_is_not_there_and_what_is_not_allowed() {
    let server = site();
    let mut peer = Peer::connect(server.address());
    peer.send(get("/nothing"));
    let _ = peer.expect_reply(404);
    for path in ["/", "/app.js", "/healthz", "/stats", "/echo"] {
        for method in ["POST", "DELETE", "BREW", "OPTIONS"] {
            peer.send(get(path).replace("GET", method));
            let reply = peer.expect_reply(405);
            assert_eq!(reply.header("allow"), Some("GET, HEAD"));
        }
    }
    peer.send(get("/echo"));
    let reply = peer.expect_reply(426);
    assert_eq!(reply.header("upgrade"), Some("websocket"));
    assert_eq!(reply.header("connection"), Some("Upgrade"));
    assert_eq!(reply.header("sec-websocket-version"), Some("13"));
    // The connection is as good as before.
    peer.send(get("/?and=a#query"));
    peer.expect_reply(400);
    peer.expect_end();
}

/// What a browser needs to be sure that a page is what this server serves, and nobody else's.
#[test]
fn the_files_of_the_page_are_served_with_their_types_and_policy() {
    let server = site();
    let mut peer = Peer::connect(server.address());
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/round-trip", "text/html; charset=utf-8"),
    ] {
        peer.send(get(path));
        let reply = peer.expect_reply(200);
        assert_eq!(reply.header("content-type"), Some(content_type), "{path}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("cache-control"), Some("no-cache"));
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
    }
}

#[test]
fn the_counters_are_for_this_machine() {
    let server = site();
    let mut peer = Peer::connect(server.address());
    peer.send(get("/stats"));
    let reply = peer.expect_reply(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let body = String::from_utf8(reply.body).unwrap();
    assert!(
        body.contains("\"connections\":1,") && body.contains("\"panics\":0"),
        "{body}"
    );
}

/// Each is answered and ends the connection: nothing that follows it is a request.
#[test]
fn malformed_requests_end_the_connection() {
    let server = site();
    let host = "Host: localhost\r\n";
    let cases: &[(&str, u16, String)] = &[
        (
            "bare LF",
            400,
            "GET / HTTP/1.1\nHost: localhost\n\n".to_owned(),
        ),
        (
            "bare LF in a header",
            400,
            format!("GET / HTTP/1.1\r\n{host}A: b\nC: d\r\n\r\n"),
        ),
        (
            "bare CR",
            400,
            format!("GET / HTTP/1.1\r\n{host}A: b\rc\r\n\r\n"),
        ),
        (
            "NUL",
            400,
            format!("GET / HTTP/1.1\r\n{host}A: b\0c\r\n\r\n"),
        ),
        (
            "folding",
            400,
            format!("GET / HTTP/1.1\r\n{host}A: b\r\n c\r\n\r\n"),
        ),
        (
            "space before the colon",
            400,
            format!("GET / HTTP/1.1\r\n{host}A : b\r\n\r\n"),
        ),
        ("no host", 400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (
            "two hosts",
            400,
            format!("GET / HTTP/1.1\r\n{host}{host}\r\n"),
        ),
        (
            "bad host",
            400,
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
        ),
        (
            "length and chunks",
            400,
            format!(
                "POST / HTTP/1.1\r\n{host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
        ),
        (
            "two lengths",
            400,
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 4\r\n\r\n"),
        ),
        (
            "a signed length",
            400,
            format!("POST / HTTP/1.1\r\n{host}Content-Length: +3\r\n\r\n"),
        ),
        (
            "an odd coding",
            400,
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n"),
        ),
        ("no request", 400, "hello there\r\n\r\n".to_owned()),
        ("TLS", 400, "\x16\x03\x01\x02\r\n\r\n".to_owned()),
        (
            "the preface of HTTP/2",
            505,
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        ),
    ];
    for (what, status, request) in cases {
        let mut peer = Peer::connect(server.address());
        peer.send(request);
        let reply = peer
            .reply()
            .unwrap_or_else(|ended| panic!("{what}: {ended:?}"));
        let is = reply.status;
        // What is not HTTP/1.1 may be called malformed or another version.
        assert!(
            is == *status || (*status == 505 && is == 400),
            "{what}: {reply:?}"
        );
        assert_eq!(reply.header("connection"), Some("close"), "{what}");
        peer.send(get("/healthz"));
        peer.expect_end();
    }
    eventually("all are forgotten", || server.connections() == 0);
    assert_eq!(server.count("http_refused"), cases.len() as u64);
}

/// The body of a request is not looked at: the connection ends instead, so that nobody can take
/// it for a request of its own.
#[test]
fn a_body_is_never_a_request() {
    let server = site();
    let inner = get("/stats");
    let length = inner.len();
    for framing in [
        format!("Content-Length: {length}"),
        "Transfer-Encoding: chunked".to_owned(),
    ] {
        for method in ["GET", "POST"] {
            let mut peer = Peer::connect(server.address());
            peer.send(format!(
                "{method} /healthz HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n{inner}"
            ));
            let reply = peer.reply().unwrap();
            assert_eq!(reply.header("connection"), Some("close"));
            peer.expect_end();
        }
    }
    assert_eq!(server.count("http_requests"), 4);
    // A length of nothing is no body.
    let mut peer = Peer::connect(server.address());
    peer.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    peer.send(get("/healthz"));
    let _ = peer.expect_reply(200);
    let _ = peer.expect_reply(200);
}

/// What follows a refused upgrade is neither a frame nor a request.
#[test]
fn a_refused_upgrade_ends_the_connection() {
    let server = site();
    let good = upgrade_request("/echo", &[]);
    let key_line = format!("Sec-WebSocket-Key: {KEY}\r\n");
    let cases: &[(&str, u16, String)] = &[
        (
            "version 12",
            426,
            good.replace("Version: 13", "Version: 12"),
        ),
        (
            "no version",
            426,
            good.replace("Sec-WebSocket-Version: 13\r\n", ""),
        ),
        ("no key", 400, good.replace(&key_line, "")),
        ("short key", 400, good.replace(KEY, "c2hvcnQ=")),
        (
            "two keys",
            400,
            good.replace(&key_line, &key_line.repeat(2)),
        ),
        (
            "a body",
            400,
            upgrade_request("/echo", &["Content-Length: 5"]),
        ),
        (
            "chunks",
            400,
            upgrade_request("/echo", &["Transfer-Encoding: chunked"]),
        ),
        ("POST", 405, good.replace("GET", "POST")),
        ("nothing there", 404, upgrade_request("/nothing", &[])),
        (
            "a foreign page",
            403,
            upgrade_request("/echo", &["Origin: http://evil.example"]),
        ),
    ];
    for (what, status, request) in cases {
        let mut peer = Peer::connect(server.address());
        peer.send(request);
        peer.send(frames::text("a frame?"));
        peer.send(get("/healthz"));
        let reply = peer
            .reply()
            .unwrap_or_else(|ended| panic!("{what}: {ended:?}"));
        assert_eq!(reply.status, *status, "{what}: {reply:?}");
        if *status == 426 {
            assert_eq!(reply.header("sec-websocket-version"), Some("13"), "{what}");
            assert_eq!(reply.header("upgrade"), Some("websocket"), "{what}");
        }
        let connection = reply.header("connection").unwrap_or_default();
        assert!(connection.starts_with("close"), "{what}: {connection}");
        peer.expect_end();
    }
    assert_eq!(server.count("upgraded"), 0);
}

#[test]
fn only_websocket_is_upgraded_to() {
    let server = site();
    for token in ["h2c", "TLS/1.0", "websockets"] {
        let mut peer = Peer::connect(server.address());
        peer.send(format!(
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nUpgrade: {token}\r\n\
             Connection: Upgrade\r\n\r\n"
        ));
        // An upgrade may be ignored (RFC 9110, 7.8), and so it is.
        let _ = peer.expect_reply(200);
    }
    assert_eq!(server.count("upgraded"), 0);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = site();
    let mut peer = Peer::connect(server.address());
    let mut requests = String::new();
    for _ in 0..500 {
        requests += &get("/healthz");
        requests += &get("/nothing");
    }
    requests += &upgrade_request("/echo", &[]);
    peer.send(&requests);
    for _ in 0..500 {
        let _ = peer.expect_reply(200);
        let _ = peer.expect_reply(404);
    }
    let _ = peer.expect_upgrade();
    peer.send(frames::text("after all"));
    peer.expect_text("after all");
}

/// The server reads the first part before the second is sent: nothing joins them on the way.
#[test]
fn a_request_may_be_cut_anywhere() {
    let server = site();
    let request = upgrade_request("/echo", &["Origin: http://localhost"])
        .replace("Host: localhost", "Host: localhost:80");
    for cut in 1..request.len() {
        let before = server.count("bytes_in");
        let mut peer = Peer::connect(server.address());
        peer.send(&request[..cut]);
        eventually("the first part is read", || {
            server.count("bytes_in") - before == cut as u64
        });
        peer.send(&request[cut..]);
        let _ = peer.expect_upgrade();
    }
}

#[test]
fn frames_may_follow_the_request_in_the_same_segment() {
    let server = site();
    let mut peer = Peer::connect(server.address());
    let mut bytes = upgrade_request("/echo", &[]).into_bytes();
    bytes.extend(frames::text("at once"));
    bytes.extend(frames::binary(&[1; 100]));
    peer.send(&bytes[..bytes.len() - 50]);
    let _ = peer.expect_upgrade();
    peer.expect_text("at once");
    peer.send(&bytes[bytes.len() - 50..]);
    peer.expect_binary(&[1; 100]);
    // After the 101 nothing is HTTP any more.
    peer.send(get("/healthz"));
    assert_eq!(peer.close_code(), Ok(1002));
}

#[test]
fn http_1_0() {
    let server = site();
    let mut peer = Peer::connect(server.address());
    peer.send("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let reply = peer.expect_reply(200);
    assert_eq!(reply.header("connection"), Some("keep-alive"));
    peer.send("GET /healthz HTTP/1.0\r\n\r\n");
    let reply = peer.expect_reply(200);
    assert_eq!(reply.header("connection"), Some("close"));
    peer.expect_end();
    // RFC 6455, 4.2.1: an upgrade needs HTTP/1.1.
    let mut peer = Peer::connect(server.address());
    peer.send(upgrade_request("/echo", &[]).replace("HTTP/1.1", "HTTP/1.0"));
    let status = peer.reply().unwrap().status;
    assert_ne!(status, 101);
    peer.expect_end();
}

#[test]
fn which_pages_may_connect() {
    let try_from = |server: &Served, headers: &[&str]| {
        let mut peer = Peer::connect(server.address());
        peer.send(upgrade_request("/echo", headers));
        peer.expect_status()
    };
    // By default those of the same origin, and clients that are no pages.
    let server = site();
    assert_eq!(try_from(&server, &[]), 101);
    assert_eq!(try_from(&server, &["Origin: http://localhost"]), 101);
    for origin in [
        "http://localhost:81",
        "http://localhost.evil.example",
        "null",
        "file://",
    ] {
        // What is no origin at all is malformed.
        let status = try_from(&server, &[&format!("Origin: {origin}")]);
        assert!(matches!(status, 400 | 403), "{origin}: {status}");
    }
    let twice = ["Origin: http://localhost", "Origin: http://localhost"];
    assert_ne!(try_from(&server, &twice), 101);

    let server = site_with(|options| {
        options.engine.origins = OriginPolicy::from_arguments(&["https://app.example"]).unwrap();
    });
    assert_eq!(try_from(&server, &["Origin: https://app.example"]), 101);
    assert_eq!(try_from(&server, &["Origin: http://app.example"]), 403);
    assert_eq!(
        try_from(&server, &["Origin: https://app.example.evil"]),
        403
    );
    assert_eq!(try_from(&server, &["Origin: null"]), 403);
    assert_eq!(try_from(&server, &[]), 101);
}

#[test]
fn a_slow_head_is_told_so_and_silence_is_not_answered() {
    let server = site_with(|options| options.engine.request_timeout_ms = 100);
    let mut peer = Peer::connect(server.address());
    peer.send("GET / HT");
    let reply = peer.expect_reply(408);
    assert_eq!(reply.header("connection"), Some("close"));
    peer.expect_end();
    assert_eq!(server.count("request_timeouts"), 1);
    let mut silent = Peer::connect(server.address());
    silent.expect_end();
}

#[test]
fn a_client_that_ends_its_side_is_still_answered() {
    let server = site();
    let mut peer = Peer::connect(server.address());
    peer.send(get("/healthz").repeat(3));
    peer.half_close();
    for _ in 0..3 {
        let _ = peer.expect_reply(200);
    }
    peer.expect_end();
    // Half a request is answered with nothing but the end.
    let mut peer = Peer::connect(server.address()).patient_for(Duration::from_secs(5));
    peer.send("GET / HTTP/1.1\r\nHost:");
    peer.half_close();
    let (_, ended) = peer.rest();
    assert_eq!(ended, Ended::Cleanly);
    eventually("both are forgotten", || server.connections() == 0);
}

//! The server's side (RFC 6455, 4.2 to 4.4 and 9.1): one test for each rule, in its order.

use corewire_protocol::Limits;
use corewire_protocol::deflate::{Direction, Takeover};
use corewire_protocol::handshake::{
    ExtraHeaders, HeadError, HeadScanner, HeaderSpace, OriginError, Refusal, RequestHead,
    SubprotocolNotOffered, UpgradeOptions, upgrade, wants_upgrade,
};

use crate::support::{ACCEPTED, REQUEST, answer, respond, upgraded, with_head};

// 4.2.1: the server reads the client's request

#[test]
fn a_server_answers_the_request_of_the_rfc() {
    assert_eq!(answer(REQUEST), Ok(ACCEPTED.to_owned()));
}

#[test]
fn a_server_leaves_the_frames_that_follow_in_the_same_segment() {
    let bytes = [REQUEST.as_bytes(), b"\x81\x80\0\0\0\0"].concat();
    let head = HeadScanner::new().scan(&bytes, &Limits::default());
    assert_eq!(head.unwrap().unwrap().len(), REQUEST.len());
}

#[test]
fn a_request_is_the_same_however_it_is_cut() {
    let limits = Limits::default();
    for cut in 0..REQUEST.len() {
        let mut scanner = HeadScanner::new();
        assert!(
            scanner
                .scan(&REQUEST.as_bytes()[..cut], &limits)
                .unwrap()
                .is_none()
        );
        let head = scanner.scan(REQUEST.as_bytes(), &limits).unwrap().unwrap();
        let mut space = HeaderSpace::new();
        let head = RequestHead::parse(head, &mut space).unwrap();
        assert!(
            upgrade(&head, &UpgradeOptions::default()).is_ok(),
            "cut at {cut}"
        );
    }
}

#[test]
fn rule_1_the_method_is_get() {
    for method in ["POST", "HEAD", "OPTIONS", "get"] {
        let request = REQUEST.replace("GET", method);
        refused(&request, Refusal::Method, 405, &[("Allow", "GET")]);
    }
}

#[test]
fn rule_1_the_version_is_at_least_1_1() {
    refused(
        &REQUEST.replace("HTTP/1.1", "HTTP/1.0"),
        Refusal::HttpVersion,
        505,
        &[],
    );
}

#[test]
fn rule_2_there_is_one_host() {
    let without = REQUEST.replace("Host: server.example.com\r\n", "");
    assert_eq!(head_error(&without), HeadError::HostMissing);
    let twice = REQUEST.replace("Upgrade:", "Host: b\r\nUpgrade:");
    assert_eq!(head_error(&twice), HeadError::HostDuplicate);
    let empty = REQUEST.replace("server.example.com", "");
    assert_eq!(head_error(&empty), HeadError::HostMalformed);
}

#[test]
fn rule_3_upgrade_has_websocket() {
    for line in [
        "Upgrade: WebSocket",
        "upgrade: h2c, websocket",
        "Upgrade: h2c\r\nUpgrade: WEBSOCKET",
    ] {
        assert!(
            answer(&REQUEST.replace("Upgrade: websocket", line)).is_ok(),
            "{line}"
        );
    }
    let headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
    ];
    for line in [
        "X: 1",
        "Upgrade:",
        "Upgrade: h2c",
        "Upgrade: websocket2",
        "Upgrade: web, socket",
        "Upgrade: \"websocket\"",
        "Upgrade: websocket/13",
    ] {
        let request = REQUEST.replace("Upgrade: websocket", line);
        refused(&request, Refusal::NoUpgrade, 426, &headers);
    }
}

#[test]
fn rule_4_connection_has_upgrade() {
    for line in [
        "Connection: keep-alive, upgrade",
        "connection: UPGRADE",
        "Connection: ,Upgrade ,",
        "Connection: keep-alive\r\nConnection: Upgrade",
    ] {
        assert!(
            answer(&REQUEST.replace("Connection: Upgrade", line)).is_ok(),
            "{line}"
        );
    }
    for line in [
        "X: 1",
        "Connection:",
        "Connection: keep-alive",
        "Connection: upgrades",
    ] {
        let request = REQUEST.replace("Connection: Upgrade", line);
        refused(&request, Refusal::NoConnectionUpgrade, 400, &[]);
    }
}

#[test]
fn rule_5_there_is_one_key_of_16_bytes() {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    refused(&REQUEST.replace(key, "X: 1"), Refusal::KeyMissing, 400, &[]);
    refused(
        &REQUEST.replace(key, &format!("{key}\r\n{key}")),
        Refusal::KeyDuplicate,
        400,
        &[],
    );
    for value in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",       // without padding
        "dGhlIHNhbXBsZSBub25jZQ=",      // with half of it
        "dGhlIHNhbXBsZSBub25j",         // 15 bytes
        "dGhlIHNhbXBsZSBub25jZWU=",     // 17 bytes
        "dGhlIHNhbXBsZSBub25jZQ======", // too much padding
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25-_Q==", // the other alphabet
        "dGhlIHNhbXBsZSBub25 ZQ==",
        "=GhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25j\u{e9}==",
    ] {
        let request = REQUEST.replace(key, &format!("Sec-WebSocket-Key: {value}"));
        refused(&request, Refusal::KeyMalformed, 400, &[]);
    }
    // The last character has bits that mean nothing.
    assert!(answer(&REQUEST.replace("25jZQ==", "25jZR==")).is_ok());
}

#[test]
fn rule_6_the_version_is_13_and_stands_once() {
    let version = "Sec-WebSocket-Version: 13";
    let headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
    ];
    refused(
        &REQUEST.replace(version, "X: 1"),
        Refusal::VersionMissing,
        426,
        &headers,
    );
    let twice = REQUEST.replace(version, &format!("{version}\r\n{version}"));
    refused(&twice, Refusal::VersionDuplicate, 400, &[]);
    for value in [
        "", "12", "14", "8", "013", "13, 8", "+13", "thirteen", "\u{e9}",
    ] {
        let request = REQUEST.replace(version, &format!("Sec-WebSocket-Version: {value}"));
        refused(&request, Refusal::VersionUnsupported, 426, &headers);
    }
}

#[test]
fn a_handshake_has_no_body() {
    for line in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let request = REQUEST.replace("Upgrade:", &format!("{line}\r\nUpgrade:"));
        refused(&request, Refusal::Body, 400, &[]);
    }
    assert!(answer(&REQUEST.replace("Upgrade:", "Content-Length: 0\r\nUpgrade:")).is_ok());
}

#[test]
fn only_websocket_is_ever_upgraded_to() {
    for (line, wanted) in [
        ("Upgrade: websocket", true),
        ("Upgrade: h2c, WebSocket", true),
        ("Upgrade: h2c", false),
        ("Upgrade: TLS/1.0", false),
        ("Upgrade: websockets", false),
        ("X: 1", false),
    ] {
        let request = REQUEST.replace("Upgrade: websocket", line);
        assert_eq!(
            with_head(request.as_bytes(), wants_upgrade),
            Ok(wanted),
            "{line}"
        );
    }
    // RFC 9110, 7.8: Upgrade in an HTTP/1.0 request is ignored.
    let old = REQUEST.replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(with_head(old.as_bytes(), wants_upgrade), Ok(false));
}

#[test]
fn an_absolute_target_is_taken() {
    assert!(answer(&REQUEST.replace("/chat", "http://server.example.com/chat")).is_ok());
}

// 4.2.2: the server's answer

#[test]
fn extra_headers_follow_the_handshake() {
    let mut extra = ExtraHeaders::default();
    extra.add("Set-Cookie", b"a=b").unwrap();
    let written = upgraded(REQUEST, |upgrade| {
        let mut out = b"before".to_vec();
        upgrade.write_response(&extra, &mut out);
        String::from_utf8(out).unwrap()
    });
    let ended = ACCEPTED.strip_suffix("\r\n").unwrap();
    assert_eq!(written, Ok(format!("before{ended}Set-Cookie: a=b\r\n\r\n")));
}

#[test]
fn compression_is_answered_and_agreed_upon() {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nUpgrade:";
    let request = REQUEST.replace("Upgrade:", offer);
    let agreement = upgraded(&request, |upgrade| upgrade.deflate());
    let direction = |window_bits| Direction {
        takeover: Takeover::No,
        window_bits,
    };
    let agreement = agreement.unwrap().unwrap();
    assert_eq!(
        (agreement.inbound, agreement.outbound),
        (direction(15), direction(13))
    );
    let line = "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                client_no_context_takeover\r\n";
    assert!(answer(&request).unwrap().contains(line));
    // Switched off, or not understood: the connection opens without it.
    let off = UpgradeOptions {
        deflate: None,
        ..UpgradeOptions::default()
    };
    let opened = with_head(request.as_bytes(), |head| {
        upgrade(head, &off).unwrap().deflate()
    });
    assert_eq!(opened, Ok(None));
    assert_eq!(
        answer(&request.replace("client_max_window_bits", "x")).unwrap(),
        ACCEPTED
    );
}

#[test]
fn malformed_extensions_are_a_400() {
    for value in [
        "",
        ";",
        "permessage-deflate;",
        "a b",
        "\u{e9}",
        "a; b=\"",
        "permessage-deflate, =",
    ] {
        let line = format!("Sec-WebSocket-Extensions: {value}\r\nUpgrade:");
        let request = REQUEST.replace("Upgrade:", &line);
        refused(&request, Refusal::ExtensionsMalformed, 400, &[]);
        let off = UpgradeOptions {
            deflate: None,
            ..UpgradeOptions::default()
        };
        let without = with_head(request.as_bytes(), |head| upgrade(head, &off).map(drop));
        assert_eq!(without, Ok(Err(Refusal::ExtensionsMalformed)), "{value}");
    }
}

// 4.3: subprotocols

#[test]
fn the_application_chooses_one_of_the_subprotocols_offered() {
    let lines =
        "Sec-WebSocket-Protocol: chat , superchat\r\nSec-WebSocket-Protocol: ,v1.x\r\nUpgrade:";
    let request = REQUEST.replace("Upgrade:", lines);
    let written = upgraded(&request, |mut upgrade| {
        assert_eq!(
            upgrade.subprotocols().collect::<Vec<_>>(),
            ["chat", "superchat", "v1.x"]
        );
        assert_eq!(upgrade.choose_subprotocol("v1.x"), Ok(()));
        assert_eq!(upgrade.subprotocol(), Some("v1.x"));
        // What is not offered is refused and changes nothing.
        for other in ["", "Chat", "chat , superchat", "v1.x\r\nX: 1", "other"] {
            assert_eq!(
                upgrade.choose_subprotocol(other),
                Err(SubprotocolNotOffered),
                "{other}"
            );
        }
        respond(&upgrade)
    });
    assert!(
        written
            .unwrap()
            .contains("\r\nSec-WebSocket-Protocol: v1.x\r\n")
    );
    // Without a choice there is no header.
    assert_eq!(answer(&request), Ok(ACCEPTED.to_owned()));
}

#[test]
fn malformed_subprotocols_are_a_400() {
    for value in [
        "",
        " ",
        ",",
        "a b",
        "a, b c",
        "a;b",
        "\"a\"",
        "caf\u{e9}",
        "a/b",
        "a, \u{e9}",
    ] {
        let line = format!("Sec-WebSocket-Protocol: {value}\r\nUpgrade:");
        refused(
            &REQUEST.replace("Upgrade:", &line),
            Refusal::SubprotocolMalformed,
            400,
            &[],
        );
    }
}

// Every refusal says what to do

#[test]
fn texts_are_one_line_for_a_person() {
    let refusals = [
        Refusal::Method,
        Refusal::HttpVersion,
        Refusal::NoUpgrade,
        Refusal::NoConnectionUpgrade,
        Refusal::Body,
        Refusal::KeyMissing,
        Refusal::KeyDuplicate,
        Refusal::KeyMalformed,
        Refusal::VersionMissing,
        Refusal::VersionDuplicate,
        Refusal::VersionUnsupported,
        Refusal::SubprotocolMalformed,
        Refusal::ExtensionsMalformed,
        Refusal::Origin(OriginError::NotAllowed),
    ];
    let mut seen = Vec::new();
    for refusal in refusals {
        let text = refusal.text();
        assert!(!text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert!(!seen.contains(&text), "{text}");
        assert!(refusal.to_string().contains("RFC 6455"));
        seen.push(text);
    }
}

// Helpers

fn head_error(request: &str) -> HeadError {
    with_head(request.as_bytes(), |_| ()).unwrap_err()
}

#[track_caller]
fn refused(request: &str, refusal: Refusal, status: u16, headers: &[(&str, &str)]) {
    assert_eq!(answer(request), Err(refusal), "{request}");
    assert_eq!(refusal.status(), status, "{request}");
    assert_eq!(refusal.headers(), headers, "{request}");
}

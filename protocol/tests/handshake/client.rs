//! The client's side (RFC 6455, 4.1): what it sends, and what it takes for an answer.

use corewire_protocol::deflate::{AnswerError, DeflateConfig};
use corewire_protocol::handshake::{
    ClientRequest, ExtraHeaderError, ExtraHeaders, RequestError, ResponseError,
};

use crate::support::{ACCEPTED, NONCE, Outcome, check_response, plain};

// 1.3 and 4.1: the client's request

#[test]
fn a_client_sends_every_header_that_it_must() {
    assert_eq!(
        write(&plain()),
        "GET /chat HTTP/1.1\r\n\
         Host: server.example.com\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    );
}

#[test]
fn a_client_sends_what_it_may() {
    let mut extra = ExtraHeaders::default();
    extra.add("Origin", b"http://example.com").unwrap();
    extra.add("X-Caf\u{65}", "\u{e9}".as_bytes()).unwrap();
    let request = ClientRequest {
        host: "[::1]:9001",
        target: "/chat?room=1",
        subprotocols: &["chat", "superchat"],
        deflate: Some(DeflateConfig::default()),
        extra: &extra,
    };
    assert_eq!(
        write(&request),
        "GET /chat?room=1 HTTP/1.1\r\n\
         Host: [::1]:9001\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover; client_max_window_bits=13\r\n\
         Origin: http://example.com\r\n\
         X-Cafe: \u{e9}\r\n\r\n"
    );
}

#[test]
fn a_client_writes_no_host_that_could_be_a_header() {
    for host in ["", "a\r\nX: 1", "a b", "a/", "a:b", "a\n", "a\0", "user@a"] {
        let request = ClientRequest { host, ..plain() };
        assert_eq!(refuse(&request), RequestError::Host, "{host:?}");
    }
}

#[test]
fn a_client_writes_no_target_that_could_be_a_header() {
    for target in [
        "",
        "chat",
        "http://a/",
        "/a b",
        "/a\r\n",
        "/a\nX: 1",
        "/\0",
        "/#top",
        "/\u{e9}",
    ] {
        let request = ClientRequest { target, ..plain() };
        assert_eq!(refuse(&request), RequestError::Target, "{target:?}");
    }
}

#[test]
fn a_client_offers_each_subprotocol_once_and_as_a_token() {
    for subprotocols in [
        &["chat", "chat"] as &[&str],
        &[""],
        &["a b"],
        &["a,b"],
        &["a\r\nX: 1"],
    ] {
        let request = ClientRequest {
            subprotocols,
            ..plain()
        };
        assert_eq!(
            refuse(&request),
            RequestError::Subprotocols,
            "{subprotocols:?}"
        );
    }
}

#[test]
fn extra_headers_cannot_change_the_handshake() {
    use ExtraHeaderError::*;
    let mut extra = ExtraHeaders::default();
    for (name, value, error) in [
        ("", "1", Name),
        ("X Y", "1", Name),
        ("X:", "1", Name),
        ("X\r\nY", "1", Name),
        ("caf\u{e9}", "1", Name),
        ("Host", "a", Reserved),
        ("upgrade", "h2c", Reserved),
        ("CONNECTION", "close", Reserved),
        ("Content-Length", "5", Reserved),
        ("Transfer-Encoding", "chunked", Reserved),
        ("sec-websocket-key", "1", Reserved),
        ("Sec-WebSocket-Anything", "1", Reserved),
        ("X", "1\r\nY: 2", Value),
        ("X", "1\n", Value),
        ("X", "\r", Value),
        ("X", "\0", Value),
        ("X", "\u{7f}", Value),
    ] {
        assert_eq!(
            extra.add(name, value.as_bytes()),
            Err(error),
            "{name:?}: {value:?}"
        );
    }
    assert_eq!(extra, ExtraHeaders::default());
    assert_eq!(extra.add("X", b"a\tb"), Ok(()));
}

// 4.1: the client checks the server's response

#[test]
fn a_client_takes_the_response_of_the_rfc() {
    let established = finish(&plain(), ACCEPTED).unwrap();
    assert_eq!(established, (None, false));
}

#[test]
fn a_client_takes_headers_in_any_case_and_lists() {
    let response = "HTTP/1.1 101 \r\n\
                    upgrade: WebSocket\r\n\
                    CONNECTION: keep-alive,\tUPGRADE\r\n\
                    sec-websocket-accept:  s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \r\n\r\n";
    assert_eq!(finish(&plain(), response), Ok((None, false)));
}

#[test]
fn rule_1_another_status_is_ordinary_http() {
    for status in [100, 200, 301, 401, 426, 503] {
        let response = ACCEPTED.replace("101", &status.to_string());
        assert_eq!(
            finish(&plain(), &response),
            Err(ResponseError::Status(status))
        );
    }
    let old = ACCEPTED.replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(finish(&plain(), &old), Err(ResponseError::HttpVersion));
}

#[test]
fn rule_2_upgrade_is_exactly_websocket() {
    for line in [
        "",
        "Upgrade: h2c\r\n",
        "Upgrade: websocket, h2c\r\n",
        "Upgrade:\r\n",
        "Upgrade: websocket\r\nUpgrade: websocket\r\n",
    ] {
        let response = ACCEPTED.replace("Upgrade: websocket\r\n", line);
        assert_eq!(
            finish(&plain(), &response),
            Err(ResponseError::Upgrade),
            "{line}"
        );
    }
}

#[test]
fn rule_3_connection_has_upgrade() {
    for line in [
        "",
        "Connection: close\r\n",
        "Connection: upgraded\r\n",
        "Connection:\r\n",
    ] {
        let response = ACCEPTED.replace("Connection: Upgrade\r\n", line);
        assert_eq!(
            finish(&plain(), &response),
            Err(ResponseError::Connection),
            "{line}"
        );
    }
}

#[test]
fn rule_4_accept_belongs_to_the_key() {
    let missing = ACCEPTED.replace("Sec-WebSocket-Accept", "X-Accept");
    assert_eq!(
        finish(&plain(), &missing),
        Err(ResponseError::AcceptMissing)
    );
    for accept in [
        "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ] {
        let response = ACCEPTED.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", accept);
        assert_eq!(
            finish(&plain(), &response),
            Err(ResponseError::AcceptWrong),
            "{accept}"
        );
    }
}

#[test]
fn rule_5_extensions_are_those_offered() {
    let offering = ClientRequest {
        deflate: Some(DeflateConfig::default()),
        ..plain()
    };
    let good = "permessage-deflate; server_no_context_takeover";
    assert_eq!(finish(&offering, &with_extensions(good)), Ok((None, true)));
    // Declined.
    assert_eq!(finish(&offering, ACCEPTED), Ok((None, false)));
    for (value, error) in [
        ("permessage-bzip2", ResponseError::ExtensionNotOffered),
        ("x, permessage-deflate", ResponseError::ExtensionNotOffered),
        ("", ResponseError::ExtensionsMalformed),
        ("permessage-deflate;", ResponseError::ExtensionsMalformed),
        (
            "permessage-deflate",
            ResponseError::Deflate(AnswerError::ServerTakeover),
        ),
        (
            "permessage-deflate; x",
            ResponseError::Deflate(AnswerError::UnknownParameter),
        ),
    ] {
        assert_eq!(
            finish(&offering, &with_extensions(value)),
            Err(error),
            "{value}"
        );
    }
    let twice = with_extensions(&format!("{good}\r\nSec-WebSocket-Extensions: {good}"));
    assert_eq!(
        finish(&offering, &twice),
        Err(ResponseError::ExtensionDuplicate)
    );
    let unasked = finish(&plain(), &with_extensions(good));
    assert_eq!(unasked, Err(ResponseError::ExtensionNotOffered));
}

#[test]
fn rule_6_the_subprotocol_is_one_offered() {
    let offering = ClientRequest {
        subprotocols: &["chat", "superchat"],
        ..plain()
    };
    let chosen = finish(&offering, &with_subprotocol("superchat"));
    assert_eq!(chosen, Ok((Some("superchat".to_owned()), false)));
    assert_eq!(finish(&offering, ACCEPTED), Ok((None, false)));
    for other in ["", "Chat", "chat, superchat", "other"] {
        let chosen = finish(&offering, &with_subprotocol(other));
        assert_eq!(chosen, Err(ResponseError::SubprotocolNotOffered), "{other}");
    }
    let unasked = finish(&plain(), &with_subprotocol("chat"));
    assert_eq!(unasked, Err(ResponseError::SubprotocolNotOffered));
    let twice = with_subprotocol("chat\r\nSec-WebSocket-Protocol: chat");
    assert_eq!(
        finish(&offering, &twice),
        Err(ResponseError::SubprotocolDuplicate)
    );
}

// Helpers

fn write(request: &ClientRequest<'_>) -> String {
    let mut out = Vec::new();
    request.write(NONCE, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn refuse(request: &ClientRequest<'_>) -> RequestError {
    let mut out = Vec::new();
    let error = request.write(NONCE, &mut out).unwrap_err();
    assert_eq!(out, b"");
    error
}

fn with_extensions(value: &str) -> String {
    ACCEPTED.replace(
        "Upgrade:",
        &format!("Sec-WebSocket-Extensions: {value}\r\nUpgrade:"),
    )
}

fn with_subprotocol(value: &str) -> String {
    ACCEPTED.replace(
        "Upgrade:",
        &format!("Sec-WebSocket-Protocol: {value}\r\nUpgrade:"),
    )
}

fn finish(request: &ClientRequest<'_>, response: &str) -> Outcome {
    check_response(&request.write(NONCE, &mut Vec::new()).unwrap(), response)
}

//! HTTP/1.1 heads, in the order of RFC 9112: what is read, what is refused and with which status,
//! every limit at the limit and one past it, and any cut of the bytes.

use corewire_protocol::Limits;
use corewire_protocol::handshake::{
    Body, HeadError, HeadScanner, HeaderSpace, RequestHead, Single, Version,
};
use proptest::prelude::*;

use crate::support::{with_head as request, with_response as response};

// RFC 9112, 2.2: lines

#[test]
fn a_head_ends_at_its_empty_line_and_leaves_the_rest() {
    let bytes = b"GET /chat HTTP/1.1\r\nHost: a\r\n\r\nthe first frame";
    let head = HeadScanner::new().scan(bytes, &Limits::default());
    assert_eq!(head.unwrap().unwrap().len(), bytes.len() - 15);
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    assert_eq!(
        path(b"\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n"),
        Ok("/a".into())
    );
}

#[test]
fn empty_lines_alone_are_refused_at_the_limit() {
    let endless = b"\r\n".repeat(8 << 10);
    assert_eq!(
        scan(&endless, &Limits::default()),
        Err(HeadError::HeadTooLarge)
    );
    assert_eq!(
        scan(&endless[1..], &Limits::default()),
        Err(HeadError::BareLf)
    );
}

#[test]
fn lf_alone_is_no_line_end() {
    refused(b"GET / HTTP/1.1\nHost: a\n\n", HeadError::BareLf, 400);
    refused(b"GET / HTTP/1.1\r\nHost: a\n\r\n", HeadError::BareLf, 400);
    refused(b"GET / HTTP/1.1\r\nHost: a\r\n\n", HeadError::BareLf, 400);
    refused(
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        HeadError::BareLf,
        400,
    );
}

#[test]
fn cr_stands_only_before_lf() {
    refused(
        b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        HeadError::BareCr,
        400,
    );
    refused(b"GET / HTTP/1.1\rHost: a\r\n\r\n", HeadError::BareCr, 400);
    refused(
        b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        HeadError::BareCr,
        400,
    );
    refused(
        b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        HeadError::BareCr,
        400,
    );
    refused(b"GET / HTTP/1.1\r\nHost: a\r\n\rX", HeadError::BareCr, 400);
}

#[test]
fn control_bytes_are_refused_everywhere() {
    for byte in (0..=0x1f).chain([0x7f]) {
        if matches!(byte, b'\t' | b'\r' | b'\n') {
            continue;
        }
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n";
        for place in 1..head.len() - 4 {
            // Between CR and LF it is the CR that is alone.
            if head[place] != b'\n' {
                let mut head = head.to_vec();
                head.insert(place, byte);
                assert_eq!(path(&head), Err(HeadError::ControlByte(byte)), "at {place}");
            }
        }
    }
}

#[test]
fn a_refused_head_stays_refused() {
    let mut scanner = HeadScanner::new();
    let limits = Limits::default();
    assert!(scanner.scan(b"GET / HTTP/1.1\n", &limits).is_err());
    let good = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(scanner.scan(good, &limits).unwrap_err(), HeadError::BareLf);
    assert_eq!(scanner.scan(b"", &limits).unwrap_err(), HeadError::BareLf);
}

#[test]
fn a_scanner_goes_on_with_the_next_request() {
    let bytes = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n";
    let mut scanner = HeadScanner::new();
    let limits = Limits::default();
    let first = scanner.scan(bytes, &limits).unwrap().unwrap().len();
    let second = scanner.scan(&bytes[first..], &limits).unwrap().unwrap();
    assert_eq!(second.as_bytes(), &bytes[first..]);
}

// RFC 9112, 2.3: versions

#[test]
fn http_1_0_and_1_1_are_spoken() {
    assert_eq!(
        request(b"GET / HTTP/1.0\r\n\r\n", |head| head.version()),
        Ok(Version::Http10)
    );
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(request(head, |head| head.version()), Ok(Version::Http11));
}

#[test]
fn other_versions_are_a_505() {
    for version in ["HTTP/1.2", "HTTP/2", "HTTP/2.0", "HTTP/3", "HTTP/0.9"] {
        let head = format!("GET / {version}\r\nHost: a\r\n\r\n");
        refused(head.as_bytes(), HeadError::HttpVersion, 505);
    }
}

#[test]
fn an_http_2_preface_is_refused() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    refused(preface, HeadError::Http2Preface, 505);
}

#[test]
fn a_tls_handshake_is_refused_at_its_first_byte() {
    refused(b"\x16", HeadError::Tls, 400);
    refused(b"\x16\x03\x01\x02\x00\x01", HeadError::Tls, 400);
}

// RFC 9112, 3: request lines

#[test]
fn a_malformed_request_line_is_a_400() {
    for line in [
        "GET /",
        "GET",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/11",
        "G@T / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "HTTP/1.1 200 OK",
    ] {
        let head = format!("{line}\r\nHost: a\r\n\r\n");
        refused(head.as_bytes(), HeadError::StartLine, 400);
    }
}

#[test]
fn methods_are_case_sensitive_tokens() {
    let head = b"get / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(request(head, |head| head.method() == "get"), Ok(true));
    let head = b"M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(request(head, |head| head.method() == "M-SEARCH"), Ok(true));
}

// RFC 9112, 3.2: targets

#[test]
fn targets_are_split_at_the_first_question_mark() {
    for (target, path, query) in [
        ("/", "/", None),
        ("/chat", "/chat", None),
        ("/chat?room=1", "/chat", Some("room=1")),
        ("/chat?", "/chat", Some("")),
        ("/a?b?c", "/a", Some("b?c")),
        ("//evil.example/", "//evil.example/", None),
        ("/a%2Fb", "/a%2Fb", None),
        ("http://a", "/", None),
        ("http://a?b=/c", "/", Some("b=/c")),
        ("HTTPS://a:1/b/c?d", "/b/c", Some("d")),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let read = request(head.as_bytes(), |head| {
            (head.path().to_owned(), head.query().map(str::to_owned))
        });
        assert_eq!(
            read,
            Ok((path.to_owned(), query.map(str::to_owned))),
            "{target}"
        );
    }
}

#[test]
fn the_host_of_an_absolute_target_replaces_the_host_header() {
    let head = b"GET http://b:1/ HTTP/1.1\r\nHost: a\r\n\r\n";
    let host = request(head, |head| {
        let host = head.host().unwrap();
        (host.host().to_owned(), host.port())
    });
    assert_eq!(host, Ok(("b".to_owned(), Some(1))));
}

#[test]
fn an_asterisk_is_for_options() {
    let head = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(path(head), Ok("*".into()));
    refused(b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::Target, 400);
}

#[test]
fn other_targets_are_a_400() {
    for target in [
        "chat",
        "a:80",
        "/chat#top",
        "/caf\u{e9}",
        "ftp://a/",
        "ws://a/",
        "http:///",
        "http://user@a/",
        "http://a:x/",
        "://a/",
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        refused(head.as_bytes(), HeadError::Target, 400);
    }
}

#[test]
fn connect_is_a_501() {
    refused(
        b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        HeadError::Connect,
        501,
    );
}

#[test]
fn an_http_1_1_request_has_exactly_one_host() {
    refused(b"GET / HTTP/1.1\r\n\r\n", HeadError::HostMissing, 400);
    refused(
        b"GET http://a/ HTTP/1.1\r\n\r\n",
        HeadError::HostMissing,
        400,
    );
    let twice = b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n";
    refused(twice, HeadError::HostDuplicate, 400);
    refused(
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        HeadError::HostDuplicate,
        400,
    );
}

#[test]
fn hosts_are_names_or_addresses_with_a_port() {
    for (value, host, port) in [
        ("example.com", "example.com", None),
        ("Example.com:8080", "Example.com", Some(8080)),
        ("127.0.0.1:9001", "127.0.0.1", Some(9001)),
        ("[::1]", "[::1]", None),
        ("[2001:db8::1]:80", "[2001:db8::1]", Some(80)),
        ("a:", "a", None),
        ("a:65535", "a", Some(65535)),
        ("a_b", "a_b", None),
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
        let read = request(head.as_bytes(), |head| {
            let host = head.host().unwrap();
            (host.host().to_owned(), host.port())
        });
        assert_eq!(read, Ok((host.to_owned(), port)), "{value}");
    }
}

#[test]
fn a_malformed_host_is_a_400() {
    for value in [
        "", ":80", "a b", "a,b", "a/b", "a@b", "a:b", "a:65536", "a:+1", "a:80:80", "::1", "[::1",
        "[::1]80", "[]", "[v1.a]", "a%2", "a%zz", "\u{e9}", "a?b", "a#b", "a\\b", "\"a\"",
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
        refused(head.as_bytes(), HeadError::HostMalformed, 400);
    }
}

// RFC 9112, 5: headers

#[test]
fn names_compare_without_case_and_values_are_trimmed() {
    let head = b"GET / HTTP/1.1\r\nHoSt:a\r\nX-A: \t 1 2\t \r\nx-a:\r\n\r\n";
    let values = request(head, |head| {
        let values = head.headers().all("X-a").map(<[u8]>::to_vec);
        (values.collect::<Vec<_>>(), head.headers().iter().count())
    });
    assert_eq!(values, Ok((vec![b"1 2".to_vec(), b"".to_vec()], 3)));
}

#[test]
fn single_tells_missing_from_several() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 1\r\n\r\n";
    let read = request(head, |head| {
        let headers = head.headers();
        assert_eq!(headers.single("y"), Single::Missing);
        assert_eq!(headers.single("host"), Single::One(b"a"));
        assert_eq!(headers.single("x"), Single::Several);
        assert_eq!(headers.get("x"), Some(b"1".as_slice()));
    });
    assert_eq!(read, Ok(()));
}

#[test]
fn a_space_before_the_colon_is_a_400() {
    for line in [
        "X : 1",
        "X\t: 1",
        "X",
        ": 1",
        "X Y: 1",
        "(X): 1",
        "\u{e9}: 1",
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
        refused(head.as_bytes(), HeadError::HeaderName, 400);
    }
}

#[test]
fn a_folded_line_is_a_400() {
    refused(
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
        HeadError::Folded,
        400,
    );
    refused(
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\t2\r\n\r\n",
        HeadError::Folded,
        400,
    );
    refused(
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        HeadError::Folded,
        400,
    );
}

#[test]
fn lists_span_lines_and_skip_empty_elements() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ,a , \tb,\r\nX:\r\nx: C\r\n\r\n";
    let read = request(head, |head| {
        let list = head.headers().list("x").map(<[u8]>::to_vec);
        assert!(head.headers().has_token("x", "c"));
        assert!(!head.headers().has_token("x", ""));
        assert!(!head.headers().has_token("x", "d"));
        list.collect::<Vec<_>>()
    });
    assert_eq!(read, Ok(vec![b"a".to_vec(), b"b".to_vec(), b"C".to_vec()]));
}

// RFC 9112, 6: bodies

#[test]
fn bodies_are_framed_one_way() {
    for (lines, body) in [
        ("", Body::None),
        ("Content-Length: 0\r\n", Body::None),
        ("Content-Length: 000\r\n", Body::None),
        ("Content-Length: 5\r\n", Body::Length(5)),
        (
            "Content-Length: 18446744073709551615\r\n",
            Body::Length(u64::MAX),
        ),
        ("Transfer-Encoding: chunked\r\n", Body::Chunked),
        ("Transfer-Encoding: Chunked\r\n", Body::Chunked),
    ] {
        assert_eq!(body_of(lines), Ok(body), "{lines}");
    }
}

#[test]
fn a_content_length_that_is_no_number_is_a_400() {
    for value in [
        "",
        "+5",
        "-5",
        "5 5",
        "5, 5",
        "0x5",
        "5.0",
        "five",
        "\u{665}",
        "18446744073709551616",
    ] {
        let body = body_of(&format!("Content-Length: {value}\r\n"));
        assert_eq!(body, Err(HeadError::LengthMalformed), "{value}");
    }
}

#[test]
fn two_content_lengths_are_a_400_even_when_they_agree() {
    for second in ["5", "6"] {
        let body = body_of(&format!(
            "Content-Length: 5\r\nContent-Length: {second}\r\n"
        ));
        assert_eq!(body, Err(HeadError::LengthDuplicate));
    }
}

#[test]
fn a_transfer_encoding_other_than_chunked_is_a_400() {
    for lines in [
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding:\r\n",
    ] {
        assert_eq!(body_of(lines), Err(HeadError::TransferEncoding), "{lines}");
    }
}

#[test]
fn length_beside_transfer_encoding_is_a_400() {
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
    ] {
        assert_eq!(
            body_of(lines),
            Err(HeadError::TransferEncodingWithLength),
            "{lines}"
        );
    }
}

#[test]
fn http_1_0_has_no_transfer_encoding() {
    let head = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    refused(head, HeadError::TransferEncodingHttp10, 400);
}

// RFC 9112, 9.3: persistence

#[test]
fn connections_persist_by_version_and_connection() {
    for (version, lines, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, CLOSE\r\n", false),
        ("1.1", "Connection: Upgrade\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        let read = request(head.as_bytes(), |head| head.keep_alive());
        assert_eq!(read, Ok(keep_alive), "{version} {lines}");
    }
}

// Limits

#[test]
fn head_bytes_is_exact() {
    let limits = Limits {
        head_bytes: 64,
        ..Limits::default()
    };
    let head = |bytes: usize| {
        let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
        head.resize(bytes - 4, b'x');
        head.extend(b"\r\n\r\n");
        head
    };
    assert_eq!(scan(&head(64), &limits), Ok(Some(64)));
    assert_eq!(scan(&head(65), &limits), Err(HeadError::HeadTooLarge));
    // Without an end it is refused as soon as there is no room for one.
    assert_eq!(scan(&head(128)[..63], &limits), Ok(None));
    assert_eq!(
        scan(&head(128)[..64], &limits),
        Err(HeadError::HeadTooLarge)
    );
    assert_eq!(HeadError::HeadTooLarge.status(), 431);
}

#[test]
fn head_line_bytes_is_exact_for_the_request_line() {
    let limits = Limits {
        head_line_bytes: 40,
        ..Limits::default()
    };
    let head = |bytes: usize| {
        format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "x".repeat(bytes - 14)
        )
    };
    assert!(matches!(scan(head(40).as_bytes(), &limits), Ok(Some(_))));
    assert_eq!(
        scan(head(41).as_bytes(), &limits),
        Err(HeadError::StartLineTooLong)
    );
    assert_eq!(scan(&b"x".repeat(40), &limits), Ok(None));
    assert_eq!(
        scan(&b"x".repeat(41), &limits),
        Err(HeadError::StartLineTooLong)
    );
    assert_eq!(HeadError::StartLineTooLong.status(), 414);
}

#[test]
fn head_line_bytes_is_exact_for_a_header_line() {
    let limits = Limits {
        head_line_bytes: 40,
        ..Limits::default()
    };
    let head = |bytes: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(bytes - 3)
        )
    };
    assert!(matches!(scan(head(40).as_bytes(), &limits), Ok(Some(_))));
    assert_eq!(
        scan(head(41).as_bytes(), &limits),
        Err(HeadError::HeaderLineTooLong)
    );
    assert_eq!(HeadError::HeaderLineTooLong.status(), 431);
}

#[test]
fn the_limit_that_comes_first_in_the_bytes_is_the_one_reported() {
    let long = |bytes: usize| ["GET / HTTP/1.1\r\nX: ", &"x".repeat(bytes)].concat();
    for (head_bytes, error) in [
        (48, HeadError::HeadTooLarge),
        (49, HeadError::HeaderLineTooLong),
    ] {
        let limits = Limits {
            head_bytes,
            head_line_bytes: 32,
            ..Limits::default()
        };
        let head = long(100);
        assert_eq!(scan(head.as_bytes(), &limits), Err(error));
        for cut in 0..48 {
            let mut scanner = HeadScanner::new();
            let first = scanner.scan(&head.as_bytes()[..cut], &limits);
            assert!(first.unwrap().is_none(), "{cut}");
            assert_eq!(
                scanner.scan(head.as_bytes(), &limits).unwrap_err(),
                error,
                "{cut}"
            );
        }
    }
}

#[test]
fn header_count_is_exact() {
    let head = |headers: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "Host: a\r\n".repeat(headers));
    for count in [0, 1, 3, 100] {
        let limits = Limits {
            header_count: count,
            ..Limits::default()
        };
        assert!(
            matches!(scan(head(count).as_bytes(), &limits), Ok(Some(_))),
            "{count}"
        );
        let one_more = scan(head(count + 1).as_bytes(), &limits);
        assert_eq!(one_more, Err(HeadError::TooManyHeaders), "{count}");
    }
    assert_eq!(HeadError::TooManyHeaders.status(), 431);
}

#[test]
fn header_count_ends_at_its_ceiling() {
    let limits = Limits {
        header_count: usize::MAX,
        ..Limits::default()
    };
    let head = |headers: usize| {
        let headers = "X: 1\r\n".repeat(headers - 1);
        format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
    };
    let most = head(Limits::HEADER_COUNT_CEILING);
    let bytes = HeadScanner::new()
        .scan(most.as_bytes(), &limits)
        .unwrap()
        .unwrap();
    let mut space = HeaderSpace::new();
    let read = RequestHead::parse(bytes, &mut space).unwrap();
    assert_eq!(read.headers().iter().count(), Limits::HEADER_COUNT_CEILING);
    let one_more = scan(head(Limits::HEADER_COUNT_CEILING + 1).as_bytes(), &limits);
    assert_eq!(one_more, Err(HeadError::TooManyHeaders));
}

// Cuts

#[test]
fn bytes_are_looked_at_once() {
    let head = b"GET /chat HTTP/1.1\r\nHost: a\r\n\r\n";
    let limits = Limits::default();
    for cut in 0..head.len() {
        let mut scanner = HeadScanner::new();
        let mut bytes = head[..cut].to_vec();
        assert!(scanner.scan(&bytes, &limits).unwrap().is_none());
        bytes.fill(0); // would be refused if it were looked at again
        bytes.extend(&head[cut..]);
        assert_eq!(
            scanner.scan(&bytes, &limits).unwrap().unwrap().len(),
            head.len()
        );
    }
}

#[test]
fn a_mebibyte_byte_by_byte_costs_its_bytes() {
    // Looking at all of it on each call would be half a tera of looks: this test would hang.
    let limits = Limits {
        head_bytes: 2 << 20,
        head_line_bytes: 2 << 20,
        ..Limits::default()
    };
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    head.resize(1 << 20, b'x');
    head.extend(b"\r\n\r\n");
    let mut scanner = HeadScanner::new();
    for end in 0..head.len() {
        assert!(scanner.scan(&head[..end], &limits).unwrap().is_none());
    }
    assert_eq!(
        scanner.scan(&head, &limits).unwrap().unwrap().len(),
        head.len()
    );
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_result(
        bytes in head_like(),
        cuts in proptest::collection::vec(1_usize..12, 1..64),
    ) {
        let limits = Limits {
            head_bytes: 96,
            head_line_bytes: 32,
            header_count: 3,
            ..Limits::default()
        };
        let whole = scan(&bytes, &limits);
        let mut scanner = HeadScanner::new();
        let mut cut = Ok(None);
        let mut end = 0;
        for step in cuts.iter().cycle() {
            end = bytes.len().min(end + step);
            cut = scanner.scan(&bytes[..end], &limits).map(|head| head.map(|head| head.len()));
            if cut != Ok(None) || end == bytes.len() {
                break;
            }
        }
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in head_like()) {
        let _ = request(&bytes, |head| head.keep_alive());
        let _ = response(&bytes, |head| head.status());
    }

    #[test]
    fn a_request_that_is_read_is_what_a_naive_reader_sees(bytes in head_like()) {
        let read = request(&bytes, |head| {
            let headers = head.headers().iter();
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_vec()));
            (head.method().to_owned(), headers.collect::<Vec<_>>())
        });
        if let Ok((method, headers)) = read {
            let text = bytes.trim_ascii_start();
            let text = &text[..text.windows(4).position(|at| at == b"\r\n\r\n").unwrap()];
            let mut lines = text.split(|byte| *byte == b'\n');
            let first = lines.next().unwrap();
            prop_assert_eq!(first.split(|byte| *byte == b' ').next().unwrap(), method.as_bytes());
            let naive: Vec<_> = lines
                .map(|line| {
                    let colon = line.iter().position(|byte| *byte == b':').unwrap();
                    let name = String::from_utf8(line[..colon].to_vec()).unwrap();
                    (name, line[colon + 1..].trim_ascii().to_vec())
                })
                .collect();
            prop_assert_eq!(naive, headers);
        }
    }
}

/// Pieces that heads are made of, right and wrong, and arbitrary bytes between them.
fn head_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST /a?b HTTP/1.0\r\n", "HTTP/1.1 101 Switching\r\n",
            "Host: a\r\n", "X:  y \r\n", "Content-Length: 5\r\n", "Connection: close\r\n",
            "Transfer-Encoding: chunked\r\n", "\r\n", "\r\n\r\n", "\r", "\n", " ", ":", "\t",
        ]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
        1 => proptest::collection::vec(0x21_u8..0x7f, 0..24),
    ];
    let pieces = proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    // Half of them begin well, so that the rest is reached.
    (any::<bool>(), pieces).prop_map(|(well, pieces)| {
        let mut bytes = if well {
            b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec()
        } else {
            vec![]
        };
        bytes.extend(pieces);
        bytes
    })
}

// Responses

#[test]
fn responses_are_read() {
    let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00";
    let read = response(head, |head| {
        assert_eq!(head.headers().get("upgrade"), Some(b"websocket".as_slice()));
        (head.version(), head.status(), head.reason().to_owned())
    });
    assert_eq!(
        read,
        Ok((Version::Http11, 101, "Switching Protocols".to_owned()))
    );
    assert_eq!(
        response(b"HTTP/1.0 404\r\n\r\n", |head| head.status()),
        Ok(404)
    );
}

#[test]
fn malformed_responses_are_refused() {
    for (head, error) in [
        ("HTTP/2 200 OK\r\n\r\n", HeadError::HttpVersion),
        ("HTTP/1.1 20 OK\r\n\r\n", HeadError::StartLine),
        ("HTTP/1.1 abc OK\r\n\r\n", HeadError::StartLine),
        ("GET / HTTP/1.1\r\n\r\n", HeadError::StartLine),
        ("HTTP/1.1 101 OK\r\nX : 1\r\n\r\n", HeadError::HeaderName),
    ] {
        assert_eq!(response(head.as_bytes(), |_| ()), Err(error), "{head}");
    }
}

// Helpers

fn scan(bytes: &[u8], limits: &Limits) -> Result<Option<usize>, HeadError> {
    let head = HeadScanner::new().scan(bytes, limits)?;
    Ok(head.map(|head| head.len()))
}

fn path(bytes: &[u8]) -> Result<String, HeadError> {
    request(bytes, |head| head.path().to_owned())
}

fn body_of(lines: &str) -> Result<Body, HeadError> {
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    request(head.as_bytes(), |head| head.body())
}

#[track_caller]
fn refused(bytes: &[u8], error: HeadError, status: u16) {
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(path(bytes), Err(error), "{text}");
    assert_eq!(error.status(), status, "{text}");
}

//! Finding and reading heads, however their bytes arrive.

use corewire_protocol::Limits;
use corewire_protocol::handshake::{
    HeadError, HeadScanner, HeaderSpace, RequestHead, ResponseHead,
};

use crate::input::{Input, pieces};

/// What a head was found to be: its bytes.
type Found = Result<Option<usize>, HeadError>;

/// However pipelined heads are cut into reads, the same heads are found, or the same error at
/// the same head. A head that is found keeps to the limits; httparse sees it end in the same
/// place, and where none is found it sees none.
pub fn http_head(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = Limits {
        head_bytes: input.one_of(&[16 << 10, 1, 40, 200]),
        head_line_bytes: input.one_of(&[8 << 10, 1, 16, 60]),
        header_count: input.one_of(&[100, 0, 1, 3, 256, 1000]),
        ..Limits::default()
    };
    let cuts = input.cuts();
    let mut rest = input.rest();
    let mut scanner = HeadScanner::new();
    loop {
        let whole = HeadScanner::new()
            .scan(rest, &limits)
            .map(|head| head.map(|head| head.len()));
        assert_eq!(found_in_pieces(&mut scanner, rest, &cuts, &limits), whole);
        compare(rest, whole, &limits);
        match whole {
            Ok(Some(len)) => rest = &rest[len..],
            Ok(None) | Err(_) => return,
        }
    }
}

fn found_in_pieces(
    scanner: &mut HeadScanner,
    bytes: &[u8],
    cuts: &[usize],
    limits: &Limits,
) -> Found {
    let mut end = 0;
    for piece in pieces(bytes, cuts) {
        end += piece.len();
        match scanner.scan(&bytes[..end], limits) {
            Ok(None) => {}
            Ok(Some(head)) => return Ok(Some(head.len())),
            Err(error) => {
                assert_eq!(scanner.scan(bytes, limits).unwrap_err(), error, "sticky");
                return Err(error);
            }
        }
    }
    Ok(None)
}

fn compare(bytes: &[u8], found: Found, limits: &Limits) {
    let mut headers = [httparse::EMPTY_HEADER; 300];
    let mut request = httparse::Request::new(&mut headers);
    let theirs = request.parse(bytes);
    match found {
        Err(_) => {}
        Ok(None) => {
            assert!(bytes.len() < limits.head_bytes);
            assert!(!matches!(theirs, Ok(httparse::Status::Complete(_))));
        }
        Ok(Some(len)) => {
            if let Ok(ended) = theirs {
                assert_eq!(ended, httparse::Status::Complete(len));
            }
            within(&bytes[..len], limits);
            read(bytes, limits);
        }
    }
}

/// The head's lines by themselves.
fn within(head: &[u8], limits: &Limits) {
    assert!(head.len() <= limits.head_bytes);
    // A letter for each byte, whatever it is.
    let text: String = head.iter().map(|&byte| char::from(byte)).collect();
    let lines: Vec<&str> = text.split("\r\n").filter(|line| !line.is_empty()).collect();
    assert!(!lines.is_empty() && lines.len() - 1 <= limits.header_count.min(256));
    for line in lines {
        assert!(line.chars().count() <= limits.head_line_bytes);
        assert!(
            line.chars()
                .all(|letter| letter == '\t' || !letter.is_ascii_control())
        );
    }
}

/// Reading a head, as a request and as a response, takes it or names a rule.
fn read(bytes: &[u8], limits: &Limits) {
    let head = HeadScanner::new().scan(bytes, limits).unwrap().unwrap();
    let mut space = HeaderSpace::new();
    if let Err(error) = RequestHead::parse(head, &mut space) {
        named(error);
    }
    let mut space = HeaderSpace::new();
    match ResponseHead::parse(head, &mut space) {
        Ok(response) => assert!(response.status() < 1000),
        Err(error) => named(error),
    }
}

pub(crate) fn named(error: HeadError) {
    assert!((400..600).contains(&error.status()));
    assert!(!error.to_string().contains(['\r', '\n']));
}

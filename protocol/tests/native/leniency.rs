//! What a later version may add.

use corewire_protocol::native::Dialect;

use super::{requests, server_words};

#[test]
fn unknown_fields_are_skipped() {
    for (with, without) in [
        (
            r#"{"trace":[{"deep":{}}],"id":1,"bye":{"mood":1e999,"reason":"x"}}"#,
            r#"{"id":1,"bye":{"reason":"x"}}"#,
        ),
        (
            r#"{"id":1,"hello":{"v":1,"client":{"name":"js"},"caps":["x"]}}"#,
            r#"{"id":1,"hello":{"v":1}}"#,
        ),
    ] {
        let read = requests(Dialect::Json, with.as_bytes());
        assert!(read[0].is_ok(), "{read:?}");
        assert_eq!(read, requests(Dialect::Json, without.as_bytes()));
    }
}

#[test]
fn null_is_nothing_and_white_space_is_free() {
    let with = "\t\r\n{ \"id\" : 1 , \"sub\" : { \"filter\" : null , \"s\":1, \"topic\":\"a\",\
                \"policy\":null, \"from\":null,\"ack\":null} } \n";
    let without = r#"{"id":1,"sub":{"s":1,"topic":"a"}}"#;
    let read = requests(Dialect::Json, with.as_bytes());
    assert!(read[0].is_ok(), "{read:?}");
    assert_eq!(read, requests(Dialect::Json, without.as_bytes()));
}

#[test]
fn what_is_asked_for_in_vain_may_be_named() {
    let with = r#"{"id":1,"sub":{"s":1,"topic":"a","from":"now","ack":"none","presence":"off","delta":false}}"#;
    let without = r#"{"id":1,"sub":{"s":1,"topic":"a"}}"#;
    let read = requests(Dialect::Json, with.as_bytes());
    assert!(read[0].is_ok(), "{read:?}");
    assert_eq!(read, requests(Dialect::Json, without.as_bytes()));
}

#[test]
fn names_may_be_written_with_escapes() {
    let read = requests(
        Dialect::Json,
        br#"{"\u0069d":1,"b\u0079e":{"r\u0065ason":"\u0061"}}"#,
    );
    assert_eq!(
        read,
        requests(Dialect::Json, br#"{"id":1,"bye":{"reason":"a"}}"#)
    );
}

#[test]
fn a_message_may_say_nothing() {
    assert_eq!(requests(Dialect::Json, b" [ ] "), []);
    assert_eq!(requests(Dialect::Binary, b""), []);
}

#[test]
fn the_tail_of_a_body_is_skipped() {
    // A `hello` with a `client` (bit 4), and one with a field of the future (bit 40).
    let plain = requests(Dialect::Binary, b"\x01\x03\x01\x00\x01");
    assert!(plain[0].is_ok(), "{plain:?}");
    for message in [
        &b"\x01\x06\x01\x10\x01\x02ab"[..],
        b"\x01\x0a\x01\x80\x80\x80\x80\x80\x20\x01\x01x",
        b"\x01\x04\x01\x00\x01\xff",
    ] {
        assert_eq!(requests(Dialect::Binary, message), plain);
    }
    // An item of a list, too: the first of two subscriptions has a tail.
    let hello = |first: &[u8]| {
        let mut body = b"\x01\x04\x01\x02".to_vec();
        body.push(u8::try_from(first.len()).unwrap());
        body.extend(first);
        body.extend(b"\x04\x00\x02\x01b");
        let mut message = vec![1, u8::try_from(body.len()).unwrap()];
        message.extend(body);
        message
    };
    let (with, without) = (hello(b"\x00\x01\x01atail"), hello(b"\x00\x01\x01a"));
    let read = requests(Dialect::Binary, &with);
    assert!(read[0].is_ok(), "{read:?}");
    assert_eq!(read, requests(Dialect::Binary, &without));
}

#[test]
fn a_push_of_the_future_costs_itself_only() {
    for (dialect, message) in [
        (
            Dialect::Json,
            &br#"[{"receipt":{"pseq":1}},{"ping":{"t":1}}]"#[..],
        ),
        (Dialect::Binary, b"\x9f\x01\x00\x8b\x02\x00\x01"),
    ] {
        let words = server_words(dialect, message);
        assert!(matches!(&words[..], [Err(_), Ok(_)]), "{words:?}");
    }
}

#[test]
fn a_server_may_say_more_of_a_policy() {
    let with = br#"{"id":1,"subbed":{"s":1,"pos":"p","policy":{"mode":"all","rate":5,"key":"k"}}}"#;
    let without = br#"{"id":1,"subbed":{"s":1,"pos":"p"}}"#;
    let read = server_words(Dialect::Json, with);
    assert!(read[0].is_ok(), "{read:?}");
    assert_eq!(read, server_words(Dialect::Json, without));
}

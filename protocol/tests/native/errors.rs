//! What a client is told of its mistakes.

use corewire_protocol::native::{
    Command, Dialect, ErrorCode, ErrorReply, Extent, JSON_LEVELS_MAX, Malformed, Subscribe,
};

use super::{requests, server_words};

const COMMAND: Extent = Extent::Command;
const MESSAGE: Extent = Extent::Message;

/// The one refusal of a message.
fn refused(dialect: Dialect, message: &[u8]) -> Malformed {
    let words = requests(dialect, message);
    let [Err(malformed)] = &words[..] else {
        panic!("{}: {words:?}", message.escape_ascii());
    };
    malformed.clone()
}

/// The one command of this message is a bad request, with this text.
fn is_refused(json: &str, id: Option<u64>, text: &str) {
    let malformed = refused(Dialect::Json, json.as_bytes());
    assert_eq!(malformed.text, text, "{json}");
    let rest = (malformed.id, malformed.code, malformed.extent);
    assert_eq!(rest, (id, ErrorCode::BadRequest, COMMAND), "{json}");
}

#[test]
fn a_bad_question_for_the_past_or_the_state_is_told_with_field_and_remedy() {
    const FROM: &str = "\"now\", or an object with epoch and offset, or last, or since_ms, or pos and seen, is needed";
    const NAMESPACE: &str = "a name of 1 to 32 of the characters a-z, 0-9, - and _, is needed";
    const INTEGER: &str = "a whole number from 0, below 2^53, is needed";
    for (json, id, text) in [
        // Beginnings.
        (r#"{"sub":{"s":1,"topic":"a","from":"then"}}"#, None, format!("sub.from: found \"then\"; {FROM}")),
        (r#"{"sub":{"s":1,"topic":"a","from":5}}"#, None, format!("sub.from: found 5; {FROM}")),
        (r#"{"sub":{"s":1,"topic":"a","from":[]}}"#, None, format!("sub.from: found a list; {FROM}")),
        (r#"{"sub":{"s":1,"topic":"a","from":{}}}"#, None,
            "sub.from: no beginning; give epoch and offset, or last, or since_ms, or pos and seen".into()),
        (r#"{"sub":{"s":1,"topic":"a","from":{"last":1,"since_ms":2}}}"#, None,
            "sub.from: more than one beginning; give epoch and offset, or last, or since_ms, or pos and seen".into()),
        (r#"{"sub":{"s":1,"topic":"a","from":{"epoch":"k"}}}"#, None, "sub.from.offset: missing; an offset is needed".into()),
        (r#"{"sub":{"s":1,"topic":"a","from":{"offset":1}}}"#, None, "sub.from.epoch: missing; the epoch of the offset is needed".into()),
        (r#"{"sub":{"s":1,"topic":"a","from":{"last":-1}}}"#, None, format!("sub.from.last: found -1; {INTEGER}")),
        (r#"{"sub":{"s":1,"topic":"a.>","from":{"seen":[]}}}"#, None, "sub.from.pos: missing; a pattern's position is needed".into()),
        (r#"{"sub":{"s":1,"topic":"a.>","from":{"pos":"p","seen":[{"topic":"a.b","epoch":"k"}]}}}"#, None,
            "sub.from.seen[0].offset: missing; an offset is needed".into()),
        (r#"{"id":1,"hello":{"v":1,"resume":{"ticket":"x"}}}"#, Some(1), "hello.resume: found an object; a string is needed".into()),
        // Pages of history.
        (r#"{"id":1,"hist":{}}"#, Some(1), "hist.topic: missing; a topic's name is needed".into()),
        (r#"{"id":1,"hist":{"topic":"a","dir":"up"}}"#, Some(1),
            "hist.dir: found \"up\"; \"forward\" or \"backward\" is needed".into()),
        (r#"{"id":1,"hist":{"topic":"a","from":"now"}}"#, Some(1), "hist.from: found \"now\"; an object is needed".into()),
        (r#"{"id":1,"hist":{"topic":"a","from":{}}}"#, Some(1), "hist.from: no beginning; give epoch and offset, or since_ms".into()),
        (r#"{"id":1,"hist":{"topic":"a","from":{"last":5}}}"#, Some(1),
            "hist.from: a page has no last; use dir backward and limit".into()),
        (r#"{"id":1,"hist":{"topic":"a","from":{"pos":"p"}}}"#, Some(1),
            "hist.from: a page is of one topic, not of a pattern; give epoch and offset, or since_ms".into()),
        (r#"{"id":1,"hist":{"topic":"a","from":{"epoch":"k","offset":1,"since_ms":1}}}"#, Some(1),
            "hist.from: more than one beginning; give epoch and offset, or since_ms".into()),
        (r#"{"id":1,"hist":{"topic":"a","from":{"since_ms":1},"dir":"backward"}}"#, Some(1),
            "hist.from: since_ms goes forward only; give epoch and offset, or leave dir out".into()),
        // State.
        (r#"{"state":{"topic":"a","op":"set"}}"#, None, "state.ns: missing; a namespace is needed".into()),
        (r#"{"state":{"topic":"a","ns":"x"}}"#, None, "state.op: missing; \"set\" or \"del\" or \"page\" is needed".into()),
        (r#"{"state":{"topic":"a","ns":"x","op":"get"}}"#, None,
            "state.op: found \"get\"; \"set\" or \"del\" or \"page\" is needed".into()),
        (r#"{"state":{"topic":"a","ns":"Typing","op":"set"}}"#, None, format!("state.ns: found \"Typing\"; {NAMESPACE}")),
        (r#"{"sub":{"s":1,"topic":"a","watch":["typing",""]}}"#, None, format!("sub.watch[1]: found \"\"; {NAMESPACE}")),
        (r#"{"sub":{"s":1,"topic":"a","watch":["a","b","c","d","e","f","g","h","i"]}}"#, None,
            "sub.watch: more than 8; leave some out".into()),
        (r#"{"sub":{"s":1,"topic":"a","watch":[1]}}"#, None, "sub.watch[0]: found 1; a string is needed".into()),
        (r#"{"state":{"topic":"a","ns":"x","op":"del","v":1}}"#, None, "state.v: it does not belong to this op; leave it out".into()),
        (r#"{"state":{"topic":"a","ns":"x","op":"page","k":"y"}}"#, None, "state.k: it does not belong to this op; leave it out".into()),
        (r#"{"state":{"topic":"a","ns":"x","op":"set","limit":1}}"#, None, "state.limit: it does not belong to this op; leave it out".into()),
        (r#"{"state":{"topic":"a","ns":"presence","op":"set","k":"y"}}"#, None,
            "state.k: presence has one entry for each connection; leave it out".into()),
        (r#"{"state":{"topic":"a","ns":"presence","op":"set","ttl_ms":5}}"#, None,
            "state.ttl_ms: presence lasts as long as the connection; leave it out".into()),
        (r#"{"state":{"topic":"a","ns":"x","op":"set","ttl_ms":0}}"#, None,
            "state.ttl_ms: found 0; a number from 1 to 10000 is needed".into()),
        (r#"{"state":{"topic":"a","ns":"x","op":"set","ttl_ms":10001}}"#, None,
            "state.ttl_ms: found 10001; a number from 1 to 10000 is needed".into()),
        (r#"{"state":{"topic":"a","ns":"x","op":"set","k":""}}"#, None, "state.k: empty; leave it out for the connection's own key".into()),
        // What a publication has beside its data.
        (r#"{"pub":{"topic":"a","data":1,"idem":""}}"#, None, "pub.idem: 0 bytes; 1 to 64 are possible".into()),
        (r#"{"pub":{"topic":"a","data":1,"ttl_ms":0}}"#, None, "pub.ttl_ms: found 0; a number from 1 is needed".into()),
        (r#"{"pub":{"topic":"a","data":1,"tags":["a"]}}"#, None, "pub.tags: found a list; an object is needed".into()),
        (r#"{"pub":{"topic":"a","data":1,"tags":{"a":1}}}"#, None, "pub.tags.\"a\": found 1; a string is needed".into()),
        (r#"{"pub":{"topic":"a","data":1,"tags":{"a":"1","a":"1"}}}"#, None, "pub.tags: \"a\" is there twice; leave one out".into()),
        (r#"{"pub":{"topic":"a","data":1,"tags":{"":"1"}}}"#, None, "pub.tags: a tag without a name; give it one".into()),
        (r#"{"pub":{"topic":"a","data":1,"level":5}}"#, None, "pub.level: found 5; \"none\" or \"mem\" is needed".into()),
        (r#"{"pub":{"topic":"a","data":1,"echo":0}}"#, None, "pub.echo: found 0; true or false is needed".into()),
    ] {
        is_refused(json, id, &text);
    }
}

#[test]
fn a_bad_command_is_told_with_field_and_remedy() {
    const INTEGER: &str = "a whole number from 0, below 2^53, is needed";
    const B64: &str = "base64 with the alphabet of RFC 4648, 4, and its padding, is needed";
    for (json, id, text) in [
        // The object around it.
        (r#"{}"#, None, "no command; write one as {\"id\":1,\"pub\":{…}}".to_owned()),
        (r#"{"id":1}"#, Some(1), "no command; write one as {\"id\":1,\"pub\":{…}}".into()),
        (r#"{"id":0,"bye":{}}"#, None, "id: found 0; numbers of commands begin at 1".into()),
        (r#"{"id":-1,"bye":{}}"#, None, format!("id: found -1; {INTEGER}")),
        (r#"{"id":"1","bye":{}}"#, None, format!("id: found \"1\"; {INTEGER}")),
        (r#"{"id":1,"bye":{},"id":1}"#, None, "id: there twice; leave one out".into()),
        (r#"{"id":1,"bye":{},"bye":{}}"#, Some(1), "bye: a second word; send each in an object of its own".into()),
        (r#"{"pong":{},"bye":{},"id":1}"#, Some(1), "bye: a second word; send each in an object of its own".into()),
        (r#"{"id":1,"bye":null}"#, Some(1), "bye: found null; an object is needed".into()),
        (r#"{"id":1,"bye":[1]}"#, Some(1), "bye: found a list; an object is needed".into()),
        // Numbers.
        (r#"{"id":1,"unsub":{}}"#, Some(1), "unsub.s: missing; the subscription's number is needed".into()),
        (r#"{"id":1,"unsub":{"s":null}}"#, Some(1), "unsub.s: missing; the subscription's number is needed".into()),
        (r#"{"id":1,"unsub":{"s":1.0}}"#, Some(1), format!("unsub.s: found 1.0; {INTEGER}")),
        (r#"{"id":1,"unsub":{"s":-5}}"#, Some(1), format!("unsub.s: found -5; {INTEGER}")),
        (r#"{"id":1,"unsub":{"s":9007199254740992}}"#, Some(1), format!("unsub.s: found 9007199254740992; {INTEGER}")),
        (r#"{"id":1,"unsub":{"s":99999999999999999999}}"#, Some(1), format!("unsub.s: found 1e20; {INTEGER}")),
        (r#"{"id":1,"unsub":{"s":1e999}}"#, Some(1), "cannot be read: number out of range at line 1 column 26".into()),
        (r#"{"unsub":{"s":true},"id":3}"#, Some(3), format!("unsub.s: found true; {INTEGER}")),
        (r#"{"id":1,"unsub":{"s":1,"s":1}}"#, Some(1), "unsub.s: there twice; leave one out".into()),
        // Texts.
        (r#"{"id":1,"auth":{"token":5}}"#, Some(1), "auth.token: found 5; a string is needed".into()),
        (r#"{"id":1,"auth":{"token":{"a":[]}}}"#, Some(1), "auth.token: found an object; a string is needed".into()),
        (r#"{"id":1,"auth":{"token":"\ud800"}}"#, Some(1), "cannot be read: unexpected end of hex escape at line 1 column 32".into()),
        // Words.
        (r#"{"sub":{"s":1,"topic":"a","policy":{"mode":"newest"}}}"#, None,
            "sub.policy.mode: found \"newest\"; \"all\" or \"latest\" or \"drop_oldest\" or \"close\" is needed".into()),
        (r#"{"sub":{"s":1,"topic":"a","presence":"x"}}"#, None,
            "sub.presence: found \"x\"; \"off\" or \"announce\" or \"watch\" or \"both\" is needed".into()),
        // Payloads and targets.
        (r#"{"pub":{"topic":"a"}}"#, None, "pub.data: missing; any JSON, or b64 with bytes, is needed".into()),
        (r#"{"pub":{"topic":"a","data":1,"b64":"AA=="}}"#, None, "pub.b64: a message has one payload; leave out data or b64".into()),
        (r#"{"pub":{"topic":"a","b64":"AA==","data":1}}"#, None, "pub.data: a message has one payload; leave out data or b64".into()),
        (r#"{"pub":{"topic":"a","b64":"AA"}}"#, None, format!("pub.b64: found \"AA\"; {B64}")),
        (r#"{"pub":{"topic":"a","b64":"-_=="}}"#, None, format!("pub.b64: found \"-_==\"; {B64}")),
        (r#"{"pub":{"topic":"a","b64":{}}}"#, None, format!("pub.b64: found an object; {B64}")),
        (r#"{"pub":{"data":1}}"#, None, "pub.topic: missing; a topic's name, or its alias t, is needed".into()),
        (r#"{"pub":{"topic":"a","t":1,"data":1}}"#, None, "pub: topic and t; leave one out".into()),
        (r#"{"credit":{"t":1,"s":1}}"#, None, "credit: t and s; leave one out".into()),
        // Lists.
        (r#"{"id":1,"hello":{"v":1,"subs":{}}}"#, Some(1), "hello.subs: found an object; a list is needed".into()),
        (r#"{"id":1,"hello":{"subs":[]}}"#, Some(1), "hello.v: missing; the version of the protocol, 1, is needed".into()),
    ] {
        is_refused(json, id, &text);
    }
}

#[test]
fn what_this_version_does_not_have_is_refused_by_name() {
    let leave = "not supported by this version; leave it out";
    for (json, text) in [
        (
            r#"{"id":1,"fly":{}}"#,
            "\"fly\" is not known to this version".to_owned(),
        ),
        (
            r#"{"fly":{},"id":1,"swim":{}}"#,
            "\"fly\" is not known to this version".into(),
        ),
        (
            r#"{"id":1,"rpc":{"method":"a"}}"#,
            "\"rpc\" is not known to this version".into(),
        ),
        (
            r#"{"id":1,"hist":{"topic":"a","filter":"x"}}"#,
            format!("hist.filter: {leave}"),
        ),
        (
            r#"{"id":1,"state":{"topic":"a","op":"set","ns":"x","if_ver":5}}"#,
            format!("state.if_ver: {leave}"),
        ),
        (
            r#"{"id":1,"welcome":{}}"#,
            "\"welcome\" is not known to this version".into(),
        ),
        (
            r#"{"id":1,"sub":{"s":1,"topic":"a","filter":"x"}}"#,
            format!("sub.filter: {leave}"),
        ),
        (
            r#"{"id":1,"sub":{"s":1,"topic":"a","durable":"x"}}"#,
            format!("sub.durable: {leave}"),
        ),
        (
            r#"{"id":1,"sub":{"s":1,"topic":"a","token":"x"}}"#,
            format!("sub.token: {leave}"),
        ),
        (
            r#"{"id":1,"sub":{"s":1,"topic":"a","delta":true}}"#,
            format!("sub.delta: {leave}"),
        ),
        (
            r#"{"id":1,"sub":{"s":1,"topic":"a","ack":"client"}}"#,
            "sub.ack: \"client\" is not supported by this version; use \"none\"".into(),
        ),
        (
            r#"{"id":1,"sub":{"s":1,"topic":"a","policy":{"rate":5}}}"#,
            format!("sub.policy.rate: {leave}"),
        ),
        (
            r#"{"id":1,"pub":{"topic":"a","data":1,"receipt":true}}"#,
            format!("pub.receipt: {leave}"),
        ),
        (
            r#"{"id":1,"pub":{"topic":"a","data":1,"level":"disk"}}"#,
            "pub.level: \"disk\" is not supported by this version; use \"none\" or \"mem\"".into(),
        ),
    ] {
        let malformed = refused(Dialect::Json, json.as_bytes());
        assert_eq!(malformed.text, text, "{json}");
        let rest = (malformed.id, malformed.code, malformed.extent);
        assert_eq!(rest, (Some(1), ErrorCode::Unsupported, COMMAND), "{json}");
    }
}

#[test]
fn what_is_no_json_is_refused_as_a_whole() {
    for (message, text) in [
        (
            &b""[..],
            "not JSON: EOF while parsing a value at line 1 column 0",
        ),
        (b"hello", "not JSON: expected value at line 1 column 1"),
        (b"5", "neither an object nor a list of objects"),
        (b"null", "neither an object nor a list of objects"),
        (b"\xff{}", "not UTF-8 at byte 0"),
        (
            b"{\"bye\":{}} {}",
            "not JSON: trailing characters at line 1 column 12",
        ),
        (
            b"{\"bye\":{}",
            "not JSON: EOF while parsing an object at line 1 column 9",
        ),
        (b"{\"bye\":{}}\xc3", "not UTF-8 at byte 10"),
        (
            b"[",
            "not JSON: EOF while parsing a list at line 1 column 1",
        ),
        (b"[,]", "not JSON: expected value at line 1 column 2"),
        (b"[] []", "not JSON: trailing characters at line 1 column 4"),
    ] {
        let malformed = refused(Dialect::Json, message);
        let expected = (text, None, ErrorCode::BadRequest, MESSAGE);
        let Malformed {
            id,
            code,
            text,
            extent,
        } = &malformed;
        assert_eq!(
            (&**text, *id, *code, *extent),
            expected,
            "{}",
            message.escape_ascii()
        );
    }
}

#[test]
fn a_bad_item_of_a_list_leaves_the_others() {
    let message = br#" [ {"bye":{}} , 5, [{}], {"id":7,"sub":{}} , {"bye":{}} ] "#;
    let words = requests(Dialect::Json, message);
    let [Ok(_), Err(number), Err(list), Err(empty), Ok(_)] = &words[..] else {
        panic!("{words:?}");
    };
    assert_eq!(number.text, "found 5; an object is needed");
    assert_eq!(list.text, "found a list; an object is needed");
    assert_eq!((empty.id, empty.extent), (Some(7), COMMAND));
}

#[test]
fn what_stands_before_broken_json_is_read() {
    for message in [
        &br#"[{"bye":{}},{"bye":{}},"#[..],
        br#"[{"bye":{}},{"bye":{}}]]"#,
        br#"[{"bye":{}},{"bye":{}} {}"#,
        br#"[{"bye":{}},{"bye":{}},]"#,
    ] {
        let words = requests(Dialect::Json, message);
        let [Ok(_), Ok(_), Err(end)] = &words[..] else {
            panic!("{words:?}");
        };
        assert_eq!(end.extent, MESSAGE);
        assert!(end.text.contains("at line 1 column 2"), "{}", end.text);
    }
}

#[test]
fn payloads_have_so_many_levels_and_no_more() {
    let nested = |levels: usize, inner: &str| {
        let [open, close] = ["[", "]"].map(|bracket| bracket.repeat(levels));
        format!("{{\"id\":1,\"pub\":{{\"topic\":\"a\",\"data\":{open}{inner}{close}}}}}")
    };
    // Brackets in texts do not count.
    let text = format!("\"\\\"{}\"", "[".repeat(500));
    for inner in ["", &text, "{},{}", "[],".repeat(200).trim_end_matches(',')] {
        let own = usize::from(inner.contains(','));
        let message = nested(JSON_LEVELS_MAX - own, inner);
        assert!(
            requests(Dialect::Json, message.as_bytes())[0].is_ok(),
            "{inner}"
        );
        let message = nested(JSON_LEVELS_MAX + 1 - own, inner);
        let malformed = refused(Dialect::Json, message.as_bytes());
        let text = "pub.data: lists and objects nested 101 levels deep; at most 100 are possible";
        assert_eq!((&*malformed.text, malformed.id), (text, Some(1)), "{inner}");
    }
}

/// Its others and the connection have nothing to do with it.
#[test]
fn an_unreadable_subscription_of_a_hello_is_refused_alone() {
    const NAMESPACE: &str = "a name of 1 to 32 of the characters a-z, 0-9, - and _, is needed";
    const MODE: &str = "\"all\" or \"latest\" or \"drop_oldest\" or \"close\" is needed";
    let deep = format!(
        r#"{{"s":1,"topic":"a","x":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    for (json, code, text) in [
        (
            r#"{"s":2}"#,
            ErrorCode::BadRequest,
            "sub.topic: missing; a topic's name or a pattern is needed".to_owned(),
        ),
        (
            "null",
            ErrorCode::BadRequest,
            "sub: found null; an object is needed".into(),
        ),
        (
            "[[1]]",
            ErrorCode::BadRequest,
            "sub: found a list; an object is needed".into(),
        ),
        (
            r#"{"s":1,"topic":"a","watch":["Typing"]}"#,
            ErrorCode::BadRequest,
            format!("sub.watch[0]: found \"Typing\"; {NAMESPACE}"),
        ),
        (
            r#"{"s":1,"topic":"a","policy":{"mode":"newest"}}"#,
            ErrorCode::BadRequest,
            format!("sub.policy.mode: found \"newest\"; {MODE}"),
        ),
        (
            r#"{"s":1,"topic":"a","filter":{}}"#,
            ErrorCode::Unsupported,
            "sub.filter: not supported by this version; leave it out".into(),
        ),
        (&deep, ErrorCode::BadRequest, String::new()),
    ] {
        let good = r#"{"s":1,"topic":"a"}"#;
        let hello = format!(r#"{{"id":1,"hello":{{"v":1,"subs":[{good},{json},{good}]}}}}"#);
        let outcomes = outcomes(Dialect::Json, hello.as_bytes());
        let [Ok(_), refused, Ok(_)] = &outcomes[..] else {
            panic!("{outcomes:?}");
        };
        if text.is_empty() {
            assert_eq!(
                refused,
                &Ok("a".to_owned()),
                "nobody looks into what is skipped"
            );
        } else {
            assert_eq!(refused, &Err((code, text)), "{json}");
        }
    }
    let binary = b"\x01\x11\x07\x04\x01\x03\x04\x00\x01\x01a\x02\x00\x02\x04\x00\x03\x01b";
    let early = "sub.topic: the record ends before it does".to_owned();
    assert_eq!(
        outcomes(Dialect::Binary, binary),
        [
            Ok("a".to_owned()),
            Err((ErrorCode::BadRequest, early)),
            Ok("b".to_owned())
        ]
    );
}

/// The topic of each subscription of a `hello`, or why it is refused.
fn outcomes(dialect: Dialect, message: &[u8]) -> Vec<Result<String, (ErrorCode, String)>> {
    let words = requests(dialect, message);
    let [Ok(request)] = &words[..] else {
        panic!("{}: {words:?}", message.escape_ascii());
    };
    let Command::Hello(hello) = &request.command else {
        panic!("{request:?}");
    };
    let outcome = |one: &Result<Subscribe<'_>, ErrorReply<'_>>| match one {
        Ok(subscribe) => Ok(subscribe.topic.to_string()),
        Err(error) => Err((error.code, error.text.to_string())),
    };
    hello.subscribe.iter().map(outcome).collect()
}

#[test]
fn a_hello_has_so_many_subscriptions_and_no_more() {
    let hello = |count| {
        let subs = vec!["{\"s\":1,\"topic\":\"a\"}"; count].join(",");
        format!("{{\"id\":1,\"hello\":{{\"v\":1,\"subs\":[{subs}]}}}}")
    };
    assert!(requests(Dialect::Json, hello(4096).as_bytes())[0].is_ok());
    let malformed = refused(Dialect::Json, hello(4097).as_bytes());
    assert_eq!(
        malformed.text,
        "hello.subs: more than 4096; send the others later"
    );
    let binary = [1, 7, 1, 4, 1, 0xff, 0xff, 0xff, 0x7f];
    let malformed = refused(Dialect::Binary, &binary);
    assert_eq!(
        malformed.text,
        "hello.subs: more than 4096; send the others later"
    );
}

#[test]
fn what_stands_beside_data_has_its_bounds() {
    let publish = |beside: &str| format!("{{\"pub\":{{\"topic\":\"a\",\"data\":1,{beside}}}}}");
    let state = |fields: &str| {
        format!("{{\"state\":{{\"topic\":\"a\",\"op\":\"set\",\"ns\":\"x\",{fields}}}}}")
    };
    let tags = |count: usize| {
        let tags: Vec<_> = (0..count).map(|tag| format!("\"t{tag}\":\"\"")).collect();
        format!("\"tags\":{{{}}}", tags.join(","))
    };
    let text = |bytes: usize| "x".repeat(bytes);
    let code = ErrorCode::BadRequest;
    for (fits, too_much, code, told) in [
        (
            publish(&format!("\"idem\":\"{}\"", text(64))),
            publish(&format!("\"idem\":\"{}\"", text(65))),
            code,
            "pub.idem: 65 bytes; 1 to 64 are possible".to_owned(),
        ),
        (
            publish(&tags(16)),
            publish(&tags(17)),
            code,
            "pub.tags: more than 16; leave some out".into(),
        ),
        (
            publish(&format!("\"tags\":{{\"{}\":\"\"}}", text(64))),
            publish(&format!("\"tags\":{{\"{}\":\"\"}}", text(65))),
            code,
            format!(
                "pub.tags: the name \"{}\"… has 65 bytes; at most 64 are possible",
                text(40)
            ),
        ),
        (
            publish(&format!("\"tags\":{{\"a\":\"{}\"}}", text(256))),
            publish(&format!("\"tags\":{{\"a\":\"{}\"}}", text(257))),
            code,
            "pub.tags: the value of \"a\" has 257 bytes; at most 256 are possible".into(),
        ),
        (
            state(&format!("\"v\":\"{}\"", text(1022))),
            state(&format!("\"v\":\"{}\"", text(1023))),
            ErrorCode::TooLarge,
            "state.v: 1025 bytes; at most 1024 are possible".into(),
        ),
        (
            state(&format!("\"k\":\"{}\"", text(128))),
            state(&format!("\"k\":\"{}\"", text(129))),
            code,
            "state.k: 129 bytes; at most 128 are possible".into(),
        ),
    ] {
        let words = requests(Dialect::Json, fits.as_bytes());
        assert!(matches!(words[..], [Ok(_)]), "{words:?}");
        let malformed = refused(Dialect::Json, too_much.as_bytes());
        assert_eq!((malformed.code, &*malformed.text), (code, &*told));
    }
    let seen = vec!["{\"topic\":\"a.b\",\"epoch\":\"k\",\"offset\":1}"; 4097].join(",");
    let subscribe = format!(
        "{{\"sub\":{{\"s\":1,\"topic\":\"a.>\",\"from\":{{\"pos\":\"p\",\"seen\":[{seen}]}}}}}}"
    );
    let malformed = refused(Dialect::Json, subscribe.as_bytes());
    assert_eq!(
        malformed.text,
        "sub.from.seen: more than 4096; leave some out, their messages come again"
    );
}

#[test]
fn a_bad_record_is_told_with_field_and_remedy() {
    use ErrorCode::{BadRequest, Unsupported};
    const END: &str = "the record ends before it does";
    for (message, id, code, text) in [
        (&b"\x04\x00"[..], None, BadRequest, format!("id: {END}")),
        (b"\x04\x01\x05", Some(5), BadRequest, format!("unsub.the optional fields: {END}")),
        (b"\x04\x02\x05\x00", Some(5), BadRequest, format!("unsub.s: {END}")),
        (b"\x04\x03\x05\x00\x80", Some(5), BadRequest, format!("unsub.s: {END}")),
        (b"\x04\x04\x05\x00\x80\x00", Some(5), BadRequest,
            "unsub.s: a number with a zero byte at its end; leave it out".into()),
        (b"\x04\x0a\x05\x00\x80\x80\x80\x80\x80\x80\x80\x10", Some(5), BadRequest,
            "unsub.s: a number of 2^53 or more; they stay below".into()),
        (b"\x04\x0b\x05\x00\x80\x80\x80\x80\x80\x80\x80\x80\x01", Some(5), BadRequest,
            "unsub.s: a number of 2^53 or more; they stay below".into()),
        (b"\x02\x04\x05\x00\x02a", Some(5), BadRequest, format!("auth.token: {END}")),
        (b"\x02\x05\x05\x00\x02a\xff", Some(5), BadRequest, "auth.token: not UTF-8 at byte 1".into()),
        (b"\x05\x06\x05\x02\x03\x01x\x09", Some(5), BadRequest,
            "pub.data: found the kind 3; 0 (JSON), 1 (text) or 2 (bytes) is needed".into()),
        (b"\x05\x06\x05\x02\x00\x01x\x09", Some(5), BadRequest,
            "pub.data: not JSON: expected value at line 1 column 1".into()),
        (b"\x05\x05\x05\x02\x00\x00\x09", Some(5), BadRequest,
            "pub.data: not JSON: EOF while parsing a value at line 1 column 0".into()),
        (b"\x05\x07\x05\x02\x00\x02{]\x09", Some(5), BadRequest,
            "pub.data: not JSON: key must be a string at line 1 column 2".into()),
        (b"\x03\x09\x05\x01\x01\x01a\x03\x00\x04\x00", Some(5), BadRequest,
            "sub.policy.mode: found 4; 0 (all) or 1 (latest) or 2 (drop_oldest) or 3 (close) is needed".into()),
        (b"\x03\x05\x05\x08\x01\x01a", Some(5), Unsupported,
            "sub.filter: not supported by this version; leave it out".into()),
        (b"\x05\x08\x05\x11\x01\x01x\x01a\x03", Some(5), Unsupported, "pub.level: 3 (quorum) is not supported by this version; use 0 (none) or 1 (mem)".into()),
        (b"\x09\x01\x05", Some(5), Unsupported, "ack is not known to this version".into()),
        (b"\x0c\x01\x05", Some(5), Unsupported, "rpc is not known to this version".into()),
        (b"\x0a\x05\x05\x08\x01a\x01", Some(5), Unsupported, "hist.filter: not supported by this version; leave it out".into()),
        (b"\x0b\x07\x05\x20\x01a\x00\x01x", Some(5), Unsupported, "state.if_ver: not supported by this version; leave it out".into()),
        (b"\x0b\x07\x05\x00\x01a\x03\x01x", Some(5), BadRequest,
            "state.op: found 3; 0 (set) or 1 (del) or 2 (page) is needed".into()),
        (b"\x0b\x0a\x05\x02\x01a\x00\x01x\x02{]", Some(5), BadRequest,
            "state.v: not JSON: key must be a string at line 1 column 2".into()),
        (b"\x03\x07\x05\x04\x01\x01a\x01\x00", Some(5), BadRequest,
            "sub.from: no beginning; give epoch and offset, or last, or since_ms, or pos and seen".into()),
        (b"\x03\x06\x05\x40\x01\x01a\x03", Some(5), BadRequest,
            "sub.presence: found 3; 0 (announce) or 1 (watch) or 2 (both) is needed".into()),
        (b"\x03\x0a\x05\x80\x04\x01\x01a\x01\x02Aa", Some(5), BadRequest,
            "sub.watch[0]: found \"Aa\"; a name of 1 to 32 of the characters a-z, 0-9, - and _, is needed".into()),
        (b"\x05\x0e\x05\x82\x02\x00\x01\x31\x09\x02\x01a\x00\x01a\x00", Some(5), BadRequest,
            "pub.tags: \"a\" is there twice; leave one out".into()),
        (b"\x41\x01\x05", Some(5), Unsupported, "the record 0x41 is not known to this version".into()),
    ] {
        let malformed = refused(Dialect::Binary, message);
        let expected = (&*text, id, code, COMMAND);
        let Malformed { id, code, text, extent } = &malformed;
        assert_eq!((&**text, *id, *code, *extent), expected, "{}", message.escape_ascii());
    }
}

#[test]
fn records_that_do_not_end_with_their_message_are_refused_as_a_whole() {
    for (message, text) in [
        (
            &b"\x08"[..],
            "the record at byte 0: the record ends before it does",
        ),
        (
            b"\x08\x02\x00\x00\x08\x80",
            "the record at byte 4: the record ends before it does",
        ),
        (
            b"\x08\x02\x00\x00\x08\x03\x00",
            "the record at byte 4: 3 bytes were to follow, and 1 are there; records end with their message",
        ),
        (
            b"\x08\x02\x00\x00\x08\x82\x00\x00\x00",
            "the record at byte 4: a number with a zero byte at its end; leave it out",
        ),
    ] {
        let words = requests(Dialect::Binary, message);
        let Some(Err(lost)) = words.last() else {
            panic!("{words:?}");
        };
        assert_eq!((&*lost.text, lost.extent), (text, MESSAGE));
        // Those before it were read.
        let before = usize::from(message.len() > 1);
        assert_eq!(words.len(), before + 1);
    }
}

#[test]
fn a_reply_must_have_its_number() {
    for (json, text) in [
        (
            r#"{"ok":{}}"#,
            "id: missing; the number of a command is needed",
        ),
        (
            r#"{"id":0,"ok":{}}"#,
            "id: found 0; numbers of commands begin at 1",
        ),
        (
            r#"{"id":1,"err":{"code":99,"text":""}}"#,
            "err.code: 99 is not known to this version",
        ),
        (
            r#"{"id":1,"subbed":{"s":1,"t":1,"pos":""}}"#,
            "subbed: t and pos; one must be left out",
        ),
        (r#"{"pos":{"t":1}}"#, "pos.o: missing; an offset is needed"),
        (
            r#"{"reset":{"cause":"node"}}"#,
            "reset.t: missing; an alias, or a subscription's s, is needed",
        ),
        (
            r#"{"reset":{"s":1,"t":1,"pos":"","cause":"node"}}"#,
            "reset: t and s; one must be left out",
        ),
        (
            r#"{"id":1,"page":{"t":1,"epoch":"k","start":0,"end":1,"complete":true,"items":[{"o":1}]}}"#,
            "page.items[0].data: missing; any JSON, or b64 with bytes, is needed",
        ),
        (
            r#"{"id":1,"page":{"t":1,"epoch":"k","start":0,"end":1,"items":[]}}"#,
            "page.complete: missing; true or false is needed",
        ),
        (
            r#"{"state":{"t":1,"ns":"x","ver":1,"n":1,"digest":1,"set":[{"k":"a","user":"u"}],"del":[]}}"#,
            "state.set[0].ver: missing; a version is needed",
        ),
        (
            r#"{"closing":{"code":65536,"reason":""}}"#,
            "closing.code: found 65536; a number below 65536 is needed",
        ),
        (
            r#"{"topic":{"t":1,"topic":"a","s":[1,"2"],"epoch":"","offset":0}}"#,
            "topic.s[1]: found \"2\"; a whole number from 0, below 2^53, is needed",
        ),
    ] {
        let words = server_words(Dialect::Json, json.as_bytes());
        let [Err(malformed)] = &words[..] else {
            panic!("{words:?}");
        };
        assert_eq!(malformed.text, text, "{json}");
    }
}

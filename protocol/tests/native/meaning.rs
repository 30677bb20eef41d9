//! Which field and which value a name stands for. The vectors say that the dialects agree; a pair
//! that is exchanged in both would agree, too.

use corewire_protocol::native::{
    Cause, Command, Complete, Conflated, Credit, CreditScope, Dialect, Direction, Duplicate, Echo,
    Entry, Gap, GoAway, History, HistoryFrom, Level, Limits, PatternPlace, Place, Policy,
    PolicyMode, Presence, Publisher, Push, Recovered, Repair, Reply, Seen, ServerWord, Start,
    StateOp,
};

use super::{requests, server_words};

fn command(json: &str) -> Command<'_> {
    let [Ok(request)] = <[_; 1]>::try_from(requests(Dialect::Json, json.as_bytes())).unwrap()
    else {
        panic!("{json}");
    };
    request.command
}

fn said(json: &str) -> ServerWord<'_> {
    let [Ok(word)] = <[_; 1]>::try_from(server_words(Dialect::Json, json.as_bytes())).unwrap()
    else {
        panic!("{json}");
    };
    word
}

#[test]
fn causes_and_repairs() {
    for (name, cause) in [
        ("slow", Cause::Slow),
        ("retention", Cause::Retention),
        ("broker", Cause::Broker),
        ("node", Cause::Node),
    ] {
        for (repair_name, repair) in [("none", Repair::None), ("hist", Repair::History)] {
            let json = format!(
                "{{\"gap\":{{\"t\":1,\"from\":2,\"to\":3,\"cause\":\"{name}\",\"repair\":\"{repair_name}\"}}}}"
            );
            let gap = Gap {
                t: 1,
                from: 2,
                to: 3,
                cause,
                repair,
            };
            assert_eq!(said(&json), ServerWord::Push(Push::Gap(gap)));
        }
    }
}

#[test]
fn policies() {
    for (name, mode) in [
        ("all", PolicyMode::All),
        ("latest", PolicyMode::Latest),
        ("drop_oldest", PolicyMode::DropOldest),
        ("close", PolicyMode::Close),
    ] {
        let json = format!(
            "{{\"sub\":{{\"s\":1,\"topic\":\"a\",\"policy\":{{\"mode\":\"{name}\",\"max_bytes\":2,\"max_msgs\":3}}}}}}"
        );
        let Command::Subscribe(subscribe) = command(&json) else {
            panic!("{json}");
        };
        let policy = Policy {
            mode,
            max_bytes: Some(2),
            max_messages: Some(3),
        };
        assert_eq!(subscribe.policy, Some(policy));
    }
}

#[test]
fn publications() {
    for (fields, level, echo) in [
        ("", Level::Memory, Echo::Yes),
        (",\"level\":\"mem\",\"echo\":true", Level::Memory, Echo::Yes),
        (",\"level\":\"none\",\"echo\":false", Level::None, Echo::No),
    ] {
        let json = format!("{{\"pub\":{{\"t\":1,\"data\":1{fields}}}}}");
        let Command::Publish(publish) = command(&json) else {
            panic!("{json}");
        };
        assert_eq!((publish.level, publish.echo), (level, echo), "{json}");
    }
}

#[test]
fn beginnings() {
    let place = |epoch: &'static str, offset| Place {
        epoch: epoch.into(),
        offset,
    };
    for (from, start) in [
        ("\"now\"", Start::Now),
        (r#"{"epoch":"k","offset":2}"#, Start::After(place("k", 2))),
        (r#"{"last":3}"#, Start::Last(3)),
        (r#"{"since_ms":4}"#, Start::Since(4)),
        (
            r#"{"pos":"p","seen":[{"topic":"a.b","epoch":"k","offset":2}]}"#,
            Start::Pattern(Box::new(PatternPlace {
                pos: "p".into(),
                seen: vec![Seen {
                    topic: "a.b".into(),
                    epoch: "k".into(),
                    offset: 2,
                }],
            })),
        ),
    ] {
        let json = format!("{{\"sub\":{{\"s\":1,\"topic\":\"a\",\"from\":{from}}}}}");
        let Command::Subscribe(subscribe) = command(&json) else {
            panic!("{json}");
        };
        assert_eq!(subscribe.from, start);
    }
    for (fields, from, direction, limit) in [
        ("", None, Direction::Forward, None),
        (
            r#","from":{"epoch":"k","offset":2},"dir":"backward","limit":9"#,
            Some(HistoryFrom::Place(place("k", 2))),
            Direction::Backward,
            Some(9),
        ),
        (
            r#","from":{"since_ms":4},"dir":"forward""#,
            Some(HistoryFrom::Since(4)),
            Direction::Forward,
            None,
        ),
    ] {
        let json = format!("{{\"hist\":{{\"topic\":\"a\"{fields}}}}}");
        let history = History {
            topic: "a".into(),
            from,
            direction,
            limit,
        };
        assert_eq!(command(&json), Command::History(history));
    }
}

#[test]
fn outcomes() {
    for (fields, recovered, replay_to) in [
        ("", None, None),
        (
            ",\"recovered\":true,\"replay_to\":9",
            Some(Recovered::Yes),
            Some(9),
        ),
        (",\"recovered\":false", Some(Recovered::No), None),
    ] {
        let json = format!(
            "{{\"id\":1,\"subbed\":{{\"s\":1,\"t\":2,\"epoch\":\"k\",\"offset\":3{fields}}}}}"
        );
        let ServerWord::Reply(1, Reply::Subbed(subbed)) = said(&json) else {
            panic!("{json}");
        };
        assert_eq!((subbed.recovered, subbed.replay_to), (recovered, replay_to));
    }
    for (fields, dup) in [
        ("", Duplicate::No),
        (",\"dup\":false", Duplicate::No),
        (",\"dup\":true", Duplicate::Yes),
    ] {
        let json = format!(
            "{{\"id\":1,\"pubbed\":{{\"epoch\":\"k\",\"offset\":3,\"level\":\"mem\"{fields}}}}}"
        );
        let ServerWord::Reply(1, Reply::Pubbed(pubbed)) = said(&json) else {
            panic!("{json}");
        };
        assert_eq!(pubbed.dup, dup);
    }
    let ServerWord::Reply(1, Reply::Page(page)) = said(
        r#"{"id":1,"page":{"items":[{"o":2,"ts":3,"pub":{"user":"u","conn":"c"},"t":77,"data":1}],
            "t":5,"epoch":"k","start":1,"end":4,"complete":false}}"#,
    ) else {
        panic!("no page");
    };
    let range = (page.t, &*page.epoch, page.start, page.end, page.complete);
    assert_eq!(range, (5, "k", 1, 4, Complete::No));
    assert_eq!((page.items[0].t, page.items[0].offset), (5, 2));
}

#[test]
fn presence_and_state() {
    for (name, presence) in [
        ("off", None),
        ("announce", Some(Presence::Announce)),
        ("watch", Some(Presence::Watch)),
        ("both", Some(Presence::Both)),
    ] {
        let json = format!("{{\"sub\":{{\"s\":1,\"topic\":\"a\",\"presence\":\"{name}\"}}}}");
        let Command::Subscribe(subscribe) = command(&json) else {
            panic!("{json}");
        };
        assert_eq!(subscribe.presence, presence);
    }
    let ServerWord::Push(Push::State(diff)) = said(
        r#"{"state":{"t":1,"ns":"x","ver":2,"n":3,"users":4,"digest":5,
            "set":[{"k":"a","user":"u","ver":6,"v":null}],"del":["b"]}}"#,
    ) else {
        panic!("no state");
    };
    let numbers = (diff.t, diff.version, diff.n, diff.users, diff.digest);
    assert_eq!(numbers, (1, 2, 3, Some(4), 5));
    let entry = Entry {
        key: "a".into(),
        user: "u".into(),
        version: 6,
        value: Some("null".into()),
    };
    assert_eq!(
        (&diff.set[..], &diff.deleted[..]),
        (&[entry][..], &["b".into()][..])
    );
    for (op, expected) in [
        (
            r#""op":"set","k":"a","v":[1],"ttl_ms":2"#,
            StateOp::Set {
                key: Some("a".into()),
                value: Some("[1]".into()),
                ttl_ms: Some(2),
            },
        ),
        (
            r#""op":"del","k":"a""#,
            StateOp::Delete {
                key: Some("a".into()),
            },
        ),
        (
            r#""op":"page","after":"a","limit":2"#,
            StateOp::Page {
                after: Some("a".into()),
                limit: Some(2),
            },
        ),
    ] {
        let json = format!("{{\"state\":{{\"topic\":\"a\",\"ns\":\"x\",{op}}}}}");
        let Command::State(state) = command(&json) else {
            panic!("{json}");
        };
        assert_eq!(state.op, expected);
    }
}

#[test]
fn credits() {
    for (json, scope) in [
        (
            r#"{"credit":{"msgs":1,"bytes":2}}"#,
            CreditScope::Connection,
        ),
        (
            r#"{"credit":{"t":3,"msgs":1,"bytes":2}}"#,
            CreditScope::Topic(3),
        ),
        (
            r#"{"credit":{"s":3,"msgs":1,"bytes":2}}"#,
            CreditScope::Subscription(3),
        ),
    ] {
        let credit = Credit {
            scope,
            messages: Some(1),
            bytes: Some(2),
        };
        assert_eq!(command(json), Command::Credit(credit));
    }
}

#[test]
fn welcomes() {
    let ServerWord::Reply(9, Reply::Welcome(welcome)) = said(
        r#"{"id":9,"welcome":{"conn":"c","node":"n","user":"u","ping_ms":1,"slack_ms":2,"limits":{
            "message_bytes":11,"topic_bytes":12,"topic_levels":13,"subscriptions":14,
            "backlog_bytes":15,"publish_per_s":16,"publish_burst":17,"unanswered":18,"history_items":19},
            "expires_ms":3,"time_ms":4}}"#,
    ) else {
        panic!("no welcome");
    };
    assert_eq!(
        [&*welcome.conn, &*welcome.node, &*welcome.user],
        ["c", "n", "u"]
    );
    let times = (
        welcome.ping_ms,
        welcome.slack_ms,
        welcome.expires_ms,
        welcome.time_ms,
    );
    assert_eq!(times, (1, 2, Some(3), 4));
    let limits = Limits {
        message_bytes: 11,
        topic_bytes: 12,
        topic_levels: 13,
        subscriptions: 14,
        backlog_bytes: 15,
        publish_per_s: 16,
        publish_burst: 17,
        unanswered: 18,
        history_items: 19,
    };
    assert_eq!(welcome.limits, limits);
}

#[test]
fn pushes() {
    let conflated = Conflated {
        t: 1,
        n: 2,
        up_to: 3,
    };
    let push = said(r#"{"conflated":{"t":1,"n":2,"upto":3}}"#);
    assert_eq!(push, ServerWord::Push(Push::Conflated(conflated)));
    let away = GoAway {
        deadline_ms: 1,
        spread_ms: 2,
        url: Some("u".into()),
    };
    let push = said(r#"{"goaway":{"deadline_ms":1,"spread_ms":2,"url":"u"}}"#);
    assert_eq!(push, ServerWord::Push(Push::GoAway(away)));
    let ServerWord::Push(Push::Message(message)) = said(
        r#"{"msg":{"t":1,"o":2,"ts":3,"key":"k","pub":{"user":"u","conn":"c","pseq":4},"data":5}}"#,
    ) else {
        panic!("no message");
    };
    assert_eq!((message.t, message.offset, message.time_ms), (1, 2, 3));
    let publisher = Publisher {
        user: "u".into(),
        conn: "c".into(),
        pseq: Some(4),
    };
    assert_eq!(message.publisher, publisher);
}

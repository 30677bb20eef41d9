//! Any word.

use std::borrow::Cow;

use corewire_protocol::native::{
    Auth, Bye, Cause, Closing, Command, Complete, Conflated, Credit, CreditScope, Data, Direction,
    Done, Duplicate, Echo, Entry, ErrorCode, ErrorReply, Gap, GoAway, Hello, History, HistoryFrom,
    INTEGER_END, Level, Limits, Members, Message, PRESENCE, Page, PatternPlace, Ping, Place,
    Policy, PolicyMode, Pong, Position, Presence, Pubbed, Publish, Publisher, Push, Recovered,
    Repair, Reply, Request, Reset, Resumed, Seen, ServerWord, Start, StateCommand, StateDiff,
    StateOp, Subbed, SubbedTo, Subscribe, Target, TokenExpiring, TopicAlias, Unsubbed, Unsubscribe,
    Untopic, Warn, Welcome,
};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

type Text = Cow<'static, str>;

fn integer() -> impl Strategy<Value = u64> + Clone {
    // As many small ones as large ones, so that every length comes up.
    (0..53_u32, 0..INTEGER_END).prop_map(|(shift, integer)| integer >> shift)
}

fn id() -> impl Strategy<Value = u64> {
    integer().prop_map(|integer| integer.max(1))
}

fn text() -> impl Strategy<Value = Text> + Clone {
    prop_oneof![
        3 => "[a-z.]{0,12}".prop_map(Text::from),
        2 => any::<String>().prop_map(Text::from),
        1 => "[\"\\\\\u{0}-\u{1f}é😀]{0,200}".prop_map(Text::from),
    ]
}

/// No text: in JSON it cannot be told from JSON.
fn data() -> impl Strategy<Value = Data<'static>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Data::Bytes(bytes.into())),
        json().prop_map(|json| Data::Json(json.into())),
    ]
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(vec![
            "null",
            "true",
            "-0.5e-7",
            "1e999",
            "\"\\ud800\"",
            "[ ]",
            "{}"
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        text().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(|items| {
            let fields: Vec<_> = items
                .iter()
                .map(|item| format!("\"[\\\"\": {item}"))
                .collect();
            format!("[{}, {{{}}}]", "null", fields.join(" ,"))
        })
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let modes = vec![
        PolicyMode::All,
        PolicyMode::Latest,
        PolicyMode::DropOldest,
        PolicyMode::Close,
    ];
    (select(modes), of(integer()), of(integer())).prop_map(|(mode, max_bytes, max_messages)| {
        Policy {
            mode,
            max_bytes,
            max_messages,
        }
    })
}

fn place() -> impl Strategy<Value = Place<'static>> {
    (text(), integer()).prop_map(|(epoch, offset)| Place { epoch, offset })
}

fn start() -> impl Strategy<Value = Start<'static>> {
    let seen = (text(), text(), integer()).prop_map(|(topic, epoch, offset)| Seen {
        topic,
        epoch,
        offset,
    });
    prop_oneof![
        2 => Just(Start::Now),
        1 => place().prop_map(Start::After),
        1 => integer().prop_map(Start::Last),
        1 => integer().prop_map(Start::Since),
        1 => (text(), prop::collection::vec(seen, 0..4))
            .prop_map(|(pos, seen)| Start::Pattern(Box::new(PatternPlace { pos, seen }))),
    ]
}

fn namespace() -> impl Strategy<Value = Text> {
    prop_oneof![
        Just(Text::from(PRESENCE)),
        "[a-z0-9_-]{1,32}".prop_map(Text::from),
    ]
}

fn subscribe() -> impl Strategy<Value = Subscribe<'static>> {
    let presence = select(vec![Presence::Announce, Presence::Watch, Presence::Both]);
    (
        (integer(), text(), start()),
        (of(policy()), of(integer())),
        (of(presence), prop::collection::vec(namespace(), 0..=8)),
    )
        .prop_map(
            |((s, topic, from), (policy, credit), (presence, watch))| Subscribe {
                s,
                topic,
                from,
                policy,
                credit,
                presence,
                watch,
            },
        )
}

fn hello() -> impl Strategy<Value = Hello<'static>> {
    let subscriptions = prop::collection::vec(subscribe(), 0..4);
    let names = (of(text()), of(text()), of(text()));
    (integer(), names, subscriptions).prop_map(|(version, (token, user, resume), subscribe)| {
        Hello {
            version,
            token,
            user,
            resume,
            subscribe: subscribe.into_iter().map(Ok).collect(),
        }
    })
}

/// A text of so many bytes.
fn short(bytes_max: usize) -> impl Strategy<Value = Text> {
    text().prop_map(move |text| {
        let end = text.floor_char_boundary(bytes_max);
        match &text[..end] {
            "" => "x".into(),
            text => text.to_owned().into(),
        }
    })
}

fn tags() -> impl Strategy<Value = Vec<(Text, Text)>> {
    prop::collection::btree_map(short(64), short(256), 0..=16)
        .prop_map(|tags| tags.into_iter().rev().collect())
}

fn publish() -> impl Strategy<Value = Publish<'static>> {
    let target = prop_oneof![
        text().prop_map(Target::Topic),
        integer().prop_map(Target::Alias),
    ];
    let level = select(vec![Level::None, Level::Memory]);
    let echo = select(vec![Echo::Yes, Echo::No]);
    let known_by = (of(integer()), of(short(64)));
    let beside = (of(text()), tags(), of(id()));
    (target, data(), known_by, beside, (level, echo)).prop_map(
        |(target, data, (pseq, idem), (key, tags, ttl_ms), (level, echo))| Publish {
            target,
            data,
            pseq,
            idem,
            key,
            tags,
            ttl_ms,
            level,
            echo,
        },
    )
}

fn history() -> impl Strategy<Value = History<'static>> {
    let range = prop_oneof![
        (
            of(place()),
            select(vec![Direction::Forward, Direction::Backward])
        )
            .prop_map(|(place, direction)| (place.map(HistoryFrom::Place), direction)),
        integer().prop_map(|since| (Some(HistoryFrom::Since(since)), Direction::Forward)),
    ];
    (text(), range, of(integer())).prop_map(|(topic, (from, direction), limit)| History {
        topic,
        from,
        direction,
        limit,
    })
}

/// A JSON value of at most 1 KiB.
fn value() -> impl Strategy<Value = Text> {
    json().prop_map(|json| {
        if json.len() > 1024 {
            "[]".into()
        } else {
            json.into()
        }
    })
}

fn state() -> impl Strategy<Value = StateCommand<'static>> {
    let op = prop_oneof![
        (of(short(128)), of(value()), of(1..=10_000_u64))
            .prop_map(|(key, value, ttl_ms)| StateOp::Set { key, value, ttl_ms }),
        of(short(128)).prop_map(|key| StateOp::Delete { key }),
        (of(text()), of(integer())).prop_map(|(after, limit)| StateOp::Page { after, limit }),
    ];
    (text(), namespace(), op).prop_map(|(topic, namespace, mut op)| {
        if namespace == PRESENCE {
            match &mut op {
                StateOp::Set { key, ttl_ms, .. } => (*key, *ttl_ms) = (None, None),
                StateOp::Delete { key } => *key = None,
                StateOp::Page { .. } => {}
            }
        }
        StateCommand {
            topic,
            namespace,
            op,
        }
    })
}

fn credit() -> impl Strategy<Value = Credit> {
    let scope = prop_oneof![
        Just(CreditScope::Connection),
        integer().prop_map(CreditScope::Topic),
        integer().prop_map(CreditScope::Subscription),
    ];
    (scope, of(integer()), of(integer())).prop_map(|(scope, messages, bytes)| Credit {
        scope,
        messages,
        bytes,
    })
}

pub(super) fn request() -> impl Strategy<Value = Request<'static>> {
    let command = prop_oneof![
        hello().prop_map(|hello| Command::Hello(Box::new(hello))),
        text().prop_map(|token| Command::Auth(Auth { token })),
        subscribe().prop_map(|subscribe| Command::Subscribe(Box::new(subscribe))),
        integer().prop_map(|s| Command::Unsubscribe(Unsubscribe { s })),
        publish().prop_map(Command::Publish),
        history().prop_map(Command::History),
        state().prop_map(Command::State),
        credit().prop_map(Command::Credit),
        of(integer()).prop_map(|t| Command::Pong(Pong { t })),
        of(text()).prop_map(|reason| Command::Bye(Bye { reason })),
    ];
    (of(id()), command).prop_map(|(id, command)| Request { id, command })
}

fn limits() -> impl Strategy<Value = Limits> {
    prop::array::uniform9(integer()).prop_map(|[a, b, c, d, e, f, g, h, i]| Limits {
        message_bytes: a,
        topic_bytes: b,
        topic_levels: c,
        subscriptions: d,
        backlog_bytes: e,
        publish_per_s: f,
        publish_burst: g,
        unanswered: h,
        history_items: i,
    })
}

fn code() -> impl Strategy<Value = ErrorCode> {
    select(ErrorCode::ALL.to_vec())
}

fn error() -> impl Strategy<Value = ErrorReply<'static>> {
    (code(), text(), of(integer())).prop_map(|(code, text, retry_ms)| ErrorReply {
        code,
        text,
        retry_ms,
    })
}

fn subbed() -> impl Strategy<Value = Subbed<'static>> {
    let to = prop_oneof![
        (integer(), text(), integer()).prop_map(|(t, epoch, offset)| SubbedTo::Topic {
            t,
            epoch,
            offset
        }),
        text().prop_map(|pos| SubbedTo::Pattern { pos }),
    ];
    let recovered = of(select(vec![Recovered::Yes, Recovered::No]));
    (integer(), to, recovered, of(integer()), policy()).prop_map(
        |(s, to, recovered, replay_to, policy)| Subbed {
            s,
            to,
            recovered,
            replay_to,
            policy,
        },
    )
}

fn page() -> impl Strategy<Value = Page<'static>> {
    let complete = select(vec![Complete::Yes, Complete::No]);
    let items = prop::collection::vec(message(), 0..4);
    (integer(), text(), integer(), integer(), complete, items).prop_map(
        |(t, epoch, start, end, complete, mut items)| {
            for item in &mut items {
                item.t = t;
            }
            Page {
                t,
                epoch,
                start,
                end,
                complete,
                items,
            }
        },
    )
}

fn entry() -> impl Strategy<Value = Entry<'static>> {
    (text(), text(), integer(), of(json())).prop_map(|(key, user, version, value)| Entry {
        key,
        user,
        version,
        value: value.map(Text::from),
    })
}

fn members() -> impl Strategy<Value = Members<'static>> {
    let counts = (integer(), integer(), of(integer()), integer());
    let items = prop::collection::vec(entry(), 0..4);
    (integer(), text(), counts, items, of(text())).prop_map(
        |(t, namespace, (version, n, users, digest), items, next)| Members {
            t,
            namespace,
            version,
            n,
            users,
            digest,
            items,
            next,
        },
    )
}

fn diff() -> impl Strategy<Value = StateDiff<'static>> {
    let counts = (integer(), integer(), of(integer()), integer());
    let set = prop::collection::vec(entry(), 0..4);
    let deleted = prop::collection::vec(text(), 0..4);
    (integer(), text(), counts, set, deleted).prop_map(
        |(t, namespace, (version, n, users, digest), set, deleted)| StateDiff {
            t,
            namespace,
            version,
            n,
            users,
            digest,
            set,
            deleted,
        },
    )
}

fn welcome() -> impl Strategy<Value = Welcome<'static>> {
    let answer = prop_oneof![subbed().prop_map(Ok), error().prop_map(Err)];
    let names = (text(), text(), text());
    let session = (of(text()), select(vec![Resumed::Yes, Resumed::No]));
    let times = (integer(), integer(), integer(), of(integer()));
    let subscribed = prop::collection::vec(answer, 0..4);
    (names, session, times, limits(), subscribed).prop_map(
        |(names, (ticket, resumed), times, limits, subscribed)| {
            let (conn, node, user) = names;
            let (ping_ms, slack_ms, time_ms, expires_ms) = times;
            Welcome {
                conn,
                node,
                user,
                ticket,
                resumed,
                ping_ms,
                slack_ms,
                limits,
                expires_ms,
                subscribed,
                time_ms,
            }
        },
    )
}

fn reply() -> impl Strategy<Value = Reply<'static>> {
    let level = select(vec![Level::None, Level::Memory]);
    let dup = select(vec![Duplicate::Yes, Duplicate::No]);
    prop_oneof![
        welcome().prop_map(|welcome| Reply::Welcome(Box::new(welcome))),
        of(integer()).prop_map(|expires_ms| Reply::Ok(Done { expires_ms })),
        subbed().prop_map(Reply::Subbed),
        (text(), integer(), level, dup).prop_map(|(epoch, offset, level, dup)| {
            Reply::Pubbed(Pubbed {
                epoch,
                offset,
                level,
                dup,
            })
        }),
        page().prop_map(Reply::Page),
        members().prop_map(Reply::Members),
        error().prop_map(Reply::Error),
    ]
}

fn message() -> impl Strategy<Value = Message<'static>> {
    let publisher = (text(), text(), of(integer()));
    let publisher = publisher.prop_map(|(user, conn, pseq)| Publisher { user, conn, pseq });
    (
        integer(),
        integer(),
        data(),
        integer(),
        of(text()),
        prop::collection::vec((text(), text()), 0..4),
        publisher,
    )
        .prop_map(|(t, offset, data, time_ms, key, tags, publisher)| Message {
            t,
            offset,
            data,
            time_ms,
            key,
            tags,
            publisher,
        })
}

fn cause() -> impl Strategy<Value = Cause> {
    select(vec![
        Cause::Slow,
        Cause::Retention,
        Cause::Broker,
        Cause::Node,
    ])
}

fn of_a_topic() -> impl Strategy<Value = Push<'static>> {
    let repair = select(vec![Repair::None, Repair::History]);
    let subscriptions = prop::collection::vec(integer(), 0..5);
    prop_oneof![
        (integer(), text(), subscriptions, text(), integer()).prop_map(
            |(t, topic, s, epoch, offset)| Push::Topic(TopicAlias {
                t,
                topic,
                s,
                epoch,
                offset
            })
        ),
        message().prop_map(Push::Message),
        integer().prop_map(|t| Push::Untopic(Untopic { t })),
        (integer(), integer())
            .prop_map(|(t, offset)| Push::Position(Position::Topic { t, offset })),
        (integer(), text()).prop_map(|(s, pos)| Push::Position(Position::Pattern { s, pos })),
        (integer(), integer(), integer(), cause(), repair).prop_map(
            |(t, from, to, cause, repair)| Push::Gap(Gap {
                t,
                from,
                to,
                cause,
                repair
            })
        ),
        (integer(), integer(), integer()).prop_map(|(t, n, up_to)| Push::Conflated(Conflated {
            t,
            n,
            up_to
        })),
        (integer(), text(), integer(), cause()).prop_map(|(t, epoch, offset, cause)| {
            Push::Reset(Reset::Topic {
                t,
                epoch,
                offset,
                cause,
            })
        }),
        (integer(), text(), cause()).prop_map(|(s, pos, cause)| Push::Reset(Reset::Pattern {
            s,
            pos,
            cause
        })),
        diff().prop_map(Push::State),
    ]
}

fn of_the_connection() -> impl Strategy<Value = Push<'static>> {
    let closing = (
        any::<u16>(),
        text(),
        of(integer()),
        of(integer()),
        of(text()),
    );
    prop_oneof![
        (integer(), code(), of(integer()))
            .prop_map(|(s, code, retry_ms)| Push::Unsubbed(Unsubbed { s, code, retry_ms })),
        integer().prop_map(|in_ms| Push::TokenExpiring(TokenExpiring { in_ms })),
        (integer(), integer(), of(text())).prop_map(|(deadline_ms, spread_ms, url)| {
            Push::GoAway(GoAway {
                deadline_ms,
                spread_ms,
                url,
            })
        }),
        integer().prop_map(|t| Push::Ping(Ping { t })),
        (code(), text(), of(text())).prop_map(|(code, text, command)| Push::Warn(Warn {
            code,
            text,
            command
        })),
        closing.prop_map(
            |(code, reason, retry_ms, spread_ms, url)| Push::Closing(Closing {
                code,
                reason,
                retry_ms,
                spread_ms,
                url
            })
        ),
    ]
}

pub(super) fn server_word() -> impl Strategy<Value = ServerWord<'static>> {
    prop_oneof![
        (id(), reply()).prop_map(|(id, reply)| ServerWord::Reply(id, reply)),
        of_a_topic().prop_map(ServerWord::Push),
        of_the_connection().prop_map(ServerWord::Push),
    ]
}

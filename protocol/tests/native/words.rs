//! Any word.

use std::borrow::Cow;

use corewire_protocol::native::{
    Auth, Bye, Cause, Closing, Command, Conflated, Credit, CreditScope, Data, Done, Echo,
    ErrorCode, ErrorReply, Gap, GoAway, Hello, INTEGER_END, Level, Limits, Message, Ping, Policy,
    PolicyMode, Pong, Position, Pubbed, Publish, Publisher, Push, Repair, Reply, Request, Reset,
    ServerWord, Start, Subbed, SubbedTo, Subscribe, Target, TokenExpiring, TopicAlias, Unsubbed,
    Unsubscribe, Untopic, Warn, Welcome,
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

fn subscribe() -> impl Strategy<Value = Subscribe<'static>> {
    (integer(), text(), of(policy()), of(integer())).prop_map(|(s, topic, policy, credit)| {
        Subscribe {
            s,
            topic,
            from: Start::Now,
            policy,
            credit,
        }
    })
}

fn hello() -> impl Strategy<Value = Hello<'static>> {
    let subscriptions = prop::collection::vec(subscribe(), 0..4);
    (integer(), of(text()), of(text()), subscriptions).prop_map(
        |(version, token, user, subscribe)| Hello {
            version,
            token,
            user,
            subscribe,
        },
    )
}

fn publish() -> impl Strategy<Value = Publish<'static>> {
    let target = prop_oneof![
        text().prop_map(Target::Topic),
        integer().prop_map(Target::Alias),
    ];
    let level = select(vec![Level::None, Level::Memory]);
    let echo = select(vec![Echo::Yes, Echo::No]);
    (target, data(), of(integer()), of(text()), level, echo).prop_map(
        |(target, data, pseq, key, level, echo)| Publish {
            target,
            data,
            pseq,
            key,
            level,
            echo,
        },
    )
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
        credit().prop_map(Command::Credit),
        of(integer()).prop_map(|t| Command::Pong(Pong { t })),
        of(text()).prop_map(|reason| Command::Bye(Bye { reason })),
    ];
    (of(id()), command).prop_map(|(id, command)| Request { id, command })
}

fn limits() -> impl Strategy<Value = Limits> {
    prop::array::uniform8(integer()).prop_map(|[a, b, c, d, e, f, g, h]| Limits {
        message_bytes: a,
        topic_bytes: b,
        topic_levels: c,
        subscriptions: d,
        backlog_bytes: e,
        publish_per_s: f,
        publish_burst: g,
        unanswered: h,
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
    (integer(), to, policy()).prop_map(|(s, to, policy)| Subbed { s, to, policy })
}

fn welcome() -> impl Strategy<Value = Welcome<'static>> {
    let answer = prop_oneof![subbed().prop_map(Ok), error().prop_map(Err)];
    let names = (text(), text(), text());
    let times = (integer(), integer(), integer(), of(integer()));
    let subscribed = prop::collection::vec(answer, 0..4);
    (names, times, limits(), subscribed).prop_map(
        |((conn, node, user), (ping_ms, slack_ms, time_ms, expires_ms), limits, subscribed)| {
            Welcome {
                conn,
                node,
                user,
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
    prop_oneof![
        welcome().prop_map(|welcome| Reply::Welcome(Box::new(welcome))),
        of(integer()).prop_map(|expires_ms| Reply::Ok(Done { expires_ms })),
        subbed().prop_map(Reply::Subbed),
        (text(), integer(), level).prop_map(|(epoch, offset, level)| Reply::Pubbed(Pubbed {
            epoch,
            offset,
            level
        })),
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
        publisher,
    )
        .prop_map(|(t, offset, data, time_ms, key, publisher)| Message {
            t,
            offset,
            data,
            time_ms,
            key,
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
            Push::Reset(Reset {
                t,
                epoch,
                offset,
                cause,
            })
        }),
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

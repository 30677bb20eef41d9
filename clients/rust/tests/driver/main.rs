//! The client over real sockets, against a server that says what the test tells it to.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one command among those that come"
)]

mod server;

use std::sync::Arc;
use std::time::Duration;

use corewire_client::{
    Client, ConnectError, Data, Dialect, Event, Gap, GapCause, Loss, Options, PublishError, Status,
    Stop, Window,
};
use corewire_protocol::native::{
    self, Command, CreditScope, Level, Message, Ping, Pubbed, Publisher, Push, Reply,
};
use futures_util::StreamExt;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use server::{Conn, Server};

/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(30);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, test)
            .await
            .expect("the test came to its end")
    })
}

fn message(t: u64, offset: u64, data: &str) -> Push<'_> {
    Push::Message(Message {
        t,
        offset,
        data: native::Data::Bytes(data.as_bytes().into()),
        time_ms: 1,
        key: Some("k".into()),
        tags: Vec::new(),
        publisher: Publisher {
            user: "bob".into(),
            conn: "c2".into(),
            pseq: Some(7),
        },
    })
}

async fn connect(server: &Server, options: Options) -> (Client, Conn) {
    let client = Client::connect(server.url()).options(options);
    let (client, conn) = tokio::join!(client.into_future(), async {
        let mut conn = server.accept().await;
        conn.welcome(0).await;
        conn
    });
    (client.unwrap(), conn)
}

#[test]
fn a_conversation_in_both_dialects() {
    for dialect in Dialect::ALL {
        run(async {
            let server = Server::new().await;
            let client = Client::connect(server.url()).dialect(dialect);
            let (client, mut conn) = tokio::join!(client.into_future(), async {
                let mut conn = server.accept().await;
                assert!(conn.welcome(0).await.is_empty());
                conn
            });
            let client = client.unwrap();
            assert_eq!(conn.dialect, dialect);
            assert_eq!(&*client.session().unwrap().user, "ann");

            let (room, topic) = tokio::join!(
                client.subscribe("chat.a").into_future(),
                conn.subscribed(41)
            );
            let mut room = room.unwrap();
            assert_eq!(topic, "chat.a");
            assert_eq!(room.begun().unwrap().position.as_ref().unwrap().offset, 41);

            let long = "x".repeat(100_000);
            conn.push(&message(1, 42, &long)).await;
            let Some(Event::Message(received)) = room.next().await else {
                panic!("no message");
            };
            assert_eq!((&*received.topic, received.position.offset), ("chat.a", 42));
            assert_eq!(received.data.len(), 100_000);
            assert_eq!(
                (received.key.as_deref(), &*received.publisher.user),
                (Some("k"), "bob")
            );

            // What compresses a thousandfold goes to a server that is careful, too.
            let large = client.publish("chat.a", vec![0; 200_000]).send().unwrap();
            let id = conn
                .until(|request| match &request.command {
                    Command::Publish(_) => request.id,
                    _ => None,
                })
                .await;
            let pubbed = Pubbed {
                epoch: "e".into(),
                offset: 42,
                level: Level::Memory,
                dup: native::Duplicate::No,
            };
            conn.reply(id, &Reply::Pubbed(pubbed)).await;
            assert_eq!(large.await.unwrap().offset, 42);

            let (published, pseq) = tokio::join!(
                client
                    .publish("chat.a", Data::json(&[1, 2]).unwrap())
                    .into_future(),
                async {
                    let (id, pseq) = conn
                        .until(|request| match &request.command {
                            Command::Publish(publish) => {
                                assert_eq!(publish.data, native::Data::Json("[1,2]".into()));
                                Some((request.id.unwrap(), publish.pseq))
                            }
                            _ => None,
                        })
                        .await;
                    let pubbed = Pubbed {
                        epoch: "e".into(),
                        offset: 43,
                        level: Level::Memory,
                        dup: native::Duplicate::No,
                    };
                    conn.reply(id, &Reply::Pubbed(pubbed)).await;
                    pseq
                }
            );
            assert_eq!((published.unwrap().offset, pseq), (43, Some(2)));

            conn.push(&Push::Ping(Ping { t: 9 })).await;
            conn.until(|request| match &request.command {
                Command::Pong(pong) => (pong.t == Some(9)).then_some(()),
                _ => None,
            })
            .await;

            drop(room);
            let id = conn
                .until(|request| match &request.command {
                    Command::Unsubscribe(one) => (one.s == 1).then_some(request.id.unwrap()),
                    _ => None,
                })
                .await;
            conn.ok(id).await;

            let ((), ()) = tokio::join!(client.close(), async {
                conn.until(|request| matches!(request.command, Command::Bye(_)).then_some(()))
                    .await;
                conn.close(1000).await;
            });
            assert_eq!(*client.status().borrow(), Status::Stopped(Stop::Asked));
            assert_eq!(client.publish("a", "b").await, Err(PublishError::Stopped));
        });
    }
}

#[test]
fn after_a_cut_it_comes_back_with_its_subscriptions_and_says_what_is_missing() {
    run(async {
        let server = Server::new().await;
        let (client, mut conn) = connect(&server, Options::new("")).await;
        let (room, _) = tokio::join!(client.subscribe("a").into_future(), conn.subscribed(0));
        let mut room = room.unwrap();
        conn.push(&message(1, 1, "one")).await;
        assert_eq!(room.next_message().await.unwrap().position.offset, 1);
        let uncertain = client.publish("a", "x").send().unwrap();
        conn.until(|request| matches!(request.command, Command::Publish(_)).then_some(()))
            .await;
        drop(conn);

        // This server does not know the client again.
        let mut conn = server.accept().await;
        assert_eq!(conn.welcome(3).await, ["a"]);
        assert_eq!(uncertain.await, Err(PublishError::Uncertain));
        conn.push(&message(1, 4, "four")).await;
        let Some(Event::Gap(gap)) = room.next().await else {
            panic!("the gap is hidden");
        };
        let expected = Gap {
            topic: "a".into(),
            from: 2,
            to: 3,
            cause: GapCause::Away,
            in_history: false,
        };
        assert_eq!(gap, expected);
        assert_eq!(room.next_message().await.unwrap().position.offset, 4);
    });
}

#[test]
fn who_does_not_read_holds_the_server_back_and_who_reads_again_lets_it_go_on() {
    run(async {
        let server = Server::new().await;
        let window = Window {
            topic_messages: 10,
            messages: 100,
            bytes: 1 << 20,
        };
        let options = Options {
            window,
            ..Options::new("")
        };
        let (client, mut conn) = connect(&server, options).await;
        let (room, _) = tokio::join!(client.subscribe("a").into_future(), conn.subscribed(0));
        let mut room = room.unwrap();
        for offset in 1..=10 {
            conn.push(&message(1, offset, "x")).await;
        }
        // Its answer comes behind all that it has to say of these.
        conn.push(&Push::Ping(Ping { t: 1 })).await;
        conn.until(|request| match &request.command {
            Command::Pong(_) => Some(()),
            Command::Credit(credit) => match credit.scope {
                CreditScope::Topic(_) => panic!("credit for what was not taken"),
                CreditScope::Connection | CreditScope::Subscription(_) => None,
            },
            _ => None,
        })
        .await;
        for offset in 1..=10 {
            assert_eq!(room.next_message().await.unwrap().position.offset, offset);
        }
        let granted = conn
            .until(|request| match &request.command {
                Command::Credit(credit) => match credit.scope {
                    CreditScope::Topic(1) => credit.messages,
                    _ => None,
                },
                _ => None,
            })
            .await;
        assert!((15..=20).contains(&granted), "{granted}");
    });
}

#[test]
fn it_speaks_through_tls_and_trusts_nobody_unknown() {
    run(async {
        let cert = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(cert.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.cert.der().clone()], key)
            .unwrap();
        let server = Server::with_tls(Arc::new(config)).await;
        let url = format!("wss://localhost:{}/ws", server.port());
        let trusting = |roots: RootCertStore| {
            let config = ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            Client::connect(&url).tls(Arc::new(config))
        };
        let mut roots = RootCertStore::empty();
        roots.add(cert.cert.der().clone()).unwrap();
        let (client, conn) = tokio::join!(trusting(roots).into_future(), async {
            let mut conn = server.accept().await;
            conn.welcome(0).await;
            conn
        });
        let client = client.unwrap();
        assert!(client.session().is_some());
        drop(conn);
    });
}

#[test]
fn what_is_no_server_is_said_in_words() {
    run(async {
        let error = Client::connect("http://a").await.unwrap_err();
        assert!(matches!(error, ConnectError::Url(_)));

        let server = Server::new().await;
        let refused = Client::connect(server.url());
        let (refused, ()) = tokio::join!(
            refused.into_future(),
            server.refuse("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        );
        let refused = refused.unwrap_err();
        assert!(
            refused.to_string().contains("corewire listens at /ws"),
            "{refused}"
        );

        let url = server.url();
        drop(server);
        let error = Client::connect(url)
            .wait(Duration::from_millis(100))
            .await
            .unwrap_err();
        assert!(
            matches!(error, ConnectError::TimedOut(Some(Loss::Unreachable(_)))),
            "{error:?}"
        );
    });
}

#[test]
fn the_last_one_out_says_good_bye() {
    run(async {
        let server = Server::new().await;
        let (client, mut conn) = connect(&server, Options::new("")).await;
        let room = client.subscribe("a").start().unwrap();
        drop(client);
        conn.subscribed(0).await;
        drop(room);
        conn.until(|request| matches!(request.command, Command::Bye(_)).then_some(()))
            .await;
    });
}

//! A server over real sockets that says what the test tells it to, on the protocol crate's end for
//! servers.

use std::sync::Arc;

use corewire_protocol::deflate::{
    Codec, DEFLATE_LEVEL, DEFLATE_THRESHOLD_BYTES, DeflateConfig, InflateBudget,
};
use corewire_protocol::handshake::{
    ExtraHeaders, HeadScanner, HeaderSpace, OriginPolicy, RequestHead, UpgradeOptions, upgrade,
};
use corewire_protocol::native::{
    Command, Dialect, Done, Limits as Told, Policy, Push, Reply, Request, Resumed, Subbed,
    SubbedTo, Subscribe, Welcome,
};
use corewire_protocol::{
    CloseCode, Env, Event, Flow, Limits, MaskKeys, Output, Role, Scratch, Tick, WebSocket,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(crate) struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

/// A connection behind its handshake.
pub(crate) struct Conn {
    socket: Box<dyn Stream>,
    websocket: WebSocket,
    pub(crate) dialect: Dialect,
    input: Vec<u8>,
    limits: Limits,
    codec: Codec,
    scratch: Scratch,
}

impl Server {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            listener,
            tls: None,
        }
    }

    pub(crate) async fn with_tls(config: Arc<ServerConfig>) -> Self {
        let tls = Some(TlsAcceptor::from(config));
        Self {
            tls,
            ..Self::new().await
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/ws", self.port())
    }

    /// The next connection, and what it asks for; it has no answer yet.
    async fn socket(&self) -> Box<dyn Stream> {
        let (socket, _) = self.listener.accept().await.unwrap();
        match &self.tls {
            None => Box::new(socket),
            Some(tls) => Box::new(tls.accept(socket).await.unwrap()),
        }
    }

    /// Answers the next request with ordinary HTTP.
    pub(crate) async fn refuse(&self, response: &str) {
        let mut socket = self.socket().await;
        let mut input = [0; 4096];
        assert!(socket.read(&mut input).await.unwrap() > 0);
        socket.write_all(response.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
    }

    /// The next connection, its handshake done.
    pub(crate) async fn accept(&self) -> Conn {
        let mut socket = self.socket().await;
        let limits = Limits {
            ping_interval_ms: 0,
            ..Limits::default()
        };
        let mut input = Vec::new();
        let mut scanner = HeadScanner::new();
        let mut out = Vec::new();
        let (dialect, agreement, len) = loop {
            assert!(socket.read_buf(&mut input).await.unwrap() > 0);
            let Some(head) = scanner.scan(&input, &limits).unwrap() else {
                continue;
            };
            let mut space = HeaderSpace::new();
            let request = RequestHead::parse(head, &mut space).unwrap();
            assert_eq!(request.path(), "/ws");
            let options = UpgradeOptions {
                origins: OriginPolicy::SameOrigin,
                deflate: Some(DeflateConfig::default()),
            };
            let mut upgrade = upgrade(&request, &options).unwrap();
            let name = upgrade.subprotocols().next().unwrap();
            upgrade.choose_subprotocol(name).unwrap();
            upgrade.write_response(ExtraHeaders::NONE, &mut out);
            let dialect = Dialect::from_subprotocol(name).unwrap();
            break (dialect, upgrade.deflate(), head.len());
        };
        assert!(agreement.is_some(), "compression is offered");
        socket.write_all(&out).await.unwrap();
        input.drain(..len);
        Conn {
            socket,
            websocket: WebSocket::new(Role::Server, agreement, Tick(0), &limits),
            dialect,
            input,
            limits,
            codec: Codec::new(DEFLATE_LEVEL, InflateBudget::new(1 << 24)),
            scratch: Scratch::default(),
        }
    }
}

impl Conn {
    fn env<'a>(limits: &'a Limits, codec: &'a mut Codec, scratch: &'a mut Scratch) -> Env<'a> {
        Env {
            now: Tick(0),
            limits,
            codec,
            deflate_min_bytes: DEFLATE_THRESHOLD_BYTES,
            scratch,
            mask_keys: MaskKeys::None,
        }
    }

    /// The next message; `None` when the client is gone.
    pub(crate) async fn message(&mut self) -> Option<Vec<u8>> {
        loop {
            let mut out = Vec::new();
            let before = self.input.len();
            let mut rest = &mut self.input[..];
            let mut env = Self::env(&self.limits, &mut self.codec, &mut self.scratch);
            let mut output = Output {
                bytes: &mut out,
                flow: Flow::Open,
            };
            let event = self
                .websocket
                .next_event(&mut rest, &mut env, &mut output)
                .unwrap();
            let message = match event {
                Some(Event::Message(kind, payload)) => {
                    assert_eq!(kind, self.dialect.kind());
                    Some(payload.to_vec())
                }
                Some(Event::Close { .. }) => return None,
                Some(Event::Ping(_) | Event::Pong(_)) | None => None,
            };
            let taken = before - rest.len();
            self.input.drain(..taken);
            if !out.is_empty() {
                self.socket.write_all(&out).await.unwrap();
            }
            if message.is_some() {
                return message;
            }
            if taken == 0 && !matches!(self.socket.read_buf(&mut self.input).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// Reads messages until `look` finds in one of their commands what the test waits for.
    pub(crate) async fn until<T>(&mut self, mut look: impl FnMut(&Request<'_>) -> Option<T>) -> T {
        loop {
            let message = self.message().await.expect("the client is there");
            for request in self.dialect.requests(&message) {
                if let Some(found) = look(&request.expect("the client writes what can be read")) {
                    return found;
                }
            }
        }
    }

    async fn write(&mut self, message: &[u8]) {
        let mut out = Vec::new();
        let mut env = Self::env(&self.limits, &mut self.codec, &mut self.scratch);
        self.websocket
            .send(self.dialect.kind(), message, &mut env, &mut out)
            .unwrap();
        // Who has been cut off does not hear it.
        let _ = self.socket.write_all(&out).await;
    }

    pub(crate) async fn reply(&mut self, id: u64, reply: &Reply<'_>) {
        let mut message = Vec::new();
        self.dialect.write_reply(id, reply, &mut message);
        self.write(&message).await;
    }

    pub(crate) async fn push(&mut self, push: &Push<'_>) {
        let mut message = Vec::new();
        self.dialect.write_push(push, &mut message);
        self.write(&message).await;
    }

    pub(crate) async fn close(mut self, code: u16) {
        let mut out = Vec::new();
        let mut env = Self::env(&self.limits, &mut self.codec, &mut self.scratch);
        self.websocket
            .close(CloseCode(code), "because", &mut env, &mut out);
        self.socket.write_all(&out).await.unwrap();
        while self.message().await.is_some() {}
    }

    /// Answers the `hello`: each subscription is one to a topic with alias `s`, at this offset.
    /// Returns the topics.
    pub(crate) async fn welcome(&mut self, offset: u64) -> Vec<String> {
        let (id, subscribed): (u64, Vec<(u64, String)>) = self
            .until(|request| match &request.command {
                Command::Hello(hello) => {
                    let subscribed = hello.subscribe.iter().flatten();
                    let subscribed = subscribed.map(|one| (one.s, one.topic.to_string()));
                    Some((request.id.unwrap(), subscribed.collect()))
                }
                _ => panic!("before the hello: {request:?}"),
            })
            .await;
        let answers = subscribed.iter().map(|(s, _)| Ok(subbed(*s, offset)));
        let welcome = Welcome {
            conn: "c".into(),
            node: "n".into(),
            user: "ann".into(),
            ticket: None,
            resumed: Resumed::No,
            ping_ms: 25_000,
            slack_ms: 10_000,
            limits: Told {
                message_bytes: 1 << 20,
                ..Told::default()
            },
            expires_ms: None,
            subscribed: answers.collect(),
            time_ms: 1,
        };
        self.reply(id, &Reply::Welcome(Box::new(welcome))).await;
        subscribed.into_iter().map(|(_, topic)| topic).collect()
    }

    /// Answers the next `sub` in the same way.
    pub(crate) async fn subscribed(&mut self, offset: u64) -> String {
        let (id, s, topic) = self
            .until(|request| match &request.command {
                Command::Subscribe(subscribe) => {
                    let Subscribe { s, topic, .. } = &**subscribe;
                    Some((request.id.unwrap(), *s, topic.to_string()))
                }
                _ => None,
            })
            .await;
        self.reply(id, &Reply::Subbed(subbed(s, offset))).await;
        topic
    }

    pub(crate) async fn ok(&mut self, id: u64) {
        self.reply(id, &Reply::Ok(Done::default())).await;
    }
}

fn subbed(s: u64, offset: u64) -> Subbed<'static> {
    Subbed {
        s,
        to: SubbedTo::Topic {
            t: s,
            epoch: "e".into(),
            offset,
        },
        recovered: None,
        replay_to: None,
        policy: Policy::default(),
    }
}

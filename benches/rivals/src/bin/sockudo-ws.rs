//! Servers on sockudo-ws 3.1.0 in its default configuration: `next` and `send` per message on its
//! `WebSocketStream`, tokio's current-thread runtime, `TCP_NODELAY`. A second argument makes of the
//! echo server another one: `dedicated` negotiates permessage-deflate with a compressor for each
//! connection; `pubsub` uses its `PubSub`: the text `subscribe` joins the topic, every other message
//! is published to it.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use sockudo_ws::deflate::{DeflateConfig, negotiate_server_deflate};
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::{
    CompressedWebSocketStream, Compression, Config, Error, Message, PubSub, Result, Role,
    WebSocketStream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const TOPIC: &str = "topic";

#[derive(Clone)]
enum Kind {
    Echo,
    Dedicated(DeflateConfig),
    PubSub(Arc<PubSub>),
}

impl Kind {
    fn named(name: Option<&str>) -> io::Result<Self> {
        match name {
            None => Ok(Self::Echo),
            Some("dedicated") => Ok(Self::Dedicated(
                Compression::Dedicated
                    .to_deflate_config()
                    .expect("it is not `Disabled`"),
            )),
            Some("pubsub") => Ok(Self::PubSub(Arc::new(PubSub::new()))),
            Some(other) => Err(io::Error::other(format!("no such server: {other}"))),
        }
    }
}

async fn serve(mut stream: TcpStream, kind: Kind) -> Result<()> {
    let policy = match &kind {
        Kind::Dedicated(policy) => Some(policy),
        Kind::Echo | Kind::PubSub(_) => None,
    };
    let (deflate, leftover) = handshake(&mut stream, policy).await?;
    let config = Config::default();
    match (kind, deflate) {
        (Kind::PubSub(topics), _) => {
            let ws =
                WebSocketStream::from_raw_with_leftover(stream, Role::Server, config, leftover);
            relay(ws, &topics).await
        }
        (Kind::Dedicated(_), Some(deflate)) => {
            echo(CompressedWebSocketStream::server_with_leftover(
                stream, config, deflate, leftover,
            ))
            .await
        }
        (Kind::Echo | Kind::Dedicated(_), _) => {
            echo(WebSocketStream::from_raw_with_leftover(
                stream,
                Role::Server,
                config,
                leftover,
            ))
            .await
        }
    }
}

/// Answers the request, and returns what was negotiated and what came behind the request.
async fn handshake(
    stream: &mut TcpStream,
    policy: Option<&DeflateConfig>,
) -> Result<(Option<DeflateConfig>, Option<Bytes>)> {
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(Error::ConnectionClosed);
        }
        let Some((request, consumed)) = parse_request(&buffer)? else {
            continue;
        };
        let negotiated = request
            .extensions
            .zip(policy)
            .and_then(|(offers, policy)| negotiate_server_deflate(offers, policy));
        let extensions = negotiated
            .as_ref()
            .map(|deflate| deflate.to_response_header());
        let key = generate_accept_key(request.key);
        let response = build_response(&key, None, extensions.as_deref());
        stream.write_all(&response).await?;
        let leftover = buffer.split_off(consumed);
        return Ok((
            negotiated.map(|deflate| deflate.config),
            (!leftover.is_empty()).then(|| leftover.freeze()),
        ));
    }
}

async fn echo<S>(mut ws: S) -> Result<()>
where
    S: Stream<Item = Result<Message>> + Sink<Message, Error = Error> + Unpin,
{
    while let Some(message) = ws.next().await {
        match message? {
            Message::Close(_) => break,
            message @ (Message::Text(_) | Message::Binary(_)) => ws.send(message).await?,
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
    Ok(())
}

async fn relay(ws: WebSocketStream<TcpStream>, topics: &PubSub) -> Result<()> {
    let (mut reader, mut writer) = ws.split();
    let (sender, mut inbox) = mpsc::unbounded_channel();
    let subscriber = topics.create_subscriber(sender);
    let ended = loop {
        tokio::select! {
            message = reader.next() => match message {
                Some(Ok(Message::Text(text))) if &text[..] == b"subscribe" => {
                    topics.subscribe(subscriber, TOPIC);
                }
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    topics.publish(TOPIC, message);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => break Ok(()),
                Some(Err(error)) => break Err(error),
            },
            Some(message) = inbox.recv() => {
                if let Err(error) = writer.send(message).await {
                    break Err(error);
                }
            }
        }
    };
    topics.remove_subscriber(subscriber);
    ended
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    let kind = Kind::named(arguments.next().as_deref())?;
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let kind = kind.clone();
        tokio::spawn(async move {
            // How a connection ends does not matter here: the generator counts what came back.
            let _ = serve(stream, kind).await;
        });
    }
}

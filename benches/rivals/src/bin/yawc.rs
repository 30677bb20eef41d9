//! An echo server on yawc 0.5.0 as its documentation shows it: a hyper upgrade, `next` and `send`
//! per message, tokio's current-thread runtime, `TCP_NODELAY`. A second argument sets compression:
//! `balanced` is the preset of that name, with context takeover; `pooled` is what its `DeflatePool`
//! recommends for many connections, the low-latency preset without context takeover.

use std::io;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::net::TcpListener;
use yawc::{DeflatePool, OpCode, Options, UpgradeFut, WebSocket};

/// As large as the messages of the benches may get.
const PAYLOAD_MAX: usize = 16 << 20;

fn options(compression: Option<&str>) -> io::Result<Options> {
    let options = Options::default().with_limits(PAYLOAD_MAX, 2 * PAYLOAD_MAX);
    match compression {
        None => Ok(options),
        Some("balanced") => Ok(options.with_balanced_compression()),
        Some("pooled") => Ok(options
            .with_low_latency_compression()
            .server_no_context_takeover()
            .client_no_context_takeover()
            .with_deflate_pool(DeflatePool::new(64))),
        Some(other) => Err(io::Error::other(format!("no such compression: {other}"))),
    }
}

async fn echo(upgrade: UpgradeFut) -> yawc::Result<()> {
    let mut ws = upgrade.await?;
    while let Some(frame) = ws.next().await {
        if matches!(frame.opcode(), OpCode::Text | OpCode::Binary) {
            ws.send(frame).await?;
        }
    }
    Ok(())
}

async fn upgrade(
    mut request: Request<Incoming>,
    options: Options,
) -> yawc::Result<Response<Empty<Bytes>>> {
    let (response, upgrade) = WebSocket::upgrade_with_options(&mut request, options)?;
    tokio::spawn(async move {
        // How a connection ends does not matter here: the generator counts what came back.
        let _ = tokio::task::unconstrained(echo(upgrade)).await;
    });
    Ok(response)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    let options = options(arguments.next().as_deref())?;
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let options = options.clone();
        tokio::spawn(async move {
            let stream = hyper_util::rt::TokioIo::new(stream);
            let service = service_fn(move |request| upgrade(request, options.clone()));
            let _ = http1::Builder::new()
                .serve_connection(stream, service)
                .with_upgrades()
                .await;
        });
    }
}

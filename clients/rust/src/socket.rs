//! One connection over a real socket: a task that carries bytes between it and the machine.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::machine::{LinkId, Loss};
use crate::random::Random;
use crate::shared::{Links, Shared};
use crate::tls;
use crate::url::{Scheme, ServerUrl};
use crate::wire::{Arrival, Offer, Wire};

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 << 10;
/// Bytes that wait for the socket before no more are written into the buffer.
const OUT_BYTES: usize = 64 << 10;

/// What connections are made with.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    pub(crate) offer: Offer,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A socket, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens a connection, carries it to its end, and tells the machine.
pub(crate) async fn run(
    shared: Arc<Shared>,
    link: LinkId,
    url: Arc<str>,
    dial: Dial,
    wanted: Arc<Notify>,
) {
    let loss = match open(&url, &dial).await {
        Ok((socket, url)) => carry(&shared, link, socket, &url, &dial, &wanted).await,
        Err(loss) => loss,
    };
    shared.with_core(Links::Others(link), |core, now_ms| {
        core.links.remove(&link);
        core.machine.lost(link, loss, now_ms);
    });
}

async fn open(url: &str, dial: &Dial) -> Result<(Box<dyn Stream>, ServerUrl), Loss> {
    let unreachable = |error: String| Loss::Unreachable(error.into());
    let url = ServerUrl::parse(url).map_err(|error| unreachable(error.to_string()))?;
    let socket = TcpStream::connect((url.host(), url.port()))
        .await
        .map_err(|error| unreachable(format!("{}:{}: {error}", url.host(), url.port())))?;
    // What is written is whole: nothing is to be waited for.
    let _ = socket.set_nodelay(true);
    match url.scheme() {
        Scheme::Plain => Ok((Box::new(socket), url)),
        Scheme::Tls => {
            let config = match &dial.tls {
                Some(config) => config.clone(),
                None => tls::system().map_err(unreachable)?,
            };
            let name = ServerName::try_from(url.host().to_owned())
                .map_err(|error| unreachable(format!("{}: {error}", url.host())))?;
            let socket = TlsConnector::from(config)
                .connect(name, socket)
                .await
                .map_err(|error| unreachable(format!("TLS with {}: {error}", url.host())))?;
            Ok((Box::new(socket), url))
        }
    }
}

async fn carry(
    shared: &Shared,
    link: LinkId,
    socket: Box<dyn Stream>,
    url: &ServerUrl,
    dial: &Dial,
    wanted: &Notify,
) -> Loss {
    let (mut reader, mut writer) = tokio::io::split(socket);
    let mut random = Random::new();
    let nonce = random.bytes();
    let mask_keys = Box::new(move || random.bytes());
    let mut out = Vec::new();
    let mut wire = match Wire::new(url, &dial.offer, nonce, mask_keys, &mut out) {
        Ok(wire) => wire,
        Err(loss) => return loss,
    };
    let mut input = vec![0; READ_BYTES];
    let mut written = 0;
    let mut message = Vec::new();
    loop {
        shared.with_core(Links::None, |core, now_ms| {
            while out.len() - written < OUT_BYTES
                && let Some(kind) = core.machine.transmit(link, now_ms, &mut message)
            {
                wire.send(kind, &message, &mut out);
                message.clear();
            }
        });
        wire.catch_up(&mut out);
        tokio::select! {
            read = reader.read(&mut input) => {
                let count = match read {
                    Ok(0) => return Loss::Cut("it ended without a Close frame".into()),
                    Ok(count) => count,
                    Err(error) => return Loss::Cut(error.to_string().into()),
                };
                let received = shared.with_core(Links::Others(link), |core, now_ms| {
                    let machine = &mut core.machine;
                    machine.heard(link, now_ms);
                    wire.receive(&mut input[..count], now_ms, &mut out, |arrival| match arrival {
                        Arrival::Opened(dialect) => machine.opened(link, dialect, now_ms),
                        Arrival::Message(message) => machine.message(link, message, now_ms),
                    })
                });
                if let Err(loss) = received {
                    // The peer is told why, as far as it listens.
                    let _ = writer.write_all(&out[written..]).await;
                    let _ = writer.shutdown().await;
                    return loss;
                }
            }
            count = write(&mut writer, &out[written..]) => {
                match count {
                    Ok(count) => written += count,
                    Err(error) => return Loss::Cut(error.to_string().into()),
                }
                // What is written goes at once where that is cheap.
                if written == out.len() || written >= OUT_BYTES {
                    out.drain(..written);
                    written = 0;
                }
            }
            () = wanted.notified() => {}
        }
    }
}

/// Writes some of it; nothing for ever if there is nothing.
async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        std::future::pending::<()>().await;
    }
    let count = writer.write(bytes).await?;
    if count == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    writer.flush().await?;
    Ok(count)
}

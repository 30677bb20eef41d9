//! The protocol crate as a client, over a blocking socket: echoes every case of the Autobahn test
//! suite (see `autobahn/`), or of any server that speaks as the suite does.
//!
//! ```console
//! $ cargo run --release --example autobahn-client -- ws://127.0.0.1:9001 corewire
//! ```

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use corewire_protocol::deflate::{
    Codec, DEFLATE_THRESHOLD_BYTES, DeflateConfig, Direction, Encoder, InflateBudget, Takeover,
};
use corewire_protocol::handshake::{
    ClientRequest, ExtraHeaders, HeadScanner, HeaderSpace, ResponseHead,
};
use corewire_protocol::websocket::Scratch;
use corewire_protocol::{
    Env, Event, Flow, Limits, MaskKeys, MessageKind, Output, Payload, Role, State, Tick, WebSocket,
};

/// The suite sends messages of 16 MiB.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
const READ_BYTES: usize = 64 << 10;
/// As browsers offer it: the server may ask for less.
const COMPRESSION: Direction = Direction {
    takeover: Takeover::Yes,
    window_bits: 15,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_default();
    let host = url
        .strip_prefix("ws://")
        .map(|rest| rest.trim_end_matches('/'))
        .ok_or("usage: autobahn-client ws://HOST:PORT [AGENT [flate2|compact]]")?;
    let agent = arguments.next().unwrap_or_else(|| "corewire".to_owned());
    let encoder = match arguments.next().as_deref() {
        None | Some("flate2") => Encoder::default(),
        Some("compact") => Encoder::Compact,
        Some(other) => return Err(format!("there is no codec {other:?}").into()),
    };

    let (_, count) = Client::connect(host, "/getCaseCount", encoder)?
        .receive()?
        .ok_or("the suite did not say how many cases it has")?;
    let count: u32 = str::from_utf8(&count)?.parse()?;
    for case in 1..=count {
        let client = Client::connect(
            host,
            &format!("/runCase?case={case}&agent={agent}"),
            encoder,
        )?;
        if let Err(end) = echo(client) {
            writeln!(io::stderr(), "case {case} of {count}: {end}")?;
        }
    }
    let mut reports = Client::connect(host, &format!("/updateReports?agent={agent}"), encoder)?;
    while reports.receive()?.is_some() {}
    Ok(())
}

fn echo(mut client: Client) -> io::Result<()> {
    while let Some((kind, message)) = client.receive()? {
        client.send(kind, &message)?;
    }
    Ok(())
}

/// A connection to a server, driven by whoever calls.
struct Client {
    stream: TcpStream,
    websocket: WebSocket,
    core: Core,
    /// What was read from the socket; all before `taken` has been taken from it.
    input: Vec<u8>,
    taken: usize,
    /// What goes to the socket next.
    output: Vec<u8>,
}

impl Client {
    /// Connects and shakes hands (RFC 6455, 4.1).
    fn connect(host: &str, target: &str, encoder: Encoder) -> Result<Self, Box<dyn Error>> {
        let mut stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        let core = Core::new(encoder);
        let request = ClientRequest {
            host,
            target,
            subprotocols: &[],
            deflate: DeflateConfig::new(COMPRESSION, COMPRESSION),
            extra: ExtraHeaders::NONE,
        };
        let mut output = Vec::new();
        let handshake = request.write(random(), &mut output)?;
        stream.write_all(&output)?;
        output.clear();

        let mut input = Vec::new();
        let mut scanner = HeadScanner::new();
        let (agreement, taken) = loop {
            if let Some(head) = scanner.scan(&input, &core.limits)? {
                let mut space = HeaderSpace::new();
                let response = ResponseHead::parse(head, &mut space)?;
                break (handshake.finish(&response)?.deflate, head.len());
            }
            if read_more(&mut stream, &mut input)? == 0 {
                return Err("the server hung up during the handshake".into());
            }
        };
        Ok(Self {
            websocket: WebSocket::new(Role::Client, agreement, core.now(), &core.limits),
            stream,
            core,
            input,
            taken,
            output,
        })
    }

    /// The next message; `None` when the connection has ended as it should. A peer that breaks
    /// the protocol is told so and becomes an error.
    fn receive(&mut self) -> io::Result<Option<(MessageKind, Vec<u8>)>> {
        loop {
            let mut rest = &mut self.input[self.taken..];
            let before = rest.len();
            let mut output = Output {
                bytes: &mut self.output,
                flow: Flow::Open,
            };
            let event = self
                .websocket
                .next_event(&mut rest, &mut self.core.env(), &mut output);
            self.taken += before - rest.len();
            match event {
                Ok(Some(Event::Message(kind, Payload::Slice(message)))) => {
                    return Ok(Some((kind, message.to_vec())));
                }
                Ok(Some(Event::Message(kind, Payload::Buffer(message)))) => {
                    return Ok(Some((kind, message)));
                }
                // The protocol has answered them already.
                Ok(Some(Event::Ping(_) | Event::Pong(_) | Event::Close { .. })) => {}
                Ok(None) if self.websocket.state() == State::Closed => {
                    return self.end().map(|()| None);
                }
                Ok(None) => self.wait()?,
                Err(broken) => {
                    self.end()?;
                    return Err(io::Error::new(ErrorKind::InvalidData, broken));
                }
            }
        }
    }

    fn send(&mut self, kind: MessageKind, message: &[u8]) -> io::Result<()> {
        self.websocket
            .send(kind, message, &mut self.core.env(), &mut self.output)
            .map_err(io::Error::other)?;
        self.flush()
    }

    /// Sends what there is, then reads more, or does what is due if nothing comes until then.
    fn wait(&mut self) -> io::Result<()> {
        self.websocket
            .send_late_pong(&mut self.core.env(), &mut self.output);
        self.flush()?;
        self.input.clear();
        self.taken = 0;
        let now = self.core.now();
        let wait = self
            .websocket
            .deadline(&self.core.limits)
            .map(|deadline| Duration::from_millis(u64::from(deadline.since(now).max(1))));
        self.stream.set_read_timeout(wait)?;
        match read_more(&mut self.stream, &mut self.input) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                self.websocket.heard(self.core.now());
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.websocket
                    .timeout(&mut self.core.env(), &mut self.output)
                    .map_err(|silent| io::Error::new(ErrorKind::TimedOut, silent))
            }
            Err(error) => Err(error),
        }
    }

    /// Sends what there is, then lets the server end the TCP connection (RFC 6455, 7.1.1).
    fn end(&mut self) -> io::Result<()> {
        self.flush()?;
        let patience = self.core.limits.close_timeout_ms;
        self.stream
            .set_read_timeout(Some(Duration::from_millis(u64::from(patience))))?;
        self.input.clear();
        // Gone, reset or out of patience: it is over.
        while read_more(&mut self.stream, &mut self.input).is_ok_and(|count| count > 0) {
            self.input.clear();
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }
}

/// What connections borrow for a call. There is one connection here; any number may share it.
struct Core {
    start: Instant,
    limits: Limits,
    codec: Codec,
    scratch: Scratch,
    mask_keys: fn() -> [u8; 4],
}

impl Core {
    #[expect(
        clippy::disallowed_methods,
        reason = "the protocol has no clock: its driver does"
    )]
    fn new(encoder: Encoder) -> Self {
        let budget = InflateBudget::new(2 * MESSAGE_BYTES_MAX);
        Self {
            start: Instant::now(),
            limits: Limits {
                message_bytes: MESSAGE_BYTES_MAX,
                ..Limits::default()
            },
            codec: Codec::with_encoder(encoder, budget),
            scratch: Scratch::default(),
            mask_keys: random,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the protocol has no clock: its driver does"
    )]
    fn now(&self) -> Tick {
        // A tick counts milliseconds modulo 2^32, so the low half is all of it.
        let ms = self.start.elapsed().as_millis() % (1 << 32);
        Tick(u32::try_from(ms).unwrap_or_default())
    }

    fn env(&mut self) -> Env<'_> {
        Env {
            now: self.now(),
            limits: &self.limits,
            codec: &mut self.codec,
            deflate_min_bytes: DEFLATE_THRESHOLD_BYTES,
            scratch: &mut self.scratch,
            mask_keys: MaskKeys::From(&mut self.mask_keys),
        }
    }
}

/// Bytes that nobody can predict: masking keys, and the handshake's nonce (RFC 6455, 10.3).
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random bytes");
    bytes
}

/// Appends what one read gives.
fn read_more(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<usize> {
    let start = input.len();
    input.resize(start + READ_BYTES, 0);
    let count = stream.read(&mut input[start..]);
    input.truncate(start + count.as_ref().map_or(0, |&count| count));
    count
}

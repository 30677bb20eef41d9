//! A connection that is being opened: TCP, then the handshake of RFC 6455, section 4.
//!
//! ```text
//!   Connecting --writable--> Waiting --101--> Opened
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use corewire_protocol::Limits;
use corewire_protocol::deflate::{Agreement, DeflateConfig, Direction, Takeover};
use corewire_protocol::handshake::{
    ClientHandshake, ClientRequest, ExtraHeaders, HeadScanner, HeaderSpace, ResponseError,
    ResponseHead,
};
use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

use super::error::{Error, Fault};
use super::messages::{Deflate, WINDOW_BITS};
use super::target::{Scheme, Target};
use super::text::SplitMix;

/// Connections from one loopback address, well below the 28,232 ports that Linux gives out.
const CONNECTIONS_PER_ADDRESS: usize = 4000;
/// As much is shown of why a server refuses a handshake.
const REASON_CHARS_MAX: usize = 200;
/// Loopback addresses that are used in turn, 127.0.0.2 and on.
const ADDRESSES: usize = 250;

/// What is asked for in a handshake, and must be granted.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// permessage-deflate.
    pub(super) offer: Offer,
    /// A subprotocol.
    pub(super) subprotocol: Option<String>,
}

/// What is offered for permessage-deflate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// Nothing.
    Nothing,
    /// No context takeover, for messages of at most this size.
    NoTakeover { message_bytes: usize },
    /// Context takeover in both directions, ours in a window of [`WINDOW_BITS`].
    Takeover,
    /// What browsers offer: whatever the server would have.
    AsBrowsers,
}

impl Offer {
    /// What the messages of a run need.
    pub(super) const fn of(deflate: Deflate, message_bytes: usize) -> Self {
        match deflate {
            Deflate::Off => Self::Nothing,
            Deflate::NoTakeover => Self::NoTakeover { message_bytes },
            Deflate::Takeover => Self::Takeover,
        }
    }

    fn config(self) -> Option<DeflateConfig> {
        let direction = |takeover, window_bits| Direction {
            takeover,
            window_bits,
        };
        let (inbound, outbound) = match self {
            Self::Nothing => return None,
            Self::NoTakeover { .. } => (
                direction(Takeover::No, 15),
                direction(Takeover::No, WINDOW_BITS),
            ),
            Self::Takeover => (
                direction(Takeover::Yes, 15),
                direction(Takeover::Yes, WINDOW_BITS),
            ),
            Self::AsBrowsers => (direction(Takeover::Yes, 15), direction(Takeover::Yes, 15)),
        };
        DeflateConfig::new(inbound, outbound)
    }

    /// Whether what the server agreed to is what the messages of a run need.
    fn check(self, agreed: Option<Agreement>) -> Result<(), Fault> {
        let small_window = |agreed: &Agreement| agreed.outbound.window_bits < WINDOW_BITS;
        match (self, agreed) {
            (Self::Nothing, _) | (Self::AsBrowsers, Some(_)) => Ok(()),
            (_, None) => Err(Fault::NoDeflate),
            (Self::NoTakeover { message_bytes }, Some(agreed)) => {
                let bits = agreed.outbound.window_bits;
                if small_window(&agreed) && message_bytes > 1 << bits {
                    return Err(Fault::DeflateWindow(bits));
                }
                Ok(())
            }
            (Self::Takeover, Some(agreed)) => {
                let both = [agreed.inbound, agreed.outbound];
                if both.iter().any(|one| one.takeover == Takeover::No) {
                    return Err(Fault::NoTakeover);
                }
                if small_window(&agreed) {
                    return Err(Fault::DeflateWindow(agreed.outbound.window_bits));
                }
                Ok(())
            }
        }
    }
}

/// A connection that is being opened.
#[derive(Debug)]
pub(super) struct Opening {
    stream: TcpStream,
    number: usize,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// TCP is connecting; then the request is sent.
    Connecting,
    /// The request was sent.
    Waiting {
        handshake: ClientHandshake,
        scanner: HeadScanner,
        head: Vec<u8>,
    },
}

/// A connection that has just opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stream: TcpStream,
    /// Its number in the whole run.
    pub(super) number: usize,
    /// What came behind the answer to the handshake.
    pub(super) rest: Vec<u8>,
}

impl Opening {
    /// Begins connection `number`.
    pub(super) fn begin(target: &Target, number: usize) -> Result<Self, Error> {
        let socket = connect(target.address(), number).map_err(Error::system("connect"))?;
        Ok(Self {
            stream: TcpStream::from_std(socket.into()),
            number,
            stage: Stage::Connecting,
        })
    }

    /// The socket, for the registry.
    pub(super) const fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Goes on as far as the socket lets it. `Ok(Ok(_))` is open.
    pub(super) fn advance(
        mut self,
        target: &Target,
        asked: &Asked,
    ) -> Result<Result<Opened, Self>, Fault> {
        if matches!(self.stage, Stage::Connecting) {
            let unreachable = |source| Fault::Unreachable {
                address: target.address(),
                source,
            };
            if let Some(error) = self.stream.take_error()? {
                return Err(unreachable(error));
            }
            match self.stream.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(Err(self)),
                Err(error) => return Err(unreachable(error)),
            }
            if target.scheme() == Scheme::Tcp {
                return Ok(Ok(self.open(Vec::new())));
            }
            self.ask(target, asked)?;
        }
        Ok(match self.answer(asked)? {
            None => Err(self),
            Some(rest) => Ok(self.open(rest)),
        })
    }

    fn open(self, rest: Vec<u8>) -> Opened {
        Opened {
            stream: self.stream,
            number: self.number,
            rest,
        }
    }

    fn ask(&mut self, target: &Target, asked: &Asked) -> Result<(), Fault> {
        let subprotocols: Vec<_> = asked.subprotocol.as_deref().into_iter().collect();
        let request = ClientRequest {
            host: target.host(),
            target: target.path(),
            subprotocols: &subprotocols,
            deflate: asked.offer.config(),
            extra: &ExtraHeaders::default(),
        };
        let mut bytes = Vec::new();
        // New for each connection, as the RFC wants; that others can guess it harms nobody here.
        let mut random = SplitMix(self.number as u64);
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&random.next().to_ne_bytes());
        nonce[8..].copy_from_slice(&random.next().to_ne_bytes());
        let handshake = request.write(nonce, &mut bytes).map_err(Fault::Request)?;
        // A few hundred bytes into an empty socket: they go in whole or not at all.
        self.stream.write_all(&bytes)?;
        self.stage = Stage::Waiting {
            handshake,
            scanner: HeadScanner::new(),
            head: Vec::new(),
        };
        Ok(())
    }

    /// Reads the answer. `Some` when it is complete and right: the bytes that follow it.
    fn answer(&mut self, asked: &Asked) -> Result<Option<Vec<u8>>, Fault> {
        let Stage::Waiting {
            handshake,
            scanner,
            head,
        } = &mut self.stage
        else {
            return Ok(None);
        };
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Fault::NoAnswer),
                Ok(read) => head.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            let limits = Limits::default();
            let Some(bytes) = scanner.scan(head, &limits).map_err(Fault::Head)? else {
                continue;
            };
            let rest = head[bytes.len()..].to_vec();
            let mut space = HeaderSpace::new();
            let response = ResponseHead::parse(bytes, &mut space).map_err(Fault::Head)?;
            let established = handshake.finish(&response).map_err(|error| {
                if let ResponseError::Status(status) = error {
                    return refusal(status, &rest);
                }
                Fault::Handshake(error)
            })?;
            if let (Some(name), None) = (&asked.subprotocol, established.subprotocol) {
                return Err(Fault::Subprotocol(name.clone()));
            }
            asked.offer.check(established.deflate)?;
            return Ok(Some(rest));
        }
    }
}

/// An answer that is no upgrade, with the first line of its body if that is text and has come with
/// the head, as it does from servers that say what is wrong with a request.
fn refusal(status: u16, body: &[u8]) -> Fault {
    let body = String::from_utf8_lossy(body);
    // The size of a chunk tells nobody anything.
    let mut lines = body.lines().map(str::trim);
    let reason = lines.find(|line| !line.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match reason {
        Some(reason) if !reason.starts_with('<') && !reason.chars().any(char::is_control) => {
            Fault::Refused {
                status,
                reason: reason.chars().take(REASON_CHARS_MAX).collect(),
            }
        }
        Some(_) | None => Fault::Handshake(ResponseError::Status(status)),
    }
}

/// A socket that is connecting. Ports of one address are few, so where the server is on the
/// loopback, clients are 127.0.0.2, 127.0.0.3 and so on.
fn connect(address: SocketAddr, number: usize) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let IpAddr::V4(server) = address.ip()
        && server.is_loopback()
    {
        let host = 2 + number / CONNECTIONS_PER_ADDRESS % ADDRESSES;
        let host = u8::try_from(host).unwrap_or(u8::MAX);
        let client = Ipv4Addr::new(127, 0, 0, host);
        socket.bind(&SocketAddr::from((client, 0)).into())?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => Ok(socket),
        // EINPROGRESS: writable will say how it went.
        Err(error)
            if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            Ok(socket)
        }
        Err(error) => Err(error),
    }
}

//! A connection that is being opened: TCP, then the handshake of RFC 6455, section 4.
//!
//! ```text
//!   Connecting --writable--> Asked --101--> Connection
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use corewire_protocol::Limits;
use corewire_protocol::deflate::{DeflateConfig, Direction, Takeover};
use corewire_protocol::handshake::{
    ClientHandshake, ClientRequest, ExtraHeaders, HeadScanner, HeaderSpace, ResponseHead,
};
use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

use super::connection::Connection;
use super::error::{Error, Fault};
use super::messages::{Deflate, Messages, SplitMix, WINDOW_BITS};
use super::target::{Scheme, Target};

/// Connections from one loopback address, well below the 28,232 ports that Linux gives out.
const CONNECTIONS_PER_ADDRESS: usize = 4000;

/// What is offered for permessage-deflate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// Nothing.
    Nothing,
    /// What the messages of a run need: no context takeover.
    NoTakeover,
    /// What browsers offer: whatever the server would have.
    AsBrowsers,
}

impl Offer {
    pub(super) const fn of(deflate: Deflate) -> Self {
        match deflate {
            Deflate::Off => Self::Nothing,
            Deflate::NoTakeover => Self::NoTakeover,
        }
    }

    fn config(self) -> Option<DeflateConfig> {
        let direction = |takeover, window_bits| Direction {
            takeover,
            window_bits,
        };
        match self {
            Self::Nothing => None,
            Self::NoTakeover => DeflateConfig::new(
                direction(Takeover::No, 15),
                direction(Takeover::No, WINDOW_BITS),
            ),
            Self::AsBrowsers => {
                DeflateConfig::new(direction(Takeover::Yes, 15), direction(Takeover::Yes, 15))
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
    Asked {
        handshake: ClientHandshake,
        scanner: HeadScanner,
        head: Vec<u8>,
    },
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
        offer: Offer,
        messages: &Messages,
    ) -> Result<Result<Connection, Self>, Fault> {
        if matches!(self.stage, Stage::Connecting) {
            if let Some(error) = self.stream.take_error()? {
                return Err(error.into());
            }
            match self.stream.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(Err(self)),
                Err(error) => return Err(error.into()),
            }
            if target.scheme() == Scheme::Tcp {
                return Ok(Ok(self.open(messages)));
            }
            self.ask(target, offer)?;
        }
        match self.answer(offer, messages)? {
            None => Ok(Err(self)),
            Some(rest) => {
                let mut connection = self.open(messages);
                connection.take(&rest, messages)?;
                Ok(Ok(connection))
            }
        }
    }

    fn ask(&mut self, target: &Target, offer: Offer) -> Result<(), Fault> {
        let request = ClientRequest {
            host: target.host(),
            target: target.path(),
            subprotocols: &[],
            deflate: offer.config(),
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
        self.stage = Stage::Asked {
            handshake,
            scanner: HeadScanner::new(),
            head: Vec::new(),
        };
        Ok(())
    }

    /// Reads the answer. `Some` when it is complete and right: the bytes that follow it.
    fn answer(&mut self, offer: Offer, messages: &Messages) -> Result<Option<Vec<u8>>, Fault> {
        let Stage::Asked {
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
                Ok(0) => return Err(Fault::Ended),
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
            let established = handshake.finish(&response).map_err(Fault::Handshake)?;
            match (offer, established.deflate) {
                (Offer::Nothing, _) | (Offer::AsBrowsers, Some(_)) => {}
                (Offer::NoTakeover | Offer::AsBrowsers, None) => return Err(Fault::NoDeflate),
                (Offer::NoTakeover, Some(agreed)) => {
                    let bits = agreed.outbound.window_bits;
                    if bits < WINDOW_BITS && messages.size() > 1 << bits {
                        return Err(Fault::DeflateWindow(bits));
                    }
                }
            }
            return Ok(Some(rest));
        }
    }

    fn open(self, messages: &Messages) -> Connection {
        // Every connection starts elsewhere in the ring.
        Connection::new(self.stream, self.number % messages.count(), messages)
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
        let host = u8::try_from(2 + number / CONNECTIONS_PER_ADDRESS).unwrap_or(u8::MAX);
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

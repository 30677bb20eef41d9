//! The other end of a connection, scripted.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use corewire::protocol::Role;
use corewire::protocol::frame::{FrameHeader, OpCode, Reserved};
use socket2::{Domain, SockRef, Socket, Type};

use crate::{PATIENCE, frames};

/// A key of sixteen bytes, and what a server makes of it (RFC 6455, 1.3).
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// See [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A TCP client that says what a test tells it to.
pub struct Peer {
    stream: TcpStream,
    /// Received and not looked at.
    unread: Vec<u8>,
    patience: Duration,
}

/// A frame from the server.
#[derive(PartialEq, Eq)]
pub struct Frame {
    /// Its header.
    pub header: FrameHeader,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why no more bytes come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The server has ended its side.
    Cleanly,
    /// The connection was reset.
    Reset,
    /// Nothing came in time.
    Silent,
}

impl Ended {
    fn because(error: &std::io::Error) -> Self {
        let kind = error.kind();
        if matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut) {
            return Self::Silent;
        }
        let broken = matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        assert!(broken, "reading: {error}");
        Self::Reset
    }
}

/// How a connection is made.
#[derive(Debug, Clone, Copy)]
pub struct Dial {
    to: SocketAddr,
    from: Option<IpAddr>,
    receive_buffer_bytes: Option<usize>,
}

impl Dial {
    /// From this address of the machine.
    #[must_use]
    pub const fn from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// With a small receive buffer, so that the server soon finds out that nobody reads.
    #[must_use]
    pub const fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer_bytes = Some(bytes);
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn try_connect(self) -> std::io::Result<Peer> {
        let socket = Socket::new(Domain::for_address(self.to), Type::STREAM, None)?;
        if let Some(bytes) = self.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(from) = self.from {
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        socket.connect_timeout(&self.to.into(), PATIENCE)?;
        socket.set_tcp_nodelay(true)?;
        Ok(Peer {
            stream: socket.into(),
            unread: Vec::new(),
            patience: PATIENCE,
        })
    }

    /// Connects.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    #[must_use]
    #[track_caller]
    pub fn connect(self) -> Peer {
        self.try_connect().expect("the server takes connections")
    }
}

/// A valid upgrade request, with more header lines.
#[must_use]
pub fn upgrade_request(path: &str, headers: &[&str]) -> String {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    );
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request
}

impl Peer {
    /// How to connect to a server.
    #[must_use]
    pub const fn dial(to: SocketAddr) -> Dial {
        Dial {
            to,
            from: None,
            receive_buffer_bytes: None,
        }
    }

    /// Connects to a server.
    #[must_use]
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Self {
        Self::dial(to).connect()
    }

    /// Connects to a server and opens a WebSocket at `/echo`.
    #[must_use]
    #[track_caller]
    pub fn websocket(to: SocketAddr) -> Self {
        Self::connect(to).upgraded()
    }

    /// Opens a WebSocket at `/echo` that offers permessage-deflate.
    #[must_use]
    #[track_caller]
    pub fn deflate_websocket(to: SocketAddr) -> Self {
        let mut peer = Self::connect(to);
        peer.send(upgrade_request(
            "/echo",
            &["Sec-WebSocket-Extensions: permessage-deflate"],
        ));
        let reply = peer.expect_upgrade();
        assert!(reply.header("sec-websocket-extensions").is_some());
        peer
    }

    /// Opens a WebSocket at `/echo` on this connection.
    #[must_use]
    #[track_caller]
    pub fn upgraded(mut self) -> Self {
        self.send(upgrade_request("/echo", &[]));
        let _ = self.expect_upgrade();
        self
    }

    /// Waits no longer than this for what it expects.
    #[must_use]
    pub const fn patient_for(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The address that the server sees.
    ///
    /// # Panics
    ///
    /// If the connection is broken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Another handle to the same connection, to send while this one listens.
    ///
    /// # Panics
    ///
    /// If there are no descriptors left.
    #[must_use]
    pub fn second_handle(&self) -> Self {
        Self {
            stream: self.stream.try_clone().unwrap(),
            unread: Vec::new(),
            patience: self.patience,
        }
    }

    // ── Saying ──

    /// Sends all of `bytes`.
    ///
    /// # Panics
    ///
    /// If the server does not take them.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.set_write_timeout(Some(self.patience)).unwrap();
        self.stream
            .write_all(bytes.as_ref())
            .expect("the server takes what is sent");
    }

    /// Sends what the server takes before it stops reading or the connection ends. Returns how
    /// many bytes that were.
    ///
    /// # Panics
    ///
    /// If the socket cannot be told how long to wait.
    pub fn send_what_is_taken(&mut self, bytes: &[u8], patience: Duration) -> usize {
        self.stream.set_write_timeout(Some(patience)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(0) => break,
                Ok(more) => sent += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        sent
    }

    /// Ends our side: no more will be sent.
    ///
    /// # Panics
    ///
    /// If the connection is gone.
    #[track_caller]
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends both sides: whoever listens on another handle hears the end.
    pub fn hang_up(&self) {
        // It fails if the server was first.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Resets the connection.
    ///
    /// # Panics
    ///
    /// If the connection is gone.
    pub fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    // ── Hearing ──

    /// Receives more bytes.
    fn receive(&mut self, until: Instant) -> Result<(), Ended> {
        let mut buffer = [0; 32 << 10];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Ended::Silent);
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            return match self.stream.read(&mut buffer) {
                Ok(0) => Err(Ended::Cleanly),
                Ok(bytes) => {
                    self.unread.extend_from_slice(&buffer[..bytes]);
                    Ok(())
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(Ended::because(&error)),
            };
        }
    }

    /// Receives until `parse` finds something at the start of what came.
    fn take<T>(&mut self, mut parse: impl FnMut(&[u8]) -> Option<(T, usize)>) -> Result<T, Ended> {
        let until = Instant::now() + self.patience;
        loop {
            if let Some((found, bytes)) = parse(&self.unread) {
                self.unread.drain(..bytes);
                return Ok(found);
            }
            self.receive(until)?;
        }
    }

    /// The next frame, or why there is none.
    ///
    /// # Errors
    ///
    /// [`Ended`].
    pub fn frame(&mut self) -> Result<Frame, Ended> {
        self.take(|bytes| {
            let (header, start) = FrameHeader::parse(bytes, Role::Client, Reserved::Rsv1Compressed)
                .expect("a server's frame is valid")?;
            let end = start + usize::try_from(header.payload_bytes).unwrap();
            let payload = bytes.get(start..end)?.to_vec();
            Some((Frame { header, payload }, end))
        })
    }

    /// Expects a frame.
    ///
    /// # Panics
    ///
    /// If something else comes.
    #[track_caller]
    pub fn expect_frame(&mut self) -> Frame {
        let frame = self.frame();
        frame.unwrap_or_else(|ended| panic!("expected a frame: {ended:?}, {}", self.shown()))
    }

    /// Expects this frame, whole.
    ///
    /// # Panics
    ///
    /// If something else comes.
    #[track_caller]
    pub fn expect(&mut self, opcode: OpCode, payload: &[u8]) {
        let frame = self.expect_frame();
        assert!(
            frame.header.fin && frame.header.opcode == opcode && frame.payload == payload,
            "expected {opcode:?} of {} bytes, got {frame:?}",
            payload.len()
        );
    }

    /// Expects this text message.
    #[track_caller]
    pub fn expect_text(&mut self, text: &str) {
        self.expect(OpCode::Text, text.as_bytes());
    }

    /// Expects this binary message.
    #[track_caller]
    pub fn expect_binary(&mut self, payload: &[u8]) {
        self.expect(OpCode::Binary, payload);
    }

    /// Expects this pong.
    #[track_caller]
    pub fn expect_pong(&mut self, payload: &[u8]) {
        self.expect(OpCode::Pong, payload);
    }

    /// Expects a Close frame with this code, and returns its reason.
    ///
    /// # Panics
    ///
    /// If something else comes.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) -> String {
        let frame = self.expect_frame();
        assert_eq!(frame.close_code(), Some(code), "{frame:?}");
        String::from_utf8(frame.payload[2..].to_vec()).unwrap()
    }

    /// The code of the Close frame that comes after any other frames, or how the connection
    /// ended without one.
    ///
    /// # Errors
    ///
    /// [`Ended`].
    pub fn close_code(&mut self) -> Result<u16, Ended> {
        loop {
            let frame = self.frame()?;
            if frame.header.opcode == OpCode::Close {
                return Ok(frame.close_code().unwrap_or(1005));
            }
        }
    }

    /// The next response, or why there is none.
    ///
    /// # Errors
    ///
    /// [`Ended`].
    pub fn reply(&mut self) -> Result<Reply, Ended> {
        self.take(|bytes| {
            let (mut reply, start) = Reply::parse_head(bytes)?;
            let length = match reply.header("content-length") {
                Some(length) => length.parse().unwrap(),
                None => 0,
            };
            reply.body = bytes.get(start..start + length)?.to_vec();
            Some((reply, start + length))
        })
    }

    /// Expects a response of this status.
    ///
    /// # Panics
    ///
    /// If something else comes.
    #[track_caller]
    pub fn expect_reply(&mut self, status: u16) -> Reply {
        let reply = self.reply();
        let reply = reply.unwrap_or_else(|ended| {
            panic!("expected {status}: {ended:?}, {}", self.shown());
        });
        assert_eq!(reply.status, status, "{reply:?}");
        reply
    }

    /// Expects the head of a response, without the body that it announces.
    ///
    /// # Panics
    ///
    /// If something else comes.
    #[track_caller]
    pub fn expect_head(&mut self, status: u16) -> Reply {
        let reply = self.take(Reply::parse_head);
        let reply = reply.unwrap_or_else(|ended| panic!("expected {status}: {ended:?}"));
        assert_eq!(reply.status, status, "{reply:?}");
        reply
    }

    /// The status of the next response, whatever it is.
    ///
    /// # Panics
    ///
    /// If none comes.
    #[track_caller]
    pub fn expect_status(&mut self) -> u16 {
        self.take(Reply::parse_head).unwrap().status
    }

    /// Expects the answer to [`upgrade_request`].
    ///
    /// # Panics
    ///
    /// If something else comes.
    #[track_caller]
    pub fn expect_upgrade(&mut self) -> Reply {
        let reply = self.expect_head(101);
        assert_eq!(reply.header("sec-websocket-accept"), Some(ACCEPT));
        reply
    }

    /// Expects that the server has nothing more to say and ends its side.
    ///
    /// # Panics
    ///
    /// If something else comes.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let ended = self.rest();
        assert_eq!(ended, (Vec::new(), Ended::Cleanly), "{}", self.shown());
    }

    /// Expects that the server resets the connection, whatever it has said before.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[track_caller]
    pub fn expect_reset(&mut self) {
        assert_eq!(self.rest().1, Ended::Reset);
    }

    /// All that still comes, and why no more does.
    pub fn rest(&mut self) -> (Vec<u8>, Ended) {
        let until = Instant::now() + self.patience;
        loop {
            if let Err(ended) = self.receive(until) {
                return (std::mem::take(&mut self.unread), ended);
            }
        }
    }

    /// Throws away all that still comes, and says why no more does.
    pub fn discard(&mut self) -> Ended {
        loop {
            self.unread.clear();
            if let Err(ended) = self.receive(Instant::now() + self.patience) {
                return ended;
            }
        }
    }

    /// Reads at most so many bytes and throws them away; returns how many there were. For
    /// readers that are slow.
    ///
    /// # Panics
    ///
    /// If the connection breaks.
    pub fn sip(&mut self, bytes_max: usize) -> usize {
        self.stream.set_read_timeout(Some(self.patience)).unwrap();
        let mut buffer = vec![0; bytes_max];
        self.stream.read(&mut buffer).unwrap()
    }

    /// As [`sip`](Self::sip), but what is read can be looked at later.
    ///
    /// # Panics
    ///
    /// If the connection breaks or ends.
    pub fn sip_and_keep(&mut self, bytes_max: usize) -> usize {
        self.stream.set_read_timeout(Some(self.patience)).unwrap();
        let mut buffer = vec![0; bytes_max];
        let bytes = self.stream.read(&mut buffer).unwrap();
        assert_ne!(bytes, 0, "the server has ended its side");
        self.unread.extend_from_slice(&buffer[..bytes]);
        bytes
    }

    /// Answers a Close frame and expects the end.
    ///
    /// # Panics
    ///
    /// If something else comes.
    #[track_caller]
    pub fn answer_close(&mut self, code: u16) {
        let _ = self.expect_close(code);
        self.send(frames::close(code));
        self.expect_end();
    }

    /// Closes from this side, orderly.
    ///
    /// # Panics
    ///
    /// If something else comes.
    #[track_caller]
    pub fn close(&mut self) {
        self.send(frames::close(1000));
        let _ = self.expect_close(1000);
        self.expect_end();
    }

    fn shown(&self) -> String {
        let start = &self.unread[..self.unread.len().min(200)];
        let text = String::from_utf8_lossy(start);
        format!("{} bytes unread: {text:?}", self.unread.len())
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({:?}, {})", self.stream, self.shown())
    }
}

impl Frame {
    /// The code of a Close frame.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        if self.header.opcode != OpCode::Close {
            return None;
        }
        let code = self.payload.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*code))
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = &self.payload[..self.payload.len().min(60)];
        write!(
            f,
            "{:?}{} of {} bytes: {:?}",
            self.header.opcode,
            if self.header.fin { "" } else { " (more)" },
            self.payload.len(),
            String::from_utf8_lossy(start)
        )
    }
}

impl Reply {
    fn parse_head(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = str::from_utf8(&bytes[..end]).expect("a head is ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().unwrap();
        let status = status_line.strip_prefix("HTTP/1.1 ").unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a header line");
            (name.to_ascii_lowercase(), value.to_owned())
        });
        let reply = Self {
            status: status[..3].parse().unwrap(),
            headers: headers.collect(),
            body: Vec::new(),
        };
        Some((reply, end))
    }

    /// A header by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

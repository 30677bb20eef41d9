//! Two ends that receive what lies in memory: ours, and tungstenite's over an in-memory stream.
//!
//! Both get their input by one copy, as if a socket had been read.

use std::hint::black_box;
use std::io::{self, Read, Write};

use corewire::protocol::deflate::{
    Agreement, Codec, DEFLATE_LEVEL, DEFLATE_THRESHOLD_BYTES, InflateBudget,
};
use corewire::protocol::{
    Env, Event, Flow, Limits, MaskKeys, Output, Role, Scratch, Tick, WebSocket,
};
use tungstenite::protocol::{Role as TheirRole, WebSocketConfig, WebSocketContext};
use tungstenite::{Error as TheirError, Message};

/// What came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Received {
    fn add(&mut self, payload: &[u8]) {
        self.messages += 1;
        self.bytes += black_box(payload).len();
    }
}

/// What a core lends its connections.
pub(crate) struct Lent {
    limits: Limits,
    codec: Codec,
    scratch: Scratch,
}

impl Lent {
    pub(crate) fn new() -> Self {
        Self {
            limits: Limits::default(),
            codec: Codec::new(
                DEFLATE_LEVEL,
                InflateBudget::new(InflateBudget::DEFAULT_BYTES),
            ),
            scratch: Scratch::default(),
        }
    }

    pub(crate) fn env(&mut self) -> Env<'_> {
        Env {
            now: Tick(0),
            limits: &self.limits,
            codec: &mut self.codec,
            deflate_min_bytes: DEFLATE_THRESHOLD_BYTES,
            scratch: &mut self.scratch,
            mask_keys: MaskKeys::None,
        }
    }

    /// A server's end of a connection.
    pub(crate) fn websocket(&self, agreement: Option<Agreement>) -> WebSocket {
        WebSocket::new(Role::Server, agreement, Tick(0), &self.limits)
    }
}

/// Our end.
pub(crate) struct Receiver {
    lent: Lent,
    websocket: WebSocket,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

impl Receiver {
    pub(crate) fn new(buffer_bytes: usize) -> Self {
        let lent = Lent::new();
        Self {
            websocket: lent.websocket(None),
            lent,
            buffer: vec![0; buffer_bytes],
            out: Vec::new(),
        }
    }

    /// Receives all of `stream` in one read.
    pub(crate) fn receive(&mut self, stream: &[u8]) -> Received {
        let mut received = Received::default();
        let mut input = &mut self.buffer[..stream.len()];
        input.copy_from_slice(stream);
        self.websocket.heard(Tick(0));
        loop {
            let mut output = Output {
                bytes: &mut self.out,
                flow: Flow::Open,
            };
            let mut env = self.lent.env();
            match self.websocket.next_event(&mut input, &mut env, &mut output) {
                Ok(Some(Event::Message(_, payload))) => received.add(&payload),
                Ok(None) => return received,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// tungstenite's end.
pub(crate) struct TheirReceiver {
    websocket: WebSocketContext,
    out: Vec<u8>,
}

impl TheirReceiver {
    pub(crate) fn new(buffer_bytes: usize) -> Self {
        Self {
            websocket: their_websocket(buffer_bytes),
            out: Vec::new(),
        }
    }

    /// Receives all of `stream`; one more read finds nothing.
    pub(crate) fn receive(&mut self, stream: &[u8]) -> Received {
        let mut received = Received::default();
        let mut stream = Memory::new(stream, &mut self.out);
        while let Some(message) = their_next(&mut self.websocket, &mut stream) {
            let payload = message.into_data();
            received.add(&payload);
        }
        received
    }
}

/// A server's end of tungstenite. Before every read it fills its receive buffer with zeros, so a
/// buffer as large as what comes suits it best.
pub(crate) fn their_websocket(buffer_bytes: usize) -> WebSocketContext {
    let config = WebSocketConfig::default().read_buffer_size(buffer_bytes);
    WebSocketContext::new(TheirRole::Server, Some(config))
}

/// tungstenite's next message, `None` when the stream has no more.
pub(crate) fn their_next(
    websocket: &mut WebSocketContext,
    stream: &mut Memory<'_>,
) -> Option<Message> {
    match websocket.read(stream) {
        Ok(message) => Some(message),
        Err(TheirError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

/// A socket that never blocks until its input is used up.
#[derive(Debug)]
pub(crate) struct Memory<'a> {
    input: &'a [u8],
    output: &'a mut Vec<u8>,
}

impl<'a> Memory<'a> {
    pub(crate) const fn new(input: &'a [u8], output: &'a mut Vec<u8>) -> Self {
        Self { input, output }
    }
}

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            bytes => Ok(bytes),
        }
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! tungstenite over an in-memory stream. It gets its input by one copy, as our
//! [`Receiver`](corewire_testkit::Receiver) does.

use std::io::{self, Read, Write};

use corewire_testkit::receiver::Received;
use tungstenite::protocol::{Role as TheirRole, WebSocketConfig, WebSocketContext};
use tungstenite::{Error as TheirError, Message};

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

//! A server's end of a connection without an engine around it.
//!
//! It receives what lies in memory, by one copy, as if a socket had been read.

use std::hint::black_box;

use corewire::protocol::deflate::{
    Agreement, Codec, DEFLATE_LEVEL, DEFLATE_THRESHOLD_BYTES, InflateBudget,
};
use corewire::protocol::{
    Env, Event, Flow, Limits, MaskKeys, Output, Role, Scratch, Tick, WebSocket,
};

/// What came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// How many messages.
    pub messages: usize,
    /// Bytes of their payloads.
    pub bytes: usize,
}

impl Received {
    /// Counts one more message.
    pub fn add(&mut self, payload: &[u8]) {
        self.messages += 1;
        self.bytes += black_box(payload).len();
    }
}

/// What a core lends its connections, with default limits.
#[derive(Debug)]
pub struct Lent {
    limits: Limits,
    codec: Codec,
    scratch: Scratch,
}

impl Lent {
    /// Nothing is agreed upon, and no time passes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            limits: Limits::default(),
            codec: Codec::new(
                DEFLATE_LEVEL,
                InflateBudget::new(InflateBudget::DEFAULT_BYTES),
            ),
            scratch: Scratch::default(),
        }
    }

    /// For one call into the protocol layer.
    pub fn env(&mut self) -> Env<'_> {
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
    #[must_use]
    pub fn websocket(&self, agreement: Option<Agreement>) -> WebSocket {
        WebSocket::new(Role::Server, agreement, Tick(0), &self.limits)
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Receiver {
    lent: Lent,
    websocket: WebSocket,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

impl Receiver {
    /// With a receive buffer of so many bytes.
    #[must_use]
    pub fn new(buffer_bytes: usize) -> Self {
        let lent = Lent::new();
        Self {
            websocket: lent.websocket(None),
            lent,
            buffer: vec![0; buffer_bytes],
            out: Vec::new(),
        }
    }

    /// Receives all of `stream` in one read.
    ///
    /// # Panics
    ///
    /// If it holds anything but messages, or more than fits into the buffer.
    pub fn receive(&mut self, stream: &[u8]) -> Received {
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

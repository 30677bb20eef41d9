//! The client's end of one WebSocket, without I/O: its handshake, then frames.
//!
//! ```text
//!   Shaking ──101──▶ Open ──Close──▶ Ended
//!      └─ any other answer, a broken rule ─▶ Ended
//! ```

use std::fmt;

use corewire_protocol::deflate::{
    Agreement, Codec, DEFLATE_LEVEL, DEFLATE_THRESHOLD_BYTES, DeflateConfig, InflateBudget,
};
use corewire_protocol::handshake::{
    ClientHandshake, ClientRequest, ExtraHeaders, HeadBytes, HeadScanner, HeaderSpace,
    ResponseError, ResponseHead,
};
use corewire_protocol::native::Dialect;
use corewire_protocol::{
    CloseCode, Env, Event, Flow, Limits, MaskKeys, MessageKind, Output, Role, Scratch, Tick,
    WebSocket,
};

use crate::machine::Loss;
use crate::url::ServerUrl;

/// Bytes of a message from the server, after inflating.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of messages that are being inflated.
const INFLATE_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

/// Messages of more bytes are not compressed: servers end a connection whose data inflate to more
/// than a hundred times their size, but do not look at the first 64 KiB.
const COMPRESSED_BYTES_MAX: usize = 64 << 10;
/// Bytes to be sent above which a ping is answered later.
const ANSWERS_BYTES: usize = 128 << 10;

/// Gives a masking key for each frame, which nobody can predict (RFC 6455, 10.3).
pub type NextKey = Box<dyn FnMut() -> [u8; 4] + Send>;

/// What is asked of the server in the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Ways to write the protocol, the best liked first.
    pub dialects: Vec<Dialect>,
    /// The most that permessage-deflate may do, `None` not to offer it.
    pub deflate: Option<DeflateConfig>,
    /// Further headers, such as Origin.
    pub headers: ExtraHeaders,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            dialects: vec![Dialect::Binary, Dialect::Json],
            deflate: Some(DeflateConfig::default()),
            headers: ExtraHeaders::default(),
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Wire {
    stage: Stage,
    core: Core,
}

#[derive(Debug)]
enum Stage {
    Shaking {
        handshake: ClientHandshake,
        scanner: HeadScanner,
        head: Vec<u8>,
    },
    Open {
        websocket: Box<WebSocket>,
    },
    Ended,
}

/// What a connection borrows for a call.
struct Core {
    limits: Limits,
    codec: Codec,
    scratch: Scratch,
    mask_keys: NextKey,
    now: Tick,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Core")
    }
}

/// What has come.
#[derive(Debug)]
pub enum Arrival<'a> {
    /// The handshake is done.
    Opened(Dialect),
    /// A message.
    Message(&'a [u8]),
}

impl Wire {
    /// Appends the request to `out`. `nonce` is new and random for each connection.
    ///
    /// # Errors
    ///
    /// There is no such request.
    pub fn new(
        url: &ServerUrl,
        offer: &Offer,
        nonce: [u8; 16],
        mask_keys: NextKey,
        out: &mut Vec<u8>,
    ) -> Result<Self, Loss> {
        let names: Vec<_> = offer.dialects.iter().map(|one| one.subprotocol()).collect();
        let request = ClientRequest {
            host: url.authority(),
            target: url.target(),
            subprotocols: &names,
            deflate: offer.deflate,
            extra: &offer.headers,
        };
        let handshake = request
            .write(nonce, out)
            .map_err(|error| Loss::Unreachable(error.to_string().into()))?;
        let limits = Limits {
            message_bytes: MESSAGE_BYTES_MAX,
            // Who is silent is found by the protocol above.
            ping_interval_ms: 0,
            // We have chosen the server, and its messages are bounded: what compresses well may.
            inflate_ratio: u32::MAX,
            ..Limits::default()
        };
        Ok(Self {
            stage: Stage::Shaking {
                handshake,
                scanner: HeadScanner::new(),
                head: Vec::new(),
            },
            core: Core {
                limits,
                codec: Codec::new(DEFLATE_LEVEL, InflateBudget::new(INFLATE_BYTES_MAX)),
                scratch: Scratch::default(),
                mask_keys,
                now: Tick(0),
            },
        })
    }

    /// Takes in what has arrived, and calls `arrive` for each thing that it adds up to. Answers of
    /// the protocol are appended to `out`.
    ///
    /// # Errors
    ///
    /// The connection is at its end: `out` is to be sent still.
    pub fn receive(
        &mut self,
        input: &mut [u8],
        now_ms: u64,
        out: &mut Vec<u8>,
        mut arrive: impl FnMut(Arrival<'_>),
    ) -> Result<(), Loss> {
        self.core.now = tick(now_ms);
        let mut rest;
        let mut input = input;
        if let Stage::Shaking {
            handshake,
            scanner,
            head,
        } = &mut self.stage
        {
            head.extend_from_slice(input);
            let read = scanner.scan(head, &self.core.limits);
            let Some(scanned) = read.map_err(|error| Loss::Broken(error.to_string().into()))?
            else {
                return Ok(());
            };
            let (dialect, agreement) = shake(handshake, scanned)?;
            let len = scanned.len();
            rest = head.split_off(len);
            let limits = &self.core.limits;
            let websocket = WebSocket::new(Role::Client, agreement, self.core.now, limits);
            self.stage = Stage::Open {
                websocket: Box::new(websocket),
            };
            arrive(Arrival::Opened(dialect));
            input = &mut rest;
        }
        let Stage::Open { websocket } = &mut self.stage else {
            return Ok(());
        };
        websocket.heard(self.core.now);
        loop {
            let flow = if out.len() < ANSWERS_BYTES {
                Flow::Open
            } else {
                Flow::Blocked
            };
            let mut output = Output { bytes: out, flow };
            match websocket.next_event(&mut input, &mut self.core.env(), &mut output) {
                Ok(Some(Event::Message(_, payload))) => arrive(Arrival::Message(&payload)),
                Ok(Some(Event::Ping(_) | Event::Pong(_))) => {}
                Ok(Some(Event::Close { code, reason })) => {
                    self.stage = Stage::Ended;
                    return Err(Loss::Closed {
                        code,
                        reason: reason.into(),
                    });
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.stage = Stage::Ended;
                    return Err(Loss::Broken(error.to_string().into()));
                }
            }
        }
    }

    /// Appends a message.
    pub fn send(&mut self, kind: MessageKind, payload: &[u8], out: &mut Vec<u8>) {
        if let Stage::Open { websocket } = &mut self.stage {
            let mut env = self.core.env();
            if payload.len() > COMPRESSED_BYTES_MAX {
                env.deflate_min_bytes = usize::MAX;
            }
            // After the end nobody needs it.
            let _ = websocket.send(kind, payload, &mut env, out);
        }
    }

    /// Appends the pong that had to wait because too much was to be sent.
    pub fn catch_up(&mut self, out: &mut Vec<u8>) {
        if let Stage::Open { websocket } = &mut self.stage
            && websocket.has_late_pong()
            && out.len() < ANSWERS_BYTES
        {
            websocket.send_late_pong(&mut self.core.env(), out);
        }
    }

    /// Appends a Close frame.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if let Stage::Open { websocket } = &mut self.stage {
            websocket.close(CloseCode::NORMAL, "", &mut self.core.env(), out);
        }
    }
}

impl Core {
    fn env(&mut self) -> Env<'_> {
        Env {
            now: self.now,
            limits: &self.limits,
            codec: &mut self.codec,
            deflate_min_bytes: DEFLATE_THRESHOLD_BYTES,
            scratch: &mut self.scratch,
            mask_keys: MaskKeys::From(&mut *self.mask_keys),
        }
    }
}

fn tick(now_ms: u64) -> Tick {
    // A tick counts milliseconds modulo 2^32, so the low half is all of it.
    Tick(u32::try_from(now_ms % (1 << 32)).unwrap_or_default())
}

/// Checks the answer to our request.
fn shake(
    handshake: &ClientHandshake,
    head: HeadBytes<'_>,
) -> Result<(Dialect, Option<Agreement>), Loss> {
    let broken = |error: String| Loss::Broken(error.into());
    let mut space = HeaderSpace::new();
    let response =
        ResponseHead::parse(head, &mut space).map_err(|error| broken(error.to_string()))?;
    match handshake.finish(&response) {
        Ok(established) => {
            let dialect = established.subprotocol.and_then(Dialect::from_subprotocol);
            Ok((dialect.ok_or(Loss::Foreign)?, established.deflate))
        }
        Err(ResponseError::Status(status)) => Err(Loss::Http {
            status,
            retry_ms: retry_after_ms(&response),
        }),
        Err(error) => Err(broken(error.to_string())),
    }
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3). A date would need a clock, and servers that shed
/// load say seconds.
fn retry_after_ms(response: &ResponseHead<'_>) -> Option<u64> {
    let value = response.headers().get("retry-after")?;
    let seconds: u64 = str::from_utf8(value).ok()?.trim().parse().ok()?;
    seconds.checked_mul(1000)
}

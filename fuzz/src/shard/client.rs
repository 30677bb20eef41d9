//! The peer of one connection: what it says, and a check of what it hears.

use corewire::protocol::Role;
use corewire::protocol::frame::{FrameHeader, OpCode, Reserved};

use super::application::{PART_BYTES, WORDS};
use crate::input::Input;
use crate::wire::{self, Deflater, FIN, RSV1};

/// The peer: what it says, and a check of what it hears.
pub(super) struct Client {
    deflater: Option<Deflater>,
    /// Heard and not parsed.
    heard: Vec<u8>,
    expects: Expects,
    message_bytes: usize,
}

/// What the server says next.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expects {
    Responses,
    Frames,
    /// A Close frame has come.
    NoMore,
    /// It said what may be a request of any kind; the answers are not looked at.
    Anything,
}

const UPGRADE: &str = "GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

impl Client {
    pub(super) fn new(message_bytes: usize) -> Self {
        Self {
            deflater: None,
            heard: Vec::new(),
            expects: Expects::Responses,
            message_bytes,
        }
    }

    pub(super) fn says(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let kind = input.below(20);
        if self.expects == Expects::Responses {
            return match kind {
                0..=11 => format!("{UPGRADE}\r\n").into(),
                12..=14 => format!("{UPGRADE}{OFFER}\r\n").into(),
                15 => b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1 + input.below(8)),
                16 => b"GET /page HTTP/1.0\r\n\r\n".to_vec(),
                17 => UPGRADE.replace("/echo", "/refused").into_bytes(),
                18 => UPGRADE.as_bytes()[..usize::from(input.byte()).min(UPGRADE.len())].to_vec(),
                _ => {
                    self.expects = Expects::Anything;
                    input.bytes().to_vec()
                }
            };
        }
        match kind {
            0..=4 => wire::any_frame(Role::Client, input),
            5 => input.bytes().to_vec(),
            6..=8 => {
                let payload = input.payload();
                let first = FIN | 2 | RSV1;
                let payload = self.deflater().deflate(&payload);
                wire::frame(Role::Client, first, &payload, input)
            }
            9..=11 => wire::frame(Role::Client, FIN | 2, b"tiny", input).repeat(input.below(256)),
            12 => wire::frame(Role::Client, FIN | 9, b"ping", input).repeat(input.below(256)),
            _ => {
                let word = input.one_of(WORDS);
                wire::frame(Role::Client, FIN | 1, word.as_bytes(), input)
            }
        }
    }

    fn deflater(&mut self) -> &mut Deflater {
        self.deflater.get_or_insert_with(|| {
            let direction = corewire::protocol::deflate::Direction {
                takeover: corewire::protocol::deflate::Takeover::No,
                window_bits: 15,
            };
            Deflater::new(direction, 6)
        })
    }

    /// Cuts what is heard into responses and frames. Whatever comes, it must be valid.
    pub(super) fn hears(&mut self, bytes: &[u8]) {
        if self.expects == Expects::Anything {
            return;
        }
        self.heard.extend_from_slice(bytes);
        while let Some(bytes) = match self.expects {
            Expects::Responses => self.response(),
            Expects::Frames | Expects::NoMore => self.frame(),
            Expects::Anything => None,
        } {
            self.heard.drain(..bytes);
        }
    }

    /// The length of the response that has been heard.
    fn response(&mut self) -> Option<usize> {
        let end = self.heard.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = str::from_utf8(&self.heard[..end]).unwrap();
        let status: u16 = head.strip_prefix("HTTP/1.1 ").unwrap()[..3]
            .parse()
            .unwrap();
        if status == 101 {
            self.expects = Expects::Frames;
            return Some(end + 4);
        }
        assert!(status == 200 || (400..600).contains(&status), "{head}");
        let length = head.split("Content-Length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        let whole = end + 4 + length;
        (self.heard.len() >= whole).then_some(whole)
    }

    /// The length of the frame that has been heard.
    fn frame(&mut self) -> Option<usize> {
        let header = FrameHeader::parse(&self.heard, Role::Client, Reserved::Rsv1Compressed);
        let (header, bytes) = header.unwrap()?;
        assert!(header.fin, "the server sends no fragments");
        let most = self.message_bytes.max(PART_BYTES);
        assert!(
            header.payload_bytes <= most as u64,
            "larger than anything that it was sent"
        );
        let whole = bytes + usize::try_from(header.payload_bytes).unwrap();
        if self.heard.len() < whole {
            return None;
        }
        assert_ne!(
            self.expects,
            Expects::NoMore,
            "{header:?} after a Close frame"
        );
        if header.opcode == OpCode::Close {
            self.expects = Expects::NoMore;
        }
        Some(whole)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {} bytes heard", self.expects, self.heard.len())
    }
}

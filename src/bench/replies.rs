//! What comes back on one connection, read by the headers.
//!
//! Of every reply the kind, the length and, by position, the order are checked, which costs
//! nothing beyond the header; of the first and of one in [`SAMPLE_EVERY`] the content, byte for
//! byte. Payloads are skipped where they lie and copied only to inflate a sample. A reply may come
//! in any fragments and reads.
//!
//! ```text
//!             header                        payload complete
//!   Header ------------> Data / Control ----------------------> Header
//! ```

use corewire_protocol::close::CloseFrame;
use corewire_protocol::frame::{FrameHeader, OpCode};

use super::error::Fault;
use super::messages::{Messages, control_frame, inflates_to};

/// One reply in so many has its content compared, on every connection; the first always.
pub(super) const SAMPLE_EVERY: u64 = 64;

/// The replies of one connection.
#[derive(Debug)]
pub(super) struct Replies {
    stage: Stage,
    /// The place in the ring of the message that is answered next.
    place: usize,
    message: Message,
    totals: Totals,
    /// What can be read only when it is complete: a header or the payload of a control frame.
    held: Vec<u8>,
    /// A sample that must be inflated before it is compared.
    compressed: Vec<u8>,
}

/// What has come so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    /// Messages, complete and right.
    pub(super) messages: u64,
    /// Those whose content was compared.
    pub(super) compared: u64,
    /// Pongs.
    pub(super) pongs: u64,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Between frames, or in a header.
    Header,
    /// In a frame of a message.
    Data { left: u64, fin: bool },
    /// In a control frame.
    Control { opcode: OpCode, left: u64 },
}

/// The message that is coming.
#[derive(Debug)]
struct Message {
    /// A fragment has come and the last has not.
    begun: bool,
    /// Payload bytes of it that have come.
    bytes: u64,
    check: Check,
}

#[derive(Debug, Clone, Copy)]
enum Check {
    /// Its length, when it ends.
    Length,
    /// Its content, as it comes.
    Content,
    /// Nothing: it is compressed, and not a sample.
    Nothing,
    /// Its content, inflated when it ends.
    Inflated,
}

impl Replies {
    /// The replies to messages from `place` in the ring on.
    pub(super) const fn new(place: usize) -> Self {
        Self {
            stage: Stage::Header,
            place,
            message: Message {
                begun: false,
                bytes: 0,
                check: Check::Length,
            },
            totals: Totals {
                messages: 0,
                compared: 0,
                pongs: 0,
            },
            held: Vec::new(),
            compressed: Vec::new(),
        }
    }

    pub(super) const fn totals(&self) -> Totals {
        self.totals
    }

    /// Reads `bytes`. Pongs that are due are appended to `pongs`.
    pub(super) fn read(
        &mut self,
        mut bytes: &[u8],
        messages: &Messages,
        pongs: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        while !bytes.is_empty() {
            match self.stage {
                Stage::Header => match self.header(bytes, messages)? {
                    Some((header, len)) => {
                        bytes = &bytes[len..];
                        self.begin_frame(&header, messages, pongs)?;
                    }
                    None => return Ok(()),
                },
                Stage::Data { left, fin } => {
                    let (part, rest) = split(bytes, left);
                    let left = left - part.len() as u64;
                    bytes = rest;
                    self.take_data(part, messages)?;
                    self.stage = Stage::Data { left, fin };
                    if left == 0 {
                        self.end_frame(fin, messages)?;
                    }
                }
                Stage::Control { opcode, left } => {
                    let (part, rest) = split(bytes, left);
                    let left = left - part.len() as u64;
                    bytes = rest;
                    self.held.extend_from_slice(part);
                    self.stage = Stage::Control { opcode, left };
                    if left == 0 {
                        self.end_control(opcode, pongs)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The header that `bytes` go on with, and how many of them belong to it. `None`: they all do,
    /// and more are missing.
    fn header(
        &mut self,
        bytes: &[u8],
        messages: &Messages,
    ) -> Result<Option<(FrameHeader, usize)>, Fault> {
        let parse = |bytes: &[u8]| FrameHeader::parse(bytes, messages.role(), messages.reserved());
        if self.held.is_empty() {
            let parsed = parse(bytes)?;
            if parsed.is_none() {
                self.held.extend_from_slice(bytes);
            }
            return Ok(parsed);
        }
        for (place, byte) in bytes.iter().enumerate() {
            self.held.push(*byte);
            if let Some((header, _)) = parse(&self.held)? {
                self.held.clear();
                return Ok(Some((header, place + 1)));
            }
        }
        Ok(None)
    }

    fn begin_frame(
        &mut self,
        header: &FrameHeader,
        messages: &Messages,
        pongs: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let left = header.payload_bytes;
        match header.opcode {
            OpCode::Close | OpCode::Ping | OpCode::Pong => {
                self.stage = Stage::Control {
                    opcode: header.opcode,
                    left,
                };
                if left == 0 {
                    self.end_control(header.opcode, pongs)?;
                }
                return Ok(());
            }
            OpCode::Continuation if !self.message.begun => {
                return Err(corewire_protocol::Error::ContinuationUnexpected.into());
            }
            OpCode::Continuation => {}
            OpCode::Text | OpCode::Binary if self.message.begun => {
                return Err(corewire_protocol::Error::ContinuationExpected.into());
            }
            OpCode::Text | OpCode::Binary => {
                if header.opcode != messages.opcode() {
                    return Err(Fault::Kind);
                }
                self.begin_message(header.compressed);
            }
        }
        // Told at the header, so that a reply that announces 2^62 bytes is not waited for.
        let received = self.message.bytes.saturating_add(left);
        let plain = matches!(self.message.check, Check::Length | Check::Content);
        if plain && received > messages.size() as u64 {
            return Err(self.wrong_length(received, messages));
        }
        self.stage = Stage::Data {
            left,
            fin: header.fin,
        };
        if left == 0 {
            self.end_frame(header.fin, messages)?;
        }
        Ok(())
    }

    fn begin_message(&mut self, compressed: bool) {
        let sample = self.totals.messages.is_multiple_of(SAMPLE_EVERY);
        self.message = Message {
            begun: true,
            bytes: 0,
            check: match (sample, compressed) {
                (false, false) => Check::Length,
                (true, false) => Check::Content,
                (false, true) => Check::Nothing,
                (true, true) => Check::Inflated,
            },
        };
    }

    fn take_data(&mut self, part: &[u8], messages: &Messages) -> Result<(), Fault> {
        match self.message.check {
            Check::Length | Check::Nothing => {}
            Check::Content => {
                let from = usize::try_from(self.message.bytes).unwrap_or(usize::MAX);
                let expected = messages.expected(self.place);
                // begin_frame has checked that the payload is not longer than what was sent.
                if expected[from..from + part.len()] != *part {
                    return Err(self.wrong_content());
                }
            }
            Check::Inflated => self.compressed.extend_from_slice(part),
        }
        self.message.bytes += part.len() as u64;
        Ok(())
    }

    fn end_frame(&mut self, fin: bool, messages: &Messages) -> Result<(), Fault> {
        self.stage = Stage::Header;
        if !fin {
            return Ok(());
        }
        match self.message.check {
            Check::Length => {
                if self.message.bytes != messages.size() as u64 {
                    return Err(self.wrong_length(self.message.bytes, messages));
                }
            }
            Check::Content => {
                if self.message.bytes != messages.size() as u64 {
                    return Err(self.wrong_length(self.message.bytes, messages));
                }
                self.totals.compared += 1;
            }
            Check::Nothing => {}
            Check::Inflated => {
                if !inflates_to(&self.compressed, messages.expected(self.place)) {
                    return Err(self.wrong_content());
                }
                self.compressed.clear();
                self.totals.compared += 1;
            }
        }
        self.message.begun = false;
        self.totals.messages += 1;
        self.place += 1;
        if self.place == messages.count() {
            self.place = 0;
        }
        Ok(())
    }

    fn end_control(&mut self, opcode: OpCode, pongs: &mut Vec<u8>) -> Result<(), Fault> {
        self.stage = Stage::Header;
        match opcode {
            OpCode::Ping => control_frame(OpCode::Pong, &self.held, pongs),
            OpCode::Pong => self.totals.pongs += 1,
            OpCode::Close => return Err(Fault::Closed(CloseFrame::parse(&self.held)?.code)),
            OpCode::Continuation | OpCode::Text | OpCode::Binary => {}
        }
        self.held.clear();
        Ok(())
    }

    const fn wrong_length(&self, received: u64, messages: &Messages) -> Fault {
        Fault::Length {
            reply: self.totals.messages,
            sent: messages.size() as u64,
            received,
        }
    }

    const fn wrong_content(&self) -> Fault {
        Fault::Content {
            reply: self.totals.messages,
        }
    }
}

/// At most `len` bytes, and the rest.
fn split(bytes: &[u8], len: u64) -> (&[u8], &[u8]) {
    bytes.split_at(usize::try_from(len).map_or(bytes.len(), |len| len.min(bytes.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::messages::{Content, Deflate};
    use crate::bench::target::Scheme;

    #[test]
    fn an_echo_is_counted_however_it_is_cut() {
        let messages = binary(200);
        let mut bytes = frame(0x82, messages.expected(0));
        bytes.extend(frame(0x02, &messages.expected(1)[..50]));
        bytes.extend(frame(0x89, b"alive?"));
        bytes.extend(frame(0x00, b""));
        bytes.extend(frame(0x80, &messages.expected(1)[50..]));
        for cut in 0..=bytes.len() {
            let (mut replies, mut pongs) = (Replies::new(0), Vec::new());
            for part in [&bytes[..cut], &bytes[cut..]] {
                replies.read(part, &messages, &mut pongs).unwrap();
            }
            assert_eq!(replies.totals().messages, 2, "cut at {cut}");
            assert_eq!(replies.totals().compared, 1);
            let mut pong = Vec::new();
            control_frame(OpCode::Pong, b"alive?", &mut pong);
            assert_eq!(pongs, pong);
        }
    }

    #[test]
    fn what_is_not_an_echo_is_a_fault() {
        let messages = binary(200);
        let mut changed = messages.expected(0).to_vec();
        changed[199] ^= 1;
        let refused = |bytes: &[u8]| {
            Replies::new(0)
                .read(bytes, &messages, &mut Vec::new())
                .unwrap_err()
        };
        assert!(matches!(
            refused(&frame(0x82, &changed)),
            Fault::Content { reply: 0 }
        ));
        let next = frame(0x82, messages.expected(1));
        assert!(matches!(refused(&next), Fault::Content { reply: 0 }));
        let text = frame(0x81, messages.expected(0));
        assert!(matches!(refused(&text), Fault::Kind));
        let short = frame(0x82, &messages.expected(0)[..199]);
        assert!(matches!(
            refused(&short),
            Fault::Length { received: 199, .. }
        ));
        let huge = [0x82, 127, 0x40, 0, 0, 0, 0, 0, 0, 0];
        assert!(matches!(refused(&huge), Fault::Length { .. }));
        let fragments = [frame(0x02, b"a"), frame(0x82, b"b")].concat();
        assert!(matches!(
            refused(&fragments),
            Fault::Content { .. } | Fault::Protocol(_)
        ));
        let close = frame(0x88, &1008_u16.to_be_bytes());
        assert!(matches!(refused(&close), Fault::Closed(Some(code)) if code.0 == 1008));
    }

    #[test]
    fn later_replies_are_compared_too() {
        let messages = binary(200);
        let mut replies = Replies::new(0);
        for number in 0..SAMPLE_EVERY {
            let place = usize::try_from(number).unwrap() % messages.count();
            let right = frame(0x82, messages.expected(place));
            replies.read(&right, &messages, &mut Vec::new()).unwrap();
        }
        let wrong = replies.read(&frame(0x82, &[0; 200]), &messages, &mut Vec::new());
        assert!(matches!(
            wrong,
            Err(Fault::Content {
                reply: SAMPLE_EVERY
            })
        ));
    }

    #[test]
    fn compressed_samples_are_inflated() {
        let messages = Messages::build(
            Scheme::WebSocket,
            Content::Text,
            Deflate::NoTakeover,
            500,
            1,
        )
        .unwrap();
        // What we send is what a server without takeover may send: take off the mask.
        let sent = messages.wire(0..messages.start(1));
        let header = if sent[1] & 0x7f == 126 { 8 } else { 6 };
        let mut payload = sent[header..].to_vec();
        let key = sent[header - 4..header].try_into().unwrap();
        corewire_protocol::frame::mask(&mut payload, key, 0);
        assert!(payload.len() < 400, "{} bytes", payload.len());

        let mut replies = Replies::new(0);
        let read = replies.read(&frame(0xc1, &payload), &messages, &mut Vec::new());
        read.unwrap();
        assert_eq!(replies.totals().compared, 1);
        // A server need not compress (RFC 7692, 6).
        let plain = frame(0x81, messages.expected(0));
        let read = Replies::new(0).read(&plain, &messages, &mut Vec::new());
        read.unwrap();
        let read = Replies::new(1).read(&frame(0xc1, &payload), &messages, &mut Vec::new());
        assert!(matches!(read, Err(Fault::Content { reply: 0 })));
    }

    fn binary(size: usize) -> Messages {
        Messages::build(Scheme::WebSocket, Content::Binary, Deflate::Off, size, 1).unwrap()
    }

    /// A server's frame: `first` holds FIN, the reserved bits and the opcode.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match u8::try_from(payload.len()) {
            Ok(len @ 0..126) => frame.push(len),
            Ok(_) | Err(_) => {
                frame.push(126);
                frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        frame
    }
}

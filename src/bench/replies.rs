//! What comes back on one connection of an echo run.
//!
//! Of every reply the kind, the length and, by position, the order are checked, which costs
//! nothing beyond the header; of the first and of one in [`SAMPLE_EVERY`] the content, byte for
//! byte. Payloads are skipped where they lie and copied only to inflate a sample. A reply may come
//! in any fragments and reads.

use corewire_protocol::frame::{FrameHeader, OpCode};
use flate2::Decompress;

use super::error::Fault;
use super::frames::{Frames, Payloads};
use super::messages::{Deflate, Messages, inflates_to};

/// One reply in so many has its content compared, on every connection; the first always.
pub(super) const SAMPLE_EVERY: u64 = 64;
/// With context takeover no reply can be inflated without those before it, so one connection in so
/// many has all of its replies compared instead; the first always.
const TAKEOVER_SAMPLE_EVERY: usize = 64;

/// The replies of one connection.
#[derive(Debug)]
pub(super) struct Replies {
    frames: Frames,
    expected: Expected,
}

/// What has come so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    /// Messages, complete and right.
    pub(super) messages: u64,
    /// Those whose content was compared.
    pub(super) compared: u64,
    /// Their payload bytes as they came, so compressed where they were.
    pub(super) payload_bytes: u64,
}

/// What must come next.
#[derive(Debug)]
struct Expected {
    /// The place in the ring of the message that is answered next.
    place: usize,
    message: Message,
    totals: Totals,
    /// A sample that must be inflated before it is compared.
    compressed: Vec<u8>,
    /// With context takeover every reply is a sample, on some connections; this is their context.
    takeover: Option<Box<Decompress>>,
}

/// The message that is coming.
#[derive(Debug)]
struct Message {
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

/// [`Expected`], for the time of one read.
struct Checked<'a> {
    expected: &'a mut Expected,
    messages: &'a Messages,
}

impl Replies {
    /// The replies to messages from `place` in the ring on, on connection `number`.
    pub(super) fn new(number: usize, place: usize, messages: &Messages) -> Self {
        let inflated =
            messages.deflate() == Deflate::Takeover && number.is_multiple_of(TAKEOVER_SAMPLE_EVERY);
        Self {
            frames: Frames::new(messages.role(), messages.reserved()),
            expected: Expected {
                place,
                message: Message {
                    bytes: 0,
                    check: Check::Length,
                },
                totals: Totals {
                    messages: 0,
                    compared: 0,
                    payload_bytes: 0,
                },
                compressed: Vec::new(),
                takeover: inflated.then(|| Box::new(Decompress::new(false))),
            },
        }
    }

    pub(super) const fn totals(&self) -> Totals {
        self.expected.totals
    }

    /// Reads `bytes`. Pongs that are due are appended to `control`.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        messages: &Messages,
        control: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let expected = &mut self.expected;
        self.frames
            .read(bytes, &mut Checked { expected, messages }, control)
    }
}

impl Payloads for Checked<'_> {
    fn begin(&mut self, header: &FrameHeader) -> Result<(), Fault> {
        let size = self.messages.size() as u64;
        let expected = &mut *self.expected;
        if header.opcode != OpCode::Continuation {
            if header.opcode != self.messages.opcode() {
                return Err(Fault::Kind);
            }
            expected.begin(header.compressed, self.messages.deflate());
        }
        // Told at the header, so that a reply that announces 2^62 bytes is not waited for.
        let received = expected.message.bytes.saturating_add(header.payload_bytes);
        let plain = matches!(expected.message.check, Check::Length | Check::Content);
        if plain && received > size {
            return Err(expected.wrong_length(size, received));
        }
        Ok(())
    }

    fn data(&mut self, part: &[u8]) -> Result<(), Fault> {
        let expected = &mut *self.expected;
        match expected.message.check {
            Check::Length | Check::Nothing => {}
            Check::Content => {
                let from = usize::try_from(expected.message.bytes).unwrap_or(usize::MAX);
                let right = self.messages.expected(expected.place);
                // begin has checked that the payload is not longer than what was sent.
                if right[from..from + part.len()] != *part {
                    return Err(expected.wrong_content());
                }
            }
            Check::Inflated => expected.compressed.extend_from_slice(part),
        }
        expected.message.bytes += part.len() as u64;
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let size = self.messages.size() as u64;
        let expected = &mut *self.expected;
        match expected.message.check {
            Check::Length | Check::Content if expected.message.bytes != size => {
                return Err(expected.wrong_length(size, expected.message.bytes));
            }
            Check::Length | Check::Nothing => {}
            Check::Content => expected.totals.compared += 1,
            Check::Inflated => {
                let right = self.messages.expected(expected.place);
                let compressed = &expected.compressed;
                let right = match &mut expected.takeover {
                    Some(inflate) => inflates_to(inflate, compressed, right),
                    None => inflates_to(&mut Decompress::new(false), compressed, right),
                };
                if !right {
                    return Err(expected.wrong_content());
                }
                expected.compressed.clear();
                expected.totals.compared += 1;
            }
        }
        expected.totals.messages += 1;
        expected.totals.payload_bytes += expected.message.bytes;
        expected.place = self.messages.place_after(expected.place, 1);
        Ok(())
    }
}

impl Expected {
    const fn begin(&mut self, compressed: bool, deflate: Deflate) {
        let sample = match (compressed, deflate) {
            (true, Deflate::Takeover) => self.takeover.is_some(),
            (true, Deflate::Off | Deflate::NoTakeover) | (false, _) => {
                self.totals.messages.is_multiple_of(SAMPLE_EVERY)
            }
        };
        self.message = Message {
            bytes: 0,
            check: match (sample, compressed) {
                (false, false) => Check::Length,
                (true, false) => Check::Content,
                (false, true) => Check::Nothing,
                (true, true) => Check::Inflated,
            },
        };
    }

    const fn wrong_length(&self, sent: u64, received: u64) -> Fault {
        Fault::Length {
            reply: self.totals.messages,
            sent,
            received,
        }
    }

    const fn wrong_content(&self) -> Fault {
        Fault::Content {
            reply: self.totals.messages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::messages::{Content, control_frame};
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
            let (mut replies, mut pongs) = (Replies::new(0, 0, &messages), Vec::new());
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
            Replies::new(0, 0, &messages)
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
        let mut replies = Replies::new(0, 0, &messages);
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
        let sent = messages.wire(0, messages.start(1));
        let header = if sent[1] & 0x7f == 126 { 8 } else { 6 };
        let mut payload = sent[header..].to_vec();
        let key = sent[header - 4..header].try_into().unwrap();
        corewire_protocol::frame::mask(&mut payload, key, 0);
        assert!(payload.len() < 400, "{} bytes", payload.len());

        let mut replies = Replies::new(0, 0, &messages);
        let read = replies.read(&frame(0xc1, &payload), &messages, &mut Vec::new());
        read.unwrap();
        assert_eq!(replies.totals().compared, 1);
        // A server need not compress (RFC 7692, 6).
        let plain = frame(0x81, messages.expected(0));
        let read = Replies::new(0, 0, &messages).read(&plain, &messages, &mut Vec::new());
        read.unwrap();
        let read =
            Replies::new(0, 1, &messages).read(&frame(0xc1, &payload), &messages, &mut Vec::new());
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

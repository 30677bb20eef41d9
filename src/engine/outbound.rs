//! What waits to be written to one connection.
//!
//! Small frames gather in one buffer; large payloads and prepared messages are kept by reference
//! between them. A core has one `Outbound` that its connections use in turn, so a connection whose
//! peer takes everything at once owns none. What a socket did not take stays in the `Outbound` it
//! was gathered in, which then becomes the connection's own.

use std::collections::VecDeque;
use std::io::IoSlice;

use corewire_protocol::PreparedRun;
use corewire_protocol::message::{BufferPool, Form, PreparedMessage};

/// Bytes from which a payload is kept by reference. Below, copying it beside its neighbours is
/// cheaper than one more part of a gathered write.
pub(crate) const BY_REFERENCE_BYTES_MIN: usize = 4 << 10;
/// A part of gathered frames ends at the first frame that reaches this size, so that a control
/// frame need not wait for more before it can go in between.
const PART_BYTES: usize = 16 << 10;
/// An emptied gathering buffer larger than this is freed.
const KEPT_BYTES_MAX: usize = 256 << 10;
/// Parts handed to one gathered write.
pub const SLICES_MAX: usize = 16;

/// The queue. See the [module](self).
///
/// What was gathered last, the tail, is not a part yet: a turn whose output is written at once
/// never makes one.
#[derive(Debug, Default)]
pub struct Outbound {
    replies: Replies,
    parts: VecDeque<Part>,
    /// Bytes of all parts that wait.
    parts_bytes: usize,
    /// Bytes of the first part that were written.
    first_sent: usize,
    /// The bytes of all [`Part::Gathered`], from `gathered_start` to `tail_start`, and the tail.
    gathered: Vec<u8>,
    gathered_start: usize,
    tail_start: usize,
    urgent: Urgent,
}

/// What stands in the core's receive buffer.
#[derive(Debug, Default)]
struct Replies {
    /// Bytes that wait.
    bytes: usize,
    /// Whether there may be any: whether the receive buffer can be had.
    place: Place,
}

/// Where replies are while they wait.
#[derive(Debug, Default)]
enum Place {
    /// There are none.
    #[default]
    Nowhere,
    /// In front of the input that is being handled.
    Input,
    /// In the receive buffer, which is held here. So many bytes were written.
    Held { buffer: Vec<u8>, sent: usize },
}

#[derive(Debug)]
enum Part {
    /// Whole frames, or a header whose payload is the next part, in the gathering buffer.
    Gathered {
        bytes: usize,
        ends: Ends,
    },
    /// The payload of the header before it.
    Payload(Vec<u8>),
    Prepared(PreparedMessage, Form),
    /// Several of them.
    Run(PreparedRun),
    /// What is left of the replies in the receive buffer: whole frames, of which the first one's
    /// front may have been written.
    Replies(Vec<u8>),
    /// Control frames that go before what was queued earlier.
    Urgent(Vec<u8>),
}

/// What stands at the end of a gathered part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// The end of a frame: a control frame may come next.
    Frame,
    /// The header of the payload in the next part.
    Header,
}

/// Whether a control frame waits that overtook data. One at a time, so that pings cannot grow the
/// queue.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Urgent {
    #[default]
    None,
    Queued,
}

impl Outbound {
    pub(crate) const fn is_empty(&self) -> bool {
        self.queued_bytes() == 0
    }

    /// Bytes that wait, those kept by reference included.
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.replies.bytes + self.parts_bytes + self.tail_bytes()
    }

    const fn tail_bytes(&self) -> usize {
        self.gathered.len() - self.tail_start
    }

    /// The receive buffer is about to be handled, and replies may stand in it: nothing waits that
    /// they would overtake.
    pub(crate) fn begin_replies(&mut self) {
        if self.is_empty() {
            self.replies.place = Place::Input;
        }
    }

    /// Whether a reply may still be built in the receive buffer: not after anything was gathered,
    /// which it would overtake.
    pub(crate) const fn takes_replies(&self) -> bool {
        matches!(self.replies.place, Place::Input) && self.parts_bytes + self.tail_bytes() == 0
    }

    /// A reply of so many bytes was built in the receive buffer, behind the others.
    pub(crate) const fn reply(&mut self, bytes: usize) {
        self.replies.bytes += bytes;
    }

    /// The receive buffer was handled. It is held if replies stand in it, and handed back
    /// otherwise.
    pub(crate) fn end_replies(&mut self, buffer: Vec<u8>) -> Option<Vec<u8>> {
        if self.replies.bytes == 0 {
            self.replies.place = Place::Nowhere;
            return Some(buffer);
        }
        self.replies.place = Place::Held { buffer, sent: 0 };
        None
    }

    /// Hands the receive buffer back, if it is held. Replies that still wait are copied.
    pub(crate) fn give_back(&mut self) -> Option<Vec<u8>> {
        let Place::Held { buffer, sent } = std::mem::take(&mut self.replies.place) else {
            return None;
        };
        let bytes = std::mem::take(&mut self.replies.bytes);
        if bytes > 0 {
            self.parts_bytes += bytes;
            let left = Part::Replies(buffer[sent..sent + bytes].to_vec());
            self.parts.push_front(left);
        }
        Some(buffer)
    }

    /// Lets `write` append whole frames to the gathering buffer.
    pub(crate) fn gather<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let result = write(&mut self.gathered);
        if self.tail_bytes() >= PART_BYTES {
            self.end_tail(Ends::Frame);
        }
        result
    }

    /// Appends a header with `write` and its payload by reference, if `write` says so.
    pub(crate) fn lend<E>(
        &mut self,
        payload: Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        write(&mut self.gathered)?;
        self.end_tail(Ends::Header);
        self.push(Part::Payload(payload));
        Ok(())
    }

    /// Appends a prepared message: small ones as bytes, large ones by reference.
    pub(crate) fn prepared(&mut self, message: &PreparedMessage, form: Form) {
        let frame = message.frame(form);
        if frame.len() < BY_REFERENCE_BYTES_MIN {
            self.gather(|bytes| bytes.extend_from_slice(frame));
        } else {
            self.end_tail(Ends::Frame);
            self.push(Part::Prepared(message.clone(), form));
        }
    }

    /// Appends a run of prepared messages: a small one as bytes, a large one by reference.
    pub(crate) fn run(&mut self, run: &PreparedRun) {
        if run.bytes().len() < BY_REFERENCE_BYTES_MIN {
            self.gather(|bytes| bytes.extend_from_slice(run.bytes()));
        } else {
            self.end_tail(Ends::Frame);
            self.push(Part::Run(run.clone()));
        }
    }

    /// Puts a control frame before all frames of which no byte was written. Returns false, and
    /// takes nothing, while another one waits.
    pub(crate) fn overtake(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.urgent == Urgent::Queued {
            return false;
        }
        let mut frame = Vec::new();
        write(&mut frame);
        self.end_tail(Ends::Frame);
        // A part that is partly written is finished first, and so is a frame of several parts.
        let begun = match self.parts.front() {
            Some(Part::Payload(_) | Part::Replies(_)) => true,
            Some(Part::Gathered { .. } | Part::Prepared(..) | Part::Run(_) | Part::Urgent(_))
            | None => self.first_sent > 0,
        };
        let mut place = usize::from(begun);
        while place > 0 && !self.parts.get(place - 1).is_none_or(Part::ends_frame) {
            place += 1;
        }
        self.parts_bytes += frame.len();
        self.parts
            .insert(place.min(self.parts.len()), Part::Urgent(frame));
        self.urgent = Urgent::Queued;
        true
    }

    /// The bytes to write next, if they are in one place: a turn's replies, or what it has gathered.
    #[must_use]
    pub fn in_one_place(&self) -> Option<&[u8]> {
        match (self.replies.bytes, self.parts.is_empty()) {
            (0, true) => Some(&self.gathered[self.tail_start..]),
            (bytes, true) if self.tail_bytes() == 0 => match &self.replies.place {
                Place::Held { buffer, sent } => Some(&buffer[*sent..*sent + bytes]),
                Place::Nowhere | Place::Input => None,
            },
            (_, true | false) => None,
        }
    }

    /// The bytes to write next, as parts of one gathered write.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut gathered = &self.gathered[self.gathered_start..];
        let mut skip = self.first_sent;
        let mut count = 0;
        if let Place::Held { buffer, sent } = &self.replies.place
            && self.replies.bytes > 0
        {
            slices[0] = IoSlice::new(&buffer[*sent..sent + self.replies.bytes]);
            count = 1;
        }
        for (part, slice) in self.parts.iter().zip(slices[count..].iter_mut()) {
            let skip = std::mem::take(&mut skip);
            let bytes = match part {
                Part::Gathered { bytes, .. } => {
                    // What was written of the first part is gone from the front already.
                    let (bytes, rest) = gathered.split_at(bytes - skip);
                    gathered = rest;
                    bytes
                }
                Part::Payload(bytes) | Part::Replies(bytes) | Part::Urgent(bytes) => &bytes[skip..],
                Part::Prepared(message, form) => &message.frame(*form)[skip..],
                Part::Run(run) => &run.bytes()[skip..],
            };
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        if let Some(slice) = slices.get_mut(count)
            && self.tail_bytes() > 0
        {
            *slice = IoSlice::new(&self.gathered[self.tail_start..]);
            count += 1;
        }
        count
    }

    /// Takes note that the first `bytes` bytes were written. Payloads that are gone leave their
    /// buffers to the pool.
    pub(crate) fn advance(&mut self, mut bytes: usize, pool: &mut BufferPool) {
        if bytes == self.queued_bytes() {
            self.clear(pool);
            return;
        }
        let of_replies = bytes.min(self.replies.bytes);
        if let Place::Held { sent, .. } = &mut self.replies.place {
            *sent += of_replies;
        }
        self.replies.bytes -= of_replies;
        bytes -= of_replies;
        self.end_tail(Ends::Frame);
        self.parts_bytes -= bytes;
        while let Some(first) = self.parts.front() {
            let left = first.bytes() - self.first_sent;
            let written = bytes.min(left);
            if matches!(first, Part::Gathered { .. }) {
                self.gathered_start += written;
            }
            if written < left {
                self.first_sent += written;
                return;
            }
            bytes -= written;
            if matches!(first, Part::Urgent(_)) {
                self.urgent = Urgent::None;
            }
            self.first_sent = 0;
            if let Some(Part::Payload(buffer)) = self.parts.pop_front() {
                pool.put(buffer);
            }
        }
    }

    /// Gives back what the waiting bytes do not need, for a queue that may wait for long.
    pub(crate) fn shrink(&mut self) {
        self.gathered.drain(..self.gathered_start);
        self.tail_start -= self.gathered_start;
        self.gathered_start = 0;
        self.gathered.shrink_to_fit();
    }

    /// Throws everything away, but for the receive buffer if it is held.
    pub(crate) fn clear(&mut self, pool: &mut BufferPool) {
        self.replies.bytes = 0;
        while let Some(part) = self.parts.pop_front() {
            if let Part::Payload(buffer) = part {
                pool.put(buffer);
            }
        }
        self.parts_bytes = 0;
        self.first_sent = 0;
        if self.gathered.capacity() > KEPT_BYTES_MAX {
            self.gathered = Vec::new();
        } else {
            self.gathered.clear();
        }
        self.gathered_start = 0;
        self.tail_start = 0;
        self.urgent = Urgent::None;
    }

    fn push(&mut self, part: Part) {
        self.parts_bytes += part.bytes();
        self.parts.push_back(part);
    }

    /// Makes the tail a part.
    fn end_tail(&mut self, ends: Ends) {
        let bytes = self.tail_bytes();
        if bytes > 0 {
            self.push(Part::Gathered { bytes, ends });
            self.tail_start = self.gathered.len();
        }
    }
}

impl Part {
    fn bytes(&self) -> usize {
        match self {
            Self::Gathered { bytes, .. } => *bytes,
            Self::Payload(bytes) | Self::Replies(bytes) | Self::Urgent(bytes) => bytes.len(),
            Self::Prepared(message, form) => message.frame(*form).len(),
            Self::Run(run) => run.bytes().len(),
        }
    }

    const fn ends_frame(&self) -> bool {
        match self {
            Self::Gathered { ends, .. } => matches!(ends, Ends::Frame),
            Self::Payload(_)
            | Self::Prepared(..)
            | Self::Run(_)
            | Self::Replies(_)
            | Self::Urgent(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use corewire_protocol::deflate::InflateBudget;
    use corewire_protocol::{Role, WebSocket};
    use proptest::prelude::*;

    use crate::engine::Now;
    use crate::engine::commons::Commons;

    use super::*;

    fn all(outbound: &Outbound) -> Vec<u8> {
        let mut copy = Vec::new();
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = outbound.slices(&mut slices);
        for slice in &slices[..count] {
            copy.extend_from_slice(slice);
        }
        if let Some(bytes) = outbound.in_one_place() {
            assert_eq!(bytes, copy);
        }
        copy
    }

    #[derive(Debug, Clone)]
    enum Op {
        Gather(usize),
        Lend(usize),
        Prepared(usize),
        Run(Vec<usize>),
        /// A read whose messages are answered in the receive buffer, and what is gathered then.
        Replies(Vec<usize>, usize),
        Overtake,
        /// One write, after which the receive buffer goes back if it was held.
        Write(usize),
        Shrink,
    }

    fn run(lens: &[usize]) -> PreparedRun {
        let now = Now::default();
        let budget = InflateBudget::new(0);
        let (options, counters) = (Arc::default(), Arc::default());
        let mut commons = Commons::<()>::new(options, budget, counters, now);
        let websocket = WebSocket::new(Role::Server, None, now.tick, &commons.options.limits);
        let messages: Vec<PreparedMessage> = lens
            .iter()
            .map(|&len| PreparedMessage::binary(&vec![7; len]))
            .collect();
        let run = websocket.prepare_run(&mut messages.iter(), &mut commons.env());
        run.unwrap()
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (1_usize..40_000).prop_map(Op::Gather),
            (1_usize..40_000).prop_map(Op::Lend),
            (0_usize..9000).prop_map(Op::Prepared),
            prop::collection::vec(0_usize..3000, 1..6).prop_map(Op::Run),
            (prop::collection::vec(1_usize..9000, 0..5), 0_usize..9000)
                .prop_map(|(replies, more)| Op::Replies(replies, more)),
            Just(Op::Overtake),
            (0_usize..60_000).prop_map(Op::Write),
            Just(Op::Shrink),
        ]
    }

    proptest! {
        /// Frames leave whole, in order, control frames between any two of them; and the count of
        /// waiting bytes is right at every step.
        #[test]
        fn frames_leave_whole_and_in_order(ops in prop::collection::vec(op(), 1..60)) {
            let mut outbound = Outbound::default();
            let mut pool = BufferPool::default();
            let mut wire = Vec::new();
            let mut number = 0_u8;
            let mut queued: usize = 0;
            // A frame here is its number, its length in three bytes, and the number repeated.
            let frame = |number: u8, len: usize| {
                let len_bytes = u32::try_from(len).unwrap().to_be_bytes();
                let mut bytes = vec![number];
                bytes.extend_from_slice(&len_bytes[1..]);
                bytes.resize(4 + len, number);
                bytes
            };
            for op in ops {
                match op {
                    Op::Gather(len) => {
                        number = number % 200 + 1;
                        outbound.gather(|bytes| bytes.extend_from_slice(&frame(number, len)));
                        queued += len + 4;
                    }
                    Op::Lend(len) => {
                        number = number % 200 + 1;
                        let mut header = frame(number, len);
                        let payload = header.split_off(4);
                        outbound.lend(payload, |bytes| {
                            bytes.extend_from_slice(&header);
                            Ok::<(), ()>(())
                        }).unwrap();
                        queued += len + 4;
                    }
                    Op::Prepared(len) => {
                        let message = PreparedMessage::binary(&vec![7; len]);
                        // Real frames: skipped by the reader below, by their real header.
                        outbound.prepared(&message, Form::Plain);
                        queued += message.frame(Form::Plain).len();
                    }
                    Op::Run(lens) => {
                        let run = run(&lens);
                        outbound.run(&run);
                        queued += run.bytes().len();
                    }
                    Op::Replies(lens, more) => {
                        outbound.begin_replies();
                        let mut buffer = Vec::new();
                        for len in lens {
                            number = number % 200 + 1;
                            queued += len + 4;
                            let frame = frame(number, len);
                            if outbound.takes_replies() {
                                buffer.extend_from_slice(&frame);
                                outbound.reply(frame.len());
                            } else {
                                outbound.gather(|bytes| bytes.extend_from_slice(&frame));
                            }
                        }
                        if more > 0 {
                            number = number % 200 + 1;
                            queued += more + 4;
                            outbound.gather(|bytes| bytes.extend_from_slice(&frame(number, more)));
                        }
                        // What was not answered in place, and is nobody's.
                        buffer.extend_from_slice(&[0xee; 100]);
                        prop_assert!(outbound.end_replies(buffer).is_none_or(|b| b.len() == 100));
                        // One write may come while the buffer is held.
                        let some = all(&outbound);
                        let bytes = some.len() / 3;
                        wire.extend_from_slice(&some[..bytes]);
                        outbound.advance(bytes, &mut pool);
                        queued -= bytes;
                        outbound.give_back();
                    }
                    Op::Overtake => {
                        if outbound.overtake(|bytes| bytes.extend_from_slice(&frame(255, 2))) {
                            queued += 6;
                        }
                    }
                    Op::Write(bytes) => {
                        let some = all(&outbound);
                        let bytes = bytes.min(some.len());
                        wire.extend_from_slice(&some[..bytes]);
                        outbound.advance(bytes, &mut pool);
                        queued -= bytes;
                    }
                    Op::Shrink => outbound.shrink(),
                }
                prop_assert_eq!(outbound.queued_bytes(), queued);
            }
            while !outbound.is_empty() {
                let some = all(&outbound);
                wire.extend_from_slice(&some);
                outbound.advance(some.len(), &mut pool);
            }
            let mut at = 0;
            let mut last = None;
            while at < wire.len() {
                let first = wire[at];
                if first == 0x82 {
                    at += match wire[at + 1] {
                        126 => 4 + usize::from(u16::from_be_bytes([wire[at + 2], wire[at + 3]])),
                        short => 2 + usize::from(short),
                    };
                    continue;
                }
                let len = u32::from_be_bytes([0, wire[at + 1], wire[at + 2], wire[at + 3]]);
                let end = at + 4 + usize::try_from(len).unwrap();
                prop_assert!(wire[at + 4..end].iter().all(|&byte| byte == first), "a torn frame");
                if first != 255 {
                    if let Some(last) = last {
                        prop_assert_eq!(first, last % 200 + 1, "out of order");
                    }
                    last = Some(first);
                }
                at = end;
            }
        }
    }
}

//! The WebSocket stage of a connection: frames in, the handler's calls, frames out.

use corewire_protocol::websocket::{Flow, Inbound, Output};
use corewire_protocol::{Error, Event, Payload, Tick, WebSocket};

use crate::ids::ConnId;

use super::commons::Commons;
use super::conn::Hold;
use super::message::{Bytes, Message};
use super::outbound::Outbound;
use super::service::{End, Fill, Handler};

/// The work that one frame counts as, in bytes.
const FRAME_WORK: usize = 256;
/// An inflated message's buffer is used again up to this size.
const SCRATCH_BYTES_MAX: usize = 256 << 10;

/// An open connection for the length of a turn, with all that it needs.
pub(super) struct OpenConn<'a, H: Handler> {
    pub(super) id: ConnId,
    pub(super) websocket: &'a mut WebSocket,
    pub(super) session: &'a mut Option<H::Session>,
    pub(super) timer: &'a mut Option<Tick>,
    pub(super) hold: &'a mut Hold,
    pub(super) out: &'a mut Outbound,
    pub(super) flow: Flow,
    pub(super) handler: &'a mut H,
    pub(super) commons: &'a mut Commons<H::Mail>,
}

/// What became of the input.
#[derive(Debug)]
pub(super) enum Received {
    /// All of it was taken.
    All,
    /// The connection has done enough for one turn; this many bytes are left.
    Yield { left: usize },
    /// No more input counts.
    Ended(End),
}

impl<H: Handler> OpenConn<'_, H> {
    /// The 101 has been written.
    pub(super) fn open(&mut self) {
        if let Some(session) = self.session {
            let (handler, out) = (&mut *self.handler, &mut *self.out);
            self.commons.call(|commons| {
                let mut context =
                    commons.context(self.id, self.websocket, out, (self.timer, self.hold));
                handler.open(session, &mut context);
            });
        }
    }

    /// Handles received frames until the input is used up or the connection has had its turn.
    pub(super) fn receive(&mut self, input: &mut Inbound<'_>) -> Received {
        loop {
            // Most input is whole messages one after the other. What is not takes the longer way.
            let (now, limits) = (self.commons.now.tick, &self.commons.options.limits);
            let end = match self.websocket.next_whole(input, now, limits) {
                Ok(Some((kind, whole))) => {
                    self.commons.counters.messages_in.add(1);
                    self.message(Message::new(kind, Bytes::Whole(whole)));
                    None
                }
                Ok(None) => input.take(|unread| self.next_event(unread)),
                Err(error) => Some(self.refuse(error)),
            };
            if let Some(received) = end {
                return received;
            }
            self.commons.work += FRAME_WORK;
            self.commons.work += std::mem::take(&mut self.commons.scratch.deflated_plain_bytes);
            let left = input.unread_bytes();
            if left == 0 {
                return Received::All;
            }
            if self.commons.turn_is_over(self.out) {
                self.commons.counters.turns_cut.add(1);
                return Received::Yield { left };
            }
            if *self.hold == Hold::Held && self.websocket.is_open() {
                return Received::Yield { left };
            }
        }
    }

    /// Handles the next event, whatever it is. Returns what became of the input if that was all.
    fn next_event(&mut self, input: &mut &mut [u8]) -> Option<Received> {
        let (websocket, flow) = (&mut *self.websocket, self.flow);
        let commons = &mut *self.commons;
        let event = self.out.gather(|bytes| {
            let mut out = Output { bytes, flow };
            websocket.next_event(input, &mut commons.env(), &mut out)
        });
        match event {
            Ok(Some(event)) => self.event(event).map(Received::Ended),
            Ok(None) => Some(Received::All),
            Err(error) => Some(Received::Ended(self.failed(error))),
        }
    }

    /// The peer has broken a rule and is not told yet.
    fn refuse(&mut self, error: Error) -> Received {
        let (websocket, commons) = (&mut *self.websocket, &mut *self.commons);
        self.out
            .gather(|bytes| websocket.fail(error, &mut commons.env(), bytes));
        Received::Ended(self.failed(error))
    }

    /// Handles bytes that were read straight into the message's buffer.
    pub(super) fn filled(&mut self, before: usize) -> Received {
        let (websocket, flow) = (&mut *self.websocket, self.flow);
        let commons = &mut *self.commons;
        let event = self.out.gather(|bytes| {
            let mut out = Output { bytes, flow };
            websocket.did_fill(before, &mut commons.env(), &mut out)
        });
        match event {
            Ok(None) => Received::All,
            Ok(Some(event)) => self.event(event).map_or(Received::All, Received::Ended),
            Err(error) => Received::Ended(self.failed(error)),
        }
    }

    /// Lets the handler send what it has.
    pub(super) fn fill(&mut self) -> Fill {
        let Some(session) = self.session else {
            return Fill::Done;
        };
        let (handler, out) = (&mut *self.handler, &mut *self.out);
        self.commons.call(|commons| {
            let mut context =
                commons.context(self.id, self.websocket, out, (self.timer, self.hold));
            handler.fill(session, &mut context)
        })
    }

    /// The application's timer is due.
    pub(super) fn timeout(&mut self) {
        if let Some(session) = self.session {
            let (handler, out) = (&mut *self.handler, &mut *self.out);
            self.commons.call(|commons| {
                let mut context =
                    commons.context(self.id, self.websocket, out, (self.timer, self.hold));
                handler.timeout(session, &mut context);
            });
        }
    }

    /// Answers the newest ping that was not answered at once.
    pub(super) fn late_pong(&mut self) {
        let (websocket, commons) = (&mut *self.websocket, &mut *self.commons);
        let sent = self
            .out
            .gather(|bytes| websocket.send_late_pong(&mut commons.env(), bytes));
        commons.counters.pongs_late.add(usize::from(sent));
    }

    fn event(&mut self, event: Event<'_>) -> Option<End> {
        match event {
            Event::Message(kind, payload) => {
                self.commons.counters.messages_in.add(1);
                match payload {
                    Payload::Slice(bytes) => {
                        self.message(Message::new(kind, Bytes::Received(bytes)));
                    }
                    Payload::Buffer(mut buffer) => {
                        self.commons.work += buffer.len();
                        self.message(Message::new(kind, Bytes::Buffer(&mut buffer)));
                        let scratch = &mut self.commons.scratch;
                        if buffer.capacity() <= SCRATCH_BYTES_MAX
                            && scratch.inflated.capacity() == 0
                        {
                            scratch.inflated = buffer;
                        } else {
                            scratch.pool.put(buffer);
                        }
                    }
                }
                None
            }
            Event::Ping(_) => {
                self.commons.counters.pings_in.add(1);
                None
            }
            Event::Pong(_) => None,
            Event::Close { code, reason } => Some(End::Closed { code, reason }),
        }
    }

    fn message(&mut self, message: Message<'_>) {
        if let Some(session) = self.session {
            let (handler, out) = (&mut *self.handler, &mut *self.out);
            self.commons.call(|commons| {
                let mut context =
                    commons.context(self.id, self.websocket, out, (self.timer, self.hold));
                handler.message(session, message, &mut context);
            });
        }
    }

    /// Counts the rule that the peer has broken.
    pub(super) fn failed(&self, error: Error) -> End {
        let counters = &self.commons.counters;
        match error {
            Error::MessageTooLarge | Error::MessageTooLargeForNow | Error::InflateRatio => {
                &counters.over_message_bytes
            }
            Error::EmptyFragments => &counters.over_empty_fragments,
            Error::InflateBudget => &counters.over_inflate_budget,
            Error::PongTimeout => &counters.pong_timeouts,
            Error::ReservedBits
            | Error::ReservedOpcode(_)
            | Error::MaskMissing
            | Error::MaskUnexpected
            | Error::LengthNotMinimal
            | Error::LengthTopBit
            | Error::ControlTooLong
            | Error::ControlFragmented
            | Error::ContinuationUnexpected
            | Error::ContinuationExpected
            | Error::TextNotUtf8
            | Error::CloseBodyTooShort
            | Error::CloseCodeInvalid(_)
            | Error::CloseReasonNotUtf8
            | Error::DeflateCorrupt => &counters.protocol_errors,
            Error::MessageTimeout => &counters.message_timeouts,
        }
        .add(1);
        End::Failed(error)
    }
}

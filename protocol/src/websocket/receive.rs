//! What a connection makes of the bytes it receives.

use crate::close::CloseFrame;
use crate::error::Error;
use crate::frame::{FrameHeader, OpCode, Reserved, mask};
use crate::limits::Limits;
use crate::message::{Assembler, MessageKind, Payload, wire_bytes_max};
use crate::tick::Tick;

use super::partial::Frame;
use super::{Env, Event, Flow, Output, State, WebSocket};

impl WebSocket {
    /// Notes that the peer has sent something. The driver calls it once a read; it also lets the
    /// pong deadline stand still while the driver does not read.
    pub const fn heard(&mut self, now: Tick) {
        self.keepalive.heard(now);
    }

    /// Has the clocks of the peer begin again, for a driver that has not read it for a while: what
    /// it could not say meanwhile is not its fault.
    pub fn restart_clocks(&mut self, now: Tick) {
        self.keepalive.heard(now);
        if let Some(message) = self.partial.as_deref_mut().and_then(|p| p.message.as_mut()) {
            message.restart(now);
        }
    }

    /// Takes bytes from the front of `input` until an event is complete or none are left. The
    /// event borrows from `input` where it can; what is cut is kept, and `input` shrinks by what
    /// was taken.
    ///
    /// # Errors
    ///
    /// The first rule that the peer has broken; the same again at every later call.
    pub fn next_event<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        env: &mut Env<'_>,
        out: &mut Output<'_>,
    ) -> Result<Option<Event<'a>>, Error> {
        match self.state {
            State::Open | State::Closing { .. } => {}
            State::Closed => {
                // What follows a Close frame is thrown away (RFC 6455, 1.4).
                *input = &mut [];
                return Ok(None);
            }
            State::Failed(error) => return Err(error),
        }
        self.receive(input, env, out)
            .map_err(|error| self.refuse(error, env, out.bytes))
    }

    /// Room for the rest of a large payload that is in progress, for a driver that reads straight
    /// into it: the spare capacity of the returned buffer, never more than the payload lacks.
    /// `None` if the next bytes should be read elsewhere and go through
    /// [`next_event`](Self::next_event).
    pub fn room(&mut self) -> Option<&mut Vec<u8>> {
        let partial = self.partial.as_deref_mut()?;
        let frame = partial.frame.as_ref()?;
        if frame.header.opcode.is_control() || !matches!(self.state, State::Open) {
            return None;
        }
        partial.message.as_mut()?.room(frame.bytes_left())
    }

    /// Takes note that the driver has appended bytes to [`room`](Self::room), which had `before`
    /// bytes then. Returns the message if they ended it.
    ///
    /// # Errors
    ///
    /// As [`next_event`](Self::next_event).
    pub fn did_fill(
        &mut self,
        before: usize,
        env: &mut Env<'_>,
        out: &mut Output<'_>,
    ) -> Result<Option<Event<'static>>, Error> {
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        self.fill(before, env, out)
            .map_err(|error| self.refuse(error, env, out.bytes))
    }

    fn fill(
        &mut self,
        before: usize,
        env: &mut Env<'_>,
        out: &mut Output<'_>,
    ) -> Result<Option<Event<'static>>, Error> {
        let ended = match self.partial.as_deref_mut() {
            Some(partial) => partial.did_fill(before)?,
            None => false,
        };
        if ended {
            self.end_frame(env, out)
        } else {
            Ok(None)
        }
    }

    fn receive<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        env: &mut Env<'_>,
        out: &mut Output<'_>,
    ) -> Result<Option<Event<'a>>, Error> {
        loop {
            if self
                .partial
                .as_ref()
                .is_none_or(|partial| partial.frame.is_none())
            {
                let Some(header) = self.take_header(input)? else {
                    return Ok(None);
                };
                self.check(&header, env.limits)?;
                if let Some(payload) = take_whole(input, header.payload_bytes) {
                    match self.whole_frame(&header, payload, env, out)? {
                        Some(event) => return Ok(Some(event)),
                        None => continue,
                    }
                }
                self.begin_frame(header, env)?;
            }
            if self.take_piece(input)? {
                if let Some(event) = self.end_frame(env, out)? {
                    return Ok(Some(event));
                }
            } else {
                return Ok(None);
            }
        }
    }

    /// The next header: straight from the input, or completed from what was cut before.
    fn take_header(&mut self, input: &mut &mut [u8]) -> Result<Option<FrameHeader>, Error> {
        let reserved = match self.agreement {
            Some(_) => Reserved::Rsv1Compressed,
            None => Reserved::AllZero,
        };
        if let Some(partial) = self.partial.as_deref_mut().filter(|p| !p.header.is_empty()) {
            let header = partial.header.complete(input, self.role, reserved)?;
            if header.is_some() && partial.message.is_none() {
                // Nothing is kept between messages: an idle connection owns no memory.
                self.partial = None;
            }
            return Ok(header);
        }
        if input.is_empty() {
            return Ok(None);
        }
        if let Some((header, bytes)) = FrameHeader::parse(input, self.role, reserved)? {
            advance(input, bytes);
            return Ok(Some(header));
        }
        self.partial.get_or_insert_default().header.keep(input);
        Ok(None)
    }

    /// The rules that a header meets in the sequence of frames, before any of its payload.
    fn check(&mut self, header: &FrameHeader, limits: &Limits) -> Result<(), Error> {
        if header.opcode.is_control() {
            return Ok(());
        }
        let open = self.is_open();
        let message_bytes_max = self.message_bytes_max(limits);
        let message = self
            .partial
            .as_deref_mut()
            .and_then(|partial| partial.message.as_mut());
        match (header.opcode, message) {
            // After our Close frame it belongs to a message that was thrown away with it.
            (OpCode::Continuation, None) if open => Err(Error::ContinuationUnexpected),
            (OpCode::Continuation, Some(message)) => message.admit(header, limits),
            (_, Some(_)) => Err(Error::ContinuationExpected),
            (_, None)
                if header.payload_bytes > wire_bytes_max(header.compressed, message_bytes_max) =>
            {
                Err(Error::MessageTooLarge)
            }
            (_, None) => Ok(()),
        }
    }

    /// A frame that stands whole in the input: the common case, in which nothing is copied.
    fn whole_frame<'a>(
        &mut self,
        header: &FrameHeader,
        payload: &'a mut [u8],
        env: &mut Env<'_>,
        out: &mut Output<'_>,
    ) -> Result<Option<Event<'a>>, Error> {
        if let Some(key) = header.mask {
            mask(payload, key, 0);
        }
        let kind = match header.opcode {
            OpCode::Close | OpCode::Ping | OpCode::Pong => {
                return self.control(header.opcode, Payload::Slice(payload), env, out);
            }
            // What comes after our Close frame is not for the application.
            _ if !self.is_open() => return Ok(None),
            OpCode::Text if header.fin => MessageKind::Text,
            OpCode::Binary if header.fin => MessageKind::Binary,
            OpCode::Text | OpCode::Binary | OpCode::Continuation => {
                self.begin_message(header, env)?;
                self.push(payload)?;
                return if header.fin {
                    self.end_message(env)
                } else {
                    Ok(None)
                };
            }
        };
        self.keepalive.active(env.now);
        if header.compressed {
            if env.scratch.inflated.capacity() == 0 {
                env.scratch.inflated = env.scratch.pool.take_any();
            }
            env.scratch.inflated.clear();
            let bounds = self.inflate_bounds(env.limits);
            let history = self
                .history
                .as_mut()
                .and_then(|history| history.inbound.as_mut());
            // The process's budget counts messages in the making; this one is handed over now.
            let _made = env
                .codec
                .inflate(history, payload, bounds, &mut env.scratch.inflated)?;
            if kind == MessageKind::Text {
                crate::utf8::validate(&env.scratch.inflated)?;
            }
            let plain = std::mem::take(&mut env.scratch.inflated);
            return Ok(Some(Event::Message(kind, Payload::Buffer(plain))));
        }
        if kind == MessageKind::Text {
            crate::utf8::validate(payload)?;
        }
        Ok(Some(Event::Message(kind, Payload::Slice(payload))))
    }

    /// A frame whose payload is cut by the end of the input.
    fn begin_frame(&mut self, header: FrameHeader, env: &mut Env<'_>) -> Result<(), Error> {
        if !header.opcode.is_control() && self.is_open() {
            self.begin_message(&header, env)?;
        }
        self.partial.get_or_insert_default().frame = Some(Frame::new(header));
        Ok(())
    }

    /// Makes the assembler of a message at its first fragment.
    fn begin_message(&mut self, header: &FrameHeader, env: &mut Env<'_>) -> Result<(), Error> {
        let kind = match header.opcode {
            OpCode::Text => MessageKind::Text,
            OpCode::Binary => MessageKind::Binary,
            OpCode::Continuation | OpCode::Close | OpCode::Ping | OpCode::Pong => return Ok(()),
        };
        let bounds = self.inflate_bounds(env.limits);
        let mut message = Assembler::begin(kind, header, bounds, env)?;
        message.admit(header, env.limits)?;
        self.partial.get_or_insert_default().message = Some(message);
        Ok(())
    }

    /// Takes what the input has of the payload in progress. Returns whether the frame is whole.
    fn take_piece(&mut self, input: &mut &mut [u8]) -> Result<bool, Error> {
        let Some(partial) = self.partial.as_deref_mut() else {
            return Ok(false);
        };
        let Some(frame) = &mut partial.frame else {
            return Ok(false);
        };
        let len = usize::try_from(frame.bytes_left()).map_or(input.len(), |n| n.min(input.len()));
        let piece = advance(input, len);
        frame.unmask(piece);
        let whole = frame.bytes_left() == 0;
        if frame.header.opcode.is_control() {
            partial.control.extend_from_slice(piece);
        } else {
            self.push(piece)?;
        }
        Ok(whole)
    }

    /// Gives unmasked bytes to the message in progress, if it is one for the application.
    fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        let history = self
            .history
            .as_ref()
            .and_then(|history| history.inbound.as_ref());
        if let Some(message) = self.partial.as_deref_mut().and_then(|p| p.message.as_mut()) {
            message.push(piece, history)?;
        }
        Ok(())
    }

    /// The frame in progress is whole.
    fn end_frame<'a>(
        &mut self,
        env: &mut Env<'_>,
        out: &mut Output<'_>,
    ) -> Result<Option<Event<'a>>, Error> {
        let Some(partial) = self.partial.as_deref_mut() else {
            return Ok(None);
        };
        let Some(frame) = partial.frame.take() else {
            return Ok(None);
        };
        if frame.header.opcode.is_control() {
            let payload = std::mem::take(&mut partial.control);
            if partial.message.is_none() {
                self.partial = None;
            }
            return self.control(frame.header.opcode, Payload::Buffer(payload), env, out);
        }
        if !self.is_open() {
            self.partial = None;
            return Ok(None);
        }
        if frame.header.fin {
            self.end_message(env)
        } else {
            Ok(None)
        }
    }

    /// The last fragment of the message in progress is there.
    fn end_message<'a>(&mut self, env: &mut Env<'_>) -> Result<Option<Event<'a>>, Error> {
        let Some(message) = self.partial.take().and_then(|partial| partial.message) else {
            return Ok(None);
        };
        self.keepalive.active(env.now);
        let history = self
            .history
            .as_mut()
            .and_then(|history| history.inbound.as_mut());
        let (kind, data) = message.finish(history, env.codec)?;
        Ok(Some(Event::Message(kind, Payload::Buffer(data))))
    }

    fn control<'a>(
        &mut self,
        opcode: OpCode,
        payload: Payload<'a>,
        env: &mut Env<'_>,
        out: &mut Output<'_>,
    ) -> Result<Option<Event<'a>>, Error> {
        match opcode {
            OpCode::Ping => {
                if self.is_open() {
                    self.answer_ping(&payload, env, out);
                }
                Ok(Some(Event::Ping(payload)))
            }
            OpCode::Pong => {
                // Counted, so that a flood of pongs does not earn the rate of a silent peer.
                let _within = self.control_rate.take(env.now, env.limits);
                Ok(Some(Event::Pong(payload)))
            }
            OpCode::Close => self.closed_by_peer(&payload, env, out.bytes).map(Some),
            OpCode::Continuation | OpCode::Text | OpCode::Binary => Ok(None),
        }
    }

    /// Answers a ping, now or later. Not after our Close frame, though RFC 6455, 5.5.2 excuses us
    /// only by the peer's: that ping was sent before the peer saw ours, behind which it discards
    /// a pong (1.4), and there are clients that take any frame there for an error.
    fn answer_ping(&mut self, payload: &[u8], env: &mut Env<'_>, out: &mut Output<'_>) {
        let within_rate = self.control_rate.take(env.now, env.limits);
        if within_rate && out.flow == Flow::Open && self.late_pong.is_none() {
            self.frame(OpCode::Pong, payload, env, out.bytes);
        } else {
            self.late_pong = Some(payload.into());
        }
    }

    /// Answers the peer's Close frame with its own code (RFC 6455, 5.5.1), unless ours was first.
    fn closed_by_peer<'a>(
        &mut self,
        payload: &[u8],
        env: &mut Env<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, Error> {
        let CloseFrame { code, reason } = CloseFrame::parse(payload)?;
        if self.is_open() {
            self.close_frame(code, "", env, out);
        }
        let reason = reason.to_owned();
        self.end(State::Closed);
        Ok(Event::Close { code, reason })
    }
}

/// Splits `len` bytes off the front of the input.
pub(super) fn advance<'a>(input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (front, rest) = std::mem::take(input).split_at_mut(len);
    *input = rest;
    front
}

/// Splits a payload off the front of the input, if it is there whole.
fn take_whole<'a>(input: &mut &'a mut [u8], payload_bytes: u64) -> Option<&'a mut [u8]> {
    let len = usize::try_from(payload_bytes)
        .ok()
        .filter(|&len| len <= input.len())?;
    Some(advance(input, len))
}

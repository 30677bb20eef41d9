//! What a connection sends.

use crate::Role;
use crate::close::{CloseCode, fit_reason};
use crate::deflate::Deflated;
use crate::frame::{CONTROL_BYTES_MAX, FrameHeader, OpCode, mask};
use crate::message::{Form, MessageKind, PreparedMessage, PreparedRun, Takes};

use super::{Env, MaskKeys, NotOpen, State, WebSocket};

impl WebSocket {
    /// Appends a message as one frame, compressed if that was agreed and is worth it. The bytes
    /// of a text must be UTF-8.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if a Close frame was sent or received.
    pub fn send(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        env: &mut Env<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), NotOpen> {
        if !self.is_open() {
            return Err(NotOpen);
        }
        self.keepalive.active(env.now);
        if self.compresses(payload, env) && self.send_compressed(kind, payload, env, out) {
            return Ok(());
        }
        self.frame(kind.opcode(), payload, env, out);
        Ok(())
    }

    /// Appends the header of an uncompressed message whose `payload_bytes` the driver sends from
    /// a buffer of its own. Only for [`Role::Server`]: a client masks its payload.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if a Close frame was sent or received.
    pub fn send_header(
        &mut self,
        kind: MessageKind,
        payload_bytes: usize,
        env: &mut Env<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), NotOpen> {
        if !self.is_open() || self.role == Role::Client {
            return Err(NotOpen);
        }
        self.keepalive.active(env.now);
        header(kind.opcode(), false, payload_bytes, None)
            .encode()
            .append_to(out);
        Ok(())
    }

    /// Chooses the form of a prepared message that suits this connection; the driver then sends
    /// [`PreparedMessage::frame`] of that form. Only for [`Role::Server`]: a client masks each
    /// frame with a key of its own.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if a Close frame was sent or received.
    pub fn send_prepared(
        &mut self,
        message: &PreparedMessage,
        env: &mut Env<'_>,
    ) -> Result<Form, NotOpen> {
        if !self.is_open() || self.role == Role::Client {
            return Err(NotOpen);
        }
        self.keepalive.active(env.now);
        let takes = Takes::of(self.agreement.as_ref());
        let form = message.form(takes, env.deflate_min_bytes, env.codec);
        if form == Form::Compressed
            && let Some(window) = self.history.as_mut().and_then(|h| h.outbound.as_mut())
        {
            // The peer's window has moved on by the plain bytes of this message.
            window.push(message.payload());
        }
        Ok(form)
    }

    /// Which runs of prepared messages suit this connection. `None` where none does: under context
    /// takeover what is compressed next depends on every message before.
    #[must_use]
    pub fn takes(&self) -> Option<Takes> {
        let depends = self.history.as_ref().is_some_and(|h| h.outbound.is_some());
        (!depends).then(|| Takes::of(self.agreement.as_ref()))
    }

    /// Lays prepared messages end to end, in the forms that suit this connection and all that
    /// [take](Self::takes) the same. `None` where no run suits it.
    pub fn prepare_run(
        &self,
        messages: &mut dyn Iterator<Item = &PreparedMessage>,
        env: &mut Env<'_>,
    ) -> Option<PreparedRun> {
        let takes = self.takes()?;
        let how = (env.deflate_min_bytes, &mut *env.codec);
        Some(PreparedRun::new(takes, messages, how))
    }

    /// Takes note that the driver sends [`PreparedRun::bytes`] of a run that suits this connection.
    /// Only for [`Role::Server`]: a client masks each frame with a key of its own.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if a Close frame was sent or received.
    ///
    /// # Panics
    ///
    /// If the run does not suit the connection: its peer could not read it.
    pub fn send_run(&mut self, run: &PreparedRun, env: &Env<'_>) -> Result<(), NotOpen> {
        if !self.is_open() || self.role == Role::Client {
            return Err(NotOpen);
        }
        assert_eq!(self.takes(), Some(run.takes()), "a run of another kind");
        self.keepalive.active(env.now);
        Ok(())
    }

    /// Appends a ping, payload at most 125 bytes; a longer one is cut.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if a Close frame was sent or received.
    pub fn ping(
        &mut self,
        payload: &[u8],
        env: &mut Env<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), NotOpen> {
        if !self.is_open() {
            return Err(NotOpen);
        }
        let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
        self.frame(OpCode::Ping, payload, env, out);
        Ok(())
    }

    /// Whether a ping waits for its pong.
    #[must_use]
    pub const fn has_late_pong(&self) -> bool {
        self.late_pong.is_some()
    }

    /// Appends the pong for the newest ping that was not answered at once. The driver calls it
    /// when a turn ends and its output flows. Returns whether there was one.
    pub fn send_late_pong(&mut self, env: &mut Env<'_>, out: &mut Vec<u8>) -> bool {
        match self.late_pong.take() {
            Some(payload) if self.is_open() => {
                self.frame(OpCode::Pong, &payload, env, out);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Begins the closing handshake: appends a Close frame, unless one was sent before. A code
    /// that may not be sent becomes 1000, a reason is cut to 123 bytes.
    pub fn close(&mut self, code: CloseCode, reason: &str, env: &mut Env<'_>, out: &mut Vec<u8>) {
        if self.is_open() {
            let code = if code.may_be_sent() {
                code
            } else {
                CloseCode::NORMAL
            };
            self.close_frame(Some(code), reason, env, out);
            self.late_pong = None;
            self.state = State::Closing { since: env.now };
            // What the peer still says is not for the application: a half message goes.
            if let Some(partial) = self.partial.as_deref_mut() {
                partial.message = None;
            }
        }
    }

    fn compresses(&self, payload: &[u8], env: &Env<'_>) -> bool {
        self.agreement.is_some() && payload.len() >= env.deflate_min_bytes
    }

    /// Appends the message compressed. Returns false, with nothing appended, if that gains
    /// nothing.
    fn send_compressed(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        env: &mut Env<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(agreement) = self.agreement else {
            return false;
        };
        let window = self
            .history
            .as_mut()
            .and_then(|history| history.outbound.as_mut());
        env.scratch.deflated.clear();
        env.scratch.deflated_plain_bytes += payload.len();
        let bits = agreement.outbound.window_bits;
        match env
            .codec
            .deflate_if_smaller(bits, window, payload, &mut env.scratch.deflated)
        {
            Deflated::NotSmaller => false,
            Deflated::Smaller => {
                let key = self.mask_key(env);
                let body = &env.scratch.deflated;
                header(kind.opcode(), true, body.len(), key)
                    .encode()
                    .append_to(out);
                append_masked(body, key, out);
                true
            }
        }
    }

    pub(super) fn close_frame(
        &self,
        code: Option<CloseCode>,
        reason: &str,
        env: &mut Env<'_>,
        out: &mut Vec<u8>,
    ) {
        let mut body = [0; CONTROL_BYTES_MAX];
        let len = match code {
            None => 0,
            Some(CloseCode(code)) => {
                let reason = fit_reason(reason).as_bytes();
                body[..2].copy_from_slice(&code.to_be_bytes());
                body[2..2 + reason.len()].copy_from_slice(reason);
                2 + reason.len()
            }
        };
        self.frame(OpCode::Close, &body[..len], env, out);
    }

    pub(super) fn frame(
        &self,
        opcode: OpCode,
        payload: &[u8],
        env: &mut Env<'_>,
        out: &mut Vec<u8>,
    ) {
        let key = self.mask_key(env);
        header(opcode, false, payload.len(), key)
            .encode()
            .append_to(out);
        append_masked(payload, key, out);
    }

    fn mask_key(&self, env: &mut Env<'_>) -> Option<[u8; 4]> {
        match (self.role, &mut env.mask_keys) {
            (Role::Server, _) => None,
            (Role::Client, MaskKeys::From(next)) => Some(next()),
            // Frames would be refused unmasked; a key of zeros keeps them legal.
            (Role::Client, MaskKeys::None) => Some([0; 4]),
        }
    }
}

fn header(
    opcode: OpCode,
    compressed: bool,
    payload_bytes: usize,
    mask: Option<[u8; 4]>,
) -> FrameHeader {
    let payload_bytes = u64::try_from(payload_bytes).unwrap_or(u64::MAX >> 1);
    FrameHeader {
        fin: true,
        compressed,
        opcode,
        mask,
        payload_bytes,
    }
}

fn append_masked(payload: &[u8], key: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut out[start..], key, 0);
    }
}

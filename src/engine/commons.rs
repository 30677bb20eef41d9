//! What the connections of a core share.

use std::sync::Arc;

use corewire_protocol::deflate::{Codec, DEFLATE_THRESHOLD_BYTES, InflateBudget};
use corewire_protocol::handshake::UpgradeOptions;
use corewire_protocol::websocket::Scratch;
use corewire_protocol::{Env, MaskKeys, Tick, WebSocket};

use crate::ids::ConnId;
use crate::metrics::Counters;

use super::conn::Hold;
use super::context::{Context, Effects};
use super::options::Options;
use super::outbound::Outbound;
use super::shard::Now;

/// The shared part of a shard. See the [module](self).
#[derive(Debug)]
pub(super) struct Commons<M> {
    pub(super) options: Arc<Options>,
    pub(super) upgrade: UpgradeOptions,
    pub(super) now: Now,
    pub(super) codec: Codec,
    pub(super) scratch: Scratch,
    pub(super) effects: Effects<M>,
    pub(super) counters: Arc<Counters>,
    /// Work of the turn so far, in bytes.
    pub(super) work: usize,
    /// Whose code is running, for the case that it panics.
    pub(super) running: Running,
}

/// Whose code is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    Ours,
    TheHandlers,
}

impl<M> Commons<M> {
    pub(super) fn new(
        options: Arc<Options>,
        budget: Arc<InflateBudget>,
        counters: Arc<Counters>,
        now: Now,
    ) -> Self {
        let scratch = Scratch::new(options.pool_bytes);
        let encoder = options.deflate_codec;
        Self {
            upgrade: UpgradeOptions {
                origins: options.origins.clone(),
                deflate: options.deflate,
            },
            options,
            now,
            codec: Codec::with_encoder(encoder, budget),
            scratch,
            effects: Effects::new(now),
            counters,
            work: 0,
            running: Running::Ours,
        }
    }

    /// What a connection borrows for a call into the protocol layer.
    pub(super) fn env(&mut self) -> Env<'_> {
        Env {
            now: self.now.tick,
            limits: &self.options.limits,
            codec: &mut self.codec,
            deflate_min_bytes: DEFLATE_THRESHOLD_BYTES,
            scratch: &mut self.scratch,
            mask_keys: MaskKeys::None,
        }
    }

    /// What a handler gets for a call about a connection.
    pub(super) fn context<'a>(
        &'a mut self,
        id: ConnId,
        websocket: &'a mut WebSocket,
        out: &'a mut Outbound,
        (timer, hold): (&'a mut Option<Tick>, &'a mut Hold),
    ) -> Context<'a, M> {
        Context {
            id,
            websocket,
            out,
            timer,
            hold,
            commons: self,
        }
    }

    /// Whether the connection has done enough for one turn, whose output this is.
    pub(super) fn turn_is_over(&self, out: &Outbound) -> bool {
        self.work > self.options.turn_work || out.queued_bytes() > self.options.outbound.high_bytes
    }

    /// Runs the handler's code.
    pub(super) fn call<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> T {
        self.running = Running::TheHandlers;
        let result = call(self);
        self.running = Running::Ours;
        result
    }
}

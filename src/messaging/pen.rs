//! How words get to a client.

use std::sync::Arc;

use corewire_protocol::native::{Dialect, Push, Reply};
use corewire_protocol::{CloseCode, NotOpen};

use crate::engine::Context;
use crate::metrics::Counters;

use super::mail::Mail;
use super::runs::Runs;

/// What a core writes with.
#[derive(Debug)]
pub(super) struct Pen {
    scratch: Vec<u8>,
    /// Words written so far: who compares it before and after knows whether a client was sent any.
    pub(super) words: u64,
    pub(super) runs: Runs,
    pub(super) counters: Arc<Counters>,
}

/// A buffer larger than this is given back.
const SCRATCH_BYTES_MAX: usize = 64 << 10;

impl Pen {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            scratch: Vec::new(),
            words: 0,
            runs: Runs::default(),
            counters,
        }
    }

    /// Answers a command.
    pub(super) fn reply(
        &mut self,
        dialect: Dialect,
        (id, reply): (u64, &Reply<'_>),
        context: &mut Context<'_, Mail>,
    ) -> Result<(), NotOpen> {
        self.write(dialect, context, |bytes| {
            dialect.write_reply(id, reply, bytes);
        })
    }

    /// Says something.
    pub(super) fn push(
        &mut self,
        dialect: Dialect,
        push: &Push<'_>,
        context: &mut Context<'_, Mail>,
    ) -> Result<(), NotOpen> {
        self.write(dialect, context, |bytes| dialect.write_push(push, bytes))
    }

    /// Says why, then closes the connection.
    pub(super) fn close(
        &mut self,
        dialect: Dialect,
        closing: &corewire_protocol::native::Closing<'_>,
        context: &mut Context<'_, Mail>,
    ) {
        // A connection that is closing already has been told.
        let _ = self.push(dialect, &Push::Closing(closing.clone()), context);
        context.close(CloseCode(closing.code), &closing.reason);
    }

    fn write(
        &mut self,
        dialect: Dialect,
        context: &mut Context<'_, Mail>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), NotOpen> {
        self.words += 1;
        self.scratch.clear();
        write(&mut self.scratch);
        let result = context.send(dialect.kind(), &self.scratch);
        if self.scratch.capacity() > SCRATCH_BYTES_MAX {
            self.scratch = Vec::new();
        }
        result
    }
}

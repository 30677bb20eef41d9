//! One connection's socket, as a kernel would play it: readiness is told once.

use std::fmt;
use std::io::IoSlice;

use corewire::ConnId;
use corewire::engine::{CloseHow, NearEnd, ReadInto, ReadResult, Tick, WriteResult};
use corewire_testkit::Random;

/// A quarter of the stall timeout.
const ASKED_AFTER_MS: u32 = 2_500;

/// Whoever is at the other end.
pub(crate) trait Talker {
    /// Whether it reads everything at once, and must not be kept waiting.
    fn is_polite(&self) -> bool;

    /// Whether it reads at all.
    fn reads(&self) -> bool;

    /// Whether it has more to say, or waits for answers that can come.
    fn is_talking(&self) -> bool;

    /// What it says next.
    fn says(&mut self, bytes_max: usize) -> &[u8];

    /// Bytes have come to it.
    fn hears(&mut self, bytes: &[u8]);

    /// Whether it ends its side now.
    fn farewell(&self, server_ended: bool) -> Farewell;

    /// The connection is broken.
    fn was_reset(&mut self);

    /// The server has closed the connection; something that was said was lost.
    fn was_closed(&mut self, lost: bool);
}

/// Whether it ends its side now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    NotYet,
    End,
    Reset,
}

/// The socket.
pub(crate) struct Socket<C> {
    pub(crate) id: ConnId,
    pub(crate) client: C,
    /// Bytes that the server can read.
    inbox: Vec<u8>,
    input: Input,
    /// Bytes that the client's side still has room for.
    window: usize,
    output: Output,
    /// Since when the server's output waits without any being taken.
    waits_since: Option<Tick>,
    /// The shard was told of all there is to read, and has not said that it found nothing.
    told: bool,
    /// A client that is easy to serve was announced, and not read since.
    kept_waiting: bool,
    /// Time may pass at once, so much at most: the server counts from when it had something to
    /// write, this socket from when it was asked.
    pub(crate) jump_ms: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    Ended,
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Flowing,
    /// The last write was not taken whole.
    Blocked {
        since: Tick,
    },
    Ended,
}

impl<C: Talker> Socket<C> {
    pub(crate) fn new(id: ConnId, client: C) -> Self {
        Self {
            id,
            client,
            inbox: Vec::new(),
            input: Input::Open,
            window: 3000,
            output: Output::Flowing,
            waits_since: None,
            // A new socket is tried without being told.
            told: true,
            kept_waiting: false,
            jump_ms: 0,
        }
    }

    // ── The client's side ──

    /// Whether the client has more to say or waits for answers that can come.
    pub(crate) fn is_talking(&self) -> bool {
        self.input == Input::Open && self.client.is_talking()
    }

    /// More of what the client says arrives.
    pub(crate) fn deliver(&mut self, bytes_max: usize) {
        if self.input == Input::Open {
            let more = self.client.says(bytes_max);
            self.told &= more.is_empty();
            self.inbox.extend_from_slice(more);
        }
    }

    /// The client takes more of what the server says.
    pub(crate) fn open_window(&mut self, bytes: usize) {
        if self.client.reads() {
            self.window = self.window.saturating_add(bytes).min(1 << 30);
        }
    }

    /// The client ends its side if it has no more to say, or if the server has ended its own.
    pub(crate) fn end_if_done(&mut self) {
        if self.input != Input::Open {
            return;
        }
        let server_ended = self.output == Output::Ended;
        match self.client.farewell(server_ended) {
            Farewell::NotYet => {}
            Farewell::End => {
                self.input = Input::Ended;
                self.told = false;
            }
            Farewell::Reset => self.reset(),
        }
    }

    /// The connection breaks.
    pub(crate) fn reset(&mut self) {
        if self.input != Input::Broken {
            self.input = Input::Broken;
            self.inbox.clear();
            self.told = false;
            self.client.was_reset();
        }
    }

    /// What the shard is to be told about input that it was not told about.
    pub(crate) fn readiness(&mut self) -> Option<NearEnd> {
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        if self.output == Output::Flowing && self.client.is_polite() {
            self.kept_waiting = true;
        }
        Some(match self.input {
            Input::Open => NearEnd::No,
            Input::Ended | Input::Broken => NearEnd::Yes,
        })
    }

    /// Whether the shard is to be told that it can write again.
    pub(crate) fn takes_output_again(&mut self) -> bool {
        let room = self.window > 0 || self.input == Input::Broken;
        if matches!(self.output, Output::Blocked { .. }) && room {
            self.output = Output::Flowing;
            return true;
        }
        false
    }

    // ── The server's side ──

    pub(crate) fn read(&mut self, into: ReadInto<'_>, random: &mut Random) -> ReadResult {
        self.kept_waiting = false;
        if self.input == Input::Broken {
            return ReadResult::Broken;
        }
        if self.inbox.is_empty() {
            return match self.input {
                Input::Ended => ReadResult::End,
                Input::Open | Input::Broken => ReadResult::WouldBlock,
            };
        }
        let room = match &into {
            ReadInto::Buffer(buffer) => buffer.len(),
            ReadInto::Spare(buffer) => buffer.capacity() - buffer.len(),
        };
        assert!(room > 0, "a read into nothing");
        let mut bytes = room.min(self.inbox.len());
        if self.input == Input::Open && random.once_in(3) {
            // The rest arrives a little later, and is announced then.
            bytes = 1 + random.below(bytes);
            self.told = bytes == self.inbox.len();
        }
        let rest = self.inbox.split_off(bytes);
        let now = std::mem::replace(&mut self.inbox, rest);
        match into {
            ReadInto::Buffer(buffer) => buffer[..bytes].copy_from_slice(&now),
            ReadInto::Spare(buffer) => {
                let before = buffer.capacity();
                buffer.extend_from_slice(&now);
                assert_eq!(buffer.capacity(), before);
            }
        }
        ReadResult::Bytes(bytes)
    }

    pub(crate) fn write(
        &mut self,
        slices: &[IoSlice<'_>],
        now: Tick,
        random: &mut Random,
    ) -> WriteResult {
        let asks = match self.output {
            Output::Flowing => true,
            // To find out whether it has stalled.
            Output::Blocked { since } => now.since(since) + self.jump_ms >= ASKED_AFTER_MS,
            Output::Ended => false,
        };
        assert!(
            asks,
            "a write to what is blocked or ended: {:?} at {now:?}",
            self.output
        );
        if self.input == Input::Broken {
            return WriteResult::Broken;
        }
        let all: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        assert!(!all.is_empty(), "a write of nothing");
        let mut bytes = all.len().min(self.window);
        if random.once_in(4) {
            bytes = random.below(bytes + 1);
        }
        self.client.hears(&all[..bytes]);
        self.window -= bytes;
        if bytes == all.len() {
            self.waits_since = None;
            return WriteResult::All(bytes);
        }
        // Room that was told and of which nothing could be used, as it happens, changes nothing.
        let since = self.waits_since.filter(|_| bytes == 0).unwrap_or(now);
        self.waits_since = Some(since);
        self.output = Output::Blocked { since };
        self.kept_waiting = false;
        if bytes == 0 {
            WriteResult::WouldBlock
        } else {
            WriteResult::Part(bytes)
        }
    }

    /// The server ends its output.
    pub(crate) fn server_ends(&mut self) {
        assert_ne!(self.output, Output::Ended, "it has ended before");
        self.output = Output::Ended;
    }

    /// The server closes the socket.
    pub(crate) fn closed(mut self, how: CloseHow) -> C {
        let lost = !self.inbox.is_empty() || how == CloseHow::Reset;
        self.client.was_closed(lost && self.input != Input::Broken);
        self.client
    }

    // ── What must hold ──

    /// Whether there is something to do for the server that it should not wait with.
    pub(crate) fn is_neglected(&self) -> bool {
        let input = !self.inbox.is_empty() || self.input != Input::Open;
        // What is blocked is up to the client; what was not told is not known.
        self.told && input && self.output == Output::Flowing
    }

    /// Whether a polite client was announced and not read.
    pub(crate) fn is_kept_waiting(&self) -> bool {
        self.kept_waiting
    }
}

impl<C: fmt::Debug> fmt::Debug for Socket<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.id)
            .field("inbox", &self.inbox.len())
            .field("input", &self.input)
            .field("window", &self.window)
            .field("output", &self.output)
            .field("told", &self.told)
            .field("client", &self.client)
            .finish()
    }
}

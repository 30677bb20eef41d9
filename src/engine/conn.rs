//! One connection of a shard.

use corewire_protocol::{State, Tick, WebSocket};

use super::http::Http;
use super::options::Options;
use super::outbound::Outbound;

/// A connection: how far it has come, what waits in either direction, and its deadlines. An idle
/// one owns no buffer.
#[derive(Debug)]
pub(super) struct Conn<S> {
    pub(super) stage: Stage<S>,
    /// What the socket did not take.
    pub(super) outbound: Option<Box<Outbound>>,
    /// What a turn has read and not handled.
    pub(super) unread: Option<Box<[u8]>>,
    pub(super) read: ReadSide,
    pub(super) write: WriteSide,
    intake: Intake,
    pub(super) hold: Hold,
    pub(super) queue: Queue,
    pub(super) wish: Wish,
    /// When the socket last took something while output waited.
    pub(super) waits_since: Tick,
    /// The application's timer.
    pub(super) timer: Option<Tick>,
    /// When its node on the wheel fires, at the latest.
    armed: Option<Tick>,
}

/// How far a connection has come.
///
/// ```text
///   Http ──── 101 ────▶ Open ── both Close frames, a broken rule, the peer is gone ──┐
///    │                                                                               │
///    └── last response, bad request, timeout ──────────────────────────▶ Flushing ◀──┘
///                                                                          │    │
///                                        nothing more can come             │    │ more may come
///                              slot free ◀──── Closing ◀───────────────────┘    ▼
///                                                 ▲───── end of input ───── Lingering
/// ```
#[derive(Debug)]
pub(super) enum Stage<S> {
    /// Requests are read and answered.
    Http(Box<Http>),
    /// A WebSocket. The session is `None` when the handler that made it has panicked.
    Open(WebSocket, Option<S>),
    /// No more input is handled; what is queued leaves, then the connection ends.
    Flushing { how: CloseHow, until: Tick },
    /// Our side has ended. The peer's bytes are thrown away until it ends, too, so that it is not
    /// reset before it has read our last words.
    Lingering { bytes_left: u32, until: Tick },
    /// The driver is to close it.
    Closing(CloseHow),
}

/// How a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseHow {
    /// Close: the peer has nothing more to say.
    Close,
    /// End our side, wait for the peer's.
    Linger,
    /// Reset, and free what the kernel holds for it.
    Reset,
}

/// What is known of the socket's input. Readiness is told once, so it is remembered until a read
/// says that there is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadSide {
    Drained,
    Ready,
    /// The end is near: a short read does not mean drained, since no further event will come.
    ReadyToEnd,
    Ended,
}

/// Whether the socket takes output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteSide {
    Ready,
    Blocked,
}

/// Whether the peer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intake {
    Flowing,
    Paused,
}

/// Whether the application takes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Free,
    /// Not until it says so.
    Held,
}

/// Whether the connection stands in the shard's ready list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    Out,
    In,
}

/// Whether the application wants to fill the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    None,
    Fill,
}

impl<S> Conn<S> {
    pub(super) fn new(http: Http, now: Tick) -> Self {
        Self {
            stage: Stage::Http(Box::new(http)),
            outbound: None,
            unread: None,
            // The first read is tried at once: most clients send with or right after the connect.
            read: ReadSide::Ready,
            write: WriteSide::Ready,
            intake: Intake::Flowing,
            hold: Hold::Free,
            queue: Queue::Out,
            wish: Wish::None,
            waits_since: now,
            timer: None,
            armed: None,
        }
    }

    /// Bytes that the socket did not take.
    pub(super) fn queued_bytes(&self) -> usize {
        self.outbound.as_ref().map_or(0, |out| out.queued_bytes())
    }

    /// Whether input is handled: not while more waits than the peer takes, or the application
    /// holds it. A connection that is closing has no application any more.
    pub(super) fn takes_input(&self, options: &Options) -> bool {
        let flows = self.queued_bytes() <= options.outbound.low_bytes;
        match &self.stage {
            Stage::Http(_) => flows,
            Stage::Open(websocket, _) => flows && (self.hold == Hold::Free || !websocket.is_open()),
            Stage::Lingering { .. } => true,
            Stage::Flushing { .. } | Stage::Closing(_) => false,
        }
    }

    /// Whether output has waited for the stall timeout without any being taken.
    pub(super) fn has_stalled(&self, options: &Options, now: Tick) -> bool {
        let timeout_ms = options.outbound.stall_timeout_ms;
        self.waits_since.after(timeout_ms).is_due(now)
    }

    /// Whether to try a write although the socket has not announced room. A kernel does that when
    /// a third of its buffer is free, which can take a slow reader longer than the stall timeout.
    pub(super) fn is_to_be_asked(&self, options: &Options, now: Tick) -> bool {
        now.since(self.waits_since) >= ask_interval_ms(options)
    }

    /// No more input is handled; what is queued leaves. Returns the stage that has ended.
    pub(super) fn flush(&mut self, how: CloseHow, options: &Options, now: Tick) -> Stage<S> {
        let until = now.after(options.outbound.flush_timeout_ms);
        std::mem::replace(&mut self.stage, Stage::Flushing { how, until })
    }

    /// Notes at the end of a turn whether the peer is read. Returns whether it is not, from now
    /// on.
    pub(super) fn pauses(&mut self, options: &Options) -> bool {
        if self.takes_input(options) {
            return false;
        }
        let before = std::mem::replace(&mut self.intake, Intake::Paused);
        before == Intake::Flowing && matches!(self.stage, Stage::Http(_) | Stage::Open(..))
    }

    /// The peer is read again. It could not be heard meanwhile, which is not its fault.
    pub(super) fn resume(&mut self, now: Tick) {
        if self.intake == Intake::Paused {
            self.intake = Intake::Flowing;
            if let Stage::Open(websocket, _) = &mut self.stage {
                websocket.restart_clocks(now);
            }
        }
    }

    /// Whether there is output that was not made yet: the application's, or a pong.
    pub(super) const fn has_more_to_say(&self) -> bool {
        match &self.stage {
            Stage::Open(websocket, _) => {
                matches!(self.wish, Wish::Fill) || websocket.has_late_pong()
            }
            Stage::Http(_)
            | Stage::Flushing { .. }
            | Stage::Lingering { .. }
            | Stage::Closing(_) => false,
        }
    }

    /// Whether there is input to handle now.
    pub(super) fn has_input(&self) -> bool {
        self.unread.is_some() || matches!(self.read, ReadSide::Ready | ReadSide::ReadyToEnd)
    }

    /// The next moment at which something is due.
    pub(super) fn deadline(&self, options: &Options, now: Tick) -> Option<Tick> {
        let stage = match &self.stage {
            // Requests that wait for their turn are not the peer's delay.
            Stage::Http(http) if self.unread.is_none() && self.takes_input(options) => {
                Some(http.deadline())
            }
            // The pong deadline stands still while the peer's bytes are not read.
            Stage::Open(websocket, _) if self.takes_input(options) => {
                websocket.deadline(&options.limits)
            }
            // Our Close frame waits behind other output.
            Stage::Open(websocket, _) => match websocket.state() {
                State::Closing { since } => Some(since.after(options.outbound.flush_timeout_ms)),
                State::Open | State::Closed | State::Failed(_) => None,
            },
            Stage::Lingering { until, .. } | Stage::Flushing { until, .. } => Some(*until),
            Stage::Http(_) | Stage::Closing(_) => None,
        };
        let own = earlier(stage, self.timer);
        if self.queued_bytes() == 0 {
            return own;
        }
        let interval_ms = ask_interval_ms(options);
        let asked = now.since(self.waits_since) / interval_ms;
        earlier(own, Some(self.waits_since.after((asked + 1) * interval_ms)))
    }

    /// Whether its node on the wheel is to be armed for `at`: not if it fires before. To ask the wheel
    /// would take longer than all the rest of arming, since its nodes lie elsewhere, and most turns
    /// end with a deadline that has moved away.
    pub(super) fn is_to_be_armed(&mut self, at: Tick) -> bool {
        if self.armed.is_some_and(|armed| armed.is_due(at)) {
            return false;
        }
        self.armed = Some(at);
        true
    }

    /// Its node has fired, perhaps early.
    pub(super) const fn fired(&mut self) {
        self.armed = None;
    }
}

fn earlier(one: Option<Tick>, other: Option<Tick>) -> Option<Tick> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.earlier(other)),
        (one, other) => one.or(other),
    }
}

/// How often a peer for which output waits is asked whether it has taken any. So one that has
/// stopped is given up no later than this after the stall timeout.
fn ask_interval_ms(options: &Options) -> u32 {
    (options.outbound.stall_timeout_ms / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // What `corewire bench idle` measures is this, a timer node and a transport.
        let bytes = size_of::<Option<Conn<()>>>();
        assert!(bytes <= 144, "{bytes} bytes");
    }
}

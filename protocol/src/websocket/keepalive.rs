//! When to ping a silent peer, and when to give it up.

use crate::limits::Limits;
use crate::tick::Tick;

/// The two clocks of an open connection: bytes from the peer, and messages in either direction.
///
/// ```text
///            ping_interval without a byte                pong_timeout without a byte
///   Quiet ────────────────────────────────▶ Pinged ────────────────────────────────▶ dead
///     ▲                                        │
///     └──────────── any byte ──────────────────┘
/// ```
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepAlive {
    heard: Tick,
    /// The last message in either direction.
    active: Tick,
    pinged: Option<Tick>,
    pings: Pings,
}

/// Who finds out whether the peer is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pings {
    Ours,
    TheApplications,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    /// The peer has not answered.
    Dead,
    /// No message in either direction for too long.
    Idle,
}

impl KeepAlive {
    pub(crate) const fn new(now: Tick) -> Self {
        Self {
            heard: now,
            active: now,
            pinged: None,
            pings: Pings::Ours,
        }
    }

    /// The application has a protocol of its own for this.
    pub(crate) const fn leave_to_application(&mut self) {
        self.pings = Pings::TheApplications;
        self.pinged = None;
    }

    /// A byte came from the peer, whatever it was.
    pub(crate) const fn heard(&mut self, now: Tick) {
        self.heard = now;
        self.pinged = None;
    }

    /// A message came or went.
    pub(crate) const fn active(&mut self, now: Tick) {
        self.active = now;
    }

    /// What is due at `now`. A due ping counts as sent.
    pub(crate) fn due(&mut self, now: Tick, limits: &Limits) -> Due {
        if self.idle_at(limits).is_some_and(|at| at.is_due(now)) {
            return Due::Idle;
        }
        if !self.peer_at(limits).is_some_and(|at| at.is_due(now)) {
            return Due::Nothing;
        }
        if self.pinged.is_some() {
            return Due::Dead;
        }
        self.pinged = Some(now);
        Due::Ping
    }

    /// The moment at which [`due`](Self::due) has something to say.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<Tick> {
        match (self.peer_at(limits), self.idle_at(limits)) {
            (Some(peer), Some(idle)) => Some(peer.earlier(idle)),
            (peer, idle) => peer.or(idle),
        }
    }

    fn peer_at(&self, limits: &Limits) -> Option<Tick> {
        if let Some(pinged) = self.pinged {
            return Some(pinged.after(limits.pong_timeout_ms));
        }
        (limits.ping_interval_ms > 0 && self.pings == Pings::Ours)
            .then(|| self.heard.after(limits.ping_interval_ms))
    }

    fn idle_at(&self, limits: &Limits) -> Option<Tick> {
        (limits.idle_timeout_ms > 0).then(|| self.active.after(limits.idle_timeout_ms))
    }
}

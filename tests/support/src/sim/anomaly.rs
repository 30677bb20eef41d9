//! What can be wrong.

use std::fmt;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// Which.
    pub kind: Kind,
    /// Where, and of what.
    pub text: String,
}

/// The promises, by how they are broken. Names that Maelstrom's kafka workload has for them are
/// used for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Two messages at one offset (P1).
    InconsistentOffsets,
    /// One message at two offsets, or one offset delivered twice (P1, P5).
    Duplicate,
    /// A delivery goes backwards (P1).
    InternalNonmonotonic,
    /// Messages of one producer in another order than it sent them (P2).
    ExternalNonmonotonic,
    /// A delivery passes an offset of which it says nothing (P5).
    InternalSkip,
    /// As `InternalSkip`, and its publisher was told that the message is there.
    LostWrite,
    /// A subscriber that takes all it is sent is not told of the newest messages (P5).
    Unobserved,
    /// A message that was left out for a newer one of its key, and there is none (P9).
    StaleValue,
    /// A `gap`, `pos` or `conflated` that says something untrue (P5).
    FalseAccount,
    /// A position that could have been gone on from was not (P6).
    NeedlessReset,
    /// Whoever comes back is taken for somebody else (P6).
    Impostor,
    /// All is at rest, and whoever watches knows of others than those who are there (P10).
    FalsePicture,
    /// All is at rest, and whoever watches knows of something whose time is over (P11).
    Lingering,
    /// A message that nobody has published, or that was not to be delivered there.
    Phantom,
    /// A word where it has no place: an alias that was not announced, the reply of another command.
    Misplaced,
    /// A command with an `id` has no reply.
    Unanswered,
    /// A command has two.
    AnsweredTwice,
}

impl Anomaly {
    pub(super) const fn new(kind: Kind, text: String) -> Self {
        Self { kind, text }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InconsistentOffsets => "inconsistent offsets",
            Self::Duplicate => "duplicate",
            Self::InternalNonmonotonic => "internal nonmonotonic",
            Self::ExternalNonmonotonic => "external nonmonotonic",
            Self::InternalSkip => "internal skip",
            Self::LostWrite => "lost write",
            Self::Unobserved => "unobserved",
            Self::StaleValue => "stale value",
            Self::FalseAccount => "false account",
            Self::NeedlessReset => "needless reset",
            Self::Impostor => "impostor",
            Self::FalsePicture => "false picture",
            Self::Lingering => "lingering",
            Self::Phantom => "phantom",
            Self::Misplaced => "misplaced",
            Self::Unanswered => "unanswered",
            Self::AnsweredTwice => "answered twice",
        })
    }
}

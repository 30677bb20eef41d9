//! The codes of errors, and of connections that end.

use super::problem::Problem;

/// Why a command was refused. Codes do not change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ErrorCode {
    /// A mistake of the server's.
    Internal = 100,
    /// Nobody knows who this is: a token is missing or wrong.
    Unauthorized = 101,
    /// This user must not.
    Forbidden = 102,
    /// There is no such topic or alias.
    UnknownTopic = 103,
    /// The command cannot be read, or says something impossible.
    BadRequest = 104,
    /// The server does not do this.
    Unsupported = 105,
    /// It is so already, and differently.
    Already = 106,
    /// A limit of the connection is reached.
    Limit = 107,
    /// Too many commands in too short a time.
    RateLimited = 108,
    /// The token's time is over.
    TokenExpired = 109,
    /// There is no such position.
    BadPosition = 110,
    /// Not at the moment.
    Unavailable = 111,
    /// The level that was asked for is not reached; the message may exist.
    NotDurable = 112,
    /// Somebody else was first.
    Conflict = 113,
    /// The message is too large.
    TooLarge = 114,
    /// The server has too much to do.
    Overloaded = 115,
}

impl ErrorCode {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::Internal,
        Self::Unauthorized,
        Self::Forbidden,
        Self::UnknownTopic,
        Self::BadRequest,
        Self::Unsupported,
        Self::Already,
        Self::Limit,
        Self::RateLimited,
        Self::TokenExpired,
        Self::BadPosition,
        Self::Unavailable,
        Self::NotDurable,
        Self::Conflict,
        Self::TooLarge,
        Self::Overloaded,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        let place = usize::try_from(number.checked_sub(100)?).ok()?;
        Self::ALL.get(place).copied()
    }

    /// The code with this number, for a reader that must know it.
    pub(super) fn known(number: u64) -> Result<Self, Problem> {
        let unknown = || Problem::unsupported(format!("{number} is not known to this version"));
        Self::from_number(number).ok_or_else(unknown)
    }

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::UnknownTopic => "unknown_topic",
            Self::BadRequest => "bad_request",
            Self::Unsupported => "unsupported",
            Self::Already => "already",
            Self::Limit => "limit",
            Self::RateLimited => "rate_limited",
            Self::TokenExpired => "token_expired",
            Self::BadPosition => "bad_position",
            Self::Unavailable => "unavailable",
            Self::NotDurable => "not_durable",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Overloaded => "overloaded",
        }
    }

    /// Whether the same command may succeed later.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        match self {
            Self::Internal
            | Self::RateLimited
            | Self::TokenExpired
            | Self::Unavailable
            | Self::NotDurable
            | Self::Overloaded => true,
            Self::Unauthorized
            | Self::Forbidden
            | Self::UnknownTopic
            | Self::BadRequest
            | Self::Unsupported
            | Self::Already
            | Self::Limit
            | Self::BadPosition
            | Self::Conflict
            | Self::TooLarge => false,
        }
    }
}

/// Codes of Close frames, by what a client is to do.
///
/// | Range | The client |
/// | --- | --- |
/// | 4000 to 4099 | stops: unchanged it would meet the same |
/// | 4100 to 4199 | comes back with backoff and jitter, not before `retry_ms` |
/// | 4200 to 4299 | comes back at once, within `spread_ms` |
/// | 4300 to 4999 | is the application's: odd hundreds come back, even hundreds stop |
pub mod closing {
    use crate::CloseCode;

    /// The server's rules forbid it.
    pub const POLICY: CloseCode = CloseCode(4000);
    /// The token is wrong.
    pub const BAD_TOKEN: CloseCode = CloseCode(4001);
    /// A message could not be read at all.
    pub const BAD_PROTOCOL: CloseCode = CloseCode(4003);
    /// The server does not speak this version.
    pub const BAD_VERSION: CloseCode = CloseCode(4004);
    /// No `hello` came in time.
    pub const NO_HELLO: CloseCode = CloseCode(4007);
    /// The server has too much to do.
    pub const OVERLOADED: CloseCode = CloseCode(4100);
    /// The client sent too much in too short a time.
    pub const RATE_LIMITED: CloseCode = CloseCode(4101);
    /// The client does not take what it is sent.
    pub const SLOW_CONSUMER: CloseCode = CloseCode(4102);
    /// The client did not answer a `ping`.
    pub const NO_PONG: CloseCode = CloseCode(4103);
    /// A mistake of the server's.
    pub const INTERNAL: CloseCode = CloseCode(4104);
    /// The server stops, or is emptied.
    pub const DRAINING: CloseCode = CloseCode(4200);
    /// The token's time is over: get another one, then come back.
    pub const TOKEN_EXPIRED: CloseCode = CloseCode(4203);

    /// What a client does after a Close frame.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Comeback {
        /// It stops.
        Never,
        /// It comes back with backoff.
        Later,
        /// It comes back at once.
        Soon,
    }

    /// What a client does after a Close frame with this code, or after none.
    #[must_use]
    pub const fn comeback(code: Option<CloseCode>) -> Comeback {
        match code {
            Some(CloseCode(1002 | 1003 | 1007 | 1009 | 1010 | 4000..=4099)) => Comeback::Never,
            Some(CloseCode(1001 | 1012 | 4200..=4299)) => Comeback::Soon,
            Some(CloseCode(code @ 4300..=4999)) if (code / 100) % 2 == 0 => Comeback::Never,
            Some(CloseCode(_)) | None => Comeback::Later,
        }
    }
}

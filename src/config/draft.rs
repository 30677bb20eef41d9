//! The settings while they are being put together.
//!
//! Two of them, the mode and the window of compression, become one value of the options, so they
//! stand apart until all sources have spoken.

use corewire_protocol::Limits;
use corewire_protocol::deflate::{DeflateConfig, Direction, Takeover};
use tracing::Level;

use super::Settings;
use super::access::Access;
use crate::engine::{self, OutboundLimits};
use crate::messaging::{self, Identity};
use crate::server;

/// What the settings say so far.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// Everything but compression.
    pub(super) server: server::Options,
    pub(super) deflate: DeflateMode,
    pub(super) window_bits: u32,
    pub(super) messaging: messaging::Options,
    pub(super) access: Access,
    pub(super) log: Level,
}

/// How much compression remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeflateMode {
    /// Every offer is declined.
    Off,
    /// Every message is compressed alone, so connections share what compresses them.
    Shared,
    /// Every connection keeps the window of its last messages.
    Takeover,
}

/// The window of a connection that never said anything else (RFC 7692, 7.1.2).
const WINDOW_BITS_MAX: u8 = 15;

impl Default for Draft {
    fn default() -> Self {
        Self {
            server: server::Options::default(),
            deflate: DeflateMode::Shared,
            window_bits: 13,
            messaging: messaging::Options::default(),
            access: Access::default(),
            log: Level::INFO,
        }
    }
}

impl Draft {
    pub(super) fn engine(&mut self) -> &mut engine::Options {
        &mut self.server.engine
    }

    pub(super) fn outbound(&mut self) -> &mut OutboundLimits {
        &mut self.engine().outbound
    }

    pub(super) fn limits(&mut self) -> &mut Limits {
        &mut self.engine().limits
    }

    /// The settings, once they have been found to agree.
    pub(super) fn finish(self, identity: Identity) -> Settings {
        let mut server = self.server;
        server.engine.deflate = deflate(self.deflate, self.window_bits);
        Settings {
            server,
            messaging: self.messaging,
            identity,
            log: self.log,
        }
    }
}

/// Without takeover the window of the peer's messages costs us nothing, so none is asked for. With
/// it both windows are memory of the connection.
fn deflate(mode: DeflateMode, window_bits: u32) -> Option<DeflateConfig> {
    let window_bits = u8::try_from(window_bits).unwrap_or(WINDOW_BITS_MAX);
    let (takeover, inbound_bits) = match mode {
        DeflateMode::Off => return None,
        DeflateMode::Shared => (Takeover::No, WINDOW_BITS_MAX),
        DeflateMode::Takeover => (Takeover::Yes, window_bits),
    };
    let direction = |window_bits| Direction {
        takeover,
        window_bits,
    };
    let config = DeflateConfig::new(direction(inbound_bits), direction(window_bits));
    Some(config.expect("no other window is allowed by the table of settings"))
}

#[cfg(test)]
mod tests {
    use super::Draft;
    use crate::messaging::Identity;
    use crate::server;

    /// The mode and the window have no field of their own to take their default from.
    #[test]
    fn a_draft_begins_with_the_defaults_of_the_options() {
        let begun = Draft::default().finish(Identity::Anonymous).server;
        assert_eq!(
            format!("{begun:#?}"),
            format!("{:#?}", server::Options::default())
        );
    }
}

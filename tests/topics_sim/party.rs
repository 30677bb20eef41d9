//! Whoever is at the other end of a simulated socket.

use super::app::Line;
use super::client::Client;
use super::company::Company;
use super::socket::{Farewell, Talker};

/// The other end.
#[derive(Debug)]
pub(crate) enum Party {
    /// A client that says what its script says.
    Scripted(Client),
    /// A connection of the real Rust client.
    Line(Line),
}

impl Party {
    fn talker(&self) -> &dyn Talker {
        match self {
            Self::Scripted(client) => client,
            Self::Line(line) => line,
        }
    }

    fn talker_mut(&mut self) -> &mut dyn Talker {
        match self {
            Self::Scripted(client) => client,
            Self::Line(line) => line,
        }
    }

    /// The scripted client, if it is one.
    pub(crate) fn scripted(&mut self) -> Option<&mut Client> {
        match self {
            Self::Scripted(client) => Some(client),
            Self::Line(_) => None,
        }
    }

    /// What a scripted client knows of state, as long as it is connected.
    pub(crate) fn company(&self) -> Option<&Company> {
        match self {
            Self::Scripted(client) => client.company(),
            Self::Line(_) => None,
        }
    }

    /// The scripted client, to keep.
    pub(crate) fn into_scripted(self) -> Option<Client> {
        match self {
            Self::Scripted(client) => Some(client),
            Self::Line(_) => None,
        }
    }
}

impl Talker for Party {
    fn is_polite(&self) -> bool {
        self.talker().is_polite()
    }

    fn reads(&self) -> bool {
        self.talker().reads()
    }

    fn is_talking(&self) -> bool {
        self.talker().is_talking()
    }

    fn says(&mut self, bytes_max: usize) -> &[u8] {
        self.talker_mut().says(bytes_max)
    }

    fn hears(&mut self, bytes: &[u8]) {
        self.talker_mut().hears(bytes);
    }

    fn farewell(&self, server_ended: bool) -> Farewell {
        self.talker().farewell(server_ended)
    }

    fn was_reset(&mut self) {
        self.talker_mut().was_reset();
    }

    fn was_closed(&mut self, lost: bool) {
        self.talker_mut().was_closed(lost);
    }
}

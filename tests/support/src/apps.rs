//! Applications for benches, each of which does one thing.

use corewire::engine::{Context, Effects, Fill, Handler, Message, Response, UpgradeRequest};
use corewire::protocol::PreparedMessage;
use corewire::{ConnId, CoreId};

/// Answers every message with itself.
#[derive(Debug)]
pub struct Echo;

impl Handler for Echo {
    type Session = ();
    type Mail = ();

    fn upgrade(&mut self, _: &mut UpgradeRequest<'_>) -> Result<(), Response> {
        Ok(())
    }

    fn message(&mut self, (): &mut (), message: Message<'_>, context: &mut Context<'_, ()>) {
        context.reply(message).unwrap();
    }
}

/// Sends its mail to all connections, as anything that publishes does: it marks them ready and is
/// asked to fill them.
#[derive(Debug, Default)]
pub struct Channel {
    members: Vec<ConnId>,
    message: Option<PreparedMessage>,
}

impl Handler for Channel {
    type Session = ();
    type Mail = PreparedMessage;

    fn upgrade(&mut self, _: &mut UpgradeRequest<'_>) -> Result<(), Response> {
        Ok(())
    }

    fn open(&mut self, (): &mut (), context: &mut Context<'_, PreparedMessage>) {
        self.members.push(context.id());
    }

    fn message(&mut self, (): &mut (), _: Message<'_>, _: &mut Context<'_, PreparedMessage>) {}

    fn mail(
        &mut self,
        _: CoreId,
        message: PreparedMessage,
        effects: &mut Effects<PreparedMessage>,
    ) {
        self.message = Some(message);
        for &member in &self.members {
            effects.ready(member);
        }
    }

    fn fill(&mut self, (): &mut (), context: &mut Context<'_, PreparedMessage>) -> Fill {
        if let Some(message) = &self.message {
            context.send_prepared(message).unwrap();
        }
        Fill::Done
    }
}

/// Answers a message with [`BURST_SMALL`](Burst::SMALL) copies of it, which are gathered, and behind
/// every fourth of them a large message, which is kept by reference.
#[derive(Debug)]
pub struct Burst(PreparedMessage);

impl Burst {
    /// How many small messages.
    pub const SMALL: usize = 64;
    /// How many large messages.
    pub const LARGE: usize = Self::SMALL / 4;
    /// Bytes of a large payload.
    pub const LARGE_BYTES: usize = 8 << 10;
}

impl Default for Burst {
    fn default() -> Self {
        Self(PreparedMessage::binary(&[7; Self::LARGE_BYTES]))
    }
}

impl Handler for Burst {
    type Session = ();
    type Mail = ();

    fn upgrade(&mut self, _: &mut UpgradeRequest<'_>) -> Result<(), Response> {
        Ok(())
    }

    fn message(&mut self, (): &mut (), message: Message<'_>, context: &mut Context<'_, ()>) {
        for number in 1..=Self::SMALL {
            context.send(message.kind(), &message).unwrap();
            if number % 4 == 0 {
                context.send_prepared(&self.0).unwrap();
            }
        }
    }
}

/// Has a timer on every connection, all the time, and sends an empty message when it is due.
/// [`PERIOD_MS`](Ticking::PERIOD_MS) later it is due again; the connections are spread over that
/// time.
#[derive(Debug, Default)]
pub struct Ticking {
    opened: u32,
}

impl Ticking {
    /// Milliseconds from one time that a timer is due to the next.
    pub const PERIOD_MS: u32 = 1000;
    /// Milliseconds between those of two connections.
    pub const APART_MS: u32 = 8;
}

impl Handler for Ticking {
    type Session = ();
    type Mail = ();

    fn upgrade(&mut self, _: &mut UpgradeRequest<'_>) -> Result<(), Response> {
        Ok(())
    }

    fn open(&mut self, (): &mut (), context: &mut Context<'_, ()>) {
        context.set_timer(self.opened * Self::APART_MS % Self::PERIOD_MS + Self::APART_MS);
        self.opened += 1;
    }

    fn message(&mut self, (): &mut (), _: Message<'_>, _: &mut Context<'_, ()>) {}

    fn timeout(&mut self, (): &mut (), context: &mut Context<'_, ()>) {
        context.binary(&[]).unwrap();
        context.set_timer(Self::PERIOD_MS);
    }
}

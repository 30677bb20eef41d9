//! How clients learn how far they are in patterns: by `pos`, at most once a second.
//!
//! The position of a pattern is not worth a timer. It is told when a connection is filled anyway
//! and has been sent all there is, and with the `ping` of a connection that nothing is sent to. What
//! a client was sent since the last one it knows itself.

use corewire_protocol::NotOpen;
use corewire_protocol::native::{Position, Push};

use crate::engine::{Context, Tick};

use super::client::{ClientKey, Clients};
use super::hub::{Hub, Outgoing};
use super::mail::Mail;
use super::pen::Pen;
use super::subscriptions::Subscribed;

/// How often a client is told, and home cores are asked, at most.
const EVERY_MS: u32 = 1_000;
/// Patterns of which a client is told at once; it is told of the others a second later.
const AT_ONCE_MAX: usize = 16;

/// What a client was told.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    at: Option<Tick>,
    /// How often the positions of the core had moved by then.
    moved: u64,
    /// The first subscription that is still to be told of that.
    next: Option<u64>,
}

impl Told {
    /// It is to be told as soon as it has been sent everything.
    pub(super) const fn owe(&mut self) {
        self.next = Some(0);
    }
}

/// Tells a client how far it is in its patterns, if that has changed.
pub(super) fn tell(
    (hub, clients): (&mut Hub, &mut Clients),
    key: ClientKey,
    pen: &mut Pen,
    context: &mut Context<'_, Mail>,
) -> Result<(), NotOpen> {
    let Some(client) = clients.get_mut(key) else {
        return Ok(());
    };
    // What is on its way to it lies behind no position.
    if client.subscriptions.patterns() == 0
        || client.behind_count > 0
        || client.walks > 0
        || client
            .talk
            .as_ref()
            .is_some_and(|talk| !talk.resets.is_empty())
    {
        return Ok(());
    }
    let now = context.now();
    let told = client.told.get_or_insert_default();
    let Some(at) = told.at else {
        // It has just subscribed, and was told then.
        told.at = Some(now);
        return Ok(());
    };
    if !at.after(EVERY_MS).is_due(now) {
        return Ok(());
    }
    hub.ask_marks(now);
    let moved = hub.patterns.moved();
    if told.moved == moved && told.next.is_none() {
        return Ok(());
    }
    let pos = hub.patterns.position();
    let mut next = None;
    let mut left = AT_ONCE_MAX;
    for subscription in client.subscriptions.from(told.next.unwrap_or(0)) {
        match subscription.to {
            Subscribed::Pattern { key, .. } if hub.patterns.is_in_force(key) => {}
            Subscribed::Pattern { .. } | Subscribed::Topic(_) => continue,
        }
        if left == 0 {
            next = Some(subscription.s);
            break;
        }
        left -= 1;
        let push = Push::Position(Position::Pattern {
            s: subscription.s,
            pos: pos.as_str().into(),
        });
        pen.push(client.dialect, &push, context)?;
    }
    **told = Told {
        at: Some(now),
        moved,
        next,
    };
    Ok(())
}

impl Hub {
    /// Asks home cores how far they are: what patterns do not match moves positions, too, and who
    /// does not hear of it would come back with one that is too old.
    fn ask_marks(&mut self, now: Tick) {
        let asked = &mut self.patterns.asked;
        if asked.is_none_or(|asked| asked.after(EVERY_MS).is_due(now)) {
            *asked = Some(now);
            self.outgoing.push_back(Outgoing::AskMarks);
        }
    }
}

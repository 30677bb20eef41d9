//! What every call of a handler ends with, and what time ends where nobody calls.
//!
//! Whoever publishes makes room for it: each message looks at a few topics and logs whose time may
//! be over. Where nobody publishes any more, the handler's alarm does it.

use crate::engine::{Effects, Tick};

use super::handler::MessagingHandler;
use super::mail::Mail;

/// Time between the looks of the alarm.
const LOOK_MS: u32 = 1000;
/// Calls of [`Home::tidy`](super::home::Home::tidy) at a look, each for a few topics and logs.
const CALLS: usize = 1024;
/// A look ends when it has freed so many messages, which takes a millisecond or two, and goes on
/// after the pause.
const FREED_MAX: u64 = 10_000;
const PAUSE_MS: u32 = 10;

/// When the home core is looked at next: some time, as long as there is anything that ends by
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Upkeep {
    /// Nothing will end.
    #[default]
    Unneeded,
    /// At this time, for which the alarm is set.
    Due(Tick),
}

impl MessagingHandler {
    /// Ends a call: home cores are told what the hub wants them to know, and what is new here will
    /// be looked at when its time may be over.
    pub(super) fn settle(&mut self, effects: &mut Effects<Mail>) {
        self.tell_homes(effects);
        if self.upkeep == Upkeep::Unneeded && self.home.has_anything_to_forget() {
            self.look_in(LOOK_MS, effects);
        }
    }

    fn look_in(&mut self, ms: u32, effects: &mut Effects<Mail>) {
        self.upkeep = Upkeep::Due(effects.now().tick.after(ms));
        effects.set_alarm(ms);
    }

    /// The alarm rings, perhaps for something else.
    pub(super) fn look_after_home(&mut self, effects: &mut Effects<Mail>) {
        let now = effects.now().tick;
        match self.upkeep {
            Upkeep::Unneeded => {}
            Upkeep::Due(at) if at.is_due(now) => {
                self.upkeep = Upkeep::Unneeded;
                let before = self.home.figures().messages;
                for _ in 0..CALLS {
                    self.home.tidy(now);
                    if before - self.home.figures().messages >= FREED_MAX {
                        self.look_in(PAUSE_MS, effects);
                        break;
                    }
                }
                self.count_kept();
            }
            Upkeep::Due(at) => effects.set_alarm(at.since(now)),
        }
    }
}

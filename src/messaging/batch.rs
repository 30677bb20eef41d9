//! A client's message as its commands, one after the other.
//!
//! A message may hold many commands, and a command may have to look at everything that its
//! connection is sent. So commands are work of the connection's turn, and where the turn is over the
//! rest of the message waits: the connection is held, and goes on when it is filled, behind the
//! others. At least one command is done in a turn.
//!
//! The rest of a message waits in the same way for other cores: everything that stands behind a `hello`
//! until its `welcome` is said, and a `pub` until the `sub`s before it are answered, so that what a
//! connection publishes reaches what it has subscribed to. Each of those answers has the connection
//! filled, which goes on with the message.

use corewire_protocol::native::RequestsPlace;

use crate::engine::{Context, Message};

use super::bye::Bye;
use super::client::ClientKey;
use super::dispatch::Next;
use super::handler::MessagingHandler;
use super::mail::Mail;

/// Commands in one message.
const COMMANDS_MAX: usize = 1024;
/// What a command counts as, in bytes, beside what it looks at; as much as a frame, which the first
/// one came in.
const COMMAND_WORK: usize = 256;
/// What a delivery, a subscription or a client counts as that a command looks at: one of many that
/// are nowhere near each other.
const STEP_WORK: usize = 64;

/// A message that is not done to its end yet.
#[derive(Debug)]
pub(super) struct Batch {
    message: Box<[u8]>,
    done: Done,
    until: Until,
}

/// How much of a message is done.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    commands: usize,
    /// `None`: nothing.
    place: Option<RequestsPlace>,
}

/// What the rest of a message waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The connection's next turn.
    Turn,
    /// What other cores answer to commands before it.
    Answers,
}

/// Whether a client is not read for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    No,
    Yes,
}

impl Batch {
    /// Whether it goes on in the connection's next turn, whatever happens meanwhile.
    pub(super) const fn wants_turn(&self) -> bool {
        matches!(self.until, Until::Turn)
    }
}

impl MessagingHandler {
    /// Does what a message says, as far as its turn goes.
    pub(super) fn message_came(
        &mut self,
        key: ClientKey,
        message: &Message<'_>,
        context: &mut Context<'_, Mail>,
    ) {
        let kind = self.clients.get(key).map(|client| client.dialect.kind());
        if kind.is_some_and(|kind| kind != message.kind()) {
            return self.bye(key, Bye::Unreadable, context);
        }
        let Some((done, until)) = self.commands(key, message, Done::default(), context) else {
            return;
        };
        if let Some(client) = self.clients.get_mut(key) {
            let message = message.to_vec().into_boxed_slice();
            let batch = Batch {
                message,
                done,
                until,
            };
            client.talk().batch = Some(Box::new(batch));
            context.ready();
        }
    }

    /// Goes on with a message that is not done to its end, if there is one.
    pub(super) fn go_on(&mut self, key: ClientKey, context: &mut Context<'_, Mail>) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let awaits = client.awaits_answers();
        let Some(talk) = &mut client.talk else {
            return;
        };
        let Some(mut batch) = talk.batch.take_if(|batch| {
            if !awaits {
                batch.until = Until::Turn;
            }
            // The turn may be the one that it was put off in.
            batch.wants_turn() && !context.turn_is_over()
        }) else {
            return;
        };
        let (words, unanswered) = (self.pen.words, self.requests.unanswered());
        let left = self.commands(key, &batch.message, batch.done, context);
        if let Some(client) = self.clients.get_mut(key) {
            if let Some((done, until)) = left {
                (batch.done, batch.until) = (done, until);
                client.talk().batch = Some(batch);
            }
            if self.pen.words != words {
                client.heartbeat.said = context.now();
            }
        }
        if self.hold(key, unanswered, context) == Held::No {
            let conn = context.id();
            context.effects().release(conn);
        }
    }

    /// Has no more of a client read for now if it has asked for enough. `unanswered` requests of its
    /// core waited before.
    pub(super) fn hold(
        &mut self,
        key: ClientKey,
        unanswered: usize,
        context: &mut Context<'_, Mail>,
    ) -> Held {
        let Some(client) = self.clients.get_mut(key) else {
            return Held::No;
        };
        if self.requests.unanswered() > unanswered && self.requests.are_too_many() {
            client.talk().unanswered.hold_for_core();
            self.requests.wait(key);
            self.pen.counters.requests_held.add(1);
        }
        if let Some(talk) = &mut client.talk
            && talk.hold(&self.shared.options)
        {
            context.hold();
            return Held::Yes;
        }
        Held::No
    }

    /// Does the commands of a message that are not done. Returns how far it has come if that is not
    /// its end, and what the rest waits for.
    fn commands(
        &mut self,
        key: ClientKey,
        message: &[u8],
        mut done: Done,
        context: &mut Context<'_, Mail>,
    ) -> Option<(Done, Until)> {
        let dialect = self.clients.get(key)?.dialect;
        let mut requests = match done.place {
            None => dialect.requests(message),
            Some(place) => dialect.requests_from(message, place),
        };
        let mut turn_is_over = false;
        loop {
            let place = requests.place();
            let request = requests.next()?;
            if turn_is_over {
                done.place = Some(place);
                return Some((done, Until::Turn));
            }
            if done.commands >= COMMANDS_MAX {
                self.bye(key, Bye::TooManyCommands, context);
                return None;
            }
            if done.commands > 0 {
                context.did_work(COMMAND_WORK);
            }
            done.commands += 1;
            let next = match request {
                Ok(request) => self.command(key, request, context),
                Err(malformed) => self.malformed(key, malformed, context),
            };
            match next {
                Next::Command => {}
                Next::Wait => {
                    done.commands -= 1;
                    done.place = Some(place);
                    return Some((done, Until::Answers));
                }
                Next::Left => return None,
                Next::Bye(bye) => {
                    self.bye(key, bye, context);
                    return None;
                }
            }
            context.did_work(self.hub.take_steps() * STEP_WORK);
            turn_is_over = context.turn_is_over();
        }
    }
}

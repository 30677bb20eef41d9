//! How a scripted client comes back when its connection has ended: with its ticket, from where it was
//! in each subscription, and with what it has published and had no answer to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use corewire::protocol::native::{
    Command, Hello, PatternPlace, Place, Position, Publish, Push, Reply, Request, Reset, Resumed,
    Seen, ServerWord, Start, Subbed, SubbedTo, Subscribe,
};
use corewire_testkit::sim::Witness;

/// What a client has to remember for it.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    ticket: Option<String>,
    resumed: Resumed,
    /// What it has subscribed to and not given up, as it was asked for, by its number.
    wanted: BTreeMap<u64, Subscribe<'static>>,
    /// Those of them that the server has granted, with the position if they are patterns.
    granted: BTreeMap<u64, Option<String>>,
    /// Publications that were not answered, in the order of their ids.
    unanswered: BTreeMap<u64, Publish<'static>>,
    /// What subscriptions there are in the `hello`.
    greeted: Vec<u64>,
    /// A thief comes back with the ticket of somebody else.
    purse: Option<Purse>,
}

/// Tickets of several clients, the newest at the end.
pub(crate) type Purse = Rc<RefCell<Vec<String>>>;

impl Memory {
    /// From now on its tickets lie open, and it takes those of others.
    pub(crate) fn steals(&mut self, purse: &Purse) {
        self.purse = Some(Rc::clone(purse));
    }

    /// What it steals from.
    pub(crate) const fn purse(&self) -> Option<&Purse> {
        self.purse.as_ref()
    }

    /// Whether the server knows it again.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed == Resumed::Yes
    }

    /// A command is sent.
    pub(crate) fn says(&mut self, request: &Request<'static>) {
        match &request.command {
            Command::Hello(hello) => {
                self.greeted.clear();
                for subscribe in hello.subscribe.iter().flatten() {
                    self.greeted.push(subscribe.s);
                    self.wanted.insert(subscribe.s, subscribe.clone());
                }
            }
            Command::Subscribe(subscribe) => {
                // A number that is taken is refused.
                let wanted = self.wanted.entry(subscribe.s);
                wanted.or_insert_with(|| Subscribe::clone(subscribe));
            }
            Command::Unsubscribe(unsubscribe) => {
                self.wanted.remove(&unsubscribe.s);
                self.granted.remove(&unsubscribe.s);
            }
            Command::Publish(publish) => {
                if let Some(id) = request.id {
                    self.unanswered.insert(id, publish.clone());
                }
            }
            Command::Auth(_)
            | Command::History(_)
            | Command::State(_)
            | Command::Credit(_)
            | Command::Pong(_)
            | Command::Bye(_) => {}
        }
    }

    /// The server has said something.
    pub(crate) fn hears(&mut self, word: &ServerWord<'_>) {
        match word {
            ServerWord::Reply(id, reply) => {
                self.unanswered.remove(id);
                match reply {
                    Reply::Welcome(welcome) => {
                        self.ticket = welcome.ticket.as_deref().map(str::to_owned);
                        self.resumed = welcome.resumed;
                        if let (Some(purse), Some(ticket)) = (&self.purse, &self.ticket) {
                            purse.borrow_mut().push(ticket.clone());
                        }
                        for (s, outcome) in
                            self.greeted.clone().into_iter().zip(&welcome.subscribed)
                        {
                            match outcome {
                                Ok(subbed) => self.granted(subbed),
                                Err(_) => drop(self.wanted.remove(&s)),
                            }
                        }
                    }
                    Reply::Subbed(subbed) => self.granted(subbed),
                    Reply::Ok(_)
                    | Reply::Pubbed(_)
                    | Reply::Page(_)
                    | Reply::Members(_)
                    | Reply::Error(_) => {}
                }
            }
            ServerWord::Push(
                Push::Position(Position::Pattern { s, pos })
                | Push::Reset(Reset::Pattern { s, pos, .. }),
            ) => {
                if let Some(known) = self.granted.get_mut(s) {
                    *known = Some((**pos).to_owned());
                }
            }
            ServerWord::Push(Push::Unsubbed(unsubbed)) => {
                self.wanted.remove(&unsubbed.s);
                self.granted.remove(&unsubbed.s);
            }
            ServerWord::Push(_) => {}
        }
    }

    fn granted(&mut self, subbed: &Subbed<'_>) {
        let pos = match &subbed.to {
            SubbedTo::Pattern { pos } => Some((**pos).to_owned()),
            SubbedTo::Topic { .. } => None,
        };
        self.granted.insert(subbed.s, pos);
    }

    /// The `hello` of the next connection, and what is to be published again if the server knows it
    /// again. `None` if there is no ticket to come back with.
    pub(crate) fn greeting(
        self,
        witness: &Witness,
    ) -> Option<(Hello<'static>, Vec<Publish<'static>>)> {
        let own = self.ticket?;
        let others = self.purse.as_ref().and_then(|purse| {
            let purse = purse.borrow();
            purse.iter().rev().find(|ticket| **ticket != own).cloned()
        });
        let ticket = others.unwrap_or(own);
        let mut subscribe = Vec::new();
        for (s, mut wanted) in self.wanted {
            match self.granted.get(&s) {
                None => {}
                Some(Some(pos)) => {
                    let seen = witness.places(s).map(|(topic, epoch, offset)| Seen {
                        topic: topic.to_owned().into(),
                        epoch: epoch.to_owned().into(),
                        offset,
                    });
                    wanted.from = Start::Pattern(Box::new(PatternPlace {
                        pos: pos.clone().into(),
                        seen: seen.collect(),
                    }));
                }
                Some(None) => {
                    if let Some((_, epoch, offset)) = witness.places(s).next() {
                        wanted.from = Start::After(Place {
                            epoch: epoch.to_owned().into(),
                            offset,
                        });
                    }
                }
            }
            subscribe.push(Ok(wanted));
        }
        let hello = Hello {
            version: 1,
            resume: Some(ticket.into()),
            subscribe,
            ..Hello::default()
        };
        Some((hello, self.unanswered.into_values().collect()))
    }
}

//! One topic on one connection: which subscriptions it serves, and what they have taken.

use std::sync::Arc;

use super::credit::{Account, Amount};
use super::event::Position;
use super::link::Subscriptions;
use super::options::Window;
use super::subscription::{Epochs, Holes, StreamWord, SubscriptionId, Ticket};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Delivery {
    topic: Arc<str>,
    epoch: Arc<str>,
    /// Tells this one from an earlier one with the same alias.
    serial: u64,
    routes: Vec<Route>,
    received: Amount,
    /// What all routes have taken.
    account: Account,
    holes: Holes,
}

/// A subscription that the delivery serves.
#[derive(Debug)]
struct Route {
    id: SubscriptionId,
    taken: Amount,
}

impl Delivery {
    /// `spent` has come under this alias before, to subscriptions that have ended. Whether the server
    /// counts it nobody can tell, so it is counted: then there is no less credit than the server knows.
    pub(super) fn new(
        topic: &Arc<str>,
        base: &Position,
        serial: u64,
        (window, spent): (Window, Amount),
    ) -> Self {
        let window = Amount {
            messages: window.topic_messages,
            bytes: u64::MAX / 4, // bytes are counted for the connection
        };
        // As the `sub` has said.
        let mut account = Account::new(window, window);
        account.take(spent);
        Self {
            topic: topic.clone(),
            epoch: base.epoch.clone(),
            serial,
            routes: Vec::new(),
            received: spent,
            account,
            holes: Holes::Told,
        }
    }

    pub(super) const fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    pub(super) const fn epoch(&self) -> &Arc<str> {
        &self.epoch
    }

    pub(super) fn set_epoch(&mut self, epoch: &Arc<str>) {
        self.epoch = epoch.clone();
    }

    pub(super) const fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) const fn account(&self) -> &Account {
        &self.account
    }

    pub(super) const fn account_mut(&mut self) -> &mut Account {
        &mut self.account
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = SubscriptionId> {
        self.routes.iter().map(|route| route.id)
    }

    pub(super) fn add_route(&mut self, id: SubscriptionId, holes: Holes) {
        if holes == Holes::Counted {
            self.holes = Holes::Counted;
        }
        if !self.routes().any(|known| known == id) {
            self.routes.push(Route {
                id,
                taken: self.received,
            });
        }
    }

    /// Returns what nobody holds any more.
    pub(super) fn remove_route(&mut self, id: SubscriptionId) -> Amount {
        self.routes.retain(|route| route.id != id);
        self.settle()
    }

    pub(super) const fn received(&mut self, amount: Amount) {
        self.received = self.received.plus(amount);
    }

    /// All that has come under its alias.
    pub(super) const fn spent(&self) -> Amount {
        self.received
    }

    /// What was received and not taken by all.
    pub(super) fn outstanding(&self) -> Amount {
        self.received.minus(self.account.taken())
    }

    /// A subscription has taken something. Returns what nobody holds any more.
    pub(super) fn taken(&mut self, id: SubscriptionId, amount: Amount) -> Amount {
        if let Some(route) = self.routes.iter_mut().find(|route| route.id == id) {
            route.taken = route.taken.plus(amount);
        }
        self.settle()
    }

    /// Counts as taken what the slowest route has taken.
    fn settle(&mut self) -> Amount {
        let slowest = self
            .routes
            .iter()
            .map(|route| route.taken)
            .min_by_key(|taken| taken.messages)
            .unwrap_or(self.received);
        let more = slowest.minus(self.account.taken());
        self.account.take(more);
        more
    }

    /// Gives a word to all subscriptions. Returns what nobody holds any more.
    pub(super) fn hand_out(
        &mut self,
        word: &StreamWord,
        (mut ticket, epochs): (Ticket, Epochs),
        subscriptions: &mut Subscriptions,
    ) -> Amount {
        let message = match word {
            StreamWord::Message(message) => {
                ticket.bytes = message.data.len() as u64;
                Some(Amount::message(ticket.bytes))
            }
            StreamWord::Conflated { .. } => {
                self.holes = Holes::Counted;
                None
            }
            StreamWord::Gap { .. } | StreamWord::Position(_) | StreamWord::Reset { .. } => None,
        };
        for route in &mut self.routes {
            let meaning = (self.holes, epochs);
            let queued = subscriptions
                .get_mut(route.id)
                .is_some_and(|one| one.take(&self.topic, &self.epoch, word, meaning, ticket));
            if let (false, Some(amount)) = (queued, message) {
                route.taken = route.taken.plus(amount);
            }
        }
        self.settle()
    }
}

//! What a core knows of one client of the messaging layer.

use std::sync::Arc;

use corewire_protocol::native::{Dialect, ErrorReply, Resumed, Subbed};
use slotmap::{SlotMap, new_key_type};

use crate::engine::Tick;
use crate::ids::ConnId;

use super::delivery::{DeliveryCredit, List};
use super::options::Options;
use super::positions;
use super::subscriptions::Subscriptions;
use super::talk::Talk;

new_key_type! {
    /// The name of a client on its core.
    pub struct ClientKey;
}

/// The clients of a core.
pub(super) type Clients = SlotMap<ClientKey, Client>;

/// Who publishes: told to everybody who gets the message.
#[derive(Debug)]
pub(super) struct Author {
    pub(super) user: Box<str>,
    pub(super) conn: Box<str>,
    pub(super) producer: Producer,
}

/// Who numbers messages (`pseq`), over several connections one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Producer {
    pub(super) session: u128,
    /// Which of its connections: only the last one may publish.
    pub(super) incarnation: u32,
}

impl Producer {
    /// The connection that its session began with, as a [`ConnId`] is written.
    pub(super) fn first_connection(self) -> String {
        let part = |shift: u32| (self.session >> shift) & u128::from(u32::MAX);
        format!("{}:{}:{}", part(64), part(32), part(0))
    }

    /// The same, on its next connection.
    pub(super) const fn next(self) -> Self {
        Self {
            session: self.session,
            incarnation: self.incarnation.saturating_add(1),
        }
    }
}

impl From<ConnId> for Producer {
    /// A connection that is a session of its own.
    fn from(conn: ConnId) -> Self {
        let place = u128::from(conn.core.0) << 64 | u128::from(conn.slot) << 32;
        Self {
            session: place | u128::from(conn.generation),
            incarnation: 0,
        }
    }
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    /// `None` until the handshake is sent.
    pub(super) conn: Option<ConnId>,
    pub(super) dialect: Dialect,
    pub(super) stage: Stage,
    pub(super) subscriptions: Subscriptions,
    /// All its deliveries, what was used last at the end.
    pub(super) deliveries: List,
    /// Those that have something to send.
    pub(super) behind: List,
    /// Deliveries that have something to send, also those that wait for credit or for the log.
    pub(super) behind_count: u32,
    /// Patterns of which it is still to be told what it has missed.
    pub(super) walks: u32,
    /// What it was told of the positions of its patterns.
    pub(super) told: Option<Box<positions::Told>>,
    /// Deliveries that only patterns ask for.
    pub(super) by_pattern: u32,
    /// How many of them a message has led to, or fewer: the others were listed for the client when it came
    /// back, as fast as it takes them, and each that goes is taken off here.
    pub(super) by_message: u32,
    /// What is being said to it; most of the time nothing is.
    pub(super) talk: Option<Box<Talk>>,
    /// What it is as somebody who publishes, once it has.
    pub(super) publisher: Option<Box<Publisher>>,
    /// For all messages of the connection together.
    pub(super) credit: Option<Box<DeliveryCredit>>,
    pub(super) heartbeat: Heartbeat,
    /// When its token expires.
    pub(super) expires: Option<Expiry>,
}

/// How far a client has come.
///
/// ```text
///   Greeting ─── hello ───▶ Welcoming ─── its subscriptions are granted ───▶ Ready
/// ```
#[derive(Debug)]
pub(super) enum Stage {
    /// Its `hello` is to come.
    Greeting,
    /// Its `hello` asked for subscriptions that other cores have to grant. What it says behind it waits.
    Welcoming(Box<Welcoming>),
    /// It is one of us.
    Ready(Who),
}

/// Who a client is: no more than a connection itself, unless it has said so.
#[derive(Debug, Default)]
pub(super) struct Who {
    /// `None`: a user of its own, who is called as the connection is.
    pub(super) user: Option<Box<str>>,
    /// The session that it goes on with. `None`: it is one of its own.
    pub(super) session: Option<Box<Producer>>,
}

/// What a client is as somebody who publishes.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) author: Arc<Author>,
    pub(super) bucket: Bucket,
}

/// A `welcome` in the making.
#[derive(Debug)]
pub(super) struct Welcoming {
    pub(super) id: u64,
    pub(super) who: Who,
    pub(super) resumed: Resumed,
    /// The outcome of each subscription, in the order of the `hello`.
    pub(super) outcomes: Vec<Option<Result<Subbed<'static>, ErrorReply<'static>>>>,
}

/// When a token expires.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expiry {
    /// Milliseconds since 1970.
    pub(super) unix_ms: u64,
    pub(super) told: Told,
}

impl Expiry {
    /// When something is to be done: ask for another token, or end the connection, as long after
    /// the token's end as was asked before it.
    pub(super) fn next_ms(self, warning_ms: u32) -> u64 {
        let warning_ms = u64::from(warning_ms);
        match self.told {
            Told::No => self.unix_ms.saturating_sub(warning_ms),
            Told::Yes => self.unix_ms.saturating_add(warning_ms),
        }
    }
}

/// Whether the client was asked for another token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    No,
    Yes,
}

/// Whether the client is there.
///
/// ```text
///              ping_ms without a word from us          half the slack            the other half
///   Fine ───────────────────────────────────▶ Asked ──────────────────▶ AskedTwice ────────▶ gone
///     ▲                                         │                           │
///     └──────────────────── anything from it ───┴───────────────────────────┘
/// ```
#[derive(Debug, Clone, Copy)]
pub(super) struct Heartbeat {
    /// When it was last sent anything.
    pub(super) said: Tick,
    pub(super) state: Pulse,
    pub(super) count: u32,
}

/// See [`Heartbeat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulse {
    Fine,
    Asked(Tick),
    AskedTwice(Tick),
}

/// A bucket that fills with time: how many publications are allowed at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    /// Thousandths of a publication.
    level: u64,
    filled: Tick,
}

impl Client {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            conn: None,
            dialect,
            stage: Stage::Greeting,
            subscriptions: Subscriptions::default(),
            deliveries: List::default(),
            behind: List::default(),
            behind_count: 0,
            walks: 0,
            told: None,
            by_pattern: 0,
            by_message: 0,
            talk: None,
            publisher: None,
            credit: None,
            heartbeat: Heartbeat {
                said: Tick(0),
                state: Pulse::Fine,
                count: 0,
            },
            expires: None,
        }
    }

    /// What is being said to it, for something more.
    pub(super) fn talk(&mut self) -> &mut Talk {
        self.talk.get_or_insert_default()
    }

    /// Whether home cores are to answer before it publishes: its `hello`, or a `sub`.
    pub(super) fn awaits_answers(&self) -> bool {
        matches!(self.stage, Stage::Welcoming(_))
            || self.talk.as_ref().is_some_and(|talk| talk.subscribing > 0)
    }

    /// A delivery has gone that only patterns ask for, or something else asks for it now.
    pub(super) fn one_less_by_pattern(&mut self) {
        self.by_pattern -= 1;
        self.by_message = self.by_message.saturating_sub(1);
    }

    /// Keeps no memory for talk when there is none.
    pub(super) fn rest(&mut self) {
        if self.talk.as_ref().is_some_and(|talk| talk.is_over()) {
            self.talk = None;
        }
    }

    /// Who it is, once that is known.
    pub(super) fn who(&self) -> Option<&Who> {
        match &self.stage {
            Stage::Greeting => None,
            Stage::Welcoming(welcoming) => Some(&welcoming.who),
            Stage::Ready(who) => Some(who),
        }
    }

    /// Which producer it is, once that is known.
    pub(super) fn producer(&self) -> Option<Producer> {
        Some(self.who()?.producer(self.conn?))
    }

    /// Who it is to those who are told, once that is known.
    pub(super) fn author(&self, node: &str) -> Option<Author> {
        Some(self.who()?.author(node, self.conn?))
    }

    /// Who it is as somebody who publishes, once that is known.
    pub(super) fn publisher(
        &mut self,
        node: &str,
        (now, options): (Tick, &Options),
    ) -> Option<&mut Publisher> {
        if self.publisher.is_none() {
            let author = Arc::new(self.author(node)?);
            let bucket = Bucket::full(now, options);
            self.publisher = Some(Box::new(Publisher { author, bucket }));
        }
        self.publisher.as_deref_mut()
    }
}

impl Who {
    pub(super) fn producer(&self, conn: ConnId) -> Producer {
        self.session
            .as_deref()
            .map_or_else(|| conn.into(), |&session| session)
    }

    pub(super) fn author(&self, node: &str, conn: ConnId) -> Author {
        let name: Box<str> = format!("{node}-{conn}").into();
        Author {
            user: self.user.clone().unwrap_or_else(|| name.clone()),
            conn: name,
            producer: self.producer(conn),
        }
    }
}

impl Bucket {
    /// It is full, and filled from here on.
    fn full(now: Tick, options: &Options) -> Self {
        Self {
            level: u64::from(options.publish_burst) * 1000,
            filled: now,
        }
    }

    /// Takes one out. If it is empty: the milliseconds until there is one.
    pub(super) fn take(&mut self, now: Tick, options: &Options) -> Result<(), u64> {
        let rate = u64::from(options.publish_per_s);
        if rate == 0 {
            return Ok(());
        }
        let full = u64::from(options.publish_burst.max(1)) * 1000;
        // A publication a millisecond is a thousand a second.
        let gained = u64::from(now.since(self.filled)) * rate;
        self.filled = now;
        self.level = full.min(self.level + gained);
        if self.level >= 1000 {
            self.level -= 1000;
            Ok(())
        } else {
            Err((1000 - self.level).div_ceil(rate))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ids::CoreId;
    use crate::messaging::delivery::Delivery;

    use super::*;

    #[test]
    fn an_idle_client_is_small() {
        // What `corewire bench idle` measures on `/ws`, beside the connection: a client, a delivery
        // and its place in a table.
        let (client, delivery) = (size_of::<Client>(), size_of::<Delivery>());
        assert!(client <= 208, "{client} bytes");
        assert!(delivery <= 128, "{delivery} bytes");
    }

    #[test]
    fn a_session_is_called_as_its_first_connection() {
        let conn = ConnId {
            core: CoreId(7),
            slot: u32::MAX,
            generation: 12,
        };
        let producer = Producer::from(conn).next();
        assert_eq!(producer.first_connection(), conn.to_string());
    }
}

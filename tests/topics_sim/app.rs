//! An application on the real Rust client: the machine that people use, and its WebSockets, without
//! tokio. What its subscriptions yield is judged.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use corewire::protocol::native::{self, Dialect, GoAway, Push};
use corewire_client::machine::{
    Action, Backoff, Event, LinkId, Loss, Machine, Options, Outcome, PublicationId, Publish,
    PublishError, ResetScope, SetState, StateError, Status, Subscribe, SubscriptionId,
    Unsubscribed, Window,
};
use corewire_client::wire::{Arrival, Offer, Wire};
use corewire_client::{Data, ServerUrl};
use corewire_testkit::Random;
use corewire_testkit::sim::{self, Anomaly, Listener, Ordered, Repeats, Told, Witness};

use super::client::Clock;
use super::pictures::Pictures;
use super::socket::{Farewell, Talker};

/// The system's milliseconds, which all applications see.
pub(crate) type Time = Rc<Cell<u64>>;
/// An application, and whoever moves it.
pub(crate) type SharedApp = Rc<RefCell<App>>;

/// Bytes that a connection is asked for at a time.
const OUT_BYTES: usize = 4 << 10;
/// Events that an application takes at a time.
const EVENTS: usize = 8;
/// Whoever asks for state again that does not agree does so within this time; whoever waits for a
/// connection that says nothing waits for longer.
const SOON_MS: u64 = 2_000;
/// A server that asks its clients to go away gives them so much time for it.
const SPREAD_MS: u64 = 30;

/// What an application does next.
#[derive(Debug)]
pub(crate) enum Deed {
    Subscribe(Subscribe),
    /// Ends one of its subscriptions.
    Unsubscribe(usize),
    /// Sets an entry of its own.
    Set(SetState),
    /// Publishes messages, as soon as there is room.
    Publish(Vec<Publish>),
}

/// How it takes events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appetite {
    Hearty,
    /// Hardly ever, until the end.
    None,
}

/// See the [module](self).
pub(crate) struct App {
    name: String,
    machine: Machine,
    dialect: Dialect,
    time: Time,
    clock: Clock,
    appetite: Appetite,
    deeds: VecDeque<Deed>,
    subscriptions: BTreeMap<SubscriptionId, Listener>,
    /// In the order in which they were begun; ended ones are gone.
    order: Vec<SubscriptionId>,
    finished: Vec<Witness>,
    pictures: Pictures,
    published: Witness,
    places: BTreeMap<PublicationId, usize>,
    /// Connections that it has.
    links: BTreeSet<LinkId>,
    /// The connection that it wanted last.
    newest: Option<LinkId>,
    /// Connections that it does not want any more.
    given_up: BTreeSet<LinkId>,
    trace: bool,
}

impl App {
    pub(crate) fn new(
        name: &str,
        dialect: Dialect,
        appetite: Appetite,
        (time, clock): (&Time, &Clock),
        seed: u64,
    ) -> Self {
        let options = Options {
            // Bounds that are met, and returns that do not take the whole day.
            window: Window {
                topic_messages: 20,
                messages: 60,
                bytes: 20_000,
            },
            backoff: Backoff {
                first_ms: 4,
                max_ms: 32,
            },
            in_flight_max: 30,
            ..Options::new("ws://simulated/ws")
        };
        let mut machine = Machine::new(options, seed);
        machine.start(time.get());
        let mut published = Witness::new(name);
        published.ordered = Ordered::All;
        published.repeats = Repeats::Hidden;
        Self {
            name: name.to_owned(),
            machine,
            dialect,
            time: Rc::clone(time),
            clock: Rc::clone(clock),
            appetite,
            deeds: VecDeque::new(),
            subscriptions: BTreeMap::new(),
            order: Vec::new(),
            finished: Vec::new(),
            pictures: Pictures::default(),
            published,
            places: BTreeMap::new(),
            links: BTreeSet::new(),
            newest: None,
            given_up: BTreeSet::new(),
            trace: false,
        }
    }

    // ── Its script ──

    pub(crate) fn plans(&mut self, deed: Deed) {
        self.deeds.push_back(deed);
    }

    /// Prints what it does and is told.
    pub(crate) fn trace(&mut self) {
        self.trace = true;
    }

    pub(crate) fn has_plans(&self) -> bool {
        !self.deeds.is_empty()
    }

    /// From now on it takes whatever there is.
    pub(crate) fn take_all(&mut self) {
        self.appetite = Appetite::Hearty;
    }

    /// Does what it has planned next.
    pub(crate) fn act(&mut self) {
        match self.deeds.pop_front() {
            None => {}
            Some(Deed::Subscribe(subscribe)) => {
                let name = format!("{}/{}", self.name, self.order.len() + self.finished.len());
                let mode = subscribe
                    .policy
                    .map_or(native::PolicyMode::All, |one| one.mode);
                let listener = Listener::new(&name, &self.name, &subscribe.subject, mode);
                let id = self.machine.subscribe(subscribe.clone()).unwrap();
                self.pictures.subscribed(id, &subscribe, &mut self.machine);
                self.subscriptions.insert(id, listener);
                self.order.push(id);
            }
            // There may be fewer than it had in mind.
            Some(Deed::Unsubscribe(place)) if place >= self.order.len() => {}
            Some(Deed::Unsubscribe(place)) => {
                let id = self.order.remove(place);
                self.machine.unsubscribe(id);
                self.pictures.ended(id);
                let listener = self.subscriptions.remove(&id).unwrap();
                self.finished.push(listener.ended());
            }
            Some(Deed::Set(state)) => match self.machine.set_state(state, self.time.get()) {
                Ok(()) | Err(StateError::NotAnnounced(_)) => {}
                Err(error) => panic!("{}: {error}", self.name),
            },
            Some(Deed::Publish(mut all)) => {
                let mut left = all.split_off(0);
                while !left.is_empty() && self.machine.has_room(&left[0]) {
                    self.publish(left.remove(0));
                }
                if !left.is_empty() {
                    self.deeds.push_front(Deed::Publish(left));
                }
            }
        }
    }

    fn publish(&mut self, publish: Publish) {
        let text = publish.data.as_bytes();
        let text = str::from_utf8(text).unwrap().trim_matches('"');
        let published = sim::Published {
            identity: text.split(' ').next().unwrap().into(),
            topic: (*publish.topic).into(),
            key: publish.key.as_deref().unwrap_or("").into(),
            echo: publish.echo,
            ttl_ms: None,
            pseq: None,
            sent: self.clock.get(),
            outcome: sim::Outcome::Unknown,
        };
        if self.trace {
            eprintln!("{} {} publishes {published:?}", self.clock.get(), self.name);
        }
        let id = self.machine.publish(publish, self.time.get()).unwrap();
        self.places.insert(id, self.published.published.len());
        self.published.published.push(published);
    }

    // ── What the world does with it ──

    /// What is to be done for it.
    pub(crate) fn next_action(&mut self) -> Option<Action> {
        let action = self.machine.next_action();
        if self.trace && action.is_some() {
            eprintln!("{} {} wants {action:?}", self.clock.get(), self.name);
        }
        match &action {
            Some(Action::Open { link, .. }) => {
                self.links.insert(*link);
                self.newest = Some(*link);
            }
            Some(Action::Abort { link }) => {
                self.links.remove(link);
                self.given_up.insert(*link);
            }
            Some(_) | None => {}
        }
        action
    }

    /// There is no way to the server just now.
    pub(crate) fn refused(&mut self, link: LinkId) {
        self.lost(link, Loss::Unreachable("nobody listens".into()));
    }

    fn lost(&mut self, link: LinkId, loss: Loss) {
        if self.trace {
            eprintln!(
                "{} {} loses {link:?}: {loss:?}",
                self.clock.get(),
                self.name
            );
        }
        self.links.remove(&link);
        self.machine.lost(link, loss, self.time.get());
    }

    /// Time has passed.
    pub(crate) fn wake(&mut self) {
        let now_ms = self.time.get();
        if self.machine.deadline_ms().is_some_and(|at| at <= now_ms) {
            self.machine.timeout(now_ms);
        }
    }

    /// The server asks it to go away.
    pub(crate) fn is_sent_away(&mut self, link: LinkId) {
        if self.trace {
            eprintln!(
                "{} {} is sent away from {link:?}",
                self.clock.get(),
                self.name
            );
        }
        let mut message = Vec::new();
        let away = GoAway {
            deadline_ms: 1000,
            spread_ms: SPREAD_MS,
            url: None,
        };
        self.dialect.write_push(&Push::GoAway(away), &mut message);
        self.machine.message(link, &message, self.time.get());
    }

    /// Takes some events, if it likes to. `true` if there were any.
    pub(crate) fn take_events(&mut self) -> bool {
        while let Some((id, outcome)) = self.machine.next_outcome() {
            self.outcome(id, &outcome);
        }
        if self.appetite == Appetite::None {
            return false;
        }
        let mut any = false;
        let mut ended = Vec::new();
        for (id, listener) in &mut self.subscriptions {
            for _ in 0..EVENTS {
                let Some(event) = self.machine.next_event(*id) else {
                    break;
                };
                any = true;
                if self.trace {
                    eprintln!(
                        "{} {} {id:?} is told {event:?}",
                        self.clock.get(),
                        self.name
                    );
                }
                if let Event::Unsubscribed(why) = &event {
                    assert!(matches!(why, Unsubscribed::Refused { .. }), "{why}");
                    ended.push(*id);
                } else {
                    hear(listener, self.clock.get(), &event);
                }
            }
        }
        for id in ended {
            self.pictures.ended(id);
            let listener = self.subscriptions.remove(&id).unwrap();
            self.order.retain(|one| *one != id);
            self.finished.push(listener.ended());
        }
        any
    }

    fn outcome(&mut self, id: PublicationId, outcome: &Outcome) {
        let place = self.places.remove(&id).expect("one outcome for each");
        let published = &mut self.published.published[place];
        if self.trace {
            eprintln!(
                "{} {}: {} {outcome:?}",
                self.clock.get(),
                self.name,
                published.identity
            );
        }
        published.outcome = match outcome {
            Ok(position) => sim::Outcome::Placed {
                epoch: (*position.epoch).into(),
                offset: position.offset,
                heard: self.clock.get(),
            },
            // The reply of a core that has lost its memory says that, and no more.
            Err(PublishError::Uncertain | PublishError::Refused { .. }) => sim::Outcome::Unknown,
            Err(error) => panic!("{}: {error}", self.name),
        };
    }

    /// The topics in which it is there for others, and as who.
    pub(crate) fn announced(&self) -> Vec<(Arc<str>, Arc<str>)> {
        self.pictures.announced(&self.machine)
    }

    /// What is not true of what it knows of state: `present` are those who are there, by topic.
    pub(crate) fn untrue(&self, present: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<Anomaly> {
        self.pictures.untrue((&self.name, &self.machine), present)
    }

    /// When something is to be done that is no answer to anything, unless all is well and nothing
    /// is to be done soon: it is connected, and not by a connection only whose successor has failed.
    pub(crate) fn is_waiting_until(&self) -> Option<u64> {
        let is_well = matches!(self.machine.status(), Status::Connected(_))
            && self.machine.unpublished() == 0
            && self.deeds.is_empty()
            && self.pictures.are_live(&self.machine)
            && self.links.iter().eq(&self.newest);
        let deadline_ms = self.machine.deadline_ms()?;
        let is_soon = deadline_ms <= self.time.get() + SOON_MS;
        (!is_well || is_soon).then_some(deadline_ms)
    }

    /// What it has said, and what it was told, which was all that there is.
    pub(crate) fn testify(&mut self) -> Vec<Witness> {
        assert!(
            self.places.is_empty(),
            "{}: no outcome: {:?}",
            self.name,
            self.places
        );
        let mut witnesses = std::mem::take(&mut self.finished);
        let listeners = std::mem::take(&mut self.subscriptions);
        witnesses.extend(listeners.into_values().map(Listener::quiet));
        let none = Witness::new("");
        let mut published = std::mem::replace(&mut self.published, none);
        published.ended();
        witnesses.push(published);
        witnesses
    }
}

fn hear(listener: &mut Listener, at: sim::Moment, event: &Event) {
    let told = match event {
        Event::Subscribed(subscribed) => {
            let position = subscribed.position.as_ref();
            Told::Subscribed(position.map(|position| (&*position.epoch, position.offset)))
        }
        Event::Message(message) => {
            let text = str::from_utf8(message.data.as_bytes()).unwrap();
            return listener.hears(
                at,
                Told::Message {
                    topic: &message.topic,
                    epoch: &message.position.epoch,
                    offset: message.position.offset,
                    identity: text.trim_matches('"').split(' ').next().unwrap(),
                },
            );
        }
        Event::Gap(gap) => Told::Gap {
            topic: &gap.topic,
            from: gap.from,
            to: gap.to,
        },
        Event::Conflated(conflated) => Told::Conflated {
            topic: &conflated.topic,
            count: conflated.count,
            up_to: conflated.up_to,
        },
        Event::Reset(reset) => match &reset.scope {
            ResetScope::Topic { topic, position } => Told::Reset {
                topic,
                epoch: &position.epoch,
                offset: position.offset,
            },
            ResetScope::Subscription => Told::ResetAll,
        },
        Event::Unsubscribed(_) | _ => panic!("{event:?}"),
    };
    listener.hears(at, told);
}

/// One connection of an application: its end of the socket.
pub(crate) struct Line {
    app: SharedApp,
    link: LinkId,
    wire: Wire,
    out: Vec<u8>,
    said: usize,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The WebSocket has ended, and its end of the socket is to.
    Ended,
    Gone,
}

impl Line {
    pub(crate) fn new(app: &SharedApp, link: LinkId, mut random: Random) -> Self {
        let mut out = Vec::new();
        let url = ServerUrl::parse("ws://simulated/ws").unwrap();
        let offer = Offer {
            dialects: vec![app.borrow().dialect],
            deflate: None,
            ..Offer::default()
        };
        let nonce = random.bytes(16).try_into().unwrap();
        let mask_keys = Box::new(move || random.next().to_le_bytes()[..4].try_into().unwrap());
        let wire = Wire::new(&url, &offer, nonce, mask_keys, &mut out).unwrap();
        Self {
            app: Rc::clone(app),
            link,
            wire,
            out,
            said: 0,
            stage: Stage::Open,
        }
    }

    /// The server asks its client to go away.
    pub(crate) fn send_away(&self) {
        self.app.borrow_mut().is_sent_away(self.link);
    }

    fn is_given_up(&self) -> bool {
        self.app.borrow().given_up.contains(&self.link)
    }

    fn lose(&mut self, loss: Loss) {
        self.app.borrow_mut().lost(self.link, loss);
        self.stage = Stage::Gone;
    }

    /// Has the machine say what it has to say.
    fn write(&mut self) {
        if self.said == self.out.len() {
            self.out.clear();
            self.said = 0;
        }
        let mut app = self.app.borrow_mut();
        let now_ms = app.time.get();
        let mut message = Vec::new();
        while self.stage == Stage::Open && self.out.len() < OUT_BYTES {
            message.clear();
            match app.machine.transmit(self.link, now_ms, &mut message) {
                Some(kind) => self.wire.send(kind, &message, &mut self.out),
                None => break,
            }
        }
    }
}

impl Talker for Line {
    fn is_polite(&self) -> bool {
        false
    }

    fn reads(&self) -> bool {
        true
    }

    fn is_talking(&self) -> bool {
        self.said < self.out.len()
    }

    fn says(&mut self, bytes_max: usize) -> &[u8] {
        self.write();
        let end = self.out.len().min(self.said.saturating_add(bytes_max));
        let bytes = &self.out[self.said..end];
        self.said = end;
        bytes
    }

    fn hears(&mut self, bytes: &[u8]) {
        if self.stage != Stage::Open {
            return;
        }
        let mut bytes = bytes.to_vec();
        let mut app = self.app.borrow_mut();
        let app = &mut *app;
        let now_ms = app.time.get();
        let (link, machine, trace) = (self.link, &mut app.machine, app.trace);
        machine.heard(link, now_ms);
        let dialect = app.dialect;
        let arrive = |arrival: Arrival<'_>| match arrival {
            Arrival::Opened(dialect) => machine.opened(link, dialect, now_ms),
            Arrival::Message(message) => {
                if trace {
                    for word in dialect.server_words(message) {
                        eprintln!("  {link:?} ← {word:?}");
                    }
                }
                machine.message(link, message, now_ms);
            }
        };
        let received = self.wire.receive(&mut bytes, now_ms, &mut self.out, arrive);
        if let Err(loss) = received {
            app.lost(link, loss);
            self.stage = Stage::Ended;
        }
    }

    fn farewell(&self, server_ended: bool) -> Farewell {
        if self.is_given_up() {
            Farewell::Reset
        } else if server_ended || self.stage == Stage::Ended && !self.is_talking() {
            Farewell::End
        } else {
            Farewell::NotYet
        }
    }

    fn was_reset(&mut self) {
        if self.stage != Stage::Gone {
            self.lose(Loss::Cut("reset".into()));
        }
    }

    fn was_closed(&mut self, _: bool) {
        if self.stage != Stage::Gone {
            self.lose(Loss::Cut("closed".into()));
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("link", &self.link)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// What an application publishes.
pub(crate) fn message(
    topic: &str,
    text: &str,
    form: usize,
    key: Option<String>,
    echo: native::Echo,
) -> Publish {
    let data = match form {
        0 => Data::Json(format!("\"{text}\"").into()),
        1 => Data::Text(text.into()),
        _ => Data::Bytes(text.as_bytes().into()),
    };
    Publish {
        topic: topic.into(),
        data,
        key: key.map(Arc::from),
        idem: None,
        tags: Vec::new(),
        ttl_ms: None,
        echo,
        guarantee: corewire_client::Guarantee::AtMostOnce,
    }
}

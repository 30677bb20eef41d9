//! The messaging layer as an application of the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use corewire_protocol::native::{
    Closing, Dialect, Duplicate, ErrorReply, Limits, Ping, Pubbed, Push, Reply, TOPIC_BYTES_MAX,
    TOPIC_LEVELS_MAX, TokenExpiring, Unsubbed, Warn,
};

use crate::engine::{
    Context, Core, Effects, End, Fill, Handler, Message, Response, Service, UpgradeRequest,
};
use crate::hash::{Map, Seed};
use crate::ids::CoreId;
use crate::metrics::Counters;

use super::bye::Bye;
use super::class::Classes;
use super::client::{Client, ClientKey, Clients, Pulse, Stage, Told};
use super::fill::Filling;
use super::history::Unfinished;
use super::home::{Base36, Home, Placed};
use super::hub::Hub;
use super::identity::Identity;
use super::mail::{
    Letter, Listed, Mail, NotPublished, PageReply, PublishRequest, Published, Standing,
};
use super::options::Options;
use super::pen::Pen;
use super::positions;
use super::publication::{Draft, Loss, Publication};
use super::refusal::not_published;
use super::requests::Requests;
use super::state::States;
use super::store::{MemoryStore, ReadNumber, SlowStore, Store};
use super::ticket::TicketKey;
use super::topic::{Answer, Outcome};
use super::upkeep::Upkeep;

/// Loss marks before those that have been taken are looked for.
const LOSSES_MIN: usize = 1024;
/// The longest that a client's timer sleeps.
const TIMER_MS_MAX: u64 = 3_600_000;

/// Topics for clients that speak corewire's own protocol ([`corewire_protocol::native`]).
#[derive(Debug)]
pub struct Messaging {
    shared: Arc<Shared>,
}

/// What all cores know alike.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) identity: Identity,
    pub(super) limits: Limits,
    pub(super) node: Box<str>,
    pub(super) tickets: TicketKey,
    history: HistoryLies,
    seed: Seed,
    /// How many handlers each core has had.
    lives: [AtomicU32; 256],
}

/// How far a core has to go for what its topics keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HistoryLies {
    /// In its own memory.
    Here,
    /// Nowhere near; see [`Messaging::with_history_elsewhere`].
    Elsewhere,
}

/// The messaging layer of one core.
#[derive(Debug)]
pub struct MessagingHandler {
    pub(super) core: CoreId,
    pub(super) cores: usize,
    /// Which of this core's handlers this is.
    pub(super) life: u32,
    pub(super) shared: Arc<Shared>,
    pub(super) clients: Clients,
    pub(super) hub: Hub,
    pub(super) home: Home,
    pub(super) pen: Pen,
    pub(super) requests: Requests,
    /// Reads of this core's logs so far.
    pub(super) reads: u64,
    /// Those that are not finished.
    pub(super) unfinished: Map<ReadNumber, Unfinished>,
    pub(super) losses: Map<(u64, CoreId), Arc<Loss>>,
    /// So many of them, before those that have been taken are looked for.
    losses_max: usize,
    pub(super) states: States,
    pub(super) upkeep: Upkeep,
}

impl Messaging {
    /// The messaging layer of a server that takes messages of up to `message_bytes`. `seed` must be
    /// random: it keeps peers from choosing names that collide, and names the node.
    #[must_use]
    pub fn new(options: Options, identity: Identity, message_bytes: usize, seed: u64) -> Self {
        let limits = Limits {
            message_bytes: message_bytes as u64,
            topic_bytes: TOPIC_BYTES_MAX as u64,
            topic_levels: TOPIC_LEVELS_MAX as u64,
            subscriptions: options.subscriptions_max as u64,
            backlog_bytes: u64::from(options.backlog_bytes),
            publish_per_s: u64::from(options.publish_per_s),
            publish_burst: u64::from(options.publish_burst),
            unanswered: options.unanswered_max as u64,
            history_items: options.history_items as u64,
        };
        let seed_of_map = Seed::new(seed);
        let node = format!("{}", Base36(seed_of_map.hash(&"node") % 36u64.pow(6)));
        Self {
            shared: Arc::new(Shared {
                options,
                identity,
                limits,
                node: node.into(),
                tickets: TicketKey::new(&ticket_key(&seed_of_map)),
                history: HistoryLies::Here,
                seed: seed_of_map,
                lives: [const { AtomicU32::new(0) }; 256],
            }),
        }
    }
}

impl Messaging {
    /// Signs tickets with this key, which must be random, instead of one that is made of the seed:
    /// there are too few seeds to withstand somebody who tries them all.
    #[must_use]
    pub fn with_ticket_key(mut self, key: &[u8; 32]) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.tickets = TicketKey::new(key);
        }
        self
    }

    /// Reads history as if it lay elsewhere: every read is answered a moment later. For tests of
    /// whoever waits for it.
    #[doc(hidden)]
    #[must_use]
    pub fn with_history_elsewhere(mut self) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.history = HistoryLies::Elsewhere;
        }
        self
    }
}

fn ticket_key(seed: &Seed) -> [u8; 32] {
    let mut key = [0; 32];
    for (place, part) in key.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&seed.hash(&("ticket", place)).to_le_bytes());
    }
    key
}

impl Shared {
    /// The core that orders a topic.
    pub(super) fn home_of(&self, topic: &str, cores: usize) -> CoreId {
        let place = self.seed.hash(topic) % cores as u64;
        CoreId(u8::try_from(place).unwrap_or(0))
    }
}

impl Service for Messaging {
    type Handler = MessagingHandler;

    fn handler(&self, core: &Core) -> MessagingHandler {
        MessagingHandler::new(&self.shared, core)
    }
}

impl MessagingHandler {
    fn new(shared: &Arc<Shared>, core: &Core) -> Self {
        let life = shared.lives[core.id.index()].fetch_add(1, Ordering::Relaxed);
        let cores = core.counters.len();
        let counters = core.counters.get(core.id.index()).map(Arc::clone);
        let options = &shared.options;
        let node = if life == 0 {
            shared.node.clone()
        } else {
            // Another life has other epochs.
            format!("{}{}x", shared.node, Base36(u64::from(life))).into()
        };
        let seed = &shared.seed;
        let classes = Classes::new(options);
        let bounds = options.store_bounds(cores);
        let memory = MemoryStore::new(classes.histories(), bounds, seed.clone());
        let store: Box<dyn Store> = match shared.history {
            HistoryLies::Here => Box::new(memory),
            HistoryLies::Elsewhere => Box::new(SlowStore::new(memory)),
        };
        let place = (core.id, cores, life);
        let home = Home::new(place, node, classes, options, store, seed.clone());
        Self {
            core: core.id,
            cores,
            life,
            clients: Clients::with_key(),
            hub: Hub::new(options, (&shared.node, cores), &shared.seed),
            home,
            pen: Pen::new(counters.unwrap_or_default()),
            requests: Requests::new((core.id, cores), life, options),
            losses: Map::with_hasher(shared.seed.clone()),
            losses_max: LOSSES_MIN,
            reads: 0,
            unfinished: Map::with_hasher(shared.seed.clone()),
            states: States::new(options, &shared.seed),
            upkeep: Upkeep::default(),
            shared: Arc::clone(shared),
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.pen.counters
    }

    /// The core that orders a topic.
    pub(super) fn home_of(&self, topic: &str) -> CoreId {
        self.shared.home_of(topic, self.cores)
    }

    pub(super) fn cores(&self) -> impl Iterator<Item = CoreId> + use<> {
        (0..=u8::MAX).take(self.cores).map(CoreId)
    }

    /// Puts a message in its place, and on its way to all cores that want it. Only for topics
    /// whose home is here.
    pub(super) fn publish(
        &mut self,
        topic: &str,
        draft: Draft,
        effects: &mut Effects<Mail>,
    ) -> Result<Standing, NotPublished> {
        let now = effects.now();
        self.home.tidy(now.tick);
        let (publication, cores, level) = match self.home.publish(now, topic, draft)? {
            Placed::New(publication, cores, level) => (publication, cores, level),
            Placed::Known(topic, offset, level) => {
                self.counters().publications_known.add(1);
                return Ok(Standing {
                    topic,
                    offset,
                    level,
                    duplicate: Duplicate::Yes,
                });
            }
        };
        self.counters().published.add(1);
        self.count_kept();
        let standing = Standing {
            topic: Arc::clone(&publication.topic),
            offset: publication.offset,
            level,
            duplicate: Duplicate::No,
        };
        for core in cores.iter() {
            if core == self.core {
                let publication = Arc::clone(&publication);
                self.hub
                    .publication(&mut self.clients, publication, effects);
            } else if !self.is_lost(core, &publication) {
                effects.mail(core, Letter::Publication(Arc::clone(&publication)).into());
            }
        }
        Ok(standing)
    }

    /// Tells how much is kept here.
    pub(super) fn count_kept(&self) {
        let figures = self.home.figures();
        let counters = self.counters();
        counters.topics.set(self.home.topics());
        counters.history_bytes.set(figures.bytes);
        counters.history_messages.set(figures.messages);
        counters.history_evicted.set(figures.evicted);
    }

    /// Whether a mark of what did not fit lies in the line to a core, and takes this one in.
    fn is_lost(&mut self, core: CoreId, publication: &Publication) -> bool {
        if self.losses.is_empty() {
            return false;
        }
        let key = (publication.topic.alias, core);
        match self.losses.get(&key) {
            None => false,
            Some(loss) if loss.extend(publication.offset) => {
                self.counters().publications_lost.add(1);
                true
            }
            Some(_) => {
                self.losses.remove(&key);
                false
            }
        }
    }

    /// A publication did not fit into the line to a core.
    fn lose(&mut self, core: CoreId, publication: &Publication, effects: &mut Effects<Mail>) {
        if self.is_lost(core, publication) {
            return;
        }
        self.counters().publications_lost.add(1);
        let loss = Arc::new(Loss::new(publication));
        if self.losses.len() >= self.losses_max {
            self.losses.retain(|_, loss| !loss.is_taken());
            // Where none have been, it is not worth while to look again soon.
            self.losses_max = LOSSES_MIN.max(2 * self.losses.len());
        }
        self.losses
            .insert((publication.topic.alias, core), Arc::clone(&loss));
        effects.mail(core, Letter::Lost(loss).into());
    }

    /// Tells clients what became of their subscriptions.
    pub(super) fn tell_clients(&mut self, outcomes: Vec<Outcome>, effects: &mut Effects<Mail>) {
        for Outcome {
            client: key,
            answer,
            s,
            result,
        } in outcomes
        {
            if result.is_err() {
                self.state_ends(key, s);
            }
            let Some(client) = self.clients.get_mut(key) else {
                continue;
            };
            if let Answer::Reply(_) = answer {
                client.talk().subscribing -= 1;
            }
            match (answer, result) {
                (Answer::Reply(Some(id)), Ok(subbed)) => {
                    client.talk().replies.push_back((id, Reply::Subbed(subbed)));
                }
                (Answer::Reply(Some(id)), Err(error)) => {
                    client.talk().replies.push_back((id, Reply::Error(error)));
                }
                (Answer::Reply(None) | Answer::Reset, Ok(_)) => {}
                (Answer::Reply(None), Err(error)) => client.talk().notice(warn("sub", error)),
                (Answer::Reset, Err(error)) => client.talk().notice(Push::Unsubbed(Unsubbed {
                    s,
                    code: error.code,
                    retry_ms: error.retry_ms,
                })),
                (Answer::Welcome(place), result) => {
                    if let Stage::Welcoming(welcoming) = &mut client.stage
                        && let Some(outcome) = welcoming.outcomes.get_mut(place)
                    {
                        *outcome = Some(result);
                    }
                    self.welcome(key, effects);
                }
            }
            if let Some(conn) = self.clients.get(key).and_then(|client| client.conn) {
                effects.ready(conn);
            }
        }
    }

    /// A home core has put a client's message in its place, or not.
    fn published(&mut self, by: CoreId, published: Published, effects: &mut Effects<Mail>) {
        let Some(client) = self.clients.get_mut(published.client) else {
            return;
        };
        let Some(talk) = &mut client.talk else {
            return;
        };
        let Some(id) = talk.unanswered.answered(by, published.stamp.number) else {
            return;
        };
        match (id, published.outcome) {
            (Some(id), outcome) => talk.replies.push_back((id, pubbed(outcome))),
            (None, Ok(_)) => {}
            (None, Err(error)) => talk.notice(warn("pub", not_published(error))),
        }
        if let Some(conn) = client.conn {
            if talk.release(&self.shared.options) {
                effects.release(conn);
            }
            effects.ready(conn);
        }
    }

    /// Does what a letter says.
    fn letter(&mut self, from: CoreId, letter: Letter, effects: &mut Effects<Mail>) {
        let now = effects.now().tick;
        match letter {
            Letter::Restarted => self.restarted(from, effects),
            Letter::Publish(request) => {
                let PublishRequest {
                    stamp,
                    client,
                    topic,
                    draft,
                } = *request;
                let outcome = self.publish(&topic, draft, effects);
                let published = Published {
                    stamp,
                    client,
                    outcome,
                };
                effects.mail(from, Letter::Published(Box::new(published)).into());
            }
            Letter::Interest(request) => self.answer_interest(from, *request, effects),
            Letter::PatternInterest(request) => {
                self.answer_pattern_interest(from, *request, effects);
            }
            Letter::Read(request) => self.answer_read(from, &request, effects),
            Letter::Walk(request) => self.answer_walk(from, &request, effects),
            Letter::AskMark(stamp) => {
                let mark = Box::new(self.home_mark());
                effects.mail(from, Letter::Mark(stamp, mark).into());
            }
            Letter::History(request) => self.answer_history(from, &request, effects),
            Letter::HistoryPage(reply) => self.history_came(from, *reply, effects),
            Letter::NoInterest(id) => self.home.withdraw(now, &id, from),
            Letter::NoPatternInterest(pattern) => self.home.withdraw_pattern(&pattern, from),
            Letter::Published(published) => self.published(from, *published, effects),
            Letter::Granted(granted) => {
                let outcomes = self.hub.granted(&mut self.clients, &granted, effects);
                self.tell_clients(outcomes, effects);
            }
            Letter::PatternGranted(granted) => {
                self.pattern_granted(from, &granted, effects);
            }
            Letter::Page(reply) => {
                let PageReply { key, page, .. } = *reply;
                self.hub.page_came(&mut self.clients, (key, page), effects);
            }
            Letter::Listed(listed) => {
                let Listed {
                    number,
                    changed,
                    vouched,
                    ..
                } = *listed;
                self.listed((number, from), (changed, vouched), effects);
            }
            Letter::Mark(_, mark) => self.hub.patterns.heard(from, *mark),
            Letter::Publication(publication) => {
                self.hub
                    .publication(&mut self.clients, publication, effects);
            }
            Letter::Lost(loss) => self.hub.lost(&mut self.clients, &loss, effects),
            Letter::State(ask) => self.answer_state(from, *ask, effects),
            Letter::StateAnswer(answer) => self.state_answered(from, *answer, effects),
            Letter::StateDone(_) => {}
            Letter::Window(window) => self.state_window(&window, effects),
        }
    }

    /// Has connections read on that waited until fewer requests of this core were unanswered.
    fn read_on(&mut self, effects: &mut Effects<Mail>) {
        while let Some(key) = self.requests.next_to_go_on() {
            if let Some(client) = self.clients.get_mut(key)
                && client.talk().room(&self.shared.options)
                && let Some(conn) = client.conn
            {
                effects.release(conn);
            }
        }
    }

    /// Another core has lost its memory.
    fn restarted(&mut self, core: CoreId, effects: &mut Effects<Mail>) {
        self.home.forget_core(effects.now().tick, core);
        self.losses.retain(|(_, to), _| *to != core);
        self.requests.give_up(core);
        for client in self.clients.values_mut() {
            let Some(conn) = client.conn else {
                continue;
            };
            if let Some(talk) = &mut client.talk {
                talk.give_up(core);
                if talk.release(&self.shared.options) {
                    effects.release(conn);
                }
            }
            effects.ready(conn);
        }
        let (shared, cores) = (Arc::clone(&self.shared), self.cores);
        let lost = (core, |topic: &str| shared.home_of(topic, cores));
        self.hub.home_restarted(&mut self.clients, lost, effects);
        // No list comes from there that a `welcome` could wait for.
        let keys: Vec<ClientKey> = self.clients.keys().collect();
        for key in keys {
            self.welcome(key, effects);
        }
        for pattern in self.hub.patterns.texts() {
            self.ask_pattern(core, pattern, None, effects);
        }
        self.state_restarted(core, effects);
    }

    /// When the client's timer is to ring next: what is due is done by [`Handler::timeout`].
    pub(super) fn set_timer(&self, key: ClientKey, context: &mut Context<'_, Mail>) {
        let Some(client) = self.clients.get(key) else {
            return;
        };
        let options = &self.shared.options;
        let now = context.now();
        let left =
            |since: crate::engine::Tick, ms: u32| u64::from(ms.saturating_sub(now.since(since)));
        let pulse_ms = match client.heartbeat.state {
            Pulse::Fine => left(client.heartbeat.said, options.ping_ms),
            Pulse::Asked(at) | Pulse::AskedTwice(at) => left(at, options.slack_ms / 2),
        };
        let expiry_ms = client.expires.map(|expires| {
            let now_ms = context.effects().now().unix_ms;
            expires
                .next_ms(options.token_warning_ms)
                .saturating_sub(now_ms)
        });
        let ms = expiry_ms.map_or(pulse_ms, |ms| ms.min(pulse_ms));
        context.set_timer(u32::try_from(ms.clamp(1, TIMER_MS_MAX)).unwrap_or(1));
    }

    /// Asks a silent client whether it is there. Returns the reason if it is to be given up.
    fn check_pulse(&mut self, key: ClientKey, context: &mut Context<'_, Mail>) -> Option<Bye> {
        let options = &self.shared.options;
        let client = self.clients.get_mut(key)?;
        let now = context.now();
        let heartbeat = &mut client.heartbeat;
        heartbeat.state = match heartbeat.state {
            Pulse::Fine if heartbeat.said.after(options.ping_ms).is_due(now) => Pulse::Asked(now),
            Pulse::Asked(at) if at.after(options.slack_ms / 2).is_due(now) => {
                Pulse::AskedTwice(now)
            }
            Pulse::AskedTwice(at) if at.after(options.slack_ms / 2).is_due(now) => {
                self.pen.counters.pong_timeouts.add(1);
                return Some(Bye::NoPong);
            }
            Pulse::Fine | Pulse::Asked(_) | Pulse::AskedTwice(_) => return None,
        };
        heartbeat.said = now;
        heartbeat.count = heartbeat.count.wrapping_add(1);
        let t = u64::from(heartbeat.count);
        let ping = Push::Ping(Ping { t });
        // Nothing is to be asked of a connection that is closing.
        let _ = self.pen.push(client.dialect, &ping, context);
        context.rest();
        let core = (&mut self.hub, &mut self.clients);
        let _ = positions::tell(core, key, &mut self.pen, context);
        None
    }

    /// Asks for another token, and ends the connection if none has come.
    fn check_token(&mut self, key: ClientKey, context: &mut Context<'_, Mail>) -> Option<Bye> {
        let warning_ms = self.shared.options.token_warning_ms;
        let client = self.clients.get_mut(key)?;
        let now_ms = context.effects().now().unix_ms;
        let expires = client.expires.as_mut()?;
        if expires.next_ms(warning_ms) > now_ms {
            return None;
        }
        if expires.told == Told::Yes {
            return Some(Bye::TokenExpired);
        }
        expires.told = Told::Yes;
        let in_ms = expires.unix_ms.saturating_sub(now_ms);
        let push = Push::TokenExpiring(TokenExpiring { in_ms });
        let _ = self.pen.push(client.dialect, &push, context);
        None
    }

    /// Says why, and closes the connection.
    pub(super) fn bye(&mut self, key: ClientKey, bye: Bye, context: &mut Context<'_, Mail>) {
        let Some(client) = self.clients.get(key) else {
            return;
        };
        let (code, reason, retry_ms) = bye.told();
        let spread_ms = (bye == Bye::Stopping).then_some(u64::from(self.shared.options.spread_ms));
        let push = Closing {
            code: code.0,
            reason: reason.into(),
            retry_ms,
            spread_ms,
            url: None,
        };
        self.pen.close(client.dialect, &push, context);
    }
}

impl Handler for MessagingHandler {
    type Session = ClientKey;
    type Mail = Mail;

    fn begin(&mut self, effects: &mut Effects<Mail>) {
        self.counters().requests_unanswered.set(0);
        if self.life > 0 {
            for core in self.cores().filter(|core| *core != self.core) {
                effects.mail(core, Letter::Restarted.into());
            }
        }
    }

    fn upgrade(&mut self, request: &mut UpgradeRequest<'_>) -> Result<ClientKey, Response> {
        let offered = request.subprotocols().find_map(Dialect::from_subprotocol);
        let Some(dialect) = offered else {
            return Err(Response::text(
                400,
                "offer one of the WebSocket subprotocols corewire.v1.json and corewire.v1.bin",
            ));
        };
        if request.choose_subprotocol(dialect.subprotocol()).is_err() {
            return Err(Response::text(400, "the subprotocol was not offered"));
        }
        Ok(self.clients.insert(Client::new(dialect)))
    }

    fn open(&mut self, key: &mut ClientKey, context: &mut Context<'_, Mail>) {
        context.leave_pings_to_application();
        context.set_timer(self.shared.options.hello_timeout_ms);
        context.limit_messages(self.shared.options.hello_bytes);
        if let Some(client) = self.clients.get_mut(*key) {
            client.conn = Some(context.id());
            client.heartbeat.said = context.now();
        }
    }

    fn message(
        &mut self,
        key: &mut ClientKey,
        message: Message<'_>,
        context: &mut Context<'_, Mail>,
    ) {
        let (words, unanswered) = (self.pen.words, self.requests.unanswered());
        self.message_came(*key, &message, context);
        self.settle(context.effects());
        if let Some(client) = self.clients.get_mut(*key) {
            client.heartbeat.state = Pulse::Fine;
            // What the client says does not tell it that we are there.
            if self.pen.words != words {
                client.heartbeat.said = context.now();
            }
        }
        self.hold(*key, unanswered, context);
    }

    fn fill(&mut self, key: &mut ClientKey, context: &mut Context<'_, Mail>) -> Fill {
        let talk = self.clients.get_mut(*key).and_then(|of| of.talk.as_mut());
        if let Some(bye) = talk.and_then(|talk| talk.bye.take()) {
            self.counters().over_pattern_topics.add(1);
            self.bye(*key, bye, context);
            // A message whose turn was over is not gone on with: the rest stands behind our Close frame.
            return Fill::Done;
        }
        self.go_on(*key, context);
        let mut filling = Filling {
            hub: &mut self.hub,
            clients: &mut self.clients,
            pen: &mut self.pen,
            watchers: &mut self.states.watchers,
            context,
        };
        let fill = filling.fill(*key);
        self.settle(context.effects());
        let client = self.clients.get(*key);
        match client.and_then(|client| client.talk.as_ref()) {
            Some(talk) if talk.batch.as_ref().is_some_and(|batch| batch.wants_turn()) => Fill::More,
            Some(_) | None => fill,
        }
    }

    fn timeout(&mut self, key: &mut ClientKey, context: &mut Context<'_, Mail>) {
        // Also where nobody publishes any more.
        self.home.tidy(context.now());
        self.count_kept();
        let greeting = match self.clients.get(*key) {
            Some(client) => matches!(client.stage, Stage::Greeting),
            None => return,
        };
        let bye = if greeting {
            Some(Bye::NoHello)
        } else {
            self.check_pulse(*key, context)
                .or_else(|| self.check_token(*key, context))
        };
        match bye {
            Some(bye) => self.bye(*key, bye, context),
            None => self.set_timer(*key, context),
        }
        self.settle(context.effects());
    }

    fn stop(&mut self, key: &mut ClientKey, context: &mut Context<'_, Mail>) {
        self.bye(*key, Bye::Stopping, context);
    }

    fn close(&mut self, key: ClientKey, _: &End, effects: &mut Effects<Mail>) {
        self.state_lapses(key, effects);
        self.hub.leave(&mut self.clients, key);
        self.clients.remove(key);
        self.settle(effects);
    }

    fn mail(&mut self, from: CoreId, mail: Mail, effects: &mut Effects<Mail>) {
        // What answers this core's last life is of no use to this one.
        let stamp = mail.0.replies_to();
        if stamp.is_none_or(|stamp| self.requests.answered(from, stamp)) {
            self.letter(from, mail.0, effects);
            self.read_on(effects);
        }
        self.finish_reads(effects);
        self.settle(effects);
    }

    fn alarm(&mut self, effects: &mut Effects<Mail>) {
        self.state_alarm(effects);
        self.look_after_home(effects);
        self.finish_reads(effects);
        self.settle(effects);
    }

    fn undelivered(&mut self, to: CoreId, mail: Mail, effects: &mut Effects<Mail>) {
        match mail.0 {
            Letter::Publication(publication) => self.lose(to, &publication, effects),
            Letter::Window(window) => self.state_missed(to, &window, effects),
            Letter::Granted(granted) => self.send_granted(to, granted, effects),
            Letter::PatternGranted(granted) => self.send_pattern_granted(to, granted, effects),
            Letter::Listed(listed) => self.send_listed(to, listed, effects),
            letter @ (Letter::Restarted
            | Letter::Publish(_)
            | Letter::Interest(_)
            | Letter::PatternInterest(_)
            | Letter::History(_)
            | Letter::HistoryPage(_)
            | Letter::Read(_)
            | Letter::Walk(_)
            | Letter::AskMark(_)
            | Letter::NoInterest(_)
            | Letter::NoPatternInterest(_)
            | Letter::Published(_)
            | Letter::Page(_)
            | Letter::Mark(..)
            | Letter::Lost(_)
            | Letter::State(_)
            | Letter::StateAnswer(_)
            | Letter::StateDone(_)) => effects.mail(to, Mail(letter)),
        }
    }
}

/// The reply to a publication.
pub(super) fn pubbed(outcome: Result<Standing, NotPublished>) -> Reply<'static> {
    match outcome {
        Ok(standing) => Reply::Pubbed(Pubbed {
            epoch: standing.topic.epoch.to_string().into(),
            offset: standing.offset,
            level: standing.level,
            dup: standing.duplicate,
        }),
        Err(error) => Reply::Error(not_published(error)),
    }
}

/// What a client is told of a command that has no `id`.
pub(super) fn warn(command: &'static str, error: ErrorReply<'static>) -> Push<'static> {
    Push::Warn(Warn {
        code: error.code,
        text: error.text,
        command: Some(command.into()),
    })
}

//! Where the messaging layer asks about state: commands, subscriptions, ends, mail and time.

use std::sync::Arc;

use corewire_protocol::native::{
    Done, ErrorCode, ErrorReply, PRESENCE, Presence, Reply, STATE_TTL_MS_MAX, StateCommand,
    StateOp, Subject, Subscribe, TopicName,
};

use crate::engine::Effects;
use crate::ids::CoreId;

use super::super::client::ClientKey;
use super::super::handler::{MessagingHandler, warn};
use super::super::mail::{Letter, Mail};
use super::super::refusal::refused;
use super::super::subscriptions::Subscribed;
use super::Settled;
use super::board::{Draft, Given};
use super::holdings::{Change, Due, Go, Place};
use super::mail::{StateAnswer, StateAsk, What};
use super::member::{Holder, Member};
use super::refusal::Refusal;
use super::window::Window;

type Outcome = Result<Reply<'static>, ErrorReply<'static>>;

impl MessagingHandler {
    // ── Commands ──

    /// A `state`. `None`: the client is answered when the topic's home core has answered.
    pub(in crate::messaging) fn state_command(
        &mut self,
        key: ClientKey,
        id: Option<u64>,
        command: StateCommand<'_>,
        effects: &mut Effects<Mail>,
    ) -> Option<Outcome> {
        match self.try_state(key, id, command, effects) {
            Ok(outcome) => outcome,
            Err(error) => Some(Err(error)),
        }
    }

    fn try_state(
        &mut self,
        key: ClientKey,
        id: Option<u64>,
        command: StateCommand<'_>,
        effects: &mut Effects<Mail>,
    ) -> Result<Option<Outcome>, ErrorReply<'static>> {
        let now = effects.now().tick;
        let name = TopicName::parse(&command.topic)
            .map_err(|error| refused(ErrorCode::BadRequest, format!("state.topic: {error}")))?;
        let member = self.member(key).ok_or_else(gone)?;
        let topic: Box<str> = name.as_str().into();
        let namespace: Box<str> = command.namespace.as_ref().into();
        let place = |key: Option<&str>| {
            Arc::new(Place {
                topic: topic.clone(),
                namespace: namespace.clone(),
                key: key.unwrap_or(&member.session).into(),
            })
        };
        let (place, change) = match command.op {
            StateOp::Page { after, limit } => {
                self.is_covered(key, name)?;
                let after = after.map(|after| after.as_ref().into());
                let what = What::Page {
                    namespace,
                    after,
                    limit,
                };
                return self.ask_page(key, (id, &member), (topic, what), effects);
            }
            StateOp::Set { value, .. } if *namespace == *PRESENCE => {
                let value = value.as_deref().map(Arc::from);
                return self.presence_value(key, id, (member, topic, value), effects);
            }
            StateOp::Delete { .. } if *namespace == *PRESENCE => {
                return self.presence_value(key, id, (member, topic, None), effects);
            }
            StateOp::Set { key, value, ttl_ms } => {
                let ttl_ms = ttl_ms.unwrap_or(STATE_TTL_MS_MAX).min(STATE_TTL_MS_MAX);
                let change = Change::Set {
                    value: value.as_deref().map(Arc::from),
                    until: now.after(u32::try_from(ttl_ms).unwrap_or(u32::MAX)),
                };
                (place(key.as_deref()), change)
            }
            StateOp::Delete { key } => (place(key.as_deref()), Change::Delete),
        };
        if !self.states.holdings.has(key, &place) {
            self.is_covered(key, name)?;
        }
        self.states.touch();
        let holdings = &mut self.states.holdings;
        let go = holdings.change(now, (key, &member), &place, change.clone());
        match go.map_err(Refusal::told)? {
            Go::Later => Ok(Some(Ok(done()))),
            Go::Now => {
                let (topic, what) = letter(member, place, change, effects);
                Ok(self.ask(key, id, (topic, what), effects))
            }
        }
    }

    fn presence_value(
        &mut self,
        key: ClientKey,
        id: Option<u64>,
        (member, topic, value): (Arc<Member>, Box<str>, Option<Arc<str>>),
        effects: &mut Effects<Mail>,
    ) -> Result<Option<Outcome>, ErrorReply<'static>> {
        let now = effects.now().tick;
        self.states.touch();
        let holdings = &mut self.states.holdings;
        let go = holdings.value(now, key, &topic, value.clone());
        match go.map_err(Refusal::told)? {
            Go::Later => Ok(Some(Ok(done()))),
            Go::Now => {
                let given = Given::Value(value);
                let what = What::Announce { member, given };
                Ok(self.ask(key, id, (topic, what), effects))
            }
        }
    }

    fn ask_page(
        &mut self,
        key: ClientKey,
        (id, member): (Option<u64>, &Arc<Member>),
        (topic, what): (Box<str>, What),
        effects: &mut Effects<Mail>,
    ) -> Result<Option<Outcome>, ErrorReply<'static>> {
        if id.is_none() {
            let text = "state: a page is a reply; give the command an id";
            return Err(refused(ErrorCode::BadRequest, text));
        }
        let client = self.clients.get(key).ok_or_else(gone)?;
        let is_page = |(_, reply): &&(u64, Reply<'_>)| matches!(reply, Reply::Members(_));
        let replies = client.talk.iter().flat_map(|talk| &talk.replies);
        let ready = replies.filter(is_page).count();
        let holdings = &mut self.states.holdings;
        holdings.may_ask_page(key, ready).map_err(Refusal::told)?;
        let home = self.home_of(&topic);
        let outcome = self.ask(key, id, (topic, what), effects);
        if outcome.is_none() {
            let request = (home, self.requests.last());
            self.states.holdings.page_asked((key, member), request);
        }
        Ok(outcome)
    }

    /// Whether some subscription of a client covers a topic.
    fn is_covered(
        &mut self,
        key: ClientKey,
        name: TopicName<'_>,
    ) -> Result<(), ErrorReply<'static>> {
        let topic = self.hub.find(&name);
        let delivered = topic.and_then(|topic| self.hub.delivery_of(key, topic));
        if delivered.is_some() || self.covers(key, name) {
            Ok(())
        } else {
            Err(Refusal::NotSubscribed.told())
        }
    }

    /// The same, looking at the subscriptions themselves.
    fn covers(&mut self, key: ClientKey, name: TopicName<'_>) -> bool {
        let Some(client) = self.clients.get(key) else {
            return false;
        };
        let mut looked_at = 0;
        let covers = client.subscriptions.iter().any(|known| {
            looked_at += 1;
            match known.to {
                Subscribed::Topic(topic) => {
                    let topic = self.hub.topics.get(topic);
                    topic.is_some_and(|topic| topic.called.name() == &*name)
                }
                Subscribed::Pattern { key: pattern, .. } => {
                    let text = self.hub.patterns.text(pattern);
                    match text.map(Subject::parse) {
                        Some(Ok(Subject::Pattern(pattern))) => pattern.matches(name),
                        Some(Ok(Subject::Topic(_)) | Err(_)) | None => false,
                    }
                }
            }
        });
        self.hub.walked(looked_at);
        covers
    }

    fn member(&self, key: ClientKey) -> Option<Arc<Member>> {
        let author = self.clients.get(key)?.author(&self.shared.node)?;
        // A session is called as its first connection was.
        let first = author.producer.first_connection();
        Some(Arc::new(Member {
            user: (*author.user).into(),
            session: format!("{}-{first}", self.shared.node).into(),
            incarnation: author.producer.incarnation,
            conn: (*author.conn).into(),
        }))
    }

    // ── Subscriptions ──

    /// Whether a subscription may have the state that it asks for.
    pub(in crate::messaging) fn state_may_begin(
        &self,
        key: ClientKey,
        subscribe: &Subscribe<'_>,
    ) -> Result<(), ErrorReply<'static>> {
        if subscribe.presence.is_none() && subscribe.watch.is_empty() {
            return Ok(());
        }
        if let Ok(Subject::Pattern(_)) = Subject::parse(&subscribe.topic) {
            return Err(Refusal::Pattern.told());
        }
        let watchers = &self.states.watchers;
        let may = watchers.may_watch(key, namespaces(subscribe).count());
        may.map_err(Refusal::told)
    }

    /// A subscription has begun, or will when its home core has answered.
    pub(in crate::messaging) fn state_begins(&mut self, key: ClientKey, subscribe: &Subscribe<'_>) {
        let topic: &str = &subscribe.topic;
        if let Some(Presence::Announce | Presence::Both) = subscribe.presence
            && let Some(member) = self.member(key)
        {
            let holdings = &mut self.states.holdings;
            if holdings.announce((key, &member), topic, subscribe.s) {
                let given = Given::Kept;
                let what = What::Announce { member, given };
                self.states.asks.push_back((key, topic.into(), what));
            }
        }
        for namespace in namespaces(subscribe) {
            self.states.touch();
            self.states.fresh.push(key);
            let subject = (topic, namespace);
            if self.states.watchers.watch(key, subscribe.s, subject) {
                let namespace = namespace.into();
                let what = What::Watch { namespace };
                self.states.asks.push_back((key, topic.into(), what));
            }
        }
    }

    /// A subscription has ended, or did not begin after all.
    pub(in crate::messaging) fn state_ends(&mut self, key: ClientKey, s: u64) {
        if let Some(topic) = self.states.holdings.unsubscribed(key, s) {
            self.states.asks.push_back((key, topic, What::Leave));
        }
        self.hub.walked(self.states.watchers.watched_by(key));
        let deserted = self.states.watchers.unsubscribed(key, s);
        self.unwatch(key, deserted);
        for place in self.uncovered(key) {
            self.states
                .asks
                .push_back((key, place.topic.clone(), What::LeaveKey(place)));
        }
    }

    /// Takes from a client the keys in topics that no subscription covers any more.
    fn uncovered(&mut self, key: ClientKey) -> Vec<Arc<Place>> {
        let mut topics = self.states.holdings.topics_of_keys(key);
        topics.retain(|topic| {
            let name = TopicName::parse(topic);
            !name.is_ok_and(|name| self.covers(key, name))
        });
        self.states.holdings.give_up_keys(key, &topics)
    }

    fn unwatch(&mut self, key: ClientKey, deserted: Vec<(Box<str>, Box<str>)>) {
        for (topic, namespace) in deserted {
            let what = What::Unwatch { namespace };
            self.states.asks.push_back((key, topic, what));
        }
    }

    // ── Ends ──

    /// A client says that it leaves: it is gone at once.
    pub(in crate::messaging) fn state_leaves(&mut self, key: ClientKey, effects: &Effects<Mail>) {
        let given_up = self.states.holdings.end(effects.now().tick, key);
        let asks = &mut self.states.asks;
        for topic in given_up.presences {
            asks.push_back((key, topic, What::Leave));
        }
        for place in given_up.keys {
            asks.push_back((key, place.topic.clone(), What::LeaveKey(place)));
        }
    }

    /// A client is gone. What it held stays for its grace.
    pub(in crate::messaging) fn state_lapses(&mut self, key: ClientKey, effects: &Effects<Mail>) {
        let given_up = self.states.holdings.end(effects.now().tick, key);
        let asks = &mut self.states.asks;
        for topic in given_up.presences {
            asks.push_back((key, topic, What::Lapse));
        }
        for place in given_up.keys {
            asks.push_back((key, place.topic.clone(), What::LapseKey(place)));
        }
        let deserted = self.states.watchers.gone(key);
        self.unwatch(key, deserted);
    }

    /// Another core has lost its memory.
    pub(in crate::messaging) fn state_restarted(&mut self, core: CoreId, effects: &Effects<Mail>) {
        let now = effects.now().tick;
        self.states.touch();
        self.states.board.forget_core(now, core);
        let (shared, cores) = (Arc::clone(&self.shared), self.cores);
        let home_of = |topic: &str| shared.home_of(topic, cores);
        for (key, member, topic, value) in self.states.holdings.home_restarted(core, home_of) {
            let given = Given::Value(value);
            let what = What::Announce { member, given };
            self.states.asks.push_back((key, topic, what));
        }
        for (topic, namespace) in self.states.watchers.home_restarted(core, home_of) {
            let what = What::Watch { namespace };
            let asks = &mut self.states.asks;
            asks.push_back((ClientKey::default(), topic, what));
        }
    }

    // ── Mail ──

    /// A connection of another core asks.
    pub(in crate::messaging) fn answer_state(
        &mut self,
        from: CoreId,
        ask: StateAsk,
        effects: &mut Effects<Mail>,
    ) {
        let StateAsk {
            stamp,
            client,
            awaited,
            topic,
            what,
        } = ask;
        let (command, place) = (what.command(), what.place());
        let result = self.serve((from, client), &topic, what, effects);
        let letter = if awaited || result.is_err() {
            Letter::StateAnswer(Box::new(StateAnswer {
                stamp,
                client,
                awaited,
                command,
                place,
                result,
            }))
        } else {
            Letter::StateDone(stamp)
        };
        effects.mail(from, letter.into());
    }

    /// A home core has answered.
    pub(in crate::messaging) fn state_answered(
        &mut self,
        by: CoreId,
        answer: StateAnswer,
        effects: &mut Effects<Mail>,
    ) {
        let StateAnswer {
            stamp,
            client: key,
            awaited,
            command,
            place,
            result,
        } = answer;
        self.refused_at(key, place, &result);
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let mut id = None;
        if awaited {
            self.states.holdings.answered(key, (by, stamp.number));
            let talk = client.talk.as_mut();
            id = talk
                .and_then(|talk| talk.unanswered.answered(by, stamp.number))
                .flatten();
        }
        match (id, result) {
            (Some(id), result) => {
                let reply = result.unwrap_or_else(Reply::Error);
                client.talk().replies.push_back((id, reply));
            }
            (None, Ok(_)) => {}
            (None, Err(error)) => client.talk().notice(warn(command, error)),
        }
        if let Some(conn) = client.conn {
            if let Some(talk) = &mut client.talk
                && talk.release(&self.shared.options)
            {
                effects.release(conn);
            }
            effects.ready(conn);
        }
    }

    /// What has changed in a set that clients of this core watch.
    pub(in crate::messaging) fn state_window(
        &mut self,
        window: &Arc<Window>,
        effects: &mut Effects<Mail>,
    ) {
        let clients = &self.clients;
        self.states.watchers.receive(window, |client| {
            if let Some(conn) = clients.get(client).and_then(|client| client.conn) {
                effects.ready(conn);
            }
        });
    }

    /// What has changed did not fit into the line to a core.
    pub(in crate::messaging) fn state_missed(
        &mut self,
        to: CoreId,
        window: &Window,
        effects: &mut Effects<Mail>,
    ) {
        self.counters().state_missed.add(1);
        let now = effects.now().tick;
        self.states.touch();
        self.states.board.missed(now, window, to);
        self.state_settles(effects);
    }

    // ── Time ──

    /// The core's alarm has rung.
    pub(in crate::messaging) fn state_alarm(&mut self, effects: &mut Effects<Mail>) {
        let now = effects.now().tick;
        self.states.armed = None;
        self.states.touch();
        self.states.board.tick(now);
        while let Some((key, due)) = self.states.holdings.due(now) {
            let (topic, what) = match due {
                Due::Presence {
                    member,
                    topic,
                    value,
                } => {
                    let given = Given::Value(value);
                    (topic, What::Announce { member, given })
                }
                Due::Key {
                    member,
                    place,
                    change,
                } => letter(member, place, change, effects),
            };
            self.states.asks.push_back((key, topic, what));
        }
        self.state_settles(effects);
    }

    /// Sends what is to be sent, and sees to it that the alarm rings in time.
    pub(in crate::messaging) fn state_settles(&mut self, effects: &mut Effects<Mail>) {
        if self.states.asks.is_empty() && self.states.settled == Settled::Yes {
            return;
        }
        self.send_asks(effects);
        self.states.settled = Settled::Yes;
        for (core, window) in std::mem::take(&mut self.states.board.outgoing) {
            if core == self.core {
                self.state_window(&window, effects);
            } else {
                effects.mail(core, Letter::Window(window).into());
            }
        }
        for client in std::mem::take(&mut self.states.fresh) {
            let client = self.clients.get(client);
            if let Some(conn) = client.and_then(|client| client.conn) {
                effects.ready(conn);
            }
        }
        let tally = std::mem::take(&mut self.states.board.tally);
        let counters = self.counters();
        counters.state_entered.add(tally.entered);
        counters.state_left.add(tally.left);
        counters.state_marks.add(tally.marks);
        let now = effects.now().tick;
        if let Some(ms) = self.states.next_in_ms(now) {
            let at = now.after(ms);
            let armed = self.states.armed;
            if armed.is_none_or(|armed| !armed.is_due(at)) {
                self.states.armed = Some(at);
                effects.set_alarm(ms);
            }
        }
    }

    fn send_asks(&mut self, effects: &mut Effects<Mail>) {
        while let Some((client, topic, what)) = self.states.asks.pop_front() {
            let command = what.command();
            let outcome = self.send(client, None, (topic, what), effects);
            if let Some(Err(error)) = outcome
                && let Some(client) = self.clients.get_mut(client)
            {
                client.talk().notice(warn(command, error));
                if let Some(conn) = client.conn {
                    effects.ready(conn);
                }
            }
        }
    }

    // ── At home ──

    /// Asks a topic's home core, behind all that is to be sent already. `None`: the answer will
    /// come, if one is wanted.
    fn ask(
        &mut self,
        client: ClientKey,
        id: Option<u64>,
        what: (Box<str>, What),
        effects: &mut Effects<Mail>,
    ) -> Option<Outcome> {
        self.send_asks(effects);
        self.send(client, id, what, effects)
    }

    fn send(
        &mut self,
        client: ClientKey,
        id: Option<u64>,
        (topic, what): (Box<str>, What),
        effects: &mut Effects<Mail>,
    ) -> Option<Outcome> {
        let home = self.home_of(&topic);
        if home == self.core {
            let place = what.place();
            let outcome = self.serve((self.core, client), &topic, what, effects);
            self.refused_at(client, place, &outcome);
            return Some(outcome);
        }
        let stamp = self.requests.sent(home, 0);
        if id.is_some()
            && let Some(client) = self.clients.get_mut(client)
        {
            let request = (home, stamp.number);
            client.talk().unanswered.sent(request, id, 0);
        }
        let ask = StateAsk {
            stamp,
            client,
            awaited: id.is_some(),
            topic,
            what,
        };
        effects.mail(home, Letter::State(Box::new(ask)).into());
        None
    }

    /// Forgets a key that its connection does not hold after all.
    fn refused_at(&mut self, client: ClientKey, place: Option<Arc<Place>>, outcome: &Outcome) {
        if let (Some(place), Err(error)) = (place, outcome)
            // Over the budget an entry stays as it was.
            && error.code != ErrorCode::Overloaded
        {
            self.states.holdings.refused(client, &place);
        }
    }

    /// Does what a connection of some core asks, for a topic whose home is here.
    fn serve(
        &mut self,
        (core, client): (CoreId, ClientKey),
        topic: &str,
        what: What,
        effects: &Effects<Mail>,
    ) -> Outcome {
        let now = effects.now().tick;
        self.states.touch();
        let holder = Holder { core, client };
        let (home, board) = (&mut self.home, &mut self.states.board);
        let mut identify = || {
            home.tidy(now);
            home.identify(now, topic).map_err(|_| Refusal::Topics)
        };
        let result = match what {
            What::Announce { member, given } => {
                identify().and_then(|id| board.announce(now, &id, (holder, &member), given))
            }
            What::Leave => {
                board.leave(now, topic, holder);
                Ok(())
            }
            What::Lapse => {
                board.lapse(now, topic, holder);
                Ok(())
            }
            What::Set {
                member,
                place,
                value,
                ttl_ms,
            } => identify().and_then(|id| {
                let draft = Draft {
                    namespace: &place.namespace,
                    key: &place.key,
                    user: &member.user,
                    value,
                    ttl_ms,
                };
                board.set(now, &id, holder, draft)
            }),
            What::Delete { member, place } => {
                let of = (&*place.namespace, &*place.key);
                board.delete(now, topic, of, &member.user)
            }
            What::LeaveKey(place) => {
                board.leave_key(now, topic, (&place.namespace, &place.key), holder);
                Ok(())
            }
            What::LapseKey(place) => {
                board.lapse_key(now, topic, (&place.namespace, &place.key), holder);
                Ok(())
            }
            What::Watch { namespace } => {
                identify().map(|id| board.watch(now, &id, &namespace, core))
            }
            What::Unwatch { namespace } => {
                board.unwatch(topic, &namespace, core);
                Ok(())
            }
            What::Page {
                namespace,
                after,
                limit,
            } => {
                self.pen.counters.state_pages.add(1);
                let page = identify()
                    .and_then(|id| board.page(&id, &namespace, (after.as_deref(), limit)));
                return page.map(Reply::Members).map_err(Refusal::told);
            }
        };
        result.map(|()| done()).map_err(Refusal::told)
    }
}

/// What a home core is told of a change.
fn letter(
    member: Arc<Member>,
    place: Arc<Place>,
    change: Change,
    effects: &Effects<Mail>,
) -> (Box<str>, What) {
    let topic = place.topic.clone();
    let what = match change {
        Change::Set { value, until } => What::Set {
            member,
            place,
            value,
            // It may have waited here for its pace.
            ttl_ms: until.since(effects.now().tick).max(1),
        },
        Change::Delete => What::Delete { member, place },
    };
    (topic, what)
}

/// The namespaces that a subscription watches.
fn namespaces<'a>(subscribe: &'a Subscribe<'_>) -> impl Iterator<Item = &'a str> {
    let presence = matches!(subscribe.presence, Some(Presence::Watch | Presence::Both));
    let others = subscribe.watch.iter().map(|name| &**name);
    presence.then_some(PRESENCE).into_iter().chain(others)
}

const fn done() -> Reply<'static> {
    Reply::Ok(Done { expires_ms: None })
}

/// The client has just gone; nobody will read it.
fn gone() -> ErrorReply<'static> {
    refused(ErrorCode::Internal, "the connection has ended")
}

//! What the client says: written when a connection takes it, and not before.

use std::borrow::Cow;

use corewire_protocol::MessageKind;
use corewire_protocol::native::{
    Auth, Batch, Bye, Command, Credit, CreditScope, Full, HELLO_SUBSCRIPTIONS_MAX, Hello, Pong,
    Request, Start, Subscribe, Unsubscribe,
};

use super::Machine;
use super::course::Elder;
use super::link::{Awaited, Link, LinkId, Positions, Probe, Stage};
use super::options::Identity;
use super::publication::PublishError;
use super::state::States;
use super::subscription::{Subscription, SubscriptionId};

/// Bytes of a message with several commands.
const BATCH_BYTES: usize = 16 << 10;
/// Bytes of the `hello`: what does not fit is said behind it.
const HELLO_BYTES: usize = 60 << 10;
/// What a subscription takes in a message beside its subject and its position, at most.
const SUBSCRIBE_BYTES: usize = 160;
/// Bytes of a message with a subscription whose position is large.
const POSITION_BATCH_BYTES: usize = 64 << 10;
/// What the version of the protocol is.
const VERSION: u64 = 1;

impl Machine {
    /// Appends the next message for this connection to `out`. `None` if there is none now.
    pub fn transmit(&mut self, id: LinkId, now_ms: u64, out: &mut Vec<u8>) -> Option<MessageKind> {
        let (link, _, _) = self.linked(id)?;
        let kind = link.dialect.kind();
        let written = match link.stage {
            Stage::Opening { .. } | Stage::Leaving { .. } => false,
            Stage::Hello { until_ms } => {
                self.hello(until_ms, out);
                true
            }
            Stage::Greeting { .. } | Stage::Ready => self.batch(id, now_ms, out),
            Stage::Bye { until_ms } => {
                link.stage = Stage::Leaving { until_ms };
                let request = Request {
                    id: None,
                    command: Command::Bye(Bye { reason: None }),
                };
                link.dialect.write_request(&request, out);
                true
            }
        };
        written.then_some(kind)
    }

    fn hello(&mut self, until_ms: u64, out: &mut Vec<u8>) {
        // The elder connection is past this.
        let Some(link) = self.state.link_mut() else {
            return;
        };
        let mut hello = Hello {
            version: VERSION,
            ..Hello::default()
        };
        match &self.options.identity {
            Identity::Anonymous => {}
            Identity::Name(name) => hello.user = Some(Cow::Borrowed(name)),
            Identity::Token(_) | Identity::Renewable => {
                hello.token = self.token.text().map(Cow::Borrowed);
            }
        }
        hello.resume = self.ticket.as_deref().map(Cow::Borrowed);
        let said = [&hello.token, &hello.user, &hello.resume];
        let said: usize = said.into_iter().flatten().map(|text| text.len()).sum();
        // In JSON a character of a name may take six.
        let mut bytes = said.saturating_mul(6) + SUBSCRIBE_BYTES;
        let window = self.options.window.topic_messages;
        // Those that go on come first: another one of the same topic does not begin it behind them.
        let wanted = self.subscriptions.iter();
        let wanted = wanted.filter(|(_, subscription)| is_wanted(subscription));
        let (new, begun): (Vec<_>, Vec<_>) = wanted.partition(|(_, one)| one.is_new());
        for (id, subscription) in begun.into_iter().chain(new) {
            if let Some(elder) = self.elder.as_deref_mut()
                && subscription.is_new()
            {
                // It begins here: what the elder connection still answers is from before.
                elder.link_mut().said.remove(&id);
            }
            let subscribe = word(id, subscription, window, link.positions);
            bytes += subscribe.topic.len() + start_bytes(&subscribe.from) + SUBSCRIBE_BYTES;
            bytes += state_bytes(&subscribe);
            let fits = bytes <= HELLO_BYTES && hello.subscribe.len() < HELLO_SUBSCRIPTIONS_MAX;
            if fits && link.unsaid.is_empty() {
                if is_resumption(subscription, &subscribe) {
                    link.resuming.insert(id);
                }
                hello.subscribe.push(Ok(subscribe));
                link.hello_subscriptions.push(id);
                link.said.insert(id, None);
            } else {
                link.unsaid.push_back(id);
            }
        }
        self.next_command += 1;
        let request = Request {
            id: Some(self.next_command),
            command: Command::Hello(Box::new(hello)),
        };
        // In one message, so that no past comes for which there is no room.
        let mut batch = Batch::new(link.dialect, usize::MAX, out);
        let written = batch.request(&request);
        let written = written.and_then(|()| grant(link, &mut batch));
        debug_assert!(written.is_ok(), "there is no bound");
        link.stage = Stage::Greeting {
            hello: self.next_command,
            until_ms,
        };
    }

    /// Writes as many commands as fit. `false` if there are none.
    fn batch(&mut self, id: LinkId, now_ms: u64, out: &mut Vec<u8>) -> bool {
        let next_command = &mut self.next_command;
        let elder = self.elder.as_deref_mut().map(Elder::link_mut);
        let (link, is_main) = match (self.state.link_mut(), elder) {
            (Some(link), _) if link.id == id => (link, true),
            (_, Some(link)) if link.id == id => (link, false),
            (_, _) => return false,
        };
        let dialect = link.dialect;
        let first = link.unsaid.front();
        let first = first.and_then(|s| self.subscriptions.get(*s));
        let batch_bytes = match first {
            Some(first) if start_bytes(&first.start()) > BATCH_BYTES / 2 => POSITION_BATCH_BYTES,
            Some(_) | None => BATCH_BYTES,
        };
        let mut batch = Batch::new(dialect, batch_bytes, out);
        let room = control(link, next_command, now_ms, &mut batch);
        let room = room.and_then(|()| {
            let window = self.options.window.topic_messages;
            while let Some(s) = link.unsaid.pop_front() {
                let Some(subscription) = self.subscriptions.get(s) else {
                    continue;
                };
                if link.said.contains_key(&s) || !is_wanted(subscription) {
                    continue;
                }
                let subscribe = word(s, subscription, window, link.positions);
                let resumes = is_resumption(subscription, &subscribe);
                let id = Self::command_id(next_command);
                let request = Request {
                    id: Some(id),
                    command: Command::Subscribe(Box::new(subscribe)),
                };
                if batch.request(&request).is_err() {
                    link.unsaid.push_front(s);
                    return Err(Full);
                }
                if resumes {
                    link.resuming.insert(s);
                }
                link.said.insert(s, None);
                link.awaiting.insert(id, (Awaited::Subscribe(s), now_ms));
            }
            while is_main
                && link.is_ready()
                && let Some((asked, history)) = self.histories.first()
            {
                let id = Self::command_id(next_command);
                batch.request(&history.request(id))?;
                self.histories.sent();
                link.awaiting.insert(id, (Awaited::History(asked), now_ms));
            }
            if is_main {
                state(link, &mut self.states, next_command, now_ms, &mut batch)?;
            }
            Ok(())
        });
        if !batch.is_empty() {
            return true;
        }
        // An empty batch has room for any of these.
        room.is_ok() && self.may_publish(id, is_main) && self.publish_batch(id, now_ms, out)
    }

    /// Whether publications go over this connection: over the elder one until the next one is
    /// ready, and over that when nothing is in flight on the elder any more, so that their order
    /// holds. An elder one of an earlier session is left alone: its numbers are others.
    fn may_publish(&self, id: LinkId, is_main: bool) -> bool {
        let ready = self.state.link().is_some_and(Link::is_ready);
        let turn = if is_main { ready } else { !ready };
        let free = self.publications.in_flight() == 0 || self.publishing == Some(id);
        let elder = self.elder.as_ref().map(|elder| &elder.link);
        let link = if is_main { self.state.link() } else { elder };
        let known = link.is_some_and(|link| link.session == self.publications.session());
        turn && free && known && self.fenced != Some(id)
    }

    fn publish_batch(&mut self, id: LinkId, now_ms: u64, out: &mut Vec<u8>) -> bool {
        let elder = self.elder.as_deref_mut().map(Elder::link_mut);
        let link = match (self.state.link_mut(), elder) {
            (Some(link), _) if link.id == id => link,
            (_, Some(link)) if link.id == id => link,
            (_, _) => return false,
        };
        let in_flight_max = match usize::try_from(link.limits.unanswered) {
            Ok(0) | Err(_) => self.options.in_flight_max,
            Ok(unanswered) => self.options.in_flight_max.min(unanswered),
        };
        let in_flight_max = in_flight_max.min(self.publications.in_flight_max());
        let message_bytes = match usize::try_from(link.limits.message_bytes) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(bytes) => bytes,
        };
        let batch_bytes = BATCH_BYTES.min(message_bytes);
        let mut batch = Batch::new(link.dialect, batch_bytes, &mut *out);
        while self.publications.in_flight() < in_flight_max
            && link.pace.may_send(now_ms)
            && let Some(first) = self.publications.first()
        {
            let command = Self::command_id(&mut self.next_command);
            let request = first.request(command);
            let mut sent = batch.request(&request);
            if sent.is_err() {
                if !batch.is_empty() {
                    break;
                }
                // It is larger than a batch: it goes alone, if the server takes it.
                batch = Batch::new(link.dialect, message_bytes, &mut *out);
                sent = batch.request(&request);
            }
            match sent {
                Ok(()) => {
                    link.pace.sent();
                    self.publications.sent(command);
                    self.publishing = Some(id);
                }
                Err(Full) => {
                    let bytes = first.publish.data.len() as u64;
                    let max = message_bytes as u64;
                    self.publications
                        .fail_first(PublishError::TooLarge { bytes, max });
                }
            }
            if batch.len() >= batch_bytes {
                break;
            }
        }
        !batch.is_empty()
    }
}

/// Whether the server is to be asked for a subscription.
const fn is_wanted(subscription: &Subscription) -> bool {
    !subscription.has_ended() && subscription.again_at_ms.is_none()
}

fn word(
    id: SubscriptionId,
    subscription: &Subscription,
    window: u64,
    positions: Positions,
) -> Subscribe<'_> {
    let from = match positions {
        Positions::Unwanted if !subscription.is_new() => Start::Now,
        Positions::Told | Positions::Unwanted => subscription.start(),
    };
    Subscribe {
        s: id.0,
        topic: Cow::Borrowed(&subscription.subscribe.subject),
        from,
        policy: subscription.subscribe.policy,
        credit: Some(window),
        presence: subscription.subscribe.presence,
        watch: subscription
            .subscribe
            .watch
            .iter()
            .map(|one| Cow::Borrowed(&**one))
            .collect(),
    }
}

/// Whether the server is asked to go on where an earlier connection has ended.
fn is_resumption(subscription: &Subscription, subscribe: &Subscribe<'_>) -> bool {
    !subscription.is_new() && subscribe.from != Start::Now
}

/// What its state takes in a message, at most.
fn state_bytes(subscribe: &Subscribe<'_>) -> usize {
    let watch = subscribe.watch.iter().map(|name| name.len() + 3);
    if subscribe.presence.is_none() && subscribe.watch.is_empty() {
        return 0;
    }
    r#","presence":"announce","watch":[]"#.len() + watch.sum::<usize>()
}

/// What a beginning takes in a message, at most: in JSON a character may take six.
fn start_bytes(start: &Start<'_>) -> usize {
    match start {
        Start::Now | Start::Last(_) | Start::Since(_) => 0,
        Start::After(place) => place.epoch.len() * 6,
        Start::Pattern(place) => {
            let seen = place.seen.iter();
            let seen = seen.map(|seen| seen.topic.len() + seen.epoch.len() * 6 + SUBSCRIBE_BYTES);
            place.pos.len() * 6 + seen.sum::<usize>()
        }
    }
}

/// The credit of the connection.
fn grant(link: &mut Link, batch: &mut Batch<'_>) -> Result<(), Full> {
    let before = link.account;
    let granted = link.account.grant();
    let credit = Credit {
        scope: CreditScope::Connection,
        messages: Some(granted.messages),
        bytes: Some(granted.bytes),
    };
    let command = Command::Credit(credit);
    batch
        .request(&Request { id: None, command })
        .inspect_err(|Full| link.account = before)
}

/// What was set of state, and questions for it.
fn state(
    link: &mut Link,
    states: &mut States,
    next_command: &mut u64,
    now_ms: u64,
    batch: &mut Batch<'_>,
) -> Result<(), Full> {
    // State is for topics to which the client is subscribed.
    while link.is_settled()
        && let Some(request) = states.first_own(link.id, *next_command + 1, now_ms)
    {
        batch.request(&request)?;
        *next_command += 1;
        if let Some(place) = states.said_own() {
            let awaited = Awaited::State(place.topic, place.namespace);
            link.awaiting.insert(*next_command, (awaited, now_ms));
        }
    }
    while link.is_ready()
        && let Some((set, number, request)) = states.first_page(link.id, *next_command + 1)
    {
        batch.request(&request)?;
        states.said_page(set, now_ms);
        *next_command += 1;
        let awaited = Awaited::Members(set, number);
        link.awaiting.insert(*next_command, (awaited, now_ms));
    }
    Ok(())
}

/// What keeps the connection going: answers, questions, credit.
fn control(
    link: &mut Link,
    next_command: &mut u64,
    now_ms: u64,
    batch: &mut Batch<'_>,
) -> Result<(), Full> {
    if link.account.is_due() {
        grant(link, batch)?;
    }
    if !link.is_ready() {
        return Ok(());
    }
    if let Some(t) = link.pong {
        let command = Command::Pong(Pong { t: Some(t) });
        batch.request(&Request { id: None, command })?;
        link.pong = None;
    }
    if link.probe == Probe::Due {
        *next_command += 1;
        let id = *next_command;
        let command = Command::Pong(Pong { t: None });
        batch.request(&Request {
            id: Some(id),
            command,
        })?;
        link.probe_sent(id, now_ms);
        link.awaiting.insert(id, (Awaited::Probe, now_ms));
    }
    if let Some(token) = &link.auth {
        *next_command += 1;
        let id = *next_command;
        let token = Cow::Borrowed(&**token);
        let command = Command::Auth(Auth { token });
        batch.request(&Request {
            id: Some(id),
            command,
        })?;
        link.awaiting.insert(id, (Awaited::Auth, now_ms));
        link.auth = None;
    }
    while let Some(&s) = link.unsubscribe.front() {
        *next_command += 1;
        let id = *next_command;
        let command = Command::Unsubscribe(Unsubscribe { s: s.0 });
        batch.request(&Request {
            id: Some(id),
            command,
        })?;
        link.unsubscribe.pop_front();
        link.awaiting.insert(id, (Awaited::Unsubscribe(s), now_ms));
    }
    while let Some(&t) = link.due.first() {
        if batch.len() + 64 > BATCH_BYTES {
            return Err(Full);
        }
        link.due.pop_first();
        let Some(messages) = link.grant(t) else {
            continue;
        };
        let credit = Credit {
            scope: CreditScope::Topic(t),
            messages: Some(messages),
            bytes: None,
        };
        let command = Command::Credit(credit);
        batch.request(&Request { id: None, command })?;
    }
    Ok(())
}

//! How a client comes in: `hello`, `welcome`, and another token later.

use corewire_protocol::native::{Auth, Done, ErrorCode, Hello, Reply, Resumed, Welcome};

use crate::engine::{Context, Effects};

use super::bye::Bye;
use super::client::{ClientKey, Expiry, Producer, Stage, Told, Welcoming, Who};
use super::dispatch::{Next, Refused};
use super::handler::MessagingHandler;
use super::identity::User;
use super::mail::Mail;
use super::refusal::{gone, refused};
use super::ticket::Ticket;
use super::topic::Answer;

impl MessagingHandler {
    /// The first command of a connection.
    pub(super) fn hello(
        &mut self,
        key: ClientKey,
        id: Option<u64>,
        hello: &Hello<'_>,
        context: &mut Context<'_, Mail>,
    ) -> Next {
        // Nobody can do without the `welcome`.
        let Some(id) = id else {
            return Next::Bye(Bye::HelloWithoutId);
        };
        let who = (Some(id), "hello");
        if hello.version != 1 {
            let text = format!("hello.v: {}; this server speaks version 1", hello.version);
            let error = refused(ErrorCode::Unsupported, text);
            self.answer(key, who, Err(error), context);
            return Next::Bye(Bye::BadVersion);
        }
        let now_s = context.effects().now().unix_ms / 1000;
        let (user, session) = match self.who(hello, now_s) {
            Ok(known) => known,
            Err(error) => {
                let expired = error.code == ErrorCode::TokenExpired;
                self.answer(key, who, Err(error), context);
                return Next::Bye(if expired {
                    Bye::TokenExpired
                } else {
                    Bye::BadToken
                });
            }
        };
        let Some(client) = self.clients.get_mut(key) else {
            return Next::Left;
        };
        context.lift_message_limit();
        client.expires = expiry(&user);
        client.stage = Stage::Welcoming(Box::new(Welcoming {
            id,
            who: Who {
                user: user.name,
                session: session.map(|session| Box::new(session.next())),
            },
            resumed: match session {
                Some(_) => Resumed::Yes,
                None => Resumed::No,
            },
            outcomes: vec![None; hello.subscribe.len()],
        }));
        for (place, subscribe) in hello.subscribe.iter().enumerate() {
            let asked = match subscribe {
                Ok(subscribe) => self.subscribe(key, subscribe, Answer::Welcome(place)),
                Err(unreadable) => Some(Err(unreadable.clone())),
            };
            let Some(result) = asked else {
                continue;
            };
            let outcome = match result {
                Ok(Reply::Subbed(subbed)) => Ok(subbed),
                Ok(_) => Err(refused(ErrorCode::Internal, "not a subscription")),
                Err(error) => Err(error),
            };
            if let Some(client) = self.clients.get_mut(key)
                && let Stage::Welcoming(welcoming) = &mut client.stage
                && let Some(slot) = welcoming.outcomes.get_mut(place)
            {
                *slot = Some(outcome);
            }
        }
        self.settle(context.effects());
        self.welcome(key, context.effects());
        self.set_timer(key, context);
        Next::Command
    }

    /// Who says hello, and which producer goes on.
    ///
    /// A ticket says both, if it is good. Where a token or a name says who it is, the ticket of the
    /// same user says which producer; a ticket that is good for nothing is as none.
    fn who(&self, hello: &Hello<'_>, now_s: u64) -> Result<(User, Option<Producer>), Refused> {
        let (token, name) = (hello.token.as_deref(), hello.user.as_deref());
        let ticket = hello.resume.as_deref();
        let ticket = ticket.and_then(|ticket| self.shared.tickets.check(ticket));
        if let Some(ticket) = &ticket
            && (token, name) == (None, None)
            && ticket.names_its_user(now_s)
        {
            let user = User {
                name: Some(ticket.user.clone()),
                expires_s: ticket.token_expires_s,
            };
            return Ok((user, Some(ticket.producer)));
        }
        let user = self.shared.identity.user(token, name, now_s)?;
        let session = ticket
            .filter(|ticket| user.name.as_deref() == Some(&*ticket.user))
            .map(|ticket| ticket.producer);
        Ok((user, session))
    }

    /// Sends the `welcome` once all its subscriptions are decided.
    pub(super) fn welcome(&mut self, key: ClientKey, effects: &mut Effects<Mail>) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let (Some(conn), Stage::Welcoming(welcoming)) = (client.conn, &mut client.stage) else {
            return;
        };
        // What a pattern begins with may have other subscriptions begin earlier.
        if welcoming.outcomes.iter().any(Option::is_none)
            || client.walks > 0 && self.hub.patterns.is_listing(key)
        {
            return;
        }
        let now_ms = effects.now().unix_ms;
        let author = welcoming.who.author(&self.shared.node, conn);
        let mut outcomes = std::mem::take(&mut welcoming.outcomes);
        for subbed in outcomes.iter_mut().flatten().flatten() {
            self.hub.begins(key, subbed);
        }
        let options = &self.shared.options;
        let ticket = Ticket {
            user: author.user.clone(),
            producer: author.producer,
            token_expires_s: client.expires.map(|expires| expires.unix_ms / 1000),
            expires_s: now_ms.saturating_add(u64::from(options.ticket_ms)) / 1000,
        };
        let welcome = Welcome {
            conn: author.conn.into_string().into(),
            node: self.shared.node.to_string().into(),
            user: author.user.into_string().into(),
            ticket: self
                .shared
                .tickets
                .issue(ticket, now_ms / 1000)
                .map(Into::into),
            resumed: welcoming.resumed,
            ping_ms: u64::from(options.ping_ms),
            slack_ms: u64::from(options.slack_ms),
            limits: self.shared.limits,
            expires_ms: client
                .expires
                .map(|expires| expires.unix_ms.saturating_sub(now_ms)),
            subscribed: outcomes.into_iter().flatten().collect(),
            time_ms: now_ms,
        };
        let reply = Reply::Welcome(Box::new(welcome));
        let (id, who) = (welcoming.id, std::mem::take(&mut welcoming.who));
        client.talk().replies.push_back((id, reply));
        client.stage = Stage::Ready(who);
        effects.ready(conn);
    }

    /// Another token of the same user.
    pub(super) fn auth(
        &mut self,
        key: ClientKey,
        auth: &Auth<'_>,
        context: &mut Context<'_, Mail>,
    ) -> Result<Reply<'static>, Refused> {
        let now_ms = context.effects().now().unix_ms;
        let identity = &self.shared.identity;
        let user = identity.user(Some(&auth.token), None, now_ms / 1000)?;
        let client = self.clients.get_mut(key).ok_or_else(gone)?;
        let who = client.who().ok_or_else(gone)?;
        if user.name != who.user {
            return Err(refused(
                ErrorCode::Forbidden,
                "auth.token: it is of another user; open a connection of its own for that",
            ));
        }
        client.expires = expiry(&user);
        self.set_timer(key, context);
        Ok(Reply::Ok(Done {
            expires_ms: user
                .expires_s
                .map(|expires_s| expires_s.saturating_mul(1000).saturating_sub(now_ms)),
        }))
    }
}

fn expiry(user: &User) -> Option<Expiry> {
    user.expires_s.map(|expires_s| Expiry {
        unix_ms: expires_s.saturating_mul(1000),
        told: Told::No,
    })
}

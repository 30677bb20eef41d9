//! What `corewire serve` serves: topics, an echo, pages to try them, health and counters.

use std::fmt::Write;
use std::net::IpAddr;

use crate::engine::{
    Context, Core, Effects, End, Fill, Handler, Message, Request, Response, Service, UpgradeRequest,
};
use crate::ids::CoreId;
use crate::messaging::{self, ClientKey, Identity, Mail, Messaging, MessagingHandler};

use super::{pages, random_key, random_seed};

/// The service of `corewire serve`: topics at `/ws`, a page that shows them at `/`, a WebSocket echo at
/// `/echo`, a page that measures it at `/round-trip`, `/healthz`, and counters at `/stats` for clients on the same machine.
#[derive(Debug)]
pub struct Site {
    messaging: Messaging,
}

/// The site on one core.
#[derive(Debug)]
pub struct SiteHandler {
    core: Core,
    messaging: MessagingHandler,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy)]
pub enum SiteSession {
    /// `/echo`.
    Echo,
    /// `/ws`.
    Client(ClientKey),
}

impl Site {
    /// A site with these topics.
    #[must_use]
    pub const fn new(messaging: Messaging) -> Self {
        Self { messaging }
    }
}

impl Default for Site {
    /// A site whose topics are open to everybody who can reach it.
    fn default() -> Self {
        let seed = random_seed().expect("the system has random bytes");
        let options = messaging::Options::default();
        let message_bytes = corewire_protocol::Limits::default().message_bytes;
        let messaging = Messaging::new(options, Identity::Anonymous, message_bytes, seed);
        let key = random_key().expect("the system has random bytes");
        Self::new(messaging.with_ticket_key(&key))
    }
}

impl Service for Site {
    type Handler = SiteHandler;

    fn handler(&self, core: &Core) -> SiteHandler {
        SiteHandler {
            core: core.clone(),
            messaging: self.messaging.handler(core),
        }
    }
}

impl Handler for SiteHandler {
    type Session = SiteSession;
    type Mail = Mail;

    fn begin(&mut self, effects: &mut Effects<Mail>) {
        self.messaging.begin(effects);
    }

    fn upgrade(&mut self, request: &mut UpgradeRequest<'_>) -> Result<SiteSession, Response> {
        match request.path() {
            "/echo" => Ok(SiteSession::Echo),
            "/ws" => self.messaging.upgrade(request).map(SiteSession::Client),
            _ => Err(Response::text(
                404,
                "no WebSocket here: connect to /ws for topics, or to /echo",
            )),
        }
    }

    fn open(&mut self, session: &mut SiteSession, context: &mut Context<'_, Mail>) {
        if let SiteSession::Client(key) = session {
            self.messaging.open(key, context);
        }
    }

    fn message(
        &mut self,
        session: &mut SiteSession,
        message: Message<'_>,
        context: &mut Context<'_, Mail>,
    ) {
        match session {
            SiteSession::Client(key) => self.messaging.message(key, message, context),
            // Not sent only if the connection is closing, which the client knows.
            SiteSession::Echo => drop(context.reply(message)),
        }
    }

    fn fill(&mut self, session: &mut SiteSession, context: &mut Context<'_, Mail>) -> Fill {
        match session {
            SiteSession::Client(key) => self.messaging.fill(key, context),
            SiteSession::Echo => Fill::Done,
        }
    }

    fn timeout(&mut self, session: &mut SiteSession, context: &mut Context<'_, Mail>) {
        if let SiteSession::Client(key) = session {
            self.messaging.timeout(key, context);
        }
    }

    fn stop(&mut self, session: &mut SiteSession, context: &mut Context<'_, Mail>) {
        match session {
            SiteSession::Client(key) => self.messaging.stop(key, context),
            SiteSession::Echo => context.close(
                corewire_protocol::CloseCode::GOING_AWAY,
                "the server is stopping",
            ),
        }
    }

    fn close(&mut self, session: SiteSession, end: &End, effects: &mut Effects<Mail>) {
        if let SiteSession::Client(key) = session {
            self.messaging.close(key, end, effects);
        }
    }

    fn mail(&mut self, from: CoreId, mail: Mail, effects: &mut Effects<Mail>) {
        self.messaging.mail(from, mail, effects);
    }

    fn alarm(&mut self, effects: &mut Effects<Mail>) {
        self.messaging.alarm(effects);
    }

    fn undelivered(&mut self, to: CoreId, mail: Mail, effects: &mut Effects<Mail>) {
        self.messaging.undelivered(to, mail, effects);
    }

    fn request(&mut self, request: &Request<'_>) -> Response {
        let path = request.path();
        let known = matches!(path, "/ws" | "/echo" | "/healthz" | "/stats") || pages::has(path);
        if known && !matches!(request.method(), "GET" | "HEAD") {
            return Response::method_not_allowed("GET, HEAD");
        }
        match path {
            "/ws" | "/echo" => Response::upgrade_required(),
            "/healthz" => Response::text(200, "ok").header("Cache-Control", "no-store"),
            "/stats" if is_loopback(request.peer().ip()) => {
                Response::new(200, "application/json", self.stats().into_bytes())
                    .header("Cache-Control", "no-store")
            }
            "/stats" => Response::text(403, "counters are for clients on the same machine"),
            _ => pages::at(path).unwrap_or_else(Response::not_found),
        }
    }
}

impl SiteHandler {
    /// The counters of all cores added up, as JSON.
    fn stats(&self) -> String {
        let cores = &self.core.counters;
        let mut json = format!("{{\"cores\":{}", cores.len());
        let names = cores.iter().flat_map(|counters| counters.all());
        let mut sums: Vec<(&str, u64)> = Vec::new();
        for (name, value) in names {
            match sums.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += value,
                None => sums.push((name, value)),
            }
        }
        let find = |name| {
            sums.iter()
                .find(|(known, _)| *known == name)
                .map_or(0, |sum| sum.1)
        };
        let open = find("accepted").saturating_sub(find("ended"));
        let _ = write!(json, ",\"connections\":{open}");
        for (name, value) in &sums {
            let _ = write!(json, ",\"{name}\":{value}");
        }
        json.push_str("}\n");
        json
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

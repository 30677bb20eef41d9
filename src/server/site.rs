//! What `corewire serve` serves: an echo, a page to try it, health and counters.

use std::fmt::Write;
use std::net::IpAddr;

use crate::engine::{Context, Core, Handler, Message, Request, Response, Service, UpgradeRequest};

const PAGE: &str = include_str!("page.html");

/// The service of `corewire serve`: a WebSocket echo at `/echo`, a page that tries it at `/`,
/// `/healthz`, and counters at `/stats` for clients on the same machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Site;

/// The site on one core.
#[derive(Debug)]
pub struct SiteHandler {
    core: Core,
}

impl Service for Site {
    type Handler = SiteHandler;

    fn handler(&self, core: &Core) -> SiteHandler {
        SiteHandler { core: core.clone() }
    }
}

impl Handler for SiteHandler {
    type Session = ();
    type Mail = ();

    fn upgrade(&mut self, request: &mut UpgradeRequest<'_>) -> Result<(), Response> {
        match request.path() {
            "/echo" => Ok(()),
            _ => Err(Response::text(404, "no WebSocket here: connect to /echo")),
        }
    }

    fn message(&mut self, (): &mut (), message: Message<'_>, context: &mut Context<'_, ()>) {
        // Not sent only if the connection is closing, which the client knows.
        let _ = context.reply(message);
    }

    fn request(&mut self, request: &Request<'_>) -> Response {
        let known = matches!(request.path(), "/" | "/echo" | "/healthz" | "/stats");
        if known && !matches!(request.method(), "GET" | "HEAD") {
            return Response::method_not_allowed("GET, HEAD");
        }
        match request.path() {
            "/" => Response::new(200, "text/html; charset=utf-8", PAGE.as_bytes())
                .header("Cache-Control", "no-cache")
                .header("X-Content-Type-Options", "nosniff")
                .header(
                    "Content-Security-Policy",
                    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                     connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
                     frame-ancestors 'none'",
                ),
            "/echo" => Response::upgrade_required(),
            "/healthz" => Response::text(200, "ok").header("Cache-Control", "no-store"),
            "/stats" if is_loopback(request.peer().ip()) => {
                Response::new(200, "application/json", self.stats().into_bytes())
                    .header("Cache-Control", "no-store")
            }
            "/stats" => Response::text(403, "counters are for clients on the same machine"),
            _ => Response::not_found(),
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

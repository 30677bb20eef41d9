//! The HTTP stage of a connection: requests until one becomes a WebSocket (RFC 9112).

use std::net::SocketAddr;
use std::ops::Deref;

use corewire_protocol::handshake::{
    Body as RequestBody, ExtraHeaders, HeadBytes, HeadError, HeadScanner, HeaderSpace, Refusal,
    RequestHead, SubprotocolNotOffered, Upgrade, Version, upgrade, wants_upgrade,
};
use corewire_protocol::{Role, Tick, WebSocket};

use super::commons::Commons;
use super::outbound::Outbound;
use super::response::{Body, Connection, Response};
use super::service::Handler;

/// The work that one request counts as, in bytes, so that a flood of them takes turns.
const REQUEST_WORK: usize = 1024;

/// A connection that speaks HTTP.
#[derive(Debug)]
pub(super) struct Http {
    peer: SocketAddr,
    scanner: HeadScanner,
    /// The bytes so far of a head that came in pieces.
    head: Vec<u8>,
    wait: Wait,
    deadline: Tick,
    admission: Admission,
}

/// What the deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The rest of a request, or the first one at all.
    Request,
    /// The first byte of a further request.
    Idle,
}

/// Whether requests are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Served,
    /// The process has as many connections as it may.
    OverLimit,
    /// The server is stopping.
    Stopping,
}

/// What became of the input.
#[derive(Debug)]
pub(super) enum Outcome<S> {
    /// All of it was taken; more is needed. So many bytes at its end begin a request.
    More { begun: usize },
    /// The connection has done enough for one turn. The rest of the input was not taken.
    Yield { taken: usize },
    /// The last response is written.
    Last,
    /// The connection is a WebSocket now; the rest of the input is frames.
    Opened {
        websocket: WebSocket,
        session: S,
        rest: Vec<u8>,
    },
}

/// An ordinary request. Derefs to its head.
#[derive(Debug)]
pub struct Request<'a> {
    head: RequestHead<'a>,
    peer: SocketAddr,
}

impl Request<'_> {
    /// The address of the client.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl<'a> Deref for Request<'a> {
    type Target = RequestHead<'a>;

    fn deref(&self) -> &RequestHead<'a> {
        &self.head
    }
}

/// A request that may become a WebSocket: every rule of RFC 6455, 4.2 is checked, and the origin.
/// Derefs to the request.
#[derive(Debug)]
pub struct UpgradeRequest<'a> {
    request: Request<'a>,
    upgrade: Upgrade<'a>,
}

impl<'a> UpgradeRequest<'a> {
    /// The subprotocols that the client offers, the one it likes best first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.upgrade.subprotocols()
    }

    /// Chooses the subprotocol of the connection.
    ///
    /// # Errors
    ///
    /// [`SubprotocolNotOffered`] if the client does not speak it.
    pub fn choose_subprotocol(&mut self, name: &str) -> Result<(), SubprotocolNotOffered> {
        self.upgrade.choose_subprotocol(name)
    }
}

impl<'a> Deref for UpgradeRequest<'a> {
    type Target = Request<'a>;

    fn deref(&self) -> &Request<'a> {
        &self.request
    }
}

impl Http {
    pub(super) const fn new(peer: SocketAddr, deadline: Tick, admission: Admission) -> Self {
        Self {
            peer,
            scanner: HeadScanner::new(),
            head: Vec::new(),
            wait: Wait::Request,
            deadline,
            admission,
        }
    }

    pub(super) const fn deadline(&self) -> Tick {
        self.deadline
    }

    /// The server is stopping: answer what comes with 503, and do not wait for long.
    pub(super) const fn stop(&mut self, deadline: Tick) {
        self.admission = Admission::Stopping;
        self.deadline = self.deadline.earlier(deadline);
    }

    /// The deadline has passed: 408 to who has begun a request, nothing to who has not.
    pub(super) fn expire<M>(&self, commons: &Commons<M>, out: &mut Outbound) {
        if !self.head.is_empty() {
            commons.counters.request_timeouts.add(1);
            let response = Response::text(408, "the request took too long");
            let _: Outcome<()> = self.last(&response, Body::Sent, commons, out);
        }
    }

    /// The handler has panicked over the request.
    pub(super) fn internal_error<M>(&self, commons: &Commons<M>, out: &mut Outbound) {
        let response = Response::text(500, "internal error");
        let _: Outcome<()> = self.last(&response, Body::Sent, commons, out);
    }

    /// Answers the requests in `input`, in order.
    pub(super) fn receive<H: Handler>(
        &mut self,
        input: &[u8],
        handler: &mut H,
        commons: &mut Commons<H::Mail>,
        out: &mut Outbound,
    ) -> Outcome<H::Session> {
        if self.head.is_empty() {
            let outcome = self.requests(input, handler, commons, out);
            if let Outcome::More { begun } = outcome {
                self.head = input[input.len() - begun..].to_vec();
            }
            return outcome;
        }
        let mut head = std::mem::take(&mut self.head);
        let before = head.len();
        head.extend_from_slice(input);
        match self.requests(&head, handler, commons, out) {
            Outcome::Yield { taken } => Outcome::Yield {
                taken: taken.saturating_sub(before),
            },
            Outcome::More { begun } => {
                // A head in many pieces stays where it is, so that each byte is copied once.
                if begun > 0 {
                    head.drain(..head.len() - begun);
                    self.head = head;
                }
                Outcome::More { begun }
            }
            outcome @ (Outcome::Last | Outcome::Opened { .. }) => outcome,
        }
    }

    fn requests<H: Handler>(
        &mut self,
        mut input: &[u8],
        handler: &mut H,
        commons: &mut Commons<H::Mail>,
        out: &mut Outbound,
    ) -> Outcome<H::Session> {
        let all = input.len();
        let mut work = 0;
        if self.wait == Wait::Idle {
            self.wait = Wait::Request;
            self.deadline = commons.now.tick.after(commons.options.request_timeout_ms);
        }
        loop {
            let head = match self.scanner.scan(input, &commons.options.limits) {
                Ok(Some(head)) => head,
                Ok(None) => {
                    if input.is_empty() {
                        self.wait = Wait::Idle;
                        let timeout = commons.options.http_idle_timeout_ms;
                        self.deadline = commons.now.tick.after(timeout);
                    }
                    return Outcome::More { begun: input.len() };
                }
                Err(error) => return self.malformed(error, commons, out),
            };
            let rest = &input[head.len()..];
            match self.request(head, rest, handler, commons, out) {
                Outcome::More { .. } => {}
                outcome @ (Outcome::Yield { .. } | Outcome::Last | Outcome::Opened { .. }) => {
                    return outcome;
                }
            }
            input = rest;
            self.deadline = commons.now.tick.after(commons.options.request_timeout_ms);
            work += REQUEST_WORK + head.len();
            let enough = work > commons.options.turn_work
                || out.queued_bytes() > commons.options.outbound.high_bytes;
            if enough && !input.is_empty() {
                commons.counters.turns_cut.add(1);
                return Outcome::Yield {
                    taken: all - input.len(),
                };
            }
        }
    }

    fn request<H: Handler>(
        &self,
        head: HeadBytes<'_>,
        rest: &[u8],
        handler: &mut H,
        commons: &mut Commons<H::Mail>,
        out: &mut Outbound,
    ) -> Outcome<H::Session> {
        let mut space = HeaderSpace::new();
        let head = match RequestHead::parse(head, &mut space) {
            Ok(head) => head,
            Err(error) => return self.malformed(error, commons, out),
        };
        let request = Request {
            head,
            peer: self.peer,
        };
        let body = if head.method() == "HEAD" {
            Body::Omitted
        } else {
            Body::Sent
        };
        match self.admission {
            Admission::Served => {}
            Admission::OverLimit => {
                let response = Response::unavailable("too many connections", 1);
                return self.last(&response, body, commons, out);
            }
            Admission::Stopping => {
                let response = Response::unavailable("the server is stopping", 1);
                return self.last(&response, body, commons, out);
            }
        }
        if wants_upgrade(&head) {
            return self.upgrade(request, (body, rest), handler, commons, out);
        }
        let response = commons.call(|_| handler.request(&request));
        commons.counters.http_requests.add(1);
        if response.status() >= 400 {
            commons.counters.http_refused.add(1);
        }
        // What would follow a body is not looked at: the connection ends instead.
        let kept = head.keep_alive() && head.body() == RequestBody::None;
        let connection = match (kept, head.version()) {
            (false, _) => Connection::Closed,
            (true, Version::Http10) => Connection::KeptAndSaid,
            (true, Version::Http11) => Connection::Kept,
        };
        out.gather(|bytes| response.write(body, connection, commons.now.unix_ms, bytes));
        if kept {
            Outcome::More { begun: 0 }
        } else {
            Outcome::Last
        }
    }

    fn upgrade<H: Handler>(
        &self,
        request: Request<'_>,
        (body, rest): (Body, &[u8]),
        handler: &mut H,
        commons: &mut Commons<H::Mail>,
        out: &mut Outbound,
    ) -> Outcome<H::Session> {
        let upgrade = match upgrade(&request.head, &commons.upgrade) {
            Ok(upgrade) => upgrade,
            Err(refusal) => return self.last(&refused(refusal), body, commons, out),
        };
        let mut request = UpgradeRequest { request, upgrade };
        match commons.call(|_| handler.upgrade(&mut request)) {
            // What follows a refused upgrade is neither a frame nor, for sure, a request.
            Err(response) => self.last(&response, body, commons, out),
            Ok(session) => {
                let upgrade = request.upgrade;
                out.gather(|bytes| upgrade.write_response(ExtraHeaders::NONE, bytes));
                commons.counters.upgraded.add(1);
                let (now, limits) = (commons.now.tick, &commons.options.limits);
                let websocket = WebSocket::new(Role::Server, upgrade.deflate(), now, limits);
                Outcome::Opened {
                    websocket,
                    session,
                    rest: rest.to_vec(),
                }
            }
        }
    }

    fn malformed<S, M>(
        &self,
        error: HeadError,
        commons: &Commons<M>,
        out: &mut Outbound,
    ) -> Outcome<S> {
        let response = Response::text(error.status(), &error.to_string());
        self.last(&response, Body::Sent, commons, out)
    }

    fn last<S, M>(
        &self,
        response: &Response,
        body: Body,
        commons: &Commons<M>,
        out: &mut Outbound,
    ) -> Outcome<S> {
        commons.counters.http_requests.add(1);
        commons.counters.http_refused.add(1);
        out.gather(|bytes| {
            response.write(body, Connection::Closed, commons.now.unix_ms, bytes);
        });
        Outcome::Last
    }
}

fn refused(refusal: Refusal) -> Response {
    let response = Response::text(refusal.status(), &refusal.to_string());
    refusal
        .headers()
        .iter()
        .filter(|(name, _)| *name != "Connection") // Response says it, with "close".
        .fold(response, |response, &(name, value)| {
            response.header(name, value)
        })
}

//! The contract between the engine and an application.

use std::sync::Arc;

use corewire_protocol::{CloseCode, Error};

use crate::ids::CoreId;
use crate::metrics::Counters;

use super::context::{Context, Effects};
use super::http::{Request, UpgradeRequest};
use super::message::Message;
use super::response::Response;

/// An application: it makes one [`Handler`] for each core.
pub trait Service: Send + Sync + 'static {
    /// What serves the connections of one core.
    type Handler: Handler;

    /// Makes the handler of `core`, on that core's thread: at the start, and again if the one
    /// before has panicked.
    fn handler(&self, core: &Core) -> Self::Handler;
}

/// The place of a handler among the cores of its server.
#[derive(Debug, Clone)]
pub struct Core {
    /// The handler's own core.
    pub id: CoreId,
    /// What each core counts, in their order: as many as there are cores.
    pub counters: Arc<[Arc<Counters>]>,
}

/// Serves the connections of one core. A handler is never shared, so it needs no locks; cores
/// talk to each other by [mail](Effects::mail).
///
/// Input is pushed: [`message`](Self::message) is called for every message. Output that answers
/// it goes straight into the [`Context`]. What an application sends of its own accord is pulled:
/// it marks a connection [ready](Effects::ready), and [`fill`](Self::fill) is called when that
/// connection can take bytes. A slow reader then costs a cursor and not a queue. Everything else
/// is recorded and done after the call, so no call ever happens inside another.
///
/// A panic in a handler ends the handler: its connections are closed with 1012, and the
/// [`Service`] makes a new one.
pub trait Handler: 'static {
    /// What the application knows about one connection.
    type Session: 'static;
    /// What handlers send each other between cores. Keep it small (a box for large bodies).
    type Mail: Send + 'static;

    /// The handler is in its place: the first call it gets.
    fn begin(&mut self, effects: &mut Effects<Self::Mail>) {
        let _ = effects;
    }

    /// A client asks for a WebSocket, and everything that RFC 6455 asks of the request is
    /// checked. The session that is returned opens the connection.
    ///
    /// # Errors
    ///
    /// The answer for a client that is refused, such as [`Response::not_found`].
    fn upgrade(&mut self, request: &mut UpgradeRequest<'_>) -> Result<Self::Session, Response>;

    /// An ordinary HTTP request without a body that matters. The answer to HEAD is sent without
    /// its body.
    fn request(&mut self, request: &Request<'_>) -> Response {
        let _ = request;
        Response::not_found()
    }

    /// The connection is open: the 101 has been sent.
    fn open(&mut self, session: &mut Self::Session, context: &mut Context<'_, Self::Mail>) {
        let _ = (session, context);
    }

    /// A message has come.
    fn message(
        &mut self,
        session: &mut Self::Session,
        message: Message<'_>,
        context: &mut Context<'_, Self::Mail>,
    );

    /// The connection was marked [ready](Effects::ready), takes bytes, and has less than the low
    /// watermark waiting. Send while [`Context::has_room`] says so.
    fn fill(&mut self, session: &mut Self::Session, context: &mut Context<'_, Self::Mail>) -> Fill {
        let _ = (session, context);
        Fill::Done
    }

    /// The timer that [`Context::set_timer`] has set is due.
    fn timeout(&mut self, session: &mut Self::Session, context: &mut Context<'_, Self::Mail>) {
        let _ = (session, context);
    }

    /// The server stops. A connection that is not closed here has until the shutdown timeout.
    fn stop(&mut self, session: &mut Self::Session, context: &mut Context<'_, Self::Mail>) {
        let _ = session;
        context.close(CloseCode::GOING_AWAY, "the server is stopping");
    }

    /// The connection has ended. Called once for every session that [`upgrade`](Self::upgrade)
    /// returned, unless the handler itself has panicked.
    fn close(&mut self, session: Self::Session, end: &End, effects: &mut Effects<Self::Mail>) {
        let _ = (session, end, effects);
    }

    /// Mail has come from another core, or from this one.
    fn mail(&mut self, from: CoreId, mail: Self::Mail, effects: &mut Effects<Self::Mail>) {
        let _ = (from, mail, effects);
    }

    /// The alarm that [`Effects::set_alarm`] has set is due. It is for what belongs to no connection;
    /// whoever wants another one sets it again.
    fn alarm(&mut self, effects: &mut Effects<Self::Mail>) {
        let _ = effects;
    }

    /// Mail that was sent in an earlier call could not be put into its queue, which is full. Mail
    /// that is sent from here leaves about a millisecond later, before any that is sent after it: a
    /// handler that sends again whatever comes back keeps its order.
    fn undelivered(&mut self, to: CoreId, mail: Self::Mail, effects: &mut Effects<Self::Mail>) {
        let _ = (to, mail, effects);
    }
}

/// Whether a connection has more to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Nothing, until it is marked ready again.
    Done,
    /// More, as soon as it can take bytes again.
    More,
}

/// Why a connection has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Both sent a Close frame.
    Closed {
        /// The peer's code, `None` if it gave none. It repeats ours if we were first.
        code: Option<CloseCode>,
        /// The peer's reason.
        reason: String,
    },
    /// The peer broke a rule.
    Failed(Error),
    /// The transport ended without a Close frame (what RFC 6455, 7.1.5 calls 1006).
    Lost,
    /// The peer took no byte for as long as the stall timeout.
    Stalled,
}

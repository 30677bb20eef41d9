//! The application: it echoes, streams, waits and floods as it is told.

use std::cell::RefCell;

use corewire::engine::{
    Context, Effects, End, Fill, Handler, Message, Request, Response, UpgradeRequest,
};
use corewire::protocol::CloseCode;
use corewire::{ConnId, CoreId};

/// What the application does when it hears them. It echoes everything else.
pub(super) const WORDS: &[&str] = &[
    "stream",
    "mail",
    "close",
    "close later",
    "timer",
    "timer 0",
    "prepared",
    "twice",
    "flood",
    "hold",
];
/// Milliseconds until the application goes on with what it holds, if mail does not come first.
const HOLD_MS: u32 = 20;
/// Bytes of one answer of the application's.
pub(super) const PAGE_BYTES: usize = 5000;
/// Bytes of one message that it sends of its own accord.
pub(super) const PART_BYTES: usize = 700;

thread_local! {
    /// Connections that the application holds.
    static HELD: RefCell<Vec<ConnId>> = const { RefCell::new(Vec::new()) };
}

/// Nothing is held: another world begins on this thread.
pub(super) fn forget_held() {
    HELD.take();
}

pub(super) fn is_held(conn: ConnId) -> bool {
    HELD.with_borrow(|held| held.contains(&conn))
}

/// Whether it was held before.
fn released(conn: ConnId) -> bool {
    HELD.with_borrow_mut(|held| {
        let before = held.len();
        held.retain(|id| *id != conn);
        held.len() < before
    })
}

/// The application.
#[derive(Default)]
pub(super) struct Echo {
    sessions: usize,
}

/// "Something is there for this connection."
#[derive(Debug)]
pub(super) struct Mail(pub(super) ConnId);

#[derive(Default)]
pub(super) struct Stream {
    /// That are to be sent.
    parts: usize,
    /// While it is held.
    held: Option<ConnId>,
}

impl Handler for Echo {
    type Session = Stream;
    type Mail = Mail;

    fn upgrade(&mut self, request: &mut UpgradeRequest<'_>) -> Result<Stream, Response> {
        if request.path() == "/refused" {
            return Err(Response::not_found());
        }
        self.sessions += 1;
        Ok(Stream::default())
    }

    fn request(&mut self, request: &Request<'_>) -> Response {
        match request.path() {
            "/page" => Response::new(200, "text/plain", vec![b'p'; PAGE_BYTES]),
            _ => Response::not_found(),
        }
    }

    fn message(
        &mut self,
        stream: &mut Stream,
        message: Message<'_>,
        context: &mut Context<'_, Mail>,
    ) {
        let id = context.id();
        assert!(!is_held(id), "it is held");
        match message.as_text() {
            Some("stream") => {
                stream.parts += 20;
                context.ready();
            }
            Some("mail") => {
                stream.parts += 3;
                context.effects().mail(CoreId(0), Mail(id));
            }
            Some("close") => context.close(CloseCode(4000), "as you wish"),
            Some("close later") => context.effects().close(id, CloseCode(4000), "as you wish"),
            Some("timer") => context.set_timer(3),
            Some("timer 0") => context.set_timer(0),
            Some("prepared") => {
                let message = message.into_prepared();
                let _ = context.send_prepared(&message);
            }
            // More than may wait: the connection is closed with 1013.
            Some("flood") => {
                let part = [b'!'; PART_BYTES];
                while context.binary(&part).is_ok() {}
            }
            Some("hold") => {
                context.hold();
                context.set_timer(HOLD_MS);
                stream.held = Some(id);
                HELD.with_borrow_mut(|held| held.push(id));
            }
            Some("twice") => {
                let _ = context.text("once");
                let _ = context.reply(message);
            }
            Some(_) | None => {
                let _ = context.reply(message);
            }
        }
    }

    fn fill(&mut self, stream: &mut Stream, context: &mut Context<'_, Mail>) -> Fill {
        while stream.parts > 0 {
            if !context.has_room() {
                return Fill::More;
            }
            context.binary(&[b'.'; PART_BYTES]).unwrap();
            stream.parts -= 1;
        }
        Fill::Done
    }

    fn timeout(&mut self, _: &mut Stream, context: &mut Context<'_, Mail>) {
        let _ = context.text("tick");
        let id = context.id();
        released(id);
        context.effects().release(id);
    }

    fn close(&mut self, stream: Stream, _: &End, _: &mut Effects<Mail>) {
        self.sessions -= 1;
        if let Some(id) = stream.held {
            released(id);
        }
    }

    fn mail(&mut self, _: CoreId, Mail(id): Mail, effects: &mut Effects<Mail>) {
        // Each of the two must do by itself.
        if released(id) {
            effects.release(id);
        } else {
            effects.ready(id);
        }
    }

    fn undelivered(&mut self, _: CoreId, Mail(id): Mail, effects: &mut Effects<Mail>) {
        effects.ready(id);
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.sessions, 0, "every session is closed once");
        }
    }
}

//! The application: it echoes, streams from a cursor, sends itself mail and closes.

use corewire::engine::{Context, Effects, End, Fill, Handler, Message, Response, UpgradeRequest};
use corewire::protocol::CloseCode;
use corewire::{ConnId, CoreId};

/// The handler.
#[derive(Debug)]
pub(crate) struct Echo {
    sessions: usize,
}

/// How much of a stream a connection was sent.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    sent: u32,
    until: u32,
}

/// "Something is there for this connection."
#[derive(Debug)]
pub(crate) struct Mail(ConnId);

/// One part of a stream.
pub(crate) fn part(number: u32) -> Vec<u8> {
    let mut part = vec![b'f'];
    part.extend_from_slice(&number.to_be_bytes());
    part.resize(700, b'.');
    part
}

impl Echo {
    pub(crate) fn new() -> Self {
        Self { sessions: 0 }
    }
}

impl Handler for Echo {
    type Session = Cursor;
    type Mail = Mail;

    fn upgrade(&mut self, _request: &mut UpgradeRequest<'_>) -> Result<Cursor, Response> {
        self.sessions += 1;
        Ok(Cursor::default())
    }

    fn message(
        &mut self,
        cursor: &mut Cursor,
        message: Message<'_>,
        context: &mut Context<'_, Mail>,
    ) {
        match message.as_text() {
            Some("stream") => {
                cursor.until += 20;
                context.ready();
            }
            Some("mail") => {
                cursor.until += 3;
                let id = context.id();
                context.effects().mail(CoreId(0), Mail(id));
            }
            Some("close") => context.close(CloseCode(4000), "as you wish"),
            Some("close later") => {
                let id = context.id();
                context.effects().close(id, CloseCode(4000), "as you wish");
            }
            Some("timer") => context.set_timer(3),
            Some(_) | None => {
                let _ = context.reply(message);
            }
        }
    }

    fn fill(&mut self, cursor: &mut Cursor, context: &mut Context<'_, Mail>) -> Fill {
        while cursor.sent < cursor.until {
            if !context.has_room() {
                return Fill::More;
            }
            context.binary(&part(cursor.sent)).unwrap();
            cursor.sent += 1;
        }
        Fill::Done
    }

    fn timeout(&mut self, _cursor: &mut Cursor, context: &mut Context<'_, Mail>) {
        let _ = context.text("tick");
    }

    fn close(&mut self, _cursor: Cursor, _end: &End, effects: &mut Effects<Mail>) {
        self.sessions -= 1;
        let _ = effects;
    }

    fn mail(&mut self, _from: CoreId, Mail(id): Mail, effects: &mut Effects<Mail>) {
        effects.ready(id);
    }

    fn undelivered(&mut self, _to: CoreId, Mail(id): Mail, effects: &mut Effects<Mail>) {
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

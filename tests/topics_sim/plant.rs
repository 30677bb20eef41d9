//! Bugs, to see that they are caught.

use std::cell::Cell;
use std::rc::Rc;

use corewire::messaging::{ClientKey, Mail, MessagingHandler};
use corewire::protocol::native::{Dialect, Push, ServerWord};
use corewire::{Context, CoreId, Effects, End, Fill, Handler, Message, Response, UpgradeRequest};

/// A bug between the server and one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A message comes twice.
    Duplicate,
    /// A message and the next one of its topic change places.
    Swap,
    /// A message does not come.
    Loss,
    /// A `gap` does not come.
    HiddenGap,
    /// A `conflated` does not come.
    HiddenConflation,
    /// A reply comes twice.
    SecondReply,
    /// A reply does not come.
    NoReply,
}

/// A bug that strikes once.
pub(crate) struct Tamper {
    bug: Bug,
    /// How many chances it lets pass.
    patience: usize,
    struck: Rc<Cell<bool>>,
    /// A message that waits for the next one, and its topic.
    held: Option<(u64, Vec<u8>)>,
}

impl Tamper {
    /// `struck` tells when it has done its harm.
    pub(crate) fn new(bug: Bug, patience: usize, struck: &Rc<Cell<bool>>) -> Self {
        Self {
            bug,
            patience,
            struck: Rc::clone(struck),
            held: None,
        }
    }

    /// What it lets through of a message from the server.
    pub(crate) fn passes(&mut self, dialect: Dialect, payload: &[u8]) -> Vec<Vec<u8>> {
        let mut words = dialect.server_words(payload);
        let (Some(Ok(word)), None) = (words.next(), words.next()) else {
            return vec![payload.to_vec()];
        };
        let payload = payload.to_vec();
        if let Some((t, held)) = self.held.take() {
            if matches!(&word, ServerWord::Push(Push::Message(message)) if message.t == t) {
                self.struck.set(true);
                return vec![payload, held];
            }
            // Anything else must not overtake it: there is no harm in that.
            return vec![held, payload];
        }
        let is_chance = match self.bug {
            Bug::Duplicate | Bug::Swap | Bug::Loss => {
                matches!(word, ServerWord::Push(Push::Message(_)))
            }
            Bug::HiddenGap => matches!(word, ServerWord::Push(Push::Gap(_))),
            Bug::HiddenConflation => matches!(word, ServerWord::Push(Push::Conflated(_))),
            Bug::SecondReply | Bug::NoReply => matches!(word, ServerWord::Reply(..)),
        };
        if self.struck.get() || !is_chance {
            return vec![payload];
        }
        if self.patience > 0 {
            self.patience -= 1;
            return vec![payload];
        }
        match (self.bug, &word) {
            (Bug::Swap, ServerWord::Push(Push::Message(message))) => {
                self.held = Some((message.t, payload));
                Vec::new()
            }
            (Bug::Duplicate | Bug::SecondReply, _) => {
                self.struck.set(true);
                vec![payload.clone(), payload]
            }
            (Bug::Loss | Bug::HiddenGap | Bug::HiddenConflation | Bug::NoReply | Bug::Swap, _) => {
                self.struck.set(true);
                Vec::new()
            }
        }
    }
}

/// What is wrong with the handler of a core.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// It panics over the next message or letter.
    pub(crate) panics: Cell<bool>,
    /// How often it has.
    pub(crate) panicked: Cell<u64>,
    /// So many chances to fill a connection, then one of them is forgotten: a lost wake-up.
    pub(crate) forgets_fill: Cell<Option<usize>>,
}

impl Faults {
    fn panic(&self) {
        if self.panics.take() {
            self.panicked.set(self.panicked.get() + 1);
            // Without a word on stderr.
            std::panic::resume_unwind(Box::new("a planted panic"));
        }
    }
}

/// The handler, with what can be wrong with it.
pub(crate) struct Faulty {
    pub(crate) inner: MessagingHandler,
    pub(crate) faults: Rc<Faults>,
}

impl Handler for Faulty {
    type Session = ClientKey;
    type Mail = Mail;

    fn begin(&mut self, effects: &mut Effects<Mail>) {
        self.inner.begin(effects);
    }

    fn upgrade(&mut self, request: &mut UpgradeRequest<'_>) -> Result<ClientKey, Response> {
        self.inner.upgrade(request)
    }

    fn open(&mut self, key: &mut ClientKey, context: &mut Context<'_, Mail>) {
        self.inner.open(key, context);
    }

    fn message(
        &mut self,
        key: &mut ClientKey,
        message: Message<'_>,
        context: &mut Context<'_, Mail>,
    ) {
        self.faults.panic();
        self.inner.message(key, message, context);
    }

    fn fill(&mut self, key: &mut ClientKey, context: &mut Context<'_, Mail>) -> Fill {
        match self.faults.forgets_fill.take() {
            None => {}
            Some(0) => return Fill::Done,
            Some(more) => self.faults.forgets_fill.set(Some(more - 1)),
        }
        self.inner.fill(key, context)
    }

    fn timeout(&mut self, key: &mut ClientKey, context: &mut Context<'_, Mail>) {
        self.inner.timeout(key, context);
    }

    fn stop(&mut self, key: &mut ClientKey, context: &mut Context<'_, Mail>) {
        self.inner.stop(key, context);
    }

    fn close(&mut self, key: ClientKey, end: &End, effects: &mut Effects<Mail>) {
        self.inner.close(key, end, effects);
    }

    fn mail(&mut self, from: CoreId, mail: Mail, effects: &mut Effects<Mail>) {
        self.faults.panic();
        self.inner.mail(from, mail, effects);
    }

    fn alarm(&mut self, effects: &mut Effects<Mail>) {
        self.inner.alarm(effects);
    }

    fn undelivered(&mut self, to: CoreId, mail: Mail, effects: &mut Effects<Mail>) {
        self.inner.undelivered(to, mail, effects);
    }
}

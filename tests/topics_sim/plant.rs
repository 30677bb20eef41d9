//! Bugs, to see that they are caught.

use std::cell::Cell;
use std::rc::Rc;

use corewire::messaging::{ClientKey, Mail, MessagingHandler};
use corewire::protocol::native::{Dialect, PRESENCE, Push, Reply, Resumed, ServerWord, SubbedTo};
use corewire::{Context, CoreId, Effects, End, Fill, Handler, Message, Response, UpgradeRequest};
use corewire_testkit::sim::identity;

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
    /// The first message does not come of what a client is sent that has come back.
    ReplayOffByOne,
    /// Nor do the first ones.
    PageLost,
    /// The first message does not come that was published after a client had come back.
    AttachRace,
    /// Nor do the first ones, as if they had not fit in anywhere while history was read.
    OverflowLost,
    /// A `reset` does not come.
    HiddenReset,
    /// From now on nothing comes of who is there.
    HiddenCompany,
    /// From now on it does not come that something ephemeral has ended.
    HiddenEnd,
}

/// Messages that are lost with a page, or with what there was no room for.
const PAGE_MESSAGES: usize = 5;

/// A bug that strikes once, unless it is a silence.
pub(crate) struct Tamper {
    bug: Bug,
    /// How many chances it lets pass.
    patience: usize,
    struck: Rc<Cell<bool>>,
    /// A message that waits for the next one, and its topic.
    held: Option<(u64, Vec<u8>)>,
    /// Its client has come back.
    is_back: bool,
    /// Topics, and the last offset of the history that is to come of them.
    gates: Vec<(u64, u64)>,
    /// A topic, and so many messages of it that are still to be lost.
    page: (u64, usize),
}

impl Tamper {
    /// `struck` tells when it has done its harm.
    pub(crate) fn new(bug: Bug, patience: usize, struck: &Rc<Cell<bool>>) -> Self {
        Self {
            bug,
            patience,
            struck: Rc::clone(struck),
            held: None,
            is_back: false,
            gates: Vec::new(),
            page: (0, 0),
        }
    }

    /// What it has to know for its bug.
    fn hears(&mut self, word: &ServerWord<'_>) {
        if let ServerWord::Reply(_, Reply::Welcome(welcome)) = word
            && welcome.resumed == Resumed::Yes
        {
            self.is_back = true;
            let all = welcome.subscribed.iter().flatten();
            self.gates = all
                .filter_map(|subbed| match (&subbed.to, subbed.replay_to) {
                    (SubbedTo::Topic { t, .. }, Some(to)) => Some((*t, to)),
                    (SubbedTo::Topic { .. } | SubbedTo::Pattern { .. }, _) => None,
                })
                .collect();
        }
    }

    /// Whether it goes on once it has struck: what was said once is told by the next word as well.
    const fn is_silence(&self) -> bool {
        matches!(self.bug, Bug::HiddenCompany | Bug::HiddenEnd)
    }

    /// What it lets through of a message from the server to the client with this name.
    pub(crate) fn passes(&mut self, dialect: Dialect, payload: &[u8], name: &str) -> Vec<Vec<u8>> {
        for word in dialect.server_words(payload).flatten() {
            self.hears(&word);
        }
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
        if let ServerWord::Push(Push::Message(message)) = &word
            && self.page.0 == message.t
            && self.page.1 > 0
        {
            self.page.1 -= 1;
            return Vec::new();
        }
        let is_chance = match self.bug {
            Bug::Duplicate | Bug::Swap => {
                matches!(word, ServerWord::Push(Push::Message(_)))
            }
            Bug::Loss => is_of_others(&word, name),
            Bug::HiddenGap => matches!(word, ServerWord::Push(Push::Gap(_))),
            Bug::HiddenConflation => matches!(word, ServerWord::Push(Push::Conflated(_))),
            Bug::SecondReply | Bug::NoReply => matches!(word, ServerWord::Reply(..)),
            Bug::ReplayOffByOne | Bug::PageLost => self.is_back && is_of_others(&word, name),
            Bug::AttachRace | Bug::OverflowLost => {
                matches!(&word, ServerWord::Push(Push::Message(message))
                if self.gates.contains(&(message.t, message.offset - 1)))
            }
            Bug::HiddenReset => matches!(word, ServerWord::Push(Push::Reset(_))),
            Bug::HiddenCompany => matches!(&word, ServerWord::Push(Push::State(diff))
                if diff.namespace == PRESENCE),
            Bug::HiddenEnd => matches!(&word, ServerWord::Push(Push::State(diff))
                if diff.namespace != PRESENCE && !diff.deleted.is_empty()),
        };
        if self.is_silence() && is_chance && self.patience == 0 {
            self.struck.set(true);
            return Vec::new();
        }
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
            (Bug::PageLost | Bug::OverflowLost, ServerWord::Push(Push::Message(message))) => {
                self.page = (message.t, PAGE_MESSAGES - 1);
                self.struck.set(true);
                Vec::new()
            }
            (Bug::Duplicate | Bug::SecondReply, _) => {
                self.struck.set(true);
                vec![payload.clone(), payload]
            }
            (
                Bug::Loss
                | Bug::HiddenGap
                | Bug::HiddenConflation
                | Bug::NoReply
                | Bug::Swap
                | Bug::ReplayOffByOne
                | Bug::PageLost
                | Bug::AttachRace
                | Bug::OverflowLost
                | Bug::HiddenReset
                | Bug::HiddenCompany
                | Bug::HiddenEnd,
                _,
            ) => {
                self.struck.set(true);
                Vec::new()
            }
        }
    }
}

/// Whether this is a message, and not of the client's own. A `pos` for what a client does not want back
/// of its own may cover what it does want, and nobody could tell.
fn is_of_others(word: &ServerWord<'_>, name: &str) -> bool {
    let own = format!("{name}-");
    matches!(word, ServerWord::Push(Push::Message(message))
        if !identity(&message.data).starts_with(&own))
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
    /// So many alarms, then all of them are forgotten.
    pub(crate) forgets_alarms: Cell<Option<usize>>,
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
        match self.faults.forgets_alarms.get() {
            Some(0) => return,
            Some(more) => self.faults.forgets_alarms.set(Some(more - 1)),
            None => {}
        }
        self.inner.alarm(effects);
    }

    fn undelivered(&mut self, to: CoreId, mail: Mail, effects: &mut Effects<Mail>) {
        self.inner.undelivered(to, mail, effects);
    }
}

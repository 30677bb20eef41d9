//! A client of the messaging layer with a script, as the other end of a socket.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use corewire::protocol::Role;
use corewire::protocol::frame::{FrameHeader, OpCode, Reserved};
use corewire::protocol::native::{
    Batch, Command, Credit, CreditScope, Dialect, Pong, Publish, Push, Reply, Request, Resumed,
    ServerWord,
};
use corewire_testkit::Random;
use corewire_testkit::frames::{self, Fin};
use corewire_testkit::peer::upgrade_request;
use corewire_testkit::sim::{Moment, Witness};

use super::comeback::{Memory, Purse};
use super::company::Company;
use super::plant::Tamper;
use super::socket::{Farewell, Talker};

/// The clock that all clients share.
pub(crate) type Clock = Rc<Cell<Moment>>;

/// What a client does next.
pub(crate) enum Act {
    /// Sends commands in one message.
    Say(Vec<Request<'static>>),
    /// Says nothing more until it has been welcomed.
    AwaitWelcome,
    /// Publishes again what was not answered, if the server knows it again.
    Again(Vec<Publish<'static>>),
}

/// A client.
pub(crate) struct Client {
    witness: Witness,
    company: Company,
    dialect: Dialect,
    clock: Clock,
    random: Random,
    script: VecDeque<Act>,
    /// Bytes that are on their way to the server from `said` on.
    out: Vec<u8>,
    said: usize,
    /// What was heard of a frame, or of the handshake.
    heard: Vec<u8>,
    stage: Stage,
    manner: Manner,
    finale: Finale,
    next_id: u64,
    is_on_credit: bool,
    messages_heard: u64,
    messages_paid: u64,
    tamper: Option<Tamper>,
    attention: Attention,
    /// What it needs to come back, if it does.
    memory: Option<Memory>,
    /// Connections that it has had before.
    lives: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The handshake is not over.
    Upgrading,
    Greeting,
    Welcome,
    /// A Close frame has come.
    Closed,
    Gone,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finale {
    /// Not before the end of the world.
    Stays,
    /// It ends its side when it has said everything.
    End,
    /// The same, by a reset.
    Reset,
}

/// Who listens to what it says and hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attention {
    /// Its witness.
    Witnessed,
    /// Its witness, and whoever reads what the test prints.
    Traced,
    /// Nobody any more.
    Over,
}

/// How it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it comes.
    Reads,
    /// Nothing, until the end.
    Stalls,
}

impl Client {
    pub(crate) fn new(
        name: &str,
        dialect: Dialect,
        manner: Manner,
        clock: &Clock,
        random: Random,
    ) -> Self {
        let subprotocol = format!("Sec-WebSocket-Protocol: {}", dialect.subprotocol());
        Self {
            witness: Witness::new(name),
            company: Company::default(),
            dialect,
            clock: Rc::clone(clock),
            random,
            script: VecDeque::new(),
            out: upgrade_request("/ws", &[&subprotocol]).into_bytes(),
            said: 0,
            heard: Vec::new(),
            stage: Stage::Upgrading,
            manner,
            finale: Finale::Stays,
            next_id: 0,
            is_on_credit: false,
            messages_heard: 0,
            messages_paid: 0,
            tamper: None,
            attention: Attention::Witnessed,
            memory: None,
            lives: 0,
        }
    }

    /// It comes back when its connection ends.
    pub(crate) fn comes_back(&mut self) {
        self.memory = Some(Memory::default());
    }

    /// When it comes back it says that it is somebody else.
    pub(crate) fn steals(&mut self, purse: &Purse) {
        if let Some(memory) = &mut self.memory {
            memory.steals(purse);
        }
    }

    /// Its next connection, if it wants one: on it, it goes on with its script.
    pub(crate) fn successor(&mut self) -> Option<Self> {
        let memory = self.memory.take()?;
        let purse = memory.purse().cloned();
        if !memory.is_resumed() {
            // It was somebody else's, and was not said again in time.
            self.script.retain(|act| !matches!(act, Act::Again(_)));
        }
        let (hello, again) = memory.greeting(&self.witness)?;
        let name = self.witness.party.to_string();
        let random = Random::new(self.random.next());
        let mut next = Self::new(&name, self.dialect, self.manner, &self.clock, random);
        next.lives = self.lives + 1;
        next.witness.name = format!("{name}.{}", next.lives).into();
        next.witness.succeed(&self.witness);
        next.attention = self.attention;
        next.finale = self.finale;
        next.is_on_credit = self.is_on_credit;
        next.tamper = self.tamper.take();
        next.next_id = self.next_id;
        next.comes_back();
        if let Some(purse) = purse {
            next.steals(&purse);
        }
        let request = Request {
            id: Some(next.id()),
            command: Command::Hello(Box::new(hello)),
        };
        next.act(Act::Say(vec![request]));
        next.act(Act::AwaitWelcome);
        next.act(Act::Again(again));
        // What it has not said yet.
        next.script.append(&mut self.script);
        Some(next)
    }

    // ── Its script ──

    pub(crate) fn tamper(&mut self, tamper: Tamper) {
        self.tamper = Some(tamper);
    }

    /// Prints what it says and hears.
    pub(crate) fn trace(&mut self) {
        self.attention = Attention::Traced;
    }

    pub(crate) fn leaves(&mut self, finale: Finale) {
        self.finale = finale;
    }

    /// From here on it hears nothing that is of interest.
    pub(crate) fn stop_listening(&mut self) {
        self.attention = Attention::Over;
    }

    /// It reads what there is from now on.
    pub(crate) fn read_on(&mut self) {
        self.manner = Manner::Reads;
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// An `id` that was not used before.
    pub(crate) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn act(&mut self, act: Act) {
        self.script.push_back(act);
    }

    /// It gets credit at the end.
    pub(crate) fn is_on_credit(&mut self) {
        self.is_on_credit = true;
    }

    /// Gives credit for everything, if any was used since the last time.
    pub(crate) fn top_up(&mut self) -> bool {
        let owes = self.messages_paid == 0 || self.messages_heard >= self.messages_paid;
        if !self.is_on_credit || !owes || self.stage != Stage::Welcome {
            return false;
        }
        self.messages_paid = self.messages_heard + 1;
        // A delivery can outlive the subscription that has brought it on credit.
        let deliveries = self.witness.aliases().map(CreditScope::Topic);
        let scopes = deliveries.chain([CreditScope::Connection]);
        let commands = scopes.map(|scope| Request {
            id: None,
            command: Command::Credit(Credit {
                scope,
                messages: Some(self.messages_heard + 1_000_000),
                bytes: None,
            }),
        });
        let commands = commands.collect();
        self.script.push_back(Act::Say(commands));
        true
    }

    /// What it knows of state, as long as it is connected.
    pub(crate) fn company(&self) -> Option<&Company> {
        (self.stage == Stage::Welcome).then_some(&self.company)
    }

    pub(crate) fn into_witness(mut self) -> Witness {
        match self.stage {
            Stage::Closed | Stage::Gone => self.witness.ended(),
            Stage::Upgrading | Stage::Greeting | Stage::Welcome => self.witness.quiet(),
        }
        self.witness
    }

    // ── Parts ──

    fn has_said_all(&self) -> bool {
        self.said == self.out.len() && self.script.is_empty()
    }

    fn next_act(&self) -> Option<&Act> {
        let waits = match self.stage {
            Stage::Upgrading => true,
            Stage::Greeting => matches!(self.script.front(), Some(Act::AwaitWelcome)),
            Stage::Welcome => false,
            Stage::Closed | Stage::Gone => true,
        };
        self.script.front().filter(|_| !waits)
    }

    fn write(&mut self, commands: &[Request<'static>]) {
        let mut message = Vec::new();
        let mut batch = Batch::new(self.dialect, usize::MAX, &mut message);
        for command in commands {
            if self.attention == Attention::Traced {
                eprintln!("{} → {command:?}", self.clock.get());
            }
            self.witness.says(self.clock.get(), command);
            if let Some(memory) = &mut self.memory {
                memory.says(command);
            }
            self.company.says(command);
            batch.request(command).unwrap();
        }
        if let [command] = commands {
            message.clear();
            self.dialect.write_request(command, &mut message);
        }
        let opcode = match self.dialect {
            Dialect::Json => OpCode::Text,
            Dialect::Binary => OpCode::Binary,
        };
        if self.random.once_in(6) {
            let (first, last) = message.split_at(self.random.below(message.len()));
            self.out.extend(frames::frame(opcode, Fin::More, first));
            let last = frames::frame(OpCode::Continuation, Fin::Last, last);
            self.out.extend(last);
        } else {
            self.out.extend(frames::frame(opcode, Fin::Last, &message));
        }
    }

    fn publish_again(&mut self, again: Vec<Publish<'static>>) {
        if !self.memory.as_ref().is_some_and(Memory::is_resumed) {
            return;
        }
        for publish in again {
            let command = Request {
                id: Some(self.id()),
                command: Command::Publish(publish),
            };
            self.write(&[command]);
        }
    }

    fn frame(&mut self, opcode: OpCode, payload: &[u8]) {
        match opcode {
            OpCode::Text | OpCode::Binary => match self.tamper.take() {
                None => self.message(payload),
                Some(mut tamper) => {
                    for payload in tamper.passes(self.dialect, payload, &self.witness.party) {
                        self.message(&payload);
                    }
                    self.tamper = Some(tamper);
                }
            },
            OpCode::Close => {
                self.stage = Stage::Closed;
                self.out.truncate(self.said);
                self.out.extend(frames::close(1000));
            }
            OpCode::Ping | OpCode::Pong | OpCode::Continuation => {
                panic!("a frame that the messaging layer does not send: {opcode:?}")
            }
        }
    }

    fn message(&mut self, payload: &[u8]) {
        for word in self.dialect.server_words(payload) {
            let word = word.expect("the server's words can be read");
            match &word {
                ServerWord::Reply(_, reply) => {
                    if matches!(reply, Reply::Welcome(_)) {
                        self.stage = Stage::Welcome;
                    }
                }
                ServerWord::Push(Push::Ping(ping)) => {
                    let pong = Request {
                        id: None,
                        command: Command::Pong(Pong { t: Some(ping.t) }),
                    };
                    self.script.push_front(Act::Say(vec![pong]));
                }
                ServerWord::Push(Push::Message(_)) => self.messages_heard += 1,
                ServerWord::Push(_) => {}
            }
            if self.attention == Attention::Traced {
                eprintln!("{} ← {word:?}", self.clock.get());
            }
            if let Some(memory) = &mut self.memory {
                memory.hears(&word);
            }
            if let ServerWord::Reply(_, Reply::Welcome(welcome)) = &word
                && self.lives > 0
                && welcome.resumed == Resumed::No
            {
                // From now on it is another producer.
                self.witness.party = self.witness.name.clone();
            }
            if self.attention != Attention::Over {
                self.witness.hears(self.clock.get(), &word);
                if let Some(command) = self.company.hears(&word) {
                    let id = Some(self.id());
                    let request = Request { id, command };
                    self.script.push_front(Act::Say(vec![request]));
                }
            }
        }
    }
}

impl Talker for Client {
    fn is_polite(&self) -> bool {
        false
    }

    fn reads(&self) -> bool {
        self.manner == Manner::Reads
    }

    fn is_talking(&self) -> bool {
        self.said < self.out.len() || self.next_act().is_some()
    }

    fn says(&mut self, bytes_max: usize) -> &[u8] {
        if self.said == self.out.len() {
            self.out.clear();
            self.said = 0;
        }
        while self.out.len() - self.said < bytes_max
            && self.next_act().is_some()
            && let Some(act) = self.script.pop_front()
        {
            match act {
                Act::Say(commands) => self.write(&commands),
                Act::AwaitWelcome => {}
                Act::Again(again) => self.publish_again(again),
            }
        }
        let end = self.out.len().min(self.said.saturating_add(bytes_max));
        let bytes = &self.out[self.said..end];
        self.said = end;
        bytes
    }

    fn hears(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
        if self.stage == Stage::Upgrading {
            let Some(end) = self.heard.windows(4).position(|four| four == b"\r\n\r\n") else {
                return;
            };
            assert!(self.heard.starts_with(b"HTTP/1.1 101 "), "no upgrade");
            self.heard.drain(..end + 4);
            self.stage = Stage::Greeting;
        }
        let heard = std::mem::take(&mut self.heard);
        let mut at = 0;
        while let Some((header, bytes)) =
            FrameHeader::parse(&heard[at..], Role::Client, Reserved::AllZero).unwrap()
        {
            let start = at + bytes;
            let end = start + usize::try_from(header.payload_bytes).unwrap();
            let Some(payload) = heard.get(start..end) else {
                break;
            };
            at = end;
            self.frame(header.opcode, payload);
        }
        self.heard = heard[at..].to_vec();
    }

    fn farewell(&self, server_ended: bool) -> Farewell {
        match self.finale {
            _ if server_ended || self.stage == Stage::Closed && !self.is_talking() => Farewell::End,
            Finale::End if self.has_said_all() => Farewell::End,
            Finale::Reset if self.has_said_all() => Farewell::Reset,
            Finale::Stays | Finale::End | Finale::Reset => Farewell::NotYet,
        }
    }

    fn was_reset(&mut self) {
        self.stage = Stage::Gone;
        self.witness.ended();
    }

    fn was_closed(&mut self, _: bool) {
        self.stage = Stage::Gone;
        self.witness.ended();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("name", &self.witness.name)
            .field("dialect", &self.dialect)
            .field("stage", &self.stage)
            .field("manner", &self.manner)
            .field("script", &self.script.len())
            .finish_non_exhaustive()
    }
}

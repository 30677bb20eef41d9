//! A server of a few lines, one client machine, and a network between them that can be cut at any
//! message. Nothing happens but by a call.

mod server;
mod state;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(crate) use state::Kept;

use corewire_client::Data;
use corewire_client::machine::{Action, LinkId, Loss, Machine};
use corewire_protocol::CloseCode;
use corewire_protocol::native::{
    self, Cause, Command, Complete, Credit, CreditScope, Dialect, Direction, Done, Duplicate,
    ErrorCode, ErrorReply, Hello, HistoryFrom, Limits, Message, Page, PolicyMode, Pubbed,
    Publisher, Push, Recovered, Reply, Request, Reset, ServerWord, Start, Subbed, SubbedTo,
    Subject, TopicAlias, TopicName, Welcome,
};

pub(crate) const PING_MS: u64 = 25_000;
pub(crate) const SLACK_MS: u64 = 10_000;

/// What a topic has had: `log[n]` has offset `n + 1`.
#[derive(Debug, Default, Clone)]
pub(crate) struct Topic {
    pub(crate) t: u64,
    pub(crate) log: Vec<Vec<u8>>,
    /// The number that each message has among all of the server.
    marks: Vec<u64>,
    /// Offsets of publications by their `idem`.
    idems: BTreeMap<String, u64>,
    producers: BTreeMap<u64, Producer>,
}

/// What a topic knows of a session.
#[derive(Debug, Default, Clone)]
struct Producer {
    incarnation: u64,
    last: u64,
    offsets: BTreeMap<u64, u64>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) now_ms: u64,
    pub(crate) dialect: Dialect,
    pub(crate) epoch: u64,
    /// Of this epoch.
    pub(crate) topics: BTreeMap<String, Topic>,
    /// Logs of all epochs, the present one included.
    pub(crate) logs: BTreeMap<(String, String), Vec<Vec<u8>>>,
    /// What each subscription's position was when its first answer arrived.
    pub(crate) bases: BTreeMap<u64, Base>,
    attached: BTreeMap<(LinkId, u64), Base>,
    /// Answers that the machine does not wait for any more, since it asks the next connection.
    void: BTreeSet<(LinkId, u64)>,
    /// Of this epoch, by topic and namespace.
    pub(crate) states: BTreeMap<(String, String), Kept>,
    /// The last number of a publication.
    mark: u64,
    /// Connections that each session has had.
    sessions: Vec<u64>,
    /// Whether tickets are honoured.
    pub(crate) honours_tickets: bool,
    /// Whether subscriptions can begin elsewhere than now.
    pub(crate) honours_positions: bool,
    pub(crate) keeps: Keeps,
    pub(crate) conns: BTreeMap<LinkId, Conn>,
    /// Connections that the machine wants to be opened.
    pub(crate) opening: VecDeque<(LinkId, String)>,
    pub(crate) opened: Vec<(LinkId, String, u64)>,
    pub(crate) tokens_asked: u32,
    /// What the server answers to `hello`.
    pub(crate) refuse_hello: Option<ErrorReply<'static>>,
    pub(crate) refuse_subscribe: Option<ErrorReply<'static>>,
    /// What the server answers to the next publications.
    pub(crate) refuse_publish: VecDeque<Option<ErrorReply<'static>>>,
    /// What the server answers to the next commands for state.
    pub(crate) refuse_state: VecDeque<ErrorReply<'static>>,
    pub(crate) limits: Limits,
    /// A longer message closes the connection, whatever the client was told.
    pub(crate) message_bytes_max: usize,
    pub(crate) expires_ms: Option<u64>,
    next_t: u64,
    /// All that the server was asked, in its own words.
    pub(crate) asked: Vec<(LinkId, Option<u64>, String)>,
}

/// What there is for who comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    Everything,
    Nothing,
}

/// Where a subscription begins.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) epoch: String,
    /// By topic: all up to this offset was sent already, or is not owed. A subscription that joins
    /// a delivery may get what that is behind.
    pub(crate) joined: BTreeMap<String, u64>,
    /// By topic: the offset of the last message that was published before.
    pub(crate) published: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Conn {
    pub(crate) hello: bool,
    session: u64,
    incarnation: u64,
    pub(crate) subs: BTreeMap<u64, (String, u64)>,
    /// Topics and namespaces whose changes it is told, by the subscription.
    watches: BTreeMap<u64, Vec<(String, String)>>,
    pub(crate) said: BTreeMap<String, Said>,
    pub(crate) to_client: VecDeque<Vec<u8>>,
    pub(crate) to_server: VecDeque<Vec<u8>>,
    /// The server has closed it: what it has sent still arrives.
    pub(crate) closed: Option<(u16, &'static str)>,
    pub(crate) sent: u64,
    pub(crate) credit: Option<u64>,
}

/// What a connection has had of a topic.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) upto: u64,
    pub(crate) sent: u64,
    pub(crate) credit: u64,
    announced: bool,
}

impl World {
    pub(crate) fn new(machine: Machine, dialect: Dialect) -> Self {
        let mut world = Self {
            machine,
            now_ms: 1000,
            dialect,
            epoch: 1,
            topics: BTreeMap::new(),
            logs: BTreeMap::new(),
            bases: BTreeMap::new(),
            attached: BTreeMap::new(),
            void: BTreeSet::new(),
            states: BTreeMap::new(),
            mark: 0,
            sessions: Vec::new(),
            honours_tickets: true,
            honours_positions: true,
            keeps: Keeps::Everything,
            conns: BTreeMap::new(),
            opening: VecDeque::new(),
            opened: Vec::new(),
            tokens_asked: 0,
            refuse_hello: None,
            refuse_subscribe: None,
            refuse_publish: VecDeque::new(),
            refuse_state: VecDeque::new(),
            limits: Limits {
                message_bytes: 1 << 20,
                unanswered: 1024,
                ..Limits::default()
            },
            message_bytes_max: usize::MAX,
            expires_ms: None,
            next_t: 0,
            asked: Vec::new(),
        };
        world.machine.start(world.now_ms);
        world.act();
        world
    }

    /// Does what the machine asks for.
    pub(crate) fn act(&mut self) {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Open { link, url } => {
                    self.opened.push((link, url.to_string(), self.now_ms));
                    self.opening.push_back((link, url.to_string()));
                }
                Action::Abort { link } => {
                    self.conns.remove(&link);
                    self.opening.retain(|(known, _)| *known != link);
                }
                Action::Token => self.tokens_asked += 1,
                _ => panic!("an action that this test does not know"),
            }
        }
    }

    /// Opens the connection that is to be opened.
    pub(crate) fn open(&mut self) -> Option<LinkId> {
        let (link, _) = self.opening.pop_front()?;
        self.conns.insert(link, Conn::default());
        self.machine.opened(link, self.dialect, self.now_ms);
        self.act();
        Some(link)
    }

    pub(crate) fn refuse(&mut self) {
        let (link, _) = self.opening.pop_front().expect("one is to be opened");
        let loss = Loss::Unreachable("nobody listens".into());
        self.machine.lost(link, loss, self.now_ms);
        self.act();
    }

    /// Has the machine write what it has to say.
    pub(crate) fn transmit(&mut self) {
        let links: Vec<_> = self.conns.keys().copied().collect();
        for link in links {
            let mut message = Vec::new();
            while self
                .machine
                .transmit(link, self.now_ms, &mut message)
                .is_some()
            {
                self.note_hello(link, &message);
                if let Some(conn) = self.conns.get_mut(&link) {
                    conn.to_server.push_back(std::mem::take(&mut message));
                }
            }
        }
        self.act();
    }

    /// What is asked by a `hello` begins there, whatever another connection still answers.
    fn note_hello(&mut self, link: LinkId, message: &[u8]) {
        for request in self.dialect.requests(message) {
            if let Ok(Request {
                command: Command::Hello(hello),
                ..
            }) = request
            {
                for subscribe in hello.subscribe.iter().flatten() {
                    let others = self.conns.keys().filter(|other| **other != link);
                    self.void.extend(others.map(|other| (*other, subscribe.s)));
                }
            }
        }
    }

    /// The server reads one message. `false` if there was none.
    pub(crate) fn serve_one(&mut self, link: LinkId) -> bool {
        let Some(conn) = self.conns.get_mut(&link) else {
            return false;
        };
        let Some(message) = conn.to_server.pop_front() else {
            return false;
        };
        if conn.closed.is_some() {
            return true;
        }
        if message.len() > self.message_bytes_max {
            self.close(link, 1009);
            return true;
        }
        for request in self.dialect.requests(&message) {
            let request = request.expect("the machine writes what can be read");
            self.serve(link, &request);
        }
        self.fill_all(link);
        true
    }

    /// The client reads one message. `false` if there was none.
    pub(crate) fn deliver_one(&mut self, link: LinkId) -> bool {
        let Some(conn) = self.conns.get_mut(&link) else {
            return false;
        };
        match (conn.to_client.pop_front(), conn.closed) {
            (Some(message), _) => {
                self.note_answers(link, &message);
                self.machine.message(link, &message, self.now_ms);
            }
            (None, Some((code, reason))) => {
                self.conns.remove(&link);
                let loss = Loss::Closed {
                    code: Some(CloseCode(code)),
                    reason: reason.into(),
                };
                self.machine.lost(link, loss, self.now_ms);
            }
            (None, None) => return false,
        }
        self.act();
        true
    }

    /// Remembers where each subscription began that is answered for the first time.
    fn note_answers(&mut self, link: LinkId, message: &[u8]) {
        for word in self.dialect.server_words(message) {
            let answered = match word.expect("the server writes what can be read") {
                ServerWord::Reply(_, Reply::Subbed(subbed)) => vec![subbed.s],
                ServerWord::Reply(_, Reply::Welcome(welcome)) => {
                    let answers = welcome.subscribed.into_iter().flatten();
                    answers.map(|subbed| subbed.s).collect()
                }
                ServerWord::Reply(_, _) | ServerWord::Push(_) => Vec::new(),
            };
            for s in answered {
                if !self.void.contains(&(link, s)) {
                    let base = self.attached[&(link, s)].clone();
                    self.bases.entry(s).or_insert(base);
                }
            }
        }
    }

    /// Everything that is on its way arrives, until nothing is.
    pub(crate) fn flow(&mut self) {
        loop {
            self.transmit();
            let links: Vec<_> = self.conns.keys().copied().collect();
            let mut any = false;
            for link in links {
                while self.serve_one(link) || self.deliver_one(link) {
                    any = true;
                }
            }
            if !any {
                break;
            }
        }
    }

    /// Opens and lets everything arrive.
    pub(crate) fn connect(&mut self) -> LinkId {
        let link = self.open().expect("a connection is to be opened");
        self.flow();
        link
    }

    /// The network loses what is on its way, and the connection.
    pub(crate) fn cut(&mut self, link: LinkId) {
        if self.conns.remove(&link).is_some() {
            self.machine
                .lost(link, Loss::Cut("pulled".into()), self.now_ms);
            self.act();
        }
    }

    pub(crate) fn close(&mut self, link: LinkId, code: u16) {
        if let Some(conn) = self.conns.get_mut(&link) {
            conn.closed = Some((code, "because"));
        }
    }

    /// Time passes until the machine wants to be called, and it is.
    pub(crate) fn wait(&mut self) -> u64 {
        let deadline_ms = self.machine.deadline_ms().expect("it waits for something");
        let passed = deadline_ms.saturating_sub(self.now_ms);
        self.pass(passed);
        passed
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.machine.timeout(self.now_ms);
        self.act();
    }

    /// The server forgets all.
    pub(crate) fn restart(&mut self) {
        self.epoch += 1;
        self.topics.clear();
        self.states.clear();
        self.mark = 0;
        let links: Vec<_> = self.conns.keys().copied().collect();
        for link in links {
            self.cut(link);
        }
    }

    fn epoch_name(&self) -> String {
        format!("e{}", self.epoch)
    }

    fn topic(&mut self, name: &str) -> &mut Topic {
        let next_t = &mut self.next_t;
        self.topics.entry(name.to_owned()).or_insert_with(|| {
            *next_t += 1;
            Topic {
                t: *next_t,
                ..Topic::default()
            }
        })
    }

    /// Somebody publishes.
    pub(crate) fn publish(&mut self, topic: &str, data: &[u8]) -> u64 {
        let epoch = self.epoch_name();
        self.mark += 1;
        let mark = self.mark;
        let entry = self.topic(topic);
        entry.log.push(data.to_vec());
        entry.marks.push(mark);
        let offset = entry.log.len() as u64;
        let log = entry.log.clone();
        self.logs.insert((epoch, topic.to_owned()), log);
        let links: Vec<_> = self.conns.keys().copied().collect();
        for link in links {
            self.fill(link, topic);
        }
        offset
    }

    /// Sends a connection what it may have of a topic.
    fn fill(&mut self, link: LinkId, topic: &str) {
        let epoch = self.epoch_name();
        let dialect = self.dialect;
        let Some(entry) = self.topics.get(topic) else {
            return;
        };
        if entry.log.is_empty() {
            return;
        }
        let Some(conn) = self.conns.get_mut(&link) else {
            return;
        };
        let name = TopicName::parse(topic).expect("a name");
        let routes: Vec<_> = conn
            .subs
            .iter()
            .filter(|(_, (subject, _))| covers(subject, name))
            .map(|(s, (_, credit))| (*s, *credit))
            .collect();
        if routes.is_empty() || conn.closed.is_some() {
            return;
        }
        let said = conn.said.entry(topic.to_owned()).or_insert(Said {
            // Whoever subscribes attaches its topics; this one is new since then.
            upto: 0,
            sent: 0,
            credit: routes[0].1,
            announced: false,
        });
        let push = |push: &Push<'_>, out: &mut VecDeque<Vec<u8>>| {
            let mut message = Vec::new();
            dialect.write_push(push, &mut message);
            out.push_back(message);
        };
        while said.upto < entry.log.len() as u64 {
            if said.sent >= said.credit || conn.credit.is_some_and(|credit| conn.sent >= credit) {
                return;
            }
            if !said.announced {
                said.announced = true;
                let alias = TopicAlias {
                    t: entry.t,
                    topic: topic.into(),
                    s: routes.iter().map(|(s, _)| *s).collect(),
                    epoch: epoch.clone().into(),
                    offset: said.upto,
                };
                push(&Push::Topic(alias), &mut conn.to_client);
            }
            said.upto += 1;
            said.sent += 1;
            conn.sent += 1;
            let data = Cow::Borrowed(&*entry.log[index(said.upto)]);
            let message = message(entry.t, said.upto, data);
            push(&Push::Message(message), &mut conn.to_client);
        }
    }

    pub(crate) fn push(&mut self, link: LinkId, push: &Push<'_>) {
        let mut message = Vec::new();
        self.dialect.write_push(push, &mut message);
        if let Some(conn) = self.conns.get_mut(&link) {
            conn.to_client.push_back(message);
        }
    }

    fn reply(&mut self, link: LinkId, id: u64, reply: &Reply<'_>) {
        let mut message = Vec::new();
        self.dialect.write_reply(id, reply, &mut message);
        if let Some(conn) = self.conns.get_mut(&link) {
            conn.to_client.push_back(message);
        }
    }
}

fn message(t: u64, offset: u64, data: Cow<'_, [u8]>) -> Message<'_> {
    Message {
        t,
        offset,
        data: native::Data::Bytes(data),
        time_ms: 1,
        key: None,
        tags: Vec::new(),
        publisher: Publisher {
            user: "u".into(),
            conn: "c".into(),
            pseq: None,
        },
    }
}

pub(crate) fn covers(subject: &str, name: TopicName<'_>) -> bool {
    match Subject::parse(subject).expect("a subject") {
        Subject::Topic(topic) => topic == name,
        Subject::Pattern(pattern) => pattern.matches(name),
    }
}

pub(crate) fn bytes(text: &str) -> Data {
    Data::from(text.as_bytes())
}

/// Where the message with this offset stands in its log.
pub(crate) fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap() - 1
}

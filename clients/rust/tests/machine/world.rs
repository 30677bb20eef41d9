//! A server of a few lines, one client machine, and a network between them that can be cut at any
//! message. Nothing happens but by a call.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use corewire_client::Data;
use corewire_client::machine::{Action, LinkId, Loss, Machine};
use corewire_protocol::CloseCode;
use corewire_protocol::native::{
    self, Command, Credit, CreditScope, Dialect, Done, ErrorReply, Hello, Limits, Message,
    PolicyMode, Pubbed, Publisher, Push, Reply, Request, ServerWord, Subbed, SubbedTo, Subject,
    TopicAlias, TopicName, Welcome,
};

pub(crate) const PING_MS: u64 = 25_000;
pub(crate) const SLACK_MS: u64 = 10_000;

/// What a topic has had: `log[n]` has offset `n + 1`.
#[derive(Debug, Default, Clone)]
pub(crate) struct Topic {
    pub(crate) t: u64,
    pub(crate) log: Vec<Vec<u8>>,
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
    pub(crate) conns: BTreeMap<LinkId, Conn>,
    /// Connections that the machine wants to be opened.
    pub(crate) opening: VecDeque<(LinkId, String)>,
    pub(crate) opened: Vec<(LinkId, String, u64)>,
    pub(crate) tokens_asked: u32,
    /// What the server answers to `hello`.
    pub(crate) refuse_hello: Option<ErrorReply<'static>>,
    pub(crate) refuse_subscribe: Option<ErrorReply<'static>>,
    pub(crate) limits: Limits,
    pub(crate) expires_ms: Option<u64>,
    next_t: u64,
    /// All that the server was asked, in its own words.
    pub(crate) asked: Vec<(LinkId, Option<u64>, String)>,
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
    pub(crate) subs: BTreeMap<u64, (String, u64)>,
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
            conns: BTreeMap::new(),
            opening: VecDeque::new(),
            opened: Vec::new(),
            tokens_asked: 0,
            refuse_hello: None,
            refuse_subscribe: None,
            limits: Limits {
                message_bytes: 1 << 20,
                unanswered: 1024,
                ..Limits::default()
            },
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
                if let Some(conn) = self.conns.get_mut(&link) {
                    conn.to_server.push_back(std::mem::take(&mut message));
                }
            }
        }
        self.act();
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
        for request in self.dialect.requests(&message) {
            let request = request.expect("the machine writes what can be read");
            self.serve(link, &request);
        }
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
                let base = self.attached[&(link, s)].clone();
                self.bases.entry(s).or_insert(base);
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
                log: Vec::new(),
            }
        })
    }

    /// Somebody publishes.
    pub(crate) fn publish(&mut self, topic: &str, data: &[u8]) -> u64 {
        let epoch = self.epoch_name();
        let entry = self.topic(topic);
        entry.log.push(data.to_vec());
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
            let message = Message {
                t: entry.t,
                offset: said.upto,
                data: native::Data::Bytes(Cow::Borrowed(&entry.log[index(said.upto)])),
                time_ms: 1,
                key: None,
                tags: Vec::new(),
                publisher: Publisher {
                    user: "u".into(),
                    conn: "c".into(),
                    pseq: None,
                },
            };
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

    fn serve(&mut self, link: LinkId, request: &Request<'_>) {
        let id = request.id;
        self.asked
            .push((link, id, format!("{:?}", request.command)));
        match &request.command {
            Command::Hello(hello) => self.hello(link, id.expect("hello wants a reply"), hello),
            Command::Subscribe(subscribe) => {
                let id = id.expect("sub wants a reply");
                let reply = match self.attach(link, subscribe) {
                    Ok(subbed) => Reply::Subbed(subbed),
                    Err(error) => Reply::Error(error),
                };
                self.reply(link, id, &reply);
            }
            Command::Unsubscribe(unsubscribe) => {
                if let Some(conn) = self.conns.get_mut(&link) {
                    conn.subs.remove(&unsubscribe.s);
                    let left: Vec<_> = conn.subs.values().map(|(one, _)| one.clone()).collect();
                    conn.said.retain(|topic, _| {
                        let name = TopicName::parse(topic).expect("a name");
                        left.iter().any(|subject| covers(subject, name))
                    });
                }
                self.reply(
                    link,
                    id.expect("unsub wants a reply"),
                    &Reply::Ok(Done::default()),
                );
            }
            Command::Publish(publish) => {
                let native::Target::Topic(topic) = &publish.target else {
                    panic!("the machine names topics");
                };
                let data = payload(&publish.data);
                let offset = self.publish(topic, &data);
                let pubbed = Pubbed {
                    epoch: self.epoch_name().into(),
                    offset,
                    level: publish.level,
                    dup: native::Duplicate::No,
                };
                if let Some(id) = id {
                    self.reply(link, id, &Reply::Pubbed(pubbed));
                }
            }
            Command::History(_) | Command::State(_) => panic!("nobody asked the machine to"),
            Command::Credit(credit) => self.credit(link, credit),
            Command::Pong(_) | Command::Auth(_) => {
                if let Some(id) = id {
                    self.reply(link, id, &Reply::Ok(Done::default()));
                }
            }
            Command::Bye(_) => self.close(link, 1000),
        }
    }

    fn hello(&mut self, link: LinkId, id: u64, hello: &Hello<'_>) {
        if let Some(error) = self.refuse_hello.clone() {
            self.reply(link, id, &Reply::Error(error));
            return;
        }
        if let Some(conn) = self.conns.get_mut(&link) {
            conn.hello = true;
        }
        let subscribed = hello.subscribe.iter();
        let subscribed = subscribed
            .map(|subscribe| self.attach(link, subscribe))
            .collect();
        let welcome = Welcome {
            conn: format!("{link:?}").into(),
            node: self.epoch_name().into(),
            user: "u".into(),
            ticket: None,
            resumed: native::Resumed::No,
            ping_ms: PING_MS,
            slack_ms: SLACK_MS,
            limits: self.limits,
            expires_ms: self.expires_ms,
            subscribed,
            time_ms: 1,
        };
        self.reply(link, id, &Reply::Welcome(Box::new(welcome)));
    }

    fn attach(
        &mut self,
        link: LinkId,
        subscribe: &native::Subscribe<'_>,
    ) -> Result<Subbed<'static>, ErrorReply<'static>> {
        if let Some(error) = self.refuse_subscribe.clone() {
            return Err(error);
        }
        let epoch = self.epoch_name();
        let subject = subscribe.topic.to_string();
        let credit = subscribe.credit.unwrap_or(u64::MAX);
        let covered: Vec<_> = match Subject::parse(&subject).expect("checked by the client") {
            Subject::Topic(_) => self.topics.get_key_value(&subject).into_iter().collect(),
            Subject::Pattern(pattern) => {
                let matches = |name: &str| pattern.matches(TopicName::parse(name).expect("a name"));
                self.topics
                    .iter()
                    .filter(|(name, _)| matches(name))
                    .collect()
            }
        };
        let offsets: BTreeMap<_, _> = covered
            .into_iter()
            .map(|(name, topic)| (name.clone(), topic.log.len() as u64))
            .collect();
        // Who joins a delivery begins where that stands.
        let said = &self.conns.get(&link).expect("it asks").said;
        let joined = offsets.iter().map(|(name, offset)| {
            let upto = said.get(name).map_or(*offset, |said| said.upto);
            (name.clone(), upto)
        });
        let base = Base {
            epoch: epoch.clone(),
            joined: joined.collect(),
            published: offsets.clone(),
        };
        self.attached.insert((link, subscribe.s), base);
        let marks: u64 = offsets.values().sum();
        let to = match Subject::parse(&subject).expect("checked by the client") {
            Subject::Topic(_) => {
                let topic = self.topic(&subject);
                let (t, upto) = (topic.t, topic.log.len() as u64);
                let conn = self.conns.get_mut(&link).expect("it asks");
                let said = conn.said.entry(subject.clone()).or_insert(Said {
                    upto,
                    sent: 0,
                    credit,
                    announced: false,
                });
                // Told before its next message, with all whom it serves.
                said.announced = false;
                SubbedTo::Topic {
                    t,
                    epoch: epoch.into(),
                    offset: said.upto,
                }
            }
            Subject::Pattern(pattern) => {
                let conn = self.conns.get_mut(&link).expect("it asks");
                for (name, offset) in offsets {
                    if pattern.matches(TopicName::parse(&name).expect("a name")) {
                        let said = conn.said.entry(name).or_insert(Said {
                            upto: offset,
                            sent: 0,
                            credit,
                            announced: false,
                        });
                        // Told again, for those who have joined.
                        said.announced = false;
                    }
                }
                SubbedTo::Pattern {
                    pos: format!("{epoch}.{marks}").into(),
                }
            }
        };
        let conn = self.conns.get_mut(&link).expect("it asks");
        conn.subs.insert(subscribe.s, (subject, credit));
        Ok(Subbed {
            s: subscribe.s,
            to,
            recovered: None,
            replay_to: None,
            policy: native::Policy {
                mode: PolicyMode::All,
                max_bytes: None,
                max_messages: None,
            },
        })
    }

    fn credit(&mut self, link: LinkId, credit: &Credit) {
        let Some(conn) = self.conns.get_mut(&link) else {
            return;
        };
        match credit.scope {
            CreditScope::Connection => conn.credit = credit.messages,
            CreditScope::Topic(t) => {
                for (name, said) in &mut conn.said {
                    if self.topics.get(name).is_some_and(|topic| topic.t == t) {
                        said.credit = said.credit.max(credit.messages.unwrap_or(0));
                    }
                }
            }
            CreditScope::Subscription(_) => panic!("the machine gives credit by topic"),
        }
        let names: Vec<_> = self.topics.keys().cloned().collect();
        for name in names {
            self.fill(link, &name);
        }
    }
}

fn payload(data: &native::Data<'_>) -> Vec<u8> {
    match data {
        native::Data::Json(text) | native::Data::Text(text) => text.as_bytes().to_vec(),
        native::Data::Bytes(bytes) => bytes.to_vec(),
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

//! Who uses topics: rooms that somebody speaks in and others come back to, topics that are used once,
//! people who come and go, and readers that have stopped. What a room's listeners are told is
//! checked: every number once, in order, over all their connections.

use std::thread;
use std::time::Duration;

use corewire::protocol::native::Dialect;
use corewire_testkit::peer::upgrade_request;
use corewire_testkit::{NativeClient, Peer, Random};
use serde_json::{Value, json};

use super::load::Stage;

/// All of them.
pub(crate) const CAST: [(&str, fn(Stage<'_>, Random)); 6] = [
    ("speaker", speaker),
    ("listeners", listeners),
    ("all rooms", all_rooms),
    ("passers", passers),
    ("people", people),
    ("stopped reader", stopped_reader),
];

const ROOMS: usize = 16;
/// A message of a room, without what is drawn.
const PADDING_BYTES: usize = 1000;
/// Messages that are said in a row. They and the pause stay below a connection's `publish_per_s`.
const BURST: usize = 5;
const SPEAKER_PAUSE: Duration = Duration::from_millis(10);
const LISTENERS: usize = 60;
const LISTENER_PAUSE: Duration = Duration::from_millis(4);
const PASSER_PAUSE: Duration = Duration::from_millis(8);
const PEOPLE: usize = 40;
const PEOPLE_PAUSE: Duration = Duration::from_millis(5);
/// Longer than it takes to fill what the kernel keeps, and the server's stall timeout.
const STALLED: Duration = Duration::from_secs(20);

fn dialect(random: &mut Random) -> Dialect {
    match random.once_in(2) {
        true => Dialect::Json,
        false => Dialect::Binary,
    }
}

/// A client, and its ticket.
fn connect(stage: Stage<'_>, dialect: Dialect, ticket: Option<&str>) -> (NativeClient, Box<str>) {
    let mut client = NativeClient::open(stage.address, dialect);
    let hello = json!({"hello": {"v": 1, "resume": ticket.unwrap_or("none")}});
    let welcome = client.ask(&hello.to_string());
    let ticket_known = welcome["welcome"]["resumed"] == true;
    assert_eq!(ticket_known, ticket.is_some(), "{welcome}");
    let ticket = welcome["welcome"]["ticket"].as_str().unwrap();
    (client, ticket.into())
}

/// Asks for what must be granted.
fn ask(client: &mut NativeClient, command: &Value) -> Value {
    let reply = client.ask(&command.to_string());
    assert!(reply.get("err").is_none(), "{command}: {reply}");
    reply
}

fn room(number: usize) -> String {
    format!("soak.room.{number}")
}

/// Speaks in all rooms, and now and then loses its connection and says its last words again.
fn speaker(stage: Stage<'_>, mut random: Random) {
    let dialect = dialect(&mut random);
    let (mut client, mut ticket) = connect(stage, dialect, None);
    let mut said = [0_u64; ROOMS];
    let padding = "and so on ".repeat(PADDING_BYTES / 10);
    let word = |number: usize, pseq: u64, random: &mut Random| {
        let data = format!("{pseq} {}", &padding[..random.below(PADDING_BYTES)]);
        json!({"pub": {"topic": room(number), "data": data, "pseq": pseq, "key": "k"}})
    };
    while stage.goes_on() {
        for _ in 1..BURST {
            let number = random.below(ROOMS);
            said[number] += 1;
            client.say(&word(number, said[number], &mut random).to_string());
        }
        let number = random.below(ROOMS);
        said[number] += 1;
        let last = word(number, said[number], &mut random);
        let first = ask(&mut client, &last);
        if random.once_in(100) {
            client.peer().hang_up();
            (client, ticket) = connect(stage, dialect, Some(&ticket));
            let again = ask(&mut client, &last);
            assert_eq!(again["pubbed"]["offset"], first["pubbed"]["offset"]);
            assert_eq!(again["pubbed"]["dup"], true, "{again}");
        }
        thread::sleep(SPEAKER_PAUSE);
    }
}

/// One that hears all of a room, over all its connections.
struct Listener {
    client: NativeClient,
    dialect: Dialect,
    room: usize,
    epoch: Box<str>,
    /// The last that was accounted for.
    offset: u64,
}

impl Listener {
    /// Comes to a room.
    fn new(stage: Stage<'_>, random: &mut Random) -> Self {
        let dialect = dialect(random);
        let mut listener = Self {
            client: NativeClient::connect(stage.address, dialect),
            dialect,
            room: random.below(ROOMS),
            epoch: "".into(),
            offset: 0,
        };
        let subbed = listener.subscribe(&json!({"last": random.below(50)}));
        listener.epoch = subbed["epoch"].as_str().unwrap().into();
        listener.offset = subbed["offset"].as_u64().unwrap();
        listener
    }

    fn subscribe(&mut self, from: &Value) -> Value {
        let command = json!({"sub": {"s": 1, "topic": room(self.room), "from": from}});
        ask(&mut self.client, &command)["subbed"].take()
    }

    /// Loses its connection, and goes on where it was.
    fn come_back(&mut self, stage: Stage<'_>) {
        self.client.peer().hang_up();
        self.client = NativeClient::connect(stage.address, self.dialect);
        let subbed = self.subscribe(&json!({"epoch": *self.epoch, "offset": self.offset}));
        assert_eq!(subbed["recovered"], true, "{subbed}");
        assert_eq!(subbed["epoch"].as_str(), Some(&*self.epoch));
        assert_eq!(subbed["offset"], self.offset);
    }

    /// Takes what has come.
    fn listen(&mut self) {
        ask(&mut self.client, &json!({"pong": {"t": 0}}));
        while let Some(word) = self.client.heard() {
            if let Some(message) = word.get("msg") {
                assert_eq!(message["o"], self.offset + 1, "{}: {word}", room(self.room));
                self.offset += 1;
            } else {
                let known = ["topic", "ping", "pos"]
                    .iter()
                    .any(|name| word.get(name).is_some());
                assert!(known, "{}: {word}", room(self.room));
            }
        }
    }
}

/// Listeners that are cut off now and then, and miss nothing.
fn listeners(stage: Stage<'_>, mut random: Random) {
    let mut all: Vec<Listener> = (0..LISTENERS)
        .map(|_| Listener::new(stage, &mut random))
        .collect();
    while stage.goes_on() {
        let at = random.below(LISTENERS);
        all[at].listen();
        if random.once_in(20) {
            all[at].come_back(stage);
        } else if random.once_in(200) {
            ask(&mut all[at].client, &json!({"bye": {}}));
            all[at] = Listener::new(stage, &mut random);
        }
        thread::sleep(LISTENER_PAUSE);
    }
}

/// Hears all rooms and all topics that are used once, and takes it easy.
fn all_rooms(stage: Stage<'_>, mut random: Random) {
    while stage.goes_on() {
        let mut client = NativeClient::connect(stage.address, dialect(&mut random));
        let policy = random.one_of(&["all", "latest", "drop_oldest"]);
        let command = json!({"sub": {"s": 1, "topic": "soak.>", "policy": {"mode": policy}}});
        ask(&mut client, &command);
        for _ in 0..random.below(30) {
            stage.pause(Duration::from_millis(200));
            ask(&mut client, &json!({"pong": {"t": 0}}));
            while client.heard().is_some() {}
        }
        client.peer().hang_up();
    }
}

/// Each has a topic to itself, and leaves in another way.
fn passers(stage: Stage<'_>, mut random: Random) {
    for number in 0_u64.. {
        if !stage.goes_on() {
            return;
        }
        let mut client = NativeClient::connect(stage.address, dialect(&mut random));
        let topic = format!("soak.once.{number}");
        let presence = random.one_of(&["announce", "watch", "both"]);
        ask(
            &mut client,
            &json!({"sub": {"s": 1, "topic": topic, "presence": presence}}),
        );
        let message = json!({"pub": {"topic": topic, "data": number, "idem": "only"}});
        ask(&mut client, &message);
        assert_eq!(client.expect_push("msg")["data"], number);
        match random.below(4) {
            0 => drop(ask(&mut client, &json!({"unsub": {"s": 1}}))),
            1 => drop(ask(&mut client, &json!({"bye": {}}))),
            2 => client.peer().hang_up(),
            // Reading a history that nobody waits for.
            _ => client.say(&json!({"id": 1, "hist": {"topic": room(0)}}).to_string()),
        }
        drop(client);
        thread::sleep(PASSER_PAUSE);
    }
}

/// People in one hall: they type, say how they are, get lost and come back.
fn people(stage: Stage<'_>, mut random: Random) {
    let enter = |random: &mut Random, ticket: Option<&str>| {
        let (mut client, ticket) = connect(stage, dialect(random), ticket);
        let command = json!({"sub": {
            "s": 1, "topic": "soak.hall", "presence": "both", "watch": ["typing"]
        }});
        ask(&mut client, &command);
        (client, ticket)
    };
    let mut all: Vec<_> = (0..PEOPLE).map(|_| enter(&mut random, None)).collect();
    let state = |state: Value| json!({"state": state});
    while stage.goes_on() {
        let at = random.below(PEOPLE);
        let (client, ticket) = &mut all[at];
        let command = match random.below(6) {
            0 | 1 => {
                state(json!({"topic": "soak.hall", "op": "set", "ns": "typing", "ttl_ms": 500}))
            }
            2 => state(json!({"topic": "soak.hall", "op": "del", "ns": "typing"})),
            3 => {
                let mood = random.below(5);
                state(json!({"topic": "soak.hall", "op": "set", "ns": "presence", "v": mood}))
            }
            4 => state(json!({"topic": "soak.hall", "op": "page", "ns": "presence", "limit": 10})),
            _ => json!({"pong": {"t": 0}}),
        };
        ask(client, &command);
        while client.heard().is_some() {}
        if random.once_in(20) {
            client.peer().hang_up();
            let ticket = ticket.clone();
            all[at] = enter(&mut random, Some(&ticket));
        } else if random.once_in(20) {
            client.peer().hang_up();
            all[at] = enter(&mut random, None);
        } else if random.once_in(20) {
            ask(client, &json!({"bye": {}}));
            all[at] = enter(&mut random, None);
        }
        thread::sleep(PEOPLE_PAUSE);
    }
}

/// Wants everything that all rooms have, and takes nothing of it, until it is reset.
fn stopped_reader(stage: Stage<'_>, mut random: Random) {
    while stage.goes_on() {
        let dialect = dialect(&mut random);
        let dial = Peer::dial(stage.address).receive_buffer(16 << 10);
        let mut peer = dial.connect();
        let subprotocol = format!("Sec-WebSocket-Protocol: {}", dialect.subprotocol());
        peer.send(upgrade_request("/ws", &[&subprotocol]));
        let _ = peer.expect_upgrade();
        let subs = json!([{"s": 1, "topic": "soak.room.*", "from": {"last": 500}}]);
        let hello = json!({"id": 1, "hello": {"v": 1, "subs": subs}});
        peer.send(NativeClient::frame_in(dialect, &hello.to_string()));
        stage.pause(STALLED);
    }
}

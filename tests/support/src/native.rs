//! A client of the messaging layer, in either dialect, that is told what to say as JSON and tells
//! what it hears as JSON: what a test reads is the same for both.

use std::collections::VecDeque;
use std::net::SocketAddr;

use corewire::protocol::frame::OpCode;
use corewire::protocol::native::{Dialect, ServerWord};
use serde_json::Value;

use crate::frames;
use crate::peer::{Ended, Peer};

/// A connected client.
#[derive(Debug)]
pub struct NativeClient {
    peer: Peer,
    dialect: Dialect,
    heard: VecDeque<Value>,
    id: u64,
}

impl NativeClient {
    /// Connects, and says nothing.
    ///
    /// # Panics
    ///
    /// If the server does not agree.
    #[must_use]
    pub fn open(to: SocketAddr, dialect: Dialect) -> Self {
        let subprotocol = format!("Sec-WebSocket-Protocol: {}", dialect.subprotocol());
        let mut peer = Peer::dial(to).connect();
        peer.send(crate::peer::upgrade_request("/ws", &[&subprotocol]));
        let reply = peer.expect_upgrade();
        assert_eq!(
            reply.header("sec-websocket-protocol"),
            Some(dialect.subprotocol())
        );
        Self {
            peer,
            dialect,
            heard: VecDeque::new(),
            id: 1_000_000,
        }
    }

    /// Connects and says hello.
    ///
    /// # Panics
    ///
    /// If it is not welcome.
    #[must_use]
    pub fn connect(to: SocketAddr, dialect: Dialect) -> Self {
        let mut client = Self::open(to, dialect);
        let reply = client.ask(r#"{"hello":{"v":1}}"#);
        assert!(reply.get("welcome").is_some(), "{reply}");
        client
    }

    /// The connection below.
    pub const fn peer(&mut self) -> &mut Peer {
        &mut self.peer
    }

    /// Says something, given as JSON.
    ///
    /// # Panics
    ///
    /// If it is no command.
    pub fn say(&mut self, json: &str) {
        let frame = self.frame(json);
        self.peer.send(frame);
    }

    /// Says several things at once, each in a message of its own.
    ///
    /// # Panics
    ///
    /// If one is no command.
    pub fn say_all(&mut self, json: &[String]) {
        let frames: Vec<u8> = json.iter().flat_map(|one| self.frame(one)).collect();
        self.peer.send(frames);
    }

    fn frame(&self, json: &str) -> Vec<u8> {
        Self::frame_in(self.dialect, json)
    }

    /// A frame with these commands, given as JSON.
    ///
    /// # Panics
    ///
    /// If they are no commands.
    #[must_use]
    pub fn frame_in(dialect: Dialect, json: &str) -> Vec<u8> {
        match dialect {
            Dialect::Json => frames::text(json),
            Dialect::Binary => {
                let mut bytes = Vec::new();
                for request in Dialect::Json.requests(json.as_bytes()) {
                    let request = request.expect("the test's command can be read");
                    Dialect::Binary.write_request(&request, &mut bytes);
                }
                frames::binary(&bytes)
            }
        }
    }

    /// Says something with an id of its own, and waits for the reply. What comes before it is kept.
    ///
    /// # Panics
    ///
    /// If no reply comes.
    #[track_caller]
    pub fn ask(&mut self, json: &str) -> Value {
        self.id += 1;
        let id = self.id;
        let with_id = json.replacen('{', &format!("{{\"id\":{id},"), 1);
        self.say(&with_id);
        self.reply(id)
    }

    /// Waits for the reply with this id. What comes before it is kept.
    ///
    /// # Panics
    ///
    /// If no reply comes.
    #[track_caller]
    pub fn reply(&mut self, id: u64) -> Value {
        let known = |word: &Value| word.get("id").and_then(Value::as_u64) == Some(id);
        if let Some(place) = self.heard.iter().position(known) {
            return self.heard.remove(place).expect("it was found");
        }
        let mut before = std::mem::take(&mut self.heard);
        loop {
            let word = self.expect();
            if known(&word) {
                before.append(&mut self.heard);
                self.heard = before;
                return word;
            }
            before.push_back(word);
        }
    }

    /// The next word, as JSON.
    ///
    /// # Panics
    ///
    /// If none comes.
    #[track_caller]
    pub fn expect(&mut self) -> Value {
        self.word()
            .unwrap_or_else(|ended| panic!("expected a word: {ended:?}"))
    }

    /// A word that came before a reply, and was kept.
    pub fn heard(&mut self) -> Option<Value> {
        self.heard.pop_front()
    }

    /// The next word with this name; others are thrown away.
    ///
    /// # Panics
    ///
    /// If none comes.
    #[track_caller]
    pub fn expect_push(&mut self, name: &str) -> Value {
        loop {
            let mut word = self.expect();
            if let Some(push) = word.get_mut(name) {
                return push.take();
            }
        }
    }

    /// The next word, as JSON, or the end.
    ///
    /// # Errors
    ///
    /// How the connection has ended.
    pub fn word(&mut self) -> Result<Value, Ended> {
        while self.heard.is_empty() {
            let frame = self.peer.frame()?;
            match frame.header.opcode {
                OpCode::Text | OpCode::Binary => self.hear(&frame.payload),
                OpCode::Close => {
                    let code = frame.close_code().unwrap_or(1005);
                    self.heard.push_back(serde_json::json!({ "close": code }));
                }
                OpCode::Ping | OpCode::Pong | OpCode::Continuation => {}
            }
        }
        Ok(self.heard.pop_front().expect("it is not empty"))
    }

    fn hear(&mut self, payload: &[u8]) {
        for word in self.dialect.server_words(payload) {
            let mut json = Vec::new();
            match word.expect("the server's words can be read") {
                ServerWord::Reply(id, reply) => Dialect::Json.write_reply(id, &reply, &mut json),
                ServerWord::Push(push) => Dialect::Json.write_push(&push, &mut json),
            }
            let value = serde_json::from_slice(&json).expect("what we write is JSON");
            self.heard.push_back(value);
        }
    }
}

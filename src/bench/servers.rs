//! Servers for the tests of the generator: right ones, and wrong ones of every kind. They run on
//! threads that end with the tests.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::target::Target;

/// What an echo server gives for each message of a connection, which it gets with its number.
pub(super) type Reply = fn(Message, u64) -> Vec<Message>;

/// What a fan-out server gives one of its connections for a message: the place of the connection,
/// the number of the message, the message and the one before.
pub(super) type Deliver = fn(usize, u64, &Message, &Message) -> Vec<Message>;

/// A server on every connection of which `serve` is called, on a thread of its own.
pub(super) fn with(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("ws://{}/echo", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || serve(stream));
        }
    });
    target.parse().unwrap()
}

/// A server that gives `reply` for each message.
pub(super) fn echo(reply: Reply) -> Target {
    with(move |stream| {
        let Ok(ws) = tungstenite::accept(stream) else {
            return;
        };
        // Whatever ends the connection, the generator has seen it or caused it.
        let _ = converse(ws, reply);
    })
}

fn converse(mut ws: WebSocket<TcpStream>, reply: Reply) -> Result<(), tungstenite::Error> {
    let mut number = 0;
    loop {
        let message = ws.read()?;
        if message.is_binary() || message.is_text() {
            for message in reply(message, number) {
                ws.send(message)?;
            }
            number += 1;
        }
    }
}

/// A server without a handshake that returns every read after `change`.
pub(super) fn tcp(change: fn(&mut [u8])) -> Target {
    let target = with(move |mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            change(&mut buffer[..read]);
            if stream.write_all(&buffer[..read]).is_err() {
                return;
            }
        }
    });
    target
        .to_string()
        .replace("ws://", "tcp://")
        .parse()
        .unwrap()
}

/// A server that answers a handshake with these bytes.
pub(super) fn answering(answer: &'static [u8]) -> Target {
    with(move |mut stream| {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer);
        let _ = stream.write_all(answer);
        let _ = stream.shutdown(Shutdown::Write);
        // Until the other side has read it.
        let _ = stream.read(&mut buffer);
    })
}

/// What a fan-out server tells a connection to which it will send from now on.
pub(super) const JOINED: &str = "joined";

enum Event {
    Joined(Box<WebSocket<TcpStream>>),
    Sent(Message),
}

/// A server that sends what it gets from one to all, by way of `deliver`.
pub(super) fn broadcast(deliver: Deliver) -> Target {
    let (sender, events) = channel();
    std::thread::spawn(move || distribute(&events, deliver));
    with(move |stream| {
        let Ok(mut ws) = tungstenite::accept(stream) else {
            return;
        };
        let _ = receive(&mut ws, &sender);
    })
}

fn receive(
    ws: &mut WebSocket<TcpStream>,
    events: &Sender<Event>,
) -> Result<(), tungstenite::Error> {
    let stream = ws.get_ref().try_clone().unwrap();
    let writer = WebSocket::from_raw_socket(stream, Role::Server, None);
    events.send(Event::Joined(Box::new(writer))).unwrap();
    loop {
        let message = ws.read()?;
        if message.is_binary() || message.is_text() {
            events.send(Event::Sent(message)).unwrap();
        }
    }
}

fn distribute(events: &Receiver<Event>, deliver: Deliver) {
    let (mut all, mut number) = (Vec::new(), 0);
    let mut last = Message::text("");
    while let Ok(event) = events.recv() {
        match event {
            Event::Joined(mut ws) => {
                let _ = ws.send(Message::text(JOINED));
                all.push(ws);
            }
            Event::Sent(message) => {
                for (place, ws) in all.iter_mut().enumerate() {
                    for message in deliver(place, number, &message, &last) {
                        // Who has gone is not missed.
                        let _ = ws.send(message);
                    }
                }
                number += 1;
                last = message;
            }
        }
    }
}

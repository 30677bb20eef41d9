//! What a WebSocket server cannot beat: bytes echoed over TCP as they come, one read and one
//! write, no protocol at all. Driven with `corewire bench echo tcp://ADDRESS`.

use std::io::{self, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);

/// A connection and what its peer has not taken yet. While something is owed nothing is read.
struct Connection {
    stream: TcpStream,
    owed: Vec<u8>,
}

impl Connection {
    /// Echoes until the socket has nothing more or takes nothing more. False: it is gone.
    fn turn(&mut self, buffer: &mut [u8]) -> bool {
        match self.echo(buffer) {
            Ok(()) => false,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    fn echo(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            while !self.owed.is_empty() {
                let sent = self.stream.write(&self.owed)?;
                self.owed.drain(..sent);
            }
            let read = self.stream.read(buffer)?;
            if read == 0 {
                return Ok(());
            }
            let sent = match self.stream.write(&buffer[..read]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                sent => sent?,
            };
            self.owed.extend_from_slice(&buffer[sent..read]);
            // Edge-triggered: a short read means that the socket is empty (epoll(7)).
            if read < buffer.len() && self.owed.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:0");
    let mut listener = TcpListener::bind(address.parse().map_err(io::Error::other)?)?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening on {}", listener.local_addr()?);

    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, None) {
            // A signal, or a tracer that has just begun to watch.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections)?;
                continue;
            }
            let slot = &mut connections[event.token().0];
            if let Some(connection) = slot
                && !connection.turn(&mut buffer)
            {
                *slot = None;
            }
        }
    }
}

/// Takes all connections that wait. A place is never used twice: this server lives for one run.
fn accept(
    listener: &TcpListener,
    poll: &Poll,
    connections: &mut Vec<Option<Connection>>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut stream, Token(connections.len()), both)?;
        connections.push(Some(Connection {
            stream,
            owed: Vec::new(),
        }));
    }
}

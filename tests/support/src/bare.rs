//! A core's machine without sockets: input lies in memory, output is taken as fast as a bench says.

use std::fmt;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use corewire::engine::{
    Accepted, Handler, NearEnd, Now, Options, ReadInto, ReadResult, SLICES_MAX, Shard, Shared,
    Step, WriteResult,
};
use corewire::metrics::Counters;
use corewire::protocol::deflate::InflateBudget;
use corewire::{ConnId, CoreId};

use crate::peer::upgrade_request;

/// A [`Shard`] whose connections are WebSockets already, with default options but without pings.
/// Mail that its handler sends comes back to it.
pub struct Bare<H: Handler> {
    shard: Shard<H, fn() -> H>,
    conns: Vec<ConnId>,
    now: Now,
    write_bytes_max: usize,
    /// Peers that have taken a part of what they were offered.
    blocked: Vec<ConnId>,
    written: Vec<u8>,
    written_bytes: usize,
}

impl<H: Handler> Bare<H> {
    /// A shard with so many connections.
    ///
    /// # Panics
    ///
    /// If it refuses one.
    #[must_use]
    pub fn new(connections: usize, handler: fn() -> H) -> Self {
        Self::with_headers(connections, handler, &[])
    }

    /// The same, whose clients ask for their WebSockets with these lines besides.
    ///
    /// # Panics
    ///
    /// If it refuses one.
    #[must_use]
    pub fn with_headers(connections: usize, handler: fn() -> H, headers: &[&str]) -> Self {
        let mut options = Options::default();
        // Nobody here would answer a ping, however much time a bench lets pass.
        options.limits.ping_interval_ms = 0;
        let shared = Shared {
            options: Arc::new(options),
            inflate_budget: InflateBudget::new(InflateBudget::DEFAULT_BYTES),
            population: Arc::default(),
        };
        let counters = Arc::new(Counters::default());
        let now = Now::default();
        let mut bare = Self {
            shard: Shard::new(CoreId(0), shared, counters, 1, now, handler),
            conns: Vec::new(),
            now,
            write_bytes_max: usize::MAX,
            blocked: Vec::new(),
            written: Vec::new(),
            written_bytes: 0,
        };
        for _ in 0..connections {
            bare.connect(headers);
        }
        bare
    }

    fn connect(&mut self, headers: &[&str]) {
        self.shard.acceptable(0);
        assert!(matches!(self.shard.next_step(), Step::Accept { .. }));
        let peer = SocketAddr::from(([127, 0, 0, 1], 4000));
        self.conns.push(self.shard.accepted(peer).unwrap());
        self.shard.did_accept(0, Accepted::Drained);
        let last = self.conns.len() - 1;
        let answer = self.hears(last, upgrade_request("/", headers).as_bytes());
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
    }

    /// From now on a peer takes this many bytes of a write, and the rest when it is offered again.
    #[must_use]
    pub const fn writing(mut self, bytes_max: usize) -> Self {
        self.write_bytes_max = bytes_max;
        self
    }

    /// One read of a connection brings `stream`, at most the receive buffer. Returns what was
    /// written until the shard waits.
    pub fn hears(&mut self, connection: usize, stream: &[u8]) -> &[u8] {
        self.written.clear();
        self.shard.time(self.now);
        self.shard.readable(self.conns[connection], NearEnd::No);
        self.run(Some(stream), Written::Kept);
        &self.written
    }

    /// Mail comes from another core. Returns how many bytes were written until the shard waits.
    pub fn mailed(&mut self, mail: H::Mail) -> usize {
        self.shard.time(self.now);
        self.shard.mail(CoreId(1), mail);
        self.run(None, Written::Counted)
    }

    /// Time passes. Returns how many bytes were written until the shard waits.
    pub fn passes(&mut self, ms: u32) -> usize {
        self.now.tick = self.now.tick.after(ms);
        self.shard.time(self.now);
        self.run(None, Written::Counted)
    }

    /// Does what the shard asks for until it waits for time or events.
    fn run(&mut self, mut stream: Option<&[u8]>, kept: Written) -> usize {
        self.written_bytes = 0;
        loop {
            match self.shard.next_step() {
                Step::Read {
                    into: ReadInto::Buffer(buffer),
                    ..
                } => {
                    let result = match stream.take() {
                        Some(bytes) => {
                            buffer[..bytes.len()].copy_from_slice(bytes);
                            ReadResult::Bytes(bytes.len())
                        }
                        None => ReadResult::WouldBlock,
                    };
                    self.shard.did_read(result);
                }
                Step::Write { conn, output } => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let count = output.slices(&mut slices);
                    let offered: usize = slices[..count].iter().map(|slice| slice.len()).sum();
                    let mut left = self.write_bytes_max;
                    for slice in &slices[..count] {
                        let taken = slice.len().min(left);
                        if kept == Written::Kept {
                            self.written.extend_from_slice(&slice[..taken]);
                        }
                        left -= taken;
                        self.written_bytes += taken;
                    }
                    let taken = self.write_bytes_max - left;
                    if taken == offered {
                        self.shard.did_write(WriteResult::All(taken));
                    } else {
                        self.shard.did_write(WriteResult::Part(taken));
                        self.blocked.push(conn);
                    }
                }
                Step::Mail(_, mail) => self.shard.mail(CoreId(0), mail),
                Step::Wait(Some(0)) => {}
                Step::Wait(_) if self.blocked.is_empty() => return self.written_bytes,
                Step::Wait(_) => {
                    for conn in self.blocked.drain(..) {
                        self.shard.writable(conn);
                    }
                }
                Step::Close(conn, how) => panic!("{conn} is closed: {how:?}"),
                Step::EndOutput(conn) => panic!("{conn} ends"),
                Step::Accept { .. } | Step::Read { .. } => panic!("an input that is not there"),
            }
        }
    }
}

impl<H: Handler> fmt::Debug for Bare<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bare({} connections)", self.conns.len())
    }
}

/// What becomes of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Kept,
    /// As by a kernel, which copies it elsewhere.
    Counted,
}

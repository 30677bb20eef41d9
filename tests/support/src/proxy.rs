//! A network that fails: what goes through this proxy is cut, held up and dripped at moments that a
//! seed chooses.
//!
//! ```text
//!   client ──▶ [ up ] ──▶ server       a [ buffer ] of each way holds what the other end has not
//!          ◀── [ down ] ◀──            taken yet; one that is full stops the reading before it
//! ```
//!
//! One thread accepts and one carries each connection. What they decide comes from the seed and
//! the number of the connection; when the system lets them do it does not, so a seed repeats a
//! storm and not a run.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockRef, Socket, Type};

use crate::random::Random;

/// Bytes that are on their way in one direction at most.
const BUFFER_BYTES: usize = 16 << 10;
/// How often a connection looks whether it is to end.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};
/// A connection ends no later than this after a half of it has.
const LINGER: Duration = Duration::from_millis(50);
/// The pause between two drips.
const DRIP: Duration = Duration::from_millis(1);

/// How bad the network is.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Milliseconds that a connection lives, at most.
    pub lives_ms: u64,
    /// Milliseconds for which nothing moves, at most, before what stalls is cut or goes on.
    pub stalls_ms: u64,
    /// One connection in so many is dripped: a few bytes at a time. 0 is none.
    pub drips_once_in: usize,
}

impl Weather {
    /// Nothing happens.
    pub const FAIR: Self = Self {
        lives_ms: u64::MAX,
        stalls_ms: 0,
        drips_once_in: 0,
    };
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Both sides are reset, and what was on its way is lost.
    Reset,
    /// A part of what is on its way arrives, so that a frame breaks off anywhere.
    MidFrame,
    /// The client hears the end of the server, which hears on.
    HalfClosed,
    /// The server hears the end of the client, which hears on.
    HalfGone,
    /// Nothing moves, then it is reset.
    Stall,
    /// Nothing moves for a while, then it lives as long again.
    Pause,
}

const ENDINGS: [Ending; 6] = [
    Ending::Reset,
    Ending::MidFrame,
    Ending::HalfClosed,
    Ending::HalfGone,
    Ending::Stall,
    Ending::Pause,
];

/// The proxy. Its connections end with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    over: AtomicBool,
    /// Connections live as long as their ends want them to.
    calm: AtomicBool,
    connections: AtomicU64,
    cuts: AtomicU64,
    /// From where the server is called: an IPv4 address, and above it how often that has changed.
    source: AtomicU64,
}

impl Proxy {
    /// Stands before a server.
    ///
    /// # Panics
    ///
    /// If there is no port to listen at.
    #[must_use]
    pub fn start(server: SocketAddr, seed: u64, weather: Weather) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            over: AtomicBool::new(false),
            calm: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            source: AtomicU64::new(Ipv4Addr::LOCALHOST.to_bits().into()),
        });
        let acceptor = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || accept(&listener, server, seed, weather, &shared))
        };
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it only carries.
    pub fn calm_down(&self) {
        self.shared.calm.store(true, Ordering::Relaxed);
    }

    /// Its clients have another address now, of this machine: what they had is cut.
    pub fn move_to(&self, address: Ipv4Addr) {
        let moves = self.shared.source.load(Ordering::Relaxed) >> 32;
        let source = (moves + 1) << 32 | u64::from(address.to_bits());
        self.shared.source.store(source, Ordering::Relaxed);
    }

    /// Connections that it has carried.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Connections that it has cut.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // It wakes by a connection.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(
    listener: &TcpListener,
    server: SocketAddr,
    seed: u64,
    weather: Weather,
    shared: &Arc<Shared>,
) {
    let mut carried: Vec<JoinHandle<()>> = Vec::new();
    while let Ok((client, _)) = listener.accept() {
        if shared.over.load(Ordering::Relaxed) {
            break;
        }
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        // A server that is not there is what the client finds, too.
        let source = shared.source.load(Ordering::Relaxed);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the address is the lower half"
        )]
        let address = Ipv4Addr::from_bits(source as u32);
        let Ok(server) = connect(address, server) else {
            continue;
        };
        let random = Random::new(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let shared = (Arc::clone(shared), source);
        let carrier = Carrier::new(&client, &server, random, weather, shared);
        carried.retain(|thread| !thread.is_finished());
        carried.push(std::thread::spawn(move || carrier.carry()));
    }
    for thread in carried {
        let _ = thread.join();
    }
}

fn connect(source: Ipv4Addr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// Bytes in one direction.
#[derive(Debug)]
struct Way {
    from: TcpStream,
    to: TcpStream,
    bytes: Vec<u8>,
    end: End,
}

/// How far the end of a direction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// Nothing more is read.
    Read,
    /// And the other side knows.
    Told,
}

/// One connection.
struct Carrier {
    up: Way,
    down: Way,
    random: Random,
    weather: Weather,
    shared: Arc<Shared>,
    /// From where it is.
    source: u64,
    /// Bytes that move at a time, if it is dripped.
    drip: Option<usize>,
}

impl Carrier {
    fn new(
        client: &TcpStream,
        server: &TcpStream,
        mut random: Random,
        weather: Weather,
        (shared, source): (Arc<Shared>, u64),
    ) -> Self {
        for stream in [client, server] {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
        }
        let drips = weather.drips_once_in > 0 && random.once_in(weather.drips_once_in);
        Self {
            up: Way::new(client, server),
            down: Way::new(server, client),
            drip: drips.then(|| 1 + random.below(300)),
            random,
            weather,
            shared,
            source,
        }
    }

    /// Until it has ended.
    fn carry(mut self) {
        loop {
            let lives = self.up_to_ms(self.weather.lives_ms);
            if !self.live(lives) {
                return;
            }
            let ending = *self.random.one_of(&ENDINGS);
            if ending != Ending::Pause {
                self.shared.cuts.fetch_add(1, Ordering::Relaxed);
            }
            match ending {
                Ending::Reset => return self.reset(),
                Ending::MidFrame => {
                    self.down.tear(&mut self.random);
                    self.up.tear(&mut self.random);
                    return self.reset();
                }
                Ending::HalfClosed => {
                    self.down.tear(&mut self.random);
                    let _ = self.down.to.shutdown(Shutdown::Write);
                    self.down.end = End::Told;
                    return self.linger();
                }
                Ending::HalfGone => {
                    self.up.tear(&mut self.random);
                    let _ = self.up.to.shutdown(Shutdown::Write);
                    self.up.end = End::Told;
                    return self.linger();
                }
                Ending::Stall => {
                    self.stall();
                    return self.reset();
                }
                Ending::Pause => self.stall(),
            }
        }
    }

    fn up_to_ms(&mut self, most: u64) -> Duration {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Duration::from_millis(self.random.below(most.saturating_add(1)) as u64)
    }

    fn stall(&mut self) {
        let stalls = self.up_to_ms(self.weather.stalls_ms);
        std::thread::sleep(stalls);
    }

    /// Whether its time was over before it ended by itself. In calm weather its time is never over.
    fn live(&mut self, lives: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < lives || self.shared.calm.load(Ordering::Relaxed) {
            if !self.carry_on() {
                return false;
            }
        }
        true
    }

    /// What one side has not closed yet goes on for a little while.
    fn linger(&mut self) {
        let began = Instant::now();
        while began.elapsed() < LINGER && self.carry_on() {}
        self.reset();
    }

    /// Moves what can be moved, and waits for more. `false` if it has ended.
    fn carry_on(&mut self) -> bool {
        let is_calm = self.shared.calm.load(Ordering::Relaxed);
        let most = self.drip.filter(|_| !is_calm).unwrap_or(BUFFER_BYTES);
        let has_moved = self.shared.source.load(Ordering::Relaxed) != self.source;
        let is_over = has_moved || self.shared.over.load(Ordering::Relaxed);
        if is_over || !self.up.carry(most) || !self.down.carry(most) {
            // One side has broken off: the other one does, too.
            self.reset();
            return false;
        }
        if self.up.end == End::Told && self.down.end == End::Told {
            return false;
        }
        if most < BUFFER_BYTES {
            std::thread::sleep(DRIP);
        }
        self.wait();
        true
    }

    /// Until something can move, or a tick is over.
    fn wait(&self) {
        let interest = |reads: &Way, writes: &Way| {
            let mut flags = PollFlags::empty();
            if reads.end == End::Open && reads.bytes.len() < BUFFER_BYTES {
                flags |= PollFlags::IN;
            }
            if !writes.bytes.is_empty() {
                flags |= PollFlags::OUT;
            }
            flags
        };
        let mut both = [
            PollFd::new(&self.up.from, interest(&self.up, &self.down)),
            PollFd::new(&self.down.from, interest(&self.down, &self.up)),
        ];
        let _ = poll(&mut both, Some(&TICK));
    }

    /// Breaks it off on both sides.
    fn reset(&self) {
        for stream in [&self.up.from, &self.down.from] {
            // Closing sends a reset then.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Way {
    fn new(from: &TcpStream, to: &TcpStream) -> Self {
        Self {
            from: from.try_clone().unwrap(),
            to: to.try_clone().unwrap(),
            bytes: Vec::with_capacity(BUFFER_BYTES),
            end: End::Open,
        }
    }

    /// Moves what can be moved, at most so many bytes. `false` if a side has broken off.
    fn carry(&mut self, most: usize) -> bool {
        if self.end == End::Open && self.bytes.len() < BUFFER_BYTES {
            let before = self.bytes.len();
            let room = most.min(BUFFER_BYTES - before);
            self.bytes.resize(before + room, 0);
            let read = self.from.read(&mut self.bytes[before..]);
            self.bytes.truncate(before + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => self.end = End::Read,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
        if self.end == End::Told {
            self.bytes.clear();
        }
        if !self.bytes.is_empty() {
            let most = most.min(self.bytes.len());
            match self.to.write(&self.bytes[..most]) {
                Ok(written) => drop(self.bytes.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
        if self.end == End::Read && self.bytes.is_empty() {
            let _ = self.to.shutdown(Shutdown::Write);
            self.end = End::Told;
        }
        true
    }

    /// Has a part of what is there arrive, and no more.
    fn tear(&mut self, random: &mut Random) {
        if self.end != End::Open {
            return;
        }
        let mut more = [0; 4096];
        if let Ok(read) = self.from.read(&mut more) {
            self.bytes.extend_from_slice(&more[..read]);
        }
        let part = random.below(self.bytes.len() + 1);
        let _ = self.to.write(&self.bytes[..part]);
        self.bytes.clear();
    }
}

//! Cores of topics without sockets, turned by hand: a test says which core has its turn and when
//! mail is carried, and is told every write.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use corewire::engine::{
    self, Accepted, Core, NearEnd, Now, ReadInto, ReadResult, SLICES_MAX, Service, Shard, Shared,
    Step, WriteResult,
};
use corewire::messaging::{Identity, Mail, Messaging, MessagingHandler, Options};
use corewire::metrics::Counters;
use corewire::protocol::deflate::InflateBudget;
use corewire::protocol::native::Dialect;
use corewire::{ConnId, CoreId};

use crate::NativeClient;
use crate::peer::upgrade_request;

/// Bytes of the largest message.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

type Factory = Box<dyn FnMut() -> MessagingHandler>;

/// Some cores, their connections and the mail between them.
pub struct Cores {
    stations: Vec<Station>,
    /// On its way: from, to.
    mail: VecDeque<(CoreId, CoreId, Mail)>,
    now: Now,
}

struct Station {
    shard: Shard<MessagingHandler, Factory>,
    /// What peers have said and the shard has not read.
    unread: Vec<(ConnId, VecDeque<u8>)>,
}

/// What a peer was sent at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The peer's connection.
    pub to: ConnId,
    /// Frames, as a server writes them.
    pub bytes: Vec<u8>,
}

impl Write {
    /// Whether some text stands in it.
    #[must_use]
    pub fn has(&self, text: &str) -> bool {
        self.times(text) > 0
    }

    /// How often some text stands in it.
    #[must_use]
    pub fn times(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.bytes).matches(text).count()
    }
}

impl Cores {
    /// So many cores.
    ///
    /// # Panics
    ///
    /// If they are more than there can be.
    #[must_use]
    pub fn new(cores: usize, options: Options, mut engine: engine::Options) -> Self {
        // Nobody here answers a ping, or inflates.
        engine.limits.ping_interval_ms = 0;
        engine.deflate = None;
        let service = Arc::new(Messaging::new(
            options,
            Identity::Anonymous,
            MESSAGE_BYTES_MAX,
            42,
        ));
        let shared = Shared {
            options: Arc::new(engine),
            inflate_budget: InflateBudget::new(InflateBudget::DEFAULT_BYTES),
            population: Arc::default(),
        };
        let counters: Arc<[Arc<Counters>]> = (0..cores).map(|_| Arc::default()).collect();
        let now = Now::default();
        let station = |number: usize| {
            let id = CoreId(u8::try_from(number).unwrap());
            let core = Core {
                id,
                counters: Arc::clone(&counters),
            };
            let service = Arc::clone(&service);
            let factory: Factory = Box::new(move || service.handler(&core));
            let counters = Arc::clone(&counters[number]);
            Station {
                shard: Shard::new(id, shared.clone(), counters, 1, now, factory),
                unread: Vec::new(),
            }
        };
        Self {
            stations: (0..cores).map(station).collect(),
            mail: VecDeque::new(),
            now,
        }
    }

    /// A client of a core that is welcome already.
    ///
    /// # Panics
    ///
    /// If it is not.
    pub fn connect(&mut self, core: CoreId, dialect: Dialect) -> ConnId {
        let shard = &mut self.stations[core.index()].shard;
        shard.acceptable(0);
        assert!(matches!(shard.next_step(), Step::Accept { .. }));
        let peer = SocketAddr::from(([127, 0, 0, 1], 4000));
        let conn = shard.accepted(peer).unwrap();
        shard.did_accept(0, Accepted::Drained);
        let unread = (conn, VecDeque::new());
        self.stations[core.index()].unread.push(unread);
        let subprotocol = format!("Sec-WebSocket-Protocol: {}", dialect.subprotocol());
        self.hears(conn, upgrade_request("/ws", &[&subprotocol]).as_bytes());
        let hello = r#"{"id":1,"hello":{"v":1}}"#;
        self.hears(conn, &NativeClient::frame_in(dialect, hello));
        let writes = self.run();
        let said: usize = writes.iter().map(|write| write.bytes.len()).sum();
        assert!(said > 300, "{writes:?}");
        conn
    }

    /// A peer says something, which its core will read.
    ///
    /// # Panics
    ///
    /// If it has gone.
    pub fn hears(&mut self, conn: ConnId, bytes: &[u8]) {
        let station = &mut self.stations[conn.core.index()];
        let mut unread = station.unread.iter_mut();
        let (_, unread) = unread.find(|(known, _)| *known == conn).unwrap();
        unread.extend(bytes);
        station.shard.time(self.now);
        station.shard.readable(conn, NearEnd::No);
    }

    /// All mail comes to its cores, which do not have their turns yet. Returns how much it was.
    pub fn carry(&mut self) -> usize {
        let letters = self.mail.len();
        for (from, to, mail) in self.mail.drain(..) {
            let shard = &mut self.stations[to.index()].shard;
            shard.time(self.now);
            shard.mail(from, mail);
        }
        letters
    }

    /// A core does what there is to do, until it waits.
    ///
    /// # Panics
    ///
    /// If a connection ends.
    pub fn turn(&mut self, core: CoreId) -> Vec<Write> {
        let Station { shard, unread } = &mut self.stations[core.index()];
        let mut writes = Vec::new();
        shard.time(self.now);
        loop {
            match shard.next_step() {
                Step::Read { conn, into } => {
                    let mut unread = unread.iter_mut();
                    let (_, unread) = unread.find(|(known, _)| *known == conn).unwrap();
                    let bytes = match into {
                        ReadInto::Buffer(buffer) => {
                            let bytes = unread.len().min(buffer.len());
                            for (place, byte) in buffer.iter_mut().zip(unread.drain(..bytes)) {
                                *place = byte;
                            }
                            bytes
                        }
                        ReadInto::Spare(buffer) => {
                            let room = buffer.capacity() - buffer.len();
                            let bytes = unread.len().min(room);
                            buffer.extend(unread.drain(..bytes));
                            bytes
                        }
                    };
                    shard.did_read(match bytes {
                        0 => ReadResult::WouldBlock,
                        bytes => ReadResult::Bytes(bytes),
                    });
                }
                Step::Write { conn, output } => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let count = output.slices(&mut slices);
                    let mut bytes = Vec::new();
                    for slice in &slices[..count] {
                        bytes.extend_from_slice(slice);
                    }
                    shard.did_write(WriteResult::All(bytes.len()));
                    writes.push(Write { to: conn, bytes });
                }
                Step::Mail(to, mail) => self.mail.push_back((core, to, mail)),
                Step::Wait(Some(0)) => {}
                Step::Wait(_) => return writes,
                Step::Accept { listener, .. } => shard.did_accept(listener, Accepted::Drained),
                step @ (Step::EndOutput(_) | Step::Close(..)) => panic!("{step:?}"),
            }
        }
    }

    /// Everything happens that leads to something else. Returns what was written, in its order.
    pub fn run(&mut self) -> Vec<Write> {
        let mut writes = Vec::new();
        loop {
            for core in 0..self.stations.len() {
                writes.extend(self.turn(CoreId(u8::try_from(core).unwrap())));
            }
            if self.carry() == 0 {
                return writes;
            }
        }
    }
}

impl fmt::Debug for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cores({})", self.stations.len())
    }
}

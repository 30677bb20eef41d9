//! A shard with one connection, moved by hand.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use corewire::engine::{
    Accepted, CloseHow, Context, Effects, Handler, Message, NearEnd, Now, Options, ReadInto,
    ReadResult, Response, SLICES_MAX, Shard, Shared, Step, Tick, UpgradeRequest, WriteResult,
};
use corewire::metrics::Counters;
use corewire::protocol::deflate::InflateBudget;
use corewire::{ConnId, CoreId};
use corewire_testkit::peer::upgrade_request;

/// Steps without a wait that are too many for one connection.
const STEPS_MAX: usize = 1000;

/// An application of which a test says what it does. Its mail is a number.
pub(crate) struct App {
    pub(crate) message: fn(&str, &mut Context<'_, u32>),
    pub(crate) timeout: fn(&mut Context<'_, u32>),
    pub(crate) alarm: fn(&mut Effects<u32>),
    pub(crate) undelivered: fn(CoreId, u32, &mut Effects<u32>),
}

impl Default for App {
    fn default() -> Self {
        Self {
            message: |text, context| context.text(text).unwrap(),
            timeout: |_| (),
            alarm: |_| (),
            undelivered: |_, _, _| (),
        }
    }
}

impl Handler for App {
    type Session = ();
    type Mail = u32;

    fn upgrade(&mut self, _: &mut UpgradeRequest<'_>) -> Result<(), Response> {
        Ok(())
    }

    fn message(&mut self, (): &mut (), message: Message<'_>, context: &mut Context<'_, u32>) {
        (self.message)(message.as_text().unwrap_or_default(), context);
    }

    fn timeout(&mut self, (): &mut (), context: &mut Context<'_, u32>) {
        (self.timeout)(context);
    }

    fn alarm(&mut self, effects: &mut Effects<u32>) {
        (self.alarm)(effects);
    }

    fn undelivered(&mut self, to: CoreId, mail: u32, effects: &mut Effects<u32>) {
        (self.undelivered)(to, mail, effects);
    }
}

/// What the driver was told to do, other than reading and waiting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// To write; it has taken so many bytes.
    Write(usize),
    EndOutput,
    Close(CloseHow),
    Mail(CoreId, u32),
}

/// The shard and its only connection.
pub(crate) struct Solo<F: FnMut() -> App> {
    shard: Shard<App, F>,
    now: Now,
    conn: ConnId,
    inbox: VecDeque<Vec<u8>>,
    /// Bytes that the peer still takes.
    pub(crate) window: usize,
    /// What it has taken.
    pub(crate) wire: Vec<u8>,
    pub(crate) takes_mail: bool,
}

impl<F: FnMut() -> App> Solo<F> {
    /// A shard on core 0 whose connection is a WebSocket already.
    pub(crate) fn open(options: Options, app: F) -> Self {
        Self::open_with(options, &[], app)
    }

    /// The same, with these lines in the client's request.
    pub(crate) fn open_with(options: Options, headers: &[&str], app: F) -> Self {
        let now = Now {
            tick: Tick(80_000),
            unix_ms: 0,
        };
        let shared = Shared {
            options: Arc::new(options),
            inflate_budget: InflateBudget::new(1 << 20),
            population: Arc::default(),
        };
        let counters = Arc::new(Counters::default());
        let mut shard = Shard::new(CoreId(0), shared, counters, 1, now, app);
        assert!(matches!(shard.next_step(), Step::Accept { .. }));
        let peer = SocketAddr::from(([127, 0, 0, 1], 4000));
        let conn = shard.accepted(peer).unwrap();
        shard.did_accept(0, Accepted::Drained);
        let mut solo = Self {
            shard,
            now,
            conn,
            inbox: VecDeque::new(),
            window: usize::MAX,
            wire: Vec::new(),
            takes_mail: true,
        };
        let (told, _) = solo.hears(upgrade_request("/", headers));
        assert!(matches!(told[..], [Told::Write(_)]), "{told:?}");
        solo
    }

    /// The peer sends something. Returns what the driver was told until it was to wait, and how
    /// long.
    pub(crate) fn hears(&mut self, bytes: impl Into<Vec<u8>>) -> (Vec<Told>, Option<u32>) {
        self.inbox.push_back(bytes.into());
        self.shard.readable(self.conn, NearEnd::No);
        self.turns()
    }

    /// The peer takes so many bytes more.
    pub(crate) fn takes(&mut self, bytes: usize) -> (Vec<Told>, Option<u32>) {
        self.window = bytes;
        self.shard.writable(self.conn);
        self.turns()
    }

    /// Time passes.
    pub(crate) fn passes(&mut self, ms: u32) -> (Vec<Told>, Option<u32>) {
        self.now.tick = self.now.tick.after(ms);
        self.shard.time(self.now);
        self.turns()
    }

    /// Rounds until the shard has nothing to do at once.
    fn turns(&mut self) -> (Vec<Told>, Option<u32>) {
        let mut told = Vec::new();
        for _ in 0..STEPS_MAX {
            match self.shard.next_step() {
                Step::Wait(Some(0)) | Step::Accept { .. } => {}
                Step::Wait(wait_ms) => return (told, wait_ms),
                Step::Read { into, .. } => {
                    let result = read(into, self.inbox.pop_front());
                    self.shard.did_read(result);
                }
                Step::Write { output, .. } => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let count = output.slices(&mut slices);
                    let mut bytes = Vec::new();
                    for slice in &slices[..count] {
                        bytes.extend_from_slice(slice);
                    }
                    let taken = bytes.len().min(self.window);
                    self.wire.extend_from_slice(&bytes[..taken]);
                    self.window -= taken;
                    told.push(Told::Write(taken));
                    self.shard.did_write(match taken {
                        0 => WriteResult::WouldBlock,
                        _ if taken == bytes.len() => WriteResult::All(taken),
                        _ => WriteResult::Part(taken),
                    });
                }
                Step::EndOutput(_) => told.push(Told::EndOutput),
                Step::Close(_, how) => told.push(Told::Close(how)),
                Step::Mail(to, mail) => {
                    told.push(Told::Mail(to, mail));
                    if !self.takes_mail {
                        self.shard.undelivered(to, mail);
                    }
                }
            }
        }
        panic!("it never waits: {:?}", &told[..told.len().min(20)]);
    }
}

fn read(into: ReadInto<'_>, bytes: Option<Vec<u8>>) -> ReadResult {
    match (into, bytes) {
        (_, None) => ReadResult::WouldBlock,
        (ReadInto::Buffer(buffer), Some(bytes)) => {
            buffer[..bytes.len()].copy_from_slice(&bytes);
            ReadResult::Bytes(bytes.len())
        }
        (ReadInto::Spare(buffer), Some(bytes)) => {
            buffer.extend_from_slice(&bytes);
            ReadResult::Bytes(bytes.len())
        }
    }
}

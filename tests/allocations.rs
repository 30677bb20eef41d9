//! An echo asks the allocator for nothing once it is warm: not for small messages, not with
//! compression, and for large ones not for the payload.
#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use corewire::engine::{
    Accepted, Context, Handler, Message, NearEnd, Now, Options, ReadInto, ReadResult, Response,
    SLICES_MAX, Shard, Shared, Step, UpgradeRequest, WriteResult,
};
use corewire::metrics::Counters;
use corewire::protocol::deflate::{
    DEFLATE_LEVEL, DeflateConfig, Direction, Encoder, InflateBudget, Takeover,
};
use corewire::protocol::frame::OpCode;
use corewire::{ConnId, CoreId};
use corewire_testkit::frames::{self, Fin};
use corewire_testkit::peer::upgrade_request;
use flate2::{Compress, Compression, FlushCompress};

const TURNS: usize = 100;
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover";

#[test]
fn small_messages() {
    for (bytes, depth) in [(0, 1), (64, 1), (64, 16), (125, 3), (1000, 16), (16_000, 2)] {
        let payload = vec![b'x'; bytes];
        let stream = frames::repeated(&frames::binary(&payload), depth);
        let mut echo = Echo::open(Options::default(), &[]);
        let allocated = echo.warm_turns(&stream);
        assert_eq!(allocated.count_total, 0, "{bytes} B, depth {depth}");
        assert!(echo.written > TURNS * bytes * depth);
    }
}

#[test]
fn text_and_pings() {
    let stream = [frames::text("κόσμε"), frames::ping(b"?"), frames::text("b")].concat();
    let options = Options {
        limits: corewire::protocol::Limits {
            control_burst: 1_000_000,
            ..Options::default().limits
        },
        ..Options::default()
    };
    let allocated = Echo::open(options, &[]).warm_turns(&stream);
    assert_eq!(allocated.count_total, 0);
}

#[test]
fn compressed_messages() {
    let line = "the market opens at nine and closes when trading has ended. ".repeat(20);
    // Without takeover on the client's side every message is the same bytes.
    let stream = frames::compressed(OpCode::Text, Fin::Last, &deflated(line.as_bytes()));
    for encoder in [Encoder::Flate2(DEFLATE_LEVEL), Encoder::Compact] {
        for takeover in [Takeover::No, Takeover::Yes] {
            let options = Options {
                deflate: DeflateConfig::new(direction(Takeover::No), direction(takeover)),
                deflate_codec: encoder,
                ..Options::default()
            };
            let mut echo = Echo::open(options, &[OFFER]);
            let allocated = echo.warm_turns(&stream);
            assert_eq!(
                allocated.count_total, 0,
                "{encoder:?}, takeover {takeover:?}"
            );
            assert!(echo.written > 0 && echo.written < TURNS * line.len() / 2);
        }
    }
}

/// What is cut has a small state of its own, and a part of the output that is a place in a list;
/// the payload's buffer comes from the pool.
#[test]
fn large_messages() {
    let payload = vec![b'x'; 1 << 20];
    let stream = frames::binary(&payload);
    let options = || Options {
        limits: corewire::protocol::Limits {
            message_bytes: 2 << 20,
            ..Options::default().limits
        },
        ..Options::default()
    };
    let mut echo = Echo::open(options(), &[]);
    let allocated = echo.warm_turns(&stream);
    let per_turn = allocated.bytes_total / u64::try_from(TURNS).unwrap();
    assert!(per_turn < 1000, "{per_turn} bytes a message");

    // The test could fail.
    let without_pool = Options {
        pool_bytes: 0,
        ..options()
    };
    let allocated = Echo::open(without_pool, &[]).warm_turns(&stream);
    assert!(allocated.bytes_total > 1 << 20);
}

/// What a peer may not send yet is in nobody's memory: not whole, not in fragments, not inflated.
#[test]
fn messages_of_strangers() {
    const MOST: usize = 8 << 10;
    let payload = vec![b' '; 1 << 20];
    let options = || Options {
        linger_bytes: 2 << 20,
        limits: corewire::protocol::Limits {
            inflate_ratio: u32::MAX,
            ..Options::default().limits
        },
        ..Options::default()
    };
    let streams = [
        frames::binary(&payload),
        frames::fragmented(OpCode::Binary, &payload, 500),
        frames::compressed(OpCode::Binary, Fin::Last, &deflated(&payload)),
    ];
    for (number, stream) in streams.iter().enumerate() {
        let held = |factory| {
            let mut echo = Echo::open_with(options(), &[OFFER], factory);
            let allocated = measure(|| echo.turns(stream));
            (allocated.bytes_max, echo.ended)
        };
        let (bytes, ended) = held(|| EchoHandler { takes: Some(MOST) });
        // A message, what it is inflated with, and what is said of it.
        assert!(bytes < 64 << 10 && ended, "stream {number}: {bytes} bytes");
        let (bytes, ended) = held(|| EchoHandler { takes: None });
        assert!(bytes > 1 << 20 && !ended, "stream {number}: {bytes} bytes");
    }
}

const fn direction(takeover: Takeover) -> Direction {
    Direction {
        takeover,
        window_bits: 13,
    }
}

/// Compressed as a client does it (RFC 7692, 7.2.1).
fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(plain.len() + 100);
    let mut compress = Compress::new(Compression::default(), false);
    compress
        .compress_vec(plain, &mut bytes, FlushCompress::Sync)
        .unwrap();
    assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]));
    bytes.truncate(bytes.len() - 4);
    bytes
}

struct EchoHandler {
    /// Bytes of the largest message, if it takes less than it may.
    takes: Option<usize>,
}

impl Handler for EchoHandler {
    type Session = ();
    type Mail = ();

    fn upgrade(&mut self, _: &mut UpgradeRequest<'_>) -> Result<(), Response> {
        Ok(())
    }

    fn open(&mut self, (): &mut (), context: &mut Context<'_, ()>) {
        if let Some(bytes) = self.takes {
            context.limit_messages(bytes);
        }
    }

    fn message(&mut self, (): &mut (), message: Message<'_>, context: &mut Context<'_, ()>) {
        context.reply(message).unwrap();
    }
}

/// A shard with one open connection, and its driver.
struct Echo {
    shard: Shard<EchoHandler, fn() -> EchoHandler>,
    conn: ConnId,
    written: usize,
    ended: bool,
}

impl Echo {
    fn open(options: Options, headers: &[&str]) -> Self {
        Self::open_with(options, headers, || EchoHandler { takes: None })
    }

    fn open_with(options: Options, headers: &[&str], factory: fn() -> EchoHandler) -> Self {
        let shared = Shared {
            options: Arc::new(options),
            inflate_budget: InflateBudget::new(InflateBudget::DEFAULT_BYTES),
            population: Arc::default(),
        };
        let counters = Arc::new(Counters::default());
        let mut shard = Shard::new(CoreId(0), shared, counters, 1, Now::default(), factory);
        assert!(matches!(shard.next_step(), Step::Accept { .. }));
        let peer = SocketAddr::from(([127, 0, 0, 1], 4000));
        let conn = shard.accepted(peer).unwrap();
        shard.did_accept(0, Accepted::Drained);
        let mut echo = Self {
            shard,
            conn,
            written: 0,
            ended: false,
        };
        echo.turns(upgrade_request("/", headers).as_bytes());
        echo
    }

    /// What many turns allocate, after some that made the buffers.
    fn warm_turns(&mut self, stream: &[u8]) -> AllocationInfo {
        for _ in 0..10 {
            self.turns(stream);
        }
        self.written = 0;
        measure(|| {
            for _ in 0..TURNS {
                self.turns(stream);
            }
        })
    }

    /// `stream` comes, and is read as the buffers take it; all output is taken.
    fn turns(&mut self, mut stream: &[u8]) {
        self.shard.time(Now::default());
        self.shard.readable(self.conn, NearEnd::No);
        loop {
            match self.shard.next_step() {
                Step::Read { into, .. } => {
                    let room = match &into {
                        ReadInto::Buffer(buffer) => buffer.len(),
                        ReadInto::Spare(buffer) => buffer.capacity() - buffer.len(),
                    };
                    let (now, later) = stream.split_at(room.min(stream.len()));
                    match into {
                        ReadInto::Buffer(buffer) => buffer[..now.len()].copy_from_slice(now),
                        ReadInto::Spare(buffer) => buffer.extend_from_slice(now),
                    }
                    stream = later;
                    self.shard.did_read(match now.len() {
                        0 => ReadResult::WouldBlock,
                        bytes => ReadResult::Bytes(bytes),
                    });
                }
                Step::Write { output, .. } => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let count = output.slices(&mut slices);
                    let bytes = slices[..count].iter().map(|slice| slice.len()).sum();
                    self.written += bytes;
                    self.shard.did_write(WriteResult::All(bytes));
                }
                Step::Wait(Some(0)) => {}
                Step::Wait(_) => {
                    assert!(stream.is_empty(), "it waits with input");
                    return;
                }
                Step::EndOutput(_) => self.ended = true,
                step @ (Step::Accept { .. } | Step::Close(..) | Step::Mail(..)) => {
                    panic!("{step:?}")
                }
            }
        }
    }
}

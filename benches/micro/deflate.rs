//! permessage-deflate of JSON, for one connection and for 200 in turn: compressing and inflating by
//! size, and an echo that does both.
//!
//! Beside our codec, which has one hot context per core, stands flate2 with a context of its own
//! for each connection, the usual design. Both compress at level 1 in a window of 13 bits, and our
//! own encoder in the same window.

use std::hint::black_box;

use corewire::protocol::Limits;
use corewire::protocol::deflate::{
    Codec, DEFLATE_LEVEL, Direction, Encoder, InflateBounds, InflateBudget, Takeover, Window,
};
use corewire_testkit::material::json;
use criterion::{BenchmarkGroup, BenchmarkId, Throughput};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use crate::Criterion;
use crate::count;
use crate::thread_time::ThreadTime;

/// Different messages, sent over and over.
const MESSAGES: usize = 64;
const CONNECTIONS: [usize; 2] = [1, 200];
/// Small, usual and large messages, each alone and with takeover.
const CASES: [Case; 6] = [
    case("alone-128B", 128, Takeover::No, [128, 110]),
    case("takeover-128B", 128, Takeover::Yes, [54, 52]),
    ALONE,
    TAKEOVER,
    case("alone-16KiB", 16 << 10, Takeover::No, [5900, 3800]),
    case("takeover-16KiB", 16 << 10, Takeover::Yes, [5850, 3750]),
];
const ALONE: Case = case("alone-1KiB", 1 << 10, Takeover::No, [480, 360]);
const TAKEOVER: Case = case("takeover-1KiB", 1 << 10, Takeover::Yes, [380, 280]);

/// What is compressed, and how.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    message_bytes: usize,
    takeover: Takeover,
    /// What a message must not exceed on average when zlib-rs or our encoder compresses it, or
    /// less work could win.
    compressed_max: [usize; 2],
}

const fn case(
    name: &'static str,
    message_bytes: usize,
    takeover: Takeover,
    compressed_max: [usize; 2],
) -> Case {
    Case {
        name,
        message_bytes,
        takeover,
        compressed_max,
    }
}

/// What compresses in our codec.
const ENCODERS: [(&str, Encoder); 2] = [
    ("corewire", Encoder::Flate2(DEFLATE_LEVEL)),
    ("corewire-compact", Encoder::Compact),
];

const OUTBOUND_BITS: u8 = 13;
/// The window and the level of a browser's messages.
const INBOUND_BITS: u8 = 15;
const INBOUND_LEVEL: u32 = 6;

/// Room for any message, compressed or not: flate2 does not make it.
const ROOM: usize = 32 << 10;

/// Ends every message on the inside and is not sent (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Compressing.
pub(crate) fn deflate(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "deflate");
    for case in CASES {
        let messages = json(MESSAGES, case.message_bytes);
        for connections in CONNECTIONS {
            for ((name, encoder), bytes_max) in ENCODERS.into_iter().zip(case.compressed_max) {
                let mut ours = Ours::new(connections, case.takeover, encoder);
                let ours = |turn: Turn, out: &mut _| {
                    ours.deflate(turn.conn, messages[turn.message].as_bytes(), out);
                };
                group.compresses(name, (case, bytes_max), connections, &messages, ours);
            }
            let mut theirs = Theirs::new(connections, case.takeover);
            let theirs = |turn: Turn, out: &mut _| {
                theirs.deflate(turn.conn, messages[turn.message].as_bytes(), out);
            };
            group.compresses(
                "context-each",
                (case, case.compressed_max[0]),
                connections,
                &messages,
                theirs,
            );
        }
    }
}

/// Inflating what a browser has compressed.
pub(crate) fn inflate(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "inflate");
    for case in CASES {
        let messages = json(MESSAGES, case.message_bytes);
        let compressed = browsers(&messages, case.takeover);
        for connections in CONNECTIONS {
            let mut ours = Ours::new(connections, case.takeover, Encoder::default());
            let mut theirs = Theirs::new(connections, case.takeover);
            let ours = |turn: Turn, out: &mut _| {
                ours.inflate(turn.conn, &compressed[turn.message], out);
            };
            let theirs = |turn: Turn, out: &mut _| {
                theirs.inflate(turn.conn, &compressed[turn.message], out);
            };
            group.inflates("corewire", case, connections, &messages, ours);
            group.inflates("context-each", case, connections, &messages, theirs);
        }
    }
}

/// Inflating a browser's message and compressing it again, as an echo does.
pub(crate) fn echo(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "deflate-echo");
    for case in [ALONE, TAKEOVER] {
        let messages = json(MESSAGES, case.message_bytes);
        let compressed = browsers(&messages, case.takeover);
        for connections in CONNECTIONS {
            for ((name, encoder), bytes_max) in ENCODERS.into_iter().zip(case.compressed_max) {
                let mut plain = Vec::new();
                let mut ours = Ours::new(connections, case.takeover, encoder);
                let echo = |turn: Turn, out: &mut _| {
                    plain.clear();
                    ours.inflate(turn.conn, &compressed[turn.message], &mut plain);
                    ours.deflate(turn.conn, &plain, out);
                };
                group.compresses(name, (case, bytes_max), connections, &messages, echo);
            }

            let mut plain = Vec::new();
            let mut theirs = Theirs::new(connections, case.takeover);
            let echo = |turn: Turn, out: &mut _| {
                plain.clear();
                theirs.inflate(turn.conn, &compressed[turn.message], &mut plain);
                theirs.deflate(turn.conn, &plain, out);
            };
            group.compresses(
                "context-each",
                (case, case.compressed_max[0]),
                connections,
                &messages,
                echo,
            );
        }
    }
}

/// The messages as a browser sends them. The first refers to nothing before it, so the last may
/// be followed by it.
fn browsers(messages: &[String], takeover: Takeover) -> Vec<Vec<u8>> {
    let level = Compression::new(INBOUND_LEVEL);
    let mut browser = Compress::new_with_window_bits(level, false, INBOUND_BITS);
    let compressed = messages.iter().map(|message| {
        let mut out = Vec::new();
        deflate_with(&mut browser, takeover, message.as_bytes(), &mut out);
        out
    });
    compressed.collect()
}

/// A group of benches whose pieces are checked before they are measured.
struct Group<'a>(BenchmarkGroup<'a, ThreadTime>);

impl<'a> Group<'a> {
    fn new(criterion: &'a mut Criterion, name: &str) -> Self {
        Self(criterion.benchmark_group(name))
    }

    /// What each connection is sent must inflate to the messages, and have no more bytes than that
    /// on average.
    fn compresses(
        &mut self,
        name: &str,
        (case, bytes_max): (Case, usize),
        connections: usize,
        messages: &[String],
        mut piece: impl FnMut(Turn, &mut Vec<u8>),
    ) {
        let mut peers = Theirs::new(connections, case.takeover);
        let (mut compressed, mut plain) = (Vec::new(), Vec::new());
        let (mut sent, mut sent_bytes) = (0, 0);
        for turn in Turns::check(connections) {
            compressed.clear();
            piece(turn, &mut compressed);
            plain.clear();
            peers.inflate(turn.conn, &compressed, &mut plain);
            assert_eq!(plain, messages[turn.message].as_bytes(), "{name}");
            sent += 1;
            sent_bytes += compressed.len();
        }
        let each = sent_bytes / sent;
        assert!(each <= bytes_max, "{name}, {}: {each} B", case.name);
        self.measure(name, case, connections, piece);
    }

    fn inflates(
        &mut self,
        name: &str,
        case: Case,
        connections: usize,
        messages: &[String],
        mut piece: impl FnMut(Turn, &mut Vec<u8>),
    ) {
        let mut plain = Vec::new();
        for turn in Turns::check(connections) {
            plain.clear();
            piece(turn, &mut plain);
            assert_eq!(plain, messages[turn.message].as_bytes(), "{name}");
        }
        self.measure(name, case, connections, piece);
    }

    fn measure(
        &mut self,
        name: &str,
        case: Case,
        connections: usize,
        mut piece: impl FnMut(Turn, &mut Vec<u8>),
    ) {
        let mut out = Vec::new();
        let mut turns = Turns::new(connections);
        let id = BenchmarkId::new(name, format!("{}-{connections}", case.name));
        self.0
            .throughput(Throughput::Bytes(count(case.message_bytes)));
        self.0.bench_function(id, |b| {
            b.iter(|| {
                out.clear();
                piece(turns.next(), &mut out);
                black_box(out.len())
            });
        });
    }
}

/// Which connection is next, and with which of the messages.
#[derive(Debug, Clone, Copy)]
struct Turn {
    conn: usize,
    message: usize,
}

/// The connections in turn. Each has all messages in their order, but is one ahead of the one
/// before it: the same message 200 times in a row would teach the processor its branches.
struct Turns {
    connections: usize,
    conn: usize,
    round: usize,
}

impl Turns {
    const fn new(connections: usize) -> Self {
        Self {
            connections,
            conn: 0,
            round: 0,
        }
    }

    /// What gets each connection ahead of the one before it.
    fn before(connections: usize) -> impl Iterator<Item = Turn> {
        (0..connections)
            .flat_map(|conn| (0..conn % MESSAGES).map(move |message| Turn { conn, message }))
    }

    const fn next(&mut self) -> Turn {
        let turn = Turn {
            conn: self.conn,
            message: (self.round + self.conn) % MESSAGES,
        };
        self.conn += 1;
        if self.conn == self.connections {
            self.conn = 0;
            self.round += 1;
        }
        turn
    }

    /// So many rounds that each connection stands again where it began.
    fn check(connections: usize) -> impl Iterator<Item = Turn> {
        let mut turns = Self::new(connections);
        let new = std::iter::repeat_with(move || turns.next());
        Self::before(connections).chain(new.take(2 * MESSAGES * connections))
    }
}

/// Our codec, and a window per connection and direction with takeover.
struct Ours {
    codec: Codec,
    bounds: InflateBounds,
    inbound: Vec<Option<Window>>,
    outbound: Vec<Option<Window>>,
}

impl Ours {
    fn new(connections: usize, takeover: Takeover, encoder: Encoder) -> Self {
        let direction = |window_bits| Direction {
            takeover,
            window_bits,
        };
        let windows = |window: fn(Direction) -> Option<Window>, bits| {
            let new = std::iter::repeat_with(|| window(direction(bits)));
            new.take(connections).collect()
        };
        let budget = InflateBudget::new(InflateBudget::DEFAULT_BYTES);
        Self {
            codec: Codec::with_encoder(encoder, budget),
            bounds: InflateBounds::from(&Limits::default()),
            inbound: windows(Window::inbound, INBOUND_BITS),
            outbound: windows(Window::outbound, OUTBOUND_BITS),
        }
    }

    fn deflate(&mut self, conn: usize, message: &[u8], out: &mut Vec<u8>) {
        let window = self.outbound[conn].as_mut();
        self.codec.deflate(OUTBOUND_BITS, window, message, out);
    }

    fn inflate(&mut self, conn: usize, compressed: &[u8], out: &mut Vec<u8>) {
        let window = self.inbound[conn].as_mut();
        self.codec
            .inflate(window, compressed, self.bounds, out)
            .unwrap();
    }
}

/// flate2 with a pair of contexts per connection.
struct Theirs {
    deflaters: Vec<Compress>,
    inflaters: Vec<Decompress>,
    takeover: Takeover,
    /// A compressed message and its tail.
    input: Vec<u8>,
}

impl Theirs {
    fn new(connections: usize, takeover: Takeover) -> Self {
        let level = Compression::new(DEFLATE_LEVEL);
        let deflater = || Compress::new_with_window_bits(level, false, OUTBOUND_BITS);
        let inflater = || Decompress::new_with_window_bits(false, INBOUND_BITS);
        Self {
            deflaters: std::iter::repeat_with(deflater).take(connections).collect(),
            inflaters: std::iter::repeat_with(inflater).take(connections).collect(),
            takeover,
            input: Vec::new(),
        }
    }

    fn deflate(&mut self, conn: usize, message: &[u8], out: &mut Vec<u8>) {
        deflate_with(&mut self.deflaters[conn], self.takeover, message, out);
    }

    fn inflate(&mut self, conn: usize, compressed: &[u8], out: &mut Vec<u8>) {
        self.input.clear();
        self.input.extend_from_slice(compressed);
        self.input.extend_from_slice(&TAIL);
        let inflater = &mut self.inflaters[conn];
        if self.takeover == Takeover::No {
            inflater.reset(false);
        }
        out.reserve(ROOM);
        inflater
            .decompress_vec(&self.input, out, FlushDecompress::Sync)
            .unwrap();
    }
}

fn deflate_with(deflater: &mut Compress, takeover: Takeover, message: &[u8], out: &mut Vec<u8>) {
    if takeover == Takeover::No {
        deflater.reset();
    }
    out.reserve(ROOM);
    deflater
        .compress_vec(message, out, FlushCompress::Sync)
        .unwrap();
    assert!(out.ends_with(&TAIL), "a sync flush ends in 00 00 ff ff");
    out.truncate(out.len() - TAIL.len());
}

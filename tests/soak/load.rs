//! Who talks to the server, and how.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use corewire::protocol::Limits;
use corewire::protocol::deflate::{Codec, DEFLATE_LEVEL, InflateBounds, InflateBudget};
use corewire::protocol::frame::OpCode;
use corewire_testkit::floods::{deflated, flood, wires};
use corewire_testkit::frames::{self, Fin, frame};
use corewire_testkit::material::json;
use corewire_testkit::{Peer, Random};

use super::topics;

const POLITE: u64 = 2;
const POLITE_PAUSE: Duration = Duration::from_millis(10);
const ROOM: usize = 200;
const ROOM_PAUSE: Duration = Duration::from_millis(2);
const VISITORS: u64 = 2;
const VISITOR_PAUSE: Duration = Duration::from_millis(3);
const DEFLATERS: usize = 20;
const DEFLATE_PAUSE: Duration = Duration::from_millis(5);
const FLOOD: Duration = Duration::from_millis(1500);
const FLOOD_PAUSE: Duration = Duration::from_millis(1500);
const SLOW_READERS: usize = 10;
const SIP_BYTES: usize = 16 << 10;
const SIP_PAUSE: Duration = Duration::from_millis(10);
const NEVER_READERS: usize = 4;
/// Longer than the server's stall timeout.
const STALLED: Duration = Duration::from_secs(13);

/// What everybody knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage<'a> {
    pub(crate) address: SocketAddr,
    stop: &'a AtomicBool,
}

/// A client that fails ends the run: its panic is told when all have been joined.
struct StopsAll<'a>(&'a AtomicBool);

impl Drop for StopsAll<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl Stage<'_> {
    pub(crate) fn goes_on(self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Waits, but not beyond the end.
    pub(crate) fn pause(self, long: Duration) {
        let until = Instant::now() + long;
        while self.goes_on() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

/// Starts all of them. They end when `stop` says so, or sets it if one of them fails.
pub(crate) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    address: SocketAddr,
    stop: &'scope AtomicBool,
    round_trips: &Sender<Duration>,
) {
    let stage = Stage { address, stop };
    let run = |name: &str, client: Box<dyn FnOnce() + Send + 'scope>| {
        let named = thread::Builder::new().name(name.to_owned());
        let client = move || {
            let _stops = StopsAll(stop);
            client();
        };
        named.spawn_scoped(scope, client).unwrap();
    };
    for _ in 0..POLITE {
        let round_trips = round_trips.clone();
        run("polite", Box::new(move || polite(stage, &round_trips)));
    }
    for seed in 0..VISITORS {
        run(
            "visitors",
            Box::new(move || visitors(stage, Random::new(seed))),
        );
    }
    run("room", Box::new(move || room(stage, Random::new(10))));
    run(
        "deflaters",
        Box::new(move || deflaters(stage, Random::new(11))),
    );
    run("floods", Box::new(move || floods(stage, Random::new(12))));
    run(
        "slow readers",
        Box::new(move || slow_readers(stage, Random::new(13))),
    );
    for _ in 0..NEVER_READERS {
        run("never reads", Box::new(move || never_reads(stage)));
    }
    for ((name, client), seed) in topics::CAST.into_iter().zip(20..) {
        run(name, Box::new(move || client(stage, Random::new(seed))));
    }
}

/// One message at a time, whose round trip is measured.
fn polite(stage: Stage<'_>, round_trips: &Sender<Duration>) {
    let mut peer = Peer::websocket(stage.address);
    while stage.goes_on() {
        let start = Instant::now();
        peer.send(frames::text("how long does this take?"));
        peer.expect_text("how long does this take?");
        round_trips.send(start.elapsed()).unwrap();
        thread::sleep(POLITE_PAUSE);
    }
    peer.close();
}

/// Many connections that stay for a while and talk now and then.
fn room(stage: Stage<'_>, mut random: Random) {
    let messages = json(64, 400);
    let mut peers: Vec<Peer> = (0..ROOM).map(|_| Peer::websocket(stage.address)).collect();
    while stage.goes_on() {
        let peer = &mut peers[random.below(ROOM)];
        let message = random.one_of(&messages);
        peer.send(frames::text(message));
        peer.expect_text(message);
        if random.once_in(50) {
            peer.send(frames::ping(b"still there?"));
            peer.expect_pong(b"still there?");
        }
        if random.once_in(100) {
            peer.close();
            *peer = Peer::websocket(stage.address);
        }
        thread::sleep(ROOM_PAUSE);
    }
    for mut peer in peers {
        peer.close();
    }
}

/// One after the other, each with something else in mind.
fn visitors(stage: Stage<'_>, mut random: Random) {
    while stage.goes_on() {
        visit(stage.address, &mut random);
        thread::sleep(VISITOR_PAUSE);
    }
}

fn visit(address: SocketAddr, random: &mut Random) {
    match random.below(9) {
        0 => {
            let mut peer = Peer::connect(address);
            peer.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            assert_eq!(peer.expect_reply(200).body, b"ok\n");
            peer.expect_end();
        }
        1 => {
            let mut peer = Peer::connect(address);
            peer.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            let _ = peer.expect_reply(404);
        }
        // Silence, and half a request.
        2 => drop(Peer::connect(address)),
        3 => {
            let mut peer = Peer::connect(address);
            peer.send("GET /echo HTTP/1.1\r\nHost: loc");
            peer.reset();
        }
        // An orderly visit.
        4 => {
            let mut peer = Peer::websocket(address);
            for _ in 0..random.below(10) {
                let len = random.below(3000);
                let message = random.bytes(len);
                peer.send(frames::binary(&message));
                peer.expect_binary(&message);
            }
            peer.close();
        }
        // Half a message, and gone.
        5 => {
            let mut peer = Peer::websocket(address);
            peer.send(frame(OpCode::Text, Fin::More, &[b'x'; 5000]));
            peer.reset();
        }
        // A large one, cut into fragments, and no closing handshake.
        6 => {
            let mut peer = Peer::websocket(address);
            let len = 1 + random.below(200_000);
            let message = random.bytes(len);
            let fragments = 1 + random.below(20);
            peer.send(frames::fragmented(OpCode::Binary, &message, fragments));
            peer.expect_binary(&message);
            peer.hang_up();
        }
        // A broken rule: no mask.
        7 => {
            let mut peer = Peer::websocket(address);
            peer.send(b"\x81\x01a");
            let _ = peer.expect_close(1002);
            peer.expect_end();
        }
        // An echo that nobody waits for.
        _ => {
            let mut peer = Peer::deflate_websocket(address);
            peer.send(frames::binary(&[7; 20_000]));
            drop(peer);
        }
    }
}

/// Compressed JSON, of which every answer is inflated.
fn deflaters(stage: Stage<'_>, mut random: Random) {
    let messages: Vec<(String, Vec<u8>)> = json(64, 1 << 10)
        .into_iter()
        .map(|message| {
            let wire = deflated(message.as_bytes());
            (message, frames::compressed(OpCode::Text, Fin::Last, &wire))
        })
        .collect();
    let mut codec = Codec::new(DEFLATE_LEVEL, InflateBudget::new(64 << 20));
    let bounds = InflateBounds::from(&Limits::default());
    let connect = || Peer::deflate_websocket(stage.address);
    let mut peers: Vec<Peer> = (0..DEFLATERS).map(|_| connect()).collect();
    let mut plain = Vec::new();
    while stage.goes_on() {
        let peer = &mut peers[random.below(DEFLATERS)];
        let (message, wire) = random.one_of(&messages);
        peer.send(wire);
        let answer = peer.expect_frame();
        assert!(answer.header.compressed);
        plain.clear();
        let inflated = codec.inflate(None, &answer.payload, bounds, &mut plain);
        let _made = inflated.unwrap();
        assert_eq!(plain, message.as_bytes());
        if random.once_in(200) {
            *peer = connect();
        }
        thread::sleep(DEFLATE_PAUSE);
    }
}

/// One flood after the other, with a pause between them.
fn floods(stage: Stage<'_>, mut random: Random) {
    let mut wires = wires();
    let requests = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(500);
    wires.push(("requests", requests.into_bytes()));
    while stage.goes_on() {
        let (what, wire) = random.one_of(&wires);
        let peer = match *what {
            "requests" => Peer::connect(stage.address),
            _ => Peer::deflate_websocket(stage.address),
        };
        let enough = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| flood(peer, wire, &enough));
            stage.pause(FLOOD);
            enough.store(true, Ordering::Relaxed);
        });
        stage.pause(FLOOD_PAUSE);
    }
}

/// Each asks for more than the kernel keeps for it, and takes it in sips.
fn slow_readers(stage: Stage<'_>, mut random: Random) {
    let message = frames::binary(&[5; 100_000]);
    let connect = || {
        let dial = Peer::dial(stage.address).receive_buffer(SIP_BYTES);
        let mut peer = dial.connect().upgraded();
        let mut asked = 0;
        // What is not taken at once would be a torn frame: the next one is for the next reader.
        while asked < 20 && peer.send_what_is_taken(&message, SIP_PAUSE) == message.len() {
            asked += 1;
        }
        // Of each answer, a header of ten bytes and the message.
        (peer, asked * 100_010)
    };
    let mut readers: Vec<(Peer, usize)> = (0..SLOW_READERS).map(|_| connect()).collect();
    while stage.goes_on() {
        let at = random.below(SLOW_READERS);
        let (peer, left) = &mut readers[at];
        if *left == 0 || random.once_in(500) {
            readers[at] = connect();
        } else {
            let bytes = peer.sip(SIP_BYTES.min(*left));
            assert_ne!(bytes, 0, "a slow reader lacks {left} bytes");
            *left -= bytes;
        }
        thread::sleep(SIP_PAUSE / 2);
    }
}

/// Sends until nothing is taken any more, and waits until it is reset.
fn never_reads(stage: Stage<'_>) {
    let message = frames::binary(&vec![3; 1 << 20]).repeat(8);
    while stage.goes_on() {
        let dial = Peer::dial(stage.address).receive_buffer(16 << 10);
        let mut peer = dial.connect().upgraded();
        while stage.goes_on() && peer.send_what_is_taken(&message, Duration::from_secs(1)) > 0 {}
        stage.pause(STALLED);
    }
}

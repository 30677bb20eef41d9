//! The engine without sockets: a driver that plays them from one seed.
//!
//! It cuts every read and write, blocks, resets, lets time pass, carries mail, and plays clients
//! that speak HTTP and WebSocket, some of them badly, to an application that echoes, streams and
//! closes. After every step it checks what must always hold. A seed that fails is printed: it is
//! the whole bug report.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a failed test says its seed, and a failed unwrap is a failed test"
)]

mod sim;

use corewire::CoreId;
use corewire::engine::{CloseHow, Options};
use corewire::protocol::deflate::{Codec, DEFLATE_LEVEL, InflateBudget};
use corewire::protocol::frame::OpCode;
use corewire_testkit::Random;
use corewire_testkit::frames::{self, Fin};

use sim::solo::{App, Solo, Told};
use sim::{Weather, World};

/// Prints the seed of the run that has failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed is {}", self.0);
        }
    }
}

fn run(seed: u64, weather: Weather) -> World {
    let _named = Seed(seed);
    let mut world = World::new(seed, weather);
    world.live();
    world.end();
    world
}

/// Nobody misbehaves in time, so every byte that is to come has come.
#[test]
fn in_fair_weather_everything_is_answered() {
    for seed in 0..250 {
        run(seed, Weather::Fair);
    }
}

/// Peers reset, vanish and stop reading; time jumps.
#[test]
fn in_a_storm_nothing_is_torn_and_nobody_stays() {
    for seed in 1000..1250 {
        run(seed, Weather::Storm);
    }
}

#[test]
fn the_same_seed_takes_the_same_steps() {
    for seed in [7, 77] {
        for weather in [Weather::Fair, Weather::Storm] {
            let first = run(seed, weather);
            let second = run(seed, weather);
            assert_eq!(first.steps(), second.steps());
            assert_eq!(first.trace(), second.trace());
        }
    }
    assert_ne!(run(7, Weather::Fair).trace(), run(8, Weather::Fair).trace());
}

/// The stall timeout counts from when output began to wait, not from the last write before.
#[test]
fn a_peer_that_has_taken_everything_has_all_the_time_for_what_comes_next() {
    let mut solo = Solo::open(Options::default(), App::default);
    let (told, _) = solo.hears(frames::text("taken"));
    assert_eq!(told, [Told::Write(7)]);
    let _ = solo.passes(15_000);
    solo.window = 0;
    let (told, _) = solo.hears(frames::text("not taken"));
    assert_eq!(told, [Told::Write(0)]);
    // It is asked now and then, and given up when its time is over.
    for _ in 0..3 {
        let (told, _) = solo.passes(2_510);
        assert_eq!(told, [Told::Write(0)]);
    }
    let (told, _) = solo.passes(2_400);
    assert_eq!(told, []);
    let (told, _) = solo.passes(100);
    assert_eq!(told, [Told::Write(0), Told::Close(CloseHow::Reset)]);
}

/// A kernel says that there is room only when there is much. A reader so slow that this takes
/// longer than the stall timeout has taken something all the same.
#[test]
fn a_peer_that_takes_a_little_is_not_reset() {
    let mut solo = Solo::open(Options::default(), App::default);
    solo.window = 0;
    let (told, _) = solo.hears(frames::text("taken late"));
    assert_eq!(told, [Told::Write(0)]);
    solo.window = usize::MAX;
    let (told, _) = solo.passes(10_010);
    assert_eq!(told, [Told::Write(12)]);
}

/// How many bytes of echoes leave at once for what came in one read.
fn echoed_at_once(options: Options, messages: &[u8]) -> Vec<usize> {
    let mut solo = Solo::open(options, App::default);
    let (told, _) = solo.hears(messages);
    let bytes = told.iter().map(|told| match told {
        Told::Write(bytes) => *bytes,
        Told::EndOutput | Told::Close(_) | Told::Mail(..) => panic!("{told:?}"),
    });
    bytes.collect()
}

/// A read full of tiny messages is handled in turns, behind the other connections.
#[test]
fn a_turn_ends_when_its_work_is_done() {
    let options = Options {
        // Ten frames, besides the bytes that are read.
        turn_work: 300 * 7 + 10 * 256,
        ..Options::default()
    };
    let writes = echoed_at_once(options, &frames::text("x").repeat(300));
    assert_eq!(writes.iter().sum::<usize>(), 300 * 3);
    // The bytes count in the turn that reads them.
    assert_eq!(writes[0], 11 * 3, "{writes:?}");
    assert!(writes.len() > 15, "{writes:?}");
}

/// No further frame is handled once more waits than the high watermark.
#[test]
fn a_turn_ends_when_enough_waits() {
    let mut options = Options::default();
    options.outbound.low_bytes = 5000;
    options.outbound.high_bytes = 10_000;
    let writes = echoed_at_once(options, &frames::text(&"x".repeat(3000)).repeat(20));
    assert_eq!(writes.iter().sum::<usize>(), 20 * 3004);
    assert!(
        writes.iter().all(|&bytes| bytes <= 10_000 + 3004),
        "{writes:?}"
    );
}

/// What a message inflates to counts, not what was sent.
#[test]
fn a_turn_ends_when_enough_was_inflated() {
    let mut out = Vec::new();
    let mut plain = Random::new(1).bytes(1000);
    plain.resize(60_000, b'x');
    Codec::new(DEFLATE_LEVEL, InflateBudget::new(1 << 20)).deflate(15, None, &plain, &mut out);
    let wire = frames::compressed(OpCode::Binary, Fin::Last, &out).repeat(20);
    let offer = ["Sec-WebSocket-Extensions: permessage-deflate"];
    let mut solo = Solo::open_with(Options::default(), &offer, || App {
        // Little comes back, so that the work is all there is to end a turn.
        message: |_, context| context.text("x").unwrap(),
        ..App::default()
    });
    let (told, _) = solo.hears(wire);
    let most = Options::default().turn_work / 60_000 + 1;
    assert!(
        told.iter()
            .all(|told| matches!(told, Told::Write(bytes) if *bytes <= most * 3))
    );
    assert!(told.len() >= 20 / most, "{told:?}");
}

/// A pong goes between any two frames, and only the newest of several.
#[test]
fn a_pong_overtakes_the_data_that_waits() {
    let mut solo = Solo::open(Options::default(), App::default);
    solo.wire.clear();
    solo.window = 10;
    for _ in 0..3 {
        let _ = solo.hears(frames::text(&"x".repeat(20_000)));
    }
    let (told, _) = solo.hears([frames::ping(b"old"), frames::ping(b"new")].concat());
    assert_eq!(told, []);
    let _ = solo.takes(100);
    assert_eq!(solo.wire.len(), 110);
    let _ = solo.takes(usize::MAX);
    let message = 4 + 20_000;
    let pong = b"\x8a\x03new";
    assert_eq!(solo.wire.len(), 3 * message + pong.len());
    // It comes after the frame that was begun.
    assert_eq!(solo.wire[message..message + pong.len()], *pong);
}

/// A timer of no time is due in the next millisecond, not in this one again and again.
#[test]
fn a_timer_of_no_time_does_not_stop_the_world() {
    let mut solo = Solo::open(Options::default(), || App {
        message: |_, context| context.set_timer(0),
        timeout: |context| {
            context.text("tick").unwrap();
            context.set_timer(0);
        },
        ..App::default()
    });
    let (told, wait_ms) = solo.hears(frames::text("go"));
    assert!(
        told.is_empty() && wait_ms.is_some_and(|ms| ms <= 8),
        "{told:?}, {wait_ms:?}"
    );
    let (told, wait_ms) = solo.passes(8);
    assert_eq!(told, [Told::Write(6)]);
    assert!(wait_ms.is_some_and(|ms| 0 < ms && ms <= 8));
}

/// A handler has one alarm, whatever its connections do: the earliest that was set rings, once, at
/// its millisecond.
#[test]
fn the_earliest_alarm_rings_once() {
    let mut solo = Solo::open(Options::default(), || App {
        message: |_, context| {
            context.effects().set_alarm(300);
            context.effects().set_alarm(201);
            context.effects().set_alarm(250);
        },
        alarm: |effects| effects.mail(CoreId(0), 1),
        ..App::default()
    });
    let (told, wait_ms) = solo.hears(frames::text("go"));
    assert_eq!((told, wait_ms), (vec![], Some(201)));
    let (told, wait_ms) = solo.passes(200);
    assert_eq!((told, wait_ms), (vec![], Some(1)));
    let (told, _) = solo.passes(1);
    assert_eq!(told, [Told::Mail(CoreId(0), 1)]);
    let (told, _) = solo.passes(1000);
    assert_eq!(told, []);
}

/// An alarm of no time is due in the next millisecond, not in this one again and again.
#[test]
fn an_alarm_of_no_time_does_not_stop_the_world() {
    let mut solo = Solo::open(Options::default(), || App {
        message: |_, context| context.effects().set_alarm(0),
        alarm: |effects| {
            effects.mail(CoreId(0), 1);
            effects.set_alarm(0);
        },
        ..App::default()
    });
    let (told, wait_ms) = solo.hears(frames::text("go"));
    assert_eq!((told, wait_ms), (vec![], Some(1)));
    let (told, wait_ms) = solo.passes(1);
    assert_eq!((told, wait_ms), (vec![Told::Mail(CoreId(0), 1)], Some(1)));
}

/// A handler that sends again what did not fit gets another try later, and the core goes on.
#[test]
fn mail_that_is_sent_again_and_again_does_not_stop_the_world() {
    let mut solo = Solo::open(Options::default(), || App {
        message: |_, context| context.effects().mail(CoreId(1), 7),
        undelivered: |to, mail, effects| effects.mail(to, mail + 1),
        ..App::default()
    });
    solo.takes_mail = false;
    let (told, wait_ms) = solo.hears(frames::text("go"));
    assert_eq!(told, [Told::Mail(CoreId(1), 7)]);
    assert!(wait_ms.is_some_and(|ms| 0 < ms && ms <= 10), "{wait_ms:?}");
    solo.takes_mail = true;
    let (told, _) = solo.passes(1);
    assert_eq!(told, [Told::Mail(CoreId(1), 8)]);
    let (told, _) = solo.passes(1000);
    assert_eq!(told, []);
}

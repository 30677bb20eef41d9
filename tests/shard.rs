//! The engine without sockets: a driver that plays them from one seed.
//!
//! It cuts every read and write, blocks, resets, lets time pass, carries mail, and plays clients
//! that speak HTTP and WebSocket, some of them badly, to an application that echoes, streams and
//! closes. After every step it checks what must always hold. A seed that fails is printed: it is
//! the whole bug report.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod sim;

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

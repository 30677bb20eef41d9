//! Real processes over a network that fails: `corewire serve` on two cores, several `corewire pub`
//! and `corewire sub`, some of which read slowly, and a proxy between them that cuts, stalls, tears
//! and drips their connections. What they print is judged as the simulation judges its clients.
//!
//! A seed repeats what is published and what the proxy intends, and not when the system lets it
//! happen: a storm that has found something is run again for longer (`make cuts`).
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test says what it has provoked, and a failed unwrap is a failed test"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "processes need threads that read them, publishers pauses, and a storm its time"
)]

mod away;
mod cast;

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use corewire_testkit::sim::judge;
use corewire_testkit::{PATIENCE, Proxy, Serve, Weather};

use cast::{Cast, News, Part, Publisher, Reads};

const BINARY: &str = env!("CARGO_BIN_EXE_corewire");
const CORES: usize = 2;
/// How long an end may take to be heard before another one is marked.
const AGAIN: Duration = Duration::from_millis(500);
/// News that are taken in before anything else is looked at.
const AT_ONCE: usize = 1000;

/// A storm.
struct Storm {
    seed: u64,
    lasts: Duration,
    weather: Weather,
    class: Class,
}

/// What becomes of messages that cannot be sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// They are lost, and that is told.
    Volatile,
    /// They are kept, all that there are: who wants all gets all.
    Logged,
}

/// All policies, topics and patterns; two publishers in one topic; slow readers.
const PUBLISHERS: &[Publisher] = &[
    Publisher::new("a.x", 4),
    Publisher::new("a.x", 4),
    Publisher::new("a.y", 2),
    Publisher::new("b", 6),
];
const SUBSCRIBERS: &[Part] = &[
    Part::new("a.x", "all", Reads::AtOnce),
    Part::new("a.>", "all", Reads::AtOnce),
    Part::new("b", "latest", Reads::Slowly),
    Part::new("a.*", "drop-oldest", Reads::Slowly),
    Part::new("a.y", "all", Reads::Slowly),
    Part::new(">", "latest", Reads::AtOnce),
];

/// P1, P2, P5, P9, with the clients that people use.
#[test]
fn whatever_the_network_does_every_loss_is_told() {
    run(&Storm {
        seed: 1,
        lasts: Duration::from_secs(5),
        ..volatile()
    });
}

/// P1 to P7, P9: no loss, no duplicate, and one order. USERS 2: `make cuts` has 10,000 reconnects in
/// two minutes.
#[test]
fn whatever_the_network_does_logged_messages_come_once_and_in_order() {
    run(&Storm {
        seed: 1,
        lasts: Duration::from_secs(5),
        ..logged()
    });
}

/// `make cuts`: both, each as long and from the seed that `SECONDS` and `SEED` say.
#[test]
#[ignore = "runs as long as it is told to, by `make cuts`"]
fn cuts() {
    let told = |name| std::env::var(name).ok().filter(|told| !told.is_empty());
    let number = |name| told(name).map(|told| told.parse::<u64>().unwrap());
    let seed = number("SEED").unwrap_or_else(|| getrandom::u64().unwrap() >> 24);
    let lasts = Duration::from_secs(number("SECONDS").unwrap_or(60));
    for storm in [volatile(), logged()] {
        run(&Storm {
            seed,
            lasts,
            ..storm
        });
    }
}

const fn volatile() -> Storm {
    Storm {
        seed: 0,
        lasts: Duration::ZERO,
        weather: Weather {
            lives_ms: 300,
            stalls_ms: 150,
            drips_once_in: 5,
        },
        class: Class::Volatile,
    }
}

/// Connections end as soon as they have begun, and before.
const fn logged() -> Storm {
    Storm {
        weather: Weather {
            lives_ms: 50,
            stalls_ms: 20,
            drips_once_in: 8,
        },
        class: Class::Logged,
        ..volatile()
    }
}

fn run(storm: &Storm) {
    eprintln!(
        "a storm of {} s over {:?} topics; again: make cuts SEED={} SECONDS={}",
        storm.lasts.as_secs(),
        storm.class,
        storm.seed,
        storm.lasts.as_secs()
    );
    let server = Serve::new(BINARY).cores(CORES);
    let server = match storm.class {
        Class::Volatile => server.topics(">", "volatile"),
        Class::Logged => server
            .setting("messaging.history_messages", "1000000")
            .setting("messaging.history_bytes", "1GiB")
            .setting("messaging.history_age_ms", "1h")
            .setting("messaging.history_budget_bytes", "4GiB"),
    };
    let server = server.start();
    let proxy = Proxy::start(server.address(), storm.seed, storm.weather);
    let (sender, news) = channel();
    let mut cast = Cast::new(sender, server.address(), proxy.address());
    for part in SUBSCRIBERS {
        cast.subscribe(part);
    }
    for (number, publisher) in PUBLISHERS.iter().enumerate() {
        cast.publish(publisher, storm.seed ^ number as u64);
    }
    let end = Instant::now() + storm.lasts;
    listen(&mut cast, &news, |_| Instant::now() >= end);

    // The network is well from now on, and everybody reads.
    proxy.calm_down();
    cast.calm_down();
    let patience = Instant::now() + 2 * PATIENCE;
    listen(&mut cast, &news, |cast| {
        cast.have_published() || Instant::now() >= patience
    });
    assert!(cast.have_published(), "the publishers do not end");
    // Who comes back only now has to be told that it has missed nothing since: once more, when
    // nothing comes any more.
    let mut patience = Instant::now() + PATIENCE;
    while !cast.unheard().is_empty() && Instant::now() < patience {
        cast.mark_the_ends();
        loop {
            let (before, soon) = (cast.moment(), Instant::now() + AGAIN);
            listen(&mut cast, &news, |cast| {
                cast.unheard().is_empty() || Instant::now() >= soon
            });
            if cast.moment() == before {
                break;
            }
            patience = Instant::now() + PATIENCE;
        }
    }
    for what in cast.unheard() {
        eprintln!("not heard in time: {what}");
    }

    let (cuts, carried) = (proxy.cuts(), proxy.connections());
    let (witnesses, ends, sums) = cast.testify();
    let found = judge(&witnesses, &ends);
    eprintln!("{carried} connections, {cuts} of them cut; {sums}");
    for anomaly in &found {
        eprintln!("{anomaly}");
    }
    assert!(found.is_empty(), "{} anomalies", found.len());
    let seconds = storm.lasts.as_secs();
    assert!(cuts > 4 * seconds, "hardly a storm: {cuts} cuts");
    assert!(sums.messages > 100 * seconds, "hardly anything: {sums}");
    match storm.class {
        Class::Volatile => assert!(sums.losses_of_all > 0, "{sums}"),
        // Who wants all is sent all, and what was said twice is known again.
        Class::Logged => assert_eq!((sums.losses_of_all, sums.uncertain), (0, 0), "{sums}"),
    }
}

/// Takes in what happens until it is enough.
fn listen(cast: &mut Cast, news: &Receiver<News>, enough: impl Fn(&Cast) -> bool) {
    while !enough(cast) {
        match news.recv_timeout(Duration::from_millis(20)) {
            Ok(one) => {
                cast.take(one);
                for one in news.try_iter().take(AT_ONCE) {
                    cast.take(one);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

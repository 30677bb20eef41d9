//! Random runs from seeds: cuts at any message, restarts, departures, slow readers. Whatever
//! happens, a subscription accounts for all that was published, in order and without duplicates,
//! and a publication has one outcome that is true.

use std::collections::{BTreeMap, BTreeSet};

use corewire_client::machine::{
    Guarantee, Machine, Options, PublicationId, Publish, PublishError, Subscribe, SubscriptionId,
    Window,
};
use corewire_protocol::native::{Dialect, GoAway, Push};
use proptest::prelude::*;

use crate::history::History;
use crate::world::{World, bytes};

/// Topics of each run.
const TOPICS: [&str; 4] = ["a", "b.x", "b.y", "b.y.z"];
/// What is subscribed to.
const SUBJECTS: [&str; 4] = ["a", "b.>", "b.y", ">"];

#[derive(Debug, Clone, Copy)]
enum Step {
    Open,
    Transmit,
    Serve,
    Deliver,
    Flow,
    Published(usize),
    Publish(usize, Guarantee),
    Subscribe(usize),
    Take(u8),
    Cut,
    Refuse,
    Restart,
    Positions,
    Tickets(bool),
    GoAway,
    Close(u16),
    Wait,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Open),
        12 => Just(Step::Transmit),
        12 => Just(Step::Serve),
        12 => Just(Step::Deliver),
        10 => (0..TOPICS.len()).prop_map(Step::Published),
        3 => (0..TOPICS.len()).prop_map(|topic| Step::Publish(topic, Guarantee::AtMostOnce)),
        3 => (0..TOPICS.len()).prop_map(|topic| Step::Publish(topic, Guarantee::AtLeastOnce)),
        2 => (0..SUBJECTS.len()).prop_map(Step::Subscribe),
        6 => (0..8_u8).prop_map(Step::Take),
        6 => Just(Step::Flow),
        1 => Just(Step::Cut),
        1 => Just(Step::Refuse),
        1 => Just(Step::Restart),
        4 => Just(Step::Positions),
        1 => any::<bool>().prop_map(Step::Tickets),
        4 => Just(Step::GoAway),
        1 => prop_oneof![Just(4200), Just(4100), Just(1006)].prop_map(Step::Close),
        5 => Just(Step::Wait),
        3 => (0..3000_u64).prop_map(Step::Pass),
    ]
}

/// Other courses in every run; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` choose them.
fn config() -> ProptestConfig {
    let chosen = ProptestConfig::default();
    ProptestConfig {
        cases: chosen.cases.max(2000),
        max_shrink_iters: 1000,
        failure_persistence: None,
        ..chosen
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nothing_is_lost_silently_repeated_or_reordered(
        seed in any::<u64>(),
        binary in any::<bool>(),
        steps in prop::collection::vec(steps(), 1..400),
    ) {
        run(seed, binary, &steps);
    }
}

fn run(seed: u64, binary: bool, steps: &[Step]) {
    let options = Options {
        window: Window {
            topic_messages: 4,
            messages: 12,
            bytes: 1 << 20,
        },
        publish_timeout_ms: 1_000_000,
        ..Options::new("ws://a/ws")
    };
    let dialect = if binary {
        Dialect::Binary
    } else {
        Dialect::Json
    };
    let mut run = Run {
        world: World::new(Machine::new(options, seed), dialect),
        histories: BTreeMap::new(),
        published: BTreeMap::new(),
        count: 0,
    };
    for step in steps {
        run.step(*step);
        run.check_outcomes();
    }
    run.finish();
}

struct Run {
    world: World,
    histories: BTreeMap<SubscriptionId, History>,
    published: BTreeMap<PublicationId, (usize, String, Guarantee)>,
    count: u64,
}

impl Run {
    fn step(&mut self, step: Step) {
        let world = &mut self.world;
        let newest = world.conns.keys().next_back().copied();
        let oldest = world.conns.keys().next().copied();
        match step {
            Step::Open => drop(world.open()),
            Step::Transmit => world.transmit(),
            Step::Serve => {
                for link in [newest, oldest].into_iter().flatten() {
                    world.serve_one(link);
                }
            }
            // Not both, so that one connection falls behind the other.
            Step::Deliver => {
                let link = if self.count.is_multiple_of(3) {
                    oldest
                } else {
                    newest
                };
                link.map(|link| world.deliver_one(link));
                self.count += 1;
            }
            Step::Flow => world.flow(),
            Step::Published(topic) => {
                self.count += 1;
                let data = format!("o{}", self.count);
                world.publish(TOPICS[topic], data.as_bytes());
            }
            Step::Publish(topic, guarantee) => {
                self.count += 1;
                let text = format!("p{}", self.count);
                let publish = Publish {
                    guarantee,
                    ..Publish::new(TOPICS[topic], bytes(&text))
                };
                let id = world.machine.publish(publish, world.now_ms).unwrap();
                self.published.insert(id, (topic, text, guarantee));
            }
            Step::Subscribe(subject) => {
                if self.histories.len() < 6 {
                    let subject = SUBJECTS[subject];
                    let subscribe = Subscribe::to(subject);
                    let id = world.machine.subscribe(subscribe).unwrap();
                    let number = self.histories.len() as u64 + 1;
                    self.histories.insert(id, History::new(number, subject));
                }
            }
            Step::Take(most) => drop(self.take(usize::from(most))),
            Step::Cut => {
                if let Some(link) = newest {
                    world.cut(link);
                }
            }
            Step::Refuse => {
                if !world.opening.is_empty() {
                    world.refuse();
                }
            }
            Step::Restart => world.restart(),
            Step::Positions => {
                for link in [newest, oldest].into_iter().flatten() {
                    world.tell_positions(link);
                }
            }
            Step::Tickets(honoured) => world.honours_tickets = honoured,
            Step::GoAway => {
                if let Some(link) = newest.filter(|link| world.conns[link].hello) {
                    let away = GoAway {
                        deadline_ms: 10_000,
                        spread_ms: 100,
                        url: None,
                    };
                    world.push(link, &Push::GoAway(away));
                }
            }
            Step::Close(code) => {
                if let Some(link) = newest {
                    world.close(link, code);
                }
            }
            Step::Wait => {
                // Silence ends connections; other things are to happen more often.
                let soon = world.now_ms + 5000;
                match world.machine.deadline_ms() {
                    Some(at_ms) if at_ms <= soon => drop(world.wait()),
                    Some(_) | None => world.pass(100),
                }
            }
            Step::Pass(ms) => world.pass(ms),
        }
    }

    /// Returns whether there was anything.
    fn take(&mut self, most: usize) -> bool {
        let mut any = false;
        for (id, history) in &mut self.histories {
            for _ in 0..most {
                match self.world.machine.next_event(*id) {
                    Some(event) => history.take(&event, &self.world),
                    None => break,
                }
                any = true;
            }
        }
        any
    }

    /// All that is on its way arrives and is taken, until there is nothing.
    fn drain(&mut self) {
        loop {
            self.world.flow();
            if !self.take(usize::MAX) {
                break;
            }
        }
        self.check_outcomes();
    }

    fn check_outcomes(&mut self) {
        while let Some((id, outcome)) = self.world.machine.next_outcome() {
            let (topic, text, guarantee) = self.published.remove(&id).expect("one outcome each");
            let logs = self
                .world
                .logs
                .iter()
                .filter(|((_, name), _)| name == TOPICS[topic]);
            let places: Vec<_> = logs
                .flat_map(|((epoch, _), log)| {
                    let here = (1..).zip(log).filter(|(_, one)| **one == text.as_bytes());
                    here.map(|(offset, _)| (epoch.clone(), offset))
                })
                .collect();
            match outcome {
                Ok(position) => {
                    let there = (position.epoch.to_string(), position.offset);
                    assert!(places.contains(&there), "lost write: {text} at {there:?}");
                }
                Err(PublishError::Uncertain) => {}
                Err(error) => assert!(places.is_empty(), "{error}, but it stands at {places:?}"),
            }
            let epochs: BTreeSet<_> = places.iter().map(|(epoch, _)| epoch).collect();
            assert_eq!(places.len(), epochs.len(), "{text} stands at {places:?}");
            if guarantee == Guarantee::AtMostOnce {
                assert!(places.len() <= 1, "{text} stands at {places:?}");
            }
        }
    }

    /// The network is well from now on, and the application takes all: everything ends well.
    fn finish(&mut self) {
        for _ in 0..200 {
            self.drain();
            if self.world.open().is_none() && self.world.machine.deadline_ms().is_some() {
                let wait = self.world.machine.deadline_ms().unwrap()
                    - self
                        .world
                        .now_ms
                        .min(self.world.machine.deadline_ms().unwrap());
                // Longer than that the machine waits for silence only.
                if wait > 25_000 && self.world.conns.len() == 1 {
                    break;
                }
                self.world.wait();
            }
        }
        self.drain();
        assert!(
            self.published.is_empty(),
            "no outcome: {:?}",
            self.published
        );
        assert_eq!(self.world.conns.len(), 1, "{:?}", self.world.machine);
        for history in self.histories.values() {
            if let Err(why) = history.is_complete(&self.world) {
                panic!("{why}; {:?}", self.world.conns);
            }
            // This server forgets nothing but at a restart.
            assert_eq!(history.missing, 0, "{history:?}");
            if self.world.epoch == 1 {
                assert_eq!(history.resets, 0, "{history:?}");
            }
        }
        // Of what it published, the order on each topic is that of the calls.
        for ((_, _), log) in &self.world.logs {
            let mine = log.iter().filter_map(|data| {
                let text = str::from_utf8(data).unwrap();
                text.strip_prefix('p')
                    .map(|number| number.parse::<u64>().unwrap())
            });
            let mine: Vec<_> = mine.collect();
            // One that was sent again stands behind its first place, in the same order.
            let mut first = BTreeMap::new();
            for (place, number) in mine.iter().enumerate() {
                first.entry(*number).or_insert(place);
            }
            let places: Vec<_> = first.values().copied().collect();
            assert!(places.is_sorted(), "publisher FIFO: {mine:?}");
        }
    }
}

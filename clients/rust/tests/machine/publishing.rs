//! Publications: order, bounds, and what is known of each.

use corewire_client::Data;
use corewire_client::machine::{Guarantee, Machine, Options, Publish, PublishError, Status, Stop};
use corewire_protocol::native::{Dialect, Echo, Limits};

use crate::world::World;

fn publish(number: usize, guarantee: Guarantee) -> Publish {
    Publish {
        topic: "a".into(),
        data: Data::from(format!("{number:03}").as_str()),
        key: None,
        echo: Echo::Yes,
        guarantee,
    }
}

fn world(options: Options) -> World {
    World::new(Machine::new(options, 7), Dialect::Binary)
}

fn log(world: &World) -> Vec<String> {
    let log = world.topics.get("a").map(|topic| topic.log.clone());
    let log = log.unwrap_or_default();
    log.into_iter()
        .map(|data| String::from_utf8(data).unwrap())
        .collect()
}

// USERS 20, 21: a thousand in flight, and those from the time without a connection, in order.
#[test]
fn a_queue_from_before_the_connection_goes_out_in_order() {
    let mut world = world(Options::new("ws://a/ws"));
    for number in 0..1500 {
        let publish = publish(number, Guarantee::AtMostOnce);
        world.machine.publish(publish, world.now_ms).unwrap();
    }
    world.connect();
    let expected: Vec<_> = (0..1500).map(|number| format!("{number:03}")).collect();
    assert_eq!(log(&world), expected);
    for offset in 1..=1500 {
        let (_, outcome) = world.machine.next_outcome().unwrap();
        assert_eq!(outcome.unwrap().offset, offset);
    }
}

#[test]
fn the_queue_is_bounded_in_number_and_bytes() {
    let mut options = Options::new("ws://a/ws");
    options.publications_max = 3;
    let mut world = world(options);
    for number in 0..3 {
        let publish = publish(number, Guarantee::AtMostOnce);
        world.machine.publish(publish, world.now_ms).unwrap();
    }
    let refused = world
        .machine
        .publish(publish(3, Guarantee::AtMostOnce), world.now_ms);
    assert_eq!(refused, Err(PublishError::Full));
    world.connect();
    world
        .machine
        .publish(publish(3, Guarantee::AtMostOnce), world.now_ms)
        .unwrap();

    let mut options = Options::new("ws://a/ws");
    options.publication_bytes_max = 1000;
    let mut world = self::world(options);
    let mut large = publish(0, Guarantee::AtMostOnce);
    large.data = Data::from(vec![0; 1000]);
    assert!(matches!(
        world.machine.publish(large, world.now_ms),
        Err(PublishError::TooLarge { .. })
    ));
    let accepted = (0..100).take_while(|number| {
        let publish = publish(*number, Guarantee::AtMostOnce);
        world.machine.publish(publish, world.now_ms).is_ok()
    });
    assert_eq!(accepted.count(), 1000 / (128 + 4));
}

#[test]
fn no_more_are_in_flight_than_the_server_says() {
    let mut world = world(Options::new("ws://a/ws"));
    world.limits = Limits {
        unanswered: 10,
        ..world.limits
    };
    let link = world.connect();
    for number in 0..100 {
        let publish = publish(number, Guarantee::AtMostOnce);
        world.machine.publish(publish, world.now_ms).unwrap();
    }
    world.transmit();
    while world.serve_one(link) {}
    assert_eq!(log(&world).len(), 10);
    world.flow();
    assert_eq!(log(&world).len(), 100);
}

#[test]
fn the_rate_of_the_server_is_kept() {
    let mut world = world(Options::new("ws://a/ws"));
    world.limits = Limits {
        publish_per_s: 100,
        publish_burst: 40,
        ..world.limits
    };
    world.connect();
    for number in 0..100 {
        let publish = publish(number, Guarantee::AtMostOnce);
        world.machine.publish(publish, world.now_ms).unwrap();
    }
    world.flow();
    assert_eq!(log(&world).len(), 30);
    let mut waited = 0;
    while log(&world).len() < 100 {
        waited += world.wait();
        world.flow();
    }
    assert_eq!(waited, 700);
}

// USERS 13, as far as a server can tell that does not know repetitions yet: what may have happened
// is said, or happens at least once.
#[test]
fn what_was_in_flight_is_uncertain_or_sent_again_in_order() {
    // The cut is before the server reads, or after it, before its reply arrives.
    for served in [false, true] {
        let mut world = world(Options::new("ws://a/ws"));
        let link = world.connect();
        for (number, guarantee) in [
            (0, Guarantee::AtLeastOnce),
            (1, Guarantee::AtMostOnce),
            (2, Guarantee::AtLeastOnce),
        ] {
            let publish = publish(number, guarantee);
            world.machine.publish(publish, world.now_ms).unwrap();
        }
        world.transmit();
        if served {
            while world.serve_one(link) {}
        }
        world.cut(link);
        let (_, outcome) = world.machine.next_outcome().unwrap();
        assert_eq!(outcome, Err(PublishError::Uncertain));
        world
            .machine
            .publish(publish(3, Guarantee::AtMostOnce), world.now_ms)
            .unwrap();
        world.wait();
        world.connect();
        let again = ["000", "002", "003"];
        if served {
            assert_eq!(log(&world), [["000", "001", "002"], again].concat());
        } else {
            assert_eq!(log(&world), again);
        }
        for _ in 0..3 {
            world.machine.next_outcome().unwrap().1.unwrap();
        }
        // A repetition has the number of the first time.
        let numbers = world
            .asked
            .iter()
            .filter(|(_, _, what)| what.contains("\"002\""));
        let numbers: Vec<_> = numbers
            .map(|(_, _, what)| what.contains("pseq: Some(3)"))
            .collect();
        assert!(numbers.iter().all(|same| *same), "{:?}", world.asked);
    }
}

#[test]
fn one_that_waits_too_long_is_given_up_and_says_whether_it_was_sent() {
    let mut world = world(Options::new("ws://a/ws"));
    world
        .machine
        .publish(publish(0, Guarantee::AtMostOnce), world.now_ms)
        .unwrap();
    world.refuse();
    let mut waited = 0;
    while world.machine.unpublished() > 0 {
        waited += world.wait();
        if !world.opening.is_empty() {
            world.refuse();
        }
    }
    assert_eq!(waited, 30_000);
    assert_eq!(
        world.machine.next_outcome().unwrap().1,
        Err(PublishError::TimedOut)
    );

    let mut world = self::world(Options::new("ws://a/ws"));
    world.connect();
    world
        .machine
        .publish(publish(0, Guarantee::AtMostOnce), world.now_ms)
        .unwrap();
    world.transmit();
    assert_eq!(world.wait(), 30_000);
    assert_eq!(
        world.machine.next_outcome().unwrap().1,
        Err(PublishError::Uncertain)
    );
    // Its reply comes late, and is nobody's.
    world.flow();
    assert!(matches!(world.machine.status(), Status::Connected(_)));
}

#[test]
fn a_large_one_goes_alone_and_one_too_large_is_refused_here() {
    let mut world = world(Options::new("ws://a/ws"));
    world.connect();
    for (bytes, topic) in [(10, "a"), (100_000, "b"), (1 << 20, "c"), (10, "d")] {
        let publish = Publish {
            topic: topic.into(),
            data: Data::from(vec![b'x'; bytes]),
            ..publish(0, Guarantee::AtMostOnce)
        };
        world.machine.publish(publish, world.now_ms).unwrap();
    }
    world.flow();
    let outcomes = std::iter::from_fn(|| world.machine.next_outcome());
    let outcomes: Vec<_> = outcomes.map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes.len(), 4);
    let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let refused: Vec<_> = refused.collect();
    assert!(
        matches!(refused[..], [PublishError::TooLarge { .. }]),
        "{refused:?}"
    );
    assert!(world.topics.contains_key("b") && world.topics.contains_key("d"));
}

#[test]
fn closing_finishes_what_was_published() {
    let mut world = world(Options::new("ws://a/ws"));
    world.connect();
    for number in 0..10 {
        let publish = publish(number, Guarantee::AtMostOnce);
        world.machine.publish(publish, world.now_ms).unwrap();
    }
    world.machine.close(world.now_ms);
    let refused = world
        .machine
        .publish(publish(10, Guarantee::AtMostOnce), world.now_ms);
    assert_eq!(refused, Err(PublishError::Stopped));
    world.flow();
    assert_eq!(log(&world).len(), 10);
    assert_eq!(*world.machine.status(), Status::Stopped(Stop::Asked));

    // Not for ever.
    let mut world = self::world(Options::new("ws://a/ws"));
    world
        .machine
        .publish(publish(0, Guarantee::AtMostOnce), world.now_ms)
        .unwrap();
    world.machine.close(world.now_ms);
    let mut waited = 0;
    while !world.machine.has_stopped() {
        waited += world.wait();
    }
    assert!(waited <= 6000, "{waited}");
    assert_eq!(
        world.machine.next_outcome().unwrap().1,
        Err(PublishError::Stopped)
    );
}

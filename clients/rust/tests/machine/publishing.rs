//! Publications: order, bounds, and what is known of each.

use corewire_client::Data;
use corewire_client::machine::{Guarantee, Machine, Options, Publish, PublishError, Status, Stop};
use corewire_protocol::native::{Dialect, ErrorCode, ErrorReply, GoAway, Limits, Push};

use crate::world::World;

fn publish(number: usize, guarantee: Guarantee) -> Publish {
    Publish {
        guarantee,
        ..Publish::new("a", Data::from(format!("{number:03}").as_str()))
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

/// Three publications with these guarantees, in flight when the connection is cut: before the
/// server reads them, or after it.
fn cut_in_flight(world: &mut World, served: bool, guarantees: [Guarantee; 3]) {
    let link = world.connect();
    for (number, guarantee) in guarantees.into_iter().enumerate() {
        let publish = publish(number, guarantee);
        world.machine.publish(publish, world.now_ms).unwrap();
    }
    world.transmit();
    if served {
        while world.serve_one(link) {}
    }
    world.cut(link);
    assert_eq!(world.machine.next_outcome(), None);
    let last = publish(3, Guarantee::AtMostOnce);
    world.machine.publish(last, world.now_ms).unwrap();
    world.wait();
    world.connect();
}

fn outcomes(world: &mut World) -> Vec<Result<u64, PublishError>> {
    let outcomes = std::iter::from_fn(|| world.machine.next_outcome());
    outcomes
        .map(|(_, outcome)| outcome.map(|position| position.offset))
        .collect()
}

// USERS 13: what was in flight is published once, and its outcome is known.
#[test]
fn what_was_in_flight_is_published_once_in_the_same_session() {
    for served in [false, true] {
        let mut world = world(Options::new("ws://a/ws"));
        let guarantees = [
            Guarantee::AtLeastOnce,
            Guarantee::AtMostOnce,
            Guarantee::AtLeastOnce,
        ];
        cut_in_flight(&mut world, served, guarantees);
        assert_eq!(log(&world), ["000", "001", "002", "003"]);
        assert_eq!(outcomes(&mut world), [Ok(1), Ok(2), Ok(3), Ok(4)]);
        // A repetition has the number of the first time.
        let asked = world.asked.iter();
        let of_one = asked
            .filter(|(_, _, what)| what.contains("Publish") && what.contains("pseq: Some(2)"))
            .count();
        assert_eq!(of_one, 1 + usize::from(served), "{:?}", world.asked);
    }
}

#[test]
fn in_another_session_what_was_in_flight_is_uncertain_or_has_a_key_of_its_own() {
    for served in [false, true] {
        let mut world = world(Options::new("ws://a/ws"));
        world.honours_tickets = false;
        let guarantees = [
            Guarantee::AtLeastOnce,
            Guarantee::AtMostOnce,
            Guarantee::AtLeastOnce,
        ];
        cut_in_flight(&mut world, served, guarantees);
        if served {
            assert_eq!(log(&world), ["000", "001", "002", "003"]);
        } else {
            assert_eq!(log(&world), ["000", "002", "003"]);
        }
        let outcomes = outcomes(&mut world);
        assert_eq!(outcomes.len(), 4);
        assert_eq!(outcomes[0], Err(PublishError::Uncertain), "the second");
        assert!(outcomes[1..].iter().all(Result::is_ok), "{outcomes:?}");
    }
}

// The number of one that is refused is free, so the server refuses those behind it, too.
#[test]
fn one_that_is_refused_does_not_take_those_behind_it_along() {
    for refused in 0..4 {
        let mut world = world(Options::new("ws://a/ws"));
        world.connect();
        let limited = ErrorReply {
            code: ErrorCode::RateLimited,
            text: "too many".into(),
            retry_ms: Some(10),
        };
        world.refuse_publish = (0..4)
            .map(|number| (number == refused).then(|| limited.clone()))
            .collect();
        for number in 0..6 {
            let publish = publish(number, Guarantee::AtMostOnce);
            world.machine.publish(publish, world.now_ms).unwrap();
        }
        world.flow();
        let expected = (0..6).filter(|number| *number != refused);
        let expected: Vec<_> = expected.map(|number| format!("{number:03}")).collect();
        assert_eq!(log(&world), expected);
        let outcomes = outcomes(&mut world);
        let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        assert_eq!((outcomes.len(), failed), (6, 1), "{outcomes:?}");
    }
}

// The server has lost its memory and begun with another number, so it refuses all that have one.
// What is said again without is not overtaken by what waits.
#[test]
fn those_that_are_refused_for_their_numbers_keep_their_order() {
    for guarantee in [Guarantee::AtMostOnce, Guarantee::AtLeastOnce] {
        let mut world = world(Options::new("ws://a/ws"));
        world.limits = Limits {
            unanswered: 4,
            ..world.limits
        };
        let first = world.connect();
        let add = |world: &mut World, number| {
            let publish = publish(number, guarantee);
            world.machine.publish(publish, world.now_ms).unwrap();
        };
        (0..2).for_each(|number| add(&mut world, number));
        world.transmit();
        world.cut(first);
        (2..8).for_each(|number| add(&mut world, number));
        world.wait();
        let second = world.open().unwrap();
        world.transmit();
        world.serve_one(second);
        world.deliver_one(second);
        let bad = ErrorReply {
            code: ErrorCode::BadRequest,
            text: "pub.pseq: another one is expected".into(),
            retry_ms: None,
        };
        world.refuse_publish = vec![Some(bad); 4].into();
        world.transmit();
        while world.serve_one(second) || world.deliver_one(second) {
            world.transmit();
        }
        let (uncertain, expected) = match guarantee {
            Guarantee::AtMostOnce => (2, 2..8),
            Guarantee::AtLeastOnce => (0, 0..8),
        };
        let expected: Vec<_> = expected.map(|number| format!("{number:03}")).collect();
        assert_eq!(log(&world), expected);
        let outcomes = outcomes(&mut world);
        let failed = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        let failed: Vec<_> = failed.collect();
        assert_eq!(failed, vec![&PublishError::Uncertain; uncertain]);
        assert_eq!(outcomes.len(), 8);
    }
}

// Its number is taken: the next message must not have it, or it would be taken for this one.
#[test]
fn what_a_part_of_the_server_took_that_lost_its_memory_keeps_its_number() {
    for guarantee in [Guarantee::AtMostOnce, Guarantee::AtLeastOnce] {
        for lost in 1..=4 {
            let mut world = world(Options::new("ws://a/ws"));
            world.connect();
            let unavailable = ErrorReply {
                code: ErrorCode::Unavailable,
                text: "a part of the server has restarted".into(),
                retry_ms: Some(0),
            };
            world.refuse_publish = (0..4)
                .map(|number| (number >= 4 - lost).then(|| unavailable.clone()))
                .collect();
            for numbers in [0..4, 4..6] {
                for number in numbers {
                    let publish = publish(number, guarantee);
                    world.machine.publish(publish, world.now_ms).unwrap();
                }
                world.flow();
            }
            assert_eq!(log(&world), ["000", "001", "002", "003", "004", "005"]);
            let outcomes = outcomes(&mut world);
            let uncertain = Err(PublishError::Uncertain);
            let uncertain = outcomes.iter().filter(|outcome| **outcome == uncertain);
            let expected = match guarantee {
                Guarantee::AtMostOnce => lost,
                Guarantee::AtLeastOnce => 0,
            };
            assert_eq!(uncertain.count(), expected, "{guarantee:?}: {outcomes:?}");
            let mut offsets: Vec<_> = outcomes.iter().flatten().collect();
            offsets.sort_unstable();
            offsets.dedup();
            assert_eq!(offsets.len(), 6 - expected, "{guarantee:?}: {outcomes:?}");
        }
    }
}

#[test]
fn what_the_old_connection_is_fenced_from_goes_over_the_new_one() {
    let mut world = world(Options::new("ws://a/ws"));
    let first = world.connect();
    let away = GoAway {
        deadline_ms: 10_000,
        spread_ms: 0,
        url: None,
    };
    world.push(first, &Push::GoAway(away));
    world.flow();
    for number in 0..3 {
        let publish = publish(number, Guarantee::AtMostOnce);
        world.machine.publish(publish, world.now_ms).unwrap();
    }
    world.transmit();
    let second = world.open().unwrap();
    world.transmit();
    world.serve_one(second);
    let fenced = ErrorReply {
        code: ErrorCode::Conflict,
        text: "an older incarnation".into(),
        retry_ms: None,
    };
    world.refuse_publish = vec![Some(fenced); 3].into();
    world.flow();
    assert_eq!(log(&world), ["000", "001", "002"]);
    assert_eq!(outcomes(&mut world), [Ok(1), Ok(2), Ok(3)]);
}

#[test]
fn what_stands_beside_the_data_is_checked_here() {
    let mut world = world(Options::new("ws://a/ws"));
    let plain = || publish(0, Guarantee::AtMostOnce);
    let tags = |count: usize| {
        let tags = (0..count).map(|tag| (format!("t{tag}").into(), "".into()));
        tags.collect()
    };
    for bad in [
        Publish {
            idem: Some("".into()),
            ..plain()
        },
        Publish {
            idem: Some("x".repeat(65).into()),
            ..plain()
        },
        Publish {
            ttl_ms: Some(0),
            ..plain()
        },
        Publish {
            tags: tags(17),
            ..plain()
        },
        Publish {
            tags: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
            ..plain()
        },
        Publish {
            tags: vec![("".into(), "1".into())],
            ..plain()
        },
    ] {
        let outcome = world.machine.publish(bad.clone(), 0);
        assert!(matches!(outcome, Err(PublishError::Beside(_))), "{bad:?}");
    }
    let all = Publish {
        idem: Some("x".repeat(64).into()),
        ttl_ms: Some(1),
        tags: tags(16),
        ..plain()
    };
    world.machine.publish(all, world.now_ms).unwrap();
    world.connect();
    assert_eq!(outcomes(&mut world), [Ok(1)]);
    let (_, _, said) = world.asked.last().unwrap();
    for word in ["idem: Some(\"xxx", "ttl_ms: Some(1)", "(\"t15\", \"\")"] {
        assert!(said.contains(word), "{said}");
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

/// The server closes for the size of one that it was told it would take: a proxy before it takes less,
/// or it inflates to too much. That one is refused to its caller, and nothing else is lost.
#[test]
fn one_that_closes_the_connection_is_refused_and_the_others_go_on() {
    for oversize in 0..6 {
        let mut world = world(Options::new("ws://a/ws"));
        world.connect();
        let first = publish(9, Guarantee::AtMostOnce);
        world.machine.publish(first, world.now_ms).unwrap();
        world.flow();
        world.message_bytes_max = 70_000;
        for number in 0..6 {
            let mut publish = publish(number, Guarantee::AtMostOnce);
            if number == oversize {
                publish.data = Data::from(vec![b'x'; 70_000]);
            }
            world.machine.publish(publish, world.now_ms).unwrap();
        }
        world.flow();
        while !matches!(world.machine.status(), Status::Connected(_)) {
            world.wait();
            world.connect();
        }
        assert!(world.opened.len() <= 3, "{:?}", world.opened);
        let expected = (0..6).filter(|number| *number != oversize);
        let expected: Vec<_> = expected.map(|number| format!("{number:03}")).collect();
        assert_eq!(log(&world)[1..], expected);
        let outcomes = outcomes(&mut world);
        let failed: Vec<_> = outcomes
            .iter()
            .filter_map(|outcome| outcome.as_ref().err())
            .collect();
        assert_eq!(outcomes.len(), 7);
        let [PublishError::Refused { code, text, .. }] = failed[..] else {
            panic!("{oversize}: {failed:?}");
        };
        assert_eq!(*code, ErrorCode::TooLarge);
        assert!(text.contains("1009") && text.contains("because"), "{text}");
    }
}

#[test]
fn what_was_refused_behind_a_free_number_before_a_cut_is_published() {
    let mut world = world(Options::new("ws://a/ws"));
    let link = world.connect();
    world
        .machine
        .publish(publish(9, Guarantee::AtMostOnce), world.now_ms)
        .unwrap();
    world.flow();
    let forbidden = ErrorReply {
        code: ErrorCode::Forbidden,
        text: "not this one".into(),
        retry_ms: None,
    };
    world.refuse_publish = [Some(forbidden)].into();
    for number in 0..3 {
        let publish = publish(number, Guarantee::AtMostOnce);
        world.machine.publish(publish, world.now_ms).unwrap();
    }
    world.transmit();
    while world.serve_one(link) {}
    // The refusal arrives; those of the others are lost with the connection.
    assert!(world.deliver_one(link));
    world.cut(link);
    world.wait();
    world.connect();
    assert_eq!(log(&world), ["009", "001", "002"]);
    let failed = outcomes(&mut world).into_iter().filter(Result::is_err);
    assert_eq!(failed.count(), 1);
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

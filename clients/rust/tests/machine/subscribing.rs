//! Subscriptions: what is told, what credit does, what survives a connection.

use corewire_client::machine::{
    Event, Gap, GapCause, Machine, Options, Position, Publish, Start, Subscribe, SubscribeError,
    SubscriptionId, Unsubscribed, Window,
};
use corewire_protocol::native::{
    self, Cause, Dialect, ErrorCode, ErrorReply, GoAway, Push, TopicAlias, Unsubbed,
};

use crate::history::History;
use crate::world::{Keeps, World, bytes};

fn world(window: Window) -> World {
    let options = Options {
        window,
        ..Options::new("ws://a/ws")
    };
    World::new(Machine::new(options, 7), Dialect::Json)
}

fn subscribe(world: &mut World, subject: &str) -> SubscriptionId {
    let subscribe = Subscribe::to(subject);
    world.machine.subscribe(subscribe).unwrap()
}

fn events(world: &mut World, id: SubscriptionId) -> Vec<Event> {
    std::iter::from_fn(|| {
        let event = world.machine.next_event(id);
        world.flow();
        event
    })
    .collect()
}

/// Offsets of messages, with what else there is in words.
fn told(world: &mut World, id: SubscriptionId) -> String {
    let events = events(world, id);
    let words = events.iter().map(|event| match event {
        Event::Subscribed(_) => "subscribed".to_owned(),
        Event::Message(message) => message.position.offset.to_string(),
        Event::Gap(gap) => {
            let kept = if gap.in_history { " kept" } else { "" };
            format!("gap({}-{} {}{kept})", gap.from, gap.to, gap.cause.name())
        }
        Event::Conflated(conflated) => format!("conflated({})", conflated.count),
        Event::Reset(reset) => format!("reset({})", reset.cause.name()),
        Event::Unsubscribed(_) => "unsubscribed".to_owned(),
        _ => unreachable!(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn subscriptions_from_before_a_connection_come_with_its_hello() {
    let mut world = world(Window::default());
    let one = subscribe(&mut world, "a");
    let all = subscribe(&mut world, ">");
    world.connect();
    assert!(
        world
            .asked
            .iter()
            .all(|(_, _, what)| !what.starts_with("Subscribe"))
    );
    world.publish("a", b"1");
    world.publish("b", b"1");
    world.flow();
    assert_eq!(told(&mut world, one), "subscribed 1");
    assert_eq!(told(&mut world, all), "subscribed 1 1");
    let late = subscribe(&mut world, "b");
    world.flow();
    world.publish("b", b"2");
    world.flow();
    assert_eq!(told(&mut world, late), "subscribed 2");
    assert_eq!(told(&mut world, all), "2");
}

#[test]
fn ten_thousand_subscriptions_come_back_in_messages_of_bounded_size() {
    for dialect in [Dialect::Json, Dialect::Binary] {
        let machine = Machine::new(Options::new("ws://a/ws"), 7);
        let mut world = World::new(machine, dialect);
        let ids: Vec<_> = (0..10_000)
            .map(|number| subscribe(&mut world, &format!("a-rather-long-name.{number}")))
            .collect();
        let one_more = Subscribe::to("x");
        assert_eq!(
            world.machine.subscribe(one_more),
            Err(SubscribeError::TooMany(10_000))
        );
        let link = world.open().unwrap();
        world.transmit();
        let sizes = |world: &World| -> Vec<_> {
            world.conns[&link].to_server.iter().map(Vec::len).collect()
        };
        assert!(sizes(&world)[0] <= 64 << 10, "{:?}", sizes(&world));
        assert!(sizes(&world)[1..].iter().all(|bytes| *bytes <= 16 << 10));
        world.flow();
        assert_eq!(world.conns[&link].subs.len(), 10_000);
        assert_eq!(
            world
                .machine
                .next_event(ids[9999])
                .map(|event| { matches!(event, Event::Subscribed(_)) }),
            Some(true)
        );
    }
}

// USERS 14, 28: nothing that the server still has is missing after a cut, nor comes twice.
#[test]
fn a_topic_goes_on_where_it_was() {
    let mut world = world(Window::default());
    let id = subscribe(&mut world, "a");
    let link = world.connect();
    world.publish("a", b"1");
    world.flow();
    world.cut(link);
    world.wait();
    let link = world.connect();
    world.publish("a", b"2");
    world.flow();
    assert_eq!(told(&mut world, id), "subscribed 1 2");
    world.publish("a", b"3");
    world.cut(link);
    world.publish("a", b"4");
    world.wait();
    let link = world.open().unwrap();
    world.transmit();
    // The connection ends again before the past has come.
    world.serve_one(link);
    world.deliver_one(link);
    world.cut(link);
    world.wait();
    world.connect();
    world.publish("a", b"5");
    world.flow();
    assert_eq!(told(&mut world, id), "3 4 5");
    world.restart();
    world.publish("a", b"1");
    world.wait();
    // That nothing is known is told, also if the first to say so does not get through.
    let link = world.open().unwrap();
    world.transmit();
    world.serve_one(link);
    world.deliver_one(link);
    world.cut(link);
    world.wait();
    world.connect();
    world.publish("a", b"2");
    world.flow();
    assert_eq!(told(&mut world, id), "reset(node) 2");
}

#[test]
fn a_pattern_goes_on_where_it_was_in_all_of_its_topics() {
    for told_positions in [false, true] {
        let mut world = world(Window::default());
        let id = subscribe(&mut world, "b.>");
        let link = world.connect();
        assert_eq!(told(&mut world, id), "subscribed");
        world.publish("b.x", b"1");
        world.publish("b.y", b"1");
        world.flow();
        if told_positions {
            world.tell_positions(link);
        }
        world.publish("b.x", b"2");
        world.flow();
        assert_eq!(told(&mut world, id), "1 1 2");
        world.cut(link);
        world.publish("b.x", b"3");
        world.publish("b.new", b"1");
        world.wait();
        let link = world.connect();
        world.publish("b.y", b"2");
        world.flow();
        assert_eq!(told(&mut world, id), "1 3 2");
        // What was told is not sent again by a server that knows the position.
        let seen: u64 = if told_positions { 1 } else { 2 };
        let asked = world.asked.iter().rev();
        let mut hello = asked.filter(|(_, _, what)| what.starts_with("Hello"));
        let (_, _, hello) = hello.next().unwrap();
        assert_eq!(hello.matches("Seen {").count() as u64, seen, "{hello}");
        world.cut(link);
        world.restart();
        world.publish("b.x", b"1");
        world.wait();
        world.connect();
        world.publish("b.x", b"2");
        world.flow();
        assert_eq!(told(&mut world, id), "reset(node) reset(epoch) 2");
    }
}

#[test]
fn a_server_that_cannot_go_on_tells_what_is_missing_as_far_as_that_is_known() {
    let mut world = world(Window::default());
    world.honours_positions = false;
    let topic = subscribe(&mut world, "a");
    let pattern = subscribe(&mut world, "b.>");
    let link = world.connect();
    world.publish("a", b"1");
    world.publish("b.x", b"1");
    world.flow();
    world.cut(link);
    world.publish("a", b"2");
    world.publish("a", b"3");
    world.publish("b.x", b"2");
    world.publish("b.y", b"1");
    world.wait();
    world.connect();
    world.publish("a", b"4");
    world.publish("b.x", b"3");
    world.publish("b.y", b"2");
    world.flow();
    assert_eq!(told(&mut world, topic), "subscribed 1 gap(2-3 away) 4");
    let events = told(&mut world, pattern);
    assert_eq!(events, "subscribed 1 reset(away) gap(2-2 away) 3 2");
}

#[test]
fn a_subscription_begins_where_the_application_wants_it() {
    let mut world = world(Window::default());
    for number in 0..5 {
        world.publish("a", &[number]);
        world.publish("b.x", &[number]);
    }
    world.connect();
    let mut begin = |subject: &str, from: Start| {
        let subscribe = Subscribe {
            from,
            ..Subscribe::to(subject)
        };
        let id = world.machine.subscribe(subscribe)?;
        world.flow();
        let told = told(&mut world, id);
        world.machine.unsubscribe(id);
        world.flow();
        Ok(told)
    };
    let after = |epoch: &str, offset| {
        Start::After(Position {
            epoch: epoch.into(),
            offset,
        })
    };
    assert_eq!(begin("a", Start::Now), Ok("subscribed".to_owned()));
    assert_eq!(begin("a", Start::Last(2)), Ok("subscribed 4 5".to_owned()));
    assert_eq!(begin("b.>", Start::Last(1)), Ok("subscribed 5".to_owned()));
    assert_eq!(begin("a", after("e1", 3)), Ok("subscribed 4 5".to_owned()));
    assert_eq!(
        begin("a", after("e0", 3)),
        Ok("subscribed reset(node)".to_owned())
    );
    assert_eq!(
        begin("b.>", after("e1", 3)),
        Err(SubscribeError::PositionOfPattern)
    );
    // A position that nothing has had yet does not keep anything back.
    assert_eq!(
        begin("a", after("e1", 300)),
        Ok("subscribed reset(node)".to_owned())
    );
    let subscribe = Subscribe {
        from: after("e1", 300),
        ..Subscribe::to("a")
    };
    let id = world.machine.subscribe(subscribe).unwrap();
    world.flow();
    world.publish("a", b"6");
    world.flow();
    assert_eq!(told(&mut world, id), "subscribed reset(node) 6");
}

// USERS 23, 29, 30: who does not take messages gets no more of them, and holds nobody else up.
#[test]
fn a_reader_that_stops_holds_back_its_topic_and_no_other() {
    let window = Window {
        topic_messages: 8,
        messages: 64,
        bytes: 1 << 20,
    };
    let mut world = world(window);
    let slow = subscribe(&mut world, "slow");
    let quick = subscribe(&mut world, "quick");
    let link = world.connect();
    for number in 0..1000 {
        world.publish("slow", b"x");
        world.publish("quick", b"x");
        world.flow();
        let expected = if number == 0 { 2 } else { 1 };
        assert_eq!(events(&mut world, quick).len(), expected);
    }
    assert_eq!(world.conns[&link].said["slow"].sent, 8);
    assert_eq!(world.conns[&link].said["quick"].sent, 1000);
    let mut history = History::new(1, "slow");
    for event in events(&mut world, slow) {
        history.take(&event, &world);
    }
    assert_eq!((history.messages, history.missing), (1000, 0));
}

#[test]
fn all_topics_of_a_pattern_together_stay_within_the_window() {
    let window = Window {
        topic_messages: 8,
        messages: 20,
        bytes: 1 << 20,
    };
    let mut world = world(window);
    let id = subscribe(&mut world, ">");
    let link = world.connect();
    for round in 0..10 {
        for topic in 0..10 {
            world.publish(&format!("t{topic}"), &[round]);
        }
        world.flow();
    }
    assert_eq!(world.conns[&link].sent, 20);
    // What waits across a cut counts, too.
    world.cut(link);
    world.wait();
    let link = world.connect();
    world.publish("t0", b"x");
    world.flow();
    assert_eq!(world.conns[&link].sent, 0);
    let mut history = History::new(1, ">");
    for event in events(&mut world, id) {
        history.take(&event, &world);
    }
    assert_eq!((history.messages, history.missing), (101, 0));
}

// It is all that there is, for as long as the next one does not come about.
#[test]
fn a_departing_connection_has_its_credit_renewed_by_what_came_before_it() {
    let window = Window {
        topic_messages: 8,
        messages: 8,
        bytes: 1 << 20,
    };
    let mut world = world(window);
    let id = subscribe(&mut world, "a");
    let first = world.connect();
    for _ in 0..16 {
        world.publish("a", b"x");
    }
    world.flow();
    world.cut(first);
    world.wait();
    let departing = world.connect();
    let away = GoAway {
        deadline_ms: 20_000,
        spread_ms: 0,
        url: None,
    };
    world.push(departing, &Push::GoAway(away));
    world.flow();
    world.refuse();
    let upto: Vec<_> = (1..=16).map(|at: u32| at.to_string()).collect();
    let expected = format!("subscribed {}", upto.join(" "));
    assert_eq!(told(&mut world, id), expected);
}

#[test]
fn a_server_without_respect_for_credit_costs_no_more_memory_than_stated() {
    let window = Window {
        topic_messages: 4,
        messages: 16,
        bytes: 1 << 20,
    };
    let mut world = world(window);
    let id = subscribe(&mut world, "a");
    let link = world.connect();
    world.publish("a", b"first");
    world.flow();
    for offset in 2..1000 {
        let message = native::Message {
            t: world.topics["a"].t,
            offset,
            data: native::Data::Text("x".into()),
            time_ms: 1,
            key: None,
            tags: Vec::new(),
            publisher: native::Publisher {
                user: "u".into(),
                conn: "c".into(),
                pseq: None,
            },
        };
        world.push(link, &Push::Message(message));
    }
    world.flow();
    let told = told(&mut world, id);
    let expected: Vec<_> = (1..=32).map(|offset: u32| offset.to_string()).collect();
    assert_eq!(
        told,
        format!("subscribed {} reset(overflow)", expected.join(" "))
    );
}

#[test]
fn what_the_server_leaves_out_without_a_word_is_told_all_the_same() {
    let mut world = world(Window::default());
    let id = subscribe(&mut world, "a");
    let link = world.connect();
    let t = world.topics["a"].t;
    let gap = |from, to, repair| {
        let cause = Cause::Slow;
        Push::Gap(native::Gap {
            t,
            from,
            to,
            cause,
            repair,
        })
    };
    let (none, kept) = (native::Repair::None, native::Repair::History);
    let message = |offset| native::Message {
        t,
        offset,
        data: native::Data::Json("1".into()),
        time_ms: 1,
        key: None,
        tags: Vec::new(),
        publisher: native::Publisher {
            user: "u".into(),
            conn: "c".into(),
            pseq: None,
        },
    };
    for push in [
        Push::Message(message(1)),
        Push::Message(message(1)),
        Push::Message(message(3)),
        gap(2, 3, none),
        gap(4, 5, none),
        gap(6, 7, none),
        gap(10, 10, kept),
        gap(11, 11, kept),
        gap(12, 12, none),
        Push::Position(native::Position::Topic { t, offset: 13 }),
        Push::Message(message(14)),
    ] {
        world.push(link, &push);
    }
    world.flow();
    assert_eq!(
        told(&mut world, id),
        "subscribed 1 gap(2-2 unexplained) 3 gap(4-7 slow) gap(8-9 unexplained) \
         gap(10-11 slow kept) gap(12-12 slow) 14"
    );
}

#[test]
fn an_alias_that_was_not_announced_breaks_the_connection() {
    let mut world = world(Window::default());
    subscribe(&mut world, "a");
    let link = world.connect();
    let gap = native::Gap {
        t: 999,
        from: 1,
        to: 1,
        cause: Cause::Slow,
        repair: native::Repair::None,
    };
    world.push(link, &Push::Gap(gap));
    world.flow();
    assert!(!world.conns.contains_key(&link));
}

#[test]
fn a_refused_subscription_ends_or_is_asked_for_again() {
    let mut world = world(Window::default());
    let refusal = |code, retry_ms| ErrorReply {
        code,
        text: "no".into(),
        retry_ms,
    };
    world.refuse_subscribe = Some(refusal(ErrorCode::Forbidden, None));
    let id = subscribe(&mut world, "a");
    world.connect();
    let events = events(&mut world, id);
    assert!(matches!(
        &events[..],
        [Event::Unsubscribed(Unsubscribed::Refused {
            code: ErrorCode::Forbidden,
            ..
        })]
    ));
    world.refuse_subscribe = Some(refusal(ErrorCode::Unavailable, Some(2000)));
    let id = subscribe(&mut world, "a");
    world.flow();
    assert_eq!(told(&mut world, id), "");
    world.refuse_subscribe = None;
    assert!((2000..=3000).contains(&world.wait()));
    world.flow();
    assert_eq!(told(&mut world, id), "subscribed");
    let link = *world.conns.keys().next().unwrap();
    let unsubbed = Unsubbed {
        s: 2,
        code: ErrorCode::Forbidden,
        retry_ms: None,
    };
    world.push(link, &Push::Unsubbed(unsubbed));
    world.flow();
    assert_eq!(told(&mut world, id), "unsubscribed");
}

#[test]
fn who_leaves_gets_nothing_more_and_gives_its_credit_back() {
    let window = Window {
        topic_messages: 4,
        messages: 7,
        bytes: 1 << 20,
    };
    let mut world = world(window);
    let one = subscribe(&mut world, "a");
    let other = subscribe(&mut world, "b");
    let link = world.connect();
    for _ in 0..4 {
        world.publish("a", b"x");
        world.publish("b", b"x");
    }
    world.flow();
    world.machine.unsubscribe(one);
    world.flow();
    assert!(!world.conns[&link].subs.contains_key(&1));
    assert_eq!(world.machine.next_event(one), None);
    let credit = world.conns[&link].credit.unwrap();
    assert!(credit >= 11, "{credit}");
    assert_eq!(events(&mut world, other).len(), 5);
}

#[test]
fn a_departure_is_seamless_however_far_the_two_connections_are_apart() {
    // Messages that the old connection still has to bring when the new one takes over.
    for behind in 0..6 {
        // And those that come over both.
        for both in 0..4 {
            let mut world = world(Window::default());
            let exact = subscribe(&mut world, "a");
            let pattern = subscribe(&mut world, "b.>");
            let first = world.connect();
            world.publish("a", b"1");
            world.publish("b.x", b"1");
            world.flow();
            let away = GoAway {
                deadline_ms: 20_000,
                spread_ms: 0,
                url: None,
            };
            world.push(first, &Push::GoAway(away));
            world.flow();
            for _ in 0..behind {
                world.publish("a", b"x");
                world.publish("b.x", b"x");
                world.publish("b.new", b"x");
            }
            // With no spread it departs at once.
            let second = world.open().unwrap();
            world.transmit();
            while world.serve_one(second) {}
            for _ in 0..both {
                world.publish("a", b"x");
                world.publish("b.x", b"x");
                world.publish("b.new", b"x");
            }
            // The new connection is quicker.
            while world.deliver_one(second) {}
            world.flow();
            while world.conns.contains_key(&first) {
                world.wait();
                world.flow();
            }
            world.publish("a", b"x");
            world.publish("b.x", b"x");
            world.flow();
            let upto: Vec<_> = (1..=2 + behind + both)
                .map(|at: u32| at.to_string())
                .collect();
            assert_eq!(
                told(&mut world, exact),
                format!("subscribed {}", upto.join(" "))
            );
            let mut history = History::new(2, "b.>");
            for event in events(&mut world, pattern) {
                history.take(&event, &world);
            }
            history.is_complete(&world).unwrap();
            assert_eq!((history.missing, history.resets), (0, 0), "{behind} {both}");
        }
    }
}

// The next connection begins where the server can, with a reset; the one before has brought more.
#[test]
fn a_departure_sets_no_position_back_where_nothing_is_kept() {
    for behind in 1..4 {
        for both in 0..4 {
            for next_is_quicker in [false, true] {
                let mut world = world(Window::default());
                world.keeps = Keeps::Nothing;
                let id = subscribe(&mut world, "a");
                let first = world.connect();
                world.publish("a", b"1");
                world.flow();
                let away = GoAway {
                    deadline_ms: 20_000,
                    spread_ms: 0,
                    url: None,
                };
                world.push(first, &Push::GoAway(away));
                world.flow();
                let second = world.open().unwrap();
                world.transmit();
                for _ in 0..behind {
                    world.publish("a", b"x");
                }
                while world.serve_one(second) {}
                for _ in 0..both {
                    world.publish("a", b"x");
                }
                let order = match next_is_quicker {
                    true => [second, first],
                    false => [first, second],
                };
                for link in order {
                    while world.deliver_one(link) {}
                }
                world.flow();
                world.publish("a", b"x");
                world.flow();
                let upto = |from: u32| {
                    let all: Vec<_> = (from..=2 + behind + both)
                        .map(|at: u32| at.to_string())
                        .collect();
                    all.join(" ")
                };
                let expected = match next_is_quicker {
                    true => format!("subscribed 1 reset(node) {}", upto(2 + behind)),
                    false => format!("subscribed {}", upto(1)),
                };
                assert_eq!(told(&mut world, id), expected, "{behind} {both}");
            }
        }
    }
}

// A core has lost its memory twice, and the connection that is being replaced is behind: of which of the
// two epochs is the newer one it knows nothing.
#[test]
fn a_departing_connection_does_not_bring_an_old_epoch_back() {
    let mut world = world(Window::default());
    let id = subscribe(&mut world, "a");
    let first = world.connect();
    world.publish("a", b"1");
    world.flow();
    let away = GoAway {
        deadline_ms: 20_000,
        spread_ms: 0,
        url: None,
    };
    world.push(first, &Push::GoAway(away));
    world.flow();
    let second = world.connect();
    let reset = |t, epoch: &'static str, offset| {
        let (topic, s) = ("a".into(), vec![1]);
        let announcement = TopicAlias {
            t,
            topic,
            s,
            epoch: epoch.into(),
            offset,
        };
        let reset = native::Reset::Topic {
            t,
            epoch: epoch.into(),
            offset,
            cause: Cause::Node,
        };
        [Push::Topic(announcement), Push::Reset(reset)]
    };
    for (link, t, epoch, offset) in [
        (second, 72, "two", 0),
        (first, 71, "one", 5),
        (first, 72, "two", 0),
        (second, 72, "two", 3),
    ] {
        for push in reset(t, epoch, offset) {
            world.push(link, &push);
        }
        while world.deliver_one(link) {}
    }
    assert_eq!(
        told(&mut world, id),
        "subscribed 1 reset(epoch) gap(1-3 away)"
    );
}

// A topic that has appeared while the client was away.
#[test]
fn a_departing_connection_that_begins_behind_the_next_one_is_no_gap() {
    let mut world = world(Window::default());
    let id = subscribe(&mut world, "b.>");
    let first = world.connect();
    let away = GoAway {
        deadline_ms: 20_000,
        spread_ms: 0,
        url: None,
    };
    world.push(first, &Push::GoAway(away));
    // It stays as long as this is not answered.
    let publish = Publish::new("a", bytes("x"));
    world.machine.publish(publish, world.now_ms).unwrap();
    world.transmit();
    while world.deliver_one(first) {}
    let second = world.open().unwrap();
    world.transmit();
    while world.serve_one(second) {}
    while world.deliver_one(second) {}
    let announced = |offset| {
        Push::Topic(TopicAlias {
            t: 71,
            topic: "b.x".into(),
            s: vec![1],
            epoch: "e1".into(),
            offset,
        })
    };
    let message = |o| {
        Push::Message(native::Message {
            t: 71,
            offset: o,
            data: native::Data::Bytes(o.to_string().into_bytes().into()),
            time_ms: 1,
            key: None,
            tags: Vec::new(),
            publisher: native::Publisher {
                user: "u".into(),
                conn: "c".into(),
                pseq: None,
            },
        })
    };
    // The next connection begins earlier, and is slower.
    for (link, push) in [
        (second, announced(0)),
        (first, announced(1)),
        (first, message(2)),
        (second, message(1)),
        (first, message(3)),
        (second, message(2)),
        (second, message(3)),
    ] {
        world.push(link, &push);
        while world.deliver_one(link) {}
    }
    assert_eq!(told(&mut world, id), "subscribed 1 2 3");
}

#[test]
fn a_reset_to_where_a_topic_was_announced_is_told() {
    let mut world = world(Window::default());
    let id = subscribe(&mut world, "b.>");
    let link = world.connect();
    let announcement = TopicAlias {
        t: 77,
        topic: "b.new".into(),
        s: vec![1],
        epoch: "e".into(),
        offset: 3,
    };
    let reset = native::Reset::Topic {
        t: 77,
        epoch: "e".into(),
        offset: 3,
        cause: Cause::Retention,
    };
    world.push(link, &Push::Topic(announcement));
    world.push(link, &Push::Reset(reset.clone()));
    world.push(link, &Push::Reset(reset));
    world.flow();
    assert_eq!(told(&mut world, id), "subscribed reset(retention)");
}

#[test]
fn a_gap_counts_what_is_missing() {
    let gap = Gap {
        topic: "a".into(),
        from: 3,
        to: 5,
        cause: GapCause::Slow,
        in_history: true,
    };
    assert_eq!(gap.count(), 3);
}

//! Who is there and who types: what is known of it, and what this client says of itself.

use std::sync::Arc;

use corewire_client::machine::{
    Change, Machine, Options, Picture, SetState, Standing, StateError, StateId, Subscribe,
    SubscribeError, SubscriptionId,
};
use corewire_protocol::native::{Dialect, ErrorCode, ErrorReply, GoAway, PRESENCE, Presence, Push};
use proptest::prelude::*;

use crate::world::World;

const ROOM: &str = "chat.room1";
const TYPING: &str = "typing";
/// Time between two questions for all of a set.
const REPAIR_MS: u64 = 2000;

fn world() -> World {
    World::new(Machine::new(Options::new("ws://a/ws"), 7), Dialect::Json)
}

fn subscribe(world: &mut World, presence: Presence) -> SubscriptionId {
    let subscribe = Subscribe {
        presence: Some(presence),
        watch: vec![TYPING.into()],
        ..Subscribe::to(ROOM)
    };
    world.machine.subscribe(subscribe).unwrap()
}

fn look(world: &mut World, namespace: &str) -> StateId {
    let (topic, namespace) = (Arc::from(ROOM), Arc::from(namespace));
    world.machine.open_state(&topic, &namespace).unwrap()
}

fn picture(world: &World, id: StateId) -> &Picture {
    world.machine.picture(id).unwrap()
}

/// Keys, with values.
fn known(world: &World, id: StateId) -> String {
    let entries = picture(world, id).entries();
    let words = entries.map(|entry| match &entry.value {
        None => entry.key.to_string(),
        Some(value) => format!("{}={value}", entry.key),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn set(namespace: &str, value: Option<&str>) -> SetState {
    SetState {
        topic: ROOM.into(),
        namespace: namespace.into(),
        key: None,
        value: value.map(Into::into),
        ttl_ms: None,
    }
}

fn say(world: &mut World, state: SetState) {
    world.machine.set_state(state, world.now_ms).unwrap();
    world.flow();
}

/// Commands for state that were sent since this was asked last, in words.
fn asked(world: &mut World) -> Vec<String> {
    let asked = std::mem::take(&mut world.asked);
    let states = asked.into_iter().map(|(_, _, command)| command);
    states
        .filter(|command| command.starts_with("State("))
        .collect()
}

fn pages(world: &mut World) -> usize {
    let asked = asked(world);
    asked
        .iter()
        .filter(|command| command.contains("Page"))
        .count()
}

#[test]
fn who_is_there_comes_by_pages_and_stays_true_by_changes() {
    let mut world = world();
    for name in ["ann", "bob", "cyd"] {
        world.comes_silently(ROOM, PRESENCE, name, None);
    }
    let here = look(&mut world, PRESENCE);
    assert_eq!(picture(&world, here).standing(), Standing::Unwatched);
    subscribe(&mut world, Presence::Watch);
    world.connect();
    assert_eq!(picture(&world, here).standing(), Standing::Live);
    assert_eq!(known(&world, here), "ann bob cyd");
    assert_eq!(picture(&world, here).users(), Some(3));
    let before = world.machine.picture(here).unwrap().clone();
    world.comes(ROOM, PRESENCE, "dee", Some("\"hi\""));
    world.comes(ROOM, PRESENCE, "bob", Some("\"busy\""));
    world.leaves(ROOM, PRESENCE, "ann");
    world.flow();
    assert_eq!(known(&world, here), "bob=\"busy\" cyd dee=\"hi\"");
    let changes = picture(&world, here).since(&before);
    let words = changes.iter().map(|change| match change {
        Change::Came(entry) => format!("+{}", entry.user),
        Change::Changed(entry) => format!("*{}", entry.user),
        Change::Left(entry) => format!("-{}", entry.user),
    });
    assert_eq!(words.collect::<Vec<_>>(), ["-ann", "*bob", "+dee"]);
    // Two pages, once.
    assert_eq!(pages(&mut world), 2);
    // Who looks later shares what is known, and the last one takes it along.
    assert_eq!(look(&mut world, PRESENCE), here);
    world.machine.close_state(here);
    assert_eq!(known(&world, here), "bob=\"busy\" cyd dee=\"hi\"");
    world.machine.close_state(here);
    assert!(world.machine.picture(here).is_none());
}

#[test]
fn nobody_who_does_not_look_asks() {
    let mut world = world();
    world.comes_silently(ROOM, PRESENCE, "ann", None);
    subscribe(&mut world, Presence::Both);
    world.connect();
    world.comes(ROOM, PRESENCE, "bob", None);
    world.flow();
    assert_eq!(pages(&mut world), 0);
    // What was told meanwhile stands on the page.
    let here = look(&mut world, PRESENCE);
    assert_eq!(picture(&world, here).standing(), Standing::Loading);
    world.flow();
    assert_eq!(known(&world, here), "ann bob");
}

#[test]
fn what_is_missed_is_asked_for_and_not_too_often() {
    let mut world = world();
    let here = look(&mut world, PRESENCE);
    subscribe(&mut world, Presence::Watch);
    world.connect();
    world.comes_silently(ROOM, PRESENCE, "ann", None);
    world.comes(ROOM, PRESENCE, "bob", None);
    world.flow();
    assert_eq!(known(&world, here), "bob", "it was asked just now");
    assert_eq!(picture(&world, here).count(), 2);
    pages(&mut world);
    assert_eq!(world.wait(), REPAIR_MS);
    world.flow();
    assert_eq!(known(&world, here), "ann bob");
    assert_eq!(pages(&mut world), 1);
    // Much later it is asked at once.
    world.pass(REPAIR_MS);
    world.leaves_silently(ROOM, PRESENCE, "ann");
    world.tell(ROOM, PRESENCE, &[], &[]);
    world.flow();
    assert_eq!(known(&world, here), "bob");
    // What repairs itself by the next change is not asked for.
    pages(&mut world);
    world.leaves_silently(ROOM, PRESENCE, "bob");
    world.tell(ROOM, PRESENCE, &[], &[]);
    world.flow();
    world.tell(ROOM, PRESENCE, &[], &["bob"]);
    world.flow();
    world.pass(REPAIR_MS);
    world.flow();
    assert_eq!((&*known(&world, here), pages(&mut world)), ("", 0));
}

/// Whoever leaves between two pages, and of whom nothing is told.
#[test]
fn a_last_page_is_compared_with_its_own_digest() {
    let mut world = world();
    for name in ["ann", "bob", "cyd"] {
        world.comes_silently(ROOM, PRESENCE, name, None);
    }
    let here = look(&mut world, PRESENCE);
    subscribe(&mut world, Presence::Watch);
    let link = world.open().unwrap();
    while pages(&mut world) == 0 {
        world.transmit();
        world.serve_one(link);
        world.deliver_one(link);
    }
    world.leaves_silently(ROOM, PRESENCE, "ann");
    world.flow();
    assert_eq!(known(&world, here), "ann bob cyd");
    assert_eq!(picture(&world, here).count(), 2);
    world.wait();
    world.flow();
    assert_eq!(known(&world, here), "bob cyd");
}

#[test]
fn what_changes_between_two_pages_needs_no_further_question() {
    let mut world = world();
    for name in ["ann", "bob", "cyd"] {
        world.comes_silently(ROOM, PRESENCE, name, None);
    }
    let here = look(&mut world, PRESENCE);
    subscribe(&mut world, Presence::Watch);
    let link = world.open().unwrap();
    while world
        .asked
        .iter()
        .all(|(_, _, command)| !command.contains("Page"))
    {
        world.transmit();
        world.serve_one(link);
        world.deliver_one(link);
    }
    world.leaves(ROOM, PRESENCE, "ann");
    world.comes(ROOM, PRESENCE, "dee", None);
    world.flow();
    assert_eq!(known(&world, here), "bob cyd dee");
    world.pass(REPAIR_MS);
    world.flow();
    assert_eq!(pages(&mut world), 2);
}

#[test]
fn behind_another_alias_it_begins_anew() {
    let mut world = world();
    world.comes_silently(ROOM, PRESENCE, "ann", None);
    world.comes_silently(ROOM, PRESENCE, "bob", None);
    let here = look(&mut world, PRESENCE);
    subscribe(&mut world, Presence::Watch);
    let link = world.connect();
    world.begins_anew(link, ROOM, 1);
    world.comes_silently(ROOM, PRESENCE, "bob", None);
    world.tell(ROOM, PRESENCE, &[], &[]);
    world.deliver_one(link);
    world.deliver_one(link);
    assert_eq!(picture(&world, here).standing(), Standing::Stale);
    assert_eq!(
        known(&world, here),
        "ann bob",
        "as it was, until it is known"
    );
    world.flow();
    assert_eq!(picture(&world, here).standing(), Standing::Live);
    assert_eq!(known(&world, here), "bob");
}

#[test]
fn over_a_cut_presence_is_shown_and_what_is_ephemeral_fades() {
    let mut world = world();
    let (here, typing) = (look(&mut world, PRESENCE), look(&mut world, TYPING));
    let room = subscribe(&mut world, Presence::Watch);
    let link = world.connect();
    world.comes(ROOM, PRESENCE, "ann", None);
    world.comes(ROOM, TYPING, "ann", None);
    world.flow();
    world.cut(link);
    for id in [here, typing] {
        assert_eq!(picture(&world, id).standing(), Standing::Stale);
        assert_eq!(known(&world, id), "ann");
    }
    while !known(&world, typing).is_empty() {
        world.wait();
        if !world.opening.is_empty() {
            world.refuse();
        }
    }
    assert_eq!(world.now_ms, 11_000);
    assert_eq!(known(&world, here), "ann");
    world.wait();
    world.comes(ROOM, TYPING, "bob", None);
    world.connect();
    assert_eq!(picture(&world, here).standing(), Standing::Live);
    assert_eq!(known(&world, typing), "ann bob");
    // With the subscription what it brought is gone.
    world.machine.unsubscribe(room);
    world.flow();
    assert_eq!(picture(&world, here), &Picture::default());
}

#[test]
fn what_this_client_says_is_said_again_while_it_lasts() {
    let mut world = world();
    let room = subscribe(&mut world, Presence::Announce);
    // Before there is a connection.
    say(&mut world, set(PRESENCE, Some("\"busy\"")));
    let link = world.connect();
    let told = asked(&mut world);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("busy") && told[0].contains("ttl_ms: None"));
    say(
        &mut world,
        SetState {
            ttl_ms: Some(1000),
            ..set(TYPING, None)
        },
    );
    assert_eq!(asked(&mut world).len(), 1);
    // The same too early is not sent; later, or something else, is.
    say(
        &mut world,
        SetState {
            ttl_ms: Some(1000),
            ..set(TYPING, None)
        },
    );
    assert_eq!(asked(&mut world).len(), 0);
    world.pass(500);
    say(
        &mut world,
        SetState {
            ttl_ms: Some(1000),
            ..set(TYPING, None)
        },
    );
    assert_eq!(asked(&mut world).len(), 1);
    // On the next connection both are said, what is ephemeral with the rest of its time.
    world.pass(600);
    say(&mut world, set(TYPING, None));
    asked(&mut world);
    world.pass(100);
    world.cut(link);
    let waited_ms = world.wait();
    let link = world.connect();
    let told = asked(&mut world);
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("busy"));
    let rest_ms = 10_000 - 100 - waited_ms;
    assert!(told[1].contains(&format!("ttl_ms: Some({rest_ms})")));
    // What is over is not.
    world.pass(rest_ms);
    world.cut(link);
    world.wait();
    world.connect();
    assert_eq!(asked(&mut world).len(), 1);
    // Nor what was cleared, or is announced no longer.
    let (topic, namespace) = (Arc::from(ROOM), Arc::from(PRESENCE));
    world.machine.clear_state(&topic, &namespace, None);
    world.flow();
    let told = asked(&mut world);
    assert!(told.len() == 1 && told[0].contains("Delete"));
    say(&mut world, set(PRESENCE, Some("1")));
    world.machine.unsubscribe(room);
    world.flow();
    asked(&mut world);
    let link = *world.conns.keys().next().unwrap();
    world.cut(link);
    world.wait();
    world.connect();
    assert!(asked(&mut world).is_empty());
}

#[test]
fn the_newest_of_many_values_is_told() {
    let mut world = world();
    subscribe(&mut world, Presence::Announce);
    world.connect();
    for value in 0..100 {
        let text = value.to_string();
        world
            .machine
            .set_state(set("cursor", Some(&text)), world.now_ms)
            .unwrap();
    }
    world.flow();
    let told = asked(&mut world);
    assert!(told.len() == 1 && told[0].contains("99"));
}

#[test]
fn what_is_impossible_is_refused_by_name() {
    let mut world = world();
    let pattern = Subscribe {
        presence: Some(Presence::Both),
        ..Subscribe::to("chat.>")
    };
    let refused = world.machine.subscribe(pattern);
    assert_eq!(refused, Err(SubscribeError::StateOfPattern));
    let wrong = Subscribe {
        watch: vec![PRESENCE.into()],
        ..Subscribe::to(ROOM)
    };
    let error = StateError::Namespace(PRESENCE.into());
    assert_eq!(
        world.machine.subscribe(wrong),
        Err(SubscribeError::State(error))
    );
    let mut refused = |state| world.machine.set_state(state, 0).unwrap_err();
    let not_announced = refused(set(PRESENCE, None));
    assert_eq!(not_announced, StateError::NotAnnounced(ROOM.into()));
    let namespace = refused(set("Typing", None));
    assert_eq!(namespace, StateError::Namespace("Typing".into()));
    let value = refused(set(TYPING, Some(&format!("\"{}\"", "x".repeat(1023)))));
    assert_eq!(
        value,
        StateError::Value {
            bytes: 1025,
            max: 1024
        }
    );
    let json = refused(set(TYPING, Some("{")));
    assert!(matches!(json, StateError::NotJson(_)));
    let ttl = refused(SetState {
        ttl_ms: Some(10_001),
        ..set(TYPING, None)
    });
    assert_eq!(ttl, StateError::Ttl(10_001));
    let key = refused(SetState {
        key: Some("".into()),
        ..set(TYPING, None)
    });
    assert_eq!(key, StateError::Key { bytes: 0, max: 128 });
    let topic = refused(SetState {
        topic: "chat.>".into(),
        ..set(TYPING, None)
    });
    assert!(matches!(topic, StateError::Topic(_)));
    for number in 0..64 {
        let key = Some(number.to_string().into());
        let state = SetState {
            key,
            ttl_ms: Some(100),
            ..set(TYPING, None)
        };
        world.machine.set_state(state, 0).unwrap();
    }
    let full = world.machine.set_state(set(TYPING, None), 99);
    assert_eq!(full, Err(StateError::TooMany(64)));
    // They have ended by themselves.
    world.machine.set_state(set(TYPING, None), 100).unwrap();
}

#[test]
fn what_the_server_refuses_is_a_warning() {
    let mut world = world();
    let typing = look(&mut world, TYPING);
    subscribe(&mut world, Presence::Both);
    let refusal = |code, retry_ms| ErrorReply {
        code,
        text: "because".into(),
        retry_ms,
    };
    // A page, for now.
    world
        .refuse_state
        .push_back(refusal(ErrorCode::RateLimited, Some(3000)));
    world.connect();
    assert_eq!(picture(&world, typing).standing(), Standing::Loading);
    assert_eq!(world.wait(), 3000);
    world.flow();
    assert_eq!(picture(&world, typing).standing(), Standing::Live);
    assert!(!world.machine.has_warnings());
    // An entry: its key is another user's.
    world
        .refuse_state
        .push_back(refusal(ErrorCode::Conflict, None));
    say(&mut world, set(TYPING, None));
    let warning = world.machine.next_warning().unwrap();
    assert_eq!(
        (warning.code, &*warning.text),
        (ErrorCode::Conflict, "typing of chat.room1: because")
    );
}

#[test]
fn the_next_connection_counts_as_soon_as_it_is_welcome() {
    let mut world = world();
    let here = look(&mut world, PRESENCE);
    subscribe(&mut world, Presence::Both);
    let elder = world.connect();
    say(&mut world, set(PRESENCE, Some("1")));
    asked(&mut world);
    let away = GoAway {
        deadline_ms: 10_000,
        spread_ms: 0,
        url: None,
    };
    world.push(elder, &Push::GoAway(away));
    world.flow();
    while world.opening.is_empty() {
        world.wait();
    }
    world.comes(ROOM, PRESENCE, "ann", None);
    world.flow();
    assert_eq!(known(&world, here), "ann me=1");
    world.connect();
    assert_eq!(picture(&world, here).standing(), Standing::Live);
    let told = asked(&mut world);
    let (own, pages): (Vec<_>, Vec<_>) = told.iter().partition(|told| told.contains("Set"));
    assert_eq!((own.len(), pages.len()), (1, 1), "{told:?}");
}

// The server answers each command when it can.
#[test]
fn what_is_answered_before_the_welcome_is_watched() {
    let mut world = world();
    let here = look(&mut world, PRESENCE);
    let link = world.open().unwrap();
    world.transmit();
    subscribe(&mut world, Presence::Both);
    world.transmit();
    while world.serve_one(link) {}
    let answers = &mut world.conns.get_mut(&link).unwrap().to_client;
    answers.rotate_left(1);
    world.comes(ROOM, PRESENCE, "ann", None);
    world.flow();
    assert_eq!(picture(&world, here).standing(), Standing::Live);
    assert!(known(&world, here).contains("ann"));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Comes(u8),
    Leaves(u8),
    /// The server tells all how things stand, and of no entry.
    Marks,
    /// What is not told at all, or later by a mark.
    Silently(u8),
    Anew,
    Transmit,
    Serve,
    Deliver,
    Cut,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u8).prop_map(Step::Comes),
        5 => (0..6_u8).prop_map(Step::Leaves),
        1 => Just(Step::Marks),
        2 => (0..6_u8).prop_map(Step::Silently),
        1 => Just(Step::Anew),
        8 => Just(Step::Transmit),
        8 => Just(Step::Serve),
        10 => Just(Step::Deliver),
        1 => Just(Step::Cut),
        3 => (0..1500_u64).prop_map(Step::Pass),
    ]
}

fn take(world: &mut World, step: Step) {
    let link = world.conns.keys().next_back().copied();
    let name = |number: u8| format!("n{number}");
    match step {
        Step::Comes(number) => world.comes(ROOM, PRESENCE, &name(number), None),
        Step::Leaves(number) => world.leaves(ROOM, PRESENCE, &name(number)),
        Step::Marks => world.tell(ROOM, PRESENCE, &[], &[]),
        Step::Silently(number) => world.comes_silently(ROOM, PRESENCE, &name(number), None),
        Step::Anew => {
            if let Some(link) = link.filter(|link| world.conns[link].hello) {
                world.begins_anew(link, ROOM, 1);
                world.tell(ROOM, PRESENCE, &[], &[]);
            }
        }
        Step::Transmit => world.transmit(),
        Step::Serve => drop(link.is_some_and(|link| world.serve_one(link))),
        Step::Deliver => drop(link.is_some_and(|link| world.deliver_one(link))),
        Step::Cut => {
            if let Some(link) = link {
                world.cut(link);
            }
        }
        Step::Pass(ms) => world.pass(ms),
    }
    if !world.opening.is_empty() {
        world.open();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is told, lost or begun anew: when the server has said how things stand, and time to
    /// ask has passed, the picture is true.
    #[test]
    fn in_the_end_the_picture_is_true(steps in proptest::collection::vec(steps(), 0..120)) {
        let mut world = world();
        let here = look(&mut world, PRESENCE);
        subscribe(&mut world, Presence::Watch);
        world.open();
        for step in steps {
            take(&mut world, step);
        }
        for _ in 0..8 {
            world.flow();
            world.pass(REPAIR_MS);
            if !world.opening.is_empty() {
                world.open();
            }
        }
        world.tell(ROOM, PRESENCE, &[], &[]);
        world.flow();
        let kept = world.states[&(ROOM.to_owned(), PRESENCE.to_owned())].clone();
        let expected: Vec<_> = kept.entries.keys().cloned().collect();
        prop_assert_eq!(known(&world, here), expected.join(" "));
        prop_assert_eq!(picture(&world, here).count(), expected.len() as u64);
        prop_assert_eq!(picture(&world, here).standing(), Standing::Live);
    }
}

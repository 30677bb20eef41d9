//! Connections: how a client begins, comes back, moves and stops.

use corewire_client::machine::{
    Backoff, Identity, Loss, Machine, Options, Status, Stop, Subscribe,
};
use corewire_protocol::native::{Dialect, ErrorCode, ErrorReply, GoAway, Ping, Push};

use crate::world::{PING_MS, SLACK_MS, World};

fn world(identity: Identity) -> World {
    let options = Options {
        identity,
        ..Options::new("ws://a/ws")
    };
    World::new(Machine::new(options, 7), Dialect::Json)
}

fn is_connected(world: &World) -> bool {
    matches!(world.machine.status(), Status::Connected(_))
}

#[test]
fn the_first_thing_said_is_hello_and_the_first_thing_heard_is_welcome() {
    let mut world = world(Identity::Name("ann".into()));
    assert_eq!(*world.machine.status(), Status::Connecting);
    world.connect();
    assert!(is_connected(&world));
    assert!(
        world.asked[0].2.contains("user: Some(\"ann\")"),
        "{:?}",
        world.asked
    );
    assert!(world.asked[1].2.contains("Credit"), "{:?}", world.asked);
}

// USERS 52: the herd is spread, and the spread grows.
#[test]
fn it_comes_back_with_full_jitter_within_growing_bounds() {
    let backoff = Backoff::default();
    let mut first_waits = Vec::new();
    for seed in 0..200 {
        let machine = Machine::new(Options::new("ws://a/ws"), seed);
        let mut world = World::new(machine, Dialect::Json);
        for failures in 0..10 {
            world.refuse();
            let Status::Waiting { retry_in_ms, loss } = world.machine.status().clone() else {
                panic!("{:?}", world.machine.status());
            };
            assert!(matches!(loss, Loss::Unreachable(_)));
            assert!(retry_in_ms <= backoff.ceiling_ms(failures));
            assert_eq!(world.wait(), retry_in_ms);
            if failures == 0 {
                first_waits.push(retry_in_ms);
            }
        }
    }
    for fifth in 0..5 {
        let range = fifth * 100..(fifth + 1) * 100;
        let met = first_waits
            .iter()
            .filter(|wait| range.contains(*wait))
            .count();
        assert!((20..70).contains(&met), "{met} of 200 in {range:?}");
    }
}

// USERS 53: the server says when, and is heard.
#[test]
fn the_range_of_a_close_code_says_whether_and_when_to_come_back() {
    for (code, at_least, at_most) in [
        (Some(4100), 7000, 7500),
        (Some(4200), 0, 300),
        (Some(1012), 0, 300),
        (Some(1013), 7000, 7500),
        (Some(4300), 7000, 7500),
    ] {
        let mut world = world(Identity::Anonymous);
        let link = world.connect();
        let closing = native_closing(code, at_least, at_most);
        world.push(link, &Push::Closing(closing));
        world.close(link, code.unwrap());
        world.flow();
        let waited = world.wait();
        assert!((at_least..=at_most).contains(&waited), "{code:?}: {waited}");
        assert_eq!(world.opened.len(), 2);
    }
    for code in [4000, 4003, 4004, 1002, 1008 + 1, 4400] {
        let mut world = world(Identity::Anonymous);
        let link = world.connect();
        world.close(link, code);
        world.flow();
        let status = world.machine.status().clone();
        assert!(
            matches!(status, Status::Stopped(Stop::Refused(_))),
            "{code}: {status:?}"
        );
        assert_eq!(world.machine.deadline_ms(), None);
    }
}

fn native_closing(
    code: Option<u16>,
    retry_ms: u64,
    most: u64,
) -> corewire_protocol::native::Closing<'static> {
    corewire_protocol::native::Closing {
        code: code.unwrap(),
        reason: "because".into(),
        retry_ms: (retry_ms > 0).then_some(retry_ms),
        spread_ms: (retry_ms == 0).then_some(most),
        url: None,
    }
}

#[test]
fn ordinary_http_stops_a_first_attempt_and_delays_a_later_one() {
    let mut world = world(Identity::Anonymous);
    let (link, _) = world.opening.pop_front().unwrap();
    let loss = Loss::Http {
        status: 404,
        retry_ms: None,
    };
    world.machine.lost(link, loss.clone(), world.now_ms);
    let Status::Stopped(stop) = world.machine.status() else {
        panic!("it tries again");
    };
    assert!(stop.to_string().contains("/ws"), "{stop}");

    let mut world = self::world(Identity::Anonymous);
    let link = world.connect();
    world.cut(link);
    world.wait();
    let (link, _) = world.opening.pop_front().unwrap();
    world.machine.lost(link, loss, world.now_ms);
    assert!(matches!(world.machine.status(), Status::Waiting { .. }));

    let mut world = self::world(Identity::Anonymous);
    let (link, _) = world.opening.pop_front().unwrap();
    let loss = Loss::Http {
        status: 503,
        retry_ms: Some(4000),
    };
    world.machine.lost(link, loss, world.now_ms);
    let Status::Waiting { retry_in_ms, .. } = world.machine.status() else {
        panic!("it stops");
    };
    assert!((4000..=4500).contains(retry_in_ms));
}

// USERS 60, 61: silence is measured by the server's word and one deadline.
#[test]
fn a_silent_server_is_given_up_when_it_has_broken_its_word() {
    let mut world = world(Identity::Anonymous);
    let link = world.connect();
    assert_eq!(world.wait(), PING_MS + SLACK_MS);
    assert!(!world.conns.contains_key(&link));
    assert!(matches!(
        world.machine.status(),
        Status::Waiting {
            loss: Loss::Silent,
            ..
        }
    ));

    // One that keeps its word is not, and its questions are answered.
    let mut world = self::world(Identity::Anonymous);
    let link = world.connect();
    for t in 1..10 {
        world.pass(PING_MS);
        world.push(link, &Push::Ping(Ping { t }));
        world.flow();
        assert!(
            world
                .asked
                .last()
                .unwrap()
                .2
                .contains(&format!("Some({t})"))
        );
    }
    assert!(is_connected(&world));
}

// USERS 59: a client that was stopped asks whether its connection lives, and waits 3 s.
#[test]
fn a_client_that_slept_asks_before_it_gives_up() {
    for answers in [true, false] {
        let mut world = world(Identity::Anonymous);
        let link = world.connect();
        world.pass(60_000);
        assert!(is_connected(&world), "the server was not asked");
        world.transmit();
        if answers {
            world.flow();
            assert!(world.asked.last().unwrap().2.contains("Pong"));
            assert!(world.asked.last().unwrap().1.is_some());
            assert_eq!(world.wait(), PING_MS + SLACK_MS);
        } else {
            assert_eq!(world.wait(), 3000);
        }
        assert!(!world.conns.contains_key(&link));
    }
    let mut world = world(Identity::Anonymous);
    let link = world.connect();
    world.machine.woke();
    world.transmit();
    assert_eq!(world.wait(), 3000);
    assert!(!world.conns.contains_key(&link));
}

#[test]
fn every_step_has_its_time() {
    let mut world = world(Identity::Anonymous);
    assert_eq!(world.wait(), 10_000);
    assert!(matches!(
        world.machine.status(),
        Status::Waiting {
            loss: Loss::TimedOut("connecting"),
            ..
        }
    ));
    world.wait();
    let _ = world.open().unwrap();
    world.transmit();
    assert_eq!(world.wait(), 10_000);
    assert!(matches!(world.machine.status(), Status::Waiting { .. }));
    world.wait();
    world.connect();
    let subscribe = Subscribe::to("a");
    world.machine.subscribe(subscribe).unwrap();
    world.transmit();
    assert_eq!(world.wait(), 10_000);
    assert!(matches!(world.machine.status(), Status::Waiting { .. }));
}

// USERS 58: the token expires while the client is away; another one is fetched.
#[test]
fn tokens_are_renewed_in_time_and_after_they_have_expired() {
    let mut world = world(Identity::Renewable);
    assert_eq!((world.tokens_asked, world.opening.len()), (1, 0));
    world.machine.token(Ok("one"), world.now_ms);
    world.act();
    world.expires_ms = Some(60_000);
    let link = world.connect();
    assert!(world.asked[0].2.contains("one"));

    let expiring = corewire_protocol::native::TokenExpiring { in_ms: 30_000 };
    world.push(link, &Push::TokenExpiring(expiring));
    world.flow();
    assert_eq!(world.tokens_asked, 2);
    world.machine.token(Ok("two"), world.now_ms);
    world.flow();
    assert!(world.asked.last().unwrap().2.contains("two"));

    world.close(link, 4203);
    world.flow();
    world.wait();
    assert_eq!((world.tokens_asked, world.opening.len()), (3, 0));
    world.machine.token(Err("the server is down"), world.now_ms);
    assert!(matches!(
        world.machine.status(),
        Status::Waiting {
            loss: Loss::NoToken(_),
            ..
        }
    ));
    world.wait();
    assert_eq!(world.tokens_asked, 4);
    world.machine.token(Ok("three"), world.now_ms);
    world.act();
    world.connect();
    assert!(is_connected(&world));

    // Known to have expired, it is not even tried.
    world.pass(20_000);
    let link = *world.conns.keys().next().unwrap();
    world.cut(link);
    world.now_ms += 60_000;
    world.pass(0);
    assert_eq!(world.tokens_asked, 5);
}

#[test]
fn a_token_that_is_refused_at_once_stops_the_client() {
    for identity in [
        Identity::Token("bad".into()),
        Identity::Renewable,
        Identity::Name("ann".into()),
    ] {
        let is_name = matches!(identity, Identity::Name(_));
        let mut world = world(identity);
        world.machine.token(Ok("bad"), world.now_ms);
        world.act();
        world.refuse_hello = Some(ErrorReply {
            code: ErrorCode::Unauthorized,
            text: "token: signed with another key".into(),
            retry_ms: None,
        });
        let link = world.connect();
        // Which says less than the refusal before it.
        world.push(link, &Push::Closing(native_closing(Some(4001), 0, 0)));
        world.close(link, 4001);
        world.flow();
        let Status::Stopped(stop) = world.machine.status() else {
            panic!("{:?}", world.machine.status());
        };
        assert!(
            stop.to_string().contains("signed with another key"),
            "{stop}"
        );
        assert_eq!(matches!(stop, Stop::BadToken(_)), !is_name, "{stop:?}");
    }
}

#[test]
fn a_place_that_the_server_names_is_tried_and_left_again_if_nobody_is_there() {
    let mut world = world(Identity::Anonymous);
    let link = world.connect();
    let mut closing = native_closing(Some(4200), 0, 0);
    closing.url = Some("ws://b/ws".into());
    world.push(link, &Push::Closing(closing.clone()));
    world.close(link, 4200);
    world.flow();
    world.wait();
    assert_eq!(world.opened[1].1, "ws://b/ws");
    world.refuse();
    world.wait();
    assert_eq!(world.opened[2].1, "ws://a/ws");

    // Never from an encrypted way to one that is not.
    let options = Options::new("wss://a/ws");
    let mut world = World::new(Machine::new(options, 7), Dialect::Json);
    let link = world.connect();
    world.push(link, &Push::Closing(closing));
    world.close(link, 4200);
    world.flow();
    world.wait();
    assert_eq!(world.opened[1].1, "wss://a/ws");
    assert!(world.machine.next_warning().is_some());
}

#[test]
fn it_goes_away_within_the_spread_and_is_connected_all_the_time() {
    let mut world = world(Identity::Anonymous);
    let first = world.connect();
    let away = GoAway {
        deadline_ms: 20_000,
        spread_ms: 5000,
        url: Some("ws://b/ws".into()),
    };
    world.push(first, &Push::GoAway(away));
    world.flow();
    assert_eq!(world.opened.len(), 1);
    assert!(world.wait() <= 5000);
    assert_eq!(world.opened[1].1, "ws://b/ws");
    assert!(is_connected(&world));
    // The first attempt fails: the connection that is there does not care.
    world.refuse();
    assert!(is_connected(&world));
    world.wait();
    let second = world.connect();
    assert_ne!(first, second);
    assert!(is_connected(&world));
    let mut waited = 0;
    while world.conns.contains_key(&first) {
        waited += world.wait();
        world.flow();
    }
    assert!(waited <= 3000, "{waited}");
    assert!(
        world
            .asked
            .iter()
            .any(|(link, _, what)| *link == first && what.contains("Bye"))
    );
    assert!(is_connected(&world));
    assert_eq!(world.conns.len(), 1);
}

#[test]
fn closing_says_bye_and_ends_in_time() {
    let mut world = world(Identity::Anonymous);
    world.connect();
    world.machine.close(world.now_ms);
    world.flow();
    assert!(world.asked.last().unwrap().2.contains("Bye"));
    assert_eq!(*world.machine.status(), Status::Stopped(Stop::Asked));

    let mut world = self::world(Identity::Anonymous);
    world.connect();
    world.machine.close(world.now_ms);
    world.transmit();
    assert_eq!(*world.machine.status(), Status::Closing);
    assert_eq!(world.wait(), 3000);
    assert_eq!(*world.machine.status(), Status::Stopped(Stop::Asked));
    assert!(world.conns.is_empty());

    let mut world = self::world(Identity::Anonymous);
    world.machine.close(world.now_ms);
    world.act();
    assert_eq!(*world.machine.status(), Status::Stopped(Stop::Asked));
    assert!(world.opening.is_empty());
}

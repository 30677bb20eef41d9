//! Who is there, who is typing: state beside the messages.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use corewire::messaging::{Identity, Options};
use corewire::protocol::native::{Dialect, entry_digest};
use corewire::server;
use corewire_testkit::served::options;
use corewire_testkit::{NativeClient, Served, eventually};
use serde_json::Value;

use crate::{cores, serve};

/// Two cores, and clients that choose their names.
fn with_names(messaging: Options) -> Served {
    let server = server::Options {
        cores: Some(2),
        ..options()
    };
    serve(messaging, Identity::Named, server)
}

fn named(server: &Served, user: &str, dialect: Dialect) -> NativeClient {
    let mut client = NativeClient::open(server.address(), dialect);
    let welcome = client.ask(&format!(r#"{{"hello":{{"v":1,"user":"{user}"}}}}"#));
    assert_eq!(welcome["welcome"]["user"], user);
    client
}

fn announce(client: &mut NativeClient, topic: &str) {
    let sub = format!(r#"{{"sub":{{"s":1,"topic":"{topic}","presence":"announce"}}}}"#);
    let subbed = client.ask(&sub);
    assert!(subbed.get("subbed").is_some(), "{subbed}");
}

/// A client that watches one set, and goes by the document.
struct Watcher {
    client: NativeClient,
    topic: &'static str,
    namespace: &'static str,
    /// Of each key the version, the user and the value.
    entries: BTreeMap<String, (u64, String, Value)>,
    told: Value,
    paged: u64,
    /// The `set` and `del` of every change that was told, in order.
    changes: Vec<(Vec<String>, Vec<String>)>,
    pages: usize,
}

impl Watcher {
    fn new(mut client: NativeClient, topic: &'static str, namespace: &'static str) -> Self {
        let watch = match namespace {
            "presence" => r#""presence":"watch""#.to_owned(),
            other => format!(r#""watch":["{other}"]"#),
        };
        let subbed = client.ask(&format!(r#"{{"sub":{{"s":9,"topic":"{topic}",{watch}}}}}"#));
        assert!(subbed.get("subbed").is_some(), "{subbed}");
        let mut watcher = Self {
            client,
            topic,
            namespace,
            entries: BTreeMap::new(),
            told: Value::Null,
            paged: 0,
            changes: Vec::new(),
            pages: 0,
        };
        watcher.next();
        let (set, gone) = watcher.changes.remove(0);
        assert!(set.is_empty() && gone.is_empty(), "the first is a mark");
        watcher
    }

    /// Hears what has changed; asks for pages if it must.
    fn next(&mut self) {
        let state = self.client.expect_push("state");
        self.hear(state);
    }

    fn hear(&mut self, state: Value) {
        assert_eq!(state["ns"], self.namespace);
        let version = state["ver"].as_u64().unwrap();
        let (mut set, mut gone) = (Vec::new(), Vec::new());
        for entry in state["set"].as_array().unwrap() {
            set.push(entry["k"].as_str().unwrap().to_owned());
            take(&mut self.entries, entry);
        }
        for key in state["del"].as_array().unwrap() {
            let key = key.as_str().unwrap();
            gone.push(key.to_owned());
            if self
                .entries
                .get(key)
                .is_some_and(|known| known.0 <= version)
            {
                self.entries.remove(key);
            }
        }
        self.changes.push((set, gone));
        self.told = state;
        if version >= self.paged && !self.agrees() {
            self.page();
        }
    }

    fn page(&mut self) {
        let mut entries = BTreeMap::new();
        let mut after = String::new();
        loop {
            let page = self.client.ask(&format!(
                r#"{{"state":{{"topic":"{}","op":"page","ns":"{}"{after}}}}}"#,
                self.topic, self.namespace
            ));
            self.pages += 1;
            let page = &page["members"];
            for entry in page["items"].as_array().unwrap() {
                take(&mut entries, entry);
            }
            self.paged = page["ver"].as_u64().unwrap();
            match page.get("next") {
                Some(next) => after = format!(r#","after":{next}"#),
                None => break,
            }
        }
        self.entries = entries;
    }

    fn agrees(&self) -> bool {
        let entries = self.entries.iter();
        let digest = entries.fold(0, |all, (key, known)| all ^ entry_digest(key, known.0));
        self.told["digest"] == digest && self.told["n"] == self.entries.len()
    }

    /// Waits until there are so many entries, and nothing is left to be told of them.
    fn until(&mut self, n: usize) {
        while self.told["n"] != n || !self.agrees() {
            self.next();
        }
    }

    fn users(&self) -> Vec<&str> {
        let mut users: Vec<&str> = self.entries.values().map(|known| &*known.1).collect();
        users.sort_unstable();
        users
    }
}

fn take(entries: &mut BTreeMap<String, (u64, String, Value)>, entry: &Value) {
    let key = entry["k"].as_str().unwrap();
    let version = entry["ver"].as_u64().unwrap();
    if entries.get(key).is_none_or(|known| known.0 < version) {
        let user = entry["user"].as_str().unwrap().to_owned();
        entries.insert(key.to_owned(), (version, user, entry["v"].clone()));
    }
}

#[test]
fn whoever_announces_is_seen_by_whoever_watches() {
    for dialect in Dialect::ALL {
        let server = with_names(Options::default());
        let mut ada = named(&server, "ada", dialect);
        announce(&mut ada, "room");
        let mut watchers: Vec<Watcher> = (0..4)
            .map(|n| named(&server, &format!("w{n}"), dialect))
            .map(|client| Watcher::new(client, "room", "presence"))
            .collect();
        let mut bob = named(&server, "bob", dialect);
        announce(&mut bob, "room");
        for watcher in &mut watchers {
            watcher.until(2);
            assert_eq!(watcher.users(), ["ada", "bob"]);
            assert_eq!(watcher.told["users"], 2);
        }
        let set = r#"{"state":{"topic":"room","op":"set","ns":"presence","v":{"mood":"busy"}}}"#;
        assert!(ada.ask(set).get("ok").is_some());
        for watcher in &mut watchers {
            watcher.next();
            let of_ada = watcher.entries.values().find(|known| known.1 == "ada");
            assert_eq!(of_ada.unwrap().2["mood"], "busy");
        }
        bob.ask(r#"{"unsub":{"s":1}}"#);
        for watcher in &mut watchers {
            watcher.until(1);
        }
        let bye = ada.ask(r#"{"bye":{}}"#);
        assert!(bye.get("ok").is_some());
        for watcher in &mut watchers {
            watcher.until(0);
            assert_eq!(watcher.told["digest"], 0);
        }
        assert_eq!(server.count("panics"), 0);
        let there = server.count("state_entered") - server.count("state_left");
        assert_eq!(there, 0);
    }
}

/// Complaint 38, and P10: several tabs are one user; a lost one is not noticed if it comes back.
#[test]
fn tabs_that_come_and_go_are_one_user() {
    let server = with_names(Options::default());
    let watching = named(&server, "eve", Dialect::Json);
    let mut watcher = Watcher::new(watching, "room", "presence");
    let mut tabs: Vec<NativeClient> = (0..3)
        .map(|_| named(&server, "ada", Dialect::Binary))
        .collect();
    for tab in &mut tabs {
        announce(tab, "room");
    }
    watcher.until(3);
    assert_eq!(watcher.told["users"], 1);
    // One is cut, and comes back as another connection: what is told next is of somebody else.
    tabs.remove(0).peer().hang_up();
    eventually("it is gone", || server.connections() == 3);
    let mut back = named(&server, "ada", Dialect::Binary);
    announce(&mut back, "room");
    let mut bob = named(&server, "bob", Dialect::Binary);
    announce(&mut bob, "room");
    watcher.changes.clear();
    watcher.next();
    assert_eq!(watcher.users(), ["ada", "ada", "ada", "bob"]);
    let (set, gone) = &watcher.changes[0];
    assert!(set.len() == 1 && gone.is_empty(), "{:?}", watcher.changes);
    for tab in tabs.iter_mut().chain([&mut back]) {
        tab.ask(r#"{"bye":{}}"#);
    }
    watcher.until(1);
    assert_eq!(watcher.users(), ["bob"]);
}

/// P10: a session that goes on is nobody new, whoever its user is, and keeps its key.
#[test]
fn a_session_that_goes_on_is_not_noticed() {
    for dialect in Dialect::ALL {
        let server = cores(2, Options::default());
        let watching = NativeClient::connect(server.address(), dialect);
        let mut watcher = Watcher::new(watching, "room", "presence");
        let mut lost = NativeClient::open(server.address(), dialect);
        let welcome = lost.ask(r#"{"hello":{"v":1}}"#);
        announce(&mut lost, "room");
        watcher.until(1);
        assert!(
            watcher
                .entries
                .contains_key(welcome["welcome"]["conn"].as_str().unwrap())
        );
        let mut others = Vec::new();
        for round in 0..3 {
            lost.peer().hang_up();
            eventually("it is gone", || server.connections() == 1 + round);
            lost = NativeClient::open(server.address(), dialect);
            let ticket = &welcome["welcome"]["ticket"];
            let back = lost.ask(&format!(r#"{{"hello":{{"v":1,"resume":{ticket}}}}}"#));
            assert_eq!(back["welcome"]["resumed"], true, "{back}");
            announce(&mut lost, "room");
            let mut other = NativeClient::connect(server.address(), dialect);
            announce(&mut other, "room");
            watcher.changes.clear();
            watcher.next();
            let (set, gone) = &watcher.changes[0];
            assert!(set.len() == 1 && gone.is_empty(), "{:?}", watcher.changes);
            others.push(other);
        }
        assert_eq!(watcher.told["n"], 4);
    }
}

/// P10: whoever is cut and does not come back leaves when the grace is over, and not before.
#[test]
fn a_lost_connection_leaves_after_its_grace() {
    let grace_ms = 700;
    let server = with_names(Options {
        grace_ms,
        state_window_ms: 10,
        ..Options::default()
    });
    let watching = named(&server, "eve", Dialect::Binary);
    let mut watcher = Watcher::new(watching, "room", "presence");
    let mut ada = named(&server, "ada", Dialect::Json);
    announce(&mut ada, "room");
    watcher.until(1);
    let cut = now();
    ada.peer().hang_up();
    watcher.until(0);
    let took = elapsed(cut);
    assert!(
        took >= Duration::from_millis(u64::from(grace_ms)),
        "{took:?}"
    );
}

/// A dead connection is found by its ping, and leaves after its grace: nobody stays for ever.
#[test]
fn nobody_stays_who_answers_no_ping() {
    let server = with_names(Options {
        ping_ms: 100,
        slack_ms: 200,
        grace_ms: 300,
        state_window_ms: 10,
        ..Options::default()
    });
    let mut dead = named(&server, "dead", Dialect::Json);
    announce(&mut dead, "room");
    let entered = || server.count("state_entered");
    eventually("it is there", || entered() == 1);
    eventually("it is gone", || server.count("state_left") == 1);
    assert_eq!(server.count("pong_timeouts"), 1);
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measured time is what is tested"
)]
fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measured time is what is tested"
)]
fn elapsed(since: Instant) -> Duration {
    since.elapsed()
}

/// Complaint 41: whoever only announces is told nothing of the others.
#[test]
fn many_announce_and_few_watch() {
    let server = with_names(Options::default());
    let mut present: Vec<NativeClient> = (0..200)
        .map(|n| named(&server, &format!("u{n}"), Dialect::Json))
        .collect();
    let client = named(&server, "eve", Dialect::Json);
    let mut watcher = Watcher::new(client, "hall", "presence");
    for client in &mut present {
        announce(client, "hall");
    }
    watcher.until(200);
    assert_eq!(watcher.told["users"], 200);
    for client in &mut present {
        client.say(r#"{"id":5,"pong":{"t":0}}"#);
        let next = client.expect();
        assert_eq!(next["id"], 5, "{next}");
    }
    // What it is told is counted for one watcher: 1 mark, and a window in each of its times.
    assert_eq!(server.count("state_told"), 1 + watcher.changes.len() as u64);
}

/// P11, and complaint 36: typing ends by itself, and too much of it closes nothing.
#[test]
fn typing_is_told_at_its_pace_and_ends_by_itself() {
    let server = with_names(Options::default());
    let client = named(&server, "eve", Dialect::Json);
    let mut watcher = Watcher::new(client, "room", "typing");
    let mut ada = named(&server, "ada", Dialect::Binary);
    ada.ask(r#"{"sub":{"s":1,"topic":"room"}}"#);
    let flood: Vec<String> = (0..5_000)
        .map(|n| {
            format!(
                r#"{{"state":{{"topic":"room","op":"set","ns":"typing","v":{n},"ttl_ms":900}}}}"#
            )
        })
        .collect();
    ada.say_all(&flood);
    let alive = ada.ask(r#"{"pong":{"t":0}}"#);
    assert!(alive.get("ok").is_some(), "{alive}");
    watcher.until(1);
    let value = |watcher: &Watcher| watcher.entries.values().next().map(|known| known.2.clone());
    while value(&watcher) != Some(4_999.into()) {
        watcher.next();
    }
    assert!(watcher.changes.len() < 50, "{}", watcher.changes.len());
    watcher.until(0);
    // Nothing of it is a message, and nobody who has not asked for it is told.
    assert_eq!(server.count("published"), 0);
    ada.say(r#"{"id":5,"pong":{"t":0}}"#);
    assert_eq!(ada.expect()["id"], 5);
    assert_eq!(server.count("panics"), 0);
}

/// Leaving a room ends what one was typing there.
#[test]
fn typing_ends_with_the_subscription_and_with_bye() {
    let server = with_names(Options::default());
    let client = named(&server, "eve", Dialect::Binary);
    let mut watcher = Watcher::new(client, "room", "typing");
    let mut ada = named(&server, "ada", Dialect::Json);
    let mut bob = named(&server, "bob", Dialect::Json);
    ada.ask(r#"{"sub":{"s":1,"topic":"room"}}"#);
    // A pattern covers the room as well.
    bob.ask(r#"{"sub":{"s":1,"topic":">"}}"#);
    let typing = r#"{"state":{"topic":"room","op":"set","ns":"typing"}}"#;
    for client in [&mut ada, &mut bob] {
        assert!(client.ask(typing).get("ok").is_some());
    }
    watcher.until(2);
    ada.ask(r#"{"unsub":{"s":1}}"#);
    watcher.until(1);
    assert_eq!(watcher.users(), ["bob"]);
    bob.ask(r#"{"bye":{}}"#);
    watcher.until(0);
    assert_eq!(server.count("state_marks"), 0);
}

#[test]
fn state_is_for_those_who_are_subscribed_and_within_bounds() {
    let server = with_names(Options {
        state_keys_max: 2,
        state_entries_max: 3,
        state_watches_max: 2,
        state_pages_max: 2,
        ..Options::default()
    });
    for (dialect, room) in Dialect::ALL.into_iter().zip(["r1", "r2"]) {
        let mut ada = named(&server, "ada", dialect);
        let mut bob = named(&server, "bob", dialect);
        let mut carl = named(&server, "carl", dialect);
        let state = |what: &str| format!(r#"{{"state":{{"topic":"{room}",{what}}}}}"#);
        let refused = |client: &mut NativeClient, command: &str, code: u64, part: &str| {
            let reply = client.ask(command);
            assert_eq!(reply["err"]["code"], code, "{command}: {reply}");
            let text = reply["err"]["text"].as_str().unwrap();
            assert!(text.contains(part), "{command}: {text}");
        };
        for what in [
            r#""op":"set","ns":"typing""#,
            r#""op":"page","ns":"presence""#,
        ] {
            refused(&mut ada, &state(what), 102, "subscribe first");
        }
        ada.ask(&format!(r#"{{"sub":{{"s":1,"topic":"{room}"}}}}"#));
        bob.ask(&format!(r#"{{"sub":{{"s":1,"topic":"{room}"}}}}"#));
        carl.ask(&format!(r#"{{"sub":{{"s":1,"topic":"{room}"}}}}"#));
        refused(
            &mut ada,
            &state(r#""op":"set","ns":"presence""#),
            102,
            "announced",
        );
        let set = |key: &str| state(&format!(r#""op":"set","ns":"cursor","k":"{key}""#));
        for key in ["a", "b"] {
            assert!(ada.ask(&set(key)).get("ok").is_some());
        }
        refused(&mut ada, &set("c"), 107, "at most 2 keys");
        refused(&mut bob, &set("a"), 113, "another user");
        refused(
            &mut carl,
            &state(r#""op":"del","ns":"cursor","k":"a""#),
            113,
            "another user",
        );
        assert!(bob.ask(&set("d")).get("ok").is_some());
        refused(&mut bob, &set("e"), 107, "at most 3 entries");
        refused(
            &mut ada,
            &state(r#""op":"page","ns":"cursor","after":"x""#),
            110,
            "begin anew",
        );
        let sub = |s: u64, what: &str| format!(r#"{{"sub":{{"s":{s},"topic":{what}}}}}"#);
        refused(
            &mut ada,
            &sub(2, r#""a.*","presence":"both""#),
            105,
            "pattern",
        );
        refused(
            &mut ada,
            &sub(2, r#""q","watch":["a","b","c"]"#),
            107,
            "at most 2 sets",
        );
        // One more page than may be waited for, in one message.
        let pages: Vec<String> = (1..=3)
            .map(|id| {
                format!(r#"{{"id":{id},"state":{{"topic":"{room}","op":"page","ns":"cursor"}}}}"#)
            })
            .collect();
        if dialect == Dialect::Json {
            let large = format!(r#""op":"set","ns":"x","v":"{}""#, "x".repeat(1100));
            refused(&mut ada, &state(&large), 114, "1024");
            ada.say(&format!("[{}]", pages.join(",")));
            let mut replies: Vec<Value> = (1..=3).map(|id| ada.reply(id)).collect();
            let too_many = replies.pop().unwrap();
            // At its own home a page is there at once, and none is waited for.
            if too_many.get("err").is_some() {
                assert_eq!(too_many["err"]["code"], 108);
            }
            assert!(replies.iter().all(|page| page["members"]["n"] == 3));
        }
        // A warning is all that comes of what has no id.
        ada.say(&set("c"));
        assert_eq!(ada.expect_push("warn")["cmd"], "state");
    }
}

/// A watcher that does not read costs a cursor, and when it reads again it comes to the same set.
#[test]
fn a_watcher_that_does_not_read_is_told_that_it_has_missed_something() {
    for dialect in Dialect::ALL {
        let server = with_names(Options {
            state_window_ms: 2,
            state_changes_per_s: 0,
            ..Options::default()
        });
        let client = named(&server, "eve", dialect);
        let mut slow = Watcher::new(client, "room", "cursor");
        let mut ada = named(&server, "ada", Dialect::Json);
        ada.ask(r#"{"sub":{"s":1,"topic":"room"}}"#);
        let value = "x".repeat(1000);
        // More than sockets hold.
        for round in 0..600 {
            let all: Vec<String> = (0..20)
                .map(|key| {
                    format!(
                        r#"{{"state":{{"topic":"room","op":"set","ns":"cursor","k":"k{key}","v":"{round}{value}"}}}}"#
                    )
                })
                .collect();
            ada.say_all(&all);
            ada.ask(r#"{"pong":{"t":0}}"#);
        }
        slow.until(20);
        let newest = format!("599{value}");
        // The newest values may be there before the word that the digest is of.
        while !(slow.entries.values().all(|known| known.2 == *newest) && slow.agrees()) {
            slow.next();
        }
        assert!(slow.changes.len() < 600, "{}", slow.changes.len());
        assert_eq!(server.count("over_outbound_cap"), 0);
    }
}

/// Complaint 33: 15,000 entries come at once, and are listed page by page without delay.
#[test]
fn fifteen_thousand_are_listed_in_pages() {
    let server = cores(
        2,
        Options {
            state_keys_max: 1_000,
            state_changes_per_s: 0,
            ..Options::default()
        },
    );
    let watching = NativeClient::connect(server.address(), Dialect::Json);
    let mut watcher = Watcher::new(watching, "storm", "cursor");
    let mut clients: Vec<NativeClient> = (0..15)
        .map(|_| NativeClient::connect(server.address(), Dialect::Binary))
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.ask(r#"{"sub":{"s":1,"topic":"storm"}}"#);
        let all: Vec<String> = (0..1_000)
            .map(|key| {
                format!(
                    r#"{{"state":{{"topic":"storm","op":"set","ns":"cursor","k":"c{number}.{key}","v":[{key},{number}]}}}}"#
                )
            })
            .collect();
        client.say_all(&all);
    }
    let mut times = Vec::new();
    let mut listed = 0;
    let mut after = String::new();
    while listed < 15_000 {
        let asked = now();
        let page = watcher.client.ask(&format!(
            r#"{{"state":{{"topic":"storm","op":"page","ns":"cursor"{after}}}}}"#
        ));
        times.push(elapsed(asked));
        let page = &page["members"];
        listed += page["items"].as_array().unwrap().len();
        // While some are still to come, the list goes on from the beginning.
        after = match page.get("next") {
            Some(next) => format!(r#","after":{next}"#),
            None if page["n"] == listed => break,
            None => {
                listed = 0;
                String::new()
            }
        };
    }
    assert_eq!(listed, 15_000);
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    assert!(p99 < Duration::from_millis(500), "{p99:?}");
    // Whoever watched was told of the storm by marks, and they end by themselves.
    watcher.until(15_000);
    watcher.until(0);
    assert!(server.count("state_marks") > 0);
    assert_eq!(server.count("state_left"), 15_000);
}

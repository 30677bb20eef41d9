//! The rules of state at its home, one by one. The clock is the test's.

use std::collections::BTreeMap;
use std::sync::Arc;

use corewire_protocol::native::{Dialect, PRESENCE};
use slotmap::SlotMap;

use crate::engine::Tick;
use crate::hash::Seed;
use crate::ids::CoreId;

use super::super::client::ClientKey;
use super::super::options::Options;
use super::board::{Board, Draft, Given};
use super::leases::{LeaseKey, Leases};
use super::member::{Holder, Member};
use super::model::{Picture, Random, TOPIC, TYPING, Then, id, member};
use super::refusal::Refusal;
use super::watchers::Watchers;
use super::window::{Body, Form, Window};

/// A board of one topic, and one core that watches it.
struct Room {
    board: Board,
    now: Tick,
    clients: SlotMap<ClientKey, ()>,
    core: CoreId,
}

impl Room {
    fn new(options: &Options) -> Self {
        let mut room = Self {
            board: Board::new(options, &Seed::new(1)),
            now: Tick(1000),
            clients: SlotMap::with_key(),
            core: CoreId(1),
        };
        for namespace in [PRESENCE, TYPING] {
            room.board.watch(room.now, &id(1), namespace, room.core);
        }
        room.board.outgoing.clear();
        room
    }

    fn holder(&mut self) -> Holder {
        Holder {
            core: self.core,
            client: self.clients.insert(()),
        }
    }

    fn comes(&mut self, who: &Arc<Member>) -> Holder {
        let holder = self.holder();
        let (board, given) = (&mut self.board, Given::Kept);
        board
            .announce(self.now, &id(1), (holder, who), given)
            .unwrap();
        holder
    }

    fn types(&mut self, holder: Holder, key: &str, ttl_ms: u32) -> Result<(), Refusal> {
        let draft = Draft {
            namespace: TYPING,
            key,
            user: &"ada".into(),
            value: None,
            ttl_ms,
        };
        self.board.set(self.now, &id(1), holder, draft)
    }

    /// Time passes. Returns what those who watch are told.
    fn passes(&mut self, ms: u32) -> Vec<Arc<Window>> {
        let mut told = Vec::new();
        for _ in 0..ms {
            self.now = self.now.after(1);
            self.board.tick(self.now);
            told.extend(self.board.outgoing.drain(..).map(|(_, window)| window));
        }
        told
    }

    fn count(&self) -> (u64, Option<u64>) {
        let page = self.board.page(&id(1), PRESENCE, (None, None)).unwrap();
        (page.n, page.users)
    }
}

fn changes(window: &Window) -> (Vec<&str>, Vec<&str>) {
    match &window.body {
        Body::Mark => panic!("a mark"),
        Body::Changes { set, gone } => (
            set.iter().map(|item| &*item.key).collect(),
            gone.iter().map(|key| &**key).collect(),
        ),
    }
}

#[test]
fn changes_of_one_window_are_told_once_and_together() {
    let mut room = Room::new(&Options::default());
    let ada = room.comes(&member(1, 1));
    assert!(room.passes(100).is_empty());
    room.comes(&member(2, 2));
    assert!(room.passes(99).is_empty());
    let told = room.passes(1);
    assert_eq!(told.len(), 1, "200 ms after the first change");
    assert_eq!(changes(&told[0]), (vec!["c1", "c2"], vec![]));
    assert_eq!(told[0].count.entries, 2);
    room.board.leave(room.now, TOPIC, ada);
    let told = room.passes(200);
    assert_eq!(changes(&told[0]), (vec![], vec!["c1"]));
    assert!(room.passes(10_000).is_empty(), "nothing more to say");
}

#[test]
fn whoever_comes_and_goes_in_one_window_is_not_told_of() {
    let mut room = Room::new(&Options::default());
    let ada = room.comes(&member(1, 1));
    room.passes(50);
    room.board.leave(room.now, TOPIC, ada);
    assert!(room.passes(1000).is_empty());
    // What follows goes on from what is known.
    room.comes(&member(2, 2));
    let told = room.passes(200);
    assert_eq!((told[0].from, told[0].count.version), (0, 3));
}

/// Whoever was there and comes back in the same window is there, not gone.
#[test]
fn whoever_leaves_and_comes_back_in_one_window_is_there() {
    let mut room = Room::new(&Options::default());
    let who = member(1, 1);
    let ada = room.comes(&who);
    room.passes(200);
    room.board.leave(room.now, TOPIC, ada);
    room.comes(&who);
    let told = room.passes(200);
    assert_eq!(changes(&told[0]), (vec!["c1"], vec![]));
}

/// Complaint 38: several tabs of one user, first in and last out.
#[test]
fn a_user_with_several_connections_is_one_user() {
    let mut room = Room::new(&Options::default());
    let tabs = [1, 2, 3].map(|number| room.comes(&member(number, 7)));
    assert_eq!(room.count(), (3, Some(1)));
    room.comes(&member(4, 8));
    assert_eq!(room.count(), (4, Some(2)));
    for (tab, left) in tabs.into_iter().zip([(3, 2), (2, 2), (1, 1)]) {
        room.board.leave(room.now, TOPIC, tab);
        assert_eq!(room.count(), (left.0, Some(left.1)));
    }
}

/// P10: a connection that is lost stays for its grace, and nobody notices if it comes back.
#[test]
fn a_reconnect_inside_grace_is_not_told_of() {
    let mut room = Room::new(&Options::default());
    let who = member(1, 1);
    let lost = room.comes(&who);
    room.passes(200);
    // The same session from another connection, before and after the first one is found lost.
    let again = Arc::new(Member {
        conn: "c2".into(),
        ..(*who).clone()
    });
    let second = room.comes(&again);
    room.board.lapse(room.now, TOPIC, lost);
    assert!(room.passes(6000).is_empty(), "it is the second one's now");
    room.board.lapse(room.now, TOPIC, second);
    assert!(room.passes(4999).is_empty());
    room.comes(&again);
    assert!(room.passes(20_000).is_empty());
    // Another session of the same user goes on with what the first has left behind.
    let third = room.holder();
    let other = member(9, 1);
    let lost = room.comes(&again);
    room.board.lapse(room.now, TOPIC, lost);
    let (board, given) = (&mut room.board, Given::Kept);
    board
        .announce(room.now, &id(1), (third, &other), given)
        .unwrap();
    assert!(room.passes(20_000).is_empty());
    assert_eq!(room.count(), (1, Some(1)));
    room.board.leave(room.now, TOPIC, third);
    assert_eq!(changes(&room.passes(200)[0]), (vec![], vec!["c1"]));
}

/// A dead connection leaves when its grace is over, within a spoke and a window.
#[test]
fn whoever_does_not_come_back_leaves() {
    let mut room = Room::new(&Options::default());
    let lost = room.comes(&member(1, 1));
    room.passes(200);
    room.board.lapse(room.now, TOPIC, lost);
    assert!(room.passes(5000).is_empty());
    assert_eq!(changes(&room.passes(208)[0]), (vec![], vec!["c1"]));
}

/// P11: without being set again, it ends with its time.
#[test]
fn typing_ends_with_its_time() {
    let mut room = Room::new(&Options::default());
    let ada = room.holder();
    room.types(ada, "k", 3000).unwrap();
    assert_eq!(changes(&room.passes(200)[0]), (vec!["k"], vec![]));
    assert!(room.passes(1800).is_empty());
    // Renewed with the same value: nobody is told.
    room.types(ada, "k", 3000).unwrap();
    assert!(room.passes(3000).is_empty());
    assert_eq!(changes(&room.passes(208)[0]), (vec![], vec!["k"]));
    // It does not outlive the grace of its connection.
    room.types(ada, "k", 10_000).unwrap();
    room.passes(200);
    room.board.lapse_key(room.now, TOPIC, (TYPING, "k"), ada);
    assert!(room.passes(5000).is_empty());
    assert_eq!(changes(&room.passes(208)[0]), (vec![], vec!["k"]));
}

/// P11, with many keys at random: at no moment is anything there that was not set within its time.
#[test]
fn nothing_ephemeral_outlives_its_time() {
    for seed in 0..50 {
        let mut random = Random(seed);
        let mut room = Room::new(&Options::default());
        let mut watchers = Watchers::new(&Options::default(), &Seed::new(seed));
        let viewer = room.clients.insert(());
        watchers.watch(viewer, 1, (TOPIC, TYPING));
        let mut picture = Picture::default();
        let holder = room.holder();
        let mut ends: BTreeMap<String, u32> = BTreeMap::new();
        for step in 0..400 {
            let key = format!("k{}", random.below(10));
            let ttl_ms = 1 + u32::try_from(random.below(10_000)).unwrap();
            if random.one_in(3) {
                room.types(holder, &key, ttl_ms).unwrap();
                ends.insert(key, room.now.after(ttl_ms).0);
            } else if random.one_in(4) {
                room.board
                    .lapse_key(room.now, TOPIC, (TYPING, &key), holder);
            }
            for window in room.passes(1 + u32::try_from(random.below(100)).unwrap()) {
                watchers.receive(&window, |_| ());
            }
            while let Some((watch, window, form)) = watchers.next(viewer) {
                watchers.told(watch, &window);
                if let Then::Page(_) = picture.diff(&window.told(form)) {
                    let page = room.board.page(&id(1), TYPING, (None, None)).unwrap();
                    assert_eq!(picture.page(&page), Then::Nothing);
                }
            }
            for key in picture.entries.keys() {
                let late = room.now.since(Tick(ends[key]));
                assert!(
                    late <= 200 + 16,
                    "seed {seed}, step {step}: {key} is {late} ms late"
                );
            }
        }
    }
}

#[test]
fn a_key_is_its_users_until_it_ends() {
    let mut room = Room::new(&Options::default());
    let (ada, bob) = (room.holder(), room.holder());
    room.types(ada, "lock", 1000).unwrap();
    let of_bob = |value| Draft {
        namespace: TYPING,
        key: "lock",
        user: value,
        value: None,
        ttl_ms: 1000,
    };
    let user: Arc<str> = "bob".into();
    let now = room.now;
    let refused = room.board.set(now, &id(1), bob, of_bob(&user));
    assert_eq!(refused, Err(Refusal::Taken));
    let place = (TYPING, "lock");
    assert_eq!(
        room.board.delete(now, TOPIC, place, "bob"),
        Err(Refusal::Taken)
    );
    assert_eq!(room.board.delete(now, TOPIC, place, "ada"), Ok(()));
    assert_eq!(room.board.set(now, &id(1), bob, of_bob(&user)), Ok(()));
}

#[test]
fn entries_namespaces_and_bytes_are_bounded() {
    let options = Options {
        state_entries_max: 2,
        state_namespaces_max: 3,
        state_budget_bytes: 1500,
        ..Options::default()
    };
    let mut room = Room::new(&options);
    let ada = room.holder();
    for key in ["a", "b"] {
        room.types(ada, key, 1000).unwrap();
    }
    assert_eq!(room.types(ada, "c", 1000), Err(Refusal::Entries(2)));
    room.types(ada, "b", 1000).unwrap();
    let user: Arc<str> = "ada".into();
    let draft = |namespace, value: usize| Draft {
        namespace,
        key: "k",
        user: &user,
        value: Some("1".repeat(value).into()),
        ttl_ms: 1000,
    };
    let now = room.now;
    assert_eq!(
        room.board.set(now, &id(1), ada, draft("cursor", 900)),
        Err(Refusal::Bytes)
    );
    assert_eq!(
        room.board.set(now, &id(1), ada, draft("cursor", 100)),
        Ok(())
    );
    assert_eq!(
        room.board.set(now, &id(1), ada, draft("cursor", 900)),
        Err(Refusal::Bytes)
    );
    assert_eq!(
        room.board.set(now, &id(1), ada, draft("more", 1)),
        Err(Refusal::Namespaces(3))
    );
    // What has ended makes room.
    room.passes(1100);
    assert_eq!(
        room.board.set(now, &id(1), ada, draft("cursor", 900)),
        Ok(())
    );
}

/// The same session's second connection does not leave when the first one does.
#[test]
fn only_who_holds_an_entry_ends_it() {
    let mut room = Room::new(&Options::default());
    let who = member(1, 1);
    let first = room.comes(&who);
    let second = room.comes(&who);
    room.board.leave(room.now, TOPIC, first);
    assert_eq!(room.count(), (1, Some(1)));
    room.board.leave(room.now, TOPIC, second);
    assert_eq!(room.count(), (0, Some(0)));
}

/// Complaint 34: with 10,000 members that flap, what a watcher is sent depends on the windows, not
/// on the members.
#[test]
fn what_a_watcher_is_sent_is_bounded_by_windows() {
    let options = Options::default();
    let mut room = Room::new(&options);
    let members: Vec<Arc<Member>> = (0..10_000).map(|number| member(number, number)).collect();
    let mut there: Vec<Option<Holder>> = members.iter().map(|who| Some(room.comes(who))).collect();
    let mut bytes = 0;
    let mut windows = 0;
    let mut random = Random(5);
    for round in 0_u32..50 {
        // First a few, then many more than fit.
        let flaps = if round < 25 { 50 } else { 5_000 };
        for _ in 0..flaps {
            let place = random.index(members.len());
            there[place] = match there[place] {
                Some(holder) => {
                    room.board.leave(room.now, TOPIC, holder);
                    None
                }
                None => Some(room.comes(&members[place])),
            };
        }
        for window in room.passes(200) {
            let before = bytes;
            for dialect in Dialect::ALL {
                bytes += window.message(dialect, Form::Whole, || ()).payload().len();
            }
            windows += 1;
            assert!(bytes - before <= 2 * (options.state_window_bytes + 512));
            // A few changes cost a few bytes, however many members there are.
            if (1..25).contains(&round) {
                assert!(bytes - before < 2 * 50 * 64 + 1024, "{}", bytes - before);
            }
        }
    }
    assert_eq!(windows, 50);
    assert!(bytes / windows < options.state_window_bytes, "{bytes}");
}

/// A lease is a number that nobody else has at the same time.
#[test]
fn leases_are_used_again_when_they_have_ended() {
    let mut leases = Leases::new();
    let of = Default::default();
    let now = Tick(u32::MAX - 5);
    let all: Vec<LeaseKey> = (1..=3)
        .map(|n| leases.begin(now, now.after(n * 100), of))
        .collect();
    leases.renew(all[0], now.after(250));
    leases.end(all[1]);
    assert_eq!(leases.ended(now.after(200)), None);
    let another = leases.begin(now.after(200), now.after(5000), of);
    assert_eq!(another, all[1]);
    assert_eq!(leases.ended(now.after(258)), Some(of));
    assert_eq!(leases.ended(now.after(308)), Some(of));
    assert_eq!(leases.ended(now.after(4000)), None);
    assert_eq!(leases.until(another), Some(now.after(5000)));
    assert_eq!(leases.ended(now.after(5008)), Some(of));
}

//! A world of one home core, several cores that watch and many watchers, moved by a seed. Whatever
//! happens, a watcher that goes by the words it is sent ends with the set.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use corewire_protocol::native::{Members, PRESENCE, StateDiff, entry_digest};
use slotmap::SlotMap;

use crate::engine::Tick;
use crate::hash::Seed;
use crate::ids::CoreId;

use super::super::class::Class;
use super::super::client::ClientKey;
use super::super::options::Options;
use super::super::publication::TopicId;
use super::board::{Board, Draft, Given};
use super::member::{Holder, Member};
use super::refusal::Refusal;
use super::watchers::Watchers;
use super::window::Window;

pub(super) const TOPIC: &str = "room";
pub(super) const TYPING: &str = "typing";
const CORES: u8 = 3;

/// Numbers from a seed (`SplitMix64`).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(super) fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

pub(super) fn id(alias: u64) -> Arc<TopicId> {
    Arc::new(TopicId {
        alias,
        name: TOPIC.into(),
        epoch: "e".into(),
        home: CoreId(0),
        class: Class::Volatile,
    })
}

pub(super) fn member(number: u64, user: u64) -> Arc<Member> {
    let name: Arc<str> = format!("c{number}").into();
    Arc::new(Member {
        user: format!("user{user}").into(),
        session: Arc::clone(&name),
        incarnation: 0,
        conn: name,
    })
}

fn small() -> Options {
    Options {
        state_window_bytes: 600,
        state_backlog_bytes: 1500,
        state_page_items: 3,
        state_entries_max: 60,
        ..Options::default()
    }
}

// ── A client ──

/// What a client knows of a set, by the rules of the document: of each key the newest version; a
/// key that is gone, if what is known of it is not newer; and if the digest of what is known is not
/// the one that was told, all pages from the first.
#[derive(Debug, Default)]
pub(super) struct Picture {
    t: u64,
    pub(super) entries: BTreeMap<String, (u64, Option<String>)>,
    /// What pages have told so far, while there are more.
    paging: Option<BTreeMap<String, (u64, Option<String>)>>,
    /// The newest page's version.
    paged: u64,
    told: (u64, u64, u64),
    users: Option<u64>,
    pages: usize,
}

/// What a client does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    Page(Option<String>),
}

impl Picture {
    pub(super) fn diff(&mut self, diff: &StateDiff<'_>) -> Then {
        if diff.t != self.t {
            let pages = self.pages;
            *self = Self {
                t: diff.t,
                pages,
                ..Self::default()
            };
        }
        for entries in [Some(&mut self.entries), self.paging.as_mut()] {
            let Some(entries) = entries else { continue };
            for entry in &diff.set {
                let known = entries.get(&*entry.key).map_or(0, |known| known.0);
                if entry.version > known {
                    let value = entry.value.as_deref().map(str::to_owned);
                    entries.insert(entry.key.to_string(), (entry.version, value));
                }
            }
            for key in &diff.deleted {
                if entries
                    .get(&**key)
                    .is_some_and(|known| known.0 <= diff.version)
                {
                    entries.remove(&**key);
                }
            }
        }
        self.told = (diff.version, diff.n, diff.digest);
        self.users = diff.users;
        self.check()
    }

    pub(super) fn page(&mut self, page: &Members<'_>) -> Then {
        let Some(entries) = &mut self.paging else {
            return Then::Nothing;
        };
        if page.t != self.t {
            self.paging = None;
            return Then::Nothing;
        }
        self.pages += 1;
        for entry in &page.items {
            let known = entries.get(&*entry.key).map_or(0, |known| known.0);
            if entry.version > known {
                let value = entry.value.as_deref().map(str::to_owned);
                entries.insert(entry.key.to_string(), (entry.version, value));
            }
        }
        self.paged = self.paged.max(page.version);
        if let Some(next) = &page.next {
            return Then::Page(Some(next.to_string()));
        }
        self.entries = self.paging.take().unwrap_or_default();
        self.check()
    }

    fn digest(&self) -> u64 {
        let entries = self.entries.iter();
        entries.fold(0, |all, (key, known)| all ^ entry_digest(key, known.0))
    }

    fn check(&mut self) -> Then {
        let (version, n, digest) = self.told;
        if self.paging.is_some() || version < self.paged {
            return Then::Nothing;
        }
        if self.entries.len() as u64 == n && self.digest() == digest {
            return Then::Nothing;
        }
        self.paging = Some(BTreeMap::new());
        Then::Page(None)
    }
}

// ── A world ──

/// What is on its way from the home core to another.
enum Mail {
    Window(Arc<Window>),
    Page(ClientKey, Members<'static>),
    /// The cursor was refused.
    NoPage(ClientKey),
}

struct Client {
    core: usize,
    namespace: &'static str,
    picture: Picture,
    /// Pages that lie ready for it, and are sent before anything else.
    replies: VecDeque<Option<Members<'static>>>,
    watches: bool,
}

struct World {
    random: Random,
    now: Tick,
    board: Board,
    alias: u64,
    cores: Vec<Watchers>,
    lines: Vec<VecDeque<Mail>>,
    /// Asks to the home core, from all cores in one order.
    asks: VecDeque<(ClientKey, Option<String>)>,
    clients: SlotMap<ClientKey, Client>,
    keys: Vec<ClientKey>,
    /// Connections that hold something: their number and core.
    holders: Vec<(Holder, Arc<Member>)>,
    connections: SlotMap<ClientKey, ()>,
    made: u64,
    missed: usize,
}

impl World {
    fn new(seed: u64, options: &Options) -> Self {
        let hash = Seed::new(seed);
        let mut world = Self {
            random: Random(seed),
            now: Tick(u32::MAX - 3000),
            board: Board::new(options, &hash),
            alias: 1,
            cores: (0..CORES).map(|_| Watchers::new(options, &hash)).collect(),
            lines: (0..CORES).map(|_| VecDeque::new()).collect(),
            asks: VecDeque::new(),
            clients: SlotMap::with_key(),
            keys: Vec::new(),
            holders: Vec::new(),
            connections: SlotMap::with_key(),
            made: 0,
            missed: 0,
        };
        for number in 0..9 {
            let core = number % usize::from(CORES);
            let client = Client {
                core,
                namespace: if number % 2 == 0 { PRESENCE } else { TYPING },
                picture: Picture::default(),
                replies: VecDeque::new(),
                watches: false,
            };
            let key = world.clients.insert(client);
            world.keys.push(key);
        }
        world
    }

    fn core(core: usize) -> CoreId {
        CoreId(u8::try_from(core).unwrap())
    }

    fn some_step(&mut self) {
        match self.random.below(20) {
            0..=3 => self.somebody_comes(),
            4 | 5 => self.somebody_goes(),
            6..=8 => self.somebody_types(),
            9 | 10 => self.somebody_changes(),
            11..=13 => self.time(self.random_ms()),
            14..=16 => self.some_mail(),
            17 | 18 => self.somebody_reads(),
            _ => self.something_rare(),
        }
        self.post();
    }

    fn random_ms(&self) -> u32 {
        u32::try_from(Random(self.random.0 ^ 7).below(300)).unwrap()
    }

    fn somebody_comes(&mut self) {
        let core = self.random.index(usize::from(CORES));
        let client = self.connections.insert(());
        let holder = Holder {
            core: Self::core(core),
            client,
        };
        self.made += 1;
        // A session that goes on, in one of six, if its user has one.
        let again = self.random.one_in(6) && !self.holders.is_empty();
        let who = if again {
            let place = self.random.index(self.holders.len());
            let before = &self.holders[place].1;
            Arc::new(Member {
                user: Arc::clone(&before.user),
                session: Arc::clone(&before.session),
                incarnation: before.incarnation + 1,
                conn: format!("c{}", self.made).into(),
            })
        } else {
            member(self.made, self.random.below(12))
        };
        let (board, id) = (&mut self.board, id(self.alias));
        match board.announce(self.now, &id, (holder, &who), Given::Kept) {
            Ok(()) => self.holders.push((holder, who)),
            Err(refusal) => assert_eq!(refusal, Refusal::Entries(60)),
        }
    }

    fn somebody_goes(&mut self) {
        if self.holders.is_empty() {
            return;
        }
        let place = self.random.index(self.holders.len());
        let (holder, _) = self.holders.swap_remove(place);
        match self.random.below(3) {
            0 => self.board.leave(self.now, TOPIC, holder),
            _ => self.board.lapse(self.now, TOPIC, holder),
        }
    }

    fn somebody_changes(&mut self) {
        if self.holders.is_empty() {
            return;
        }
        let place = self.random.index(self.holders.len());
        let (holder, who) = &self.holders[place];
        let value: Arc<str> = self.random.below(3).to_string().into();
        let given = Given::Value(Some(value));
        let (board, id) = (&mut self.board, id(self.alias));
        board
            .announce(self.now, &id, (*holder, who), given)
            .unwrap_or_else(|refusal| assert_eq!(refusal, Refusal::Entries(60)));
    }

    fn somebody_types(&mut self) {
        if self.holders.is_empty() {
            return;
        }
        let place = self.random.index(self.holders.len());
        let (holder, who) = self.holders[place].clone();
        let key = format!("k{}", self.random.below(20));
        if self.random.one_in(4) {
            let of = (TYPING, &*key);
            let _ = self.board.delete(self.now, TOPIC, of, &who.user);
            return;
        }
        let draft = Draft {
            namespace: TYPING,
            key: &key,
            user: &who.user,
            value: Some(self.random.below(3).to_string().into()),
            ttl_ms: 1 + u32::try_from(self.random.below(2000)).unwrap(),
        };
        let _ = self.board.set(self.now, &id(self.alias), holder, draft);
    }

    fn something_rare(&mut self) {
        match self.random.below(6) {
            // Another alias, as after the topic was forgotten.
            0 => {
                self.alias += 1;
                self.made += 1;
                let holder = Holder {
                    core: CoreId(0),
                    client: self.connections.insert(()),
                };
                let who = member(self.made, 0);
                let given = Given::Kept;
                let id = id(self.alias);
                if (self.board)
                    .announce(self.now, &id, (holder, &who), given)
                    .is_ok()
                {
                    self.holders.push((holder, who));
                }
            }
            // A core loses its memory.
            1 => {
                let core = self.random.index(usize::from(CORES));
                self.lines[core].clear();
                self.board.forget_core(self.now, Self::core(core));
                self.holders
                    .retain(|(holder, _)| holder.core.index() != core);
                for &key in &self.keys.clone() {
                    if self.clients[key].core == core {
                        self.cores[core].gone(key);
                        self.clients[key].watches = false;
                        self.clients[key].picture = Picture::default();
                        self.clients[key].replies.clear();
                        self.asks.retain(|(of, _)| *of != key);
                    }
                }
            }
            2 => {
                let key = self.keys[self.random.index(self.keys.len())];
                self.stop_watching(key);
            }
            _ => {
                let key = self.keys[self.random.index(self.keys.len())];
                self.begin_watching(key);
            }
        }
    }

    fn begin_watching(&mut self, key: ClientKey) {
        let client = &mut self.clients[key];
        if std::mem::replace(&mut client.watches, true) {
            return;
        }
        client.picture = Picture::default();
        let (core, namespace) = (client.core, client.namespace);
        let watchers = &mut self.cores[core];
        watchers.may_watch(key, 1).unwrap();
        if watchers.watch(key, 1, (TOPIC, namespace)) {
            let id = id(self.alias);
            self.board.watch(self.now, &id, namespace, Self::core(core));
        }
    }

    fn stop_watching(&mut self, key: ClientKey) {
        let client = &mut self.clients[key];
        client.watches = false;
        client.replies.clear();
        let core = client.core;
        self.asks.retain(|(of, _)| *of != key);
        self.lines[core].retain(|mail| match mail {
            Mail::Window(_) => true,
            Mail::Page(of, _) | Mail::NoPage(of) => *of != key,
        });
        for (topic, namespace) in self.cores[core].unsubscribed(key, 1) {
            self.board.unwatch(&topic, &namespace, Self::core(core));
        }
    }

    fn time(&mut self, ms: u32) {
        self.now = self.now.after(ms);
        self.board.tick(self.now);
    }

    /// What the board wants sent is on its way, or does not fit.
    fn post(&mut self) {
        for (core, window) in std::mem::take(&mut self.board.outgoing) {
            let line = &mut self.lines[core.index()];
            let full = line.len() > 6 || self.random.one_in(15);
            if full {
                self.missed += 1;
                self.board.missed(self.now, &window, core);
            } else {
                line.push_back(Mail::Window(window));
            }
        }
    }

    fn some_mail(&mut self) {
        if self.random.one_in(2)
            && let Some((key, after)) = self.asks.pop_front()
        {
            let (core, namespace) = (self.clients[key].core, self.clients[key].namespace);
            let cursor = (after.as_deref(), None);
            let mail = match self.board.page(&id(self.alias), namespace, cursor) {
                Ok(page) => Mail::Page(key, page),
                Err(refusal) => {
                    assert_eq!(refusal, Refusal::Cursor);
                    Mail::NoPage(key)
                }
            };
            self.lines[core].push_back(mail);
        }
        let core = self.random.index(usize::from(CORES));
        match self.lines[core].pop_front() {
            None => {}
            Some(Mail::Window(window)) => self.cores[core].receive(&window, |_| ()),
            Some(Mail::Page(key, page)) => self.clients[key].replies.push_back(Some(page)),
            Some(Mail::NoPage(key)) => self.clients[key].replies.push_back(None),
        }
    }

    /// Somebody reads one word: replies first.
    fn somebody_reads(&mut self) {
        let key = self.keys[self.random.index(self.keys.len())];
        self.read(key);
    }

    fn read(&mut self, key: ClientKey) -> bool {
        let client = &mut self.clients[key];
        let then = if let Some(page) = client.replies.pop_front() {
            match page {
                Some(page) => client.picture.page(&page),
                None => {
                    client.picture.paging = None;
                    client.picture.check()
                }
            }
        } else if let Some((watch, window, form)) = self.cores[client.core].next(key) {
            self.cores[client.core].told(watch, &window);
            client.picture.diff(&window.told(form))
        } else {
            return false;
        };
        if let Then::Page(after) = then {
            self.asks.push_back((key, after));
        }
        true
    }

    /// Nothing changes any more: everything on its way arrives.
    fn come_to_rest(&mut self) {
        for _ in 0..200 {
            self.time(100);
            for (core, window) in std::mem::take(&mut self.board.outgoing) {
                self.lines[core.index()].push_back(Mail::Window(window));
            }
            let mut moved = true;
            while moved {
                moved = !self.asks.is_empty() || self.lines.iter().any(|line| !line.is_empty());
                self.some_mail();
                for key in self.keys.clone() {
                    moved |= self.read(key);
                }
            }
        }
    }

    fn agree(&self, seed: u64) {
        let keys = self.keys.clone();
        for key in keys {
            let client = &self.clients[key];
            if !client.watches {
                continue;
            }
            let (namespace, picture) = (client.namespace, &client.picture);
            let truth = self.all(namespace);
            assert_eq!(picture.entries, truth.0, "seed {seed}, {namespace}");
            assert_eq!(picture.told.1, truth.0.len() as u64, "seed {seed}");
            assert_eq!(picture.digest(), picture.told.2, "seed {seed}");
            assert_eq!(picture.users, truth.1, "seed {seed}, {namespace}");
            assert!(picture.paging.is_none(), "seed {seed}");
        }
    }

    /// All entries of a set, page by page.
    fn all(&self, namespace: &str) -> (BTreeMap<String, (u64, Option<String>)>, Option<u64>) {
        let mut all = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let cursor = (after.as_deref(), None);
            let page = self.board.page(&id(self.alias), namespace, cursor).unwrap();
            for entry in page.items {
                let value = entry.value.map(|value| value.to_string());
                all.insert(entry.key.to_string(), (entry.version, value));
            }
            match page.next {
                Some(next) => after = Some(next.to_string()),
                None => return (all, page.users),
            }
        }
    }
}

/// P10: whatever was lost, late or read slowly, whoever watches ends with the set.
#[test]
fn whoever_watches_ends_with_the_set() {
    let (mut missed, mut pages, mut marks) = (0, 0, 0);
    for seed in 0..400 {
        let mut world = World::new(seed, &small());
        for key in world.keys.clone() {
            if world.random.one_in(2) {
                world.begin_watching(key);
            }
        }
        for _ in 0..600 {
            world.some_step();
        }
        world.come_to_rest();
        world.agree(seed);
        missed += world.missed;
        marks += world.board.tally.marks;
        pages += world
            .clients
            .values()
            .map(|client| client.picture.pages)
            .sum::<usize>();
    }
    // The course has had what it is about.
    assert!(
        missed > 1000 && pages > 1000 && marks > 100,
        "{missed} {pages} {marks}"
    );
}

/// Whoever holds nothing any more leaves nothing: not a set, not a lease, not a byte.
#[test]
fn what_is_left_behind_ends_with_its_grace() {
    for seed in 0..100 {
        let mut world = World::new(seed, &small());
        for _ in 0..300 {
            world.some_step();
        }
        for key in world.keys.clone() {
            world.stop_watching(key);
        }
        for (holder, _) in std::mem::take(&mut world.holders) {
            world.board.lapse(world.now, TOPIC, holder);
        }
        // Also connections that were taken over, or refused: nobody else holds anything.
        for core in 0..CORES {
            world.board.forget_core(world.now, CoreId(core));
        }
        for _ in 0..120 {
            world.time(100);
        }
        assert!(world.board.is_empty(), "seed {seed}");
        assert_eq!(world.board.next_in_ms(world.now), None, "seed {seed}");
    }
}

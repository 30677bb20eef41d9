//! Who watches sets on this core, and how far each has been told.
//!
//! A watcher is a cursor: the version up to which it was told. The newest windows of a set are kept
//! once for all as long as somebody is behind; whoever is behind them is told by a mark how things
//! stand, and asks for a page. So a watcher that does not read costs nothing, and misses nothing
//! without being told.

use std::collections::VecDeque;
use std::sync::Arc;

use slotmap::{SecondaryMap, SlotMap, new_key_type};

use crate::hash::{Map, Seed};
use crate::ids::CoreId;

use super::super::client::ClientKey;
use super::super::options::Options;
use super::refusal::Refusal;
use super::window::{Body, Form, Window};

new_key_type! {
    struct WatchedKey;
    /// The name of a watcher: a client and a set.
    pub(in crate::messaging) struct WatchKey;
}

/// The watchers of a core.
#[derive(Debug)]
pub(in crate::messaging) struct Watchers {
    watched: SlotMap<WatchedKey, Watched>,
    /// By topic and namespace.
    by_topic: Map<Box<str>, Map<Box<str>, WatchedKey>>,
    watches: SlotMap<WatchKey, Watch>,
    clients: SecondaryMap<ClientKey, Box<OfClient>>,
    /// Bytes of all windows that are kept.
    bytes: usize,
    bytes_max: usize,
    /// The same of one set.
    backlog_bytes: usize,
    watches_max: usize,
    seed: Seed,
}

/// A set that somebody watches.
#[derive(Debug)]
struct Watched {
    topic: Box<str>,
    namespace: Box<str>,
    /// What came last. `None` until its home core has told anything.
    newest: Option<Arc<Window>>,
    /// The newest windows, each going on where the one before ends.
    kept: VecDeque<Arc<Window>>,
    kept_bytes: usize,
    /// Where the first of them begins: who stands before it has missed something.
    start: u64,
    watchers: Vec<WatchKey>,
    /// How many of them are behind.
    behind: usize,
}

/// One who watches it.
#[derive(Debug)]
struct Watch {
    client: ClientKey,
    of: WatchedKey,
    /// Its place among the set's watchers.
    place: usize,
    subscriptions: Vec<u64>,
    /// The version up to which it was told, if anything.
    cursor: Option<u64>,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Current,
    /// In its client's list.
    Behind,
}

#[derive(Debug, Default)]
struct OfClient {
    all: Vec<WatchKey>,
    behind: VecDeque<WatchKey>,
}

/// A topic and a namespace.
pub(in crate::messaging) type Subject = (Box<str>, Box<str>);

impl Watchers {
    pub(in crate::messaging) fn new(options: &Options, seed: &Seed) -> Self {
        Self {
            watched: SlotMap::with_key(),
            by_topic: Map::with_hasher(seed.clone()),
            watches: SlotMap::with_key(),
            clients: SecondaryMap::new(),
            bytes: 0,
            bytes_max: options.state_budget_bytes,
            backlog_bytes: options.state_backlog_bytes,
            watches_max: options.state_watches_max,
            seed: seed.clone(),
        }
    }

    /// Whether a client may watch so many sets more.
    pub(in crate::messaging) fn may_watch(
        &self,
        client: ClientKey,
        more: usize,
    ) -> Result<(), Refusal> {
        let known = self.clients.get(client).map_or(0, |of| of.all.len());
        if known + more <= self.watches_max {
            Ok(())
        } else {
            Err(Refusal::Watches(self.watches_max))
        }
    }

    /// A subscription of a client watches a set. Returns whether its home core is to be asked.
    pub(in crate::messaging) fn watch(
        &mut self,
        client: ClientKey,
        s: u64,
        (topic, namespace): (&str, &str),
    ) -> bool {
        let (of, asked) = match self.find(topic, namespace) {
            Some(of) => (of, false),
            None => (self.add(topic, namespace), true),
        };
        let Some(of_client) = self.clients.entry(client) else {
            return false;
        };
        let of_client = of_client.or_default();
        let watches = &mut self.watches;
        let known = of_client
            .all
            .iter()
            .copied()
            .find(|&key| watches.get(key).is_some_and(|watch| watch.of == of));
        if let Some(watch) = known.and_then(|key| watches.get_mut(key)) {
            if !watch.subscriptions.contains(&s) {
                watch.subscriptions.push(s);
            }
            return asked;
        }
        let Some(watched) = self.watched.get_mut(of) else {
            return false;
        };
        let key = watches.insert(Watch {
            client,
            of,
            place: watched.watchers.len(),
            subscriptions: vec![s],
            cursor: None,
            standing: Standing::Behind,
        });
        watched.watchers.push(key);
        watched.behind += 1;
        of_client.all.push(key);
        of_client.behind.push_back(key);
        asked
    }

    /// How many sets a client watches.
    pub(in crate::messaging) fn watched_by(&self, client: ClientKey) -> usize {
        let of_client = self.clients.get(client);
        of_client.map_or(0, |of_client| of_client.all.len())
    }

    /// A subscription of a client has ended. Returns the sets that nobody watches any more.
    pub(in crate::messaging) fn unsubscribed(&mut self, client: ClientKey, s: u64) -> Vec<Subject> {
        let Some(of_client) = self.clients.get(client) else {
            return Vec::new();
        };
        let mut over = Vec::new();
        for &key in &of_client.all {
            if let Some(watch) = self.watches.get_mut(key)
                && watch.subscriptions.contains(&s)
            {
                watch.subscriptions.retain(|&other| other != s);
                if watch.subscriptions.is_empty() {
                    over.push(key);
                }
            }
        }
        if let Some(of_client) = self.clients.get_mut(client) {
            of_client.all.retain(|key| !over.contains(key));
            of_client.behind.retain(|key| !over.contains(key));
        }
        self.end(over)
    }

    /// A client has gone. Returns the sets that nobody watches any more.
    pub(in crate::messaging) fn gone(&mut self, client: ClientKey) -> Vec<Subject> {
        match self.clients.remove(client) {
            Some(of_client) => self.end(of_client.all),
            None => Vec::new(),
        }
    }

    fn end(&mut self, over: Vec<WatchKey>) -> Vec<Subject> {
        let mut deserted = Vec::new();
        for key in over {
            let Some(watch) = self.watches.remove(key) else {
                continue;
            };
            let Some(watched) = self.watched.get_mut(watch.of) else {
                continue;
            };
            watched.watchers.swap_remove(watch.place);
            if let Some(&moved) = watched.watchers.get(watch.place)
                && let Some(moved) = self.watches.get_mut(moved)
            {
                moved.place = watch.place;
            }
            if watch.standing == Standing::Behind {
                self.bytes -= watched.one_less_behind();
            }
            if watched.watchers.is_empty()
                && let Some(watched) = self.watched.remove(watch.of)
            {
                self.bytes -= watched.kept_bytes;
                if let Some(sets) = self.by_topic.get_mut(&watched.topic) {
                    sets.remove(&watched.namespace);
                    if sets.is_empty() {
                        self.by_topic.remove(&watched.topic);
                    }
                }
                deserted.push((watched.topic, watched.namespace));
            }
        }
        deserted
    }

    /// A window has come. `wake` is told of every client that is behind now.
    pub(in crate::messaging) fn receive(
        &mut self,
        window: &Arc<Window>,
        mut wake: impl FnMut(ClientKey),
    ) {
        let Some(of) = self.find(&window.topic.name, &window.namespace) else {
            return;
        };
        let Some(watched) = self.watched.get_mut(of) else {
            return;
        };
        let news = watched.receive(window, &mut self.bytes);
        if news == News::None {
            return;
        }
        watched.trim(self.backlog_bytes, &mut self.bytes);
        if self.bytes > self.bytes_max {
            // Over the budget of all sets whoever grows is forgotten: those behind are told so.
            watched.trim(0, &mut self.bytes);
        }
        for &key in &watched.watchers {
            let Some(watch) = self.watches.get_mut(key) else {
                continue;
            };
            if news == News::Another {
                watch.cursor = None;
            }
            if watch.standing == Standing::Current {
                watch.standing = Standing::Behind;
                watched.behind += 1;
                if let Some(of_client) = self.clients.get_mut(watch.client) {
                    of_client.behind.push_back(key);
                }
            }
            wake(watch.client);
        }
    }

    /// How many sets a client is behind in.
    pub(in crate::messaging) fn behind(&self, client: ClientKey) -> usize {
        self.clients.get(client).map_or(0, |of| of.behind.len())
    }

    /// The first watcher of a client that is behind, and what it is to be told next. Watchers for
    /// whom there is nothing are current.
    pub(in crate::messaging) fn next(
        &mut self,
        client: ClientKey,
    ) -> Option<(WatchKey, Arc<Window>, Form)> {
        loop {
            let key = *self.clients.get(client)?.behind.front()?;
            if let Some((window, form)) = self.owed(key) {
                return Some((key, Arc::clone(window), form));
            }
            self.clients.get_mut(client)?.behind.pop_front();
            if let Some(watch) = self.watches.get_mut(key)
                && let Some(watched) = self.watched.get_mut(watch.of)
            {
                watch.standing = Standing::Current;
                self.bytes -= watched.one_less_behind();
            }
        }
    }

    /// A watcher was told.
    pub(in crate::messaging) fn told(&mut self, key: WatchKey, window: &Window) {
        if let Some(watch) = self.watches.get_mut(key) {
            watch.cursor = Some(window.count.version);
        }
    }

    /// The first watcher of a client that is behind has to wait: the next one is the first.
    pub(in crate::messaging) fn set_back(&mut self, client: ClientKey) {
        if let Some(of_client) = self.clients.get_mut(client)
            && !of_client.behind.is_empty()
        {
            of_client.behind.rotate_left(1);
        }
    }

    /// A home core has lost its memory. Returns the sets that it is to be asked for again.
    pub(in crate::messaging) fn home_restarted(
        &mut self,
        core: CoreId,
        home_of: impl Fn(&str) -> CoreId,
    ) -> Vec<Subject> {
        let mut again = Vec::new();
        for watched in self.watched.values_mut() {
            if home_of(&watched.topic) == core {
                watched.newest = None;
                watched.trim(0, &mut self.bytes);
                again.push((watched.topic.clone(), watched.namespace.clone()));
            }
        }
        again
    }

    fn owed(&self, key: WatchKey) -> Option<(&Arc<Window>, Form)> {
        let watch = self.watches.get(key)?;
        let watched = self.watched.get(watch.of)?;
        let newest = watched.newest.as_ref()?;
        match watch.cursor {
            Some(cursor) if cursor >= watched.start => {
                let told = |window: &Arc<Window>| window.count.version <= cursor;
                let place = watched.kept.partition_point(told);
                watched.kept.get(place).map(|window| (window, Form::Whole))
            }
            Some(_) | None => Some((newest, Form::Mark)),
        }
    }

    fn find(&self, topic: &str, namespace: &str) -> Option<WatchedKey> {
        self.by_topic.get(topic)?.get(namespace).copied()
    }

    fn add(&mut self, topic: &str, namespace: &str) -> WatchedKey {
        let key = self.watched.insert(Watched {
            topic: topic.into(),
            namespace: namespace.into(),
            newest: None,
            kept: VecDeque::new(),
            kept_bytes: 0,
            start: 0,
            watchers: Vec::new(),
            behind: 0,
        });
        let seed = &self.seed;
        let sets = self.by_topic.entry(topic.into());
        sets.or_insert_with(|| Map::with_hasher(seed.clone()))
            .insert(namespace.into(), key);
        key
    }
}

/// What a window means for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// It is known.
    None,
    /// The set has changed.
    More,
    /// The set has begun anew, under another alias.
    Another,
}

impl Watched {
    fn receive(&mut self, window: &Arc<Window>, bytes: &mut usize) -> News {
        let version = window.count.version;
        let alias = window.topic.alias;
        let before = self.newest.as_ref();
        let before = before.filter(|before| before.topic.alias == alias);
        let end = before.map(|before| before.count.version);
        if end.is_some_and(|end| version <= end) {
            return News::None;
        }
        self.newest = Some(Arc::clone(window));
        let goes_on = end.is_some_and(|end| window.from <= end);
        match (&window.body, end) {
            (Body::Changes { .. }, Some(_)) if goes_on => {
                let more = window.bytes();
                self.kept.push_back(Arc::clone(window));
                self.kept_bytes += more;
                *bytes += more;
            }
            // What is between is not known here.
            (Body::Changes { .. } | Body::Mark, _) => {
                self.trim(0, bytes);
                self.start = version;
            }
        }
        match end {
            Some(_) => News::More,
            None => News::Another,
        }
    }

    /// Gives up the oldest until no more than so many bytes are kept.
    fn trim(&mut self, bytes_max: usize, bytes: &mut usize) {
        while self.kept_bytes > bytes_max
            && let Some(oldest) = self.kept.pop_front()
        {
            self.start = oldest.count.version;
            self.kept_bytes -= oldest.bytes();
            *bytes -= oldest.bytes();
        }
    }

    /// One watcher less is behind. Returns the bytes that nobody needs any more.
    fn one_less_behind(&mut self) -> usize {
        self.behind -= 1;
        if self.behind > 0 {
            return 0;
        }
        let before = self.kept_bytes;
        let mut bytes = before;
        self.trim(0, &mut bytes);
        before - bytes
    }
}

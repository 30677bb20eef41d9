//! Reading from the log what the tail does not hold.
//!
//! A delivery of a logged topic whose next message is not in the topic's tail asks the topic's home
//! core for a page of its log, and waits in no list until it comes ([`Standing::Reading`]). It sends
//! what is on the page as any other messages, at its client's speed, and asks for the next page when
//! it is through, until it meets the tail. Nobody else waits for it.
//!
//! ```text
//!   Behind ─ fill: the next message is not here ─▶ Reading ─ page ─▶ Behind ─ fill ─▶ …
//! ```
//!
//! Deliveries that stand at the same place share a page. A core holds at most
//! [`catch_up_pages`](super::Options::catch_up_pages) pages, those under way included; who wants
//! another one waits in a queue. A page that nobody has taken anything from for a while is given up
//! when others wait: its readers are stopped, and ask again when they go on.

use std::collections::VecDeque;
use std::sync::Arc;

use corewire_protocol::native::Cause;
use slotmap::{SlotMap, new_key_type};

use crate::engine::{Effects, Tick};
use crate::hash::{Map, Seed};
use crate::ids::CoreId;

use super::client::Clients;
use super::delivery::{DeliveryKey, Of, Standing};
use super::hub::{Hub, Outgoing, TopicKey};
use super::mail::Mail;
use super::publication::Publication;
use super::store::Range;

new_key_type! {
    /// The name of a page on the core that asked for it.
    pub(super) struct PageKey;
}

/// Bytes of data on a page, beyond which it has one message at most.
pub(super) const PAGE_BYTES: usize = 64 << 10;
/// Messages on a page.
pub(super) const PAGE_MESSAGES: usize = 512;
/// How long a page may lie untouched while others wait for its place.
const REST_MS: u32 = 50;

/// A part of a topic's log: what there is behind `from`, up to `to`.
#[derive(Debug)]
pub(super) struct Page {
    /// The log has nothing up to this offset any more.
    pub(super) from: u64,
    pub(super) to: u64,
    /// In the order of their offsets; those that are missing in between have expired.
    pub(super) entries: Vec<Arc<Publication>>,
    /// Why there is nothing up to `from`.
    pub(super) cause: Cause,
}

/// What stands behind an offset.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    /// The next message.
    Message(&'a Publication),
    /// Everything up to this offset has expired.
    Expired(u64),
    /// Everything up to this offset is gone.
    Gone(u64, Cause),
}

impl Page {
    /// The page of a log that is not there any more.
    const GONE: Self = Self {
        from: u64::MAX,
        to: u64::MAX,
        entries: Vec::new(),
        cause: Cause::Node,
    };

    /// What was read from a log.
    pub(super) fn of(range: Range) -> Self {
        Self {
            from: range.from,
            to: range.to,
            entries: range.entries,
            cause: Cause::Retention,
        }
    }

    /// What stands behind an offset, if the page knows.
    pub(super) fn after(&self, offset: u64) -> Option<Entry<'_>> {
        if offset < self.from {
            return Some(Entry::Gone(self.from, self.cause));
        }
        if offset >= self.to {
            return None;
        }
        let place = self.entries.partition_point(|entry| entry.offset <= offset);
        Some(match self.entries.get(place) {
            Some(entry) if entry.offset == offset + 1 => Entry::Message(entry),
            Some(entry) => Entry::Expired(entry.offset - 1),
            None => Entry::Expired(self.to),
        })
    }
}

/// The pages of a core.
#[derive(Debug)]
pub(super) struct CatchUp {
    shelves: SlotMap<PageKey, Shelf>,
    by_place: Map<(TopicKey, u64), PageKey>,
    /// Deliveries that wait until there is room for their page.
    queue: VecDeque<DeliveryKey>,
    pages_max: usize,
}

/// The place of a page.
#[derive(Debug)]
struct Shelf {
    topic: TopicKey,
    after: u64,
    home: CoreId,
    /// Deliveries that have it as theirs.
    readers: u32,
    /// When it came, or something was taken from it.
    used: Tick,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// It was asked for; these wait for it.
    UnderWay(Vec<DeliveryKey>),
    Here(Page),
}

impl CatchUp {
    pub(super) fn new(pages_max: usize, seed: &Seed) -> Self {
        Self {
            shelves: SlotMap::with_key(),
            by_place: Map::with_hasher(seed.clone()),
            queue: VecDeque::new(),
            pages_max: pages_max.max(1),
        }
    }

    /// A page that is here.
    pub(super) fn page(&self, key: PageKey) -> Option<&Page> {
        match &self.shelves.get(key)?.content {
            Content::Here(page) => Some(page),
            Content::UnderWay(_) => None,
        }
    }

    /// Something was taken from a page.
    pub(super) fn touch(&mut self, key: PageKey, now: Tick) {
        if let Some(shelf) = self.shelves.get_mut(key) {
            shelf.used = now;
        }
    }

    /// A delivery does not want its page any more.
    pub(super) fn release(&mut self, key: PageKey) {
        let Some(shelf) = self.shelves.get_mut(key) else {
            return;
        };
        shelf.readers -= 1;
        // What is under way keeps its place until it is here.
        if shelf.readers == 0 && matches!(shelf.content, Content::Here(_)) {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: PageKey) {
        if let Some(shelf) = self.shelves.remove(key) {
            self.by_place.remove(&(shelf.topic, shelf.after));
        }
    }

    /// Whether there is room for one more page, if need be in the place of one that lies there
    /// untouched.
    fn make_room(&mut self, now: Tick) -> bool {
        if self.shelves.len() < self.pages_max {
            return true;
        }
        let untouched = self.shelves.iter().filter(|(_, shelf)| {
            matches!(shelf.content, Content::Here(_)) && shelf.used.after(REST_MS).is_due(now)
        });
        let oldest = untouched.max_by_key(|(_, shelf)| now.since(shelf.used));
        let Some((oldest, _)) = oldest else {
            return false;
        };
        self.remove(oldest);
        true
    }
}

impl Hub {
    /// A delivery needs the page behind its cursor.
    pub(super) fn fetch(
        &mut self,
        clients: &mut Clients,
        key: DeliveryKey,
        effects: &mut Effects<Mail>,
    ) {
        let now = effects.now().tick;
        let Some(delivery) = self.deliveries.get_mut(key) else {
            return;
        };
        delivery.standing = Standing::Reading;
        let place = (delivery.topic, delivery.cursor);
        let topic = &self.topics[place.0];
        let Some(id) = topic.called.id() else {
            return;
        };
        if let Some(&known) = self.catch_up.by_place.get(&place) {
            let shelf = &mut self.catch_up.shelves[known];
            shelf.readers += 1;
            delivery.page = Some(known);
            match &mut shelf.content {
                Content::UnderWay(waiting) => waiting.push(key),
                Content::Here(_) => self.read_on(clients, key, effects),
            }
            return;
        }
        if !self.catch_up.make_room(now) {
            self.catch_up.queue.push_back(key);
            effects.set_alarm(REST_MS);
            return;
        }
        let shelf = Shelf {
            topic: place.0,
            after: place.1,
            home: id.home,
            readers: 1,
            used: now,
            content: Content::UnderWay(vec![key]),
        };
        let page = self.catch_up.shelves.insert(shelf);
        self.catch_up.by_place.insert(place, page);
        delivery.page = Some(page);
        let id = Arc::clone(id);
        self.outgoing.push_back(Outgoing::Read {
            page,
            id,
            after: place.1,
        });
    }

    /// Asks for the pages that there is room for again.
    pub(super) fn fetch_waiting(&mut self, clients: &mut Clients, effects: &mut Effects<Mail>) {
        for _ in 0..self.catch_up.queue.len() {
            if !self.catch_up.make_room(effects.now().tick) {
                effects.set_alarm(REST_MS);
                return;
            }
            if let Some(key) = self.catch_up.queue.pop_front()
                && let Some(delivery) = self.deliveries.get(key)
                && delivery.standing == Standing::Reading
                && delivery.page.is_none()
            {
                self.fetch(clients, key, effects);
            }
        }
    }

    /// A page has come. `None`: the topic's home core does not know the topic any more.
    pub(super) fn page_came(
        &mut self,
        clients: &mut Clients,
        (key, page): (PageKey, Option<Page>),
        effects: &mut Effects<Mail>,
    ) {
        let Some(shelf) = self.catch_up.shelves.get_mut(key) else {
            return;
        };
        let Content::UnderWay(waiting) = &mut shelf.content else {
            return;
        };
        let waiting = std::mem::take(waiting);
        // A log that ends before a reader has nothing that could still come to it.
        let page = page.filter(|page| page.to > shelf.after || page.from > shelf.after);
        shelf.content = Content::Here(page.unwrap_or(Page::GONE));
        shelf.used = effects.now().tick;
        if shelf.readers == 0 {
            self.catch_up.remove(key);
        }
        for delivery in waiting {
            let is_its = |known: &super::delivery::Delivery| {
                known.page == Some(key) && known.standing == Standing::Reading
            };
            if self.deliveries.get(delivery).is_some_and(is_its) {
                self.read_on(clients, delivery, effects);
            }
        }
    }

    /// A home core has lost its memory: no page comes from there any more.
    pub(super) fn pages_lost(
        &mut self,
        clients: &mut Clients,
        home: CoreId,
        effects: &mut Effects<Mail>,
    ) {
        let lost: Vec<PageKey> = self
            .catch_up
            .shelves
            .iter()
            .filter(|(_, shelf)| {
                shelf.home == home && matches!(shelf.content, Content::UnderWay(_))
            })
            .map(|(key, _)| key)
            .collect();
        for key in lost {
            self.page_came(clients, (key, None), effects);
        }
    }

    /// A delivery that waited for a page has it.
    fn read_on(&mut self, clients: &mut Clients, key: DeliveryKey, effects: &mut Effects<Mail>) {
        if let Some(delivery) = self.deliveries.get_mut(key)
            && let Some(client) = clients.get_mut(delivery.client)
        {
            delivery.standing = Standing::Behind;
            self.deliveries.push_back(&mut client.behind, key, Of::Line);
            if let Some(conn) = client.conn {
                effects.ready(conn);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every offset up to the end of a page is accounted for once.
    #[test]
    fn a_page_says_of_each_offset_what_became_of_it() {
        let page = Page {
            from: 3,
            to: 9,
            entries: [5, 6, 8].map(Publication::numbered).into(),
            cause: Cause::Retention,
        };
        let mut told = Vec::new();
        let mut offset = 1;
        while let Some(entry) = page.after(offset) {
            offset = match entry {
                Entry::Message(publication) => publication.offset,
                Entry::Expired(to) | Entry::Gone(to, _) => to,
            };
            told.push(match entry {
                Entry::Message(_) => ('m', offset),
                Entry::Expired(_) => ('e', offset),
                Entry::Gone(..) => ('g', offset),
            });
        }
        let expected = [
            ('g', 3),
            ('e', 4),
            ('m', 5),
            ('m', 6),
            ('e', 7),
            ('m', 8),
            ('e', 9),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn places_for_pages_are_given_back_to_those_who_wait() {
        let mut catch_up = CatchUp::new(2, &Seed::new(1));
        let begin = Tick(1_000);
        let shelf = |content, used| Shelf {
            topic: TopicKey::default(),
            after: u64::from(used),
            home: CoreId(0),
            readers: 1,
            used: Tick(used),
            content,
        };
        let here = || Content::Here(Page::GONE);
        let older = catch_up.shelves.insert(shelf(here(), 1_000));
        let newer = catch_up.shelves.insert(shelf(here(), 1_010));
        assert!(!catch_up.make_room(begin.after(REST_MS - 1)), "too soon");
        assert!(catch_up.make_room(begin.after(REST_MS)));
        assert!(catch_up.page(older).is_none() && catch_up.page(newer).is_some());
        // What is under way keeps its place, however long that takes.
        let under_way = catch_up
            .shelves
            .insert(shelf(Content::UnderWay(Vec::new()), 0));
        catch_up.touch(newer, begin.after(200));
        assert!(!catch_up.make_room(begin.after(210)));
        // It goes when it is here and nobody wants it.
        catch_up.release(under_way);
        assert_eq!(catch_up.shelves.len(), 2);
        catch_up.release(newer);
        assert!(catch_up.make_room(begin.after(210)));
    }
}

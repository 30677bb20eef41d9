//! What every store keeps to. Each rule is run on each store.

use std::num::NonZeroU32;

use corewire_protocol::native::{Data, Echo};
use proptest::prelude::*;

use crate::hash::Seed;
use crate::ids::CoreId;
use crate::messaging::class::{Class, ClassId, History};
use crate::messaging::client::{Author, Producer};
use crate::messaging::publication::{Draft, Place, Rare, TopicId};

use super::*;

/// The classes of the stores under test.
const HISTORY: History = History {
    messages: 10,
    bytes: 1_000,
    age_ms: 5_000,
};
const LOGGED: ClassId = ClassId(0);
const VOLATILE: ClassId = ClassId(1);
const BRIEF: ClassId = ClassId(2);

fn bounds() -> Bounds {
    Bounds {
        bytes: 1 << 20,
        dedup: DedupBounds {
            window_ms: 5_000,
            producers: 3,
            numbers: 4,
            keys: 3,
        },
    }
}

/// Runs a rule on every store.
fn on_every_store(bounds: Bounds, rule: impl Fn(&mut dyn Store)) {
    let brief = History {
        age_ms: 100,
        ..HISTORY
    };
    let histories = [HISTORY, History::NONE, brief];
    let memory = || MemoryStore::new(&histories, bounds, Seed::new(1));
    rule(&mut memory());
    rule(&mut SlowStore::new(memory()));
}

fn open(store: &mut dyn Store, topic: &str, class: ClassId) -> LogKey {
    let opening = Opening {
        topic,
        class,
        epoch: "e1",
        end: 0,
    };
    assert_eq!(store.find(topic), None, "it begins");
    store.open(opening)
}

/// A message in the making.
#[derive(Clone)]
struct Made {
    offset: u64,
    at: u32,
    bytes: usize,
    ttl_ms: u32,
    producer: Producer,
    pseq: Option<u64>,
    idem: Option<&'static str>,
}

const ADA: Producer = Producer {
    session: 1,
    incarnation: 1,
};

fn message(offset: u64, at: u32) -> Made {
    Made {
        offset,
        at,
        bytes: 10,
        ttl_ms: 0,
        producer: ADA,
        pseq: None,
        idem: None,
    }
}

/// Marks are ten times the offset, times are those of a clock that began at 1000.
fn publication(made: &Made) -> Arc<Publication> {
    let topic = Arc::new(TopicId {
        alias: 1,
        name: "t".into(),
        epoch: "e1".into(),
        home: CoreId(0),
        class: Class::Logged,
    });
    let draft = Draft {
        data: Data::Text("x".repeat(made.bytes).into()),
        key: None,
        pseq: made.pseq,
        author: Arc::new(Author {
            user: "ada".into(),
            conn: "c1".into(),
            producer: made.producer,
        }),
        echo: Echo::Yes,
        ttl_ms: NonZeroU32::new(made.ttl_ms),
        rare: made.idem.map(|idem| {
            Box::new(Rare {
                idem: Some(idem.into()),
                tags: Box::default(),
            })
        }),
    };
    let place = Place {
        offset: made.offset,
        mark: made.offset * 10,
        time_ms: 1_000 + u64::from(made.at),
        taken: Tick(made.at),
    };
    Arc::new(Publication::new(topic, place, draft))
}

fn append(store: &mut dyn Store, log: LogKey, made: &Made) {
    store.append(log, &publication(made));
}

/// Claims a place, and takes it if the message is new.
fn publish(store: &mut dyn Store, log: LogKey, made: &Made) -> Claimed {
    let claim = Claim {
        producer: made.producer,
        pseq: made.pseq,
        idem: made.idem,
    };
    let claimed = store.claim(log, &claim, Tick(made.at));
    if claimed == Claimed::New {
        append(store, log, made);
    }
    claimed
}

fn ask(after: u64, up_to: u64) -> Ask {
    Ask {
        number: ReadNumber(7),
        after,
        up_to,
        messages: usize::MAX,
        bytes: usize::MAX,
        direction: Direction::Forward,
    }
}

fn read(store: &mut dyn Store, log: LogKey, ask: &Ask, at: u32) -> Range {
    match store.read(log, ask, Tick(at)) {
        Read::Now(range) => range,
        Read::Later => loop {
            if let Some((number, range)) = store.finished() {
                assert_eq!(number, ask.number);
                return range;
            }
        },
    }
}

fn offsets(range: &Range) -> Vec<u64> {
    range.entries.iter().map(|entry| entry.offset).collect()
}

#[test]
fn offsets_are_dense_and_all_are_there() {
    on_every_store(bounds(), |store| {
        let (log, other) = (open(store, "t", LOGGED), open(store, "u", LOGGED));
        for offset in 1..=5 {
            append(store, log, &message(offset, 0));
        }
        append(store, other, &message(1, 0));
        let range = read(store, log, &ask(0, u64::MAX), 0);
        assert_eq!(offsets(&range), [1, 2, 3, 4, 5]);
        assert_eq!((range.start, range.end, range.from, range.to), (0, 5, 0, 5));
        let extent = Extent {
            start: 0,
            start_mark: 0,
            end: 5,
        };
        assert_eq!(store.extent(log, Tick(0)), extent);
        assert_eq!(store.figures().messages, 6);
    });
}

#[test]
fn the_oldest_goes_when_there_are_too_many() {
    on_every_store(bounds(), |store| {
        let log = open(store, "t", LOGGED);
        for offset in 1..=25 {
            append(store, log, &message(offset, 0));
        }
        let extent = store.extent(log, Tick(0));
        assert_eq!((extent.start, extent.start_mark, extent.end), (15, 150, 25));
        let range = read(store, log, &ask(3, u64::MAX), 0);
        assert_eq!((range.start, range.from), (15, 15), "15 of them are gone");
        assert_eq!(offsets(&range), (16..=25).collect::<Vec<_>>());
        assert_eq!(store.figures().evicted, 0, "it was their time");
    });
}

#[test]
fn the_oldest_goes_when_they_are_too_large() {
    on_every_store(bounds(), |store| {
        let log = open(store, "t", LOGGED);
        for offset in 1..=5 {
            let large = Made {
                bytes: 400,
                ..message(offset, 0)
            };
            append(store, log, &large);
        }
        assert_eq!(store.extent(log, Tick(0)).start, 3);
        let larger_than_all = Made {
            bytes: 1_001,
            ..message(6, 0)
        };
        append(store, log, &larger_than_all);
        let extent = store.extent(log, Tick(0));
        assert_eq!((extent.start, extent.end), (6, 6), "not even itself");
    });
}

#[test]
fn what_is_too_old_is_gone_whoever_looks() {
    on_every_store(bounds(), |store| {
        let log = open(store, "t", LOGGED);
        append(store, log, &message(1, 0));
        append(store, log, &message(2, 3_000));
        assert_eq!(store.extent(log, Tick(5_000)).start, 0);
        assert_eq!(offsets(&read(store, log, &ask(0, 9), 5_001)), [2]);
        assert!(store.is_in_use(log, Tick(8_000)));
        assert!(!store.is_in_use(log, Tick(8_001)));
        let extent = store.extent(log, Tick(8_001));
        assert_eq!((extent.start, extent.start_mark, extent.end), (2, 20, 2));
        assert_eq!(store.figures(), Figures::default(), "nothing is left");
        append(store, log, &message(3, 9_000));
        assert_eq!(offsets(&read(store, log, &ask(0, 9), 9_000)), [3]);
    });
}

#[test]
fn what_nobody_looks_at_goes_as_well() {
    on_every_store(bounds(), |store| {
        for number in 0..100 {
            let log = open(store, &format!("t{number}"), BRIEF);
            append(store, log, &message(1, 0));
        }
        assert_eq!(store.figures().messages, 100);
        for _ in 0..75 {
            store.tidy(Tick(5_001));
        }
        assert_eq!(store.figures(), Figures::default());
    });
}

#[test]
fn a_read_keeps_within_its_bounds_and_says_how_far_it_came() {
    on_every_store(bounds(), |store| {
        let log = open(store, "t", LOGGED);
        for offset in 1..=10 {
            append(store, log, &message(offset, 0));
        }
        let mut read = |ask: Ask| {
            let range = read(store, log, &ask, 0);
            (range.from, range.to, offsets(&range))
        };
        assert_eq!(read(ask(3, 6)), (3, 6, vec![4, 5, 6]));
        assert_eq!(read(ask(6, 3)), (6, 6, vec![]));
        assert_eq!(read(ask(99, 100)), (10, 10, vec![]));
        let three = Ask {
            messages: 3,
            ..ask(2, 9)
        };
        assert_eq!(read(three), (2, 5, vec![3, 4, 5]));
        let backward = |ask| Ask {
            direction: Direction::Backward,
            ..ask
        };
        assert_eq!(read(backward(three)), (6, 9, vec![7, 8, 9]));
        let each = publication(&message(1, 0)).bytes();
        let two = Ask {
            bytes: 3 * each - 1,
            ..ask(2, 9)
        };
        assert_eq!(read(two), (2, 4, vec![3, 4]));
        assert_eq!(read(backward(two)), (7, 9, vec![8, 9]));
        let one_at_least = Ask {
            bytes: 0,
            messages: 0,
            ..ask(2, 9)
        };
        assert_eq!(read(one_at_least), (2, 3, vec![3]));
        assert_eq!(read(backward(one_at_least)), (8, 9, vec![9]));
    });
}

#[test]
fn what_has_expired_is_not_listed_and_counts_as_read() {
    on_every_store(bounds(), |store| {
        let log = open(store, "t", LOGGED);
        for offset in 1..=6 {
            let short = Made {
                ttl_ms: if offset % 2 == 0 { 100 } else { 0 },
                ..message(offset, 0)
            };
            append(store, log, &short);
        }
        assert_eq!(read(store, log, &ask(0, 9), 99).entries.len(), 6);
        let range = read(store, log, &ask(0, 9), 100);
        assert_eq!(offsets(&range), [1, 3, 5]);
        assert_eq!((range.start, range.from, range.to), (0, 0, 6));
        let two = Ask {
            messages: 2,
            ..ask(0, 9)
        };
        let range = read(store, log, &two, 100);
        assert_eq!((range.to, offsets(&range)), (4, vec![1, 3]));
        // The newest two that there are.
        assert_eq!(store.locate(log, Point::Last(2), Tick(100)), 2);
        assert_eq!(store.locate(log, Point::Last(2), Tick(99)), 4);
    });
}

#[test]
fn a_reader_begins_where_it_asks_to() {
    on_every_store(bounds(), |store| {
        let log = open(store, "t", LOGGED);
        assert_eq!(store.locate(log, Point::Last(5), Tick(0)), 0);
        for offset in 1..=15 {
            append(
                store,
                log,
                &message(offset, u32::try_from(offset).unwrap() * 10),
            );
        }
        // Of the offsets 6 to 15.
        let mut locate = |point| store.locate(log, point, Tick(200));
        assert_eq!(locate(Point::Last(0)), 15);
        assert_eq!(locate(Point::Last(3)), 12);
        assert_eq!(locate(Point::Last(99)), 5);
        assert_eq!(locate(Point::Since(0)), 5);
        assert_eq!(locate(Point::Since(1_080)), 7, "8 is of that moment");
        assert_eq!(locate(Point::Since(1_081)), 8);
        assert_eq!(locate(Point::Since(9_999)), 15);
        assert_eq!(locate(Point::Mark(80)), 8);
        assert_eq!(locate(Point::Mark(85)), 8);
        assert_eq!(locate(Point::Mark(0)), 5);
        assert_eq!(locate(Point::Mark(150)), 15);
    });
}

#[test]
fn over_the_bound_of_all_logs_the_one_that_is_quiet_longest_gives_way() {
    let each = publication(&message(1, 0)).memory_bytes();
    let bounds = Bounds {
        bytes: 10 * each,
        ..bounds()
    };
    on_every_store(bounds, |store| {
        let (quiet, busy) = (open(store, "t", LOGGED), open(store, "u", LOGGED));
        for offset in 1..=4 {
            append(store, quiet, &message(offset, 0));
        }
        for offset in 1..=9 {
            append(store, busy, &message(offset, 1));
        }
        assert_eq!(store.figures().evicted, 3);
        assert_eq!(store.figures().bytes, (10 * each) as u64);
        assert_eq!(store.extent(quiet, Tick(1)).start, 3, "its newest is left");
        assert_eq!(store.extent(busy, Tick(1)).start, 0);
        for offset in 1..=3 {
            append(store, quiet, &message(4 + offset, 2));
        }
        assert_eq!(store.extent(quiet, Tick(2)).start, 3);
        assert_eq!(
            store.extent(busy, Tick(2)).start,
            3,
            "now it is the other's turn"
        );
    });
}

#[test]
fn a_log_that_keeps_nothing_keeps_its_place() {
    on_every_store(bounds(), |store| {
        let log = open(store, "t", VOLATILE);
        for offset in 1..=3 {
            let level = store.append(log, &publication(&message(offset, 0)));
            assert_eq!(level, Level::None, "it is not safe anywhere");
        }
        let extent = store.extent(log, Tick(0));
        assert_eq!((extent.start, extent.start_mark, extent.end), (3, 30, 3));
        let range = read(store, log, &ask(0, 9), 0);
        assert_eq!((range.from, range.to, range.entries.len()), (3, 3, 0));
    });
}

#[test]
fn a_log_that_was_closed_is_empty_and_owes_nothing() {
    on_every_store(bounds(), |store| {
        let log = open(store, "t", LOGGED);
        let numbered = Made {
            pseq: Some(1),
            idem: Some("a"),
            ..message(1, 0)
        };
        publish(store, log, &numbered);
        store.close(log);
        assert_eq!(read(store, log, &ask(0, 9), 0).entries.len(), 0);
        assert_eq!(store.figures(), Figures::default());
        // Another one of this name does not go on with its numbers.
        let again = open(store, "t", LOGGED);
        assert_eq!(store.extent(again, Tick(0)), Extent::default());
        assert_eq!(publish(store, again, &numbered), Claimed::New);
    });
}

// ── What was published before ──

#[test]
fn a_number_is_published_once_and_the_next_one_follows() {
    for class in [LOGGED, VOLATILE] {
        on_every_store(bounds(), |store| {
            let log = open(store, "t", class);
            let numbered = |pseq, offset| Made {
                pseq: Some(pseq),
                ..message(offset, 0)
            };
            // Whoever is not known begins anywhere.
            assert_eq!(publish(store, log, &numbered(5, 1)), Claimed::New);
            append(store, log, &message(2, 0));
            assert_eq!(publish(store, log, &numbered(6, 3)), Claimed::New);
            assert_eq!(publish(store, log, &numbered(6, 4)), Claimed::Known(3));
            assert_eq!(publish(store, log, &numbered(5, 4)), Claimed::Known(1));
            let not_next = Claimed::NotNext { expected: 7 };
            assert_eq!(publish(store, log, &numbered(8, 4)), not_next);
            assert_eq!(publish(store, log, &numbered(4, 4)), not_next);
            // Another producer counts for itself.
            let other = Made {
                producer: Producer {
                    session: 2,
                    incarnation: 1,
                },
                ..numbered(1, 4)
            };
            assert_eq!(publish(store, log, &other), Claimed::New);
            assert_eq!(publish(store, log, &numbered(7, 5)), Claimed::New);
        });
    }
}

#[test]
fn who_has_come_back_is_the_only_one_to_publish() {
    on_every_store(bounds(), |store| {
        let log = open(store, "t", LOGGED);
        let of = |incarnation, pseq, offset| Made {
            producer: Producer { incarnation, ..ADA },
            pseq: Some(pseq),
            ..message(offset, 0)
        };
        assert_eq!(publish(store, log, &of(1, 1, 1)), Claimed::New);
        assert_eq!(publish(store, log, &of(2, 1, 2)), Claimed::Known(1));
        assert_eq!(publish(store, log, &of(2, 2, 2)), Claimed::New);
        assert_eq!(publish(store, log, &of(1, 3, 3)), Claimed::Superseded);
        assert_eq!(publish(store, log, &of(1, 1, 3)), Claimed::Superseded);
        assert_eq!(publish(store, log, &of(2, 3, 3)), Claimed::New);
    });
}

#[test]
fn a_key_is_published_once_whoever_says_it() {
    on_every_store(bounds(), |store| {
        let log = open(store, "t", LOGGED);
        let keyed = |session, idem, pseq, offset| Made {
            producer: Producer {
                session,
                incarnation: 1,
            },
            idem: Some(idem),
            pseq,
            ..message(offset, 0)
        };
        assert_eq!(publish(store, log, &keyed(1, "a", None, 1)), Claimed::New);
        assert_eq!(
            publish(store, log, &keyed(2, "a", Some(1), 2)),
            Claimed::Known(1)
        );
        assert_eq!(
            publish(store, log, &keyed(2, "b", Some(2), 2)),
            Claimed::New
        );
        // What was left out because of its key has used up its number.
        assert_eq!(
            publish(store, log, &keyed(2, "c", Some(1), 3)),
            Claimed::Known(1)
        );
        assert_eq!(
            publish(store, log, &keyed(2, "d", Some(3), 3)),
            Claimed::New
        );
    });
}

#[test]
fn it_is_remembered_for_a_while_and_longer_than_messages() {
    on_every_store(bounds(), |store| {
        let log = open(store, "t", BRIEF);
        let numbered = |at| Made {
            pseq: Some(1),
            idem: Some("a"),
            ..message(1, at)
        };
        assert_eq!(publish(store, log, &numbered(0)), Claimed::New);
        assert_eq!(publish(store, log, &numbered(4_999)), Claimed::Known(1));
        assert_eq!(
            store.extent(log, Tick(4_999)).start,
            1,
            "the message is gone"
        );
        assert!(store.is_in_use(log, Tick(9_998)));
        assert!(!store.is_in_use(log, Tick(10_000)), "it was used at 4,999");
        let next = Made {
            offset: 2,
            ..numbered(10_000)
        };
        assert_eq!(publish(store, log, &next), Claimed::New);
    });
}

#[test]
fn what_is_remembered_is_bounded() {
    on_every_store(bounds(), |store| {
        let log = open(store, "t", LOGGED);
        let of = |session, pseq, offset, at| Made {
            producer: Producer {
                session,
                incarnation: 1,
            },
            pseq: Some(pseq),
            ..message(offset, at)
        };
        // Four numbers of a producer.
        for pseq in 1..=6 {
            let at = u32::try_from(pseq).unwrap();
            assert_eq!(publish(store, log, &of(1, pseq, pseq, at)), Claimed::New);
        }
        assert_eq!(publish(store, log, &of(1, 3, 7, 7)), Claimed::Known(3));
        let expected = Claimed::NotNext { expected: 7 };
        assert_eq!(publish(store, log, &of(1, 2, 7, 7)), expected);
        // Three producers: the one who was not heard of for longest is forgotten.
        assert_eq!(publish(store, log, &of(2, 1, 7, 8)), Claimed::New);
        assert_eq!(publish(store, log, &of(3, 1, 8, 9)), Claimed::New);
        assert_eq!(publish(store, log, &of(1, 7, 9, 10)), Claimed::New);
        assert_eq!(publish(store, log, &of(4, 1, 10, 11)), Claimed::New);
        assert_eq!(publish(store, log, &of(1, 7, 11, 12)), Claimed::Known(9));
        assert_eq!(publish(store, log, &of(3, 1, 11, 12)), Claimed::Known(8));
        assert_eq!(publish(store, log, &of(2, 9, 11, 12)), Claimed::New);
        // Three keys.
        for (place, idem) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let keyed = Made {
                idem: Some(idem),
                ..message(12 + place as u64, 13)
            };
            assert_eq!(publish(store, log, &keyed), Claimed::New);
        }
        let keyed = |idem| Made {
            idem: Some(idem),
            ..message(16, 14)
        };
        assert_eq!(publish(store, log, &keyed("b")), Claimed::Known(13));
        assert_eq!(publish(store, log, &keyed("a")), Claimed::New);
    });
}

/// A step of a random course.
#[derive(Debug, Clone)]
enum Step {
    Append {
        ttl_ms: u32,
        bytes: usize,
    },
    Pass(u32),
    Read {
        after: u64,
        messages: usize,
        direction: Direction,
    },
    Last(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let direction = prop_oneof![Just(Direction::Forward), Just(Direction::Backward)];
    prop_oneof![
        4 => (prop_oneof![Just(0), 1..3_000u32], 0..300usize)
            .prop_map(|(ttl_ms, bytes)| Step::Append { ttl_ms, bytes }),
        2 => (0..2_000u32).prop_map(Step::Pass),
        2 => (0..40u64, 1..6usize, direction)
            .prop_map(|(after, messages, direction)| Step::Read { after, messages, direction }),
        1 => (0..12u64).prop_map(Step::Last),
    ]
}

proptest! {
    /// Against all messages there ever were, looked through from one end to the other.
    #[test]
    fn it_holds_what_the_bounds_allow(steps in prop::collection::vec(step(), 1..80)) {
        on_every_store(bounds(), |store| {
            let log = open(store, "t", LOGGED);
            let mut all: Vec<Made> = Vec::new();
            let mut now = 0;
            for step in &steps {
                // The newest that fit; none that is too old, and none before it.
                let mut kept: Vec<&Made> = Vec::new();
                let mut bytes = 0;
                for made in all.iter().rev() {
                    bytes += made.bytes;
                    if kept.len() == HISTORY.messages
                        || bytes > HISTORY.bytes
                        || now - made.at > HISTORY.age_ms
                    {
                        break;
                    }
                    kept.insert(0, made);
                }
                let end = all.len() as u64;
                let start = end - kept.len() as u64;
                let alive = |made: &&&Made| made.ttl_ms == 0 || now < made.at + made.ttl_ms;
                match step {
                    Step::Append { ttl_ms, bytes } => {
                        let made = Made { ttl_ms: *ttl_ms, bytes: *bytes, ..message(end + 1, now) };
                        append(store, log, &made);
                        all.push(made);
                    }
                    Step::Pass(ms) => now += ms,
                    Step::Read { after, messages, direction } => {
                        let wanted = Ask { messages: *messages, direction: *direction, ..ask(*after, u64::MAX) };
                        let range = read(store, log, &wanted, now);
                        assert_eq!((range.start, range.end), (start, end));
                        let mut expected: Vec<u64> = kept
                            .iter()
                            .filter(alive)
                            .map(|made| made.offset)
                            .filter(|offset| offset > after)
                            .collect();
                        match direction {
                            Direction::Forward => expected.truncate(*messages),
                            Direction::Backward => {
                                expected.drain(..expected.len().saturating_sub(*messages));
                            }
                        }
                        assert_eq!(offsets(&range), expected);
                        // All between its ends is listed, or has expired.
                        let between = kept.iter().filter(alive).map(|made| made.offset);
                        let between = between.filter(|offset| range.from < *offset && *offset <= range.to);
                        assert_eq!(between.collect::<Vec<_>>(), expected);
                    }
                    Step::Last(messages) => {
                        let newest = kept.iter().rev().filter(alive).take(usize::try_from(*messages).unwrap());
                        let expected = newest.last().map_or(end, |made| made.offset - 1);
                        assert_eq!(store.locate(log, Point::Last(*messages), Tick(now)), expected);
                    }
                }
            }
        });
    }
}

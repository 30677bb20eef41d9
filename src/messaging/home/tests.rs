//! A home core by itself.

use corewire_protocol::native::{Complete, Data, Echo};

use super::*;
use crate::messaging::class::{Class, History, TopicRule};
use crate::messaging::client::{Author, Producer};
use crate::messaging::store::{Ask, Direction, MemoryStore, ReadNumber, SlowStore};
use corewire_protocol::native::Cause;

/// Which store is under a home core.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory,
    Slow,
}

/// Behind a mark, and nothing before.
fn behind(mark: u64) -> Missed {
    let reach = Reach::Nothing;
    Missed { mark, reach }
}

fn options() -> Options {
    let rule = |pattern: &str, class, age_ms| TopicRule {
        pattern: pattern.to_owned(),
        class,
        history: History {
            messages: 10,
            bytes: 1 << 20,
            age_ms,
        },
    };
    Options {
        topics: vec![
            rule("volatile.>", Class::Volatile, 0),
            rule("long.>", Class::Logged, 3_600_000),
        ],
        history_messages: 10,
        history_age_ms: 1_000,
        dedup_ms: 1_000,
        topic_idle_ms: 1_000,
        ..Options::default()
    }
}

fn home(kind: Kind) -> Home {
    let options = options();
    let classes = Classes::new(&options);
    let seed = Seed::new(7);
    let bounds = options.store_bounds(1);
    let memory = MemoryStore::new(classes.histories(), bounds, seed.clone());
    let store: Box<dyn Store> = match kind {
        Kind::Memory => Box::new(memory),
        Kind::Slow => Box::new(SlowStore::new(memory)),
    };
    let place = (CoreId(0), 1, 0);
    Home::new(place, "n".into(), classes, &options, store, seed)
}

/// So many milliseconds after the beginning.
const fn at(ms: u32) -> Now {
    Now {
        tick: Tick(ms),
        unix_ms: 1_000_000 + ms as u64,
    }
}

fn publish(home: &mut Home, now: Now, name: &str) -> Arc<Publication> {
    let author = Author {
        user: "ada".into(),
        conn: "c".into(),
        producer: Producer {
            session: 1,
            incarnation: 0,
        },
    };
    let draft = Draft {
        data: Data::Json("1".into()),
        key: None,
        pseq: None,
        author: Arc::new(author),
        echo: Echo::Yes,
        ttl_ms: None,
        rare: None,
    };
    match home.publish(now, name, draft) {
        Ok(Placed::New(publication, ..)) => publication,
        other => panic!("{other:?}"),
    }
}

/// The names of the topics, and behind which offset each begins.
fn arrears(changed: &Changed) -> Vec<(&str, u64, Proof)> {
    changed
        .topics
        .iter()
        .map(|arrears| (&*arrears.id.name, arrears.after, arrears.proof))
        .collect()
}

#[test]
fn a_stream_goes_on_where_it_was_or_says_that_it_does_not() {
    let mut home = home(Kind::Memory);
    let mut epoch = Box::default();
    for _ in 0..15 {
        epoch = publish(&mut home, at(0), "t").topic.epoch.clone();
    }
    let mut locate = |name, epoch: &str, offset| {
        let place = Where::After {
            epoch: epoch.into(),
            offset,
        };
        let located = home.locate(at(0), name, &place).unwrap();
        (located.after, located.proof)
    };
    assert_eq!(locate("t", &epoch, 15), (15, Proof::Exact));
    assert_eq!(locate("t", &epoch, 5), (5, Proof::Exact), "6 is kept");
    let gone = (15, Proof::Lost(Cause::Retention));
    assert_eq!(locate("t", &epoch, 4), gone, "5 is not");
    let other = (15, Proof::Lost(Cause::Node));
    assert_eq!(locate("t", &epoch, 16), other);
    assert_eq!(locate("t", "other", 15), other);
    assert_eq!(locate("new", &epoch, 0), (0, Proof::Lost(Cause::Node)));
    let located = home.locate(at(0), "t", &Where::Last(3)).unwrap();
    assert_eq!((located.after, located.proof), (12, Proof::NotAsked));
    let located = home.locate(at(0), "t", &Where::Since(0)).unwrap();
    assert_eq!((located.after, located.proof), (5, Proof::NotAsked));
}

/// Complaint 7: whoever is said to go on has missed nothing that does not come, and whoever has not
/// is said to; also where there never was a message.
#[test]
fn exactly_who_can_be_sent_all_goes_on() {
    for count in 0..=15 {
        let mut home = home(Kind::Memory);
        let id = home.identify(Tick(0), "t").unwrap();
        for _ in 0..count {
            publish(&mut home, at(0), "t");
        }
        for offset in 0..=count + 2 {
            let place = Where::After {
                epoch: id.epoch.clone(),
                offset,
            };
            let located = home.locate(at(0), "t", &place).unwrap();
            let (after, proof) = match offset {
                _ if offset > count => (count, Proof::Lost(Cause::Node)),
                _ if count - offset > 10 => (count, Proof::Lost(Cause::Retention)),
                _ => (offset, Proof::Exact),
            };
            assert_eq!((located.after, located.proof), (after, proof), "{count}");
        }
    }
}

/// Complaint 3: however long somebody was away, up to the end of the window and no longer.
#[test]
fn a_stream_goes_on_at_every_age_up_to_the_window() {
    for away_ms in 0..=3_000 {
        let mut home = home(Kind::Memory);
        let epoch = publish(&mut home, at(0), "t").topic.epoch.clone();
        publish(&mut home, at(500), "t");
        let back = at(500 + away_ms);
        for tick in (0..=away_ms).step_by(100) {
            home.tidy(Tick(500 + tick));
        }
        let place = Where::After { epoch, offset: 1 };
        let located = home.locate(back, "t", &place).unwrap();
        let is_exact = located.proof == Proof::Exact;
        assert_eq!(is_exact, away_ms <= 1_000, "{away_ms} ms: {located:?}");
    }
}

#[test]
fn a_topic_without_a_log_goes_on_only_from_its_end() {
    let mut home = home(Kind::Memory);
    let epoch = publish(&mut home, at(0), "volatile.t").topic.epoch.clone();
    publish(&mut home, at(0), "volatile.t");
    let mut locate = |begin| {
        let located = home.locate(at(0), "volatile.t", &begin).unwrap();
        (located.after, located.proof)
    };
    let after = |offset| Where::After {
        epoch: epoch.clone(),
        offset,
    };
    assert_eq!(locate(after(2)), (2, Proof::Exact));
    assert_eq!(locate(after(1)), (2, Proof::Lost(Cause::Retention)));
    assert_eq!(locate(Where::Last(2)), (2, Proof::NotAsked));
}

#[test]
fn a_pattern_learns_what_it_has_missed() {
    let mut home = home(Kind::Memory);
    publish(&mut home, at(0), "a.one");
    publish(&mut home, at(0), "a.two");
    let mark = home.mark();
    let since = |home: &mut Home, pattern: &str, point| {
        let changed = home.topics_since(Tick(0), pattern, point, None);
        assert_eq!(changed.next, None);
        changed
    };
    assert!(since(&mut home, "a.*", behind(mark)).topics.is_empty());
    publish(&mut home, at(0), "a.two");
    publish(&mut home, at(0), "b.one");
    publish(&mut home, at(0), "a.three");
    publish(&mut home, at(0), "volatile.one");
    let missed = since(&mut home, "a.*", behind(mark));
    let expected = [("a.two", 1, Proof::Exact), ("a.three", 0, Proof::Exact)];
    assert_eq!(
        arrears(&missed),
        expected,
        "in the order of their last messages"
    );
    let missed = since(&mut home, "volatile.>", behind(mark));
    let lost = Proof::Lost(Cause::Retention);
    assert_eq!(arrears(&missed), [("volatile.one", 1, lost)]);
    let all = Missed {
        mark: home.mark(),
        reach: Reach::Last(1),
    };
    let all = since(&mut home, "a.*", all);
    let expected = ["a.one", "a.two", "a.three"];
    assert_eq!(
        arrears(&all).iter().map(|one| one.0).collect::<Vec<_>>(),
        expected
    );
    // What retention has taken is not passed over.
    for _ in 0..11 {
        publish(&mut home, at(0), "a.three");
    }
    let missed = since(&mut home, "a.*", behind(mark));
    assert_eq!(arrears(&missed)[1], ("a.three", 2, lost));
}

#[test]
fn what_is_missed_comes_in_pages_and_what_changes_meanwhile_comes_again() {
    let mut home = home(Kind::Memory);
    let topics = 10_000;
    for number in 0..topics {
        publish(&mut home, at(0), &format!("t.{number}"));
    }
    let mut seen = Vec::new();
    let mut from = None;
    loop {
        let changed = home.topics_since(Tick(0), "t.*", behind(0), from);
        seen.extend(changed.topics.iter().map(|one| one.id.name.to_string()));
        from = changed.next;
        if from.is_none() {
            break;
        }
        // The last topic of the page is where the next one begins, and moves.
        let last = seen.last().unwrap().clone();
        publish(&mut home, at(0), &last);
    }
    let mut different = seen.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), topics, "none was left out");
    assert_eq!(seen.len(), topics + 2, "those that changed came again");
    assert!(home.vouches("t.*", 0));
}

#[test]
fn nobody_vouches_for_topics_that_were_forgotten() {
    let mut home = home(Kind::Memory);
    publish(&mut home, at(0), "long.t");
    publish(&mut home, at(0), "t.brief");
    assert!(home.vouches("t.*", 0) && home.vouches("long.>", 0));
    for _ in 0..10 {
        home.tidy(Tick(5_000));
    }
    assert!(
        !home.vouches("t.*", 0),
        "there was a message, and no trace of it is left"
    );
    assert!(home.vouches("t.*", 2), "not behind that");
    assert!(home.vouches("long.>", 0), "these are kept for an hour");
    assert!(!home.vouches("long.>", 3), "a mark that is still to come");
}

#[test]
fn a_page_may_come_later() {
    for kind in [Kind::Memory, Kind::Slow] {
        let mut home = home(kind);
        for _ in 0..5 {
            publish(&mut home, at(0), "t");
        }
        let wanted = PageWanted {
            from: PageFrom::End,
            direction: Direction::Backward,
            messages: 2,
            bytes: usize::MAX,
        };
        let number = ReadNumber(3);
        let page = match home.page(at(0), "t", (number, &wanted)) {
            Ok(Paged::Now(page)) => page,
            Ok(Paged::Later(topic)) => {
                assert!(kind == Kind::Slow);
                assert!(home.finished().is_none());
                let (finished, range) = home.finished().unwrap();
                assert_eq!(finished, number);
                HistoryPage::new(topic, range, wanted.direction)
            }
            Err(error) => panic!("{error:?}"),
        };
        let offsets: Vec<u64> = page.range.entries.iter().map(|one| one.offset).collect();
        assert_eq!(offsets, [4, 5]);
        assert_eq!((page.range.from, page.complete), (3, Complete::No));
    }
}

#[test]
fn a_read_of_a_topic_that_has_begun_anew_finds_nothing() {
    let mut home = home(Kind::Memory);
    let old = Arc::clone(&publish(&mut home, at(0), "t").topic);
    let ask = Ask {
        number: ReadNumber(0),
        after: 0,
        up_to: u64::MAX,
        messages: 10,
        bytes: 1_000,
        direction: Direction::Forward,
    };
    assert!(matches!(home.read(at(0), &old, &ask), Reading::Now(range) if range.to == 1));
    for _ in 0..10 {
        home.tidy(Tick(5_000));
    }
    let new = Arc::clone(&publish(&mut home, at(5_000), "t").topic);
    assert_ne!(old.epoch, new.epoch);
    assert!(matches!(home.read(at(5_000), &old, &ask), Reading::Gone));
}

/// A clock that is put back does not make a message older than those before it.
#[test]
fn the_times_of_a_topic_do_not_go_back() {
    let mut home = home(Kind::Memory);
    let late = publish(&mut home, at(500), "t");
    let back = Now {
        unix_ms: 1,
        ..at(501)
    };
    let next = publish(&mut home, back, "t");
    assert_eq!(next.time_ms, late.time_ms);
    let located = home.locate(at(501), "t", &Where::Since(late.time_ms));
    assert_eq!(located.unwrap().after, 0);
}

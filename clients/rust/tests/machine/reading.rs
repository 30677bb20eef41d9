//! Pages of the past: asked once or again, answered once.

use corewire_client::machine::{
    History, HistoryError, HistoryId, Machine, Options, Page, PageFrom, Position,
};
use corewire_protocol::native::{Complete, Dialect};

use crate::world::World;

fn world() -> World {
    let mut world = World::new(Machine::new(Options::new("ws://a/ws"), 7), Dialect::Binary);
    for number in 0..10 {
        world.publish("a", &[number]);
    }
    world
}

fn ask(world: &mut World, from: PageFrom, limit: Option<u64>) -> HistoryId {
    let history = History {
        topic: "a".into(),
        from,
        limit,
    };
    world.machine.history(history).unwrap()
}

fn offsets(page: &Page) -> Vec<u64> {
    let messages = page.messages.iter();
    messages.map(|message| message.position.offset).collect()
}

#[test]
fn a_topic_is_read_page_by_page_in_both_directions() {
    let mut world = world();
    world.connect();
    let mut read = |from, limit| {
        let id = ask(&mut world, from, Some(limit));
        world.flow();
        let (answered, page) = world.machine.next_page().unwrap();
        assert_eq!(answered, id);
        page.unwrap()
    };
    let page = read(PageFrom::Newest, 4);
    assert_eq!(
        (offsets(&page), page.complete),
        (vec![7, 8, 9, 10], Complete::No)
    );
    assert_eq!(page.messages[0].data.as_bytes(), [6]);
    let page = read(page.older(), 4);
    assert_eq!(
        (offsets(&page), page.complete),
        (vec![3, 4, 5, 6], Complete::No)
    );
    let page = read(page.older(), 4);
    assert_eq!((offsets(&page), page.complete), (vec![1, 2], Complete::Yes));
    let page = read(PageFrom::Oldest, 6);
    assert_eq!(offsets(&page), [1, 2, 3, 4, 5, 6]);
    let page = read(page.newer(), 6);
    assert_eq!(
        (offsets(&page), page.complete),
        (vec![7, 8, 9, 10], Complete::Yes)
    );
}

#[test]
fn a_question_whose_connection_ends_is_asked_again() {
    let mut world = world();
    let id = ask(&mut world, PageFrom::Oldest, None);
    let link = world.open().unwrap();
    world.transmit();
    while world.serve_one(link) || world.deliver_one(link) {}
    world.transmit();
    world.serve_one(link);
    world.cut(link);
    assert_eq!(world.machine.next_page(), None);
    world.wait();
    world.connect();
    let (answered, page) = world.machine.next_page().unwrap();
    assert_eq!((answered, page.unwrap().messages.len()), (id, 10));
    assert_eq!(world.machine.next_page(), None);
}

#[test]
fn questions_are_bounded_and_end_with_the_client() {
    let mut world = world();
    for _ in 0..1024 {
        ask(&mut world, PageFrom::Newest, None);
    }
    let history = |topic: &str| History {
        topic: topic.into(),
        from: PageFrom::After(Position {
            epoch: "e1".into(),
            offset: 3,
        }),
        limit: None,
    };
    assert_eq!(
        world.machine.history(history("a")),
        Err(HistoryError::TooMany(1024))
    );
    assert!(matches!(
        world.machine.history(history("a.*")),
        Err(HistoryError::Topic(_))
    ));
    world.machine.close(world.now_ms);
    let ends = std::iter::from_fn(|| world.machine.next_page());
    let ends: Vec<_> = ends.map(|(_, page)| page).collect();
    assert_eq!(ends, vec![Err(HistoryError::Stopped); 1024]);
    assert_eq!(
        world.machine.history(history("a")),
        Err(HistoryError::Stopped)
    );
}

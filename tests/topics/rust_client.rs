//! Who is there and who types, as applications see it that use the Rust client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use corewire::messaging::{Identity, Options};
use corewire::server;
use corewire_client::{
    Change, Client, Dialect, Picture, Presence, Standing, State, StateError, SubscribeError,
    SubscribingError,
};
use corewire_testkit::served::options;
use corewire_testkit::{PATIENCE, Served};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::serve;

const ROOM: &str = "chat.room1";

/// Two cores, and clients that choose their names.
fn with_names() -> Served {
    let server = server::Options {
        cores: Some(2),
        ..options()
    };
    serve(Options::default(), Identity::Named, server)
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let test = tokio::time::timeout(PATIENCE, test);
        test.await.expect("the test came to its end")
    })
}

async fn connect(address: SocketAddr, user: &str, dialect: Dialect) -> Client {
    let client = Client::connect(format!("ws://{address}/ws"));
    client.user(user).dialect(dialect).await.unwrap()
}

/// Waits for a picture.
async fn until(state: &mut State, fits: impl Fn(&Picture) -> bool) -> Arc<Picture> {
    let mut picture = state.picture();
    while !(picture.standing() == Standing::Live && fits(&picture)) {
        picture = state.changed().await.expect("the client lives");
    }
    picture
}

/// Who is there, with what they say.
fn names(picture: &Picture) -> Vec<String> {
    let words = picture.entries().map(|entry| match &entry.value {
        Some(value) => format!("{}: {value}", entry.user),
        None => entry.user.to_string(),
    });
    let mut names: Vec<_> = words.collect();
    names.sort();
    names
}

#[test]
fn who_is_there_and_who_types_can_be_watched() {
    for dialect in Dialect::ALL {
        let server = with_names();
        run(async {
            let ann = connect(server.address(), "ann", dialect).await;
            let room = ann.subscribe(ROOM).presence(Presence::Both).watch("typing");
            let room = room.await.unwrap();
            let (mut here, mut typing) = (room.presence().unwrap(), room.state("typing").unwrap());
            let alone = until(&mut here, |picture| picture.count() == 1).await;
            assert_eq!(names(&alone), ["ann"]);

            let bob = connect(server.address(), "bob", dialect).await;
            // He is announced, and types by a pattern that covers the topic.
            let announced = bob.subscribe(ROOM).presence(Presence::Announce);
            let announced = announced.await.unwrap();
            let said = announced.presence().unwrap();
            said.set("busy").unwrap();
            let is_busy = |picture: &Picture| names(picture) == ["ann", "bob: \"busy\""];
            let both = until(&mut here, is_busy).await;
            assert_eq!(both.users(), Some(2));
            assert!(matches!(both.since(&alone)[..], [Change::Came(bob)] if &*bob.user == "bob"));

            let all = bob.subscribe("chat.>").await.unwrap();
            let his = bob.state(ROOM, "typing").unwrap();
            let short = Duration::from_millis(300);
            his.entry().ttl(short).set(()).unwrap();
            let one = until(&mut typing, |picture| picture.count() == 1).await;
            assert!(one.has_user("bob"));
            // It ends by itself.
            until(&mut typing, |picture| picture.count() == 0).await;
            his.entry().key("left").set([1, 2]).unwrap();
            let one = until(&mut typing, |picture| picture.get("left").is_some()).await;
            let value = one.get("left").unwrap().value.as_ref().unwrap();
            assert_eq!(value.parse::<[u8; 2]>().unwrap(), [1, 2]);
            his.entry().key("left").clear();
            until(&mut typing, |picture| picture.count() == 0).await;

            said.clear();
            until(&mut here, |picture| names(picture) == ["ann", "bob"]).await;
            drop((all, his, said, announced));
            bob.close().await;
            until(&mut here, |picture| names(picture) == ["ann"]).await;
            ann.close().await;
            while here.changed().await.is_some() {}
            assert_eq!(here.set("gone").unwrap_err(), StateError::Stopped);
        });
        server.stop();
    }
}

#[test]
fn what_cannot_be_says_what_to_do() {
    let server = with_names();
    run(async {
        let ann = connect(server.address(), "ann", Dialect::Json).await;
        let refused = ann.subscribe("chat.>").presence(Presence::Both).await;
        let error = SubscribingError::Impossible(SubscribeError::StateOfPattern);
        assert_eq!(refused.unwrap_err(), error);
        let room = ann.subscribe(ROOM).presence(Presence::Watch).await.unwrap();
        let error = room.presence().unwrap().set(1).unwrap_err().to_string();
        assert!(error.contains("Announce or Both"), "{error}");
        // Nothing covers this one, which only the server knows.
        let other = ann.state("other", "typing").unwrap();
        other.set(()).unwrap();
        let warning = ann.warning().await;
        assert!(warning.text.contains("subscribe first"), "{warning:?}");
        assert_eq!(other.picture().standing(), Standing::Unwatched);
    });
    server.stop();
}

/// Carries bytes to the server until it is told to cut.
async fn carry(server: SocketAddr, cuts: watch::Receiver<u32>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut cuts = cuts.clone();
            cuts.mark_unchanged();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cuts.changed() => {}
                }
            });
        }
    });
    address
}

#[test]
fn over_a_cut_everybody_stays_and_says_the_same() {
    let server = with_names();
    run(async {
        let (cut, cuts) = watch::channel(0);
        let bob = connect(server.address(), "bob", Dialect::Binary).await;
        let bobs = bob.subscribe(ROOM).presence(Presence::Both).await.unwrap();
        let mut seen_by_bob = bobs.presence().unwrap();

        let line = carry(server.address(), cuts).await;
        let ann = connect(line, "ann", Dialect::Json).await;
        let anns = ann.subscribe(ROOM).presence(Presence::Both).watch("typing");
        let anns = anns.await.unwrap();
        let mut seen_by_ann = anns.presence().unwrap();
        seen_by_ann.set("here").unwrap();
        let both = |picture: &Picture| names(picture) == ["ann: \"here\"", "bob"];
        until(&mut seen_by_ann, both).await;
        let before = until(&mut seen_by_bob, both).await;

        let session = ann.session().unwrap();
        cut.send(1).unwrap();
        while seen_by_ann.picture().standing() == Standing::Live {
            seen_by_ann.changed().await.unwrap();
        }
        assert!(both(&seen_by_ann.picture()), "what was known is shown");
        until(&mut seen_by_ann, both).await;
        assert_ne!(ann.session().unwrap().conn, session.conn);
        // Bob has not noticed: it is the same entry, which never left.
        bobs.presence().unwrap().set("too").unwrap();
        let now = |picture: &Picture| names(picture) == ["ann: \"here\"", "bob: \"too\""];
        let after = until(&mut seen_by_bob, now).await;
        let changes = after.since(&before);
        assert!(matches!(changes[..], [Change::Changed(bob)] if &*bob.user == "bob"));
        until(&mut seen_by_ann, now).await;
    });
    server.stop();
}

//! A panic in a handler ends that handler and nothing else.
#![expect(
    clippy::panic_in_result_fn,
    clippy::unwrap_used,
    reason = "panics are what this is about, and a failed unwrap is a failed test"
)]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corewire::engine::{
    Context, Core, Effects, End, Fill, Handler, Message, Request, Response, Service, UpgradeRequest,
};
use corewire::{CoreId, Server};
use corewire_testkit::served::options;
use corewire_testkit::{Peer, Process, Served, eventually, frames, peer::upgrade_request};

/// Panics where it is told to.
#[derive(Debug, Clone, Default)]
struct Fragile {
    /// Handlers that were made.
    made: Arc<AtomicUsize>,
}

struct OfCore {
    core: CoreId,
    number: usize,
}

#[derive(Debug)]
struct Session {
    panics_when_closed: bool,
}

impl Service for Fragile {
    type Handler = OfCore;

    fn handler(&self, core: &Core) -> OfCore {
        OfCore {
            core: core.id,
            number: self.made.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Handler for OfCore {
    type Session = Session;
    type Mail = ();

    fn upgrade(&mut self, request: &mut UpgradeRequest<'_>) -> Result<Session, Response> {
        assert_ne!(request.path(), "/panic", "planted in upgrade");
        Ok(Session {
            panics_when_closed: false,
        })
    }

    fn request(&mut self, request: &Request<'_>) -> Response {
        assert_ne!(request.path(), "/panic", "planted in request");
        Response::text(200, "fine")
    }

    fn open(&mut self, _: &mut Session, context: &mut Context<'_, ()>) {
        context
            .text(&format!("core {} handler {}", self.core, self.number))
            .unwrap();
    }

    fn message(
        &mut self,
        session: &mut Session,
        message: Message<'_>,
        context: &mut Context<'_, ()>,
    ) {
        match message.as_text() {
            Some("panic") => panic!("planted in message"),
            Some("panic in fill") => context.ready(),
            Some("panic in mail") => context.effects().mail(self.core, ()),
            Some("panic when closed") => session.panics_when_closed = true,
            Some("panic in timeout") => context.set_timer(1),
            Some(_) | None => {
                let _ = context.reply(message);
            }
        }
    }

    fn fill(&mut self, _: &mut Session, _: &mut Context<'_, ()>) -> Fill {
        panic!("planted in fill")
    }

    fn timeout(&mut self, _: &mut Session, _: &mut Context<'_, ()>) {
        panic!("planted in timeout")
    }

    fn close(&mut self, session: Session, _: &End, _: &mut Effects<()>) {
        assert!(!session.panics_when_closed, "planted in close");
    }

    fn mail(&mut self, _: CoreId, (): (), _: &mut Effects<()>) {
        panic!("planted in mail")
    }
}

/// A client and the core that it is on.
fn arrive(server: &Served) -> (Peer, u8, usize) {
    let mut peer = Peer::connect(server.address());
    peer.send(upgrade_request("/", &[]));
    let _ = peer.expect_upgrade();
    let hello = String::from_utf8(peer.expect_frame().payload).unwrap();
    let words: Vec<&str> = hello.split(' ').collect();
    (peer, words[1].parse().unwrap(), words[3].parse().unwrap())
}

fn arrive_on(server: &Served, core: u8) -> (Peer, usize) {
    for _ in 0..200 {
        let (peer, at, handler) = arrive(server);
        if at == core {
            return (peer, handler);
        }
    }
    panic!("never came to core {core}");
}

fn two_cores() -> Served {
    let mut options = options();
    options.cores = Some(2);
    Served::start(Fragile::default(), options)
}

#[test]
fn its_core_gets_1012_and_the_others_do_not_notice() {
    let server = two_cores();
    let causes = [
        "panic",
        "panic in fill",
        "panic in mail",
        "panic in timeout",
        "panic when closed",
    ];
    let (mut elsewhere, _) = arrive_on(&server, 1);
    for (round, cause) in causes.into_iter().enumerate() {
        let (mut neighbour, handler) = arrive_on(&server, 0);
        let (mut idle_neighbour, _) = arrive_on(&server, 0);
        let (mut culprit, _) = arrive_on(&server, 0);
        culprit.send(frames::text(cause));
        if cause == "panic when closed" {
            // Who closes is answered before the handler hears of it.
            culprit.close();
        } else {
            culprit.answer_close(1012);
        }
        neighbour.answer_close(1012);
        idle_neighbour.answer_close(1012);
        assert_eq!(server.count_on(CoreId(0), "panics"), round as u64 + 1);
        // The next ones are served by another handler.
        let (mut next, next_handler) = arrive_on(&server, 0);
        assert_ne!(next_handler, handler);
        next.send(frames::text("back to work"));
        next.expect_text("back to work");
        // The other core has its handler and its connections.
        elsewhere.send(frames::text("what was that?"));
        elsewhere.expect_text("what was that?");
        next.close();
    }
    assert_eq!(server.count_on(CoreId(1), "panics"), 0);
    let (_, handler) = arrive_on(&server, 1);
    assert!(handler < 2, "one of the first two");
    elsewhere.close();
    eventually("all are forgotten", || server.connections() == 0);
}

#[test]
fn a_request_is_answered_with_500() {
    let server = two_cores();
    for request in [
        "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        upgrade_request("/panic", &[]),
    ] {
        let mut peer = Peer::connect(server.address());
        // Those before it are answered; those after it are not.
        let fine = "GET /fine HTTP/1.1\r\nHost: a\r\n\r\n";
        peer.send(format!("{fine}{request}{fine}"));
        let _ = peer.expect_reply(200);
        let reply = peer.expect_reply(500);
        assert_eq!(reply.header("connection"), Some("close"));
        peer.expect_end();
    }
    assert_eq!(server.count("panics"), 2);
    eventually("all are forgotten", || server.connections() == 0);
}

/// Nothing of a session that has panicked is told to the next handler, and output that waits for
/// a slow reader leaves before the Close frame.
#[test]
fn what_waits_leaves_before_the_close_frame() {
    let server = two_cores();
    let (mut culprit, core, _) = arrive(&server);
    let mut reader = loop {
        let dial = Peer::dial(server.address()).receive_buffer(16 << 10);
        let mut peer = dial.connect().upgraded();
        let hello = String::from_utf8(peer.expect_frame().payload).unwrap();
        if hello.starts_with(&format!("core {core} ")) {
            break peer;
        }
    };
    let large = vec![5; 1 << 20];
    reader.send(frames::binary(&large));
    let _ = reader.sip_and_keep(100);
    culprit.send(frames::text("panic"));
    culprit.answer_close(1012);
    reader.expect_binary(&large);
    reader.answer_close(1012);
    eventually("all are forgotten", || server.connections() == 0);
}

/// Run by the next test as a process of its own.
#[test]
#[ignore = "a server for another test"]
fn serve_until_a_signal() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    corewire::server::log_panics();
    let bound = Server::with_options(Fragile::default(), options())
        .bind()
        .unwrap();
    let address = bound.addresses()[0];
    let running = bound.start().unwrap();
    running.watch_signals().unwrap();
    println!("serves on {address}");
    let _ = running.join().unwrap();
}

#[test]
fn it_is_said_once_on_stderr_and_the_process_goes_on() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "serve_until_a_signal",
        "--ignored",
        "--nocapture",
    ]);
    let mut server = Process::start(command);
    let mut peer = Peer::connect(server.address());
    peer.send(upgrade_request("/", &[]));
    let _ = peer.expect_upgrade();
    let _ = peer.expect_frame();
    peer.send(frames::text("panic"));
    peer.answer_close(1012);
    let mut peer = Peer::connect(server.address());
    peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let _ = peer.expect_reply(200);
    server.terminate();
    peer.expect_end();
    drop(peer);
    let finished = server.wait();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    let said = finished.stderr.matches("planted in message").count();
    assert_eq!(said, 1, "{}", finished.stderr);
    // With the way that led there: its place is named, and again in the backtrace.
    let places = finished.stderr.matches("panic.rs").count();
    assert!(places > 1, "{}", finished.stderr);
}

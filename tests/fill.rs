//! What an application sends of its own accord is pulled: a slow reader costs a cursor.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use corewire::engine::{
    Context, Core, Effects, End, Fill, Handler, Message, Response, Service, UpgradeRequest,
};
use corewire::protocol::CloseCode;
use corewire::{ConnId, CoreId};
use corewire_testkit::served::options;
use corewire_testkit::{Ended, Peer, Served, eventually, frames};

/// Bytes of one part of a stream.
const PART_BYTES: usize = 10_000;

/// Streams numbered parts to whoever asks for them.
///
/// | a client says  | and                                                             |
/// | -------------- | --------------------------------------------------------------- |
/// | `stream N`     | gets N parts more                                               |
/// | `listen`       | is the one that is woken by others                              |
/// | `wake N`       | the listener of every core gets N parts more                    |
/// | `wake ended`   | what is known to have ended is marked ready, and closed         |
#[derive(Debug, Clone)]
struct Streams {
    /// The most that was ever appended to one connection in one call of `fill`.
    appended_max: Arc<AtomicUsize>,
    ended: mpsc::Sender<ConnId>,
}

struct OfCore {
    service: Streams,
    core: Core,
    listener: Option<ConnId>,
    ended: Vec<ConnId>,
    /// What was asked for, for the listener, and not yet given to its session.
    wanted: u32,
}

#[derive(Debug)]
struct Cursor {
    id: Option<ConnId>,
    sent: u32,
    until: u32,
}

#[derive(Debug)]
enum Mail {
    Wake(u32),
    Ended(ConnId),
}

impl Service for Streams {
    type Handler = OfCore;

    fn handler(&self, core: &Core) -> OfCore {
        OfCore {
            service: self.clone(),
            core: core.clone(),
            listener: None,
            ended: Vec::new(),
            wanted: 0,
        }
    }
}

impl OfCore {
    fn cores(&self) -> impl Iterator<Item = CoreId> + use<> {
        (0..=u8::MAX).map(CoreId).take(self.core.counters.len())
    }
}

impl Handler for OfCore {
    type Session = Cursor;
    type Mail = Mail;

    fn upgrade(&mut self, _: &mut UpgradeRequest<'_>) -> Result<Cursor, Response> {
        Ok(Cursor {
            id: None,
            sent: 0,
            until: 0,
        })
    }

    fn open(&mut self, cursor: &mut Cursor, context: &mut Context<'_, Mail>) {
        cursor.id = Some(context.id());
    }

    fn message(
        &mut self,
        cursor: &mut Cursor,
        message: Message<'_>,
        context: &mut Context<'_, Mail>,
    ) {
        let text = message.as_text().unwrap();
        let (word, number) = text.split_once(' ').unwrap_or((text, ""));
        match (word, number) {
            ("stream", number) => {
                cursor.until += number.parse::<u32>().unwrap();
                context.ready();
            }
            ("listen", _) => {
                self.listener = cursor.id;
                context.text(&self.core.id.to_string()).unwrap();
            }
            ("wake", "ended") => {
                for &id in &self.ended {
                    context.effects().ready(id);
                    context.effects().close(id, CloseCode(4001), "not you");
                }
                context.text("done").unwrap();
            }
            ("wake", number) => {
                let number = number.parse().unwrap();
                for core in self.cores() {
                    context.effects().mail(core, Mail::Wake(number));
                }
            }
            _ => context.reply(message).unwrap(),
        }
    }

    fn fill(&mut self, cursor: &mut Cursor, context: &mut Context<'_, Mail>) -> Fill {
        if self.listener == cursor.id {
            cursor.until += std::mem::take(&mut self.wanted);
        }
        let mut appended = 0;
        let mut fill = Fill::Done;
        while cursor.sent < cursor.until {
            if !context.has_room() {
                fill = Fill::More;
                break;
            }
            context.binary(&part(cursor.sent)).unwrap();
            appended += PART_BYTES;
            cursor.sent += 1;
        }
        self.service
            .appended_max
            .fetch_max(appended, Ordering::Relaxed);
        fill
    }

    fn close(&mut self, cursor: Cursor, _: &End, effects: &mut Effects<Mail>) {
        let id = cursor.id.unwrap();
        let _ = self.service.ended.send(id);
        for core in self.cores() {
            effects.mail(core, Mail::Ended(id));
        }
    }

    fn mail(&mut self, _from: CoreId, mail: Mail, effects: &mut Effects<Mail>) {
        match mail {
            Mail::Wake(number) => {
                self.wanted += number;
                if let Some(listener) = self.listener {
                    effects.ready(listener);
                }
            }
            Mail::Ended(id) => self.ended.push(id),
        }
    }
}

fn part(number: u32) -> Vec<u8> {
    let mut part = number.to_be_bytes().to_vec();
    part.resize(PART_BYTES, number.to_le_bytes()[0]);
    part
}

struct Stage {
    server: Served,
    appended_max: Arc<AtomicUsize>,
    ended: mpsc::Receiver<ConnId>,
}

fn stage(cores: usize) -> Stage {
    let appended_max = Arc::new(AtomicUsize::new(0));
    let (sender, ended) = mpsc::channel();
    let service = Streams {
        appended_max: Arc::clone(&appended_max),
        ended: sender,
    };
    let mut options = options();
    options.cores = Some(cores);
    Stage {
        server: Served::start(service, options),
        appended_max,
        ended,
    }
}

#[test]
fn slow_readers_get_every_part_and_no_more_waits_than_the_high_watermark() {
    let stage = stage(1);
    let mut slow: Vec<Peer> = (0..4)
        .map(|_| {
            let dial = Peer::dial(stage.server.address()).receive_buffer(16 << 10);
            dial.connect().upgraded()
        })
        .collect();
    let mut fast = Peer::websocket(stage.server.address());
    for peer in slow.iter_mut().chain([&mut fast]) {
        peer.send(frames::text("stream 800"));
    }
    for number in 0..800 {
        fast.expect_binary(&part(number));
    }
    // The slow ones take their 8 MB in sips, in turns, and talk meanwhile.
    slow[1].send(frames::ping(b"still here"));
    let mut received = [0; 4];
    let mut round = 0;
    while received.iter().any(|&bytes| bytes < 7_000_000) {
        for (peer, received) in slow.iter_mut().zip(&mut received) {
            if *received < 7_000_000 {
                *received += peer.sip_and_keep(60_000);
            }
        }
        round += 1;
        if round == 20 {
            slow[2].send(frames::text("hello"));
        }
    }
    for (index, peer) in slow.iter_mut().enumerate() {
        let mut number = 0;
        let mut extra = 0;
        while number < 800 || extra < usize::from(index == 1 || index == 2) {
            let frame = peer.expect_frame();
            if frame.payload == b"still here" || frame.payload == b"hello" {
                extra += 1;
                continue;
            }
            assert_eq!(frame.payload, part(number), "peer {index}");
            number += 1;
        }
    }
    let high_bytes = options().engine.outbound.high_bytes;
    assert!(stage.appended_max.load(Ordering::Relaxed) <= high_bytes + PART_BYTES);
    assert_eq!(stage.server.count("stalled"), 0);
}

#[test]
fn mail_wakes_a_reader_on_another_core() {
    let stage = stage(3);
    // Listeners until there is one on every core; the last on each is the one that is woken.
    let mut listeners: Vec<Option<Peer>> = vec![None, None, None];
    while listeners.iter().any(Option::is_none) {
        let mut peer = Peer::websocket(stage.server.address());
        peer.send(frames::text("listen"));
        let core: usize = String::from_utf8(peer.expect_frame().payload)
            .unwrap()
            .parse()
            .unwrap();
        listeners[core] = Some(peer);
    }
    let mut waker = Peer::websocket(stage.server.address());
    let mut number = 0;
    for parts in [1, 1, 50, 3] {
        waker.send(frames::text(&format!("wake {parts}")));
        for listener in listeners.iter_mut().flatten() {
            for next in number..number + parts {
                listener.expect_binary(&part(next));
            }
        }
        number += parts;
    }
    assert_eq!(stage.server.count("mail_full"), 0);
}

/// Ids of connections that have ended reach nobody, also when their place in the table is taken
/// again, and also on cores that never knew them.
#[test]
fn effects_for_the_ended_reach_nobody() {
    let stage = stage(2);
    for _ in 0..20 {
        let mut peer = Peer::websocket(stage.server.address());
        peer.send(frames::text("stream 1"));
        peer.expect_binary(&part(0));
        peer.close();
    }
    let ended: Vec<ConnId> = (0..20)
        .map(|_| stage.ended.recv_timeout(Duration::from_secs(10)).unwrap())
        .collect();
    eventually("all mail about them has come", || {
        stage.server.count("mail_sent") >= 40
    });
    // These take the same places.
    let mut peers: Vec<Peer> = (0..30)
        .map(|_| Peer::websocket(stage.server.address()))
        .collect();
    for peer in &mut peers {
        peer.send(frames::text("wake ended"));
        peer.expect_text("done");
    }
    for peer in &mut peers {
        peer.send(frames::text("still here"));
        peer.expect_text("still here");
    }
    assert!(
        ended.iter().any(|id| id.core == CoreId(0)) && ended.iter().any(|id| id.core == CoreId(1))
    );
    for mut peer in peers {
        peer.close();
    }
}

#[test]
fn a_reader_that_vanishes_while_it_is_filled_is_forgotten() {
    let stage = stage(1);
    for how in 0..3 {
        let dial = Peer::dial(stage.server.address()).receive_buffer(16 << 10);
        let mut peer = dial.connect().upgraded();
        peer.send(frames::text("stream 4000"));
        let _ = peer.sip(1000);
        match how {
            0 => peer.reset(),
            1 => drop(peer),
            _ => {
                peer.send(frames::close(1000));
                // The Close frame comes after what was appended before, not after all 4000.
                let (bytes, ended) = peer.rest();
                assert_eq!(ended, Ended::Cleanly);
                assert!(bytes.len() < 3990 * PART_BYTES);
            }
        }
        let _ = stage.ended.recv_timeout(Duration::from_secs(10)).unwrap();
    }
    eventually("all are forgotten", || stage.server.connections() == 0);
}

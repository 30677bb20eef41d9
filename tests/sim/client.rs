//! A client: what it will say, what it has heard, and what it should have.

use std::fmt;

use corewire::protocol::Role;
use corewire::protocol::frame::{FrameHeader, OpCode, Reserved};
use corewire_testkit::Random;
use corewire_testkit::frames::{self, Fin};
use corewire_testkit::peer::upgrade_request;

use super::Weather;
use super::echo::part;
use super::socket::{Farewell, Talker};

/// A client with a script.
pub(crate) struct Client {
    script: Vec<u8>,
    said: usize,
    heard: Vec<u8>,
    manner: Manner,
    /// Answers to requests before the upgrade, by their status.
    statuses: Vec<u16>,
    upgrades: bool,
    echoes: Vec<Vec<u8>>,
    pings: Vec<Vec<u8>>,
    parts: u32,
    ticks: usize,
    finale: Finale,
    fate: Fate,
}

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Says little and reads everything.
    Polite,
    /// Reads everything, sometime.
    Slow,
    /// Does not read.
    Deaf,
    /// Stops, in the middle or after the finale, and answers nothing.
    Silent,
}

/// The last thing that it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finale {
    /// A Close frame with this code.
    Close(u16),
    /// A broken rule; the server answers with this code.
    Broken(u16),
    /// A request to be closed, with this code.
    AsksForClose(u16),
    /// The end of its side, without a word.
    End,
    Reset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Alive,
    /// It was reset, or has reset the connection.
    Reset,
    Closed,
}

impl Client {
    pub(crate) fn new(random: &mut Random, weather: Weather) -> Self {
        let manner = match (weather, random.below(10)) {
            (Weather::Storm, 0) => Manner::Deaf,
            (Weather::Storm, 1) => Manner::Silent,
            (_, 2..=5) => Manner::Slow,
            _ => Manner::Polite,
        };
        let finale = match random.below(7) {
            0 => Finale::Broken(1002),
            1 => Finale::Broken(1007),
            2 => Finale::AsksForClose(4000),
            3 => Finale::End,
            4 if weather == Weather::Storm => Finale::Reset,
            _ => Finale::Close(*random.one_of(&[1000, 1001, 3000, 4999])),
        };
        let mut client = Self {
            script: Vec::new(),
            said: 0,
            heard: Vec::new(),
            manner,
            statuses: Vec::new(),
            upgrades: true,
            echoes: Vec::new(),
            pings: Vec::new(),
            parts: 0,
            ticks: 0,
            finale,
            fate: Fate::Alive,
        };
        client.write_requests(random);
        if client.upgrades {
            client.write_messages(random);
            client.write_finale(random);
        }
        if manner == Manner::Silent && random.once_in(2) {
            let len = random.below(client.script.len());
            client.script.truncate(len);
        }
        client
    }

    fn write_requests(&mut self, random: &mut Random) {
        for _ in 0..random.below(4) {
            self.script
                .extend_from_slice(b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n");
            self.statuses.push(404);
        }
        if random.once_in(8) {
            self.script.extend_from_slice(b"GET /no HTTP/1.1\r\n\r\n");
            self.statuses.push(400);
            self.upgrades = false;
        } else {
            let request = upgrade_request("/echo", &[]);
            self.script.extend_from_slice(request.as_bytes());
        }
    }

    fn write_messages(&mut self, random: &mut Random) {
        let count = match self.manner {
            Manner::Polite => 1 + random.below(10),
            Manner::Slow | Manner::Deaf | Manner::Silent => 1 + random.below(80),
        };
        for number in 0..u32::try_from(count).unwrap() {
            match random.below(20) {
                0 => {
                    self.script.extend(frames::text("stream"));
                    self.parts += 20;
                }
                1 => {
                    self.script.extend(frames::text("mail"));
                    self.parts += 3;
                }
                2 => {
                    self.script.extend(frames::text("timer"));
                    self.ticks += 1;
                }
                3 | 4 => {
                    let payload = number.to_be_bytes();
                    self.script.extend(frames::ping(&payload));
                    self.pings.push(payload.to_vec());
                }
                5 => self.script.extend(frames::pong(b"unasked")),
                6 => self.write_flood(random),
                _ => self.write_echo(number, random),
            }
        }
    }

    /// Tiny messages, more than one turn takes.
    fn write_flood(&mut self, random: &mut Random) {
        if self.manner == Manner::Polite {
            return;
        }
        for _ in 0..random.below(300) {
            self.script.extend(frames::binary(b"e"));
            self.echoes.push(b"e".to_vec());
        }
    }

    fn write_echo(&mut self, number: u32, random: &mut Random) {
        let len_max = match self.manner {
            Manner::Polite => 300,
            Manner::Slow | Manner::Deaf | Manner::Silent => {
                *random.one_of(&[20, 300, 5000, 20_000])
            }
        };
        let mut message = vec![b'e'];
        message.extend_from_slice(&number.to_be_bytes());
        let len = random.below(len_max);
        message.extend(random.bytes(len));
        let cut = random.below(message.len());
        match random.below(3) {
            0 => {
                let (first, last) = message.split_at(cut);
                let first = frames::frame(OpCode::Binary, Fin::More, first);
                self.script.extend(first);
                if random.once_in(2) {
                    self.script.extend(frames::ping(&message[..5]));
                    self.pings.push(message[..5].to_vec());
                }
                let last = frames::frame(OpCode::Continuation, Fin::Last, last);
                self.script.extend(last);
            }
            _ => self.script.extend(frames::binary(&message)),
        }
        self.echoes.push(message);
    }

    fn write_finale(&mut self, random: &mut Random) {
        match self.finale {
            Finale::Close(code) => self.script.extend(frames::close(code)),
            Finale::Broken(1007) => {
                let bad = frames::frame(OpCode::Text, Fin::Last, b"\xc0");
                self.script.extend(bad);
            }
            Finale::Broken(_) => {
                let bad: &[&[u8]] = &[b"\x81\x00", b"\x93\x80", b"\xff", b"\x80\x80\0\0\0\0"];
                let bad = bad[random.below(bad.len())];
                self.script.extend_from_slice(bad);
                self.script.extend(random.bytes(30));
            }
            Finale::AsksForClose(_) => {
                // Sometimes with a stream still to come.
                if random.once_in(2) {
                    self.script.extend(frames::text("stream"));
                    self.parts += 20;
                }
                let words = *random.one_of(&["close", "close later"]);
                self.script.extend(frames::text(words));
            }
            Finale::End | Finale::Reset => {}
        }
    }

    // ── What must hold ──

    fn close_code(&self) -> Option<u16> {
        let heard = self.parse().frames;
        heard.iter().find_map(|(opcode, payload)| {
            let code = payload.first_chunk::<2>()?;
            (*opcode == OpCode::Close).then(|| u16::from_be_bytes(*code))
        })
    }

    /// Cuts what was heard into responses and frames. Whatever comes, it must be valid.
    fn parse(&self) -> Heard {
        let mut heard = Heard::default();
        let mut at = 0;
        while heard.statuses.last() != Some(&101) {
            let rest = &self.heard[at..];
            let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else {
                heard.left_over = rest.len();
                return heard;
            };
            let head = str::from_utf8(&rest[..end]).unwrap();
            heard.statuses.push(head[9..12].parse().unwrap());
            let length = head.split("Content-Length: ").nth(1).map_or(0, |rest| {
                rest.split("\r\n").next().unwrap().parse().unwrap()
            });
            at = (at + end + 4 + length).min(self.heard.len());
        }
        while let Some((header, bytes)) =
            FrameHeader::parse(&self.heard[at..], Role::Client, Reserved::AllZero).unwrap()
        {
            let end = at + bytes + usize::try_from(header.payload_bytes).unwrap();
            let Some(payload) = self.heard.get(at + bytes..end) else {
                break;
            };
            assert!(header.fin, "the server sends no fragments");
            let closed = heard.frames.last().map(|(opcode, _)| *opcode) == Some(OpCode::Close);
            assert!(!closed, "a frame after the Close frame");
            heard.frames.push((header.opcode, payload.to_vec()));
            at = end;
        }
        heard.left_over = self.heard.len() - at;
        heard
    }

    /// Compares what was heard with what should have been.
    pub(crate) fn check(&self, weather: Weather) {
        let heard = self.parse();
        let mut statuses = self.statuses.clone();
        if self.upgrades {
            statuses.push(101);
        }
        if weather == Weather::Fair {
            assert_eq!(self.fate, Fate::Closed, "nothing was lost: {self:?}");
        }
        // All of it in fair weather; otherwise some, but what there is in order and whole.
        let complete = weather == Weather::Fair && self.fate == Fate::Closed;
        if complete {
            assert_eq!(heard.statuses, statuses, "{self:?}");
            assert_eq!(heard.left_over, 0, "{self:?}");
        } else {
            let timed_out = heard.statuses.last() == Some(&408);
            let got = &heard.statuses[..heard.statuses.len() - usize::from(timed_out)];
            assert!(statuses.starts_with(got), "{self:?}: {got:?}");
        }
        let mut echoes = self.echoes.iter();
        let mut pings = self.pings.clone();
        let mut parts = 0;
        let mut ticks = 0;
        for (opcode, payload) in &heard.frames {
            match opcode {
                OpCode::Binary if payload.first() == Some(&b'e') => {
                    assert_eq!(Some(payload), echoes.next(), "{self:?}");
                }
                OpCode::Binary => {
                    assert_eq!(*payload, part(parts), "{self:?}");
                    parts += 1;
                }
                OpCode::Text => {
                    assert_eq!(payload, b"tick", "{self:?}");
                    ticks += 1;
                }
                // While output is blocked not every ping is answered, and the newest one before
                // those whose pongs wait behind data.
                OpCode::Pong => {
                    let ping = pings.iter().position(|ping| ping == payload);
                    pings.swap_remove(ping.expect("a ping is answered once"));
                }
                OpCode::Ping | OpCode::Close => {}
                OpCode::Continuation => panic!("the server sends no fragments"),
            }
        }
        assert!(parts <= self.parts && ticks <= self.ticks, "{self:?}");
        if complete && self.upgrades {
            assert_eq!(
                echoes.len(),
                0,
                "{} echoes are missing: {self:?}",
                echoes.len()
            );
            match self.finale {
                Finale::Close(code) | Finale::Broken(code) | Finale::AsksForClose(code) => {
                    assert_eq!(self.close_code(), Some(code), "{self:?}");
                }
                Finale::End | Finale::Reset => assert_eq!(self.close_code(), None),
            }
        }
    }
}

impl Talker for Client {
    fn is_polite(&self) -> bool {
        self.manner == Manner::Polite
    }

    fn reads(&self) -> bool {
        self.manner != Manner::Deaf
    }

    fn is_talking(&self) -> bool {
        self.said < self.script.len()
    }

    fn says(&mut self, bytes_max: usize) -> &[u8] {
        let end = self.script.len().min(self.said.saturating_add(bytes_max));
        let bytes = &self.script[self.said..end];
        self.said = end;
        bytes
    }

    fn hears(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    fn farewell(&self, server_ended: bool) -> Farewell {
        if self.manner == Manner::Silent || self.manner == Manner::Deaf {
            return Farewell::NotYet;
        }
        match self.finale {
            _ if server_ended => Farewell::End,
            Finale::End if !self.is_talking() => Farewell::End,
            Finale::Reset if !self.is_talking() => Farewell::Reset,
            // Asked to be closed: answers the Close frame, when it has come, with the end.
            Finale::AsksForClose(_) if !self.is_talking() && self.close_code().is_some() => {
                Farewell::End
            }
            Finale::Close(_)
            | Finale::Broken(_)
            | Finale::AsksForClose(_)
            | Finale::End
            | Finale::Reset => Farewell::NotYet,
        }
    }

    fn was_reset(&mut self) {
        self.fate = Fate::Reset;
    }

    fn was_closed(&mut self, lost: bool) {
        if self.fate == Fate::Alive {
            self.fate = if lost { Fate::Reset } else { Fate::Closed };
        }
    }
}

#[derive(Default)]
struct Heard {
    statuses: Vec<u16>,
    frames: Vec<(OpCode, Vec<u8>)>,
    left_over: usize,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("script", &self.script.len())
            .field("said", &self.said)
            .field("heard", &self.heard.len())
            .field("manner", &self.manner)
            .field("statuses", &self.statuses)
            .field("echoes", &self.echoes.len())
            .field("parts", &self.parts)
            .field("finale", &self.finale)
            .field("fate", &self.fate)
            .finish_non_exhaustive()
    }
}

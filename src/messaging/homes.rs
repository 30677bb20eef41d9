//! What the cores say to each other about topics: what this core wants of home cores, and what it
//! answers as one.

use corewire_protocol::native::Cause;

use crate::engine::Effects;
use crate::ids::CoreId;

use super::catch_up::{PAGE_BYTES, PAGE_MESSAGES, Page};
use super::handler::MessagingHandler;
use super::history::Unfinished;
use super::home::{Changed, Cursor, Reading, Where};
use super::hub::Outgoing;
use super::mail::{
    Granted, InterestRequest, Letter, Listed, Mail, PageReply, PatternGranted, PatternInterest,
    ReadRequest, WalkRequest,
};
use super::place::{Begin, HomeMark};
use super::store::{Ask, Direction, ReadNumber};
use super::walk::{self, Vouched, WalkNumber};

impl MessagingHandler {
    /// Tells home cores what the hub wants them to know, until it wants no more.
    pub(super) fn tell_homes(&mut self, effects: &mut Effects<Mail>) {
        self.hub.fetch_waiting(&mut self.clients, effects);
        let now = effects.now().tick;
        while let Some(outgoing) = self.hub.outgoing.pop_front() {
            match outgoing {
                Outgoing::Interest(topic, seek) => self.ask_topic(topic, seek, effects),
                Outgoing::NoInterest(id) => {
                    if id.home == self.core {
                        self.home.withdraw(now, &id, self.core);
                    } else {
                        effects.mail(id.home, Letter::NoInterest(id).into());
                    }
                }
                Outgoing::PatternInterest(pattern, walk) => {
                    for home in self.cores() {
                        self.ask_pattern(home, pattern.clone(), walk, effects);
                    }
                }
                Outgoing::NoPatternInterest(pattern) => {
                    for home in self.cores() {
                        if home == self.core {
                            self.home.withdraw_pattern(&pattern, self.core);
                        } else {
                            effects.mail(home, Letter::NoPatternInterest(pattern.clone()).into());
                        }
                    }
                }
                Outgoing::Read { page, id, after } => {
                    let home = id.home;
                    let request = ReadRequest {
                        stamp: self.requests.sent(home, 0),
                        page,
                        after,
                        topic: id,
                    };
                    if home == self.core {
                        self.answer_read(home, &request, effects);
                    } else {
                        effects.mail(home, Letter::Read(Box::new(request)).into());
                    }
                }
                Outgoing::Walk { number, home, from } => {
                    self.ask_topics(number, (home, from), effects);
                }
                Outgoing::AskMarks => {
                    let own = self.home_mark();
                    self.hub.patterns.heard(self.core, own);
                    for home in self.cores().filter(|home| *home != self.core) {
                        let stamp = self.requests.sent(home, 0);
                        effects.mail(home, Letter::AskMark(stamp).into());
                    }
                }
            }
        }
        self.state_settles(effects);
        let unanswered = self.requests.unanswered() as u64;
        self.counters().requests_unanswered.set(unanswered);
    }

    // ── What this core wants ──

    fn ask_topic(
        &mut self,
        topic: Box<str>,
        seek: Option<(u64, Where)>,
        effects: &mut Effects<Mail>,
    ) {
        let home = self.home_of(&topic);
        let request = InterestRequest {
            stamp: self.requests.sent(home, 0),
            subject: topic,
            seek,
        };
        if home == self.core {
            let granted = self.grant(home, request, effects);
            let outcomes = self.hub.granted(&mut self.clients, &granted, effects);
            self.tell_clients(outcomes, effects);
        } else {
            effects.mail(home, Letter::Interest(Box::new(request)).into());
        }
    }

    /// Asks a home core for a pattern.
    pub(super) fn ask_pattern(
        &mut self,
        home: CoreId,
        pattern: Box<str>,
        walk: Option<WalkNumber>,
        effects: &mut Effects<Mail>,
    ) {
        let patterns = &self.hub.patterns;
        let request = PatternInterest {
            stamp: self.requests.sent(home, 0),
            pattern,
            walk: walk.map(|walk| (walk, patterns.mark_of(walk, home))),
        };
        if home == self.core {
            let granted = self.grant_pattern(home, request);
            self.pattern_granted(home, &granted, effects);
        } else {
            effects.mail(home, Letter::PatternInterest(Box::new(request)).into());
        }
    }

    fn ask_topics(
        &mut self,
        number: WalkNumber,
        (home, from): (CoreId, Option<Cursor>),
        effects: &mut Effects<Mail>,
    ) {
        let walk = (number, home);
        let (patterns, requests) = (&self.hub.patterns, &mut self.requests);
        let Some(request) = patterns.walk_request(requests, walk, from) else {
            return;
        };
        if home == self.core {
            let answer = self.list(&request, effects);
            self.listed(walk, answer, effects);
        } else {
            effects.mail(home, Letter::Walk(Box::new(request)).into());
        }
    }

    /// A home core has listed topics.
    pub(super) fn listed(
        &mut self,
        walk: (WalkNumber, CoreId),
        answer: (Changed, Vouched),
        effects: &mut Effects<Mail>,
    ) {
        let client = self.hub.listed(&mut self.clients, walk, answer, effects);
        if let Some(client) = client {
            self.welcome(client, effects);
        }
    }

    /// A home core has granted a pattern.
    pub(super) fn pattern_granted(
        &mut self,
        home: CoreId,
        granted: &PatternGranted,
        effects: &mut Effects<Mail>,
    ) {
        let pattern = &*granted.pattern;
        let patterns = &mut self.hub.patterns;
        let grants = patterns.granted(&self.clients, pattern, (home, granted.mark));
        for subscriber in grants.reset {
            walk::reset(&mut self.clients, subscriber, Cause::Node, effects);
        }
        self.tell_clients(grants.outcomes, effects);
        let asked = (pattern, home);
        let outcomes = self.hub.vouched(&mut self.clients, asked, granted.vouched);
        self.tell_clients(outcomes, effects);
        if let Some(pattern) = grants.deserted {
            self.hub
                .outgoing
                .push_back(Outgoing::NoPatternInterest(pattern));
        }
    }

    // ── What this core answers ──

    /// How far this core is as a home core.
    pub(super) const fn home_mark(&self) -> HomeMark {
        HomeMark {
            life: self.life,
            mark: self.home.mark(),
        }
    }

    /// A core wants a topic.
    pub(super) fn answer_interest(
        &mut self,
        from: CoreId,
        request: InterestRequest,
        effects: &mut Effects<Mail>,
    ) {
        let granted = self.grant(from, request, effects);
        self.send_granted(from, Box::new(granted), effects);
    }

    fn grant(&mut self, to: CoreId, request: InterestRequest, effects: &Effects<Mail>) -> Granted {
        let InterestRequest {
            stamp,
            subject,
            seek,
        } = request;
        let now = effects.now();
        let outcome = self.home.grant(now.tick, &subject, to);
        let begin = seek.map(|(number, from)| {
            let located = self.home.locate(now, &subject, &from);
            let begin = located.map_or(Begin::LIVE, |located| Begin {
                after: located.after,
                proof: located.proof,
            });
            (number, begin)
        });
        Granted {
            stamp,
            subject,
            outcome,
            begin,
        }
    }

    /// A core wants a pattern.
    pub(super) fn answer_pattern_interest(
        &mut self,
        from: CoreId,
        request: PatternInterest,
        effects: &mut Effects<Mail>,
    ) {
        let granted = self.grant_pattern(from, request);
        self.send_pattern_granted(from, Box::new(granted), effects);
    }

    fn grant_pattern(&mut self, to: CoreId, request: PatternInterest) -> PatternGranted {
        let PatternInterest {
            stamp,
            pattern,
            walk,
        } = request;
        self.home.grant_pattern(&pattern, to);
        let vouched = walk.map(|(number, mark)| {
            let vouched = match mark {
                Some(mark) if mark.life != self.life || !self.home.vouches(&pattern, mark.mark) => {
                    Vouched::No
                }
                Some(_) | None => Vouched::Yes,
            };
            (number, vouched)
        });
        PatternGranted {
            stamp,
            pattern,
            mark: self.home_mark(),
            vouched,
        }
    }

    /// A core wants a page of a topic's log.
    pub(super) fn answer_read(
        &mut self,
        from: CoreId,
        request: &ReadRequest,
        effects: &mut Effects<Mail>,
    ) {
        let ReadRequest {
            stamp, page: key, ..
        } = *request;
        self.reads += 1;
        let number = ReadNumber(self.reads);
        let ask = Ask {
            number,
            after: request.after,
            up_to: u64::MAX,
            messages: PAGE_MESSAGES,
            bytes: PAGE_BYTES,
            direction: Direction::Forward,
        };
        let page = match self.home.read(effects.now(), &request.topic, &ask) {
            Reading::Now(range) => Some(Page::of(range)),
            Reading::Later => {
                let to = from;
                let unfinished = Unfinished::CatchUp { to, stamp, key };
                self.await_read(number, unfinished, effects);
                return;
            }
            Reading::Gone => None,
        };
        self.send_page(from, PageReply { stamp, key, page }, effects);
    }

    /// A page of a log for the core that wants it.
    pub(super) fn send_page(&mut self, to: CoreId, reply: PageReply, effects: &mut Effects<Mail>) {
        if to == self.core {
            let page = (reply.key, reply.page);
            self.hub.page_came(&mut self.clients, page, effects);
        } else {
            effects.mail(to, Letter::Page(Box::new(reply)).into());
        }
    }

    /// A core wants topics that somebody may have missed messages of.
    pub(super) fn answer_walk(
        &mut self,
        from: CoreId,
        request: &WalkRequest,
        effects: &mut Effects<Mail>,
    ) {
        let (changed, vouched) = self.list(request, effects);
        let listed = Listed {
            stamp: request.stamp,
            number: request.number,
            mark: self.home.mark(),
            changed,
            vouched,
        };
        self.send_listed(from, Box::new(listed), effects);
    }

    fn list(&mut self, request: &WalkRequest, effects: &Effects<Mail>) -> (Changed, Vouched) {
        let WalkRequest {
            pattern,
            missed,
            home_life,
            from,
            ..
        } = request;
        // It may have vouched in another life than this one, whose marks mean something else.
        let vouched = if *home_life == self.life && self.home.vouches(pattern, missed.mark) {
            Vouched::Yes
        } else {
            Vouched::No
        };
        let now = effects.now().tick;
        let changed = self.home.topics_since(now, pattern, *missed, *from);
        (changed, vouched)
    }

    // ── Answers that say how far topics are ──
    //
    // What did not fit into the line to a core has left a mark before the answer, which what is
    // published behind the answer must not be added to. So the mark and the answer are parted when the
    // answer is made, and again whenever the answer does not fit: a message that was on its way before
    // it may have left its mark only then.

    /// Sends a grant of a topic, or sends it again.
    pub(super) fn send_granted(
        &mut self,
        to: CoreId,
        granted: Box<Granted>,
        effects: &mut Effects<Mail>,
    ) {
        if let Ok((id, offset)) = &granted.outcome
            && let Some(loss) = self.losses.get(&(id.alias, to))
            && loss.from <= *offset
        {
            self.losses.remove(&(id.alias, to));
        }
        effects.mail(to, Letter::Granted(granted).into());
    }

    /// Sends a grant of a pattern, or sends it again.
    pub(super) fn send_pattern_granted(
        &mut self,
        to: CoreId,
        granted: Box<PatternGranted>,
        effects: &mut Effects<Mail>,
    ) {
        self.part_losses(to, granted.mark.mark);
        effects.mail(to, Letter::PatternGranted(granted).into());
    }

    /// Sends a list of topics, or sends it again.
    pub(super) fn send_listed(
        &mut self,
        to: CoreId,
        listed: Box<Listed>,
        effects: &mut Effects<Mail>,
    ) {
        self.part_losses(to, listed.mark);
        effects.mail(to, Letter::Listed(listed).into());
    }

    fn part_losses(&mut self, to: CoreId, mark: u64) {
        self.losses
            .retain(|(_, core), loss| *core != to || loss.mark > mark);
    }
}

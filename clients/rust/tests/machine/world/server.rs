//! What the server does with commands.

use super::*;

impl World {
    pub(super) fn serve(&mut self, link: LinkId, request: &Request<'_>) {
        let id = request.id;
        self.asked
            .push((link, id, format!("{:?}", request.command)));
        match &request.command {
            Command::Hello(hello) => self.hello(link, id.expect("hello wants a reply"), hello),
            Command::Subscribe(subscribe) => {
                let id = id.expect("sub wants a reply");
                let mut resets = Vec::new();
                let reply = match self.attach(link, subscribe, &mut resets) {
                    Ok(subbed) => Reply::Subbed(subbed),
                    Err(error) => Reply::Error(error),
                };
                self.reply(link, id, &reply);
                for reset in resets {
                    self.push(link, &reset);
                }
            }
            Command::Unsubscribe(unsubscribe) => {
                if let Some(conn) = self.conns.get_mut(&link) {
                    conn.subs.remove(&unsubscribe.s);
                    conn.watches.remove(&unsubscribe.s);
                    let left: Vec<_> = conn.subs.values().map(|(one, _)| one.clone()).collect();
                    conn.said.retain(|topic, _| {
                        let name = TopicName::parse(topic).expect("a name");
                        left.iter().any(|subject| covers(subject, name))
                    });
                }
                self.reply(
                    link,
                    id.expect("unsub wants a reply"),
                    &Reply::Ok(Done::default()),
                );
            }
            Command::Publish(publish) => {
                let native::Target::Topic(topic) = &publish.target else {
                    panic!("the machine names topics");
                };
                let reply = match self.produce(link, topic, publish) {
                    Ok((offset, dup)) => Reply::Pubbed(Pubbed {
                        epoch: self.epoch_name().into(),
                        offset,
                        level: publish.level,
                        dup,
                    }),
                    Err(error) => Reply::Error(error),
                };
                if let Some(id) = id {
                    self.reply(link, id, &reply);
                }
            }
            Command::History(history) => {
                let page = self.page(history);
                self.reply(link, id.expect("hist wants a reply"), &Reply::Page(page));
            }
            Command::State(state) => {
                let reply = self.state(state);
                self.reply(link, id.expect("the machine wants a reply"), &reply);
            }
            Command::Credit(credit) => self.credit(link, credit),
            Command::Pong(_) | Command::Auth(_) => {
                if let Some(id) = id {
                    self.reply(link, id, &Reply::Ok(Done::default()));
                }
            }
            Command::Bye(_) => self.close(link, 1000),
        }
    }

    fn hello(&mut self, link: LinkId, id: u64, hello: &Hello<'_>) {
        if let Some(error) = self.refuse_hello.clone() {
            self.reply(link, id, &Reply::Error(error));
            return;
        }
        let ticket = hello.resume.as_deref().filter(|_| self.honours_tickets);
        let ticket = ticket.and_then(|ticket| ticket.strip_prefix(&format!("{}-", self.epoch)));
        let resumed = match ticket {
            Some(_) => native::Resumed::Yes,
            None => native::Resumed::No,
        };
        let session = ticket.map_or(self.sessions.len(), |session| session.parse().unwrap());
        if session == self.sessions.len() {
            self.sessions.push(0);
        }
        self.sessions[session] += 1;
        let incarnation = self.sessions[session];
        if let Some(conn) = self.conns.get_mut(&link) {
            conn.session = session as u64;
            conn.incarnation = incarnation;
            conn.hello = true;
        }
        let mut resets = Vec::new();
        let subscribed = hello.subscribe.iter().flatten();
        let subscribed = subscribed
            .map(|subscribe| self.attach(link, subscribe, &mut resets))
            .collect();
        let welcome = Welcome {
            conn: format!("{link:?}").into(),
            node: self.epoch_name().into(),
            user: "u".into(),
            ticket: Some(format!("{}-{session}", self.epoch).into()),
            resumed,
            ping_ms: PING_MS,
            slack_ms: SLACK_MS,
            limits: self.limits,
            expires_ms: self.expires_ms,
            subscribed,
            time_ms: 1,
        };
        self.reply(link, id, &Reply::Welcome(Box::new(welcome)));
        for reset in resets {
            self.push(link, &reset);
        }
    }

    /// Sends a connection what it may have of all topics.
    pub(super) fn fill_all(&mut self, link: LinkId) {
        let behind = self
            .topics
            .iter()
            .filter(|(_, topic)| !topic.log.is_empty());
        let behind: Vec<_> = behind.map(|(name, _)| name.clone()).collect();
        for name in behind {
            self.fill(link, &name);
        }
    }

    /// Puts a publication into its topic, unless it is there.
    fn produce(
        &mut self,
        link: LinkId,
        topic: &str,
        publish: &native::Publish<'_>,
    ) -> Result<(u64, Duplicate), ErrorReply<'static>> {
        let conn = &self.conns[&link];
        let (session, incarnation) = (conn.session, conn.incarnation);
        let answer = self.refuse_publish.pop_front().flatten();
        match &answer {
            // It has lost its memory, takes the message, and does not say so.
            Some(error) if error.code == ErrorCode::Unavailable => {
                self.topic(topic).producers.clear();
            }
            Some(error) => return Err(error.clone()),
            None => {}
        }
        let refused = |code, text: String| {
            Err(ErrorReply {
                code,
                text: text.into(),
                retry_ms: None,
            })
        };
        let entry = self.topic(topic);
        if let Some(pseq) = publish.pseq
            && let Some(producer) = entry.producers.get_mut(&session)
        {
            if incarnation < producer.incarnation {
                return refused(ErrorCode::Conflict, "an older incarnation".into());
            }
            producer.incarnation = incarnation;
            if let Some(offset) = producer.offsets.get(&pseq) {
                return Ok((*offset, Duplicate::Yes));
            }
            if pseq != producer.last + 1 {
                let text = format!("pub.pseq: {pseq}; {} is expected", producer.last + 1);
                return refused(ErrorCode::BadRequest, text);
            }
        }
        let idem = publish.idem.as_deref().map(str::to_owned);
        let known = idem
            .as_ref()
            .and_then(|idem| entry.idems.get(idem))
            .copied();
        let (offset, dup) = match known {
            Some(offset) => (offset, Duplicate::Yes),
            None => (self.publish(topic, &payload(&publish.data)), Duplicate::No),
        };
        let entry = self.topic(topic);
        if let Some(idem) = idem {
            entry.idems.insert(idem, offset);
        }
        if let Some(pseq) = publish.pseq {
            let producer = entry.producers.entry(session).or_default();
            producer.incarnation = incarnation;
            producer.last = pseq;
            producer.offsets.insert(pseq, offset);
        }
        answer.map_or(Ok((offset, dup)), Err)
    }

    fn page(&mut self, history: &native::History<'_>) -> Page<'static> {
        let epoch = self.epoch_name();
        let topic = self.topic(&history.topic);
        let len = topic.log.len() as u64;
        let limit = history.limit.unwrap_or(1000);
        let (start, end) = match (&history.from, history.direction) {
            (None, Direction::Forward) => (0, limit.min(len)),
            (None, Direction::Backward) => (len.saturating_sub(limit), len),
            (Some(HistoryFrom::Place(place)), Direction::Forward) => {
                (place.offset, (place.offset + limit).min(len))
            }
            (Some(HistoryFrom::Place(place)), Direction::Backward) => {
                let end = place.offset - 1;
                (end.saturating_sub(limit), end)
            }
            (Some(HistoryFrom::Since(_)), _) => panic!("this server has no clock"),
        };
        let complete = match history.direction {
            Direction::Forward => end == len,
            Direction::Backward => start == 0,
        };
        let items = (start + 1..=end).map(|offset| {
            let data = topic.log[index(offset)].clone();
            message(topic.t, offset, Cow::Owned(data))
        });
        Page {
            t: topic.t,
            epoch: epoch.into(),
            start,
            end,
            complete: if complete {
                Complete::Yes
            } else {
                Complete::No
            },
            items: items.collect(),
        }
    }

    /// Tells a connection how far its patterns are.
    pub(crate) fn tell_positions(&mut self, link: LinkId) {
        let Some(conn) = self.conns.get(&link).filter(|conn| conn.hello) else {
            return;
        };
        let mut told = Vec::new();
        for (s, (subject, _)) in &conn.subs {
            if !matches!(Subject::parse(subject), Ok(Subject::Pattern(_))) {
                continue;
            }
            let mut mark = self.mark;
            for (name, topic) in &self.topics {
                if covers(subject, TopicName::parse(name).expect("a name")) {
                    let upto = conn.said.get(name).map_or(0, |said| said.upto);
                    let next = topic.marks.get(usize::try_from(upto).unwrap());
                    mark = next.map_or(mark, |next| mark.min(next - 1));
                }
            }
            told.push((*s, format!("{}.{mark}", self.epoch_name())));
        }
        for (s, pos) in told {
            let pos = pos.into();
            self.push(link, &Push::Position(native::Position::Pattern { s, pos }));
        }
    }

    /// Where each topic of a subscription begins, and whether that is what was asked for; `None` if
    /// nothing was.
    fn beginnings(
        &self,
        subscribe: &native::Subscribe<'_>,
    ) -> (BTreeMap<String, u64>, Option<Recovered>) {
        let epoch = self.epoch_name();
        let covered: Vec<_> = match Subject::parse(&subscribe.topic).expect("a subject") {
            Subject::Topic(name) => self.topics.get_key_value(&*name).into_iter().collect(),
            Subject::Pattern(pattern) => {
                let matches = |name: &str| pattern.matches(TopicName::parse(name).expect("a name"));
                let all = self.topics.iter();
                all.filter(|(name, _)| matches(name)).collect()
            }
        };
        let all = |start: &dyn Fn(&str, &Topic) -> u64| {
            let all = covered.iter();
            all.map(|(name, topic)| ((*name).clone(), start(name, topic)))
                .collect::<BTreeMap<_, _>>()
        };
        let now = |_: &str, topic: &Topic| topic.log.len() as u64;
        let has = |place: &native::Place<'_>| {
            let end = self.topics[&*subscribe.topic].log.len() as u64;
            place.offset == end || self.keeps == Keeps::Everything && place.offset < end
        };
        match &subscribe.from {
            Start::Now => (all(&now), None),
            Start::Last(count) => {
                let last = |_: &str, topic: &Topic| (topic.log.len() as u64).saturating_sub(*count);
                (all(&last), None)
            }
            Start::Since(_) => panic!("this server has no clock"),
            Start::After(place) if place.epoch == epoch && has(place) => {
                (all(&|_, _| place.offset), Some(Recovered::Yes))
            }
            Start::Pattern(place) if place.pos.starts_with(&format!("{epoch}.")) => {
                let mark = place.pos.rsplit('.').next().unwrap().parse().unwrap();
                let start = |name: &str, topic: &Topic| {
                    let mut seen = place.seen.iter();
                    let seen = seen.find(|seen| seen.topic == name && seen.epoch == epoch);
                    // What the client says of the topic itself is exact.
                    seen.map_or_else(|| upto(&topic.marks, mark), |seen| seen.offset)
                };
                (all(&start), Some(Recovered::Yes))
            }
            Start::After(_) | Start::Pattern(_) => (all(&now), Some(Recovered::No)),
        }
    }

    /// Begins a subscription. What is to be said of the past behind its answer is added to
    /// `resets`.
    fn attach(
        &mut self,
        link: LinkId,
        subscribe: &native::Subscribe<'_>,
        resets: &mut Vec<Push<'static>>,
    ) -> Result<Subbed<'static>, ErrorReply<'static>> {
        if let Some(error) = self.refuse_subscribe.clone() {
            return Err(error);
        }
        if !self.honours_positions && subscribe.from != Start::Now {
            return Err(ErrorReply {
                code: ErrorCode::Unsupported,
                text: "sub.from: not supported by this version; leave it out".into(),
                retry_ms: None,
            });
        }
        let epoch = self.epoch_name();
        let subject = subscribe.topic.to_string();
        let parsed = Subject::parse(&subscribe.topic).expect("checked by the client");
        if let Subject::Topic(_) = parsed {
            self.topic(&subject);
        }
        let credit = subscribe.credit.unwrap_or(u64::MAX);
        let (starts, recovered) = self.beginnings(subscribe);
        let offsets: BTreeMap<_, _> = starts
            .keys()
            .map(|name| (name.clone(), self.topics[name].log.len() as u64))
            .collect();
        let conn = self.conns.get_mut(&link).expect("it asks");
        for (name, start) in &starts {
            let said = conn.said.entry(name.clone()).or_insert(Said {
                upto: *start,
                sent: 0,
                credit,
                announced: false,
            });
            if said.sent == 0 {
                // Who joins a delivery that has not begun has it begin where both want it.
                said.upto = said.upto.min(*start);
            }
            // Told before its next message, with all whom it serves.
            said.announced = false;
        }
        let joined = starts
            .keys()
            .map(|name| (name.clone(), conn.said[name].upto));
        let base = Base {
            epoch: epoch.clone(),
            joined: joined.collect(),
            published: offsets,
        };
        self.attached.insert((link, subscribe.s), base);
        conn.subs.insert(subscribe.s, (subject.clone(), credit));
        conn.watches.insert(subscribe.s, state::watched(subscribe));
        for (topic, namespace) in state::watched(subscribe) {
            resets.push(self.mark_of(&topic, &namespace));
        }
        let conn = &self.conns[&link];
        let to = match parsed {
            Subject::Topic(_) => SubbedTo::Topic {
                t: self.topics[&subject].t,
                epoch: epoch.into(),
                offset: conn.said[&subject].upto,
            },
            Subject::Pattern(_) => SubbedTo::Pattern {
                pos: format!("{epoch}.{}", self.mark).into(),
            },
        };
        if recovered == Some(Recovered::No) {
            let cause = Cause::Node;
            resets.push(Push::Reset(match to.clone() {
                SubbedTo::Topic { t, epoch, offset } => Reset::Topic {
                    t,
                    epoch,
                    offset,
                    cause,
                },
                SubbedTo::Pattern { pos } => Reset::Pattern {
                    s: subscribe.s,
                    pos,
                    cause,
                },
            }));
        }
        Ok(Subbed {
            s: subscribe.s,
            to,
            recovered,
            replay_to: None,
            policy: native::Policy {
                mode: PolicyMode::All,
                max_bytes: None,
                max_messages: None,
            },
        })
    }

    fn credit(&mut self, link: LinkId, credit: &Credit) {
        let Some(conn) = self.conns.get_mut(&link) else {
            return;
        };
        match credit.scope {
            CreditScope::Connection => conn.credit = credit.messages,
            CreditScope::Topic(t) => {
                for (name, said) in &mut conn.said {
                    if self.topics.get(name).is_some_and(|topic| topic.t == t) {
                        said.credit = said.credit.max(credit.messages.unwrap_or(0));
                    }
                }
            }
            CreditScope::Subscription(_) => panic!("the machine gives credit by topic"),
        }
        let names: Vec<_> = self.topics.keys().cloned().collect();
        for name in names {
            self.fill(link, &name);
        }
    }
}

/// How many messages of a topic have numbers up to this one.
fn upto(marks: &[u64], mark: u64) -> u64 {
    marks.partition_point(|one| *one <= mark) as u64
}

fn payload(data: &native::Data<'_>) -> Vec<u8> {
    match data {
        native::Data::Json(text) | native::Data::Text(text) => text.as_bytes().to_vec(),
        native::Data::Bytes(bytes) => bytes.to_vec(),
    }
}

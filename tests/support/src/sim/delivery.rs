//! One topic's way to one connection, as it was heard.

use std::collections::BTreeSet;

use super::anomaly::{Anomaly, Kind};

/// A delivery: from where on, and what became of each offset since.
#[derive(Debug)]
pub struct Delivery {
    /// The alias.
    pub t: u64,
    /// The topic's name.
    pub topic: Box<str>,
    /// The topic's life.
    pub epoch: Box<str>,
    /// The last offset before it.
    pub start: u64,
    /// The last offset that was accounted for.
    pub cursor: u64,
    /// What was accounted for, in order and without a hole.
    pub spans: Vec<Span>,
    /// The subscriptions that it serves.
    pub subscriptions: BTreeSet<u64>,
    /// Whether its alias is known.
    pub(super) announced: bool,
    pub(super) state: State,
}

/// Offsets that something became of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// What.
    pub what: What,
}

/// What became of offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// One message, with this identity.
    Message(Box<str>),
    /// A `pos`: the connection's own messages, which it did not want back.
    Own,
    /// A `gap`.
    Gap,
    /// A `conflated`.
    Conflated,
    /// A `reset`: whether there are any is not known.
    Unproven,
    /// Nothing was said of them.
    Skipped,
}

/// Whether more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// A `reset` has excused what is missing at its end.
    Reset,
    /// A `reset` of all topics has excused what is missing before its next word.
    Unproven,
    /// Nobody is subscribed any more.
    Ended,
}

impl Delivery {
    pub(super) fn new(t: u64, topic: &str, epoch: &str, start: u64) -> Self {
        Self {
            t,
            topic: topic.into(),
            epoch: epoch.into(),
            start,
            cursor: start,
            spans: Vec::new(),
            subscriptions: BTreeSet::new(),
            announced: false,
            state: State::Open,
        }
    }

    /// A message has come. What was left out before it means `holes`.
    pub(super) fn message(
        &mut self,
        offset: u64,
        identity: &str,
        holes: What,
    ) -> Result<(), Anomaly> {
        if offset <= self.cursor {
            let before = self.span_of(offset).map(|span| &span.what);
            let kind = match before {
                Some(What::Message(_)) => Kind::Duplicate,
                Some(What::Own | What::Gap | What::Conflated | What::Unproven | What::Skipped)
                | None => Kind::InternalNonmonotonic,
            };
            return Err(self.anomaly(kind, &format!("{identity} at {offset}")));
        }
        self.skip_to(offset - 1, holes);
        self.advance(offset, What::Message(identity.into()));
        Ok(())
    }

    /// The server says that all up to here is accounted for.
    pub(super) fn account(&mut self, to: u64, what: What) -> Result<(), Anomaly> {
        if to <= self.cursor {
            return Err(self.anomaly(Kind::InternalNonmonotonic, &format!("{what:?} up to {to}")));
        }
        self.advance(to, what);
        Ok(())
    }

    /// A `gap`.
    pub(super) fn gap(&mut self, from: u64, to: u64) -> Result<(), Anomaly> {
        if from <= self.cursor || to < from {
            let text = format!("a gap from {from} to {to}");
            return Err(self.anomaly(Kind::FalseAccount, &text));
        }
        self.skip_to(from - 1, What::Skipped);
        self.account(to, What::Gap)
    }

    /// What lies up to this offset was passed.
    pub(super) fn skip_to(&mut self, offset: u64, what: What) {
        if offset > self.cursor {
            self.advance(offset, what);
        }
    }

    /// Its next word is about what follows this offset: what a `reset` of all topics has excused ends
    /// here.
    pub(super) fn prove(&mut self, offset: u64) {
        if self.state == State::Unproven {
            self.skip_to(offset, What::Unproven);
            self.state = State::Open;
        }
    }

    /// A `reset` to this offset: it may have been announced from there on just before.
    pub(super) fn reset(&mut self, offset: u64) {
        if let Some(last) = self.spans.last_mut()
            && last.what == What::Skipped
            && last.to == offset
        {
            last.what = What::Unproven;
        }
        self.skip_to(offset, What::Unproven);
        if self.spans.is_empty() && self.start > 0 {
            // It begins with that.
            self.spans.push(Span {
                from: 1,
                to: self.start,
                what: What::Unproven,
            });
            self.start = 0;
        }
    }

    /// Nothing was said since it was announced to begin later than where it was known.
    pub(super) fn withdraw(&mut self) {
        if let Some(announced) = self.spans.pop_if(|last| last.what == What::Skipped) {
            self.cursor = announced.from - 1;
        }
    }

    pub(super) fn anomaly(&self, kind: Kind, text: &str) -> Anomaly {
        Anomaly::new(
            kind,
            format!(
                "{} ({}, alias {}), heard up to {}: {text}",
                self.topic, self.epoch, self.t, self.cursor
            ),
        )
    }

    /// The last span that holds the offset.
    pub(super) fn span_of(&self, offset: u64) -> Option<&Span> {
        let place = self.spans.partition_point(|span| span.to < offset);
        self.spans.get(place).filter(|span| span.from <= offset)
    }

    fn advance(&mut self, to: u64, what: What) {
        self.spans.push(Span {
            from: self.cursor + 1,
            to,
            what,
        });
        self.cursor = to;
    }
}

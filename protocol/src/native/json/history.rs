//! The fields of what was said before.

use std::borrow::Cow;

use serde::de::MapAccess;

use super::super::bound::Bound;
use super::super::history::{
    Complete, Direction, FromFields, History, HistoryFrom, Page, Seen, Start,
};
use super::super::problem::Problem;
use super::super::push::Message;
use super::command::there;
use super::push::MessageFields;
use super::value::{Fields, Taken, Value};

/// `from` of a `sub`.
#[derive(Debug, Default)]
pub(super) struct StartFields<'a>(FromFields<'a>);

impl<'a> Fields<'a> for StartFields<'a> {
    type Word = Start<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        from(&mut self.0, name, value)
    }

    fn finish(self) -> Result<Start<'a>, Problem> {
        self.0.start()
    }
}

/// `from` of a `hist`.
#[derive(Debug, Default)]
struct HistoryFromFields<'a>(FromFields<'a>);

impl<'a> Fields<'a> for HistoryFromFields<'a> {
    type Word = HistoryFrom<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        from(&mut self.0, name, value)
    }

    fn finish(self) -> Result<HistoryFrom<'a>, Problem> {
        self.0.history()
    }
}

fn from<'a, A: MapAccess<'a>>(
    fields: &mut FromFields<'a>,
    name: &str,
    value: Value<'_, A>,
) -> Taken<A::Error> {
    match name {
        "epoch" => value.text(&mut fields.epoch),
        "offset" => value.integer(&mut fields.offset),
        "last" => value.integer(&mut fields.last),
        "since_ms" => value.integer(&mut fields.since_ms),
        "pos" => value.text(&mut fields.pos),
        "seen" => value.objects::<SeenFields<'_>>(&mut fields.seen, Bound::SEEN),
        _ => value.skip(),
    }
}

#[derive(Debug, Default)]
struct SeenFields<'a> {
    topic: Option<Cow<'a, str>>,
    epoch: Option<Cow<'a, str>>,
    offset: Option<u64>,
}

impl<'a> Fields<'a> for SeenFields<'a> {
    type Word = Seen<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "topic" => value.text(&mut self.topic),
            "epoch" => value.text(&mut self.epoch),
            "offset" => value.integer(&mut self.offset),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Seen<'a>, Problem> {
        Ok(Seen {
            topic: there(self.topic, "topic", "a topic's name")?,
            epoch: there(self.epoch, "epoch", "an epoch")?,
            offset: there(self.offset, "offset", "an offset")?,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct HistoryFields<'a> {
    topic: Option<Cow<'a, str>>,
    from: Option<HistoryFrom<'a>>,
    direction: Option<Direction>,
    limit: Option<u64>,
}

impl<'a> Fields<'a> for HistoryFields<'a> {
    type Word = History<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "topic" => value.text(&mut self.topic),
            "from" => value.object::<HistoryFromFields<'_>>(&mut self.from),
            "dir" => value.named(&mut self.direction),
            "limit" => value.integer(&mut self.limit),
            "filter" => value.later(),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<History<'a>, Problem> {
        let history = History {
            topic: there(self.topic, "topic", "a topic's name")?,
            from: self.from,
            direction: self.direction.unwrap_or_default(),
            limit: self.limit,
        };
        history.check()?;
        Ok(history)
    }
}

#[derive(Debug, Default)]
pub(super) struct PageFields<'a> {
    t: Option<u64>,
    epoch: Option<Cow<'a, str>>,
    start: Option<u64>,
    end: Option<u64>,
    complete: Option<bool>,
    items: Option<Vec<Message<'a>>>,
}

impl<'a> Fields<'a> for PageFields<'a> {
    type Word = Page<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.integer(&mut self.t),
            "epoch" => value.text(&mut self.epoch),
            "start" => value.integer(&mut self.start),
            "end" => value.integer(&mut self.end),
            "complete" => value.flag(&mut self.complete),
            "items" => value.objects::<ItemFields<'_>>(&mut self.items, Bound::NONE),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Page<'a>, Problem> {
        let t = there(self.t, "t", "an alias")?;
        let mut items = there(self.items, "items", "a list of messages")?;
        for item in &mut items {
            item.t = t;
        }
        Ok(Page {
            t,
            epoch: there(self.epoch, "epoch", "an epoch")?,
            start: there(self.start, "start", "an offset")?,
            end: there(self.end, "end", "an offset")?,
            complete: match there(self.complete, "complete", "true or false")? {
                true => Complete::Yes,
                false => Complete::No,
            },
            items,
        })
    }
}

/// A message whose alias the page knows.
#[derive(Debug, Default)]
struct ItemFields<'a>(MessageFields<'a>);

impl<'a> Fields<'a> for ItemFields<'a> {
    type Word = Message<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.skip(),
            name => self.0.field(name, value),
        }
    }

    fn finish(self) -> Result<Message<'a>, Problem> {
        self.0.message(0)
    }
}

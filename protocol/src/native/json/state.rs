//! The fields of state.

use std::borrow::Cow;

use serde::de::MapAccess;

use super::super::bound::Bound;
use super::super::problem::Problem;
use super::super::state::{Entry, Members, StateCommand, StateDiff, StateFields};
use super::command::there;
use super::value::{Fields, Taken, Value};

#[derive(Debug, Default)]
pub(super) struct StateCommandFields<'a>(StateFields<'a>);

impl<'a> Fields<'a> for StateCommandFields<'a> {
    type Word = StateCommand<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        let Self(fields) = self;
        match name {
            "topic" => value.text(&mut fields.topic),
            "op" => value.named(&mut fields.op),
            "ns" => value.text(&mut fields.namespace),
            "k" => value.text(&mut fields.key),
            "v" => value.json_text(&mut fields.value),
            "ttl_ms" => value.integer(&mut fields.ttl_ms),
            "after" => value.text(&mut fields.after),
            "limit" => value.integer(&mut fields.limit),
            "if_ver" => value.later(),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<StateCommand<'a>, Problem> {
        self.0.command()
    }
}

#[derive(Debug, Default)]
struct EntryFields<'a> {
    key: Option<Cow<'a, str>>,
    user: Option<Cow<'a, str>>,
    version: Option<u64>,
    value: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> for EntryFields<'a> {
    type Word = Entry<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "k" => value.text(&mut self.key),
            "user" => value.text(&mut self.user),
            "ver" => value.integer(&mut self.version),
            "v" => value.json_text(&mut self.value),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Entry<'a>, Problem> {
        Ok(Entry {
            key: there(self.key, "k", "a key")?,
            user: there(self.user, "user", "a user's name")?,
            version: there(self.version, "ver", "a version")?,
            value: self.value,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct MembersFields<'a> {
    t: Option<u64>,
    namespace: Option<Cow<'a, str>>,
    version: Option<u64>,
    n: Option<u64>,
    users: Option<u64>,
    digest: Option<u64>,
    items: Option<Vec<Entry<'a>>>,
    next: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> for MembersFields<'a> {
    type Word = Members<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.integer(&mut self.t),
            "ns" => value.text(&mut self.namespace),
            "ver" => value.integer(&mut self.version),
            "n" => value.integer(&mut self.n),
            "users" => value.integer(&mut self.users),
            "digest" => value.integer(&mut self.digest),
            "items" => value.objects::<EntryFields<'_>>(&mut self.items, Bound::NONE),
            "next" => value.text(&mut self.next),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Members<'a>, Problem> {
        Ok(Members {
            t: there(self.t, "t", "an alias")?,
            namespace: there(self.namespace, "ns", "a namespace")?,
            version: there(self.version, "ver", "a version")?,
            n: there(self.n, "n", "a number of entries")?,
            users: self.users,
            digest: there(self.digest, "digest", "a digest")?,
            items: there(self.items, "items", "a list of entries")?,
            next: self.next,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct DiffFields<'a> {
    t: Option<u64>,
    namespace: Option<Cow<'a, str>>,
    version: Option<u64>,
    n: Option<u64>,
    users: Option<u64>,
    digest: Option<u64>,
    set: Option<Vec<Entry<'a>>>,
    deleted: Option<Vec<Cow<'a, str>>>,
}

impl<'a> Fields<'a> for DiffFields<'a> {
    type Word = StateDiff<'a>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "t" => value.integer(&mut self.t),
            "ns" => value.text(&mut self.namespace),
            "ver" => value.integer(&mut self.version),
            "n" => value.integer(&mut self.n),
            "users" => value.integer(&mut self.users),
            "digest" => value.integer(&mut self.digest),
            "set" => value.objects::<EntryFields<'_>>(&mut self.set, Bound::NONE),
            "del" => value.texts(&mut self.deleted, Bound::NONE),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<StateDiff<'a>, Problem> {
        Ok(StateDiff {
            t: there(self.t, "t", "an alias")?,
            namespace: there(self.namespace, "ns", "a namespace")?,
            version: there(self.version, "ver", "a version")?,
            n: there(self.n, "n", "a number of entries")?,
            users: self.users,
            digest: there(self.digest, "digest", "a digest")?,
            set: self.set.unwrap_or_default(),
            deleted: self.deleted.unwrap_or_default(),
        })
    }
}

//! How an object is written.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::super::INTEGER_END;
use super::super::data::Data;

/// An object that is being written. Names of fields are ours, and need no escapes.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    /// What comes before the next field.
    before: u8,
}

impl Object<'_> {
    pub(super) fn write(out: &mut Vec<u8>, fields: impl FnOnce(&mut Object<'_>)) {
        let mut object = Object { out, before: b'{' };
        fields(&mut object);
        let is_empty = object.before == b'{';
        out.extend_from_slice(if is_empty { b"{}" } else { b"}" });
    }

    pub(super) fn integer(&mut self, name: &str, integer: u64) {
        debug_assert!(integer < INTEGER_END, "{name} is more than JSON keeps");
        self.name(name);
        write_integer(integer, self.out);
    }

    pub(super) fn optional_integer(&mut self, name: &str, integer: Option<u64>) {
        if let Some(integer) = integer {
            self.integer(name, integer);
        }
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        write_text(text, self.out);
    }

    pub(super) fn optional_text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    pub(super) fn flag(&mut self, name: &str, flag: bool) {
        self.name(name);
        self.out
            .extend_from_slice(if flag { b"true" } else { b"false" });
    }

    /// One JSON value, as it was written.
    pub(super) fn optional_json(&mut self, name: &str, json: Option<&str>) {
        if let Some(json) = json {
            self.name(name);
            self.out.extend_from_slice(json.as_bytes());
        }
    }

    /// Names of somebody else's choice with their values, if there are any.
    pub(super) fn tags(&mut self, tags: &[(Cow<'_, str>, Cow<'_, str>)]) {
        if tags.is_empty() {
            return;
        }
        self.name("tags");
        let mut before = b'{';
        for (name, value) in tags {
            self.out.push(before);
            before = b',';
            write_text(name, self.out);
            self.out.push(b':');
            write_text(value, self.out);
        }
        self.out.push(b'}');
    }

    /// `data`, or `b64` for bytes.
    pub(super) fn data(&mut self, data: &Data<'_>) {
        match data {
            Data::Json(json) => {
                self.name("data");
                self.out.extend_from_slice(json.as_bytes());
            }
            Data::Text(text) => self.text("data", text),
            Data::Bytes(bytes) => {
                self.name("b64");
                self.out.push(b'"');
                let start = self.out.len();
                // Four characters for three bytes, the last ones padded.
                self.out.resize(start + bytes.len().div_ceil(3) * 4, 0);
                let space = self.out.get_mut(start..).unwrap_or_default();
                let written = BASE64_STANDARD.encode_slice(bytes, space);
                debug_assert!(written.is_ok(), "the space is what base64 takes");
                self.out.push(b'"');
            }
        }
    }

    pub(super) fn object(&mut self, name: &str, fields: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        Object::write(self.out, fields);
    }

    pub(super) fn objects<T>(
        &mut self,
        name: &str,
        items: &[T],
        fields: impl Fn(&T, &mut Object<'_>),
    ) {
        self.list(name, items, |item, out| {
            Object::write(out, |object| fields(item, object));
        });
    }

    pub(super) fn integers(&mut self, name: &str, items: &[u64]) {
        self.list(name, items, |&item, out| write_integer(item, out));
    }

    pub(super) fn texts(&mut self, name: &str, items: &[Cow<'_, str>]) {
        self.list(name, items, |item, out| write_text(item, out));
    }

    fn list<T>(&mut self, name: &str, items: &[T], write: impl Fn(&T, &mut Vec<u8>)) {
        self.name(name);
        self.out.push(b'[');
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            write(item, self.out);
        }
        self.out.push(b']');
    }

    fn name(&mut self, name: &str) {
        self.out.push(self.before);
        self.before = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

fn write_integer(integer: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a Vec takes everything");
}

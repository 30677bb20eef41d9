//! How a record is written.

use std::borrow::Cow;

use super::super::INTEGER_END;
use super::super::data::Data;
use super::op::{DATA_BYTES, DATA_JSON, DATA_TEXT};

/// A body, or a part of one, that is being written.
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

impl Writer<'_> {
    /// A whole record.
    pub(super) fn record(out: &mut Vec<u8>, op: u8, body: impl FnOnce(&mut Writer<'_>)) {
        out.push(op);
        sized(out, body);
    }

    /// Which optional fields follow, the first one first.
    pub(super) fn bits(&mut self, set: &[bool]) {
        let bits = set
            .iter()
            .rev()
            .fold(0, |bits, &bit| bits << 1 | u64::from(bit));
        self.integer(bits);
    }

    pub(super) fn integer(&mut self, integer: u64) {
        debug_assert!(integer < INTEGER_END, "more than the other dialect keeps");
        write_integer(integer, self.out);
    }

    pub(super) fn optional_integer(&mut self, integer: Option<u64>) {
        if let Some(integer) = integer {
            self.integer(integer);
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn optional_text(&mut self, text: Option<&str>) {
        if let Some(text) = text {
            self.text(text);
        }
    }

    pub(super) fn data(&mut self, data: &Data<'_>) {
        let (kind, bytes) = match data {
            Data::Json(json) => (DATA_JSON, json.as_bytes()),
            Data::Text(text) => (DATA_TEXT, text.as_bytes()),
            Data::Bytes(bytes) => (DATA_BYTES, &**bytes),
        };
        self.out.push(kind);
        self.bytes(bytes);
    }

    /// A value with fields of its own.
    pub(super) fn part(&mut self, fields: impl FnOnce(&mut Writer<'_>)) {
        sized(self.out, fields);
    }

    pub(super) fn list<T>(&mut self, items: &[T], item: impl Fn(&T, &mut Self)) {
        write_len(items.len(), self.out);
        for it in items {
            item(it, self);
        }
    }

    /// Names of somebody else's choice with their values, if there are any.
    pub(super) fn optional_tags(&mut self, tags: &[(Cow<'_, str>, Cow<'_, str>)]) {
        if !tags.is_empty() {
            self.list(tags, |(name, value), to| {
                to.text(name);
                to.text(value);
            });
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        write_len(bytes.len(), self.out);
        self.out.extend_from_slice(bytes);
    }
}

/// Writes the length, which is only known afterwards, in front of what is written.
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Writer<'_>)) {
    let start = out.len();
    write(&mut Writer { out });
    let end = out.len();
    write_len(end - start, out);
    let len_bytes = out.len() - end;
    if let Some(written) = out.get_mut(start..) {
        written.rotate_right(len_bytes);
    }
}

fn write_len(len: usize, out: &mut Vec<u8>) {
    write_integer(u64::try_from(len).unwrap_or(u64::MAX), out);
}

fn write_integer(mut integer: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = integer.to_le_bytes();
        integer >>= 7;
        if integer == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

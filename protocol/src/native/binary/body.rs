//! What is left of a record's body, field by field.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::INTEGER_END;
use super::super::bound::Bound;
use super::super::code::ErrorCode;
use super::super::data::{Data, checked_json};
use super::super::names::Named;
use super::super::problem::Problem;
use super::super::tags::Tags;
use super::op::{DATA_BYTES, DATA_JSON, DATA_TEXT};

/// A body or a part of one. Fields are asked for in the order of the table; what is asked for by
/// nobody is skipped.
#[derive(Debug)]
pub(super) struct Body<'a> {
    rest: &'a [u8],
    /// Which optional fields are there; the next one is the lowest.
    bits: u64,
}

impl<'a> Body<'a> {
    /// The fields behind `bits`.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Problem> {
        let (bits, rest) =
            split_integer(bytes).map_err(|problem| problem.within("the optional fields"))?;
        Ok(Self { rest, bits })
    }

    pub(super) fn integer(&mut self, field: &str) -> Result<u64, Problem> {
        let split = split_integer(self.rest);
        let (integer, rest) = split.map_err(|problem| problem.within(field))?;
        self.rest = rest;
        Ok(integer)
    }

    pub(super) fn text(&mut self, field: &str) -> Result<Cow<'a, str>, Problem> {
        let bytes = self.bytes(field)?;
        utf8(bytes)
            .map(Cow::Borrowed)
            .map_err(|problem| problem.within(field))
    }

    pub(super) fn named<T: Named>(&mut self, field: &str) -> Result<T, Problem> {
        let number = self.integer(field)?;
        T::from_number(number).map_err(|problem| problem.within(field))
    }

    pub(super) fn code(&mut self) -> Result<ErrorCode, Problem> {
        let number = self.integer("code")?;
        ErrorCode::known(number).map_err(|problem| problem.within("code"))
    }

    pub(super) fn data(&mut self) -> Result<Data<'a>, Problem> {
        let Some((&kind, rest)) = self.rest.split_first() else {
            return Err(ends_early().within("data"));
        };
        self.rest = rest;
        let bytes = self.bytes("data")?;
        let data = match kind {
            DATA_JSON => utf8(bytes)
                .and_then(checked)
                .map(|json| Data::Json(Cow::Borrowed(json))),
            DATA_TEXT => utf8(bytes).map(|text| Data::Text(Cow::Borrowed(text))),
            DATA_BYTES => Ok(Data::Bytes(Cow::Borrowed(bytes))),
            kind => Err(Problem::wrong(
                format_args!("the kind {kind}"),
                "0 (JSON), 1 (text) or 2 (bytes)",
            )),
        };
        data.map_err(|problem| problem.within("data"))
    }

    /// A value with fields of its own.
    pub(super) fn part<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(&mut Self) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let bytes = self.bytes(field)?;
        let part = Self::new(bytes).and_then(|mut part| read(&mut part));
        part.map_err(|problem| problem.within(field))
    }

    /// A list of at most so many items.
    pub(super) fn list<T>(
        &mut self,
        field: &str,
        bound: Bound,
        mut item: impl FnMut(&mut Self) -> Result<T, Problem>,
    ) -> Result<Vec<T>, Problem> {
        let count = self.integer(field)?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > bound.count_max {
            return Err(bound.exceeded().within(field));
        }
        // No capacity for what is only said to follow: every item takes bytes.
        let mut items = Vec::new();
        for place in 0..count {
            let item = item(self).map_err(|problem| problem.at(place).within(field))?;
            items.push(item);
        }
        Ok(items)
    }

    /// A list of texts.
    pub(super) fn texts(
        &mut self,
        field: &str,
        bound: Bound,
    ) -> Result<Vec<Cow<'a, str>>, Problem> {
        self.list(field, bound, |body| body.text(""))
    }

    /// Names of somebody else's choice with their values.
    pub(super) fn tags(&mut self, bound: Bound) -> Result<Tags<'a>, Problem> {
        self.list("tags", bound, |body| {
            let name = body.text("")?;
            Ok((name, body.text("")?))
        })
    }

    /// A JSON value if its bit is set.
    pub(super) fn optional_json(&mut self, field: &str) -> Result<Option<Cow<'a, str>>, Problem> {
        self.optional(|body| {
            let json = utf8(body.bytes(field)?).and_then(checked);
            json.map(Cow::Borrowed)
                .map_err(|problem| problem.within(field))
        })
    }

    pub(super) fn optional_integer(&mut self, field: &str) -> Result<Option<u64>, Problem> {
        self.optional(|body| body.integer(field))
    }

    pub(super) fn optional_text(&mut self, field: &str) -> Result<Option<Cow<'a, str>>, Problem> {
        self.optional(|body| body.text(field))
    }

    /// A field if its bit is set.
    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        if !self.bit() {
            return Ok(None);
        }
        read(self).map(Some)
    }

    /// Optional fields that this version does not have.
    pub(super) fn later(&mut self, fields: &[&str]) -> Result<(), Problem> {
        for field in fields {
            if self.bit() {
                return Err(Problem::later().within(field));
            }
        }
        Ok(())
    }

    /// The bit of the next optional field.
    pub(super) const fn bit(&mut self) -> bool {
        let bit = self.bits & 1 == 1;
        self.bits >>= 1;
        bit
    }

    /// Bytes behind their number.
    pub(super) fn bytes(&mut self, field: &str) -> Result<&'a [u8], Problem> {
        let len = self.integer(field)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let split = self.rest.split_at_checked(len);
        let (bytes, rest) = split.ok_or_else(|| ends_early().within(field))?;
        self.rest = rest;
        Ok(bytes)
    }
}

/// Bits of an integer in each of its bytes; the highest one says that another byte follows.
const BITS: u32 = 7;

/// An integer, and what follows it.
pub(super) fn split_integer(bytes: &[u8]) -> Result<(u64, &[u8]), Problem> {
    let (mut integer, mut shift) = (0_u64, 0);
    let mut rest = bytes;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        integer |= u64::from(byte & 0x7f) << shift;
        // Before a further shift: a ninth byte would begin at bit 56.
        if integer >= INTEGER_END || (byte >= 0x80 && shift == 7 * BITS) {
            return Err(Problem::bad("a number of 2^53 or more; they stay below"));
        }
        if byte < 0x80 {
            if byte == 0 && shift > 0 {
                return Err(Problem::bad(
                    "a number with a zero byte at its end; leave it out",
                ));
            }
            return Ok((integer, rest));
        }
        shift += BITS;
    }
    Err(ends_early())
}

fn ends_early() -> Problem {
    Problem::bad("the record ends before it does")
}

fn utf8(bytes: &[u8]) -> Result<&str, Problem> {
    simdutf8::compat::from_utf8(bytes)
        .map_err(|error| Problem::bad(format!("not UTF-8 at byte {}", error.valid_up_to())))
}

/// One JSON value and nothing else.
fn checked(text: &str) -> Result<&str, Problem> {
    let json: &RawValue =
        serde_json::from_str(text).map_err(|error| Problem::bad(format!("not JSON: {error}")))?;
    checked_json(json)
}

//! A message as the objects that it holds.

use serde::de::{DeserializeSeed, MapAccess};
use serde_json::de::Deserializer;
use serde_json::value::RawValue;

use super::super::code::ErrorCode;
use super::super::command::Request;
use super::super::dialect::{Extent, Malformed, ServerWord};
use super::super::problem::Problem;
use super::read::{Found, OBJECT, Object, Read, Stop, told};
use super::value::{Fields, Taken, Value};
use super::words::{AnyRequest, AnyServerWord};

/// The objects of a message that are not read yet.
#[derive(Debug, Clone)]
pub(in super::super) struct Pieces<'a> {
    message: &'a [u8],
    rest: Rest<'a>,
}

/// ```text
///   Message ─▶ Items ─▶ End
///      └─────────────────▲
/// ```
#[derive(Debug, Clone)]
enum Rest<'a> {
    /// Nothing was looked at.
    Message,
    /// Behind the bracket of a list, or behind one of its items.
    Items { text: &'a str, place: Place },
    /// Nothing.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    BehindItem,
}

impl<'a> Pieces<'a> {
    pub(in super::super) const fn new(message: &'a [u8]) -> Self {
        Self {
            message,
            rest: Rest::Message,
        }
    }

    /// Bytes of the message that were read: none, up to behind an item of a list, or one more than
    /// there are if nothing is left, not even the list's end.
    pub(in super::super) const fn place(&self) -> usize {
        match self.rest {
            Rest::Message => 0,
            Rest::Items { text, .. } => self.message.len() - text.len(),
            Rest::End => self.message.len() + 1,
        }
    }

    /// What follows such a place of a message.
    pub(in super::super) fn from(message: &'a [u8], at: usize) -> Self {
        let rest = match message.get(at..) {
            _ if at == 0 => Rest::Message,
            // It was read before, so it is UTF-8, and an item of a list stands before it.
            Some(rest) => Rest::Items {
                text: simdutf8::basic::from_utf8(rest).unwrap_or_default(),
                place: Place::BehindItem,
            },
            None => Rest::End,
        };
        Self { message, rest }
    }

    pub(in super::super) fn next_request(&mut self) -> Option<Result<Request<'a>, Malformed>> {
        self.next::<AnyRequest<'_>>()
    }

    pub(in super::super) fn next_server_word(
        &mut self,
    ) -> Option<Result<ServerWord<'a>, Malformed>> {
        self.next::<AnyServerWord<'_>>()
    }

    /// The next object, read as a word. A list is gone through object by object: what stands
    /// before broken JSON is read.
    fn next<F: Fields<'a>>(&mut self) -> Option<Result<F::Word, Malformed>> {
        let item = match std::mem::replace(&mut self.rest, Rest::End) {
            Rest::End => return None,
            Rest::Items { text, place } => self.item(text, place),
            Rest::Message => {
                let text = match simdutf8::compat::from_utf8(self.message) {
                    Ok(text) => text.trim_start_matches(SPACE),
                    Err(error) => {
                        let problem = format!("not UTF-8 at byte {}", error.valid_up_to());
                        return Some(Err(lost(problem)));
                    }
                };
                match text.strip_prefix('[') {
                    Some(items) => self.item(items, Place::First),
                    None => return Some(lone::<F>(text)),
                }
            }
        };
        match item {
            Ok(None) => None,
            Ok(Some(object)) => Some(read::<F>(object, Extent::Command)),
            Err(malformed) => Some(Err(malformed)),
        }
    }

    /// The next item of a list, as it was written.
    fn item(&mut self, text: &'a str, place: Place) -> Result<Option<&'a str>, Malformed> {
        let text = text.trim_start_matches(SPACE);
        if let Some(behind) = text.strip_prefix(']') {
            return match behind.trim_start_matches(SPACE) {
                "" => Ok(None),
                _ => Err(self.broken()),
            };
        }
        let text = match place {
            Place::First => text,
            Place::BehindItem => text.strip_prefix(',').ok_or_else(|| self.broken())?,
        };
        let mut items = Deserializer::from_str(text).into_iter::<&RawValue>();
        let Some(Ok(item)) = items.next() else {
            return Err(self.broken());
        };
        let text = text.get(items.byte_offset()..).unwrap_or_default();
        let place = Place::BehindItem;
        self.rest = Rest::Items { text, place };
        Ok(Some(item.get()))
    }

    /// What is wrong with the JSON of the whole message, with the line and column.
    #[cold]
    fn broken(&self) -> Malformed {
        match serde_json::from_slice::<&RawValue>(self.message) {
            Ok(_) => lost("not JSON".to_owned()),
            Err(error) => lost(format!("not JSON: {error}")),
        }
    }
}

/// What JSON calls white space.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// A message that is not a list.
fn lone<'a, F: Fields<'a>>(text: &'a str) -> Result<F::Word, Malformed> {
    read::<F>(text, Extent::Message)
}

/// Reads one object. It is known to be JSON if no more than a command can be lost.
fn read<'a, F: Fields<'a>>(text: &'a str, loss: Extent) -> Result<F::Word, Malformed> {
    let mut problem = None;
    let mut json = Deserializer::from_str(text);
    let object = Read(Object::<F>::new(&mut problem)).deserialize(&mut json);
    let object = object.and_then(|object| json.end().map(|()| object));
    match told(object, problem) {
        Ok(Some(word)) => Ok(word),
        Ok(None) => Err(unread(
            text,
            loss,
            Stop::Problem(Problem::wrong(Found::Null, OBJECT)),
        )),
        Err(stop) => Err(unread(text, loss, stop)),
    }
}

/// Looks a second time at what could not be read, for what its sender must be told.
#[cold]
fn unread(text: &str, loss: Extent, stop: Stop<serde_json::Error>) -> Malformed {
    let is_object = text.starts_with('{');
    if loss == Extent::Message {
        if let Err(error) = serde_json::from_str::<&RawValue>(text) {
            return lost(format!("not JSON: {error}"));
        }
        if !is_object {
            return lost("neither an object nor a list of objects".to_owned());
        }
    }
    let problem = match stop {
        Stop::Problem(problem) => problem,
        // Well-formed, and yet without a meaning: half a surrogate pair, a number without end.
        Stop::Json(error) => Problem::bad(format!("cannot be read: {error}")),
    };
    let mut unused = None;
    let mut json = Deserializer::from_str(text);
    let id = Read(Object::<IdField>::new(&mut unused)).deserialize(&mut json);
    problem.malformed(id.ok().flatten().flatten(), Extent::Command)
}

fn lost(text: String) -> Malformed {
    Malformed {
        id: None,
        code: ErrorCode::BadRequest,
        text: text.into(),
        extent: Extent::Message,
    }
}

/// The `id` of an object whose other fields are of no interest.
#[derive(Debug, Default)]
struct IdField(Option<u64>);

impl<'a> Fields<'a> for IdField {
    type Word = Option<u64>;

    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error> {
        match name {
            "id" => value.integer(&mut self.0),
            _ => value.skip(),
        }
    }

    fn finish(self) -> Result<Option<u64>, Problem> {
        Ok(self.0.filter(|&id| id > 0))
    }
}

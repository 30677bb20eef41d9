//! Objects and their values, as the words want them: every mistake is told with its field, with
//! what was found, and with what is needed.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use super::super::bound::Bound;
use super::super::code::ErrorCode;
use super::super::data::{Data, checked_json};
use super::super::names::Named;
use super::super::problem::{Problem, Quoted};
use super::super::reply::ErrorReply;
use super::super::tags::Tags;
use super::read::{
    EachObject, Either, Found, IntegerItem, Item, List, OBJECT, Object, ObjectItem, ObjectOr, Read,
    Scalar, Stop, TEXT, TextItem, Texts, told,
};

/// A word, or a part of one, while it is read from the fields of an object.
pub(super) trait Fields<'a>: Default {
    /// What comes out of it.
    type Word;

    /// Takes one field. It must take its value, too.
    fn field<A: MapAccess<'a>>(&mut self, name: &str, value: Value<'_, A>) -> Taken<A::Error>;

    /// There are no more fields.
    fn finish(self) -> Result<Self::Word, Problem>;
}

/// Whether a field was taken.
pub(super) type Taken<E> = Result<(), Stop<E>>;

/// The value of a field, not read yet.
pub(super) struct Value<'m, A> {
    pub(super) map: &'m mut A,
}

const FLAG: &str = "true or false";
const BASE64: &str = "base64 with the alphabet of RFC 4648, 4, and its padding,";

impl<'a, A: MapAccess<'a>> Value<'_, A> {
    /// A string.
    pub(super) fn text(self, field: &mut Option<Cow<'a, str>>) -> Taken<A::Error> {
        *field = self.new_for(field)?.scalar()?.optional_text(TEXT)?;
        Ok(())
    }

    /// A number that every JSON reader keeps.
    pub(super) fn integer(self, field: &mut Option<u64>) -> Taken<A::Error> {
        *field = self.new_for(field)?.scalar()?.optional_integer()?;
        Ok(())
    }

    /// `true` or `false`.
    pub(super) fn flag(self, field: &mut Option<bool>) -> Taken<A::Error> {
        let found = self.new_for(field)?.scalar()?;
        if let Found::Flag(flag) = found {
            *field = Some(flag);
        } else if !matches!(found, Found::Null) {
            return Err(Problem::wrong(found, FLAG).into());
        }
        Ok(())
    }

    /// The name of a value.
    pub(super) fn named<T: Named>(self, field: &mut Option<T>) -> Taken<A::Error> {
        self.choice(field, T::NAMES, T::LATER)
    }

    /// One of these words. Those in `later` are words, too, but not of this version.
    pub(super) fn choice<T: Copy>(
        self,
        field: &mut Option<T>,
        of: &[(&str, T)],
        later: &[&str],
    ) -> Taken<A::Error> {
        self.choice_or(field, of, |found| {
            if let Found::Text(text) = &found
                && later.contains(&&**text)
            {
                return Problem::unsupported(format!(
                    "{} is not supported by this version; use {}",
                    Quoted(text),
                    alternatives(of)
                ));
            }
            Problem::wrong(found, &alternatives(of))
        })
    }

    /// One of these words, or what the caller has to say of anything else.
    pub(super) fn choice_or<T: Copy>(
        self,
        field: &mut Option<T>,
        of: &[(&str, T)],
        otherwise: impl FnOnce(Found<'a>) -> Problem,
    ) -> Taken<A::Error> {
        let found = self.new_for(field)?.scalar()?;
        if let Found::Null = found {
            return Ok(());
        }
        if let Found::Text(text) = &found
            && let Some(&(_, choice)) = of.iter().find(|(name, _)| *name == *text)
        {
            *field = Some(choice);
            return Ok(());
        }
        Err(otherwise(found).into())
    }

    /// The number of an error.
    pub(super) fn code(self, field: &mut Option<ErrorCode>) -> Taken<A::Error> {
        let mut number = None;
        self.new_for(field)?.integer(&mut number)?;
        *field = number.map(ErrorCode::known).transpose()?;
        Ok(())
    }

    /// Any JSON, as it was written.
    pub(super) fn json(self, field: &mut Option<Data<'a>>) -> Taken<A::Error> {
        if field.is_some() {
            return Err(two_payloads().into());
        }
        let raw: &'a RawValue = self.map.next_value().map_err(Stop::Json)?;
        *field = Some(Data::Json(Cow::Borrowed(checked_json(raw)?)));
        Ok(())
    }

    /// Any JSON that is not a message's payload.
    pub(super) fn json_text(self, field: &mut Option<Cow<'a, str>>) -> Taken<A::Error> {
        let raw: &'a RawValue = self.new_for(field)?.map.next_value().map_err(Stop::Json)?;
        *field = Some(Cow::Borrowed(checked_json(raw)?));
        Ok(())
    }

    /// Bytes as base64.
    pub(super) fn base64(self, field: &mut Option<Data<'a>>) -> Taken<A::Error> {
        if field.is_some() {
            return Err(two_payloads().into());
        }
        if let Some(text) = self.scalar()?.optional_text(BASE64)? {
            let bytes = BASE64_STANDARD.decode(&*text);
            let bytes = bytes.map_err(|_| Problem::wrong(Quoted(&text), BASE64))?;
            *field = Some(Data::Bytes(Cow::Owned(bytes)));
        }
        Ok(())
    }

    /// An object.
    pub(super) fn object<F: Fields<'a>>(self, field: &mut Option<F::Word>) -> Taken<A::Error> {
        *field = self.new_for(field)?.of::<F>()?;
        Ok(())
    }

    /// An object, or what the caller makes of anything else.
    pub(super) fn object_or<F: Fields<'a>>(
        self,
        field: &mut Option<F::Word>,
        otherwise: impl FnOnce(Found<'a>) -> Result<Option<F::Word>, Problem>,
    ) -> Taken<A::Error> {
        let mut problem = None;
        let object = ObjectOr(Object::<F>::new(&mut problem));
        let read = self.new_for(field)?.map.next_value_seed(Read(object));
        *field = match told(read, problem)? {
            Either::Object(word) => Some(word),
            Either::Other(found) => otherwise(found)?,
        };
        Ok(())
    }

    /// Texts under names of the sender's choice.
    pub(super) fn tags(self, field: &mut Option<Tags<'a>>, bound: Bound) -> Taken<A::Error> {
        let mut problem = None;
        let texts = Texts::new(bound, &mut problem);
        let read = self.new_for(field)?.map.next_value_seed(Read(texts));
        *field = told(read, problem)?;
        Ok(())
    }

    /// An object that must be one, as the body of a word must.
    pub(super) fn body<F: Fields<'a>>(self) -> Result<F::Word, Stop<A::Error>> {
        let word = self.of::<F>()?;
        Ok(word.ok_or_else(|| Problem::wrong(Found::Null, OBJECT))?)
    }

    /// A list of at most so many objects.
    pub(super) fn objects<F: Fields<'a>>(
        self,
        field: &mut Option<Vec<F::Word>>,
        bound: Bound,
    ) -> Taken<A::Error> {
        self.list::<ObjectItem<F>>(field, bound)
    }

    /// A list of at most so many objects, each of which is read or refused for itself.
    pub(super) fn each_object<F: Fields<'a>>(
        self,
        field: &mut Option<Vec<Result<F::Word, ErrorReply<'static>>>>,
        bound: Bound,
    ) -> Taken<A::Error> {
        self.list::<EachObject<F>>(field, bound)
    }

    /// A list of numbers.
    pub(super) fn integers(self, field: &mut Option<Vec<u64>>) -> Taken<A::Error> {
        self.list::<IntegerItem>(field, Bound::NONE)
    }

    /// A list of at most so many strings.
    pub(super) fn texts(
        self,
        field: &mut Option<Vec<Cow<'a, str>>>,
        bound: Bound,
    ) -> Taken<A::Error> {
        self.list::<TextItem>(field, bound)
    }

    /// What this version does not have, unless it is not asked for.
    pub(super) fn later(self) -> Taken<A::Error> {
        match self.scalar()? {
            Found::Null | Found::Flag(false) => Ok(()),
            Found::Flag(true)
            | Found::Integer(_)
            | Found::Negative(_)
            | Found::Fraction(_)
            | Found::Text(_)
            | Found::List
            | Found::Object => Err(Problem::later().into()),
        }
    }

    /// Nobody asks for it.
    pub(super) fn skip(self) -> Taken<A::Error> {
        let IgnoredAny = self.map.next_value().map_err(Stop::Json)?;
        Ok(())
    }

    /// Whatever it is. Of lists and objects only what they are.
    pub(super) fn scalar(self) -> Result<Found<'a>, Stop<A::Error>> {
        self.map.next_value_seed(Read(Scalar)).map_err(Stop::Json)
    }

    fn list<I: Item<'a>>(self, field: &mut Option<Vec<I::Out>>, bound: Bound) -> Taken<A::Error> {
        let mut problem = None;
        let list = List::<I>::new(bound, &mut problem);
        let read = self.new_for(field)?.map.next_value_seed(Read(list));
        *field = told(read, problem)?;
        Ok(())
    }

    fn of<F: Fields<'a>>(self) -> Result<Option<F::Word>, Stop<A::Error>> {
        let mut problem = None;
        let object = Object::<F>::new(&mut problem);
        let read = self.map.next_value_seed(Read(object));
        told(read, problem)
    }

    /// This, if the field has not come yet.
    fn new_for<T>(self, field: &Option<T>) -> Result<Self, Problem> {
        match field {
            None => Ok(self),
            Some(_) => Err(Problem::bad("there twice; leave one out")),
        }
    }
}

fn two_payloads() -> Problem {
    Problem::bad("a message has one payload; leave out data or b64")
}

/// The words of a choice, for people.
fn alternatives<T>(of: &[(&str, T)]) -> String {
    let words: Vec<_> = of.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    words.join(" or ")
}

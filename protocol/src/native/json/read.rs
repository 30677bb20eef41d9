//! How `serde_json` is asked: for a value of whatever kind, so that a wrong one can be named.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::INTEGER_END;
use super::super::bound::Bound;
use super::super::problem::{Problem, Quoted};
use super::super::reply::ErrorReply;
use super::value::{Fields, Value};

pub(super) const OBJECT: &str = "an object";
const INTEGER: &str = "a whole number from 0, below 2^53,";
const LIST: &str = "a list";
pub(super) const TEXT: &str = "a string";

/// Why an object is read no further.
#[derive(Debug)]
pub(super) enum Stop<E> {
    /// The JSON itself is broken, as far as its reader says.
    Json(E),
    /// What it says is.
    Problem(Problem),
}

impl<E> From<Problem> for Stop<E> {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// A value, not looked into.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Null,
    Flag(bool),
    Integer(u64),
    Negative(i64),
    Fraction(f64),
    Text(Cow<'a, str>),
    List,
    Object,
}

impl<'a> Found<'a> {
    /// A string, or none for `null`.
    pub(super) fn optional_text(self, needed: &str) -> Result<Option<Cow<'a, str>>, Problem> {
        match self {
            Self::Null => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            Self::Flag(_)
            | Self::Integer(_)
            | Self::Negative(_)
            | Self::Fraction(_)
            | Self::List
            | Self::Object => Err(Problem::wrong(self, needed)),
        }
    }

    /// A string.
    fn text(self) -> Result<Cow<'a, str>, Problem> {
        if let Self::Text(text) = self {
            return Ok(text);
        }
        Err(Problem::wrong(self, TEXT))
    }

    /// A number that every JSON reader keeps, or none for `null`.
    pub(super) fn optional_integer(self) -> Result<Option<u64>, Problem> {
        if let Self::Null = self {
            return Ok(None);
        }
        self.integer().map(Some)
    }

    /// A number that every JSON reader keeps.
    fn integer(self) -> Result<u64, Problem> {
        if let Self::Integer(integer) = self
            && integer < INTEGER_END
        {
            return Ok(integer);
        }
        Err(Problem::wrong(self, INTEGER))
    }
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Negative(integer) => write!(f, "{integer}"),
            // With its point, or its exponent: they are what is wrong with it.
            Self::Fraction(fraction) => write!(f, "{fraction:?}"),
            Self::Text(text) => write!(f, "{}", Quoted(text)),
            Self::List => f.write_str(LIST),
            Self::Object => f.write_str(OBJECT),
        }
    }
}

/// What to make of a value.
pub(super) trait Shape<'a>: Sized {
    type Out;

    /// Anything without parts, or whose parts were skipped.
    fn found<E: Error>(self, found: Found<'a>) -> Result<Self::Out, E>;

    fn list<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Out, A::Error> {
        while let Some(IgnoredAny) = list.next_element()? {}
        self.found(Found::List)
    }

    fn object<A: MapAccess<'a>>(self, mut object: A) -> Result<Self::Out, A::Error> {
        while let Some((IgnoredAny, IgnoredAny)) = object.next_entry()? {}
        self.found(Found::Object)
    }
}

/// The one visitor.
#[derive(Debug)]
pub(super) struct Read<S>(pub(super) S);

impl<'a, S: Shape<'a>> DeserializeSeed<'a> for Read<S> {
    type Value = S::Out;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<S::Out, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a, S: Shape<'a>> Visitor<'a> for Read<S> {
    type Value = S::Out;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<S::Out, E> {
        self.0.found(Found::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<S::Out, E> {
        self.0.found(Found::Flag(flag))
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<S::Out, E> {
        self.0.found(Found::Integer(integer))
    }

    fn visit_i64<E: Error>(self, integer: i64) -> Result<S::Out, E> {
        self.0.found(Found::Negative(integer))
    }

    fn visit_f64<E: Error>(self, fraction: f64) -> Result<S::Out, E> {
        self.0.found(Found::Fraction(fraction))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<S::Out, E> {
        self.0.found(Found::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<S::Out, E> {
        self.0.found(Found::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, list: A) -> Result<S::Out, A::Error> {
        self.0.list(list)
    }

    fn visit_map<A: MapAccess<'a>>(self, object: A) -> Result<S::Out, A::Error> {
        self.0.object(object)
    }
}

/// Whatever it is.
#[derive(Debug)]
pub(super) struct Scalar;

impl<'a> Shape<'a> for Scalar {
    type Out = Found<'a>;

    fn found<E: Error>(self, found: Found<'a>) -> Result<Found<'a>, E> {
        Ok(found)
    }
}

/// An object, or `null`: `None`. What is wrong is left in the slot, since serde's errors have no
/// room for it.
pub(super) struct Object<'p, F> {
    problem: &'p mut Option<Problem>,
    fields: PhantomData<F>,
}

impl<'p, F> Object<'p, F> {
    pub(super) const fn new(problem: &'p mut Option<Problem>) -> Self {
        Self {
            problem,
            fields: PhantomData,
        }
    }
}

impl<'a, F: Fields<'a>> Shape<'a> for Object<'_, F> {
    type Out = Option<F::Word>;

    fn found<E: Error>(self, found: Found<'a>) -> Result<Self::Out, E> {
        if let Found::Null = found {
            return Ok(None);
        }
        Err(left(self.problem, Problem::wrong(found, OBJECT)))
    }

    fn object<A: MapAccess<'a>>(self, mut object: A) -> Result<Self::Out, A::Error> {
        let mut fields = F::default();
        while let Some(Name(name)) = object.next_key()? {
            let value = Value { map: &mut object };
            match fields.field(&name, value) {
                Ok(()) => {}
                Err(Stop::Json(error)) => return Err(error),
                Err(Stop::Problem(problem)) => {
                    return Err(left(self.problem, problem.within(&name)));
                }
            }
        }
        let word = fields.finish();
        word.map(Some)
            .map_err(|problem| left(self.problem, problem))
    }
}

/// An object, or a value without fields.
pub(super) enum Either<'a, W> {
    Object(W),
    Other(Found<'a>),
}

/// An object, or whatever else the caller wants to see.
pub(super) struct ObjectOr<'p, F>(pub(super) Object<'p, F>);

impl<'a, F: Fields<'a>> Shape<'a> for ObjectOr<'_, F> {
    type Out = Either<'a, F::Word>;

    fn found<E: Error>(self, found: Found<'a>) -> Result<Self::Out, E> {
        Ok(Either::Other(found))
    }

    fn object<A: MapAccess<'a>>(self, object: A) -> Result<Self::Out, A::Error> {
        let word = self.0.object(object)?;
        Ok(word.map_or(Either::Other(Found::Null), Either::Object))
    }
}

/// An object of texts under names of the sender's choice, at most so many, or `null`: `None`.
pub(super) struct Texts<'p> {
    bound: Bound,
    problem: &'p mut Option<Problem>,
}

impl<'p> Texts<'p> {
    pub(super) const fn new(bound: Bound, problem: &'p mut Option<Problem>) -> Self {
        Self { bound, problem }
    }
}

impl<'a> Shape<'a> for Texts<'_> {
    type Out = Option<Vec<(Cow<'a, str>, Cow<'a, str>)>>;

    fn found<E: Error>(self, found: Found<'a>) -> Result<Self::Out, E> {
        if let Found::Null = found {
            return Ok(None);
        }
        Err(left(self.problem, Problem::wrong(found, OBJECT)))
    }

    fn object<A: MapAccess<'a>>(self, mut object: A) -> Result<Self::Out, A::Error> {
        let mut texts = Vec::new();
        while let Some(Name(name)) = object.next_key()? {
            if texts.len() == self.bound.count_max {
                return Err(left(self.problem, self.bound.exceeded()));
            }
            let found: Found<'a> = object.next_value_seed(Read(Scalar))?;
            match found.text() {
                Ok(text) => texts.push((name, text)),
                Err(problem) => {
                    let problem = problem.within(&Quoted(&name).to_string());
                    return Err(left(self.problem, problem));
                }
            }
        }
        Ok(Some(texts))
    }
}

/// A list, or `null`: `None`.
pub(super) struct List<'p, I> {
    bound: Bound,
    problem: &'p mut Option<Problem>,
    item: PhantomData<I>,
}

impl<'p, I> List<'p, I> {
    pub(super) const fn new(bound: Bound, problem: &'p mut Option<Problem>) -> Self {
        Self {
            bound,
            problem,
            item: PhantomData,
        }
    }
}

impl<'a, I: Item<'a>> Shape<'a> for List<'_, I> {
    type Out = Option<Vec<I::Out>>;

    fn found<E: Error>(self, found: Found<'a>) -> Result<Self::Out, E> {
        if let Found::Null = found {
            return Ok(None);
        }
        Err(left(self.problem, Problem::wrong(found, LIST)))
    }

    fn list<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Out, A::Error> {
        let mut items = Vec::new();
        loop {
            match I::next(&mut list) {
                Ok(None) => return Ok(Some(items)),
                Ok(Some(_)) if items.len() == self.bound.count_max => {
                    return Err(left(self.problem, self.bound.exceeded()));
                }
                Ok(Some(item)) => items.push(item),
                Err(Stop::Json(error)) => return Err(error),
                Err(Stop::Problem(problem)) => {
                    return Err(left(self.problem, problem.at(items.len())));
                }
            }
        }
    }
}

/// An item of a list.
pub(super) trait Item<'a> {
    type Out;

    fn next<A: SeqAccess<'a>>(list: &mut A) -> Result<Option<Self::Out>, Stop<A::Error>>;
}

/// An object.
pub(super) struct ObjectItem<F>(PhantomData<F>);

impl<'a, F: Fields<'a>> Item<'a> for ObjectItem<F> {
    type Out = F::Word;

    fn next<A: SeqAccess<'a>>(list: &mut A) -> Result<Option<F::Word>, Stop<A::Error>> {
        let mut problem = None;
        let read = list.next_element_seed(Read(Object::<F>::new(&mut problem)));
        match told(read, problem)? {
            None => Ok(None),
            Some(Some(word)) => Ok(Some(word)),
            Some(None) => Err(Problem::wrong(Found::Null, OBJECT).into()),
        }
    }
}

/// An object, or what is wrong with it: those behind it are read all the same.
pub(super) struct EachObject<F>(PhantomData<F>);

impl<'a, F: Fields<'a>> Item<'a> for EachObject<F> {
    type Out = Result<F::Word, ErrorReply<'static>>;

    fn next<A: SeqAccess<'a>>(list: &mut A) -> Result<Option<Self::Out>, Stop<A::Error>> {
        // Its end is found first: what cannot be read may be anywhere in it.
        let Some(raw) = list.next_element::<&'a RawValue>().map_err(Stop::Json)? else {
            return Ok(None);
        };
        let mut problem = None;
        let mut json = serde_json::Deserializer::from_str(raw.get());
        let read = Read(Object::<F>::new(&mut problem)).deserialize(&mut json);
        Ok(Some(match told(read, problem) {
            Ok(Some(word)) => Ok(word),
            Ok(None) => Err(Problem::wrong(Found::Null, OBJECT).refusal("sub")),
            Err(Stop::Problem(problem)) => Err(problem.refusal("sub")),
            // Nothing that `RawValue` takes; but a nesting that it took may be too deep here.
            Err(Stop::Json(error)) => Err(Problem::bad(error.to_string()).refusal("sub")),
        }))
    }
}

/// A string.
pub(super) struct TextItem;

impl<'a> Item<'a> for TextItem {
    type Out = Cow<'a, str>;

    fn next<A: SeqAccess<'a>>(list: &mut A) -> Result<Option<Self::Out>, Stop<A::Error>> {
        let found = list.next_element_seed(Read(Scalar)).map_err(Stop::Json)?;
        Ok(found.map(Found::text).transpose()?)
    }
}

/// A number.
pub(super) struct IntegerItem;

impl<'a> Item<'a> for IntegerItem {
    type Out = u64;

    fn next<A: SeqAccess<'a>>(list: &mut A) -> Result<Option<u64>, Stop<A::Error>> {
        let found = list.next_element_seed(Read(Scalar)).map_err(Stop::Json)?;
        Ok(found.map(Found::integer).transpose()?)
    }
}

/// What was read, or the problem that was left while reading.
pub(super) fn told<T, E>(read: Result<T, E>, problem: Option<Problem>) -> Result<T, Stop<E>> {
    read.map_err(|error| problem.map_or(Stop::Json(error), Stop::Problem))
}

/// Leaves the problem where [`told`] finds it.
fn left<E: Error>(slot: &mut Option<Problem>, problem: Problem) -> E {
    *slot = Some(problem);
    E::custom("see the problem")
}

/// The name of a field; borrowed, unless it has escapes.
struct Name<'a>(Cow<'a, str>);

impl<'a> serde::Deserialize<'a> for Name<'a> {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_str(NameVisitor).map(Self)
    }
}

struct NameVisitor;

impl<'a> Visitor<'a> for NameVisitor {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'a str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

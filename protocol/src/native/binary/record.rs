//! A message as the records that it holds.

use super::super::dialect::{Extent, Malformed};
use super::super::problem::Problem;
use super::body::split_integer;

/// The records of a message that are not read yet.
#[derive(Debug, Clone)]
pub(in super::super) struct Records<'a> {
    rest: &'a [u8],
    /// Bytes before the rest.
    at: usize,
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Record<'a> {
    pub(super) op: u8,
    pub(super) body: &'a [u8],
}

impl<'a> Records<'a> {
    pub(in super::super) const fn new(message: &'a [u8]) -> Self {
        Self {
            rest: message,
            at: 0,
        }
    }

    /// Bytes before the next record.
    pub(in super::super) const fn place(&self) -> usize {
        self.at
    }

    /// The records behind so many bytes of a message.
    pub(in super::super) fn from(message: &'a [u8], at: usize) -> Self {
        Self {
            rest: message.get(at..).unwrap_or_default(),
            at,
        }
    }

    /// The next record, as the caller reads it.
    pub(in super::super) fn next<W>(
        &mut self,
        read: impl FnOnce(Record<'a>) -> Result<W, Malformed>,
    ) -> Option<Result<W, Malformed>> {
        let (&op, behind) = self.rest.split_first()?;
        let sized = split_integer(behind).and_then(|(len, behind)| split_body(len, behind));
        let (body, rest) = match sized {
            Ok(sized) => sized,
            Err(problem) => {
                let at = self.at;
                self.at += self.rest.len();
                self.rest = &[];
                let mut lost = problem.malformed(None, Extent::Message);
                lost.text = format!("the record at byte {at}: {}", lost.text).into();
                return Some(Err(lost));
            }
        };
        self.at += self.rest.len() - rest.len();
        self.rest = rest;
        Some(read(Record { op, body }))
    }
}

fn split_body(len: u64, bytes: &[u8]) -> Result<(&[u8], &[u8]), Problem> {
    let split = usize::try_from(len)
        .ok()
        .and_then(|len| bytes.split_at_checked(len));
    split.ok_or_else(|| {
        Problem::bad(format!(
            "{len} bytes were to follow, and {} are there; records end with their message",
            bytes.len()
        ))
    })
}

impl Record<'_> {
    /// A word that nobody knows, or none of this direction.
    #[cold]
    pub(super) fn unknown(self, id: Option<u64>, later: Option<&str>) -> Malformed {
        let problem = match later {
            Some(name) => Problem::unknown_word(name),
            None => Problem::unknown_word(format_args!("the record {:#04x}", self.op)),
        };
        problem.malformed(id, Extent::Command)
    }
}

//! Several words in one message.

use super::command::Request;
use super::dialect::Dialect;
use super::push::Push;
use super::reply::Reply;

/// Puts words into one message until it is full. Whatever has been added, what was appended to the
/// buffer is one whole message; there is no end to be written. A batch without a word appends
/// nothing.
#[derive(Debug)]
pub struct Batch<'o> {
    dialect: Dialect,
    out: &'o mut Vec<u8>,
    /// Where the message begins in `out`.
    start: usize,
    bytes_max: usize,
}

/// The word would make the message too long. Nothing was added: send what there is, and begin
/// another batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl<'o> Batch<'o> {
    /// A message of at most `bytes_max` bytes behind what is in `out`.
    pub const fn new(dialect: Dialect, bytes_max: usize, out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        Self {
            dialect,
            out,
            start,
            bytes_max,
        }
    }

    /// Bytes of the message so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.out.len() - self.start
    }

    /// Whether there is no word in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a command.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    pub fn request(&mut self, request: &Request<'_>) -> Result<(), Full> {
        let dialect = self.dialect;
        self.add(|out| dialect.write_request(request, out))
    }

    /// Adds the reply to the command with this `id`, from 1.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    pub fn reply(&mut self, id: u64, reply: &Reply<'_>) -> Result<(), Full> {
        let dialect = self.dialect;
        self.add(|out| dialect.write_reply(id, reply, out))
    }

    /// Adds a push.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    pub fn push(&mut self, push: &Push<'_>) -> Result<(), Full> {
        let dialect = self.dialect;
        self.add(|out| dialect.write_push(push, out))
    }

    /// Adds a word that [`Dialect::write_push`] or one of its siblings has written before, in the
    /// same dialect.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    pub fn written(&mut self, word: &[u8]) -> Result<(), Full> {
        self.add(|out| out.extend_from_slice(word))
    }

    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        let before = self.out.len();
        match self.dialect {
            Dialect::Binary => write(self.out),
            Dialect::Json => {
                // The bracket that closes the array so far gives way to a comma.
                match self.out.get_mut(self.start..).and_then(<[u8]>::last_mut) {
                    Some(bracket) => *bracket = b',',
                    None => self.out.push(b'['),
                }
                write(self.out);
                self.out.push(b']');
            }
        }
        if self.len() <= self.bytes_max {
            return Ok(());
        }
        self.out.truncate(before);
        if let (Dialect::Json, Some(last)) = (
            self.dialect,
            self.out.get_mut(self.start..).and_then(<[u8]>::last_mut),
        ) {
            *last = b']';
        }
        Err(Full)
    }
}

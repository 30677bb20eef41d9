//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455, 9.1).
//!
//! ```text
//! extension-list  = 1#extension
//! extension       = extension-token *( ";" extension-param )
//! extension-param = token [ "=" ( token | quoted-string ) ]
//! ```
//!
//! One pass over the bytes, without allocation and without going back.

use std::fmt;

use super::headers::is_token_byte;

/// The header does not follow the grammar. RFC 6455, 9.1: whoever receives such a value must
/// fail the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionsMalformed;

impl fmt::Display for ExtensionsMalformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sec-WebSocket-Extensions does not follow its grammar (RFC 6455, 9.1)")
    }
}

impl std::error::Error for ExtensionsMalformed {}

/// The extensions in the lines of a header, in the order sent. Several lines are one list.
///
/// An error is the last item. The first good extension does not make the rest good: read to the
/// end before trusting any.
#[derive(Debug, Clone)]
pub struct Extensions<'a, Lines> {
    lines: Lines,
    line: Cursor<'a>,
    state: ListState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListState {
    /// No line has come.
    Absent,
    /// Lines have come, but no extension yet.
    Empty,
    /// An extension has come.
    Some,
    /// The list has ended, well or not.
    Done,
}

impl<'a, Lines: Iterator<Item = &'a [u8]>> Extensions<'a, Lines> {
    /// Reads the values of all lines of the header.
    pub const fn new(lines: Lines) -> Self {
        Self {
            lines,
            line: Cursor(&[]),
            state: ListState::Absent,
        }
    }
}

impl<'a, Lines: Iterator<Item = &'a [u8]>> Iterator for Extensions<'a, Lines> {
    type Item = Result<Extension<'a>, ExtensionsMalformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == ListState::Done {
            return None;
        }
        loop {
            // Empty elements of a list are ignored (RFC 9110, 5.6.1.2).
            self.line.skip_spaces();
            if self.line.take(b',') {
                continue;
            }
            if !self.line.0.is_empty() {
                break;
            }
            let Some(line) = self.lines.next() else {
                // `1#`: a list that is there has an element.
                let empty = self.state == ListState::Empty;
                self.state = ListState::Done;
                return empty.then_some(Err(ExtensionsMalformed));
            };
            self.line = Cursor(line);
            if self.state == ListState::Absent {
                self.state = ListState::Empty;
            }
        }
        let extension = self.line.extension();
        self.state = match extension {
            Some(_) => ListState::Some,
            None => ListState::Done,
        };
        Some(extension.ok_or(ExtensionsMalformed))
    }
}

/// One extension with its parameters.
#[derive(Debug, Clone, Copy)]
pub struct Extension<'a> {
    name: &'a str,
    /// From the first semicolon on; follows the grammar.
    params: &'a [u8],
}

impl<'a> Extension<'a> {
    /// The extension's token.
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Its parameters, in the order sent.
    #[must_use]
    pub const fn params(&self) -> Params<'a> {
        Params(Cursor(self.params))
    }
}

/// The parameters of an [`Extension`].
#[derive(Debug, Clone)]
pub struct Params<'a>(Cursor<'a>);

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        self.0.param()
    }
}

/// A parameter of an [`Extension`].
#[derive(Debug, Clone, Copy)]
pub struct Param<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value, if it has one.
    pub value: Option<Value<'a>>,
}

/// The value of a parameter: a token, which may have been sent as a quoted string.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a>(&'a [u8]);

impl Value<'_> {
    /// The bytes of the token, without the backslashes of a quoted string.
    pub fn bytes(&self) -> impl Iterator<Item = u8> {
        // A backslash is no token byte, so every one that is left escapes the byte after it.
        self.0.iter().copied().filter(|byte| *byte != b'\\')
    }
}

impl PartialEq<str> for Value<'_> {
    fn eq(&self, other: &str) -> bool {
        self.bytes().eq(other.bytes())
    }
}

/// What is left of a line.
#[derive(Debug, Clone)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// An extension up to a comma or the end, which is not taken.
    fn extension(&mut self) -> Option<Extension<'a>> {
        let name = self.token()?;
        self.skip_spaces();
        let params = self.0;
        while self.0.first() == Some(&b';') {
            self.param()?;
        }
        if !matches!(self.0.first(), None | Some(b',')) {
            return None;
        }
        let length = params.len().checked_sub(self.0.len())?;
        Some(Extension {
            name,
            params: params.get(..length)?,
        })
    }

    /// A semicolon and the parameter after it, with the white space around both.
    fn param(&mut self) -> Option<Param<'a>> {
        if !self.take(b';') {
            return None;
        }
        self.skip_spaces();
        let name = self.token()?;
        self.skip_spaces();
        let mut value = None;
        if self.take(b'=') {
            self.skip_spaces();
            value = Some(if self.take(b'"') {
                self.quoted_token()?
            } else {
                Value(self.token()?.as_bytes())
            });
            self.skip_spaces();
        }
        Some(Param { name, value })
    }

    fn token(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| !is_token_byte(*byte));
        let (token, rest) = self.0.split_at_checked(end.unwrap_or(self.0.len()))?;
        self.0 = rest;
        if token.is_empty() {
            return None;
        }
        str::from_utf8(token).ok()
    }

    /// What follows an opening quote, with the closing one. RFC 6455, 9.1: once unescaped, it
    /// must be a token.
    fn quoted_token(&mut self) -> Option<Value<'a>> {
        let whole = self.0;
        loop {
            let (first, rest) = self.0.split_first()?;
            let unescaped = match first {
                b'"' => {
                    let length = whole.len().checked_sub(self.0.len())?;
                    self.0 = rest;
                    return whole
                        .get(..length)
                        .filter(|token| !token.is_empty())
                        .map(Value);
                }
                b'\\' => {
                    let (escaped, after) = rest.split_first()?;
                    self.0 = after;
                    escaped
                }
                byte => {
                    self.0 = rest;
                    byte
                }
            };
            if !is_token_byte(*unescaped) {
                return None;
            }
        }
    }

    fn take(&mut self, wanted: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == wanted => {
                self.0 = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    fn skip_spaces(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }
}

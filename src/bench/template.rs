//! What is sent to servers of other protocols: text or bytes with placeholders.
//!
//! ```text
//!   SUB {topic} {n}\r\n                                          a text message
//!   hex:82 varint(0001 u16('{topic}') 00)                        a binary message
//! ```
//!
//! In text, `{name}` is a placeholder if it is a word of small letters; any other brace stands for
//! itself, as in JSON. `\r \n \t \0 \\ \{ \} \' \=` stand for what they usually do.
//!
//! In hex, blanks are passed over, `'...'` is text, and `u8(...)`, `u16(...)`, `u32(...)`,
//! `varint(...)` put the length of what is inside in front of it: big-endian, or seven bits a byte,
//! the lowest first, as MQTT and Protobuf do.

use std::fmt;
use std::iter::Peekable;
use std::str::{Chars, FromStr};

use corewire_protocol::frame::OpCode;

/// A message with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    opcode: OpCode,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    Value(Value),
    Group(Prefix, Vec<Self>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Number,
    Id,
    Topic,
    Size,
    Data,
}

/// How the length of a group is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefix {
    BigEndian { bytes: usize },
    Varint,
}

const VALUES: [(&str, Value); 5] = [
    ("n", Value::Number),
    ("id", Value::Id),
    ("topic", Value::Topic),
    ("size", Value::Size),
    ("data", Value::Data),
];

const GROUPS: [(&str, Prefix); 4] = [
    ("u8", Prefix::BigEndian { bytes: 1 }),
    ("u16", Prefix::BigEndian { bytes: 2 }),
    ("u32", Prefix::BigEndian { bytes: 4 }),
    ("varint", Prefix::Varint),
];

/// Groups inside groups.
const DEPTH_MAX: usize = 8;

/// What placeholders stand for in one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    /// `{n}`: the connection.
    pub(super) number: usize,
    /// `{id}`: which message of the connection, from 1 on.
    pub(super) id: u64,
    /// `{topic}`.
    pub(super) topic: &'a str,
    /// `{size}`: bytes of `{data}`.
    pub(super) size: usize,
    /// `{data}`, in two parts.
    pub(super) data: [&'a [u8]; 2],
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError(String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TemplateError {}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(template: &str) -> Result<Self, TemplateError> {
        Ok(match template.strip_prefix("hex:") {
            Some(hex) => {
                let mut parser = Parser::new(hex);
                let pieces = parser.hex(0)?;
                Self {
                    opcode: OpCode::Binary,
                    pieces,
                }
            }
            None => Self {
                opcode: OpCode::Text,
                pieces: Parser::new(template).text(None)?,
            },
        })
    }
}

impl Template {
    /// Text or binary.
    pub(super) const fn opcode(&self) -> OpCode {
        self.opcode
    }

    /// How often `{data}` stands in it.
    pub(super) fn data_count(&self) -> usize {
        fn count(pieces: &[Piece]) -> usize {
            let of = |piece: &Piece| match piece {
                Piece::Value(Value::Data) => 1,
                Piece::Group(_, inside) => count(inside),
                Piece::Bytes(_) | Piece::Value(_) => 0,
            };
            pieces.iter().map(of).sum()
        }
        count(&self.pieces)
    }

    /// Its bytes, if it has no placeholder.
    pub(super) fn literal(&self) -> Option<Vec<u8>> {
        fn is_literal(pieces: &[Piece]) -> bool {
            pieces.iter().all(|piece| match piece {
                Piece::Bytes(_) => true,
                Piece::Value(_) => false,
                Piece::Group(_, inside) => is_literal(inside),
            })
        }
        let nothing = Values {
            number: 0,
            id: 0,
            topic: "",
            size: 0,
            data: [&[], &[]],
        };
        let mut bytes = Vec::new();
        is_literal(&self.pieces).then(|| {
            self.write(&nothing, &mut bytes);
            bytes
        })
    }

    /// Appends the message with these values.
    pub(super) fn write(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        write(&self.pieces, values, out);
    }
}

fn write(pieces: &[Piece], values: &Values<'_>, out: &mut Vec<u8>) {
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => out.extend_from_slice(bytes),
            Piece::Value(Value::Number) => {
                out.extend_from_slice(values.number.to_string().as_bytes())
            }
            Piece::Value(Value::Id) => out.extend_from_slice(values.id.to_string().as_bytes()),
            Piece::Value(Value::Size) => out.extend_from_slice(values.size.to_string().as_bytes()),
            Piece::Value(Value::Topic) => out.extend_from_slice(values.topic.as_bytes()),
            Piece::Value(Value::Data) => {
                values
                    .data
                    .iter()
                    .for_each(|part| out.extend_from_slice(part));
            }
            Piece::Group(prefix, inside) => {
                let start = out.len();
                write(inside, values, out);
                let len = prefix.encode(out.len() - start);
                out.splice(start..start, len);
            }
        }
    }
}

impl Prefix {
    /// A length. What is too long for it loses its highest bits, as the server will tell.
    fn encode(self, len: usize) -> Vec<u8> {
        match self {
            Self::BigEndian { bytes } => {
                let all = (len as u64).to_be_bytes();
                all[all.len() - bytes..].to_vec()
            }
            Self::Varint => {
                let mut left = len;
                let mut bytes = Vec::new();
                loop {
                    let low = u8::try_from(left & 0x7f).unwrap_or(0);
                    left >>= 7;
                    if left == 0 {
                        bytes.push(low);
                        return bytes;
                    }
                    bytes.push(low | 0x80);
                }
            }
        }
    }
}

struct Parser<'a> {
    chars: Peekable<Chars<'a>>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            chars: text.chars().peekable(),
        }
    }

    /// Text up to `end`, or to the end of all.
    fn text(&mut self, end: Option<char>) -> Result<Vec<Piece>, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        loop {
            let Some(char) = self.chars.next() else {
                if end.is_some() {
                    return refuse("a ' is missing at the end of quoted text");
                }
                break;
            };
            match char {
                _ if Some(char) == end => break,
                '\\' => literal.push(self.escaped()?),
                '{' => match self.placeholder()? {
                    Some(value) => {
                        push_bytes(&mut pieces, std::mem::take(&mut literal).as_bytes());
                        pieces.push(Piece::Value(value));
                    }
                    None => literal.push('{'),
                },
                _ => literal.push(char),
            }
        }
        push_bytes(&mut pieces, literal.as_bytes());
        Ok(pieces)
    }

    fn escaped(&mut self) -> Result<char, TemplateError> {
        match self.chars.next() {
            Some('r') => Ok('\r'),
            Some('n') => Ok('\n'),
            Some('t') => Ok('\t'),
            Some('0') => Ok('\0'),
            Some(char @ ('\\' | '{' | '}' | '\'' | '=')) => Ok(char),
            Some(other) => refuse(&format!(
                "\\{other} stands for nothing; a backslash is \\\\"
            )),
            None => refuse("a backslash at the end stands for nothing; write \\\\"),
        }
    }

    /// What stands behind a `{`. `None`: it is a brace like any other.
    fn placeholder(&mut self) -> Result<Option<Value>, TemplateError> {
        let ahead = self.chars.clone();
        let name: String = ahead.take_while(char::is_ascii_lowercase).collect();
        let is_closed = self.chars.clone().nth(name.len()) == Some('}');
        if name.is_empty() || !is_closed {
            return Ok(None);
        }
        let Some((_, value)) = VALUES.iter().find(|(known, _)| *known == name) else {
            let known = VALUES.map(|(name, _)| format!("{{{name}}}")).join(" ");
            return refuse(&format!(
                "{{{name}}} is no placeholder; there are {known}, and \\{{ is a brace"
            ));
        };
        self.chars.by_ref().take(name.len() + 1).for_each(drop);
        Ok(Some(*value))
    }

    /// Hex up to the `)` of a group, or to the end at depth 0.
    fn hex(&mut self, depth: usize) -> Result<Vec<Piece>, TemplateError> {
        let mut pieces = Vec::new();
        loop {
            let Some(&char) = self.chars.peek() else {
                if depth > 0 {
                    return refuse("a ) is missing at the end of a group");
                }
                return Ok(pieces);
            };
            match char {
                _ if char.is_ascii_whitespace() => drop(self.chars.next()),
                ')' if depth > 0 => {
                    self.chars.next();
                    return Ok(pieces);
                }
                '\'' => {
                    self.chars.next();
                    pieces.extend(self.text(Some('\''))?);
                }
                '{' => {
                    self.chars.next();
                    match self.placeholder()? {
                        Some(value) => pieces.push(Piece::Value(value)),
                        None => return refuse("a brace in hex: text stands in '...'"),
                    }
                }
                _ if char.is_ascii_hexdigit() => {
                    let byte = self.byte()?;
                    push_bytes(&mut pieces, &[byte]);
                }
                _ => pieces.push(self.group(depth)?),
            }
        }
    }

    fn byte(&mut self) -> Result<u8, TemplateError> {
        let digits: String = self.chars.by_ref().take(2).collect();
        match u8::from_str_radix(&digits, 16) {
            Ok(byte) if digits.len() == 2 => Ok(byte),
            Ok(_) | Err(_) => refuse(&format!("{digits:?} is no byte: two hex digits are")),
        }
    }

    fn group(&mut self, depth: usize) -> Result<Piece, TemplateError> {
        let ahead = self.chars.clone();
        let name: String = ahead.take_while(char::is_ascii_alphanumeric).collect();
        let known = GROUPS.iter().find(|(known, _)| *known == name);
        let opens = self.chars.clone().nth(name.len()) == Some('(');
        let Some((_, prefix)) = known.filter(|_| opens) else {
            let found: String = self.chars.clone().take(8).collect();
            return refuse(&format!(
                "{found:?} is not hex: write bytes as two hex digits, text as '...', lengths as \
                 u8(...), u16(...), u32(...), varint(...)"
            ));
        };
        if depth == DEPTH_MAX {
            return refuse("groups stand too deep inside one another");
        }
        self.chars.by_ref().take(name.len() + 1).for_each(drop);
        Ok(Piece::Group(*prefix, self.hex(depth + 1)?))
    }
}

/// Appends bytes to the last piece, if that is bytes, too.
fn push_bytes(pieces: &mut Vec<Piece>, bytes: &[u8]) {
    match pieces.last_mut() {
        _ if bytes.is_empty() => {}
        Some(Piece::Bytes(last)) => last.extend_from_slice(bytes),
        Some(Piece::Value(_) | Piece::Group(..)) | None => {
            pieces.push(Piece::Bytes(bytes.to_vec()));
        }
    }
}

fn refuse<T>(reason: &str) -> Result<T, TemplateError> {
    Err(TemplateError(reason.to_owned()))
}

/// `TEXT=ANSWER`: when a connection receives the one, it sends the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What is waited for, not empty.
    pub(super) text: Vec<u8>,
    /// What is sent.
    pub(super) answer: Template,
}

impl FromStr for Answer {
    type Err = TemplateError;

    fn from_str(rule: &str) -> Result<Self, TemplateError> {
        let bytes = rule.as_bytes();
        let is_equals = |&at: &usize| bytes[at] == b'=' && (at == 0 || bytes[at - 1] != b'\\');
        let Some(at) = (0..bytes.len()).find(is_equals) else {
            return refuse("write TEXT=ANSWER; a = inside TEXT is written \\=");
        };
        let text: Literal = rule[..at].parse()?;
        let answer: Template = rule[at + 1..].parse()?;
        if answer.data_count() > 0 {
            return refuse("an answer publishes nothing: {data} stands in --publish");
        }
        Ok(Self {
            text: text.0,
            answer,
        })
    }
}

/// Text that is waited for: a template without placeholders, not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal(pub(super) Vec<u8>);

impl FromStr for Literal {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        match text.parse::<Template>()?.literal() {
            Some(bytes) if !bytes.is_empty() => Ok(Self(bytes)),
            Some(_) => refuse("there must be a text to wait for"),
            None => refuse("what is waited for has no placeholders; \\{ is a brace"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_braces() {
        let template = r#"{"id":{id},"pub":{"topic":"{topic}","data":"{data}","n":{n},"e":{}}}"#;
        assert_eq!(
            written(template),
            br#"{"id":5,"pub":{"topic":"bench","data":"abcdef","n":7,"e":{}}}"#
        );
    }

    #[test]
    fn escapes_stand_for_what_they_usually_do() {
        assert_eq!(
            written(r"PUB {topic} {size}\r\n{data}\r\n"),
            b"PUB bench 6\r\nabcdef\r\n"
        );
        assert_eq!(written(r"\{n\}\\\t\0\=\'"), b"{n}\\\t\0='");
    }

    #[test]
    fn hex_has_text_and_lengths() {
        // MQTT 3.1.1, 3.1, 3.8 and 3.3.
        assert_eq!(
            written("hex:10 varint(u16('MQTT') 04 02 003c u16('c{n}'))"),
            b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02c7"
        );
        assert_eq!(
            written("hex:82varint(0001u16({topic})00)"),
            b"\x82\x0a\x00\x01\x00\x05bench\x00"
        );
        let long = format!("hex: varint('{}') u32() u8(ff)", "x".repeat(300));
        let mut expected = vec![0xac, 0x02];
        expected.extend([b'x'; 300]);
        expected.extend([0, 0, 0, 0, 1, 0xff]);
        assert_eq!(written(&long), expected);
        assert_eq!(
            "hex:00".parse::<Template>().unwrap().opcode(),
            OpCode::Binary
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (template, named) in [
            ("SUB {topics}", "{topics}"),
            (r"a\x", r"\x"),
            (r"a\", "backslash"),
            ("hex:0", "\"0\""),
            ("hex:0g", "\"0g\""),
            ("hex:u16(00", ") is missing"),
            ("hex:00)", "\")\""),
            ("hex:'abc", "' is missing"),
            ("hex:u24(00)", "u24(00)"),
            ("hex:{\"a\"}", "brace"),
        ] {
            let error = template.parse::<Template>().unwrap_err().to_string();
            assert!(error.contains(named), "{template}: {error}");
        }
        let deep = format!("hex:{}{}", "u8(".repeat(9), ")".repeat(9));
        assert!(deep.parse::<Template>().is_err());
        for rule in ["PING", "=PONG", "{n}=PONG", "PING={data}"] {
            assert!(rule.parse::<Answer>().is_err(), "{rule}");
        }
    }

    #[test]
    fn an_answer_is_cut_at_its_first_bare_equals_sign() {
        let answer: Answer = r"a\=b=c=d".parse().unwrap();
        assert_eq!(answer.text, b"a=b");
        assert_eq!(answer.answer, "c=d".parse().unwrap());
    }

    fn written(template: &str) -> Vec<u8> {
        let values = Values {
            number: 7,
            id: 5,
            topic: "bench",
            size: 6,
            data: [b"abc", b"def"],
        };
        let mut out = Vec::new();
        let template: Template = template.parse().unwrap();
        template.write(&values, &mut out);
        out
    }
}

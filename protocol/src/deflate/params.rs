//! What permessage-deflate was agreed upon, and how (RFC 7692, 5 and 7.1).
//!
//! Both roles negotiate from one [`DeflateConfig`]: the most that this end agrees to in each
//! direction. The server takes the first offer that it can keep and answers it; the client
//! writes one offer and checks the answer. What comes out is an [`Agreement`], whose windows are
//! ones that the codec can do.
#![warn(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use std::fmt;
use std::mem;

use crate::handshake::{Extension, Extensions, ExtensionsMalformed, Value};

/// One direction of an agreed permessage-deflate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// Whether the sender may refer to earlier messages.
    pub takeover: Takeover,
    /// The base-2 logarithm of the sender's window, 9 to 15.
    pub window_bits: u8,
}

/// Whether the compressor keeps its window from one message to the next (RFC 7692, 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// Every message is compressed alone.
    No,
    /// A message may refer to those before it.
    Yes,
}

/// What both ends agreed upon, seen from ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// What the peer compresses and we inflate.
    pub inbound: Direction,
    /// What we compress and the peer inflates.
    pub outbound: Direction,
}

/// The most that we agree to: a takeover of `Yes` allows it, a window is the largest. The peer
/// may ask for less in both, and gets it.
///
/// The default keeps nothing between messages in either direction, so that a connection costs no
/// memory for compression; without takeover there is nothing to gain from a smaller window of
/// the peer's, so none is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflateConfig {
    inbound: Direction,
    outbound: Direction,
}

/// The server's answer to an offer that it accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    agreement: Agreement,
    parameters: Parameters,
}

/// Why a server's answer to our offer fails the handshake (RFC 7692, 5.1 and 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerError {
    /// A parameter that permessage-deflate does not have.
    UnknownParameter,
    /// A parameter stands twice.
    DuplicateParameter,
    /// A value that the parameter may not have, or none where there must be one.
    InvalidValue,
    /// We asked for `server_no_context_takeover`, and the answer does not grant it (7.1.1.1).
    ServerTakeover,
    /// We asked for `server_max_window_bits`, and the answer does not grant it (7.1.2.1).
    ServerWindow,
    /// `client_max_window_bits` is larger than the one offered (7.1.2.2).
    ClientWindow,
    /// The answer wants us to compress in a window of 8 bits, which our codec does not do.
    ClientWindowUnsupported,
}

/// The smallest window of our codec: zlib has no raw streams with one of 8 bits, and flate2
/// panics when it is asked for one.
const CODEC_BITS_MIN: u8 = 9;
/// The largest window, and the one where nothing is said.
const BITS_MAX: u8 = 15;

impl DeflateConfig {
    /// The extension's token.
    pub const NAME: &'static str = "permessage-deflate";

    /// `None` if a window is not 9 to 15 bits.
    #[must_use]
    pub fn new(inbound: Direction, outbound: Direction) -> Option<Self> {
        let codec_bits = CODEC_BITS_MIN..=BITS_MAX;
        let possible =
            codec_bits.contains(&inbound.window_bits) && codec_bits.contains(&outbound.window_bits);
        possible.then_some(Self { inbound, outbound })
    }

    /// Server: answers the first offer that can be accepted. `None` declines them all, also
    /// where one is invalid (RFC 7692, 5.1): the connection then goes on without compression.
    ///
    /// # Errors
    ///
    /// The header does not follow its grammar, before or after an acceptable offer: then there
    /// is no connection at all.
    pub fn negotiate<'a>(
        self,
        offers: Extensions<'a, impl Iterator<Item = &'a [u8]>>,
    ) -> Result<Option<Answer>, ExtensionsMalformed> {
        let mut answer = None;
        for offer in offers {
            let offer = offer?;
            if answer.is_none() && offer.name() == Self::NAME {
                answer = self.answer(&offer);
            }
        }
        Ok(answer)
    }

    /// Server: the answer to one offer, `None` to decline it.
    fn answer(self, offer: &Extension<'_>) -> Option<Answer> {
        let offered = Parameters::read(offer, Spoken::InOffer).ok()?;
        let mut inbound = self.inbound;
        let mut outbound = self.outbound;
        // 7.1.1.1: whoever accepts server_no_context_takeover answers with it.
        if offered.server_no_context_takeover {
            outbound.takeover = Takeover::No;
        }
        // 7.1.1.2: with this hint the client keeps nothing, so neither need we.
        if offered.client_no_context_takeover {
            inbound.takeover = Takeover::No;
        }
        // 7.1.2.1: whoever accepts server_max_window_bits answers with the same value or less.
        // Where it is not offered we use our window without a word: every client can inflate a
        // smaller one.
        if let Some(most) = offered.server_max_window_bits {
            if most < CODEC_BITS_MIN {
                return None;
            }
            outbound.window_bits = most.min(outbound.window_bits);
        }
        // 7.1.2.2: client_max_window_bits may only be answered where it is offered, with the
        // client's value or less.
        let client_bits = match offered.client_max_window_bits {
            Some(most) => most.unwrap_or(BITS_MAX).min(inbound.window_bits),
            None => BITS_MAX,
        };
        // What was compressed in a window of 8 bits can be inflated in one of 9.
        inbound.window_bits = client_bits.max(CODEC_BITS_MIN);
        Some(Answer {
            agreement: Agreement { inbound, outbound },
            parameters: Parameters {
                server_no_context_takeover: outbound.takeover == Takeover::No,
                client_no_context_takeover: inbound.takeover == Takeover::No,
                server_max_window_bits: offered
                    .server_max_window_bits
                    .map(|_| outbound.window_bits),
                client_max_window_bits: (client_bits < BITS_MAX).then_some(Some(client_bits)),
            },
        })
    }

    /// Client: appends the offer, the value of a `Sec-WebSocket-Extensions` header.
    pub fn write_offer(self, out: &mut Vec<u8>) {
        let below_max = |bits: u8| (bits < BITS_MAX).then_some(bits);
        let offer = Parameters {
            server_no_context_takeover: self.inbound.takeover == Takeover::No,
            client_no_context_takeover: self.outbound.takeover == Takeover::No,
            server_max_window_bits: below_max(self.inbound.window_bits),
            // Without a value: whatever the server asks for (7.1.2.2).
            client_max_window_bits: Some(below_max(self.outbound.window_bits)),
        };
        offer.write(out);
    }

    /// Client: what the server's answer to our offer means.
    ///
    /// # Errors
    ///
    /// The rule that it breaks; the handshake has failed.
    pub fn accept(self, answer: &Extension<'_>) -> Result<Agreement, AnswerError> {
        let answered = Parameters::read(answer, Spoken::InAnswer)?;
        let mut inbound = self.inbound;
        let mut outbound = self.outbound;
        if answered.server_no_context_takeover {
            inbound.takeover = Takeover::No;
        } else if inbound.takeover == Takeover::No {
            return Err(AnswerError::ServerTakeover);
        }
        if answered.client_no_context_takeover {
            outbound.takeover = Takeover::No;
        }
        let server_bits = answered.server_max_window_bits.unwrap_or(BITS_MAX);
        if server_bits > inbound.window_bits {
            return Err(AnswerError::ServerWindow);
        }
        inbound.window_bits = server_bits.max(CODEC_BITS_MIN);
        if let Some(Some(bits)) = answered.client_max_window_bits {
            if bits > outbound.window_bits {
                return Err(AnswerError::ClientWindow);
            }
            if bits < CODEC_BITS_MIN {
                return Err(AnswerError::ClientWindowUnsupported);
            }
            outbound.window_bits = bits;
        }
        Ok(Agreement { inbound, outbound })
    }
}

impl Default for DeflateConfig {
    fn default() -> Self {
        Self {
            inbound: Direction {
                takeover: Takeover::No,
                window_bits: 15,
            },
            outbound: Direction {
                takeover: Takeover::No,
                window_bits: 13,
            },
        }
    }
}

impl Answer {
    /// What both ends do from now on.
    #[must_use]
    pub const fn agreement(&self) -> Agreement {
        self.agreement
    }

    /// Appends the value of the `Sec-WebSocket-Extensions` header.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.parameters.write(out);
    }
}

/// The parameters of one offer or answer (RFC 7692, 7.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// In an offer it may stand without a value.
    client_max_window_bits: Option<Option<u8>>,
}

/// Where parameters stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    InOffer,
    InAnswer,
}

const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

impl Parameters {
    fn read(extension: &Extension<'_>, spoken: Spoken) -> Result<Self, AnswerError> {
        let mut read = Self::default();
        for param in extension.params() {
            let was_there = match param.name {
                SERVER_NO_CONTEXT_TAKEOVER => {
                    no_value(param.value)?;
                    mem::replace(&mut read.server_no_context_takeover, true)
                }
                CLIENT_NO_CONTEXT_TAKEOVER => {
                    no_value(param.value)?;
                    mem::replace(&mut read.client_no_context_takeover, true)
                }
                SERVER_MAX_WINDOW_BITS => {
                    let value = param.value.ok_or(AnswerError::InvalidValue)?;
                    let bits = window_bits(&value)?;
                    read.server_max_window_bits.replace(bits).is_some()
                }
                CLIENT_MAX_WINDOW_BITS => {
                    let bits = match (&param.value, spoken) {
                        (Some(value), _) => Some(window_bits(value)?),
                        (None, Spoken::InOffer) => None,
                        (None, Spoken::InAnswer) => return Err(AnswerError::InvalidValue),
                    };
                    read.client_max_window_bits.replace(bits).is_some()
                }
                _ => return Err(AnswerError::UnknownParameter),
            };
            if was_there {
                return Err(AnswerError::DuplicateParameter);
            }
        }
        Ok(read)
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(DeflateConfig::NAME.as_bytes());
        if self.server_no_context_takeover {
            write_param(out, SERVER_NO_CONTEXT_TAKEOVER, None);
        }
        if self.client_no_context_takeover {
            write_param(out, CLIENT_NO_CONTEXT_TAKEOVER, None);
        }
        if let Some(bits) = self.server_max_window_bits {
            write_param(out, SERVER_MAX_WINDOW_BITS, Some(bits));
        }
        if let Some(bits) = self.client_max_window_bits {
            write_param(out, CLIENT_MAX_WINDOW_BITS, bits);
        }
    }
}

fn write_param(out: &mut Vec<u8>, name: &str, bits: Option<u8>) {
    let known = WINDOW_BITS.iter().find(|(_, known)| Some(*known) == bits);
    let parts = match known {
        Some((digits, _)) => ["; ", name, "=", digits],
        None => ["; ", name, "", ""],
    };
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Every window of RFC 7692 as it is written: without leading zeros.
const WINDOW_BITS: [(&str, u8); 8] = [
    ("8", 8),
    ("9", 9),
    ("10", 10),
    ("11", 11),
    ("12", 12),
    ("13", 13),
    ("14", 14),
    ("15", 15),
];

fn window_bits(value: &Value<'_>) -> Result<u8, AnswerError> {
    let known = WINDOW_BITS.iter().find(|(digits, _)| value == *digits);
    known
        .map(|(_, bits)| *bits)
        .ok_or(AnswerError::InvalidValue)
}

const fn no_value(value: Option<Value<'_>>) -> Result<(), AnswerError> {
    match value {
        None => Ok(()),
        Some(_) => Err(AnswerError::InvalidValue),
    }
}

impl AnswerError {
    /// Where the rule stands.
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Self::UnknownParameter | Self::DuplicateParameter | Self::InvalidValue => {
                "RFC 7692, 7.1"
            }
            Self::ServerTakeover => "RFC 7692, 7.1.1.1",
            Self::ServerWindow => "RFC 7692, 7.1.2.1",
            Self::ClientWindow | Self::ClientWindowUnsupported => "RFC 7692, 7.1.2.2",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::UnknownParameter => "an unknown parameter",
            Self::DuplicateParameter => "a parameter twice",
            Self::InvalidValue => "a parameter with an invalid value",
            Self::ServerTakeover => "no server_no_context_takeover, which we asked for",
            Self::ServerWindow => "no server_max_window_bits as small as we asked for",
            Self::ClientWindow => "a larger client_max_window_bits than we offered",
            Self::ClientWindowUnsupported => {
                "client_max_window_bits=8, which we cannot compress with"
            }
        }
    }
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, section) = (self.text(), self.section());
        write!(
            f,
            "the server answered permessage-deflate with {text} ({section})"
        )
    }
}

impl std::error::Error for AnswerError {}

//! Frames as RFC 6455, 5.2 writes them.

use corewire_protocol::Role;

/// The masking key of RFC 6455, 5.7.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// RSV1, RSV2 and RSV3 in [`Frame::rsv`].
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const RSV2: u8 = 0x20;
pub(crate) const RSV3: u8 = 0x10;

/// A frame, valid unless a test bends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) rsv: u8,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
    length: Length,
    masking: Masking,
}

/// How the payload's length is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Shortest,
    In2Bytes,
    In8Bytes,
    /// In 8 bytes, and not the truth.
    Announced(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Masking {
    AsTheRoleMust,
    AsItMustNot,
}

pub(crate) fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Frame {
    Frame {
        fin: true,
        rsv: 0,
        opcode,
        payload: payload.as_ref().to_vec(),
        length: Length::Shortest,
        masking: Masking::AsTheRoleMust,
    }
}

pub(crate) fn continuation(payload: impl AsRef<[u8]>) -> Frame {
    frame(0, payload)
}

pub(crate) fn text(payload: impl AsRef<[u8]>) -> Frame {
    frame(1, payload)
}

pub(crate) fn binary(payload: impl AsRef<[u8]>) -> Frame {
    frame(2, payload)
}

pub(crate) fn close(code: u16, reason: &str) -> Frame {
    close_body([&code.to_be_bytes(), reason.as_bytes()].concat())
}

pub(crate) fn close_body(body: impl AsRef<[u8]>) -> Frame {
    frame(8, body)
}

pub(crate) fn ping(payload: impl AsRef<[u8]>) -> Frame {
    frame(9, payload)
}

pub(crate) fn pong(payload: impl AsRef<[u8]>) -> Frame {
    frame(10, payload)
}

impl Frame {
    /// With FIN clear: more fragments follow.
    pub(crate) fn unfinished(self) -> Self {
        Self { fin: false, ..self }
    }

    pub(crate) fn rsv(self, rsv: u8) -> Self {
        Self { rsv, ..self }
    }

    pub(crate) fn length(self, length: Length) -> Self {
        Self { length, ..self }
    }

    /// Unmasked from a client, masked from a server.
    pub(crate) fn wrongly_masked(self) -> Self {
        Self {
            masking: Masking::AsItMustNot,
            ..self
        }
    }

    /// The frame as `sender` sends it.
    pub(crate) fn wire(&self, sender: Role) -> Vec<u8> {
        self.masked_wire(sender, KEY)
    }

    pub(crate) fn masked_wire(&self, sender: Role, key: [u8; 4]) -> Vec<u8> {
        let must = sender == Role::Client;
        let masked = must == (self.masking == Masking::AsTheRoleMust);
        let mut wire = vec![u8::from(self.fin) << 7 | self.rsv | self.opcode];
        wire.extend(self.length_bytes());
        if masked {
            wire[1] |= 0x80;
            wire.extend(key);
            wire.extend(xor(&self.payload, key));
        } else {
            wire.extend(&self.payload);
        }
        wire
    }

    fn length_bytes(&self) -> Vec<u8> {
        let len = self.payload.len();
        let short = |marker: u8, bytes: &[u8]| [&[marker][..], bytes].concat();
        match self.length {
            Length::Shortest => match len {
                0..126 => vec![u8::try_from(len).unwrap()],
                126..65_536 => short(126, &u16::try_from(len).unwrap().to_be_bytes()),
                _ => short(127, &u64::try_from(len).unwrap().to_be_bytes()),
            },
            Length::In2Bytes => short(126, &u16::try_from(len).unwrap().to_be_bytes()),
            Length::In8Bytes => short(127, &u64::try_from(len).unwrap().to_be_bytes()),
            Length::Announced(announced) => short(127, &announced.to_be_bytes()),
        }
    }

    /// Reads what `sender` sent, which must be whole frames with lengths in their shortest form,
    /// masked by a client and not by a server.
    pub(crate) fn read_all(mut wire: &[u8], sender: Role) -> Vec<Self> {
        let mut frames = Vec::new();
        while let [first, second, rest @ ..] = wire {
            assert_eq!(
                second & 0x80 != 0,
                sender == Role::Client,
                "5.1: a client masks"
            );
            let (len, mut rest) = match second & 0x7f {
                126 => {
                    let (len, rest) = rest.split_first_chunk().expect("a whole header");
                    let len = u64::from(u16::from_be_bytes(*len));
                    assert!(len >= 126, "5.2: the shortest form");
                    (len, rest)
                }
                127 => {
                    let (len, rest) = rest.split_first_chunk().expect("a whole header");
                    let len = u64::from_be_bytes(*len);
                    assert!(len >= 65_536, "5.2: the shortest form");
                    (len, rest)
                }
                short => (u64::from(short), rest),
            };
            let mut key = [0; 4];
            if sender == Role::Client {
                let (masking_key, payload) = rest.split_first_chunk().expect("a whole header");
                (key, rest) = (*masking_key, payload);
            }
            let (payload, rest) = rest.split_at(usize::try_from(len).unwrap());
            frames.push(Self {
                fin: first & 0x80 != 0,
                rsv: first & 0x70,
                ..frame(first & 0x0f, xor(payload, key))
            });
            wire = rest;
        }
        assert!(wire.is_empty(), "half a frame was sent");
        frames
    }
}

/// The RFC's words (5.3): octet i xor octet i mod 4 of the key.
fn xor(payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    payload
        .iter()
        .zip(key.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect()
}

/// Bytes of which no two neighbours are alike, nor four in a row a masking key.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

/// Bytes that do not compress, others for every seed.
pub(crate) fn noise(len: usize, seed: usize) -> Vec<u8> {
    let mut state = u64::try_from(seed)
        .unwrap()
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

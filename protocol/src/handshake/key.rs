//! The key of a handshake and the proof that it was read (RFC 6455, 1.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// A `Sec-WebSocket-Key`: the base64 of 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key([u8; 24]);

impl Key {
    /// The key that carries these bytes, which must be random for each connection.
    pub(super) fn encode(nonce: [u8; 16]) -> Self {
        let mut text = [0; 24];
        STANDARD
            .encode_slice(nonce, &mut text)
            .expect("24 bytes hold the base64 of 16");
        Self(text)
    }

    /// The key in a header value. `None` unless the value decodes to 16 bytes: 22 characters and
    /// two of padding. The last character's unused bits may be anything (RFC 4648, 3.5).
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let text: [u8; 24] = value.try_into().ok()?;
        let [characters @ .., b'=', b'='] = &text else {
            return None;
        };
        let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        characters.iter().all(in_alphabet).then_some(Self(text))
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the server answers with: the base64 of the SHA-1 of the key and a fixed string
    /// (RFC 6455, 4.2.2, 5.4).
    pub(super) fn accept(&self) -> [u8; 28] {
        let digest = Sha1::new()
            .chain_update(self.0)
            .chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
            .finalize();
        let mut text = [0; 28];
        STANDARD
            .encode_slice(digest, &mut text)
            .expect("28 bytes hold the base64 of 20");
        text
    }
}

//! UTF-8 that arrives in pieces (RFC 6455, 8.1; RFC 3629).

use crate::error::Error;

/// Validates text that is cut anywhere, also inside a character, and fails at the first byte
/// that no continuation could make valid.
///
/// Whole pieces run through simdutf8; only the up to three bytes of a cut character are kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8Validator {
    /// The bytes of a character whose end has not come yet.
    cut: [u8; 4],
    cut_len: u8,
}

impl Utf8Validator {
    /// Looks at the next piece.
    ///
    /// # Errors
    ///
    /// [`Error::TextNotUtf8`] as soon as the text so far is no prefix of any valid text.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), Error> {
        while self.cut_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            self.cut[usize::from(self.cut_len)] = byte;
            self.cut_len += 1;
            match std::str::from_utf8(&self.cut[..usize::from(self.cut_len)]) {
                Ok(_) => self.cut_len = 0,
                // No length: the bytes are fine so far. Four bytes are never "so far".
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(Error::TextNotUtf8),
            }
        }
        let Err(error) = simdutf8::compat::from_utf8(piece) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(Error::TextNotUtf8);
        }
        let cut = &piece[error.valid_up_to()..];
        self.cut[..cut.len()].copy_from_slice(cut);
        self.cut_len = u8::try_from(cut.len()).map_err(|_| Error::TextNotUtf8)?;
        Ok(())
    }

    /// Ends the text.
    ///
    /// # Errors
    ///
    /// [`Error::TextNotUtf8`] if it ends inside a character.
    pub const fn finish(self) -> Result<(), Error> {
        if self.cut_len == 0 {
            Ok(())
        } else {
            Err(Error::TextNotUtf8)
        }
    }
}

/// Validates text that is whole.
///
/// # Errors
///
/// [`Error::TextNotUtf8`].
pub fn validate(text: &[u8]) -> Result<(), Error> {
    simdutf8::basic::from_utf8(text)
        .map(drop)
        .map_err(|_| Error::TextNotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slow twin: where std says that a text first goes wrong, fed whole.
    fn first_impossible_byte(text: &[u8]) -> Option<usize> {
        (1..=text.len()).find(|&end| {
            std::str::from_utf8(&text[..end]).is_err_and(|error| error.error_len().is_some())
        })
    }

    #[test]
    fn fails_at_the_first_impossible_byte_and_not_before() {
        let mut texts: Vec<Vec<u8>> = ["", "plain", "κόσμε", "a\u{10ffff}\u{fffd}é"]
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect();
        // Every lead byte with every second byte, then two continuation bytes.
        for lead in 0..=255 {
            for second in (0..=255)
                .step_by(5)
                .chain([0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0])
            {
                texts.push(vec![b'a', lead, second, 0x80, 0xbf, b'z']);
            }
        }
        for text in texts {
            let impossible = first_impossible_byte(&text);
            let mut validator = Utf8Validator::default();
            let failed = text
                .iter()
                .position(|&byte| validator.push(&[byte]).is_err());
            assert_eq!(failed.map(|at| at + 1), impossible, "{text:x?}");
            if impossible.is_none() {
                assert_eq!(
                    validator.finish().is_ok(),
                    std::str::from_utf8(&text).is_ok()
                );
            }
            for cut in 0..=text.len() {
                let mut validator = Utf8Validator::default();
                let (left, right) = text.split_at(cut);
                let verdict = validator
                    .push(left)
                    .and_then(|()| validator.push(right))
                    .and_then(|()| validator.finish());
                assert_eq!(
                    verdict.is_ok(),
                    std::str::from_utf8(&text).is_ok(),
                    "{text:x?}"
                );
            }
        }
    }
}

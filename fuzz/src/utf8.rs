//! Text that arrives in pieces, against std.

use corewire_protocol::utf8::{Utf8Validator, validate};

use crate::input::{Input, pieces};

/// After each piece the verdict is what std says of the text so far: an error as soon as no
/// continuation could make it valid, and not before.
pub fn utf8(data: &[u8]) {
    let mut input = Input::new(data);
    let cuts = input.cuts();
    let text = input.rest();
    let whole = std::str::from_utf8(text);
    assert_eq!(validate(text).is_ok(), whole.is_ok());
    let mut validator = Utf8Validator::default();
    let mut end = 0;
    for piece in pieces(text, &cuts) {
        end += piece.len();
        let impossible =
            std::str::from_utf8(&text[..end]).is_err_and(|error| error.error_len().is_some());
        assert_eq!(
            validator.push(piece).is_err(),
            impossible,
            "after {end} bytes"
        );
        if impossible {
            return;
        }
    }
    assert_eq!(validator.finish().is_ok(), whole.is_ok());
}

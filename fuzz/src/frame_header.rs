//! The header of a frame, against RFC 6455, 5.2 read once more.

use corewire_protocol::frame::{FrameHeader, HEADER_BYTES_MAX, Reserved, mask};
use corewire_protocol::{Error, Role};

/// A header is read as its slow twin reads it, at whatever byte it is cut; encoded it is what was
/// read; a stream of frames comes to an end; and masking is what the RFC says.
pub fn frame_header(data: &[u8]) {
    for role in [Role::Server, Role::Client] {
        for reserved in [Reserved::AllZero, Reserved::Rsv1Compressed] {
            let mut rest = data;
            while let Some(payload) = one(rest, role, reserved) {
                assert!(payload.len() + 2 <= rest.len(), "no progress");
                rest = payload;
            }
        }
    }
    masking(data);
}

/// Reads one header at every cut. Returns what follows its frame.
fn one(bytes: &[u8], role: Role, reserved: Reserved) -> Option<&[u8]> {
    let whole = FrameHeader::parse(bytes, role, reserved);
    assert_eq!(
        whole.map(|parsed| parsed.map(|(_, len)| len)),
        slow(bytes, role, reserved)
    );
    let longest = bytes.len().min(HEADER_BYTES_MAX);
    let mut decided = false;
    for cut in 0..longest {
        let part = FrameHeader::parse(&bytes[..cut], role, reserved);
        assert!(
            part == Ok(None) && !decided || part == whole,
            "cut at {cut}"
        );
        decided |= part != Ok(None);
    }
    let (header, len) = whole.ok()??;
    assert_eq!(header.encode()[..], bytes[..len]);
    assert_eq!(header.mask.is_some(), role == Role::Server);
    if header.opcode.is_control() {
        assert!(header.fin && !header.compressed && header.payload_bytes <= 125);
    }
    let rest = &bytes[len..];
    let payload = usize::try_from(header.payload_bytes).ok()?;
    rest.get(payload..)
}

/// The figure and the words of 5.2, byte by byte: the length of a header that is whole.
fn slow(bytes: &[u8], role: Role, reserved: Reserved) -> Result<Option<usize>, Error> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    let (fin, rsv, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0f);
    let control = opcode >= 8;
    if rsv & 0x30 != 0 || rsv != 0 && reserved == Reserved::AllZero {
        return Err(Error::ReservedBits);
    }
    if !matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10) {
        return Err(Error::ReservedOpcode(opcode));
    }
    if rsv != 0 && (control || opcode == 0) {
        return Err(Error::ReservedBits);
    }
    if control && !fin {
        return Err(Error::ControlFragmented);
    }
    let Some(&second) = bytes.get(1) else {
        return Ok(None);
    };
    let masked = second >= 128;
    if masked != (role == Role::Server) {
        return Err(if masked {
            Error::MaskUnexpected
        } else {
            Error::MaskMissing
        });
    }
    if control && second & 127 > 125 {
        return Err(Error::ControlTooLong);
    }
    let length_bytes = match second & 127 {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if length_bytes == 8 && bytes.get(2).is_some_and(|&byte| byte >= 128) {
        return Err(Error::LengthTopBit);
    }
    let Some(length) = bytes.get(2..2 + length_bytes) else {
        return Ok(None);
    };
    let length = length
        .iter()
        .fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
    let least = [0, 0, 126, 0, 0, 0, 0, 0, 65_536][length_bytes];
    if length < least {
        return Err(Error::LengthNotMinimal);
    }
    let whole = 2 + length_bytes + if masked { 4 } else { 0 };
    Ok((bytes.len() >= whole).then_some(whole))
}

/// Octet i of the output is octet i of the input xor octet i mod 4 of the key (5.3).
fn masking(data: &[u8]) {
    let Some((&[a, b, c, d, cut], payload)) = data.split_first_chunk::<5>() else {
        return;
    };
    let key = [a, b, c, d];
    let expected: Vec<u8> = payload
        .iter()
        .zip(key.iter().cycle())
        .map(|(x, y)| x ^ y)
        .collect();
    let mut masked = payload.to_vec();
    let (left, right) = masked.split_at_mut(payload.len().min(usize::from(cut)));
    mask(left, key, 0);
    mask(right, key, left.len() as u64);
    assert_eq!(masked, expected);
}

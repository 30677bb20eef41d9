//! Numbers with a unit, as people write them: `64KiB`, `25s`, `4096`.
//!
//! What [`Unit::show`] writes, [`Unit::parse`] reads. There are no fractions and no decimal
//! kilobytes: a limit is exact, and `1.5MB` is two ways to be misread.

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// `64KiB`, or a bare number of bytes.
    Bytes,
    /// `25s` or `500ms`. A bare number means nothing here, except 0, which is also written `off`.
    Milliseconds,
    /// A bare number.
    Count,
}

/// No time at all: whatever would happen then does not.
const OFF: &str = "off";

impl Unit {
    /// The suffixes with what they stand for, the largest first.
    const fn suffixes(self) -> &'static [(&'static str, u64)] {
        match self {
            Self::Bytes => &[
                ("GiB", 1 << 30),
                ("MiB", 1 << 20),
                ("KiB", 1 << 10),
                ("B", 1),
            ],
            Self::Milliseconds => &[("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)],
            Self::Count => &[("", 1)],
        }
    }

    /// `None` if the text is no number of this unit, or one beyond 64 bits.
    pub(super) fn parse(self, text: &str) -> Option<u64> {
        if self == Self::Milliseconds && text == OFF {
            return Some(0);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = text.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        let suffix = suffix.trim_start();
        if suffix.is_empty() {
            let needs_none = number == 0 || self != Self::Milliseconds;
            return needs_none.then_some(number);
        }
        let same = |(known, _): &&(&str, u64)| known.eq_ignore_ascii_case(suffix);
        let (_, factor) = self.suffixes().iter().find(same)?;
        number.checked_mul(*factor)
    }

    /// The number in the largest unit that divides it.
    pub(super) fn show(self, number: u64) -> String {
        if number == 0 {
            let zero = if self == Self::Milliseconds { OFF } else { "0" };
            return zero.to_owned();
        }
        let divides = |(_, factor): &&(&str, u64)| number.is_multiple_of(*factor);
        match self.suffixes().iter().find(divides) {
            Some((suffix, factor)) => format!("{}{suffix}", number / factor),
            None => number.to_string(),
        }
    }

    /// How such a number is written, to follow the range of what is allowed.
    pub(super) const fn example(self) -> &'static str {
        match self {
            Self::Bytes => ", such as 64KiB",
            Self::Milliseconds => ", such as 25s or 500ms",
            Self::Count => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Unit;

    #[test]
    fn what_people_write_is_read() {
        let cases = [
            (Unit::Bytes, "0", Some(0)),
            (Unit::Bytes, "1", Some(1)),
            (Unit::Bytes, "100B", Some(100)),
            (Unit::Bytes, "64KiB", Some(65_536)),
            (Unit::Bytes, "64 kib", Some(65_536)),
            (Unit::Bytes, "1MiB", Some(1 << 20)),
            (Unit::Bytes, "1GiB", Some(1 << 30)),
            (Unit::Bytes, "18446744073709551615", Some(u64::MAX)),
            (Unit::Bytes, "18446744073709551616", None),
            (Unit::Bytes, "17179869184GiB", None),
            (Unit::Bytes, "64KB", None),
            (Unit::Bytes, "64K", None),
            (Unit::Bytes, "1.5MiB", None),
            (Unit::Bytes, "-1", None),
            (Unit::Bytes, "+1", None),
            (Unit::Bytes, "MiB", None),
            (Unit::Bytes, "", None),
            (Unit::Bytes, "1MiB1", None),
            (Unit::Bytes, "1µ", None),
            (Unit::Bytes, "٣", None),
            (Unit::Milliseconds, "0", Some(0)),
            (Unit::Milliseconds, "off", Some(0)),
            (Unit::Milliseconds, "500ms", Some(500)),
            (Unit::Milliseconds, "25s", Some(25_000)),
            (Unit::Milliseconds, "2m", Some(120_000)),
            (Unit::Milliseconds, "24h", Some(86_400_000)),
            (Unit::Milliseconds, "25", None),
            (Unit::Milliseconds, "25 seconds", None),
            (Unit::Milliseconds, "1m30s", None),
            (Unit::Count, "100", Some(100)),
            (Unit::Count, "100B", None),
            (Unit::Count, "ten", None),
            (Unit::Count, "off", None),
        ];
        for (unit, text, number) in cases {
            assert_eq!(unit.parse(text), number, "{unit:?} {text:?}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let cases = [
            (Unit::Bytes, 0, "0"),
            (Unit::Bytes, 1000, "1000B"),
            (Unit::Bytes, 1 << 20, "1MiB"),
            (Unit::Bytes, (1 << 20) + 1024, "1025KiB"),
            (Unit::Milliseconds, 0, "off"),
            (Unit::Milliseconds, 1500, "1500ms"),
            (Unit::Milliseconds, 25_000, "25s"),
            (Unit::Milliseconds, 120_000, "2m"),
            (Unit::Milliseconds, 86_400_000, "24h"),
            (Unit::Count, 100, "100"),
        ];
        for (unit, number, text) in cases {
            assert_eq!(unit.show(number), text);
            assert_eq!(unit.parse(text), Some(number));
        }
    }
}

//! Times as arguments.

use std::time::Duration;

/// Reads a time such as `90s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = text.strip_prefix(digits).unwrap_or_default();
    let unit = units.iter().find(|(name, _)| *name == unit);
    let ms = unit
        .zip(digits.parse::<u64>().ok())
        .and_then(|((_, factor), number)| number.checked_mul(*factor));
    ms.map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is no time; write one such as 500ms, 90s, 5m or 1h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_or_refused_with_an_example() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "5", "s", "-5s", "5 s", "99999999999999h", "5d"] {
            let error = duration(text).unwrap_err();
            assert!(error.contains("90s, 5m or 1h"), "{error}");
        }
    }
}

//! What somebody may have meant by a name that nothing has.

use super::problem::Hint;
use super::settings::SETTINGS;

/// From here on two names are alike: `ping_interval` and `ping_interval_ms` are, `port` and
/// `level` are not.
const ALIKE: f64 = 0.6;

/// The hint for a key in a table. Flags count as names too, so that `max_message_size` leads to
/// `message_bytes`.
pub(super) fn key(wrong: &str, table: Option<&str>) -> Hint {
    let mut best = (ALIKE, Hint::None);
    for setting in SETTINGS {
        let flag = setting.flag.map(|flag| flag.replace('-', "_"));
        let names = [setting.key()].into_iter().chain(flag.as_deref());
        let likeness = names.map(|name| likeness(wrong, name)).fold(0.0, f64::max);
        let here = table == Some(setting.table());
        // The same name in another table is nearer than a like one in this, but not by much.
        let likeness = if here { likeness + 0.1 } else { likeness };
        if likeness >= best.0 {
            let (key, table) = (setting.key(), setting.table());
            let hint = if here {
                Hint::Key(key)
            } else {
                Hint::KeyIn { key, table }
            };
            best = (likeness, hint);
        }
    }
    best.1
}

/// The hint for a table.
pub(super) fn table(wrong: &str) -> Hint {
    let likeness = |table: &str| likeness(wrong, table);
    SETTINGS
        .iter()
        .map(|setting| (likeness(setting.table()), Hint::Table(setting.table())))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map_or(Hint::None, |(_, hint)| hint)
}

/// The hint for a key that must be one of a few.
pub(super) fn among(wrong: &str, keys: &[&'static str]) -> Hint {
    keys.iter()
        .map(|key| (likeness(wrong, key), Hint::Key(key)))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map_or(Hint::None, |(_, hint)| hint)
}

fn likeness(one: &str, other: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(&one.to_ascii_lowercase(), other)
}

#[cfg(test)]
mod tests {
    use super::{Hint, key, table};

    #[test]
    fn slips_lead_to_the_key_that_was_meant() {
        let elsewhere = |key, table| Hint::KeyIn { key, table };
        let cases = [
            ("ping_intervall_ms", "limits", Hint::Key("ping_interval_ms")),
            ("ping_interval", "limits", Hint::Key("ping_interval_ms")),
            ("max_message_size", "limits", Hint::Key("message_bytes")),
            ("Message_Bytes", "limits", Hint::Key("message_bytes")),
            ("hihg_bytes", "outbound", Hint::Key("high_bytes")),
            ("window", "deflate", Hint::Key("window_bits")),
            ("idle_timeout", "limits", Hint::Key("idle_timeout_ms")),
            ("listen", "limits", elsewhere("listen", "server")),
            (
                "message_bytes",
                "server",
                elsewhere("message_bytes", "limits"),
            ),
            ("deflate", "server", elsewhere("mode", "deflate")),
            ("certificate", "server", Hint::None),
            ("", "server", Hint::None),
        ];
        for (wrong, table, hint) in cases {
            assert_eq!(key(wrong, Some(table)), hint, "{wrong} in [{table}]");
        }
        assert_eq!(key("cores", None), elsewhere("cores", "server"));
    }

    #[test]
    fn slips_lead_to_the_table_that_was_meant() {
        let cases = [
            ("limit", Hint::Table("limits")),
            ("Server", Hint::Table("server")),
            ("outbuond", Hint::Table("outbound")),
            ("tls", Hint::None),
        ];
        for (wrong, hint) in cases {
            assert_eq!(table(wrong), hint, "{wrong}");
        }
    }
}

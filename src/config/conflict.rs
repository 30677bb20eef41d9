//! Settings that contradict each other.

use super::draft::{DeflateMode, Draft};
use super::problem::{Fault, Side, Source};
use super::setting::Setting;
use super::settings;

/// A setting whose number bounds that of another.
struct Rule {
    lesser: &'static str,
    order: Order,
    greater: &'static str,
    /// Whether the rule counts.
    counts: fn(&Draft) -> bool,
    remedy: &'static str,
}

/// How the two must stand.
#[derive(Clone, Copy)]
enum Order {
    Below,
    AtMost,
}

const RULES: [Rule; 4] = [
    Rule {
        lesser: "outbound.low_bytes",
        order: Order::Below,
        greater: "outbound.high_bytes",
        counts: |_| true,
        remedy: "set the two further apart",
    },
    Rule {
        lesser: "outbound.high_bytes",
        order: Order::AtMost,
        greater: "outbound.cap_bytes",
        counts: |_| true,
        remedy: "lower the first or raise the second",
    },
    Rule {
        lesser: "limits.head_line_bytes",
        order: Order::AtMost,
        greater: "limits.head_bytes",
        counts: |_| true,
        remedy: "lower the first or raise the second",
    },
    // Otherwise a compressed message of the largest size could never arrive.
    Rule {
        lesser: "limits.message_bytes",
        order: Order::AtMost,
        greater: "server.inflate_budget_bytes",
        counts: |draft| draft.deflate != DeflateMode::Off,
        remedy: "lower the first, raise the second in a configuration file, or turn deflate off",
    },
];

/// Every rule that is broken, except by the settings that are left out: those whose own values
/// were refused, so that there is nothing to compare.
pub(super) fn find(
    draft: &mut Draft,
    source: &dyn Fn(&str) -> Source,
    left_out: &[&str],
) -> Vec<(Source, Fault)> {
    let mut found = Vec::new();
    for rule in &RULES {
        let skipped = left_out.contains(&rule.lesser) || left_out.contains(&rule.greater);
        let (Some(lesser), Some(greater)) =
            (settings::find(rule.lesser), settings::find(rule.greater))
        else {
            continue;
        };
        if skipped || !(rule.counts)(draft) || rule.order.holds(draft, lesser, greater) {
            continue;
        }
        let mut side = |setting: &Setting| Side {
            setting: setting.name,
            value: setting.show(draft),
            source: source(setting.name),
        };
        let (lesser, greater) = (side(lesser), side(greater));
        // A default contradicts nobody, so the blame is with the other.
        let blamed = match lesser.source {
            Source::Default => greater.source.clone(),
            Source::File { .. } | Source::Environment(_) | Source::Flag(_) => lesser.source.clone(),
        };
        let fault = Fault::Conflict {
            lesser,
            rule: rule.order.words(),
            greater,
            remedy: rule.remedy,
        };
        found.push((blamed, fault));
    }
    found
}

impl Order {
    fn holds(self, draft: &mut Draft, lesser: &Setting, greater: &Setting) -> bool {
        let (lesser, greater) = (lesser.number(draft), greater.number(draft));
        match self {
            Self::Below => lesser < greater,
            Self::AtMost => lesser <= greater,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Below => "below",
            Self::AtMost => "at most",
        }
    }
}

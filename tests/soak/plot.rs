//! A run as an SVG: one panel for each quantity, over the same time.

use std::fmt::Write;

use crate::record::{Record, Sample};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const PANEL: f64 = 150.0;
const GAP: f64 = 50.0;

/// A title and the quantity, from a sample and the one before it.
type Panel = (&'static str, fn(&Sample, &Sample) -> f64);

#[expect(clippy::cast_precision_loss, reason = "a picture")]
const PANELS: [Panel; 6] = [
    ("resident memory, MiB", |_, now| {
        now.rss_bytes as f64 / 1024.0 / 1024.0
    }),
    ("connections", |_, now| now.connections as f64),
    ("open descriptors", |_, now| now.descriptors as f64),
    ("connections accepted a second", |before, now| {
        (now.accepted - before.accepted) as f64
    }),
    ("messages received a second", |before, now| {
        (now.messages - before.messages) as f64
    }),
    ("p99 of polite clients in a second, ms", |_, now| {
        now.p99.as_secs_f64() * 1000.0
    }),
];

/// All panels below each other, as a whole document.
#[expect(clippy::cast_precision_loss, reason = "a picture")]
pub(crate) fn svg(record: &Record) -> String {
    let height = PANELS.len() as f64 * (PANEL + GAP) + GAP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (index, panel) in PANELS.iter().enumerate() {
        let top = GAP + index as f64 * (PANEL + GAP);
        draw(&mut svg, top, panel, &record.samples);
    }
    svg.push_str("</svg>\n");
    svg
}

#[expect(clippy::cast_precision_loss, reason = "a picture")]
fn draw(svg: &mut String, top: f64, (title, quantity): &Panel, samples: &[Sample]) {
    let values: Vec<f64> = samples
        .windows(2)
        .map(|pair| quantity(&pair[0], &pair[1]))
        .collect();
    let highest = values.iter().copied().fold(0.0, f64::max);
    let ceiling = round_up(highest);
    let bottom = top + PANEL;
    let span = WIDTH - LEFT - RIGHT;
    let step = span / (values.len().max(2) - 1) as f64;
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\">{title}</text>", top - 8.0);
    for share in [0.0, 0.5, 1.0] {
        let y = bottom - share * PANEL;
        let right = WIDTH - RIGHT;
        let label = ceiling * share;
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\" stroke=\"#ccc\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>",
            LEFT - 8.0,
            y + 4.0,
        );
    }
    let last = samples.last().map_or(0, |sample| sample.second);
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{last} s</text>",
        WIDTH - RIGHT,
        bottom + 16.0,
    );
    svg.push_str("<polyline fill=\"none\" stroke=\"#1f77b4\" points=\"");
    for (at, value) in values.iter().enumerate() {
        let x = LEFT + at as f64 * step;
        let y = bottom - value / ceiling * PANEL;
        let _ = write!(svg, "{x:.1},{y:.1} ");
    }
    svg.push_str("\"/>\n");
}

/// The next of 1, 2, 4, 6, 8 and 10 times a power of ten: half of it is short as well.
fn round_up(highest: f64) -> f64 {
    let mut power = 0.1;
    while power * 10.0 < highest {
        power *= 10.0;
    }
    let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    let ceiling = steps.iter().map(|step| step * power);
    ceiling.into_iter().find(|&it| it >= highest).unwrap_or(1.0)
}

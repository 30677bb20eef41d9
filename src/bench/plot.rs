//! What was counted, as a picture: latency by percentile and throughput over time, in SVG.
//!
//! The axis of percentiles counts nines, so that the slowest one in ten thousand has as much room
//! as the slowest one in ten. Text is left to whoever shows the picture: no font is needed here.

use std::error::Error as StdError;

use plotters::coord::Shift;
use plotters::prelude::{
    BLUE, ChartBuilder, Color, DrawingArea, IntoDrawingArea, IntoLogRange, LineSeries, SVGBackend,
    WHITE,
};

use super::error::Error;
use super::figures::Figures;

const SIZE: (u32, u32) = (900, 720);
/// Most nines that are shown: 99.9999 %.
const NINES_MAX: f64 = 6.0;
/// Points of the line for each nine.
const POINTS_PER_NINE: usize = 50;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws `figures`; `what` was counted.
///
/// # Errors
///
/// If it cannot be drawn.
pub fn svg(title: &str, what: &str, figures: &Figures) -> Result<String, Error> {
    let mut picture = String::new();
    draw(&mut picture, title, what, figures).map_err(|error| Error::Plot(error.to_string()))?;
    Ok(picture)
}

fn draw(
    picture: &mut String,
    title: &str,
    what: &str,
    figures: &Figures,
) -> Result<(), Box<dyn StdError>> {
    let root = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (_, height) = SIZE;
    let (upper, lower) = root.split_vertically(height / 2);
    latency(&upper, title, figures)?;
    throughput(&lower, what, figures)?;
    root.present()?;
    Ok(())
}

fn latency(area: &Area<'_>, title: &str, figures: &Figures) -> Result<(), Box<dyn StdError>> {
    let latency = figures.latency();
    let nines = (latency.len().max(10) as f64).log10().min(NINES_MAX);
    let points = (0..=POINTS_PER_NINE * 6)
        .map(|point| point as f64 / POINTS_PER_NINE as f64)
        .take_while(|&x| x <= nines)
        .map(|x| (x, latency.value_at_quantile(1.0 - 10_f64.powf(-x)) as f64));
    let lowest = latency.min().max(1) as f64 / 1.2;
    let highest = latency.max().max(10) as f64 * 1.2;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..nines, (lowest..highest).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("percentile")
        .y_desc("latency")
        .x_label_formatter(&|&x| percentile(x))
        .y_label_formatter(&|&ns| time(ns))
        .draw()?;
    chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2)))?;
    Ok(())
}

fn throughput(area: &Area<'_>, what: &str, figures: &Figures) -> Result<(), Box<dyn StdError>> {
    let points: Vec<_> = figures.over_time().collect();
    let highest = points.iter().map(|&(_, rate)| rate).fold(1.0, f64::max);
    let end = points.last().map_or(1.0, |&(seconds, _)| seconds);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..end, 0.0..highest * 1.1)?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .y_desc(format!("{what}/s"))
        .y_label_formatter(&|&rate| super::report::grouped(rate))
        .draw()?;
    chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2)))?;
    Ok(())
}

/// 0 nines are 0 %, 1 is 90 %, 2 are 99 %.
fn percentile(nines: f64) -> String {
    // As many digits as tell it from its neighbours.
    let digits = (0..6_u8).find(|&digits| f64::from(digits) >= nines);
    let percent = format!(
        "{:.1$}",
        100.0 - 10_f64.powf(2.0 - nines),
        usize::from(digits.unwrap_or(6))
    );
    if percent.contains('.') {
        return percent
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned();
    }
    percent
}

fn time(ns: f64) -> String {
    match ns {
        ..1e3 => format!("{ns:.0} ns"),
        ..1e6 => format!("{:.0} us", ns / 1e3),
        ..1e9 => format!("{:.0} ms", ns / 1e6),
        _ => format!("{:.0} s", ns / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::workers::Window;

    #[test]
    fn the_axis_counts_nines() {
        let labels = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0].map(percentile);
        let expected = ["0", "68.4", "90", "96.84", "99", "99.9", "99.99", "99.999"];
        assert_eq!(labels, expected);
        assert_eq!(
            [1.0, 2e4, 3e6, 4e9].map(time),
            ["1 ns", "20 us", "3 ms", "4 s"]
        );
    }

    #[test]
    fn a_picture_holds_both_lines_and_no_picture_needs_figures() {
        let window = Window {
            begin: 0,
            from: 0,
            until: 1_000_000_000,
        };
        let mut figures = Figures::new(window).unwrap();
        assert!(svg("nothing", "messages", &figures).is_ok());
        for number in 0..1000 {
            figures.came(number * 1_000_000, 1);
            figures.took(0, 1_000 + number, 1);
        }
        let picture = svg("echo", "messages", &figures).unwrap();
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
        assert_eq!(picture.matches("stroke-width=\"2\"").count(), 2);
        for text in ["echo", "messages/s", "99.9", "percentile", "seconds"] {
            assert!(picture.contains(text), "{text} is missing");
        }
    }
}

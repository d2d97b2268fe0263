//! Horizontal bars: a row for each name, stacked or side by side, on a linear or logarithmic axis.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Failure;

/// Of series, in their order: blue, orange, green; told apart by people who see few colours too.
pub(super) const COLOURS: [RGBColor; 3] =
    [RGBColor(47, 111, 143), RGBColor(222, 143, 5), RGBColor(2, 158, 115)];
pub(super) const FONT: &str = "sans-serif";
const WIDTH: u32 = 860;
/// Height of a row whose bars are stacked, and of each bar side by side.
const STACKED: u32 = 18;
const BESIDE: u32 = 13;
/// Above and below the rows.
const MARGINS: u32 = 104;
/// Left of the axis.
const NAMES: u32 = 240;

/// One row; a part for each series, at least 0.
pub(super) struct Row {
    pub(super) label: String,
    pub(super) parts: Vec<f64>,
}

/// A figure.
pub(super) struct Bars {
    pub(super) title: String,
    pub(super) source: String,
    pub(super) series: Vec<&'static str>,
    pub(super) rows: Vec<Row>,
    pub(super) stacked: bool,
    /// Powers of ten; bars begin at the largest that is below all values.
    pub(super) logarithmic: bool,
}

impl Bars {
    /// The axis' ends, in what is drawn: values, or their logarithms.
    fn ends(&self) -> (f64, f64) {
        let parts = || self.rows.iter().flat_map(|row| &row.parts).copied();
        if self.logarithmic {
            let low = parts().filter(|part| *part > 0.0).fold(f64::INFINITY, f64::min);
            let high = parts().fold(1e-9, f64::max);
            return (low.log10().floor(), high.log10().ceil());
        }
        let total = |row: &Row| {
            if self.stacked {
                row.parts.iter().sum()
            } else {
                row.parts.iter().copied().fold(0.0, f64::max)
            }
        };
        (0.0, self.rows.iter().map(total).fold(0.0, f64::max) * 1.05)
    }

    /// Draws into an SVG file.
    pub(super) fn draw(&self, path: &Path) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return Err(format!("{}: there are no results to draw", path.display()).into());
        }
        let each = if self.stacked { STACKED } else { BESIDE * self.series.len() as u32 + 8 };
        let height = MARGINS + each * self.rows.len() as u32;
        let mut text = String::new();
        {
            let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
            self.draw_on(&area)?;
            area.present()?;
        }
        std::fs::write(path, text)?;
        Ok(())
    }

    fn draw_on<DB>(&self, area: &DrawingArea<DB, plotters::coord::Shift>) -> Result<(), Failure>
    where
        DB: DrawingBackend,
        DB::ErrorType: 'static,
    {
        area.fill(&WHITE)?;
        area.draw(&Text::new(self.title.clone(), (12, 10), (FONT, 16)))?;
        let grey = RGBColor(90, 90, 90);
        area.draw(&Text::new(self.source.clone(), (12, 32), (FONT, 11).into_font().color(&grey)))?;
        let (low, high) = self.ends();
        let rows = self.rows.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .margin_top(72)
            .margin_right(24)
            .margin_bottom(4)
            .x_label_area_size(28)
            .y_label_area_size(NAMES)
            .build_cartesian_2d(low..high, rows..0.0)?;
        let power = |exponent: &f64| number(10f64.powf(*exponent));
        let plain = |value: &f64| number(*value);
        let formatter: &dyn Fn(&f64) -> String = if self.logarithmic { &power } else { &plain };
        let steps = if self.logarithmic { (high - low) as usize + 1 } else { 8 };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .x_labels(steps)
            .x_label_formatter(&formatter)
            .light_line_style(TRANSPARENT)
            .label_style((FONT, 12))
            .draw()?;
        for (index, row) in self.rows.iter().enumerate() {
            for (bar, colour) in self.bars(index as f64, row, low) {
                chart.draw_series([Rectangle::new(bar, colour.filled())])?;
            }
            let (x, y) = chart.backend_coord(&(low, index as f64 + 0.5));
            let right = Pos::new(HPos::Right, VPos::Center);
            let style = (FONT, 12).into_font().into_text_style(area).pos(right);
            area.draw(&Text::new(short(&row.label), (x - 8, y), style))?;
        }
        for (index, (name, colour)) in self.series.iter().zip(COLOURS).enumerate() {
            let x = NAMES as i32 + 130 * index as i32;
            area.draw(&Rectangle::new([(x, 52), (x + 12, 64)], colour.filled()))?;
            area.draw(&Text::new((*name).to_owned(), (x + 18, 51), (FONT, 12)))?;
        }
        Ok(())
    }

    /// The bars of a row as rectangles.
    fn bars(&self, top: f64, row: &Row, low: f64) -> Vec<([(f64, f64); 2], RGBColor)> {
        let place = |value: f64| {
            if self.logarithmic { if value > 0.0 { value.log10() } else { low } } else { value }
        };
        let thick = 0.8 / row.parts.len().max(1) as f64;
        let mut from = 0.0;
        let parts = row.parts.iter().zip(COLOURS).enumerate();
        parts
            .map(|(index, (part, colour))| {
                let bar = if self.stacked {
                    let bar = [(from, top + 0.1), (from + part, top + 0.9)];
                    from += part;
                    bar
                } else {
                    let y = top + 0.1 + thick * index as f64;
                    [(low, y), (place(*part), y + thick)]
                };
                (bar, colour)
            })
            .collect()
    }
}

/// `0.01`, `5`, `1,000`.
pub(super) fn number(value: f64) -> String {
    match value {
        1000.0.. => {
            let digits = format!("{value:.0}");
            let parted = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
            parted.collect::<Vec<_>>().join(",")
        }
        10.0.. => format!("{value:.0}"),
        _ => format!("{}", (value * 1e4).round() / 1e4),
    }
}

/// The end of a long name.
fn short(name: &str) -> String {
    const MOST: usize = 38;
    let skipped = name.chars().count().saturating_sub(MOST);
    if skipped == 0 {
        name.to_owned()
    } else {
        format!("…{}", name.chars().skip(skipped + 1).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_numbers_and_axes() {
        assert_eq!(
            [0.01, 5.0, 250.0, 1000.0, 25_340.0, 1e6].map(number),
            ["0.01", "5", "250", "1,000", "25,340", "1,000,000"]
        );
        let bars = |logarithmic, stacked| Bars {
            title: String::new(),
            source: String::new(),
            series: vec!["a", "b"],
            rows: vec![Row { label: "x".into(), parts: vec![0.02, 300.0] }],
            stacked,
            logarithmic,
        };
        assert_eq!(bars(true, false).ends(), (-2.0, 3.0));
        assert!((bars(false, true).ends().1 - 315.021).abs() < 1e-9);
    }
}

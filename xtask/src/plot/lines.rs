//! Time of a batch of ReLU layers by its size: what a backend costs once, and what each ReLU adds.

use std::path::Path;

use plotters::prelude::*;

use crate::Failure;
use crate::plot::bars::{COLOURS, FONT, number};
use crate::plot::results::{self, Results};

/// Backends of the figure, as results and as people name them.
const BACKENDS: [(&str, &str); 3] = [
    ("gmw-ferret", "GMW over Ferret"),
    ("gmw-softspoken", "GMW over SoftSpoken"),
    ("garbled-softspoken", "garbled"),
];

/// Sizes that a result may be of.
const SIZES: [u32; 4] = [1 << 10, 1 << 14, 1 << 18, 1 << 20];

/// Draws milliseconds over the number of ReLU operations, both on logarithmic axes.
pub(super) fn relus(results: &Results, path: &Path) -> Result<(), Failure> {
    let id =
        |n: u32, backend: &str| format!("nonlinear/relu/n={n},b=12,l=20/memory/{backend}/whole");
    let points = |backend: &str| -> Vec<(f64, f64)> {
        let point = |n: u32| {
            let found = results.client(&id(n, backend))?;
            Some((f64::from(n).log10(), (results::seconds(found) * 1e3).log10()))
        };
        SIZES.into_iter().filter_map(point).collect()
    };
    let lines: Vec<(&str, Vec<(f64, f64)>)> =
        BACKENDS.iter().map(|(backend, name)| (*name, points(backend))).collect();
    let all = || lines.iter().flat_map(|(_, points)| points);
    if all().count() == 0 {
        return Err("there are no results of ReLUs to draw".into());
    }
    let low = all().map(|point| point.1).fold(f64::INFINITY, f64::min).floor();
    let high = all().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max).ceil();
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (640, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let title =
            "ReLU with truncation, exact, (b, l) = (12, 20): milliseconds over their number";
        area.draw(&Text::new(title, (12, 10), (FONT, 15)))?;
        let source = results.source(&id(1 << 18, "gmw-softspoken"));
        let source =
            format!("{source}; offline and online, memory link, both parties on two cores");
        let grey = RGBColor(90, 90, 90);
        area.draw(&Text::new(source, (12, 31), (FONT, 11).into_font().color(&grey)))?;
        let mut chart = ChartBuilder::on(&area)
            .margin_top(56)
            .margin_right(20)
            .x_label_area_size(30)
            .y_label_area_size(56)
            .build_cartesian_2d(2.8..6.4, low..high)?;
        let power = |exponent: &f64| number(10f64.powf(*exponent));
        chart
            .configure_mesh()
            .x_labels(4)
            .y_labels((high - low) as usize + 1)
            .x_label_formatter(&power)
            .y_label_formatter(&power)
            .light_line_style(TRANSPARENT)
            .label_style((FONT, 12))
            .draw()?;
        for ((name, points), colour) in lines.iter().zip(COLOURS) {
            chart.draw_series([PathElement::new(points.clone(), colour.stroke_width(2))])?;
            chart.draw_series(points.iter().map(|at| Circle::new(*at, 4, colour.filled())))?;
            if let Some(last) = points.last() {
                let (x, y) = chart.backend_coord(last);
                let style = (FONT, 12).into_font().color(&colour);
                area.draw(&Text::new((*name).to_owned(), (x + 10, y - 7), style))?;
            }
        }
        area.present()?;
    }
    std::fs::write(path, text)?;
    Ok(())
}

//! DICOM files of one frame: uncompressed, RLE lossless, JPEG baseline and lossless.
//!
//! `elements` finds what is needed without reserving what a file only announces, `frame` turns the pixel
//! data into stored values, `Scan` holds these after the modality's rescale; what is seen of them is decided
//! by a window (`scan`), of the model or of the file.

mod elements;
mod frame;
mod rle;
#[cfg(test)]
mod tests;

use crate::content::Content;
use crate::dicom::elements::Elements;
use crate::dicom::frame::Photometric;
use crate::raster::Image;
use crate::scan::{Curve, GreyWindow, Scan};

/// Whether a file is one of these: `DICM` behind a preamble of 128 bytes.
pub(crate) fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM")
}

/// Reads a file of one frame: greys of any depth as a scan, colours as an image.
pub(crate) fn read(bytes: &[u8]) -> Result<Content, String> {
    let elements = Elements::read(bytes)?;
    if elements.has_modality_table {
        return Err(
            "a modality look-up table; convert it with dcmtk: dcm2pnm in.dcm out.png".into()
        );
    }
    let frame = frame::decode(&elements)?;
    let (height, width) = (frame.rows, frame.columns);
    if frame.photometric == Photometric::Rgb {
        let bytes = frame.values.iter().map(|value| *value as u8).collect();
        return Ok(Content::Image(Image { width, height, channels: 3, bytes }));
    }
    let slope = Elements::decimal("rescale slope", elements.slope.as_deref())?.unwrap_or(1.0);
    let intercept =
        Elements::decimal("rescale intercept", elements.intercept.as_deref())?.unwrap_or(0.0);
    if slope == 0.0 {
        return Err("a rescale slope of 0".into());
    }
    let rescaled = |stored: i32| f64::from(stored) * slope + intercept;
    let ends = frame.ends.map(rescaled);
    Ok(Content::Scan(Scan {
        width,
        height,
        values: frame.values.iter().map(|value| rescaled(*value) as f32).collect(),
        window: window_of(&elements)?,
        ends: [ends[0].min(ends[1]), ends[0].max(ends[1])],
        inverted: frame.photometric == Photometric::Monochrome1,
        has_table: elements.has_voi_table,
    }))
}

/// The first window of a file, if it has one.
fn window_of(elements: &Elements) -> Result<Option<GreyWindow>, String> {
    let center = Elements::decimal("window centre", elements.window_center.as_deref())?;
    let width = Elements::decimal("window width", elements.window_width.as_deref())?;
    let (Some(center), Some(width)) = (center, width) else { return Ok(None) };
    let curve = match elements.voi_function.as_deref() {
        None | Some("" | "LINEAR") => Curve::Linear,
        Some("LINEAR_EXACT") => Curve::LinearExact,
        Some("SIGMOID") => Curve::Sigmoid,
        Some(other) => return Err(format!("an unknown VOI LUT function {other:?}")),
    };
    GreyWindow::new(center, width, curve).map(Some)
}

//! Where the pixels of a picture go: the resize, the crop, and their bounds. All of it is known
//! from the picture's size alone, before anything is decoded.

use crate::description::InputDescription;
use crate::error::ModelError;

/// Pixels of a resized picture at most. With four 32-bit floats each, which is what a resize works
/// on, 256 MiB.
const MAX_RESIZED_PIXELS: usize = 1 << 24;
/// The short side before the crop may be this many times the input's longer side.
const MAX_ENLARGEMENT: usize = 64;

/// How a picture is fitted into the network's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Rows after the resize.
    pub height: usize,
    /// Columns after the resize.
    pub width: usize,
    /// Rows that the crop drops above the input.
    pub top: usize,
    /// Columns that the crop drops left of the input.
    pub left: usize,
    /// Share of the picture's area that reaches the network, in (0, 1].
    pub kept: f64,
}

impl InputDescription {
    /// Fits a picture of `height` rows and `width` columns.
    ///
    /// # Errors
    /// [`ModelError::Input`] if the picture is too small for the crop, not of the one size that is
    /// taken without a crop, or larger than 2^24 pixels after the resize.
    pub fn fit(&self, height: usize, width: usize) -> Result<Fit, ModelError> {
        let fail = |why: String| Err(ModelError::Input(why));
        if height == 0 || width == 0 {
            return fail("a picture without pixels".into());
        }
        let (rows, columns) = match self.resize {
            None => (height, width),
            Some(short) if height <= width => (short, scaled(width, short, height)),
            Some(short) => (scaled(height, short, width), short),
        };
        // A resize goes by rows first: what lies between has the picture's columns.
        let largest = rows.saturating_mul(columns.max(width));
        if self.resize.is_some() && largest > MAX_RESIZED_PIXELS {
            return fail(format!(
                "the model's description resizes {width} x {height} pixels to {columns} x {rows}, \
                 more than {MAX_RESIZED_PIXELS} in all"
            ));
        }
        let (top, left) = self.placed(rows, columns)?;
        let kept = (self.height * self.width) as f64 / (rows as f64 * columns as f64);
        Ok(Fit { height: rows, width: columns, top, left, kept })
    }

    /// Rows above and columns left of the input in a picture that is already resized.
    pub(super) fn placed(&self, height: usize, width: usize) -> Result<(usize, usize), ModelError> {
        match (height.checked_sub(self.height), width.checked_sub(self.width)) {
            (Some(0), Some(0)) => Ok((0, 0)),
            (Some(rows), Some(columns)) if self.crop => Ok((rows / 2, columns / 2)),
            _ => {
                let after = if self.resize.is_some() { " after the resize" } else { "" };
                Err(ModelError::Input(format!(
                    "the model takes images of {} x {} pixels, this one has {width} x {height}\
                     {after}",
                    self.width, self.height
                )))
            }
        }
    }

    /// Whether `resize` is a side that a preprocessing could mean.
    pub(super) fn has_sane_resize(&self) -> bool {
        let longer = self.height.max(self.width);
        self.resize.is_none_or(|side| {
            (1..=longer.saturating_mul(MAX_ENLARGEMENT)).contains(&side)
                && side.saturating_mul(side) <= MAX_RESIZED_PIXELS
        })
    }
}

/// `long short / of`, rounded.
fn scaled(long: usize, short: usize, of: usize) -> usize {
    ((long as f64 * short as f64 / of.max(1) as f64).round() as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{Channels, Layout};

    fn input(resize: Option<usize>, crop: bool) -> InputDescription {
        InputDescription {
            height: 224,
            width: 224,
            layout: Layout::Nchw,
            channels: Channels::Grey,
            resize,
            crop,
            scale: 1.0,
            mean: vec![0.0],
            std: vec![1.0],
            window: None,
        }
    }

    #[test]
    fn known_answer_the_short_side_is_resized_and_the_centre_kept() {
        let fit = input(Some(256), true).fit(3000, 4000).unwrap();
        assert_eq!((fit.height, fit.width, fit.top, fit.left), (256, 341, 16, 58));
        let fit = input(Some(256), true).fit(4000, 3000).unwrap();
        assert_eq!((fit.height, fit.width), (341, 256));
        assert!((fit.kept - 0.575).abs() < 0.001, "{}", fit.kept);
        assert!((input(None, false).fit(224, 224).unwrap().kept - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn adversarial_sizes_without_bound_are_refused_before_any_pixel_is_touched() {
        assert!(input(Some(16_384), true).fit(40, 2000).is_err());
        assert!(input(Some(4096), true).fit(1, usize::MAX).is_err());
        assert!(input(Some(256), true).fit(0, 5).is_err());
        assert!(input(None, false).fit(usize::MAX, usize::MAX).is_err());
        // Ten million rows for one column, and the other way round.
        assert!(input(Some(256), true).fit(10_000_000, 1).is_err());
        assert!(input(None, true).fit(223, 4000).is_err());
    }

    #[test]
    fn adversarial_resizes_beyond_the_bound_are_no_description() {
        assert!(input(Some(4096), true).has_sane_resize());
        assert!(!input(Some(4097), true).has_sane_resize());
        assert!(!input(Some(16_384), true).has_sane_resize());
        assert!(!input(Some(0), true).has_sane_resize());
        let small = InputDescription { height: 28, width: 28, ..input(Some(1793), true) };
        assert!(!small.has_sane_resize());
    }
}

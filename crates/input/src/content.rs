//! What an input file holds.

use gazelle_model::samples;

use crate::raster::Image;
use crate::scan::Scan;

/// What an input file holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// An 8-bit image: to be preprocessed.
    Image(Image),
    /// Greys of any depth: to be seen through a window, then preprocessed.
    Scan(Scan),
    /// A ready tensor: never preprocessed.
    Tensor(samples::NpyTensor),
}

//! Input tensors as the network takes them.

use std::borrow::Cow;

use gazelle_share::TensorShape;

use super::Interface;
use crate::error::ModelError;
use crate::range::OutOfRange;

impl Interface {
    /// The values that a ready tensor stands for: held to the declared range, then rounded to the
    /// input's grid, if it has one.
    ///
    /// - `input`: row-major, of `shape`.
    ///
    /// # Errors
    /// [`ModelError::OutOfRange`] with the first element that lies outside, if such are refused;
    /// [`ModelError::Input`] for what is not a number.
    pub fn admit<'a>(
        &self,
        input: &'a [f32],
        shape: TensorShape,
        outside: OutOfRange,
    ) -> Result<Cow<'a, [f32]>, ModelError> {
        let mut admitted = match &self.range {
            Some(range) => range.admit(input, shape, outside)?,
            None => Cow::Borrowed(input),
        };
        if let Some(grid) = &self.input_grid {
            admitted.to_mut().iter_mut().for_each(|x| *x = grid.round(*x));
        }
        Ok(admitted)
    }
}

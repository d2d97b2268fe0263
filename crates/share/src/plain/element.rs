//! The arithmetic that a network is computed in.

/// What a walk over a network computes with: words modulo 2^64, or floating point.
pub trait Element: Copy + Default + Send + Sync {
    /// A weight.
    type Weight: Copy + Default + Send + Sync;
    /// `self + w x`.
    #[must_use]
    fn mul_add(self, w: Self::Weight, x: Self) -> Self;
}

impl Element for u64 {
    type Weight = i32;
    #[inline]
    fn mul_add(self, w: i32, x: Self) -> Self {
        self.wrapping_add((w as u64).wrapping_mul(x))
    }
}

impl Element for f32 {
    type Weight = f32;
    #[inline]
    fn mul_add(self, w: f32, x: Self) -> Self {
        self + w * x
    }
}

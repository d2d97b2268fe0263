//! Products mod X^N + 1 through an evaluation form.

use crate::error::RingError;

/// Products of a small polynomial (weights, ternary or Gaussian secrets) with a uniform one, modulo
/// `X^N + 1` and `2^64`, by way of an opaque evaluation form.
///
/// `small * uniform` may be rounded: [`deviation`](Self::deviation) says how far. Values are words
/// in wrapping u64; a modulus `2^bits` below `2^64` is read by [`forward`](Self::forward) and masked
/// by whoever reads the result.
///
/// | implementor | evaluation form | error |
/// |---|---|---|
/// | [`Fft`](crate::Fft) | N/2 complex values (tfhe-fft) | rounding of f64 |
/// | [`Schoolbook`](crate::Schoolbook) | the coefficients | none; the oracle, N^2 |
pub trait Transform: Send + Sync {
    /// One polynomial in evaluation form.
    type Eval: Clone + Send + Sync;
    /// Working memory of one thread; wiped on drop.
    type Scratch: Send;

    /// N.
    fn degree(&self) -> usize;

    /// The zero polynomial.
    fn zero(&self) -> Self::Eval;

    /// Working memory for one thread.
    fn scratch(&self) -> Self::Scratch;

    /// Evaluates the uniform polynomial `x`, read as centred representatives mod `2^bits`.
    ///
    /// # Errors
    /// [`RingError::Length`] unless `x` has N words.
    fn forward(
        &self,
        x: &[u64],
        bits: u32,
        out: &mut Self::Eval,
        scratch: &mut Self::Scratch,
    ) -> Result<(), RingError>;

    /// Evaluates the small polynomial `x`.
    ///
    /// # Errors
    /// [`RingError::Length`] unless `x` has N words.
    fn forward_small(
        &self,
        x: &[i64],
        out: &mut Self::Eval,
        scratch: &mut Self::Scratch,
    ) -> Result<(), RingError>;

    /// `acc += a * b`.
    fn mul_add(&self, acc: &mut Self::Eval, a: &Self::Eval, b: &Self::Eval);

    /// `out += round(acc) mod 2^64`; `acc` is used up.
    ///
    /// # Errors
    /// [`RingError::Length`] unless `out` has N words.
    fn inverse_add(
        &self,
        acc: &mut Self::Eval,
        out: &mut [u64],
        scratch: &mut Self::Scratch,
    ) -> Result<(), RingError>;

    /// Standard deviation of a product's error: `bits` of the uniform operand, `||w||_2^2` of the
    /// small one (the sum over all products accumulated).
    fn deviation(&self, bits: u32, weight_norm_squared: f64) -> f64;

    /// A uniform operand made ready for exact products.
    ///
    /// # Errors
    /// [`RingError::Length`] unless `x` has N words.
    fn prepare_exact(
        &self,
        x: &[u64],
        bits: u32,
        scratch: &mut Self::Scratch,
    ) -> Result<ExactOperand<Self::Eval>, RingError>;

    /// `out += a * s`, exactly; see [`crate::exact`] for when. `s` is in evaluation form.
    ///
    /// # Errors
    /// [`RingError::Length`] unless `out` has N words.
    fn exact_mul_add(
        &self,
        a: &ExactOperand<Self::Eval>,
        s: &Self::Eval,
        out: &mut [u64],
        scratch: &mut Self::Scratch,
    ) -> Result<(), RingError>;
}

/// A uniform operand of exact products: its balanced digits, each evaluated. Public data.
#[derive(Clone)]
pub struct ExactOperand<E> {
    pub(crate) digits: Vec<E>,
    pub(crate) width: u32,
}

impl<E> ExactOperand<E> {
    /// From its digits, lowest first.
    pub fn new(digits: Vec<E>, width: u32) -> Self {
        Self { digits, width }
    }

    /// The balanced digits, lowest first, each evaluated: `x = sum digit_i 2^(i width)`.
    pub fn digits(&self) -> &[E] {
        &self.digits
    }
}

/// The representative of `x mod 2^bits` in `[-2^{bits-1}, 2^{bits-1})`, as a wrapped word.
pub(crate) fn centre(x: u64, bits: u32) -> u64 {
    let shift = 64 - bits;
    (((x << shift) as i64) >> shift) as u64
}

/// `RingError::Length` unless the lengths agree.
pub(crate) fn check_len(expected: usize, got: usize) -> Result<(), RingError> {
    if expected == got { Ok(()) } else { Err(RingError::Length { expected, got }) }
}

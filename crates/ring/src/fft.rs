//! The negacyclic FFT in double precision, on tfhe-fft.
//!
//! `p(X)` of degree below N is folded to `z_j = (p_j + i p_{j+N/2}) e^{i pi j / N}`, whose cyclic FFT
//! of length N/2 holds the values of p at half of the primitive 2N-th roots of unity (the others
//! are their conjugates). Evaluation forms are stored as blocks of eight real and eight imaginary
//! parts, so that products vectorise without shuffles.

use std::f64::consts::PI;
use std::sync::{Arc, Mutex, PoisonError};

use dyn_stack::{PodBuffer, PodStack};
use tfhe_fft::c64;
use tfhe_fft::ordered::FftAlgo;
use tfhe_fft::unordered::{Method, Plan};
use zeroize::Zeroize;

use crate::error::RingError;
use crate::exact::digits_of;
use crate::kernel;
use crate::kernel::fourier::{Digits, FourierBlock};
use crate::transform::{ExactOperand, Transform, check_len};

/// Smallest and largest degree.
const DEGREES: std::ops::RangeInclusive<usize> = 32..=16384;
/// Size of the ordered FFT inside the unordered one for `half` values: the fastest as measured
/// (2048 values: 256; up to 1024 the whole).
fn base(half: usize) -> usize {
    if half <= 1024 { half } else { 256 }
}

/// A polynomial in evaluation form: N/2 complex values in an order private to the plan.
///
/// Not wiped on drop; see [`Fourier::zeroize`].
#[derive(Clone, PartialEq)]
pub struct Fourier {
    pub(crate) blocks: Vec<FourierBlock>,
}

impl std::fmt::Debug for Fourier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fourier {{ blocks: {}, .. }}", self.blocks.len())
    }
}

impl Fourier {
    /// Sets all values to zero.
    pub fn clear(&mut self) {
        self.blocks.fill(FourierBlock::default());
    }
}

impl Zeroize for Fourier {
    fn zeroize(&mut self) {
        for block in &mut self.blocks {
            block.re.zeroize();
            block.im.zeroize();
        }
    }
}

/// Working memory of one thread: a folded polynomial and the FFT's stack. Wiped on drop.
pub struct FftScratch {
    pub(crate) folded: Vec<c64>,
    stack: PodBuffer,
}

impl Drop for FftScratch {
    fn drop(&mut self) {
        // Wide stores (`zeroize` writes byte by byte); the black boxes keep them.
        self.folded.fill(c64::new(0.0, 0.0));
        self.stack.fill(0);
        std::hint::black_box((&self.folded, &*self.stack));
    }
}

/// Transforms of one degree. Cheap to clone.
#[derive(Clone)]
pub struct Fft {
    degree: usize,
    plan: Arc<Twiddles>,
}

struct Twiddles {
    plan: Plan,
    /// `e^{i pi j / N}`.
    twist: Vec<FourierBlock>,
    /// `e^{-i pi j / N} / (N/2)`.
    untwist: Vec<FourierBlock>,
}

impl std::fmt::Debug for Fft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fft {{ degree: {} }}", self.degree)
    }
}

impl Fft {
    /// The transforms for polynomials of `degree` coefficients; tables are shared per degree.
    ///
    /// # Errors
    /// [`RingError::Degree`] unless `degree` is a power of two in 32..=16384.
    pub fn new(degree: usize) -> Result<Self, RingError> {
        static PLANS: Mutex<Vec<Fft>> = Mutex::new(Vec::new());
        if !degree.is_power_of_two() || !DEGREES.contains(&degree) {
            return Err(RingError::Degree { got: degree });
        }
        // A plan is made once per process: its tables take the time of many transforms.
        let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = plans.iter().find(|plan| plan.degree == degree) {
            return Ok(found.clone());
        }
        let made = Self { degree, plan: Arc::new(Twiddles::new(degree)) };
        plans.push(made.clone());
        Ok(made)
    }

    /// The FFT alone, on whatever `scratch` holds: what benchmarks compare the transforms with.
    pub fn bare(&self, scratch: &mut FftScratch) {
        let FftScratch { folded, stack } = scratch;
        folded.fill(c64::new(0.5, 0.25));
        self.plan.plan.fwd(folded, PodStack::new(stack));
    }

    fn finish_forward(&self, out: &mut Fourier, scratch: &mut FftScratch) {
        let FftScratch { folded, stack } = scratch;
        self.plan.plan.fwd(folded, PodStack::new(stack));
        kernel::fourier::split(folded, &mut out.blocks);
    }

    /// Inverse transform of `acc` into `scratch.folded`, not yet untwisted.
    fn start_inverse(&self, acc: &Fourier, scratch: &mut FftScratch) {
        let FftScratch { folded, stack } = scratch;
        kernel::fourier::join(&acc.blocks, folded);
        self.plan.plan.inv(folded, PodStack::new(stack));
    }
}

impl Twiddles {
    fn new(degree: usize) -> Self {
        let half = degree / 2;
        let method = Method::UserProvided { base_algo: FftAlgo::Dif4, base_n: base(half) };
        let angle = |j: usize| PI * j as f64 / degree as f64;
        // The inverse's factor 2/N goes into the untwisting, where it costs nothing.
        let scale = 1.0 / half as f64;
        Self {
            plan: Plan::new(half, method),
            twist: blocks(half, |j| (angle(j).cos(), angle(j).sin())),
            untwist: blocks(half, |j| (angle(j).cos() * scale, -angle(j).sin() * scale)),
        }
    }
}

/// `count` values in blocks.
fn blocks(count: usize, value: impl Fn(usize) -> (f64, f64)) -> Vec<FourierBlock> {
    let block = |i: usize| FourierBlock {
        re: std::array::from_fn(|j| value(8 * i + j).0),
        im: std::array::from_fn(|j| value(8 * i + j).1),
    };
    (0..count / 8).map(block).collect()
}

impl Transform for Fft {
    type Eval = Fourier;
    type Scratch = FftScratch;

    fn degree(&self) -> usize {
        self.degree
    }

    fn zero(&self) -> Fourier {
        Fourier { blocks: vec![FourierBlock::default(); self.degree / 16] }
    }

    fn scratch(&self) -> FftScratch {
        FftScratch {
            folded: vec![c64::new(0.0, 0.0); self.degree / 2],
            stack: PodBuffer::new(self.plan.plan.fft_scratch()),
        }
    }

    fn forward(
        &self,
        x: &[u64],
        bits: u32,
        out: &mut Fourier,
        scratch: &mut FftScratch,
    ) -> Result<(), RingError> {
        check_len(self.degree, x.len())?;
        kernel::fourier::fold(x, 64 - bits.clamp(1, 64), &self.plan.twist, &mut scratch.folded);
        self.finish_forward(out, scratch);
        Ok(())
    }

    fn forward_small(
        &self,
        x: &[i64],
        out: &mut Fourier,
        scratch: &mut FftScratch,
    ) -> Result<(), RingError> {
        check_len(self.degree, x.len())?;
        kernel::fourier::fold_small(x, &self.plan.twist, &mut scratch.folded);
        self.finish_forward(out, scratch);
        Ok(())
    }

    fn mul_add(&self, acc: &mut Fourier, a: &Fourier, b: &Fourier) {
        kernel::fourier::mul_add(&a.blocks, &b.blocks, &mut acc.blocks);
    }

    fn inverse_add(
        &self,
        acc: &mut Fourier,
        out: &mut [u64],
        scratch: &mut FftScratch,
    ) -> Result<(), RingError> {
        check_len(self.degree, out.len())?;
        self.start_inverse(acc, scratch);
        kernel::fourier::unfold_add(&scratch.folded, &self.plan.untwist, 0, out);
        Ok(())
    }

    fn prepare_exact(
        &self,
        x: &[u64],
        bits: u32,
        scratch: &mut FftScratch,
    ) -> Result<ExactOperand<Fourier>, RingError> {
        check_len(self.degree, x.len())?;
        let (count, width) = digits_of(bits);
        let digits = Digits { bits, width, count: count as u32 };
        let digits = (0..count as u32)
            .map(|at| {
                let mut eval = self.zero();
                let FftScratch { folded, .. } = &mut *scratch;
                kernel::fourier::fold_digit(x, digits, at, &self.plan.twist, folded);
                self.finish_forward(&mut eval, scratch);
                eval
            })
            .collect();
        Ok(ExactOperand { digits, width })
    }

    /// See [`fft_deviation`](crate::weights::fft_deviation).
    fn deviation(&self, bits: u32, weight_norm_squared: f64) -> f64 {
        crate::weights::fft_deviation(bits, weight_norm_squared)
    }

    fn exact_mul_add(
        &self,
        a: &ExactOperand<Fourier>,
        s: &Fourier,
        out: &mut [u64],
        scratch: &mut FftScratch,
    ) -> Result<(), RingError> {
        check_len(self.degree, out.len())?;
        for (index, digit) in a.digits.iter().enumerate() {
            let FftScratch { folded, stack } = &mut *scratch;
            kernel::fourier::mul_join(&digit.blocks, &s.blocks, folded);
            self.plan.plan.inv(folded, PodStack::new(stack));
            let shift = a.width * index as u32;
            kernel::fourier::unfold_add(folded, &self.plan.untwist, shift, out);
        }
        Ok(())
    }
}

//! Every operator as a convolution of stride one over virtual channels.
//!
//! With a phase `[ph, pw]` pixel `(y, x)` of channel c belongs to the virtual channel
//! `(c, y mod ph, x mod pw)` at `(y div ph, x div pw)`. If the phase is a multiple of the stride, output
//! row
//! `i = (ph / sh) i' + u` and kernel row a meet input row
//! `sh i + a dh - top = ph i' + (sh u + a dh - top)`, so that tap lies in phase
//! `(sh u + a dh - top) mod ph`, `(sh u + a dh - top) div ph` virtual rows below i'. Phases that no
//! tap reads (1x1 kernels with a stride) are never packed. If the phase divides the stride, output
//! row i lies at virtual row `(sh / ph) i`; the rows between (a *step* of `sh / ph`) are never read: a
//! layer with a stride then reads the packing that suits a neighbour without one. A fully connected
//! layer is a 1x1 convolution of an image of one pixel.
//!
//! Only taps that meet a pixel of the image for some output are kept. One that never leaves the
//! padding adds nothing, and it reaches so far that it would share its exponent with another tap: a
//! row and the zeros behind it (`geometry`) may be shorter than the kernel. With the taps that are
//! kept all exponents differ: along an axis of n pixels and o outputs they reach `b <= o - 1` before
//! and `a <= n - 1` behind their output, so that a row's `min(n, o + a) + max(b, o + a - n, 0)` slots
//! are at least the `a + b + 1` that the kernel spans.

use gazelle_share::{Conv2d, LinearOp, TensorShape};

use crate::error::LinearError;
use crate::operator::as_conv;

/// More phases than this are refused: plans come from the peer.
const MAX_PHASES: usize = 1 << 10;

/// A kernel entry in the phase domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tap {
    /// `[y mod ph, x mod pw]`.
    pub(crate) phase: [usize; 2],
    /// Virtual rows and columns from the output to the input pixel.
    pub(crate) shift: [i64; 2],
    /// `a * kernel columns + b`.
    pub(crate) kernel: usize,
}

/// An operator seen in a packing's phase.
#[derive(Debug, Clone)]
pub(crate) struct StrideOne {
    pub(crate) conv: Conv2d,
    pub(crate) output: TensorShape,
    /// `[ph / sh, pw / sw]`: output phases, each a set of virtual maps; 1 where the phase divides the
    /// stride.
    pub(crate) splits: [usize; 2],
    /// `[sh / ph, sw / pw]`: virtual rows and columns from one output to the next; 1 where the phase
    /// is a multiple of the stride.
    pub(crate) steps: [usize; 2],
    /// By output phase `u * splits[1] + v`.
    pub(crate) taps: Vec<Vec<Tap>>,
}

/// How many of the numbers below `count` are `phase` modulo `phases`.
fn in_phase(count: usize, phases: usize, phase: usize) -> usize {
    count.saturating_sub(phase).div_ceil(phases)
}

/// Whether a tap reads one of `pixels` for one of `outputs`, which lie `step` apart.
fn meets_a_pixel(shift: i64, step: usize, outputs: usize, pixels: usize) -> bool {
    // The first output whose tap does not lie before the image.
    let first = shift.min(0).unsigned_abs() as usize;
    let first = first.div_ceil(step);
    first < outputs && (first * step) as i64 + shift < pixels as i64
}

impl StrideOne {
    /// `phase` must be a multiple of the stride or divide it.
    pub(crate) fn new(op: &LinearOp, phase: [usize; 2]) -> Result<Self, LinearError> {
        let conv = as_conv(op)?;
        let [sh, sw] = conv.stride;
        let [ph, pw] = phase;
        let fits = |p: usize, s: usize| p > 0 && (p.is_multiple_of(s) || s.is_multiple_of(p));
        if !fits(ph, sh) || !fits(pw, sw) {
            return Err(LinearError::Operator("the phase and the stride do not divide"));
        }
        if ph.checked_mul(pw).is_none_or(|phases| phases > MAX_PHASES) {
            return Err(LinearError::Operator("too many phases"));
        }
        let splits = [(ph / sh).max(1), (pw / sw).max(1)];
        let steps = [(sh / ph).max(1), (sw / pw).max(1)];
        let output = conv.output();
        let mut taps = Vec::with_capacity(splits[0] * splits[1]);
        for u in 0..splits[0] {
            for v in 0..splits[1] {
                let mut of_phase = Vec::with_capacity(conv.kernel[0] * conv.kernel[1]);
                for a in 0..conv.kernel[0] {
                    for b in 0..conv.kernel[1] {
                        let row = (sh * u + a * conv.dilation[0]) as i64 - conv.pads.top as i64;
                        let column = (sw * v + b * conv.dilation[1]) as i64 - conv.pads.left as i64;
                        let (h, w) = (ph as i64, pw as i64);
                        let tap = Tap {
                            phase: [row.rem_euclid(h) as usize, column.rem_euclid(w) as usize],
                            shift: [row.div_euclid(h), column.div_euclid(w)],
                            kernel: a * conv.kernel[1] + b,
                        };
                        let rows = in_phase(output.height, splits[0], u);
                        let columns = in_phase(output.width, splits[1], v);
                        let pixels = [
                            in_phase(conv.input.height, ph, tap.phase[0]),
                            in_phase(conv.input.width, pw, tap.phase[1]),
                        ];
                        if meets_a_pixel(tap.shift[0], steps[0], rows, pixels[0])
                            && meets_a_pixel(tap.shift[1], steps[1], columns, pixels[1])
                        {
                            of_phase.push(tap);
                        }
                    }
                }
                taps.push(of_phase);
            }
        }
        Ok(Self { conv, output, splits, steps, taps })
    }

    /// Virtual maps: `splits[0] * splits[1] * maps`, output phase major.
    pub(crate) fn maps(&self) -> usize {
        self.splits[0] * self.splits[1] * self.conv.maps
    }

    /// Virtual output rows and columns, those between outputs included.
    pub(crate) fn extent(&self) -> [usize; 2] {
        let along = |outputs: usize, split: usize, step: usize| {
            (outputs.div_ceil(split).max(1) - 1) * step + 1
        };
        [
            along(self.output.height, self.splits[0], self.steps[0]),
            along(self.output.width, self.splits[1], self.steps[1]),
        ]
    }

    /// Smallest and largest shift along `axis`; none reaches further than its own pixel if the
    /// operator reads nothing but padding.
    pub(crate) fn reach(&self, axis: usize) -> (i64, i64) {
        let shifts = self.taps.iter().flatten().filter_map(|tap| tap.shift.get(axis).copied());
        shifts.map(|s| (s, s)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or((0, 0))
    }

    /// Output phase and real map of a virtual map.
    pub(crate) fn map(&self, virtual_map: usize) -> (usize, usize) {
        (virtual_map / self.conv.maps, virtual_map % self.conv.maps)
    }

    /// Real channels that real map `map` reads, as a range, and the first weight of the map.
    pub(crate) fn channels(&self, map: usize) -> (std::ops::Range<usize>, usize) {
        let per_group = self.conv.input.channels / self.conv.groups;
        let group = map / (self.conv.maps / self.conv.groups);
        let area = self.conv.kernel[0] * self.conv.kernel[1];
        (group * per_group..(group + 1) * per_group, map * per_group * area)
    }
}

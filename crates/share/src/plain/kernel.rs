//! Sums of a convolution for several maps and neighbouring outputs at once, compiled for wide vectors.
//!
//! The portable loop is the definition, and the only one: the others are the same code for processors
//! whose vectors hold more words, so that sums come in the same order everywhere, in floating point too.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls of functions for instructions found at run time")
)]
#![expect(clippy::indexing_slicing, reason = "planes and weights were cut to what the taps read")]
#![expect(
    clippy::inline_always,
    reason = "a body must become part of the function that enables the instructions"
)]

#[cfg(target_arch = "x86_64")]
use gazelle_prg::isa::{Isa, level};

use crate::plain::element::Element;

/// Outputs of a row computed together.
pub(super) const LANES: usize = 8;
/// Maps computed together.
pub(super) const MAPS: usize = 4;

/// `sums[m][lane] = sum over channels c and taps t of weights[m][c T + t] planes[c][offsets[t] + lane]`,
/// T taps, in this order.
///
/// - `weights`: by map, `[channels, T]`; planes reach [`LANES`] outputs beyond each offset.
pub(super) fn block<E: Element, const M: usize>(
    planes: &[Vec<E>],
    (offsets, start): (&[usize], usize),
    weights: &[&[E::Weight]; M],
    sums: &mut [[E; LANES]; M],
) {
    #[cfg(target_arch = "x86_64")]
    match level() {
        // SAFETY: `level` found AVX-512 F, DQ and VL on this processor.
        Isa::Avx512 => return unsafe { avx512(planes, (offsets, start), weights, sums) },
        // SAFETY: `level` found AVX2 on this processor.
        Isa::Avx2 => return unsafe { avx2(planes, (offsets, start), weights, sums) },
        _ => {}
    }
    portable(planes, (offsets, start), weights, sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
fn avx512<E: Element, const M: usize>(
    planes: &[Vec<E>],
    place: (&[usize], usize),
    weights: &[&[E::Weight]; M],
    sums: &mut [[E; LANES]; M],
) {
    portable(planes, place, weights, sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<E: Element, const M: usize>(
    planes: &[Vec<E>],
    place: (&[usize], usize),
    weights: &[&[E::Weight]; M],
    sums: &mut [[E; LANES]; M],
) {
    portable(planes, place, weights, sums);
}

#[inline(always)]
fn portable<E: Element, const M: usize>(
    planes: &[Vec<E>],
    (offsets, start): (&[usize], usize),
    weights: &[&[E::Weight]; M],
    out: &mut [[E; LANES]; M],
) {
    // Local sums: through `out` the compiler would have to store and load them at every tap.
    let mut sums = [[E::default(); LANES]; M];
    // Channel by channel, tap by tap. (A closure here, as `array::map` takes one, would not be compiled for the wide
    // vectors.)
    let mut at = 0;
    for plane in planes {
        for offset in offsets {
            let x = &plane[start + offset..][..LANES];
            for (sums, row) in sums.iter_mut().zip(weights) {
                let w = row[at];
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = sum.mul_add(w, *x);
                }
            }
            at += 1;
        }
    }
    *out = sums;
}

//! `out += w * x` in wrapping u64, the step of direct sparse products.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls functions compiled for instructions found at run time")
)]
#![expect(
    clippy::inline_always,
    reason = "a body must become part of the function that enables the instructions"
)]

#[cfg(target_arch = "x86_64")]
use gazelle_prg::isa::{Isa, level};

/// `out[j] += w * x[j] mod 2^64`.
pub fn mul_add(w: i64, x: &[u64], out: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    match level() {
        // SAFETY: `level` found AVX-512 F and DQ on this processor.
        Isa::Avx512 => return unsafe { avx512(w, x, out) },
        // SAFETY: `level` found AVX2 on this processor.
        Isa::Avx2 => return unsafe { avx2(w, x, out) },
        _ => {}
    }
    portable(w, x, out);
}

/// `out += w X^shift x mod X^N + 1`, shift < N = the length of both.
pub fn shift_mul_add(w: i64, shift: usize, x: &[u64], out: &mut [u64]) {
    let (Some((head, tail)), Some((low, high))) = (
        x.split_at_checked(x.len().saturating_sub(shift)),
        out.split_at_mut_checked(shift.min(x.len())),
    ) else {
        return;
    };
    mul_add(w, head, high);
    // What is shifted past X^N comes back with the opposite sign.
    mul_add(w.wrapping_neg(), tail, low);
}

#[inline(always)]
fn portable(w: i64, x: &[u64], out: &mut [u64]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = out.wrapping_add(x.wrapping_mul(w as u64));
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
fn avx512(w: i64, x: &[u64], out: &mut [u64]) {
    // The same loop: here the compiler may use the wide product of AVX-512 DQ.
    portable(w, x, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(w: i64, x: &[u64], out: &mut [u64]) {
    // The same loop, in vectors of four words.
    portable(w, x, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schoolbook::negacyclic_mul_add;

    #[test]
    fn every_instruction_set_gives_the_portable_result() {
        let x: Vec<u64> = (1..200u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        for w in [0, 1, -1, 32767, -32767, i64::MIN] {
            let (mut fast, mut plain) = (vec![7u64; 199], vec![7u64; 199]);
            mul_add(w, &x, &mut fast);
            portable(w, &x, &mut plain);
            assert_eq!(fast, plain);
        }
    }

    #[test]
    fn shifts_wrap_around_with_a_sign() {
        let x: Vec<u64> = (1..=32u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        for shift in 0..32 {
            let mut monomial = vec![0u64; 32];
            monomial[shift] = (-5i64) as u64;
            let (mut fast, mut plain) = (vec![3u64; 32], vec![3u64; 32]);
            shift_mul_add(-5, shift, &x, &mut fast);
            negacyclic_mul_add(&monomial, &x, &mut plain);
            assert_eq!(fast, plain);
        }
    }
}

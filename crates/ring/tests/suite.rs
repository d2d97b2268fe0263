//! Integration tests of `gazelle-ring`: one binary.

#[cfg(test)]
mod suite {
    mod conformance;
    mod exact;
    mod properties;

    use gazelle_prg::sample::{self, Narrow};
    use gazelle_prg::{Prg, Seed};
    pub(crate) use gazelle_ring::testing::{uniform, weights};

    pub(crate) fn stream(tag: u8) -> Prg {
        Prg::new(&Seed::from_bytes([tag; 16]), 7)
    }

    pub(crate) fn ternary(prg: &mut Prg, len: usize) -> Vec<i64> {
        let mut out = vec![0; len];
        sample::ternary(prg, &mut out);
        out
    }

    pub(crate) fn gaussian(prg: &mut Prg, len: usize) -> Vec<i64> {
        let mut out = vec![0; len];
        sample::gaussian_narrow(prg, Narrow::S6_4, &mut out);
        out
    }

    /// `a * b mod X^N + 1, 2^64` by a schoolbook product that skips the zeros of `b`.
    pub(crate) fn product(a: &[u64], b: &[i64]) -> Vec<u64> {
        let n = a.len();
        let mut out = vec![0u64; n];
        for (i, w) in b.iter().enumerate().filter(|(_, w)| **w != 0) {
            gazelle_ring::kernel::mul_add::shift_mul_add(*w, i, a, &mut out);
        }
        out
    }
}

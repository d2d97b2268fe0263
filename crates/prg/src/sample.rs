//! Constant-time samplers: uniform, ternary, narrow and wide discrete Gaussians.
//!
//! | sampler | stream bytes per sample | distance from the named distribution |
//! |---|---|---|
//! | [`uniform`] | 8 | 0 |
//! | [`ternary`] | 8 | below 2^-63 |
//! | [`gaussian_narrow`] | 8 1/8 | below 2^-58 (tails exact to 2^-64) |
//! | [`gaussian_wide`] | 8 | about 2^-45, see there |
//!
//! Control flow and memory addresses depend on lengths only. `uniform` and `ternary` are part of
//! the wire format (both parties expand public seeds with the former); the loops run over chunks
//! of `CHUNK` samples.

mod kernel;
mod tables;

use rand_core::Rng;

use crate::prg::Prg;

/// Samples drawn from the stream at once.
const CHUNK: usize = 512;

/// Deviations of the narrow discrete Gaussian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Narrow {
    /// 3.2: encryption errors.
    S3_2,
    /// 6.4: hint secrets and errors.
    S6_4,
}

impl Narrow {
    /// The deviation.
    pub fn deviation(self) -> f64 {
        match self {
            Self::S3_2 => 3.2,
            Self::S6_4 => 6.4,
        }
    }

    /// The largest magnitude that can come out.
    pub fn bound(self) -> usize {
        self.table().len()
    }

    fn table(self) -> &'static [u64] {
        match self {
            Self::S3_2 => &tables::TAILS_3_2,
            Self::S6_4 => &tables::TAILS_6_4,
        }
    }
}

/// Uniform words below `2^bits`, `bits` in 1..=64: each is 8 bytes of the stream, little-endian,
/// its high bits cleared.
pub fn uniform(prg: &mut Prg, bits: u32, out: &mut [u64]) {
    let mask = u64::MAX >> (64 - bits.clamp(1, 64));
    for chunk in out.chunks_mut(CHUNK) {
        words(prg, chunk);
        for word in chunk {
            *word &= mask;
        }
    }
}

/// Uniform in {-1, 0, 1}: `floor(3 u / 2^64) - 1` for 64 uniform bits u.
pub fn ternary(prg: &mut Prg, out: &mut [i64]) {
    sampled(prg, out, |_, raw, out| kernel::ternary(raw, out));
}

/// The discrete Gaussian over the integers, `P(x) ~ exp(-x^2 / 2 sigma^2)`, by inversion of a
/// cumulative table of 64-bit thresholds: magnitude = number of thresholds above a uniform word,
/// all compared; the sign is one more bit.
pub fn gaussian_narrow(prg: &mut Prg, deviation: Narrow, out: &mut [i64]) {
    sampled(prg, out, |prg, raw, out| {
        let mut signs = [0u64; CHUNK / 64];
        let (signs, _) = signs.split_at_mut(raw.len().div_ceil(64));
        words(prg, signs);
        kernel::inversion(deviation.table(), raw, signs, out);
        wipe(signs);
    });
}

/// A rounded Gaussian of deviation `2^log2_deviation`, 16 <= `log2_deviation` <= 40, by the
/// Box-Muller transform in f64 without branches or tables (two samples from two words).
///
/// Rounding a continuous Gaussian of deviation sigma gives the discrete Gaussian of variance
/// `sigma^2 + 1/12` up to a relative error of order `sigma^-4` in every probability (the first
/// order, `(x^2/sigma^2 - 1) / 24 sigma^2`, is exactly that change of variance): below 2^-80 at
/// 2^20. What remains is the arithmetic: logarithm, root and cosine are accurate to about 2^-50,
/// which moves no probability within 9 deviations by more than a factor `1 +- 2^-45`; beyond 9.4
/// deviations (2^-64) nothing comes out.
pub fn gaussian_wide(prg: &mut Prg, log2_deviation: u32, out: &mut [i64]) {
    let deviation = f64::from(log2_deviation.clamp(16, 40)).exp2();
    let mut raw = [0u64; CHUNK];
    let mut made = [0i64; CHUNK];
    for out in out.chunks_mut(CHUNK) {
        // An odd rest takes a whole pair.
        let (raw, _) = raw.split_at_mut(out.len().next_multiple_of(2));
        words(prg, raw);
        let (made, _) = made.split_at_mut(raw.len());
        kernel::box_muller(deviation, raw, made);
        out.iter_mut().zip(made).for_each(|(out, made)| *out = *made);
    }
    wipe(&mut raw);
    wipe(&mut made);
}

/// Chunk by chunk: one word per sample, wiped afterwards.
fn sampled(prg: &mut Prg, out: &mut [i64], kernel: impl Fn(&mut Prg, &[u64], &mut [i64])) {
    let mut raw = [0u64; CHUNK];
    for out in out.chunks_mut(CHUNK) {
        let (raw, _) = raw.split_at_mut(out.len());
        words(prg, raw);
        kernel(prg, raw, out);
    }
    wipe(&mut raw);
}

/// The next `8 * out.len()` bytes of the stream, at most `8 * CHUNK`.
fn words(prg: &mut Prg, out: &mut [u64]) {
    let mut bytes = [0u8; 8 * CHUNK];
    let (chunk, _) = bytes.split_at_mut(8 * out.len());
    prg.fill_bytes(chunk);
    let (chunks, _) = chunk.as_chunks::<8>();
    for (word, chunk) in out.iter_mut().zip(chunks) {
        *word = u64::from_le_bytes(*chunk);
    }
    wipe(&mut bytes);
}

/// Zeroes a buffer on the stack with wide stores (`zeroize` writes it byte by byte); the black box
/// keeps the compiler from dropping them.
fn wipe<T: Copy + Default>(buffer: &mut [T]) {
    buffer.fill(T::default());
    std::hint::black_box(buffer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn stream(tag: u8) -> Prg {
        Prg::new(&Seed::from_bytes([tag; 16]), 1)
    }

    fn moments(samples: &[i64]) -> (f64, f64, f64) {
        let n = samples.len() as f64;
        let mean = samples.iter().map(|x| *x as f64).sum::<f64>() / n;
        let central =
            |power: i32| samples.iter().map(|x| (*x as f64 - mean).powi(power)).sum::<f64>() / n;
        let variance = central(2);
        (mean, variance, central(4) / (variance * variance))
    }

    #[test]
    fn uniform_words_are_the_masked_stream() {
        for (bits, len) in [(1, 7), (48, 513), (62, 2048), (64, 3)] {
            let (mut words, mut bytes) = (vec![0u64; len], vec![0u8; 8 * len]);
            uniform(&mut stream(1), bits, &mut words);
            stream(1).fill_bytes(&mut bytes);
            for (word, bytes) in words.iter().zip(bytes.chunks(8)) {
                let expected = u64::from_le_bytes(bytes.try_into().unwrap());
                assert_eq!(*word, expected & (u64::MAX >> (64 - bits)));
            }
        }
    }

    #[test]
    fn ternary_is_the_high_word_of_three_times_the_stream() {
        let mut out = vec![0i64; 1500];
        ternary(&mut stream(2), &mut out);
        let mut raw = vec![0u64; 1500];
        uniform(&mut stream(2), 64, &mut raw);
        for (x, u) in out.iter().zip(raw) {
            assert_eq!(*x, ((3 * u128::from(u)) >> 64) as i64 - 1);
        }
    }

    #[test]
    fn ternary_hits_each_value_a_third_of_the_time() {
        let mut out = vec![0i64; 300_000];
        ternary(&mut stream(3), &mut out);
        for value in -1..=1 {
            let count = out.iter().filter(|x| **x == value).count() as f64;
            // 6 deviations of a binomial of 300,000 at 1/3.
            assert!((count - 100_000.0).abs() < 6.0 * (300_000.0_f64 * 2.0 / 9.0).sqrt());
        }
    }

    #[test]
    fn narrow_gaussians_fit_their_probabilities() {
        for (tag, narrow) in [(4, Narrow::S3_2), (5, Narrow::S6_4)] {
            let mut out = vec![0i64; 400_000];
            gaussian_narrow(&mut stream(tag), narrow, &mut out);
            let sigma = narrow.deviation();
            let (mean, variance, kurtosis) = moments(&out);
            let n = out.len() as f64;
            assert!(mean.abs() < 6.0 * sigma / n.sqrt(), "{narrow:?}: mean {mean}");
            assert!((variance / (sigma * sigma) - 1.0).abs() < 6.0 * (2.0 / n).sqrt());
            assert!((kurtosis - 3.0).abs() < 6.0 * (24.0 / n).sqrt());
            let rho = |x: i64| (-(x * x) as f64 / (2.0 * sigma * sigma)).exp();
            let total: f64 = (-200..=200).map(rho).sum();
            for x in -20..=20 {
                let expected = n * rho(x) / total;
                let got = out.iter().filter(|y| **y == x).count() as f64;
                assert!((got - expected).abs() < 6.0 * expected.sqrt() + 6.0, "{x}: {got}");
            }
            assert!(out.iter().all(|x| x.unsigned_abs() as usize <= narrow.bound()));
        }
    }

    #[test]
    fn narrow_tables_are_the_tails_of_the_distribution() {
        for narrow in [Narrow::S3_2, Narrow::S6_4] {
            let sigma = narrow.deviation();
            let rho = |x: usize| (-((x * x) as f64) / (2.0 * sigma * sigma)).exp();
            let total = 1.0 + 2.0 * (1..200).map(rho).sum::<f64>();
            for (index, threshold) in narrow.table().iter().enumerate() {
                let tail = 2.0 * (index + 1..200).rev().map(rho).sum::<f64>() / total;
                let expected = tail * 64f64.exp2();
                let error = (*threshold as f64 - expected).abs();
                assert!(error <= 1.0 + expected * 1e-13, "{narrow:?} {index}");
            }
            assert!(narrow.table().is_sorted_by(|a, b| a > b));
        }
    }

    #[test]
    fn wide_gaussians_fit_the_normal_distribution() {
        for log2 in [16, 20, 30] {
            let mut out = vec![0i64; 400_001];
            gaussian_wide(&mut stream(6), log2, &mut out);
            let sigma = f64::from(log2).exp2();
            let (mean, variance, kurtosis) = moments(&out);
            let n = out.len() as f64;
            assert!(mean.abs() < 6.0 * sigma / n.sqrt());
            assert!((variance / (sigma * sigma) - 1.0).abs() < 6.0 * (2.0 / n).sqrt());
            assert!((kurtosis - 3.0).abs() < 6.0 * (24.0 / n).sqrt());
            // P(X < z sigma): -2, -1, -0.5, 0.5, 1, 2 and 3 deviations.
            for (z, p) in [
                (-2.0, 0.022_750_132),
                (-1.0, 0.158_655_254),
                (-0.5, 0.308_537_539),
                (0.5, 0.691_462_461),
                (1.0, 0.841_344_746),
                (2.0, 0.977_249_868),
                (3.0, 0.998_650_102),
            ] {
                let below = out.iter().filter(|x| (**x as f64) < z * sigma).count() as f64;
                assert!((below - n * p).abs() < 6.0 * (n * p * (1.0 - p)).sqrt(), "{log2} {z}");
            }
            // The low bits are uniform.
            let odd = out.iter().filter(|x| **x & 1 == 1).count() as f64;
            assert!((odd - n / 2.0).abs() < 3.0 * n.sqrt());
        }
    }

    #[test]
    fn pairs_of_the_wide_gaussian_are_uncorrelated() {
        let mut out = vec![0i64; 200_000];
        gaussian_wide(&mut stream(7), 20, &mut out);
        let sigma = 20f64.exp2();
        let half = CHUNK / 2;
        for lag in [1, half] {
            let sum: f64 = out.iter().zip(&out[lag..]).map(|(a, b)| *a as f64 * *b as f64).sum();
            assert!(sum.abs() / (sigma * sigma) < 6.0 * (out.len() as f64).sqrt());
        }
    }

    #[test]
    fn a_stream_never_repeats_itself_across_chunks() {
        let mut out = vec![0i64; 3 * CHUNK];
        gaussian_wide(&mut stream(8), 20, &mut out);
        assert_ne!(out[..CHUNK], out[CHUNK..2 * CHUNK]);
        gaussian_narrow(&mut stream(8), Narrow::S6_4, &mut out);
        assert_ne!(out[..CHUNK], out[CHUNK..2 * CHUNK]);
    }
}

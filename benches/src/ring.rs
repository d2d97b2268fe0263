//! Benchmarks of `gazelle-ring` (and of the samplers of `gazelle-prg` that feed it).
//!
//! Transforms are compared with the bare FFT of tfhe-fft measured in the same run
//! (`limit/fft/N=..`); everything else with multiply-adds or AES blocks.

use gazelle_prg::sample::{self, Narrow};
use gazelle_prg::{Prg, Seed};
use gazelle_ring::kernel::mul_add::shift_mul_add;
use gazelle_ring::weights::Column;
use gazelle_ring::{DenseWeights, Fft, Polys, RingError, ShiftedWeights, Transform, WeightMatrix};

use crate::Outcome;
use crate::limits::Limit;
use crate::measure::{Bench, Measurement, repeat};

/// Runs the suite.
pub(crate) fn run(bench: &mut Bench) -> Outcome {
    samplers(bench)?;
    for (degree, bits) in [(2048, 48), (4096, 62)] {
        transforms(bench, degree, bits)?;
    }
    matrices(bench)
}

fn stream() -> Prg {
    Prg::new(&Seed::from_bytes([1; 16]), 0)
}

/// Samples per second, against the AES blocks of their stream.
fn samplers(bench: &mut Bench) -> Outcome {
    const N: usize = 1 << 14;
    let mut prg = stream();
    let (mut words, mut small) = (vec![0u64; N], vec![0i64; N]);
    let blocks = Some((Limit::AesBlocks, 0.5));
    let n = N as u64;
    bench.time("ring/sample/uniform", n, blocks, || sample::uniform(&mut prg, 48, &mut words))?;
    bench.time("ring/sample/ternary", n, blocks, || sample::ternary(&mut prg, &mut small))?;
    for narrow in [Narrow::S3_2, Narrow::S6_4] {
        let id = format!("ring/sample/gaussian/sigma={}", narrow.deviation());
        bench.time(&id, n, blocks, || sample::gaussian_narrow(&mut prg, narrow, &mut small))?;
    }
    let id = "ring/sample/gaussian/sigma=2^20";
    bench.time(id, n, blocks, || sample::gaussian_wide(&mut prg, 20, &mut small))
}

fn transforms(bench: &mut Bench, degree: usize, bits: u32) -> Outcome {
    let fft = Fft::new(degree)?;
    let mut scratch = fft.scratch();
    let mut prg = stream();
    let (mut x, mut small, mut out) = (vec![0; degree], vec![0; degree], vec![0; degree]);
    sample::uniform(&mut prg, bits, &mut x);
    sample::ternary(&mut prg, &mut small);
    let (mut a, mut b, mut sum) = (fft.zero(), fft.zero(), fft.zero());
    let id = |what: &str| format!("ring/{what}/N={degree}");

    // The limit: the same FFT without conversion, twist and rounding.
    let bare = repeat(bench.seconds(), || fft.bare(&mut scratch));
    let bare = Measurement::new(format!("limit/fft/N={degree}"), 1, &bare);
    let bare_ns = bare.per_item_ns;
    if bench.wants(&id("")) || bench.wants(&bare.id) {
        bench.record(&bare)?;
    }
    let against_bare = |bench: &mut Bench,
                        what: &str,
                        ffts: f64,
                        work: &mut dyn FnMut() -> Result<(), RingError>| {
        if !bench.wants(&id(what)) {
            return Ok(());
        }
        let mut figure = Measurement::new(id(what), 1, &repeat(bench.seconds(), work));
        figure.limit = Some("fft");
        figure.ratio_to_limit = Some(figure.per_item_ns / (ffts * bare_ns));
        bench.record(&figure)
    };
    let digits = gazelle_ring::exact::digits_of(bits).0 as f64;
    against_bare(bench, "forward", 1.0, &mut || fft.forward(&x, bits, &mut a, &mut scratch))?;
    fft.forward(&x, bits, &mut a, &mut scratch)?;
    against_bare(bench, "forward-small", 1.0, &mut || {
        fft.forward_small(&small, &mut b, &mut scratch)
    })?;
    fft.forward_small(&small, &mut b, &mut scratch)?;
    fft.mul_add(&mut sum, &a, &b);
    against_bare(bench, "inverse-add", 1.0, &mut || {
        fft.inverse_add(&mut sum, &mut out, &mut scratch)
    })?;
    against_bare(bench, "exact/prepare", digits, &mut || {
        fft.prepare_exact(&x, bits, &mut scratch).map(drop)
    })?;
    let operand = fft.prepare_exact(&x, bits, &mut scratch)?;
    against_bare(bench, "exact/mul-add", digits, &mut || {
        fft.exact_mul_add(&operand, &b, &mut out, &mut scratch)
    })?;
    // Four real multiply-adds for each of N/2 complex ones.
    let n = degree as u64;
    bench.time(&id("fourier-mul-add"), n, Some((Limit::MultiplyAdds, 2.0)), || {
        fft.mul_add(&mut sum, &a, &b);
    })?;
    bench.time(&id("shift-mul-add"), n, Some((Limit::MultiplyAdds, 1.0)), || {
        shift_mul_add(77, 100, &x, &mut out);
    })
}

/// Matrices of the shapes of trained networks.
fn matrices(bench: &mut Bench) -> Outcome {
    const N: usize = 2048;
    // 64 -> 64 channels of 3x3, one channel per polynomial; 1x1 with 256 -> 64.
    for (name, channels, taps, rows) in [("3x3x64x64", 64, 9, 64), ("1x1x256x64", 256, 1, 64)] {
        let columns: Vec<Column> = (0..channels)
            .flat_map(|request| (0..taps).map(move |tap| Column { request, shift: 57 * tap }))
            .collect();
        let count = columns.len();
        let weights: Vec<i16> =
            (0..rows * count).map(|i| (i * 7919 % 4001) as i16 - 2000).collect();
        let matrix = ShiftedWeights::new(N, channels as usize, columns, &weights)?;
        let items = (rows * count * N) as u64;
        let cores = rayon::current_num_threads() as f64;
        accumulate(bench, &format!("ring/gemm/{name}"), &matrix, items, 1.0 / cores)?;
    }
    // Dense: 8 requests, 64 responses, transforms kept.
    let write = |m: usize, i: usize, out: &mut [i64]| {
        for (j, out) in out.iter_mut().enumerate() {
            *out = ((m + 3 * i + 7 * j) % 2001) as i64 - 1000;
        }
    };
    let matrix = DenseWeights::new(N, 8, 64, 8 * 64, write)?;
    let cores = rayon::current_num_threads() as f64;
    accumulate(bench, "ring/fft-products/8x64", &matrix, 8 * 64 * N as u64, 2.0 / cores)
}

fn accumulate(
    bench: &mut Bench,
    id: &str,
    matrix: &dyn WeightMatrix,
    items: u64,
    per_item: f64,
) -> Outcome {
    let mut x = Polys::zeros(2048, matrix.requests());
    sample::uniform(&mut stream(), 48, x.words_mut());
    let mut out = Polys::zeros(2048, matrix.responses());
    bench.time(id, items, Some((Limit::MultiplyAdds, per_item)), || {
        matrix.accumulate(&x, 48, 0..matrix.responses(), &mut out);
    })
}

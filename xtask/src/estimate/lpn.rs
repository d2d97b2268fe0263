//! LPN with regular noise: (n, k, t) samples, secret bits, and errors, one in each of t bins of n / t.
//!
//! | row | formula |
//! |---|---|
//! | pooled Gauss, regular | `2.8 log2(k - t) - t log2(1 - (k - t) / n)`: error-free samples spread over the bins |
//! | statistical decoding, Stern-Dumer | Liu, Wang, Yang, Yu (EUROCRYPT 2024, ePrint 2022/712); regular noise costs t parity equations |
//! | regular ISD | Esser, Santini (CRYPTO 2024, ePrint 2023/1568), appendix A: enumeration |
//! | algebraic, hybrid | `algebraic` |
//! | subset | regular ISD as above, ours and more cautious: k^2.8 per iteration, 64 bit operations per list element, memory free |
//! | M instances | the two last, for M instances that share one matrix: the linear algebra is done once |

mod algebraic;

use std::f64::consts::LN_2;

use super::Figure;

/// n, k, t, and the documented bits of each row.
const SETS: [(usize, usize, usize, [f64; 9]); 5] = [
    (193_536, 1 << 15, 756, [239.1, 412.8, 224.2, 223.2, 239.1, 220.3, 211.7, 213.5, 205.6]),
    (4_792_320, 1 << 18, 2340, [238.5, 394.7, 228.1, 228.6, 210.2, 204.6, 212.4, 210.7, 200.3]),
    (870_400, 1 << 16, 1700, [231.5, 391.1, 219.3, 218.8, 211.2, 200.4, 205.0, 204.7, 196.5]),
    (2_396_160, 1 << 17, 2340, [233.9, 390.6, 223.2, 222.9, 199.6, 197.0, 207.7, 206.4, 197.2]),
    (2_396_160, 1 << 17, 1170, [141.6, 205.3, 135.0, 136.5, 144.3, 128.2, 121.3, 114.1, 106.9]),
];
/// log2 of the instances in the amortised rows.
const INSTANCES: f64 = 28.0;

pub(super) fn figures() -> Vec<Figure> {
    let mut figures = Vec::new();
    for (n, k, t, documented) in SETS {
        let (n, k, t) = (n as f64, k as f64, t as f64);
        let rows = [
            ("pooled Gauss, bins exploited", gauss(n, k, t)),
            ("statistical decoding", statistical(n - t, k - t, t)),
            ("Stern-Dumer ISD", stern_dumer(n - t, k - t, t)),
            ("regular ISD", regular_isd(n, k, t, false)),
            ("algebraic", algebraic::macaulay(n, k, t)),
            ("guessing and quadratic equations", algebraic::hybrid(n, k, t)),
            ("cautious: regular ISD on a subset", regular_isd(n, k, t, true)),
            ("2^28 instances of one matrix: Gauss", shared_gauss(n, k, t)),
            ("2^28 instances of one matrix: ISD on a subset", shared_isd(n, k, t)),
        ];
        for ((row, bits), documented) in rows.into_iter().zip(documented) {
            let name = format!("LPN ({n}, {k}, {t}) {row}");
            figures.push(Figure { name, bits, documented });
        }
    }
    figures
}

/// ln of the gamma function (Stirling's series; arguments are shifted above 8).
fn ln_gamma(x: f64) -> f64 {
    if x < 8.0 {
        return ln_gamma(x + 1.0) - x.ln();
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

/// log2 of a binomial coefficient.
fn binomial(n: f64, k: f64) -> f64 {
    if k < 0.0 || k > n {
        return -1e9;
    }
    (ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)) / LN_2
}

/// log2 of a sum of powers of two.
fn add(logs: &[f64]) -> f64 {
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + logs.iter().map(|x| (x - top).max(-900.0).exp2()).sum::<f64>().log2()
}

fn gauss(n: f64, k: f64, t: f64) -> f64 {
    2.8 * (k - t).log2() - t * (1.0 - (k - t) / n).log2()
}

fn statistical(n: f64, k: f64, t: f64) -> f64 {
    (k + 1.0).log2() + 2.0 * t * ((n - t + 1.0) / (n - k - t)).log2()
}

fn stern_dumer(n: f64, k: f64, t: f64) -> f64 {
    let mut best = f64::INFINITY;
    for p in (0..40).step_by(2) {
        let p = f64::from(p);
        let lists = binomial(f64::midpoint(k, 60.0).floor(), p / 2.0);
        let first = (lists.floor() - 12.0).max(1.0) as i64;
        for ell in first..lists.floor() as i64 + 30 {
            let ell = ell as f64;
            let found = 2.0 * lists - ell;
            let eliminate = (n - k - ell).log2() + n.log2() - n.log2().log2();
            let cost = add(&[eliminate, 1.0 + lists, 1.0 + found]) + n.log2();
            let chance = binomial(n - k - ell, t - p) - binomial(n, t) + ell + found;
            best = best.min(cost - chance.min(0.0));
        }
    }
    best
}

/// One list per half of the bins; `subset`: an elimination on k samples only.
fn regular_isd(n: f64, k: f64, t: f64, subset: bool) -> f64 {
    let (bin, rest) = (n / t, k - t);
    let linear = if subset { 2.8 * rest.log2() } else { n.log2() + 2.0 * (n - rest).log2() };
    let per = if subset { 6.0 } else { n.log2() };
    isd(bin, rest, t, |one, ell| add(&[linear, (1.0 + one).max(2.0 * one - ell) + per]))
}

/// As [`gauss`], with one inversion for all instances and two parity checks of k bits for each.
fn shared_gauss(n: f64, k: f64, t: f64) -> f64 {
    add(&[2.8 * (k - t).log2() - INSTANCES, k.log2() + 1.0]) - t * (1.0 - (k - t) / n).log2()
}

/// As [`regular_isd`] on a subset; per instance a syndrome of ell bits, one scan of the shared list, and
/// the candidates.
fn shared_isd(n: f64, k: f64, t: f64) -> f64 {
    let rest = k - t;
    isd(n / t, rest, t, |one, ell| {
        let own = add(&[(ell * k).log2(), one + 6.0, 2.0 * one - ell + 6.0]);
        add(&[2.8 * rest.log2() - INSTANCES, one + 6.0 - INSTANCES, own])
    })
}

/// The least over p errors in the window and a window of ell more samples of `cost(list, ell)` over the
/// chance that a window is right.
fn isd(bin: f64, rest: f64, t: f64, cost: impl Fn(f64, f64) -> f64) -> f64 {
    let halves = ((t / 2.0).floor(), f64::midpoint(t, 1.0).floor());
    let mut best = f64::INFINITY;
    for p in (0..28).step_by(2) {
        let p = f64::from(p);
        let base = binomial((t / 2.0).round(), p / 2.0) + (rest / t).log2() * (p / 2.0);
        let last = ((base * 1.6).ceil() as i64).max(70);
        for ell in 1..last {
            let ell = ell as f64;
            let window = (rest + ell) / t;
            if window >= bin {
                break;
            }
            let one = binomial((t / 2.0).round(), p / 2.0) + window.log2() * (p / 2.0);
            let chance = binomial(halves.0, p / 2.0)
                + binomial(halves.1, p / 2.0)
                + (window / bin).log2() * p
                + (1.0 - window / bin).log2() * (t - p);
            best = best.min(cost(one, ell) - chance);
        }
    }
    best
}

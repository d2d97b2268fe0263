//! The error model against many runs.

use gazelle_he::public_coin::noise::{deviation, error_variance};
use gazelle_he::public_coin::{Parameters, WeightNorm};

use super::group::{Group, random_terms, rng};

/// Root mean square and largest magnitude of `u + v - W r` over `runs` inferences.
fn measure(group: &Group, runs: u8) -> (f64, f64, usize) {
    let (mut square, mut worst, mut count) = (0.0, 0.0f64, 0);
    for run in 0..runs {
        let (errors, _) = group.errors(u64::from(run), &mut rng(run));
        for e in &errors {
            square += (*e as f64).powi(2);
            worst = worst.max((*e as f64).abs());
        }
        count += errors.len();
    }
    ((square / count as f64).sqrt(), worst, count)
}

/// Each part of the model dominates once: with k = 12 even the smallest noise spans many units.
#[test]
fn measured_noise_matches_the_computed_deviation_whichever_part_dominates() {
    for (what, degree, l, quarters, d, terms, bits, fft) in [
        ("fresh noise F", 2048, 36, 48, 0, 20, 6, false),
        ("request rounding", 2048, 36, 12, 0, 200, 14, false),
        ("request rounding to 11 levels", 2048, 36, 14, 0, 200, 14, false),
        ("hint rounding", 2048, 36, 48, 19, 20, 6, false),
        ("request error", 2048, 36, 48, 0, 4000, 14, false),
        ("fft rounding", 4096, 48, 48, 0, 400, 14, true),
        ("request rounding at 4096", 4096, 40, 8, 5, 100, 14, false),
        ("request rounding to 5 levels at 4096", 4096, 40, 10, 5, 100, 14, false),
    ] {
        let parameters = Parameters::new(degree, l, 12, 12, d).unwrap();
        let parameters = parameters.with_kept_quarters(quarters).unwrap();
        let (rows, norm) = random_terms(degree, 3, 3, terms, bits);
        let group = Group::new(parameters, 3, rows, fft);
        let (measured, worst, count) = measure(&group, 6);
        let norm = if fft { WeightNorm::fft(norm) } else { WeightNorm::direct(norm) };
        let computed = error_variance(&parameters, norm).sqrt();
        let ratio = measured / computed;
        assert!(deviation(&parameters, norm) > 200.0 * 4096.0, "{what} is visible");
        assert!((0.7..1.1).contains(&ratio), "{what}: {measured} / {computed} = {ratio}, {count}");
        assert!(worst <= 8.0 * computed, "{what}: {worst} > 8 * {computed}");
    }
}

/// Without F: eight guard bits of k = 12 leave a unit of 16, which the keys' noise alone exceeds.
#[test]
fn measured_noise_without_fresh_noise_matches_the_computed_deviation() {
    for (what, degree, quarters, d, terms, bits) in [
        ("the keys", 2048, 48, 0, 20, 3),
        ("the keys at 4096", 4096, 48, 0, 20, 3),
        ("request rounding", 2048, 20, 0, 60, 8),
        ("hint rounding", 2048, 48, 8, 20, 3),
    ] {
        let parameters = Parameters::new(degree, 24, 12, 12, d).unwrap();
        let parameters = parameters.with_kept_quarters(quarters).unwrap();
        let parameters = parameters.with_guard_bits(8).unwrap();
        let (rows, norm) = random_terms(degree, 3, 3, terms, bits);
        let norm = WeightNorm::direct(norm);
        let (measured, worst, _) = measure(&Group::new(parameters, 3, rows, false), 6);
        let computed = error_variance(&parameters, norm).sqrt();
        let ratio = measured / computed;
        assert!((0.9..1.1).contains(&ratio), "{what}: {measured} / {computed} = {ratio}");
        assert!(worst <= 8.0 * computed, "{what}: {worst} > 8 * {computed}");
    }
}

/// Parameters at the edge of the bound, as the planner chooses them: 1,024,000 outputs under real keys,
/// none near the limit of one unit, which 13 deviations keep.
#[test]
fn a_million_outputs_with_guard_bits_are_exact() {
    let (rows, norm) = random_terms(2048, 2, 5, 60, 10);
    let norm = WeightNorm::direct(norm);
    let edge = (0..30)
        .rev()
        .map(|d| Parameters::new(2048, 24, 22, 17, d).unwrap().with_guard_bits(2).unwrap())
        .find(|p| p.holds_exactly(1, norm))
        .unwrap();
    assert!(edge.dropped_bits() > 6);
    let group = Group::new(edge, 2, rows, false);
    let (measured, worst, count) = measure(&group, 100);
    assert_eq!((worst, count), (1.0, 1_024_000));
    // The shares do carry errors, so that the test would see more of them.
    assert!(measured > 0.05, "{measured}");
}

/// 100 seeds of 10,240 outputs with parameters as the planner chooses them.
#[test]
fn a_million_outputs_stay_under_eight_deviations() {
    let (rows, norm) = random_terms(2048, 2, 5, 60, 10);
    let parameters = Parameters::new(2048, 24, 24, 6, 17).unwrap();
    let norm = WeightNorm::direct(norm);
    let group = Group::new(parameters, 2, rows, false);
    let (measured, worst, count) = measure(&group, 100);
    assert_eq!(count, 1_024_000);
    let computed = error_variance(&parameters, norm).sqrt();
    assert!((0.7..1.1).contains(&(measured / computed)), "{measured} / {computed}");
    assert!(worst <= 8.0 * computed, "{worst} > 8 * {computed}");
}

//! The security table, and the choice of k, h and d.

use gazelle_he::public_coin::noise::deviation;
use gazelle_he::public_coin::parameters::{SECURITY_TABLE, max_modulus_bits};
use gazelle_he::public_coin::{NoiseBudget, Parameters, WeightNorm};

fn budget(truncate_bits: u32, norm: f64) -> NoiseBudget {
    NoiseBudget {
        truncate_bits,
        weights: WeightNorm::direct(norm),
        requests: 4,
        responses: 64,
        inferences: 100.0,
        revealed: false,
    }
}

#[test]
fn only_moduli_under_the_128_bit_line_are_accepted() {
    for (degree, l, k, accepted) in [
        (2048, 36, 12, true),
        (2048, 38, 12, true),
        (2048, 39, 12, false),
        (2048, 25, 25, true),
        (2048, 25, 26, false),
        (4096, 48, 14, true),
        (4096, 48, 15, false),
        (8192, 48, 14, true),
        (8192, 48, 15, false),
        (1024, 10, 12, false),
        (4095, 10, 12, false),
        (0, 10, 12, false),
        (16384, 10, 12, false),
        (2048, 0, 20, false),
        (4096, 49, 12, false),
        (2048, 20, 11, false),
        (2048, 20, u32::MAX - 20, false),
    ] {
        assert_eq!(Parameters::new(degree, l, k, 1, 0).is_ok(), accepted, "{degree} {l} {k}");
    }
    for (degree, line) in SECURITY_TABLE {
        assert!(max_modulus_bits(degree).unwrap() <= line.min(62));
    }
    assert_eq!(SECURITY_TABLE, [(2048, 53), (4096, 106), (8192, 214)]);
}

#[test]
fn kept_and_dropped_bits_have_limits() {
    for (h, d, accepted) in [
        (1, 0, true),
        (18, 47, true),
        (0, 0, false),
        (19, 0, false),
        (1, 48, false),
        (1, u32::MAX - 2, false),
    ] {
        assert_eq!(Parameters::new(2048, 30, 18, h, d).is_ok(), accepted, "{h} {d}");
    }
}

#[test]
fn parameters_are_checked_again_when_they_are_read() {
    let good = Parameters::new(2048, 30, 18, 5, 9).unwrap();
    let text = serde_json::to_string(&good).unwrap();
    assert_eq!(serde_json::from_str::<Parameters>(&text).unwrap(), good);
    let weak = text.replace("\"noise_bits\":18", "\"noise_bits\":28");
    assert_ne!(text, weak);
    assert!(serde_json::from_str::<Parameters>(&weak).is_err());
}

#[test]
fn the_choice_holds_the_bound_and_no_cheaper_one_does() {
    for (degree, l, t, norm, inferences, revealed) in [
        (2048, 24, 12, 1e6, 100.0, false),
        (2048, 21, 10, 3e7, 1.0, false),
        (2048, 36, 14, 1e8, 1e6, false),
        (4096, 37, 12, 1e7, 100.0, false),
        (2048, 29, 10, 1e6, 1.0, true),
    ] {
        let budget = NoiseBudget { inferences, revealed, ..budget(t, norm) };
        let chosen = Parameters::choose(degree, l, &budget).unwrap();
        let usual = if degree == 2048 { 48 } else { 62 };
        assert_eq!(chosen.modulus_bits(), usual);
        let (k, h, d) = (chosen.noise_bits(), chosen.kept_quarters() / 4, chosen.dropped_bits());
        let holds = |h, d| {
            let p = Parameters::new(degree, l, k, h, d).unwrap();
            6.0 * deviation(&p, budget.weights) <= f64::from(k + t - 2).exp2()
        };
        assert!(holds(h, d) && chosen.holds(t, budget.weights));
        assert!(!holds(h, d + 1), "d is the largest for this h");
        let hint_runs = if revealed { inferences } else { 1.0 };
        let price = |h: u32, d: u32| {
            inferences * 4.0 * f64::from(h) + 64.0 * hint_runs * f64::from(l + k - d)
        };
        if revealed {
            assert_eq!(h, k);
        } else {
            for other in 1..=k {
                for dropped in 0..l + k {
                    if holds(other, dropped) {
                        assert!(price(h, d) <= price(other, dropped));
                    }
                }
            }
            // A loose bound would not need so many bits: one fewer of each fails.
            assert!(h == 1 || !holds(h - 1, d) || price(h - 1, d) >= price(h, d));
        }
    }
}

#[test]
fn widths_that_leave_no_room_for_noise_are_refused() {
    // k = 11; k + t = 24; an absurd norm.
    assert!(Parameters::choose(2048, 37, &budget(20, 1e4)).is_err());
    assert!(Parameters::choose(2048, 36, &budget(12, 1e4)).is_err());
    assert!(Parameters::choose(2048, 36, &budget(13, 1e4)).is_ok());
    assert!(Parameters::choose(2048, 30, &budget(8, 1e30)).is_err());
    assert!(Parameters::choose(1024, 20, &budget(12, 1e4)).is_err());
}

#[test]
fn the_documents_example_comes_out() {
    // protocol.md 3.6 (l=37, fw=12, 64 channels of 3x3): h of about 4.
    let norm = 576.0 * 2f64.powi(20) / 3.0;
    let budget = NoiseBudget { inferences: 1e9, ..budget(12, norm) };
    let chosen = Parameters::choose(4096, 37, &budget).unwrap();
    assert!((16..=24).contains(&chosen.kept_quarters()), "{chosen:?}");
}

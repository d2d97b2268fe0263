//! The security table, and the limits of k, h, d and g.

use gazelle_he::public_coin::noise::{LOG2_SIGMA_FRESH, deviation};
use gazelle_he::public_coin::parameters::{SECURITY_TABLE, SIGMAS_EXACT, max_modulus_bits};
use gazelle_he::public_coin::{Parameters, WeightNorm};

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
fn guard_bits_have_limits_and_travel_only_where_there_are_any() {
    let plain = Parameters::new(2048, 22, 26, 20, 9).unwrap();
    assert!(!serde_json::to_string(&plain).unwrap().contains("guard"));
    for g in [1, 2, 3, 8] {
        let guarded = plain.with_guard_bits(g).unwrap();
        assert_eq!((guarded.share_bits(), guarded.share_shift()), (22 + g, 26 - g));
        let text = serde_json::to_string(&guarded).unwrap();
        assert_eq!(serde_json::from_str::<Parameters>(&text).unwrap(), guarded);
    }
    for g in [9, 26, u32::MAX] {
        assert!(plain.with_guard_bits(g).is_err());
    }
}

#[test]
fn exact_shares_need_room_for_thirteen_deviations() {
    let weights = WeightNorm::direct(1e6);
    let room = |p: &Parameters, limit: u64| limit as f64 * f64::from(p.share_shift()).exp2();
    for (g, limit) in [(2, 1u64), (3, 3), (3, 1), (4, 7), (4, 3)] {
        for k in 14..=28 {
            let p = Parameters::new(2048, 22, k, k, 0).unwrap().with_guard_bits(g).unwrap();
            let fits = 13.0 * deviation(&p, weights) <= room(&p, limit);
            assert_eq!(p.holds_exactly(limit, weights), fits);
            assert!(!p.holds_exactly(0, weights));
        }
    }
    // The keys' noise alone, 13 * 478, needs k = 15 with two guard bits and 14.6 with three.
    let holds = |k, g, limit| {
        let p = Parameters::new(2048, 22, k, k, 0).unwrap().with_guard_bits(g).unwrap();
        p.holds_exactly(limit, WeightNorm::direct(1.0))
    };
    assert_eq!([14, 15].map(|k| holds(k, 2, 1)), [false, true]);
    assert_eq!([14, 15].map(|k| holds(k, 3, 3)), [false, true]);
}

/// Whatever the room: without guard bits an error reaches the client, and F with it.
#[test]
fn parameters_without_guard_bits_are_flooded_and_never_exact() {
    let weights = WeightNorm::direct(1.0);
    for g in 0..=4 {
        let p = Parameters::new(2048, 20, 30, 30, 0).unwrap().with_guard_bits(g).unwrap();
        assert_eq!((p.is_flooded(), p.holds_exactly(1, weights)), (g == 0, g > 0));
        let fresh = deviation(&p, weights) > f64::from(LOG2_SIGMA_FRESH).exp2();
        assert_eq!(fresh, p.is_flooded());
    }
}

/// 13 deviations leave room for keys and roundings that are larger than their mean once a setup, and
/// for 2^20 inferences of 10^7 outputs (docs/protocol.md, 3.8).
#[test]
fn thirteen_deviations_miss_with_less_than_2_to_the_minus_46_in_all() {
    // Squared norm of t over its mean, exceeded with probability exp(-45) at most (Laurent, Massart).
    let x = 45.0 / 2048.0f64;
    let norm = 1.0 + 2.0 * x.sqrt() + 2.0 * x;
    let deviations = SIGMAS_EXACT / norm.sqrt();
    let one = 1.0 - deviations.powi(2) / 2.0 * std::f64::consts::LOG2_E;
    let all = one + 20.0 + 1e7f64.log2();
    assert!(all < -46.0, "2^{all}");
}

//! The security table, and the limits of k, h and d.

use gazelle_he::public_coin::Parameters;
use gazelle_he::public_coin::parameters::{SECURITY_TABLE, max_modulus_bits};

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

use super::check::{Refuted, check};
use super::claims::{parts, steps};
use super::world::Fault;
use super::{break_one, guard};

#[test]
fn a_mask_that_is_used_twice_is_reported() {
    let parts = parts();
    let truncation = parts.iter().find(|claim| claim.name == "truncation (1, 2), Offline").unwrap();
    // The leaf's mask of S's bit is B2A's mask of the carry as well.
    let refuted = check(truncation, Fault::SharedRot(0, 1)).unwrap_err();
    assert!(matches!(refuted, Refuted::Leak(_)), "{refuted}");
}

#[test]
fn a_lost_correction_is_a_wrong_result() {
    let parts = parts();
    let leaf = parts.iter().find(|claim| claim.name == "leaf of 2 bits, Offline").unwrap();
    for message in 0..8 {
        let refuted = check(leaf, Fault::LostMessage(message)).unwrap_err();
        assert!(matches!(refuted, Refuted::Wrong(_)), "{message}: {refuted}");
    }
}

#[test]
fn a_missing_mask_is_reported_in_a_whole_step() {
    let steps = steps();
    let relu = steps.iter().find(|claim| claim.name.starts_with("ReLU (2, 1),")).unwrap();
    check(relu, Fault::None).unwrap();
    // The first coins are the low leaf's: its choice and its two strings.
    for coin in 0..3 {
        let refuted = check(relu, Fault::FixedCoin(coin)).unwrap_err();
        assert!(matches!(refuted, Refuted::Leak(_)), "{coin}: {refuted}");
    }
}

#[test]
fn every_single_fault_of_the_carry_parts_is_reported() {
    let mut missed = Vec::new();
    for claim in parts().iter().take(7) {
        break_one(claim, &mut missed);
    }
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn guard_bits_round_to_the_nearest_within_the_bound_and_not_beyond() {
    guard::check().unwrap();
}

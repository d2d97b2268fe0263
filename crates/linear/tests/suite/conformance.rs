//! The suite that every linear protocol passes.

use gazelle_linear::PublicCoin;
use gazelle_share::testing::conformance_linear;

#[test]
fn public_coin_conforms_for_one_inference_and_for_a_hundred() {
    conformance_linear(&PublicCoin::default());
    conformance_linear(&PublicCoin { inferences_per_setup: 100, ..PublicCoin::default() });
}

//! The GMW backend, and both backends behind one protocol.

use gazelle_garble::HalfGates;
use gazelle_nonlinear::PerLayer;
use gazelle_ot::IdealOt;
use gazelle_share::testing::{conformance_nonlinear, conformance_steps};

#[test]
fn conformance_of_the_choice_per_step_over_ideal_ot() {
    let protocol = PerLayer::auto(IdealOt, HalfGates::default());
    let turns = conformance_nonlinear(&protocol);
    assert_eq!(turns.online.len(), conformance_steps().len());
}

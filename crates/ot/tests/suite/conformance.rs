//! One line per implementor.

use gazelle_ot::ferret::Parameters;
use gazelle_ot::{Ferret, IdealOt, Iknp, SoftSpoken, auto, testing};

#[test]
fn ideal_ot_conforms() {
    testing::conformance(&IdealOt);
}

#[test]
fn iknp_conforms() {
    testing::conformance(&Iknp::new());
}

#[test]
fn softspoken_conforms_for_every_k() {
    for extension in [SoftSpoken::K2, SoftSpoken::K4, SoftSpoken::K8] {
        testing::conformance(&extension);
    }
}

#[test]
fn ferret_conforms_over_many_toy_batches() {
    testing::conformance(&Ferret::new(Parameters::TOY));
    testing::conformance(&Ferret::new(Parameters::TOY_CHAIN));
}

#[test]
fn ferret_conforms_with_its_smallest_set() {
    testing::conformance(&Ferret::new(Parameters::FIRST));
    testing::conformance(&Ferret::new(Parameters::SMALL));
}

#[test]
fn auto_conforms_on_either_side_of_its_first_threshold() {
    testing::conformance(&auto(1000));
    testing::conformance(&auto(500_000));
}

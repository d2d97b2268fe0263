//! One line per implementor.

use gazelle_ot::{IdealOt, Iknp, SoftSpoken, testing};

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

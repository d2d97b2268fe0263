//! One line per implementor.

use gazelle_ot::{IdealOt, Iknp, testing};

#[test]
fn ideal_ot_conforms() {
    testing::conformance(&IdealOt);
}

#[test]
fn iknp_conforms() {
    testing::conformance(&Iknp::new());
}

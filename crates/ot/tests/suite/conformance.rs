//! One line per implementor.

use gazelle_ot::{IdealOt, testing};

#[test]
fn ideal_ot_conforms() {
    testing::conformance(&IdealOt);
}

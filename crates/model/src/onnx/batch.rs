//! Files made for several images at once, run with one.

use std::sync::Arc;

use super::import::{Call, Value};
use super::tensor::Array;

/// The same node for one image: shapes that hold the batch as their first size hold 1 there.
///
/// Whether that was the right reading is checked against the reference, which runs the whole batch.
pub(super) fn for_one_image<'a>(call: &Call<'a>, batch: usize) -> Call<'a> {
    let mut inputs = call.inputs.clone();
    if matches!(call.op, "Reshape" | "Expand")
        && let Some(Some(Value::Constant(shape))) = inputs.get_mut(1)
    {
        let mut sizes = shape.int_list();
        if let Some(first) = sizes.first_mut() {
            if *first == batch as i64 {
                *first = 1;
            } else if *first > 0 && *first % batch as i64 == 0 && !shape.int_list().contains(&-1) {
                // Batch and another axis in one.
                *first /= batch as i64;
            }
        }
        *shape = Arc::new(Array::ints(shape.dims.clone(), sizes));
    }
    Call {
        name: call.name,
        op: call.op,
        domain: call.domain,
        attributes: call.attributes,
        inputs,
        outputs: call.outputs,
    }
}

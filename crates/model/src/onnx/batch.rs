//! Nodes read as they are meant: of files made for several images at once, run with one; and of
//! opsets before 7.

use std::sync::Arc;

use super::call::{Call, Value};
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
        let inferred = sizes.contains(&-1);
        if let Some(first) = sizes.first_mut() {
            if *first == batch as i64 {
                *first = 1;
            } else if *first > 0 && *first % batch as i64 == 0 && !inferred {
                // Batch and another axis in one.
                *first /= batch as i64;
            }
        }
        *shape = Arc::new(Array::ints(shape.dims.clone(), sizes));
    }
    call.with_inputs(inputs)
}

/// The same node as later opsets write it: constants that opset 6 repeats along axes before their
/// own get those axes.
///
/// # Errors
/// For nodes in training mode, the default before opset 7.
pub(super) fn from_old_opset<'a>(call: &Call<'a>) -> Result<Call<'a>, String> {
    let mut inputs = call.inputs.clone();
    match call.op {
        "BatchNormalization" | "Dropout" if call.attributes.int("is_test", 0) == 0 => {
            return Err("is_test is 0: export the network in evaluation mode".into());
        }
        "Add" | "Sub" | "Mul" | "Div" | "Pow" if call.attributes.int("broadcast", 0) != 0 => {
            if let [Some(Value::Tensor(x)), Some(Value::Constant(constant))] = inputs.as_mut_slice()
            {
                let own = constant.dims.len();
                let suffix = x.dims.len().saturating_sub(own) as i64;
                let axis = call.attributes.int("axis", suffix);
                let behind = super::dims::axis(axis, x.dims.len())
                    .ok()
                    .and_then(|axis| x.dims.len().checked_sub(axis + own))
                    .ok_or_else(|| format!("{:?} does not fit {:?}", constant.dims, x.dims))?;
                let mut dims = constant.dims.clone();
                dims.extend(vec![1; behind]);
                *constant = Arc::new(constant.reshape(dims)?);
            } else if call.attributes.get("axis").is_some() {
                return Err("an axis for the broadcast of two private tensors".into());
            }
        }
        _ => {}
    }
    Ok(call.with_inputs(inputs))
}

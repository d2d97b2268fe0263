//! Linear operators seen as convolutions, after checking that their sizes make sense.

use gazelle_share::{Conv2d, LinearOp, LinearWeights, Pads, TensorShape};

use crate::error::LinearError;

/// More elements or weights than this are refused: plans come from the peer.
const MAX_ELEMENTS: usize = 1 << 28;

/// The operator as a convolution; a fully connected layer is one of a single pixel.
///
/// # Errors
/// [`LinearError::Operator`] if a size is zero, too large, or does not fit.
pub(crate) fn as_conv(op: &LinearOp) -> Result<Conv2d, LinearError> {
    let conv = match op {
        LinearOp::Conv(conv) => conv.clone(),
        LinearOp::FullyConnected { inputs, outputs } => Conv2d {
            input: TensorShape::vector(*inputs),
            maps: *outputs,
            kernel: [1, 1],
            stride: [1, 1],
            pads: Pads::default(),
            dilation: [1, 1],
            groups: 1,
        },
    };
    check(&conv)?;
    Ok(conv)
}

/// Squared norm of each map's weights.
///
/// # Errors
/// [`LinearError::Plan`] if the weights are not as many as the operator has.
pub(crate) fn map_norms(op: &LinearOp, weights: &LinearWeights) -> Result<Vec<f64>, LinearError> {
    let conv = as_conv(op)?;
    let per_map = op.weight_len() / conv.maps;
    if weights.weights.len() != op.weight_len() {
        let (expected, got) = (op.weight_len(), weights.weights.len());
        return Err(LinearError::Plan(format!("{got} weights, the operator has {expected}")));
    }
    let square = |w: &i32| f64::from(*w).powi(2);
    Ok(weights.weights.chunks_exact(per_map).map(|map| map.iter().map(square).sum()).collect())
}

fn check(conv: &Conv2d) -> Result<(), LinearError> {
    let product = |sizes: &[usize]| {
        sizes.iter().try_fold(1usize, |product, &size| {
            if size == 0 { None } else { product.checked_mul(size).filter(|p| *p <= MAX_ELEMENTS) }
        })
    };
    let input = conv.input;
    let too_large = LinearError::Operator("a size is zero or too large");
    let pads = [conv.pads.top, conv.pads.bottom, conv.pads.left, conv.pads.right];
    let sizes = [conv.dilation, conv.stride].concat();
    if product(&[input.channels, input.height, input.width]).is_none()
        || product(&[conv.maps, input.channels, conv.kernel[0], conv.kernel[1]]).is_none()
        || product(&[conv.groups]).is_none()
        || sizes.iter().any(|size| *size == 0 || *size > MAX_ELEMENTS)
        || pads.iter().any(|pad| *pad > 1 << 14)
    {
        return Err(too_large);
    }
    if !input.channels.is_multiple_of(conv.groups) || !conv.maps.is_multiple_of(conv.groups) {
        return Err(LinearError::Operator("groups do not divide the channels or maps"));
    }
    let span = |axis: usize| {
        let (dilation, kernel) = if axis == 0 {
            (conv.dilation[0], conv.kernel[0])
        } else {
            (conv.dilation[1], conv.kernel[1])
        };
        dilation.checked_mul(kernel - 1).and_then(|span| span.checked_add(1))
    };
    let padded = [
        input.height + conv.pads.top + conv.pads.bottom,
        input.width + conv.pads.left + conv.pads.right,
    ];
    if span(0).is_none_or(|span| span > padded[0]) || span(1).is_none_or(|span| span > padded[1]) {
        return Err(LinearError::Operator("the kernel is larger than the padded input"));
    }
    let output = conv.output();
    if product(&[output.channels, output.height, output.width]).is_none() {
        return Err(too_large);
    }
    Ok(())
}

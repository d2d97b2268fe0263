//! About what an exact network's widths cost in traffic.

use gazelle_share::{LinearWeights, Network, Node, NodeKind, plain};

/// About the bits of traffic that depend on widths: every bit that an exact step compares or drops (an
/// OT, its corrections and openings, a bit of a word), and every bit of a request or hint.
pub(super) fn price(network: &Network) -> f64 {
    /// Of a bit compared or dropped.
    const BIT: f64 = 11.0;
    /// Coefficients of hints to an output, and of requests to an input.
    const HINTS: f64 = 2.0;
    const REQUESTS: f64 = 1.3;
    let architecture = network.architecture();
    let of_layer = |(node, weights): (&Node, &LinearWeights)| match &node.kind {
        NodeKind::Step(step) => {
            let bits = f64::from(step.value_bits + step.dropped_bits());
            BIT * step.input.len() as f64 * bits
        }
        NodeKind::Linear(op) => {
            let ring = f64::from(architecture.tensor(node.input()).ring_bits);
            let square = squares(&weights.weights);
            let norm = (square / op.output_shape().channels.max(1) as f64).max(1.0).log2() / 2.0;
            let (outputs, inputs) = (op.output_shape().len() as f64, op.input_len() as f64);
            HINTS * outputs * ring + REQUESTS * inputs * norm
        }
        NodeKind::Local(_) => 0.0,
    };
    network.layers().map(of_layer).sum()
}

/// The sum of the squares: exact up to 2^53, a little off beyond.
fn squares(weights: &[i32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0f64; LANES];
    let (whole, rest) = weights.as_chunks::<LANES>();
    plain::widest(|| {
        for weights in whole {
            for (sum, w) in sums.iter_mut().zip(weights) {
                *sum += f64::from(*w) * f64::from(*w);
            }
        }
    });
    let rest = rest.iter().map(|w| f64::from(*w) * f64::from(*w));
    sums.into_iter().chain(rest).sum()
}

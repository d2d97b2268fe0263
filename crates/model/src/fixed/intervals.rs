//! Which steps of a network no input of a range can overflow: integer intervals, element by element.
//!
//! A step whose input fits gives values that fit, so every layer starts from widths that hold: the
//! bound of a layer is that of its own weights, not of all weights before it.

use gazelle_share::{
    Architecture, LinearWeights, Network, Node, NodeKind, Step, StepFunction, TensorId, TensorMap,
    plain,
};

use super::{encode, moved};
use crate::error::ModelError;
use crate::graph::InputGrid;
use crate::range::InputRange;

/// Least and largest value of every element.
#[derive(Clone, Default)]
struct Interval {
    low: Vec<i64>,
    high: Vec<i64>,
}

/// Names of the steps that some input within `range` might overflow, as far as intervals tell; none
/// if the network's result is its fixed-point reference for every input that clients may send.
///
/// Cost: about four runs of the fixed-point reference.
///
/// # Errors
/// [`ModelError::Input`] if the range itself cannot be encoded.
pub fn unproven(
    network: &Network,
    range: &InputRange,
    grid: Option<InputGrid>,
) -> Result<Vec<String>, ModelError> {
    let architecture = network.architecture();
    let shape = architecture.input().shape;
    let plane = (shape.height * shape.width).max(1);
    let end = |pick: fn((f32, f32)) -> f32| {
        let value = |at: usize| {
            let x = pick(range.of(at / plane));
            // optional: few files round their input
            grid.map_or(x, |grid| grid.round(x))
        };
        encode(architecture, &(0..shape.len()).map(value).collect::<Vec<f32>>())
    };
    let mut values: TensorMap<Interval> = architecture.per_tensor(Interval::default());
    values[TensorId::INPUT] = Interval { low: end(|ends| ends.0)?, high: end(|ends| ends.1)? };
    let mut open = Vec::new();
    for (node, weights) in network.layers() {
        let x = &values[node.input()];
        let y = match &node.kind {
            NodeKind::Linear(_) => linear(node, weights, x),
            NodeKind::Step(step) => {
                let (y, fits) = through(step, x);
                if !fits {
                    open.push(node.name.clone());
                }
                y
            }
            NodeKind::Local(_) => local(architecture, node, weights, &values),
        };
        values[node.output] = y;
    }
    Ok(open)
}

fn linear(node: &Node, weights: &LinearWeights, x: &Interval) -> Interval {
    let NodeKind::Linear(op) = &node.kind else { return Interval::default() };
    let part = |keep: fn(i32) -> i32, bias: &[i64]| LinearWeights {
        weights: weights.weights.iter().map(|w| keep(*w)).collect(),
        bias: bias.to_vec(),
    };
    let (up, down) = (part(|w| w.max(0), &weights.bias), part(|w| w.min(0), &[]));
    let end = |with_up: &[i64], with_down: &[i64]| {
        let mut y = plain::apply_signed(op, &up, with_up);
        let more = plain::apply_signed(op, &down, with_down);
        y.iter_mut().zip(more).for_each(|(y, more)| *y = y.wrapping_add(more));
        y
    };
    let (low, high) = rayon::join(|| end(&x.low, &x.high), || end(&x.high, &x.low));
    Interval { low, high }
}

/// The step's results, and whether its width holds all that it may read; what lies beyond is cut off.
fn through(step: &Step, x: &Interval) -> (Interval, bool) {
    let t = step.truncate_bits;
    // Coins, where there are any, round up or down.
    let below = (1i64 << t) - 1;
    let (lost, limit) = match step.function {
        StepFunction::CoarseRelu { drop_bits } => {
            (1i64 << drop_bits, 1i64 << (step.value_bits - 1))
        }
        _ => (0, 1i64 << (step.value_bits - 1)),
    };
    // Cut off, and whether nothing was.
    let end = |values: &[i64], below: i64| {
        let mut fits = true;
        let mut cut = |v: &i64| {
            let v = v.saturating_add(below) >> t;
            let inside = v.max(lost - limit).min(limit - 1);
            fits &= inside == v;
            inside
        };
        let values: Vec<i64> = plain::widest(|| values.iter().map(&mut cut).collect());
        (values, fits)
    };
    let ((least, low_fits), (largest, high_fits)) =
        rayon::join(|| end(&x.low, 0), || end(&x.high, below));
    let fits = low_fits && high_fits;
    let y = match step.function {
        StepFunction::Square { .. } => {
            let nearest = least.iter().zip(&largest).map(|(a, b)| 0i64.clamp(*a.min(b), *b.max(a)));
            let farthest = least.iter().zip(&largest).map(|(a, b)| a.abs().max(b.abs()));
            let low = step.apply_rounded(&nearest.collect::<Vec<_>>(), || 0);
            Interval {
                low,
                high: step.apply_rounded(&farthest.collect::<Vec<_>>(), || below_of(step)),
            }
        }
        // What a coarse comparison loses may be all of a value.
        StepFunction::CoarseRelu { .. } => {
            let zeros = vec![0; least.len()];
            Interval { low: step.apply(&zeros), high: step.apply(&largest) }
        }
        _ => {
            let (low, high) = rayon::join(|| step.apply(&least), || step.apply(&largest));
            Interval { low, high }
        }
    };
    (y, fits)
}

/// The most that rounding a square adds.
fn below_of(step: &Step) -> i64 {
    match step.function {
        StepFunction::Square { drop_bits } => (1i64 << drop_bits) - 1,
        _ => 0,
    }
}

fn local(
    architecture: &Architecture,
    node: &Node,
    weights: &LinearWeights,
    values: &TensorMap<Interval>,
) -> Interval {
    let (low, high) = rayon::join(
        || moved(architecture, node, weights, &|id| &values[id].low),
        || moved(architecture, node, weights, &|id| &values[id].high),
    );
    Interval { low, high }
}

//! What every packing must do, whoever writes it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test suite: failing loudly is its job"
)]

use gazelle_prg::{Prg, Seed};
use gazelle_share::{Conv2d, LinearOp, LinearWeights, Pads, TensorShape, plain};
use rand_core::Rng;

use crate::packing::{Candidate, Coefficient, NO_WEIGHT, Packing, PackingScheme};
use crate::plan::PackingPlan;

/// Candidates of a family that are multiplied out.
const SAMPLES: usize = 6;
/// Plans with arbitrary numbers per set of operators.
const HOSTILE: usize = 60;

/// Checks a scheme over operators of all kinds, at N = 2048 and 4096:
///
/// - candidates can be laid out and are as large as they say;
/// - products of polynomials are exactly the operators' outputs, whatever lies in free coefficients;
///   every output lies at one place; exponents of a weight polynomial differ;
/// - a block's maps are all whose weights it has;
/// - a plan with arbitrary numbers is refused, or is right; it never panics.
///
/// Operators for which a scheme has no candidates are left out.
///
/// # Panics
/// If one of these does not hold, or no operator has a candidate.
pub fn conformance(scheme: &dyn PackingScheme) {
    let mut rng = Prg::new(&Seed::from_bytes(*b"gazelle packings"), 0);
    let mut supported = 0;
    for ops in operators() {
        let borrowed: Vec<&LinearOp> = ops.iter().collect();
        for degree in [2048, 4096] {
            let mut families: Vec<Vec<Candidate>> = Vec::new();
            let mut keep = |family: usize, candidate: &Candidate| {
                families.resize_with(families.len().max(family + 1), Vec::new);
                families[family].push(candidate.clone());
            };
            scheme.candidates(&borrowed, degree, &mut keep).unwrap();
            for family in &families {
                let step = family.len().div_ceil(SAMPLES).max(1);
                for candidate in family.iter().step_by(step) {
                    supported += 1;
                    let plan = numbered(&candidate.plan, ops.len());
                    let packing = scheme.packing(&borrowed, degree, &plan).unwrap();
                    let estimate = &candidate.estimate;
                    assert_eq!(packing.degree(), degree);
                    assert_eq!(
                        (packing.tiles(), packing.chunks(), estimate.ops.len()),
                        (estimate.tiles, estimate.chunks, ops.len()),
                        "{scheme:?} estimates {plan:?}"
                    );
                    for (op, estimate) in estimate.ops.iter().enumerate() {
                        let blocks = estimate.all_maps.div_ceil(estimate.maps);
                        assert_eq!(packing.blocks(op), blocks, "{scheme:?} estimates {plan:?}");
                    }
                    multiply_out(&*packing, &ops, &mut rng);
                }
            }
            // What the peer may write into a plan.
            for _ in 0..HOSTILE {
                let Some(like) = families.iter().flatten().next() else { break };
                let plan = numbered(&hostile(&like.plan, &mut rng), ops.len());
                if let Ok(packing) = scheme.packing(&borrowed, degree, &plan) {
                    let responses: usize = (0..ops.len()).map(|op| packing.responses(op)).sum();
                    if packing.requests() + responses <= 64 {
                        multiply_out(&*packing, &ops, &mut rng);
                    }
                }
            }
        }
    }
    assert!(supported > 0, "{scheme:?} computes nothing");
}

/// Multiplies a packing out in the clear, on random weights and elements: see [`conformance`].
pub fn multiply_out(packing: &dyn Packing, ops: &[LinearOp], rng: &mut Prg) {
    let n = packing.degree();
    let input: Vec<u64> = (0..ops[0].input_len()).map(|_| rng.next_u64()).collect();
    let mut held = vec![false; input.len()];
    let mut marked = 0;
    let mut fill = |request| -> Vec<u64> {
        let coefficients = packing.coefficients(request);
        assert_eq!(coefficients.len(), n);
        let word = |coefficient: &Coefficient| match coefficient {
            Coefficient::Element(element) => {
                (held[*element as usize], marked) = (true, marked + 1);
                input[*element as usize]
            }
            Coefficient::Zero => {
                marked += 1;
                0
            }
            Coefficient::Free => rng.next_u64(),
        };
        coefficients.iter().map(word).collect()
    };
    let requests: Vec<Vec<u64>> = (0..packing.requests()).map(&mut fill).collect();
    assert_eq!(packing.marked(), marked, "{packing:?}");
    assert!(packing.elements() <= held.iter().filter(|held| **held).count(), "{packing:?}");
    let mut seen_at = vec![0u32; n];
    let mut round = 0;
    for (local, op) in ops.iter().enumerate() {
        let weights: Vec<i32> =
            (0..op.weight_len()).map(|_| (rng.next_u32() % 2047) as i32 - 1023).collect();
        let per_map = op.weight_len() / op.output_shape().channels;
        let weights = LinearWeights { weights, bias: vec![] };
        let expected = plain::apply(op, &weights, &input, 64);
        let mut seen = vec![false; expected.len()];
        let mut terms = Vec::new();
        for response in 0..packing.responses(local) {
            let (block, tile) = (response / packing.tiles(), response % packing.tiles());
            let maps = packing.maps_of_block(local, block);
            let mut useful = Vec::new();
            packing.outputs(local, response, &mut |coefficient, output| {
                assert!(!std::mem::replace(&mut seen[output], true), "output {output} twice");
                useful.push((coefficient, output, 0u64));
            });
            for chunk in 0..packing.chunks() {
                round += 1;
                packing.terms(local, block, chunk, &mut terms);
                let request = &requests[tile * packing.chunks() + chunk];
                for &(exponent, weight) in &terms {
                    let exponent = exponent as usize;
                    let before = std::mem::replace(&mut seen_at[exponent], round);
                    assert_ne!(before, round, "exponent {exponent} twice in {packing:?}");
                    if weight == NO_WEIGHT {
                        continue;
                    }
                    assert!(maps.contains(&(weight as usize / per_map)), "{maps:?} {packing:?}");
                    let weight = i64::from(weights.weights[weight as usize]) as u64;
                    for (at, _, sum) in &mut useful {
                        // X^N = -1.
                        let product = match at.checked_sub(exponent) {
                            Some(from) => weight.wrapping_mul(request[from]),
                            None => weight.wrapping_mul(request[*at + n - exponent]).wrapping_neg(),
                        };
                        *sum = sum.wrapping_add(product);
                    }
                }
            }
            for (_, output, sum) in useful {
                assert_eq!(sum, expected[output], "output {output} of {op:?} in {packing:?}");
            }
        }
        assert!(seen.iter().all(|seen| *seen), "an output of {op:?} lies nowhere in {packing:?}");
    }
}

fn numbered(plan: &PackingPlan, ops: usize) -> PackingPlan {
    PackingPlan { ops: (0..ops as u32).collect(), ..plan.clone() }
}

/// A plan with one number, or all, replaced.
fn hostile(plan: &PackingPlan, rng: &mut Prg) -> PackingPlan {
    let mut plan = plan.clone();
    let mut number = || match rng.next_u32() % 8 {
        0 => u32::MAX,
        1 => 1 << (rng.next_u32() % 32),
        _ => rng.next_u32() % 12,
    };
    let (which, value) = (number(), number());
    match which % 6 {
        0 => plan.phase = [value, number()],
        1 => plan.tile = [value, number()],
        2 => plan.channels = value,
        3 => plan.maps.iter_mut().for_each(|maps| *maps = number()),
        4 => plan.maps.push(value),
        _ => {
            plan.phase = [number(), number()];
            plan.tile = [number(), number()];
            plan.channels = number();
            plan.maps.iter_mut().for_each(|maps| *maps = number());
        }
    }
    plan
}

/// Layers of all kinds, alone and over one tensor.
fn operators() -> Vec<Vec<LinearOp>> {
    let conv = |[channels, height, width]: [usize; 3], maps, kernel, stride, pad| Conv2d {
        input: TensorShape::new(channels, height, width),
        maps,
        kernel: [kernel; 2],
        stride: [stride; 2],
        pads: Pads::all(pad),
        dilation: [1; 2],
        groups: 1,
    };
    let dense = |inputs, outputs| LinearOp::FullyConnected { inputs, outputs };
    let grouped = Conv2d { groups: 2, ..conv([4, 7, 6], 6, 3, 1, 1) };
    let depthwise = Conv2d { groups: 5, ..conv([5, 6, 6], 5, 3, 2, 1) };
    let dilated = Conv2d { dilation: [2, 3], ..conv([2, 9, 11], 3, 3, 1, 2) };
    let uneven = Pads { top: 0, left: 2, bottom: 3, right: 1 };
    vec![
        vec![dense(1, 1)],
        vec![dense(100, 7)],
        vec![dense(5000, 2)],
        vec![LinearOp::Conv(conv([3, 8, 8], 4, 3, 1, 1))],
        vec![LinearOp::Conv(conv([2, 1, 1], 3, 3, 1, 1))],
        vec![LinearOp::Conv(conv([2, 3, 3], 3, 7, 1, 3))],
        vec![LinearOp::Conv(conv([3, 15, 15], 2, 5, 2, 2))],
        vec![LinearOp::Conv(conv([1, 60, 60], 2, 3, 1, 1))],
        vec![LinearOp::Conv(Conv2d { pads: uneven, ..conv([2, 7, 9], 3, 4, 1, 0) })],
        vec![LinearOp::Conv(grouped)],
        vec![LinearOp::Conv(depthwise)],
        vec![LinearOp::Conv(dilated)],
        vec![
            LinearOp::Conv(conv([4, 9, 9], 6, 3, 2, 1)),
            LinearOp::Conv(conv([4, 9, 9], 5, 1, 2, 0)),
            LinearOp::Conv(conv([4, 9, 9], 2, 3, 1, 1)),
        ],
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn conformance_of_tiles() {
        super::conformance(&crate::packing::Tiles);
    }
}

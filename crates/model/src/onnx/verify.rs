//! The graph held against the file: what was imported, and what the passes made of it, must compute
//! what the reference computes, up to the rounding of f32.

use std::sync::Arc;

use gazelle_share::{TensorShape, plain};
use rayon::prelude::*;

use super::dims;
use super::load::ImportedModel;
use super::reference::comparable;
use super::tensor::Array;
use crate::error::{ModelError, Unsupported};
use crate::graph::{Activation, Graph};
use crate::range::InputRange;
use crate::{float, passes};

/// Distance allowed, relative to the largest element of a tensor.
const RELATIVE: f32 = 1e-3;
/// Distance allowed, relative to the largest value met so far: what differences of large values
/// keep of their rounding.
const CANCELLED: f32 = 1e-5;
/// Calibration inputs that are tried at most.
const MAX_INPUTS: usize = 2;
/// Networks above so many multiply-adds are tried on one input.
const LARGE: u64 = 1 << 30;

impl ImportedModel {
    /// Checks the graph, before and behind the passes, against the reference: on a random input
    /// within `range`, on its ends, and on the first of `inputs`.
    ///
    /// Cost: for each input one run of the file and two of the graph, in f32.
    ///
    /// # Errors
    /// [`ModelError::Internal`] names the first node whose value differs; [`ModelError::Unsupported`]
    /// a node whose value is not finite, or a fixed batch whose images influence each other.
    pub fn verify(&self, range: &InputRange, inputs: &[Vec<f32>]) -> Result<(), ModelError> {
        let lowered = passes::lower(&self.graph)?;
        let mut tried = vec![noise(self.graph.input_shape(), range, false)];
        if self.graph.macs() < LARGE {
            tried.push(noise(self.graph.input_shape(), range, true));
            tried.extend(inputs.iter().take(MAX_INPUTS).cloned());
        } else if let Some(input) = inputs.first() {
            tried = vec![input.clone()];
        }
        if let Some(grid) = self.graph.input_grid {
            tried.iter_mut().flatten().for_each(|x| *x = grid.round(*x));
        }
        let parts = self.watcher.parts("checking what was read", tried.len());
        for some in tried.chunks(float::together(&self.graph)) {
            let results: Vec<Result<(), ModelError>> = some
                .par_iter()
                .map(|input| {
                    self.compare(input, range, &lowered)?;
                    parts.one();
                    Ok(())
                })
                .collect();
            // The first input's, whichever was done first.
            results.into_iter().collect::<Result<(), ModelError>>()?;
        }
        Ok(())
    }

    fn compare(
        &self,
        input: &[f32],
        range: &InputRange,
        lowered: &Graph,
    ) -> Result<(), ModelError> {
        let (trace, behind) =
            rayon::join(|| float::trace(&self.graph, input), || float::run(lowered, input));
        let trace = trace?;
        let beside: Vec<Vec<f32>> = (1..self.reference.batch)
            .map(|index| noise(self.graph.input_shape(), range, index % 2 == 0))
            .collect();
        let batch = self.reference.batch;
        let mut largest = input.iter().fold(0f32, |m, x| m.max(x.abs()));
        let (tensor, logits) = self.reference.observed(input, &beside, &mut |node, name, value| {
            let Some(got) = self.places.get(name).and_then(|id| trace.get(*id)) else {
                return Ok(());
            };
            if !comparable(value) {
                return Ok(());
            }
            let expected = value.to_floats();
            let expected = dims::part(&expected, ..expected.len() / batch);
            let finite = plain::widest(|| expected.iter().fold(true, |all, x| all & x.is_finite()));
            if !finite
                && let Some(at) = expected.iter().position(|x| !x.is_finite())
            {
                let (node, op) = (node.name.clone(), node.op().to_owned());
                let (low, high) = range.widest();
                let why = format!(
                    "element {at} of its result is not finite for an input between {low} and {high}"
                );
                return Err(ModelError::Unsupported(vec![Unsupported { node, op, why }]));
            }
            largest = largest.max(float::largest(expected));
            self.same(expected, got, largest, &|| {
                format!("node {:?} ({}), value {name:?}", node.name, node.op())
            })
        })?;
        let output = trace.get(self.graph.output);
        let output = output.ok_or_else(|| ModelError::Internal("there is no output".into()))?;
        self.same(&logits, output, largest, &|| "the output, before the passes".into())?;
        let output = behind?;
        self.same(&logits, &output, largest, &|| "the output, behind the passes".into())?;
        self.compare_activation(input, tensor, &logits)
    }

    /// What the client computes of the logits is the file's output.
    fn compare_activation(
        &self,
        input: &[f32],
        tensor: Arc<Array>,
        logits: &[f32],
    ) -> Result<(), ModelError> {
        let Some(activation) = self.graph.activation else { return Ok(()) };
        let wide: Vec<f64> = logits.iter().map(|x| f64::from(*x)).collect();
        let got: Vec<f32> = activation.apply(&wide).into_iter().map(|x| x as f32).collect();
        let expected = self.reference.output_exactly(input, tensor)?;
        if activation == Activation::ArgMax {
            // Either index is right where two logits are nearly the same.
            let of = |at: Option<&f32>| at.and_then(|at| logits.get(*at as usize)).copied();
            return match (of(expected.first()), of(got.first())) {
                (Some(expected), Some(got)) => {
                    self.same(&[expected], &[got], got.abs(), &|| "the largest value".into())
                }
                _ => Err(ModelError::Internal("an index that no value has".into())),
            };
        }
        let largest = logits.iter().fold(1f32, |m, x| m.max(x.abs()));
        self.same(&expected, &got, largest, &|| "the final activation".into())
    }

    fn same(
        &self,
        expected: &[f32],
        got: &[f32],
        largest: f32,
        place: &dyn Fn() -> String,
    ) -> Result<(), ModelError> {
        let defect = |what: String| {
            if self.reference.batch > 1 {
                let batch = self.reference.batch;
                return ModelError::whole(format!(
                    "the file computes {batch} images at once, and one alone comes out differently \
                     ({}, {what}): export it with a batch of 1",
                    place()
                ));
            }
            ModelError::Internal(format!("{}: {what}", place()))
        };
        if expected.len() != got.len() {
            let what = format!("{} elements instead of {}", got.len(), expected.len());
            return Err(defect(what));
        }
        let own = float::largest(expected);
        let allowed = RELATIVE * own + CANCELLED * largest + f32::MIN_POSITIVE;
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= allowed;
        let both = expected.iter().zip(got);
        if plain::widest(|| both.fold(true, |all, pair| all & near(pair))) {
            return Ok(());
        }
        match expected.iter().zip(got).enumerate().find(|(_, pair)| !near(*pair)) {
            None => Ok(()),
            Some((at, (expected, got))) => {
                Err(defect(format!("element {at} is {got}, the file says {expected}")))
            }
        }
    }
}

/// Values spread over a range, or its ends alone, without pattern.
fn noise(shape: TensorShape, range: &InputRange, ends: bool) -> Vec<f32> {
    let plane = (shape.height * shape.width).max(1);
    let mut state =
        shape.len() as u64 ^ if ends { 0x9e37_79b9_7f4a_7c15 } else { 0x2545_f491_4f6c_dd1d };
    let mut next = || {
        // xorshift64*: any stream will do.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1u32 << 24) as f32
    };
    let place = |x: f32| if ends { x.round() } else { x };
    let element = |at: usize| {
        let (low, high) = range.of(at / plane);
        low + (high - low) * place(next())
    };
    (0..shape.len()).map(element).collect()
}

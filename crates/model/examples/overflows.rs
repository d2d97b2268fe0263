//! How far inputs within a model's range can drive hidden values beyond their widths:
//! `cargo run --profile ci -p gazelle-model --example overflows -- MODEL.ONNX..`
//!
//! For each model: the steps that intervals do not prove, then how many inputs of each kind overflow
//! a step. The last kind is sought: from noise at the range's ends, rectangles are set to either end as
//! long as that drives the fullest step further.

use std::path::Path;

use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{
    ImportOptions, InputRange, Interface, Likeness, Options, load, quantise, samples,
};
use gazelle_share::{Network, NodeKind, TensorShape};

/// Inputs of each kind.
const COUNT: usize = 20;
/// Changes tried per sought input.
const CHANGES: usize = 150;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in std::env::args().skip(1) {
        let path = Path::new(&file);
        let model = load(path, &ImportOptions::default())?;
        let mut interface = Interface::beside(path, &model.graph)?;
        let calibration = samples::beside(path, &model.graph, 64);
        let (input_range, _) = interface.declare(&model.graph, &calibration)?;
        let options = Options {
            calibration: calibration.clone(),
            input_range: input_range.clone(),
            ..Options::default()
        };
        let quantised = quantise(&model.graph, &options)?;
        let steps = quantised.report.step_bits.len() + 1;
        let open = quantised.report.unproven.as_ref().map(Vec::len);
        println!("{file}: {open:?} of {steps} steps unproven, range {input_range}");
        let shape = model.graph.input_shape();
        let likeness = Likeness::of(&calibration, shape);
        let mut values = Values(7);
        let mut kinds: Vec<(&str, Vec<Vec<f32>>)> = vec![("calibration", calibration.clone())];
        kinds.push((
            "noise",
            (0..COUNT).map(|_| noise(&input_range, shape, &mut values, false)).collect(),
        ));
        kinds.push((
            "ends",
            (0..COUNT).map(|_| noise(&input_range, shape, &mut values, true)).collect(),
        ));
        let (low, high) = input_range.of(0);
        kinds.push((
            "negative",
            calibration.iter().map(|x| x.iter().map(|x| low + high - x).collect()).collect(),
        ));
        kinds.push(("constant", vec![vec![low; shape.len()], vec![high; shape.len()]]));
        let mut sought = Vec::new();
        for _ in 0..COUNT / 4 {
            sought.push(seek(&quantised.network, &input_range, shape, &mut values)?);
        }
        kinds.push(("sought", sought));
        for (kind, inputs) in kinds {
            let (mut overflowing, mut told, mut untold) = (0, 0, 0);
            let mut fullest = 0f64;
            for input in &inputs {
                let full = fullness(&quantised.network, input)?;
                let unlike = likeness.is_some_and(|likeness| !likeness.admits(input, shape));
                overflowing += usize::from(full > 1.0);
                told += usize::from(unlike);
                untold += usize::from(full > 1.0 && !unlike);
                fullest = fullest.max(full);
            }
            println!(
                "  {kind:<12} {overflowing:>3} of {} overflow, {untold} of them untold, {told} told; fullest step {fullest:.2}",
                inputs.len()
            );
        }
    }
    Ok(())
}

/// The largest value of any step relative to what its width holds.
fn fullness(network: &Network, input: &[f32]) -> Result<f64, Box<dyn std::error::Error>> {
    let architecture = network.architecture();
    let words = fixed::encode(architecture, input)?;
    let trace = fixed::trace(network, &words, Rounding::Nearest)?;
    let mut fullest = 0f64;
    for node in architecture.nodes() {
        if let NodeKind::Step(step) = &node.kind {
            let limit = f64::from(step.value_bits - 1 + step.truncate_bits).exp2();
            let values = trace.tensors[node.input()].iter();
            fullest = values.fold(fullest, |m, v| m.max(v.unsigned_abs() as f64 / limit));
        }
    }
    Ok(fullest)
}

fn seek(
    network: &Network,
    range: &InputRange,
    shape: TensorShape,
    values: &mut Values,
) -> Result<Vec<f32>, Box<dyn std::error::Error>> {
    let mut best = noise(range, shape, values, true);
    let mut full = fullness(network, &best)?;
    for _ in 0..CHANGES {
        let mut changed = best.clone();
        let channel = values.below(shape.channels);
        let (top, left) = (values.below(shape.height), values.below(shape.width));
        let (rows, columns) = (1 + values.below(5), 1 + values.below(5));
        let (low, high) = range.of(channel);
        let end = if values.below(2) == 0 { low } else { high };
        for y in top..(top + rows).min(shape.height) {
            for x in left..(left + columns).min(shape.width) {
                if let Some(slot) = changed.get_mut((channel * shape.height + y) * shape.width + x)
                {
                    *slot = end;
                }
            }
        }
        let now = fullness(network, &changed)?;
        if now > full {
            (best, full) = (changed, now);
        }
    }
    Ok(best)
}

fn noise(range: &InputRange, shape: TensorShape, values: &mut Values, ends: bool) -> Vec<f32> {
    let plane = (shape.height * shape.width).max(1);
    let element = |at: usize, values: &mut Values| {
        let (low, high) = range.of(at / plane);
        let share = values.below(1025) as f32 / 1024.0;
        low + (high - low) * if ends { share.round() } else { share }
    };
    (0..shape.len()).map(|at| element(at, values)).collect()
}

struct Values(u64);

impl Values {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) as usize % n.max(1)
    }
}

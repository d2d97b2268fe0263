//! Quantisation: scales, widths and ring sizes for a network, chosen and checked on inputs.
//!
//! A step's output scale follows from the largest value that its input took over the calibration
//! inputs: `b - 1 - margin - ceil(log2 max |y|)` (protocol.md, section 9), after all channels were
//! scaled to fill it. Each step has a width b of its own: the cheapest ones that keep what rounding
//! does to the logits within a budget; on the calibration inputs the tolerance and the distance
//! from the f32 reference are then measured, and the budget corrected.

mod bounds;
mod build;
mod calibrate;
mod cheapest;
mod equalise;
mod evaluate;
mod exact;
mod fractions;
mod input;
mod left_out;
mod places;
mod price;
pub(crate) mod rings;
mod scales;
mod search;
mod sensitivity;
mod widths;

use gazelle_share::{Network, NodeKind};
use serde::{Deserialize, Serialize};

pub use calibrate::CalibrationSource;
use fractions::Fractions;

use self::left_out::LeftOut;
use crate::error::ModelError;
use crate::fixed;
use crate::graph::Graph;
use crate::onnx::Reference;
use crate::passes;
use crate::range::InputRange;
use crate::watcher::Watcher;

/// What the caller may choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Input tensors, preprocessed; without any, [`Options::input_range`] is sampled.
    pub calibration: Vec<Vec<f32>>,
    /// The declared range of inputs.
    pub input_range: InputRange,
    /// Ranges from interval bounds over `input_range` instead of from what was seen: no input can
    /// overflow them, at the price of wider rings. Calibration inputs then only check the error.
    pub guaranteed: bool,
    /// One width b for all values; chosen step by step if not given.
    pub value_bits: Option<u32>,
    /// Least number of fraction bits of weights.
    pub weight_bits: u32,
    /// Logits are revealed as multiples of `2^-resolution`, -[`MAX_RESOLUTION`] to
    /// [`MAX_RESOLUTION`]; without one, the power of two nearest to 1/256 of the largest calibrated
    /// logit.
    pub resolution: Option<i32>,
    /// Multiply-adds spent on checking one candidate width.
    pub effort: u64,
    /// What the fixed-point network is compared with, on the inputs that it is checked on: the file itself.
    /// Without it, the graph in f32.
    pub reference: Option<Reference>,
    /// Whether the private result is the reference bit for bit.
    pub rounding: RoundingMode,
    /// Whether weights have no more fraction bits than keep the norm of an output's within 2^16: for
    /// a network whose linear layers cannot be planned otherwise ([`Quantised::has_wide_weights`]). Costs
    /// traffic elsewhere, since other layers make up for the errors.
    pub narrow_weights: bool,
    /// Is told how far it is.
    pub watcher: Watcher,
}

/// How the private network rounds where bits are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoundingMode {
    /// To the nearest, whatever the shares are: the client learns f(x) and nothing else.
    #[default]
    Exact,
    /// By local shifts of the shares: cheaper, but the result depends on coins that the client knows,
    /// and replays of one image tell it the last layers' weights (docs/threat-model.md).
    Local,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            calibration: Vec::new(),
            input_range: InputRange::uniform(0.0, 1.0),
            guaranteed: false,
            value_bits: None,
            weight_bits: 10,
            resolution: None,
            effort: 1_000_000_000,
            reference: None,
            rounding: RoundingMode::default(),
            narrow_weights: false,
            watcher: Watcher::default(),
        }
    }
}

/// A fixed-point network and how good it is.
#[derive(Debug, Clone)]
pub struct Quantised {
    /// What the protocol runs.
    pub network: Network,
    /// How good it is.
    pub report: Report,
}

impl Quantised {
    /// Whether [`Options::narrow_weights`] would change something: some output's weights, as integers, have a
    /// norm above 2^16.
    pub fn has_wide_weights(&self) -> bool {
        self.network.layers().any(|(node, weights)| match &node.kind {
            NodeKind::Linear(op) => build::is_wide(op, weights),
            _ => false,
        })
    }
}

/// What quantisation chose and measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Largest width b of a step's values.
    pub value_bits: u32,
    /// Width b of each step's values, by its name.
    pub step_bits: Vec<(String, u32)>,
    /// Spare bits above the largest calibration value.
    pub margin: u32,
    /// Fraction bits of each linear layer's weights, by layer name.
    pub weight_bits: Vec<(String, i32)>,
    /// Logits are revealed as multiples of `2^-resolution`.
    pub resolution: i32,
    /// A logit's distance from the f32 network's, as clients read it: 6 sigma of what rounding at
    /// random does (at least twice the most that it did), half as much again as the largest
    /// distance of the fixed-point reference over the inputs checked, and half the reveal resolution;
    /// in two digits, rounded up.
    pub tolerance: f64,
    /// Largest distance of a logit (before it is rounded for the reveal) from the f32 reference,
    /// over the inputs checked, relative to that input's largest |logit| (or a quarter of the
    /// largest of all, where that is more).
    pub relative_error: f64,
    /// Largest |logit| over the calibration inputs.
    pub largest_logit: f64,
    /// Fraction of the inputs checked with the same class as the f32 reference (near ties, closer
    /// than the tolerance, left out).
    pub agreement: f64,
    /// Whether the error bounds are met; a width that the caller gave is taken all the same.
    pub good: bool,
    /// Where the calibration inputs came from.
    pub calibration: CalibrationSource,
    /// Inputs that set the ranges.
    pub calibration_inputs: usize,
    /// Inputs that were run in fixed point.
    pub checked_inputs: usize,
    /// Steps that some input in the declared range might overflow, by name ([`fixed::unproven`]);
    /// `None` for networks too large to look. Empty is a proof: for every input the private result is
    /// what the fixed-point network means.
    pub unproven: Option<Vec<String>>,
}

impl Report {
    /// Whether no input in the declared range can overflow a hidden value.
    pub fn proven(&self) -> bool {
        self.unproven.as_ref().is_some_and(Vec::is_empty)
    }
}

/// One candidate's parameters.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// Where no width of its own is given.
    value_bits: u32,
    margin: u32,
    weight_bits: u32,
    resolution: i32,
    /// Whether comparisons of a ReLU may go without the lowest bits.
    coarse: bool,
    /// Whether the network will round exactly.
    exact: bool,
    /// Whether the norms of an output's weights are bounded.
    narrow: bool,
}

/// Quantises a network (as imported; passes are run first).
///
/// # Errors
/// [`ModelError::Unsupported`] for operators without a private counterpart,
/// [`ModelError::Quantise`] if no width meets the error bounds, or no proof is found of guaranteed
/// ranges,
/// [`ModelError::Input`] if a calibration input does not fit.
pub fn quantise(graph: &Graph, options: &Options) -> Result<Quantised, ModelError> {
    let mut quantised = chosen(graph, options)?;
    if options.guaranteed || graph.macs() <= LOOKED_AT {
        let (range, grid) = (&options.input_range, graph.input_grid);
        let unproven = fixed::unproven(&quantised.network, range, grid)?;
        if options.guaranteed
            && let Some(first) = unproven.first()
        {
            let count = unproven.len();
            return Err(ModelError::Quantise(format!(
                "interval bounds do not prove {count} steps, the first of them {first:?}"
            )));
        }
        quantised.report.unproven = Some(unproven);
    }
    Ok(quantised)
}

/// Networks of more multiply-adds are looked at for overflows only if they are to have none.
const LOOKED_AT: u64 = 1 << 29;

/// The cheaper of the networks that the searches find.
fn chosen(graph: &Graph, options: &Options) -> Result<Quantised, ModelError> {
    let fixed = options.value_bits;
    if fixed.is_some_and(|bits| !(4..=24).contains(&bits))
        || !(2..=20).contains(&options.weight_bits)
        || options.resolution.is_some_and(|bits| bits.abs() > MAX_RESOLUTION)
    {
        return Err(ModelError::Quantise("widths out of range".into()));
    }
    let prepared = prepare(graph, options)?;
    if fixed.is_some() {
        let found =
            search::search(&prepared, options, Fractions::by_norm(options.weight_bits), fixed);
        return found?.quantised(&prepared);
    }
    let found = match options.rounding {
        RoundingMode::Local => {
            search::search(&prepared, options, Fractions::by_norm(options.weight_bits), None)
        }
        RoundingMode::Exact => cheapest::cheapest(&prepared, options),
    };
    let found = found.or_else(|error| {
        // What decides may be a value without influence at first sight, such as one that cancels:
        // then all values get the same width.
        let uniform = UNIFORM.into_iter().find_map(|bits| {
            let fractions = Fractions::by_norm(options.weight_bits + 2);
            let found = search::search(&prepared, options, fractions, Some(bits)).ok()?;
            found.report.good.then_some(found)
        });
        uniform.ok_or(error)
    });
    found?.quantised(&prepared)
}

/// Widths of all values that are tried where none of their own are found.
const UNIFORM: [u32; 4] = [12, 15, 18, 21];

/// A lowered network, scaled, and what its calibration told.
struct CalibratedGraph {
    lowered: Graph,
    input: input::InputPlan,
    inputs: Vec<Vec<f32>>,
    /// Variants of them that widened the ranges.
    varied: usize,
    source: CalibrationSource,
    calibration: calibrate::Calibration,
    /// Per tensor.
    ranges: Vec<f64>,
    /// Per node.
    sizes: Vec<build::WeightSizes>,
    /// Logits are revealed as multiples of `2^-resolution`.
    resolution: i32,
    /// What errors of the logits are measured by.
    scale: f64,
    /// What candidates are checked on.
    checks: evaluate::CheckedInputs,
    left_out: LeftOut,
}

/// Resolutions are powers of two from `2^-MAX_RESOLUTION` to `2^MAX_RESOLUTION`.
pub const MAX_RESOLUTION: i32 = 128;

/// The exponent r of the power of two `2^-r` nearest to 1/256 of the largest logit: fine enough to
/// tell classes apart, coarse enough to tell little else.
pub(crate) fn resolution_for(largest_logit: f64) -> i32 {
    let step = largest_logit / 256.0;
    if step > 0.0 && step.is_finite() {
        (-step.log2().round()).clamp(f64::from(-MAX_RESOLUTION), f64::from(MAX_RESOLUTION)) as i32
    } else {
        8
    }
}

fn prepare(graph: &Graph, options: &Options) -> Result<CalibratedGraph, ModelError> {
    let mut lowered = passes::lower(graph)?;
    options.input_range.check_for(lowered.input_shape().channels)?;
    let (mut inputs, source) = calibrate::inputs(&lowered, options);
    if let Some(grid) = lowered.input_grid {
        inputs.iter_mut().flatten().for_each(|x| *x = grid.round(*x));
    }
    let mut calibration = calibrate::run(&lowered, &inputs, options.effort)?;
    let mut written = None;
    let checks = evaluate::CheckedInputs::new(lowered.macs(), options.effort, inputs.len());
    if let Some(reference) = &options.reference {
        // The others only say how large logits are; theirs are the graph's, near enough.
        let chosen = |at: &usize| reference.rounds() || checks.inputs.contains(at);
        let of_file: Vec<(usize, &Vec<f32>)> =
            inputs.iter().enumerate().filter(|(at, _)| chosen(at)).collect();
        let parts = options.watcher.parts("calibrating", of_file.len());
        let logits = calibrate::each(&lowered, &of_file, |(_, input)| {
            let logits = reference.unrounded(input);
            parts.one();
            logits
        })?;
        for ((at, _), logits) in of_file.into_iter().zip(logits) {
            if let Some(own) = calibration.logits.get_mut(at) {
                *own = logits;
            }
        }
        if reference.rounds() {
            written = Some(calibrate::each(&lowered, &inputs, |input| reference.logits(input))?);
        }
    }
    // Made-up inputs fill the declared range; real ones may leave a range that nobody declared.
    let declared = match InputRange::observed(&inputs, lowered.input_shape()) {
        Some(observed) => options.input_range.union(&observed),
        None => options.input_range.clone(),
    };
    let variants = calibrate::variants(&lowered, &inputs, &declared, options);
    calibration.widen(&lowered, &variants)?;
    calibration.widen(&lowered, &calibrate::stretched(&lowered, &inputs, &declared, options))?;
    let source = if options.guaranteed { CalibrationSource::Bounds } else { source };
    if options.guaranteed {
        options.input_range.admit_all(&inputs, lowered.input_shape())?;
        calibration.ranges = bounds::ranges(&lowered, &options.input_range);
    }
    let shifts = input::shifts(&lowered, &declared);
    equalise::equalise(&mut lowered, &mut calibration, &shifts);
    let logits = calibration.logits.iter().flatten();
    let largest = logits.fold(0.0, |m, x| f64::from(x.abs()).max(m));
    // optional: the caller may say it
    let resolution = options.resolution.unwrap_or_else(|| resolution_for(largest));
    let scale = evaluate::scale(&calibration.logits, resolution);
    let left_out = match &written {
        Some(written) => LeftOut::measure(written, &calibration.logits, scale)?,
        None => LeftOut::default(),
    };
    let ranges = calibration.ranges.iter().enumerate();
    let ranges = ranges.map(|(id, ranges)| {
        let widest = ranges.iter().copied().fold(0.0, f64::max);
        widest.max(calibration.sensitivity.negligible(id, scale))
    });
    let mut ranges: Vec<f64> = ranges.collect();
    bounds::hold_errors_of_addends(&lowered, &mut ranges);
    // Interval bounds of deep networks, and variants of inputs, can leave f32.
    if let Some((tensor, _)) = lowered.tensors.iter().zip(&ranges).find(|(_, r)| !r.is_finite()) {
        let why = format!("tensor {:?} has no finite range", tensor.name);
        return Err(ModelError::Quantise(why));
    }
    let varied = variants.len();
    let seen = (calibration.sensitivity.gain(0), ranges.first().copied());
    let channels = lowered.input_shape().channels;
    let input = input::InputPlan::new(shifts, &declared, seen, scale, channels);
    Ok(CalibratedGraph {
        sizes: build::WeightSizes::of(&lowered),
        lowered,
        input,
        inputs,
        varied,
        source,
        calibration,
        ranges,
        resolution,
        scale,
        checks,
        left_out,
    })
}

impl CalibratedGraph {
    /// The network of a candidate: a width by tensor, and fraction bits of weights beyond the candidate's.
    fn build(
        &self,
        candidate: Candidate,
        choices: (&[u32], Option<&[i32]>),
    ) -> Result<build::Built, ModelError> {
        let graph = (&self.lowered, &*self.sizes);
        let built = build::build(graph, &self.ranges, &self.input, candidate, choices)?;
        let network = if candidate.exact { exact::exact(built.network)? } else { built.network };
        Ok(build::Built { network, ..built })
    }

    /// The cheapest widths within the budget; a budget that gives those tried before, which tells
    /// nothing new, is lowered until it gives others, so many times at most.
    fn widths(
        &self,
        candidate: Candidate,
        variance: &mut f64,
        tried: &[u32],
        times: u32,
    ) -> Option<Vec<u32>> {
        for _ in 0..times {
            let sensitivity = &self.calibration.sensitivity;
            let widths =
                widths::allot(&self.lowered, &self.ranges, sensitivity, candidate, *variance)?;
            if widths != tried {
                return Some(widths);
            }
            *variance *= 0.7;
        }
        None
    }
}

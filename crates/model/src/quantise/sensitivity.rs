//! How much rounding at each place moves the logits: one backward walk per input and probe.
//!
//! For a probe g of random signs over n logits, `E |J^T g|^2 / n` is the mean over the logits of
//! `sum_e (d logit / d v_e)^2`: the variance of a logit per unit of variance in every element of v.
//! First order, exact in the correlations between elements.

#![expect(clippy::indexing_slicing, reason = "shapes were checked when the graph was made")]

use gazelle_share::{Conv2d, LinearOp, LocalMap, Pads, TensorShape, Window, plain};
use rayon::prelude::*;

use crate::float::each_channel;
use crate::graph::{Graph, GraphNode, GraphTensor, Op};

/// Sums over inputs and probes, per graph tensor and channel.
pub(super) struct Sensitivity {
    /// The squared gradient at the value which is rounded to give the tensor: a step's input, or the
    /// tensor's rescaled copy, which linear operators and concatenations read.
    sums: Vec<Vec<f64>>,
    /// The squared gradient at the tensor itself.
    whole: Vec<Vec<f64>>,
    /// The squared values.
    values: Vec<Vec<f64>>,
    probes: f64,
    state: u64,
}

impl Sensitivity {
    pub(super) fn new(graph: &Graph) -> Self {
        let sums: Vec<Vec<f64>> =
            graph.tensors.iter().map(|tensor| vec![0.0; tensor.shape.channels]).collect();
        Self {
            whole: sums.clone(),
            values: sums.clone(),
            sums,
            probes: 0.0,
            state: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Variance of a logit (mean over the logits) per unit of variance in each element rounded.
    pub(super) fn gain(&self, tensor: usize) -> f64 {
        self.mean(&self.sums, tensor)
    }

    /// By channel: variance of a logit per unit of variance in each element of the tensor, all elements of
    /// the channel together, times a factor that all tensors have in common.
    pub(super) fn gains(&self, tensor: usize) -> &[f64] {
        &self.whole[tensor]
    }

    /// By channel: the squared values, all elements of the channel together, times such a factor.
    pub(super) fn squares(&self, tensor: usize) -> &[f64] {
        &self.values[tensor]
    }

    fn mean(&self, sums: &[Vec<f64>], tensor: usize) -> f64 {
        sums[tensor].iter().sum::<f64>() / self.probes.max(1.0)
    }

    /// A size below which values of a tensor do not matter to logits of a `scale`: a range less than
    /// this is numerical dirt.
    pub(super) fn negligible(&self, tensor: usize, scale: f64) -> f64 {
        let gain = self.mean(&self.whole, tensor);
        if gain > 0.0 { scale * (-14f64).exp2() / gain.sqrt() } else { 1.0 / 256.0 }
    }

    /// The units of the tensor's channels become `1 / factor` of what they were.
    pub(super) fn rescale(&mut self, tensor: usize, factors: &[f64]) {
        for sums in [&mut self.sums, &mut self.whole] {
            if let Some(sums) = sums.get_mut(tensor) {
                sums.iter_mut().zip(factors).for_each(|(sum, factor)| *sum /= factor * factor);
            }
        }
        if let Some(values) = self.values.get_mut(tensor) {
            values.iter_mut().zip(factors).for_each(|(sum, factor)| *sum *= factor * factor);
        }
    }

    /// Draws a probe for [`Squares::of`].
    pub(super) fn probe(&mut self, graph: &Graph) -> Vec<f32> {
        let outputs = graph.shape(graph.output).len();
        let norm = 1.0 / (outputs as f32).sqrt();
        (0..outputs).map(|_| if self.coin() { norm } else { -norm }).collect()
    }

    /// Adds what one probe showed.
    pub(super) fn add(&mut self, seen: &Squares) {
        let own = [&mut self.sums, &mut self.whole, &mut self.values];
        for (own, seen) in own.into_iter().zip([&seen.sums, &seen.whole, &seen.values]) {
            let channels = own.iter_mut().flatten().zip(seen.iter().flatten());
            channels.for_each(|(own, seen)| *own += seen);
        }
        self.probes += 1.0;
    }

    fn coin(&mut self) -> bool {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.state >> 63 == 1
    }
}

/// What one input shows with one probe, by tensor and channel; see [`Sensitivity`].
pub(super) struct Squares {
    sums: Vec<Vec<f64>>,
    whole: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
}

impl Squares {
    /// Walks backwards from a probe.
    ///
    /// - `trace`: all tensors for the input.
    pub(super) fn of(graph: &Graph, trace: &[Vec<f32>], probe: &[f32]) -> Self {
        let zeros = |tensor: &GraphTensor| vec![0.0; tensor.shape.channels];
        let zeros: Vec<Vec<f64>> = graph.tensors.iter().map(zeros).collect();
        let mut seen = Self { sums: zeros.clone(), whole: zeros.clone(), values: zeros };
        let mut gradients: Vec<Vec<f32>> = vec![Vec::new(); graph.tensors.len()];
        // Through readers of a rescaled copy alone.
        let mut copies = gradients.clone();
        gradients[graph.output] = probe.to_vec();
        for node in graph.nodes.iter().rev() {
            let gradient = std::mem::take(&mut gradients[node.output]);
            let copy = std::mem::take(&mut copies[node.output]);
            if gradient.is_empty() {
                continue;
            }
            add_squares(&mut seen.whole[node.output], &gradient);
            let back = backward(graph, node, trace, &gradient);
            // A step rounds its input; of anything else a copy is rounded.
            let rounded = match node.op {
                Op::Linear { .. } | Op::Local(_) | Op::AveragePool { .. } | Op::Affine { .. } => {
                    &copy
                }
                _ => &back[0],
            };
            add_squares(&mut seen.sums[node.output], rounded);
            let copied = matches!(node.op, Op::Linear { .. } | Op::Local(LocalMap::Concat));
            for (input, back) in node.inputs.iter().zip(back) {
                if copied {
                    accumulate(&mut copies[*input], back.clone());
                }
                accumulate(&mut gradients[*input], back);
            }
        }
        // Nothing writes the input; its encoding rounds it.
        for sums in [&mut seen.sums, &mut seen.whole] {
            add_squares(&mut sums[0], &gradients[0]);
        }
        for (sums, values) in seen.values.iter_mut().zip(trace) {
            add_squares(sums, values);
        }
        seen
    }
}

/// `sum += g^2`, channel by channel.
fn add_squares(sums: &mut [f64], gradient: &[f32]) {
    /// Squares are added up so many at a time.
    const LANES: usize = 8;
    let plane = (gradient.len() / sums.len().max(1)).max(1);
    for (sum, channel) in sums.iter_mut().zip(gradient.chunks(plane)) {
        let mut lanes = [0.0f64; LANES];
        let (whole, rest) = channel.as_chunks::<LANES>();
        plain::widest(|| {
            for g in whole {
                lanes.iter_mut().zip(g).for_each(|(sum, g)| *sum += f64::from(g * g));
            }
        });
        let rest = rest.iter().map(|g| f64::from(g * g));
        *sum += lanes.into_iter().chain(rest).sum::<f64>();
    }
}

fn accumulate(sum: &mut Vec<f32>, gradient: Vec<f32>) {
    if sum.is_empty() {
        *sum = gradient;
    } else {
        sum.iter_mut().zip(&gradient).for_each(|(sum, g)| *sum += g);
    }
}

/// Gradients at a node's inputs.
fn backward(graph: &Graph, node: &GraphNode, trace: &[Vec<f32>], g: &[f32]) -> Vec<Vec<f32>> {
    let id = node.input();
    let (x, shape) = (&trace[id], graph.shape(id));
    match &node.op {
        Op::Linear { op: LinearOp::FullyConnected { inputs, .. }, weights, .. } => {
            let mut back = vec![0.0f32; *inputs];
            for (row, g) in weights.chunks_exact(*inputs).zip(g) {
                back.iter_mut().zip(row).for_each(|(b, w)| *b += w * g);
            }
            vec![back]
        }
        Op::Linear { op: LinearOp::Conv(conv), weights, .. } => vec![transposed(conv, weights, g)],
        Op::Relu => {
            vec![g.iter().zip(x).map(|(g, x)| if *x > 0.0 { *g } else { 0.0 }).collect()]
        }
        Op::Clip { low, high } => {
            let inside = |x: f32| x > *low && x < *high;
            vec![g.iter().zip(x).map(|(g, x)| if inside(*x) { *g } else { 0.0 }).collect()]
        }
        Op::LeakyRelu { slopes } => {
            let mut back = g.to_vec();
            let plane = (shape.height * shape.width).max(1);
            for (i, (back, x)) in back.iter_mut().zip(x).enumerate() {
                let slope = if slopes.len() == 1 { slopes[0] } else { slopes[i / plane] };
                *back *= if *x < 0.0 { slope } else { 1.0 };
            }
            vec![back]
        }
        Op::Square => vec![g.iter().zip(x).map(|(g, x)| 2.0 * x * g).collect()],
        Op::MaxPool { window, relu } => vec![winners(window, *relu, shape, x, g)],
        Op::AveragePool { window, divisor } => {
            let mut back = spread(window, shape, g);
            for b in &mut back {
                *b /= divisor;
            }
            vec![back]
        }
        Op::Local(LocalMap::SumPool(window)) => vec![spread(window, shape, g)],
        Op::Local(LocalMap::Add { .. }) => vec![g.to_vec(); node.inputs.len()],
        Op::Local(LocalMap::Concat) => {
            let mut rest = g;
            let mut back = Vec::with_capacity(node.inputs.len());
            for input in &node.inputs {
                let (head, tail) = rest.split_at(graph.shape(*input).len());
                back.push(head.to_vec());
                rest = tail;
            }
            back
        }
        Op::Local(map) => {
            // Where each output element comes from; 0 is nowhere.
            let indices: Vec<usize> = (1..=shape.len()).collect();
            let from =
                map.apply_with(&[(&indices, shape)], graph.shape(node.output), |sum, x, _| sum + x);
            let mut back = vec![0.0; shape.len()];
            for (from, g) in from.iter().zip(g) {
                if let Some(at) = from.checked_sub(1) {
                    back[at] += g;
                }
            }
            vec![back]
        }
        Op::Affine { scale, .. } => {
            let mut back = g.to_vec();
            each_channel(&mut back, shape, scale, |g, scale| *g *= scale);
            vec![back]
        }
        Op::Multiply => Vec::new(),
    }
}

fn winners(window: &Window, relu: bool, shape: TensorShape, x: &[f32], g: &[f32]) -> Vec<f32> {
    let indexed: Vec<(f32, usize)> = x.iter().copied().zip(0..).collect();
    let best = window.fold(shape, &indexed, |a, b| if b.0 > a.0 { *b } else { a });
    let mut back = vec![0.0; shape.len()];
    for ((value, at), g) in best.into_iter().zip(g) {
        if !relu || value > 0.0 {
            back[at] += g;
        }
    }
    back
}

fn spread(window: &Window, shape: TensorShape, g: &[f32]) -> Vec<f32> {
    let mut back = vec![0.0; shape.len()];
    for (window, g) in window.gather(shape).iter().zip(g) {
        for at in window {
            back[*at] += g;
        }
    }
    back
}

/// Products of a transposed convolution's taps that are held at a time, unless one tap's are more.
const HELD: usize = 1 << 22;

/// The transposed convolution: what each tap of some channels gets, as a matrix product, then their sums.
fn transposed(conv: &Conv2d, weights: &[f32], g: &[f32]) -> Vec<f32> {
    let output = conv.output();
    let plane = output.height * output.width;
    let (in_group, per_group) = (conv.input.channels / conv.groups, conv.maps / conv.groups);
    let taps = conv.kernel[0] * conv.kernel[1];
    let own = conv.input.height * conv.input.width;
    let most = (HELD / plane.max(1)).max(1);
    // Some channels at a time, or some taps of one.
    let (channels, taps_together) = ((most / taps).clamp(1, in_group), taps.min(most));
    let dense = taps == 1 && conv.stride == [1, 1] && conv.pads == Pads::default();
    let mut back = vec![0.0f32; conv.input.channels * own];
    let mut parts = Vec::with_capacity(conv.groups * in_group.div_ceil(channels));
    for (group, back) in back.chunks_exact_mut(in_group * own).enumerate() {
        let firsts = (0..in_group).step_by(channels).zip(back.chunks_mut(channels * own));
        parts.extend(firsts.map(|(first, back)| (group * per_group, first, back)));
    }
    let part = |(map, channel, back): (usize, usize, &mut [f32])| {
        let count = back.len() / own;
        let right = |first: usize, column: usize, panel: &mut [[f32; plain::COLUMNS]]| {
            for (row, to) in panel.iter_mut().enumerate() {
                let from = &g[(map + first + row) * plane..][..plane];
                to.iter_mut().zip(&from[column..]).for_each(|(to, g)| *to = *g);
            }
        };
        // Of these channels, so many taps from one on.
        let left = |(tap, taps_now): (usize, usize), row: usize, first: usize, to: &mut [f32]| {
            let place = (channel + row / taps_now) * taps + tap + row % taps_now;
            let from = &weights[(map + first) * in_group * taps + place..];
            let column = from.iter().step_by(in_group * taps);
            to.iter_mut().zip(column).for_each(|(to, w)| *to = *w);
        };
        if dense {
            let left = |row: usize, first: usize, to: &mut [f32]| left((0, 1), row, first, to);
            plain::product([count, per_group, plane], left, right, back);
            return;
        }
        let (width, height) = padded_size(conv);
        let mut padded = vec![0.0f32; count * width * height];
        let mut products = vec![0.0f32; count * taps_together * plane];
        for tap in (0..taps).step_by(taps_together) {
            let now = taps_together.min(taps - tap);
            let products = &mut products[..count * now * plane];
            let left = |row: usize, first: usize, to: &mut [f32]| left((tap, now), row, first, to);
            plain::product([count * now, per_group, plane], left, right, products);
            let of_channel = products.chunks_exact(now * plane);
            for (products, padded) in of_channel.zip(padded.chunks_exact_mut(width * height)) {
                land(conv, tap, products, padded);
            }
        }
        for (back, padded) in back.chunks_exact_mut(own).zip(padded.chunks_exact(width * height)) {
            let rows = padded.chunks_exact(width).skip(conv.pads.top);
            for (back, row) in back.chunks_exact_mut(conv.input.width).zip(rows) {
                back.copy_from_slice(&row[conv.pads.left..][..back.len()]);
            }
        }
    };
    parts.into_par_iter().for_each(part);
    back
}

/// Columns and rows of a plane with its padding.
fn padded_size(conv: &Conv2d) -> (usize, usize) {
    let Pads { top, left, bottom, right } = conv.pads;
    (conv.input.width + left + right, conv.input.height + top + bottom)
}

/// Adds a channel's products, by tap from `first` on and by output, where the taps read.
fn land(conv: &Conv2d, first: usize, products: &[f32], padded: &mut [f32]) {
    let output = conv.output();
    let (width, _) = padded_size(conv);
    let of_tap = products.chunks_exact(output.height * output.width);
    for (tap, products) in (first..).zip(of_tap) {
        let row = tap / conv.kernel[1] * conv.dilation[0];
        let column = tap % conv.kernel[1] * conv.dilation[1];
        for (y, from) in products.chunks_exact(output.width).enumerate() {
            let to = &mut padded[(y * conv.stride[0] + row) * width + column..];
            if conv.stride[1] == 1 {
                // The same sums, which the compiler makes several of at once.
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            } else {
                let to = to.iter_mut().step_by(conv.stride[1]);
                to.zip(from).for_each(|(to, from)| *to += from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_the_transposed_convolution_is_the_adjoint() {
        let conv = Conv2d {
            input: TensorShape::new(4, 7, 6),
            maps: 6,
            kernel: [3, 2],
            stride: [2, 1],
            pads: Pads { top: 1, left: 0, bottom: 2, right: 1 },
            dilation: [1, 2],
            groups: 2,
        };
        // One whose rows follow one another in both planes.
        let high = Pads { top: 1, left: 0, bottom: 2, right: 0 };
        let dense = Conv2d { kernel: [3, 1], stride: [1, 1], pads: high, ..conv.clone() };
        // One whose taps' products are held in parts.
        let wide = Conv2d {
            input: TensorShape::new(2, 300, 290),
            maps: 2,
            kernel: [9, 9],
            stride: [1, 1],
            pads: Pads::all(1),
            dilation: [1, 1],
            groups: 1,
        };
        assert!(wide.output().height * wide.output().width * 81 > HELD);
        for conv in [conv, dense, wide] {
            let op = LinearOp::Conv(conv.clone());
            op.check().unwrap();
            let wave = |len: usize, f: f32| -> Vec<f32> {
                (0..len).map(|i| (i as f32 * f).sin()).collect()
            };
            let (w, x) = (wave(op.weight_len(), 0.7), wave(op.input_len(), 1.3));
            let g = wave(op.output_shape().len(), 2.1);
            let dot = |a: &[f32], b: &[f32]| {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
            };
            let forward = dot(&plain::linear(&op, &w, &x), &g);
            let backward = dot(&x, &transposed(&conv, &w, &g));
            assert!(
                (forward - backward).abs() < 1e-3 * forward.abs().max(1.0),
                "{forward} {backward}"
            );
        }
    }
}

//! Laws that hold for every network, on random ones.

use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{Graph, InputRange, Op, Options, RoundingMode, float, passes, quantise};
use gazelle_share::{
    Conv2d, LinearOp, LocalMap, NodeKind, Pads, StepFunction, TensorShape, Window,
};
use proptest::prelude::*;

/// Values without pattern.
struct Values(u64);

impl Values {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        self.0 >> 33
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    /// In [-1, 1).
    fn float(&mut self) -> f32 {
        (self.next() % 4096) as f32 / 2048.0 - 1.0
    }

    fn list(&mut self, count: usize, size: f32) -> Vec<f32> {
        (0..count).map(|_| size * self.float()).collect()
    }
}

/// Appends the operation of a number where it fits; gives the tensor that is read next.
fn append(graph: &mut Graph, x: usize, op: u8, values: &mut Values) -> usize {
    let shape = graph.shape(x);
    let TensorShape { channels, height, width } = shape;
    let name = format!("n{}", graph.nodes.len());
    let push = |graph: &mut Graph, op: Op, inputs: Vec<usize>, shape: TensorShape| {
        graph.push(&name, op, inputs, shape)
    };
    let side = |n: usize, values: &mut Values| 1 + values.below(n.min(3));
    match op {
        0..=3 => {
            let groups = if op == 3 { channels } else { 1 };
            let maps = if op == 3 { channels } else { 1 + values.below(4) };
            let kernel = [side(height, values), side(width, values)];
            let stride = [1 + values.below(2), 1 + values.below(2)];
            let pads = Pads { top: values.below(2), ..Pads::default() };
            let dilation = [1, 1];
            let conv = Conv2d { input: shape, maps, kernel, stride, pads, dilation, groups };
            let output = conv.output();
            let op = LinearOp::Conv(conv);
            let size = (3.0 / (op.weight_len() as f32 / maps as f32)).sqrt();
            let weights = values.list(op.weight_len(), size);
            let bias = values.list(maps, 0.5);
            push(graph, Op::Linear { op, weights, bias }, vec![x], output)
        }
        4..=6 => push(graph, Op::Relu, vec![x], shape),
        7 => push(graph, Op::Clip { low: -0.5, high: 1.25 }, vec![x], shape),
        8 => push(graph, Op::LeakyRelu { slopes: values.list(channels, 1.0) }, vec![x], shape),
        9 | 10 => {
            let kernel = [side(height, values), side(width, values)];
            let window = Window { kernel, stride: kernel, pads: Pads::default() };
            let output = window.output(shape);
            let op = if op == 9 {
                Op::MaxPool { window, relu: false }
            } else {
                Op::AveragePool { window, divisor: (kernel[0] * kernel[1]) as f32 }
            };
            push(graph, op, vec![x], output)
        }
        11 => {
            let (scale, shift) = (values.list(channels, 1.5), values.list(channels, 0.5));
            push(graph, Op::Affine { scale, shift }, vec![x], shape)
        }
        12 => {
            let squares = graph.nodes.iter().filter(|node| node.op == Op::Square).count();
            if squares == 0 { push(graph, Op::Square, vec![x], shape) } else { x }
        }
        _ => {
            let all: Vec<usize> =
                (0..graph.tensors.len()).filter(|id| graph.shape(*id) == shape).collect();
            let other = all[values.below(all.len())];
            if op == 13 {
                let add = Op::Local(LocalMap::Add { shifts: vec![0, 0] });
                push(graph, add, vec![x, other], shape)
            } else {
                let output = TensorShape::new(2 * channels, height, width);
                push(graph, Op::Local(LocalMap::Concat), vec![x, other], output)
            }
        }
    }
}

fn graphs() -> impl Strategy<Value = (Graph, u64)> {
    let shape = (1usize..4, 1usize..6, 1usize..6);
    (shape, prop::collection::vec(0u8..15, 1..7), any::<u64>()).prop_map(|(shape, ops, seed)| {
        let (channels, height, width) = shape;
        let input = TensorShape::new(channels, height, width);
        let mut graph = Graph::new("x", input, vec![1, channels, height, width]);
        let mut values = Values(seed);
        let mut x = 0;
        for op in ops {
            x = append(&mut graph, x, op, &mut values);
        }
        graph.output = x;
        (graph, seed)
    })
}

fn inputs(graph: &Graph, seed: u64, count: usize) -> Vec<Vec<f32>> {
    let mut values = Values(!seed);
    (0..count).map(|_| values.list(graph.input_shape().len(), 1.0)).collect()
}

fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |m, x| f64::from(x.abs()).max(m))
}

fn options(inputs: &[Vec<f32>], rounding: RoundingMode, guaranteed: bool) -> Options {
    Options {
        calibration: inputs.to_vec(),
        input_range: InputRange::uniform(-1.0, 1.0),
        resolution: Some(10),
        rounding,
        guaranteed,
        ..Options::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn properties_passes_keep_the_function((graph, seed) in graphs()) {
        let lowered = passes::lower(&graph).unwrap();
        for input in inputs(&graph, seed, 3) {
            let trace = float::trace(&graph, &input).unwrap();
            let scale = trace.iter().map(|values| largest(values)).fold(1.0, f64::max);
            let lowered = float::run(&lowered, &input).unwrap();
            prop_assert_eq!(trace[graph.output].len(), lowered.len());
            for (a, b) in trace[graph.output].iter().zip(&lowered) {
                prop_assert!(f64::from((a - b).abs()) <= 1e-4 * scale, "{} {}", a, b);
            }
        }
    }

    #[test]
    fn properties_fixed_point_stays_within_the_tolerance_at_calibration_inputs(
        (graph, seed) in graphs(), local in any::<bool>()
    ) {
        let rounding = if local { RoundingMode::Local } else { RoundingMode::Exact };
        let inputs = inputs(&graph, seed, 8);
        // A refusal is an answer.
        let Ok(quantised) = quantise(&graph, &options(&inputs, rounding, false)) else {
            return Ok(());
        };
        let architecture = quantised.network.architecture();
        // A value that a comparison loses in front of the reveal is lost for good.
        let told = architecture.last().input();
        for node in architecture.nodes().iter().filter(|node| node.output == told) {
            if let NodeKind::Step(step) = &node.kind {
let coarse = matches!(step.function, StepFunction::CoarseRelu { .. });
                prop_assert!(!coarse);
            }
        }
        for (index, input) in inputs.iter().enumerate() {
            let words = fixed::encode(architecture, input).unwrap();
            let coins = Rounding::Random(index as u64);
            let trace = fixed::trace(&quantised.network, &words, coins).unwrap();
            prop_assert_eq!(trace.overflows, 0);
            let got = fixed::decode(architecture, &trace.tensors[architecture.output()]);
            for (got, expected) in got.iter().zip(float::run(&graph, input).unwrap()) {
                let apart = (got - f64::from(expected)).abs();
                prop_assert!(apart <= quantised.report.tolerance, "{}: {}", apart, expected);
            }
        }
    }

    #[test]
    fn properties_a_proven_network_overflows_for_no_input(
        (graph, seed) in graphs(), local in any::<bool>(), guaranteed in any::<bool>()
    ) {
        let rounding = if local { RoundingMode::Local } else { RoundingMode::Exact };
        let calibration = inputs(&graph, seed, 8);
        let Ok(quantised) = quantise(&graph, &options(&calibration, rounding, guaranteed)) else {
            return Ok(());
        };
        prop_assert!(!guaranteed || quantised.report.proven());
        if !quantised.report.proven() {
            return Ok(());
        }
        let mut values = Values(seed ^ 0x5555);
        for run in 0..40u64 {
            // The ends of the range, in part.
            let input: Vec<f32> = (0..graph.input_shape().len())
                .map(|_| if run % 2 == 0 { values.float().signum() } else { values.float() })
                .collect();
            let words = fixed::encode(quantised.network.architecture(), &input).unwrap();
            let trace = fixed::trace(&quantised.network, &words, Rounding::Random(run)).unwrap();
            prop_assert_eq!(trace.overflows, 0);
        }
    }
}

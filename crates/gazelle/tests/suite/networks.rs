//! Small networks and what they compute.

use gazelle_share::shares::to_signed;
use gazelle_share::testing::test_rng;
use gazelle_share::{
    Architecture, LinearOp, LinearWeights, LocalMap, Network, NetworkBuilder, NodeKind, Pads,
    Rounding, Step, StepFunction, TensorId, TensorShape, Window, plain,
};
use rand_core::Rng;

/// Bits of all values.
const VALUES: u32 = 20;

/// Writes a network with random weights. Weights are multiples of `2^truncate`, and every step drops
/// as many bits: exact protocols give exact results.
pub(crate) struct Builder {
    truncate: u32,
    network: NetworkBuilder,
    rng: gazelle_prg::Prg,
}

impl std::ops::Deref for Builder {
    type Target = NetworkBuilder;

    fn deref(&self) -> &NetworkBuilder {
        &self.network
    }
}

impl std::ops::DerefMut for Builder {
    fn deref_mut(&mut self) -> &mut NetworkBuilder {
        &mut self.network
    }
}

impl Builder {
    pub(crate) fn new(input: TensorShape, truncate: u32) -> Self {
        let network = NetworkBuilder::new(input, VALUES + truncate + 2, truncate, VALUES);
        Self { truncate, network, rng: test_rng(7) }
    }

    /// A linear node with weights in -2..=1 and biases in -4..=3.
    pub(crate) fn linear(&mut self, name: &str, op: LinearOp, input: TensorId) -> TensorId {
        let weights: Vec<i32> = (0..op.weight_len())
            .map(|_| ((self.rng.next_u32() & 3) as i32 - 2) << self.truncate)
            .collect();
        let bias = (0..op.output_shape().channels)
            .map(|_| (i64::from(self.rng.next_u32() & 7) - 4) << self.truncate)
            .collect();
        self.network.linear(name, op, input, LinearWeights { weights, bias })
    }

    pub(crate) fn conv(
        &mut self,
        name: &str,
        input: TensorId,
        maps: usize,
        kernel: usize,
        stride: usize,
        pads: Pads,
    ) -> TensorId {
        let op = self.network.conv(input, maps, kernel, stride, pads);
        self.linear(name, op, input)
    }

    pub(crate) fn fully_connected(
        &mut self,
        name: &str,
        input: TensorId,
        outputs: usize,
    ) -> TensorId {
        let op = self.network.fully_connected(input, outputs);
        self.linear(name, op, input)
    }

    /// Constants of the server's in `unit * (-4..=3)`, one per channel.
    pub(crate) fn add_bias(&mut self, name: &str, input: TensorId, unit: i64) -> TensorId {
        let channels = self.shape(input).channels;
        let bias = (0..channels).map(|_| (i64::from(self.rng.next_u32() & 7) - 4) * unit).collect();
        self.network.add_bias(name, input, bias)
    }

    /// Reveals `input` and ends the network.
    pub(crate) fn reveal(self, input: TensorId) -> Network {
        self.network.build(input).unwrap()
    }
}

/// Every kind of edge: one tensor with three readers (two share a group), concatenation, permutation
/// and a bias before a linear layer, residual sums, one with a bias, slices, sums over windows, zero
/// padding.
pub(crate) fn everything(truncate: u32) -> Network {
    let mut b = Builder::new(TensorShape::new(2, 6, 6), truncate);
    let same = Pads::all(1);
    let conv_a = b.conv("conv_a", TensorId::INPUT, 3, 3, 1, same);
    let conv_b = b.conv("conv_b", TensorId::INPUT, 2, 3, 1, same);
    let conv_c = b.conv("conv_c", TensorId::INPUT, 3, 1, 1, Pads::default());
    let relu_a = b.step("relu_a", StepFunction::Relu, conv_a, None);
    let relu_b = b.step("relu_b", StepFunction::Relu, conv_b, None);
    let both = b.local("concat", LocalMap::Concat, &[relu_a, relu_b], TensorShape::new(5, 6, 6));
    let turned = LocalMap::Permute { axes: [0, 2, 1] };
    let turned = b.local("permute", turned, &[both], TensorShape::new(5, 6, 6));
    let turned = b.add_bias("bias of a masked tensor", turned, 1);
    let conv_d = b.conv("conv_d", turned, 3, 1, 1, Pads::default());
    let add = LocalMap::Add { shifts: vec![0, 1] };
    let sum = b.local("add", add, &[conv_d, conv_c], TensorShape::new(3, 6, 6));
    let sum = b.add_bias("bias of shares", sum, 1 << truncate);
    let relu_c = b.step("relu_c", StepFunction::Relu, sum, None);
    let slice = LocalMap::Slice { start: [0, 1, 0], step: [1, 2, 2] };
    let slice = b.local("slice", slice, &[relu_c], TensorShape::new(3, 3, 3));
    let conv_e = b.conv("conv_e", slice, 2, 3, 1, same);
    let window = Window { kernel: [2; 2], stride: [2; 2], pads: Pads::default() };
    let pooled =
        b.local("sum_pool", LocalMap::SumPool(window), &[relu_c], TensorShape::new(3, 3, 3));
    let pad = LocalMap::Pad { before: [0, 1, 0] };
    let padded = b.local("pad", pad, &[pooled], TensorShape::new(3, 4, 4));
    let conv_f = b.conv("conv_f", padded, 2, 2, 1, Pads::default());
    let add = LocalMap::Add { shifts: vec![0, 0] };
    let sum = b.local("residual", add, &[conv_e, conv_f], TensorShape::new(2, 3, 3));
    let pool = StepFunction::MaxPool { window: window_of(2, 1), relu: true };
    let top = b.step("max_pool", pool, sum, None);
    let flat = b.local("flatten", LocalMap::Reshape, &[top], TensorShape::vector(8));
    let logits = b.fully_connected("fc", flat, 4);
    b.reveal(logits)
}

fn window_of(kernel: usize, stride: usize) -> Window {
    Window { kernel: [kernel; 2], stride: [stride; 2], pads: Pads::default() }
}

/// A network with one hidden layer.
pub(crate) fn tiny(truncate: u32) -> Network {
    let mut b = Builder::new(TensorShape::new(1, 4, 4), truncate);
    let conv = b.conv("conv", TensorId::INPUT, 2, 3, 1, Pads::all(1));
    let relu = b.step("relu", StepFunction::Relu, conv, None);
    let logits = b.fully_connected("fc", relu, 3);
    b.reveal(logits)
}

/// The same network with three guard bits, which take up the errors of three linear outputs, and steps that round
/// exactly: it gives what [`evaluate`] says, bit for bit.
pub(crate) fn exactly(network: &Network) -> Network {
    const GUARD: u32 = 3;
    let guarded = |id: TensorId| {
        let revealed = id == network.architecture().output();
        !revealed && !network.architecture().is_masked(id)
    };
    let mut parts = network.architecture().clone().into_parts();
    for (index, tensor) in parts.tensors.iter_mut().enumerate() {
        if guarded(TensorId::new(index)) {
            tensor.guard_bits = GUARD;
            tensor.ring_bits += GUARD;
        }
    }
    let mut weights: Vec<LinearWeights> = network.layers().map(|(_, w)| w.clone()).collect();
    for (node, weights) in parts.nodes.iter_mut().zip(&mut weights) {
        match &mut node.kind {
            NodeKind::Step(step) => {
                step.input_bits += GUARD;
                step.rounding = Rounding::Exact { guard_bits: GUARD };
            }
            NodeKind::Local(LocalMap::AddBias) if guarded(node.output) => {
                weights.bias.iter_mut().for_each(|bias| *bias <<= GUARD);
            }
            NodeKind::Local(_) | NodeKind::Linear(_) => {}
        }
    }
    Network::new(Architecture::new(parts).unwrap(), weights).unwrap()
}

/// Inputs in -4..=3.
pub(crate) fn inputs(network: &Network, count: usize) -> Vec<Vec<i64>> {
    let mut rng = test_rng(11);
    let len = network.architecture().input().shape.len();
    (0..count).map(|_| (0..len).map(|_| i64::from(rng.next_u32() & 7) - 4).collect()).collect()
}

/// What the network computes, in the clear.
pub(crate) fn evaluate(network: &Network, input: &[i64]) -> Vec<i64> {
    walk(network, input, |_, step, x| {
        let rounded: Vec<i64> = x.iter().map(|x| x >> step.truncate_bits).collect();
        for value in &rounded {
            let word = *value as u64 & ((1 << VALUES) - 1);
            assert_eq!(*value, to_signed(word, VALUES), "out of range");
        }
        step.apply(&rounded)
    })
}

/// The network with its steps computed by `compute`, from what that made so far.
pub(crate) fn walk(
    network: &Network,
    input: &[i64],
    mut compute: impl FnMut(&str, &Step, &[i64]) -> Vec<i64>,
) -> Vec<i64> {
    let architecture = network.architecture();
    let mut values = architecture.per_tensor(Vec::new());
    values[TensorId::INPUT] = input.to_vec();
    for (node, weights) in network.layers() {
        let words = |id: TensorId| -> Vec<u64> { values[id].iter().map(|v| *v as u64).collect() };
        let output = architecture.tensor(node.output);
        let result: Vec<i64> = match &node.kind {
            NodeKind::Linear(op) => {
                let product = plain::apply(op, weights, &words(node.input()), 64);
                let pixels = output.shape.height * output.shape.width;
                let sums = product.iter().enumerate();
                sums.map(|(i, y)| *y as i64 + weights.bias[i / pixels]).collect()
            }
            NodeKind::Step(step) => compute(&node.name, step, &values[node.input()]),
            NodeKind::Local(map) => {
                let inputs: Vec<Vec<u64>> = node.inputs.iter().map(|id| words(*id)).collect();
                let with_shapes: Vec<_> = inputs
                    .iter()
                    .zip(&node.inputs)
                    .map(|(words, id)| (words.as_slice(), architecture.tensor(*id).shape))
                    .collect();
                let mut words = map.apply(&with_shapes, output.shape, 64);
                gazelle_share::local::add_bias(output.shape, &weights.bias, &mut words, 64);
                words.iter().map(|w| *w as i64).collect()
            }
        };
        values[node.output] = result;
    }
    values[architecture.output()].clone()
}

//! What validation lets pass and what it refuses.

use super::*;
use crate::op::Conv2d;
use crate::rounding::Rounding;
use crate::shape::{Pads, Window};
use crate::step::StepFunction;
use proptest::prelude::*;

fn tensor(name: &str, shape: TensorShape, ring_bits: u32, value_bits: u32) -> Tensor {
    Tensor { name: name.into(), shape, scale: 4, ring_bits, value_bits, guard_bits: 0 }
}

fn step(function: StepFunction, input: TensorShape, bits: [u32; 3], output: StepOutput) -> Step {
    let [input_bits, truncate_bits, value_bits] = bits;
    Step {
        function,
        input,
        input_bits,
        truncate_bits,
        rounding: Rounding::Local,
        value_bits,
        sum_pool: None,
        output,
    }
}

/// x -> conv -> (+ x shifted) -> ReLU -> max-pool -> fully connected -> logits.
fn sample() -> ArchitectureParts {
    let image = TensorShape::new(2, 4, 4);
    let pooled = TensorShape::new(2, 2, 2);
    let conv = Conv2d {
        input: image,
        maps: 2,
        kernel: [3, 3],
        stride: [1, 1],
        pads: Pads::all(1),
        dilation: [1, 1],
        groups: 1,
    };
    let window = Window { kernel: [2, 2], stride: [2, 2], pads: Pads::default() };
    let pool = StepFunction::MaxPool { window, relu: false };
    let logits = TensorShape::vector(3);
    let masked = StepOutput::Masked { bits: 22 };
    let node = |name: &str, kind, inputs: &[usize], output| Node {
        name: name.into(),
        kind,
        inputs: ids(inputs),
        output: TensorId(output),
    };
    let linear = |op| NodeKind::Linear(op);
    let fc = LinearOp::FullyConnected { inputs: 8, outputs: 3 };
    ArchitectureParts {
        tensors: vec![
            tensor("x", image, 22, 13),
            tensor("conv", image, 22, 22),
            tensor("sum", image, 22, 22),
            tensor("relu", image, 22, 12),
            tensor("pool", pooled, 22, 12),
            tensor("fc", logits, 22, 22),
            tensor("logits", logits, 10, 10),
        ],
        nodes: vec![
            node("conv", linear(LinearOp::Conv(conv)), &[0], 1),
            node("sum", NodeKind::Local(LocalMap::Add { shifts: vec![0, 10] }), &[1, 0], 2),
            node(
                "relu",
                NodeKind::Step(step(StepFunction::Relu, image, [22, 10, 12], masked)),
                &[2],
                3,
            ),
            node("pool", NodeKind::Step(step(pool, image, [22, 0, 12], masked)), &[3], 4),
            node("fc", linear(fc), &[4], 5),
            node(
                "reveal",
                NodeKind::Step(step(StepFunction::Round, logits, [22, 12, 10], StepOutput::Reveal)),
                &[5],
                6,
            ),
        ],
        output: TensorId(6),
        input_shifts: Vec::new(),
    }
}

#[test]
fn known_answer_a_sound_architecture_passes() {
    Architecture::new(sample()).unwrap();
}

fn ids(ids: &[usize]) -> Vec<TensorId> {
    ids.iter().copied().map(TensorId).collect()
}

type Change = fn(&mut ArchitectureParts);

#[test]
fn properties_anonymous_names_tell_kinds_and_numbers_and_change_nothing_else() {
    let named = Architecture::new(sample()).unwrap();
    let anonymous = named.clone().with_anonymous_names();
    assert_eq!(anonymous, anonymous.clone().with_anonymous_names());
    let kinds = ["linear", "step", "local"];
    for node in anonymous.nodes() {
        let (kind, number) = node.name.split_once(' ').unwrap();
        assert!(kinds.contains(&kind) && number.parse::<usize>().is_ok(), "{}", node.name);
    }
    let (mut one, mut other) = (named.into_parts(), anonymous.into_parts());
    Architecture::new(other.clone()).unwrap();
    for parts in [&mut one, &mut other] {
        parts.nodes.iter_mut().for_each(|node| node.name.clear());
        parts.tensors.iter_mut().for_each(|tensor| tensor.name.clear());
    }
    assert_eq!(one, other);
}

#[test]
fn adversarial_every_broken_rule_is_refused() {
    let broken: [(&str, Change); 21] = [
        ("no tensors", |a| a.tensors.clear()),
        ("no nodes", |a| a.nodes.clear()),
        ("empty axis", |a| a.tensors[0].shape.width = 0),
        ("huge shape", |a| a.tensors[0].shape.width = usize::MAX),
        ("ring of no bits", |a| a.tensors[1].ring_bits = 0),
        ("ring too wide", |a| a.tensors[1].ring_bits = 63),
        ("no value bits", |a| a.tensors[0].value_bits = 0),
        ("scale", |a| a.tensors[0].scale = 1000),
        ("input beyond the end", |a| a.nodes[0].inputs = ids(&[99])),
        ("output beyond the end", |a| a.nodes[0].output = TensorId(99)),
        ("reads itself", |a| a.nodes[0].inputs = ids(&[1])),
        ("reads the future", |a| a.nodes[1].inputs = ids(&[1, 4])),
        ("written twice", |a| a.nodes[2].output = TensorId(2)),
        ("two inputs for one", |a| a.nodes[0].inputs = ids(&[0, 0])),
        ("linear reads open shares", |a| a.nodes[4].inputs = ids(&[1])),
        ("shift too small for the ring", |a| {
            a.nodes[1].kind = NodeKind::Local(LocalMap::Add { shifts: vec![0, 1] });
            a.tensors[0].ring_bits = 20;
        }),
        ("two reveals", |a| {
            if let NodeKind::Step(step) = &mut a.nodes[2].kind {
                step.output = StepOutput::Reveal;
            }
        }),
        ("nothing revealed", |a| a.nodes.truncate(5)),
        ("another output", |a| a.output = TensorId(3)),
        ("shifts for other channels", |a| a.input_shifts = vec![0; 1000]),
        ("a name without end", |a| a.nodes[0].name = "x".repeat(1 << 20)),
    ];
    for (what, change) in broken {
        let mut architecture = sample();
        change(&mut architecture);
        let refused = Architecture::new(architecture);
        assert!(matches!(refused, Err(ProtocolError::Plan(_))), "{what}: {refused:?}");
    }
}

#[test]
fn adversarial_missing_weights_are_refused() {
    let of = |len: usize, bias: usize| LinearWeights { weights: vec![1; len], bias: vec![0; bias] };
    let none = || of(0, 0);
    let good = vec![of(36, 2), none(), none(), none(), of(24, 3), none()];
    let network = |weights| Network::new(Architecture::new(sample()).unwrap(), weights);
    network(good.clone()).unwrap();
    for (at, wrong) in [(0, none()), (0, of(35, 2)), (0, of(36, 5)), (1, of(1, 1)), (4, none())] {
        let mut changed = good.clone();
        changed[at] = wrong;
        assert!(network(changed).is_err(), "{at}");
    }
    assert!(network(vec![]).is_err());
}

/// Any number anywhere.
fn number() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..8, 8usize..70, Just(1 << 16), Just(1 << 33), Just(usize::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What passes can be run on real memory, and nothing panics.
    #[test]
    fn adversarial_any_numbers_are_refused_or_run(
        field in 0usize..30, n in number(), at in 0usize..7,
    ) {
        let mut a = sample();
        let (id, bits) = (at % a.nodes.len(), n as u32);
        let tensor = &mut a.tensors[at];
        match field {
            0 => tensor.shape.channels = n,
            1 => tensor.shape.height = n,
            2 => tensor.shape.width = n,
            3 => tensor.ring_bits = bits,
            4 => tensor.value_bits = bits,
            5 => a.nodes[id].output = TensorId(n),
            6 => a.nodes[id].inputs = vec![TensorId(n)],
            7 => a.nodes[id].inputs.push(TensorId(n)),
            8 => a.output = TensorId(n),
            _ => match &mut a.nodes[id].kind {
                NodeKind::Linear(LinearOp::FullyConnected { inputs, outputs }) => {
                    *(if field % 2 == 0 { inputs } else { outputs }) = n;
                }
                NodeKind::Linear(LinearOp::Conv(c)) => {
                    let slot = match field % 12 {
                        0 => &mut c.input.channels,
                        1 => &mut c.input.height,
                        2 => &mut c.input.width,
                        3 => &mut c.maps,
                        4 => &mut c.kernel[0],
                        5 => &mut c.kernel[1],
                        6 => &mut c.stride[0],
                        7 => &mut c.pads.top,
                        8 => &mut c.pads.left,
                        9 => &mut c.pads.bottom,
                        10 => &mut c.dilation[0],
                        _ => &mut c.groups,
                    };
                    *slot = n;
                }
                NodeKind::Step(step) => match field % 6 {
                    0 => step.input_bits = bits,
                    1 => step.truncate_bits = bits,
                    2 => step.value_bits = bits,
                    3 => step.function = StepFunction::Square { drop_bits: bits },
                    4 => step.function = StepFunction::Clip { high: n as i64 },
                    _ => step.sum_pool = Some(Window {
                        kernel: [n, 1], stride: [1, n], pads: Pads::default(),
                    }),
                },
                NodeKind::Local(map) => *map = match field % 5 {
                    4 => LocalMap::AddBias,
                    0 => LocalMap::Add { shifts: vec![bits, 0] },
                    1 => LocalMap::Slice { start: [n, 0, 0], step: [1, n, 1] },
                    2 => LocalMap::Pad { before: [0, n, 0] },
                    _ => LocalMap::Permute { axes: [n, 1, 0] },
                },
            },
        }
        let Ok(a) = Architecture::new(a) else { return Ok(()) };
        let mut values = a.per_tensor(Vec::new());
        values[TensorId::INPUT] = vec![1; a.input().shape.len()];
        for node in a.nodes() {
            let output = a.tensor(node.output);
            let first: &Vec<u64> = &values[node.input()];
            let written = match &node.kind {
                NodeKind::Linear(op) => {
                    let weights =
                        LinearWeights { weights: vec![1; op.weight_len()], bias: vec![] };
                    crate::plain::apply(op, &weights, first, output.ring_bits)
                }
                NodeKind::Step(step) => {
                    let share = crate::Shares::new(step.input_bits, first.clone());
                    let bits = step.truncated_bits().min(step.input_bits);
                    let client = step.prepare_client(share.clone(), bits);
                    let server = step.prepare_server(share, bits);
                    prop_assert_eq!(client.len(), server.len());
                    let signed: Vec<i64> = client.words().iter().map(|w| *w as i64).collect();
                    step.apply(&signed).into_iter().map(|value| value as u64).collect()
                }
                NodeKind::Local(map) => {
                    let inputs: Vec<(&[u64], TensorShape)> = node
                        .inputs
                        .iter()
                        .map(|id| (values[*id].as_slice(), a.tensor(*id).shape))
                        .collect();
                    map.apply(&inputs, output.shape, output.ring_bits)
                }
            };
            prop_assert_eq!(written.len(), output.shape.len());
            values[node.output] = written;
        }
    }
}

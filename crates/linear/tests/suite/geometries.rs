//! All small geometries of convolutions, in all packings, against the definition.
//!
//! The packing is plain arithmetic of polynomials, so that every geometry along one axis, and a
//! large sample of pairs of axes, can be multiplied out in the clear; a sample of those runs through
//! the protocol, with real masks, keys and noise.

use gazelle_linear::testing::multiply_out;
use gazelle_linear::{LinearError, PackingPlan, PackingScheme, PublicCoin, Tiles};
use gazelle_prg::Prg;
use gazelle_share::shares::{ring_mask, to_signed};
use gazelle_share::testing::test_rng;
use gazelle_share::{Conv2d, LinearOp, LinearWeights, Pads, TensorShape, plain};
use gazelle_wire::testing::run_two;
use rand_core::Rng;

use crate::networks::group;
use crate::session::Setting;

/// One axis of a convolution.
#[derive(Debug, Clone, Copy)]
struct Line {
    size: usize,
    kernel: usize,
    before: usize,
    behind: usize,
    stride: usize,
    dilation: usize,
}

impl Line {
    /// An axis of one pixel and one tap.
    const POINT: Self = Self { size: 1, kernel: 1, before: 0, behind: 0, stride: 1, dilation: 1 };

    fn fits(&self) -> bool {
        self.size + self.before + self.behind > self.dilation * (self.kernel - 1)
    }
}

/// Kernel 1 to 7, size 1 to 6, padding 0 to the kernel on either side, stride and dilation 1 to 3.
fn all_lines() -> Vec<Line> {
    let mut lines = Vec::new();
    for size in 1..=6 {
        for kernel in 1..=7 {
            for before in 0..=kernel {
                for behind in 0..=kernel {
                    for stride in 1..=3 {
                        for dilation in 1..=3 {
                            let line = Line { size, kernel, before, behind, stride, dilation };
                            lines.extend(line.fits().then_some(line));
                        }
                    }
                }
            }
        }
    }
    lines
}

/// `per_group`: channels and maps of a group.
fn conv(rows: Line, columns: Line, groups: usize, per_group: [usize; 2]) -> LinearOp {
    LinearOp::Conv(Conv2d {
        input: TensorShape::new(groups * per_group[0], rows.size, columns.size),
        maps: groups * per_group[1],
        kernel: [rows.kernel, columns.kernel],
        stride: [rows.stride, columns.stride],
        pads: Pads {
            top: rows.before,
            bottom: rows.behind,
            left: columns.before,
            right: columns.behind,
        },
        dilation: [rows.dilation, columns.dilation],
        groups,
    })
}

fn random_weights(op: &LinearOp, rng: &mut Prg) -> LinearWeights {
    let weights = (0..op.weight_len()).map(|_| (rng.next_u32() % 2047) as i32 - 1023).collect();
    LinearWeights { weights, bias: vec![] }
}

/// The phases that a layer of this stride may be packed in: its own, none, twice its own.
fn phases(stride: usize) -> Vec<usize> {
    let mut phases = vec![stride, 1, 2 * stride];
    phases.dedup();
    phases
}

/// Whole, halves and single outputs.
fn tiles(outputs: usize) -> Vec<usize> {
    let mut tiles = vec![outputs, outputs.div_ceil(2), 1];
    tiles.dedup();
    tiles
}

/// Whether the packing exists; its arithmetic is checked then.
fn check(
    ops: &[LinearOp],
    degree: usize,
    (phase, tile): ([usize; 2], [usize; 2]),
    (channels, maps): (u32, u32),
    rng: &mut Prg,
) -> bool {
    let borrowed: Vec<&LinearOp> = ops.iter().collect();
    let plan = PackingPlan {
        ops: (0..ops.len() as u32).collect(),
        phase: phase.map(|p| p as u32),
        tile: tile.map(|t| t as u32),
        channels,
        maps: vec![maps; ops.len()],
    };
    let packing = Tiles.packing(&borrowed, degree, &plan);
    // Tiles beyond the outputs of this phase or off its steps; more channels or maps than there
    // are, or than fit.
    if let Err(LinearError::Packing { .. }) = packing {
        return false;
    }
    multiply_out(&*packing.unwrap(), ops, rng);
    true
}

#[test]
fn every_small_geometry_along_one_axis_is_exact_in_every_packing() {
    let mut rng = test_rng(31);
    let (mut geometries, mut packings) = (0, 0);
    for line in all_lines() {
        for upright in [false, true] {
            geometries += 1;
            // One group, several, depthwise; in turn.
            let (groups, per_group) = [(1, [2, 3]), (2, [2, 1]), (3, [1, 1])][geometries % 3];
            let (rows, columns) = if upright { (line, Line::POINT) } else { (Line::POINT, line) };
            let ops = [conv(rows, columns, groups, per_group)];
            let output = ops[0].output_shape();
            let mut found = 0;
            for along in phases(line.stride) {
                for long in tiles(output.height * output.width) {
                    let [phase, tile] =
                        [along, long].map(|n| if upright { [n, 1] } else { [1, n] });
                    for (channels, maps) in [(1, 1), (2, 2 + (geometries % 2) as u32)] {
                        let choice = ((phase, tile), (channels, maps));
                        found += usize::from(check(&ops, 256, choice.0, choice.1, &mut rng));
                    }
                }
            }
            assert!(found > 0, "no packing of {ops:?}");
            packings += found;
        }
    }
    println!("{geometries} geometries in {packings} packings");
    assert!(geometries > 10_000 && packings > 7 * geometries);
}

#[test]
fn two_axes_and_two_operators_are_exact_in_every_packing() {
    let mut rng = test_rng(32);
    let lines = all_lines();
    let mut packings = 0;
    for round in 0..4000 {
        let mut pick = || lines[rng.next_u64() as usize % lines.len()];
        let (rows, columns) = (pick(), pick());
        // A second operator over the same pixels.
        let (more_rows, more_columns) = (pick(), pick());
        let other = |line: Line, size| Line { size, ..line };
        let (more_rows, more_columns) =
            (other(more_rows, rows.size), other(more_columns, columns.size));
        let (groups, per_group) = [(1, [2, 2]), (2, [1, 2]), (2, [1, 1])][round % 3];
        let mut ops = vec![conv(rows, columns, groups, per_group)];
        if round % 2 == 1 && more_rows.fits() && more_columns.fits() {
            ops.push(conv(more_rows, more_columns, 1, [groups * per_group[0], 2]));
        }
        let together = |a: usize, b: usize| if ops.len() == 1 { a } else { a * b };
        let height = ops.iter().map(|op| op.output_shape().height).max().unwrap();
        let width = ops.iter().map(|op| op.output_shape().width).max().unwrap();
        for phase in [
            [1, 1],
            [
                together(rows.stride, more_rows.stride),
                together(columns.stride, more_columns.stride),
            ],
        ] {
            let tile = [rng.next_u64() as usize % height + 1, rng.next_u64() as usize % width + 1];
            for tile in [[height.div_ceil(phase[0]), width.div_ceil(phase[1])], tile, [1, 1]] {
                for choice in [(1, 1), (2, 2)] {
                    let found = check(&ops, 1024, (phase, tile), choice, &mut rng);
                    packings += usize::from(found);
                }
            }
        }
    }
    println!("{packings} packings");
    assert!(packings > 10_000);
}

#[test]
fn every_small_fully_connected_layer_is_exact_in_every_packing() {
    let mut rng = test_rng(33);
    for inputs in 1..=12 {
        for outputs in 1..=9 {
            let ops = [LinearOp::FullyConnected { inputs, outputs }];
            for channels in 1..=inputs {
                for maps in 1..=outputs {
                    let fits = channels * maps <= 64;
                    let (channels, maps) = (channels as u32, maps as u32);
                    let choice = (([1, 1], [1, 1]), (channels, maps));
                    assert_eq!(check(&ops, 64, choice.0, choice.1, &mut rng), fits);
                }
            }
        }
    }
}

/// Small maps under large padding, as at the end of networks, and others drawn from all.
fn sample() -> Vec<LinearOp> {
    let same = |size, kernel, stride| Line {
        size,
        kernel,
        before: kernel / 2,
        behind: kernel / 2,
        stride,
        dilation: 1,
    };
    let mut ops = Vec::new();
    for (kernel, height, width, stride) in [
        (3, 1, 1, 1),
        (3, 1, 4, 1),
        (3, 1, 1, 2),
        (5, 2, 2, 1),
        (5, 4, 4, 1),
        (7, 3, 3, 1),
        (7, 6, 6, 1),
    ] {
        let [rows, columns] = [height, width].map(|size| same(size, kernel, stride));
        ops.push(conv(rows, columns, 1, [1, 1]));
        ops.push(conv(rows, columns, 1, [16, 16]));
        ops.push(conv(rows, columns, 8, [1, 1]));
    }
    ops.push(conv(Line::POINT, same(4, 9, 1), 1, [16, 16]));
    // Nothing but padding under every tap.
    let outside = Line { size: 1, kernel: 2, before: 1, behind: 2, stride: 1, dilation: 3 };
    ops.push(conv(outside, outside, 1, [2, 3]));
    let lines = all_lines();
    let mut rng = test_rng(34);
    for _ in 0..30 {
        let mut pick = || lines[rng.next_u64() as usize % lines.len()];
        ops.push(conv(pick(), pick(), 1, [3, 4]));
    }
    ops
}

#[test]
fn a_sample_of_geometries_is_right_through_the_protocol() {
    let ops = sample();
    let mut rng = test_rng(35);
    let weights: Vec<Vec<LinearWeights>> =
        ops.iter().map(|op| vec![random_weights(op, &mut rng)]).collect();
    let groups: Vec<_> = ops.iter().map(|op| group(24, 10, vec![op.clone()])).collect();
    for inferences_per_setup in [1, 100] {
        let protocol = PublicCoin { inferences_per_setup, ..PublicCoin::default() };
        let setting = Setting::new(protocol, groups.clone(), weights.clone());
        let (client, server) = (setting.clone(), setting);
        let (client, server) = run_two(
            move |mut channel| client.client(1, &mut channel, 36).unwrap(),
            move |mut channel| server.server(1, &mut channel, 37).unwrap(),
        );
        for (((op, weights), (r, u)), v) in ops.iter().zip(&weights).zip(&client[0]).zip(&server[0])
        {
            let expected = plain::apply(op, &weights[0], r.words(), 24);
            for ((u, v), wanted) in u[0].words().iter().zip(v[0].words()).zip(&expected) {
                let error = to_signed(u.wrapping_add(*v).wrapping_sub(*wanted) & ring_mask(24), 24);
                assert!(error.abs() <= 1 << 8, "off by {error}: {op:?}");
            }
        }
    }
}

//! Packing laws: polynomial products give exactly the operators' outputs, whatever the junk.

use gazelle_he::public_coin::Parameters;
use gazelle_prg::{Prg, Seed};
use gazelle_ring::{Polys, WeightMatrix};
use gazelle_share::{
    Conv2d, Guard, LinearGroup, LinearOp, LinearWeights, MaskKind, Pads, TensorShape, plain,
};
use proptest::prelude::*;
use rand_core::Rng;

use crate::layout::GroupLayout;
use crate::matrix::{GroupMatrix, Resources};
use crate::operator::as_conv;
use crate::packing::Tiles;
use crate::packing::tiled::Domain;
use crate::packing::tiled::geometry::Geometry;
use crate::plan::{GroupPlan, PackingPlan};
use crate::planner::Prices;

/// Runs a planned group on random values; every output must be exact.
fn check(group: &LinearGroup, plan: &GroupPlan, seed: u64) {
    let mut prg = Prg::new(&Seed::from_bytes((seed as u128).to_le_bytes()), 0);
    let layout = GroupLayout::new(&Tiles, group, plan).unwrap();
    let weights: Vec<LinearWeights> = group
        .ops
        .iter()
        .map(|op| LinearWeights {
            weights: (0..op.weight_len()).map(|_| (prg.next_u32() % 2047) as i32 - 1023).collect(),
            bias: vec![],
        })
        .collect();
    let input: Vec<u64> = (0..layout.elements).map(|_| prg.next_u64()).collect();
    let mut x = Polys::zeros(layout.degree, layout.requests);
    prg.fill_bytes(&mut []);
    x.words_mut().iter_mut().for_each(|word| *word = prg.next_u64());
    let mut seen = vec![0u32; layout.elements];
    for (poly, slots) in x.iter_mut().zip(layout.slots()) {
        for (&position, source) in slots.pinned.iter().zip(&slots.sources) {
            poly[position as usize] = source.map_or(0, |element| input[element as usize]);
            if let Some(element) = source {
                assert!(group.mask == MaskKind::Given || seen[*element as usize] == 1);
            }
        }
        for (position, element) in slots.masks {
            poly[position as usize] = input[element as usize];
            seen[element as usize] += 1;
        }
    }
    let limit = u32::from(group.mask == MaskKind::Fresh);
    assert!(seen.iter().all(|count| *count <= limit), "an element has two masks");

    let borrowed: Vec<&LinearWeights> = weights.iter().collect();
    // Both engines; the FFT one keeps a few transforms and makes the others anew.
    let mut matrices = Vec::new();
    for multiply_add_ns in [1e-9, 1e9] {
        let prices = Prices { multiply_add_ns, ..Prices::default() };
        let resources =
            Resources { prices: &prices, fourier: true, modulus_bits: 44, norm_bits: 30 };
        let mut matrix = GroupMatrix::new(&layout, &borrowed, &resources).unwrap();
        let mut bytes = 3 * 8 * layout.degree;
        matrix.keep_transforms(&prices, &mut bytes);
        check_matrix(group, &layout, &weights, &input, &x, &matrix, multiply_add_ns > 1.0);
        matrices.push(matrix);
    }
    // Hints, shares at the client and shares at the server come from different engines: they must
    // multiply by the same polynomials, also where a request holds zeros.
    x.words_mut().iter_mut().for_each(|word| *word = prg.next_u64());
    let useful = layout.useful();
    let products: Vec<Vec<u64>> = matrices
        .iter()
        .flat_map(|matrix| {
            let mut whole = Polys::zeros(layout.degree, layout.responses);
            matrix.accumulate(&x, 44, 0..layout.responses, &mut whole);
            let rows = useful.rows();
            let of_row = |(row, poly): (&&[u32], &[u64])| -> Vec<u64> {
                row.iter().map(|c| poly[*c as usize]).collect()
            };
            let picked: Vec<u64> = rows.iter().zip(whole.iter()).flat_map(of_row).collect();
            let mut at = vec![0; picked.len()];
            matrix.accumulate_at(&x, 44, &rows, &mut at);
            [picked, at]
        })
        .collect();
    for other in &products[1..] {
        for (a, b) in products[0].iter().zip(other) {
            let error = (a.wrapping_sub(*b) << 20) as i64 >> 20;
            assert!(error.abs() < 1 << 12, "engines differ by {error}");
        }
    }
}

/// Multiplies and compares; FFT products may be off in the low bits, nothing else may.
fn check_matrix(
    group: &LinearGroup,
    layout: &GroupLayout,
    weights: &[LinearWeights],
    input: &[u64],
    x: &Polys,
    matrix: &GroupMatrix,
    rounded: bool,
) {
    let mut out = Polys::zeros(layout.degree, layout.responses);
    // In two runs, split at an arbitrary row.
    let split = layout.responses / 3;
    for rows in [0..split, split..layout.responses] {
        let mut part = Polys::zeros(layout.degree, rows.len());
        matrix.accumulate(x, 44, rows.clone(), &mut part);
        for (row, poly) in rows.zip(part.iter()) {
            out.poly_mut(row).copy_from_slice(poly);
        }
    }
    let useful = layout.useful();
    let words: Vec<u64> = useful
        .rows()
        .iter()
        .zip(out.iter())
        .flat_map(|(row, poly)| row.iter().map(|c| poly[*c as usize]))
        .collect();
    assert_eq!(words.len(), layout.outputs.iter().sum::<usize>(), "outputs lie at one place each");
    // The same at the useful coefficients only.
    let mut at = vec![0u64; words.len()];
    matrix.accumulate_at(x, 44, &useful.rows(), &mut at);
    for (at, word) in at.iter().zip(&words) {
        let error = (at.wrapping_sub(*word) << 20) as i64 >> 20;
        assert!(error.abs() < if rounded { 1 << 12 } else { 1 }, "off by {error}");
    }
    let got = useful.scatter(&words, &layout.outputs);
    for ((op, weights), got) in group.ops.iter().zip(weights).zip(got) {
        let expected = plain::apply(op, weights, input, 64);
        if !rounded {
            assert_eq!(got, expected);
        }
        for (got, expected) in got.iter().zip(&expected) {
            let error = (got.wrapping_sub(*expected) << 20) as i64 >> 20;
            assert!(error.abs() < 1 << 12, "off by {error}");
        }
    }
}

fn group(ops: Vec<LinearOp>, mask: MaskKind) -> LinearGroup {
    let truncate_bits = vec![10; ops.len()];
    LinearGroup {
        name: "g".into(),
        ring_bits: 24,
        ops,
        truncate_bits,
        mask,
        revealed: false,
        guard: Guard::NONE,
    }
}

fn conv_strategy() -> impl Strategy<Value = Conv2d> {
    (
        (1usize..4, 1usize..5, 1usize..5, 1usize..24, 1usize..24),
        ([1usize..5, 1usize..5], [1usize..4, 1usize..4], [1usize..3, 1usize..3]),
        [0usize..4, 0usize..4, 0usize..4, 0usize..4],
    )
        .prop_filter_map(
            "kernel fits",
            |((groups, channels, maps, height, width), (kernel, stride, dilation), pads)| {
                let [top, left, bottom, right] = pads;
                let span = |i: usize| dilation[i] * (kernel[i] - 1) + 1;
                let fits = height + top + bottom >= span(0) && width + left + right >= span(1);
                fits.then_some(Conv2d {
                    input: TensorShape::new(groups * channels, height, width),
                    maps: groups * maps,
                    kernel,
                    stride,
                    pads: Pads { top, left, bottom, right },
                    dilation,
                    groups,
                })
            },
        )
}

/// Kernels and padding as large as the map and larger.
fn small_map_strategy() -> impl Strategy<Value = Conv2d> {
    let pads = [0usize..8, 0usize..8, 0usize..8, 0usize..8];
    ((1usize..3, 1usize..4, 1usize..4, 1usize..7, 1usize..7), [1usize..8, 1usize..8], pads)
        .prop_filter_map(
            "kernel fits",
            |((groups, channels, maps, height, width), kernel, pads)| {
                let [top, left, bottom, right] = pads;
                let fits = height + top + bottom >= kernel[0] && width + left + right >= kernel[1];
                fits.then_some(Conv2d {
                    input: TensorShape::new(groups * channels, height, width),
                    maps: groups * maps,
                    kernel,
                    stride: [1, 1],
                    pads: Pads { top, left, bottom, right },
                    dilation: [1, 1],
                    groups,
                })
            },
        )
}

/// A packing plan from dice: any legal choice is as good as another. `multiple`: the phase as a
/// multiple of the strides; 0 for the strides' greatest common divisor, 3 for 1.
fn dice_plan(
    ops: &[&LinearOp],
    numbers: &[u32],
    multiple: [usize; 2],
    dice: &mut impl FnMut(usize) -> usize,
) -> Option<PackingPlan> {
    let lcm = |i: usize| {
        ops.iter()
            .map(|op| as_conv(op).unwrap().stride[i])
            .fold(1, |a, b| (1..=a * b).find(|n| n % a == 0 && n % b == 0).unwrap())
            * multiple[i]
    };
    let phase = [0, 1].map(|i| match multiple[i] {
        0 => {
            let divides =
                |n: &usize| ops.iter().all(|op| as_conv(op).unwrap().stride[i].is_multiple_of(*n));
            (1..=8).rev().find(divides).unwrap()
        }
        3 => 1,
        _ => lcm(i),
    });
    let domain = Domain::new(ops, phase).ok()?;
    for _ in 0..200 {
        let extent = |i: usize| domain.ops.iter().map(|op| op.extent()[i]).max().unwrap();
        // Half of them whole: there rows share their zeros.
        let tile = [extent(0), extent(1)].map(|e| if dice(2) == 0 { e } else { 1 + dice(e) });
        let channels = 1 + dice(domain.channels());
        let pixels = domain.pixels(phase);
        let stepped = domain.ops.iter().any(|op| op.steps != [1, 1]);
        let Ok(geometry) = Geometry::new(&domain.ops, pixels, tile, channels) else {
            assert!(stepped);
            continue;
        };
        let most = geometry.most_maps(2048);
        if most == 0 {
            continue;
        }
        return Some(PackingPlan {
            ops: numbers.to_vec(),
            phase: phase.map(|p| p as u32),
            tile: tile.map(|t| t as u32),
            channels: channels as u32,
            maps: domain.ops.iter().map(|op| 1 + dice(most.min(op.maps())) as u32).collect(),
        });
    }
    None
}

fn plan_of(packings: Vec<PackingPlan>, ops: usize) -> GroupPlan {
    GroupPlan {
        parameters: Parameters::new(2048, 24, 24, 12, 12).unwrap(),
        packings,
        norm_quarter_bits: vec![80; ops],
        fourier: true,
    }
}

fn dice_from(seed: u64) -> impl FnMut(usize) -> usize {
    let mut prg = Prg::new(&Seed::from_bytes((seed as u128 | 1 << 90).to_le_bytes()), 1);
    move |sides| (prg.next_u64() % sides as u64) as usize
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn any_packing_of_any_convolution_is_exact(
        conv in conv_strategy(),
        multiple in [0usize..4, 0usize..4],
        given in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let op = LinearOp::Conv(conv);
        let mut dice = dice_from(seed);
        let Some(packing) = dice_plan(&[&op], &[0], multiple, &mut dice) else { return Ok(()) };
        let mask = if given { MaskKind::Given } else { MaskKind::Fresh };
        check(&group(vec![op], mask), &plan_of(vec![packing], 1), seed);
    }

    #[test]
    fn both_engines_agree_where_the_padding_is_larger_than_the_map(
        conv in small_map_strategy(),
        seed in any::<u64>(),
    ) {
        let op = LinearOp::Conv(conv);
        let mut dice = dice_from(seed);
        let packing = dice_plan(&[&op], &[0], [1, 1], &mut dice).unwrap();
        check(&group(vec![op], MaskKind::Fresh), &plan_of(vec![packing], 1), seed);
    }

    #[test]
    fn any_packing_of_a_fully_connected_layer_is_exact(
        inputs in 1usize..300,
        outputs in 1usize..40,
        seed in any::<u64>(),
    ) {
        let op = LinearOp::FullyConnected { inputs, outputs };
        let mut dice = dice_from(seed);
        let Some(packing) = dice_plan(&[&op], &[0], [1, 1], &mut dice) else { return Ok(()) };
        check(&group(vec![op], MaskKind::Fresh), &plan_of(vec![packing], 1), seed);
    }

    #[test]
    fn operators_share_one_packing_or_pin_a_second_one(
        first in conv_strategy(),
        second in conv_strategy(),
        share in any::<bool>(),
        multiple in [0usize..4, 0usize..4],
        seed in any::<u64>(),
    ) {
        let second = Conv2d { input: first.input, groups: 1, ..second };
        prop_assume!(
            (0..2).all(|i| {
                let padded = [
                    second.input.height + second.pads.top + second.pads.bottom,
                    second.input.width + second.pads.left + second.pads.right,
                ];
                padded[i] > second.dilation[i] * (second.kernel[i] - 1)
            })
        );
        let flat = LinearOp::FullyConnected { inputs: first.input.len(), outputs: 3 };
        let ops = vec![LinearOp::Conv(first), LinearOp::Conv(second), flat];
        let mut dice = dice_from(seed);
        let parts: Vec<Vec<usize>> =
            if share { vec![vec![1, 0], vec![2]] } else { vec![vec![2], vec![0], vec![1]] };
        let mut packings = Vec::new();
        for part in parts {
            let operators: Vec<&LinearOp> = part.iter().map(|&i| &ops[i]).collect();
            let numbers: Vec<u32> = part.iter().map(|&i| i as u32).collect();
            let Some(packing) = dice_plan(&operators, &numbers, multiple, &mut dice) else {
                return Ok(());
            };
            packings.push(packing);
        }
        check(&group(ops, MaskKind::Fresh), &plan_of(packings, 3), seed);
    }
}

#[test]
fn a_one_by_one_convolution_with_stride_drops_the_pixels_it_does_not_read() {
    let op = LinearOp::Conv(Conv2d {
        input: TensorShape::new(2, 8, 8),
        maps: 1,
        kernel: [1, 1],
        stride: [2, 2],
        pads: Pads::default(),
        dilation: [1, 1],
        groups: 1,
    });
    let packing =
        PackingPlan { ops: vec![0], phase: [2, 2], tile: [4, 4], channels: 2, maps: vec![1] };
    let layout =
        GroupLayout::new(&Tiles, &group(vec![op], MaskKind::Fresh), &plan_of(vec![packing], 1));
    let slots = layout.unwrap().slots();
    assert_eq!(slots.len(), 1);
    assert_eq!((slots[0].masks.len(), slots[0].pinned.len()), (32, 0));
}

#[test]
fn a_tail_is_free_with_one_map_and_pinned_with_two() {
    let op = LinearOp::FullyConnected { inputs: 100, outputs: 4 };
    for (maps, expected) in [(1, 0), (2, 200), (4, 600)] {
        let packing = PackingPlan {
            ops: vec![0],
            phase: [1, 1],
            tile: [1, 1],
            channels: 100,
            maps: vec![maps],
        };
        let layout = GroupLayout::new(
            &Tiles,
            &group(vec![op.clone()], MaskKind::Fresh),
            &plan_of(vec![packing], 1),
        );
        assert_eq!(layout.unwrap().pinned(), expected);
    }
}

#[test]
fn padding_shares_its_zeros_between_rows_and_channels() {
    // 3x3, padding 1 on 30x30: pitch 31; lead 32; the block is 32 + 30 * 31 + 31.
    let op = LinearOp::Conv(Conv2d {
        input: TensorShape::new(1, 30, 30),
        maps: 2,
        kernel: [3, 3],
        stride: [1, 1],
        pads: Pads::all(1),
        dilation: [1, 1],
        groups: 1,
    });
    let packing =
        PackingPlan { ops: vec![0], phase: [1, 1], tile: [30, 30], channels: 1, maps: vec![2] };
    let layout =
        GroupLayout::new(&Tiles, &group(vec![op], MaskKind::Fresh), &plan_of(vec![packing], 1));
    let block = 32 + 30 * 31 + 31;
    let layout = layout.unwrap();
    assert_eq!(layout.slots()[0].masks.len(), 900);
    assert_eq!(layout.pinned(), block - 900 + (2 * block).min(2048 - block));
}

proptest! {
    #[test]
    fn online_kernels_agree_with_the_definition(
        conv in conv_strategy(),
        more_maps in 1usize..40,
        seed in any::<u64>(),
        bits in 8u32..=64,
    ) {
        let op = LinearOp::Conv(Conv2d { maps: conv.groups * more_maps, ..conv });
        let mut prg = Prg::new(&Seed::from_bytes((seed as u128).to_le_bytes()), 0);
        let weights = LinearWeights {
            weights: (0..op.weight_len()).map(|_| prg.next_u32() as i32 >> 14).collect(),
            bias: vec![],
        };
        let input: Vec<u64> = (0..op.input_len()).map(|_| prg.next_u64()).collect();
        let expected = plain::apply(&op, &weights, &input, bits);
        prop_assert_eq!(crate::plain_kernels::apply(&op, &weights, &input, bits), expected);
    }
}

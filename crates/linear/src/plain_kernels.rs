//! The server's online arithmetic `W (x - r) mod 2^l` at the machine's rate.
//!
//! A convolution is an integer matrix product, `[maps, channels * taps] x [.., pixels]`, computed by
//! the kernel of the encrypted products ([`gazelle_ring::kernel::gemm`]); the right-hand side is
//! gathered strip by strip from the padded image. Same results as [`gazelle_share::plain::apply`],
//! which is the definition.

#![expect(
    clippy::indexing_slicing,
    reason = "lengths are checked against the operator before the loops"
)]

use gazelle_ring::kernel::gemm::{ROWS, STRIP, block};
use gazelle_share::shares::ring_mask;
use gazelle_share::{Conv2d, LinearOp, LinearWeights, plain};
use rayon::prelude::*;
use zeroize::Zeroizing;

/// Columns of a packed panel.
const COLUMNS: usize = 128;
/// Strips of pixels per task.
const STRIPS: usize = 8;
/// Rows (maps) per task.
const TASK_ROWS: usize = 64;
/// With fewer maps per group the matrix product would be mostly idle lanes.
const LEAST_MAPS: usize = 5;

/// `W x mod 2^bits`, without the bias; `bits` in 1..=64.
///
/// Cost: one 64-bit multiply-add per weight and output pixel, over all threads.
pub fn apply(op: &LinearOp, weights: &LinearWeights, input: &[u64], bits: u32) -> Vec<u64> {
    match op {
        LinearOp::Conv(conv)
            if conv.groups > 0
                && conv.maps / conv.groups >= LEAST_MAPS
                && weights.weights.len() == op.weight_len()
                && input.len() == op.input_len() =>
        {
            let mut output = convolve(conv, &weights.weights, input);
            let mask = ring_mask(bits);
            for word in &mut output {
                *word &= mask;
            }
            output
        }
        _ => plain::apply(op, weights, input, bits),
    }
}

/// A task's part of the output.
struct MapPart {
    first_map: usize,
    first_pixel: usize,
    /// `[maps, STRIPS * STRIP]`.
    words: Vec<[u64; STRIPS * STRIP]>,
}

fn convolve(conv: &Conv2d, weights: &[i32], input: &[u64]) -> Vec<u64> {
    let shape = conv.output();
    let pixels = shape.height * shape.width;
    let (channels, maps) = (conv.input.channels / conv.groups, conv.maps / conv.groups);
    let image = Padded::new(conv, input);
    let bases = image.bases(conv);
    let taps = image.taps(conv, channels);
    let mut output = vec![0u64; shape.len()];
    for group in 0..conv.groups {
        let words = &image.words[group * channels * image.plane..];
        let weights = &weights[group * maps * taps.len()..(group + 1) * maps * taps.len()];
        let tasks: Vec<(usize, usize)> = (0..maps)
            .step_by(TASK_ROWS)
            .flat_map(|map| (0..pixels).step_by(STRIPS * STRIP).map(move |pixel| (map, pixel)))
            .collect();
        let parts: Vec<MapPart> = tasks
            .into_par_iter()
            .map(|(first_map, first_pixel)| {
                let rows = TASK_ROWS.min(maps - first_map);
                let end = pixels.min(first_pixel + STRIPS * STRIP);
                let weights = &weights[first_map * taps.len()..(first_map + rows) * taps.len()];
                let words = multiply(words, &bases[first_pixel..end], &taps, weights);
                MapPart { first_map, first_pixel, words }
            })
            .collect();
        for part in parts {
            for (row, words) in part.words.iter().enumerate() {
                let map = group * maps + part.first_map + row;
                let start = map * pixels + part.first_pixel;
                let count = (pixels - part.first_pixel).min(STRIPS * STRIP);
                output[start..start + count].copy_from_slice(&words[..count]);
            }
        }
    }
    output
}

/// `out[m][p] = sum_k weights[m][k] image[bases[p] + taps[k]]`.
fn multiply(
    image: &[u64],
    bases: &[usize],
    taps: &[usize],
    weights: &[i32],
) -> Vec<[u64; STRIPS * STRIP]> {
    let width = taps.len();
    let rows = weights.len() / width.max(1);
    let mut out = vec![[0u64; STRIPS * STRIP]; rows];
    let mut packed = vec![[0u64; STRIP]; STRIPS * COLUMNS];
    let mut expanded = Zeroizing::new(vec![[0i64; ROWS]; COLUMNS]);
    let mut sums = [[0u64; STRIP]; ROWS];
    // COLUMNS taps at a time: their strips (128 KiB) stay in the second-level cache while all maps pass over them.
    for (part, taps) in taps.chunks(COLUMNS).enumerate() {
        for (packed, bases) in packed.chunks_mut(COLUMNS).zip(bases.chunks(STRIP)) {
            for (slot, &tap) in packed.iter_mut().zip(taps) {
                let (first, last) = (bases[0], bases[bases.len() - 1]);
                // Sixteen neighbours in a row of the image, the usual case at stride 1, are one copy.
                if bases.len() == STRIP && last - first == STRIP - 1 {
                    slot.copy_from_slice(&image[first + tap..first + tap + STRIP]);
                } else {
                    for (word, &base) in slot.iter_mut().zip(bases) {
                        *word = image[base + tap];
                    }
                }
            }
        }
        for (group, out) in out.chunks_mut(ROWS).enumerate() {
            for lane in 0..ROWS {
                let row = group * ROWS + lane;
                // The buffer is used again: a row that this block lacks must not hold the last block's weights.
                if row >= rows {
                    for weights in expanded.iter_mut() {
                        weights[lane] = 0;
                    }
                    continue;
                }
                let start = row * width + part * COLUMNS;
                for (wide, narrow) in expanded.iter_mut().zip(&weights[start..start + taps.len()]) {
                    wide[lane] = i64::from(*narrow);
                }
            }
            let strips = bases.len().div_ceil(STRIP);
            for (strip, packed) in packed.chunks(COLUMNS).take(strips).enumerate() {
                block(&expanded[..taps.len()], &packed[..taps.len()], &mut sums);
                for (out, sums) in out.iter_mut().zip(&sums) {
                    let out = &mut out[strip * STRIP..(strip + 1) * STRIP];
                    out.iter_mut().zip(sums).for_each(|(o, s)| *o = o.wrapping_add(*s));
                }
            }
        }
    }
    out
}

/// The image with its zero border, `[channels, rows, columns]`.
struct Padded {
    words: Vec<u64>,
    columns: usize,
    plane: usize,
}

impl Padded {
    fn new(conv: &Conv2d, input: &[u64]) -> Self {
        let rows = conv.input.height + conv.pads.top + conv.pads.bottom;
        let columns = conv.input.width + conv.pads.left + conv.pads.right;
        let plane = rows * columns;
        let mut words = vec![0u64; conv.input.channels * plane];
        for (index, row) in input.chunks_exact(conv.input.width).enumerate() {
            let (channel, y) = (index / conv.input.height, index % conv.input.height);
            let start = channel * plane + (y + conv.pads.top) * columns + conv.pads.left;
            words[start..start + row.len()].copy_from_slice(row);
        }
        Self { words, columns, plane }
    }

    /// Where the window of each output pixel starts in a plane.
    fn bases(&self, conv: &Conv2d) -> Vec<usize> {
        let shape = conv.output();
        let [sh, sw] = conv.stride;
        (0..shape.height)
            .flat_map(|y| (0..shape.width).map(move |x| y * sh * self.columns + x * sw))
            .collect()
    }

    /// Offsets of the taps of all channels of a group, in the weights' order.
    fn taps(&self, conv: &Conv2d, channels: usize) -> Vec<usize> {
        let [kh, kw] = conv.kernel;
        let [dh, dw] = conv.dilation;
        let mut taps = Vec::with_capacity(channels * kh * kw);
        for c in 0..channels {
            for a in 0..kh {
                for b in 0..kw {
                    taps.push(c * self.plane + a * dh * self.columns + b * dw);
                }
            }
        }
        taps
    }
}

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

use gazelle_ring::kernel::gemm::{ROWS, STRIP, block, narrow_block};
use gazelle_share::shares::ring_mask;
use gazelle_share::{Conv2d, LinearOp, LinearWeights, plain};
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

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
/// Cost: one multiply-add per weight and output pixel, of 32 bits if `bits` allows it, else of 64, over all threads.
pub fn apply(op: &LinearOp, weights: &LinearWeights, input: &[u64], bits: u32) -> Vec<u64> {
    match op {
        LinearOp::Conv(conv)
            if conv.groups > 0
                && conv.maps / conv.groups >= LEAST_MAPS
                && weights.weights.len() == op.weight_len()
                && input.len() == op.input_len() =>
        {
            let convolve = if bits <= u32::BITS { convolve::<u32> } else { convolve::<u64> };
            convolve(conv, &weights.weights, input, ring_mask(bits))
        }
        _ => plain::apply(op, weights, input, bits),
    }
}

/// What the products are computed in: any ring of no more bits.
trait Lane: Copy + Default + Send + Sync {
    /// A weight as the kernel takes it.
    type Weight: Copy + Default + From<i32> + Zeroize;

    /// The low bits of a word.
    fn low(word: u64) -> Self;
    /// As a word.
    fn word(self) -> u64;
    /// `self + other`, wrapping.
    fn plus(self, other: Self) -> Self;
    /// The kernel.
    fn block(
        weights: &[[Self::Weight; ROWS]],
        panel: &[[Self; STRIP]],
        sums: &mut [[Self; STRIP]; ROWS],
    );
}

impl Lane for u32 {
    type Weight = i32;

    fn low(word: u64) -> Self {
        word as Self
    }
    fn word(self) -> u64 {
        self.into()
    }
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    fn block(weights: &[[i32; ROWS]], panel: &[[Self; STRIP]], sums: &mut [[Self; STRIP]; ROWS]) {
        narrow_block(weights, panel, sums);
    }
}

impl Lane for u64 {
    type Weight = i64;

    fn low(word: u64) -> Self {
        word
    }
    fn word(self) -> u64 {
        self
    }
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    fn block(weights: &[[i64; ROWS]], panel: &[[Self; STRIP]], sums: &mut [[Self; STRIP]; ROWS]) {
        block(weights, panel, sums);
    }
}

/// A task's part of the output.
struct MapPart<W> {
    first_map: usize,
    first_pixel: usize,
    /// `[maps, STRIPS * STRIP]`.
    words: Vec<[W; STRIPS * STRIP]>,
}

/// Of which the bits in `mask` are kept.
fn convolve<W: Lane>(conv: &Conv2d, weights: &[i32], input: &[u64], mask: u64) -> Vec<u64> {
    let shape = conv.output();
    let pixels = shape.height * shape.width;
    let (channels, maps) = (conv.input.channels / conv.groups, conv.maps / conv.groups);
    let image = Padded::<W>::new(conv, input);
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
        let parts: Vec<MapPart<W>> = tasks
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
                for (output, word) in output[start..start + count].iter_mut().zip(words) {
                    *output = word.word() & mask;
                }
            }
        }
    }
    output
}

/// `out[m][p] = sum_k weights[m][k] image[bases[p] + taps[k]]`.
fn multiply<W: Lane>(
    image: &[W],
    bases: &[usize],
    taps: &[usize],
    weights: &[i32],
) -> Vec<[W; STRIPS * STRIP]> {
    let width = taps.len();
    let rows = weights.len() / width.max(1);
    let mut out = vec![[W::default(); STRIPS * STRIP]; rows];
    #[expect(clippy::useless_vec, reason = "128 KiB are much for a stack")]
    let mut packed = vec![[W::default(); STRIP]; STRIPS * COLUMNS];
    let mut expanded = Zeroizing::new(vec![[W::Weight::default(); ROWS]; COLUMNS]);
    let mut sums = [[W::default(); STRIP]; ROWS];
    // COLUMNS taps at a time: their strips (128 KiB at most) stay in the second-level cache while all maps pass over them.
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
                        weights[lane] = W::Weight::default();
                    }
                    continue;
                }
                let start = row * width + part * COLUMNS;
                for (wide, narrow) in expanded.iter_mut().zip(&weights[start..start + taps.len()]) {
                    wide[lane] = (*narrow).into();
                }
            }
            let strips = bases.len().div_ceil(STRIP);
            for (strip, packed) in packed.chunks(COLUMNS).take(strips).enumerate() {
                W::block(&expanded[..taps.len()], &packed[..taps.len()], &mut sums);
                for (out, sums) in out.iter_mut().zip(&sums) {
                    let out = &mut out[strip * STRIP..(strip + 1) * STRIP];
                    out.iter_mut().zip(sums).for_each(|(o, s)| *o = o.plus(*s));
                }
            }
        }
    }
    out
}

/// The image with its zero border, `[channels, rows, columns]`.
struct Padded<W> {
    words: Vec<W>,
    columns: usize,
    plane: usize,
}

impl<W: Lane> Padded<W> {
    fn new(conv: &Conv2d, input: &[u64]) -> Self {
        let rows = conv.input.height + conv.pads.top + conv.pads.bottom;
        let columns = conv.input.width + conv.pads.left + conv.pads.right;
        let plane = rows * columns;
        let mut words = vec![W::default(); conv.input.channels * plane];
        for (index, row) in input.chunks_exact(conv.input.width).enumerate() {
            let (channel, y) = (index / conv.input.height, index % conv.input.height);
            let start = channel * plane + (y + conv.pads.top) * columns + conv.pads.left;
            for (to, from) in words[start..start + row.len()].iter_mut().zip(row) {
                *to = W::low(*from);
            }
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

//! Random OT strings, position by position, from correlated OTs (protocol.md 7).
//!
//! `ROT(X->Y, w)`: X gets k0, k1 of w bits; Y gets a random bit rho and k = `k_rho`.
//!
//! | sender X ([`RotSend`]) | receiver Y ([`RotRecv`]) |
//! |---|---|
//! | k0 = H(y; i), k1 = H(y ^ Delta; i) | rho = b, k = H(z; i) |
//!
//! A chunk of `lanes` elements uses one OT per element and position; the OTs of a position lie side
//! by side, and so do their tweaks i. Strings are low bits of H, never of y or z.

#![expect(
    clippy::indexing_slicing,
    reason = "positions are counted by the plan that sized the OTs"
)]

use gazelle_block::hash::HashSeed;
use gazelle_block::{BitVec, Block};
use zeroize::Zeroize;

use crate::planes::Planes;

/// The sender's strings of one chunk.
pub struct RotSend<'a> {
    hash: &'a HashSeed,
    tweak: u64,
    y: &'a [Block],
    delta: Block,
    lanes: usize,
    buffers: [Vec<Block>; 3],
}

/// The receiver's choices and strings of one chunk.
pub struct RotRecv<'a> {
    hash: &'a HashSeed,
    tweak: u64,
    z: &'a [Block],
    choices: &'a BitVec,
    offset: usize,
    lanes: usize,
    buffer: Vec<Block>,
}

impl<'a> RotSend<'a> {
    /// Strings from `y`, whose i-th OT has tweak `tweak + i`.
    pub fn new(hash: &'a HashSeed, tweak: u64, y: &'a [Block], delta: Block) -> Self {
        Self { hash, tweak, y, delta, lanes: 0, buffers: Default::default() }
    }

    /// Sets the number of elements of the positions that follow.
    pub fn set_lanes(&mut self, lanes: usize) {
        self.lanes = lanes;
        self.buffers.iter_mut().for_each(|buffer| buffer.resize(lanes, Block::ZERO));
    }

    /// The next position: `(k0, k0 ^ k1)` as `width` (at most 8) planes each.
    pub fn bits(&mut self, width: usize) -> (Planes, Planes) {
        self.next();
        let [_, k0, k1] = &self.buffers;
        let first = low_planes(k0, width);
        let mut delta = low_planes(k1, width);
        for plane in 0..width {
            let zero = first.plane(plane);
            delta.plane_mut(plane).iter_mut().zip(zero).for_each(|(d, k)| *d ^= k);
        }
        (first, delta)
    }

    /// The next position: `(k0, k1)` as words of 64 bits.
    pub fn words(&mut self) -> (Vec<u64>, Vec<u64>) {
        self.next();
        let [_, k0, k1] = &self.buffers;
        (low_words(k0), low_words(k1))
    }

    fn next(&mut self) {
        let (now, later) = self.y.split_at(self.lanes);
        self.y = later;
        let [other, k0, k1] = &mut self.buffers;
        self.hash.hash(self.tweak, now, k0);
        other.iter_mut().zip(now).for_each(|(other, y)| *other = *y ^ self.delta);
        self.hash.hash(self.tweak, other, k1);
        self.tweak += self.lanes as u64;
    }
}

impl Drop for RotSend<'_> {
    fn drop(&mut self) {
        self.buffers.zeroize();
        self.delta.zeroize();
    }
}

impl<'a> RotRecv<'a> {
    /// Strings from `z`, whose i-th OT has tweak `tweak + i` and choice bit `choices[offset + i]`.
    pub fn new(
        hash: &'a HashSeed,
        tweak: u64,
        z: &'a [Block],
        choices: &'a BitVec,
        offset: usize,
    ) -> Self {
        Self { hash, tweak, z, choices, offset, lanes: 0, buffer: Vec::new() }
    }

    /// Sets the number of elements of the positions that follow.
    pub fn set_lanes(&mut self, lanes: usize) {
        self.lanes = lanes;
        self.buffer.resize(lanes, Block::ZERO);
    }

    /// The next position: the plane of choices, and k as `width` (at most 8) planes.
    pub fn bits(&mut self, width: usize) -> (Vec<u64>, Planes) {
        let choices = self.next();
        (choices, low_planes(&self.buffer, width))
    }

    /// The next position: the plane of choices, and k as words of 64 bits.
    pub fn words(&mut self) -> (Vec<u64>, Vec<u64>) {
        let choices = self.next();
        (choices, low_words(&self.buffer))
    }

    fn next(&mut self) -> Vec<u64> {
        let (now, later) = self.z.split_at(self.lanes);
        self.z = later;
        self.hash.hash(self.tweak, now, &mut self.buffer);
        self.tweak += self.lanes as u64;
        let choices = self.choices.slice(self.offset, self.lanes).words().to_vec();
        self.offset += self.lanes;
        choices
    }
}

impl Drop for RotRecv<'_> {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

fn low_words(blocks: &[Block]) -> Vec<u64> {
    blocks.iter().map(|block| block.0 as u64).collect()
}

/// The low `width` bits (at most 8) of each block as planes.
fn low_planes(blocks: &[Block], width: usize) -> Planes {
    let mut planes = Planes::zeros(blocks.len(), width);
    for (i, chunk) in blocks.chunks(64).enumerate() {
        let mut words = [0u64; 8];
        for (group, eight) in chunk.chunks(8).enumerate() {
            let bytes = eight.iter().rev().fold(0u64, |x, block| x << 8 | (block.0 as u64 & 0xff));
            for (word, byte) in words.iter_mut().zip(transpose8(bytes).to_le_bytes()) {
                *word |= u64::from(byte) << (8 * group);
            }
        }
        for (plane, word) in words.iter().take(width).enumerate() {
            planes.plane_mut(plane)[i] = *word;
        }
        words.zeroize();
    }
    planes
}

/// Bit j of byte i becomes bit i of byte j.
fn transpose8(mut x: u64) -> u64 {
    for (shift, mask) in
        [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)]
    {
        let swap = (x ^ (x >> shift)) & mask;
        x ^= swap ^ (swap << shift);
    }
    x
}

#[cfg(test)]
mod tests {
    use gazelle_prg::{Prg, Seed};

    use super::*;

    #[test]
    fn conformance_the_receiver_holds_the_chosen_string_and_positions_differ() {
        let mut rng = Prg::new(&Seed::from_bytes([3; 16]), 1);
        let hash = HashSeed::new(&Seed::random(&mut rng));
        let delta = Block::random(&mut rng);
        for lanes in [64, 100] {
            let mut y = vec![Block::ZERO; 3 * lanes];
            Block::fill_random(&mut y, &mut rng);
            let choices = BitVec::random(3 * lanes + 5, &mut rng);
            let z: Vec<Block> =
                y.iter().enumerate().map(|(i, y)| *y ^ delta.select(choices.get(5 + i))).collect();
            let mut send = RotSend::new(&hash, 4090, &y, delta);
            let mut recv = RotRecv::new(&hash, 4090, &z, &choices, 5);
            send.set_lanes(lanes);
            recv.set_lanes(lanes);
            for width in [3, 2] {
                let (k0, difference) = send.bits(width);
                let (rho, k) = recv.bits(width);
                for plane in 0..width {
                    for (i, rho) in rho.iter().enumerate() {
                        let expected = k0.plane(plane)[i] ^ (rho & difference.plane(plane)[i]);
                        assert_eq!(k.plane(plane)[i], expected);
                    }
                }
                assert!(k0.plane(0) != k0.plane(1) && difference.plane(0) != difference.plane(1));
            }
            let (k0, k1) = send.words();
            let (rho, k) = recv.words();
            for lane in 0..lanes {
                let one = rho[lane / 64] >> (lane % 64) & 1 == 1;
                assert_eq!(k[lane], if one { k1[lane] } else { k0[lane] });
            }
        }
    }

    #[test]
    fn known_answer_planes_of_low_bits() {
        let blocks: Vec<Block> = (0..77u128).map(|i| Block(i * 0x1_0000_0000_002b)).collect();
        let planes = low_planes(&blocks, 8);
        for (lane, block) in blocks.iter().enumerate() {
            for bit in 0..8 {
                assert_eq!(
                    planes.plane(bit)[lane / 64] >> (lane % 64) & 1 == 1,
                    block.bit(bit as u32)
                );
            }
        }
    }
}

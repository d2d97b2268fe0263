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

use gazelle_block::hash::HashSeed;
use gazelle_block::{BitVec, Block};
use zeroize::Zeroize;

use crate::planes::Planes;

/// The sender's strings of one chunk.
pub(crate) struct RotSend<'a> {
    hash: &'a HashSeed,
    tweak: u64,
    y: &'a [Block],
    delta: Block,
    lanes: usize,
    buffers: [Vec<u64>; 2],
}

/// The receiver's choices and strings of one chunk.
pub(crate) struct RotRecv<'a> {
    hash: &'a HashSeed,
    tweak: u64,
    z: &'a [Block],
    choices: &'a BitVec,
    offset: usize,
    lanes: usize,
    buffer: Vec<u64>,
}

impl<'a> RotSend<'a> {
    /// Strings from `y`, whose i-th OT has tweak `tweak + i`.
    pub(crate) fn new(hash: &'a HashSeed, tweak: u64, y: &'a [Block], delta: Block) -> Self {
        Self { hash, tweak, y, delta, lanes: 0, buffers: Default::default() }
    }

    /// Sets the number of elements of the positions that follow.
    pub(crate) fn set_lanes(&mut self, lanes: usize) {
        self.lanes = lanes;
        for buffer in &mut self.buffers {
            // A vector that grows leaves its words behind.
            buffer.zeroize();
            buffer.resize(lanes, 0);
        }
    }

    /// The next position: `(k0, k0 ^ k1)` as `width` (at most 8) planes each.
    pub(crate) fn bits(&mut self, width: usize) -> (Planes, Planes) {
        self.next();
        let [k0, k1] = &mut self.buffers;
        k1.iter_mut().zip(&*k0).for_each(|(delta, k0)| *delta ^= k0);
        (low_planes(self.hash, k0, width), low_planes(self.hash, k1, width))
    }

    /// The next position: `(k0, k1)` as words of 64 bits.
    pub(crate) fn words(&mut self) -> (Vec<u64>, Vec<u64>) {
        self.next();
        let [k0, k1] = &self.buffers;
        (k0.clone(), k1.clone())
    }

    fn next(&mut self) {
        let (now, later) = self.y.split_at(self.lanes);
        self.y = later;
        let [k0, k1] = &mut self.buffers;
        self.hash.low_words_of_both(self.tweak, now, self.delta, k0, k1);
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
    /// Strings from `z`, whose i-th OT has tweak `tweak + i` and choice bit `choices[i]`.
    pub(crate) fn new(hash: &'a HashSeed, tweak: u64, z: &'a [Block], choices: &'a BitVec) -> Self {
        Self { hash, tweak, z, choices, offset: 0, lanes: 0, buffer: Vec::new() }
    }

    /// Sets the number of elements of the positions that follow.
    pub(crate) fn set_lanes(&mut self, lanes: usize) {
        self.lanes = lanes;
        self.buffer.zeroize();
        self.buffer.resize(lanes, 0);
    }

    /// The next position: the plane of choices, and k as `width` (at most 8) planes.
    pub(crate) fn bits(&mut self, width: usize) -> (Vec<u64>, Planes) {
        let choices = self.next();
        (choices, low_planes(self.hash, &self.buffer, width))
    }

    /// The next position: the plane of choices, and k as words of 64 bits.
    pub(crate) fn words(&mut self) -> (Vec<u64>, Vec<u64>) {
        let choices = self.next();
        (choices, self.buffer.clone())
    }

    /// Whether all have been taken.
    #[cfg(test)]
    pub(crate) fn is_spent(&self) -> bool {
        self.z.is_empty()
    }

    fn next(&mut self) -> Vec<u64> {
        let (now, later) = self.z.split_at(self.lanes);
        self.z = later;
        self.hash.low_words(self.tweak, now, &mut self.buffer);
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

/// The low `width` bits (at most 8) of each word as planes.
fn low_planes(hash: &HashSeed, words: &[u64], width: usize) -> Planes {
    let mut planes = Planes::zeros(words.len(), width);
    hash.planes(words, width, planes.words_mut());
    planes
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
            let choices = BitVec::random(3 * lanes, &mut rng);
            let z: Vec<Block> =
                y.iter().enumerate().map(|(i, y)| *y ^ delta.select(choices.get(i))).collect();
            let mut send = RotSend::new(&hash, 4090, &y, delta);
            let mut recv = RotRecv::new(&hash, 4090, &z, &choices);
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
}

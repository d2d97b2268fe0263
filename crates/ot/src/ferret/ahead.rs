//! The receiver's choices of batches that are not made yet.
//!
//! Output i of a batch has the choice `b_i = [i is a noise position] ^ XOR of 10 of the first k retained
//! choices`: lowest bits of leaves are 0 elsewhere, whatever the sender says. So the retained choices of
//! a batch, and with them the next one's secret and d, follow from the receiver's coins alone, and
//! batches can be announced one after another before any of them is made.
//!
//! Noise positions are secret: no branch or index depends on them. Costs the code's rows of the retained
//! outputs over bits, which stay in L2: about 2 ns each.

use std::collections::VecDeque;
use std::ops::Range;

use gazelle_block::BitVec;
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::code::Code;
use super::parameters::Parameters;

/// Noise positions of announced batches, and the choices on which the next one lives. Wiped on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub(super) struct ChoicesAhead {
    /// The choices of the retained OTs of the batch before the next to be announced, a byte each: k for
    /// the code, then `t h` for the trees, `[tree][level]`.
    retained: Vec<u8>,
    /// The noise positions of the batches that were announced and have not begun, `[batch][tree]`.
    announced: VecDequeOfPaths,
}

/// As the name says: `VecDeque` itself cannot be wiped.
#[derive(Default)]
struct VecDequeOfPaths(VecDeque<Vec<u32>>);

impl Zeroize for VecDequeOfPaths {
    fn zeroize(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl ChoicesAhead {
    /// From the choices of the session's first retained OTs, a byte each.
    pub(super) fn start(&mut self, choices: Vec<u8>) {
        self.retained = choices;
    }

    /// Draws the noise positions of the next batch, whose first row is `row`; its corrections d,
    /// `[tree][level]`, and the choices of its first `ahead` outputs, a byte each.
    pub(super) fn next(
        &mut self,
        parameters: &Parameters,
        (code, row): (&Code, u64),
        ahead: usize,
        rng: &mut (dyn CryptoRng + Send),
    ) -> (BitVec, Vec<u8>) {
        let depth = parameters.h();
        let paths: Vec<u32> = (0..parameters.t()).map(|_| rng.next_u32() >> (32 - depth)).collect();
        let (secret, for_trees) = self.retained.split_at(parameters.k().min(self.retained.len()));
        let turns = paths.iter().flat_map(|path| (0..depth).map(move |d| (path >> d & 1) as u8));
        let corrections = turns.zip(for_trees).map(|(turn, b)| turn ^ b == 0).collect();
        let mut first = noise(parameters, &paths, 0..ahead);
        code.encode_bits(secret, row, &mut first);
        let mut next = noise(parameters, &paths, parameters.usable()..parameters.n());
        code.encode_bits(secret, row + parameters.usable() as u64, &mut next);
        self.retained.zeroize();
        self.retained = next;
        self.announced.0.push_back(paths);
        (corrections, first)
    }

    /// The noise positions of the next batch to begin.
    pub(super) fn take(&mut self) -> Option<Vec<u32>> {
        self.announced.0.pop_front()
    }
}

/// Which of a batch's outputs in `range` are noise positions, a byte each: groups of trees one after
/// another, `[place][tree]`.
fn noise(parameters: &Parameters, paths: &[u32], range: Range<usize>) -> Vec<u8> {
    let group = parameters.group() << parameters.h();
    // The first group of the range, and what of it lies before.
    let (whole, skipped) = (range.start / group, range.start % group);
    let groups = range.end.div_ceil(group) - whole;
    // A buffer that grew would leave its contents behind unwiped.
    let mut noise = Vec::with_capacity(groups * group);
    for paths in paths.chunks(parameters.group()).skip(whole).take(groups) {
        for place in 0..1u32 << parameters.h() {
            // 1 if they are equal: both are below 2^31.
            noise.extend(paths.iter().map(|path| ((path ^ place).wrapping_sub(1) >> 31) as u8));
        }
    }
    noise.truncate(range.end - whole * group);
    noise.drain(..skipped).for_each(drop);
    noise
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_prg::{Prg, Seed};

    const SET: Parameters = Parameters::TOY;

    #[test]
    fn conformance_noise_is_where_the_paths_say() {
        let mut rng = Prg::new(&Seed::from_bytes([3; 16]), 0);
        let paths: Vec<u32> =
            (0..SET.t()).map(|_| rand_core::Rng::next_u32(&mut rng) >> (32 - SET.h())).collect();
        let group = SET.group() << SET.h();
        for range in [SET.usable()..SET.n(), 0..0, 0..1, 0..group + 7, 3..SET.n()] {
            let noise = noise(&SET, &paths, range.clone());
            assert_eq!(noise.len(), range.len());
            for (at, noise) in range.zip(noise) {
                let trees = SET.trees_of(at / group);
                let (place, tree) = (at % group / trees, at % group % trees);
                let path = paths[at / group * SET.group() + tree];
                assert_eq!(noise == 1, path as usize == place, "output {at}");
            }
        }
    }
}

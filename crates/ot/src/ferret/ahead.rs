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

use gazelle_block::{BitVec, Block};
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
    /// From the session's first retained OTs.
    pub(super) fn start(&mut self, parameters: &Parameters, retained: &[Block]) {
        debug_assert_eq!(retained.len(), parameters.retained());
        self.retained = retained.iter().map(|z| u8::from(z.lsb())).collect();
    }

    /// Draws the noise positions of the next batch, whose first row is `row`; its corrections d,
    /// `[tree][level]`.
    pub(super) fn next(
        &mut self,
        parameters: &Parameters,
        code: &Code,
        row: u64,
        rng: &mut (dyn CryptoRng + Send),
    ) -> BitVec {
        let depth = parameters.h();
        let paths: Vec<u32> = (0..parameters.t()).map(|_| rng.next_u32() >> (32 - depth)).collect();
        let (secret, for_trees) = self.retained.split_at(parameters.k().min(self.retained.len()));
        let turns = paths.iter().flat_map(|path| (0..depth).map(move |d| (path >> d & 1) as u8));
        let corrections = turns.zip(for_trees).map(|(turn, b)| turn ^ b == 0).collect();
        let mut next = noise(parameters, &paths);
        code.encode_bits(secret, row + parameters.usable() as u64, &mut next);
        self.retained.zeroize();
        self.retained = next;
        self.announced.0.push_back(paths);
        corrections
    }

    /// The noise positions of the next batch to begin.
    pub(super) fn take(&mut self) -> Option<Vec<u32>> {
        self.announced.0.pop_front()
    }
}

/// Which of a batch's last `k + t h` outputs are noise positions, a byte each: groups of trees one after
/// another, `[place][tree]`.
fn noise(parameters: &Parameters, paths: &[u32]) -> Vec<u8> {
    // The first group of which something is retained, and what of it is not.
    let whole = parameters.usable() / (parameters.group() << parameters.h());
    let skipped = parameters.usable() - whole * (parameters.group() << parameters.h());
    // A buffer that grew would leave its contents behind unwiped.
    let mut noise = Vec::with_capacity(skipped + parameters.retained());
    for paths in paths.chunks(parameters.group()).skip(whole) {
        for place in 0..1u32 << parameters.h() {
            // 1 if they are equal: both are below 2^31.
            noise.extend(paths.iter().map(|path| ((path ^ place).wrapping_sub(1) >> 31) as u8));
        }
    }
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
        let noise = noise(&SET, &paths);
        assert_eq!(noise.len(), SET.retained());
        let group = SET.group() << SET.h();
        for (at, noise) in (SET.usable()..).zip(noise) {
            let trees = SET.trees_of(at / group);
            let (place, tree) = (at % group / trees, at % group % trees);
            let path = paths[at / group * SET.group() + tree];
            assert_eq!(noise == 1, path as usize == place, "output {at}");
        }
    }
}

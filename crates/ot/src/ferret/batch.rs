//! A session's batches, group by group; what both parties do alike and what each does apart.

use gazelle_block::hash::HashSeed;
use gazelle_block::tweak::purpose;
use gazelle_block::{BitVec, Block, Blocks};
use gazelle_prg::Seed;
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use zeroize::Zeroize;

use super::code::{Code, LeafRepairs};
use super::parameters::Parameters;
use crate::error::OtError;
use crate::ggm::{Grower, Repair, TreeKind};

/// The first index of the trees' hash; it runs on over the whole session.
const FIRST_TWEAK: u64 = (purpose::EXTENSION as u64) << 56;

/// What the two parties do differently.
pub(super) trait BatchParty {
    /// The start of a batch: noise positions. `retained` are the `t h` OTs for the trees.
    fn begin(
        &mut self,
        parameters: &Parameters,
        retained: &[Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError>;

    /// The leaves of `trees` trees from number `first` on, but for what the repairs and the lowest bits
    /// still want.
    fn leaves(
        &mut self,
        grower: &mut Grower,
        depth: usize,
        first: usize,
        retained: &[Block],
        leaves: &mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Option<LeafRepairs>, OtError>;
}

/// The state of a session.
pub(super) struct Batch<P> {
    parameters: Parameters,
    code: Code,
    grower: Grower,
    party: P,
    /// The retained OTs that this batch lives on: k for the code, then t h for the trees.
    retained: Vec<Block>,
    /// The first outputs of this batch, for the next one.
    next: Vec<Block>,
    /// The next group; all are done at the beginning, so that the first call starts a batch.
    group: usize,
    /// The current group's outputs.
    leaves: Vec<Block>,
    /// How many of them were handed out or retained.
    used: usize,
    dead: bool,
}

impl<P: BatchParty> Batch<P> {
    pub(super) fn new(parameters: Parameters, seed: Block, retained: Vec<Block>, party: P) -> Self {
        let hash = HashSeed::new(&Seed::from_bytes(seed.to_bytes()));
        Self {
            parameters,
            code: Code::new(),
            grower: Grower::new(hash, FIRST_TWEAK, TreeKind::Correlated),
            party,
            next: retained,
            retained: Vec::new(),
            group: parameters.groups(),
            leaves: Vec::new(),
            used: 0,
            dead: false,
        }
    }

    /// Fills `out` with the next OTs. After an error every call fails.
    pub(super) fn serve(
        &mut self,
        out: &mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        if self.dead {
            return Err(OtError::Dead);
        }
        self.dead = true;
        let mut rest = out;
        while !rest.is_empty() {
            if self.used == self.leaves.len() {
                rest = self.make_group(rest, ch, rng)?;
            }
            let ready = self.leaves.get_mut(self.used..).unwrap_or_default();
            let count = ready.len().min(rest.len());
            let (now, later) = rest.split_at_mut(count);
            if let Some(ready) = ready.get_mut(..count) {
                now.copy_from_slice(ready);
                ready.fill(Block::ZERO);
            }
            self.used += count;
            rest = later;
        }
        self.dead = false;
        Ok(())
    }

    /// Makes the next group: straight into `out` if it fits there, else into the session's own
    /// buffer, after taking out what the next batch needs. Returns what is left of `out`.
    fn make_group<'a>(
        &mut self,
        out: &'a mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<&'a mut [Block], OtError> {
        let Self { parameters, retained, next, leaves, .. } = self;
        if self.group == parameters.groups() {
            // The old ones are wiped and never used again.
            retained.zeroize();
            *retained = std::mem::replace(next, Vec::with_capacity(parameters.retained()));
            self.group = 0;
            let (_, for_trees) = retained.split_at(parameters.k());
            self.party.begin(parameters, for_trees, ch, rng)?;
        }
        let (secret, for_trees) = retained.split_at(parameters.k());
        let (trees, depth) = (parameters.trees_of(self.group), parameters.h() as usize);
        let first = self.group * parameters.group();
        let (_, for_trees) = for_trees.split_at(first * depth);
        let (for_trees, _) = for_trees.split_at(trees * depth);
        let size = trees << depth;
        let missing = parameters.retained() - next.len();
        let in_place = missing == 0 && out.len() >= size;
        let (direct, rest) = out.split_at_mut(if in_place { size } else { 0 });
        if !in_place {
            leaves.resize(size, Block::ZERO);
        }
        let group = if in_place { direct } else { leaves.as_mut_slice() };
        let repairs =
            self.party.leaves(&mut self.grower, depth, first, for_trees, group, ch, rng)?;
        self.code.encode_leaves(secret, (first << depth) as u64, group, trees, repairs.as_ref());
        if !in_place {
            let (keep, _) = group.split_at_mut(missing.min(size));
            next.extend_from_slice(keep);
            keep.zeroize();
            self.used = keep.len();
        }
        self.group += 1;
        Ok(rest)
    }
}

impl<P> Drop for Batch<P> {
    fn drop(&mut self) {
        self.retained.zeroize();
        self.next.zeroize();
        self.leaves.zeroize();
    }
}

/// The party with Delta: it knows all leaves.
pub(super) struct Knower {
    delta: Block,
    /// The receiver's corrections d, `[tree][level]`.
    corrections: BitVec,
}

impl Knower {
    pub(super) fn new(delta: Block) -> Self {
        Self { delta, corrections: BitVec::new() }
    }
}

impl Drop for Knower {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}

impl BatchParty for Knower {
    fn begin(
        &mut self,
        parameters: &Parameters,
        _retained: &[Block],
        ch: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        self.corrections = ch.recv::<BitVec>(&(parameters.t() * parameters.h() as usize))?;
        Ok(())
    }

    fn leaves(
        &mut self,
        grower: &mut Grower,
        depth: usize,
        first: usize,
        retained: &[Block],
        leaves: &mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Option<LeafRepairs>, OtError> {
        let trees = retained.len() / depth;
        let (top, _) = leaves.split_at_mut(2 * trees);
        let (left, right) = top.split_at_mut(trees);
        Block::fill_random(left, rng);
        for (right, left) in right.iter_mut().zip(left) {
            *right = *left ^ self.delta;
        }
        // [level][tree], as the trees grow.
        let mut sums = Vec::with_capacity(retained.len());
        let (left, _) = leaves.split_at(trees);
        sums.extend_from_slice(left);
        grower.grow_summed(leaves, 2 * trees, trees, |left| sums.extend_from_slice(left));
        for (at, sum) in sums.iter_mut().enumerate() {
            let (level, tree) = (at / trees, at % trees);
            let flip = self.corrections.get((first + tree) * depth + level);
            let y = retained.get(tree * depth + level).copied().unwrap_or_default();
            *sum ^= y ^ self.delta.select(flip);
        }
        ch.send(&Blocks(sums), &retained.len())?;
        // At once, so that the receiver works on this group while the next one is made.
        ch.flush()?;
        Ok(None)
    }
}

/// The party with the noise positions: it knows all leaves but one per tree.
#[derive(Default)]
pub(super) struct Puncturer {
    paths: Vec<u32>,
}

impl Drop for Puncturer {
    fn drop(&mut self) {
        self.paths.zeroize();
    }
}

impl BatchParty for Puncturer {
    fn begin(
        &mut self,
        parameters: &Parameters,
        retained: &[Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        let depth = parameters.h();
        self.paths.zeroize();
        self.paths = (0..parameters.t()).map(|_| rng.next_u32() >> (32 - depth)).collect();
        let turns = self.paths.iter().flat_map(|path| (0..depth).map(move |d| path >> d & 1 == 1));
        let corrections: BitVec = turns.zip(retained).map(|(turn, z)| !(z.lsb() ^ turn)).collect();
        ch.send(&corrections, &corrections.len())?;
        Ok(ch.flush()?)
    }

    fn leaves(
        &mut self,
        grower: &mut Grower,
        depth: usize,
        first: usize,
        retained: &[Block],
        leaves: &mut [Block],
        ch: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Option<LeafRepairs>, OtError> {
        let trees = retained.len() / depth;
        let (_, paths) = self.paths.split_at(first);
        let (paths, _) = paths.split_at(trees);
        // [level][tree]: the sum of the side that the path does not take.
        let mut sums = ch.recv::<Blocks>(&retained.len())?;
        for (at, sum) in sums.0.iter_mut().enumerate() {
            let (level, tree) = (at / trees, at % trees);
            *sum ^= retained.get(tree * depth + level).copied().unwrap_or_default();
        }
        let (top, deeper) = sums.0.split_at(trees);
        let (roots, _) = leaves.split_at_mut(2 * trees);
        let (left, right) = roots.split_at_mut(trees);
        for (((left, right), top), path) in left.iter_mut().zip(right).zip(top).zip(paths) {
            *left = top.select(path & 1 == 1);
            *right = top.select(path & 1 == 0);
        }
        let mut levels = deeper.chunks_exact(trees);
        let grown =
            grower.grow_open(leaves, 2 * trees, paths, |_| levels.next().unwrap_or_default());
        let Some((sibling, totals)) = grown else { return Ok(None) };
        // All leaves of a tree XOR to Delta: the missing one is v ^ Delta, with lowest bit 1.
        let whole = totals.iter().zip(&sibling.fixes).map(|(total, fix)| *total ^ *fix);
        let fixes = whole.map(|total| Block(total.0 | 1)).collect();
        Ok(Some(LeafRepairs { sibling, missing: Repair { targets: paths.to_vec(), fixes } }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_prg::Prg;
    use gazelle_wire::memory;
    use rand_core::Rng;
    use std::collections::HashSet;

    const SET: Parameters = Parameters::TOY;

    fn rng(role: u8) -> Prg {
        Prg::new(&Seed::from_bytes([11; 16]), role)
    }

    /// Both parties on ideal retained OTs.
    struct Pair {
        knower: Batch<Knower>,
        puncturer: Batch<Puncturer>,
        delta: Block,
        rngs: [Prg; 2],
    }

    impl Pair {
        fn new() -> Self {
            let (mut delta, mut y) =
                (Block::random(&mut rng(1)), vec![Block::ZERO; SET.retained()]);
            delta.0 |= 1;
            Block::fill_random(&mut y, &mut rng(2));
            let mut choices = rng(3);
            let y: Vec<Block> = y.into_iter().map(Block::without_lsb).collect();
            let z = y.iter().map(|y| *y ^ delta.select(choices.next_u32() & 1 == 1)).collect();
            Self {
                knower: Batch::new(SET, Block(77), y, Knower::new(delta)),
                puncturer: Batch::new(SET, Block(77), z, Puncturer::default()),
                delta,
                rngs: [rng(4), rng(5)],
            }
        }

        /// Makes `count` OTs on both sides and checks the correlation.
        fn make(&mut self, count: usize) -> (Vec<Block>, Vec<Block>) {
            let (mut a, mut b) = memory::pair();
            let (mut y, mut z) = (vec![Block::ZERO; count], vec![Block::ZERO; count]);
            let Self { knower, puncturer, delta, rngs: [own, other] } = self;
            std::thread::scope(|scope| {
                let sending = scope.spawn(|| {
                    knower.serve(&mut y, &mut a, own).unwrap();
                    a.flush().unwrap();
                });
                puncturer.serve(&mut z, &mut b, other).unwrap();
                sending.join().unwrap();
            });
            for (y, z) in y.iter().zip(&z) {
                assert!(*z == *y ^ delta.select(z.lsb()) && !y.lsb());
            }
            (y, z)
        }
    }

    #[test]
    fn rules_the_first_outputs_of_a_batch_are_retained_and_never_handed_out() {
        let mut pair = Pair::new();
        let mut handed = HashSet::new();
        let mut retained = Vec::new();
        for _ in 0..3 {
            let (y, z) = pair.make(SET.usable());
            assert_eq!(pair.knower.group, SET.groups(), "exactly one batch");
            assert_eq!(
                (pair.knower.next.len(), pair.puncturer.next.len()),
                (SET.retained(), SET.retained())
            );
            for (y, z) in pair.knower.next.iter().zip(&pair.puncturer.next) {
                assert!(
                    *z == *y ^ pair.delta.select(z.lsb()),
                    "retained OTs are under the same Delta"
                );
            }
            handed.extend(y.iter().chain(&z).map(|block| block.0 | 1));
            retained.push(pair.knower.next.clone());
        }
        let all: Vec<u128> = retained.iter().flatten().map(|block| block.0 | 1).collect();
        assert!(all.iter().all(|block| !handed.contains(block)), "never handed out");
        let distinct: HashSet<&u128> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "the previous ones are never reused");
    }

    #[test]
    fn rules_the_next_batch_lives_on_what_the_last_one_retained() {
        let mut pair = Pair::new();
        pair.make(SET.usable());
        let kept = pair.knower.next.clone();
        pair.make(1);
        assert!(pair.knower.retained == kept, "k for the code, then t h for the trees");
        assert!(pair.knower.next.len() == SET.retained(), "and new ones are put aside at once");
    }

    #[test]
    fn rules_secret_and_noise_positions_are_fresh_in_every_batch() {
        let mut pair = Pair::new();
        let (mut paths, mut secrets) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            pair.make(SET.usable());
            paths.push(pair.puncturer.party.paths.clone());
            let secret = pair.puncturer.retained.iter().take(SET.k()).map(|z| z.lsb());
            secrets.push(secret.collect::<Vec<_>>());
        }
        assert!(paths[0] != paths[1] && secrets[0] != secrets[1]);
        for paths in paths {
            assert!(paths.len() == SET.t() && paths.iter().all(|path| *path < 1 << SET.h()));
            assert!(paths.iter().collect::<HashSet<_>>().len() > SET.t() / 2, "spread");
        }
        for secret in secrets {
            let ones = secret.iter().filter(|bit| **bit).count();
            assert!(ones.abs_diff(SET.k() / 2) < 100, "a uniform secret");
        }
    }

    #[test]
    fn rules_noise_is_regular_with_one_position_per_bin() {
        let mut pair = Pair::new();
        pair.make(1);
        // Take the code's part off a whole group again: what is left are the leaves.
        let bare = |batch: &mut dyn FnMut(u64, &mut [Block])| {
            let mut group = vec![Block::ZERO; SET.group() << SET.h()];
            batch(0, &mut group);
            group
        };
        let code_y = bare(&mut |row, out| {
            pair.knower.code.encode(&pair.knower.retained[..SET.k()], row, out);
        });
        let code_z = bare(&mut |row, out| {
            pair.puncturer.code.encode(&pair.puncturer.retained[..SET.k()], row, out);
        });
        let whole =
            pair.knower.next.iter().zip(&pair.puncturer.next).zip(code_y.iter().zip(&code_z));
        let mut hits = vec![0; SET.group()];
        for (at, ((y, z), (code_y, code_z))) in whole.enumerate() {
            let noise = *y ^ *code_y ^ *z ^ *code_z;
            assert!(noise == Block::ZERO || noise == pair.delta);
            if noise == pair.delta {
                assert_eq!(at / SET.group(), pair.puncturer.party.paths[at % SET.group()] as usize);
                hits[at % SET.group()] += 1;
            }
        }
        assert!(hits.iter().all(|hits| *hits <= 1) && hits.contains(&1));
        assert_eq!(SET.n(), SET.t() << SET.h());
    }

    #[test]
    fn adversarial_after_an_error_the_session_is_dead() {
        let Pair { mut knower, mut puncturer, .. } = Pair::new();
        let (mut a, b) = memory::pair();
        drop(b);
        let mut out = [Block::ZERO];
        assert!(matches!(knower.serve(&mut out, &mut a, &mut rng(5)), Err(OtError::Channel(_))));
        let (mut a, mut b) = memory::pair();
        assert!(matches!(knower.serve(&mut out, &mut a, &mut rng(5)), Err(OtError::Dead)));
        drop(a);
        assert!(matches!(puncturer.serve(&mut out, &mut b, &mut rng(5)), Err(OtError::Channel(_))));
        assert!(matches!(puncturer.serve(&mut out, &mut b, &mut rng(5)), Err(OtError::Dead)));
    }
}

//! A session's batches, group by group: what both parties do alike.

use gazelle_block::hash::HashSeed;
use gazelle_block::tweak::purpose;
use gazelle_block::{Block, gf128};
use gazelle_prg::Seed;
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::code::Code;
use super::parameters::Parameters;
use crate::consistency::CheckTranscript;
use crate::error::OtError;
use crate::extension::Half;
use crate::ggm::{Grower, Repair, TreeKind};
use crate::joint::JointKeys;

/// The first index of the trees' hash; it runs on over the whole session.
const FIRST_TWEAK: u64 = (purpose::EXTENSION as u64) << 56;

/// Powers of a challenge that are kept.
const POWERS: usize = 64;
/// Label of the digest of a group's hashes; a change of the protocol changes it.
const CHECK: &str = "gazelle-ot 2026 hashes of the shadows of GGM trees v1";

/// What the two parties do differently.
pub(super) trait BatchParty {
    /// Whether this party's messages make the OTs.
    const SPEAKS: bool;

    /// The choices of the first retained OTs, on which the first batch lives, a byte each; none at the
    /// party with Delta.
    fn start(&mut self, _choices: Vec<u8>) {}

    /// Announces one more batch, whose first row of the code is `row`: noise positions. Returns the choices
    /// of its first `ahead` outputs, a byte each; nothing at the party with Delta.
    fn announce(
        &mut self,
        parameters: &Parameters,
        rows: (&Code, u64),
        ahead: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<u8>, OtError>;

    /// The start of a batch that was announced.
    fn begin(&mut self) -> Result<(), OtError>;

    /// The leaves of a group of trees, from number `first` on, checked, but for what the repairs and the
    /// lowest bits still want. `retained`: the OTs for these trees, `[tree][level]`.
    fn leaves(
        &mut self,
        tools: &mut TreeTools,
        group: TreeGroup<'_>,
        half: &mut Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Option<Repair>, OtError>;
}

/// A group of trees to be made.
pub(super) struct TreeGroup<'a> {
    pub(super) depth: usize,
    /// The number of its first tree in the batch.
    pub(super) first: usize,
    /// The retained OTs for its trees, `[tree][level]`.
    pub(super) retained: &'a [Block],
    /// Room for the leaves, `[place][tree]`.
    pub(super) leaves: &'a mut [Block],
}

impl TreeGroup<'_> {
    pub(super) fn trees(&self) -> usize {
        self.retained.len() / self.depth
    }
}

/// What both parties make and check trees with; alike at both.
pub(super) struct TreeTools {
    pub(super) grower: Grower,
    transcript: CheckTranscript,
    /// The shadows of a group's leaves.
    pub(super) shadows: Zeroizing<Vec<Block>>,
}

impl TreeTools {
    /// Repairs the leaves, and puts their shadows in `shadows`; returns the shadows' sum per tree.
    pub(super) fn cast(
        &mut self,
        leaves: &mut [Block],
        trees: usize,
        pending: Option<&Repair>,
    ) -> Zeroizing<Vec<Block>> {
        if self.shadows.len() != leaves.len() {
            self.shadows = Zeroizing::new(vec![Block::ZERO; leaves.len()]);
        }
        let mut sums = Zeroizing::new(vec![Block::ZERO; trees]);
        self.grower.shadow(leaves, pending, &mut self.shadows, &mut sums);
        sums
    }

    /// C: a digest of the universal hashes `C_i` of each tree's shadows, under a challenge that depends
    /// on all that the sender said. What `missing` adds to the shadows is added to their hashes: these are
    /// linear.
    pub(super) fn hash(&mut self, said: &[Block], trees: usize, missing: Option<&Repair>) -> Block {
        let bytes: Vec<[u8; 16]> = said.iter().map(|block| block.to_bytes()).collect();
        let challenge = self.transcript.challenge(bytes.as_flattened());
        let powers = gf128::powers(challenge, POWERS);
        let mut hashes = Zeroizing::new(gf128::polynomials(&self.shadows, trees, &powers));
        if let Some(Repair { targets, fixes }) = missing {
            let rows = self.shadows.len() / trees.max(1);
            for ((hash, target), fix) in hashes.iter_mut().zip(targets).zip(fixes) {
                // The target is secret, the number of its bits is not.
                let exponent = u128::from(*target) + 1;
                let power = gf128::pow_of_bits(challenge, exponent, rows.ilog2() + 1);
                *hash ^= gf128::mul(power, *fix);
            }
        }
        let mut hasher = blake3::Hasher::new_derive_key(CHECK);
        hasher.update(&self.transcript.context());
        for hash in hashes.iter() {
            hasher.update(&hash.to_bytes());
        }
        let mut digest = [0; 16];
        hasher.finalize_xof().fill(&mut digest);
        hasher.zeroize();
        Block::from_bytes(digest)
    }
}

/// The state of a session.
pub(super) struct Batch<P> {
    parameters: Parameters,
    code: Code,
    tools: TreeTools,
    party: P,
    /// The retained OTs that this batch lives on: k for the code, then t h for the trees.
    retained: Vec<Block>,
    /// The first row of the code that this batch uses: rows run on over the whole session.
    row: u64,
    /// The last outputs of this batch, for the next one; made when the next one begins.
    next: Vec<Block>,
    /// Batches announced, and OTs handed out.
    announced: usize,
    made: usize,
    /// The next group; all are done at the beginning, so that the first call starts a batch.
    group: usize,
    /// The current group's outputs.
    leaves: Vec<Block>,
    /// How many of them were handed out.
    used: usize,
    dead: bool,
}

impl<P: BatchParty> Batch<P> {
    /// A session that waits for its first retained OTs: [`start`](Self::start) and [`supply`](Self::supply).
    ///
    /// - `keys`: public and joint, for the trees' hash and for the code.
    /// - `binding`: what the channel is bound to.
    pub(super) fn waiting(
        parameters: Parameters,
        [hash, code]: JointKeys,
        binding: &[u8; 32],
        party: P,
    ) -> Self {
        let transcript = CheckTranscript::new("ferret", binding, &[hash]);
        let hash = HashSeed::new(&Seed::from_bytes(hash.to_bytes()));
        Self {
            parameters,
            code: Code::new(code),
            tools: TreeTools {
                grower: Grower::new(hash, FIRST_TWEAK, TreeKind::Correlated),
                transcript,
                shadows: Zeroizing::default(),
            },
            party,
            next: Vec::new(),
            retained: Vec::new(),
            // The first batch begins by going one batch on.
            row: (parameters.n() as u64).wrapping_neg(),
            announced: 0,
            made: 0,
            group: parameters.groups(),
            leaves: Vec::with_capacity(parameters.group() << parameters.h()),
            used: 0,
            dead: false,
        }
    }

    /// The choices of the first retained OTs, a byte each; none at the party with Delta.
    pub(super) fn start(&mut self, choices: Vec<u8>) {
        self.party.start(choices);
    }

    /// The first retained OTs.
    pub(super) fn supply(&mut self, retained: Vec<Block>) {
        self.next = retained;
    }

    /// Whether nothing was announced yet.
    pub(super) fn is_new(&self) -> bool {
        self.announced == 0
    }

    /// Announces the first batch; the choices of its first `count` outputs, as [`BatchParty::announce`].
    pub(super) fn announce_first(
        &mut self,
        count: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<u8>, OtError> {
        if self.dead {
            return Err(OtError::Dead);
        }
        self.dead = true;
        let choices = self.party.announce(&self.parameters, (&self.code, 0), count, ch, rng)?;
        self.announced = 1;
        self.dead = false;
        Ok(choices)
    }

    /// Announces the batches that the next `count` OTs take, as far as they have not yet been.
    pub(super) fn announce(
        &mut self,
        count: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        if self.dead {
            return Err(OtError::Dead);
        }
        self.dead = true;
        let wanted = self.parameters.batches(self.made.saturating_add(count));
        let any = self.announced < wanted;
        while self.announced < wanted {
            let row = self.announced as u64 * self.parameters.n() as u64;
            self.party.announce(&self.parameters, (&self.code, row), 0, ch, rng)?;
            self.announced += 1;
        }
        if any && !P::SPEAKS {
            ch.flush()?;
        }
        self.dead = false;
        Ok(())
    }

    /// Fills `out` with the next OTs. After an error every call fails.
    pub(super) fn serve(
        &mut self,
        out: &mut [Block],
        half: &mut Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        if self.dead {
            return Err(OtError::Dead);
        }
        self.dead = true;
        self.made = self.made.saturating_add(out.len());
        let mut rest = out;
        while !rest.is_empty() {
            if self.used == self.leaves.len() {
                rest = self.make_group(rest, half, rng)?;
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
    /// buffer, from which it takes what the next batch needs. Returns what is left of `out`.
    fn make_group<'a>(
        &mut self,
        out: &'a mut [Block],
        half: &mut Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<&'a mut [Block], OtError> {
        let Self { parameters, retained, next, leaves, .. } = self;
        if self.group == parameters.groups() {
            if next.len() != parameters.retained() {
                return Err(OtError::Unannounced);
            }
            // The old ones are wiped and never used again.
            retained.zeroize();
            *retained = std::mem::replace(next, Vec::with_capacity(parameters.retained()));
            self.group = 0;
            self.row = self.row.wrapping_add(parameters.n() as u64);
            self.party.begin()?;
        }
        let (secret, for_trees) = retained.split_at(parameters.k());
        let (trees, depth) = (parameters.trees_of(self.group), parameters.h() as usize);
        let first = self.group * parameters.group();
        let (_, for_trees) = for_trees.split_at(first * depth);
        let (for_trees, _) = for_trees.split_at(trees * depth);
        let size = trees << depth;
        let handed_out = parameters.usable().saturating_sub(first << depth).min(size);
        let in_place = handed_out == size && out.len() >= size;
        let (direct, rest) = out.split_at_mut(if in_place { size } else { 0 });
        if !in_place {
            leaves.resize(size, Block::ZERO);
        }
        let group = if in_place { direct } else { leaves.as_mut_slice() };
        let made = TreeGroup { depth, first, retained: for_trees, leaves: &mut *group };
        let missing_leaves = self.party.leaves(&mut self.tools, made, half, rng)?;
        let row = self.row + (first << depth) as u64;
        self.code.encode_leaves(secret, row, group, trees, missing_leaves.as_ref());
        if !in_place {
            let (_, keep) = group.split_at_mut(handed_out);
            next.extend_from_slice(keep);
            keep.zeroize();
            leaves.truncate(handed_out);
            self.used = 0;
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

#[cfg(test)]
mod tests;

//! SoftSpokenOT: k times fewer bits than IKNP, for 2^k / k times the AES. Secure against cheaters.
//!
//! Bits k i to k i + k - 1 of Delta, read as a number `Delta_i`, name the one leaf of GGM tree i that
//! the sender does not know. Leaf x of tree i is the key of a stream `r_x` of bits, one per OT.
//!
//! ```text
//! sender (Delta)                               receiver
//! sender: base OTs as receiver, choices        receiver: base OTs as sender;
//!   the complement of Delta_i's path             grows 128 / k trees
//!                                       ◄──    a seed for H; both sums of each level, under the OTs;
//!                                              the commitment to the leaves (`ggm::commitment`)
//! knows all leaves but x = Delta_i; they fit the commitment
//! extend:                                      extend, per tree i:
//!                                              u_i = XOR_x r_x
//!                                              v_j = XOR over x with x_j = 1
//!                                              b = u_0
//!                                       ◄──    u_i ^ b for i >= 1
//! w_j = XOR over x with (x ^ Delta_i)_j = 1
//! q_j = w_j ^ Delta_i,j (u_i ^ b)
//! y = q transposed, lowest bit 0               z = v transposed, lowest bit b;  z = y ^ b Delta
//! at the end of a call:                        one piece more per row, never handed out;
//!                                       ◄──    hashes of all rows (`consistency`)
//! rows agree
//! ```
//!
//! The sender keeps leaf x at place `x ^ Delta_i`, so that it sums as the receiver does and skips place
//! 0. Streams run over the whole session and never restart; after an error the session is dead.
//! Assumptions: H is correlation robust (GGM trees), AES-128 in counter mode a pseudorandom generator,
//! BLAKE3 a random oracle, the base OTs' assumption. A receiver that cheats is caught by one of the two
//! checks, or guesses that Delta lies in a set and is caught if it does not; a sender sends nothing after
//! the base OTs that it could cheat with.
//!
//! Source: Roy, "SoftSpokenOT" (CRYPTO 2022).

use gazelle_block::aes::AesIsa;
use gazelle_block::hash::HashSeed;
use gazelle_block::tweak::purpose;
use gazelle_block::{BitVec, Block, Blocks, Delta, transpose};
use gazelle_prg::Seed;
use gazelle_wire::Channel;
use gazelle_wire::traffic::framed_len;
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::base::{BaseOt, BaseReceiver, BaseSender};
use crate::consistency::{self, CheckResponse, CheckTranscript, Checks, RowHashes, chunks};
use crate::error::OtError;
use crate::extension::{Half, OtExtension, RcotReceiver, RcotSender, Speaker, lowest_bits};
use crate::ggm::commitment::{self, ForestKey, LeafCommitment};
use crate::ggm::{Grower, TreeKind, xor_all};
use crate::rows::{CHUNK, Corrections, ROW_UNIT, Rows};
use crate::streams::Streams;
use crate::surplus::Surplus;
use crate::traffic::OtTraffic;

/// Base OTs: one per bit of Delta.
const BASE: usize = 128;
/// What the base OTs' strings are derived for.
const CONTEXT: &str = "softspoken";
/// The first index of the trees' hash.
const FIRST_TWEAK: u64 = (purpose::EXTENSION as u64) << 56;

/// SoftSpokenOT with trees of 2^k leaves: `128 / k - 1` bits per OT from the receiver, `2^k / k` AES
/// blocks per OT and party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoftSpoken {
    k: u32,
    checks: Checks,
    base: BaseOt,
}

/// The sender of [`SoftSpoken`]. Wiped on drop.
pub struct SoftSpokenSender {
    k: u32,
    checks: Checks,
    delta: Delta,
    leaves: Streams,
    transcript: CheckTranscript,
    surplus: Surplus,
    matrix: Rows,
}

/// The receiver of [`SoftSpoken`]. Wiped on drop.
pub struct SoftSpokenReceiver {
    k: u32,
    leaves: Streams,
    transcript: CheckTranscript,
    surplus: Surplus,
    matrix: Rows,
    corrections: Corrections,
}

impl Default for SoftSpoken {
    fn default() -> Self {
        Self::K8
    }
}

impl SoftSpoken {
    /// 7.9 bytes and 2 AES blocks per OT.
    pub const K2: Self = Self { k: 2, checks: Checks::Enforced, base: BaseOt::Hybrid };
    /// 3.9 bytes and 4 AES blocks per OT.
    pub const K4: Self = Self { k: 4, checks: Checks::Enforced, base: BaseOt::Hybrid };
    /// 1.9 bytes and 32 AES blocks per OT.
    pub const K8: Self = Self { k: 8, checks: Checks::Enforced, base: BaseOt::Hybrid };

    /// Trees of 2^k leaves.
    ///
    /// # Errors
    /// [`OtError::Parameters`] unless k is 2, 4 or 8.
    pub const fn new(k: u32) -> Result<Self, OtError> {
        match k {
            2 | 4 | 8 => Ok(Self { k, checks: Checks::Enforced, base: BaseOt::Hybrid }),
            _ => Err(OtError::Parameters("SoftSpokenOT: k is 2, 4 or 8")),
        }
    }

    /// log2 of the leaves of a tree.
    pub const fn k(&self) -> u32 {
        self.k
    }

    /// With other base OTs.
    #[must_use]
    pub const fn with_base(self, base: BaseOt) -> Self {
        Self { base, ..self }
    }

    /// **Insecure**: the sender goes on whatever its checks say, to show what they are there for.
    #[cfg(test)]
    #[must_use]
    pub(crate) const fn without_checks(self) -> Self {
        Self { checks: Checks::Ignored, ..self }
    }

    const fn trees(k: u32) -> usize {
        BASE / k as usize
    }

    /// Bytes of a chunk of `count` OTs on the wire.
    fn chunk_bytes(self, count: usize) -> u64 {
        framed_len((Self::trees(self.k) - 1) * count / 8)
    }
}

impl OtExtension for SoftSpoken {
    type Sender = SoftSpokenSender;
    type Receiver = SoftSpokenReceiver;

    fn name(&self) -> String {
        format!("softspoken, k = {}{}", self.k, self.base)
    }

    fn base(&self) -> BaseOt {
        self.base
    }

    fn base_count(&self) -> usize {
        BASE
    }

    fn sender_over(
        &self,
        base: &mut dyn BaseReceiver,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<SoftSpokenSender, OtError> {
        let (k, trees) = (self.k, Self::trees(self.k));
        let block = delta.block();
        let choices: Vec<bool> = (0..128).map(|bit| !block.bit(bit)).collect();
        let choices = Zeroizing::new(choices);
        let seeds = base.receive(&choices, CONTEXT, ch, rng)?;
        let message = ch.recv::<Blocks>(&(1 + 2 * BASE))?;
        let (seed, sums) = message.0.split_first().unwrap_or((&Block::ZERO, &[]));
        // Base OT k i + j hides the sums of level j of tree i; the forest wants them level by level.
        let mut known = Zeroizing::new(vec![vec![Block::ZERO; trees]; k as usize]);
        let opened = sums.as_chunks::<2>().0.iter().zip(&seeds).zip(choices.iter());
        for (at, (([zero, one], seed), choice)) in opened.enumerate() {
            let sum = *zero ^ (*zero ^ *one).select(*choice);
            if let Some(slot) =
                known.get_mut(at % k as usize).and_then(|level| level.get_mut(at / k as usize))
            {
                *slot = sum ^ Block::from_bytes(*seed.bytes());
            }
        }
        let path = |i| (block.0 >> (k * i)) as u32 & ((1 << k) - 1);
        let paths: Zeroizing<Vec<u32>> = Zeroizing::new((0..trees as u32).map(path).collect());
        let mut nodes = Zeroizing::new(vec![Block::ZERO; trees << k]);
        let hash = HashSeed::new(&Seed::from_bytes(seed.to_bytes()));
        Grower::new(hash, FIRST_TWEAK, TreeKind::Plain).grow_punctured(
            &mut nodes,
            trees,
            &paths,
            |depth| known.get(depth as usize).map_or(&[], Vec::as_slice),
        );
        let commitment = ch.recv::<LeafCommitment>(&trees)?;
        let key = ForestKey::new(ch.binding(), CONTEXT, *seed);
        let fits = commitment::fits(&key, &nodes, &paths, &commitment);
        self.checks.require(fits, "the check of GGM trees")?;
        Ok(SoftSpokenSender {
            k,
            checks: self.checks,
            delta,
            leaves: leaf_streams(&nodes, k, &paths),
            transcript: CheckTranscript::new(CONTEXT, ch.binding(), &[*seed]),
            surplus: Surplus::default(),
            matrix: Rows::default(),
        })
    }

    fn receiver_over(
        &self,
        base: &mut dyn BaseSender,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<SoftSpokenReceiver, OtError> {
        let (k, trees) = (self.k, Self::trees(self.k));
        let pairs = base.send(BASE, CONTEXT, ch, rng)?;
        let seed = Seed::random(rng);
        let mut nodes = Zeroizing::new(vec![Block::ZERO; trees << k]);
        if let Some(roots) = nodes.get_mut(..trees) {
            Block::fill_random(roots, rng);
        }
        let mut message = Blocks(vec![Block::ZERO; 1 + 2 * BASE]);
        if let Some((hash, sums)) = message.0.split_first_mut() {
            *hash = Block::from_bytes(*seed.bytes());
            for (sums, pair) in sums.as_chunks_mut::<2>().0.iter_mut().zip(&pairs) {
                *sums = pair.each_ref().map(|seed| Block::from_bytes(*seed.bytes()));
            }
            let mut level = 0;
            let grower = &mut Grower::new(HashSeed::new(&seed), FIRST_TWEAK, TreeKind::Plain);
            grower.grow(&mut nodes, trees, |nodes| {
                for (side, nodes) in nodes.chunks_exact(nodes.len() / 2).enumerate() {
                    let mut totals = vec![Block::ZERO; trees];
                    xor_all(AesIsa::best(), nodes, &mut totals);
                    let slots = sums.iter_mut().skip(2 * level + side).step_by(2 * k as usize);
                    for (slot, total) in slots.zip(&totals) {
                        *slot ^= *total;
                    }
                    totals.zeroize();
                }
                level += 1;
            });
        }
        ch.send(&message, &(1 + 2 * BASE))?;
        let seed = Block::from_bytes(*seed.bytes());
        let key = ForestKey::new(ch.binding(), CONTEXT, seed);
        ch.send(&commitment::commit(&key, &nodes, trees), &trees)?;
        ch.flush()?;
        Ok(SoftSpokenReceiver {
            k,
            leaves: leaf_streams(&nodes, k, &vec![0; trees]),
            transcript: CheckTranscript::new(CONTEXT, ch.binding(), &[seed]),
            surplus: Surplus::default(),
            matrix: Rows::default(),
            corrections: Corrections::default(),
        })
    }

    fn setup_traffic_over(&self) -> OtTraffic {
        let trees = framed_len(16 * (1 + 2 * BASE)) + commitment::traffic(Self::trees(self.k));
        OtTraffic { sender_to_receiver: 0, receiver_to_sender: trees }
    }

    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic {
        let mut bytes = 0;
        for (chunks, size) in Surplus::chunks(ROW_UNIT, CHUNK, already_made, count) {
            bytes += chunks as u64 * self.chunk_bytes(size);
        }
        if bytes > 0 {
            // The mask of the check, and its response.
            bytes += 16 * (Self::trees(self.k) - 1) as u64 + consistency::response_bytes();
        }
        OtTraffic { sender_to_receiver: 0, receiver_to_sender: bytes }
    }
}

/// The streams of all leaves, tree after tree, leaf x of tree i at place `x ^ paths[i]`: moved there
/// bit by bit with masks.
fn leaf_streams(nodes: &[Block], k: u32, paths: &[u32]) -> Streams {
    let trees = paths.len();
    let mut keys = Vec::with_capacity(nodes.len());
    for (i, path) in paths.iter().enumerate() {
        let mut leaves: Vec<Block> = nodes.iter().skip(i).step_by(trees).copied().collect();
        for bit in 0..k {
            for pair in leaves.chunks_exact_mut(2 << bit) {
                let (low, high) = pair.split_at_mut(1 << bit);
                for (low, high) in low.iter_mut().zip(high) {
                    let swap = (*low ^ *high).select(path >> bit & 1 == 1);
                    *low ^= swap;
                    *high ^= swap;
                }
            }
        }
        keys.extend(leaves.iter().map(|leaf| Seed::from_bytes(leaf.to_bytes())));
        leaves.zeroize();
    }
    Streams::new(&keys)
}

impl RcotSender for SoftSpokenSender {
    fn delta(&self) -> &Delta {
        &self.delta
    }

    fn speaker(&self) -> Speaker {
        Speaker::Receiver
    }

    fn make(
        &mut self,
        out: &mut [Block],
        mut half: Half<'_>,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        let ch = half.receiving()?;
        let Self { k, checks, delta, leaves, transcript, surplus, matrix } = self;
        let trees = SoftSpoken::trees(*k);
        let mut hashes = RowHashes::default();
        surplus.serve(ROW_UNIT, out, |out, last| {
            for (width, chunk) in chunks(out, last) {
                matrix.resize(128 * width);
                let corrections = ch.recv::<Corrections>(&((trees - 1) * width))?;
                leaves.fill_corrected(*k, &mut matrix.0, &corrections.0, delta.block(), width);
                hashes.absorb(transcript, &corrections.0, &matrix.0, width);
                transpose::transpose(matrix.0.as_flattened(), 16 * width, chunk);
            }
            if last {
                let response = ch.recv::<CheckResponse>(&())?;
                checks.require(hashes.accept(transcript, delta, &response), consistency::NAME)?;
            }
            Ok(())
        })
    }
}

impl RcotReceiver for SoftSpokenReceiver {
    fn speaker(&self) -> Speaker {
        Speaker::Receiver
    }

    fn make(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        mut half: Half<'_>,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        let ch = half.sending()?;
        let Self { k, leaves, transcript, surplus, matrix, corrections } = self;
        let trees = SoftSpoken::trees(*k);
        let mut hashes = RowHashes::default();
        surplus.serve(ROW_UNIT, out, |out, last| {
            for (width, chunk) in chunks(out, last) {
                matrix.resize(128 * width);
                corrections.0.resize((trees - 1) * width, [0; 16]);
                leaves.fill_sums(*k, &mut matrix.0, &mut corrections.0, width);
                ch.send(corrections, &((trees - 1) * width))?;
                hashes.absorb(transcript, &corrections.0, &matrix.0, width);
                transpose::transpose(matrix.0.as_flattened(), 16 * width, chunk);
            }
            if last {
                ch.send(&hashes.response(transcript), &())?;
            }
            Ok(ch.flush()?)
        })?;
        lowest_bits(out, choices);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

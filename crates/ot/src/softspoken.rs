//! SoftSpokenOT: k times fewer bits than IKNP, for 2^k / k times the AES. Semi-honest.
//!
//! Bits k i to k i + k - 1 of Delta, read as a number `Delta_i`, name the one leaf of GGM tree i that
//! the sender does not know. Leaf x of tree i is the key of a stream `r_x` of bits, one per OT.
//!
//! ```text
//! sender (Delta)                               receiver
//! sender: base OTs as receiver, choices        receiver: base OTs as sender;
//!   the complement of Delta_i's path             grows 128 / k trees
//!                                       ◄──    a seed for H; both sums of each level, under the OTs
//! knows all leaves but x = Delta_i
//! extend:                                      extend, per tree i:
//!                                              u_i = XOR_x r_x
//!                                              v_j = XOR over x with x_j = 1
//!                                              b = u_0
//!                                       ◄──    u_i ^ b for i >= 1
//! w_j = XOR over x with (x ^ Delta_i)_j = 1
//! q_j = w_j ^ Delta_i,j (u_i ^ b)
//! y = q transposed, lowest bit 0               z = v transposed, lowest bit b;  z = y ^ b Delta
//! ```
//!
//! The sender keeps leaf x at place `x ^ Delta_i`, so that it sums as the receiver does and skips place
//! 0. Streams run over the whole session and never restart; after an error the session is dead.
//! Assumptions: H is correlation robust (GGM trees), AES-128 in counter mode a pseudorandom generator,
//! the base OTs' assumption.
//!
//! Source: Roy, "SoftSpokenOT" (CRYPTO 2022), figure 7 without the consistency check.

use gazelle_block::aes::AesIsa;
use gazelle_block::hash::HashSeed;
use gazelle_block::tweak::purpose;
use gazelle_block::{BitVec, Block, Blocks, Delta, transpose};
use gazelle_prg::Seed;
use gazelle_wire::Channel;
use gazelle_wire::traffic::framed_len;
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::base;
use crate::error::OtError;
use crate::extension::{OtExtension, OtTraffic, RcotReceiver, RcotSender, lowest_bits};
use crate::ggm::{Grower, TreeKind, xor_all};
use crate::rows::{Corrections, ROW_UNIT, Rows};
use crate::streams::Streams;
use crate::surplus::Surplus;

/// Base OTs: one per bit of Delta.
const BASE: usize = 128;
/// OTs per chunk: the matrix of 128 rows stays in L2.
const CHUNK: usize = 8192;
/// What the base OTs' strings are derived for.
const CONTEXT: &str = "softspoken";
/// The first index of the trees' hash.
const FIRST_TWEAK: u64 = (purpose::EXTENSION as u64) << 56;

/// SoftSpokenOT with trees of 2^k leaves: `128 / k - 1` bits per OT from the receiver, `2^k / k` AES
/// blocks per OT and party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoftSpoken {
    k: u32,
}

/// The sender of [`SoftSpoken`]. Wiped on drop.
pub struct SoftSpokenSender {
    k: u32,
    delta: Delta,
    leaves: Streams,
    surplus: Surplus,
    matrix: Rows,
}

/// The receiver of [`SoftSpoken`]. Wiped on drop.
pub struct SoftSpokenReceiver {
    k: u32,
    leaves: Streams,
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
    pub const K2: Self = Self { k: 2 };
    /// 3.9 bytes and 4 AES blocks per OT.
    pub const K4: Self = Self { k: 4 };
    /// 1.9 bytes and 32 AES blocks per OT.
    pub const K8: Self = Self { k: 8 };

    /// Trees of 2^k leaves.
    ///
    /// # Errors
    /// [`OtError::Parameters`] unless k is 2, 4 or 8.
    pub const fn new(k: u32) -> Result<Self, OtError> {
        match k {
            2 | 4 | 8 => Ok(Self { k }),
            _ => Err(OtError::Parameters("SoftSpokenOT: k is 2, 4 or 8")),
        }
    }

    /// log2 of the leaves of a tree.
    pub const fn k(&self) -> u32 {
        self.k
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
        format!("softspoken, k = {}", self.k)
    }

    fn sender(
        &self,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<SoftSpokenSender, OtError> {
        let (k, trees) = (self.k, Self::trees(self.k));
        let block = delta.block();
        let mut choices: Vec<bool> = (0..128).map(|bit| !block.bit(bit)).collect();
        let seeds = base::receive(&choices, CONTEXT, ch, rng)?;
        let message = ch.recv::<Blocks>(&(1 + 2 * BASE))?;
        let (hash, sums) = message.0.split_first().unwrap_or((&Block::ZERO, &[]));
        // Base OT k i + j hides the sums of level j of tree i; the forest wants them level by level.
        let mut known = vec![vec![Block::ZERO; trees]; k as usize];
        let opened = sums.as_chunks::<2>().0.iter().zip(&seeds).zip(&choices);
        for (at, (([zero, one], seed), choice)) in opened.enumerate() {
            let sum = *zero ^ (*zero ^ *one).select(*choice);
            if let Some(slot) =
                known.get_mut(at % k as usize).and_then(|level| level.get_mut(at / k as usize))
            {
                *slot = sum ^ Block::from_bytes(*seed.bytes());
            }
        }
        choices.zeroize();
        let mut paths: Vec<u32> =
            (0..trees as u32).map(|i| (block.0 >> (k * i)) as u32 & ((1 << k) - 1)).collect();
        let mut nodes = vec![Block::ZERO; trees << k];
        let hash = HashSeed::new(&Seed::from_bytes(hash.to_bytes()));
        Grower::new(hash, FIRST_TWEAK, TreeKind::Plain).grow_punctured(
            &mut nodes,
            trees,
            &paths,
            |depth| known.get(depth as usize).map_or(&[], Vec::as_slice),
        );
        let leaves = leaf_streams(&mut nodes, k, &paths);
        known.zeroize();
        paths.zeroize();
        Ok(SoftSpokenSender {
            k,
            delta,
            leaves,
            surplus: Surplus::default(),
            matrix: Rows::default(),
        })
    }

    fn receiver(
        &self,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<SoftSpokenReceiver, OtError> {
        let (k, trees) = (self.k, Self::trees(self.k));
        let pairs = base::send(BASE, CONTEXT, ch, rng)?;
        let seed = Seed::random(rng);
        let mut nodes = vec![Block::ZERO; trees << k];
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
        ch.flush()?;
        Ok(SoftSpokenReceiver {
            k,
            leaves: leaf_streams(&mut nodes, k, &vec![0; trees]),
            surplus: Surplus::default(),
            matrix: Rows::default(),
            corrections: Corrections::default(),
        })
    }

    fn setup_traffic(&self) -> OtTraffic {
        // The extension's sender is the base OTs' receiver.
        let base = base::traffic(BASE);
        OtTraffic {
            sender_to_receiver: base.receiver_to_sender,
            receiver_to_sender: base.sender_to_receiver + framed_len(16 * (1 + 2 * BASE)),
        }
    }

    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic {
        let bytes = Surplus::chunks(ROW_UNIT, CHUNK, already_made, count)
            .map(|(chunks, size)| chunks as u64 * self.chunk_bytes(size));
        OtTraffic { sender_to_receiver: 0, receiver_to_sender: bytes.sum() }
    }
}

/// The streams of all leaves, tree after tree, leaf x of tree i at place `x ^ paths[i]`: moved there
/// bit by bit with masks. Wipes `nodes`.
fn leaf_streams(nodes: &mut [Block], k: u32, paths: &[u32]) -> Streams {
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
    nodes.zeroize();
    Streams::new(&keys)
}

impl RcotSender for SoftSpokenSender {
    fn delta(&self) -> &Delta {
        &self.delta
    }

    fn extend(
        &mut self,
        out: &mut [Block],
        ch: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        let Self { k, delta, leaves, surplus, matrix } = self;
        let trees = SoftSpoken::trees(*k);
        surplus.serve(ROW_UNIT, out, |out| {
            for chunk in out.chunks_mut(CHUNK) {
                let width = chunk.len() / ROW_UNIT;
                matrix.resize(128 * width);
                let corrections = ch.recv::<Corrections>(&((trees - 1) * width))?;
                leaves.fill_corrected(*k, &mut matrix.0, &corrections.0, delta.block(), width);
                transpose::transpose(matrix.0.as_flattened(), 16 * width, chunk);
            }
            Ok(())
        })
    }
}

impl RcotReceiver for SoftSpokenReceiver {
    fn extend(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        ch: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        let Self { k, leaves, surplus, matrix, corrections } = self;
        let trees = SoftSpoken::trees(*k);
        surplus.serve(ROW_UNIT, out, |out| {
            for chunk in out.chunks_mut(CHUNK) {
                let width = chunk.len() / ROW_UNIT;
                matrix.resize(128 * width);
                corrections.0.resize((trees - 1) * width, [0; 16]);
                leaves.fill_sums(*k, &mut matrix.0, &mut corrections.0, width);
                ch.send(corrections, &((trees - 1) * width))?;
                transpose::transpose(matrix.0.as_flattened(), 16 * width, chunk);
            }
            Ok(ch.flush()?)
        })?;
        lowest_bits(out, choices);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_prg::Prg;
    use gazelle_wire::memory;

    fn rng(role: u8) -> Prg {
        Prg::new(&Seed::from_bytes([21; 16]), role)
    }

    fn sessions(extension: SoftSpoken) -> (SoftSpokenSender, SoftSpokenReceiver, [Channel; 2]) {
        let (mut a, mut b) = memory::pair();
        let delta = Delta::random(&mut rng(1));
        let (sender, receiver) = std::thread::scope(|scope| {
            let sender = scope.spawn(|| extension.sender(delta, &mut a, &mut rng(2)).unwrap());
            let receiver = extension.receiver(&mut b, &mut rng(3)).unwrap();
            (sender.join().unwrap(), receiver)
        });
        (sender, receiver, [a, b])
    }

    /// The base choices are the complement of Delta's path: the one unknown leaf is at `Delta_i`.
    #[test]
    fn rules_the_sender_knows_all_leaves_but_the_one_that_delta_names() {
        for extension in [SoftSpoken::K2, SoftSpoken::K4, SoftSpoken::K8] {
            let (sender, receiver, _) = sessions(extension);
            let k = extension.k;
            for tree in 0..SoftSpoken::trees(k) {
                let delta =
                    (sender.delta.block().0 >> (k as usize * tree)) as usize & ((1 << k) - 1);
                for x in 0..1usize << k {
                    let own = receiver.leaves.key(tree << k | x);
                    // The sender keeps leaf x at place x ^ Delta_i.
                    let known = sender.leaves.key(tree << k | x ^ delta);
                    assert_eq!(own == known, x != delta, "tree {tree}, leaf {x}");
                }
            }
        }
    }

    #[test]
    fn rules_streams_run_on_in_lockstep_and_never_restart() {
        let (mut sender, mut receiver, [mut a, mut b]) = sessions(SoftSpoken::K4);
        let mut expected = 0;
        for count in [1usize, 127, 1, 9000, 0, 300] {
            let (mut y, mut z) = (vec![Block::ZERO; count], vec![Block::ZERO; count]);
            receiver.extend(&mut BitVec::new(), &mut z, &mut b, &mut rng(4)).unwrap();
            sender.extend(&mut y, &mut a, &mut rng(5)).unwrap();
            expected += count;
            let pieces = expected.div_ceil(ROW_UNIT) as u64;
            assert_eq!((sender.leaves.position(), receiver.leaves.position()), (pieces, pieces));
        }
    }

    #[test]
    fn adversarial_after_an_error_the_session_is_dead() {
        let (mut sender, mut receiver, [mut a, b]) = sessions(SoftSpoken::K2);
        drop(b);
        let mut out = [Block::ZERO; 5];
        let error = sender.extend(&mut out, &mut a, &mut rng(5)).unwrap_err();
        assert!(matches!(error, OtError::Channel(_)));
        let (mut a, mut b) = memory::pair();
        let error = sender.extend(&mut out, &mut a, &mut rng(5)).unwrap_err();
        assert!(matches!(error, OtError::Dead));
        drop(a);
        let error = receiver.extend(&mut BitVec::new(), &mut out, &mut b, &mut rng(5)).unwrap_err();
        assert!(matches!(error, OtError::Channel(_)));
        let error = receiver.extend(&mut BitVec::new(), &mut out, &mut b, &mut rng(5)).unwrap_err();
        assert!(matches!(error, OtError::Dead));
    }

    #[test]
    fn properties_other_tree_sizes_are_refused() {
        assert!(matches!(SoftSpoken::new(3), Err(OtError::Parameters(_))));
        assert_eq!(SoftSpoken::new(8).unwrap(), SoftSpoken::K8);
    }
}

//! Random OT: the correlation is broken by the hash.
//!
//! ```text
//! sender                                       receiver
//! RotSender::new: a fresh public seed   ──►    RotReceiver::new
//! y from the extension                         b, z = y ^ b Delta from the extension
//! k0 = H(y; idx), k1 = H(y ^ Delta; idx)       k_b = H(z; idx)
//! ```
//!
//! idx comes from the Delta's tweak counter and runs over the whole session. Strings are bits of H,
//! never of y or z.

use gazelle_block::hash::HashSeed;
use gazelle_block::tweak::purpose;
use gazelle_block::{BitVec, Block, Blocks, TweakCounter};
use gazelle_prg::Seed;
use gazelle_wire::Channel;
use gazelle_wire::traffic::framed_len;
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::adapt::hashing;
use crate::adapt::words::expect;
use crate::error::OtError;
use crate::extension::{RcotReceiver, RcotSender};
use crate::traffic::OtTraffic;

/// Both strings of some random OTs, not yet used. Consumed by value; wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SenderStrings {
    pub(crate) zeros: Vec<Block>,
    pub(crate) ones: Vec<Block>,
    count: usize,
}

/// The chosen string of some random OTs, not yet used. Consumed by value; wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ReceiverStrings {
    pub(crate) choices: BitVec,
    pub(crate) strings: Vec<Block>,
}

impl SenderStrings {
    /// Number of OTs.
    pub fn count(&self) -> usize {
        self.count
    }
    /// Strings for choice 0, `[block][OT]`.
    pub fn zeros(&self) -> &[Block] {
        &self.zeros
    }
    /// Strings for choice 1, `[block][OT]`.
    pub fn ones(&self) -> &[Block] {
        &self.ones
    }
}

impl ReceiverStrings {
    /// Number of OTs.
    pub fn count(&self) -> usize {
        self.choices.len()
    }
    /// The random choices.
    pub fn choices(&self) -> &BitVec {
        &self.choices
    }
    /// The chosen strings, `[block][OT]`.
    pub fn strings(&self) -> &[Block] {
        &self.strings
    }
}

/// The party that gets both strings; owns the tweak counter of its Delta.
pub struct RotSender<S> {
    cot: S,
    hash: HashSeed,
    tweaks: TweakCounter,
}

/// The party that gets one string of its (random) choice.
pub struct RotReceiver<R> {
    cot: R,
    hash: HashSeed,
    tweaks: TweakCounter,
}

/// Exact bytes of [`RotSender::new`] with [`RotReceiver::new`].
pub fn setup_traffic() -> OtTraffic {
    OtTraffic { sender_to_receiver: framed_len(16), receiver_to_sender: 0 }
}

impl<S: RcotSender> RotSender<S> {
    /// Wraps a session; sends a fresh seed for the hash.
    ///
    /// # Errors
    /// [`OtError::Channel`] if the link fails.
    pub fn new(
        cot: S,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self, OtError> {
        let seed = Seed::random(rng);
        ch.send(&Blocks(vec![Block::from_bytes(*seed.bytes())]), &1)?;
        ch.flush()?;
        Ok(Self { cot, hash: HashSeed::new(&seed), tweaks: TweakCounter::new() })
    }

    /// The session under it.
    pub fn cot(&mut self) -> &mut S {
        &mut self.cot
    }

    /// The hash of this session.
    pub(crate) fn hash(&self) -> &HashSeed {
        &self.hash
    }

    /// The tweak counter of this session's Delta: garbling under the same Delta reserves here too, in
    /// the same order on both sides.
    pub(crate) fn tweaks(&mut self) -> &mut TweakCounter {
        &mut self.tweaks
    }

    /// Makes `count` random OTs with strings of `blocks` times 128 bits.
    ///
    /// Cost: the extension's bytes for `count`; `2 blocks count` AES calls.
    ///
    /// # Errors
    /// [`OtError`] if the extension fails or tweaks are used up.
    pub fn strings(
        &mut self,
        count: usize,
        blocks: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<SenderStrings, OtError> {
        let mut zeros = vec![Block::ZERO; count * blocks];
        let mut ones = vec![Block::ZERO; count * blocks];
        if blocks == 1 {
            self.fill(&mut zeros, &mut ones, ch, rng)?;
        } else {
            let mut y = vec![Block::ZERO; count];
            self.cot.extend(&mut y, ch, rng)?;
            for (zeros, ones) in zeros.chunks_mut(count.max(1)).zip(ones.chunks_mut(count.max(1))) {
                zeros.copy_from_slice(&y);
                self.hash_both(zeros, ones)?;
            }
            y.zeroize();
        }
        Ok(SenderStrings { zeros, ones, count })
    }

    /// Makes `zeros.len()` random OTs into the caller's buffers.
    ///
    /// Cost and errors: as [`strings`](Self::strings) with one block.
    ///
    /// # Errors
    /// As [`strings`](Self::strings); [`OtError::Argument`] unless both have the same length.
    pub fn fill(
        &mut self,
        zeros: &mut [Block],
        ones: &mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        expect("strings for choice 1", zeros.len(), ones.len())?;
        self.cot.extend(zeros, ch, rng)?;
        self.hash_both(zeros, ones)
    }

    /// From y in `zeros`: the strings for both choices.
    fn hash_both(&mut self, zeros: &mut [Block], ones: &mut [Block]) -> Result<(), OtError> {
        let tweaks = self.tweaks.reserve(purpose::RANDOM_OT, zeros.len() as u64)?;
        hashing::hash_both(&self.hash, tweaks, self.cot.delta().block(), zeros, ones);
        Ok(())
    }
}

impl<R: RcotReceiver> RotReceiver<R> {
    /// Wraps a session; receives the seed for the hash.
    ///
    /// # Errors
    /// [`OtError::Channel`] if the link fails.
    pub fn new(cot: R, ch: &mut Channel) -> Result<Self, OtError> {
        let seed = ch.recv::<Blocks>(&1)?.0.first().copied().unwrap_or_default();
        let hash = HashSeed::new(&Seed::from_bytes(seed.to_bytes()));
        Ok(Self { cot, hash, tweaks: TweakCounter::new() })
    }

    /// The session under it.
    pub fn cot(&mut self) -> &mut R {
        &mut self.cot
    }

    /// The hash of this session.
    pub(crate) fn hash(&self) -> &HashSeed {
        &self.hash
    }

    /// The tweak counter of the peer's Delta; see [`RotSender::tweaks`].
    pub(crate) fn tweaks(&mut self) -> &mut TweakCounter {
        &mut self.tweaks
    }

    /// Makes `count` random OTs with strings of `blocks` times 128 bits.
    ///
    /// Cost: the extension's bytes for `count`; `blocks count` AES calls.
    ///
    /// # Errors
    /// [`OtError`] if the extension fails or tweaks are used up.
    pub fn strings(
        &mut self,
        count: usize,
        blocks: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<ReceiverStrings, OtError> {
        let mut choices = BitVec::new();
        let mut strings = vec![Block::ZERO; count * blocks];
        if blocks == 1 {
            self.fill(&mut choices, &mut strings, ch, rng)?;
        } else {
            let mut z = vec![Block::ZERO; count];
            self.cot.extend(&mut choices, &mut z, ch, rng)?;
            for strings in strings.chunks_mut(count.max(1)) {
                strings.copy_from_slice(&z);
                self.hash_one(strings)?;
            }
            z.zeroize();
        }
        Ok(ReceiverStrings { choices, strings })
    }

    /// Makes `strings.len()` random OTs into the caller's buffers; `choices` is resized.
    ///
    /// # Errors
    /// As [`strings`](Self::strings).
    pub fn fill(
        &mut self,
        choices: &mut BitVec,
        strings: &mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        self.cot.extend(choices, strings, ch, rng)?;
        self.hash_one(strings)
    }

    fn hash_one(&mut self, strings: &mut [Block]) -> Result<(), OtError> {
        let tweaks = self.tweaks.reserve(purpose::RANDOM_OT, strings.len() as u64)?;
        hashing::hash_one(&self.hash, tweaks, strings);
        Ok(())
    }
}

//! Sums of labels that a client cannot forge: what it put in, and the colours that it returned.
//!
//! For labels `L_i = W_i + b_i Delta` the client says `sum x_i L_i`, the server knows `sum x_i W_i` and, from
//! what the client claims, the bits b: a client with another bit somewhere would have to add
//! `Delta sum of the x_i there`. `x_i = c^{i+1}` in GF(2^128) for label i of a chunk, c from a seed that the
//! server says when the bits are fixed.
//!
//! | client | server |
//! |---|---|
//! | offline: says d of its input labels | keeps [`label_sum`] of their zero labels |
//! | answers by the sum of its labels ([`Client::answer`](gazelle_share::NonlinearClient::answer)) | an audit compares |
//! | online: [`ClientColours::keep`], says the colours | [`ServerColours::add`] |
//! | [`ClientColours::fold`] | next step: the seed |
//! | before the reveal: the sum | [`ServerColours::verify`] |
//!
//! Chance that a lie passes: n / 2^128 for n labels of a chunk, or Delta is guessed (docs/protocol.md, 10).

use gazelle_block::{BitVec, Block, Blocks, Delta, gf128};
use gazelle_prg::{Prg, Seed};
use gazelle_share::ProtocolError;
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Channel, Cost, DecodeError, Message, Reader};
use rayon::prelude::*;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Domain of the coefficients' seeds.
const COEFFICIENTS: u8 = 0x69;
/// Powers at a time.
const RUN: usize = 256;

/// `sum c^{i+1} L_i` of a chunk's labels.
pub(crate) fn label_sum(seed: &Seed, chunk: usize, labels: &[Block]) -> Block {
    let base = Block::random(&mut Prg::new(&seed.fork(COEFFICIENTS, chunk as u64), COEFFICIENTS));
    let powers = gf128::powers(base, RUN.min(labels.len()));
    gf128::polynomials(labels, 1, &powers).into_iter().fold(Block::ZERO, |sum, part| sum ^ part)
}

/// `sum c^{i+1} b_i` of the same labels' bits.
pub(crate) fn bit_sum(seed: &Seed, chunk: usize, bits: &BitVec) -> Block {
    let bits: Zeroizing<Vec<Block>> =
        Zeroizing::new(bits.iter().map(|bit| Block(u128::from(bit))).collect());
    label_sum(seed, chunk, &bits)
}

/// The sum of all chunks' parts.
pub(crate) fn sum(parts: impl ParallelIterator<Item = Block>) -> Block {
    parts.reduce(|| Block::ZERO, |sum, part| sum ^ part)
}

/// Seed of a step's coefficients under an inference's.
pub(crate) fn step_seed(seed: &Seed, step: usize) -> Seed {
    seed.fork(COEFFICIENTS, step as u64)
}

/// The seed of a step's coefficients, said when its colours are there.
pub(crate) struct ColourSeed(Seed);

impl Message for ColourSeed {
    type Shape = ();
    const KIND: u16 = 0x0606;
    const NAME: &'static str = "seed of a check";

    fn encoded_len((): &()) -> usize {
        16
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.bytes());
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self(Seed::from_bytes(input.array()?)))
    }
}

/// The sum over all colours of an inference.
pub(crate) struct ColourSum(Block);

impl Message for ColourSum {
    type Shape = ();
    const KIND: u16 = 0x0607;
    const NAME: &'static str = "sum of labels";

    fn encoded_len((): &()) -> usize {
        16
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_bytes());
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self(Block::from_bytes(input.array()?)))
    }
}

/// What the checks of an inference's steps add online; `reveals`: whether each step does.
pub(crate) fn check_traffic(reveals: impl Iterator<Item = bool>) -> Vec<Cost> {
    let message = framed_len(16);
    let (mut last, mut any) = (false, false);
    let cost = |reveals: bool| {
        let mut cost = Cost::default();
        if std::mem::replace(&mut last, !reveals) {
            cost.server_to_client = message;
            any = true;
        }
        if reveals && std::mem::take(&mut any) {
            cost.client_to_server = message;
        }
        cost
    };
    reveals.map(cost).collect()
}

/// What the check of one step's colours adds online: the seed that is said behind them, or the sum before a reveal.
pub(crate) fn own_check_traffic(reveals: bool) -> Cost {
    let message = framed_len(16);
    if reveals {
        Cost { client_to_server: message, server_to_client: 0 }
    } else {
        Cost { client_to_server: 0, server_to_client: message }
    }
}

/// The client's output labels on their way into the sum. Wiped on drop.
#[derive(Default)]
pub(crate) struct ClientColours {
    /// Of the last step, by chunk.
    kept: Vec<Blocks>,
    /// Of the steps before; nothing if there was none.
    sum: Option<Zeroizing<Block>>,
}

impl ClientColours {
    /// Keeps a chunk's output labels, whose colours have been said.
    pub(crate) fn keep(&mut self, labels: Blocks) {
        self.kept.push(labels);
    }

    /// Before the next step's labels: hears the last step's seed, if there was a step.
    pub(crate) fn fold(&mut self, channel: &mut Channel) -> Result<(), ProtocolError> {
        if self.kept.is_empty() {
            return Ok(());
        }
        let ColourSeed(seed) = channel.recv(&())?;
        let kept = std::mem::take(&mut self.kept).into_par_iter().enumerate();
        let sum = sum(kept.map(|(chunk, labels)| label_sum(&seed, chunk, &labels.0)));
        **self.sum.get_or_insert_default() ^= sum;
        Ok(())
    }

    /// Before a step that reveals: as [`fold`](Self::fold), and says the sum if there were steps.
    pub(crate) fn say(&mut self, channel: &mut Channel) -> Result<(), ProtocolError> {
        self.fold(channel)?;
        let Some(sum) = self.sum.take() else { return Ok(()) };
        channel.send(&ColourSum(*sum), &())?;
        Ok(channel.flush()?)
    }
}

/// What the server knows of a step's output labels.
#[derive(Clone)]
pub(crate) struct ColourCheck {
    /// Of the coefficients.
    pub(crate) seed: Seed,
    /// `sum x_i W_i` over all chunks.
    pub(crate) zeros: Zeroizing<Block>,
}

/// What the client's sum must be.
#[derive(Default)]
pub(crate) struct ServerColours {
    /// The last step's, to be said.
    seed: Option<Seed>,
    /// Nothing if there was no step.
    expected: Option<Zeroizing<Block>>,
}

impl ServerColours {
    /// Adds a step whose colours say these bits, by chunk.
    pub(crate) fn add(&mut self, check: ColourCheck, bits: &[BitVec], delta: &Delta) {
        if bits.is_empty() {
            return;
        }
        let bits = bits.par_iter().enumerate();
        let bits = sum(bits.map(|(chunk, bits)| bit_sum(&check.seed, chunk, bits)));
        **self.expected.get_or_insert_default() ^= *check.zeros ^ gf128::mul(bits, delta.block());
        self.seed = Some(check.seed);
    }

    /// Before a step's labels: says the last step's seed, if there was one.
    pub(crate) fn say(&mut self, channel: &mut Channel) -> Result<(), ProtocolError> {
        let Some(seed) = self.seed.take() else { return Ok(()) };
        Ok(channel.send(&ColourSeed(seed), &())?)
    }

    /// Before a step that reveals: as [`say`](Self::say), and compares the client's sum.
    ///
    /// # Errors
    /// [`ProtocolError::Cheating`] if it is another one.
    pub(crate) fn verify(&mut self, channel: &mut Channel) -> Result<(), ProtocolError> {
        self.say(channel)?;
        let Some(expected) = self.expected.take() else { return Ok(()) };
        channel.flush()?;
        let ColourSum(sum) = channel.recv(&())?;
        require_equal(sum, *expected, "the check of returned colours")
    }
}

/// # Errors
/// [`ProtocolError::Cheating`] if the blocks differ.
pub(crate) fn require_equal(
    said: Block,
    expected: Block,
    what: &'static str,
) -> Result<(), ProtocolError> {
    let equal = said.to_bytes().ct_eq(&expected.to_bytes());
    if bool::from(equal) { Ok(()) } else { Err(ProtocolError::Cheating(what)) }
}

#[cfg(test)]
mod tests {
    use gazelle_share::testing::test_rng;

    use super::*;

    #[test]
    fn properties_a_sum_of_labels_is_that_of_zero_labels_and_bits_and_of_no_other_bits() {
        let mut rng = test_rng(1);
        let delta = Delta::random(&mut rng);
        let seed = Seed::random(&mut rng);
        for count in [1, 255, 256, 257, 1000] {
            let mut zeros = vec![Block::ZERO; count];
            Block::fill_random(&mut zeros, &mut rng);
            let bits = BitVec::random(count, &mut rng);
            let active = |bits: &BitVec| -> Vec<Block> {
                let pairs = zeros.iter().zip(bits.iter());
                pairs.map(|(zero, bit)| *zero ^ delta.block().select(bit)).collect()
            };
            let expected = |bits: &BitVec| {
                label_sum(&seed, 3, &zeros) ^ gf128::mul(bit_sum(&seed, 3, bits), delta.block())
            };
            assert_eq!(label_sum(&seed, 3, &active(&bits)), expected(&bits));
            for wrong in [0, count / 2, count - 1] {
                let mut other = bits.clone();
                other.set(wrong, !other.get(wrong));
                assert_ne!(label_sum(&seed, 3, &active(&bits)), expected(&other));
            }
            assert_ne!(label_sum(&seed, 3, &active(&bits)), label_sum(&seed, 4, &active(&bits)));
        }
    }
}

//! Conversions to and from garbled values: A2Y and Y2A on the bits of shares (protocol.md 6).
//!
//! The server garbles and is the sender of the correlated OTs `z = y ^ b Delta`; the garbling Delta
//! is the OT's, so that OT outputs are wire labels. Labels and bits are ordered `[wire][lane]`.
//!
//! | client (evaluator, OT receiver: b, z) | server (garbler, OT sender: y, Delta) |
//! |---|---|
//! | A2Y, client's bits c, offline: [`client_corrections`] d = b ^ c, sends d; its labels are z | [`client_zero_labels`] W^0 = y ^ d Delta |
//! | A2Y, server's bits s, offline: | [`server_zero_labels`] W^0 from its private PRG |
//! | online: receives | [`active_labels`] W^0 ^ s Delta, sends them |
//! | Y2A: [`colours`] of the output labels, sends them | [`decode`]: colour ^ permute bit |
//!
//! Cost per bit: client's input 1 RCOT and 1 bit to the server; server's input 128 bits to the
//! client; output 1 bit to the server.

use gazelle_block::{BitVec, Block, Delta};
use gazelle_prg::{Prg, Seed};

/// PRG domain of the garbler's zero labels.
const ZERO_LABELS: u8 = 0x61;

/// The client's message: `d = b ^ c`, uniform given everything that the server sees.
///
/// `choices` and `bits` have one bit per wire and lane.
#[must_use]
pub fn client_corrections(choices: &BitVec, bits: &BitVec) -> BitVec {
    let mut corrections = choices.clone();
    corrections.xor_assign(bits);
    corrections
}

/// The server's zero labels for the client's wires, in place: `W^0 = y ^ d Delta`.
///
/// Then the client's z is `W^0 ^ c Delta`.
pub fn client_zero_labels(y: &mut [Block], corrections: &BitVec, delta: &Delta) {
    add_delta(y, corrections, delta);
}

/// `count` zero labels for the server's own wires, from its private `seed` (fresh per step and
/// inference); `index` numbers the calls under one seed.
#[must_use]
pub fn server_zero_labels(seed: &Seed, index: u64, count: usize) -> Vec<Block> {
    let mut prg = Prg::new(&seed.fork(ZERO_LABELS, index), ZERO_LABELS);
    let mut labels = vec![Block::ZERO; count];
    Block::fill_random(&mut labels, &mut prg);
    labels
}

/// The server's active labels, in place: `W^0 ^ s Delta`, without branching on `bits`.
pub fn active_labels(zero: &mut [Block], bits: &BitVec, delta: &Delta) {
    add_delta(zero, bits, delta);
}

/// The colours (lowest bits) of labels: the client's message of Y2A, or, of zero labels, the
/// server's permute bits.
#[must_use]
pub fn colours(labels: &[Block]) -> BitVec {
    let words = labels
        .chunks(64)
        .map(|chunk| chunk.iter().rev().fold(0, |word, label| word << 1 | (label.0 as u64 & 1)))
        .collect();
    BitVec::from_words(words, labels.len())
}

/// The values: colour of the active label, xor colour of the zero label.
#[must_use]
pub fn decode(colours: &BitVec, permute: &BitVec) -> BitVec {
    let mut values = colours.clone();
    values.xor_assign(permute);
    values
}

/// The ideal version: labels of `bits` under zero labels that nobody but the dealer knows.
/// Insecure: one place sees everything.
pub fn ideal(zero: &[Block], bits: &BitVec, delta: &Delta) -> Vec<Block> {
    let mut labels = zero.to_vec();
    add_delta(&mut labels, bits, delta);
    labels
}

fn add_delta(labels: &mut [Block], bits: &BitVec, delta: &Delta) {
    let delta = delta.block();
    for (chunk, word) in labels.chunks_mut(64).zip(bits.words()) {
        for (i, label) in chunk.iter_mut().enumerate() {
            *label ^= delta.select(word >> i & 1 == 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng() -> Prg {
        Prg::new(&Seed::from_bytes([7; 16]), 1)
    }

    #[test]
    fn conformance_both_ways_into_yao_equal_the_ideal_labels_and_decode_to_the_bits() {
        let mut rng = rng();
        let delta = Delta::random(&mut rng);
        for count in [1, 64, 131] {
            let bits = BitVec::random(count, &mut rng);
            // The client's wires, with an ideal correlated OT.
            let mut y = vec![Block::ZERO; count];
            Block::fill_random(&mut y, &mut rng);
            let choices = BitVec::random(count, &mut rng);
            let z = ideal(&y, &choices, &delta);
            let sent = client_corrections(&choices, &bits);
            client_zero_labels(&mut y, &sent, &delta);
            assert!(z == ideal(&y, &bits, &delta));
            assert_eq!(decode(&colours(&z), &colours(&y)), bits);
            // The server's.
            let seed = Seed::random(&mut rng);
            let zero = server_zero_labels(&seed, 3, count);
            let mut active = server_zero_labels(&seed, 3, count);
            active_labels(&mut active, &bits, &delta);
            assert!(active == ideal(&zero, &bits, &delta));
            assert_eq!(decode(&colours(&active), &colours(&zero)), bits);
        }
    }

    #[test]
    fn properties_zero_labels_differ_between_indices() {
        let seed = Seed::random(&mut rng());
        assert!(server_zero_labels(&seed, 0, 4) != server_zero_labels(&seed, 1, 4));
    }

    #[test]
    fn properties_corrections_are_uniform_whatever_the_bits_are() {
        let mut rng = rng();
        let choices = BitVec::random(1 << 16, &mut rng);
        for bits in [BitVec::zeros(1 << 16), BitVec::from_words(vec![u64::MAX; 1 << 10], 1 << 16)] {
            let ones = client_corrections(&choices, &bits).count_ones();
            // 6 standard deviations of 128 around the mean.
            assert!(ones.abs_diff(1 << 15) < 6 * 128);
        }
    }

    #[test]
    fn transcript_a_bit_costs_one_bit_in_16_bytes_in_or_one_bit_out() {
        let mut rng = rng();
        let delta = Delta::random(&mut rng);
        let count = 77;
        let bits = BitVec::random(count, &mut rng);
        let choices = BitVec::random(count, &mut rng);
        assert_eq!(client_corrections(&choices, &bits).len(), count);
        let mut labels = server_zero_labels(&Seed::random(&mut rng), 0, count);
        active_labels(&mut labels, &bits, &delta);
        assert_eq!(std::mem::size_of_val(labels.as_slice()), 16 * count);
        assert_eq!(colours(&labels).len(), count);
        // An active label alone says nothing of its bit: colours are balanced for fixed bits.
        let ones = |bits: BitVec| {
            let mut labels = server_zero_labels(&Seed::from_bytes([3; 16]), 0, bits.len());
            active_labels(&mut labels, &bits, &delta);
            colours(&labels).count_ones()
        };
        for ones in [
            ones(BitVec::zeros(1 << 16)),
            ones(BitVec::from_words(vec![u64::MAX; 1 << 10], 1 << 16)),
        ] {
            assert!(ones.abs_diff(1 << 15) < 6 * 128, "{ones}");
        }
    }
}

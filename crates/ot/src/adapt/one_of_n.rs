//! 1-of-N OT, N = 2^m, from m random OTs each.
//!
//! ```text
//! sender (m_0 .. m_{N-1})                      receiver (c = c_{m-1} .. c_0)
//!                                       ◄──    d_i = c_i ^ rho_i
//! s_i,0 = k_i,d_i  s_i,1 = k_i,1^d_i           s_i = k_i  (= s_i,c_i)
//! e_j = m_j ^ XOR_i H(s_i,j_i; idx_j)   ──►    m_c = e_c ^ XOR_i H(s_i; idx_c)
//! ```
//!
//! Each j has an index of its own, so that the pads of the N messages are independent: the XOR of
//! bare strings would not be. Source: Naor, Pinkas, "Oblivious transfer and polynomial evaluation"
//! (STOC 1999), with the hash as the pseudorandom function.

use gazelle_block::tweak::purpose;
use gazelle_block::{BitVec, Block};
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Channel, Packed, PackedShape};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::adapt::random::{RotReceiver, RotSender};
use crate::adapt::words::{WordShape, expect, select};
use crate::error::OtError;
use crate::extension::{RcotReceiver, RcotSender};
use crate::traffic::OtTraffic;

/// `count` OTs out of `2^log2_n` vectors each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The OTs and the vectors' shape; at most 128 bits per vector.
    pub words: WordShape,
    /// log2 of N, 1 to 8.
    pub log2_n: u32,
}

impl Shape {
    fn check(&self) -> Result<(), OtError> {
        self.words.check("words", self.words.words())?;
        if self.log2_n == 0 || self.log2_n > 8 || self.words.blocks() > 1 {
            return Err(OtError::Parameters("1-of-N OT: N is 2 to 256, vectors up to 128 bits"));
        }
        Ok(())
    }

    const fn n(&self) -> usize {
        1 << self.log2_n
    }

    const fn random_ots(&self) -> usize {
        self.words.count * self.log2_n as usize
    }

    fn packed(&self) -> PackedShape {
        PackedShape { count: self.words.words() * self.n(), bits: self.words.bits }
    }
}

/// Sends `messages` `[OT][j][word]`. Makes `count log2 N` random OTs on the way.
///
/// # Errors
/// [`OtError::Argument`] if lengths do not fit, [`OtError::Channel`], the extension's.
pub fn send<S: RcotSender>(
    session: &mut RotSender<S>,
    shape: Shape,
    messages: &[u64],
    ch: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<(), OtError> {
    shape.check()?;
    let WordShape { count, length, .. } = shape.words;
    expect("messages", shape.words.words() * shape.n(), messages.len())?;
    let strings = session.strings(shape.random_ots(), 1, ch, rng)?;
    let corrections = ch.recv::<BitVec>(&shape.random_ots())?;
    let mut words = vec![0; messages.len()];
    let mut pads = vec![Block::ZERO; count];
    let mut input = vec![Block::ZERO; count];
    let mut hashed = vec![Block::ZERO; count];
    for j in 0..shape.n() {
        pads.fill(Block::ZERO);
        let tweaks = session.tweaks().reserve(purpose::RANDOM_OT, count as u64)?;
        for bit in 0..shape.log2_n as usize {
            // Strings are laid out [bit][OT].
            let chunk = bit * count..(bit + 1) * count;
            let pairs = strings.zeros.iter().zip(&strings.ones).zip(corrections.iter());
            let pairs = pairs.skip(chunk.start).take(count);
            for (input, ((zero, one), flip)) in input.iter_mut().zip(pairs) {
                *input = *zero ^ (*zero ^ *one).select(flip ^ (j >> bit & 1 == 1));
            }
            session.hash().hash(tweaks.start, &input, &mut hashed);
            for (pad, hashed) in pads.iter_mut().zip(&hashed) {
                *pad ^= *hashed;
            }
        }
        for i in 0..count {
            for word in 0..length {
                let at = (i * shape.n() + j) * length + word;
                if let (Some(to), Some(from)) = (words.get_mut(at), messages.get(at)) {
                    *to = from ^ shape.words.word(&pads, i, word);
                }
            }
        }
    }
    [pads, input, hashed].zeroize();
    ch.send(&Packed { bits: shape.words.bits, words }, &shape.packed())?;
    Ok(ch.flush()?)
}

/// Receives the chosen vectors `[OT][word]`; `choices` are below N and kept secret: all N are read.
///
/// # Errors
/// As [`send`].
pub fn receive<R: RcotReceiver>(
    session: &mut RotReceiver<R>,
    shape: Shape,
    choices: &[u8],
    ch: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Vec<u64>, OtError> {
    shape.check()?;
    let WordShape { count, length, .. } = shape.words;
    expect("choices", count, choices.len())?;
    let strings = session.strings(shape.random_ots(), 1, ch, rng)?;
    let mut bits = BitVec::new();
    for bit in 0..shape.log2_n {
        for choice in choices {
            bits.push(choice >> bit & 1 == 1);
        }
    }
    super::chosen::send_corrections(&strings, &bits, ch)?;
    let words = ch.recv::<Packed>(&shape.packed())?.words;
    let mut opened = vec![0; count * length];
    let mut pads = vec![Block::ZERO; count];
    let mut hashed = vec![Block::ZERO; count];
    for j in 0..shape.n() {
        pads.fill(Block::ZERO);
        let tweaks = session.tweaks().reserve(purpose::RANDOM_OT, count as u64)?;
        for strings in strings.strings.chunks(count.max(1)) {
            session.hash().hash(tweaks.start, strings, &mut hashed);
            for (pad, hashed) in pads.iter_mut().zip(&hashed) {
                *pad ^= *hashed;
            }
        }
        for (i, choice) in choices.iter().enumerate() {
            let mine = (usize::from(*choice) ^ j).wrapping_sub(1) >> (usize::BITS - 1) == 1;
            for word in 0..length {
                let at = (i * shape.n() + j) * length + word;
                if let (Some(from), Some(to)) = (words.get(at), opened.get_mut(i * length + word)) {
                    *to ^= select(mine, from ^ shape.words.word(&pads, i, word), 0);
                }
            }
        }
    }
    [pads, hashed].zeroize();
    Ok(opened)
}

/// Exact bytes, the random OTs apart.
pub fn traffic(shape: Shape) -> OtTraffic {
    OtTraffic {
        sender_to_receiver: framed_len(shape.packed().bytes()),
        receiver_to_sender: framed_len(shape.random_ots().div_ceil(8)),
    }
}

//! Chosen OT: the sender's messages under the random strings.
//!
//! ```text
//! sender (m0, m1)                              receiver (c)
//!                                       ◄──    d = c ^ rho
//! e0 = m0 ^ k_d, e1 = m1 ^ k_{1^d}      ──►    m_c = e_c ^ k
//! ```

#![expect(
    clippy::needless_pass_by_value,
    reason = "random OTs are used once: consuming them by value is the point"
)]

use gazelle_block::{BitVec, Block, Blocks};
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Channel, Packed, PackedShape};

use crate::adapt::random::{ReceiverStrings, SenderStrings};
use crate::adapt::words::{WordShape, expect, select};
use crate::error::OtError;
use crate::traffic::OtTraffic;

/// Sends vectors of words: `zeros` and `ones` are `[OT][word]`, each below `2^bits`.
///
/// # Errors
/// [`OtError::Argument`] if lengths do not fit, [`OtError::Channel`].
pub fn send(
    strings: SenderStrings,
    shape: WordShape,
    zeros: &[u64],
    ones: &[u64],
    ch: &mut Channel,
) -> Result<(), OtError> {
    shape.check("messages for choice 0", zeros.len())?;
    shape.check("messages for choice 1", ones.len())?;
    expect("random OTs", shape.count, strings.count())?;
    expect("random blocks", shape.count * shape.blocks(), strings.zeros.len())?;
    let corrections = ch.recv::<BitVec>(&shape.count)?;
    let mut words = Vec::with_capacity(2 * shape.words());
    for (at, (zero, one)) in zeros.iter().zip(ones).enumerate() {
        let (i, j) = (at / shape.length, at % shape.length);
        let pads = [&strings.zeros, &strings.ones].map(|strings| shape.word(strings, i, j));
        let [k0, k1] = pads;
        let flip = corrections.get(i);
        words.push(zero ^ select(flip, k1, k0));
        words.push(one ^ select(flip, k0, k1));
    }
    ch.send(&Packed { bits: shape.bits, words }, &packed(shape))?;
    Ok(ch.flush()?)
}

/// Receives the vectors of the choices, `[OT][word]`.
///
/// # Errors
/// As [`send`].
pub fn receive(
    strings: ReceiverStrings,
    shape: WordShape,
    choices: &BitVec,
    ch: &mut Channel,
) -> Result<Vec<u64>, OtError> {
    shape.check("messages", shape.words())?;
    expect("random OTs", shape.count, strings.count())?;
    expect("random blocks", shape.count * shape.blocks(), strings.strings.len())?;
    send_corrections(&strings, choices, ch)?;
    let words = ch.recv::<Packed>(&packed(shape))?.words;
    let (pairs, _) = words.as_chunks::<2>();
    let opened = pairs.iter().enumerate().map(|(at, [zero, one])| {
        let (i, j) = (at / shape.length, at % shape.length);
        select(choices.get(i), *one, *zero) ^ shape.word(&strings.strings, i, j)
    });
    Ok(opened.collect())
}

/// Sends blocks of 128 bits.
///
/// # Errors
/// As [`send`].
pub fn send_blocks(
    strings: SenderStrings,
    zeros: &[Block],
    ones: &[Block],
    ch: &mut Channel,
) -> Result<(), OtError> {
    let count = strings.zeros.len();
    expect("random OTs of one block", strings.count(), count)?;
    expect("messages for choice 0", count, zeros.len())?;
    expect("messages for choice 1", count, ones.len())?;
    let corrections = ch.recv::<BitVec>(&count)?;
    let mut blocks = Vec::with_capacity(2 * count);
    let pads = strings.zeros.iter().zip(&strings.ones).zip(corrections.iter());
    for (((k0, k1), flip), (zero, one)) in pads.zip(zeros.iter().zip(ones)) {
        let swap = (*k0 ^ *k1).select(flip);
        blocks.extend([*zero ^ *k0 ^ swap, *one ^ *k1 ^ swap]);
    }
    ch.send(&Blocks(blocks), &(2 * count))?;
    Ok(ch.flush()?)
}

/// Receives the blocks of the choices.
///
/// # Errors
/// As [`send`].
pub fn receive_blocks(
    strings: ReceiverStrings,
    choices: &BitVec,
    ch: &mut Channel,
) -> Result<Vec<Block>, OtError> {
    let count = strings.strings.len();
    expect("random OTs of one block", strings.count(), count)?;
    send_corrections(&strings, choices, ch)?;
    let blocks = ch.recv::<Blocks>(&(2 * count))?.into_vec();
    let (pairs, _) = blocks.as_chunks::<2>();
    let opened = pairs.iter().zip(choices.iter()).zip(&strings.strings);
    Ok(opened.map(|(([zero, one], c), pad)| *zero ^ (*zero ^ *one).select(c) ^ *pad).collect())
}

/// Exact bytes of [`send`] with [`receive`], the random OTs apart.
pub fn traffic(shape: WordShape) -> OtTraffic {
    OtTraffic {
        sender_to_receiver: framed_len(packed(shape).bytes()),
        receiver_to_sender: framed_len(shape.count.div_ceil(8)),
    }
}

/// Exact bytes of [`send_blocks`] with [`receive_blocks`], the random OTs apart.
pub fn traffic_of_blocks(count: usize) -> OtTraffic {
    OtTraffic {
        sender_to_receiver: framed_len(32 * count),
        receiver_to_sender: framed_len(count.div_ceil(8)),
    }
}

fn packed(shape: WordShape) -> PackedShape {
    PackedShape { count: 2 * shape.words(), bits: shape.bits }
}

/// d = c ^ rho.
pub(crate) fn send_corrections(
    strings: &ReceiverStrings,
    choices: &BitVec,
    ch: &mut Channel,
) -> Result<(), OtError> {
    expect("choices", strings.count(), choices.len())?;
    let mut corrections = strings.choices.clone();
    corrections.xor_assign(choices);
    Ok(ch.send(&corrections, &choices.len())?)
}

//! Correlated OT modulo 2^l: the sender's messages are r and r + x, r coming out random.
//!
//! ```text
//! sender (x)                                   receiver (c)
//!                                       ◄──    d = c ^ rho        (none if c is to be rho)
//! s_j = k_{j^d};  t = s_0 + x - s_1     ──►
//! r = s_0                                      w = k + c t  =  r + c x  mod 2^l
//! ```
//!
//! Vector version: x, r and w are vectors of one length under one choice.

#![expect(
    clippy::needless_pass_by_value,
    reason = "random OTs are used once: consuming them by value is the point"
)]

use gazelle_block::BitVec;
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Channel, Packed, PackedShape};

use crate::adapt::chosen::send_corrections;
use crate::adapt::random::{ReceiverStrings, SenderStrings};
use crate::adapt::words::{WordShape, expect, select};
use crate::error::OtError;
use crate::extension::OtTraffic;

/// Sends correlations `x` `[OT][word]`; returns `r` `[OT][word]`. The receiver chooses.
///
/// # Errors
/// [`OtError::Argument`] if lengths do not fit, [`OtError::Channel`].
pub fn send(
    strings: SenderStrings,
    shape: WordShape,
    x: &[u64],
    ch: &mut Channel,
) -> Result<Vec<u64>, OtError> {
    let corrections = ch.recv::<BitVec>(&shape.count)?;
    send_under(&strings, shape, x, &corrections, ch)
}

/// Receives `r + c x` `[OT][word]` for its own choices.
///
/// # Errors
/// As [`send`].
pub fn receive(
    strings: ReceiverStrings,
    shape: WordShape,
    choices: &BitVec,
    ch: &mut Channel,
) -> Result<Vec<u64>, OtError> {
    send_corrections(&strings, choices, ch)?;
    receive_under(&strings, shape, choices, ch)
}

/// As [`send`]; the receiver's choices are the random ones of its strings.
///
/// # Errors
/// As [`send`].
pub fn send_random(
    strings: SenderStrings,
    shape: WordShape,
    x: &[u64],
    ch: &mut Channel,
) -> Result<Vec<u64>, OtError> {
    send_under(&strings, shape, x, &BitVec::zeros(shape.count), ch)
}

/// As [`receive`], for the random choices `rho` of the strings, which are returned: (rho, r + rho x).
///
/// # Errors
/// As [`send`].
pub fn receive_random(
    mut strings: ReceiverStrings,
    shape: WordShape,
    ch: &mut Channel,
) -> Result<(BitVec, Vec<u64>), OtError> {
    let choices = std::mem::take(&mut strings.choices);
    let words = receive_under(&strings, shape, &choices, ch)?;
    Ok((choices, words))
}

/// Exact bytes of [`send`] with [`receive`], the random OTs apart.
pub fn traffic(shape: WordShape) -> OtTraffic {
    OtTraffic {
        receiver_to_sender: framed_len(shape.count.div_ceil(8)),
        ..traffic_of_random_choices(shape)
    }
}

/// Exact bytes of [`send_random`] with [`receive_random`], the random OTs apart.
pub fn traffic_of_random_choices(shape: WordShape) -> OtTraffic {
    OtTraffic { sender_to_receiver: framed_len(packed(shape).bytes()), receiver_to_sender: 0 }
}

fn packed(shape: WordShape) -> PackedShape {
    PackedShape { count: shape.words(), bits: shape.bits }
}

fn send_under(
    strings: &SenderStrings,
    shape: WordShape,
    x: &[u64],
    corrections: &BitVec,
    ch: &mut Channel,
) -> Result<Vec<u64>, OtError> {
    shape.check("correlations", x.len())?;
    expect("random OTs", shape.count, strings.count())?;
    expect("random blocks", shape.count * shape.blocks(), strings.zeros.len())?;
    let mut shares = Vec::with_capacity(x.len());
    let mut words = Vec::with_capacity(x.len());
    for (at, x) in x.iter().enumerate() {
        let (i, j) = (at / shape.length, at % shape.length);
        let [k0, k1] = [&strings.zeros, &strings.ones].map(|strings| shape.word(strings, i, j));
        let flip = corrections.get(i);
        let (s0, s1) = (select(flip, k1, k0), select(flip, k0, k1));
        shares.push(s0);
        words.push(s0.wrapping_add(*x).wrapping_sub(s1) & shape.mask());
    }
    ch.send(&Packed { bits: shape.bits, words }, &packed(shape))?;
    ch.flush()?;
    Ok(shares)
}

fn receive_under(
    strings: &ReceiverStrings,
    shape: WordShape,
    choices: &BitVec,
    ch: &mut Channel,
) -> Result<Vec<u64>, OtError> {
    shape.check("words", shape.words())?;
    expect("choices", shape.count, choices.len())?;
    expect("random blocks", shape.count * shape.blocks(), strings.strings.len())?;
    let words = ch.recv::<Packed>(&packed(shape))?.words;
    let opened = words.iter().enumerate().map(|(at, word)| {
        let (i, j) = (at / shape.length, at % shape.length);
        let own = shape.word(&strings.strings, i, j);
        own.wrapping_add(select(choices.get(i), *word, 0)) & shape.mask()
    });
    Ok(opened.collect())
}

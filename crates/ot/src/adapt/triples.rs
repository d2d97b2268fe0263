//! Bit triples from two random OTs, one in each direction: (a ^ a') (b ^ b') = c ^ c'. No traffic.
//!
//! ```text
//! this party                                   the peer
//! ROT as sender: k0, k1                        ROT as receiver: a' = rho, k_rho
//! ROT as receiver: a = rho', k'_rho'           ROT as sender: k0', k1'
//! b = k0 ^ k1                                  b' = k0' ^ k1'
//! c = a b ^ k0 ^ k'_rho'                       c' = a' b' ^ k0' ^ k_rho
//! ```
//!
//! The cross terms are `a' b = k0 ^ k_rho` and `a b' = k0' ^ k'_rho'`. One bit of each string is used.

#![expect(
    clippy::needless_pass_by_value,
    reason = "random OTs are used once: consuming them by value is the point"
)]

use gazelle_block::BitVec;

use crate::adapt::random::{ReceiverStrings, SenderStrings};
use crate::adapt::words::expect;
use crate::error::OtError;
use crate::extension::lowest_bits;

/// One party's shares of some triples: single use.
#[derive(Debug)]
pub struct BitTriples {
    /// Shares of random bits a.
    pub a: BitVec,
    /// Shares of random bits b.
    pub b: BitVec,
    /// Shares of a b.
    pub c: BitVec,
}

/// Turns one random OT in each direction into a triple, for either party: `sent` are the OTs that this
/// party sends, `received` those that it receives, as many.
///
/// # Errors
/// [`OtError::Argument`] unless the counts agree.
pub fn bit_triples(sent: SenderStrings, received: ReceiverStrings) -> Result<BitTriples, OtError> {
    expect("random OTs received", sent.count(), received.count())?;
    let low = |blocks: &[_]| {
        let mut bits = BitVec::new();
        lowest_bits(blocks, &mut bits);
        bits
    };
    let count = sent.count();
    let (k0, k1) = (
        low(sent.zeros().get(..count).unwrap_or_default()),
        low(sent.ones().get(..count).unwrap_or_default()),
    );
    let k = low(received.strings().get(..count).unwrap_or_default());
    let a = received.choices().clone();
    let mut b = k0.clone();
    b.xor_assign(&k1);
    let mut c = a.clone();
    c.and_assign(&b);
    c.xor_assign(&k0);
    c.xor_assign(&k);
    Ok(BitTriples { a, b, c })
}

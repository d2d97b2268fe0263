//! A bit of one party times a vector of the other's, as additive shares modulo 2^l.
//!
//! ```text
//! sender (x)                                   receiver (c)
//! correlated OT: r                             r + c x
//! u = -r                                       v = r + c x;   u + v = c x  mod 2^l
//! ```

use gazelle_block::BitVec;
use gazelle_wire::Channel;

use crate::adapt::correlated;
use crate::adapt::random::{ReceiverStrings, SenderStrings};
use crate::adapt::words::WordShape;
use crate::error::OtError;
use crate::extension::OtTraffic;

/// The party with the values `x` `[OT][word]`; returns `u`.
///
/// # Errors
/// As [`correlated::send`].
pub fn values(
    strings: SenderStrings,
    shape: WordShape,
    x: &[u64],
    ch: &mut Channel,
) -> Result<Vec<u64>, OtError> {
    let mut shares = correlated::send(strings, shape, x, ch)?;
    for share in &mut shares {
        *share = share.wrapping_neg() & shape.mask();
    }
    Ok(shares)
}

/// The party with the bits; returns `v` `[OT][word]`.
///
/// # Errors
/// As [`correlated::receive`].
pub fn bits(
    strings: ReceiverStrings,
    shape: WordShape,
    choices: &BitVec,
    ch: &mut Channel,
) -> Result<Vec<u64>, OtError> {
    correlated::receive(strings, shape, choices, ch)
}

/// Exact bytes, the random OTs apart.
pub fn traffic(shape: WordShape) -> OtTraffic {
    correlated::traffic(shape)
}

//! AES-128 in counter mode, the one stream cipher of the workspace.
//!
//! Block `i` of domain `d` under key `K` is `AES_K(d * 2^120 + i)`, the counter written big-endian:
//! what `openssl enc -aes-128-ctr -K <seed> -iv <d>000...0` produces for an all-zero input.

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt, consts::U16};

/// Bytes of one AES block.
pub(crate) const BLOCK: usize = 16;

/// Blocks whose counters differ in the lowest byte only.
const RUN: u128 = 256;

/// The counter block of `domain` and `index`; `index < 2^120`.
pub(crate) fn counter(domain: u8, index: u128) -> [u8; BLOCK] {
    ((u128::from(domain) << 120) | index).to_be_bytes()
}

/// Overwrites `out` with keystream blocks `first`, `first + 1`, ... of `domain`.
pub(crate) fn keystream(cipher: &Aes128Enc, domain: u8, first: u128, out: &mut [[u8; BLOCK]]) {
    let (mut index, mut rest) = (first, out);
    while !rest.is_empty() {
        // Within a run only the last byte of the counter changes: one addition per block.
        let run = (RUN - index % RUN).min(128).min(rest.len() as u128);
        let (now, later) = rest.split_at_mut(run as usize);
        let mut block = u128::from_le_bytes(counter(domain, index));
        for slot in now.iter_mut() {
            *slot = block.to_le_bytes();
            block = block.wrapping_add(1 << 120);
        }
        cipher.encrypt_blocks(Array::<u8, U16>::cast_slice_from_core_mut(now));
        index += run;
        rest = later;
    }
}
